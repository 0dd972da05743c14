"""Figures show what they are given, in one style, and leave matplotlib as it was."""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable
from io import BytesIO
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from figure_inputs import (
    images_in,
    made_up_agreement_table,
    made_up_agreements,
    made_up_curves,
    made_up_doses,
    made_up_matrix,
    made_up_report,
    made_up_tuning,
    pictures_in,
)
from IPython.core.formatters import PNGFormatter
from IPython.core.pylabtools import print_figure
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from PIL import Image

from lefs import plotting
from lefs.catalog import Catalog
from lefs.evaluation import Locality
from lefs.generator import GeneratorId, Sampling
from lefs.plotting import style
from lefs.plotting.arrays import color_index, overlay, upscaled
from lefs.plotting.style import CHANGE_LIMIT, LINES
from lefs.query import QuerySettings
from lefs.stylespace import StyleLayer
from lefs.widgets import elements

LAYERS = (
    StyleLayer("b4.conv1", "conv", (4, 4), 10, slice(0, 10)),
    StyleLayer("b4.torgb", "rgb", (4, 4), 10, slice(10, 20)),
    StyleLayer("b8.conv0", "conv", (4, 4), 8, slice(20, 28)),
    StyleLayer("b8.conv1", "conv", (8, 8), 8, slice(28, 36)),
)
S, K = 36, 5
PARTS = ("background", "hair", "skin", "eyes")


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def images(random) -> torch.Tensor:
    return torch.from_numpy(random.uniform(-1, 1, (6, 3, 16, 16))).float()


@pytest.fixture
def membership(random) -> torch.Tensor:
    labels = torch.from_numpy(random.integers(0, K, (6, 8, 8)))
    return torch.nn.functional.one_hot(labels, K).movedim(-1, 1).float()


@pytest.fixture
def contributions(random) -> np.ndarray:
    shares = random.dirichlet(np.full(K, 0.3), S).T
    shares[:, 7] = 0
    return shares


@pytest.fixture
def catalog(contributions) -> Catalog:
    return Catalog(
        centers=torch.eye(K, 8),
        layer="b8.conv1",
        contributions=torch.from_numpy(contributions),
        sizes=torch.full((K,), 7),
        layers=LAYERS,
        parts={"hair": (0, 3), "skin": (1,), "cluster 2": (2,), "eyes": (4,)},
        generator=GeneratorId("0" * 64, "none"),
        sampling=Sampling((0, 1), 1.0, 0),
    )


@pytest.fixture
def table(random) -> list[Locality]:
    def cell(part: str, method: str, effect: float) -> Locality:
        values = effect * random.lognormal(size=(2, 20))
        return Locality(part, method, values[0], 0.1 * values[1], values[0] / values.sum(0))

    return [
        cell(p, m, e) for p in PARTS for m, e in (("sequential", 30.0), ("random", 4.0), ("global", 90.0))
    ]


