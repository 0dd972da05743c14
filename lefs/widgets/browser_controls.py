"""The controls of the catalog browser, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ipywidgets

from lefs.catalog import Catalog
from lefs.widgets.controls import button, choice, slider
from lefs.widgets.steps import is_default

__all__ = ["ALL", "EVERY_PART", "Controls", "controls", "parts", "picks", "share"]

ALL, EVERY_PART = -1, ""
_BUTTONS = {
    "previous": ("", "chevron-left", "The images before these"),
    "next": ("", "chevron-right", "The next images"),
    "hide": ("Hide", "eye-slash", "Leave the chosen clusters uncoloured"),
    "halves": (
        "In two",
        "cut",
        "Divide the chosen clusters in two each, by likeness; the catalog is measured again",
    ),
    "sides": (
        "Left | right",
        "arrows-h",
        "Divide the chosen clusters at the middle; the catalog keeps the rule",
    ),
    "levels": ("Upper | lower", "arrows-v", "Divide the chosen clusters at half the height"),
    "earlier": ("", "arrow-up", "The chosen part earlier in lists and legends"),
    "later": ("", "arrow-down", "The chosen part later in lists and legends"),
    "about": ("About", "info-circle", "What the chosen clusters cover, and what their strongest channels do"),
    "undo": ("", "undo", "Take the last change back"),
    "redo": ("", "repeat", "Do again what was taken back"),
    "reset": (
        "Original names",
        "history",
        "Everything as the catalog was given; this can be taken back, too",
    ),
    "judge": ("Name all", "magic", "Name every cluster after the segmenter, and say how sure that is"),
    "yes": ("", "", "The first answer"),
    "no": ("", "", "The second answer"),
}
_SORTS = ["number", "likeness", "size"]


class Controls(dict[str, ipywidgets.Widget]):
    """Controls by name; "name 7" is made when somebody asks for it."""

    def __init__(
        self, controls: dict[str, ipywidgets.Widget], make: Callable[[int], ipywidgets.Widget]
    ) -> None:
        super().__init__(controls)
        self._make = make

    def __missing__(self, name: str) -> ipywidgets.Widget:
        word, _, number = name.partition(" ")
        if word != "name" or not number.isdigit():
            raise KeyError(f"no control {name!r}; there are {', '.join(self)} and 'name 0', 'name 1', ...")
        self[name] = self._make(int(number))
        return self[name]


def controls(catalog: Catalog) -> dict[str, ipywidgets.Widget]:
    """All of them but the names of single clusters."""
    names = catalog.cluster_names
    whose = "Colour all parts, or the clusters of one, and list them"
    text = {"continuous_update": False, "placeholder": "a name for what is chosen"}
    find = {"placeholder": "name or number", "description": "find"}
    return {
        "opacity": slider("opacity", 0.6, 1, 0.05, "0: the pictures; 1: the clusters only"),
        "part": choice("part", parts(catalog), EVERY_PART, whose),
        "cluster": choice(
            "cluster", picks(names, range(len(names))), ALL, "Choose one cluster, and colour it alone"
        ),
        "name": ipywidgets.Text(
            "", **text, tooltip="One name for all that is chosen; a name that is there joins that part"
        ),
        "alone": ipywidgets.Checkbox(
            False, description="only these", indent=False, tooltip="Colour only what is chosen"
        ),
        "find": ipywidgets.Text("", **find, tooltip="List the clusters whose name or number has this in it"),
        "unnamed": ipywidgets.Checkbox(
            False, description="only unnamed", indent=False, tooltip="List clusters without a name"
        ),
        "sort": choice("order", _SORTS, "likeness", "How the fields below are sorted"),
        **{name: button(*words) for name, words in _BUTTONS.items()},
    }


def parts(catalog: Catalog) -> list[tuple[str, str]]:
    """What the list of parts offers."""
    return [("all", EVERY_PART), *((name, name) for name in catalog.parts)]


def picks(names: list[str], clusters: Iterable[int]) -> list[tuple[str, int]]:
    """What the list of clusters offers."""
    found = [(names[k] if is_default(names[k]) else f"cluster {k}: {names[k]}", k) for k in clusters]
    return [("all", ALL), *found]


def share(catalog: Catalog) -> list[float]:
    """The share of all positions of each cluster."""
    found: list[float] = (catalog.sizes.double() / max(1, int(catalog.sizes.sum()))).tolist()
    return found
