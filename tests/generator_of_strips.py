"""A generator in which everything is known: a part is a strip of the image, a channel lives in one strip."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lefs.generator import Generator
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State

STRIPS, EACH = 4, 2  # strips of the image, channels of each layer in each


class _Mapping(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, size) / size**0.5)
        self.register_buffer("w_avg", torch.zeros(size))

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return (z @ self.weight).sinh()  # (not normal, so that its covariance is its own)


class StripGenerator(Generator):
    """I(x) = Σ_c σ_c A_c(x) colour_c over two layers; σ = B w + b. Channel c is positive inside strip c mod
    STRIPS and zero elsewhere, so that M is 1 there, and editing the channels of a strip changes nothing else.
    """

    architecture = "disjoint"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.size, self.z_dim, self.w_dim, self.num_ws, self.label_dim = (16, 16), 6, 6, 2, 0
        count = STRIPS * EACH
        self.layers = (
            StyleLayer("b8.conv0", "conv", (8, 8), count, slice(0, count)),
            StyleLayer("b16.conv0", "conv", (16, 16), count, slice(count, 2 * count)),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.mapping = _Mapping(self.w_dim)
            for layer in self.layers:
                key, side = layer.name.partition(".")[0], layer.size[0]
                strips = torch.arange(side) * STRIPS // side == torch.arange(count)[:, None] % STRIPS
                self.register_buffer(f"{key}_maps", strips[:, None, :] * (0.5 + torch.rand(count, side, 1)))
                self.register_buffer(f"{key}_colours", 0.1 * torch.rand(count, 3))
            self.register_buffer("weight", 0.3 * torch.randn(2 * count, self.w_dim))
            self.register_buffer("bias", torch.randn(2 * count))
        self.name = "disjoint"
        self.freeze()

    @property
    def architecture_config(self) -> dict[str, Any]:
        return {}

    def _maps(self, layer: StyleLayer) -> Tensor:
        return self.get_buffer(f"{layer.name.partition('.')[0]}_maps")

    def _styles(self, w: Tensor) -> Tensor:
        half = len(self.bias) // 2
        return torch.cat(
            [w[:, i] @ self.weight[i * half : (i + 1) * half].t() for i in (0, 1)], dim=1
        ) + self.get_buffer("bias")

    # A state is (maps of the next layer, image so far).
    def _begin(self, styles: Tensor) -> State:
        first = self._maps(self.layers[0]).expand(len(styles), -1, -1, -1)
        return first, styles.new_zeros(len(styles), 3, *self.size)

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        maps, image = state
        assert maps is not None
        assert image is not None
        colours = self.get_buffer(f"{layer.name.partition('.')[0]}_colours")
        added = torch.einsum("nchw,nc,cd->ndhw", maps, styles[:, layer.span], colours)
        factor = self.size[0] // layer.size[0]
        image = image + added.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
        following = self._maps(self.layers[-1]).expand(len(styles), -1, -1, -1)
        return following, image

    def _finish(self, state: State, size: int) -> Tensor:
        assert state[1] is not None
        return state[1]

    def strip_masks(self, count: int) -> Tensor:
        """Where each strip is: (count, STRIPS, 16, 16), bool."""
        owner = torch.arange(16) * STRIPS // 16
        mask = owner[None, :] == torch.arange(STRIPS)[:, None]
        return mask[None, :, None, :].expand(count, -1, 16, -1)
