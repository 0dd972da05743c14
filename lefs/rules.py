"""The rules that choose channels (Editing in Style, §3.2), on plain vectors.

Contributions m of one layer → q in [0, 1]; or, for a given pair of images, effects and differences of all
channels → q.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lefs.checks import check_number

__all__ = ["pair_query", "predicted_change", "released_query", "sequential_query", "simultaneous_query"]

Vector = TypeVar("Vector", Tensor, np.ndarray)


def simultaneous_query(m: Vector, *, slope: float) -> Vector:
    """All channels at once, in proportion to their contribution: q = min(1, slope · m).

    Parameters
    ----------
    m : array or Tensor of shape (C,)
        Contributions of one layer's channels to the part, in [0, 1].
    slope : float, at least 0
        The paper writes λ for it.

    Returns
    -------
    array or Tensor of shape (C,)
        Of the kind and (floating) type of `m`, in [0, 1].

    Raises
    ------
    ValueError
        If `m` is not 1-D, leaves [0, 1] or holds NaN; if `slope` is negative or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs import simultaneous_query
    >>> simultaneous_query(np.array([0.125, 0.25, 0.75]), slope=2).tolist()
    [0.25, 0.5, 1.0]
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
    rho : float, at least 0
        Price of a channel's share outside the part.
    epsilon : float, at least 0, may be infinite
        Budget of the layer, in channels' worth of contribution outside the part.

    Returns
    -------
    array or Tensor of shape (C,)
        Of the kind and (floating) type of `m`, in [0, 1]; continuous in `epsilon`.

    Raises
    ------
    ValueError
        If `m` is not 1-D, leaves [0, 1] or holds NaN; if `rho` or `epsilon` is negative or NaN.

    Examples
    --------
    The best channel costs 0.25 of the budget; of the second, half of its 0.5 is left.

    >>> import numpy as np
    >>> from lefs import sequential_query
    >>> sequential_query(np.array([0.125, 0.5, 0.75]), rho=0.5, epsilon=0.5).tolist()
    [0.0, 0.5, 1.0]
    """
    rho, epsilon = _check_limits(rho, epsilon)
    contributions = _check_contributions(m)
    q = _filled(1 - contributions, _descending(contributions), epsilon)
    # (ρ / (1 + ρ) rounds to 1 for a very large ρ; a channel without weight is worth taking at any price)
    q[(contributions <= rho / (1 + rho)) & (contributions < 1)] = 0
    return _like(m, q)


def released_query(m: Vector, *, rho: float, epsilon: float) -> Vector:
    """The rule of the paper's released code: whole channels, most relevant first, while Σ (1 − m) < ε.

    Only channels with m > ρ. `sequential_query` solves the paper's problem exactly: it stops at
    m ≤ ρ / (1 + ρ), and takes a fraction of the last channel.

    Parameters
    ----------
    m : array or Tensor of shape (C,)
        Contributions of one layer's channels to the part, in [0, 1].
    rho : float, at least 0
    epsilon : float, at least 0, may be infinite
        Budget of the layer, in channels; what is spent stays strictly below it.

    Returns
    -------
    array or Tensor of shape (C,)
        Of the kind and (floating) type of `m`; zeros and ones.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.rules import released_query
    >>> released_query(np.array([0.125, 0.5, 0.75]), rho=0.25, epsilon=0.5).tolist()
    [0.0, 0.0, 1.0]
    """
    rho, epsilon = _check_limits(rho, epsilon)
    contributions = _check_contributions(m)
    order = _descending(contributions)
    spent = torch.empty_like(contributions)
    spent[order] = (1 - contributions)[order].cumsum(0)
    return _like(m, ((contributions > rho) & (spent < epsilon)).to(spent))


def pair_query(
    difference: Vector, inside: Vector, outside: Vector, *, epsilon: float, rho: float = 0.0,
    gate: Vector | None = None,
) -> Vector:  # fmt: skip
    """Channels for given pairs, by what moving each would change inside the part and outside it.

    To first order, and taking channels as independent, moving channel c by q_c of the way δ_c changes the
    image by q_c² δ_c² E_c. In x = q² that is linear, and x is the exact maximiser of
    Σ x_c [g_c δ_c² E_in,c − ρ δ_c² E_out,c] subject to Σ x_c δ_c² E_out,c ≤ ε and 0 ≤ x_c ≤ 1: a fractional
    knapsack in the order of g_c E_in,c / E_out,c, which stops where that falls to ρ. The last channel gets
    √ of its share, so that what the model predicts outside is ε, and q is continuous in ε.

    Parameters
    ----------
    difference : array or Tensor of shape (S,) or (N, S)
        δ = σ_R − σ_S of each pair.
    inside, outside : array or Tensor of shape (S,), at least 0
        E_in and E_out, the effect of each channel inside the part and outside it.
    epsilon : float, at least 0, may be infinite
        Budget of image change outside the part, in the units of δ² E.
    rho : float, at least 0
        Price of change outside, in change inside.
    gate : array or Tensor of shape (S,), at least 0, optional
        Multiplies what a channel's change inside is worth; a channel of gate 0 is not moved.

    Returns
    -------
    array or Tensor of the shape of `difference`
        Of its kind and (floating) type, in [0, 1]; 0 where a pair does not differ.

    Raises
    ------
    ValueError
        If shapes do not agree, an effect or gate is negative or not finite, a difference is not finite, or
        `epsilon` or `rho` is negative or NaN.

    Examples
    --------
    Moving the second channel all the way would change 4 outside; 1 may, so that it goes half of it.

    >>> import numpy as np
    >>> from lefs import pair_query
    >>> pair_query(np.array([1.0, 2.0]), np.array([0.0, 3.0]), np.array([1.0, 1.0]), epsilon=1).tolist()
    [0.0, 0.5]
    """
    rho, epsilon = _check_limits(rho, epsilon)
    delta, within, beyond = _double(difference), _double(inside), _double(outside)
    gates = torch.ones_like(within) if gate is None else _double(gate)
    given = {"difference": delta, "inside": within, "outside": beyond, "gate": gates}
    shapes: list[tuple[int, ...]] = [tuple(each.shape) for each in given.values()]
    if delta.ndim not in (1, 2) or {*shapes[1:]} != {shapes[0][-1:]}:
        wanted = "shape (S,) or (N, S), inside, outside and gate (S,)"
        raise ValueError(f"difference must have {wanted}; got {', '.join(map(str, shapes))}")
    for name, values in given.items():
        least = -math.inf if name == "difference" else 0
        if not bool(((values >= least) & values.isfinite()).all()):
            raise ValueError(f"{name} must be finite{'' if least else ' and at least 0'}")
    worth = within * gates
    # (0 / 0, a channel without effect, is not worth moving)
    ratio = torch.where(worth > 0, worth / beyond, 0.0)
    q = _filled(delta.square() * beyond, _descending(ratio), epsilon).sqrt()
    q[..., ratio <= rho] = 0
    return _like(difference, torch.where(delta == 0, 0.0, q))


def predicted_change(q: Vector, difference: Vector, effects: Vector) -> Tensor:
    """Σ_c q_c² δ_c² E_c, the image change that `pair_query` reckons with.

    Parameters
    ----------
    q, difference : Tensor or array of shape (S,) or (N, S)
    effects : Tensor or array of shape (S,), at least 0

    Returns
    -------
    Tensor of shape () or (N,), float64
    """
    return ((_double(q) * _double(difference)).square() * _double(effects)).sum(dim=-1)


def _filled(weight: Tensor, order: Tensor, budget: float) -> Tensor:
    """A fractional knapsack: the share of each channel, of weights (..., C), that there is room for in this
    order, (C,). What weighs nothing is taken whole, whatever the budget.
    """
    ordered = weight[..., order]
    left = budget - (ordered.cumsum(-1) - ordered)
    share = torch.empty_like(weight)
    share[..., order] = torch.where(ordered > 0, (left / ordered).clamp(0, 1), 1.0)
    return share


def _descending(values: Tensor) -> Tensor:
    return values.argsort(descending=True, stable=True)


def _check_limits(rho: float, epsilon: float) -> tuple[float, float]:
    return check_number("rho", rho, minimum=0), check_number("epsilon", epsilon, minimum=0, finite=False)


def _check_contributions(m: Tensor | np.ndarray) -> Tensor:
    contributions = _double(m)
    if contributions.ndim != 1:
        raise ValueError(f"m must be 1-D, the contributions of one layer; got shape {tuple(np.shape(m))}")
    # (sums of shares may pass 1 by rounding)
    for wrong in contributions[~((contributions >= 0) & (contributions <= 1 + 1e-6))].tolist():
        raise ValueError(f"m must lie in [0, 1] (contributions are shares of energy); got {wrong!r}")
    return contributions.clamp(max=1)


def _double(values: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(values).detach().to(dtype=torch.float64, device="cpu")


def _like(m: Vector, q: Tensor) -> Vector:
    if isinstance(m, Tensor):
        return q.to(m.device, m.dtype if m.is_floating_point() else torch.float32)
    kind = np.asarray(m).dtype
    # whole numbers could not hold a fraction of a channel
    return q.numpy().astype(kind if kind.kind == "f" else np.float64, copy=False)
