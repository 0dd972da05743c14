"""Find the notebooks, check what they are told, execute them in order, keep what they made."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

import lefs
from lefs.generator import Generator
from lefs.records import file_sha256, write_atomically, write_json
from lefs.runner.domains import check_values, open_catalog
from lefs.runner.gallery import gallery_page
from lefs.runner.html import notebook_to_html
from lefs.runner.parameters import (
    Parameter,
    ParameterError,
    assign_parameters,
    describe_parameters,
    read_parameters,
)

__all__ = ["NotebookFailed", "Run", "RunError", "describe_notebooks", "find_notebooks", "run_notebooks"]

_PACKAGES = (
    "lefs",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "jupyterlab",
    "papermill",
    "nbconvert",
)
_RESERVED = {"output": "each run has its own folder; choose where runs go with --out and --name"}


class RunError(Exception):
    """Something that was asked for cannot be run; the message says what and the remedy."""


class NotebookFailed(RunError):
    """A cell raised, or the kernel died; the notebook as far as it got is in the run's folder."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    folder
        ``<out>/<YYYYmmdd-HHMMSS>-<name>`` with the executed notebooks, their pages, ``artifacts/``,
        ``run.json`` and ``index.html``.
    notebooks
        One record per executed notebook, as in ``run.json``: name, seconds, sha256, parameters, error.
    """

    folder: Path
    notebooks: tuple[Mapping[str, Any], ...]

    @property
    def gallery(self) -> Path:
        """Page with every figure of the run."""
        return self.folder / "index.html"


# -- which notebooks -----------------------------------------------------------------------------------------


def find_notebooks(names: Sequence[str] = (), *, folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Return the notebooks to run, in the order of their numbers.

    Parameters
    ----------
    names
        ``"1_dissection"``, ``"1_dissection.ipynb"``, ``"1"`` or the path of any notebook; none for all.
    folder
        Where to look; without it ``./notebooks``, else the notebooks that came with lefs.

    Raises
    ------
    RunError
        If the folder has no notebooks or no such one; the message lists those it has.
    """
    here = Path("notebooks") if any(Path("notebooks").glob("*.ipynb")) else packaged_notebooks()
    place = here if folder is None else Path(folder)
    known = sorted((p for p in place.glob("*.ipynb")), key=_order)
    if not names and not known:
        raise RunError(f"no notebooks in {place}; name a folder that has some with --notebooks")
    chosen = {_choose(name, known, place) for name in names} if names else set(known)
    twice = [p.stem for p in chosen if sum(q.stem == p.stem for q in chosen) > 1]
    if twice:
        raise RunError(f"two notebooks are called {twice[0]!r}; a run needs names that differ")
    return sorted(chosen, key=_order)


def packaged_notebooks() -> Path:
    """Folder of the notebooks in the source tree or wheel that lefs is imported from."""
    package = Path(lefs.__file__).parent
    beside = package.parent / "notebooks"
    return beside if any(beside.glob("*.ipynb")) else package / "notebooks"


def _order(path: Path) -> tuple[int, str]:
    number = re.match(r"\d+", path.stem)
    return (int(number[0]) if number else sys.maxsize, path.stem)


def _choose(name: str, known: Sequence[Path], place: Path) -> Path:
    stem = name.removesuffix(".ipynb")
    for path in known:
        if stem in (path.stem, path.stem.partition("_")[0]):
            return path
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name)
    listed = ", ".join(p.stem for p in known) or "none"
    raise RunError(f"no notebook {name!r} in {place} and no such file; there are: {listed}")


def describe_notebooks(paths: Iterable[Path]) -> str:
    """Text that lists notebooks and what each can be told."""
    return describe_parameters({p.stem: _declared(p) for p in paths})


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Return a notebook; a `RunError` says what is wrong with a damaged one."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise RunError(f"{path} cannot be read as a notebook: {error}") from error


# -- running them --------------------------------------------------------------------------------------------


