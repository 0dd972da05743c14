"""Quantiles of a stream of numbers in constant memory, with a stated bound on the error."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lefs.checks import check_integer, check_number

__all__ = ["QuantileSketch"]


class QuantileSketch:
    """Quantiles of many streams at once, by histograms with bins of equal relative width.

    The DDSketch of Masson, Rim and Lee (VLDB 2019) with all its bins laid out: a value x > 0 falls into bin
    ⌈log_γ x⌉, γ = (1 + α) / (1 − α). Its memory does not grow with the stream; neither order nor batches
    matter.

    Parameters
    ----------
    rows : int
        Number of streams.
    relative_error : float in (0, 0.5]
        α.

    Attributes
    ----------
    smallest, largest : float
        The magnitudes between which α holds; what is smaller counts as 0, what is larger as `largest`.
    counts : Tensor of shape (rows, bins), int64, on the CPU

    Examples
    --------
    >>> import torch
    >>> from lefs.units.quantiles import QuantileSketch
    >>> sketch = QuantileSketch(1, relative_error=0.01)
    >>> sketch.add(torch.arange(1.0, 1001.0)[None])
    >>> bool((sketch.quantile(0.99) - 990).abs() < 0.01 * 990)
    True
    """

    smallest, largest = 1e-4, 1e5

    def __init__(self, rows: int, *, relative_error: float = 0.005):
        check_integer("rows", rows, minimum=1)
        self.relative_error = check_number("relative_error", relative_error, minimum=1e-5, maximum=0.5)
        self._width = math.log1p(self.relative_error) - math.log1p(-self.relative_error)
        self._first = math.ceil(math.log(self.smallest) / self._width)
        self._side = math.ceil(math.log(self.largest) / self._width) - self._first + 1
        # negative values, largest magnitude first; zero; positive values
        self.counts = torch.zeros(rows, 2 * self._side + 1, dtype=torch.int64)

    def add(self, values: Tensor) -> None:
        """Take in more of each stream.

        Parameters
        ----------
        values : Tensor of shape (rows, n)
            On any device.

        Raises
        ------
        ValueError
            If one is NaN or infinite.
        """
        rows, bins = self.counts.shape
        if values.ndim != 2 or len(values) != rows:
            raise ValueError(f"values must have shape ({rows}, n), got {tuple(values.shape)}")
        values = values.detach().to(torch.promote_types(values.dtype, torch.float32))
        if not bool(torch.isfinite(values).all()):
            raise ValueError("values must be finite; some are NaN or infinite")
        size = values.abs()
        steps = size.clamp(self.smallest, self.largest).log_().div_(self._width).ceil_()
        place = (steps - (self._first - 1)).clamp_(1, self._side)
        index = (self._side + torch.where(size < self.smallest, 0.0, place * values.sign())).long()
        offset = torch.arange(rows, device=values.device)[:, None] * bins
        seen = torch.bincount((index + offset).flatten(), minlength=rows * bins)
        self.counts += seen.view(rows, bins).cpu()

    def quantile(self, q: float) -> Tensor:
        """The q-quantile of each stream.

        Parameters
        ----------
        q : float in [0, 1]

        Returns
        -------
        Tensor of shape (rows,), float64
            Within `relative_error` (and the rounding of float32) of the order statistic that
            ``numpy.quantile(..., method="lower")`` gives.

        Raises
        ------
        ValueError
            If nothing has been added.
        """
        check_number("q", q, minimum=0, maximum=1)
        total = self.counts.sum(dim=1)
        if not bool((total > 0).all()):
            raise ValueError("nothing has been added yet: call add(values) before quantile")
        rank = torch.floor(q * (total - 1).double()).long()
        index = (self.counts.cumsum(dim=1) <= rank[:, None]).sum(dim=1) - self._side
        # γ^i (1 − α) is as far, relatively, from one end of bin i as from the other
        exponent = index.abs() + (self._first - 1)
        middle = torch.exp(exponent.double() * self._width) * (1 - self.relative_error)
        return torch.where(index == 0, 0.0, middle * index.sign())
