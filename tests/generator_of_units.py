"""A generator whose units and channels are known by construction, and a segmenter made for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lefs import Catalog
from lefs.energies import measured
from lefs.generator import Generator
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State
from lefs.workers import Sample

CHANNELS, SIDE, SIZE = 6, 4, 8
# channel → colour: two channels make red, two green, two blue
COLORS = np.repeat(np.eye(3), 2, axis=0)
# channel → its positions on the 4 × 4 map: disjoint, and together all of it
OWNER = np.array([[0, 0, 2, 2], [0, 1, 2, 3], [4, 1, 1, 3], [4, 4, 5, 5]])
SUPPORTS = np.stack([c == OWNER for c in range(CHANNELS)]).astype(np.float64)


class Identity(nn.Module):
    """W is z."""

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return z


class Linear(Generator):
    """image = Σ_c σ_a,c σ_b,c e_c · enlarged(support of c) · colour of c, e_c an extra style.

    Layer "a" scales 4 × 4 maps, layer "b" the same ones enlarged to 8 × 8.
    """

    architecture = "linear"

    def __init__(self) -> None:
        super().__init__()
        self.size, self.z_dim, self.w_dim, self.num_ws = (SIZE, SIZE), CHANNELS, CHANNELS, 1
        self.label_dim, self.extra_styles = 0, CHANNELS
        self.mapping = Identity()
        self.mapping.register_buffer("w_avg", torch.zeros(CHANNELS))
        self.maps = nn.Parameter(torch.from_numpy(SUPPORTS).float())
        self.colors = nn.Parameter(torch.from_numpy(COLORS).float())
        self.layers = (
            StyleLayer("a", "conv", (SIDE, SIDE), CHANNELS, slice(0, CHANNELS)),
            StyleLayer("b", "conv", (SIZE, SIZE), CHANNELS, slice(CHANNELS, 2 * CHANNELS)),
        )
        self.freeze()

    @property
    def architecture_config(self) -> dict[str, int]:
        return {"channels": CHANNELS}

    def _styles(self, w: Tensor) -> Tensor:
        w = w[:, 0]
        return torch.cat([1 + 0.05 * w, 1 - 0.03 * w, 0.75 + 0.1 * torch.tanh(w)], dim=1)

    def _begin(self, styles: Tensor) -> State:
        return (styles[:, -CHANNELS:, None, None] * self.maps,)

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        assert state[0] is not None
        scaled = state[0] * styles[:, layer.span, None, None]
        if layer.name == "a":
            scaled = scaled.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return (scaled,)

    def _finish(self, state: State, size: int) -> Tensor:
        return torch.einsum("nchw,cr->nrhw", state[0], self.colors)


class Colours:
    """Label 0 where no colour exceeds one half, else the strongest colour's."""

    names = ("none", "red", "green", "blue")

    def logits(self, images: Tensor) -> Tensor:
        none = torch.full_like(images[:, :1], 0.5)
        return 20 * torch.cat([none, images], dim=1)

    def __call__(self, images: Tensor) -> Tensor:
        return self.logits(images).argmax(dim=1)


def enlarged(maps: np.ndarray) -> np.ndarray:
    return maps.repeat(2, axis=-1).repeat(2, axis=-2)


def images_by_hand(styles: Tensor, maps: np.ndarray | None = None) -> np.ndarray:
    """The formula, in float64; `maps` (N, C, 4, 4) take the place of those that layer a scales."""
    s = styles.double().numpy()
    a, b, e = s[:, :CHANNELS], s[:, CHANNELS : 2 * CHANNELS], s[:, 2 * CHANNELS :]
    maps = e[:, :, None, None] * SUPPORTS if maps is None else maps
    return np.einsum("nc,nchw,cr->nrhw", a * b, enlarged(maps), COLORS)


def labels_by_hand(images: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full_like(images[:, :1], 0.5), images], axis=1).argmax(axis=1)


def catalog_of(generator: Linear, seeds: range = range(6)) -> Catalog:
    """Six clusters, the supports of the six channels; contributions as lefs measures them."""
    centers = torch.eye(CHANNELS)
    sample = Sample(generator, seeds, progress=False)
    found = measured(sample, Catalog.of(sample, "a", centers))
    return found.named([f"part {c}" for c in range(CHANNELS)])
