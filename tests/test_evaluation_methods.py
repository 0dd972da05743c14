"""Every method on a generator whose parts are known, and what each must keep to by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_of_quarters import EACH, NAMES, QuarterGenerator, Quarters, quarter_catalog, quarters
from torch import Tensor

from lefs import Catalog, Generator, QuerySettings, StyleGAN2, dissect
from lefs.blending import in_place
from lefs.directions import layer_range
from lefs.effects import by_effect
from lefs.evaluation import (
    PairBatch,
    compare,
    pair_batches,
    part_leak,
    random_query,
    report,
    seed_pairs,
    standard_methods,
)
from lefs.evaluation.baselines import (
    blend_features,
    composite,
    image_contributions,
    image_masks,
    image_query,
    mixing_query,
    softened,
)
from lefs.rules import released_query

PROPER = {"sequential", "simultaneous", "effect-based", "pair-aware", "released rule", "per-image masks"}
SPATIAL = {"feature blending", "pixel compositing", "in place"}
PAIRS = seed_pairs(6)


@pytest.fixture(scope="module")
def disjoint() -> QuarterGenerator:
    return QuarterGenerator()


@pytest.fixture(scope="module")
def truth(disjoint: QuarterGenerator) -> Catalog:
    return quarter_catalog(disjoint)


@pytest.fixture(scope="module")
def clustered(lively: StyleGAN2) -> Catalog:
    return dissect(lively, range(20), clusters=4, progress=False).named(["left", "right", "left", "middle"])


def one_batch(generator: Generator, catalog: Catalog, count: int = 4, **options) -> PairBatch:  # type: ignore[no-untyped-def]
    options = {"truncation": 0.7, "segmenter": None, "progress": False, **options}
    (batch,) = pair_batches(generator, catalog, seed_pairs(count), **options)
    return batch


def _edit(batch: PairBatch, q: Tensor) -> Tensor:
    return batch.generator.synthesize(batch.moved(q))


def test_a_batch_does_not_leave_its_reader_in_another_mode(lively: StyleGAN2, clustered: Catalog) -> None:
    batches = pair_batches(lively, clustered, PAIRS, truncation=0.7, segmenter=None, progress=False)
    batch = next(batches)
    assert not torch.is_inference_mode_enabled()
    assert batch.index.tolist() == list(range(6))
    assert next(batches, None) is None
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        one_batch(lively, clustered, batch_size=0)


# -- the constructed generator -------------------------------------------------------------------------------


def test_every_proper_method_is_exactly_local_where_channels_are_disjoint(
    disjoint: QuarterGenerator, truth: Catalog
) -> None:
    effect = by_effect(truth, disjoint, range(4), progress=False)
    torch.testing.assert_close(effect.contributions, truth.contributions)
    methods = standard_methods(disjoint, truth, effect=effect)
    found = compare(disjoint, truth, PAIRS, methods=methods, segmenter=Quarters(), progress=False)
    # (blending has no layer but the second here, and coarse layers there are none)
    assert {o.method for o in found.outcomes} >= PROPER | SPATIAL | {"random channels", "global"}
    for o in found.outcomes:
        if o.method in PROPER | SPATIAL:
            assert not o.leak.any(), (o.method, o.value)
            moved = o.effect > 0
            np.testing.assert_allclose(o.localisation[moved], 1, rtol=0, atol=1e-12)
        if o.method == "global" and o.value == 1:
            np.testing.assert_allclose(o.effect, o.most_effect, rtol=1e-9)
            np.testing.assert_allclose(o.leak, o.most_leak, rtol=1e-9)
            assert not o.missing.any()
            assert (o.leak > 0).all()
    for name in PROPER:
        assert max(o.effect.max() for o in found.outcomes if o.method == name) > 0, name


def test_with_the_budget_to_do_so_a_proper_method_reaches_the_reference(
    disjoint: QuarterGenerator, truth: Catalog
) -> None:
    found = compare(disjoint, truth, PAIRS, segmenter=Quarters(), progress=False)
    table = report(found)
    batch = one_batch(disjoint, truth, 6, segmenter=Quarters())
    change = (batch.labs[0] - batch.labs[1]).square().sum(dim=1).double()
    for part, quarter in zip(NAMES, quarters(), strict=True):
        # (the mask is wider than the quarter by a pixel, in which the target stays as it was)
        masks = batch.masks[part].double()
        expected = float((change * quarter).sum() / (change * masks).sum())
        for name in ("sequential", "released rule", "per-image masks"):
            best = table.curve(part, name)[-1]
            assert best.arrival[0] == pytest.approx(expected, rel=1e-3), (name, part)
            assert best.effect_share[0] == pytest.approx(expected, rel=1e-3)
            assert table.summary(name, part).reach[0] == pytest.approx(expected, rel=1e-3)
        assert table.summary("pixel compositing", part).arrival[0] == pytest.approx(1)


def test_the_part_leak_matrix_of_disjoint_channels_is_diagonal(
    disjoint: QuarterGenerator, truth: Catalog
) -> None:
    found = part_leak(disjoint, truth, PAIRS, segmenter=Quarters(), progress=False)
    assert found.parts == NAMES
    assert found.change.shape == (6, 4, 4)
    off = ~np.eye(4, dtype=bool)
    assert not found.matrix[off].any()
    assert (np.diag(found.matrix) > 0).all()
    assert found.interference == 0
    assert found.estimate() == (0, 0, 0)
    np.testing.assert_allclose(found.shares, np.eye(4))


def test_channels_that_serve_two_parts_show_in_the_matrix(disjoint: QuarterGenerator) -> None:
    """A catalog that gives the first part the second one's channels: its edit changes the second only."""
    own = torch.arange(4).repeat_interleave(EACH).repeat(2)
    swapped = torch.nn.functional.one_hot(torch.tensor([1, 0, 2, 3])[own], 4).t().double()
    found = part_leak(
        disjoint, quarter_catalog(disjoint, swapped), PAIRS, segmenter=Quarters(), progress=False
    )
    shares = found.shares
    assert shares[0, 1] > 0.7  # (the widened mask of one reaches a pixel into the other)
    assert shares[1, 0] > 0.7
    assert shares[2, 2] == shares[3, 3] == 1


