"""Spherical k-means (Dhillon & Modha 2001): clusters of directions, by a scikit-learn estimator on torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor
from torch.nn.functional import normalize

from lefs.checks import check_choice, check_integer, check_number

__all__ = ["SphericalKMeans", "sample_limit"]

_SAME = 1e-6  # relative difference of inertia below which two runs are the same
# Rows looked at together: few enough for a processor's cache, enough for threads (or launches) to pay.
_CHUNK, _CHUNK_ELSEWHERE = 4096, 65_536
_SAMPLE, _PER_CLUSTER = 24_576, 256  # vectors of an automatic sample: at least; a cluster, as faiss
_FINISH = 2  # most iterations on all vectors, after those on a sample


def sample_limit(clusters: int) -> int:
    """Most vectors that the runs of `SphericalKMeans` see by default, for that many clusters."""
    return max(_SAMPLE, _PER_CLUSTER * clusters)


@dataclass
class _Rows:
    """Vectors, and what every look at them needs."""

    data: Tensor  # (n, C)
    inverse: Tensor  # (n,): 1 / norm, 0 for what takes no part: a zero vector, or one of no weight
    weights: Tensor  # (n,): how often each counts, 0 likewise

    @classmethod
    def of(cls, data: Tensor, weights: Tensor | None = None) -> _Rows:
        norms = torch.cat([rows.norm(dim=1) for rows in data.split(_chunk(data))])
        weights = (norms > 0).to(norms) if weights is None else torch.where(norms > 0, weights, 0.0)
        inverse = 1 / norms.clamp_min(torch.finfo(data.dtype).tiny)
        return cls(data, torch.where(weights > 0, inverse, 0.0), weights)

    def live(self) -> Tensor:  # indices of what takes part
        return self.inverse.nonzero()[:, 0]

    def at(self, index: Tensor | slice) -> _Rows:
        return _Rows(self.data[index], self.inverse[index], self.weights[index])

    def unit(self, index: Tensor) -> Tensor:
        return normalize(self.data[index], dim=1)

    def chunks(self) -> Iterator[slice]:
        step = _chunk(self.data)
        return (slice(start, start + step) for start in range(0, len(self.data), step))


@dataclass
class _Pass:
    """What one look at all vectors yields."""

    labels: Tensor  # (n,) int64; zero vectors carry the label of their (arbitrary) best centre
    cosines: Tensor  # (n,) to that centre; infinite for what takes no part, which never is the worst-fitted
    weights: Tensor  # (n,)
    sums: Tensor  # (K, C) float64: sum of unit vectors per cluster
    counts: Tensor  # (K,) int64: vectors per cluster that take part

    @property
    def inertia(self) -> float:  # Σ (1 − cos) over what takes part
        parts = zip(self.cosines.split(_CHUNK_ELSEWHERE), self.weights.split(_CHUNK_ELSEWHERE), strict=True)
        return sum(float(((1 - _wide(c)) * _wide(w))[c.isfinite()].sum()) for c, w in parts)


class SphericalKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Cluster vectors by direction: maximise Σ cos(x, μ) with unit-norm centres.

    Assignment is to the centre of largest cosine; a centre is the normalised sum of its unit vectors. An
    empty cluster is re-seeded at the worst-fitted vector; zero vectors take no part; lengths do not matter.
    Of many vectors the runs see a random sample; a few iterations on all finish the best.

    Parameters
    ----------
    n_clusters : int
        Number of clusters, K.
    init : {"k-means++"} or array of shape (K, C)
        How to begin: in cosine distance (Arthur & Vassilvitskii 2007), or at given centres, with one run.
    n_init : int
        Number of runs from different initialisations.
    max_iter : int
        Most iterations of a run.
    tol : float
        A run ends when no centre moves by more than this (Euclidean, of a unit vector).
    sample_size : int, "auto" or None
        Most vectors that the runs see, drawn without replacement, at least K; None: all; ``"auto"``: 24,576,
        or 256 K if that is more: at K = 96 within 0.5 % of the inertia that four times as many give.
    random_state : int, numpy.random.RandomState or None
        Seeds the sample and the initialisations.

    Attributes
    ----------
    cluster_centers_ : array or Tensor of shape (K, C)
        Unit norm, of the kind and device of the data.
    labels_ : array or Tensor of shape (n,), int64
        The cluster of each vector.
    inertia_ : float
        Σ (1 − cos) over all non-zero vectors.
    sums_ : Tensor of shape (K, C), float64
        The sum of the unit vectors that each centre is the direction of.
    n_iter_ : int
        Iterations of the best run, and those on all vectors that finished it.
    n_features_in_ : int
        C.

    Examples
    --------
    Vectors that do not fit into memory are clustered a batch at a time, each a random part of them:

    >>> import numpy as np
    >>> from lefs import SphericalKMeans
    >>> batches = np.random.default_rng(0).normal(size=(3, 50, 8))
    >>> kmeans = SphericalKMeans(5, random_state=0)
    >>> for batch in batches:
    ...     kmeans = kmeans.partial_fit(batch)
    >>> kmeans.cluster_centers_.shape
    (5, 8)
    """

    def __init__(
        self, n_clusters: int = 8, *, init: Any = "k-means++", n_init: int = 4, max_iter: int = 100,
        tol: float = 1e-4, sample_size: int | Literal["auto"] | None = "auto", random_state: Any = None,
    ):  # fmt: skip
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.sample_size = sample_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Cluster `X`.

        Parameters
        ----------
        X : array or Tensor of shape (n, C)
            Finite; a tensor is clustered on its own device.
        y : None
            Not used.
        sample_weight : array or Tensor of shape (n,), optional
            How often each vector counts, at least 0; None: once.

        Raises
        ------
        ValueError
            If there are fewer non-zero vectors than clusters, or a parameter or value is out of range.
        """
        rows = self._rows(X, sample_weight, reset=True)
        for name in ("n_clusters", "n_init", "max_iter"):
            check_integer(name, getattr(self, name), minimum=1)
        check_number("tol", self.tol, minimum=0)
        if isinstance(self.init, str):
            check_choice("init", self.init, ("k-means++",))
        if self.sample_size not in (None, "auto"):
            check_integer("sample_size", self.sample_size, minimum=1)
        live = rows.live()
        if self.n_clusters > len(live):
            raise ValueError(
                f"n_clusters={self.n_clusters} is more than the {len(live)} non-zero vectors "
                f"(n_samples={len(rows.data)}) in X; ask for fewer clusters or give more vectors"
            )
        random = check_random_state(self.random_state)
        sample = self._sample(live, random)
        centers, last, self.n_iter_ = self._best(rows if sample is None else rows.at(sample), random)
        if sample is not None:
            centers, last, more = self._run(rows, centers, most=_FINISH)
            self.n_iter_ += more
        return self._settle(centers, last, X)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Move the centres toward one more batch; the first batch is fitted.

        Each centre stays the direction of the sum of every unit vector it was given (MiniBatchKMeans, Sculley
        2010, with counts in place of learning rates).
        """
        if not hasattr(self, "sums_"):
            return self.fit(X, sample_weight=sample_weight)
        rows = self._rows(X, sample_weight, reset=False)
        centers = torch.as_tensor(self.cluster_centers_).to(rows.data)
        step = _look(rows, centers)
        step.sums += self.sums_.to(step.sums.device)
        return self._settle(_unit(step.sums, fallback=centers), step, X)

    def _settle(self, centers: Tensor, last: _Pass, like: Any) -> Self:
        self.cluster_centers_, self.labels_ = self._give(centers, like), self._give(last.labels, like)
        self.sums_, self.inertia_ = last.sums, last.inertia  # (partial_fit goes on from the sums)
        self._n_features_out = len(centers)
        return self

    def predict(self, X: Any) -> Any:
        """Index of the centre of largest cosine for each row: (n,), int64, of the kind of `X`."""
        data, centers = self._fitted(X)
        labels = torch.cat([(centers @ rows.t()).max(dim=0).indices for rows in data.split(_chunk(data))])
        return self._give(labels, X)

    def transform(self, X: Any) -> Any:
        """Distance 1 − cos of each row to each centre, 1 for a zero row: (n, K), of the kind of `X`."""
        data, centers = self._fitted(X)
        return self._give(1 - normalize(data, dim=1) @ centers.t(), X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """−Σ (1 − cos) over the non-zero rows of `X`, each as often as it counts: higher is better."""
        check_is_fitted(self, "cluster_centers_")
        rows = self._rows(X, sample_weight, reset=False)
        return -_look(rows, torch.as_tensor(self.cluster_centers_).to(rows.data)).inertia

    def _fitted(self, X: Any) -> tuple[Tensor, Tensor]:
        check_is_fitted(self, "cluster_centers_")
        data = self._tensor(X, reset=False)
        return data, torch.as_tensor(self.cluster_centers_).to(data)

    def _sample(self, live: Tensor, random: np.random.RandomState) -> Tensor | None:
        """Indices of the vectors that the runs see, in order, or None for all."""
        size = sample_limit(self.n_clusters) if self.sample_size == "auto" else self.sample_size
        if size is None or size >= len(live):
            return None
        if size < self.n_clusters:
            raise ValueError(f"sample_size={size} is less than n_clusters={self.n_clusters}; give more")
        chosen = np.sort(random.choice(len(live), size, replace=False))
        return live[torch.from_numpy(chosen).to(live.device)]

    def _best(self, rows: _Rows, random: np.random.RandomState) -> tuple[Tensor, _Pass, int]:
        """The best of the runs from different initialisations: centres, their last pass, iterations."""
        if not isinstance(self.init, str):
            return self._run(rows, self._given(rows.data))
        live, tries = rows.live(), range(self.n_init)
        runs = (self._run(rows, _plus_plus(rows, live, self.n_clusters, random)) for _ in tries)
        # Runs that reach the same optimum differ by rounding: the first stays, whatever the threads.
        return reduce(lambda a, b: b if b[1].inertia < a[1].inertia * (1 - _SAME) else a, runs)

    def _given(self, like: Tensor) -> Tensor:
        """The centres to begin with, from `init`."""
        expected = (self.n_clusters, like.shape[1])
        try:
            centers = torch.as_tensor(self.init).to(like)
        except (TypeError, ValueError, RuntimeError):  # (torch raises any of them for what is no array)
            centers = like.new_zeros(0)
        if centers.shape != expected or not bool((centers.isfinite().all(dim=1) & centers.any(dim=1)).all()):
            found = f"one of shape {tuple(centers.shape)}" if centers.numel() else f"{self.init!r:.60}"
            raise ValueError(
                f"init must be 'k-means++' or {expected[0]} finite non-zero centres, an array of shape "
                f"{expected}, got {found}"
            )
        return normalize(centers, dim=1)

    def _run(self, rows: _Rows, centers: Tensor, most: int | None = None) -> tuple[Tensor, _Pass, int]:
        """Lloyd's iterations from given centres → centres, the pass that scored them, iterations."""
        iteration, step = 0, None
        while iteration < (self.max_iter if most is None else most):
            iteration += 1
            step = _look(rows, centers, step)
            moved = _reseed(rows, step, _unit(step.sums, fallback=centers))
            shift = (moved - centers).norm(dim=1).max()
            centers = moved
            if shift <= self.tol:
                break
        return centers, _look(rows, centers, step), iteration

    def _rows(self, X: Any, sample_weight: Any, *, reset: bool) -> _Rows:
        data = self._tensor(X, reset=reset)
        if sample_weight is None:
            return _Rows.of(data)
        given = sample_weight.cpu() if isinstance(sample_weight, Tensor) else sample_weight
        weights = _check_sample_weight(given, X, ensure_non_negative=True)
        return _Rows.of(data, torch.from_numpy(weights).to(data))

    def _tensor(self, X: Any, *, reset: bool) -> Tensor:
        if not isinstance(X, Tensor):
            checked = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32])
            return torch.from_numpy(np.require(checked, requirements=["C", "W"]))
        if X.ndim != 2 or not X.is_floating_point() or len(X) == 0:
            found = f"{X.dtype} {tuple(X.shape)}"
            raise ValueError(f"X must be a float tensor of shape (n, C) with n ≥ 1, got {found}")
        # (a finite sum has no others in it, and is found without a mask of the size of X)
        if not bool(X.detach().sum().isfinite()) and not bool(torch.isfinite(X).all()):
            raise ValueError("X holds NaN or infinite values; remove them before clustering")
        if reset:
            self.n_features_in_ = X.shape[1]
        elif X.shape[1] != self.n_features_in_:
            expected = f"{type(self).__name__} is expecting {self.n_features_in_}"
            raise ValueError(f"X has {X.shape[1]} features, but {expected}")
        # sums of half-precision vectors would not be worth having
        return X.detach().to(torch.promote_types(X.dtype, torch.float32))

    def _give(self, result: Tensor, like: Any) -> Any:
        return result if isinstance(like, Tensor) else result.cpu().numpy()


