"""Glasses: chosen, and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import skia
from colors import Color, pick
from head import Head
from parts import Part
from pen import Pen, curve, linear, oval

if TYPE_CHECKING:
    from portrait import Portrait

Shape = Literal["round", "square", "aviator", "cat-eye"]

SHAPES: tuple[Shape, ...] = ("round", "square", "aviator", "cat-eye")

FRAME_COLORS = (
    (24, 22, 26),
    (104, 54, 28),
    (176, 36, 48),
    (206, 164, 60),
    (36, 62, 130),
    (24, 118, 110),
)

CONTRAST = 105
"""Least distance of a frame from the skin, in sRGB."""

SHARE_WITH_GLASSES = 0.30
SHARE_OF_SUNGLASSES = 1 / 6  # of all glasses


@dataclass(frozen=True)
class Glasses:
    """A pair of glasses."""

    shape: Shape
    color: Color
    width: float
    height: float
    frame: float
    dark: bool


def sample_glasses(rng: np.random.Generator, head: Head) -> Glasses:
    """Draw shape, size and a colour that stands out against the skin."""
    colors = [color for color in FRAME_COLORS if np.linalg.norm(head.skin - color) > CONTRAST]
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    width = rng.uniform(17.6, 19.2)
    return Glasses(
        shape=shape,
        color=pick(rng, colors),
        width=width,
        height=width * {"round": 0.96, "square": 0.76, "aviator": 0.92, "cat-eye": 0.76}[shape],
        frame=rng.uniform(4.2, 5.6),
        dark=bool(rng.random() < SHARE_OF_SUNGLASSES),
    )


def draw_glasses(pen: Pen, portrait: Portrait, glasses: Glasses) -> None:
    """Two lenses, their temples and the bridge between them; what is behind dark lenses is not seen."""
    head, eyes = portrait.head, portrait.eyes
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
