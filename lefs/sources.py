"""What an image is made from: a seed, a w, W+, styles, or what somebody's projector or encoder saved of them.

`source_styles` turns any of these into styles. `KeptStyles` is how a recipe keeps those that no seed gives,
`KeptMask` how it keeps a mask that somebody drew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from lefs.checks import Label, check_integer, check_seed
from lefs.generator import Generator, GeneratorId
from lefs.images import Picture, read_mask
from lefs.records import ArtifactError, looked_up, whole_record
from lefs.showing import Shown

__all__ = [
    "INVERSION", "Inverted", "KeptMask", "KeptStyles", "Source",
    "check_source", "keep_source", "source_styles",
]  # fmt: skip

INVERSION = "lefs-inversion"  # the format of a saved `lefs.Inversion`

_WIDEST = 8192  # side of a mask, in pixels


@runtime_checkable
class Inverted(Protocol):
    """What has styles and says whose they are, as `lefs.Inversion`."""

    @property
    def styles(self) -> Tensor:
        """Shape (1, S)."""

    @property
    def generator(self) -> GeneratorId:
        """Whose styles they are."""

    @property
    def name(self) -> str:
        """For people."""


@dataclass(frozen=True, repr=False)
class KeptStyles(Shown):
    """Styles of one image as plain text with a digest: equal, hashable, ready for JSON, exact to the bit.

    Attributes
    ----------
    text : str
        The numbers, float32 with the lowest byte first, in base64: 4 characters for 3 bytes.
    sha256 : str
        Of these bytes.
    name : str
        For people; ``str`` gives it.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> kept = lefs.KeptStyles.of(generator.sample([1]), name="me")
    >>> str(kept), bool((kept.styles() == generator.sample([1])).all())
    ('me', True)
    """

    text: str
    sha256: str
    name: str = "picture"

    @classmethod
    def of(cls, styles: Tensor, name: str = "picture") -> KeptStyles:
        """Keep styles of shape (1, S)."""
        written = styles.detach().cpu().float().numpy().astype("<f4").tobytes()
        return cls(base64.b64encode(written).decode(), hashlib.sha256(written).hexdigest(), name)

    def styles(self) -> Tensor:
        """The styles, (1, S), float32; an `ArtifactError` if text and digest do not belong together."""
        written = _decoded(f"the styles of {self.name!r} are not those that were", self.text, self.sha256)
        return torch.from_numpy(np.frombuffer(written, "<f4").astype(np.float32))[None]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class KeptMask:
    """A mask that somebody drew, as plain text with a digest: equal, hashable, ready for JSON.

    Attributes
    ----------
    text : str
        A bit for each pixel, row by row, deflated (zlib), in base64.
    sha256 : str
        Of the bits.
    height, width : int
        In pixels, at most 8,192.

    Examples
    --------
    >>> import lefs, torch
    >>> drawn = torch.zeros(64, 64, dtype=torch.bool)
    >>> drawn[40:50, 20:44] = True
    >>> bool((lefs.KeptMask.of(drawn).mask() == drawn).all())
    True
    """

    text: str
    sha256: str
    height: int
    width: int

    @classmethod
    def of(cls, mask: Picture | KeptMask) -> KeptMask:
        """Keep where a picture, or an array or Tensor (H, W), is bright (`lefs.images.read_mask`).

        A ValueError if nothing is brighter than half, so that there is no place to edit.
        """
        if isinstance(mask, KeptMask):
            return mask
        drawn = read_mask("mask", mask)
        if not drawn.any() or max(drawn.shape) > _WIDEST:
            raise ValueError(
                f"mask must be bright (over half) where the part is, and at most {_WIDEST:,} pixels wide and "
                f"high; got {int(drawn.sum())} bright pixels of {drawn.shape[0]} x {drawn.shape[1]}"
            )
        bits = np.packbits(drawn).tobytes()
        text = base64.b64encode(zlib.compress(bits, 9)).decode()
        return cls(text, hashlib.sha256(bits).hexdigest(), *drawn.shape)

    def mask(self) -> Tensor:
        """Bool (H, W); an `ArtifactError` if text and digest do not belong together."""
        height, width = (
            check_integer(f"mask's {name}", getattr(self, name), minimum=1, maximum=_WIDEST)
            for name in ("height", "width")
        )
        size = (height * width + 7) // 8

        def inflate(packed: bytes) -> bytes:
            bits = zlib.decompressobj().decompress(packed, size + 1)
            return bits if len(bits) == size else b""  # (which is no mask's)

        bits = _decoded("the mask is not the one that was", self.text, self.sha256, inflate)
        drawn = np.unpackbits(np.frombuffer(bits, np.uint8), count=height * width)
        return torch.from_numpy(drawn.reshape(height, width).astype(bool))


def _decoded(what: str, text: str, sha256: str, unpack: Callable[[bytes], bytes] = bytes) -> bytes:
    """The bytes of a text in base64; an `ArtifactError` unless they have that digest."""
    try:
        found = unpack(base64.b64decode(text, validate=True))
        if hashlib.sha256(found).hexdigest() == sha256:
            return found
    except (binascii.Error, TypeError, ValueError, zlib.error):
        pass
    raise ArtifactError(
        f"{what} saved: the SHA-256 is another one; take the recipe from where it was made again"
    )


Source = int | Tensor | np.ndarray | str | os.PathLike[str] | KeptStyles | Inverted


def check_source(name: str, source: Source) -> Source:
    """Return `source`, or the seed that it stands for; an error names the argument."""
    if isinstance(source, str | os.PathLike | KeptStyles | Inverted):
        return source
    # (an array without axes is a number)
    return source if isinstance(source, Tensor | np.ndarray) and source.ndim else check_seed(name, source)


def source_styles(
    generator: Generator, source: Source, *, truncation: float = 1.0, label: Label | None = None
) -> Tensor:
    """Styles of an image, whatever it is given as.

    Parameters
    ----------
    generator : Generator
    source : int, Tensor, ndarray, path, KeptStyles or Inversion
        A seed; a w of shape (D,), a W+ of shape (L, D) or styles of shape (S,), of any float type, also with
        a batch axis of one; the file of a saved `lefs.Inversion`; or a file that holds such a tensor:
        ``.npy``, ``.npz`` (as the official projectors write, key ``w``), or a ``.pt``, of which nothing is
        run. Noise maps that a projector fitted are left alone.
    truncation : float
        ψ of a seed; all else is taken as it is.
    label : int or tuple of float, optional
        The class of a seed, for a conditional generator; or a number for each class.

    Returns
    -------
    Tensor of shape (1, S), float32, on the generator's device
        Of a generator without styles (ProGAN): the latent, with its one-hot class.

    Raises
    ------
    ValueError, TypeError
        If the tensor has NaN, or another shape than this generator's w, W+ and styles; or a seed is none.
    ArtifactError
        The same of a file; and for one of another generator, a picture, or what is damaged.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> w = generator.map(generator.latents([1]))
    >>> bool((lefs.source_styles(generator, w.numpy()) == lefs.source_styles(generator, 1)).all())
    True
    """
    source = check_source("source", source)
    if isinstance(source, int):
        return generator.sample([source], truncation=truncation, labels=None if label is None else [label])
    if isinstance(source, str | os.PathLike):
        return _from_file(generator, looked_up(source))
    if isinstance(source, KeptStyles):
        return _fitting(generator, source.styles(), repr(source.name))
    if isinstance(source, Inverted):
        _check_owner(generator, source.generator)
        source = source.styles
    return _fitting(generator, source, "source")


def keep_source(
    generator: Generator, source: Source, *, truncation: float = 1.0, label: Label | None = None
) -> int | KeptStyles:
    """What a recipe keeps of a source: a seed as it is, of all else the styles.

    Parameters and errors are those of `source_styles`.

    Returns
    -------
    int or KeptStyles
        Itself a source; its ``str`` is a name for people.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> lefs.keep_source(generator, 2017), str(lefs.keep_source(generator, generator.mean_w()))
    (2017, 'picture')
    """
    source = check_source("source", source)
    if isinstance(source, int):
        return source
    found = source_styles(generator, source, truncation=truncation, label=label)
    if isinstance(source, KeptStyles):
        return source
    name = Path(source).stem if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    return KeptStyles.of(found, name if isinstance(name, str) else "picture")


def _fitting(generator: Generator, given: Any, what: str) -> Tensor:
    """The styles of a w, W+ or σ; a ValueError if it is of another size."""
    if not (given.is_floating_point() if isinstance(given, Tensor) else given.dtype.kind == "f"):
        raise TypeError(f"{what} must hold floating-point numbers, got {given.dtype}")
    if isinstance(given, np.ndarray):  # (torch takes no other machine's byte order, and no unusual strides)
        given = np.array(given, np.float64, order="C")
    values = torch.as_tensor(given).detach().to(generator.device, torch.float32)
    sizes: tuple[tuple[int, ...], ...]
    if generator.has_styles:
        sizes = (generator.num_styles,), (generator.w_dim,), (generator.num_ws, generator.w_dim)
        wanted = f"w of shape {sizes[1]}, W+ of shape {sizes[2]} or styles of shape {sizes[0]}"
    else:
        sizes = ((generator.z_dim + generator.label_dim,),)
        wanted = f"latent of shape {sizes[0]}"
    rows = tuple(values.shape)
    while rows not in sizes and len(rows) > 1 and rows[0] == 1:
        rows = rows[1:]
    if rows not in sizes:
        raise ValueError(
            f"{what} must be one image's {wanted}, as {generator.name!r} has them, got "
            f"{tuple(values.shape)}; it is of another network, or of several images: give a single row"
        )
    if not bool(values.isfinite().all()):
        raise ValueError(f"{what} has NaN or infinite numbers; it comes from a fit that diverged")
    values = values.reshape(1, *rows)
    if rows == sizes[0]:
        return values.clone()
    with torch.no_grad():
        return generator.styles((values if values.ndim == 3 else values[:, None]).expand(1, *sizes[-1]))


def _check_owner(generator: Generator, owner: GeneratorId) -> None:
    """Raise an `ArtifactError` unless an inversion is of this generator, or of the one it was tuned from."""
    tuned_from = (generator.origin or {}).get("tuned_from")
    if not isinstance(tuned_from, Mapping) or tuned_from.get("fingerprint") != owner.fingerprint:
        owner.check(generator, what="inversion", remedy="invert the picture with that one")


# -- files -------------------------------------------------------------------------------------------------


def _from_file(generator: Generator, path: Path) -> Tensor:
    if path.suffix in (".json", ".safetensors"):
        with whole_record(path, expect=INVERSION) as (content, tensors, _):
            owner, given = GeneratorId.from_json(content["generator"]), tensors["styles"]
        _check_owner(generator, owner)
    else:
        import lefs  # (the readers of other people's files lie further to the right)

        given = lefs.files.read_latent(path)
    try:
        return _fitting(generator, given, "its tensor")
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: {error}") from None
