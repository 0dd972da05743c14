"""Ear-rings: chosen, and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from colors import Color, pick
from face import SIDES, ear_place, shows_ears
from hairstyle import Hair
from parts import Part
from pen import Pen, curve, oval, radial

if TYPE_CHECKING:
    from portrait import Portrait

Kind = Literal["stud", "hoop", "drop"]

KINDS: dict[Kind, float] = {"stud": 0.3, "hoop": 0.4, "drop": 0.3}

GOLD, SILVER = np.array((238.0, 188, 58)), np.array((214.0, 222, 234))

STONES = ((226, 92, 78), (36, 168, 160), (30, 132, 82), (128, 66, 168), (44, 84, 190), (246, 236, 224))

SHARE_WITH_EARRINGS = 0.34
"""Of those whose ears are seen; that makes about a fifth of all."""


@dataclass(frozen=True)
class Earrings:
    """A pair of ear-rings."""

    kind: Kind
    color: Color
    size: float


def sample_earrings(rng: np.random.Generator, hair: Hair) -> Earrings | None:
    """Draw a pair for some of those whose ears are seen."""
    # all is drawn in any case: another hair style must not change what comes after
    worn, kind = rng.random() < SHARE_WITH_EARRINGS, str(rng.choice(list(KINDS), p=list(KINDS.values())))
    colors = (GOLD, SILVER, pick(rng, STONES))
    color, size = colors[int(rng.choice(3, p=(0.45, 0.25, 0.3)))], rng.uniform(0.9, 1.15)
    return Earrings(kind, color, size) if worn and shows_ears(hair) else None  # type: ignore[arg-type]


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
