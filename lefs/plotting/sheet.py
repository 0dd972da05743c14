"""Sheets of pictures: equal cells placed in inches, with measured margins, so that nothing is squeezed."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from lefs.plotting.arrays import upscaled
from lefs.plotting.style import CHANGE_MAP, DPI, FAINT, INK, MUTED, WIDTH, new_figure

__all__ = ["CAPTION", "Sheet", "change_limit", "fitted", "text_width"]

#: Height of a line of captions over a row of pictures, in inches.
CAPTION = 0.23
_GAP, _PAD, _BAR = 0.05, 0.06, 0.78
_LEGEND_LINE, _SWATCH = 0.21, 0.27
_TITLE_SIZE, _CAPTION_SIZE, _SMALLEST = 10.5, 9.0, 6.5
_NICE_LIMITS = (10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 150)


def text_width(text: str, size: float, *, weight: str = "normal") -> float:
    """Width of one line of text in inches, with the fonts in use."""
    font = FontProperties(size=size, weight=weight)
    return float(_renderer().get_text_width_height_descent(text, font, "$" in text)[0]) / DPI


@functools.cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def fitted(text: str, width: float, size: float = _CAPTION_SIZE) -> tuple[str, float]:
    """The text and the type size at which it fits `width` inches, shortened only if nothing else helps."""
    needed = text_width(text, size)
    if needed <= width:
        return text, size
    smaller = max(_SMALLEST, size * width / needed)
    if text_width(text, smaller) <= width * 1.001 or "$" in text:
        return text, smaller
    keep = max(1, int(len(text) * width / text_width(text, smaller)) - 1)
    return text[:keep].rstrip() + "…", smaller


class _Heading(NamedTuple):
    """A title that fits the page, and its measures."""

    text: str
    size: float
    width: float

    @classmethod
    def of(cls, title: str | None) -> _Heading:
        text, size = fitted(title or "", 0.9 * WIDTH, _TITLE_SIZE)
        return cls(text, size, text_width(text, size, weight="bold") + 2 * _PAD)


def change_limit(changes: np.ndarray) -> float:
    """Upper end of a ΔE scale: a round number that 99.5 % of the pixels stay below, never under 10.

    The floor keeps differences that nobody can see from filling the scale.
    """
    high = float(np.quantile(changes, 0.995))
    return float(next((limit for limit in _NICE_LIMITS if high <= limit), _NICE_LIMITS[-1]))


class Sheet:
    """A figure of `rows` × `columns` picture cells.

    Parameters
    ----------
    rows, columns : number of cells
    aspect : height of a picture over its width
    max_cell : largest width of a cell in inches; smaller where the page's width demands it
    above, before : extra inches above a row, before a column: {index: inches}
    title : bold line at the top
    row_labels, column_labels : text left of each row, above each column
    legend : (name, colour) pairs below the pictures
    bar : leave room on the right for a colour bar
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        aspect: float = 1.0,
        max_cell: float = 1.6,
        above: Mapping[int, float] | None = None,
        before: Mapping[int, float] | None = None,
        title: str | None = None,
        row_labels: Sequence[str] | None = None,
        column_labels: Sequence[str] | None = None,
        legend: Sequence[tuple[str, np.ndarray]] = (),
        bar: bool = False,
    ) -> None:
        above, before = above or {}, before or {}
        labels = [fitted(label, 1.35) for label in row_labels or ()]
        widest = max((text_width(t, s) for t, s in labels), default=0.0)
        left = widest + 2 * _PAD if widest else _PAD / 2
        right = _BAR if bar else _PAD / 2
        free = WIDTH - left - right - _GAP * (columns - 1) - sum(before.values())
        self.cell = min(max_cell, free / columns)
        top = (0.27 if title else 0.0) + (CAPTION if column_labels else _PAD / 2)
        width = left + right + columns * self.cell + _GAP * (columns - 1) + sum(before.values())
        heading = _Heading.of(title)
        # Text in a narrow sheet still has to fit: the sheet grows to the right of its pictures.
        width = max(width, heading.width, 2.4 if legend else 0)
        lines = _legend_lines([name for name, _ in legend], width - left)
        bottom = len(lines) * _LEGEND_LINE + 0.1 if lines else _PAD / 2
        self.row_height = self.cell * aspect
        height = top + bottom + rows * self.row_height + _GAP * (rows - 1) + sum(above.values())
        self.figure = new_figure(width, height, constrained=False)
        self.width, self.height = width, height
        self.x = [left + c * (self.cell + _GAP) + _upto(before, c) for c in range(columns)]
        self.y = [height - top - (r + 1) * self.row_height - r * _GAP - _upto(above, r) for r in range(rows)]
        self._text(self.x[0], height - 0.04, heading.text, heading.size, ha="left", va="top", weight="bold")
        self._label_rows(labels, left)
        for c, text in enumerate(column_labels or ()):
            self.caption(0, c, text)
        self._legend(lines, dict(legend), left)

    def _label_rows(self, labels: Sequence[tuple[str, float]], left: float) -> None:
        for r, (text, size) in enumerate(labels):
            self._text(left - _PAD, self.y[r] + self.row_height / 2, text, size, ha="right", va="center")

    def _text(self, x: float, y: float, text: str, size: float, **how: str) -> None:
        if not text:
            return
        self.figure.text(x / self.width, y / self.height, text, size=size, **how)  # type: ignore[arg-type]

    def caption(self, row: int, column: int, text: str, *, span: int = 1, strong: bool = False) -> None:
        """Write `text` above a cell, centred, or above `span` cells from there."""
        room = self.x[column + span - 1] + self.cell - self.x[column]
        text, size = fitted(text, room)
        weight = "bold" if strong else "normal"
        x, y = self.x[column] + room / 2, self.y[row] + self.row_height + 0.05
        self._text(x, y, text, size, ha="center", va="bottom", weight=weight)

    def heading(self, text: str) -> None:
        """Write a line above the captions of the first row; it needs ``above={0: CAPTION}``."""
        y = self.y[0] + self.row_height + CAPTION + 0.06
        self._text(self.x[0], y, text, _CAPTION_SIZE, ha="left", va="bottom")

    def inside(self, row: int, column: int, text: str, *, strong: bool = False) -> None:
        """Write `text` in an empty cell, toward its right-hand neighbour."""
        text, size = fitted(text, self.cell - _PAD)
        x, y = self.x[column] + self.cell - _PAD / 2, self.y[row] + self.row_height / 2
        color = INK if strong else MUTED
        self._text(x, y, text, size, ha="right", va="center", color=color)

    def axes(self, row: int, column: int) -> Axes:
        """Bare axes that fill one cell."""
        ax = self._add_axes(self.x[column], self.y[row], self.cell, self.row_height)
        ax.set_axis_off()
        return ax

    def _add_axes(self, x: float, y: float, width: float, height: float) -> Axes:
        box = (x / self.width, y / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def picture(self, row: int, column: int, picture: np.ndarray) -> Axes:
        """Show a uint8 picture (H, W, 3), enlarged smoothly."""
        ax = self.axes(row, column)
        ax.imshow(upscaled(picture[None])[0], aspect="auto", interpolation="antialiased")
        return ax

    def pictures(self, row: int, pictures: Iterable[np.ndarray], *, first: int = 0) -> None:
        """Show uint8 pictures side by side, from the column `first` on."""
        for column, picture in enumerate(pictures, start=first):
            self.picture(row, column, picture)

    def change(self, row: int, column: int, change: np.ndarray, limit: float) -> Axes:
        """Show a map of colour differences (H, W), pixel by pixel, from 0 to `limit`."""
        ax = self.axes(row, column)
        ax.imshow(change, cmap=CHANGE_MAP, vmin=0, vmax=limit, aspect="auto", interpolation="nearest")
        frame = Rectangle((0, 0), 1, 1, fill=False, ec=FAINT, lw=0.8, transform=ax.transAxes, clip_on=False)
        ax.add_patch(frame)
        return ax

    def change_bar(self, first: int, last: int, limit: float, *, over: bool) -> Axes:
        """Colour bar of the ΔE scale beside the rows `first` to `last`; pointed if values go `over` it."""
        x = self.x[-1] + self.cell + 0.1
        low, high = self.y[last], self.y[first] + self.row_height
        # Short enough to be read at a glance, and clear of the edges, where its end labels would be cut.
        inset = max(0.06, (high - low - 2.4) / 2)
        ax = self._add_axes(x, low + inset, 0.1, high - low - 2 * inset)
        scale = ScalarMappable(Normalize(0, limit), CHANGE_MAP)
        bar = self.figure.colorbar(scale, cax=ax, extend="max" if over else "neither", extendfrac=0.06)
        bar.outline.set(edgecolor=FAINT, linewidth=0.7)
        bar.set_ticks([0, limit / 2, limit])
        bar.ax.tick_params(length=0, labelsize=8, pad=3)
        bar.set_label("colour change (ΔE)", size=8.5, color=INK, labelpad=5)
        return bar.ax

    def _legend(self, lines: list[list[str]], colors: dict[str, np.ndarray], left: float) -> None:
        for i, line in enumerate(lines):
            x, y = left, self.y[-1] - 0.08 - (i + 0.5) * _LEGEND_LINE
            for name in line:
                corner = (x / self.width, (y - 0.055) / self.height)
                size = (0.16 / self.width, 0.11 / self.height)
                swatch = Rectangle(
                    corner, *size, fc=colors[name], ec="none", transform=self.figure.transFigure
                )
                self.figure.add_artist(swatch)
                self._text(x + 0.21, y, name, 8.5, ha="left", va="center")
                x += _SWATCH + text_width(name, 8.5) + 0.16


def _upto(extra: Mapping[int, float], index: int) -> float:
    return sum(inches for i, inches in extra.items() if i <= index)


def _legend_lines(names: Sequence[str], room: float) -> list[list[str]]:
    """Break the entries of a legend into lines of at most `room` inches."""
    lines: list[list[str]] = []
    used = 0.0
    for name in names:
        needed = _SWATCH + text_width(name, 8.5) + 0.16
        if not lines or used + needed > room:
            lines.append([])
            used = 0.0
        lines[-1].append(name)
        used += needed
    return lines
