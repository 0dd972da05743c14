"""Methods on the same pairs: what each changes inside a part and outside it, whatever its setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial, reduce
from itertools import product
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_integer
from lefs.evaluation.masks import chosen_parts, grow, read_masks, shows, union
from lefs.evaluation.methods import Method, standard_methods
from lefs.evaluation.outcomes import Curve, Outcome, measure_lab
from lefs.evaluation.pairs import PairBatch, PairOptions, check_pairs, map_pairs
from lefs.evaluation.realism import Features, Realism, pooled
from lefs.generator import Generator
from lefs.images import to_lab
from lefs.showing import Shown
from lefs.tables import Table, Tabular

__all__ = ["Comparison", "compare"]

WINDOW = 5  # pixels around a part's mask that are looked at with it, for how real it looks
Row = dict[str, np.ndarray]  # columns of numbers, one for each pair
Key = tuple[str, str, float]  # part, method and value
UNEDITED: Key = ("", "unedited", 0.0)
Ways = Mapping[tuple[Method, float], Mapping[str, int]]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown, Tabular):
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
        On how many that show a part methods were measured away from their usual value.

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
                found += [Curve.of([o for o in own if o.method == m.name], kept) for m in self.methods]
        return found

    def numbers(self) -> Table:
        """A row for each part, method, value and pair, with every number of an `Outcome`."""
        found = Table.of(self.outcomes, Outcome)
        return Table(["pair" if name == "index" else name for name in found.columns], found.rows)


def compare(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    parts: Iterable[str] | None = None,
    methods: Sequence[Method] | None = None,
    masks: Literal["pair", "edit"] = "pair",
    features: Features | None = None,
    part_pairs: int | None = None,
    curve_pairs: int | None = None,
    **options: Unpack[PairOptions],
) -> Comparison:
    """Measure every method on every part of the same pairs.

    Targets, references and masks are rendered once for all. Memory holds one number for each pair and
    quantity, one vector of features, and one batch of images. Pairs in which a part is absent are left out
    for that part.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
        Its masks are those that an edit is made with, if it is made with one.
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
        Images → maps or vectors, for realism; without it that is not measured. Edits are held against their
        targets around the part, and as wholes against as many pictures of seeds after those of the pairs.
        ``load_segmenter("portraits").features`` is one.
    part_pairs : int, optional
        On how many of the pairs that show a part, the first, it is edited; all by default.
    curve_pairs : int, optional
        The same for methods away from their usual value.
    **options
        ``truncation``, ``segmenter``, ``batch_size``, ``description``, ``progress``, ``executor``: of
        `map_pairs`. The segmenter judges the edits, and knows nothing of how they are made.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import compare, seed_pairs, standard_methods
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> methods = [m.only(m.usual) for m in standard_methods(generator, catalog)[:2]]
    >>> found = compare(
    ...     generator, catalog, seed_pairs(2), parts=["hair"], methods=methods, progress=False
    ... )
    >>> [(o.part, o.method, o.value) for o in found.outcomes]
    [('hair', 'sequential', 16.0), ('hair', 'simultaneous', 2.0)]
    """
    names, pairs = chosen_parts(catalog, parts), check_pairs(pairs)
    check_choice("masks", masks, ("pair", "edit"))
    chosen = tuple(standard_methods(generator, catalog) if methods is None else methods)
    limits = [
        len(pairs) if count is None else min(len(pairs), check_integer(name, count, minimum=1))
        for name, count in (("part_pairs", part_pairs), ("curve_pairs", curve_pairs))
    ]
    after = max(map(max, pairs)) + 1
    options.setdefault("description", "comparison")
    follow, until = masks == "edit", dict.fromkeys(product(names, limits), len(pairs))
    if min(limits) < len(pairs):
        look = partial(_counted, parts=names, follow=follow)
        there = _joined([*map_pairs(look, generator, catalog, pairs, **options)])
        until = {(p, n): int(np.searchsorted(there[p].cumsum(), n, side="right")) for p, n in until}
    most = {(m, v): limits[0] if v == m.usual else min(limits) for m in chosen for v in m.values}
    ways = {way: {p: until[p, count] for p in names} for way, count in most.items()}
    work = partial(_measured, ways=ways, follow=follow, features=features, after=after)
    rows: dict[Key, list[Row]] = {}
    for found in map_pairs(work, generator, catalog, pairs, **options):
        for key, row in found:
            rows.setdefault(key, []).append(row)
    joined = {key: _joined(own) for key, own in rows.items()}
    # (as many as of a part, since the Fréchet distance depends on their number)
    joined[UNEDITED] = {name: column[: limits[0]] for name, column in joined[UNEDITED].items()}
    keys = [(p, m.name, v) for p, m in product(names, chosen) for v in m.values if (p, m.name, v) in joined]
    real = [k for k in (UNEDITED, *keys) if "edited" in joined[k] and len(joined[k]["index"]) > 1]
    outcomes = tuple(Outcome(*k[:2], **_some(joined[k], Outcome), value=k[2]) for k in keys)
    realism = tuple(Realism(*k[:2], **_some(joined[k], Realism)) for k in real)
    return Comparison(chosen, outcomes, realism, len(pairs), min(limits))


def _joined(rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What the batches gave, one after the other."""
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _some(columns: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Those of the columns that a dataclass has."""
    return {f.name: columns[f.name] for f in fields(kind) if f.name in columns}


# -- one batch of pairs, the work that workers share ---------------------------------------------------------


def _shown(batch: PairBatch, parts: Iterable[str], follow: bool) -> dict[str, Tensor]:
    """Which of the pairs show each part: bool, (n,), on the CPU."""
    own = batch.target_masks
    return {p: (own[p].flatten(1).any(dim=1) if follow else batch.shown(p)).cpu() for p in parts}


def _counted(batch: PairBatch, *, parts: Sequence[str], follow: bool) -> Row:
    return {part: there.numpy() for part, there in _shown(batch, parts, follow).items()}


def _measured(
    batch: PairBatch, *, ways: Ways, follow: bool, features: Features | None, after: int
) -> list[tuple[Key, Row]]:
    """What is measured of unedited images, and of each part, method and value.

    Parameters
    ----------
    batch : PairBatch
    ways : mapping
        {(method, value): {part: the pair from which on it is not edited}}.
    follow, features, after
        Of `_Scene`.
    """
    scene = _Scene(batch, follow, features, after)
    edits = (edit for (method, value), until in ways.items() for edit in scene.edits(method, value, until))
    return [(UNEDITED, scene.unedited()), *edits]


class _Scene:
    """One batch of pairs, with what all methods are held against.

    Parameters
    ----------
    batch : PairBatch
    follow : bool
        Whether a part is looked for in the target and in its edit, and not in target and reference.
    features : callable or None
        Images → maps or vectors.
    after : int
        The seed from which on there is an unedited image for each pair.
    """

    def __init__(self, batch: PairBatch, follow: bool, features: Features | None, after: int):
        self.batch, self.follow, self.features = batch, follow, features
        self.shown = _shown(batch, batch.target_masks, follow)  # (once for all methods)
        if features is not None:
            self.before = features(batch.targets)
            seeds = (after + batch.index).tolist()
            styles = batch.generator.sample_styles(seeds, truncation=batch.truncation)
            self.others = pooled(features(batch.generator.synthesize(styles)))

    def unedited(self) -> Row:
        """Features of the targets beside those of the other images."""
        found = {"index": self.batch.index.numpy()}
        if self.features is not None:
            own = pooled(self.before).numpy()
            found |= {"edited": own, "others": self.others.numpy(), "around": own, "before": own}
        return found

    def edits(self, method: Method, value: float, until: Mapping[str, int]) -> Iterator[tuple[Key, Row]]:
        """One method's edit of each part that some pair shows; one for all parts where it is the same.

        Yields the key, and the numbers of those of the pairs before `until` that show it and something else,
        with features if the value is the usual one.
        """
        shown = {part: self.shown[part] & (self.batch.index < n) for part, n in until.items()}
        there = {part: at for part, at in shown.items() if bool(at.any())}
        for group in ([list(there)] if method.whole else [[p] for p in there]) if there else []:
            at = torch.stack([there[p] for p in group]).any(dim=0)
            images, styles = method.render(self.batch, group[0], value, at)
            found = self.features(images) if self.features is not None and value == method.usual else None
            lab = to_lab(images)
            for part, mask in self._looked_for(group, at, images, styles).items():
                here = there[part][at] & shows(mask).cpu()
                if bool(here.any()):
                    rows = at.nonzero()[:, 0][here]
                    vectors = {} if found is None else self._vectors(found, mask, here, rows)
                    target, reference = (side[rows] for side in self.batch.labs)
                    index = {"index": self.batch.index[rows].numpy()}
                    numbers = measure_lab(target, lab[here], reference, mask[here])
                    yield (part, method.name, value), numbers | index | vectors

    def _looked_for(
        self, parts: list[str], at: Tensor, images: Tensor, styles: Tensor | None
    ) -> dict[str, Tensor]:
        """Where each part is looked for in some of the pairs."""
        batch = self.batch
        if not self.follow:
            return {p: batch.masks[p][at] for p in parts}
        looking: dict[str, Any] = {"images": images, "segmenter": batch.segmenter, "parts": parts}
        now = read_masks(batch.generator, batch.catalog, styles, **looking)
        return union({p: batch.target_masks[p][at] for p in parts}, now)

    def _vectors(self, found: Any, mask: Tensor, here: Tensor, rows: Tensor) -> dict[str, np.ndarray]:
        """Features of the edits `here`, of their targets, and of other images."""
        window = grow(mask, WINDOW)[here]
        edited, before = _rows(found, here), _rows(self.before, rows)
        vectors = pooled(edited), self.others[rows], pooled(edited, window), pooled(before, window)
        return {n: v.numpy() for n, v in zip(("edited", "others", "around", "before"), vectors, strict=True)}


def _rows(features: Any, at: Tensor) -> Any:
    """Features of some of the images."""
    return features[at] if isinstance(features, Tensor) else [maps[at] for maps in features]
