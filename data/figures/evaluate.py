"""Compare all methods on the same pairs: print the tables of docs/evaluation.md, draw, keep the numbers.

python -m data.figures.evaluate             measure, print and draw: a quarter of an hour of one processor
python -m data.figures.evaluate --draw      print and draw again from the stored numbers
python -m data.figures.evaluate --matrix    measure and draw the part-leak matrix alone
python -m data.figures.evaluate --ways      the ways of editing in place against each other: five minutes
python -m data.figures.evaluate --local     how real the surroundings look, beside soft compositing
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

import lefs
from lefs import plotting
from lefs.effects import by_effect
from lefs.evaluation import (
    Comparison,
    Estimate,
    Method,
    Report,
    compare,
    interval,
    part_leak,
    report,
    seed_pairs,
    standard_methods,
)
from lefs.evaluation.methods import edited
from lefs.evaluation.outcomes import spelled
from lefs.evaluation.pairs import PairBatch
from lefs.tables import Table

from ..portraits.recipe.measure.subject import Subject

HERE = Path(__file__).parent
MODEL = "portraits"
IN_COLOR = ("sequential", "effect-based", "pair-aware", "in place", "feature blending", "soft compositing")
SHOWN = ("effect-based", "in place", "pixel compositing")
NUMBERS = HERE / "comparison.json"
PARTS = ("hair", "clothes", "skin", "eyes", "brows", "nose", "mouth")
# (not every pair shows them)
RARE = ("hat", "glasses", "beard", "ears", "earrings")


#: The ways of editing in place that `QuerySettings` has, and half an edit and a quarter of one.
WAYS: dict[str, tuple[dict[str, Any], float]] = {
    "in place": ({}, 1.0),
    "align = apart": ({"align": "apart"}, 1.0),
    "align = True": ({"align": True}, 1.0),
    "tone": ({"tone": True}, 1.0),
    "transplant": ({"transplant": True}, 1.0),
    "refine = 0": ({"refine": 0}, 1.0),
    "refine = None": ({"refine": None}, 1.0),
    "λ = 0.5": ({}, 0.5),
    "λ = 0.25": ({}, 0.25),
}


def compare_ways(name: str, pairs: int, part_pairs: int) -> Report:
    """The ways of editing in place, with one embedded model."""
    s = Subject.load(name)

    def method(title: str) -> Method:
        options, strength = WAYS[title]
        settings = lefs.QuerySettings(where="part", **options)
        make = partial(_edit, catalog=s.catalog, settings=settings, strength=strength)
        return Method(title, "", (1.0,), 1.0, make)

    judge = Subject.load(MODEL).folder / "judge.safetensors"
    found = compare(
        s.model,
        s.catalog,
        seed_pairs(pairs),
        parts=[part for part in PARTS + RARE if part in s.catalog.parts],
        methods=[method(title) for title in WAYS],
        segmenter=s.segmenter,
        features=lefs.load_segmenter(judge).features,
        part_pairs=part_pairs,
    )
    return report(found, note=f"{name}, truncation 0.7, {part_pairs} pairs a part, judged by the segmenter")


def _edit(
    batch: PairBatch,
    part: str,
    _: float,
    *,
    catalog: lefs.Catalog,
    settings: lefs.QuerySettings,
    strength: float,
) -> Tensor:
    return edited(batch, catalog, part, settings, strength=strength)


def measure(pairs: int, part_pairs: int, curve_pairs: int, *, usual_only: bool = False) -> Comparison:
    """Every method on the first `part_pairs` pairs that show a part; at unusual values on fewer of them.

    Edits are made with the catalog's masks; the segmenter judges where parts are, and the features are those
    of another network than the segmenter.
    """
    subject = Subject.load(MODEL)
    model, catalog, segmenter = subject.model, subject.catalog, subject.segmenter
    effect = by_effect(catalog, model) if catalog.effects is None else catalog.by_effect()
    methods = standard_methods(model, catalog, effect=effect)
    return compare(
        model,
        catalog,
        seed_pairs(pairs),
        parts=PARTS + RARE,
        methods=[m.only(m.usual) for m in methods] if usual_only else methods,
        segmenter=segmenter,
        features=lefs.load_segmenter(subject.folder / "judge.safetensors").features,
        part_pairs=part_pairs,
        curve_pairs=curve_pairs,
    )


def local_table(found: Comparison, rival: str = "soft compositing") -> Table:
    """Local realism of each method, and its share of the rival's: all parts, then those of "in place"."""

    def local(method: str, parts: Sequence[str]) -> np.ndarray:
        real = [r for r in found.realism if r.method == method and r.part in parts]
        return np.asarray(np.mean([r.local(found.pairs) for r in real], axis=0))

    def row(label: str, method: str, parts: Sequence[str]) -> tuple[str, ...]:
        own, other = local(method, parts), local(rival, parts)
        cells = [spelled(interval(1000 * values), ".1f") for values in (own, other)]
        return label, *cells, spelled(interval(own / other), ".2f")

    parts = list(dict.fromkeys(o.part for o in found.outcomes))
    rows = [row(m.name, m.name, parts) for m in found.methods]
    rows += [row(f"in place, {part}", "in place", [part]) for part in parts]
    return Table(("method", "local × 1000", f"{rival}'s", f"share of {rival}'s"), rows)


