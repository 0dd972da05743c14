"""What holds for every notebook: a cell is a choice, a call, a picture or a reading; nothing is stored."""

from __future__ import annotations

import ast
import functools
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

import lefs
from lefs.runner import read_parameters
from lefs.runner.domains import DOMAINS
from lefs.runner.html import markdown_to_html

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_LINES, MEDIAN_LINES, MAX_WORDS = 10, 3, 40
STRIP = (
    "--keep-id",
    "--drop-tagged-cells=injected-parameters",
    "--extra-keys=metadata.papermill metadata.language_info.version cell.metadata.papermill "
    "cell.metadata.execution",
)

pytestmark = pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    content = nbformat.read(path, as_version=4)
    nbformat.validate(content)
    return content


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == "code"]


def markdown(notebook: NotebookNode) -> list[str]:
    return [c.source for c in notebook.cells if c.cell_type == "markdown"]


def types(path: Path) -> dict[str, str]:
    return {p.name: p.type for p in read_parameters(nbformat.read(path, as_version=4)).values()}


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def python(cell: NotebookNode) -> ast.Module:
    """Syntax tree of a code cell; there is no magic to let through."""
    return ast.parse(cell.source)


def run_tool(*command: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_it_is_named_and_numbered(path: Path) -> None:
    assert re.fullmatch(r"\d+_[a-z_]+", path.stem)


def test_it_is_stored_without_outputs(path: Path, notebook: NotebookNode) -> None:
    assert not [c for c in code_cells(notebook) if c.outputs or c.execution_count]
    run_tool("nbstripout", "--verify", *STRIP, path)


def test_any_python3_kernel_opens_it(notebook: NotebookNode) -> None:
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.language == "python"


def test_it_is_formatted_and_clean(path: Path) -> None:
    run_tool("ruff", "format", "--check", path)
    run_tool("ruff", "check", path)


def test_it_opens_with_question_parameters_and_imports(notebook: NotebookNode) -> None:
    question, parameters, imports = notebook.cells[:3]
    assert question.cell_type == "markdown"
    assert question.source.startswith("# ")
    assert "?" in question.source
    assert re.search(r"\b(minute|second)s?\b", question.source), "say how long it runs"
    assert parameters.cell_type == imports.cell_type == "code"
    assert parameters.metadata.tags == ["parameters"]
    first, last = python(imports).body
    assert ast.unparse(first) == "import lefs"
    assert ast.unparse(last).startswith("lefs.runner.prepare(")


def test_parameters_are_annotated_literals_with_help(notebook: NotebookNode) -> None:
    (cell,) = [c for c in notebook.cells if "parameters" in tags(c)]
    nodes = python(cell).body
    assert all(isinstance(n, ast.AnnAssign) and n.lineno == n.end_lineno for n in nodes)
    parameters = read_parameters(notebook)
    assert len(parameters) == len(nodes), "papermill cannot read a line with a second equals sign"
    assert set(parameters) <= set(DOMAINS), "say what it may be, in lefs.runner.domains"
    for parameter in parameters.values():
        assert parameter.help, f"{parameter.name} has no help behind #"
        assert "|" not in parameter.type, f"{parameter.name}: papermill loses a parameter with | in its type"
        assert parameter.accepts(parameter.default), f"{parameter.name}: the default is no {parameter.type}"


def test_a_parameter_of_several_notebooks_has_a_type_in_common(path: Path) -> None:
    """So that ``lefs run -p name value`` can hand it to all of them."""
    own = types(path)
    for other in FILES:
        for name, kind in types(other).items():
            if name in own:
                common = {*kind.split(" or ")} & {*own[name].split(" or ")}
                assert common, f"{name} is {own[name]} here and {kind} in {other.stem}"


def test_it_takes_what_a_run_hands_it(path: Path, notebook: NotebookNode) -> None:
    parameters = read_parameters(notebook)
    assert {"output", "generator"} <= set(parameters)
    if path != FILES[0]:
        assert "catalog" in parameters


def test_cells_are_short_and_explained(notebook: NotebookNode) -> None:
    lengths = [len(c.source.splitlines()) for c in code_cells(notebook) if "parameters" not in tags(c)]
    assert max(lengths) <= MAX_LINES
    assert statistics.median(lengths) <= MEDIAN_LINES
    for cell in notebook.cells[1:-1]:  # (what the question and the exercises need, they may say)
        if cell.cell_type == "markdown":
            assert words(cell.source) <= MAX_WORDS, cell.source


def words(text: str) -> int:
    """How many there are; formulas and marks are not words."""
    prose = re.sub(r"\$\$.*?\$\$|\$.*?\$", " ", text, flags=re.DOTALL)
    return len([word for word in prose.split() if re.search(r"\w", word)])


def test_there_is_one_import_line(notebook: NotebookNode) -> None:
    nodes = [n for c in code_cells(notebook) for n in ast.walk(python(c))]
    assert [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)] == ["import lefs"]


