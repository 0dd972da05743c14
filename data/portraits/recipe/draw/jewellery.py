"""Ear-rings."""

from __future__ import annotations

from .choices.extras import Earrings
from .choices.portrait import Portrait
from .face import ear_place
from .parts import SIDES, Part
from .pen import Pen, curve, oval, radial


def draw_earrings(pen: Pen, portrait: Portrait) -> None:
    """Both ear-rings; the face hides the one on the side turned away."""
    earrings = portrait.earrings
    if earrings is None:
        return
    for side in SIDES:
        x, y, width, height = ear_place(portrait.head, side)
        lobe = (x + side * width * 0.3, y + height * 0.86)
        with pen.placed(*lobe, degrees=-portrait.head.tilt, scale=(earrings.size, earrings.size)):
            _draw_earring(pen, earrings)


def _draw_earring(pen: Pen, earrings: Earrings) -> None:
    color = earrings.color
    tones = [color * 1.2 + 30, color, color * 0.66]
    if earrings.kind == "stud":
        pen.fill(oval(0, 0, 5.6, 5.6), radial((-1.5, -1.5), 7, tones), Part.EARRINGS)
    elif earrings.kind == "hoop":
        pen.stroke(oval(0, 9, 8.5, 10), color * 0.62, 5.2, Part.EARRINGS)
        pen.stroke(oval(-0.4, 8.6, 8.5, 10), color, 3.4)
    else:
        drop = curve((0, 2), (10, 13, 9, 24, 0, 24), (-9, 24, -10, 13, 0, 2))
        pen.fill(oval(0, 0, 3.6, 3.6), color * 0.8, Part.EARRINGS)
        pen.fill(drop, radial((-2, 14), 13, tones), Part.EARRINGS)
