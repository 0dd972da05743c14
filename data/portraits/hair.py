"""Hair: what lies behind the head and what falls over the forehead."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import skia
from face import face_outline
from hairstyle import Hair
from head import Head
from parts import Part
from pen import Pen, curve, linear, oval, radial

if TYPE_CHECKING:
    from portrait import Portrait


def draw_back_hair(pen: Pen, portrait: Portrait) -> None:
    """Hair behind the head."""
    hair, head, light = portrait.hair, portrait.head, portrait.scene.light
    if hair.falls:
        _draw_falling_hair(pen, hair, head)
    elif hair.style == "afro":
        _draw_afro(pen, hair, head, light)
    elif hair.style == "bun":
        _draw_bun(pen, hair, head, light)


def _draw_falling_hair(pen: Pen, hair: Hair, head: Head) -> None:
    shade = linear((0, -head.height), (0, hair.length), [hair.color, hair.color * 0.8, hair.color * 0.55])
    pen.fill(_falling_outline(hair, head), shade, Part.HAIR)
    for side, share in ((-1, 0.62), (-1, 0.72), (1, 0.62), (1, 0.72)):
        x = side * share * hair.spread
        strand = curve((x, 0), (x + 8 * hair.wave, hair.length * 0.5, x, hair.length), closed=False)
        pen.stroke(strand, hair.dark * 0.8, 3, alpha=90)


def _falling_outline(hair: Hair, head: Head) -> skia.Path:
    width, end = hair.spread, hair.length
    waves = list(_waves(hair, head))
    down = [(-width - swing, middle, -width, below) for swing, middle, _, below in waves]
    up = [(width + swing, middle, width, above) for swing, middle, above, _ in reversed(waves)]
    hem = [(-width * 0.6, end + 14, 0, end + 6), (width * 0.6, end + 14, width, end)]
    top = -head.height - hair.volume
    crown = [(width, top, 0, top), (-width, top, -width * 0.9, -head.height * 0.4)]
    return curve((-width * 0.9, -head.height * 0.4), *down, *hem, *up, *crown)


def _waves(hair: Hair, head: Head) -> Iterator[tuple[float, float, float, float]]:
    """Swing outwards, middle, upper and lower end of each wave of one side."""
    heights = np.linspace(-head.height * 0.3, hair.length, 6).tolist()
    for index, (above, below) in enumerate(pairwise(heights)):
        yield 8 * hair.wave * (1 if index % 2 else -0.5), (above + below) / 2, above, below


def _draw_afro(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    middle, width, height = -head.height * 0.38, head.width + hair.side, head.height * 0.72 + hair.volume
    ball = oval(0, middle, width, height)
    for angle in np.linspace(math.pi * 0.92, math.pi * 2.08, 13).tolist():
        ball.addPath(oval(width * 0.93 * math.cos(angle), middle + height * 0.93 * math.sin(angle), 15, 15))
    pen.fill(
        ball,
        radial((26 * light, middle - height * 0.5), height * 1.7, [hair.lit, hair.color, hair.dark]),
        Part.HAIR,
    )


def _draw_bun(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    radius, top = hair.bun_radius, -head.height - hair.volume
    shade = radial(
        (hair.bun_x + 8 * light, top - radius * 0.8), radius * 1.5, [hair.lit, hair.color, hair.dark]
    )
    pen.fill(oval(hair.bun_x, top - radius * 0.45, radius, radius * 0.9), shade, Part.HAIR)


def draw_front_hair(pen: Pen, portrait: Portrait) -> None:
    """Hair over the forehead, its shadow on the skin and its strands."""
    hair, head, light = portrait.hair, portrait.head, portrait.scene.light
    outline = _front_outline(hair, head)
    with pen.clipped(face_outline(head)), pen.placed(-2 * light, 5):
        pen.fill(outline, head.shadow * 0.9, alpha=95)
    tones = [hair.lit, hair.color, hair.dark]
    pen.fill(
        outline, radial((30 * light, -head.height * 0.95), head.height * 1.5, tones, [0, 0.45, 1]), Part.HAIR
    )
    with pen.clipped(outline):
        _draw_strands(pen, hair, head, light)


def _front_outline(hair: Hair, head: Head) -> skia.Path:
    width, height, temple = head.width, head.height, hair.temple_y
    outer = width + hair.side * (0.75 if hair.falls else 0.55)
    inner, top = width - hair.lock, -height - hair.volume
    left, right = hair.arches
    return curve(
        (-inner, temple),
        (-width + hair.lock * 1.1, -height * 0.2, -width * 0.8, left, hair.parting_x, hair.parting_y),
        (width * 0.8, right, width - hair.lock * 1.1, -height * 0.2, inner, temple),
        (width + 1, temple + 7, outer * 0.985, temple - 2),
        (outer * 1.04, -height * 0.5, outer * 0.92, top, 0, top),
        (-outer * 0.92, top, -outer * 1.04, -height * 0.5, -outer * 0.985, temple - 2),
        (-width - 1, temple + 7, -inner, temple),
    )


def _draw_strands(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    width, height, root = head.width, head.height, (hair.parting_x * 0.6, -head.height - hair.volume - 2)
    for index in range(-3, 4):
        lean = index / 3
        end = (
            lean * width * 0.95 + hair.parting_x * 0.1,
            -height * 0.8,
            lean * (width + 10),
            hair.temple_y + 5,
        )
        pen.stroke(curve(root, end, closed=False), hair.dark if index % 2 else hair.lit, 3, alpha=80)
    gloss = curve(
        (-width * 0.7, -height * 0.55),
        (12 * light, -height * 1.12, width * 0.7, -height * 0.55),
        closed=False,
    )
    pen.stroke(gloss, hair.color * 1.45 + 34, 9, alpha=60)