@pytest.fixture
def figures(images, membership, contributions, catalog, table, random) -> dict[str, Callable[[], Figure]]:
    """Every public function, called as a notebook would."""
    change = random.uniform(0, 60, (6, 16, 16))
    edits = {"hair": images[3:], "skin": images[:3]}
    maps = {"hair": change[3:], "skin": change[:3]}
    q = QuerySettings(epsilon=2.0, coarse=1.0).query(catalog, "hair")
    counts = random.integers(1, 99, (K, 4))
    scores = {k: random.uniform(0.5, 1, 6) for k in (4, 8, 16)}
    soft = torch.from_numpy(random.dirichlet(np.full(K, 0.5), (6, 8, 8))).movedim(-1, 1).float()
    return {
        "image_grid": lambda: plotting.image_grid(images, columns=4, titles=list("abcdef"), title="six"),
        "image_rows": lambda: plotting.image_grid(images, columns=3, row_labels=["one", "a long row label"]),
        "membership_overlays": lambda: plotting.membership_overlays(
            images, membership, names=catalog.parts, columns=4
        ),
        "overlay_grid": lambda: plotting.overlay_grid(
            images[:2], {(la, k): membership[:2] for la in ("b4.conv1", "b8.conv1") for k in (5, 8)}
        ),
        "overlay_rows": lambda: plotting.overlay_grid(
            images, {"raw": membership, "standardised": membership}
        ),
        "stability_curve": lambda: plotting.stability_curve(scores, chosen=8),
        "contribution_heatmap": lambda: plotting.contribution_heatmap(contributions, title="b8.conv1"),
        "sum_to_one": lambda: plotting.sum_to_one(contributions, names=catalog.parts),
        "layer_profile": lambda: plotting.layer_profile(catalog, ["hair", "skin"]),
        "strongest_channels": lambda: plotting.strongest_channels(catalog, "hair", count=4),
        "confusion": lambda: plotting.confusion(counts, [f"{k}" for k in range(K)], PARTS),
        "edit_strip": lambda: plotting.edit_strip(images[0], images[1], images[2], change[0], title="hair"),
        "transfer_grid": lambda: plotting.transfer_grid(images[0], images[:3], edits, changes=maps),
        "filmstrip": lambda: plotting.filmstrip(
            images, np.linspace(0, 1, 6), label=r"$\lambda$", changes=change
        ),
        "query_profile": lambda: plotting.query_profile(q, catalog.contribution("hair"), LAYERS, epsilon=2),
        "locality_bars": lambda: plotting.locality_bars(table, title="200 pairs"),
        "comparison_strip": lambda: plotting.comparison_strip(
            {"local": images[0], "global": images[1]}, changes={"global": change[0]}
        ),
        "tradeoff_curves": lambda: plotting.tradeoff_curves(made_up_report()),
        "part_leak_matrix": lambda: plotting.part_leak_matrix(made_up_matrix()),
        "tuning_curve": lambda: plotting.tuning_curve(made_up_tuning()),
        "agreement_dots": lambda: plotting.agreement_dots(
            {"k-means": made_up_agreement_table(0), "NMF": made_up_agreement_table(1)}
        ),
        "factor_maps": lambda: plotting.factor_maps(images, soft, names=[f"factor {k}" for k in range(K)]),
        "soft_overlays": lambda: plotting.soft_overlays(images, {"k-means": membership, "NMF": soft}),
        "path_strips": lambda: plotting.path_strips(
            {"everywhere": images, "hair only": images}, [-3, -2, -1, 0, 1, 2], changes={"hair only": change}
        ),
        "contrast_curves": lambda: plotting.contrast_curves(made_up_curves()),
        "agreement_profile": lambda: plotting.agreement_profile(made_up_agreements()),
        "dose_curves": lambda: plotting.dose_curves(made_up_doses()),
        "concept_counts": lambda: plotting.concept_counts(counts, [f"b{k}.conv1" for k in range(K)], PARTS),
        "unit_gallery": lambda: plotting.unit_gallery(
            images, images.mean(dim=1) > 0, columns=3, row_labels=["b8.conv1 · 3", "b8.conv1 · 71"]
        ),
    }


EACH_FIGURE = [
    *sorted(set(plotting.__all__) - {"cluster_colors", "similarity_colors"}),
    "image_rows",
    "overlay_rows",
]


# -- what holds for every figure ----------------------------------------------------------------------
@pytest.mark.parametrize("name", EACH_FIGURE)
def test_is_a_figure_of_its_own_that_fits_its_page(name, figures):
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # glyphs that no font has, layouts that collapse
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", ".*deprecated.*")  # an older matplotlib, a newer pyparsing
        figure = figures[name]()
        png = print_figure(figure)  # what a notebook stores
    assert isinstance(figure, Figure)
    assert dict(mpl.rcParams) == before
    assert figure.canvas.manager is None, "known to pyplot"
    assert Image.open(BytesIO(png)).width <= 900, "wider than the text of a notebook"
    assert_fits(figure)


@pytest.mark.parametrize("font", ["DejaVu Sans Mono", "STIXGeneral"])
@pytest.mark.parametrize("name", EACH_FIGURE)
def test_fits_its_page_in_a_wide_and_in_a_narrow_font(name, font, figures, monkeypatch):
    """Both come with matplotlib, so that they are on every machine."""
    monkeypatch.setattr(style, "font_families", lambda: [font, "DejaVu Sans"])
    figure = figures[name]()
    assert_fits(figure)
    drawn = {text.get_family()[0] for text in figure.findobj(Text) if text.get_text()}
    assert drawn <= {font}


