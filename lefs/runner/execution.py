"""Check what the notebooks are told, execute them in order, keep what they made."""

from __future__ import annotations

import datetime
import itertools
import json
import logging
import os
import platform
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

import lefs
from lefs.records import ArtifactError, file_sha256, write_atomically, write_json
from lefs.runner.assets import link_pictures, link_styles, share
from lefs.runner.findings import read_findings
from lefs.runner.gallery import gallery_page
from lefs.runner.html import notebook_to_html
from lefs.runner.notebooks import find_notebooks, read_notebook
from lefs.runner.parameters import RunError
from lefs.runner.planning import PATHS, Planner, Task, run_key
from lefs.runner.timing import cell_reports, say_estimates

__all__ = ["Kernels", "NotebookFailed", "Run", "make_run", "run_notebooks", "run_tasks"]

# What it and nbclient say of a failure, the run says in its own words.
logging.getLogger("papermill").addHandler(logging.NullHandler())

_PACKAGES = ("torch", "numpy", "scikit-learn", "matplotlib", "jupyterlab", "papermill", "nbconvert")


class NotebookFailed(RunError):
    """A cell raised, or the kernel died; the notebook as far as it got is in the run's folder.

    Examples
    --------
    >>> NotebookFailed("3_editing, cell 5: edit = editor.render(recipe)").exit_code
    1
    """

    exit_code = 1


@dataclass
class Run:
    """A run of notebooks, written down after every step.

    Attributes
    ----------
    folder : Path
        ``<out>/<YYYYmmdd-HHMMSS>-<name>`` with the executed notebooks, their pages and ``assets/``,
        ``artifacts/``, ``run.json`` and ``index.html``.
    key : str
        Digest of all that it depends on: runs of one key come to the same.
    planned : int
        How many notebooks it is of.
    notebooks : list of dict
        One record per executed notebook, as in ``run.json``: name, seconds, sha256, parameters, defaults,
        findings, error, and the generator, where it is known.
    started : datetime

    Examples
    --------
    >>> Run(Path("runs/20260102-030405-lecture")).gallery.name
    'index.html'
    """

    folder: Path
    key: str = ""
    planned: int = 0
    notebooks: list[dict[str, Any]] = field(default_factory=list)
    started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now().astimezone())

    @property
    def artifacts(self) -> Path:
        """Folder of what the notebooks saved."""
        return self.folder / "artifacts"

    @property
    def gallery(self) -> Path:
        """Page with every figure and table of the run."""
        return self.folder / "index.html"

    def save(self) -> None:
        """Write ``run.json`` and the gallery."""
        versions = {"python": platform.python_version(), "platform": platform.platform()}
        versions |= {"lefs": lefs.__version__, **{package: version(package) for package in _PACKAGES}}
        content = {
            "format": "lefs-run",
            "name": self.folder.name,
            "key": self.key,
            "planned": self.planned,
            "started": self.started.isoformat(timespec="seconds"),
            "notebooks": self.notebooks,
            "versions": versions,
        }
        write_json(self.folder / "run.json", content)
        page = gallery_page(self.folder, self.notebooks, started=self.started, versions=versions)
        _write(self.gallery, page)


