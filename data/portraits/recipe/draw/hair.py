"""Hair: what lies behind the head, what falls over a shoulder and what falls over the forehead."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import skia

from .choices.hairstyle import Hair
from .choices.head import Head
from .choices.portrait import Portrait
from .colors import BLACK, Color, blend
from .face import face_outline
from .parts import Part
from .pen import Pen, Point, curve, linear, oval, radial


def draw_back_hair(pen: Pen, portrait: Portrait) -> None:
    """Hair behind the head."""
    hair, head, light = portrait.hair, portrait.head, portrait.scene.light
    if hair.style in ("afro", "curly"):
        _draw_curls(pen, hair, head, light)
    elif hair.falls:
        _draw_falling_hair(pen, hair, head, light)
    elif hair.style == "bun" and not hair.covered:
        _draw_bun(pen, hair, head, light)
    elif hair.style == "bald":
        rim = oval(-head.turn * 0.3, -head.height * 0.12, head.width + hair.side * 0.8, head.height * 0.5)
        pen.fill(rim, linear((0, -40), (0, 30), [hair.color, hair.dark]), Part.HAIR)


def _draw_falling_hair(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    tones = [hair.color, hair.color * 0.78, hair.ends]
    outline = _falling_outline(hair, head)
    pen.fill(outline, linear((0, -head.height), (0, hair.length + 8), tones, [0, 0.55, 1]), Part.HAIR)
    with pen.clipped(outline):
        for side in (-1, 1):
            for share, ink in ((0.97, hair.streak), (0.84, hair.dark), (0.72, hair.streak)):
                x, sway = side * share * hair.spread, 11 * hair.wave
                middle = hair.length * 0.35
                strand = _strand((x, -head.height * 0.7), (x + sway, middle), (x - sway, hair.length + 16), 4)
                pen.fill(strand, ink, alpha=80)
        _shade_side(pen, light, hair.spread)


def _falling_outline(hair: Hair, head: Head) -> skia.Path:
    width, end, top = hair.spread, hair.length, hair.top
    waves = list(_waves(hair, head))
    down = [(-width - swing, middle, -width, below) for swing, middle, _, below in waves]
    up = [(width + swing, middle, width, above) for swing, middle, above, _ in reversed(waves)]
    hem = [(-width * 0.6, end + 14, 0, end + 6), (width * 0.6, end + 14, width, end)]
    start = -head.height * 0.3
    crown = [
        (width, (start + 2 * top) / 3, width * 0.66, top, 0, top),
        (-width * 0.66, top, -width, (start + 2 * top) / 3, -width, start),
    ]
    return curve((-width, start), *down, *hem, *up, *crown)


def _waves(hair: Hair, head: Head) -> Iterator[tuple[float, float, float, float]]:
    """Swing outwards, middle, upper and lower end of each wave of one side."""
    heights = np.linspace(-head.height * 0.3, hair.length, 6).tolist()
    for index, (above, below) in enumerate(pairwise(heights)):
        yield 8 * hair.wave * (1 if index % 2 else -0.5), (above + below) / 2, above, below


def _draw_curls(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    """Draw a cloud of curls; that of an afro is round, that of medium curls hangs down to the jaw."""
    bottom = head.height * 0.34 if hair.style == "afro" else hair.length
    middle, height = (hair.top + bottom) / 2, (bottom - hair.top) / 2
    width, turns = head.width + hair.side, (0.86, 2.14) if hair.style == "afro" else (0.72, 2.28)
    angles = np.linspace(math.pi * turns[0], math.pi * turns[1], 15).tolist()
    places = [(width * 0.93 * math.cos(angle), middle + height * 0.93 * math.sin(angle)) for angle in angles]
    cloud = oval(0, middle, width, height)
    for x, y in places:
        cloud.addPath(oval(x, y, 15, 15))
    tones = [hair.lit, hair.color, blend(hair.dark, hair.ends, 0.5)]
    pen.fill(cloud, radial((30 * light, middle - height * 0.6), height * 1.8, tones), Part.HAIR)
    for index, (x, y) in enumerate(places):
        _draw_curl(pen, (x * 0.93, middle + (y - middle) * 0.93), 9, hair.streak if index % 2 else hair.dark)
    with pen.clipped(cloud):
        _shade_side(pen, light, width)


def _draw_curl(pen: Pen, place: Point, radius: float, ink: Color) -> None:
    x, y = place
    arc = curve((x - radius, y + 2), (x - radius, y - radius, x + 1, y - radius), closed=False)
    arc.quadTo(x + radius, y - radius, x + radius, y + 2)
    pen.stroke(arc, ink, 4, alpha=85)


def _draw_bun(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    radius, x = hair.bun_radius, hair.bun_x + head.turn * 0.3
    y = hair.top - radius * 0.45
    shade = radial((x + 9 * light, y - radius * 0.4), radius * 1.5, [hair.lit, hair.color, hair.dark])
    bun = oval(x, y, radius, radius * 0.9)
    pen.fill(bun, shade, Part.HAIR)
    with pen.clipped(bun):
        for turn, ink in ((-0.5, hair.streak), (0.1, hair.dark), (0.6, hair.streak)):
            bend = (x + turn * radius, y - radius * 0.2)
            lock = _strand((x - radius, y + turn * radius), bend, (x + radius, y + radius * 0.5), 4)
            pen.fill(lock, ink, alpha=90)


def draw_shoulder_hair(pen: Pen, portrait: Portrait) -> None:
    """Ponytail or braid that falls over one shoulder, in front of the clothes and behind the face."""
    hair, head, light = portrait.hair, portrait.head, portrait.scene.light
    if hair.style == "tail":
        _draw_tail(pen, hair, head, light)
    elif hair.style == "braid":
        _draw_braid(pen, hair, head, light)


def _draw_tail(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    side, height = hair.swing, head.height
    x, wide, end = side * head.width * 0.8, 17 + hair.side * 0.5, height * 1.62
    tail = curve(
        (x - side * 12, height * 0.1),
        (x + side * wide * 1.9, height * 0.3, x + side * wide * 1.5, height, x + side * wide * 0.5, end),
        (x - side * wide * 1.6, height * 1.4, x - side * wide, height, x - side * wide * 0.8, height * 0.6),
    )
    with pen.placed(-4 * light, 5):
        pen.fill(tail, BLACK, alpha=50)
    tones = [hair.color, hair.color * 0.92, hair.ends]
    pen.fill(tail, linear((0, height * 0.3), (0, end), tones), Part.HAIR)
    with pen.clipped(tail):
        for shift, ink in ((-0.5, hair.dark), (0.15, hair.streak), (0.75, hair.lit)):
            bend = (x + side * wide * (shift + 0.6), height * 0.9)
            lock = _strand((x, height * 0.2), bend, (x + side * wide * (0.3 + 0.3 * shift), end), 4.5)
            pen.fill(lock, ink, alpha=100)


def _draw_braid(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    side, height = hair.swing, head.height
    links = 6
    for index in range(links):
        share = index / (links - 1)
        x = side * (head.width * 0.86 + 9 * math.sin(share * 2.6))
        y, radius = height * (0.36 + 1.0 * share), 17.5 - 5 * share
        base = blend(hair.color, hair.ends, 0.8 * share**2)
        for half in (-1, 1):
            with pen.placed(x + half * radius * 0.42, y + half * 2, degrees=-half * 34):
                shade = radial(
                    (4 * light, -radius * 0.5), radius * 1.3, [base * 1.25 + 20, base, base * 0.55]
                )
                pen.fill(oval(0, 0, radius * 0.68, radius * 0.95), shade, Part.HAIR)
    y = height * 1.44
    pen.fill(oval(x, y, 9, 6), hair.dark, Part.HAIR)
    tuft = curve((x - 5, y + 3), (x - 12, y + 16, x + side * 2, y + 26), (x + 13, y + 14, x + 5, y + 3))
    pen.fill(tuft, hair.ends, Part.HAIR)


def draw_front_hair(pen: Pen, portrait: Portrait) -> None:
    """Hair over the forehead, its shadow on the skin and its strands."""
    hair, head, light = portrait.hair, portrait.head, portrait.scene.light
    if hair.style == "bald":
        _draw_bald_head(pen, hair, head, light)
        return
    if hair.style == "swept":
        # a short crop below, a long top above it
        cropped = _front_outline(hair, head, hair.top + hair.volume * 0.75)
        pen.fill(cropped, blend(hair.dark, head.shadow, 0.25), Part.HAIR)
        outline = _sweep(hair, head)
    else:
        outline = _front_outline(hair, head, hair.top)
    if hair.style == "curly" or (hair.style == "afro" and hair.bangs):
        for x, y in _fringe(hair, head):
            # the outline runs against the clock: a curl that ran with it would cut a hole where they overlap
            outline.addOval(skia.Rect.MakeLTRB(x - 11, y - 10, x + 11, y + 10), skia.PathDirection.kCCW)
    with pen.clipped(face_outline(head)):
        for drop in (3, 7):
            with pen.placed(-1.5 * light, drop):
                pen.fill(outline, head.shadow * 0.86, alpha=70)
    tones = [hair.lit, hair.color, hair.color * 0.74 if hair.falls else hair.dark]
    if hair.style == "buzz":  # the scalp shows through
        tones = [blend(tone, head.skin, 0.28) for tone in tones]
    glow = (34 * light, -head.height * 0.95)
    pen.fill(outline, radial(glow, head.height * 1.5, tones, [0, 0.45, 1]), Part.HAIR)
    with pen.clipped(outline):
        _draw_texture(pen, hair, head, light)
        _shade_side(pen, light, head.width + hair.side)


def _draw_bald_head(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    """Draw short hair above the ears only, and the shine of the scalp."""
    for side in (-1, 1):
        x, y = side * head.width, hair.temple_y
        patch = curve(
            (x * 1.02, y + 10),
            (x * 1.13, -head.height * 0.1, x * 1.1, -head.height * 0.4, x * 0.95, -head.height * 0.5),
            (x * 0.8, -head.height * 0.42, x * 0.92, -head.height * 0.14, x * 0.9, y + 2),
            (x * 0.95, y + 10, x * 1.02, y + 10),
        )
        pen.fill(patch, linear((0, -30), (0, 16), [hair.color, hair.dark]), Part.HAIR)
    x, y = 22 * light + head.turn * 0.5, -head.height * 0.74
    with pen.placed(x, y, scale=(1.7, 1)):
        shine = radial((0, 0), 15, [(255, 255, 255, 120), (255, 255, 255, 0)])
        pen.fill(oval(0, 0, 15, 15), shine)


def _front_outline(hair: Hair, head: Head, top: float) -> skia.Path:
    width, height, temple = head.width, head.height, hair.temple_y
    outer = width + hair.side * (0.75 if hair.falls else 0.55)
    inner = width - hair.lock
    shift = head.turn * 0.4  # the hairline lies nearer to the viewer than the outline does
    parting = (hair.parting_x + head.turn * 0.8, hair.parting_y)
    left, right = hair.arches
    side_y = -height * 0.3
    rise = (side_y + 2 * top) / 3
    # a lock that falls tapers along the cheek; a short one ends at the ear
    end = (width + 1, temple + 7) if not hair.falls else (outer * 0.97, temple + 30)
    tip = (inner, temple) if not hair.falls else (outer * 0.9, temple + 31)
    return curve(
        (-tip[0] + shift, tip[1]),
        (-inner + shift, temple * 0.5 - 6, -width * 0.8 + shift, left, *parting),
        (width * 0.8 + shift, right, inner + shift, temple * 0.5 - 6, tip[0] + shift, tip[1]),
        (*end, outer * 0.985, temple - 2),
        (outer, (side_y + temple) / 2, outer, side_y),
        (outer, rise, outer * 0.68, top, 0, top),
        (-outer * 0.68, top, -outer, rise, -outer, side_y),
        (-outer, (side_y + temple) / 2, -outer * 0.985, temple - 2),
        (-end[0], end[1], -tip[0] + shift, tip[1]),
    )


def _sweep(hair: Hair, head: Head) -> skia.Path:
    """Long hair on the top of the head, combed over to one side."""
    side, width, height, shift = hair.swing, head.width, head.height, head.turn * 0.6
    far, near = side * (width + 1), -side * width * 0.82
    return curve(
        (near + shift * 0.5, -height * 0.52),
        (near * 0.75 + shift, -height * 0.82, side * width * 0.1 + shift, -height * 0.72),
        (side * width * 0.6 + shift, -height * 0.62, far * 0.93 + shift * 0.5, -height * 0.3),
        (far * 1.16, -height * 0.6, far * 1.1, hair.top + 4, side * width * 0.3, hair.top),
        (near * 0.5, hair.top - 2, near * 1.22, -height * 0.95, near + shift * 0.5, -height * 0.52),
    )


def _fringe(hair: Hair, head: Head) -> Iterator[Point]:
    """Places of the curls along the hairline."""
    low = 0.56 if hair.bangs else 0.78
    for angle in np.linspace(-1.25, 1.25, 7).tolist():
        drop = low * math.cos(angle) ** 0.7
        yield head.width * 0.98 * math.sin(angle) + head.turn * 0.5, -head.height * drop + head.nod * 0.5


def _draw_texture(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    """Draw what the cut looks like inside its outline: curls or strands, and the gloss."""
    if hair.style in ("afro", "curly"):
        for index, (x, y) in enumerate(_fringe(hair, head)):
            for lift, ink in ((2, hair.streak), (24, hair.lit if index % 2 else hair.dark)):
                _draw_curl(pen, (x * (1 - lift * 0.004), y - lift), 9, ink)
        return
    if hair.style == "buzz":
        return
    for index in range(-3, 4):
        ink = (hair.lit, hair.streak, hair.dark)[index % 3]
        pen.fill(_front_strand(hair, head, index / 3), ink, alpha=95)
    _draw_gloss(pen, hair, head, light)


def _front_strand(hair: Hair, head: Head, lean: float) -> skia.Path:
    width, height = head.width, head.height
    if hair.style == "swept":
        root = (-hair.swing * width * 0.8, -height * (0.62 + 0.12 * (lean + 1)))
        bend = (0.0, hair.top * (0.9 + 0.16 * lean))
        return _strand(root, bend, (hair.swing * (width + 6), -height * (0.45 + 0.3 * (lean + 1))), 5)
    if hair.style in ("slick", "bun", "tail", "braid") and not hair.bangs:
        root = (lean * width * 0.95 + head.turn * 0.6, -height * (0.78 - 0.5 * lean**2))
        return _strand(root, (lean * width, hair.top * 0.9), (lean * width * 0.3, hair.top - 4), 6)
    root = (hair.parting_x * 0.6 + head.turn * 0.5, hair.top - 2)
    bend = (lean * width * 0.95 + hair.parting_x * 0.1, -height * 0.8)
    return _strand(root, bend, (lean * (width + 10), hair.temple_y + 5), 5)


def _draw_gloss(pen: Pen, hair: Hair, head: Head, light: float) -> None:
    """Draw a soft band of light around the crown, brightest on the side of the light."""
    width, height = head.width, head.height
    lift = hair.top * 0.22 - height * 0.42
    band = curve((-width * 0.86, lift), (10 * light, hair.top * 1.22, width * 0.86, lift), closed=False)
    glow = hair.color * 1.35 + 46
    shine = radial((width * 0.55 * light, -height * 0.85), width * 0.95, [(*glow, 150), (*glow, 0)])
    for thickness in (17, 9):
        pen.stroke(band, shine, thickness)


def _strand(root: Point, bend: Point, end: Point, thickness: float) -> skia.Path:
    """Lock of hair, pointed at both ends and thickest where it bends."""
    return curve(root, (bend[0] - thickness, bend[1], *end), (bend[0] + thickness, bend[1], *root))


def _shade_side(pen: Pen, light: float, width: float) -> None:
    """Darken the half of the hair that is turned away from the light, inside the present clip."""
    far = -1 if light > 0 else 1
    half = skia.Path().addRect(
        skia.Rect.MakeLTRB(min(0, 2 * far * width), -130, max(0, 2 * far * width), 130)
    )
    depth = 25 + 75 * abs(light)
    pen.fill(half, linear((0, 0), (far * width, 0), [(*BLACK, 0), (*BLACK, depth)]))
