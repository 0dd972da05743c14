"""Colours, and the random draws that portraits are made of."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Color = NDArray[np.float64]
"""sRGB of shape (3,) in [0, 255], not necessarily inside that range until it is painted."""


def blend(first: ArrayLike, second: ArrayLike, share: float) -> Color:
    """Colour between two colours, `share` of the second."""
    return np.asarray(first, np.float64) * (1 - share) + np.asarray(second, np.float64) * share


def hsv(hue: float, saturation: float, value: float) -> Color:
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value)) * 255


def pick(rng: np.random.Generator, colors: Sequence[Sequence[int]]) -> Color:
    return np.array(colors[int(rng.integers(len(colors)))], np.float64)


def bounded_normal(rng: np.random.Generator, mean: float, spread: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, spread), low, high))
