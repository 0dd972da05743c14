"""Hair: its cut, colours and hairline."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..colors import Color, blend, hsv, pick_kind
from .head import Head

HAIR_COLORS: tuple[tuple[tuple[int, int, int], float], ...] = (
    ((30, 26, 30), 14), ((58, 38, 28), 13), ((92, 58, 36), 12), ((128, 80, 44), 9), ((150, 66, 34), 8),
    ((196, 98, 40), 7), ((206, 160, 86), 8), ((236, 208, 140), 8), ((150, 150, 156), 5), ((214, 210, 206), 4),
    ((196, 60, 110), 3.5), ((60, 90, 170), 3), ((40, 140, 136), 3), ((120, 70, 160), 3.5),
)  # fmt: skip
"""Colour and how often it occurs (relative)."""


SHARE_WITH_STREAKS = 0.35
SHARE_WITH_FADED_ENDS = 0.25


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
    bangs: float = 0.3  # how often


HAIR_STYLES = {
    "short": HairStyle(0.15, (8, 18), (5, 11), (-14, 4), (3, 7)),
    "bob": HairStyle(0.13, (9, 16), (10, 20), (24, 56), (9, 17), falls=(0.75, 1.05)),
    "long": HairStyle(0.19, (8, 15), (9, 20), (38, 84), (7, 16), falls=(1.35, 2.0)),
    "afro": HairStyle(0.08, (18, 30), (16, 28), (-16, 2), (4, 9)),
    "bun": HairStyle(0.07, (5, 10), (3, 7), (-24, -10), (2, 5)),
    "buzz": HairStyle(0.04, (2, 5), (1, 3), (-24, -8), (1, 3)),
    "curly": HairStyle(0.09, (13, 20), (13, 22), (0, 20), (8, 14), falls=(0.5, 0.85), bangs=0.5),
    "tail": HairStyle(0.055, (7, 12), (5, 9), (-10, 12), (3, 7)),
    "braid": HairStyle(0.055, (7, 12), (5, 9), (-10, 12), (3, 7)),
    "swept": HairStyle(0.06, (15, 24), (4, 8), (-10, 2), (3, 5), bangs=0),
    "slick": HairStyle(0.04, (16, 23), (4, 7), (-14, -2), (2, 3), bangs=0),
    "bald": HairStyle(0.04, (0, 0), (3, 7), (-6, 6), (2, 4), bangs=0),
}
"""By name; the shares add up to one."""

SHORT_STYLES = ("short", "afro", "buzz", "swept", "slick", "bald")


@dataclass(frozen=True)
class Hair:
    """Cut, colour and hairline."""

    style: str
    color: Color
    streak: Color  # of single strands
    ends: Color  # of the hair that falls
    wave: float  # 0 straight to 1 wavy
    bangs: bool
    volume: float
    top: float  # of the crown, or of what a hat leaves of it
    side: float
    length: float  # of hair that falls
    spread: float  # half its width
    bun_radius: float
    bun_x: float
    swing: int  # the side a tail or a sweep goes to: -1 left, +1 right in the image
    parting_x: float
    parting_y: float
    temple_y: float
    lock: float
    arches: tuple[float, float]  # height of the hairline left and right of the parting
    covered: bool  # by a hat

    @property
    def falls(self) -> bool:
        """Whether the hair falls beside the face."""
        return HAIR_STYLES[self.style].falls is not None

    @property
    def lit(self) -> Color:
        """Hair in the light."""
        return self.color * 1.25 + 20

    @property
    def dark(self) -> Color:
        """Hair in the shade."""
        return self.color * 0.58

    def under_hat(self, line: float) -> Hair:
        """Return the same hair pressed flat by a hat that sits at height `line`."""
        side = min(self.side, 18.0 if self.style == "afro" else 11.0)
        return replace(self, top=line - 14, side=side, spread=self.spread - self.side + side, covered=True)


def sample_hair(rng: np.random.Generator, head: Head) -> Hair:
    """Draw cut, colours and hairline."""
    name = pick_kind(rng, {name: style.share for name, style in HAIR_STYLES.items()})
    style = HAIR_STYLES[name]
    shares = np.array([share for _, share in HAIR_COLORS])
    color = np.array(HAIR_COLORS[int(rng.choice(len(HAIR_COLORS), p=shares / shares.sum()))][0], np.float64)
    color = np.clip(color * rng.uniform(0.85, 1.15) + rng.normal(0, 5, 3), 12, 250)
    bangs = bool(rng.random() < style.bangs)
    side, volume = rng.uniform(*style.side), rng.uniform(*style.volume)
    streak, ends = _sample_tones(rng, color)
    parting, arches = _sample_hairline(rng, head, bangs)
    if name == "slick":  # combed back from a high hairline
        parting, arches = (parting[0] * 0.3, -head.height * 0.74 + head.nod), (-head.height * 0.86,) * 2
    return Hair(
        style=name,
        color=color,
        streak=streak,
        ends=ends,
        wave=rng.random() if name in ("bob", "long") else 0.0,
        bangs=bangs,
        volume=volume,
        top=-head.height - volume,
        side=side,
        length=head.height * rng.uniform(*(style.falls or (0, 0))),
        spread=head.width + side + (rng.uniform(0, 12) if name == "long" else rng.uniform(-2, 8)),
        bun_radius=rng.uniform(18, 27),
        bun_x=rng.normal(0, 7),
        swing=int(rng.choice([-1, 1])),
        parting_x=parting[0],
        parting_y=parting[1],
        temple_y=rng.uniform(*style.temple),
        lock=rng.uniform(*style.lock),
        arches=arches,
        covered=False,
    )


def _sample_hairline(
    rng: np.random.Generator, head: Head, bangs: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Parting (x, y), and the height of the hairline left and right of it."""
    if bangs:
        arch = -head.height * rng.uniform(0.38, 0.5)
        return (rng.normal(0, 15), -head.height * rng.uniform(0.42, 0.52) + head.nod), (arch, arch)
    x, y = rng.choice([-1, 1]) * rng.uniform(2, 32), -head.height * rng.uniform(0.66, 0.86) + head.nod
    left, right = -head.height * rng.uniform(0.5, 0.75, 2)
    return (x, y), (left, right)


def _sample_tones(rng: np.random.Generator, color: Color) -> tuple[Color, Color]:
    """Colour of single strands and of the ends: near the hair's own, or a second one that goes with it."""
    streak, ends = color * 1.3 + 22, color * 0.62
    second = hsv(rng.random(), 0.5, 0.85) if rng.random() < 0.25 else blend(color, (244, 206, 140), 0.6)
    if rng.random() < SHARE_WITH_STREAKS:
        streak = second
    if rng.random() < SHARE_WITH_FADED_ENDS:
        ends = blend(color, second, 0.8)
    return streak, ends
