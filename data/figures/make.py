"""Make the README's pictures and print its table, from the embedded generator and catalog.

python data/figures/make.py
"""

from __future__ import annotations

from pathlib import Path

import lefs
from lefs import QuerySettings, plotting
from lefs.evaluation import locality, locality_table

HERE = Path(__file__).parent
TARGET, REFERENCES = 1003, [2001, 2002, 2005, 2008, 2011, 2017]
# A large part can be given more budget, a part with channels of its own a higher price.
SETTINGS = {
    "hair": QuerySettings(rho=0.2, epsilon=48),
    "clothes": QuerySettings(rho=0.5),
    "skin": QuerySettings(rho=0.2),
    "eyes": QuerySettings(rho=0.1),
    "mouth": QuerySettings(rho=0.1),
}


def main() -> None:
    """Write parts.png, edits.png and locality.png beside this file; print the locality of 200 pairs."""
    model, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits")
    editor = lefs.Editor(model, catalog)
    styles = model.sample_styles(range(5000, 5008))
    membership = catalog.membership(model, styles)
    overlays = plotting.membership_overlays(model.synthesize(styles), membership, names=catalog.parts)
    overlays.savefig(HERE / "parts.png", dpi=144)
    rows = editor.grid(TARGET, REFERENCES, SETTINGS, settings=SETTINGS)
    grid = plotting.transfer_grid(editor.pictures([TARGET])[0], editor.pictures(REFERENCES), rows)
    grid.savefig(HERE / "edits.png", dpi=144)
    pairs = [(10_000 + i, 20_000 + i) for i in range(200)]
    segmenter = lefs.load_segmenter("portraits")
    measured = []
    for part, chosen in SETTINGS.items():
        measured += locality(model, catalog, pairs, parts=[part], settings=chosen, segmenter=segmenter)
    plotting.locality_bars(measured).savefig(HERE / "locality.png", dpi=144)
    print(locality_table(measured))


if __name__ == "__main__":
    main()
