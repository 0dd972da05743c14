"""How far apart two samples of features are: distances between distributions, and between single images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torchmetrics.image.kid import poly_mmd

Array = NDArray[np.float64]
CHUNK = 500  # rows whose distances to all others are held at once


def frechet_distance(first: Array, second: Array) -> float:
    """
    Fréchet distance between normal distributions fitted to two samples (Heusel et al., NeurIPS 2017).

    Parameters
    ----------
    first, second : ndarray of shape (N, D) and (M, D)
        More rows than columns.

    Returns
    -------
    float
        ``|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)``, at least 0.

    Raises
    ------
    ValueError
        If a sample is too small for its covariance, or the widths differ.
    """
    for name, sample in (("first", first), ("second", second)):
        if sample.ndim != 2 or len(sample) <= sample.shape[1]:
            raise ValueError(
                f"{name}: expected shape (N, D) with N > D, got {sample.shape}; give more images"
            )
    _check_widths(first, second)
    covariances = [np.cov(sample, rowvar=False).reshape(sample.shape[1], -1) for sample in (first, second)]
    shift = first.mean(0) - second.mean(0)
    squared = shift @ shift + sum(np.trace(c) for c in covariances) - 2 * _trace_of_root(*covariances)
    return max(0.0, float(squared))


def _trace_of_root(first: Array, second: Array) -> float:
    """Trace of (AB)^½ for covariances A and B; the symmetric A^½ B A^½ has the same eigenvalues as AB."""
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    return float(np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum())


def kernel_distance(first: Array, second: Array, *, subset: int = 500) -> tuple[float, float]:
    """
    Kernel distance (KID): squared maximum mean discrepancy, unbiased, of the kernel (x·y / D + 1)³
    (Bińkowski et al., ICLR 2018), in subsets that share no image.

    Parameters
    ----------
    first, second : ndarray of shape (N, D)
        Rows in no particular order; what fills no subset is left out.
    subset : int
        Images of each side in a subset.

    Returns
    -------
    mean, standard_error : float
        Over the N // subset subsets. The mean may be below 0: it is 0 in expectation for equal distributions.

    Raises
    ------
    ValueError
        If there are not two subsets at least, or the widths differ.
    """
    _check_widths(first, second)
    count = min(len(first), len(second)) // subset
    if subset < 2 or count < 2:
        raise ValueError(
            f"subset: two subsets of two images or more are needed, got {count} of {subset}; give more images"
        )
    parts = [slice(i * subset, (i + 1) * subset) for i in range(count)]
    found = [float(poly_mmd(torch.from_numpy(first[p]), torch.from_numpy(second[p]))) for p in parts]
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(count))


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
