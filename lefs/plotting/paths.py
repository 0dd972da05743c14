"""Walks through latent space: filmstrips of several paths, and what each changes where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lefs.evaluation import Curve, equal_effect
from lefs.plotting.arrays import as_changes, as_images
from lefs.plotting.sheet import CAPTION, Sheet, change_limit
from lefs.plotting.style import MUTED, WIDTH, line_color, new_figure, styled

__all__ = ["contrast_curves", "path_strips"]

_MARKERS = "osD^v"


@styled
def path_strips(
    rows: Mapping[str, Any],
    amounts: Sequence[float],
    *,
    changes: Mapping[str, Any] | None = None,
    label: str = "standard deviations of w",
    title: str | None = None,
) -> Figure:
    """Paths from one picture, a row a path, step by step from left to right.

    Parameters
    ----------
    rows : {name: Tensor of shape (V, 3, H, W) in [-1, 1]}
    amounts : the V steps
    changes : {name: (V, H, W)}, colour differences ΔE, drawn below the rows they belong to, on one scale
    label : what the amounts are

    Returns
    -------
    Figure
    """
    if not rows:
        raise ValueError("rows is empty; give {name: images of shape (V, 3, H, W)}")
    pictures = {name: as_images(f"rows[{name!r}]", images) for name, images in rows.items()}
    for name, shown in pictures.items():
        if len(shown) != len(amounts):
            raise ValueError(f"rows[{name!r}] must hold {len(amounts)} images, one a step; got {len(shown)}")
    maps = _maps(changes or {}, list(rows), len(amounts))
    lines = [(name, kind) for name in rows for kind in ("path", "change") if kind == "path" or name in maps]
    first = next(iter(pictures.values()))
    sheet = Sheet(
        len(lines),
        len(amounts),
        aspect=first.shape[1] / first.shape[2],
        max_cell=1.25,
        title=title,
        above={0: CAPTION} | {r: 0.08 for r, (_, kind) in enumerate(lines) if maps and kind == "path" and r},
        row_labels=[name if kind == "path" else "change" for name, kind in lines],
        column_labels=[f"{a:+g}".replace("-", "−") if a else "0" for a in amounts],
        bar=bool(maps),
    )
    sheet.heading(label)
    limit = change_limit(np.concatenate(list(maps.values()))) if maps else 0.0
    for r, (name, kind) in enumerate(lines):
        if kind == "path":
            sheet.pictures(r, pictures[name])
        else:
            for column, change in enumerate(maps[name]):
                sheet.change(r, column, change, limit)
    if maps:
        over = any(m.max() > limit for m in maps.values())
        sheet.change_bar(0, len(lines) - 1, limit, over=over)
    return sheet.figure


@styled
def contrast_curves(
    curves: Sequence[Curve], *, unit: str = "mean squared ΔE", columns: int = 3, title: str | None = None
) -> Figure:
    """Effect inside a part against leak outside it, as each method goes further: up and left is better.

    Parameters
    ----------
    curves : what `lefs.evaluation.contrast` returns
    unit : of effect and leak

    Returns
    -------
    Figure: a panel a part, a line a method, a marker an amount with 95 % bootstrap intervals of both means;
    the dotted line is the effect that all curves reach, where their leaks are compared
    """
    every = list(curves)
    if not every or not all(isinstance(curve, Curve) for curve in every):
        raise TypeError("curves must be a non-empty list of Curve, as lefs.evaluation.contrast returns it")
    parts = list(dict.fromkeys(curve.part for curve in every))
    methods = list(dict.fromkeys(curve.method for curve in every))
    columns = min(columns, len(parts))
    lines = -(-len(parts) // columns)
    figure = new_figure(WIDTH if columns > 1 else 0.6 * WIDTH, 0.5 + 2.6 * lines)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for i, ax in enumerate(axes.flat):
        if i >= len(parts):
            ax.set_axis_off()
            continue
        own = [curve for curve in every if curve.part == parts[i]]
        for curve in own:
            _draw_curve(ax, curve, methods.index(curve.method))
        ax.set(xscale="log", yscale="log")
        if (level := equal_effect(own)) > 0:
            ax.axhline(level, color=MUTED, linewidth=0.9, linestyle=":", zorder=1)
        ax.set_title(f"{parts[i]}, {len(own[0].effect)} targets", weight="normal")
        ax.grid()
    figure.supxlabel(f"leak outside the part ({unit})", size=9.5)
    figure.supylabel(f"effect inside it ({unit})", size=9.5)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), alignment="left")
    if title:
        legend.set_title(title)
    return figure


def _draw_curve(ax: Axes, curve: Curve, index: int) -> None:
    """One line with its whiskers. (A logarithmic scale cannot show a zero: it is drawn at 10⁻¹².)"""
    color, floor = line_color(index), 1e-12
    (x, x_low, x_high), (y, y_low, y_high) = (
        np.maximum(curve.estimates(quantity), floor).T for quantity in ("leak", "effect")
    )
    ax.hlines(y, x_low, x_high, color=color, linewidth=0.9, alpha=0.55)
    ax.vlines(x, y_low, y_high, color=color, linewidth=0.9, alpha=0.55)
    ax.plot(x, y, color=color, marker=_MARKERS[index % len(_MARKERS)], label=curve.method, zorder=3)


def _maps(changes: Mapping[str, Any], known: Sequence[str], count: int) -> dict[str, np.ndarray]:
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise ValueError(f"changes names {unknown}, which have no row; choose from: {', '.join(known)}")
    return {name: as_changes(f"changes[{name!r}]", m, count) for name, m in changes.items()}
