"""Pictures of edits and where they changed: strips, the grid of parts and references, walks along a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lefs.plotting.arrays import as_changes, as_images
from lefs.plotting.picture_grid import CAPTION, PictureGrid, Row
from lefs.plotting.style import styled

__all__ = ["comparison_strip", "edit_strip", "filmstrip", "path_strips", "transfer_grid"]


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


def _in_rows(found: Mapping[str, list[np.ndarray]], *, first: int = 0) -> tuple[list[str], list[Row]]:
    """Labels and rows of what `_read` has read."""
    labels = [label for name, own in found.items() for label in (name, "change")[: len(own)]]
    return labels, [dict(enumerate(cells, start=first)) for own in found.values() for cells in own]


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
    >>> len(edit_strip(a, b, c, torch.zeros(16, 16), title="hair").axes)  # four cells, and the colour bar
    5
    """
    given = {"target": target, "edit": edit, "reference": reference}
    cells = [as_images(name, image, 1)[0] for name, image in given.items()]
    cells += [*as_changes("change", change, 1)]
    captions = [*given, "where it changed"]
    return PictureGrid([dict(enumerate(cells))], max_cell=1.85, title=title, column_labels=captions).figure


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
    found = list(_read("images", images, changes, 1).values())
    rows = [{i: own[r][0] for i, own in enumerate(found) if len(own) > r} for r in (0, 1)]
    kept = [row for row in rows if row]
    return PictureGrid(kept, max_cell=1.85, title=title, column_labels=list(images)).figure


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
    >>> len(filmstrip(torch.zeros(3, 3, 16, 16), [0, 0.5, 1], label="strength λ").axes)
    3
    """
    pictures = as_images("images", images)
    if len(values) != len(pictures):
        raise ValueError(f"values must hold {len(pictures)} numbers, one an image; got {len(values)}")
    maps = [] if changes is None else [as_changes("changes", changes, len(pictures))]
    rows = [dict(enumerate(cells)) for cells in (pictures, *maps)]
    captions = [f"{v:g}" for v in values]
    grid = PictureGrid(rows, title=title, above={0: CAPTION}, column_labels=captions)
    grid.heading(label)
    return grid.figure


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
    grid = PictureGrid(
        cells,
        max_cell=1.25,
        title=title,
        above=_gaps(cells) | {0: CAPTION},
        row_labels=labels,
        column_labels=[f"{a:+g}".replace("-", "−") if a else "0" for a in amounts],
    )
    grid.heading(label)
    return grid.figure


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
    >>> len(transfer_grid(target, references, {"hair": references, "skin": references}).axes)
    10
    """
    sources = as_images("references", references)
    labels, cells = _in_rows(_read("edits", edits, changes, len(sources)), first=1)
    cells.insert(0, dict(enumerate([*as_images("target", target, 1), *sources])))
    grid = PictureGrid(
        cells,
        max_cell=1.25,
        title=title,
        above=_gaps(cells) | {1: 0.12},
        before={1: 0.12},
        column_labels=["target", *[f"reference {r + 1}" for r in range(len(sources))]],
    )
    for r, label in enumerate(labels, start=1):
        grid.inside(r, 0, label, strong=label in edits)
    return grid.figure


def _gaps(rows: Sequence[Row]) -> dict[int, float]:
    """Extra inches above each row of pictures that follows one of maps."""
    kinds = [next(iter(row.values())).ndim for row in rows]
    return {r: 0.08 for r in range(1, len(rows)) if kinds[r - 1] == 2 and kinds[r] == 3}
