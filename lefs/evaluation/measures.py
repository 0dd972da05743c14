"""How local an edit is: effect inside a part's mask, leak outside it, localisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_name
from lefs.evaluation.intervals import Estimate, estimate
from lefs.evaluation.masks import Segmenter
from lefs.evaluation.pairs import PairBatch, pair_batches
from lefs.generator import Generator
from lefs.images import colour_difference
from lefs.query import QuerySettings
from lefs.tables import Table

__all__ = ["Locality", "locality", "locality_table", "measure", "random_query", "split_change"]

_Queries = dict[tuple[str, str], Tensor]  # (part, method) → query
_USUAL = QuerySettings()
_BATCH = 16


@dataclass(frozen=True, eq=False)
class Locality:
    """How much an edit changes inside a part's mask and outside it, for each pair.

    Attributes
    ----------
    part, method : what was edited, and how the channels were chosen
    effect : ndarray (n,), mean squared ΔE inside the mask
    leak : ndarray (n,), mean squared ΔE outside the mask
    localisation : ndarray (n,), Σ squared ΔE inside / Σ squared ΔE; NaN where nothing changed
    """

    part: str
    method: str
    effect: np.ndarray
    leak: np.ndarray
    localisation: np.ndarray

    @property
    def ratio(self) -> float:
        """Mean effect / mean leak; 1 for a change that knows nothing of the part."""
        leak = float(self.leak.mean())
        return float(self.effect.mean()) / leak if leak > 0 else float("nan")

    def estimate(self, quantity: str, *, confidence: float = 0.95) -> Estimate:
        """The mean of ``"effect"``, ``"leak"`` or ``"localisation"`` over the pairs, with its interval."""
        check_name("quantity", quantity, ("effect", "leak", "localisation"), what="quantity")
        return estimate(getattr(self, quantity), confidence=confidence)


def measure(target: Tensor, edited: Tensor, mask: Tensor, *, part: str = "", method: str = "") -> Locality:
    """Compare edits with their targets inside and outside a mask.

    Parameters
    ----------
    target, edited : Tensor of shape (n, 3, H, W), in [-1, 1]
    mask : bool Tensor of shape (n, H, W); each must hold some pixels and leave some
    """
    return Locality(part, method, *split_change(colour_difference(target, edited).square(), mask))


def split_change(squared: Tensor, mask: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of squared differences inside and outside each mask, and the share of their sum inside.

    Parameters
    ----------
    squared : Tensor of shape (n, H, W)
    mask : bool Tensor of shape (n, H, W); each must hold some pixels and leave some

    Returns
    -------
    three ndarrays of shape (n,), float64: inside, outside, share (NaN where nothing changed)
    """
    # (Apple's devices have no float64.)
    wide, mask = squared.cpu().double(), mask.bool().cpu()
    inside, area = (wide * mask).sum(dim=(1, 2)), mask.sum(dim=(1, 2)).double()
    outside, rest = (wide * ~mask).sum(dim=(1, 2)), (~mask).sum(dim=(1, 2)).double()
    if bool(((area == 0) | (rest == 0)).any()):
        raise ValueError(
            "mask: each must hold some pixels and leave some; leave out the pairs where the part is absent"
        )
    total = inside + outside
    localisation = torch.where(total > 0, inside / total, torch.nan)
    return (inside / area).numpy(), (outside / rest).numpy(), localisation.numpy()


def random_query(query: Tensor, contribution: Tensor, catalog: Catalog, *, random_state: int) -> Tensor:
    """A query of equal budget that knows nothing of the part.

    In each layer, channels in random order until Σ q (1 − m) is what `query` spends there.

    Parameters
    ----------
    query, contribution : Tensor of shape (S,)
    """
    random, found = np.random.default_rng(random_state), torch.zeros_like(query)
    for layer in catalog.layers:
        weight = 1 - contribution[layer.slice].double()
        budget = float((query[layer.slice].double() * weight).sum())
        order = torch.from_numpy(random.permutation(layer.channels))
        before = weight[order].cumsum(0) - weight[order]
        q = torch.empty_like(weight)
        q[order] = ((budget - before) / weight[order].clamp_min(1e-12)).clamp(0, 1)
        found[layer.slice] = q.to(query)
        if layer.shift is not None and query[layer.shift].any():  # they move with their scales
            found[layer.shift] = found[layer.slice]
    return found


