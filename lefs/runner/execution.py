"""Check what the notebooks are told, execute them in order, keep what they made."""

from __future__ import annotations

import datetime
import functools
import itertools
import json
import os
import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

import lefs
from lefs.records import ArtifactError, file_sha256, write_atomically, write_json
from lefs.runner.domains import check_values, open_catalog
from lefs.runner.gallery import gallery_page
from lefs.runner.html import notebook_to_html
from lefs.runner.notebooks import declared_parameters, find_notebooks, read_notebook
from lefs.runner.parameters import RunError, assign_parameters
from lefs.runner.timing import Task, cell_reports, say_estimates

__all__ = ["NotebookFailed", "Run", "run_notebooks"]

_PATHS = ("generator", "catalog", "target", "reference")  # parameters that may name a file
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
        ``<out>/<YYYYmmdd-HHMMSS>-<name>`` with the executed notebooks, their pages, ``artifacts/``,
        ``run.json`` and ``index.html``.
    notebooks : list of dict
        One record per executed notebook, as in ``run.json``: name, seconds, sha256, parameters, error, and
        the generator, where it is known.
    started : datetime

    Examples
    --------
    >>> Run(Path("runs/20260102-030405-lecture")).gallery.name
    'index.html'
    """

    folder: Path
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
    paths = find_notebooks(names, folder=folder)
    tasks = _tasks(paths, parameters)
    run = Run(_make_folder(Path(out), name or (paths[0].stem if len(paths) == 1 else "all")))
    if progress:
        say_estimates(tasks)
    for task in tasks:
        _run_one(run, task, progress=progress)
    return run


def _tasks(paths: Sequence[Path], requested: Iterable[tuple[str, Any]]) -> list[Task]:
    """What each notebook will be told, held against what there is, if its first cell would do so, too."""
    declared = {p.stem: declared_parameters(p) for p in paths}
    given = assign_parameters(requested, declared)
    load = functools.cache(lefs.load)
    tasks: list[Task] = []
    clusters = 0
    for path in paths:
        told = {n: p.default for n, p in declared[path.stem].items()} | given[path.stem]
        notebook, generator = read_notebook(path), None
        if any("runner.prepare(" in cell.source for cell in notebook.cells if cell.cell_type == "code"):
            generator, catalog = load(told["generator"]), None
            if "catalog" in told and (told["catalog"] or not clusters):
                catalog = open_catalog(told["catalog"], generator)
            later = bool(tasks) and not told.get("catalog")
            check_values(path.stem, told, generator, catalog, clusters=clusters, later=later)
            clusters = told.get("clusters", clusters)
        tasks.append(Task(path, notebook, given[path.stem], told, generator))
    return tasks


def _complete(run: Run, task: Task) -> dict[str, Any]:
    """Add the run's own folder, and the catalog that an earlier notebook left there."""
    given = task.given.items()
    values = {n: _absolute(v) if n in _PATHS and isinstance(v, str) else v for n, v in given}
    own = {"output": run.artifacts, "catalog": run.artifacts / "catalog"}
    values |= {n: str(p) for n, p in own.items() if n in task.values and n not in values and p.exists()}
    return {n: values[n] for n in task.values if n in values}


def _absolute(name_or_path: str) -> str:
    """A path as seen from here: the kernel works in the notebooks' folder."""
    path = Path(name_or_path).expanduser()
    return str(path.resolve()) if path.exists() else name_or_path


def _make_folder(out: Path, name: str) -> Path:
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
                return folder
    except OSError as error:
        reason = "it is a file" if out.is_file() else error.strerror
        raise RunError(f"cannot make runs in {out}: {reason}; choose another with --out") from error


def _run_one(run: Run, task: Task, *, progress: bool) -> None:
    """Execute one notebook; its record is there before, and page and gallery after it, however it ends."""
    path, parameters = task.path, _complete(run, task)
    record: dict[str, Any] = {
        "notebook": path.stem,
        "sha256": file_sha256(path),
        # (JSON has no word for infinity)
        "parameters": json.loads(json.dumps(parameters), parse_constant=str),
        "error": "not finished",
        "seconds": 0.0,
    }
    if task.generator is not None:
        kind = "{}, {} × {} pixels".format(type(task.generator).__name__, *task.generator.size)
        own = {"name": task.generator.name, "kind": kind, "fingerprint": task.generator.fingerprint}
        record["generator"] = own
    run.notebooks.append(record)
    run.save()
    executed = run.folder / path.name
    start = time.perf_counter()
    try:
        try:
            _execute(task, executed, parameters, progress=progress)
        finally:
            with suppress(RunError):  # (it is not there, or half of it, where a disk was full)
                page = notebook_to_html(read_notebook(executed), title=path.stem, folder=path.parent)
                _write(executed.with_suffix(".html"), page)
        record["error"] = None
    except KeyboardInterrupt:
        record["error"] = "interrupted"
        raise
    except (ArtifactError, NotebookFailed) as error:
        record["error"] = str(error)
        raise type(error)(f"{error}\nkept as far as it got: {executed.with_suffix('.html')}") from None
    finally:
        record["seconds"] = round(time.perf_counter() - start, 2)
        run.save()


def _write(path: Path, page: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


class _OwnKernel(AsyncKernelManager):
    """A kernel of the Python that runs lefs, whichever one is installed as ``python3``."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How it is started, and with which environment beside ours."""
        return KernelSpec(**get_kernel_dict(), env=_environment())


def _environment() -> dict[str, str]:
    """Tell a kernel that nobody watches, and, in a source tree, to import the same lefs as we do."""
    found = {"LEFS_HEADLESS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    source = Path(lefs.__file__).parents[1]
    if (source / "pyproject.toml").is_file():
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    # (a kernel's environment is a template)
    return {name: value.replace("$", "$$") for name, value in found.items()}


def _execute(task: Task, executed: Path, parameters: Mapping[str, Any], *, progress: bool) -> None:
    path, added = task.path, bool(parameters)  # (papermill adds a cell for them)
    try:
        with cell_reports(task, injected=added, show=progress) as report:
            papermill.execute_notebook(
                *(str(each).replace("{", "{{").replace("}", "}}") for each in (path, executed)),
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                cwd=path.parent,
                progress_bar=False,
                kernel_manager_class=_OwnKernel,
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
        raise NotebookFailed(f"{path.stem}: the kernel stopped: {error}") from error
