"""The part-leak matrix: what else changes when one part is edited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Unpack

import numpy as np
import torch

from lefs.catalog import Catalog
from lefs.evaluation.intervals import Estimate, bootstrap, interval
from lefs.evaluation.masks import chosen_parts
from lefs.evaluation.methods import Method, Settings, by_settings, settings_by_part
from lefs.evaluation.pairs import PairBatch, PairOptions, map_pairs
from lefs.generator import Generator
from lefs.images import color_difference
from lefs.query import QuerySettings
from lefs.showing import Shown
from lefs.tables import Table, Tabular

__all__ = ["PartLeak", "part_leak"]

_USUAL = QuerySettings()


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
    edit = method or by_settings(catalog, settings_by_part(settings, names))
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
