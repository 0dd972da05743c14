"""Images that are not square, or have alpha: the same as of any other network, everywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import lefs
from lefs import directions, plotting, units
from lefs.activations import Hypercolumns, collect, vector_count
from lefs.effects import by_effect
from lefs.files.publishers import tensorflow
from lefs.files.reading import read_tree
from lefs.images import color_difference, opaque, resample_partition, save_png
from lefs.models import StyleGAN2, StyleGAN2Config
from lefs.segmenters import ImageSegmenter
from lefs.widgets import DirectionWalker, EditStudio, UnitPainter
from lefs.workers import Sample

FIXTURES = Path(__file__).parent / "fixtures"
CHANNELS = {4: 8, 8: 6, 16: 6, 32: 4}
WIDE = {"start": (3, 5)}
SHAPES: dict[str, dict[str, Any]] = {"tall": {"start": (4, 2)}, "wide": WIDE, "alpha": {"image_channels": 4}}


def network(resolution: int = 32, **settings: Any) -> StyleGAN2:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        made = StyleGAN2(StyleGAN2Config(resolution, 8, 8, CHANNELS, mapping_layers=2, **settings))
        for name, parameter in made.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
        made.mapping.w_avg.normal_()
    return made.freeze()


@pytest.fixture(params=SHAPES)
def generator(request: pytest.FixtureRequest) -> StyleGAN2:
    return network(**SHAPES[request.param])


def test_sizes_follow_the_start() -> None:
    wide = network(**WIDE)
    assert wide.size == (24, 40)
    assert wide.layer("b16.conv0").size == (6, 10)
    assert wide.layer("b16.conv1").size == (12, 20)
    assert wide.preview_sizes == (3, 6, 12, 24)
    assert wide.synthesize(wide.sample([1]), upto=12).shape == (1, 3, 12, 20)


def test_alpha_is_one_channel_more() -> None:
    images = network(image_channels=4).synthesize(network(image_channels=4).sample([1]))
    assert images.shape == (1, 4, 32, 32)


def test_networks_of_squares_keep_their_fingerprints() -> None:
    assert network().fingerprint == network(start=(4, 4)).fingerprint != network(**WIDE).fingerprint
    assert "start" not in network().architecture_config


@pytest.mark.parametrize("start", [(4, 0), (4, 2, 1), (17, 4), (4.5, 4)])
def test_impossible_starts(start: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="start"):
        network(start=start)


def test_a_wide_network_sees_nothing_beyond_its_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its maps in row tiles are its maps at once, and those of each image by itself."""
    made = network(**WIDE)
    styles = made.sample([1, 2])
    whole = made.synthesize(styles, noise=5)
    monkeypatch.setattr("lefs.models.tiles.TILE", 2**8)
    torch.testing.assert_close(made.synthesize(styles, noise=5), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.synthesize(styles[1:], noise=5), whole[1:], rtol=1e-4, atol=1e-5)


def test_a_turned_network_makes_turned_images() -> None:
    """Kernels, constant and noise maps transposed: so is the image, which is then tall instead of wide."""
    wide, tall = network(**WIDE), network(start=(5, 3))
    turned = {
        name: t.mT if t.ndim > 1 and not re.search(r"mapping|affine", name) else t
        for name, t in wide.state_dict().items()
    }
    tall.load_state_dict(turned)
    tall.freeze()
    styles = wide.sample([1, 2])
    torch.testing.assert_close(tall.synthesize(styles).mT, wide.synthesize(styles), rtol=1e-4, atol=1e-5)


def test_saved_and_as_a_state_dict(generator: StyleGAN2, tmp_path: Path) -> None:
    lefs.save_generator(generator, tmp_path, name="shaped")
    torch.save(generator.state_dict(), tmp_path / "state.pt")
    for file in (tmp_path, tmp_path / "state.pt"):
        found = lefs.load(file)
        assert (found.size, found.channels) == (generator.size, generator.channels)
        styles = generator.sample([1])
        # (there a state dict does not say the mapping's learning rate, but by its weights)
        assert torch.equal(found.synthesize(styles), generator.synthesize(styles))


