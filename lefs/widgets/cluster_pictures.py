"""Clusters on many images: pages, outlines, what is chosen by pointing, and what that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.colors import to_hex

from lefs.activations import collect
from lefs.catalog import Catalog
from lefs.checks import check_seeds
from lefs.evaluation.agreement import part_stability
from lefs.generator import Generator
from lefs.images import color_difference, of_height, opaque, resized, to_uint8
from lefs.plotting import cluster_colors
from lefs.plotting.arrays import overlay
from lefs.widgets import elements as ui
from lefs.widgets.panel import Folder, History, Panel, joined
from lefs.widgets.steps import Step, is_default
from lefs.workers import Sample
from lefs.workers.progress import track

__all__ = ["ALL", "COLUMNS", "EVERY_PART", "ClusterPictures", "Controls", "likeness_tree", "share"]

Truth = tuple[np.ndarray, Sequence[str]]  # pixels of clusters in true parts, and what these are called

ALL, EVERY_PART = -1, ""  # what the lists of clusters and of parts begin with
_BUTTONS = {
    "previous": ("", "chevron-left", "The images before these"),
    "next": ("", "chevron-right", "The next images"),
    "hide": ("Hide", "eye-slash", "Leave the chosen clusters uncoloured"),
    "halves": ("In two", "cut", "Divide each chosen cluster by likeness; the catalog is measured again"),
    "sides": ("Left | right", "arrows-h", "Divide each at the middle; the catalog keeps the rule"),
    "levels": ("Upper | lower", "arrows-v", "Divide each at half the height; the catalog keeps the rule"),
    "earlier": ("", "arrow-up", "The chosen part earlier in lists and legends"),
    "later": ("", "arrow-down", "The chosen part later in lists and legends"),
    "about": ("About", "info-circle", "What the chosen clusters cover, and what their strongest channels do"),
    "reset": ("Original names", "history", "Everything as the catalog was given; can be taken back, too"),
    "judge": ("Name all", "magic", "Name every cluster after the segmenter, and say how sure that is"),
    "yes": ("", "", "The first answer"),
    "no": ("", "", "The second answer"),
}

COLUMNS = 6
_PAGE = 12
# Sent to the browser at this size: whole multiples of the usual memberships, small enough to follow a slider.
_SIDE, _KEPT = 128, 256
# How many, how far each is moved, in its standard deviations, and how much its change is enlarged to be seen
_CHANNELS, _FAR, _TIMES = 6, 3.0, 4
_IMAGES, _VECTORS = 128, 16_384  # that clusters are found again from


class Controls(dict[str, ipywidgets.Widget]):
    """Controls by name; "name 7" is made when somebody asks for it."""

    def __init__(self, make: Callable[[int], object]) -> None:
        super().__init__({name: ui.button(*words) for name, words in _BUTTONS.items()})
        self._make = make
        whose = "Colour all parts, or the clusters of one, and list them"
        name = "One name for all that is chosen; a name that is there joins that part"
        found = "List the clusters whose name or number has this in it"
        self |= {
            "opacity": ui.slider("opacity", 0.6, 1, 0.05, "0: the pictures; 1: the clusters only"),
            "part": ui.choice("part", [("all", EVERY_PART)], EVERY_PART, whose),
            "cluster": ui.choice("cluster", [("all", ALL)], ALL, "Choose one, and colour it alone"),
            "name": ui.field("a name for these", name, continuous_update=False),
            "alone": ui.checkbox("only these", False, "Colour only what is chosen"),
            "find": ui.field("name or number", found, description="find"),
            "unnamed": ui.checkbox("only unnamed", False, "List clusters without a name"),
            "sort": ui.choice("order", ["number", "likeness", "size"], "likeness", "How fields are sorted"),
        }

    def __missing__(self, name: str) -> ipywidgets.Widget:
        word, _, number = name.partition(" ")
        if word != "name" or not number.isdigit():
            raise KeyError(f"no control {name!r}; there are {', '.join(self)} and 'name 0', 'name 1', ...")
        self._make(int(number))
        return self[name]


class ClusterPictures(Panel):
    """The part of the catalog browser that shows clusters; naming them is `CatalogBrowser`'s."""

    selected: tuple[int, ...] = ()
    _relabel: Callable[[], None]  # (shows names and what is chosen in the controls)

    def __init__(self, generator: Generator, step: Step, seeds: int | Iterable[int], folder: Folder) -> None:
        super().__init__(generator, step.catalog, folder=folder)
        self._history = History(step)
        self._seeds = check_seeds(seeds)
        self._first, self._order = 0, self._seeds
        self._pictures: dict[int, torch.Tensor] = {}
        self.canvas = ui.Canvas(columns=min(COLUMNS, len(self._seeds)), widest=256)
        self._page_label, self._facts, self._channels = ui.line(), ui.line(), ui.Canvas(columns=7, widest=160)
        self._truth: Truth | None = None
        self._told: tuple[int, ...] = ()  # what the facts are about
        self._forget()

    @property
    def catalog(self) -> Catalog:
        """The newest, with every change made here."""
        return self._history.now.catalog

    def _forget(self) -> None:
        """These are other clusters: nothing that was known of them holds."""
        self._known = self.catalog.centers, self.catalog.sides  # which clusters these are
        self._looks: dict[int, np.ndarray] = {}  # seed → the cluster of each position
        self._tree = likeness_tree(self.catalog.centers)
        self._inside = list(range(self.catalog.num_clusters))

    # -- pictures ---------------------------------------------------------------------------------
    @property
    def _shown(self) -> list[int]:
        return self._order[self._first : self._first + _PAGE]

    def _turn(self, pages: int) -> None:
        last = (len(self._seeds) - 1) // _PAGE * _PAGE
        self._first = min(max(0, self._first + pages * _PAGE), last)
        self._look_at(self._shown)
        self._paint([s for s in self._shown if s not in self._pictures])
        end = self._first + len(self._shown)
        self._page_label.value = f"<b>{self._first + 1}–{end}</b> of {len(self._seeds)}"
        self.controls["previous"].disabled = self._first == 0
        self.controls["next"].disabled = self._first == last
        self._draw()

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        return self._generator.sample(seeds, truncation=self.catalog.sampling.truncation)

    def _paint(self, seeds: list[int]) -> None:
        """Keep the pictures of these seeds, none larger than is useful, and not more than 256."""
        spare = [s for s in self._pictures if s not in self._shown]
        for seed in spare[: max(0, len(self._pictures) + len(seeds) - _KEPT)]:
            del self._pictures[seed]
        if seeds:
            images = self._generator.synthesize(self._sample(seeds)).float().cpu()
            small = resized(images, of_height(min(_KEPT, images.shape[-2]), images))
            self._pictures |= zip(seeds, small, strict=True)

    def _look_at(self, seeds: Iterable[int]) -> None:
        """Which cluster each position of these images belongs to; one at a time: K maps are large."""
        for seed in seeds:
            if seed not in self._looks:
                membership = self.catalog.membership(self._generator, self._sample([seed]))
                if self.catalog.method == "nmf":  # the largest cluster of the part that is largest
                    owner = self.catalog.by_part(membership).argmax(dim=1)
                    parts = list(self.catalog.parts)
                    part_of = torch.tensor([parts.index(n) for n in self.catalog.cluster_names])
                    membership = membership.where(part_of.to(owner)[:, None, None] == owner[:, None], -1)
                self._looks[seed] = membership[0].argmax(dim=0).cpu().numpy()

    def _draw(self, _: object = None) -> None:
        chosen, colors = list(self.selected), self._colors()
        labels = np.stack([self._looks[s] for s in self._shown])
        seen = np.zeros(self.catalog.num_clusters, bool)
        seen[chosen if self.controls["alone"].value and chosen else self._inside] = True
        regions = np.where(np.isin(labels, list(self._history.now.hidden)), -1, labels)
        tinted = np.where(seen[labels], regions, -1)
        pictures = to_uint8(opaque(torch.stack([self._pictures[s] for s in self._shown])))
        drawn = overlay(pictures, tinted, colors, self.controls["opacity"].value, side=_SIDE)
        shown = []
        for seed, pixels, own, where in zip(self._shown, drawn, regions, labels, strict=True):
            part = f" · {np.isin(where, chosen).mean():.1%}" if chosen else ""
            shown.append(ui.Picture(pixels, note=f"seed {seed}{part}", pick=True, regions=own))
        tree = {**self._tree, "colors": [to_hex(c) for c in colors[self._tree["order"]]]}
        shown.append(ui.Picture(np.zeros((1, 12, 3), np.uint8), "likeness", pick=True, tree=tree))
        names = enumerate(zip(self.catalog.cluster_names, share(self.catalog), strict=True))
        told = [f"{n if is_default(n) else f'cluster {k}, {n}'} · {size:.1%}" for k, (n, size) in names]
        self.canvas.show(*shown, names=told, marked=chosen)

    def _colors(self) -> np.ndarray:
        """The colour of each cluster, (K, 3): its part's, but in a chosen part one for each."""
        colors = self._history.now.colors
        if self.controls["part"].value != EVERY_PART:
            colors[self._inside] = cluster_colors(len(self._inside))
        return colors

    # -- choosing ---------------------------------------------------------------------------------
    def _choose_part(self, part: str) -> None:
        # Clusters stay in sight until another part is chosen, also those that are given another name.
        self._inside = list(self.catalog.parts.get(part, range(self.catalog.num_clusters)))
        self._choose_cluster(ALL)

    def _choose_cluster(self, cluster: int) -> None:
        self.controls["alone"].value = cluster != ALL
        self._select(() if cluster == ALL else (cluster,))

    def _picked(self, picked: dict[str, Any]) -> None:
        found, shift = {k for k in picked.get("regions", ()) if k >= 0}, picked.get("shift", False)
        before = set(self.selected) if shift else set()
        self._select(before ^ found if len(found) == 1 else before | found)
        if not shift:  # (else the pictures would go from under the pointer)
            self._sort()

    def _select(self, clusters: Iterable[int]) -> None:
        """Choose clusters, everywhere: outlines, fields, list and tree."""
        self.selected = tuple(sorted({*clusters} & {*range(self.catalog.num_clusters)}))
        self._relabel()
        self._draw()

    def _sort(self) -> None:
        """The images first where the chosen clusters are largest, of those that were looked at already."""
        sizes = {s: np.isin(self._looks.get(s, ALL), self.selected).mean() for s in self._seeds}
        self._order = sorted(self._seeds, key=sizes.__getitem__, reverse=True)
        self._first = 0
        self._turn(0)
        if self.selected and not self._worker.is_alive() and len(self._looks) < len(self._seeds):
            self._in_background(self._look_further, lambda _: self._sort() if self.selected else None)

    def _look_further(self) -> None:
        """Look at the other images beside what the user does."""
        rest = [s for s in self._seeds if s not in self._looks]
        for seed in track(rest, total=len(rest), description="looking at all images", show=True):
            self._begin(partial(self._look_at, [seed]))

    def _tell(self) -> None:
        """What the chosen clusters are, and what their strongest channels do."""
        part, known = self.selected, [self._looks[s] for s in self._seeds if s in self._looks]
        about, truth, shown = (self._generator, self.catalog, [*part]), self._truth, self._shown

        def work() -> tuple[str, list[ui.Picture]]:
            return facts(*about, known, truth), channel_pictures(*about, shown)

        def then(found: tuple[str, list[ui.Picture]]) -> None:
            self._facts.value, self._told = found[0], part
            self._channels.show(*found[1])
            self._relabel()

        self._in_background(work, then)


