"""Compare all methods on the same pairs: print the README's table, draw its figures, keep the numbers.

python data/figures/evaluate.py                     measure (a quarter of an hour of one processor), then draw
python data/figures/evaluate.py --draw              draw and print again from the stored numbers
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lefs
from lefs.effects import by_effect
from lefs.evaluation import Report, compare, report, seed_pairs, standard_contestants

HERE = Path(__file__).parent
NUMBERS = HERE / "comparison.json"
PARTS = ("hair", "clothes", "skin", "eyes", "brows", "nose", "mouth")


def measure(pairs: int, curve_pairs: int, effect_images: int) -> Report:
    """Every method on `pairs` pairs; the other values of its knob on the first `curve_pairs` of them."""
    model, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits")
    segmenter = lefs.load_segmenter("portraits")
    if catalog.effects is None:
        effect = by_effect(catalog, model, catalog.sampling.seeds[:effect_images])
    else:
        effect = catalog.by_effect()
    found = compare(
        model,
        catalog,
        seed_pairs(pairs),
        parts=PARTS,
        contestants=standard_contestants(model, catalog, effect=effect),
        segmenter=segmenter,
        features=segmenter.features,
        curve_pairs=curve_pairs,
        batch_size=25,
    )
    return report(found, leak=0.05, note="portraits, truncation 0.7, masks by the segmenter")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Compare all methods of editing on the same pairs.")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--curve-pairs", type=int, default=100, help="pairs away from the usual settings")
    parser.add_argument("--effect-images", type=int, default=128, help="images to measure effects on")
    parser.add_argument("--draw", action="store_true", help="from the stored numbers")
    options = parser.parse_args()
    if not options.draw:
        measure(options.pairs, options.curve_pairs, options.effect_images).save(NUMBERS)
    found = Report.load(NUMBERS)
    print(found.table(), found.within_table(), sep="\n\n")


if __name__ == "__main__":
    main()
