"""The notebooks live: JupyterLab in a real browser, sliders moved from the keyboard."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from jupyterlab_page import Notebook, change, picture, wait_for_change
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import lefs
from lefs.images import to_uint8

pytestmark = [pytest.mark.browser, pytest.mark.slow]
OpenNotebook = Callable[[str], Notebook]
GONE = "model not found"  # what JupyterLab says of a widget whose kernel has ended


def write_notebook(path: Path, *cells: str) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=kernel), path)


def set_parameters(path: Path, **values: str | float) -> None:
    """Write other defaults into a notebook's parameters: panels need no large samples."""
    made = nbformat.read(path, as_version=4)
    (cell,) = (c for c in made.cells if "parameters" in c.metadata.get("tags", []))
    for name, value in values.items():
        cell.source, found = re.subn(
            rf"^({name}: (?:int|float|str)) = \S+", rf"\g<1> = {value!r}", cell.source, flags=re.M
        )
        assert found == 1, f"{path.name} has no parameter {name}"
    nbformat.write(made, path)


EDITS = """
import lefs
from lefs.widgets import EditStudio

model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
place = lefs.QuerySettings(where="part")
studio = EditStudio(model, found, lefs.Recipe(1, (lefs.Change("hair", 2, settings=place),)), folder="saved")
studio
"""
STUDIO = """
import lefs
from lefs.workers.progress import track
from lefs.widgets import EditStudio

model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
studio = EditStudio(model, found, lefs.Recipe(1, (lefs.Change("hair", 2),)))
for _ in track(range(3), total=3, description="something", show=True):
    pass
studio
"""
LONG = """
from pathlib import Path
from time import sleep

while not Path("enough").exists():
    sleep(0.1)
"""


# Buttons and labels of a panel that are in sight and whose words do not fit in, or take a second line
MISFITS = """panel => [...panel.querySelectorAll("button, .widget-label")]
  .filter(e => e.offsetParent && (e.scrollWidth > e.clientWidth + 1 || e.offsetHeight > 36))
  .map(e => e.textContent)"""


WALKER = """
import lefs
from lefs.directions import principal_directions

model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
lefs.widgets.DirectionWalker(model, principal_directions(model, range(100)), found)
"""
# What lists offer that is wider than the room they have for it
CUT_OFF = """panel => [...panel.querySelectorAll("select")].flatMap(list => {
  const style = getComputedStyle(list), context = document.createElement("canvas").getContext("2d");
  context.font = style.font;
  const room = list.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return [...list.options].map(o => o.text).filter(text => context.measureText(text).width > room);
})"""


# Controls of which a screen reader would say nothing but what they are
NAMELESS = re.compile(
    r"""- '?(?:button|slider|combobox|listbox|textbox|checkbox|spinbutton)(?! "[^"]*[a-z]).*"""
)


def nameless(panel: Locator) -> list[str]:
    """Controls without a name, a second after they were made."""
    panel.page.wait_for_timeout(1000)
    return NAMELESS.findall(panel.aria_snapshot())


def test_lists_of_the_walker_are_as_wide_as_their_words(open_notebook: OpenNotebook, workplace: Path) -> None:
    write_notebook(workplace / "walker.ipynb", WALKER)
    notebook = open_notebook("walker.ipynb")
    notebook.run_all()
    assert notebook.errors() == []
    panel = notebook.panel()
    assert nameless(panel) == []
    for width in (800, 1000, 1280):
        notebook.page.set_viewport_size({"width": width, "height": 1000})
        notebook.page.wait_for_timeout(500)
        assert panel.evaluate(CUT_OFF) == []
    notebook.close()


def test_a_panel_answers_while_cells_run_and_leaves_its_picture(
    open_notebook: OpenNotebook, workplace: Path
) -> None:
    write_notebook(workplace / "studio.ipynb", STUDIO, LONG)
    notebook = open_notebook("studio.ipynb")
    notebook.start_all()
    panel = notebook.panel()
    still = notebook.page.locator(".lefs-still")
    expect(still).to_be_hidden()
    edit = panel.locator("canvas[data-panel='edit']")
    before = picture(edit)
    panel.locator(".widget-slider", has_text="λ").locator(".noUi-handle").focus()
    notebook.page.keyboard.press("Home")
    wait_for_change(edit, before)
    assert notebook.running(), "the panel has answered beside a cell that runs"
    for width in (800, 1280, 1900):
        notebook.page.set_viewport_size({"width": width, "height": 1000})
        notebook.page.wait_for_timeout(500)
        assert panel.evaluate(MISFITS) == []
        assert panel.evaluate(CUT_OFF) == []
    box = edit.bounding_box()
    assert box is not None
    assert box["width"] > 300, "a wide window shows large pictures"
    (workplace / "enough").touch()
    expect(notebook.page.locator(".jp-InputPrompt", has_text="[*]")).to_have_count(0)
    assert notebook.errors() == []
    notebook.save()
    notebook.close()

    again = open_notebook("studio.ipynb")
    expect(still).to_be_visible()
    again.page.wait_for_timeout(3000)  # (JupyterLab looks for a model for two seconds)
    expect(again.page.locator(".jp-OutputArea-output:visible", has_text=GONE)).to_have_count(0)
    expect(again.page.locator(".jp-OutputArea-child:visible")).to_have_count(1)
    assert still.evaluate("image => image.naturalWidth") > 300


