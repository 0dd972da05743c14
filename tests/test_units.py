"""Units against brute force, effects against closed forms, interventions on every architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from generator_of_units import (
    CHANNELS,
    SUPPORTS,
    Colours,
    Linear,
    catalog_of,
    enlarged,
    images_by_hand,
    labels_by_hand,
)
from helpers import tamper
from torch import Tensor

import lefs
from lefs import units
from lefs.generator import Generator
from lefs.records import ArtifactError
from lefs.units.concepts import Concepts
from lefs.units.quantiles import QuantileSketch

FIXTURES = Path(__file__).parent / "fixtures"
FAMILIES = {
    "stylegan": ("genforce/stylegan_conditional.pth", 1),
    "stylegan3": ("stylegan3/t_custom.pkl", None),
    "progan": ("genforce/progan_fused.pth", None),
}


@pytest.fixture(scope="module")
def linear() -> Linear:
    return Linear()


@pytest.fixture(scope="module", params=["stylegan2", *FAMILIES])
def any_generator(request: pytest.FixtureRequest, lively: Generator) -> Generator:
    if request.param == "stylegan2":
        return lively
    file, label = FAMILIES[request.param]
    return lefs.load(FIXTURES / file, label=label)


def brightness(images: Tensor) -> Tensor:
    """Three concepts that any image has: dark, middling, bright."""
    mean = images.mean(dim=1)
    low, high = torch.quantile(mean.flatten(), 0.3), torch.quantile(mean.flatten(), 0.8)
    return (mean > low).long() + (mean > high).long()


def fixed_brightness(images: Tensor) -> Tensor:
    """As `brightness`, of each image by itself: the same in any batch."""
    return torch.stack([brightness(image[None])[0] for image in images])


def causal_effect(generator, seeds, layer, chosen, concept, **rules) -> units.CausalEffect:
    """Of one set of units."""
    return units.causal_effects(generator, seeds, layer, {"given": chosen}, concept, **rules)["given"]


# -- interventions -----------------------------------------------------------------------------------------


def test_looking_changes_nothing_and_sees_the_activations(any_generator: Generator) -> None:
    styles, seen = any_generator.sample(range(3)), {}

    def watch(name: str):
        return lambda maps: seen.setdefault(name, maps)

    with torch.no_grad():
        images = any_generator.walk(styles, {la.name: watch(la.name) for la in any_generator.layers})
        assert images.equal(any_generator.synthesize(styles))
        for name, maps in any_generator.record(styles, list(seen)).items():
            assert seen[name].equal(maps)
        assert len(seen) == len(any_generator.layers)


def test_replaced_maps_are_what_the_layer_gets(any_generator: Generator) -> None:
    """Against hooks: a module that is handed the same maps makes the same image."""
    styles = any_generator.sample(range(2))
    before = None
    for layer in any_generator.layers:
        with torch.no_grad():
            found = any_generator.walk(styles, {layer.name: lambda maps: maps.flip(1) * 1.5 + 0.1})
            if any_generator.architecture == "stylegan":
                # σ A + b: scaling the maps is scaling σ
                scaled = styles.clone()
                scaled[:, layer.span] *= 1.5
                expected = any_generator.synthesize(scaled)
                found = any_generator.walk(styles, {layer.name: lambda maps: maps * 1.5})
            else:
                expected = hooked(any_generator, styles, layer.name, also=before)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        before = layer


def hooked(generator: Generator, styles: Tensor, name: str, *, also: object) -> Tensor:
    """The image when the module called `name`, and the one after it if it is a toRGB, gets other maps."""
    names = [la.name for la in generator.layers]
    index = names.index(name)
    both = generator.layers[index].kind == "rgb" and index + 1 < len(names)
    hooks = [
        generator.get_submodule(f"synthesis.{n}").register_forward_pre_hook(
            lambda _, given: (given[0].flip(1) * 1.5 + 0.1, *given[1:])
        )
        for n in (names[index : index + 2] if both else [name])
    ]
    try:
        return generator.synthesize(styles)
    finally:
        for hook in hooks:
            hook.remove()


def test_resuming_gives_the_same_images(lively: Generator) -> None:
    styles = lively.sample(range(3))
    cache = lively.cache(styles)
    for layer in lively.layers:
        edits = {layer.name: lambda maps: maps * 0.5}
        assert lively.walk(styles, edits, cache=cache).equal(lively.walk(styles, edits))


def test_units_are_listed_once_and_every_map_is_there(lively: Generator) -> None:
    with torch.no_grad():
        maps = lively.record(lively.sample(0), [la.name for la in lively.layers])
    listed = [la.name for la in units.unit_layers(lively)]
    for name, m in maps.items():
        assert sum(maps[n].shape == m.shape and bool(maps[n].equal(m)) for n in listed) == 1, name


def test_bad_edits_are_named(any_generator: Generator) -> None:
    styles, name = any_generator.sample(0), any_generator.layers[0].name
    with pytest.raises(ValueError, match=r"hooks\['.*'\] must return maps of shape"):
        any_generator.walk(styles, {name: lambda maps: maps[:, :1, :1]})
    with pytest.raises(ValueError, match="no style layer named 'b5'"):
        any_generator.walk(styles, {"b5": lambda maps: maps})


def test_ablation_touches_nothing_but_its_units_and_positions(any_generator: Generator) -> None:
    layer = any_generator.layers[1]
    inner = layer.size[0] - 2 * layer.margin
    cells = torch.zeros(inner, inner, dtype=torch.bool)
    cells[0, 1] = cells[inner - 1, 0] = True
    maps = any_generator.record(any_generator.sample(range(2)), layer.name)[layer.name]
    levels = torch.arange(1.0, layer.channels + 1)
    changed = units.replacement(layer, [0, 2], levels=levels, where=cells)(maps)
    expected = layer.inside(maps).clone()
    for unit in (0, 2):
        expected[:, unit, 0, 1] = expected[:, unit, inner - 1, 0] = levels[unit]
    assert layer.inside(changed).equal(expected)
    differs = (changed != maps).sum()
    assert differs == 2 * 2 * 2


def test_cells_and_pixels_are_the_same_set() -> None:
    layer = lefs.StyleLayer("x", "conv", (4, 4), 3, slice(0, 3))
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[5, 9] = True
    cells = units.cells_of(layer, mask)
    assert cells.nonzero().tolist() == [[0, 1, 2]]
    pixels = units.pixels_of(cells, 16)
    assert pixels.sum() == 16
    assert pixels[0, 4:8, 8:12].all()
    assert units.cells_of(layer, pixels[0]).equal(cells)
    assert units.cells_of(layer, torch.ones(2, 2)).all()
    with pytest.raises(ValueError, match="where must be a mask"):
        units.cells_of(layer, torch.ones(1, 1, 4, 4))


def test_units_may_be_numbers_a_mask_or_weights(linear: Linear) -> None:
    styles, mask = linear.sample(range(2)), torch.tensor([0, 0, 1, 0, 0, 1], dtype=torch.bool)
    expected = units.ablate(linear, styles, "a", [2, 5])
    for same in (mask, mask.float(), torch.tensor([5, 2]), iter([2, 5]), np.array([2, 5])):
        assert units.ablate(linear, styles, "a", same).equal(expected)
    half = linear.synthesize(styles).lerp(expected, 0.5)  # (the generator is linear)
    torch.testing.assert_close(units.ablate(linear, styles, "a", 0.5 * mask.float()), half)


def test_bad_units_and_levels_are_named(linear: Linear) -> None:
    styles = linear.sample(0)
    with pytest.raises(ValueError, match=r"units\[1\] must be between 0 and 5, got 6"):
        units.ablate(linear, styles, "a", [0, 6])
    with pytest.raises(ValueError, match="levels must be 6 finite numbers"):
        units.insert(linear, styles, "a", [0], torch.ones(5))
    with pytest.raises(ValueError, match=r"units, as weights, must be 6 numbers in \[0, 1\]"):
        units.ablate(linear, styles, "a", torch.full((6,), 1.5))
    with pytest.raises(TypeError, match=r"units must be numbers of units, such as \[3, 5\]; got 3"):
        units.ablate(linear, styles, "a", 3)
    effect = {"segmenter": Colours(), "levels": torch.ones(CHANNELS), "progress": False}
    with pytest.raises(TypeError, match=r"levels must be 6 finite numbers.*got ndarray"):
        causal_effect(linear, [0], "a", [1], "red", **{**effect, "levels": np.ones(6)})
    with pytest.raises(TypeError, match=r"where must be 'everywhere', 'concept' or a Tensor.*got ndarray"):
        causal_effect(linear, [0], "a", [1], "red", where=np.ones((4, 4)), **effect)
    with pytest.raises(ValueError, match="where must be a mask of shape"):
        causal_effect(linear, [0], "a", [1], "red", where=torch.zeros(4, 4), **effect)
    with pytest.raises(ValueError, match="sets is empty"):
        units.causal_effects(linear, [0], "a", {}, "red", **effect)
    with pytest.raises(ValueError, match="where holds 3 masks, expected 1 or 1"):
        units.ablate(linear, styles, "a", [0], where=torch.ones(3, 4, 4, dtype=torch.bool))


# -- quantiles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_quantiles_are_numpys_within_the_bound(q: float) -> None:
    random = np.random.default_rng(0)
    rows = [
        random.normal(0, 3, 20_000),
        random.exponential(1e-2, 20_000),
        -random.lognormal(0, 3, 20_000),
        np.where(random.random(20_000) < 0.7, 0.0, random.normal(size=20_000)),
        np.full(20_000, -7.25),
    ]
    values = np.stack(rows).astype(np.float32)
    sketch = QuantileSketch(5, relative_error=0.01)
    sketch.add(torch.from_numpy(values))
    expected = np.quantile(values, q, axis=1, method="lower")
    expected = np.where(np.abs(expected) < sketch.smallest, 0, expected)
    assert np.all(np.abs(sketch.quantile(q).numpy() - expected) <= 0.010001 * np.abs(expected))


def test_batches_and_order_do_not_matter() -> None:
    values = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 999)).astype(np.float32))
    whole, parts = (QuantileSketch(3) for _ in range(2))
    whole.add(values)
    for piece in values.flip(1).split(100, dim=1):
        parts.add(piece)
    assert whole.counts.equal(parts.counts)


def test_bad_quantiles_are_named() -> None:
    sketch = QuantileSketch(2)
    with pytest.raises(ValueError, match="nothing has been added"):
        sketch.quantile(0.5)
    with pytest.raises(ValueError, match=r"values must have shape \(2, n\)"):
        sketch.add(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="finite"):
        sketch.add(torch.tensor([[1.0], [torch.nan]]))


# -- characterising ----------------------------------------------------------------------------------------


def bilinear(maps: np.ndarray, size: int) -> np.ndarray:
    """(..., h, w) → (..., size, size): pixel centres, edges repeated."""
    side = maps.shape[-1]
    at = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    low = np.minimum(at.astype(int), side - 1)
    high, t = np.minimum(low + 1, side - 1), at - low
    rows = maps[..., low, :] * (1 - t)[:, None] + maps[..., high, :] * t[:, None]
    return rows[..., low] * (1 - t) + rows[..., high] * t


def test_iou_levels_and_thresholds_against_brute_force(any_generator: Generator) -> None:
    seeds, share = range(7), 0.1
    found = units.characterize(
        any_generator, seeds, segmenter=fixed_brightness, quantile=share, batch_size=3, progress=False
    )
    assert found.concepts == ("label 0", "label 1", "label 2")
    styles = any_generator.sample(seeds)
    with torch.no_grad():
        labels = fixed_brightness(any_generator.synthesize(styles)).numpy()
        seen = any_generator.record(styles, [la.name for la in any_generator.layers])
        maps = {la: la.inside(seen[la.name]).double().numpy() for la in any_generator.layers}
    for layer in found.layers:
        span, values = found.span(layer.name), maps[layer]
        flat = values.transpose(1, 0, 2, 3).reshape(layer.channels, -1)
        exact = np.quantile(flat, 1 - share, axis=1, method="lower")
        thresholds = found.thresholds[span].double().numpy()
        assert np.all(np.abs(thresholds - exact) <= 0.0051 * np.abs(exact) + 2e-4)
        large = bilinear(values, any_generator.size[0])
        active = large > thresholds[:, None, None]
        for p in range(3):
            shown = (labels == p)[:, None]
            iou = (active & shown).sum((0, 2, 3)) / (active | shown).sum((0, 2, 3))
            np.testing.assert_allclose(found.iou[span, p].numpy(), iou, atol=2e-3)
            level = (large * shown).sum((0, 2, 3)) / shown.sum()
            np.testing.assert_allclose(found.levels[span, p].numpy(), level, rtol=1e-3, atol=1e-4)
        top = np.sort(values.max((2, 3)), axis=0)[::-1].T
        np.testing.assert_allclose(found.peaks[span].numpy(), top, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.concept_pixels.numpy(), np.bincount(labels.ravel(), minlength=3))


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_any_batch_size_gives_the_same(linear: Linear, batch_size: int) -> None:
    first = units.characterize(linear, range(9), segmenter=Colours(), quantile=0.2, progress=False)
    again = units.characterize(
        linear, range(9), segmenter=Colours(), quantile=0.2, batch_size=batch_size, progress=False
    )
    for name in ("thresholds", "activated", "intersections", "concept_pixels", "frequency", "peak_seeds"):
        assert getattr(first, name).equal(getattr(again, name)), name
    torch.testing.assert_close(first.levels, again.levels, rtol=1e-6, atol=1e-7, equal_nan=True)


def test_known_units_are_found(linear: Linear) -> None:
    found = units.characterize(linear, range(8), segmenter=Colours(), quantile=0.3, progress=False)
    # On its own 8 × 8 map a unit of layer b is above 0 exactly on its support, which shows its colour.
    for channel in range(CHANNELS):
        concept = ("red", "green", "blue")[channel // 2]
        own = SUPPORTS[channel].sum() / SUPPORTS[channel // 2 * 2 : channel // 2 * 2 + 2].sum()
        row = found.span("b").start + channel
        if own <= 0.3 * 16 / SUPPORTS[channel].sum():
            assert float(found.iou[row, found.concept(concept)]) == pytest.approx(own)
        assert found.iou[row].argmax() == found.concept(concept)
    assert set(found.best_units("green", "b", 2)) == {2, 3}
    assert found.histogram()[1].tolist() == [0, 2, 2, 2]
    assert "| green |" in str(found.table())


def test_large_maps_are_taken_in_pieces_and_sizes_may_differ(
    linear: Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = units.characterize(linear, range(3), segmenter=Colours(), quantile=0.2, progress=False)
    monkeypatch.setattr("lefs.units.characterization._CHUNK", 2 * 64)
    pieces = units.characterize(linear, range(3), segmenter=Colours(), quantile=0.2, progress=False)
    assert whole.intersections.equal(pieces.intersections)
    small = units.characterize(linear, range(3), segmenter=Colours(), quantile=0.2, size=4, progress=False)
    assert small.concept_pixels.sum() == 3 * 16


def test_a_catalog_names_the_concepts(linear: Linear) -> None:
    catalog = catalog_of(linear)
    found = units.characterize(linear, range(5), segmenter=catalog, quantile=0.3, progress=False)
    assert found.concepts == tuple(catalog.parts)
    masks = catalog.part_masks(linear, linear.sample(range(5)))
    assert found.concept_pixels.tolist() == [int(m.sum()) for m in masks.values()]
    assert units.usable(found, catalog, "hair", "b") == ("part 0", "a")
    assert units.usable(found, catalog, "part 3", "a") == ("part 3", "a")


def test_bad_segmenters_and_arguments_are_named(linear: Linear) -> None:
    def run(segmenter, **options):
        units.characterize(linear, range(2), segmenter=segmenter, progress=False, **options)

    with pytest.raises(ValueError, match=r"segmenter must return integer labels of shape \(2, 8, 8\)"):
        run(lambda images: images.mean(dim=1))
    with pytest.raises(ValueError, match="integer labels of shape"):
        run(lambda images: brightness(images)[:, ::2])
    with pytest.raises(ValueError, match="labels at least 0; got -1"):
        run(lambda images: brightness(images) - 1)
    wrong = Colours()
    wrong.names = ("none", "red")
    with pytest.raises(ValueError, match="labels from 0 to 1"):
        run(wrong)
    with pytest.raises(TypeError, match="segmenter must be a function"):
        run(None)
    with pytest.raises(ValueError, match="quantile"):
        run(Colours(), quantile=0.7)
    with pytest.raises(ValueError, match="no style layer named 'c'"):
        run(Colours(), layers=["c"])
    with pytest.raises(ValueError, match="layers is empty"):
        run(Colours(), layers=[])


def test_a_layer_is_dissected_once_in_any_order(linear: Linear) -> None:
    options = {"segmenter": Colours(), "quantile": 0.2, "progress": False}
    whole = units.characterize(linear, range(3), **options)
    turned = units.characterize(linear, range(3), layers=["b", "a", "b"], **options)
    assert turned.num_units == 2 * CHANNELS
    for name in ("a", "b"):
        assert turned.iou[turned.span(name)].equal(whole.iou[whole.span(name)])
    alone = units.characterize(linear, range(3), layers="b", **options)
    assert alone.iou.equal(whole.iou[whole.span("b")])
    with pytest.raises(ValueError, match="no dissected layer comes before"):
        units.usable(alone, catalog_of(linear), "red", "b")


# -- files -------------------------------------------------------------------------------------------------


def test_saved_and_read_back(linear: Linear, lively: Generator, tmp_path: Path) -> None:
    found = units.characterize(linear, range(4), segmenter=Colours(), quantile=0.2, progress=False)
    again = units.UnitDissection.load(found.save(tmp_path))
    assert again.layers == found.layers
    assert (again.concepts, again.quantile) == (found.concepts, found.quantile)
    assert (again.generator, again.sampling) == (found.generator, found.sampling)
    assert again.iou.equal(found.iou)
    torch.testing.assert_close(again.levels, found.levels, rtol=0, atol=0, equal_nan=True)
    again.check_generator(linear)
    with pytest.raises(ArtifactError, match="this dissection of units belongs to generator"):
        again.check_generator(lively)


@pytest.mark.parametrize("damage", ["cut", "missing", "version", "empty"])
def test_damaged_files_are_refused(damage: str, linear: Linear, tmp_path: Path) -> None:
    units.characterize(linear, range(2), segmenter=Colours(), quantile=0.2, progress=False).save(tmp_path)
    file = tmp_path / "units.safetensors"
    match damage:
        case "cut":
            file.write_bytes(file.read_bytes()[:-9])
        case "missing":
            file.unlink()
        case "version":
            tamper(file, version=99)
        case "empty":
            tamper(file, concepts=["one"])
    with pytest.raises(ArtifactError):
        units.UnitDissection.load(tmp_path)


def test_strongest_images_and_where_they_are_active(linear: Linear) -> None:
    found = units.characterize(linear, range(9), segmenter=Colours(), quantile=0.05, progress=False)
    images, active = units.strongest_images(linear, found, "b", [1, 4], 3)
    assert images.shape == (6, 3, 8, 8)
    seeds = found.peak_seeds[found.span("b").start + 1, :3]
    assert images[:3].equal(linear.synthesize(linear.sample(seeds.tolist())))
    for mask, channel in zip(active, [1, 1, 1, 4, 4, 4], strict=True):
        assert not (mask.numpy() & (enlarged(SUPPORTS[channel]) == 0)).any()
    assert active[0].any(), "the strongest image of all is above any threshold"
    with pytest.raises(ValueError, match="no dissected layer"):
        found.best_units("red", "c")
    with pytest.raises(ValueError, match="no concept named 'rod'; did you mean 'red'"):
        found.best_units("rod", "b")


# -- causal effects ----------------------------------------------------------------------------------------


def effect_by_hand(
    linear: Linear, seeds: range, chosen: list[int], levels: Tensor, cells: np.ndarray
) -> dict:
    """Pixels of red under the cells, from the formula: before, ablated, inserted."""
    styles = linear.sample(seeds)
    maps = styles[:, -CHANNELS:].double().numpy()[:, :, None, None] * SUPPORTS
    counts = {}
    for name, values in (("ablated", np.zeros(CHANNELS)), ("inserted", levels.double().numpy())):
        changed = maps.copy()
        for c in chosen:
            changed[:, c][:, cells] = values[c]
        labels = labels_by_hand(images_by_hand(styles, changed))
        counts[name] = ((labels == 1) & enlarged(cells)).sum((1, 2))
    counts["before"] = ((labels_by_hand(images_by_hand(styles)) == 1) & enlarged(cells)).sum((1, 2))
    return counts


@pytest.mark.parametrize("batch_size", [1, 5, 50])
@pytest.mark.parametrize("chosen", [[0], [0, 1], [1, 3], []])
def test_the_effect_is_the_closed_form(linear: Linear, chosen: list[int], batch_size: int) -> None:
    cells = np.zeros((4, 4), bool)
    cells[0, :3] = cells[2, 1] = cells[3, 3] = True
    levels, seeds = torch.tensor([2.0, 0.9, 0.1, 0.3, 1.0, 0.0]), range(20, 29)
    found = causal_effect(
        linear,
        seeds,
        "a",
        chosen,
        "red",
        segmenter=Colours(),
        levels=levels,
        where=torch.from_numpy(enlarged(cells)),
        batch_size=batch_size,
        progress=False,
    )
    expected = effect_by_hand(linear, seeds, chosen, levels, cells)
    for name, counts in expected.items():
        np.testing.assert_array_equal(getattr(found, name), counts)
    assert found.counted.tolist() == [4 * cells.sum()] * len(seeds)
    assert found.ace == np.mean(expected["inserted"] - expected["ablated"])
    assert found.units == len(chosen)
    several = units.causal_effects(  # (what can be read only once is good for all batches)
        linear,
        seeds,
        "a",
        {"once": iter(chosen)},
        "red",
        segmenter=Colours(),
        levels=levels,
        where=torch.from_numpy(cells),
        batch_size=batch_size,
        progress=False,
    )
    np.testing.assert_array_equal(several["once"].effect, found.effect)
    if chosen == [0]:  # above one half wherever it is put; gone where nothing else is red
        others = cells & (SUPPORTS[1] > 0)
        assert found.inserted.tolist() == [4 * cells.sum()] * len(seeds)
        assert found.ace == 4 * (cells.sum() - others.sum())


def test_positions_where_the_concept_is(linear: Linear) -> None:
    """Changed and counted positions are the same: nothing is counted where nothing was changed."""
    levels = torch.full((CHANNELS,), 2.0)
    options = {"segmenter": Colours(), "levels": levels, "where": "concept", "progress": False}
    found = causal_effect(linear, range(5), "a", [0, 1], "red", **options)
    red = int(4 * (SUPPORTS[0] + SUPPORTS[1]).sum())
    assert found.counted.tolist() == found.before.tolist() == found.inserted.tolist() == [red] * 5
    assert found.ablated.tolist() == [0] * 5
    with pytest.raises(ValueError, match="no image of the sample shows 'none'"):
        causal_effect(linear, range(2), "a", [0], "none", **options)


def test_an_interval_covers_the_mean_and_knows_its_width() -> None:
    random = np.random.default_rng(0)
    inserted = random.normal(10, 2, 400)
    zeros = np.zeros(400)
    found = units.CausalEffect("red", "a", "IoU", 1, zeros, zeros, inserted, zeros)
    ace, low, high = found.estimate()
    assert low < ace < high
    assert ace == pytest.approx(found.ace)
    assert high - low == pytest.approx(2 * 1.96 * inserted.std() / 20, rel=0.15)
    assert found.estimate("before") == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="no quantity named"):
        found.estimate("ace")


def test_the_dose_curve_falls_with_the_units_that_matter(linear: Linear) -> None:
    orders = {"right": [0, 1, 2], "wrong": [5, 4, 3]}
    levels = torch.full((CHANNELS,), 2.0)
    curve = units.dose_curve(
        linear, range(4), "a", orders, [0, 1, 2], "red", segmenter=Colours(), levels=levels, progress=False
    )
    assert [(e.method, e.units) for e in curve] == [(m, k) for m in orders for k in (0, 1, 2)]
    by_key = {(e.method, e.units): e for e in curve}
    red = [4 * SUPPORTS[c].sum() for c in (0, 1)]
    assert [by_key["right", k].ablated.mean() for k in (0, 1, 2)] == [sum(red), red[1], 0]
    assert [by_key["wrong", k].ablated.mean() for k in (0, 1, 2)] == [sum(red)] * 3
    assert by_key["right", 0].ace == 0
    assert "| red | right | 2 | 4 |" in str(units.causal_table(curve))
    with pytest.raises(ValueError, match=r"orders\['right'\] has 3 units, counts asks for 4"):
        units.dose_curve(
            linear, [0], "a", orders, [4], "red", segmenter=Colours(), levels=levels, progress=False
        )


def test_effects_through_a_catalog(linear: Linear) -> None:
    catalog = catalog_of(linear)
    options = {"segmenter": catalog, "levels": torch.full((CHANNELS,), 5.0), "progress": False}
    found = causal_effect(linear, range(3), "a", [2], "part 2", **options)
    own = 4 * SUPPORTS[2].sum()
    assert found.before.tolist() == [own] * 3
    assert found.inserted.tolist() == [64] * 3, "at 5 it is the strongest everywhere"
    with pytest.raises(ValueError, match="layer 'b' comes after 'a'"):
        causal_effect(linear, range(3), "b", [2], "part 2", **options)


def test_effects_on_every_architecture(any_generator: Generator) -> None:
    """Serial equals batched; ablating nothing changes nothing; ablating all does."""
    layer = any_generator.layers[1]
    levels = torch.ones(layer.channels)
    sets = {"none": [], "all": range(layer.channels)}
    found = [
        units.causal_effects(
            any_generator,
            range(4),
            layer.name,
            sets,
            "label 2",
            segmenter=fixed_brightness,
            levels=levels,
            batch_size=size,
            progress=False,
        )
        for size in (1, 4)
    ]
    for name in sets:
        np.testing.assert_allclose(found[0][name].ablated, found[1][name].ablated, atol=2)
    assert (found[0]["none"].ablated == found[0]["none"].before).all()
    assert (found[0]["none"].counted == np.prod(any_generator.size)).all()


# -- a set chosen for its effect ---------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["a", "b"])
def test_the_search_finds_the_units_that_act(linear: Linear, layer: str) -> None:
    levels = torch.full((CHANNELS,), 0.9)
    options = {"segmenter": Colours(), "levels": levels, "progress": False}
    weights = units.optimize_units(
        linear, range(12), layer, "green", budget=2, steps=25, learning_rate=0.2, **options
    )
    assert weights.shape == (CHANNELS,)
    assert float(weights.sum()) <= 2 + 1e-4
    assert set(torch.argsort(weights, descending=True)[:2].tolist()) == {2, 3}
    again = units.optimize_units(
        linear, range(12), layer, "green", budget=2, steps=25, learning_rate=0.2, **options
    )
    assert weights.equal(again)
    with torch.inference_mode():
        inside = units.optimize_units(
            linear, range(12), layer, "green", budget=2, steps=25, learning_rate=0.2, **options
        )
    assert weights.equal(inside)


def test_the_search_goes_through_a_catalog_and_any_architecture(any_generator: Generator) -> None:
    catalog = lefs.dissect(any_generator, range(6), clusters=3, progress=False)
    layer = any_generator.layers[1]
    weights = units.optimize_units(
        any_generator,
        range(4),
        layer.name,
        "cluster 1",
        segmenter=catalog,
        levels=torch.ones(layer.channels),
        where="concept",
        budget=2,
        steps=2,
        progress=False,
    )
    assert torch.isfinite(weights).all()
    assert weights.std() > 0
    assert float(weights.sum()) <= 2 + 1e-4


def test_a_segmenter_without_logits_cannot_be_searched_with(linear: Linear) -> None:
    with pytest.raises(TypeError, match="no method logits"):
        units.optimize_units(
            linear, [0], "a", "label 1", segmenter=brightness, levels=torch.ones(CHANNELS), progress=False
        )


def test_the_projection_is_the_nearest_point() -> None:
    from scipy.optimize import minimize

    from lefs.units.optimize import _projected

    random = np.random.default_rng(0)
    for budget in (0.5, 2.0, 5.0):
        point = random.normal(0.4, 0.8, 6)
        found = _projected(torch.from_numpy(point), budget).numpy()
        nearest = minimize(
            lambda x, p=point: ((x - p) ** 2).sum(),
            np.full(6, 0.1 * budget),
            bounds=[(0, 1)] * 6,
            constraints={"type": "ineq", "fun": lambda x, b=budget: b - x.sum()},
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(found, nearest.x, atol=1e-5)


def test_rankings_order_ties_by_iou(linear: Linear) -> None:
    found = units.characterize(linear, range(6), segmenter=Colours(), quantile=0.2, progress=False)
    by_iou = found.best_units("red", "b")
    weights = torch.zeros(CHANNELS)
    weights[by_iou[3]] = weights[by_iou[2]] = 1.0
    orders = units.rankings(found, "b", "red", weights, random_state=3)
    assert orders["optimised"] == [by_iou[i] for i in (2, 3, 0, 1, 4, 5)]
    assert sorted(orders["random"]) == list(range(CHANNELS))
    assert orders["random"] == units.rankings(found, "b", "red", random_state=3)["random"]


# -- channels ----------------------------------------------------------------------------------------------


def test_channel_effects_are_the_closed_form(linear: Linear) -> None:
    catalog, seeds, step = catalog_of(linear), range(4), 2.0
    found = units.channel_effects(linear, catalog, seeds, step=step, batch_size=5, progress=False)
    deviation = linear.sample(range(256)).std(dim=0).double().numpy()
    s = linear.sample(seeds).double().numpy()
    a, b, e = s[:, :6], s[:, 6:12], s[:, 12:]
    expected = np.zeros((CHANNELS, 18))
    for c in range(CHANNELS):
        area = 4 * SUPPORTS[c].sum()
        expected[c, c] = np.mean((step * deviation[c] * b[:, c] * e[:, c]) ** 2) * area
        expected[c, 6 + c] = np.mean((step * deviation[6 + c] * a[:, c] * e[:, c]) ** 2) * area
    np.testing.assert_allclose(found.effect.numpy(), expected, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.total.numpy(), expected.sum(0), rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.areas.numpy(), SUPPORTS.mean((1, 2)), rtol=1e-6)
    assert found.share[:, 12:].eq(0).all(), "extras are no channels"


def test_where_supports_are_disjoint_contribution_is_effect(linear: Linear) -> None:
    catalog = catalog_of(linear)
    effects = units.channel_effects(linear, catalog, range(2), progress=False)
    for cell in units.agreement(effects, catalog):
        assert cell.rho.value == pytest.approx(1.0)
        assert cell.channels == CHANNELS
    # (M and effect are one-hot over the channels; nothing misleads)
    assert units.misleading_channels(effects, catalog, "part 1").rows == []


def test_a_channel_whose_contribution_lies_is_found(linear: Linear) -> None:
    from dataclasses import replace

    honest = catalog_of(linear)
    lying = honest.contributions.clone()
    lying[1, 3], lying[3, 3] = 1.0, 0.0  # channel 3 of layer a is said to make part 1; it makes part 3
    catalog = replace(honest, contributions=lying)
    effects = units.channel_effects(linear, catalog, range(2), progress=False)
    table = units.misleading_channels(effects, catalog, "part 1")
    (row,) = table.rows
    assert row[:2] == ("a", "3")
    assert row[2:5] == (1.0, 0.0, "part 3")


def test_bad_channel_arguments_are_named(linear: Linear, lively: Generator) -> None:
    catalog = catalog_of(linear)
    with pytest.raises(ValueError, match="step must not be 0"):
        units.channel_effects(linear, catalog, [0], step=0, progress=False)
    with pytest.raises(ArtifactError, match="belongs to generator"):
        units.channel_effects(lively, catalog, [0], progress=False)
    effects = units.channel_effects(linear, catalog, [0], progress=False)
    with pytest.raises(ValueError, match="measure them with this catalog"):
        units.agreement(effects, catalog.rename("part 0", "hair"))
    progan = lefs.load(FIXTURES / FAMILIES["progan"][0])
    with pytest.raises(TypeError, match="has no styles"):
        units.channel_effects(progan, catalog, [0], progress=False)


def test_a_segmenter_says_where_the_parts_are(linear: Linear) -> None:
    catalog = catalog_of(linear).named(["red", "red", "green", "green", "blue", "blue"])
    effects = units.channel_effects(linear, catalog, range(2), segmenter=Colours(), progress=False)
    torch.testing.assert_close(effects.effect.sum(dim=0), effects.total)
    assert effects.share[0, :2].allclose(torch.ones(2, dtype=torch.float64))


def test_labels_without_names_are_numbered(linear: Linear) -> None:
    concepts = Concepts(linear, brightness)
    assert (concepts.index("label 12"), concepts.name(2)) == (12, "label 2")
    with pytest.raises(ValueError, match="no concept named 'red'"):
        concepts.index("red")


def test_large_images_come_in_small_batches_and_are_not_kept(
    lively: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = lively.layers[2]
    options = {"segmenter": fixed_brightness, "levels": torch.ones(layer.channels), "progress": False}
    usual = causal_effect(lively, range(5), layer.name, [0, 1], "label 2", **options)
    monkeypatch.setattr("lefs.units.interventions._PIXELS", 2 * 16**2)
    monkeypatch.setattr("lefs.units.interventions._KEPT", 8)
    monkeypatch.setattr(type(lively), "cache", None)
    sizes: list[int] = []
    options["segmenter"] = lambda images: [sizes.append(len(images)), fixed_brightness(images)][1]
    again = causal_effect(lively, range(5), layer.name, [0, 1], "label 2", **options)
    assert max(sizes) == 2
    np.testing.assert_allclose(again.inserted, usual.inserted, atol=2)
