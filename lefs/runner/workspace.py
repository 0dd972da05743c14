"""A folder of one's own to work in: the notebooks are copied there, and JupyterLab is opened on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from lefs.records import write_atomically
from lefs.runner.notebooks import find_notebooks, notebook_digest, packaged_notebooks, read_notebook
from lefs.runner.parameters import RunError

__all__ = ["copy_notebooks", "open_jupyterlab"]

# Of one kernel: more make our pictures little faster, and a server has many kernels.
_MOST_THREADS = 8


def copy_notebooks(
    folder: str | os.PathLike[str], *, source: str | os.PathLike[str] | None = None
) -> dict[str, str]:
    """Copy the notebooks into a folder, and never over one that somebody has run or changed.

    Parameters
    ----------
    folder : str or path
        Where to; made if need be.
    source : str or path, optional
        Where from; by default the notebooks that came with lefs.

    Returns
    -------
    dict of str to str
        File name to what happened: ``"copied"``; ``"replaced"``, an older one that was as it had been copied;
        ``"as it was"``, which is the newest, run or not; ``"kept"``, one that was changed and is not this.

    Raises
    ------
    RunError
        If there are no notebooks or the folder is a file.
    ArtifactError
        If it cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     copy_notebooks(folder)["1_dissection.ipynb"], copy_notebooks(folder)["1_dissection.ipynb"]
    ('copied', 'as it was')
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; name a folder for the notebooks")
    found = find_notebooks(folder=source or packaged_notebooks())
    return {path.name: _copy(path, folder / path.name) for path in found}


def _copy(source: Path, target: Path) -> str:
    notebook = read_notebook(source)
    digest = notebook_digest(notebook)
    done = "copied"
    if target.exists():
        try:
            mine = read_notebook(target)
        except RunError:
            return "kept"
        if notebook_digest(mine) == digest:
            return "as it was"
        run = any(cell.get("outputs") for cell in mine.cells)
        if run or mine.metadata.get("lefs_digest") != notebook_digest(mine):
            return "kept"
        done = "replaced"
    notebook.metadata["lefs_digest"] = digest
    write_atomically(target, lambda path: path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8"))
    return done


def open_jupyterlab(folder: str | os.PathLike[str], *, options: Sequence[str] = ()) -> int:
    """Run JupyterLab on a folder until it is stopped.

    Where the user has not set OMP_NUM_THREADS, a kernel computes with eight threads at most: on a large
    server one would otherwise take all processors from the others.

    Parameters
    ----------
    folder : str or path
        What its file browser shows.
    options : sequence of str
        For JupyterLab, such as ``"--no-browser"``.

    Returns
    -------
    int
        JupyterLab's exit status.

    Examples
    --------
    >>> open_jupyterlab(".", options=["--no-browser"])  # doctest: +SKIP
    0
    """
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={Path(folder).resolve()}", *options]
    with subprocess.Popen(command, env=_bounded_threads() | os.environ) as server:
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:  # (the server has it, too, and asks whether that is meant)
                continue


def _bounded_threads() -> dict[str, str]:
    """What bounds the threads of each kernel of a server, in its environment."""
    affinity = getattr(os, "sched_getaffinity", None)  # (not every system tells)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(_MOST_THREADS)} if cores > _MOST_THREADS else {}
