"""Leak at equal effect: contributions by energy, contributions by effect, and the query for one pair.

    python -m data.figures.equal_effect
    python -m data.figures.scenes --out scenes && python -m data.figures.equal_effect --scenes scenes

Each way of choosing channels traces a curve of effect inside the part and leak outside it, from no edit to
the whole style, as its budget grows; nothing else holds channels back (ρ = 0, gates open). The curves are
compared where they first reach a share of the effect that all of them reach. Masks are the segmenter's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import lefs
from lefs.effects import measure_effects
from lefs.evaluation import (
    Curve,
    Method,
    NamedSegmenter,
    PairBatch,
    bootstrap,
    by_query,
    compare,
    confusion,
    interval,
    name_by_truth,
    seed_pairs,
)
from lefs.evaluation.outcomes import read_off, spelled

from .scenes import HueSegmenter

# (fine where the finest layers run out of channels and curves are steep)
EPSILONS = (2, 4, 6, 8, 10, 12, 14, *range(16, 33), 36, 40, 48, 64, 96, 128)
LEAKS = (
    5, 10, 20, 30, 40, 60, 80, 100, 130, 160, 190, 220, 260, 300, 350, 400, 450, 520, 600, 680,
    780, 900, 1050, 1200, 1450, 1700, 2200, 3000, 4000, float("inf"),
)  # fmt: skip
OPEN: dict[str, Any] = {"rho": 0.0, "coarse": 1.0, "rgb": 1.0}
Array = NDArray[np.float64]


def curves(
    generator: lefs.Generator,
    catalog: lefs.Catalog,
    parts: Sequence[str],
    segmenter: NamedSegmenter,
    pairs: int,
) -> list[Curve]:
    """What every method does to every part, over its budgets."""

    def sequential(chosen: lefs.Catalog) -> Callable[[str, float], Tensor]:
        return lambda part, value: lefs.QuerySettings(epsilon=value, **OPEN).query(chosen, part)

    def for_the_pair(batch: PairBatch, part: str, value: float) -> Tensor:
        settings = lefs.QuerySettings("pair", leak=value, **OPEN)
        return batch.moved(settings.query(catalog, part, batch.target_styles, batch.reference_styles))

    methods = [
        by_query("energy", "ε", EPSILONS, EPSILONS[-1], sequential(catalog)),
        by_query("effect", "ε", EPSILONS, EPSILONS[-1], sequential(catalog.by_effect())),
        Method("pair", "leak", LEAKS, LEAKS[-1], for_the_pair),
    ]
    options: dict[str, Any] = {"segmenter": segmenter, "batch_size": 26}
    return compare(generator, catalog, seed_pairs(pairs), parts=parts, methods=methods, **options).curves


def compared(own: Sequence[Curve], share: float) -> list[str]:
    """Part, pairs, the effect, the leak of each method, and ratios to energy with their intervals."""

    def resampled(counts: Array, *columns: Array) -> Array:
        """The common effect and the leak of each method there, of each resample: (R, 1 + methods)."""
        means = [counts @ column / counts.sum(axis=1, keepdims=True) for column in columns]
        effects, leaked = means[: len(own)], means[len(own) :]
        level = share * np.min([effect.max(axis=1) for effect in effects], axis=0)
        leaks = [read_off(e, k, level) for e, k in zip(effects, leaked, strict=True)]
        return np.stack([level, *leaks], axis=1)

    drawn = bootstrap(resampled, *(c.effect for c in own), *(c.leak for c in own))
    effect, *leaked = drawn[0]
    ratios = [interval(drawn[:, k] / drawn[:, 1]) for k in range(2, 1 + len(own))]
    numbers = [f"{effect:.0f}", *(f"{leak:.1f}" for leak in leaked)]
    return [own[0].part, str(len(own[0].effect)), *numbers, *(spelled(r, ".2f") for r in ratios)]


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
    for part in dict.fromkeys(curve.part for curve in found):
        own = [curve for curve in found if curve.part == part]
        print("|", " | ".join(compared(own, options.share)), "|")


if __name__ == "__main__":
    main()
