"""Contributions M: which channel belongs to which cluster, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_name
from lefs.plotting.arrays import as_array, as_names, color_index
from lefs.plotting.grids import Names
from lefs.plotting.style import (
    MUTED,
    SHARE_MAP,
    WIDTH,
    cluster_colors,
    for_lines,
    frame,
    new_figure,
    panel,
    share_bar,
    styled,
    text_color_on,
)
from lefs.stylespace import StyleLayer

__all__ = ["contribution_heatmap", "layer_profile", "strongest_channels", "sum_to_one"]

_SHARES: dict[str, Any] = {
    "cmap": SHARE_MAP,
    "vmin": 0,
    "vmax": 1,
    "aspect": "auto",
    "interpolation": "nearest",
}
_DASHED: dict[str, Any] = {"linestyle": (0, (3, 2)), "linewidth": 1.1}


def channel_order(contributions: np.ndarray) -> np.ndarray:
    """Channels by the cluster that has most of them, strongest first; dead channels last."""
    strongest, owner = contributions.max(0), contributions.argmax(0)
    dead = strongest == 0
    return np.lexsort((-strongest, owner, dead))


@styled
def contribution_heatmap(
    contributions: Any, *, names: Names | None = None, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Contributions as a heat map, clusters × channels.

    Parameters
    ----------
    contributions : array of shape (K, C), M in [0, 1], for example ``catalog.contributions[:, layer.slice]``
    names : one name a cluster, or a catalog's ``parts``; clusters of one name stay separate rows

    Returns
    -------
    Figure; channels are sorted by the cluster that has most of their energy, so that a catalog that separates
    parts shows a staircase. The strips carry the clusters' colours.
    """
    shares = as_array("contributions", contributions, ndim=2)
    order = channel_order(shares)
    figure, ax = panel(ax, width=WIDTH, height=max(1.8, 0.9 + 0.19 * len(shares)))
    image = ax.imshow(shares[:, order], **_SHARES)
    labels, colors = _rows(names, len(shares))
    ax.set_yticks(range(len(labels)), labels)
    ax.tick_params(axis="y", length=0, pad=10)
    ax.set_xlabel(f"{shares.shape[1]} channels, sorted by their strongest cluster")
    frame(ax)
    live = shares.max(0)[order] > 0
    owners = np.where(live[:, None], colors[shares.argmax(0)[order]], 1.0)
    _strip(ax, (0, 1.015, 1, 0.03), owners[None])
    _strip(ax, (-0.012, 0, 0.007, 1), colors[:, None])
    ax.set_title(title or "", pad=13 if title else 0)
    share_bar(figure, ax, image, "contribution M")
    return figure


def _rows(names: Names | None, count: int) -> tuple[list[str], np.ndarray]:
    """Row labels, and colours that agree with the overlays: one a part where clusters are named."""
    labels = as_names(names, count)
    return labels, cluster_colors(count)[color_index(labels)]


def _strip(ax: Axes, box: tuple[float, float, float, float], colors: np.ndarray) -> None:
    strip = ax.inset_axes(box)
    strip.imshow(colors, aspect="auto", interpolation="nearest")
    strip.set_axis_off()


