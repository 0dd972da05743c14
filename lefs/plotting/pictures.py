"""Pictures in rows: samples, units, edits and where they changed, the grid of parts and references, walks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lefs.checks import check_integer, check_number
from lefs.plotting.arrays import as_array, as_changes, as_images, as_labels, upscaled
from lefs.plotting.picture_grid import CAPTION, PictureGrid, Row
from lefs.plotting.style import LINES, styled

__all__ = [
    "comparison_strip", "edit_strip", "filmstrip", "image_grid", "path_strips", "transfer_grid",
    "unit_gallery",
]  # fmt: skip

_DIMMED = 0.4  # how bright a picture stays where its unit is silent


def wrapped(pictures: np.ndarray, columns: int) -> list[np.ndarray]:
    """Rows of at most so many pictures."""
    check_integer("columns", columns, minimum=1)
    return [pictures[i : i + columns] for i in range(0, len(pictures), columns)]


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
        With all pictures in one axes, in inches of the page.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import image_grid
    >>> len(image_grid(torch.zeros(6, 3, 16, 16), columns=3, title="six").axes[0].images)
    6
    """
    pictures = as_images("images", images)
    rows = wrapped(pictures, columns)
    captions = [] if titles is None else as_labels("titles", titles, len(pictures))
    labels = [] if row_labels is None else as_labels("row_labels", row_labels, len(rows))
    above = dict.fromkeys(range(len(rows)) if captions else (), CAPTION)
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
        With all pictures in one axes, in inches of the page.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import unit_gallery
    >>> images = torch.rand(2, 3, 16, 16)
    >>> len(unit_gallery(images, images.mean(dim=1) > 0.5).axes[0].images)
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
    labels = [] if row_labels is None else as_labels("row_labels", row_labels, len(rows))
    grid = PictureGrid(rows, title=title, row_labels=labels, max_cell=1.2)
    for i, mask in enumerate(inside):
        grid.outline(i // columns, i % columns, mask, LINES[4])
    return grid.figure


def _read(
    what: str, images: Mapping[str, Any], changes: Mapping[str, Any] | None, count: int
) -> dict[str, list[np.ndarray]]:
    """By name, `count` pictures, and after them as many maps of change where there are some."""
    if not images:
        raise ValueError(f"{what} is empty; give {{name: images of shape ({count}, 3, H, W)}}")
    changes = changes or {}
    if unknown := [name for name in changes if name not in images]:
        known = ", ".join(images)
        raise ValueError(f"changes names {unknown}, which have no pictures; choose from: {known}")
    found = {name: [as_images(f"{what}[{name!r}]", own, count)] for name, own in images.items()}
    for name, maps in changes.items():
        found[name].append(as_changes(f"changes[{name!r}]", maps, count))
    return found


def _in_rows(found: Mapping[str, list[np.ndarray]]) -> tuple[list[str], list[np.ndarray]]:
    """Labels and rows of what `_read` has read."""
    labels = [label for name, own in found.items() for label in (name, "change")[: len(own)]]
    return labels, [row for own in found.values() for row in own]


@styled
def edit_strip(target: Any, edit: Any, reference: Any, change: Any, *, title: str | None = None) -> Figure:
    """Target | edit | reference | where it changed.

    Parameters
    ----------
    target, edit, reference : Tensor of shape (3, H, W)
        In [-1, 1].
    change : array_like of shape (H, W)
        Colour difference ΔE between target and edit.
    title : str, optional

    Returns
    -------
    Figure
        With a colour bar in ΔE, on the same scale in all figures.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import edit_strip
    >>> a, b, c = torch.zeros(3, 3, 16, 16)
    >>> edit_strip(a, b, c, torch.zeros(16, 16)).axes[1].get_ylabel()  # (of the colour bar)
    'colour change (ΔE)'
    """
    given = {"target": target, "edit": edit, "reference": reference}
    cells = [as_images(name, image, 1)[0] for name, image in given.items()]
    rows, captions = [[*cells, *as_changes("change", change, 1)]], [*given, "where it changed"]
    return PictureGrid(rows, max_cell=1.85, title=title, column_labels=captions).figure


@styled
def comparison_strip(
    images: Mapping[str, Any], *, changes: Mapping[str, Any] | None = None, title: str | None = None
) -> Figure:
    """Labelled pictures side by side, for example local beside global transfer.

    Parameters
    ----------
    images : mapping of str to Tensor of shape (3, H, W)
        ``{label: picture}`` in [-1, 1].
    changes : mapping of str to array_like of shape (H, W), optional
        Colour differences ΔE, drawn below the pictures they belong to.
    title : str, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import comparison_strip
    >>> before, after = torch.zeros(2, 3, 16, 16)
    >>> figure = comparison_strip({"before": before, "after": after}, changes={"after": torch.zeros(16, 16)})
    >>> [text.get_text() for text in figure.texts]
    ['before', 'after']
    """
    found = _read("images", images, changes, 1).values()
    rows = [[own[r][0] if len(own) > r else None for own in found] for r in range(max(map(len, found)))]
    return PictureGrid(rows, max_cell=1.85, title=title, column_labels=list(images)).figure


@styled
def filmstrip(
    images: Any, values: Sequence[float], *, label: str, changes: Any = None, title: str | None = None
) -> Figure:
    """One edit at several values of a setting, from left to right.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
        In [-1, 1].
    values : sequence of float
        The N values of the setting.
    label : str
        Its name, for example ``"strength λ"``.
    changes : array_like of shape (N, H, W), optional
        Colour differences ΔE, drawn below.
    title : str, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import filmstrip
    >>> [text.get_text() for text in filmstrip(torch.zeros(2, 3, 16, 16), [0, 0.5], label="λ").texts]
    ['0', '0.5', 'λ']
    """
    pictures = as_images("images", images)
    if len(values) != len(pictures):
        raise ValueError(f"values must hold {len(pictures)} numbers, one an image; got {len(values)}")
    rows = [pictures] if changes is None else [pictures, as_changes("changes", changes, len(pictures))]
    steps = [f"{check_number('values', v):g}" for v in values]
    return PictureGrid(rows, title=title, heading=label, column_labels=steps).figure


@styled
def path_strips(
    rows: Mapping[str, Any],
    amounts: Sequence[float],
    *,
    changes: Mapping[str, Any] | None = None,
    label: str = "standard deviations of w",
    title: str | None = None,
) -> Figure:
    """Paths from one picture, a row a path, step by step from left to right.

    Parameters
    ----------
    rows : mapping of str to Tensor of shape (V, 3, H, W)
        ``{name: pictures}`` in [-1, 1].
    amounts : sequence of float
        The V steps.
    changes : mapping of str to array_like of shape (V, H, W), optional
        Colour differences ΔE, drawn below the rows they belong to.
    label : str
        What the amounts are.
    title : str, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import path_strips
    >>> figure = path_strips({"everywhere": torch.zeros(3, 3, 16, 16)}, [-1, 0, 1])
    >>> [text.get_text() for text in figure.texts]
    ['everywhere', '−1', '0', '+1', 'standard deviations of w']
    """
    labels, cells = _in_rows(_read("rows", rows, changes, len(amounts)))
    steps = [f"{check_number('amounts', a):+g}".replace("-", "−") if a else "0" for a in amounts]
    look: dict[str, Any] = {"max_cell": 1.25, "title": title, "heading": label}
    return PictureGrid(cells, row_labels=labels, column_labels=steps, **look).figure


@styled
def transfer_grid(
    target: Any,
    references: Any,
    edits: Mapping[str, Any],
    *,
    changes: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> Figure:
    """Each part (row) of the target, taken from each reference (column): the paper's main figure.

    Parameters
    ----------
    target : Tensor of shape (3, H, W)
        In [-1, 1].
    references : Tensor of shape (R, 3, H, W)
    edits : mapping of str to Tensor of shape (R, 3, H, W)
        ``{part: pictures}``.
    changes : mapping of str to array_like of shape (R, H, W), optional
        Colour differences ΔE to the target, drawn below the part's edits.
    title : str, optional

    Returns
    -------
    Figure
        With the target at the left of the first row and the references beside it.

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import transfer_grid
    >>> target, *references = torch.zeros(4, 3, 16, 16)
    >>> len(transfer_grid(target, references, {"hair": references, "skin": references}).axes[0].images)
    10
    """
    sources = as_images("references", references)
    labels, below = _in_rows(_read("edits", edits, changes, len(sources)))
    rows: list[Row] = [[*as_images("target", target, 1), *sources], *([None, *cells] for cells in below)]
    columns = ["target", *[f"reference {r + 1}" for r in range(len(sources))]]
    apart: dict[str, Any] = {"above": {1: 0.12}, "before": {1: 0.12}}
    grid = PictureGrid(rows, max_cell=1.25, title=title, column_labels=columns, **apart)
    for r, label in enumerate(labels, start=1):
        grid.inside(r, 0, label, strong=label in edits)
    return grid.figure