def assert_fits(figure: Figure) -> None:
    figure.draw_without_rendering()
    box, size, slack = figure.get_tightbbox(), figure.get_size_inches(), 0.03
    assert (box.min > -slack).all(), "cut off at the left or the bottom"
    assert (box.max < size + slack).all(), "cut off at the right or the top"


@pytest.mark.parametrize("name", EACH_FIGURE)
def test_figures_are_saved_for_print(name, figures):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        svg, pdf = (print_figure(figures[name](), fmt) for fmt in ("svg", "pdf"))
    assert svg.rstrip().endswith("</svg>")
    assert pdf.startswith(b"%PDF")


@pytest.mark.parametrize("name", ["confusion", "edit_strip", "query_profile", "tradeoff_curves"])
def test_the_same_data_give_the_same_picture(name, figures):
    one, two = (print_figure(figures[name]()) for _ in range(2))
    assert one == two


def test_pyplot_is_never_imported():
    code = "import sys, lefs.plotting, lefs.widgets; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


ONE_PANEL = {
    "stability_curve": lambda ax, c: plotting.stability_curve({4: [0.5, 0.6]}, ax=ax),
    "contribution_heatmap": lambda ax, c: plotting.contribution_heatmap(c.contributions, ax=ax),
    "sum_to_one": lambda ax, c: plotting.sum_to_one(c.contributions, ax=ax),
    "layer_profile": lambda ax, c: plotting.layer_profile(c, "hair", ax=ax),
    "confusion": lambda ax, c: plotting.confusion(np.eye(2), ["0", "1"], ["a", "b"], ax=ax),
    "part_leak_matrix": lambda ax, c: plotting.part_leak_matrix(made_up_matrix(), ax=ax),
    "concept_counts": lambda ax, c: plotting.concept_counts(np.eye(2), ["b4"] * 2, ["a", "b"], ax=ax),
    "strongest_channels": lambda ax, c: plotting.strongest_channels(c, "hair", ax=ax),
    "agreement_dots": lambda ax, c: plotting.agreement_dots({"one": made_up_agreement_table(0)}, ax=ax),
    "agreement_profile": lambda ax, c: plotting.agreement_profile(made_up_agreements(), ax=ax),
    "tuning_curve": lambda ax, c: plotting.tuning_curve(made_up_tuning(), ax=ax),
}


def test_every_figure_of_one_panel_takes_axes(figures):
    for name in set(plotting.__all__) & set(figures):
        panels = [ax for ax in figures[name]().axes if ax.get_label() != "<colorbar>" and ax.axison]
        takes = "ax" in inspect.signature(getattr(plotting, name)).parameters
        assert takes == (len(panels) == 1) == (name in ONE_PANEL), name


@pytest.mark.parametrize(("name", "call"), ONE_PANEL.items())
def test_one_panel_draws_where_it_is_told(name, call, catalog):
    mine = Figure()
    ax, other = mine.subplots(1, 2)
    before = len(mine.texts), len(mine.legends), mine.get_size_inches().tolist()
    assert call(ax, catalog) is ax
    assert ax.has_data()
    assert not other.has_data()
    assert (len(mine.texts), len(mine.legends), mine.get_size_inches().tolist()) == before, (
        "the figure is mine"
    )


def test_one_panel_may_lie_in_a_part_of_a_figure(catalog):
    whole = Figure()
    part = whole.subfigures(1, 2)[0]
    ax = plotting.sum_to_one(catalog.contributions, ax=part.add_subplot())
    assert ax.figure.figure is whole


