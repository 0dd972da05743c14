"""Soft memberships: colours blended beside a partition's, a heat map a factor, agreement with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from lefs.checks import check_integer, check_number
from lefs.plotting.arrays import as_array, as_images, as_membership, upscaled
from lefs.plotting.sheet import Sheet
from lefs.plotting.style import (
    FAINT,
    SHARE_MAP,
    cluster_colors,
    line_color,
    panel,
    styled,
)
from lefs.tables import Table

__all__ = ["agreement_dots", "factor_maps", "soft_overlays"]

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_MARKERS = "osD^v"


@styled
def soft_overlays(
    images: Any, memberships: Mapping[str, Any], *, opacity: float = 0.7, title: str | None = None
) -> Figure:
    """The same pictures divided in several ways, hard or soft; soft memberships blend their colours.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W) in [-1, 1]
    memberships : {label: Tensor of shape (N, K, h, w), sums to 1 along K}, one row each. Clusters of later
        rows take the colours of those of the first that they share most with, so that rows compare.
    opacity : 0 shows the picture only, 1 the colours only

    Returns
    -------
    Figure, with the pictures themselves in the first row
    """
    pictures = as_images("images", images)
    if not memberships:
        raise ValueError("memberships is empty; give {label: membership of shape (N, K, h, w)}")
    check_number("opacity", opacity, minimum=0, maximum=1)
    soft = {label: as_membership(f"memberships[{label!r}]", m, pictures) for label, m in memberships.items()}
    sheet = Sheet(
        1 + len(soft),
        len(pictures),
        aspect=pictures.shape[1] / pictures.shape[2],
        title=title,
        row_labels=["pictures", *soft],
        above={1: 0.06},
    )
    sheet.pictures(0, pictures)
    first = next(iter(soft.values()))
    palette = cluster_colors(max(m.shape[1] for m in soft.values()))
    for r, membership in enumerate(soft.values(), start=1):
        colors = palette[_counterparts(first, membership, len(palette))]
        blended = np.einsum("nkhw,kc->nhwc", membership, colors)
        sheet.pictures(r, _tinted(pictures, blended, np.float32(opacity)))
    return sheet.figure


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
    images : Tensor of shape (N, 3, H, W) in [-1, 1]
    membership : Tensor of shape (N, K, h, w), shares in [0, 1]
    factors : which to show; the `count` that have most of these pictures if None
    names : K names

    Returns
    -------
    Figure: over grey pictures, the darker blue the larger the share; with a colour bar
    """
    pictures = as_images("images", images)
    shares = as_membership("membership", membership, pictures)
    known = shares.shape[1]
    if factors is None:
        shown = np.argsort(-shares.mean(axis=(0, 2, 3)), kind="stable")[
            : check_integer("count", count, minimum=1)
        ]
    else:
        shown = np.array([check_integer("factors", k, maximum=known - 1) for k in factors])
    labels = [f"factor {k}" if names is None else str(names[k]) for k in shown]
    sheet = Sheet(
        1 + len(shown),
        len(pictures),
        aspect=pictures.shape[1] / pictures.shape[2],
        max_cell=1.25,
        title=title,
        row_labels=["pictures", *labels],
        above={1: 0.06},
        bar=True,
    )
    sheet.pictures(0, pictures)
    for r, k in enumerate(shown, start=1):
        heat = SHARE_MAP(np.clip(shares[:, k], 0, 1))[..., :3]
        sheet.pictures(r, _tinted(pictures, heat, 0.25 + 0.65 * _smooth(shares[:, k], pictures)[..., None]))
    _share_scale(sheet, len(shown))
    return sheet.figure


@styled
def agreement_dots(
    tables: Mapping[str, Table], *, quantity: str = "purity", ax: Axes | None = None
) -> Figure:
    """How well several dissections agree with the truth, true part by true part.

    Parameters
    ----------
    tables : {label: what `lefs.evaluation.agreement_table` returns}, over the same true parts
    quantity : ``"purity"``, ``"recall"`` or ``"IoU"``, a column of the tables

    Returns
    -------
    Figure: a marker a table, at 0 where no cluster bears the part's name
    """
    if not tables:
        raise ValueError("tables is empty; give {label: agreement_table(...)}")
    columns = {label: list(table.columns) for label, table in tables.items()}
    for label, names in columns.items():
        if quantity not in names:
            raise ValueError(f"quantity: tables[{label!r}] has no {quantity!r}, only {', '.join(names)}")
    parts = [str(row[0]) for row in next(iter(tables.values())).rows]
    figure, ax = panel(ax, width=6.2, height=0.9 + 0.27 * len(parts))
    for j, (label, table) in enumerate(tables.items()):
        values = as_array(label, [row[columns[label].index(quantity)] for row in table.rows], ndim=1)
        y = np.arange(len(parts)) + 0.22 * (j - (len(tables) - 1) / 2)
        marker = _MARKERS[j % len(_MARKERS)]
        ax.scatter(values, y, s=30, color=line_color(j), marker=marker, label=label, zorder=3, linewidths=0)
    for row in range(0, len(parts), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="#f3f5f7", linewidth=0, zorder=0)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(parts) - 0.5, -0.5), xlabel=f"{quantity}, share of pixels")
    ax.set_yticks(range(len(parts)), parts)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


# -- inside --------------------------------------------------------------------------------------------------
def _counterparts(first: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """For each cluster of `other` the one of `first` whose colour it takes, each colour given once: (K,)."""
    size = (first.shape[2], first.shape[3])
    if other.shape[2:] != size or other.shape[1] > count:
        return np.arange(other.shape[1])
    shared = np.zeros((other.shape[1], count))
    shared[:, : first.shape[1]] = np.einsum("nkhw,njhw->jk", first, other)
    return linear_sum_assignment(-shared)[1]


def _smooth(values: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Maps (N, h, w) brought to the size that pictures are drawn at, square by square."""
    height, width = upscaled(pictures[:1]).shape[1:3]
    rows = np.arange(height) * values.shape[1] // height
    columns = np.arange(width) * values.shape[2] // width
    return values[:, rows][:, :, columns]


def _tinted(pictures: np.ndarray, colors: np.ndarray, opacity: Any) -> np.ndarray:
    """Colours (N, h, w, 3) in [0, 1] over the pictures in grey: (N, sH, sW, 3) uint8."""
    grey = (upscaled(pictures).astype(np.float32) @ _GREY)[..., None]
    over = np.stack([_smooth(255 * colors[..., c], pictures) for c in range(3)], axis=-1)
    return (grey + opacity * (over - grey)).round().clip(0, 255).astype(np.uint8)


def _share_scale(sheet: Sheet, last: int) -> None:
    """Colour bar of the shares beside the rows 1 to `last`."""
    low, high = sheet.y[last], sheet.y[1] + sheet.row_height
    inset = max(0.06, (high - low - 2.4) / 2)
    box = (sheet.x[-1] + sheet.cell + 0.1, low + inset, 0.1, high - low - 2 * inset)
    size = np.array([sheet.width, sheet.height, sheet.width, sheet.height])
    ax = sheet.figure.add_axes(tuple(np.array(box) / size))
    bar = sheet.figure.colorbar(ScalarMappable(Normalize(0, 1), SHARE_MAP), cax=ax, ticks=[0, 0.5, 1])
    bar.outline.set(edgecolor=FAINT, linewidth=0.7)
    bar.ax.tick_params(length=0, labelsize=8, pad=3)
    bar.set_label("share of the activation", size=8.5)
