"""A grid of runs: each in a folder of its own, several at a time; what is there is not run again."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lefs.checks import check_integer
from lefs.records import ArtifactError, exclusive, printable
from lefs.runner.costs import duration
from lefs.runner.execution import Kernels, run_tasks
from lefs.runner.notebooks import NotebookFailed, ParameterError, RunError, complaints, find_notebooks
from lefs.runner.planning import Planner, Task, run_key
from lefs.runner.runs import UNFINISHED, Run, collecting, make_run, results, run_name, save_results
from lefs.workers.chunks import retried

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Sweep", "read_grid", "read_rows", "sweep_notebooks"]

_STORE = ".shared"  # folder of what runs have in common, named by content
_BAR = "sweep {percentage:3.0f}% {bar} {n_fmt}/{total_fmt} runs, {elapsed}, {remaining} left"


@dataclass(frozen=True)
class Sweep:
    """What a sweep came to.

    Attributes
    ----------
    folder : Path
        Of the runs, of ``results.csv`` and of ``index.html``.
    table : DataFrame
        A row for each notebook of each run that there is, as `results` makes it.
    failed : mapping of str to str
        Which points failed, and with what.
    missing : int
        How many have not been run: those of other shards, or all but the failed ones.

    Examples
    --------
    >>> sweep = sweep_notebooks(["1"], grid={"clusters": [8, 16]})  # doctest: +SKIP
    >>> sweep.failed  # doctest: +SKIP
    {}
    """

    folder: Path
    table: DataFrame
    failed: Mapping[str, str]
    missing: int


@dataclass(frozen=True)
class _Point:
    label: str
    tasks: Sequence[Task]
    key: str


def sweep_notebooks(
    names: Sequence[str] = (),
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    rows: Sequence[Mapping[str, Any]] = ({},),
    parameters: Iterable[tuple[str, Any]] = (),
    name: str | None = None,
    out: str | os.PathLike[str] = "runs",
    folder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    shard: str = "1/1",
    only_failed: bool = False,
    progress: bool = True,
) -> Sweep:
    """Run notebooks at every point of a grid; what is there already, with the same content, is not run again.

    Names and values of all points are checked before the first kernel starts. A point that fails does not
    stop the others.

    Parameters
    ----------
    names, parameters, folder
        As for `run_notebooks`; the parameters hold at every point.
    grid : mapping of str to sequence
        ``{"clusters": [8, 16], "part": ["hair", "eyes"]}``: every value of one with every value of the other.
    rows : sequence of mapping of str to Any
        Points of one's own, each with the whole grid; see `read_rows`.
    name : str, optional
        Of the sweep's folder in `out`; by default the notebook's, or ``all``, and ``-sweep``.
    out : str or path
    workers : int
        How many runs at a time; the cores are divided among them.
    executor : Executor, optional
        Runs the points in its own threads, processes or machines, which must see the same folders.
    shard : str
        ``"1/4"``: the first of four machines that divide the points.
    only_failed : bool
        Run again what failed, and nothing that has not been run yet.
    progress : bool
        Say on standard error what it will take, and how far it is.

    Returns
    -------
    Sweep

    Raises
    ------
    ParameterError, RunError, ArtifactError
        As for `run_notebooks`, before anything is run; also if two points are the same or the disk is too
        small.

    Examples
    --------
    >>> sweep = sweep_notebooks(["1"], grid={"clusters": [8, 16, 24]}, workers=2)  # doctest: +SKIP
    >>> sweep.table[["clusters", "stability"]]  # doctest: +SKIP
    """
    counted = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not counted or not 1 <= int(counted[1]) <= int(counted[2]):
        raise ParameterError(f"shard must be such as 1/4, the first of four, not {shard!r}")
    with complaints():
        check_integer("workers", workers, minimum=1)
    paths = find_notebooks(names, folder=folder)
    if name is None:
        name = f"{run_name(paths[0].stem) if len(paths) == 1 else 'all'}-sweep"
    place = Path(out).resolve() / name
    threads = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else None
    planner = Planner(paths, threads)
    points = _points(planner, [*parameters], grid or {}, rows)
    with collecting(place.parent, name):
        place.mkdir(exist_ok=True)
    before = _runs_in(place)
    mine = [p for p in points[int(counted[1]) - 1 :: int(counted[2])] if p.key in before or not only_failed]
    todo = [p for p in mine if not _done(p, before)]
    if progress:
        kept = [before[p.key][-1] for p in points if _done(p, before)]
        _say_costs(place, todo, workers, planner, kept)
    kernels = Kernels(threads, store=place / _STORE)
    with ThreadPoolExecutor(workers) as threads_of_ours:  # (none starts where another executor is given)
        errors = _work(place, todo, executor or threads_of_ours, kernels, progress)
    after = _runs_in(place)
    for shared in (place / _STORE).glob("*"):
        with suppress(FileNotFoundError):
            if shared.is_file() and shared.stat().st_nlink == 1:
                shared.unlink()
    newest = {p.label: after[p.key][-1] for p in points if p.key in after and not _running(place, p, after)}
    folders = [run.folder for run in newest.values()]
    if newest:
        save_results(folders, place)
    failed = {label: f"{run.error}\n{run.folder}" for label, run in newest.items() if run.error is not None}
    return Sweep(place, results(folders), failed | errors, len(points) - len(newest.keys() | errors))


def read_grid(texts: Iterable[str]) -> dict[str, list[str]]:
    """Read ``clusters=8,16`` as what `sweep_notebooks` takes; commas in brackets and braces divide nothing.

    Examples
    --------
    >>> read_grid(["clusters=8,16", "parts=[hair,eyes],[skin]"])
    {'clusters': ['8', '16'], 'parts': ['[hair,eyes]', '[skin]']}
    """
    grid: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not (name and equals and values) or name in grid:
            raise ParameterError(f"--sweep takes a name, once, and its values: clusters=8,16; not {text!r}")
        parts = list[str]()
        for piece in values.split(","):
            closed = not parts or all(parts[-1].count(a) <= parts[-1].count(b) for a, b in ("()", "[]", "{}"))
            parts = [*parts, piece] if closed else [*parts[:-1], f"{parts[-1]},{piece}"]
        grid[name] = [part.strip() for part in parts]
    return grid


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read points from a file: a CSV with a line of names above, or a JSON list of objects.

    Parameters
    ----------
    path : str or path
        An empty cell of a CSV leaves the notebook's own value.

    Returns
    -------
    list of dict of str to Any

    Raises
    ------
    ParameterError
        If it cannot be read, or has no rows.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "points.json"
    >>> _ = path.write_text('[{"clusters": 8, "truncation": 1.0}, {"clusters": 24}]')
    >>> read_rows(path)
    [{'clusters': 8, 'truncation': 1.0}, {'clusters': 24}]
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        if Path(path).suffix.lower() == ".json":
            rows = json.loads(text, object_pairs_hook=_once)
            fits = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
        else:
            table = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
            cells = [[cell.strip() for cell in row] for row in table]
            names, *lines = [row for row in cells if any(row)] or [[]]
            fits = all(len(line) == len(names) for line in lines)
            rows = [_once([(n, v) for n, v in zip(names, line, strict=False) if v]) for line in lines]
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise ParameterError(f"cannot read the points of {path}: {error}") from None
    if not rows or not fits:
        wanted = "a list of objects (.json), or a line of names and as many values in each line below (.csv)"
        raise ParameterError(f"{path} has no points, or lines of another length; it should hold {wanted}")
    return rows


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of pairs; a ValueError if a name comes twice."""
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{min(twice)!r:.100} is given twice")
    return dict(pairs)


