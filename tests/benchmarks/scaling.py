"""What a dissection takes, from 1 to 1,000 workers and from 10⁴ to 10⁸ images, from what is measured on two.

    python tests/benchmarks/scaling.py                  what is measured, and the table
    python tests/benchmarks/scaling.py --tasks 100000   and so many empty tasks on a local Dask cluster

Everything is computed by the code that `lefs.dissect` uses. Seconds of one process are the processor's, so
that a busy machine changes them little; the speed-up is by the clock.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from harness import resident

import lefs
from lefs.activations import collect
from lefs.energies import measured
from lefs.workers import Checkpoint, Sample, map_chunks, processes, samples

BATCH, CLUSTERS, LOOKED_AT = 16, 20, 1024


@dataclass(frozen=True)
class Measured:
    """Seconds, of one worker, and bytes."""

    image: float  # of the pass that adds up contributions
    vectors: float  # an image, of the pass that collects vectors
    kmeans: float
    start: float  # of workers, until the first result
    task: float  # what a task costs beside its work
    reduce: float  # to add up one chunk
    keep: float  # to write one chunk's file
    file: int  # its bytes
    seed: float  # bytes that a seed takes here and in the catalog's file


def seconds(call: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    call()
    return clock() - start


def nothing(chunk: int) -> int:
    return chunk


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def chunks_of(images: int) -> tuple[int, int]:
    """How many chunks, and images in each, as `Sample.sums` divides them."""
    batches = math.ceil(images / BATCH)
    together = math.ceil(math.sqrt(batches) / samples._SPREAD)
    return math.ceil(batches / together), together * BATCH


def measure(name: str, images: int) -> Measured:
    generator = lefs.load(name)
    options: dict[str, Any] = {"batch_size": BATCH, "progress": False}
    sample, layer = Sample(generator, range(images), **options), generator.default_layer
    collect(sample, layer, max_vectors=4096, random_state=0)  # (the first is the slow one)
    vectors = collect(sample, layer, max_vectors=65_536, random_state=0)
    collected = seconds(lambda: collect(sample, layer, max_vectors=65_536, random_state=0)) / images
    full = vectors.repeat(math.ceil(65_536 / len(vectors)), 1)[:65_536]
    kmeans = lefs.SphericalKMeans(CLUSTERS, n_init=4, random_state=0)
    clustering = seconds(lambda: kmeans.fit(full + 0.01 * full.mean() * torch.rand_like(full)))
    centers = lefs.SphericalKMeans(CLUSTERS, n_init=1, random_state=0).fit(vectors).cluster_centers_
    wall, blank = time.perf_counter, lefs.Catalog.of(sample, layer, centers)
    first = measured(sample, blank).contributions
    image = seconds(lambda: measured(sample, blank)) / images
    with processes(2) as pool:
        start = seconds(lambda: list(map_chunks(nothing, range(1), executor=pool)), wall)
        shared = Sample(generator, range(images), executor=pool, **options)
        assert torch.equal(measured(shared, blank).contributions, first)
        # (taking turns, as the machine may be busy)
        turns = []
        for _ in range(3):
            turns.append([seconds(lambda s=s: measured(s, blank), wall) for s in (sample, shared)])
        task = seconds(lambda: list(map_chunks(nothing, range(5000), executor=pool))) / 5000
    one, both = (min(times) for times in zip(*turns, strict=True))
    sums = torch.zeros(4, CLUSTERS, generator.num_styles, dtype=torch.float64)
    reduce = seconds(lambda: [sums.add_(sums) for _ in range(200)]) / 200
    with tempfile.TemporaryDirectory() as folder:
        kept = Checkpoint(Path(folder))
        write = partial(kept.write, "scaling", found=[sums, sums[0, :, 0]])
        keep = seconds(lambda: [write(number=i) for i in range(50)], wall) / 50
        size = sum(p.stat().st_size for p in Path(folder).iterdir()) // 50
    say(f"{name}, {images} images, two processes, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}:")
    say(f"- an image {1e3 * image:.1f} ms, its vectors {1e3 * collected:.1f} ms, k-means {clustering:.1f} s;")
    say(f"- two processes: {one / both:.2f} times as fast, the same bits; they start in {start:.1f} s;")
    say(f"- a task {1e3 * task:.2f} ms beside its work, adding up a chunk {1e3 * reduce:.2f} ms, keeping it")
    say(f"  {1e3 * keep:.1f} ms and {size / 1e6:.2f} MB.")
    return Measured(image, collected, clustering, start, task, reduce, keep, size, 36 + 8 + 11)


def predicted(m: Measured, images: int, workers: int) -> float:
    """Seconds: both passes in rounds of chunks, what one process does for all, and k-means."""
    looked_at = min(images, LOOKED_AT)
    first = math.ceil(math.ceil(looked_at / BATCH) / workers) * BATCH * m.vectors
    chunks, size = chunks_of(images)
    computing = math.ceil(chunks / workers) * min(size, images) * m.image
    if workers == 1:
        return first + m.kmeans + images * m.image
    return m.start + first + m.kmeans + max(computing, chunks * (m.task + m.reduce + m.keep))


def readable(length: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if length >= 2 * size:
            return f"{length / size:.1f} {unit}"
    return f"{length:.0f} s"


def table(m: Measured) -> None:
    counts, workers = (10**4, 10**5, 10**6, 10**7, 10**8), (1, 2, 8, 32, 128, 1000)
    say("\n| images | chunks | files kept |", " | ".join(f"{w} worker{'s' * (w > 1)}" for w in workers), "|")
    say("|" + "---|" * (3 + len(workers)))
    for images in counts:
        chunks, size = chunks_of(images)
        row = [readable(predicted(m, images, w)) for w in workers]
        kept = f"{chunks * m.file / 1e9:.1f} GB"
        say(f"| {images:,} | {chunks:,} of {size:,} | {kept} |", " | ".join(row), "|")
    one = chunks_of(10**8)[0] * (m.task + m.reduce + m.keep)
    say(f"\nSerial: {m.start + m.kmeans:.1f} s to start and to cluster, whatever the number of images.")
    say(f"Of 10⁸ what one process gives away, adds up and keeps takes {readable(one)};")
    say(f"their seeds take {10**8 * m.seed / 1e9:.1f} GB.")


def scheduler(tasks: int) -> None:
    """So many empty tasks through a scheduler with two worker processes."""
    os.environ["DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP"] = "3600s"  # (half a minute is too short, at times)
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    with cluster, Client(cluster) as client:
        executor: Executor = client.get_executor()
        list(map_chunks(nothing, range(100), executor=executor))
        before = resident()["VmRSS"]
        start = time.perf_counter()
        assert all(i == found for i, found in enumerate(map_chunks(nothing, range(tasks), executor=executor)))
        took = time.perf_counter() - start
    more = (resident()["VmHWM"] - before) / 2**20
    say(f"\nDask, two worker processes: {tasks:,} tasks in {readable(took)}, {1e3 * took / tasks:.2f} ms")
    say(f"each, in order; the process that gives them away took {more:.0f} MB more at most.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", default="portraits-64")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--tasks", type=int, default=0)
    given = parser.parse_args()
    table(measure(given.generator, given.images))
    if given.tasks:
        scheduler(given.tasks)


if __name__ == "__main__":
    main()
