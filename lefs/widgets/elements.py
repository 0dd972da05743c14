"""What the panels are made of: a canvas for pictures, the quickest way onto the screen, and controls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import torch
import traitlets
from matplotlib.colors import to_hex

from lefs.plotting.style import CHANGE_LIMIT, CHANGE_MAP

__all__ = ["Canvas", "Picture", "PriceSlider", "SeedField", "Slider", "button", "change_picture", "checkbox",
           "choice", "field", "line", "move_to", "offer", "row", "show_if", "slider"]  # fmt: skip

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
            got = f"{self.pixels.dtype} of {self.pixels.shape}; lefs.images.to_uint8 makes them from images"
            raise ValueError(f"pixels must be uint8 of shape (H, W, 3), got {got}")
        height, width, _ = self.pixels.shape
        sent = {**vars(self), "width": width, "height": height, "pixels": self.pixels.tobytes()}
        sent["before"] = None if self.before is None else self.before.tobytes()
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

    # One trait for everything, so that the browser never paints new bytes with an old size.
    frame: Any = traitlets.Dict({"number": 0, "panels": []}).tag(sync=True)
    stroke = traitlets.Dict({}).tag(sync=True)
    picked = traitlets.Dict({}).tag(sync=True)
    help = traitlets.Dict({}).tag(sync=True)
    files = traitlets.Bool(False).tag(sync=True)
    arrangement = traitlets.Enum(["grid", "hero", "strip"], "grid").tag(sync=True)
    columns = traitlets.Int(4).tag(sync=True)
    widest = traitlets.Int(384).tag(sync=True)

    def show(self, *pictures: Picture, names: Sequence[str] = (), marked: Iterable[int] = ()) -> None:
        """Replace what is shown.

        With `names` for the regions of all pictures, a region under the pointer is outlined in every one;
        the `marked` ones are outlined always.
        """
        shown = {"panels": [picture.state() for picture in pictures], "names": [*names], "marked": [*marked]}
        self.frame = {"number": self.frame["number"] + 1, **shown}

    def _handle_custom_msg(self, content: Any, buffers: list[Any]) -> None:
        # (the page asks whether anybody is there)
        if isinstance(content, dict) and content.get("kind") == "ping":
            self.send({"kind": "pong"})
        super()._handle_custom_msg(content, buffers)

    def copy(self, text: str) -> None:
        """Put a text onto the clipboard of whoever has the page open."""
        self.send({"copy": text})


class _Exact(ipywidgets.Widget):
    """A slider that keeps its value where the page only sends it back, moved to the nearest of its steps."""

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """What the page says of its own accord is not a move of the user's."""
        sent = sync_data.get("value")
        if sent is not None and abs(self._place(sent) - self._place(self.value)) < self.step / 2:
            sync_data = {name: value for name, value in sync_data.items() if name != "value"}
        super().set_state(sync_data)

    def _place(self, value: float) -> float:
        """Where a value lies on the slider."""
        return value


class Slider(_Exact, ipywidgets.FloatSlider):
    """A number on a linear scale."""


class PriceSlider(_Exact, ipywidgets.FloatLogSlider):
    """A price on a logarithmic scale whose lower end is 0."""

    def _place(self, value: float) -> float:
        return max(self.min, math.log(value, self.base)) if value > 0 else self.min

    @traitlets.validate("value")
    def _validate_value(self, proposal: Any) -> float:
        value = float(proposal["value"])
        at_end = value <= 0 or math.isclose(value, self.base**self.min, rel_tol=1e-6)
        return 0.0 if at_end else min(value, self.base**self.max)


def slider(
    label: str, value: float, high: float, step: float, tooltip: str, *, low: float = 0, sign: str = ""
) -> Slider:
    """A number between `low` and `high`; its readout is as fine as the step."""
    form = f"{sign}.{len(f'{step:g}'.partition('.')[2])}f"
    words = {"description": label, "tooltip": tooltip, "readout_format": form}
    return Slider(value, min=low, max=high, step=step, **words)


def move_to(control: Any, value: Any) -> None:
    """Set a control to a value, which may lie beyond a slider's end."""
    if isinstance(control, _Exact):
        end = math.log10(value) if value and isinstance(control, PriceSlider) else value
        control.max = max(control.max, end)
    control.value = value


def offer(control: Any, options: Iterable[Any], value: object) -> None:
    """Let a list offer these, and choose one of them (by itself it chooses the first of new ones)."""
    if control.options != (options := tuple(options)):
        control.options = options
    control.value = value


def choice(label: str, options: Sequence[Any], value: object, tooltip: str) -> ipywidgets.Dropdown:
    """One of several, by name or by pairs of a name and a value."""
    return ipywidgets.Dropdown(options=options, value=value, description=label, tooltip=tooltip)


def checkbox(label: str, value: bool, tooltip: str) -> ipywidgets.Checkbox:
    """Yes or no."""
    return ipywidgets.Checkbox(value, description=label, indent=False, tooltip=tooltip)


def field(placeholder: str, tooltip: str, **options: Any) -> ipywidgets.Text:
    """A line of text, typed."""
    return ipywidgets.Text(placeholder=placeholder, tooltip=tooltip, **options)


class SeedField(ipywidgets.FloatText):
    """A seed, typed; what is not one stays to be seen, beside the error. Of another source it is empty.

    (A field of integers would make 3 of 3.7 in the page, in silence.)
    """

    value = traitlets.Any(0).tag(sync=True)

    @traitlets.validate("value")
    def _whole_where_it_is(self, proposal: Any) -> Any:
        value = proposal["value"]
        return int(value) if isinstance(value, float) and value.is_integer() else value


def button(label: str, icon: str, tooltip: str, *, disabled: bool = False) -> ipywidgets.Button:
    """A button as wide as its words."""
    return ipywidgets.Button(description=label, icon=icon, tooltip=tooltip, disabled=disabled)


def line() -> ipywidgets.HTML:
    """A line of text below the pictures."""
    return ipywidgets.HTML(_dom_classes=("lefs-summary",))


def row(*children: ipywidgets.Widget, kind: str) -> ipywidgets.Box:
    """Widgets side by side; `kind` is the class in canvas.css that lays them out."""
    grid = ("lefs-row",) if kind in ("one", "two", "four") else ()
    return ipywidgets.Box(children, _dom_classes=(*grid, f"lefs-{kind}"))


def show_if(condition: bool, *widgets: ipywidgets.DOMWidget) -> None:
    """Show widgets, or take them out of sight and out of the layout."""
    for widget in widgets:
        (widget.remove_class if condition else widget.add_class)("lefs-hidden")
