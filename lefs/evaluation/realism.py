"""Do edited images still look like the generator's own? Fréchet and kernel distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lefs.checks import check_integer
from lefs.evaluation.intervals import Estimate, estimate

__all__ = ["AsBytes", "Features", "Realism", "RealismMeter", "in_mask", "pooled"]

# images (N, 3, H, W) in [-1, 1] → maps (N, C, h, w), several of them, or vectors (N, D)
Features = Callable[[Tensor], Tensor | Sequence[Tensor]]


class AsBytes(nn.Module):
    """Gives images in [-1, 1] to an extractor that wants bytes, such as the Inception network of
    ``torchmetrics.image.fid.NoTrainInceptionV3`` (which needs torch-fidelity and its weights).

    Parameters
    ----------
    extractor : Module
        Images (N, 3, H, W), uint8 → vectors (N, D).

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import AsBytes
    >>> AsBytes(torch.nn.Flatten())(torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 3, 1, 1)).tolist()
    [[0, 128, 255]]
    """

    def __init__(self, extractor: nn.Module):
        super().__init__()
        self.extractor = extractor

    def forward(self, images: Tensor) -> Tensor:
        """Images in [-1, 1], clamped and rounded to bytes → vectors (N, D)."""
        levels = images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
        found: Tensor = self.extractor(levels)
        return found


def pooled(features: Tensor | Sequence[Tensor]) -> Tensor:
    """One vector for each image: the mean over the positions of every map.

    Parameters
    ----------
    features : Tensor of shape (N, C, h, w) or (N, D), or several of them

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
    rows = [f.mean(dim=(2, 3)) if f.ndim == 4 else f for f in _several(features)]
    return torch.cat(rows, dim=1).float().cpu()


def in_mask(features: Tensor | Sequence[Tensor], mask: Tensor) -> Tensor | None:
    """The same over the positions inside a mask (N, H, W), in proportion to how much of each lies inside;
    None for features without positions.
    """
    rows = []
    for maps in _several(features):
        if maps.ndim != 4:
            return None
        weights = torch.nn.functional.adaptive_avg_pool2d(mask[:, None].to(maps), maps.shape[-1])
        rows.append((maps * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3)))
    return torch.cat(rows, dim=1).float().cpu()


def _several(features: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [features] if isinstance(features, Tensor) else features


@dataclass(frozen=True, eq=False)
class Realism:
    """How far edited images are from unedited ones.

    Attributes
    ----------
    part, method : str
        What was edited, and how; no part for unedited images.
    images : int
        How many on each side.
    frechet : float
        Fréchet distance (Heusel et al. 2017); biased upward in small samples, so compare equal numbers.
    kernel : ndarray of shape (b,)
        Squared maximum mean discrepancy of the kernel (x·y / D + 1)³ (KID, Bińkowski et al. 2018), unbiased,
        in each block of images.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Realism
    >>> Realism("hair", "mine", 200, 0.4, np.array([0.01, 0.03])).kernel_distance.value
    0.02
    """

    part: str
    method: str
    images: int
    frechet: float
    kernel: np.ndarray

    @property
    def kernel_distance(self) -> Estimate:
        """Mean over the blocks, with its bootstrap interval."""
        return estimate(self.kernel)


@dataclass(eq=False)
class RealismMeter:
    """Takes features of edited and of unedited images as they come; its memory does not grow with them.

    The kernel distance is the mean over blocks of a fixed number of images, which is what KID's random
    subsets are, with every image used once.

    Parameters
    ----------
    block : int
        Images of each side in a block.

    Attributes
    ----------
    images : int
        How many it has seen on each side.

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import RealismMeter
    >>> meter, vectors = RealismMeter(), torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    >>> meter.update(vectors, vectors)
    >>> round(meter.result().frechet, 6)
    0.0
    """

    block: int = 100
    _frechet: Any = None
    _waiting: tuple[Tensor, Tensor] | None = None
    _kernel: list[float] = field(default_factory=list)
    images: int = 0

    def __post_init__(self) -> None:
        check_integer("block", self.block, minimum=2)

    def update(self, edited: Tensor, unedited: Tensor) -> None:
        """Add as many vectors (n, D) of edited as of unedited images."""
        if edited.ndim != 2 or edited.shape != unedited.shape:
            raise ValueError(
                "edited and unedited must have the same shape (n, D); got "
                f"{tuple(edited.shape)} and {tuple(unedited.shape)}"
            )
        if self._frechet is None:
            self._frechet = _frechet_metric(edited.shape[1])
        self._frechet.update(unedited, real=True)
        self._frechet.update(edited, real=False)
        self.images += len(edited)
        before = self._waiting or (edited[:0], unedited[:0])
        self._waiting = torch.cat([before[0], edited]), torch.cat([before[1], unedited])
        while len(self._waiting[0]) >= self.block:
            self._close(self.block)

    def _close(self, count: int) -> None:
        assert self._waiting is not None
        from torchmetrics.image.kid import poly_mmd

        edited, unedited = (side[:count].double() for side in self._waiting)
        self._kernel.append(float(poly_mmd(unedited, edited)))
        self._waiting = self._waiting[0][count:], self._waiting[1][count:]

    def result(self, part: str = "", method: str = "") -> Realism:
        """What was measured; needs two images at least. A rest that fills no block counts only if it is all
        there is.
        """
        if self.images < 2:
            raise ValueError(f"realism needs two images on each side at least, got {self.images}")
        if not self._kernel:
            self._close(self.images)
        frechet = max(0.0, float(self._frechet.compute()))
        return Realism(part, method, self.images, frechet, np.array(self._kernel))


class _AsGiven(nn.Module):
    """For torchmetrics: what it is given are features already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _frechet_metric(width: int) -> Any:
    # imported when it is needed: it brings a plotting library along
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance(feature=_AsGiven(width)).set_dtype(torch.float64)