def test_the_matrix_equals_a_loop_over_pixels(lively: StyleGAN2, clustered: Catalog) -> None:
    settings = QuerySettings(rho=0.0, epsilon=2.0, coarse=1.0, rgb=1.0)
    found = part_leak(lively, clustered, seed_pairs(3), settings=settings, batch_size=2, progress=False)
    batch = one_batch(lively, clustered, 3)
    for i, edited in enumerate(found.parts):
        images = _edit(batch, settings.query(clustered, edited))
        for j, other in enumerate(found.parts):
            for n in range(3):
                lab = [_lab(x[n]) for x in (batch.targets, images)]
                squared = ((lab[0] - lab[1]) ** 2).sum(axis=-1)
                where = batch.masks[other][n].numpy()
                if j != i:
                    where = where & ~batch.masks[edited][n].numpy()
                expected = squared[where].mean() if where.any() and batch.masks[edited][n].any() else np.nan
                np.testing.assert_allclose(found.change[n, i, j], expected, rtol=1e-2, atol=1e-3)


def _lab(image: Tensor) -> np.ndarray:
    import reference

    return reference.lab((image.double().clamp(-1, 1) + 1).div(2).permute(1, 2, 0).numpy())


# -- each by its definition ----------------------------------------------------------------------------------


def test_compositing_leaves_what_is_outside_bit_for_bit(lively: StyleGAN2, clustered: Catalog) -> None:
    found = compare(lively, clustered, PAIRS, progress=False)
    pasted = [o for o in found.outcomes if o.method == "pixel compositing"]
    assert pasted
    for o in pasted:
        assert not o.leak.any()
        if o.value == 1:
            np.testing.assert_allclose(o.effect, o.most_effect)
            assert not o.missing.any()


def test_compositing_mixes_inside_the_mask_only() -> None:
    target, reference, mask = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4), torch.zeros(1, 4, 4).bool()
    mask[0, :2] = True
    found = composite(target, reference, mask, strength=0.25)
    assert (found[:, :, :2] == 0.25).all()
    assert (found[:, :, 2:] == 0).all()
    with pytest.raises(ValueError, match="strength must be"):
        composite(target, reference, mask, strength=1.5)


def test_in_place_is_what_the_editor_renders(lively: StyleGAN2, clustered: Catalog) -> None:
    batch = one_batch(lively, clustered)
    (method,) = [m for m in standard_methods(lively, clustered) if m.name == "in place"]
    sides = batch.target_styles, batch.reference_styles
    at = batch.place("left").flatten(1).any(dim=1)
    assert at.any()
    settings = QuerySettings(where="part")
    expected = in_place(lively, clustered, "left", *(s[at] for s in sides), settings=settings, strength=0.4)
    torch.testing.assert_close(method.edit(batch, "left", 0.4)[at], expected, rtol=1e-4, atol=1e-4)


def test_an_edit_in_place_of_what_the_catalog_does_not_see_is_the_target(
    lively: StyleGAN2, clustered: Catalog
) -> None:
    """The segmenter alone judges: a pair in which only it sees the part counts as one that did not arrive."""
    batch = one_batch(lively, clustered, segmenter=Everywhere())
    for masks in batch.own_masks:
        masks["left"][1:] = False
    assert batch.shown("left").all()
    (method,) = [m for m in standard_methods(lively, clustered) if m.name == "in place"]
    edits = method.edit(batch, "left", 1.0)
    assert torch.equal(edits[1:], batch.targets[1:])
    assert not torch.equal(edits[0], batch.targets[0])


