"""Pixels and colour: images are tensors of shape (N, 3, H, W), float, nominally in [-1, 1]."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from lefs.checks import check_integer
from lefs.records import ArtifactError, PathLike, looked_up, write_atomically

__all__ = [
    "Box", "Picture", "check_crop", "color_difference", "crop_picture", "of_height", "opaque", "png_text",
    "read_mask", "read_picture", "resample_partition", "resized", "save_png", "to_lab", "to_uint8",
]  # fmt: skip

#: A path, a PIL image, an array of bytes (H, W), (H, W, 3) or (H, W, 4), or an image (3, H, W) in [-1, 1]
Picture = PathLike | Image.Image | np.ndarray | torch.Tensor

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels

# (of others Pillow starts programs, as for EPS, or has readers that few have looked at)
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

# CIE 1931 of linear sRGB, rows X, Y, Z, each divided by the white point D65 (IEC 61966-2-1)
_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Convert images to bytes.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W) or (3, H, W); 4 channels with alpha
        Values in [-1, 1]; what lies beyond is clipped.

    Returns
    -------
    ndarray of shape (N, H, W, 3) or (H, W, 3), uint8
    """
    levels = images.detach().float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
    return levels.movedim(-3, -1).cpu().numpy()


def save_png(path: PathLike, image: torch.Tensor, text: Mapping[str, str] | None = None) -> Path:
    """Write one image of shape (3, H, W) as PNG, atomically; `text` goes into its metadata, key by key."""
    pixels, notes = to_uint8(image), PngInfo()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    for key, value in (text or {}).items():
        notes.add_text(key, value)
    return write_atomically(path, lambda p: picture.save(p, format="PNG", pnginfo=notes))


def png_text(path: PathLike, key: str) -> str:
    """What `save_png` wrote into the metadata under a key; no pixel is read.

    Raises
    ------
    ArtifactError
        If the file is not a PNG, is damaged, or holds nothing under that key.
    """
    with _opened(Path(path), ("PNG",), f"whole PNG with a {key} inside") as file:
        text = file.info.get(key)  # (Pillow bounds how long a text may be, also unpacked)
    if not isinstance(text, str):
        raise ArtifactError(f"{path} has no {key} inside: lefs did not write it, or a program took it out")
    return str(text)


@contextmanager
def _opened(path: Path, formats: tuple[str, ...], what: str) -> Iterator[Image.Image]:
    """A picture's file; an `ArtifactError` if it is not `what`."""
    try:
        if not path.is_file():  # (a pipe would wait for somebody to write to it)
            raise ValueError("it is not a file")
        with Image.open(path, formats=formats) as file:
            yield file
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise ArtifactError(f"{path} is not a {what}: {error}; give a PNG or JPEG") from error


def read_picture(picture: Picture, *, alpha: bool = False) -> Image.Image:
    """Somebody's picture in RGB, turned as its camera says, over grey where it is transparent.

    With `alpha` it comes in RGBA, transparent where it is.

    Parameters
    ----------
    picture : path, PIL image, array or Tensor
        Of any size and mode; arrays are uint8 (H, W), (H, W, 3) or (H, W, 4), or bool (H, W), a tensor is
        (3, H, W) in [-1, 1], (4, H, W) with alpha, or of such bytes.

    Raises
    ------
    ArtifactError
        If the file is not a picture, is damaged, or is so large that it may be an attack.
    ValueError
        If an array is of another shape or type, or has NaN.
    """
    if isinstance(picture, str | os.PathLike):
        with _opened(looked_up(picture), _FORMATS, "picture that can be read") as file:
            return read_picture(file, alpha=alpha)
    if isinstance(picture, Image.Image):
        return _colors(ImageOps.exif_transpose(picture), alpha)
    values = picture.cpu() if isinstance(picture, torch.Tensor) else picture
    if isinstance(values, torch.Tensor) and values.is_floating_point() and values.shape[:-2] in ((3,), (4,)):
        if not bool(values.isfinite().all()):
            raise ValueError("picture has NaN or infinite numbers; give values in [-1, 1]")
        values = to_uint8(values)
    values = np.asarray(values)
    colors = values.shape[2:] in ((), (3,), (4,)) and values.ndim > 1 and values.size > 0
    if not colors or values.dtype not in (np.uint8, bool):
        raise ValueError(
            "picture must be a path, a PIL image, bytes (uint8) of shape (H, W), (H, W, 3) or (H, W, 4), or "
            f"a tensor (3, H, W) in [-1, 1]; got {values.dtype} of shape {values.shape}"
        )
    scaled = values * np.uint8(255) if values.dtype == bool else values
    return _colors(Image.fromarray(np.ascontiguousarray(scaled)), alpha)


