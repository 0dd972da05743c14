"""What of the site is made, not written: API pages, notebooks as a run left them, formulas as MathML."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes

import lefs
from lefs.runner.html import MATH_STYLE, math_to_mathml

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
CORE = "lefs"
OWN = {"index", "start", "method", "teaching", "building", "changelog"}  # what the front page lists by name
MEASURED = ("benchmark", "evaluation", "reliability")
RUN = "LEFS_DOCS_RUN"  # a run's folder, where it should not be the newest


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_block, None))
    app.add_role("lefs", link_or_code)
    app.connect("config-inited", lambda *_: write_pages())
    app.connect("source-read", complete)
    app.connect("autodoc-skip-member", skip_requests)
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("missing-reference", show_as_code)


# -- formulas ------------------------------------------------------------------------------------------------


def visit_math(translator: Any, node: nodes.math) -> None:
    translator.body.append(math_to_mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{math_to_mathml(node.astext(), display=True)}</div>')
    raise nodes.SkipNode


# -- names in docstrings -------------------------------------------------------------------------------------


def link_or_code(
    _name: str, _source: str, text: str, _line: int, inliner: Any, *_: Any
) -> tuple[list[nodes.Node], list[Any]]:
    """`name`: a link if the API has it; anything else is code, and no mistake."""
    if not re.fullmatch(r"[A-Za-z_][\w.]*", text):
        return [nodes.literal(text, text)], []
    env = inliner.document.settings.env
    module = env.ref_context.get("py:module")
    here = module and "." not in text and callable(getattr(sys.modules.get(module), text, None))
    target = f"lefs.{text}" if text in lefs.__all__ else f"{module}.{text}" if here else text
    reference = addnodes.pending_xref(
        "", nodes.literal(text, text), refdomain="py", reftype="obj", reftarget=target
    )
    reference["py:class"] = env.ref_context.get("py:class")
    reference["py:module"] = module if reference["py:class"] else None
    reference["refdoc"], reference["lefs"] = env.docname, True
    return [reference], []


def show_as_code(_app: Any, _env: Any, node: addnodes.pending_xref, content: nodes.Node) -> nodes.Node | None:
    """What `link_or_code` found no page for; every other missing reference stays an error."""
    return content if node.get("lefs") else None


def skip_requests(_app: Any, _what: str, name: str, _thing: Any, _skip: bool, _options: Any) -> bool | None:
    """What scikit-learn gives its estimators refers to its own pages."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def keep_bars(_app: Any, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """|x| in a sentence is an absolute value; reStructuredText would put something in its place."""
    example = False
    for i, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if not example:
            lines[i] = re.sub(r"(``.*?``)|\|", lambda found: found[1] or r"\|", line)


# -- pages ---------------------------------------------------------------------------------------------------


def write_pages() -> None:
    for room in rooms():
        write(DOCS / "api" / f"{room}.rst", "\n".join(api_page(room)))
    write(DOCS / "_static" / "math.css", MATH_STYLE)
    for readme in (ROOT / "data").glob("*/README.md"):
        write(DOCS / "cards" / f"{readme.parent.name}.md", card(readme))
    for path in notebooks():
        write(DOCS / "notebooks" / path.name, path.read_text("utf-8"))


def write(path: Path, text: str) -> None:
    """Only what has changed, so that nothing is read again for no reason."""
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def notebooks() -> list[Path]:
    """Of the newest run that has all of them, executed; without one, as they stand, without results."""
    sources = sorted((ROOT / "notebooks").glob("*.ipynb"))
    runs = [Path(os.environ[RUN])] if RUN in os.environ else sorted((ROOT / "runs").glob("*"), reverse=True)
    for run in runs:
        found = [run / path.name for path in sources]
        if all(path.is_file() for path in found) and finished(run):
            return found
    if RUN in os.environ:
        raise FileNotFoundError(
            f"{RUN}={os.environ[RUN]} is not the folder of a finished run of all notebooks"
        )
    return sources


def finished(run: Path) -> bool:
    record = run / "run.json"
    return record.is_file() and all(
        not notebook.get("error") for notebook in json.loads(record.read_text("utf-8"))["notebooks"]
    )


# What lies elsewhere in the checkout, where people who read the files follow the links, has its page here.
PAGES = {
    r"notebooks/(\w+\.ipynb)": r"/notebooks/\1",
    r"(?:data/)?(portraits[\w-]*)/README\.md": r"/cards/\1.md",
    r"README\.md": "/index.md",
    r"docs/([\w-]+\.md)": r"/\1",
    r"CHANGELOG\.md": "/changelog.md",
}


def complete(_app: Any, page: str, source: list[str]) -> None:
    """Lead links to pages, and fill in the lists of pages that anybody may add to this folder."""
    text = led_to_pages(source[0])
    if page.endswith("/index"):
        others = {path.stem for path in DOCS.glob("*.md")} - OWN
        measured = {name for name in others if name.startswith(MEASURED)}
        for name, pages in {"measured": measured, "others": others - measured}.items():
            text = text.replace(f"{{{{{name}}}}}", "\n".join(f"../{each}" for each in sorted(pages)))
    source[0] = text


def led_to_pages(text: str) -> str:
    for elsewhere, page in PAGES.items():
        text = re.sub(rf"\]\((?:\.\./)+{elsewhere}", rf"]({page}", text)
    return text


def card(readme: Path) -> str:
    """A model card, with its pictures where they lie."""
    return re.sub(r"(!\[[^]]*\]\()", rf"\1../../data/{readme.parent.name}/", readme.read_text("utf-8"))


# -- the API -------------------------------------------------------------------------------------------------


def rooms() -> list[str]:
    """The core, and each package behind it."""
    return [
        CORE,
        *(f"lefs.{m.name}" for m in pkgutil.iter_modules(lefs.__path__) if m.ispkg and m.name != "data"),
    ]


def modules(room: str) -> list[str]:
    package = importlib.import_module(room)
    if room == CORE:
        return [
            f"lefs.{m.name}"
            for m in pkgutil.iter_modules(package.__path__)
            if not m.ispkg and m.name[0] != "_"
        ]
    return sorted(m.name for m in pkgutil.walk_packages(package.__path__, f"{room}."))


def api_page(room: str) -> Iterator[str]:
    """A room's face, then what its modules have besides; every object once, where people import it from."""
    faces = {id(getattr(lefs, name)) for name in lefs.__all__}
    yield from (room, "=" * len(room), "")
    seen: set[int] = faces if room != CORE else set()
    for name in [room, *modules(room)]:
        module = importlib.import_module(name)
        public = {n: getattr(module, n) for n in getattr(module, "__all__", ())}
        new = {n: x for n, x in public.items() if id(x) not in seen and documentable(x)}
        seen |= {id(x) for x in new.values()}
        if name != room:
            if not new:
                continue
            yield from (name, "-" * len(name), "")
        yield from (f".. automodule:: {name}", "")
        for each, thing in sorted(new.items()):
            yield from directive(f"{name}.{each}", thing)


def documentable(thing: Any) -> bool:
    return (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith("lefs")


def directive(name: str, thing: Any) -> Iterator[str]:
    kind = "autoclass" if inspect.isclass(thing) else "autofunction"
    yield f".. {kind}:: {name}"
    if kind == "autoclass":
        yield "   :members:"
    yield ""
