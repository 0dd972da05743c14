"""Units: where they are active, what they stand for, what they cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lefs.checks import check_integer
from lefs.plotting.arrays import as_array, as_images, as_labels, upscaled
from lefs.plotting.sheet import Sheet
from lefs.plotting.style import (
    FAINT,
    LINES,
    MUTED,
    SHARE_MAP,
    WIDTH,
    frame,
    line_color,
    new_figure,
    panel,
    styled,
    text_color_on,
)
from lefs.units import Agreement, CausalEffect

__all__ = ["agreement_profile", "concept_counts", "dose_curves", "unit_gallery"]

_MARKERS = "osD^vP*X"
_DIMMED = 0.7  # how bright a picture stays where its unit is silent


@styled
def unit_gallery(
    images: Any,
    active: Any,
    *,
    columns: int = 8,
    row_labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Pictures with the area outlined in which a unit is active; the rest is dimmed.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W) in [-1, 1], the pictures of one unit after those of another
    active : bool Tensor of shape (N, H, W)
    columns : pictures in a row, those of one unit
    row_labels : one label a row

    Returns
    -------
    Figure, with one axes a picture
    """
    pictures = as_images("images", images)
    masks = as_array("active", torch.as_tensor(active).float(), ndim=3) > 0.5
    if masks.shape != pictures.shape[:3]:
        raise ValueError(f"active must have shape {pictures.shape[:3]}, one mask an image; got {masks.shape}")
    columns = min(check_integer("columns", columns, minimum=1), len(pictures))
    rows = -(-len(pictures) // columns)
    labels = as_labels("row_labels", row_labels, rows)
    sheet = Sheet(rows, columns, title=title, row_labels=labels, max_cell=1.2)
    for i, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        large = upscaled(picture[None])[0]
        inside = _enlarged(mask, large.shape[0])
        dimmed = np.where(inside[..., None], large, (_DIMMED * large).astype(np.uint8))
        ax = sheet.axes(i // columns, i % columns)
        ax.imshow(dimmed, aspect="auto", interpolation="antialiased")
        if inside.any() and not inside.all():
            ax.contour(inside, levels=[0.5], colors=[LINES[4]], linewidths=1.2)
    return sheet.figure


def _enlarged(mask: np.ndarray, side: int) -> np.ndarray:
    index = np.arange(side) * len(mask) // side
    return np.asarray(mask[index][:, index])


@styled
def concept_counts(
    counts: Any, layers: Sequence[str], concepts: Sequence[str], *, ax: Axes | None = None
) -> Figure:
    """How many units of each layer stand for each concept.

    Parameters
    ----------
    counts : array of shape (L, P), what `UnitDissection.histogram` returns
    layers, concepts : L and P names

    Returns
    -------
    Figure: layers from coarse to fine downwards, each cell a number of units
    """
    table = as_array("counts", counts, ndim=2)
    rows, columns = as_labels("layers", layers, len(table)), as_labels("concepts", concepts, table.shape[1])
    figure, ax = panel(ax, width=min(WIDTH, 1.9 + 0.6 * table.shape[1]), height=1.1 + 0.27 * len(table))
    image = ax.imshow(table, cmap=SHARE_MAP, vmin=0, vmax=max(1.0, table.max()), aspect="auto")
    for (y, x), count in np.ndenumerate(table):
        if count:
            color = text_color_on(np.asarray(SHARE_MAP(image.norm(count))))
            ax.text(x, y, f"{count:.0f}", ha="center", va="center", size=8, color=color)
    ax.set_yticks(range(len(table)), rows or [])
    ax.set_xticks(range(table.shape[1]), columns or [], rotation=35, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.set(ylabel="layer", xlabel="concept")
    ax.set_title("Units that stand for a concept")
    frame(ax)
    return figure


@styled
def dose_curves(effects: Sequence[CausalEffect], *, title: str | None = None) -> Figure:
    """Pixels of a concept as more and more units are ablated, and as they are inserted.

    Parameters
    ----------
    effects : what `lefs.units.dose_curve` returns

    Returns
    -------
    Figure: a line for each way to choose the units, with 95 % bootstrap intervals over the images; the dashed
    line is what the pictures show before any intervention
    """
    cells = list(effects)
    if not cells or not all(isinstance(e, CausalEffect) for e in cells):
        raise TypeError("effects must be a non-empty list of CausalEffect, as lefs.units.dose_curve returns")
    methods, doses = list(dict.fromkeys(e.method for e in cells)), sorted({e.units for e in cells})
    figure = new_figure(WIDTH, 3.2)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, (quantity, heading) in zip(
        axes, {"ablated": "units ablated", "inserted": "units inserted"}.items(), strict=True
    ):
        for j, method in enumerate(methods):
            shift = 0.16 * (j - (len(methods) - 1) / 2)  # so that one whisker does not hide another
            own = sorted((e for e in cells if e.method == method), key=lambda e: e.units)
            _dose_line(ax, [doses.index(e.units) + shift for e in own], own, quantity, j)
        ax.axhline(cells[0].before.mean(), color=MUTED, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
        ax.set_xticks(range(len(doses)), [f"{k}" for k in doses])
        ax.set(xlabel="number of units")
        ax.set_title(heading, weight="normal")
        ax.grid(axis="y")
    axes[0].set(ylabel=f"pixels of {cells[0].concept} in an image")
    axes[0].set_ylim(bottom=0)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), title=title, alignment="left")
    return figure


def _dose_line(
    ax: Axes, x: Sequence[float], cells: Sequence[CausalEffect], quantity: str, index: int
) -> None:
    mean, low, high = np.array([e.estimate(quantity) for e in cells]).T
    color, marker = line_color(index), _MARKERS[index % len(_MARKERS)]
    ax.plot(x, mean, color=color, marker=marker, label=cells[0].method, zorder=3)
    ax.vlines(x, low, high, color=color, linewidth=1.1, alpha=0.7, zorder=2)


@styled
def agreement_profile(
    found: Sequence[Agreement], *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """How well contributions rank the channels that act: Spearman's ρ, layer by layer, for each part.

    Parameters
    ----------
    found : what `lefs.units.agreement` returns

    Returns
    -------
    Figure, with 95 % bootstrap intervals over the channels; 1 is the same order, 0 is chance
    """
    cells = [a for a in found if np.isfinite(a.rho.value)]
    if not cells:
        raise ValueError(
            "found holds no finite correlation; measure layers with at least three live channels"
        )
    layers = list(dict.fromkeys(a.layer for a in cells))
    parts = list(dict.fromkeys(a.part for a in cells))
    figure, ax = panel(ax, width=WIDTH, height=3.3)
    for j, part in enumerate(parts):
        own = [a for a in cells if a.part == part]
        x = np.array([layers.index(a.layer) for a in own]) + 0.6 * ((j + 0.5) / len(parts) - 0.5)
        color, marker = line_color(j), _MARKERS[j % len(_MARKERS)]
        ax.vlines(x, [a.rho.low for a in own], [a.rho.high for a in own], color=color, linewidth=1.2)
        ax.scatter(x, [a.rho.value for a in own], s=26, color=color, marker=marker, label=part, zorder=3)
    for edge in range(1, len(layers)):
        ax.axvline(edge - 0.5, color=FAINT, linewidth=0.6, zorder=0)
    ax.axhline(0, color=MUTED, linewidth=0.8, zorder=1)
    ax.set_xticks(range(len(layers)), layers)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    ax.set(ylabel="Spearman's ρ of M with effect", xlabel="layer")
    ax.set_ylim(min(-0.1, min(a.rho.low for a in cells) - 0.05), 1.02)
    ax.set_title(title or "")
    ax.grid(axis="y")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