def _points(
    planner: Planner, parameters: Iterable[Any], grid: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]
) -> list[_Point]:
    points: dict[str, _Point] = {}
    for row, *values in itertools.product(rows, *grid.values()):
        told = [*row.items(), *zip(grid, values, strict=True)]
        label = ", ".join(f"{name}={value}" for name, value in told) or "as it is"
        try:
            tasks = planner.tasks([*parameters, *told])
        except (ParameterError, ArtifactError) as error:
            raise type(error)(f"(at {printable(label, 200)}) {error}") from None
        point = _Point(label, tasks, run_key(tasks))
        if point.key in points:
            same = printable(f"{points[point.key].label} and {label}", 200)
            raise ParameterError(f"two points are the same: {same}")
        points[point.key] = point
    return [*points.values()]


def _runs_in(place: Path) -> dict[str, list[Run]]:
    """The runs of a folder by their keys: those that failed, then those that did not, each oldest first."""
    found: dict[str, list[Run]] = {}
    for path in sorted(place.glob("*/run.json")):
        try:
            run = Run.load(path)
        except ArtifactError:
            if path.exists():
                raise
            continue  # (another sweep has replaced it meanwhile)
        found.setdefault(run.key, []).append(run)
    return {key: sorted(runs, key=lambda run: run.error is None) for key, runs in found.items()}