def share(catalog: Catalog) -> list[float]:
    """The share of all positions of each cluster."""
    return (catalog.sizes.double() / max(1, int(catalog.sizes.sum()))).tolist()


def likeness_tree(centers: torch.Tensor) -> dict[str, Any]:
    """The average-linkage tree of the cosine distances of centres (K, C), as `Picture.tree` draws it.

    Returns
    -------
    dict
        ``"order"``: the clusters from left to right; ``"joins"``: of each branch its first and last leaf, its
        height as a share of the whole tree's, and the places and heights of the two that it joins.
    """
    # (takes a while, for a panel that is one of many)
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(centers) == 1:
        return {"order": [0], "joins": []}
    links = linkage(centers.detach().cpu().double().numpy(), "average", metric="cosine")
    order = leaves_list(links).tolist()
    nodes: list[tuple[int, int, float, float]] = [(p, p, float(p), 0.0) for p in np.argsort(order).tolist()]
    top, joins = max(links[:, 2].max(), 1e-12), []
    for first, second, distance, _ in links:
        left, right = sorted((nodes[int(first)], nodes[int(second)]))
        height = max(0.0, float(distance / top))
        joins.append((left[0], right[1], height, left[2], right[2], left[3], right[3]))
        nodes.append((left[0], right[1], (left[2] + right[2]) / 2, height))
    return {"order": order, "joins": joins}


