"""
How far the channels of several trainings come apart: which own a small part, and how far a channel edit gets.

    python -m data.portraits.recipe.measure.entangled base base2 mixing --judge portraits-64-judge

Each folder holds a generator of one resolution. Contributions are by effect, in the segmenter's masks: the
share of all change of a picture that one channel makes inside a part. Arrival is that of the paper's edit and
of the same rule with contributions by effect, over held-out pairs, where a tenth of the pixels outside change
visibly.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from tqdm.auto import tqdm

import lefs
from lefs.effects import measure_effects, squared_gradients
from lefs.evaluation import Report, compare, confusion, report, seed_pairs, standard_methods
from lefs.segmenters import PartSegmenter
from lefs.tables import Table

from ..draw.dataset import HELD_OUT_SEED, render_dataset
from .distances import Array, sample_distances
from .judge import generated, in_batches, look, quick
from .label import NAMING, name_clusters

PARTS = ("eyes", "brows", "nose", "mouth")
METHODS = ("sequential", "effect-based")
VISIBLE = 0.1  # share of the pixels outside a part that may change visibly
COARSE = 8  # side of the maps up to which what a part looks like is decided
BATCH = 4
LAYER, CLUSTERS, SAMPLE = "b32.conv0+b64.conv0", 256, 256


def contributions(model: lefs.Generator, segmenter: PartSegmenter, images: int) -> Tensor:
    """Contributions by effect of every style channel to every part of the segmenter: (P, S), float64."""
    total = torch.zeros(len(segmenter.names), model.num_styles, dtype=torch.float64)
    signs = torch.Generator().manual_seed(0)
    for start in tqdm(range(0, images, BATCH), desc="effects", unit="batch"):
        styles = model.sample(range(start, min(start + BATCH, images)), truncation=1.0)
        regions = one_hot(segmenter(model.synthesize(styles)), len(segmenter.names)).movedim(-1, 1).float()
        shape = (1, len(styles), model.channels, *model.size)
        total += squared_gradients(
            model, styles, regions, torch.randint(0, 2, shape, generator=signs).float() * 2 - 1
        )
    return total / total.sum(dim=0).clamp_min(1e-30)


def largest(model: lefs.Generator, shares: Tensor, segmenter: PartSegmenter) -> Table:
    """The largest contribution to each part in each layer."""
    rows = [segmenter.names.index(part) for part in PARTS]
    return Table(
        ("layer", "side", "channels", *PARTS),
        [
            (s.name, str(s.size[0]), str(s.channels), *(float(shares[r, s.span].max()) for r in rows))
            for s in model.layers
        ],
    )


def named_catalog(model: lefs.Generator, segmenter: PartSegmenter) -> lefs.Catalog:
    """Dissected as the shipped catalog was, in small, its clusters named by the segmenter."""
    catalog = lefs.dissect(model, range(SAMPLE), clusters=CLUSTERS, layer=LAYER)
    table = confusion(model, catalog, range(NAMING, NAMING + SAMPLE), segmenter=segmenter)
    return catalog.named([segmenter.names[p] for p in name_clusters(table, least=0.3)])


def edits(
    model: lefs.Generator, segmenter: PartSegmenter, pairs: int, part_pairs: int, images: int
) -> tuple[Report, list[str]]:
    """Arrival of channel edits at what may be visible, and the small parts that the catalog lacks."""
    catalog = measure_effects(named_catalog(model, segmenter), model, range(images))
    methods = standard_methods(model, catalog, effect=catalog.by_effect())
    parts = [part for part in PARTS if part in catalog.parts]
    found = compare(
        model,
        catalog,
        seed_pairs(pairs),
        parts=parts,
        methods=[m for m in methods if m.name in METHODS],
        segmenter=segmenter,
        part_pairs=part_pairs,
    )
    return report(found, visible=VISIBLE), [part for part in PARTS if part not in parts]


def frechet(model: lefs.Generator, judge: PartSegmenter, real: Array) -> float:
    """Fréchet distance of as many generated pictures, ψ = 1."""
    made = look(judge, in_batches(generated(model, len(real)), note="looking"))
    return sample_distances(made.features, real)[0]


def row(name: str, layers: Table, found: Report, missing: Sequence[str], apart: float) -> list[str | float]:
    """One training: Fréchet over its floor, largest contributions up to 8 × 8 / finer, arrival of both."""
    cells: list[str | float] = [name, f"{apart:.1f}"]
    coarse = np.array([int(str(r[1])) <= COARSE for r in layers.rows])
    for place in range(len(PARTS)):
        column = np.array([r[3 + place] for r in layers.rows], float)
        cells.append(f"{column[coarse].max():.2f} / {column[~coarse].max():.2f}")
    for part in PARTS:
        reach = [None if part in missing else found.summary(m, part).reach for m in METHODS]
        cells.append(
            " / ".join("–" if r is None else f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in reach)
        )
    return cells


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Compare how far the channels of trainings come apart.")
    parser.add_argument("runs", nargs="+", type=Path, help="folders of generators")
    parser.add_argument("--segmenter", required=True, help="of their resolution: its folder")
    parser.add_argument(
        "--judge", required=True, help="another segmenter, in whose features distances are taken"
    )
    parser.add_argument("--count", type=int, default=2000, help="images on each side of a distance")
    parser.add_argument("--images", type=int, default=128, help="images to measure effects on")
    parser.add_argument("--pairs", type=int, default=96, help="of which each part takes those that show it")
    parser.add_argument("--part-pairs", type=int, default=48, help="pairs of each part")
    options = parser.parse_args(arguments)
    segmenter, judge = lefs.load_segmenter(options.segmenter), quick(lefs.load_segmenter(options.judge))
    models = {run.name: lefs.load(run) for run in options.runs}
    side = next(iter(models.values())).size[0]
    rendered, _ = render_dataset(HELD_OUT_SEED, 2 * options.count, resolution=side)
    halves = [
        look(judge, in_batches(some, note="looking")).features
        for some in (rendered[: options.count], rendered[options.count :])
    ]
    floor, rows = sample_distances(*halves)[0], []
    for name, model in models.items():
        layers = largest(model, contributions(model, segmenter, options.images), segmenter)
        found, missing = edits(model, segmenter, options.pairs, options.part_pairs, options.images)
        rows.append(row(name, layers, found, missing, frechet(model, judge, halves[0]) / floor))
        print(name, layers, sep="\n\n", end="\n\n", flush=True)
    shares = (f"{part}: contribution ≤ 8 × 8 / finer" for part in PARTS)
    print(
        Table(
            ("training", "Fréchet ÷ floor", *shares, *(f"{p}: arrival by M / by effect" for p in PARTS)), rows
        )
    )


if __name__ == "__main__":
    main()
