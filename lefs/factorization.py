"""Deep Feature Factorization (Collins, Achanta & Süsstrunk, ECCV 2018): soft parts by non-negative factors.

Where spherical k-means gives each position to one cluster, a factorisation max(A, 0) ≈ W H explains it as a
sum of K factors, each present to a degree. Factors have unit norm here, so that W counts activation: how long
a piece of the vector each factor accounts for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from sklearn.decomposition import MiniBatchNMF
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor
from torch.nn.functional import normalize

from lefs.checks import check_choice, check_integer
from lefs.clustering import assign

__all__ = ["explained_share", "factorize", "membership_by", "non_negative_weights", "soft_assign"]

_PASSES = 100  # over the vectors; on activations the error falls by less than 5 % from there on
_SWEEPS = 2000  # most passes over the factors; activations take about 100
_STILL = 1e-8  # a position is solved when no weight moves by more than this share of its largest product
_COMPACT = 8  # sweeps between two times that solved positions are laid aside


def factorize(vectors: Tensor, factors: int, *, random_state: int = 0) -> Tensor:
    """Find K non-negative directions whose non-negative sums come nearest to the positive parts of vectors.

    Minimises ‖max(X, 0) − W H‖² by scikit-learn's `MiniBatchNMF` (on the CPU), started from an SVD.

    Parameters
    ----------
    vectors : Tensor of shape (n, C), finite
    factors : K
    random_state : seeds the start and the order of the batches

    Returns
    -------
    H, Tensor of shape (K, C), float32, at least 0, rows of unit norm; a factor that nothing needs is zero

    Raises
    ------
    ValueError
        If `vectors` is no such tensor, or nothing in it is positive.
    """
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is chosen, not a limit
        nmf.fit(positive)
    return normalize(torch.from_numpy(nmf.components_).float(), dim=1).to(vectors.device)


def non_negative_weights(vectors: Tensor, factors: Tensor) -> Tensor:
    """The exact non-negative least squares of each vector: argmin ‖x − w H‖² over w ≥ 0.

    Coordinate descent over the factors, all vectors at once on their device, each until its own weights stand
    still, so that the others in the call do not matter.

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    factors : Tensor of shape (K, C); a zero row gets weight 0

    Returns
    -------
    W, Tensor of shape (n, K), at least 0
    """
    factors = factors.to(vectors)
    gram, products = factors @ factors.t(), vectors @ factors.t()
    found = torch.zeros_like(products)
    live = torch.arange(len(vectors), device=vectors.device)
    w, slope = torch.zeros_like(products), products.clone()  # slope = x Hᵀ − w H Hᵀ
    for sweep in range(1, _SWEEPS + 1):
        moved = _sweep(w, slope, gram)
        if sweep % _COMPACT and sweep < _SWEEPS:
            continue
        still = moved <= _STILL * products[live].abs().amax(dim=1)
        found[live] = w
        live, w, slope = live[~still], w[~still], slope[~still]
        if not len(live):
            break
    return found


def _sweep(w: Tensor, slope: Tensor, gram: Tensor) -> Tensor:
    """Set each weight in turn to its best, in place → the largest step of each vector, (n,)."""
    moved = torch.zeros_like(w[:, 0])
    curvature = gram.diagonal()
    inverse = torch.where(curvature > 0, 1 / curvature.clamp_min(torch.finfo(gram.dtype).tiny), 0.0)
    for k in range(w.shape[1]):
        step = torch.maximum(slope[:, k] * inverse[k], -w[:, k])
        w[:, k] += step
        slope -= step[:, None] * gram[k]
        moved = torch.maximum(moved, step.abs())
    return moved


def soft_assign(maps: Tensor, factors: Tensor) -> Tensor:
    """How much of each position each factor makes, as shares: W of max(A, 0), normalised to sum to one.

    Parameters
    ----------
    maps : Tensor of shape (N, C, h, w), activations
    factors : Tensor of shape (K, C), of `factorize`

    Returns
    -------
    Tensor of shape (N, K, h, w), float32, at least 0, sums to 1 along K. A position that no factor explains
    (nothing positive, or nothing along a factor) belongs to all alike: 1 / K, so that Σ_k M = 1 holds.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    n, _, h, w = maps.shape
    weights = non_negative_weights(maps.clamp_min(0).movedim(1, -1).flatten(0, 2), factors)
    total = weights.sum(dim=1, keepdim=True)
    tiny = torch.finfo(weights.dtype).tiny
    shares = torch.where(total > 0, weights / total.clamp_min(tiny), 1 / len(factors))
    return shares.reshape(n, h, w, -1).movedim(-1, 1).float()


def membership_by(method: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The function (maps, centers) → membership of a catalog's `method`: `assign` or `soft_assign`."""
    check_choice("method", method, ("kmeans", "nmf"))
    return assign if method == "kmeans" else soft_assign


def explained_share(vectors: Tensor, centers: Tensor, *, method: str) -> float:
    """How much of the vectors' energy Σ ‖x‖² the parts account for, in [0, 1].

    ``"kmeans"`` replaces each vector by its projection on its centre: Σ ‖x‖² cos². ``"nmf"``, which sees the
    positive parts only, replaces those by their best sum of factors: 1 − Σ ‖x − w H‖² / Σ ‖x‖².

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    centers : Tensor of shape (K, C), unit norm
    """
    check_choice("method", method, ("kmeans", "nmf"))
    x = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    centers = centers.to(x)
    if method == "nmf":
        x = x.clamp_min(0)
        left = float((x - non_negative_weights(x, centers) @ centers).square().sum())
    else:
        left = float((x.square().sum(dim=1) - (x @ centers.t()).amax(dim=1).square()).sum())
    total = float(x.square().sum())
    return 1 - left / total if total > 0 else 0.0
