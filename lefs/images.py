"""Pixels and colour: images are tensors of shape (N, 3, H, W), float, nominally in [-1, 1]."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from lefs.records import write_atomically

__all__ = ["colour_difference", "resample_partition", "save_png", "to_lab", "to_uint8"]

# CIE 1931 of linear sRGB, rows X, Y, Z, each divided by the white point D65 (IEC 61966-2-1)
_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)


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


def to_lab(images: torch.Tensor) -> torch.Tensor:
    """CIELAB (D65) of sRGB images, where they lie.

    Parameters
    ----------
    images : Tensor of shape (..., 3, H, W)
        sRGB in [-1, 1]; what lies beyond is clamped.

    Returns
    -------
    Tensor of shape (..., 3, H, W), float32 (float64 of float64): L in [0, 100], a, b
    """
    unit = images.detach().to(torch.promote_types(images.dtype, torch.float32)).clamp(-1, 1).add(1).div(2)
    linear = torch.where(unit > 0.04045, unit.add(0.055).div(1.055).pow(2.4), unit / 12.92)
    matrix = linear.new_tensor(_XYZ) / linear.new_tensor(_WHITE)[:, None]
    xyz = torch.einsum("rc,...chw->...rhw", matrix, linear)
    roots = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(0).pow(1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = roots.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


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
    # (in one shape and layout: what is equal must be rounded alike)
    labs = [to_lab(x.contiguous()) for x in torch.broadcast_tensors(a, b)]
    return torch.linalg.vector_norm(labs[0] - labs[1], dim=-3).float()


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
