"""`lefs run` on small notebooks made here, and once on the real ones."""

from __future__ import annotations

import base64
import datetime
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
from PIL import Image

import lefs
from lefs.__main__ import _parser, main
from lefs.generator import Generator
from lefs.runner import (
    NotebookFailed,
    Parameter,
    ParameterError,
    RunError,
    copy_notebooks,
    costs,
    find_notebooks,
    read_parameters,
    run_notebooks,
    save_results,
)
from lefs.runner.costs import estimate_notebook
from lefs.runner.domains import find_catalog
from lefs.runner.html import markdown_to_html, math_to_mathml
from lefs.runner.pages import figures, gallery_page, link_pictures
from lefs.runner.planning import Planner
from lefs.runner.runs import Run

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = 'output: str = "results"  # folder of the artefacts\nclusters: int = 8  # how many'
FIGURE = (
    "from matplotlib.figure import Figure\nfig = Figure(figsize=({w}, 2))\nfig.subplots().plot([1, 2])\nfig"
)


def write_notebook(path: Path, cells: Sequence[str], *, parameters: str = PARAMETERS) -> Path:
    """Write a notebook; a cell that starts with ``#`` or ``>`` is Markdown."""
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python"}}
    )
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook.cells = [tagged, nbformat.v4.new_code_cell("%matplotlib inline")]
    for source in cells:
        new = nbformat.v4.new_markdown_cell if source[0] in "#>" else nbformat.v4.new_code_cell
        notebook.cells.append(new(source))
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Folder with two notebooks, of which the second uses what the first saves."""
    folder = tmp_path / "book"
    folder.mkdir()
    save = (
        "from pathlib import Path\nimport lefs\nlefs.runner.record(found=clusters)\n"
        "(Path(output) / 'catalog').mkdir()\n"
        "(Path(output) / 'catalog' / 'catalog.json').write_text(str(clusters))"
    )
    first = ["# First, $K$ clusters", FIGURE.format(w=6), "> It rises with $\\sigma$.\n\nNot quoted."]
    second = [
        "# Second",
        "## Inner",
        FIGURE.format(w=2),
        FIGURE.format(w=2),
        "int(open(f'{catalog}/catalog.json').read())",
    ]
    write_notebook(folder / "1_first.ipynb", [*first, save])
    write_notebook(
        folder / "2_second.ipynb", second, parameters='output: str = "x"\ncatalog: str = "portraits"  # which'
    )
    return folder


# -- parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "default", "text", "value"),
    [
        ("int", 8, "12", 12),
        ("int", 8, "-3", -3),
        ("float", 0.5, "1", 1.0),
        ("float", 0.5, "1e-3", 1e-3),
        ("float", 0.5, "inf", float("inf")),
        ("bool", True, "false", False),
        ("str", "a", "12", "12"),
        ("list[int]", [1], "[3, 4]", [3, 4]),
        ("list", [1], "3, 4", [3, 4]),
        ("list", [1], "[hair, small eyes]", ["hair", "small eyes"]),
        ("list", [1], "[[1, 2], [3]]", [[1, 2], [3]]),
        ("dict", {}, "{'a': 1}", {"a": 1}),
        ("dict", {}, '{"a": [true, null]}', {"a": [True, None]}),
    ],
)
def test_text_is_read_as_the_declared_type(kind: str, default: object, text: str, value: object) -> None:
    converted = Parameter("x", kind, default).convert(text)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "1.5"),
        ("int", "many"),
        ("int", True),
        ("float", "true"),
        ("bool", "1"),
        ("str", 3),
        ("list[int]", "7"),
        ("list", "[" * 9999),
        ("list", "[a, (b]"),
        ("float", "9" * 400),
        ("str", "\udcff"),
        ("anything", {1, 2}),
    ],
)
def test_another_type_is_refused(kind: str, value: object) -> None:
    with pytest.raises(ParameterError, match=re.escape(f"x takes {kind} (default")):
        Parameter("x", kind, None).convert(value)


def test_parameters_are_read_with_type_default_and_help(tmp_path: Path) -> None:
    lines = ["seed: int = 3  # of the image", "plain = 0.5", "seeds: list = [", "    1,", "]  # all"]
    path = write_notebook(tmp_path / "n.ipynb", [], parameters="\n".join(lines))
    assert list(read_parameters(nbformat.read(path, 4)).values()) == [
        Parameter("seed", "int", 3, "of the image"),
        Parameter("plain", "float", 0.5, ""),
        Parameter("seeds", "list", [1], "all"),
    ]


def test_a_computed_default_is_refused(tmp_path: Path) -> None:
    write_notebook(tmp_path / "n.ipynb", [], parameters="seeds: list[int] = list(range(3))")
    with pytest.raises(RunError, match="default of seeds is not a literal"):
        run_notebooks(folder=tmp_path, out=tmp_path / "runs")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "cluster",
            "3",
            ["'cluster'", "did you mean 'clusters'", "clusters: int = 8", "how many", "2_second"],
        ),
        ("1_first.catalog", "a", ["1_first has no parameter 'catalog'", "clusters: int = 8"]),
        ("1_frist.clusters", "3", ["no notebook named '1_frist'", "did you mean '1_first'", "2_second"]),
        ("clusters", "many", ["1_first: clusters takes int (default 8), not 'many'"]),
        ("output", "here", ["output cannot be set", "--out"]),
    ],
)
def test_a_wrong_parameter_stops_before_anything_runs(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: str, expected: list[str]
) -> None:
    out = tmp_path / "runs"
    assert main(["run", "--notebooks", str(book), "--out", str(out), "-p", name, value]) == 2
    message = capsys.readouterr().err
    assert all(part in message for part in expected), message
    assert "Traceback" not in message
    assert not out.exists()


def test_a_parameter_is_given_once(book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for first in ("clusters", "1_first.clusters"):
        twice = ["-p", first, "3", "-p", "clusters", "4"]
        assert main(["run", "--notebooks", str(book), "--out", str(tmp_path / "runs"), *twice]) == 2
        assert "1_first: clusters is given twice" in capsys.readouterr().err


# name of a notebook, what it is told, and what the message must say
WRONG = [
    ("3_editing", {"part": "hairs"}, ["part", "'hairs'", "did you mean 'hair'?", "background", "clothes"]),
    ("2_catalog", {"part": "unicorn"}, ["'unicorn'", "hair"]),
    ("6_directions", {"part": "unicorn"}, ["'unicorn'", "hair"]),
    ("6_directions", {"measured": ["hair", "unicorn"]}, ["measured[1]", "'unicorn'", "hair"]),
    ("5_evaluation", {"parts": ["unicorn"]}, ["parts[0]", "'unicorn'", "hair"]),
    ("4_units", {"concept": "glass"}, ["concept", "did you mean 'glasses'?", "hat"]),
    ("4_units", {"unit_layer": "b8.rgb"}, ["unit_layer", "did you mean 'b8.torgb'?", "b4.conv1"]),
    ("4_units", {"moved": ["b8.conv1", "b9.conv1"]}, ["moved[1]", "'b9.conv1'", "b16.conv1"]),
    ("4_units", {"doses": []}, ["doses is empty"]),
    ("4_units", {"doses": [0]}, ["doses[0] must be at least 1"]),
    ("4_units", {"quantile": 2.0}, ["quantile", "0.5"]),
    ("1_dissection", {"layer": "b32.conv1+b64.conv9"}, ["'b64.conv9'", "did you mean 'b64.conv"]),
    ("1_dissection", {"layer": "b32.conv1+b32.conv1"}, ["each layer once"]),
    ("1_dissection", {"images": -5}, ["images must be at least 1, got -5"]),
    ("1_dissection", {"truncation": 7.0}, ["truncation must be", "[0, 2], got 7"]),
    ("1_dissection", {"truncation": float("nan")}, ["truncation must be a finite number"]),
    ("1_dissection", {"clusters": 1}, ["clusters must be at least 2"]),
    ("1_dissection", {"factors": 0}, ["factors must be at least 2"]),
    ("1_dissection", {"layer": "b4.conv1", "images": 2, "clusters": 40}, ["at most 32", "2 images"]),
    ("1_dissection", {"tried_clusters": [8, 1]}, ["tried_clusters[1] must be at least 2"]),
    ("1_dissection", {"tried_clusters": ["8"]}, ["tried_clusters[0] must be an integer"]),
    ("1_dissection", {"random_state": -1}, ["random_state must be between 0 and 4294967295"]),
    ("3_editing", {"target": 2**32}, ["target must be between 0 and 4294967295"]),
    ("3_editing", {"references": [1, -1]}, ["references[1] must be between 0 and 4294967295"]),
    ("3_editing", {"references": []}, ["references is empty"]),
    ("3_editing", {"rho": -2.0}, ["rho (-1: tuned)"]),
    ("3_editing", {"epsilon": float("inf")}, ["epsilon (-1: tuned)", "finite"]),
    ("3_editing", {"method": "sequentiel"}, ["did you mean 'sequential'?", "simultaneous"]),
    ("3_editing", {"label": 1}, ["not conditional"]),
    ("6_directions", {"direction": 16}, ["direction must be between 0 and 15"]),
    ("6_directions", {"layers": "corse"}, ["did you mean 'coarse'?", "fine"]),
    ("6_directions", {"steps": "[1e999]"}, ["steps[0] must be a finite number"]),
    ("5_evaluation", {"visible": -0.1}, ["visible", "[0, 1]"]),
]


@pytest.mark.parametrize(("stem", "given", "expected"), WRONG, ids=[f"{s}-{g}" for s, g, _ in WRONG])
def test_a_value_that_is_not_there_stops_before_anything_runs(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stem: str,
    given: dict[str, Any],
    expected: list[str],
) -> None:
    options = [text for name, value in given.items() for text in ("-p", name, str(value))]
    out = tmp_path / "runs"
    common = ["--notebooks", str(root / "notebooks"), "--out", str(out)]
    assert main(["run", stem, *common, *options]) == 2
    message = capsys.readouterr().err
    assert all(part in message for part in expected), message
    assert message.count("lefs: ") == 1
    assert not out.exists()


def first_cells(path: Path, **given: Any) -> dict[str, Any]:
    """What a notebook knows after its first two code cells, with what papermill puts between them."""
    parameters, first = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"][:2]
    namespace: dict[str, Any] = {}
    exec(parameters, namespace)
    namespace.update(given)
    exec(first.replace("%matplotlib inline", ""), namespace)
    return namespace


@pytest.mark.parametrize(("stem", "given", "expected"), WRONG[:8], ids=[f"{s}-{g}" for s, g, _ in WRONG[:8]])
def test_the_first_cell_refuses_what_papermill_was_told(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stem: str,
    given: dict[str, Any],
    expected: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError) as raised:
        first_cells(root / "notebooks" / f"{stem}.ipynb", **given)
    assert all(part in str(raised.value) for part in expected), raised.value


def test_a_first_cell_does_not_wait_for_what_executes_notebooks() -> None:
    heavy = "{'nbformat', 'papermill', 'nbconvert'}"
    code = f"import sys, lefs\nlefs.runner.prepare\nassert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_left_empty_is_filled_in_with_a_word(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = lefs.Catalog.load("portraits-64").split("hair")
    catalog.save("results/1_dissection/catalog")
    found = first_cells(root / "notebooks" / "3_editing.ipynb", generator="portraits-64")
    first = next(iter(catalog.parts))
    assert (found["catalog"], found["part"]) == ("results/1_dissection/catalog", first)
    text = capsys.readouterr().out
    assert "catalog: results/1_dissection/catalog, the newest" in text
    assert f"part: {first} (there is no hair)" in text

    catalog.merge(catalog.parts, "all").save("results/2_catalog/catalog")
    os.utime("results/1_dissection/catalog/catalog.safetensors", (1, 1))
    found = first_cells(root / "notebooks" / "5_evaluation.ipynb", generator="portraits-64")
    assert (found["catalog"], found["parts"]) == ("results/2_catalog/catalog", ["all"])
    # (another generator's are not taken)
    found = first_cells(root / "notebooks" / "6_directions.ipynb")
    assert Path(found["catalog"]) == lefs.load("portraits").source.parent
    assert (found["part"], found["measured"]) == ("hair", ["hair", "skin", "clothes"])
    assert "catalog: that of portraits" in capsys.readouterr().out


def test_a_generator_without_a_catalog_says_what_to_run_first(
    tiny: Generator, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lefs.save_generator(tiny, tmp_path / "tiny", name="tiny")
    common = ["--notebooks", str(root / "notebooks"), "--out", str(tmp_path / "runs")]
    assert main(["run", "3", *common, "-p", "generator", str(tmp_path / "tiny")]) == 2
    assert "run 1_dissection first" in capsys.readouterr().err


def test_a_damaged_catalog_of_another_generator_is_passed_over(tiny: Generator, tmp_path: Path) -> None:
    catalog = lefs.Catalog.load("portraits-64")
    lefs.save_generator(tiny, tmp_path / "tiny", name="tiny")
    whole = lefs.dissect(lefs.load(tmp_path / "tiny"), range(4), clusters=2, progress=False)
    whole.save(tmp_path / "1_dissection" / "catalog")
    file = catalog.save(tmp_path / "theirs" / "catalog") / "catalog.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7b")
    with pytest.raises(lefs.ArtifactError, match="damaged"):
        lefs.Catalog.load(file)
    assert find_catalog(tiny, tmp_path) == tmp_path / "1_dissection" / "catalog"


# -- which notebooks ---------------------------------------------------------------------------------------


def test_notebooks_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for stem in ("10_last", "2_second", "appendix", "1_first"):
        write_notebook(tmp_path / f"{stem}.ipynb", [])
    assert [p.stem for p in find_notebooks(folder=tmp_path)] == ["1_first", "2_second", "10_last", "appendix"]
    chosen = find_notebooks(["2_second", "1", "10_last.ipynb"], folder=tmp_path)
    assert [p.stem for p in chosen] == ["1_first", "2_second", "10_last"]


def test_a_notebook_can_be_named_by_its_path(tmp_path: Path, book: Path) -> None:
    path = write_notebook(tmp_path / "elsewhere.ipynb", [])
    assert find_notebooks([str(path)], folder=book) == [path]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["3_third"], "no notebook '3_third'"),
        (["--notebooks", "no/such"], "no notebooks in no/such"),
        (["--name", "a/b"], "a run's name may have"),
        (["--name", ""], "a run's name may have"),
        (["--name", "x" * 300], "a run's name may have"),
    ],
)
def test_what_cannot_be_run_is_one_message(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    common = ["--out", str(tmp_path / "runs")]
    assert main(["run", "--notebooks", str(book), *common, *arguments]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.startswith("lefs: ")
    assert "Traceback" not in message


def test_an_unwritable_run_folder_is_one_message(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    for out in (blocked, blocked / "deeper"):
        assert main(["run", "--notebooks", str(book), "--out", str(out)]) == 2
        assert "choose another with --out" in capsys.readouterr().err
    assert blocked.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_message(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o500)
    assert main(["run", "--notebooks", str(book), "--out", str(sealed)]) == 2
    assert "choose another with --out" in capsys.readouterr().err


def test_a_damaged_notebook_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ('{"cells": [', "[]", "[" * 9**5):
        (tmp_path / "1_broken.ipynb").write_text(text)
        assert main(["run", "--notebooks", str(tmp_path), "--out", str(tmp_path / "runs")]) == 2
        assert "cannot be read as a notebook" in capsys.readouterr().err


def test_a_notebook_of_ones_own_may_lack_what_ours_have(tmp_path: Path) -> None:
    cell = "lefs.runner.prepare('5_evaluation', globals())"
    path = write_notebook(
        tmp_path / "5_evaluation.ipynb", [cell], parameters="generator = 'portraits-64'  # not even a label"
    )
    planner = Planner([path])
    (task,) = planner.tasks([])
    assert task.generator is not None
    assert estimate_notebook("5_evaluation", task.values, planner.timed(task)).startswith("not known")
    assert planner.costs([task]) == (math.inf, math.inf)
    with pytest.raises(ParameterError, match="mine: its parameters lack generator"):
        lefs.runner.prepare("mine", {})


def test_a_notebook_that_only_speaks_of_our_check_may_have_another_generator(tmp_path: Path) -> None:
    text = "# Without `lefs.runner.prepare(...)`"
    path = write_notebook(tmp_path / "mine.ipynb", [text], parameters="generator: str = 'diesel'")
    (task,) = Planner([path]).tasks([])
    assert task.generator is None


def test_the_list_shows_what_can_be_set(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--notebooks", str(book), "--list"]) == 0
    listing = capsys.readouterr().out
    assert "1_first" in listing
    assert re.search(r"clusters: int = 8 +how many", listing)


# -- a run -------------------------------------------------------------------------------------------------


def test_a_run_hands_on_artefacts_and_shows_every_figure(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEFS_HEADLESS", raising=False)
    arguments = ["run", "--notebooks", str(book), "-p", "1_first.clusters", "12", "--name", "lecture"]
    assert main(arguments) == 0
    assert "LEFS_HEADLESS" not in os.environ

    said = capsys.readouterr()
    # (a line a cell where there is no terminal, numbered as its author counts)
    assert re.search(r"^1_first, cell 4 of 6: +\d+\.\d s  First, \$K\$ clusters$", said.err, re.MULTILINE)
    assert re.search(r"^1_first, cell 6 of 6: .* s  from pathlib import Path$", said.err, re.MULTILINE)
    assert said.err.count("2_second, cell") == 5
    assert "Warning" not in said.err

    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-lecture", folder.name)
    assert said.out.splitlines()[-1] == f"gallery: runs/{folder.name}/index.html"
    assert {p.name for p in folder.iterdir()} == {
        *("1_first.ipynb", "1_first.html", "2_second.ipynb", "2_second.html"),
        *("artifacts", "assets", "run.json", "index.html"),
    }

    record = json.loads((folder / "run.json").read_text())
    first, second = record["notebooks"]
    assert first["parameters"] == {"output": str(folder / "artifacts"), "clusters": 12}
    assert second["parameters"]["catalog"] == str(folder / "artifacts" / "catalog")
    assert re.fullmatch(r"[0-9a-f]{64}", first["sha256"])
    assert record["versions"]["lefs"]
    executed = nbformat.read(folder / "2_second.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].data["text/plain"] == "12"  # the first's catalog, not the default

    gallery = (folder / "index.html").read_text()
    assert gallery.count("<figure") == 3
    assert "First, <math" in gallery
    assert "It rises with" in gallery
    assert "Not quoted" not in gallery
    assert gallery.count('href="2_second.html#cell-id=') == 2


@pytest.mark.slow
def test_the_real_notebooks_run_with_what_those_before_them_made(tmp_path: Path, root: Path) -> None:
    small = {
        "generator": "portraits-64",
        "1_dissection.images": 24,
        "1_dissection.clusters": 10,
        "1_dissection.tried_clusters": [4, 10],
        "1_dissection.factors": 4,
    }
    small |= {"2_catalog.images": 24, "3_editing.minutes": 0.2, "3_editing.references": [2001, 2002]}
    small |= {"4_units.images": 24, "4_units.tested": 6, "4_units.search_steps": 4}
    small |= {
        "4_units.moved_images": 1,
        "5_evaluation.pairs": 3,
        "5_evaluation.curve_pairs": 1,
        "6_directions.targets": 6,
    }
    out = tmp_path / "runs"
    run = run_notebooks(folder=root / "notebooks", out=out, parameters=small.items(), progress=False)

    assert [r["notebook"] for r in run.notebooks][:3] == ["1_dissection", "2_catalog", "3_editing"]
    assert run.notebooks[2]["parameters"]["catalog"] == str(run.folder / "artifacts" / "catalog")
    assert (run.folder / "artifacts" / "catalog" / "catalog.safetensors").is_file()
    gallery = run.gallery.read_text()
    for record in run.notebooks:
        executed = nbformat.read(run.folder / f"{record['notebook']}.ipynb", as_version=4)
        shown = figures(link_pictures(executed, run.folder))
        assert shown, f"{record['notebook']} shows no figure"
        assert record["findings"], f"{record['notebook']} records nothing"
        assert all(f.source in gallery and f.heading for f in shown)
        assert all((run.folder / f.source).is_file() for f in shown if f.source)
        outputs = [o for c in executed.cells for o in c.get("outputs", [])]
        assert not [o for o in outputs if o.get("name") == "stderr"]
        assert not [o for o in outputs if "widget-view" in " ".join(o.get("data", {}))]


@pytest.mark.parametrize("page", ["1_first.html", "index.html"])
def test_pages_load_nothing_from_elsewhere(book: Path, tmp_path: Path, page: str) -> None:
    run = run_notebooks(["1_first"], folder=book, out=tmp_path / "runs", progress=False)
    text = (run.folder / page).read_text()
    assert re.search(r"<math\b", text)
    assert not re.search(
        r"""(?:src|href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|\bimport\(|@import""", text
    )


def test_a_given_catalog_wins(book: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "catalog.json").write_text("99")
    request = [("catalog", str(mine))]
    run = run_notebooks(folder=book, out=tmp_path / "runs", parameters=request, progress=False)
    executed = nbformat.read(run.folder / "2_second.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].data["text/plain"] == "99"


def test_a_catalog_given_to_one_notebook_leaves_the_others_that_of_the_run(
    book: Path, tmp_path: Path
) -> None:
    shutil.copy(book / "2_second.ipynb", book / "3_third.ipynb")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "catalog.json").write_text("99")
    request = [("2_second.catalog", str(tmp_path / "mine"))]
    done = run_notebooks(folder=book, out=tmp_path / "runs", parameters=request, progress=False)
    last = [nbformat.read(done.folder / f"{n}.ipynb", 4).cells[-1] for n in ("2_second", "3_third")]
    assert [cell.outputs[0].data["text/plain"] for cell in last] == ["99", "8"]


MEET = """\
import time
from pathlib import Path
(Path(output) / "{own}").touch()
deadline = time.monotonic() + 60
while not (Path(output) / "{other}").exists():
    assert time.monotonic() < deadline, "the other one never began"
    time.sleep(0.05)"""


def test_notebooks_run_side_by_side_and_those_that_take_a_catalog_wait_for_it(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first = nbformat.read(book / "1_first.ipynb", 4)
    alone = "import os\nassert 'OMP_NUM_THREADS' not in os.environ"  # (others wait: it has all cores)
    first.cells.append(nbformat.v4.new_code_cell(alone))
    nbformat.write(first, book / "1_first.ipynb")
    shared = "import os\nassert os.environ['OMP_NUM_THREADS'] == str(max(1, os.cpu_count() // 2))"
    told = 'output: str = "x"\ncatalog: str = "portraits"'
    second = nbformat.read(book / "2_second.ipynb", 4).cells[-1].source
    (book / "2_second.ipynb").unlink()
    for own, other in (("2_this", "3_that"), ("3_that", "2_this")):
        cells = [second, shared, MEET.format(own=own, other=other)]
        write_notebook(book / f"{own}.ipynb", cells, parameters=told)
    run = run_notebooks(folder=book, out=tmp_path / "runs", workers=2, progress=False)
    assert [(record["notebook"], record["error"]) for record in run.notebooks] == [
        ("1_first", None),
        ("2_this", None),
        ("3_that", None),
    ]


def test_no_workers_are_refused(book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "runs"
    assert main(["run", "--notebooks", str(book), "--out", str(out), "--workers", "0"]) == 2
    assert "workers must be at least 1" in capsys.readouterr().err
    assert not out.exists()


def test_what_has_not_begun_when_another_fails_is_left(tmp_path: Path) -> None:
    write_notebook(tmp_path / "1_broken.ipynb", ["1 / 0"])
    failed = f"any('1 / 0' in p.read_text() for p in Path({str(tmp_path)!r}).glob('runs/*/run.json'))"
    waits = f"import time\nfrom pathlib import Path\nwhile not {failed}:\n    time.sleep(0.1)"
    write_notebook(tmp_path / "2_slow.ipynb", [waits])  # (ends after the first has failed, however slow)
    write_notebook(tmp_path / "3_never.ipynb", ["1"])
    with pytest.raises(NotebookFailed, match="1_broken, cell 3: 1 / 0"):
        run_notebooks(folder=tmp_path, out=tmp_path / "runs", workers=2, progress=False)
    (record,) = (tmp_path / "runs").glob("*/run.json")
    kept = {r["notebook"]: r["error"] for r in json.loads(record.read_text())["notebooks"]}
    assert kept.keys() == {"1_broken", "2_slow"}
    assert kept["2_slow"] is None


def test_a_failed_cell_is_named_and_the_rest_is_kept(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = ["# Broken", FIGURE.format(w=3), "\nvalue = 0\n1 / value", "never = 'reached'"]
    write_notebook(book / "2_second.ipynb", failing)
    assert main(["run", "--notebooks", str(book), "--out", str(tmp_path / "runs")]) == 1
    message = capsys.readouterr().err
    assert "2_second, cell 5: value = 0" in message
    assert "ZeroDivisionError: division by zero" in message

    (folder,) = (tmp_path / "runs").iterdir()
    assert message.rstrip().endswith(str(folder / "2_second.html"))
    assert (folder / "2_second.html").is_file()
    assert "ZeroDivisionError" in json.loads((folder / "run.json").read_text())["notebooks"][1]["error"]
    gallery = (folder / "index.html").read_text()
    assert gallery.count("<figure") == 2  # the first notebook's, and the one before the failure
    assert "ZeroDivisionError" in gallery


def test_a_kernel_that_dies_is_a_failed_notebook(tmp_path: Path) -> None:
    write_notebook(tmp_path / "1_dead.ipynb", ["import os\nos._exit(3)"])
    with pytest.raises(NotebookFailed, match="1_dead: the kernel stopped"):
        run_notebooks(folder=tmp_path, out=tmp_path / "runs", progress=False)


def failed(out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any], str]:
    """What a run that failed said, wrote down, and shows."""
    (folder,) = out.iterdir()
    record = json.loads((folder / "run.json").read_text())["notebooks"][-1]
    return capsys.readouterr().err, record, (folder / "index.html").read_text()


def test_a_kernel_that_cannot_start_is_a_failed_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "ipykernel_launcher.py").write_text("raise RuntimeError('no such kernel')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"), prepend=os.pathsep)
    write_notebook(tmp_path / "1_first.ipynb", [])
    assert main(["run", "--notebooks", str(tmp_path), "--out", str(tmp_path / "runs")]) == 1
    message, record, page = failed(tmp_path / "runs", capfd)
    stopped = "1_first: the kernel stopped: RuntimeError: no such kernel"
    assert f"lefs: {stopped}" in message
    assert "Traceback" not in message
    assert record["error"] == stopped
    assert stopped in page


def test_the_kernel_is_a_python_of_ours_whatever_is_called_python3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    other = {"argv": ["/bin/false"], "display_name": "another", "language": "python"}
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(other))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "/a/$HOME/b", prepend=os.pathsep)
    asked = "import os, sys\nsys.executable, '/a/$HOME/b' in os.environ['PYTHONPATH']"
    write_notebook(tmp_path / "1_first.ipynb", [asked])
    run = run_notebooks(folder=tmp_path, out=tmp_path / "runs", progress=False)
    executed = nbformat.read(run.folder / "1_first.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].data["text/plain"] == repr((sys.executable, True))


def test_a_folder_that_goes_while_it_runs_is_a_failed_notebook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_notebook(tmp_path / "1_first.ipynb", [f"import shutil\nshutil.rmtree({str(tmp_path / 'runs')!r})"])
    assert main(["run", "--notebooks", str(tmp_path), "--out", str(tmp_path / "runs")]) == 1
    message, record, page = failed(tmp_path / "runs", capsys)
    assert "1_first: " in message
    assert "1_first: output folder" in record["error"]
    assert "1_first: output folder" in page


def test_a_full_disk_is_one_message_and_the_record_says_so(tmp_path: Path) -> None:
    """Files may have 60,000 bytes here: the notebook has more."""
    resource = pytest.importorskip("resource")
    write_notebook(tmp_path / "1_first.ipynb", ["'x' * 99_999"])
    command = [
        sys.executable,
        "-m",
        "lefs",
        "run",
        "--notebooks",
        str(tmp_path),
        "--out",
        str(tmp_path / "runs"),
    ]

    def bounded() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = subprocess.run(command, preexec_fn=bounded, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert "File too large" in json.loads((folder / "run.json").read_text())["notebooks"][0]["error"]
    assert "File too large" in (folder / "index.html").read_text()


def test_braces_in_paths_are_braces(tmp_path: Path) -> None:
    folder = tmp_path / "a{b}c{output}{"
    folder.mkdir()
    write_notebook(folder / "1_{x} #1 50%.ipynb", [FIGURE.format(w=2)])
    run = run_notebooks(folder=folder, out=folder / "runs #2", progress=False)
    assert (run.folder / "1_{x} #1 50%.ipynb").is_file()
    for page in (run.gallery, save_results([folder], tmp_path / "table")):
        told = re.findall(r'(?:src|href)="([^"#]+)', page.read_text())
        assert len(told) >= 3
        assert all((page.parent / unquote(link)).is_file() for link in told), told


@pytest.mark.parametrize(("text", "kept"), [("inf", "Infinity"), ("nan", "NaN")])
def test_numbers_that_json_lacks_are_kept_by_name(tmp_path: Path, text: str, kept: str) -> None:
    write_notebook(tmp_path / "1_first.ipynb", ["x"], parameters="x: float = 1.0")
    run = run_notebooks(folder=tmp_path, out=tmp_path / "runs", parameters=[("x", text)], progress=False)
    executed = nbformat.read(run.folder / "1_first.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].data["text/plain"] == text
    assert json.loads((run.folder / "run.json").read_text())["notebooks"][0]["parameters"] == {"x": kept}


def test_a_run_that_is_killed_leaves_its_parameters(tmp_path: Path) -> None:
    write_notebook(tmp_path / "0_before.ipynb", [])
    write_notebook(
        tmp_path / "1_first.ipynb", [f"open({str(tmp_path / 'begun')!r}, 'w')\nimport time\ntime.sleep(60)"]
    )
    common = ["--notebooks", str(tmp_path), "--out", str(tmp_path / "runs"), "-p", "clusters", "5"]
    run = subprocess.Popen([sys.executable, "-m", "lefs", "run", *common])
    while not (tmp_path / "begun").exists():
        assert run.poll() is None
        time.sleep(0.1)
    (folder,) = (tmp_path / "runs").iterdir()
    record = json.loads((folder / "run.json").read_text())["notebooks"][1]
    assert (record["parameters"]["clusters"], record["error"]) == (5, "not finished")
    run.terminate()
    assert run.wait(60) == 130
    records = json.loads((folder / "run.json").read_text())["notebooks"]
    assert [record["error"] for record in records] == [None, "interrupted"]


def test_two_runs_in_one_second_have_two_folders(tmp_path: Path) -> None:
    write_notebook(tmp_path / "1_first.ipynb", [], parameters="clusters: int = 1")
    folders = {run_notebooks(folder=tmp_path, out=tmp_path / "runs", progress=False).folder for _ in range(2)}
    assert len(folders) == 2


def test_a_failure_is_seen_also_while_another_notebook_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = Run(tmp_path, planned=2, notebooks=[{"notebook": "1_first", "error": "it failed"}]), []
    monkeypatch.setattr("lefs.runner.runs.notebook_order", lambda path: [path.stem, seen.append(run.error)])
    monkeypatch.setattr(Run, "save", lambda self: None)
    run.begin({"notebook": "2_second", "error": "not finished"})
    assert seen == ["it failed"] * 2


def test_an_image_is_timed_without_the_first_that_is_slow(
    tiny: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0, 0.9, 1, 1.02, 2, 2.01, 3, 3.5])
    monkeypatch.setattr(costs.time, "perf_counter", lambda: next(clock))
    assert costs.seconds_per_image(tiny) == pytest.approx(0.01)


# -- a folder of one's own -----------------------------------------------------------------------------------


def test_notebooks_are_copied_and_never_over_changed_ones(
    book: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    assert set(copy_notebooks(mine, source=book).values()) == {"copied"}
    assert set(copy_notebooks(mine, source=book).values()) == {"as it was"}
    changed, untouched = mine / "1_first.ipynb", mine / "2_second.ipynb"
    notebook = nbformat.read(changed, 4)
    notebook.cells.append(nbformat.v4.new_code_cell("my = 'own'"))
    nbformat.write(notebook, changed)
    kept = changed.read_bytes()
    write_notebook(book / "1_first.ipynb", ["# Newer"])
    write_notebook(book / "2_second.ipynb", ["# Newer"])
    assert copy_notebooks(mine, source=book) == {"1_first.ipynb": "kept", "2_second.ipynb": "replaced"}
    assert changed.read_bytes() == kept
    assert "# Newer" in untouched.read_text()

    # one that was run holds somebody's pictures
    notebook = nbformat.read(untouched, 4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="mine")]
    nbformat.write(notebook, untouched)
    assert copy_notebooks(mine, source=book)["2_second.ipynb"] == "as it was"
    write_notebook(book / "2_second.ipynb", ["# Newest"])
    assert copy_notebooks(mine, source=book)["2_second.ipynb"] == "kept"
    assert "mine" in untouched.read_text()

    untouched.write_text("{")
    assert copy_notebooks(mine, source=book)["2_second.ipynb"] == "kept"
    assert untouched.read_text() == "{"


def test_the_command_copies_the_notebooks_that_came_with_lefs(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["notebooks", "--copy-only"]) == 0
    copies = sorted((tmp_path / "lefs-notebooks").glob("*.ipynb"))
    assert [p.name for p in copies] == [p.name for p in sorted((root / "notebooks").glob("*.ipynb"))]
    (tmp_path / "lefs-notebooks" / copies[0].name).write_text("{}")
    assert main(["notebooks", "--copy-only"]) == 0
    assert re.search(rf"{copies[0].name} +kept\n.*rename or delete yours", capsys.readouterr().out)
    (tmp_path / "file").write_text("mine")
    assert main(["notebooks", "file", "--copy-only"]) == 2
    assert "file is a file" in capsys.readouterr().err


def test_jupyterlab_is_opened_on_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for JupyterLab says what it was called with."""
    (tmp_path / "jupyterlab").mkdir()
    (tmp_path / "jupyterlab" / "__init__.py").touch()
    code = "import pathlib, sys\npathlib.Path('called').write_text('|'.join(sys.argv[1:]))\nsys.exit(3)"
    (tmp_path / "jupyterlab" / "__main__.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert main(["notebooks", "mine", "--no-browser", "--port=9000"]) == 3
    called = (tmp_path / "called").read_text().split("|")
    assert called == [f"--ServerApp.root_dir={tmp_path / 'mine'}", "--no-browser", "--port=9000"]
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--no-browser"])


def test_results_lie_beside_the_notebooks_and_git_ignores_them(root: Path) -> None:
    for path in (root / "notebooks").glob("*.ipynb"):
        output = read_parameters(nbformat.read(path, 4))["output"].default
        assert output == f"results/{path.stem}"
    if (root / ".git").exists():
        ignored = ["notebooks/results/2_catalog/catalog/catalog.json", "lefs-notebooks/1_dissection.ipynb"]
        done = subprocess.run(["git", "check-ignore", *ignored], cwd=root, capture_output=True, text=True)
        assert done.stdout.split() == ignored


# -- pages -------------------------------------------------------------------------------------------------


def test_formulas_become_mathml() -> None:
    rendered = markdown_to_html("With $\\sigma_k$:\n\n$$\\max_q \\sum_c q_c$$\n\nand `$5`.")
    assert rendered.count("<math") == 2
    assert "<munder><mo>max</mo>" in rendered
    assert "<code>$5</code>" in rendered


@pytest.mark.parametrize("latex", [r"\lVert A v \rVert^2", r"|A \cap B|^2"])
def test_bars_around_a_power_are_of_one_size(latex: str) -> None:
    bars = re.findall(r"<mo([^>]*)>[‖|]</mo>", math_to_mathml(latex, display=True))
    assert len(bars) == 2
    assert all('stretchy="false"' in bar for bar in bars)


def test_links_between_notebooks_lead_to_their_pages() -> None:
    rendered = markdown_to_html("[next](2_use.ipynb), [there](2_use.ipynb#why), [far](https://a.org/b.ipynb)")
    assert re.findall(r'href="(.*?)"', rendered) == ["2_use.html", "2_use.html#why", "https://a.org/b.ipynb"]


def test_a_formula_that_cannot_be_read_stays_visible() -> None:
    assert math_to_mathml("x_1_2 < 3") == "<code>x_1_2 &lt; 3</code>"


def test_figures_come_with_their_heading_and_reading(tmp_path: Path) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    cells = ["# Title\n\ntext\n\n## Section", "1", "> A *reading*.", "1", "# Next"]
    notebook = nbformat.read(write_notebook(tmp_path / "n.ipynb", cells), as_version=4)
    for cell in notebook.cells:
        if cell.source == "1":
            cell.outputs = [
                nbformat.v4.new_output("display_data", {"image/png": pixel, "text/plain": "<Figure>"})
            ]
    table = "<table><thead><tr><th>part</th></tr></thead></table>"
    notebook.cells[-1:-1] = [nbformat.v4.new_code_cell("2")]
    notebook.cells[-2].outputs = [nbformat.v4.new_output("display_data", {"text/html": table})]
    one, two, three = figures(link_pictures(notebook, tmp_path))
    assert (one.heading, two.heading) == ("Section", "Section")
    assert "<em>reading</em>" in one.reading
    assert two.reading == ""
    assert (one.width, one.height) == (1, 1)
    original = Image.open(io.BytesIO(base64.b64decode(pixel)))
    assert Image.open(tmp_path / one.source).tobytes() == original.tobytes()
    assert one.source == two.source
    assert (one.table, three.table, three.source, three.heading) == ("", table, "", "Section")


def test_the_gallery_says_what_was_run_and_shows_the_tables(tmp_path: Path) -> None:
    cells = ["# 3 · May it?\n\nWe ask *whether*.\n\nMore.", "1"]
    notebook = nbformat.read(write_notebook(tmp_path / "3_may.ipynb", cells), as_version=4)
    notebook.cells[-1].outputs = [
        nbformat.v4.new_output("display_data", {"text/html": "<table>it may</table>"})
    ]
    nbformat.write(notebook, tmp_path / "3_may.ipynb")
    generator = {"name": "faces", "kind": "StyleGAN2, 16 × 16 pixels", "fingerprint": "ab"}
    record = {"notebook": "3_may", "seconds": 1, "parameters": {}, "error": None, "generator": generator}
    now = datetime.datetime(2020, 1, 2, 3, 4)
    page = gallery_page(tmp_path, [record], started=now, versions={})
    assert "<h1>May it?</h1>" in page
    assert "<title>May it? · lefs</title>" in page
    assert "the generator <strong>faces</strong> (StyleGAN2, 16 × 16 pixels)" in page
    assert "We ask <em>whether</em>" in page
    assert "<table>it may</table>" in page
    assert "0 figures and 1 table" in page
    both = gallery_page(tmp_path, [record, record], started=now, versions={})
    assert both.count("<strong>faces</strong>") == 1
    assert re.search(r"<h1>[A-Z][^_<]+</h1>", both)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_an_estimate_says_what_it_is_based_on(path: Path) -> None:
    values = {n: p.default for n, p in read_parameters(nbformat.read(path, 4)).items()}
    short, long = (estimate_notebook(path.stem, values, one) for one in (0.01, 10.0))
    assert re.fullmatch(
        r"about \d+ (s|min): [\d,]+ images at 0.01 s each, as timed on one, and \d+ s .*", short
    )
    told = re.match(r"about (\d+) min: ([\d,]+) images at 10 s each, as timed on one, and (\d+) s ", long)
    assert told is not None
    minutes, images, rest = (int(text.replace(",", "")) for text in told.groups())
    assert minutes == round((10 * images + rest) / 60)
    assert minutes > (15 if "minutes" in values else 30)  # (a budget asks for fewer images)


def test_an_estimate_counts_no_truth_where_there_is_none(tmp_path: Path) -> None:
    shutil.copy(ROOT / "data" / "portraits-64" / "generator.safetensors", tmp_path)
    values = {"images": 64, "minutes": 0}
    judged, alone = (
        estimate_notebook("2_catalog", values | {"generator": name}, 1.0)
        for name in ("portraits-64", str(tmp_path))
    )
    assert "188 images" in judged
    assert "60 images" in alone


# -- the command line --------------------------------------------------------------------------------------


def test_info_describes_the_embedded_generator(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "portraits"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^name +portraits$", text, re.MULTILINE)
    assert re.search(r"^classes +none, not conditional$", text, re.MULTILINE)
    assert "stylegan2" in text
    assert re.search(r"b4\.conv1 +conv +4 x 4", text)


def test_info_on_nothing_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "no/such/file"]) == 2
    message = capsys.readouterr().err
    assert "no/such/file" in message
    assert "portraits" in message


def test_a_reader_that_has_gone_is_not_a_traceback() -> None:
    command = [sys.executable, "-m", "lefs", "info", "portraits-64"]
    told = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert told.stdout is not None
    assert told.stderr is not None
    told.stdout.close()
    assert told.stderr.read() == ""
    assert told.wait(60) == 1
    told.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_what_standard_output_cannot_take_is_one_message() -> None:
    command = f"{sys.executable} -m lefs run --list"
    full = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True)
    assert (full.returncode, full.stderr) == (1, "lefs: [Errno 28] No space left on device\n")
    closed = subprocess.run(f"{command} >&-", shell=True, capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (0, "")
    unheard = f"{sys.executable} -m lefs info no-such-file"  # (it complains, and nobody listens)
    assert subprocess.run(f"{unheard} 2>&-", shell=True).returncode == 2


@pytest.mark.parametrize(
    "arguments", [[], ["ran"], ["run", "--workers", "many"], ["notebooks", "--copy-only", "--no"]]
)
def test_a_wrong_option_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert re.fullmatch(r"lefs: .+; see lefs.* --help\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run"], {"names": [], "p": [], "out": "runs", "list": False, "workers": None, "shard": "1/1"}),
        (["run", "1", "-p", "a", "1", "-p", "b", "2"], {"names": ["1"], "p": [["a", "1"], ["b", "2"]]}),
        (["run", "--workers", "2", "--only-failed"], {"workers": 2, "only_failed": True, "sweep": []}),
        (["results", "a", "b"], {"folders": ["a", "b"], "out": "results"}),
        (["notebooks"], {"folder": "lefs-notebooks", "copy_only": False}),
        (["studio", "mine"], {"generator": "mine", "catalog": None}),
        (["invert", "me.png", "--crop", "1", "2", "3", "4"], {"crop": [1, 2, 3, 4], "steps": 200}),
        (["edit", "--part", "a", "--part", "b"], {"part": ["a", "b"], "strength": 1.0, "where": "part"}),
        (["edit", "--strength", "0.5", "--space", "w"], {"recipes": [], "strength": 0.5, "space": "w"}),
        (["info", "--json", "x"], {"generator": "x", "json": True}),
        (["convert", "a", "b"], {"source": "a", "target": "b", "to": "lefs"}),
    ],
)
def test_options_are_what_the_help_says(arguments: list[str], expected: dict[str, Any]) -> None:
    found = vars(_parser().parse_args(arguments))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "arguments", [["edit", "--strength", "x"], ["edit", "--where", "here"], ["results"], ["invert"]]
)
def test_an_option_of_another_kind_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["edit", "--animate", "way.avi"], "path's ending must be one of '.png', '.gif', '.mp4'"),
        (["edit", "--animate", "file/way.gif"], "cannot write file/way.gif: "),
        (["edit", "--out", "file/deeper/mine"], "cannot write file/deeper/mine.png: "),
        (["edit", "--out", "taken"], "cannot write taken_row.png: it is a folder"),
        (["edit", "--out", "folder/"], "out must be a name for files"),
        (["edit", "--out", "x" * 300], "File name too long"),
        (["invert", "me.png", "--out", "file/me"], "cannot write file/me.safetensors: "),
        (["invert", "me.png", "--out", ""], "out must be a name for files"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(
    options: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("taken_row.png").mkdir()
    monkeypatch.setattr(lefs, "load", None)  # (with which the work begins)
    assert main(options) == 2
    assert expected in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"file", "taken_row.png"}


def test_files_are_named_without_their_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["edit", "--generator", "portraits-64", "--target", "1", "--reference", "2", "--part", "hair"]
    for out in ("new/folder/mine", "mine.v2.png"):
        assert main([*asked, "--where", "everywhere", "--out", out]) == 0
        stem = out.removesuffix(".png")
        assert all(Path(f"{stem}{ending}").is_file() for ending in (".png", ".json", "_row.png"))
    assert len(list(tmp_path.rglob("*.*"))) == 6


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    import lefs

    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"lefs {lefs.__version__}\n"


def test_paths_are_those_of_the_folder_that_one_stands_in(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "catalog.json").write_text("7")
    monkeypatch.chdir(tmp_path)
    second = [str(book / "2_second.ipynb")]
    done = run_notebooks(second, parameters=[("catalog", "mine")], out=tmp_path / "runs", progress=False)
    executed = nbformat.read(done.folder / "2_second.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].data["text/plain"] == "7"


def test_a_picture_may_be_a_seed_or_a_file() -> None:
    parameter = Parameter("target", "int or str", 1003)
    assert parameter.convert("12") == 12
    assert parameter.convert(12) == 12
    assert parameter.convert("me.json") == "me.json"
    for wrong in ("3.5", 3.5, True, [1]):
        with pytest.raises(ParameterError, match="target takes int or str"):
            parameter.convert(wrong)


def test_where_there_is_no_part_of_the_wish_the_largest_in_target_and_reference_is_taken(
    tmp_path: Path,
) -> None:
    generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    unnamed = catalog.named([f"cluster {k}" for k in range(catalog.num_clusters)])
    (path,) = find_notebooks(["3_editing"])
    values = {name: p.default for name, p in read_parameters(nbformat.read(path, as_version=4)).items()}
    values |= {"generator": "portraits-64", "catalog": str(unnamed.save(tmp_path)), "parts": []}
    values |= {"target": 7, "reference": 12}
    lefs.runner.prepare("3_editing", values, part="hair")
    shown = catalog.membership(generator, generator.sample([7, 12], truncation=values["truncation"]))
    assert values["part"] == f"cluster {int(shown.sum(dim=(0, 2, 3)).argmax())}"


def test_a_label_may_be_a_number_for_each_class(tmp_path: Path) -> None:
    file = Path(__file__).parent / "fixtures/genforce/stylegan2_ada_conditional.pth"
    count = lefs.load(file).label_dim
    (path,) = find_notebooks(["1_dissection"])
    values = {name: p.default for name, p in read_parameters(nbformat.read(path, as_version=4)).items()}
    values |= {"generator": str(file), "clusters": 2, "tried_clusters": [2], "images": 4, "factors": 2}
    lefs.runner.prepare("1_dissection", values | {"label": [0.5] * count})
    with pytest.raises(ParameterError, match=f"label must be .* or {count} numbers, got {count + 1} numbers"):
        lefs.runner.prepare("1_dissection", values | {"label": [0.5] * (count + 1)})
