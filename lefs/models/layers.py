"""What the networks are made of: filtered resampling, activations, fully connected layers; plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, linear, pad

__all__ = [
    "ACTIVATIONS", "DEFAULT_FILTER", "HOMOGENEOUS", "Filter", "FullyConnected", "Mapping", "Precise",
    "activate", "activate_", "check_filter", "constant", "enlarging_convolution", "filtered",
    "memory_format", "normal", "seeded_map", "shapes_only", "unit_variance",
    "up_convolution", "upsample", "working_type",
]  # fmt: skip


Filter = tuple[float, ...] | tuple[tuple[float, ...], ...]
DEFAULT_FILTER: Filter = (1.0, 3.0, 3.0, 1.0)

# where new tensors are made; None is PyTorch's default
_place: ContextVar[str | None] = ContextVar("_place", default=None)

# name → (function, gain that keeps the variance)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "linear": (lambda x: x, 1.0),
    "relu": (functional.relu, math.sqrt(2)),
    "lrelu": (lambda x: functional.leaky_relu(x, 0.2), math.sqrt(2)),
    "tanh": (torch.tanh, 1.0),
    "sigmoid": (torch.sigmoid, 1.0),
    "elu": (functional.elu, 1.0),
    "selu": (functional.selu, 1.0),
    "softplus": (functional.softplus, 1.0),
    "swish": (functional.silu, math.sqrt(2)),
}

# those with f(c · x) = c · f(x) for c > 0, and their own gain, which can then come before them
HOMOGENEOUS = {name: ACTIVATIONS[name][1] for name in ("linear", "relu", "lrelu")}


def activate(x: Tensor, name: str, *, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Activation, then its own gain times `gain`, then a clamp to ±`clamp` · `gain` unless that is None."""
    function, own = ACTIVATIONS[name]
    x = function(x)
    x = x if own * gain == 1 else x * (own * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def activate_(x: Tensor, name: str, *, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """As `activate`, but may overwrite `x`, and the gains of `HOMOGENEOUS` activations are in `x` already."""
    if name not in HOMOGENEOUS:
        return activate(x, name, gain=gain, clamp=clamp)
    x = functional.leaky_relu_(x, 0.2) if name == "lrelu" else x.relu_() if name == "relu" else x
    if clamp is None:
        return x
    # (the activation's gradient needs what it returned)
    return x.clamp(-clamp * gain, clamp * gain) if x.requires_grad else x.clamp_(-clamp * gain, clamp * gain)


def memory_format(x: Tensor) -> torch.memory_format:
    """The layout in which convolutions of such a tensor are fastest: channels last on a CPU and for half
    precision on CUDA.
    """
    fast = x.dtype != torch.float64 if x.device.type == "cpu" else x.is_cuda and x.element_size() < 4
    return torch.channels_last if fast else torch.contiguous_format


def working_type(weight: Tensor) -> torch.dtype:
    """What a layer with this weight computes in: autocast's type where that is on, else the weight's own."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


@contextmanager
def shapes_only() -> Iterator[None]:
    """Within, `normal` and `constant` make tensors of the meta device, which take no memory.

    PyTorch's own way, that device as a context, takes as long again as making the modules; its random
    functions and arithmetic would also import half of its compiler there: two seconds.
    """
    before = _place.set("meta")
    try:
        yield
    finally:
        _place.reset(before)


def _start(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, device=_place.get())


def normal(*shape: int, deviation: float = 1.0) -> Tensor:
    """Normally distributed numbers to start from; within `shapes_only` just a shape."""
    start = _start(shape)
    return start if start.is_meta else start.normal_(0, deviation)


def constant(value: float, *shape: int) -> Tensor:
    """Equal numbers to start from; within `shapes_only` just a shape."""
    start = _start(shape)
    return start if start.is_meta else start.fill_(value)


# -- filters ---------------------------------------------------------------------------------------------


def check_filter(name: str, taps: object) -> Filter:
    """Return `taps` as a tuple of numbers (separable) or a tuple of rows, `DEFAULT_FILTER` if it is a
    multiple of that one, as is or as its outer product.

    Raises
    ------
    ValueError
        If it is neither a list nor a square of numbers, or sums to zero.
    """
    try:
        values = np.asarray(taps, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.asarray(math.nan)
    square = values.ndim == 1 or (values.ndim == 2 and values.shape[0] == values.shape[1])
    usable = square and 0 < values.size <= 4096 and bool(np.isfinite(values).all())
    if not usable or float(values.sum()) == 0:
        raise ValueError(
            f"{name} must be a list of numbers or a square of rows, not summing to 0; got {taps!r:.200}"
        )
    usual = np.asarray(DEFAULT_FILTER)
    usual = usual if values.ndim == 1 else np.outer(usual, usual)
    if values.shape == usual.shape and np.allclose(values / values.sum(), usual / usual.sum(), rtol=1e-5):
        return DEFAULT_FILTER
    listed = values.tolist()
    return tuple(map(tuple, listed)) if values.ndim == 2 else tuple(listed)


def filtered(x: Tensor, taps: Filter, margins: tuple[int, int], *, up: int = 1, gain: float = 1.0) -> Tensor:
    """Insert zeros (`up`), add margins of zeros or crop, convolve with `taps`.

    Parameters
    ----------
    x : Tensor of shape (N, C, H, W)
        The maps.
    taps : tuple of float, or tuple of rows
        A separable filter as numbers, or any filter as rows.
    margins : tuple of two int
        Zeros before and after each axis of the enlarged map; negative numbers crop.
    up : int
        Factor between the sides of the enlarged map and those of `x`, from 1 on.
    gain : float
        What the sum of the filter is brought to.

    Returns
    -------
    Tensor of shape (N, C, H', W')
    """
    count, channels, height, width = x.shape
    # Each map by itself: one input channel, so that the number of channels does not matter.
    x = x.reshape(count * channels, 1, height, width)
    if up > 1:
        x = pad(x.reshape(-1, 1, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
        x = x.reshape(-1, 1, height * up, width * up)
    x = pad(x, (*margins, *margins))
    rows = np.flip(np.asarray(taps, dtype=np.float64))
    kernel = torch.from_numpy(rows / rows.sum()).to(x.device, x.dtype)
    if kernel.ndim == 1:
        x = conv2d(conv2d(x, kernel[None, None, None]), kernel[None, None, :, None] * gain)
    else:
        x = conv2d(x, kernel[None, None] * gain)
    return x.reshape(count, channels, *x.shape[2:])


# -- up --------------------------------------------------------------------------------------------------


def upsample(x: Tensor, taps: Filter = DEFAULT_FILTER) -> Tensor:
    """Double the size with the filter `taps` and zeros outside: (N, C, h, w) → (N, C, 2h, 2w)."""
    if taps == DEFAULT_FILTER:
        # Bilinear interpolation is that filter, but for the border: there it repeats the last pixels.
        x = interpolate(x, scale_factor=2.0, mode="bilinear")
        for border in (x[:, :, 0], x[:, :, -1], x[..., 0], x[..., -1]):
            border.mul_(0.75)
        return x
    length = len(taps)
    return filtered(x, taps, ((length + 1) // 2, (length - 2) // 2), up=2, gain=4)


def up_convolution(x: Tensor, weight: Tensor, taps: Filter = DEFAULT_FILTER) -> Tensor:
    """StyleGAN2's stride-2 transposed convolution followed by its filter.

    Parameters
    ----------
    x : Tensor of shape (N, I, h, w)
    weight : Tensor of shape (O, I, k, k), k odd

    Returns
    -------
    Tensor of shape (N, O, 2h, 2w)
    """
    if weight.shape[-1] == 1:
        return upsample(conv2d(x, weight), taps)
    return enlarging_convolution(x, weight.transpose(0, 1), taps)


def enlarging_convolution(
    x: Tensor, weight: Tensor, taps: Filter, bias: Tensor | None = None, *, cut: bool = False
) -> Tensor:
    """As `up_convolution`, with a weight of shape (I, O, k, k) and a bias (O,).

    `cut`, for the usual filter and 3 × 3 kernels only: the first and last row of `x` are what lies around the
    rows that are to be enlarged.
    """
    side, length, outputs = weight.shape[-1], len(taps), weight.shape[1]
    if side == 3 and taps == DEFAULT_FILTER:
        x = conv_transpose2d(x, weight, stride=2, padding=(int(cut), 0))
        kernel = _usual_kernel(x.dtype, x.device).expand(outputs, 1, 4, 4)
        return conv2d(x, kernel, bias, padding=(int(not cut), 1), groups=outputs)
    before, after = side // 2 + (length + 1) // 2 - (side - 1), side // 2 + (length - 2) // 2 - (side - 2)
    x = filtered(conv_transpose2d(x, weight, stride=2), taps, (before, after), gain=4)
    return x if bias is None else x + bias[:, None, None]


@lru_cache(maxsize=8)
def _usual_kernel(dtype: torch.dtype, device: torch.device) -> Tensor:
    taps = np.asarray(DEFAULT_FILTER) / np.sum(DEFAULT_FILTER)
    with torch.inference_mode(False):
        return torch.from_numpy(4 * np.outer(taps, taps)).to(device, dtype)


class Precise(nn.Module):
    """Keeps its tensors in float32 at least: latents in bfloat16 would move every pixel."""

    def keeps(self, tensor: Tensor) -> bool:
        """Whether to do that with this one."""
        return True

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Precise:
        def precise(t: Tensor) -> Tensor:
            moved = fn(t)
            narrowed = self.keeps(t) and moved.is_floating_point() and moved.element_size() < 4
            return t.to(moved.device, torch.float32) if narrowed else moved

        return super()._apply(precise, recurse)


class FullyConnected(Precise):
    """Linear layer with equalised learning rate; weight and bias are stored divided by `lr`.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of features before and after the layer.
    bias : float
        Initial value of the bias.
    lr : float
        Learning-rate multiplier.
    act : str
        Name of the activation, from `lefs.models.layers.ACTIVATIONS`.
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


# settings of a mapping network that not every configuration has
_SETTINGS: dict[str, Any] = {"mapping_width": None, "mapping_activation": "lrelu", "embed_dim": None}
_SETTINGS |= {"normalize": "each", "average": True}


class Mapping(Precise):
    """Fully connected layers ``fc0``, ``fc1``, ... after a normalisation; classes are embedded by ``embed``.

    Parameters
    ----------
    config : StyleGAN2Config, StyleGAN3Config or StyleGANConfig
        Its settings about latents, classes and the mapping network are read.
    **given : Any
        Those of a `StyleGAN2Config` that it does not have, where they are not at their defaults.
    """

    def __init__(self, config: Any, **given: Any):
        super().__init__()
        own = SimpleNamespace(**{**_SETTINGS, **vars(config), **given})
        self.depth, self.normalize, first = own.mapping_layers, own.normalize, own.z_dim
        if own.label_dim:
            self.embed = FullyConnected(own.label_dim, own.embed_dim or own.w_dim)
            first += own.embed_dim or own.w_dim
        widths = [first, *[own.mapping_width or own.w_dim] * (self.depth - 1), own.w_dim]
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            layer = FullyConnected(inputs, outputs, lr=own.mapping_lr, act=own.mapping_activation)
            self.add_module(f"fc{i}", layer)
        if own.average:
            shape = (own.w_dim,) if own.average is True else (own.average, own.w_dim)
            self.w_avg = nn.Buffer(constant(0, *shape))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, z_dim) and labels (N, label_dim), None for an unconditional network → w (N, w_dim)."""
        parts = [z] if labels is None else [z, self.embed(labels)]
        x = torch.cat([unit_variance(p) for p in parts] if self.normalize == "each" else parts, dim=1)
        x = unit_variance(x) if self.normalize == "joint" else x
        for i in range(self.depth):
            x = self.get_submodule(f"fc{i}")(x)
        return x


def seeded_map(seed: int, resolution: int, index: int, size: tuple[int, int] | None = None) -> Tensor:
    """The noise map of a seed for one layer of a resolution, float32, square if no size is given.

    Each layer draws from its own stream, so that a cache can be resumed anywhere.
    """
    drawn = np.random.RandomState([seed, resolution, index]).randn(*(size or (resolution, resolution)))
    return torch.from_numpy(drawn.astype(np.float32))
