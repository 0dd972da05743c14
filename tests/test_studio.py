"""The edit studio as one state that can be taken back, saved and replayed; and that ends."""

from __future__ import annotations

import datetime
import gc
import json
import subprocess
import sys
import types
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

import lefs
from lefs import ArtifactError, Change, QuerySettings, Recipe
from lefs.__main__ import main
from lefs.images import opaque, to_uint8
from lefs.runner import read_parameters
from lefs.widgets import EditStudio
from lefs.widgets import panel as panels

PLACE = QuerySettings(where="part")


@pytest.fixture(scope="module")
def catalog(tiny):
    return lefs.dissect(tiny, range(12), clusters=4, progress=False)


@pytest.fixture
def studio(tiny, catalog, tmp_path):
    first = Change("cluster 0", 2, settings=QuerySettings(rho=0.0))
    shown = EditStudio(tiny, catalog, Recipe(1, (first,)), folder=tmp_path)
    yield shown
    shown.close()


def edited(studio: EditStudio) -> np.ndarray:
    """What the canvas shows of the edit."""
    sent = studio.canvas.frame["panels"][0]
    assert sent["title"] == "edit"
    return np.frombuffer(sent["pixels"], np.uint8).reshape(sent["height"], sent["width"], 3)


def rendered(studio: EditStudio) -> np.ndarray:
    """A fresh rendering of the studio's state, by way of JSON."""
    state = json.loads(json.dumps(studio.state))
    whole = Recipe.from_json(state["recipe"])
    on = tuple(c for i, c in enumerate(whole.changes) if i not in state["off"])
    editor = lefs.Editor(studio._generator, studio._catalog)
    return to_uint8(opaque(editor.render(replace(whole, changes=on)).image))


# -- one state ---------------------------------------------------------------------------------------------
def test_random_actions_leave_state_and_picture_consistent(studio, catalog):
    random = np.random.default_rng(7)
    parts, c = list(catalog.parts), studio.controls
    sets: dict[str, Any] = {
        "strength": lambda: float(random.random()),
        "rho": lambda: float(random.random()),
        "epsilon": lambda: float(random.random() * 6),
        "coarse": lambda: float(random.random()),
        "target": lambda: int(random.integers(20)),
        "reference": lambda: int(random.integers(20)),
        "part": lambda: str(random.choice(parts)),
        "where": lambda: str(random.choice(["part", "everywhere"])),
        "method": lambda: str(random.choice(["sequential", "simultaneous", "global"])),
        "on": lambda: bool(random.integers(2)),
        "tone": lambda: bool(random.integers(2)),
        "row": lambda: int(random.integers(len(studio.state["recipe"]["changes"]))),
    }
    clicks = ["undo", "redo", "add", "up", "down", "remove", "reset", "target next", "reference pin"]
    canvases = [studio.canvas, *(strip.canvas for strip in studio._strips.values())]
    for step in range(200):
        kind = random.integers(10)
        if kind < 5:
            name = str(random.choice(list(sets)))
            c[name].value = sets[name]()
        elif kind < 8:
            c[str(random.choice(clicks, p=[0.25, 0.15, 0.2, 0.05, 0.05, 0.15, 0.05, 0.05, 0.05]))].click()
        else:
            canvas = canvases[random.integers(3)]
            seen = [i for i, p in enumerate(canvas.frame["panels"]) if p["pick"]]
            shift = bool(random.random() < 0.3)
            where = {"panel": int(random.choice(seen)), "region": int(random.integers(4)), "shift": shift}
            canvas.picked = {"number": step, **where}
        # (where a part is in neither picture of some row, the panel says so and shows what it showed)
        assert studio.error == "" or "is in neither" in studio.error, (step, studio.error)
        if step % 5 == 0:
            np.testing.assert_array_equal(edited(studio), rendered(studio), err_msg=f"step {step}")
        assert studio.edit.recipe.changes == studio.recipe.changes
    while not c["undo"].disabled:
        c["undo"].click()
    assert studio._history.now == studio._history.first
    np.testing.assert_array_equal(edited(studio), rendered(studio))


