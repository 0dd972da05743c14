"""What only some wear or grow: beard, glasses, ear-rings, hat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..colors import WHITE, Color, blend, hsv, pick, pick_kind
from .hairstyle import SHORT_STYLES, Hair
from .head import Head

BeardKind = Literal["full", "boxed", "goatee", "moustache", "circle"]

BEARDS: dict[BeardKind, float] = {
    "full": 0.3,
    "boxed": 0.25,
    "goatee": 0.13,
    "moustache": 0.16,
    "circle": 0.16,
}
"""Shapes, and how often each occurs among beards; a circle is a moustache with a goatee."""

SHARE_SHORT_HAIR, SHARE_OTHER_HAIR = 0.42, 0.08

BEARD_CONTRAST = 92.0  # least distance in sRGB from the skin: a beard must be seen

BROWN = (64, 46, 38)


@dataclass(frozen=True)
class Beard:
    """Shape and colour of a beard."""

    kind: BeardKind
    color: Color
    length: float  # below the chin
    width: float  # of the moustache, beyond the mouth
    thickness: float  # of the moustache
    droop: float  # of its ends
    cheek: float  # height of the upper edge on the cheeks: 0 low to 1 high


def sample_beard(rng: np.random.Generator, head: Head, hair: Hair) -> Beard | None:
    """Draw a beard for some, more often below short hair."""
    share = SHARE_SHORT_HAIR if hair.style in SHORT_STYLES else SHARE_OTHER_HAIR
    if rng.random() > share:
        return None
    kind = pick_kind(rng, BEARDS)
    return Beard(
        kind=kind,
        color=_distinct(blend(hair.color, BROWN, 0.15) * rng.uniform(0.7, 0.9), head.skin),
        length=rng.uniform(8, 18) if kind == "full" else rng.uniform(1, 4),
        width=rng.uniform(2, 8),
        thickness=rng.uniform(7, 10.5),
        droop=rng.uniform(-3, 9),
        cheek=rng.uniform(0.55, 1) if kind == "full" else rng.uniform(0, 0.4),
    )


def _distinct(color: Color, skin: Color) -> Color:
    """Return the colour moved away from the skin, darker or lighter, until it stands out."""
    step = 0.93 if color.mean() < skin.mean() + 15 else 1.05
    for _ in range(16):
        if np.linalg.norm(color - skin) >= BEARD_CONTRAST:
            break
        color = color * step
    return color


Shape = Literal["round", "square", "aviator", "cat-eye"]

SHAPES: tuple[Shape, ...] = ("round", "square", "aviator", "cat-eye")

FRAME_COLORS = (
    (24, 22, 26),
    (104, 54, 28),
    (176, 36, 48),
    (206, 164, 60),
    (36, 62, 130),
    (24, 118, 110),
)

FRAME_CONTRAST = 105
"""Least distance of a frame from the skin, in sRGB."""

SHARE_WITH_GLASSES = 0.30

SHARE_OF_SUNGLASSES = 1 / 6  # of all glasses


@dataclass(frozen=True)
class Glasses:
    """A pair of glasses."""

    shape: Shape
    color: Color
    width: float
    height: float
    frame: float
    dark: bool


def sample_glasses(rng: np.random.Generator, head: Head) -> Glasses | None:
    """Draw glasses for some, in a colour that stands out against the skin."""
    if rng.random() >= SHARE_WITH_GLASSES:
        return None
    colors = [color for color in FRAME_COLORS if np.linalg.norm(head.skin - color) > FRAME_CONTRAST]
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    width = rng.uniform(17.6, 19.2)
    return Glasses(
        shape=shape,
        color=pick(rng, colors),
        width=width,
        height=width * {"round": 0.96, "square": 0.76, "aviator": 0.92, "cat-eye": 0.76}[shape],
        frame=rng.uniform(4.2, 5.6),
        dark=bool(rng.random() < SHARE_OF_SUNGLASSES),
    )


EarringKind = Literal["stud", "hoop", "drop"]

EARRINGS: dict[EarringKind, float] = {"stud": 0.3, "hoop": 0.4, "drop": 0.3}
"""Kinds, and how often each occurs among ear-rings."""

GOLD, SILVER = np.array((238.0, 188, 58)), np.array((214.0, 222, 234))

STONES = ((226, 92, 78), (36, 168, 160), (30, 132, 82), (128, 66, 168), (44, 84, 190), (246, 236, 224))

SHARE_WITH_EARRINGS = 0.34
"""Of those whose ears are seen; that makes about a fifth of all."""


@dataclass(frozen=True)
class Earrings:
    """A pair of ear-rings."""

    kind: EarringKind
    color: Color
    size: float


def sample_earrings(rng: np.random.Generator, hair: Hair) -> Earrings | None:
    """Draw a pair for some of those whose ears are seen."""
    # all is drawn in any case: another hair style must not change what comes after
    worn, kind = rng.random() < SHARE_WITH_EARRINGS, pick_kind(rng, EARRINGS)
    colors = (GOLD, SILVER, pick(rng, STONES))
    color, size = colors[int(rng.choice(3, p=(0.45, 0.25, 0.3)))], rng.uniform(0.9, 1.15)
    return Earrings(kind, color, size) if worn and not hair.falls else None


HatKind = Literal["beanie", "cap", "brimmed", "bandana"]

HATS: dict[HatKind, float] = {"beanie": 0.32, "cap": 0.26, "brimmed": 0.24, "bandana": 0.18}
"""Kinds, and how often each occurs among hats."""

SHARE_WITH_HAT = 0.16

HAT_CONTRAST = 110.0  # least distance in sRGB from the hair: a hat must be seen


@dataclass(frozen=True)
class Hat:
    """Kind, colours and size of a hat."""

    kind: HatKind
    color: Color
    second: Color  # of the cuff, the ribbon or the border
    line: float  # height of the edge over the forehead
    rise: float  # of the crown above the head
    reach: float  # of a brim beyond the head
    pompom: bool
    knot: int  # side of a bandana's knot: -1 left, +1 right in the image


def sample_hat(rng: np.random.Generator, head: Head, hair: Hair) -> Hat | None:
    """Draw a hat for some."""
    if rng.random() > SHARE_WITH_HAT:
        return None
    kind = pick_kind(rng, HATS)
    color = _sample_color(rng, hair.color)
    return Hat(
        kind=kind,
        color=color,
        second=_sample_second(rng, color),
        line=-head.height * rng.uniform(0.53, 0.60) + head.nod,
        rise=rng.uniform(9, 17),
        reach=rng.uniform(22, 34),
        pompom=bool(rng.random() < 0.4),
        knot=int(rng.choice([-1, 1])),
    )


def _sample_color(rng: np.random.Generator, other: Color) -> Color:
    """Colour of cloth, clearly distinct from another colour."""
    for _ in range(20):
        color = hsv(rng.random(), rng.uniform(0.15, 0.56), rng.uniform(0.32, 0.84))
        if np.linalg.norm(color - other) >= HAT_CONTRAST:
            return color
    return blend(WHITE, 255 - other, 0.4)


def _sample_second(rng: np.random.Generator, color: Color) -> Color:
    """Colour of the trimming: a shade of the first, cream, or another colour."""
    kind = rng.random()
    if kind < 0.4:
        return color * 0.64
    cream = np.array((244, 234, 214), np.float64)
    return cream if kind < 0.65 and color.mean() < 180 else _sample_color(rng, color)
