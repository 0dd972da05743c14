"""What leaves the house: pictures with their recipe inside, which replay, and moving pictures."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import lefs
from lefs import ArtifactError, Change, Editor, QuerySettings, Recipe
from lefs.__main__ import main
from lefs.images import to_uint8
from lefs.records import file_sha256

PLACE = QuerySettings(where="part")
KEY = "lefs-recipe"


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(lefs.load("portraits-64"), lefs.Catalog.load("portraits-64"))


@pytest.fixture(scope="module")
def recipe(editor: Editor) -> Recipe:
    mine = editor.generator.sample([9], truncation=0.5)
    return Recipe(mine, (Change("hair", 2, settings=PLACE), Change("clothes", 3, 0.5)), 0.7)


def pixels(path: str | os.PathLike[str]) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_saved_picture_holds_its_recipe_and_replays_bit_for_bit(
    editor: Editor, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    edit = editor.render(recipe)
    path = edit.save("mine.png")
    np.testing.assert_array_equal(pixels(path), to_uint8(edit.image))
    assert Recipe.from_png(path) == edit.recipe
    again = Editor(editor.generator, editor.catalog).render(Recipe.from_png(path))
    assert torch.equal(again.image, edit.image)
    edit.recipe.save("mine.json")
    for source in ("mine.png", "mine.json"):
        assert main(["edit", source, "--generator", "portraits-64", "--out", "again"]) == 0
        np.testing.assert_array_equal(pixels("again.png"), pixels(path))
        assert Recipe.from_png("again.png") == Recipe.load("again.json") == edit.recipe


def test_pictures_of_one_channel_or_with_alpha_are_saved(editor: Editor, tmp_path: Path) -> None:
    for channels in (1, 4):
        image = torch.linspace(-1, 1, channels * 16).reshape(channels, 4, 4)
        path = lefs.images.save_png(tmp_path / "small.png", image)
        np.testing.assert_array_equal(pixels(path).reshape(4, 4, channels), to_uint8(image))


def test_another_generator_or_catalog_is_refused_by_name(
    editor: Editor, recipe: Recipe, tmp_path: Path, capsys: Any
) -> None:
    path = str(editor.render(recipe).save(tmp_path / "mine.png"))
    assert main(["edit", path, "--generator", "portraits", "--out", str(tmp_path / "no")]) == 2
    assert "portraits-64" in capsys.readouterr().err
    names = editor.catalog.cluster_names
    other = editor.catalog.named(["hair" if name == "clothes" else name for name in names])
    with pytest.raises(ArtifactError, match=r"another catalog.*'hair' is other clusters"):
        Editor(editor.generator, other).render(Recipe.from_png(path))


def in_a_picture(path: Path, text: str, *, packed: bool = False) -> Path:
    notes = PngInfo()
    notes.add_text(KEY, text, zip=packed)
    Image.new("RGB", (2, 2)).save(path, pnginfo=notes)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "lefs-catalog"}, "lefs-catalog"),
        ({"version": 99}, "version 99"),
        ({"truncation": "0.7"}, "truncation"),
        ({"truncation": float("nan")}, "truncation"),
        ({"target": -1}, "target"),
        ({"target": {"text": "AAAA", "sha256": "0"}}, "SHA-256"),
        ({"label": "x"}, "label"),
        ({"parts": 3}, "not a whole recipe"),
        ({"changes": [{}] * 257}, "257 changes"),
        ({"changes": [{"part": ["hair"], "reference": 1, "strength": 1, "settings": {}}]}, "part"),
        ({"changes": [{"part": "hair", "reference": 1, "strength": 2, "settings": {}}]}, "strength"),
        ({"changes": [{"part": "hair", "reference": 1, "strength": 1, "settings": {"run": 1}}]}, "run"),
        ({"changes": [{"part": "hair", "reference": "/x", "strength": 1, "settings": {}}]}, "reference"),
    ],
)  # fmt: skip
def test_a_recipe_in_somebodys_picture_is_checked(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    content = {**Recipe(1, (Change("hair", 2),)).to_json(), **change}
    path = in_a_picture(tmp_path / "theirs.png", json.dumps(content))
    with pytest.raises(ArtifactError, match=message):
        Recipe.from_png(path)


def test_what_is_not_a_picture_with_a_recipe_says_so(tmp_path: Path, recipe: Recipe, editor: Editor) -> None:
    whole = editor.render(recipe).save(tmp_path / "whole.png").read_bytes()
    plain, jpeg, torn = tmp_path / "plain.png", tmp_path / "photo.png", tmp_path / "torn.png"
    Image.new("RGB", (2, 2)).save(plain)
    Image.new("RGB", (2, 2)).save(jpeg, "JPEG")
    torn.write_bytes(whole[:60])
    os.mkfifo(tmp_path / "pipe.png")
    for path, message in {
        plain: "has no lefs-recipe inside",
        jpeg: "not a whole PNG",
        torn: "inside",
        tmp_path / "none.png": "is not a file",
        tmp_path / "pipe.png": "is not a file",
        in_a_picture(tmp_path / "bomb.png", " " * 2**26, packed=True): "not a whole PNG|no lefs-recipe",
        in_a_picture(tmp_path / "deep.png", "[" * 100_000): "is not the JSON",
        in_a_picture(tmp_path / "list.png", "[1]"): "holds 'list'",
    }.items():
        with pytest.raises(ArtifactError, match=message):
            Recipe.from_png(path)


# -- moving pictures ---------------------------------------------------------------------------------------
def test_a_filmstrip_and_a_gif_are_the_way_of_the_slider(
    editor: Editor, recipe: Recipe, tmp_path: Path
) -> None:
    way = editor.filmstrip(recipe, "strength", [0.0, 0.5, 1.0])
    strip = lefs.animate(editor, recipe, tmp_path / "way.png", frames=3, progress=False)
    np.testing.assert_array_equal(pixels(strip), to_uint8(torch.cat(list(way), dim=2)))
    with Image.open(lefs.animate(editor, recipe, tmp_path / "way.gif", frames=3, progress=False)) as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (3, (64, 64), 0)
        for number, image in enumerate(way):
            gif.seek(number)
            shown = np.asarray(gif.convert("RGB"), float)
            assert np.abs(shown - to_uint8(image)).mean() < 6, "a palette of 256 colours"


def test_a_rate_that_no_film_has_is_told_before_the_work(
    editor: Editor, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Editor, "render", lambda *_: pytest.fail("a frame was made"))
    for rate in (0, -3, float("nan")):
        with pytest.raises(ValueError, match=r"rate must be a finite number in \[0.1, 1000\]"):
            lefs.animate(editor, recipe, tmp_path / "way.gif", rate=rate, progress=False)  # type: ignore[arg-type]


def test_a_walk_begins_with_one_edit_and_ends_with_the_other(
    editor: Editor, recipe: Recipe, tmp_path: Path
) -> None:
    other = Recipe(4, (Change("hair", 5, settings=PLACE), Change("mouth", 6, settings=PLACE)), 0.6)
    path = lefs.animate(editor, [recipe, other], tmp_path / "walk.png", frames=5, progress=False)
    frames = np.split(pixels(path).astype(float), 5, axis=1)
    np.testing.assert_array_equal(frames[0], to_uint8(editor.render(recipe).image))
    np.testing.assert_array_equal(frames[-1], to_uint8(editor.render(other).image))
    steps = [np.abs(a - b).mean() for a, b in pairwise(frames)]
    assert max(steps) < 0.6 * np.abs(frames[0] - frames[-1]).mean(), "no jump"


def test_a_film_is_written_and_its_library_named_when_missing(
    editor: Editor, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iio = pytest.importorskip("imageio.v3")
    pytest.importorskip("imageio_ffmpeg")
    path = str(editor.render(recipe).save(tmp_path / "mine.png"))
    film = tmp_path / "way.mp4"
    command = ["edit", path, "--generator", "portraits-64", "--out", str(tmp_path / "again"), "--animate"]
    assert main([*command, str(film)]) == 0
    shown = iio.imread(film, plugin="FFMPEG")
    assert shown.shape == (24, 64, 64, 3)
    assert np.abs(shown[-1].astype(float) - pixels(path)).mean() < 6
    before = file_sha256(film)
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    (tmp_path / "again.png").unlink()
    assert main([*command, str(film)]) == 2
    assert file_sha256(film) == before, "the old film stays"
    assert not (tmp_path / "again.png").exists(), "it is said before the work"
    with pytest.raises(ModuleNotFoundError, match=r"lefs\[video\]"):
        lefs.animate(editor, recipe, film, frames=2, progress=False)
    with pytest.raises(ValueError, match="ending"):
        lefs.animate(editor, recipe, tmp_path / "way.avi")
