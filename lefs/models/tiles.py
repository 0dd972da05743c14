"""Row tiles: a map passes through layers a few rows at a time.

What lies between two layers stays in cache, and in memory that is used again and again. (A fresh map of
1024 × 1024 costs a CPU as much as a convolution of it.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["TILE", "needs_tiles", "recut", "row_ranges"]

# (start, stop) of rows
Range = tuple[int, int]

TILE = 2**23  # bytes of a tile, about
_FEWEST_ROWS = 8  # (each tile needs a row or two of its neighbours)


def needs_tiles(size: int) -> bool:
    """Whether maps of `size` bytes are too large to be made at once."""
    return size > TILE


def row_ranges(height: int, row: int) -> list[Range]:
    """Cut `height` rows of `row` bytes each into tiles: (start, stop) of each, all starts even."""
    rows = max(_FEWEST_ROWS, TILE // row // 2 * 2)
    return [(start, min(start + rows, height)) for start in range(0, height, rows)]


def recut(tiles: Iterable[Tensor], wanted: Iterable[Range]) -> Iterator[Tensor]:
    """Cut a map that comes in tiles anew.

    Parameters
    ----------
    tiles : iterable of Tensor
        Of shape (N, C, h, W), the map's rows from the top; taken as they are needed.
    wanted : iterable of (int, int)
        (start, stop) of each tile to come, in ascending order; they may overlap and stick out, but each has
        a row of the map.

    Yields
    ------
    Tensor of shape (N, C, stop - start, W)
        Zero outside the map; a view where it lies in one tile.
    """
    source, held, first, end = iter(tiles), list[Tensor](), 0, 0
    for start, stop in wanted:
        while end < stop and (tile := next(source, None)) is not None:
            held.append(tile)
            end += tile.shape[2]
        while first + held[0].shape[2] <= start:
            first += held.pop(0).shape[2]
        yield _rows(held, start - first, stop - first)


def _rows(tiles: list[Tensor], start: int, stop: int) -> Tensor:
    """Rows `start` to `stop` of tiles that follow one another."""
    # (zeros laid out as the map is: otherwise everything would be copied twice)
    nothing = torch.zeros_like(tiles[0][:, :, :1])
    pieces = [nothing] * -start
    for tile in tiles:
        height = tile.shape[2]
        if start < height and stop > 0:
            pieces.append(tile[:, :, max(start, 0) : min(stop, height)])
        start, stop = start - height, stop - height
    pieces += [nothing] * stop
    return torch.cat(pieces, dim=2) if len(pieces) > 1 else pieces[0]