def test_settings_that_somebody_has_changed_are_theirs(catalog):
    usual = plotting.layer_profile(catalog, "hair")
    with mpl.rc_context(
        {"font.size": 14, "font.family": ["STIXGeneral"], "figure.dpi": 60, "lines.linewidth": 4}
    ):
        found = plotting.layer_profile(catalog, "hair")
        assert mpl.rcParams["font.size"] == 14
    assert (found.dpi, usual.dpi) == (60, style.DPI)
    assert {text.get_family()[0] for text in found.findobj(Text) if text.get_text()} == {"STIXGeneral"}
    assert usual.axes[0].title.get_color() == found.axes[0].title.get_color()


def test_titles_of_several_panels_follow_settings_too():
    with mpl.rc_context({"figure.titlesize": 15, "figure.labelsize": 13, "legend.title_fontsize": 14}):
        curves = plotting.contrast_curves(made_up_curves(), title="three ways")
        tradeoff = plotting.tradeoff_curves(made_up_report(), title="thirteen methods")
    assert tradeoff.get_suptitle() == "thirteen methods"
    assert {text.get_size() for text in tradeoff.texts} == {15}
    assert {text.get_size() for text in curves.texts} == {13}
    assert curves.legends[0].get_title().get_size() == 14


def test_type_follows_font_size_in_pictures_and_panels(catalog):
    """As matplotlib's own does: twice as large, twice as large everywhere, and still on the page."""
    images, membership = torch.zeros(8, 3, 16, 16), torch.eye(4).reshape(1, 4, 2, 2).expand(8, 4, 2, 2)

    def figures():
        yield plotting.membership_overlays(images, membership, names=["a", "b", "c", "d"], title="parts")
        yield plotting.path_strips({"mean": images[:3]}, [-1, 0, 1], changes={"mean": np.zeros((3, 9, 9))})
        yield plotting.layer_profile(catalog, "hair")
        yield plotting.strongest_channels(catalog, "hair", count=2)

    usual = list(figures())
    with mpl.rc_context({"font.size": 2 * style._LOOK["font.size"]}):
        large = list(figures())
    for before, after in zip(usual, large, strict=True):
        written = [[t for t in f.findobj(Text) if t.get_text() and t.get_visible()] for f in (before, after)]
        words = [{t.get_text() for t in texts if t.get_text().strip("0123456789.")} for texts in written]
        assert words[0] <= words[1], "(but for ticks, of which fewer fit)"
        sizes = [np.mean([t.get_size() for t in texts]) for texts in written]
        assert sizes[1] > 1.8 * sizes[0]
        assert inside(after)


def inside(figure):
    """Whether all that is drawn lies on the page."""
    figure.draw_without_rendering()
    box, size = figure.get_tightbbox(), figure.get_size_inches()
    return bool((box.min > -0.03).all() and (box.max < size + 0.03).all())


def test_a_dark_style_leaves_the_paper_white(catalog):
    with mpl.rc_context({"figure.facecolor": "black", "text.color": "white", "axes.labelcolor": "white"}):
        found = plotting.sum_to_one(catalog.contributions)
    assert to_rgb(found.get_facecolor()) == (1, 1, 1)
    assert to_rgb(found.axes[0].xaxis.label.get_color()) == to_rgb(style.INK)


# -- colours ------------------------------------------------------------------------------------------
SIGHT = {
    "normal": np.eye(3),
    # Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
}


def oklab(colors: np.ndarray, sight: np.ndarray) -> np.ndarray:
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(sight).T, 0, 1)
    to_lms = [[0.41222, 0.53633, 0.05145], [0.2119, 0.6807, 0.1074], [0.0883, 0.28172, 0.62998]]
    to_lab = [[0.21045, 0.79362, -0.00407], [1.978, -2.42859, 0.45059], [0.0259, 0.78277, -0.80868]]
    return np.cbrt(seen @ np.transpose(to_lms)) @ np.transpose(to_lab)


@pytest.mark.parametrize("sight", SIGHT)
def test_cluster_colors_stay_apart_for_every_eye(sight):
    lab = oklab(plotting.cluster_colors(20), SIGHT[sight])
    neighbours = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    pairs = [np.linalg.norm(a - b) for a, b in combinations(lab[:16], 2)]
    assert neighbours.min() > 0.09
    assert min(pairs) > 0.07


