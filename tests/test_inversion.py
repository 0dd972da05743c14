"""A picture becomes the styles that make it: what is fitted, from what, and what of it is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import made_up_catalog, tamper
from PIL import Image

import lefs
from lefs.__main__ import main
from lefs.generator import Generator
from lefs.images import check_crop, crop_picture, read_picture, to_uint8
from lefs.inversion import catalog_for


@pytest.fixture(scope="module")
def picture(lively: Generator) -> torch.Tensor:
    """An image of the network's that no sample of the fits below is."""
    return lively.synthesize(lively.sample([977], truncation=0.7))[0]


def inverted(lively: Generator, picture: Any, **options: Any) -> lefs.Inversion:
    return lefs.invert(
        lively, picture, **{"steps": 30, "prior": 0.0, "samples": 16, "progress": False} | options
    )


def masks_like(mask: np.ndarray) -> list[Any]:
    """The same mask as people have it."""
    drawn = np.full((*mask.shape, 4), 255, np.uint8)  # (white, on what is transparent)
    drawn[..., 3] = 255 * mask
    numbers: list[Any] = [mask.astype(kind) for kind in (np.uint8, np.int64, np.float32)]
    pictures = [Image.fromarray(mask), Image.fromarray(drawn), 255 * mask.astype(np.uint8)]
    return [*numbers, *pictures, torch.from_numpy(mask)[None], torch.from_numpy(mask).bfloat16()]


# -- fits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["w", "w+", "styles"])
def test_every_space_comes_nearer_than_its_start_and_makes_what_it_says(
    lively: Generator, picture: torch.Tensor, space: Any
) -> None:
    found = inverted(lively, picture, space=space)
    assert found.errors.min() < 0.8 * found.errors[0]
    assert len(found.errors) == 30
    assert float((found.image - found.picture).square().mean()) == pytest.approx(
        float(found.errors.min()), rel=1e-3
    )
    assert lively.synthesize(found.styles)[0].equal(found.image)
    squared = (found.image.clamp(-1, 1) - found.picture).square().mean()
    assert found.psnr == pytest.approx(float(10 * (4 / squared).log10()))
    # W is where it says: styles of one w, which those of W+ need not be
    if space == "w":
        spread = torch.linalg.lstsq(*_affine_system(lively, found.styles)).residuals
        assert spread.numel() == 0 or float(spread.max()) < 1e-6