def test_undo_goes_back_to_the_first_picture_and_forward_to_the_last(studio):
    clock = iter(range(0, 10_000, 10))  # (so that no two moves are taken for one)
    studio._history._clock = lambda: next(clock)
    pictures, states = [edited(studio)], [studio.state]
    for name, value in (("strength", 0.4), ("strength", 0.6), ("part", "cluster 1"), ("reference", 5)):
        studio.controls[name].value = value
        pictures.append(edited(studio))
        states.append(studio.state)
    for direction, order in (("undo", range(3, -1, -1)), ("redo", range(1, 5))):
        for i in order:
            studio.controls[direction].click()
            np.testing.assert_array_equal(edited(studio), pictures[i])
            assert studio.state == states[i]
            assert studio.controls["strength"].value == states[i]["recipe"]["changes"][0]["strength"]
        assert studio.controls[direction].disabled
    studio.controls["reset"].click()
    np.testing.assert_array_equal(edited(studio), pictures[0])
    studio.controls["undo"].click()
    assert studio.state == states[-1], "a reset can be taken back"


def test_a_drag_is_taken_back_at_once(studio):
    studio._history._clock = lambda: 5.0
    for value in (0.9, 0.8, 0.7):
        studio.controls["strength"].value = value
    studio.controls["undo"].click()
    assert studio.controls["strength"].value == 1.0


def test_the_state_is_plain_and_can_be_set(studio, tiny, catalog):
    studio.controls["add"].click()
    studio.controls["on"].value = False
    state = json.loads(json.dumps(studio.state))
    assert state == studio.state
    other = EditStudio(tiny, catalog, Recipe(9, (Change("cluster 3", 8),)))
    other.state = state
    assert other.state == state
    np.testing.assert_array_equal(edited(other), edited(studio))
    assert not other.controls["on"].value
    wrong: list[Any] = [
        {**state, "row": 7},
        {**state, "row": 1.0},
        {**state, "off": [9]},
        {**state, "recipe": {"changes": 1}},
        {},
        None,
    ]
    for content in wrong:
        with pytest.raises(ArtifactError, match="this state"):
            other.state = content
    assert other.state == state
    other.controls["target"].value = 3.7
    assert "target must be an integer" in other.error
    other.state = state
    assert other.error == "", "it is another state that is shown now"
    for given in ({"recipe": "recipe.json"}, {"catalog": "portraits-64"}):
        with pytest.raises(TypeError, match="load"):
            EditStudio(**{"generator": tiny, "catalog": catalog, **given})


def test_rows_are_turned_off_ordered_and_removed(studio):
    one = edited(studio)
    studio.controls["add"].click()
    assert studio.error == ""
    assert len(studio.edit.recipe.changes) == 2
    assert studio.controls["row"].value == 1
    studio.controls["row"].value = None
    assert studio.error == ""
    assert studio.controls["row"].value == 1, "as after a click with Control, which chooses nothing"
    studio.controls["on"].value = False
    np.testing.assert_array_equal(edited(studio), one)
    assert "(off)" in studio.controls["row"].options[1][0]
    assert studio._summary.value == "this edit is off"
    studio.controls["on"].value = True
    both = studio.recipe.changes
    studio.controls["up"].click()
    assert studio.recipe.changes == both[::-1]
    assert studio.controls["row"].value == 0
    assert "contested" in studio._summary.value
    studio.controls["remove"].click()
    np.testing.assert_array_equal(edited(studio), one)
    assert studio.controls["remove"].disabled


