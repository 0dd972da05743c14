"""What a run leaves to look at: pictures as files beside its pages, and a page with every figure and table.

Each picture and style sheet is one file, named by its content, so that runs can share them. The page has each
figure under its heading and with its reading.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from markupsafe import Markup
from PIL import Image

from lefs.records import write_atomically
from lefs.runner.costs import duration
from lefs.runner.html import markdown_to_html, notebook_to_html, render
from lefs.runner.notebooks import RunError, read_notebook
from lefs.saving import write_text

__all__ = ["ASSETS", "Figure", "figures", "gallery_page", "link_pictures", "read_shown", "write_page"]

ASSETS = "assets"  # folder of a run's pictures and style sheets
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/svg+xml": "svg"}
_STYLES = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_HALF_PAGE = 560  # pixels for a picture in one of the two columns of gallery.html.j2
_FEW_COLUMNS = 5  # of a table, that fit there


def link_pictures(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Write a notebook's pictures into a folder, and return the notebook with links in their place.

    Parameters
    ----------
    notebook : NotebookNode
        Executed, as nbformat reads it.
    folder : Path
        Of the run; pictures go into its ``assets``.
    """
    notebook = copy.deepcopy(notebook)
    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        data = output.get("data", {})
        mime = next((mime for mime in _IMAGES if mime in data), None)
        if mime is not None:
            picture = _keep("".join(data.pop(mime)), _IMAGES[mime], folder)
            output.metadata["lefs"] = picture
            size = f' width="{picture["width"]}" height="{picture["height"]}"' if picture["width"] else ""
            data["text/html"] = f'<img alt="Figure" src="{picture["source"]}"{size}>'
    return notebook


def _keep(text: str, kind: str, folder: Path) -> dict[str, Any]:
    raw = text.encode() if kind == "svg" else base64.b64decode(text)
    source = f"{ASSETS}/{hashlib.sha256(raw).hexdigest()[:24]}.{kind}"
    image = None if kind == "svg" else Image.open(io.BytesIO(raw))
    if not (folder / source).exists():
        small = min(raw, _smaller(image), key=len) if image is not None and kind == "png" else raw
        write_atomically(folder / source, lambda path: path.write_bytes(small))
    width, height = (0, 0) if image is None else image.size
    return {"source": source, "width": width, "height": height}


def _smaller(image: Image.Image) -> bytes:
    """The same pixels as PNG, without a layer of transparency that lets nothing through."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG")  # (more effort takes four times as long, for a thirtieth of the size)
    return file.getvalue()


def _link_styles(page: str, folder: Path) -> str:
    """Move the style sheets of a page of HTML, which are those of every page, into a file beside it."""
    head, _, body = page.partition("</head>")
    text = "\n".join(_STYLES.findall(head))
    source = f"{ASSETS}/{hashlib.sha256(text.encode()).hexdigest()[:24]}.css"
    if not (folder / source).exists():
        write_text(folder / source, text)
    return f'{_STYLES.sub("", head)}<link rel="stylesheet" href="{source}">\n</head>{body}'


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
    table : str
        A table's Markup; empty for a picture.
    """

    heading: Markup
    reading: Markup
    anchor: str
    source: str = ""
    width: int = 0
    height: int = 0
    table: str = ""

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
    found, heading = list[Figure](), ""
    for place, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            heading = [heading, *_HEADING.findall(cell.source)][-1]
            continue
        shown = [content for output in cell.get("outputs", []) if (content := _content(output))]
        readings = [""] * (len(shown) - 1) + [_reading(*notebook.cells[place : place + 1])]
        for reading, content in zip(readings, shown, strict=False):
            anchor = f"cell-id={cell.get('id', '')}"
            found.append(Figure(_inline(heading), Markup(reading), anchor, **content))
    return found


def _inline(markdown: str) -> Markup:
    """Render one line of Markdown without the paragraph around it."""
    return Markup(markdown_to_html(markdown).strip().removeprefix("<p>").removesuffix("</p>"))


def _reading(cell: Mapping[str, Any] | None = None) -> str:
    """Render the first paragraph of the cell after a picture, unless that already begins the next section."""
    text = cell["source"].strip().split("\n\n")[0] if cell and cell["cell_type"] == "markdown" else "#"
    return "" if text.startswith("#") else markdown_to_html(text)


def _content(output: Mapping[str, Any]) -> dict[str, Any]:
    """What a `Figure` takes of an output that is a picture or a table; nothing of any other."""
    linked = output.get("metadata", {}).get("lefs")
    text = "".join(output.get("data", {}).get("text/html", ""))
    return dict(linked or ({"table": Markup(text)} if text.lstrip().startswith("<table") else {}))


def gallery_page(
    folder: Path, records: Sequence[Mapping[str, Any]], *, started: datetime, versions: Mapping[str, str]
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
    about = {"name": folder.name, "started": started, "versions": versions}
    return render("gallery.html.j2", sections=sections, duration=duration, **about)


def read_shown(path: Path) -> nbformat.NotebookNode:
    """Read an executed notebook, with links to its pictures; it has no cells while there is none."""
    try:
        return link_pictures(read_notebook(path), path.parent)
    except RunError:  # (it has not begun, or the disk is full)
        return nbformat.v4.new_notebook()


def write_page(executed: Path, source: Path, *, linked: bool) -> nbformat.NotebookNode:
    """Write the page of an executed notebook, and its pictures; return the notebook, as `read_shown` does.

    Parameters
    ----------
    executed, source : Path
        The notebook, and the folder where its Markdown cells find their pictures.
    linked : bool
        Whether to leave the notebook itself links to its pictures, too.
    """
    notebook = read_shown(executed)
    if not notebook.cells:  # (half of it, where a disk was full: make room for the record)
        with suppress(OSError):
            executed.unlink()
        return notebook
    page = notebook_to_html(notebook, title=executed.stem, folder=source)
    write_text(executed.with_suffix(".html"), _link_styles(page, executed.parent))
    if linked:
        write_text(executed, nbformat.writes(notebook))
    return notebook


def _section(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of a notebook: its title without its number, the paragraph below it, its figures."""
    notebook = read_shown(folder / f"{record['notebook']}.ipynb")
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    opening = next(filter(_HEADING.search, texts), f"# {record['notebook']}")
    _, title, below = _HEADING.split(opening, maxsplit=1)
    lead = markdown_to_html(below.strip().split("\n\n")[0])
    title = _inline(re.sub(r"^\d+ · ", "", title))
    return {**record, "title": title, "lead": Markup(lead), "figures": figures(notebook)}
