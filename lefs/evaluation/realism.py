"""Do edits still look like the generator's own pictures? Fréchet and kernel distances, whole and local."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from lefs.evaluation.intervals import bootstrap
from lefs.showing import Shown

__all__ = ["Features", "Realism", "frechet_distance", "kernel_terms", "off_diagonal", "pooled"]

# images (N, 3, H, W) in [-1, 1] → maps (N, C, h, w), several of them, or vectors (N, D)
Features = Callable[[Tensor], Tensor | Sequence[Tensor]]


def pooled(features: Tensor | Sequence[Tensor], mask: Tensor | None = None) -> Tensor:
    """One vector for each image: the mean over the positions of every map.

    Parameters
    ----------
    features : Tensor of shape (N, C, h, w) or (N, D), or several of them
        Those without positions stay as they are.
    mask : Tensor of shape (N, H, W), bool, optional
        Only positions inside it count, in proportion to how much of each lies inside.

    Returns
    -------
    Tensor of shape (N, D), float32, on the CPU

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import pooled
    >>> pooled([torch.ones(2, 3, 4, 4), torch.zeros(2, 5)]).shape
    torch.Size([2, 8])
    """
    rows = []
    for maps in [features] if isinstance(features, Tensor) else features:
        if maps.ndim == 4 and mask is not None:
            weights = adaptive_avg_pool2d(mask[:, None].to(maps), (maps.shape[-2], maps.shape[-1]))
            maps = (maps * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3))
        rows.append(maps.mean(dim=(2, 3)) if maps.ndim == 4 else maps)
    return torch.cat(rows, dim=1).float().cpu()


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of two samples (Heusel et al. 2017): |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½).

    It is biased upward in small samples, so compare equal numbers.

    Parameters
    ----------
    first : ndarray of shape (N, D)
    second : ndarray of shape (M, D)

    Returns
    -------
    float, at least 0

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import frechet_distance
    >>> sample = np.array([[0.0], [1.0], [2.0]])
    >>> frechet_distance(sample, sample + 3)
    9.0
    """
    shift = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    one, two = (np.atleast_2d(np.cov(s, rowvar=False, dtype=np.float64)) for s in (first, second))
    roots = np.sqrt(np.linalg.eigvals(one @ two).astype(complex)).real.sum()
    return max(0.0, float(shift @ shift + np.trace(one + two) - 2 * roots))


def kernel_terms(edited: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What each two of the pairs (xᵢ, yᵢ) add to the kernel distance of x and y.

    h = k(xᵢ, xⱼ) + k(yᵢ, yⱼ) − k(xᵢ, yⱼ) − k(xⱼ, yᵢ), with the kernel k(x, y) = (x·y / D + 1)³ of KID
    (Bińkowski et al. 2018). Its mean over i ≠ j is the squared maximum mean discrepancy, unbiased also where
    yᵢ depends on xᵢ, as an edit on its target (Gretton et al. 2012, Lemma 6): 0 where all xᵢ = yᵢ.

    Parameters
    ----------
    edited, others : ndarray of shape (n, D)
        x and y.

    Returns
    -------
    ndarray of shape (n, n), float64

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import kernel_terms
    >>> kernel_terms(np.array([[0.0], [1.0]]), np.array([[0.0], [0.0]]))
    array([[0., 0.],
           [0., 7.]])
    """
    if edited.ndim != 2 or edited.shape != others.shape:
        shapes = f"{edited.shape} and {others.shape}"
        raise ValueError(f"edited and others must have the same shape (n, D); got {shapes}")
    x, y = edited.astype(np.float64), others.astype(np.float64)
    same, across = (sum((a @ b.T / x.shape[1] + 1) ** 3 for a, b in s) for s in ([(x, x), (y, y)], [(x, y)]))
    return np.asarray(same - across - across.T)


def off_diagonal(counts: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Mean over i ≠ j of the terms (n, n) in each resample; a statistic for `bootstrap`: (R,)."""
    own = terms - np.diag(np.diag(terms))
    above, below = ((counts @ own) * counts).sum(axis=1), counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
    return np.divide(above, below, out=np.full(len(counts), np.nan), where=below > 0)


@dataclass(frozen=True, eq=False, repr=False)
class Realism(Shown):
    """Features of edited images, and of what they are held against.

    Attributes
    ----------
    part, method : str
        What was edited, and how; no part for unedited images.
    index : ndarray of shape (n,), int64
        Which of all pairs.
    edited, others : ndarray of shape (n, D)
        Of whole pictures: edited ones, and as many unedited ones of other seeds.
    around, before : ndarray of shape (n, D)
        Around the part: of the edits, and of their targets.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Realism
    >>> sample = np.random.default_rng(0).normal(size=(20, 4))
    >>> found = Realism("hair", "mine", np.arange(20), sample, sample, sample, sample)
    >>> round(found.frechet, 6), round(float(found.local(20)[0]), 6)
    (0.0, 0.0)
    """

    part: str
    method: str
    index: np.ndarray
    edited: np.ndarray
    others: np.ndarray
    around: np.ndarray
    before: np.ndarray

    @property
    def frechet(self) -> float:
        """Fréchet distance of whole pictures."""
        return frechet_distance(self.edited, self.others)

    def kernel(self, total: int) -> np.ndarray:
        """Kernel distance of whole pictures, and of its resamples over so many pairs: (1 + 2000,)."""
        return self._distance(self.edited, self.others, total)

    def local(self, total: int) -> np.ndarray:
        """Kernel distance around the part, and of its resamples over so many pairs: (1 + 2000,)."""
        return self._distance(self.around, self.before, total)

    def _distance(self, edited: np.ndarray, others: np.ndarray, total: int) -> np.ndarray:
        return bootstrap(off_diagonal, kernel_terms(edited, others), index=self.index, total=total)
