"""Bootstrap intervals of means and of ratios of means, with the pairs drawn once for all quantities."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lefs.checks import check_number

__all__ = ["Estimate", "bootstrap_interval", "estimate", "resampled_means", "share_of"]

RESAMPLES = 2000

Estimate = tuple[float, float, float]  # a value, the lower and the upper end of its interval


@lru_cache(maxsize=4)
def _draws(count: int) -> np.ndarray:
    """How often each of `count` pairs is drawn: (RESAMPLES, count), float32 of small whole numbers."""
    random = np.random.default_rng(0)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return drawn.astype(np.float32)


def resampled_means(
    numerator: np.ndarray,
    denominator: np.ndarray | None = None,
    *,
    index: np.ndarray | None = None,
    total: int | None = None,
) -> np.ndarray:
    """Σ numerator / Σ denominator in each of 2000 bootstrap samples of the pairs.

    Parameters
    ----------
    numerator, denominator : of shape (n,), one number for each pair; without a denominator, means
    index, total : where the n pairs stand among `total`, so that several quantities are resampled together

    Returns
    -------
    ndarray of shape (2000,), float64; NaN where a sample holds none of the pairs
    """
    places = np.arange(len(numerator)) if index is None else index
    drawn = _draws(len(numerator) if total is None else total)[:, places].astype(np.float64)
    below = drawn.sum(axis=1) if denominator is None else drawn @ denominator
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((drawn @ numerator) / np.where(below == 0, np.nan, below))


def bootstrap_interval(
    numerator: np.ndarray, denominator: np.ndarray | None = None, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean, or of a ratio of two means over the same pairs.

    Parameters
    ----------
    numerator, denominator : of shape (n,)
    """
    check_number("confidence", confidence, minimum=0, maximum=1)
    value = share_of(numerator, denominator)
    constant = denominator is None and len(numerator) > 0 and np.ptp(numerator) == 0
    if len(numerator) < 2 or constant or np.isnan(value):
        return value, value
    tail = 50 * (1 - confidence)
    low, high = np.nanpercentile(resampled_means(numerator, denominator), [tail, 100 - tail])
    return float(low), float(high)


def share_of(numerator: np.ndarray, denominator: np.ndarray | None = None) -> float:
    """Σ numerator / Σ denominator, or the mean; NaN where there is nothing to divide by."""
    below = float(len(numerator) if denominator is None else denominator.sum())
    return float(numerator.sum()) / below if below else float("nan")


def estimate(numerator: np.ndarray, denominator: np.ndarray | None = None) -> Estimate:
    """A mean, or a ratio of means, with its 95 % interval; what is not finite is left out."""
    kept = np.isfinite(numerator) if denominator is None else np.isfinite(numerator + denominator)
    above, below = numerator[kept], None if denominator is None else denominator[kept]
    return share_of(above, below), *bootstrap_interval(above, below)
