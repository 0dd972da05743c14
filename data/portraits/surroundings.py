"""What is around the head: background, neck and clothes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import skia
from colors import blend
from head import Head
from parts import CANVAS, Part
from pen import Pen, curve, linear, radial
from scene import Clothes, Scene

if TYPE_CHECKING:
    from portrait import Portrait


def draw_background(pen: Pen, scene: Scene) -> None:
    """Draw a wall in two colours."""
    if scene.radial:
        wall = radial((128 + 50 * scene.light, 100), 190, [scene.near, scene.far])
    else:
        lean = 128 * math.sin(scene.angle)
        wall = linear((128 - lean, 0), (128 + lean, CANVAS), [scene.near, scene.far])
    pen.fill(skia.Path().addRect(skia.Rect.MakeWH(CANVAS, CANVAS)), wall, Part.BACKGROUND)


def draw_neck(pen: Pen, head: Head, clothes: Clothes) -> None:
    """Neck in the shadow of the head."""
    width = clothes.neck
    outline = curve(
        (-width, 175),
        (-width, 205, -width - 4, 218, -width - 22, 232), (-width, 262), (width, 262), (width + 22, 232),
        (width + 4, 218, width, 205, width, 175),
    )  # fmt: skip
    tones = [blend(head.shadow, head.deep, 0.5), head.shadow, blend(head.skin, head.shadow, 0.35)]
    with pen.placed(128 + head.x * 0.7):
        pen.fill(outline, linear((0, 185), (0, 240), tones), Part.NECK)


def draw_clothes(pen: Pen, portrait: Portrait) -> None:
    """Shoulders and neckline."""
    clothes, light = portrait.clothes, portrait.scene.light
    dark = clothes.color * 0.68
    with pen.placed(128 + clothes.x + portrait.head.x * 0.4, scale=(clothes.scale, 1)):
        shade = linear((100 * light, 200), (-100 * light, 262), [clothes.color * 1.12 + 6, dark])
        pen.fill(_shoulders(clothes), shade, Part.CLOTHES)
        if clothes.neckline == "crew":
            pen.stroke(_crew_seam(clothes), dark, 5, Part.CLOTHES)
        elif clothes.neckline == "turtle":
            pen.fill(_turtleneck(clothes), blend(clothes.color, dark, 0.35), Part.CLOTHES)
        elif clothes.neckline == "collar":
            for side in (-1, 1):
                pen.fill(_collar(clothes, side), clothes.collar_color, Part.CLOTHES)


def _shoulders(clothes: Clothes) -> skia.Path:
    gap, y, wide = clothes.gap, clothes.shoulder_y, clothes.shoulder
    opening: list[tuple[float, ...]] = [(gap, y - 2)]
    if clothes.neckline == "crew":
        opening = [(0, y + 22, gap, y - 2)]
    elif clothes.neckline in ("vneck", "collar"):
        opening = [(0, y + clothes.depth), (gap, y - 2)]
    left = (-wide - 8, y + 18, -wide + 14, y + 10, -gap, y - 2)
    right = (wide - 14, y + 10, wide + 8, y + 18, wide + 20, 262)
    return curve((-wide - 20, 262), left, *opening, right)


def _crew_seam(clothes: Clothes) -> skia.Path:
    gap, y = clothes.gap, clothes.shoulder_y
    return curve((-gap, y - 1), (0, y + 23, gap, y - 1), closed=False)


def _turtleneck(clothes: Clothes) -> skia.Path:
    gap, y, top = clothes.gap, clothes.shoulder_y, clothes.neck + 1
    return curve(
        (-gap, y + 4), (-top, y - 16), (0, y - 6, top, y - 16), (gap, y + 4), (0, y + 14, -gap, y + 4)
    )


def _collar(clothes: Clothes, side: int) -> skia.Path:
    gap, y = clothes.gap, clothes.shoulder_y
    corners = [(side * 2, y + 28), (side * 24, y + 36), (side * (gap + 15), y + 5)]
    return curve((side * (gap + 2), y - 9), *corners)
