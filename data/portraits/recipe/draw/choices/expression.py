"""Expressions: what mouth, brows and eyes do together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Mood:
    """How often an expression occurs, and the ranges that its lengths and angles are drawn from."""

    share: float
    smile: Range
    opening: Range = (0, 0)
    mouth_width: float = 1.0
    smirk: Range = (0, 0)
    lift: Range = (-0.5, 1)
    frown: Range = (-3, 1)
    eyes: Range = (0.92, 1.06)
    raised: Range = (0, 0)
    closed: int = 0  # how many eyes


MOODS = {
    "neutral": Mood(0.20, (2.5, 5)),
    "smile": Mood(0.30, (6, 10), mouth_width=1.08, lift=(0, 2)),
    "laugh": Mood(0.24, (6, 10), (5.5, 12), mouth_width=1.15, lift=(0.5, 3), eyes=(0.82, 0.98)),
    "surprise": Mood(0.04, (0, 0), (9, 12.5), mouth_width=0.58, lift=(4, 6.5), eyes=(1.14, 1.26)),
    "serious": Mood(0.09, (1.4, 2.6), lift=(-2, -0.5), frown=(3, 5.5), eyes=(0.80, 0.92)),
    "sceptical": Mood(0.06, (3.5, 6), smirk=(2.5, 4.5), frown=(0, 3), eyes=(0.82, 0.94), raised=(4.5, 7)),
    "wink": Mood(0.035, (6, 9), mouth_width=1.06, smirk=(2, 5), lift=(0, 2), closed=1),
    "blissful": Mood(0.035, (6, 9.5), mouth_width=1.06, lift=(1, 3), closed=2),
}
"""Only such as one likes to look at: nobody weeps or rages."""


@dataclass(frozen=True)
class Expression:
    """What the parts of a face do together."""

    side: int  # of the brow that rises, the corner of the mouth that does, the eye that winks
    smile: float
    opening: float
    mouth_width: float  # a factor
    smirk: float  # degrees
    lift: float  # of both brows
    frown: float  # degrees
    eyes: float  # how wide they are open, a factor
    raised: float  # how much higher one brow is
    closed: int


def sample_expression(rng: np.random.Generator) -> Expression:
    """Draw an expression, and how marked it is."""
    shares = np.array([mood.share for mood in MOODS.values()])
    mood = list(MOODS.values())[int(rng.choice(len(MOODS), p=shares / shares.sum()))]
    side = int(rng.choice([-1, 1]))
    return Expression(
        side=side,
        smile=rng.uniform(*mood.smile),
        opening=rng.uniform(*mood.opening),
        mouth_width=mood.mouth_width,
        smirk=rng.uniform(*mood.smirk),
        lift=rng.uniform(*mood.lift),
        frown=rng.uniform(*mood.frown),
        eyes=rng.uniform(*mood.eyes),
        raised=rng.uniform(*mood.raised),
        closed=mood.closed,
    )
