"""Units, directions and pairs in unusual but legitimate use: other precisions, soft parts, classes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generator_of_units import CHANNELS, Colours, Linear, catalog_of
from helpers import random_network, tamper

import lefs
from lefs import directions, units
from lefs.models import StyleGAN2
from lefs.records import ArtifactError
from lefs.units.concepts import Concepts
from lefs.widgets import CatalogBrowser, EditStudio, UnitPainter


@pytest.fixture(scope="module")
def linear() -> Linear:
    return Linear()


@pytest.fixture(scope="module")
def factors(lively: StyleGAN2) -> lefs.Catalog:
    """Soft parts: two of several factors, so that the largest factor need not be the largest part's."""
    catalog = lefs.dissect(lively, range(6), clusters=6, method="nmf", progress=False)
    return catalog.merge(["cluster 0", "cluster 3"], "two").merge(["cluster 1", "cluster 2"], "other two")


def test_a_generator_in_float64_is_characterized_as_in_float32(linear: Linear) -> None:
    found, wide = (
        units.characterize(g, range(4), segmenter=Colours(), quantile=0.3, progress=False)
        for g in (linear, copy.deepcopy(linear).to(torch.float64))
    )
    assert wide.intersections.equal(found.intersections)
    torch.testing.assert_close(wide.levels, found.levels, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_soft_parts_are_the_same_for_units_as_for_the_catalog(
    lively: StyleGAN2, factors: lefs.Catalog
) -> None:
    styles = lively.sample(range(8))
    _, labels = Concepts(lively, factors).look(styles)
    for p, mask in enumerate(factors.part_masks(lively, styles).values()):
        assert (labels == p).equal(mask)


def test_the_browser_colours_soft_parts_as_the_catalog_masks_them(
    lively: StyleGAN2, factors: lefs.Catalog
) -> None:
    browser = CatalogBrowser(lively, factors, range(4))
    browser.controls["opacity"].value = 1.0
    for n, panel in enumerate(browser.canvas.frame["panels"][:4]):  # (the tree comes last)
        shown = np.frombuffer(panel["pixels"], np.uint8).reshape(panel["height"], panel["width"], 3)
        masks = factors.part_masks(lively, lively.sample([n]), size=panel["height"])
        colors = [np.unique(shown[mask[0].numpy()], axis=0) for mask in masks.values()]
        assert all(len(own) <= 1 for own in colors), "a part has one colour"


def test_a_search_sees_what_factors_see(lively: StyleGAN2, factors: lefs.Catalog) -> None:
    """Only what is positive: units that are below zero everywhere cannot move a factor."""
    name = factors.layer
    levels = -torch.ones(lively.layer(name).channels)
    styles = lively.sample([0, 1]).clone()
    edit = units.replacement(lively.layer(name), torch.ones(len(levels)), levels=levels)
    logits = Concepts(lively, factors).logits(styles, {name: edit})
    assert (logits.amax(dim=(2, 3)) - logits.amin(dim=(2, 3))).max() == 0
    kinds = (logits[:, :, 0, 0] - torch.log(torch.tensor([len(k) for k in factors.parts.values()]))).unique()
    assert kinds.max() - kinds.min() < 1e-6, "no factor is nearer than another"


def test_the_class_of_a_conditional_generator_is_remembered(tmp_path: Path) -> None:
    generator = random_network(seed=4, label_dim=3)
    found = units.characterize(
        generator.with_label(2),
        range(3),
        segmenter=lambda images: (images.mean(dim=1) > 0).long(),
        layers="b8.conv1",
        quantile=0.3,
        progress=False,
    )
    again = units.UnitDissection.load(found.save(tmp_path))
    assert again.sampling.label == 2
    wanted = generator.with_label(2).synthesize(
        generator.with_label(2).sample(again.peak_seeds[0, :2].tolist())
    )
    for other in (generator, generator.with_label(0)):
        pictures, _ = units.strongest_images(other, again, "b8.conv1", [0], 2)
        assert pictures.equal(wanted)
        painter = UnitPainter(other, again, int(again.peak_seeds[0, 0]), layer="b8.conv1")
        torch.testing.assert_close(painter.image, wanted[0], rtol=0, atol=1e-5)


def test_a_search_where_the_concept_never_is_says_so(linear: Linear) -> None:
    with pytest.raises(ValueError, match=r"no image of the sample shows 'none'"):
        units.optimize_units(
            linear,
            range(3),
            "a",
            "none",
            segmenter=Colours(),
            levels=torch.ones(CHANNELS),
            where="concept",
            steps=2,
            progress=False,
        )


def test_the_painter_offers_what_its_segmenter_can_see(linear: Linear) -> None:
    catalog = catalog_of(linear)
    found = units.characterize(linear, range(6), segmenter=catalog, quantile=0.3, progress=False)
    painter = UnitPainter(linear, found, 0, segmenter=catalog)
    assert painter.controls["layer"].options == ("a",), "parts are read at a: edits of b are not seen"
    with pytest.raises(ValueError, match=r"layer 'b' comes after 'a'"):
        UnitPainter(linear, found, 0, segmenter=catalog, layer="b")
    with pytest.raises(ValueError, match=r"segmenter knows none of the dissected concepts"):
        UnitPainter(linear, found, 0, segmenter=Colours())
    named = catalog.rename("part 1", "red")
    found = units.characterize(linear, range(6), segmenter=named, quantile=0.3, progress=False)
    assert UnitPainter(linear, found, 0, segmenter=Colours()).controls["concept"].options == ("red",)
    with pytest.raises(ValueError, match=r"concept: no concept named 'part 0'. Choose from: none, red"):
        UnitPainter(linear, found, 0, segmenter=Colours(), concept="part 0")


def test_as_many_units_are_painted_with_as_the_slider_says(linear: Linear) -> None:
    found = units.characterize(linear, range(6), segmenter=Colours(), quantile=0.3, progress=False)
    painter = UnitPainter(linear, found, 0, concept="red", layer="a", units=4, order=[5, 3])
    rest = [u for u in found.best_units("red", "a") if u not in (5, 3)]
    assert painter.units == [5, 3, *rest[:2]]


def test_sets_and_weights_of_another_kind_are_named(linear: Linear) -> None:
    with pytest.raises(TypeError, match=r"sets must be a mapping of names to units, .*; got list"):
        units.causal_effects(
            linear, [0], "a", [[1]], "red", segmenter=Colours(), levels=torch.ones(CHANNELS), progress=False
        )
    found = units.characterize(linear, [0], segmenter=Colours(), quantile=0.3, progress=False)
    with pytest.raises(TypeError, match=r"weights must be a Tensor of shape .*; got list"):
        units.rankings(found, "a", "red", [1, 2])
    for state in (-1, "x"):
        with pytest.raises((TypeError, ValueError), match="random_state must be"):
            units.rankings(found, "a", "red", random_state=state)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="count must be at least 0, got -1"):
        found.table(count=-1)


