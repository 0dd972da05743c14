"""One self-contained page with every figure of a run, each under its heading and with its reading."""

from __future__ import annotations

import base64
import datetime
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from markupsafe import Markup
from PIL import Image

from lefs.runner.html import MATH_STYLE, markdown_to_html

__all__ = ["Figure", "figures", "gallery_page"]

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/svg+xml": "svg"}
_HALF_PAGE = 560  # pixels for a picture in one of the two columns of gallery.html.j2


@dataclass(frozen=True)
class Figure:
    """A picture that a cell displayed.

    Attributes
    ----------
    heading
        Text of the section it stands in, as HTML.
    reading
        First paragraph of the Markdown cell that follows the picture, as HTML; may be empty.
    source
        The picture as a ``data:`` address.
    width, height
        In pixels; 0 where the format has none.
    anchor
        Fragment of the notebook's page that leads to the cell.
    """

    heading: Markup
    reading: Markup
    source: str
    width: int
    height: int
    anchor: str

    @property
    def wide(self) -> bool:
        """Whether it would have to shrink to stand beside another."""
        return self.width > _HALF_PAGE


def figures(notebook: nbformat.NotebookNode) -> list[Figure]:
    """Return every picture among a notebook's outputs, in order."""
    found = []
    heading = ""
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            heading = _last_heading(cell.source) or heading
            continue
        pictures = [p for output in cell.get("outputs", []) for p in _pictures(output)]
        for number, (source, width, height) in enumerate(pictures, 1):
            reading = _reading(notebook.cells[place + 1 :]) if number == len(pictures) else ""
            anchor = f"cell-id={cell.get('id', '')}"
            found.append(Figure(_inline(heading), Markup(reading), source, width, height, anchor))
    return found


def _last_heading(source: str) -> str:
    headings = _HEADING.findall(source)
    return headings[-1] if headings else ""


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


def _pictures(output: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yield an output's picture, if any, as (data address, width, height)."""
    data = output.get("data", {})
    for mime, kind in _IMAGES.items():
        if mime in data:
            text = "".join(data[mime])
            raw = text.encode() if kind == "svg" else base64.b64decode(text)
            width, height = (0, 0) if kind == "svg" else Image.open(io.BytesIO(raw)).size
            yield f"data:{mime};base64,{base64.b64encode(raw).decode()}", width, height
            return


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
    folder
        The run's folder, with an executed ``<notebook>.ipynb`` for each record.
    records
        Per notebook: ``notebook``, ``seconds``, ``parameters``, ``error``.
    started, versions
        For the page's head and foot.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("gallery.html.j2").read_text("utf-8"))
    sections = [_section(folder, record) for record in records]
    total = sum(record["seconds"] for record in records)
    return template.render(
        name=folder.name,
        sections=sections,
        count=sum(len(s["figures"]) for s in sections),
        minutes=_duration(total),
        started=started,
        versions=versions,
        math_style=MATH_STYLE,
    )


def _section(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    executed = folder / f"{record['notebook']}.ipynb"
    notebook = nbformat.read(executed, as_version=4) if executed.is_file() else nbformat.v4.new_notebook()
    return {
        "name": record["notebook"],
        "title": _inline(_title(notebook) or record["notebook"]),
        "page": f"{record['notebook']}.html",
        "duration": _duration(record["seconds"]),
        "parameters": record["parameters"],
        "error": record["error"],
        "figures": figures(notebook),
    }


def _title(notebook: nbformat.NotebookNode) -> str:
    texts = (c.source for c in notebook.cells if c.cell_type == "markdown")
    return next((m[1] for m in map(_HEADING.search, texts) if m), "")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
