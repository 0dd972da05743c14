"""What a generator does inside: the activation vectors over each position of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from lefs.checks import check_integer, check_name
from lefs.generator import Generator
from lefs.images import of_height
from lefs.stylespace import StyleLayer
from lefs.workers import Sample
from lefs.workers.samples import Batch

__all__ = ["Hypercolumns", "collect", "vector_count"]


@dataclass(frozen=True)
class Hypercolumns:
    """The vectors over each position of the picture: of one layer, or of several (Hariharan et al., 2015).

    Of several layers, ``"b64.conv0+b64.conv1"``, the coarser maps are enlarged to the finest (bilinearly),
    and each layer's vector has its length taken away before they are joined, so that none outweighs the
    others: the cosine of two joined vectors is the mean of the layers' cosines. Coarse layers know better
    what a position belongs to, fine ones where it ends.

    Attributes
    ----------
    layers : tuple of StyleLayer
        In the generator's order.
    """

    layers: tuple[StyleLayer, ...]

    @classmethod
    def of(cls, name: str, layers: Sequence[StyleLayer]) -> Hypercolumns:
        """Those of a layer of the table `layers`, or of several whose names are joined by ``+``.

        Raises
        ------
        ValueError
            For a name that the table does not have (those it has are listed), or one that is named twice.
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
        """Positions down the picture: those of the finest layer, without its margin."""
        return max(layer.side for layer in self.layers)

    @property
    def positions(self) -> int:
        """How many vectors there are in one picture."""
        return max(layer.side * layer.width for layer in self.layers)

    def join(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The vectors, inside the picture, from the layers' maps by name: (N, C, side, side).

        Those of a single layer are its own; joined ones are float32 or wider, each layer's of unit norm
        (zero where it is silent).
        """
        inside = [layer.inside(maps[layer.name]) for layer in self.layers]
        return inside[0] if len(inside) == 1 else torch.cat([self._unit(x) for x in inside], dim=1)

    def _unit(self, maps: Tensor) -> Tensor:
        wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
        if wide.shape[-2] != self.side:
            size = of_height(self.side, wide)
            wide = interpolate(wide, size=size, mode="bilinear", align_corners=False)
        return normalize(wide, dim=1)

    def read(self, generator: Generator, styles: Tensor) -> Tensor:
        """The vectors of these styles' images: (N, C, side, side)."""
        return self.join(generator.record(styles, self.names))


def collect(sample: Sample, layer: str, *, max_vectors: int, random_state: int = 0) -> Tensor:
    """Activation vectors of a layer, at positions inside the picture drawn once for all: (n, C).

    Of more than 1,024 images, that many are looked at, evenly spread.

    Parameters
    ----------
    sample : Sample
        The images.
    layer : str
        Its name, or several names joined by ``+`` (`Hypercolumns`).
    max_vectors : int
        Most vectors; one for each image at least.
    random_state : int
        Seeds the positions.

    Examples
    --------
    >>> import lefs
    >>> sample = lefs.workers.Sample(lefs.load("portraits-64"), range(4), progress=False)
    >>> lefs.activations.collect(sample, "b16.conv1", max_vectors=100).shape[0]
    100
    """
    per_image, found, start = _per_image(sample, layer, max_vectors), torch.empty(0), 0
    job = partial(_vectors, layer=layer, per_image=per_image, random_state=random_state)
    for (rows,) in sample.each(job, f"activations of {layer}", sample.spread):
        if not start:  # filled as they come: two copies are never held
            shape = per_image * len(sample.spread), rows.shape[1]
            found = rows.new_empty(shape, device=sample.generator.device)
        found[start : start + len(rows)] = rows
        start += len(rows)
    return found


def vector_count(sample: Sample, layer: str, max_vectors: int) -> int:
    """How many vectors `collect` gives: `max_vectors`, or all there are in the images that it looks at if
    those are fewer; one per image at least.
    """
    return _per_image(sample, layer, max_vectors) * len(sample.spread)


def _per_image(sample: Sample, layer: str, max_vectors: int) -> int:
    check_integer("max_vectors", max_vectors, minimum=1)
    positions = Hypercolumns.of(layer, sample.generator.layers).positions
    return max(1, min(positions, max_vectors // len(sample.spread)))


def _vectors(
    generator: Generator, styles: Tensor, chunk: Batch, *, layer: str, per_image: int, random_state: int
) -> tuple[Tensor]:
    """Activation vectors at random positions; which ones depends on the image alone, not on its batch."""
    with torch.inference_mode():
        maps = Hypercolumns.of(layer, generator.layers).read(generator, styles)
    maps_nlc = maps.flatten(2).movedim(1, 2)
    rows = []
    for (i, _), vectors_lc in zip(chunk, maps_nlc, strict=True):
        if per_image < len(vectors_lc):
            random = np.random.default_rng([random_state, i])
            chosen = np.sort(random.choice(len(vectors_lc), per_image, replace=False))
            vectors_lc = vectors_lc[torch.from_numpy(chosen).to(vectors_lc.device)]
        rows.append(vectors_lc)
    # A clone made outside inference mode is an ordinary tensor; half precision is too little to cluster.
    vectors = torch.cat(rows).clone()
    return (vectors.to(torch.promote_types(vectors.dtype, torch.float32)),)
