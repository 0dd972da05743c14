"""Grids of pictures: equal cells placed in inches, with measured margins, so that nothing is squeezed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from lefs.plotting import style
from lefs.plotting.arrays import upscaled
from lefs.plotting.style import CHANGE_LIMIT, CHANGE_MAP, WIDTH

__all__ = ["CAPTION", "PictureGrid", "Row", "fitted", "text_width"]

#: A cell a column: a picture (H, W, 3), uint8, a map of colour differences (H, W), or None
Row = Sequence[np.ndarray | None] | np.ndarray
#: Height of a line of captions over a row of pictures, in inches.
CAPTION = 0.23
_GAP, _PAD, _BAR = 0.05, 0.06, 0.78
_LEGEND_LINE, _LEGEND_SIZE, _SWATCH = 0.21, 8.5, 0.27
_TITLE_SIZE, _CAPTION_SIZE, _SMALLEST = 10.5, 9.0, 6.5


def text_width(text: str, size: float, *, weight: str = "normal") -> float:
    """Width of one line of text in inches, with the fonts in use."""
    font = FontProperties(size=size, weight=weight)
    drawn = RendererAgg(1, 1, style.DPI).get_text_width_height_descent(text, font, False)
    return float(drawn[0]) / style.DPI


def fitted(text: str, width: float, size: float | None = None) -> tuple[str, float]:
    """The text and the type size at which it fits `width` inches, shortened only if nothing else helps."""
    size = _CAPTION_SIZE * style.text_scale() if size is None else size
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

    They all lie in one axes, in inches of the page: one for each would take half of the time.

    Parameters
    ----------
    rows : sequence of Row
        The first is full: it tells the size of the pictures and how many columns there are.
    max_cell : float
        Largest width of a cell in inches; smaller where the page's width demands it.
    above, before : mapping of int to float, optional
        Extra inches above a row, before a column.
    title, heading : str
        Bold line at the top, and a line above the labels of the columns.
    row_labels, column_labels : sequence of str
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
        heading: str = "",
        row_labels: Sequence[str] = (),
        column_labels: Sequence[str] = (),
        legend: Sequence[tuple[str, np.ndarray]] = (),
        bar: bool = False,
    ) -> None:
        self.scale = scale = style.text_scale()  # captions need as much more room
        cells = [(r, c, cell) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell is not None]
        maps = sorted({r for r, _, cell in cells if cell.ndim == 2})
        apart = {r + 1: 0.08 for r in maps if r + 1 not in maps} | {0: CAPTION * bool(heading)}
        down = scale * _summed(apart | dict(above or {}), len(rows))
        along, columns = _summed(before or {}, len(rows[0])), np.arange(len(rows[0]))
        labels = [fitted(label, min(1.35 * scale, 0.3 * WIDTH)) for label in row_labels]
        widest = max((text_width(t, s) for t, s in labels), default=0.0)
        left = widest + 2 * _PAD if widest else _PAD / 2
        right = _BAR * scale if bar or maps else _PAD / 2
        self.cell = min(max_cell, (WIDTH - left - right - _GAP * columns[-1] - along[-1]) / len(columns))
        self.x = left + columns * (self.cell + _GAP) + along
        wanted, self.legend_size = style.points("figure.titlesize"), style.points("legend.fontsize")
        text, size = fitted(title or "", 0.9 * WIDTH, wanted)
        # Text in a narrow grid still has to fit: it grows to the right of its pictures.
        needed = text_width(text, size, weight="bold") + 2 * _PAD
        width = max(self.x[-1] + self.cell + right, needed, 2.4 if legend else 0)
        spots = _flowing([name for name, _ in legend], width - left, self.legend_size)
        self.legend_line = _LEGEND_LINE * self.legend_size / _LEGEND_SIZE
        top = 0.27 * wanted / _TITLE_SIZE * bool(title) + (CAPTION * scale if column_labels else _PAD / 2)
        bottom = (spots[-1][0] + 1) * self.legend_line + 0.1 if spots else _PAD / 2
        self.tall = self.cell * cells[0][2].shape[0] / cells[0][2].shape[1]
        self.y = -top - np.arange(1, len(rows) + 1) * (self.tall + _GAP) + _GAP - down
        height = bottom - self.y[-1]
        self.y += height
        self.size, self.figure = (width, height), style.new_figure(width, height, constrained=False)
        self.page = self._add_page()
        self._text(self.x[0], height - 0.04, text, size, va="top", weight="bold")
        for y, (text, size) in zip(self.y, labels, strict=False):
            self._text(left - _PAD, y + self.tall / 2, text, size, ha="right")
        for c, text in enumerate(column_labels):
            self.caption(0, c, text)
        over = self.y[0] + self.tall + CAPTION * scale + 0.06
        self._text(self.x[0], over, heading, _CAPTION_SIZE * scale, va="bottom")
        self._legend(legend, spots, left)
        for cell in cells:
            self._show(*cell)
        if maps:
            extend = "max" if max(x.max() for *_, x in cells if x.ndim == 2) > CHANGE_LIMIT else "neither"
            self.bar(maps[0], maps[-1], CHANGE_MAP, CHANGE_LIMIT, "colour change (ΔE)", extend=extend)

    def _add_page(self) -> Axes:
        """The axes of all pictures, as large as they are together."""
        (left, _, _, top), (_, right, bottom, _) = self._ends(0, 0), self._ends(-1, -1)
        page = self._add_axes(left, bottom, right - left, top - bottom)
        page.axis((left, right, bottom, top))
        page.set_axis_off()
        return page

    def _show(self, row: int, column: int, cell: np.ndarray) -> None:
        """A picture, enlarged smoothly, or a map pixel by pixel, on the scale of all such maps."""
        place: dict[str, Any] = {"extent": self._ends(row, column), "aspect": "auto"}
        if cell.ndim == 3:
            self.page.imshow(upscaled(cell[None])[0], interpolation="antialiased", **place)
            return
        self.page.imshow(cell, CHANGE_MAP, vmin=0, vmax=CHANGE_LIMIT, interpolation="nearest", **place)
        corner = self.x[column], self.y[row]
        frame = Rectangle(corner, self.cell, self.tall, fill=False, ec=style.FAINT, lw=0.8, clip_on=False)
        self.page.add_patch(frame)

    def _ends(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of a cell."""
        x, y = self.x[column], self.y[row]
        return x, x + self.cell, y, y + self.tall

    def _add_axes(self, x: float, y: float, width: float, height: float, label: str = "") -> Axes:
        box = (x / self.size[0], y / self.size[1], width / self.size[0], height / self.size[1])
        return self.figure.add_axes(box, label=label)

    def _text(self, x: float, y: float, text: str, size: float, **how: Any) -> None:
        if text:
            inches = {"transform": self.page.transData, "size": size}
            self.figure.text(x, y, text, **{**inches, "va": "center", **how})

    def caption(self, row: int, column: int, text: str, *, span: int = 1, strong: bool = False) -> None:
        """Write `text` above a cell, centred, or above `span` cells from there."""
        room = self.x[column + span - 1] + self.cell - self.x[column]
        text, size = fitted(text, room)
        x, y = self.x[column] + room / 2, self.y[row] + self.tall + 0.05
        self._text(x, y, text, size, ha="center", va="bottom", weight="bold" if strong else "normal")

    def inside(self, row: int, column: int, text: str, *, strong: bool = False) -> None:
        """Write `text` in an empty cell, toward its right-hand neighbour."""
        text, size = fitted(text, self.cell - _PAD)
        x, y = self.x[column] + self.cell - _PAD / 2, self.y[row] + self.tall / 2
        self._text(x, y, text, size, ha="right", color=style.INK if strong else style.MUTED)

    def outline(self, row: int, column: int, mask: np.ndarray, color: str) -> None:
        """Draw the border of what is set in a mask (H, W) into a cell."""
        if mask.any() and not mask.all():
            place: dict[str, Any] = {"extent": self._ends(row, column), "origin": "upper"}
            self.page.contour(mask, levels=[0.5], colors=[color], linewidths=1.2, **place)

    def bar(self, first: int, last: int, cmap: Colormap, limit: float, label: str, **how: Any) -> None:
        """Colour bar from 0 to `limit` beside the rows `first` to `last`."""
        low, high = self.y[last], self.y[first] + self.tall
        # Short enough to be read at a glance, and clear of the edges, where its end labels would be cut.
        inset = max(0.06 * self.scale, (high - low - 2.4) / 2)
        place = self.x[-1] + self.cell + 0.1, low + inset, 0.1, high - low - 2 * inset
        ax = self._add_axes(*place, label="<colorbar>")
        scale = ScalarMappable(Normalize(0, limit), cmap)
        bar = self.figure.colorbar(scale, cax=ax, extendfrac=0.06, ticks=[0, limit / 2, limit], **how)
        bar.outline.set(edgecolor=style.FAINT, linewidth=0.7)
        bar.ax.tick_params(length=0, labelsize=8 * self.scale, pad=3)
        # (on the page, however low the rows are)
        label, size = fitted(label, high - low + _PAD, 8.5 * self.scale)
        bar.set_label(label, size=size, color=style.INK, labelpad=5)

    def _legend(
        self, entries: Sequence[tuple[str, np.ndarray]], spots: Sequence[tuple[int, float]], left: float
    ) -> None:
        for (name, color), (line, offset) in zip(entries, spots, strict=True):
            x, y = left + offset, self.y[-1] - 0.08 - (line + 0.5) * self.legend_line
            self.page.add_patch(Rectangle((x, y - 0.055), 0.16, 0.11, fc=color, ec="none", clip_on=False))
            self._text(x + 0.21, y, name, self.legend_size)


def _summed(extra: Mapping[int, float], count: int) -> np.ndarray:
    """The inches that rows or columns are moved by what is left free before them."""
    return np.cumsum([extra.get(i, 0.0) for i in range(count)])


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
