"""One table over runs: what each was told, what it found, where it is; and their figures side by side."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lefs.records import read_json, write_atomically
from lefs.runner.findings import numbers
from lefs.runner.gallery import figures, read_shown
from lefs.runner.html import render
from lefs.runner.notebooks import write_text
from lefs.runner.parameters import RunError

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["results", "save_results"]


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

    records = []
    for folder in [folders] if isinstance(folders, str | os.PathLike) else folders:
        found = sorted(Path(folder).rglob("run.json"))
        if not found:
            raise RunError(f"{folder} holds no run (no run.json); name a folder that `lefs run` has made")
        for path in found:
            content = read_json(path, expect="lefs-run")
            records += [(path.parent, record) for record in content["notebooks"]]
    given = {n: None for run, r in records for n, v in r["parameters"].items() if not _own(run, v)}
    rows = []
    for run, record in records:
        told = record.get("defaults", {}) | record["parameters"]
        row = {"notebook": record["notebook"], **{n: told[n] for n in given if n in told}}
        found_out = numbers(record.get("findings", {})).items()
        row |= {f"{n} (found)" if n in given or n in row else n: v for n, v in found_out}
        rows.append(row | {"seconds": record["seconds"], "error": record["error"], "run": str(run)})
    last = ["seconds", "error", "run"]
    columns = dict.fromkeys(["notebook", *given, *(name for row in rows for name in row)])
    frame = DataFrame(rows, columns=[*(n for n in columns if n not in last), *last])
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
    page = render(
        "overview.html.j2",
        sections=[_section(str(name), part, told, out) for name, part in frame.groupby("notebook")],
        title=out.resolve().name,
        runs=frame["run"].nunique(),
        spelled=_spelled,
    )
    return write_text(out / "index.html", page)


def _section(name: str, frame: DataFrame, told: Sequence[str], out: Path) -> dict[str, Any]:
    """The runs of one notebook: their table, and each of its figures in all of them."""
    frame = frame.drop(columns="notebook").dropna(axis="columns", how="all")
    varied = [n for n in told if n in frame and frame[n].map(repr).nunique() > 1]
    rows = frame.to_dict("records")
    multiples: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        label = ", ".join(f"{n} {row[n]}" for n in varied)
        shown = figures(read_shown(out / row["run"], name))
        for place, figure in enumerate(f for f in shown if f.source):
            one = {"run": row["run"], "label": label, "figure": figure}
            multiples.setdefault(place, []).append(one)
    columns = [n for n in frame.columns if n != "run"]
    return {"name": name, "columns": columns, "rows": rows, "multiples": [*multiples.values()]}


def _spelled(value: Any) -> str:
    if value is None or value != value:  # (NaN)
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
