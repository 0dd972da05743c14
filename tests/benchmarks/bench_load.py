"""How long, and with how much memory, `lefs.load` loads an official snapshot beside the official code.

    python tests/benchmarks/bench_load.py [--snapshot FILE] [--official FOLDER] [--repeats 7]

FOLDER is a checkout of stylegan2-ada-pytorch, whose `legacy.load_network_pkl` is then timed as well; nothing
of it is needed otherwise. What `lefs.load` consists of is also done alone: following the pickle to the
records of its tensors, and reading as many bytes as the generator has into fresh memory in large pages, which
is the least that it can take; and copying these bytes from the mapped file, as one usually does.
Without FILE, a snapshot of that size is made: by the official code where there is FOLDER; else in its layout,
but of one module with weights of these sizes, which lefs can read yet not build, so that only the reading is
compared, with the `pickle` module. Every measurement is a process of its own, the
ways take turns, and the file is in the page cache. Also times `lefs info`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import json
import mmap
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import bench_unpickle
import torch
from harness import Row

Result = dict[str, float]


def make(folder: Path, official: Path | None) -> Path:
    """A snapshot as training leaves it: G, D and G_ema of configuration F at 1024 x 1024, 382 MB."""
    if official is None:
        with bench_unpickle.publisher():
            return bench_unpickle.make(folder, 382)["pkl"]
    sys.path.insert(0, str(official))
    networks = importlib.import_module("training.networks")
    sizes = {"c_dim": 0, "img_resolution": 1024, "img_channels": 3}
    widths = {"channel_base": 32768, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256}
    generator = networks.Generator(
        z_dim=512, w_dim=512, mapping_kwargs={"num_layers": 8}, synthesis_kwargs=widths, **sizes
    )
    discriminator = networks.Discriminator(**sizes, **widths)
    content = {"G": generator, "D": discriminator, "G_ema": copy.deepcopy(generator)}
    content = {k: v.eval().requires_grad_(False) for k, v in content.items()}
    file = folder / "network-snapshot.pkl"
    with open(file, "wb") as f:
        pickle.dump(content | {"augment_pipe": None, "training_set_kwargs": {}}, f)
    return file


def prepare(way: str, official: Path | None, size: int) -> Callable[[Path], Any]:
    """Import what `way` needs; return what it does to a file."""
    if way == "lefs.load":
        formats: Any = importlib.import_module("lefs.files.formats")
        importlib.import_module("lefs.models.stylegan2")
        importlib.import_module("lefs.files.publishers.nvlabs_stylegan2")
        return lambda file: formats.load(file)
    if way == "official":
        sys.path.insert(0, str(official))
        legacy: Any = importlib.import_module("legacy")
        importlib.import_module("training.networks")
        return lambda file: _opened(file, legacy.load_network_pkl)
    if way == "pickle alone":
        unpickle: Any = importlib.import_module("lefs.files.reading")
        return lambda file: unpickle.read_tree(file)
    if way in ALONE:
        return partial(ALONE[way], size=size)
    bench_unpickle.install_publisher()
    return lambda file: bench_unpickle.read(file, "lefs" if way == "lefs, reading" else "usual")


def _copied(file: Path, *, size: int) -> torch.Tensor:
    """The last `size` bytes of `file`, copied into fresh memory."""
    whole = torch.from_file(str(file), size=file.stat().st_size, dtype=torch.uint8)
    return torch.empty(size, dtype=torch.uint8).copy_(whole[-size:])


def _read(file: Path, *, size: int) -> Any:
    """The last `size` bytes of `file`, read into fresh memory in large pages, where there are any."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    with open(file, "rb", buffering=0) as f:
        f.seek(-size, 2)
        f.readinto(memory)
    return memory


ALONE = {"copying alone": _copied, "reading alone": _read}


def _opened(file: Path, load: Callable[[Any], Any]) -> Any:
    with open(file, "rb") as f:
        return load(f)


def measure(way: str, file: Path, official: Path | None, size: int) -> Result:
    """Load once: seconds, seconds of the processor, and MiB of private memory kept beyond what it returns.

    Private (anonymous) memory is what the system cannot take back; pages of the mapped file are not counted
    there, but are in the highest total.
    """
    act = prepare(way, official, size)
    before, start, busy = bench_unpickle.resident(), time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        kept = act(file)
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    after = bench_unpickle.resident()
    weights = sum(t.nbytes for t in kept.state_dict().values()) / 2**20 if way == "lefs.load" else 0.0
    grown = {k: (after[k] - before[k]) / 1024 for k in after}
    return {"wall": wall, "cpu": cpu, "private": grown["RssAnon"], "peak": grown["VmHWM"], "weights": weights}


