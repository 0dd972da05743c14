"""What the figures take: tensors or arrays, checked, as numpy arrays of known shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from lefs.images import opaque, to_uint8
from lefs.plotting.style import cluster_colors

__all__ = ["Names", "overlay", "similarity_colors", "tinted", "upscaled"]

Names = Sequence[str] | Mapping[str, Sequence[int]]

# Small pictures are enlarged to this many pixels before matplotlib resamples them to the page.
_SMOOTH_SIDE = 256


def as_array(name: str, values: Any, *, ndim: int, images: int | None = None) -> np.ndarray:
    """`values` as a finite float64 array of `ndim` dimensions, the first of them as long as so many images.

    Raises
    ------
    TypeError
        If they are not numbers.
    ValueError
        If the shape differs, nothing is in there, or a value is NaN or infinite.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers, got {type(values).__name__}") from None
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} must be a non-empty array of {ndim} dimensions, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has {np.sum(~np.isfinite(array))} values that are NaN or infinite")
    if images is not None and len(array) != images:
        raise ValueError(f"{name} must describe the {images} images given, got {len(array)}")
    return array


def as_images(name: str, images: Any, count: int | None = None) -> np.ndarray:
    """`count` images, shape (N, 3, H, W) or (3, H, W), or a list, in [-1, 1] → (N, H, W, 3) uint8.

    Those with alpha, of 4 channels, lie over a chequerboard.
    """
    listed = isinstance(images, list) and all(isinstance(image, torch.Tensor) for image in images)
    tensor = torch.stack(images) if listed and images else torch.as_tensor(images)
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or tensor.shape[1] not in (3, 4) or 0 in tensor.shape:
        raise ValueError(f"{name} must have shape (N, 3, H, W), got {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be float in [-1, 1], got {tensor.dtype}; a generator makes such images")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} holds NaN or infinite values")
    if count is not None and len(tensor) != count:
        raise ValueError(f"{name} must hold {count} images, got {len(tensor)}")
    return to_uint8(opaque(tensor))


def as_changes(name: str, changes: Any, count: int) -> np.ndarray:
    """Colour differences of shape (N, H, W), or (H, W) where one is asked for, not negative."""
    if np.ndim(changes) == 2:
        changes = changes[None]
    array = as_array(name, changes, ndim=3, images=count)
    if array.min() < 0:
        raise ValueError(
            f"{name} must not be negative, it is a colour difference; its smallest value is {array.min():g}"
        )
    return array


def as_names(names: Names | None, count: int) -> list[str]:
    """One name for each of `count` clusters: a list of names, or a catalog's ``parts``."""
    if names is None:
        names = [f"{k}" for k in range(count)]
    if isinstance(names, Mapping):
        by_cluster = {int(k): part for part, clusters in names.items() for k in clusters}
        if sorted(by_cluster) != list(range(count)):
            raise ValueError(f"names must cover the clusters 0 to {count - 1}, got {sorted(by_cluster)}")
        names = [by_cluster[k] for k in range(count)]
    return as_labels("names", names, count)


def color_index(names: Sequence[str]) -> np.ndarray:
    """The rank of every cluster's part in the order in which parts appear, (K,): which colour it has.

    The first colours are the ones that differ most, so a few named parts get those.
    """
    parts = list(dict.fromkeys(names))
    return np.array([parts.index(name) for name in names])


def cluster_rows(names: Names | None, count: int) -> tuple[list[str], np.ndarray]:
    """Labels of clusters, and colours that agree with the overlays: one a part where clusters are named."""
    labels = as_names(names, count)
    return labels, cluster_colors(count)[color_index(labels)]


def channel_order(contributions: np.ndarray) -> np.ndarray:
    """Channels by the cluster that has most of them, strongest first; dead channels last."""
    strongest, owner = contributions.max(0), contributions.argmax(0)
    return np.lexsort((-strongest, owner, strongest == 0))


def as_labels(name: str, labels: Sequence[str], count: int) -> list[str]:
    """Exactly `count` strings."""
    if isinstance(labels, str) or len(labels) != count:
        raise ValueError(f"{name} must be {count} strings, got {labels!r}")
    return [str(label) for label in labels]


