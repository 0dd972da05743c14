"""The panels do what their controls say, show their errors, and lose nothing."""

from __future__ import annotations

import base64
import copy
import io
import math
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from comm.base_comm import BaseComm
from figure_inputs import pictures_in
from helpers import made_up_catalog, random_network
from PIL import Image

import lefs
from lefs.editor import Superseded
from lefs.images import to_uint8
from lefs.plotting import cluster_colors
from lefs.records import ArtifactError
from lefs.widgets import CatalogBrowser, EditStudio
from lefs.widgets.elements import Canvas, Picture, change_picture
from lefs.widgets.panel import Panel
from lefs.widgets.stage import preview_of

FIXTURES = Path(__file__).parent / "fixtures"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def catalog(tiny):
    return lefs.dissect(tiny, range(12), clusters=4, progress=False)


def one_change(*, target=1, part="cluster 0", reference=2, **change) -> lefs.Recipe:
    return lefs.Recipe(target, (lefs.Change(part, reference, **change),))


@pytest.fixture
def studio(tiny, catalog, tmp_path):
    settings = lefs.QuerySettings(epsilon=4.0, rho=0.0, coarse=1.0)
    return EditStudio(tiny, catalog, one_change(settings=settings), folder=tmp_path / "recipes")


@pytest.fixture
def browser(tiny, catalog, tmp_path):
    return CatalogBrowser(tiny, catalog, range(15), folder=tmp_path / "catalog")


