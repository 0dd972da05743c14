"""Strokes of a brush, as they can be painted again."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Stroke", "brush"]

Stroke = tuple[int, float, tuple[Any, ...]]  # what is painted, diameter, places (x, y); shares of the side


def brush(painted: np.ndarray, stroke: Stroke) -> None:
    """Paint along the points of a stroke; they are shares of the picture's sides."""
    (kind, diameter, points), (height, width) = stroke, painted.shape
    where = [complex(x * width, y * height) for x, y in points]  # (a place is a complex number, x + iy)
    pixels = np.arange(width) + 0.5 + 1j * (np.arange(height)[:, None] + 0.5)
    radius = max(diameter * height / 2, 0.71)
    for start, end in zip(where[:1] + where[:-1], where, strict=True):
        step = end - start
        along = ((pixels - start) * np.conj(step)).real / (abs(step) ** 2 or 1)
        painted[abs(pixels - start - along.clip(0, 1) * step) <= radius] = kind
