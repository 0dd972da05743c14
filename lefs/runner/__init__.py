"""Run notebooks headless, in order, each with the artefacts of the one before, into a folder with a gallery.

`run_notebooks` is what ``lefs run`` calls. The work is divided into what a notebook can be told
(`lefs.runner.parameters`), running it (`lefs.runner.execution`), and showing what it made
(`lefs.runner.html`, `lefs.runner.gallery`).
"""

from lefs.runner.execution import (
    NotebookFailed,
    Run,
    RunError,
    describe_notebooks,
    find_notebooks,
    run_notebooks,
)
from lefs.runner.parameters import Parameter, ParameterError, read_parameters

__all__ = [
    "NotebookFailed",
    "Parameter",
    "ParameterError",
    "Run",
    "RunError",
    "describe_notebooks",
    "find_notebooks",
    "read_parameters",
    "run_notebooks",
]
