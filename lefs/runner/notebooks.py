"""Which notebooks there are, and what each can be told."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat

import lefs
from lefs.records import write_atomically
from lefs.runner.parameters import Parameter, ParameterError, RunError, describe_parameters, read_parameters

__all__ = [
    "declared_parameters",
    "describe_notebooks",
    "find_notebooks",
    "notebook_digest",
    "packaged_notebooks",
    "read_notebook",
    "write_text",
]


def find_notebooks(names: Sequence[str] = (), *, folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Return the notebooks to run, in the order of their numbers.

    Parameters
    ----------
    names : sequence of str
        ``"1_dissection"``, ``"1_dissection.ipynb"``, ``"1"`` or the path of any notebook; none for all.
    folder : str or path, optional
        Where to look; without it ``./notebooks``, else the notebooks that came with lefs.

    Raises
    ------
    RunError
        If the folder has no notebooks or no such one; the message lists those it has.

    Examples
    --------
    >>> [path.stem for path in find_notebooks(["3", "1_dissection"])]
    ['1_dissection', '3_editing']
    """
    here = Path("notebooks") if any(Path("notebooks").glob("*.ipynb")) else packaged_notebooks()
    place = here if folder is None else Path(folder)
    known = sorted(place.glob("*.ipynb"), key=_order)
    if not names and not known:
        raise RunError(f"no notebooks in {place}; name a folder that has some with --notebooks")
    chosen = {_choose(name, known, place) for name in names} if names else set(known)
    twice = [p.stem for p in chosen if sum(q.stem == p.stem for q in chosen) > 1]
    if twice:
        raise RunError(f"two notebooks are called {twice[0]!r}; a run needs names that differ")
    return sorted(chosen, key=_order)


def packaged_notebooks() -> Path:
    """Folder of the notebooks in the source tree or wheel that lefs is imported from."""
    package = Path(lefs.__file__).parent
    beside = package.parent / "notebooks"
    return beside if any(beside.glob("*.ipynb")) else package / "notebooks"


def _order(path: Path) -> tuple[int, str]:
    number = re.match(r"\d+", path.stem)
    return (int(number[0]) if number else sys.maxsize, path.stem)


def _choose(name: str, known: Sequence[Path], place: Path) -> Path:
    stem = name.removesuffix(".ipynb")
    for path in known:
        if stem in (path.stem, path.stem.partition("_")[0]):
            return path
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name)
    listed = ", ".join(p.stem for p in known) or "none"
    raise RunError(f"no notebook {name!r} in {place} and no such file; there are: {listed}")


def describe_notebooks(paths: Iterable[Path]) -> str:
    """Text that lists notebooks and what each can be told.

    Parameters
    ----------
    paths : iterable of Path

    Returns
    -------
    str

    Examples
    --------
    >>> "clusters: int = 24" in describe_notebooks(find_notebooks(["1"]))
    True
    """
    return describe_parameters({p.stem: declared_parameters(p) for p in paths})


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Return a notebook; a `RunError` says what is wrong with a damaged one."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise RunError(f"{path} cannot be read as a notebook: {error}") from error


def write_text(path: Path, text: str) -> Path:
    """Write a notebook, or a page that is made of it, atomically."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def notebook_digest(notebook: nbformat.NotebookNode) -> str:
    """What its cells say, whatever they have put out."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def declared_parameters(path: Path) -> dict[str, Parameter]:
    """Return what a notebook can be told, by name; a `RunError` says what is wrong with its cell."""
    try:
        return read_parameters(read_notebook(path))
    except ParameterError as error:
        raise RunError(f"the parameters cell of {path.stem} cannot be read: {error}") from error
