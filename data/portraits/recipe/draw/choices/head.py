"""Head, skin and pose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..colors import Color, blend, bounded_normal

SKIN_TONES = np.array(
    [
        (255, 224, 200), (248, 208, 178), (240, 190, 156), (226, 170, 130),
        (205, 146, 104), (176, 118, 80), (142, 92, 62), (108, 70, 50),
    ],
    dtype=np.float64,
)  # fmt: skip
"""From light to dark; a portrait's tone lies between two neighbours."""

SHARE_WITH_FRECKLES = 0.05
SHARE_WITH_MARK = 0.03


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
    spots: tuple[tuple[float, float, float], ...]  # (x, y, radius) of freckles or of a beauty mark

    def across(self, x: float, relief: float = 1.0) -> float:
        """Where a point of the face, `x` from its middle, is seen; noses have more relief."""
        return x * self._facing + self.turn * relief * self._depth(x)

    def squeeze(self, x: float) -> float:
        """How wide a feature at `x` is seen against its true width: less on the side turned away."""
        return self._facing - 1.3 * self.turn / self.width * (x / self.width) / self._depth(x)

    @property
    def _facing(self) -> float:
        return math.sqrt(1 - (self.turn / self.width) ** 2)

    def _depth(self, x: float) -> float:
        return math.sqrt(max(0.1, 1 - (x / self.width) ** 2))

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


def sample_head(rng: np.random.Generator) -> Head:
    """Draw shape, skin and pose."""
    tone = rng.uniform(0, len(SKIN_TONES) - 1)
    below = int(tone)
    skin = blend(SKIN_TONES[below], SKIN_TONES[below + 1], tone - below) + rng.normal(0, 4, 3)
    width = 53 + rng.normal(0, 3)
    nod = 5.5 * bounded_normal(rng, 0, 0.5, -1, 1)
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
        turn=13 * bounded_normal(rng, 0, 0.5, -1, 1),
        nod=nod,
        blush=rng.random(),
        ear_y=rng.uniform(4, 9) - 0.6 * nod,
        spots=_sample_spots(rng, nod),
    )


def _sample_spots(rng: np.random.Generator, nod: float) -> tuple[tuple[float, float, float], ...]:
    chance, side = rng.random(), rng.choice([-1, 1])
    if chance < SHARE_WITH_MARK:
        return ((side * rng.uniform(21, 26), rng.uniform(32, 36) + nod, rng.uniform(2.4, 3)),)
    if chance > SHARE_WITH_MARK + SHARE_WITH_FRECKLES:
        return ()
    rows = [(x, y) for y, columns in ((18, (17, 25, 33)), (25, (21, 29))) for x in columns]
    return tuple(
        (flank * x + rng.normal(0, 0.9), y + nod + rng.normal(0, 0.9), rng.uniform(1.5, 2.1))
        for flank in (-1, 1)
        for x, y in rows
    )
