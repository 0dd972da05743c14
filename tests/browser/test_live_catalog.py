"""The catalog browser in a real JupyterLab: names given by clicking outlive a kernel that is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyterlab_page import Notebook
from playwright.sync_api import Locator, expect
from test_live import write_notebook

import lefs

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CATALOG = """
import os
from pathlib import Path

import lefs
from lefs.widgets import CatalogBrowser

Path("kernel").write_text(str(os.getpid()))
model = lefs.load("portraits-64")
found = lefs.dissect(model, range(16), clusters=12, progress=False)
browser = CatalogBrowser(model, found, range(5000, 5012), folder="clicked")
browser
"""


def click_at(panel: Locator, picture: int, place: tuple[float, float], *, shift: bool = False) -> None:
    """Click a place, in shares of a picture's sides."""
    canvas = panel.locator("canvas").nth(picture)
    box = canvas.bounding_box()
    assert box is not None
    position = {"x": place[0] * box["width"], "y": place[1] * box["height"]}
    canvas.click(position=position, modifiers=["Shift"] if shift else [])


def give_name(panel: Locator, name: str) -> None:
    """Type a name for these."""
    field = panel.get_by_placeholder("a name for these")
    expect(field).to_be_enabled()
    field.fill(name)
    field.press("Enter")


def test_names_given_by_clicking_outlive_a_killed_kernel(
    open_notebook: Callable[[str], Notebook], workplace: Path, tmp_path: Path
) -> None:
    write_notebook(workplace / "clicked.ipynb", CATALOG)
    notebook = open_notebook("clicked.ipynb")
    notebook.run_all()
    assert notebook.errors() == []
    panel = notebook.panel()

    canvas = panel.locator("canvas").first
    canvas.hover(position={"x": 5, "y": 5})
    expect(panel.locator(".lefs-tip").first).to_contain_text("cluster")
    click_at(panel, 0, (0.03, 0.03))
    expect(panel.locator(".lefs-selected")).to_have_count(1)
    expect(panel.locator(".lefs-summary", has_text="chosen: cluster")).to_be_visible()
    give_name(panel, "backdrop")
    expect(panel.locator(".lefs-summary", has_text="1 of them named; saved to")).to_be_visible()
    click_at(panel, 0, (0.5, 0.5))
    click_at(panel, 0, (0.5, 0.97), shift=True)
    expect(panel.locator(".lefs-selected")).to_have_count(2)
    give_name(panel, "person")
    expect(panel.locator(".lefs-summary", has_text="2 of them named; saved to")).to_be_visible()
    panel.screenshot(path=tmp_path / "named.png")

    os.kill(int((workplace / "kernel").read_text()), signal.SIGKILL)
    field = panel.locator(".lefs-swatch + .widget-text input").first
    field.fill("typed into nothing")
    field.press("Enter")
    expect(panel.locator(".lefs-dead")).to_contain_text("The kernel does not answer")
    panel.screenshot(path=tmp_path / "dead.png")

    notebook.settle()
    notebook.run_all()
    assert notebook.errors() == []
    again = lefs.Catalog.load(workplace / "clicked")
    assert "backdrop" in again.parts
    assert len(again.parts["person"]) == 2
    panel = notebook.panel()
    expect(panel.locator(".lefs-summary", has_text="nothing chosen")).to_be_visible()
    names = panel.locator(".lefs-swatch + .widget-text input").evaluate_all("fs => fs.map(f => f.value)")
    assert names.count("person") == 2
    assert "backdrop" in names
    expect(panel.locator(".lefs-dead")).to_be_hidden()
