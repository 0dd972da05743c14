"""Notebooks as HTML pages that need no network: formulas become MathML, nothing is loaded from elsewhere.

nbconvert's pages fetch MathJax, RequireJS and Mermaid when opened, and show raw LaTeX where they cannot.
A class room without a network is a normal place to open a run, so all of it is settled when the page is
written.
"""

from __future__ import annotations

import copy
import html
import re
import xml.etree.ElementTree as ElementTree
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, pass_context
from latex2mathml.converter import convert as latex_to_mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

__all__ = ["MATH_STYLE", "markdown_to_html", "math_to_mathml", "notebook_to_html", "render"]

_NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'  # HTML knows <math> without it
_BARS = ("|", "‖")
_UNDER = ("max", "min", "lim", "sup", "inf")  # what LaTeX writes below these, in a formula of its own

MATH_STYLE = files(__package__).joinpath("math.css").read_text("utf-8")
_TEMPLATE = files(__package__).joinpath("notebook.html.j2").read_text("utf-8")


def math_to_mathml(latex: str, *, display: bool = False) -> str:
    """Return a formula as a MathML element; what cannot be read stays visible as its source.

    Parameters
    ----------
    latex : str
    display : bool
        Whether it stands by itself.

    Returns
    -------
    str

    Examples
    --------
    >>> math_to_mathml("x < 3")
    '<math display="inline"><mrow><mi>x</mi><mo>&lt;</mo><mn>3</mn></mrow></math>'
    """
    try:
        text = latex_to_mathml(latex.strip(), display="block" if display else "inline")
        mathml = ElementTree.fromstring(text.replace(_NAMESPACE, ""))
    except Exception:  # the reader of LaTeX fails in many ways, and a formula is no reason to lose a run
        return f"<code>{html.escape(latex)}</code>"
    for element in mathml.iter("msub"):
        if display and element[0].text in _UNDER:
            element.tag = "munder"
    for element in mathml.iter("mo"):
        # Bars of no stated size stretch, each to what is beside it: unequal ones around a base with a power.
        if element.text in _BARS and not element.attrib:
            element.attrib.update(stretchy="false", form="postfix")
    return ElementTree.tostring(mathml, encoding="unicode")


class _Renderer(IPythonRenderer):
    """Markdown renderer of nbconvert, with formulas as MathML and links to notebooks led to their pages."""

    def link(self, text: str, url: str, title: str | None = None) -> str:
        page = url if ":" in url else re.sub(r"\.ipynb(?=#|$)", ".html", url)
        rendered: str = super().link(text, page, title)
        return rendered

    def block_math(self, body: str) -> str:
        return math_to_mathml(body, display=True)

    def inline_math(self, body: str) -> str:
        return math_to_mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        return math_to_mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)


class _OfflineExporter(HTMLExporter):
    """nbconvert's JupyterLab page without anything that is loaded when it is opened."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Render a cell's Markdown, with its pictures embedded and its formulas as MathML."""
        path = context.get("resources", {}).get("metadata", {}).get("path", "")
        attachments = context.get("cell", {}).get("attachments", {})
        return markdown_to_html(source, path=path, attachments=attachments, exclude_anchor_links=False)


def markdown_to_html(source: str, **options: Any) -> str:
    """Render Markdown as HTML, formulas included.

    Parameters
    ----------
    source : str
    **options : Any
        Of nbconvert's renderer.
    """
    renderer = _Renderer(escape=False, embed_images=True, **{"exclude_anchor_links": True, **options})
    rendered: str = MarkdownWithMath(renderer=renderer).render(source)
    return rendered


def render(template: str, **values: Any) -> str:
    """Return a page made from one of the templates of this folder."""
    loader = PackageLoader("lefs.runner", "")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(values)


def notebook_to_html(notebook: NotebookNode, *, title: str, folder: Path) -> str:
    """Return a notebook as a page that loads nothing from elsewhere.

    Parameters
    ----------
    notebook : NotebookNode
        Executed, as nbformat reads it.
    title : str
        Of the page, where the notebook's metadata give none.
    folder : Path
        Where relative paths to pictures in Markdown cells start.
    """
    exporter = _OfflineExporter(raw_template=_TEMPLATE)
    resources = {"metadata": {"name": title, "path": str(folder)}, "math_style": MATH_STYLE}
    shown = copy.deepcopy(notebook)
    for cell in shown.cells:  # (findings have nothing to show, of which nbconvert would warn)
        if "outputs" in cell:
            kept = (o for o in cell.outputs if not o.get("metadata", {}).get("scrapbook", {}).get("data"))
            cell.outputs = [*kept]
    page: str = exporter.from_notebook_node(shown, resources=resources)[0]
    return page
