"""From seeds to a catalog: stream activations → clusters → contributions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lefs.artifacts import ArtifactError
from lefs.catalog import Catalog, GeneratorId, Sampling, assign
from lefs.checks import check_integer, check_number, check_seeds
from lefs.clustering import SphericalKMeans
from lefs.generators import Generator, load
from lefs.images import resample_partition
from lefs.progress import track

__all__ = ["compare_partitions", "dissect", "sample_vectors"]

_Chunk = tuple[int, list[int]]  # position of the first image in the sample, seeds
# a generator, or how another process gets the same one: file, device, type, fingerprint, usual class
_Source = Generator | tuple[Path, str, torch.dtype, str, int | None]


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
    sample = check_seeds(seeds)
    layer = generator.default_layer if layer is None else generator.layer(layer).name
    check_integer("clusters", clusters, minimum=1)
    check_integer("random_state", random_state, maximum=2**32 - 1)
    check_integer("n_init", n_init, minimum=1)
    per_image = _positions_per_image(generator, layer, len(sample), max_vectors)
    if clusters > per_image * len(sample):
        raise ValueError(
            f"clusters={clusters} is more than the {per_image * len(sample)} activation vectors of "
            f"{len(sample)} images at layer {layer!r}; ask for fewer clusters or give more seeds"
        )
    look = _Look(generator, sample, truncation, batch_size, executor, progress)
    vectors = look.vectors(layer, per_image, random_state)
    kmeans = SphericalKMeans(clusters, n_init=n_init, random_state=random_state).fit(vectors)
    energy, sizes = look.energy(layer, kmeans.cluster_centers_)
    return Catalog(
        centers=kmeans.cluster_centers_.float().cpu(),
        layer=layer,
        contributions=_shares(energy),
        sizes=sizes,
        layers=generator.layers,
        parts={f"cluster {k}": (k,) for k in range(clusters)},
        generator=GeneratorId(generator.fingerprint, generator.label),
        sampling=Sampling(tuple(sample), float(truncation), int(random_state)),
    )


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
    sample, layer = check_seeds(seeds), generator.layer(layer).name
    look = _Look(generator, sample, truncation, batch_size, None, progress=False)
    return look.vectors(layer, _positions_per_image(generator, layer, len(sample), max_vectors), random_state)


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


class _Look:
    """Batches of one sample, in one process or on an executor, always reduced in order."""

    def __init__(self, generator: Generator, seeds: list[int], truncation: float, batch_size: int,
                 executor: Executor | None, progress: bool):  # fmt: skip
        self.generator, self.truncation = generator, check_number("truncation", truncation)
        self.executor, self.progress = executor, progress
        check_integer("batch_size", batch_size, minimum=1)
        self.chunks = [(i, seeds[i : i + batch_size]) for i in range(0, len(seeds), batch_size)]

    def vectors(self, layer: str, per_image: int, random_state: int) -> Tensor:
        job = partial(_vectors, layer=layer, per_image=per_image, random_state=random_state)
        return torch.cat(list(self._each(job, f"activations of {layer}")))

    def energy(self, layer: str, centers: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.zeros(len(centers), self.generator.num_styles, dtype=torch.float64)
        sizes = torch.zeros(len(centers), dtype=torch.int64)
        job = partial(_energy, layer=layer, centers=centers)
        for energy, count in self._each(job, "contributions"):
            total += energy
            sizes += count
        return total, sizes

    def _each(self, job: Callable[..., Any], description: str) -> Iterator[Any]:
        source: _Source = self.generator
        # Threads share the generator; processes read its file once instead of getting it with every batch.
        apart = self.executor is not None and not isinstance(self.executor, ThreadPoolExecutor)
        if apart and self.generator.source is not None:
            it = self.generator
            source = (self.generator.source, str(it.device), it.dtype, it.fingerprint, it.usual_label)
        work = partial(job, source, truncation=self.truncation)
        mapped = (map if self.executor is None else self.executor.map)(work, self.chunks)
        yield from track(mapped, total=len(self.chunks), description=description, show=self.progress)


@lru_cache(maxsize=2)
def _loaded(path: Path, device: str, dtype: torch.dtype, fingerprint: str, label: int | None) -> Generator:
    generator = load(path, device=device, label=label)
    if generator.fingerprint != fingerprint:
        raise ArtifactError(f"{path} has changed since its generator was loaded; load it again, then dissect")
    return generator.to(dtype)


def _styles(source: _Source, seeds: list[int], truncation: float) -> tuple[Generator, Tensor]:
    generator = source if isinstance(source, Generator) else _loaded(*source)
    return generator, generator.sample(seeds, truncation=truncation)


def _positions_per_image(generator: Generator, layer: str, images: int, max_vectors: int) -> int:
    check_integer("max_vectors", max_vectors, minimum=1)
    side = generator.layer(layer).resolution - 2 * generator.layer(layer).margin
    return max(1, min(side**2, max_vectors // images))


def _vectors(
    source: _Source, chunk: _Chunk, *, truncation: float, layer: str, per_image: int, random_state: int
) -> Tensor:
    """Activation vectors at random positions; which ones depends on the image alone, not on its batch."""
    start, seeds = chunk
    generator, styles = _styles(source, seeds, truncation)
    with torch.inference_mode():
        maps = generator.layer(layer).inside(generator.record(styles, layer)[layer])
    maps_nlc = maps.flatten(2).movedim(1, 2)
    rows = []
    for i, vectors_lc in enumerate(maps_nlc):
        if per_image < len(vectors_lc):
            random = np.random.default_rng([random_state, start + i])
            chosen = np.sort(random.choice(len(vectors_lc), per_image, replace=False))
            vectors_lc = vectors_lc[torch.from_numpy(chosen).to(vectors_lc.device)]
        rows.append(vectors_lc)
    # A clone made outside inference mode is an ordinary tensor; half precision is too little to cluster.
    vectors = torch.cat(rows).clone()
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))


def _energy(
    source: _Source, chunk: _Chunk, *, truncation: float, layer: str, centers: Tensor
) -> tuple[Tensor, Tensor]:
    """Σ A² ⊙ U over one batch, for every layer: (K, S) float64; and positions per cluster, (K,)."""
    generator, styles = _styles(source, chunk[1], truncation)
    energy = torch.zeros(len(centers), generator.num_styles, dtype=torch.float64)
    membership: Tensor | None = None
    waiting = []  # layers before the clustered one, which are smaller
    with torch.inference_mode():
        for current, maps in generator.activations(styles):
            # (margins differ from layer to layer, what lies inside the picture fits)
            waiting.append((current, current.inside(maps)))
            if current.name == layer:
                membership = assign(current.inside(maps), centers)
            if membership is not None:
                for la, a in waiting:
                    energy[:, la.slice] = _energy_by_cluster(a, membership)
                    if la.shift is not None:  # a channel's shift acts where the channel does
                        energy[:, la.shift] = energy[:, la.slice]
                waiting.clear()
    assert membership is not None
    return energy, membership.sum(dim=(0, 2, 3), dtype=torch.int64).cpu()


def _energy_by_cluster(maps: Tensor, membership: Tensor) -> Tensor:
    """Σ_{n,h,w} A² ⊙ U: one matrix product per image, added up in float64: (K, C), on the CPU."""
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    resampled = resample_partition(membership, maps.shape[-1]).flatten(2).to(maps)
    # (Apple's devices have no float64.)
    return torch.bmm(resampled, maps.square().flatten(2).movedim(1, 2)).cpu().sum(dim=0, dtype=torch.float64)


def _shares(energy: Tensor) -> Tensor:
    """M = energy in a cluster / energy altogether (Editing in Style, Eq. 1); a dead channel gets 0."""
    total = energy.sum(dim=0)
    return torch.where(total > 0, energy / total.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
