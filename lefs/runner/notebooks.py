"""Which notebooks there are, and what each can be told: names, types and defaults in its parameters cell.

Papermill only warns of a name that the notebook does not have, and passes on a value of any type. Here both
are errors, found before a kernel starts, and the message lists what would have been right.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lefs
from lefs.checks import check_name, needs

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "NotebookFailed", "Parameter", "ParameterError", "RunError", "assign_parameters", "complaints",
    "describe_notebooks", "find_notebooks", "notebook_digest", "notebook_order", "packaged_notebooks",
    "parameters_of", "read_notebook", "read_parameters",
]  # fmt: skip

_PLAIN = ("int", "float", "str", "bool", "list", "dict")
_WORDS = {"true": True, "false": False, "none": None}


class RunError(Exception):
    """Something that was asked for cannot be run; the message says what and the remedy.

    Attributes
    ----------
    exit_code : int
        Of the command line.

    Examples
    --------
    >>> from lefs.runner import RunError, find_notebooks
    >>> try:
    ...     find_notebooks(["7_sculpture"])
    ... except RunError as error:
    ...     print(str(error)[:25])
    no notebook '7_sculpture'
    """

    exit_code = 2


class ParameterError(RunError, ValueError):
    """A parameter that no notebook has, or a value that it cannot have.

    Examples
    --------
    >>> from lefs.runner import Parameter, ParameterError
    >>> try:
    ...     Parameter("clusters", "int", 24).convert("many")
    ... except ParameterError as error:
    ...     print(error)
    clusters takes int (default 24), not 'many'
    """


class NotebookFailed(RunError):
    """A cell raised, or the kernel died; the notebook as far as it got is in the run's folder.

    Examples
    --------
    >>> NotebookFailed("3_editing, cell 5: edit = editor.render(recipe)").exit_code
    1
    """

    exit_code = 1


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell, ``name: type = default  # help``.

    Attributes
    ----------
    name, type, help : str
        As written; `type` is the annotation, or the type of the default where there is none.
    default : Any
        The literal's value.

    Examples
    --------
    >>> Parameter("clusters", "int", 24).convert("12")
    12
    """

    name: str
    type: str
    default: Any
    help: str = ""

    def accepts(self, value: Any) -> bool:
        """Whether `value` is of the declared type, or of one of ``"int or str"``; an int is accepted where a
        float is asked for.
        """
        number = isinstance(value, int | float) and not isinstance(value, bool)
        found = {type(value).__name__, "float" if number else ""}
        # (a list's elements are the notebook's to judge)
        kinds = {kind.partition("[")[0] for kind in self.type.split(" or ")}
        return bool(kinds & found or kinds - {*_PLAIN})

    def convert(self, value: Any) -> Any:
        """Return `value` as the declared type; text is read as a Python or JSON literal where no text is
        asked for.

        Raises
        ------
        ParameterError
            If it is of another type; the message names the type and the default.
        """
        text = isinstance(value, str) and (" or " in self.type or not self.accepts(value))
        converted = _literal(value) if text else value
        if isinstance(converted, tuple):  # 1, 2 is a tuple to Python, and a list to whoever types it
            converted = list(converted)
        # (it will stand in the run's record, where bytes that are not text cannot)
        with suppress(OverflowError, RecursionError, TypeError, ValueError):
            if self.type == "float" and type(converted) is int:
                converted = float(converted)
            json.dumps(converted, ensure_ascii=False).encode()
            if self.accepts(converted):
                return converted
        wanted = f"{self.type} (default {self.default!r:.200})"
        raise ParameterError(f"{self.name} takes {wanted}, not {value!r:.200}")


def _literal(text: str) -> Any:
    """Read ``12``, ``0.5``, ``nan``, ``true``, ``[a, b]``, also as JSON has them; all else stays text."""
    word = text.strip()
    for read in (ast.literal_eval, json.loads, float, lambda word: _WORDS[word.lower()]):
        with suppress(KeyError, MemoryError, RecursionError, TypeError, ValueError, SyntaxError):
            return read(word)
    if listed := re.fullmatch(r"\[([^][(){}]*)\]", word):  # (of whose words a shell took the quotes)
        return [_literal(part.strip()) for part in listed[1].split(",")]
    return text


