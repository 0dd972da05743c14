"""Comparisons that are often wanted: locality, a path beside a transfer, and the part-leak matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Unpack

import numpy as np
import torch

from lefs.catalog import Catalog
from lefs.checks import check_seeds
from lefs.directions import Direction
from lefs.evaluation import methods
from lefs.evaluation.comparisons import compare
from lefs.evaluation.intervals import Estimate, bootstrap, interval
from lefs.evaluation.masks import chosen_parts
from lefs.evaluation.methods import Method, Settings, settings_by_part
from lefs.evaluation.outcomes import Curve, Locality
from lefs.evaluation.pairs import PairBatch, PairOptions, map_pairs
from lefs.generator import Generator
from lefs.images import color_difference
from lefs.query import QuerySettings
from lefs.showing import Shown
from lefs.tables import Table, Tabular

__all__ = ["PartLeak", "contrast", "locality", "part_leak"]

_USUAL = QuerySettings()


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
    chance = methods.at_random(catalog, own, "random", "", random_state)
    three = [methods.by_settings(catalog, own), chance, methods.global_transfer()]
    options.setdefault("description", "locality")
    found = compare(generator, catalog, pairs, parts=own, methods=three, **options).outcomes
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
    three = methods.path_methods(directions, catalog, settings)
    options.setdefault("description", "paths and transfers")
    return compare(generator, catalog, pairs, parts=parts, methods=three, masks="edit", **options).curves


# -- the part-leak matrix ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class PartLeak(Shown, Tabular):
    """What editing each part changes in every part, for each pair.

    Attributes
    ----------
    parts : tuple of str
        P names.
    change : ndarray of shape (n, P, P)
        Mean squared ΔE in part j (where part i is not) when part i is edited; NaN where a pair does not show
        both.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import PartLeak
    >>> found = PartLeak(("hair", "skin"), np.array([[[8.0, 2.0], [0.0, 10.0]]]))
    >>> found.interference, found.shares[0]
    (0.1, array([0.8, 0.2]))
    """

    parts: tuple[str, ...]
    change: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """Means over the pairs: (P, P), row = edited, column = measured; NaN where no pair shows both."""
        return _means(np.ones((1, len(self.change))), self.change)[0]

    def numbers(self) -> Table:
        """The matrix: a row for each edited part, a column for each measured one."""
        rows = [(part, *row) for part, row in zip(self.parts, self.matrix.tolist(), strict=True)]
        return Table(("edited", *self.parts), rows)

    @property
    def interference(self) -> float:
        """The off-diagonal share of the matrix: 0 if every edit keeps to its part."""
        return self.estimate().value

    @property
    def shares(self) -> np.ndarray:
        """Each row of the matrix as shares that sum to 1: where the change of an edit lies, part by part."""
        known = np.nan_to_num(self.matrix)
        total = known.sum(axis=1, keepdims=True)
        return np.divide(known, total, out=np.zeros_like(known), where=total > 0)

    def estimate(self) -> Estimate:
        """The interference with its 95 % bootstrap interval over the pairs."""
        return interval(bootstrap(_off_diagonal_share, self.change))


def _means(counts: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The matrix of each resample: (R, P, P); NaN where no pair shows both parts."""
    seen = np.isfinite(change)
    total, number = (np.tensordot(counts, values, 1) for values in (np.where(seen, change, 0), seen))
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _off_diagonal_share(counts: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The interference of each resample: (R,); NaN where nothing changed."""
    known = np.nan_to_num(_means(counts, change))
    total, off = (v.sum(axis=(1, 2)) for v in (known, known * ~np.eye(known.shape[1], dtype=bool)))
    return np.divide(off, total, out=np.full(len(total), np.nan), where=total > 0)


def part_leak(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    parts: Iterable[str] | None = None,
    settings: Settings = _USUAL,
    method: Method | None = None,
    **options: Unpack[PairOptions],
) -> PartLeak:
    """Edit each part of the same pairs and measure the change in every part.

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
    method : Method, optional
        Another method, at its usual value, in place of `settings`.
    **options
        ``truncation``, ``segmenter``, ``batch_size``, ``progress``, ``executor``: of `map_pairs`.

    Returns
    -------
    PartLeak

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import part_leak, seed_pairs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> found = part_leak(generator, catalog, seed_pairs(2), parts=["hair", "skin"], progress=False)
    >>> found.change.shape
    (2, 2, 2)
    """
    names = tuple(chosen_parts(catalog, parts))
    edit = method or methods.by_settings(catalog, settings_by_part(settings, names))
    options.setdefault("description", "part-leak matrix")
    changes = partial(_changes, names=names, method=edit)
    return PartLeak(names, np.concatenate(list(map_pairs(changes, generator, catalog, pairs, **options))))


def _changes(batch: PairBatch, *, names: Sequence[str], method: Method) -> np.ndarray:
    """Mean squared ΔE of each pair, edited part and part: (n, P, P)."""
    found = np.empty((len(batch.index), len(names), len(names)))
    masks = {name: batch.masks[name].cpu() for name in names}
    for i, edited in enumerate(names):
        images = method.edit(batch, edited, method.usual)
        squared = color_difference(batch.targets, images).square().cpu().double()
        own = masks[edited]
        for j, name in enumerate(names):
            where = own if name == edited else masks[name] & ~own
            area = where.sum(dim=(1, 2)).double()
            mean = (squared * where).sum(dim=(1, 2)) / area  # (0 / 0 where there is none of it)
            found[:, i, j] = torch.where(own.flatten(1).any(dim=1), mean, torch.nan)
    return found
