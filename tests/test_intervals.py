"""The one bootstrap of the library: against SciPy's, against resamples written out, and at its edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers import LinearGenerator, made_up_catalog
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import spearmanr

from lefs.evaluation import Estimate, PartLeak, bootstrap, estimate, interval, ratio
from lefs.evaluation.intervals import DRAWS
from lefs.units import ChannelEffects, agreement

ABOVE, BELOW = np.random.default_rng(0).gamma([[2], [3]], 1, (2, 60))


def resamples(count: int) -> list[np.ndarray]:
    """Which items each resample holds, the items as they are first."""
    counts = bootstrap(lambda counts, _: counts, np.zeros(count)).astype(int)
    assert counts.shape == (1 + DRAWS, count)
    assert (counts.sum(axis=1) == count).all()
    return [np.repeat(np.arange(count), row) for row in counts]


@pytest.mark.parametrize("confidence", [0.95, 0.5])
@pytest.mark.parametrize(
    ("columns", "statistic"),
    [
        ((ABOVE,), lambda a, axis: a.mean(axis)),
        ((ABOVE, BELOW), lambda a, b, axis: a.sum(axis) / b.sum(axis)),
    ],
    ids=["mean", "ratio"],
)
def test_intervals_are_those_of_scipy(
    columns: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], confidence: float
) -> None:
    theirs = scipy_bootstrap(
        columns, statistic, paired=True, vectorized=True, method="percentile", n_resamples=9999,
        confidence_level=confidence, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    found, width = estimate(*columns, confidence=confidence), theirs.high - theirs.low
    assert found.value == pytest.approx(statistic(*columns, axis=0))
    assert found.low == pytest.approx(theirs.low, abs=0.15 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.15 * width)
    assert found == estimate(*columns, confidence=confidence)  # (no state, no seed of the outside)


def test_a_statistic_of_counts_is_that_of_resamples_written_out() -> None:
    held = resamples(60)
    np.testing.assert_allclose(
        bootstrap(ratio, ABOVE, BELOW), [ABOVE[i].sum() / BELOW[i].sum() for i in held]
    )


def test_a_rank_correlation_is_resampled_with_its_channels() -> None:
    """Over the channels of a layer, with many ties in contributions and in effects."""
    random = np.random.default_rng(0)
    shares = torch.from_numpy(random.integers(1, 6, 40) / 10)
    generator = LinearGenerator(active=torch.ones(40, 2, 2), painted=torch.zeros(40, 3, 2, 2))
    catalog = made_up_catalog(torch.stack([shares, 1 - shares]), generator)
    effect = torch.from_numpy(random.integers(0, 4, 40) / 1.0)
    inside = torch.stack([effect, 4 - effect])
    areas = torch.full((2,), 0.5, dtype=torch.float64)
    parts, who, total = tuple(catalog.parts), catalog.generator, inside.sum(dim=0)
    own = ChannelEffects(parts, generator.layers, inside, total, areas, 12, 1.0, 1, who)
    found = agreement(own, catalog)[0]
    rhos = [spearmanr(shares[i], effect[i]).statistic for i in resamples(40)]
    np.testing.assert_allclose(found.rho, [rhos[0], *np.percentile(rhos[1:], [2.5, 97.5])])


def test_the_interference_is_resampled_with_its_pairs() -> None:
    change = np.random.default_rng(0).gamma(1, 1, (12, 3, 3))
    change[:4, 1] = np.nan  # (pairs that do not show the second part)
    shares = []
    for i in resamples(12):
        matrix = np.nan_to_num(PartLeak(("a", "b", "c"), change[i]).matrix)
        shares.append(1 - np.trace(matrix) / matrix.sum())
    expected = shares[0], *np.percentile(shares[1:], [2.5, 97.5])
    np.testing.assert_allclose(PartLeak(("a", "b", "c"), change).estimate(), expected)


def test_quantities_of_the_same_pairs_are_resampled_together() -> None:
    values = np.random.default_rng(1).normal(size=30)
    index = np.array([2, 5, 11])
    some = bootstrap(ratio, values[index], index=index, total=30)
    again = bootstrap(ratio, 3 * values[index] + 1, index=index, total=30)
    kept = np.isfinite(some)
    assert 0.9 < kept.mean() < 1  # (a resample may hold none of three pairs)
    np.testing.assert_allclose(again[kept], 3 * some[kept] + 1)


def test_intervals_of_almost_nothing() -> None:
    nothing = np.full(3, np.nan)
    assert estimate(np.array([2.0])) == estimate(np.array([2.0, 2.0])) == (2.0, 2.0, 2.0)
    assert estimate(ABOVE, ABOVE) == pytest.approx((1, 1, 1))
    for empty in (estimate(nothing), estimate(nothing[:0]), estimate(np.zeros(3), np.zeros(3))):
        assert np.isnan(empty).all()
    assert estimate(np.array([1.0, np.nan, 5.0])).value == 3  # what is not finite is left out
    only = interval(np.array([1.0, np.nan, np.nan]))
    assert only == Estimate(1, 1, 1)
    with pytest.raises(ValueError, match=r"confidence must be a finite number in \[0, 1\]"):
        interval(ABOVE, confidence=95)
