"""Editing: exact ends, the editor against the long way round, claims, recipes, threads."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch
from helpers import made_up_catalog, random_network
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import lefs
from lefs import (
    ArtifactError,
    Catalog,
    Change,
    Editor,
    PartBank,
    QuerySettings,
    Recipe,
    StyleGAN2,
    dissect,
    transfer,
)
from lefs.editing import compose, resolve_claims
from lefs.editor import Superseded

OPEN = QuerySettings(rho=0.0, epsilon=3.0, coarse=1.0, rgb=1.0)


@pytest.fixture(scope="module")
def catalog(lively: StyleGAN2) -> Catalog:
    random = torch.rand(5, lively.num_styles, generator=torch.Generator().manual_seed(0)).double() ** 4
    return made_up_catalog(random / random.sum(dim=0), lively, ["hair", "eyes", "hair", "skin", "mouth"])


@pytest.fixture
def editor(lively: StyleGAN2, catalog: Catalog) -> Editor:
    return Editor(lively, catalog)


@pytest.fixture
def pair(lively: StyleGAN2) -> tuple[Tensor, Tensor]:
    styles = lively.sample_styles([1, 2])
    return styles[:1], styles[1:]


def recipe(*changes: Change, target: int = 1) -> Recipe:
    return Recipe(target, changes, truncation=0.8)


# -- transfer ----------------------------------------------------------------------------------------------


def test_q_zero_is_the_target_bit_for_bit(lively: StyleGAN2, pair: tuple[Tensor, Tensor]) -> None:
    target, other = pair
    for strength in (0.0, 0.3, 1.0):
        styles = transfer(target, other, torch.zeros(lively.num_styles), strength=strength)
        assert torch.equal(styles, target)
        assert torch.equal(lively.synthesize(styles), lively.synthesize(target))
    assert torch.equal(transfer(target, other, torch.ones(lively.num_styles), strength=0), target)


def test_q_one_is_the_reference_bit_for_bit(lively: StyleGAN2, pair: tuple[Tensor, Tensor]) -> None:
    target, other = pair
    styles = transfer(target, other, torch.ones(lively.num_styles))
    assert torch.equal(styles, other)
    assert torch.equal(lively.synthesize(styles), lively.synthesize(other))


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), strength=st.floats(0, 1))
def test_transfer_is_the_equation(seed: int, strength: float) -> None:
    random = torch.Generator().manual_seed(seed)
    target, other = torch.randn(2, 4, 9, generator=random) * 10
    q = torch.rand(9, generator=random).round(decimals=1)
    expected = target.double() + strength * q.double() * (other.double() - target.double())
    torch.testing.assert_close(
        transfer(target, other, q, strength=strength).double(), expected, rtol=1e-5, atol=1e-5
    )
    unmoved = q == 0
    assert torch.equal(transfer(target, other, q)[:, unmoved], target[:, unmoved])
    assert torch.equal(transfer(target, other, q)[:, q == 1], other[:, q == 1])


def test_arrays_and_mixed_types_are_taken(pair: tuple[Tensor, Tensor]) -> None:
    target, other = pair
    q = torch.linspace(0, 1, target.shape[1])
    expected = transfer(target, other, q)
    for kind in ((target.numpy(), other.numpy(), q.numpy()), (target, other.double(), q.double())):
        assert transfer(*kind).equal(expected)  # type: ignore[arg-type]


def test_shapes_broadcast() -> None:
    target, others, qs = torch.randn(1, 6), torch.randn(3, 6), torch.rand(3, 6)
    found = transfer(target, others, qs)
    for i in range(3):
        torch.testing.assert_close(found[i], transfer(target[0], others[i], qs[i]))
    assert transfer(target, others, qs[0].double()).dtype == torch.float32


def test_gradients_pass_through_a_transfer() -> None:
    target, other, q = torch.randn(1, 6), torch.randn(1, 6), torch.rand(6, requires_grad=True)
    transfer(target, other, q).sum().backward()
    torch.testing.assert_close(q.grad, (other - target)[0])


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_bad_strength(pair: tuple[Tensor, Tensor], strength: float) -> None:
    with pytest.raises(ValueError, match="strength must be"):
        transfer(*pair, torch.zeros(pair[0].shape[1]), strength=strength)


def test_bad_queries(pair: tuple[Tensor, Tensor]) -> None:
    width = pair[0].shape[1]
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"q must lie in \[0, 1\]"):
            transfer(*pair, torch.full((width,), bad))
    with pytest.raises(
        ValueError, match=rf"same number of channels S; got \(1, {width}\), \(1, {width}\), \(3,\)"
    ):
        transfer(*pair, torch.zeros(3))
    with pytest.raises(ValueError, match="and q must hold as many images"):
        transfer(pair[0], pair[1].expand(3, -1), torch.zeros(2, width))


# -- several parts -----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5))
def test_the_part_with_the_larger_contribution_owns_a_channel(seed: int, count: int) -> None:
    random = torch.Generator().manual_seed(seed)
    queries = torch.rand(count, 20, generator=random) * (torch.rand(count, 20, generator=random) < 0.6)
    # few values, so that there are ties
    contributions = torch.randint(4, (count, 20), generator=random).double() / 4
    resolved = resolve_claims(queries, contributions)
    assert float(resolved.sum(dim=0).max()) <= 1
    for c in range(20):
        claims = [i for i in range(count) if queries[i, c] > 0]
        owner = max(claims, key=lambda i: (float(contributions[i, c]), -i), default=None)
        expected = [float(queries[i, c]) if i == owner else 0.0 for i in range(count)]
        assert resolved[:, c].tolist() == expected


def test_contributions_are_compared_in_full_precision() -> None:
    contributions = torch.tensor([[0.5], [0.5 + 1e-12]], dtype=torch.float64)
    assert resolve_claims(torch.ones(2, 1), contributions).tolist() == [[0.0], [1.0]]


def test_compose_is_the_sum_of_the_changes() -> None:
    target, others = torch.randn(1, 12), torch.randn(3, 12)
    queries = resolve_claims(torch.rand(3, 12), torch.rand(3, 12))
    strengths = [0.2, 1.0, 0.7]
    steps = (s * q * (r - target[0]) for s, q, r in zip(strengths, queries, others, strict=True))
    torch.testing.assert_close(compose(target, others, queries, strengths), target + sum(steps))
    assert torch.equal(compose(target, others[:0], queries[:0], []), target)


# -- the editor --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sequential", "simultaneous", "global"])
def test_rendering_equals_the_long_way_round(
    lively: StyleGAN2, catalog: Catalog, editor: Editor, method: str
) -> None:
    chosen = replace(OPEN, method=method)  # type: ignore[type-var]
    edit = editor.render(recipe(Change("hair", 5, 0.6, chosen), Change("mouth", 6, 0.9, OPEN)))
    target, first, second = (lively.sample_styles(s, truncation=0.8) for s in (1, 5, 6))
    q_hair = QuerySettings(method=method, rho=0, epsilon=3, coarse=1, rgb=1).query(catalog, "hair")  # type: ignore[arg-type]
    q_mouth = QuerySettings(rho=0, epsilon=3, coarse=1, rgb=1).query(catalog, "mouth")
    hair_owns = catalog.contribution("hair") >= catalog.contribution("mouth")
    q_hair, q_mouth = (
        q_hair * ((q_mouth == 0) | hair_owns),
        q_mouth * ((q_hair == 0) | ~hair_owns),
    )
    styles = target + 0.6 * q_hair * (first - target) + 0.9 * q_mouth * (second - target)
    torch.testing.assert_close(edit.styles, styles)
    torch.testing.assert_close(edit.image, lively.synthesize(styles)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(edit.target, lively.synthesize(target)[0])
    torch.testing.assert_close(
        edit.references, lively.synthesize(torch.cat([first, second])), rtol=1e-4, atol=1e-4
    )
    assert torch.equal(edit.queries, torch.stack([q_hair, q_mouth]))
    assert torch.equal(edit.query, q_hair + q_mouth)
    assert not torch.equal(edit.image, edit.target)
    expected = reference.color_difference(edit.target[None], edit.image[None])[0]
    torch.testing.assert_close(edit.change.double(), torch.from_numpy(expected), rtol=1e-3, atol=0.02)


@pytest.mark.parametrize(
    "change",
    [
        Change("hair", 5, strength=0.0),
        Change("hair", 5, settings=QuerySettings(rho=1e9)),
        Change("hair", 5, settings=QuerySettings(epsilon=0.0)),
        Change("hair", 5, settings=QuerySettings(method="simultaneous", slope=0.0)),
        Change("hair", 1, settings=OPEN),  # from itself
    ],
)
def test_no_change_is_the_target_bit_for_bit(editor: Editor, lively: StyleGAN2, change: Change) -> None:
    edit = editor.render(recipe(change))
    assert torch.equal(edit.image, edit.target)
    assert torch.equal(edit.image, lively.synthesize(lively.sample_styles(1, truncation=0.8))[0])
    assert float(edit.change.max()) == 0


def test_a_recipe_without_changes_is_the_target(editor: Editor) -> None:
    edit = editor.render(recipe())
    assert torch.equal(edit.image, edit.target)
    assert edit.references.shape == (0, 3, 16, 16)
    assert edit.query.shape == (editor.generator.num_styles,)


def test_a_global_change_at_full_strength_is_the_reference(editor: Editor) -> None:
    edit = editor.render(recipe(Change("eyes", 5, settings=QuerySettings(method="global"))))
    assert torch.equal(edit.image, edit.references[0])


@pytest.mark.parametrize("upto", [4, 8, 16])
def test_previews_are_the_smaller_images(editor: Editor, lively: StyleGAN2, upto: int) -> None:
    edit = editor.render(recipe(Change("hair", 5, settings=OPEN)), upto=upto)
    for image, styles in ((edit.image, edit.styles), (edit.target, lively.sample_styles(1, truncation=0.8))):
        assert image.shape == (3, upto, upto)
        assert torch.equal(image, lively.synthesize(styles, upto=upto)[0])
    assert edit.references.shape == (1, 3, upto, upto)


def test_previews_make_only_the_picture_that_moves(
    editor: Editor, lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Tensor] = []
    synthesize = StyleGAN2.synthesize

    def counted(self: StyleGAN2, styles: Tensor, *arguments: Any) -> Tensor:
        made.append(styles)
        return synthesize(self, styles, *arguments)

    monkeypatch.setattr(StyleGAN2, "synthesize", counted)
    edits = [
        editor.render(recipe(Change("hair", 5, strength, settings=OPEN)), upto=8)
        for strength in (0.2, 0.4, 0.6)
    ]
    assert len(made) == 2 + len(edits)  # target and reference once
    for edit in edits:
        assert torch.equal(
            edit.target, synthesize(lively, lively.sample_styles(1, truncation=0.8), upto=8)[0]
        )


def test_what_was_rendered_before_does_not_matter(
    lively: StyleGAN2, catalog: Catalog, editor: Editor
) -> None:
    recipes = [
        recipe(Change(part, seed, 0.5, OPEN), target=target)
        for part, seed, target in [("hair", 5, 1), ("eyes", 6, 2), ("hair", 5, 2), ("skin", 1, 1)]
    ]
    for wanted in [*recipes, *reversed(recipes)]:
        fresh = Editor(lively, catalog).render(wanted)
        assert torch.equal(editor.render(wanted).image, fresh.image)


def test_the_noise_of_target_and_edit_is_one(lively: StyleGAN2, catalog: Catalog) -> None:
    for noise in ("none", 3):
        edit = Editor(lively, catalog, noise=noise).render(recipe(Change("hair", 5, settings=OPEN)))
        assert torch.equal(edit.image, lively.synthesize(edit.styles, noise)[0])  # type: ignore[arg-type]


def test_pictures_are_those_of_the_seeds(editor: Editor, lively: StyleGAN2) -> None:
    seeds = [3, 1, 3]
    expected = torch.cat([lively.synthesize(lively.sample_styles(s, truncation=0.6)) for s in seeds])
    for _ in range(2):  # made, then remembered
        assert torch.equal(editor.pictures(seeds, truncation=0.6), expected)
    many = editor.pictures(range(70), truncation=0.6)
    assert torch.equal(many[[3, 1, 3]], expected)


def test_the_grid_holds_each_part_from_each_reference(editor: Editor, lively: StyleGAN2) -> None:
    table = {"hair": OPEN, "eyes": replace(OPEN, epsilon=1.0)}
    rows = editor.grid(1, [5, 6], ["hair", "eyes"], truncation=0.8, settings=table, strength=0.7)
    assert list(rows) == ["hair", "eyes"]
    for part, images in rows.items():
        for seed, image in zip((5, 6), images, strict=True):
            expected = editor.render(recipe(Change(part, seed, 0.7, table[part]))).image
            torch.testing.assert_close(image, expected, rtol=1e-4, atol=1e-4)


def test_an_edit_says_what_its_pictures_show(editor: Editor) -> None:
    edit = editor.render(recipe(Change("hair", 5), Change("eyes", 6)))
    assert list(edit.pictures) == ["target", "hair of 5", "eyes of 6", "edit"]
    assert torch.equal(torch.stack(list(edit.pictures.values())[1:3]), edit.references)


@pytest.mark.parametrize("name", ["strength", "rho", "epsilon", "slope", "coarse", "rgb"])
def test_a_filmstrip_turns_one_knob(editor: Editor, name: str) -> None:
    method = "simultaneous" if name == "slope" else "sequential"
    change = Change("hair", 5, 1.0, replace(OPEN, method=method))
    frames = editor.filmstrip(recipe(change), name, [0.0, 0.4, 0.9])
    assert frames.shape == (3, 3, 16, 16)
    for frame, value in zip(frames, (0.0, 0.4, 0.9), strict=True):
        turned = (
            replace(change, strength=value)
            if name == "strength"
            else replace(change, settings=replace(change.settings, **{name: value}))
        )
        assert torch.equal(frame, editor.render(recipe(turned)).image)
    assert not torch.equal(frames[0], frames[2])
    with pytest.raises(ValueError, match="name must be one of 'strength', 'rho'"):
        editor.filmstrip(recipe(change), "method", [0])


def test_threads_get_their_own_pictures(lively: StyleGAN2, catalog: Catalog) -> None:
    """The cache is shared and changes with each target; no thread may see another's."""
    shared = Editor(lively, catalog)
    recipes = [recipe(Change("hair", 9 + i, 0.5, OPEN), target=i % 3) for i in range(12)] * 2
    expected = [Editor(lively, catalog).render(r).image for r in recipes[:12]] * 2
    with ThreadPoolExecutor(6) as executor:
        found = list(executor.map(lambda r: shared.render(r).image, recipes))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_threads_keep_the_pictures_they_wait_for(
    lively: StyleGAN2, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four threads ask for more than is remembered; none may throw out what another is about to take."""

    def slow(self: Editor, styles: Tensor, *_: object) -> Tensor:
        time.sleep(1e-3)  # lets the other threads in
        return styles[:, :1, None, None].expand(1, 3, 2, 2)

    monkeypatch.setattr(Editor, "_synthesize", slow)
    shared, wanted = Editor(lively, catalog), [range(40 * i, 40 * i + 40) for i in range(4)]
    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(lambda seeds: shared.pictures(seeds, truncation=0.6), wanted))
    for seeds, pictures in zip(wanted, found, strict=True):
        expected = torch.cat([lively.sample_styles(s, truncation=0.6)[:, 0] for s in seeds])
        assert torch.equal(pictures[:, 0, 0, 0], expected)


def test_errors_leave_the_editor_usable(editor: Editor) -> None:
    good = recipe(Change("hair", 5, settings=OPEN))
    before = editor.render(good).image
    with pytest.raises(ValueError, match="no part named 'haar'"):
        editor.render(recipe(Change("haar", 5)))
    with pytest.raises(ValueError, match="rho must be"):
        editor.render(recipe(Change("hair", 5, settings=QuerySettings(rho=-1))))
    with pytest.raises(ValueError, match="strength must be"):
        editor.render(recipe(Change("hair", 5, strength=2)))
    with pytest.raises(ValueError, match="target must be between 0"):
        editor.render(recipe(target=-1))
    with pytest.raises(ValueError, match="upto must be one of"):
        editor.render(good, upto=5)
    with ThreadPoolExecutor(1) as executor:  # the lock was given back
        assert torch.equal(executor.submit(lambda: editor.render(good).image).result(timeout=30), before)


def test_catalogs_and_recipes_of_others_are_refused(catalog: Catalog, editor: Editor) -> None:
    stranger = random_network(seed=9)
    stranger.name = "stranger"
    with pytest.raises(ArtifactError, match=r"'lively'.*'stranger'"):
        Editor(stranger, catalog)
    foreign = made_up_catalog(catalog.contributions, stranger).generator
    with pytest.raises(ArtifactError, match=r"'stranger'.*'lively'.*load that generator"):
        editor.render(replace(recipe(), generator=foreign))


def test_a_part_of_the_same_name_and_other_clusters_is_refused(
    lively: StyleGAN2, catalog: Catalog, editor: Editor, tmp_path: Path
) -> None:
    done = editor.render(recipe(Change("hair", 2, settings=OPEN))).recipe
    saved = Recipe.load(done.save(tmp_path / "r.json"))
    assert saved == done
    # (names of other parts do not matter, and a recipe may be changed to another part)
    renamed = Editor(lively, catalog.rename("eyes", "a pair of eyes"))
    assert torch.equal(renamed.render(saved).image, editor.render(saved).image)
    editor.render(replace(saved, changes=(Change("skin", 2, settings=OPEN),)))
    other = Editor(lively, catalog.named(["hair", "eyes", "skin", "skin", "mouth"]))
    with pytest.raises(ArtifactError, match=r"another catalog of 'lively'.*'hair' is other clusters"):
        other.render(saved)
    # one that was saved before parts were written into it replays
    assert other.render(replace(saved, parts=())).recipe.parts != done.parts


def test_a_rendering_can_be_stopped_and_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(seed=3, resolution=128)
    editor = Editor(network, made_up_catalog(torch.rand(2, network.num_styles), network, ["hair", "skin"]))
    wanted = recipe(Change("hair", 5, settings=OPEN))
    asked: list[int] = []
    with pytest.raises(Superseded):
        editor.render(wanted, stop=lambda: len(asked) == 2 or asked.append(1))
    whole = editor.render(wanted, stop=lambda: False)
    assert torch.equal(whole.image, editor.render(wanted).image)
    # it is asked as often where the cache has room for the first states alone
    often = list[int]()
    editor.render(wanted, stop=lambda: bool(often.append(1)))
    states = editor.cache(1, 0.8).states[1:]
    room = sum({id(t): t.nbytes for state in states for t in state if t is not None}.values())
    with monkeypatch.context() as patch:
        patch.setattr("lefs.synthesis._BUDGET", room - 1)
        bounded = Editor(network, editor.catalog)
        assert bounded.cache(1, 0.8).until is not None
        seldom = list[int]()
        again = bounded.render(wanted, stop=lambda: bool(seldom.append(1)))
    assert len(seldom) == len(often) > 0
    torch.testing.assert_close(again.image, whole.image)
    # a preview makes no cache of another target, and is the same picture
    preview = editor.render(replace(wanted, target=7), upto=64).image
    assert editor.cache(1, 0.8) is editor.cache(1, 0.8)
    editor.cache(7, 0.8)
    assert torch.equal(editor.render(replace(wanted, target=7), upto=64).image, preview)


# -- recipes -----------------------------------------------------------------------------------------------


def test_a_saved_recipe_replays_the_same_picture(
    lively: StyleGAN2, catalog: Catalog, editor: Editor, tmp_path: Path
) -> None:
    chosen = QuerySettings("simultaneous", rho=0.3, epsilon=2.5, slope=1.1, coarse=0.7, rgb=0.2)
    edit = editor.render(recipe(Change("hair", 5, 0.6, chosen), Change("eyes", 6)))
    assert edit.recipe.generator == catalog.generator
    found = Recipe.load(edit.recipe.save(tmp_path / "edit.json"))
    assert found == edit.recipe
    again = Editor(lively, catalog).render(found)
    assert torch.equal(again.image, edit.image)
    assert torch.equal(again.styles, edit.styles)


def test_recipes_and_catalogs_of_a_conditional_generator_know_their_class(tmp_path: Path) -> None:
    network = random_network(seed=4, label_dim=3)
    two = network.with_label(2)
    found = dissect(two, range(4), clusters=2, progress=False)
    assert found.sampling.label == 2
    assert Catalog.load(found.save(tmp_path)).sampling == found.sampling
    edit = Editor(two, found).render(recipe(Change("cluster 0", 5)))
    again = Recipe.load(edit.recipe.save(tmp_path / "edit.json"))
    assert again.label == 2
    # whatever class the generator usually takes, the recipe's is replayed
    for other in (network, network.with_label(1)):
        replayed = Editor(other, found).render(again)
        assert torch.equal(replayed.image, edit.image)
        assert torch.equal(replayed.references, edit.references)
    assert not torch.equal(Editor(network.with_label(1), found).render(recipe(target=1)).target, edit.target)
    with pytest.raises(ValueError, match="labels"):
        Editor(two, found).render(replace(again, label=7))


def test_classes_mixed_in_every_record(tmp_path: Path) -> None:
    network, mixed = random_network(seed=4, label_dim=3), (0.25, 0.0, 0.75)
    for labelled in (network.with_label(mixed), network.with_label(np.array(mixed))):
        assert labelled.default_label == mixed
    found = dissect(labelled, range(4), clusters=2, progress=False)
    assert Catalog.load(found.save(tmp_path)).sampling == found.sampling
    assert found.sampling.label == mixed
    bank = PartBank.of(labelled, found, range(3), progress=False)
    assert PartBank.load(bank.save(tmp_path)).label == mixed
    editor = Editor(network, found)
    edit = editor.render(replace(recipe(Change("cluster 0", 5)), label=list(mixed)))
    again = Recipe.load(edit.recipe.save(tmp_path / "edit.json"))
    assert again == edit.recipe
    assert torch.equal(Editor(labelled, found).render(again).image, edit.image)
    pictures = editor.pictures([1, 5], label=list(mixed))
    torch.testing.assert_close(pictures, network.synthesize(labelled.sample([1, 5], truncation=0.7)))
    assert editor.grid(1, [5], ["cluster 0"], label=mixed)["cluster 0"].isfinite().all()
    assert (
        lefs.invert(network, pictures[0], steps=1, label=mixed, samples=2, progress=False)
        .styles.isfinite()
        .all()
    )
    for wrong in ((1.0, 2.0), (0.0, 0.0, float("nan")), 3):
        with pytest.raises(ValueError, match="label"):
            network.with_label(wrong)


def test_an_unrendered_recipe_round_trips(tmp_path: Path) -> None:
    plain = Recipe(4)
    assert Recipe.load(plain.save(tmp_path / "r.json")) == plain


def test_a_recipe_with_numbers_of_numpy_or_torch_is_that_of_python_s(tmp_path: Path) -> None:
    settings = QuerySettings(
        slope=2.5, coarse=1.0, rgb=0.5, leak=8.0, refine=2, tone=True, epsilon=[1.0, 2.0]
    )
    plain = Recipe(4, (Change("hair", 5, 0.5, settings),), 0.25)
    kinds = {"epsilon": np.array, "tone": np.bool_, "refine": np.int64, "slope": np.float32}
    foreign = {
        name: kinds.get(name, torch.tensor)(getattr(settings, name)) for name in (*kinds, "leak", "rgb")
    }
    other = Recipe(
        np.int64(4), [Change("hair", 5, np.float32(0.5), replace(settings, **foreign))], torch.tensor(0.25)
    )
    assert other == plain
    assert hash(other) == hash(plain)
    assert other.save(tmp_path / "r.json").read_bytes() == plain.save(tmp_path / "s.json").read_bytes()


def test_what_is_not_a_change_or_a_recipe_is_told_where_it_is_written() -> None:
    wrong: list[tuple[type[Exception], str, Any]] = [
        (TypeError, "give the latter by name", lambda: Change("hair", 5, 1.0, {"where": "part"})),
        (TypeError, "part must be a name", lambda: Change(3, 5)),
        (TypeError, "strength must be a number", lambda: Change("hair", 5, OPEN)),
        (TypeError, r"such as \(change,\)", lambda: Recipe(1, Change("hair", 5))),
        (TypeError, "changes must be", lambda: Recipe(1, ("hair",))),
        (TypeError, "truncation must be a number", lambda: Recipe(1, truncation="wide")),
        (ValueError, "tone must be one of False, True", lambda: QuerySettings(tone="no")),
    ]
    for error, message, make in wrong:
        with pytest.raises(error, match=message):
            make()


@pytest.mark.parametrize(
    "change",
    [
        {"changes": None},
        {"changes": [{}]},
        {"changes": [3]},
        {"changes": [{"part": "a", "reference": 1, "strength": 1, "settings": {"unknown": 1}}]},
        {"generator": {"label": "x"}},
        {"generator": "x"},
    ],
)
def test_damaged_recipes(tmp_path: Path, change: dict) -> None:
    path = Recipe(4).save(tmp_path / "r.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ArtifactError, match=r"r\.json is not a whole recipe"):
        Recipe.load(path)
    for missing in ("target", "changes", "truncation"):
        content = json.loads(Recipe(4).save(path).read_text())
        del content[missing]
        path.write_text(json.dumps(content))
        with pytest.raises(ArtifactError, match=missing):
            Recipe.load(path)


def test_pictures_are_kept_by_their_size(
    lively: StyleGAN2, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = Editor(lively, catalog)
    one = editor.pictures([0]).nbytes
    monkeypatch.setattr("lefs.editor._KEPT", 3 * one)
    assert len(editor.pictures(range(9))) == 9
    assert sum(image.nbytes for image in editor._pictures.values()) == 3 * one
    expected = lively.synthesize(lively.sample(range(9), truncation=0.7))
    torch.testing.assert_close(editor.pictures(range(9)), expected, rtol=1e-4, atol=1e-4)


def test_what_edits_in_place_need_is_kept_by_its_size(
    lively: StyleGAN2, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor, part = Editor(lively, catalog), next(iter(catalog.parts))
    options = {"parts": [part], "settings": QuerySettings(where="part", tone=True)}
    expected = editor.grid(0, range(1, 9), **options)[part]
    assert len(editor._sides) == 9
    sizes = [side.nbytes for side in editor._sides.values()]
    assert min(sizes) > 0
    editor = Editor(lively, catalog)
    monkeypatch.setattr("lefs.editor._KEPT", 3 * max(sizes))
    torch.testing.assert_close(editor.grid(0, range(1, 9), **options)[part], expected)
    assert sum(side.nbytes for side in editor._sides.values()) <= 4 * max(sizes)


def test_a_grid_of_one_class() -> None:
    network = random_network(seed=4, label_dim=3)
    found = dissect(network.with_label(2), range(4), clusters=3, progress=False)
    editor = Editor(network, found)
    for label in (0, 2):
        grid = editor.grid(1, [5], ["cluster 0"], label=label)["cluster 0"][0]
        recipe = Recipe(1, (Change("cluster 0", 5),), label=label)
        torch.testing.assert_close(grid, editor.render(recipe).image, rtol=1e-4, atol=1e-5)


# -- other sources than seeds --------------------------------------------------------------------------------


def test_any_source_edits_like_the_seed_it_came_from(
    lively: StyleGAN2, catalog: Catalog, editor: Editor, tmp_path: Path
) -> None:
    change = Change("hair", 2, settings=OPEN)
    expected = editor.render(Recipe(1, (change,), truncation=1.0))
    w, styles = lively.map(lively.latents([1])), lively.sample([1])
    np.savez(tmp_path / "projected_w.npz", w=w.numpy().astype(np.float64))
    for target in (w, w[0], w[0, 0].numpy(), styles, tmp_path / "projected_w.npz"):
        # (truncation is of seeds alone)
        for source, truncation in ((2, 1.0), (lively.sample([2]), 0.3)):
            edit = editor.render(Recipe(target, (replace(change, reference=source),), truncation))
            torch.testing.assert_close(edit.image, expected.image, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(edit.target, expected.target, rtol=1e-5, atol=1e-5)


def test_a_recipe_keeps_the_styles_of_what_is_not_a_seed(
    lively: StyleGAN2, editor: Editor, catalog: Catalog, tmp_path: Path
) -> None:
    made = Recipe(lively.sample([5]) + 0.125, (Change("hair", lively.sample([2]), settings=OPEN),))
    with pytest.raises(TypeError, match=r"has a Tensor: save editor\.sign"):
        made.save(tmp_path / "recipe.json")
    edit = editor.render(made)
    assert list(edit.pictures) == ["target", "hair of picture", "edit"]
    again = Recipe.load(edit.recipe.save(tmp_path / "recipe.json"))
    assert again == edit.recipe
    assert torch.equal(Editor(lively, catalog).render(again).image, edit.image)


def test_styles_that_were_tampered_with_are_refused(
    lively: StyleGAN2, editor: Editor, tmp_path: Path
) -> None:
    path = editor.sign(Recipe(lively.sample([5]))).save(tmp_path / "recipe.json")
    written = json.loads(path.read_text())
    text = written["target"]["text"]
    for wrong in (text[:-8] + "AAAAAAA=", "é", "", text + text, 3, None):
        path.write_text(json.dumps({**written, "target": {**written["target"], "text": wrong}}))
        with pytest.raises(ArtifactError, match=r"not those that were saved|recipe"):
            Recipe.load(path)
    path.write_text(json.dumps({**written, "target": {**written["target"], "name": "\x1b[2J" + "x" * 9999}}))
    assert str(Recipe.load(path).target).isprintable()
    assert len(str(Recipe.load(path).target)) < 400
    drawn = vars(lefs.KeptMask.of(torch.ones(8, 8, dtype=torch.bool)))
    for name, value in {"height": 9, "width": 7, "sha256": "0" * 64, "text": "eJxj"}.items():
        with pytest.raises(ArtifactError, match="mask is not the one"):
            lefs.KeptMask(**{**drawn, name: value}).mask()


def test_sources_of_another_network_or_with_nan_say_so(lively: StyleGAN2, editor: Editor) -> None:
    for wrong, message in (
        (torch.zeros(1, 3), "must be one image's"),
        (lively.sample([1]) * math.nan, "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            editor.render(Recipe(wrong))
        with pytest.raises(ValueError, match=message):
            editor.render(Recipe(1, (Change("hair", wrong),)))


# -- what is given by mistake --------------------------------------------------------------------------------


def test_an_editor_takes_a_catalog_by_its_name(tmp_path: Path) -> None:
    generator, catalog = lefs.load("portraits-64"), Catalog.load("portraits-64")
    for source in ("portraits-64", catalog.save(tmp_path)):
        assert Editor(generator, source).catalog.parts == catalog.parts
    with pytest.raises(ArtifactError, match="'portrait' is not a file or folder here"):
        Editor(generator, "portrait")
    with pytest.raises(ArtifactError, match="this catalog belongs to generator 'portraits'"):
        Editor(generator, "portraits")
    with pytest.raises(TypeError, match="a name or path must be a text or a Path, got int"):
        Editor(generator, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"generator must be a lefs.Generator, got 'portraits-64'"):
        Editor("portraits-64", catalog)  # type: ignore[arg-type]


def test_what_is_not_a_recipe_is_told_how_to_read_one(editor: Editor, tmp_path: Path) -> None:
    acts: list[Any] = [
        editor.render,
        editor.sign,
        lambda given: editor.filmstrip(given, "strength", [0.5]),
        lambda given: lefs.animate(editor, [given], tmp_path / "way.gif", progress=False),
    ]
    for act in acts:
        with pytest.raises(TypeError, match=r"recipe must be a Recipe, as Recipe.load reads one; got 'file"):
            act("file.json")


def test_empty_lists_say_what_to_give(editor: Editor, tmp_path: Path) -> None:
    change, path = recipe(Change("hair", 5)), tmp_path / "way.gif"
    empty: dict[str, Any] = {
        "references is empty; give at least one seed": lambda: editor.grid(1, [], ["hair"]),
        "parts is empty; give the names of some": lambda: editor.grid(1, [2], []),
        "values is empty; give what the setting takes": lambda: editor.filmstrip(change, "rho", []),
        "values is empty; give what the setting takes in turn": lambda: lefs.animate(
            editor, change, path, values=[], progress=False
        ),
        "recipe is empty; give at least one": lambda: lefs.animate(editor, [], path, progress=False),
    }
    for message, act in empty.items():
        with pytest.raises(ValueError, match=message):
            act()
    assert not path.exists()
    assert len(editor.pictures([])) == 0


def test_a_table_of_settings_without_the_part_lists_those_it_has(editor: Editor) -> None:
    with pytest.raises(ValueError, match=r"settings: no part named 'hair'.* Choose from: eyes, skin"):
        editor.grid(1, [2], ["hair"], settings={"eyes": OPEN, "skin": OPEN})
    for wrong in ("sequential", {"hair": "sequential"}):
        with pytest.raises(TypeError, match="settings QuerySettings, got 'hair' and 'sequential'"):
            editor.grid(1, [2], ["hair"], settings=wrong)  # type: ignore[arg-type]


def test_styles_of_a_source_do_not_depend_on_what_else_is_asked(editor: Editor) -> None:
    together = editor.render(recipe(*(Change("hair", seed, settings=OPEN) for seed in (5, 6, 7))))
    for i, seed in enumerate((5, 6, 7)):
        assert torch.equal(editor.render(recipe(Change("hair", seed))).references[0], together.references[i])
    everything = QuerySettings("global")
    alone = editor.render(recipe(Change("hair", 6, settings=everything))).styles
    assert torch.equal(editor.render(recipe(target=6)).styles, alone)