def test_the_contested_channels_are_counted(studio, catalog):
    studio.controls["add"].click()
    wanted = [c.settings.query(catalog, c.part) > 0 for c in studio.recipe.changes]
    several = wanted[0] & wanted[1]
    got = [int((q > 0)[several].sum()) for q in studio.edit.queries]
    parts = [c.part for c in studio.recipe.changes]
    told = f"<b>{int(several.sum())}</b> channels contested, won by {parts[0]} {got[0]}, {parts[1]} {got[1]}"
    assert told in studio._summary.value


def test_without_a_recipe_it_opens_with_one_edit_in_place_that_is_seen(tiny, catalog):
    studio = EditStudio(tiny, catalog)
    (change,) = studio.recipe.changes
    assert change.settings.where == "part"
    assert float(studio.edit.change.mean()) > 1
    assert studio.error == ""


def test_a_catalog_without_contributions_is_edited_in_place(tiny):
    studio = EditStudio(tiny, lefs.dissect(tiny, range(12), clusters=4, contributions="none", progress=False))
    assert [value for _, value in studio.controls["where"].options] == ["part"]
    for strength in (0.5, 0.8):
        studio.controls["strength"].value = strength
        assert studio.error == ""
        assert studio.recipe.changes[0].strength == strength
    studio.controls["undo"].click()
    assert studio.error == ""


# -- choosing ----------------------------------------------------------------------------------------------
def test_a_click_on_a_part_chooses_it_and_with_shift_adds_an_edit(studio):
    studio.canvas.picked = {"number": 1, "panel": 0, "region": 2, "shift": False}
    assert studio.controls["part"].value == "cluster 2"
    studio.canvas.picked = {"number": 2, "panel": 0, "region": 3, "shift": True}
    assert [c.part for c in studio.recipe.changes] == ["cluster 2", "cluster 3"]
    for panel in studio.canvas.frame["panels"]:
        assert panel["pick"] == (panel["title"] != "where it changed")


def test_small_pictures_are_of_their_seeds_and_choose(studio, tiny):
    strip = studio._strips["reference"]
    assert strip.sources == list(range(2, 12))
    sent = strip.canvas.frame["panels"]
    assert [p["chosen"] for p in sent] == [True, *[False] * 9]
    expected = to_uint8(tiny.synthesize(tiny.sample([5], truncation=0.7))[0])
    np.testing.assert_array_equal(np.frombuffer(sent[3]["pixels"], np.uint8), expected.reshape(-1))
    strip.canvas.picked = {"number": 1, "panel": 3, "region": -1, "shift": False}
    assert studio.controls["reference"].value == studio.recipe.changes[0].reference == 5
    studio.controls["reference pin"].click()
    studio.controls["reference next"].click()
    assert strip.sources == [5, *range(12, 21)]


def file(name: str, content: bytes) -> tuple[dict[str, Any], ...]:
    when = datetime.datetime.now(datetime.UTC)
    sent = {"name": name, "content": memoryview(content), "size": len(content), "type": ""}
    return ({**sent, "last_modified": when},)


def test_a_file_of_ones_own_is_taken_while_the_panel_goes_on(studio, tiny, tmp_path):
    w = tiny.map(tiny.latents([7]), 0.5)[:, 0]
    np.save(tmp_path / "mine.npy", w.detach().numpy())
    studio.controls["target file"].value = file("../mine.npy", (tmp_path / "mine.npy").read_bytes())
    studio._worker.join()
    assert studio.error == ""
    torch.testing.assert_close(studio.edit.target, tiny.synthesize(lefs.source_styles(tiny, w))[0])
    assert str(studio.recipe.target) == "mine"
    Image.fromarray(to_uint8(tiny.synthesize(tiny.sample([3]))[0])).save(tmp_path / "me.png")
    content = (tmp_path / "me.png").read_bytes()
    strip = studio._strips["reference"].canvas
    strip._handle_custom_msg({"file": "me.png"}, [content])
    studio.controls["strength"].value = 0.5
    studio._worker.join()
    assert studio.error == ""
    assert studio.recipe.changes[0].strength == 0.5
    assert str(studio.recipe.changes[0].reference) == "me"
    np.testing.assert_array_equal(edited(studio), rendered(studio))
    for name, bad in (("x.npy", b"no"), ("../../etc/x.png", b"\x89PNG nothing")):
        strip._handle_custom_msg({"file": name}, [bad])
        studio._worker.join()
        assert studio.error
    strip._handle_custom_msg({"file": "huge.png", "size": 10**9}, [])
    studio._worker.join()
    assert "larger than 64 MiB" in studio.error


