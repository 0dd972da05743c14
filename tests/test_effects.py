"""Effects against the whole Jacobian, and on generators whose channels act where we put them."""

from __future__ import annotations

import copy
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
from helpers import LinearGenerator, made_up_catalog, random_network
from safetensors.torch import load_file
from test_stylegan import make as stylegan
from torch import Tensor

import lefs
from lefs import Catalog, Change, Editor, QuerySettings, Recipe, StyleGAN2, dissect
from lefs.effects import by_effect, measure_effects, squared_gradients, with_effects
from lefs.query import PartEffects
from lefs.stylespace import ranges
from lefs.widgets import EditStudio


def effects_of(*given: Any, **options: Any) -> Tensor:
    effects = measure_effects(*given, **options).effects
    assert effects is not None
    return effects


# The four quarters of an image of 8 × 8: (4, 8, 8).
PLACES = torch.eye(4).reshape(4, 2, 2).repeat_interleave(4, 1).repeat_interleave(4, 2)


def quick(generator: Any, **options: Any) -> Catalog:
    return dissect(generator, range(5), clusters=3, n_init=1, progress=False, **options)


@pytest.fixture(scope="module")
def dissected(lively: StyleGAN2) -> Catalog:
    return quick(lively, truncation=0.8)


# -- the definition ----------------------------------------------------------------------------------------


def test_many_probes_come_to_the_sum_over_the_jacobian(lively: StyleGAN2) -> None:
    """Within the statistical error that the estimator must have, neither more nor less."""
    generator = copy.deepcopy(lively).double()
    styles = generator.sample_styles([3, 4]).double().clone()
    random, probes = torch.Generator().manual_seed(0), 80
    regions = torch.rand(2, 3, 16, 16, generator=random, dtype=torch.float64)
    regions[:, 2] = (regions[:, 2] > 0.9).double()
    signs = torch.randint(0, 2, (probes, 2, 3, 16, 16), generator=random).double() * 2 - 1
    found = squared_gradients(generator, styles, regions, signs) / probes
    exact = [reference.effects(generator.synthesize, s, r) for s, r in zip(styles, regions, strict=True)]
    mean, variance = (sum(parts) for parts in zip(*exact, strict=True))
    live = variance > 1e-12 * mean.square().max()
    errors = ((found - mean) / (variance / probes).sqrt())[live]
    assert live.float().mean() > 0.9
    assert 0.8 < float(errors.square().mean().sqrt()) < 1.25
    assert float(errors.abs().max()) < 5.5
    torch.testing.assert_close(found[~live], mean[~live], rtol=1e-6, atol=1e-10)


def test_one_pixel_is_exact_with_one_probe(lively: StyleGAN2) -> None:
    generator = copy.deepcopy(lively).double()
    styles = generator.sample_styles([5]).double().clone()
    regions = torch.zeros(1, 2, 16, 16, dtype=torch.float64)
    regions[0, 0, 7, 9] = 1
    signs = torch.zeros(1, 1, 3, 16, 16, dtype=torch.float64)
    signs[:, :, 1] = -1  # one colour of it
    found = squared_gradients(generator, styles, regions, signs)
    jacobian = torch.autograd.functional.jacobian(lambda s: generator.synthesize(s)[0, 1, 7, 9], styles)
    torch.testing.assert_close(found[0], jacobian[0].square(), rtol=1e-9, atol=1e-15)
    assert not found[1].any()


def test_effects_of_a_catalog_follow_the_jacobian(lively: StyleGAN2, dissected: Catalog) -> None:
    generator = copy.deepcopy(lively).double()
    seeds, probes = [0, 1], 100
    found = effects_of(dissected, generator, seeds, probes=probes, progress=False)
    styles = generator.sample_styles(seeds, truncation=0.8).double().clone()
    regions = dissected.membership(generator, styles).double().repeat_interleave(2, 2).repeat_interleave(2, 3)
    exact = [reference.effects(generator.synthesize, s, r) for s, r in zip(styles, regions, strict=True)]
    mean, variance = (sum(parts) for parts in zip(*exact, strict=True))
    error = (found * len(seeds) - mean).abs()
    assert bool((error <= 6 * (variance / probes).sqrt() + 1e-9).all())
    assert bool((variance > 0).any())


# -- where channels act is known ---------------------------------------------------------------------------