@pytest.mark.parametrize("count", [1, 16, 24, 25, 100])
def test_a_cluster_keeps_its_color_whatever_the_count(count):
    colors = plotting.cluster_colors(count)
    assert colors.shape == (count, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    np.testing.assert_array_equal(colors, plotting.cluster_colors(120)[:count])
    assert len(np.unique(colors[:72].round(6), axis=0)) == min(count, 72)


# -- pictures -----------------------------------------------------------------------------------------
def test_pictures_are_enlarged_smoothly_and_keep_their_content(images):
    drawn = pictures_in(plotting.image_grid(images))[2]
    assert drawn.shape == (256, 256, 3)
    blocks = drawn.reshape(16, 16, 16, 16, 3).mean((1, 3))
    expected = (images[2].movedim(0, -1).numpy() + 1) * 127.5
    assert np.corrcoef(blocks.ravel(), expected.ravel())[0, 1] > 0.95


def test_large_pictures_are_drawn_as_they_are(random):
    pictures = random.integers(0, 256, (1, 300, 200, 3), dtype=np.uint8)
    assert upscaled(pictures) is pictures


def test_overlay_goes_from_the_picture_to_the_colors(images, membership):
    pictures = ((images.movedim(1, -1).numpy() + 1) * 127.5).round().astype(np.uint8)
    labels, colors = membership.argmax(1).numpy(), plotting.cluster_colors(K)
    np.testing.assert_array_equal(overlay(pictures, labels, colors, 0.0), upscaled(pictures))
    full = overlay(pictures, labels, colors, 1.0)
    np.testing.assert_array_equal(full[:, ::32, ::32], (255 * colors[labels]).round().astype(np.uint8))
    nothing = overlay(pictures, np.full_like(labels, -1), colors, 1.0)
    np.testing.assert_array_equal(nothing, upscaled(pictures))


def test_clusters_of_one_name_share_a_color(images, membership):
    names = ["hair", "skin", "hair", "eyes", "skin"]
    assert color_index(names).tolist() == [0, 1, 0, 2, 1]
    figure = plotting.membership_overlays(images, membership, names=names, opacity=1.0)
    drawn = pictures_in(figure)[len(images)][::32, ::32]
    expected = plotting.cluster_colors(3)[color_index(names)][membership[0].argmax(0)]
    np.testing.assert_array_equal(drawn, (255 * expected).round())
    assert sorted(t.get_text() for t in figure.texts) == ["eyes", "hair", "skin"]


def test_overlay_grid_has_a_column_a_layer_and_a_row_a_count(images, membership):
    clusterings = {("b8.conv1", 12): membership[:2], ("b4.conv1", 5): membership[:2]}
    figure = plotting.overlay_grid(images[:2], clusterings)
    texts = {t.get_text() for t in figure.texts}
    assert {"b4.conv1", "b8.conv1", "K = 5", "K = 12"} <= texts
    assert len(images_in(figure)) == 2 * 2 + 2 * 2  # the pictures once a layer, and the two clusterings given


def test_edit_strip_shows_the_change_in_delta_e(images, random):
    change = random.uniform(0, 25, (16, 16))
    figure = plotting.edit_strip(images[0], images[1], images[2], torch.from_numpy(change))
    np.testing.assert_array_equal(pictures_in(figure)[3], change)
    assert images_in(figure)[3].get_clim() == (0, CHANGE_LIMIT)
    assert "ΔE" in figure.axes[1].get_ylabel()
    titles = [t.get_text() for t in figure.texts]
    assert titles == ["target", "edit", "reference", "where it changed"]


def test_all_maps_of_change_are_on_one_scale(images):
    """A difference that nobody sees does not fill it, and figures compare with each other and with panels."""
    faint, strong = np.full((16, 16), 0.5), np.full((16, 16), 99.0)
    figures = [
        plotting.edit_strip(*images[:3], faint),
        plotting.comparison_strip({"a": images[0]}, changes={"a": strong}),
        plotting.filmstrip(images[:1], [1.0], label="x", changes=strong[None]),
        plotting.path_strips({"a": images[:1]}, [1.0], changes={"a": faint[None]}),
        plotting.transfer_grid(images[0], images[:1], {"a": images[:1]}, changes={"a": strong[None]}),
    ]
    limits = {
        shown.get_clim()
        for figure in figures
        for shown in images_in(figure)
        if np.ndim(shown.get_array()) == 2 and shown.get_array().shape == (16, 16)
    }
    assert limits == {(0, CHANGE_LIMIT)}
    assert elements.CHANGE_LIMIT == CHANGE_LIMIT


def test_a_long_title_fits_the_page(images):
    title = "a title that says everything there is to say about one picture, " * 3
    figure = plotting.image_grid(images[:1], title=title)
    assert figure.get_size_inches()[0] <= 9
    assert figure.get_tightbbox().x1 <= figure.get_size_inches()[0] + 0.03


def test_transfer_grid_has_parts_by_references(images, random):
    edits = {"hair": images[:4], "skin": images[2:]}
    plain = plotting.transfer_grid(images[0], images[:4], edits)
    assert len(images_in(plain)) == 1 + 4 + 2 * 4
    maps = {part: random.uniform(0, 9, (4, 16, 16)) for part in edits}
    full = plotting.transfer_grid(images[0], images[:4], edits, changes=maps)
    assert len(images_in(full)) == 1 + 4 + 2 * 2 * 4
    assert len(full.axes) == 1 + 1, "the pictures and the colour bar"
    assert {"hair", "skin", "target", "reference 4"} <= {t.get_text() for t in full.texts}


def test_filmstrip_labels_its_values(images):
    figure = plotting.filmstrip(images[:3], [0.0, 0.5, 1.0], label=r"strength $\lambda$")
    assert [t.get_text() for t in figure.texts] == ["0", "0.5", "1", r"strength $\lambda$"]


# -- charts -------------------------------------------------------------------------------------------
def test_heatmap_only_reorders_channels(contributions):
    drawn = np.asarray(plotting.contribution_heatmap(contributions).axes[0].images[0].get_array())
    np.testing.assert_allclose(drawn.sum(1), contributions.sum(1))
    assert sorted(map(tuple, drawn.T)) == sorted(map(tuple, contributions.T))
    owners = drawn.argmax(0)[drawn.max(0) > 0]
    assert (np.diff(owners) >= 0).all(), "a staircase: channels by their strongest cluster"
    assert drawn[:, -1].sum() == 0, "dead channels last"


def test_a_heatmap_of_many_clusters_labels_some_and_says_its_scale():
    shares = np.full((96, 10), 0.5 / 95)
    shares[7] = 0.5
    ax = plotting.contribution_heatmap(shares).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels() if t.get_text()] == [str(k) for k in range(0, 96, 3)]
    assert ax.images[0].get_clim() == (0, 0.5)
    assert ax.get_figure().get_figheight() < 10


