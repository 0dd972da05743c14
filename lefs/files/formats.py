"""Whose file is this? → a generator."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lefs import models, records
from lefs.checks import check_choice, check_device
from lefs.files.publishers import Parsed
from lefs.files.publishers.unknown import explain
from lefs.files.reading import MappedFile, aligned, opened, read_tree
from lefs.generator import Generator
from lefs.models.layers import shapes_only
from lefs.records import ArtifactError

__all__ = ["ARCHITECTURES", "READERS", "build", "convert", "fill", "load", "save_generator"]

_FORMAT = "lefs-generator"

# architecture → generator class and configuration class, of lefs.models
ARCHITECTURES = {
    "stylegan2": (models.StyleGAN2, models.StyleGAN2Config),
    "stylegan3": (models.StyleGAN3, models.StyleGAN3Config),
    "stylegan": (models.StyleGAN, models.StyleGANConfig),
    "progan": (models.ProGAN, models.ProGANConfig),
}

_WEIGHTS = (".pkl", ".pt", ".pth", ".model")  # what publishers' files end in

# format to convert to → module of lefs.files.publishers that writes it
_WRITERS = {"rosinality": "rosinality_stylegan2", "nvidia-state-dict": "nvlabs_state_dict"}

# modules of lefs.files.publishers, in the order in which they are asked
READERS = (
    "nvlabs_stylegan2", "nvlabs_stylegan3", "tensorflow", "nvlabs_state_dict", "rosinality_stylegan2",
    "rosinality_stylegan", "genforce", "lernapparat",
)  # fmt: skip


def load(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    label: int | Sequence[float] | None = None,
) -> Generator:
    """Load a trained generator. Nothing that the file contains is executed.

    Parameters
    ----------
    name_or_path : str or path
        ``"portraits"`` or another embedded one; a publisher's file (.pkl, .pt, .pth, .model); a folder that
        holds ``generator.safetensors``, or the path of such a file.
    device : str or torch.device, optional
        Where to put it; None keeps it on the CPU.
    label : int or sequence of float, optional
        Of a conditional generator, the class, or a number for each, to take wherever none is given.

    Returns
    -------
    Generator
        In eval mode, without gradients to its weights.

    Raises
    ------
    ArtifactError
        If it is missing, truncated, of another kind, or its tensors are not what its architecture needs.

    Examples
    --------
    >>> import lefs
    >>> lefs.load("portraits-64").size
    (64, 64)
    """
    place = None if device is None else check_device(device)
    path = records.locate(name_or_path)
    own = path.is_dir() or path.suffix in (".safetensors", ".json")
    generator = _load_own(path) if own else _load_published(path)
    generator = generator if label is None else generator.with_label(label)
    return generator if place is None else generator.to(place)


def _load_own(path: Path) -> Generator:
    if path.is_dir() and not (own := records.record_file(path, _FORMAT)).exists():
        if [*path.glob("data.pkl"), *path.glob("*/data.pkl")]:
            raise ArtifactError(
                f"{path} is an unpacked PyTorch file: zip the whole folder, and load the .zip"
            )
        inside = sorted(f.name for f in path.iterdir() if f.suffix in (*_WEIGHTS, ".safetensors"))
        listed = f", such as {', '.join(map(repr, inside[:3]))}" if inside else ""
        raise ArtifactError(f"{own} does not exist; give the path of a generator's file{listed}")
    meta, tensors, file = records.load_record(path, expect=_FORMAT)
    try:
        parsed = Parsed(meta["architecture"], meta["config"], {})
    except KeyError as error:
        raise ArtifactError(f"{file} lacks {error}; it is not whole") from None
    generator = build(parsed, tensors, file)
    return _finished(generator, str(meta.get("label", file.parent.name)), file, meta.get("origin"))


# -- publishers' files -------------------------------------------------------------------------------------


def _load_published(path: Path) -> Generator:
    with opened(path) as file:
        parsed = _parse(read_tree(file), path)
        generator = build(parsed, parsed.tensors, path, file)
        file.check_unchanged()
    return _finished(generator, path.stem, path, parsed.notes)


def _parse(tree: Any, path: Path) -> Parsed:
    try:
        for name in READERS:
            publisher = importlib.import_module(f"lefs.files.publishers.{name}")
            if publisher.matches(tree):
                parsed: Parsed = publisher.read(tree, path)
                return parsed
        found = explain(tree)
    except ArtifactError:
        raise
    except Exception as error:
        # Every known case has its own message; this is for what nobody thought of.
        if records.lacks_memory(error):
            raise records.not_enough_memory(path) from None
        told = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"{path} is damaged, or a variant that lefs does not know: {told}") from None
    raise ArtifactError(f"{path} holds no generator that lefs knows: {found}")


def build(
    parsed: Parsed, tensors: Mapping[str, Tensor], path: Path, source: MappedFile | None = None
) -> Generator:
    """Make the architecture without memory for its tensors, check `tensors` against it, and put them in.

    Raises
    ------
    ArtifactError
        If the configuration or the tensors do not describe such a network.
    """
    if not isinstance(parsed.architecture, str) or parsed.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ArtifactError(f"{path}: unknown architecture {parsed.architecture!r}; expected one of {known}")
    network, config = ARCHITECTURES[parsed.architecture]
    try:
        with shapes_only():
            generator: Generator = network(config(**parsed.config))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise ArtifactError(f"{path}: its config does not describe a {network.__name__}: {error}") from error
    fill(generator, tensors, path, source)
    return generator


def fill(
    network: nn.Module, tensors: Mapping[str, Tensor], path: Path, source: MappedFile | None = None
) -> None:
    """Put `tensors` into `network` as float32 if they have the right names and shapes and are finite.

    Parameters
    ----------
    network : Module
        Its tensors may be of the meta device, and are replaced.
    tensors : mapping of str to Tensor
        Exactly the network's ``state_dict``, by name.
    path : Path
        Of the file, for error messages.
    source : MappedFile, optional
        The open file that `tensors` may be views of; they are read from it, and all copied, as a view would
        change with its file, or end with it. None: they are of no file any more, and are taken as they are.

    Raises
    ------
    ArtifactError
        If they do not fit; `network` is then as it was.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wrong := sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)):
        first = wrong[0]
        raise ArtifactError(
            f"{path} does not fit its architecture in {len(wrong)} tensors, first {first!r}: "
            f"expected shape {expected.get(first, 'absent')}, found {found.get(first, 'absent')}"
        )
    try:
        ready = {name: _copied(tensor.detach(), source) for name, tensor in tensors.items()}
    except (MemoryError, RuntimeError) as error:
        if not records.lacks_memory(error):
            raise
        raise records.not_enough_memory(
            path, sum(4 * tensor.numel() for tensor in tensors.values())
        ) from None
    if bad := next((name for name, tensor in ready.items() if not _finite(tensor)), None):
        raise ArtifactError(f"{path} has NaN or infinite values in {bad!r}: its training may have diverged")
    network.load_state_dict(ready, assign=True)


