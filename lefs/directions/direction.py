"""Directions as what they do to the styles: kept, moved along, saved."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lefs.artifacts import ArtifactError, file_sha256, load_tensors, read_json, save_tensors, write_json
from lefs.catalog import GeneratorId
from lefs.checks import check_choice, check_number
from lefs.directions.ranges import Layers, check_styles_shape, layer_range, style_mask
from lefs.generators import Generator

__all__ = ["Direction", "Directions", "move", "walk"]

_FORMAT, _VERSION = "lefs-directions", 1
_TENSORS = ("latents", "styles", "deviations", "explained")


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction, as what it does to the styles.

    Attributes
    ----------
    name : for people, such as ``"principal 0"``
    styles : Tensor of shape (S,), float32: σ(w + v) − σ(w) in its layers, 0 elsewhere; v has unit length
    deviation : standard deviation of w along v, the unit that amounts are given in
    explained : the direction's share of all variance (principal) or of all eigenvalues (closed-form)
    layers : names of the style layers that it moves
    generator : `GeneratorId`
    """

    name: str
    styles: Tensor
    deviation: float
    explained: float
    layers: tuple[str, ...]
    generator: GeneratorId

    def check_generator(self, generator: Generator) -> None:
        """Raise an `ArtifactError` that names both if this direction is of another generator."""
        _check_owner(self.generator, generator, "direction")

    def within(self, generator: Generator, layers: Layers) -> Direction:
        """The direction in those of its layers that lie in a range (see `layer_range`) too."""
        self.check_generator(generator)
        kept = tuple(name for name in self.layers if name in layer_range(generator, layers))
        if not kept:
            raise ValueError(f"layers: {self.name} moves none of {layers!r}, only {', '.join(self.layers)}")
        styles = torch.where(style_mask(generator, layers).cpu(), self.styles, 0.0)
        return replace(self, styles=styles, layers=kept)


