"""Measured properties: stability of a clustering, agreement with true parts, locality of edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lefs.plotting.arrays import as_array, as_labels
from lefs.plotting.style import (
    FAINT,
    MUTED,
    SHARE_MAP,
    WIDTH,
    font_families,
    line_color,
    new_figure,
    panel,
    settle_ticks,
    styled,
    text_color_on,
)

__all__ = ["confusion", "locality_bars", "stability_curve", "tradeoff"]

_COLUMNS = ("part", "method", "effect", "leak")
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
    ax.plot(counts, [v.mean() for v in values], color=color, marker="o", zorder=3, label="mean over pairs of seeds")
    if chosen is not None:
        ax.axvline(chosen, color=line_color(1), linewidth=1.2, zorder=1)
        ax.annotate(f"K = {chosen}", (chosen, 0.03), xycoords=ax.get_xaxis_transform(), xytext=(5, 0),
                    textcoords="offset points", color=line_color(1))  # fmt: skip
    ax.set(xlabel="number of clusters K", ylabel="adjusted Rand index", xticks=counts)
    ax.set_ylim(min(0.0, min(v.min() for v in values)), 1.02)
    ax.grid(axis="y")
    ax.legend(loc="lower left" if chosen != counts[0] else "lower right")
    settle_ticks(ax)
    return figure


@styled
def confusion(
    matrix: Any,
    clusters: Sequence[str],
    parts: Sequence[str],
    *,
    sort: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Where the pixels of each cluster truly lie.

    Parameters
    ----------
    matrix : array of shape (K, P); rows sum to 1: the share of a cluster's pixels in each true part
    clusters, parts : K and P names
    sort : order the clusters by the part that has most of them, so that agreement is a diagonal

    Returns
    -------
    Figure
    """
    shares = as_array("matrix", matrix, ndim=2)
    rows, columns = as_labels("clusters", clusters, len(shares)), as_labels("parts", parts, shares.shape[1])
    totals = shares.sum(1)
    if shares.min() < 0 or np.abs(totals - 1).max() > 1e-3:
        raise ValueError(
            f"matrix must hold shares whose rows sum to 1; its rows sum to {totals.min():.3g} to {totals.max():.3g}: "
            "divide each row by its sum"
        )
    order = np.lexsort((-shares.max(1), shares.argmax(1))) if sort else np.arange(len(shares))
    figure, ax = panel(ax, width=min(WIDTH, 2.6 + 0.56 * shares.shape[1]), height=1.2 + 0.245 * len(shares))
    image = ax.imshow(shares[order], cmap=SHARE_MAP, vmin=0, vmax=1, aspect="auto")
    for (r, c), share in np.ndenumerate(shares[order]):
        if share >= 0.05:
            color = text_color_on(np.asarray(SHARE_MAP(share)))
            ax.text(c, r, f"{share:.2f}", ha="center", va="center", size=8, color=color)
    ax.set_yticks(range(len(order)), [rows[i] for i in order] if rows else [])
    ax.set_xticks(range(shares.shape[1]), columns or [], rotation=35, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.set(xlabel="true part", ylabel="cluster")
    ax.set_title(title or "")
    for spine in ax.spines.values():
        spine.set(visible=True, color=FAINT)
    bar = figure.colorbar(image, ax=ax, pad=0.015, fraction=0.035, aspect=26, ticks=[0, 0.5, 1])
    bar.set_label("share of the cluster's pixels")
    bar.outline.set(edgecolor=FAINT, linewidth=0.7)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelfontfamily=font_families())
    settle_ticks(ax)
    return figure


@styled
def locality_bars(table: Mapping[str, Any], *, unit: str = "mean squared ΔE", title: str | None = None) -> Figure:
    """Effect inside and leak outside the edited part, part by part, for each method.

    Parameters
    ----------
    table : columns ``part``, ``method``, ``effect``, ``leak`` of equal length, one row a part, method and pair of
        images; a dict of arrays or a pandas data frame
    unit : of effect and leak

    Returns
    -------
    Figure: means with 95 % bootstrap intervals over the pairs, on a logarithmic scale
    """
    cells, parts, methods = _grouped(table)
    figure = new_figure(WIDTH, 0.95 + len(parts) * (0.12 + 0.15 * len(methods)))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, column, heading in zip(axes, ("effect", "leak"), ("effect inside the part", "leak outside it"), strict=True):
        for j, method in enumerate(methods):
            y = np.arange(len(parts)) + 0.7 * ((j + 0.5) / len(methods) - 0.5)
            mean, low, high = np.array([_interval(cells[part, method][column]) for part in parts]).T
            ax.hlines(y, low, high, color=line_color(j), linewidth=1.3)
            ax.scatter(mean, y, s=26, color=line_color(j), marker=_MARKERS[j % len(_MARKERS)], label=method, zorder=3)
        for row in range(0, len(parts), 2):
            ax.axhspan(row - 0.5, row + 0.5, color="#f3f5f7", linewidth=0, zorder=0)
        ax.set(xscale="log", xlabel=unit)
        ax.set_title(heading, weight="normal")
        ax.grid(axis="x")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        settle_ticks(ax)
    _same_limits(axes)
    axes[0].set_yticks(range(len(parts)), parts)
    axes[0].set_ylim(len(parts) - 0.5, -0.5)
    _legend_above(figure, axes[0], title)
    return figure


