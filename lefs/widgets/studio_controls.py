"""The controls of the edit studio, by name."""

from __future__ import annotations

from typing import Any

import ipywidgets

from lefs.catalog import Catalog
from lefs.editing import Change
from lefs.query import METHODS, QuerySettings
from lefs.sources import Source
from lefs.widgets.controls import button, choice, price_slider, slider, source_field

__all__ = ["CONTESTED", "buttons", "choices", "rows", "sliders"]

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
CONTESTED = "A channel that two edits want goes to the part that it contributes to more"


def choices(catalog: Catalog, target: Source, change: Change, *, channels: bool) -> dict[str, Any]:
    """What to take from where, and by which rule; without `channels` to choose from, all of it in place."""
    own, s = catalog.measure, change.settings
    kinds = [own] if own == "effect" or catalog.effects is None else [own, "effect"]
    methods = (
        [m for m in METHODS if m != "fit" and (m != "pair" or catalog.effects is not None)]
        if channels
        else ["global"]
    )
    places = [("in place", "part"), *([("everywhere", "everywhere")] if channels else [])]
    parts = list(dict.fromkeys((*catalog.parts, change.part)))  # (a mask may have a name of its own)
    return {
        "part": choice("part", parts, change.part, "What is taken from the reference"),
        "target": source_field("target", target, "The image that is edited, by its seed"),
        "reference": source_field(
            "reference", change.reference, "The image that the part is from, by its seed"
        ),
        "where": choice("where", places, s.where, _WHERE),
        "method": choice("method", methods, s.method, _METHOD),
        "contributions": choice("contributions", kinds, s.contributions or own, _KIND),
        "tone": ipywidgets.Checkbox(s.tone, description="tone", indent=False, tooltip=_TONE),
    }


def sliders(catalog: Catalog, strength: float, s: QuerySettings) -> dict[str, Any]:
    """How far channels move, and the numbers of each rule."""
    widest = float(max(layer.channels for layer in catalog.layers))
    return {
        "strength": slider("strength λ", strength, 1, 0.01, "How far channels move: 0 target, 1 reference"),
        "rho": price_slider("price ρ", s.rho, "Of what lies outside; higher: fewer channels. Left end: 0"),
        "epsilon": slider("budget ε", s.epsilon, widest, 0.5, "How much may move outside, channels a layer"),
        "slope": slider("slope", s.slope, 10, 0.05, "How soon a channel moves: q = min(1, slope · M)"),
        "leak": slider("leak", s.leak, 400, 1, "Mean squared change of a pixel outside, in 8-bit levels"),
        "coarse": slider("coarse layers", s.coarse, 1, 0.05, "Budget of coarse layers: pose and layout"),
        "rgb": slider("toRGB layers", s.rgb, 1, 0.05, "Budget of layers that paint colours"),
    }


def rows() -> dict[str, Any]:
    """The list of edits, and what can be done with one."""
    which = "Which edit the controls below show; a later one lies over an earlier one. " + CONTESTED
    return {
        "row": ipywidgets.Select(description="edits", options=[("", 0)], value=0, rows=1, tooltip=which),
        "on": ipywidgets.Checkbox(True, description="on", indent=False, tooltip="Whether this edit is made"),
        "add": button("Add", "plus", "One more edit, of another part, in the same picture"),
        "up": button("", "arrow-up", "This edit earlier"),
        "down": button("", "arrow-down", "This edit later: over the others"),
        "remove": button("", "trash", "Take this edit out of the list"),
    }


def buttons(*, disabled: bool) -> dict[str, Any]:
    """To go back, to keep, and to answer what the panel says."""
    kept = ipywidgets.Dropdown(options=[("–", "")], description="preset", tooltip="Edits that were kept")
    by = [(f"suggest {name}", name) for name in ("similar", "different", "cleanest")]
    how = "References for this part, tried: alike, unlike, or with the least change outside of it"
    return {
        "undo": button("", "undo", "Take the last move back"),
        "redo": button("", "repeat", "Make it again"),
        "reset": button("Reset", "", "As the studio was opened; can be taken back"),
        "preset": kept,
        "preset name": ipywidgets.Text(placeholder="name these edits", tooltip="Keep these edits, by a name"),
        "keep preset": button("Keep", "bookmark", "Keep these edits under the name, for any target"),
        "suggest": ipywidgets.Dropdown(options=by, tooltip=how),
        "find": button("Suggest", "magic", how),
        "save": button(
            "Save",
            "download",
            "A PNG at full size with the recipe inside, never over another",
            disabled=disabled,
        ),
        "code": button("Copy as code", "code", "Python that makes this picture"),
        "parameters": button("Copy as parameters", "", "The present edit, for papermill -f"),
        "keep": button("Keep mine", "", "Leave the sliders where you have set them"),
        "take": button("", "", "Set the sliders as they were tuned for this part"),
        "lower": button("", "", "The highest of some round prices at which a channel moves"),
        "instead": button("", "", "A part that both pictures show"),
    }