def narrowed(state: dict[str, Any]) -> dict[str, Any]:
    """A TensorFlow network's variables as of one whose maps are half as wide."""
    variables = []
    for name, value in state["variables"]:
        if isinstance(value, Tensor) and (name.startswith("noise") or name.endswith("Const/const")):
            value = value[..., : value.shape[-1] // 2]
        variables.append((re.sub(r"^(\d+)x\d+/", lambda m: f"{m[1]}x{int(m[1]) // 2}/", name), value))
    inside = {k: replace(v, state=narrowed(v.state)) for k, v in (state.get("components") or {}).items()}
    return {**state, "variables": variables, "components": inside}


def test_tensorflow_networks_that_are_not_square() -> None:
    tree = read_tree(FIXTURES / "tensorflow/stylegan2.pkl")
    square = lefs.load(FIXTURES / "tensorflow/stylegan2.pkl")
    parsed = tensorflow.read(replace(tree[2], state=narrowed(tree[2].state)), Path("narrow.pkl"))
    found = lefs.files.formats.build(parsed, parsed.tensors, Path("narrow.pkl")).freeze()
    expected = StyleGAN2(StyleGAN2Config(**{**square.architecture_config, "start": (4, 2)}))
    state = square.state_dict()
    for name, value in expected.state_dict().items():
        state[name] = state[name][..., : value.shape[-1]] if name.endswith("const") else state[name]
    expected.load_state_dict(state)
    expected.freeze()
    styles = expected.sample([1])
    assert found.size == (square.size[0], square.size[1] // 2)
    assert torch.equal(found.synthesize(styles), expected.synthesize(styles))


def test_parts_edits_and_effects(generator: StyleGAN2) -> None:
    catalog = lefs.dissect(generator, range(12), clusters=3, layer="b16.conv1", progress=False)
    assert torch.isfinite(catalog.contributions).all()
    masks = catalog.part_masks(generator, generator.sample([1, 2]))
    assert {m.shape for m in masks.values()} == {(2, *generator.size)}
    assert torch.stack([*masks.values()]).sum(dim=0).eq(1).all()
    effects = by_effect(catalog, generator, range(4), progress=False)
    torch.testing.assert_close(effects.contributions.sum(dim=0), torch.ones(generator.num_styles).double())
    height, width = generator.layer("b8.conv1").size
    drawn = plotting.layer_profile(catalog, "cluster 0").axes[0].texts
    assert (f"{height}²" if height == width else f"{height} × {width}") in {text.get_text() for text in drawn}
    editor, part = lefs.Editor(generator, catalog), max(masks, key=lambda name: int(masks[name].sum()))
    for where in ("everywhere", "part"):
        change = lefs.Change(part, 2, 1.0, lefs.QuerySettings(where=where))
        edit = editor.render(lefs.Recipe(1, (change,)))
        assert edit.image.shape == (generator.channels, *generator.size)
        assert edit.image.isfinite().all()


def test_partitions_keep_their_proportions() -> None:
    shares = torch.rand(2, 3, 4, 6).softmax(dim=1)
    for height, width in ((2, 3), (4, 6), (8, 12)):
        found = resample_partition(shares, height)
        assert found.shape == (2, 3, height, width)
        torch.testing.assert_close(found.sum(dim=1), torch.ones(2, height, width))


def test_alpha_lies_over_a_chequerboard_and_is_saved(tmp_path: Path) -> None:
    image = torch.rand(4, 16, 24) * 2 - 1
    image[3] = 1
    torch.testing.assert_close(opaque(image), image[:3])
    image[3] = -1
    board = opaque(image)
    assert board[:, :8, :8].eq(1).all()
    assert board[:, :8, 8:16].eq(0.5).all()
    assert color_difference(image, image[None].roll(1, -1)[0]).eq(0).all(), "nothing of it is to be seen"
    assert opaque(image[:3]).equal(image[:3])
    save_png(tmp_path / "alpha.png", image)
    with Image.open(tmp_path / "alpha.png") as saved:
        assert (saved.mode, saved.size) == ("RGBA", (24, 16))


def test_pictures_are_inverted_in_any_shape(generator: StyleGAN2) -> None:
    picture = opaque(generator.synthesize(generator.sample([1]))[0])
    found = lefs.invert(generator, picture, steps=2, progress=False)
    assert found.styles.isfinite().all()


def test_pictures_with_alpha_keep_it_where_it_is_inverted(tmp_path: Path) -> None:
    made = network(**SHAPES["alpha"])
    image = made.synthesize(made.sample([1]))[0].clamp(-1, 1)
    save_png(tmp_path / "alpha.png", image)
    for picture in (tmp_path / "alpha.png", image):
        found = lefs.invert(made, picture, steps=1, samples=2, progress=False)
        torch.testing.assert_close(found.picture, opaque(image), rtol=0, atol=0.02)
    plain = lefs.invert(network(), image, steps=1, samples=2, progress=False)
    assert not torch.allclose(plain.picture, opaque(image), atol=0.02), "over grey, where no image has alpha"


def test_every_position_is_a_vector_and_nothing_else(generator: StyleGAN2) -> None:
    sample = Sample(generator, range(3), progress=False)
    maps = generator.record(generator.sample(range(3)), "b16.conv1")["b16.conv1"]
    found = collect(sample, "b16.conv1", max_vectors=10**6, random_state=0)
    torch.testing.assert_close(found.sum(dim=0), maps.sum(dim=(0, 2, 3)), rtol=1e-3, atol=1e-3)
    assert len(found) == maps[:, 0].numel() == vector_count(sample, "b16.conv1", 10**6)


def test_joined_layers_keep_proportions(generator: StyleGAN2) -> None:
    columns = Hypercolumns.of("b8.conv1+b16.conv1", generator.layers)
    height, width = generator.layer("b16.conv1").size
    assert columns.read(generator, generator.sample([1])).shape[-2:] == (height, width)


def test_units_and_segmenters(generator: StyleGAN2) -> None:
    catalog = lefs.dissect(generator, range(8), clusters=3, layer="b16.conv1", progress=False)
    own = lefs.PartSegmenter(["a", "b"], width=2).eval()
    other = ImageSegmenter(torch.nn.Conv2d(3, 2, 1).eval(), lambda scores: scores, ["a", "b"], size=16)
    for segmenter in (catalog, own, other):
        found = units.characterize(
            generator, range(4), segmenter=segmenter, layers=["b16.conv1"], progress=False
        )
        assert found.iou.isfinite().all()
    images, active = units.strongest_images(generator, found, "b16.conv1", [0, 1], count=2)
    assert active.shape == (len(images), *generator.size)
    moved = units.channel_effects(generator, catalog, [1], layers="b16.conv1", progress=False)
    channel = generator.layer("b16.conv1").span.start
    styles = generator.sample([1])
    other = styles.clone()
    other[:, channel] += generator.sample(range(256)).std(dim=0)[channel]
    change = generator.synthesize(other) - generator.synthesize(styles)
    assert float(moved.rms[channel]) == pytest.approx(float(change.square().mean().sqrt()), rel=1e-3)
    mask = torch.zeros(generator.size, dtype=torch.bool)
    mask[: generator.size[0] // 2] = True
    cells = units.cells_of(generator.layer("b16.conv1"), mask)
    assert units.pixels_of(cells, generator.size[0])[0].equal(mask)


def test_panels(generator: StyleGAN2) -> None:
    catalog = lefs.dissect(generator, range(8), clusters=3, layer="b16.conv1", progress=False)
    found = units.characterize(generator, range(4), segmenter=catalog, layers=["b16.conv1"], progress=False)
    painter = UnitPainter(generator, found, 1, segmenter=catalog)
    painter.paint([(0.75, 0.25)], action="ablate")
    rows, columns = painter.painted.nonzero()
    height, width = generator.size
    assert abs(rows.mean() / height - 0.25) < 0.1
    assert abs(columns.mean() / width - 0.75) < 0.1
    walker = DirectionWalker(generator, directions.principal_directions(generator, range(32)), catalog)
    change = lefs.Change("cluster 0", 2, 1.0, lefs.QuerySettings(where="part"))
    studio = EditStudio(generator, catalog, lefs.Recipe(1, (change,)))
    for panel in (painter, walker, studio):
        sizes = {(p["height"], p["width"], len(p["pixels"])) for p in panel.canvas.frame["panels"]}
        assert sizes == {(height, width, 3 * height * width)}
    assert lefs.Editor(generator, catalog).pictures([], upto=generator.preview_sizes[0]).shape[-2:] == (
        generator.layer("b4.conv1").size
    )
