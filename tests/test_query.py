"""Queries against a linear-programme solver, and the laws they keep."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import reference
import torch
from helpers import made_up_catalog
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lefs import QuerySettings, StyleGAN2, sequential_query, simultaneous_query
from lefs.rules import pair_query, predicted_change, released_query

# Multiples of 1/64: free of denormal corner cases of the solver, and rich in ties, zeros and ones.
SHARES = st.integers(0, 64).map(lambda k: k / 64)
CONTRIBUTIONS = arrays(np.float64, st.integers(1, 30), elements=SHARES)
DISTINCT = arrays(np.float64, st.integers(1, 30), elements=SHARES, unique=True)
SMOOTH = arrays(np.float64, st.integers(1, 30), elements=st.floats(1e-3, 1 - 1e-3))
PRICES = st.floats(0, 4)
BUDGETS = st.floats(0, 12)


def objective(q: np.ndarray, m: np.ndarray, rho: float) -> float:
    return float(q @ (m - rho * (1 - m)))


@settings(deadline=None, max_examples=200)
@given(m=st.one_of(CONTRIBUTIONS, SMOOTH), rho=PRICES, epsilon=BUDGETS)
def test_sequential_is_the_optimum_of_the_linear_programme(m: np.ndarray, rho: float, epsilon: float) -> None:
    q = sequential_query(m, rho=rho, epsilon=epsilon)
    assert q.min() >= 0
    assert q.max() <= 1
    assert q @ (1 - m) <= epsilon + 1e-9
    assert objective(q, m, rho) == pytest.approx(reference.best_query(m, rho, epsilon)[1], abs=1e-9)


@st.composite
def with_one_optimum(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Contributions that all differ, and a price that no channel just meets: each on a grid of 1/128, the
    contributions in the middle of a step with some room, the price's threshold ρ / (1 + ρ) on an edge.
    """
    steps = draw(st.lists(st.integers(0, 127), min_size=1, max_size=30, unique=True))
    places = draw(st.lists(st.floats(0.25, 0.75), min_size=len(steps), max_size=len(steps)))
    threshold = draw(st.integers(2, 85)) / 128
    return (np.array(steps) + places) / 128, threshold / (1 - threshold)


@settings(deadline=None, max_examples=40)
@given(problem=with_one_optimum(), epsilon=st.floats(0.01, 12))
def test_sequential_equals_the_solver_where_the_optimum_is_unique(
    problem: tuple[np.ndarray, float], epsilon: float
) -> None:
    m, rho = problem
    np.testing.assert_allclose(
        sequential_query(m, rho=rho, epsilon=epsilon), reference.best_query(m, rho, epsilon)[0], atol=1e-9
    )


@settings(deadline=None, max_examples=100)
@given(m=CONTRIBUTIONS, rho=PRICES, epsilon=BUDGETS, step=st.floats(0, 0.5))
def test_continuous_and_growing_in_the_budget(m: np.ndarray, rho: float, epsilon: float, step: float) -> None:
    less, more = (sequential_query(m, rho=rho, epsilon=e) for e in (epsilon, epsilon + step))
    assert (more >= less - 1e-12).all()
    # What moves weighs at most the step: a slider cannot jump.
    assert (more - less) @ (1 - m) <= step + 1e-9
    costly = m < 1
    assert np.abs(more - less)[costly].sum() <= step / (1 - m[costly]).min(initial=1) + 1e-9


@settings(deadline=None, max_examples=100)
@given(m=CONTRIBUTIONS, rho=PRICES, epsilon=BUDGETS)
def test_at_most_one_channel_is_fractional_and_the_best_come_first(
    m: np.ndarray, rho: float, epsilon: float
) -> None:
    q = sequential_query(m, rho=rho, epsilon=epsilon)
    assert ((q > 1e-12) & (q < 1 - 1e-12)).sum() <= 1
    order = np.argsort(-m, kind="stable")
    assert (np.diff(q[order]) <= 1e-12).all()  # of equal channels the first


