"""The slider as it is felt: from the key press to the painted frame, and how much of that is the model's.

In a real JupyterLab in a real Chromium, on the editing notebook and the embedded generator.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import torch
from harness import Row, interleaved, skip
from networks import random_generator

import lefs
from lefs.widgets import EditStudio

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from jupyterlab_page import Notebook, browse, find_browser, serve  # noqa: E402

KEYS = 40

# Counts from the key's own event to the end of the frame that paints the new picture: the canvas draws in
# that frame, and a task that it leaves comes after.
_WATCH = """handle => {
  const grid = handle.closest(".lefs-panel").querySelector(".lefs-hero");
  window.lefsTimes = [];
  let pressed = null;
  handle.addEventListener("keydown", event => { pressed = event.timeStamp; }, { capture: true });
  new MutationObserver(() => {
    if (pressed === null) return;
    const start = pressed;
    pressed = null;
    setTimeout(() => window.lefsTimes.push(performance.now() - start));
  }).observe(grid, { attributes: true, attributeFilter: ["data-frame"] });
}"""


def bench_slider() -> Iterator[Row]:
    """Key press to painted frame against the model's own time for the same move, medians."""
    name = "slider move, portraits: time in the model"
    if find_browser() is None:
        yield skip(name, "no Chromium")
        return
    painted = 1e-3 * statistics.median(_painted_frames())
    yield Row(
        name,
        statistics.median(_model_times()),
        painted,
        "key press to painted frame",
        target=5.0,
        note=f"JupyterLab in Chromium, {KEYS} arrow keys on λ, medians of wall time",
    )


def bench_preview() -> Iterator[Row]:
    """What the edit studio does for each move of a slider at 1024 × 1024, against doing all of it."""
    generator = random_generator(1024)
    catalog = lefs.dissect(generator, range(2), clusters=4, max_vectors=2048, progress=False)
    recipe = lefs.Recipe(0, (lefs.Change("cluster 0", 1, settings=lefs.QuerySettings(rho=0.0)),))
    hasty, thorough = (EditStudio(generator, catalog, recipe, frame=f) for f in (0.1, math.inf))
    values = itertools.cycle([0.2, 0.4, 0.6, 0.8])

    def move(studio: EditStudio) -> None:
        studio.controls["strength"].value = next(values)

    preview, whole = interleaved(
        *(functools.partial(move, studio) for studio in (hasty, thorough)), repeats=3
    )
    size = len(hasty.edit.change)
    note = f"config-f 1024, random weights; previews of {size} × {size}; the whole picture follows at rest"
    yield Row("slider move at 1024: edit studio, kernel side", preview, whole, "the whole picture", note=note)


def bench_studio_frame() -> Iterator[Row]:
    """Key press to painted frame: the whole studio against a slider and a bare picture, one edit in place."""
    name = "key press to painted frame: edit studio"
    if find_browser() is None:
        yield skip(name, "no Chromium")
        return
    studio, bare = (1e-3 * statistics.median(times) for times in zip(*_both_panels(), strict=True))
    note = f"portraits, {KEYS} arrow keys on λ each, in turns; JupyterLab in Chromium, medians of wall time"
    yield Row(name, studio, bare, "ipywidgets.Image with the same edit", target=1 / 1.2, note=note)


