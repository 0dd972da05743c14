"""Spherical k-means of 204,800 activation vectors of 512 channels, K = 20, beside faiss and scikit-learn.

The vectors are what the convolutions of a 256 × 256 configuration F see at 32 × 32 in 200 images (random
weights). All methods start from the same centres, drawn by k-means++, and do the same number of iterations;
several starts, because the start matters more than the method. Normalising the vectors, which faiss needs and
lefs does not, is not counted.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from harness import Row, in_process, interleaved, peak_flops, skip
from torch import Tensor
from torch.nn.functional import normalize

from lefs import SphericalKMeans, StyleGAN2, StyleGAN2Config
from lefs import clustering as module

try:
    import faiss
except ImportError:
    faiss = None

CLUSTERS, ITERATIONS = 20, 20


@functools.cache
def vectors(images: int) -> Tensor:
    """Activation vectors at 32 × 32: (images · 1024, 512)."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        generator = StyleGAN2(StyleGAN2Config(32, 512, 512, dict.fromkeys((4, 8, 16, 32), 512))).eval()
        batches = [generator.sample_styles(range(i, i + 8)) for i in range(0, images, 8)]
        maps = (generator.record(styles, "b32.conv1")["b32.conv1"] for styles in batches)
        return torch.cat([m.flatten(2).movedim(1, 2).flatten(0, 1) for m in maps]).clone()


def starts(data: Tensor, count: int) -> list[Tensor]:
    """Centres to begin with, as k-means++ finds them among 16,384 of the vectors."""
    found = []
    for seed in range(count):
        random = np.random.RandomState(seed)
        rows = module._Rows.of(data[torch.from_numpy(random.choice(len(data), 16_384, replace=False))])
        found.append(module._plus_plus(rows, rows.live(), CLUSTERS, random))
    return found


def mean_cosine(data: Tensor, centers: Any) -> float:
    rows = module._Rows.of(data)
    return 1 - module._look(rows, normalize(torch.as_tensor(centers), dim=1)).inertia / len(data)


class Faiss:
    """faiss.Kmeans(spherical=True) on all vectors."""

    def __init__(self, data: Tensor, threads: int):
        faiss.omp_set_num_threads(threads)
        self.unit = normalize(data, dim=1).numpy()

    def __call__(self, start: Tensor) -> np.ndarray:
        options = {"spherical": True, "niter": ITERATIONS, "max_points_per_centroid": 10**9}
        kmeans = faiss.Kmeans(self.unit.shape[1], CLUSTERS, **options)
        kmeans.train(self.unit, init_centroids=start.numpy())
        return kmeans.centroids


def ours(data: Tensor, start: Tensor, **options: Any) -> SphericalKMeans:
    return SphericalKMeans(CLUSTERS, init=start, max_iter=ITERATIONS, tol=0, random_state=0, **options).fit(
        data
    )


def bench_kmeans(quick: bool, threads: int) -> Iterator[Row]:
    """Time and quality from the same starts."""
    data = vectors(64 if quick else 200)
    size = f"{len(data):,} × {data.shape[1]}, K = {CLUSTERS}"
    begin = starts(data, 2 if quick else 5)
    yield from _beside_faiss(data, begin, size, threads)
    yield from _beside_scikit_learn(data, begin, size)


def _beside_faiss(data: Tensor, begin: list[Tensor], size: str, threads: int) -> Iterator[Row]:
    if faiss is None:
        yield skip(f"k-means, {size}", "faiss is not installed")
        return
    theirs, some, every, once = Faiss(data, threads), [], [], []
    cosines: dict[str, list[float]] = {"faiss": [], "sample": [], "all": []}
    for start in begin:
        ways = (lambda s=start: theirs(s), lambda s=start: ours(data, s))
        a, b, c = interleaved(*ways, lambda s=start: ours(data, s, sample_size=None), repeats=2)
        once, some, every = [*once, a], [*some, b], [*every, c]
        cosines["faiss"].append(mean_cosine(data, theirs(start)))
        cosines["sample"].append(mean_cosine(data, ours(data, start).cluster_centers_))
        cosines["all"].append(mean_cosine(data, ours(data, start, sample_size=None).cluster_centers_))
    gaps = {k: [x - y for x, y in zip(cosines[k], cosines["faiss"], strict=True)] for k in ("sample", "all")}
    name, all_points = f"k-means, {size}, {ITERATIONS} iterations", "faiss, all points"
    share = operations(data) / min(some) / peak_flops()
    note = f"{share:.0%} of the matrix-product peak; mean cosine {spread(gaps['sample'])} of faiss's"
    yield Row(name, min(some), min(once), all_points, target=2.5, note=note)
    note = f"mean cosine {spread(gaps['all'])} of faiss's"
    yield Row(f"{name}, no sample", min(every), min(once), all_points, note=note)
    loss, base = (1 - mean(cosines[k]) for k in ("sample", "faiss"))
    note = f"mean of {len(begin)} starts; target: no more than 1e-4 worse"
    yield Row("k-means, quality: 1 − mean cosine", loss, base, all_points, "", base / (base + 1e-4), note)