@settings(deadline=None, max_examples=50)
@given(m=DISTINCT, epsilon=BUDGETS, rho=PRICES, seed=st.integers(0, 99))
def test_order_of_channels_does_not_matter(m: np.ndarray, epsilon: float, rho: float, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(m))
    q = sequential_query(m, rho=rho, epsilon=epsilon)
    np.testing.assert_allclose(sequential_query(m[order], rho=rho, epsilon=epsilon), q[order], atol=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.1, 1e3, 1e17, 1e300])
@pytest.mark.parametrize("epsilon", [0.0, 0.25, np.inf])
def test_channels_wholly_in_the_part_are_free(rho: float, epsilon: float) -> None:
    q = sequential_query(np.array([0.5, 1.0, 0.0, 1.0]), rho=rho, epsilon=epsilon)
    assert q[1] == q[3] == 1
    assert q[2] == 0
    assert q[0] == (0 if rho >= 1 or epsilon == 0 else min(1, epsilon / 0.5))


def test_an_endless_budget_is_stopped_by_the_price() -> None:
    m = np.linspace(0, 1, 101)
    q = sequential_query(m, rho=0.25, epsilon=np.inf)
    np.testing.assert_array_equal(q, (m > 0.25 / 1.25 + 1e-12).astype(float))


def test_dead_channels_are_never_chosen() -> None:
    assert sequential_query(np.zeros(3), rho=0, epsilon=np.inf).sum() == 0
    assert simultaneous_query(np.zeros(3), slope=1e9).sum() == 0


@given(m=CONTRIBUTIONS, slope=st.floats(0, 100))
def test_simultaneous_is_a_clipped_line(m: np.ndarray, slope: float) -> None:
    expected = [min(1.0, slope * value) for value in m]
    np.testing.assert_allclose(simultaneous_query(m, slope=slope), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("m", "kind", "dtype"),
    [
        (torch.tensor([0.2, 0.9]), torch.Tensor, torch.float32),
        (torch.tensor([0.2, 0.9]).double(), torch.Tensor, torch.float64),
        (torch.tensor([0, 1]), torch.Tensor, torch.float32),
        (np.array([0.2, 0.9], dtype=np.float32), np.ndarray, np.float32),
        (np.array([0, 1]), np.ndarray, np.float64),
        ([0.2, 0.9], np.ndarray, np.float64),
    ],
)
def test_kind_and_type_follow_the_input(m: object, kind: type, dtype: object) -> None:
    for q in (
        sequential_query(m, rho=0.0, epsilon=0.05),  # type: ignore[type-var]
        simultaneous_query(m, slope=0.3),  # type: ignore[type-var]
    ):
        assert isinstance(q, kind)
        assert q.dtype == dtype
        assert 0 < float(q[1]) <= 1


def test_the_input_is_left_alone() -> None:
    m = torch.rand(20, dtype=torch.float64)
    before = m.clone()
    sequential_query(m, rho=0.1, epsilon=3.0)
    simultaneous_query(m, slope=2.0)
    assert torch.equal(m, before)


@settings(deadline=None)
@given(m=SMOOTH, epsilon=st.floats(0.01, 12))
def test_the_budget_is_spent(m: np.ndarray, epsilon: float) -> None:
    q = sequential_query(m, rho=0.0, epsilon=epsilon)
    assert float((q * (1 - m)).sum()) == pytest.approx(min(epsilon, (1 - m).sum()))


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_bad_prices(bad: float) -> None:
    m = np.array([0.5])
    with pytest.raises(ValueError, match=r"rho must be a finite number .* got"):
        sequential_query(m, rho=bad, epsilon=1.0)
    with pytest.raises(ValueError, match="slope must be a finite number"):
        simultaneous_query(m, slope=bad)
    if bad != float("inf"):
        with pytest.raises(ValueError, match="epsilon must be a number"):
            sequential_query(m, rho=0.1, epsilon=bad)