def test_moving_rho_changes_the_edited_picture(
    open_notebook: OpenNotebook, workplace: Path, tmp_path: Path
) -> None:
    set_parameters(workplace / "notebooks" / "3_editing.ipynb", generator="portraits-64", minutes=0.1)
    notebook = open_notebook("notebooks/3_editing.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    panel = notebook.panel()
    rho = panel.locator(".widget-slider", has_text="ρ")
    canvases = {
        name: panel.locator(f"canvas[data-panel='{name}']") for name in ("target", "edit", "reference")
    }
    for canvas in canvases.values():
        expect(canvas).to_be_visible()
    notebook.settle()  # (pictures come coarse first)
    before = {name: picture(canvas) for name, canvas in canvases.items()}
    pairs = itertools.combinations(before.values(), 2)
    assert all(change(a, b) > 1 for a, b in pairs), "target, edit and reference should be three pictures"

    summary = panel.locator(".lefs-summary", has_text="arrival of")
    expect(summary).to_contain_text("inside the mask alone")  # (it opens in place)
    panel.get_by_text("More", exact=True).click()
    expect(rho).to_be_hidden()
    where = panel.locator(".widget-dropdown", has_text="where").locator("select")
    where.select_option(label="everywhere")
    wait_for_change(canvases["edit"], before["edit"])
    expect(summary).to_contain_text("budget spent")
    expect(rho).to_be_visible()
    notebook.settle()
    before["edit"] = picture(canvases["edit"])

    part = panel.get_by_label("part", exact=True)
    part.select_option(label="mouth")
    wait_for_change(canvases["edit"], before["edit"])
    expect(panel.get_by_role("button", name="Keep mine")).to_be_hidden()  # no slider was moved by hand
    part.select_option(label="hair")
    notebook.settle()
    before["edit"] = picture(canvases["edit"])

    value = float(rho.locator(".widget-readout").inner_text())
    rho.locator(".noUi-handle").focus()
    notebook.page.keyboard.press("ArrowRight")
    notebook.page.keyboard.press("End")  # to the highest price, at which next to no channel moves
    expect(rho.locator(".widget-readout")).not_to_have_text(re.compile(rf"^{value}0*$"))
    wait_for_change(canvases["edit"], before["edit"])
    notebook.settle()
    panel.screenshot(path=tmp_path / "editing.png")

    assert float(rho.locator(".widget-readout").inner_text()) > value
    for name in ("target", "reference"):
        assert change(before[name], picture(canvases[name])) < 0.1
    assert panel.locator(".lefs-error").count() == 0


def test_an_eye_is_clicked_a_part_added_and_the_saved_picture_replays(
    open_notebook: OpenNotebook, workplace: Path
) -> None:
    write_notebook(workplace / "edits.ipynb", EDITS)
    notebook = open_notebook("edits.ipynb")
    notebook.run_all()
    assert notebook.errors() == []
    page, panel = notebook.page, notebook.panel()
    model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    masks = found.part_masks(model, model.sample([1], truncation=0.7))

    def click(canvas: Locator, part: str, *, shift: bool = False) -> None:
        ys, xs = np.nonzero(masks[part][0].numpy())
        middle = int(np.argmin((ys - np.median(ys)) ** 2 + (xs - np.median(xs)) ** 2))
        box = canvas.bounding_box()
        assert box is not None
        at = [(k[middle] + 0.5) / 64 for k in (xs, ys)]
        place = {"x": at[0] * box["width"], "y": at[1] * box["height"]}
        canvas.hover(position=place)
        expect(panel.locator(".lefs-tip:visible").first).to_have_text(part)
        canvas.click(position=place, modifiers=["Shift"] if shift else [])

    edit, target = (panel.locator(f"canvas[data-panel='{name}']") for name in ("edit", "target"))
    before = picture(edit)
    click(target, "eyes")
    wait_for_change(edit, before, least=0.1)
    expect(panel.get_by_label("part", exact=True)).to_have_value("eyes")
    before = picture(edit)
    click(target, "hair", shift=True)
    wait_for_change(edit, before)
    rows = panel.locator(".widget-select option")
    expect(rows).to_have_count(2)
    both = picture(edit)
    panel.locator(".widget-slider", has_text="λ").locator(".noUi-handle").focus()
    page.keyboard.press("Home")
    wait_for_change(edit, both)
    expect(panel.locator(".lefs-help")).to_contain_text("How far channels move")
    panel.locator(".lefs-tools button:has(.fa-undo)").click()
    notebook.settle()
    page.wait_for_timeout(500)
    assert change(both, picture(edit)) < 0.1, "undo brings the picture back"
    box = edit.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    wait_for_change(edit, both)  # (pressed, it shows the target)
    page.wait_for_timeout(500)  # (a short press would be a click, on what lies there)
    page.mouse.up()
    expect(panel.get_by_role("slider", name="budget ε")).to_have_count(0)
    panel.locator(".widget-dropdown", has_text="where").locator("select").select_option("everywhere")
    panel.get_by_role("button", name="More").press("Enter")  # (the keyboard reaches what is under it)
    expect(panel.get_by_role("slider", name="budget ε")).to_be_visible()
    assert nameless(panel) == []
    panel.get_by_role("button", name="Take the last move back").click()
    notebook.settle()
    panel.get_by_role("button", name="Save").click()
    expect(panel.locator(".lefs-summary", has_text="saved")).to_be_visible()
    (path,) = (workplace / "saved").glob("*.png")
    recipe = lefs.Recipe.from_png(path)
    assert [c.part for c in recipe.changes] == ["eyes", "hair"]
    again = lefs.Editor(model, found).render(recipe)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), to_uint8(again.image))
    shown = np.asarray(
        Image.fromarray(to_uint8(again.image)).resize(both.shape[1::-1], Image.Resampling.NEAREST)
    )
    assert change(both, shown.astype(np.int16)) < 3, "the page shows what is saved"
    assert panel.locator(".lefs-error:visible").count() == 0


