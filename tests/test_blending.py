"""Edits in place: exact ends, the definition by hand, masks, alignment, every architecture, the editor."""

from __future__ import annotations

import base64
import json
import weakref
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d

from lefs import Catalog, Change, Editor, Generator, QuerySettings, Recipe, StyleGAN2, dissect, load
from lefs.blending import Blending, Side, blending_layer, in_place
from lefs.positions import main_pieces, offsets
from lefs.records import ArtifactError
from lefs.synthesis import Cache

IN_PLACE = QuerySettings(where="part")
ONCE = QuerySettings(where="part", refine=None)
FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def catalog(lively: StyleGAN2) -> Catalog:
    return dissect(lively, range(16), clusters=4, layer="b8.conv1+b16.conv0")


@pytest.fixture(scope="module")
def styles(lively: StyleGAN2) -> Tensor:
    return lively.sample_styles(range(4))


def part_of(catalog: Catalog, generator: Generator, styles: Tensor) -> str:
    """The part that has most of the image in which it has least."""
    masks = catalog.part_masks(generator, styles)
    return max(masks, key=lambda part: float(masks[part].flatten(1).float().mean(1).min()))


def test_method_of_an_edit_in_place_is_every_channel_unless_one_is_named() -> None:
    assert QuerySettings().method == "sequential"
    assert IN_PLACE.method == "global"
    assert QuerySettings("simultaneous", where="part").method == "simultaneous"
    with pytest.raises(ValueError, match="where must be"):
        QuerySettings(where="somewhere")  # type: ignore[arg-type]


# -- exact ends ----------------------------------------------------------------------------------------------


def test_strength_zero_and_an_equal_reference_give_the_target(
    lively: StyleGAN2, catalog: Catalog, styles: Tensor
) -> None:
    target, part = lively.synthesize(styles), part_of(catalog, lively, styles)
    other = styles.flip(0)
    assert torch.equal(in_place(lively, catalog, part, styles, other, strength=0), target)
    assert torch.equal(in_place(lively, catalog, part, styles, styles), target)


def test_where_nothing_is_masked_it_is_the_target_and_where_all_is_the_reference(
    lively: StyleGAN2, catalog: Catalog, styles: Tensor
) -> None:
    # Behind the last of the maps that are mixed come the target's styles: only colours may stay its own.
    generator, layer = lively, blending_layer(catalog)
    whole, none = torch.ones(4, 16, 16, dtype=torch.bool), torch.zeros(4, 16, 16, dtype=torch.bool)
    part, other = part_of(catalog, lively, styles), styles.flip(0)
    found = in_place(generator, catalog, part, styles, other, settings=ONCE, masks=(whole, none))
    begun = generator.state(other, layer)
    index = [la.name for la in generator.layers].index(layer)
    state = begun.states[index]
    for la in generator.layers[index:]:
        state = generator._step(la, generator._enter(la, state, "const"), styles, "const")
    torch.testing.assert_close(found, generator._finish(state, 16), rtol=0, atol=1e-6)


