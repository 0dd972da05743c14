"""What can be done to a catalog in its panel, and taken back: names, colours, what is hidden."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lefs.catalog import Catalog
from lefs.checks import check_integer
from lefs.plotting import cluster_colors, similarity_colors
from lefs.plotting.arrays import color_index
from lefs.records import load_record, read_json, whole, write_json

__all__ = ["Step", "as_saved", "check_name", "folded", "is_default", "moved", "names_in", "renamed"]

_MOST_COLORS = 32  # Nobody tells hundreds apart: those without names have colours by which related ones show.
_BY_LIKENESS = -1
_FORMAT, _FILE = "lefs-catalog-view", "view.json"


@dataclass(frozen=True)
class Step:
    """A catalog, and how its panel shows it.

    Attributes
    ----------
    catalog : Catalog
    tints : tuple of int
        Which colour of `cluster_colors` each cluster has; -1: a colour by likeness.
    hidden : frozenset of int
        Clusters that are left uncoloured.
    """

    catalog: Catalog
    tints: tuple[int, ...]
    hidden: frozenset[int] = frozenset()

    @classmethod
    def of(cls, catalog: Catalog, folder: Path | None) -> Step:
        """As it was left in a folder, else with the colours of the figures."""
        many = len(catalog.parts) > _MOST_COLORS
        tints = [_BY_LIKENESS] * catalog.num_clusters if many else color_index(catalog.cluster_names).tolist()
        step = cls(catalog, tuple(tints))
        if folder is None or not (folder / _FILE).exists():
            return step
        kept = read_json(folder / _FILE, expect=_FORMAT)
        with whole(folder / _FILE, "view of a catalog"):
            tints = [check_integer("tints", t + 1, maximum=9999) - 1 for t in kept["tints"]]
            hidden = frozenset(check_integer("hidden", k) for k in kept["hidden"])
        # (of other clusters, if somebody saved another catalog there)
        return replace(step, tints=tuple(tints), hidden=hidden) if len(tints) == len(step.tints) else step

    def save(self, folder: Path) -> None:
        """Write ``view.json`` beside the catalog."""
        view = {"tints": list(self.tints), "hidden": sorted(self.hidden)}
        write_json(folder / _FILE, {"format": _FORMAT, "version": 1, **view})

    def to(self, catalog: Catalog) -> Step:
        """The same with other names: a part keeps its colour, and a new one has its first cluster's."""
        names, before = catalog.cluster_names, self.catalog.cluster_names
        given = {n: t for n, t in zip(before, self.tints, strict=True) if n in catalog.parts}
        for k, name in enumerate(names):
            if name not in given:
                tint = self.tints[k] if k < len(self.tints) else _BY_LIKENESS
                new = tint == _BY_LIKENESS and (min(self.tints) >= 0 or not is_default(name))
                if new or (tint in given.values() and tint >= 0):
                    tint = min({*range(len(names))} - {*given.values()})
                given[name] = tint
        return replace(self, catalog=catalog, tints=tuple(given[name] for name in names))

    @property
    def colors(self) -> np.ndarray:
        """The colour of each cluster, (K, 3)."""
        tints = np.array(self.tints)
        colors = cluster_colors(max(1, int(tints.max()) + 1))[np.maximum(tints, 0)]
        if (alike := tints == _BY_LIKENESS).any():
            colors[alike] = similarity_colors(self.catalog.centers)[alike]
        return colors


def renamed(catalog: Catalog, clusters: Collection[int], name: str) -> Catalog:
    """These clusters under one name; a new part takes the place of the first that it takes some of."""
    before, place = catalog.cluster_names, {part: float(i) for i, part in enumerate(catalog.parts)}
    parts = catalog.named([name if k in clusters else old for k, old in enumerate(before)]).parts
    for part, own in parts.items():
        place.setdefault(part, min(place[before[k]] for k in own) - 0.5)
    return replace(catalog, parts={part: parts[part] for part in sorted(parts, key=place.__getitem__)})


def moved(catalog: Catalog, part: str, by: int) -> Catalog:
    """The same with a part earlier or later among the others."""
    names = list(catalog.parts)
    at = names.index(part)
    names.insert(min(max(at + by, 0), len(names) - 1), names.pop(at))
    return replace(catalog, parts={name: catalog.parts[name] for name in names})


def folded(name: str) -> str:
    """A name without what hardly anybody means by it: case, and more than one space."""
    return " ".join(name.casefold().split())


def is_default(name: str) -> bool:
    """Whether this is what an unnamed cluster is called."""
    word, _, number = name.partition(" ")
    return word == "cluster" and number.isdigit()


def check_name(clusters: Sequence[int], name: str) -> str:
    """The name without outer blanks, neither blank nor "cluster 3", unless it is cluster 3's alone."""
    name, first = name.strip(), clusters[0]
    if not name:
        raise ValueError(f"a name must not be blank; 'cluster {first}' takes that one out of its part")
    if is_default(name) and [name] != [f"cluster {k}" for k in clusters]:
        raise ValueError(f"{name!r} is what an unnamed cluster is called; choose another for cluster {first}")
    return name


def names_in(folder: Path) -> list[str]:
    """What the catalog in a folder calls its clusters."""
    parts = load_record(folder, expect="lefs-catalog", tensors=False).content["parts"]
    return [name for _, name in sorted((k, name) for name, clusters in parts.items() for k in clusters)]


def as_saved(catalog: Catalog, folder: Path | None) -> Catalog:
    """The catalog as it was named in `folder`, if that holds the same clusters, or some that were divided.

    Running a notebook again must not undo what was done in its panel.
    """
    if folder is None or not (folder / "catalog.safetensors").exists():
        return catalog
    saved = Catalog.load(folder)
    given, kept = ({row.tobytes() for row in c.centers.cpu().numpy()} for c in (catalog, saved))
    done = saved.sides or saved.num_clusters > catalog.num_clusters or not all(map(is_default, saved.parts))
    return saved if saved.generator == catalog.generator and given & kept and done else catalog
