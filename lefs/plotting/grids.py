"""Grids of pictures and of clusters laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import rankdata
from sklearn.utils.extmath import svd_flip

from lefs.checks import check_integer, check_number
from lefs.plotting.arrays import (
    as_array,
    as_colors,
    as_images,
    as_labels,
    as_membership,
    as_names,
    color_index,
    overlay,
)
from lefs.plotting.sheet import CAPTION, Sheet
from lefs.plotting.style import cluster_colors, styled

__all__ = ["image_grid", "membership_overlays", "overlay_grid", "similarity_colors"]

_LISTED = 32  # clusters without a name

Names = Sequence[str] | Mapping[str, Sequence[int]]


@styled
def image_grid(
    images: Any,
    *,
    columns: int = 8,
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Pictures in rows.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W) in [-1, 1]
    columns : pictures in a row
    titles : one caption a picture
    row_labels : one label a row
    title : line above the grid

    Returns
    -------
    Figure, with one axes a picture
    """
    pictures = as_images("images", images)
    columns = min(check_integer("columns", columns, minimum=1), len(pictures))
    rows = -(-len(pictures) // columns)
    captions = as_labels("titles", titles, len(pictures))
    sheet = Sheet(
        rows,
        columns,
        aspect=_aspect(pictures),
        title=title,
        row_labels=as_labels("row_labels", row_labels, rows),
        above=dict.fromkeys(range(rows), CAPTION) if captions else None,
    )
    for i, picture in enumerate(pictures):
        sheet.picture(i // columns, i % columns, picture)
        if captions:
            sheet.caption(i // columns, i % columns, captions[i])
    return sheet.figure


def similarity_colors(centers: Any) -> np.ndarray:
    """Colours for clusters, related ones for related clusters: the way to show hundreds of them on pictures.

    Red, green and blue are the ranks of the centres along their first three principal components.

    Parameters
    ----------
    centers : Tensor of shape (K, C), the ``centers`` of a catalog or clustering

    Returns
    -------
    ndarray of shape (K, 3), float64 sRGB in [0.12, 0.92]
    """
    points = as_array("centers", centers, ndim=2)
    left, sizes, right = np.linalg.svd(points - points.mean(0), full_matrices=False)
    # (signs that do not depend on the solver; and rounding must not make an order where there is none)
    components = (svd_flip(left, right)[0] * sizes)[:, :3].round(9)
    ranks = np.full((len(points), 3), len(points) / 2)
    ranks[:, : components.shape[1]] = rankdata(components, axis=0) - 0.5
    return 0.12 + 0.8 * ranks / len(points)


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
    images : Tensor of shape (N, 3, H, W) in [-1, 1]
    membership : Tensor of shape (N, K, h, w); the largest value at a position wins
    names : one name a cluster, or a catalog's ``parts``; clusters of one name share one colour
    colors : ndarray of shape (K, 3), sRGB in [0, 1], such as `similarity_colors` of the centres; one a part
        if there are `names`. None: `cluster_colors`, which tell a few dozen apart
    opacity : 0 shows the picture only, 1 the colour only
    columns : pictures in a row

    Returns
    -------
    Figure, with a legend of the clusters or parts that occur; of more than 32 without names, whose colours
    nobody could tell apart in a list, the number
    """
    pictures = as_images("images", images)
    labels, parts = _labels(as_membership("membership", membership, pictures), names)
    palette = cluster_colors(len(parts)) if colors is None else as_colors("colors", colors, len(parts))
    shown = np.unique(labels)
    many = names is None and len(shown) > _LISTED
    columns = min(check_integer("columns", columns, minimum=1), len(pictures))
    blocks = -(-len(pictures) // columns)
    sheet = Sheet(
        2 * blocks,
        columns,
        aspect=_aspect(pictures),
        title=f"{_some(len(shown), len(parts))}{', each in its colour' * (colors is None)}"
        if many and title is None
        else title,
        above={2 * b: 0.1 for b in range(1, blocks)},
        legend=[] if many else [(parts[k], palette[k]) for k in shown],
    )
    mixed = overlay(pictures, labels, palette, check_number("opacity", opacity, minimum=0, maximum=1))
    for block in range(blocks):
        for row, those in enumerate((pictures, mixed), start=2 * block):
            sheet.pictures(row, those[block * columns : (block + 1) * columns])
    return sheet.figure


def _some(shown: int, count: int) -> str:
    return f"{count} clusters" if shown == count else f"{shown} of the {count} clusters"


@styled
def overlay_grid(
    images: Any,
    memberships: Mapping[Any, Any],
    *,
    opacity: float = 0.65,
    title: str | None = None,
) -> Figure:
    """The same pictures clustered in several ways, to choose a layer and a number of clusters.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W) in [-1, 1], a few (2 to 4) for (layer, K) keys
    memberships : {(layer, K): (N, K, h, w)}: layers become columns and K rows, sorted;
        or {label: (N, K, h, w)}: one row each, in the given order
    opacity : 0 shows the picture only, 1 the colour only

    Returns
    -------
    Figure, with the pictures themselves in the first row. Colours are comparable within a row of one block
    only: cluster 3 of one clustering has nothing to do with cluster 3 of another.
    """
    pictures = as_images("images", images)
    if not memberships:
        raise ValueError("memberships is empty; give {(layer, K): membership of shape (N, K, h, w)}")
    check_number("opacity", opacity, minimum=0, maximum=1)
    blocks, rows = _blocks(memberships)
    n = len(pictures)
    sheet = Sheet(
        len(rows) + 1,
        n * len(blocks),
        aspect=_aspect(pictures),
        title=title,
        max_cell=1.2,
        row_labels=["", *(f"K = {r}" if isinstance(r, int) else str(r) for r in rows)],
        above={0: CAPTION if blocks != [None] else 0.0, 1: 0.06},
        before={n * b: 0.14 for b in range(1, len(blocks))},
    )
    for b, block in enumerate(blocks):
        _draw_block(sheet, pictures, b, block, rows, memberships, opacity)
    return sheet.figure


def _draw_block(
    sheet: Sheet,
    pictures: np.ndarray,
    b: int,
    block: Any,
    rows: Sequence[Any],
    memberships: Mapping[Any, Any],
    opacity: float,
) -> None:
    first = b * len(pictures)
    if block is not None:
        sheet.caption(0, first, str(block), span=len(pictures), strong=True)
    sheet.pictures(0, pictures, first=first)
    for r, row in enumerate(rows, start=1):
        key = row if block is None else (block, row)
        if key not in memberships:
            continue
        labels, parts = _labels(as_membership(f"memberships[{key!r}]", memberships[key], pictures), None)
        sheet.pictures(r, overlay(pictures, labels, cluster_colors(len(parts)), opacity), first=first)


def _blocks(keys: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Columns (layers) and rows (K) that the keys span; strings make one unnamed block of rows."""
    keys = list(keys)
    if all(isinstance(k, str) for k in keys):
        return [None], keys
    if not all(isinstance(k, tuple) and len(k) == 2 for k in keys):
        raise TypeError(f"memberships must have (layer, K) pairs, or only strings, as keys; got {keys!r}")
    return list(dict.fromkeys(layer for layer, _ in keys)), sorted({count for _, count in keys})


def _labels(membership: np.ndarray, names: Names | None) -> tuple[np.ndarray, list[str]]:
    """The part that wins at each position, (N, h, w), and the names of the parts."""
    by_cluster = as_names(names, membership.shape[1])
    parts, part_of = list(dict.fromkeys(by_cluster)), color_index(by_cluster)
    scores = [membership[:, part_of == p].sum(1) for p in range(len(parts))]
    return np.stack(scores, axis=1).argmax(1), parts


def _aspect(pictures: np.ndarray) -> float:
    return pictures.shape[1] / pictures.shape[2]
