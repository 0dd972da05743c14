"""Run the notebooks, headless or in a folder of one's own, and check what they are told.

`prepare`, which every notebook calls first, and what it needs are imported at once; what executes notebooks,
which takes seconds to import, when it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lefs.checks import needs
from lefs.runner.costs import affordable, affordable_images, effects_within
from lefs.runner.domains import choose, prepare
from lefs.runner.findings import record
from lefs.runner.notebooks import (
    NotebookFailed,
    Parameter,
    ParameterError,
    RunError,
    describe_notebooks,
    find_notebooks,
    read_parameters,
)

if TYPE_CHECKING:
    from lefs.runner.execution import Run, run_notebooks
    from lefs.runner.pages import results, save_results
    from lefs.runner.sweeps import Sweep, read_grid, read_rows, sweep_notebooks
    from lefs.runner.workspace import copy_notebooks, open_jupyterlab, open_studio

# Where a name lives that is imported when first asked for
_HOMES = {
    "execution": ("Run", "run_notebooks"),
    "pages": ("results", "save_results"),
    "sweeps": ("Sweep", "read_grid", "read_rows", "sweep_notebooks"),
    "workspace": ("copy_notebooks", "open_jupyterlab", "open_studio"),
}

__all__ = [
    "NotebookFailed",
    "Parameter",
    "ParameterError",
    "Run",
    "RunError",
    "Sweep",
    "affordable",
    "affordable_images",
    "choose",
    "copy_notebooks",
    "describe_notebooks",
    "effects_within",
    "find_notebooks",
    "open_jupyterlab",
    "open_studio",
    "prepare",
    "read_grid",
    "read_parameters",
    "read_rows",
    "record",
    "results",
    "run_notebooks",
    "save_results",
    "sweep_notebooks",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            with needs("notebooks", f"lefs.runner.{name}"):
                return getattr(importlib.import_module(f"lefs.runner.{home}"), name)
    raise AttributeError(f"module 'lefs.runner' has no attribute {name!r}")
