"""What the benchmarks share: a row of the table, how it is measured, how the table looks.

A file `bench_*.py` holds functions `bench_*` that take any of `official`, `threads`, `quick`, `full` (or all
of them as `options`) and yield a `Row` for each comparison; `pytest tests/benchmarks` runs them and prints
one table.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "Options",
    "Row",
    "call",
    "clock",
    "in_process",
    "interleaved",
    "machine",
    "peak_flops",
    "save",
    "skip",
    "table",
]

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Row:
    """One comparison, of two numbers of which less is better, measured in one run.

    Attributes
    ----------
    name : what is compared
    ours, baseline : the two numbers, of the same `unit`; NaN where there is nothing to compare with
    baseline_name : what the baseline is
    unit : of both numbers
    target : least ratio baseline / ours that was aimed at, or None
    note : whatever helps to read the numbers
    points : what a slope was fitted to, for figures; not in the table
    """

    name: str
    ours: float
    baseline: float
    baseline_name: str
    unit: str = "s"
    target: float | None = None
    note: str = ""
    points: tuple[tuple[float, float], ...] = ()

    @property
    def ratio(self) -> float:
        """How many times less ours is than the baseline."""
        return self.baseline / self.ours if self.ours else math.nan

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None if there is none, or no baseline."""
        return None if self.target is None or math.isnan(self.ratio) else self.ratio >= self.target


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    official: Path | None = None  # a checkout of stylegan2-ada-pytorch
    threads: int = 1
    quick: bool = False
    full: bool = False


def skip(name: str, why: str) -> Row:
    """A row that could not be measured, with a word of why."""
    return Row(name, math.nan, math.nan, "", note=f"skipped: {why}")


def call(function: Callable[..., Iterator[Row]], options: Options) -> Iterator[Row]:
    """Run one benchmark, giving it those options that its signature names."""
    known = {**vars(options), "options": options}
    yield from function(**{name: known[name] for name in inspect.signature(function).parameters})


# -- measuring ---------------------------------------------------------------------------------------------


def clock() -> float:
    """Seconds: of the processor on one thread, where a busy machine changes them least; else wall time."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def interleaved(*ways: Callable[[], Any], repeats: int = 5) -> list[float]:
    """The least seconds (of `clock`) of each way, taking turns: a busy moment meets them all alike."""
    least = [math.inf] * len(ways)
    for _ in range(repeats):
        for i, way in enumerate(ways):
            start = clock()
            way()
            least[i] = min(least[i], clock() - start)
    return least


def in_process(module: str, function: str, **arguments: Any) -> dict[str, Any]:
    """Call ``module.function(**arguments)`` in a new process; what it returns, with the memory it took.

    Arguments and result are plain values. ``"peak"`` is the most memory (bytes) that the process ever held,
    ``"start"`` what it held once torch, lefs and the module were imported.
    """
    task = json.dumps([module, function, arguments, torch.get_num_threads()])
    paths = os.pathsep.join([str(HERE), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, str(HERE / "harness.py"), task]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{module}.{function} failed in its process:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _task() -> None:
    module, function, arguments, threads = json.loads(sys.argv[1])
    torch.set_num_threads(threads)
    act = getattr(__import__(module), function)
    start = resident()["VmRSS"]
    result = act(**arguments) or {}
    sys.stdout.write("\n" + json.dumps({**result, "peak": resident()["VmHWM"], "start": start}))


def resident() -> dict[str, int]:
    """Bytes of memory that this process holds (VmRSS) and the most it ever held (VmHWM), on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {k: int(v.split()[0]) * 1024 for k, v in pairs if k in ("VmRSS", "VmHWM")}


def peak_flops(size: int = 2048, repeats: int = 5) -> float:
    """Operations per second of this machine's float32 matrix product."""
    a = torch.ones(size, size)
    return 2 * size**3 / interleaved(lambda: a @ a, repeats=repeats)[0]


# -- showing -----------------------------------------------------------------------------------------------


def machine() -> str:
    """The processor, its cores, the threads in use, and the version of torch."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")
        ]
        model = names[0] if names else model
    threads = torch.get_num_threads()
    return (
        f"{model}, {os.cpu_count()} cores, {threads} thread{'s' * (threads > 1)}, torch {torch.__version__}"
    )


def _number(value: float, unit: str) -> str:
    if math.isnan(value):
        return "–"
    if unit == "s" and value < 0.1:
        value, unit = 1000 * value, "ms"
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def _cells(row: Row) -> list[str]:
    ratio = "–" if math.isnan(row.ratio) else f"{row.ratio:.3g} ×"
    target = "–" if row.target is None else f"{row.target:.3g} ×"
    met = {None: "–", True: "yes", False: "NO"}[row.met]
    numbers = [_number(row.ours, row.unit), _number(row.baseline, row.unit)]
    return [row.name, numbers[0], numbers[1], row.baseline_name, ratio, target, met, row.note]


def table(rows: Sequence[Row]) -> str:
    """All rows as one table in Markdown, its columns aligned."""
    head = ["what", "lefs", "baseline", "baseline is", "ratio", "target", "met", "note"]
    lines = [head, *[_cells(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head) - 1)]
    lines.insert(1, ["-" * w for w in widths] + ["---"])
    return "\n".join(
        "| " + " | ".join([c.ljust(w) for c, w in zip(line, widths, strict=False)] + line[-1:]) + " |"
        for line in lines
    )


def save(file: Path, rows: Sequence[Row], options: Options) -> None:
    """Write rows and machine as JSON, from which figures are drawn; NaN becomes null."""
    kept = [{k: None if v != v else v for k, v in asdict(row).items()} for row in rows]
    taken = {"quick": options.quick, "full": options.full, "official": options.official is not None}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": machine(), **taken, "rows": kept}, indent=1) + "\n")


if __name__ == "__main__":
    _task()