def test_sum_to_one_states_the_worst_channel_and_fills_the_unit(contributions):
    contributions[:, 3] *= 1.25
    figure = plotting.sum_to_one(contributions)
    assert figure.axes[0].get_title(loc="left") == "max |Σ M − 1| = 2.5e-01 over 35 live channels; 1 dead"
    stairs = [p.get_data() for p in figure.axes[0].patches if isinstance(p, StepPatch)]
    tops = np.max([s.values for s in stairs], axis=0)
    assert sorted(tops.tolist()) == pytest.approx(sorted(contributions.sum(0).tolist()))


def test_styles_of_no_layer_are_no_dead_channels(catalog):
    """As the four numbers that place a StyleGAN3's input, at the end of its styles."""
    more = np.concatenate([catalog.contributions.numpy(), np.zeros((K, 4))], axis=1)
    titles = [
        plotting.sum_to_one(shares, layers=layers).axes[0].get_title(loc="left")
        for shares, layers in ((catalog.contributions, None), (more, LAYERS), (more, None))
    ]
    assert titles[0] == titles[1]
    assert titles[2].endswith(f"{int(titles[0].split()[-2]) + 4} dead")


def test_layer_profile_draws_maximum_and_mean(catalog):
    ax = plotting.layer_profile(catalog, "hair").axes[0]
    m = catalog.contribution("hair").numpy()
    top, mean = ax.lines[:2]
    np.testing.assert_array_equal(top.get_ydata(), [m[la.span].max() for la in LAYERS])
    np.testing.assert_array_equal(mean.get_ydata(), [m[la.span].mean() for la in LAYERS])
    assert [t.get_text() for t in ax.get_xticklabels()] == [la.name for la in LAYERS]
    assert "hair" in [t.get_text() for t in ax.get_legend().texts]