def spread(gaps: list[float]) -> str:
    """Mean and range of differences of mean cosine, in units of 1e-4."""
    low, high = 1e4 * min(gaps), 1e4 * max(gaps)
    return f"{1e4 * mean(gaps):+.1f}e-4 ({low:+.1f} to {high:+.1f}, {len(gaps)} starts)"


def operations(data: Tensor) -> float:
    """Additions and multiplications of the matrix products that a fit needs (what it then skips, too)."""
    sample = min(len(data), max(module._SAMPLE, module._PER_CLUSTER * CLUSTERS))
    looks = 2 * ITERATIONS * sample + 2 * module._FINISH * len(data) + len(data)
    return 2.0 * looks * data.shape[1] * CLUSTERS


def _beside_scikit_learn(data: Tensor, begin: list[Tensor], size: str) -> Iterator[Row]:
    """As the paper's code: mini-batches of the flattened activations, scaled to unit length first."""
    from sklearn.cluster import MiniBatchKMeans

    unit = normalize(data, dim=1).numpy()
    found: list[Any] = [None, None]

    def theirs(seed: int, start: Tensor) -> None:
        kmeans = MiniBatchKMeans(CLUSTERS, init=start.numpy(), n_init=1, random_state=seed)
        found[0] = kmeans.fit(unit).cluster_centers_

    def mine(start: Tensor) -> None:
        found[1] = ours(data, start).cluster_centers_

    seconds, cosines = [], []
    for seed, start in enumerate(begin):
        ways = (lambda k=seed, s=start: theirs(k, s), lambda s=start: mine(s))
        seconds.append(interleaved(*ways, repeats=2))
        cosines.append([mean_cosine(data, centers) for centers in found])
    base, some = (min(s[i] for s in seconds) for i in (0, 1))
    gap = spread([b - a for a, b in cosines])
    note = f"mean cosine {gap} of its; its scaling to unit length not counted"
    yield Row(f"k-means, {size}", some, base, "scikit-learn MiniBatchKMeans", target=1.0, note=note)
    loss, theirs_loss = (1 - mean(c[i] for c in cosines) for i in (1, 0))
    yield Row("k-means, quality: 1 − mean cosine", loss, theirs_loss, "scikit-learn MiniBatchKMeans", "", 1.0)


# -- memory ------------------------------------------------------------------------------------------------


def bench_memory(quick: bool) -> Iterator[Row]:
    """Memory beyond the vectors themselves, each method in a process of its own."""
    data = vectors(64 if quick else 200)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        np.save(file, data.numpy())
        peaks = {way: in_process("bench_kmeans", "fit_file", file=str(file), way=way) for way in WAYS}
    beyond = {way: (found["peak"] - found["before"]) / 2**20 for way, found in peaks.items()}
    name = f"k-means, memory beyond the {data.nbytes / 2**20:.0f} MiB of vectors"
    for way in list(WAYS)[1:]:
        yield Row(name, beyond["lefs"], beyond[way], way, "MiB")


WAYS = {
    "lefs": lambda x: SphericalKMeans(CLUSTERS, n_init=1, max_iter=ITERATIONS, random_state=0).fit(x),
    "scikit-learn MiniBatchKMeans": lambda x: _mini_batch(x),
    **(
        {"faiss, all points": lambda x: Faiss(torch.from_numpy(x), 1)(starts(torch.from_numpy(x), 1)[0])}
        if faiss
        else {}
    ),
}


def _mini_batch(x: np.ndarray) -> None:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.preprocessing import normalize as scale

    MiniBatchKMeans(CLUSTERS, n_init=1, random_state=0).fit(scale(x))


def fit_file(file: str, way: str) -> dict[str, float]:
    """Read the vectors, cluster them once; memory (bytes) before the clustering."""
    from harness import resident

    data = np.load(file)
    before = resident()["VmRSS"]
    WAYS[way](data)
    return {"before": before}