@styled
def sum_to_one(
    contributions: Any,
    *,
    names: Names | None = None,
    layers: Sequence[StyleLayer] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Every channel as a column of its clusters' shares, stacked: they fill the unit exactly.

    Parameters
    ----------
    contributions : array of shape (K, S), M in [0, 1]
    names : one name a cluster, or a catalog's ``parts``, for the colours and a legend
    layers : a catalog's ``layers``; styles that are no channel of theirs, such as those that place a
        StyleGAN3's input, are left out instead of counted as dead. None: all columns are channels

    Returns
    -------
    Figure: at the bottom, in full colour, the strongest cluster's share. Its title states max |Σ M − 1| over
    the live channels and counts the dead ones.
    """
    shares = as_array("contributions", contributions, ndim=2)
    if layers is not None:
        shares = np.concatenate([shares[:, layer.slice] for layer in layers], axis=1)
    order = channel_order(shares)
    sums = shares.sum(0)
    live = sums > 0
    worst = float(np.abs(sums[live] - 1).max()) if live.any() else 0.0
    figure, ax = panel(ax, width=WIDTH, height=2.5)
    labels, colors = _rows(names, len(shares))
    _stack(ax, shares[:, order], colors)
    if names is not None:
        patches = {part: Patch(color=color, label=part) for part, color in zip(labels, colors, strict=True)}
        ax.legend(handles=list(patches.values()), loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.set(xlim=(0, shares.shape[1]), ylim=(0, 1.001), yticks=[0, 0.5, 1])
    ax.set(ylabel="share of energy", xlabel="style channels, sorted by their strongest cluster")
    dead = int((~live).sum())
    ax.set_title(
        f"max |Σ M − 1| = {worst:.1e} over {int(live.sum()):,} live channels; {dead} dead",
        weight="normal",
    )
    return figure


def _stack(ax: Axes, shares: np.ndarray, colors: np.ndarray) -> None:
    """Columns of shares (K, C): the strongest at the bottom in full colour, the rest above it, pale."""
    owner, edges = shares.argmax(0), np.arange(shares.shape[1] + 1)
    top = shares.max(0)
    for k, color in enumerate(colors):
        own = np.where(owner == k, shares[k], 0.0)
        ax.stairs(own, edges, fill=True, color=color, linewidth=0, antialiased=False)
        rest = np.where(owner == k, 0.0, shares[k])
        pale = 0.35 * color + 0.65
        ax.stairs(top + rest, edges, baseline=top, fill=True, color=pale, linewidth=0, antialiased=False)
        top = top + rest


@styled
def layer_profile(catalog: Catalog, parts: str | Sequence[str], *, ax: Axes | None = None) -> Figure:
    """Contribution to one or several parts along the layers: strongest channel and mean.

    Parameters
    ----------
    catalog : `Catalog`
    parts : a part's name, or several (up to eight stay readable)

    Returns
    -------
    Figure: strongest channel solid, mean of all channels dashed, toRGB layers hollow; each part in the colour
    that it has in the overlays, darker where that would be too light for a line
    """
    chosen = [parts] if isinstance(parts, str) else list(parts)
    if not chosen:
        raise ValueError(f"parts is empty; choose from: {', '.join(catalog.parts)}")
    for part in chosen:
        check_name("parts", part, list(catalog.parts), what="part")
    figure, ax = panel(ax, width=WIDTH, height=max(3.3, 1.0 + 0.18 * len(chosen)))
    shade_resolutions(ax, catalog.layers)
    colors = dict(zip(*_rows(catalog.parts, catalog.num_clusters), strict=True))
    for part in chosen:
        shares = catalog.contribution(part).numpy()
        _profile(ax, part, shares, catalog.layers, for_lines(colors[part]))
    ax.plot([], [], color=MUTED, label="strongest channel")
    ax.plot([], [], color=MUTED, **_DASHED, label="mean of channels")
    names = [layer.name for layer in catalog.layers]
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set(ylim=(0, 1.0), yticks=[0, 0.25, 0.5, 0.75, 1], ylabel="contribution M")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.4)
    return figure


def _profile(ax: Axes, part: str, m: np.ndarray, layers: Sequence[StyleLayer], color: np.ndarray) -> None:
    x = np.arange(len(layers))
    top, mean = [m[la.slice].max() for la in layers], [m[la.slice].mean() for la in layers]
    ax.plot(x, top, color=color, label=part, zorder=3)
    faces = [(1, 1, 1) if layer.kind == "rgb" else tuple(color) for layer in layers]
    ax.scatter(x, top, s=22, color=faces, edgecolors=[tuple(color)], linewidths=1.2, zorder=4)
    ax.plot(x, mean, color=color, **_DASHED, zorder=2)


def shade_resolutions(ax: Axes, layers: Sequence[StyleLayer]) -> None:
    """Shade every other resolution along x, and write the side of its maps at the top."""
    sides = [layer.resolution for layer in layers]
    for i, side in enumerate(dict.fromkeys(sides)):
        first, last = sides.index(side), len(sides) - 1 - sides[::-1].index(side)
        if i % 2 == 0:
            ax.axvspan(first - 0.5, last + 0.5, color="#f3f5f7", zorder=0, linewidth=0)
        ax.annotate(
            f"{side}²",
            ((first + last) / 2, 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            size=8.5,
            color=MUTED,
        )
    ax.set_xlim(-0.5, len(sides) - 0.5)


@styled
def strongest_channels(catalog: Catalog, part: str, *, count: int = 5) -> Figure:
    """The channels of each layer that contribute most to a part, with their M.

    Parameters
    ----------
    catalog : `Catalog`
    part : name of a part
    count : channels a layer

    Returns
    -------
    Figure: a table; each cell holds the channel's number within its layer, and M as number and shade
    """
    check_integer("count", count, minimum=1)
    check_name("part", part, list(catalog.parts), what="part")
    m = catalog.contribution(part).numpy()
    count = min(count, min(layer.channels for layer in catalog.layers))
    top = np.stack([np.argsort(-m[la.slice], kind="stable")[:count] for la in catalog.layers])
    shares = np.stack([m[la.slice][t] for la, t in zip(catalog.layers, top, strict=True)])
    figure = new_figure(min(WIDTH, 2.2 + 1.05 * count), 0.75 + 0.235 * len(top))
    ax = figure.subplots()
    image = ax.imshow(shares, **_SHARES)
    for (row, column), share in np.ndenumerate(shares):
        color = text_color_on(np.asarray(SHARE_MAP(share)))
        ax.text(column - 0.08, row, f"{top[row, column]}", ha="right", va="center", size=8.5, color=color)
        ax.text(column + 0.04, row, f"{share:.2f}", ha="left", va="center", size=8.5, color=color, alpha=0.8)
    ax.set_yticks(range(len(top)), [layer.name for layer in catalog.layers])
    ax.set_xticks(range(count), [_ordinal(i + 1) for i in range(count)])
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_title(f"{part}: strongest channels (number, M)")
    frame(ax)
    share_bar(figure, ax, image, "contribution M")
    return figure


def _ordinal(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number if number < 20 else number % 10, 'th') }"
