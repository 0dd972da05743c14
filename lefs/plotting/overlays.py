"""Clusters laid over pictures: hard and soft memberships, and what there is of each factor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lefs.checks import check_filled, check_integer, check_number
from lefs.plotting import arrays
from lefs.plotting.arrays import Names, as_array, as_images, color_index, grey, overlay, tinted
from lefs.plotting.picture_grid import CAPTION, PictureGrid, Row
from lefs.plotting.pictures import wrapped
from lefs.plotting.style import SHARE_MAP, cluster_colors, styled

__all__ = ["factor_maps", "membership_overlays", "overlay_grid", "soft_overlays"]

_LISTED = 32  # clusters without a name


@styled
def membership_overlays(
    images: Any,
    membership: Any,
    *,
    names: Names | None = None,
    colors: Any = None,
    opacity: float = 0.6,
    columns: int = 8,
    title: str | None = None,
) -> Figure:
    """Pictures, and below each the cluster of every position as a colour.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
        In [-1, 1].
    membership : Tensor of shape (N, K, h, w)
        The largest value at a position wins.
    names : sequence of str or mapping, optional
        One name a cluster, or a catalog's ``parts``; clusters of one name share one colour.
    colors : ndarray of shape (K, 3), optional
        sRGB in [0, 1], such as `similarity_colors` of the centres; one a part if there are `names`. None:
        `cluster_colors`, which tell a few dozen apart.
    opacity : float
        0 shows the picture only, 1 the colour only.
    columns : int
        Pictures in a row.
    title : str, optional

    Returns
    -------
    Figure
        With a legend of the clusters or parts that occur; of more than 32 without names, whose colours nobody
        could tell apart in a list, the number.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import membership_overlays
    >>> halves = torch.eye(2).reshape(1, 2, 1, 2)
    >>> figure = membership_overlays(torch.zeros(1, 3, 16, 16), halves, names=["left", "right"])
    >>> [text.get_text() for text in figure.texts]
    ['left', 'right']
    """
    pictures = as_images("images", images)
    found = as_array("membership", membership, ndim=4, images=len(pictures))
    by_cluster = arrays.as_names(names, found.shape[1])
    parts, part_of = list(dict.fromkeys(by_cluster)), color_index(by_cluster)
    labels = np.stack([found[:, part_of == p].sum(1) for p in range(len(parts))], axis=1).argmax(1)
    palette = cluster_colors(len(parts)) if colors is None else arrays.as_colors("colors", colors, len(parts))
    shown = np.unique(labels)
    many = names is None and len(shown) > _LISTED
    if many and title is None:
        some = "" if len(shown) == len(parts) else f"{len(shown)} of the "
        title = f"{some}{len(parts)} clusters" + ", each in its colour" * (colors is None)
    mixed = overlay(pictures, labels, palette, check_number("opacity", opacity, minimum=0, maximum=1))
    pairs = zip(wrapped(pictures, columns), wrapped(mixed, columns), strict=True)
    rows = [row for pair in pairs for row in pair]
    legend = [] if many else [(parts[k], palette[k]) for k in shown]
    above = dict.fromkeys(range(2, len(rows), 2), 0.1)
    return PictureGrid(rows, title=title, above=above, legend=legend).figure


@styled
def overlay_grid(
    images: Any, memberships: Mapping[Any, Any], *, opacity: float = 0.65, title: str | None = None
) -> Figure:
    """The same pictures clustered in several ways, to choose a layer and a number of clusters.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
        In [-1, 1], a few (2 to 4) for (layer, K) keys.
    memberships : mapping to Tensor of shape (N, K, h, w)
        ``{(layer, K): membership}``: layers become columns and K rows, sorted; or ``{label: membership}``:
        one row each, in the given order.
    opacity : float
        0 shows the picture only, 1 the colour only.
    title : str, optional

    Returns
    -------
    Figure
        With the pictures themselves in the first row. Colours are comparable within a row of one block only:
        cluster 3 of one clustering has nothing to do with cluster 3 of another.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import overlay_grid
    >>> halves = torch.eye(2).reshape(1, 2, 1, 2)
    >>> figure = overlay_grid(torch.zeros(1, 3, 16, 16), {("b8.conv1", 2): halves, ("b16.conv1", 2): halves})
    >>> len(figure.axes[0].images)
    4
    """
    blocks, rows = _blocks(memberships)
    pictures, found = _read(images, memberships, opacity)
    n, holes = len(pictures), [None] * len(pictures)
    made = {
        key: overlay(pictures, soft.argmax(1), cluster_colors(soft.shape[1]), opacity)
        for key, soft in found.items()
    }
    keys = [[row if block is None else (block, row) for block in blocks] for row in rows]
    cells: list[Row] = [list(pictures) * len(blocks)]
    cells += [[cell for key in line for cell in made.get(key, holes)] for line in keys]
    above, before = {0: CAPTION * (blocks != [None]), 1: 0.06}, {n * b: 0.14 for b in range(1, len(blocks))}
    labels = ["", *(f"K = {r}" if isinstance(r, int) else str(r) for r in rows)]
    grid = PictureGrid(cells, title=title, max_cell=1.2, row_labels=labels, above=above, before=before)
    for b, block in enumerate(blocks):
        grid.caption(0, b * n, str(block or ""), span=n, strong=True)
    return grid.figure


def _read(
    images: Any, memberships: Mapping[Any, Any], opacity: float
) -> tuple[np.ndarray, dict[Any, np.ndarray]]:
    """The pictures, and what each key's membership of them is."""
    pictures = as_images("images", images)
    if not memberships:
        raise ValueError("memberships is empty; give {label or (layer, K): membership of shape (N, K, h, w)}")
    check_number("opacity", opacity, minimum=0, maximum=1)
    found = memberships.items()
    return pictures, {k: as_array(f"memberships[{k!r}]", m, ndim=4, images=len(pictures)) for k, m in found}


