"""Hats and head scarves, over the hair."""

from __future__ import annotations

import skia

from .choices.extras import Hat
from .choices.hairstyle import Hair
from .choices.head import Head
from .choices.portrait import Portrait
from .colors import BLACK, Color
from .face import face_outline
from .parts import Part
from .pen import Pen, curve, linear, oval, radial


def draw_hat(pen: Pen, portrait: Portrait) -> None:
    """Draw the hat over the hair, with its shadow on the forehead."""
    hat, head, light = portrait.hat, portrait.head, portrait.scene.light
    if hat is None:
        return
    crown = _crown(hat, head, portrait.hair)
    with pen.clipped(face_outline(head)):
        for drop in (4, 9, 14):
            with pen.placed(-2 * light, drop):
                pen.fill(crown, head.shadow * 0.7, alpha=48)
    tones = [hat.color * 1.18 + 14, hat.color, hat.color * 0.6]
    glow = (34 * light + head.turn * 0.5, -head.height * 0.95)
    draw = {"beanie": _draw_beanie, "cap": _draw_cap, "brimmed": _draw_brimmed, "bandana": _draw_bandana}
    if hat.kind == "beanie" and hat.pompom:
        _draw_pompom(pen, hat, head, light)
    pen.fill(crown, radial(glow, head.height * 1.25, tones, [0, 0.45, 1]), Part.HAT)
    draw[hat.kind](pen, hat, head, crown, light)


def _half_width(hair: Hair, head: Head) -> float:
    return head.width + 4 + 0.45 * hair.side


def _crown(hat: Hat, head: Head, hair: Hair) -> skia.Path:
    """Dome over the head, down to the line over the forehead."""
    wide, line, top = _half_width(hair, head), hat.line, -head.height - hat.rise
    side, x = line + 12, head.turn * 0.3
    square = 0.78 if hat.kind == "brimmed" else 0.66
    narrow = 0.86 if hat.kind == "brimmed" else 1.0
    return curve(
        (-wide, side),
        (-wide * narrow, (side + 2 * top) / 3 - 4, x - wide * square, top, x, top),
        (x + wide * square, top, wide * narrow, (side + 2 * top) / 3 - 4, wide, side),
        (wide * 0.6 + x, line - 3, x - wide * 0.6, line - 3, -wide, side),
    )


def _bounds(crown: skia.Path) -> tuple[float, float]:
    box = crown.computeTightBounds()
    return float(box.right()), float(box.top())


def _draw_pompom(pen: Pen, hat: Hat, head: Head, light: float) -> None:
    x, y = head.turn * 0.2, -head.height - hat.rise - 3
    ball = oval(x, y, 14, 13)
    shade = radial((x + 6 * light, y - 6), 20, [hat.second * 1.2 + 20, hat.second, hat.second * 0.65])
    pen.fill(ball, shade, Part.HAT)


def _draw_beanie(pen: Pen, hat: Hat, head: Head, crown: skia.Path, light: float) -> None:
    """Draw soft ribs, and a cuff of the second colour."""
    wide, top = _bounds(crown)
    x, line, tall = head.turn, hat.line, 25.0
    with pen.clipped(crown):
        for lean in (-2, -1, 0, 1, 2):
            rib = curve(
                (x * 0.3 + lean * 7, top),
                (x + lean * wide * 0.5, top + 18, x + lean * wide * 0.42, line),
                closed=False,
            )
            pen.stroke(rib, hat.color * 0.7, 4, alpha=80)
    edge = wide + 2.5
    cuff = curve(
        (-edge, line + 15),
        (-edge * 0.6 + x * 0.4, line + 1, edge * 0.6 + x * 0.4, line + 1, edge, line + 15),
        (edge + 2, line + 4, edge - 3, line + 15 - tall),
        (edge * 0.6 + x * 0.4, line - tall, -edge * 0.6 + x * 0.4, line - tall, -edge + 3, line + 15 - tall),
        (-edge - 2, line + 4, -edge, line + 15),
    )
    with pen.placed(0, -3), pen.clipped(crown):
        pen.fill(cuff, BLACK, alpha=45)
    pen.fill(cuff, _across(hat.second, edge, light), Part.HAT)
    with pen.clipped(cuff):
        for lean in range(-4, 5):
            rib = curve(
                (x * 0.6 + lean * 13, line - tall - 4), (x * 0.6 + lean * 14, line + 18), closed=False
            )
            pen.stroke(rib, hat.second * 0.66, 3, alpha=90)


def _across(color: Color, width: float, light: float) -> skia.Shader:
    """Shade from the side of the light to the other."""
    tones = [color * (0.8 - 0.25 * light), color * 1.06 + 6, color * (0.8 + 0.25 * light)]
    return linear((-width, 0), (width, 0), tones, [0, 0.5 + 0.25 * light, 1])


