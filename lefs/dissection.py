"""From seeds to a catalog: stream activations → clusters → contributions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from timeit import timeit
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from lefs.activations import Hypercolumns, collect, vector_count
from lefs.catalog import CONTRIBUTIONS, Catalog, Contributions
from lefs.checks import check_choice, check_clusters, check_integer, check_seed
from lefs.clustering import SphericalKMeans, sample_limit
from lefs.effects import by_effect, measure_effects
from lefs.energies import measured, predicted_seconds
from lefs.factorization import Side, factorize
from lefs.generator import Generator, check_generator
from lefs.workers import Checkpoint, Sample
from lefs.workers.checkpoints import Unfinished
from lefs.workers.samples import WorkOptions, batch_bytes

__all__ = ["Estimate", "dissect", "dissect_shard", "divide", "estimate", "remeasure"]

_ITERATIONS = 24  # of a run of k-means, as they come on all vectors of random ones
_once = partial(timeit, number=1)  # seconds that a call takes


def dissect(
    generator: Generator, seeds: Iterable[int], *, clusters: int, layer: str | None = None,
    method: Literal["kmeans", "nmf"] = "kmeans", truncation: float = 1.0, random_state: int = 0,
    n_init: int = 4, max_vectors: int = 65_536, sample_size: int | Literal["auto"] | None = "auto",
    contributions: Contributions | Literal["none"] = "energy", precision: float = 0.025, probes: int = 1,
    **options: Unpack[WorkOptions],
) -> Catalog:  # fmt: skip
    """Find the parts that a generator knows and the channels that make them.

    Two passes over the images, a batch at a time, so that memory does not grow with their number: the first
    collects activation vectors of `layer` (a random, fixed subset once there are more than `max_vectors`, of
    at most 1,024 images, evenly spread) for spherical k-means, or for a non-negative factorisation (Deep
    Feature Factorization), and goes no further than that layer; the second adds up each channel's energy
    inside each cluster, for every layer, in float64. `estimate` says beforehand what it takes.

    Parameters
    ----------
    generator : Generator
    seeds : iterable of int
        The images to look at.
    clusters : int
        K.
    layer : str, optional
        The layer to cluster, or several joined by ``+`` (`Hypercolumns`): ``"b32.conv1+b64.conv1"``; None:
        ``generator.default_layer``.
    method : {"kmeans", "nmf"}
        Clusters divide the positions (`SphericalKMeans`), or soft ones overlap (`lefs.factorization`).
    truncation : float
        ψ of the sample.
    random_state : int
        Seeds the subset and the clustering; the same one gives the same catalog.
    n_init : int
        Runs of k-means, the best of which is kept; a factorisation starts from an SVD, once.
    max_vectors : int
        Most vectors that are clustered at once.
    sample_size : int, "auto" or None
        Of `SphericalKMeans`: how many of them its runs see; None: all, slower and a little better.
    contributions : {"energy", "effect", "standardized", "none"}
        Where a channel is active: shares of its energy, for which the paper assumes maps of unit variance;
        or of maps that are made so (``"standardized"``, a pass more); or where it acts: a pass of backward
        passes (`lefs.by_effect`). Where maps have a mean, as in StyleGAN2, the first two differ. None are
        measured where only memberships are wanted; `remeasure` makes up for it.
    precision : float
        Standard error of the contributions, in the root mean square over a layer, from which on its large
        maps (of 4 million numbers or more) see no more images; `Catalog.errors` are those reached. 0: all.
    probes : int
        Of `lefs.by_effect`, random signs for each image.
    **options
        `progress`, whether to show a bar; `batch_size`, images at a time (any size gives the same
        contributions to 1e-6; None: 16, or fewer where they would take more than 0.5 GiB, 2 GiB on a GPU);
        `executor`, any, such as `lefs.workers.processes`, or a Dask client (the result is the serial one bit
        for bit); `checkpoint`, a folder that keeps what is done, so that the same call goes on from there if
        it was ended.

    Returns
    -------
    Catalog
        Its parts are named ``"cluster 0"``, ``"cluster 1"``, ...

    Raises
    ------
    ValueError, TypeError
        For no seeds, more clusters than vectors, a layer that does not exist or is named twice, and the like.

    Examples
    --------
    >>> import lefs
    >>> catalog = lefs.dissect(lefs.load("portraits-64"), range(8), clusters=5, progress=False)
    >>> len(catalog.parts), catalog.layer
    (5, 'b32.conv1')
    """
    check_generator(generator)
    layer = Hypercolumns.of(generator.default_layer if layer is None else layer, generator.layers).name
    check_choice("method", method, ("kmeans", "nmf"))
    random_state = check_seed("random_state", random_state)
    for name, count in {"clusters": clusters, "n_init": n_init, "probes": probes}.items():
        check_integer(name, count, minimum=1)
    if check_choice("contributions", contributions, (*CONTRIBUTIONS, "none")) == "effect":
        generator.check_styles()
    sample = Sample(generator, seeds, truncation=truncation, **options)
    if clusters > (given := vector_count(sample, layer, max_vectors)):
        raise ValueError(
            f"clusters={clusters} is more than the {given} activation vectors of {len(sample.seeds)} images "
            f"at layer {layer!r}; ask for fewer clusters or give more seeds"
        )
    vectors = collect(sample, layer, max_vectors=max_vectors, random_state=random_state)
    if method == "nmf":
        centers = factorize(vectors, clusters, random_state=random_state)
    else:
        kmeans = SphericalKMeans(clusters, n_init=n_init, sample_size=sample_size, random_state=random_state)
        centers = kmeans.fit(vectors).cluster_centers_
    del vectors  # (a second pass needs the room)
    how: dict[str, Any] = {"random_state": random_state, "n_init": n_init, "max_vectors": max_vectors}
    how["sample_size"] = "all" if sample_size is None else sample_size
    catalog = Catalog.of(sample, layer, centers, method=method, **how)
    if contributions != "effect":
        return measured(sample, catalog, kind=contributions, precision=precision)
    catalog = measured(sample, catalog, kind="none", precision=precision)
    return by_effect(catalog, generator, probes=probes, random_state=random_state, **options)


def remeasure(
    catalog: Catalog, generator: Generator, seeds: Iterable[int] | None = None, *,
    contributions: Literal["energy", "standardized"] = "standardized", precision: float = 0.025,
    **options: Unpack[WorkOptions],
) -> Catalog:  # fmt: skip
    """The same clusters and parts with contributions of another kind, or measured on other images.

    Parameters
    ----------
    catalog, generator : Catalog, Generator
        Must belong together.
    seeds : iterable of int, optional
        The catalog's own sample unless told otherwise, at its truncation.
    contributions, precision : {"energy", "standardized"}, float
        As of `dissect`; `lefs.by_effect` measures the third kind.
    **options
        `batch_size`, `executor`, `checkpoint` and `progress` of `dissect`.

    Returns
    -------
    Catalog

    Examples
    --------
    >>> import lefs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> lefs.dissection.remeasure(catalog, generator, range(4), progress=False).measure
    'standardized'
    """
    catalog.check_generator(generator)
    check_choice("contributions", contributions, ("energy", "standardized"))
    given = catalog.sampling.seeds if seeds is None else seeds
    sample = Sample(generator, given, truncation=catalog.sampling.truncation, **options)
    return measured(sample, catalog, kind=contributions, precision=precision)


def divide(
    catalog: Catalog, generator: Generator, clusters: int | Iterable[int],
    how: Literal["likeness", "x", "y"] = "likeness", *, at: float = 0.5, progress: bool = True,
) -> Catalog:  # fmt: skip
    """Split clusters in two each, by what they look like or by where they lie, and measure again.

    The first halves keep numbers and names; the others are new clusters at the end. By likeness, k-means
    finds two centres for each; by side, both halves keep the centre, and the catalog a rule.

    Parameters
    ----------
    catalog : Catalog
    generator : Generator
        Of the catalog, whose sample is looked at again.
    clusters : int or iterable of int
    how : {"likeness", "x", "y"}
        ``"x"``: the new clusters lie right of `at`; ``"y"``: below it.
    at : float in [0, 1]
        As a share of the picture's width or height.
    progress : bool

    Returns
    -------
    Catalog

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> catalog = lefs.dissect(generator, range(4), clusters=4, progress=False)
    >>> list(lefs.dissection.divide(catalog, generator, 2, "x", progress=False).parts)
    ['cluster 0', 'cluster 1', 'cluster 2', 'cluster 3', 'cluster 4']
    """
    catalog.check_generator(generator)
    check_choice("how", how, ("likeness", "x", "y"))
    chosen = check_clusters([clusters] if isinstance(clusters, int) else clusters)
    chosen = tuple(dict.fromkeys(chosen))  # (one named twice would leave a cluster that is nowhere)
    check_integer("clusters", max(chosen, default=0), maximum=(count := catalog.num_clusters) - 1)
    centers, sides = torch.cat([catalog.centers, catalog.centers[list(chosen)]]), catalog.sides
    if how == "likeness":
        halves = _halves(catalog, generator, chosen, progress)
        centers[list(chosen)], centers[count:] = halves[:, 0], halves[:, 1]
    else:
        sides += tuple(Side(k, count + i, how, at) for i, k in enumerate(chosen))
    blank = torch.zeros(len(centers), *catalog.contributions.shape[1:], dtype=torch.float64)
    parts = {**catalog.parts, **{f"cluster {count + i}": (count + i,) for i in range(len(chosen))}}
    kind: Any = catalog.measure if catalog.measure == "standardized" else "energy"
    whole = replace(
        catalog, centers=centers, contributions=blank, sizes=blank[:, 0].long(), parts=parts, measure=kind,
        sides=sides, errors=None, effects=None, effects_sampling=None, _started={},
    )  # fmt: skip
    precision = catalog.sampling.precision or 0.0
    found = remeasure(whole, generator, contributions=kind, precision=precision, progress=progress)
    if catalog.effects is None:
        return found
    found = measure_effects(found, generator, progress=progress)
    return found.by_effect() if catalog.measure == "effect" else found


def _halves(catalog: Catalog, generator: Generator, clusters: Sequence[int], show: bool) -> Tensor:
    """Two centres for each of these clusters, among the vectors that belong to it: (clusters, 2, C)."""
    own = catalog.sampling
    sample, many = Sample(generator, own.seeds, truncation=own.truncation, progress=show), 65_536
    vectors = collect(sample, catalog.layer, max_vectors=many, random_state=own.random_state)
    if catalog.method == "nmf":
        vectors = vectors.clamp_min(0)
    nearest = (vectors @ catalog.centers.to(vectors).t()).argmax(dim=1)
    halves = catalog.centers.new_zeros(len(clusters), 2, vectors.shape[1])
    for i, k in enumerate(clusters):
        mine = vectors[nearest == k]
        if any(k in rule[:2] for rule in catalog.sides) or len(mine) < 2:
            raise ValueError(f"clusters: {k} is divided by side already, or too small; divide it by side")
        halves[i] = SphericalKMeans(2, random_state=0).fit(mine).cluster_centers_
    return halves


@dataclass(frozen=True)
class Estimate:
    """What a dissection will take, to a quarter or so on a machine that does nothing else.

    Attributes
    ----------
    seconds : float
        On this machine, from the time that one batch took.
    peak_bytes : int
        Most memory at once, beyond what the generator itself takes.
    """

    seconds: float
    peak_bytes: int

    def __str__(self) -> str:
        minutes = self.seconds / 60
        time = f"{self.seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min"
        return f"about {time} and {max(self.peak_bytes / 2**30, 0.1):.1f} GiB"


def estimate(
    generator: Generator, images: int, *, clusters: int, layer: str | None = None, n_init: int = 4,
    batch_size: int | None = None, max_vectors: int = 65_536,
) -> Estimate:  # fmt: skip
    """Time and memory of `dissect` for that many images, from one batch of them; nothing is kept.

    Parameters
    ----------
    generator : Generator
    images : int
        Number of images.
    clusters, layer, n_init, batch_size, max_vectors
        As `dissect` would get them.

    Raises
    ------
    ValueError, TypeError
        For numbers out of range and a layer that does not exist.
    """
    layer = Hypercolumns.of(generator.default_layer if layer is None else layer, generator.layers).name
    for name, number in {"images": images, "clusters": clusters, "n_init": n_init}.items():
        check_integer(name, number, minimum=1)
    sample = Sample(generator, range(images), batch_size=batch_size, progress=False)
    one = Sample(generator, sample.seeds[: sample.batch_size], batch_size=batch_size, progress=False)
    count = vector_count(sample, layer, max_vectors)
    given = min(max_vectors, 1024 * len(one.seeds))
    # (the first call of all is the slow one; a device is waited for by reading a value)
    vectors = collect(one, layer, max_vectors=given, random_state=0)
    first = _once(lambda: float(collect(one, layer, max_vectors=given, random_state=0)[0, 0]))
    centers = normalize(vectors.new_ones(clusters, vectors.shape[1]), dim=1)
    passes = first * len(sample.spread) / len(one.seeds) + predicted_seconds(one, layer, centers, images)
    seconds = passes + _kmeans_seconds(vectors, clusters, count, n_init)
    return Estimate(seconds, _peak_bytes(sample, clusters, count, vectors.shape[1]))


def _kmeans_seconds(like: Tensor, clusters: int, count: int, n_init: int) -> float:
    """What k-means of `count` vectors will take, from one short run over random ones."""
    tried, seen = max(min(count, 8192), clusters), min(count, sample_limit(clusters))
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((tried, like.shape[1]))).to(like)
    kmeans = SphericalKMeans(clusters, n_init=1, max_iter=_ITERATIONS // 4, tol=0, random_state=0)
    run = 4 * _once(lambda: kmeans.fit(rows)) / tried
    return run * (n_init * seen + count / 10)


def _peak_bytes(sample: Sample, clusters: int, count: int, width: int) -> int:
    """The vectors beside a batch, or beside the work of k-means, or a batch with its memberships."""
    together = min(sample.batch_size, len(sample.seeds))
    vectors, seen = 4 * count * width, min(count, sample_limit(clusters))
    kmeans = (4 * seen * width if seen < count else 0) + 40 * count + 150 * seen
    walk = batch_bytes(sample.generator, clusters) * together * 7 // 10  # (of what a batch may take at most)
    return max(vectors + walk, vectors + kmeans)


def dissect_shard(
    generator: Generator, seeds: Iterable[int], shard: tuple[int, int], *, checkpoint: str | os.PathLike[str],
    **options: Any,
) -> int:  # fmt: skip
    """A share of the work of `dissect`, left in a common folder: for clusters without a scheduler of ours.

    When all shards are through, in any order, `dissect` with the same arguments finds everything there.
    Passes over 1,024 images at most, such as that for the vectors, each shard finishes after its share.

    Parameters
    ----------
    generator, seeds, **options
        As `dissect` gets them, and the same for all shards.
    shard : (int, int)
        i and n: which one of how many, counted from 0.
    checkpoint : path
        The folder.

    Returns
    -------
    int
        Chunks of other shards that are not there yet. What has several passes (`precision`, standardised
        contributions, effects) needs what all have found before: call it again until nothing is missing.

    Examples
    --------
    >>> import lefs, tempfile
    >>> from lefs.dissection import dissect_shard
    >>> generator, folder = lefs.load("portraits-64"), tempfile.mkdtemp()
    >>> options = {"clusters": 4, "batch_size": 2, "progress": False}
    >>> [dissect_shard(generator, range(8), (i, 2), checkpoint=folder, **options) for i in (1, 0)]
    [0, 0]
    """
    index, count = shard
    try:
        dissect(generator, seeds, checkpoint=Checkpoint(Path(checkpoint), index, count), **options)
    except Unfinished as left:
        return left.missing
    return 0
