"""A linear generator whose channels paint disjoint quarters, and a segmenter that knows them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lefs import Catalog
from lefs.generator import Generator, GeneratorId, Sampling
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State

SIDE, EACH = 16, 3  # of the pictures; channels of each quarter in each of two layers
NAMES = ("north-west", "north-east", "south-west", "south-east")


def quarters() -> Tensor:
    """(4, SIDE, SIDE), zeros and ones."""
    half = (torch.arange(SIDE) >= SIDE // 2).long()
    return torch.nn.functional.one_hot(2 * half[:, None] + half, 4).movedim(-1, 0).float()


class Plain(nn.Module):
    """W is z."""

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return z


class QuarterGenerator(Generator):
    """Image = Σ_c σ_c · pattern of c, in two layers; channel c of a layer paints quarter c // EACH alone.

    What a layer scales are its patterns themselves; the state carries the image so far.
    """

    architecture = "quarters"

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        count = 4 * EACH
        random = torch.Generator().manual_seed(seed)
        supports = quarters().repeat_interleave(EACH, dim=0)
        self.size, self.z_dim, self.w_dim, self.num_ws, self.label_dim = (
            (SIDE, SIDE),
            2 * count,
            2 * count,
            1,
            0,
        )
        self.mapping = Plain()
        self.mapping.register_buffer("w_avg", torch.zeros(2 * count))
        self.patterns = nn.Parameter(supports * (0.5 + torch.rand(count, SIDE, SIDE, generator=random)))
        self.colors = nn.Parameter(torch.randn(2, count, 3, generator=random) * 0.04)
        self.layers = tuple(
            StyleLayer(name, "conv", (SIDE, SIDE), count, slice(i * count, (i + 1) * count))
            for i, name in enumerate("ab")
        )
        self.name = "quarters"
        self.freeze()

    @property
    def architecture_config(self) -> dict[str, Any]:
        return {"each": EACH}

    def _styles(self, w: Tensor) -> Tensor:
        return w[:, 0]

    def _begin(self, styles: Tensor) -> State:
        maps = self.patterns[None].expand(len(styles), -1, -1, -1)
        return maps, maps.new_zeros(len(styles), 3, SIDE, SIDE)

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        maps, image = state
        colors = self.colors[self.layers.index(layer)]
        painted = torch.einsum("nc,chw,cr->nrhw", styles[:, layer.span], self.patterns, colors)
        assert image is not None
        return maps, image + painted

    def _finish(self, state: State, size: int) -> Tensor:
        assert state[1] is not None
        return state[1]


def quarter_catalog(generator: QuarterGenerator, truth: Tensor | None = None) -> Catalog:
    """Four parts, the quarters; contributions are the truth, or given ones (4, S)."""
    own = torch.arange(4).repeat_interleave(EACH).repeat(2)
    shares = torch.nn.functional.one_hot(own, 4).t().double() if truth is None else truth
    centers = normalize(torch.eye(4).repeat_interleave(EACH, dim=1), dim=1)
    return Catalog(
        centers=centers,
        layer="a",
        contributions=shares,
        sizes=torch.full((4,), SIDE * SIDE // 4),
        layers=generator.layers,
        parts={name: (k,) for k, name in enumerate(NAMES)},
        generator=GeneratorId.of(generator),
        sampling=Sampling((0, 1), 1.0, 0),
    )


class Quarters:
    """The true parts."""

    names = NAMES

    def __call__(self, images: Tensor) -> Tensor:
        return quarters().argmax(dim=0).expand(len(images), -1, -1)