def facts(
    generator: Generator, catalog: Catalog, chosen: list[int], looks: list[np.ndarray], truth: Truth | None
) -> str:
    """Coverage, stability and overlap with true parts of some clusters together, as a line of HTML.

    Parameters
    ----------
    generator, catalog : Generator, Catalog
    chosen : list of int
        The clusters.
    looks : list of ndarray of shape (h, w), int
        The clusters in some images.
    truth : (ndarray of shape (K, P), P names), optional
    """
    own, sizes = catalog.sampling, share(catalog)
    images = sum(bool(np.isin(look, chosen).any()) for look in looks)
    sample = Sample(generator, own.seeds[:_IMAGES], truncation=own.truncation)
    vectors = collect(sample, catalog.layer, max_vectors=_VECTORS, random_state=0)
    stable = part_stability(vectors, catalog.centers, chosen)
    covers = f"covers <b>{sum(sizes[k] for k in chosen):.1%}</b>, in <b>{images}</b> of {len(looks)} images"
    texts = [covers, f"found again by another start: <b>{stable:.0%}</b>"]
    if truth is not None:
        table, names = truth
        here = table[chosen].sum(axis=0)
        iou = here / np.maximum(table.sum(axis=0) + here.sum() - here, 1)
        best = int(iou.argmax())
        pure = here[best] / max(1, here.sum())
        texts.append(f"overlap with true {names[best]}: <b>{iou[best]:.2f}</b> IoU, {pure:.0%} of it is that")
    texts.append(f"channels moved by {_FAR:g} standard deviations, what that changes shown × {_TIMES}")
    return joined(texts)


