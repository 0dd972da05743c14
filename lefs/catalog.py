"""The catalog: which parts a generator knows, and which style channels make them (Editing in Style, §3.1).

Editing in Style is Collins, Bala, Price & Süsstrunk, CVPR 2020, arXiv 2004.14367.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

from lefs.activations import Hypercolumns
from lefs.checks import check_choice, check_clusters, check_integer, check_name, check_tensor
from lefs.factorization import Side, check_sides, memberships
from lefs.generator import Generator, GeneratorId, Sampling
from lefs.images import of_height
from lefs.naming import as_written, merged_names, part_name
from lefs.records import ArtifactError, exclusive, record_file, save_record, whole_record
from lefs.showing import Names, Shown
from lefs.stylespace import StyleLayer, check_layers
from lefs.workers import Sample

__all__ = ["CONTRIBUTIONS", "Catalog", "Contributions", "shares"]

Contributions = Literal["energy", "effect", "standardized"]
CONTRIBUTIONS: tuple[Contributions, ...] = ("energy", "effect", "standardized")
_FORMAT = "lefs-catalog"
_TENSORS, _OPTIONAL = ("centers", "contributions", "sizes"), ("errors", "effects")
_WIDE = {"contributions": torch.float64, "effects": torch.float64, "errors": torch.float32}
_LATER = ("method", "measure", "sides")  # not in a file, as once in none, where it is the default


@dataclass(frozen=True, eq=False, repr=False)
class Catalog(Shown):
    """Clusters of one layer, the contribution of every channel to each, and the parts they are named as.

    Frozen: every change returns a new catalog.

    Attributes
    ----------
    centers : Tensor of shape (K, C), float32, unit norm
        Directions (`SphericalKMeans`), or non-negative factors.
    layer : str
        Name of the clustered layer, or of several joined by ``+`` (`Hypercolumns`).
    contributions : Tensor of shape (K, S), float64
        M (Editing in Style, Eq. 1, for maps of any variance): the share of a channel's energy that lies in
        a cluster; sums to 1 over K for a live channel, 0 for a dead one and for what scales no channel.
    sizes : Tensor of shape (K,), int64
        Positions of the sample in each cluster (soft shares add up, rounded).
    layers : tuple of StyleLayer
        The generator's table of style layers.
    parts : mapping of str to tuple of int
        {name: cluster indices}, a partition of the clusters.
    generator : GeneratorId
    sampling : Sampling
    method : {"kmeans", "nmf"}
        Clusters are directions, or factors (Deep Feature Factorization).
    measure : {"energy", "effect", "standardized", "none"}
        What `contributions` are shares of: energy, effect, or energy of standardised maps (the paper's M).
    errors : Tensor of shape (K, S), float32, or None
        Standard errors of contributions by energy, for all that the generator makes; None: not recorded.
    effects : Tensor of shape (K, S), float64, or None where they were not measured
        E of `lefs.effects`: what one unit of each style changes in each cluster.
    effects_sampling : Sampling or None
        Of the effects; None: not recorded, as in files of before.
    sides : tuple of Side
        Rules of position that divide clusters further (`lefs.dissection.divide`).

    Examples
    --------
    >>> import lefs
    >>> catalog = lefs.Catalog.load("portraits-64")
    >>> "hair" in catalog.parts, float(catalog.contributions.sum(dim=0).max().round(decimals=6))
    (True, 1.0)
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
    measure: Contributions | Literal["none"] = "energy"
    errors: Tensor | None = None
    effects: Tensor | None = None
    effects_sampling: Sampling | None = None
    sides: tuple[Side, ...] = ()
    # by file, the names that others who save there, too, started from; shared by all that is made of this
    _started: dict[Path, list[str]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, sample: Sample, layer: str, centers: Tensor, *, method: Any = "kmeans", **how: Any
    ) -> Catalog:
        """The catalog of the clusters of these centres, found with a sample; contributions are 0 until
        `lefs.energies.measured` finds them.

        Parts are named ``"cluster 0"``, ``"cluster 1"``, ...; `how` are further fields of `Sampling`.
        """
        generator, parts = sample.generator, {f"cluster {k}": (k,) for k in range(len(centers))}
        blank = torch.zeros(len(centers), generator.num_styles, dtype=torch.float64)
        how = {"random_state": 0, "label": generator.default_label, **how}
        sampling = Sampling(tuple(sample.seeds), sample.truncation, **how)
        return cls(
            centers=centers.float().cpu(), layer=layer, contributions=blank, sizes=blank[:, 0].long(),
            layers=generator.layers, parts=parts, generator=GeneratorId.of(generator), sampling=sampling,
            method=method, measure="none",
        )  # fmt: skip

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("kmeans", "nmf"))
        check_choice("measure", self.measure, (*CONTRIBUTIONS, "none"))
        parts = {part_name("parts", n): check_clusters(ks) for n, ks in self.parts.items()}
        object.__setattr__(self, "parts", Names(parts))
        clusters, count = sorted(k for ks in parts.values() for k in ks), self.num_clusters
        if clusters != list(range(count)) or not all(parts.values()):
            known = f"0..{count - 1} without rest, overlap or an empty part"
            raise ValueError(f"parts must divide the clusters {known}, got {parts}")
        object.__setattr__(self, "sides", check_sides(self.sides, count))
        check_tensor("centers", self.centers, (count, self.columns.channels))
        check_tensor("sizes", self.sizes, (count,), whole=True, least=0)
        width = max([self.layers[-1].span.stop, *self.contributions.shape[1:2]])
        for name in ("contributions", *_OPTIONAL):
            if (found := getattr(self, name)) is not None:
                check_tensor(name, found, (count, width), least=0)
        if not bool(self.centers.any(dim=1).all()):
            raise ValueError("centers must be directions, got one of length 0")

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.centers)

    @property
    def columns(self) -> Hypercolumns:
        """What was clustered: the vectors of `layer`."""
        return Hypercolumns.of(self.layer, self.layers)

    def __repr__(self) -> str:
        names, more = list(self.parts)[:16], len(self.parts) - 16
        return (
            f"Catalog of {self.generator.name!r}: {self.num_clusters} clusters of layer {self.layer} from "
            f"{len(self.sampling.seeds)} images (ψ = {self.sampling.truncation:g}), "
            f"parts: {', '.join(names)}{f' and {more} more' if more > 0 else ''}"
        )

    # -- naming -----------------------------------------------------------------------------------
    def rename(self, old: str, new: str) -> Catalog:
        """Call a part otherwise; a ValueError if there is none, or the new name is taken."""
        clusters = self.clusters(old)
        name = part_name("new", new)
        if self.parts.get(name, clusters) != clusters:
            join = f"use merge([{old!r}, {name!r}], {name!r}) to join them"
            raise ValueError(f"new: there is a part {name!r} already; {join}")
        return replace(self, parts={name if ks == clusters else n: ks for n, ks in self.parts.items()})

    def merge(self, parts: Iterable[str], into: str) -> Catalog:
        """Join several parts into one called `into` (one of them, or a new name)."""
        names = [as_written(n) for n in ([parts] if isinstance(parts, str) else parts)]
        clusters = tuple(k for n in dict.fromkeys(names) for k in self.clusters(n))
        if not clusters:
            raise ValueError("parts is empty; name the parts to merge")
        rest = {n: ks for n, ks in self.parts.items() if n not in names}
        name = part_name("into", into)
        if name in rest:
            raise ValueError(f"into: {name!r} is a part already, not among those merged; add it to them")
        return replace(self, parts={**rest, name: clusters})

    def split(self, part: str) -> Catalog:
        """Turn a part back into its single clusters, named ``"cluster k"``."""
        clusters = self.clusters(part)
        rest = {n: ks for n, ks in self.parts.items() if ks != clusters}
        singles = {f"cluster {k}": (k,) for k in clusters}
        if taken := sorted(rest.keys() & singles.keys()):
            raise ValueError(
                f"part: cannot split {part!r}, another part is called {taken[0]!r}; rename that first"
            )
        return replace(self, parts={**rest, **singles})

    def named(self, names: Sequence[str]) -> Catalog:
        """Name every cluster at once, by K names; clusters of the same name become one part."""
        if len(names) != self.num_clusters:
            raise ValueError(
                f"names must hold {self.num_clusters} names, one for each cluster; got {len(names)}"
            )
        checked = [part_name(f"names[{i}]", name) for i, name in enumerate(names)]
        parts = {name: tuple(k for k, n in enumerate(checked) if n == name) for name in checked}
        return replace(self, parts=parts)

    @property
    def cluster_names(self) -> list[str]:
        """The part of each cluster: K names."""
        return [name for _, name in sorted((k, name) for name, ks in self.parts.items() for k in ks)]

    def clusters(self, part: str) -> tuple[int, ...]:
        """The clusters of a part; a ValueError lists the parts."""
        return self.parts[check_name("part", as_written(part), list(self.parts), what="part")]

    # -- use --------------------------------------------------------------------------------------
    def check_generator(self, generator: Generator) -> None:
        """Raise an `ArtifactError` that names both if this catalog is of another generator."""
        self.generator.check(generator, what="catalog", remedy="dissect that one to get its catalog")

    def membership(self, generator: Generator, styles: Tensor) -> Tensor:
        """Clusters of any images: (N, K, h, w), float32; h, w of the clustered layer, without its margin.

        Sums to 1 along K: a single 1 for ``"kmeans"``, shares of the activation for ``"nmf"``.
        """
        self.check_generator(generator)
        with torch.inference_mode():
            return memberships(self.columns.read(generator, styles), self.centers, self.method, self.sides)

    def by_part(self, membership: Tensor) -> Tensor:
        """Memberships (N, K, h, w) of clusters, summed over the clusters of each part: (N, P, h, w)."""
        return torch.stack([membership[:, list(ks)].sum(dim=1) for ks in self.parts.values()], dim=1)

    def part_masks(
        self, generator: Generator, styles: Tensor, *, size: int | None = None
    ) -> dict[str, Tensor]:
        """Where each part is: {part: bool Tensor (N, size, W)}; `size`, the height, defaults to the images'.

        Each pixel is in one part, that of the largest membership; of equal ones the first.
        """
        side = generator.size[0] if size is None else check_integer("size", size, minimum=1)
        membership = self.membership(generator, styles)
        owner = one_hot(self.by_part(membership).max(dim=1).indices, len(self.parts)).movedim(-1, 1).float()
        masks = interpolate(owner, size=of_height(side, membership), mode="nearest") > 0
        return {name: masks[:, p] for p, name in enumerate(self.parts)}

    def contribution(self, part: str) -> Tensor:
        """Contribution of every channel to a part, the sum over its clusters: (S,), float64 in [0, 1]."""
        if self.measure == "none":
            raise ValueError("this catalog has memberships alone; lefs.dissection.remeasure finds the rest")
        return self.contributions[list(self.clusters(part))].sum(dim=0).clamp(max=1)

    def by_effect(self) -> Catalog:
        """The same with the shares of its `effects` as contributions; a ValueError if it has none."""
        return self._by_effect

    @cached_property
    def _by_effect(self) -> Catalog:
        return replace(self, contributions=shares(self.measured_effects), errors=None, measure="effect")

    def measured_by(self, contributions: Contributions | None) -> Catalog:
        """The catalog with contributions of one kind: itself where they are its own, or `by_effect`.

        None stands for whatever the catalog holds; a ValueError says how to get what it has not.
        """
        if contributions in (None, self.measure):
            return self
        if check_choice("contributions", contributions, CONTRIBUTIONS) == "effect":
            return self.by_effect()
        raise ValueError(
            f"contributions: this catalog has them by {self.measure} alone; dissect(..., "
            f'contributions="{contributions}") makes one that has the others'
        )

    @property
    def measured_effects(self) -> Tensor:
        """The `effects`, (K, S); a ValueError that says how to measure them if there are none."""
        if self.effects is None:
            raise ValueError(
                "this catalog has no effects; measure them with lefs.effects.by_effect(catalog, generator), "
                'or dissect(..., contributions="effect")'
            )
        return self.effects

    def part_digest(self, part: str) -> str:
        """The first 12 digits of the SHA-256 over the centres of a part's clusters."""
        clusters = self.clusters(part)
        rules = "".join(f"{side}" for side in self.sides if {*side[:2]} & {*clusters})
        rows = self.centers[list(clusters)].cpu().numpy().tobytes()
        return hashlib.sha256(rows + rules.encode()).hexdigest()[:12]

    # -- files ------------------------------------------------------------------------------------
    def save(
        self, path: str | os.PathLike[str], *, prefer: Literal["refuse", "own", "theirs"] = "refuse"
    ) -> Path:
        """Write ``catalog.safetensors`` into a folder, or a file of one's own name, atomically.

        If others have changed names there since this catalog, or what it was made of, was loaded from there
        or saved there, theirs stay beside one's own; load it again to see them. Else the file is replaced.

        Parameters
        ----------
        path : str or path
            A folder, or a name that ends in ``.safetensors``.
        prefer : {"refuse", "own", "theirs"}
            Whose name is taken where both have changed that of a cluster.

        Returns
        -------
        Path
            What `load` takes: the folder, or the file where one was named.

        Raises
        ------
        NameClash, ArtifactError
            If both have, and `prefer` is ``"refuse"``; if others have saved other clusters there, or nobody
            can write there. The file is then as it was.
        """
        file = record_file(path, _FORMAT)
        with exclusive(file.parent):
            kept = self._joined(file, check_choice("prefer", prefer, ("refuse", "own", "theirs")))
            found = {n: getattr(kept, n) for n in (*_TENSORS, *_OPTIONAL)}
            tensors = {n: _narrowest(t) if n in _WIDE else t for n, t in found.items() if t is not None}
            content = {
                "layer": kept.layer,
                "parts": {n: list(ks) for n, ks in kept.parts.items()},
                "generator": kept.generator.to_json(),
                "sampling": kept.sampling.to_json(),
                "layers": [layer.to_json() for layer in kept.layers],
                **{n: getattr(kept, n) for n in _LATER if getattr(kept, n) != getattr(Catalog, n)},
                **({"effects_sampling": kept.effects_sampling.to_json()} if kept.effects_sampling else {}),
            }
            saved = save_record(path, _FORMAT, content, tensors)
        self._started[file.resolve()] = self.cluster_names
        return saved

    def _joined(self, file: Path, prefer: str) -> Catalog:
        """With the names that others have given in a file since this knew it."""
        own, start = self.cluster_names, self._started.get(file.resolve())
        if start is None or not file.exists():
            return self
        if (there := self._names_in(file)) is None:
            raise ArtifactError(f"{file} is another catalog by now; save elsewhere, or delete that first")
        names = merged_names(own, there, start, prefer=prefer)
        return self if names == own else self.named(names)

    def _names_in(self, file: Path) -> list[str] | None:
        """What a file calls these clusters; None if it has others."""
        saved = Catalog.load(file)
        same = self.generator == saved.generator and torch.equal(self.centers, saved.centers)
        return saved.cluster_names if same else None

    def beside_others(self, path: str | os.PathLike[str]) -> Catalog:
        """Get ready to `save` there, keeping the names that others save there from now on; returns itself.

        A catalog that was loaded from there is ready already.
        """
        file = record_file(path, _FORMAT)
        if start := self._names_in(file) if file.exists() else self.cluster_names:
            self._started[file.resolve()] = start
        return self

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> Catalog:
        """Read what `save` wrote, or an embedded one by its name; an `ArtifactError` says what is wrong."""
        with whole_record(name_or_path, expect=_FORMAT) as (meta, tensors, file):
            there = (name for name in _OPTIONAL if name in tensors)
            given: dict[str, Any] = {name: tensors[name] for name in (*_TENSORS, *there)}
            for name in _WIDE.keys() & given.keys():  # (see `_narrowest`; other types are somebody else's)
                if given[name].dtype in (torch.float16, torch.float32):
                    given[name] = given[name].to(_WIDE[name])
            given |= {name: meta[name] for name in _LATER if name in meta}
            found = cls(
                **given,
                layer=meta["layer"],
                layers=check_layers([StyleLayer.from_json(entry) for entry in meta["layers"]]),
                parts=meta["parts"],
                generator=GeneratorId.from_json(meta["generator"]),
                sampling=Sampling.from_json(meta["sampling"]),
                effects_sampling=Sampling.from_json(own) if (own := meta.get("effects_sampling")) else None,
            )
            found._started[file.resolve()] = found.cluster_names
            return found


def shares(energy: Tensor) -> Tensor:
    """M = energy in a cluster / energy altogether (Editing in Style, Eq. 1); a dead channel gets 0."""
    total = energy.sum(dim=0)
    return torch.where(total > 0, energy / total, 0.0)


def _narrowest(tensor: Tensor) -> Tensor:
    """In half precision where that holds every value, else in single precision where that does."""
    kinds = (torch.float16, torch.float32) if tensor.is_floating_point() else ()
    return next((t for t in map(tensor.to, kinds) if t.to(tensor.dtype).equal(tensor)), tensor)