def test_strongest_channels_are_the_strongest(catalog):
    ax = plotting.strongest_channels(catalog, "skin", count=3).axes[0]
    m = catalog.contribution("skin").numpy()
    drawn = np.asarray(ax.images[0].get_array())
    for row, layer in enumerate(LAYERS):
        np.testing.assert_array_equal(drawn[row], np.sort(m[layer.span])[::-1][:3])
    assert ax.texts[0].get_text() == str(m[:10].argmax())


def test_of_many_clusters_the_confusion_shows_those_that_hold_most_of_each_part(random):
    counts = random.integers(1, 100, (40, 3))
    counts[7, 2] = counts[8, 0] = 10_000
    counts[:, 1] = 0
    names = [f"{k}" for k in range(40)]
    ax = plotting.confusion(counts, names, ["x", "y", "z"], most=6).axes[0]
    shown = {int(label.get_text()) for label in ax.get_yticklabels()}
    first, last = np.argsort(-counts[:, 0])[:6], np.argsort(-counts[:, 2])[:6]
    assert len(shown) == 6
    assert {7, 8} <= shown <= {*first.tolist(), *last.tolist()}
    assert ax.get_ylabel() == "6 of the 40 clusters"
    everything = plotting.confusion(counts, names, ["x", "y", "z"], most=99).axes[0]
    assert len(everything.get_yticklabels()) == 40
    assert everything.get_ylabel() == "cluster"


def test_a_figure_shows_itself_without_pyplot():
    formatter = PNGFormatter()
    formatter.enabled = True  # as in a kernel; nothing is registered for matplotlib's figures
    shown = formatter(plotting.image_grid(torch.zeros(2, 3, 16, 16)))
    assert shown.startswith(b"\x89PNG")


def test_many_clusters_without_names_are_counted_instead_of_listed():
    membership = torch.eye(64).reshape(1, 64, 8, 8)
    image = torch.zeros(1, 3, 16, 16)

    def texts(figure: Figure) -> str:
        return " ".join(t.get_text() for t in figure.texts)

    assert "64 clusters" in texts(plotting.membership_overlays(image, membership))
    assert "64 of the 65 clusters" in texts(
        plotting.membership_overlays(image, torch.cat([membership, torch.zeros(1, 1, 8, 8)], dim=1))
    )
    assert texts(plotting.membership_overlays(image, membership, title="mine")) == "mine"
    named = plotting.membership_overlays(image, membership, names=["a", "b"] * 32)
    assert texts(named) == "a b"


def test_related_clusters_have_related_colours(random):
    """Clusters on a line have colours in that order; equal ones have one colour; hundreds have one each."""
    line = np.linspace(0, 1, 9)[:, None] * random.normal(size=6) + random.normal(size=6)
    order = np.argsort(random.uniform(size=9))
    red, green, blue = plotting.similarity_colors(torch.from_numpy(line[order])).T
    steps = np.diff(red[np.argsort(order)])
    assert np.allclose(np.abs(steps), 0.8 / 9)
    assert len(set(np.sign(steps))) == 1
    assert np.allclose(green, 0.52)
    assert np.allclose(blue, 0.52)
    many = plotting.similarity_colors(torch.from_numpy(random.normal(size=(300, 20))))
    assert many.shape == (300, 3)
    assert 0.12 <= many.min() <= many.max() <= 0.92
    assert len(np.unique(many, axis=0)) == 300
    assert np.allclose(plotting.similarity_colors(np.ones((4, 2))), 0.52)
    assert plotting.similarity_colors(np.eye(1)).shape == (1, 3)
    for bad in (np.ones(3), np.full((2, 2), np.nan), np.ones((0, 3))):
        with pytest.raises(ValueError, match="centers"):
            plotting.similarity_colors(bad)


