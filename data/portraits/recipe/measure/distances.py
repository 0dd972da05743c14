"""How far apart two samples of features are: distances between distributions, and between single images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torchmetrics.image.kid import poly_mmd

from lefs.evaluation import frechet_distance

Array = NDArray[np.float64]
CHUNK = 500  # rows whose distances to all others are held at once


def sample_distances(first: Array, second: Array) -> tuple[float, tuple[float, float]]:
    """
    Fréchet distance and kernel distance of two samples.

    Parameters
    ----------
    first, second : ndarray of shape (N, D)
        More rows than columns.

    Returns
    -------
    frechet : float
        At least 0 (Heusel et al., NeurIPS 2017).
    kernel : tuple of float
        Mean and its standard error over subsets that share no image, two at least, of at most 500 images
        (KID, Bińkowski et al., ICLR 2018). The mean may be below 0: that is expected of equal distributions.

    Raises
    ------
    ValueError
        If the samples are too small for their covariances, or their shapes differ.
    """
    _check_widths(first, second)
    if len(first) <= first.shape[1]:
        raise ValueError(f"first: expected shape (N, D) with N > D, got {first.shape}; give more images")
    size = min(500, len(first) // 2)
    whole = range(0, len(first) // size * size, size)
    one, two = (torch.from_numpy(s).double() for s in (first, second))
    kernel = np.array([float(poly_mmd(one[i : i + size], two[i : i + size])) for i in whole])
    error = kernel.std(ddof=1) / np.sqrt(len(kernel))
    return frechet_distance(first, second), (float(kernel.mean()), float(error))


def precision_recall(real: Array, made: Array, *, neighbours: int = 3) -> tuple[float, float]:
    """
    Precision and recall of a generator (Kynkäänniemi et al., NeurIPS 2019).

    A sample's manifold is the union of balls around its points, each as large as the distance to its k-th
    nearest neighbour in the sample.

    Parameters
    ----------
    real, made : ndarray of shape (N, D)
        Compare equal numbers only: more images make smaller balls.
    neighbours : int
        k.

    Returns
    -------
    precision : float
        Share of the made ones inside the manifold of the real ones.
    recall : float
        Share of the real ones inside the manifold of the made ones.

    Raises
    ------
    ValueError
        If a sample has not more than k images, or the widths differ.
    """
    _check_widths(real, made)
    if neighbours < 1 or min(len(real), len(made)) <= neighbours:
        raise ValueError(
            f"neighbours: expected 1 to {min(len(real), len(made)) - 1}, got {neighbours}; give more images"
        )
    real_radii, made_radii = (_radii(sample, neighbours) for sample in (real, made))
    inside = [(cdist(some, real) <= real_radii).any(1) for some in _chunks(made)]
    reached = [(cdist(some, made) <= made_radii).any(1) for some in _chunks(real)]
    return float(np.concatenate(inside).mean()), float(np.concatenate(reached).mean())


def nearest(queries: Array, references: Array) -> tuple[Array, NDArray[np.int64]]:
    """
    Find the nearest reference of each query.

    Parameters
    ----------
    queries, references : ndarray of shape (N, D) and (M, D)

    Returns
    -------
    distances : ndarray of shape (N,)
        Euclidean.
    indices : ndarray of shape (N,)
        Rows of `references`.
    """
    _check_widths(queries, references)
    squares = np.square(references).sum(1)
    found = [(squares - 2 * some @ references.T).argmin(1) for some in _chunks(queries)]
    indices = np.concatenate(found)
    # the products lose what small distances consist of: taken again, a copy is at 0 from its original
    return np.linalg.norm(queries - references[indices], axis=1), indices


def _radii(sample: Array, neighbours: int) -> Array:
    """Distance of each point to its k-th nearest neighbour; the nearest of all is the point itself."""
    tables = (cdist(some, sample) for some in _chunks(sample))
    return np.concatenate([np.partition(t, neighbours, axis=1)[:, neighbours] for t in tables])


def _chunks(rows: Array) -> list[Array]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _check_widths(first: Array, second: Array) -> None:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features: expected shapes (N, D) and (M, D), got {first.shape} and {second.shape}")
