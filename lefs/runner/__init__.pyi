# Which names `lefs.runner` has and where each lives: read by type checkers, and by __init__.py beside it.
from typing import Any

from lefs.runner.costs import affordable as affordable
from lefs.runner.costs import affordable_images as affordable_images
from lefs.runner.costs import choose_clustering as choose_clustering
from lefs.runner.costs import effects_within as effects_within
from lefs.runner.domains import choose as choose
from lefs.runner.domains import prepare as prepare
from lefs.runner.execution import run_notebooks as run_notebooks
from lefs.runner.findings import record as record
from lefs.runner.notebooks import NotebookFailed as NotebookFailed
from lefs.runner.notebooks import Parameter as Parameter
from lefs.runner.notebooks import ParameterError as ParameterError
from lefs.runner.notebooks import RunError as RunError
from lefs.runner.notebooks import describe_notebooks as describe_notebooks
from lefs.runner.notebooks import find_notebooks as find_notebooks
from lefs.runner.notebooks import read_parameters as read_parameters
from lefs.runner.runs import Run as Run
from lefs.runner.runs import results as results
from lefs.runner.runs import save_results as save_results
from lefs.runner.sweeps import Sweep as Sweep
from lefs.runner.sweeps import read_grid as read_grid
from lefs.runner.sweeps import read_rows as read_rows
from lefs.runner.sweeps import sweep_notebooks as sweep_notebooks
from lefs.runner.workspace import copy_notebooks as copy_notebooks
from lefs.runner.workspace import open_jupyterlab as open_jupyterlab
from lefs.runner.workspace import open_studio as open_studio

__all__: list[str]

def __getattr__(name: str) -> Any: ...
