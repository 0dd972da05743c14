"""Measured values with their intervals: how well clusterings, names and units agree, what units cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from lefs.plotting import style
from lefs.plotting.arrays import as_array
from lefs.tables import Table
from lefs.units import Agreement, CausalEffect

__all__ = ["agreement_dots", "agreement_profile", "dose_curves", "stability_curve"]


def intervals(
    ax: Axes, x: Any, y: Any, index: int, *, joined: bool = True, color: str = "", **how: Any
) -> None:
    """Markers with whiskers, in the colour and shape of the `index`-th line.

    `x` and `y` hold N numbers, or N estimates: value, low and high end. `joined` draws a line through them.
    """
    color = color or style.line_color(index)
    across, up = (np.asarray(values, dtype=float).T for values in (x, y))
    at, height = (values if values.ndim == 1 else values[0] for values in (across, up))
    whiskers: dict[str, Any] = {"color": color, "zorder": 2}
    whiskers |= {"linewidth": 1.0, "alpha": 0.65} if joined else {"linewidth": 1.3}
    if across.ndim == 2:
        ax.hlines(height, *across[1:], **whiskers)
    if up.ndim == 2:
        ax.vlines(at, *up[1:], **whiskers)
    if joined:
        ax.plot(at, height, color=color, **{"marker": style.marker_of(index), "zorder": 3, **how})
    else:
        ax.scatter(at, height, s=26, color=color, marker=style.marker_of(index), zorder=3, **how)


def side_by_side(count: int, width: float) -> np.ndarray:
    """Shifts of `count` markers around one place, so that one whisker does not hide another."""
    return width * ((np.arange(count) + 0.5) / count - 0.5)


def in_rows(ax: Axes, names: Sequence[str]) -> None:
    """One row a name, from the top, every other one shaded."""
    for row in range(0, len(names), 2):
        ax.axhspan(row - 0.5, row + 0.5, color=style.BAND, linewidth=0, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


class _Plain(LogFormatter):
    """Labels the ticks of a logarithmic axis by plain numbers, without the signs of a formula."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def in_powers(ax: Axes, *names: Literal["x", "y"]) -> None:
    """Give axes a logarithmic scale."""
    for name in names:
        ax.set(**{f"{name}scale": "log"})
        axis = ax.xaxis if name == "x" else ax.yaxis
        axis.set_major_formatter(_Plain())
        axis.set_minor_formatter(_Plain())


def legend_above(figure: Figure, ax: Axes, title: str | None) -> None:
    handles, labels = ax.get_legend_handles_labels()
    look: dict[str, Any] = {"loc": "outside upper left", "ncols": len(labels), "alignment": "left"}
    font = {"weight": "bold", "size": mpl.rcParams["legend.title_fontsize"]}
    figure.legend(handles, labels, title=title, title_fontproperties=font, **look)


def all_of(name: str, values: Iterable[Any], kind: type, origin: str) -> list[Any]:
    found = list(values)
    if not found or not all(isinstance(value, kind) for value in found):
        raise TypeError(f"{name} must be a non-empty list of {kind.__name__}, as {origin} returns it")
    return found


def names_of(values: Iterable[Any], quantity: str) -> list[str]:
    """In order of appearance."""
    return list(dict.fromkeys(getattr(value, quantity) for value in values))


@style.styled
def stability_curve(scores: Mapping[int, Any], *, chosen: int | None = None, ax: Axes | None = None) -> Any:
    """How well clusterings from different seeds agree, for each number of clusters.

    Parameters
    ----------
    scores : mapping of int to array_like of shape (pairs,)
        ``{K: adjusted Rand indices over pairs of seeds}``; 1 is the same clustering, 0 is chance.
    chosen : int, optional
        The K that was taken, marked.
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure
        Every pair a dot, the mean a line.

    Examples
    --------
    >>> from lefs.plotting import stability_curve
    >>> stability_curve({4: [0.9, 0.8], 8: [0.5, 0.7]}, chosen=4).axes[0].get_xlabel()
    'number of clusters K'
    """
    if not scores:
        raise ValueError("scores is empty; give {K: adjusted Rand indices over pairs of seeds}")
    counts = sorted(scores)
    values = [as_array(f"scores[{k}]", scores[k], ndim=1) for k in counts]
    if chosen is not None and chosen not in scores:
        raise ValueError(f"chosen must be one of {counts}, got {chosen!r}")
    figure, ax = style.panel(ax, width=5.6, height=3.0)
    for k, points in zip(counts, values, strict=True):
        ax.scatter(np.full(len(points), k), points, s=14, color=style.line_color(0), alpha=0.35, linewidths=0)
    intervals(ax, counts, [v.mean() for v in values], 0, label="mean over pairs of seeds")
    if chosen is not None:
        ax.axvline(chosen, color=style.line_color(1), linewidth=1.2, zorder=1)
        ax.annotate(f"K = {chosen}", (chosen, 0.03), xycoords=ax.get_xaxis_transform(), xytext=(5, 0),
                    textcoords="offset points", color=style.line_color(1))  # fmt: skip
    ax.set(xlabel="number of clusters K", ylabel="adjusted Rand index", xticks=counts)
    ax.set_ylim(min(0.0, *(v.min() for v in values)), 1.02)
    ax.grid(axis="y")
    ax.legend(loc="lower left" if chosen != counts[0] else "lower right")
    return figure


