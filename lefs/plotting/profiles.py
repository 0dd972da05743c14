"""Channels along the layers: whose they are, how strongly, and which ones a query moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, StepPatch

from lefs.catalog import Catalog
from lefs.checks import check_name
from lefs.plotting import style
from lefs.plotting.arrays import Names, as_array, channel_order, cluster_rows
from lefs.stylespace import StyleLayer

__all__ = ["layer_profile", "query_profile", "sum_to_one"]

_DASHED: dict[str, Any] = {"linestyle": (0, (3, 2)), "linewidth": 1.1}


_COLUMNS = 3000  # of a stack of shares, at most


@style.styled
def sum_to_one(
    contributions: Any,
    *,
    names: Names | None = None,
    layers: Sequence[StyleLayer] | None = None,
    ax: Axes | None = None,
) -> Any:
    """Every channel as a column of its clusters' shares, stacked: they fill the unit exactly.

    Parameters
    ----------
    contributions : array_like of shape (K, S)
        M in [0, 1].
    names : sequence of str or mapping, optional
        One name a cluster, or a catalog's ``parts``, for the colours and a legend.
    layers : sequence of StyleLayer, optional
        A catalog's ``layers``; styles that are not a channel of theirs, such as those that place a
        StyleGAN3's input, are left out instead of counted as dead. None: all columns are channels.
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure
        At the bottom, in full colour, the strongest cluster's share. Its title states max |Σ M − 1| over the
        live channels and counts the dead ones.

    Examples
    --------
    >>> from lefs.plotting import sum_to_one
    >>> sum_to_one([[0.75, 0.0], [0.25, 0.0]]).axes[0].get_title(loc="left")
    'max |Σ M − 1| = 0.0e+00 over 1 live channels; 1 dead'
    """
    shares = as_array("contributions", contributions, ndim=2)
    if layers is not None:
        shares = np.concatenate([shares[:, layer.span] for layer in layers], axis=1)
    order = channel_order(shares)
    live = (sums := shares.sum(0)) > 0
    worst = float(np.abs(sums[live] - 1).max(initial=0))
    figure, ax = style.panel(ax, width=style.WIDTH, height=2.5)
    labels, colors = cluster_rows(names, len(shares))
    every = -(-len(order) // _COLUMNS)  # (more columns than a page has points take minutes, and show no more)
    _stack(ax, shares[:, order[::every]], colors, every)
    if names is not None:
        patches = {part: Patch(color=color, label=part) for part, color in zip(labels, colors, strict=True)}
        ax.legend(handles=list(patches.values()), **style.BESIDE)
    ax.set(xlim=(0, shares.shape[1]), ylim=(0, 1.001), yticks=[0, 0.5, 1])
    ax.set(ylabel="share of energy", xlabel="style channels, sorted by their strongest cluster")
    counts = f"{int(live.sum()):,} live channels; {int((~live).sum())} dead"
    ax.set_title(f"max |Σ M − 1| = {worst:.1e} over {counts}", weight="normal")
    return figure


def _stack(ax: Axes, shares: np.ndarray, colors: np.ndarray, width: int) -> None:
    """Columns of shares (K, C): the strongest at the bottom in full colour, the rest above it, pale."""
    edges, top = width * np.arange(shares.shape[1] + 1), np.zeros(shares.shape[1])
    own = np.where(shares.argmax(0) == np.arange(len(shares))[:, None], shares, 0.0)
    for rows, paint in ((own, colors), (shares - own, 0.35 * colors + 0.65)):
        for row, color in zip(rows, paint, strict=True):
            look: dict[str, Any] = {"baseline": top, "color": color, "linewidth": 0, "antialiased": False}
            # (not by `stairs`, which looks at every corner for limits that are set anyway)
            ax.add_artist(StepPatch(top + row, edges, fill=True, **look))
            top = top + row


@style.styled
def layer_profile(catalog: Catalog, parts: str | Sequence[str], *, ax: Axes | None = None) -> Any:
    """Contribution to one or several parts along the layers: strongest channel and mean.

    Parameters
    ----------
    catalog : Catalog
    parts : str or sequence of str
        A part's name, or several (up to eight stay readable).
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure
        Strongest channel solid, mean of all channels dashed, toRGB layers hollow; each part in the colour
        that it has in the overlays, darker where that would be too light for a line.

    Examples
    --------
    >>> import lefs
    >>> from lefs.plotting import layer_profile
    >>> layer_profile(lefs.Catalog.load("portraits-64"), ["hair", "eyes"]).axes[0].get_ylabel()
    'contribution M'
    """
    chosen = [parts] if isinstance(parts, str) else list(parts)
    if not chosen:
        raise ValueError(f"parts is empty; choose from: {', '.join(catalog.parts)}")
    for part in chosen:
        check_name("parts", part, list(catalog.parts), what="part")
    figure, ax = style.panel(ax, width=style.WIDTH, height=max(3.3, 1.0 + 0.18 * len(chosen)))
    _shade_resolutions(ax, catalog.layers)
    colors = dict(zip(*cluster_rows(catalog.parts, catalog.num_clusters), strict=True))
    for part in chosen:
        shares = catalog.contribution(part).numpy()
        _profile(ax, part, shares, catalog.layers, style.for_lines(colors[part]))
    ax.plot([], [], color=style.MUTED, label="strongest channel")
    ax.plot([], [], color=style.MUTED, **_DASHED, label="mean of channels")
    names = [layer.name for layer in catalog.layers]
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set(ylim=(0, 1.0), yticks=[0, 0.25, 0.5, 0.75, 1], ylabel="contribution M")
    ax.legend(**style.BESIDE, borderaxespad=0.4)
    return figure


def _profile(ax: Axes, part: str, m: np.ndarray, layers: Sequence[StyleLayer], color: np.ndarray) -> None:
    x = np.arange(len(layers))
    top, mean = [m[la.span].max() for la in layers], [m[la.span].mean() for la in layers]
    ax.plot(x, top, color=color, label=part, zorder=3)
    faces = [(1, 1, 1) if layer.kind == "rgb" else tuple(color) for layer in layers]
    ax.scatter(x, top, s=22, color=faces, edgecolors=[tuple(color)], linewidths=1.2, zorder=4)
    ax.plot(x, mean, color=color, **_DASHED, zorder=2)


def _shade_resolutions(ax: Axes, layers: Sequence[StyleLayer]) -> None:
    """Shade every other resolution along x, and write the size of its maps at the top."""
    sizes = [layer.size for layer in layers]
    for i, size in enumerate(dict.fromkeys(sizes)):
        first, last = sizes.index(size), len(sizes) - 1 - sizes[::-1].index(size)
        if i % 2 == 0:
            ax.axvspan(first - 0.5, last + 0.5, color=style.BAND, zorder=0, linewidth=0)
        at = ((first + last) / 2, 1)
        text = f"{size[0]}²" if size[0] == size[1] else f"{size[0]} × {size[1]}"
        ax.annotate(text, at, (0, 3), xycoords=ax.get_xaxis_transform(), textcoords="offset points",
                    ha="center", size=8.5 * style.text_scale(), color=style.MUTED)  # fmt: skip
    ax.set_xlim(-0.5, len(sizes) - 0.5)


@style.styled
def query_profile(
    q: Any,
    contributions: Any,
    layers: Sequence[StyleLayer],
    *,
    epsilon: float | Sequence[float] | None = None,
    title: str | None = None,
) -> Figure:
    """Which channels a query moves, layer by layer, and the budget that they spend.

    Parameters
    ----------
    q : array_like of shape (S,)
        In [0, 1].
    contributions : array_like of shape (S,)
        M of the part that is edited.
    layers : sequence of StyleLayer
        The generator's L style layers.
    epsilon : float or sequence of float, optional
        Budget of each layer in channels, or one for each of the L layers; None where there is none.
    title : str, optional

    Returns
    -------
    Figure
        Left, every channel at its contribution, those that move in colour; right, Σ q (1 − M) a layer, with
        the allowed ε as a mark.

    Examples
    --------
    >>> import lefs
    >>> from lefs.plotting import query_profile
    >>> catalog = lefs.Catalog.load("portraits-64")
    >>> q = lefs.QuerySettings().query(catalog, "hair")
    >>> len(query_profile(q, catalog.contribution("hair"), catalog.layers, epsilon=16).axes)
    2
    """
    moved, m = _per_channel("q", q, layers), _per_channel("contributions", contributions, layers)
    budgets = _budgets(epsilon, len(layers))
    figure = style.new_figure(style.WIDTH, 0.85 + 0.245 * len(layers))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2.1, 1])
    _channels(left, moved, m, layers)
    rows, cost = np.arange(len(layers)), moved * (1 - m)
    spent = [cost[layer.span].sum() for layer in layers]
    right.barh(rows, spent, 0.62, color=style.line_color(0), linewidth=0)
    right.set_xlabel("Σ q (1 − M), in channels")
    right.set_title("budget spent", weight="normal")
    if budgets is not None:
        bounded = np.isfinite(budgets)
        limits, at = budgets[bounded], rows[bounded]
        right.plot([limits, limits], [at - 0.4, at + 0.4], color=style.line_color(1), linewidth=1.6)
        look = {"weight": "normal", "color": style.line_color(1), "size": 9 * style.text_scale()}
        right.set_title("❘ allowed ε", loc="right", **look)
    most = max(layer.channels for layer in layers)  # (a larger budget binds nothing)
    right.set_xlim(0, min(right.get_xlim()[1], most))
    left.set_yticks(range(len(layers)), [layer.name for layer in layers])
    left.set_ylim(len(layers) - 0.5, -0.5)
    left.set(xlim=(0, min(1.0, 1.06 * m.max()) or 1.0), xlabel="contribution M to the part")
    left.set_title(title or "which channels move", weight="bold" if title else "normal")
    for ax in (left, right):
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    return figure


def _per_channel(name: str, values: Any, layers: Sequence[StyleLayer]) -> np.ndarray:
    array, size = as_array(name, values, ndim=1), max(layer.span.stop for layer in layers)
    if len(array) < size:
        raise ValueError(f"{name} must hold {size} values or more, one a style channel; got {len(array)}")
    return array


def _budgets(epsilon: float | Sequence[float] | None, count: int) -> np.ndarray | None:
    if epsilon is None:
        return None
    values = np.asarray(epsilon, dtype=float)
    if values.shape not in ((), (count,)) or not (values >= 0).all():
        raise ValueError(f"epsilon must be one budget or {count}, one a layer, at least 0; got {epsilon!r}")
    return np.broadcast_to(values, count)


def _channels(ax: Axes, q: np.ndarray, m: np.ndarray, layers: Sequence[StyleLayer]) -> None:
    """A row of dots a layer, spread over its height so that equal contributions do not hide each other."""
    size = 8 * style.text_scale()
    for row, layer in enumerate(layers):
        own, moves = m[layer.span], q[layer.span] != 0
        spread = row + 0.3 * np.cos(np.arange(len(own)) * 2.399963)  # the golden angle: no two alike
        ax.scatter(own[~moves], spread[~moves], s=5, color=style.FAINT, linewidths=0, zorder=1, clip_on=False)
        shades = [(*to_rgb(style.line_color(0)), 0.25 + 0.75 * share) for share in q[layer.span][moves]]
        look: dict[str, Any] = {"color": shades or "none", "linewidths": 0, "zorder": 2, "clip_on": False}
        ax.scatter(own[moves], spread[moves], s=15, **look)
        moved = f"{int(moves.sum())} of {len(own)}"
        ax.annotate(moved, (1.0, row), xytext=(4, 0), textcoords="offset points", va="center",
                    xycoords=("axes fraction", "data"), size=size, color=style.MUTED)  # fmt: skip
