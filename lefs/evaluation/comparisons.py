"""Methods on the same pairs: what each changes inside a part and outside it, whatever its setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_integer, check_seeds
from lefs.directions import Direction
from lefs.evaluation.baselines import random_query
from lefs.evaluation.masks import chosen_parts, read_masks, shows, union
from lefs.evaluation.methods import (
    Method,
    by_query,
    by_settings,
    global_transfer,
    path_methods,
    settings_by_part,
    standard_methods,
)
from lefs.evaluation.outcomes import Curve, Locality, Outcome, split_change
from lefs.evaluation.pairs import PairBatch, PairOptions, pair_batches
from lefs.evaluation.realism import Features, Realism, RealismMeter, in_mask, pooled
from lefs.generator import Generator
from lefs.images import to_lab
from lefs.query import QuerySettings

__all__ = ["Comparison", "compare", "contrast", "locality"]

_USUAL = QuerySettings()
_NUMBERS = ("effect", "leak", "localisation", "remaining", "most_effect", "most_leak", "farther", "farthest")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` measured.

    Attributes
    ----------
    methods : tuple of Method
    outcomes : tuple of Outcome
        One for each part, method and value of its setting.
    realism : tuple of Realism
        Of each part and method at its usual value; the first is of unedited images (no part).
    pairs : int
        How many there were, of which each part shows some.
    curve_pairs : int
        On how many of them methods were measured away from their usual value.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import compare, global_transfer, seed_pairs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> methods = [global_transfer((0.5, 1.0))]
    >>> found = compare(
    ...     generator, catalog, seed_pairs(2), parts=["hair"], methods=methods, progress=False
    ... )
    >>> [(curve.method, curve.values) for curve in found.curves]
    [('global', (0.5, 1.0))]
    """

    methods: tuple[Method, ...]
    outcomes: tuple[Outcome, ...]
    realism: tuple[Realism, ...]
    pairs: int
    curve_pairs: int

    @property
    def curves(self) -> list[Curve]:
        """A curve for each part and method, over the pairs on which every edit of the part was measured."""
        found = []
        for part in dict.fromkeys(o.part for o in self.outcomes):
            own = [o for o in self.outcomes if o.part == part]
            kept = reduce(np.intersect1d, [o.index for o in own])
            if len(kept) and len(own) == sum(len(m.values) for m in self.methods):
                found += [_curve([o for o in own if o.method == m.name], kept) for m in self.methods]
        return found


def _curve(points: Sequence[Outcome], kept: np.ndarray) -> Curve:
    columns = (
        np.stack([getattr(o, quantity)[np.isin(o.index, kept)] for o in points], axis=1)
        for quantity in ("effect", "leak")
    )
    return Curve(points[0].part, points[0].method, tuple(o.value for o in points), *columns)


def compare(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    parts: Iterable[str] | None = None,
    methods: Sequence[Method] | None = None,
    masks: Literal["pair", "edit"] = "pair",
    features: Features | None = None,
    unedited: Iterable[int] | None = None,
    curve_pairs: int | None = None,
    **options: Unpack[PairOptions],
) -> Comparison:
    """Measure every method on every part of the same pairs.

    Targets, references and masks are rendered once for all. Memory holds one number for each pair and
    quantity, and one batch of images. Pairs in which a part is absent are left out for that part.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
    pairs : sequence of (int, int)
        Seeds (target, reference).
    parts : iterable of str, optional
        Names of the catalog's parts; all by default.
    methods : sequence of Method, optional
        `standard_methods` by default.
    masks : {"pair", "edit"}
        Where a part is looked for, widened by one pixel, since an edit may move its outline: in target and
        reference, or, for edits that aim at no reference, in the target and in its edit.
    features : callable, optional
        Images → maps or vectors, for realism and for efficacy in features; without it neither is measured.
        ``load_segmenter("portraits").features`` is one; `AsBytes` wraps an Inception network.
    unedited : iterable of int, optional
        Seeds of as many images to hold edited ones against; by default others than the pairs'.
    curve_pairs : int, optional
        On how many pairs, the first, methods are measured away from their usual value; all by default.
    **options
        ``truncation``, ``segmenter``, ``batch_size``, ``description``, ``progress``: of `pair_batches`. The
        segmenter's masks are also those that compositing and blending paste through.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import compare, report, seed_pairs, standard_methods
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> methods = [m.only(m.usual) for m in standard_methods(generator, catalog)[:2]]
    >>> found = compare(
    ...     generator, catalog, seed_pairs(2), parts=["hair"], methods=methods, progress=False
    ... )
    >>> [(o.part, o.method, o.value) for o in found.outcomes]
    [('hair', 'sequential', 16.0), ('hair', 'simultaneous', 2.0)]
    """
    names = chosen_parts(catalog, parts)
    check_choice("masks", masks, ("pair", "edit"))
    chosen = tuple(standard_methods(generator, catalog) if methods is None else methods)
    few = len(pairs) if curve_pairs is None else check_integer("curve_pairs", curve_pairs, minimum=1)
    others = _other_seeds(pairs, unedited)
    numbers: dict[tuple[str, str, float], list[dict[str, np.ndarray]]] = {}
    meters: dict[tuple[str, str], RealismMeter] = {}
    options.setdefault("description", "comparison")
    for batch in pair_batches(generator, catalog, pairs, **options):
        with torch.inference_mode():
            scene = _Scene(batch, masks == "edit", features, others[batch.span])
            if features is not None:
                own = meters.setdefault(("", "unedited"), RealismMeter())
                own.update(pooled(scene.of_targets), scene.others)
            for method, value, many in _wanted(chosen, batch, few):
                for part, row, vectors in scene.measured(method, value, names, many):
                    numbers.setdefault((part, method.name, value), []).append(row)
                    if vectors is not None:
                        meters.setdefault((part, method.name), RealismMeter()).update(*vectors)
    realism = tuple(m.result(*key) for key, m in meters.items() if m.images > 1)
    return Comparison(
        chosen, tuple(_outcomes(names, chosen, numbers)), realism, len(pairs), min(few, len(pairs))
    )


