"""Run the notebooks, headless or in a folder of one's own, and check what they are told.

`prepare`, which every notebook calls first, and what it needs are imported at once; what executes notebooks,
which takes seconds to import, when it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lefs.runner.domains import choose, prepare
from lefs.runner.parameters import Parameter, ParameterError, read_parameters

if TYPE_CHECKING:
    from lefs.runner.execution import (
        NotebookFailed,
        Run,
        RunError,
        describe_notebooks,
        find_notebooks,
        run_notebooks,
    )
    from lefs.runner.workspace import copy_notebooks, open_jupyterlab

__all__ = [
    "NotebookFailed",
    "Parameter",
    "ParameterError",
    "Run",
    "RunError",
    "choose",
    "copy_notebooks",
    "describe_notebooks",
    "find_notebooks",
    "open_jupyterlab",
    "prepare",
    "read_parameters",
    "run_notebooks",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = "workspace" if name in ("copy_notebooks", "open_jupyterlab") else "execution"
        return getattr(importlib.import_module(f"lefs.runner.{home}"), name)
    raise AttributeError(f"module 'lefs.runner' has no attribute {name!r}")
