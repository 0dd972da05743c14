"""The table of a CUDA device: synthesis, editing, dissection and k-means, each as a share of its ceiling.

    python tests/benchmarks/gpu.py                       # under eight minutes on a data-centre card
    python tests/benchmarks/gpu.py --device cpu --tiny   # a rehearsal, whose numbers say nothing

StyleGAN2, configuration F at 1024², random weights. Two ceilings are measured first, with the device's own
kernels: copying (bytes per second, each byte read and written) and a large matrix product in each number
format. A network's line names the operations that it needs and the share of the matrix product's speed in
the same format that it reaches; a line of sums names bytes. Errors are against float32 without TF32. Nothing
of the device's settings is changed. Written and rehearsed without such a device: until somebody has run it on
one and kept the table, it has measured nothing.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from unittest.mock import patch

import torch
from bench_editing import error, operations, random_stylegan2

import lefs
from lefs import StyleGAN2, StyleGAN2Config

Line = tuple[str, float, str]  # what, seconds, note
Peaks = dict[str, float]


class Bench:
    """Measures on one device.

    Parameters
    ----------
    device : where
    tiny : whether this is a rehearsal
    """

    def __init__(self, device: str, *, tiny: bool):
        self.device, self.tiny = torch.device(device), tiny
        self.network = self._tiny() if tiny else random_stylegan2(1024)
        self.network.to(self.device)
        self.styles = self.network.sample_styles(0)
        self.peaks: Peaks = {}

    def _tiny(self) -> StyleGAN2:
        torch.manual_seed(0)
        channels = {4: 8, 8: 8, 16: 8, 32: 8, 64: 4}
        return StyleGAN2(StyleGAN2Config(64, 512, 512, channels)).freeze()  # type: ignore[return-value]

    def seconds(self, way: Callable[[], object], *, repeats: int = 10) -> float:
        """Least time of several, the device idle before and after; the first calls do not count."""
        best = float("inf")
        for i in range((2 if self.tiny else repeats) + 2):
            self.wait()
            start = time.perf_counter()
            way()
            self.wait()
            best = best if i < 2 else min(best, time.perf_counter() - start)
        return best

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # -- ceilings ------------------------------------------------------------------------------------------
    def ceilings(self) -> Iterator[Line]:
        """Copying, and matrix products in each format; kept in `peaks` for the other lines."""
        count = 2**20 if self.tiny else 2**30
        source = torch.ones(count, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        seconds = self.seconds(lambda: target.copy_(source))
        self.peaks["copy"] = 2 * count / seconds
        yield "copy 1 GiB", seconds, f"{self.peaks['copy'] / 1e9:.0f} GB/s"
        size = 256 if self.tiny else 8192
        for kind in ("float32", "tf32", "bfloat16", "float16"):
            a = torch.ones(size, size, device=self.device, dtype=_dtype(kind))
            with tensor_cores(kind == "tf32"):
                seconds = self.seconds(lambda a=a: a @ a)  # type: ignore[misc]
            self.peaks[kind] = 2 * size**3 / seconds
            yield f"matrix product {size}², {kind}", seconds, f"{self.peaks[kind] / 1e12:.1f} TFLOP/s"

    def share(self, seconds: float, kind: str, *, upto: int | None = None, count: int = 1) -> str:
        """The operations of a render, and what share of the matrix product's speed it reached."""
        sizes = [s for s in self.network.preview_sizes if upto is None or s <= upto]
        work = count * sum(operations(self.network, s)[0] for s in sizes)
        return f"{work / 1e9:.0f} GFLOP, {work / seconds / self.peaks[kind]:.1%} of the {kind} matrix product"

    # -- synthesis -----------------------------------------------------------------------------------------
    def renders(self) -> Iterator[Line]:
        """The full render in each format, with autocast or cast, other layouts, as a graph, in batches."""
        with tensor_cores(False):
            exact = self.network.synthesize(self.styles)
        for name, kind, network, context in self._ways():
            with context():
                seconds = self.seconds(lambda g=network: g.synthesize(self.styles))  # type: ignore[misc]
                note = f"{self.share(seconds, kind)}; {error(network.synthesize(self.styles), exact)}"
            yield f"render, {name}", seconds, note
        half = self.cast("bfloat16")
        if self.device.type == "cuda":
            seconds = self.seconds(self._graph(half))
            yield "render, cast to bfloat16, CUDA graph", seconds, self.share(seconds, "bfloat16")
        many = self.styles.repeat(8, 1)
        seconds = self.seconds(lambda: half.synthesize(many), repeats=3)
        yield "render of 8, cast to bfloat16", seconds, self.share(seconds, "bfloat16", count=8)

    def _ways(self) -> Iterator[tuple[str, str, StyleGAN2, Callable[[], AbstractContextManager[object]]]]:
        yield "float32", "float32", self.network, lambda: tensor_cores(False)
        yield "float32, channels last", "float32", copy.deepcopy(self.network), lambda: layout(True)
        yield "TF32", "tf32", self.network, lambda: tensor_cores(True)
        for kind in ("bfloat16", "float16"):
            autocast = torch.autocast(self.device.type, dtype=_dtype(kind))
            yield f"autocast {kind}", kind, self.network, lambda c=autocast: c  # type: ignore[misc]
            yield f"cast to {kind}", kind, self.cast(kind), nullcontext
        yield "cast to bfloat16, channels first", "bfloat16", self.cast("bfloat16"), lambda: layout(False)

    def cast(self, kind: str) -> StyleGAN2:
        """A copy of the network in another format."""
        return copy.deepcopy(self.network).to(_dtype(kind))

    def _graph(self, network: StyleGAN2) -> Callable[[], None]:
        stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(stream):
            for _ in range(3):
                network.synthesize(self.styles)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            network.synthesize(self.styles)
        return lambda: graph.replay()

    # -- editing -------------------------------------------------------------------------------------------
    def edits(self) -> Iterator[Line]:
        """Previews, and slider moves restarted at the layer that they touch."""
        for kind, network in (("float32", self.network), ("bfloat16", self.cast("bfloat16"))):
            for size in (self.network.preview_size, self.network.preview_size // 2):
                seconds = self.seconds(lambda g=network, s=size: g.synthesize(self.styles, upto=s))  # type: ignore[misc]
                yield f"preview {size}², {kind}", seconds, self.share(seconds, kind, upto=size)
            cache = network.cache(self.styles)
            for name in (network.default_layer, f"b{network.size[0]}.conv0"):
                moved = self.styles.clone()
                moved[:, network.layer(name).span] *= 1.1
                seconds = self.seconds(lambda g=network, m=moved, t=cache: g.synthesize(m, cache=t))  # type: ignore[misc]
                yield f"slider move from {name}, {kind}", seconds, "to the full image"
            del cache

    # -- dissection ----------------------------------------------------------------------------------------
    def dissections(self) -> Iterator[Line]:
        """1,000 images, from seeds to a catalog: two passes."""
        count, batch = (4, 2) if self.tiny else (1000, 8)
        for kind in ("bfloat16", "float32"):
            network = self.network if kind == "float32" else self.cast(kind)
            images = count if kind == "bfloat16" else max(count // 10, 2)
            start = time.perf_counter()
            catalog = lefs.dissect(
                network, range(images), clusters=4 if self.tiny else 20, batch_size=batch, progress=False
            )
            self.wait()
            seconds = time.perf_counter() - start
            before = network.layer(catalog.layer).size[0]
            note = f"{self.share(seconds, kind, count=images)} (second pass; the first ends at {before}²)"
            yield f"dissection of {images} images, {kind}", seconds, note

    def clusterings(self) -> Iterator[Line]:
        """Spherical k-means, 204,800 x 512, K = 20, one start, 20 iterations."""
        rows, width, clusters = (2000, 16, 4) if self.tiny else (204_800, 512, 20)
        stream = torch.Generator().manual_seed(0)
        centers = torch.randn(clusters, width, generator=stream)
        data = centers[torch.arange(rows) % clusters] + torch.randn(rows, width, generator=stream)
        data = data.to(self.device)
        model = lefs.SphericalKMeans(clusters, n_init=1, max_iter=20, tol=0.0, random_state=0)
        seconds = self.seconds(lambda: model.fit(data), repeats=2)
        moved = (model.n_iter_ if hasattr(model, "n_iter_") else 20) * data.nbytes
        share = moved / seconds / self.peaks["copy"]
        note = f"{moved / 1e9:.1f} GB read, once an iteration: {share:.1%} of copying"
        yield f"k-means {rows:,} x {width}, K = {clusters}", seconds, note


def _dtype(kind: str) -> torch.dtype:
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(kind, torch.float32)


@contextmanager
def tensor_cores(allowed: bool) -> Iterator[None]:
    """TF32 for float32 convolutions and products, or not."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def layout(channels_last: bool) -> Iterator[None]:
    """Another memory layout than the one that lefs takes for this device and format."""
    chosen = torch.channels_last if channels_last else torch.contiguous_format
    with ExitStack() as stack:
        stack.enter_context(tensor_cores(False))
        for module in ("layers", "stylegan2"):
            stack.enter_context(patch(f"lefs.models.{module}.memory_format", lambda _: chosen))
        yield


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal with a network of 64²")
    given = parser.parse_args()
    bench, start = Bench(given.device, tiny=given.tiny), time.perf_counter()
    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else given.device
    sys.stdout.write(
        f"{name}, torch {torch.__version__}\n\n| what | time | of what it could be |\n|---|---|---|\n"
    )
    for part in (bench.ceilings, bench.renders, bench.edits, bench.clusterings, bench.dissections):
        for what, seconds, note in part():
            sys.stdout.write(f"| {what} | {1e3 * seconds:.2f} ms | {note} |\n")
            sys.stdout.flush()
    sys.stdout.write(f"\n{time.perf_counter() - start:.0f} s altogether\n")


if __name__ == "__main__":
    main()