@pytest.fixture
def no_folder(tmp_path):
    """A folder that cannot be made, whoever asks: its parent is a file."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "folder"


def sent_by(panel: EditStudio, title: str) -> dict:
    """What the canvas has sent for the picture of that title."""
    return next(sent for sent in panel.canvas.frame["panels"] if sent["title"] == title)


def pixels(panel: EditStudio | CatalogBrowser, index: int | str) -> np.ndarray:
    sent = sent_by(panel, index) if isinstance(index, str) else panel.canvas.frame["panels"][index]
    return np.frombuffer(sent["pixels"], np.uint8).reshape(sent["height"], sent["width"], 3)


# -- studio -------------------------------------------------------------------------------------------
def test_without_strength_the_edit_is_the_target(studio):
    assert studio.edit.change.max() > 0
    studio.controls["strength"].value = 0.0
    assert torch.equal(studio.edit.image, studio.edit.target)
    np.testing.assert_array_equal(pixels(studio, "edit"), pixels(studio, "target"))


def test_global_at_full_strength_is_the_reference(studio):
    studio.controls["method"].value = "global"
    torch.testing.assert_close(studio.edit.image, studio.edit.references[0], atol=1e-5, rtol=1e-4)


def test_budget_zero_changes_nothing(studio):
    studio.controls["epsilon"].value = 0.0
    moved = studio.edit.queries[0] > 0
    assert (studio._catalog.contribution(studio.controls["part"].value)[moved] == 1).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strength", 0.5),
        ("rho", 0.6),
        ("epsilon", 1.5),
        ("coarse", 0.1),
        ("rgb", 1.0),
        ("target", 3),
        ("reference", 4),
        ("part", "cluster 2"),
        ("method", "simultaneous"),
    ],
)
def test_every_control_redraws_at_once(studio, name, value):
    before, number = studio.edit, studio.canvas.frame["number"]
    studio.controls[name].value = value
    assert studio.error == ""
    assert studio.canvas.frame["number"] == number + 1
    assert not torch.equal(studio.edit.image, before.image)
    np.testing.assert_array_equal(pixels(studio, "edit"), to_uint8(studio.edit.image))
    np.testing.assert_array_equal(pixels(studio, "reference"), to_uint8(studio.edit.references[0]))


def test_the_edit_is_what_the_editor_makes_of_the_recipe(studio, tiny, catalog):
    studio.controls["rho"].value = 0.1
    again = lefs.Editor(tiny, catalog).render(studio.recipe)
    assert torch.equal(again.image, studio.edit.image)
    assert studio.recipe.changes[0].settings.rho == 0.1


def test_a_method_shows_only_its_own_sliders(studio):
    def shown() -> set[str]:
        names = ("rho", "epsilon", "slope")
        return {n for n in names if "lefs-hidden" not in studio.controls[n]._dom_classes}

    assert shown() == {"rho", "epsilon"}
    studio.controls["method"].value = "simultaneous"
    assert shown() == {"slope"}
    studio.controls["method"].value = "global"
    assert shown() == set()


# -- whose settings hold ------------------------------------------------------------------------------
@pytest.fixture
def measured(tiny, catalog):
    """The catalog with effects, of which those of cluster 1 are small everywhere."""
    torch.manual_seed(0)
    effects = torch.rand(catalog.contributions.shape, dtype=torch.float64)
    effects[1] *= 0.01
    return replace(catalog, effects=effects)


TABLE = {
    "cluster 0": lefs.QuerySettings(rho=0.5, epsilon=4.0, coarse=1.0),
    "cluster 1": lefs.QuerySettings(rho=0.02, epsilon=20.0, coarse=0.25),
}
BY_EFFECT = {"cluster 0": lefs.QuerySettings(rho=0.25, epsilon=3.0, contributions="effect")}


@pytest.fixture
def tuned(tiny, measured, tmp_path):
    recipe = one_change(settings=TABLE["cluster 0"])
    return EditStudio(tiny, measured, recipe, settings=[TABLE, BY_EFFECT], folder=tmp_path)


def settings_of(studio: EditStudio) -> lefs.QuerySettings:
    return studio.edit.recipe.changes[0].settings


def is_shown(widget) -> bool:
    return "lefs-hidden" not in widget._dom_classes


def test_a_part_brings_its_settings(tuned):
    number = tuned.canvas.frame["number"]
    tuned.controls["part"].value = "cluster 1"
    assert settings_of(tuned) == replace(TABLE["cluster 1"], contributions="energy")
    assert tuned.controls["epsilon"].value == 20.0, "the slider reaches as far as the settings"
    assert tuned.canvas.frame["number"] == number + 1
    assert not is_shown(tuned._question)
    tuned.controls["part"].value = "cluster 2"  # nobody has tuned anything for it
    assert settings_of(tuned) == replace(TABLE["cluster 1"], contributions="energy")


def test_whoever_has_moved_a_slider_is_asked(tuned):
    tuned.controls["rho"].value = 0.3
    tuned.controls["part"].value = "cluster 1"
    assert settings_of(tuned).rho == 0.3
    assert "as you set them" in tuned._notice.value
    assert is_shown(tuned.controls["keep"])
    assert tuned.controls["take"].description == "Take those tuned for cluster 1"
    tuned.controls["keep"].click()
    assert settings_of(tuned).rho == 0.3
    assert not is_shown(tuned.controls["keep"])
    tuned.controls["part"].value = "cluster 0"
    tuned.controls["take"].click()
    assert settings_of(tuned) == replace(TABLE["cluster 0"], contributions="energy")
    assert not is_shown(tuned._question)
    tuned.controls["part"].value = "cluster 1"
    assert settings_of(tuned).rho == 0.02, "the sliders are the table's again: nothing to ask"


@pytest.mark.parametrize("seed", [-1, 99_999_999_999, 3.7])
def test_what_is_not_a_seed_is_refused_in_sight(tuned, seed):
    before = tuned.edit
    for name in ("target", "reference"):
        control = tuned.controls[name]
        was = control.value
        control.set_state({"value": seed})  # as the page does when it is typed
        assert control.value == seed, "not changed in silence"
        assert name in tuned.error
        assert str(seed) in tuned.error
        assert tuned.edit is before
        control.set_state({"value": float(was)})
        assert (control.value, type(control.value), tuned.error) == (was, int, "")
        before = tuned.edit


@pytest.mark.parametrize(("name", "value", "sent"), [("rho", 0.3, 0.302), ("epsilon", 4.0, 4.2)])
def test_what_the_page_rounds_to_a_step_is_not_a_move(tuned, name, value, sent):
    control = tuned.controls[name]
    state = tuned.state
    state["recipe"]["changes"][0]["settings"][name] = value
    tuned.state = state
    control.set_state({"value": sent})  # as a page does when it draws the slider
    assert control.value == value
    tuned.controls["part"].value = "cluster 1"
    assert not is_shown(tuned.controls["keep"]), "nobody has moved a slider"
    at = control.value
    control.set_state({"value": at / 2})
    assert control.value != at
    tuned.controls["part"].value = "cluster 0"
    assert is_shown(tuned.controls["keep"])


def test_contributions_are_a_choice_and_have_settings_of_their_own(tuned, tiny, measured, tmp_path):
    by_energy = tuned.edit.image
    tuned.controls["contributions"].value = "effect"
    assert settings_of(tuned) == BY_EFFECT["cluster 0"]
    assert not torch.equal(tuned.edit.image, by_energy)
    expected = BY_EFFECT["cluster 0"].query(measured, "cluster 0")
    assert torch.equal(tuned.edit.queries[0], expected)
    tuned.controls["save"].click()
    replayed = lefs.Editor(tiny, measured).render(lefs.Recipe.from_png(next(tmp_path.glob("*.png"))))
    assert torch.equal(replayed.image, tuned.edit.image)


@pytest.fixture
def in_place(tiny, catalog, tmp_path):
    """A studio that edits a part that target and reference both show."""
    settings = lefs.QuerySettings(where="part")
    shown = catalog.part_masks(tiny, tiny.sample([1, 2], truncation=0.7))
    part = next(name for name, mask in shown.items() if mask.flatten(1).any(1).all())
    return EditStudio(tiny, catalog, one_change(part=part, settings=settings), folder=tmp_path)


def test_in_place_and_everywhere_are_a_choice(in_place, tiny, catalog, tmp_path):
    assert settings_of(in_place).method == "global"
    assert "in place" in sent_by(in_place, "edit")["note"]
    placed = in_place.edit
    in_place.controls["where"].value = "everywhere"
    assert in_place.error == ""
    assert settings_of(in_place).where == "everywhere"
    assert settings_of(in_place).method == "sequential", "the usual one there"
    assert not torch.equal(in_place.edit.image, placed.image)
    assert "budget spent" in in_place._summary.value
    assert "in place" not in sent_by(in_place, "edit")["note"]
    in_place.controls["method"].value = "simultaneous"
    in_place.controls["where"].value = "part"
    assert torch.equal(in_place.edit.image, placed.image)
    in_place.controls["where"].value = "everywhere"
    assert settings_of(in_place).method == "simultaneous", "the one that was chosen there"
    in_place.controls["where"].value = "part"
    in_place.controls["save"].click()
    replayed = lefs.Editor(tiny, catalog).render(lefs.Recipe.from_png(next(tmp_path.glob("*.png"))))
    assert torch.equal(replayed.image, placed.image)


def test_where_there_is_no_place_the_panel_says_so(in_place, monkeypatch):
    """The part is in neither picture: the last edit stays, and everywhere is as it was."""
    in_place.controls["where"].value = "everywhere"
    edit = in_place.edit
    render = lefs.Editor.render

    def refuse(self, recipe, **options):
        if recipe.changes[0].settings.where == "part":
            raise ValueError("part: it is in neither target nor reference")
        return render(self, recipe, **options)

    monkeypatch.setattr(lefs.Editor, "render", refuse)
    in_place.controls["where"].value = "part"
    assert "neither target nor reference" in in_place.error
    assert in_place.edit is edit
    in_place.controls["where"].value = "everywhere"
    assert in_place.error == ""
    assert settings_of(in_place) == edit.recipe.changes[0].settings


def test_a_studio_that_opens_in_place_has_the_tuned_settings_ready(tiny, measured):
    settings = lefs.QuerySettings(where="part", contributions="effect")
    studio = EditStudio(tiny, measured, one_change(settings=settings), settings=[TABLE, BY_EFFECT])
    studio.controls["where"].value = "everywhere"
    assert studio.error == ""
    assert settings_of(studio) == BY_EFFECT["cluster 0"]


def test_the_line_says_what_is_mixed_in_place(in_place, tiny, catalog):
    assert "inside the mask alone: the whole reference" in in_place._summary.value
    part = in_place.controls["part"].value
    mask = catalog.part_masks(tiny, tiny.sample([1, 2], truncation=0.7))[part].any(dim=0)
    change = in_place.edit.change
    assert f"inside the part <b>{change[mask].mean():.2f}</b>" in in_place._summary.value
    assert f"outside <b>{change[~mask].mean():.2f}</b>" in in_place._summary.value
    in_place.controls["method"].value = "sequential"
    in_place.controls["epsilon"].value = 1.0
    q = in_place.edit.queries[0]
    assert f"<b>{int((q > 0).sum())}</b> of {len(q)} channels of the reference" in in_place._summary.value
    assert "budget" not in in_place._summary.value, "it is not what the picture pays for"
    in_place.controls["strength"].value = 0.0
    assert torch.equal(in_place.edit.image, in_place.edit.target)


def test_a_picture_of_ones_own_is_a_target(tiny, catalog, tmp_path):
    mine = tiny.sample([7], truncation=0.5)
    studio = EditStudio(tiny, catalog, one_change(target=mine[0].numpy()), folder=tmp_path)
    torch.testing.assert_close(studio.edit.target, tiny.synthesize(mine)[0])
    assert sent_by(studio, "target")["note"] == "picture"
    studio.controls["reference"].value = 5
    assert studio.error == ""
    studio.controls["save"].click()
    (path,) = tmp_path.glob("*.png")
    assert path.name == "cluster-0-5-onto-picture-001.png"
    replayed = lefs.Editor(tiny, catalog).render(lefs.Recipe.from_png(path))
    assert torch.equal(replayed.image, studio.edit.image)


def test_a_generator_without_styles_is_edited_in_place(tmp_path):
    progan = lefs.load(FIXTURES / "genforce" / "progan_fused.pth")
    found = lefs.dissect(progan, range(4), clusters=2, progress=False)
    studio = EditStudio(progan, found, one_change(settings=lefs.QuerySettings(where="part")))
    assert [value for _, value in studio.controls["where"].options] == ["part"]
    assert studio.controls["method"].options == ("global",)
    before = studio.edit.image
    studio.controls["reference"].value = 3
    assert studio.error == ""
    assert not torch.equal(studio.edit.image, before)
    with pytest.raises(TypeError, match="has no styles"):
        EditStudio(progan, found, one_change())


def test_a_catalog_of_one_kind_offers_no_choice_of_contributions(studio, tiny, measured):
    assert not is_shown(studio.controls["contributions"])
    effect = EditStudio(tiny, measured.by_effect(), one_change())
    assert effect.controls["contributions"].options == ("effect",)
    assert not is_shown(effect.controls["contributions"])


def test_where_nothing_moves_the_panel_says_why_and_offers_a_price(studio, catalog):
    share = catalog.contribution("cluster 0")
    most = float(share.max())
    studio.controls["rho"].max = 3
    studio.controls["rho"].value = too_high = 2 * most / (1 - most)
    assert not studio.edit.queries.any()
    assert f"the largest share there is {most:.1%}" in studio._notice.value
    assert sent_by(studio, "where it changed")["word"] == "nothing changed"
    assert is_shown(studio.controls["lower"])
    studio.controls["lower"].click()
    assert 0 < studio.controls["rho"].value < too_high
    assert studio.edit.queries.any()
    assert not is_shown(studio.controls["lower"])
    assert not is_shown(studio._question)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"epsilon": 0.0, "rho": 0.0}, "the budget ε is 0"),
        ({"method": "simultaneous", "slope": 0.0}, "the slope is 0"),
        ({"method": "pair", "leak": 0.0}, "the leak is 0"),
        ({"method": "pair", "rho": 1e9}, "no channel changes cluster 0 enough"),
    ],
)
def test_where_the_price_is_not_to_blame_none_is_offered(tiny, measured, settings, reason):
    studio = EditStudio(tiny, measured, one_change(settings=lefs.QuerySettings(**settings)))
    assert reason in studio._notice.value
    assert is_shown(studio.controls["lower"]) == ("rho" in settings and settings["rho"] > 1)


def test_without_strength_the_panel_says_so(studio):
    studio.controls["strength"].value = 0.0
    assert "strength λ is 0" in studio._notice.value
    studio.controls["strength"].value = 0.5
    assert not is_shown(studio._question)


def test_the_price_is_logarithmic_and_reaches_zero(studio):
    rho = studio.controls["rho"]
    for value in (0.02, 0.1, 1 / 3, 0.0001):
        rho.value = value
        assert settings_of(studio).rho == value
    rho.value = rho.base**rho.min  # what the browser sends from the left end
    assert rho.value == settings_of(studio).rho == 0.0
    assert rho.base**rho.min < 0.0005, "it reads 0.000 there"


def test_wrong_tables_are_errors_at_once(tiny, catalog):
    with pytest.raises(ValueError, match="no part named 'hair'"):
        EditStudio(tiny, catalog, one_change(), settings={"hair": lefs.QuerySettings()})
    bad = lefs.QuerySettings(epsilon=math.inf)
    with pytest.raises(ValueError, match="epsilon"):
        EditStudio(tiny, catalog, one_change(), settings={"cluster 0": bad})


def test_summary_counts_channels_and_measures_the_change(studio, tiny, catalog):
    q = studio.edit.queries[0]
    text = studio._summary.value
    assert f"<b>{int((q > 0).sum())}</b> of {len(q)} channels" in text
    mask = catalog.part_masks(tiny, tiny.sample([1, 2], truncation=0.7))["cluster 0"].any(dim=0)
    assert f"<b>{studio.edit.change[mask].mean():.2f}</b>" in text


def test_the_budget_goes_up_to_the_widest_layer(studio, tiny):
    assert studio.controls["epsilon"].max == max(layer.channels for layer in tiny.layers)


def test_saved_recipe_replays_the_edit(studio, tiny, catalog, tmp_path):
    studio.controls["save"].click()
    (path,) = (tmp_path / "recipes").glob("*.png")
    assert str(path) in studio._status.value
    replayed = lefs.Editor(tiny, catalog).render(lefs.Recipe.from_png(path))
    assert torch.equal(replayed.image, studio.edit.image)


def test_a_recipe_that_cannot_be_saved_is_an_error_in_the_panel(tiny, catalog, no_folder):
    studio = EditStudio(tiny, catalog, one_change(), folder=no_folder)
    studio.controls["save"].click()
    assert "cannot write" in studio.error
    assert studio._status.value == ""


def test_without_a_folder_there_is_no_saving(tiny, catalog):
    assert EditStudio(tiny, catalog, one_change()).controls["save"].disabled


def test_errors_are_shown_and_the_last_edit_stays(studio, monkeypatch):
    before = studio.edit

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of <memory>")

    with monkeypatch.context() as patch:
        patch.setattr(studio._editor, "render", fail)
        studio.controls["strength"].value = 0.4
        assert studio.error == "out of <memory>"
        assert "&lt;memory&gt;" in studio._error.value
        assert studio.edit is before
    studio.controls["strength"].value = 0.5
    assert studio.error == ""


@pytest.fixture(scope="module")
def large():
    return random_network(seed=3, resolution=128)


def slow_studio(large, **options) -> EditStudio:
    """A studio for which even the smallest picture takes longer than a frame may."""
    catalog = lefs.dissect(large, range(4), clusters=3, progress=False)
    recipe = one_change(settings=lefs.QuerySettings(rho=0.0, epsilon=4.0, coarse=1.0, rgb=1.0))
    return EditStudio(large, catalog, recipe, **options)


def wait_until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_moving_control_shows_a_preview_and_the_whole_picture_at_rest(large, monkeypatch):
    # (where the machine is busy it may choose half precision, which has a test of its own)
    monkeypatch.setattr("lefs.widgets.stage.preview_of", lambda generator, _: (generator, 64))
    studio = slow_studio(large, frame=0.0)
    assert studio.edit.image.shape[-1] == 128
    for strength in (0.8, 0.5, 0.2):
        studio.controls["strength"].value = strength
        preview = studio.edit.image
        assert preview.shape[-1] == 64
        assert sent_by(studio, "edit")["width"] == 64
        assert torch.equal(preview, studio._hasty[0].render(studio.recipe, upto=64).image)
    early = studio.figure()  # a figure is made of the whole picture at any time
    wait_until(lambda: studio.edit.image.shape[-1] == 128)
    assert studio.error == ""
    for one, other in zip(pictures_in(early), pictures_in(studio.figure()), strict=True):
        assert np.array_equal(one, other)
    assert torch.equal(studio.edit.image, studio._hasty[0].render(studio.recipe).image)
    exact = lefs.Editor(large, studio._catalog).render(studio.recipe).image
    assert float((studio.edit.image - exact).abs().mean()) < 1 / 255
    assert studio._summary.value == studio._view.measures(studio.edit, studio.recipe.changes[0])


def test_an_edit_in_place_is_one_at_rest_too(large, monkeypatch):
    monkeypatch.setattr("lefs.widgets.stage.preview_of", lambda generator, _: (generator, 64))
    catalog = lefs.dissect(large, range(4), clusters=3, progress=False)
    place = lefs.QuerySettings(where="part")
    seen = catalog.part_masks(large, large.sample([1, 2], truncation=0.7))
    part = next(name for name, mask in seen.items() if mask.any())
    studio = EditStudio(large, catalog, one_change(part=part, settings=place), frame=0.0)
    studio.controls["strength"].value = 0.5
    wait_until(lambda: studio.edit.image.shape[-1] == 128)
    assert float(studio.edit.change.max()) > 0
    assert torch.equal(studio.edit.image, lefs.Editor(large, catalog).render(studio.recipe).image)


def test_pictures_are_whole_where_a_frame_has_time_for_them(large):
    studio = slow_studio(large, frame=math.inf)
    studio.controls["strength"].value = 0.3
    assert studio.edit.image.shape[-1] == 128


def interrupted(studio: EditStudio, large, monkeypatch, act) -> int:
    """Move a control, and `act` while the whole picture is made: how many pictures were given up."""
    layer, given_up = large.layers[-1], []
    at_work, moved = threading.Event(), threading.Event()
    walk = type(large).walk

    def slowly(self, styles, edits=None, **options):
        if edits is None:
            return walk(self, styles, **options)

        def look(maps):
            at_work.set()
            assert moved.wait(30)
            return edits[layer.name](maps)

        try:
            return walk(self, styles, {**edits, layer.name: look}, **options)
        except Superseded:
            given_up.append(styles)
            raise

    monkeypatch.setattr(type(large), "walk", slowly)
    studio.controls["strength"].value = 0.7
    assert at_work.wait(30)  # the whole picture is being made
    actor = threading.Thread(target=act)
    latest = studio._latest
    actor.start()
    wait_until(lambda: studio._latest is not latest)
    moved.set()
    actor.join()
    wait_until(lambda: studio.edit.image.shape[-1] == 128)
    assert studio.error == ""
    return len(given_up)


def test_a_picture_that_is_no_longer_wanted_is_given_up(large, monkeypatch):
    studio = slow_studio(large, frame=0.0)
    strength = studio.controls["strength"]
    assert interrupted(studio, large, monkeypatch, lambda: setattr(strength, "value", 0.4)) == 1
    assert studio.edit.recipe.changes[0].strength == 0.4


def test_saving_does_not_cost_the_whole_picture(large, monkeypatch, tmp_path):
    studio = slow_studio(large, frame=0.0, folder=tmp_path)
    assert interrupted(studio, large, monkeypatch, studio.controls["save"].click) == 1
    assert lefs.Recipe.from_png(next(tmp_path.glob("*.png"))).changes[0].strength == 0.7
    assert studio.edit.recipe.changes[0].strength == 0.7


@pytest.mark.parametrize(("seconds", "side"), [(0.0, 64), (math.inf, 128)])
def test_the_preview_is_the_largest_that_a_frame_has_time_for(large, seconds, side):
    generator, found = preview_of(large, seconds)
    assert found == side
    assert generator.fingerprint == large.fingerprint
    assert seconds == 0 or generator is large


def test_without_smaller_pictures_there_is_no_preview(tiny):
    assert preview_of(tiny, 0.0) == (tiny, tiny.size[0])


def test_a_preview_in_half_precision_is_the_same_picture(large, monkeypatch):
    half = copy.deepcopy(large).to(torch.bfloat16)
    monkeypatch.setattr("lefs.widgets.stage.preview_of", lambda *_: (half, 64))
    studio = slow_studio(large)
    studio.controls["strength"].value = 0.4
    exact = studio._editor.render(studio.recipe, upto=64)
    assert studio.edit.image.dtype == torch.float32
    span = float(exact.image.max() - exact.image.min())
    torch.testing.assert_close(studio.edit.image, exact.image, atol=0.02 * span, rtol=0)
    assert studio.edit.recipe == exact.recipe
    assert large.dtype == torch.float32


def test_controls_act_from_any_thread_without_gradients(studio):
    def turn(name: str, values: list[float]) -> None:
        assert torch.is_grad_enabled()
        for value in values:
            studio.controls[name].value = value

    threads = [
        threading.Thread(target=turn, args=("strength", [0.1, 0.4, 0.7])),
        threading.Thread(target=turn, args=("rho", [0.2, 0.5, 0.1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert studio.error == ""
    assert not studio.edit.image.requires_grad
    assert studio.edit.recipe.changes == studio.recipe.changes


def test_wrong_arguments_are_errors_at_once(tiny, catalog):
    with pytest.raises(ValueError, match=r"no part named 'hair'.*cluster 0"):
        EditStudio(tiny, catalog, one_change(part="hair"))
    with pytest.raises(ValueError, match="strength"):
        EditStudio(tiny, catalog, one_change(strength=2.0))
    with pytest.raises(ValueError, match="target"):
        EditStudio(tiny, catalog, one_change(target=-1))
    with pytest.raises(ValueError, match="rho"):
        EditStudio(tiny, catalog, one_change(settings=lefs.QuerySettings(rho=-0.1)))
    with pytest.raises(TypeError, match="reference"):
        EditStudio(tiny, catalog, one_change(reference=0.5))
    with pytest.raises(ValueError, match="at least one change"):
        EditStudio(tiny, catalog, lefs.Recipe(1))


@pytest.mark.parametrize("panel", [EditStudio, CatalogBrowser])
def test_a_catalog_of_another_generator_is_refused(panel, tiny, catalog):
    config = lefs.StyleGAN2Config(resolution=16, z_dim=12, w_dim=12, channels={4: 10, 8: 8, 16: 6})
    other = lefs.StyleGAN2(config).eval()
    argument = one_change() if panel is EditStudio else range(3)
    with pytest.raises(ArtifactError, match="belongs to generator"):
        panel(other, catalog, argument)


# -- browser ------------------------------------------------------------------------------------------
def test_names_that_were_saved_are_taken_up_again(tiny, catalog, tmp_path):
    folder = tmp_path / "catalog"
    catalog.save(folder)  # as a dissection leaves it: there is nothing to take up
    by_truth = catalog.rename("cluster 0", "hair")
    first = CatalogBrowser(tiny, by_truth, range(3), folder=folder)
    assert first.catalog.parts == by_truth.parts
    first.controls["name 1"].value = "left eye"
    again = CatalogBrowser(tiny, by_truth, range(3), folder=folder)
    assert again.controls["name 1"].value == "left eye"
    assert again.catalog.parts == first.catalog.parts
    others = lefs.dissect(tiny, range(12), clusters=4, random_state=5, progress=False)
    assert not others.centers.equal(catalog.centers)
    assert CatalogBrowser(tiny, others, range(3), folder=folder).catalog.parts == others.parts


def test_a_damaged_catalog_in_the_folder_is_not_overwritten(tiny, catalog, tmp_path):
    (tmp_path / "catalog.safetensors").write_text("{")
    with pytest.raises(ArtifactError, match="catalog"):
        CatalogBrowser(tiny, catalog, range(3), folder=tmp_path)
    assert (tmp_path / "catalog.safetensors").read_text() == "{"


def test_one_name_merges_and_every_change_is_saved(browser, tmp_path):
    browser.controls["name 1"].value = "hair"
    assert lefs.Catalog.load(tmp_path / "catalog").parts == {
        "cluster 0": (0,),
        "hair": (1,),
        "cluster 2": (2,),
        "cluster 3": (3,),
    }
    browser.controls["name 3"].value = "  hair "
    assert browser.controls["name 3"].value == "hair"
    assert browser.catalog.parts["hair"] == (1, 3)
    assert lefs.Catalog.load(tmp_path / "catalog").parts == browser.catalog.parts
    assert "saved to" in browser._status.value


def test_a_cluster_can_leave_its_part_again(browser):
    for k in (0, 1, 2):
        browser.controls[f"name {k}"].value = "face"
    browser.controls["name 1"].value = "nose"
    assert browser.catalog.parts["face"] == (0, 2)
    browser.controls["name 1"].value = "cluster 1"
    assert browser.catalog.parts["cluster 1"] == (1,)


@pytest.mark.parametrize(
    ("bad", "message"), [("", "blank"), ("   ", "blank"), ("cluster 3", "unnamed cluster")]
)
def test_bad_names_are_shown_and_taken_back(browser, bad, message):
    browser.controls["name 0"].value = "hair"
    before = browser.catalog
    browser.controls["name 0"].value = bad
    assert message in browser.error
    assert browser.controls["name 0"].value == "hair"
    assert browser.catalog is before
    browser.controls["name 0"].value = "skin"
    assert browser.error == ""
    assert "skin" in browser.catalog.parts


def test_what_cannot_be_saved_is_kept_and_said(tiny, catalog, no_folder):
    browser = CatalogBrowser(tiny, catalog, range(3), folder=no_folder)
    browser.controls["name 0"].value = "hair"
    assert "cannot write" in browser.error
    assert "not saved" in browser._status.value
    assert "hair" in browser.catalog.parts


def test_without_a_folder_names_stay_in_memory(tiny, catalog):
    browser = CatalogBrowser(tiny, catalog, 0)
    browser.controls["name 0"].value = "hair"
    assert "memory only" in browser._status.value
    assert "hair" not in catalog.parts, "the catalog that was given is not changed"


def test_names_cannot_inject_markup(browser):
    browser.controls["name 0"].value = "<img src=x onerror=alert(1)>"
    shown = [browser._status.value, *(field.children[0].value for field in browser._fields.values())]
    assert not any("<img" in text for text in shown)


def test_opacity_zero_is_the_picture_and_one_the_colors(browser, tiny, catalog):
    browser.controls["opacity"].value = 1.0
    styles = tiny.sample_styles([0], truncation=catalog.sampling.truncation)
    labels = catalog.membership(tiny, styles)[0].argmax(0)
    drawn = pixels(browser, 0)
    step = len(drawn) // len(labels)
    expected = (255 * cluster_colors(4)[labels]).round()
    np.testing.assert_array_equal(drawn[::step, ::step], expected)
    browser.controls["opacity"].value = 0.0
    assert not np.array_equal(pixels(browser, 0), drawn)


def test_picking_a_cluster_colors_it_alone(browser):
    browser.controls["opacity"].value = 1.0
    color = (255 * cluster_colors(4)[2]).round()
    everywhere = np.all(pixels(browser, 0) == color, axis=-1)
    browser.controls["cluster"].value = 2
    alone = pixels(browser, 0)
    np.testing.assert_array_equal(np.all(alone == color, axis=-1), everywhere)
    browser.controls["opacity"].value = 0.0
    np.testing.assert_array_equal(alone[~everywhere], pixels(browser, 0)[~everywhere])


def test_parts_look_the_same_when_the_catalog_is_opened_again(browser, tiny, catalog, tmp_path):
    before = browser._colors()
    browser.controls["name 2"].value = "hair"
    np.testing.assert_array_equal(browser._colors(), before)
    for cluster, name in ((3, "hair"), (0, "skin"), (2, "skin")):
        browser.controls[f"name {cluster}"].value = name
        again = CatalogBrowser(tiny, catalog, range(2), folder=tmp_path / "catalog")
        np.testing.assert_array_equal(browser._colors(), again._colors())


def test_parts_have_the_colors_of_the_figures(tiny, catalog):
    named = catalog.named(["a", "b", "a", "c"])
    browser = CatalogBrowser(tiny, named, range(2))
    np.testing.assert_array_equal(browser._colors(), cluster_colors(4)[[0, 1, 0, 2]])


def test_pages_cover_every_seed_once(browser):
    def notes() -> list[str]:
        return [p["note"] for p in browser.canvas.frame["panels"] if not p["tree"]]

    first = notes()
    assert browser.controls["previous"].disabled
    browser.controls["next"].click()
    assert first + notes() == [f"seed {s}" for s in range(15)]
    assert browser.controls["next"].disabled
    browser.controls["previous"].click()
    assert notes() == first


def test_a_renamed_cluster_stays_picked(browser):
    browser.controls["cluster"].value = 1
    browser.controls["name 1"].value = "hair"
    assert browser.controls["cluster"].value == 1
    assert ("cluster 1: hair", 1) in browser.controls["cluster"].options


def fields(browser: CatalogBrowser) -> list[int]:
    """The clusters whose name fields are in sight."""
    names = [box.children[1] for box in browser._names.children]
    return [k for k in range(browser.catalog.num_clusters) if browser.controls[f"name {k}"] in names]


def options(browser: CatalogBrowser, control: str) -> list[object]:
    return [value for _, value in browser.controls[control].options]


def test_a_part_is_shown_alone_with_its_clusters(tiny, catalog):
    browser = CatalogBrowser(tiny, catalog.named(["skin", "hair", "skin", "hat"]), range(3))
    browser.controls["opacity"].value = 1.0
    everything = pixels(browser, 0)
    assert options(browser, "part") == ["", "skin", "hair", "hat"]
    assert fields(browser) == options(browser, "cluster")[1:] == [0, 1, 2, 3]
    browser.controls["cluster"].value = 3
    browser.controls["part"].value = "skin"
    assert browser.controls["cluster"].value == -1
    assert fields(browser) == options(browser, "cluster")[1:] == [0, 2]
    alone = pixels(browser, 0)
    skin = (everything == (255 * cluster_colors(4)[0]).round()).all(-1)
    first, second = ((alone == (255 * color).round()).all(-1) for color in cluster_colors(4)[:2])
    np.testing.assert_array_equal(first | second, skin)
    assert not (alone[~skin] == everything[~skin]).all(-1).any(), "the rest is the picture"
    browser.controls["cluster"].value = 2
    np.testing.assert_array_equal(
        (pixels(browser, 0) == (255 * cluster_colors(4)[1]).round()).all(-1), second
    )
    browser.controls["part"].value = ""
    np.testing.assert_array_equal(pixels(browser, 0), everything)


def test_a_cluster_that_leaves_the_part_in_sight_stays_in_sight(tiny, catalog):
    browser = CatalogBrowser(tiny, catalog.named(["skin", "hair", "skin", "hat"]), range(3))
    browser.controls["part"].value = "skin"
    browser.controls["name 2"].value = "nose"
    assert browser.controls["part"].value == "skin"
    assert fields(browser) == [0, 2]
    browser.controls["name 0"].value = "nose"  # and so nothing is called skin any more
    assert browser.controls["part"].value == "nose"
    assert fields(browser) == [0, 2]
    assert options(browser, "part") == ["", "nose", "hair", "hat"]
    assert not browser.error


def test_of_many_clusters_the_largest_and_the_chosen_one_can_be_named(tiny):
    many = lefs.dissect(tiny, range(12), clusters=40, progress=False)
    browser = CatalogBrowser(tiny, many, range(3))
    by_size = sorted(range(40), key=lambda k: -int(many.sizes[k]))
    assert set(fields(browser)) == set(by_size[:32])
    browser.controls["cluster"].value = by_size[-1]
    assert set(fields(browser)) == {*by_size[:31], by_size[-1]}


def test_of_many_clusters_each_part_has_some_in_sight(tiny):
    many = lefs.dissect(tiny, range(12), clusters=40, progress=False)
    small = int(many.sizes.argmin())
    names = ["mole" if k == small else "skin" for k in range(40)]
    browser = CatalogBrowser(tiny, many.named(names), range(3))
    assert small in fields(browser)
    assert len(fields(browser)) == 32


# -- both ---------------------------------------------------------------------------------------------
def picture(bundle: dict[str, object]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(str(bundle["image/png"]))))


@pytest.mark.parametrize("panel", ["studio", "browser"])
def test_a_panel_is_a_widget_with_a_picture_beside_it(panel, request, monkeypatch):
    shown: Panel = request.getfixturevalue(panel)
    monkeypatch.delenv("LEFS_HEADLESS", raising=False)
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {WIDGET_VIEW, "image/png", "text/plain"}
    assert bundle["text/plain"] == repr(shown)
    assert 300 < picture(bundle).width <= 900
    assert "lefs-panel" in shown._root._dom_classes


@pytest.mark.parametrize("panel", ["studio", "browser"])
def test_a_headless_run_keeps_the_picture_only(panel, request, monkeypatch):
    monkeypatch.setenv("LEFS_HEADLESS", "1")
    bundle = request.getfixturevalue(panel)._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}


@pytest.mark.parametrize("panel", ["studio", "browser"])
def test_a_notebook_gets_the_panel_and_its_picture_apart(panel, request, monkeypatch):
    shown: Panel = request.getfixturevalue(panel)
    monkeypatch.delenv("LEFS_HEADLESS", raising=False)
    outputs: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: outputs.append(bundle))
    shown._ipython_display_()
    live, still = outputs
    assert set(live) == {WIDGET_VIEW, "text/plain"}
    assert set(still) == {"text/html", "image/png", "text/plain"}
    assert picture(still).width > 300
    mark = f"lefs-live-{shown._root.model_id}"
    assert mark in shown._root._dom_classes
    assert f":root:has(.{mark}) .lefs-still-" in still["text/html"]
    monkeypatch.setenv("LEFS_HEADLESS", "1")
    with pytest.raises(NotImplementedError):  # IPython takes the bundle instead
        shown._ipython_display_()


def test_messages_from_the_browser_are_not_sent_to_the_thread_of_the_cells(tiny, catalog, monkeypatch):
    made = BaseComm.__init__

    def as_in_a_kernel(self, *args, **options):
        made(self, *args, **options)
        self._reply_subshell_for = lambda *_: None

    monkeypatch.setattr(BaseComm, "__init__", as_in_a_kernel)
    studio = EditStudio(tiny, catalog, one_change())
    assert {c.comm._reply_subshell_for for c in studio.controls.values()} == {None}


def test_a_panel_for_many_clusters_is_few_messages(tiny, monkeypatch):
    """A server reads them one by one and drops what is too much: a thousand by default."""
    names = [f"part {k % 13}" for k in range(768)]
    shares = torch.full((768, tiny.num_styles), 1 / 768, dtype=torch.float64)
    many = made_up_catalog(shares, tiny, names)
    sent = []
    monkeypatch.setattr("comm.DummyComm.publish_msg", lambda self, kind, **_: sent.append(kind))
    browser = CatalogBrowser(tiny, many, range(2))
    assert len(sent) < 600
    sent.clear()
    browser.controls["part"].value = "part 3"
    assert 0 < len(sent) < 600
    assert browser.controls["name 700"].value == names[700]
    with pytest.raises(KeyError, match="no cluster 768"):
        browser.controls["name 768"]
    with pytest.raises(KeyError, match="no control 'size'"):
        browser.controls["size"]


def test_every_control_says_what_it_does(studio, browser):
    for name, widget in (studio.controls | browser.controls).items():
        assert widget.tooltip, name


def test_canvas_refuses_what_it_cannot_paint():
    with pytest.raises(ValueError, match=r"pixels must be uint8 of shape \(H, W, 3\)"):
        Canvas().show(Picture(np.zeros((4, 4), np.uint8)))


def test_canvas_needs_no_network():
    assert "http" not in str(Canvas._esm)
    assert "import" not in str(Canvas._esm).split()


def test_maps_of_change_have_one_scale_and_say_when_they_are_empty():
    change = change_picture(torch.tensor([[0.0, 60.0, 99.0]]))
    np.testing.assert_array_equal(change.pixels[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(change.pixels[0, 1], change.pixels[0, 2])
    assert change.scale is not None
    assert change.scale[:2] == ("0", "60 ΔE")
    assert change.word == ""
    assert change_picture(torch.full((2, 2), 0.4)).word == "nothing changed"
