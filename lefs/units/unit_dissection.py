"""What the units of a generator stand for, as a record that can be saved: the result of `characterize`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lefs.checks import check_integer, check_name, check_number
from lefs.generator import Generator, GeneratorId, Sampling
from lefs.records import PathLike, save_record, whole_record
from lefs.stylespace import StyleLayer
from lefs.tables import Table

__all__ = ["UnitDissection"]

_FORMAT = "lefs-units"
_SHAPES = {
    "thresholds": "u", "activated": "u", "intersections": "up", "concept_pixels": "p", "levels": "up",
    "frequency": "phw", "peaks": "uk", "peak_seeds": "uk",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class UnitDissection:
    """Units of several layers held against concepts (GAN Dissection, Bau et al. 2019, §3.1).

    U counts the units of all `layers` in order, P the concepts.

    Attributes
    ----------
    layers : tuple of StyleLayer
        Those whose maps are the units.
    concepts : tuple of str
        P names.
    quantile : float
        The share of a unit's values that counts as active: the top ones.
    thresholds : Tensor of shape (U,), float32
        The value above which a unit is active.
    activated : Tensor of shape (U,), int64
        Pixels of the sample where the unit's up-sampled map is active.
    intersections : Tensor of shape (U, P), int64
        Those of them that show each concept.
    concept_pixels : Tensor of shape (P,), int64
        Pixels of the sample that show each concept.
    levels : Tensor of shape (U, P), float64
        A unit's mean over the pixels of a concept; NaN if there are none.
    frequency : Tensor of shape (P, h, w), float32
        Share of the images that show a concept at each pixel.
    peaks, peak_seeds : Tensor of shape (U, k), float32 and int64
        A unit's largest values, one an image, descending, and the seeds of those images.
    generator : GeneratorId
        Whose units they are.
    sampling : Sampling
        From what images.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
    >>> found = units.characterize(generator, range(3), segmenter=judge, layers="b8.torgb")
    >>> found.iou.shape == (found.num_units, len(found.concepts))
    True
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

    def __post_init__(self) -> None:
        (k,), (height, width) = self.peaks.shape[-1:], self.frequency.shape[-2:]
        sizes = {"u": self.num_units, "p": len(self.concepts), "k": k, "h": height, "w": width}
        for name, axes in _SHAPES.items():
            shape, found = tuple(sizes[a] for a in axes), tuple(getattr(self, name).shape)
            if found != shape:
                raise ValueError(f"{name} must have shape {shape}, got {found}")

    @property
    def num_units(self) -> int:
        """U."""
        return sum(layer.channels for layer in self.layers)

    def __repr__(self) -> str:
        return (
            f"UnitDissection of {self.generator.name!r}: {self.num_units} units of {len(self.layers)} "
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
        """The number of a concept; the error for an unknown one lists them."""
        return self.concepts.index(check_name("concept", name, self.concepts, what="concept"))

    def check_generator(self, generator: Generator) -> None:
        """Raise an `ArtifactError` that names both if these units are of another generator."""
        self.generator.check(generator, what="dissection of units", remedy="characterize that one")

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
        """Units of a layer by their IoU with a concept, the best first.

        Parameters
        ----------
        concept, layer : str
        count : int, optional
            How many; all by default.

        Returns
        -------
        list of int
            Numbers within the layer.
        """
        scores = self.iou[self.span(layer), self.concept(concept)]
        order: list[int] = torch.argsort(scores, descending=True, stable=True).tolist()
        return order if count is None else order[: check_integer("count", count, minimum=1)]

    def levels_of(self, layer: str, concept: str) -> Tensor:
        """What each unit of a layer is, on average, where a concept is seen: what is to be inserted.

        Parameters
        ----------
        layer, concept : str

        Returns
        -------
        Tensor of shape (C,), float32

        Raises
        ------
        ValueError
            If no image of the sample shows it.
        """
        found = self.levels[self.span(layer), self.concept(concept)]
        self._check_shown(concept, not bool(found.isnan().any()))
        return found.float()

    def usual_place(self, concept: str, share: float = 0.1) -> Tensor:
        """Pixels that show a concept at least `share` times as often as the pixel that shows it most often.

        For pictures that are aligned, as faces are, the place to insert it at.

        Parameters
        ----------
        concept : str
        share : float in [0, 1]

        Returns
        -------
        Tensor of shape (h, w), bool

        Raises
        ------
        ValueError
            If no image of the sample shows it.
        """
        check_number("share", share, minimum=0, maximum=1)
        often = self.frequency[self.concept(concept)]
        self._check_shown(concept, float(often.max()) > 0)
        return (often >= share * often.max()) & (often > 0)

    def _check_shown(self, concept: str, shown: bool) -> None:
        if not shown:
            raise ValueError(f"no image of the sample shows {concept!r}; choose another, or more seeds")

    def histogram(self, *, minimum: float = 0.04) -> Tensor:
        """How many units of each layer stand for each concept: that of their largest IoU.

        Parameters
        ----------
        minimum : float
            The IoU above which a unit stands for a concept.

        Returns
        -------
        Tensor of shape (layers, P), int64
        """
        best, concept = self.iou.max(dim=1)
        rows = [concept[span][best[span] > minimum] for span in (self.span(la.name) for la in self.layers)]
        return torch.stack([torch.bincount(row, minlength=len(self.concepts)) for row in rows])

    def table(self, *, minimum: float = 0.04, count: int = 3) -> Table:
        """For each concept: its share of the pixels, how many units stand for it, and the best ones.

        Parameters
        ----------
        minimum : float
            As for `histogram`.
        count : int
            How many of the best units are listed.

        Returns
        -------
        Table
        """
        check_integer("count", count)
        units, scores = self.histogram(minimum=minimum).sum(dim=0).tolist(), self.iou
        names = [f"{la.name} · {c}" for la in self.layers for c in range(la.channels)]
        shares = (self.concept_pixels.double() / self.concept_pixels.sum().clamp_min(1)).tolist()
        rows = []
        for p, concept in enumerate(self.concepts):
            order = torch.argsort(scores[:, p], descending=True, stable=True)[:count].tolist()
            best = ", ".join(f"{names[u]} ({float(scores[u, p]):.2f})" for u in order)
            rows.append((concept, f"{shares[p]:.1%}", f"{units[p]}", best))
        return Table(("concept", "share of pixels", "units", "best units (IoU)"), rows)

    # -- files ------------------------------------------------------------------------------------
    def save(self, path: PathLike) -> Path:
        """Write ``units.safetensors`` into a folder, or a file of one's own name, and return that."""
        content = {
            "concepts": list(self.concepts),
            "quantile": self.quantile,
            "generator": self.generator.to_json(),
            "sampling": self.sampling.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        tensors = {name: getattr(self, name) for name in _SHAPES}
        return save_record(path, _FORMAT, content, tensors)

    @classmethod
    def load(cls, path: PathLike) -> UnitDissection:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        with whole_record(path, expect=_FORMAT) as (meta, tensors, _):
            return cls(
                layers=tuple(StyleLayer.from_json(entry) for entry in meta["layers"]),
                concepts=tuple(meta["concepts"]),
                quantile=float(meta["quantile"]),
                generator=GeneratorId.from_json(meta["generator"]),
                sampling=Sampling.from_json(meta["sampling"]),
                **{name: tensors[name] for name in _SHAPES},
            )
