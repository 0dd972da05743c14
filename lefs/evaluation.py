"""How local an edit is, in numbers: leak, effect, localisation, and what parts really are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
import torch
from scipy.stats import bootstrap
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import max_pool2d, one_hot

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_name, check_number, check_seeds
from lefs.clustering import SphericalKMeans
from lefs.editing import QuerySettings, transfer
from lefs.generators import Generator
from lefs.images import colour_difference, resample_partition
from lefs.progress import track
from lefs.tables import Table

__all__ = [
    "Locality",
    "Segmenter",
    "agreement_table",
    "confusion",
    "locality",
    "locality_table",
    "measure",
    "name_by_truth",
    "random_query",
    "stability",
]

Segmenter = Callable[[Tensor], Tensor]  # images (N, 3, H, W) → labels (N, H, W), int64
_Queries = dict[tuple[str, str], Tensor]  # (part, method) → query


class NamedSegmenter(Protocol):
    """A segmenter that says what its labels mean, such as `PartSegmenter`."""

    @property
    def names(self) -> Sequence[str]:
        """The parts; their positions are the labels."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Images (N, 3, H, W) → labels (N, H, W), int64."""


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

    def interval(self, quantity: str, *, confidence: float = 0.95) -> tuple[float, float]:
        """Bootstrap interval (percentile, 2000 resamples) of the mean of ``"effect"``, ``"leak"`` or
        ``"localisation"``.
        """
        check_name("quantity", quantity, ("effect", "leak", "localisation"), what="quantity")
        check_number("confidence", confidence, minimum=0, maximum=1)
        values = getattr(self, quantity)
        values = values[np.isfinite(values)]
        if len(values) < 2 or np.ptp(values) == 0:
            middle = float(values.mean()) if len(values) else float("nan")
            return middle, middle
        random = np.random.default_rng(0)
        resampled = bootstrap(
            (values,), np.mean, confidence_level=confidence, n_resamples=2000, method="percentile", rng=random
        )
        return float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)


def measure(target: Tensor, edited: Tensor, mask: Tensor, *, part: str = "", method: str = "") -> Locality:
    """Compare edits with their targets inside and outside a mask.

    Parameters
    ----------
    target, edited : Tensor of shape (n, 3, H, W), in [-1, 1]
    mask : bool Tensor of shape (n, H, W); each must hold some pixels and leave some
    """
    # (Apple's devices have no float64.)
    squared, mask = colour_difference(target, edited).cpu().double().square(), mask.bool().cpu()
    inside, area = (squared * mask).sum(dim=(1, 2)), mask.sum(dim=(1, 2)).double()
    total = squared.sum(dim=(1, 2))
    outside, rest = (squared * ~mask).sum(dim=(1, 2)), (~mask).sum(dim=(1, 2)).double()
    if bool(((area == 0) | (rest == 0)).any()):
        raise ValueError(
            "mask: each must hold some pixels and leave some; leave out the pairs where the part is absent"
        )
    localisation = torch.where(total > 0, inside / total, torch.nan)
    return Locality(part, method, *(t.numpy() for t in (inside / area, outside / rest, localisation)))


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
    settings: QuerySettings = _USUAL,
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
    settings : how channels are chosen
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
    batches = [pairs[i : i + _BATCH] for i in range(0, len(check_pairs(pairs)), _BATCH)]
    for batch in track(batches, total=len(batches), description="locality", show=progress):
        for key, piece in _measure_batch(generator, catalog, batch, queries, truncation, segmenter):
            found.setdefault(key, []).append(piece)
    return [_joined(pieces) for pieces in found.values()]


