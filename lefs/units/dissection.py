"""What the units of a generator stand for, as a record that can be saved: the result of `characterize`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from lefs.catalog import Sampling
from lefs.checks import check_integer, check_name, check_number
from lefs.generator import Generator, GeneratorId
from lefs.records import ArtifactError, file_sha256, load_tensors, read_json, save_tensors, write_json
from lefs.stylespace import StyleLayer
from lefs.tables import Table

__all__ = ["UnitDissection"]

_FORMAT = "lefs-units"
_VERSION = 1
_TENSORS = (
    "thresholds",
    "activated",
    "intersections",
    "concept_pixels",
    "levels",
    "frequency",
    "peaks",
    "peak_seeds",
)


@dataclass(frozen=True, eq=False)
class UnitDissection:
    """Units of several layers held against concepts (GAN Dissection, §3.1).

    U counts the units of all `layers` in order, P the concepts.

    Attributes
    ----------
    layers : the layers whose maps are the units
    concepts : P names
    quantile : the share of a unit's values that counts as active: the top ones
    thresholds : Tensor of shape (U,), float32, the value above which a unit is active
    activated : Tensor of shape (U,), int64, pixels of the sample where the unit's up-sampled map is active
    intersections : Tensor of shape (U, P), int64, those of them that show each concept
    concept_pixels : Tensor of shape (P,), int64, pixels of the sample that show each concept
    levels : Tensor of shape (U, P), float64, a unit's mean over the pixels of a concept; NaN if none
    frequency : Tensor of shape (P, h, w), float32, share of the images that show a concept at each pixel
    peaks, peak_seeds : Tensor of shape (U, k), float32 and int64, a unit's largest values, one an image,
        descending, and the seeds of those images
    generator, sampling : whose units they are, and from what sample
    """

    layers: tuple[StyleLayer, ...]
    concepts: tuple[str, ...]
    quantile: float
    thresholds: Tensor
    activated: Tensor
    intersections: Tensor
    concept_pixels: Tensor
    levels: Tensor
    frequency: Tensor
    peaks: Tensor
    peak_seeds: Tensor
    generator: GeneratorId
    sampling: Sampling
    version: int = _VERSION

    def __post_init__(self) -> None:
        u, p = self.num_units, len(self.concepts)
        k, *area = self.peaks.shape[-1], *self.frequency.shape[-2:]
        shapes = ((u,), (u,), (u, p), (p,), (u, p), (p, *area), (u, k), (u, k))
        for name, shape in zip(_TENSORS, shapes, strict=True):
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise ValueError(f"{name} must have shape {shape}, got {found}")

    @property
    def num_units(self) -> int:
        """U."""
        return sum(layer.channels for layer in self.layers)

    def __repr__(self) -> str:
        return (
            f"UnitDissection of {self.generator.label!r}: {self.num_units} units of {len(self.layers)} "
            f"layers, {len(self.concepts)} concepts, from {len(self.sampling.seeds)} images "
            f"(ψ = {self.sampling.truncation:g})"
        )

    # -- where things are -------------------------------------------------------------------------
    def span(self, layer: str) -> slice:
        """Where the units of a layer lie among all U."""
        names = [la.name for la in self.layers]
        index = names.index(check_name("layer", layer, names, what="dissected layer"))
        start = sum(la.channels for la in self.layers[:index])
        return slice(start, start + self.layers[index].channels)

    def concept(self, name: str) -> int:
        """The number of a concept; a KeyError lists them."""
        return self.concepts.index(check_name("concept", name, self.concepts, what="concept"))

    def check_generator(self, generator: Generator) -> None:
        """Raise an `ArtifactError` that names both if these units are of another generator."""
        if generator.fingerprint != self.generator.fingerprint:
            raise ArtifactError(
                f"these units belong to generator {self.generator} and not to "
                f"{GeneratorId.of(generator)}; characterize that one"
            )

    def sample(self, generator: Generator, seeds: int | Iterable[int]) -> Tensor:
        """What ``generator.sample(seeds)`` gives at the truncation, and of the class, of `sampling`."""
        self.check_generator(generator)
        own = self.sampling
        labelled = generator if own.label is None else generator.with_label(own.label)
        return labelled.sample(seeds, truncation=own.truncation)

    # -- what units stand for ---------------------------------------------------------------------
    @property
    def iou(self) -> Tensor:
        """Intersection over union of every unit with every concept, summed over the sample: (U, P)."""
        union = self.activated[:, None] + self.concept_pixels - self.intersections
        return self.intersections.double() / union.clamp_min(1)

    def best_units(self, concept: str, layer: str, count: int | None = None) -> list[int]:
        """Units of a layer by their IoU with a concept, the best first; `count` of them, or all."""
        scores = self.iou[self.span(layer), self.concept(concept)]
        order: list[int] = torch.argsort(scores, descending=True, stable=True).tolist()
        return order if count is None else order[: check_integer("count", count, minimum=1)]

    def best_layer(self, concept: str) -> str:
        """The layer that has the unit of largest IoU with a concept."""
        scores = self.iou[:, self.concept(concept)]
        return max(self.layers, key=lambda la: float(scores[self.span(la.name)].max())).name

    def levels_of(self, layer: str, concept: str) -> Tensor:
        """What each unit of a layer is, on average, where a concept is seen: (C,), float32, to be inserted.

        Raises
        ------
        ValueError
            If no image of the sample shows it.
        """
        found = self.levels[self.span(layer), self.concept(concept)]
        if bool(found.isnan().any()):
            raise ValueError(
                f"concept {concept!r} is in no image of the sample; choose another, or more seeds"
            )
        return found.float()

    def usual_place(self, concept: str, share: float = 0.1) -> Tensor:
        """Pixels that show a concept at least `share` times as often as the pixel that shows it most often.

        For pictures that are aligned, as faces are, the place to insert it at: bool (h, w).
        """
        check_number("share", share, minimum=0, maximum=1)
        often = self.frequency[self.concept(concept)]
        if float(often.max()) == 0:
            raise ValueError(
                f"concept {concept!r} is in no image of the sample; choose another, or more seeds"
            )
        return (often >= share * often.max()) & (often > 0)

    def histogram(self, *, minimum: float = 0.04) -> Tensor:
        """How many units of each layer stand for each concept: (layers, P), int64.

        A unit stands for the concept of its largest IoU, if that exceeds `minimum`.
        """
        best, concept = self.iou.max(dim=1)
        rows = [concept[span][best[span] > minimum] for span in (self.span(la.name) for la in self.layers)]
        return torch.stack([torch.bincount(row, minlength=len(self.concepts)) for row in rows])

    def table(self, *, minimum: float = 0.04, count: int = 3) -> Table:
        """For each concept: its share of the pixels, how many units stand for it, and the best ones."""
        units, scores = self.histogram(minimum=minimum).sum(dim=0), self.iou
        names = [(la.name, c) for la in self.layers for c in range(la.channels)]
        total = max(1, int(self.concept_pixels.sum()))
        rows: list[tuple[str | float, ...]] = []
        for p, concept in enumerate(self.concepts):
            order = torch.argsort(scores[:, p], descending=True, stable=True)[:count].tolist()
            best = ", ".join(f"{names[u][0]} · {names[u][1]} ({float(scores[u, p]):.2f})" for u in order)
            rows.append((concept, f"{int(self.concept_pixels[p]) / total:.1%}", f"{int(units[p])}", best))
        return Table(("concept", "share of pixels", "units", "best units (IoU)"), rows)

    # -- files ------------------------------------------------------------------------------------
    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``units.safetensors`` and ``units.json`` into `folder`; each is replaced whole or not."""
        folder = Path(folder)
        tensors: Mapping[str, Tensor] = {name: getattr(self, name) for name in _TENSORS}
        save_tensors(folder / "units.safetensors", tensors)
        meta = {
            "format": _FORMAT,
            "version": self.version,
            "concepts": list(self.concepts),
            "quantile": self.quantile,
            "generator": asdict(self.generator),
            "sampling": {**asdict(self.sampling), "seeds": list(self.sampling.seeds)},
            "layers": [layer.to_json() for layer in self.layers],
            "tensors_sha256": file_sha256(folder / "units.safetensors"),
        }
        write_json(folder / "units.json", meta)
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> UnitDissection:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing, truncated, of another kind, or the two do not belong together.
        """
        folder = Path(folder)
        meta = read_json(folder / "units.json", expect=_FORMAT)
        tensors = load_tensors(folder / "units.safetensors")
        if meta.get("tensors_sha256") != file_sha256(folder / "units.safetensors"):
            raise ArtifactError(
                f"{folder}: units.safetensors and units.json are not of one saving; save them again"
            )
        if meta.get("version") != _VERSION:
            raise ArtifactError(
                f"{folder / 'units.json'} has version {meta.get('version')!r}, this lefs reads {_VERSION}; "
                "characterize again, or use the lefs that wrote it"
            )
        try:
            return cls(
                layers=tuple(StyleLayer.from_json(entry) for entry in meta["layers"]),
                concepts=tuple(meta["concepts"]),
                quantile=float(meta["quantile"]),
                generator=GeneratorId(**meta["generator"]),
                sampling=Sampling(**{**meta["sampling"], "seeds": tuple(meta["sampling"]["seeds"])}),
                **cast(Any, {name: tensors[name] for name in _TENSORS}),
            )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ArtifactError(
                f"{folder / 'units.json'} is not a whole record of units: {error!r}"
            ) from error
