"""Make the README's pictures of parts and edits.

    python -m data.figures.make

The edits are the two grids of notebook 3, as they stand there: made by its cells, with its parameters and the
tuned settings that lie beside the embedded catalog.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure

import lefs
from lefs import plotting

HERE = Path(__file__).parent
GRIDS = {"grid": "edits.png", "in-place-grid": "in_place.png"}  # cells of the notebook, and their pictures
NOTEBOOK = HERE.parents[1] / "notebooks" / "3_editing.ipynb"


def draw_parts() -> Figure:
    """The parts of eight portraits that were not in the catalog's sample."""
    model, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits")
    styles = model.sample_styles(range(5000, 5008))
    membership = catalog.membership(model, styles)
    return plotting.membership_overlays(model.synthesize(styles), membership, names=catalog.parts)


def draw_edits() -> dict[str, tuple[Figure, str]]:
    """The notebook's grids, by its own cells, and what they show: seeds and settings, as JSON."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = {cell.id: cell.source for cell in cells if cell.cell_type == "code"}
    shell, here, found = InteractiveShell(), Path.cwd(), {}
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)  # (the results of other runs are no business of this picture)
        try:
            for name, source in code.items():
                outcome = shell.run_cell(source)
                outcome.raise_error()
                if name in GRIDS:
                    found[name] = outcome.result, _shown(shell.user_ns, name)
                if len(found) == len(GRIDS):
                    return found
        finally:
            os.chdir(here)
    raise KeyError(f"{NOTEBOOK.name} should have the cells {', '.join(GRIDS)}")


def _shown(made: dict[str, Any], name: str) -> str:
    chosen = made["table"] if name == "grid" else dict.fromkeys(made["parts"], made["placed"])
    settings = {part: asdict(chosen[part]) for part in made["parts"]}
    shown = {key: made[key] for key in ("target", "references", "truncation")}
    return json.dumps({**shown, "settings": settings})


def main() -> None:
    """Write parts.png, edits.png and in_place.png beside this file."""
    draw_parts().savefig(HERE / "parts.png", dpi=144)
    for name, (figure, shown) in draw_edits().items():
        figure.savefig(HERE / GRIDS[name], dpi=144, metadata={"Description": shown})


if __name__ == "__main__":
    main()
