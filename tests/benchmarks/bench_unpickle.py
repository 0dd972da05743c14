"""How long, and with how much memory, `lefs` reads what the usual way reads by running it.

    python tests/benchmarks/bench_unpickle.py [--megabytes 380] [--repeats 5]

Makes a snapshot laid out as stylegan2-ada-pytorch writes it (G, D and G_ema; each tensor's storage is a
PyTorch file inside the pickle) and a zip and a legacy checkpoint of the same tensors, then reads each in new
processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pickle
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from harness import Row

import lefs.files.reading as unpickle


def install_publisher() -> Any:
    """A stand-in for the publisher's module, which the usual way has to import."""
    module: Any = types.ModuleType("torch_utils.persistence")
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    sys.modules["torch_utils"] = types.ModuleType("torch_utils")
    sys.modules["torch_utils.persistence"] = module
    return module


@contextlib.contextmanager
def publisher() -> Iterator[None]:
    """`install_publisher` for a while; the real one may be a baseline of other benchmarks."""
    names = ("torch_utils", "torch_utils.persistence")
    usual = {name: sys.modules[name] for name in names if name in sys.modules}
    install_publisher()
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(usual)


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> dict[str, Any]:
    return meta


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Persistent:
    """Pickled as a call of the publisher's function on a dict."""

    def __init__(self, **state: Any):
        self.state = state

    def __reduce__(self) -> Any:
        meta = {"type": "class", "version": 6, "module_src": "#" * 40_000, "class_name": "Layer"}
        return _reconstruct_persistent_obj, ({**meta, "state": self.state},)


def make(folder: Path, megabytes: int) -> dict[str, Path]:
    """Write the three files; return them by format."""
    files = {k: folder / f"snapshot.{k}" for k in ("pkl", "zip", "legacy")}
    count = max(1, round(megabytes / 3 / (512 * 512 * 9 * 4 / 1e6)))
    snapshot = {name: network(count) for name in ("G", "D", "G_ema")}
    with open(files["pkl"], "wb") as f:
        pickle.dump(snapshot, f)
    tensors = {
        f"{k}.{i}": m.state["_parameters"]["weight"] for k, n in snapshot.items() for i, m in n.items()
    }
    torch.save(tensors, files["zip"])
    torch.save(tensors, files["legacy"], _use_new_zipfile_serialization=False)
    return files


def network(count: int) -> dict[str, Persistent]:
    """Large weights, and the many small tensors that come with them."""

    def layer() -> Persistent:
        weight = torch.nn.Parameter(torch.randn(512, 512, 3, 3))
        small = {f"bias{j}": torch.nn.Parameter(torch.randn(512)) for j in range(8)}
        return Persistent(_parameters={"weight": weight, **small}, _buffers={}, _modules={})

    return {str(i): layer() for i in range(count)}


def read(file: Path, way: str) -> Any:
    """Read `file` with lefs or the usual way."""
    if way == "lefs":
        return unpickle.read_tree(file)
    if file.suffix == ".pkl":
        with open(file, "rb") as f:
            return pickle.load(f)
    return torch.load(file, weights_only=True)


def resident() -> dict[str, int]:
    """Kilobytes: private memory, and the highest total so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {k: int(v.split()[0]) for k, v in (x.split(":", 1) for x in lines) if k in ("RssAnon", "VmHWM")}
    return found


def measure(file: Path, way: str) -> None:
    """In a process of its own: read once, report."""
    install_publisher()
    before, start = resident(), time.perf_counter()
    tree = read(file, way)
    seconds, after = time.perf_counter() - start, resident()
    result = {k: (after[k] - before[k]) / 1024 for k in after}
    sys.stdout.write(json.dumps({"seconds": seconds, **result, "kept": len(tree)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=380)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(Path(options.measure[0]), options.measure[1])
        return
    install_publisher()
    with tempfile.TemporaryDirectory() as folder:
        for kind, file in make(Path(folder), options.megabytes).items():
            compare(kind, file, options.repeats)


def bench_unpickle(quick: bool) -> Iterator[Row]:
    """Rows of the table of all benchmarks: seconds to read each format."""
    with tempfile.TemporaryDirectory() as folder:
        with publisher():
            files = make(Path(folder), 100 if quick else 380)
        for kind, file in files.items():
            ours, usual = (median["seconds"] for median in take_turns(file, 3 if quick else 5).values())
            name = f"read a snapshot ({kind}), {file.stat().st_size / 1e6:.0f} MB"
            yield Row(name, ours, usual, "pickle" if kind == "pkl" else "torch.load")


def take_turns(file: Path, repeats: int) -> dict[str, dict[str, float]]:
    """The median of what each way takes, the two alternating."""
    ways: dict[str, list[dict[str, float]]] = {"lefs": [], "usual": []}
    for way in [*ways] * repeats:
        command = [sys.executable, __file__, "--measure", str(file), way]
        ways[way].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    return {w: {k: sorted(r[k] for r in found)[repeats // 2] for k in found[0]} for w, found in ways.items()}


def compare(kind: str, file: Path, repeats: int) -> None:
    """Print the median of each way."""
    medians = take_turns(file, repeats)
    sys.stdout.write(f"{kind}: {file.stat().st_size / 1e6:.0f} MB\n")
    for way, median in medians.items():
        sys.stdout.write(
            f"  {way:6} {1000 * median['seconds']:8.1f} ms, {median['RssAnon']:7.1f} MiB private memory, "
            f"{median['VmHWM']:7.1f} MiB more at the peak\n"
        )
    sys.stdout.write(f"  {medians['usual']['seconds'] / medians['lefs']['seconds']:.1f} times faster\n")


if __name__ == "__main__":
    main()