def test_contributions_by_effect_are_the_truth_where_channels_act_apart() -> None:
    """Channel c is active in quarter c but paints the quarter opposite: every single probe sees that."""
    generator = LinearGenerator(active=PLACES, painted=PLACES.flip(0)[:, None].expand(-1, 3, -1, -1))
    catalog = made_up_catalog(torch.zeros(4, 4), generator)
    catalog = replace(catalog, centers=torch.eye(4))
    for state in range(3):
        found = by_effect(catalog, generator, range(2), random_state=state, progress=False)
        torch.testing.assert_close(found.contributions, torch.eye(4, dtype=torch.float64).flip(0))
    energy = dissect(generator, range(2), clusters=4, progress=False)
    effect = dissect(generator, range(2), clusters=4, contributions="effect", progress=False)
    where = energy.contributions.argmax(dim=0)
    torch.testing.assert_close(energy.contributions.amax(dim=0), torch.ones(4, dtype=torch.float64))
    assert torch.equal(effect.contributions.argmax(dim=0), where.flip(0))
    assert (energy.measure, effect.measure) == ("energy", "effect")
    assert torch.equal(energy.centers, effect.centers)


def test_a_channel_that_does_nothing_has_no_contribution() -> None:
    painted = PLACES[:, None].expand(-1, 3, -1, -1).clone()
    painted[2] = 0
    generator = LinearGenerator(active=PLACES, painted=painted)
    found = dissect(generator, range(2), clusters=4, contributions="effect", progress=False)
    torch.testing.assert_close(found.contributions.sum(dim=0), torch.tensor([1.0, 1, 0, 1]).double())
    q = QuerySettings("pair", leak=float("inf"), rho=0).query(
        found, "cluster 0", *generator.sample_styles([0, 1]).split(1)
    )
    assert q[0, 2] == 0


def test_demodulation_lets_a_channel_act_that_is_never_active(lively: StyleGAN2, dissected: Catalog) -> None:
    """A dead channel's style still shares in the norm that all channels of its layer are divided by."""
    assert not dissected.contributions[:, 3].any()
    effects = effects_of(dissected, lively, progress=False)
    assert bool((effects[:, 3] > 0).any())


def test_the_predicted_leak_is_the_leak_where_channels_act_apart() -> None:
    """Each channel paints values of its own, some of them in other quarters; then nothing is approximate."""
    random = torch.Generator().manual_seed(4)
    owner = torch.randint(0, 6, (3, 8, 8), generator=random)
    painted = (owner == torch.arange(6)[:, None, None, None]) * torch.randn(6, 3, 8, 8, generator=random)
    active = torch.cat([PLACES, torch.zeros(2, 8, 8)])
    generator = LinearGenerator(active=active, painted=painted)
    catalog = replace(made_up_catalog(torch.zeros(4, 6), generator), centers=torch.eye(4, 6))
    catalog = replace(catalog, sizes=torch.full((4,), 16))
    exact = torch.einsum("spij,kij->ks", painted.double().square(), PLACES.double())
    catalog = replace(catalog, effects=exact)
    # (a sum over several pixels is met on average only)
    many = effects_of(catalog, generator, [0], probes=2000, progress=False)
    torch.testing.assert_close(many, exact, rtol=0.2, atol=1e-6)
    target, reference_styles = generator.sample_styles([1]), generator.sample_styles([2, 3])
    for leak in (1.0, 20.0, 400.0):
        q = QuerySettings("pair", leak=leak, rho=0, coarse=1).query(
            catalog, "cluster 0", target, reference_styles
        )
        edited = target + q * (reference_styles - target)
        change = (127.5 * (generator.synthesize(edited) - generator.synthesize(target))).square()
        measured = change[..., PLACES[0] == 0].mean(dim=(1, 2))
        predicted = PartEffects.of(catalog, "cluster 0").predicted_leak(q, target, reference_styles)
        torch.testing.assert_close(measured.double(), predicted, rtol=1e-4, atol=1e-4)
        spent = predicted[(q < 1).any(dim=1)]
        assert len(spent)
        torch.testing.assert_close(spent, torch.full_like(spent, leak), rtol=1e-5, atol=0)


# -- streaming ---------------------------------------------------------------------------------------------


