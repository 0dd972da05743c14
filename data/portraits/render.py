"""
Render portraits and their part masks: the data set of the embedded generator.

    python data/portraits/render.py --count 36000 --out portraits-data
    python data/portraits/render.py --sheet --out renders.png
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
from parts import CANVAS
from pen import SUPERSAMPLING, Pen, box_downsample
from PIL import Image
from portrait import draw_portrait, sample_portrait
from surroundings import draw_light
from tqdm.auto import tqdm

from lefs.artifacts import write_atomically

Pixels = NDArray[np.uint8]

PART_COLORS = np.array(
    [
        (40, 40, 60), (150, 90, 40), (245, 200, 160), (226, 170, 130), (240, 240, 250), (214, 220, 240),
        (60, 120, 255), (40, 80, 200), (90, 50, 10), (120, 70, 20), (255, 140, 0), (200, 20, 50),
        (240, 80, 110), (255, 255, 255), (60, 170, 90), (20, 20, 20), (200, 100, 220), (170, 70, 190),
        (110, 110, 60), (40, 150, 190), (255, 220, 40),
    ],
    dtype=np.uint8,
)  # fmt: skip
"""How a fine mask is shown."""

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
    with (
        ProcessPoolExecutor(processes or os.cpu_count()) as pool,
        tqdm(total=count, desc="rendering", unit="img", disable=not progress) as bar,
    ):
        for chunk, (some, parts) in zip(
            chunks, pool.map(partial(render, resolution=resolution), chunks), strict=True
        ):
            place = slice(chunk.start - first_seed, chunk.stop - first_seed)
            images[place], masks[place] = some, parts
            bar.update(len(chunk))
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
    # mapped, not read: all processes of a training share one copy
    images, masks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "masks"))
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
    """Images (N, H, W, 3) side by side, row by row; N is cut to full rows."""
    rows = len(images) // columns
    _, height, width, channels = images.shape
    grid = images[: rows * columns].reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = Image.fromarray(grid.reshape(rows * height, columns * width, channels))
    return sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render portraits and their part masks.")
    parser.add_argument("--count", type=int, default=36_000, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--resolution", type=int, default=64, help="side in pixels")
    parser.add_argument("--processes", type=int, help="default: one per core")
    parser.add_argument("--out", type=Path, required=True, help="a folder; with --sheet a .png file")
    parser.add_argument(
        "--sheet", action="store_true", help="draw a contact sheet of 48 portraits and their masks instead"
    )
    options = parser.parse_args()
    if options.sheet:
        images, masks = render(range(options.first_seed, options.first_seed + 48), options.resolution)
        contact_sheet(np.concatenate([images, PART_COLORS[masks]]), 16).save(options.out, optimize=True)
        return
    images, masks = render_dataset(
        options.first_seed, options.count, resolution=options.resolution, processes=options.processes
    )
    save_dataset(options.out, images, masks)


if __name__ == "__main__":
    main()
