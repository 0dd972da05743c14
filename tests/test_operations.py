"""Filtered resampling against its definition, activations, mapping networks, StyleGAN2's configuration."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from lefs import StyleGAN2, StyleGAN2Config
from lefs.models.layers import (
    ACTIVATIONS,
    DEFAULT_FILTER,
    Mapping,
    activate,
    check_filter,
    normal,
    up_convolution,
    upsample,
)

FILTERS: list[Any] = [
    DEFAULT_FILTER,
    (1.0, 1.0),
    (1.0, 2.0, 4.0, 1.0, 3.0),
    (1.0,),
    ((1.0, 2.0, 0.0), (3.0, 1.0, 1.0), (0.0, 2.0, 5.0)),
    tuple(float(k) for k in range(1, 10)),
]


def taps_2d(taps: Any) -> np.ndarray:
    rows = np.asarray(taps)
    rows = np.outer(rows, rows) if rows.ndim == 1 else rows
    return rows / rows.sum()


def by_definition(x: Tensor, taps: Any, before: int, *, up: int, size: int) -> np.ndarray:
    """Filtered resampling of one map, pixel by pixel: zeros between samples and outside."""
    source, rows = x.numpy(), taps_2d(taps)
    found = np.zeros((size, size))
    for (i, j), _ in np.ndenumerate(found):
        for (k, m), weight in np.ndenumerate(rows):
            y, z = i - before + len(rows) - 1 - k, j - before + len(rows) - 1 - m
            inside = y % up == 0 and z % up == 0 and 0 <= y // up < len(source) and 0 <= z // up < len(source)
            found[i, j] += weight * source[y // up, z // up] if inside else 0
    return found * up**2


@pytest.mark.parametrize("taps", FILTERS)
def test_resampling_is_what_it_says(taps: Any) -> None:
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    length = len(taps)
    larger = upsample(x, taps)
    assert larger.shape == (2, 3, 12, 12)
    expected = by_definition(x[1, 2], taps, (length + 1) // 2, up=2, size=12)
    np.testing.assert_allclose(larger[1, 2], expected, atol=1e-12)


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("taps", FILTERS)
def test_convolutions_that_resample(taps: Any, side: int) -> None:
    """Enlarging: zeros between the samples, the kernel turned around, the filter. Away from the border, the
    order of kernel and filter makes no difference.
    """
    x, weight = torch.randn(1, 2, 16, 16).double(), torch.randn(3, 2, side, side).double()
    up = up_convolution(x, weight, taps)
    assert up.shape == (1, 3, 32, 32)
    expected = conv2d(upsample(x, taps), weight.flip(2, 3), padding=side // 2)
    torch.testing.assert_close(up[..., 10:-10, 10:-10], expected[..., 10:-10, 10:-10])


def test_filters_are_checked() -> None:
    assert check_filter("f", [1, 3, 3, 1]) is DEFAULT_FILTER
    assert (
        check_filter("f", torch.tensor(DEFAULT_FILTER).outer(torch.tensor(DEFAULT_FILTER)).tolist())
        is DEFAULT_FILTER
    )
    assert check_filter("f", [[1, 2], [3, 4]]) == ((1, 2), (3, 4))
    for wrong in (
        [],
        [1, -1],
        [[1, 2, 3]],
        [1, np.nan],
        "1331",
        None,
        [[1], [2, 3]],
        {},
        [[[1]]],
        [1.0] * 5000,
    ):
        with pytest.raises(ValueError, match="f must be a list of numbers or a square of rows"):
            check_filter("f", wrong)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_zero_or_are_smooth_there(name: str) -> None:
    x = torch.linspace(-3, 3, 13)
    full = activate(x, name)
    torch.testing.assert_close(activate(x, name, gain=0.5), full * 0.5)
    # the clamp shrinks with the gain
    assert float(activate(x, name, gain=0.5, clamp=0.1).abs().max()) <= 0.05 + 1e-7


def test_random_starts_have_a_shape_only_on_the_meta_device() -> None:
    with torch.device("meta"):
        assert normal(2, 3, deviation=2).is_meta
    assert 0.5 < float(normal(100, 100, deviation=2).std()) / 2 < 1.5


@pytest.mark.parametrize("normalize", ["each", "joint", "no"])
def test_latents_are_normalised_as_asked(normalize: str) -> None:
    config = SimpleNamespace(z_dim=4, w_dim=6, label_dim=3, mapping_layers=1, mapping_lr=0.01)
    mapping = Mapping(config, normalize=normalize).double()
    z, one_hot = 5 * torch.randn(2, 4).double(), torch.eye(3).double()[[0, 2]]
    shown = torch.cat([z, mapping.embed(one_hot)], dim=1)
    expected = shown / shown.square().mean(dim=1, keepdim=True).sqrt() if normalize == "joint" else shown
    if normalize == "each":
        pieces = [p / p.square().mean(dim=1, keepdim=True).sqrt() for p in shown.split([4, 6], dim=1)]
        expected = torch.cat(pieces, dim=1)
    torch.testing.assert_close(mapping(z, one_hot), mapping.fc0(expected), rtol=1e-6, atol=1e-6)


# -- StyleGAN2's configuration -----------------------------------------------------------------------------

USUAL: dict[str, Any] = {"resolution": 8, "z_dim": 4, "w_dim": 4, "channels": {4: 3, 8: 2}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"architecture": "pyramid"}, "architecture must be one of 'skip', 'resnet', 'orig'"),
    ({"activation": "gelu"}, "activation must be one of"),
    ({"normalize": "both"}, "normalize must be one of"),
    ({"image_channels": 2}, "image_channels must be one of 3, 1, 4"),
    ({"kernel_size": 2}, "kernel_size must be odd"),
    ({"conv_clamp": -1}, "conv_clamp must be"),
    ({"filter": [0]}, "filter must be"),
    ({"mapping_width": 0}, "mapping_width must be between 1 and"),
    ({"truncation_cutoff": -1}, "truncation_cutoff must be at least 0"),
]


@pytest.mark.parametrize(("change", "expected"), WRONG)
def test_wrong_configurations_are_named(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        StyleGAN2Config(**USUAL | change)


CONFIGS: list[dict[str, Any]] = [
    {},
    {"architecture": "resnet", "filter": [1, 2, 1], "activation": "swish", "conv_clamp": 2.0},
    {"architecture": "orig", "image_filter": [1, 1], "kernel_size": 5, "image_channels": 1, "noise": False},
    {"label_dim": 3, "embed_dim": 2, "mapping_width": 5, "average": False, "truncation_cutoff": 1},
]


@pytest.mark.parametrize("change", CONFIGS)
def test_configurations_survive_json(change: dict[str, Any]) -> None:
    config = StyleGAN2Config(**USUAL | change)
    content = json.loads(json.dumps(StyleGAN2(config).architecture_config))
    assert StyleGAN2Config(**content) == config
    assert set(content) >= set(USUAL) | set(change) - {"image_filter"}


@pytest.mark.parametrize("change", CONFIGS)
def test_bfloat16_and_gradients(change: dict[str, Any]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2(StyleGAN2Config(**USUAL | change)).freeze()
    labels = [1, 2] if network.label_dim else None
    styles = network.sample_styles([1, 2], labels=labels).clone().requires_grad_()
    image = network.synthesize(styles)
    image.square().mean().backward()
    assert styles.grad is not None
    assert all(bool(styles.grad[:, la.span].any()) for la in network.layers)
    half = network.to(torch.bfloat16).synthesize(styles.detach())
    assert float((half - image).detach().abs().max()) < 0.1 * float(image.detach().abs().max())


def test_truncation_stops_at_its_cutoff() -> None:
    network = StyleGAN2(StyleGAN2Config(**USUAL, truncation_cutoff=1))
    z = network.latents([1, 2])
    full, pulled = network.map(z), network.map(z, 0.5)
    assert torch.equal(full[:, 1:], pulled[:, 1:])
    torch.testing.assert_close(pulled[:, 0], full[:, 0] * 0.5)  # (a fresh network's mean is zero)
