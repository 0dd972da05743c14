"""The canvas: pictures as raw bytes from Python to the screen, the quickest way there is into a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.colors import to_hex

from lefs.plotting.style import CHANGE_LIMIT, CHANGE_MAP

__all__ = ["Canvas", "Picture", "change_picture"]

_FOLDER = Path(__file__).parent
_UNSEEN = 0.5  # ΔE: the half of a difference that can just be seen


@dataclass(frozen=True)
class Picture:
    """One panel of the canvas.

    Attributes
    ----------
    pixels : ndarray of shape (H, W, 3), uint8
    title : str
        Line above it, also its name for assistive technology and tests.
    note : str
        Small line below it.
    scale : (str, str, tuple of str), optional
        Label of the low end, of the high end, and the colours between, drawn below instead of the note.
    word : str
        What to say in the middle of a picture in which there is nothing to see.
    paint : bool
        Whether one can paint on it, with the pointer or with arrow keys and space bar (`Canvas.stroke`).
    pick : bool
        Whether one can choose it or a place on it, by a click or with arrow keys and Enter (`Canvas.picked`).
    chosen : bool
        Drawn with a frame.
    regions : ndarray of shape (h, w), integers, optional
        Which region each position belongs to, over the whole picture; hovering outlines a region, and says
        its name.
    names : tuple of str
        Of the regions; an index that has none is not outlined.
    before : ndarray of shape (H, W, 3), uint8, optional
        The same before an edit: a wipe shows the one beside the other, pressing shows it alone.
    tree : dict, optional
        Drawn instead of the pixels, whose shape says how long and high: ``"order"``, regions as leaves, their
        ``"colors"``, and ``"joins"``, ascending: (first leaf, last leaf, height in [0, 1], places of the left
        and the right branch along the leaves, where each begins).
    """

    pixels: np.ndarray
    title: str = ""
    note: str = ""
    scale: tuple[str, str, tuple[str, ...]] | None = None
    word: str = ""
    paint: bool = False
    pick: bool = False
    chosen: bool = False
    regions: np.ndarray | None = None
    names: tuple[str, ...] = ()
    before: np.ndarray | None = None
    tree: dict[str, Any] | None = None

    def state(self) -> dict[str, Any]:
        """What is sent to the browser: plain values and buffers."""
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(
                f"pixels must be uint8 of shape (H, W, 3), got {self.pixels.dtype} of {self.pixels.shape}; "
                "lefs.images.to_uint8 makes them from images"
            )
        height, width, _ = self.pixels.shape
        sent = {**vars(self), "width": width, "height": height, "pixels": self.pixels.tobytes()}
        if self.before is not None:
            sent["before"] = self.before.tobytes()
        if self.regions is not None:
            rows, columns = self.regions.shape
            buffer = self.regions.astype("<i2").tobytes()
            sent["regions"] = {"rows": rows, "columns": columns, "of": buffer}
        return sent


def change_picture(change: torch.Tensor) -> Picture:
    """Where a picture changed: a map of ΔE (H, W) with its scale, and a word where there is nothing to see.

    Its scale is the same for every map, so that it grows and fades with an edit.
    """
    values = change.detach().cpu().numpy()
    pixels = CHANGE_MAP(np.clip(values / CHANGE_LIMIT, 0, 1), bytes=True)[..., :3]
    stops = tuple(to_hex(CHANGE_MAP(t)) for t in np.linspace(0, 1, 9))
    scale = ("0", f"{CHANGE_LIMIT:g} ΔE", stops)
    word = "nothing changed" if values.max() < _UNSEEN else ""
    return Picture(pixels, "where it changed", scale=scale, word=word)


class Canvas(anywidget.AnyWidget):
    """A row or grid of pictures.

    Attributes
    ----------
    columns : int
        Pictures side by side.
    help : dict of str to str
        What each control of the panel is for, by its label: shown for the one in focus, and read out.
    arrangement : {"grid", "hero", "strip"}
        Of one size; the first twice as large as the others beside it; or small ones in a line.
    widest : int
        Largest width of a picture, in CSS pixels.
    frame : dict
        What is shown; set it through `show`.
    stroke : dict
        The newest stroke painted: {"number": which, "panel": on which picture, "points": [[x, y], ...]},
        all its points so far, in [0, 1] from the upper left; it grows while the pointer moves.
    picked : dict
        The newest choice: {"number": which, "panel": on which picture, "at": [x, y], "region": index or -1,
        "regions": all that the pointer went over, "shift": whether that key, or Control, was held}.
    files : bool
        Whether a file may be dropped here: it comes as a message {"file": name} with its bytes, up to 64 MiB.
    """

    # (as texts: of files each canvas would be told of changes, and never be let go)
    _esm = (_FOLDER / "canvas.js").read_text(encoding="utf-8")
    _css = (_FOLDER / "canvas.css").read_text(encoding="utf-8")

    _number = 0
    # One trait for everything, so that the browser never paints new bytes with an old size.
    frame = traitlets.Dict({"number": 0, "panels": []}).tag(sync=True)
    stroke = traitlets.Dict({}).tag(sync=True)
    picked = traitlets.Dict({}).tag(sync=True)
    help = traitlets.Dict({}).tag(sync=True)
    files = traitlets.Bool(False).tag(sync=True)
    arrangement = traitlets.Enum(["grid", "hero", "strip"], "grid").tag(sync=True)
    columns = traitlets.Int(4).tag(sync=True)
    widest = traitlets.Int(384).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(_answer)  # (the page asks whether anybody is there)

    def show(self, *pictures: Picture, names: Sequence[str] = (), marked: Iterable[int] = ()) -> None:
        """Replace what is shown.

        With `names` for the regions of all pictures, a region under the pointer is outlined in every one;
        the `marked` ones are outlined always.
        """
        self._number += 1
        panels = [picture.state() for picture in pictures]
        linked = {"names": [*names], "marked": [*marked]}
        self.frame = {"number": self._number, "panels": panels, **linked}

    def copy(self, text: str) -> None:
        """Put a text onto the clipboard of whoever has the page open."""
        self.send({"copy": text})


def _answer(canvas: Canvas, content: Any, _: list[Any]) -> None:
    if isinstance(content, dict) and content.get("kind") == "ping":
        canvas.send({"kind": "pong"})