def check_pairs(pairs: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Raise a ValueError unless `pairs` is a non-empty list of two seeds each."""
    if not len(pairs) or any(len(p) != 2 for p in pairs):
        raise ValueError("pairs must be a non-empty list of (target seed, reference seed)")
    for pair in pairs:
        check_seeds(pair, name="pairs")
    return pairs


def _contestants(catalog: Catalog, parts: list[str], settings: QuerySettings, random_state: int) -> _Queries:
    queries: _Queries = {}
    for part in parts:
        q, contribution = settings.query(catalog, part), catalog.contribution(part)
        queries[part, settings.method] = q
        queries[part, "random"] = random_query(q, contribution, catalog, random_state=random_state)
        queries[part, "global"] = torch.ones_like(q)
    return queries


def _measure_batch(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    queries: _Queries,
    truncation: float,
    segmenter: Segmenter | None,
) -> Iterator[tuple[tuple[str, str], Locality]]:
    """Yield ((part, method), Locality) of one batch of pairs."""
    seeds = [list(side) for side in zip(*pairs, strict=True)]
    with torch.inference_mode():
        targets, references = (generator.sample_styles(s, truncation=truncation) for s in seeds)
        before, wanted = generator.synthesize(targets), generator.synthesize(references)
        masks = _union_masks(generator, catalog, [(targets, before), (references, wanted)], segmenter)
        for (part, method), q in queries.items():
            mask = masks[part]
            here = mask.flatten(1).any(dim=1) & ~mask.flatten(1).all(dim=1)
            if not bool(here.any()):
                continue
            # (a global transfer at full strength is the reference)
            edited = transfer(targets, references, q) if method != "global" else references
            after = generator.synthesize(edited) if method != "global" else wanted
            found = measure(before[here], after[here], mask[here], part=part, method=method)
            yield (part, method), found


def _union_masks(
    generator: Generator,
    catalog: Catalog,
    sides: Iterable[tuple[Tensor, Tensor]],
    segmenter: Segmenter | None,
) -> dict[str, Tensor]:
    """Where each part is on either of the (styles, images), widened by a pixel: {part: bool (n, H, W)}."""
    masks: dict[str, Tensor] = {}
    for styles, images in sides:
        found = catalog.part_masks(generator, styles)
        if segmenter is not None:
            labels, known = segmenter(images), list(getattr(segmenter, "names", ()))
            found |= {n: labels == known.index(n) for n in found if n in known}
        for name, mask in found.items():
            masks[name] = mask | masks.get(name, torch.zeros_like(mask))
    return {n: max_pool2d(m[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0 for n, m in masks.items()}


def _joined(pieces: list[Locality]) -> Locality:
    columns = [np.concatenate([getattr(p, c) for p in pieces]) for c in ("effect", "leak", "localisation")]
    return Locality(pieces[0].part, pieces[0].method, *columns)


def confusion(
    generator: Generator,
    catalog: Catalog,
    seeds: Iterable[int],
    *,
    segmenter: NamedSegmenter,
    truncation: float = 1.0,
    progress: bool = True,
) -> np.ndarray:
    """Pixels of each cluster in each true part: (K, P), float64, over the images of `seeds`.

    `segmenter` needs ``.names``, its P parts.
    """
    names = segmenter.names
    sample, table = check_seeds(seeds), np.zeros((catalog.num_clusters, len(names)))
    batches = [sample[i : i + _BATCH] for i in range(0, len(sample), _BATCH)]
    for batch in track(batches, total=len(batches), description="clusters × parts", show=progress):
        styles = generator.sample_styles(batch, truncation=truncation)
        with torch.inference_mode():
            labels = segmenter(generator.synthesize(styles))
        truth = one_hot(labels, len(names)).movedim(-1, 1).cpu().double()
        membership = (
            resample_partition(catalog.membership(generator, styles), labels.shape[-1]).cpu().double()
        )
        table += torch.einsum("nkhw,nphw->kp", membership, truth).numpy()
    return table


def name_by_truth(table: np.ndarray, names: Sequence[str]) -> list[str]:
    """A name for each cluster: the part with the best balance of purity and recall, √(purity · recall).

    Parameters
    ----------
    table : (K, P), of `confusion`
    names : the P parts

    Returns
    -------
    K names; clusters of the same name make one part (`Catalog.named`)
    """
    purity = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    recall = table / np.maximum(table.sum(axis=0, keepdims=True), 1)
    return [names[p] for p in np.sqrt(purity * recall).argmax(axis=1)]


def agreement_table(table: np.ndarray, cluster_names: Sequence[str], names: Sequence[str]) -> Table:
    """How well each named part covers the true part of its name.

    Parameters
    ----------
    table : (K, P), of `confusion`
    cluster_names : the part of each of the K clusters (`Catalog.cluster_names`)
    names : the P true parts

    Returns
    -------
    Table with, for each true part, its share of all pixels; recall (how much of it the part covers), purity
    (how much of the part is it) and their intersection over union; 0 where no cluster bears its name
    """
    rows: list[tuple[str | float, ...]] = []
    for p, name in enumerate(names):
        own = table[[n == name for n in cluster_names]]
        hit, truth = float(own[:, p].sum()), float(table[:, p].sum())
        union = max(float(own.sum()) + truth - hit, 1.0)
        recall, purity = hit / max(truth, 1.0), hit / max(float(own.sum()), 1.0)
        rows.append((name, f"{len(own)}", f"{truth / table.sum():.1%}", recall, purity, hit / union))
    return Table(("true part", "clusters", "share of pixels", "recall", "purity", "IoU"), rows)


def locality_table(measured: Iterable[Locality]) -> Table:
    """Means over the pairs with 95 % bootstrap intervals; effect and leak in mean squared ΔE."""
    rows: list[tuple[str | float, ...]] = []
    for m in measured:
        cells = []
        for quantity in ("effect", "leak"):
            low, high = m.interval(quantity)
            cells.append(f"{getattr(m, quantity).mean():.1f} [{low:.1f}, {high:.1f}]")
        kept = m.localisation[np.isfinite(m.localisation)]
        share = float(kept.mean()) if len(kept) else float("nan")
        rows.append((m.part, m.method, f"{len(m.effect)}", *cells, m.ratio, share))
    return Table(("part", "method", "pairs", "effect inside", "leak outside", "ratio", "localisation"), rows)


def stability(
    vectors: Tensor, clusters: Iterable[int], *, seeds: Iterable[int] = range(5), n_init: int = 1
) -> dict[int, np.ndarray]:
    """How alike clusterings from different initialisations are: adjusted Rand index of every pair of seeds.

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    clusters : the K to try

    Returns
    -------
    {K: ndarray of one score for each pair of seeds}; 1 means the same partition, 0 chance
    """
    scores, states = {}, check_seeds(seeds)
    for count in clusters:
        check_integer("clusters", count, minimum=1)
        fits = [SphericalKMeans(count, n_init=n_init, random_state=s).fit(vectors) for s in states]
        runs = [torch.as_tensor(fit.labels_).cpu() for fit in fits]
        scores[count] = np.array([adjusted_rand_score(a, b) for a, b in combinations(runs, 2)])
    return scores
