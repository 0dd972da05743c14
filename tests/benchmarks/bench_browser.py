"""The slider as it is felt: from the key press to the painted frame, and how much of that is the model's.

In a real JupyterLab in a real Chromium, on the editing notebook and the embedded generator.
"""

from __future__ import annotations

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

import torch
from harness import Row, interleaved, skip
from networks import random_generator

import lefs
from lefs.widgets import EditStudio

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from jupyterlab_page import Notebook, browse, find_browser, serve  # noqa: E402

KEYS = 40

# Counts from the key's own event to the animation frame that follows the one that paints the new picture.
_WATCH = """handle => {
  const grid = handle.closest(".lefs-panel").querySelector(".lefs-canvas");
  window.lefsTimes = [];
  let pressed = null;
  handle.addEventListener("keydown", event => { pressed = event.timeStamp; }, { capture: true });
  new MutationObserver(() => {
    if (pressed === null) return;
    const start = pressed;
    pressed = null;
    requestAnimationFrame(() => setTimeout(() => window.lefsTimes.push(performance.now() - start)));
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


def _painted_frames() -> list[float]:
    """Milliseconds from each key to its frame."""
    executable = find_browser()
    assert executable is not None
    with tempfile.TemporaryDirectory() as folder:
        place, home = Path(folder) / "lab", Path(folder) / "jupyter"
        home.mkdir()
        shutil.copytree(ROOT / "notebooks", place / "notebooks", ignore=shutil.ignore_patterns(".*"))
        with serve(place, home) as address, browse(executable) as browser:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(120_000)
            notebook = Notebook.open(page, address, "notebooks/3_editing.ipynb")
            notebook.run_all()
            handle = notebook.panel().locator(".widget-slider", has_text="λ").locator(".noUi-handle")
            handle.evaluate(_WATCH)
            handle.focus()
            for count in range(1, KEYS + 1):
                page.keyboard.press("ArrowLeft" if count <= KEYS // 2 else "ArrowRight")
                page.wait_for_function(f"window.lefsTimes.length >= {count}")
                page.wait_for_timeout(50)
            times: list[float] = page.evaluate("window.lefsTimes")
            notebook.close()
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
