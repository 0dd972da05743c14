"""Spherical k-means (Dhillon & Modha 2001): clusters of directions, by a scikit-learn estimator on torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from lefs.checks import check_integer, check_number

__all__ = ["SphericalKMeans", "assign"]

_SAME = 1e-6  # relative difference of inertia below which two runs are the same
_CHUNK = 16_384  # rows scored at once: bounds memory, large enough for full speed


def assign(maps: Tensor, centers: Tensor) -> Tensor:
    """Membership of each position in the cluster of largest cosine.

    Parameters
    ----------
    maps : Tensor of shape (N, C, h, w), activations
    centers : Tensor of shape (K, C), unit norm

    Returns
    -------
    Tensor of shape (N, K, h, w), float32, zeros and a single one along K
    """
    # half precision would make ties of what differs
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    cosine = torch.einsum("nchw,kc->nhwk", maps, centers.to(maps))
    return one_hot(cosine.argmax(dim=-1), len(centers)).movedim(-1, 1).float()


@dataclass
class _Pass:
    """What one look at all vectors yields."""

    labels: Tensor  # (n,) int64; zero vectors carry the label of their (arbitrary) best centre
    sums: Tensor  # (K, C) float64: sum of unit vectors per cluster
    counts: Tensor  # (K,) int64: non-zero vectors per cluster
    inertia: float  # Σ (1 − cos) over non-zero vectors
    worst: Tensor  # (K,) indices of the worst-fitted vectors


class SphericalKMeans(ClusterMixin, BaseEstimator):
    """Cluster vectors by direction: maximise Σ cos(x, μ) with unit-norm centres.

    Assignment is to the centre of largest cosine; a centre is the normalised sum of its unit vectors.
    Initialised by k-means++ in cosine distance, best of `n_init` runs; an empty cluster is re-seeded at the
    worst-fitted vector; zero vectors take no part. Results do not change when vectors are scaled by positive
    factors.

    Parameters
    ----------
    n_clusters : number of clusters, K
    n_init : number of runs from different initialisations
    max_iter : most iterations of a run
    tol : a run ends when no centre moves by more than this (Euclidean, of a unit vector)
    random_state : int, `numpy.random.RandomState` or None

    Attributes
    ----------
    cluster_centers_ : (K, C), unit norm, of the kind and device of the data
    labels_ : (n,), int64
    inertia_ : Σ (1 − cos) over all non-zero vectors
    sums_ : (K, C), float64, the sum of the unit vectors that each centre is the direction of
    n_iter_ : iterations of the best run
    n_features_in_ : C
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_init: int = 4,
        max_iter: int = 100,
        tol: float = 1e-4,
        random_state: Any = None,
    ):
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    # -- estimator contract -----------------------------------------------------------------------
    def fit(self, X: Any, y: Any = None) -> Self:
        """Cluster `X`.

        Parameters
        ----------
        X : array or Tensor of shape (n, C)
            Finite; a tensor is clustered on its own device.

        Raises
        ------
        ValueError
            If there are fewer non-zero vectors than clusters, or a parameter or value is out of range.
        """
        data = self._tensor(X, reset=True)
        self._check_parameters()
        live = _live(data)
        if self.n_clusters > len(live):
            raise ValueError(
                f"n_clusters={self.n_clusters} is more than the {len(live)} non-zero vectors "
                f"(n_samples={len(data)}) in X; ask for fewer clusters or give more vectors"
            )
        random = check_random_state(self.random_state)
        centers, last, iterations = self._run(data, _plus_plus(data, live, self.n_clusters, random))
        for _ in range(1, self.n_init):
            run = self._run(data, _plus_plus(data, live, self.n_clusters, random))
            # Runs that reach the same optimum differ by rounding: the first stays, whatever the threads.
            if run[1].inertia < last.inertia * (1 - _SAME):
                centers, last, iterations = run
        self._store(centers, X)
        self.sums_ = last.sums  # partial_fit goes on from here
        self.labels_ = self._give(last.labels, X)
        self.inertia_ = last.inertia
        self.n_iter_ = iterations
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Move the centres toward one more batch; the first batch is fitted, unless something was before.

        Each centre stays the direction of the sum of every unit vector it has been given (as MiniBatchKMeans,
        Sculley 2010, with counts in place of learning rates).
        """
        if not hasattr(self, "sums_"):
            return self.fit(X)
        data = self._tensor(X, reset=False)
        self._check_parameters()
        centers = torch.as_tensor(self.cluster_centers_, device=data.device).to(data.dtype)
        step = _look(data, centers)
        self.sums_ = self.sums_.to(step.sums.device) + step.sums
        self._store(_unit(self.sums_, fallback=centers), X)
        self.labels_ = self._give(step.labels, X)
        self.inertia_ = step.inertia
        return self

    def predict(self, X: Any) -> Any:
        """Index of the centre of largest cosine for each row: (n,), int64, of the kind of `X`."""
        check_is_fitted(self, "cluster_centers_")
        data = self._tensor(X, reset=False)
        centers = torch.as_tensor(self.cluster_centers_).to(data)
        labels = torch.cat([(chunk @ centers.t()).argmax(dim=1) for chunk in data.split(_CHUNK)])
        return self._give(labels, X)

    # -- inside -----------------------------------------------------------------------------------
    def _run(self, data: Tensor, centers: Tensor) -> tuple[Tensor, _Pass, int]:
        """Lloyd's iterations from given centres → centres, the pass that scored them, iterations."""
        iteration = 0
        while iteration < self.max_iter:
            iteration += 1
            step = _look(data, centers)
            moved = _reseed(data, step, _unit(step.sums, fallback=centers))
            shift = (moved - centers).norm(dim=1).max()
            centers = moved
            if shift <= self.tol:
                break
        return centers, _look(data, centers), iteration

    def _check_parameters(self) -> None:
        check_integer("n_clusters", self.n_clusters, minimum=1)
        check_integer("n_init", self.n_init, minimum=1)
        check_integer("max_iter", self.max_iter, minimum=1)
        check_number("tol", self.tol, minimum=0)

    def _tensor(self, X: Any, *, reset: bool) -> Tensor:
        if not isinstance(X, Tensor):
            checked = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
            return torch.from_numpy(np.require(checked, requirements=["C", "W"]))
        if X.ndim != 2 or not X.is_floating_point() or len(X) == 0:
            found = f"{X.dtype} {tuple(X.shape)}"
            raise ValueError(f"X must be a float tensor of shape (n, C) with n ≥ 1, got {found}")
        if not bool(torch.isfinite(X).all()):
            raise ValueError("X holds NaN or infinite values; remove them before clustering")
        if reset:
            self.n_features_in_ = X.shape[1]
        elif X.shape[1] != self.n_features_in_:
            expected = f"{type(self).__name__} is expecting {self.n_features_in_}"
            raise ValueError(f"X has {X.shape[1]} features, but {expected}")
        # sums of half-precision vectors would not be worth having
        return X.detach().to(torch.promote_types(X.dtype, torch.float32))

    def _store(self, centers: Tensor, like: Any) -> None:
        self.cluster_centers_ = self._give(centers, like)

    @staticmethod
    def _give(result: Tensor, like: Any) -> Any:
        return result if isinstance(like, Tensor) else result.cpu().numpy()


