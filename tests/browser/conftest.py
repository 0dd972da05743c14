"""One JupyterLab and one Chromium for all browser tests, on a copy of the notebooks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from jupyterlab_page import Notebook, browse, find_browser, serve
from playwright.sync_api import Browser, Page, expect

TIMEOUT = 60_000  # milliseconds, of whatever is waited for: a busy machine is not a fault
expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def browser_executable() -> str:
    executable = find_browser()
    if executable is None:
        message = "no Chromium; on Debian: apt-get install chromium"
        if os.environ.get("LEFS_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    return executable


@pytest.fixture(scope="session")
def workplace(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a copy of the notebooks: what they write lands beside it, not in the checkout."""
    place = tmp_path_factory.mktemp("lab")
    shutil.copytree(root / "notebooks", place / "notebooks", ignore=shutil.ignore_patterns(".*"))
    return place


@pytest.fixture(scope="session")
def address(
    browser_executable: str, workplace: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with serve(workplace, tmp_path_factory.mktemp("jupyter")) as template:
        yield template


@pytest.fixture(scope="session")
def browser(browser_executable: str) -> Iterator[Browser]:
    with browse(browser_executable) as running:
        yield running


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """An empty page with no memory of others; what it showed last is kept as ``page.png``."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    yield page
    page.screenshot(path=tmp_path / "page.png")
    context.close()


@pytest.fixture
def open_notebook(page: Page, address: str) -> Iterator[Callable[[str], Notebook]]:
    """Callable ``open_notebook("notebooks/3_editing.ipynb")``; its kernel ends with the test."""
    opened: list[Notebook] = []

    def open_one(path: str) -> Notebook:
        opened.append(Notebook.open(page, address, path))
        return opened[-1]

    yield open_one
    for notebook in opened:
        notebook.close()
