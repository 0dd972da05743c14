"""What a portrait is made of: every random choice, taken before anything is drawn.

Lengths are in units of a canvas 256 wide, whatever the final resolution. Attributes of the head and of what
sits on it are relative to the middle of the head. Angles are in degrees. Colours are float arrays of shape
(3,), sRGB in [0, 255], not necessarily inside that range until they are painted.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Color = NDArray[np.float64]
Neckline = Literal["crew", "vneck", "collar", "turtle"]


class Part(IntEnum):
    """What a pixel shows: the numbers in a mask."""

    BACKGROUND = 0
    HAIR = 1
    SKIN = 2
    EYES = 3
    BROWS = 4
    NOSE = 5
    MOUTH = 6
    CLOTHES = 7
    GLASSES = 8
    EARS = 9


CANVAS = 256
"""Side of the canvas that all lengths refer to."""

SKIN_TONES = np.array(
    [
        (255, 224, 200), (248, 208, 178), (240, 190, 156), (226, 170, 130),
        (205, 146, 104), (176, 118, 80), (142, 92, 62), (108, 70, 50),
    ],
    dtype=np.float64,
)  # fmt: skip
"""From light to dark; a portrait's tone lies between two neighbours."""

HAIR_COLORS: tuple[tuple[tuple[int, int, int], float], ...] = (
    ((30, 26, 30), 14), ((58, 38, 28), 13), ((92, 58, 36), 12), ((128, 80, 44), 9), ((150, 66, 34), 8),
    ((196, 98, 40), 7), ((206, 160, 86), 8), ((236, 208, 140), 8), ((150, 150, 156), 5), ((214, 210, 206), 4),
    ((196, 60, 110), 3.5), ((60, 90, 170), 3), ((40, 140, 136), 3), ((120, 70, 160), 3.5),
)  # fmt: skip
"""Colour and how often it occurs (relative)."""

IRIS_COLORS = (
    (70, 44, 26),
    (104, 66, 34),
    (64, 118, 70),
    (60, 120, 180),
    (96, 150, 196),
    (110, 120, 130),
    (150, 110, 50),
)
LIP_COLORS = ((190, 90, 86), (170, 60, 70), (206, 60, 70), (214, 110, 120), (140, 60, 60), (196, 40, 90))
FRAME_COLORS = ((25, 22, 25), (110, 60, 30), (160, 40, 50), (190, 160, 70), (40, 60, 110))
NECKLINES: dict[Neckline, float] = {"crew": 0.38, "vneck": 0.22, "collar": 0.22, "turtle": 0.18}

SHARE_WITH_GLASSES = 0.30
GAZE_SPREAD = 1.8  # a wider gaze is more than a small generator learns


@dataclass(frozen=True)
class HairStyle:
    """How often a hair style occurs, and the ranges its lengths are drawn from."""

    share: float
    volume: tuple[float, float]
    side: tuple[float, float]
    temple: tuple[float, float]
    lock: tuple[float, float]
    falls: tuple[float, float] | None = (
        None  # how far below the ears, in head heights; None: it does not fall
    )


HAIR_STYLES = {
    "short": HairStyle(0.28, (8, 18), (5, 11), (-14, 4), (3, 7)),
    "bob": HairStyle(0.18, (9, 16), (10, 20), (24, 56), (9, 17), falls=(0.75, 1.05)),
    "long": HairStyle(0.26, (8, 15), (9, 20), (38, 84), (7, 16), falls=(1.35, 2.0)),
    "afro": HairStyle(0.10, (18, 30), (16, 28), (-16, 2), (4, 9)),
    "bun": HairStyle(0.10, (5, 10), (3, 7), (-24, -10), (2, 5)),
    "buzz": HairStyle(0.08, (2, 5), (1, 3), (-24, -8), (1, 3)),
}


@dataclass(frozen=True)
class Scene:
    """Light and background."""

    light: float  # where it comes from: -1 left, +1 right
    near: Color
    far: Color
    radial: bool
    angle: float  # radians, of a linear background


@dataclass(frozen=True)
class Head:
    """Shape, skin and pose of the head."""

    skin: Color
    width: float  # half of it, like every width below
    height: float
    jaw: float
    chin: float
    x: float
    y: float
    tilt: float
    scale: float
    turn: float  # shift of the features sideways against the outline: parallax of looking left or right
    nod: float
    blush: float
    ear_y: float

    @property
    def shadow(self) -> Color:
        """Skin turned away from the light."""
        return self.skin * (0.74, 0.66, 0.64)

    @property
    def lit(self) -> Color:
        """Skin turned to the light."""
        return self.skin * 1.07 + 8

    @property
    def deep(self) -> Color:
        """Skin in a crease."""
        return self.skin * (0.60, 0.48, 0.46)


