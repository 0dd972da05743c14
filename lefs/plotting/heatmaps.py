"""Heat maps, rows × columns: which cluster holds which channel or true part, what an edit disturbs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_name
from lefs.evaluation import PartLeak
from lefs.plotting.arrays import Names, as_array, as_labels, channel_order, cluster_rows
from lefs.plotting.style import FAINT, SHARE_MAP, WIDTH, panel, styled, text_color_on, text_scale

__all__ = ["concept_counts", "confusion", "contribution_heatmap", "part_leak_matrix", "strongest_channels"]

_LABELLED = 32  # rows of contributions that there is room to label


def _heat_map(
    ax: Axes,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    bar: str = "",
    most: float = 1.0,
    write: Callable[[float], str] | None = None,
) -> None:
    """Draw values from white to dark at `most`: with labels, a number in each cell, and a colour bar.

    Parameters
    ----------
    values : ndarray of shape (R, C)
    rows, columns : sequence of str
        R and C labels; no columns where they are too many to be named.
    bar : str
        What the colour bar says; there is none if empty.
    most : float
        The dark end.
    write : callable, optional
        What stands in a cell of that value.
    """
    image = ax.imshow(values, cmap=SHARE_MAP, vmin=0, vmax=most, aspect="auto", interpolation="nearest")
    if write is not None:
        for (row, column), value in np.ndenumerate(values):
            color = text_color_on(np.asarray(SHARE_MAP(value / most)))
            if text := write(value):
                ax.text(column, row, text, ha="center", va="center", size=8 * text_scale(), color=color)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(axis="y", length=0)
    if columns:
        slant: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(columns)), list(columns), **slant)
        ax.tick_params(axis="x", length=0)
    # A hairline around the data, where white cells would otherwise have no edge.
    for spine in ax.spines.values():
        spine.set(visible=True, color=FAINT, linewidth=0.7)
    if bar:
        place: dict[str, Any] = {"pad": 0.012, "fraction": 0.03, "aspect": 24}
        scale = ax.figure.colorbar(image, ax=ax, ticks=[0, most / 2, most], **place)
        scale.set_label(bar)
        scale.outline.set(edgecolor=FAINT, linewidth=0.7)
        scale.ax.tick_params(length=0)


@styled
def contribution_heatmap(
    contributions: Any, *, names: Names | None = None, title: str | None = None, ax: Axes | None = None
) -> Any:
    """Contributions as a heat map, clusters × channels.

    Channels are sorted by the cluster that has most of their energy, so that a catalog that separates parts
    shows a staircase. The strips at the edges carry the clusters' colours. The scale ends at the next tenth
    above the largest value; of more than 32 clusters every second, third, ... is labelled.

    Parameters
    ----------
    contributions : array_like of shape (K, C)
        M in [0, 1], for example ``catalog.contributions[:, layer.span]``.
    names : sequence of str or mapping, optional
        One name a cluster, or a catalog's ``parts``; clusters of one name stay separate rows.
    title : str, optional
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure

    Examples
    --------
    >>> from lefs.plotting import contribution_heatmap
    >>> contribution_heatmap([[0.9, 0.2, 0.6], [0.1, 0.8, 0.4]], names=["hair", "skin"]).axes[0].get_xlabel()
    '3 channels, sorted by their strongest cluster'
    """
    shares = as_array("contributions", contributions, ndim=2)
    order = channel_order(shares)
    figure, ax = panel(ax, width=WIDTH, height=max(1.8, 0.9 + 0.19 * min(len(shares), _LABELLED)))
    labels, colors = cluster_rows(names, len(shares))
    every = -(-len(shares) // _LABELLED)
    labels = [label if k % every == 0 else "" for k, label in enumerate(labels)]
    most = math.ceil(10 * shares.max()) / 10  # (shares of hundreds of clusters are small)
    _heat_map(ax, shares[:, order], labels, (), bar="contribution M", most=most or 1)
    ax.tick_params(axis="y", pad=10)
    ax.set_xlabel(f"{shares.shape[1]} channels, sorted by their strongest cluster")
    live = shares.max(0)[order] > 0
    owners = np.where(live[:, None], colors[shares.argmax(0)[order]], 1.0)
    for box, strip in (((0, 1.015, 1, 0.03), owners[None]), ((-0.012, 0, 0.007, 1), colors[:, None])):
        inset = ax.inset_axes(box)
        inset.imshow(strip, aspect="auto", interpolation="nearest")
        inset.set_axis_off()
    ax.set_title(title or "", pad=13 if title else 0)
    return figure


@styled
def strongest_channels(catalog: Catalog, part: str, *, count: int = 5, ax: Axes | None = None) -> Any:
    """The channels of each layer that contribute most to a part, with their M.

    Parameters
    ----------
    catalog : Catalog
    part : str
    count : int
        Channels a layer.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Figure
        A table; each cell holds the channel's number within its layer, and M as number and shade.

    Examples
    --------
    >>> import lefs
    >>> from lefs.plotting import strongest_channels
    >>> strongest_channels(lefs.Catalog.load("portraits-64"), "hair", count=3).axes[0].get_title(loc="left")
    'hair: strongest channels (number, M)'
    """
    check_integer("count", count, minimum=1)
    check_name("part", part, list(catalog.parts), what="part")
    m = catalog.contribution(part).numpy()
    count = min(count, min(layer.channels for layer in catalog.layers))
    top = np.stack([np.argsort(-m[la.span], kind="stable")[:count] for la in catalog.layers])
    shares = np.stack([m[la.span][t] for la, t in zip(catalog.layers, top, strict=True)])
    figure, ax = panel(ax, width=min(WIDTH, 2.2 + 1.05 * count), height=0.75 + 0.235 * len(top))
    _heat_map(ax, shares, [layer.name for layer in catalog.layers], (), bar="contribution M")
    for (row, column), share in np.ndenumerate(shares):
        color = text_color_on(np.asarray(SHARE_MAP(share)))
        look: dict[str, Any] = {"va": "center", "size": 8.5 * text_scale(), "color": color}
        ax.text(column - 0.08, row, f"{top[row, column]}", ha="right", **look)
        ax.text(column + 0.04, row, f"{share:.2f}", ha="left", alpha=0.8, **look)
    ax.set_xticks(range(count), [_ordinal(i + 1) for i in range(count)])
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_title(f"{part}: strongest channels (number, M)")
    return figure


def _ordinal(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number if number < 20 else number % 10, 'th') }"


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
) -> Any:
    """Where the pixels of each cluster truly lie.

    Parameters
    ----------
    matrix : array_like of shape (K, P)
        Pixels of each cluster in each true part, as `lefs.evaluation.confusion` counts them, or shares; each
        row is divided by its sum.
    clusters, parts : sequence of str
        K and P names.
    sort : bool
        Order the clusters by the part that has most of them, so that agreement is a diagonal.
    most : int, optional
        Show no more clusters than these: in turn, the one that holds most of each part, then the one that
        holds next most. None shows all.
    title : str, optional
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure

    Examples
    --------
    >>> from lefs.plotting import confusion
    >>> confusion([[90, 10], [5, 95]], ["0", "1"], ["hair", "skin"]).axes[0].get_ylabel()
    'cluster'
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
    bar, labels = "share of the cluster's pixels", [rows[i] for i in order]
    _heat_map(ax, shares[order], labels, columns, bar=bar, write=lambda v: f"{v:.2f}" if v >= 0.05 else "")
    few = len(order) < len(shares)
    label = f"{len(order)} of the {len(shares)} clusters" if few else "cluster"
    ax.set(xlabel="true part", ylabel=label, title=title or "")
    return figure