def _copied(tensor: Tensor, source: MappedFile | None) -> Tensor:
    if source is not None:
        return source.copy(tensor)
    # (`to` alone leaves a transposed tensor as it lies, which is slower and rounds otherwise)
    return aligned(tensor).to(torch.float32).contiguous()


def _finite(tensor: Tensor) -> bool:
    # They show in the smallest or the largest number, without memory of the tensor's size.
    return not tensor.numel() or bool(torch.isfinite(torch.stack(tensor.aminmax())).all())


def _finished(generator: Generator, name: str, source: Path, origin: Any) -> Generator:
    generator.name = records.printable(name, 200)
    generator.freeze()
    generator.source = source.resolve()
    generator.origin = dict(origin) if isinstance(origin, dict) else {}
    return generator


# -- writing -----------------------------------------------------------------------------------------------


def save_generator(
    generator: Generator,
    path: str | os.PathLike[str],
    *,
    name: str,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``generator.safetensors`` into a folder, or a file of one's own name, atomically.

    Parameters
    ----------
    generator : Generator
    path : str or path
        A folder, or a name that ends in ``.safetensors``.
    name : str
        A name for people.
    training : mapping, optional
        A summary of how it was made, plain JSON values.

    Returns
    -------
    Path
        What `load` takes: the folder, or the file where one was named.

    Raises
    ------
    ArtifactError
        If it cannot be written there.

    Examples
    --------
    >>> import lefs, tempfile
    >>> generator = lefs.load("portraits-64")
    >>> folder = lefs.save_generator(generator, tempfile.mkdtemp(), name="a copy")
    >>> lefs.load(folder).name
    'a copy'
    """
    meta = {
        "label": name,
        "architecture": generator.architecture,
        "config": generator.architecture_config,
        "training": dict(training or {}),
    }
    if generator.origin:
        meta["origin"] = generator.origin
    return records.save_record(path, _FORMAT, meta, generator.state_dict())


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], *, to: str = "lefs") -> Generator:
    """Load any generator and write it in the format of lefs, which loads faster and runs nothing, or another.

    What is written for others is a ``torch.save`` of tensors alone; before it is in its place it is loaded
    again, and has to make the same pictures.

    Parameters
    ----------
    source : str or path
        What `load` takes.
    target : str or path
        A folder, or a file name that ends in ``.safetensors``. For others a file name that ends in ``.pt``
        or ``.pth``.
    to : {"lefs", "rosinality", "nvidia-state-dict"}
        The format; ``"rosinality"`` is a checkpoint of stylegan2-pytorch, with ``g_ema`` and ``latent_avg``,
        ``"nvidia-state-dict"`` what ``G_ema.state_dict()`` is in stylegan2-ada-pytorch; they hold StyleGAN2.

    Returns
    -------
    Generator
        As it was loaded from `source`.

    Raises
    ------
    ArtifactError
        If it cannot be loaded or written, or the format cannot hold it.
    ValueError
        If `to` is none of these.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = convert("portraits-64", f"{folder}/faces.safetensors")
    ...     load(f"{folder}/faces.safetensors").fingerprint == made.fingerprint
    True
    """
    check_choice("to", to, ("lefs", *_WRITERS))
    target = records.looked_up(target)
    if to == "lefs" and target.suffix.lower() in (*_WEIGHTS, ".json", ".bin", ".ckpt"):
        raise ArtifactError(f"{target}: the format of lefs is .safetensors; give such a name, or a folder")
    if to != "lefs" and target.suffix not in (".pt", ".pth"):
        raise ArtifactError(f"{target}: this format is written to a file name that ends in .pt or .pth")
    generator = load(source)
    if to == "lefs":
        save_generator(generator, target, name=generator.name)
    else:
        publisher = importlib.import_module(f"lefs.files.publishers.{_WRITERS[to]}")
        tree = publisher.write(generator)
        records.write_atomically(target, partial(_write_checkpoint, tree, generator))
    return generator


def _write_checkpoint(tree: Any, generator: Generator, path: Path) -> None:
    with path.open("wb") as file:  # (by its name, the archive would be called after the temporary file)
        torch.save(tree, file)
    again = _load_published(path)
    z, labels = generator.latents([0, 1]), [0, 0] if generator.label_dim else None
    both = [made.styles(made.map(z, 0.7, labels)) for made in (generator, again)]
    expected, found = (made.synthesize(s) for made, s in zip((generator, again), both, strict=True))
    difference = float((found - expected).abs().max())
    if difference > 1e-3 * float(expected.abs().max()):
        raise ArtifactError(
            f"{generator.name} would make other pictures in this format, which cannot say where features are "
            f"clamped: they differ by up to {difference:.2g}; use --to lefs"
        )
