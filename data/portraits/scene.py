"""Light, background and clothes: every random choice about them, taken before anything is drawn.

Lengths are in units of a canvas 256 wide, whatever the final resolution; on the head they are relative to its
middle. Angles are in degrees unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from colors import Color, blend, bounded_normal, hsv
from head import Head

Neckline = Literal["crew", "vneck", "collar", "turtle"]

NECKLINES: dict[Neckline, float] = {"crew": 0.38, "vneck": 0.22, "collar": 0.22, "turtle": 0.18}


@dataclass(frozen=True)
class Scene:
    """Light and background."""

    light: float  # where it comes from: -1 left, +1 right
    near: Color
    far: Color
    radial: bool
    angle: float  # radians, of a linear background


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


def sample_scene(rng: np.random.Generator) -> Scene:
    hue, saturation, value = rng.random(), rng.uniform(0.06, 0.42), rng.uniform(0.6, 0.95)
    far = hsv(hue + rng.normal(0, 0.05), saturation * rng.uniform(0.6, 1.3), value * rng.uniform(0.6, 0.85))
    return Scene(
        light=bounded_normal(rng, 0, 0.6, -1, 1),
        near=hsv(hue, saturation, value),
        far=far,
        radial=bool(rng.random() < 0.5),
        angle=rng.uniform(-0.6, 0.6),
    )


def sample_clothes(rng: np.random.Generator, head: Head) -> Clothes:
    color = hsv(rng.random(), rng.uniform(0.08, 0.68), rng.uniform(0.25, 0.95))
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
