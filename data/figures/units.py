"""The numbers on units in docs/evaluation.md: what single units stand for, what they cause, where M misleads.

    python -m data.figures.units

Takes about three minutes on one core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import lefs
from lefs import units
from lefs.segmenters import PartSegmenter

CONCEPT, LAYER, COUNT = "glasses", "b8.torgb", 8
MODEL = "portraits-64"
PAINTED = {  # name: middle (x, y) of a patch of 24 × 12 pixels, in shares of the picture
    "eyes": (0.5, 0.45),
    "mouth": (0.5, 0.62),
    "forehead": (0.5, 0.28),
    "clothes": (0.5, 0.9),
    "background": (0.2, 0.12),
}


def patch(x: float, y: float) -> Tensor:
    """Mask (64, 64) of a patch about a place."""
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[int(y * 64) - 6 : int(y * 64) + 6, int(x * 64) - 12 : int(x * 64) + 12] = True
    return mask


def causes(model: lefs.Generator, judge: PartSegmenter, found: units.UnitDissection) -> dict[str, list[int]]:
    """Print the causal effects of sets of units; return the sets."""
    place, levels = found.usual_place(CONCEPT), found.levels_of(LAYER, CONCEPT)
    rules: dict[str, Any] = {"segmenter": judge, "levels": levels, "where": place, "progress": False}
    weights = units.optimize_units(model, range(1000, 1064), LAYER, CONCEPT, budget=COUNT, steps=15, **rules)
    sets = {n: order[:COUNT] for n, order in units.rankings(found, LAYER, CONCEPT, weights).items()}
    for state in range(1, 4):
        drawn = units.rankings(found, LAYER, CONCEPT, random_state=state)["random"]
        sets[f"random {state}"] = drawn[:COUNT]
    measured = units.causal_effects(model, range(2000, 2200), LAYER, sets, CONCEPT, **rules)
    print(units.causal_table(measured.values()))
    return sets


def paint(
    model: lefs.Generator, judge: PartSegmenter, found: units.UnitDissection, chosen: list[int]
) -> None:
    """Print how many pixels of the concept the units bring where they are painted."""
    label, levels = judge.names.index(CONCEPT), found.levels_of(LAYER, CONCEPT)
    styles = model.sample(range(2000, 2032))
    with torch.inference_mode():
        before = (judge(model.synthesize(styles)) == label).sum().item()
        for name, middle in PAINTED.items():
            images = units.insert(model, styles, LAYER, chosen, levels, where=patch(*middle))
            gained = (judge(images) == label).sum().item() - before
            print(f"painted on the {name}: {gained / len(styles):+.1f} pixels of {CONCEPT} a picture")


def main() -> None:
    """Print all of them."""
    model, judge = lefs.load(MODEL), lefs.load_segmenter(MODEL)
    catalog = lefs.Catalog.load(MODEL)
    found = units.characterize(model, range(96), segmenter=judge, progress=False)
    print(f"{int(found.histogram().sum())} of {found.num_units} units above IoU 0.04")
    sets = causes(model, judge, found)
    paint(model, judge, found, sets["optimised"])
    effects = units.channel_effects(model, catalog, range(3000, 3006), segmenter=judge, progress=False)
    parts = ["background", "hair", "skin", "clothes", "eyes", "nose", "mouth"]
    ranks: dict[str, list[float]] = {}
    for agreement in units.agreement(effects, catalog, parts=parts):
        ranks.setdefault(agreement.layer, []).append(agreement.rho.value)
    for layer, rhos in ranks.items():
        print(f"{layer}: rank correlation of M with effect, median over parts {np.median(rhos):.2f}")
    print(units.misleading_channels(effects, catalog, "hair", count=5))


if __name__ == "__main__":
    main()
