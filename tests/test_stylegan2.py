"""StyleGAN2 against an independent float64 version of the paper, and the laws of the Generator contract."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import reference
import torch
from helpers import by_layer, random_network
from torch import Tensor
from torch.nn.functional import conv_transpose2d

from lefs import StyleGAN2, StyleGAN2Config
from lefs.generator import Generator
from lefs.models.layers import unit_variance, up_convolution, upsample
from lefs.models.modulated import ModulatedConvolution
from lefs.models.tiles import recut, row_ranges
from lefs.synthesis import COPIES, Stop


@pytest.fixture(scope="module")
def conditional() -> StyleGAN2:
    return random_network(seed=2, label_dim=5, resolution=32)


@pytest.fixture
def double(lively: StyleGAN2) -> Generator:
    return copy.deepcopy(lively).double()


@pytest.fixture
def styles(lively: StyleGAN2) -> Tensor:
    return lively.styles(lively.map(lively.latents(range(3))))


def largest(difference: Tensor) -> float:
    return float(difference.abs().max())


# -- building blocks ---------------------------------------------------------------------------------------


def test_images_are_made_as_many_at_a_time_as_memory_allows(
    lively: StyleGAN2, styles: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, coarse = lively.synthesize(styles), lively.synthesize(styles, upto=lively.preview_sizes[0])
    base, sizes, walk = lively.cache(styles[:1]), [], lively.walk
    monkeypatch.setattr(lively, "walk", lambda some, **kw: sizes.append(len(some)) or walk(some, **kw))
    monkeypatch.setattr("lefs.synthesis._BUDGET", 8 * COPIES * lively.largest_map())
    torch.testing.assert_close(lively.synthesize(styles), whole)
    torch.testing.assert_close(lively.synthesize(styles, cache=base), whole)
    torch.testing.assert_close(lively.synthesize(styles, upto=lively.preview_sizes[0]), coarse)
    assert sizes == [2, 1, 2, 1, 3]  # (small pictures have small maps)
    assert lively.synthesize(styles[:0]).shape == (0, *whole.shape[1:])
    given = styles.clone().requires_grad_()
    lively.synthesize(given).sum().backward()
    assert given.grad is not None
    assert bool(given.grad.any(dim=1).all())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (4, 4), (7, 5)])
def test_up_convolution_is_transposed_convolution_then_filter(height: int, width: int) -> None:
    x, weight = torch.randn(2, 5, height, width).double(), torch.randn(4, 5, 3, 3).double()
    official = conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    expected = reference.fir_filter(official, before=1, after=1, gain=4)
    torch.testing.assert_close(up_convolution(x, weight), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (7, 5)])
def test_upsample_is_zero_insertion_and_filter(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width).double()
    torch.testing.assert_close(upsample(x), reference.upsampled(x), rtol=0, atol=1e-12)


# -- the whole network -------------------------------------------------------------------------------------


@pytest.mark.parametrize("psi", [1.0, 0.7, 0.0, -0.5])
def test_mapping_equals_the_reference(double: Generator, psi: float) -> None:
    z = double.latents(range(4)).double()
    expected = reference.map_latents(double.state_dict(), z, psi=psi, labels=None)
    w = double.map(z, truncation=psi)
    assert w.shape == (4, double.num_ws, double.w_dim)
    for index in range(double.num_ws):
        torch.testing.assert_close(w[:, index], expected, rtol=1e-10, atol=1e-10)


def test_conditional_mapping_equals_the_reference(conditional: StyleGAN2) -> None:
    network = copy.deepcopy(conditional).double()
    z, labels = network.latents(range(3)).double(), [4, 0, 2]
    expected = reference.map_latents(network.state_dict(), z, psi=0.7, labels=labels)
    torch.testing.assert_close(network.map(z, truncation=0.7, labels=labels)[:, 0], expected)


def test_styles_are_the_affine_maps_of_the_published_pairing(double: Generator) -> None:
    """Each w feeds one convolution and the toRGB before it: toRGB of a block uses the w of the next one."""
    state = {name: tensor.double() for name, tensor in double.state_dict().items()}
    w = torch.randn(2, double.num_ws, double.w_dim).double()
    index = {"b4.conv1": 0, "b4.torgb": 1, "b8.conv0": 1, "b8.conv1": 2, "b8.torgb": 3}
    index |= {"b16.conv0": 3, "b16.conv1": 4, "b16.torgb": 5}
    found = by_layer(double.layers, double.styles(w))
    assert list(found) == reference.layer_names(16) == list(index)
    for name, i in index.items():
        expected = reference.dense(state, f"synthesis.{name}.affine", w[:, i])
        torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", ["const", "none"])
def test_synthesis_equals_the_reference(double: Generator, styles: Tensor, noise: str) -> None:
    styles = styles.double()
    expected, seen = reference.stylegan2(
        double.state_dict(), by_layer(double.layers, styles), noise=noise == "const"
    )
    image = double.synthesize(styles, noise)  # type: ignore[arg-type]
    assert image.shape == (3, 3, 16, 16)
    assert largest(image - expected) < 1e-10 * largest(expected)
    if noise == "const":
        for name, maps in double.record(styles, list(seen)).items():
            assert largest(maps - seen[name]) < 1e-10 * largest(seen[name])


def test_conditional_synthesis_equals_the_reference(conditional: StyleGAN2) -> None:
    network = copy.deepcopy(conditional).double()
    styles = network.styles(network.map(network.latents([1, 2]).double(), labels=[1, 3]))
    expected, _ = reference.stylegan2(network.state_dict(), by_layer(network.layers, styles), noise=True)
    assert largest(network.synthesize(styles) - expected) < 1e-10 * largest(expected)


def test_float32_is_close_to_float64(lively: StyleGAN2, double: Generator, styles: Tensor) -> None:
    precise = double.synthesize(styles.double())
    assert largest(lively.synthesize(styles).double() - precise) < 1e-5 * largest(precise)


def test_embedded_generator_equals_the_reference(portraits: Generator) -> None:
    styles = portraits.styles(portraits.map(portraits.latents([0, 1]), truncation=0.7))
    state = portraits.state_dict()
    noise = "synthesis.b4.conv1.noise_const" in state
    expected, _ = reference.stylegan2(state, by_layer(portraits.layers, styles), noise=noise)
    span = float(expected.max() - expected.min())
    assert largest(portraits.synthesize(styles).double() - expected) < 1e-4 * span


# -- latents, labels ---------------------------------------------------------------------------------------


def test_latents_follow_random_state(lively: StyleGAN2) -> None:
    z = lively.latents([3, 2**32 - 1])
    expected = np.stack([np.random.RandomState(s).randn(12) for s in (3, 2**32 - 1)])
    assert z.dtype == torch.float32
    np.testing.assert_array_equal(z.numpy(), expected.astype(np.float32))
    assert torch.equal(lively.latents(3), z[:1])


def test_sample_styles_is_the_road_from_seeds(lively: StyleGAN2) -> None:
    expected = lively.styles(lively.map(lively.latents([5, 6]), 0.3))
    found = lively.sample_styles([5, 6], truncation=0.3)
    assert torch.equal(found, expected)
    assert not found.requires_grad


def test_truncation_zero_is_one_image(lively: StyleGAN2) -> None:
    styles = lively.sample_styles([1, 2], truncation=0)
    torch.testing.assert_close(styles[0], styles[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [None, [1], [1, 5], [1, -1], 1, "ab", [[1.0, 0.0]] * 2, [0.5, 0.5], torch.rand(2, 9), torch.rand(3, 5),
     torch.full((2, 5), torch.nan), [1, [0, 0, torch.inf, 0, 1]], np.full((2, 5), 1e30), [None, 1]],
)  # fmt: skip
def test_conditional_needs_a_class_or_a_number_of_each_for_each(conditional: StyleGAN2, labels: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="labels") as caught:
        conditional.map(conditional.latents([0, 1]), labels=labels)
    assert len(str(caught.value)) < 500


def test_labels_are_classes_or_numbers_for_each(conditional: StyleGAN2) -> None:
    z, count = conditional.latents([0, 1]), conditional.label_dim
    classes = conditional.map(z, 0.7, [2, 0])
    one_hot = torch.eye(count)[[2, 0]]
    for same in (one_hot, one_hot.numpy(), one_hot.tolist(), [2, one_hot[1]], np.array([2, 0])):
        assert torch.equal(conditional.map(z, 0.7, same), classes)
    attributes = torch.randn(2, count)
    x = torch.cat([unit_variance(z), unit_variance(conditional.mapping.embed(attributes))], dim=1)
    for i in range(conditional.mapping.depth):
        x = getattr(conditional.mapping, f"fc{i}")(x)
    torch.testing.assert_close(conditional.map(z, labels=attributes)[:, 0], x)
    kept = conditional.with_label(attributes[1])
    assert torch.equal(kept.map(z), conditional.map(z, labels=attributes[[1, 1]]))


def test_labels_without_classes(lively: StyleGAN2) -> None:
    with pytest.raises(ValueError, match="not conditional"):
        lively.map(lively.latents(0), labels=[0])


# -- resuming and stopping ---------------------------------------------------------------------------------


@pytest.mark.parametrize("upto", [None, 4, 8, 16])
@pytest.mark.parametrize("noise", ["const", "none", 7])
def test_resuming_is_bit_identical_whichever_layer_changed(
    lively: StyleGAN2, styles: Tensor, noise: object, upto: int | None
) -> None:
    cache = lively.cache(styles, noise)  # type: ignore[arg-type]
    for layer in lively.layers:
        changed = styles.clone()
        changed[1, layer.span.stop - 1] += 0.5
        whole = lively.synthesize(changed, noise, upto)  # type: ignore[arg-type]
        assert torch.equal(lively.synthesize(changed, noise, upto, cache), whole)  # type: ignore[arg-type]
        if upto is None:
            assert not torch.equal(whole, cache.image)
    same = lively.synthesize(styles, noise, upto, cache)  # type: ignore[arg-type]
    assert torch.equal(same, lively.synthesize(styles, noise, upto))  # type: ignore[arg-type]


def test_resuming_computes_only_what_changed(lively: StyleGAN2, styles: Tensor) -> None:
    cache, ran = lively.cache(styles), []
    hooks = [
        lively.synthesis.get_submodule(layer.name).register_forward_hook(
            lambda *_, name=layer.name: ran.append(name)
        )
        for layer in lively.layers
    ]
    changed = styles.clone()
    changed[:, lively.layer("b16.conv1").span] += 1
    lively.synthesize(changed, cache=cache)
    assert ran == ["b16.conv1", "b16.torgb"]
    ran.clear()
    lively.synthesize(changed, upto=8, cache=cache)
    lively.synthesize(styles, cache=cache)
    assert ran == []
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("upto", [None, 8])
def test_a_trunk_of_one_serves_many(lively: StyleGAN2, styles: Tensor, upto: int | None) -> None:
    cache = lively.cache(styles[:1])
    for layer in (*lively.layers, None):
        many = styles[:1].repeat(4, 1)
        if layer is not None:
            many[:, layer.span] += torch.randn(4, layer.channels)
        resumed = lively.synthesize(many, upto=upto, cache=cache)
        torch.testing.assert_close(resumed, lively.synthesize(many, upto=upto), rtol=1e-5, atol=1e-5)
        assert len(resumed) == 4


def test_stopping_early_gives_the_image_of_that_resolution(lively: StyleGAN2, styles: Tensor) -> None:
    state = lively.state_dict()
    for size in (4, 8):
        names = reference.layer_names(size)
        some = {n: s for n, s in by_layer(lively.layers, styles).items() if n in names}
        expected, _ = reference.stylegan2(state, some, noise=True)
        found = lively.synthesize(styles, upto=size)
        assert found.shape[-1] == size
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_trunk_refuses_what_it_is_not_for(lively: StyleGAN2, styles: Tensor) -> None:
    cache = lively.cache(styles)
    with pytest.raises(ValueError, match="cache was made with noise='const', this call asks for 'none'"):
        lively.synthesize(styles, "none", cache=cache)
    with pytest.raises(ValueError, match="cache holds 3 images, styles 2"):
        lively.synthesize(styles[:2], cache=cache)


# -- recording ---------------------------------------------------------------------------------------------


def test_record_equals_what_hooks_see(lively: StyleGAN2, styles: Tensor) -> None:
    seen: dict[str, Tensor] = {}
    hooks = [
        lively.synthesis.get_submodule(layer.name).register_forward_pre_hook(
            lambda _, inputs, name=layer.name: seen.update({name: inputs[0].clone()})
        )
        for layer in lively.layers
    ]
    lively.synthesize(styles)
    for hook in hooks:
        hook.remove()
    found = lively.record(styles, [layer.name for layer in lively.layers])
    assert found.keys() == seen.keys()
    for layer in lively.layers:
        assert found[layer.name].shape == (3, layer.channels, *layer.size)
        assert torch.equal(found[layer.name], seen[layer.name])


def test_record_gives_only_what_is_asked_and_stops(lively: StyleGAN2, styles: Tensor) -> None:
    ran: list[int] = []
    hook = lively.synthesis.get_submodule("b16.conv0").register_forward_hook(lambda *_: ran.append(1))
    assert list(lively.record(styles, "b8.conv1")) == ["b8.conv1"]
    assert set(lively.record(styles, ["b8.torgb", "b4.conv1"])) == {"b4.conv1", "b8.torgb"}
    assert lively.record(styles, []) == {}
    assert ran == []
    hook.remove()


def test_layers_tile_the_style_vector(lively: StyleGAN2) -> None:
    stops = [0, *(layer.span.stop for layer in lively.layers)]
    assert [layer.span.start for layer in lively.layers] == stops[:-1]
    assert lively.num_styles == stops[-1] == lively.sample_styles(0).shape[1]
    assert all(layer.span.stop - layer.span.start == layer.channels for layer in lively.layers)


def test_the_default_layer_is_half_way(lively: StyleGAN2, portraits: Generator) -> None:
    for generator in (lively, portraits):
        layer = generator.layer(generator.default_layer)
        assert layer.kind == "conv"
        assert layer.size[0] == generator.size[0] // 2


def test_joined_layers_see_a_quarter_and_half_of_the_picture(lively: StyleGAN2, portraits: Generator) -> None:
    assert portraits.joined_layers == "b32.conv0+b64.conv0"
    for generator in (lively, portraits, portraits.at(32)):
        joined = [generator.layer(name) for name in generator.joined_layers.split("+")]
        assert [layer.fineness * k for layer, k in zip(joined, (4, 2), strict=True)] == [
            generator.size[0]
        ] * 2
        later = generator.layers[generator.layers.index(joined[-1]) + 1 :]
        assert all(layer.fineness > joined[-1].fineness for layer in later if layer.kind == "conv")


def test_a_network_of_one_convolution_has_nothing_to_join() -> None:
    assert StyleGAN2(StyleGAN2Config(4, 4, 4, {4: 4})).joined_layers == "b4.conv1"


# -- noise, gradients, types -------------------------------------------------------------------------------


def test_seeded_noise_is_fixed_by_its_seed(lively: StyleGAN2, styles: Tensor) -> None:
    images = [lively.synthesize(styles, seed) for seed in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    # every image of a batch gets the same maps, so that target and edit differ by their styles alone
    same = lively.synthesize(styles[:1].repeat(2, 1), 1)
    torch.testing.assert_close(same[0], same[1], rtol=1e-5, atol=1e-5)


def test_noise_leaves_global_seeds_alone(lively: StyleGAN2, styles: Tensor) -> None:
    before = torch.get_rng_state()
    lively.synthesize(styles, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_without_noise() -> None:
    config = StyleGAN2Config(8, 4, 4, {4: 4, 8: 4}, noise=False)
    network = StyleGAN2(config).freeze()
    assert not any("noise" in name for name in network.state_dict())
    styles = network.sample_styles([0])
    assert torch.equal(network.synthesize(styles, "const"), network.synthesize(styles, "none"))


def test_gradients_reach_the_styles(double: Generator, styles: Tensor) -> None:
    start = styles.detach().double().requires_grad_(True)
    picture = double.synthesize(start)
    probe = torch.randn_like(picture)
    (picture * probe).sum().backward()
    gradient = start.grad
    assert gradient is not None
    for layer in double.layers:
        assert largest(gradient[:, layer.span]) > 0
    step = torch.randn_like(styles).double() * 1e-6
    ahead, back = (double.synthesize(styles.double() + s) for s in (step, -step))
    slope = float(((ahead - back) / 2 * probe).sum())
    assert slope == pytest.approx(float((gradient * step).sum()), rel=1e-4)


def test_gradients_pass_a_resumed_trunk(lively: StyleGAN2, styles: Tensor) -> None:
    cache = lively.cache(styles)
    grads = []
    for kept in (cache, None):
        start = styles.detach().clone().requires_grad_(True)
        lively.synthesize(start, cache=kept).square().sum().backward()
        grads.append(start.grad)
    assert torch.equal(*grads)  # type: ignore[arg-type]


def test_bfloat16_is_close_and_keeps_latents_precise(lively: StyleGAN2, styles: Tensor) -> None:
    narrow = copy.deepcopy(lively).to(torch.bfloat16)
    assert narrow.dtype == torch.bfloat16
    assert torch.equal(narrow.sample_styles(range(3)), lively.sample_styles(range(3)))
    expected, found = lively.synthesize(styles), narrow.synthesize(styles)
    assert found.dtype == torch.float32
    error = (found - expected).square().mean().sqrt() / expected.std()
    assert 1e-5 < error < 0.05  # eight bits of mantissa, not fewer; and it did compute in them


# -- row tiles, and what is kept of the weights ------------------------------------------------------------


@pytest.fixture
def tiles_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lefs.models.tiles.TILE", 2**8)


@pytest.mark.parametrize("seed", range(20))
def test_tiles_are_rows_with_zeros_outside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height = int(rng.integers(1, 30))
    x = torch.randn(1, 3, height, 4).contiguous(memory_format=torch.channels_last)
    cuts = [0, *sorted(rng.choice(np.arange(1, height), min(height - 1, 4), replace=False)), height]
    source = [x[:, :, a:b] for a, b in pairwise(cuts)]
    starts = np.sort(rng.integers(-3, height, 6))
    wanted = [(int(a), int(max(a, 0) + rng.integers(1, 12))) for a in starts]
    padded = torch.nn.functional.pad(x, (0, 0, 3, 12))
    for (start, stop), found in zip(wanted, recut(iter(source), wanted), strict=True):
        assert torch.equal(found, padded[:, :, start + 3 : stop + 3])
        assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("height", [1, 8, 17, 64])
@pytest.mark.parametrize("row", [1, 2**18, 2**30])
def test_ranges_cover_the_rows(height: int, row: int) -> None:
    found = row_ranges(height, row)
    assert [i for rows in found for i in range(*rows)] == list(range(height))
    assert all(start % 2 == 0 for start, _ in found)


@pytest.mark.usefixtures("tiles_everywhere")
@pytest.mark.parametrize("count", [1, 3])
def test_tiles_equal_the_reference(count: int) -> None:
    network = random_network(seed=3, resolution=32).double()
    styles = network.sample_styles(range(count)).double()
    expected, seen = reference.stylegan2(network.state_dict(), by_layer(network.layers, styles), noise=True)
    assert largest(network.synthesize(styles) - expected) < 1e-10 * largest(expected)
    for name, maps in network.record(styles, list(seen)).items():
        assert largest(maps - seen[name]) < 1e-10 * largest(seen[name])


@pytest.mark.usefixtures("tiles_everywhere")
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("size", [8, 32])
def test_tiles_resume_bit_for_bit(count: int, size: int) -> None:
    """What lies in tiles when a render runs through is whole when it starts from a cache."""
    network = random_network(seed=3, resolution=32)
    styles = network.sample_styles(range(count)).clone()
    cache = network.cache(styles)
    assert torch.equal(cache.image, network.synthesize(styles))
    assert torch.equal(
        network.synthesize(styles, upto=size, cache=cache), network.synthesize(styles, upto=size)
    )
    for layer in network.layers:
        moved = styles.clone()
        moved[:, layer.span] += 0.1
        found = network.synthesize(moved, upto=size, cache=cache)
        assert torch.equal(found, network.synthesize(moved, upto=size)), layer.name


TILED: list[dict[str, Any]] = [
    {},
    {"activation": "swish", "conv_clamp": 1.0},
    {"activation": "relu", "conv_clamp": 0.5, "noise": False},
    {"architecture": "orig", "image_channels": 1},
    {"architecture": "resnet"},
    {"kernel_size": 5},
    {"filter": (1.0, 2.0, 1.0)},
]


@pytest.mark.parametrize("change", TILED)
def test_tiles_change_nothing(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    channels = {4: 5, 8: 6, 16: 4, 32: 3}
    network = StyleGAN2(StyleGAN2Config(32, 4, 6, channels, **change)).freeze().double()
    results = []
    for tile in (2**23, 2**8):
        monkeypatch.setattr("lefs.models.tiles.TILE", tile)
        styles = network.sample_styles([1, 2]).double().clone().requires_grad_()
        image = network.synthesize(styles, 5)
        image.square().mean().backward()
        assert styles.grad is not None
        results.append((image.detach(), styles.grad))
    for whole, tiled in zip(*results, strict=True):
        torch.testing.assert_close(whole, tiled, rtol=1e-10, atol=1e-10 * largest(whole))


def test_an_image_alone_is_that_of_its_batch(double: Generator, styles: Tensor) -> None:
    """For one image the styles are in the weight, for several around it."""
    batch = double.synthesize(styles.double())
    for i in range(3):
        alone = double.synthesize(styles[i : i + 1].double())
        assert largest(alone[0] - batch[i]) < 1e-10 * largest(batch)


def _doubled_in_place(network: StyleGAN2) -> None:
    with torch.no_grad():
        for module in network.synthesis.modules():
            if isinstance(module, ModulatedConvolution):
                module.weight[:, ::2] *= 2


def _doubled_behind(network: StyleGAN2) -> None:
    for module in network.synthesis.modules():
        if isinstance(module, ModulatedConvolution):
            module.weight.data[:, ::2] *= 2
    network.freeze()


def _loaded(network: StyleGAN2) -> None:
    network.load_state_dict(random_network(seed=9).state_dict())


def _rounded(network: StyleGAN2) -> None:
    network.to(torch.bfloat16).to(torch.float32)


@pytest.mark.parametrize("change", [_doubled_in_place, _doubled_behind, _loaded, _rounded])
def test_changed_weights_are_noticed(lively: StyleGAN2, styles: Tensor, change: Any) -> None:
    network = copy.deepcopy(lively)
    with torch.inference_mode():
        before = network.synthesize(styles)
    change(network)
    fresh = copy.deepcopy(network)
    assert not torch.equal(network.synthesize(styles), before)
    assert torch.equal(network.synthesize(styles), fresh.synthesize(styles))


def test_a_weight_in_the_place_of_a_former_one_is_noticed(lively: StyleGAN2, styles: Tensor) -> None:
    """Memory is given out again: an address and a count of changes are not a weight's own."""
    network = copy.deepcopy(lively)
    weight = network.synthesis.get_submodule("b8.conv1").weight
    for _ in range(6):
        network.synthesize(styles)
        place = weight.data_ptr()
        for _ in range(2):
            weight.data = torch.randn_like(weight)
        assert torch.equal(network.synthesize(styles), copy.deepcopy(network).synthesize(styles))
        assert weight.data_ptr() != place