@pytest.mark.parametrize("by", ["similar", "different", "cleanest"])
def test_suggestions_are_tried_and_one_click_takes_one(studio, by):
    studio.controls["suggest"].value = by
    studio.controls["find"].click()
    studio._worker.join()
    assert studio.error == ""
    sent = studio._offers.frame["panels"]
    assert 0 < len(sent) == len(studio._offered) <= 8
    studio._offers.picked = {"number": 1, "panel": 1, "region": -1, "shift": False}
    assert studio.recipe.changes[0].reference == studio._offered[1]
    np.testing.assert_array_equal(np.frombuffer(sent[1]["pixels"], np.uint8), edited(studio).reshape(-1))
    with studio._lock:  # (what is found waits for it)
        studio.controls["find"].click()
        studio.controls["add"].click()
    studio._worker.join()
    assert "were for cluster 0" in studio.error, "they are not for the row that is shown now"
    assert studio._offers.frame["panels"] == [], "nor are those that were shown before"


def test_a_part_that_is_in_neither_picture_says_so_and_offers_one_that_is(tiny, catalog):
    seen = catalog.part_masks(tiny, tiny.sample([1, 2], truncation=0.7))
    absent = {name: torch.zeros_like(mask) for name, mask in seen.items() if name == "cluster 3"}
    studio = EditStudio(tiny, catalog, Recipe(1, (Change("cluster 0", 2, settings=PLACE),)))
    found = studio._editor.part_masks
    studio._editor.part_masks = lambda *a: {**found(*a), **{n: m[0] for n, m in absent.items()}}
    studio._view._outlines.cache_clear()
    before = studio.edit
    studio.controls["part"].value = "cluster 3"
    assert "cluster 3 is in neither picture" in studio._notice.value
    assert studio.edit is before
    assert studio.error == ""
    studio.controls["instead"].click()
    assert studio.recipe.changes[0].part in seen
    assert studio.recipe.changes[0].part != "cluster 3"
    assert "lefs-hidden" in studio._question._dom_classes


def test_a_reference_that_has_the_part_is_taken_with_it(tiny, catalog):
    studio = EditStudio(tiny, catalog, Recipe(1, (Change("cluster 0", 2, settings=PLACE),)))
    found = studio._editor.part_masks

    def masks(source, *others):
        here = found(source, *others)
        return {**here, "cluster 3": torch.zeros_like(here["cluster 3"])} if source in (1, 2) else here

    studio._editor.part_masks = masks
    studio._view._outlines.cache_clear()
    studio.controls["part"].value = "cluster 3"
    assert "cluster 3 is in neither picture" in studio._notice.value
    strip = studio._strips["reference"]
    strip.canvas.picked = {"number": 1, "panel": strip.sources.index(5), "region": -1, "shift": False}
    assert studio.error == ""
    assert (studio.recipe.changes[0].part, studio.recipe.changes[0].reference) == ("cluster 3", 5)


def test_what_is_taken_back_shows_its_own_sliders(studio):
    names, clock = ("rho", "epsilon", "slope"), iter(range(0, 10_000, 10))
    studio._history._clock = lambda: next(clock)
    for method in ("simultaneous", "global"):
        studio.controls["method"].value = method
    for expected in ({"slope"}, {"rho", "epsilon"}):
        studio.controls["undo"].click()
        assert {n for n in names if "lefs-hidden" not in studio.controls[n]._dom_classes} == expected


