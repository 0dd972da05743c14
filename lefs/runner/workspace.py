"""A folder of one's own: the notebooks, and JupyterLab on it; and the edit studio as a page of its own."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from lefs.checks import needs
from lefs.records import folder_of, locate
from lefs.runner.notebooks import RunError, find_notebooks, notebook_digest, packaged_notebooks, read_notebook
from lefs.saving import write_text

__all__ = ["copy_notebooks", "open_jupyterlab", "open_studio"]

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
    digest, done = notebook_digest(notebook), "copied"
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
    import nbformat  # (which the studio does not wait for)

    notebook.metadata["lefs_digest"] = digest
    write_text(target, nbformat.writes(notebook) + "\n")
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
    return _served(["jupyterlab", f"--ServerApp.root_dir={Path(folder).resolve()}", *options])


_STUDIO = """\
import html
import lefs
from IPython.display import HTML

try:
    generator, catalog = lefs.load({generator!r}), lefs.Catalog.load({catalog!r})
    shown = lefs.widgets.EditStudio(generator, catalog, folder={out!r})
except (lefs.ArtifactError, ValueError) as error:
    shown = HTML("<h2>The studio does not open</h2><p>" + html.escape(str(error)) + "</p>")
shown
"""
# A kernel is ready before somebody comes, and ends when nobody has been there for half an hour. The next one
# waits until the page is seen, whose reader it would keep waiting.
_VOILA = {
    "Voila.ip": "127.0.0.1",
    "Voila.auto_token": True,  # (made in the server: the list of processes does not show it)
    "VoilaConfiguration.preheat_kernel": True,
    "VoilaConfiguration.default_pool_size": 1,
    "VoilaKernelManager.fill_delay": 20,
    "MappingKernelManager.cull_idle_timeout": 1800,
    "MappingKernelManager.cull_interval": 60,
}


def open_studio(
    generator: str = "portraits",
    catalog: str | None = None,
    *,
    out: str | os.PathLike[str] = "lefs-studio",
    options: Sequence[str] = (),
) -> int:
    """Serve the edit studio alone, as a page, until it is stopped; each page has a kernel of its own.

    Only this machine can reach it, with the token that is printed. Kernels map the weights of generators in
    lefs' own format, so that they share their memory.

    Parameters
    ----------
    generator : str
        An embedded one, or a path.
    catalog : str, optional
        Its catalog; None: beside the generator.
    out : str or path
        Where "Save" writes.
    options : sequence of str
        For Voilà, such as ``"--no-browser"``.

    Returns
    -------
    int
        Voilà's exit status.

    Examples
    --------
    >>> open_studio("portraits-64", options=["--no-browser"])  # doctest: +SKIP
    0
    """
    with needs("studio", "the studio as a page"):
        importlib.metadata.version("voila")  # (to import it takes a second, which the server takes again)
    found = {"generator": locate(generator), "catalog": locate(catalog) if catalog else folder_of(generator)}
    names = {name: str(Path(path).resolve()) for name, path in {**found, "out": out}.items()}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cell = {"id": "studio", "cell_type": "code", "source": _STUDIO.format(**names), "metadata": {}}
    cells = [{**cell, "outputs": [], "execution_count": None}]
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "studio.ipynb"
        page.write_text(json.dumps(notebook), encoding="utf-8")
        flags = [f"--{name}={value}" for name, value in _VOILA.items()]
        return _served(["voila", str(page), *flags, *options], {"LEFS_MAP_WEIGHTS": "1"})


# (without the grammar of web addresses that `lefs.__main__` leaves out, too: it takes four seconds to build)
_MODULE = """\
import runpy, sys
sys.modules["rfc3987_syntax"] = None
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def _served(module: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})) -> int:
    """Run a server of Jupyter's until it ends."""
    command = [sys.executable, "-c", _MODULE, *module]
    with subprocess.Popen(command, env={**_bounded_threads(), **os.environ, **environment}) as server:
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
