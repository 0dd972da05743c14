"""Hair: every random choice about it, taken before anything is drawn.

Lengths are in units of a canvas 256 wide, whatever the final resolution; on the head they are relative to its
middle. Angles are in degrees unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from colors import Color
from head import Head

HAIR_COLORS: tuple[tuple[tuple[int, int, int], float], ...] = (
    ((30, 26, 30), 14), ((58, 38, 28), 13), ((92, 58, 36), 12), ((128, 80, 44), 9), ((150, 66, 34), 8),
    ((196, 98, 40), 7), ((206, 160, 86), 8), ((236, 208, 140), 8), ((150, 150, 156), 5), ((214, 210, 206), 4),
    ((196, 60, 110), 3.5), ((60, 90, 170), 3), ((40, 140, 136), 3), ((120, 70, 160), 3.5),
)  # fmt: skip
"""Colour and how often it occurs (relative)."""


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


def sample_hair(rng: np.random.Generator, head: Head) -> Hair:
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
