"""Clusters that are divided by likeness or by side, and catalogs that keep the rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import lefs
from lefs.dissection import divide
from lefs.factorization import Side
from lefs.records import ArtifactError
from lefs.units.concepts import Concepts


@pytest.fixture(scope="module")
def catalog(tiny):
    found = lefs.dissect(tiny, range(12), clusters=4, progress=False)
    return found.named(["skin", "hair", "skin", "hat"])


@pytest.fixture(scope="module")
def styles(tiny):
    return tiny.sample(range(100, 104))


def test_halves_by_side_make_up_the_whole(tiny, catalog, styles):
    divided = divide(catalog, tiny, [1], "x", at=0.25, progress=False)
    before, after = catalog.membership(tiny, styles), divided.membership(tiny, styles)
    left = before.shape[-1] // 4
    assert not after[:, 1, :, left:].any()
    assert not after[:, 4, :, :left].any()
    assert after[:, [1, 4]].sum(dim=1).equal(before[:, 1])
    assert after[:, [0, 2, 3]].equal(before[:, [0, 2, 3]])
    assert divided.parts == {"skin": (0, 2), "hair": (1,), "hat": (3,), "cluster 4": (4,)}
    own, whole = divided.contributions, catalog.contributions
    torch.testing.assert_close(own[[1, 4]].sum(dim=0), whole[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(own[[0, 2, 3]], whole[[0, 2, 3]], rtol=0, atol=1e-6)
    assert int(divided.sizes[[1, 4]].sum()) == int(catalog.sizes[1])
    assert divided.part_digest("hair") != catalog.part_digest("hair")
    assert divided.part_digest("skin") == catalog.part_digest("skin")


@pytest.mark.parametrize("how", ["likeness", "x"])
def test_a_cluster_that_is_named_twice_is_divided_once(tiny, catalog, how):
    once, twice = (divide(catalog, tiny, ks, how, progress=False) for ks in ([1], [1, 1]))
    assert twice.parts == once.parts
    assert twice.centers.equal(once.centers)
    assert twice.sides == once.sides


def test_rules_follow_one_another(tiny, catalog, styles):
    quarters = divide(divide(catalog, tiny, [1, 3], "x", progress=False), tiny, [1, 4], "y", progress=False)
    assert quarters.sides[2:] == (Side(1, 6, "y", 0.5), Side(4, 7, "y", 0.5))
    before, after = catalog.membership(tiny, styles), quarters.membership(tiny, styles)
    assert after[:, [1, 4, 6, 7]].sum(dim=1).equal(before[:, 1])
    middle = before.shape[-1] // 2
    assert after[:, 7, middle:, middle:].equal(before[:, 1, middle:, middle:])
    assert after.sum(dim=1).eq(1).all()


def test_a_catalog_keeps_its_rules_and_checks_them(tiny, catalog, styles, tmp_path):
    divided = divide(catalog, tiny, 3, "y", at=0.75, progress=False)
    again = lefs.Catalog.load(divided.save(tmp_path))
    assert again.sides == (Side(3, 4, "y", 0.75),)
    assert again.membership(tiny, styles).equal(divided.membership(tiny, styles))
    for wrong in ((3, 9, "y", 0.5), (4, 3, "y", 0.5), (3, 4, "z", 0.5), (3, 4, "x", 2.0)):
        with pytest.raises(ValueError, match="sides"):
            replace(divided, sides=(wrong,))
    with pytest.raises((ValueError, TypeError)):
        replace(divided, sides=(7,))


def test_halves_by_likeness_are_nearer_to_their_centres(tiny, catalog, styles):
    divided = divide(catalog, tiny, 1, progress=False)
    assert divided.num_clusters == 5
    assert divided.centers[[0, 2, 3]].equal(catalog.centers[[0, 2, 3]])
    maps = torch.nn.functional.normalize(catalog.columns.read(tiny, styles), dim=1)
    nearest = [torch.einsum("nchw,kc->nkhw", maps, c.centers).amax(dim=1) for c in (catalog, divided)]
    within = catalog.membership(tiny, styles)[:, 1].bool()
    assert nearest[1][within].mean() > nearest[0][within].mean()
    live = divided.contributions.sum(dim=0)
    torch.testing.assert_close(live, (live > 0).double(), rtol=0, atol=1e-6)
    assert divided.contributions.equal(
        lefs.dissection.remeasure(divided, tiny, contributions="energy", progress=False).contributions
    )


def test_effects_are_measured_again(tiny, catalog):
    measured = lefs.by_effect(catalog, tiny, progress=False)
    divided = divide(measured, tiny, 1, "x", progress=False)
    assert divided.measure == "effect"
    assert divided.effects is not None
    # (what changes on both sides of a line is counted with random signs, so that halves add up on average)
    assert divided.effects.shape == (5, tiny.num_styles)
    assert bool((divided.effects[[1, 4]].sum(dim=1) > 0).all())


def test_concepts_of_a_catalog_follow_its_rules(tiny, catalog, styles):
    concepts = Concepts(tiny, divide(catalog, tiny, 1, "x", progress=False))
    _, labels = concepts.look(styles)
    assert concepts.logits(styles, {}).argmax(dim=1).equal(labels)


def test_what_cannot_be_divided_is_refused(tiny, catalog):
    with pytest.raises(ValueError, match="clusters must be between 0 and 3"):
        divide(catalog, tiny, 4, "x", progress=False)
    with pytest.raises(ValueError, match="how must be one of"):
        divide(catalog, tiny, 1, "z", progress=False)
    divided = divide(catalog, tiny, 1, "x", progress=False)
    with pytest.raises(ValueError, match="1 is divided by side"):
        divide(divided, tiny, 1, progress=False)


def test_a_hostile_rule_in_a_file_is_an_artifact_error(tiny, catalog, tmp_path):
    divided = divide(catalog, tiny, 1, "x", progress=False)
    object.__setattr__(divided, "sides", [[1, 10**9, "x", 0.5]])
    divided.save(tmp_path)
    with pytest.raises(ArtifactError, match="sides"):
        lefs.Catalog.load(tmp_path)