@torch.inference_mode()
def channel_pictures(
    generator: Generator, catalog: Catalog, chosen: list[int], seeds: list[int]
) -> list[ui.Picture]:
    """The first image as it is, and what those channels do to it that contribute most to these clusters."""
    if not generator.has_styles:
        return []
    styles = generator.sample(seeds, truncation=catalog.sampling.truncation)
    spread = generator.sample(range(64)).std(dim=0)
    m = catalog.contributions[chosen].sum(dim=0)
    strongest = m.topk(min(_CHANNELS, len(m))).indices.tolist()
    moved = styles[:1].repeat(len(strongest) + 1, 1)
    titles, notes = ["as it is"], [f"seed {seeds[0]}"]
    for i, c in enumerate(strongest, start=1):
        moved[i, c] += _FAR * spread[c]
        owner = (f"{la.name} · {c - la.span.start}" for la in generator.layers if c < la.span.stop)
        titles.append(next(owner, f"{c}"))
    images = generator.synthesize(moved).float().cpu()
    change = color_difference(images[:1], images[1:]).mean(dim=(1, 2)).tolist()
    notes += [f"{m[c]:.0%} · ΔE {d:.1f}" for c, d in zip(strongest, change, strict=True)]
    images[1:] = images[:1] + _TIMES * (images[1:] - images[:1])
    pixels = to_uint8(opaque(images.clamp(-1, 1)))
    return [ui.Picture(*each) for each in zip(pixels, titles, notes, strict=True)]
