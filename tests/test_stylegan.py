"""StyleGAN against an independent float64 version of the paper, and the laws of the Generator contract."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, leaky_relu

import lefs
from lefs.generator import Generator
from lefs.models.progan import up_convolution
from lefs.models.stylegan import StyleGAN, StyleGANConfig

SIZES = {4: 10, 8: 8, 16: 6, 32: 4}


def make(**options: Any) -> StyleGAN:
    """A frozen StyleGAN in which nothing is where a fresh one has it."""
    config = StyleGANConfig(32, z_dim=12, w_dim=14, channels=SIZES, images=[4, 8, 16, 32], **options)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = StyleGAN(config)
        for name, parameter in network.named_parameters():
            if name.endswith(("bias", "noise_strength", "const")):
                parameter.add_(torch.randn_like(parameter) * (20 if name.startswith("mapping.fc") else 0.3))
        if config.mean:
            network.mapping.w_avg.normal_()
    network.freeze()
    return network


@pytest.fixture(scope="module")
def generator() -> StyleGAN:
    return make(mapping_layers=3, mapping_width=9)


@pytest.fixture
def styles(generator: StyleGAN) -> Tensor:
    return generator.sample(range(3))


# -- an independent version ----------------------------------------------------------------------------------


def reference_w(network: StyleGAN, z: Tensor, depth: int, classes: Tensor | None = None) -> Tensor:
    """Equation by equation, in float64; the gain √2 of a layer comes before its activation."""
    tensors = {k: v.double() for k, v in network.state_dict().items()}
    x = z.double()
    if classes is not None:
        embedded = classes.double() @ tensors["mapping.embed.weight"].t() / classes.shape[1] ** 0.5
        x = torch.cat([x, embedded + tensors["mapping.embed.bias"]], dim=1)
    x = x / (x**2).mean(dim=1, keepdim=True).add(1e-8).sqrt()
    lr = network.config.mapping_lr
    for i in range(depth):
        weight, bias = tensors[f"mapping.fc{i}.weight"], tensors[f"mapping.fc{i}.bias"]
        x = leaky_relu((x @ weight.t() * lr / weight.shape[1] ** 0.5 + bias * lr) * 2**0.5, 0.2)
    return x


def blurred(x: Tensor) -> Tensor:
    rows = torch.nn.functional.pad(x, (1, 1, 1, 1))
    rows = rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16


def reference_maps(network: StyleGAN, w: Tensor, noise: bool) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each layer: its normalised maps, and what it leaves; of float64 w (N, L, D)."""
    tensors = {k.removeprefix("synthesis."): v.double() for k, v in network.state_dict().items()}
    x, found = torch.empty(0), {}
    for i, layer in enumerate(network.layers):
        get = {
            k.removeprefix(f"{layer.name}."): v for k, v in tensors.items() if k.startswith(f"{layer.name}.")
        }
        if "const" in get:
            x = get["const"].expand(len(w), -1, -1, -1)
        else:
            weight = get["weight"] * (2 / (9 * get["weight"].shape[1])) ** 0.5
            up = layer.name.endswith("conv0")
            x = conv2d(interpolate(x, scale_factor=2) if up else x, weight, padding=1)
            x = blurred(x) if up else x
        if noise:
            x = x + get["noise_const"] * get["noise_strength"][:, None, None]
        x = leaky_relu(x + get["bias"][:, None, None], 0.2)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x / ((x**2).mean(dim=(2, 3), keepdim=True) + network.config.epsilon).sqrt()
        style = w[:, i] @ get["affine.weight"].t() / w.shape[2] ** 0.5 + get["affine.bias"]
        scale, shift = (s[:, :, None, None] for s in style.chunk(2, dim=1))
        found[layer.name] = (x, x * scale + shift)
        x = x * scale + shift
    return found


def reference_image(network: StyleGAN, features: Tensor, size: int) -> Tensor:
    torgb = network.synthesis.get_submodule(f"b{size}.torgb")
    weight, bias = torgb.get_parameter("weight").double(), torgb.get_parameter("bias").double()
    return conv2d(features, weight / weight.shape[1] ** 0.5) + bias[:, None, None]


@pytest.mark.parametrize(("psi", "noise"), [(1.0, "const"), (0.7, "const"), (1.0, "none"), (0.0, "none")])
def test_whole_network(generator: StyleGAN, psi: float, noise: Any) -> None:
    z = generator.latents(range(3))
    w = reference_w(generator, z, 3)[:, None].repeat(1, 8, 1)
    mean = generator.mean_w().double()
    w[:, :8] = mean + psi * (w[:, :8] - mean)
    found = generator.map(z, psi)
    torch.testing.assert_close(found.double(), w, rtol=1e-5, atol=1e-5)
    maps = reference_maps(generator, w, noise == "const")
    expected = reference_image(generator, maps["b32.conv1"][1], 32)
    image = generator.synthesize(generator.styles(found), noise)
    assert float((image - expected).abs().max()) < 1e-4 * float(expected.max() - expected.min())


