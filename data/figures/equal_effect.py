"""Leak at equal effect: contributions by energy, contributions by effect, and the query for one pair.

    python -m data.figures.equal_effect
    python -m data.figures.scenes --out scenes && python -m data.figures.equal_effect --scenes scenes

Each way of choosing channels traces a curve of effect inside the part and leak outside it, from no edit to
the whole style, as its budget grows; nothing else holds channels back (ρ = 0, gates open). The curves are
compared where they first reach a share of the effect that all of them reach. Masks are the segmenter's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

import lefs
from lefs.effects import measure_effects
from lefs.evaluation import NamedSegmenter, confusion, measure, name_by_truth
from lefs.progress import track

from .scenes import HueSegmenter

METHODS = ("energy", "effect", "pair")
# (fine where the finest layers run out of channels and curves are steep)
EPSILONS = (2, 4, 6, 8, 10, 12, 14, *range(16, 33), 36, 40, 48, 64, 96, 128)
LEAKS = (
    5, 10, 20, 30, 40, 60, 80, 100, 130, 160, 190, 220, 260, 300, 350, 400, 450, 520, 600, 680,
    780, 900, 1050, 1200, 1450, 1700, 2200, 3000, 4000, float("inf"),
)  # fmt: skip
OPEN: dict[str, Any] = {"rho": 0.0, "coarse": 1.0, "rgb": 1.0}
BATCH = 26

Array = NDArray[np.float64]
Curves = dict[tuple[str, str], Array]
"""Mean squared ΔE inside and outside of each pair, of every part and method: (budgets, 2, pairs)."""


def part_masks(segmenter: NamedSegmenter, part: str, *images: Tensor) -> Tensor:
    """Where the part is in any of the images, widened by a pixel: (n, H, W)."""
    label = list(segmenter.names).index(part)
    found = torch.stack([segmenter(x) == label for x in images]).any(dim=0)
    return max_pool2d(found[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0


@torch.inference_mode()
def curves(
    generator: lefs.Generator,
    catalog: lefs.Catalog,
    parts: Sequence[str],
    segmenter: NamedSegmenter,
    pairs: int,
) -> Curves:
    """What every method does to every part, over its budgets."""
    ways = {"energy": catalog, "effect": catalog.by_effect()}
    keys = [(part, method) for part in parts for method in METHODS]
    found: dict[tuple[str, str], list[list[Array]]] = {key: [[] for _ in EPSILONS] for key in keys}
    starts = range(0, pairs, BATCH)
    for start in track(starts, total=len(starts), description="pairs", show=True):
        seeds = range(start, min(pairs, start + BATCH))
        target, wanted = (
            generator.sample_styles([base + s for s in seeds], truncation=0.7) for base in (10_000, 20_000)
        )
        before, after = generator.synthesize(target), generator.synthesize(wanted)
        for part in parts:
            mask = part_masks(segmenter, part, before, after)
            here = mask.flatten(1).any(dim=1) & ~mask.flatten(1).all(dim=1)
            if not here.any():
                continue
            for method in METHODS:
                for j, (epsilon, leak) in enumerate(zip(EPSILONS, LEAKS, strict=True)):
                    if method == "pair":
                        q = lefs.QuerySettings("pair", leak=leak, **OPEN).query(catalog, part, target, wanted)
                    else:
                        q = lefs.QuerySettings(epsilon=epsilon, **OPEN).query(ways[method], part)
                    edited = generator.synthesize(lefs.transfer(target, wanted, q))
                    m = measure(before[here], edited[here], mask[here])
                    found[part, method][j].append(np.stack([m.effect, m.leak]))
    return {
        key: np.stack([np.concatenate(c, axis=1) for c in rows]) for key, rows in found.items() if rows[0]
    }


def leak_at(curve: Array, effect: float) -> float:
    """Leak where a curve (budgets, 2), from no edit on, first reaches an effect."""
    inside, outside = np.concatenate([[[0, 0]], curve]).T
    j = int(np.argmax(inside >= effect - 1e-9))
    share = (effect - inside[j - 1]) / (inside[j] - inside[j - 1])
    found: float = outside[j - 1] + share * (outside[j] - outside[j - 1])
    return found


def compare(found: Curves, part: str, share: float) -> list[str]:
    """Pairs, the effect, the leak of each method, and ratios to energy with paired bootstrap intervals."""
    data = {m: found[part, m] for m in METHODS}
    count, random = data["energy"].shape[2], np.random.default_rng(0)

    def leaks(pairs: NDArray[np.int64]) -> tuple[float, Array]:
        means = {m: d[:, :, pairs].mean(axis=2) for m, d in data.items()}
        effect = share * min(mean[:, 0].max() for mean in means.values())
        return effect, np.array([leak_at(means[m], effect) for m in METHODS])

    effect, own = leaks(np.arange(count))
    drawn = np.array([leaks(random.integers(0, count, size=(count,)))[1] for _ in range(2000)])
    low, high = np.percentile(drawn[:, 1:] / drawn[:, :1], [2.5, 97.5], axis=0)
    ratios = [f"{r:.2f} [{a:.2f}, {b:.2f}]" for r, a, b in zip(own[1:] / own[0], low, high, strict=True)]
    return [part, str(count), f"{effect:.0f}", *(f"{leak:.1f}" for leak in own), *ratios]


def dissected_scenes(folder: Path, segmenter: NamedSegmenter) -> tuple[lefs.Generator, lefs.Catalog]:
    """The generator of scenes.py and a catalog of it, named by the truth, with effects."""
    generator = lefs.load(folder)
    catalog = lefs.dissect(generator, range(256), clusters=12)
    table = confusion(generator, catalog, range(100_000, 100_256), segmenter=segmenter)
    catalog = catalog.named(name_by_truth(table, segmenter.names))
    return generator, measure_effects(catalog, generator)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="portraits", help="name of an embedded model")
    parser.add_argument("--pairs", type=int, default=104)
    parser.add_argument("--share", type=float, default=0.6, help="of the common effect")
    parser.add_argument("--scenes", type=Path, help="folder of a generator made by scenes.py")
    options = parser.parse_args()
    segmenter: NamedSegmenter
    if options.scenes:
        segmenter, parts = HueSegmenter(), ["disc", "square", "bar"]
        generator, catalog = dissected_scenes(options.scenes, segmenter)
    else:
        generator, catalog = lefs.load(options.model), lefs.Catalog.load(options.model)
        segmenter = lefs.load_segmenter(options.model)
        parts = ["hair", "clothes", "skin", "eyes", "brows", "nose", "mouth"]
    found = curves(generator, catalog, parts, segmenter, options.pairs)
    print("| part | pairs | effect | leak: energy | effect | pair | effect / energy | pair / energy |")
    print("|---|---|---|---|---|---|---|---|")
    for part in dict.fromkeys(p for p, _ in found):
        print("|", " | ".join(compare(found, part, options.share)), "|")


if __name__ == "__main__":
    main()