def read_parameters(notebook: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the parameters that a notebook declares, by name, in its order.

    Parameters
    ----------
    notebook : mapping of str to Any
        A notebook as nbformat reads it. Without a cell tagged ``parameters`` it has none.

    Raises
    ------
    ParameterError
        If a default is not a literal.

    Examples
    --------
    >>> import nbformat
    >>> cell = nbformat.v4.new_code_cell("seed: int = 3  # of the image", metadata={"tags": ["parameters"]})
    >>> read_parameters(nbformat.v4.new_notebook(cells=[cell]))
    {'seed': Parameter(name='seed', type='int', default=3, help='of the image')}
    """
    from papermill.translators import PythonTranslator

    found = {}
    tagged = (c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", []))
    for name, kind, value, text in (p for cell in [*tagged][:1] for p in PythonTranslator.inspect(cell)):
        try:
            default = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise ParameterError(f"the default of {name} is not a literal: {value}") from None
        found[name] = Parameter(name, type(default).__name__ if kind == "None" else kind, default, text)
    return found


def assign_parameters(
    requested: Iterable[tuple[str, Any]], declared: Mapping[str, Mapping[str, Parameter]]
) -> dict[str, dict[str, Any]]:
    """Sort ``(name, value)`` requests onto notebooks, checking every name and type.

    Parameters
    ----------
    requested : iterable of (str, Any)
        ``("clusters", 12)`` goes to every notebook that declares it, ``("1_dissection.clusters", 12)`` to
        that one.
    declared : mapping of str to mapping
        Notebook name to its parameters.

    Returns
    -------
    dict of str to dict
        Notebook name to ``{name: value}``, with an entry (maybe empty) for every notebook.

    Raises
    ------
    ParameterError
        If no notebook has the name, with the nearest and all that there are, if a value is of another type,
        or if a notebook gets one twice.
    """
    values: dict[str, dict[str, Any]] = {notebook: {} for notebook in declared}
    for full_name, value in requested:
        address, _, name = full_name.rpartition(".")
        if name == "output":
            where = "each run has its own folder; choose where runs go with --out and --name"
            raise ParameterError(f"output cannot be set here: {where}")
        with complaints():
            books = [check_name(name, address, declared, what="notebook")] if address else [*declared]
        reached = [notebook for notebook in books if name in declared[notebook]]
        if not reached:
            raise ParameterError(
                _unknown(name, address, {notebook: declared[notebook] for notebook in books})
            )
        for notebook in reached:
            if name in values[notebook]:
                raise ParameterError(f"{notebook}: {name} is given twice; give it once")
            with complaints(f"{notebook}: "):
                values[notebook][name] = declared[notebook][name].convert(value)
    return values


def _unknown(name: str, address: str, declared: Mapping[str, Mapping[str, Parameter]]) -> str:
    """What to say of a parameter that none of these notebooks has."""
    near = difflib.get_close_matches(name, sorted({n for known in declared.values() for n in known}), 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    where = f"{address} has no" if address else "no notebook of this run has a"
    return f"{where} parameter {name!r}{hint} Valid are:\n{_describe(declared)}"


@contextmanager
def complaints(place: str = "") -> Iterator[None]:
    """Make what checks complain of a `ParameterError`, whose message says where that is."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{place}{error}") from None


def _describe(declared: Mapping[str, Mapping[str, Parameter]]) -> str:
    """Text that lists every notebook's parameters: name, type, default, help."""
    lines = []
    for notebook, parameters in declared.items():
        lines.append(f"  {notebook}" if parameters else f"  {notebook}  (takes none)")
        left = {p.name: f"{p.name}: {p.type} = {p.default!r}" for p in parameters.values()}
        width = min(max(map(len, left.values()), default=0), 48)
        lines += [f"    {left[p.name]:{width}}  {p.help}".rstrip() for p in parameters.values()]
    return "\n".join(lines)


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
    known = sorted(place.glob("*.ipynb"), key=notebook_order)
    if not names and not known:
        raise RunError(f"no notebooks in {place}; name a folder that has some with --notebooks")
    found = sorted({_choose(name, known, place) for name in names}, key=notebook_order) if names else known
    if twice := [path.stem for path, after in pairwise(found) if path.stem == after.stem]:
        raise RunError(f"two notebooks are called {twice[0]!r}; a run needs names that differ")
    return found


def packaged_notebooks() -> Path:
    """Folder of the notebooks in the source tree or wheel that lefs is imported from."""
    package = Path(lefs.__file__).parent
    beside = package.parent / "notebooks"
    return beside if any(beside.glob("*.ipynb")) else package / "notebooks"


def notebook_order(path: Path) -> tuple[int, str]:
    """What notebooks are sorted by: their numbers, then their names."""
    number = re.match(r"\d+", path.stem)
    return int(number[0]) if number else sys.maxsize, path.stem


def _choose(name: str, known: Sequence[Path], place: Path) -> Path:
    stem = name.removesuffix(".ipynb")
    mine = [Path(name)] if name.endswith(".ipynb") and Path(name).is_file() else []
    found = [path for path in known if stem in (path.stem, path.stem.partition("_")[0])] + mine
    if not found:
        listed = ", ".join(p.stem for p in known) or "none"
        raise RunError(f"no notebook {name!r} in {place} and no such file; there are: {listed}")
    return found[0]


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
    >>> "clusters: int = 0" in describe_notebooks(find_notebooks(["1"]))
    True
    """
    return _describe({p.stem: parameters_of(p) for p in paths})


def read_notebook(path: Path) -> NotebookNode:
    """Return a notebook; a `RunError` says what is wrong with a damaged one."""
    with needs("notebooks", "lefs run"):  # (this takes seconds, which a notebook's first cell does not have)
        import nbformat
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # (nbformat asks a file's JSON for what it need not have)
        raise RunError(f"{path} cannot be read as a notebook: {error}") from error


def notebook_digest(notebook: NotebookNode) -> str:
    """What its cells say, whatever they have put out."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def parameters_of(path: Path) -> dict[str, Parameter]:
    """Return what a notebook can be told, by name; a `RunError` says what is wrong with its cell."""
    with complaints(f"the parameters cell of {path.stem} cannot be read: "):
        return read_parameters(read_notebook(path))
