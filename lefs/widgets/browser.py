"""The catalog browser: look at clusters on many images, choose them by pointing, and name them."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ipywidgets
import numpy as np
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lefs.catalog import Catalog
from lefs.evaluation import NamedSegmenter, confusion, name_by_truth
from lefs.generator import Generator
from lefs.naming import NameClash
from lefs.plotting import membership_overlays
from lefs.widgets.cluster_pictures import ALL, COLUMNS, EVERY_PART, ClusterPictures, Controls, share
from lefs.widgets.elements import field, offer, row, show_if
from lefs.widgets.panel import check_owned
from lefs.widgets.steps import Step, as_saved, check_name, folded, is_default, moved, names_in, renamed

__all__ = ["CatalogBrowser"]

# Name fields beyond these would fill the screen; search, the pictures and the lists lead to the others.
_MOST_FIELDS = 32
_JUDGED = 64  # images that clusters are held against a segmenter on
_SPLITS = {"halves": "likeness", "sides": "x", "levels": "y"}


class CatalogBrowser(ClusterPictures):
    """Browse the clusters of a catalog on many images, name them, merge, divide and hide them.

    Click a cluster on a picture, or a branch of the tree below, to choose it: the images where it is largest
    come first. Shift-click, or drag, to choose several; one name is for all. Two clusters of one name are one
    part. Every change is saved at once to `folder`, and can be taken back.

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
    segmenter : callable with ``.names``, optional
        Knows true parts: one button names all clusters after them, and says how sure it is.

    Attributes
    ----------
    catalog : Catalog
        The newest, with every change made here.
    selected : tuple of int
        The clusters that are chosen.
    controls : dict of str to Widget
        "part", "cluster", "opacity", "previous", "next", "find", "name", "undo", "name 0", "name 1", ...;
        setting a value acts before the assignment returns. A part narrows the clusters to choose from and the
        name fields to its own, each in a colour of its own. Of more than 32 clusters the largest of each part
        have their fields in sight, and those that are chosen.

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

    def __init__(
        self,
        generator: Generator,
        catalog: Catalog,
        seeds: int | Iterable[int],
        *,
        folder: str | os.PathLike[str] | None = None,
        segmenter: NamedSegmenter | None = None,
    ) -> None:
        check_owned(generator, catalog)
        place = None if folder is None else Path(folder)
        self._given = replace(catalog, _started={})  # (what is noted of others there is this panel's own)
        catalog = as_saved(self._given, place)
        if place is not None:
            catalog = replace(catalog, _started=self._given._started).beside_others(place)
        super().__init__(generator, Step.of(catalog, place), seeds, place)
        self._segmenter = segmenter
        self.controls = Controls(self._field)
        # Made when they come in sight: thousands of messages at once are more than a server keeps in line,
        # and it drops the rest.
        self._fields: dict[int, ipywidgets.Box] = {}
        self._lay_out()
        self._begin(partial(self._turn, 0))
        self._begin(self._relabel)

    def __repr__(self) -> str:
        return f"CatalogBrowser: {self.catalog!r}"

    def figure(self) -> Figure:
        """The page that is shown and its overlays, with the names of the parts, as a figure."""
        parts = list(self.catalog.parts)
        labels = np.stack([self._looks[s] for s in self._shown])
        owner = np.array([parts.index(name) for name in self.catalog.cluster_names])[labels]
        owner = owner[:, :: max(1, owner.shape[1] // 64), :: max(1, owner.shape[2] // 64)]
        images = torch.stack([self._pictures[s] for s in self._shown])
        masks = torch.from_numpy(owner[:, None] == np.arange(len(parts))[:, None, None]).float()
        tints = self._history.now.colors[[ks[0] for ks in self.catalog.parts.values()]]
        opacity = self.controls["opacity"].value
        return membership_overlays(images, masks, names=parts, colors=tints, opacity=opacity, columns=COLUMNS)

    def close(self) -> None:
        """Take the panel out of the page and out of memory, fields that are out of sight included."""
        self._names.children = tuple(self._fields.values())
        super().close()

    # -- layout -----------------------------------------------------------------------------------
    def _lay_out(self) -> None:
        c, self._names = self.controls, row(kind="four")
        self._undo_by(self._adopt)
        turn = row(c["previous"], self._page_label, c["next"], kind="middle")
        turn.add_class("lefs-turn")
        chosen = ("name", "alone", "hide", *_SPLITS, "earlier", "later", "about")
        tools = ("find", "unnamed", "sort", "undo", "redo", "reset", "judge")
        self._about = ipywidgets.VBox([self._channels, self._facts])
        show_if(self._segmenter is not None, c["judge"])
        self._arrange(
            row(c["part"], c["cluster"], c["opacity"], turn, kind="four"),
            self.canvas,
            row(self._summary, *(c[n] for n in chosen), kind="tools"),
            self._answered_by("yes", "no"),
            self._about,
            row(*(c[n] for n in tools), kind="tools"),
            self._names,
        )
        self._on(self.canvas, self._picked, "picked")
        self._connect({"part": self._choose_part, "cluster": self._choose_cluster, "name": self._name_chosen})
        self._connect(dict.fromkeys(("opacity", "alone"), self._draw))
        self._connect(dict.fromkeys(("find", "unnamed", "sort"), self._relabel))
        self._connect({name: partial(self._split, how) for name, how in _SPLITS.items()})
        self._connect({"previous": partial(self._turn, -1), "next": partial(self._turn, 1)})
        self._connect({"hide": self._hide, "about": self._tell, "judge": self._judge})
        self._connect({"reset": lambda: self._change(self._given, hidden=frozenset())})
        self._connect({"earlier": partial(self._move, -1), "later": partial(self._move, 1)})

    # -- names ------------------------------------------------------------------------------------
    def _field(self, k: int) -> ipywidgets.Box:
        """The name of a cluster, and its colour."""
        if not 0 <= k < self.catalog.num_clusters:
            raise KeyError(f"there is no cluster {k}; clusters are numbered from 0")
        if k not in self._fields:
            words = f"Name of cluster {k}; give two clusters one name to merge them"
            text = field("", words, value=self.catalog.cluster_names[k], continuous_update=False)
            self._on(text, partial(self._rename, (k,)))
            self.controls[f"name {k}"] = text
            self._fields[k] = row(ipywidgets.HTML(_dom_classes=("lefs-swatch",)), text, kind="middle")
        return self._fields[k]

    def _list(self) -> None:
        """Show the name fields of the clusters in sight; of many, the largest of each part, then the next."""
        names, c, sizes = self.catalog.cluster_names, self.controls, (-self.catalog.sizes).tolist()
        wanted, parts = folded(c["find"].value), self.catalog.parts.values()
        rank = {k: r for ks in parts for r, k in enumerate(sorted(ks, key=sizes.__getitem__))}
        inside = {k for k in (*self._inside, *self.selected) if wanted in f"{folded(names[k])} {k}"}
        inside = {k for k in inside if is_default(names[k])} if c["unnamed"].value else inside
        ranked = sorted(inside, key=lambda k: (k not in self.selected, rank[k], sizes[k]))
        order = {"number": int, "size": sizes.__getitem__, "likeness": self._tree["order"].index}
        shown = sorted(ranked[:_MOST_FIELDS], key=order[c["sort"].value])
        self._names.children = tuple(self._field(k) for k in shown)

    def _rename(self, clusters: tuple[int, ...], name: str) -> None:
        try:
            if {self.catalog.cluster_names[k] for k in clusters} == {name}:
                return
            name = check_name(clusters, name)
            same = [p for p in self.catalog.parts if folded(p) == folded(name) and p != name]
            apart = partial(self._change, renamed(self.catalog, clusters, name))
            if same and name not in self.catalog.parts:
                join = partial(self._change, renamed(self.catalog, clusters, same[0]))
                ways = {"yes": (f"Join {same[0]}", join), "no": (f"Keep {name} apart", apart)}
                self._ask(f"There is a part {same[0]!r}. Is {name!r} the same?", **ways)
            else:
                apart()
        finally:
            # A refused name gives way to the old one; an accepted one loses its outer blanks.
            self._relabel()

    def _name_chosen(self, name: str) -> None:
        self.controls["name"].value = ""  # (first: a name that is refused is not taken away by hand)
        if not self.selected:
            raise ValueError("choose clusters first: click them on a picture")
        self._rename(self.selected, name)

    def _relabel(self, _: object = None) -> None:
        names, c, chosen = self.catalog.cluster_names, self.controls, {*self.selected}
        part = c["part"].value
        if part not in {EVERY_PART, *self.catalog.parts}:
            part = names[self._inside[0]]
        only = self.selected[0] if len(chosen) == 1 else ALL
        clusters = sorted({*self._inside, *chosen})
        called = [names[k] if is_default(names[k]) else f"cluster {k}: {names[k]}" for k in clusters]
        offer(c["part"], [("all", EVERY_PART), *((name, name) for name in self.catalog.parts)], part)
        offer(c["cluster"], [("all", ALL), *zip(called, clusters, strict=True)], only)
        self._list()
        self._label_fields(names)
        show_if(bool(chosen) and self._told == self.selected, self._about)
        told = html.escape(", ".join(dict.fromkeys(names[k] for k in self.selected))[:60])
        nothing = "nothing chosen: click a picture, or a branch of the tree"
        self._summary.value = f"<b>{len(chosen)}</b> chosen: {told}" if chosen else nothing
        for name in ("name", "hide", "earlier", "later", "about", *_SPLITS):
            c[name].disabled = not chosen
        self._can_go()
        c["hide"].description = "Show" if chosen and chosen <= self._history.now.hidden else "Hide"

    def _label_fields(self, names: list[str]) -> None:
        """What each name field says of its cluster."""
        colors, sizes = self._colors(), share(self.catalog)
        table = None if self._truth is None else self._truth[0]
        pure = None if table is None else table.max(axis=1) / table.sum(axis=1).clip(1)
        for k, box in self._fields.items():
            swatch, text = box.children
            text.value = names[k]
            sure = "" if pure is None else f" · ✓ {pure[k]:.0%}"
            square = f'<i style="background:{to_hex(colors[k])}"></i>'
            swatch.value = f"{square}<span>{k} · {sizes[k]:.1%}{sure}</span>"
            (box.add_class if k in self.selected else box.remove_class)("lefs-selected")

    # -- changes ----------------------------------------------------------------------------------
    def _change(self, catalog: Catalog, **view: Any) -> None:
        self._adopt(self._history.push(replace(self._history.now.to(catalog), **view)))

    def _adopt(self, step: Step) -> None:
        """Show what a step has changed, and save it."""
        self._ask("")
        new, (centers, sides) = step.catalog, self._known
        others = not centers.equal(new.centers) or sides != new.sides
        if others:
            self._truth, self.selected = None, ()
            self._forget()
            new._started.clear()  # (what others have named there were those clusters)
            self._names.children = ()
            for k in [k for k in self._fields if k >= new.num_clusters]:
                del self.controls[f"name {k}"]
                self._dispose(self._fields.pop(k))
        if others or new.method == "nmf":
            self._looks.clear()
            self._look_at(self._shown)
        self._relabel()
        self._draw()
        self._save()

    def _hide(self) -> None:
        hidden, chosen = self._history.now.hidden, {*self.selected}
        self._change(self.catalog, hidden=hidden - chosen if chosen <= hidden else hidden | chosen)

    def _move(self, by: int) -> None:
        self._change(moved(self.catalog, self.catalog.cluster_names[self.selected[0]], by))

    def _split(self, how: Any) -> None:
        from lefs.dissection import divide  # (and scikit-learn with it, for which no panel should wait)

        start = self.catalog

        def then(divided: Catalog) -> None:
            if not start.centers.equal(self.catalog.centers):
                raise ValueError("the clusters are others than they were; divide again")
            new = divided.cluster_names[start.num_clusters :]
            named = divided if self.catalog is start else divided.named([*self.catalog.cluster_names, *new])
            self._change(replace(named, _started=self._given._started))
            self._select(range(start.num_clusters, divided.num_clusters))

        self._in_background(partial(divide, start, self._generator, self.selected, how), then)

    def _judge(self) -> None:
        judge, start = self._segmenter, self.catalog
        assert judge is not None  # (else there is no button)

        def then(table: np.ndarray) -> None:
            if len(table) == self.catalog.num_clusters:
                self._truth = table, judge.names
                self._names.add_class("lefs-judged")
                self._change(self.catalog.named(name_by_truth(table, judge.names)))

        judged = partial(confusion, self._generator, start, self._seeds[:_JUDGED], segmenter=judge)
        self._in_background(partial(judged, truncation=start.sampling.truncation), then)

    def _save(self, *, prefer: Literal["refuse", "own", "theirs"] = "refuse") -> None:
        named = sum(not is_default(part) for part in self.catalog.parts)
        told = f"{len(self.catalog.parts)} parts, {named} of them named"
        if self._folder is None:
            self._status.value = f"{told}; kept in memory only"
            return
        self._status.value = f"{told}; <b>not saved</b>"
        try:
            self.catalog.save(self._folder, prefer=prefer)
        except NameClash as clash:
            own, theirs = partial(self._save, prefer="own"), partial(self._save, prefer="theirs")
            ways = {"yes": ("Mine", own), "no": ("Theirs", theirs)}
            return self._ask(f"{str(clash).partition(';')[0]}. Which name holds?", **ways)
        self._history.now.save(self._folder)
        if (names := names_in(self._folder)) != self.catalog.cluster_names:
            self._history.push(self._history.now.to(self.catalog.named(names)))
            self._relabel()
            self._draw()
            told += ", with those that others have named"
        self._status.value = f"{told}; saved to {html.escape(str(self._folder))}"
