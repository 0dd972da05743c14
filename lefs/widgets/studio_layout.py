"""Where the edit studio's controls and pictures stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets

from lefs.widgets.controls import row
from lefs.widgets.strips import Strip
from lefs.widgets.studio_view import SIGNS

__all__ = ["lay_out"]

_START = """<details open class="lefs-start"><summary>Quick start</summary>
Click a part of a picture: it comes from the reference. Click small pictures to choose others.<br>
Move λ; press the large picture to see it as it was, or wipe with the slider below it.<br>
Add takes a second part, Undo takes anything back, Save keeps the picture and how it was made.</details>"""


def lay_out(
    c: Mapping[str, Any], strips: Mapping[str, Strip], canvas: Any, lines: Mapping[str, Any]
) -> list[ipywidgets.Widget]:
    """The rows of the panel, from top to bottom; wide ones have the controls beside the pictures."""
    more = [c[name] for name in (*SIGNS, "coarse", "rgb", "tone")]
    more_of_them = ipywidgets.Accordion([row(*more, kind="one")], titles=["More"])
    tools = [c[name] for name in ("on", "add", "up", "down", "remove")]
    names = ("part", "target", "reference", "where", "method", "contributions", "strength")
    back = row(*(c[name] for name in ("undo", "redo", "reset")), kind="tools")
    presets = row(*(c[name] for name in ("preset", "preset name", "keep preset")), kind="tools")
    controls = ipywidgets.VBox(
        [
            c["row"],
            row(*tools, kind="tools"),
            row(*(c[name] for name in names), kind="one"),
            more_of_them,
            row(c["suggest"], c["find"], kind="tools"),
            presets,
        ],
        _dom_classes=("lefs-side",),
    )
    seen = ipywidgets.VBox([lines["question"], canvas, lines["summary"]], _dom_classes=("lefs-main",))
    take = row(*(c[name] for name in ("save", "code", "parameters")), kind="tools")
    return [
        ipywidgets.HTML(_START),
        row(*(strip.box for strip in strips.values()), kind="two"),
        ipywidgets.Box([seen, controls], _dom_classes=("lefs-body",)),
        lines["offers"],
        row(back, take, kind="ends"),
        lines["status"],
    ]