def test_the_studio_is_a_page_of_its_own(page: Page, workplace: Path, tmp_path: Path) -> None:
    pytest.importorskip("voila")
    page.set_default_navigation_timeout(180_000)
    log = tmp_path / "voila.log"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "lefs", "studio", "portraits-64", "--no-browser", f"--port={port}"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 180
        while not (found := re.search(r"\?token=(\w+)", log.read_text())):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        address = f"http://127.0.0.1:{port}/"
        answer = page.goto(address)
        assert answer is not None
        assert page.locator("canvas").count() == 0, "nobody is let in without the token"
        page.goto(f"{address}?token={found[1]}")
        edit = page.locator("canvas[data-panel='edit']")
        edit.wait_for(timeout=180_000)
        page.wait_for_timeout(1500)
        before = picture(edit)
        page.locator(".widget-slider", has_text="λ").locator(".noUi-handle").focus()
        page.keyboard.press("Home")
        wait_for_change(edit, before)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_naming_a_part_saves_the_catalog(
    open_notebook: OpenNotebook, workplace: Path, tmp_path: Path
) -> None:
    set_parameters(workplace / "notebooks" / "2_catalog.ipynb", generator="portraits-64", images=16)
    notebook = open_notebook("notebooks/2_catalog.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    panel = notebook.panel()
    assert nameless(panel) == []
    before = picture(panel.locator("canvas").first)
    field = panel.locator(".lefs-swatch + .widget-text input").first
    field.fill("a new part")
    field.press("Enter")
    expect(panel.locator(".lefs-summary", has_text="saved to")).to_be_visible()
    notebook.settle()
    saved = [lefs.Catalog.load(path) for path in workplace.rglob("catalog.safetensors")]
    assert any("a new part" in catalog.parts for catalog in saved)

    opacity = panel.locator(".widget-slider", has_text="opacity")
    opacity.locator(".noUi-handle").focus()
    notebook.page.keyboard.press("ArrowLeft")
    wait_for_change(panel.locator("canvas").first, before)
    panel.screenshot(path=tmp_path / "catalog.png")
    assert panel.locator(".lefs-error").count() == 0


PAINTER = """
import lefs
from lefs.widgets import UnitPainter

model, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
found = lefs.units.characterize(model, range(16), segmenter=judge, layers=["b8.torgb"], progress=False)
painter = UnitPainter(model, found, 97, concept="glasses", layer="b8.torgb", segmenter=judge)
painter
"""


def test_painting_switches_units_where_the_pointer_or_the_keys_go(
    open_notebook: OpenNotebook, workplace: Path, tmp_path: Path
) -> None:
    write_notebook(workplace / "painter.ipynb", PAINTER)
    notebook = open_notebook("painter.ipynb")
    notebook.run_all()
    assert notebook.errors() == []

    panel = notebook.panel()
    source, result = (panel.locator(f"canvas[data-panel='{name}']") for name in ("paint here", "result"))
    expect(source).to_be_visible()
    before = picture(result)
    box = source.bounding_box()
    assert box is not None
    place = [(box["x"] + x * box["width"], box["y"] + 0.45 * box["height"]) for x in (0.35, 0.65)]
    notebook.page.mouse.move(*place[0])
    notebook.page.mouse.down()
    notebook.page.mouse.move(*place[1], steps=5)
    notebook.page.mouse.up()
    wait_for_change(result, before)
    notebook.settle()
    expect(panel.locator(".lefs-summary", has_text="glasses on the painted positions")).to_be_visible()

    assert nameless(panel) == []
    panel.get_by_role("button", name="Clear").click()
    expect(panel.locator(".lefs-summary", has_text="painted positions")).to_have_count(0)
    source.focus()
    notebook.page.keyboard.press("ArrowUp")
    notebook.page.keyboard.press("Space")
    expect(panel.locator(".lefs-summary", has_text="glasses on the painted positions")).to_be_visible()
    panel.screenshot(path=tmp_path / "painter.png")
    assert panel.locator(".lefs-error").count() == 0
