"""What is behind the person, out of focus: colours of a wall or a sky, and few large patches on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..colors import WHITE, Color, blend, hsv, pick_kind
from ..parts import CANVAS

WARM = (255, 206, 140)


@dataclass(frozen=True)
class Patch:
    """An oval or a box of one colour about (x, y), with half axes and an angle."""

    x: float
    y: float
    width: float
    height: float
    color: Color
    alpha: int = 255
    box: bool = False
    degrees: float = 0


@dataclass(frozen=True)
class Backdrop:
    """Colours from top to bottom (or from a middle outwards), patches on them, and how blurred they are."""

    colors: tuple[Color, ...]
    patches: tuple[Patch, ...] = ()
    blur: float = 0
    lean: float = 0  # of the direction in which colours change, in radians from the vertical
    radial: bool = False


def sample_backdrop(rng: np.random.Generator) -> Backdrop:
    """Draw a kind, then its shapes and colours."""
    return BACKDROPS[pick_kind(rng, SHARES)](rng)


def _wall(rng: np.random.Generator) -> Backdrop:
    hue, saturation, value = rng.random(), rng.uniform(0.06, 0.34), rng.uniform(0.55, 0.95)
    far = hsv(hue + rng.normal(0, 0.05), saturation * rng.uniform(0.6, 1.3), value * rng.uniform(0.6, 0.85))
    near = hsv(hue, saturation, value)
    return Backdrop((near, far), lean=rng.uniform(-0.6, 0.6), radial=bool(rng.random() < 0.5))


def _window(rng: np.random.Generator) -> Backdrop:
    wall = hsv(rng.choice([0.08, 0.11, 0.58, 0.33]) + rng.normal(0, 0.03), rng.uniform(0.08, 0.26), 0.66)
    side = rng.choice([-1, 1])
    x, y = 128 + side * rng.uniform(58, 84), rng.uniform(70, 100)
    width, height = rng.uniform(40, 54), rng.uniform(66, 84)
    glow = blend(hsv(rng.choice([0.12, 0.55]), 0.16, 0.99), WHITE, 0.2)
    frame = wall * 0.62
    panes = [
        Patch(x + a * width * 0.52, y + b * height * 0.52, width * 0.44, height * 0.46, glow, box=True)
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    shaft = Patch(x - side * 90, 190, 70, 34, glow, 70, box=True, degrees=side * 24)
    border = Patch(x, y, width * 1.12, height * 1.08, frame, box=True)
    return Backdrop((wall * 0.92, wall, wall * 0.72), (shaft, border, *panes), blur=4.5)


def _bokeh(rng: np.random.Generator) -> Backdrop:
    hue, value = rng.random(), rng.uniform(0.3, 0.72)
    colors = (hsv(hue, 0.30, value * 1.15), hsv(hue + 0.06, 0.36, value * 0.75))
    tint = rng.uniform(0.04, 0.2)
    discs = [
        Patch(x, y, radius, radius, blend(hsv(tint + rng.normal(0, 0.05), 0.42, 1), colors[0], 0.25), alpha)
        for x, y, radius, alpha in _scattered(rng, int(rng.integers(9, 13)), 13, 27)
    ]
    return Backdrop(colors, tuple(discs), blur=2.6, lean=rng.uniform(-0.6, 0.6))


def _scattered(
    rng: np.random.Generator, count: int, small: float, large: float
) -> list[tuple[float, float, float, int]]:
    """Places beside and above a head, radii and opacities."""
    xs = np.where(rng.random(count) < 0.5, rng.uniform(0, 74, count), rng.uniform(182, 256, count))
    ys, radii = rng.uniform(6, 190, count), rng.uniform(small, large, count)
    alphas = rng.integers(80, 190, count)
    return [
        (float(x), float(y), float(radius), int(alpha))
        for x, y, radius, alpha in zip(xs, ys, radii, alphas, strict=True)
    ]


def _foliage(rng: np.random.Generator) -> Backdrop:
    hue = rng.choice([0.28, 0.36, 0.11, 0.22]) + rng.normal(0, 0.015)
    value = rng.uniform(0.5, 0.72)
    light, dark = hsv(hue - 0.06, 0.34, min(value * 1.5, 0.97)), hsv(hue + 0.04, 0.44, value * 0.5)
    leaves = [
        Patch(
            x,
            y * 1.2,
            radius * 1.3,
            radius * 0.7,
            blend(light, dark, rng.random()),
            alpha,
            degrees=rng.uniform(-60, 60),
        )
        for x, y, radius, alpha in _scattered(rng, 14, 20, 36)
    ]
    return Backdrop((light, blend(light, dark, 0.45), dark), tuple(leaves), blur=5)


def _shelf(rng: np.random.Generator) -> Backdrop:
    wood = hsv(0.075 + rng.normal(0, 0.012), rng.uniform(0.28, 0.44), rng.uniform(0.42, 0.72))
    patches: list[Patch] = []
    bottom = rng.uniform(58, 72)
    while bottom < CANVAS:
        x = rng.uniform(-16, 0)
        while x < CANVAS:
            width, height = rng.uniform(9, 15), rng.uniform(19, 28)
            book = blend(hsv(rng.random(), 0.42, rng.uniform(0.4, 0.85)), wood, 0.3)
            patches.append(Patch(x + width, bottom - height, width, height, book, box=True))
            x += 2 * width + rng.choice([1.5, 1.5, 16])
        patches.append(Patch(128, bottom + 5, 140, 5, wood * 1.3 + 16, box=True))
        bottom += 72
    return Backdrop((wood * 0.58, wood * 0.46), tuple(patches), blur=4.6)


def _hills(rng: np.random.Generator) -> Backdrop:
    sky = hsv(rng.uniform(0.52, 0.6), rng.uniform(0.14, 0.34), rng.uniform(0.86, 0.98))
    low = blend(sky, (255, 226, 190), rng.uniform(0.4, 0.9))
    ground = hsv(rng.uniform(0.2, 0.42), rng.uniform(0.2, 0.42), rng.uniform(0.42, 0.66))
    far = [(rng.uniform(20, 236), 168, 110, rng.uniform(40, 84), 0.55)]
    near = [(side * 110 + 128 + rng.normal(0, 20), 226, 130, rng.uniform(58, 92), 0.2) for side in (-1, 1)]
    hills = [Patch(x, y, w, h, blend(ground, low, haze)) for x, y, w, h, haze in [*far, *near]]
    meadow = Patch(128, 262, 190, 62, ground * 0.86)
    return Backdrop((sky, low, low), (*hills, meadow), blur=5)


def _sea(rng: np.random.Generator) -> Backdrop:
    evening = rng.random() < 0.5
    top = hsv(0.6, 0.32, 0.72) if evening else hsv(0.56, rng.uniform(0.2, 0.36), 0.96)
    low = hsv(rng.uniform(0.03, 0.1), 0.36, 0.98) if evening else blend(top, WHITE, 0.55)
    water = blend(hsv(rng.uniform(0.48, 0.58), 0.46, 0.62), low, 0.22)
    horizon, x = rng.uniform(112, 156), rng.choice([46, 210]) + rng.normal(0, 10)
    sun = Patch(x, horizon - rng.uniform(20, 60), 17, 17, blend(low, WHITE, 0.75))
    sea = Patch(128, horizon + 100, 150, 100, water, box=True)
    gleam = Patch(x, horizon + 34, 20, 34, sun.color, 90)
    sand = Patch(128, 262, 190, 44, hsv(0.1, 0.26, 0.82))
    return Backdrop((top, low, low), (sun, sea, gleam, sand), blur=4)


def _street(rng: np.random.Generator) -> Backdrop:
    top = hsv(rng.uniform(0.58, 0.72), rng.uniform(0.34, 0.5), rng.uniform(0.34, 0.5))
    low = blend(hsv(rng.uniform(0.96, 1.08), 0.46, 0.78), top, 0.25)
    houses = [
        Patch(
            x + rng.normal(0, 8), 256, rng.uniform(26, 40), rng.uniform(110, 190), top * 0.66, 235, box=True
        )
        for x in (4, 62, 196, 250)
    ]
    lamps = [
        Patch(
            x,
            50 + 0.7 * y,
            radius,
            radius,
            blend(WARM, hsv(rng.choice([0.02, 0.1, 0.5]), 0.5, 1), 0.5),
            120 + alpha // 2,
        )
        for x, y, radius, alpha in _scattered(rng, 7, 8, 15)
    ]
    return Backdrop((top, low, low), (*houses, *lamps), blur=3.4)


BACKDROPS: dict[str, Callable[[np.random.Generator], Backdrop]] = {
    "wall": _wall,
    "window": _window,
    "bokeh": _bokeh,
    "foliage": _foliage,
    "shelf": _shelf,
    "hills": _hills,
    "sea": _sea,
    "street": _street,
}
SHARES = dict(zip(BACKDROPS, (0.52, 0.08, 0.09, 0.08, 0.04, 0.08, 0.06, 0.05), strict=True))
"""How often each kind of background occurs."""