def _done(point: _Point, runs: Mapping[str, Sequence[Run]]) -> bool:
    return point.key in runs and runs[point.key][-1].error is None


def _say_costs(
    place: Path, todo: Sequence[_Point], workers: int, planner: Planner, kept: Sequence[Run]
) -> None:
    """Say what it will take; a `RunError` if the disk is too small for it."""
    seconds, size = planner.costs(task for point in todo for task in point.tasks)
    how = "as estimated"
    if kept:
        how, each = f"as the {len(kept)} that are there", len(todo) / len(kept)
        seconds = each * sum(record["seconds"] for run in kept for record in run.notebooks)
        files = [file.stat() for run in kept for file in run.folder.rglob("*") if file.is_file()]
        # (what no other run shares; one link is the store's)
        size = min(size, each * sum(f.st_size / max(1, f.st_nlink - 1) for f in files) / 1e6)
    free = shutil.disk_usage(place).free / 1e6
    span = f"about {duration(seconds / workers)}" if math.isfinite(seconds) else "a time not known"
    room = f"{size:,.0f} MB" if math.isfinite(size) else "room not known"
    said = f"{len(todo)} runs to do, {len(kept)} there, {workers} at a time: {span} and {room}, {how}"
    sys.stderr.write(f"{said}; {free:,.0f} MB are free\n")
    if math.isfinite(size) and size > free:
        raise RunError(f"this needs {room}, and {free:,.0f} MB are free; choose another folder with --out")


def _work(
    place: Path, todo: Sequence[_Point], pool: Executor, kernels: Kernels, progress: bool
) -> dict[str, str]:
    """Run the points, and say how far it is: a bar on a terminal, elsewhere a line for each.

    Returns what went wrong with those that could not be run, of which there is no record.
    """
    errors, lines, start = dict[str, str](), progress and not sys.stderr.isatty(), time.perf_counter()
    shared = kernels if isinstance(pool, ThreadPoolExecutor) else None
    shown = tqdm(total=len(todo), bar_format=_BAR, disable=lines or not progress)
    attempts = retried(pool, partial(_attempt, place, kernels=shared), todo)
    with shown as bar, kernels, closing(attempts):
        for number, (point, future) in enumerate(attempts, 1):
            label, error = point.label, future.exception()
            errors |= {} if error is None else {label: str(error) or repr(error)}
            done = "failed" if error else future.result()
            bar.update()
            if lines:
                left = duration((time.perf_counter() - start) / number * (len(todo) - number))
                sys.stderr.write(f"{number}/{len(todo)} {printable(label, 200)}: {done}; {left} left\n")
    return errors


def _attempt(place: Path, point: _Point, kernels: Kernels | None) -> str:
    """Run one point, in place of attempts that failed, and say how it went; why stands in its record."""
    kernels = kernels or Kernels(store=place / _STORE)
    with _claim(place, point) as free:
        older = _runs_in(place)
        if not free or _done(point, older):
            return "done, or to be done, by another sweep"
        if kernels.stopped.is_set():
            return "interrupted"
        done = "failed"
        with suppress(NotebookFailed):
            run = make_run(place, run_name(point.label), point.tasks)
            run_tasks(run, point.tasks, kernels)
            done = "done"
        for attempt in older.get(point.key, []):
            shutil.rmtree(attempt.folder, ignore_errors=True)
    return done


@contextmanager
def _claim(place: Path, point: _Point) -> Iterator[bool]:
    """Hold a point against other sweeps in this folder; yields whether none of them does."""
    folder = place / _STORE / "running" / point.key[:24]
    with exclusive(folder, wait=False) as free:
        try:
            yield free
        finally:
            with suppress(OSError):
                if free:
                    folder.rmdir()


def _running(place: Path, point: _Point, runs: Mapping[str, Sequence[Run]]) -> bool:
    """Whether another sweep is at work on it."""
    if runs[point.key][-1].error != UNFINISHED:
        return False
    with _claim(place, point) as free:
        return not free
