"""Whose file is this? → a generator."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.artifacts import ArtifactError, load_tensors, locate, read_json, save_tensors, write_json
from lefs.generators import filling
from lefs.generators.base import Generator
from lefs.generators.publishers import Parsed
from lefs.generators.unpickle import read_pickle, read_torch, sniff

__all__ = ["ARCHITECTURES", "READERS", "load", "save_generator"]

_FORMAT = "lefs-generator"

# architecture → (module of lefs.generators, generator class, configuration class); imported when needed
ARCHITECTURES = {
    "stylegan2": ("stylegan2", "StyleGAN2", "StyleGAN2Config"),
    "stylegan3": ("stylegan3", "StyleGAN3", "StyleGAN3Config"),
    "stylegan": ("stylegan", "StyleGAN", "StyleGANConfig"),
    "progan": ("progan", "ProGAN", "ProGANConfig"),
}

# modules of lefs.generators.publishers, in the order in which they are asked
READERS = (
    "nvlabs_stylegan2",
    "nvlabs_stylegan3",
    "tensorflow",
    "rosinality_stylegan2",
    "rosinality_stylegan",
    "genforce",
    "lernapparat",
)


def load(name_or_path: str | os.PathLike[str], *, device: str | torch.device | None = None) -> Generator:
    """Load a trained generator. Nothing that the file contains is executed.

    Parameters
    ----------
    name_or_path : ``"portraits"`` (the embedded one); a publisher's file (.pkl, .pt, .pth, .model); a folder
        that holds ``generator.safetensors`` and ``generator.json``, or the path of either of the two
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
    own = path.is_dir() or path.suffix in (".safetensors", ".json")
    generator = _load_own(path) if own else _load_published(path)
    return generator if device is None else generator.to(device)


def _load_own(path: Path) -> Generator:
    folder, stem = (path, "generator") if path.is_dir() else (path.parent, path.stem)
    meta = read_json(folder / f"{stem}.json", expect=_FORMAT)
    try:
        parsed = Parsed(meta["architecture"], meta["config"], {})
    except KeyError as error:
        raise ArtifactError(f"{folder / stem}.json lacks {error}; it is not whole") from None
    file = folder / f"{stem}.safetensors"
    generator = build(parsed, load_tensors(file), file)
    return _finished(generator, str(meta.get("label", folder.name)), file)


def _load_published(path: Path) -> Generator:
    tree = _read(path)
    for name in READERS:
        reader = _reader(name)
        if reader is not None and reader.matches(tree):
            parsed = reader.read(tree, path)
            generator = _finished(build(parsed, parsed.tensors, path), path.stem, path)
            generator.make_discriminator = parsed.discriminator
            return generator
    raise ArtifactError(f"{path} holds no generator that lefs knows; found {describe_tree(tree)}")


def _read(path: Path) -> Any:
    reader = read_torch if sniff(path).startswith("torch") else read_pickle
    return reader(path, align=False)


def _reader(name: str) -> Any:
    full = f"lefs.generators.publishers.{name}"
    return importlib.import_module(full) if importlib.util.find_spec(full) else None


def describe_tree(tree: Any) -> str:
    """One line on what a value tree holds, for an error message."""
    if isinstance(tree, Mapping):
        names = ", ".join(repr(k) for k in list(tree)[:8])
        return f"a dictionary of {len(tree)} entries: {names}{', ...' if len(tree) > 8 else ''}"
    return (
        f"an object of {tree.module}.{tree.name}" if hasattr(tree, "module") else f"a {type(tree).__name__}"
    )


def build(parsed: Parsed, tensors: Mapping[str, Tensor], path: Path) -> Generator:
    """Make the architecture without memory, check every tensor against it, then put them in."""
    if parsed.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ArtifactError(f"{path}: unknown architecture {parsed.architecture!r}; expected one of {known}")
    module, network, config = ARCHITECTURES[parsed.architecture]
    classes = importlib.import_module(f"lefs.generators.{module}")

    def make() -> Generator:
        made: Generator = getattr(classes, network)(getattr(classes, config)(**parsed.config))
        return made

    return filling.build(make, tensors, path, what=network)


def _finished(generator: Generator, label: str, source: Path) -> Generator:
    generator.label = label
    generator.freeze()
    generator.source = source.resolve()
    return generator


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
