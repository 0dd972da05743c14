"""The recipe of the embedded generator: renderer, trainer, segmenter and model card."""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import stored, tamper

import lefs
from data.portraits.recipe.draw.dataset import HELD_OUT_SEED, open_dataset, render, save_dataset
from data.portraits.recipe.draw.parts import COARSE, GROUPS, MIRRORED, PARTS, Part
from data.portraits.recipe.draw.pen import box_downsample
from data.portraits.recipe.train.discriminator import FeatureDiscriminator, PixelDiscriminator
from data.portraits.recipe.train.generator import main as train_main
from data.portraits.recipe.train.plan import Plan
from data.portraits.recipe.train.segmenter import (
    GROUP_NAMES,
    intersection_over_union,
    measure,
    to_tensor,
    train_segmenter,
)
from data.portraits.recipe.train.trainer import Trainer
from lefs.records import ArtifactError
from lefs.segmenters import PartSegmenter, load_segmenter

FOLDER = Path(__file__).resolve().parents[1] / "data" / "portraits"

TINY = Plan(
    resolution=16, latent=8, capacity=64, max_channels=8, coarse_channels=8, critic_capacity=64, batch=4
)


COARSE_PARTS = list(GROUPS)


@pytest.fixture(scope="module")
def rendered() -> tuple[np.ndarray, np.ndarray]:
    """Images and fine masks."""
    return render(range(150))


@pytest.fixture(scope="module")
def many_masks() -> np.ndarray:
    """Coarse masks, small."""
    return COARSE[render(range(400), 32)[1]]


def untrained_segmenter(width: int = 2) -> PartSegmenter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PartSegmenter(PARTS, width=width, groups=GROUP_NAMES).eval()


def tiny_trainer(plan: Plan = TINY) -> Trainer:
    return Trainer(plan, render(range(16), 16)[0], untrained_segmenter())


# ------------------------------------------------------------------------------------------- package

MODULES = {path.relative_to(FOLDER).with_suffix(""): path for path in (FOLDER / "recipe").rglob("*.py")}
COMMANDS = [
    "draw.dataset", "train.segmenter", "train.generator", "measure.judge", "measure.label", "measure.tune",
    "measure.compare", "measure.invert", "measure.retrieve",
]  # fmt: skip


