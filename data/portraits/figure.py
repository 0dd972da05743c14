"""A portrait from back to front; here are background, neck and clothes."""

from __future__ import annotations

import math

import skia
from attributes import CANVAS, Clothes, Head, Part, Portrait, Scene, blend
from face import draw_brows, draw_ears, draw_eyes, draw_glasses, draw_mouth, draw_nose, draw_skin
from hair import draw_back_hair, draw_front_hair
from pen import Pen, curve, linear, radial


def draw_portrait(pen: Pen, portrait: Portrait) -> None:
    """Draw everything, from back to front."""
    head = portrait.head
    pose = (128 + head.x, 123 + head.y)
    draw_background(pen, portrait.scene)
    with pen.placed(*pose, degrees=head.tilt, scale=(head.scale, head.scale)):
        draw_back_hair(pen, portrait)
    draw_neck(pen, head, portrait.clothes)
    draw_clothes(pen, portrait)
    with pen.placed(*pose, degrees=head.tilt, scale=(head.scale, head.scale)):
        draw_head(pen, portrait)


def draw_head(pen: Pen, portrait: Portrait) -> None:
    """Draw what is in front of the neck, in the coordinates of the head."""
    for draw in (draw_ears, draw_skin, draw_nose, draw_mouth, draw_eyes, draw_brows, draw_front_hair):
        draw(pen, portrait)
    if portrait.glasses is not None:
        draw_glasses(pen, portrait.head, portrait.eyes, portrait.glasses)


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
        pen.fill(outline, linear((0, 185), (0, 240), tones), Part.SKIN)


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