@dataclass(frozen=True)
class Hair:
    """Cut, colour and hairline."""

    style: str
    color: Color
    wave: float  # 0 straight to 1 wavy
    bangs: bool
    volume: float
    side: float
    length: float  # of hair that falls
    spread: float  # half its width
    bun_radius: float
    bun_x: float
    parting_x: float
    parting_y: float
    temple_y: float
    lock: float
    arches: tuple[float, float]  # height of the hairline left and right of the parting

    @property
    def falls(self) -> bool:
        """Whether the hair falls beside the face."""
        return HAIR_STYLES[self.style].falls is not None

    @property
    def lit(self) -> Color:
        """Hair in the light."""
        return self.color * 1.25 + 18

    @property
    def dark(self) -> Color:
        """Hair in the shade."""
        return self.color * 0.62


@dataclass(frozen=True)
class Clothes:
    """Neck and what is worn below it."""

    color: Color
    collar_color: Color
    neckline: Neckline
    neck: float
    gap: float  # half the width of the opening
    x: float
    scale: float
    shoulder_y: float
    shoulder: float
    depth: float  # of a V opening


@dataclass(frozen=True)
class Eyes:
    """Both eyes; they are mirror images except for the gaze."""

    spacing: float
    y: float
    width: float
    height: float
    tilt: float
    iris_radius: float
    iris: Color
    gaze: tuple[float, float]
    lash: float
    shadow: Color | None


@dataclass(frozen=True)
class Brows:
    """Both brows."""

    thickness: float
    angle: float
    arch: float
    lift: float
    color: Color


@dataclass(frozen=True)
class Nose:
    """Nose, down to its tip."""

    y: float
    width: float


@dataclass(frozen=True)
class Mouth:
    """Mouth, closed or open."""

    y: float
    width: float
    smile: float
    opening: float
    lip: float
    color: Color


@dataclass(frozen=True)
class Glasses:
    """Frame of a pair of glasses."""

    color: Color
    width: float
    height: float
    frame: float
    roundness: float


@dataclass(frozen=True)
class Portrait:
    """Everything that is drawn."""

    scene: Scene
    head: Head
    hair: Hair
    clothes: Clothes
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    glasses: Glasses | None


def blend(first: ArrayLike, second: ArrayLike, share: float) -> Color:
    """Colour between two colours, `share` of the second."""
    return np.asarray(first, np.float64) * (1 - share) + np.asarray(second, np.float64) * share


def sample_portrait(seed: int) -> Portrait:
    """
    Draw all attributes of one portrait.

    Parameters
    ----------
    seed : int
        Not negative; the same seed always gives the same portrait.

    Returns
    -------
    Portrait
    """
    rng = np.random.default_rng(seed)
    scene, head = _sample_scene(rng), _sample_head(rng)
    hair, eyes = _sample_hair(rng, head), _sample_eyes(rng, head)
    nose = Nose(y=eyes.y + 24 + rng.normal(0, 3.5), width=9.5 + rng.normal(0, 1.8))
    return Portrait(
        scene=scene,
        head=head,
        hair=hair,
        clothes=_sample_clothes(rng, head),
        eyes=eyes,
        brows=_sample_brows(rng, head, hair, eyes),
        nose=nose,
        mouth=_sample_mouth(rng, head, nose),
        glasses=_sample_glasses(rng) if rng.random() < SHARE_WITH_GLASSES else None,
    )


def _hsv(hue: float, saturation: float, value: float) -> Color:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value)) * 255


def _pick(rng: np.random.Generator, colors: Sequence[Sequence[int]]) -> Color:
    return np.array(colors[int(rng.integers(len(colors)))], np.float64)


def _bounded_normal(rng: np.random.Generator, mean: float, spread: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, spread), low, high))


def _sample_scene(rng: np.random.Generator) -> Scene:
    hue, saturation, value = rng.random(), rng.uniform(0.06, 0.42), rng.uniform(0.6, 0.95)
    far = _hsv(hue + rng.normal(0, 0.05), saturation * rng.uniform(0.6, 1.3), value * rng.uniform(0.6, 0.85))
    return Scene(
        light=_bounded_normal(rng, 0, 0.6, -1, 1),
        near=_hsv(hue, saturation, value),
        far=far,
        radial=bool(rng.random() < 0.5),
        angle=rng.uniform(-0.6, 0.6),
    )


def _sample_head(rng: np.random.Generator) -> Head:
    tone = rng.uniform(0, len(SKIN_TONES) - 1)
    below = int(tone)
    skin = blend(SKIN_TONES[below], SKIN_TONES[below + 1], tone - below) + rng.normal(0, 4, 3)
    width = 53 + rng.normal(0, 3)
    nod = 3.5 * _bounded_normal(rng, 0, 0.5, -1, 1)
    return Head(
        skin=skin,
        width=width,
        height=70 + rng.normal(0, 3.5),
        jaw=width * _bounded_normal(rng, 0.80, 0.06, 0.66, 0.93),
        chin=rng.uniform(0.35, 0.62),
        x=rng.normal(0, 3.5),
        y=rng.normal(0, 3),
        tilt=rng.normal(0, 3.5),
        scale=1.15 * (1 + rng.normal(0, 0.03)),
        turn=7 * _bounded_normal(rng, 0, 0.5, -1, 1),
        nod=nod,
        blush=rng.random(),
        ear_y=rng.uniform(2, 8) + nod,
    )


