"""Vectors of several layers, joined: against float64 by hand, and through everything that clusters."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from helpers import random_network, tamper

import lefs
from lefs import ArtifactError, Catalog, StyleGAN2, units
from lefs.activations import Hypercolumns
from lefs.dissection import estimate
from lefs.editing import Change, Recipe
from lefs.editor import Editor
from lefs.evaluation import compare_partitions, sample_vectors
from lefs.factorization import soft_assign
from lefs.generator import Generator
from lefs.query import QuerySettings
from lefs.units.concepts import Concepts

FIXTURES = Path(__file__).parent / "fixtures"
SEEDS = range(6)
JOINED = "b8.conv1+b16.conv1"  # the second's maps have twice the side


@pytest.fixture(scope="module")
def catalog(lively: StyleGAN2) -> Catalog:
    return lefs.dissect(lively, SEEDS, clusters=5, layer=JOINED, progress=False)


def enlarged(values: np.ndarray, side: int) -> np.ndarray:
    """Linear between the middles of positions, as far as there are two; (C, h, w), one axis after another."""
    old = values.shape[-1]
    places = (np.arange(side) + 0.5) * old / side - 0.5
    for axis in (1, 2):
        values = np.apply_along_axis(lambda row: np.interp(places, np.arange(old), row), axis, values)
    return values


def joined(maps: list[torch.Tensor]) -> np.ndarray:
    """(N, C, h, w) in float64, of maps inside the picture."""
    side = max(x.shape[-1] for x in maps)
    images = []
    for n in range(len(maps[0])):
        rows = [enlarged(x[n].double().numpy(), side) for x in maps]
        images.append(np.concatenate([x / np.linalg.norm(x, axis=0) for x in rows]))
    return np.stack(images)


# -- the vectors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["b8.conv1", "b16.conv1"], ["b4.conv1", "b8.torgb", "b16.conv1"]])
def test_joined_vectors_by_hand(lively: StyleGAN2, names: list[str]) -> None:
    styles = lively.sample_styles(SEEDS)
    columns = Hypercolumns.of("+".join(names), lively.layers)
    found = columns.read(lively, styles)
    maps = lively.record(styles, names)
    # (the fixture's first layer has a channel that is silent, but no position is)
    np.testing.assert_allclose(found, joined([maps[n] for n in names]), atol=1e-5)
    assert found.shape == (6, columns.channels, columns.side, columns.side)
    np.testing.assert_allclose(found.square().sum(dim=1), len(names), rtol=1e-5)


def test_margins_are_left_out() -> None:
    model = lefs.load(FIXTURES / "stylegan3/t_custom.pkl")
    names = [model.layers[3].name, model.layers[-1].name]
    columns = Hypercolumns.of("+".join(names), model.layers)
    assert [(la.size[0], la.margin) for la in columns.layers] == [(32, 8), (16, 0)]
    maps = model.record(model.sample(SEEDS), names)
    found = columns.join(maps)
    inside = [la.inside(maps[la.name]) for la in columns.layers]
    assert found.shape[-1] == columns.side == 16
    np.testing.assert_allclose(found, joined(inside), atol=1e-5)


def test_one_layer_is_its_own_maps(lively: StyleGAN2) -> None:
    styles = lively.sample_styles([0, 1])
    found = Hypercolumns.of("b8.conv1", lively.layers).read(lively, styles)
    assert found.equal(lively.record(styles, "b8.conv1")["b8.conv1"])


def test_silence_stays_silence_and_half_precision_is_widened(lively: StyleGAN2) -> None:
    columns = Hypercolumns.of(JOINED, lively.layers)
    maps = {la.name: torch.zeros(1, la.channels, *la.size).half() for la in columns.layers}
    assert columns.join(maps).dtype == torch.float32
    assert float(columns.join(maps).abs().max()) == 0


@pytest.mark.parametrize("spelt", [JOINED, "b16.conv1+b8.conv1", " b16.conv1 + b8.conv1 "])
def test_any_order_means_the_same(lively: StyleGAN2, catalog: Catalog, spelt: str) -> None:
    assert Hypercolumns.of(spelt, lively.layers).name == JOINED
    again = lefs.dissect(lively, SEEDS, clusters=5, layer=spelt, progress=False)
    assert again.layer == JOINED
    assert again.centers.equal(catalog.centers)


@pytest.mark.parametrize(
    ("layer", "error", "told"),
    [
        ("b8.conv1+b8.conv1", ValueError, "name each layer once, got 'b8.conv1\\+b8.conv1'"),
        ("b8.conv1+b8.conv7", ValueError, "no style layer named 'b8.conv7'; did you mean 'b8.conv"),
        ("b8.conv1+", ValueError, "no style layer named ''"),
        ("", ValueError, "no style layer named ''"),
        ("+", ValueError, "no style layer named ''"),
        (7, ValueError, "no style layer named '7'"),
    ],
)
def test_bad_names_are_told(lively: StyleGAN2, layer: str, error: type[Exception], told: str) -> None:
    for ask in (lefs.dissect, sample_vectors):
        options = {"clusters": 2, "progress": False} if ask is lefs.dissect else {}
        with pytest.raises(error, match=told):
            ask(lively, SEEDS, layer=layer, **options)
    with pytest.raises(error, match=told):
        estimate(lively, 4, clusters=2, layer=layer)


# -- dissection ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [JOINED, "b4.conv1+b16.torgb", "b16.conv0+b16.conv1"])
def test_contributions_equal_brute_force(lively: StyleGAN2, layer: str) -> None:
    catalog = lefs.dissect(lively, SEEDS, clusters=4, layer=layer, progress=False)
    styles = lively.sample_styles(SEEDS)
    maps = {la.name: lively.record(styles, la.name)[la.name] for la in lively.layers}
    vectors = torch.from_numpy(joined([maps[name] for name in layer.split("+")]))
    expected, sizes = reference.contributions(maps, catalog.centers, vectors)
    np.testing.assert_array_equal(catalog.sizes, sizes)
    np.testing.assert_allclose(catalog.contributions, expected, atol=1e-6)


def test_clusters_are_those_of_the_vectors(lively: StyleGAN2, catalog: Catalog) -> None:
    vectors = sample_vectors(lively, SEEDS, layer=JOINED)
    assert vectors.shape == (6 * 256, catalog.centers.shape[1])
    kmeans = lefs.SphericalKMeans(5, random_state=0).fit(vectors)
    torch.testing.assert_close(catalog.centers, kmeans.cluster_centers_)


def test_batches_and_executors_do_not_matter(lively: StyleGAN2, catalog: Catalog) -> None:
    with ThreadPoolExecutor(2) as pool:
        for options in ({"batch_size": 4}, {"executor": pool}):
            other = lefs.dissect(lively, SEEDS, clusters=5, layer=JOINED, progress=False, **options)
            torch.testing.assert_close(other.contributions, catalog.contributions, rtol=0, atol=1e-6)
            assert other.sizes.equal(catalog.sizes)


def test_factors_of_joined_layers(lively: StyleGAN2) -> None:
    factors = lefs.dissect(lively, SEEDS, clusters=3, layer=JOINED, method="nmf", progress=False)
    styles = lively.sample_styles([9])
    vectors = Hypercolumns.of(JOINED, lively.layers).read(lively, styles)
    assert factors.membership(lively, styles).equal(soft_assign(vectors, factors.centers))


def test_partitions_and_estimates(lively: StyleGAN2) -> None:
    found = compare_partitions(lively, SEEDS, layers=["b8.conv1", JOINED], clusters=[2], show=3)
    assert {key: tuple(m.shape) for key, m in found.items()} == {
        ("b8.conv1", 2): (3, 2, 8, 8),
        (JOINED, 2): (3, 2, 16, 16),
    }
    assert estimate(lively, 4, clusters=2, layer=JOINED).seconds > 0


# -- catalogs ------------------------------------------------------------------------------------------------


def test_a_catalog_is_kept_and_used_like_any_other(
    lively: StyleGAN2, catalog: Catalog, tmp_path: Path
) -> None:
    catalog.save(tmp_path)
    again = Catalog.load(tmp_path)
    assert (again.layer, again.centers.shape) == (JOINED, catalog.centers.shape)
    styles = lively.sample_styles([3, 4])
    assert again.membership(lively, styles).equal(catalog.membership(lively, styles))
    masks = again.part_masks(lively, styles)
    assert all(mask.shape == (2, 16, 16) for mask in masks.values())
    assert sum(mask.long() for mask in masks.values()).eq(1).all()
    change = Change("cluster 1", 4, settings=QuerySettings(rho=0.0, epsilon=float("inf")))
    edit = Editor(lively, again).render(Recipe(3, (change,), truncation=1.0))
    assert not edit.image.equal(lively.synthesize(styles[:1]))


@pytest.mark.parametrize("layer", ["b8.conv1+b16.conv7", "b8.conv1+b8.conv1", "b8.conv1", 3, None])
def test_a_file_that_names_other_layers_is_refused(catalog: Catalog, tmp_path: Path, layer: object) -> None:
    catalog.save(tmp_path)
    tamper(tmp_path / "catalog.safetensors", layer=layer)
    with pytest.raises(ArtifactError, match="is not a whole catalog"):
        Catalog.load(tmp_path)


# -- units ---------------------------------------------------------------------------------------------------


def test_units_see_the_parts_that_the_catalog_does(lively: StyleGAN2, catalog: Catalog) -> None:
    styles = lively.sample_styles(range(4))
    images, labels = Concepts(lively, catalog).look(styles)
    assert images.equal(lively.synthesize(styles))
    for p, mask in enumerate(catalog.part_masks(lively, styles).values()):
        assert (labels == p).equal(mask)


def turned(maps: torch.Tensor) -> torch.Tensor:
    return maps.flip(1)


def seen_after(
    generator: Generator, styles: torch.Tensor, edited: str, names: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """The maps of some layers while those of `edited` are turned."""
    seen: dict[str, torch.Tensor] = {}

    def keep(maps: torch.Tensor, *, own: str) -> torch.Tensor:
        seen[own] = turned(maps) if own == edited else maps
        return seen[own]

    with torch.inference_mode():
        generator.walk(styles, {edited: turned, **{n: partial(keep, own=n) for n in names}})
    return seen


def test_an_intervention_at_either_layer_is_seen(lively: StyleGAN2, catalog: Catalog) -> None:
    """Labels after an edit are those of the maps after it, wherever in between it was made."""
    styles, judge = lively.sample_styles(range(3)), Concepts(lively, catalog)
    columns = Hypercolumns.of(JOINED, lively.layers)
    for name in ("b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"):
        seen = seen_after(lively, styles, name, columns.names)
        owner = torch.einsum("nchw,kc->nkhw", columns.join(seen), catalog.centers).argmax(dim=1)
        _, labels = judge.look(styles, {name: turned})
        assert labels.equal(owner), name
        assert not labels.equal(judge.look(styles)[1]), name


def test_what_comes_after_the_last_layer_is_refused(lively: StyleGAN2, catalog: Catalog) -> None:
    judge = Concepts(lively, catalog)
    assert judge.sees("b16.conv1")
    assert not judge.sees("b16.torgb")
    with pytest.raises(ValueError, match=r"layer 'b16.torgb' comes after 'b8.conv1\+b16.conv1'"):
        judge.check_layer("b16.torgb")
    found = units.characterize(lively, range(3), segmenter=catalog, quantile=0.2, progress=False)
    _, layer = units.usable(found, catalog, "cluster 0", "b16.torgb")
    assert judge.sees(layer)


def test_searches_go_through_joined_layers(lively: StyleGAN2, catalog: Catalog) -> None:
    """Log-odds are the cosines of joined vectors, and gradients reach an edit at the first layer."""
    styles = lively.sample_styles([0])
    shift = torch.zeros(lively.layer("b8.conv1").channels, requires_grad=True)
    edits = {"b8.conv1": lambda maps: maps + shift[:, None, None]}
    logits = Concepts(lively, catalog).logits(styles, edits)
    vectors = Hypercolumns.of(JOINED, lively.layers).read(lively, styles)
    cosine = torch.einsum("nchw,kc->nkhw", vectors, catalog.centers) / 2**0.5
    torch.testing.assert_close(logits.detach(), 20 * cosine, rtol=1e-4, atol=1e-4)
    logits[:, 0].sum().backward()
    assert shift.grad is not None
    assert float(shift.grad.abs().min()) > 0


def test_another_generator_with_the_same_layers_is_refused(catalog: Catalog) -> None:
    other: Generator = random_network(seed=2)
    with pytest.raises(ArtifactError, match="belongs to generator"):
        catalog.membership(other, other.sample_styles([0]))
