"""Colours, and the random draws that portraits are made of."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Color = NDArray[np.float64]
"""sRGB of shape (3,) in [0, 255], not necessarily inside that range until it is painted."""

WHITE = (255, 255, 255)
BLACK = (20, 8, 24)
CREAM = np.array([246.0, 242, 232])

Kind = TypeVar("Kind", bound=str)


def blend(first: ArrayLike, second: ArrayLike, share: float) -> Color:
    """Colour between two colours, `share` of the second."""
    return np.asarray(first, np.float64) * (1 - share) + np.asarray(second, np.float64) * share


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Colour of a hue, which counts round the circle from 0 to 1."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value)) * 255


def pick(rng: np.random.Generator, colors: Sequence[Sequence[int]]) -> Color:
    """One of some colours, each as often as the others."""
    return np.array(colors[int(rng.integers(len(colors)))], np.float64)


def bounded_normal(rng: np.random.Generator, mean: float, spread: float, low: float, high: float) -> float:
    """Draw from a normal distribution; what lies beyond the bounds becomes the bound."""
    return float(np.clip(rng.normal(mean, spread), low, high))


def pick_kind(rng: np.random.Generator, shares: Mapping[Kind, float]) -> Kind:
    """One of some kinds, each as often as its share says; the shares add up to one."""
    return list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]
