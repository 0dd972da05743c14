"""What a generator does inside, a batch of images at a time: activation vectors.

`Hypercolumns` are the vectors over each position of a picture; a `Sample` streams them through memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from lefs.checkpoints import Checkpoint, digest_of
from lefs.checks import Seeds, check_integer, check_name, check_number, check_seeds
from lefs.generator import Generator
from lefs.images import of_height
from lefs.records import ArtifactError
from lefs.stylespace import StyleLayer
from lefs.workers import Chunks, Source, check_executor, loaded, map_chunks, travelling

__all__ = ["Batch", "Hypercolumns", "Sample", "batch_bytes", "default_batch"]

_IMAGES = 1024  # that vectors come from, at most: more add little to where the centres are, and cost a pass
_BATCH = 16  # images in a batch, at most
_SPREAD = 8  # chunks of what is added up: so many times the root of the number of batches, or a batch each
# Bytes that a batch may take: on a processor larger ones are no faster, other devices want to be kept busy.
_BUDGET, _BUDGET_ELSEWHERE = 2**29, 2**31
_COPIES = 5  # of the largest maps that a synthesis holds at once: scaled, convolved, filtered, sums

Batch = Sequence[tuple[int, int]]  # position in the sample and seed of each image
Job = partial[Any]  # of a generator, what it makes a batch of images from, and the batch: gives tensors


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
        """Positions down the picture: those of the finest layer, without its margin."""
        return max(layer.side for layer in self.layers)

    @property
    def positions(self) -> int:
        """How many vectors there are in one picture."""
        return max(layer.side * layer.width for layer in self.layers)

    def join(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The vectors, inside the picture, from the layers' maps by name: (N, C, side, side).

        Those of a single layer are its own; joined ones are float32 or wider, each layer's of unit norm
        (zero where it is silent).
        """
        inside = [layer.inside(maps[layer.name]) for layer in self.layers]
        return inside[0] if len(inside) == 1 else torch.cat([self._unit(x) for x in inside], dim=1)

    def _unit(self, maps: Tensor) -> Tensor:
        wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
        if wide.shape[-2] != self.side:
            size = of_height(self.side, wide)
            wide = interpolate(wide, size=size, mode="bilinear", align_corners=False)
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
    checkpoint, progress : path or Checkpoint, bool
        A folder that keeps what is done; whether to show a bar.
    """

    def __init__(
        self,
        generator: Generator,
        seeds: Seeds,
        *,
        truncation: float = 1.0,
        batch_size: int | None = None,
        executor: Executor | None = None,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
        progress: bool = True,
    ):
        self.generator, self.seeds = generator, check_seeds(seeds)
        self.truncation = check_number("truncation", truncation)
        self.executor, self.progress = check_executor(executor), progress
        self.checkpoint = Checkpoint.of(checkpoint)
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
        found, start = torch.empty(0), 0
        for (rows,) in self.each(job, f"activations of {layer}", self.spread):
            if not start:  # filled as they come: two copies are never held
                shape = self.count(layer, max_vectors), rows.shape[1]
                found = rows.new_empty(shape, device=self.generator.device)
            found[start : start + len(rows)] = rows
            start += len(rows)
        return found

    def _per_image(self, layer: str, max_vectors: int) -> int:
        check_integer("max_vectors", max_vectors, minimum=1)
        positions = Hypercolumns.of(layer, self.generator.layers).positions
        return max(1, min(positions, max_vectors // len(self.spread)))

    def each(
        self, job: Job, description: str, positions: Sequence[int] | None = None, *, together: int = 1
    ) -> Iterator[tuple[Tensor, ...]]:
        """The tensors that `job` makes of each batch of the images at `positions` (all if None), in order; of
        several batches together, added up.
        """
        it, given = self.generator, (self.truncation, self.batch_size)
        places = range(len(self.seeds)) if positions is None else positions
        chunks = Chunks(self.seeds, places, self.batch_size * together)
        kept: dict[str, Any] = {}
        if self.checkpoint is not None:
            of = it.fingerprint, it.dtype, it.device.type, it.default_label, *given, job.func.__name__
            kept = {"checkpoint": self.checkpoint, "work": digest_of(of, chunks, job.keywords)}
            kept["finish"] = len(places) <= _IMAGES
        work = partial(_of_chunk, job, travelling(it, self.executor), *given)
        options = {"executor": self.executor, "description": description, "show": self.progress, **kept}
        found = map_chunks(work, chunks, name=lambda c: f"seeds {c[0][1]} … {c[-1][1]}", **options)
        return (tuple(map(torch.as_tensor, each)) for each in found)

    def sums(
        self, job: Job, description: str, *shapes: tuple[int, ...], positions: Sequence[int] | None = None
    ) -> list[Tensor]:
        """What `job` makes of each batch, tensors of these shapes, added up over all, in float64.

        A chunk is a batch, or several, as many as grow with the root of their number: then there are neither
        too few chunks for many workers nor too many to be given away and kept.
        """
        batches = math.ceil(len(self.seeds if positions is None else positions) / self.batch_size)
        together = math.ceil(math.sqrt(batches) / _SPREAD)
        totals = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
        for found in self.each(job, description, positions, together=together):
            if (shown := tuple(tuple(part.shape) for part in found)) != shapes:
                raise ArtifactError(f"{self.checkpoint}: a chunk of shapes {shown}, not {shapes}; delete it")
            for total, part in zip(totals, found, strict=True):
                total += part
        return totals


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


def _of_chunk(job: Job, source: Source, truncation: float, batch_size: int, chunk: Batch) -> Sequence[Any]:
    """What `job` makes of a chunk's batches, added up."""
    generator, total = loaded(source), list[Tensor]()
    for start in range(0, len(chunk), batch_size):
        some = chunk[start : start + batch_size]
        found = job(generator, generator.sample([seed for _, seed in some], truncation=truncation), some)
        total = [a + b for a, b in zip(total, found, strict=True)] if total else list(found)
    return total


def _vectors(
    generator: Generator, styles: Tensor, chunk: Batch, *, layer: str, per_image: int, random_state: int
) -> tuple[Tensor]:
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
    return (vectors.to(torch.promote_types(vectors.dtype, torch.float32)),)
