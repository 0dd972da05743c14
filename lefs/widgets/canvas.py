"""The canvas: pictures as raw bytes from Python to the screen, the quickest way there is into a notebook."""

from __future__ import annotations

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
    """

    pixels: np.ndarray
    title: str = ""
    note: str = ""
    scale: tuple[str, str, tuple[str, ...]] | None = None
    word: str = ""
    paint: bool = False

    def state(self) -> dict[str, Any]:
        """What is sent to the browser: plain values and one buffer."""
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(
                f"pixels must be uint8 of shape (H, W, 3), got {self.pixels.dtype} of {self.pixels.shape}; "
                "lefs.images.to_uint8 makes them from images"
            )
        height, width, _ = self.pixels.shape
        return {**vars(self), "width": width, "height": height, "pixels": self.pixels.tobytes()}


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
    widest : int
        Largest width of a picture, in CSS pixels.
    frame : dict
        What is shown; set it through `show`.
    stroke : dict
        The newest stroke painted: {"number": which, "panel": on which picture, "points": [[x, y], ...]},
        all its points so far, in [0, 1] from the upper left; it grows while the pointer moves.
    """

    _esm = _FOLDER / "canvas.js"
    _css = _FOLDER / "canvas.css"

    _number = 0
    # One trait for everything, so that the browser never paints new bytes with an old size.
    frame = traitlets.Dict({"number": 0, "panels": []}).tag(sync=True)
    stroke = traitlets.Dict({}).tag(sync=True)
    columns = traitlets.Int(4).tag(sync=True)
    widest = traitlets.Int(384).tag(sync=True)

    def show(self, *pictures: Picture) -> None:
        """Replace what is shown."""
        self._number += 1
        self.frame = {"number": self._number, "panels": [picture.state() for picture in pictures]}