def siblings(module: Path) -> set[Path]:
    """Modules of the recipe that one imports; all of them import each other relatively."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = module.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found |= {base / alias.name for alias in node.names} & set(MODULES) or {base}
    return {path if path in MODULES else path / "__init__" for path in found}


def test_the_recipe_has_one_direction():
    imports = {module: siblings(module) for module in MODULES}
    order = list(graphlib.TopologicalSorter(imports).static_order())  # raises where there is a circle
    assert set(order) == set(MODULES)
    rooms = ("draw", "train", "measure")
    for module, others in imports.items():
        for other in others:
            if len(other.parts) > 2:
                assert rooms.index(other.parts[1]) <= rooms.index(module.parts[1]), f"{module}: {other}"


def test_beside_the_recipe_the_folder_holds_no_code():
    assert {p.suffix for p in FOLDER.iterdir() if p.is_file()} <= {".md", ".png", ".json", ".safetensors"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_in_the_card_and_tells_its_options(name, capsys):
    module = importlib.import_module(f"data.portraits.recipe.{name}")
    with pytest.raises(SystemExit) as end:
        module.main(["--help"])
    assert end.value.code == 0
    assert "usage" in capsys.readouterr().out
    pages = (FOLDER / "README.md", FOLDER.parents[1] / "docs" / "evaluation.md")
    cards = "".join(p.read_text() for p in pages)
    assert f"python -m data.portraits.recipe.{name}" in cards


# ------------------------------------------------------------------------------------------ renderer


def test_an_image_depends_on_its_seed_only(rendered):
    images, masks = rendered
    again, parts = render([7, 3, 7])
    np.testing.assert_array_equal(again, images[[7, 3, 7]])
    np.testing.assert_array_equal(parts, masks[[7, 3, 7]])
    assert len({image.tobytes() for image in images}) == len(images)


def test_images_and_masks_have_the_promised_form(rendered):
    images, masks = rendered
    assert images.shape == (150, 64, 64, 3)
    assert masks.shape == (150, 64, 64)
    assert images.dtype == masks.dtype == np.uint8
    assert set(np.unique(masks)) == set(range(len(PARTS)))


def test_every_fine_part_is_in_one_group():
    members = [part for parts in GROUPS.values() for part in parts]
    assert sorted(members) == list(Part)
    for number, parts in enumerate(GROUPS.values()):
        assert set(COARSE[list(parts)]) == {number}


def test_left_is_the_depicted_persons_own(rendered):
    _, masks = rendered
    for name in ("eye", "brow", "iris", "ear"):
        left, right = (
            np.nonzero(masks == PARTS.index(f"{side}_{name}"))[2].mean() for side in ("left", "right")
        )
        assert left > 32 > right, name


def test_a_mirrored_mask_exchanges_left_and_right(rendered):
    _, masks = rendered
    assert PARTS[MIRRORED[PARTS.index("left_iris")]] == "right_iris"
    np.testing.assert_array_equal(MIRRORED[MIRRORED], np.arange(len(PARTS)))
    np.testing.assert_array_equal(COARSE[MIRRORED], COARSE)
    for side in ("left", "right"):
        brow = MIRRORED[masks[:, :, ::-1]] == PARTS.index(f"{side}_brow")
        assert (np.nonzero(brow)[2].mean() > 32) == (side == "left")


def test_every_portrait_has_what_a_portrait_has(rendered):
    coarse = COARSE[rendered[1]]
    for part in ("background", "skin", "nose", "mouth", "clothes"):
        assert ((coarse == COARSE_PARTS.index(part)).sum((1, 2)) > 0).all(), part


def test_parts_are_where_they_belong(rendered):
    coarse = COARSE[rendered[1]]
    height = {part: np.nonzero(coarse == number)[1].mean() for number, part in enumerate(COARSE_PARTS)}
    order = [height[part] for part in ("hat", "brows", "eyes", "nose", "mouth", "clothes")]
    assert order == sorted(order)
    assert height["hair"] < height["skin"] < height["beard"]
    fine = {name: np.nonzero(rendered[1] == number)[1].mean() for number, name in enumerate(PARTS)}
    assert fine["upper_lip"] < fine["teeth"] < fine["lower_lip"]


def test_an_iris_is_inside_its_eye(rendered):
    _, masks = rendered
    for side in ("left", "right"):
        eye, iris = (masks == PARTS.index(f"{side}_{part}") for part in ("eye", "iris"))
        for one, inner in zip(eye, iris, strict=True):
            if inner.sum() > 2 and one.sum() > 2:
                columns, own = np.nonzero(inner)[1], np.nonzero(one)[1]
                assert own.min() - 1 <= columns.min()
                assert columns.max() <= own.max() + 1


def test_a_part_has_its_own_colour(rendered):
    images, masks = rendered
    for part in ("hair", "beard"):
        of_part = [
            (image, mask)
            for image, mask in zip(images, COARSE[masks] == COARSE_PARTS.index(part), strict=True)
        ]
        own = [image[mask].astype(float) for image, mask in of_part if mask.sum() > 20]
        within = np.mean([pixels.std(0).mean() for pixels in own])
        between = np.std([pixels.mean(0) for pixels in own], axis=0).mean()
        assert between > within, part


def test_resolution_is_a_parameter(rendered):
    images, masks = rendered
    large, large_masks = render(range(8), 128)
    shrunk = np.stack([box_downsample(image, 2) for image in large])
    assert np.abs(shrunk.astype(int) - images[:8]).mean() < 1
    assert (large_masks[:, 1::2, 1::2] == masks[:8]).mean() > 0.95


@pytest.mark.parametrize(
    ("part", "least", "most"),
    [("glasses", 0.22, 0.40), ("hat", 0.08, 0.25), ("beard", 0.12, 0.35), ("earrings", 0.06, 0.30)],
)
def test_what_only_some_portraits_have(many_masks, part, least, most):
    share = (many_masks == COARSE_PARTS.index(part)).any((1, 2)).mean()
    assert least < share < most


def test_box_downsample_is_the_rounded_mean():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    expected = np.floor(image.reshape(4, 4, 4, 4, 3).mean((1, 3)) + 0.5)
    np.testing.assert_array_equal(box_downsample(image, 4), expected)


@pytest.mark.parametrize(("seeds", "resolution"), [([0], 4), ([-1], 64)])
def test_renderer_refuses_bad_arguments(seeds, resolution):
    with pytest.raises(ValueError, match=r"resolution|non-negative"):
        render(seeds, resolution)


def test_a_data_set_is_kept_and_not_mistaken_for_another(tmp_path):
    save_dataset(tmp_path, *render(range(5), 16))
    images, masks = open_dataset(tmp_path, count=5, resolution=16)
    np.testing.assert_array_equal(images, render(range(5), 16)[0])
    assert masks.shape == (5, 16, 16)
    with pytest.raises(ValueError, match="expected 6 images of 16"):
        open_dataset(tmp_path, count=6, resolution=16)


# ------------------------------------------------------------------------------------------ training


def test_recipe_grows_the_resolution():
    plan = Plan(resolution=64)
    assert plan.stage(0) == (16, 1.0)
    assert plan.stage(40_000) == (32, 0.0)
    assert plan.stage(44_000) == (32, 0.5)
    assert plan.stage(110_000) == (64, 0.0)
    assert plan.stage(10**6) == (64, 1.0)
    assert Plan(resolution=128).stage(444_000) == (128, 0.5)
    assert TINY.stage(0) == TINY.stage(10**6) == (16, 1.0)


def test_recipe_may_go_back_to_smaller_maps():
    plan = Plan(resolution=128, growth="64:1000 128:2000 32:3000 64:20000", growth_fade=8000)
    assert plan.stage(999) == (64, 1.0)
    assert plan.stage(1400) == (128, 0.05)
    assert plan.stage(2000) == plan.stage(2999) == (32, 1.0)  # nothing to fade in on the way down
    assert plan.stage(7000) == (64, 0.5)
    assert plan.stage(20_000) == (128, 0.0)


@pytest.mark.parametrize(
    "growth", ["64", "64:", "48:1000", "2:10", "32:2000 64:2000", "32:-5", "32;1000", "a:b"]
)
def test_recipe_names_the_stage_it_cannot_read(growth):
    with pytest.raises(ValueError, match=f"{growth.split()[-1]!r} is not"):
        Plan(growth=growth)
    with pytest.raises(SystemExit):
        train_main(["--growth", growth])


def test_rate_falls_to_an_eighth_at_the_end():
    plan = Plan(rate=0.002, decay=100)
    assert plan.rate_at(0, 1000) == plan.rate_at(900, 1000) == 0.002
    assert plan.rate_at(950, 1000) == pytest.approx(0.001)
    assert plan.rate_at(1000, 1000) == pytest.approx(0.00025)


def test_a_resolution_not_faded_in_is_judged_by_the_coarser_one():
    critic = PixelDiscriminator(16, capacity=64)
    images = torch.randn(4, 3, 16, 16)
    coarse = torch.nn.functional.avg_pool2d(images, 2)
    torch.testing.assert_close(critic(images, 0.0), critic(coarse))


def test_feature_discriminator_trains_its_heads_and_not_the_segmenter():
    segmenter = untrained_segmenter()
    critic = FeatureDiscriminator(segmenter, hidden=6)
    images = torch.randn(2, 3, 16, 16, requires_grad=True)
    torch.stack([x.mean() for x in critic(images)]).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not any(name.startswith("_segmenter") for name, _ in critic.named_parameters())
    assert all(p.grad is None for p in segmenter.parameters())


def test_pieces_of_large_images_have_heads_of_their_own():
    critic = FeatureDiscriminator(untrained_segmenter(), views=("whole", "piece"), hidden=6)
    images = torch.randn(2, 3, 16, 16)
    assert not torch.equal(critic(images)[0], critic(images, "piece")[0])
    assert Plan(resolution=64).views == ("whole",)
    assert Plan(resolution=128).views == ("whole", "piece")


def test_training_begins_where_smaller_networks_ended(tmp_path):
    small = tiny_trainer(Plan(**{**TINY.__dict__, "critic_capacity": 512}))
    small.step(100)
    small.save(tmp_path / "checkpoint.safetensors")
    sizes = {
        "resolution": 32,
        "capacity": 128,
        "critic_capacity": 1024,
        "max_channels": 12,
        "coarse_channels": 12,
    }
    large = Trainer(Plan(**{**TINY.__dict__, **sizes}), render(range(8), 32)[0], untrained_segmenter())
    large.begin_from(tmp_path / "checkpoint.safetensors")
    assert large.images_shown == small.images_shown
    z = torch.randn(4, TINY.latent)
    for name in ("generator", "average"):
        before, after = (getattr(t, name).eval() for t in (small, large))
        expected, found = (g.synthesize(g.styles(g.map(z)), upto=16) for g in (before, after))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(large.pixels(images), small.pixels(images), rtol=1e-4, atol=1e-5)


def test_larger_networks_do_not_fit_into_smaller_ones(tmp_path):
    tiny_trainer().save(tmp_path / "checkpoint.safetensors")
    smaller = tiny_trainer(Plan(**{**TINY.__dict__, "latent": 6}))
    with pytest.raises(ArtifactError, match=r"has shape .* more than .* begin from a checkpoint of smaller"):
        smaller.begin_from(tmp_path / "checkpoint.safetensors")


def test_path_penalty_is_of_the_lengths_of_the_images_derivative():
    trainer = tiny_trainer(Plan(**{**TINY.__dict__, "path_length": 2.0}))
    trainer._path_length.fill_(0.7)
    trainer.stream.manual_seed(5)
    found = trainer._path_penalty(16)
    stream = torch.Generator().manual_seed(5)
    z, generator = torch.randn(2, TINY.latent, generator=stream), trainer.generator
    direction = torch.randn(2, 3, 16, 16, generator=stream) / 16
    lengths = []
    for own, d in zip(generator.map(z).detach(), direction, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda w: generator.synthesize(generator.styles(w[None]), noise="none")[0], own
        )
        lengths.append((jacobian * d[..., None, None]).sum((0, 1, 2)).square().sum(1).mean().sqrt())
    mean = 0.7 + 0.01 * (torch.stack(lengths).mean() - 0.7)
    expected = 4 * 2.0 * (torch.stack(lengths) - mean).square().mean()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(trainer._path_length, mean, rtol=1e-4, atol=1e-7)


def test_path_penalty_makes_lengths_more_alike():
    def spread(weight: float) -> float:
        trainer = tiny_trainer(Plan(**{**TINY.__dict__, "path_length": weight, "batch": 16}))
        for _ in range(24):
            trainer.step(10**6)
        trainer.stream.manual_seed(1)
        trainer.plan = Plan(**{**TINY.__dict__, "path_length": 1.0})
        return float(sum(trainer._path_penalty(16).detach() for _ in range(8)))

    assert spread(20.0) < 0.7 * spread(0.0)


@pytest.mark.parametrize("path_length", [0.0, 2.0])
def test_training_continues_bit_for_bit(tmp_path, path_length):
    plan = Plan(**{**TINY.__dict__, "path_length": path_length})
    whole = tiny_trainer(plan)
    for _ in range(4):
        whole.step(100)
    begun = tiny_trainer(plan)
    for _ in range(2):
        begun.step(100)
    begun.save(tmp_path / "checkpoint.safetensors")
    resumed = tiny_trainer(Plan(**{**plan.__dict__, "seed": 9}))  # nothing of the fresh state may survive
    resumed.load(tmp_path / "checkpoint.safetensors")
    for _ in range(2):
        resumed.step(100)
    assert resumed.images_shown == whole.images_shown == 16
    for name in ("generator", "average", "pixels", "features"):
        expected = getattr(whole, name).state_dict()
        for key, tensor in getattr(resumed, name).state_dict().items():
            assert torch.equal(tensor, expected[key]), f"{name}: {key}"


def test_a_new_resolution_is_faded_in():
    plan = Plan(**{**TINY.__dict__, "resolution": 32})
    trainer = Trainer(plan, render(range(8), 32)[0], untrained_segmenter())
    for shown in (0, 44_000, 10**6):
        trainer.images_shown = shown
        assert all(np.isfinite(loss) for loss in trainer.step(2 * 10**6).values())


def test_training_leaves_the_global_random_stream_alone():
    before = torch.random.get_rng_state()
    tiny_trainer().step(100)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    trainer = tiny_trainer()
    trainer.save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ArtifactError, match=r"checkpoint\.safetensors.*truncated"):
        trainer.load(path)


def test_a_checkpoint_of_other_sizes_is_refused(tmp_path):
    tiny_trainer().save(tmp_path / "checkpoint.safetensors")
    other = tiny_trainer(Plan(**{**TINY.__dict__, "latent": 12}))
    with pytest.raises(ArtifactError, match="does not fit these networks"):
        other.load(tmp_path / "checkpoint.safetensors")


def test_command_trains_continues_and_ends_with_a_generator(tmp_path):
    save_dataset(tmp_path / "data", *render(range(8), 16))
    arguments = [f"--data={tmp_path / 'data'}", f"--run={tmp_path / 'run'}", "--count=8", "--resolution=16"]
    arguments += [
        "--latent=8",
        "--capacity=64",
        "--max-channels=8",
        "--batch=4",
        "--processes=1",
        "--device=cpu",
    ]
    train_main([*arguments, "--images=8"])
    train_main([*arguments, "--images=12"])
    generator = lefs.load(tmp_path / "run")
    assert generator.size == (16, 16)
    assert stored(tmp_path / "run" / "generator.safetensors")["training"]["images"] == 12
    with pytest.raises(ArtifactError, match="begun with latent = 8, now it is 12"):
        train_main([*arguments, "--images=16", "--latent=12"])


# ------------------------------------------------------------------------------------------ segmenter


def test_segmenter_is_as_good_as_its_file_says():
    segmenter = load_segmenter("portraits")
    images, masks = render(range(HELD_OUT_SEED + 50_000, HELD_OUT_SEED + 50_150), 128)
    scores = intersection_over_union(segmenter, images, COARSE[masks])
    stated = json.loads((FOLDER / "segmenter.json").read_text())["training"]["quality"]
    assert scores.mean() > stated["mean_iou"] - 0.03
    assert segmenter.names == tuple(GROUPS)
    assert segmenter.in_detail().names == PARTS


def test_a_group_is_as_probable_as_its_parts_together(tmp_path):
    segmenter = untrained_segmenter()
    segmenter.save(tmp_path)
    coarse = load_segmenter(tmp_path)
    fine = coarse.in_detail()
    images = torch.randn(1, 3, 16, 16)
    share = fine.logits(images).softmax(1)
    for number, parts in enumerate(GROUPS.values()):
        together = share[:, list(parts)].sum(1)
        torch.testing.assert_close(coarse.logits(images).softmax(1)[:, number], together)
    torch.testing.assert_close(coarse.fine_logits(images), fine.logits(images))


def test_groups_of_one_part_each_keep_their_names_and_order(tmp_path):
    segmenter = PartSegmenter(["x", "y"], width=1, groups={"second": ["y"], "first": ["x"]}).eval()
    segmenter.save(tmp_path)
    again, images = load_segmenter(tmp_path), torch.randn(1, 3, 8, 8)
    assert again.names == ("second", "first")
    assert torch.equal(again.logits(images), segmenter.fine_logits(images).flip(1))


@pytest.mark.parametrize("groups", [[], ["hair"], "hair", {"all": PARTS}, {"a": 3}, 7])
def test_groups_that_are_none_are_named(tmp_path, groups):
    untrained_segmenter().save(tmp_path)
    tamper(tmp_path / "segmenter.safetensors", groups=groups)
    with pytest.raises(ArtifactError, match="do not fit"):
        load_segmenter(tmp_path)


def test_groups_hold_every_part_once():
    for groups in (
        {},
        {"a": ["x"]},
        {"a": ["x"], "b": ["y", "x"]},
        {"a": ["x", "y"]},
        {"a": ["x", "y"], "b": []},
    ):
        with pytest.raises(ValueError, match="groups must hold each of"):
            PartSegmenter(["x", "y"], groups=groups)


def test_intersection_over_union_counts():
    class Answers(PartSegmenter):
        def forward(self, images):
            return torch.zeros(len(images), 8, 8, dtype=torch.int64)

    masks = np.zeros((2, 8, 8), np.uint8)
    masks[1] = 1
    scores = intersection_over_union(
        Answers(("a", "b", "c"), width=1), np.zeros((2, 8, 8, 3), np.uint8), masks
    )
    np.testing.assert_allclose(scores, [0.5, 0, np.nan])


def test_training_a_segmenter_is_repeatable():
    images, masks = render(range(16), 16)
    one, two = (train_segmenter(images, masks, width=2, steps=3, progress=False) for _ in range(2))
    for key, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[key]), key


def test_training_a_segmenter_learns():
    images, masks = render(range(64), 32)
    segmenter = train_segmenter(images, masks, width=4, steps=150, progress=False)
    assert (segmenter(to_tensor(images)).numpy() == COARSE[masks]).mean() > 0.75


def test_segmenter_survives_saving(tmp_path):
    segmenter = untrained_segmenter()
    segmenter.save(tmp_path, training={"images": 0})
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_segmenter(tmp_path).logits(images), segmenter.logits(images))
    assert [tuple(x.shape[1:]) for x in segmenter.features(images)] == [
        (2, 32, 32), (4, 16, 16), (8, 8, 8), (8, 4, 4),
    ]  # fmt: skip


def test_segmenter_refuses_what_it_cannot_do(tmp_path):
    segmenter = untrained_segmenter()
    with pytest.raises(ValueError, match="sides divisible by 8"):
        segmenter(torch.zeros(1, 3, 20, 20))
    with pytest.raises(ValueError, match="two different parts"):
        PartSegmenter(["hair", "hair"])
    with pytest.raises(ArtifactError):
        load_segmenter(tmp_path)
    segmenter.save(tmp_path)
    tamper(tmp_path / "segmenter.safetensors", width=3)
    with pytest.raises(ArtifactError, match="do not fit"):
        load_segmenter(tmp_path)


def test_measure_reports_every_part():
    quality = measure(untrained_segmenter(), count=4)
    assert set(quality["iou"]) == set(GROUPS)
    assert set(quality["fine_iou"]) == set(PARTS)
    assert 0 <= quality["mean_iou"] <= 1


# ------------------------------------------------------------------------------------ what is shipped


@pytest.mark.parametrize("name", ["portraits", "portraits-64"])
def test_generated_portraits_show_their_parts(name):
    model, segmenter = lefs.load(name), load_segmenter(name)
    styles = model.styles(model.map(model.latents(range(32)), 0.7))
    with torch.inference_mode():
        labels = segmenter(model.synthesize(styles)).flatten(1)
    for part in ("background", "hair", "skin", "eyes", "nose", "mouth", "clothes"):
        assert ((labels == segmenter.names.index(part)).sum(1) > 4).float().mean() > 0.9, part


def test_the_card_states_the_numbers_of_the_files():
    card = (FOLDER / "README.md").read_text()
    quality = json.loads((FOLDER / "generator.json").read_text())["quality"]
    segmenter = json.loads((FOLDER / "segmenter.json").read_text())["training"]["quality"]
    stated = (
        quality["frechet_to_rendered"],
        quality["frechet_between_rendered_halves"],
        segmenter["mean_iou"],
    )
    for number in stated:
        assert f"{number:.4f}" in card
    assert len(re.findall(r"!\[[^\]]+\]\(\w+\.png\)", card)) >= 2


def test_shipped_files_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) < 25e6
    assert all(path.stat().st_size < 1e6 for path in FOLDER.glob("*.png"))