def test_a_weight_made_anew_while_another_thread_renders(lively: StyleGAN2, styles: Tensor) -> None:
    """What is kept may be replaced between two looks at it."""

    class Fickle(ModulatedConvolution):
        looks = 0

        def __getattribute__(self, name: str) -> Any:
            if name == "_derived":
                Fickle.looks += 1
                if Fickle.looks % 2 == 0:
                    self.__dict__["_derived"] = None
            return super().__getattribute__(name)

    network = copy.deepcopy(lively)
    expected = network.synthesize(styles)
    for module in network.synthesis.modules():
        if isinstance(module, ModulatedConvolution):
            module.__class__ = Fickle
    for _ in range(3):
        assert torch.equal(network.synthesize(styles), expected)
    assert Fickle.looks


def test_results_are_the_callers_own(double: Generator, styles: Tensor) -> None:
    """Overwriting them changes neither the network nor a cache."""
    start = styles[:1].double().clone()
    cache = double.cache(start)
    expected = cache.image.clone()
    for size in double.preview_sizes:
        double.synthesize(start, upto=size, cache=cache).zero_()
    double.record(start, "b4.conv1")["b4.conv1"].zero_()
    assert torch.equal(double.synthesize(start), expected)
    for layer in double.layers:
        moved = start.clone()
        moved[:, layer.span] += 1
        assert torch.equal(double.synthesize(moved, cache=cache), double.synthesize(moved))