def test_truncation_reaches_the_first_layers_only() -> None:
    network = make(truncation_cutoff=3)
    z = network.latents(range(2))
    whole, pulled = network.map(z), network.map(z, 0.5)
    assert torch.equal(pulled[:, 3:], whole[:, 3:])
    torch.testing.assert_close(pulled[:, :3], (whole[:, :3] + network.mean_w()) / 2)


def test_classes() -> None:
    network = make(label_dim=4)
    z, labels = network.latents(range(3)), [0, 3, 2]
    expected = reference_w(network, z, 8, torch.eye(4)[labels])
    torch.testing.assert_close(network.map(z, labels=labels)[:, 0].double(), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="integer from 0 to 3"):
        network.map(z)


def test_estimated_mean_is_near_that_of_other_latents() -> None:
    network = make(mean=False)
    assert "mapping.w_avg" not in network.state_dict()
    w = network.map(network.latents(range(20_000, 24_000)))[:, 0]
    spread = w.std(dim=0) / 4000**0.5
    assert bool(((w.mean(dim=0) - network.mean_w()).abs() < 8 * spread + 1e-6).all())


# -- building blocks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [4, 63, 64, 70])
def test_doubling_in_one_convolution_is_repetition_then_convolution(side: int) -> None:
    x, weight = torch.randn(2, 5, side, side).double(), torch.randn(4, 5, 3, 3).double()
    expected = conv2d(x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), weight, padding=1)
    torch.testing.assert_close(up_convolution(x, weight), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("early", [False, True])
def test_bias_before_or_after_the_blur_differs_at_the_rim_only(early: bool) -> None:
    network = make(blurred_bias=early)
    layer = network.synthesis.get_submodule("b8.conv0")
    plain = copy.deepcopy(layer)
    plain.biased_early = False
    layer.noise_strength.zero_()
    plain.noise_strength.zero_()
    seen: list[Tensor] = []
    for module in (layer, plain):
        module.config = copy.copy(module.config)
        object.__setattr__(module.config, "epsilon", 1e12)  # (no normalisation; no file may ask for that)
        seen.append(module(torch.ones(1, SIZES[4], 4, 4), "none") * 1e6)
    centred = [s - s[:, :, 3:5, 3:5].mean(dim=(2, 3), keepdim=True) for s in seen]
    torch.testing.assert_close(centred[0][:, :, 2:6, 2:6], centred[1][:, :, 2:6, 2:6], atol=1e-4, rtol=0)
    assert torch.allclose(seen[0], seen[1]) != early


@pytest.mark.parametrize(("kind", "shared"), [("drawn", False), ("shared", True)])
def test_drawn_noise(kind: Any, shared: bool) -> None:
    network = make(noise=kind)
    first, second = (network.synthesis.get_submodule(f"b8.conv{i}")._noise_maps("const") for i in (0, 1))
    assert torch.equal(first, second) == shared
    assert not any("noise_const" in name for name in network.state_dict())
    styles = network.sample([0])
    assert torch.equal(network.synthesize(styles, "const"), network.synthesize(styles, 0))
    assert not torch.equal(network.synthesize(styles, 1), network.synthesize(styles, 0))


def test_without_noise() -> None:
    network = make(noise="none")
    styles = network.sample([0])
    assert torch.equal(network.synthesize(styles, "const"), network.synthesize(styles, "none"))
    assert not any("noise" in name for name in network.state_dict())


# -- the contract --------------------------------------------------------------------------------------------


def test_table_of_layers(generator: StyleGAN) -> None:
    total = 2 * sum(SIZES.values())
    assert generator.num_styles == 2 * total
    assert [la.name for la in generator.layers][:4] == ["b4.conv0", "b4.conv1", "b8.conv0", "b8.conv1"]
    assert [la.span.start for la in generator.layers] == [0, 10, 20, 28, 36, 42, 48, 52]
    for layer in generator.layers:
        assert layer.shift == slice(total + layer.span.start, total + layer.span.stop)
    assert generator.default_layer == "b16.conv0"
    assert generator.preview_sizes == (4, 8, 16, 32)
    assert generator.preview_size == 32


def test_recorded_maps_are_normalised_and_not_yet_scaled(generator: StyleGAN, styles: Tensor) -> None:
    w = generator.map(generator.latents(range(3))).double()
    expected = reference_maps(generator, w, noise=True)
    for name, maps in generator.record(styles, ["b4.conv0", "b16.conv0", "b32.conv1"]).items():
        assert float(maps.mean(dim=(2, 3)).abs().max()) < 1e-5
        torch.testing.assert_close(
            maps.square().mean(dim=(2, 3)), torch.ones(3, maps.shape[1]), rtol=1e-3, atol=0
        )
        torch.testing.assert_close(maps.double(), expected[name][0], rtol=0, atol=2e-4)


def test_styles_are_scales_then_shifts(generator: StyleGAN, styles: Tensor) -> None:
    layer = generator.layer("b16.conv1")
    assert layer.shift is not None
    maps = generator.record(styles, layer.name)[layer.name]
    after = reference_maps(generator, generator.map(generator.latents(range(3))).double(), noise=True)
    scale, shift = (styles[:, s][:, :, None, None] for s in (layer.span, layer.shift))
    torch.testing.assert_close((maps * scale + shift).double(), after[layer.name][1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_smaller_image_comes_from_its_own_layer(generator: StyleGAN, styles: Tensor, size: int) -> None:
    w = generator.map(generator.latents(range(3))).double()
    maps = reference_maps(generator, w, noise=True)
    expected = reference_image(generator, maps[f"b{size}.conv1"][1], size)
    image = generator.synthesize(styles, upto=size)
    assert float((image - expected).abs().max()) < 1e-4 * float(expected.max() - expected.min())


@pytest.mark.parametrize("index", [0, 3, 7])
@pytest.mark.parametrize("kind", ["span", "shift"])
def test_resumed_synthesis_is_the_whole_one(
    generator: StyleGAN, styles: Tensor, index: int, kind: str
) -> None:
    cache = generator.cache(styles[:1])
    changed = styles.clone()
    changed[1:] = changed[0]
    changed[:, getattr(generator.layers[index], kind)] += 0.3
    for upto in (None, 16):
        whole = generator.synthesize(changed, upto=upto)
        torch.testing.assert_close(
            generator.synthesize(changed, upto=upto, cache=cache), whole, rtol=0, atol=2e-5
        )
    assert torch.equal(generator.synthesize(styles[:1], cache=cache), cache.image)


def test_gradients_reach_scales_and_shifts_of_every_layer(generator: StyleGAN, styles: Tensor) -> None:
    asked = styles.clone().requires_grad_()
    generator.synthesize(asked, cache=generator.cache(styles)).square().sum().backward()
    assert asked.grad is not None
    for layer in generator.layers:
        for part in (layer.span, layer.shift):
            assert float(asked.grad[:, part].abs().max()) > 0


def test_images_do_not_depend_on_their_batch(generator: StyleGAN, styles: Tensor) -> None:
    together = generator.synthesize(styles, noise=7)
    alone = torch.cat([generator.synthesize(s[None], noise=7) for s in styles])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_narrow_types_keep_latents_wide(generator: StyleGAN, styles: Tensor) -> None:
    narrow = copy.deepcopy(generator).to(torch.bfloat16)
    image = narrow.synthesize(narrow.sample(range(3)))
    assert torch.equal(narrow.sample(range(3)), styles)
    assert image.dtype == torch.float32
    expected = generator.synthesize(styles)
    assert float((image - expected).abs().mean()) < 0.05 * float(expected.max() - expected.min())


# -- in use --------------------------------------------------------------------------------------------------


def test_dissection_and_local_edit(generator: StyleGAN) -> None:
    generator.name = "lively"
    catalog = lefs.dissect(generator, range(8), clusters=3, progress=False)
    scales = generator.layers[-1].span.stop
    assert torch.equal(catalog.contributions[:, :scales], catalog.contributions[:, scales:])
    torch.testing.assert_close(catalog.contributions.sum(dim=0), torch.ones(2 * scales).double())
    q = lefs.QuerySettings(epsilon=4.0).query(catalog, "cluster 0")
    assert float(q[:scales].max()) > 0
    assert not q[scales:].any()
    both = lefs.QuerySettings(epsilon=4.0, shifts=True).query(catalog, "cluster 0")
    assert torch.equal(both, torch.cat([q[:scales], q[:scales]]))
    target, reference = generator.sample_styles([0]), generator.sample_styles([1])
    edited = lefs.transfer(target, reference, q)
    assert torch.equal(edited[:, scales:], target[:, scales:])
    assert torch.equal(lefs.transfer(target, reference, q * 0), target)


# -- configuration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resolution": 24}, "power of two"),
        ({"channels": {4: 3, 8: 3}}, "channels lacks the resolution"),
        ({"images": [4]}, "must contain the resolution 32"),
        ({"images": [5, 32]}, "images must be one of"),
        ({"noise": "loud"}, "noise must be one of"),
        ({"blur": [1, 1]}, "odd number of taps"),
        ({"truncation_cutoff": -1}, "truncation_cutoff"),
        ({"mapping_layers": 0}, "mapping_layers"),
    ],
)
def test_wrong_configuration(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        StyleGANConfig(**{"resolution": 32, "z_dim": 4, "w_dim": 4, "channels": SIZES, **wrong})


def test_configuration_goes_through_json(generator: Generator) -> None:
    assert StyleGANConfig(**generator.architecture_config) == make(mapping_layers=3, mapping_width=9).config
