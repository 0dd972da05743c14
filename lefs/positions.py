"""Masks and maps by their position in the picture: grown, moved, brought to another size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, max_pool2d, pad

from lefs.images import resized

__all__ = ["grown", "main_pieces", "offsets", "on_map", "shifted"]

_REACH = 0.125  # how far parts are moved at most, as a share of the picture
_SPECK = 0.05  # of the largest piece of a part: smaller ones are not taken for it


def grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask (N, side, side) and so many pixels around it, as weights (N, 1, side, side)."""
    size = 2 * pixels + 1
    rows = max_pool2d(mask[:, None].float(), (size, 1), stride=1, padding=(pixels, 0))
    return max_pool2d(rows, (1, size), stride=1, padding=(0, pixels))  # (a square's is both in turn)


def main_pieces(masks: Tensor) -> Tensor:
    """Bool masks (N, H, W) without specks: pieces below a twentieth of the largest of the same mask.

    Pixels that touch at a corner hang together. A cluster of dark hair strays into lashes and nostrils; a
    pair of eyes or of ear-rings stays two.
    """
    from scipy import ndimage  # (takes a while, and no import of lefs needs it)

    found = masks.cpu().numpy().copy()
    for mask in found:
        pieces, count = ndimage.label(mask, structure=np.ones((3, 3)))
        if count > 1:
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            mask[:] = (sizes >= _SPECK * sizes.max())[pieces] & mask
    return torch.from_numpy(found).to(masks.device)


def on_map(weights: Tensor, maps: Tensor, margin: int) -> Tensor:
    """Weights over the picture (N, P, h, w) on a map; on its margin those of the nearest inside it."""
    inside = maps.shape[-2] - 2 * margin, maps.shape[-1] - 2 * margin
    found = resized(weights, inside)
    return (pad(found, (margin,) * 4, mode="replicate") if margin else found).to(maps)


def offsets(target_mask: Tensor, reference_mask: Tensor) -> Tensor:
    """How far to move the reference's part so that it lies best over the target's, in whole pixels.

    Parameters
    ----------
    target_mask, reference_mask : bool Tensor of shape (N, H, W), or (1, H, W)

    Returns
    -------
    Tensor of shape (N, 2), float32
        Right and down, as shares of width and height, at most an eighth of the shorter. A pixel farther must
        gain a thousandth of the smaller part; where a part is absent, nothing moves.
    """
    a, b = (mask.float() for mask in torch.broadcast_tensors(target_mask, reference_mask))
    height, width = a.shape[-2:]
    reach = int(min(height, width) * _REACH)
    spectra = [torch.fft.rfft2(x, s=(2 * height, 2 * width)) for x in (a, b)]
    overlap = torch.fft.irfft2(spectra[0] * spectra[1].conj(), s=(2 * height, 2 * width))
    steps = torch.arange(-reach, reach + 1, device=a.device)
    # (moves to the left and up lie at the end of a circular correlation)
    found = overlap[:, steps][:, :, steps]
    smaller = torch.minimum(a.sum((1, 2)), b.sum((1, 2)))[:, None, None]
    distance = (steps[:, None].square() + steps.square()).sqrt()
    best = (found / smaller.clamp_min(1) - 1e-3 * distance).flatten(1).argmax(1)
    moves = torch.stack([steps[best % len(steps)] / width, steps[best // len(steps)] / height], dim=1)
    return torch.where(smaller[:, :, 0] > 0, moves, 0.0)


def shifted(maps: Tensor, moves: Tensor, share: float = 1.0) -> Tensor:
    """Maps moved right and down by shares of the picture, which is that share of their side; bilinear."""
    theta = torch.eye(2, 3, device=maps.device).repeat(len(moves), 1, 1)
    theta[:, :, 2] = -2 * share * moves
    grid = affine_grid(theta, [len(moves), 1, *maps.shape[-2:]], align_corners=False).to(maps.dtype)
    maps = maps.expand(len(moves), -1, -1, -1)
    return grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
