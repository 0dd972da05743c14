"""Clusters on many images: pages, outlines, what is chosen by pointing, and what that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.colors import to_hex
from torch.nn.functional import interpolate, normalize

from lefs.activations import collect
from lefs.catalog import Catalog
from lefs.checks import check_seeds
from lefs.evaluation.agreement import part_stability
from lefs.generator import Generator
from lefs.images import color_difference, opaque, to_uint8
from lefs.plotting import cluster_colors
from lefs.plotting.arrays import overlay
from lefs.widgets.canvas import Canvas, Picture
from lefs.widgets.controls import button, checkbox, choice, field, line, slider
from lefs.widgets.panel import Folder, History, Panel, joined
from lefs.widgets.steps import Step, is_default
from lefs.workers import Sample
from lefs.workers.progress import track

__all__ = [
    "ALL",
    "COLUMNS",
    "EVERY_PART",
    "ClusterPictures",
    "Controls",
    "channel_pictures",
    "facts",
    "likeness_tree",
    "share",
]

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
    "undo": ("", "undo", "Take the last change back"),
    "redo": ("", "repeat", "Do again what was taken back"),
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
        super().__init__({name: button(*words) for name, words in _BUTTONS.items()})
        self._make = make
        whose, one = (
            "Colour all parts, or the clusters of one, and list them",
            "Choose one, and colour it alone",
        )
        name = "One name for all that is chosen; a name that is there joins that part"
        found = "List the clusters whose name or number has this in it"
        sorts = ["number", "likeness", "size"]
        self |= {
            "opacity": slider("opacity", 0.6, 1, 0.05, "0: the pictures; 1: the clusters only"),
            "part": choice("part", [("all", EVERY_PART)], EVERY_PART, whose),
            "cluster": choice("cluster", [("all", ALL)], ALL, one),
            "name": field("a name for these", name, continuous_update=False),
            "alone": checkbox("only these", False, "Colour only what is chosen"),
            "find": field("name or number", found, description="find"),
            "unnamed": checkbox("only unnamed", False, "List clusters without a name"),
            "sort": choice("order", sorts, "likeness", "How the fields below are sorted"),
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

    def __init__(self, generator: Generator, step: Step, seeds: int | Iterable[int], folder: Folder) -> None:
        super().__init__(generator, step.catalog, folder=folder)
        self._history = History(step)
        self._seeds = check_seeds(seeds)
        self._first, self._order, self._looking = 0, self._seeds, False
        self._pictures: dict[int, torch.Tensor] = {}
        self.canvas = Canvas(columns=min(COLUMNS, len(self._seeds)), widest=256)
        self._page_label = line()
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
        while self._pictures and len(self._pictures) + len(seeds) > _KEPT:
            del self._pictures[next(iter(self._pictures))]
        if seeds:
            images = self._generator.synthesize(self._sample(seeds)).float().cpu()
            scale = _KEPT / max(images.shape[2:])
            small = images if scale >= 1 else interpolate(images, scale_factor=scale, mode="area")
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
            shown.append(Picture(pixels, note=f"seed {seed}{part}", pick=True, regions=own))
        tree = {**self._tree, "colors": [to_hex(c) for c in colors[self._tree["order"]]]}
        shown.append(Picture(np.zeros((1, 12, 3), np.uint8), "likeness", pick=True, tree=tree))
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
    def _relabel(self, _: object = None) -> None:
        """Show names and what is chosen in the controls."""
        raise NotImplementedError

    def _choose_part(self, part: str) -> None:
        # Clusters stay in sight until another part is chosen, also those that are given another name.
        self._inside = list(self.catalog.parts.get(part, range(self.catalog.num_clusters)))
        self._choose_cluster(ALL)

    def _choose_cluster(self, cluster: int) -> None:
        with self._silently():
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

        def size(seed: int) -> float:
            return float(np.isin(self._looks[seed], self.selected).mean()) if seed in self._looks else -1.0

        self._order = sorted(self._seeds, key=size, reverse=True) if self.selected else self._seeds
        self._first = 0
        self._turn(0)
        if self.selected and not self._looking and len(self._looks) < len(self._seeds):
            self._looking = True
            self._in_background(self._look_further, self._found)

    def _look_further(self) -> None:
        """Look at the other images beside what the user does."""
        rest = [s for s in self._seeds if s not in self._looks]
        for seed in track(rest, total=len(rest), description="looking at all images", show=True):
            self._begin(partial(self._look_at, [seed]))

    def _found(self, _: object) -> None:
        if self.selected:
            self._sort()
        self._looking = False


def share(catalog: Catalog) -> list[float]:
    """The share of all positions of each cluster."""
    found: list[float] = (catalog.sizes.double() / max(1, int(catalog.sizes.sum()))).tolist()
    return found


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
    from scipy.spatial.distance import squareform

    if len(centers) == 1:
        return {"order": [0], "joins": []}
    unit = normalize(centers.detach().cpu().double(), dim=1).numpy()
    distances = np.clip(1 - unit @ unit.T, 0, None)
    np.fill_diagonal(distances, 0)
    links = linkage(squareform(distances, checks=False), "average")
    order = leaves_list(links).tolist()
    nodes: list[tuple[int, int, float, float]] = [(p, p, float(p), 0.0) for p in np.argsort(order).tolist()]
    top, joins = max(links[:, 2].max(), 1e-12), []
    for first, second, distance, _ in links:
        left, right = sorted((nodes[int(first)], nodes[int(second)]))
        height = float(distance / top)
        joins.append((left[0], right[1], height, left[2], right[2], left[3], right[3]))
        nodes.append((left[0], right[1], (left[2] + right[2]) / 2, height))
    return {"order": order, "joins": joins}


def facts(
    generator: Generator,
    catalog: Catalog,
    clusters: Sequence[int],
    looks: Sequence[np.ndarray],
    truth: np.ndarray | None,
    names: Sequence[str],
) -> str:
    """Coverage, stability and overlap with true parts of some clusters together, as a line of HTML.

    Parameters
    ----------
    generator, catalog : Generator, Catalog
    clusters : sequence of int
    looks : sequence of ndarray of shape (h, w), int
        The clusters in some images.
    truth : ndarray of shape (K, P), optional
        Pixels of each cluster in each true part, named `names`.
    """
    own, chosen, sizes = catalog.sampling, list(clusters), share(catalog)
    images = sum(bool(np.isin(look, chosen).any()) for look in looks)
    sample = Sample(generator, own.seeds[:_IMAGES], truncation=own.truncation)
    vectors = collect(sample, catalog.layer, max_vectors=_VECTORS, random_state=0)
    stable = part_stability(vectors, catalog.centers, chosen)
    texts = [
        f"covers <b>{sum(sizes[k] for k in chosen):.1%}</b>, in <b>{images}</b> of {len(looks)} images",
        f"found again by another start: <b>{stable:.0%}</b>",
    ]
    if truth is not None:
        here = truth[chosen].sum(axis=0)
        iou = here / np.maximum(truth.sum(axis=0) + here.sum() - here, 1)
        best = int(iou.argmax())
        pure = here[best] / max(1, here.sum())
        texts.append(f"overlap with true {names[best]}: <b>{iou[best]:.2f}</b> IoU, {pure:.0%} of it is that")
    texts.append(f"channels moved by {_FAR:g} standard deviations, what that changes shown × {_TIMES}")
    return joined(texts)


@torch.inference_mode()
def channel_pictures(
    generator: Generator, catalog: Catalog, clusters: Sequence[int], seeds: Sequence[int]
) -> list[Picture]:
    """The first image as it is, and what those channels do to it that contribute most to these clusters."""
    if not generator.has_styles:
        return []
    styles = generator.sample(seeds, truncation=catalog.sampling.truncation)
    spread = generator.sample(range(64)).std(dim=0)
    m = catalog.contributions[list(clusters)].sum(dim=0)
    strongest = m.topk(min(_CHANNELS, len(m))).indices.tolist()
    moved = styles[:1].repeat(len(strongest) + 1, 1)
    for i, c in enumerate(strongest, start=1):
        moved[i, c] += _FAR * spread[c]
    images = generator.synthesize(moved).float().cpu()
    titles = [
        next((f"{la.name} · {c - la.span.start}" for la in generator.layers if c < la.span.stop), str(c))
        for c in strongest
    ]
    change = [float(color_difference(images[0], image).mean()) for image in images[1:]]
    notes = [f"{m[c]:.0%} · ΔE {d:.1f}" for c, d in zip(strongest, change, strict=True)]
    images[1:] = images[:1] + _TIMES * (images[1:] - images[:1])
    pixels = to_uint8(opaque(images.clamp(-1, 1)))
    return [
        Picture(p, t, n)
        for p, t, n in zip(pixels, ["as it is", *titles], [f"seed {seeds[0]}", *notes], strict=True)
    ]
