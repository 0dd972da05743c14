"""The catalog browser: look at clusters on many images, and name them."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lefs.catalog import Catalog
from lefs.checks import check_seeds
from lefs.generator import Generator
from lefs.images import opaque, to_uint8
from lefs.plotting import cluster_colors, membership_overlays, similarity_colors
from lefs.plotting.arrays import color_index, overlay
from lefs.widgets.canvas import Canvas, Picture
from lefs.widgets.controls import choice, line, row, slider
from lefs.widgets.panel import Panel

__all__ = ["CatalogBrowser"]

_PAGE, _COLUMNS = 12, 6
_ALL, _EVERY_PART = -1, ""
# Name fields beyond these would fill the screen; the dropdowns lead to the others.
_MOST_FIELDS = _MOST_COLORS = 32
# Sent to the browser at this size: whole multiples of the usual memberships, small enough to follow a slider.
_SIDE = 128


class CatalogBrowser(Panel):
    """Browse the clusters of a catalog on many images, name them, and merge those that belong together.

    Two clusters of one name are one part. Every change is saved at once to `folder`.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
        Of that generator.
    seeds : int or iterable of int
        The images to look at, twelve a page, drawn at the catalog's own truncation.
    folder : path, optional
        Where the catalog is saved at each change; None keeps it in memory only. If names for the same
        clusters were saved there before, the panel goes on from them.

    Attributes
    ----------
    catalog : Catalog
        The newest, with every change made here.
    controls : dict of str to Widget
        "part", "cluster", "opacity", "previous", "next", "name 0", "name 1", ...; setting a value acts
        before the assignment returns. A part narrows the clusters to choose from and the name fields to its
        own, each in a colour of its own. Of more than 32 clusters the largest of each part have their fields
        in sight, and the one that is chosen.

    Raises
    ------
    ArtifactError
        If the catalog is of another generator, or what `folder` holds cannot be read (it is left as it is).

    Examples
    --------
    >>> import lefs
    >>> from lefs.widgets import CatalogBrowser
    >>> model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> browser = CatalogBrowser(model, found, range(4))
    >>> browser.controls["name 0"].value = "a new part"
    >>> "a new part" in browser.catalog.parts
    True
    """

    catalog: Catalog

    def __init__(
        self,
        generator: Generator,
        catalog: Catalog,
        seeds: int | Iterable[int],
        *,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(generator, catalog)
        self._folder = None if folder is None else Path(folder)
        self.catalog = catalog = _with_saved_names(catalog, self._folder)
        self._seeds = check_seeds(seeds)
        self._first = 0
        self.controls = _Controls(_controls(catalog), self._make_field)
        # Made when they come in sight: thousands of messages at once are more than a server keeps in line,
        # and it drops the rest.
        self._fields: dict[int, ipywidgets.Box] = {}
        self._inside = list(range(catalog.num_clusters))
        self._page_label, self._status = line(), line()
        self.canvas = Canvas(columns=min(_COLUMNS, len(self._seeds)), widest=256)
        self._lay_out()
        self._begin(partial(self._turn_to, 0))
        self._begin(self._relabel)

    def __repr__(self) -> str:
        return f"CatalogBrowser: {self.catalog!r}"

    def figure(self) -> Figure:
        """The page that is shown and its overlays, with the names of the parts, as a figure."""
        return membership_overlays(
            self._images,
            self._membership,
            names=self.catalog.parts,
            colors=_part_colors(self.catalog),
            opacity=self.controls["opacity"].value,
            columns=_COLUMNS,
        )

    # -- layout -----------------------------------------------------------------------------------
    def _lay_out(self) -> None:
        c = self.controls
        self._names = row(kind="four")
        turn = row(c["previous"], self._page_label, c["next"], kind="middle")
        turn.add_class("lefs-turn")
        top = row(c["part"], c["cluster"], c["opacity"], turn, kind="four")
        self._arrange(top, self.canvas, self._names, self._status)
        self._on_change(c["opacity"], self._draw)
        self._on_change(c["part"], self._choose_part)
        self._on_change(c["cluster"], self._show_names)
        self._on_click(c["previous"], lambda: self._turn_to(self._first - _PAGE))
        self._on_click(c["next"], lambda: self._turn_to(self._first + _PAGE))

    # -- pictures ---------------------------------------------------------------------------------
    def _turn_to(self, first: int) -> None:
        self._first = min(max(0, first), (len(self._seeds) - 1) // _PAGE * _PAGE)
        shown = self._seeds[self._first : self._first + _PAGE]
        styles = self._generator.sample(shown, truncation=self.catalog.sampling.truncation)
        self._images = self._generator.synthesize(styles).float().cpu()
        self._membership = self.catalog.membership(self._generator, styles).float().cpu()
        last = self._first + len(shown)
        self._page_label.value = f"<b>{self._first + 1}–{last}</b> of {len(self._seeds)}"
        self.controls["previous"].disabled = self._first == 0
        self.controls["next"].disabled = last == len(self._seeds)
        self._draw()

    def _draw(self, _: object = None) -> None:
        cluster = self.controls["cluster"].value
        labels = self._part_labels() if cluster == _ALL else self._membership.argmax(1).numpy()
        if cluster != _ALL:
            labels = np.where(labels == cluster, labels, -1)
        opacity = self.controls["opacity"].value
        pictures = overlay(to_uint8(opaque(self._images)), labels, self._colors(), opacity, side=_SIDE)
        seeds = self._seeds[self._first :]
        self.canvas.show(*(Picture(p, note=f"seed {s}") for p, s in zip(pictures, seeds, strict=False)))

    def _part_labels(self) -> np.ndarray:
        """The first cluster of the part of largest membership at each position: (N, h, w).

        If a part is chosen: the largest of its clusters where it is, -1 elsewhere.
        """
        parts, part = self.catalog.parts, self.controls["part"].value
        owner = self.catalog.by_part(self._membership).argmax(dim=1).numpy()
        if part == _EVERY_PART:
            return np.array([ks[0] for ks in parts.values()])[owner]
        inside = np.array(parts[part])
        largest = self._membership[:, inside].argmax(dim=1).numpy()
        return np.where(owner == [*parts].index(part), inside[largest], -1)

    def _colors(self) -> np.ndarray:
        """The colour of each cluster, (K, 3): its part's, but in a chosen part one for each."""
        colors = _part_colors(self.catalog)[color_index(self.catalog.cluster_names)]
        if self.controls["part"].value != _EVERY_PART:
            colors[self._inside] = cluster_colors(len(self._inside))
        return colors

    # -- choosing ---------------------------------------------------------------------------------
    def _choose_part(self, part: str) -> None:
        # Clusters stay in sight until another part is chosen, also those that are given another name.
        self._inside = list(self.catalog.parts.get(part, range(self.catalog.num_clusters)))
        with self._silently():
            self.controls["cluster"].value = _ALL
        self._show_names()

    def _show_names(self, _: object = None) -> None:
        self._relabel()
        self._draw()

    def _make_field(self, k: int) -> ipywidgets.Text:
        if not 0 <= k < self.catalog.num_clusters:
            raise KeyError(f"there is no cluster {k}; clusters are numbered from 0")
        text = ipywidgets.Text(
            self.catalog.cluster_names[k],
            continuous_update=False,
            tooltip=f"Name of cluster {k}; give two clusters one name to merge them",
        )
        self._on_change(text, partial(self._name, k))
        swatch = ipywidgets.HTML(_dom_classes=("lefs-swatch",))
        self._fields[k] = row(swatch, text, kind="middle")
        return text

    def _list(self) -> None:
        """Show the name fields of the clusters in sight; of many, the largest of each part, then the next."""
        sizes, chosen = self.catalog.sizes.tolist(), self.controls["cluster"].value
        by_size = [sorted(ks, key=lambda k: -sizes[k]) for ks in self.catalog.parts.values()]
        rank = {k: r for ks in by_size for r, k in enumerate(ks)}
        ranked = sorted(self._inside, key=lambda k: (k != chosen, rank[k], -sizes[k]))
        clusters = sorted(ranked[:_MOST_FIELDS])
        for k in clusters:
            self.controls[f"name {k}"]  # (is made here if it was never in sight)
        shown = tuple(self._fields[k] for k in clusters)
        if shown != self._names.children:
            self._names.children = shown

    # -- names ------------------------------------------------------------------------------------
    def _name(self, k: int, name: str) -> None:
        names = self.catalog.cluster_names
        if name == names[k]:
            return
        names[k] = name
        try:
            _check_name(k, name)
            self.catalog = self.catalog.named(names)
        finally:
            # A refused name gives way to the old one; an accepted one loses its outer blanks.
            self._show_names()
        self._save()

    def _relabel(self) -> None:
        names, colors = self.catalog.cluster_names, self._colors()
        sizes = self.catalog.sizes.double() / max(1, int(self.catalog.sizes.sum()))
        part = self.controls["part"].value
        if part != _EVERY_PART and part not in self.catalog.parts:
            part = names[self._inside[0]]
        self._offer("part", _parts(self.catalog), part)
        self._offer("cluster", _picks(names, self._inside), self.controls["cluster"].value)
        self._list()
        for k, field in self._fields.items():
            swatch, text = field.children
            text.value = names[k]
            share = f"{k} · {100 * float(sizes[k]):.1f} %"
            swatch.value = f'<i style="background:{to_hex(colors[k])}"></i><span>{share}</span>'

    def _offer(self, control: str, options: list[tuple[str, Any]], chosen: object) -> None:
        picker = self.controls[control]
        if picker.options == tuple(options):
            return
        with self._silently():  # (new options choose the first of them, which nobody did)
            picker.options = options
            picker.value = chosen

    def _save(self) -> None:
        named = sum(not _is_default(part) for part in self.catalog.parts)
        parts = f"{len(self.catalog.parts)} parts, {named} of them named"
        if self._folder is None:
            self._status.value = f"{parts}; kept in memory only"
            return
        self._status.value = f"{parts}; <b>not saved</b>"
        self.catalog.save(self._folder)
        self._status.value = f"{parts}; saved to {html.escape(str(self._folder))}"


