"""What runs leave to look at: a page with every figure and table of one, and one table over many.

The first has each figure under its heading and with its reading; the second what each run was told, what it
found, where it is, and their figures side by side.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from markupsafe import Markup

from lefs.records import read_json, whole, write_atomically
from lefs.runner.assets import link_pictures
from lefs.runner.costs import duration
from lefs.runner.findings import numbers
from lefs.runner.html import markdown_to_html, render
from lefs.runner.notebooks import RunError, read_notebook, write_text

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Figure", "figures", "gallery_page", "results", "save_results"]

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_HALF_PAGE = 560  # pixels for a picture in one of the two columns of gallery.html.j2
_NOTHING = Markup()
_FEW_COLUMNS = 5  # of a table, that fit there


@dataclass(frozen=True)
class Figure:
    """A picture or a table that a cell displayed.

    Attributes
    ----------
    heading : Markup
        Text of the section it stands in.
    reading : Markup
        First paragraph of the Markdown cell that follows it; may be empty.
    anchor : str
        Fragment of the notebook's page that leads to the cell.
    source : str
        A picture's file, as seen from the run's folder; empty for a table.
    width, height : int
        Of the picture, in pixels; 0 where its format has none.
    table : Markup
        A table; empty for a picture.
    """

    heading: Markup
    reading: Markup
    anchor: str
    source: str = ""
    width: int = 0
    height: int = 0
    table: Markup = _NOTHING

    @property
    def wide(self) -> bool:
        """Whether it would have to shrink to stand beside another."""
        return self.width > _HALF_PAGE or self.table.count("<th>") > _FEW_COLUMNS


def figures(notebook: nbformat.NotebookNode) -> list[Figure]:
    """Return every picture and table among a notebook's outputs, in order.

    Parameters
    ----------
    notebook : NotebookNode
        Executed, with links to its pictures.
    """
    found = []
    heading = ""
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            heading = [heading, *_HEADING.findall(cell.source)][-1]
            continue
        shown = [content for output in cell.get("outputs", []) if (content := _content(output))]
        for number, content in enumerate(shown, 1):
            reading = _reading(notebook.cells[place + 1 :]) if number == len(shown) else ""
            anchor = f"cell-id={cell.get('id', '')}"
            found.append(Figure(_inline(heading), Markup(reading), anchor, **content))
    return found


def _inline(markdown: str) -> Markup:
    """Render one line of Markdown without the paragraph around it."""
    rendered = markdown_to_html(markdown).strip()
    return Markup(rendered.removeprefix("<p>").removesuffix("</p>"))


def _reading(following: Sequence[nbformat.NotebookNode]) -> str:
    """Render the first paragraph after a picture, unless that already begins the next section."""
    if not following or following[0].cell_type != "markdown":
        return ""
    paragraph = following[0].source.strip().split("\n\n")[0]
    return "" if paragraph.startswith("#") else markdown_to_html(paragraph)


def _content(output: Mapping[str, Any]) -> dict[str, Any]:
    """What a `Figure` takes of an output that is a picture or a table; nothing of any other."""
    linked = output.get("metadata", {}).get("lefs")
    text = "".join(output.get("data", {}).get("text/html", ""))
    return dict(linked or ({"table": Markup(text)} if text.lstrip().startswith("<table") else {}))


def gallery_page(
    folder: Path,
    records: Sequence[Mapping[str, Any]],
    *,
    started: datetime.datetime,
    versions: Mapping[str, str],
) -> str:
    """Return the page of a run as HTML.

    Parameters
    ----------
    folder : Path
        The run's folder, with an executed ``<notebook>.ipynb`` for each record.
    records : sequence of mapping
        Per notebook: ``notebook``, ``seconds``, ``parameters``, ``error`` and, where it is known,
        ``generator``: its ``name``, ``kind`` and ``fingerprint``.
    started : datetime
    versions : mapping of str to str
        For the page's head and foot.
    """
    sections = [_section(folder, record) for record in records]
    generators = {r["generator"]["fingerprint"]: r["generator"] for r in records if "generator" in r}
    subject = " and ".join(g["name"] for g in generators.values()) or "a generator"
    return render(
        "gallery.html.j2",
        title=sections[0]["title"] if len(sections) == 1 else f"What {subject} knows, and how to edit it",
        name=folder.name,
        generators=list(generators.values()),
        sections=sections,
        started=started,
        versions=versions,
        duration=duration,
    )


def _read_shown(folder: Path, name: str) -> nbformat.NotebookNode:
    """An executed notebook of a run, with links to its pictures; without cells while there is none."""
    try:
        return link_pictures(read_notebook(folder / f"{name}.ipynb"), folder)
    except RunError:  # (it has not begun, or the disk is full)
        return nbformat.v4.new_notebook()


def _section(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    notebook = _read_shown(folder, record["notebook"])
    title, lead = _opening(notebook)
    shown = {"title": _inline(title or record["notebook"]), "lead": Markup(markdown_to_html(lead))}
    return {**record, **shown, "figures": figures(notebook)}


def _opening(notebook: nbformat.NotebookNode) -> tuple[str, str]:
    """Title of a notebook, without its number, and the paragraph that stands below it."""
    for cell in notebook.cells:
        heading = _HEADING.search(cell.source) if cell.cell_type == "markdown" else None
        if heading:
            below = cell.source[heading.end() :].strip().split("\n\n")[0]
            return re.sub(r"^\d+ · ", "", heading[1]), below
    return "", ""


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
            with whole(path, "record of a run"):
                every = read_json(path, expect="lefs-run")["notebooks"]
                records += [(path.parent, *_recorded(record)) for record in every]
    given = {n: None for run, _, told, *_ in records for n, v in told.items() if not _own(run, v)}
    rows, last = [], ["seconds", "error", "run"]
    for run, name, told, defaults, found_out, *ended in records:
        told = defaults | told
        row = {"notebook": name, **{n: told[n] for n in given if n in told}}
        taken = {*given, *row, *last}
        row |= {f"{n} (found)" if n in taken else n: v for n, v in found_out.items()}
        rows.append(row | dict(zip(last, [*ended, str(run)], strict=True)))
    columns = dict.fromkeys(["notebook", *given, *(name for row in rows for name in row)])
    frame = DataFrame(rows, columns=[*(n for n in columns if n not in last), *last])
    frame.attrs["parameters"] = [*given]
    return frame


def _recorded(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Notebook, parameters, defaults, findings, seconds and error of a record, as far as a file has them."""
    told, defaults, found = (dict(record.get(n, {})) for n in ("parameters", "defaults", "findings"))
    return str(record["notebook"]), told, defaults, numbers(found), record["seconds"], record["error"]


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
        sections=[_compared(str(name), part, told, out) for name, part in frame.groupby("notebook")],
        title=out.resolve().name,
        runs=frame["run"].nunique(),
        spelled=_spelled,
    )
    return write_text(out / "index.html", page)


def _compared(name: str, frame: DataFrame, told: Sequence[str], out: Path) -> dict[str, Any]:
    """The runs of one notebook: their table, and each of its figures in all of them."""
    frame = frame.drop(columns="notebook").dropna(axis="columns", how="all")
    varied = [n for n in told if n in frame and frame[n].map(repr).nunique() > 1]
    rows = frame.to_dict("records")
    multiples: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        label = ", ".join(f"{n} {row[n]}" for n in varied)
        shown = figures(_read_shown(out / row["run"], name))
        for place, figure in enumerate(f for f in shown if f.source):
            one = {"run": row["run"], "label": label, "figure": figure}
            multiples.setdefault(place, []).append(one)
    columns = [n for n in frame.columns if n != "run"]
    return {"name": name, "columns": columns, "rows": rows, "multiples": [*multiples.values()]}


def _spelled(value: Any) -> str:
    if value is None or value != value:  # (NaN)
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
