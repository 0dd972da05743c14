"""What the two older architectures, StyleGAN and ProGAN, share: sizes, doubling, colors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, pad

from lefs.checks import check_choice, check_number
from lefs.generator import Generator
from lefs.models.configs import resolutions_of, settings_of
from lefs.models.layers import constant, normal
from lefs.stylespace import StyleLayer
from lefs.synthesis import State

__all__ = ["Colors", "Progressive", "blur", "check_blur", "check_images", "pixel_norm", "up_convolution"]

# From this size on the official code convolves and doubles the size in one operation.
_FUSED_FROM = 128


def check_images(config: Any) -> None:
    """Check the resolutions at which a configuration has images: if None, the last one."""
    chosen = [config.resolution] if config.images is None else sorted(config.images)
    for r in chosen:
        check_choice("images", r, resolutions_of(config.resolution))
    if config.resolution not in chosen:
        raise ValueError(f"images must contain the resolution {config.resolution}, got {chosen}")
    object.__setattr__(config, "images", chosen)


def check_blur(taps: Sequence[float]) -> tuple[float, ...]:
    """Return `taps` if there are none, or an odd number of them with a sum to divide by."""
    found = tuple(check_number("blur", tap) for tap in taps)
    if found and (len(found) % 2 == 0 or sum(found) == 0):
        raise ValueError(f"blur must have an odd number of taps and a sum, got {found}")
    return found


def pixel_norm(x: Tensor) -> Tensor:
    """Divide each vector of channels by its root mean square: (N, C) or (N, C, H, W), Karras et al. 2018."""
    # Squares and their sum do not fit half precision.
    precise = x.to(torch.promote_types(x.dtype, torch.float32))
    return (precise * (precise.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()).to(x.dtype)


def up_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Double the size by repeating pixels, then convolve with zeros outside.

    Large maps are done in one transposed convolution whose 4 × 4 kernel is the flipped 3 × 3 kernel, spread
    over the 2 × 2 pixels that repetition makes: the same function with fewer multiplications.

    Parameters
    ----------
    x : Tensor of shape (N, I, h, w)
    weight : Tensor of shape (O, I, 3, 3)

    Returns
    -------
    Tensor of shape (N, O, 2h, 2w)
    """
    if 2 * x.shape[-1] < _FUSED_FROM:
        return conv2d(interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)
    rim = pad(weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
    spread = rim[..., 1:, 1:] + rim[..., :-1, 1:] + rim[..., 1:, :-1] + rim[..., :-1, :-1]
    return conv_transpose2d(x, spread, stride=2, padding=1)


def blur(x: Tensor, taps: Sequence[float]) -> Tensor:
    """Filter each map with `taps`, of odd length and brought to sum 1; zeros outside, the size stays."""
    row = x.new_tensor(taps) / sum(taps)
    channels, half = x.shape[1], len(taps) // 2
    kernel = torch.outer(row, row).expand(channels, 1, -1, -1)
    return conv2d(x, kernel, padding=half, groups=channels)


class Colors(nn.Module):
    """1 × 1 convolution from C channels to three colors, without styles."""

    def __init__(self, inputs: int):
        super().__init__()
        self.weight = nn.Parameter(normal(3, inputs, 1, 1))
        self.bias = nn.Parameter(constant(0, 3))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) → image (N, 3, H, W), float32 at least."""
        precise = torch.promote_types(x.dtype, torch.float32)
        image = conv2d(x, self.weight * self.gain).to(precise)
        return image + self.bias.to(precise)[:, None, None]


class Progressive(Generator):
    """What grew resolution by resolution: each may still have a layer of its own that makes an image."""

    config: Any
    synthesis: nn.Module

    @property
    def architecture_config(self) -> dict[str, Any]:
        """The configuration as plain JSON values; what is at its default is left out."""
        return settings_of(self.config)

    @property
    def preview_size(self) -> int:
        """The full resolution: smaller images have stale colors."""
        return self.size[0]

    def _finish(self, state: State, size: int) -> Tensor:
        image: Tensor = self.synthesis.get_submodule(f"b{size}.torgb")(state[0])
        return image

    def _stage(self, layer: StyleLayer) -> int:
        made = int(layer.name.partition(".")[0][1:])
        return next(r for r in self.config.images if r >= made)
