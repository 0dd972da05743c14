"""
Measure how far generated portraits are from rendered ones, and whether they are copies of them.

    python -m data.portraits.recipe.measure.judge --data portraits-data --write
    python -m data.portraits.recipe.measure.judge --samples samples.png

Everything is measured in the features of a segmenter that no training has seen, at the resolution of the
generator, at which it should have been trained too. What two halves of the rendered portraits score against
each other, the floor, is what a perfect generator would.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval
from tqdm.auto import tqdm

import lefs
from lefs.evaluation.realism import pooled
from lefs.images import to_uint8
from lefs.records import load_record, save_record
from lefs.segmenters import PartSegmenter, load_segmenter
from lefs.tables import Table

from .. import MODEL
from ..draw.dataset import HELD_OUT_SEED, Pixels, render_dataset
from ..train.generator import sample_sheet, synthesize
from ..train.segmenter import channels_last, to_tensor
from .distances import Array, precision_recall, sample_distances
from .neighbours import (
    Looks,
    Neighbours,
    compare_neighbours,
    find_neighbours,
    neighbour_sheet,
    save_sheet,
    suspicious,
)

BATCH = 10  # the maps of a few images stay in a processor's cache
LOW = 16  # side at which pixels are compared: large enough for a pose and its colours, blind to outlines
SWEEP = (0.5, 0.7, 0.85, 1.0)
HALVES = "between_rendered_halves"
MEASURES = ("ratio_of_medians", "share_below_1_percent")
VISIBLE = 12 / 64**2  # share of the image: the thinnest frame of a pair of glasses has more


# ------------------------------------------------------------------------------------------ looking


def quick(judge: PartSegmenter) -> PartSegmenter:
    """The same segmenter in half the time: normalisation folded into convolutions, channels last."""
    judge = copy.deepcopy(judge).eval()
    for block in judge.modules():
        if isinstance(block, nn.Sequential) and isinstance(block[0], nn.Conv2d):
            assert isinstance(block[1], nn.BatchNorm2d)
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()
    return channels_last(judge)


@torch.inference_mode()
def look(judge: PartSegmenter, batches: Iterable[Tensor]) -> Looks:
    """
    Look at images through a segmenter.

    Parameters
    ----------
    judge : PartSegmenter
    batches : iterable of Tensor of shape (N, 3, H, W)
        In [-1, 1].

    Returns
    -------
    Looks
        Features are the means over the image of the maps of all four scales, 11 times the judge's width.
    """
    features, pixels = [], []
    for images in batches:
        ready = images.contiguous(memory_format=torch.channels_last)
        features.append(pooled(judge.features(ready)).double().numpy())
        pixels.append(adaptive_avg_pool2d(images, LOW).flatten(1).double().numpy())
    return Looks(np.concatenate(features), np.concatenate(pixels))


@torch.inference_mode()
def areas(judge: PartSegmenter, batches: Iterable[Tensor]) -> Array:
    """Share of each image (N, 3, H, W) that the judge takes for each part: (N, P)."""
    labels = torch.cat([judge(images).flatten(1) for images in batches])
    return np.stack([(labels == part).double().mean(1).numpy() for part in range(len(judge.names))], axis=1)


def in_batches(images: Pixels, *, note: str, mirror: bool = False) -> Iterator[Tensor]:
    """Bytes in batches, as the judge takes them; left and right exchanged if so told."""
    for start in tqdm(range(0, len(images), BATCH), desc=note, unit="batch"):
        some = to_tensor(np.ascontiguousarray(images[start : start + BATCH]))
        yield some.flip(3) if mirror else some


def generated(generator: lefs.Generator, count: int, *, truncation: float = 1.0) -> Pixels:
    """Images of seeds 0 to count - 1, with the 256 levels that rendered ones have: (N, H, W, 3), uint8."""
    images = np.empty((count, *generator.size, 3), np.uint8)
    for start in tqdm(range(0, count, BATCH), desc=f"generating, ψ = {truncation:g}", unit="batch"):
        seeds = range(start, min(start + BATCH, count))
        images[start : seeds.stop] = to_uint8(synthesize(generator, seeds, truncation=truncation))
    return images


def training_images(folder: Path | None, count: int, resolution: int) -> Pixels:
    """
    Give the first `count` portraits of the training set, from its folder if that is there, else rendered.

    Raises
    ------
    ValueError
        If the folder holds fewer, or of another resolution.
    """
    if folder is None or not (folder / "images.npy").is_file():
        return render_dataset(0, count, resolution=resolution)[0]
    images: Pixels = np.load(folder / "images.npy", mmap_mode="c")
    if images.shape[1:] != (resolution, resolution, 3) or len(images) < count:
        raise ValueError(
            f"{folder}: expected {count} images of {resolution} x {resolution} pixels at least, found shape "
            f"{images.shape}; leave --data out to have them rendered, or set --training"
        )
    return images[:count]


# ---------------------------------------------------------------------------------------- measuring


def distances(made: Array, real: Array, other: Array) -> dict[str, Any]:
    """Every distance of generated from rendered features, and between two rendered halves; (N, D) each."""
    (precision, recall), floor = precision_recall(real, made), precision_recall(real, other)
    (near, kernel), (nearest, least) = (sample_distances(side, real) for side in (made, other))
    return {
        "frechet_to_rendered": round(near, 5),
        "frechet_between_rendered_halves": round(nearest, 5),
        "kernel_to_rendered": [round(x, 6) for x in kernel],
        "kernel_between_rendered_halves": [round(x, 6) for x in least],
        "precision": round(precision, 4),
        "precision_between_rendered_halves": round(floor[0], 4),
        "recall": round(recall, 4),
        "recall_between_rendered_halves": round(floor[1], 4),
    }


def sweep(
    judge: PartSegmenter, generator: lefs.Generator, made: Array, real: Array, other: Array
) -> dict[str, Any]:
    """Fréchet distance, precision and recall at several ψ, on fewer images; `made` are those of ψ = 1."""
    count = len(made)
    looks = {}
    for psi in SWEEP[:-1]:
        images = generated(generator, count, truncation=psi)
        looks[psi] = look(judge, in_batches(images, note=f"looking, ψ = {psi:g}")).features
    looks[SWEEP[-1]] = made
    rows = [{"truncation": psi, **_row(features, real)} for psi, features in looks.items()]
    return {"images": count, "rows": rows, "between_rendered_halves": _row(other, real)}


def _row(made: Array, real: Array) -> dict[str, float]:
    precision, recall = precision_recall(real, made)
    return {
        "frechet": round(sample_distances(made, real)[0], 5),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
    }


def duplicates(
    judge: PartSegmenter, made: list[Looks], held_out: list[Looks], training: Pixels
) -> tuple[dict[str, Any], dict[str, tuple[Neighbours, Neighbours]]]:
    """
    Compare nearest training portraits of generated with those of held-out images.

    Parameters
    ----------
    made, held_out : list of Looks
        The images as they are, and mirrored.
    training : ndarray of shape (N, H, W, 3), uint8

    Returns
    -------
    summary : plain JSON values
    neighbours : of the generated and of the held-out images, by "features" and "pixels"
    """
    known = look(judge, in_batches(training, note="training set"))
    found = [find_neighbours(sides, known) for sides in (made, held_out)]
    pairs = {name: (found[0][name], found[1][name]) for name in found[0]}
    summary = {
        "training_images": len(training),
        "generated": len(made[0]),
        "held_out": len(held_out[0]),
        **{name: compare_neighbours(one.distances, two.distances) for name, (one, two) in pairs.items()},
    }
    return summary, pairs


def parts(judge: PartSegmenter, made: Pixels, real: Pixels) -> dict[str, Any]:
    """Share of the pixels, and of the images, in which the judge sees each part: generated, rendered."""
    sides = [areas(judge, in_batches(images, note="parts")) for images in (made, real)]
    return {
        name: {
            "share_of_pixels": [round(float(a[:, i].mean()), 4) for a in sides],
            "share_of_images": [round(float((a[:, i] >= VISIBLE).mean()), 3) for a in sides],
        }
        for i, name in enumerate(judge.names)
    }


def measure(
    judge: PartSegmenter, generator: lefs.Generator, count: int, training: Pixels
) -> tuple[dict[str, Any], Figure]:
    """
    Measure a generator against two sets of `count` rendered portraits.

    Half as many serve for the sweep and for the duplicates, a quarter for the parts.

    Returns
    -------
    quality : plain JSON values
    figure : matplotlib.figure.Figure
        The generated portraits that come nearest to a training portrait.

    Raises
    ------
    ValueError
        If half of `count` is not more than the number of features.
    """
    judge, fewer, width = quick(judge), count // 2, 11 * judge.head.in_channels
    if fewer <= width:  # found out at once, and not when all have been drawn
        raise ValueError(f"count: expected {2 * width + 2} or more for {width} features, got {count}")
    pictures = generated(generator, count)
    real, _ = render_dataset(HELD_OUT_SEED, 2 * count, resolution=generator.size[0])
    made, first, second = (
        look(judge, in_batches(images, note="looking")) for images in (pictures, real[:count], real[count:])
    )
    of_made, of_real = (
        [looks.first(fewer), look(judge, in_batches(images[:fewer], note="mirrored", mirror=True))]
        for looks, images in ((made, pictures), (first, real))
    )
    copies, neighbours = duplicates(judge, of_made, of_real, training)
    some = (side.first(fewer).features for side in (made, first, second))
    quality = {
        "images": count,
        "truncation": 1.0,
        **distances(made.features, first.features, second.features),
        "truncation_sweep": sweep(judge, generator, *some),
        "duplicates": copies,
        "parts_images": count // 4,
        "parts": parts(judge, pictures[: count // 4], real[: count // 4]),
    }
    return quality, show_neighbours(pictures[:fewer], training, neighbours)


def show_neighbours(
    pictures: Pixels, training: Pixels, neighbours: dict[str, tuple[Neighbours, Neighbours]]
) -> Figure:
    """Draw the generated portraits nearest to a training portrait above their neighbours."""
    made, held_out = neighbours["features"]
    seeds = suspicious(made)
    rows = {
        "generated": pictures[seeds],
        "nearest in the\njudge's features": made.among(training, seeds),
        "nearest in\npixels": neighbours["pixels"][0].among(training, seeds),
    }
    count, known = f"{len(pictures):,}", f"{len(training):,}"
    title = (
        f"The {len(seeds)} of {count} generated portraits nearest to any of {known} training portraits "
        "(1: median of held-out ones)"
    )
    return neighbour_sheet(rows, made.distances[seeds] / np.median(held_out.distances), title=title)


# ------------------------------------------------------------------------------------------ telling


def tables(quality: dict[str, Any]) -> list[Table]:
    """What was measured: distances, the sweep over ψ, nearest training portraits, parts."""
    kernels = (quality[f"kernel_{name}"] for name in ("to_rendered", HALVES))
    apart = [
        ("Fréchet distance", *(f"{quality[f'frechet_{x}']:.5f}" for x in ("to_rendered", HALVES))),
        ("kernel distance × 1000", *(f"{1000 * mean:.3f} ± {1000 * error:.3f}" for mean, error in kernels)),
        *((x, *(f"{quality[key]:.3f}" for key in (x, f"{x}_{HALVES}"))) for x in ("precision", "recall")),
    ]
    found, copies, parts = quality["truncation_sweep"], quality["duplicates"], quality["parts"]
    sweep = [(f"ψ = {row['truncation']:g}", row) for row in found["rows"]]
    sweep.append(("two rendered halves", found[HALVES]))
    return [
        Table((f"{quality['images']} images", "generated", "two rendered halves"), apart),
        Table(
            (f"{found['images']} images", "Fréchet distance", "precision", "recall"),
            [(n, f"{r['frechet']:.4f}", f"{r['precision']:.3f}", f"{r['recall']:.3f}") for n, r in sweep],
        ),
        Table(
            (f"nearest of {copies['training_images']} training portraits, generated ÷ held-out", *MEASURES),
            [(name, *(f"{copies[name][key]:.3f}" for key in MEASURES)) for name in ("features", "pixels")],
        ),
        Table(
            (f"{quality['parts_images']} images", "share of pixels", "rendered", "of images", "rendered"),
            [(n, *(f"{x:.1%}" for key in p for x in p[key])) for n, p in parts.items()],
        ),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Measure how far generated portraits are from rendered ones, and whether they are copies."
    )
    parser.add_argument("--generator", default="portraits", help="name, folder or file")
    parser.add_argument(
        "--judge", default=str(MODEL / "judge.safetensors"), help="a segmenter no training has seen"
    )
    parser.add_argument("--count", type=int, default=4000, help="images on each side")
    parser.add_argument("--data", type=Path, help="folder of the training set; rendered if left out")
    parser.add_argument(
        "--training", type=int, default=12_000, help="training portraits to look for copies of"
    )
    parser.add_argument("--samples", type=Path, help="write a sheet of samples to this .png file instead")
    parser.add_argument(
        "--write",
        action="store_true",
        help='keep the result in the file of the generator under "quality", and neighbours.png beside it',
    )
    options = parser.parse_args(arguments)
    generator = lefs.load(options.generator)
    if options.samples:
        sample_sheet(generator).save(options.samples, optimize=True)
        return
    training = training_images(options.data, options.training, generator.size[0])
    quality, figure = measure(load_segmenter(options.judge), generator, options.count, training)
    print(*tables(quality), sep="\n\n")
    if options.write:
        content, tensors, file = load_record(options.generator, expect="lefs-generator")
        save_record(file, "lefs-generator", {**content, "quality": quality}, tensors)
        save_sheet(figure, file.parent / "neighbours.png")


if __name__ == "__main__":
    main()
