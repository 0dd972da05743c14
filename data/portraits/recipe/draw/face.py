"""The face: ears, skin and nose."""

from __future__ import annotations

import skia

from .choices.features import Nose
from .choices.head import Head
from .choices.portrait import Portrait
from .colors import WHITE, Color, blend
from .parts import SIDES, Part
from .pen import Pen, curve, linear, oval, radial

EARS = {-1: Part.RIGHT_EAR, 1: Part.LEFT_EAR}


def ear_place(head: Head, side: int) -> tuple[float, float, float, float]:
    """Middle and half axes of an ear; the face hides more of the one on the side turned away."""
    away = side * head.turn
    x = side * (head.width + 0.5 - max(0.0, away) * 0.75)
    return x, head.ear_y, 10 + max(0.0, -away) * 0.22, 15.5


def draw_ears(pen: Pen, portrait: Portrait) -> None:
    """Ears, unless hair falls over them."""
    head, light = portrait.head, portrait.scene.light
    if portrait.hair.falls:
        return
    for side in SIDES:
        x, y, width, height = ear_place(head, side)
        tone = blend(head.skin, head.shadow, 0.15 if side * light > 0 else 0.5)
        pen.fill(oval(x, y, width, height), tone, EARS[side])
        pen.fill(oval(x + side * 1.2, y + 0.5, width * 0.58, height * 0.6), head.deep, alpha=105)


def face_outline(head: Head) -> skia.Path:
    """Outline of the face; chin and jaw follow a turn, the cheek turned away is flatter."""
    width, height, jaw, chin = head.width, head.height, head.jaw, head.jaw * head.chin
    right, left = (width - 0.14 * max(0.0, side * head.turn) for side in (1, -1))
    bone, tip = 0.3 * head.turn, 0.5 * head.turn  # how far jaw and chin follow
    return curve(
        (0, -height),
        (width * 0.72, -height, width, -height * 0.55, right, -2),
        (right, height * 0.34, jaw + bone, height * 0.62, jaw * 0.74 + bone * 1.3, height * 0.76),
        (chin + tip, height * 0.98, jaw * 0.25 + tip, height, tip, height),
        (-jaw * 0.25 + tip, height, -chin + tip, height * 0.98, -jaw * 0.74 + bone * 1.3, height * 0.76),
        (-jaw + bone, height * 0.62, -left, height * 0.34, -left, -2),
        (-width, -height * 0.55, -width * 0.72, -height, 0, -height),
    )


def draw_skin(pen: Pen, portrait: Portrait) -> None:
    """Face, the light on it, blush and freckles."""
    head, light = portrait.head, portrait.scene.light
    outline = face_outline(head)
    middle = (head.width * 0.5 * light + head.turn, head.nod - 16)
    tones = [head.lit, head.skin, blend(head.skin, head.shadow, 0.7)]
    pen.fill(outline, radial(middle, head.height * 1.35, tones, [0, 0.5, 1]), Part.FACE)
    side = -1 if light > 0 else 1  # away from the light
    dim = [(*head.shadow, 0), (*head.shadow, 40), (*blend(head.shadow, head.deep, 0.3), 215)]
    start, end = (-side * 12 + head.turn, -18), (side * head.width * 0.98, head.height * 0.62)
    pen.fill(outline, linear(start, end, dim, [0, 0.5, 1]), alpha=int(110 + 125 * abs(light)))
    _draw_glows(pen, portrait)
    for x, y, radius in head.spots:
        pen.fill(oval(head.across(x), y, radius, radius), head.deep * 0.9, alpha=235 if radius > 2.2 else 130)


def _draw_glows(pen: Pen, portrait: Portrait) -> None:
    """Blush on both cheeks, light on the forehead and on the cheek bone."""
    head, spacing, light = portrait.head, portrait.eyes.spacing, portrait.scene.light
    blush, lit = blend(head.skin, (230, 76, 80), 0.55), head.lit * 1.06 + 12
    for side in SIDES:
        x = side * (spacing + 6)
        _draw_glow(
            pen, (head.across(x), 26 + head.nod), (18 * head.squeeze(x), 13), blush, 30 + 150 * head.blush
        )
    side = 1 if light > 0 else -1
    cheek = (head.across(side * (spacing + 3)), 16 + head.nod)
    _draw_glow(pen, cheek, (14, 8), lit, 70 + 80 * abs(light))
    forehead = (head.across(14 * light), -head.height * 0.42 + head.nod)
    _draw_glow(pen, forehead, (32, 20), lit, 110)


def _draw_glow(
    pen: Pen, middle: tuple[float, float], axes: tuple[float, float], color: Color, alpha: float
) -> None:
    shade = radial((0, 0), 1, [(*color, 255), (*color, 130), (*color, 0)], [0, 0.45, 1])
    with pen.placed(*middle, scale=axes):
        pen.fill(oval(0, 0, 1, 1), shade, alpha=int(alpha))


def draw_nose(pen: Pen, portrait: Portrait) -> None:
    """Nose: a side in the light, a side in the shade, a rim below and a spot of light."""
    head, nose, light = portrait.head, portrait.nose, portrait.scene.light
    x, y, width = head.across(0, 1.55), nose.y, nose.width
    shaded = -1 if light > 0 else 1
    tones = [(*head.lit, 170), (*blend(head.skin, head.shadow, 0.5), 130), (*head.shadow, 255)]
    shade = linear((x - shaded * width * 1.2, 0), (x + shaded * width * 1.3, 0), tones, [0, 0.5, 1])
    pen.fill(_nose_outline(nose, x, head.across(0), portrait.eyes.y + 2), shade, Part.NOSE)
    rim = curve(
        (x - width, y + 3),
        (x - width * 0.6, y + 8, x, y + 7.5),
        (x + width * 0.6, y + 8, x + width, y + 3),
        closed=False,
    )
    pen.stroke(rim, head.deep, 3.4, Part.NOSE, alpha=215)
    bridge = curve((head.across(0, 1.15) + light * 1.5, y - 16), (x + light * 2.5, y - 1), closed=False)
    pen.stroke(bridge, head.lit * 1.06 + 14, 3.4, alpha=90)
    pen.fill(oval(x + light * 2.5, y - 0.5, 4, 3.6), WHITE, alpha=85)


def _nose_outline(nose: Nose, x: float, root_x: float, root: float) -> skia.Path:
    y, width = nose.y, nose.width
    return curve(
        (root_x - 3.4, root),
        (x - width * 1.35, y + 2, x - width * 0.8, y + 6),
        (x, y + 11, x + width * 0.8, y + 6),
        (x + width * 1.35, y + 2, root_x + 3.4, root),
    )
