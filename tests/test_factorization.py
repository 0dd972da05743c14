"""Soft parts against SciPy, scikit-learn, float64 brute force and data whose factors are known."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from figure_inputs import pictures_in
from generator_of_strips import STRIPS, StripGenerator
from scipy.optimize import linear_sum_assignment, nnls
from sklearn.decomposition import NMF
from torch import Tensor

import lefs
from lefs import Catalog, StyleGAN2, dissect
from lefs.evaluation import explained_share, sample_vectors
from lefs.factorization import assign, factorize, memberships, non_negative_weights, soft_assign
from lefs.images import resample_partition
from lefs.plotting import agreement_dots, cluster_colors, factor_maps, soft_overlays
from lefs.tables import Table

SEEDS = range(10)


def quick(generator: lefs.Generator, seeds=SEEDS, **options) -> Catalog:  # type: ignore[no-untyped-def]
    return dissect(generator, seeds, **{"clusters": 4, "method": "nmf", "progress": False, **options})


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solved(vectors: Tensor, factors: Tensor) -> np.ndarray:
    """By SciPy, row by row."""
    return np.stack([nnls(factors.double().numpy().T, x)[0] for x in vectors.double().numpy()])


# -- weights -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_weights_are_those_of_scipy(dtype: torch.dtype) -> None:
    vectors, factors = random(200, 20).abs(), random(7, 20, seed=1).abs()
    found = non_negative_weights(vectors.to(dtype), factors.to(dtype))
    assert found.dtype == dtype
    expected = solved(vectors, factors)
    assert (expected == 0).any()
    assert (expected > 0).any()
    np.testing.assert_allclose(found, expected, atol=2e-5 * expected.max())


def test_weights_are_those_of_scipy_on_real_activations(portraits: lefs.Generator) -> None:
    vectors = sample_vectors(portraits, range(4), layer=portraits.default_layer, max_vectors=400).clamp_min(0)
    factors = factorize(vectors, 16)
    found, expected = non_negative_weights(vectors, factors), solved(vectors, factors)
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())
    assert np.abs(found.numpy() - expected).mean() < 1e-5


def test_more_factors_than_channels_reach_the_same_residual() -> None:
    """Then the weights are not unique, but how near they come is."""
    vectors, factors = random(30, 5).abs(), random(9, 5, seed=1).abs()
    found, expected = non_negative_weights(vectors, factors), torch.from_numpy(solved(vectors, factors))
    left, least = ((vectors - w @ factors).norm(dim=1) for w in (found, expected))
    torch.testing.assert_close(left, least, atol=1e-4, rtol=0)
    assert float(found.min()) >= 0


def test_what_is_zero_gets_no_weight() -> None:
    factors = torch.eye(3, 5).double()
    factors[1] = 0
    vectors = torch.tensor([[2.0, 3, 0, 9, 9], [-1, -1, -1, -1, -1], [0, 0, 0, 0, 0]]).double()
    expected = torch.tensor([[2.0, 0, 0], [0, 0, 0], [0, 0, 0]]).double()
    torch.testing.assert_close(non_negative_weights(vectors, factors), expected, atol=1e-9, rtol=0)
    assert non_negative_weights(vectors[:0], factors).shape == (0, 3)


def test_a_vector_does_not_depend_on_its_company() -> None:
    vectors, factors = random(50, 12).abs(), random(6, 12, seed=1).abs()
    together = non_negative_weights(vectors, factors)
    alone = torch.cat([non_negative_weights(v[None], factors) for v in vectors])
    torch.testing.assert_close(together, alone, atol=1e-9, rtol=0)


# -- memberships -------------------------------------------------------------------------------------------
def test_shares_are_normalised_weights() -> None:
    maps, factors = random(2, 6, 4, 5), random(3, 6, seed=1).abs()
    shares = soft_assign(maps, factors)
    assert shares.shape == (2, 3, 4, 5)
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, 4, 5))
    weights = solved(maps.clamp_min(0).movedim(1, -1).reshape(-1, 6), factors)
    expected = (weights / weights.sum(axis=1, keepdims=True)).reshape(2, 4, 5, 3)
    np.testing.assert_allclose(shares.movedim(1, -1), expected, atol=1e-4)
    louder = soft_assign(maps * torch.rand(2, 1, 4, 5).add(0.1).double() * 100, factors)
    torch.testing.assert_close(louder, shares, atol=1e-5, rtol=0)


def test_a_position_that_no_factor_explains_belongs_to_all_alike() -> None:
    factors = torch.eye(2, 3)
    maps = torch.tensor([[-1.0, -2, -3], [0, 0, 5], [0, 0, 0], [0, 4, 1]]).t()[None, :, None]
    expected = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0, 1]]).t()[None, :, None]
    assert torch.equal(soft_assign(maps, factors), expected)


def test_half_precision_maps() -> None:
    maps, factors = random(1, 6, 8, 8).abs().bfloat16(), random(3, 6, seed=1).abs().float()
    torch.testing.assert_close(soft_assign(maps, factors), soft_assign(maps.float(), factors))


def test_methods_have_their_membership() -> None:
    maps, factors = random(1, 6, 8, 8), random(3, 6, seed=1).abs()
    assert torch.equal(memberships(maps, factors, "kmeans"), assign(maps, factors))
    assert torch.equal(memberships(maps, factors, "nmf"), soft_assign(maps, factors))
    with pytest.raises(ValueError, match="method must be one of 'kmeans', 'nmf'"):
        memberships(maps, factors, "pca")


# -- factors -----------------------------------------------------------------------------------------------
def test_disjoint_factors_are_recovered() -> None:
    truth = torch.block_diag(*(random(1, 4, seed=k).abs() + 0.1 for k in range(5)))
    truth = torch.nn.functional.normalize(truth, dim=1)
    weights = random(3000, 5).clamp_min(0)
    vectors = weights @ truth
    vectors[weights.sum(dim=1) == 0] = -1.0  # what is negative plays no part
    found = factorize(vectors.float(), 5).double()
    cosines = truth @ found.t()
    rows, columns = linear_sum_assignment(-cosines.numpy())
    assert float(cosines[rows, columns].min()) > 0.999  # (multiplicative updates come to zeros slowly)
    torch.testing.assert_close(
        non_negative_weights(vectors.clamp_min(0), found)[:, columns], weights, atol=0.1, rtol=0
    )


def test_factors_are_unit_non_negative_and_repeatable() -> None:
    vectors = random(500, 10).float()
    one, two = (factorize(vectors, 4, random_state=3) for _ in range(2))
    assert torch.equal(one, two)
    assert float(one.min()) >= 0
    torch.testing.assert_close(one.norm(dim=1), torch.ones(4))
    more = factorize(vectors, 12)  # than channels
    assert more.shape == (12, 10)


def test_batches_come_near_to_what_all_vectors_at_once_give(portraits: lefs.Generator) -> None:
    vectors = sample_vectors(portraits, range(8), layer=portraits.default_layer)
    x = vectors.clamp_min(0).double()
    full = NMF(8, init="nndsvda", max_iter=400, tol=1e-6).fit(x.numpy())
    least = 1 - full.reconstruction_err_**2 / float(x.square().sum())
    found = explained_share(vectors, factorize(vectors, 8), method="nmf")
    assert least - 0.03 < found <= least + 1e-3


def test_explained_shares() -> None:
    vectors, centers = random(60, 8), torch.nn.functional.normalize(random(3, 8, seed=1).abs(), dim=1)
    x = vectors.clamp_min(0)
    left = sum(nnls(centers.numpy().T, row)[1] ** 2 for row in x.numpy())
    assert explained_share(vectors, centers, method="nmf") == pytest.approx(
        1 - left / float(x.square().sum())
    )
    cosines = torch.nn.functional.normalize(vectors, dim=1) @ centers.t()
    owner = cosines.argmax(dim=1)
    energy = vectors.square().sum(dim=1)
    expected = float((energy * cosines[torch.arange(60), owner].square()).sum() / energy.sum())
    assert explained_share(vectors, centers, method="kmeans") == pytest.approx(expected)
    assert explained_share(torch.zeros(2, 8), centers, method="nmf") == 0


@pytest.mark.parametrize(
    ("vectors", "factors", "error", "told"),
    [
        (-torch.ones(5, 3), 2, ValueError, 'nothing positive.*method="kmeans"'),
        (torch.full((5, 3), math.nan), 2, ValueError, "vectors must be a finite float tensor"),
        (torch.ones(5), 2, ValueError, r"of shape \(n, C\), got torch.float32 \(5,\)"),
        (torch.ones(5, 3, dtype=torch.int64), 2, ValueError, "finite float tensor"),
        (torch.ones(5, 3), 0, ValueError, "factors must be at least 1"),
    ],
)
def test_bad_vectors_are_refused(vectors: Tensor, factors: int, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        factorize(vectors, factors)


# -- dissection --------------------------------------------------------------------------------------------
def test_contributions_equal_brute_force(lively: StyleGAN2) -> None:
    catalog = quick(lively, layer="b8.conv1", truncation=0.8)
    assert catalog.method == "nmf"
    styles = lively.sample_styles(SEEDS, truncation=0.8)
    maps = {la.name: lively.record(styles, la.name)[la.name].double() for la in lively.layers}
    rows = maps["b8.conv1"].clamp_min(0).movedim(1, -1).reshape(-1, 8)
    weights = torch.from_numpy(solved(rows, catalog.centers)).reshape(10, 8, 8, 4).movedim(-1, 1)
    total = weights.sum(dim=1, keepdim=True)
    shares = torch.where(total > 0, weights / total.clamp_min(1e-300), 0.25)
    for layer in lively.layers:
        energy = maps[layer.name].square()
        inside = torch.einsum("nchw,nkhw->kc", energy, resample_partition(shares, layer.size[0]))
        expected = inside / energy.sum(dim=(0, 2, 3)).clamp_min(1e-300)
        np.testing.assert_allclose(catalog.contributions[:, layer.span], expected, atol=1e-4)
    np.testing.assert_allclose(catalog.sizes, shares.sum(dim=(0, 2, 3)), atol=0.6)


def test_soft_shares_sum_to_one(lively: StyleGAN2) -> None:
    catalog = quick(lively)
    total = catalog.contributions.sum(dim=0)
    dead = lively.layer("b4.conv1").span.start + 3  # see the fixture
    assert float(total[dead]) == 0
    total[dead] = 1
    assert float((total - 1).abs().max()) < 1e-6
    assert float(catalog.contributions.min()) >= 0


def test_soft_parts_have_effects_too(lively: StyleGAN2) -> None:
    catalog = quick(lively, range(3), contributions="effect")
    assert (catalog.method, catalog.measure) == ("nmf", "effect")
    total = catalog.contributions.sum(dim=0)
    torch.testing.assert_close(total[total > 0], torch.ones_like(total[total > 0]))
    assert float((total > 0).double().mean()) > 0.9


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batches_do_not_matter(lively: StyleGAN2, batch_size: int) -> None:
    one, two = quick(lively), quick(lively, batch_size=batch_size)
    torch.testing.assert_close(one.centers, two.centers, atol=1e-4, rtol=0)
    torch.testing.assert_close(one.contributions, two.contributions, atol=1e-4, rtol=0)


def test_threads_give_the_same_bits(lively: StyleGAN2) -> None:
    with ThreadPoolExecutor(2) as executor:
        one, two = quick(lively, batch_size=2), quick(lively, batch_size=2, executor=executor)
    for field in ("centers", "contributions", "sizes"):
        assert torch.equal(getattr(one, field), getattr(two, field))


def test_a_soft_catalog_comes_back_from_its_file(lively: StyleGAN2, tmp_path: Path) -> None:
    catalog = quick(lively).merge(["cluster 0", "cluster 2"], "both")
    loaded = Catalog.load(catalog.save(tmp_path))
    assert loaded.method == "nmf"
    styles = lively.sample_styles([40, 41])
    assert torch.equal(loaded.centers, catalog.centers)
    expected = catalog.membership(lively, styles)
    torch.testing.assert_close(loaded.membership(lively, styles), expected, atol=1e-6, rtol=0)
    query = lefs.QuerySettings(rho=0.0, epsilon=3.0).query(loaded, "both")
    assert 0 < int((query > 0).sum()) < len(query)


def test_masks_of_a_soft_catalog_divide_the_picture_by_the_largest_part(lively: StyleGAN2) -> None:
    catalog = quick(lively).merge(["cluster 0", "cluster 2"], "both")
    styles = lively.sample_styles([40, 41])
    masks = catalog.part_masks(lively, styles)
    assert torch.equal(sum(m.int() for m in masks.values()), torch.ones(2, 16, 16, dtype=torch.int32))
    soft = resample_partition(catalog.membership(lively, styles), 16)
    by_part = {name: soft[:, list(ks)].sum(dim=1) for name, ks in catalog.parts.items()}
    for name, mask in masks.items():
        others = torch.stack([s for n, s in by_part.items() if n != name]).amax(dim=0)
        assert bool((by_part[name][mask] >= others[mask]).all())


def test_ties_go_to_the_first_part(lively: StyleGAN2) -> None:
    catalog = quick(lively)
    silent = replace(catalog, centers=torch.nn.functional.normalize(torch.ones_like(catalog.centers)))
    masks = silent.part_masks(lively, lively.sample_styles([3]))
    assert [bool(m.all()) for m in masks.values()] == [True, False, False, False]
    assert not any(m.any() for m in list(masks.values())[1:])


@pytest.mark.parametrize("method", ["kmeans", "nmf"])
def test_parts_that_are_disjoint_are_found_and_their_channels_are_theirs(method: str) -> None:
    generator = StripGenerator()
    catalog = quick(generator, range(3), clusters=STRIPS, method=method)
    membership = catalog.membership(generator, generator.sample_styles([5]))[0]  # (K, 16, 16) or (K, 8, 8)
    strip = membership.shape[-1] // STRIPS
    owner = membership[:, 0, ::strip].argmax(dim=0)  # the cluster of each strip
    assert sorted(owner.tolist()) == list(range(STRIPS))
    truth = torch.zeros_like(membership)
    for s in range(STRIPS):
        truth[owner[s], :, s * strip : (s + 1) * strip] = 1
    torch.testing.assert_close(membership, truth, atol=2e-3, rtol=0)
    shares = torch.zeros_like(catalog.contributions)
    shares[owner.repeat(len(shares[0]) // STRIPS), torch.arange(len(shares[0]))] = 1
    torch.testing.assert_close(catalog.contributions, shares, atol=2e-3, rtol=0)


def test_an_unknown_method_is_refused_before_any_work(
    lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_work(*_: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(StyleGAN2, "walk", no_work)
    with pytest.raises(ValueError, match="method must be one of 'kmeans', 'nmf'; got 'pca'"):
        quick(lively, method="pca")


# -- figures ------------------------------------------------------------------------------------------------
def test_soft_memberships_blend_the_colours_of_the_first_row() -> None:
    images = torch.zeros(2, 3, 8, 8)
    hard = torch.zeros(2, 3, 4, 4)
    hard[:, 0, :, :2] = hard[:, 2, :, 2:] = 1  # left and right halves
    swapped = hard[:, [2, 1, 0]]
    even = torch.full((2, 3, 4, 4), 1 / 3)
    figure = soft_overlays(images, {"hard": hard, "same": swapped, "even": even}, opacity=1)
    first, same, mixed = (pictures_in(figure)[2 * r] for r in (1, 2, 3))
    np.testing.assert_array_equal(first, same)  # the same division, numbered otherwise
    assert not np.array_equal(first[0, 0], first[0, -1])
    expected = 255 * cluster_colors(3).mean(axis=0)
    np.testing.assert_allclose(mixed[0, 0], expected, atol=1)
    untouched = pictures_in(soft_overlays(images, {"hard": hard}, opacity=0))[2]
    assert np.ptp(untouched) == 0


def test_factor_maps_grow_darker_with_the_share() -> None:
    shares = torch.zeros(1, 3, 1, 3)
    shares[0, 1, 0] = torch.tensor([0.0, 0.5, 1.0])
    shares[0, 0] = 1 - shares[0, 1]
    figure = factor_maps(torch.ones(1, 3, 6, 6), shares, count=2)
    labels = [t.get_text() for t in figure.texts]
    assert labels[:3] == ["pictures", "factor 0", "factor 1"]  # those that are there
    row = pictures_in(figure)[2][0].sum(axis=-1).astype(int)
    left, middle, right = row[0], row[len(row) // 2], row[-1]
    assert left > middle > right
    named = factor_maps(torch.ones(1, 3, 6, 6), shares, factors=[2], names=["hair", "skin", "eyes"])
    assert "eyes" in [t.get_text() for t in named.texts]
    assert figure.axes[-1].get_ylabel() == "share of the activation"


def test_agreement_is_drawn_table_by_table() -> None:
    columns = ("true part", "clusters", "share of pixels", "recall", "purity", "IoU")
    rows = [("hair", "2", "20%", 0.9, 0.8, 0.7), ("eyes", "0", "1%", 0.0, 0.0, 0.0)]
    tables = {"one": Table(columns, rows), "two": Table(columns, rows)}
    figure = agreement_dots(tables, quantity="recall")
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["hair", "eyes"]
    assert [c.get_offsets()[:, 0].tolist() for c in ax.collections[:2]] == [[0.9, 0.0]] * 2
    with pytest.raises(ValueError, match="has no 'beauty', only true part"):
        agreement_dots(tables, quantity="beauty")
    with pytest.raises(ValueError, match="tables is empty"):
        agreement_dots({})


def test_figures_name_what_is_wrong() -> None:
    images = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match="memberships is empty"):
        soft_overlays(images, {})
    with pytest.raises(ValueError, match="describe the 1 images given, got 2"):
        soft_overlays(images, {"NMF": torch.ones(2, 1, 4, 4)})
    with pytest.raises(ValueError, match="opacity must be"):
        soft_overlays(images, {"NMF": torch.ones(1, 1, 4, 4)}, opacity=2)
    with pytest.raises(ValueError, match="factors must be between 0 and 0, got 3"):
        factor_maps(images, torch.ones(1, 1, 4, 4), factors=[3])
    with pytest.raises(ValueError, match=r"factors is empty; give some of the 2, for example \[0\]"):
        factor_maps(images, torch.ones(1, 2, 4, 4), factors=[])
    with pytest.raises(ValueError, match="names must be 2 strings, got \\['hair'\\]"):
        factor_maps(images, torch.ones(1, 2, 4, 4), names=["hair"])
