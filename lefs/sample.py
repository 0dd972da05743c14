"""A sample of images, looked at a batch at a time: vectors of one layer, energies inside clusters."""

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
from lefs.checks import check_integer, check_number, check_seeds
from lefs.factorization import membership_by
from lefs.generators import Generator, load
from lefs.images import resample_partition
from lefs.progress import track

__all__ = ["Sample"]

_Chunk = tuple[int, list[int]]  # position of the first image in the sample, seeds
# a generator, or how another process gets the same one: file, device, type, fingerprint, usual class
_Source = Generator | tuple[Path, str, torch.dtype, str, int | None]


class Sample:
    """Batches of one sample, in one process or on an executor, always reduced in order."""

    def __init__(
        self,
        generator: Generator,
        seeds: Iterable[int],
        *,
        truncation: float = 1.0,
        batch_size: int = 16,
        executor: Executor | None = None,
        progress: bool = True,
    ):
        self.generator, self.seeds = generator, check_seeds(seeds)
        self.truncation = check_number("truncation", truncation)
        self.executor, self.progress = executor, progress
        check_integer("batch_size", batch_size, minimum=1)
        self._chunks = [(i, self.seeds[i : i + batch_size]) for i in range(0, len(self.seeds), batch_size)]

    def count(self, layer: str, max_vectors: int) -> int:
        """How many vectors `vectors` gives: `max_vectors`, all there are if those are fewer, one per image
        at least.
        """
        return self._per_image(layer, max_vectors) * len(self.seeds)

    def vectors(self, layer: str, *, max_vectors: int, random_state: int) -> Tensor:
        """Activation vectors of one layer, at positions inside the picture drawn once for all: (n, C)."""
        per_image = self._per_image(layer, max_vectors)
        job = partial(_vectors, layer=layer, per_image=per_image, random_state=random_state)
        return torch.cat(list(self._each(job, f"activations of {layer}")))

    def contributions(self, layer: str, centers: Tensor, *, method: str = "kmeans") -> tuple[Tensor, Tensor]:
        """M (Editing in Style, Eq. 1) of every style channel to the clusters of these centres.

        Parameters
        ----------
        layer : the clustered layer
        centers : Tensor of shape (K, C), unit norm
        method : what the centres are, ``"kmeans"`` or ``"nmf"``; see `membership_by`

        Returns
        -------
        M, (K, S) float64, each live channel's shares of energy, 0 for a dead one; and the positions in each
        cluster, (K,) int64: of soft clusters their membership added up over all positions, rounded
        """
        total = torch.zeros(len(centers), self.generator.num_styles, dtype=torch.float64)
        sizes = torch.zeros(len(centers), dtype=torch.float64)
        job = partial(_energy, layer=layer, centers=centers, method=method)
        for energy, count in self._each(job, "contributions"):
            total += energy
            sizes += count
        return _shares(total), sizes.round().long()

    def _per_image(self, layer: str, max_vectors: int) -> int:
        check_integer("max_vectors", max_vectors, minimum=1)
        side = self.generator.layer(layer).resolution - 2 * self.generator.layer(layer).margin
        return max(1, min(side**2, max_vectors // len(self.seeds)))

    def _each(self, job: Callable[..., Any], description: str) -> Iterator[Any]:
        source: _Source = self.generator
        # Threads share the generator; processes read its file once instead of getting it with every batch.
        apart = self.executor is not None and not isinstance(self.executor, ThreadPoolExecutor)
        if apart and self.generator.source is not None:
            it = self.generator
            source = (self.generator.source, str(it.device), it.dtype, it.fingerprint, it.usual_label)
        work = partial(job, source, truncation=self.truncation)
        mapped = (map if self.executor is None else self.executor.map)(work, self._chunks)
        yield from track(mapped, total=len(self._chunks), description=description, show=self.progress)


@lru_cache(maxsize=2)
def _loaded(path: Path, device: str, dtype: torch.dtype, fingerprint: str, label: int | None) -> Generator:
    generator = load(path, device=device, label=label)
    if generator.fingerprint != fingerprint:
        raise ArtifactError(f"{path} has changed since its generator was loaded; load it again, then dissect")
    return generator.to(dtype)


def _styles(source: _Source, seeds: list[int], truncation: float) -> tuple[Generator, Tensor]:
    generator = source if isinstance(source, Generator) else _loaded(*source)
    return generator, generator.sample(seeds, truncation=truncation)


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
    source: _Source, chunk: _Chunk, *, truncation: float, layer: str, centers: Tensor, method: str
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
                membership = membership_by(method)(current.inside(maps), centers)
            if membership is not None:
                for la, a in waiting:
                    energy[:, la.slice] = _energy_by_cluster(a, membership)
                    if la.shift is not None:  # a channel's shift acts where the channel does
                        energy[:, la.shift] = energy[:, la.slice]
                waiting.clear()
    assert membership is not None
    return energy, membership.cpu().sum(dim=(0, 2, 3), dtype=torch.float64)


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
