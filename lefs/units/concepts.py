"""What a pixel shows: from a segmenter that looks at images, or from a catalog that looks at activations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from lefs.catalog import Catalog
from lefs.checks import check_name
from lefs.evaluation import Segmenter
from lefs.factorization import by_side, memberships
from lefs.generator import Generator
from lefs.synthesis import Cache, Hook

__all__ = ["Concepts", "Judge", "keeping"]

#: Says what each pixel shows: images → labels, or a catalog, whose parts are then the concepts
Judge = Segmenter | Catalog

# Cosines differ by a few tenths between clusters; this makes log-odds of them.
_SHARPNESS = 20.0
_ELSEWHERE = 100.0  # less than any cosine so made steep: on the other side of a rule of position


class Concepts:
    """Labels of a generator's images, also after an intervention on the way to them.

    Parameters
    ----------
    generator : Generator
    segmenter : Segmenter or Catalog
        With a catalog of this generator the concepts are its parts, read off the activations of its layer, so
        that only interventions up to that layer are seen.

    Attributes
    ----------
    names : tuple of str
        The concepts, in the order of the labels; empty for a segmenter without ``.names``, whose label 3 is
        called ``"label 3"``.
    """

    def __init__(self, generator: Generator, segmenter: Judge):
        self.generator, self.segmenter = generator, segmenter
        self.names: tuple[str, ...] = ()
        if isinstance(segmenter, Catalog):
            segmenter.check_generator(generator)
            self.names = tuple(segmenter.parts)
        elif callable(segmenter):
            self.names = tuple(str(n) for n in getattr(segmenter, "names", ()))
        else:
            raise TypeError(
                "segmenter must be a function of images (N, 3, H, W) that returns labels (N, H, W), or a "
                f"Catalog; got {type(segmenter).__name__}"
            )

    def index(self, concept: str) -> int:
        """The label of a concept; a ValueError lists those there are."""
        numbered = re.fullmatch(r"label (\d+)", str(concept))
        if not self.names and numbered:
            return int(numbered[1])
        return self.names.index(check_name("concept", concept, self.names or ["label 0"], what="concept"))

    def name(self, label: int) -> str:
        """The concept that a label stands for."""
        return self.names[label] if self.names else f"label {label}"

    def sees(self, layer: str) -> bool:
        """Whether interventions at this layer can be seen: by a catalog, up to the layer that it reads."""
        names = [la.name for la in self.generator.layers]
        own = self.segmenter.columns.names[-1] if isinstance(self.segmenter, Catalog) else names[-1]
        return names.index(self.generator.layer(layer).name) <= names.index(own)

    def check_layer(self, layer: str) -> None:
        """Raise a ValueError if interventions at this layer could not be seen."""
        if isinstance(self.segmenter, Catalog) and not self.sees(layer):
            raise ValueError(
                f"layer {layer!r} comes after {self.segmenter.layer!r}, where the catalog's parts are read, "
                "so that nothing would be seen; choose an earlier layer, or give a segmenter"
            )

    def look(
        self, styles: Tensor, edits: Mapping[str, Hook] | None = None, *, cache: Cache | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images of styles (or latents), with `edits` done on the way, and their labels.

        Returns
        -------
        images of shape (N, 3, H, W) and labels of shape (N, H, W), int64
        """
        with torch.inference_mode():
            images, maps = self._run(styles, edits or {}, cache)
            if isinstance(self.segmenter, Catalog):
                return images, _owners(self.segmenter, maps, images.shape[-2:])
            return images, _checked(self.segmenter(images), images, len(self.names))

    def logits(self, styles: Tensor, edits: Mapping[str, Hook], *, cache: Cache | None = None) -> Tensor:
        """Log-odds (N, P, H, W) of each concept at each pixel, through which gradients reach the edits.

        Of a catalog they are cosines with its centres, made steep; of soft parts, whose factors see what is
        positive only, cosines of that.

        Raises
        ------
        TypeError
            If the segmenter has no method ``logits``.
        """
        found: Callable[[Tensor], Tensor] | None = getattr(self.segmenter, "logits", None)
        if isinstance(self.segmenter, Catalog):
            images, maps = self._run(styles, edits, cache)
            centers = self.segmenter.centers.to(maps)
            maps = maps.clamp_min(0) if self.segmenter.method == "nmf" else maps
            cosines = torch.einsum("nchw,kc->nkhw", normalize(maps, dim=1), centers) * _SHARPNESS
            if self.segmenter.sides:
                there = by_side(torch.ones_like(cosines[:1]), self.segmenter.sides) > 0
                cosines = cosines.where(there, -_ELSEWHERE)
            by_part = [cosines[:, list(ks)].logsumexp(dim=1) for ks in self.segmenter.parts.values()]
            return interpolate(torch.stack(by_part, dim=1), size=images.shape[-2:])
        if found is None:
            raise TypeError(
                "segmenter has no method logits(images) → (N, P, H, W), which an optimisation needs; wrap "
                "the model with lefs.segmenters, or rank the units by IoU instead"
            )
        return found(self.generator.walk(styles, edits, cache=cache))

    def _run(self, styles: Tensor, edits: Mapping[str, Hook], cache: Cache | None) -> tuple[Tensor, Tensor]:
        """Images, and the maps inside the picture that a catalog reads its parts from."""
        if not isinstance(self.segmenter, Catalog):
            return self.generator.walk(styles, edits, cache=cache), styles
        columns, seen = self.segmenter.columns, dict[str, Tensor]()
        images = self.generator.walk(styles, keeping(seen, columns.names, edits), cache=cache)
        return images, columns.join(seen)


def keeping(
    found: dict[str, Tensor], layers: Iterable[str], edits: Mapping[str, Hook] | None = None
) -> dict[str, Hook]:
    """Hooks that put the maps of some layers, as `edits` leave them, into `found`; and those edits."""
    given = dict(edits or {})

    def keep(maps: Tensor, *, name: str) -> Tensor:
        changed = given[name](maps) if name in given else None
        found[name] = maps if changed is None else changed
        return found[name]

    return {**given, **{name: partial(keep, name=name) for name in layers}}


def _owners(catalog: Catalog, maps: Tensor, size: torch.Size) -> Tensor:
    """The part of largest membership at each pixel, as `Catalog.part_masks` tells it: (N, H, W)."""
    by_part = catalog.by_part(memberships(maps, catalog.centers, catalog.method, catalog.sides))
    owner = by_part.argmax(dim=1, keepdim=True).float()
    return interpolate(owner, size=tuple(size), mode="nearest")[:, 0].long()


def _checked(labels: Tensor, images: Tensor, count: int) -> Tensor:
    shape = (len(images), *images.shape[-2:])
    if not isinstance(labels, Tensor) or labels.is_floating_point() or tuple(labels.shape) != shape:
        found = f"{getattr(labels, 'dtype', type(labels).__name__)} {tuple(getattr(labels, 'shape', ()))}"
        raise ValueError(f"segmenter must return integer labels of shape {shape}, got {found}")
    low, high = (int(v) for v in labels.aminmax())
    if low < 0 or (count and high >= count):
        wanted = f"from 0 to {count - 1}, one for each of its names" if count else "at least 0"
        raise ValueError(f"segmenter must return labels {wanted}; got {low} to {high}")
    return labels