def _sample_hair(rng: np.random.Generator, head: Head) -> Hair:
    name = str(rng.choice(list(HAIR_STYLES), p=[style.share for style in HAIR_STYLES.values()]))
    style = HAIR_STYLES[name]
    shares = np.array([share for _, share in HAIR_COLORS])
    color = np.array(HAIR_COLORS[int(rng.choice(len(HAIR_COLORS), p=shares / shares.sum()))][0], np.float64)
    bangs = bool(rng.random() < 0.3)
    side = rng.uniform(*style.side)
    drop = (
        (0.42, 0.52) if bangs else (0.66, 0.86)
    )  # the parting lies this far above the middle, in head heights
    arch = rng.uniform(0.38, 0.5) if bangs else None
    return Hair(
        style=name,
        color=np.clip(color * rng.uniform(0.85, 1.15) + rng.normal(0, 5, 3), 12, 250),
        wave=rng.random() if style.falls else 0.0,
        bangs=bangs,
        volume=rng.uniform(*style.volume),
        side=side,
        length=head.height * rng.uniform(*(style.falls or (0, 0))),
        spread=head.width + side + (rng.uniform(0, 12) if name == "long" else rng.uniform(-2, 8)),
        bun_radius=rng.uniform(18, 27),
        bun_x=rng.normal(0, 7),
        parting_x=rng.normal(0, 15) if bangs else rng.choice([-1, 1]) * rng.uniform(2, 32),
        parting_y=-head.height * rng.uniform(*drop) + head.nod,
        temple_y=rng.uniform(*style.temple),
        lock=rng.uniform(*style.lock),
        arches=(
            -head.height * (arch or rng.uniform(0.5, 0.75)),
            -head.height * (arch or rng.uniform(0.5, 0.75)),
        ),
    )


def _sample_clothes(rng: np.random.Generator, head: Head) -> Clothes:
    color = _hsv(rng.random(), rng.uniform(0.08, 0.68), rng.uniform(0.25, 0.95))
    neck = 1.12 * head.width * rng.uniform(0.44, 0.56)
    return Clothes(
        color=color,
        collar_color=blend(color, (255, 255, 255), 0.75) if rng.random() < 0.6 else color * 0.68,
        neckline=str(rng.choice(list(NECKLINES), p=list(NECKLINES.values()))),  # type: ignore[arg-type]
        neck=neck,
        gap=neck + rng.uniform(2, 8),
        x=rng.normal(0, 4),
        scale=rng.uniform(0.92, 1.08),
        shoulder_y=rng.uniform(217, 226),
        shoulder=rng.uniform(94, 114),
        depth=rng.uniform(30, 40),
    )


def _sample_eyes(rng: np.random.Generator, head: Head) -> Eyes:
    height = max(4.2, 8.8 + rng.normal(0, 1.8))
    made_up = rng.random() < 0.25
    return Eyes(
        spacing=24 + rng.normal(0, 1.6),
        y=-4 + rng.normal(0, 2.5) + head.nod,
        width=13.6 + rng.normal(0, 1.2),
        height=height,
        tilt=rng.normal(0, 4),
        iris_radius=float(np.clip(height * 0.86, 5.2, 8)) + rng.normal(0, 0.4),
        iris=_pick(rng, IRIS_COLORS) * rng.uniform(0.9, 1.15),
        gaze=(_bounded_normal(rng, 0, GAZE_SPREAD, -5, 5), _bounded_normal(rng, 0, 1, -2, 2)),
        lash=rng.uniform(2, 4.4),
        shadow=blend(_hsv(rng.random(), 0.45, 0.6), head.skin, 0.35) if made_up else None,
    )


def _sample_brows(rng: np.random.Generator, head: Head, hair: Hair, eyes: Eyes) -> Brows:
    return Brows(
        thickness=rng.uniform(3.2, 7.2),
        angle=rng.normal(0, 5),
        arch=rng.uniform(1, 6),
        lift=17 + rng.normal(0, 1.8) + max(0.0, eyes.height - 9) * 0.6,
        color=blend(hair.color * 0.7, head.deep, 0.25),
    )


def _sample_mouth(rng: np.random.Generator, head: Head, nose: Nose) -> Mouth:
    lips = blend(_pick(rng, LIP_COLORS), head.skin * 0.72, rng.uniform(0.05, 0.5))
    return Mouth(
        y=min(nose.y + 23 + rng.normal(0, 2), head.height - 17 + head.nod),
        width=19 + rng.normal(0, 3),
        smile=_bounded_normal(rng, 3, 4.5, -5.5, 11),
        opening=_bounded_normal(rng, -1, 6, 0, 15),
        lip=rng.uniform(3, 6.4),
        color=blend(lips, lips * (head.skin.mean() / 215), 0.5),
    )


def _sample_glasses(rng: np.random.Generator) -> Glasses:
    return Glasses(
        color=_pick(rng, FRAME_COLORS),
        width=19 + rng.normal(0, 1),
        height=15.5 + rng.normal(0, 1.8),
        frame=rng.uniform(3.4, 5.6),
        roundness=rng.uniform(5, 15),
    )
