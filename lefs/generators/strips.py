"""Maps that pass through layers a few rows at a time: what lies between two layers stays in cache, and in
memory that is used again and again. (A fresh map of 1024 × 1024 costs a CPU as much as a convolution of it.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["Span", "needs_strips", "spans", "windows"]

Span = tuple[int, int]

_STRIP = 2**23  # bytes of a strip, about
_FEWEST_ROWS = 8  # (each strip needs a row or two of its neighbours)


def needs_strips(size: int) -> bool:
    """Whether maps of `size` bytes are too large to be made at once."""
    return size > _STRIP


def spans(height: int, row: int) -> list[Span]:
    """Cut `height` rows of `row` bytes each into strips: (start, stop) of each, all starts even."""
    rows = max(_FEWEST_ROWS, _STRIP // row // 2 * 2)
    return [(start, min(start + rows, height)) for start in range(0, height, rows)]


def windows(strips: Iterable[Tensor], wanted: Iterable[Span]) -> Iterator[Tensor]:
    """Cut a map that comes in strips anew.

    Parameters
    ----------
    strips : Tensors of shape (N, C, h, W), the map's rows from the top; taken as they are needed
    wanted : (start, stop) of each window, in ascending order; windows may overlap
        and stick out, but each has a row of the map

    Yields
    ------
    Tensor of shape (N, C, stop - start, W), zero outside the map; a view where it lies in one strip
    """
    source, held, first, end = iter(strips), list[Tensor](), 0, 0
    for start, stop in wanted:
        while end < stop and (strip := next(source, None)) is not None:
            held.append(strip)
            end += strip.shape[2]
        while first + held[0].shape[2] <= start:
            first += held.pop(0).shape[2]
        yield _rows(held, start - first, stop - first)


def _rows(strips: list[Tensor], start: int, stop: int) -> Tensor:
    """Rows `start` to `stop` of strips that follow one another."""
    # (zeros laid out as the map is: otherwise everything would be copied twice)
    nothing = torch.zeros_like(strips[0][:, :, :1])
    pieces = [nothing] * -start
    for strip in strips:
        height = strip.shape[2]
        if start < height and stop > 0:
            pieces.append(strip[:, :, max(start, 0) : min(stop, height)])
        start, stop = start - height, stop - height
    pieces += [nothing] * stop
    return torch.cat(pieces, dim=2) if len(pieces) > 1 else pieces[0]