def draw_matrix(pairs: int) -> None:
    """Write part_leak.png: what each part's edit changes, with the tuned settings."""
    s = Subject.load(MODEL)
    found = part_leak(
        s.model, s.catalog, seed_pairs(pairs), parts=PARTS, settings=s.settings, segmenter=s.segmenter
    )
    plotting.part_leak_matrix(found).savefig(HERE / "part_leak.png", dpi=144)


def part_table(found: Report, method: str) -> Table:
    """Three numbers a part, of one method at its usual value."""
    rows = []
    for r in (r for r in found.rows if r.method == method and r.usual):
        numbers = ((r.arrival, ".2f", 1), (r.visible, ".1%", 1), (r.halo, ".0%", 1), (r.local, ".1f", 1000))
        cells = (spelled(Estimate(*(times * v for v in n)), form) for n, form, times in numbers if n)
        rows.append((r.part, str(r.pairs), *cells))
    return Table((method, "pairs", "arrival", "visible outside", "halo", "local × 1000"), rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Compare all methods of editing on the same pairs.")
    parser.add_argument("--pairs", type=int, default=190, help="of which each part takes those that show it")
    parser.add_argument("--part-pairs", type=int, default=64, help="pairs of each part")
    parser.add_argument("--curve-pairs", type=int, default=12, help="of these away from the usual settings")
    parser.add_argument("--draw", action="store_true", help="from the stored numbers")
    parser.add_argument("--matrix", action="store_true", help="the part-leak matrix alone")
    parser.add_argument("--ways", action="store_true", help="the ways of editing in place")
    parser.add_argument("--local", action="store_true", help="local realism beside soft compositing's")
    parser.add_argument("--models", nargs="+", default=[MODEL, "portraits-64"], help="with --ways: of these")
    options = parser.parse_args()
    if options.ways:
        for name in options.models:
            found = compare_ways(name, options.pairs, options.part_pairs)
            print(name, found.table(), *(part_table(found, way) for way in WAYS), sep="\n\n", flush=True)
        return
    if options.local:
        print(local_table(measure(options.pairs, options.part_pairs, options.part_pairs, usual_only=True)))
        return
    if not options.draw:
        draw_matrix(options.pairs)
    if options.matrix:
        return
    if not options.draw:
        note = f"{MODEL}, truncation 0.7, {options.part_pairs} pairs a part, judged by the segmenter"
        report(measure(options.pairs, options.part_pairs, options.curve_pairs), note=note).save(NUMBERS)
    found = Report.load(NUMBERS)
    figure = plotting.tradeoff_curves(found, parts=PARTS, emphasise=IN_COLOR)
    figure.savefig(HERE / "tradeoff.png", dpi=144)
    print(found.table(), found.reach_table(), *(part_table(found, m) for m in SHOWN), sep="\n\n")
    if found.unedited is not None:
        distance, kernel = found.unedited
        print(f"\nunedited pictures: Fréchet {distance:.3f}, kernel × 1000 {1000 * kernel[0]:.2f}")


if __name__ == "__main__":
    main()
