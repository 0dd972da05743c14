"""Record the edit studio at work: a JupyterLab in a real browser, and what a visitor does there, as a GIF.

``python -m data.figures.studio`` writes ``data/figures/studio.gif``; it needs Chromium and playwright.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).parents[2]
OUT = ROOT / "data" / "figures" / "studio.gif"
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from jupyterlab_page import Notebook, browse, find_browser, serve  # noqa: E402

WIDTH, SHOWN = 1180, 760  # pixels of the page, and of the recording
MILLISECONDS = 260
PLACE = 0.45, 0.575  # on the skin of the target, in shares of its picture
CELL = """
import lefs

model, found = lefs.load("portraits"), lefs.Catalog.load("portraits")
place = lefs.QuerySettings(where="part")
recipe = lefs.Recipe(1003, (lefs.Change("hair", 2000, 0.0, place),))
lefs.widgets.EditStudio(model, found, recipe, folder="saved")
"""


class Recording:
    """Pictures of a panel, one after the other."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook, self.panel = notebook, notebook.panel()
        self.frames: list[Image.Image] = []

    def take(self, times: int = 1) -> None:
        """Keep what the panel shows, for so many frames."""
        self.notebook.settle()
        self.notebook.page.wait_for_timeout(1000)  # (at rest the picture is whole)
        self.notebook.settle()
        with Image.open(io.BytesIO(self.panel.screenshot(animations="disabled"))) as shot:
            height = SHOWN * shot.height // shot.width
            frame = shot.convert("RGB").resize((SHOWN, height), Image.Resampling.LANCZOS)
        self.frames += [frame] * times

    def keys(self, key: str, presses: int, every: int) -> None:
        """Press a key, and keep every so many pictures."""
        for count in range(1, presses + 1):
            self.notebook.page.keyboard.press(key)
            if count % every == 0:
                self.take()

    def save(self, path: Path) -> None:
        """Write them as a GIF of one palette."""
        tallest = max(frame.height for frame in self.frames)
        background = self.frames[0].getpixel((2, 2))
        even = [Image.new("RGB", (SHOWN, tallest), background) for _ in self.frames]
        for canvas, frame in zip(even, self.frames, strict=True):
            canvas.paste(frame)
        palette = even[-1].quantize(128)
        first, *rest = (one.quantize(palette=palette, dither=Image.Dither.NONE) for one in even)
        first.save(path, save_all=True, append_images=rest, duration=MILLISECONDS, loop=0, optimize=True)


def act(film: Recording) -> None:
    """What is recorded: λ goes up, another reference, a second part by a click, a wipe, undo."""
    page, panel = film.notebook.page, film.panel
    panel.locator(".lefs-start summary").click()
    film.take(2)
    panel.locator(".widget-slider", has_text="λ").locator(".noUi-handle").focus()
    page.keyboard.press("Home")
    film.keys("PageUp", 20, 3)
    film.take(2)
    strips = panel.locator(".lefs-strip")
    for number in (3, 6):
        strips.nth(1).locator("canvas").nth(number).click()
        film.take(3)
    target = panel.locator("canvas[data-panel='target']")
    box = target.bounding_box()
    assert box is not None
    skin = dict(zip("xy", (box["width"] * PLACE[0], box["height"] * PLACE[1]), strict=True))
    target.hover(position=skin)
    film.take(3)
    target.click(position=skin, modifiers=["Shift"])
    film.take(4)
    wipe = panel.locator(".lefs-wipe:visible").first
    for share in (20, 40, 60, 80, 60, 40, 20, 0):
        wipe.fill(str(share))
        film.take()
    film.take(4)


def main() -> None:
    executable = find_browser()
    if executable is None:
        raise SystemExit("no Chromium; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        place, home = Path(folder) / "lab", Path(folder) / "jupyter"
        place.mkdir()
        home.mkdir()
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        cells = [nbformat.v4.new_code_cell(CELL)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), place / "studio.ipynb")
        with serve(place, home) as address, browse(executable) as browser:
            page = browser.new_page(viewport={"width": WIDTH + 140, "height": 1100})
            page.set_default_timeout(180_000)
            notebook = Notebook.open(page, address, "studio.ipynb")
            page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
            notebook.run_all()
            film = Recording(notebook)
            act(film)
            film.save(OUT)
            notebook.close()
    print(f"{OUT}: {len(film.frames)} frames, {OUT.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