@styled
def tradeoff(table: Mapping[str, Any], *, unit: str = "mean squared ΔE", ax: Axes | None = None) -> Figure:
    """Effect against leak: up is a stronger edit, left a more local one.

    Parameters
    ----------
    table : as in `locality_bars`
    unit : of effect and leak

    Returns
    -------
    Figure: colour tells the method, shape the part; whiskers are 95 % bootstrap intervals over the
    pairs, grey lines join equal ratios of effect to leak
    """
    cells, parts, methods = _grouped(table)
    figure, ax = panel(ax, width=6.4, height=4.3)
    points = []
    for j, method in enumerate(methods):
        for i, part in enumerate(parts):
            (x, *xs), (y, *ys) = (_interval(cells[part, method][c]) for c in ("leak", "effect"))
            ax.plot(xs, [y, y], [x, x], ys, color=line_color(j), linewidth=0.9, alpha=0.5)
            ax.scatter(x, y, s=34, color=line_color(j), marker=_MARKERS[i % len(_MARKERS)], linewidths=0, zorder=3)
            points.append((x, y))
    ax.set(xscale="log", yscale="log", xlabel=f"leak outside the part ({unit})", ylabel=f"effect inside it ({unit})")
    _equal_ratios(ax, np.array(points))
    _two_legends(ax, methods, parts)
    settle_ticks(ax)
    return figure


def _two_legends(ax: Axes, methods: Sequence[str], parts: Sequence[str]) -> None:
    """Colours tell the methods, shapes the parts: one legend under two headings."""

    def entry(label: str, color: str = "none", marker: str = "") -> Line2D:
        return Line2D([], [], linestyle="none", color=color, marker=marker, markeredgewidth=0, markersize=6, label=label)

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


def _grouped(table: Mapping[str, Any]) -> tuple[dict[tuple[str, str], dict[str, np.ndarray]], list[str], list[str]]:
    """Effects and leaks of every (part, method), and both in order of appearance."""
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        raise ValueError(f"table lacks the columns {missing}; it needs {', '.join(_COLUMNS)}, one row a pair")
    part, method = (np.array([str(v) for v in table[c]]) for c in ("part", "method"))
    effect, leak = (as_array(f"table[{c!r}]", np.asarray(table[c]), ndim=1) for c in ("effect", "leak"))
    lengths = {len(part), len(method), len(effect), len(leak)}
    if len(lengths) != 1:
        raise ValueError(f"the columns of table must have one length, got {sorted(lengths)}")
    if min(effect.min(), leak.min()) < 0:
        raise ValueError("effect and leak must not be negative: they are mean squared differences")
    parts, methods = list(dict.fromkeys(part.tolist())), list(dict.fromkeys(method.tolist()))
    cells = {}
    for p in parts:
        for m in methods:
            rows = (part == p) & (method == m)
            if not rows.any():
                raise ValueError(f"table has no row for part {p!r} and method {m!r}; measure every pair of them")
            cells[p, m] = {"effect": effect[rows], "leak": leak[rows]}
    return cells, parts, methods


def _interval(values: np.ndarray, *, resamples: int = 1000) -> tuple[float, float, float]:
    """Mean with its 95 % percentile-bootstrap interval; the same values give the same interval."""
    draws = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
    # A log scale cannot show an exact zero; it is drawn at the scale's edge.
    tiny = 1e-12
    return max(float(values.mean()), tiny), max(float(low), tiny), max(float(high), tiny)


def _same_limits(axes: Sequence[Axes]) -> None:
    """One scale for effect and leak, so that positions compare across the two panels."""
    low = min(ax.get_xlim()[0] for ax in axes)
    high = max(ax.get_xlim()[1] for ax in axes)
    for ax in axes:
        ax.set_xlim(low, high)


def _legend_above(figure: Figure, ax: Axes, title: str | None) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), title=title, alignment="left",
                  title_fontproperties={"weight": "bold", "size": 10.5, "family": font_families()})  # fmt: skip
