"""Eyes, brows, nose and mouth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..colors import Color, blend, bounded_normal, hsv, pick
from .expression import Expression
from .hairstyle import Hair
from .head import Head

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

ROUGE = (208, 66, 88)

GAZE_SPREAD = 1.3  # a wider gaze is more than a small generator learns, and soon absurd


@dataclass(frozen=True)
class Eyes:
    """Both eyes; they are mirror images except for the gaze, and for a wink."""

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
    closed: tuple[int, ...]  # sides


@dataclass(frozen=True)
class Brows:
    """Both brows."""

    thickness: float
    angle: float
    arch: float
    lift: float
    color: Color
    raised: tuple[float, float]  # how much higher the one on the picture's left, on its right


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
    tilt: float  # one corner higher


def sample_eyes(rng: np.random.Generator, head: Head, expression: Expression) -> Eyes:
    """Draw both eyes."""
    height = bounded_normal(rng, 10.6, 1.3, 8.4, 13) * expression.eyes
    made_up = rng.random() < 0.25
    return Eyes(
        spacing=24.5 + rng.normal(0, 1.2),
        y=-2.5 + rng.normal(0, 2) + head.nod,
        width=14.8 + rng.normal(0, 0.9),
        height=height,
        tilt=bounded_normal(rng, 2, 3, -4, 8),
        iris_radius=float(np.clip(height * 0.80, 6.4, 9)) + rng.normal(0, 0.3),
        iris=pick(rng, IRIS_COLORS) * rng.uniform(0.9, 1.15),
        # eyes stay on the viewer a little when the head turns away
        gaze=(
            bounded_normal(rng, -0.09 * head.turn, GAZE_SPREAD, -3.4, 3.4),
            bounded_normal(rng, 0, 0.6, -1, 1),
        ),
        lash=rng.uniform(2.8, 4.8),
        shadow=blend(hsv(rng.uniform(0.55, 1.05), 0.45, 0.6), head.skin, 0.35) if made_up else None,
        closed=((), (expression.side,), (-1, 1))[expression.closed],
    )


def sample_nose(rng: np.random.Generator, head: Head, eyes: Eyes) -> Nose:
    """Draw the nose; it stands out, so a nod moves it further than the eyes."""
    return Nose(y=eyes.y + 23.5 + rng.normal(0, 2.6) + 0.35 * head.nod, width=10 + rng.normal(0, 1.6))


def sample_brows(
    rng: np.random.Generator, head: Head, hair: Hair, eyes: Eyes, expression: Expression
) -> Brows:
    """Draw both brows, darker than the skin whatever the hair."""
    tone = blend(hair.color * 0.62, head.deep * 0.7, 0.3)
    left, right = (expression.raised if side == expression.side else 0.0 for side in (-1, 1))
    return Brows(
        thickness=rng.uniform(6.4, 9.2),
        angle=bounded_normal(rng, 1.2, 1.8, -3, 5) - expression.frown,
        arch=rng.uniform(2, 6),
        lift=19.5 + rng.normal(0, 1.2) + expression.lift + max(0.0, eyes.height - 10.5) * 0.6,
        color=tone * min(1, max(0.2, (head.skin.mean() - 55) / tone.mean())),
        raised=(left, right),
    )


def sample_mouth(rng: np.random.Generator, head: Head, nose: Nose, expression: Expression) -> Mouth:
    """Draw the mouth; an open one takes more room above the chin."""
    lips = blend(pick(rng, LIP_COLORS), head.skin * 0.72, rng.uniform(0, 0.28))
    lips = blend(lips, lips * (head.skin.mean() / 215), 0.4)
    # how much the lips would be lost against the skin
    alike = max(0.0, 1 - float(np.linalg.norm(lips - head.skin)) / 85)
    room = 19 + 0.5 * expression.opening - 0.5 * head.nod
    return Mouth(
        y=min(nose.y + 22 + rng.normal(0, 1.5), head.height - room),
        width=(19.5 + rng.normal(0, 2)) * expression.mouth_width,
        smile=expression.smile,
        opening=expression.opening,
        lip=rng.uniform(4.8, 7.2),
        color=blend(lips, ROUGE, alike),
        tilt=-expression.side * expression.smirk,
    )
