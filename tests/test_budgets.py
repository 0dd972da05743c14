"""Budgets: sample sizes follow from the arithmetic of a generator, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

import lefs
from lefs import Catalog, StyleGAN2
from lefs.runner import affordable, affordable_images, effects_within
from lefs.runner.costs import picture_seconds


def test_more_minutes_never_give_fewer(lively: StyleGAN2) -> None:
    for afford in (
        lambda m: affordable("pairs", lively, m, most=500),
        lambda m: affordable_images(lively, m, most=500),
    ):
        found = [afford(minutes) for minutes in (0, 0.001, 0.01, 0.1, 1, 100)]
        assert found == sorted(found)
        assert found[0] < found[-1] == 500
        assert found == [afford(minutes) for minutes in (0, 0.001, 0.01, 0.1, 1, 100)]


def test_what_was_chosen_is_said(lively: StyleGAN2, capsys: pytest.CaptureFixture[str]) -> None:
    count = affordable("pairs", lively, 0.001, most=500, pictures=13)
    assert capsys.readouterr().out == f"pairs: {count} of 500, for 0.001 minutes on two cores\n"
    assert affordable("pairs", lively, 60, most=500) == 500
    assert capsys.readouterr().out == ""


def test_smaller_pictures_and_smaller_networks_cost_less() -> None:
    large, small = lefs.load("portraits"), lefs.load("portraits-64")
    assert picture_seconds(large) > picture_seconds(large.at(64)) > picture_seconds(large.at(32))
    assert picture_seconds(large) > picture_seconds(small)


def test_effects_are_measured_where_there_is_time_for_them(lively: StyleGAN2) -> None:
    catalog = lefs.dissect(lively, range(4), clusters=3, progress=False)
    assert effects_within(0, catalog, lively) == (catalog, "energy")
    found, kind = effects_within(5, catalog, lively)
    assert kind == "effect"
    assert isinstance(found, Catalog)
    assert found.effects is not None
    assert effects_within(0, found, lively) == (found, "effect")
    assert effects_within(0, replace(catalog, measure="standardized"), lively)[1] == "standardized"


def test_a_generator_of_smaller_pictures_is_the_same_generator() -> None:
    generator = lefs.load("portraits")
    small, styles = generator.at(32), generator.sample([1, 2])
    assert small.fingerprint == generator.fingerprint
    assert small.size == (32, 32)
    assert small.preview_sizes == tuple(s for s in generator.preview_sizes if s <= 32)
    assert small.synthesize(styles).equal(generator.synthesize(styles, upto=32))
    assert small.synthesize(styles, cache=small.cache(styles)).equal(small.synthesize(styles))
    assert generator.at(128) is generator
    finest = generator.layers[-1].name
    assert small.record(styles, finest)[finest].equal(generator.record(styles, finest)[finest])
    assert generator.size == (128, 128)
    with pytest.raises(ValueError, match="side must be one of"):
        small.at(64)


def test_what_only_larger_pictures_need_is_dead_in_smaller_ones() -> None:
    generator = lefs.load("portraits-64")
    small = generator.at(32)
    options = {"clusters": 3, "layer": "b16.conv1", "progress": False}
    whole, part = (lefs.dissect(g, range(4), **options) for g in (generator, small))
    seen = [la.span for la in generator.layers if la.name.startswith(("b4", "b8", "b16", "b32"))]
    for span in seen:
        assert whole.contributions[:, span].equal(part.contributions[:, span])
    assert not part.contributions[:, generator.layer("b64.conv1").span].any()