def _blocks(keys: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Columns (layers) and rows (K) that the keys span; strings make one unnamed block of rows."""
    keys = list(keys)
    if all(isinstance(k, str) for k in keys):
        return [None], keys
    if not all(isinstance(k, tuple) and len(k) == 2 for k in keys):
        raise TypeError(f"memberships must have (layer, K) pairs, or only strings, as keys; got {keys!r}")
    return list(dict.fromkeys(layer for layer, _ in keys)), sorted({count for _, count in keys})


@styled
def soft_overlays(
    images: Any, memberships: Mapping[str, Any], *, opacity: float = 0.7, title: str | None = None
) -> Figure:
    """The same pictures divided in several ways, hard or soft; soft memberships blend their colours.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
        In [-1, 1].
    memberships : mapping of str to Tensor of shape (N, K, h, w)
        One row each, sums to 1 along K. Clusters of later rows take the colours of those of the first that
        they share most with, so that rows compare.
    opacity : float
        0 shows the picture only, 1 the colours only.
    title : str, optional

    Returns
    -------
    Figure
        With the pictures themselves in the first row.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import soft_overlays
    >>> even = torch.full((1, 2, 4, 4), 0.5)
    >>> [text.get_text() for text in soft_overlays(torch.zeros(1, 3, 16, 16), {"NMF": even}).texts]
    ['pictures', 'NMF']
    """
    pictures, found = _read(images, memberships, opacity)
    soft = list(found.values())
    palette, rows = cluster_colors(max(m.shape[1] for m in soft)), [pictures]
    for membership in soft:
        colors = palette[_counterparts(soft[0], membership, len(palette))]
        rows.append(tinted(pictures, np.einsum("nkhw,kc->nhwc", membership, colors), opacity))
    return PictureGrid(rows, title=title, row_labels=["pictures", *memberships], above={1: 0.06}).figure


@styled
def factor_maps(
    images: Any,
    membership: Any,
    *,
    factors: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    count: int = 6,
    title: str | None = None,
) -> Figure:
    """Where each factor is, and how much: a row a factor, a column a picture.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
        In [-1, 1].
    membership : Tensor of shape (N, K, h, w)
        Shares in [0, 1].
    factors : sequence of int, optional
        Which to show; the `count` that have most of these pictures if None.
    names : sequence of str, optional
        K names.
    count : int
    title : str, optional

    Returns
    -------
    Figure
        Over grey pictures, the darker blue the larger the share; with a colour bar.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import factor_maps
    >>> even = torch.full((1, 2, 4, 4), 0.5)
    >>> [text.get_text() for text in factor_maps(torch.zeros(1, 3, 16, 16), even, count=1).texts]
    ['pictures', 'factor 0']
    """
    pictures = as_images("images", images)
    shares = as_array("membership", membership, ndim=4, images=len(pictures))
    if factors is None:
        most = check_integer("count", count, minimum=1)
        factors = np.argsort(-shares.mean(axis=(0, 2, 3)), kind="stable")[:most].tolist()
    factors = check_filled("factors", factors, f"some of the {shares.shape[1]}, for example [0]")
    shown = [check_integer("factors", k, maximum=shares.shape[1] - 1) for k in factors]
    known = [f"factor {k}" for k in range(shares.shape[1])] if names is None else names
    known = arrays.as_labels("names", known, shares.shape[1])
    without_hues = grey(pictures).repeat(3, axis=-1).round().astype(np.uint8)
    rows, labels = [pictures], ["pictures", *(known[k] for k in shown)]
    for share in (shares[:, k] for k in shown):
        heat = SHARE_MAP(np.clip(share, 0, 1))[..., :3]
        rows.append(tinted(without_hues, heat, 0.25 + 0.65 * share))
    grid = PictureGrid(rows, max_cell=1.25, title=title, row_labels=labels, above={1: 0.06}, bar=True)
    grid.bar(1, len(shown), SHARE_MAP, 1.0, "share of the activation")
    return grid.figure


def _counterparts(first: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """For each cluster of `other` the one of `first` whose colour it takes, each colour given once: (K,)."""
    from scipy.optimize import linear_sum_assignment  # (takes a while, and most figures need none)

    if other.shape[2:] != first.shape[2:] or other.shape[1] > count:
        return np.arange(other.shape[1])
    shared = np.zeros((other.shape[1], count))
    shared[:, : first.shape[1]] = np.einsum("nkhw,njhw->jk", first, other)
    return linear_sum_assignment(-shared)[1]