def _holders(pixels: np.ndarray, most: int) -> np.ndarray:
    """Up to `most` clusters, those that hold most of each part first: of (K, P), sorted."""
    ranked = np.argsort(-pixels, axis=0, kind="stable")
    holding = np.take_along_axis(pixels, ranked, axis=0) > 0
    return np.sort([*dict.fromkeys(ranked[holding].tolist())][:most])


@styled
def part_leak_matrix(found: PartLeak, *, title: str | None = None, ax: Axes | None = None) -> Any:
    """Where the change of each edit lies, part by part.

    Parameters
    ----------
    found : PartLeak
        Of `lefs.evaluation.part_leak`.
    title : str, optional
        What lies off the diagonal if None.
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure
        A row for each edited part, its mean squared ΔE in every part as shares of the row.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import PartLeak
    >>> from lefs.plotting import part_leak_matrix
    >>> part_leak_matrix(PartLeak(("hair", "skin"), np.ones((3, 2, 2)))).axes[0].get_title(loc="left")
    'off the diagonal: 50% [50%, 50%] of all change'
    """
    shares, parts = found.shares, list(found.parts)
    figure, ax = panel(ax, width=min(WIDTH, 2.4 + 0.62 * len(shares)), height=1.3 + 0.42 * len(shares))
    bar = "share of the row's mean squared ΔE"
    _heat_map(ax, shares, parts, parts, bar=bar, write=lambda v: f"{v:.2f}" if v >= 0.005 else "")
    title = title or "off the diagonal: {:.0%} [{:.0%}, {:.0%}] of all change".format(*found.estimate())
    ax.set(xlabel="part whose change is measured", ylabel="part that is edited", title=title)
    return figure


@styled
def concept_counts(
    counts: Any, layers: Sequence[str], concepts: Sequence[str], *, ax: Axes | None = None
) -> Any:
    """How many units of each layer stand for each concept.

    Parameters
    ----------
    counts : array_like of shape (L, P)
        What `UnitDissection.histogram` returns.
    layers, concepts : sequence of str
        L and P names.
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure
        Layers from coarse to fine downwards, each cell a number of units.

    Examples
    --------
    >>> from lefs.plotting import concept_counts
    >>> len(concept_counts([[0, 3], [12, 1]], ["coarse", "fine"], ["hat", "shoe"]).axes[0].texts)
    3
    """
    table = as_array("counts", counts, ndim=2)
    rows, columns = as_labels("layers", layers, len(table)), as_labels("concepts", concepts, table.shape[1])
    figure, ax = panel(ax, width=min(WIDTH, 1.9 + 0.6 * table.shape[1]), height=1.1 + 0.27 * len(table))
    most = max(1.0, table.max())
    _heat_map(ax, table, rows, columns, most=most, write=lambda n: f"{n:.0f}" if n else "")
    ax.set(ylabel="layer", xlabel="concept", title="Units that stand for a concept")
    return figure
