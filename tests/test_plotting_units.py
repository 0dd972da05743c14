"""Figures of units show what they are given, and refuse what they cannot show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from figure_inputs import pictures_in
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lefs import plotting
from lefs.evaluation import Estimate
from lefs.plotting.style import LINES
from lefs.units import Agreement, CausalEffect


def effect(method: str, units: int, ablated: float, inserted: float) -> CausalEffect:
    spread = np.array([-1.0, 0.0, 1.0])
    return CausalEffect("hat", "a", method, units, spread + 9, spread + ablated, spread + inserted, spread)


def rendered(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def test_the_active_area_is_bright_and_outlined() -> None:
    images = torch.full((2, 3, 16, 16), 0.5)
    active = torch.zeros(2, 16, 16, dtype=torch.bool)
    active[0, 4:12, 4:12] = True
    figure = plotting.unit_gallery(images, active, columns=2, row_labels=["a · 3"])
    first, second = pictures_in(figure)
    assert first[128, 128, 0] == 191
    assert second[128, 128, 0] == int(0.4 * 191)
    assert first[10, 10, 0] == int(0.4 * 191)
    outline = np.array(to_rgb(LINES[4])) * 255
    assert (np.abs(rendered(figure) - outline).max(axis=2) < 30).sum() > 50


def test_counts_are_written_into_their_cells() -> None:
    figure = plotting.concept_counts([[0, 3], [12, 1]], ["coarse", "fine"], ["hat", "shoe"])
    (ax,) = (a for a in figure.axes if a.get_images())
    assert {(t.get_position(), t.get_text()) for t in ax.texts} == {
        ((1, 0), "3"),
        ((0, 1), "12"),
        ((1, 1), "1"),
    }


def test_dose_curves_show_means_and_intervals() -> None:
    cells = [effect(m, k, 9 - k, 9 + k) for m in ("IoU", "random") for k in (4, 1, 2)]
    figure = plotting.dose_curves(cells)
    left, right = figure.axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [8, 7, 5])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [10, 11, 13])
    assert [t.get_text() for t in left.get_xticklabels()] == ["1", "2", "4"]
    whiskers = left.collections[0].get_segments()
    assert [tuple(w[:, 1]) for w in whiskers] == [
        e.estimate("ablated")[1:] for e in (cells[1], cells[2], cells[0])
    ]
    assert "hat" in left.get_ylabel()


def test_agreement_is_drawn_with_its_intervals() -> None:
    cells = [Agreement(la, p, Estimate(0.5, 0.2, 0.7), 9) for la in ("a", "b") for p in ("hat", "shoe")]
    figure = plotting.agreement_profile([*cells, Agreement("b", "glove", Estimate(*[float("nan")] * 3), 9)])
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["hat", "shoe"]
    assert ax.get_ylim()[0] <= 0


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="active must have shape"):
        plotting.unit_gallery(torch.zeros(1, 3, 8, 8), torch.zeros(2, 8, 8))
    with pytest.raises(TypeError, match="effects must be a non-empty list of CausalEffect"):
        plotting.dose_curves([])
    with pytest.raises(ValueError, match="no finite correlation"):
        plotting.agreement_profile([])
    with pytest.raises(ValueError, match="layers must be 1 strings"):
        plotting.concept_counts([[1, 2]], ["a", "b"], ["x", "y"])
