"""Runs: their folders, their records, what they share on the disk, and one table over many."""

from __future__ import annotations

import datetime
import itertools
import os
import platform
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lefs
from lefs.records import ArtifactError, file_sha256, read_json, whole, write_atomically, write_json
from lefs.runner.findings import numbers
from lefs.runner.html import render
from lefs.runner.notebooks import RunError, notebook_order
from lefs.runner.pages import ASSETS, figures, gallery_page, read_shown
from lefs.runner.planning import Task, run_key
from lefs.saving import write_text

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["UNFINISHED", "Run", "collecting", "make_run", "results", "run_name", "save_results", "share"]

UNFINISHED = "not finished"  # the error of a notebook that runs, or was killed
_STALE = 3600  # seconds that a folder without a record is left alone
_PACKAGES = ("torch", "numpy", "scikit-learn", "matplotlib", "jupyterlab", "papermill", "nbconvert")
_SMALL = 4096  # bytes: what is not worth a link, and what people change by hand


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
    lock : Lock
        Held while it is written down: its notebooks may run side by side.

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
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read a ``run.json``; an `ArtifactError` says what is wrong with it."""
        with whole(path, "record of a run"):
            content = read_json(path, expect="lefs-run")
            records = [
                {name: dict(record.get(name, {})) for name in ("parameters", "defaults", "findings")}
                | {"notebook": str(record["notebook"]), "seconds": record["seconds"] + 0.0}
                | {"error": record["error"] and str(record["error"])}
                for record in content["notebooks"]
            ]
        return cls(path.parent, str(content.get("key")), content.get("planned", 0), records)

    @property
    def artifacts(self) -> Path:
        """Folder of what the notebooks saved."""
        return self.folder / "artifacts"

    @property
    def gallery(self) -> Path:
        """Page with every figure and table of the run."""
        return self.folder / "index.html"

    @property
    def error(self) -> str | None:
        """What the first notebook that failed failed with; `UNFINISHED` if none did and not all are done."""
        told = [record["error"] for record in self.notebooks if record["error"]]
        told += [] if len(self.notebooks) == self.planned else [UNFINISHED]
        return min(told, key=lambda error: error == UNFINISHED, default=None)

    def begin(self, record: dict[str, Any]) -> None:
        """Add the record of a notebook that begins, in its place, and write it down."""
        with self.lock:
            # (a list that is sorted in its place looks empty meanwhile to those who read it)
            every = [*self.notebooks, record]
            self.notebooks = sorted(every, key=lambda each: notebook_order(Path(f"{each['notebook']}.ipynb")))
        self.save()

    def save(self) -> None:
        """Write ``run.json`` and the gallery."""
        versions = {"python": platform.python_version(), "platform": platform.platform()}
        versions |= {"lefs": lefs.__version__, **{package: version(package) for package in _PACKAGES}}
        content = {"format": "lefs-run", "name": self.folder.name, "key": self.key, "planned": self.planned}
        content |= {"started": self.started.isoformat(timespec="seconds"), "notebooks": self.notebooks}
        with self.lock:
            write_json(self.folder / "run.json", content | {"versions": versions})
            page = gallery_page(self.folder, self.notebooks, started=self.started, versions=versions)
            write_text(self.gallery, page)


def make_run(out: Path, name: str, tasks: Sequence[Task]) -> Run:
    """Make the folder of a run; a `RunError` says why there cannot be one."""
    with collecting(out, name):
        _sweep_up(out)
        while True:
            folder = (out / f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}").resolve()
            with suppress(FileExistsError):
                folder.mkdir()
                (folder / "artifacts").mkdir()
                return Run(folder, run_key(tasks), len(tasks))
            time.sleep(0.1)  # (another one of this name has this second)


def run_name(text: str) -> str:
    """Text as a run may be named."""
    return re.sub(r"[^\w.-]+", "-", text)[:80].strip("-.") or "run"


@contextmanager
def collecting(out: Path, name: str) -> Iterator[None]:
    """Make a folder that collects runs; a `RunError` says why there cannot be one of this name in it."""
    if not re.fullmatch(r"(?!\.)[\w.-]{1,100}", name):
        valid = "1 to 100 letters, digits, '.' (not first), '_' and '-'"
        raise RunError(f"a run's name may have {valid}, not {name!r:.200}; choose another with --name")
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = "it is a file" if out.is_file() else error.strerror
        raise RunError(f"cannot make runs in {out}: {reason}; choose another with --out") from error


def _sweep_up(out: Path) -> None:
    """Remove the empty folders of runs that were killed before their first record, an hour ago or more."""
    for folder in out.glob("[0-9]*-[0-9]*-*"):
        with suppress(OSError):
            if not (folder / "run.json").exists() and time.time() - folder.stat().st_mtime > _STALE:
                for each in (folder / "artifacts", folder):
                    each.rmdir()


# -- what runs share ---------------------------------------------------------------------------------------


def share(folder: Path, store: Path) -> None:
    """Make large files of a run hard links to those of equal content in a store that other runs have, too.

    Catalogs are divided before, so that those of the same clusters share these under any names. Where the
    file system has no such links, each run keeps its own.
    """
    with suppress(OSError):
        store.mkdir(exist_ok=True)
    kept = [*folder.glob(f"{ASSETS}/*"), *folder.glob("artifacts/**/*")]
    for path in (p for p in kept if p.is_file() and p.suffix != ".json" and p.stat().st_size > _SMALL):
        with suppress(ArtifactError, OSError):
            if path.suffix == ".safetensors" and not path.with_suffix(".json").exists():
                _divide(path)
            _link(path, store / file_sha256(path))


def _divide(path: Path) -> None:
    """Put the JSON of a catalog beside its numbers, as in version 1; at any moment the two can be read."""
    with suppress(ArtifactError):
        content, tensors, _ = lefs.records.load_record(path, expect="lefs-catalog")
        shared = lefs.records.save_tensors(path.with_name(f".{path.name}"), tensors)
        told = {"version": 1, "tensors_sha256": file_sha256(shared)}
        write_json(path.with_suffix(".json"), {**content, **told})
        os.replace(shared, path)


def _link(path: Path, shared: Path) -> None:
    """Make a file one with its equal in the store, which it becomes where there is none."""

    def link(temporary: Path) -> None:
        temporary.unlink()
        os.link(shared, temporary)

    try:
        os.link(path, shared)
    except FileExistsError:
        if not path.samefile(shared):
            write_atomically(path, link)


# -- many runs ---------------------------------------------------------------------------------------------


def results(folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> DataFrame:
    """Return a table of runs.

    Parameters
    ----------
    folders : str or path, or iterable of them
        Of runs, or of folders that hold runs.

    Returns
    -------
    DataFrame
        A row for each notebook of each run: ``notebook``, every parameter that any of them was given, every
        finding (see `record`), ``seconds``, ``error`` (None where there was none) and ``run``, its folder.
        Its ``attrs["parameters"]`` says which columns are parameters.

    Raises
    ------
    RunError
        If a folder has no run.
    ArtifactError
        If the record of a run cannot be read.

    Examples
    --------
    >>> frame = results("runs")  # doctest: +SKIP
    >>> frame.groupby("clusters")["stability"].mean()  # doctest: +SKIP
    """
    from pandas import DataFrame

    records = list[tuple[Path, dict[str, Any]]]()
    for folder in [folders] if isinstance(folders, str | os.PathLike) else folders:
        found = [Run.load(path) for path in sorted(Path(folder).rglob("run.json"))]
        if not found:
            raise RunError(f"{folder} holds no run (no run.json); name a folder that `lefs run` has made")
        records += [(run.folder, record) for run in found for record in run.notebooks]
    given = {n: 0 for run, record in records for n, v in record["parameters"].items() if not _own(run, v)}
    first, last, rows = ["notebook", *given], ["seconds", "error", "run"], list[dict[str, Any]]()
    for run, record in records:
        told = record["defaults"] | record["parameters"]
        own = {f"{n} (found)" if n in first + last else n: v for n, v in numbers(record["findings"]).items()}
        ended = {"seconds": record["seconds"], "error": record["error"], "run": str(run)}
        rows.append({"notebook": record["notebook"]} | {n: told[n] for n in given if n in told} | own | ended)
    columns = dict.fromkeys([*first, *(name for row in rows for name in row if name not in last), *last])
    frame = DataFrame(rows, columns=[*columns])
    frame.attrs["parameters"] = [*given]
    return frame


def _own(run: Path, value: Any) -> bool:
    """Whether a value is a folder that the run itself has, which no other can have."""
    return isinstance(value, str) and Path(value).is_relative_to(run.resolve())


def save_results(folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Path:
    """Write ``results.csv`` and a page, ``index.html``: the table of runs, and their figures side by side.

    Parameters
    ----------
    folders : sequence of str or path
        As for `results`.
    out : str or path
        Where to; links lead from there to the runs.

    Returns
    -------
    Path
        Of the page.

    Examples
    --------
    >>> save_results(["runs"], "all-runs")  # doctest: +SKIP
    """
    frame, out = results(folders), Path(out)
    told = frame.attrs["parameters"]
    frame["run"] = [os.path.relpath(run, out) for run in frame["run"]]
    write_atomically(out / "results.csv", lambda path: frame.to_csv(path, index=False))
    sections = [_compared(str(name), part, told, out) for name, part in frame.groupby("notebook")]
    title, runs = out.resolve().name, frame["run"].nunique()
    return write_text(
        out / "index.html", render("overview.html.j2", sections=sections, title=title, runs=runs)
    )


def _compared(name: str, frame: DataFrame, told: Sequence[str], out: Path) -> dict[str, Any]:
    """The runs of one notebook: their table, and each of its figures in all of them."""
    frame = frame.drop(columns="notebook").dropna(axis="columns", how="all")
    varied = [n for n in told if n in frame and frame[n].map(repr).nunique() > 1]
    rows, columns = frame.to_dict("records"), [n for n in frame.columns if n != "run"]
    shown = [
        [
            {"run": row["run"], "label": ", ".join(f"{n} {row[n]}" for n in varied), "figure": figure}
            for figure in figures(read_shown(out / row["run"] / f"{name}.ipynb"))
            if figure.source
        ]
        for row in rows
    ]
    multiples = [[one for one in each if one] for each in itertools.zip_longest(*shown)]
    return {"name": name, "columns": columns, "rows": rows, "multiples": multiples}