def test_every_weight_can_be_given_from_outside(lively: StyleGAN2, styles: Tensor) -> None:
    class Synthesis(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = copy.deepcopy(lively)

        def forward(self, styles: Tensor) -> Tensor:
            return self.network.synthesize(styles)

    outer, other = Synthesis(), random_network(seed=9)
    given = {f"network.{name}": p for name, p in other.named_parameters()}
    given |= {f"network.{name}": b for name, b in other.named_buffers()}
    assert torch.equal(torch.func.functional_call(outer, given, (styles,)), other.synthesize(styles))


def test_gradients_after_inference(lively: StyleGAN2, styles: Tensor) -> None:
    """What is kept of the weights in inference mode serves calls with gradients too."""
    network = copy.deepcopy(lively)
    with torch.inference_mode():
        network.synthesize(styles)
    start = styles.detach().clone().requires_grad_()
    network.synthesize(start).sum().backward()
    fresh = styles.detach().clone().requires_grad_()
    copy.deepcopy(lively).synthesize(fresh).sum().backward()
    assert torch.equal(start.grad, fresh.grad)  # type: ignore[arg-type]


def test_gradients_reach_weights_that_ask_for_them(lively: StyleGAN2, styles: Tensor) -> None:
    network = copy.deepcopy(lively)
    network.synthesize(styles)
    network.requires_grad_(True)
    network.synthesize(styles.detach()).sum().backward()
    assert all(p.grad is not None for n, p in network.named_parameters() if n.endswith("conv1.weight"))


def test_copies_and_pickles_leave_behind_what_can_be_made_again(lively: StyleGAN2, styles: Tensor) -> None:
    network = copy.deepcopy(lively)
    size = len(pickle.dumps(network))
    expected = network.synthesize(styles)
    assert len(pickle.dumps(network)) <= size + 10_000
    assert torch.equal(pickle.loads(pickle.dumps(network)).synthesize(styles), expected)


def test_coarse_blocks_stay_precise_in_half_precision() -> None:
    channels = {2**k: 4 for k in range(2, 9)}
    network = StyleGAN2(StyleGAN2Config(256, 4, 4, channels)).freeze()
    styles = network.sample_styles([0])
    expected = network.synthesize(styles)
    narrow = copy.deepcopy(network).to(torch.bfloat16)
    types = {
        name: p.dtype for name, p in narrow.synthesis.named_parameters() if name.endswith("conv1.weight")
    }
    assert [types[f"b{r}.conv1.weight"] for r in channels] == [torch.float32] + [torch.bfloat16] * 6
    assert torch.equal(narrow.synthesize(styles, upto=4), network.synthesize(styles, upto=4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = network.synthesize(styles)
    for found in (narrow.synthesize(styles), cast):
        error = (found - expected).square().mean().sqrt() / expected.std()
        assert found.dtype == torch.float32
        assert 1e-5 < error < 0.02


def test_half_precision_holds_large_styles() -> None:
    """float16 ends at 65504; demodulation makes the length of a style vector irrelevant."""
    network = random_network(seed=4)
    styles = network.sample_styles([0, 1]).clone()
    for layer in network.layers:
        if layer.kind == "conv":
            styles[:, layer.span] *= 1e5
    found = copy.deepcopy(network).to(torch.float16).synthesize(styles)
    torch.testing.assert_close(found, network.synthesize(styles), rtol=0.02, atol=0.02 * largest(found))


# -- identity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_fingerprint_survives_casting(lively: StyleGAN2, dtype: torch.dtype) -> None:
    moved = copy.deepcopy(lively).to(dtype)
    assert moved.fingerprint == lively.fingerprint
    assert len(moved.fingerprint) == 64


def test_fingerprint_depends_on_every_tensor(lively: StyleGAN2) -> None:
    fingerprints = {lively.fingerprint}
    for name in lively.state_dict():
        other = copy.deepcopy(lively)
        other.state_dict()[name].view(-1)[0] += 1e-3
        other.freeze()
        fingerprints.add(other.fingerprint)
    assert len(fingerprints) == 1 + len(lively.state_dict())


def test_fingerprint_depends_on_the_architecture() -> None:
    def made(**options: float) -> str:
        network = StyleGAN2(StyleGAN2Config(4, 4, 4, {4: 4}, **options))  # type: ignore[arg-type]
        for tensor in network.state_dict().values():
            tensor.fill_(1)
        return network.freeze().fingerprint

    assert made() == made()
    assert made() != made(mapping_lr=0.02)


def test_generators_can_be_sent_to_other_processes(lively: StyleGAN2, styles: Tensor) -> None:
    arrived = pickle.loads(pickle.dumps(lively))
    assert arrived.fingerprint == lively.fingerprint
    assert torch.equal(arrived.synthesize(styles), lively.synthesize(styles))


# -- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"resolution": 24}, ValueError, "resolution must be a power of two"),
        ({"resolution": 2}, ValueError, "resolution must be between 4"),
        ({"resolution": 2**40}, ValueError, "resolution must be between 4"),
        ({"resolution": 16.0}, TypeError, "resolution must be an integer"),
        ({"z_dim": 0}, ValueError, "z_dim must be between 1 and"),
        ({"label_dim": -1}, ValueError, "label_dim must be between 0 and"),
        ({"channels": {4: 4}}, ValueError, "channels lacks the resolution 8"),
        ({"channels": {4: 4, 8: 0}}, ValueError, r"channels\[8\] must be between 1 and"),
    ],
)
def test_bad_configurations(options: dict, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        StyleGAN2Config(**{"resolution": 8, "z_dim": 4, "w_dim": 4, "channels": {4: 4, 8: 4}, **options})


def test_bad_shapes_and_choices(lively: StyleGAN2, styles: Tensor) -> None:
    with pytest.raises(ValueError, match=r"z must have shape \(N, 12\), got \(2, 3\)"):
        lively.map(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"w must have shape \(N, 6, 14\), got \(2, 14\)"):
        lively.styles(torch.zeros(2, 14))
    with pytest.raises(ValueError, match=rf"styles must have shape \(N, {lively.num_styles}\)"):
        lively.synthesize(styles[:, 1:])
    with pytest.raises(ValueError, match="upto must be one of 4, 8, 16; got 12"):
        lively.synthesize(styles, upto=12)
    with pytest.raises(ValueError, match="noise must be one of 'const', 'none'; got 'random'"):
        lively.synthesize(styles, "random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="noise must be between 0"):
        lively.synthesize(styles, -1)
    with pytest.raises(ValueError, match=r"no style layer named 'b8.conv2'; did you mean 'b8.conv"):
        lively.record(styles, "b8.conv2")
    with pytest.raises(ValueError, match="truncation must be a finite number"):
        lively.map(lively.latents(0), truncation=float("nan"))


def test_sampled_styles_are_ordinary_tensors(lively: StyleGAN2) -> None:
    styles = lively.sample([1, 2]).requires_grad_()
    lively.synthesize(styles).sum().backward()
    assert bool(styles.grad.any())


def test_styles_that_are_no_tensor_are_refused(lively: StyleGAN2) -> None:
    styles = lively.sample([1]).numpy()
    for use in (lively.synthesize, lively.cache, lambda s: lively.record(s, lively.layers[0].name)):
        with pytest.raises(TypeError, match=rf"styles must be a Tensor of shape \(N, {lively.num_styles}\)"):
            use(styles)
    for given in (styles[:, : lively.z_dim], [[0.0]], 3):
        with pytest.raises(TypeError, match=rf"z must be a Tensor of shape \(N, {lively.z_dim}\), got"):
            lively(given)
    with pytest.raises(TypeError, match=r"z must hold floating-point numbers, got torch\.int64"):
        lively(torch.zeros(1, lively.z_dim, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"w must be a Tensor of shape .*, got ndarray"):
        lively.styles(lively.map(lively.latents([1])).numpy())


def test_sides_are_whole_however_they_are_given(lively: StyleGAN2) -> None:
    assert lively.at(8.0).size == (8, 8)
    assert all(type(side) is int for side in lively.at(np.int64(8)).size)
    assert lively.synthesize(lively.sample(1), upto=8.0).shape[-2:] == (8, 8)


def test_latents_become_images(lively: StyleGAN2) -> None:
    styles = lively.sample([1, 2], truncation=0.7)
    assert torch.equal(lively(lively.latents([1, 2]), truncation=0.7), lively.synthesize(styles))


def test_hooks_read_change_and_stop(lively: StyleGAN2) -> None:
    styles, seen = lively.sample([1, 2]), []
    first, second, last = (lively.layers[i].name for i in (0, 3, -1))

    def stop(maps: Tensor) -> None:
        raise Stop

    looked = lively.walk(styles, {first: seen.append, last: lambda maps: None})
    assert torch.equal(looked, lively.synthesize(styles))
    assert torch.equal(seen[0], lively.record(styles, first)[first])
    with pytest.raises(Stop):
        lively.walk(styles, {second: stop, last: seen.append})
    assert len(seen) == 1
    changed = lively.walk(styles, {second: lambda maps: 0.5 * maps})
    assert not torch.equal(changed, looked)


def test_a_cache_holds_until_it_says(lively: StyleGAN2) -> None:
    """A state that somebody changed is gone on from, although the styles are those of the cache."""
    styles = lively.sample([1])
    kept, index = lively.cache(styles), 3
    states = list(kept.states)
    states[index] = tuple(t if t is None else 0.5 * t for t in states[index])
    mixed = replace(kept, states=tuple(states), until=index)
    found = lively.synthesize(styles, cache=mixed)
    assert bool(found.isfinite().all())
    assert not torch.equal(found, kept.image)
    assert torch.equal(lively.synthesize(styles, cache=kept), kept.image)


def test_a_cache_keeps_what_there_is_room_for(lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the styles change, the image is that without a cache."""
    styles, whole = lively.sample([1]), lively.cache(lively.sample([1]))
    few = sum(t.nbytes for state in whole.states[1:4] for t in state if t is not None)
    monkeypatch.setattr("lefs.synthesis._BUDGET", few)
    kept = lively.cache(styles)
    assert whole.until is None
    assert kept.until is not None
    assert 3 <= kept.until < len(lively.layers)
    assert len(kept.states) == kept.until + 1
    assert torch.equal(kept.image, whole.image)
    for layer in lively.layers:
        changed = styles.clone()
        changed[:, layer.span] *= 0.5
        torch.testing.assert_close(lively.walk(changed, cache=kept), lively.walk(changed))
    torch.testing.assert_close(lively.walk(styles, cache=kept), whole.image)


def test_sizes_are_height_and_width(lively: StyleGAN2) -> None:
    styles = lively.sample([1])
    assert lively.synthesize(styles).shape == (1, lively.channels, *lively.size)
    for layer in lively.layers:
        assert lively.record(styles, layer.name)[layer.name].shape == (1, layer.channels, *layer.size)
