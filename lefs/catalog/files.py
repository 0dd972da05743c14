"""A catalog as two files: its arrays as safetensors, the rest as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.artifacts import ArtifactError, file_sha256, load_tensors, read_json, save_tensors, write_json
from lefs.catalog.identity import GeneratorId, Sampling
from lefs.generators.base import StyleLayer

__all__ = ["VERSION", "read_catalog", "write_catalog"]

VERSION = 1
_FORMAT = "lefs-catalog"
_TENSORS = ("centers", "contributions", "sizes")
_OPTIONAL = ("effects",)  # tensors that a catalog may be without
# what catalogs could not be at first: left out of a file where it has its default
_LATER: dict[str, Any] = {"method": "kmeans", "measure": "energy"}


def write_catalog(folder: Path, values: Mapping[str, Any]) -> Path:
    """Write the fields of a `Catalog` into `folder`; each of the two files is replaced whole or not."""
    tensors = {n: values[n] for n in _TENSORS}
    tensors |= {n: _narrowest(values[n]) for n in _OPTIONAL if values[n] is not None}
    save_tensors(folder / "catalog.safetensors", tensors)
    sampling = asdict(values["sampling"])
    meta = {
        "format": _FORMAT,
        "version": values["version"],
        "layer": values["layer"],
        "parts": {n: list(ks) for n, ks in values["parts"].items()},
        "generator": asdict(values["generator"]),
        "sampling": {n: v for n, v in sampling.items() if n != "label" or v is not None},
        "layers": [layer.to_json() for layer in values["layers"]],
        "tensors_sha256": file_sha256(folder / "catalog.safetensors"),
    }
    meta |= {n: values[n] for n, default in _LATER.items() if values[n] != default}
    write_json(folder / "catalog.json", meta)
    return folder


def _narrowest(values: Tensor) -> Tensor:
    """The same values, in float32 where that holds every one of them."""
    narrow = values.float()
    return narrow if narrow.to(values).equal(values) else values


def read_catalog(folder: Path) -> dict[str, Any]:
    """The fields of a `Catalog`, as `write_catalog` wrote them.

    Raises
    ------
    ArtifactError
        If a file is missing, truncated, of another kind, or the two do not belong together.
    """
    path = folder / "catalog.json"
    meta = read_json(path, expect=_FORMAT)
    tensors = load_tensors(folder / "catalog.safetensors")
    if meta.get("tensors_sha256") != file_sha256(folder / "catalog.safetensors"):
        raise ArtifactError(
            f"{folder}: catalog.safetensors and catalog.json are not of one saving; save it again"
        )
    if meta.get("version") != VERSION:
        raise ArtifactError(
            f"{path} has version {meta.get('version')!r}, this lefs reads {VERSION}; "
            "dissect again, or use the lefs that wrote it"
        )
    try:
        return {
            **{name: tensors[name] for name in _TENSORS},
            **{name: tensors[name].double() for name in _OPTIONAL if name in tensors},
            **{name: meta.get(name, default) for name, default in _LATER.items()},
            "layer": meta["layer"],
            "layers": tuple(StyleLayer.from_json(entry) for entry in meta["layers"]),
            "parts": meta["parts"],
            "generator": GeneratorId(**meta["generator"]),
            "sampling": Sampling(**{**meta["sampling"], "seeds": tuple(meta["sampling"]["seeds"])}),
            "version": meta["version"],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} is not a whole catalog: {error!r}") from error