def locality(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    parts: Iterable[str] | None = None,
    settings: QuerySettings | Mapping[str, QuerySettings] = _USUAL,
    truncation: float = 0.7,
    segmenter: Segmenter | None = None,
    random_state: int = 0,
    progress: bool = True,
) -> list[Locality]:
    """Measure the edit of each part over target–reference pairs, beside a random query of equal budget and
    beside global transfer.

    The mask of a part in a pair is where it is in the target or in the reference, widened by one pixel (an
    edit may move its outline). Pairs in which a part is absent are left out for that part.

    Parameters
    ----------
    pairs : seeds (target, reference)
    parts : names of the catalog's parts; all if None
    settings : how channels are chosen, the same for all parts or a table by part
    segmenter : tells where a part is, if it has a part of that name (``.names``); the catalog's own
        membership otherwise

    Returns
    -------
    three `Locality` for each part: methods of `settings`, ``"random"``, ``"global"``; none for a part that
    no pair shows
    """
    names = list(catalog.parts if parts is None else parts)
    queries = _contestants(catalog, names, settings, random_state)
    found: dict[tuple[str, str], list[Locality]] = {}
    batches = pair_batches(
        generator,
        catalog,
        pairs,
        truncation=truncation,
        segmenter=segmenter,
        batch_size=_BATCH,
        description="locality",
        progress=progress,
    )
    for batch in batches:
        for key, piece in _measure_batch(batch, queries):
            found.setdefault(key, []).append(piece)
    return [_joined(pieces) for pieces in found.values()]


def _contestants(
    catalog: Catalog,
    parts: list[str],
    settings: QuerySettings | Mapping[str, QuerySettings],
    random_state: int,
) -> _Queries:
    queries: _Queries = {}
    for part in parts:
        chosen = settings if isinstance(settings, QuerySettings) else settings[part]
        contribution, q = chosen.contribution(catalog, part), chosen.query(catalog, part)
        queries[part, chosen.method] = q
        queries[part, "random"] = random_query(q, contribution, catalog, random_state=random_state)
        queries[part, "global"] = torch.ones_like(q)
    return queries


def _measure_batch(batch: PairBatch, queries: _Queries) -> Iterator[tuple[tuple[str, str], Locality]]:
    """Yield ((part, method), Locality) of one batch of pairs."""
    for (part, method), q in queries.items():
        here = batch.shown(part)
        if bool(here.any()):
            # (a global transfer at full strength is the reference)
            with torch.inference_mode():
                after = batch.references if method == "global" else batch.transferred(q)
            mask = batch.masks[part][here]
            yield (part, method), measure(batch.targets[here], after[here], mask, part=part, method=method)


def _joined(pieces: list[Locality]) -> Locality:
    columns = [np.concatenate([getattr(p, c) for p in pieces]) for c in ("effect", "leak", "localisation")]
    return Locality(pieces[0].part, pieces[0].method, *columns)


def locality_table(measured: Iterable[Locality]) -> Table:
    """Means over the pairs with 95 % bootstrap intervals; effect and leak in mean squared ΔE."""
    rows: list[tuple[str | float, ...]] = []
    for m in measured:
        cells = []
        for quantity in ("effect", "leak"):
            mean, low, high = m.estimate(quantity)
            cells.append(f"{mean:.1f} [{low:.1f}, {high:.1f}]")
        share = m.estimate("localisation").value
        rows.append((m.part, m.method, f"{len(m.effect)}", *cells, m.ratio, share))
    return Table(("part", "method", "pairs", "effect inside", "leak outside", "ratio", "localisation"), rows)