def run_notebooks(
    names: Sequence[str] = (),
    *,
    parameters: Iterable[tuple[str, Any]] = (),
    name: str | None = None,
    out: str | os.PathLike[str] = "runs",
    folder: str | os.PathLike[str] | None = None,
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
    progress : bool
        Say on standard error how long each notebook will take, and how far it is: a bar on a terminal,
        elsewhere a line for each cell.

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
    tasks = planner.tasks(parameters)
    run = make_run(Path(out), name or (tasks[0].path.stem if len(tasks) == 1 else "all"), tasks)
    if progress:
        say_estimates(tasks, planner.load)
    # (in the main thread nbclient would take over the signals)
    with ThreadPoolExecutor(1) as pool, Kernels() as kernels:
        pool.submit(run_tasks, run, tasks, kernels, progress=progress).result()
    return run


def run_tasks(
    run: Run, tasks: Iterable[Task], kernels: Kernels, *, progress: bool, store: Path | None = None
) -> None:
    """Execute notebooks in order, until one fails or the kernels are stopped.

    Parameters
    ----------
    run : Run
    tasks : iterable of Task
    kernels : Kernels
    progress : bool
        Whether to say which cell has run.
    store : Path, optional
        Of content that runs share: large files become links to it, and the executed notebooks link their
        pictures, too.
    """
    for task in tasks:
        if not kernels.stopped.is_set():
            _run_one(run, task, kernels, progress=progress, store=store)


def _complete(run: Run, task: Task) -> dict[str, Any]:
    """Add the run's own folder, and the catalog that an earlier notebook left there."""
    given = task.given.items()
    values = {n: _absolute(v) if n in PATHS and isinstance(v, str) else v for n, v in given}
    own = {"output": run.artifacts, "catalog": run.artifacts / "catalog"}
    values |= {n: str(p) for n, p in own.items() if n in task.values and n not in values and p.exists()}
    return {n: values[n] for n in task.values if n in values}


def _absolute(name_or_path: str) -> str:
    """A path as seen from here: the kernel works in the notebooks' folder."""
    path = Path(name_or_path).expanduser()
    return str(path.resolve()) if path.exists() else name_or_path


def make_run(out: Path, name: str, tasks: Sequence[Task]) -> Run:
    """Make the folder of a run; a `RunError` says why there cannot be one."""
    if not re.fullmatch(r"[\w.-]+", name):
        raise RunError(f"a run's name may have letters, digits, '.', '_' and '-', not {name!r}")
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    try:
        out.mkdir(parents=True, exist_ok=True)
        while True:
            folder = (out / next(names)).resolve()
            with suppress(FileExistsError):
                folder.mkdir()
                (folder / "artifacts").mkdir()
                return Run(folder, run_key(tasks), len(tasks))
    except OSError as error:
        reason = "it is a file" if out.is_file() else error.strerror
        raise RunError(f"cannot make runs in {out}: {reason}; choose another with --out") from error


def _run_one(run: Run, task: Task, kernels: Kernels, *, progress: bool, store: Path | None) -> None:
    """Execute one notebook; its record is there before, and page and gallery after it, however it ends."""
    path, parameters = task.path, _complete(run, task)
    told = {
        "parameters": parameters,
        "defaults": {n: v for n, v in task.values.items() if n not in parameters},
    }
    record: dict[str, Any] = {
        "notebook": path.stem,
        "sha256": file_sha256(path),
        # (JSON has no word for infinity)
        **json.loads(json.dumps(told), parse_constant=str),
        "findings": {},
        "error": "not finished",
        "seconds": 0.0,
    }
    if task.generator is not None:
        record["generator"] = task.generator
    run.notebooks.append(record)
    run.save()
    executed = run.folder / path.name
    start = time.perf_counter()
    try:
        try:
            _execute(task, executed, parameters, kernels, progress=progress)
        finally:
            try:
                record["findings"] = _keep(executed, path.parent, store)
            except RunError:  # (half of it, where a disk was full: make room for the record)
                with suppress(OSError):
                    executed.unlink()
        record["error"] = None
    except (ArtifactError, NotebookFailed) as error:
        record["error"] = "interrupted" if kernels.stopped.is_set() else str(error)
        page = executed.with_suffix(".html")
        kept = f"\nkept as far as it got: {page}" if page.is_file() else ""
        raise type(error)(f"{error}{kept}") from None
    finally:
        record["seconds"] = round(time.perf_counter() - start, 2)
        run.save()


def _keep(executed: Path, source: Path, store: Path | None) -> dict[str, Any]:
    """Write the page of a notebook and its pictures; return what it found."""
    notebook = link_pictures(read_notebook(executed), executed.parent)
    page = notebook_to_html(notebook, title=executed.stem, folder=source)
    _write(executed.with_suffix(".html"), link_styles(page, executed.parent))
    if store is not None:
        _write(executed, nbformat.writes(notebook))
        share(executed.parent, store)
    return read_findings(notebook)


def _write(path: Path, page: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


class Kernels:
    """The kernels that work now; all can be stopped, and are when what is done with them is interrupted.

    Parameters
    ----------
    threads : int, optional
        How many each computes with, where the user has not set OMP_NUM_THREADS.
    """

    def __init__(self, threads: int | None = None):
        self.threads = threads
        self.stopped = threading.Event()
        self.started: list[AsyncKernelManager] = []

    def __enter__(self) -> Kernels:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()

    def stop(self) -> None:
        """Kill every kernel; no other will start."""
        self.stopped.set()
        for manager in self.started:
            process = getattr(manager.provisioner, "process", None)
            if process is not None:
                process.kill()

    def manager(self, folder: Path, log: IO[bytes]) -> type[AsyncKernelManager]:
        """Of the Python that runs lefs, whichever one is installed as ``python3``; it speaks to `log`."""
        kernels = self

        class OwnKernel(AsyncKernelManager):
            @property
            def kernel_spec(self) -> KernelSpec:
                return KernelSpec(**get_kernel_dict(), env=_environment(kernels.threads))

            async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
                await super().start_kernel(**options, cwd=str(folder), stdout=log, stderr=log)
                kernels.started.append(self)
                if kernels.stopped.is_set():
                    kernels.stop()

        return OwnKernel


def _environment(threads: int | None) -> dict[str, str]:
    """Tell a kernel that nobody watches, and, in a source tree, to import the same lefs as we do."""
    found = {"LEFS_HEADLESS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    if threads is not None:
        found["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(threads))
    source = Path(lefs.__file__).parents[1]
    if (source / "pyproject.toml").is_file():
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    # (a kernel's environment is a template)
    return {name: value.replace("$", "$$") for name, value in found.items()}


def _execute(
    task: Task, executed: Path, parameters: Mapping[str, Any], kernels: Kernels, *, progress: bool
) -> None:
    path, added = task.path, bool(parameters)  # (papermill adds a cell for them)
    with tempfile.TemporaryFile() as log, cell_reports(task, injected=added, show=progress) as report:
        try:
            papermill.execute_notebook(
                *(str(each.resolve()).replace("{", "{{").replace("}", "}}") for each in (path, executed)),
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                kernel_manager_class=kernels.manager(path.parent, log),
                extra_arguments=["--log-level=ERROR"],
                on_cell_executed=report,
                # Stored widget states make HTML prefer the widget, which is blank without a network.
                store_widget_state=False,
                coalesce_streams=True,
            )
        except PapermillExecutionError as error:
            place = error.cell_index + 1 - added  # (as its author counts)
            line = next((x.strip() for x in error.source.splitlines() if x.strip()), "")
            said = f"{path.stem}, cell {place}: {line}\n  {error.ename}: {error.evalue}"
            raise NotebookFailed(said) from error
        except OSError as error:
            raise NotebookFailed(f"{path.stem}: {error}") from error
        except RuntimeError as error:  # (of a kernel that dies, now or before its first word)
            log.seek(0)
            words = [x for x in log.read().decode(errors="replace").splitlines() if x.strip()]
            raise NotebookFailed(f"{path.stem}: the kernel stopped: {[str(error), *words][-1]}") from error
