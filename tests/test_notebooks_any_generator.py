"""The notebooks, headless, on a tiny file of each family: nothing in them is made for one generator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

import lefs
from lefs.directions import Directions
from lefs.generator import GeneratorId
from lefs.runner.pages import figures, link_pictures

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parent / "fixtures"
# name → (file, class of a conditional one, or a number for each)
GENERATORS = {
    "StyleGAN2": ("nvlabs_stylegan2/ada_skip_conditional.pkl", 2),
    "StyleGAN3": ("stylegan3/t_custom.pkl", None),
    "StyleGAN": ("genforce/stylegan_conditional.pth", [0.2, 0.8, 0, 0, 0]),
    "ProGAN": ("genforce/progan_fused.pth", None),
}
SMALL = {
    "1_dissection.images": 8,
    "1_dissection.clusters": 3,
    "1_dissection.tried_clusters": [2, 3],
    "2_catalog.images": 8,
    "3_editing.minutes": 0.1,
    "3_editing.references": [1, 2],
    "4_units.images": 6,
    "4_units.tested": 2,
    "4_units.search_steps": 2,
    "4_units.units": 2,
    "4_units.doses": [1, 2],
    "4_units.moved_images": 1,
    "5_evaluation.pairs": 2,
    "5_evaluation.curve_pairs": 1,
    "6_directions.targets": 4,
    "6_directions.samples": 200,
}
NOTEBOOKS = ("1_dissection", "2_catalog", "3_editing", "4_units", "5_evaluation", "6_directions")
# Each family dissects and edits, and each notebook has a turn: kernels take their time. Soak runs them all.
USUAL = {
    "StyleGAN2": ("1_dissection", "2_catalog", "3_editing"),
    "StyleGAN3": ("1_dissection", "3_editing", "5_evaluation"),
    "StyleGAN": ("1_dissection", "3_editing", "6_directions"),
    "ProGAN": ("1_dissection", "2_catalog", "3_editing"),
}


@dataclass(frozen=True)
class Done:
    """What ``lefs run`` of all notebooks came to."""

    code: int
    message: str
    folder: Path

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"


def run(root: Path, out: Path, file: str, label: int | list[float] | None, *stems: str) -> Done:
    """``lefs run`` of some notebooks."""
    small = {n: v for n, v in SMALL.items() if n.partition(".")[0] in stems}
    given = {**small, "generator": FIXTURES / file} | ({} if label is None else {"label": label})
    options = [text for name, value in given.items() for text in ("-p", name, str(value))]
    command = [
        sys.executable,
        "-m",
        "lefs",
        "run",
        *stems,
        "--notebooks",
        str(root / "notebooks"),
        "--out",
        str(out),
        "--workers",
        "1",
    ]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    folders = list(out.glob("*"))
    assert len(folders) == (done.returncode != 2), done.stderr
    return Done(done.returncode, done.stderr, folders[0] if folders else out)


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """The usual runs, two at a time: most of each is kernels that start."""
    out = tmp_path_factory.mktemp("runs")
    with ThreadPoolExecutor(2) as pool:
        jobs = {n: pool.submit(run, root, out / n, *GENERATORS[n], *stems) for n, stems in USUAL.items()}
        progan = GENERATORS["ProGAN"]
        jobs["units"] = pool.submit(run, root, out / "units", *progan, "1_dissection", "4_units")
        return {name: job.result() for name, job in jobs.items()}


def outputs(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    return (o for cell in notebook.cells for o in cell.get("outputs", []))


def check_shown(folder: Path, stem: str) -> None:
    """Every figure of the notebook is there, and no cell complained."""
    executed = nbformat.read(folder / f"{stem}.ipynb", as_version=4)
    wanted = sum("\nlefs.plotting." in f"\n{c.source}" for c in executed.cells if c.cell_type == "code")
    assert wanted > 3
    assert len(figures(link_pictures(executed, folder))) >= wanted
    assert not [o for o in outputs(executed) if o.get("name") == "stderr"]


every_family = pytest.mark.parametrize("family", ["StyleGAN2", "StyleGAN3", "StyleGAN"])


def check_run(family: str, done: Done, stems: Sequence[str]) -> None:
    """All notebooks are whole, and what the first and the third keep belongs to the generator."""
    assert done.code == 0, done.message
    for stem in stems:
        check_shown(done.folder, stem)

    file, label = GENERATORS[family]
    generator = lefs.load(FIXTURES / file, label=label)
    assert type(generator).__name__ == family
    catalog = lefs.Catalog.load(done.artifacts / "catalog")
    catalog.check_generator(generator)
    assert catalog.layer == generator.default_layer
    recipe = lefs.Recipe.load(done.artifacts / "recipe.json")
    shown = catalog.membership(generator, generator.sample([1003, 2000], truncation=recipe.truncation))
    largest = int(shown.sum(dim=(0, 2, 3)).argmax())
    assert recipe.changes[0].part == f"cluster {largest}"  # these have no hair
    assert recipe.generator == GeneratorId.of(generator)
    if "6_directions" in stems:
        Directions.load(done.artifacts / "directions").check_generator(generator)


@every_family
def test_notebooks_run(family: str, runs: dict[str, Done]) -> None:
    check_run(family, runs[family], USUAL[family])


@pytest.mark.soak
@every_family
def test_all_notebooks_run(family: str, root: Path, tmp_path: Path) -> None:
    check_run(family, run(root, tmp_path, *GENERATORS[family], *NOTEBOOKS), NOTEBOOKS)


def test_what_has_no_styles_is_dissected_and_the_editing_notebook_says_why_it_stops(
    runs: dict[str, Done],
) -> None:
    done = runs["ProGAN"]
    assert done.code == 1
    for stem in NOTEBOOKS[:2]:
        check_shown(done.folder, stem)
    why = "TypeError: progan_fused is a ProGAN, which has no styles: dissection and edits in place"
    assert "3_editing, cell" in done.message
    assert why in done.message
    assert "Traceback" not in done.message
    records = json.loads((done.folder / "run.json").read_text())["notebooks"]
    assert [bool(record["error"]) for record in records] == [False, False, True]


def test_units_need_no_styles(runs: dict[str, Done]) -> None:
    done = runs["units"]
    assert done.code == 0, done.message
    check_shown(done.folder, "4_units")
    executed = nbformat.read(done.folder / "4_units.ipynb", as_version=4)
    text = "".join(o.text for o in outputs(executed) if o.get("name") == "stdout")
    assert "progan_fused has no styles: there are no style channels to move, so this part is skipped" in text
    found = lefs.units.UnitDissection.load(done.artifacts / "units")
    found.check_generator(lefs.load(FIXTURES / GENERATORS["ProGAN"][0]))
    assert found.concepts == ("cluster 0", "cluster 1", "cluster 2")


def test_a_class_is_asked_for_before_anything_runs(root: Path, tmp_path: Path) -> None:
    done = run(root, tmp_path, "genforce/stylegan_conditional.pth", None, *NOTEBOOKS)
    assert done.code == 2
    assert "this generator is conditional: label must be between 0 and 4, got -1" in done.message
