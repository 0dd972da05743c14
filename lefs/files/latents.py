"""A w, W+ or styles in a file that somebody's projector or encoder wrote."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lefs.files.reading import read_tree
from lefs.records import ArtifactError, looked_up

__all__ = ["is_picture", "read_latent"]

_MOST = 2**26  # bytes of a file of latents
_KEYS = ("w", "latent", "latents", "w_plus", "w_pivot", "styles")
_DEPTH = 4  # of mappings and lists around the one tensor of a file
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")


def is_picture(source: Any) -> bool:
    """Whether a source is the file of a picture, of which `lefs.invert` finds the styles first.

    Examples
    --------
    >>> import lefs
    >>> lefs.files.is_picture("me.jpg"), lefs.files.is_picture(2017)  # (there is no such file)
    (False, False)
    """
    path = looked_up(source) if isinstance(source, str | os.PathLike) else None
    return path is not None and path.is_file() and _head(path).startswith(_PICTURES)


def read_latent(path: Path) -> Any:
    """The one tensor of a file of somebody else's, an array or a Tensor; an `ArtifactError` if there is none.

    Parameters
    ----------
    path : Path
        A ``.npy``, a ``.npz``, or what `read_tree` reads; the tensor is the only one, or under a usual key.

    Examples
    --------
    >>> import lefs, numpy, tempfile
    >>> path = lefs.files.latents.Path(tempfile.mkdtemp()) / "projected_w.npz"
    >>> numpy.savez(path, w=numpy.zeros((1, 12, 64)))
    >>> lefs.files.read_latent(path).shape
    (1, 12, 64)
    """
    if not path.is_file():
        raise ArtifactError(f"{path} is not a file; give a seed, or a .npz, .npy, .pt or saved inversion")
    head = _head(path)
    if head.startswith(_PICTURES):
        raise ArtifactError(
            f"{path} is a picture; lefs.invert(generator, {str(path)!r}) finds its styles first"
        )
    if head.startswith((b"\x93NUMPY", b"PK")) and (arrays := _arrays(path)) is not None:
        return _only(arrays, path)
    return _only(read_tree(path), path)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _arrays(path: Path) -> Any:
    """What numpy reads without unpickling: an array, or those of a ``.npz``; None for any other archive."""
    try:
        with path.open("rb") as file:
            read = np.load(file, allow_pickle=False)
            if isinstance(read, np.ndarray):
                return read
            sizes = [m.file_size for m in read.zip.infolist() if m.filename.endswith(".npy")]
            if sum(sizes) > _MOST:
                raise ValueError(f"{sum(sizes):,} bytes are more than the latents of one image can have")
            return dict(read) if sizes else None
    except zipfile.BadZipFile:  # (torn: whoever reads checkpoints says how)
        return None
    except Exception as error:  # (damaged files make numpy raise nearly anything)
        raise ArtifactError(f"{path} is not a whole file of numpy arrays: {error}") from None


def _only(tree: Any, path: Path, depth: int = 0) -> Any:
    """The tensor in a file's tree: under a usual key, or the only value at all."""
    if isinstance(tree, Tensor | np.ndarray):
        return tree
    if isinstance(tree, Mapping):
        known = [tree[k] for k in _KEYS if k in tree]
        tree = known[:1] or list(tree.values())
    if isinstance(tree, list | tuple) and len(tree) == 1 and depth < _DEPTH:
        return _only(tree[0], path, depth + 1)
    raise ArtifactError(
        f"{path} does not hold one tensor, by itself or under {', '.join(map(repr, _KEYS))}; "
        "take the w of one image out of it"
    )
