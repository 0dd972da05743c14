"""Which cluster each position of a picture belongs to: one, or several to a degree.

Spherical k-means gives each position to one cluster. Deep Feature Factorization (Collins, Achanta &
Süsstrunk, ECCV 2018), max(A, 0) ≈ W H, explains it as a sum of K factors, each present to a degree. Factors
have unit norm here, so that W counts activation: how long a piece of the vector each factor accounts for.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lefs.checks import check_choice, check_integer, check_number

__all__ = [
    "Side", "assign", "by_side", "check_sides", "factorize", "memberships", "non_negative_weights",
    "soft_assign",
]  # fmt: skip

_PASSES = 100  # over the vectors; on activations the error falls by less than 5 % from there on
_SWEEPS, _STILL = 2000, 1e-12  # most passes over the factors, and the share of the first step that ends them
_ROWS = 8192  # vectors that are solved together


@contextmanager
def _unhurried() -> Iterator[None]:
    """Without warnings that it has not converged: passes are chosen, or what is missing is below `_STILL`."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        yield


def factorize(vectors: Tensor, factors: int, *, random_state: int = 0) -> Tensor:
    """Find K non-negative directions whose non-negative sums come nearest to the positive parts of vectors.

    Minimises ‖max(X, 0) − W H‖² by scikit-learn's `MiniBatchNMF` (on the CPU), started from an SVD.

    Parameters
    ----------
    vectors : Tensor of shape (n, C), finite
    factors : int
        K.
    random_state : int
        Seeds the start and the order of the batches.

    Returns
    -------
    Tensor of shape (K, C), float32, at least 0
        H, rows of unit norm; a factor that nothing needs is zero.

    Raises
    ------
    ValueError
        If `vectors` is no such tensor, or nothing in it is positive.
    """
    # (its import takes seconds, and a catalog of k-means does without)
    from sklearn.decomposition import MiniBatchNMF

    check_integer("factors", factors, minimum=1)
    if vectors.ndim != 2 or not vectors.is_floating_point() or not bool(torch.isfinite(vectors).all()):
        found = f"{vectors.dtype} {tuple(vectors.shape)}"
        raise ValueError(f"vectors must be a finite float tensor of shape (n, C), got {found}")
    positive = vectors.detach().float().clamp_min(0).cpu().numpy()
    if not positive.any():
        raise ValueError(
            'vectors hold nothing positive, which is all that a factorisation sees; use method="kmeans"'
        )
    # (without `max_no_improvement`, which takes the noise of batches for the end)
    nmf = MiniBatchNMF(factors, max_iter=_PASSES, max_no_improvement=None, random_state=random_state)
    with _unhurried():
        nmf.fit(positive)
    return normalize(torch.from_numpy(nmf.components_).float(), dim=1).to(vectors.device)


def non_negative_weights(vectors: Tensor, factors: Tensor) -> Tensor:
    """The non-negative least squares of each vector's positive part: argmin ‖max(x, 0) − w H‖² over w ≥ 0.

    By scikit-learn's coordinate descent with the factors held fixed, in float64, some vectors at a time.

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    factors : Tensor of shape (K, C), at least 0
        A zero row gets weight 0.

    Returns
    -------
    Tensor of shape (n, K), at least 0, of the type and device of `vectors`
    """
    from sklearn.decomposition import non_negative_factorization

    h = factors.detach().double().cpu().numpy()
    found = vectors.new_zeros(len(vectors), len(h))
    options: dict[str, Any] = {"init": "custom", "update_H": False, "n_components": len(h)}
    options |= {"H": h, "tol": _STILL, "max_iter": _SWEEPS}
    with _unhurried():
        for start in range(0, len(vectors) if h.any() else 0, _ROWS):
            x = vectors[start : start + _ROWS].detach().cpu().double().clamp_min(0).numpy()
            found[start : start + _ROWS] = torch.from_numpy(non_negative_factorization(x, **options)[0])
    return found


def assign(maps: Tensor, centers: Tensor) -> Tensor:
    """Membership of each position in the cluster of largest cosine.

    Parameters
    ----------
    maps : Tensor of shape (N, C, h, w)
        Activations.
    centers : Tensor of shape (K, C), unit norm

    Returns
    -------
    Tensor of shape (N, K, h, w), float32, zeros and a single one along K
    """
    # half precision would make ties of what differs
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    cosine = torch.einsum("nchw,kc->nhwk", maps, centers.to(maps))
    membership = torch.zeros_like(cosine, dtype=torch.float32)
    return membership.scatter_(-1, cosine.argmax(dim=-1, keepdim=True), 1).movedim(-1, 1)


def soft_assign(maps: Tensor, factors: Tensor) -> Tensor:
    """How much of each position each factor makes, as shares: W of max(A, 0), normalised to sum to one.

    Parameters
    ----------
    maps : Tensor of shape (N, C, h, w)
        Activations.
    factors : Tensor of shape (K, C)
        Of `factorize`.

    Returns
    -------
    Tensor of shape (N, K, h, w), float32, at least 0
        Sums to 1 along K. A position that no factor explains (nothing positive, or nothing along a factor)
        belongs to all alike: 1 / K, so that Σ_k M = 1 holds.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    n, _, h, w = maps.shape
    weights = non_negative_weights(maps.movedim(1, -1).flatten(0, 2), factors)
    total = weights.sum(dim=1, keepdim=True)
    tiny = torch.finfo(weights.dtype).tiny
    shares = torch.where(total > 0, weights / total.clamp_min(tiny), 1 / len(factors))
    return shares.reshape(n, h, w, -1).movedim(-1, 1).float()


class Side(NamedTuple):
    """A rule of position: what lies in `cluster`, and beyond `at`, belongs to cluster `beyond`.

    Both have the same centre. `at` is a share of the picture's width (``"x"``) or height (``"y"``).
    """

    cluster: int
    beyond: int
    axis: Literal["x", "y"]
    at: float


def check_sides(rules: Iterable[Iterable[Any]], clusters: int) -> tuple[Side, ...]:
    """Return the rules, which may come from a file; a ValueError where one does not fit so many clusters."""
    sides = []
    for cluster, beyond, axis, at in rules:
        check_integer("sides", beyond, minimum=1, maximum=clusters - 1)
        check_integer("sides", cluster, maximum=beyond - 1)
        check_number("sides", at, minimum=0, maximum=1)
        sides.append(Side(cluster, beyond, check_choice("sides", axis, ("x", "y")), at))
    return tuple(sides)


def by_side(membership: Tensor, sides: Sequence[Side]) -> Tensor:
    """The membership (N, K, h, w) by content alone, with rules of position followed one after the other."""
    found = membership.clone()
    for cluster, beyond, *_ in reversed(sides):  # (which of two equal centres was nearest says nothing)
        found[:, cluster] += found[:, beyond]
        found[:, beyond] = 0
    for cluster, beyond, axis, at in sides:
        size = found.shape[-1 if axis == "x" else -2]
        far = (torch.arange(size, device=found.device) + 0.5) / size >= at
        far = far if axis == "x" else far[:, None]
        found[:, beyond] += found[:, cluster] * far
        found[:, cluster] = found[:, cluster] * ~far
    return found


def memberships(maps: Tensor, centers: Tensor, method: str, sides: Sequence[Side] = ()) -> Tensor:
    """What a catalog makes of maps (N, C, h, w): (N, K, h, w), by `assign` or `soft_assign` and its rules."""
    divide = assign if check_choice("method", method, ("kmeans", "nmf")) == "kmeans" else soft_assign
    found = divide(maps, centers)
    return by_side(found, sides) if sides else found