class _Controls(dict[str, ipywidgets.Widget]):
    """Controls by name; "name 7" is made when somebody asks for it."""

    def __init__(
        self, controls: dict[str, ipywidgets.Widget], make: Callable[[int], ipywidgets.Widget]
    ) -> None:
        super().__init__(controls)
        self._make = make

    def __missing__(self, name: str) -> ipywidgets.Widget:
        word, _, number = name.partition(" ")
        if word != "name" or not number.isdigit():
            raise KeyError(f"no control {name!r}; there are {', '.join(self)} and 'name 0', 'name 1', ...")
        self[name] = self._make(int(number))
        return self[name]


def _part_colors(catalog: Catalog) -> np.ndarray:
    """Colours of the parts in the order of their first clusters, as figures have them: (P, 3).

    They follow from the catalog alone, so that a part looks the same when the catalog is opened again.
    """
    first = sorted(ks[0] for ks in catalog.parts.values())
    # Nobody tells hundreds apart; those without names have colours by which related ones show.
    many = len(first) > _MOST_COLORS
    return similarity_colors(catalog.centers)[first] if many else cluster_colors(len(first))


def _with_saved_names(catalog: Catalog, folder: Path | None) -> Catalog:
    """The catalog as it was named in `folder`, if that holds the same clusters with names of their own.

    Running a notebook again must not undo what was typed into its panel.
    """
    if folder is None or not (folder / "catalog.safetensors").exists():
        return catalog
    saved = Catalog.load(folder)
    same = saved.generator == catalog.generator and torch.equal(saved.centers, catalog.centers)
    named = not all(map(_is_default, saved.parts))
    return saved if same and named else catalog


