"""Do shapes arrive? The area and the outline of edited parts, in place, judged by the segmenter.

python -m data.figures.shapes [--pairs 190] [--ways "in place" "align = apart"] [--models portraits]

Ways say when the reference's part is moved over the target's (`QuerySettings.align`).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lefs
from lefs.evaluation import estimate, pair_batches, read_masks, seed_pairs
from lefs.evaluation.methods import edited
from lefs.evaluation.outcomes import spelled
from lefs.evaluation.pairs import SPECK
from lefs.tables import Table

from ..portraits.recipe.measure.subject import Subject
from .evaluate import PARTS, RARE

FAR = 7 / 128  # of the picture's width: how far parts lie apart whose outlines are compared
WAYS: dict[str, dict[str, Any]] = {
    "in place": {},
    "align = apart": {"align": "apart"},
    "align = True": {"align": True},
    "transplant": {"transplant": True},
    "refine = None": {"refine": None},
}
#: What happens to a part's area, from the target's (N,) to the reference's.
CASES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "hair, to shorter": ("hair", lambda t, r: (r < 0.8 * t) & (r >= SPECK)),
    "hair, to longer": ("hair", lambda t, r: (r > 1.25 * t) & (t >= SPECK)),
    "hat added": ("hat", lambda t, r: (t < SPECK) & (r >= 10 * SPECK)),
    "hat removed": ("hat", lambda t, r: (r < SPECK) & (t >= 10 * SPECK)),
    "glasses added": ("glasses", lambda t, r: (t < SPECK) & (r >= 5 * SPECK)),
    "glasses removed": ("glasses", lambda t, r: (r < SPECK) & (t >= 5 * SPECK)),
    "mouth, to larger": ("mouth", lambda t, r: (r > 1.25 * t) & (t >= SPECK)),
    "mouth, to smaller": ("mouth", lambda t, r: (r < 0.8 * t) & (r >= SPECK)),
}


def centroids(masks: Tensor) -> Tensor:
    """Row and column of the middle of each mask (N, H, W): (N, 2); NaN of an empty one."""
    weights = masks.double()
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in masks.shape[1:])
    area = weights.sum((1, 2))
    return torch.stack([weights.sum(2) @ rows / area, weights.sum(1) @ columns / area], dim=1)


def unlike(masks: Tensor, reference: Tensor) -> np.ndarray:
    """Pixels in one mask and not the other, once their middles lie over each other: (N,)."""
    shifts = (centroids(reference) - centroids(masks)).nan_to_num().round().int().tolist()
    moved = [m.roll(tuple(s), (0, 1)) for m, s in zip(masks, shifts, strict=True)]
    found: np.ndarray = ((torch.stack(moved) if moved else masks) ^ reference).sum((1, 2)).double().numpy()
    return found


@torch.inference_mode()
def measure(name: str, count: int, ways: Sequence[str] = tuple(WAYS)) -> tuple[Table, Table]:
    """Slopes of area by case, and agreement of outlines by part, for each way of editing in place."""
    s = Subject.load(name)
    parts = [part for part in PARTS + RARE if part in s.catalog.parts]
    slopes: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    outlines: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for batch in pair_batches(s.model, s.catalog, seed_pairs(count), segmenter=s.segmenter):
        for way in ways:
            settings = lefs.QuerySettings(where="part", **WAYS[way])
            for part in parts:
                images = edited(batch, s.catalog, part, settings)
                sides = batch.target_masks[part], batch.reference_masks[part]
                made = read_masks(
                    s.model, s.catalog, None, images=images, segmenter=s.segmenter, parts=[part]
                )[part]
                areas = [m.double().mean((1, 2)) for m in (*sides, made)]
                for case, (of, meant) in CASES.items():
                    if of == part:
                        at = meant(areas[0], areas[1])
                        wanted, got = (areas[i][at] - areas[0][at] for i in (1, 2))
                        slopes[case, way].append(np.stack([(wanted * got).numpy(), wanted.square().numpy()]))
                apart = (centroids(sides[0]) - centroids(sides[1])).norm(dim=1) / images.shape[-1]
                at = (apart >= FAR) & (torch.stack(areas[:2]).amin(0) >= SPECK)
                both = [unlike(m[at], sides[1][at]) for m in (made, sides[0])]
                outlines[part, way].append(np.stack([both[1] - both[0], both[1]]))
    return table("area: slope", slopes, ways), table("outline: agreement", outlines, ways)


def table(title: str, found: dict[tuple[str, str], list[np.ndarray]], ways: Sequence[str]) -> Table:
    """A row for each case or part, a column for each way: Σ / Σ over pairs, with 95 % intervals."""
    rows = []
    for row in dict.fromkeys(row for row, _ in found):
        columns = [np.concatenate(found[row, way], axis=1) for way in ways]
        if columns[0].shape[1] >= 3:
            cells = (spelled(estimate(*c), ".2f") for c in columns)
            rows.append((row, str(columns[0].shape[1]), *cells))
    return Table((title, "pairs", *ways), rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure whether areas and outlines of parts arrive.")
    parser.add_argument("--pairs", type=int, default=190, help="of which each row takes those that show it")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--models", nargs="+", default=["portraits"])
    options = parser.parse_args()
    for name in options.models:
        print(name, *measure(name, options.pairs, options.ways), sep="\n\n", flush=True)


if __name__ == "__main__":
    main()
