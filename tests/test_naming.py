"""Names of parts, which anybody may have typed: kept in one form, bounded, and shown as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
import torch
from helpers import made_up_catalog, tamper
from matplotlib.text import Text

import lefs
from lefs import ArtifactError, Catalog, Change, QuerySettings, Recipe, StyleGAN2
from lefs.evaluation import Curve
from lefs.naming import LONGEST_NAME, part_name
from lefs.plotting import contrast_curves, membership_overlays
from lefs.widgets import CatalogBrowser, EditStudio

FORMULA, MARKUP = r"a$^$b \frac{ $\sigma$", "<img src=x onerror=alert(1)>"


@pytest.fixture
def catalog(lively: StyleGAN2) -> Catalog:
    return made_up_catalog(torch.rand(4, lively.num_styles), lively)


def test_names_are_kept_in_one_form(catalog: Catalog) -> None:
    composed, apart = "frisur é", " frisur e\u0301\n"
    assert part_name("new", apart) == composed
    renamed = catalog.rename("cluster 0", apart)
    assert renamed.clusters(apart) == renamed.clusters(composed) == (0,)
    assert renamed.part_digest(apart) == renamed.part_digest(composed)
    assert renamed.rename(apart, "hair").parts["hair"] == (0,)
    assert catalog.named([apart, composed, "b", "c"]).parts[composed] == (0, 1)
    assert renamed.merge([apart, "cluster 1"], apart).parts[composed] == (0, 1)
    assert "cluster 0" in renamed.split(apart).parts
    assert Change(apart, 1).part == composed
    with pytest.raises(ValueError, match="there is a part 'frisur é' already"):
        renamed.rename("cluster 1", apart)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " \t",
        "a\nb",
        "a\x1b[2J",
        "\u202eab",
        "zero\u200bwidth",
        "\ud800",
        "a" * (LONGEST_NAME + 1),
        None,
        3,
    ],
)
def test_what_is_no_name_is_refused_wherever_names_enter(name: str, catalog: Catalog, tmp_path: Path) -> None:
    for give in (
        lambda: catalog.rename("cluster 0", name),
        lambda: catalog.merge(["cluster 0", "cluster 1"], name),
        lambda: catalog.named([name, "b", "c", "d"]),
    ):
        with pytest.raises(ValueError, match="printable text that is not blank, of at most 100") as caught:
            give()
        assert len(str(caught.value)) < 400
    if isinstance(name, str) and name != "\ud800":
        file = catalog.save(tmp_path) / "catalog.safetensors"
        tamper(file, parts={name: [0], "b": [1, 2, 3]})
        with pytest.raises(ArtifactError, match="not blank"):
            Catalog.load(tmp_path)


def test_figures_show_names_as_they_are(catalog: Catalog, lively: StyleGAN2) -> None:
    steps = np.array([[1.0, 2.0], [2.0, 40.0], [3.0, 600.0]])
    curves = contrast_curves([Curve(FORMULA, FORMULA, (0.5, 1.0), steps, steps / 9)], title=FORMULA)
    styles = lively.sample([1])
    membership = catalog.rename("cluster 0", FORMULA).membership(lively, styles)
    names = catalog.rename("cluster 0", FORMULA).parts
    overlays = membership_overlays(lively.synthesize(styles), membership, names=names)
    for figure in (curves, overlays):
        figure.draw_without_rendering()  # (as a formula, it could not be drawn)
        said = [text for text in figure.findobj(Text) if FORMULA in text.get_text()]
        assert said
        assert not any(text.get_parse_math() for text in said)
    ticks = [label.get_text() for label in curves.axes[0].get_yticklabels()]
    assert {"1", "10", "100"} <= {*ticks}


def texts_of(widget: ipywidgets.Widget) -> Iterator[str]:
    if isinstance(widget, ipywidgets.HTML):
        yield widget.value
    for child in getattr(widget, "children", ()):
        yield from texts_of(child)


def test_panels_show_names_as_they_are(catalog: Catalog, lively: StyleGAN2, tmp_path: Path) -> None:
    named = catalog.rename("cluster 0", MARKUP).rename("cluster 1", FORMULA)
    settings = QuerySettings(rho=0.0, epsilon=40.0, coarse=1.0)
    changes = tuple(Change(part, 2, settings=settings) for part in (MARKUP, FORMULA))
    studio = EditStudio(lively, named, Recipe(1, changes), folder=tmp_path)
    browser = CatalogBrowser(lively, named, range(2), folder=tmp_path / "catalog")
    browser.controls["name 2"].value = FORMULA
    assert lefs.Catalog.load(tmp_path / "catalog").parts[FORMULA] == (1, 2)
    for panel in (studio, browser):
        panel.figure().draw_without_rendering()
        assert not any("<img" in text for text in texts_of(panel._root))
    assert any("&lt;img" in text for text in texts_of(studio._root))
