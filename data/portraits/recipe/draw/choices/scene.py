"""Light, background and clothes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..colors import CREAM, Color, bounded_normal, hsv, pick_kind
from .backdrop import Backdrop, sample_backdrop
from .head import Head

Garment = Literal["crew", "vneck", "shirt", "turtle", "hoodie", "blazer", "scarf"]
Pattern = Literal["plain", "across", "down", "diagonal", "dots", "checks", "yoke", "raglan", "print"]

GARMENTS: dict[Garment, float] = {
    "crew": 0.24,
    "vneck": 0.14,
    "shirt": 0.16,
    "turtle": 0.10,
    "hoodie": 0.14,
    "blazer": 0.13,
    "scarf": 0.09,
}
PATTERNS: dict[Pattern, float] = {
    "plain": 0.57,
    "across": 0.08,
    "down": 0.04,
    "diagonal": 0.04,
    "dots": 0.05,
    "checks": 0.04,
    "yoke": 0.05,
    "raglan": 0.05,
    "print": 0.08,
}
"""How often each occurs, where the garment has room for it."""


@dataclass(frozen=True)
class Scene:
    """Light and background."""

    light: float  # where it comes from: -1 left, +1 right
    warmth: float  # -1 cool, +1 warm
    strength: float  # of the tint and of the shadows: 0 overcast, 1 a lamp
    vignette: float
    backdrop: Backdrop


@dataclass(frozen=True)
class Clothes:
    """Neck and what is worn below it."""

    color: Color
    second: Color  # of the pattern, the shirt below a blazer, the scarf
    pattern: Pattern
    period: float  # of the pattern
    phase: float  # where it starts, in periods
    garment: Garment
    neck: float
    gap: float  # half the width of the opening
    x: float
    scale: float
    shoulder_y: float
    shoulder: float
    depth: float  # of a V opening
    tie: bool  # with a blazer


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw light and background."""
    return Scene(
        light=bounded_normal(rng, 0, 0.6, -1, 1),
        warmth=bounded_normal(rng, 0.1, 0.5, -1, 1),
        strength=rng.uniform(0.25, 1),
        vignette=rng.uniform(0, 1),
        backdrop=sample_backdrop(rng),
    )


def sample_clothes(rng: np.random.Generator, head: Head) -> Clothes:
    """Draw a garment, its colours and pattern."""
    color, second = _sample_colors(rng)
    neck = 1.12 * head.width * rng.uniform(0.44, 0.56)
    garment = pick_kind(rng, GARMENTS)
    pattern = pick_kind(rng, PATTERNS)
    if garment == "blazer":
        pattern = "plain"
    elif pattern == "print" and garment not in ("crew", "turtle"):
        pattern = "across"  # no room for a print below another neckline
    return Clothes(
        color=color,
        second=second,
        pattern=pattern,
        period=rng.uniform(15, 22),
        phase=rng.random(),
        garment=garment,
        neck=neck,
        gap=neck + rng.uniform(2, 8),
        x=rng.normal(0, 4),
        scale=rng.uniform(0.92, 1.08),
        shoulder_y=rng.uniform(211, 220),
        shoulder=rng.uniform(94, 114),
        depth=rng.uniform(30, 40),
        tie=bool(rng.random() < 0.4),
    )


def _sample_colors(rng: np.random.Generator) -> tuple[Color, Color]:
    """Colour of a garment, and one that stands out from it: light on dark or dark on light."""
    hue, value = rng.random(), rng.uniform(0.25, 0.95)
    color = hsv(hue, rng.uniform(0.12, 0.64), value)
    white = rng.random() < 0.4
    if value < 0.62:
        second = CREAM if white else hsv(hue + rng.uniform(-0.2, 0.2), rng.uniform(0.12, 0.5), 0.96)
    else:
        second = (
            CREAM if white and color.mean() < 150 else hsv(hue + rng.uniform(-0.2, 0.2), 0.5, value * 0.42)
        )
    return color, second