@pytest.mark.parametrize(
    ("m", "told"),
    [
        (np.ones((2, 2)), "m must be 1-D"),
        (np.array([0.5, 1.1]), "got 1.1"),
        (np.array([-0.5]), "got -0.5"),
        (np.array([np.nan]), "got nan"),
    ],
)
def test_bad_contributions(m: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        sequential_query(m, rho=0.1, epsilon=1.0)
    with pytest.raises(ValueError, match=told):
        simultaneous_query(m, slope=1.0)


# -- one pair, by effects --------------------------------------------------------------------------------


EFFECTS = st.integers(0, 40).map(lambda k: k / 8)
DIFFERENCES = st.integers(-16, 16).map(lambda k: k / 4)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """δ, E_in, E_out and gates of the same number of channels."""
    count = draw(st.integers(1, 25))
    numbers = (DIFFERENCES, EFFECTS, EFFECTS, st.sampled_from([0.0, 0.5, 1.0]))
    return tuple(draw(arrays(np.float64, count, elements=e)) for e in numbers)


@settings(deadline=None, max_examples=200)
@given(problem=pairs(), rho=PRICES, epsilon=st.floats(0, 200))
def test_pair_query_is_the_optimum_of_the_linear_programme(
    problem: tuple[np.ndarray, ...], rho: float, epsilon: float
) -> None:
    difference, inside, outside, gate = problem
    q = pair_query(difference, inside, outside, epsilon=epsilon, rho=rho, gate=gate)
    assert q.min() >= 0
    assert q.max() <= 1
    weight = difference**2 * outside
    value = gate * difference**2 * inside - rho * weight
    assert q**2 @ weight <= epsilon * (1 + 1e-12) + 1e-9
    best = reference.best_pair_query(value, weight, epsilon)[1]
    assert q**2 @ value == pytest.approx(best, rel=1e-9, abs=1e-7)


@settings(deadline=None, max_examples=60)
@given(problem=pairs(), epsilon=st.floats(0.01, 100))
def test_the_pair_budget_is_met_exactly_where_it_binds(
    problem: tuple[np.ndarray, ...], epsilon: float
) -> None:
    difference, inside, outside, _ = problem
    q = pair_query(difference, inside, outside, epsilon=epsilon)
    everything = float((difference**2 * outside)[inside > 0].sum())
    spent = float(predicted_change(q, difference, outside))
    assert spent == pytest.approx(min(epsilon, everything), rel=1e-9, abs=1e-12)
    assert not q[(inside == 0) | (difference == 0)].any()


def test_pairs_in_a_batch_are_pairs_alone() -> None:
    random = np.random.default_rng(3)
    difference, (inside, outside) = random.normal(size=(4, 30)), random.exponential(size=(2, 30))
    together = pair_query(difference, inside, outside, epsilon=2.0, rho=0.3)
    for row, delta in zip(together, difference, strict=True):
        np.testing.assert_array_equal(row, pair_query(delta, inside, outside, epsilon=2.0, rho=0.3))
    as_tensors = pair_query(
        *(torch.from_numpy(a).float() for a in (difference, inside, outside)), epsilon=2.0, rho=0.3
    )
    assert as_tensors.dtype == torch.float32
    torch.testing.assert_close(as_tensors, torch.from_numpy(together).float(), rtol=1e-4, atol=1e-4)


def test_a_channel_that_leaks_nothing_is_free() -> None:
    q = pair_query(np.array([1.0, 2.0, 0.0]), np.ones(3), np.array([0.0, 1.0, 0.0]), epsilon=0.0)
    np.testing.assert_array_equal(q, [1, 0, 0])


def test_the_pair_query_is_continuous_in_its_budget() -> None:
    random = np.random.default_rng(5)
    difference, inside, outside = random.normal(size=20), *random.exponential(size=(2, 20))
    budgets = np.linspace(0, 30, 3001)
    change = np.array([pair_query(difference, inside, outside, epsilon=e) ** 2 for e in budgets])
    # in x = q², which spends the budget evenly
    weight = difference**2 * outside
    assert np.abs(np.diff(change, axis=0) * weight).max() <= 0.01 + 1e-9


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"rho": -0.1}, "rho"),
        ({"inside": np.array([1.0, -1.0])}, "inside must be finite and at least 0"),
        ({"outside": np.array([1.0, np.inf])}, "outside must be finite and at least 0"),
        ({"gate": np.array([-1.0, 1.0])}, "gate must be finite and at least 0"),
        ({"gate": np.ones(3)}, "gate"),
        ({"inside": np.ones(3)}, r"inside, outside and gate \(S,\); got \(2,\)"),
        ({"difference": np.ones((1, 1, 2))}, "difference must have shape"),
        ({"difference": np.array([np.nan, 0.0])}, "difference must be finite"),
    ],
)
def test_wrong_pairs(wrong: dict[str, object], says: str) -> None:
    good: dict[str, object] = {"difference": np.ones(2), "inside": np.ones(2), "outside": np.ones(2)}
    with pytest.raises(ValueError, match=says):
        pair_query(**{"epsilon": 1.0, **good, **wrong})  # type: ignore[arg-type]


