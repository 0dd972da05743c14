"""
Render portraits and their part masks: the data set of the embedded generator.

    python -m data.portraits.recipe.draw.dataset --count 36000 --out portraits-data
    python -m data.portraits.recipe.draw.dataset --sheet --out renders.png
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lefs.records import write_atomically
from lefs.workers import map_chunks

from .choices.portrait import sample_portrait
from .painting import draw_portrait
from .parts import CANVAS, COARSE, GROUPS
from .pen import SUPERSAMPLING, Pen
from .surroundings import draw_light

Pixels = NDArray[np.uint8]

PART_COLORS = np.array(
    [
        (226, 229, 232),  # background
        (84, 64, 100),  # hair
        (244, 208, 174), (222, 174, 138),  # face, neck
        (128, 196, 218), (92, 164, 200), (30, 92, 148), (18, 60, 112),  # eyes, irises
        (142, 104, 158), (116, 82, 134),  # brows: kin to the hair
        (230, 142, 100),  # nose
        (184, 44, 70), (224, 98, 112), (255, 252, 244),  # lips, teeth
        (82, 146, 132),  # clothes
        (32, 36, 46),  # glasses
        (208, 140, 116), (188, 118, 98),  # ears: kin to the skin
        (150, 84, 112), (216, 156, 44), (250, 226, 96),  # beard, hat, earrings
    ],
    dtype=np.uint8,
)  # fmt: skip
"""How a fine mask is shown: what belongs together in related hues."""

GROUP_COLORS = PART_COLORS[[members[0] for members in GROUPS.values()]]
"""How a coarse mask is shown."""

GROUND = (247, 244, 238)
"""What a contact sheet lies on."""

HELD_OUT_SEED = 1_000_000
"""From here on seeds are for judging; nothing trains on them."""


def render(seeds: Sequence[int], resolution: int = 64) -> tuple[Pixels, Pixels]:
    """
    Draw the portraits of some seeds.

    Parameters
    ----------
    seeds : sequence of int
        One portrait each, the same whatever the other seeds are.
    resolution : int
        Side of the images in pixels.

    Returns
    -------
    images : ndarray of shape (N, resolution, resolution, 3), uint8
        sRGB.
    masks : ndarray of shape (N, resolution, resolution), uint8
        Indices into `PARTS`.

    Raises
    ------
    ValueError
        If the resolution is below 8, or a seed is negative.
    """
    if resolution < 8:
        raise ValueError(f"resolution: expected at least 8 pixels, got {resolution}; 64 is the default.")
    images = np.empty((len(seeds), resolution, resolution, 3), np.uint8)
    masks = np.empty((len(seeds), resolution, resolution), np.uint8)
    for index, seed in enumerate(seeds):
        images[index], masks[index] = render_one(seed, resolution)
    return images, masks


def render_one(seed: int, resolution: int) -> tuple[Pixels, Pixels]:
    """Draw one portrait large; average its colours and take its mask at the middle of each pixel."""
    pen, portrait = Pen(resolution * SUPERSAMPLING, CANVAS), sample_portrait(seed)
    draw_portrait(pen, portrait)
    finished = pen.shrunk(SUPERSAMPLING)
    draw_light(finished, portrait.scene)  # has no edges: nothing to average
    return finished.image, finished.mask


def render_dataset(
    first_seed: int, count: int, *, resolution: int = 64, processes: int | None = None, progress: bool = True
) -> tuple[Pixels, Pixels]:
    """
    Draw `count` portraits of consecutive seeds on several processes.

    Parameters
    ----------
    first_seed, count : int
        Seeds first_seed to first_seed + count - 1, in this order.
    resolution : int
        Side of the images in pixels.
    processes : int, optional
        How many; default: one per core.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    images, masks : ndarray
        As `render` returns them.
    """
    chunks = [
        range(start, min(start + 100, first_seed + count))
        for start in range(first_seed, first_seed + count, 100)
    ]
    images = np.empty((count, resolution, resolution, 3), np.uint8)
    masks = np.empty((count, resolution, resolution), np.uint8)
    with ProcessPoolExecutor(processes or os.cpu_count()) as pool:
        work = partial(render, resolution=resolution)
        found = map_chunks(work, chunks, executor=pool, description="rendering", show=progress)
        for chunk, (some, parts) in zip(chunks, found, strict=True):
            place = slice(chunk.start - first_seed, chunk.stop - first_seed)
            images[place], masks[place] = some, parts
    return images, masks


def open_dataset(folder: Path, *, count: int, resolution: int) -> tuple[Pixels, Pixels]:
    """
    Map the data set of seeds 0 to count - 1 into memory; render it into `folder` first if there is none yet.

    Raises
    ------
    ValueError
        If the folder holds another number of images, or another resolution.
    """
    if not (folder / "masks.npy").exists():
        save_dataset(folder, *render_dataset(0, count, resolution=resolution))
    # mapped, not read: all processes of a training share one copy (PyTorch warns of what is read-only)
    images, masks = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("images", "masks"))
    if images.shape != (count, resolution, resolution, 3):
        raise ValueError(
            f"{folder}: expected {count} images of {resolution} x {resolution} pixels, found shape "
            f"{images.shape}; name another folder, and the data set is rendered there"
        )
    return images, masks


def save_dataset(folder: Path, images: Pixels, masks: Pixels) -> None:
    """Write ``images.npy`` and, when that is whole, ``masks.npy``."""
    for name, pixels in (("images", images), ("masks", masks)):
        write_atomically(folder / f"{name}.npy", partial(_save_array, pixels=pixels))


def _save_array(path: Path, *, pixels: Pixels) -> None:
    with path.open("wb") as file:  # given a path, numpy would append ".npy" to it
        np.save(file, pixels)


def contact_sheet(images: Pixels, columns: int, *, zoom: int = 1) -> Image.Image:
    """Images (N, H, W, 3) in a grid, row by row, with narrow gaps and a margin; N is cut to full rows."""
    rows, (height, width) = len(images) // columns, images.shape[1:3]
    gap = max(4, height // 20)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), GROUND)
    for index, image in enumerate(images[: rows * columns]):
        row, column = divmod(index, columns)
        sheet.paste(Image.fromarray(image), (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST)


def show_portraits(first_seed: int, resolution: int, *, coarse: bool = False) -> Image.Image:
    """Sheet of 48 portraits (24 of 128 pixels, 18 of 256) and below them, in the same order, their masks."""
    count, columns = (48, 12) if resolution < 128 else (24, 8) if resolution < 256 else (18, 6)
    images, masks = render(range(first_seed, first_seed + count), resolution)
    colors = GROUP_COLORS[COARSE[masks]] if coarse else PART_COLORS[masks]
    above, below = contact_sheet(images, columns), contact_sheet(colors, columns)
    sheet = Image.new("RGB", (above.width, above.height + below.height), GROUND)
    sheet.paste(above, (0, 0))
    sheet.paste(below, (0, above.height))
    return sheet


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render portraits and their part masks.")
    parser.add_argument("--count", type=int, default=36_000, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--resolution", type=int, default=64, help="side in pixels")
    parser.add_argument("--processes", type=int, help="default: one per core")
    parser.add_argument("--out", type=Path, required=True, help="a folder; with --sheet a .png file")
    parser.add_argument("--sheet", action="store_true", help="draw a sheet of portraits and masks instead")
    parser.add_argument("--coarse", action="store_true", help="with --sheet: masks of the coarse parts")
    options = parser.parse_args(arguments)
    if options.sheet:
        sheet = show_portraits(options.first_seed, options.resolution, coarse=options.coarse)
        sheet.save(options.out, optimize=True)
        return
    images, masks = render_dataset(
        options.first_seed, options.count, resolution=options.resolution, processes=options.processes
    )
    save_dataset(options.out, images, masks)


if __name__ == "__main__":
    main()
