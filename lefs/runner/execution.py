"""Check what the notebooks are told, execute them in order, keep what they made."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

import lefs
from lefs.checks import check_integer
from lefs.records import ArtifactError, file_sha256, printable
from lefs.runner.costs import OURS, estimate_notebook
from lefs.runner.findings import read_findings
from lefs.runner.notebooks import NotebookFailed, complaints, find_notebooks
from lefs.runner.pages import write_page
from lefs.runner.planning import PATHS, Planner, Task
from lefs.runner.runs import UNFINISHED, Run, make_run, run_name, share
from lefs.workers.chunks import as_they_end

__all__ = ["Kernels", "run_notebooks", "run_tasks"]

# What it and nbclient say of a failure, the run says in its own words.
logging.getLogger("papermill").addHandler(logging.NullHandler())

_BAR = "{desc} {percentage:3.0f}% {bar} {n_fmt}/{total_fmt} cells, {elapsed}"  # on a terminal
_SAVES = re.compile(r"\boutput\b.*catalog")  # in a line that saves a catalog for the notebooks after it


def run_notebooks(
    names: Sequence[str] = (),
    *,
    parameters: Iterable[tuple[str, Any]] = (),
    name: str | None = None,
    out: str | os.PathLike[str] = "runs",
    folder: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Run:
    """Execute notebooks in order and keep them, their pages, their artefacts and a gallery of their figures.

    Every notebook gets ``output``, the run's ``artifacts`` folder; a notebook that declares ``catalog`` gets
    the one that an earlier notebook of the run saved there, unless a request names another. Names and types,
    and what the values name, are checked before the first kernel starts.

    Parameters
    ----------
    names : sequence of str
    folder : str or path, optional
        Which notebooks; see `find_notebooks`.
    parameters : iterable of (str, Any)
        Requests; ``("1_dissection.clusters", 12)`` addresses one notebook, ``("clusters", 12)`` all that
        have it.
    name : str, optional
        Ends the run folder's name; by default the notebook's, or ``all``.
    out : str or path
        Folder that collects runs, made if need be.
    workers : int, optional
        How many notebooks at a time; one that takes a catalog waits for those before it that save one. None:
        two of those that came with lefs; of others, which may need more from each other, one.
    progress : bool
        Say on standard error how long each notebook will take, and how far it is: a bar on a terminal,
        elsewhere, and of several at a time, a line for each cell.

    Returns
    -------
    Run

    Raises
    ------
    RunError
        If a notebook is missing or the run folder cannot be made.
    ParameterError
        If a parameter is unknown, of another type than the notebook declares, or not among what there is.
    ArtifactError
        If the generator or a given catalog cannot be read.
    NotebookFailed
        If a cell raises; names notebook, cell and error. What was made until then is kept.

    Examples
    --------
    >>> run = run_notebooks(["1_dissection"], parameters=[("clusters", 12)])  # doctest: +SKIP
    >>> run.gallery  # doctest: +SKIP
    PosixPath('runs/20260102-030405-1_dissection/index.html')
    """
    planner = Planner(find_notebooks(names, folder=folder))
    if workers is None:
        workers = min(2, os.cpu_count() or 1) if OURS.issuperset(planner.declared) else 1
    with complaints():
        check_integer("workers", workers, minimum=1)
    tasks = planner.tasks(parameters)
    usual = run_name(tasks[0].path.stem) if len(tasks) == 1 else "all"
    run = make_run(Path(out), usual if name is None else name, tasks)
    for task in (task for task in tasks if progress and task.generator is not None):
        estimate = estimate_notebook(task.path.stem, task.values, planner.timed(task))
        sys.stderr.write(f"{task.path.stem:<14} {estimate}\n")
    shown = "bar" if sys.stderr.isatty() and min(workers, len(tasks)) == 1 else "lines"
    run_tasks(run, tasks, Kernels(progress=shown if progress else ""), workers)
    return run


def run_tasks(run: Run, tasks: Sequence[Task], kernels: Kernels, workers: int = 1) -> None:
    """Execute notebooks in order, so many at a time, until one fails or the kernels are stopped.

    In threads of their own: in the main one nbclient would take over the signals. Kernels that work side by
    side share the cores; those whose catalog others wait for have all of them.
    """
    begun, saving = list[Future[None]](), list[Future[None]]()
    beside = min(workers, sum(not _saves(task) for task in tasks))
    each = max(1, (os.cpu_count() or 1) // beside) if beside > 1 else None
    shared = replace(kernels, threads=kernels.threads or each)
    with ThreadPoolExecutor(workers) as pool, kernels:
        for task in tasks:
            list(as_they_end(saving if "catalog" in task.values else ()))
            begun.append(pool.submit(_run_one, run, task, kernels if _saves(task) else shared))
            saving += [begun[-1]] if _saves(task) else []
        list(as_they_end(begun))
    for done in begun:
        done.result()


def _saves(task: Task) -> bool:
    """Whether a notebook saves a catalog for those after it."""
    return any(_SAVES.search(c.source) for c in task.notebook.cells if c.cell_type == "code")


def _told(run: Run, task: Task) -> dict[str, Any]:
    """What was asked for, the run's own folder, and the catalog that an earlier notebook left there.

    Paths are as seen from here: the kernel works in the notebooks' folder.
    """
    own = {"output": run.artifacts, "catalog": run.artifacts / "catalog"}
    given = {n: str(path) for n, path in own.items() if path.exists()} | dict(task.given)
    for name, value in given.items():
        if name in PATHS and isinstance(value, str) and value and Path(value).expanduser().exists():
            given[name] = str(Path(value).expanduser().resolve())
    return {n: given[n] for n in task.values if n in given}


def _run_one(run: Run, task: Task, kernels: Kernels) -> None:
    """Execute one notebook; its record is there before, and page and gallery after it, however it ends."""
    if run.error not in (None, UNFINISHED) or kernels.stopped.is_set():
        return
    path, parameters, start = task.path, _told(run, task), time.perf_counter()
    defaults = {n: v for n, v in task.values.items() if n not in parameters}
    told = json.dumps({"parameters": parameters, "defaults": defaults})
    record: dict[str, Any] = {"notebook": path.stem, "sha256": file_sha256(path)}
    record |= json.loads(told, parse_constant=str)  # (JSON has no word for infinity)
    record |= {"findings": {}, "error": UNFINISHED, "seconds": 0.0}
    record |= {} if task.generator is None else {"generator": task.generator}
    run.begin(record)
    executed = run.folder / path.name
    try:
        try:
            _execute(task, executed, parameters, kernels)
        finally:
            shown = write_page(executed, path.parent, linked=kernels.store is not None)
            record["findings"] = read_findings(shown)
            if kernels.store is not None:
                share(run.folder, kernels.store)
        record["error"] = None
    except (ArtifactError, NotebookFailed) as error:
        record["error"] = "interrupted" if kernels.stopped.is_set() else str(error)
        page = executed.with_suffix(".html")
        kept = f"\nkept as far as it got: {page}" if page.is_file() else ""
        raise type(error)(f"{error}{kept}") from None
    finally:
        record["seconds"] = round(time.perf_counter() - start, 2)
        run.save()


@dataclass
class Kernels(AbstractContextManager["Kernels"]):
    """The kernels that work now; all can be stopped, and are when what is done with them is interrupted.

    Attributes
    ----------
    threads : int, optional
        How many each computes with, where the user has not set OMP_NUM_THREADS.
    progress : {"", "lines", "bar"}
        How to say which cell has run.
    store : Path, optional
        Of content that runs share: large files become links to it, and the executed notebooks link their
        pictures, too.
    stopped, started : Event, list
    """

    threads: int | None = None
    progress: str = ""
    store: Path | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    started: list[AsyncKernelManager] = field(default_factory=list)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()

    def stop(self) -> None:
        """Kill every kernel; no other will start."""
        self.stopped.set()
        for process in (getattr(manager.provisioner, "process", None) for manager in self.started):
            if process is not None:
                process.kill()

    def manager(self, folder: Path, log: IO[bytes]) -> type[AsyncKernelManager]:
        """Of the Python that runs lefs, whichever one is installed as ``python3``; it speaks to `log`."""
        kernels = self

        class OwnKernel(AsyncKernelManager):
            @property
            def kernel_spec(self) -> KernelSpec:
                return KernelSpec(**get_kernel_dict())

            async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
                place = {"cwd": str(folder), "stdout": log, "stderr": log}
                await super().start_kernel(**options, **place, env=_environment(kernels.threads))
                kernels.started.append(self)
                if kernels.stopped.is_set():
                    kernels.stop()

        return OwnKernel


def _environment(threads: int | None) -> dict[str, str]:
    """Tell a kernel that nobody watches, and, in a source tree, to import the same lefs as we do."""
    found = os.environ | {"LEFS_HEADLESS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    if threads is not None:
        found.setdefault("OMP_NUM_THREADS", str(threads))
    source = Path(lefs.__file__).parents[1]
    if (source / "pyproject.toml").is_file():
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source), found.get("PYTHONPATH")]))
    return found


def _execute(task: Task, executed: Path, parameters: Mapping[str, Any], kernels: Kernels) -> None:
    path, added = task.path, bool(parameters)  # (papermill adds a cell for them)
    bar = {"desc": f"{path.stem:<16}", "bar_format": _BAR} if kernels.progress == "bar" else False
    with tempfile.TemporaryFile() as log:
        try:
            papermill.execute_notebook(
                *(str(each.resolve()).replace("{", "{{").replace("}", "}}") for each in (path, executed)),
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                start_timeout=600,  # seconds, on a machine that is busy (one that died is noticed at once)
                progress_bar=bar,
                kernel_manager_class=kernels.manager(path.parent, log),
                extra_arguments=["--log-level=ERROR"],
                on_cell_executed=_reporter(task) if kernels.progress == "lines" else None,
                # Stored widget states make HTML prefer the widget, which is blank without a network.
                store_widget_state=False,
                coalesce_streams=True,
            )
        except PapermillExecutionError as error:
            place = error.cell_index + 1 - added  # (as its author counts)
            line = next((x.strip() for x in error.source.splitlines() if x.strip()), "")
            said = f"{path.stem}, cell {place}: {line:.200}\n  {error.ename}: {error.evalue}"
            raise NotebookFailed(printable(said)) from error
        except OSError as error:
            raise NotebookFailed(f"{path.stem}: {error}") from error
        except RuntimeError as error:  # (of a kernel that dies, now or before its first word)
            log.seek(0)
            words = [x for x in log.read().decode(errors="replace").splitlines() if x.strip()]
            raise NotebookFailed(f"{path.stem}: the kernel stopped: {[str(error), *words][-1]}") from error


def _reporter(task: Task) -> Callable[..., None]:
    """What papermill calls after each cell, to write a line about it, where no bar can move."""
    cells, last, added = task.notebook.cells, time.perf_counter(), 0

    def report(*, cell: NotebookNode, cell_index: int, **_: Any) -> None:
        nonlocal last, added
        taken, last = time.perf_counter() - last, time.perf_counter()
        if "injected-parameters" in cell.metadata.get("tags", []):
            added = 1  # (papermill's own cell, which its author does not count)
        elif cell.cell_type == "code":
            number = cell_index + 1 - added
            place = f"{task.path.stem}, cell {number} of {len(cells)}"
            sys.stderr.write(f"{place}: {taken:6.1f} s  {_title(cells[:number])}\n")
            sys.stderr.flush()

    return report


def _title(cells: Sequence[NotebookNode]) -> str:
    """What the last of these cells is: the heading right above it, or its first line."""
    *before, cell = cells
    if "parameters" in cell.metadata.get("tags", []):
        return "parameters, after the kernel has started"
    above = takewhile(lambda c: c.cell_type == "markdown", reversed(before))
    headings = [line.lstrip("# ") for c in above for line in c.source.splitlines() if line.startswith("#")]
    return [*headings, *(line.strip() for line in cell.source.splitlines() if line.strip()), ""][0]
