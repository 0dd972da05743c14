"""Measured properties: stability of a clustering, agreement with true parts, locality of edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D

from lefs.checks import check_integer
from lefs.evaluation import Locality
from lefs.plotting.arrays import as_array, as_labels
from lefs.plotting.style import (
    FAINT,
    MUTED,
    SHARE_MAP,
    WIDTH,
    frame,
    line_color,
    new_figure,
    panel,
    share_bar,
    styled,
    text_color_on,
)

__all__ = ["confusion", "locality_bars", "stability_curve", "tradeoff"]

_MARKERS = "osD^vP*<>Xph"


@styled
def stability_curve(
    scores: Mapping[int, Any], *, chosen: int | None = None, ax: Axes | None = None
) -> Figure:
    """How well clusterings from different seeds agree, for each number of clusters.

    Parameters
    ----------
    scores : {K: adjusted Rand indices over pairs of seeds}
    chosen : the K that was taken, marked

    Returns
    -------
    Figure: every pair a dot, the mean a line; 1 is the same clustering, 0 is chance
    """
    if not scores:
        raise ValueError("scores is empty; give {K: adjusted Rand indices over pairs of seeds}")
    counts = sorted(scores)
    values = [as_array(f"scores[{k}]", scores[k], ndim=1) for k in counts]
    if chosen is not None and chosen not in scores:
        raise ValueError(f"chosen must be one of {counts}, got {chosen!r}")
    figure, ax = panel(ax, width=5.6, height=3.0)
    color = line_color(0)
    for k, points in zip(counts, values, strict=True):
        ax.scatter(np.full(len(points), k), points, s=14, color=color, alpha=0.35, linewidths=0, zorder=2)
    means = [v.mean() for v in values]
    ax.plot(counts, means, color=color, marker="o", zorder=3, label="mean over pairs of seeds")
    if chosen is not None:
        ax.axvline(chosen, color=line_color(1), linewidth=1.2, zorder=1)
        ax.annotate(f"K = {chosen}", (chosen, 0.03), xycoords=ax.get_xaxis_transform(), xytext=(5, 0),
                    textcoords="offset points", color=line_color(1))  # fmt: skip
    ax.set(xlabel="number of clusters K", ylabel="adjusted Rand index", xticks=counts)
    ax.set_ylim(min(0.0, min(v.min() for v in values)), 1.02)
    ax.grid(axis="y")
    ax.legend(loc="lower left" if chosen != counts[0] else "lower right")
    return figure


@styled
def confusion(
    matrix: Any,
    clusters: Sequence[str],
    parts: Sequence[str],
    *,
    sort: bool = True,
    most: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Where the pixels of each cluster truly lie.

    Parameters
    ----------
    matrix : array of shape (K, P), pixels of each cluster in each true part, as `lefs.evaluation.confusion`
        counts them, or shares; each row is divided by its sum
    clusters, parts : K and P names
    sort : order the clusters by the part that has most of them, so that agreement is a diagonal
    most : show no more clusters than these: in turn, the one that holds most of each part, then the one that
        holds next most; None shows all

    Returns
    -------
    Figure
    """
    shares = as_array("matrix", matrix, ndim=2)
    rows, columns = as_labels("clusters", clusters, len(shares)), as_labels("parts", parts, shares.shape[1])
    if shares.min() < 0:
        raise ValueError(f"matrix must not be negative, it counts pixels; its smallest is {shares.min():g}")
    most = len(shares) if most is None else check_integer("most", most, minimum=1)
    kept = np.arange(len(shares)) if most >= len(shares) else _holders(shares, most)
    shares = shares / np.maximum(shares.sum(1, keepdims=True), np.finfo(float).tiny)
    order = np.lexsort((-shares.max(1), shares.argmax(1))) if sort else np.arange(len(shares))
    order = order[np.isin(order, kept)]
    figure, ax = panel(ax, width=min(WIDTH, 2.6 + 0.56 * shares.shape[1]), height=1.2 + 0.245 * len(order))
    image = ax.imshow(shares[order], cmap=SHARE_MAP, vmin=0, vmax=1, aspect="auto")
    _write_shares(ax, shares[order])
    ax.set_yticks(range(len(order)), [rows[i] for i in order] if rows else [])
    ax.set_xticks(range(shares.shape[1]), columns or [], rotation=35, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    few = len(order) < len(shares)
    ax.set(xlabel="true part", ylabel=f"{len(order)} of the {len(shares)} clusters" if few else "cluster")
    ax.set_title(title or "")
    frame(ax)
    share_bar(figure, ax, image, "share of the cluster's pixels")
    return figure


def _holders(pixels: np.ndarray, most: int) -> np.ndarray:
    """Up to `most` clusters, those that hold most of each part first: of (K, P), sorted."""
    ranked = np.argsort(-pixels, axis=0, kind="stable")
    holding = np.take_along_axis(pixels, ranked, axis=0) > 0
    return np.sort([*dict.fromkeys(ranked[holding].tolist())][:most])


def _write_shares(ax: Axes, shares: np.ndarray) -> None:
    """Each share of at least 5 % as a number in its cell."""
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.05:
            color = text_color_on(np.asarray(SHARE_MAP(share)))
            ax.text(column, row, f"{share:.2f}", ha="center", va="center", size=8, color=color)


@styled
def locality_bars(
    table: Sequence[Locality], *, unit: str = "mean squared ΔE", title: str | None = None
) -> Figure:
    """Effect inside and leak outside the edited part, part by part, for each method.

    Parameters
    ----------
    table : what `lefs.evaluation.locality` returns: one `Locality` for each part and method
    unit : of effect and leak

    Returns
    -------
    Figure: means over the pairs with error bars, their 95 % bootstrap intervals, on a logarithmic scale
    """
    parts, methods = _parts_and_methods(table)
    figure = new_figure(WIDTH, 0.95 + len(parts) * (0.12 + 0.15 * len(methods)))
    axes = figure.subplots(1, 2, sharey=True)
    headings = {"effect": "effect inside the part", "leak": "leak outside it"}
    for ax, (quantity, heading) in zip(axes, headings.items(), strict=True):
        for row in range(0, len(parts), 2):
            ax.axhspan(row - 0.5, row + 0.5, color="#f3f5f7", linewidth=0, zorder=0)
        for j, method in enumerate(methods):
            own = [cell for cell in table if cell.method == method]
            y = np.array([parts.index(cell.part) for cell in own]) + 0.7 * ((j + 0.5) / len(methods) - 0.5)
            mean, low, high = np.array([_interval(cell, quantity) for cell in own]).T
            ax.hlines(y, low, high, color=line_color(j), linewidth=1.3)
            marker = _MARKERS[j % len(_MARKERS)]
            ax.scatter(mean, y, s=26, color=line_color(j), marker=marker, label=method, zorder=3)
        ax.set(xscale="log", xlabel=unit)
        ax.set_title(heading, weight="normal")
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    _same_limits(axes)
    axes[0].set_yticks(range(len(parts)), parts)
    axes[0].set_ylim(len(parts) - 0.5, -0.5)
    _legend_above(figure, axes[0], title)
    return figure


@styled
def tradeoff(table: Sequence[Locality], *, unit: str = "mean squared ΔE", ax: Axes | None = None) -> Figure:
    """Effect against leak: up is a stronger edit, left a more local one.

    Parameters
    ----------
    table : as in `locality_bars`
    unit : of effect and leak

    Returns
    -------
    Figure: colour tells the method, shape the part; whiskers are 95 % bootstrap intervals over the pairs,
    grey lines join equal ratios of effect to leak
    """
    parts, methods = _parts_and_methods(table)
    figure, ax = panel(ax, width=6.4, height=4.3)
    points = []
    for cell in table:
        color = line_color(methods.index(cell.method))
        marker = _MARKERS[parts.index(cell.part) % len(_MARKERS)]
        (x, *xs), (y, *ys) = _interval(cell, "leak"), _interval(cell, "effect")
        ax.plot(xs, [y, y], [x, x], ys, color=color, linewidth=0.9, alpha=0.5)
        ax.scatter(x, y, s=34, color=color, marker=marker, linewidths=0, zorder=3)
        points.append((x, y))
    ax.set(xscale="log", xlabel=f"leak outside the part ({unit})")
    ax.set(yscale="log", ylabel=f"effect inside it ({unit})")
    _equal_ratios(ax, np.array(points))
    _two_legends(ax, methods, parts)
    return figure


def _two_legends(ax: Axes, methods: Sequence[str], parts: Sequence[str]) -> None:
    """Colours tell the methods, shapes the parts: one legend under two headings."""

    def entry(label: str, color: str = "none", marker: str = "") -> Line2D:
        style = {"linestyle": "none", "markeredgewidth": 0, "markersize": 6}
        return Line2D([], [], color=color, marker=marker, label=label, **style)  # type: ignore[arg-type]

    by_color = [entry(m, line_color(j), "o") for j, m in enumerate(methods)]
    by_shape = [entry(p, MUTED, _MARKERS[i % len(_MARKERS)]) for i, p in enumerate(parts)]
    handles = [entry("method"), *by_color, entry(""), entry("part"), *by_shape]
    legend = ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.02), borderaxespad=0.2)
    for text in (legend.texts[0], legend.texts[len(methods) + 2]):
        text.set(weight="bold", x=-18)