def test_directions_of_another_version_are_refused(lively: StyleGAN2, tmp_path: Path) -> None:
    directions.principal_directions(lively, range(20), count=2).save(tmp_path)
    tamper(tmp_path / "directions.safetensors", version=9)
    with pytest.raises(ArtifactError, match=r"has version 9, this lefs reads 1"):
        directions.Directions.load(tmp_path)


def test_counts_that_do_not_agree_are_named(lively: StyleGAN2) -> None:
    styles = lively.sample_styles(range(3))
    (direction,) = directions.principal_directions(lively, range(20), count=1)
    with pytest.raises(ValueError, match=r"styles and q .* got 3 and 2"):
        directions.move(styles, direction, 1, q=torch.ones(2, styles.shape[1]))
    with pytest.raises(ValueError, match=r"target_styles and reference_styles .* got 3 and 2"):
        directions.mix(lively, styles, styles[:2], layers="all")
    catalog = lefs.dissect(lively, range(3), clusters=2, contributions="effect", progress=False)
    with pytest.raises(ValueError, match=r"target_styles and reference_styles .* got 3 and 2"):
        lefs.QuerySettings("pair").query(catalog, "cluster 0", styles, styles[:2])
    with pytest.raises(ValueError, match=r"target_styles and reference_styles .* got 3 and 2"):
        lefs.transfer(styles, styles[:2], torch.ones(styles.shape[1]))


def test_the_studio_keeps_settings_that_have_no_slider(root: Path) -> None:
    generator = lefs.load(root / "tests" / "fixtures" / "genforce" / "stylegan.pth")
    catalog = lefs.dissect(generator, range(4), clusters=3, contributions="effect", progress=False)

    def studio(**settings: Any) -> EditStudio:
        change = lefs.Change("cluster 1", 1, settings=lefs.QuerySettings(**settings))
        return EditStudio(generator, catalog, lefs.Recipe(0, (change,)))

    shown = studio(shifts=True, epsilon=2.0)
    assert shown.recipe.changes[0].settings.shifts
    assert shown.edit.queries[0].equal(
        lefs.QuerySettings(shifts=True, epsilon=2.0).query(catalog, "cluster 1")
    )
    for name in ("epsilon", "leak"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number"):
            studio(**{name: float("inf")})  # which a slider could not show