def test_overlays_in_given_colours():
    membership = torch.eye(4).reshape(1, 4, 2, 2)
    image, colors = torch.zeros(1, 3, 64, 64), np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1.0]])
    figure = plotting.membership_overlays(image, membership, colors=colors, opacity=1.0)
    shown = pictures_in(figure)[1]
    seen = shown[shown.shape[0] // 4 :: shown.shape[0] // 2, shown.shape[1] // 4 :: shown.shape[1] // 2]
    assert np.array_equal(seen.reshape(4, 3), 255 * colors)
    by_part = plotting.membership_overlays(
        image, membership, names=list("aabb"), colors=colors[:2], opacity=1
    )
    shown = pictures_in(by_part)[1]
    assert np.array_equal(np.unique(shown.reshape(-1, 3), axis=0), [[0, 255, 0], [255, 0, 0]])
    for bad in (colors[:3], 255 * colors, colors[:, :2]):
        with pytest.raises(ValueError, match=r"colors must be 4 colours, shape \(4, 3\), in \[0, 1\]"):
            plotting.membership_overlays(image, membership, colors=bad)


def test_confusion_divides_rows_and_keeps_labels_with_them(random):
    counts = random.integers(0, 50, (4, 3)) + 1
    ax = plotting.confusion(counts, ["a", "b", "c", "d"], ["x", "y", "z"]).axes[0]
    drawn = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(drawn.sum(1), 1)
    order = ["abcd".index(t.get_text()) for t in ax.get_yticklabels()]
    np.testing.assert_allclose(drawn, (counts / counts.sum(1, keepdims=True))[order])


def test_stability_draws_every_pair_and_the_mean():
    ax = plotting.stability_curve({8: [0.5, 0.7], 4: [0.9, 0.8, 1.0]}, chosen=4).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[4, 0.9], [8, 0.6]])
    dots = np.concatenate([c.get_offsets() for c in ax.collections])
    assert sorted(dots[:, 1]) == [0.5, 0.7, 0.8, 0.9, 1.0]


@pytest.mark.parametrize("epsilon", [None, 2.0, [1.0, 0.0, 2.0, 3.0]])
def test_query_profile_bars_are_the_budget_spent(epsilon, catalog):
    q, m = (
        QuerySettings(epsilon=2.0, coarse=1.0).query(catalog, "hair").double().numpy(),
        catalog.contribution("hair").numpy(),
    )
    left, right = plotting.query_profile(q, m, LAYERS, epsilon=epsilon).axes
    widths = [bar.get_width() for bar in right.patches]
    np.testing.assert_allclose(widths, [(q * (1 - m))[la.span].sum() for la in LAYERS])
    marks = [line.get_xdata()[0] for line in right.lines]
    assert marks == ([] if epsilon is None else np.broadcast_to(epsilon, 4).tolist())
    assert all(mark <= right.get_xlim()[1] for mark in marks)  # (in the picture, however little is spent)
    moved = [f"{(q[la.span] > 0).sum()} of {la.channels}" for la in LAYERS]
    assert [t.get_text() for t in left.texts] == moved


def test_locality_is_drawn_at_its_means(table):
    effect, leak = plotting.locality_bars(table).axes
    for ax, quantity in ((effect, "effect"), (leak, "leak")):
        drawn = [x for c in ax.collections if isinstance(c, PathCollection) for x in c.get_offsets()[:, 0]]
        assert sorted(drawn) == pytest.approx(sorted(getattr(cell, quantity).mean() for cell in table))
        assert ax.get_xscale() == "log"
    assert effect.get_xlim() == leak.get_xlim()


def test_unknown_part_lists_the_parts(catalog):
    with pytest.raises(ValueError, match=r"did you mean 'hair'.*Choose from: hair, skin"):
        plotting.strongest_channels(catalog, "hiar")


def test_line_colors_are_read_on_white_paper():
    luminance = [np.dot(to_rgb(c), (0.299, 0.587, 0.114)) for c in LINES]
    assert max(luminance) < 0.72