# -- taking home -------------------------------------------------------------------------------------------
def test_pictures_are_numbered_and_replay(studio, tiny, catalog, tmp_path):
    for _ in range(2):
        studio.controls["save"].click()
    one, two = sorted(tmp_path.glob("*.png"))
    assert (one.name, two.name) == ("cluster-0-2-onto-1-001.png", "cluster-0-2-onto-1-002.png")
    again = lefs.Editor(tiny, catalog).render(Recipe.from_png(two))
    assert torch.equal(again.image, studio.edit.image)
    np.testing.assert_array_equal(np.asarray(Image.open(one)), edited(studio))


def test_presets_are_kept_for_any_target(studio, tiny, catalog, tmp_path):
    studio.controls["strength"].value = 0.3
    studio.controls["preset name"].value = "my edits"
    studio.controls["keep preset"].click()
    assert studio.error == ""
    other = EditStudio(tiny, catalog, Recipe(6, (Change("cluster 1", 8),)), folder=tmp_path)
    other.controls["preset"].value = "my-edits"
    assert other.error == ""
    assert other.recipe.target == 6
    assert other.recipe.changes == studio.recipe.changes
    other.controls["undo"].click()
    assert other.recipe.changes[0].part == "cluster 1"
    studio.controls["preset name"].value = " "
    studio.controls["keep preset"].click()
    assert "type a name first" in studio.error
    studio.controls["preset name"].value = "漢" * 120
    studio.controls["keep preset"].click()
    assert studio.error == "", "a file's name is as long as file systems allow, in bytes"
    assert studio.controls["preset"].options[-1][0] == "漢" * 40


def test_code_and_parameters_are_the_same_edit(root: Path):
    generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    mine = lefs.keep_source(generator, generator.sample([9]))
    changes = (Change("hair", 2, 0.5, PLACE), Change("clothes", mine, 1.0, QuerySettings(rho=0.05)))
    studio = EditStudio(generator, catalog, Recipe(1, changes))
    found: dict[str, Any] = {}
    exec(studio.code, found)
    assert torch.equal(found["edit"].image, studio.edit.image)
    declared = read_parameters(nbformat.read(root / "notebooks" / "3_editing.ipynb", 4))
    given = dict(line.split(": ", 1) for line in studio.parameters.splitlines() if line[0] != "#")
    assert set(given) <= set(declared)
    assert (json.loads(given["target"]), json.loads(given["part"])) == (1, "hair")
    studio.controls["row"].value = 1
    assert "# reference: of a picture of one's own" in studio.parameters
    assert 'method: "sequential"' in studio.parameters


def test_a_recipe_of_another_generator_or_catalog_is_refused(tiny, catalog, studio):
    state = studio.state
    state["recipe"]["generator"] = {"fingerprint": "0" * 64, "label": "theirs"}
    with pytest.raises(ArtifactError, match="theirs"):
        studio.state = state
    with pytest.raises(ArtifactError, match="theirs"):
        EditStudio(tiny, catalog, Recipe.from_json(state["recipe"]))


# -- the end -----------------------------------------------------------------------------------------------
def test_studios_that_are_closed_leave_nothing(tiny, catalog):
    registry = ipywidgets.widgets.widget._instances
    EditStudio(tiny, catalog).close()
    gc.collect()
    before, ends = len(registry), []
    for _ in range(30):
        studio = EditStudio(tiny, catalog)
        studio.controls["strength"].value = 0.5
        studio.close()
        ends.append(weakref.ref(studio))
    del studio
    gc.collect()
    assert len(registry) == before
    assert [end() for end in ends] == [None] * 30