# -- the definition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_it_is_the_definition(lively: StyleGAN2, catalog: Catalog, styles: Tensor, strength: float) -> None:
    part, other = part_of(catalog, lively, styles), styles.flip(0)
    side = 2 * catalog.columns.side
    own, theirs = (main_pieces(catalog.part_masks(lively, s, size=side)[part]) for s in (styles, other))
    growth = side // 8  # a position of the map that is mixed
    grown = max_pool2d((own | theirs)[:, None].float(), 2 * growth + 1, stride=1, padding=growth)
    moved = styles + strength * (other - styles)
    states: list[tuple[Tensor | None, ...]] = [lively._begin(s) for s in (styles, moved)]
    begin = [la.name for la in lively.layers].index(blending_layer(catalog))
    for la in lively.layers[:begin]:
        states = [lively._step(la, x, s, "const") for x, s in zip(states, (styles, moved), strict=True)]
    mixed: list[Tensor | None] = []
    for a, b in zip(*states, strict=True):
        m = None if a is None else adaptive_avg_pool2d(grown, a.shape[-1])
        mixed.append(None if a is None or b is None or m is None else a + m * (b - a))
    state = tuple(mixed)
    for la in lively.layers[begin:]:
        state = lively._step(la, state, styles, "const")
    expected = lively._finish(state, 16)
    found = in_place(lively, catalog, part, styles, other, settings=ONCE, strength=strength)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_named_method_moves_its_channels_alone(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    part, other = part_of(catalog, lively, styles), styles.flip(0)
    none = QuerySettings("sequential", epsilon=0, rho=1e6, where="part")
    assert torch.equal(
        in_place(lively, catalog, part, styles, other, settings=none), lively.synthesize(styles)
    )


def test_one_target_stands_against_many_references(
    lively: StyleGAN2, catalog: Catalog, styles: Tensor
) -> None:
    part = part_of(catalog, lively, styles)
    for options in ({}, {"tone": True}, {"align": True}, {"transplant": True}, {"refine": None}):
        chosen = replace(IN_PLACE, **options)
        found = in_place(lively, catalog, part, styles[:1], styles[1:], settings=chosen)
        alone = [
            in_place(lively, catalog, part, styles[:1], styles[i : i + 1], settings=chosen)[0]
            for i in range(1, 4)
        ]
        torch.testing.assert_close(found, torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_a_second_blend_changes_less_outside(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    part, other, before = part_of(catalog, lively, styles), styles.flip(0), lively.synthesize(styles)
    masks = [catalog.part_masks(lively, s)[part] for s in (styles, other)]
    outside = ~(max_pool2d((masks[0] | masks[1])[:, None].float(), 5, stride=1, padding=2) > 0)
    once, twice = (
        in_place(lively, catalog, part, styles, other, settings=replace(IN_PLACE, refine=refine))
        for refine in (None, 1)
    )
    leak = [float(((edit - before).square() * outside).sum()) for edit in (once, twice)]
    assert 0 < leak[1] < 0.9 * leak[0]


def test_tones_beside_the_part_become_the_targets(lively: StyleGAN2, catalog: Catalog) -> None:
    layer, random = lively.layer("b16.conv0"), torch.Generator().manual_seed(0)
    index = [la.name for la in lively.layers].index(layer.name)
    own = torch.randn(2, layer.channels, 8, 8, generator=random)
    part = torch.zeros(2, 16, 16, dtype=torch.bool)
    part[:, 4:10, 4:8] = True
    given = own + torch.randn(2, layer.channels, 1, 1, generator=random)
    masks = {"mouth": part, "skin": ~part}
    sides = []
    for maps in (own, given):
        cache = Cache.only(index, (maps, None, None), lively.sample([1, 2]), "const")
        sides.append(Side(cache.styles, cache, masks))
    found = Blending(lively, catalog)._toned("mouth", *sides, sides[1].state, 1.0).states[index][0]
    inside = max_pool2d(part[:, None].float(), 2) > 0
    assert found is not None
    torch.testing.assert_close(found, torch.where(inside, given, own), rtol=1e-4, atol=1e-5)


def test_tones_hold_in_every_option(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    part, other, before = part_of(catalog, lively, styles), styles.flip(0), lively.synthesize(styles)
    toned = replace(IN_PLACE, tone=True)
    assert torch.equal(in_place(lively, catalog, part, styles, other, settings=toned, strength=0), before)
    plain = in_place(lively, catalog, part, styles, other)
    assert not torch.equal(in_place(lively, catalog, part, styles, other, settings=toned), plain)


def test_plain_arrays_are_taken(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    part, other = part_of(catalog, lively, styles), styles.flip(0)
    expected = in_place(lively, catalog, part, styles, other)
    arrays: Any = (styles.numpy(), other.numpy())
    assert torch.equal(in_place(lively, catalog, part, *arrays), expected)
    masks: Any = tuple(catalog.part_masks(lively, s, size=16)[part] for s in (styles, other))
    expected = in_place(lively, catalog, part, styles, other, masks=masks)
    assert torch.equal(in_place(lively, catalog, part, *arrays, masks=[m.numpy() for m in masks]), expected)
    with pytest.raises(ValueError, match=r"mask must have shape \(N, H, W\).*got \(16, 16\)"):
        in_place(lively, catalog, part, *arrays, masks=[m[0].numpy() for m in masks])
    with pytest.raises(ValueError, match="strength must be"):
        in_place(lively, catalog, part, *arrays, strength=2)


# -- masks and alignment -------------------------------------------------------------------------------------


def test_a_part_that_neither_shows_has_no_place(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    none = torch.zeros(1, 16, 16, dtype=torch.bool)
    with pytest.raises(ValueError, match="is in neither target nor reference"):
        in_place(lively, catalog, next(iter(catalog.parts)), styles[:1], styles[1:2], masks=(none, none))


def test_a_part_that_does_not_exist_lists_those_that_do(
    lively: StyleGAN2, catalog: Catalog, styles: Tensor
) -> None:
    with pytest.raises(ValueError, match="cluster 0"):
        in_place(lively, catalog, "chin", styles[:1], styles[1:2])
    with pytest.raises(ValueError, match="cluster 0"):
        Editor(lively, catalog).grid(1, [2], ["chin"], settings=IN_PLACE)


def test_masks_of_ones_own_stand_for_the_catalogs(
    lively: StyleGAN2, catalog: Catalog, styles: Tensor
) -> None:
    part, other = part_of(catalog, lively, styles), styles.flip(0)
    side = 2 * catalog.columns.side
    own, theirs = (main_pieces(catalog.part_masks(lively, s, size=side)[part]) for s in (styles, other))
    found = in_place(lively, catalog, part, styles, other, masks=(own, theirs))
    assert torch.equal(found, in_place(lively, catalog, part, styles, other))
    with pytest.raises(ValueError, match="masks must be a pair, of target and of reference; got 1"):
        in_place(lively, catalog, part, styles, other, masks=(own,))  # type: ignore[arg-type]


def test_specks_are_left_out_and_pairs_are_not() -> None:
    mask = torch.zeros(2, 40, 40, dtype=torch.bool)
    mask[0, :10, :10] = mask[0, 30:, 30:] = True  # two pieces of 100 pixels
    mask[0, 20, 20] = mask[0, 21, 21] = True  # one of two, which hang together at a corner
    mask[1, 3, 3:7] = mask[1, 30, 30] = True  # small, but of the size of what is there
    expected = mask.clone()
    expected[0, 20:22] = False
    assert main_pieces(mask).equal(expected)
    assert main_pieces(torch.zeros_like(mask)).equal(torch.zeros_like(mask))


def test_specks_of_a_mask_of_ones_own_are_edited(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    part, drawn = part_of(catalog, lively, styles), torch.zeros(1, *lively.size, dtype=torch.bool)
    drawn[:, :16, :16] = drawn[:, -1, -1] = True
    target, edit = (
        lively.synthesize(styles[:1]),
        in_place(lively, catalog, part, styles[:1], styles[1:2], settings=IN_PLACE, masks=(drawn, drawn)),
    )
    assert not target[..., -4:, -4:].equal(edit[..., -4:, -4:])


def test_only_parts_that_lie_apart_are_moved_if_so_told(
    lively: StyleGAN2, catalog: Catalog, styles: Tensor
) -> None:
    part, other = part_of(catalog, lively, styles), styles.flip(0)
    blob = torch.zeros(4, 16, 16, dtype=torch.bool)
    blob[:, 6:10, 6:10] = True
    # over each other; beside each other; of unlike sizes, so that no move helps; in one of them alone
    theirs = torch.stack([blob[0], blob[0].roll((2, -2), (1, 0)), torch.ones(16, 16).bool(), blob[0] & False])
    apart, never, always = (
        in_place(lively, catalog, part, styles, other, settings=settings, masks=(blob, theirs))
        for settings in (replace(IN_PLACE, align="apart"), IN_PLACE, replace(IN_PLACE, align=True))
    )
    assert [torch.equal(a, b) for a, b in zip(apart, never, strict=True)] == [True, False, True, True]
    assert torch.equal(apart[1], always[1])
    moved: dict[str, Any] = {"settings": replace(IN_PLACE, align=True), "masks": (blob, theirs)}
    still = in_place(lively, catalog, part, styles, other, strength=0, **moved)
    assert torch.equal(still, lively.synthesize(styles)), "nothing of the target's own moves either"
    with pytest.raises(ValueError, match="align must be one of False, 'apart', True"):
        QuerySettings(align="always")  # type: ignore[arg-type]


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-2, 4), (4, -4)])
def test_offsets_bring_a_moved_part_back(right: int, down: int) -> None:
    blob = torch.zeros(2, 32, 32, dtype=torch.bool)
    blob[0, 10:17, 12:22], blob[1, 11:15, 8:20] = True, True
    blob[0, 10:12, 12:14] = False
    found = offsets(blob.roll((down, right), (1, 2)), blob)
    torch.testing.assert_close(found * 32, torch.tensor([[float(right), float(down)]] * 2))
    assert not offsets(blob, torch.zeros_like(blob)).any()
    tall = torch.cat([blob, torch.zeros_like(blob)], dim=1)  # (64 x 32)
    found = offsets(tall.roll((down, right), (1, 2)), tall)
    torch.testing.assert_close(found, torch.tensor([[right / 32, down / 64]] * 2))


# -- every architecture --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    ["genforce/stylegan.pth", "genforce/progan.pth", "stylegan3/t.pkl", "nvlabs_stylegan2/ada_resnet.pkl"],
)
def test_other_architectures(file: str) -> None:
    generator = load(FIXTURES / file)
    names = [la.name for la in generator.layers if la.kind == "conv"]
    middle = names[len(names) // 2]
    catalog = dissect(generator, range(8), clusters=3, layer=f"{middle}+{names[len(names) // 2 + 1]}")
    styles = generator.sample(range(4))
    part = part_of(catalog, generator, styles)
    target, other = styles[:2], styles[2:]
    before = generator.synthesize(target)
    assert torch.equal(in_place(generator, catalog, part, target, other, strength=0), before)
    for options in ({}, {"tone": True}, {"align": True}, {"refine": None}):
        chosen = replace(IN_PLACE, **options)
        edit = in_place(generator, catalog, part, target, other, settings=chosen)
        assert edit.shape == before.shape
        assert not torch.equal(edit, before)
    for upto in generator.preview_sizes:
        assert in_place(generator, catalog, part, target, other, upto=upto).shape[-1] == upto
    edit = Editor(generator, catalog).render(Recipe(0, (Change(part, 2, 1.0, IN_PLACE),), truncation=1.0))
    pair = generator.sample([0]), generator.sample([2])  # (alone, so that they are rounded alike)
    expected = in_place(generator, catalog, part, *pair)[0]
    torch.testing.assert_close(edit.image, expected, rtol=1e-4, atol=1e-4)


# -- the editor ----------------------------------------------------------------------------------------------


def test_changes_in_place_lie_one_over_the_other(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    part = part_of(catalog, lively, styles)
    editor = Editor(lively, catalog)

    def render(*changes: Change) -> Tensor:
        return editor.render(Recipe(0, changes, truncation=1.0)).image

    def blended(*changes: Change) -> Cache:
        work, q = Blending(lively, catalog), torch.ones(lively.num_styles)
        sides = [work.side(one) for one in styles.split(1)]
        return work.edited(sides[0].state, [(c, q, (sides[0], sides[c.reference])) for c in changes])

    first, last = (Change(part, seed, 1.0, IN_PLACE) for seed in (1, 2))
    assert not torch.equal(render(first, last), render(last, first))
    # what comes last covers what came before where both are
    covered, alone = blended(first, last), blended(last)
    masks = [catalog.part_masks(lively, styles[i : i + 1], size=32)[part] for i in range(3)]
    assert covered.until == alone.until
    growth = 2 * catalog.columns.side // 8
    inside = adaptive_avg_pool2d(
        max_pool2d((masks[0] | masks[2])[:, None].float(), 2 * growth + 1, stride=1, padding=growth), 8
    )
    a, b = (cache.states[cache.until or 0][0] for cache in (covered, alone))
    assert a is not None
    assert b is not None
    torch.testing.assert_close(a * (inside == 1), b * (inside == 1), rtol=1e-4, atol=1e-5)


def test_a_change_of_no_strength_leaves_those_before_it(lively: StyleGAN2, catalog: Catalog) -> None:
    editor = Editor(lively, catalog)
    one, other = list(catalog.parts)[:2]
    beneath = [
        Change(one, 1, 1.0, IN_PLACE),
        Change(one, 1, 1.0, QuerySettings(rho=0, epsilon=8, coarse=1, rgb=1)),
    ]
    options: list[dict[str, Any]] = [{}, {"transplant": True}, {"align": True}, {"refine": None}]
    for before in beneath:
        alone = editor.render(Recipe(0, (before,), truncation=1.0)).image
        for option in options:
            none, all_ = (
                editor.render(
                    Recipe(
                        0, (before, Change(other, 2, strength, replace(IN_PLACE, **option))), truncation=1.0
                    )
                ).image
                for strength in (0.0, 1.0)
            )
            torch.testing.assert_close(none, alone, rtol=1e-4, atol=1e-4)
            assert (all_ - alone).abs().max() > 0.01


def test_channels_move_beneath_changes_in_place(lively: StyleGAN2, catalog: Catalog) -> None:
    parts = list(catalog.parts)
    everywhere = Change(parts[0], 1, 1.0, QuerySettings(rho=0, epsilon=8, coarse=1, rgb=1))
    edit = Editor(lively, catalog).render(
        Recipe(0, (everywhere, Change(parts[1], 2, 1.0, IN_PLACE)), truncation=1.0)
    )
    alone = Editor(lively, catalog).render(Recipe(0, (everywhere,), truncation=1.0))
    torch.testing.assert_close(edit.styles, alone.styles)
    assert torch.equal(edit.query, alone.query)
    assert not torch.equal(edit.image, alone.image)


def test_kept_states_change_nothing(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    part = part_of(catalog, lively, styles)
    editor = Editor(lively, catalog)
    for strength in (1.0, 0.3, 0.7):
        for upto in (None, 8):
            recipe = Recipe(0, (Change(part, 1, strength, IN_PLACE), Change(part, 3, 1.0, IN_PLACE)), 1.0)
            kept = editor.render(recipe, upto=upto).image
            assert torch.equal(kept, Editor(lively, catalog).render(recipe, upto=upto).image)


def test_an_editor_keeps_the_states_of_one_target_alone(lively: StyleGAN2, catalog: Catalog) -> None:
    part, editor = next(iter(catalog.parts)), Editor(lively, catalog)
    caches = []
    for target in range(3):
        editor.render(Recipe(target, (Change(part, 9, 1.0, IN_PLACE),), truncation=1.0))
        caches.append(weakref.ref(editor.cache(target, 1.0)))
    assert [cache() is None for cache in caches] == [True, True, False]


def test_recipes_keep_where(lively: StyleGAN2, catalog: Catalog, tmp_path: Path) -> None:
    chosen = replace(IN_PLACE, refine=None)
    recipe = Recipe(0, (Change(next(iter(catalog.parts)), 1, 0.5, chosen),), truncation=1.0)
    edit = Editor(lively, catalog).render(recipe)
    again = Recipe.load(edit.recipe.save(tmp_path / "recipe.json"))
    assert again == edit.recipe
    assert torch.equal(Editor(lively, catalog).render(again).image, edit.image)


# -- masks that somebody drew, in recipes -------------------------------------------------------------------


@pytest.fixture
def drawn() -> Tensor:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[3:17, 8:21] = True
    return mask


def test_a_recipe_takes_a_mask_and_replays_it(
    lively: StyleGAN2, catalog: Catalog, drawn: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "drawn.png"
    Image.fromarray(drawn.numpy()).save(path)
    editor = Editor(lively, catalog)
    edits = [
        editor.render(Recipe(1, (Change("scar", 2, settings=IN_PLACE, mask=mask),)))
        for mask in (drawn, drawn.numpy(), path, Image.open(path))
    ]
    assert len({edit.recipe for edit in edits}) == 1
    masks = drawn[None], drawn[None]
    pair = (lively.sample([seed], truncation=0.7) for seed in (1, 2))
    wanted = in_place(lively, catalog, "scar", *pair, masks=masks)[0]
    assert torch.equal(edits[0].image, wanted)
    again = Recipe.load(edits[0].recipe.save(tmp_path / "recipe.json"))
    assert again == edits[0].recipe
    assert torch.equal(Editor(lively, catalog).render(again).image, wanted)
    # (four times as many pixels say the same)
    large = drawn.repeat_interleave(2, 0).repeat_interleave(2, 1)
    change = Change("scar", 2, settings=IN_PLACE, mask=large)
    assert torch.equal(editor.render(Recipe(1, (change,))).image, wanted)


def test_a_mask_and_a_part_lie_one_over_the_other(lively: StyleGAN2, catalog: Catalog, drawn: Tensor) -> None:
    settings = replace(IN_PLACE, tone=True)
    part = part_of(catalog, lively, lively.sample([1, 2, 3], truncation=0.7))
    changes = Change(part, 2, settings=settings), Change("scar", 3, settings=settings, mask=drawn)
    editor = Editor(lively, catalog)
    both, first = editor.render(Recipe(1, changes)), editor.render(Recipe(1, changes[:1]))
    assert not torch.equal(both.image, first.image)
    assert torch.equal(editor.render(Recipe(1, changes[:1])).image, first.image)


def test_a_mask_that_cannot_be_is_told(
    lively: StyleGAN2, catalog: Catalog, drawn: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="got 0 bright pixels of 32 x 32"):
        Change("hair", 2, settings=IN_PLACE, mask=torch.zeros_like(drawn))
    with pytest.raises(ValueError, match=r"channels act wherever .*where=\"part\""):
        Change("hair", 2, mask=drawn)
    with pytest.raises(ValueError, match="proportions of the images"):
        Editor(lively, catalog).render(Recipe(1, (Change("a", 2, settings=IN_PLACE, mask=drawn[:20]),)))
    path = tmp_path / "recipe.json"
    Recipe(1, (Change("scar", 2, settings=IN_PLACE, mask=drawn),)).save(path)
    meta = json.loads(path.read_text(encoding="utf-8"))
    kept = meta["changes"][0]["mask"]
    bomb = base64.b64encode(zlib.compress(bytes(2**24))).decode()
    for entry in ({"text": bomb}, {"height": 2**40}, {"width": 31}, {"sha256": "0" * 64}, {"text": 3}):
        meta["changes"][0]["mask"] = kept | entry
        path.write_text(json.dumps(meta), encoding="utf-8")
        with pytest.raises(ArtifactError):
            Recipe.load(path)
    for nothing in ("", 0, False, [], {}):
        meta["changes"][0]["mask"] = nothing
        path.write_text(json.dumps(meta), encoding="utf-8")
        with pytest.raises(ArtifactError, match=f"{path.name} is not a whole recipe.*KeptMask"):
            Recipe.load(path)