# -- the paper, to the letter --------------------------------------------------------------------------------


def test_price_and_budget_may_differ_from_layer_to_layer(lively: StyleGAN2) -> None:
    catalog = made_up_catalog(
        torch.rand(3, lively.num_styles, generator=torch.Generator().manual_seed(0)).double(), lively
    )
    part, names = next(iter(catalog.parts)), [la.name for la in catalog.layers]
    budgets = [float(i) for i in range(len(names))]
    for wanted in (budgets, dict(zip(names, budgets, strict=True)), list(zip(names, budgets, strict=True))):
        chosen = QuerySettings(rho=0.05, epsilon=wanted, coarse=1, rgb=1)
        assert chosen == QuerySettings(**json.loads(json.dumps(asdict(chosen))))
        assert hash(chosen) is not None
        q = chosen.query(catalog, part)
        for la, epsilon in zip(catalog.layers, budgets, strict=True):
            alone = QuerySettings(rho=0.05, epsilon=epsilon, coarse=1, rgb=1).query(catalog, part)
            assert torch.equal(q[la.span], alone[la.span]), la.name
    only = QuerySettings(rho=0.0, epsilon={names[3]: 2.0}, coarse=1, rgb=1).query(catalog, part)
    span = catalog.layers[3].span
    assert only[span].any()
    assert not torch.cat([only[: span.start], only[span.stop :]]).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epsilon": [1.0, 2.0]}, "one number, or"),
        ({"epsilon": {"b99.conv0": 1.0}}, "b99.conv0"),
    ],
)
def test_wrong_layers_of_a_budget(lively: StyleGAN2, wrong: Any, message: str) -> None:
    catalog = made_up_catalog(
        torch.rand(3, lively.num_styles, generator=torch.Generator().manual_seed(0)).double(), lively
    )
    with pytest.raises(ValueError, match=message):
        QuerySettings(**wrong).query(catalog, "cluster 0")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rho": [0.1, -1.0]}, r"rho\[1\]"),
        ({"rho": [math.inf]}, r"rho\[0\]"),
        ({"epsilon": [("b4.conv1", 1.0), 2.0]}, "all of its layers or none"),
        ({"method": "pair", "rho": [0.1]}, "one number for method"),
    ],
)
def test_wrong_numbers_by_layer(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuerySettings(**wrong)


def test_released_method_is_its_rule_in_each_layer(lively: StyleGAN2) -> None:
    catalog = made_up_catalog(
        torch.rand(3, lively.num_styles, generator=torch.Generator().manual_seed(0)).double(), lively
    )
    q = QuerySettings("released", rho=0.2, epsilon=3, coarse=1, rgb=1).query(catalog, "cluster 1")
    for la in catalog.layers:
        m = catalog.contribution("cluster 1")[la.span]
        assert torch.equal(q[la.span], released_query(m, rho=0.2, epsilon=3).float())
    assert not released_query(torch.tensor([0.5, 0.25]), rho=0, epsilon=0.5).any()  # strictly below
