"""What is to be run: notebooks and their parameters, held against what there is, known by content."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

import lefs
from lefs.catalog import Catalog
from lefs.records import file_sha256, locate, record_file
from lefs.runner.costs import choose_clustering, seconds_per_image, work_of
from lefs.runner.domains import check_values, find_catalog, open_catalog
from lefs.runner.notebooks import assign_parameters, complaints, notebook_digest, parameters_of, read_notebook

__all__ = ["PATHS", "Planner", "Task", "run_key"]

PATHS = ("generator", "catalog", "target", "reference")  # parameters that may name a file


@dataclass(frozen=True)
class Task:
    """A notebook that is to be run.

    Attributes
    ----------
    path : Path
    notebook : NotebookNode
    given, values : mapping of str to Any
        The parameters that were asked for, and all of them.
    generator : mapping of str to str or None
        Name, kind and fingerprint of what it will load, if its first cell checks its parameters.
    catalog : float
        Megabytes of the catalog that it will load; 0 where an earlier notebook is still to make it.
    key : str
        Digest of its cells, its parameters, its generator and what files they name hold.
    """

    path: Path
    notebook: NotebookNode
    given: Mapping[str, Any]
    values: Mapping[str, Any]
    generator: Mapping[str, str] | None
    catalog: float
    key: str


class Planner:
    """Makes the tasks of one run or of many; notebooks, generators and catalogs are read once.

    Parameters
    ----------
    paths : sequence of Path
        Of notebooks whose names differ.
    threads : int, optional
        How many each kernel will compute with, for estimates.
    """

    def __init__(self, paths: Sequence[Path], threads: int | None = None):
        self.declared = {path.stem: parameters_of(path) for path in paths}
        self._notebooks = {path: read_notebook(path) for path in paths}
        self._load = functools.cache(lefs.load)
        self._open = functools.cache(lambda name, owner: open_catalog(name, self._load(owner)))
        self._digest = functools.cache(_digest)
        self._timed = functools.cache(lambda name: seconds_per_image(self._load(name), threads))

    def timed(self, task: Task) -> float:
        """Seconds that one image of a task's generator takes."""
        return self._timed(task.values["generator"])

    def costs(self, tasks: Iterable[Task]) -> tuple[float, float]:
        """Seconds and megabytes of runs of all these; infinite where a notebook is not one of ours."""
        seconds, space, catalogs = 0.0, 0.0, dict[Any, float]()
        for task in tasks:
            if task.generator is None:
                return math.inf, math.inf
            one = self.timed(task)
            images, rest, megabytes = work_of(task.path.stem, task.values, one)
            seconds, space = seconds + images * one + rest, space + megabytes
            if task.path.stem == "2_catalog":  # (what is in it, under whatever names, is kept once)
                catalogs[task.values.get("catalog"), task.generator["fingerprint"]] = task.catalog
        return seconds, space + sum(catalogs.values())

    def tasks(self, requested: Iterable[tuple[str, Any]]) -> list[Task]:
        """What each notebook will be told, held against what there is, if its first cell would do so, too."""
        given, tasks, clusters = assign_parameters(requested, self.declared), list[Task](), 0
        for path, notebook in self._notebooks.items():
            told = {n: p.default for n, p in self.declared[path.stem].items()} | given[path.stem]
            about, size, files = None, 0.0, {n: told[n] for n in PATHS if told.get(n)}
            cells = (cell.source for cell in notebook.cells if cell.cell_type == "code")
            if "generator" in told and any("runner.prepare(" in source for source in cells):
                with complaints(f"{path.stem}: generator: "):
                    generator = self._load(told["generator"])
                catalog: Catalog | int = clusters
                if "catalog" in told and (told["catalog"] or not clusters):
                    files["catalog"] = told["catalog"] or str(find_catalog(generator))
                    catalog = self._open(files["catalog"], told["generator"])
                    size = record_file(locate(files["catalog"]), "lefs-catalog").stat().st_size / 1e6
                later = bool(tasks) and not told.get("catalog")
                check_values(path.stem, told, generator, catalog, later)
                if "clusters" in told:
                    clusters = told["clusters"] or choose_clustering(generator)[0]
                kind = "{}, {} × {} pixels".format(type(generator).__name__, *generator.size)
                about = {"name": generator.name, "kind": kind, "fingerprint": generator.fingerprint}
                files["generator"] = generator.fingerprint
            content = told | {name: self._digest(value) for name, value in files.items()} | {"output": None}
            key = _sha256([path.stem, notebook_digest(notebook), content])
            tasks.append(Task(path, notebook, given[path.stem], told, about, size, key))
        return tasks


def run_key(tasks: Sequence[Task]) -> str:
    """Digest of everything that a run depends on, the version of lefs included."""
    return _sha256([lefs.__version__, *(task.key for task in tasks)])


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest(value: Any) -> Any:
    """What a file, or the files of a folder, hold; of any other value itself."""
    path = Path(value).expanduser() if isinstance(value, str) else None
    if path is None or not path.exists():
        return value
    return [file_sha256(f) for f in (sorted(path.iterdir()) if path.is_dir() else [path]) if f.is_file()]
