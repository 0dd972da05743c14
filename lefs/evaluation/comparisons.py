"""Methods on the same pairs: what each changes inside a part and outside it, whatever its setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial, reduce
from itertools import product
from typing import Any, Literal, Unpack

import numpy as np

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_integer, check_seeds
from lefs.directions import Direction
from lefs.evaluation.masks import chosen_parts
from lefs.evaluation.methods import (
    Method,
    Settings,
    at_random,
    by_query,
    by_settings,
    global_transfer,
    path_methods,
    settings_by_part,
    standard_methods,
)
from lefs.evaluation.outcomes import Curve, Locality, Outcome
from lefs.evaluation.pairs import PairOptions, check_pairs, map_pairs
from lefs.evaluation.realism import Features, Realism
from lefs.evaluation.scenes import UNEDITED, Key, Row, measured, shown
from lefs.generator import Generator
from lefs.query import QuerySettings
from lefs.showing import Shown
from lefs.tables import Table, Tabular

__all__ = ["Comparison", "compare", "contrast", "locality"]

_USUAL = QuerySettings()


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
    names = chosen_parts(catalog, parts)
    check_choice("masks", masks, ("pair", "edit"))
    chosen = tuple(standard_methods(generator, catalog) if methods is None else methods)
    limits = [
        len(pairs) if count is None else min(len(pairs), check_integer(name, count, minimum=1))
        for name, count in (("part_pairs", part_pairs), ("curve_pairs", curve_pairs))
    ]
    after = max(seed for pair in check_pairs(pairs) for seed in pair) + 1
    options.setdefault("description", "comparison")
    follow, until = masks == "edit", dict.fromkeys(product(names, limits), len(pairs))
    if min(limits) < len(pairs):
        look = partial(shown, parts=names, follow=follow)
        there = _joined([*map_pairs(look, generator, catalog, pairs, **options)])
        until = {(p, n): int(np.searchsorted(there[p].cumsum(), n, side="right")) for p, n in until}
    ways = {
        (m, v): {p: until[p, limits[0] if v == m.usual else min(limits)] for p in names}
        for m in chosen
        for v in m.values
    }
    work = partial(measured, ways=ways, follow=follow, features=features, after=after)
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


# -- two comparisons that are often wanted -------------------------------------------------------------------


def locality(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    parts: Iterable[str] | None = None,
    settings: Settings = _USUAL,
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
        ``truncation``, ``segmenter``, ``batch_size``, ``progress``, ``executor``: of `map_pairs`.

    Returns
    -------
    list of Locality
        Three for each part: the method of `settings` (``"in place"`` if it is), ``"random"``, ``"global"``;
        none for a part that no pair shows.

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
    chance = by_query("random", "", (0.0,), 0.0, partial(at_random, catalog, own, "", random_state))
    methods = [by_settings(catalog, own), chance, global_transfer()]
    options.setdefault("description", "locality")
    found = compare(generator, catalog, pairs, parts=own, methods=methods, **options).outcomes
    names = {p: "in place" if s.where == "part" else str(s.method) for p, s in own.items()}
    return [replace(o, method=names[o.part]) if o.method == "settings" else o for o in found]


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
        ``truncation``, ``segmenter``, ``batch_size``, ``progress``, ``executor``: of `map_pairs`.

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
