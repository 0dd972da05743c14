"""Make the README's pictures and print its table, from the embedded generator and catalog.

python data/figures/make.py
"""

from __future__ import annotations

from pathlib import Path

import lefs
from lefs import plotting
from lefs.evaluation import load_settings, locality, locality_table, part_settings

HERE = Path(__file__).parent
TARGET, REFERENCES = 1003, [2001, 2002, 2005, 2008, 2011, 2017]
PARTS = ("hair", "clothes", "skin", "eyes", "mouth")


def main() -> None:
    """Write parts.png, edits.png and locality.png beside this file; print the locality of 200 pairs."""
    model, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits")
    editor = lefs.Editor(model, catalog)
    settings = part_settings(catalog, load_settings("portraits", catalog))  # tuned: data/portraits/tune.py
    styles = model.sample_styles(range(5000, 5008))
    membership = catalog.membership(model, styles)
    overlays = plotting.membership_overlays(model.synthesize(styles), membership, names=catalog.parts)
    overlays.savefig(HERE / "parts.png", dpi=144)
    rows = editor.grid(TARGET, REFERENCES, PARTS, settings=settings)
    grid = plotting.transfer_grid(editor.pictures([TARGET])[0], editor.pictures(REFERENCES), rows)
    grid.savefig(HERE / "edits.png", dpi=144)
    pairs = [(10_000 + i, 20_000 + i) for i in range(200)]
    segmenter = lefs.load_segmenter("portraits")
    measured = locality(model, catalog, pairs, parts=PARTS, settings=settings, segmenter=segmenter)
    plotting.locality_bars(measured).savefig(HERE / "locality.png", dpi=144)
    print(locality_table(measured))


if __name__ == "__main__":
    main()
