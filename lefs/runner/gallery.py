"""One page with every figure and table of a run, under its heading and with its reading."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from markupsafe import Markup

from lefs.runner.assets import link_pictures
from lefs.runner.costs import duration
from lefs.runner.html import markdown_to_html, render
from lefs.runner.notebooks import read_notebook
from lefs.runner.parameters import RunError

__all__ = ["Figure", "figures", "gallery_page", "read_shown"]

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


def read_shown(folder: Path, name: str) -> nbformat.NotebookNode:
    """An executed notebook of a run, with links to its pictures; without cells while there is none."""
    try:
        return link_pictures(read_notebook(folder / f"{name}.ipynb"), folder)
    except RunError:  # (it has not begun, or the disk is full)
        return nbformat.v4.new_notebook()


def _section(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    notebook = read_shown(folder, record["notebook"])
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
