"""The controls of the edit studio, by name, and where they stand beside its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets

from lefs.catalog import Catalog
from lefs.query import METHODS
from lefs.widgets.controls import PriceSlider, SeedField, button, checkbox, choice, field, row, slider
from lefs.widgets.studio_view import SIGNS

__all__ = ["lay_out", "studio_controls"]

_METHOD = (
    "sequential: the most relevant channels first, up to a budget; simultaneous: all, in proportion to their "
    "contribution; released: as the paper's code; global: every channel, whatever the part; pair: those of "
    "most effect inside for the least outside, for these two images"
)
_WHERE = (
    "in place: the reference's maps, inside the part's own mask (feature blending); everywhere: the paper's "
    "edit, which moves channels wherever they act"
)
_KIND = "Relevant is a channel where it is active (energy, the paper's M), or where it acts (effect)"
_TONE = "In place: bring what the reference shows beside the part to the target's tones"
_WHICH = (
    "Which edit the controls below show; a later one lies over an earlier one. A channel that two edits want "
    "goes to the part that it contributes to more"
)
_HOW = "References for this part, tried: alike, unlike, or with the least change outside of it"
_BUTTONS = {
    "add": ("Add", "plus", "One more edit, of another part, in the same picture"),
    "up": ("", "arrow-up", "This edit earlier"),
    "down": ("", "arrow-down", "This edit later: over the others"),
    "remove": ("", "trash", "Take this edit out of the list"),
    "undo": ("", "undo", "Take the last move back"),
    "redo": ("", "repeat", "Make it again"),
    "reset": ("Reset", "", "As the studio was opened; can be taken back"),
    "keep preset": ("Keep", "bookmark", "Keep these edits under the name, for any target"),
    "find": ("Suggest", "magic", _HOW),
    "save": ("Save", "download", "A PNG at full size with the recipe inside, never over another"),
    "code": ("Copy as code", "code", "Python that makes this picture"),
    "parameters": ("Copy as parameters", "", "The present edit, for papermill -f"),
    "keep": ("Keep mine", "", "Leave the sliders where you have set them"),
    "take": ("", "", "Set the sliders as they were tuned for this part"),
    "lower": ("", "", "The highest of some round prices at which a channel moves"),
    "instead": ("", "", "A part that both pictures show"),
}
_START = """<details open class="lefs-start"><summary>Quick start</summary>
Click a part of a picture: it comes from the reference. Click small pictures to choose others.<br>
Move λ; press the large picture to see it as it was, or wipe with the slider below it.<br>
Add takes a second part, Undo takes anything back, Save keeps the picture and how it was made.</details>"""


def studio_controls(catalog: Catalog, *, channels: bool) -> dict[str, Any]:
    """All of them, at no state yet; without `channels` to choose from, edits are in place, of all of them."""
    own, measured = None if catalog.measure == "none" else catalog.measure, catalog.effects is not None
    kinds = [own, "effect"] if measured and own != "effect" else [own]
    methods = [m for m in METHODS if m != "fit" and (m != "pair" or measured)] if channels else ["global"]
    places = [("in place", "part"), ("everywhere", "everywhere")][: 2 if channels else 1]
    by = [(f"suggest {name}", name) for name in ("similar", "different", "cleanest")]
    price = {"min": -3.35, "max": 0, "step": 0.01, "readout_format": ".3f"}  # (the left end reads 0.000)
    outside = "Of what lies outside; higher: fewer channels. Left end: 0"
    widest = float(max(layer.channels for layer in catalog.layers))
    return {
        "row": ipywidgets.Select(description="edits", options=[("", 0)], value=0, rows=1, tooltip=_WHICH),
        "on": checkbox("on", True, "Whether this edit is made"),
        "part": choice("part", list(catalog.parts), next(iter(catalog.parts)), "Taken from the reference"),
        "target": SeedField(description="target", tooltip="Seed of the image that is edited"),
        "reference": SeedField(description="reference", tooltip="Seed of the image that the part is from"),
        "where": choice("where", places, "part", _WHERE),
        "method": choice("method", methods, methods[0], _METHOD),
        "contributions": choice("contributions", kinds, own, _KIND),
        "tone": checkbox("tone", False, _TONE),
        "strength": slider("strength λ", 1, 1, 0.01, "How far channels move: 0 target, 1 reference"),
        "rho": PriceSlider(description="price ρ", tooltip=outside, **price),
        "epsilon": slider("budget ε", 0, widest, 0.5, "How much may move outside, channels a layer"),
        "slope": slider("slope", 0, 10, 0.05, "How soon a channel moves: q = min(1, slope · M)"),
        "leak": slider("leak", 0, 400, 1, "Mean squared change of a pixel outside, in 8-bit levels"),
        "coarse": slider("coarse layers", 0, 1, 0.05, "Budget of coarse layers: pose and layout"),
        "rgb": slider("toRGB layers", 0, 1, 0.05, "Budget of layers that paint colours"),
        "preset": choice("preset", [("–", "")], "", "Edits that were kept"),
        "preset name": field("name these edits", "Keep these edits, by a name"),
        "suggest": choice("", by, "similar", _HOW),
        **{name: button(*words) for name, words in _BUTTONS.items()},
    }


def lay_out(
    c: Mapping[str, Any], strips: Sequence[Any], main: Sequence[Any], offers: Any
) -> list[ipywidgets.Widget]:
    """The rows of the panel, from top to bottom; a wide one has the controls beside what is in `main`."""

    def some(*names: str, kind: str = "tools") -> ipywidgets.Box:
        return row(*(c[name] for name in names), kind=kind)

    side = [
        c["row"],
        some("on", "add", "up", "down", "remove"),
        some("part", "target", "reference", "where", "method", "contributions", "strength", kind="one"),
        ipywidgets.Accordion([some(*SIGNS, "coarse", "rgb", "tone", kind="one")], titles=["More"]),
        some("suggest", "find"),
        some("preset", "preset name", "keep preset"),
    ]
    both = ((main, "lefs-main"), (side, "lefs-side"))
    return [
        ipywidgets.HTML(_START),
        row(*strips, kind="two"),
        row(*(ipywidgets.VBox(children, _dom_classes=(name,)) for children, name in both), kind="body"),
        offers,
        row(some("undo", "redo", "reset"), some("save", "code", "parameters"), kind="ends"),
    ]