def _wide(values: Tensor) -> Tensor:
    """In float64, on the CPU where the device (Apple's) has no float64."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _chunk(data: Tensor) -> int:
    return _CHUNK if data.device.type == "cpu" else _CHUNK_ELSEWHERE


def _unit(sums: Tensor, *, fallback: Tensor) -> Tensor:
    """Directions of `sums`; where a sum is zero (an empty cluster) the fallback's row."""
    norms = sums.norm(dim=1, keepdim=True)
    directions = (sums / norms.clamp_min(1e-300)).to(fallback.dtype).to(fallback.device)
    return torch.where(norms.to(fallback.device) > 0, directions, fallback)


def _look(rows: _Rows, centers: Tensor, before: _Pass | None = None) -> _Pass:
    """Assign every row and add up what the next centres need, a chunk at a time; after a pass `before` only
    what changed sides is added and taken away, unless that is much.
    """
    labels, cosines = _assign(rows, centers)
    changed = rows.live() if before is None else (before.labels != labels).nonzero()[:, 0]
    if 4 * len(changed) > len(labels):
        before = None
    sums = _wide(torch.zeros_like(centers)) if before is None else before.sums.clone()
    for index in rows.chunks() if before is None else changed.split(_chunk(rows.data)):
        some = rows.at(index)
        weights = _weights(labels[index], some, len(centers))
        if before is not None:
            weights -= _weights(before.labels[index], some, len(centers))
        sums += _wide(weights @ some.data)
    counts = torch.bincount(labels[rows.inverse > 0], minlength=len(centers))
    sums[(counts == 0).to(sums.device)] = 0  # not what rounding leaves of a difference
    return _Pass(labels, cosines, rows.weights, sums, counts)


