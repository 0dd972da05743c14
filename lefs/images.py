"""Pixels and colour: images are tensors of shape (N, 3, H, W), float, nominally in [-1, 1]."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.color import deltaE_cie76, rgb2lab
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from lefs.artifacts import write_atomically

__all__ = ["colour_difference", "resample_partition", "save_png", "to_uint8"]


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Convert images to bytes.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W) or (3, H, W)
        Values in [-1, 1]; what lies beyond is clipped.

    Returns
    -------
    ndarray of shape (N, H, W, 3) or (H, W, 3), uint8
    """
    levels = images.detach().float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return levels.movedim(-3, -1).cpu().numpy()


def save_png(path: str | os.PathLike[str], image: torch.Tensor) -> Path:
    """Write one image of shape (3, H, W) as PNG, atomically."""
    picture = Image.fromarray(to_uint8(image))
    return write_atomically(path, lambda p: picture.save(p, format="PNG"))


def colour_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """CIE76 colour difference at each pixel, in ΔE units (1 is about the least that one can see).

    Parameters
    ----------
    a, b : Tensor of shape (..., 3, H, W)
        sRGB in [-1, 1], clamped; the shapes broadcast.

    Returns
    -------
    Tensor of shape (..., H, W), float32, at least 0
    """
    labs = [rgb2lab(_unit_srgb(x)) for x in torch.broadcast_tensors(a, b)]
    return torch.from_numpy(deltaE_cie76(*labs).astype(np.float32)).to(a.device)


def _unit_srgb(images: torch.Tensor) -> np.ndarray:
    return images.detach().clamp(-1, 1).add(1).div(2).movedim(-3, -1).double().cpu().numpy()


def resample_partition(membership: torch.Tensor, size: int) -> torch.Tensor:
    """Bring memberships of shape (N, K, h, w) to (N, K, size, size) with Σ_k kept at 1 everywhere.

    Up: nearest neighbour. Down: the mean over each area, so that a position on a border belongs to
    several clusters in proportion.
    """
    side = membership.shape[-1]
    if size == side:
        return membership
    if size > side:
        return interpolate(membership, size=(size, size), mode="nearest")
    return adaptive_avg_pool2d(membership, size)
