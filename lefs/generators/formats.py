"""Whose file is this? → a generator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.artifacts import ArtifactError, load_tensors, locate, read_json, save_tensors, write_json
from lefs.generators.base import Generator
from lefs.generators.stylegan2 import StyleGAN2, StyleGAN2Config

__all__ = ["load", "save_generator"]

_FORMAT = "lefs-generator"


def load(name_or_path: str | os.PathLike[str], *, device: str | torch.device | None = None) -> Generator:
    """Load a trained generator.

    Parameters
    ----------
    name_or_path : ``"portraits"`` (the embedded one), a folder that holds ``generator.safetensors`` and
        ``generator.json``, or the path of either of the two
    device : where to put it; None keeps it on the CPU

    Returns
    -------
    Generator, in eval mode, without gradients to its weights

    Raises
    ------
    ArtifactError
        If it is missing, truncated, of another kind, or its tensors are not what its architecture needs.
    """
    path = locate(name_or_path)
    folder, stem = (path, "generator") if path.is_dir() else (path.parent, path.stem)
    if path.is_file() and path.suffix not in (".safetensors", ".json"):
        raise ArtifactError(
            f"{path} is not a generator of lefs: expected .safetensors with its .json beside it"
        )
    meta = read_json(folder / f"{stem}.json", expect=_FORMAT)
    generator = _build(meta, folder / f"{stem}.json")
    _fill(generator, load_tensors(folder / f"{stem}.safetensors"), folder / f"{stem}.safetensors")
    generator.label = str(meta.get("label", folder.name))
    generator.freeze()
    generator.source = (folder / f"{stem}.safetensors").resolve()
    return generator if device is None else generator.to(device)


def _build(meta: Mapping[str, Any], path: Path) -> Generator:
    found = meta.get("architecture")
    if found != StyleGAN2.architecture:
        raise ArtifactError(f"{path}: unknown architecture {found!r}; expected {StyleGAN2.architecture!r}")
    try:
        # Allocating on "meta" takes no memory before the tensors have been checked.
        with torch.device("meta"):
            return StyleGAN2(StyleGAN2Config(**meta["config"]))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ArtifactError(f"{path}: its configuration does not describe a StyleGAN2: {error}") from error


def _fill(generator: Generator, tensors: dict[str, Tensor], path: Path) -> None:
    expected = {k: tuple(v.shape) for k, v in generator.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in tensors.items()}
    if expected != found:
        names = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        first = names[0]
        raise ArtifactError(
            f"{path} does not fit its architecture in {len(names)} tensors, first {first!r}: "
            f"expected shape {expected.get(first, 'absent')}, found {found.get(first, 'absent')}"
        )
    broken = [k for k, v in tensors.items() if not torch.isfinite(v).all()]
    if broken:
        raise ArtifactError(
            f"{path} has NaN or infinite values in {broken[0]!r}; it may come from a training that diverged"
        )
    generator.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)


def save_generator(
    generator: Generator,
    folder: str | os.PathLike[str],
    *,
    label: str,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``generator.safetensors`` and ``generator.json`` into `folder`, each atomically.

    Parameters
    ----------
    label : a name for people
    training : a summary of how it was made, plain JSON values
    """
    folder = Path(folder)
    save_tensors(folder / "generator.safetensors", generator.state_dict())
    meta = {
        "format": _FORMAT,
        "version": 1,
        "label": label,
        "architecture": generator.architecture,
        "config": generator.architecture_config,
        "training": dict(training or {}),
    }
    write_json(folder / "generator.json", meta)
    return folder
