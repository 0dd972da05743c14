"""How long it takes: an estimate before a notebook starts, and word of each cell that has run."""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from lefs.generator import Generator

if TYPE_CHECKING:
    import nbformat

    from lefs.runner.planning import Task

__all__ = [
    "cell_reports",
    "duration",
    "estimate_notebook",
    "say_estimates",
    "seconds_per_image",
    "sweep_costs",
]

# How many images each notebook makes, whole or in part, as counted, seconds of all that are not images (its
# kernel, clustering, figures), and megabytes that a run of a sweep leaves
_COSTS: Mapping[str, tuple[Callable[[Mapping[str, Any]], int], int, float]] = {
    "1_dissection": (lambda v: 6 * v["images"] + 700, 45, 2.2),
    "2_catalog": (lambda v: 2 * v["images"] + 60, 15, 1.7),
    "3_editing": (lambda v: (2 * (len(v["parts"]) or 5) + 1) * v["pairs"] + 300, 20, 2.6),
    "4_units": (lambda v: 2 * v["images"] + 60 * v["tested"] + 64 * v["search_steps"], 20, 1.8),
    "5_evaluation": (lambda v: 200 * v["pairs"], 20, 1.0),
    "6_directions": (lambda v: 25 * v["targets"] + 300, 20, 2.1),
}


def estimate_notebook(name: str, values: Mapping[str, Any], one: float) -> str:
    """Say how long a notebook of ours will take, and what that is based on.

    Parameters
    ----------
    name : str
        Such as ``"3_editing"``; of any other notebook nothing is known.
    values : mapping of str to Any
        Its parameters.
    one : float
        Seconds that one image takes.

    Examples
    --------
    >>> estimate_notebook("2_catalog", {"images": 128}, 0.5)
    'about 3 min: 316 images at 0.5 s each, as timed on one, and 15 s for the rest'
    """
    if name not in _COSTS:
        return "not known: this notebook did not come with lefs"
    images, rest, _ = _COSTS[name]
    count = images(values)
    if "minutes" in values:  # (samples are as large as it allows)
        count = min(count, int(60 * values["minutes"] / one) + 150)
    how = f"{count:,} images at {one:.2g} s each, as timed on one, and {rest} s for the rest"
    return f"about {duration(count * one + rest)}: {how}"


def duration(seconds: float) -> str:
    """Seconds or minutes, for people."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def sweep_costs(
    tasks: Iterable[Task], load: Callable[[str], Generator], threads: int | None = None
) -> tuple[float, float]:
    """Estimate seconds and megabytes of all tasks together; infinite where a notebook is not one of ours.

    Parameters
    ----------
    tasks : iterable of Task
    load : callable
        Returns the generator of a name.
    threads : int, optional
        How many each kernel will compute with.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        return _summed(tasks, functools.cache(lambda name, label: seconds_per_image(load(name), label)))
    finally:
        torch.set_num_threads(before)


def _summed(tasks: Iterable[Task], timed: Callable[[str, int], float]) -> tuple[float, float]:
    seconds = space = 0.0
    for task in tasks:
        if task.generator is None or task.path.stem not in _COSTS:
            return math.inf, math.inf
        images, rest, megabytes = _COSTS[task.path.stem]
        seconds += images(task.values) * timed(task.values["generator"], task.values["label"]) + rest
        # (of a catalog: that of so many clusters, or that which was named)
        own = {"1_dissection": 0.0135 * task.values.get("clusters", 0), "2_catalog": task.catalog}
        space += megabytes + own.get(task.path.stem, 0)
    return seconds, space


def seconds_per_image(generator: Generator, label: int = -1) -> float:
    """Time one image: the best of five, or of as many as a second is enough for."""
    chosen = generator.with_label(label) if label >= 0 else generator
    taken: list[float] = []
    with torch.inference_mode():
        styles = chosen.sample([0])
        while not taken or (len(taken) < 5 and sum(taken) < 1):
            start = time.perf_counter()
            chosen.synthesize(styles).cpu()
            taken.append(time.perf_counter() - start)
    return min(taken)


def say_estimates(tasks: Iterable[Task], load: Callable[[str], Generator]) -> None:
    """Write an estimate for each notebook to standard error."""
    timed = functools.cache(seconds_per_image)
    for task in tasks:
        if task.generator is not None:
            one = timed(load(task.values["generator"]), task.values["label"])
            text = estimate_notebook(task.path.stem, task.values, one)
            sys.stderr.write(f"{task.path.stem:<14} {text}\n")
    sys.stderr.flush()


@contextmanager
def cell_reports(task: Task, *, injected: bool, show: bool) -> Iterator[Callable[..., None]]:
    """Yield what is to be called after each cell: moves a bar on a terminal, elsewhere writes a line.

    Parameters
    ----------
    task : Task
    injected : bool
        Whether papermill adds a cell of parameters.
    show : bool
        Whether anything is said at all.
    """
    name, titles, bars = task.path.stem, _titles(task.notebook), sys.stderr.isatty()
    shape = "{desc:<16} {percentage:3.0f}% {bar} {n_fmt}/{total_fmt} cells, {elapsed}"
    with tqdm(desc=name, total=len(titles) + injected, bar_format=shape, disable=not (show and bars)) as bar:
        last, before = time.perf_counter(), 0

        def report(*, cell: nbformat.NotebookNode, cell_index: int, **_: Any) -> None:
            nonlocal last, before
            bar.update()
            taken, last = time.perf_counter() - last, time.perf_counter()
            if "injected-parameters" in cell.metadata.get("tags", []):
                before = 1  # (papermill's own cell, which its author does not count)
            elif show and not bars and cell.cell_type == "code":
                number = cell_index + 1 - before
                place = f"{name}, cell {number} of {len(task.notebook.cells)}"
                sys.stderr.write(f"{place}: {taken:6.1f} s  {titles.get(number, '')}\n")
                sys.stderr.flush()

        yield report


def _titles(notebook: nbformat.NotebookNode) -> dict[int, str]:
    """What each code cell is, by its number: the heading above it, or its first line."""
    titles, heading = {}, ""
    for number, cell in enumerate(notebook.cells, 1):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if cell.cell_type == "markdown":
            heading = next((line.lstrip("# ") for line in lines if line.startswith("#")), heading)
        elif cell.cell_type == "code":
            tagged = "parameters" in cell.metadata.get("tags", [])
            first = lines[0].strip() if lines else ""
            titles[number] = "parameters, after the kernel has started" if tagged else heading or first
            heading = ""
    return titles
