"""
Train a part segmenter on rendered portraits and state how good it is on portraits that it has not seen.

    python -m data.portraits.recipe.train.segmenter --data portraits-data
    python -m data.portraits.recipe.train.segmenter --data portraits-data --stem judge --width 12 --seed 1
    python -m data.portraits.recipe.train.segmenter --measure
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate
from tqdm.auto import tqdm

from lefs.segmenters import PartSegmenter, load_segmenter
from lefs.tables import Table

from .. import MODEL
from ..draw.dataset import HELD_OUT_SEED, Pixels, open_dataset, render_dataset
from ..draw.parts import COARSE, GROUPS, MIRRORED, PARTS

LEARNING_RATE = 4e-3

GROUP_NAMES = {name: [PARTS[part] for part in parts] for name, parts in GROUPS.items()}

Network = TypeVar("Network", bound=nn.Module)


def to_tensor(images: Pixels | Tensor) -> Tensor:
    """Bytes (N, H, W, 3) → float32 (N, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.as_tensor(images).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def channels_last(network: Network, device: str = "cpu") -> Network:
    """Move a network, its weights in the order in memory that convolutions are quick with."""
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def autocast(device: str) -> torch.autocast:
    """Compute in bfloat16 on a GPU; a CPU that has to imitate it is twice as fast in float32."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu")


def augment(images: Tensor, masks: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """
    Mirror, blur, halve the side of large ones, each now and then; add noise of random strength.

    A network that has only seen clean drawings fails on generated ones, whose edges are softer and whose
    areas are less even.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W)
    masks : Tensor of shape (N, H, W)
    stream : torch.Generator
        Source of all randomness, on the CPU.

    Returns
    -------
    images, masks : as given, changed
    """
    mirror, blur, small, strength = torch.rand(4, generator=stream).tolist()
    if mirror < 0.5:
        images, masks = images.flip(3), torch.from_numpy(MIRRORED)[masks.flip(2).int()]
    if small < 0.5 and images.shape[3] > 64:
        images, masks = avg_pool2d(images, 2), masks[:, 1::2, 1::2]
    if blur < 0.3:
        fewer = interpolate(images, scale_factor=0.7, mode="bilinear", antialias=True)
        images = interpolate(fewer, size=images.shape[2:], mode="bilinear")
    noise = torch.randn(images.shape, generator=stream).to(images)
    return images + 0.06 * strength * noise, masks


def train_segmenter(
    images: Pixels,
    masks: Pixels,
    *,
    width: int = 16,
    steps: int = 3000,
    batch: int = 16,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> PartSegmenter:
    """
    Fit a segmenter to images and masks.

    Parameters
    ----------
    images : ndarray of shape (N, H, W, 3), uint8
    masks : ndarray of shape (N, H, W), uint8
        Indices into `PARTS`.
    width : int
        Of the network.
    steps, batch : int
        Number of steps and of images in each.
    seed : int
        Of the first weights, the order of the images and their changes.
    device : str
        Where to train.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    PartSegmenter
        In eval mode, on the CPU.
    """
    stream = torch.Generator().manual_seed(seed)
    segmenter = channels_last(_fresh(width, seed), device)
    optimizer = torch.optim.AdamW(segmenter.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    for _ in (bar := tqdm(range(steps), desc="segmenter", unit="step", disable=not progress)):
        chosen = torch.randint(len(images), (batch,), generator=stream).numpy()
        x, y = augment(to_tensor(images[chosen]), torch.from_numpy(masks[chosen]), stream)
        with autocast(device):
            logits = segmenter.fine_logits(x.to(device, memory_format=torch.channels_last))
        loss = cross_entropy(logits.float(), y.long().to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return segmenter.to("cpu").eval()


def _fresh(width: int, seed: int) -> PartSegmenter:
    """Build a segmenter whose first weights depend on the seed only, leaving the global stream as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PartSegmenter(PARTS, width=width, groups=GROUP_NAMES)


@torch.inference_mode()
def intersection_over_union(
    segmenter: PartSegmenter, images: Pixels, masks: Pixels, *, batch: int = 64
) -> NDArray[np.float64]:
    """
    Compare predicted with true parts.

    Parameters
    ----------
    segmenter : PartSegmenter
    images : ndarray of shape (N, H, W, 3), uint8
    masks : ndarray of shape (N, H, W), uint8
    batch : int
        Images at a time.

    Returns
    -------
    ndarray of shape (P,)
        |predicted ∩ true| / |predicted ∪ true| over all pixels of all images; NaN where a part is in neither.
    """
    count = len(segmenter.names)
    confusion = np.zeros(count * count, np.int64)
    for start in range(0, len(images), batch):
        found = segmenter(to_tensor(images[start : start + batch])).numpy()
        pairs = masks[start : start + batch].astype(np.int64) * count + found
        confusion += np.bincount(pairs.ravel(), minlength=count * count)
    table = confusion.reshape(count, count).astype(np.float64)
    either = table.sum(0) + table.sum(1) - table.diagonal()
    return np.divide(table.diagonal(), either, out=np.full(count, np.nan), where=either > 0)


def measure(segmenter: PartSegmenter, *, count: int = 1000, resolution: int = 64) -> dict[str, Any]:
    """Quality on freshly rendered portraits, as plain JSON values."""
    images, masks = render_dataset(HELD_OUT_SEED, count, resolution=resolution)
    coarse = intersection_over_union(segmenter, images, COARSE[masks])
    detailed = segmenter.in_detail()
    fine = intersection_over_union(detailed, images, masks)
    return {
        "held_out_images": count,
        "held_out_first_seed": HELD_OUT_SEED,
        "mean_iou": round(float(np.nanmean(coarse)), 4),
        "iou": _by_name(segmenter, coarse),
        "fine_iou": _by_name(detailed, fine),
    }


def _by_name(segmenter: PartSegmenter, scores: NDArray[np.float64]) -> dict[str, float | None]:
    return {
        name: None if np.isnan(score) else round(float(score), 4)
        for name, score in zip(segmenter.names, scores, strict=True)
    }


def table(quality: dict[str, Any]) -> Table:
    """What was measured."""
    found = {**quality["iou"], "mean": quality["mean_iou"]}
    rows = [(part, "–" if iou is None else f"{iou:.4f}") for part, iou in found.items()]
    return Table(("part", "intersection over union"), rows)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train a part segmenter on rendered portraits.")
    parser.add_argument(
        "--data", type=Path, default=Path("portraits-data"), help="rendered here if it is missing"
    )
    parser.add_argument("--out", type=Path, default=MODEL, help="folder to write to")
    parser.add_argument("--stem", default="segmenter", help="name of the file")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=36_000, help="images in the data set")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--measure", action="store_true", help="only state the quality of what is there")
    options = parser.parse_args(arguments)
    if options.measure:
        shipped = load_segmenter(options.out / f"{options.stem}.safetensors")
        print(table(measure(shipped, resolution=options.resolution)))
        return
    images, masks = open_dataset(options.data, count=options.count, resolution=options.resolution)
    start = time.monotonic()
    segmenter = train_segmenter(
        images, masks, width=options.width, steps=options.steps, batch=options.batch, seed=options.seed,
        device=options.device,
    )  # fmt: skip
    summary = {"images": options.steps * options.batch, "seed": options.seed, "device": options.device}
    summary["minutes"] = round((time.monotonic() - start) / 60, 1)
    quality = measure(segmenter, resolution=options.resolution)
    path = options.out / f"{options.stem}.safetensors"
    segmenter.save(path, training={**summary, "quality": quality})
    print(table(quality))


if __name__ == "__main__":
    main()