def read_mask(name: str, mask: Picture) -> np.ndarray:
    """Somebody's mask, bool (H, W): set where it is brighter than half and not transparent.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    mask : path, PIL image, array or Tensor
        A picture, as `read_picture` takes it; or an array (H, W), also (1, H, W), of numbers in [0, 1], or in
        [0, 255] if one of them exceeds 1.

    Raises
    ------
    ArtifactError
        If the file is not a picture.
    ValueError
        If an array is of another shape, or has other numbers.
    """
    if isinstance(mask, np.ndarray | torch.Tensor):
        values = np.asarray(mask.detach().cpu().double() if isinstance(mask, torch.Tensor) else mask)
        values = values[0] if values.ndim == 3 and len(values) == 1 else values
        if values.ndim == 2 and values.size and values.dtype.kind in "biuf":
            top = 1 if values.max() <= 1 else 255
            if not (values.min() >= 0 and values.max() <= top):
                raise ValueError(f"{name} must have numbers in [0, 1] or [0, 255], brighter where it is set")
            return np.asarray(values > top / 2)
    try:
        image = read_picture(mask, alpha=True)
    except ValueError as error:
        raise ValueError(f"{name} is neither a picture nor an array (H, W) of numbers: {error}") from None
    grey, alpha = (np.asarray(one, np.uint16) for one in (image.convert("L"), image.getchannel("A")))
    return np.asarray(grey * alpha > 127 * 255)


def _colors(image: Image.Image, alpha: bool) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # (what does not say its range tells it by its largest value)
        values = np.asarray(image, np.float64)
        fraction = image.mode == "F" and values.max() <= 1
        top = 1 if fraction else 65535 if "16" in image.mode or values.max() > 255 else 255
        image = Image.fromarray((values / top * 255).clip(0, 255).round().astype(np.uint8))
    if image.mode == "LAB":
        raise ValueError("its colours are CIELAB; save it as RGB")
    grey, image = Image.new("RGBA", image.size, (128, 128, 128, 255)), image.convert("RGBA")
    return image if alpha else Image.alpha_composite(grey, image).convert("RGB")


def check_crop(crop: Sequence[int] | None, size: tuple[int, int], wanted: tuple[int, int]) -> Box:
    """The box (left, top, right, bottom) to cut out of a picture of (width, height) pixels.

    None stands for the largest one in its middle of the proportions of `wanted`, height and width; a
    ValueError if a box is empty or reaches beyond.
    """
    width, height = size
    if crop is None:
        scale = min(height / wanted[0], width / wanted[1])
        tall, wide = (max(1, round(scale * side)) for side in wanted)
        left, top = (width - wide) // 2, (height - tall) // 2
        return left, top, left + wide, top + tall
    if len(crop) != 4:
        raise ValueError(f"crop must be (left, top, right, bottom) in pixels, got {crop!r}")
    limits = {"left": width - 1, "top": height - 1, "right": width, "bottom": height}.items()
    box = (check_integer(f"crop's {n}", v, maximum=m) for v, (n, m) in zip(crop, limits, strict=True))
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        raise ValueError(f"crop must have left < right and top < bottom, got {tuple(crop)}")
    return left, top, right, bottom


def crop_picture(image: Image.Image, box: Box, size: tuple[int, int]) -> torch.Tensor:
    """What lies in the box of an RGB(A) image, resized to (H, W): (3 or 4, H, W), float32 in [-1, 1]."""
    resized = image.crop(box).resize(size[::-1], Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized)).movedim(-1, 0).float() / 127.5 - 1


def of_height(height: int, maps: torch.Tensor) -> tuple[int, int]:
    """Height and width of what has the proportions of maps (..., H, W)."""
    return height, height * maps.shape[-1] // maps.shape[-2]


def opaque(images: torch.Tensor) -> torch.Tensor:
    """Lay images with alpha, (..., 4, H, W) in [-1, 1], over a chequerboard: (..., 3, H, W); none else."""
    if images.shape[-3] != 4:
        return images
    rows, columns = (torch.arange(side, device=images.device) // 8 for side in images.shape[-2:])
    board = 1 - 0.5 * ((rows[:, None] + columns) % 2).to(images.dtype)
    colors, alpha = images.clamp(-1, 1).split([3, 1], dim=-3)
    return board + (colors - board) * (alpha + 1) / 2


def to_lab(images: torch.Tensor) -> torch.Tensor:
    """CIELAB (D65) of sRGB images, where they lie.

    Parameters
    ----------
    images : Tensor of shape (..., 3, H, W), or (..., 4, H, W) with alpha
        sRGB in [-1, 1]; what lies beyond is clamped.

    Returns
    -------
    Tensor of shape (..., 3, H, W), float32 (float64 of float64): L in [0, 100], a, b
    """
    wide = torch.promote_types(images.dtype, torch.float32)
    unit = opaque(images).to(wide).clamp(-1, 1).add(1).div(2)
    linear = torch.where(unit > 0.04045, unit.add(0.055).div(1.055).pow(2.4), unit / 12.92)
    matrix = linear.new_tensor(_XYZ) / linear.new_tensor(_WHITE)[:, None]
    xyz = torch.einsum("rc,...chw->...rhw", matrix, linear)
    least = (6 / 29) ** 3  # (below it a root has too steep a slope for gradients)
    roots = torch.where(xyz > least, xyz.clamp_min(least).pow(1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = roots.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def color_difference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
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


def resized(weights: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Averaged down, or enlarged pixel by pixel: (N, P, height, width)."""
    if size[0] < weights.shape[-2]:
        return adaptive_avg_pool2d(weights, size)
    return interpolate(weights, size=size, mode="nearest")


def resample_partition(membership: torch.Tensor, height: int) -> torch.Tensor:
    """Bring memberships of shape (N, K, h, w) to this height, in proportion, with Σ_k kept at 1 everywhere.

    Up: nearest neighbour. Down: the mean over each area, so that a position on a border belongs to
    several clusters in proportion.
    """
    return resized(membership, of_height(height, membership))