def calls(cell: NotebookNode, package: str) -> list[str]:
    """The functions of one package of lefs that a cell calls."""
    made = [n.func for n in ast.walk(python(cell)) if isinstance(n, ast.Call)]
    names = [ast.unparse(function) for function in made]
    return [name.rpartition(".")[2] for name in names if name.startswith(f"lefs.{package}.")]


def test_a_figure_has_a_cell_of_its_own_and_is_read(notebook: NotebookNode) -> None:
    readings = 0
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and (shown := [c for c in calls(cell, "plotting") if "colors" not in c]):
            assert len(shown) == 1, cell.source
            following = next(c for c in notebook.cells[place:] if c.cell_type == "markdown")
            assert following.source.startswith("**Read:** "), following.source
        if cell.cell_type == "markdown" and cell.source.startswith("**Read:** "):
            assert "**This would be wrong if** " in cell.source, cell.source
            readings += 1
    assert readings > 4


def test_it_records_what_it_found(notebook: NotebookNode) -> None:
    """So that a sweep can put it into one table."""
    assert any("record" in calls(cell, "runner") for cell in code_cells(notebook))


def test_the_panel_stands_where_the_run_has_ended(notebook: NotebookNode) -> None:
    """A panel answers when the cells are done: measure first, then play."""
    cells = code_cells(notebook)
    with_panels = [n for n, cell in enumerate(cells) if calls(cell, "widgets")]
    panels = {"painter", "browser"}  # (what a panel is called where it is made in an earlier line)
    shown = [n for n, cell in enumerate(cells) if n in with_panels or ast.unparse(python(cell)) in panels]
    kept = [n for n in with_panels if isinstance(python(cells[n]).body[-1], ast.Assign)]
    assert set(shown) - set(kept) <= {len(cells) - 1}


def test_machinery_stays_in_the_package(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        assert not re.search(r"^\s*[!%]", cell.source, re.MULTILINE), cell.source
        assert "sys.path" not in cell.source
        assert not [n for n in ast.walk(python(cell)) if isinstance(n, ast.ClassDef)]


def test_it_closes_with_exercises_and_the_way_on(path: Path, notebook: NotebookNode) -> None:
    text = "\n\n".join(markdown(notebook))
    exercises = re.split(r"^#+ .*exercises.*$", text, flags=re.MULTILINE | re.IGNORECASE)
    assert len(exercises) == 2, "one heading says Exercises"
    assert len(re.findall(r"^\d\. ", exercises[1], re.MULTILINE)) == 3
    assert notebook.cells[-1].cell_type == "markdown"
    later = following(path, FILES)
    assert later is None or later.stem in notebook.cells[-1].source


def following(path: Path, files: Sequence[Path]) -> Path | None:
    place = files.index(path) + 1
    return files[place] if place < len(files) else None


def test_every_formula_can_be_read_offline(notebook: NotebookNode) -> None:
    for source in markdown(notebook):
        formulas = re.findall(r"<math.*?</math>", markdown_to_html(source), re.DOTALL)
        unread = [f for f in formulas if "\\" in f]
        assert not unread, f"not understood: {unread}"
        assert "<code>\\" not in markdown_to_html(source)


def test_every_name_of_lefs_exists(notebook: NotebookNode) -> None:
    code = "\n".join(cell.source for cell in code_cells(notebook))
    for name in set(re.findall(r"\blefs((?:\.\w+)+)", code)):
        functools.reduce(getattr, name[1:].split("."), lefs)