def _assign(rows: _Rows, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the centre of largest cosine for each row, and that cosine, infinite for a zero row."""
    # (this way round the product of a narrow and a tall matrix is faster)
    found = [(centers @ data.t()).max(dim=0) for data in rows.data.split(_chunk(rows.data))]
    best, labels = map(torch.cat, zip(*found, strict=True))
    return labels, torch.where(rows.inverse > 0, best * rows.inverse, torch.inf)


def _weights(labels: Tensor, rows: _Rows, count: int) -> Tensor:
    """Weight / norm of each row in the place of its cluster: (K, rows)."""
    found = rows.inverse * rows.weights
    return found.new_zeros(count, len(labels)).scatter_(0, labels[None], found[None])


def _reseed(rows: _Rows, step: _Pass, centers: Tensor) -> Tensor:
    """Put the centre of each empty cluster on one of the worst-fitted vectors."""
    empty = (step.counts == 0).nonzero()[:, 0]
    if len(empty):
        worst = step.cosines.topk(min(len(empty), len(step.cosines)), largest=False).indices
        centers = centers.clone()
        centers[empty] = rows.unit(worst)
    return centers


def _plus_plus(rows: _Rows, live: Tensor, count: int, random: np.random.RandomState) -> Tensor:
    """k-means++ (Arthur & Vassilvitskii 2007) in cosine distance, each centre the best of a few draws."""
    trials = 2 + int(np.log(count))
    first = rows.unit(live[random.randint(len(live))][None])
    centers, distance = [first], _cosine_distance(rows, first)[0]
    for _ in range(count - 1):
        # Fewer distinct directions than clusters: any vector will do, the cluster stays a duplicate.
        total = float(distance.sum())
        weights = (distance if total > 0 else (rows.inverse > 0).to(distance)).cumsum(0)
        drawn = torch.from_numpy(random.random_sample(trials)).to(weights) * weights[-1]
        # (the first place where the sum passes the draw is never one where it stands still, at a zero vector)
        picks = torch.searchsorted(weights, drawn, right=True).to(live.device)
        candidates = rows.unit(picks.clamp(max=int(live[-1])))
        reached = torch.minimum(_cosine_distance(rows, candidates), distance)
        best = int(reached.sum(dim=1).argmin())
        centers.append(candidates[best : best + 1])
        distance = reached[best]
    return torch.cat(centers)


def _cosine_distance(rows: _Rows, directions: Tensor) -> Tensor:
    """1 − cos of each direction with each row, as often as that counts, at least 0: (directions, n), float64;
    0 with what takes no part.
    """
    parts = []
    for part in map(rows.at, rows.chunks()):
        distance = (1 - _wide(directions @ part.data.t()) * _wide(part.inverse)).clamp_min(0)
        parts.append(distance * _wide(part.weights))
    return torch.cat(parts, dim=1)
