"""The controls of the catalog browser, by name."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from lefs.widgets.controls import button, checkbox, choice, field, slider

__all__ = ["ALL", "EVERY_PART", "Controls"]

ALL, EVERY_PART = -1, ""  # what the lists of clusters and of parts begin with
_BUTTONS = {
    "previous": ("", "chevron-left", "The images before these"),
    "next": ("", "chevron-right", "The next images"),
    "hide": ("Hide", "eye-slash", "Leave the chosen clusters uncoloured"),
    "halves": ("In two", "cut", "Divide each chosen cluster by likeness; the catalog is measured again"),
    "sides": ("Left | right", "arrows-h", "Divide each at the middle; the catalog keeps the rule"),
    "levels": ("Upper | lower", "arrows-v", "Divide each at half the height; the catalog keeps the rule"),
    "earlier": ("", "arrow-up", "The chosen part earlier in lists and legends"),
    "later": ("", "arrow-down", "The chosen part later in lists and legends"),
    "about": ("About", "info-circle", "What the chosen clusters cover, and what their strongest channels do"),
    "undo": ("", "undo", "Take the last change back"),
    "redo": ("", "repeat", "Do again what was taken back"),
    "reset": ("Original names", "history", "Everything as the catalog was given; can be taken back, too"),
    "judge": ("Name all", "magic", "Name every cluster after the segmenter, and say how sure that is"),
    "yes": ("", "", "The first answer"),
    "no": ("", "", "The second answer"),
}


class Controls(dict[str, ipywidgets.Widget]):
    """Controls by name; "name 7" is made when somebody asks for it."""

    def __init__(self, make: Callable[[int], object]) -> None:
        super().__init__({name: button(*words) for name, words in _BUTTONS.items()})
        self._make = make
        whose, one = (
            "Colour all parts, or the clusters of one, and list them",
            "Choose one, and colour it alone",
        )
        name = "One name for all that is chosen; a name that is there joins that part"
        found = "List the clusters whose name or number has this in it"
        sorts = ["number", "likeness", "size"]
        self |= {
            "opacity": slider("opacity", 0.6, 1, 0.05, "0: the pictures; 1: the clusters only"),
            "part": choice("part", [("all", EVERY_PART)], EVERY_PART, whose),
            "cluster": choice("cluster", [("all", ALL)], ALL, one),
            "name": field("a name for these", name, continuous_update=False),
            "alone": checkbox("only these", False, "Colour only what is chosen"),
            "find": field("name or number", found, description="find"),
            "unnamed": checkbox("only unnamed", False, "List clusters without a name"),
            "sort": choice("order", sorts, "likeness", "How the fields below are sorted"),
        }

    def __missing__(self, name: str) -> ipywidgets.Widget:
        word, _, number = name.partition(" ")
        if word != "name" or not number.isdigit():
            raise KeyError(f"no control {name!r}; there are {', '.join(self)} and 'name 0', 'name 1', ...")
        self._make(int(number))
        return self[name]