def test_effects_are_additive_over_images(lively: StyleGAN2, dissected: Catalog) -> None:
    whole = effects_of(dissected, lively, range(6), progress=False)
    halves = [effects_of(dissected, lively, s, progress=False) for s in (range(2), range(2, 6))]
    torch.testing.assert_close(whole, (2 * halves[0] + 4 * halves[1]) / 6, rtol=1e-5, atol=1e-9)


def test_batch_and_threads_do_not_matter(lively: StyleGAN2, dissected: Catalog) -> None:
    serial = effects_of(dissected, lively, batch_size=2, probes=2, progress=False)
    for size in (1, 3, 16):
        other = effects_of(dissected, lively, batch_size=size, probes=2, progress=False)
        torch.testing.assert_close(other, serial, rtol=1e-5, atol=1e-9)
    with ThreadPoolExecutor(3) as executor:
        threaded = effects_of(dissected, lively, batch_size=2, probes=2, progress=False, executor=executor)
    assert torch.equal(threaded, serial)


def test_effects_are_the_same_in_inference_mode(lively: StyleGAN2, dissected: Catalog) -> None:
    expected = effects_of(dissected, lively, range(2), progress=False)
    with torch.inference_mode():
        found = effects_of(dissected, lively, range(2), progress=False)
    assert torch.equal(found, expected)


def test_a_process_gives_the_same_bits(lively: StyleGAN2, dissected: Catalog, tmp_path: Path) -> None:
    loaded = lefs.load(lefs.save_generator(lively, tmp_path, name="lively"))
    serial = effects_of(dissected, loaded, batch_size=3, progress=False)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        apart = effects_of(dissected, loaded, batch_size=3, progress=False, executor=executor)
    assert torch.equal(serial, apart)