def _wide(values: Tensor) -> Tensor:
    """In float64, on the CPU where the device (Apple's) has no float64."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _chunks(data: Tensor) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(data), _CHUNK):
        yield start, data[start : start + _CHUNK]


def _inverse_norms(rows: Tensor) -> Tensor:
    """1 / norm of each row, 0 for a zero row."""
    norms = rows.norm(dim=1)
    return torch.where(norms > 0, 1 / norms.clamp_min(torch.finfo(rows.dtype).tiny), 0.0)


def _live(data: Tensor) -> Tensor:
    """Indices of the non-zero rows."""
    return torch.cat([start + _inverse_norms(rows).nonzero()[:, 0] for start, rows in _chunks(data)])


def _unit(sums: Tensor, *, fallback: Tensor) -> Tensor:
    """Directions of `sums`; where a sum is zero (an empty cluster) the fallback's row."""
    norms = sums.norm(dim=1, keepdim=True)
    directions = (sums / norms.clamp_min(1e-300)).to(fallback.dtype).to(fallback.device)
    return torch.where(norms.to(fallback.device) > 0, directions, fallback)


def _look(data: Tensor, centers: Tensor) -> _Pass:
    """Assign every row and add up what the next centres need, a chunk at a time."""
    count = len(centers)
    sums = _wide(torch.zeros_like(centers))
    counts = torch.zeros(count, dtype=torch.int64, device=data.device)
    labels, cosines, inertia = [], [], 0.0
    for _, rows in _chunks(data):
        inverse = _inverse_norms(rows)
        best, label = (rows @ centers.t()).max(dim=1)
        # a zero vector fits anywhere: it adds nothing to the inertia and never seeds a cluster
        cosine = torch.where(inverse > 0, best * inverse, torch.inf)
        weights = one_hot(label, count).to(rows.dtype) * inverse[:, None]
        sums += _wide(weights.t() @ rows).to(sums.device)
        counts += (weights > 0).sum(dim=0).to(counts.device)
        inertia += float((1 - _wide(cosine[inverse > 0])).sum())
        labels.append(label)
        cosines.append(cosine)
    worst = torch.cat(cosines).topk(min(count, len(data)), largest=False).indices
    return _Pass(torch.cat(labels), sums, counts, inertia, worst)


def _reseed(data: Tensor, step: _Pass, centers: Tensor) -> Tensor:
    """Put the centre of each empty cluster on one of the worst-fitted vectors."""
    empty = (step.counts == 0).nonzero()[:, 0]
    if len(empty):
        centers = centers.clone()
        centers[empty] = normalize(data[step.worst[: len(empty)]], dim=1)
    return centers


def _plus_plus(data: Tensor, live: Tensor, count: int, random: np.random.RandomState) -> Tensor:
    """k-means++ (Arthur & Vassilvitskii 2007) in cosine distance, each centre the best of a few draws."""
    trials = 2 + int(np.log(count))
    first = normalize(data[live[random.randint(len(live))]][None], dim=1)
    centers, distance = [first], _cosine_distance(data, live, first)[0]
    for _ in range(count - 1):
        # Fewer distinct directions than clusters: any vector will do, the cluster stays a duplicate.
        total = float(distance.sum())
        weights = distance.cumsum(0) if total > 0 else torch.ones_like(distance).cumsum(0)
        drawn = torch.from_numpy(random.random_sample(trials)).to(weights) * weights[-1]
        picks = torch.searchsorted(weights, drawn).clamp(max=len(live) - 1).to(live.device)
        candidates = normalize(data[live[picks]], dim=1)
        reached = torch.minimum(_cosine_distance(data, live, candidates), distance)
        best = int(reached.sum(dim=1).argmin())
        centers.append(candidates[best : best + 1])
        distance = reached[best]
    return torch.cat(centers)


def _cosine_distance(data: Tensor, live: Tensor, directions: Tensor) -> Tensor:
    """1 − cos of each direction with each non-zero row: (directions, rows), float64, at least 0."""
    parts = []
    for index in live.split(_CHUNK):
        rows = data[index]
        parts.append(_wide(directions @ rows.t()) * _wide(_inverse_norms(rows)))
    return (1 - torch.cat(parts, dim=1)).clamp_min(0)