_PANELS = """
import io, ipywidgets, lefs
from dataclasses import replace
from PIL import Image
from lefs.images import to_uint8

model, found = lefs.load("portraits"), lefs.Catalog.load("portraits")
place = lefs.QuerySettings(where="part")
recipe = lefs.Recipe(1003, (lefs.Change("hair", 2000, 1.0, place),))
studio = lefs.widgets.EditStudio(model, found, recipe)
studio
"""
_BARE = """
editor, picture = lefs.Editor(model, found), ipywidgets.Image()
slider = ipywidgets.FloatSlider(1.0, min=0, max=1, step=0.01, description="bare")

def draw(change):
    edit = editor.render(replace(recipe, changes=(replace(recipe.changes[0], strength=change["new"]),)))
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(edit.image)).save(buffer, "PNG", compress_level=1)
    picture.value = buffer.getvalue()

slider.observe(draw, "value")
draw({"new": 1.0})
display(slider, picture)
"""
# The same for a picture of the page: it is loaded before the frame that paints it.
_WATCH_IMAGE = """handle => {
  const picture = handle.closest(".jp-OutputArea").querySelector("img.widget-image");
  window.bareTimes = [];
  let pressed = null;
  handle.addEventListener("keydown", event => { pressed = event.timeStamp; }, { capture: true });
  picture.addEventListener("load", () => {
    if (pressed === null) return;
    const start = pressed;
    pressed = null;
    requestAnimationFrame(() => setTimeout(() => window.bareTimes.push(performance.now() - start)));
  });
}"""


def _both_panels() -> list[tuple[float, float]]:
    """Milliseconds from each key to its frame, of the studio and of a bare picture."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "lab"
        place.mkdir()
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        cells = [nbformat.v4.new_code_cell(cell) for cell in (_PANELS, _BARE)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), place / "both.ipynb")
        with _opened(place, "both.ipynb") as notebook:
            page = notebook.page
            handles = notebook.panel().locator(".widget-slider", has_text="λ").locator(".noUi-handle")
            bare = page.locator(".widget-slider", has_text="bare").locator(".noUi-handle")
            handles.evaluate(_WATCH)
            bare.evaluate(_WATCH_IMAGE)
            for count in range(1, KEYS + 1):
                for handle, times in ((handles, "lefsTimes"), (bare, "bareTimes")):
                    handle.focus()
                    page.keyboard.press("ArrowLeft" if count <= KEYS // 2 else "ArrowRight")
                    page.wait_for_function(f"window.{times}.length >= {count}")
                    page.wait_for_timeout(50)
            found: list[tuple[float, float]] = page.evaluate(
                "window.lefsTimes.map((time, i) => [time, window.bareTimes[i]])"
            )
    return found


@contextlib.contextmanager
def _opened(place: Path, path: str) -> Iterator[Notebook]:
    """A notebook of a folder, run, in a browser."""
    executable = find_browser()
    assert executable is not None
    with (
        tempfile.TemporaryDirectory() as home,
        serve(place, Path(home)) as address,
        browse(executable) as browser,
    ):
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(120_000)
        notebook = Notebook.open(page, address, path)
        notebook.run_all()
        yield notebook
        notebook.close()


def _painted_frames() -> list[float]:
    """Milliseconds from each key to its frame."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "lab"
        shutil.copytree(ROOT / "notebooks", place / "notebooks", ignore=shutil.ignore_patterns(".*"))
        with _opened(place, "notebooks/3_editing.ipynb") as notebook:
            page = notebook.page
            handle = notebook.panel().locator(".widget-slider", has_text="λ").locator(".noUi-handle")
            handle.evaluate(_WATCH)
            handle.focus()
            for count in range(1, KEYS + 1):
                page.keyboard.press("ArrowLeft" if count <= KEYS // 2 else "ArrowRight")
                page.wait_for_function(f"window.lefsTimes.length >= {count}")
                page.wait_for_timeout(50)
            times: list[float] = page.evaluate("window.lefsTimes")
    return times


def _model_times() -> list[float]:
    """Seconds of synthesis for the same moves."""
    generator, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits")
    styles = generator.sample_styles([1003, 2017])
    query = lefs.QuerySettings().query(catalog, "hair")
    times = []
    with torch.inference_mode():
        cache = generator.cache(styles[:1])
        for step in range(KEYS):
            moved = lefs.transfer(styles[:1], styles[1:], query, strength=1 - step / KEYS)
            start = time.perf_counter()
            generator.synthesize(moved, cache=cache)
            times.append(time.perf_counter() - start)
    return times