def _draw_cap(pen: Pen, hat: Hat, head: Head, crown: skia.Path, light: float) -> None:
    """Draw seams, a badge, and the visor towards the viewer."""
    wide, top = _bounds(crown)
    x, line = head.turn * 1.5, hat.line
    with pen.clipped(crown):
        for lean in (-1, 1):
            seam = curve(
                (x * 0.2, top), (x + lean * wide * 0.75, top + 14, x + lean * wide * 0.5, line), closed=False
            )
            pen.stroke(seam, hat.color * 0.66, 3, alpha=120)
    pen.fill(oval(x * 0.2, top + 1, 6, 4), hat.second, Part.HAT)
    pen.fill(oval(x * 0.9, line - 24, 12, 9.5), hat.second, Part.HAT)
    reach = wide * 0.9
    visor = curve(
        (x - reach, line + 6),
        (x - reach * 0.75, line - 17, x + reach * 0.75, line - 17, x + reach, line + 6),
        (x + reach * 0.98, line + 14, x + reach * 0.6, line + 9, x, line + 9),
        (x - reach * 0.6, line + 9, x - reach * 0.98, line + 14, x - reach, line + 6),
    )
    with pen.clipped(face_outline(head)), pen.placed(-3 * light, 6):
        pen.fill(visor, head.shadow * 0.7, alpha=80)
    second = hat.second
    pen.fill(
        visor, linear((0, line - 14), (0, line + 12), [second * 1.2 + 14, second, second * 0.62]), Part.HAT
    )


def _draw_brimmed(pen: Pen, hat: Hat, head: Head, crown: skia.Path, light: float) -> None:
    """Draw a dent, a ribbon of the second colour and a wide brim."""
    wide, top = _bounds(crown)
    x, line, end = head.turn * 0.6, hat.line, wide + hat.reach
    dent = oval(x * 0.6 + 3 * light, top - 1, wide * 0.42, 9)
    with pen.clipped(crown):
        pen.fill(dent, hat.color * 0.62, alpha=110)
        ribbon = curve(
            (-wide - 9, line - 3), (x, line - 22, wide + 9, line - 3),
            (wide + 9, line + 20), (x, line + 6, -wide - 9, line + 20),
        )  # fmt: skip
        pen.fill(ribbon, _across(hat.second, wide, light), Part.HAT)
    brim = curve(
        (x - end, line + 11),
        (x - wide * 0.9, line - 3, x - wide * 0.4, line - 9, x, line - 9),
        (x + wide * 0.4, line - 9, x + wide * 0.9, line - 3, x + end, line + 11),
        (x + end * 0.75, line + 19, x + wide * 0.5, line + 9, x, line + 8),
        (x - wide * 0.5, line + 9, x - end * 0.75, line + 19, x - end, line + 11),
    )
    with pen.clipped(face_outline(head)), pen.placed(-3 * light, 8):
        pen.fill(brim, head.shadow * 0.7, alpha=80)
    pen.fill(brim, _across(hat.color * 1.06 + 6, end, light), Part.HAT)
    edge = curve(
        (x - end, line + 11), (x - end * 0.75, line + 19, x - wide * 0.5, line + 9, x, line + 8), closed=False
    )
    edge.cubicTo(x + wide * 0.5, line + 9, x + end * 0.75, line + 19, x + end, line + 11)
    pen.stroke(edge, hat.color * 0.6, 2.5, Part.HAT)


def _draw_bandana(pen: Pen, hat: Hat, head: Head, crown: skia.Path, light: float) -> None:
    """Draw a border, dots, and a knot with two ends beside the head."""
    wide = _bounds(crown)[0]
    x, line, side = head.turn, hat.line, hat.knot
    with pen.clipped(crown):
        stripe = curve(
            (-wide - 4, line + 9),
            (x - wide * 0.6, line - 7, x + wide * 0.6, line - 7, wide + 4, line + 9),
            closed=False,
        )
        pen.stroke(stripe, _across(hat.second, wide, light), 10)
        for column, row in ((-2, 0), (-1, 1), (0, 0), (1, 1), (2, 0), (-1, -1), (1, -1)):
            dot = oval(x * 0.8 + column * wide * 0.36, line - 27 - row * 12, 5.5 - abs(column), 5.2)
            pen.fill(dot, hat.second)
    place = side * (wide + 1)
    for tip, low in ((20, 26), (8, 38)):
        end = curve(
            (place, line + 4),
            (place + side * tip * 0.9, line + 8, place + side * tip, line + 8 + low),
            (place + side * (tip - 14), line + 4 + low),
            (place - side * 2, line + 22, place - side * 3, line + 12),
        )
        pen.fill(end, linear((0, line), (0, line + 46), [hat.color, hat.color * 0.7]), Part.HAT)
    pen.fill(oval(place, line + 9, 8.5, 8), _across(hat.second, 60, light), Part.HAT)