@dataclass
class _Session:
    """What is known of a run while it goes on; written to ``run.json`` after every step."""

    folder: Path
    given_catalog: bool
    records: list[dict[str, Any]] = field(default_factory=list)
    started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now().astimezone())

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def save(self) -> None:
        content = {
            "format": "lefs-run",
            "name": self.folder.name,
            "started": self.started.isoformat(timespec="seconds"),
            "notebooks": self.records,
            "versions": _versions(),
        }
        write_json(self.folder / "run.json", content)
        page = gallery_page(self.folder, self.records, started=self.started, versions=_versions())
        write_atomically(self.folder / "index.html", lambda p: p.write_text(page, encoding="utf-8"))


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
    names, folder
        Which notebooks; see `find_notebooks`.
    parameters
        Requests ``(name, value)``; ``"1_dissection.clusters"`` addresses one notebook, ``"clusters"`` all
        that have it.
    name
        Ends the run folder's name; by default the notebook's, or ``all``.
    out
        Folder that collects runs, made if need be.
    progress
        Show a bar per notebook on standard error, if that is a terminal.

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
    """
    paths = find_notebooks(names, folder=folder)
    declared = {p.stem: _declared(p) for p in paths}
    requested = list(parameters)
    values = assign_parameters(requested, declared, reserved=_RESERVED)
    _check_before(paths, declared, values)
    default = paths[0].stem if len(paths) == 1 else "all"
    given_catalog = any(n.rpartition(".")[2] == "catalog" for n, _ in requested)
    session = _Session(_make_folder(Path(out), name or default), given_catalog)
    for path in paths:
        complete = _complete(session, declared[path.stem], values[path.stem])
        _run_one(session, path, complete, progress=progress)
    return Run(session.folder, tuple(session.records))


def _declared(path: Path) -> dict[str, Parameter]:
    try:
        return read_parameters(read_notebook(path))
    except ParameterError as error:
        raise RunError(f"the parameters cell of {path.stem} cannot be read: {error}") from error


def _check_before(
    paths: Sequence[Path],
    declared: Mapping[str, Mapping[str, Parameter]],
    given: Mapping[str, Mapping[str, Any]],
) -> None:
    """Hold what each notebook will be told against what there is, if its first cell would do so, too."""
    generators: dict[str, Generator] = {}
    clusters = 0
    for path in paths:
        told = {n: p.default for n, p in declared[path.stem].items()} | dict(given[path.stem])
        if not any("runner.prepare(" in c.source for c in read_notebook(path).cells if c.cell_type == "code"):
            continue
        name = told["generator"]
        generator = generators[name] = generators.get(name) or lefs.load(name)
        catalog = None
        if "catalog" in told and (told["catalog"] or not clusters):
            catalog = open_catalog(told["catalog"], generator)
        later = path != paths[0] and not told.get("catalog")
        check_values(path.stem, told, generator, catalog, clusters=clusters, later=later)
        clusters = told.get("clusters", clusters)


def _complete(
    session: _Session, declared: Mapping[str, Parameter], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Add the run's own folder, and the catalog that an earlier notebook left there."""
    values = {n: _absolute(v) if n in ("generator", "catalog") else v for n, v in given.items()}
    if "output" in declared:
        values["output"] = str(session.artifacts)
    catalog = session.artifacts / "catalog"
    if "catalog" in declared and not session.given_catalog and catalog.exists():
        values["catalog"] = str(catalog)
    return {n: values[n] for n in declared if n in values}


def _absolute(name_or_path: Any) -> Any:
    """A path as seen from here: the kernel works in the notebooks' folder."""
    path = Path(str(name_or_path)).expanduser()
    return str(path.resolve()) if path.exists() else name_or_path


