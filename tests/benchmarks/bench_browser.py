"""The slider as it is felt: from the key press to the painted frame, and how much of that is the model's.

In a real JupyterLab in a real Chromium, on the editing notebook and the embedded generator.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from harness import Row

import lefs

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

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


def bench_slider(options: Any) -> Iterator[Row]:
    """Key press to painted frame against the model's own time for the same move, medians."""
    painted = 1e-3 * statistics.median(_painted_frames())
    model = statistics.median(_model_times())
    yield Row(
        "slider move, portraits: the model's time",
        model,
        painted,
        "key press to painted frame in JupyterLab",
        target=5.0,
        note=f"{KEYS} arrow keys on λ, medians; a screen refreshes every 16.7 ms",
    )


def _painted_frames() -> list[float]:
    """Milliseconds from each key to its frame."""
    from jupyterlab_page import Notebook, browse, find_browser, serve

    executable = find_browser()
    if executable is None:
        raise FileNotFoundError("no Chromium; on Debian: apt-get install chromium")
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
    query = catalog.query("hair")
    times = []
    with torch.inference_mode():
        trunk = generator.trunk(styles[:1])
        for step in range(KEYS):
            moved = lefs.transfer(styles[:1], styles[1:], query, strength=1 - step / KEYS)
            start = time.perf_counter()
            generator.synthesize(moved, resume=trunk)
            times.append(time.perf_counter() - start)
    return times
