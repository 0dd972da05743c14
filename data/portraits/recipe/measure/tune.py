"""
Tune the price ρ and the budget ε of every part of an embedded catalog, and store them beside it.

    python -m data.portraits.recipe.measure.tune
    python -m data.portraits.recipe.measure.tune --contributions effect

The pairs are held out: no number that lefs reports is measured on them.
"""

from __future__ import annotations

import argparse

import lefs
from lefs.evaluation import save_settings, seed_pairs, tune
from lefs.records import locate

# The leak to allow, as a share of global transfer's. What disturbs the rest as much as an edit of all the
# hair may is not a local edit of a nose. A haircut is made where the maps are coarse and channels serve
# several things: within 5 % hair takes on another colour, within 15 % and by effect another cut as well.
LEAKS = {
    "energy": {"hair": 0.05, "skin": 0.05, "clothes": 0.05},
    "effect": {"hair": 0.15, "skin": 0.05, "clothes": 0.05, "eyes": 0.05, "mouth": 0.03},
}
SMALL = 0.02


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
        limit = LEAKS[options.contributions].get(part, SMALL)
        try:
            tuned = tune(model, catalog, part, leak=limit, pairs=pairs, settings=base, segmenter=segmenter)
        except ValueError as error:  # too rare for these pairs, or nothing on the grid is as local as that
            print(f"{part} keeps the usual settings: {error}")
            continue
        if tuned.best.effect[0]:
            found.append(tuned)
        else:
            print(f"{part} keeps the usual settings: none that leaks so little changes it")
    note = f"{options.pairs} held-out pairs, truncation 0.7, masks by the segmenter"
    print(save_settings(locate(options.model), catalog, found, note=note))
    for t in found:
        best = t.best
        print(
            f"{t.part:9} rho {best.settings.rho:<5g} epsilon {best.settings.epsilon:<5g} "
            f"effect {best.effect[0]:.1%} leak {best.leak[0]:.1%}"
        )


if __name__ == "__main__":
    main()