def _make_folder(out: Path, name: str) -> Path:
    if not re.fullmatch(r"[\w.-]+", name):
        raise RunError(f"a run's name may have letters, digits, '.', '_' and '-', not {name!r}")
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}"
    for number in range(1, 1000):
        folder = (out / (stem if number == 1 else f"{stem}-{number}")).resolve()
        try:
            (folder / "artifacts").mkdir(parents=True)
        except FileExistsError:
            if not out.is_dir():
                raise RunError(f"{out} is a file, not a folder for runs; choose another with --out") from None
            continue
        except OSError as error:
            raise RunError(
                f"cannot make the run folder {folder}: {error.strerror}; choose another with --out"
            ) from error
        return folder
    raise RunError(f"{out} has a thousand runs called {stem}")


def _run_one(session: _Session, path: Path, parameters: dict[str, Any], *, progress: bool) -> None:
    """Execute one notebook; its record, page and gallery are written whether it fails or not."""
    record: dict[str, Any] = {
        "notebook": path.stem,
        "sha256": file_sha256(path),
        "parameters": parameters,
        "error": None,
    }
    session.records.append(record)
    executed = session.folder / path.name
    start = time.perf_counter()
    try:
        _execute(path, executed, parameters, progress=progress)
    except NotebookFailed as error:
        record["error"] = str(error)
        raise NotebookFailed(f"{error}\nkept as far as it got: {executed.with_suffix('.html')}") from None
    except KeyboardInterrupt:
        record["error"] = "interrupted"
        raise
    finally:
        record["seconds"] = round(time.perf_counter() - start, 2)
        _write_page(executed, source=path.parent)
        session.save()


def _execute(path: Path, executed: Path, parameters: Mapping[str, Any], *, progress: bool) -> None:
    total = sum(c.cell_type == "code" for c in read_notebook(path).cells) + bool(parameters)
    with _kernel_environment(), tqdm(**_bar(path.stem, total, progress)) as bar:
        try:
            papermill.execute_notebook(
                path,
                executed,
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                cwd=path.parent,
                progress_bar=False,
                extra_arguments=["--log-level=ERROR"],
                on_cell_executed=lambda **_: bar.update(),
                # Stored widget states make HTML prefer the widget, which is blank without a network.
                store_widget_state=False,
                coalesce_streams=True,
            )
        except PapermillExecutionError as error:
            where = _cell_number(error.cell_index, bool(parameters))
            line = next((x for x in error.source.splitlines() if x.strip()), "")
            raise NotebookFailed(
                f"{path.stem}, cell {where}: {line.strip()}\n  {error.ename}: {error.evalue}"
            ) from error
        except (DeadKernelError, CellTimeoutError) as error:
            raise NotebookFailed(f"{path.stem}: the kernel stopped: {error}") from error


def _bar(notebook: str, total: int, progress: bool) -> dict[str, Any]:
    shape = "{desc:<16} {percentage:3.0f}% {bar} {n_fmt}/{total_fmt} cells, {elapsed}"
    disable = None if progress else True  # None: only where standard error is a terminal
    return {"desc": notebook, "total": total, "bar_format": shape, "disable": disable}


def _cell_number(index: int, injected: bool) -> str:
    """Place of a cell in the notebook as its author sees it, where papermill has put in none."""
    return str(index + 1 - injected)


def _write_page(executed: Path, *, source: Path) -> None:
    if executed.is_file():
        page = notebook_to_html(nbformat.read(executed, as_version=4), title=executed.stem, folder=source)
        write_atomically(executed.with_suffix(".html"), lambda p: p.write_text(page, encoding="utf-8"))


@contextmanager
def _kernel_environment() -> Iterator[None]:
    """Tell kernels that nobody watches, and, in a source tree, to import the same lefs as we are."""
    changes = {
        "LEFS_HEADLESS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        # Waiting threads sleep: spinning ones make small matrix products crawl on a busy machine.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    source = Path(lefs.__file__).parents[1]
    if (source / "pyproject.toml").is_file():
        changes["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = lefs.__version__ if package == "lefs" else "not installed"
    return versions
