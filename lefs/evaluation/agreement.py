"""What clusters really are: their agreement with true parts, and with each other over seeds and samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch.nn.functional import one_hot

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_seeds
from lefs.clustering import SphericalKMeans
from lefs.evaluation.masks import NamedSegmenter
from lefs.generator import Generator
from lefs.images import resample_partition
from lefs.progress import track
from lefs.tables import Table

__all__ = ["agreement_table", "agreements", "confusion", "name_by_truth", "stability", "stability_of_halves"]


def confusion(
    generator: Generator,
    catalog: Catalog,
    seeds: Iterable[int],
    *,
    segmenter: NamedSegmenter,
    truncation: float = 1.0,
    batch_size: int = 16,
    progress: bool = True,
) -> np.ndarray:
    """Pixels of each cluster in each true part, over some images.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
    seeds : iterable of int
        The images.
    segmenter : callable with ``.names``
        Knows the P true parts.
    truncation : float
        ψ.
    batch_size : int
        Images at a time.
    progress : bool
        Show a bar.

    Returns
    -------
    ndarray of shape (K, P), float64

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import confusion
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> judge = lefs.load_segmenter("portraits-64")
    >>> float(confusion(generator, catalog, range(2), segmenter=judge, progress=False).sum())
    8192.0
    """
    names = segmenter.names
    sample, table = check_seeds(seeds), np.zeros((catalog.num_clusters, len(names)))
    starts = range(0, len(sample), check_integer("batch_size", batch_size, minimum=1))
    for start in track(starts, total=len(starts), description="clusters × parts", show=progress):
        styles = generator.sample_styles(sample[start : start + batch_size], truncation=truncation)
        with torch.inference_mode():
            labels = segmenter(generator.synthesize(styles))
        truth = one_hot(labels.flatten(1), len(names)).cpu().double()
        membership = catalog.membership(generator, styles).cpu()
        # One image after the other: hundreds of clusters at full size take a lot of memory.
        for i, parts in enumerate(truth):
            clusters = resample_partition(membership[i : i + 1], labels.shape[-1])
            table += (clusters.flatten(2)[0].double() @ parts).numpy()
    return table


def name_by_truth(table: np.ndarray, names: Sequence[str]) -> list[str]:
    """A name for each cluster: the part with the best balance of purity and recall, √(purity · recall).

    Parameters
    ----------
    table : ndarray of shape (K, P)
        Of `confusion`.
    names : sequence of str
        The P parts.

    Returns
    -------
    list of str
        K names; clusters of the same name make one part (`Catalog.named`).

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import name_by_truth
    >>> name_by_truth(np.array([[90.0, 10.0], [5.0, 80.0]]), ["hair", "skin"])
    ['hair', 'skin']
    """
    purity = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    recall = table / np.maximum(table.sum(axis=0, keepdims=True), 1)
    return [names[p] for p in np.sqrt(purity * recall).argmax(axis=1)]


def agreements(
    generator: Generator, catalogs: Mapping[str, Catalog], seeds: Iterable[int], **options: Any
) -> dict[str, Table]:
    """The `agreement_table` of each catalog, its clusters named after the truth (`name_by_truth`).

    Parameters
    ----------
    generator : Generator
    catalogs : mapping of str to Catalog
        Several ways to divide what one generator makes.
    seeds, **options
        As of `confusion`, which needs a ``segmenter``.

    Returns
    -------
    dict of str to Table
        By the names of `catalogs`.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import agreements
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> judge = lefs.load_segmenter("portraits-64")
    >>> list(agreements(generator, {"shipped": catalog}, range(2), segmenter=judge, progress=False))
    ['shipped']
    """
    sample, found, names = check_seeds(seeds), {}, options["segmenter"].names
    for name, catalog in catalogs.items():
        table = confusion(generator, catalog, sample, **options)
        found[name] = agreement_table(table, name_by_truth(table, names), names)
    return found


def agreement_table(table: np.ndarray, cluster_names: Sequence[str], names: Sequence[str]) -> Table:
    """How well each named part covers the true part of its name.

    Parameters
    ----------
    table : ndarray of shape (K, P)
        Of `confusion`.
    cluster_names : sequence of str
        The part of each of the K clusters (`Catalog.cluster_names`).
    names : sequence of str
        The P true parts.

    Returns
    -------
    Table
        For each true part its share of all pixels; recall (how much of it the part covers), purity (how much
        of the part is it) and their intersection over union; 0 where no cluster bears its name.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import agreement_table
    >>> agreement_table(np.array([[90.0, 10.0], [0.0, 100.0]]), ["hair", "skin"], ["hair", "skin"]).rows[0]
    ('hair', '1', '45.0%', 1.0, 0.9, 0.9)
    """
    rows: list[tuple[str | float, ...]] = []
    for p, name in enumerate(names):
        own = table[[n == name for n in cluster_names]]
        hit, truth = float(own[:, p].sum()), float(table[:, p].sum())
        union = max(float(own.sum()) + truth - hit, 1.0)
        recall, purity = hit / max(truth, 1.0), hit / max(float(own.sum()), 1.0)
        rows.append((name, f"{len(own)}", f"{truth / table.sum():.1%}", recall, purity, hit / union))
    return Table(("true part", "clusters", "share of pixels", "recall", "purity", "IoU"), rows)


def stability(
    vectors: Tensor, clusters: Iterable[int], *, seeds: Iterable[int] = range(5), n_init: int = 1
) -> dict[int, np.ndarray]:
    """How alike clusterings from different initialisations are: adjusted Rand index of every pair of seeds.

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    clusters : iterable of int
        The K to try.
    seeds : iterable of int
        Of the initialisations.
    n_init : int
        How many each takes the best of.

    Returns
    -------
    dict of int to ndarray
        {K: one score for each pair of seeds}; 1 means the same partition, 0 chance.

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import stability
    >>> stability(torch.eye(3).repeat(20, 1), [3], seeds=[0, 1], n_init=5)
    {3: array([1.])}
    """
    scores, states = {}, check_seeds(seeds)
    for count in clusters:
        check_integer("clusters", count, minimum=1)
        fits = [SphericalKMeans(count, n_init=n_init, random_state=s).fit(vectors) for s in states]
        runs = [torch.as_tensor(fit.labels_).cpu() for fit in fits]
        scores[count] = np.array([adjusted_rand_score(a, b) for a, b in combinations(runs, 2)])
    return scores


def stability_of_halves(
    vectors: Tensor,
    clusters: Iterable[int],
    *,
    images: Tensor | np.ndarray | None = None,
    repeats: int = 5,
    n_init: int = 1,
) -> dict[int, np.ndarray]:
    """How alike the clusterings of two halves of a sample are: each half is clustered for itself, and the
    adjusted Rand index compares what the two make of *all* vectors.

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    clusters : iterable of int
        The K to try.
    images : Tensor or ndarray of shape (n,), optional
        The image that each vector comes from, whose vectors then stay in one half; by default every vector
        stands for itself.
    repeats : int
        How many random divisions.
    n_init : int
        Of each clustering.

    Returns
    -------
    dict of int to ndarray
        {K: one score for each division}; 1 means that the clusters do not depend on the sample.

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import stability_of_halves
    >>> stability_of_halves(torch.eye(3).repeat(20, 1), [3], repeats=1, n_init=5)
    {3: array([1.])}
    """
    rows = torch.as_tensor(vectors)
    groups = np.arange(len(rows)) if images is None else np.asarray(images)
    if groups.shape != (len(rows),) or len(np.unique(groups)) < 2:
        wanted = f"the image of each of the {len(rows)} vectors, at least two in all"
        raise ValueError(f"images must name {wanted}; got shape {groups.shape}")
    sides = [_half(groups, r) for r in range(check_integer("repeats", repeats, minimum=1))]
    scores = {}
    for count in clusters:
        check_integer("clusters", count, minimum=1)
        found = [[_labels_by(rows, m, count, n_init) for m in (side, ~side)] for side in sides]
        scores[count] = np.array([adjusted_rand_score(a, b) for a, b in found])
    return scores


def _half(groups: np.ndarray, random_state: int) -> np.ndarray:
    names = np.unique(groups)
    chosen = np.random.default_rng(random_state).permutation(names)[: len(names) // 2]
    return np.isin(groups, chosen)


def _labels_by(rows: Tensor, half: np.ndarray, count: int, n_init: int) -> np.ndarray:
    """The cluster of every vector by the centres of one half of them."""
    mine = rows[torch.from_numpy(half).to(rows.device)]
    fit = SphericalKMeans(count, n_init=n_init, random_state=0).fit(mine)
    return torch.as_tensor(fit.predict(rows)).cpu().numpy()