class Everywhere:
    """Sees one part in the upper half of any picture."""

    names = ("nothing", "left")

    def __call__(self, images: Tensor) -> Tensor:
        labels = torch.zeros(images.shape[0], *images.shape[-2:], dtype=torch.int64)
        labels[:, : images.shape[-2] // 2] = 1
        return labels


def test_soft_compositing_falls_off_at_the_border() -> None:
    mask = torch.zeros(1, 160, 160).bool()
    mask[:, :80] = True
    column = softened(mask)[0, :, 80]
    assert (column[:70] == 1).all()
    assert (column[90:] == 0).all()
    assert (column.diff() <= 0).all()
    assert float(column[79:81].mean()) == pytest.approx(0.5)


def test_a_setting_at_nothing_changes_nothing(lively: StyleGAN2, clustered: Catalog) -> None:
    batch = one_batch(lively, clustered)
    # thresholds work the other way round: above all shares nothing is kept
    nothing = {"per-image masks": 1.0}
    methods = standard_methods(lively, clustered, effect=_effect(lively, clustered))
    with torch.inference_mode():
        for method in methods:
            edited = method.edit(batch, "left", nothing.get(method.name, 0.0))
            if method.name in ("sequential", "effect-based", "random channels"):
                continue  # at ε = 0 channels that cost nothing are taken still
            assert torch.allclose(edited, batch.targets, atol=1e-6), method.name


def _effect(generator: Generator, catalog: Catalog) -> Catalog:
    return by_effect(catalog, generator, range(3), progress=False)


def test_global_at_full_strength_is_the_reference(lively: StyleGAN2, clustered: Catalog) -> None:
    batch = one_batch(lively, clustered)
    (method,) = [m for m in standard_methods(lively, clustered) if m.name == "global"]
    assert torch.equal(method.edit(batch, "left", 1.0), batch.references)
    half = method.edit(batch, "left", 0.4)
    assert torch.equal(half, lively.synthesize(torch.lerp(batch.target_styles, batch.reference_styles, 0.4)))


def test_mixing_levels_divide_the_layers(portraits: Generator) -> None:
    levels = [
        mixing_query(portraits.layers, level, count=portraits.num_styles)
        for level in ("coarse", "middle", "fine")
    ]
    assert torch.equal(sum(levels), torch.ones(portraits.num_styles))
    for q, level in zip(levels, ("coarse", "middle", "fine"), strict=True):
        moved = [la.name for la in portraits.layers if q[la.span].any()]
        assert tuple(moved) == layer_range(portraits, level)
    with pytest.raises(ValueError, match="level must be one of 'coarse', 'middle', 'fine'"):
        mixing_query(portraits.layers, "broad", count=portraits.num_styles)


@pytest.mark.parametrize("seed", range(20))
def test_the_released_rule_takes_whole_channels_in_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    m, rho, epsilon = torch.from_numpy(random.random(15)), random.random() / 2, random.random() * 5
    q = released_query(m, rho=rho, epsilon=epsilon)
    expected, spent = np.zeros(15), 0.0
    for c in sorted(range(15), key=lambda c: -m[c]):
        if m[c] <= rho or spent + 1 - m[c] >= epsilon:
            break
        expected[c], spent = 1, spent + 1 - float(m[c])
    np.testing.assert_array_equal(q.numpy(), expected)


def test_blending_is_the_target_outside_and_the_reference_inside_everything(lively: StyleGAN2) -> None:
    styles = lively.sample_styles([1, 2]), lively.sample_styles([3, 4])
    nowhere = torch.zeros(2, 16, 16, dtype=torch.bool)
    for layer in lively.layers[1:]:
        same = blend_features(lively, *styles, nowhere, layer=layer.name)
        assert torch.equal(same, lively.synthesize(styles[0])), layer.name
        # everywhere: the reference's maps, and the target's styles from there on
        mixed = styles[1].clone()
        mixed[:, layer.span.start :] = styles[0][:, layer.span.start :]
        found = blend_features(lively, *styles, ~nowhere, layer=layer.name)
        torch.testing.assert_close(found, lively.synthesize(mixed), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="layer must not be the first"):
        blend_features(lively, *styles, nowhere, layer=lively.layers[0].name)


def test_blending_in_the_last_layers_input_is_local(disjoint: QuarterGenerator, truth: Catalog) -> None:
    batch = one_batch(disjoint, truth, segmenter=Quarters())
    mask = batch.masks[NAMES[0]]
    sides = batch.target_styles, batch.reference_styles
    found = blend_features(disjoint, *sides, mask, layer="b", strength=0.5)
    outside = ~mask[:, None].expand_as(found)
    assert torch.equal(found[outside], batch.targets[outside])
    first, second = (disjoint.cache(styles).states[1][1] for styles in sides)
    painted = batch.targets - first
    expected = torch.lerp(first, second, 0.5 * mask[:, None].float()) + painted
    torch.testing.assert_close(found, expected)


# -- per-image masks -----------------------------------------------------------------------------------------


def test_per_image_masks_give_a_channel_to_one_part_at_most(lively: StyleGAN2, clustered: Catalog) -> None:
    shares = image_contributions(lively, clustered, lively.sample_styles(range(5)))
    assert shares.shape == (5, len(clustered.parts), lively.num_styles)
    for threshold in (0.5, 0.8, 0.99):
        masks = image_masks(shares, threshold=threshold)
        assert set(masks.unique().tolist()) <= {0.0, 1.0}
        assert float(masks.sum(dim=1).max()) <= 1
    assert (image_masks(shares, threshold=0.5) >= image_masks(shares, threshold=0.9)).all()


def test_per_image_contributions_equal_loops(lively: StyleGAN2, clustered: Catalog) -> None:
    styles = lively.sample_styles([7])
    found = image_contributions(lively, clustered, styles)[0]
    membership = clustered.membership(lively, styles)[0].numpy()
    side = membership.shape[-1]
    for layer in lively.layers:
        maps = lively.record(styles, layer.name)[layer.name]
        a = maps[0].double().numpy()
        scale = a.shape[-1] / side
        for c in range(layer.channels):
            normal = (a[c] - a[c].mean()) / np.sqrt(a[c].var() + 1e-8)
            for p, clusters in enumerate(clustered.parts.values()):
                weights = np.zeros_like(normal)
                for y in range(len(normal)):
                    for x in range(len(normal)):
                        if scale >= 1:
                            own = membership[list(clusters), int(y / scale), int(x / scale)].sum()
                        else:
                            step = round(1 / scale)
                            block = membership[:, y * step : (y + 1) * step, x * step : (x + 1) * step]
                            own = block[list(clusters)].sum(axis=0).mean()
                        weights[y, x] = own
                expected = (normal**2 * weights).sum() / weights.sum() if weights.any() else -np.inf
                found_here = float(found[p, layer.span.start + c])
                assert found_here == pytest.approx(expected, rel=2e-3, abs=1e-4)
        if layer.name == "b8.conv1":
            break


def test_per_image_masks_know_the_truth_where_channels_are_disjoint(
    disjoint: QuarterGenerator, truth: Catalog
) -> None:
    masks = image_masks(image_contributions(disjoint, truth, disjoint.sample_styles([1, 2])))
    assert torch.equal(masks, truth.contributions.float().expand(2, -1, -1))
    own = masks[:, 0]
    q = image_query(own, torch.zeros_like(own), disjoint.layers)
    assert torch.equal(q, own)  # (channels of either picture)


def test_per_image_masks_are_those_of_the_catalog_that_the_method_was_given(
    lively: StyleGAN2, clustered: Catalog
) -> None:
    other = dissect(lively, range(4), clusters=4, random_state=9, progress=False)
    own = other.named(["left", "right", "left", "middle"])
    first, second = (
        next(m for m in standard_methods(lively, catalog) if m.name == "per-image masks")
        for catalog in (clustered, own)
    )
    batches = one_batch(lively, clustered), one_batch(lively, own)
    with torch.inference_mode():
        made = [second.edit(batch, "left", 0.3) for batch in batches]
        assert torch.equal(made[0], made[1]), "whatever catalog judges the pairs"
        assert not torch.equal(made[0], first.edit(batches[0], "left", 0.3))


def test_per_image_masks_leave_coarse_layers_and_colours_alone(portraits: Generator) -> None:
    everything = torch.ones(1, portraits.num_styles)
    fine, all_sizes = (
        image_query(everything, everything, portraits.layers, coarse=coarse)[0] for coarse in (False, True)
    )
    for layer in portraits.layers:
        moves = layer.kind != "rgb"
        assert bool(all_sizes[layer.span].all()) == moves
        assert bool(fine[layer.span].all()) == (moves and layer.size[0] > 8)


def test_random_channels_spend_what_sequential_spends(lively: StyleGAN2, clustered: Catalog) -> None:
    batch = one_batch(lively, clustered)
    by_name = {m.name: m for m in standard_methods(lively, clustered, random_state=3)}
    value = by_name["random channels"].usual
    q = QuerySettings(rho=0.02, epsilon=value).query(clustered, "left")
    expected = random_query(q, clustered.contribution("left"), clustered, random_state=3)
    assert torch.equal(by_name["random channels"].edit(batch, "left", value), _edit(batch, expected))
