"""The controls of the edit studio, by name."""

from __future__ import annotations

from typing import Any

from lefs.catalog import Catalog
from lefs.editing import Change
from lefs.query import METHODS, QuerySettings
from lefs.sources import Source
from lefs.widgets.controls import button, choice, price_slider, slider, source_field

__all__ = ["buttons", "choices", "sliders"]


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
    return {
        "part": choice("part", list(catalog.parts), change.part, "What is taken from the reference"),
        "target": source_field("target", target, "The image that is edited, by its seed"),
        "reference": source_field(
            "reference", change.reference, "The image that the part is from, by its seed"
        ),
        "where": choice("where", places, s.where, _WHERE),
        "method": choice("method", methods, s.method, _METHOD),
        "contributions": choice("contributions", kinds, s.contributions or own, _KIND),
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


def buttons(*, disabled: bool) -> dict[str, Any]:
    """To save, and to answer what the panel says."""
    return {
        "save": button("Save recipe", "save", "Write a small JSON file that replays this", disabled=disabled),
        "keep": button("Keep mine", "", "Leave the sliders where you have set them"),
        "take": button("", "", "Set the sliders as they were tuned for this part"),
        "lower": button("", "", "The highest of some round prices at which a channel moves"),
    }
