"""The canvas: pictures as raw bytes from Python to the screen, the quickest way there is into a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from matplotlib.colors import Colormap, to_hex

__all__ = ["Canvas", "Picture", "heat_picture"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Picture:
    """One panel of the canvas.

    Attributes
    ----------
    pixels : ndarray of shape (H, W, 3), uint8
    title : line above it, also its name for assistive technology and tests
    note : small line below it
    smooth : enlarge by interpolation (photographs), or as squares (maps of values)
    scale : label of the low end, of the high end, and the colours between, drawn below instead of the note
    paint : whether one can paint on it, with the pointer or with arrow keys and space bar (`Canvas.stroke`)
    """

    pixels: np.ndarray
    title: str = ""
    note: str = ""
    smooth: bool = True
    scale: tuple[str, str, tuple[str, ...]] | None = None
    paint: bool = False

    def state(self) -> dict[str, Any]:
        """What is sent to the browser: plain values and one buffer."""
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(
                f"pixels must be uint8 of shape (H, W, 3), got {self.pixels.dtype} of {self.pixels.shape}; "
                "lefs.images.to_uint8 makes them from images"
            )
        height, width, _ = self.pixels.shape
        return {
            "title": self.title,
            "note": self.note,
            "smooth": self.smooth,
            "scale": self.scale,
            "paint": self.paint,
            "width": width,
            "height": height,
            "pixels": np.ascontiguousarray(self.pixels).tobytes(),
        }


def heat_picture(values: np.ndarray, colors: Colormap, limit: float, *, title: str, unit: str) -> Picture:
    """A map of values (H, W), from 0 to `limit`, with its scale below."""
    pixels = colors(np.clip(values / limit, 0, 1), bytes=True)[..., :3]
    stops = tuple(to_hex(colors(t)) for t in np.linspace(0, 1, 9))
    return Picture(pixels, title, smooth=False, scale=("0", f"{limit:g} {unit}", stops))


class Canvas(anywidget.AnyWidget):
    """A row or grid of pictures.

    Attributes
    ----------
    columns : pictures side by side
    widest : largest width of a picture, in CSS pixels
    frame : what is shown; set it through `show`
    stroke : the newest stroke painted: {"number": which, "panel": on which picture, "points": [[x, y], ...]},
        all its points so far, in [0, 1] from the upper left; it grows while the pointer moves
    """

    _esm = _FOLDER / "canvas.js"
    _css = _FOLDER / "canvas.css"

    _number = 0
    # One trait for everything, so that the browser never paints new bytes with an old size.
    frame = traitlets.Dict({"number": 0, "panels": []}).tag(sync=True)
    stroke = traitlets.Dict({}).tag(sync=True)
    columns = traitlets.Int(4).tag(sync=True)
    widest = traitlets.Int(260).tag(sync=True)

    def show(self, pictures: Sequence[Picture]) -> None:
        """Replace what is shown."""
        self._number += 1
        self.frame = {"number": self._number, "panels": [picture.state() for picture in pictures]}
