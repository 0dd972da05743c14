"""What the figures of an evaluation show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from figure_inputs import METHODS, PARTS, made_up_matrix, made_up_report, made_up_tuning
from matplotlib.figure import Figure

from lefs import plotting
from lefs.evaluation import PartLeak
from lefs.plotting.style import MUTED


def panels(figure: Figure) -> list:
    return [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]


def test_each_method_is_a_curve_through_its_values_with_whiskers() -> None:
    report = made_up_report()
    figure = plotting.tradeoff_curves(report, emphasise=METHODS[3:5])
    assert [ax.get_title(loc="left") for ax in panels(figure)] == list(PARTS)
    ax = panels(figure)[1]
    curves = [line for line in ax.lines if len(line.get_xdata()) == 4]
    assert len(curves) == len(METHODS)
    rows = report.curve("skin", METHODS[4])
    np.testing.assert_allclose(curves[4].get_xdata(), [r.visible[0] for r in rows])
    np.testing.assert_allclose(curves[4].get_ydata(), [r.arrival[0] for r in rows])
    whiskers = [c for c in ax.collections if hasattr(c, "get_segments")]
    assert len(whiskers) == 2 * 2  # of those that are emphasised, both ways
    across = whiskers[2].get_segments()
    np.testing.assert_allclose([s[:, 0] for s in across], [r.visible[1:] for r in rows])


def test_what_leads_away_from_the_reference_lies_inside_the_axes() -> None:
    report = made_up_report()
    away = [replace(r, arrival=(-0.4, -0.5, -0.3)) if r.part == PARTS[0] else r for r in report.rows]
    for ax in panels(plotting.tradeoff_curves(replace(report, rows=tuple(away)))):
        assert ax.get_ylim()[0] < -0.4
    assert panels(plotting.tradeoff_curves(report))[0].get_ylim()[0] == -0.05


def test_no_two_methods_look_alike() -> None:
    looks = []
    figure = plotting.tradeoff_curves(made_up_report())
    (legend,) = [c for ax in figure.axes for c in ax.get_children() if type(c).__name__ == "Legend"]
    for handle in legend.legend_handles:
        looks.append((handle.get_color(), handle.get_linestyle(), handle.get_marker()))
    assert [t.get_text() for t in legend.texts] == list(METHODS)
    assert len(set(looks)) == len(looks)


def test_a_few_curves_are_in_colour_and_the_others_grey() -> None:
    """Thirteen colours in one plot cannot be told apart: those are shown that arrive furthest."""
    figure = plotting.tradeoff_curves(made_up_report())
    (legend,) = [c for ax in figure.axes for c in ax.get_children() if type(c).__name__ == "Legend"]
    colored = {h.get_label() for h in legend.legend_handles if h.get_color() != MUTED}
    report = made_up_report()
    within = {m: max(r.arrival[0] for r in report.curve("hair", m) if r.visible[0] <= 0.05) for m in METHODS}
    assert colored == set(sorted(METHODS, key=lambda m: -within[m])[:6])
    chosen = plotting.tradeoff_curves(report, emphasise=[METHODS[9]], parts=["hair"])
    assert [h.get_label() for h in chosen.legends[0].legend_handles if h.get_color() != MUTED] == [METHODS[9]]
    with pytest.raises(ValueError, match="emphasise: no method named 'mine'"):
        plotting.tradeoff_curves(report, emphasise=["mine"])


def test_one_part_and_some_methods() -> None:
    figure = plotting.tradeoff_curves(made_up_report(), parts=["hair"], methods=METHODS[:2], title="two")
    assert len(panels(figure)) == 1
    assert [t.get_text() for t in figure.legends[0].texts] == list(METHODS[:2])
    with pytest.raises(ValueError, match="parts: no part named 'hare'; did you mean 'hair'"):
        plotting.tradeoff_curves(made_up_report(), parts=["hare"])
    with pytest.raises(ValueError, match="methods: no method named 'mine'"):
        plotting.tradeoff_curves(made_up_report(), methods=["mine"])


def test_the_matrix_shows_shares_of_rows() -> None:
    found = made_up_matrix()
    figure = plotting.part_leak_matrix(found)
    (shown,) = [i.get_array() for ax in panels(figure) for i in ax.images]
    np.testing.assert_allclose(shown.sum(axis=1), 1)
    np.testing.assert_allclose(shown, found.matrix / found.matrix.sum(axis=1, keepdims=True))
    share = 1 - np.trace(found.matrix) / found.matrix.sum()
    assert found.interference == pytest.approx(share)
    middle, low, high = found.estimate()
    assert low < middle < high
    title = panels(figure)[0].get_title(loc="left")
    assert title == f"off the diagonal: {share:.0%} [{low:.0%}, {high:.0%}] of all change"


def test_a_part_that_nobody_saw_is_white() -> None:
    change = np.full((3, 2, 2), np.nan)
    change[:, 0, 0] = 5
    found = PartLeak(("a", "b"), change)
    assert found.interference == 0
    assert found.shares.tolist() == [[1, 0], [0, 0]]
    assert np.isnan(found.matrix[1]).all()
    plotting.part_leak_matrix(found)


def test_the_sweep_marks_what_was_chosen() -> None:
    tuning = made_up_tuning()
    figure = plotting.tuning_curve(tuning)
    (ax,) = panels(figure)
    assert "ρ = 0.1, ε = 4" in [t.get_text() for t in ax.texts]
    rings = [c for c in ax.collections if len(c.get_offsets()) == 1]
    np.testing.assert_allclose(rings[0].get_offsets()[0], [tuning.best.visible[0], tuning.best.arrival[0]])
