"""Has the generator learnt its training portraits by heart? Nearest neighbours, and a picture of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lefs.records import write_atomically

from ..draw.dataset import Pixels
from .distances import Array, nearest

COLUMNS = 12


@dataclass(frozen=True)
class Looks:
    """
    What is kept of images that were looked at.

    Attributes
    ----------
    features : ndarray of shape (N, D)
        Of the judge.
    pixels : ndarray of shape (N, 3 · 16 · 16)
        The image, averaged to 16 × 16, in [-1, 1].
    """

    features: Array
    pixels: Array

    def __len__(self) -> int:
        return len(self.features)

    def first(self, count: int) -> Looks:
        """The first so many images."""
        return Looks(self.features[:count], self.pixels[:count])


@dataclass(frozen=True)
class Neighbours:
    """
    The nearest training portrait of each image.

    Attributes
    ----------
    distances : ndarray of shape (N,)
    indices : ndarray of shape (N,)
        Places in the training set.
    mirrored : ndarray of shape (N,), bool
        Whether it was the image's mirror image that came so near.
    """

    distances: Array
    indices: NDArray[np.int64]
    mirrored: NDArray[np.bool_]

    def among(self, training: Pixels, chosen: NDArray[np.int64]) -> Pixels:
        """The neighbours of the chosen images, the way round in which they resemble them."""
        found = training[self.indices[chosen]]
        return np.where(self.mirrored[chosen, None, None, None], found[:, :, ::-1], found)

    @classmethod
    def of(cls, sides: list[Array], training: Array) -> Neighbours:
        """The nearer of what images and their mirror images find: training mirrors at random."""
        (own, own_places), (other, other_places) = (nearest(side, training) for side in sides)
        mirrored = other < own
        return cls(np.minimum(own, other), np.where(mirrored, other_places, own_places), mirrored)


def find_neighbours(sides: list[Looks], training: Looks) -> dict[str, Neighbours]:
    """Nearest training portraits of some images, in the judge's features and in pixels.

    Parameters
    ----------
    sides : list of Looks
        The same images as they are, and mirrored.
    training : Looks
    """
    return {
        name: Neighbours.of([getattr(side, name) for side in sides], getattr(training, name))
        for name in ("features", "pixels")
    }


def compare_neighbours(made: Array, held_out: Array) -> dict[str, float]:
    """
    Distances to the training set of generated images against those of held-out ones; plain JSON values.

    Parameters
    ----------
    made, held_out : ndarray of shape (N,)
        Distances to the nearest training image.

    Returns
    -------
    dict
        ``ratio_of_medians``, below 1 for a generator that copies; ``share_below_1_percent``, the share of
        the generated nearer than all but 1 % of the held-out ones: 0.01 for one that does not.

    Raises
    ------
    ValueError
        If most of the held-out images are in the training set.
    """
    usual = float(np.median(held_out))
    if usual == 0:
        raise ValueError("held_out: most of these images are training images; take others to compare with")
    return {
        "ratio_of_medians": round(float(np.median(made)) / usual, 3),
        "share_below_1_percent": round(float((made < np.quantile(held_out, 0.01)).mean()), 4),
    }


def suspicious(neighbours: Neighbours, count: int = COLUMNS) -> NDArray[np.int64]:
    """The images that come nearest to a training image, the nearest first."""
    return np.argsort(neighbours.distances, kind="stable")[:count]


def neighbour_sheet(rows: dict[str, Pixels], ratios: Array, *, title: str) -> Figure:
    """
    Draw generated portraits above their nearest training portraits.

    Parameters
    ----------
    rows : dict of ndarray of shape (N, H, W, 3), uint8
        Of each row, by its label.
    ratios : ndarray of shape (N,)
        Written below each column.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Every pixel as it is.
    """
    images = list(rows.values())
    columns, side = len(ratios), images[0].shape[1]
    scale, gap = (
        max(1.0, side / 80),
        max(2, side // 32),
    )  # of the text, which is to be read beside large images
    margin, head, foot = (round(scale * length) for length in (118, 34, 24))
    size = margin + columns * (side + gap), head + len(rows) * (side + gap) + foot
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="white")

    def write(x: float, y: float, text: str, ha: Any = "left") -> None:
        figure.text(x / size[0], y / size[1], text, ha=ha, va="center", fontsize=9 * scale)

    for r, (label, pictures) in enumerate(rows.items()):
        bottom = foot + (len(rows) - 1 - r) * (side + gap) + gap
        write(8, bottom + side / 2, label)
        for c, picture in enumerate(pictures):
            figure.figimage(picture, margin + c * (side + gap), bottom, origin="upper")
    write(8, foot / 2, "feature distance")
    for c, ratio in enumerate(ratios):
        write(margin + c * (side + gap) + side / 2, foot / 2, f"{ratio:.2f}", "center")
    write(8, size[1] - head / 2, title)
    return figure


def save_sheet(figure: Figure, path: Path) -> None:
    """Write a sheet as .png, in a size at which a pixel of an image is one of the file."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=100))
