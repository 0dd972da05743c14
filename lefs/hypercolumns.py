"""What is clustered: the activation vectors of one layer, or of several joined, position by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from lefs.checks import check_name
from lefs.generators import Generator, StyleLayer

__all__ = ["Hypercolumns"]


@dataclass(frozen=True)
class Hypercolumns:
    """The vectors over each position of the picture: of one layer, or of several (Hariharan et al., 2015).

    Of several layers, ``"b64.conv0+b64.conv1"``, the coarser maps are enlarged to the finest (bilinearly),
    and each layer's vector has its length taken away before they are joined, so that none outweighs the
    others: the cosine of two joined vectors is the mean of the layers' cosines. Coarse layers know better
    what a position belongs to, fine ones where it ends.

    Attributes
    ----------
    layers : the layers, in the generator's order
    """

    layers: tuple[StyleLayer, ...]

    @classmethod
    def of(cls, name: str, layers: Sequence[StyleLayer]) -> Hypercolumns:
        """Those of a layer of the table `layers`, or of several whose names are joined by ``+``.

        Raises
        ------
        KeyError
            For a name that the table does not have; it lists those there are.
        ValueError
            For a layer that is named twice.
        """
        table = {layer.name: layer for layer in layers}
        names = [check_name("layer", one.strip(), table, what="style layer") for one in str(name).split("+")]
        if len(set(names)) < len(names):
            raise ValueError(f"layer must name each layer once, got {name!r}")
        return cls(tuple(layer for layer in layers if layer.name in names))

    @property
    def name(self) -> str:
        """The layers' names, joined by ``+``."""
        return "+".join(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names."""
        return tuple(layer.name for layer in self.layers)

    @property
    def channels(self) -> int:
        """C, of all layers together."""
        return sum(layer.channels for layer in self.layers)

    @property
    def side(self) -> int:
        """Positions across the picture: those of the finest layer, without its margin."""
        return max(layer.resolution - 2 * layer.margin for layer in self.layers)

    def join(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The vectors, inside the picture, from the layers' maps by name: (N, C, side, side).

        Those of a single layer are its own; joined ones are float32 or wider, each layer's of unit norm
        (zero where it is silent).
        """
        inside = [layer.inside(maps[layer.name]) for layer in self.layers]
        return inside[0] if len(inside) == 1 else torch.cat([self._unit(x) for x in inside], dim=1)

    def _unit(self, maps: Tensor) -> Tensor:
        wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
        if wide.shape[-1] != self.side:
            wide = interpolate(wide, size=(self.side, self.side), mode="bilinear", align_corners=False)
        return normalize(wide, dim=1)

    def read(self, generator: Generator, styles: Tensor) -> Tensor:
        """The vectors of these styles' images: (N, C, side, side)."""
        return self.join(generator.record(styles, self.names))
