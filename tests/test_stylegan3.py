"""StyleGAN3: its publisher's pixels, alias-free, resumable, differentiable; its files, read or refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.networks import stylegan3_config
from safetensors.torch import load_file
from torch import Tensor

import lefs
from lefs.files import save_generator
from lefs.files.publishers import nvlabs_stylegan3
from lefs.files.reading import read_tree
from lefs.models import alias_free
from lefs.models.alias_free import FilteredLeakyReLU, lowpass_filter, spare_border
from lefs.models.configs import StyleGAN3Config
from lefs.models.stylegan3 import StyleGAN3
from lefs.records import ArtifactError
from lefs.stylespace import ranges

FIXTURES = Path(__file__).parent / "fixtures" / "stylegan3"
NAMES = ("t", "r_conditional", "t_custom", "xl_conditional")
SEEDS, CLASSES = [85, 3, 1000], [2, 0, 1]


@pytest.fixture(scope="module", params=NAMES)
def published(request) -> tuple[StyleGAN3, dict[str, Tensor]]:
    """A file of the publisher's, loaded, and what the publisher's code makes of it."""
    reference = load_file(FIXTURES / f"{request.param}.safetensors")
    return lefs.load(FIXTURES / f"{request.param}.pkl"), reference


@pytest.fixture(scope="module")
def small() -> StyleGAN3:
    return lefs.load(FIXTURES / "t.pkl")


def classes(generator: StyleGAN3) -> list[int] | None:
    return CLASSES if generator.label_dim else None


def w_of(generator: StyleGAN3, psi: float = 1.0) -> Tensor:
    return generator.map(generator.latents(SEEDS), psi, classes(generator))


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def of_range(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / (expected.max() - expected.min()))


# -- the publisher's own pixels ----------------------------------------------------------------------------


@pytest.mark.parametrize("psi", [1.0, 0.7])
def test_same_w_and_pixels(published, psi):
    generator, reference = published
    w = w_of(generator, psi)
    assert relative(w, reference[f"w.{psi:g}"]) < 1e-5
    assert of_range(generator.synthesize(generator.styles(w)), reference[f"image.{psi:g}"]) < 1e-5


def test_one_image_alone(published):
    generator, reference = published
    image = generator.synthesize(generator.styles(w_of(generator)[1:2]))
    assert of_range(image, reference["image.1.single"]) < 1e-5


def test_same_styles(published):
    generator, reference = published
    styles = generator.styles(w_of(generator))
    for layer in generator.layers:
        assert relative(styles[:, layer.span], reference[f"styles.{layer.name}"]) < 1e-5
    assert relative(styles[:, -4:], reference["styles.input"]) < 1e-5
    assert styles.shape[1] == generator.num_styles


def test_same_maps(published):
    generator, reference = published
    name = next(k for k in reference if k.startswith("maps.")).removeprefix("maps.")
    maps = generator.record(generator.styles(w_of(generator)[:1]), name)[name]
    assert of_range(maps, reference[f"maps.{name}"]) < 1e-5


@pytest.mark.parametrize("noise", ["none", 7])
def test_noise_changes_nothing(small, noise):
    styles = small.sample_styles(0)
    assert torch.equal(small.synthesize(styles, noise), small.synthesize(styles))


def test_placed_as_published(published):
    generator, reference = published
    styles = generator.styles(w_of(generator)[:1])
    before = generator.synthesize(styles)
    try:
        generator.place(rotation=20, shift=(0.1, -0.2))
        assert of_range(generator.synthesize(styles), reference["image.placed"]) < 1e-5
    finally:
        generator.place()
    assert torch.equal(generator.synthesize(styles), before)


def test_missing_class_lists_the_valid_ones():
    generator = lefs.load(FIXTURES / "r_conditional.pkl")
    with pytest.raises(ValueError, match="from 0 to 2"):
        generator.map(generator.latents(SEEDS))


def test_each_class_of_stylegan_xl_has_its_mean():
    generator = lefs.load(FIXTURES / "xl_conditional.pkl")
    w = generator.map(generator.latents([1, 1]), 0.0, [0, 2])
    torch.testing.assert_close(w[:, 0], generator.mapping.w_avg[[0, 2]])
    of_two = generator.with_label(2)
    assert torch.equal(of_two.mean_w(), generator.mapping.w_avg[2])
    assert torch.equal(lefs.source_styles(of_two, of_two.mean_w()), of_two.styles(w[1:]))
    with pytest.raises(ValueError, match="from 0 to 2"):
        generator.mean_w()
    usual = generator.with_label(2).map(generator.latents([1]), 0.5)
    torch.testing.assert_close(usual, generator.map(generator.latents([1]), 0.5, [2]))
    with pytest.raises(ValueError, match="from 0 to 2"):
        generator.map(generator.latents([1]), 0.7)
    torch.testing.assert_close(of_two.double().map(of_two.latents([1]), 0.5), usual, check_dtype=False)


# -- the plan ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rotation", "labels"), [("t", False, 0), ("r_conditional", True, 3)])
def test_design_is_the_published_one(name, rotation, labels):
    generator = lefs.load(FIXTURES / f"{name}.pkl")
    sizes = {"z_dim": 20, "w_dim": 24, "label_dim": labels, "channel_base": 256, "channel_max": 10}
    config = stylegan3_config(32, rotation=rotation, **sizes)
    assert config == generator.config
    fresh, loaded = StyleGAN3(config).state_dict(), generator.state_dict()
    for key in [k for k in fresh if k.endswith("filter")]:
        torch.testing.assert_close(fresh[key], loaded[key], rtol=0, atol=1e-7)


def test_full_size_layers_have_the_published_names():
    layers = stylegan3_config(1024, rotation=True).layers
    assert [p.name for p in layers[:5]] == [
        "L0_36_1024",
        "L1_36_1024",
        "L2_52_1024",
        "L3_52_1024",
        "L4_84_1024",
    ]
    assert layers[-1].name == "L14_1024_3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"padding": (9, 11)}, "does not become the 36"),
        ({"padding": (12, 5)}, "more than its filter reaches"),
        ({"up_taps": 1, "padding": (4, 2)}, "without a filter"),
        ({"inputs": 0}, "inputs must be between 1"),
        ({"in_cutoff": math.nan}, "in_cutoff must be"),
    ],
)
def test_impossible_plans(change, message, small):
    content = small.architecture_config
    content["layers"] = [{**content["layers"][0], **change}, *content["layers"][1:]]
    with pytest.raises(ValueError, match=message):
        StyleGAN3Config(**content)


def test_layers_know_margin_and_detail(small):
    sides = {(la.size[0], la.margin) for la in small.layers}
    assert sides == {(36, 10), (52, 10), (32, 0)}
    details = [la.fineness for la in small.layers]
    assert details == sorted(details)
    assert details[0] == 4
    assert details[-1] == 32
    assert small.layer(small.default_layer).fineness == pytest.approx(16)
    joined = [small.layer(name).fineness for name in small.joined_layers.split("+")]
    assert joined == sorted(set(joined))
    assert joined[-1] <= 16 * 2**0.5
    seen = small.record(small.sample_styles([0, 1]), [la.name for la in small.layers])
    for layer in small.layers:
        maps = seen[layer.name]
        assert maps.shape == (2, layer.channels, *layer.size)
        assert layer.inside(maps).shape[-1] == layer.size[0] - 2 * layer.margin


# -- filters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taps", [4, 11, 12, 24])
@pytest.mark.parametrize("width", [0.1, 3.0, 20.0])
def test_separable_filters_are_kaiser_windowed(taps, width):
    signal = pytest.importorskip("scipy.signal")
    expected = signal.firwin(taps, 5.0, width=width, fs=64)
    np.testing.assert_allclose(lowpass_filter(taps, cutoff=5, width=width, rate=64), expected, atol=2e-8)


@pytest.mark.parametrize("taps", [11, 12])
def test_radial_filters_are_round(taps):
    special = pytest.importorskip("scipy.special")
    found = lowpass_filter(taps, cutoff=5.0, width=30.0, rate=64, radial=True).double()
    assert found.sum() == pytest.approx(1)
    torch.testing.assert_close(found, found.t())
    torch.testing.assert_close(found, found.flip(0))
    # without the window, taps at equal distances are equal, and follow a jinc
    attenuation = 2.285 * (taps - 1) * math.pi * 30 / 32 + 7.95
    window = np.kaiser(taps, 0.1102 * (attenuation - 8.7))
    x = (np.arange(taps) - (taps - 1) / 2) / 64
    r = np.hypot(*np.meshgrid(x, x)) + 1e-12
    jinc = special.j1(2 * np.pi * 5 * r) / (np.pi * r) * np.outer(window, window)
    np.testing.assert_allclose(found, jinc / jinc.sum(), atol=1e-7)


def brute_force(x: Tensor, f: FilteredLeakyReLU) -> Tensor:
    """Zeros put in, padded or cropped, and every sum written out, in float64."""
    up = torch.ones(1) if f.up_filter is None else f.up_filter
    down = torch.ones(1) if f.down_filter is None else f.down_filter
    up, down = (t.double() if t.ndim == 2 else torch.outer(t, t).double() for t in (up, down))
    n, c, h, w = x.shape
    (before, after), reach = f.padding, 64
    wide = torch.zeros(n, c, h * f.up + 2 * reach, w * f.up + 2 * reach, dtype=torch.float64)
    wide[:, :, reach : reach + h * f.up : f.up, reach : reach + w * f.up : f.up] = x.double()
    edge = slice(reach - before, -reach + after)
    fine = f.gain * valid_convolution(wide[:, :, edge, edge], up * f.up**2)
    fine = torch.where(fine < 0, f.slope * fine, fine)
    if f.clamp is not None:
        fine = fine.clamp(-f.clamp, f.clamp)
    return valid_convolution(fine, down)[:, :, :: f.down, :: f.down]


def valid_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    height, width = (s - k + 1 for s, k in zip(x.shape[2:], kernel.shape, strict=True))
    total = torch.zeros(*x.shape[:2], height, width, dtype=torch.float64)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            total += kernel.flip(0, 1)[i, j] * x[:, :, i : i + height, j : j + width]
    return total


SETTINGS: dict[str, dict[str, Any]] = {
    "as published": {"up": 2, "down": 2, "padding": (9, 8), "taps": (12, 12)},
    "doubling": {"up": 4, "down": 2, "padding": (-6, -9), "taps": (24, 12)},
    "radial": {"up": 2, "down": 2, "padding": (9, 8), "taps": (12, 12), "radial": True},
    "lopsided": {"up": 2, "down": 3, "padding": (4, -1), "taps": (7, 5)},
    "wide": {"up": 3, "down": 1, "padding": (8, 4), "taps": (9, 1), "clamp": None},
    "only down": {"up": 1, "down": 2, "padding": (3, 2), "taps": (1, 6)},
    "colours": {"up": 1, "down": 1, "padding": (0, 0), "taps": (1, 1), "gain": 1.0, "slope": 1.0},
    "cropped": {"up": 1, "down": 1, "padding": (-2, -3), "taps": (1, 1)},
}


def filtered(up: int, down: int, padding: tuple[int, int], taps: tuple[int, int], **options: Any) -> Any:
    radial = options.pop("radial", False)
    random = torch.Generator().manual_seed(up * down)
    first, second = (None if n == 1 else torch.rand(n, generator=random) - 0.2 for n in taps)
    if radial:
        second = torch.rand(taps[1], taps[1], generator=random) - 0.4
    return FilteredLeakyReLU(first, second, up, down, padding, **{"clamp": 0.7, **options})


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("tile", [None, 1])
def test_filtered_nonlinearity_by_brute_force(name, tile, monkeypatch):
    if tile:  # as small as can be
        for limit, value in {"_TILE": 1, "_FEWEST_CHANNELS": 2, "_FEWEST_ROWS": 5}.items():
            monkeypatch.setattr(alias_free, limit, value)
    x = torch.randn(2, 3, 17, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    f = filtered(**SETTINGS[name])
    expected = brute_force(x, f)
    assert expected.std() > 0.01
    torch.testing.assert_close(f(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["as published", "radial", "lopsided"])
def test_filtered_nonlinearity_has_gradients(name, monkeypatch):
    monkeypatch.setattr(alias_free, "_FEWEST_ROWS", 5)
    monkeypatch.setattr(alias_free, "_TILE", 1)
    x = torch.randn(1, 2, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(filtered(**SETTINGS[name]), x.requires_grad_())


@pytest.mark.parametrize("name", ["as published", "doubling", "wide", "lopsided"])
def test_spare_border_is_never_looked_at(name):
    f = filtered(**SETTINGS[name])
    assert f.up_filter is not None
    spare = spare_border(len(f.up_filter), f.up, f.padding)
    x = torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)).double()
    changed = x.clone()
    changed[:, :, :spare] = changed[:, :, :, :spare] = math.inf
    changed[:, :, 20 - spare :] = changed[:, :, :, 20 - spare :] = math.inf
    inner = x[:, :, spare : 20 - spare, spare : 20 - spare]
    moved = tuple(p + spare * f.up for p in f.padding)
    cropped = FilteredLeakyReLU(f.up_filter, f.down_filter, f.up, f.down, moved, clamp=f.clamp)
    torch.testing.assert_close(cropped(inner), f(x))
    assert (name == "doubling") == (spare > 0)


# -- what alias-free means ---------------------------------------------------------------------------------


def input_maps(generator: StyleGAN3, pose: list[float]) -> Tensor:
    styles = generator.sample_styles(0).clone()
    styles[:, -4:] = torch.tensor(pose)
    name = generator.layers[0].name
    return generator.record(styles, name)[name]


def test_shifts_and_turns_of_the_input_are_exact(small):
    still, shifted = input_maps(small, [1, 0, 0, 0]), input_maps(small, [1, 0, 2 / 16, -1 / 16])
    # Two sixteenths of the picture to the right, one up: that many pixels at 16 per picture.
    torch.testing.assert_close(shifted[:, :, :-1, 2:], still[:, :, 1:, :-2], rtol=0, atol=2e-5)
    turned = input_maps(small, [0, 1, 0, 0])
    torch.testing.assert_close(turned, still.rot90(1, (2, 3)), rtol=0, atol=2e-5)


def test_length_of_the_direction_is_the_unit_of_the_shift(small):
    short, long = input_maps(small, [0.6, 0.8, 0.1, 0.2]), input_maps(small, [1.8, 2.4, 0.3, 0.6])
    torch.testing.assert_close(short, long, rtol=0, atol=2e-5)


def test_what_the_transform_moves_out_of_band_fades(small):
    styles = small.sample_styles(0)
    fourier = small.synthesis.get_submodule("input")
    transform = fourier.transform.clone()
    try:
        fourier.transform[:2, :2] *= 20  # squeezes the picture
        assert float(small.record(styles, "L0_36_10")["L0_36_10"].abs().max()) == 0
    finally:
        fourier.transform.copy_(transform)


# -- walking through the layers ----------------------------------------------------------------------------


def test_resuming_gives_the_whole_image(small):
    target, other = small.sample_styles([0]), small.sample_styles([1])
    cache = small.cache(target)
    assert torch.equal(small.synthesize(target, cache=cache), cache.image)
    for part in [*(la.span for la in small.layers), slice(-4, None)]:
        styles = target.clone()
        styles[:, part] = other[:, part]
        whole = small.synthesize(styles)
        torch.testing.assert_close(small.synthesize(styles, cache=cache), whole, rtol=0, atol=1e-6)
        assert not torch.equal(whole, cache.image)


def test_one_trunk_for_many(small):
    cache = small.cache(small.sample_styles([0]))
    many = cache.styles.repeat(3, 1)
    many[1:, small.layers[8].span] *= 2
    images = small.synthesize(many, cache=cache)
    torch.testing.assert_close(images, small.synthesize(many), rtol=0, atol=1e-6)


def test_only_whole_images(small):
    assert small.preview_sizes == (32,)
    with pytest.raises(ValueError, match="upto must be one of 32; got 16"):
        small.synthesize(small.sample_styles([0]), upto=16)


def test_gradients_reach_every_style(small):
    styles = small.sample_styles([0]).clone().requires_grad_()
    small.synthesize(styles, cache=small.cache(styles.detach())).square().sum().backward()
    assert styles.grad is not None
    assert torch.isfinite(styles.grad).all()
    for part in [*(la.span for la in small.layers), slice(-4, None)]:
        assert float(styles.grad[:, part].abs().max()) > 0


def test_gradients_are_the_slopes():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = stylegan3_config(
            16, z_dim=4, w_dim=4, channel_base=64, channel_max=3, num_layers=3, num_critical=1, margin=4
        )
        generator = StyleGAN3(config).double().freeze()
    styles = generator.sample_styles([0]).double().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: generator.synthesize(s).mean(dim=(2, 3)), styles, atol=1e-6)


def test_images_do_not_depend_on_their_batch(small):
    styles = small.sample_styles(range(4)).clone()
    styles[2] *= 30  # demodulation keeps one image's styles to itself
    apart = torch.cat([small.synthesize(s[None]) for s in styles])
    assert of_range(small.synthesize(styles), apart) < 1e-5


def test_styles_of_zero_are_survived(small):
    styles = torch.zeros(1, small.num_styles)
    styles[:, -4] = 1
    assert torch.isfinite(small.synthesize(styles)).all()


def test_half_precision_keeps_constants(small):
    half = lefs.load(FIXTURES / "t.pkl").to(torch.bfloat16)
    assert half.dtype == torch.bfloat16
    kept = [k for k, v in half.state_dict().items() if v.dtype == torch.float32]
    assert {k.rpartition(".")[2] for k in kept} >= {"up_filter", "down_filter", "magnitude_ema", "freqs"}
    styles = half.sample_styles([0, 1])
    torch.testing.assert_close(styles, small.sample_styles([0, 1]))
    image, expected = half.synthesize(styles), small.synthesize(styles)
    assert image.dtype == torch.float32
    assert of_range(image, expected) < 0.05


# -- files -------------------------------------------------------------------------------------------------


def test_saved_and_loaded_again(published, tmp_path):
    generator, _ = published
    save_generator(generator, tmp_path, name="again")
    again = lefs.load(tmp_path)
    styles = generator.styles(w_of(generator))
    assert again.fingerprint == generator.fingerprint
    assert torch.equal(again.synthesize(styles), generator.synthesize(styles))


def test_dissected_and_edited(small, tmp_path):
    catalog = lefs.dissect(small, range(6), clusters=3, progress=False)
    side = small.layer(catalog.layer).size[0] - 20
    assert int(catalog.sizes.sum()) == 6 * side**2  # the margin is not looked at
    assert torch.equal(catalog.contributions[:, -4:], torch.zeros(3, 4, dtype=torch.float64))
    catalog.save(tmp_path)
    catalog = lefs.Catalog.load(tmp_path)
    assert catalog.layers == small.layers
    target, reference = small.sample_styles([0]), small.sample_styles([1])
    for method, pose in {"sequential": target, "simultaneous": target, "global": reference}.items():
        edited = lefs.transfer(
            target, reference, lefs.QuerySettings(method=method).query(catalog, "cluster 1")
        )
        assert torch.equal(edited[:, -4:], pose[:, -4:])
        assert not torch.equal(edited, target)
    gates = lefs.QuerySettings(coarse=0, rgb=1).gates(catalog)
    coarse = [la.name for la, gate in zip(small.layers, gates, strict=True) if not gate]
    assert coarse == list(ranges(small.layers)["coarse"]) == ["L0_36_10", "L1_36_10"]


def state_of(tree: Any, *path: str) -> dict[str, Any]:
    record = tree["G_ema"]
    for name in path:
        record = record.state["_modules"][name]
    return record.state


BROKEN = {
    "not square": (("synthesis", "L0_36_10"), "in_size", torch.tensor([36, 40]), "an equal height"),
    "padding": (("synthesis", "L0_36_10"), "padding", [9, 8, 9, 9], "the same two integers"),
    "text": (("synthesis", "L0_36_10"), "up_factor", "2", "up_factor = '2'"),
    "names": (("synthesis",), "layer_names", [7], "layer_names"),
    "no layer": (("synthesis",), "layer_names", ["L9"], "lacks the module 'L9'"),
    "multiplier": (("synthesis", "input", "affine"), "bias_gain", 0.5, "should be linear"),
    "activation": (("synthesis", "L3_36_10", "affine"), "activation", "lrelu", "should be linear"),
    "mapping": (("mapping", "fc0"), "activation", "linear", "activations"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_stylegan3_is_refused(name):
    where, attribute, value, message = BROKEN[name]
    path = FIXTURES / "t.pkl"
    tree = read_tree(path)
    assert nvlabs_stylegan3.matches(tree)
    state_of(tree, *where)[attribute] = value
    with pytest.raises(ArtifactError, match=message) as caught:
        nvlabs_stylegan3.read(tree, path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("where", "attribute", "value", "message"),
    [
        (("mapping",), "c_dim", 6, "do not fit"),
        (("mapping",), "c_dim", -1, "do not fit"),
        (("mapping", "embed"), "max_norm", 1.0, "do not fit"),
        (("mapping", "embed_proj"), "activation", "linear", "'lrelu'"),
    ],
)
def test_what_is_no_stylegan_xl_is_refused(where, attribute, value, message):
    path = FIXTURES / "xl_conditional.pkl"
    tree = read_tree(path)
    state_of(tree, *where)[attribute] = value
    with pytest.raises(ArtifactError, match=message):
        nvlabs_stylegan3.read(tree, path)


@pytest.mark.parametrize("tree", [None, 3, {}, {"G_ema": None}, {"G_ema": {"a": 1}}, []])
def test_other_files_are_none_of_its_business(tree):
    assert not nvlabs_stylegan3.matches(tree)