def _equal_ratios(ax: Axes, points: np.ndarray) -> None:
    """Diagonals of equal effect / leak, labelled where they leave the axes."""
    low, high = points.min(0) / 1.8, points.max(0) * 1.8
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for ratio in (0.1, 1, 10, 100, 1000):
        x = np.array([low[0], high[0]])
        ax.plot(x, ratio * x, color=FAINT, linewidth=0.8, zorder=0, scalex=False, scaley=False)
        end = min(high[0], high[1] / ratio)
        if low[0] < end and low[1] < ratio * end:
            ax.annotate(f"{ratio:g} : 1", (end, ratio * end), xytext=(-3, -2), textcoords="offset points",
                        ha="right", va="top", size=7.5, color=MUTED)  # fmt: skip


def _parts_and_methods(table: Sequence[Locality]) -> tuple[list[str], list[str]]:
    """Both in order of appearance."""
    cells = list(table)
    if not cells or not all(isinstance(cell, Locality) for cell in cells):
        raise TypeError("table must be a non-empty list of Locality, as lefs.evaluation.locality returns it")
    return list(dict.fromkeys(c.part for c in cells)), list(dict.fromkeys(c.method for c in cells))


def _interval(cell: Locality, quantity: str) -> tuple[float, float, float]:
    """Mean with its interval. A logarithmic scale cannot show a zero: it is drawn at 10⁻¹²."""
    mean, low, high = (max(v, 1e-12) for v in cell.estimate(quantity))
    return mean, low, high


def _same_limits(axes: Sequence[Axes]) -> None:
    """One scale for effect and leak, so that positions compare across the two panels."""
    low = min(ax.get_xlim()[0] for ax in axes)
    high = max(ax.get_xlim()[1] for ax in axes)
    for ax in axes:
        ax.set_xlim(low, high)


def _legend_above(figure: Figure, ax: Axes, title: str | None) -> None:
    handles, labels = ax.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), alignment="left")
    if title:
        heading = FontProperties(weight="bold", size=10.5)
        legend.set_title(title, prop=heading)
