"""The controls that the panels share, each with the words that explain it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import ipywidgets
import traitlets

__all__ = [
    "PriceSlider",
    "SeedField",
    "Slider",
    "button",
    "checkbox",
    "choice",
    "field",
    "line",
    "move_to",
    "offer",
    "row",
    "show_if",
    "slider",
]


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
    grid = ("lefs-row",) if kind in ("one", "two", "three", "four") else ()
    return ipywidgets.Box(children, _dom_classes=(*grid, f"lefs-{kind}"))


def show_if(condition: bool, *widgets: ipywidgets.DOMWidget) -> None:
    """Show widgets, or take them out of sight and out of the layout."""
    for widget in widgets:
        (widget.remove_class if condition else widget.add_class)("lefs-hidden")
