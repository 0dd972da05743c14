"""Filters of alias-free networks (Karras et al., NeurIPS 2021): their design, and the nonlinearity between
two of them. Nothing but ordinary convolutions, for any device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, pad

__all__ = ["FilteredLeakyReLU", "crops", "lowpass_filter", "spare_border"]


def lowpass_filter(taps: int, *, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor:
    """A Kaiser-windowed low-pass filter with unit gain at frequency 0 (paper, Appendix C.1).

    Parameters
    ----------
    taps : int
        Length of the filter.
    cutoff, width : float
        Where it falls to one half, and the width of its transition band, in cycles per image.
    rate : float
        Samples per image.
    radial : bool
        Whether it is round (a jinc, 2-D) instead of separable (a sinc, 1-D).

    Returns
    -------
    Tensor of shape (taps,) or (taps, taps), float32
    """
    # (A network that is being built without memory computes its filters all the same.)
    with torch.device("cpu"):
        offsets = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
        window = torch.kaiser_window(
            taps, False, beta=_kaiser_beta(taps, 2 * width / rate), dtype=torch.float64
        )
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


def spare_border(taps: int, up: int, padding: tuple[int, int]) -> int:
    """How many pixels on each side of its input a `FilteredLeakyReLU` never looks at."""
    return max(0, math.ceil((min(crops(taps, up, padding)) - taps + 1) / up))


def crops(taps: int, up: int, padding: tuple[int, int]) -> tuple[int, int]:
    """What to cut, before and after, from the full convolution of a row with zeros between its samples."""
    return taps - 1 - padding[0], taps - up - padding[1]


@dataclass(frozen=True, eq=False)
class FilteredLeakyReLU:
    """Upsample, apply a leaky ReLU where its new high frequencies do no harm, filter them off, downsample.

    Called with maps of shape (N, C, H, W), zero outside, it returns (N, C, H', W') with
    H' = ⌊(H · up + padding − T_up + 1 − T_down) / down⌋ + 1.

    Attributes
    ----------
    up_filter : Tensor of shape (T_up,), optional
        Fills in between the samples, row by row and column by column. None: the identity.
    down_filter : Tensor of shape (T_down,) or (T_down, T_down), optional
        Removes what is too high for the lower rate; separable if 1-D. None: the identity.
    up, down : int
        Factors of the sampling rate, 1 where there is no filter.
    padding : tuple of two int
        Zeros before and after each row and column at the higher rate; negative numbers crop. No more than
        `up_filter` reaches: `crops` must not be negative.
    gain, slope : float
        Of the nonlinearity, gain · leaky_relu(·, slope).
    clamp : float, optional
        Its results are clamped to ± this; None: they are not.
    """

    up_filter: Tensor | None = None
    down_filter: Tensor | None = None
    up: int = 1
    down: int = 1
    padding: tuple[int, int] = (0, 0)
    gain: float = math.sqrt(2)
    slope: float = 0.2
    clamp: float | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        if self.up_filter is None and any(self.padding):
            return replace(self, padding=(0, 0))(pad(x, (*self.padding, *self.padding)))
        stop = self._height(x)
        if x.device.type != "cpu":
            return self._rows(x, 0, stop)
        # Depthwise convolutions are several times faster on a CPU when the channels of a pixel lie together;
        # and fresh memory is slow there, so that tiles keep small what lies between the filters.
        images, channels, rows = self._tile(x)
        groups = []
        for group in x.split(images):
            blocks = []
            for block in group.split(channels, dim=1):
                block = block.contiguous(memory_format=torch.channels_last)
                starts = range(0, stop, rows)
                blocks.append(_cat([self._rows(block, i, min(i + rows, stop)) for i in starts], dim=2))
            groups.append(_cat(blocks, dim=1))
        return _cat(groups, dim=0)

    def _tile(self, x: Tensor) -> tuple[int, int, int]:
        """How many images, channels and rows of the result to make at a time."""
        row = x.shape[3] * self.up * x.element_size()
        fit = _TILE // (row * x.shape[2] * self.up)  # channels
        images, channels = max(1, fit // x.shape[1]), min(x.shape[1], max(_FEWEST_CHANNELS, fit))
        return images, channels, max(_FEWEST_ROWS, _TILE // (row * channels * images * self.down))

    def _height(self, x: Tensor) -> int:
        fine = x.shape[2] * self.up + sum(self.padding) - _length(self.up_filter) + 1
        return (fine - _length(self.down_filter)) // self.down + 1

    def _rows(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the result."""
        x = self._upsampled(x, start * self.down, (stop - 1) * self.down + _length(self.down_filter))
        x = leaky_relu(x, self.slope) if self.slope != 1 else x
        if self.clamp is not None:
            # (the gain commutes with what follows, and is cheapest in the coefficients of a filter)
            x = x.clamp(-self.clamp / self.gain, self.clamp / self.gain)
        return x * self.gain if self.down_filter is None else self._downsampled(x, self.down_filter)

    def _upsampled(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` at the higher rate. A transposed convolution fills in between samples."""
        taps = self.up_filter
        if taps is None:
            return x[:, :, start:stop]
        before, after = crops(len(taps), self.up, self.padding)
        start, stop = start + before, stop + before
        seen = max(0, math.ceil((start - len(taps) + 1) / self.up))
        x = x[:, :, seen : (stop - 1) // self.up + 1]
        kernel, channels = (taps * self.up).to(x.dtype).expand(x.shape[1], 1, 1, -1), x.shape[1]
        # All published filters are centred, so that the convolution itself crops the columns.
        inside = min(before, after)
        x = conv_transpose2d(x, kernel, stride=(1, self.up), padding=(0, inside), groups=channels)
        x = conv_transpose2d(x, kernel.transpose(2, 3), stride=(self.up, 1), groups=channels)
        columns = slice(before - inside, x.shape[3] - (after - inside))
        return x[:, :, start - self.up * seen : stop - self.up * seen, columns]

    def _downsampled(self, x: Tensor, taps: Tensor) -> Tensor:
        step, channels = self.down, x.shape[1]
        if taps.ndim == 2:
            kernel = (taps.flip(0, 1) * self.gain).to(x.dtype).expand(channels, 1, -1, -1)
            return conv2d(x, kernel, stride=step, groups=channels)
        kernel = (taps.flip(0) * math.sqrt(self.gain)).to(x.dtype).expand(channels, 1, 1, -1)
        x = conv2d(x, kernel, stride=(1, step), groups=channels)
        return conv2d(x, kernel.transpose(2, 3), stride=(step, 1), groups=channels)


_TILE = 2**24  # bytes at the higher rate
_FEWEST_CHANNELS, _FEWEST_ROWS = 32, 32


def _length(taps: Tensor | None) -> int:
    return 1 if taps is None else taps.shape[-1]


def _cat(pieces: list[Tensor], dim: int) -> Tensor:
    return torch.cat(pieces, dim) if len(pieces) > 1 else pieces[0]
