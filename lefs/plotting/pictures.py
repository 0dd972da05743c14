"""Pictures in rows: samples, and where a unit is active in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lefs.checks import check_integer
from lefs.plotting.arrays import as_array, as_images, as_labels, upscaled
from lefs.plotting.picture_grid import CAPTION, PictureGrid, Row
from lefs.plotting.style import LINES, styled

__all__ = ["image_grid", "unit_gallery"]

_DIMMED = 0.4  # how bright a picture stays where its unit is silent


def wrapped(pictures: np.ndarray, columns: int) -> list[Row]:
    """Rows of at most so many pictures."""
    check_integer("columns", columns, minimum=1)
    return [dict(enumerate(pictures[i : i + columns])) for i in range(0, len(pictures), columns)]


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
    images : Tensor of shape (N, 3, H, W)
        In [-1, 1].
    columns : int
        Pictures in a row.
    titles : sequence of str, optional
        One caption a picture.
    row_labels : sequence of str, optional
        One label a row.
    title : str, optional
        Line above the grid.

    Returns
    -------
    Figure
        With one axes a picture.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import image_grid
    >>> len(image_grid(torch.zeros(6, 3, 16, 16), columns=3, title="six").axes)
    6
    """
    pictures = as_images("images", images)
    rows = wrapped(pictures, columns)
    captions = [] if titles is None else as_labels("titles", titles, len(pictures))
    labels = None if row_labels is None else as_labels("row_labels", row_labels, len(rows))
    above = dict.fromkeys(range(len(rows)), CAPTION) if captions else None
    grid = PictureGrid(rows, title=title, row_labels=labels, above=above)
    for i, caption in enumerate(captions):
        grid.caption(i // columns, i % columns, caption)
    return grid.figure


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
    images : Tensor of shape (N, 3, H, W)
        In [-1, 1], the pictures of one unit after those of another.
    active : Tensor of shape (N, H, W), bool
    columns : int
        Pictures in a row, those of one unit.
    row_labels : sequence of str, optional
        One label a row.
    title : str, optional

    Returns
    -------
    Figure
        With one axes a picture.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import unit_gallery
    >>> images = torch.rand(2, 3, 16, 16)
    >>> len(unit_gallery(images, images.mean(dim=1) > 0.5).axes)
    2
    """
    pictures = as_images("images", images)
    masks = as_array("active", torch.as_tensor(active).float(), ndim=3) > 0.5
    if masks.shape != pictures.shape[:3]:
        raise ValueError(f"active must have shape {pictures.shape[:3]}, one mask an image; got {masks.shape}")
    large = upscaled(pictures)
    times = large.shape[1] // pictures.shape[1]
    inside = masks.repeat(times, axis=1).repeat(times, axis=2)
    rows = wrapped(np.where(inside[..., None], large, (_DIMMED * large).astype(np.uint8)), columns)
    labels = None if row_labels is None else as_labels("row_labels", row_labels, len(rows))
    figure = PictureGrid(rows, title=title, row_labels=labels, max_cell=1.2).figure
    for ax, mask in zip(figure.axes, inside, strict=True):
        if mask.any() and not mask.all():
            ax.contour(mask, levels=[0.5], colors=[LINES[4]], linewidths=1.2)
    return figure