def _wanted(methods: Iterable[Method], batch: PairBatch, few: int) -> Iterator[tuple[Method, float, int]]:
    """Each method and value with how many of the batch's pairs, the first, it is measured on."""
    for method in methods:
        for value in method.values:
            many = len(batch.index) if value == method.usual else few - int(batch.index[0])
            if many > 0:
                yield method, value, many


def _outcomes(
    parts: Iterable[str], methods: Iterable[Method], numbers: Mapping[Any, list[dict[str, np.ndarray]]]
) -> Iterator[Outcome]:
    """What the batches gave, joined, part by part."""
    for part, method in product(parts, methods):
        for value in method.values:
            if pieces := numbers.get((part, method.name, value)):
                columns = {n: np.concatenate([p[n] for p in pieces]) for n in ("index", *_NUMBERS)}
                yield Outcome(part=part, method=method.name, value=value, **columns)


def _other_seeds(pairs: Sequence[tuple[int, int]], unedited: Iterable[int] | None) -> list[int]:
    first = max((s for pair in pairs for s in pair), default=0) + 1
    seeds = check_seeds(range(first, first + len(pairs)) if unedited is None and pairs else unedited or [0])
    if len(seeds) < len(pairs):
        wanted = f"as many seeds as there are pairs, {len(pairs)}"
        raise ValueError(f"unedited must hold {wanted}; got {len(seeds)}")
    return seeds