def as_colors(name: str, colors: Any, count: int) -> np.ndarray:
    """`count` colours as an ndarray of shape (count, 3), sRGB in [0, 1]."""
    found = as_array(name, colors, ndim=2)
    if found.shape != (count, 3) or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"{name} must be {count} colours, shape ({count}, 3), in [0, 1]; got {found.shape}")
    return found


def upscaled(pictures: np.ndarray, *, side: int = _SMOOTH_SIDE) -> np.ndarray:
    """Enlarge uint8 pictures (N, H, W, 3) bicubically by the whole number that brings them to `side`."""
    factor = max(1, -(-side // max(pictures.shape[1:3])))
    if factor == 1:
        return pictures
    nchw = torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, 1).float()
    large = interpolate(nchw, scale_factor=factor, mode="bicubic", align_corners=False)
    return large.clamp(0, 255).round().to(torch.uint8).movedim(1, -1).numpy()


def overlay(
    pictures: np.ndarray, labels: np.ndarray, colors: np.ndarray, opacity: float, *, side: int = _SMOOTH_SIDE
) -> np.ndarray:
    """Lay the colour of each position's cluster over pictures, as `tinted` does.

    Parameters
    ----------
    pictures : ndarray of shape (N, H, W, 3), uint8
    labels : ndarray of shape (N, h, w), int
        A negative label is left uncoloured.
    colors : ndarray of shape (K, 3)
        In [0, 1].
    opacity : float
        0 (only the picture) to 1 (only the colour).

    Returns
    -------
    ndarray of shape (N, sH, sW, 3), uint8
    """
    return tinted(pictures, colors[np.maximum(labels, 0)], np.where(labels < 0, 0, opacity), side=side)


def tinted(pictures: np.ndarray, colors: np.ndarray, opacity: Any, *, side: int = _SMOOTH_SIDE) -> np.ndarray:
    """Lay colours (N, h, w, 3) in [0, 1] over uint8 pictures, position by position.

    The picture under a colour turns grey as the colour comes up, so that its own hues cannot be taken for it;
    at opacity 0 it is as it was. `opacity` is one number, or an array of shape (N, h, w).
    """
    base = upscaled(pictures, side=side).astype(np.float32)
    rows, columns = (np.arange(base.shape[i]) * colors.shape[i] // base.shape[i] for i in (1, 2))
    shares = np.broadcast_to(np.float32(opacity), colors.shape[:3])[:, rows][:, :, columns, None]
    over = 255 * colors.astype(np.float32)[:, rows][:, :, columns]
    under = base + shares * (grey(base) - base)
    return (under + shares * (over - under)).round().clip(0, 255).astype(np.uint8)


def grey(pictures: np.ndarray) -> np.ndarray:
    """The brightness of pictures (N, H, W, 3): (N, H, W, 1), float32."""
    return (pictures.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]


def similarity_colors(centers: Any) -> np.ndarray:
    """Colours for clusters, related ones for related clusters: the way to show hundreds of them on pictures.

    Red, green and blue are the ranks of the centres along their first three principal components.

    Parameters
    ----------
    centers : Tensor of shape (K, C), the ``centers`` of a catalog or clustering

    Returns
    -------
    ndarray of shape (K, 3), float64
        sRGB in [0.12, 0.92].

    Examples
    --------
    >>> import torch
    >>> from lefs.plotting import similarity_colors
    >>> similarity_colors(torch.eye(5)).shape
    (5, 3)
    """
    points = as_array("centers", centers, ndim=2)
    left, sizes, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    # (signs that do not depend on the solver; and rounding must not make an order where there is none)
    signs = np.sign(np.take_along_axis(left, np.abs(left).argmax(0)[None], 0))
    components = (left * signs * sizes)[:, :3].round(9)
    ranks = np.full((len(points), 3), len(points) / 2)
    # (of equal ones the mean rank; SciPy has a function for it, and takes a second to import)
    for axis, values in enumerate(components.T):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks[:, axis] = (counts.cumsum() - counts / 2)[place]
    return 0.12 + 0.8 * ranks / len(points)