@dataclass(frozen=True, eq=False)
class Directions(Sequence[Direction]):
    """Directions of one generator, the most important first; ``directions[0]`` is a `Direction`.

    Attributes
    ----------
    method : ``"principal"`` or ``"closed-form"``
    latents : Tensor of shape (n, D), float64, orthonormal: directions v of w. The entry of largest size is
        positive, which settles the sign.
    styles : Tensor of shape (n, S), float32, what each does to the styles; see `Direction`
    deviations, explained : Tensor of shape (n,), float64; see `Direction`
    layers : names of the style layers that they move
    generator : `GeneratorId`
    """

    method: Literal["principal", "closed-form"]
    latents: Tensor
    styles: Tensor
    deviations: Tensor
    explained: Tensor
    layers: tuple[str, ...]
    generator: GeneratorId

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("principal", "closed-form"))
        for name, rank in zip(_TENSORS, (2, 2, 1, 1), strict=True):
            found = tuple(getattr(self, name).shape)
            if len(found) != rank or found[0] != len(self.deviations):
                raise ValueError(f"{name} must have {rank} dimensions and a row a direction, got {found}")

    def __len__(self) -> int:
        return len(self.deviations)

    def __getitem__(self, index: Any) -> Any:
        """The `Direction` of an index, or a tuple of those of a slice."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} directions, 0 to {len(self) - 1}; got {index}")
        i = index % len(self)
        numbers = float(self.deviations[i]), float(self.explained[i])
        return Direction(f"{self.method} {i}", self.styles[i], *numbers, self.layers, self.generator)

    def __iter__(self) -> Iterator[Direction]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        shares = ", ".join(f"{s:.1%}" for s in self.explained[:4].tolist())
        return (
            f"Directions of {self.generator.label!r}: {len(self)} {self.method} in {len(self.layers)} "
            f"layers, explaining {shares}{', ...' if len(self) > 4 else ''}"
        )

    def check_generator(self, generator: Generator) -> None:
        """Raise an `ArtifactError` that names both if these are directions of another generator."""
        _check_owner(self.generator, generator, "set of directions")

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``directions.safetensors`` and ``directions.json``; each is replaced whole or not."""
        folder = Path(folder)
        tensors = save_tensors(
            folder / "directions.safetensors", {name: getattr(self, name) for name in _TENSORS}
        )
        meta = {
            "format": _FORMAT,
            "version": _VERSION,
            "method": self.method,
            "layers": list(self.layers),
            "generator": asdict(self.generator),
            "tensors_sha256": file_sha256(tensors),
        }
        write_json(folder / "directions.json", meta)
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Directions:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is missing, truncated, of another kind, or the two do not belong together.
        """
        path = Path(folder) / "directions.json"
        meta = read_json(path, expect=_FORMAT)
        tensors = load_tensors(Path(folder) / "directions.safetensors")
        if meta.get("tensors_sha256") != file_sha256(Path(folder) / "directions.safetensors"):
            raise ArtifactError(f"{folder}: the two files are not of one saving; save the directions again")
        if meta.get("version") != _VERSION:
            raise ArtifactError(
                f"{path} has version {meta.get('version')!r}, this lefs reads {_VERSION}; "
                "find the directions again, or use the lefs that wrote it"
            )
        try:
            owner = GeneratorId(**meta["generator"])
            given = {name: tensors[name] for name in _TENSORS}
            return cls(meta["method"], **given, layers=tuple(meta["layers"]), generator=owner)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} is not a whole set of directions: {error!r}") from error


def move(
    styles: Tensor, direction: Direction, amount: float | Sequence[float], *, q: Tensor | None = None
) -> Tensor:
    """Go along a direction: σ + amount · q ⊙ d, everywhere or only in the channels of a part.

    Parameters
    ----------
    styles : Tensor of shape (N, S)
    direction : `Direction`
    amount : in standard deviations of w along the direction; one number, or one for each of N styles (or for
        copies of a single one)
    q : Tensor of shape (S,) or (N, S), in [0, 1]: which channels move, such as ``catalog.query(part)``; None
        moves all. 0 leaves the target bit for bit, 1 is the global move.

    Returns
    -------
    Tensor of shape (N, S)
    """
    check_styles_shape("styles", styles, len(direction.styles))
    numbers = [check_number("amount", a) for a in np.atleast_1d(amount).tolist()]
    if len(styles) != 1 and len(numbers) not in (1, len(styles)):
        raise ValueError(f"amount must be one number or {len(styles)}, one an image; got {len(numbers)}")
    step = direction.styles.to(styles) * (styles.new_tensor(numbers) * direction.deviation)[:, None]
    if q is not None:
        _check_query(q, max(len(styles), len(step)), styles.shape[1])
        step = step * q.to(step)
    # (adding zero would turn −0 into 0)
    return torch.where(step == 0, styles, styles + step)


def _check_query(q: Tensor, images: int, channels: int) -> None:
    shape = tuple(q.shape)
    rows = shape[0] if len(shape) == 2 else 1
    if shape[-1:] != (channels,) or len(shape) > 2 or (images != 1 and rows not in (1, images)):
        wanted = f"({channels},) or ({images}, {channels})"
        raise ValueError(f"q must have the {channels} channels of styles, shape {wanted}; got {shape}")
    if bool(((q < 0) | (q > 1) | q.isnan()).any()):
        raise ValueError(f"q must lie in [0, 1]; it goes from {float(q.min()):g} to {float(q.max()):g}")


def walk(
    styles: Tensor, direction: Direction, amounts: Sequence[float], *, q: Tensor | None = None
) -> Tensor:
    """Styles along a path from one image: (len(amounts), S); see `move`.

    Parameters
    ----------
    styles : Tensor of shape (1, S)
    amounts : steps in standard deviations; 0 is the image itself
    """
    if len(styles) != 1:
        raise ValueError(f"styles must be those of one image, (1, S); got {tuple(styles.shape)}")
    if not len(amounts):
        raise ValueError("amounts is empty; give steps in standard deviations, for example [-2, 0, 2]")
    return move(styles, direction, list(amounts), q=q)


def _check_owner(owner: GeneratorId, generator: Generator, what: str) -> None:
    if owner.fingerprint != generator.fingerprint:
        raise ArtifactError(
            f"this {what} belongs to generator {owner} and not to {GeneratorId.of(generator)}; "
            "compute that one's own"
        )
