"""Make the README's pictures of parts and edits, from the embedded generator and catalog.

    python -m data.figures.make

The edits take contributions by effect, each part with the strongest settings that leak no more than a stated
share of what global transfer does, on pairs held out for that.
"""

from __future__ import annotations

from pathlib import Path

import lefs
from lefs import plotting
from lefs.evaluation import seed_pairs, tune

from ..portraits.recipe.measure.tune import LEAKS

HERE = Path(__file__).parent
# (whose parts differ from the target's where one can see it)
TARGET, REFERENCES = 1003, [2001, 2025, 2016, 2000, 2054, 2051]
PARTS = ("hair", "clothes", "skin", "eyes", "mouth")


def main() -> None:
    """Write parts.png and edits.png beside this file; print the settings."""
    model, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits").by_effect()
    styles = model.sample_styles(range(5000, 5008))
    membership = catalog.membership(model, styles)
    overlays = plotting.membership_overlays(model.synthesize(styles), membership, names=catalog.parts)
    overlays.savefig(HERE / "parts.png", dpi=144)

    pairs, segmenter = seed_pairs(32, targets=30_000, references=40_000), lefs.load_segmenter("portraits")
    tuned = {
        part: tune(model, catalog, part, leak=LEAKS[part], pairs=pairs, segmenter=segmenter).best
        for part in PARTS
    }
    for part, best in tuned.items():
        print(f"{part:8} ρ {best.settings.rho:g}, ε {best.settings.epsilon:g}: leak {best.leak[0]:.1%}")
    editor = lefs.Editor(model, catalog)
    rows = editor.grid(TARGET, REFERENCES, PARTS, settings={p: b.settings for p, b in tuned.items()})
    grid = plotting.transfer_grid(editor.pictures([TARGET])[0], editor.pictures(REFERENCES), rows)
    grid.savefig(HERE / "edits.png", dpi=144)


if __name__ == "__main__":
    main()
