"""Every refusal names the argument, what was expected and what came."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lefs
from lefs import ArtifactError, Change, Recipe
from lefs.checks import (
    check_choice,
    check_device,
    check_integer,
    check_name,
    check_number,
    check_seed,
    check_seeds,
)


@given(st.floats(-1e300, 1e300))
def test_numbers_pass_unchanged(value: float) -> None:
    assert check_number("x", value) == value


@pytest.mark.parametrize("value", [1, np.float32(1), np.int64(1), torch.tensor(1.0)])
def test_numbers_of_any_library(value: object) -> None:
    number = check_number("x", value)
    assert type(number) is float
    assert number == 1.0


@pytest.mark.parametrize("value", ["0.5", b"1", True, None, [1.0], 1j])
def test_what_is_no_number_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match=r"^rho must be a number, got .*"):
        check_number("rho", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.1])
def test_numbers_outside_name_the_bounds(value: float) -> None:
    with pytest.raises(ValueError, match=rf"^rho must be a finite number in \[0, 1\], got {value}"):
        check_number("rho", value, minimum=0, maximum=1)


def test_infinity_only_where_it_means_something() -> None:
    assert check_number("x", math.inf, minimum=0, finite=False) == math.inf
    with pytest.raises(ValueError, match="x must be a number"):
        check_number("x", math.nan, finite=False)


@pytest.mark.parametrize("value", [1.0, True, "1", None, np.bool_(True)])
def test_integers_are_integers(value: object) -> None:
    with pytest.raises(TypeError, match=r"^clusters must be an integer, got"):
        check_integer("clusters", value)


def test_integers_outside_name_the_limits() -> None:
    assert check_integer("n", np.int64(3), minimum=3, maximum=3) == 3
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        check_integer("n", 0, minimum=1)
    with pytest.raises(ValueError, match="n must be between 1 and 4, got 5"):
        check_integer("n", 5, minimum=1, maximum=4)


@pytest.mark.parametrize("seeds", [range(3), [0, 1, 2], np.arange(3), torch.arange(3), (i for i in range(3))])
def test_seeds_from_any_iterable(seeds: object) -> None:
    found = check_seeds(seeds)  # type: ignore[arg-type]
    assert found == [0, 1, 2]
    assert {type(s) for s in found} == {int}


def test_seeds_are_those_of_random_state() -> None:
    assert check_seeds(2**32 - 1) == [2**32 - 1]
    assert check_seeds(torch.tensor(7)) == check_seeds(np.array(7)) == [7]  # (arrays without an axis)
    for bad in (-1, 2**32):
        with pytest.raises(ValueError, match=rf"seeds\[1\] must be between 0 and {2**32 - 1}, got {bad}"):
            check_seeds([0, bad])
    with pytest.raises(ValueError, match="pairs is empty; give at least one seed"):
        check_seeds([], name="pairs")
    with pytest.raises(TypeError, match=r"seeds\[0\] must be an integer, got '1'"):
        check_seeds("12")  # type: ignore[arg-type]


def test_choices_are_listed() -> None:
    assert check_choice("method", "a", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="method must be one of 'a', 'b'; got 'c'"):
        check_choice("method", "c", ("a", "b"))


def test_names_are_listed_and_the_nearest_is_offered() -> None:
    assert check_name("part", "hair", ["hair", "eyes"], what="part") == "hair"
    with pytest.raises(ValueError, match="no part named 'hairs'; did you mean 'hair'") as caught:
        check_name("part", "hairs", ["hair", "eyes"], what="part")
    assert "Choose from: hair, eyes" in caught.value.args[0]
    with pytest.raises(ValueError, match=r"no part named 'xyz'\. Choose from: hair"):
        check_name("part", "xyz", ["hair"], what="part")
    with pytest.raises(ValueError, match=r"no part named \['hair'\]"):
        check_name("part", ["hair"], {"hair": 0}, what="part")  # type: ignore[arg-type]


NO_SEEDS = pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (99_999_999_999, ValueError), ("abc", TypeError), (3.7, TypeError), (True, TypeError)],
)


@NO_SEEDS
def test_what_is_no_seed_is_refused_by_name(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^reference must be .*, got"):
        check_seed("reference", value)


@NO_SEEDS
def test_a_recipe_holds_seeds(value: object, error: type[Exception], tmp_path: Path) -> None:
    """Not something that replays as another picture, or fails when it is opened."""
    if not isinstance(value, str):  # (text is a path to another source)
        with pytest.raises(error, match=r"^target must be .*, got"):
            Recipe(value)  # type: ignore[arg-type]
        with pytest.raises(error, match=r"^reference must be .*, got"):
            Change("hair", value)  # type: ignore[arg-type]
    saved = Recipe(1, (Change("hair", 2),)).save(tmp_path / "recipe.json")
    other = json.loads(saved.read_text("utf-8"))
    other["changes"][0]["reference"] = value
    saved.write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(ArtifactError, match="reference must be"):
        Recipe.load(saved)


def test_a_recipe_takes_seeds_of_any_library_and_saves_them(tmp_path: Path) -> None:
    made = Recipe(np.int64(7), (Change("hair", np.int64(8)),))  # type: ignore[arg-type]
    assert Recipe.load(made.save(tmp_path / "recipe.json")) == made


def test_a_device_that_is_not_there_is_named() -> None:
    assert check_device("cpu").type == "cpu"
    missing = f"cuda:{torch.cuda.device_count()}"
    for device in (missing, "toaster", 1.5):
        with pytest.raises(ValueError, match=r"device must be one that is there: cpu.*; got"):
            check_device(device)
    with pytest.raises(ValueError, match=rf"device must be one that is there.*{missing}"):
        lefs.load("portraits-64").to(missing)
    with pytest.raises(ValueError, match="device must be one that is there"):
        lefs.load_segmenter("portraits-64").to(torch.cuda.device_count())
    for load in (lefs.load, lefs.load_segmenter):
        with pytest.raises(ValueError, match=rf"device must be one that is there.*{missing}"):
            load("portraits-64", device=missing)
    generator, number = lefs.load("portraits-64"), torch.cuda.device_count()
    for move in (generator.to, generator.cuda):
        with pytest.raises(ValueError, match=rf"device must be one that is there: cpu.*{number}"):
            move(number)
    with pytest.raises(ValueError, match=r"device must be one that is there: cpu.*'meta'"):
        lefs.load("portraits-64", device="meta")
