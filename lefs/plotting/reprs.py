"""What objects of the core show of themselves in a notebook, at a bounded cost."""

from __future__ import annotations

from functools import singledispatch
from html import escape
from typing import Any

from matplotlib.colors import to_hex

from lefs.catalog import Catalog
from lefs.editing import Recipe
from lefs.editor import Edit
from lefs.generator import Generator
from lefs.inversion import Inversion
from lefs.plotting.pictures import comparison_strip, image_grid
from lefs.plotting.style import cluster_colors, figure_png
from lefs.tables import Table, Tabular

__all__ = ["drawn"]

_SAMPLES, _SIDE = 6, 64  # images of a generator, and from which size on they are previews of that size
_LINES = 60  # of a table of numbers
_ROWS = 16  # parts of a catalog that are listed: all that have names, of many clusters the first


@singledispatch
def drawn(thing: Any) -> dict[str, Any]:
    """Pictures and pages by their MIME type; nothing of what is shown in words alone.

    Parameters
    ----------
    thing : Generator, Catalog, Edit, Recipe, Inversion or other

    Returns
    -------
    dict of str to bytes or str

    Examples
    --------
    >>> import lefs
    >>> from lefs.plotting.reprs import drawn
    >>> list(drawn(lefs.load("portraits-64"))), list(drawn(lefs.Catalog.load("portraits-64")))
    (['image/png'], ['text/html'])
    """
    return {}


@drawn.register
def _(generator: Generator) -> dict[str, Any]:
    side = max(generator.size)
    labels = [0] * _SAMPLES if generator.label_dim and generator.default_label is None else None
    styles = generator.sample(range(_SAMPLES), truncation=0.7, labels=labels)
    images = generator.synthesize(styles, upto=_SIDE if side > 2 * _SIDE else None)
    title = f"{generator!r}: seeds 0 to {_SAMPLES - 1}, ψ = 0.7"
    return {"image/png": figure_png(image_grid(images, columns=_SAMPLES, title=title))}


@drawn.register
def _(found: Tabular) -> dict[str, Any]:
    table = found.numbers()
    rows, more = table.rows[:_LINES], len(table.rows) - _LINES
    shown = f"<p>{escape(type(found).__name__)}</p>{Table(table.columns, rows)._repr_html_()}"
    return {"text/html": f"<div>{shown}{f'<p>{more} more rows</p>' if more > 0 else ''}</div>"}


@drawn.register
def _(edit: Edit) -> dict[str, Any]:
    names, pictures = list(edit.pictures), list(edit.pictures.values())
    grid = image_grid(pictures, titles=names, columns=len(names), title=str(edit.recipe))
    return {"image/png": figure_png(grid)}


@drawn.register
def _(inversion: Inversion) -> dict[str, Any]:
    return {"image/png": figure_png(comparison_strip(inversion.pictures))}


@drawn.register
def _(recipe: Recipe) -> dict[str, Any]:
    head, *changes = str(recipe).split("; ")
    body = "".join(f"<li>{escape(change)}</li>" for change in changes)
    return {"text/html": f"<div>{escape(head)}<ul>{body}</ul></div>"}


@drawn.register
def _(catalog: Catalog) -> dict[str, Any]:
    """Its parts in the colours that overlays give them, with their clusters and their share of the sample."""
    total = max(int(catalog.sizes.sum()), 1)
    cells, colors = [], cluster_colors(len(catalog.parts))
    for (part, clusters), color in zip(catalog.parts.items(), colors, strict=True):
        chip = f'<span style="background:{to_hex(color)};padding:0 .7em;margin-right:.4em"></span>'
        share = int(catalog.sizes[list(clusters)].sum()) / total
        cells.append(f"<td>{chip}{escape(part)}</td><td>{len(clusters)}</td><td>{share:.1%}</td>")
    body = "".join(f"<tr>{row}</tr>" for row in cells[:_ROWS])
    more = f"<p>… and {len(cells) - _ROWS} more parts</p>" if len(cells) > _ROWS else ""
    head = "<tr><th>part</th><th>clusters</th><th>share of the sample</th></tr>"
    said = escape(str(catalog).partition(", parts:")[0])
    return {"text/html": f"<div><p>{said}</p><table>{head}{body}</table>{more}</div>"}
