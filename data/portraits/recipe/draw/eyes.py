"""Eyes and brows."""

from __future__ import annotations

from .choices.features import Eyes
from .choices.head import Head
from .choices.portrait import Portrait
from .parts import SIDES, Part
from .pen import Pen, curve, oval, radial

EYES = {-1: Part.RIGHT_EYE, 1: Part.LEFT_EYE}
IRISES = {-1: Part.RIGHT_IRIS, 1: Part.LEFT_IRIS}
BROWS = {-1: Part.RIGHT_BROW, 1: Part.LEFT_BROW}
LASHES = (38, 24, 24)


def draw_eyes(pen: Pen, portrait: Portrait) -> None:
    """Both eyes, turned outwards by the same angle; the one on the side turned away is narrower."""
    eyes, head, light = portrait.eyes, portrait.head, portrait.scene.light
    for side in SIDES:
        x = side * eyes.spacing
        place = (head.across(x, 1.05), eyes.y)
        with pen.placed(*place, degrees=-side * eyes.tilt, scale=(head.squeeze(x), 1)):
            _draw_socket(pen, eyes, head)
            if side in eyes.closed:
                _draw_closed_eye(pen, eyes, side)
            else:
                _draw_open_eye(pen, eyes, head, light, side)


def _draw_socket(pen: Pen, eyes: Eyes, head: Head) -> None:
    width, height = eyes.width, eyes.height
    tone = head.shadow if eyes.shadow is None else eyes.shadow
    shade = radial((0, 0), 1, [(*tone, 210), (*tone, 150), (*tone, 0)], [0, 0.6, 1])
    with pen.placed(0, -2.5, scale=(width * 1.35, height * 1.5)):
        pen.fill(oval(0, 0, 1, 1), shade, alpha=120 if eyes.shadow is None else 235)


def _draw_closed_eye(pen: Pen, eyes: Eyes, side: int) -> None:
    """An arc upwards: the eye of one who laughs."""
    arc = curve((-eyes.width, 4), (0, -eyes.height * 1.1, eyes.width, 4), closed=False)
    pen.stroke(arc, LASHES, 5.6, EYES[side])


def _draw_open_eye(pen: Pen, eyes: Eyes, head: Head, light: float, side: int) -> None:
    width, height = eyes.width, eyes.height
    upper = (-width * 0.55, -height * 1.28, width * 0.55, -height * 1.28, width, 1)
    lower = (width * 0.55, height * 1.12, -width * 0.55, height * 1.12, -width, 1)
    outline = curve((-width, 1), upper, lower)
    pen.fill(outline, (250, 248, 246), EYES[side])
    with pen.clipped(outline):
        _draw_iris(pen, eyes, light, IRISES[side])
        pen.fill(oval(0, -height * 1.22, width, height * 0.6), head.deep * 0.8, alpha=90)
    lid = (-width * 0.55, -height * 1.33, width * 0.55, -height * 1.33, width + 1, 1.5)
    pen.stroke(curve((-width - 1, 1.5), lid, closed=False), LASHES, eyes.lash, EYES[side])
    if eyes.lash < 3.6:
        return
    # made-up lashes end in a flick
    corner = curve((side * width, 1), (side * (width + 3.5), -1.5), closed=False)
    pen.stroke(corner, LASHES, eyes.lash * 0.8, EYES[side])


def _draw_iris(pen: Pen, eyes: Eyes, light: float, part: Part) -> None:
    x, y, radius = eyes.gaze[0], eyes.gaze[1] - 0.3, eyes.iris_radius
    shade = radial((x, y + radius * 0.3), radius * 1.15, [eyes.iris * 1.45 + 12, eyes.iris, eyes.iris * 0.45])
    pen.fill(oval(x, y, radius, radius), shade, part)
    pen.fill(oval(x, y, radius * 0.46, radius * 0.46), (14, 12, 14), part)
    glint = 2.8 if light > 0 else -2.8
    pen.fill(oval(x + glint, y - 2.8, 2.5, 2.5), (255, 255, 255), part)


def draw_brows(pen: Pen, portrait: Portrait) -> None:
    """Both brows: full within, thinner without."""
    head, eyes, brows = portrait.head, portrait.eyes, portrait.brows
    half, arch = brows.thickness / 2, brows.arch * 2
    for side, raised in zip(SIDES, brows.raised, strict=True):
        x = side * (eyes.spacing + 1)
        y = eyes.y - brows.lift - raised + 0.1 * head.nod
        with pen.placed(
            head.across(x, 1.05), y, degrees=side * brows.angle, scale=(side * head.squeeze(x), 1)
        ):
            upper, lower = (3, -arch - half, 17, 2), (4, -arch + half * 1.3, -13, 2 + half * 0.8)
            brow = curve((-13, 2 - half * 0.8), upper, lower)
            pen.fill(brow, brows.color, BROWS[side])
            pen.stroke(brow, brows.color, 1.8, BROWS[side])
