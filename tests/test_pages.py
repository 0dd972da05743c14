"""The site: it builds without a warning, its links lead somewhere, and it fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import lefs

FETCHED = {"src", "srcset", "poster", "data"}


class Page(HTMLParser):
    """What a page links, what it fetches when it is opened, and the places in it that can be linked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.fetched |= {given[name] for name in FETCHED & given.keys()}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.fetched.add(given.get("href", ""))


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """Every page of the site, built with warnings as errors."""
    out = tmp_path_factory.mktemp("site") / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(root / "docs"), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = sorted(out.rglob("*.html"))
    return {str(p.relative_to(out)): Page(p.read_text(encoding="utf-8")) for p in pages}


@pytest.mark.slow  # (Sphinx reads every docstring: forty seconds)
def test_every_link_inside_the_site_leads_somewhere(site: dict[str, Page]) -> None:
    for name, page in site.items():
        for link in page.links:
            path, fragment = unquote(urlsplit(link).path), unquote(urlsplit(link).fragment)
            target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name  # noqa: PTH118, PTH120
            if urlsplit(link).scheme or not target.endswith(".html"):
                continue
            assert target in site, f"{name} links {link}"
            assert not fragment or fragment in site[target].anchors, f"{name} links {link}"


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site: dict[str, Page]) -> None:
    """So that the pages work from a folder, without a network."""
    for name, page in site.items():
        elsewhere = {address for address in page.fetched if re.match(r"(https?:)?//", address)}
        assert not elsewhere, f"{name} fetches {elsewhere}"


@pytest.mark.slow
def test_the_api_has_every_name_of_the_package_once(site: dict[str, Page]) -> None:
    anchors = [anchor for name, page in site.items() if name.startswith("api/") for anchor in page.anchors]
    for name in lefs.__all__:
        assert anchors.count(f"lefs.{name}") == 1, name


@pytest.mark.slow
def test_every_notebook_and_model_has_its_page(site: dict[str, Page], root: Path) -> None:
    assert {f"notebooks/{p.stem}.html" for p in (root / "notebooks").glob("*.ipynb")} <= site.keys()
    assert {f"cards/{p.parent.name}.html" for p in (root / "data").glob("*/README.md")} <= site.keys()
