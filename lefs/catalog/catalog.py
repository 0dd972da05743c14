"""The catalog: which parts a generator knows, and which style channels make them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

from lefs.artifacts import ArtifactError, locate
from lefs.catalog.files import VERSION, read_catalog, write_catalog
from lefs.catalog.identity import GeneratorId, Sampling
from lefs.catalog.pairs import PartEffects, channel_gates
from lefs.catalog.queries import Method, layer_gates, layerwise_query
from lefs.checks import check_choice, check_name
from lefs.factorization import membership_by
from lefs.foreign import fitting_layer, read_foreign_catalog
from lefs.generators.base import Generator, StyleLayer
from lefs.hypercolumns import Hypercolumns
from lefs.sample import Sample, _shares

__all__ = ["Catalog"]


@dataclass(frozen=True, eq=False)
class Catalog:
    """Clusters of one layer, the contribution of every channel to each, and the parts they are named as.

    Frozen: every change returns a new catalog.

    Attributes
    ----------
    centers : Tensor of shape (K, C), float32, unit norm: directions, or non-negative factors
    layer : name of the clustered layer, or of several joined by ``+`` (`Hypercolumns`)
    contributions : Tensor of shape (K, S), float64
        M (Editing in Style, Eq. 1, for maps of any variance): the share of a channel's energy that lies in
        a cluster; sums to 1 over K for a live channel, 0 for a dead one and for what scales no channel.
    sizes : Tensor of shape (K,), int64, positions of the sample in each cluster (soft shares add up, rounded)
    layers : the generator's table of style layers
    parts : {name: cluster indices}, a partition of the clusters
    generator : `GeneratorId`
    sampling : `Sampling`
    method : ``"kmeans"``, clusters are directions (`SphericalKMeans`), or ``"nmf"``, they are factors
        (Deep Feature Factorization)
    measure : what `contributions` are shares of: ``"energy"`` (the paper's M) or ``"effect"``
    effects : Tensor of shape (K, S), float64, or None where they were not measured
        E of `lefs.effects`: what one unit of each style changes in each cluster.
    version : of the file format
    """

    centers: Tensor
    layer: str
    contributions: Tensor
    sizes: Tensor
    layers: tuple[StyleLayer, ...]
    parts: Mapping[str, tuple[int, ...]]
    generator: GeneratorId
    sampling: Sampling
    method: Literal["kmeans", "nmf"] = "kmeans"
    measure: Literal["energy", "effect"] = "energy"
    effects: Tensor | None = None
    version: int = VERSION

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("kmeans", "nmf"))
        check_choice("measure", self.measure, ("energy", "effect"))
        parts = {str(n): tuple(sorted(int(k) for k in ks)) for n, ks in self.parts.items()}
        object.__setattr__(self, "parts", MappingProxyType(parts))
        clusters = sorted(k for ks in parts.values() for k in ks)
        if clusters != list(range(self.num_clusters)) or not all(parts.values()):
            raise ValueError(
                f"parts must divide the clusters 0..{self.num_clusters - 1} without rest, overlap or an "
                f"empty part, got {parts}"
            )
        self._check_shapes()

    def _check_shapes(self) -> None:
        expected = {
            "centers": (self.num_clusters, self.columns.channels),
            "contributions": (self.num_clusters, max([self._scales, *self.contributions.shape[1:2]])),
            "sizes": (self.num_clusters,),
        }
        if self.effects is not None:
            expected["effects"] = tuple(self.contributions.shape)
        for name, shape in expected.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise ValueError(f"{name} must have shape {shape}, got {found}")

    def __reduce__(self) -> tuple[Any, ...]:
        # A mappingproxy cannot be sent to another process.
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"parts": dict(self.parts)}
        return partial(Catalog, **values), ()

    @property
    def _scales(self) -> int:
        """How many styles are scales of layers; a generator may have more (shifts, where its input lies)."""
        return max(layer.slice.stop for layer in self.layers)

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.centers)

    @property
    def columns(self) -> Hypercolumns:
        """What was clustered: the vectors of `layer`."""
        return Hypercolumns.of(self.layer, self.layers)

    def __repr__(self) -> str:
        return (
            f"Catalog of {self.generator.label!r}: {self.num_clusters} clusters of layer {self.layer} from "
            f"{len(self.sampling.seeds)} images (ψ = {self.sampling.truncation:g}), "
            f"parts: {', '.join(self.parts)}"
        )

    # -- naming -----------------------------------------------------------------------------------
    def rename(self, old: str, new: str) -> Catalog:
        """Call a part otherwise; a KeyError if there is none, a ValueError if the new name is taken."""
        self._clusters(old)
        name = _part_name("new", new)
        if name != old and name in self.parts:
            raise ValueError(
                f"new: there is a part {name!r} already; "
                f"use merge([{old!r}, {name!r}], {name!r}) to join them"
            )
        return replace(self, parts={name if n == old else n: ks for n, ks in self.parts.items()})

    def merge(self, parts: Iterable[str], into: str) -> Catalog:
        """Join several parts into one called `into` (one of them, or a new name)."""
        names = [parts] if isinstance(parts, str) else list(parts)
        clusters = tuple(k for n in dict.fromkeys(names) for k in self._clusters(n))
        if not clusters:
            raise ValueError("parts is empty; name the parts to merge")
        rest = {n: ks for n, ks in self.parts.items() if n not in names}
        name = _part_name("into", into)
        if name in rest:
            raise ValueError(
                f"into: there is a part {name!r} already and it is not among those merged; add it to them"
            )
        return replace(self, parts={**rest, name: clusters})

    def split(self, part: str) -> Catalog:
        """Turn a part back into its single clusters, named ``"cluster k"``."""
        clusters = self._clusters(part)
        rest = {n: ks for n, ks in self.parts.items() if n != part}
        singles = {f"cluster {k}": (k,) for k in clusters}
        taken = sorted(rest.keys() & singles.keys())
        if taken:
            raise ValueError(
                f"part: cannot split {part!r}, another part is called {taken[0]!r}; rename that first"
            )
        return replace(self, parts={**rest, **singles})

    def named(self, names: Sequence[str]) -> Catalog:
        """Name every cluster at once; clusters of the same name become one part.

        Parameters
        ----------
        names : K names, by cluster
        """
        if len(names) != self.num_clusters:
            raise ValueError(
                f"names must hold {self.num_clusters} names, one for each cluster; got {len(names)}"
            )
        parts: dict[str, tuple[int, ...]] = {}
        for k, name in enumerate(_part_name(f"names[{i}]", n) for i, n in enumerate(names)):
            parts[name] = (*parts.get(name, ()), k)
        return replace(self, parts=parts)

    @property
    def cluster_names(self) -> list[str]:
        """The part of each cluster: K names."""
        return [next(n for n, ks in self.parts.items() if k in ks) for k in range(self.num_clusters)]

    def _clusters(self, part: str) -> tuple[int, ...]:
        return self.parts[check_name("part", part, list(self.parts), what="part")]

    # -- use --------------------------------------------------------------------------------------
    def check_generator(self, generator: Generator) -> None:
        """Raise an `ArtifactError` that names both if this catalog is of another generator."""
        if generator.fingerprint != self.generator.fingerprint:
            raise ArtifactError(
                f"this catalog belongs to generator {self.generator} and not to "
                f"{GeneratorId.of(generator)}; dissect that one to get its catalog"
            )

    def membership(self, generator: Generator, styles: Tensor) -> Tensor:
        """Clusters of any images: (N, K, h, w), float32; h, w of the clustered layer, without its margin.

        Sums to 1 along K: a single 1 for ``"kmeans"``, shares of the activation for ``"nmf"``.
        """
        self.check_generator(generator)
        with torch.inference_mode():
            return membership_by(self.method)(self.columns.read(generator, styles), self.centers)

    def part_masks(
        self, generator: Generator, styles: Tensor, *, size: int | None = None
    ) -> dict[str, Tensor]:
        """Where each part is: {part: bool Tensor (N, size, size)}; `size` defaults to the images'.

        Each pixel is in one part, that of the largest membership; of equal ones the first.
        """
        side = generator.resolution if size is None else size
        membership = self.membership(generator, styles)
        by_part = torch.stack([membership[:, list(ks)].sum(dim=1) for ks in self.parts.values()], dim=1)
        owner = one_hot(by_part.argmax(dim=1), len(self.parts)).movedim(-1, 1).float()
        masks = interpolate(owner, size=(side, side), mode="nearest") > 0
        return {name: masks[:, p] for p, name in enumerate(self.parts)}

    def contribution(self, part: str) -> Tensor:
        """Contribution of every channel to a part, the sum over its clusters: (S,), float64 in [0, 1]."""
        return self.contributions[list(self._clusters(part))].sum(dim=0).clamp(max=1)

    def query(
        self,
        part: str,
        *,
        method: Method = "sequential",
        rho: float = 0.1,
        epsilon: float = 16.0,
        slope: float = 2.0,
        coarse: float = 0.5,
        rgb: float = 0.5,
        coarse_resolution: int = 8,
        shifts: bool = False,
    ) -> Tensor:
        """Which channels to move, and how far, to edit one part (Editing in Style, §3.2).

        Parameters
        ----------
        part : name of a part
        method : ``"sequential"`` (most relevant channels first, up to a budget), ``"simultaneous"`` (all in
            proportion to their contribution) or ``"global"`` (every channel wholly, whatever the part)
        rho, epsilon : of `sequential_query`; `epsilon` is the budget of each layer, in channels
        slope : of `simultaneous_query`
        coarse, rgb : gates in [0, 1] that multiply the budget (or the slope) of layers up to
            `coarse_resolution` pixels (of detail), which carry pose and layout, and of toRGB layers; a
            coarse toRGB layer has both
        shifts : whether the shift of a channel moves as its scale does, in an architecture that has shifts
            (StyleGAN); else only ``"global"`` moves shifts

        Returns
        -------
        Tensor of shape (S,), float32 in [0, 1]
        """
        contribution = self.contribution(part)
        gates = self.gates(coarse=coarse, rgb=rgb, coarse_resolution=coarse_resolution)
        return layerwise_query(
            contribution,
            self.layers,
            gates,
            method=method,
            rho=rho,
            epsilon=epsilon,
            slope=slope,
            shifts=shifts,
        )

    def pair_query(
        self,
        part: str,
        target_styles: Tensor,
        reference_styles: Tensor,
        *,
        leak: float = 50.0,
        rho: float = 0.1,
        coarse: float = 0.5,
        rgb: float = 0.5,
        coarse_resolution: int = 8,
        shifts: bool = False,
    ) -> Tensor:
        """Which channels to move for given pairs, each weighed by how much it differs there: `pair_query` of
        `lefs.query`, over all layers together.

        Parameters
        ----------
        part : name of a part
        target_styles, reference_styles : Tensor of shape (N, S), or (1, S) for one against many
        leak : how much the image may change outside the part: the mean squared change of a pixel there, in
            squared 8-bit levels (images in 0 to 255), as `PartEffects` predicts it
        rho : price of change outside, in change inside
        coarse, rgb, coarse_resolution : as of `query`; here gates multiply what a layer's channels are worth
        shifts : whether shifts (StyleGAN) move too, each a channel of its own

        Returns
        -------
        Tensor of shape (N, S), float32 in [0, 1]

        Raises
        ------
        ValueError
            If the catalog has no effects.
        """
        gates = self.gates(coarse=coarse, rgb=rgb, coarse_resolution=coarse_resolution)
        gate = channel_gates(gates, self.layers, self.contributions.shape[1], shifts=shifts)
        part_effects = self.part_effects(part)
        return part_effects.query(target_styles, reference_styles, leak=leak, rho=rho, gate=gate)

    def part_effects(self, part: str) -> PartEffects:
        """What every channel does to a part and to the rest; a ValueError if the catalog has no effects."""
        return PartEffects.of(self._measured(), self._clusters(part), self.sizes, self.layers)

    def by_effect(self) -> Catalog:
        """The same with the shares of its `effects` as contributions; a ValueError if it has none."""
        return self._by_effect

    @cached_property
    def _by_effect(self) -> Catalog:
        return replace(self, contributions=_shares(self._measured()), measure="effect")

    def measured_by(self, contributions: Literal["energy", "effect"] | None) -> Catalog:
        """The catalog with contributions of one kind: itself where they are its own, or `by_effect`.

        Parameters
        ----------
        contributions : ``"energy"``, ``"effect"``, or None for whatever the catalog holds

        Raises
        ------
        ValueError
            If the catalog has none of that kind; the message says how to get them.
        """
        if contributions in (None, self.measure):
            return self
        if check_choice("contributions", contributions, ("energy", "effect")) == "effect":
            return self.by_effect()
        raise ValueError(
            'contributions: this catalog has them by effect alone; dissect(..., contributions="energy") '
            "makes one that has them by energy"
        )

    def _measured(self) -> Tensor:
        if self.effects is None:
            raise ValueError(
                "this catalog has no effects; measure them with lefs.effects.by_effect(catalog, generator), "
                'or dissect(..., contributions="effect")'
            )
        return self.effects

    def gates(self, *, coarse: float, rgb: float, coarse_resolution: int = 8) -> list[float]:
        """What multiplies the budget ε (or the slope) of each layer: L numbers in [0, 1]; see `query`."""
        return layer_gates(self.layers, coarse=coarse, rgb=rgb, coarse_resolution=coarse_resolution)

    # -- files ------------------------------------------------------------------------------------
    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``catalog.safetensors`` and ``catalog.json`` into `folder`; each is replaced whole or not."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return write_catalog(Path(folder), values)

    @classmethod
    def load(cls, name_or_folder: str | os.PathLike[str]) -> Catalog:
        """Read what `save` wrote, or the catalog of an embedded generator by its name.

        Raises
        ------
        ArtifactError
            If a file is missing, truncated, of another kind, or the two do not belong together.
        """
        folder = locate(name_or_folder)
        folder = folder if folder.is_dir() else folder.parent
        values = read_catalog(folder)
        try:
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{folder / 'catalog.json'} is not a whole catalog: {error!r}") from error

    @classmethod
    def import_pickle(
        cls,
        path: str | os.PathLike[str],
        generator: Generator,
        *,
        layer: str | None = None,
        seeds: Iterable[int] = range(200),
        truncation: float = 1.0,
        progress: bool = True,
    ) -> Catalog:
        """Take over the clusters of a catalog that the paper's code or Retrieve in Style has pickled.

        Only its arrays and names are read, nothing of it is run. Contributions are measured anew, on `seeds`.

        Parameters
        ----------
        generator : the one whose activations were clustered
        layer : the layer they were taken from; None takes the first convolution, from ``default_layer`` on,
            that has as many channels as the centres

        Raises
        ------
        ArtifactError
            If the file is no such catalog or does not fit the layer.
        """
        found = read_foreign_catalog(path)
        layer = fitting_layer(generator, found.centers.shape[1], layer, path)
        sample = Sample(generator, seeds, truncation=truncation, progress=progress)
        contributions, sizes = sample.contributions(layer, found.centers)
        named = {k for ks in found.annotations.values() for k in ks}
        rest = {f"cluster {k}": (k,) for k in range(len(found.centers)) if k not in named}
        return cls(
            centers=found.centers,
            layer=layer,
            contributions=contributions,
            sizes=sizes,
            layers=generator.layers,
            parts={**found.annotations, **rest},
            generator=GeneratorId.of(generator),
            sampling=Sampling.of(generator, sample.seeds, truncation=truncation),
        )


def _part_name(argument: str, name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{argument}: a part's name must be text that is not blank, got {name!r}")
    return name.strip()
