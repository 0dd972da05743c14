"""The unit painter does what is painted, counts what it changes, and shows its errors."""

from __future__ import annotations

import base64
import io
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch
from generator_of_units import CHANNELS, SUPPORTS, Colours, Linear, enlarged
from PIL import Image

from lefs import units
from lefs.images import to_uint8
from lefs.records import ArtifactError
from lefs.widgets import UnitPainter
from lefs.widgets import painter as painter_module
from lefs.widgets.unit_search import UnitSearch


@pytest.fixture(scope="module")
def linear() -> Linear:
    return Linear()


@pytest.fixture(scope="module")
def found(linear: Linear) -> units.UnitDissection:
    return units.characterize(linear, range(8), segmenter=Colours(), quantile=0.3, progress=False)


@pytest.fixture
def painter(linear: Linear, found: units.UnitDissection) -> UnitPainter:
    return UnitPainter(linear, found, 3, concept="red", layer="a", units=2, segmenter=Colours())


def stroke(painter: UnitPainter, *points: tuple[float, float], number: int = 1, panel: int = 0) -> None:
    """What the browser sends."""
    painter.canvas.stroke = {"number": number, "panel": panel, "points": [list(p) for p in points]}


def pixels(painter: UnitPainter, index: int) -> np.ndarray:
    sent = painter.canvas.frame["panels"][index]
    return np.frombuffer(sent["pixels"], np.uint8).reshape(sent["height"], sent["width"], 3)


def test_without_paint_nothing_changes(painter: UnitPainter) -> None:
    assert painter.result.equal(painter.image)
    np.testing.assert_array_equal(pixels(painter, 0), pixels(painter, 1))
    assert [p["paint"] for p in painter.canvas.frame["panels"]] == [True, False, False]


def test_what_is_painted_is_what_the_functions_do(
    painter: UnitPainter, linear: Linear, found: units.UnitDissection
) -> None:
    painter.controls["action"].value = "ablate"
    stroke(painter, (0.1, 0.1))
    painter.controls["action"].value = "insert"
    stroke(painter, (0.9, 0.9), number=2)
    assert painter.error == ""
    styles = linear.sample(3)
    levels = found.levels_of("a", "red")
    away, put = (torch.from_numpy(painter.painted == kind) for kind in (1, 2))
    assert away.any()
    assert put.any()
    edits = [
        units.replacement(linear.layer("a"), painter.units, where=away),
        units.replacement(linear.layer("a"), painter.units, levels=levels, where=put),
    ]
    expected = linear.walk(styles, {"a": lambda maps: edits[1](edits[0](maps))})
    assert painter.result.equal(expected[0])
    np.testing.assert_array_equal(pixels(painter, 1), to_uint8(expected[0]))


def test_the_tint_is_on_the_positions_that_change(painter: UnitPainter) -> None:
    painter.controls["action"].value = "ablate"
    stroke(painter, (0.3, 0.05))
    tinted = (pixels(painter, 0) != to_uint8(painter.image)).any(axis=2)
    assert tinted.sum() == 4, "one cell of 4 × 4 is four pixels"
    changed = (painter.result != painter.image).any(dim=0).numpy()
    red = enlarged(SUPPORTS[0] + SUPPORTS[1]) > 0
    np.testing.assert_array_equal(changed, tinted & red)
    assert f"<b>{int((tinted & red).sum())}</b> → <b>0</b>" in painter._summary.value


def test_a_stroke_that_grows_has_no_gaps_and_is_painted_once(painter: UnitPainter) -> None:
    painter.controls["brush"].value = 0.01
    stroke(painter, (0.05, 0.5))
    stroke(painter, (0.05, 0.5), (0.95, 0.5))
    assert painter.painted[3:5].any(axis=0).all()
    painter.controls["action"].value = "erase"
    stroke(painter, (0.05, 0.5), (0.95, 0.5), (0.95, 0.05))
    assert (painter.painted[3:5, :5] == 2).any(), "the points that were there before are not painted again"
    assert not painter.painted[:, 7].any()