def _controls(catalog: Catalog) -> dict[str, ipywidgets.Widget]:
    names = catalog.cluster_names
    whose = "Colour all parts, or the clusters of one, and list them"
    which = "Colour all clusters, or one alone"
    return {
        "opacity": slider("opacity", 0.6, 1, 0.05, "0: the pictures; 1: the clusters only"),
        "part": choice("part", _parts(catalog), _EVERY_PART, whose),
        "cluster": choice("cluster", _picks(names, range(len(names))), _ALL, which),
        "previous": ipywidgets.Button(icon="chevron-left", tooltip="The images before these"),
        "next": ipywidgets.Button(icon="chevron-right", tooltip="The next images"),
    }


def _parts(catalog: Catalog) -> list[tuple[str, str]]:
    return [("all", _EVERY_PART), *((name, name) for name in catalog.parts)]


def _picks(names: list[str], clusters: Iterable[int]) -> list[tuple[str, int]]:
    picks = [(names[k] if _is_default(names[k]) else f"cluster {k}: {names[k]}", k) for k in clusters]
    return [("all", _ALL), *picks]


def _is_default(name: str) -> bool:
    word, _, number = name.partition(" ")
    return word == "cluster" and number.isdigit()


def _check_name(k: int, name: str) -> None:
    """Neither blank nor "cluster 3", which is what cluster 3 is called while it has no name."""
    name = name.strip()
    if not name:
        raise ValueError(
            f"a name must not be blank; to take cluster {k} out of its part, call it 'cluster {k}'"
        )
    if _is_default(name) and name != f"cluster {k}":
        raise ValueError(f"{name!r} is what an unnamed cluster is called; choose another for cluster {k}")
