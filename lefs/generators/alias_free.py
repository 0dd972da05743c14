"""Filters of alias-free networks (Karras et al., NeurIPS 2021): their design, and the nonlinearity between two
of them. Nothing but ordinary convolutions, for any device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, pad

__all__ = ["filtered_leaky_relu", "lowpass_filter", "spare_border"]


def lowpass_filter(taps: int, *, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor:
    """A Kaiser-windowed low-pass filter with unit gain at frequency 0 (paper, Appendix C.1).

    Parameters
    ----------
    taps : its length
    cutoff, width : where it falls to one half, and the width of its transition band, in cycles per image
    rate : samples per image
    radial : whether it is round (a jinc, 2-D) instead of separable (a sinc, 1-D)

    Returns
    -------
    Tensor of shape (taps,) or (taps, taps), float32
    """
    offsets = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    window = torch.kaiser_window(taps, False, beta=_kaiser_beta(taps, 2 * width / rate), dtype=torch.float64)
    if radial:
        distance = torch.hypot(offsets[:, None], offsets)
        ideal = torch.special.bessel_j1(2 * math.pi * cutoff * distance) / (math.pi * distance)
        # the limit in the middle, where a filter of odd length has a tap
        ideal = torch.where(distance > 0, ideal, cutoff) * torch.outer(window, window)
    else:
        ideal = torch.sinc(2 * cutoff * offsets) * window
    return (ideal / ideal.sum()).float()


def _kaiser_beta(taps: int, width: float) -> float:
    """Kaiser's formulas: length and transition band (as a share of the Nyquist rate) → window's shape."""
    attenuation = 2.285 * (taps - 1) * math.pi * width + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21) if attenuation > 21 else 0.0


def filtered_leaky_relu(
    x: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
) -> Tensor:
    """Upsample, apply a leaky ReLU where its new high frequencies do no harm, filter them off, downsample.

    Parameters
    ----------
    x : Tensor of shape (N, C, H, W); zero outside
    up_filter, down_filter : of shape (T,), separable, or (T, T); None: the identity
    up, down : whole factors of the sampling rate
    padding : zeros before and after each row and column at the higher rate; negative numbers crop
    gain, slope, clamp : of the nonlinearity: clamp(gain · leaky_relu(·, slope)) to ±clamp

    Returns
    -------
    Tensor of shape (N, C, H', W') with H' = ⌈(H · up + padding − T_up − T_down + 2) / down⌉
    """
    # Depthwise convolutions are several times faster on a CPU when the channels of a pixel lie together.
    if x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last)
    x = _upsample(x, up_filter, up, padding)
    x = leaky_relu(x, slope) if slope != 1 else x
    # (the gain commutes with both filters, and is cheapest in the coefficients of the last)
    x = x if clamp is None else x.clamp(-clamp / gain, clamp / gain)
    return x * gain if down_filter is None else _downsample(x, down_filter, down, gain)


def spare_border(taps: int, up: int, padding: tuple[int, int]) -> int:
    """How many pixels on each side of its input `filtered_leaky_relu` never looks at."""
    return max(0, math.ceil((min(_crops(taps, up, padding)) - taps + 1) / up))


def _crops(taps: int, up: int, padding: tuple[int, int]) -> tuple[int, int]:
    """What to cut, before and after, from the full convolution of a row with zeros between its samples."""
    return taps - 1 - padding[0], taps - up - padding[1]


def _upsample(x: Tensor, taps: Tensor | None, up: int, padding: tuple[int, int]) -> Tensor:
    """Insert zeros, pad or crop, convolve: a transposed convolution does all three."""
    if taps is None:
        return pad(x, (*padding, *padding)) if any(padding) else x
    crops = _crops(taps.shape[-1], up, padding)
    # All published filters are centred, so that the convolution itself can crop equally at both ends.
    inside = crops[0] if crops[0] == crops[1] >= 0 else 0
    rest = [inside - c for c in crops]
    for kernel, v, h in _passes(taps * up**taps.ndim, x):
        stride, crop = (up**v, up**h), (inside * v, inside * h)
        x = conv_transpose2d(x, kernel, stride=stride, padding=crop, groups=x.shape[1])
    return pad(x, [*rest, *rest]) if any(rest) else x


def _downsample(x: Tensor, taps: Tensor, down: int, gain: float) -> Tensor:
    taps = taps.flip(*range(taps.ndim)) * gain ** (taps.ndim / 2)
    for kernel, v, h in _passes(taps, x):
        x = conv2d(x, kernel, stride=(down**v, down**h), groups=x.shape[1])
    return x


def _passes(taps: Tensor, x: Tensor) -> Iterator[tuple[Tensor, bool, bool]]:
    """Depthwise kernels of a filter, and whether each works vertically and horizontally."""
    if taps.ndim == 2:
        yield _depthwise(taps, x), True, True
    else:
        yield _depthwise(taps[None], x), False, True
        yield _depthwise(taps[:, None], x), True, False


def _depthwise(kernel: Tensor, x: Tensor) -> Tensor:
    return kernel.to(x.dtype).expand(x.shape[1], 1, -1, -1)