def test_strokes_of_several_threads_are_all_painted(
    painter: UnitPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*given: Any, real: Any = painter_module._brush) -> None:
        time.sleep(0.05)
        real(*given)

    monkeypatch.setattr(painter_module, "_brush", slowly)
    corners = [(x, y) for x in (0.1, 0.9) for y in (0.1, 0.9)]
    strokes = [threading.Thread(target=painter.paint, args=([corner],)) for corner in corners]
    for thread in strokes:
        thread.start()
    for thread in strokes:
        thread.join(60)
    height, width = painter.painted.shape
    assert all(painter.painted[int(y * height), int(x * width)] == 2 for x, y in corners)


def test_strokes_on_other_pictures_are_no_paint(painter: UnitPainter) -> None:
    stroke(painter, (0.5, 0.5), panel=1)
    assert not painter.painted.any()
    assert painter.error == ""


def test_strokes_are_taken_back_and_painted_again(painter: UnitPainter) -> None:
    stroke(painter, (0.1, 0.1))
    stroke(painter, (0.1, 0.1), (0.4, 0.1))
    first = painter.painted.copy()
    painter.controls["size"].value = 0.25
    assert painter.controls["brush"].value == 0.25
    stroke(painter, (0.8, 0.8), number=2)
    second = painter.painted.copy()
    assert (second != first).any()
    painter.controls["undo"].click()
    np.testing.assert_array_equal(painter.painted, first)
    painter.controls["undo"].click()
    assert not painter.painted.any(), "a stroke that grew is one step"
    assert painter.controls["undo"].disabled
    for expected in (first, second):
        painter.controls["redo"].click()
        np.testing.assert_array_equal(painter.painted, expected)
    painter.controls["clear"].click()
    painter.controls["undo"].click()
    np.testing.assert_array_equal(painter.painted, second)


def test_strength_moves_units_part_of_the_way(painter: UnitPainter) -> None:
    painter.paint([(0.1, 0.1), (0.9, 0.9)], action="ablate")
    far = painter.result - painter.image
    painter.controls["force"].value = "low"
    torch.testing.assert_close(painter.result - painter.image, far / 3)  # (this generator is linear)


def test_choosing_a_concept_looks_for_units_that_cause_it(
    painter: UnitPainter, linear: Linear, found: units.UnitDissection
) -> None:
    painter.controls["concept"].value = "green"
    painter._worker.join()
    assert painter.error == ""
    assert "by effect" in painter._summary.value
    measured = units.causal_effects(
        linear, range(8, 12), "a", {"own": painter.units}, "green", segmenter=Colours(),
        levels=found.levels_of("a", "green"), where=found.usual_place("green"), progress=False,
    )  # fmt: skip
    assert measured["own"].ace > 0


def test_a_concept_on_which_no_units_act_is_said_to_be_such(
    painter: UnitPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter._search, "find", lambda *_: False)
    painter.controls["concept"].value = "green"
    painter._worker.join()
    assert painter.controls["concept"].value == "red"
    assert "green" not in painter.controls["concept"].options
    assert "No units of a act on <b>green</b>" in painter._notice.value


