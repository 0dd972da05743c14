"""Beards."""

from __future__ import annotations

import skia

from .choices.extras import Beard
from .choices.portrait import Portrait
from .face import face_outline
from .parts import Part
from .pen import Pen, curve, linear, radial


def draw_beard(pen: Pen, portrait: Portrait) -> None:
    """Draw the beard; the mouth comes after it, so that the lips stay in sight."""
    beard, head = portrait.beard, portrait.head
    if beard is None:
        return
    tones = [beard.color * 1.2 + 12, beard.color, beard.color * 0.62]
    top, light = portrait.mouth.y - 20, portrait.scene.light
    glow = (30 * light + head.turn, top)
    ink = radial(glow, head.height * 0.95, tones, [0, 0.5, 1])
    if beard.kind in ("full", "boxed"):
        _draw_jaw(pen, portrait, beard, ink)
    elif beard.kind in ("goatee", "circle"):
        _draw_chin(pen, portrait, beard, ink)
    if beard.kind != "goatee":
        _draw_moustache(pen, portrait, beard)


def _draw_jaw(pen: Pen, portrait: Portrait, beard: Beard, ink: skia.Shader) -> None:
    head = portrait.head
    grown = 1 + beard.length / head.height
    region = _below_cheeks(portrait, beard)
    with pen.clipped(face_outline(head)), pen.placed(0, -3):
        pen.fill(region, head.shadow, alpha=70)
    with pen.clipped(region), pen.placed(head.turn * 0.15, 0, scale=(1 + beard.length * 0.004, grown)):
        pen.fill(face_outline(head), ink, Part.BEARD)
        with pen.clipped(face_outline(head)):
            _draw_strands(pen, portrait, beard)


def _below_cheeks(portrait: Portrait, beard: Beard) -> skia.Path:
    """Everything below the upper edge of a beard that covers the jaw."""
    head, mouth = portrait.head, portrait.mouth
    x, wide, low = head.turn * 1.2, mouth.width + 3, 2 * head.height
    ear, out = portrait.hair.temple_y * 0.3 - 4, head.width * 1.3
    inside = head.width - (5 + 3 * beard.cheek)
    cheek = mouth.y - 2 - 24 * beard.cheek
    lip = mouth.y - 9 - 3 * beard.cheek
    return curve(
        (-out, ear), (-inside, ear),
        (-inside + 3, cheek + 6, x - wide - 9, cheek + 10, x - wide + 4, lip),
        (x, lip - 8, x + wide - 4, lip),
        (x + wide + 9, cheek + 10, inside - 3, cheek + 6, inside, ear),
        (out, ear), (out, low), (-out, low),
    )  # fmt: skip


def _draw_strands(pen: Pen, portrait: Portrait, beard: Beard) -> None:
    x, top, height = portrait.head.turn * 1.2, portrait.mouth.y + 6, portrait.head.height
    for lean in (-2, -1, 0, 1, 2):
        bend = (x + lean * 15, top + 12)
        lock = curve(
            (x + lean * 11, top), (*bend, x + lean * 8, height), (bend[0] + 6, bend[1], x + lean * 11, top)
        )
        pen.fill(lock, beard.color * (0.55 if lean % 2 else 1.4) + 8, alpha=85)


def _draw_chin(pen: Pen, portrait: Portrait, beard: Beard, ink: skia.Shader) -> None:
    """Draw a patch on the chin; that of a circle beard goes up around the mouth."""
    head, mouth = portrait.head, portrait.mouth
    x, bottom = head.turn * 0.8, head.height + beard.length + 3
    if beard.kind == "circle":
        wide, top = mouth.width + 6, mouth.y - 6
        patch = curve(
            (x * 1.3 - wide, top),
            (x - wide - 1, mouth.y + 16, x - 17, bottom, x, bottom),
            (x + 17, bottom, x + wide + 1, mouth.y + 16, x * 1.3 + wide, top),
            (x * 1.3, top - 4, x * 1.3 - wide, top),
        )
    else:
        top = mouth.y + 5
        patch = curve(
            (x * 1.3 - 9, top),
            (x - 26, top + 12, x - 19, bottom, x, bottom),
            (x + 19, bottom, x + 26, top + 12, x * 1.3 + 9, top),
            (x * 1.3, top + 5, x * 1.3 - 9, top),
        )
    pen.fill(patch, ink, Part.BEARD)
    with pen.clipped(patch):
        _draw_strands(pen, portrait, beard)


def _draw_moustache(pen: Pen, portrait: Portrait, beard: Beard) -> None:
    """Draw two mirrored locks above the upper lip, parted below the nose."""
    mouth, head = portrait.mouth, portrait.head
    wide, thick = mouth.width + beard.width, beard.thickness
    end = -mouth.smile * 0.7 + beard.droop
    lip = -0.3 * mouth.opening - mouth.lip  # about the upper edge of the lips, which come on top
    high = min(lip - thick, portrait.nose.y + 8 - mouth.y)
    cheek = high + thick * 0.5 - 0.45 * mouth.smile
    with pen.placed(head.turn * 1.25, mouth.y):
        # the half on the side turned away is seen narrower
        left, right = (wide * (1 - side * head.turn * 0.012) for side in (-1, 1))
        outline = curve(
            (0, high + 2),
            (right * 0.35, high - 3, right * 0.8, cheek, right, end),
            (right * 0.6, end + 1, right * 0.4, -2, 0, -3),
            (-left * 0.4, -2, -left * 0.6, end + 1, -left, end),
            (-left * 0.8, cheek, -left * 0.35, high - 3, 0, high + 2),
        )
        tones = [beard.color * 1.25 + 14, beard.color * 0.9, beard.color * 0.62]
        pen.fill(outline, linear((0, high - 2), (0, max(end, 0) + 2), tones), Part.BEARD)
        pen.stroke(curve((0, high + 3), (0, -4), closed=False), beard.color * 0.5, 1.6, alpha=150)
