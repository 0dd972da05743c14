"""Objects show themselves: in words, as pictures in a notebook, and by completing names."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from io import BytesIO

import pytest
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

import lefs
from lefs.plotting.reprs import drawn


@pytest.fixture(scope="module")
def generator() -> lefs.Generator:
    return lefs.load("portraits-64")


@pytest.fixture(scope="module")
def catalog() -> lefs.Catalog:
    return lefs.Catalog.load("portraits-64")


@pytest.fixture(scope="module")
def edit(generator: lefs.Generator, catalog: lefs.Catalog) -> lefs.Edit:
    placed = lefs.QuerySettings(where="part")
    changes = (lefs.Change("hair", 2), lefs.Change("mouth", 3, 0.5, placed))
    return lefs.Editor(generator, catalog).render(lefs.Recipe(1, changes))


@pytest.fixture(autouse=True)
def no_shell_is_left() -> Iterator[None]:
    yield
    InteractiveShell.clear_instance()  # (with one, findings are shown and not printed)


def bundle(thing: object) -> dict[str, object]:
    """What IPython gets to show a cell's last value."""
    return InteractiveShell.instance().display_formatter.format(thing)[0]


def test_a_generator_and_an_edit_are_pictures(generator: lefs.Generator, edit: lefs.Edit) -> None:
    for thing in (generator, edit):
        shown = bundle(thing)
        width, height = Image.open(BytesIO(shown["image/png"])).size
        assert width > 2 * height, "samples, or target, references and edit, side by side"
        assert len(shown["text/plain"]) < 400


def test_a_large_generator_shows_previews(generator: lefs.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    synthesize = type(generator).synthesize

    def look(self: lefs.Generator, styles: object, **options: object) -> object:
        asked.append(options["upto"])
        return synthesize(self, styles, upto=32)

    monkeypatch.setattr(type(generator), "synthesize", look)
    monkeypatch.setattr(generator, "size", (1024, 1024))
    assert "image/png" in drawn(generator)
    assert asked == [64]


def test_a_catalog_lists_its_parts_in_the_colors_of_overlays(catalog: lefs.Catalog) -> None:
    page = bundle(catalog)["text/html"]
    assert all(f"</span>{part}</td>" in page for part in catalog.parts)
    assert "#e69f00" in page.split("</tr>")[1]
    assert "more parts" not in page
    assert "&lt;1&gt;" in drawn(catalog.named([f"<{k}>" for k in range(32)]))["text/html"]


def test_a_list_of_parts_ends_somewhere(catalog: lefs.Catalog) -> None:
    large = lefs.Catalog.load("portraits")
    single = large.named([f"part {k}" for k in range(large.num_clusters)])
    assert f"{large.num_clusters - 16} more parts" in drawn(single)["text/html"]
    assert repr(single).endswith(f"part 15 and {large.num_clusters - 16} more")


def test_a_recipe_says_what_it_does(edit: lefs.Edit) -> None:
    assert str(edit.recipe) == "1 (ψ = 0.7); hair of 2 (sequential); mouth of 3 (in place, λ = 0.5)"
    assert "<li>mouth of 3 (in place, λ = 0.5)</li>" in bundle(edit.recipe)["text/html"]


def test_words_are_short_and_name_shapes(generator: lefs.Generator, edit: lefs.Edit) -> None:
    kept = lefs.keep_source(generator, edit.styles)
    assert "image=Tensor(3, 64, 64)" in repr(edit)
    assert len(repr(kept)) < 300
    assert "object at" not in repr(lefs.Editor(generator, lefs.Catalog.load("portraits-64")))


def test_whatever_holds_arrays_is_short_in_words(generator: lefs.Generator, catalog: lefs.Catalog) -> None:
    """A cell's last value, or a print in a script: no pages of numbers, no tree of layers, no address."""
    judge = lefs.load_segmenter("portraits-64")
    pairs, options = lefs.evaluation.seed_pairs(4), {"segmenter": judge, "progress": False}
    comparison = lefs.evaluation.compare(generator, catalog, pairs, parts=["hair"], **options)
    leak = lefs.evaluation.part_leak(generator, catalog, pairs, **options)
    found = lefs.evaluation.report(comparison)
    things = judge, comparison, found, leak, catalog.sampling, generator.cache(generator.sample([1]))
    for thing in (*things, *comparison.outcomes[:1], lefs.query.PartEffects.of(catalog, "hair")):
        assert len(repr(thing)) < 900, type(thing)
        assert not re.search(r"array\(\[|tensor\(|object at|\n", repr(thing)), type(thing)
    assert len(repr(generator.layers)) < 100 * len(generator.layers)
    assert (
        repr(lefs.generator.Sampling((1, 2), 1.0, 0))
        == "Sampling(seeds=(1, 2), truncation=1.0, random_state=0)"
    )
    for table in (comparison, found, leak):
        page = bundle(table)["text/html"]
        assert page.count("<tr>") <= 61
        assert escape(table.numbers().columns[0]) in page


@pytest.mark.parametrize(
    ("typed", "expected"), [('catalog.parts["ha', "hair"), ('generator["b8.conv1', "b8.conv1")]
)
def test_names_are_completed(
    generator: lefs.Generator, catalog: lefs.Catalog, typed: str, expected: str
) -> None:
    shell = InteractiveShell.instance()
    shell.user_ns.update(generator=generator, catalog=catalog)
    assert expected in shell.complete(None, typed, len(typed))[1]


def test_a_layer_by_its_name(generator: lefs.Generator) -> None:
    assert generator["b8.conv1"] == generator.layer("b8.conv1")
    with pytest.raises(ValueError, match=r"b8\.conv1"):
        _ = generator["b8"]
    with pytest.raises(TypeError, match="not iterable"):
        iter(generator)


def test_parts_cannot_be_changed_and_travel(catalog: lefs.Catalog) -> None:
    with pytest.raises(TypeError):
        catalog.parts["hair"] = (1,)
    again = pickle.loads(pickle.dumps(catalog))
    assert again.parts == catalog.parts == dict(catalog.parts)


def test_the_package_lists_its_rooms() -> None:
    assert {"load", "dissect", "evaluation", "plotting", "widgets", "catalog"} <= set(dir(lefs))
    assert not {"os", "sys", "importlib", "Any"} & set(dir(lefs))
    assert {"prepare", "record", "results"} <= set(dir(lefs.runner)) - {"Path", "needs"}


def test_an_old_name_says_the_new_one() -> None:
    with pytest.raises(AttributeError, match=r"lefs\.records now"):
        _ = lefs.artifacts


def test_looking_at_the_core_imports_no_plotting_until_a_notebook_does() -> None:
    code = (
        "import lefs, sys; c = lefs.Catalog.load('portraits-64'); repr(c), str(c), dir(lefs)\n"
        "assert 'matplotlib' not in sys.modules; c._repr_mimebundle_(); assert 'matplotlib' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_lefs_imports_nothing_large() -> None:
    """So that it takes a hundredth of a second; torch comes with the first name that needs it."""
    large = "torch", "numpy", "sklearn", "scipy", "PIL", "matplotlib", "IPython"
    code = f"import lefs, sys; dir(lefs); assert not set({large}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_and_panels_come_without_what_only_clustering_needs() -> None:
    """scikit-learn takes longer to import than a first picture may take."""
    code = (
        "import lefs, sys; lefs.Catalog.load('portraits-64'), lefs.plotting, lefs.widgets, lefs.evaluation\n"
        "assert not {'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