def _affine_system(generator: Generator, styles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The linear equations of the w that make these styles."""
    zero = torch.zeros(1, generator.num_ws, generator.w_dim)
    offset = generator.styles(zero)
    units = torch.eye(generator.w_dim)[:, None].expand(-1, generator.num_ws, -1)
    return (generator.styles(units) - offset).t().double(), (styles - offset).t().double()


def test_a_prior_keeps_the_fit_near_its_sample(lively: Generator, picture: torch.Tensor) -> None:
    start = inverted(lively, picture, steps=1).styles
    free, bound = (inverted(lively, picture, prior=p) for p in (0.0, 0.1))
    moved = [(found.styles - start).square().mean() for found in (free, bound)]
    assert moved[1] < 0.5 * moved[0]
    assert bound.psnr > inverted(lively, picture, steps=1).psnr


def test_it_starts_from_the_nearest_sample(lively: Generator) -> None:
    own = lively.synthesize(lively.sample([9], truncation=0.7))[0]
    found = inverted(lively, own, steps=1)
    assert float(found.errors[0]) == pytest.approx(float((own - found.picture).square().mean()), rel=1e-3)
    without = inverted(lively, own, steps=1, samples=9)  # 0 to 8
    assert found.errors[0] < without.errors[0]


def test_what_is_masked_does_not_count(lively: Generator, picture: torch.Tensor) -> None:
    mask = np.zeros((16, 16), bool)
    mask[:, :8] = True
    spoilt = picture.clone()
    spoilt[:, :, :8] = torch.rand(3, 16, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = [inverted(lively, p, masked=mask, steps=5) for p in (picture, spoilt)]
    assert found[0].styles.equal(found[1].styles)
    assert found[0].kept.equal(~torch.from_numpy(mask))
    for same in masks_like(mask):
        assert inverted(lively, picture, masked=same, steps=1).kept.equal(found[0].kept)
    with pytest.raises(ValueError, match="masked leaves nothing"):
        inverted(lively, picture, masked=np.ones((16, 16), bool))
    with pytest.raises(ValueError, match=r"masked must be of the picture's size, 16 x 16, got \(8, 8\)"):
        inverted(lively, picture, masked=np.ones((8, 8), bool))


def test_features_of_any_kind_are_fitted_and_left_as_they_are(
    lively: Generator, picture: torch.Tensor
) -> None:
    convolution = torch.nn.Conv2d(3, 2, 3).eval()
    losses = [lefs.PartSegmenter(["a", "b"], width=2).eval(), convolution, lambda x: [x.mean((2, 3)), x]]
    for loss in losses:
        plain, seen = (inverted(lively, picture, loss=some, steps=8) for some in (None, loss))
        assert not plain.styles.equal(seen.styles)
        assert seen.errors[0] > plain.errors[0]
    assert convolution.weight.grad is None
    with pytest.raises(ValueError, match=r"call \.eval\(\)"):
        inverted(lively, picture, loss=torch.nn.Conv2d(3, 2, 3))
    named = inverted(lively, picture, loss=lambda x: {"a": x}, steps=8)
    assert named.styles.equal(inverted(lively, picture, loss=lambda x: [x], steps=8).styles)
    assert inverted(lively, picture, loss=lambda x: 0 * x, steps=2).errors.isfinite().all()
    with pytest.raises(TypeError, match="loss must be a segmenter"):
        inverted(lively, picture, loss="vgg")
    for distance in (lambda x: x.mean(), lambda x: x.mean((1, 2, 3)), lambda x: None):
        with pytest.raises(ValueError, match="loss must give maps or vectors"):
            inverted(lively, picture, loss=distance)


def test_gradients_flow_where_nobody_else_wants_them(lively: Generator, picture: torch.Tensor) -> None:
    expected = inverted(lively, picture, steps=3)
    with torch.inference_mode():
        assert inverted(lively, picture, steps=3).styles.equal(expected.styles)
    assert not expected.styles.requires_grad


def test_generators_without_styles_and_wrong_numbers_are_told(
    lively: Generator, picture: torch.Tensor
) -> None:
    progan = lefs.models.ProGAN(lefs.models.ProGANConfig(8, z_dim=6, channels={4: 6, 8: 4})).freeze()
    with pytest.raises(TypeError, match="no styles"):
        lefs.invert(progan, picture)
    with pytest.raises(ValueError, match="space must be one of 'w', 'w\\+', 'styles'"):
        inverted(lively, picture, space="z")
    for name in ("steps", "samples"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            inverted(lively, picture, **{name: 0})


# -- records -----------------------------------------------------------------------------------------------


def test_an_inversion_is_a_record_and_a_source(
    lively: Generator, picture: torch.Tensor, tmp_path: Path
) -> None:
    Image.fromarray(to_uint8(picture)).save(tmp_path / "me.png")
    found = inverted(lively, tmp_path / "me.png", steps=2)
    path = found.save(tmp_path / "kept 1.2")
    assert path.name == "kept 1.2.safetensors"
    again = lefs.Inversion.load(path)
    for field in dataclasses.fields(found):
        one, two = (getattr(record, field.name) for record in (found, again))
        assert one.equal(two) if isinstance(one, torch.Tensor) else one == two
    for source in (found, path, str(path)):
        assert lefs.source_styles(lively, source).equal(found.styles)
    assert str(lefs.keep_source(lively, found)) == "me"
    written, crop = path.read_bytes(), list(found.crop)
    for name, value in {"space": "z", "crop": [7, *crop], "seconds": -1.0, "name": ...}.items():
        path.write_bytes(written)
        tamper(path, **{name: value})
        with pytest.raises(lefs.ArtifactError, match="not a whole inversion"):
            lefs.Inversion.load(path)
    with pytest.raises(ValueError, match=r"styles must have shape \(1, 66\) and finite real numbers"):
        dataclasses.replace(found, styles=found.styles * np.nan)


def test_tuning_makes_another_generator_that_a_catalog_can_be_taken_to(
    lively: Generator, picture: torch.Tensor
) -> None:
    catalog = made_up_catalog(torch.eye(2).repeat(1, lively.num_styles // 2), lively)
    before = {name: tensor.clone() for name, tensor in lively.state_dict().items()}
    target = (picture * 0.8).clamp(-1, 1)
    found = inverted(lively, target, steps=10)
    tuned = found.tune(lively, steps=20, progress=False)
    before_and_after = torch.stack([found.image, tuned.synthesize(found.styles)[0]])
    errors = (before_and_after - found.picture).square().mean(dim=(1, 2, 3))
    assert errors[1] < 0.9 * errors[0]
    assert all(tensor.equal(before[name]) for name, tensor in lively.state_dict().items())
    assert not any(p.requires_grad for p in tuned.parameters())
    assert tuned.fingerprint != lively.fingerprint
    assert tuned.sample([3]).equal(lively.sample([3]))  # seeds keep their styles
    with pytest.raises(lefs.ArtifactError, match="belongs to generator"):
        catalog.check_generator(tuned)
    catalog_for(tuned, catalog).check_generator(tuned)
    editor = lefs.Editor(tuned, catalog_for(tuned, catalog))
    assert editor.render(lefs.Recipe(found)).image.equal(tuned.synthesize(found.styles)[0])
    with pytest.raises(lefs.ArtifactError, match="was not tuned from"):
        catalog_for(lively, catalog)
    with pytest.raises(lefs.ArtifactError, match="tune that one"):
        found.tune(tuned, steps=1)


# -- pictures ----------------------------------------------------------------------------------------------


def test_pictures_of_every_mode_mean_the_same(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    image = Image.fromarray(values)
    grey = image.convert("L")
    for mode in ("RGB", "RGBA", "CMYK"):
        assert np.abs(np.asarray(read_picture(image.convert(mode))).astype(int) - values).max() <= 1
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    fraction = Image.fromarray(np.asarray(grey, np.float32) / 255)
    for same in (
        grey,
        wide,
        fraction,
        grey.convert("LA"),
        np.asarray(grey),
        torch.from_numpy(np.array(grey)),
    ):
        assert np.array_equal(np.asarray(read_picture(same)), np.asarray(grey.convert("RGB")))
    tensor = torch.from_numpy(values.copy()).movedim(-1, 0) / 127.5 - 1
    assert np.array_equal(np.asarray(read_picture(tensor)), values)
    clear = np.concatenate([values, np.zeros_like(values[..., :1])], axis=2)
    assert (np.asarray(read_picture(clear)) == 128).all()
    # a camera held upright: stored on its side
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(np.asarray(read_picture(tmp_path / "turned.png")), np.rot90(values, -1))


def test_what_is_not_a_picture_is_told(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("hello")
    Image.new("RGB", (4, 4)).save(tmp_path / "program.eps")  # (PostScript is a program)
    for name in ("cut.png", "text.png", "absent.png", "program.eps"):
        with pytest.raises(lefs.ArtifactError, match=f"{name} is not a picture that can be read"):
            read_picture(tmp_path / name)
    for wrong in (
        np.zeros((4, 4)),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4), np.uint8),
        torch.zeros(1, 3, 4, 4),
    ):
        with pytest.raises(ValueError, match="picture must be a path"):
            read_picture(wrong)
    with pytest.raises(ValueError, match="picture has NaN"):
        read_picture(torch.full((3, 4, 4), np.nan))
    for mask in (np.zeros((4, 4)) - 1, np.full((4, 4), np.nan), np.full((4, 4), 256)):
        with pytest.raises(ValueError, match="mask must have numbers"):
            lefs.KeptMask.of(mask)
    with pytest.raises(ValueError, match="mask is neither a picture nor an array"):
        lefs.KeptMask.of([[1]])  # type: ignore[arg-type]


def test_a_mask_is_the_same_in_every_form() -> None:
    mask = np.random.default_rng(0).random((6, 9)) > 0.5
    for same in masks_like(mask):
        assert np.array_equal(lefs.KeptMask.of(same).mask().numpy(), mask)


def test_the_middle_square_or_a_box_is_cut_out() -> None:
    image = Image.new("RGB", (30, 20), "black")
    image.paste((255, 255, 255), (5, 0, 25, 20))
    assert check_crop(None, image.size, (8, 8)) == (5, 0, 25, 20)
    assert (crop_picture(image, check_crop(None, image.size, (8, 8)), (8, 8)) == 1).all()
    assert (crop_picture(image, check_crop([0, 3, 5, 8], image.size, (8, 8)), (8, 8)) == -1).all()
    for crop, message in {
        (0, 0, 31, 20): "crop's right",
        (5, 0, 5, 9): "left < right",
        (0, 0, 9): "crop must",
    }.items():
        with pytest.raises(ValueError, match=message):
            check_crop(crop, image.size, (8, 8))


# -- command line ------------------------------------------------------------------------------------------


def test_the_command_line_inverts_pictures_and_edits_them(
    lively: Generator, picture: torch.Tensor, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEFS_HEADLESS", "1")
    folder = str(lefs.save_generator(lively, tmp_path / "model", name="lively"))
    eye = torch.eye(2).repeat(1, lively.num_styles // 2)
    made_up_catalog(eye, lively, ["left", "right"]).save(folder)
    Image.fromarray(to_uint8(picture)).resize((40, 30)).save("me.jpg")
    command = ["--generator", folder, "--steps", "2"]
    assert main(["invert", "me.jpg", *command, "--out", "me", "--crop", "0", "0", "30", "30"]) == 0
    assert "cut out 0, 0, 30, 30 (left, top, right, bottom), resized to 16 x 16" in capsys.readouterr().out
    assert Image.open("me.png").size == (32, 16)
    edit = ["edit", *command, "--where", "everywhere", "--target", "me.safetensors"]
    assert (
        main([*edit, "--reference", "7", "--part", "left", "--reference", "me.jpg", "--part", "right"]) == 0
    )
    recipe = lefs.Recipe.load("edit.json")
    assert recipe.changes[0].reference == 7
    assert lefs.source_styles(lively, recipe.target).equal(lefs.Inversion.load("me").styles)
    assert str(recipe.changes[1].reference) == "me"
    Image.fromarray(np.eye(16, dtype=bool)).save("mask.png")
    alone = ["edit", *command, "--target", "me.json", "--reference", "7", "--part", "mine"]
    assert main([*alone, "--mask", "mask.png", "--out", "mine"]) == 0
    assert lefs.Recipe.load("mine.json").changes[0].mask == lefs.KeptMask.of("mask.png")
    assert main([*alone, "--mask", "me.json"]) == 2
    capsys.readouterr()
    assert main(["info", "mine.png"]) == 0
    assert "mine of 7 (in place)" in capsys.readouterr().out
    assert main(["info", "mask.png"]) == 2
    assert "has no lefs-recipe inside" in capsys.readouterr().err
    assert main([*edit, "--reference", "7", "--part", "lef"]) == 2
    assert "did you mean 'left'?" in capsys.readouterr().err
    assert main([*edit, "--reference", "7", "--part", "left", "--part", "right"]) == 2
    assert main(["invert", "edit.json", *command]) == 2
    assert "edit.json is not a picture" in capsys.readouterr().err
