"""Which channels to move: contributions m of one layer → query q in [0, 1] (Editing in Style, §3.2)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lefs.checks import check_number

__all__ = ["budget_spent", "sequential_query", "simultaneous_query"]

Vector = TypeVar("Vector", Tensor, np.ndarray)


def simultaneous_query(m: Vector, *, slope: float) -> Vector:
    """All channels at once, in proportion to their contribution: q = min(1, slope · m).

    Parameters
    ----------
    m : array or Tensor of shape (C,)
        Contributions of one layer's channels to the part, in [0, 1].
    slope : at least 0. The paper writes λ for it.

    Returns
    -------
    of the kind, shape and (floating) type of `m`, in [0, 1]

    Raises
    ------
    ValueError
        If `m` is not 1-D, leaves [0, 1] or holds NaN; if `slope` is negative or NaN.
    """
    slope = check_number("slope", slope, minimum=0)
    contributions = _check_contributions(m)
    return _like(m, (slope * contributions).clamp(max=1))


def sequential_query(m: Vector, *, rho: float, epsilon: float) -> Vector:
    """Channels one after another, most relevant first, until the budget is spent.

    The exact maximiser of Σ q_c [m_c − ρ (1 − m_c)] subject to Σ q_c (1 − m_c) ≤ ε and 0 ≤ q_c ≤ 1
    (paper, Eq. 4, which is a maximisation). It is a fractional knapsack whose value per weight grows with m:
    sort by m, stop at m ≤ ρ / (1 + ρ), take whole channels while the budget lasts and a fraction of the last.

    Parameters
    ----------
    m : array or Tensor of shape (C,)
        Contributions of one layer's channels to the part, in [0, 1].
    rho : at least 0
        Price of a channel's share outside the part.
    epsilon : at least 0, may be infinite
        Budget of the layer, in channels' worth of contribution outside the part.

    Returns
    -------
    of the kind, shape and (floating) type of `m`, in [0, 1]; continuous in `epsilon`

    Raises
    ------
    ValueError
        If `m` is not 1-D, leaves [0, 1] or holds NaN; if `rho` or `epsilon` is negative or NaN.
    """
    rho = check_number("rho", rho, minimum=0)
    epsilon = check_number("epsilon", epsilon, minimum=0, finite=False)
    contributions = _check_contributions(m)
    order = contributions.argsort(descending=True, stable=True)
    sorted_m = contributions[order]
    weight = 1 - sorted_m
    spent_before = weight.cumsum(0) - weight
    # A channel without weight (m = 1) costs nothing and is taken whole, whatever the budget.
    share = torch.where(weight > 0, ((epsilon - spent_before) / weight).clamp(0, 1), 1.0)
    # (ρ / (1 + ρ) rounds to 1 for a very large ρ; a channel without weight is worth taking at any price)
    share[(sorted_m <= rho / (1 + rho)) & (weight > 0)] = 0
    q = torch.empty_like(share)
    q[order] = share
    return _like(m, q)


def budget_spent(q: Vector, m: Vector) -> float:
    """Σ q_c (1 − m_c): how much of ε a query of one layer uses, in channels."""
    return float((_double(q) * (1 - _double(m))).sum())


def _check_contributions(m: Tensor | np.ndarray) -> Tensor:
    contributions = _double(m)
    if contributions.ndim != 1:
        shape = tuple(contributions.shape)
        raise ValueError(f"m must be 1-D, the contributions of one layer; got shape {shape}")
    # Sums of shares may pass 1 by rounding.
    valid = (contributions >= 0) & (contributions <= 1 + 1e-6)
    if not bool(valid.all()):
        worst = float(contributions[~valid][0])
        raise ValueError(f"m must lie in [0, 1] (contributions are shares of energy); got {worst!r}")
    return contributions.clamp(max=1)


def _double(values: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(values).detach().to(dtype=torch.float64, device="cpu")


def _like(m: Vector, q: Tensor) -> Vector:
    if isinstance(m, Tensor):
        return q.to(m.device, m.dtype if m.is_floating_point() else torch.float32)
    kind = np.asarray(m).dtype
    # whole numbers could not hold a fraction of a channel
    return q.numpy().astype(kind if kind.kind == "f" else np.float64, copy=False)
