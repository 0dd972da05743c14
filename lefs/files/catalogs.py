"""Catalogs of other people's code: what their pickles hold, read without running any of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lefs.catalog import Catalog
from lefs.energies import measured
from lefs.files.reading import Instance, aligned, read_tree
from lefs.generator import Generator
from lefs.naming import part_name
from lefs.records import ArtifactError, whole
from lefs.workers import Sample

__all__ = ["import_catalog"]


def import_catalog(
    path: str | os.PathLike[str], generator: Generator, *, layer: str | None = None,
    seeds: Iterable[int] = range(200), truncation: float = 1.0, progress: bool = True,
) -> Catalog:  # fmt: skip
    """Take over the clusters of a catalog that the paper's code or Retrieve in Style has pickled.

    Only its arrays and names are read, nothing of it is run. Contributions are measured anew, on `seeds`.

    Parameters
    ----------
    path : str or path
        Of the pickle.
    generator : Generator
        The one whose activations were clustered.
    layer : str, optional
        The layer they were taken from; None takes the first convolution, from ``default_layer`` on, that has
        as many channels as the centres.
    seeds : iterable of int
        The images on which contributions are measured.
    truncation : float
        ψ of these images.
    progress : bool
        Whether a bar shows how far it is.

    Returns
    -------
    Catalog

    Raises
    ------
    ArtifactError
        If the file is not such a catalog or does not fit the layer.
    """
    centers, named = _read(Path(path))
    layer = _fitting_layer(generator, centers.shape[1], layer, path)
    sample = Sample(generator, seeds, truncation=truncation, progress=progress)
    taken = {k for clusters in named.values() for k in clusters}
    rest = {f"cluster {k}": (k,) for k in range(len(centers)) if k not in taken}
    return replace(measured(sample, Catalog.of(sample, layer, centers)), parts={**named, **rest})


def _read(path: Path) -> tuple[Tensor, dict[str, tuple[int, ...]]]:
    """Centres (K, C) of unit norm, and the clusters that each name stands for.

    Both codes pickle a spherical k-means estimator with ``cluster_centers_``, the paper's inside an object
    that also has ``annotations``.
    """
    tree = read_tree(path)
    outer = _attributes(tree)
    centers = _attributes(outer.get("_factorization", tree)).get("cluster_centers_")
    if not isinstance(centers, Tensor) or centers.ndim != 2 or not centers.is_floating_point():
        raise ArtifactError(
            f"{path} is not a pickled catalog: expected an object with cluster_centers_, an array of shape "
            f"(K, C), alone or as its _factorization; found a {type(tree).__name__}"
        )
    centers = aligned(centers).float()
    if not len(centers) or not bool(torch.isfinite(centers).all() & (centers.norm(dim=1) > 0).all()):
        raise ArtifactError(f"{path}: its cluster_centers_ hold no vectors, or NaN, infinite or zero vectors")
    return normalize(centers, dim=1), _annotations(outer.get("annotations", {}), len(centers), path)


def _fitting_layer(generator: Generator, channels: int, layer: str | None, path: object) -> str:
    convolutions = [la for la in generator.layers if la.kind == "conv"]
    start = [la.name for la in convolutions].index(generator.default_layer)
    ordered = convolutions[start:] + convolutions[:start]
    candidates = [generator.layer(layer)] if layer is not None else ordered
    fitting = next((la.name for la in candidates if la.channels == channels), None)
    if fitting is None:
        widths = ", ".join(f"{la.name} {la.channels}" for la in candidates)
        raise ArtifactError(f"{path} has centres of {channels} channels, the generator's have: {widths}")
    return fitting


def _attributes(value: Any) -> Mapping[str, Any]:
    state = value.state if isinstance(value, Instance) else value
    return state if isinstance(state, dict) else {}


def _annotations(found: Any, count: int, path: Path) -> dict[str, tuple[int, ...]]:
    parts: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    for name, clusters in found.items() if isinstance(found, dict) else ():
        own = clusters.tolist() if isinstance(clusters, Tensor) else clusters
        valid = isinstance(own, list | tuple) and all(type(k) is int and 0 <= k < count for k in own)
        if not isinstance(name, str) or not valid or taken.intersection(own):
            raise ArtifactError(
                f"{path}: its annotations should name lists of clusters 0..{count - 1}, each in one list; "
                f"that of {name!r:.80} is another"
            )
        taken.update(own)
        with whole(Path(path), "catalog"):
            parts[part_name("annotations", name)] = tuple(own)
    return {name: ks for name, ks in parts.items() if ks}
