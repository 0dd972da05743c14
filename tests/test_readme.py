"""The README is true, and so are the pages in docs: their Python runs, links lead somewhere."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
from PIL import Image

import lefs
from lefs.evaluation import Report, load_settings
from lefs.runner import read_parameters

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.is_file() else ""
CARDS = sorted((ROOT / "data").glob("*/README.md"))
DOCUMENTS = [p for p in (README, *CARDS, ROOT / "CHANGELOG.md") if p.is_file()]
WRITTEN = ("", "howto", "measured", "notebooks", "api")  # the folders of docs in which pages are not made
PAGES = [README, *(p for folder in WRITTEN for p in sorted((ROOT / "docs" / folder).glob("*.md")))]
LINKING = [*DOCUMENTS, *(p for p in PAGES[1:] if p.parent.name != "api")]  # (api links pages that are made)

# What somebody with Python 3.11 and git types first; .ci/run reads them from the README, too.
COMMANDS = [
    "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' -c constraints.txt && .venv/bin/lefs run",
    ".venv/bin/pytest -n 2 --dist loadfile",
]


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


EXAMPLES = [
    pytest.param(page, code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks("python", page.read_text(encoding="utf-8")))
]


def heading_anchors(text: str) -> set[str]:
    """Fragments that a Markdown viewer gives the headings of a document."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ +(.+?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def test_there_is_a_readme() -> None:
    assert README.is_file()


@pytest.mark.parametrize(("page", "code"), EXAMPLES)
def test_its_python_runs(page: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page.name, "exec"), {"__name__": "page"})


def test_its_picture_of_edits_is_what_notebook_3_shows() -> None:
    """By what `data.figures.make` wrote into the picture: the notebook's parameters, the tuned settings."""
    notebook = nbformat.read(ROOT / "notebooks" / "3_editing.ipynb", as_version=4)
    values = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
    catalog = lefs.Catalog.load("portraits")
    tuned = load_settings("portraits", catalog, contributions=values["contributions"])
    shown = json.loads(Image.open(ROOT / "data" / "figures" / "edits.png").info["Description"])
    settings = shown.pop("settings")
    assert len(settings) == 5
    assert settings == {part: asdict(tuned[part]) for part in settings}
    assert shown == {name: values[name] for name in shown}


def test_its_table_of_parts_is_what_was_measured() -> None:
    """Recall and purity of the shipped catalog, and how far an edit in place arrives."""
    parts = json.loads((ROOT / "data" / "portraits" / "agreement.json").read_text(encoding="utf-8"))["parts"]
    rows = Report.load(ROOT / "data" / "figures" / "comparison.json").rows
    arrival = {row.part: row.arrival[0] for row in rows if row.method == "in place" and row.usual}
    measured = [
        (p, found["recall"], found["purity"], arrival[p]) for p, found in parts.items() if p in arrival
    ]
    stated = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)
    assert stated == [(p, *(f"{n:.2f}" for n in numbers)) for p, *numbers in measured]


def test_it_shows_python_and_is_short() -> None:
    assert blocks("python")
    assert len(TEXT.splitlines()) <= 150


def test_its_commands_are_the_ones_that_are_tested() -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert [line for line in lines if line in COMMANDS] == COMMANDS


@pytest.mark.parametrize("document", LINKING, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)|(?:src|href|srcset)=\"([^\"]+)\"", text)
    for target in filter(None, (a or b for a, b in links)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        assert not path or (document.parent / path).exists(), f"{document.name} links {target}"
        assert path or fragment in heading_anchors(text), f"{document.name} has no heading #{fragment}"
