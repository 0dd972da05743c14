"""ProGAN against an independent float64 version of the paper; dissected, but not edited."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, leaky_relu

import lefs
from lefs.models.progan import ProGAN, ProGANConfig

SIZES = {4: 16, 8: 12, 16: 12, 32: 8}


def make(**options: Any) -> ProGAN:
    """A frozen ProGAN in which nothing is where a fresh one has it."""
    config = ProGANConfig(32, z_dim=20, channels=SIZES, images=[8, 32], **options)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = ProGAN(config)
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    network.name = "grown"
    network.freeze()
    return network


@pytest.fixture(scope="module")
def generator() -> ProGAN:
    return make()


def unit(x: Tensor) -> Tensor:
    return x / ((x**2).mean(dim=1, keepdim=True) + 1e-8).sqrt()


def reference_maps(network: ProGAN, codes: Tensor) -> dict[str, Tensor]:
    """What enters each layer, in float64, and what each resolution ends with."""
    tensors = {k.removeprefix("synthesis."): v.double() for k, v in network.state_dict().items()}
    x, found = unit(codes.double()), {}
    for r in SIZES:
        for part in ("conv0", "conv1"):
            found[f"b{r}.{part}"] = x
            weight, bias = tensors[f"b{r}.{part}.weight"], tensors[f"b{r}.{part}.bias"]
            if weight.ndim == 2:
                # The first layer's gain is a quarter of the others'.
                x = (x @ weight.t() * (2 / weight.shape[1]) ** 0.5 / 4).reshape(len(x), -1, 4, 4)
            else:
                weight = weight * (2 / (9 * weight.shape[1])) ** 0.5
                x = conv2d(interpolate(x, scale_factor=2) if part == "conv0" else x, weight, padding=1)
            x = unit(leaky_relu(x + bias[:, None, None], 0.2))
        found[f"b{r}.torgb"] = x
    return found


def reference_image(network: ProGAN, codes: Tensor, size: int) -> Tensor:
    torgb = network.synthesis.get_submodule(f"b{size}.torgb")
    weight, bias = torgb.get_parameter("weight").double(), torgb.get_parameter("bias").double()
    features = reference_maps(network, codes)[f"b{size}.torgb"]
    return conv2d(features, weight / weight.shape[1] ** 0.5) + bias[:, None, None]


@pytest.mark.parametrize("size", [8, 32])
def test_whole_network(generator: ProGAN, size: int) -> None:
    codes = generator.sample(range(3))
    expected = reference_image(generator, codes, size)
    image = generator.synthesize(codes, upto=size)
    assert image.shape == (3, 3, size, size)
    assert float((image - expected).abs().max()) < 1e-4 * float(expected.max() - expected.min())


def test_activations_are_what_enters_each_layer(generator: ProGAN) -> None:
    codes = generator.sample(range(3))
    expected = reference_maps(generator, codes)
    found = generator.record(codes, [la.name for la in generator.layers])
    assert list(found) == [la.name for la in generator.layers]
    for layer in generator.layers:
        assert found[layer.name].shape == (3, layer.channels, *layer.size)
        torch.testing.assert_close(found[layer.name].double(), expected[layer.name], rtol=0, atol=1e-3)


def test_table_of_layers(generator: ProGAN) -> None:
    assert [la.name for la in generator.layers] == [
        "b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1", "b32.torgb",
    ]  # fmt: skip
    assert [la.size[0] for la in generator.layers] == [4, 4, 8, 8, 16, 16, 32, 32]
    assert generator.layers[-1].kind == "rgb"
    assert generator.num_styles == sum(la.channels for la in generator.layers)
    assert generator.layer(generator.default_layer).size[0] == 16


def test_the_first_layer_takes_the_latent_whatever_channels_are_told() -> None:
    network = ProGAN(ProGANConfig(8, z_dim=6, channels={2: 5, 4: 4, 8: 4}))
    assert network(torch.zeros(2, 6)).shape == (2, 3, 8, 8)


def test_classes_follow_the_latent() -> None:
    network = make(label_dim=4)
    codes = network.sample([5, 6], labels=[3, 0])
    assert torch.equal(codes[:, :20], network.latents([5, 6]))
    assert torch.equal(codes[:, 20:], torch.eye(4)[[3, 0]])
    with pytest.raises(ValueError, match="integer from 0 to 3"):
        network.sample([5])
    with pytest.raises(ValueError, match="20 of the latent and 4 of the class"):
        network.synthesize(network.latents([5]))


def test_latent_may_be_normalised_before_its_class() -> None:
    before, after = make(label_dim=4, normalize_z=True), make(label_dim=4)
    codes = before.sample([5], labels=[3])
    normalised = torch.cat([unit(codes[:, :20]), codes[:, 20:]], dim=1)
    torch.testing.assert_close(before.synthesize(codes), after.synthesize(normalised), rtol=0, atol=1e-5)


def test_no_styles(generator: ProGAN) -> None:
    assert not generator.has_styles
    z = generator.latents([0])
    refused = (
        lambda: generator.map(z),
        lambda: generator.styles(z),
        lambda: generator.sample_styles([0]),
    )
    for call in refused:
        with pytest.raises(
            TypeError,
            match=r"ProGAN, which has no styles: .* in place \(where=\"part\"\) work, moving channels",
        ):
            call()


def test_sizes_that_there_are_no_images_of(generator: ProGAN) -> None:
    with pytest.raises(ValueError, match="upto must be one of 8, 32"):
        generator.synthesize(generator.sample([0]), upto=16)


def test_dissection(generator: ProGAN) -> None:
    catalog = lefs.dissect(generator, range(8), clusters=3, progress=False)
    assert catalog.layer == generator.default_layer
    torch.testing.assert_close(
        catalog.contributions.sum(dim=0), torch.ones(generator.num_styles).double(), rtol=0, atol=1e-9
    )
    membership = catalog.membership(generator, generator.sample([100, 101]))
    assert membership.shape == (2, 3, 16, 16)
    assert bool((membership.sum(dim=1) == 1).all())


def test_editing_says_why_not(generator: ProGAN) -> None:
    catalog = lefs.dissect(generator, range(4), clusters=2, progress=False)
    with pytest.raises(TypeError, match=r"no styles: .*where=\"part\""):
        lefs.Editor(generator, catalog).render(lefs.Recipe(0, (lefs.Change("cluster 0", 1),)))


def test_half_precision_is_close(generator: ProGAN) -> None:
    codes = generator.sample(range(2))
    expected = generator.synthesize(codes)
    narrow = make().to(torch.bfloat16)
    image = narrow.synthesize(codes)
    assert image.dtype == torch.float32
    assert float((image - expected).abs().mean()) < 0.05 * float(expected.max() - expected.min())


@pytest.mark.parametrize("wrong", [{"z_dim": 0}, {"label_dim": -1}, {"channels": {4: 2}}, {"images": [7]}])
def test_wrong_configuration(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        ProGANConfig(**{"resolution": 32, "z_dim": 4, "channels": SIZES, **wrong})