@style.styled
def agreement_dots(tables: Mapping[str, Table], *, quantity: str = "purity", ax: Axes | None = None) -> Any:
    """How well several dissections agree with the truth, true part by true part.

    Parameters
    ----------
    tables : mapping of str to Table
        ``{label: what lefs.evaluation.agreement_table returns}``, over the same true parts.
    quantity : str
        ``"purity"``, ``"recall"`` or ``"IoU"``, a column of the tables.
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure
        A marker a table, at 0 where no cluster bears the part's name.

    Examples
    --------
    >>> from lefs.plotting import agreement_dots
    >>> from lefs.tables import Table
    >>> found = Table(("true part", "purity"), [("hair", 0.9), ("eyes", 0.4)])
    >>> agreement_dots({"k-means": found}).axes[0].get_xlabel()
    'purity, share of pixels'
    """
    if not tables:
        raise ValueError("tables is empty; give {label: agreement_table(...)}")
    parts = [str(row[0]) for row in next(iter(tables.values())).rows]
    figure, ax = style.panel(ax, width=6.2, height=0.9 + 0.27 * len(parts))
    shifts = side_by_side(len(tables), 0.22 * len(tables))
    for j, (label, table) in enumerate(tables.items()):
        if quantity not in table.columns:
            known = ", ".join(table.columns)
            raise ValueError(f"quantity: tables[{label!r}] has no {quantity!r}, only {known}")
        column = list(table.columns).index(quantity)
        values = as_array(label, [row[column] for row in table.rows], ndim=1)
        intervals(ax, values, np.arange(len(parts)) + shifts[j], j, joined=False, label=label)
    in_rows(ax, parts)
    ax.set(xlim=(-0.02, 1.02), xlabel=f"{quantity}, share of pixels")
    ax.legend(**style.BESIDE)
    return figure


@style.styled
def dose_curves(effects: Sequence[CausalEffect], *, title: str | None = None) -> Figure:
    """Pixels of a concept as more and more units are ablated, and as they are inserted.

    Parameters
    ----------
    effects : sequence of CausalEffect
        What `lefs.units.dose_curve` returns.
    title : str, optional

    Returns
    -------
    Figure
        A line for each way to choose the units, with 95 % bootstrap intervals over the images; the dashed
        line is what the pictures show before any intervention.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.plotting import dose_curves
    >>> from lefs.units import CausalEffect
    >>> pixels = np.array([8.0, 9.0, 10.0])
    >>> cells = [CausalEffect("hat", "b8", "IoU", k, pixels, pixels - k, pixels + k, pixels) for k in (1, 4)]
    >>> [ax.get_title(loc="left") for ax in dose_curves(cells).axes]
    ['units ablated', 'units inserted']
    """
    cells = all_of("effects", effects, CausalEffect, "lefs.units.dose_curve")
    methods, doses = names_of(cells, "method"), sorted({e.units for e in cells})
    figure = style.new_figure(style.WIDTH, 3.2)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, quantity in zip(axes, ("ablated", "inserted"), strict=True):
        for j, shift in enumerate(side_by_side(len(methods), 0.16 * len(methods))):
            own = sorted((e for e in cells if e.method == methods[j]), key=lambda e: e.units)
            x = np.array([doses.index(e.units) for e in own]) + shift
            intervals(ax, x, [e.estimate(quantity) for e in own], j, label=methods[j])
        ax.axhline(cells[0].before.mean(), color=style.MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
        ax.set_xticks(range(len(doses)), [f"{k}" for k in doses])
        ax.set_xlabel("number of units")
        ax.set_title(f"units {quantity}", weight="normal")
        ax.grid(axis="y")
    axes[0].set(ylabel=f"pixels of {cells[0].concept} in an image", ylim=(0, None))
    legend_above(figure, axes[0], title)
    return figure


@style.styled
def agreement_profile(found: Sequence[Agreement], *, title: str | None = None, ax: Axes | None = None) -> Any:
    """How well contributions rank the channels that act: Spearman's ρ, layer by layer, for each part.

    Parameters
    ----------
    found : sequence of Agreement
        What `lefs.units.agreement` returns.
    title : str, optional
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure
        With 95 % bootstrap intervals over the channels; 1 is the same order, 0 is chance.

    Examples
    --------
    >>> from lefs.evaluation import Estimate
    >>> from lefs.plotting import agreement_profile
    >>> from lefs.units import Agreement
    >>> agreement_profile([Agreement("b4.conv1", "hat", Estimate(0.5, 0.2, 0.7), 9)]).axes[0].get_xlabel()
    'layer'
    """
    cells = [a for a in found if np.isfinite(a.rho.value)]
    if not cells:
        raise ValueError(
            "found holds no finite correlation; measure layers with at least three live channels"
        )
    layers, parts = names_of(cells, "layer"), names_of(cells, "part")
    figure, ax = style.panel(ax, width=style.WIDTH, height=3.3)
    for j, shift in enumerate(side_by_side(len(parts), 0.6)):
        own = [a for a in cells if a.part == parts[j]]
        x = np.array([layers.index(a.layer) for a in own]) + shift
        intervals(ax, x, [tuple(a.rho) for a in own], j, joined=False, label=parts[j])
    for edge in range(1, len(layers)):
        ax.axvline(edge - 0.5, color=style.FAINT, linewidth=0.6, zorder=0)
    ax.axhline(0, color=style.MUTED, linewidth=0.8, zorder=1)
    ax.set_xticks(range(len(layers)), layers)
    ax.set(ylabel="Spearman's ρ of M with effect", xlabel="layer", title=title or "")
    ax.set(xlim=(-0.5, len(layers) - 0.5), ylim=(min(-0.1, min(a.rho.low for a in cells) - 0.05), 1.02))
    ax.grid(axis="y")
    ax.legend(**style.BESIDE)
    return figure
