"""What clusters really are: how they agree with true parts, and with each other; what each way explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lefs.activations import Hypercolumns, collect
from lefs.catalog import Catalog
from lefs.checks import check_choice, check_integer, check_seeds
from lefs.evaluation.masks import NamedSegmenter
from lefs.factorization import assign, non_negative_weights
from lefs.generator import Generator
from lefs.images import resample_partition
from lefs.tables import Table
from lefs.workers import Sample
from lefs.workers.progress import track

__all__ = [
    "agreement_table", "agreements", "compare_partitions", "confusion", "explained_share",
    "layers_to_compare", "name_by_truth", "part_stability", "sample_vectors", "stability",
]  # fmt: skip


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
            clusters = resample_partition(membership[i : i + 1], labels.shape[-2])
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
    sample, names = check_seeds(seeds), options["segmenter"].names
    tables = {name: confusion(generator, c, sample, **options) for name, c in catalogs.items()}
    return {name: agreement_table(t, name_by_truth(t, names), names) for name, t in tables.items()}


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
    vectors: Tensor,
    clusters: Iterable[int],
    *,
    seeds: Iterable[int] = range(5),
    n_init: int = 1,
    images: Tensor | np.ndarray | None = None,
) -> dict[int, np.ndarray]:
    """How alike clusterings are, by the adjusted Rand index: of several initialisations, or of two halves.

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    clusters : iterable of int
        The K to try.
    seeds : iterable of int
        Of the initialisations, or of the random divisions.
    n_init : int
        How many initialisations each takes the best of.
    images : Tensor or ndarray of shape (n,), optional
        The image that each vector comes from. With it each half of the images is clustered for itself, and
        what the two make of *all* vectors is compared.

    Returns
    -------
    dict of int to ndarray
        {K: one score for each two initialisations, or for each division}; 1 means the same partition, 0
        chance.

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import stability
    >>> stability(torch.eye(3).repeat(20, 1), [3], seeds=[0, 1], n_init=5)
    {3: array([1.])}
    """
    from sklearn.metrics import adjusted_rand_score  # (takes seconds, and most here cluster nothing)

    from lefs.clustering import SphericalKMeans

    rows, scores, states = torch.as_tensor(vectors), {}, check_seeds(seeds)
    halves = [] if images is None else [_halves(np.asarray(images), len(rows), s) for s in states]
    for count in clusters:
        check_integer("clusters", count, minimum=1)
        kmeans = partial(SphericalKMeans, count, n_init=n_init)
        pairs: Iterable[Any] = (
            [kmeans(random_state=0).fit(rows[h]).predict(rows) for h in two] for two in halves
        )
        if images is None:
            pairs = combinations([kmeans(random_state=s).fit(rows).labels_ for s in states], 2)
        scores[count] = np.array([adjusted_rand_score(*(torch.as_tensor(x).cpu() for x in p)) for p in pairs])
    return scores


def part_stability(
    vectors: Tensor, centers: Tensor, clusters: Iterable[int], *, random_state: int = 1
) -> float:
    """How well another clustering finds a part again: Jaccard's index, in [0, 1] (Hennig 2007, clusterwise).

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    centers : Tensor of shape (K, C), unit norm
        Of a catalog.
    clusters : iterable of int
        The part's.
    random_state : int
        Of the other clustering, into as many clusters; those that lie in the part for the most part, and the
        one that is nearest to it, are taken together.

    Returns
    -------
    float

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation.agreement import part_stability
    >>> part_stability(torch.eye(3).repeat(20, 1), torch.eye(3), [0])
    1.0
    """
    from lefs.clustering import SphericalKMeans  # (here, as in `stability`)

    rows = torch.as_tensor(vectors).float()
    part = torch.isin((rows @ centers.to(rows).t()).argmax(dim=1), rows.new_tensor([*clusters]))
    count = min(len(centers), len(rows))
    labels = SphericalKMeans(count, n_init=1, random_state=random_state).fit(rows).labels_
    hits, sizes = (torch.bincount(x, minlength=count) for x in (labels[part], labels))
    inside = hits * 2 > sizes
    inside[(hits / (sizes + part.sum() - hits).clamp_min(1)).argmax()] = True  # (the nearest one at least)
    again = inside[labels]
    return float((again & part).sum() / (again | part).sum().clamp_min(1))


def _halves(images: np.ndarray, count: int, random_state: int) -> tuple[Tensor, Tensor]:
    """Which vectors are those of one half of the images, and which of the other."""
    names = np.unique(images)
    if images.shape != (count,) or len(names) < 2:
        wanted = f"the image of each of the {count} vectors, at least two in all"
        raise ValueError(f"images must name {wanted}; got shape {images.shape}")
    chosen = np.random.default_rng(random_state).permutation(names)[: len(names) // 2]
    half = torch.from_numpy(np.isin(images, chosen))
    return half, ~half


def sample_vectors(
    generator: Generator,
    seeds: Iterable[int],
    *,
    layer: str,
    truncation: float = 1.0,
    random_state: int = 0,
    batch_size: int | None = None,
    max_vectors: int = 65_536,
) -> Tensor:
    """Activation vectors as `lefs.dissect` clusters them: (n, C); `max_vectors` or one per image.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> lefs.evaluation.sample_vectors(generator, range(4), layer="b16.conv1", max_vectors=100).shape[0]
    100
    """
    sample = Sample(generator, seeds, truncation=truncation, batch_size=batch_size, progress=False)
    return collect(sample, layer, max_vectors=max_vectors, random_state=random_state)


def layers_to_compare(generator: Generator) -> list[str]:
    """Every other convolution whose maps are from 8 to 64 positions wide; the default layer if there is none.

    Returns
    -------
    names of layers, from coarse to fine

    Examples
    --------
    >>> import lefs
    >>> lefs.evaluation.layers_to_compare(lefs.load("portraits-64"))[0]
    'b8.conv1'
    """
    wide = [la.name for la in generator.layers if la.kind == "conv" and 8 <= la.fineness <= 64]
    return wide[::2] or [generator.default_layer]


def compare_partitions(
    generator: Generator,
    seeds: Iterable[int],
    *,
    layers: Iterable[str],
    clusters: Iterable[int],
    show: int = 8,
    truncation: float = 1.0,
    random_state: int = 0,
    max_vectors: int = 16_384,
) -> dict[tuple[str, int], Tensor]:
    """What spherical k-means finds at several layers and for several K, on the same images.

    Returns
    -------
    {(layer, K): membership of the first `show` images, (show, K, h, w)}

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> found = lefs.evaluation.compare_partitions(
    ...     generator, range(4), layers=["b16.conv1"], clusters=[3], show=2, max_vectors=200
    ... )
    >>> found["b16.conv1", 3].shape
    torch.Size([2, 3, 16, 16])
    """
    from lefs.clustering import SphericalKMeans  # (here, as in `stability`)

    sample, counts = check_seeds(seeds), list(clusters)
    styles = generator.sample(sample[:show], truncation=truncation)
    images, found = Sample(generator, sample, truncation=truncation, progress=False), {}
    for layer in layers:
        vectors = collect(images, layer, max_vectors=max_vectors, random_state=random_state)
        with torch.inference_mode():
            maps = Hypercolumns.of(layer, generator.layers).read(generator, styles)
        for count in counts:
            kmeans = SphericalKMeans(count, n_init=2, random_state=random_state).fit(vectors)
            found[layer, count] = assign(maps, kmeans.cluster_centers_)
    return found


def explained_share(vectors: Tensor, centers: Tensor, *, method: str) -> float:
    """How much of the vectors' energy Σ ‖x‖² the parts account for, in [0, 1].

    ``"kmeans"`` replaces each vector by its projection on its centre: Σ ‖x‖² cos². ``"nmf"``, which sees the
    positive parts only, replaces those by their best sum of factors: 1 − Σ ‖x − w H‖² / Σ ‖x‖².

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    centers : Tensor of shape (K, C), unit norm

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import explained_share
    >>> vectors = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    >>> explained_share(vectors, torch.tensor([[0.0, 1.0]]), method="kmeans")
    0.64
    """
    check_choice("method", method, ("kmeans", "nmf"))
    x = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    centers = centers.to(x)
    if method == "nmf":
        x = x.clamp_min(0)
        left = float((x - non_negative_weights(x, centers) @ centers).square().sum())
    else:
        left = float((x.square().sum(dim=1) - (x @ centers.t()).amax(dim=1).square()).sum())
    total = float(x.square().sum())
    return 1 - left / total if total > 0 else 0.0
