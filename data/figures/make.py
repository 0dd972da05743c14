"""Make the README's pictures of parts and edits.

    python -m data.figures.make

The edits are the grid of notebook 3, as it stands there: made by its cells, with its parameters and the tuned
settings that lie beside the embedded catalog.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure

import lefs
from lefs import plotting

HERE = Path(__file__).parent
NOTEBOOK = HERE.parents[1] / "notebooks" / "3_editing.ipynb"


def draw_parts() -> Figure:
    """The parts of eight portraits that were not in the catalog's sample."""
    model, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits")
    styles = model.sample_styles(range(5000, 5008))
    membership = catalog.membership(model, styles)
    return plotting.membership_overlays(model.synthesize(styles), membership, names=catalog.parts)


def draw_edits() -> tuple[Figure, str]:
    """The notebook's grid, by its own cells, and what it shows: seeds and settings, as JSON."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = {cell.id: cell.source for cell in cells if cell.cell_type == "code"}
    shell, here = InteractiveShell(), Path.cwd()
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)  # (the results of other runs are no business of this picture)
        try:
            for source in list(code.values())[: list(code).index("grid") + 1]:
                outcome = shell.run_cell(source)
                outcome.raise_error()
        finally:
            os.chdir(here)
    made = shell.user_ns
    settings = {part: asdict(made["table"][part]) for part in made["parts"]}
    shown = {name: made[name] for name in ("target", "references", "truncation", "strength")}
    return outcome.result, json.dumps({**shown, "settings": settings})


def main() -> None:
    """Write parts.png and edits.png beside this file."""
    draw_parts().savefig(HERE / "parts.png", dpi=144)
    edits, shown = draw_edits()
    edits.savefig(HERE / "edits.png", dpi=144, metadata={"Description": shown})


if __name__ == "__main__":
    main()
