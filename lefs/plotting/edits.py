"""Pictures of edits: strips, the grid of parts and references, and filmstrips over a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lefs.plotting.arrays import as_changes, as_image, as_images
from lefs.plotting.sheet import CAPTION, Sheet, change_limit
from lefs.plotting.style import styled

__all__ = ["comparison_strip", "edit_strip", "filmstrip", "transfer_grid"]


@styled
def edit_strip(target: Any, edit: Any, reference: Any, change: Any, *, title: str | None = None) -> Figure:
    """Target | edit | reference | where it changed.

    Parameters
    ----------
    target, edit, reference : Tensor of shape (3, H, W) in [-1, 1]
    change : array of shape (H, W), colour difference ΔE between target and edit

    Returns
    -------
    Figure, with a colour bar in ΔE
    """
    given = {"target": target, "edit": edit, "reference": reference}
    pictures = [as_image(name, image) for name, image in given.items()]
    shown = as_changes("change", change, 1)
    limit = change_limit(shown)
    sheet = Sheet(
        1,
        4,
        aspect=_aspect(pictures[0]),
        max_cell=1.85,
        title=title,
        column_labels=[*given, "where it changed"],
        bar=True,
    )
    sheet.pictures(0, pictures)
    sheet.change(0, 3, shown[0], limit)
    sheet.change_bar(0, 0, limit, over=bool(shown.max() > limit))
    return sheet.figure


@styled
def comparison_strip(
    images: Mapping[str, Any], *, changes: Mapping[str, Any] | None = None, title: str | None = None
) -> Figure:
    """Labelled pictures side by side, for example local beside global transfer.

    Parameters
    ----------
    images : {label: Tensor of shape (3, H, W) in [-1, 1]}
    changes : {label: (H, W)}, colour differences ΔE, drawn below the pictures they belong to

    Returns
    -------
    Figure
    """
    if not images:
        raise ValueError("images is empty; give {label: image of shape (3, H, W)}")
    labels = list(images)
    pictures = [as_image(f"images[{label!r}]", images[label]) for label in labels]
    maps = _maps_by_label(changes or {}, labels)
    sheet = Sheet(
        2 if maps else 1,
        len(labels),
        aspect=_aspect(pictures[0]),
        max_cell=1.85,
        title=title,
        column_labels=labels,
        bar=bool(maps),
    )
    sheet.pictures(0, pictures)
    if maps:
        _change_row(sheet, 1, {labels.index(k): m for k, m in maps.items()})
    return sheet.figure


@styled
def filmstrip(
    images: Any,
    values: Sequence[float],
    *,
    label: str,
    changes: Any = None,
    title: str | None = None,
) -> Figure:
    r"""One edit at several values of a setting, from left to right.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W) in [-1, 1]
    values : the N values of the setting
    label : its name, for example ``r"strength $\lambda$"``
    changes : array of shape (N, H, W), colour differences ΔE, drawn below

    Returns
    -------
    Figure
    """
    pictures = as_images("images", images)
    if len(values) != len(pictures):
        raise ValueError(f"values must hold {len(pictures)} numbers, one an image; got {len(values)}")
    maps = None if changes is None else as_changes("changes", changes, len(pictures))
    captions = [f"{v:g}" for v in values]
    sheet = Sheet(
        1 if maps is None else 2,
        len(pictures),
        aspect=_aspect(pictures[0]),
        title=title,
        above={0: CAPTION},
        column_labels=captions,
        bar=maps is not None,
    )
    sheet.heading(label)
    sheet.pictures(0, pictures)
    if maps is not None:
        _change_row(sheet, 1, dict(enumerate(maps)))
    return sheet.figure


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
    target : Tensor of shape (3, H, W) in [-1, 1]
    references : Tensor of shape (R, 3, H, W)
    edits : {part: Tensor of shape (R, 3, H, W)}
    changes : {part: (R, H, W)}, colour differences ΔE to the target, drawn below the part's edits

    Returns
    -------
    Figure, with the target at the left of the first row and the references beside it
    """
    sources = as_images("references", references)
    rows = {part: as_images(f"edits[{part!r}]", images) for part, images in edits.items()}
    maps = {part: as_changes(f"changes[{part!r}]", m, len(sources)) for part, m in (changes or {}).items()}
    _check_grid(rows, maps, len(sources))
    lines = [(part, kind) for part in rows for kind in ("edit", "change") if kind == "edit" or part in maps]
    sheet = Sheet(
        1 + len(lines),
        1 + len(sources),
        aspect=_aspect(sources),
        max_cell=1.25,
        title=title,
        above={r: 0.08 for r, (_, kind) in enumerate(lines, 1) if maps and kind == "edit"} | {1: 0.12},
        before={1: 0.12},
        column_labels=["target", *[f"reference {r + 1}" for r in range(len(sources))]],
        bar=bool(maps),
    )
    sheet.pictures(0, [as_image("target", target), *sources])
    _draw_parts(sheet, rows, maps, lines)
    return sheet.figure


def _draw_parts(
    sheet: Sheet,
    rows: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    lines: Sequence[tuple[str, str]],
) -> None:
    limit = change_limit(np.stack(list(maps.values()))) if maps else 0.0
    for r, (part, kind) in enumerate(lines, start=1):
        sheet.inside(r, 0, part if kind == "edit" else "change", strong=kind == "edit")
        for c in range(len(rows[part])):
            if kind == "edit":
                sheet.picture(r, c + 1, rows[part][c])
            else:
                sheet.change(r, c + 1, maps[part][c], limit)
    if maps:
        over = any(m.max() > limit for m in maps.values())
        sheet.change_bar(1, len(lines), limit, over=over)


def _change_row(sheet: Sheet, row: int, maps: Mapping[int, np.ndarray]) -> None:
    """Maps of one row on one scale, with its colour bar."""
    stacked = np.stack(list(maps.values()))
    limit = change_limit(stacked)
    for column, change in maps.items():
        sheet.change(row, column, change, limit)
    sheet.change_bar(row, row, limit, over=bool(stacked.max() > limit))


def _maps_by_label(changes: Mapping[str, Any], labels: Sequence[str]) -> dict[str, np.ndarray]:
    _check_known("changes", changes, labels)
    return {label: as_changes(f"changes[{label!r}]", m, 1)[0] for label, m in changes.items()}


def _check_known(name: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(f"{name} names {unknown}, which have no pictures; choose from: {', '.join(known)}")


def _check_grid(rows: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], count: int) -> None:
    _check_known("changes", maps, list(rows))
    if not rows:
        raise ValueError("edits is empty; give {part: images of shape (R, 3, H, W)}")
    for part, pictures in rows.items():
        if len(pictures) != count:
            raise ValueError(
                f"edits[{part!r}] must hold {count} images, one a reference; got {len(pictures)}"
            )


def _aspect(pictures: np.ndarray) -> float:
    return pictures.shape[-3] / pictures.shape[-2]
