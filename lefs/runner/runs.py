"""A run of notebooks: its folder, its record and its gallery."""

from __future__ import annotations

import datetime
import itertools
import platform
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lefs
from lefs.records import write_json
from lefs.runner.notebooks import RunError, write_text
from lefs.runner.pages import gallery_page
from lefs.runner.planning import Task, run_key

__all__ = ["UNFINISHED", "Run", "collecting", "make_run", "run_name"]

UNFINISHED = "not finished"  # the error of a notebook that runs, or was killed
_STALE = 3600  # seconds that a folder without a record is left alone
_PACKAGES = ("torch", "numpy", "scikit-learn", "matplotlib", "jupyterlab", "papermill", "nbconvert")


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
    planned : sequence of str
        The notebooks that it is of, in order.
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
    planned: Sequence[str] = ()
    notebooks: list[dict[str, Any]] = field(default_factory=list)
    started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now().astimezone())
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

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
            "planned": len(self.planned),
            "started": self.started.isoformat(timespec="seconds"),
            "notebooks": self.notebooks,
            "versions": versions,
        }
        with self.lock:
            write_json(self.folder / "run.json", content)
            page = gallery_page(self.folder, self.notebooks, started=self.started, versions=versions)
            write_text(self.gallery, page)

    def begin(self, record: dict[str, Any]) -> None:
        """Add the record of a notebook that begins, in its place, and write it down."""
        with self.lock:
            self.notebooks = sorted(
                [*self.notebooks, record], key=lambda each: self.planned.index(each["notebook"])
            )
        self.save()

    @property
    def failed(self) -> bool:
        """Whether one of the notebooks has failed."""
        return any(record["error"] not in (None, UNFINISHED) for record in self.notebooks)


def make_run(out: Path, name: str, tasks: Sequence[Task]) -> Run:
    """Make the folder of a run; a `RunError` says why there cannot be one."""
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    with collecting(out, name):
        _sweep_up(out)
        while True:
            folder = (out / next(names)).resolve()
            with suppress(FileExistsError):
                folder.mkdir()
                (folder / "artifacts").mkdir()
                return Run(folder, run_key(tasks), [task.path.stem for task in tasks])


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