class _Scene:
    """One batch of pairs, with what all methods are held against.

    Parameters
    ----------
    batch : PairBatch
    follow : bool
        Whether a part is looked for in the target and in its edit, and not in target and reference.
    features : callable or None
        Images → maps or vectors.
    others : list of int
        Seeds of as many unedited images.
    """

    def __init__(self, batch: PairBatch, follow: bool, features: Features | None, others: list[int]):
        self.batch, self.follow, self.features = batch, follow, features
        self.before, self.wanted = batch.labs
        self.most = (self.wanted - self.before).square().sum(dim=1)
        if features is not None:
            self.of_targets, self.of_references = features(batch.targets), features(batch.references)
            styles = batch.generator.sample_styles(others, truncation=batch.truncation)
            self.others = pooled(features(batch.generator.synthesize(styles)))

    def measured(
        self, method: Method, value: float, parts: Sequence[str], many: int
    ) -> Iterator[tuple[str, dict[str, np.ndarray], tuple[Tensor, Tensor] | None]]:
        """One method's edit of each part that some pair shows; one for all parts where it is the same.

        Yields the part, the numbers of those of the first `many` pairs that show it and something else, and
        the feature vectors of as many edited and unedited images.
        """
        masks = self.batch.target_masks if self.follow else self.batch.masks
        there = [p for p in parts if bool(masks[p].any())]
        for group in ([there] if method.whole else [[p] for p in there]) if there else []:
            images, styles = method.render(self.batch, group[0], value)
            found = self.features(images) if self.features is not None and value == method.usual else None
            lab = to_lab(images)
            for part, (mask, here) in self._looked_for(group, images, styles).items():
                here = here & (torch.arange(len(here), device=here.device) < many)
                if bool(here.any()):
                    at = here.cpu()
                    vectors = None if found is None else (pooled(found)[at], self.others[at])
                    yield part, self._numbers(lab, found, mask, here), vectors

    def _looked_for(
        self, parts: list[str], images: Tensor, styles: Tensor | None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Where each part is looked for, and which pairs show it and something else."""
        batch = self.batch
        if not self.follow:
            return {p: (batch.masks[p], batch.shown(p)) for p in parts}
        own = {p: batch.target_masks[p] for p in parts}
        looking: dict[str, Any] = {"images": images, "segmenter": batch.segmenter, "parts": parts}
        now = read_masks(batch.generator, batch.catalog, styles, **looking)
        return {p: (m, own[p].flatten(1).any(dim=1) & shows(m)) for p, m in union(own, now).items()}

    def _numbers(self, lab: Tensor, found: Any, mask: Tensor, here: Tensor) -> dict[str, np.ndarray]:
        """One number for each quantity and each of the pairs `here`."""
        at = here.cpu()
        effect, leak, share = split_change((lab - self.before).square().sum(dim=1)[here], mask[here])
        most_effect, most_leak, _ = split_change(self.most[here], mask[here])
        remaining, _, _ = split_change((lab - self.wanted).square().sum(dim=1)[here], mask[here])
        distances = [np.full(len(effect), np.nan)] * 2
        sides = [] if found is None else [found, self.of_targets, self.of_references]
        own, target, reference = [in_mask(f, mask) for f in sides] or [None] * 3
        if own is not None and target is not None and reference is not None:
            distances = [(v - reference)[at].double().square().sum(dim=1).numpy() for v in (own, target)]
        columns = (effect, leak, share, remaining, most_effect, most_leak, *distances)
        return {"index": self.batch.index[at].numpy(), **dict(zip(_NUMBERS, columns, strict=True))}


# -- two comparisons that are often wanted -------------------------------------------------------------------


def locality(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    parts: Iterable[str] | None = None,
    settings: QuerySettings | Mapping[str, QuerySettings] = _USUAL,
    random_state: int = 0,
    **options: Unpack[PairOptions],
) -> list[Locality]:
    """Measure the edit of each part beside a random query of equal budget and beside global transfer.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
    pairs : sequence of (int, int)
        Seeds (target, reference).
    parts : iterable of str, optional
        Names of the catalog's parts; all by default.
    settings : QuerySettings, or mapping of part to QuerySettings
        How channels are chosen.
    random_state : int
        Of the random query.
    **options
        ``truncation``, ``segmenter``, ``batch_size``, ``progress``: of `pair_batches`.

    Returns
    -------
    list of Locality
        Three for each part: the method of `settings`, ``"random"``, ``"global"``; none for a part that no
        pair shows.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import locality, seed_pairs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> found = locality(generator, catalog, seed_pairs(2), parts=["hair"], progress=False)
    >>> [m.method for m in found]
    ['sequential', 'random', 'global']
    """
    own = settings_by_part(settings, chosen_parts(catalog, parts))

    def at_random(part: str, value: float) -> Tensor:
        m, q = own[part].contribution(catalog, part), own[part].query(catalog, part)
        return random_query(q, m, catalog, random_state=random_state)

    by_chance = by_query("random", "", (0.0,), 0.0, at_random)
    methods = [by_settings(catalog, own), by_chance, global_transfer()]
    options.setdefault("description", "locality")
    found = compare(generator, catalog, pairs, parts=own, methods=methods, **options).outcomes
    return [replace(o, method=own[o.part].method) if o.method == "settings" else o for o in found]


def contrast(
    generator: Generator,
    catalog: Catalog,
    directions: Sequence[Direction],
    targets: Iterable[int],
    *,
    parts: Iterable[str],
    settings: QuerySettings = _USUAL,
    first_reference: int = 20_000,
    **options: Unpack[PairOptions],
) -> list[Curve]:
    """Measure, on the same targets, a path, the path through a part's query, and a transfer of the part.

    Target i goes along direction i mod n, forward and backward in turn, and takes its part from the seed
    `first_reference` + i. A target that does not show a part, or nothing else, is left out for it.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
    directions : sequence of Direction
        The n directions.
    targets : iterable of int
        Seeds.
    parts : iterable of str
        Names of the catalog's parts.
    settings : QuerySettings
        How the channels of a part are chosen, for path and transfer alike.
    first_reference : int
        Seed.
    **options
        ``truncation``, ``segmenter``, ``batch_size``, ``progress``: of `pair_batches`.

    Returns
    -------
    list of Curve
        Three for each part that some target shows.

    Examples
    --------
    >>> import lefs
    >>> from lefs.directions import principal_directions
    >>> from lefs.evaluation import contrast
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> directions = principal_directions(generator, range(99), count=2)
    >>> curves = contrast(generator, catalog, directions, range(2), parts=["hair"], progress=False)
    >>> [curve.method for curve in curves]
    ['path', 'path through q', 'transfer']
    """
    if not len(directions):
        raise ValueError("directions is empty; give at least one")
    for direction in directions:
        direction.check_generator(generator)
    seeds = check_seeds(targets, name="targets")
    pairs = [(seed, first_reference + i) for i, seed in enumerate(seeds)]
    methods = path_methods(directions, catalog, settings)
    options.setdefault("description", "paths and transfers")
    return compare(generator, catalog, pairs, parts=parts, methods=methods, masks="edit", **options).curves
