"""A sample's images, a batch at a time: what a job makes of each, in order, or added up."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypedDict

import torch
from torch import Tensor

from lefs.checks import Seeds, check_integer, check_number, check_seeds
from lefs.generator import Generator
from lefs.records import ArtifactError
from lefs.synthesis import COPIES
from lefs.workers.checkpoints import Checkpoint, digest_of
from lefs.workers.chunks import Chunks, map_chunks
from lefs.workers.pools import check_executor

__all__ = ["Batch", "Sample", "WorkOptions", "batch_bytes", "default_batch"]

_IMAGES = 1024  # that vectors come from, at most: more add little to where the centres are, and cost a pass
_BATCH = 16  # images in a batch, at most
_SPREAD = 8  # chunks of what is added up: so many times the root of the number of batches, or a batch each
# Bytes that a batch may take: on a processor larger ones are no faster, other devices want to be kept busy.
_BUDGET, _BUDGET_ELSEWHERE = 2**29, 2**31

Batch = Sequence[tuple[int, int]]  # position in the sample and seed of each image
Job = partial[Any]  # of a generator, what it makes a batch of images from, and the batch: gives tensors


class WorkOptions(TypedDict, total=False):
    """How long work is done.

    Attributes
    ----------
    batch_size : int, optional
        Images at a time; None: `default_batch`.
    executor : concurrent.futures.Executor, optional
        Any, such as `processes`, or a Dask client; the result is the serial one bit for bit.
    checkpoint : path, optional
        A folder that keeps what is done, so that the same call goes on from there if it was ended.
    progress : bool
        Show a bar.
    """

    batch_size: int | None
    executor: Executor | None
    checkpoint: str | os.PathLike[str] | Checkpoint | None
    progress: bool


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

    Attributes
    ----------
    spread : sequence of int
        Positions of at most 1,024 images, evenly spread, for what need not see all.

    Examples
    --------
    >>> import lefs
    >>> from functools import partial
    >>> def brightness(generator, styles, batch):
    ...     return (generator.synthesize(styles).mean(dim=(1, 2, 3)),)
    >>> sample = lefs.workers.Sample(lefs.load("portraits-64"), range(6), batch_size=4, progress=False)
    >>> [len(found) for (found,) in sample.each(partial(brightness), "brightness")]
    [4, 2]
    """

    def __init__(
        self, generator: Generator, seeds: Seeds, *, truncation: float = 1.0, batch_size: int | None = None,
        executor: Executor | None = None, checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
        progress: bool = True,
    ):  # fmt: skip
        self.generator, self.seeds = generator, check_seeds(seeds)
        self.truncation = check_number("truncation", truncation)
        self.executor, self.progress = check_executor(executor), progress
        self.checkpoint = Checkpoint.of(checkpoint)
        size = default_batch(generator) if batch_size is None else batch_size
        self.batch_size = check_integer("batch_size", size, minimum=1)
        count = len(self.seeds)
        self.spread = range(count) if count <= _IMAGES else [i * count // _IMAGES for i in range(_IMAGES)]

    def each(
        self, job: Job, description: str, positions: Sequence[int] | None = None, *, together: int = 1
    ) -> Iterator[tuple[Tensor, ...]]:
        """The tensors that `job` makes of each batch of the images at `positions` (all if None), in order; of
        several batches together, added up.
        """
        it, given = self.generator, (self.truncation, self.batch_size)
        places = range(len(self.seeds)) if positions is None else positions
        chunks = Chunks(self.seeds, places, self.batch_size * together)
        options: dict[str, Any] = {"executor": self.executor, "show": self.progress}
        if self.checkpoint is not None:
            whose = it.fingerprint, it.dtype, it.device.type, it.default_label, it.size
            work = digest_of(whose, given, job.func.__name__, chunks, job.keywords)
            options |= {"checkpoint": self.checkpoint, "work": work, "finish": len(places) <= _IMAGES}
        found = map_chunks(
            partial(_of_chunk, job, it, *given),
            chunks,
            name=lambda c: f"seeds {c[0][1]} … {c[-1][1]}",
            description=description,
            **options,
        )
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


def _of_chunk(
    job: Job, generator: Generator, truncation: float, batch_size: int, chunk: Batch
) -> Sequence[Any]:
    """What `job` makes of a chunk's batches, added up."""
    total = list[Tensor]()
    for start in range(0, len(chunk), batch_size):
        some = chunk[start : start + batch_size]
        found = job(generator, generator.sample([seed for _, seed in some], truncation=truncation), some)
        total = [a + b for a, b in zip(total, found, strict=True)] if total else list(found)
    return total


def batch_bytes(generator: Generator, clusters: int = 0) -> int:
    """About how much memory one image takes on its way through the generator, in bytes.

    Several copies of the largest maps, the maps that wait for the clustered layer, and the memberships.
    """
    waiting = sum(la.channels * math.prod(la.size) for la in generator.layers if la.size[0] <= 32)
    memberships = clusters * max(math.prod(la.size) for la in generator.layers)
    return generator.dtype.itemsize * (COPIES * generator.largest_map() + waiting) + 4 * memberships


def default_batch(generator: Generator) -> int:
    """Images in a batch: 16, or fewer where they would take more than 0.5 GiB (2 GiB on a GPU)."""
    budget = _BUDGET if generator.device.type == "cpu" else _BUDGET_ELSEWHERE
    return max(1, min(_BATCH, budget // batch_bytes(generator)))
