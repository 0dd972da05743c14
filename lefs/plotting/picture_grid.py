"""Grids of pictures: equal cells placed in inches, with measured margins, so that nothing is squeezed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from lefs.plotting.arrays import upscaled
from lefs.plotting.style import (
    CHANGE_LIMIT,
    CHANGE_MAP,
    DPI,
    FAINT,
    INK,
    MUTED,
    WIDTH,
    new_figure,
    points,
    text_scale,
)

__all__ = ["CAPTION", "PictureGrid", "Row", "fitted", "text_width"]

#: By column: a picture (H, W, 3), uint8, or a map of colour differences (H, W)
Row = dict[int, np.ndarray]
#: Height of a line of captions over a row of pictures, in inches.
CAPTION = 0.23
_GAP, _PAD, _BAR = 0.05, 0.06, 0.78
_LEGEND_LINE, _LEGEND_SIZE, _SWATCH = 0.21, 8.5, 0.27
_TITLE_SIZE, _CAPTION_SIZE, _SMALLEST = 10.5, 9.0, 6.5


def text_width(text: str, size: float, *, weight: str = "normal") -> float:
    """Width of one line of text in inches, with the fonts in use."""
    font = FontProperties(size=size, weight=weight)
    return float(_renderer().get_text_width_height_descent(text, font, False)[0]) / DPI


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def fitted(text: str, width: float, size: float | None = None) -> tuple[str, float]:
    """The text and the type size at which it fits `width` inches, shortened only if nothing else helps."""
    size = _CAPTION_SIZE * text_scale() if size is None else size
    needed = text_width(text, size)
    if needed <= width:
        return text, size
    for share in (1.0, 0.95):  # letters are set on whole pixels: widths do not quite follow sizes
        smaller = max(_SMALLEST, share * size * width / needed)
        if text_width(text, smaller) <= width * 1.001:
            return text, smaller
    keep = max(1, int(len(text) * width / text_width(text, smaller)) - 1)
    return text[:keep].rstrip() + "…", smaller


class PictureGrid:
    """A figure of pictures in rows, with a colour bar beside the rows that hold maps, if any do.

    Parameters
    ----------
    rows : sequence of Row
        The first is full: it tells the size of the pictures and how many columns there are.
    max_cell : float
        Largest width of a cell in inches; smaller where the page's width demands it.
    above, before : mapping of int to float, optional
        Extra inches above a row, before a column.
    title : str, optional
        Bold line at the top.
    row_labels, column_labels : sequence of str, optional
        Left of each row, above each column.
    legend : sequence of (str, ndarray)
        Names and colours, below the pictures.
    bar : bool
        Leave room on the right for another colour bar.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        max_cell: float = 1.6,
        above: Mapping[int, float] | None = None,
        before: Mapping[int, float] | None = None,
        title: str | None = None,
        row_labels: Sequence[str] | None = None,
        column_labels: Sequence[str] | None = None,
        legend: Sequence[tuple[str, np.ndarray]] = (),
        bar: bool = False,
    ) -> None:
        self.scale = scale = text_scale()  # captions need as much more room
        above = {row: inches * scale for row, inches in (above or {}).items()}
        before, columns = before or {}, len(rows[0])
        maps = [r for r, row in enumerate(rows) if any(cell.ndim == 2 for cell in row.values())]
        labels = [fitted(label, min(1.35 * scale, 0.3 * WIDTH)) for label in row_labels or ()]
        widest = max((text_width(t, s) for t, s in labels), default=0.0)
        left = widest + 2 * _PAD if widest else _PAD / 2
        right = _BAR * scale if bar or maps else _PAD / 2
        free = WIDTH - left - right - _GAP * (columns - 1) - sum(before.values())
        self.cell = min(max_cell, free / columns)
        wanted = points("figure.titlesize")
        top = 0.27 * wanted / _TITLE_SIZE if title else 0.0
        top += CAPTION * scale if column_labels else _PAD / 2
        width = left + right + columns * self.cell + _GAP * (columns - 1) + sum(before.values())
        heading, size = fitted(title or "", 0.9 * WIDTH, wanted)
        # Text in a narrow grid still has to fit: it grows to the right of its pictures.
        width = max(width, text_width(heading, size, weight="bold") + 2 * _PAD, 2.4 if legend else 0)
        self.legend_size = points("legend.fontsize")
        self.legend_line = _LEGEND_LINE * self.legend_size / _LEGEND_SIZE
        spots = _flowing([name for name, _ in legend], width - left, self.legend_size)
        bottom = (spots[-1][0] + 1) * self.legend_line + 0.1 if spots else _PAD / 2
        self.row_height = self.cell * (rows[0][0].shape[0] / rows[0][0].shape[1])
        height = top + bottom + len(rows) * self.row_height + _GAP * (len(rows) - 1) + sum(above.values())
        self.figure = new_figure(width, height, constrained=False)
        self.width, self.height = width, height
        self.x = [left + c * (self.cell + _GAP) + _upto(before, c) for c in range(columns)]
        self.y = [
            height - top - (r + 1) * self.row_height - r * _GAP - _upto(above, r) for r in range(len(rows))
        ]
        self._text(self.x[0], height - 0.04, heading, size, ha="left", va="top", weight="bold")
        for r, (text, size) in enumerate(labels):
            self._text(left - _PAD, self.y[r] + self.row_height / 2, text, size, ha="right", va="center")
        for c, text in enumerate(column_labels or ()):
            self.caption(0, c, text)
        self._legend(legend, spots, left)
        self._fill(rows, maps)

    def _fill(self, rows: Sequence[Row], maps: Sequence[int]) -> None:
        for r, row in enumerate(rows):
            for column, cell in row.items():
                self._show(r, column, cell)
        if maps:
            largest = max(cell.max() for r in maps for cell in rows[r].values() if cell.ndim == 2)
            extend = "max" if largest > CHANGE_LIMIT else "neither"
            self.bar(maps[0], maps[-1], CHANGE_MAP, CHANGE_LIMIT, "colour change (ΔE)", extend=extend)

    def _show(self, row: int, column: int, cell: np.ndarray) -> None:
        """A picture, enlarged smoothly, or a map pixel by pixel, on the scale of all such maps."""
        ax = self._add_axes(self.x[column], self.y[row], self.cell, self.row_height)
        ax.set_axis_off()
        if cell.ndim == 3:
            ax.imshow(upscaled(cell[None])[0], aspect="auto", interpolation="antialiased")
            return
        ax.imshow(cell, cmap=CHANGE_MAP, vmin=0, vmax=CHANGE_LIMIT, aspect="auto", interpolation="nearest")
        frame = Rectangle((0, 0), 1, 1, fill=False, ec=FAINT, lw=0.8, transform=ax.transAxes, clip_on=False)
        ax.add_patch(frame)

    def _text(self, x: float, y: float, text: str, size: float, **how: str) -> None:
        if text:
            self.figure.text(x / self.width, y / self.height, text, size=size, **how)  # type: ignore[arg-type]

    def caption(self, row: int, column: int, text: str, *, span: int = 1, strong: bool = False) -> None:
        """Write `text` above a cell, centred, or above `span` cells from there."""
        room = self.x[column + span - 1] + self.cell - self.x[column]
        text, size = fitted(text, room)
        x, y = self.x[column] + room / 2, self.y[row] + self.row_height + 0.05
        self._text(x, y, text, size, ha="center", va="bottom", weight="bold" if strong else "normal")

    def heading(self, text: str) -> None:
        """Write a line above the captions of the first row; it needs ``above={0: CAPTION}``."""
        y = self.y[0] + self.row_height + CAPTION * self.scale + 0.06
        self._text(self.x[0], y, text, _CAPTION_SIZE * self.scale, ha="left", va="bottom")

    def inside(self, row: int, column: int, text: str, *, strong: bool = False) -> None:
        """Write `text` in an empty cell, toward its right-hand neighbour."""
        text, size = fitted(text, self.cell - _PAD)
        x, y = self.x[column] + self.cell - _PAD / 2, self.y[row] + self.row_height / 2
        self._text(x, y, text, size, ha="right", va="center", color=INK if strong else MUTED)

    def _add_axes(self, x: float, y: float, width: float, height: float) -> Axes:
        box = (x / self.width, y / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def bar(self, first: int, last: int, cmap: Colormap, limit: float, label: str, **how: Any) -> None:
        """Colour bar from 0 to `limit` beside the rows `first` to `last`."""
        low, high = self.y[last], self.y[first] + self.row_height
        # Short enough to be read at a glance, and clear of the edges, where its end labels would be cut.
        inset = max(0.06 * self.scale, (high - low - 2.4) / 2)
        ax = self._add_axes(self.x[-1] + self.cell + 0.1, low + inset, 0.1, high - low - 2 * inset)
        scale = ScalarMappable(Normalize(0, limit), cmap)
        bar = self.figure.colorbar(scale, cax=ax, extendfrac=0.06, ticks=[0, limit / 2, limit], **how)
        bar.outline.set(edgecolor=FAINT, linewidth=0.7)
        bar.ax.tick_params(length=0, labelsize=8 * self.scale, pad=3)
        # (on the page, however low the rows are)
        label, size = fitted(label, high - low + _PAD, 8.5 * self.scale)
        bar.set_label(label, size=size, color=INK, labelpad=5)

    def _legend(
        self, entries: Sequence[tuple[str, np.ndarray]], spots: Sequence[tuple[int, float]], left: float
    ) -> None:
        for (name, color), (line, offset) in zip(entries, spots, strict=True):
            x, y = left + offset, self.y[-1] - 0.08 - (line + 0.5) * self.legend_line
            corner = (x / self.width, (y - 0.055) / self.height)
            size = (0.16 / self.width, 0.11 / self.height)
            where = self.figure.transFigure
            self.figure.add_artist(Rectangle(corner, *size, fc=color, ec="none", transform=where))
            self._text(x + 0.21, y, name, self.legend_size, ha="left", va="center")


def _upto(extra: Mapping[int, float], index: int) -> float:
    return sum(inches for i, inches in extra.items() if i <= index)


def _flowing(names: Sequence[str], room: float, size: float) -> list[tuple[int, float]]:
    """Where each entry of a legend stands: its line, and the inches from the left of at most `room`."""
    spots: list[tuple[int, float]] = []
    line, used = 0, 0.0
    for name in names:
        needed = _SWATCH + text_width(name, size) + 0.16
        if used and used + needed > room:
            line, used = line + 1, 0.0
        spots.append((line, used))
        used += needed
    return spots
