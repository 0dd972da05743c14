"""Compare all methods on the same pairs: print the README's tables, draw its figures, keep the numbers.

python -m data.figures.evaluate             measure, print and draw: ten minutes of one processor
python -m data.figures.evaluate --draw      print and draw again from the stored numbers
python -m data.figures.evaluate --matrix    measure and draw the part-leak matrix alone
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lefs import plotting
from lefs.effects import by_effect
from lefs.evaluation import (
    Report,
    compare,
    part_leak,
    report,
    seed_pairs,
    standard_methods,
)

from ..portraits.recipe.measure.subject import Subject

HERE = Path(__file__).parent
MODEL = "portraits"
NUMBERS = HERE / "comparison.json"
PARTS = ("hair", "clothes", "skin", "eyes", "brows", "nose", "mouth")


def measure(pairs: int, curve_pairs: int) -> Report:
    """Every method on `pairs` pairs; the other values of its setting on the first `curve_pairs` of them."""
    subject = Subject.load(MODEL)
    model, catalog, segmenter = subject.model, subject.catalog, subject.segmenter
    effect = by_effect(catalog, model) if catalog.effects is None else catalog.by_effect()
    found = compare(
        model,
        catalog,
        seed_pairs(pairs),
        parts=PARTS,
        methods=standard_methods(model, catalog, effect=effect),
        segmenter=segmenter,
        features=segmenter.features,
        curve_pairs=curve_pairs,
        batch_size=25,
    )
    return report(found, leak=0.05, note=f"{MODEL}, truncation 0.7, masks by the segmenter")


def draw_matrix(pairs: int) -> None:
    """Write part_leak.png: what each part's edit changes, with the tuned settings."""
    s = Subject.load(MODEL)
    found = part_leak(
        s.model, s.catalog, seed_pairs(pairs), parts=PARTS, settings=s.settings, segmenter=s.segmenter
    )
    plotting.part_leak_matrix(found).savefig(HERE / "part_leak.png", dpi=144)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Compare all methods of editing on the same pairs.")
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--curve-pairs", type=int, default=100, help="pairs away from the usual settings")
    parser.add_argument("--draw", action="store_true", help="from the stored numbers")
    parser.add_argument("--matrix", action="store_true", help="the part-leak matrix alone")
    options = parser.parse_args()
    if not options.draw:
        draw_matrix(min(200, options.pairs))
    if options.matrix:
        return
    if not options.draw:
        measure(options.pairs, options.curve_pairs).save(NUMBERS)
    found = Report.load(NUMBERS)
    plotting.tradeoff_curves(found).savefig(HERE / "tradeoff.png", dpi=144)
    print(found.table(), found.within_table(), sep="\n\n")
    if found.unedited is not None:
        distance, kernel = found.unedited
        print(f"\nunedited pictures: Fréchet {distance:.3f}, kernel × 1000 {1000 * kernel[0]:.2f}")


if __name__ == "__main__":
    main()
