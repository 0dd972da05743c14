"""The query for given pairs: what moving each channel would change inside a part and outside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lefs.checks import check_counts, check_number
from lefs.generators.base import StyleLayer
from lefs.query import pair_query, predicted_change

__all__ = ["PartEffects", "channel_gates"]

_LEVELS = 127.5  # 8-bit levels in one unit of an image in [-1, 1]


@dataclass(frozen=True, eq=False)
class PartEffects:
    """What every style channel does to a part and to the rest of the image.

    Image change is told in squared 8-bit levels: the mean over pixels and colours of the squared change of
    an image in 0 to 255, as in the PSNR. It is a prediction to first order in each channel, as if channels
    acted independently.

    Attributes
    ----------
    inside, outside : Tensor of shape (S,), float64
        E of `lefs.effects`, summed over the part's clusters and over the others.
    values_outside : float
        How many numbers (pixels × colours) of an image lie outside the part, on average.
    """

    inside: Tensor
    outside: Tensor
    values_outside: float

    @classmethod
    def of(
        cls, effects: Tensor, clusters: Sequence[int], sizes: Tensor, layers: Sequence[StyleLayer]
    ) -> PartEffects:
        """The effects (K, S) of a catalog on the part of these clusters, whose `sizes` (K,) share out the
        pixels of the finest of the `layers`.
        """
        rest = [k for k in range(len(effects)) if k not in clusters]
        side = max(layer.resolution - 2 * layer.margin for layer in layers)
        share = float(sizes[rest].sum()) / max(1.0, float(sizes.sum()))
        return cls(effects[list(clusters)].sum(dim=0), effects[rest].sum(dim=0), share * 3 * side**2)

    def query(
        self, target_styles: Tensor, reference_styles: Tensor, *, leak: float, rho: float, gate: Tensor
    ) -> Tensor:
        """Which channels to move: (N, S), float32 in [0, 1]; `Catalog.pair_query` explains the options.

        Parameters
        ----------
        target_styles, reference_styles : Tensor of shape (N, S), or (1, S) for one against many
        gate : Tensor of shape (S,), what multiplies the worth of each channel
        """
        leak = check_number("leak", leak, minimum=0, finite=False)
        difference = self._difference(target_styles, reference_styles)
        # (without anything outside, nothing can leak)
        budget = leak * self.values_outside / _LEVELS**2 if self.values_outside else 0.0
        return pair_query(difference, self.inside, self.outside, epsilon=budget, rho=rho, gate=gate)

    def predicted_leak(self, q: Tensor, target_styles: Tensor, reference_styles: Tensor) -> Tensor:
        """The mean squared change outside the part that an edit is predicted to make: (N,), float64."""
        change = predicted_change(q, self._difference(target_styles, reference_styles), self.outside)
        return change * _LEVELS**2 / max(1.0, self.values_outside)

    def _difference(self, target_styles: Tensor, reference_styles: Tensor) -> Tensor:
        count = len(self.inside)
        for name, styles in (("target_styles", target_styles), ("reference_styles", reference_styles)):
            if styles.ndim != 2 or styles.shape[1] != count:
                raise ValueError(f"{name} must have shape (N, {count}), got {tuple(styles.shape)}")
        check_counts(target_styles=target_styles, reference_styles=reference_styles)
        return (reference_styles - target_styles).float()


def channel_gates(
    gates: Sequence[float], layers: Sequence[StyleLayer], count: int, *, shifts: bool
) -> Tensor:
    """One number for each layer → one for each style: (S,) float64, 0 for what belongs to no layer.

    Parameters
    ----------
    gates : L numbers
    count : S
    shifts : whether a layer's shifts get its number too, or 0
    """
    found = torch.zeros(count, dtype=torch.float64)
    for layer, value in zip(layers, gates, strict=True):
        found[layer.slice] = value
        if shifts and layer.shift is not None:
            found[layer.shift] = value
    return found
