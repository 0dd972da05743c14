"""
Measure how far generated portraits are from rendered ones, or look at them.

    python data/portraits/judge.py --write
    python data/portraits/judge.py --samples samples.png

Distances are taken in the features of a segmenter that no training has seen. The distance between two halves
of the rendered portraits is what a perfect generator would score.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from render import HELD_OUT_SEED, Pixels, render_dataset
from segment import to_tensor
from torch import Tensor
from tqdm.auto import tqdm
from train import sample_sheet, synthesize

import lefs
from lefs.artifacts import locate, read_json, write_json
from lefs.segmenter import PartSegmenter, load_segmenter

Array = NDArray[np.float64]
BATCH = 50
VISIBLE = 12  # pixels of 64 × 64: the thinnest frame of a pair of glasses has more


def frechet_distance(first: Array, second: Array) -> float:
    """
    Fréchet distance between normal distributions fitted to two samples (Heusel et al., NeurIPS 2017).

    Parameters
    ----------
    first, second : ndarray of shape (N, D) and (M, D)
        More rows than columns.

    Returns
    -------
    float
        ``|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)``, at least 0.

    Raises
    ------
    ValueError
        If a sample is too small for its covariance, or the widths differ.
    """
    for name, sample in (("first", first), ("second", second)):
        if sample.ndim != 2 or len(sample) <= sample.shape[1]:
            raise ValueError(
                f"{name}: expected shape (N, D) with N > D, got {sample.shape}; give more images"
            )
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"first has {first.shape[1]} features, second {second.shape[1]}; they must agree")
    covariances = [np.cov(sample, rowvar=False).reshape(sample.shape[1], -1) for sample in (first, second)]
    shift = first.mean(0) - second.mean(0)
    squared = shift @ shift + sum(np.trace(c) for c in covariances) - 2 * _trace_of_root(*covariances)
    return max(0.0, float(squared))


def _trace_of_root(first: Array, second: Array) -> float:
    """Trace of (AB)^½ for covariances A and B; the symmetric A^½ B A^½ has the same eigenvalues as AB."""
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    return float(np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum())


@torch.inference_mode()
def describe(judge: PartSegmenter, batches: Iterable[Tensor]) -> tuple[Array, Array]:
    """
    Look at images through a segmenter.

    Parameters
    ----------
    judge : PartSegmenter
    batches : iterable of Tensor of shape (N, 3, H, W)
        In [-1, 1].

    Returns
    -------
    features : ndarray of shape (N, 11 width)
        Means over the image of the maps of all four scales.
    areas : ndarray of shape (N, P)
        Number of pixels of each part.
    """
    features, areas = [], []
    for images in batches:
        maps = judge.features(images)
        features.append(torch.cat([x.mean((2, 3)) for x in maps], dim=1).double().numpy())
        labels = judge(images).flatten(1)
        areas.append(np.stack([(labels == part).sum(1).numpy() for part in range(len(judge.names))], axis=1))
    return np.concatenate(features), np.concatenate(areas).astype(np.float64)


def rendered(images: Pixels) -> Iterator[Tensor]:
    """Rendered images in batches, as the judge takes them."""
    for start in range(0, len(images), BATCH):
        yield to_tensor(images[start : start + BATCH])


def generated(generator: lefs.Generator, count: int) -> Iterator[Tensor]:
    """Images of seeds 0 to count - 1 at ψ = 1 in batches, with the 256 levels that rendered ones have."""
    for start in tqdm(range(0, count, BATCH), desc="generating", unit="batch"):
        images = synthesize(generator, range(start, min(start + BATCH, count)))
        yield images.clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)


def compare(judge: PartSegmenter, generator: lefs.Generator, count: int) -> dict[str, Any]:
    """Measure a generator against two sets of `count` rendered portraits; plain JSON values."""
    real, _ = render_dataset(HELD_OUT_SEED, 2 * count, resolution=generator.resolution)
    (first, areas), (second, _) = (describe(judge, rendered(half)) for half in (real[:count], real[count:]))
    made, made_areas = describe(judge, generated(generator, count))
    pixels = generator.resolution**2
    return {
        "images": count,
        "truncation": 1.0,
        "frechet_to_rendered": round(frechet_distance(made, first), 5),
        "frechet_between_rendered_halves": round(frechet_distance(first, second), 5),
        "parts": {
            name: {
                "share_of_pixels": [round(float(a[:, i].mean() / pixels), 4) for a in (made_areas, areas)],
                "share_of_images": [
                    round(float((a[:, i] >= VISIBLE).mean()), 3) for a in (made_areas, areas)
                ],
            }
            for i, name in enumerate(judge.names)
        },
    }


def table(quality: dict[str, Any]) -> str:
    """Text of what was measured."""
    lines = [
        f"Fréchet distance at {quality['images']} images",
        f"  generated to rendered          {quality['frechet_to_rendered']:.5f}",
        f"  between two rendered halves    {quality['frechet_between_rendered_halves']:.5f}",
        "            share of pixels       share of images",
        "part        generated  rendered   generated  rendered",
    ]
    for name, part in quality["parts"].items():
        (made, real), (made_seen, real_seen) = part["share_of_pixels"], part["share_of_images"]
        lines.append(f"{name:12}{made:9.2%}{real:10.2%}{made_seen:12.1%}{real_seen:10.1%}")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(
        description="Measure how far generated portraits are from rendered ones."
    )
    parser.add_argument("--generator", default=str(here), help="name, folder or file")
    parser.add_argument(
        "--judge", default=str(here / "judge.safetensors"), help="a segmenter no training has seen"
    )
    parser.add_argument("--count", type=int, default=4000, help="images on each side")
    parser.add_argument("--samples", type=Path, help="write a sheet of samples to this .png file instead")
    parser.add_argument(
        "--write", action="store_true", help='keep the result in generator.json under "quality"'
    )
    options = parser.parse_args()
    generator = lefs.load(options.generator)
    if options.samples:
        sample_sheet(generator).save(options.samples, optimize=True)
        return
    quality = compare(load_segmenter(options.judge), generator, options.count)
    print(table(quality))
    if options.write:
        path = locate(options.generator)
        path = path / "generator.json" if path.is_dir() else path.with_suffix(".json")
        write_json(path, {**read_json(path, expect="lefs-generator"), "quality": quality})


if __name__ == "__main__":
    main()
