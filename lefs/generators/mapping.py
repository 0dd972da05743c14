"""Mapping networks of StyleGAN2 and StyleGAN3: z, and a class if there are any, → w."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lefs.generator import Generator
from lefs.generators.operations import activate, constant, normal

__all__ = ["FullyConnected", "Mapping", "Precise", "set_up", "unit_variance"]


class Precise(nn.Module):
    """Keeps its tensors in float32 at least: latents in bfloat16 would move every pixel.

    A derived class may set `precise` to False where that does not matter.
    """

    precise = True

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Precise:
        def precise(t: Tensor) -> Tensor:
            moved = fn(t)
            narrowed = self.precise and moved.is_floating_point() and moved.element_size() < 4
            return t.to(moved.device, torch.float32) if narrowed else moved

        return super()._apply(precise, recurse)


class FullyConnected(Precise):
    """Linear layer with equalised learning rate; weight and bias are stored divided by `lr`.

    Parameters
    ----------
    inputs, outputs : widths
    bias : initial value of the bias
    lr : learning-rate multiplier
    act : a key of `lefs.generators.operations.ACTIVATIONS`
    """

    def __init__(
        self, inputs: int, outputs: int, *, bias: float = 0.0, lr: float = 1.0, act: str = "linear"
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(outputs, inputs, deviation=1 / lr))
        self.bias = nn.Parameter(constant(bias / lr, outputs))
        self.gain, self.lr, self.act = lr / math.sqrt(inputs), lr, act

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) → (N, outputs)."""
        x = linear(x.to(self.weight.dtype), self.weight * self.gain, self.bias * self.lr)
        return activate(x, self.act)


def unit_variance(x: Tensor) -> Tensor:
    """Each row of (N, D) divided by its root mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Mapping(Precise):
    """Fully connected layers ``fc0``, ``fc1``, ... after a normalisation; classes are embedded by ``embed``.

    Parameters
    ----------
    z_dim, w_dim, label_dim : widths of latents and results, number of classes (0: none)
    depth, lr, act : number of layers, their learning-rate multiplier and activation
    width, embed_dim : widths between the layers and of the embedded class; None: `w_dim`
    normalize : latents and embedded class are brought to unit variance ``"each"``, ``"joint"``-ly, or not
        (``"no"``)
    average : whether there is a buffer ``w_avg``, the mean w
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        label_dim: int = 0,
        *,
        depth: int = 8,
        lr: float = 0.01,
        act: str = "lrelu",
        width: int | None = None,
        embed_dim: int | None = None,
        normalize: str = "each",
        average: bool = True,
    ) -> None:
        super().__init__()
        self.depth, self.normalize = depth, normalize
        first = z_dim
        if label_dim:
            self.embed = FullyConnected(label_dim, embed_dim or w_dim)
            first += embed_dim or w_dim
        widths = [first, *[width or w_dim] * (depth - 1), *[w_dim] * min(depth, 1)]
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            setattr(self, f"fc{i}", FullyConnected(inputs, outputs, lr=lr, act=act))
        if average:
            self.register_buffer("w_avg", constant(0, w_dim))

    def forward(self, z: Tensor, one_hot: Tensor | None = None) -> Tensor:
        """Latents (N, z_dim) and classes (N, label_dim), None for an unconditional network → w (N, w_dim)."""
        each = unit_variance if self.normalize == "each" else _as_is
        x = each(z)
        if one_hot is not None:
            x = torch.cat([x, each(self.embed(one_hot))], dim=1)
        x = unit_variance(x) if self.normalize == "joint" else x
        for i in range(self.depth):
            x = getattr(self, f"fc{i}")(x)
        return x


def _as_is(x: Tensor) -> Tensor:
    return x


def set_up(generator: Generator, config: Any, **mapping: Any) -> None:
    """Take over what every configuration has; make the mapping network, and room for the synthesis.

    `mapping` are further arguments of `Mapping`.
    """
    generator.resolution, generator.label_dim = config.resolution, config.label_dim
    generator.z_dim, generator.w_dim = config.z_dim, config.w_dim
    depth, lr = config.mapping_layers, config.mapping_lr
    generator.mapping = Mapping(config.z_dim, config.w_dim, config.label_dim, depth=depth, lr=lr, **mapping)
    generator.synthesis = nn.Module()
