"""Head and face: every random choice about them, taken before anything is drawn.

Lengths are in units of a canvas 256 wide, whatever the final resolution; on the head they are relative to its
middle. Angles are in degrees unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from colors import Color, blend, bounded_normal, hsv, pick

if TYPE_CHECKING:
    from hairstyle import Hair

SKIN_TONES = np.array(
    [
        (255, 224, 200), (248, 208, 178), (240, 190, 156), (226, 170, 130),
        (205, 146, 104), (176, 118, 80), (142, 92, 62), (108, 70, 50),
    ],
    dtype=np.float64,
)  # fmt: skip
"""From light to dark; a portrait's tone lies between two neighbours."""

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

SHARE_WITH_GLASSES = 0.30
GAZE_SPREAD = 1.8  # a wider gaze is more than a small generator learns


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


def sample_head(rng: np.random.Generator) -> Head:
    tone = rng.uniform(0, len(SKIN_TONES) - 1)
    below = int(tone)
    skin = blend(SKIN_TONES[below], SKIN_TONES[below + 1], tone - below) + rng.normal(0, 4, 3)
    width = 53 + rng.normal(0, 3)
    nod = 3.5 * bounded_normal(rng, 0, 0.5, -1, 1)
    return Head(
        skin=skin,
        width=width,
        height=70 + rng.normal(0, 3.5),
        jaw=width * bounded_normal(rng, 0.80, 0.06, 0.66, 0.93),
        chin=rng.uniform(0.35, 0.62),
        x=rng.normal(0, 3.5),
        y=rng.normal(0, 3),
        tilt=rng.normal(0, 3.5),
        scale=1.15 * (1 + rng.normal(0, 0.03)),
        turn=7 * bounded_normal(rng, 0, 0.5, -1, 1),
        nod=nod,
        blush=rng.random(),
        ear_y=rng.uniform(2, 8) + nod,
    )


def sample_eyes(rng: np.random.Generator, head: Head) -> Eyes:
    height = max(4.2, 8.8 + rng.normal(0, 1.8))
    made_up = rng.random() < 0.25
    return Eyes(
        spacing=24 + rng.normal(0, 1.6),
        y=-4 + rng.normal(0, 2.5) + head.nod,
        width=13.6 + rng.normal(0, 1.2),
        height=height,
        tilt=rng.normal(0, 4),
        iris_radius=float(np.clip(height * 0.86, 5.2, 8)) + rng.normal(0, 0.4),
        iris=pick(rng, IRIS_COLORS) * rng.uniform(0.9, 1.15),
        gaze=(bounded_normal(rng, 0, GAZE_SPREAD, -5, 5), bounded_normal(rng, 0, 1, -2, 2)),
        lash=rng.uniform(2, 4.4),
        shadow=blend(hsv(rng.random(), 0.45, 0.6), head.skin, 0.35) if made_up else None,
    )


def sample_nose(rng: np.random.Generator, eyes: Eyes) -> Nose:
    return Nose(y=eyes.y + 24 + rng.normal(0, 3.5), width=9.5 + rng.normal(0, 1.8))


def sample_brows(rng: np.random.Generator, head: Head, hair: Hair, eyes: Eyes) -> Brows:
    return Brows(
        thickness=rng.uniform(3.2, 7.2),
        angle=rng.normal(0, 5),
        arch=rng.uniform(1, 6),
        lift=17 + rng.normal(0, 1.8) + max(0.0, eyes.height - 9) * 0.6,
        color=blend(hair.color * 0.7, head.deep, 0.25),
    )


def sample_mouth(rng: np.random.Generator, head: Head, nose: Nose) -> Mouth:
    lips = blend(pick(rng, LIP_COLORS), head.skin * 0.72, rng.uniform(0.05, 0.5))
    return Mouth(
        y=min(nose.y + 23 + rng.normal(0, 2), head.height - 17 + head.nod),
        width=19 + rng.normal(0, 3),
        smile=bounded_normal(rng, 3, 4.5, -5.5, 11),
        opening=bounded_normal(rng, -1, 6, 0, 15),
        lip=rng.uniform(3, 6.4),
        color=blend(lips, lips * (head.skin.mean() / 215), 0.5),
    )


def sample_glasses(rng: np.random.Generator) -> Glasses:
    return Glasses(
        color=pick(rng, FRAME_COLORS),
        width=19 + rng.normal(0, 1),
        height=15.5 + rng.normal(0, 1.8),
        frame=rng.uniform(3.4, 5.6),
        roundness=rng.uniform(5, 15),
    )
