"""Glasses."""

from __future__ import annotations

import skia

from .choices.extras import Glasses
from .choices.portrait import Portrait
from .parts import Part
from .pen import Pen, curve, linear, oval


def draw_glasses(pen: Pen, portrait: Portrait) -> None:
    """Two lenses, their temples and the bridge between them; what is behind dark lenses is not seen."""
    glasses, head, eyes = portrait.glasses, portrait.head, portrait.eyes
    if glasses is None:
        return
    y, edges = eyes.y + 2, {}
    # hair beside the face covers the ends of the temples
    reach = head.width + (-portrait.hair.lock if portrait.hair.falls else 1)
    for side in (-1, 1):
        x = head.across(side * (eyes.spacing + 0.5), 1.1)
        width = glasses.width * head.squeeze(side * eyes.spacing)
        edges[side] = x - side * width
        rim = x + side * width
        end = (side * reach - head.turn * 0.3, y - 7)
        pen.stroke(curve((rim, y - 4), end, closed=False), glasses.color, glasses.frame * 0.9, Part.GLASSES)
        with pen.placed(x, y):
            _draw_lens(pen, glasses, _lens(glasses, side, width))
    middle = (edges[-1] + edges[1]) / 2
    bridge = curve((edges[-1], y - 2), (middle, y - 8, edges[1], y - 2), closed=False)
    pen.stroke(bridge, glasses.color, glasses.frame * 0.9, Part.GLASSES)


def _draw_lens(pen: Pen, glasses: Glasses, lens: skia.Path) -> None:
    if glasses.dark:
        tint = glasses.color * 0.3
        shade = linear((0, -glasses.height), (0, glasses.height), [(*tint, 250), (*(tint + 46), 226)])
        pen.fill(lens, shade, Part.GLASSES)
        with pen.clipped(lens):
            pen.stroke(curve((-14, 8), (6, -14), closed=False), (255, 255, 255), 5, alpha=60)
    else:
        pen.fill(lens, (235, 245, 255), alpha=36)
    pen.stroke(lens, glasses.color, glasses.frame, Part.GLASSES)


def _lens(glasses: Glasses, side: int, width: float) -> skia.Path:
    """Outline of one lens about its middle; x of its points counts outwards."""
    height, out = glasses.height, side * width
    if glasses.shape == "round":
        return oval(0, 0, width, height)
    if glasses.shape == "square":
        box = skia.Rect.MakeLTRB(-width, -height, width, height)
        return skia.Path().addRoundRect(box, 5, 5)
    if glasses.shape == "aviator":
        return curve(
            (-out * 0.85, -height * 0.8),
            (0, -height, out * 0.9, -height * 0.85),
            (out * 1.2, -height * 0.2, out * 1.05, height, out * 0.25, height),
            (-out * 0.55, height, -out * 1.15, 0, -out * 0.85, -height * 0.8),
        )
    return curve(
        (-out * 0.95, -height * 0.55),
        (-out * 0.6, -height * 1.05, out * 0.5, -height * 0.8, out * 1.15, -height * 1.2),
        (out * 1.15, height * 0.3, out * 0.8, height, 0, height),
        (-out * 0.8, height, -out * 1.1, height * 0.2, -out * 0.95, -height * 0.55),
    )