def test_large_images_go_through_a_few_at_a_time(
    lively: StyleGAN2, dissected: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = effects_of(dissected, lively, progress=False)
    seen: list[int] = []
    synthesize = StyleGAN2.synthesize
    monkeypatch.setattr("lefs.effects._PIXELS", 2 * 16**2)
    monkeypatch.setattr(
        StyleGAN2, "synthesize", lambda self, s, *a: (seen.append(len(s)), synthesize(self, s, *a))[1]
    )
    few = effects_of(dissected, lively, progress=False)
    assert seen == [2, 2, 1]
    torch.testing.assert_close(few, at_once, rtol=1e-5, atol=1e-9)


def test_the_same_state_gives_the_same_signs_and_another_gives_others(
    lively: StyleGAN2, dissected: Catalog
) -> None:
    one, same, other = (effects_of(dissected, lively, [7], random_state=s, progress=False) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


# -- catalogs ----------------------------------------------------------------------------------------------


def test_the_catalog_by_effect_keeps_clusters_and_names(lively: StyleGAN2, dissected: Catalog) -> None:
    named = dissected.named(["a", "b", "a"])
    found = by_effect(named, lively, progress=False)
    assert found.parts == named.parts
    assert found.measure == "effect"
    assert torch.equal(found.centers, named.centers)
    assert torch.equal(found.sizes, named.sizes)
    total = found.contributions.sum(dim=0)
    live = found.effects.sum(dim=0) > 0
    torch.testing.assert_close(total[live], torch.ones_like(total[live]))
    assert not total[~live].any()
    assert live.sum() > 0.9 * len(live)
    assert torch.equal(replace(named, effects=found.effects).by_effect().contributions, found.contributions)


def test_dissect_by_effect_is_dissect_then_by_effect(lively: StyleGAN2) -> None:
    found = quick(lively, truncation=0.8, contributions="effect", probes=2, random_state=3)
    apart = by_effect(
        quick(lively, truncation=0.8, random_state=3), lively, probes=2, random_state=3, progress=False
    )
    assert torch.equal(found.contributions, apart.contributions)
    assert torch.equal(found.effects, apart.effects)
    assert QuerySettings().query(found, "cluster 1").shape == (lively.num_styles,)


def test_shifts_have_an_effect_of_their_own() -> None:
    generator = stylegan()
    found = quick(generator, contributions="effect")
    layer = generator.layers[2]
    assert layer.shift is not None
    scales, shifts = found.effects[:, layer.span], found.effects[:, layer.shift]
    assert bool((shifts.sum(dim=0) > 0).all())
    assert not torch.allclose(scales, shifts)
    total = found.contributions[:, layer.shift].sum(dim=0)
    torch.testing.assert_close(total, torch.ones_like(total))
    target, wanted = generator.sample_styles([0]), generator.sample_styles([1])
    still = QuerySettings("pair", leak=float("inf"), rho=0).query(found, "cluster 0", target, wanted)
    moved = QuerySettings("pair", leak=float("inf"), rho=0, shifts=True).query(
        found, "cluster 0", target, wanted
    )
    assert not still[:, layer.shift].any()
    assert moved[:, layer.shift].any()


def test_what_belongs_to_no_layer_is_no_parts(root: Path) -> None:
    generator = lefs.load(root / "tests" / "fixtures" / "stylegan3" / "t.pkl")
    assert generator.extra_styles
    classes = {"label": 1} if generator.label_dim else {}
    generator = generator.with_label(**classes) if classes else generator
    found = dissect(generator, range(2), clusters=2, n_init=1, contributions="effect", progress=False)
    extras = slice(generator.num_styles - generator.extra_styles, None)
    assert not found.effects[:, extras].any()
    styles = generator.sample_styles([0, 1])
    q = QuerySettings("pair", leak=float("inf"), rho=0).query(found, "cluster 0", styles[:1], styles[1:])
    assert not q[:, extras].any()
    assert bool(q.any())


def test_the_class_of_the_catalog_is_the_class_that_is_measured() -> None:
    generator = random_network(seed=2, label_dim=3)
    catalog = quick(generator.with_label(2))
    expected = effects_of(catalog, generator.with_label(2), progress=False)
    assert torch.equal(effects_of(catalog, generator.with_label(1), progress=False), expected)
    assert torch.equal(effects_of(catalog, generator, progress=False), expected)


# -- wrong input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"probes": 0}, ValueError, "probes must be at least 1"),
        ({"probes": 1.5}, TypeError, "probes must be an integer"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"seeds": []}, ValueError, "seeds"),
        ({"truncation": float("nan")}, ValueError, "truncation"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_wrong_options(
    lively: StyleGAN2, dissected: Catalog, options: dict[str, Any], error: type, says: str
) -> None:
    with pytest.raises(error, match=says):
        by_effect(dissected, lively, progress=False, **options)


def test_another_generator_is_refused(dissected: Catalog) -> None:
    with pytest.raises(lefs.ArtifactError, match="belongs to generator"):
        by_effect(dissected, random_network(seed=9), progress=False)


def test_dissect_refuses_before_it_works(lively: StyleGAN2) -> None:
    with pytest.raises(ValueError, match="contributions"):
        quick(lively, contributions="cause")
    with pytest.raises(ValueError, match="probes must be at least 1"):
        quick(lively, probes=0)


def test_no_effects_says_how_to_get_them(lively: StyleGAN2, dissected: Catalog) -> None:
    styles = lively.sample_styles([0, 1])
    with pytest.raises(ValueError, match="by_effect"):
        dissected.by_effect()
    with pytest.raises(ValueError, match=r'dissect\(..., contributions="effect"\)'):
        QuerySettings("pair").query(dissected, "cluster 0", styles[:1], styles[1:])


def test_the_shipped_effects_are_those_of_the_shipped_generator(
    portraits: lefs.Generator, portraits_catalog: Catalog
) -> None:
    assert portraits_catalog.measure == "energy"
    few = effects_of(portraits_catalog, portraits, range(700, 706), progress=False)
    shipped = portraits_catalog.by_effect().contributions
    again = replace(portraits_catalog, effects=few).by_effect().contributions
    alike = torch.corrcoef(torch.stack([shipped.flatten(), again.flatten()]))[0, 1]
    energy = torch.corrcoef(torch.stack([shipped.flatten(), portraits_catalog.contributions.flatten()]))[0, 1]
    assert alike > 0.6 > energy


# -- files, the editor, the studio -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(lively: StyleGAN2, dissected: Catalog) -> Catalog:
    """By energy, with effects beside."""
    return replace(dissected, effects=effects_of(dissected, lively, progress=False))


def test_files_keep_effects_and_measure(measured: Catalog, dissected: Catalog, tmp_path: Path) -> None:
    for catalog in (measured, measured.by_effect()):
        again = Catalog.load(catalog.save(tmp_path / catalog.measure))
        assert again.measure == catalog.measure
        assert torch.equal(again.effects, catalog.effects)
        assert torch.equal(again.contributions, catalog.contributions)
    assert Catalog.load(dissected.save(tmp_path / "without")).effects is None
    assert "effects" not in load_file(tmp_path / "without" / "catalog.safetensors")


def test_effects_of_another_shape_are_refused(measured: Catalog) -> None:
    with pytest.raises(ValueError, match="effects must have shape"):
        replace(measured, effects=measured.effects[:, :-1])


def test_effects_are_measured_where_there_are_none(
    measured: Catalog, dissected: Catalog, lively: StyleGAN2
) -> None:
    assert with_effects(measured, lively) is measured
    found = with_effects(dissected, lively, progress=False)
    assert torch.equal(found.contributions, dissected.contributions)
    torch.testing.assert_close(found.effects, measured.effects)


def test_settings_say_which_contributions_they_choose_by(
    measured: Catalog, lively: StyleGAN2, tmp_path: Path
) -> None:
    """And a recipe keeps that, so that it is replayed by the same ones, whichever the catalog holds first."""
    both, own, part = measured, measured.by_effect(), next(iter(measured.parts))
    wanted = QuerySettings(contributions="effect", epsilon=2.0)
    plain = replace(wanted, contributions=None)
    assert torch.equal(wanted.query(both, part), plain.query(own, part))
    assert torch.equal(wanted.contribution(both, part), own.contribution(part))
    assert not torch.equal(wanted.query(both, part), plain.query(both, part))

    made = Editor(lively, own).render(Recipe(1, (Change(part, 2, settings=plain),)))
    saved = Recipe.load(made.recipe.save(tmp_path / "recipe.json"))
    assert saved.changes[0].settings.contributions == "effect"
    assert torch.equal(Editor(lively, both).render(saved).image, made.image)
    with pytest.raises(ValueError, match="this catalog has them by effect alone"):
        replace(wanted, contributions="energy").query(own, part)
    with pytest.raises(ValueError, match="contributions must be one of"):
        replace(wanted, contributions="fame").query(own, part)


def test_the_part_of_everything_has_nothing_outside(measured: Catalog, lively: StyleGAN2) -> None:
    whole = measured.named(["all"] * 3)
    styles = lively.sample_styles([0, 1])
    q = QuerySettings("pair", leak=0, rho=0, coarse=1, rgb=1).query(whole, "all", styles[:1], styles[1:])
    acts = whole.effects.sum(dim=0) > 0
    assert torch.equal(q[0] == 1, acts & (styles[0] != styles[1]))
    assert float(PartEffects.of(whole, "all").predicted_leak(q, styles[:1], styles[1:])) == 0


def test_gates_and_price_hold_channels_back(measured: Catalog, lively: StyleGAN2) -> None:
    styles = lively.sample_styles([0, 1])
    wide: dict[str, Any] = {"leak": float("inf"), "rho": 0.0}
    open_ = QuerySettings("pair", coarse=1, rgb=1, **wide).query(
        measured, "cluster 0", styles[:1], styles[1:]
    )
    closed = QuerySettings("pair", coarse=0, rgb=0, **wide).query(
        measured, "cluster 0", styles[:1], styles[1:]
    )
    for layer in lively.layers:
        assert bool(open_[:, layer.span].any())
        assert bool(closed[:, layer.span].any()) == (
            layer.kind == "conv" and layer.name not in ranges(lively.layers)["coarse"]
        )
    part = PartEffects.of(measured, "cluster 0")
    q = QuerySettings("pair", leak=float("inf"), rho=0.7, coarse=1, rgb=1).query(
        measured, "cluster 0", styles[:1], styles[1:]
    )
    assert torch.equal(q[0] > 0, (part.inside > 0.7 * part.outside) & (styles[0] != styles[1]))


def test_the_editor_weighs_each_pair(measured: Catalog, lively: StyleGAN2) -> None:
    settings = QuerySettings("pair", rho=0.0, coarse=1.0, rgb=1.0, leak=30.0)
    editor = Editor(lively, measured)
    changes = [Change("cluster 0", 5, settings=settings), Change("cluster 1", 6, settings=settings)]
    target, references = (lively.sample_styles(s, truncation=0.7) for s in ([4], [5, 6]))
    single = [editor.render(Recipe(4, (c,))) for c in changes]
    for edit, part, reference_styles in zip(single, ("cluster 0", "cluster 1"), references, strict=True):
        q = QuerySettings("pair", leak=30, rho=0, coarse=1, rgb=1).query(
            measured, part, target, reference_styles[None]
        )
        torch.testing.assert_close(edit.queries, q, rtol=1e-3, atol=1e-3)
        assert 0 < q.sum() < q.numel()
    assert not torch.equal(single[0].queries, single[1].queries)
    both = editor.render(Recipe(4, tuple(changes)))
    assert bool((both.queries.count_nonzero(dim=0) <= 1).all())
    grid = editor.grid(4, [5, 6], ["cluster 0"], settings=settings)
    torch.testing.assert_close(grid["cluster 0"][0], single[0].image, rtol=1e-4, atol=1e-5)
    strip = editor.filmstrip(Recipe(4, (changes[0],)), "leak", [0.0, 30.0])
    torch.testing.assert_close(strip[1], single[0].image)
    torch.testing.assert_close(strip[0], single[0].target, rtol=1e-4, atol=1e-5)


def test_a_recipe_of_a_pair_is_replayed(measured: Catalog, lively: StyleGAN2, tmp_path: Path) -> None:
    recipe = Recipe(4, (Change("cluster 0", 5, settings=QuerySettings("pair", leak=12.0)),))
    again = Recipe.load(recipe.save(tmp_path / "recipe.json"))
    assert again == recipe
    editor = Editor(lively, measured)
    assert torch.equal(editor.render(again).image, editor.render(recipe).image)


def test_the_method_for_pairs_says_what_it_needs(measured: Catalog, dissected: Catalog) -> None:
    with pytest.raises(ValueError, match="needs the styles of targets and references"):
        QuerySettings("pair").query(measured, "cluster 0")
    styles = torch.zeros(1, dissected.contributions.shape[1])
    with pytest.raises(ValueError, match="this catalog has no effects"):
        QuerySettings("pair").query(dissected, "cluster 0", styles, styles)
    with pytest.raises(ValueError, match="leak"):
        QuerySettings("pair", leak=-1.0).query(measured, "cluster 0", styles, styles)
    with pytest.raises(ValueError, match="target_styles must have shape"):
        QuerySettings("pair").query(measured, "cluster 0", styles[0], styles)
    with pytest.raises(ValueError, match="part"):
        QuerySettings("pair").query(measured, "cluster 9", styles, styles)


def test_the_studio_offers_pairs_where_there_are_effects(
    measured: Catalog, dissected: Catalog, lively: StyleGAN2
) -> None:
    recipe = Recipe(4, (Change("cluster 0", 5),))
    studio = EditStudio(lively, measured, recipe)
    studio.controls["method"].value = "pair"
    assert studio.error == ""
    shown = {
        n for n in ("rho", "epsilon", "slope", "leak") if "lefs-hidden" not in studio.controls[n]._dom_classes
    }
    assert shown == {"rho", "leak"}
    before = studio.edit.image
    studio.controls["leak"].value = 3.0
    assert not torch.equal(studio.edit.image, before)
    assert studio.recipe.changes[0].settings.leak == 3.0
    edit, target = studio.edit, lively.sample_styles([4], truncation=0.7)
    reference_styles = lively.sample_styles([5], truncation=0.7)
    expected = PartEffects.of(measured, "cluster 0").predicted_leak(edit.queries, target, reference_styles)
    assert f"<b>{float(expected):.1f}</b> squared levels" in studio._summary.value
    assert "pair" not in EditStudio(lively, dissected, recipe).controls["method"].options
    wrong = Recipe(4, (Change("cluster 0", 5, settings=QuerySettings("pair")),))
    with pytest.raises(ValueError, match="this catalog has no effects"):
        EditStudio(lively, dissected, wrong)


def test_a_catalog_knows_what_its_effects_were_measured_on(
    dissected: Catalog, lively: StyleGAN2, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"truncation": 0.5, "probes": 2, "random_state": 3}
    found = by_effect(dissected, lively, [7, 9], progress=False, **options)
    again = Catalog.load(found.save(tmp_path))
    assert again.sampling == dissected.sampling
    own = again.effects_sampling
    assert own is not None
    assert (own.seeds, own.truncation, own.probes, own.random_state) == ((7, 9), 0.5, 2, 3)
    repeated = effects_of(
        dissected,
        lively,
        own.seeds,
        truncation=own.truncation,
        probes=own.probes,
        random_state=own.random_state,
        progress=False,
    )
    assert torch.equal(repeated, found.effects)