def test_who_sees_it_is_offered_what_units_act_on(
    painter: UnitPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, checked = threading.Event(), []

    def acts(concept: str, layer: str, count: int) -> bool:
        assert look.wait(30)
        checked.append((concept, layer, count))
        return concept != "green"

    monkeypatch.setattr(painter._search, "acts", acts)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    painter._ipython_display_()
    assert painter.controls["concept"].options == ("red",), "none is offered before it was looked at"
    look.set()
    painter._worker.join()
    assert painter.controls["concept"].value == "red"
    assert "green" not in painter.controls["concept"].options
    assert len(painter.controls["concept"].options) == len(checked) - 1
    assert "No units of a act on <b>green</b>" in painter._notice.value
    assert {(layer, count) for _, layer, count in checked} == {("a", 2)}


def test_units_that_do_not_act_are_found_out(linear: Linear, found: units.UnitDissection) -> None:
    search = UnitSearch(linear, found, Colours())
    assert search.acts("red", "a", 2)
    assert not search._effect(
        "red", "a", found.best_units("green", "a")[:1], search._rules("red", "a", False)
    )


def test_clearing_brings_the_picture_back(painter: UnitPainter) -> None:
    painter.paint([(0.2, 0.2), (0.8, 0.8)], action="ablate")
    assert not painter.result.equal(painter.image)
    painter.controls["clear"].click()
    assert painter.result.equal(painter.image)


@pytest.mark.parametrize(("name", "value"), [("units", 1), ("concept", "green"), ("layer", "b"), ("seed", 5)])
def test_every_control_redraws_at_once(painter: UnitPainter, name: str, value: object) -> None:
    painter.paint([(0.1, 0.1), (0.9, 0.9)], action="insert")
    before, number = painter.result, painter.canvas.frame["number"]
    painter.controls[name].value = value
    assert painter.error == ""
    assert painter.canvas.frame["number"] > number
    assert not painter.result.equal(before)


def test_the_given_order_is_for_its_concept_and_layer_only(
    linear: Linear, found: units.UnitDissection
) -> None:
    painter = UnitPainter(linear, found, 0, concept="red", layer="a", units=2, order=[5, 3, 0])
    assert painter.units == [5, 3]
    painter.controls["layer"].value = "b"
    assert painter.units == found.best_units("red", "b", 2)
    with pytest.raises(ValueError, match="order must list units of a, each once"):
        UnitPainter(linear, found, 0, concept="red", layer="a", order=[1, 1])
    with pytest.raises(ValueError, match=r"order\[0\] must be between 0 and 5"):
        UnitPainter(linear, found, 0, concept="red", layer="a", order=[6])


def test_errors_are_shown_and_the_picture_stays(
    painter: UnitPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = painter.result

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of <memory>")

    with monkeypatch.context() as patch:
        patch.setattr(painter._concepts, "look", fail)
        stroke(painter, (0.5, 0.5))
    assert "&lt;memory&gt;" in painter._error.value
    assert painter.result is before


def test_wrong_arguments_are_errors_at_once(
    linear: Linear, found: units.UnitDissection, lively: object
) -> None:
    with pytest.raises(ValueError, match="no concept named 'rad'; did you mean 'red'"):
        UnitPainter(linear, found, 0, concept="rad")
    with pytest.raises(ValueError, match="no dissected layer named 'c'"):
        UnitPainter(linear, found, 0, concept="red", layer="c")
    with pytest.raises(ValueError, match="no image of the sample shows 'none'"):
        UnitPainter(linear, found, 0, concept="none", layer="a")
    with pytest.raises(ArtifactError, match="belongs to generator"):
        UnitPainter(lively, found, 0)
    painter = UnitPainter(linear, found, 0)
    with pytest.raises(ValueError, match=r"points must be a finite number in \[0, 1\]"):
        painter.paint([(1.5, 0.5)])
    with pytest.raises(ValueError, match="action must be one of"):
        painter.paint([(0.5, 0.5)], action="destroy")


def test_it_is_a_widget_with_a_picture_beside_it(
    painter: UnitPainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter.paint([(0.5, 0.5)])
    monkeypatch.setenv("LEFS_HEADLESS", "1")
    bundle = painter._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}
    assert 300 < Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).width <= 900
    assert "2 units of a for red, seed 3" in bundle["text/plain"]
    monkeypatch.delenv("LEFS_HEADLESS")
    assert len(painter._repr_mimebundle_()) == 3
    for name, widget in painter.controls.items():
        assert widget.tooltip, name


def test_a_generator_without_styles_can_be_painted_on() -> None:
    from test_progan import make

    grown = make()
    record = units.characterize(
        grown, range(4), segmenter=lambda x: (x.mean(1) > x.mean()).long(), quantile=0.1, progress=False
    )
    painter = UnitPainter(grown, record, 0, concept="label 1", layer="b8.conv1")
    painter.paint([(0.5, 0.5)], action="ablate")
    assert painter.error == ""
    assert not painter.result.equal(painter.image)
    assert len(painter.units) == min(8, CHANNELS + 2)
