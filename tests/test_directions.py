"""Directions against NumPy, scikit-learn and explicit weights; local walks where the parts are known."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from figure_inputs import images_in
from generator_of_strips import EACH, STRIPS, StripGenerator
from helpers import random_network, tamper
from sklearn.decomposition import PCA
from torch import Tensor

import lefs
from lefs import ArtifactError, Catalog, StyleGAN2, dissect
from lefs.directions import (
    RANGES,
    Direction,
    Directions,
    closed_form_directions,
    layer_range,
    mix,
    move,
    principal_directions,
    style_mask,
    style_matrix,
    walk,
)
from lefs.evaluation import Curve, contrast, contrast_table, equal_effect
from lefs.evaluation.methods import AMOUNTS
from lefs.generator import Generator
from lefs.plotting import contrast_curves, path_strips
from lefs.widgets import DirectionWalker

FIXTURES = Path(__file__).parent / "fixtures"
FAMILIES = {
    "StyleGAN": ("genforce/stylegan_conditional.pth", 1),
    "StyleGAN2": ("nvlabs_stylegan2/ada_skip_conditional.pkl", 2),
    "StyleGAN3": ("stylegan3/t_custom.pkl", None),
}


@pytest.fixture(scope="module")
def deep() -> StyleGAN2:
    """A lively one of 32 x 32, which has every range of layers."""
    return random_network(seed=4, resolution=32)


@pytest.fixture(scope="module")
def disjoint() -> StripGenerator:
    return StripGenerator()


@pytest.fixture(scope="module")
def strips(disjoint: StripGenerator) -> Catalog:
    """The catalog of the disjoint generator, its parts named after the strips."""
    catalog = dissect(disjoint, range(4), clusters=STRIPS, progress=False)
    owner = catalog.contributions[:, :STRIPS].argmax(dim=0).tolist()  # the cluster of each strip
    return catalog.named([f"strip {owner.index(k)}" for k in range(STRIPS)])


def w_of(generator: Generator, seeds: range) -> np.ndarray:
    return generator.map(generator.latents(seeds))[:, 0].double().numpy()


def explicit_weights(generator: StyleGAN2, names: tuple[str, ...]) -> np.ndarray:
    """The affine weights as the layers hold them, with their equalised learning rate."""
    state = generator.state_dict()
    rows = [state[f"synthesis.{n}.affine.weight"].double().numpy() for n in names]
    return np.concatenate(rows) / math.sqrt(generator.w_dim)


def same_up_to_sign(found: Tensor, expected: np.ndarray, *, atol: float) -> None:
    signs = np.sign((found.numpy() * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, signs * expected, atol=atol)


# -- the map from w to the styles --------------------------------------------------------------------------
@pytest.mark.parametrize("family", FAMILIES)
def test_styles_are_affine_in_w(family: str) -> None:
    file, label = FAMILIES[family]
    generator = lefs.load(FIXTURES / file, label=label)
    matrix = style_matrix(generator)
    assert matrix.shape == (generator.num_styles, generator.w_dim)
    w = generator.map(generator.latents([1, 2]))
    moved = generator.styles(w[:1]) + (w[1, 0] - w[0, 0]) @ matrix.t()
    torch.testing.assert_close(moved, generator.styles(w[1:]), atol=1e-5, rtol=1e-4)


def test_the_matrix_holds_the_affine_weights(lively: StyleGAN2) -> None:
    names = tuple(la.name for la in lively.layers)
    np.testing.assert_allclose(style_matrix(lively), explicit_weights(lively, names), atol=1e-7)


# -- ranges of layers --------------------------------------------------------------------------------------
def test_ranges_divide_the_layers(deep: StyleGAN2, portraits: Generator) -> None:
    for generator in (deep, portraits):
        names = [n for r in ("coarse", "middle", "fine") for n in layer_range(generator, r)]
        assert names == [la.name for la in generator.layers] == list(layer_range(generator))
        masks = [style_mask(generator, r) for r in ("coarse", "middle", "fine")]
        assert torch.equal(sum(m.int() for m in masks), torch.ones(generator.num_styles, dtype=torch.int32))


@pytest.mark.parametrize(("side", "limits"), [(16, (4, 8)), (64, (8, 16)), (128, (8, 32)), (1024, (8, 32))])
def test_ranges_end_where_the_paper_has_them_or_sooner(
    side: int, limits: tuple[int, int], tiny: StyleGAN2, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = [2**k for k in range(2, side.bit_length())]
    table = tuple(lefs.StyleLayer(f"b{s}", "conv", (s, s), 1, slice(i, i + 1)) for i, s in enumerate(sides))
    monkeypatch.setattr(tiny, "layers", table)
    monkeypatch.setattr(tiny, "size", (side, side))
    assert layer_range(tiny, "coarse")[-1] == f"b{limits[0]}"
    assert layer_range(tiny, "middle")[-1] == f"b{limits[1]}"
    assert layer_range(tiny, "fine")[-1] == f"b{side}"


def test_what_lies_outside_all_layers_is_coarse() -> None:
    generator = lefs.load(FIXTURES / FAMILIES["StyleGAN3"][0])
    extras = torch.arange(generator.num_styles) >= generator.num_styles - generator.extra_styles
    assert bool(style_mask(generator, "all").all())
    assert bool(style_mask(generator, "coarse")[extras].all())
    named = style_mask(generator, [la.name for la in generator.layers])
    assert torch.equal(named, ~extras)
    for name in ("all", "coarse"):
        assert torch.equal(style_mask(generator, [name]), style_mask(generator, name)), "alone in a list"


def test_layers_may_come_from_an_iterator(deep: StyleGAN2, found: Directions) -> None:
    names = ["b8.conv1", "b8.torgb"]
    assert torch.equal(style_mask(deep, iter(names)), style_mask(deep, names))
    for made in (principal_directions(deep, range(20), layers=iter(names)),
                 closed_form_directions(deep, seeds=range(20), layers=iter(names))):  # fmt: skip
        assert made.layers == tuple(names)
    assert found[0].within(deep, iter(names)).layers == tuple(names)


def test_shifts_go_with_their_scales() -> None:
    generator = lefs.load(FIXTURES / FAMILIES["StyleGAN"][0], label=1)
    layer = generator.layers[2]
    mask = style_mask(generator, layer.name)
    assert layer.shift is not None
    assert bool(mask[layer.span].all())
    assert bool(mask[layer.shift].all())
    assert int(mask.sum()) == 2 * layer.channels


def test_mixing_all_layers_is_the_reference(deep: StyleGAN2) -> None:
    target, reference = deep.sample_styles([1, 2]), deep.sample_styles([3, 4])
    assert torch.equal(mix(deep, target, reference, layers="all"), reference)
    mixed = target
    for name in ("coarse", "middle", "fine"):
        mixed = mix(deep, mixed, reference, layers=name)
    assert torch.equal(mixed, reference)
    assert mix(deep, target, reference[:1], layers="fine").shape == target.shape


@pytest.mark.parametrize(
    ("layers", "ws"), [("coarse", slice(0, 2)), ("middle", slice(2, 4)), ("fine", slice(4, 8))]
)
def test_mixing_is_what_exchanging_w_does(deep: StyleGAN2, layers: str, ws: slice) -> None:
    """The official scripts exchange w vectors, two for each resolution (4 | 8 | 16, 32)."""
    target, reference = (deep.map(deep.latents([s])) for s in (1, 2))
    exchanged = target.clone()
    exchanged[:, ws] = reference[:, ws]
    mixed = mix(deep, deep.styles(target), deep.styles(reference), layers=layers)
    torch.testing.assert_close(mixed, deep.styles(exchanged))


# -- principal directions ----------------------------------------------------------------------------------
def test_principal_directions_are_those_of_numpy_and_sklearn(lively: StyleGAN2) -> None:
    seeds = range(1500)  # more than one batch
    found = principal_directions(lively, seeds, count=14)
    w = w_of(lively, seeds)
    _, singular, rows = np.linalg.svd(w - w.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.deviations, singular / np.sqrt(len(w) - 1), rtol=1e-6)
    same_up_to_sign(found.latents, rows, atol=1e-6)
    pca = PCA(svd_solver="full").fit(w)
    np.testing.assert_allclose(found.explained, pca.explained_variance_ratio_, rtol=1e-6)
    same_up_to_sign(found.latents, pca.components_, atol=1e-6)
    assert found.latents.gather(1, found.latents.abs().argmax(dim=1, keepdim=True)).min() > 0


def test_the_covariance_keeps_its_digits_far_from_the_origin(disjoint: StripGenerator) -> None:
    far = StripGenerator()
    original = far.mapping.forward
    far.mapping.forward = lambda z, labels: original(z, labels) + 300  # type: ignore[method-assign]
    near, moved = (principal_directions(g, range(200), count=6) for g in (disjoint, far))
    torch.testing.assert_close(near.deviations, moved.deviations, rtol=1e-4, atol=0)


# -- closed-form directions --------------------------------------------------------------------------------
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("layers", ["all", "middle", ("b8.conv1", "b32.torgb")])
def test_closed_form_directions_are_those_of_the_explicit_weights(
    deep: StyleGAN2, layers: str | tuple[str, ...], normalize: bool
) -> None:
    found = closed_form_directions(deep, count=5, layers=layers, normalize=normalize, seeds=range(300))
    weights = explicit_weights(deep, layer_range(deep, layers))
    if normalize:
        weights = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    values, columns = np.linalg.eigh(weights.T @ weights)
    same_up_to_sign(found.latents, columns.T[::-1][:5], atol=1e-4)
    np.testing.assert_allclose(found.explained, (values[::-1] / values.sum())[:5], rtol=1e-5)
    spread = (w_of(deep, range(300)) @ found.latents.numpy().T).std(axis=0, ddof=1)
    np.testing.assert_allclose(found.deviations, spread, rtol=1e-6)


def test_the_first_closed_form_direction_moves_styles_most(deep: StyleGAN2) -> None:
    first = closed_form_directions(deep, count=1, layers="coarse", seeds=range(10))[0]
    others = torch.nn.functional.normalize(torch.randn(500, deep.w_dim, generator=torch.Generator()), dim=1)
    matrix = style_matrix(deep)[style_mask(deep, "coarse")]
    assert float(first.styles.norm()) >= float((others @ matrix.t()).norm(dim=1).max())
    assert not bool(first.styles[~style_mask(deep, "coarse")].any())


def test_the_same_arguments_give_the_same_bits(lively: StyleGAN2) -> None:
    for find in (lambda: principal_directions(lively, range(50)), lambda: closed_form_directions(lively)):
        one, two = find(), find()
        assert all(torch.equal(getattr(one, f), getattr(two, f)) for f in ("latents", "styles", "deviations"))


# -- moving ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def found(deep: StyleGAN2) -> Directions:
    return principal_directions(deep, range(200), count=4)


def test_moving_styles_is_moving_w(deep: StyleGAN2, found: Directions) -> None:
    w = deep.map(deep.latents([7]))
    moved = move(deep.styles(w), found[1], -2.5)
    v = found.latents[1].float() * -2.5 * float(found.deviations[1])
    torch.testing.assert_close(moved, deep.styles(w + v), atol=1e-5, rtol=1e-4)


def test_moving_in_some_layers_is_moving_their_w(deep: StyleGAN2) -> None:
    direction = principal_directions(deep, range(100), count=1, layers="middle")
    w = deep.map(deep.latents([7]))
    v = direction.latents[0].float() * 2 * float(direction.deviations[0])
    shifted = w.clone()
    shifted[:, 2:4] += v
    moved = move(deep.styles(w), direction[0], 2.0)
    torch.testing.assert_close(moved, deep.styles(shifted), atol=1e-5, rtol=1e-4)
    everywhere = principal_directions(deep, range(100), count=1)[0]
    within = everywhere.within(deep, "middle")
    assert torch.equal(within.styles, direction[0].styles)
    assert within.layers == layer_range(deep, "middle")


def test_no_query_leaves_the_target_and_a_full_one_is_the_global_move(
    deep: StyleGAN2, found: Directions
) -> None:
    styles = deep.sample_styles([1, 2, 3]).clone()
    styles[0, :2] = torch.tensor([-0.0, 0.0])
    zeros, ones = torch.zeros(deep.num_styles), torch.ones(deep.num_styles)
    for still in (move(styles, found[0], 3.0, q=zeros), move(styles, found[0], 0.0)):
        assert torch.equal(still.view(torch.int32), styles.view(torch.int32))
    everywhere = move(styles, found[0], 3.0)
    assert torch.equal(move(styles, found[0], 3.0, q=ones), everywhere)
    assert not torch.equal(everywhere, styles)
    half = move(styles, found[0], 3.0, q=ones / 2)
    torch.testing.assert_close(half, (styles + everywhere) / 2)


def test_a_walk_is_one_move_after_the_other(deep: StyleGAN2, found: Directions) -> None:
    styles, q = deep.sample_styles([5]), torch.rand(deep.num_styles, generator=torch.Generator())
    path = walk(styles, found[2], [-1, 0, 2.5], q=q)
    assert torch.equal(path[1:2], styles)
    for step, amount in zip(path, (-1, 0, 2.5), strict=True):
        assert torch.equal(step[None], move(styles, found[2], amount, q=q))
    several = move(styles.expand(2, -1), found[2], [1.0, 2.0])
    for given in ([1.0, 2.0], np.array([1.0, 2.0]), torch.tensor([1.0, 2.0])):
        assert torch.equal(several, walk(styles, found[2], given))  # type: ignore[arg-type]


def test_a_walk_through_a_query_leaks_nothing_where_parts_are_disjoint(
    disjoint: StripGenerator, strips: Catalog
) -> None:
    direction = principal_directions(disjoint, range(100), count=1)[0]
    styles, amounts = disjoint.sample_styles([3]), [-3.0, 1.0, 6.0]
    q = lefs.QuerySettings(rho=0.1, epsilon=1.0, coarse=1, rgb=1).query(strips, "strip 2")
    assert torch.equal(q > 0, torch.arange(2 * STRIPS * EACH) % STRIPS == 2)
    before = disjoint.synthesize(styles)
    local, everywhere = (disjoint.synthesize(walk(styles, direction, amounts, q=x)) for x in (q, None))
    inside = disjoint.strip_masks(1)[:, 2:3]
    assert torch.equal(local * ~inside, (before * ~inside).expand_as(local))
    torch.testing.assert_close(local * inside, everywhere * inside)
    assert float(((everywhere - before) * ~inside).abs().amax(dim=(1, 2, 3)).min()) > 0
    assert float(((local - before) * inside).abs().amax(dim=(1, 2, 3)).min()) > 0


# -- three methods -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def contrasted(disjoint: StripGenerator, strips: Catalog) -> list[Curve]:
    directions = principal_directions(disjoint, range(100), count=3)
    settings = lefs.QuerySettings(rho=0.1, epsilon=1.0, coarse=1, rgb=1)
    return contrast(
        disjoint,
        strips,
        directions,
        range(20),
        parts=["strip 0", "strip 2"],
        settings=settings,
        progress=False,
    )


def test_only_the_global_path_leaks_where_parts_are_disjoint(contrasted: list[Curve]) -> None:
    assert [(r.part, r.method) for r in contrasted] == [
        (p, m) for p in ("strip 0", "strip 2") for m in AMOUNTS
    ]
    for curve in contrasted:
        assert curve.effect.shape == curve.leak.shape == (20, len(AMOUNTS[curve.method]))
        assert float(curve.effect.min()) > 0
        assert (curve.leak == 0).all() == (curve.method != "path")
        assert (np.diff(curve.effect.mean(axis=0)) > 0).all()
    assert contrast_table(contrasted).rows[0][2] == "20"
    level = equal_effect(contrasted[:3])
    assert contrasted[1].leak_at(level) == (0, 0, 0)
    assert (
        0
        < contrasted[0].leak_at(level)[1]
        <= contrasted[0].leak_at(level)[0]
        <= contrasted[0].leak_at(level)[2]
    )


def test_paths_and_transfers_are_made_everywhere(disjoint: StripGenerator, strips: Catalog) -> None:
    directions = principal_directions(disjoint, range(100), count=1)
    settings = [lefs.QuerySettings(method="global", where=where) for where in ("everywhere", "part")]
    options = {"parts": ["strip 0"], "progress": False}
    one, two = (contrast(disjoint, strips, directions, range(3), settings=s, **options) for s in settings)  # type: ignore[arg-type]
    assert [r.method for r in two] == [r.method for r in one] == list(AMOUNTS)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.effect, b.effect)


def test_a_segmenter_says_where_parts_are(disjoint: StripGenerator, strips: Catalog) -> None:
    class Left:
        names = ("strip 0", "rest", "nowhere")

        def __call__(self, images: Tensor) -> Tensor:
            labels = torch.ones(len(images), 16, 16, dtype=torch.int64)
            labels[:, :, :8] = 0  # wider than the part
            return labels

    directions = principal_directions(disjoint, range(100), count=1)
    named = strips.rename("strip 3", "nowhere")
    options = {"parts": ["strip 0", "strip 1", "nowhere"], "progress": False}
    found = contrast(disjoint, named, directions, range(5), segmenter=Left(), **options)  # type: ignore[arg-type]
    assert {r.part for r in found} == {"strip 0", "strip 1"}  # the third is nowhere to be seen
    own = contrast(disjoint, named, directions, range(5), **options)  # type: ignore[arg-type]
    wide, narrow = (next(r for r in rs if r.method == "path") for rs in (found, own))
    assert not np.allclose(wide.effect, narrow.effect)


def test_leaks_are_compared_where_effects_are_equal() -> None:
    effect = np.array([[1.0, 3.0, 9.0], [3.0, 5.0, 11.0]])
    curve = Curve("hair", "path", (1.0, 2.0, 3.0), effect, effect**2)
    # means: effect 2, 4, 10; leak 5, 17, 101
    assert curve.leak_at(4.0)[0] == pytest.approx(17)
    assert curve.leak_at(7.0)[0] == pytest.approx((17 + 101) / 2)
    assert curve.leak_at(1.0)[0] == pytest.approx(2.5)  # halfway from nothing
    assert curve.leak_at(20.0)[0] == pytest.approx(202)  # beyond, in proportion
    assert curve.leak_at(0.0)[0] == 0
    assert curve.value_at(7.0) == pytest.approx(2.5)
    weaker = replace(curve, effect=effect / 2)
    assert equal_effect([curve, weaker]) == pytest.approx(0.8 * 5)
    with pytest.raises(ValueError, match="curves is empty"):
        equal_effect([])
    idle = replace(curve, effect=0 * effect)  # a query without channels
    assert equal_effect([curve, idle]) == 0
    assert idle.leak_at(0.0) == curve.leak_at(0.0) == (0, 0, 0)
    assert math.isnan(idle.leak_at(1.0)[0])
    contrast_curves([curve, idle]).draw_without_rendering()


def test_the_interval_of_a_leak_covers_its_mean_about_as_often_as_it_says() -> None:
    random, hits = np.random.default_rng(0), 0
    for _ in range(40):
        effect = random.gamma(4, size=(40, 2)) * [1, 2]
        leak = random.gamma(2, size=(40, 2)) * [1, 2]
        _, low, high = Curve("hair", "path", (1.0, 2.0), effect, leak).leak_at(6.0)
        hits += low <= 3.0 <= high  # mean effects 4 and 8, mean leaks 2 and 4
    assert 33 <= hits <= 40


# -- files and owners --------------------------------------------------------------------------------------
def test_directions_come_back_from_their_files(found: Directions, tmp_path: Path) -> None:
    loaded = Directions.load(found.save(tmp_path / "d"))
    for name in ("latents", "styles", "deviations", "explained"):
        assert torch.equal(getattr(loaded, name), getattr(found, name))
        assert getattr(loaded, name).dtype == getattr(found, name).dtype
    assert (loaded.method, loaded.layers, loaded.generator) == (found.method, found.layers, found.generator)
    assert len(loaded) == 4
    assert [d.name for d in loaded] == [f"principal {i}" for i in range(4)]
    assert loaded[-1].name == loaded[3].name
    assert [d.name for d in loaded[1:3]] == ["principal 1", "principal 2"]
    with pytest.raises(IndexError, match="there are 4 directions, 0 to 3; got 4"):
        loaded[4]


def test_damaged_files_are_refused(found: Directions, tmp_path: Path) -> None:
    path = found.save(tmp_path / "d") / "directions.safetensors"
    whole = path.read_bytes()
    for name, value, told in (
        ("method", "guessed", r"not a whole directions.*method must be one of"),
        ("generator", ..., "not a whole directions"),
        ("tensors_crc32", 0, "damaged after it was saved"),
        ("format", "lefs-catalog", "expected format 'lefs-directions'"),
    ):
        path.write_bytes(whole)
        tamper(path, **{name: value})
        with pytest.raises(ArtifactError, match=told):
            Directions.load(tmp_path / "d")
    with pytest.raises(ArtifactError, match="is not a file or folder"):
        Directions.load(tmp_path / "nothing")


def test_directions_of_another_generator_are_refused(
    disjoint: StripGenerator, strips: Catalog, found: Directions
) -> None:
    told = "belongs to generator 'lively'.* and not to 'disjoint'"
    with pytest.raises(ArtifactError, match=f"set of directions {told}"):
        found.check_generator(disjoint)
    with pytest.raises(ArtifactError, match=f"direction {told}"):
        found[0].within(disjoint, "all")
    with pytest.raises(ArtifactError, match=told):
        contrast(disjoint, strips, found, range(3), parts=["strip 0"], progress=False)
    with pytest.raises(ArtifactError, match=told):
        DirectionWalker(disjoint, found, strips)


def test_what_has_no_w_is_refused() -> None:
    generator = lefs.load(FIXTURES / "genforce/progan_fused.pth")
    for act in (
        lambda: principal_directions(generator, range(4)),
        lambda: closed_form_directions(generator),
        lambda: style_matrix(generator),
        lambda: style_mask(generator, "all"),
    ):
        with pytest.raises(TypeError, match="is a ProGAN, which has no styles"):
            act()


# -- bad arguments -----------------------------------------------------------------------------------------
def test_bad_arguments_are_named(deep: StyleGAN2, found: Directions) -> None:
    styles, direction = deep.sample_styles([1, 2]), found[0]
    size = deep.num_styles
    with pytest.raises(ValueError, match=rf"styles must have shape \(N, {size}\), got \(2, 3\)"):
        move(styles[:, :3], direction, 1.0)
    with pytest.raises(ValueError, match="amount must be a finite number"):
        move(styles, direction, math.nan)
    with pytest.raises(TypeError, match="amount must be a number"):
        move(styles, direction, "far")
    with pytest.raises(ValueError, match="amount must be one number or 2, one an image; got 3"):
        move(styles, direction, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=rf"same number of channels S; got \(2, {size}\), \(3,\)"):
        move(styles, direction, 1.0, q=torch.zeros(3))
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"q must lie in \[0, 1\]"):
            move(styles, direction, 1.0, q=torch.full((size,), bad))
    with pytest.raises(ValueError, match="styles must be those of one image"):
        walk(styles, direction, [1.0])
    with pytest.raises(ValueError, match="amounts is empty"):
        walk(styles[:1], direction, [])
    with pytest.raises(ValueError, match="reference_styles must have shape"):
        mix(deep, styles, styles[:, :3], layers="all")
    with pytest.raises(ValueError, match=r"no range or style layer named 'b4.conv9'; did you mean"):
        mix(deep, styles, styles, layers="b4.conv9")
    with pytest.raises(ValueError, match="did you mean 'coarse'"):
        mix(deep, styles, styles, layers="corse")
    with pytest.raises(ValueError, match="layers: 'fine' is a range; give it alone"):
        mix(deep, styles, styles, layers=["fine", "b4.conv1"])
    with pytest.raises(ValueError, match="layers: there are none in"):
        layer_range(deep, [])
    with pytest.raises(ValueError, match="layers: no range or style layer named 3"):
        layer_range(deep, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seeds must be at least 2"):
        principal_directions(deep, [1])
    with pytest.raises(ValueError, match="count must be at least 1"):
        principal_directions(deep, range(4), count=0)
    coarse = direction.within(deep, "coarse")
    with pytest.raises(ValueError, match="principal 0 moves none of 'fine'"):
        coarse.within(deep, "fine")


def test_contrast_names_what_is_wrong(disjoint: StripGenerator, strips: Catalog) -> None:
    directions = principal_directions(disjoint, range(10), count=1)
    with pytest.raises(ValueError, match="directions is empty"):
        contrast(disjoint, strips, [], range(3), parts=["strip 0"])
    with pytest.raises(ValueError, match="no part named 'hair'"):
        contrast(disjoint, strips, directions, range(3), parts=["hair"])
    with pytest.raises(ValueError, match="targets is empty"):
        contrast(disjoint, strips, directions, [], parts=["strip 0"])


# -- figures and the walker --------------------------------------------------------------------------------
def test_figures_of_paths(contrasted: list[Curve]) -> None:
    images, change = torch.zeros(3, 3, 16, 16), torch.ones(3, 16, 16)
    figure = path_strips({"everywhere": images, "hair": images}, [-1, 0, 1], changes={"hair": change})
    texts = [t.get_text() for t in figure.texts]
    assert {"−1", "0", "+1", "everywhere", "hair", "change"} <= set(texts)
    assert len(images_in(figure)) == 9
    assert len(figure.axes) == 1 + 1, "the pictures and the colour bar"
    with pytest.raises(ValueError, match="must hold 2 images, got 3"):
        path_strips({"everywhere": images}, [0, 1])
    with pytest.raises(ValueError, match=r"changes names .*skin.*choose from: everywhere"):
        path_strips({"everywhere": images}, [-1, 0, 1], changes={"skin": change})
    curves = contrast_curves(contrasted)
    panels = [ax for ax in curves.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in panels] == ["strip 0, 20 targets", "strip 2, 20 targets"]
    assert [len(ax.get_lines()) for ax in panels] == [4, 4]  # three methods and the level
    with pytest.raises(TypeError, match="list of Curve"):
        contrast_curves([])
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        contrast_curves(contrasted, columns=0)


def test_the_walker_does_what_its_controls_say(disjoint: StripGenerator, strips: Catalog) -> None:
    directions = principal_directions(disjoint, range(50), count=2)
    settings = lefs.QuerySettings(rho=0.1, epsilon=1.0, coarse=1, rgb=1)
    walker = DirectionWalker(disjoint, directions, strips, target=4, part="strip 1", settings=settings)
    inside = disjoint.strip_masks(1)[0, 1]
    assert torch.equal(walker.image * ~inside, walker.target_image * ~inside)
    assert not torch.equal(walker.image, walker.target_image)
    assert "outside <b>0.00</b>" in walker._summary.value
    walker.controls["amount"].value = 0.0
    assert torch.equal(walker.image, walker.target_image)
    walker.controls["amount"].value = -3.0
    walker.controls["part"].value = ""
    styles = disjoint.sample_styles([4], truncation=0.7)
    torch.testing.assert_close(walker.image, disjoint.synthesize(move(styles, directions[0], -3.0))[0])
    walker.controls["layers"].value = "middle"
    walker.controls["direction"].value = 1
    expected = disjoint.synthesize(move(styles, directions[1].within(disjoint, "middle"), -3.0))[0]
    torch.testing.assert_close(walker.image, expected)
    assert (
        repr(walker)
        == "DirectionWalker: seed 4, principal 1 (middle layers), -3 standard deviations, everywhere"
    )
    assert walker.error == ""
    assert all(widget.tooltip for widget in walker.controls.values())
    assert [r for r in RANGES if r in walker.controls["layers"].options] == ["all", "middle", "fine"]
    assert len(images_in(walker.figure())) >= 3


def test_the_walker_names_what_is_wrong(disjoint: StripGenerator, strips: Catalog) -> None:
    directions = principal_directions(disjoint, range(50), count=1)
    with pytest.raises(ValueError, match="no part named 'hair'"):
        DirectionWalker(disjoint, directions, strips, part="hair")
    with pytest.raises(ValueError, match="target must be between 0"):
        DirectionWalker(disjoint, directions, strips, target=-1)
    with pytest.raises(ValueError, match=r"truncation must be a finite number in \[0, inf\], got -0.5"):
        DirectionWalker(disjoint, directions, strips, truncation=-0.5)
    other = replace(strips, generator=replace(strips.generator, fingerprint="0" * 64))
    with pytest.raises(ArtifactError, match="this catalog belongs to generator"):
        DirectionWalker(disjoint, directions, other)


def test_a_direction_is_what_it_says(found: Directions) -> None:
    direction: Direction = found[0]
    assert direction.deviation == float(found.deviations[0])
    assert 0 < direction.explained < 1
    assert "4 principal in" in repr(found)
    with pytest.raises(ValueError, match=r"styles must have shape \(4, 80\)"):
        replace(found, styles=found.styles[0])


def test_several_directions_walk_together_and_are_saved_as_one(
    disjoint: StripGenerator, strips: Catalog, tmp_path: Path
) -> None:
    found = principal_directions(disjoint, range(50), count=2)
    walker = DirectionWalker(disjoint, found, strips, target=4, pictures=3, folder=tmp_path)
    assert len(walker.canvas.frame["panels"]) == 9
    walker.controls["amount"].value = 1.5
    walker.controls["add"].click()
    walker.controls["direction"].value = 1
    walker.controls["amount"].value = -2.0
    walker.controls["truncation"].value = 0.5
    styles = disjoint.sample_styles([4], truncation=0.5)
    expected = disjoint.synthesize(move(move(styles, found[0], 1.5), found[1], -2.0))[0]
    torch.testing.assert_close(walker.image, expected)
    walker.controls["name"].value = "both"
    walker.controls["save"].click()
    assert walker.error == ""
    saved = Directions.load(tmp_path)
    torch.testing.assert_close(disjoint.synthesize(move(styles, saved[0], 1.0))[0], expected)
    walker.controls["drop"].click()
    walker.controls["part"].value = "strip 1"
    for name in ("second", "both"):
        walker.controls["name"].value = name
        walker.controls["save"].click()
    again = Directions.load(tmp_path)
    assert [d.name for d in again] == ["second", "both"]
    assert torch.equal(again[0].styles, again[1].styles)
    torch.testing.assert_close(disjoint.synthesize(move(styles, again[1], 1.0))[0], walker.image)
    walker.controls["amount"].value = 0.0
    walker.controls["save"].click()
    assert "there is no walk to save" in walker.error
    with pytest.raises(ValueError, match="names must be 2 different ones"):
        replace(again, names=("both", "both"))


def test_a_named_direction_is_walked_along_like_any_other(
    disjoint: StripGenerator, strips: Catalog, tmp_path: Path
) -> None:
    found = principal_directions(disjoint, range(50), count=1)
    first = DirectionWalker(disjoint, found, strips, folder=tmp_path)
    first.controls["name"].value = "mine"
    first.controls["save"].click()
    walker = DirectionWalker(disjoint, Directions.load(tmp_path), strips)
    walker.controls["amount"].value = 1.0
    torch.testing.assert_close(walker.image, first.image)
    assert ("mine", 0) in walker.controls["direction"].options


def test_walks_that_panels_save_at_once_are_all_there(
    disjoint: StripGenerator, strips: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(path: Path, real: Any = Directions.load) -> Directions:
        found = real(path)
        time.sleep(0.05)
        return found  # type: ignore[no-any-return]

    found = principal_directions(disjoint, range(50), count=1)
    walkers = [DirectionWalker(disjoint, found, strips, folder=tmp_path) for _ in range(4)]
    for i, walker in enumerate(walkers):
        walker.controls["name"].value = f"walk {i}"
    walkers[0].controls["save"].click()
    monkeypatch.setattr(Directions, "load", slowly)
    savers = [Thread(target=walker.controls["save"].click) for walker in walkers[1:]]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join(60)
    monkeypatch.undo()
    assert {d.name for d in Directions.load(tmp_path)} == {f"walk {i}" for i in range(4)}
