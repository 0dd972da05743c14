"""What is around the head: background, neck, and the light over all of it."""

from __future__ import annotations

import math

import skia

from .choices.backdrop import Backdrop, Patch
from .choices.portrait import Portrait
from .choices.scene import Scene
from .colors import blend
from .parts import CANVAS, Part
from .pen import Ink, Pen, curve, linear, oval, radial

FOCUS = 64
"""Pixels on a side of a backdrop: enough for what has no sharp edge, and quick to blur."""

WARM_LIGHT, COOL_LIGHT = (255, 196, 110), (120, 180, 255)


def draw_background(pen: Pen, scene: Scene) -> None:
    """Draw a wall, or a scene out of focus."""
    backdrop = scene.backdrop
    sharp = Pen(FOCUS, CANVAS)
    sharp.fill(_everything(), _wall(backdrop, scene.light))
    for patch in backdrop.patches:
        _draw_patch(sharp, patch)
    # light on the wall behind the head, so that dark hair stands out
    glow = 34 + 44 * scene.strength
    sharp.fill(_everything(), radial((128, 104), 128, [(255, 244, 228, glow), (255, 244, 228, 0)], [0.35, 1]))
    pen.cover(sharp, Part.BACKGROUND, blur=backdrop.blur)


def _everything() -> skia.Path:
    return skia.Path().addRect(skia.Rect.MakeWH(CANVAS, CANVAS))


def _wall(backdrop: Backdrop, light: float) -> Ink:
    if backdrop.radial:
        return radial((128 + 50 * light, 100), 190, backdrop.colors)
    lean = 128 * math.sin(backdrop.lean)
    return linear((128 - lean, 0), (128 + lean, CANVAS), backdrop.colors)


def _draw_patch(pen: Pen, patch: Patch) -> None:
    box = skia.Rect.MakeLTRB(-patch.width, -patch.height, patch.width, patch.height)
    shape = skia.Path().addRect(box) if patch.box else skia.Path().addOval(box)
    with pen.placed(patch.x, patch.y, degrees=patch.degrees):
        pen.fill(shape, patch.color, alpha=patch.alpha)


def draw_neck(pen: Pen, portrait: Portrait) -> None:
    """Neck in the shadow of the head."""
    head, scene, width = portrait.head, portrait.scene, portrait.clothes.neck
    outline = curve(
        (-width, 175),
        (-width, 205, -width - 4, 218, -width - 22, 232), (-width, 262), (width, 262), (width + 22, 232),
        (width + 4, 218, width, 205, width, 175),
    )  # fmt: skip
    lit, dark = blend(head.skin, head.shadow, 0.30), blend(head.skin, head.shadow, 0.85)
    with pen.placed(128 + head.x * 0.7):
        pen.fill(outline, linear((width * scene.light, 0), (-width * scene.light, 8), [lit, dark]), Part.NECK)
        with pen.clipped(outline):
            shadow = oval(-9 * scene.light, 178 + head.y, width * 1.35, 31)
            pen.fill(shadow, head.deep, alpha=int(80 + 90 * scene.strength), blur=4.5)


def draw_light(pen: Pen, scene: Scene) -> None:
    """Tint of the light over the whole picture, and its fall-off towards the corners."""
    tint = blend(COOL_LIGHT, WARM_LIGHT, (scene.warmth + 1) / 2)
    glow = 46 * scene.strength * (0.35 + 0.65 * abs(scene.warmth))
    shade = blend((24, 22, 44), (44, 22, 20), (scene.warmth + 1) / 2)
    corners = 20 + 58 * scene.vignette
    tones = [(*tint, glow), (*tint, glow * 0.4), (*shade, 0), (*shade, corners)]
    ink = radial((128 + 90 * scene.light, 84), 250, tones, [0, 0.3, 0.55, 1])
    pen.fill(_everything(), ink)
