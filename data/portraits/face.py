"""The face: ears, skin, nose, mouth, eyes, brows and glasses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import skia
from colors import blend
from head import Eyes, Glasses, Head, Mouth, Nose
from parts import Part
from pen import Pen, curve, linear, oval, radial

if TYPE_CHECKING:
    from portrait import Portrait

WHITE = (255, 255, 255)
SIDES = (-1, 1)
EYES = {-1: Part.RIGHT_EYE, 1: Part.LEFT_EYE}
BROWS = {-1: Part.RIGHT_BROW, 1: Part.LEFT_BROW}
EARS = {-1: Part.RIGHT_EAR, 1: Part.LEFT_EAR}


def draw_ears(pen: Pen, portrait: Portrait) -> None:
    """Ears, unless straight hair falls over them."""
    head, light = portrait.head, portrait.scene.light
    if portrait.hair.falls and portrait.hair.wave < 0.8:
        return
    for side in SIDES:
        x = side * (head.width - 1) - head.turn * 0.5
        tone = blend(head.skin, head.shadow, 0.25 if side * light > 0 else 0.55)
        pen.fill(oval(x, head.ear_y, 9.5, 14.5), tone, EARS[side])
        pen.fill(oval(x + side, head.ear_y + 1, 5, 8.5), head.deep, alpha=110)


def face_outline(head: Head) -> skia.Path:
    """Outline of the face, symmetric about x = 0."""
    width, height, jaw, chin = head.width, head.height, head.jaw, head.jaw * head.chin
    return curve(
        (0, -height),
        (width * 0.72, -height, width, -height * 0.55, width, -2),
        (width, height * 0.34, jaw, height * 0.62, jaw * 0.74, height * 0.76),
        (chin, height * 0.98, jaw * 0.25, height, 0, height),
        (-jaw * 0.25, height, -chin, height * 0.98, -jaw * 0.74, height * 0.76),
        (-jaw, height * 0.62, -width, height * 0.34, -width, -2),
        (-width, -height * 0.55, -width * 0.72, -height, 0, -height),
    )


def draw_skin(pen: Pen, portrait: Portrait) -> None:
    """Face and blush."""
    head, eyes = portrait.head, portrait.eyes
    middle = (head.width * 0.55 * portrait.scene.light + head.turn, head.nod - 10)
    tones = [head.lit, head.skin, blend(head.skin, head.shadow, 0.75)]
    pen.fill(face_outline(head), radial(middle, head.height * 1.35, tones, [0, 0.5, 1]), Part.FACE)
    blush = blend(head.skin, (230, 80, 80), 0.55)
    for side in SIDES:
        x, y = side * (eyes.spacing + 6) + head.turn, 25 + head.nod
        pen.fill(
            oval(x, y, 18, 14),
            radial((x, y), 17, [(*blush, 200), (*blush, 0)]),
            alpha=int(20 + 170 * head.blush),
        )


def draw_nose(pen: Pen, portrait: Portrait) -> None:
    """Nose: a side in the light, a side in the shade, a rim below and a spot of light."""
    head, nose, light = portrait.head, portrait.nose, portrait.scene.light
    x, y, width = head.turn * 1.35, nose.y, nose.width
    shaded = -1 if light > 0 else 1
    tones = [(*head.lit, 150), (*blend(head.skin, head.shadow, 0.5), 120), (*head.shadow, 255)]
    shade = linear((x - shaded * width * 1.2, 0), (x + shaded * width * 1.3, 0), tones, [0, 0.5, 1])
    pen.fill(_nose_outline(nose, x, portrait.eyes.y + 4), shade, Part.NOSE)
    rim = curve(
        (x - width, y + 3),
        (x - width * 0.6, y + 8, x, y + 7.5),
        (x + width * 0.6, y + 8, x + width, y + 3),
        closed=False,
    )
    pen.stroke(rim, head.deep, 3.4, Part.NOSE, alpha=215)
    pen.fill(oval(x + light * 2.5, y - 1, 4, 3.6), WHITE, alpha=80)


def _nose_outline(nose: Nose, x: float, root: float) -> skia.Path:
    y, width = nose.y, nose.width
    return curve(
        (x - 3, root),
        (x - width * 1.35, y + 2, x - width * 0.8, y + 6),
        (x, y + 11, x + width * 0.8, y + 6),
        (x + width * 1.35, y + 2, x + 3, root),
    )


def draw_mouth(pen: Pen, portrait: Portrait) -> None:
    """Mouth about its own middle: open with teeth, or closed lips."""
    mouth = portrait.mouth
    with pen.placed(portrait.head.turn * 1.2, mouth.y):
        if mouth.opening > 1.5:
            _draw_open_mouth(pen, mouth)
        else:
            _draw_closed_mouth(pen, mouth, portrait.scene.light)


def _draw_open_mouth(pen: Pen, mouth: Mouth) -> None:
    width, smile, opening = mouth.width, mouth.smile, mouth.opening
    upper = (0, smile * 0.5 - opening * 0.4, width, -smile)
    lower = (0, smile * 1.3 + opening * 2.1, -width, -smile)
    outline = curve((-width, -smile), upper, lower)
    pen.fill(outline, (84, 24, 30), Part.UPPER_LIP)
    with pen.clipped(outline):
        pen.fill(
            oval(0, smile * 0.25 - opening * 0.1 - 1, width * 0.82, 4.2 + opening * 0.18), (250, 246, 240)
        )
        if opening > 5:
            pen.fill(oval(0, smile + opening * 1.35, width * 0.5, opening * 0.5), (206, 90, 96))
    pen.stroke(outline, mouth.color, mouth.lip * 0.95, Part.UPPER_LIP)


def _draw_closed_mouth(pen: Pen, mouth: Mouth, light: float) -> None:
    width, smile, lip = mouth.width, mouth.smile, mouth.lip
    peak = smile * 0.4 - lip * 1.1  # of the upper lip, on both sides of its notch
    lips = curve(
        (-width, -smile),
        (-width * 0.45, -lip * 1.35, -width * 0.16, peak),
        (0, smile * 0.4 - lip * 0.7, width * 0.16, peak),
        (width * 0.45, -lip * 1.35, width, -smile),
        (0, smile * 1.2 + lip * 2.6, -width, -smile),
    )
    pen.fill(lips, mouth.color, Part.UPPER_LIP)
    pen.stroke(
        curve((-width, -smile), (0, smile * 1.05 + 0.5, width, -smile), closed=False),
        mouth.color * 0.5,
        2.4,
        Part.UPPER_LIP,
    )
    pen.fill(oval(3 * light, lip * 0.75 + smile * 0.45, width * 0.32, 1.8), (255, 230, 230), alpha=90)


def draw_eyes(pen: Pen, portrait: Portrait) -> None:
    """Both eyes, turned outwards by the same angle."""
    eyes, head = portrait.eyes, portrait.head
    for side in SIDES:
        with pen.placed(side * eyes.spacing + head.turn * 1.05, eyes.y, degrees=-side * eyes.tilt):
            _draw_eye(pen, eyes, head, portrait.scene.light, EYES[side])


def _draw_eye(pen: Pen, eyes: Eyes, head: Head, light: float, part: Part) -> None:
    width, height = eyes.width, eyes.height
    if eyes.shadow is not None:
        pen.fill(oval(0, -3.5, width + 1, height + 1.5), eyes.shadow, part, alpha=150)
    upper = (-width * 0.5, -height * 1.25, width * 0.5, -height * 1.25, width, 1)
    lower = (width * 0.5, height * 1.1, -width * 0.5, height * 1.1, -width, 1)
    outline = curve((-width, 1), upper, lower)
    pen.fill(outline, (248, 246, 244), part)
    with pen.clipped(outline):
        _draw_iris(pen, eyes, light)
        pen.fill(oval(0, -height * 1.25, width, height * 0.55), head.shadow, alpha=110)
    lid = (-width * 0.5, -height * 1.3, width * 0.5, -height * 1.3, width + 1, 1.5)
    pen.stroke(curve((-width - 1, 1.5), lid, closed=False), (38, 24, 24), eyes.lash, part)


def _draw_iris(pen: Pen, eyes: Eyes, light: float) -> None:
    x, y, radius = eyes.gaze[0], eyes.gaze[1] - 0.5, eyes.iris_radius
    shade = radial(eyes.gaze, radius, [eyes.iris * 1.25, eyes.iris, eyes.iris * 0.5])
    pen.fill(oval(x, y, radius, radius), shade)
    pen.fill(oval(x, y, radius * 0.48, radius * 0.48), (14, 12, 14))
    pen.fill(oval(x + (2.6 if light > 0 else -2.6), y - 2.6, 2.3, 2.3), WHITE)


def draw_brows(pen: Pen, portrait: Portrait) -> None:
    """Both brows."""
    head, eyes, brows = portrait.head, portrait.eyes, portrait.brows
    for side in SIDES:
        x = side * (eyes.spacing + 1) + head.turn * 1.05
        with pen.placed(x, eyes.y - brows.lift, degrees=side * brows.angle):
            arc = curve((-15, 2), (side * 4, -brows.arch * 2, 15, 2), closed=False)
            pen.stroke(arc, brows.color, brows.thickness, BROWS[side])


def draw_glasses(pen: Pen, head: Head, eyes: Eyes, glasses: Glasses) -> None:
    """Two lenses, their temples and the bridge between them."""
    middle, width, height = head.turn * 1.1, glasses.width, glasses.height
    inner = eyes.spacing - width
    for side in SIDES:
        x = side * (eyes.spacing + 0.5) + middle
        box = skia.Rect.MakeLTRB(x - width, eyes.y - height + 2, x + width, eyes.y + height + 2)
        lens = skia.Path().addRoundRect(box, glasses.roundness, glasses.roundness)
        pen.fill(lens, (235, 245, 255), alpha=34)
        pen.stroke(lens, glasses.color, glasses.frame, Part.GLASSES)
        end = (side * (head.width + 1) - head.turn * 0.3, eyes.y - 5)
        temple = curve((x + side * width, eyes.y - 2), end, closed=False)
        pen.stroke(temple, glasses.color, glasses.frame * 0.9, Part.GLASSES)
    bridge = curve((middle - inner, eyes.y), (middle, eyes.y - 6, middle + inner, eyes.y), closed=False)
    pen.stroke(bridge, glasses.color, glasses.frame * 0.9, Part.GLASSES)