def info(file: Path) -> Result:
    """Run ``lefs info`` once."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "lefs", "info", str(file)], check=True, capture_output=True)
    return {"wall": time.perf_counter() - start}


def compare(
    file: Path, ways: list[str], arguments: argparse.Namespace, size: int = 0
) -> dict[str, list[Result]]:
    """The results of each way, taking turns."""
    results: dict[str, list[Result]] = {way: [] for way in ways}
    extra = ["--size", str(size)]
    extra += ["--official", str(arguments.official)] if arguments.official else []
    for way in ways * arguments.repeats:
        command = [sys.executable, __file__, "--measure", way, "--snapshot", str(file), *extra]
        done = subprocess.run(command, check=True, capture_output=True)
        results[way].append(json.loads(done.stdout))
    return results


def weights_size(file: Path) -> int:
    """Bytes of the generator in `file`."""
    load: Any = importlib.import_module("lefs.files.formats").load
    return sum(t.nbytes for t in load(file).state_dict().values())


def show(results: dict[str, list[Result]]) -> None:
    """Print a row for each way, and how many times faster the first is than each other."""

    def both(way: str, key: str) -> tuple[float, float]:
        found = [r[key] for r in results[way]]
        return min(found), statistics.median(found)

    print_line(f"{'':16} {'wall, ms':>17} {'processor, ms':>17} {'kept, MiB':>10} {'peak, MiB':>10}")
    print_line(f"{'':16} {'min':>8} {'median':>8} {'min':>8} {'median':>8} {'private':>10} {'all':>10}")
    for way in results:
        (a, b), (c, d) = both(way, "wall"), both(way, "cpu")
        line = f"{way:16} {1e3 * a:8.0f} {1e3 * b:8.0f} {1e3 * c:8.0f} {1e3 * d:8.0f}"
        print_line(f"{line} {both(way, 'private')[1]:10.0f} {both(way, 'peak')[1]:10.0f}")
    first, *others = results
    for way in others:
        ratios = [both(way, k)[i] / both(first, k)[i] for k in ("wall", "cpu") for i in (0, 1)]
        print_line(f"{f'  / {way}':16} " + " ".join(f"{r:8.1f}" for r in ratios))
    weights = results[first][0]["weights"]
    if weights:
        private, peak = (both(first, key)[1] - weights for key in ("private", "peak"))
        print_line(f"the generator's weights take {weights:.0f} MiB; beyond them {private:.1f} MiB stay,")
        print_line(f"and there were {peak:.1f} MiB at the peak, pages of the mapped file included")


def print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def bench_load(official: Path | None, quick: bool) -> Iterator[Row]:
    """Rows of the table of all benchmarks: wall time and private memory of loading a snapshot of 382 MB."""
    ways = ["lefs.load", "official"] if official else ["lefs, reading", "pickle, reading"]
    with tempfile.TemporaryDirectory() as folder:
        arguments = argparse.Namespace(official=official, repeats=3 if quick else 7)
        ours, usual = compare(make(Path(folder), official), ways, arguments).values()
    names = "load a snapshot of 382 MB", ways[1]
    yield Row(names[0], *(min(r["wall"] for r in found) for found in (ours, usual)), names[1], target=10)
    kept = (statistics.median(r["private"] for r in found) for found in (ours, usual))
    yield Row(f"{names[0]}: private memory kept", *kept, names[1], "MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--snapshot", type=Path)
    parser.add_argument("--official", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        result = measure(arguments.measure, arguments.snapshot, arguments.official, arguments.size)
        sys.stdout.write(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.snapshot or make(Path(folder), arguments.official)
        buildable = arguments.snapshot or arguments.official
        ways = ["lefs.load"] if buildable else ["lefs, reading"]
        ways += ["official"] if arguments.official else ["pickle, reading"]
        print_line(f"{file.name}, {file.stat().st_size / 1e6:.0f} MB, {torch.get_num_threads()} threads")
        size = weights_size(file) if buildable else 0
        show(compare(file, ways + ["pickle alone", *ALONE] * bool(size), arguments, size))
        if buildable:
            seconds = [info(file)["wall"] for _ in range(arguments.repeats)]
            print_line(f"lefs info: min {min(seconds):.2f} s, median {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
