"""Locality on constructed images and against loops over pixels; agreement with true parts; stability."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch
from helpers import made_up_catalog
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from lefs import Catalog, QuerySettings, SphericalKMeans, StyleGAN2, transfer
from lefs.evaluation import (
    Locality,
    agreement_table,
    confusion,
    locality,
    locality_table,
    measure,
    name_by_truth,
    random_query,
    stability,
)

OPEN = QuerySettings(rho=0.0, epsilon=2.0, coarse=1.0, rgb=1.0)
PAIRS = [(1, 2), (3, 4), (5, 6)]


@pytest.fixture(scope="module")
def catalog(lively: StyleGAN2) -> Catalog:
    """Real clusters, so that every part is somewhere."""
    from lefs import dissect

    return dissect(lively, range(20), clusters=4, progress=False).named(["left", "right", "left", "middle"])


class Quadrants:
    """Labels by position: 0, 1 above and 2, 3 below."""

    names = ("left", "b", "c", "middle")

    def __call__(self, images: Tensor) -> Tensor:
        side = images.shape[-1]
        half = (torch.arange(side) >= side // 2).long()
        return (2 * half[:, None] + half).expand(len(images), side, side)


def masked_pair(count: int = 4, side: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    target, edited = torch.rand(2, count, 3, side, side, generator=random) * 2 - 1
    return target, edited, torch.rand(count, side, side, generator=random) < 0.3


def measured(target: Tensor, edited: Tensor, mask: Tensor, reference: Tensor | None = None) -> Locality:
    """What `measure` tells of locality alone."""
    found = measure(target, edited, target if reference is None else reference, mask)
    return Locality("hair", "mine", found["effect"], found["leak"], found["localisation"])


# -- measure -----------------------------------------------------------------------------------------------


def test_a_change_inside_the_mask_does_not_leak() -> None:
    target, other, mask = masked_pair()
    inside = measured(target, torch.where(mask[:, None], other, target), mask)
    assert (inside.leak == 0).all()
    assert (inside.localisation == 1).all()
    assert (inside.effect > 0).all()
    outside = measured(target, torch.where(mask[:, None], target, other), mask)
    assert (outside.effect == 0).all()
    assert (outside.localisation == 0).all()
    assert (outside.leak > 0).all()


def test_measures_equal_loops_over_pixels() -> None:
    target, edited, mask = masked_pair(side=14)
    mask &= torch.nn.functional.pad(torch.ones(8, 8, dtype=torch.bool), (3, 3, 3, 3))
    wanted = edited.flip(0)
    found = measure(target, edited, wanted, mask)
    change, rest, most = (
        reference.color_difference(a, b) ** 2
        for a, b in ((target, edited), (edited, wanted), (target, wanted))
    )
    for n in range(4):
        places = list(np.ndindex(14, 14))
        held = [p for p in places if mask[n][p]]
        inside, outside = set(held), set(places) - set(held)
        ring = {p for p in outside if any(max(abs(p[0] - y), abs(p[1] - x)) <= 3 for y, x in held)}

        def total(squared: np.ndarray, where: set, n: int = n) -> float:
            return float(sum(squared[n][p] for p in where))

        expected = {
            "effect": total(change, inside) / len(inside),
            "leak": total(change, outside) / len(outside),
            "localisation": total(change, inside) / total(change, set(places)),
            "most_effect": total(most, inside) / len(inside),
            "most_leak": total(most, outside) / len(outside),
            "missing": total(rest, inside),
            "distance": total(most, inside),
            "visible": sum(bool(change[n][p] > 25) for p in outside) / len(outside),
            "halo": total(change, ring),
            "most_halo": total(most, ring),
        }
        assert set(expected) == set(found)
        assert 0 < len(ring) < len(outside)
        for name, value in expected.items():
            assert found[name][n] == pytest.approx(value, rel=1e-3), name
    local = measured(target, edited, mask)
    assert local.ratio == pytest.approx(local.effect.mean() / local.leak.mean())


def test_arrival_is_the_share_of_the_way() -> None:
    """Of the squared distance: the reference has arrived, the target has not, who overshoots goes back."""
    target, _, mask = masked_pair()
    wanted = target + 0.1
    for edited, arrived in ((target, False), (wanted, True)):
        found = measure(target, edited, wanted, mask)
        np.testing.assert_allclose(found["missing"], 0 if arrived else found["distance"])
    grey = torch.zeros(1, 3, 4, 4)
    half = measure(grey, grey + 0.01, grey + 0.02, mask[:1, :4, :4] | torch.eye(4).bool())
    assert 1 - half["missing"] / half["distance"] == pytest.approx(0.75, abs=0.01)
    beyond = measure(grey, grey - 0.02, grey + 0.02, torch.eye(4).bool()[None])
    assert 1 - beyond["missing"] / beyond["distance"] == pytest.approx(-3, abs=0.1)


def test_a_change_that_knows_no_part_has_ratio_one() -> None:
    target = torch.zeros(2, 3, 10, 10)
    mask = torch.zeros(2, 10, 10, dtype=torch.bool)
    mask[:, :3] = True
    found = measured(target, target + 0.2, mask)
    assert found.ratio == pytest.approx(1)
    np.testing.assert_allclose(found.localisation, 0.3)


def test_nothing_changed() -> None:
    target, _, mask = masked_pair()
    found = measured(target, target, mask)
    assert not found.effect.any()
    assert np.isnan(found.localisation).all()
    assert math.isnan(found.ratio)
    assert "nan" not in str(locality_table([found]))
    assert locality_table([found]).rows[0][-2:] == ("no change", "no change")


def test_an_unknown_quantity_is_named() -> None:
    target, _, mask = masked_pair()
    with pytest.raises(ValueError, match="no quantity named 'leek'; did you mean 'leak'"):
        measured(target, target, mask).estimate("leek")


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_must_divide_the_image(value: bool) -> None:
    target, edited, mask = masked_pair()
    mask[1] = value
    with pytest.raises(ValueError, match="each must hold some pixels and leave some"):
        measure(target, edited, target, mask)


# -- random query ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_random_query_spends_the_same_in_each_layer(lively: StyleGAN2, catalog: Catalog, seed: int) -> None:
    q, m = OPEN.query(catalog, "left"), catalog.contribution("left")
    found = random_query(q, m, catalog, random_state=seed)
    assert found.dtype == q.dtype
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    for layer in lively.layers:
        spent = float((q * (1 - m))[layer.span].sum())
        assert float((found * (1 - m))[layer.span].sum()) == pytest.approx(spent, abs=1e-5)
    assert not torch.equal(found, q)
    assert torch.equal(found, random_query(q, m, catalog, random_state=seed))
    assert not torch.equal(found, random_query(q, m, catalog, random_state=seed + 1))


def test_a_random_query_knows_nothing_of_the_part(lively: StyleGAN2) -> None:
    """All channels of a layer are as likely, also where their contributions differ."""
    width = lively.num_styles
    shares = torch.stack([torch.full((width,), 0.5), torch.full((width,), 0.5)])
    catalog, layer = made_up_catalog(shares, lively), lively.layers[0]
    q = torch.zeros(width)
    q[layer.span.start] = 1
    m = catalog.contribution("cluster 0")
    chosen = torch.stack([random_query(q, m, catalog, random_state=s) for s in range(600)])
    assert torch.allclose(chosen.sum(dim=1), torch.ones(600))
    counts = chosen[:, layer.span].sum(dim=0)
    expected = 600 / layer.channels
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 30  # nine degrees of freedom: passed by chance but for once in 2000
    assert not chosen[:, layer.span.stop :].any()


# -- locality ----------------------------------------------------------------------------------------------


def long_way(
    lively: StyleGAN2, catalog: Catalog, part: str, q: Tensor, pairs: list[tuple[int, int]], segmenter=None
) -> list[tuple[float, float]]:  # type: ignore[no-untyped-def]
    """Effect and leak of each pair that shows the part, one pair at a time."""
    found = []
    for seeds in pairs:
        styles = [lively.sample_styles(s, truncation=0.7) for s in seeds]
        images = [lively.synthesize(s) for s in styles]
        if segmenter is not None and part in segmenter.names:
            masks = [segmenter(i)[0] == segmenter.names.index(part) for i in images]
        else:
            masks = [catalog.part_masks(lively, s)[part][0] for s in styles]
        core = (masks[0] | masks[1]).numpy()
        mask = np.zeros_like(core)
        for y, x in zip(*core.nonzero(), strict=True):  # widened by one pixel
            mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = True
        if mask.all() or not mask.any():
            continue
        edited = lively.synthesize(transfer(styles[0], styles[1], q))
        squared = reference.color_difference(images[0], edited)[0] ** 2
        found.append((squared[mask].mean(), squared[~mask].mean()))
    return found


@pytest.mark.parametrize("segmenter", [None, Quadrants()])
def test_locality_equals_the_long_way_round(lively: StyleGAN2, catalog: Catalog, segmenter) -> None:  # type: ignore[no-untyped-def]
    found = locality(lively, catalog, PAIRS, settings=OPEN, segmenter=segmenter, progress=False)
    queries = {
        "sequential": lambda part: OPEN.query(catalog, part),
        "random": lambda part: random_query(
            OPEN.query(catalog, part), catalog.contribution(part), catalog, random_state=0
        ),
        "global": lambda part: torch.ones(lively.num_styles),
    }
    assert len(found) >= 3
    assert len({(m.part, m.method) for m in found}) == len(found)
    for m in found:
        expected = long_way(lively, catalog, m.part, queries[m.method](m.part), PAIRS, segmenter)
        np.testing.assert_allclose(np.stack([m.effect, m.leak], axis=1), expected, rtol=2e-2, atol=0.02)


def test_locality_does_not_depend_on_batches(lively: StyleGAN2, catalog: Catalog) -> None:
    whole = locality(lively, catalog, PAIRS, settings=OPEN, progress=False)
    again = locality(lively, catalog, PAIRS, settings=OPEN, batch_size=2, progress=False)
    for one, two in zip(whole, again, strict=True):
        assert (one.part, one.method) == (two.part, two.method)
        np.testing.assert_allclose(one.effect, two.effect, rtol=1e-3)
        np.testing.assert_allclose(one.leak, two.leak, rtol=1e-3)


def test_pairs_may_come_from_an_iterator_or_an_array(lively: StyleGAN2, catalog: Catalog) -> None:
    (expected, *_) = locality(lively, catalog, PAIRS, settings=OPEN, progress=False)
    for pairs in (iter(PAIRS), np.array(PAIRS)):
        (found, *_) = locality(lively, catalog, pairs, settings=OPEN, progress=False)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.effect, expected.effect)


def test_an_image_edited_from_itself_does_not_change(lively: StyleGAN2, catalog: Catalog) -> None:
    for m in locality(lively, catalog, [(1, 1), (2, 2)], settings=OPEN, progress=False):
        assert not m.effect.any()
        assert not m.leak.any()


@pytest.mark.parametrize("pairs", [[], [(1,)], [(1, 2, 3)], [1, 2]])
def test_bad_pairs(lively: StyleGAN2, catalog: Catalog, pairs: list) -> None:
    with pytest.raises(ValueError, match="pairs must be a non-empty list"):
        locality(lively, catalog, pairs, progress=False)


def test_bad_seeds_and_parts(lively: StyleGAN2, catalog: Catalog) -> None:
    with pytest.raises(ValueError, match=r"pairs\[1\] must be between 0"):
        locality(lively, catalog, [(1, -2)], progress=False)
    with pytest.raises(ValueError, match="no part named 'nose'"):
        locality(lively, catalog, PAIRS, parts=["nose"], progress=False)


# -- agreement with true parts -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [3, 16])
def test_confusion_counts_pixels(lively: StyleGAN2, catalog: Catalog, batch: int) -> None:
    seeds, judge = range(7), Quadrants()
    table = confusion(lively, catalog, seeds, segmenter=judge, batch_size=batch, progress=False)
    assert table.shape == (4, 4)
    expected = np.zeros((4, 4))
    styles = lively.sample_styles(seeds)
    clusters = catalog.membership(lively, styles).argmax(dim=1)
    labels, scale = judge(lively.synthesize(styles)), 16 // clusters.shape[-1]
    for n in range(7):
        for y in range(16):
            for x in range(16):
                expected[clusters[n, y // scale, x // scale], labels[n, y, x]] += 1
    np.testing.assert_allclose(table, expected)
    np.testing.assert_allclose(table.sum(axis=0), 7 * 64)  # every true part is a quarter
    np.testing.assert_allclose(table.sum(axis=1), [(clusters == k).sum() * scale**2 for k in range(4)])


def test_names_by_truth_balance_purity_and_recall() -> None:
    table = np.array([[90.0, 10, 0], [5, 80, 15], [0, 0, 20], [0, 0, 0]])
    assert name_by_truth(table, ["a", "b", "c"])[:3] == ["a", "b", "c"]
    # A small part that lies wholly inside a large cluster is not what the cluster is,
    assert name_by_truth(np.array([[90.0, 10], [10, 0]]), ["large", "small"])[0] == "large"
    # and a cluster that holds most of a small part is that part, though more of it is background.
    assert name_by_truth(np.array([[9940.0, 10], [60, 40]]), ["large", "small"]) == ["large", "small"]


def test_agreement_is_recall_purity_and_overlap() -> None:
    table = np.array([[30.0, 10], [0, 20], [0, 40]])
    rows = agreement_table(table, ["a", "b", "a"], ["a", "b"]).rows
    assert [row[:3] for row in rows] == [("a", "2", "30.0%"), ("b", "1", "70.0%")]
    np.testing.assert_allclose(rows[0][3:], [1.0, 30 / 80, 30 / 80])  # type: ignore[arg-type]
    np.testing.assert_allclose(rows[1][3:], [20 / 70, 1.0, 20 / 70])  # type: ignore[arg-type]
    nobody = agreement_table(table, ["x", "x", "x"], ["a", "b"]).rows
    assert [row[3:] for row in nobody] == [(0, 0, 0), (0, 0, 0)]


def test_the_table_shows_means_and_intervals() -> None:
    values = np.array([1.0, 3.0])
    table = locality_table([Locality("hair", "global", values, values / 2, values / 4)])
    _, low, high = Locality("", "", values, values, values).estimate("effect")
    assert table.rows[0][:4] == ("hair", "global", "2", f"2.0 [{low:.1f}, {high:.1f}]")
    assert table.rows[0][5:] == (2.0, 0.5)


# -- stability ---------------------------------------------------------------------------------------------


def test_stability_is_the_agreement_of_every_pair_of_seeds() -> None:
    vectors = torch.rand(300, 6, generator=torch.Generator().manual_seed(0))
    scores = stability(vectors, [2, 7], seeds=[3, 4, 9])
    assert list(scores) == [2, 7]
    labels = [SphericalKMeans(7, n_init=1, random_state=s).fit(vectors).labels_ for s in (3, 4, 9)]
    expected = [adjusted_rand_score(labels[i], labels[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(scores[7], expected)
    assert scores[7].min() < 1


def test_planted_clusters_are_stable() -> None:
    directions = torch.eye(4).repeat_interleave(50, dim=0)
    vectors = directions + 0.05 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    found = stability(vectors, [4], n_init=4)[4]
    assert found.shape == (10,)
    assert (found == 1).all()
    np.testing.assert_array_equal(stability(vectors.numpy(), [4], n_init=4)[4], found)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clusters must be at least 1"):
        stability(vectors, [0])
