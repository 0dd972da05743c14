"""The bootstrap: how far a number would move if other pairs, images or channels had been measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lefs.checks import check_number

__all__ = ["DRAWS", "Estimate", "bootstrap", "estimate", "interval", "ratio"]

DRAWS = 2000


class Estimate(NamedTuple):
    """A number with its interval.

    Attributes
    ----------
    value : float
        Of what was measured; NaN where there was nothing to measure.
    low, high : float
        The ends of its percentile bootstrap interval.

    Examples
    --------
    >>> from lefs.evaluation import Estimate
    >>> value, low, high = Estimate(0.5, 0.4, 0.6)
    >>> low
    0.4
    """

    value: float
    low: float
    high: float


@lru_cache(maxsize=4)
def _draws(count: int) -> np.ndarray:
    """How often each of `count` items is drawn: (1 + DRAWS, count), float32; row 0 holds each once."""
    random = np.random.default_rng(0)
    drawn = random.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return np.concatenate([np.ones((1, count)), drawn]).astype(np.float32)


def bootstrap(
    statistic: Callable[..., np.ndarray],
    *columns: np.ndarray,
    index: np.ndarray | None = None,
    total: int | None = None,
) -> np.ndarray:
    """A statistic of what was measured, and of 2000 resamples of it.

    The same items are always drawn alike, so that what was measured on the same pairs is compared in pairs,
    and the mean of several quantities may be taken resample by resample.

    Parameters
    ----------
    statistic : callable
        (counts, columns...) → array of shape (R, ...); counts of shape (R, n) say how often each resample
        holds each item. `ratio` is one.
    *columns : ndarray of shape (n, ...)
        What was measured, one row for each item.
    index : ndarray of shape (n,), int, optional
        Where the n items stand among `total`, of which other quantities have others.
    total : int, optional
        How many items are drawn from; n by default.

    Returns
    -------
    ndarray of shape (1 + 2000, ...)
        Row 0 is of the items as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import bootstrap, ratio
    >>> bootstrap(ratio, np.array([1.0, 2.0, 6.0])).shape
    (2001,)
    """
    count = len(columns[0])
    drawn = _draws(count if total is None else total)
    places = np.arange(count) if index is None else index
    return np.asarray(statistic(drawn[:, places].astype(np.float64), *columns))


def ratio(counts: np.ndarray, numerator: np.ndarray, denominator: np.ndarray | None = None) -> np.ndarray:
    """Σ numerator / Σ denominator of each resample, or the mean; a statistic for `bootstrap`.

    Parameters
    ----------
    counts : ndarray of shape (R, n)
        How often each resample holds each item.
    numerator, denominator : ndarray of shape (n,)
        Without a denominator the mean is taken.

    Returns
    -------
    ndarray of shape (R,)
        NaN where there is nothing to divide by.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import ratio
    >>> ratio(np.array([[1, 1], [2, 0]]), np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    array([1. , 0.5])
    """
    below = counts.sum(axis=1) if denominator is None else counts @ denominator
    return np.divide(counts @ numerator, below, out=np.full(len(counts), np.nan), where=below != 0)


def interval(samples: np.ndarray, *, confidence: float = 0.95) -> Estimate:
    """A number with its percentile interval; resamples in which there was nothing to measure do not count.

    Parameters
    ----------
    samples : ndarray of shape (1 + R,)
        The number, then that of each resample, as `bootstrap` gives them.
    confidence : float in [0, 1]
        How many of the resamples the interval holds.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import interval
    >>> interval(np.array([2.0, *range(5)]), confidence=0.5)
    Estimate(value=2.0, low=1.0, high=3.0)
    """
    tail = 50 * (1 - check_number("confidence", confidence, minimum=0, maximum=1))
    value, drawn = float(samples[0]), samples[1:][np.isfinite(samples[1:])]
    if np.isnan(value) or not len(drawn):
        return Estimate(value, value, value)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Estimate(value, float(low), float(high))


def estimate(
    numerator: np.ndarray, denominator: np.ndarray | None = None, *, confidence: float = 0.95
) -> Estimate:
    """A mean, or a ratio of means over the same items, with its interval; what is not finite is left out.

    Parameters
    ----------
    numerator, denominator : ndarray of shape (n,)
        One number for each item.
    confidence : float in [0, 1]
        How many of the resamples the interval holds.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import estimate
    >>> found = estimate(np.array([1.0, 2.0, 3.0, np.nan]))
    >>> found.value, found.low >= 1, found.high <= 3
    (2.0, True, True)
    """
    columns = [numerator] if denominator is None else [numerator, denominator]
    kept = np.isfinite(sum(columns))
    samples = bootstrap(ratio, *(c[kept] for c in columns)) if kept.any() else np.full(1, np.nan)
    return interval(samples, confidence=confidence)
