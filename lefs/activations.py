"""What a generator does inside, a batch of images at a time: activation vectors, energies inside clusters.

`Hypercolumns` are the vectors over each position of a picture; a `Sample` streams them through memory.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from lefs.checks import Label, Seeds, check_integer, check_name, check_number, check_seeds
from lefs.factorization import membership_by
from lefs.generator import Generator
from lefs.images import resample_partition
from lefs.progress import track
from lefs.records import ArtifactError
from lefs.stylespace import StyleLayer
from lefs.synthesis import Stop

__all__ = ["Batch", "Hypercolumns", "Sample", "Source", "batch_bytes", "default_batch", "shares"]

# Images that the vectors come from, at most: more add little to where the centres are, and cost a pass.
_IMAGES = 1024
_PROCESS = os.getpid()  # that this module was imported in; another one is its fork
_BATCH = 16  # images in a batch, at most
# Bytes that a batch may take: on a processor larger ones are no faster, other devices want to be kept busy.
_BUDGET, _BUDGET_ELSEWHERE = 2**29, 2**31
_COPIES = 5  # of the largest maps that a synthesis holds at once: scaled, convolved, filtered, sums
_STRIP = 2**20  # squares that are formed at once: enough for a matrix product, few enough for the cache

Batch = Sequence[tuple[int, int]]  # position in the sample and seed of each image
Job = Callable[..., Any]  # of a generator, what it makes a batch of images from, and the batch
# a generator, or how another process gets the same one: file, device, type, fingerprint, default class
Source = Generator | tuple[Path, str, torch.dtype, str, Label | None]


@dataclass(frozen=True)
class Hypercolumns:
    """The vectors over each position of the picture: of one layer, or of several (Hariharan et al., 2015).

    Of several layers, ``"b64.conv0+b64.conv1"``, the coarser maps are enlarged to the finest (bilinearly),
    and each layer's vector has its length taken away before they are joined, so that none outweighs the
    others: the cosine of two joined vectors is the mean of the layers' cosines. Coarse layers know better
    what a position belongs to, fine ones where it ends.

    Attributes
    ----------
    layers : tuple of StyleLayer
        In the generator's order.
    """

    layers: tuple[StyleLayer, ...]

    @classmethod
    def of(cls, name: str, layers: Sequence[StyleLayer]) -> Hypercolumns:
        """Those of a layer of the table `layers`, or of several whose names are joined by ``+``.

        Raises
        ------
        ValueError
            For a name that the table does not have (those it has are listed), or one that is named twice.
        """
        table = {layer.name: layer for layer in layers}
        names = [check_name("layer", one.strip(), table, what="style layer") for one in str(name).split("+")]
        if len(set(names)) < len(names):
            raise ValueError(f"layer must name each layer once, got {name!r}")
        return cls(tuple(layer for layer in layers if layer.name in names))

    @property
    def name(self) -> str:
        """The layers' names, joined by ``+``."""
        return "+".join(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names."""
        return tuple(layer.name for layer in self.layers)

    @property
    def channels(self) -> int:
        """C, of all layers together."""
        return sum(layer.channels for layer in self.layers)

    @property
    def side(self) -> int:
        """Positions across the picture: those of the finest layer, without its margin."""
        return max(layer.side for layer in self.layers)

    def join(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The vectors, inside the picture, from the layers' maps by name: (N, C, side, side).

        Those of a single layer are its own; joined ones are float32 or wider, each layer's of unit norm
        (zero where it is silent).
        """
        inside = [layer.inside(maps[layer.name]) for layer in self.layers]
        return inside[0] if len(inside) == 1 else torch.cat([self._unit(x) for x in inside], dim=1)

    def _unit(self, maps: Tensor) -> Tensor:
        wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
        if wide.shape[-1] != self.side:
            wide = interpolate(wide, size=(self.side, self.side), mode="bilinear", align_corners=False)
        return normalize(wide, dim=1)

    def read(self, generator: Generator, styles: Tensor) -> Tensor:
        """The vectors of these styles' images: (N, C, side, side)."""
        return self.join(generator.record(styles, self.names))


class Sample:
    """Batches of one sample, in one process or on an executor, always reduced in order.

    Parameters
    ----------
    generator : Generator
    seeds : iterable of int
        One for each image.
    truncation : float
        ψ of the images.
    batch_size : int, optional
        Images at a time; None: `default_batch`.
    executor : concurrent.futures.Executor, optional
        Any. Threads share the generator, other processes read its file once.
    progress : bool
        Show a bar.
    """

    def __init__(
        self,
        generator: Generator,
        seeds: Seeds,
        *,
        truncation: float = 1.0,
        batch_size: int | None = None,
        executor: Executor | None = None,
        progress: bool = True,
    ):
        self.generator, self.seeds = generator, check_seeds(seeds)
        self.truncation = check_number("truncation", truncation)
        self.executor, self.progress = executor, progress
        size = default_batch(generator) if batch_size is None else batch_size
        self.batch_size = check_integer("batch_size", size, minimum=1)
        # positions of the images that give vectors
        count = len(self.seeds)
        self.spread = range(count) if count <= _IMAGES else [i * count // _IMAGES for i in range(_IMAGES)]

    def count(self, layer: str, max_vectors: int) -> int:
        """How many vectors `vectors` gives: `max_vectors`, or all there are in the images that it looks at if
        those are fewer; one per image at least.
        """
        return self._per_image(layer, max_vectors) * len(self.spread)

    def vectors(self, layer: str, *, max_vectors: int, random_state: int) -> Tensor:
        """Activation vectors of a layer, at positions inside the picture drawn once for all: (n, C).

        Of more than 1,024 images, that many are looked at, evenly spread.
        """
        per_image = self._per_image(layer, max_vectors)
        job = partial(_vectors, layer=layer, per_image=per_image, random_state=random_state)
        found: Tensor | None = None
        start = 0
        for rows in self.each(job, f"activations of {layer}", self.spread):
            if found is None:  # filled as they come: two copies are never held
                found = rows.new_empty(self.count(layer, max_vectors), rows.shape[1])
            found[start : start + len(rows)] = rows
            start += len(rows)
        assert found is not None
        return found

    def contributions(
        self, layer: str, centers: Tensor, *, method: str = "kmeans", standardized: bool = False
    ) -> tuple[Tensor, Tensor]:
        """M (Editing in Style, Eq. 1) of every style channel to the clusters of these centres.

        Parameters
        ----------
        layer : str
            The clustered layer, or several joined by ``+``.
        centers : Tensor of shape (K, C), unit norm
        method : {"kmeans", "nmf"}
            What the centres are; see `membership_by`.
        standardized : bool
            Of maps less their channel's mean over the sample, which another pass finds: then energy is
            variance, as Eq. 1 has it (where its size cancels).

        Returns
        -------
        contributions : Tensor of shape (K, S), float64
            Each live channel's shares of energy, 0 for a dead one.
        sizes : Tensor of shape (K,), int64
            Positions in each cluster; of soft clusters their membership added up over all positions, rounded.
        """
        total = torch.zeros(len(centers), self.generator.num_styles, dtype=torch.float64)
        sizes = torch.zeros(len(centers), dtype=torch.float64)
        means: Tensor | None = None
        if standardized:
            of_all = len(self.seeds)
            means = torch.stack([found / of_all for found in self.each(_means, "means")]).sum(dim=0)
        job = partial(_energy, layer=layer, centers=centers, method=method, means=means)
        for energy, count in self.each(job, "contributions"):
            total += energy
            sizes += count
        return shares(total), sizes.round().long()

    def _per_image(self, layer: str, max_vectors: int) -> int:
        check_integer("max_vectors", max_vectors, minimum=1)
        side = Hypercolumns.of(layer, self.generator.layers).side
        return max(1, min(side**2, max_vectors // len(self.spread)))

    def each(self, job: Job, description: str, positions: Sequence[int] | None = None) -> Iterator[Any]:
        """What `job` makes of each batch of the images at `positions` (all if None), in order."""
        source: Source = self.generator
        # Threads share the generator; processes read its file once instead of getting it with every batch.
        apart = self.executor is not None and not isinstance(self.executor, ThreadPoolExecutor)
        if apart and self.generator.source is not None:
            it = self.generator
            source = (self.generator.source, str(it.device), it.dtype, it.fingerprint, it.default_label)
        work = partial(_of_batch, job, source, self.truncation)
        images = [(i, self.seeds[i]) for i in (range(len(self.seeds)) if positions is None else positions)]
        chunks = [images[i : i + self.batch_size] for i in range(0, len(images), self.batch_size)]
        mapped = (map if self.executor is None else self.executor.map)(work, chunks)
        yield from track(mapped, total=len(chunks), description=description, show=self.progress)


def batch_bytes(generator: Generator, clusters: int = 0) -> int:
    """About how much memory one image takes on its way through the generator, in bytes.

    Several copies of the largest maps, the maps that wait for the clustered layer, and the memberships.
    """
    maps = [la.channels * math.prod(la.size) for la in generator.layers]
    waiting = sum(m for m, la in zip(maps, generator.layers, strict=True) if la.size[0] <= 32)
    memberships = clusters * max(math.prod(la.size) for la in generator.layers)
    return generator.dtype.itemsize * (_COPIES * max(maps) + waiting) + 4 * memberships


def default_batch(generator: Generator) -> int:
    """Images in a batch: 16, or fewer where they would take more than 0.5 GiB (2 GiB on a GPU)."""
    budget = _BUDGET if generator.device.type == "cpu" else _BUDGET_ELSEWHERE
    return max(1, min(_BATCH, budget // batch_bytes(generator)))


@lru_cache(maxsize=2)
def _loaded(path: Path, device: str, dtype: torch.dtype, fingerprint: str, label: Label | None) -> Generator:
    import lefs  # (whose files it reads is not for the core to know)

    generator: Generator = lefs.load(path, device=device, label=label)
    if generator.fingerprint != fingerprint:
        raise ArtifactError(f"{path} has changed since its generator was loaded; load it again, then dissect")
    return generator.to(dtype)


def _of_batch(job: Job, source: Source, truncation: float, chunk: Batch) -> Any:
    """What `job` makes of a batch; in a forked process on one thread.

    A fork keeps OpenMP's memory of its parent's threads and not the threads: it would wait for them for ever.
    """
    if os.getpid() != _PROCESS and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
    generator = source if isinstance(source, Generator) else _loaded(*source)
    return job(generator, generator.sample([seed for _, seed in chunk], truncation=truncation), chunk)


def _vectors(
    generator: Generator, styles: Tensor, chunk: Batch, *, layer: str, per_image: int, random_state: int
) -> Tensor:
    """Activation vectors at random positions; which ones depends on the image alone, not on its batch."""
    with torch.inference_mode():
        maps = Hypercolumns.of(layer, generator.layers).read(generator, styles)
    maps_nlc = maps.flatten(2).movedim(1, 2)
    rows = []
    for (i, _), vectors_lc in zip(chunk, maps_nlc, strict=True):
        if per_image < len(vectors_lc):
            random = np.random.default_rng([random_state, i])
            chosen = np.sort(random.choice(len(vectors_lc), per_image, replace=False))
            vectors_lc = vectors_lc[torch.from_numpy(chosen).to(vectors_lc.device)]
        rows.append(vectors_lc)
    # A clone made outside inference mode is an ordinary tensor; half precision is too little to cluster.
    vectors = torch.cat(rows).clone()
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))


def _means(generator: Generator, styles: Tensor, chunk: Batch) -> Tensor:
    """The mean of every channel's map inside the picture, added up over the images of a batch: (S,)."""
    found = torch.zeros(generator.num_styles, dtype=torch.float64)

    def look(maps: Tensor, *, layer: StyleLayer) -> None:
        found[layer.span] = layer.inside(maps).float().mean(dim=(2, 3)).sum(dim=0).double().cpu()

    with torch.inference_mode():
        generator.walk(styles, {la.name: partial(look, layer=la) for la in generator.layers})
    return found


def _energy(
    generator: Generator,
    styles: Tensor,
    chunk: Batch,
    *,
    layer: str,
    centers: Tensor,
    method: str,
    means: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Σ A² ⊙ U over one batch, for every layer: (K, S) float64; and positions per cluster, (K,)."""
    columns = Hypercolumns.of(layer, generator.layers)
    partition: _Partition | None = None
    waiting: dict[str, Tensor] = {}  # maps of the layers before the clustered one, which are smaller
    found: dict[str, Tensor] = {}

    def look(maps: Tensor, *, name: str) -> None:
        nonlocal partition
        waiting[name] = maps
        if partition is None and waiting.keys() >= set(columns.names):
            partition = _Partition(membership_by(method)(columns.join(waiting), centers))
        if partition is not None:
            found.update(
                {
                    n: partition.energy(la, _less(a, la, means))
                    for n, a in waiting.items()
                    for la in [generator.layer(n)]
                }
            )
            waiting.clear()
        if len(found) == len(generator.layers):
            raise Stop

    with torch.inference_mode(), suppress(Stop):
        generator.walk(styles, {la.name: partial(look, name=la.name) for la in generator.layers})
    assert partition is not None
    # Brought over once, so that a device is never waited for between its layers.
    energy = torch.zeros(len(centers), generator.num_styles, dtype=torch.float64)
    for la in generator.layers:
        energy[:, la.span] = found[la.name].cpu()
        if la.shift is not None:  # a channel's shift acts where the channel does
            energy[:, la.shift] = energy[:, la.span]
    return energy, partition.membership.cpu().sum(dim=(0, 2, 3), dtype=torch.float64)


def _less(maps: Tensor, layer: StyleLayer, means: Tensor | None) -> Tensor:
    return maps if means is None else maps - means[layer.span].to(maps)[:, None, None]


class _Partition:
    """Memberships (N, K, h, w) of one batch, and the energy of layers' maps inside each cluster."""

    def __init__(self, membership: Tensor):
        self.membership = membership
        self._resampled = membership.flatten(2)  # to the size last asked for: (N, K, H W)
        self._last: tuple[weakref.ref[Tensor], Tensor] | None = None

    def energy(self, layer: StyleLayer, maps: Tensor) -> Tensor:
        """Σ_{n,h,w} A² ⊙ U, inside the picture: (K, C), float64."""
        # The layers of one size that see the same maps (to colours, and on to the next size) are one sum.
        if self._last is None or self._last[0]() is not maps:
            # (margins differ from layer to layer, what lies inside the picture fits)
            inside = layer.inside(maps)
            if self._resampled.shape[2] != inside[0, 0].numel():
                self._resampled = resample_partition(self.membership, inside.shape[-2]).flatten(2)
            self._last = weakref.ref(maps), _energy_by_cluster(inside, self._resampled)
        return self._last[1]


def _energy_by_cluster(maps: Tensor, memberships: Tensor) -> Tensor:
    """Σ_{n,p} A² ⊙ U for maps (N, C, H, W) and memberships (N, K, H W): (K, C), added up in float64.

    On a processor a strip of positions at a time, whose squares stay in its cache; else one matrix product.
    """
    values = maps.flatten(2)
    on_cpu, wide = maps.device.type == "cpu", maps.dtype.itemsize >= 4
    step = max(256, _STRIP // values[..., 0].numel()) if on_cpu else values.shape[2]
    energy: Tensor | None = None
    for strip, members in zip(values.split(step, dim=2), memberships.split(step, dim=2), strict=True):
        squares = (strip if wide else strip.float()).square().movedim(1, 2)
        part = torch.bmm(members.to(squares.dtype), squares)
        # (Apple's devices have no float64.)
        total = (part.cpu() if part.device.type == "mps" else part).sum(dim=0, dtype=torch.float64)
        energy = total if energy is None else energy.add_(total)
    assert energy is not None
    return energy


def shares(energy: Tensor) -> Tensor:
    """M = energy in a cluster / energy altogether (Editing in Style, Eq. 1); a dead channel gets 0."""
    total = energy.sum(dim=0)
    return torch.where(total > 0, energy / total.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
