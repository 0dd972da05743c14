"""Pictures of edits and where they changed: strips, the grid of parts and references, walks along a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lefs.plotting.arrays import as_changes, as_image, as_images
from lefs.plotting.picture_grid import CAPTION
from lefs.plotting.pictures import Row, drawn
from lefs.plotting.style import styled

__all__ = ["comparison_strip", "edit_strip", "filmstrip", "path_strips", "transfer_grid"]


def _interleaved(
    pictures: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], *, first: int = 0
) -> tuple[list[str], list[Row]]:
    """Labels and rows: each name's pictures, and below them its maps where there are some."""
    labels, rows = [], []
    for name in pictures:
        for label, cells in ((name, pictures[name]), ("change", maps.get(name))):
            if cells is not None:
                labels.append(label)
                rows.append(dict(enumerate(cells, start=first)))
    return labels, rows


def _maps_of(changes: Mapping[str, Any] | None, known: Sequence[str], count: int) -> dict[str, np.ndarray]:
    if unknown := [name for name in changes or {} if name not in known]:
        raise ValueError(f"changes names {unknown}, which have no pictures; choose from: {', '.join(known)}")
    return {name: as_changes(f"changes[{name!r}]", m, count) for name, m in (changes or {}).items()}


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
    cells = [as_image(name, image) for name, image in given.items()] + [as_changes("change", change, 1)[0]]
    captions = [*given, "where it changed"]
    return drawn([dict(enumerate(cells))], 4, max_cell=1.85, title=title, column_labels=captions).figure


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
    if not images:
        raise ValueError("images is empty; give {label: image of shape (3, H, W)}")
    labels = list(images)
    rows = [{i: as_image(f"images[{label!r}]", image) for i, (label, image) in enumerate(images.items())}]
    if maps := _maps_of(changes, labels, 1):
        rows.append({labels.index(label): m[0] for label, m in maps.items()})
    return drawn(rows, len(labels), max_cell=1.85, title=title, column_labels=labels).figure


@styled
def filmstrip(
    images: Any, values: Sequence[float], *, label: str, changes: Any = None, title: str | None = None
) -> Figure:
    r"""One edit at several values of a setting, from left to right.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
        In [-1, 1].
    values : sequence of float
        The N values of the setting.
    label : str
        Its name, for example ``r"strength $\lambda$"``.
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
    >>> len(filmstrip(torch.zeros(3, 3, 16, 16), [0, 0.5, 1], label=r"strength $\lambda$").axes)
    3
    """
    pictures = as_images("images", images)
    if len(values) != len(pictures):
        raise ValueError(f"values must hold {len(pictures)} numbers, one an image; got {len(values)}")
    maps = {} if changes is None else {label: as_changes("changes", changes, len(pictures))}
    _, rows = _interleaved({label: pictures}, maps)
    captions = [f"{v:g}" for v in values]
    grid = drawn(rows, len(pictures), title=title, above={0: CAPTION}, column_labels=captions)
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
    if not rows:
        raise ValueError("rows is empty; give {name: images of shape (V, 3, H, W)}")
    pictures = {name: as_images(f"rows[{name!r}]", images) for name, images in rows.items()}
    for name, shown in pictures.items():
        if len(shown) != len(amounts):
            raise ValueError(f"rows[{name!r}] must hold {len(amounts)} images, one a step; got {len(shown)}")
    maps = _maps_of(changes, list(rows), len(amounts))
    labels, cells = _interleaved(pictures, maps)
    grid = drawn(
        cells,
        len(amounts),
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
    maps = _maps_of(changes, list(edits), len(sources))
    if not edits:
        raise ValueError("edits is empty; give {part: images of shape (R, 3, H, W)}")
    pictures = {part: as_images(f"edits[{part!r}]", images) for part, images in edits.items()}
    for part, shown in pictures.items():
        if len(shown) != len(sources):
            raise ValueError(
                f"edits[{part!r}] must hold {len(sources)} images, one a reference; got {len(shown)}"
            )
    labels, cells = _interleaved(pictures, maps, first=1)
    cells.insert(0, dict(enumerate([as_image("target", target), *sources])))
    grid = drawn(
        cells,
        1 + len(sources),
        max_cell=1.25,
        title=title,
        above=_gaps(cells) | {1: 0.12},
        before={1: 0.12},
        column_labels=["target", *[f"reference {r + 1}" for r in range(len(sources))]],
    )
    for r, label in enumerate(labels, start=1):
        grid.inside(r, 0, label, strong=label in pictures)
    return grid.figure


def _gaps(rows: Sequence[Row]) -> dict[int, float]:
    """Extra inches above each row of pictures that follows one of maps."""
    kinds = [next(iter(row.values())).ndim for row in rows]
    return {r: 0.08 for r in range(1, len(rows)) if kinds[r - 1] == 2 and kinds[r] == 3}