def test_a_cell_that_runs_again_closes_the_panel_it_made(tiny, catalog, monkeypatch):
    events: dict[str, Any] = {}
    shell = types.SimpleNamespace(
        get_parent=lambda: {"metadata": {"cellId": "a"}},
        events=types.SimpleNamespace(register=lambda name, act: events.update({name: act})),
    )
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    registry = ipywidgets.widgets.widget._instances
    counts, kept = [], []
    for _ in range(4):
        if events:
            events["pre_run_cell"](types.SimpleNamespace(cell_id="b"))
            assert not kept[-1]._closed
            events["pre_run_cell"](types.SimpleNamespace(cell_id="a"))
        kept.append(EditStudio(tiny, catalog))
        counts.append(len(registry))
    assert len(set(counts)) == 1
    assert [studio._closed for studio in kept] == [True, True, True, False]
    assert torch.equal(kept[0].edit.image, kept[-1].edit.image), "what was made stays"
    kept[-1].close()
    assert panels._OF_CELLS["a"] == []


# -- as a page ---------------------------------------------------------------------------------------------
def test_the_studio_is_served_on_this_machine_with_a_token(tmp_path, monkeypatch, capsys):
    """A stand-in for Voilà says what it was called with, and with which notebook."""
    (tmp_path / "voila").mkdir()
    (tmp_path / "voila" / "__init__.py").touch()
    code = (
        "import os, sys\nfrom pathlib import Path\nPath('page').write_text(Path(sys.argv[1]).read_text())\n"
        "Path('called').write_text('|'.join([os.environ['LEFS_MAP_WEIGHTS'], *sys.argv[2:]]))\nsys.exit(3)"
    )
    (tmp_path / "voila" / "__main__.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert main(["studio", "portraits-64", "--no-browser", "--port=9000"]) == 3
    called = (tmp_path / "called").read_text().split("|")
    assert {"--Voila.ip=127.0.0.1", "--Voila.auto_token=True"} < set(called)
    assert called[0] == "1"
    assert called[-2:] == ["--no-browser", "--port=9000"]
    (cell,) = nbformat.read(tmp_path / "page", 4).cells
    assert "EditStudio(generator, catalog" in cell.source
    assert "ssh -N -L" in capsys.readouterr().out
    # a file of a model's folder is as good as the folder, and what does not fit together is said in the page
    folder = lefs.records.locate("portraits-64")
    for arguments, told in (
        ([f"{folder}/generator.safetensors"], "EditStudio"),
        (["portraits", "portraits-64"], "this catalog belongs to generator &#x27;portraits-64&#x27;"),
    ):
        assert main(["studio", *arguments]) == 3
        (cell,) = nbformat.read(tmp_path / "page", 4).cells
        made: dict[str, Any] = {}
        exec(compile(cell.source, "page", "exec"), made)
        assert told in repr(made["shown"]) + getattr(made["shown"], "data", "")
    capsys.readouterr()
    assert main(["studio", "no such model", "--no-browser"]) == 2
    assert "no such model" in capsys.readouterr().err


def test_servers_start_without_pytorch():
    code = "import sys, lefs; lefs.runner.open_studio, lefs.runner.open_jupyterlab, lefs.ArtifactError"
    subprocess.run([sys.executable, "-c", f"{code}\nassert 'torch' not in sys.modules"], check=True)


def test_weights_that_are_mapped_are_the_same_and_shared():
    code = """
import lefs, torch
generator = lefs.load("portraits-64")
image = generator(generator.latents([1]))
private, here = 0, False
for line in open("/proc/self/smaps"):
    if "-" in line.split()[0]:
        here = "generator.safetensors" in line
    elif here and line.startswith("Private_Dirty"):
        private += int(line.split()[1])
        print("mapped")
print(float(image.double().sum()), private)
"""
    found = []
    for mapped in ("0", "1"):
        environment = {**__import__("os").environ, "LEFS_MAP_WEIGHTS": mapped}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        found.append(done.stdout.split())
    assert found[0][-2:] == found[1][-2:]
    assert "mapped" in found[1]
    assert found[1][-1] == "0", "no page of the weights is the process's own"
