"""From seeds to a catalog: stream activations → clusters → contributions."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from typing import Any, Literal

import torch
from torch import Tensor

from lefs.catalog import Catalog, GeneratorId, Sampling
from lefs.checks import check_choice, check_integer, check_seeds
from lefs.clustering import SphericalKMeans, assign
from lefs.effects import by_effect
from lefs.generators import Generator
from lefs.sample import Sample

__all__ = ["compare_partitions", "dissect", "sample_vectors"]


def dissect(
    generator: Generator,
    seeds: Iterable[int],
    *,
    clusters: int,
    layer: str | None = None,
    truncation: float = 1.0,
    random_state: int = 0,
    n_init: int = 4,
    batch_size: int = 16,
    max_vectors: int = 65_536,
    contributions: Literal["energy", "effect"] = "energy",
    probes: int = 1,
    progress: bool = True,
    executor: Executor | None = None,
) -> Catalog:
    """Find the parts that a generator knows and the channels that make them.

    Two passes over the images, a batch at a time, so that memory does not grow with their number: the first
    collects activation vectors of `layer` (a random, fixed subset once there are more than `max_vectors`) for
    spherical k-means; the second adds up each channel's energy inside each cluster, for every layer, in
    float64.

    Parameters
    ----------
    generator : Generator
    seeds : the images to look at
    clusters : K
    layer : the layer to cluster; ``generator.default_layer`` if None
    truncation : ψ of the sample
    random_state : seeds the subset and the clustering; the same one gives the same catalog
    n_init : runs of k-means, the best of which is kept
    batch_size : images at a time; any size gives the same contributions to 1e-6
    max_vectors : most vectors that are clustered at once
    contributions : ``"energy"``, where a channel is active (the paper's M), or ``"effect"``, where it acts:
        a third pass, of backward passes (`lefs.effects.by_effect`)
    probes : of `by_effect`, random signs for each image
    progress : show a bar
    executor : any `concurrent.futures.Executor`; the result is the serial one bit for bit

    Returns
    -------
    Catalog, its parts named ``"cluster 0"``, ``"cluster 1"``, ...

    Raises
    ------
    ValueError, TypeError, KeyError
        For an empty seed list, more clusters than vectors, a layer that does not exist, and the like.
    """
    layer = generator.default_layer if layer is None else generator.layer(layer).name
    check_integer("clusters", clusters, minimum=1)
    check_integer("random_state", random_state, maximum=2**32 - 1)
    check_integer("n_init", n_init, minimum=1)
    if check_choice("contributions", contributions, ("energy", "effect")) == "effect":
        generator.check_styles()
    check_integer("probes", probes, minimum=1)
    sample = Sample(
        generator, seeds, truncation=truncation, batch_size=batch_size, executor=executor, progress=progress
    )
    count = sample.count(layer, max_vectors)
    if clusters > count:
        raise ValueError(
            f"clusters={clusters} is more than the {count} activation vectors of {len(sample.seeds)} images "
            f"at layer {layer!r}; ask for fewer clusters or give more seeds"
        )
    vectors = sample.vectors(layer, max_vectors=max_vectors, random_state=random_state)
    kmeans = SphericalKMeans(clusters, n_init=n_init, random_state=random_state).fit(vectors)
    energy, sizes = sample.contributions(layer, kmeans.cluster_centers_)
    catalog = Catalog(
        centers=kmeans.cluster_centers_.float().cpu(),
        layer=layer,
        contributions=energy,
        sizes=sizes,
        layers=generator.layers,
        parts={f"cluster {k}": (k,) for k in range(clusters)},
        generator=GeneratorId.of(generator),
        sampling=Sampling.of(generator, sample.seeds, truncation=truncation, random_state=random_state),
    )
    if contributions == "energy":
        return catalog
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress, "executor": executor}
    return by_effect(catalog, generator, probes=probes, random_state=random_state, **options)


def sample_vectors(
    generator: Generator,
    seeds: Iterable[int],
    *,
    layer: str,
    truncation: float = 1.0,
    random_state: int = 0,
    batch_size: int = 16,
    max_vectors: int = 65_536,
) -> Tensor:
    """Activation vectors of one layer, as `dissect` clusters them: (n, C); `max_vectors` or one per image."""
    sample = Sample(generator, seeds, truncation=truncation, batch_size=batch_size, progress=False)
    return sample.vectors(generator.layer(layer).name, max_vectors=max_vectors, random_state=random_state)


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
    """
    sample, counts = check_seeds(seeds), list(clusters)
    styles = generator.sample(sample[:show], truncation=truncation)
    options: dict[str, Any] = {
        "truncation": truncation,
        "random_state": random_state,
        "max_vectors": max_vectors,
    }
    found = {}
    for layer in layers:
        vectors = sample_vectors(generator, sample, layer=layer, **options)
        with torch.inference_mode():
            maps = generator.layer(layer).inside(generator.record(styles, layer)[layer])
        for count in counts:
            kmeans = SphericalKMeans(count, n_init=2, random_state=random_state).fit(vectors)
            found[layer, count] = assign(maps, kmeans.cluster_centers_)
    return found
