"""Clothes: cut, pattern, folds and what belongs to each garment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import skia

from .choices.portrait import Portrait
from .choices.scene import Clothes
from .colors import CREAM, Color, blend
from .parts import SIDES, Part
from .pen import Pen, curve, linear, oval

BOTTOM = 262  # a little below the canvas


@contextmanager
def _worn(pen: Pen, portrait: Portrait) -> Iterator[None]:
    clothes = portrait.clothes
    with pen.placed(128 + clothes.x + portrait.head.x * 0.4, scale=(clothes.scale, 1)):
        yield


def draw_hood(pen: Pen, portrait: Portrait) -> None:
    """Hood of a hoodie, behind the neck."""
    clothes = portrait.clothes
    if clothes.garment != "hoodie":
        return
    y, wide = clothes.shoulder_y, clothes.gap + 25
    outline = curve(
        (-wide - 14, y + 14), (-wide - 10, y - 30, -wide + 8, y - 44, 0, y - 46),
        (wide - 8, y - 44, wide + 10, y - 30, wide + 14, y + 14),
    )  # fmt: skip
    with _worn(pen, portrait):
        tones = [clothes.color * 0.94, clothes.color * 0.62]
        pen.fill(outline, linear((0, y - 40), (0, y + 14), tones), Part.CLOTHES)


def draw_clothes(pen: Pen, portrait: Portrait) -> None:
    """Shoulders with their pattern and folds, the shadow of the head on them, and the neckline."""
    clothes = portrait.clothes
    body = _shoulders(clothes)
    with _worn(pen, portrait):
        if clothes.garment == "blazer":
            _draw_shirt_front(pen, clothes)
        pen.fill(body, clothes.color, Part.CLOTHES)
        with pen.clipped(body):
            _draw_pattern(pen, clothes)
            _draw_shading(pen, portrait)
        DETAILS[clothes.garment](pen, clothes)


def _shoulders(clothes: Clothes) -> skia.Path:
    gap, y, wide = clothes.gap, clothes.shoulder_y, clothes.shoulder
    opening: list[tuple[float, ...]] = [(gap, y - 2)]
    if clothes.garment in ("crew", "scarf", "hoodie"):
        opening = [(0, y + 22, gap, y - 2)]
    elif clothes.garment in ("vneck", "shirt"):
        opening = [(0, y + clothes.depth * 0.85), (gap, y - 2)]
    elif clothes.garment == "blazer":
        opening = [(-6, BOTTOM), (6, BOTTOM), (gap, y - 2)]
    left = (-wide - 8, y + 18, -wide + 14, y + 10, -gap, y - 2)
    right = (wide - 14, y + 10, wide + 8, y + 18, wide + 20, BOTTOM)
    return curve((-wide - 20, BOTTOM), left, *opening, right)


def _draw_pattern(pen: Pen, clothes: Clothes) -> None:
    if clothes.pattern == "plain":
        return
    alpha = 130 if clothes.pattern == "checks" else 235
    for path in PATTERNS[clothes.pattern](clothes):
        pen.fill(path, clothes.second, alpha=alpha)


def _stripes(period: float, phase: float, *, across: bool) -> skia.Path:
    path = skia.Path()
    start, end = (196, BOTTOM) if across else (-170, 170)
    position = start + (phase - 1) * period
    while position < end:
        if across:
            path.addRect(skia.Rect.MakeLTRB(-150, position, 150, position + period * 0.45))
        else:
            path.addRect(skia.Rect.MakeLTRB(position, 60, position + period * 0.45, 400))
        position += period
    return path


def _across(clothes: Clothes) -> list[skia.Path]:
    return [_stripes(clothes.period, clothes.phase, across=True)]


def _down(clothes: Clothes) -> list[skia.Path]:
    return [_stripes(clothes.period * 1.15, clothes.phase, across=False)]


def _diagonal(clothes: Clothes) -> list[skia.Path]:
    path = _stripes(clothes.period * 1.25, clothes.phase, across=False)
    path.transform(skia.Matrix.RotateDeg(36 if clothes.phase < 0.5 else -36, (0, 230)))
    return [path]


def _checks(clothes: Clothes) -> list[skia.Path]:
    period = clothes.period * 1.2
    return [
        _stripes(period, clothes.phase, across=True),
        _stripes(period, clothes.phase, across=False),
    ]


def _dots(clothes: Clothes) -> list[skia.Path]:
    path, period, radius = skia.Path(), clothes.period * 1.3, clothes.period * 0.37
    for row in range(5):
        y = 202 + (row + clothes.phase * 0.6) * period * 0.85
        for column in range(-7, 8):
            path.addCircle((column + 0.5 * (row % 2)) * period, y, radius)
    return [path]


def _yoke(clothes: Clothes) -> list[skia.Path]:
    y = clothes.shoulder_y + 13 + 7 * clothes.phase
    return [curve((-160, 150), (160, 150), (160, y), (0, y + 16, -160, y))]


def _raglan(clothes: Clothes) -> list[skia.Path]:
    gap, y, end = clothes.gap, clothes.shoulder_y, clothes.shoulder * 0.62
    return [
        curve(
            (side * gap, y - 8),
            (side * (end - 8), y + 12, side * end, BOTTOM),
            (side * 160, BOTTOM),
            (side * 160, 150),
        )
        for side in SIDES
    ]


def _print(clothes: Clothes) -> list[skia.Path]:
    y = clothes.shoulder_y + 19
    box = skia.Rect.MakeLTRB(-44, y, 44, BOTTOM + 20)
    return [skia.Path().addRoundRect(box, 9, 9) if clothes.phase < 0.5 else oval(0, y + 26, 38, 26)]


PATTERNS = {
    "across": _across,
    "down": _down,
    "diagonal": _diagonal,
    "dots": _dots,
    "checks": _checks,
    "yoke": _yoke,
    "raglan": _raglan,
    "print": _print,
}


def _draw_shading(pen: Pen, portrait: Portrait) -> None:
    """Side in the light and side in the shade, folds at the arms, and the shadow of the head."""
    clothes, scene = portrait.clothes, portrait.scene
    light, y = scene.light, clothes.shoulder_y
    shade = clothes.color * 0.30
    tones = [(255, 255, 255, 46), (255, 255, 255, 0), (*shade, 60 + 80 * scene.strength)]
    everything = skia.Path().addRect(skia.Rect.MakeLTRB(-150, 170, 150, BOTTOM))
    pen.fill(everything, linear((110 * light, 200), (-110 * light, 270), tones, [0, 0.4, 1]))
    folds = skia.Path()
    for side in SIDES:
        arm = side * clothes.shoulder * 0.70
        folds.addPath(
            curve(
                (arm - side * 4, y + 19), (arm - side * 4, y + 32, arm + side * 6, BOTTOM + 10), closed=False
            )
        )
    pen.stroke(folds, shade, 4.5, alpha=110, blur=2.4)
    cast = oval(-16 * light, y - 10, clothes.gap + 16, 26)
    pen.fill(cast, shade, alpha=int(60 + 80 * scene.strength), blur=6)


def _edge(clothes: Clothes) -> Color:
    """Colour of a hem: darker than the garment, or lighter where that is nearly black."""
    return clothes.color * 0.62 if clothes.color.mean() > 70 else clothes.color * 1.5 + 22


def _trim(clothes: Clothes) -> Color:
    return _edge(clothes) if clothes.pattern == "plain" else clothes.second


def _draw_crew(pen: Pen, clothes: Clothes) -> None:
    gap, y = clothes.gap, clothes.shoulder_y
    seam = curve((-gap, y - 1), (0, y + 23, gap, y - 1), closed=False)
    pen.stroke(seam, _trim(clothes), 6, Part.CLOTHES)


def _draw_vneck(pen: Pen, clothes: Clothes) -> None:
    gap, y = clothes.gap, clothes.shoulder_y
    seam = curve((-gap, y - 1), (0, y + clothes.depth * 0.85), (gap, y - 1), closed=False)
    pen.stroke(seam, _trim(clothes), 5.5, Part.CLOTHES)


def _draw_shirt(pen: Pen, clothes: Clothes) -> None:
    y = clothes.shoulder_y + clothes.depth * 0.85
    pen.stroke(curve((0, y), (0, BOTTOM), closed=False), _edge(clothes), 2, alpha=170)
    collar = CREAM if clothes.phase < 0.4 else blend(clothes.color, CREAM, 0.22)
    for side in SIDES:
        _draw_collar(pen, clothes, side, collar)
    for step in (8, 22):
        pen.fill(oval(0, y + step, 3.2, 3.2), CREAM if clothes.color.mean() < 190 else _edge(clothes))


def _draw_collar(pen: Pen, clothes: Clothes, side: int, color: Color) -> None:
    gap, y, depth = clothes.gap, clothes.shoulder_y, clothes.depth * 0.85
    corners = [(side * 1, y + depth - 1), (side * 20, y + depth + 6), (side * (gap + 13), y + 6)]
    flap = curve((side * (gap + 1), y - 11), *corners)
    pen.fill(flap, linear((0, y - 6), (0, y + depth), [color, color * 0.88]), Part.CLOTHES)
    pen.stroke(curve(corners[0], *corners[1:], closed=False), color * 0.60, 2, Part.CLOTHES, alpha=150)


def _draw_turtleneck(pen: Pen, clothes: Clothes) -> None:
    gap, y, top = clothes.gap, clothes.shoulder_y, clothes.neck + 2
    roll = curve(
        (-gap - 2, y + 3), (-top - 3, y - 8, -top, y - 21), (0, y - 9, top, y - 21),
        (top + 3, y - 8, gap + 2, y + 3), (0, y + 17, -gap - 2, y + 3),
    )  # fmt: skip
    color = clothes.color
    tones = [color * 0.72, color * 1.04, color * 0.80]
    pen.fill(roll, linear((0, y - 18), (0, y + 11), tones, [0, 0.5, 1]), Part.CLOTHES)
    fold = curve((-gap, y - 6), (0, y + 6, gap, y - 6), closed=False)
    pen.stroke(fold, color * 0.6, 2.4, alpha=120)


def _draw_hoodie(pen: Pen, clothes: Clothes) -> None:
    """Both edges of the hood, crossing below the neck, and the strings."""
    gap, y = clothes.gap, clothes.shoulder_y
    color = clothes.color
    for side in SIDES:
        edge = curve(
            (side * (gap + 4), y - 22), (side * gap, y + 6, side * 12, y + 14, -side * 3, y + 20),
            (side * 14, y + 33, side * (gap + 14), y + 20, side * (gap + 27), y - 2),
        )  # fmt: skip
        pen.fill(edge, linear((0, y - 16), (0, y + 28), [color * 1.06 + 5, color * 0.76]), Part.CLOTHES)
        pen.stroke(edge, color * 0.52, 1.6, alpha=110)
    string = CREAM if color.mean() < 185 else color * 0.4
    for side in SIDES:
        cord = curve((side * 12, y + 16), (side * 15, y + 26, side * 12, y + 40), closed=False)
        pen.stroke(cord, string, 3, Part.CLOTHES)


def _draw_shirt_front(pen: Pen, clothes: Clothes) -> None:
    """Shirt that shows between the lapels; drawn below the blazer."""
    gap, y = clothes.gap, clothes.shoulder_y
    shirt = _shirt_color(clothes)
    front = curve((-gap - 4, y - 4), (0, y + 20), (gap + 4, y - 4), (gap, BOTTOM), (-gap, BOTTOM))
    pen.fill(front, linear((0, y), (0, BOTTOM), [shirt * 0.86, shirt]), Part.CLOTHES)
    if clothes.tie:
        tie = curve((-6, y + 17), (6, y + 17), (4, y + 27), (9, BOTTOM), (-9, BOTTOM), (-4, y + 27))
        pen.fill(
            tie, clothes.second if clothes.color.mean() > 150 else clothes.color * 1.25 + 40, Part.CLOTHES
        )
    else:
        pen.stroke(curve((0, y + 22), (0, BOTTOM), closed=False), shirt * 0.6, 1.8, alpha=150)
    for side in SIDES:
        flap = curve((side * (gap + 1), y - 9), (0, y + 19), (side * 15, y + 27), (side * (gap + 8), y + 4))
        pen.fill(flap, shirt * 1.02, Part.CLOTHES)
        pen.stroke(curve((0, y + 19), (side * 15, y + 27), closed=False), shirt * 0.6, 1.8, alpha=140)


def _shirt_color(clothes: Clothes) -> Color:
    return CREAM if clothes.color.mean() < 165 else blend(clothes.second, CREAM, 0.25)


def _draw_lapels(pen: Pen, clothes: Clothes) -> None:
    gap, y = clothes.gap, clothes.shoulder_y
    color = clothes.color
    for side in SIDES:
        lapel = curve(
            (side * (gap - 1), y - 9), (side * 5, BOTTOM), (side * 18, BOTTOM), (side * (gap + 22), y + 25),
            (side * (gap + 11), y + 19), (side * (gap + 24), y + 13), (side * (gap + 9), y - 3),
        )  # fmt: skip
        pen.fill(lapel, linear((0, y), (0, BOTTOM), [color * 1.14 + 10, color * 0.9]), Part.CLOTHES)
        pen.stroke(lapel, color * 0.5, 1.8, alpha=150)


def _draw_scarf(pen: Pen, clothes: Clothes) -> None:
    """A scarf round the neck, one end hanging down on the side that the pattern begins with."""
    gap, y, color = clothes.gap + 9, clothes.shoulder_y, clothes.second
    side = 1 if clothes.phase < 0.5 else -1
    end = curve((side * 6, y + 8), (side * 12, BOTTOM), (side * 38, BOTTOM), (side * 34, y + 2))
    pen.fill(end, linear((0, y), (0, BOTTOM), [color * 0.74, color * 0.95]), Part.CLOTHES)
    wrap = curve(
        (-gap, y - 24), (-gap - 16, y - 4, -gap - 4, y + 10, 0, y + 19),
        (gap + 4, y + 10, gap + 16, y - 4, gap, y - 24), (0, y - 4, -gap, y - 24),
    )  # fmt: skip
    pen.fill(wrap, linear((0, y - 22), (0, y + 18), [color * 0.84, color * 1.06, color * 0.78]), Part.CLOTHES)
    folds = curve((-gap - 3, y - 12), (-6, y + 10, gap * 0.7, y + 6), closed=False)
    folds.addPath(curve((gap + 3, y - 13), (gap * 0.5, y - 1, -4, y), closed=False))
    pen.stroke(folds, color * 0.55, 2.6, alpha=130)


DETAILS = {
    "crew": _draw_crew,
    "vneck": _draw_vneck,
    "shirt": _draw_shirt,
    "turtle": _draw_turtleneck,
    "hoodie": _draw_hoodie,
    "blazer": _draw_lapels,
    "scarf": _draw_scarf,
}
