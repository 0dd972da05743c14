"""
Tune the price ρ and the budget ε of every part of an embedded catalog, and store them beside it.

    python -m data.portraits.recipe.measure.tune
    python -m data.portraits.recipe.measure.tune --contributions effect

The pairs are held out: no number that lefs reports is measured on them. (The settings that are shipped were
chosen before arrival was measured: most change of the part within a share of what global transfer leaks.)
"""

from __future__ import annotations

import argparse

import lefs
from lefs.evaluation import save_settings, seed_pairs, tune
from lefs.records import locate

# The share of pixels that may be seen to change outside the part. A channel acts wherever it is active, so
# where little is seen elsewhere little of the part arrives: the large parts are allowed more.
VISIBLE = {"hair": 0.15, "clothes": 0.25, "skin": 0.15}
SMALL = 0.06


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Tune the editing settings of every part.")
    parser.add_argument("--model", default="portraits", help="name of an embedded model, or its folder")
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--contributions", choices=["energy", "effect"], default="energy")
    options = parser.parse_args(arguments)
    base = lefs.QuerySettings(contributions=options.contributions)
    model, catalog = lefs.load(options.model), lefs.Catalog.load(options.model)
    segmenter = lefs.load_segmenter(options.model)
    pairs = seed_pairs(options.pairs, targets=30_000, references=40_000)
    found = []
    for part in catalog.parts:
        if part == "background":
            continue
        try:
            limit = VISIBLE.get(part, SMALL)
            tuned = tune(model, catalog, part, visible=limit, pairs=pairs, settings=base, segmenter=segmenter)
        except ValueError as error:  # too rare for these pairs, or nothing on the grid shows so little
            print(f"{part} keeps the usual settings: {error}")
            continue
        if tuned.best.arrival[0] > 0:
            found.append(tuned)
        else:
            print(f"{part} keeps the usual settings: by none that shows so little outside it arrives")
    note = f"{options.pairs} held-out pairs, truncation 0.7, judged by the segmenter"
    print(save_settings(locate(options.model), catalog, found, note=note))
    for t in found:
        best = t.best
        print(
            f"{t.part:9} rho {best.settings.rho:<5g} epsilon {best.settings.epsilon:<5g} "
            f"arrival {best.arrival[0]:.2f} visible outside {best.visible[0]:.1%}"
        )


if __name__ == "__main__":
    main()
