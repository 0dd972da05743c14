"""The part-leak matrix: what else changes when one part is edited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lefs.catalog import Catalog
from lefs.checks import check_name
from lefs.evaluation.contestants import Contestant
from lefs.evaluation.intervals import Estimate, bootstrap, estimate, interval
from lefs.evaluation.masks import Segmenter
from lefs.evaluation.pairs import PairBatch, pair_batches
from lefs.generator import Generator
from lefs.images import colour_difference
from lefs.query import QuerySettings

__all__ = ["PartLeak", "part_leak"]

_USUAL = QuerySettings()


@dataclass(frozen=True, eq=False)
class PartLeak:
    """What editing each part changes in every part, for each pair.

    Attributes
    ----------
    parts : P names
    change : ndarray (n, P, P), mean squared ΔE in part j (where part i is not) when part i is edited; NaN
        where a pair does not show both
    """

    parts: tuple[str, ...]
    change: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """Means over the pairs: (P, P), row = edited, column = measured; NaN where no pair shows both."""
        return _means(np.ones((1, len(self.change))), self.change)[0]

    @property
    def interference(self) -> float:
        """The off-diagonal share of the matrix: 0 if every edit keeps to its part."""
        return float(_off_diagonal_share(np.ones((1, len(self.change))), self.change)[0])

    @property
    def shares(self) -> np.ndarray:
        """Each row of the matrix as shares that sum to 1: where the change of an edit lies, part by part."""
        known = np.nan_to_num(self.matrix)
        total = known.sum(axis=1, keepdims=True)
        return np.divide(known, total, out=np.zeros_like(known), where=total > 0)

    def estimate(self) -> Estimate:
        """The interference with its 95 % bootstrap interval over the pairs."""
        return interval(bootstrap(_off_diagonal_share, self.change))

    def entry(self, edited: str, measured: str) -> Estimate:
        """One entry of the matrix with its interval."""
        i, j = (self.parts.index(check_name("part", n, self.parts, what="part")) for n in (edited, measured))
        return estimate(self.change[:, i, j])


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
    settings: QuerySettings | Mapping[str, QuerySettings] = _USUAL,
    contestant: Contestant | None = None,
    truncation: float = 0.7,
    segmenter: Segmenter | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> PartLeak:
    """Edit each part of the same pairs and measure the change in every part.

    Parameters
    ----------
    pairs : seeds (target, reference)
    parts : names of the catalog's parts; all if None
    settings : how channels are chosen, the same for all parts or a table by part
    contestant : another method, at its usual value, in place of `settings`
    segmenter : tells where a part is; the catalog's own membership otherwise
    """
    names = tuple(catalog.parts if parts is None else parts)
    for name in names:
        check_name("parts", name, list(catalog.parts), what="part")
    queries = {}
    if contestant is None:
        by_part = {n: settings if isinstance(settings, QuerySettings) else settings[n] for n in names}
        queries = {n: by_part[n].query(catalog, n) for n in names}
    batches = pair_batches(
        generator,
        catalog,
        pairs,
        truncation=truncation,
        segmenter=segmenter,
        batch_size=batch_size,
        description="part-leak matrix",
        progress=progress,
    )
    rows = []
    for batch in batches:
        with torch.inference_mode():
            edits = {
                n: batch.transferred(queries[n])
                if contestant is None
                else contestant.edit(batch, n, contestant.usual)
                for n in names
            }
            rows.append(np.stack([_row(batch, names, n, edits[n]) for n in names], axis=1))
    return PartLeak(names, np.concatenate(rows))


def _row(batch: PairBatch, names: Sequence[str], edited: str, images: torch.Tensor) -> np.ndarray:
    """Mean squared ΔE in each part when one is edited: (n, P)."""
    squared = colour_difference(batch.targets, images).square().cpu().double()
    own = batch.masks[edited].cpu()
    columns = []
    for name in names:
        where = own if name == edited else batch.masks[name].cpu() & ~own
        area = where.sum(dim=(1, 2)).double()
        mean = (squared * where).sum(dim=(1, 2)) / area  # (0 / 0 where there is none of it)
        columns.append(torch.where(own.flatten(1).any(dim=1), mean, torch.nan).numpy())
    return np.stack(columns, axis=1)
