"""Files of TensorFlow, genforce, lernapparat, the paper, rosinality's StyleGAN: their publishers' numbers.

What the publisher's code computed from each file lies beside it; ``tests/fixtures/*/README.md`` says how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import lefs
from lefs.files import save_generator
from lefs.files.formats import build
from lefs.files.publishers import genforce, lernapparat, rosinality_stylegan, tensorflow
from lefs.files.reading import read_tree
from lefs.generator import Generator
from lefs.records import ArtifactError

FIXTURES = Path(__file__).parent / "fixtures"
STYLED = [
    "tensorflow/stylegan.pkl",
    "tensorflow/stylegan_conditional.pkl",
    "tensorflow/stylegan2.pkl",
    "tensorflow/stylegan2_ada_conditional.pkl",
    "tensorflow/stylegan2_conditional.pkl",
    "tensorflow/stylegan2_resnet.pkl",
    "tensorflow/stylegan2_revised.pkl",
    "genforce/stylegan.pth",
    "genforce/stylegan_conditional.pth",
    "rosinality_stylegan/bare.model",
    "lernapparat/notebook.pt",
    "lernapparat/paper.pth",
]
STYLELESS = [
    "tensorflow/progan.pkl",
    "tensorflow/progan_grey.pkl",
    "genforce/progan.pth",
    "genforce/progan_fused.pth",
    "genforce/progan_conditional.pth",
]


def numbers_of(name: str) -> dict[str, Tensor]:
    return load_file((FIXTURES / name).with_suffix(".safetensors"))


def labels_of(numbers: Mapping[str, Tensor], count: int = 3) -> list[int] | None:
    return [int(c) for c in numbers["labels"][:count]] if "labels" in numbers else None


def assert_relative(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


def assert_same_pixels(image: Tensor, expected: Tensor) -> None:
    """Within 1e-4 of the range; large images are kept at every third or seventh pixel."""
    step = -(-image.shape[-1] // expected.shape[-1])
    found = image[..., ::step, ::step]
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.max() - expected.min())


# -- the publishers' numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STYLED)
def test_latents_and_styles(name: str) -> None:
    generator, numbers = lefs.load(FIXTURES / name), numbers_of(name)
    z, labels = generator.latents(range(3)), labels_of(numbers)
    assert torch.equal(z, numbers["z"])
    w = generator.map(z, labels=labels)
    # (some publishers give one w for all layers)
    for found, key in ((w, "w"), (generator.map(z, 0.7, labels), "w_truncated")):
        expected = numbers[key] if numbers[key].ndim == 3 else numbers[key][:, None].expand_as(found)
        assert_relative(found, expected, 1e-5)
    assert_relative(generator.styles(w), numbers["styles"], 1e-5)


@pytest.mark.parametrize("count", [3, 1])
@pytest.mark.parametrize("noise", ["const", "none"])
@pytest.mark.parametrize("psi", [1.0, 0.7])
@pytest.mark.parametrize("name", STYLED)
def test_images(name: str, psi: float, noise: Any, count: int) -> None:
    generator, numbers = lefs.load(FIXTURES / name), numbers_of(name)
    styles = generator.sample(range(count), truncation=psi, labels=labels_of(numbers, count))
    assert_same_pixels(generator.synthesize(styles, noise), numbers[f"image {psi:g} {noise} {count}"])


@pytest.mark.parametrize("count", [3, 1])
@pytest.mark.parametrize("name", STYLELESS)
def test_images_without_styles(name: str, count: int) -> None:
    generator, numbers = lefs.load(FIXTURES / name), numbers_of(name)
    codes = generator.sample(range(count), labels=labels_of(numbers, count))
    assert torch.equal(codes[:, : generator.z_dim], numbers["z"][:count])
    assert_same_pixels(generator.synthesize(codes), numbers[f"image {count}"])


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("rosinality_stylegan/bare.model", 32),
        ("tensorflow/progan.pkl", 8),
        ("genforce/progan.pth", 8),
        ("genforce/progan_fused.pth", 8),
    ],
)
def test_smaller_images(name: str, size: int) -> None:
    generator, numbers = lefs.load(FIXTURES / name), numbers_of(name)
    codes = generator.sample(range(3), labels=labels_of(numbers))
    assert size in generator.preview_sizes
    assert_same_pixels(generator.synthesize(codes, upto=size), numbers[f"image at {size}"])


@pytest.mark.parametrize("name", [*STYLED, *STYLELESS])
def test_own_format_keeps_the_generator(name: str, tmp_path: Path) -> None:
    generator = lefs.load(FIXTURES / name)
    again = lefs.load(save_generator(generator, tmp_path, name="again"))
    assert again.fingerprint == generator.fingerprint
    labels = [0] if generator.label_dim else None
    codes = generator.sample([5], truncation=0.7, labels=labels)
    assert torch.equal(again.sample([5], truncation=0.7, labels=labels), codes)
    assert torch.equal(again.synthesize(codes), generator.synthesize(codes))


@pytest.mark.parametrize("name", [n for n in [*STYLED, *STYLELESS] if not n.endswith("pkl")])
@pytest.mark.parametrize("zipped", [True, False])
def test_older_container_and_parallel_names(name: str, zipped: bool, tmp_path: Path) -> None:
    def parallel(state: Any) -> Any:
        if not isinstance(state, Mapping):
            return state
        inside = any(isinstance(v, Tensor) for v in state.values())
        return {f"module.{k}" if inside else k: parallel(v) for k, v in state.items()}

    tree = torch.load(FIXTURES / name, weights_only=True)
    if not name.startswith("lernapparat"):
        tree = parallel(tree)
    torch.save(tree, tmp_path / "file.pt", _use_new_zipfile_serialization=zipped)
    assert lefs.load(tmp_path / "file.pt").fingerprint == lefs.load(FIXTURES / name).fingerprint


# -- rosinality --------------------------------------------------------------------------------------------


@pytest.fixture
def bare() -> dict[str, Tensor]:
    return dict(read_tree(FIXTURES / "rosinality_stylegan/bare.model"))


def test_training_checkpoint_gives_the_running_average(bare: dict[str, Tensor], tmp_path: Path) -> None:
    other = {k: torch.full_like(v, 2.0) for k, v in bare.items()}
    tree = {"generator": other, "discriminator": {}, "g_optimizer": {"state": {}}, "g_running": bare}
    torch.save(tree, tmp_path / "train_step-5.model")
    expected = lefs.load(FIXTURES / "rosinality_stylegan/bare.model").fingerprint
    assert lefs.load(tmp_path / "train_step-5.model").fingerprint == expected


@pytest.mark.parametrize("level", [1, 4])
def test_resolution_is_that_of_the_last_trained_colours(bare: dict[str, Tensor], level: int) -> None:
    for i in range(level + 1, 9):
        bare[f"generator.to_rgb.{i}.conv.bias"] = torch.zeros(3)
    parsed = rosinality_stylegan.read(bare, Path("file.model"))
    assert parsed.config["resolution"] == 4 * 2**level
    assert not any(f"b{8 * 2**level}" in name for name in parsed.tensors)


def test_untrained_network_has_all_its_layers(bare: dict[str, Tensor]) -> None:
    for i in range(9):
        bare[f"generator.to_rgb.{i}.conv.bias"] = torch.zeros(3)
    assert rosinality_stylegan.read(bare, Path("file.model")).config["resolution"] == 1024


# -- TensorFlow --------------------------------------------------------------------------------------------


def official(name: str) -> tuple[Any, ...]:
    tree: tuple[Any, ...] = read_tree(FIXTURES / f"tensorflow/{name}.pkl")
    return tree


def changed(network: Any, variables: Callable[[dict[str, Any]], Any], part: str | None = None) -> Any:
    """The network with its variables, or those of one of its parts, passed through a function."""
    state = dict(network.state)
    if part is not None:
        inner = changed(state["components"][part], variables)
        return replace(network, state=state | {"components": state["components"] | {part: inner}})
    stored = dict(state["variables"])
    variables(stored)
    return replace(network, state=state | {"variables": list(stored.items())})


def with_settings(network: Any, **settings: Any) -> Any:
    state = dict(network.state)
    return replace(network, state=state | {"static_kwargs": state["static_kwargs"] | settings})


def test_the_average_is_taken_whatever_the_order() -> None:
    generator, judge, average = official("stylegan_conditional")
    expected = lefs.load(FIXTURES / "tensorflow/stylegan_conditional.pkl").state_dict()
    for tree in ((generator, judge, average), average, [average], {"D": judge, "Gs": average}):
        assert tensorflow.matches(tree)
        parsed = tensorflow.read(tree, Path("file.pkl"))
        assert all(torch.equal(parsed.tensors[k], v) for k, v in expected.items())


def test_a_discriminator_alone_is_refused_as_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds a discriminator alone; it makes no images"):
        tensorflow.read((official("stylegan")[1],), Path("file.pkl"))
    with pytest.raises(ArtifactError, match="a discriminator alone; it makes no images"):
        lefs.load(FIXTURES / "rosinality_stylegan/discriminator.pt")
    judge = read_tree(FIXTURES / "genforce/stylegan.pth")["discriminator"]
    for tree in (judge, {"models": {"discriminator": judge}}):
        torch.save(tree, tmp_path / "judge.pth")
        with pytest.raises(ArtifactError, match="a discriminator alone; it makes no images"):
            lefs.load(tmp_path / "judge.pth")


def test_theano_file() -> None:
    network = official("progan")[2]
    old = replace(network, module="network", state={"build_func_spec": {"func": "G_paper"}})
    with pytest.raises(ArtifactError, match="Theano"):
        tensorflow.read((old,), Path("file.pkl"))


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("stylegan", "use_pixel_norm", True),
        ("stylegan", "const_input_layer", False),
        ("stylegan", "nonlinearity", "relu"),
        ("stylegan", "fused_scale", [1]),
        ("progan", "use_pixelnorm", False),
        ("progan", "label_size", "many"),
        ("stylegan2", "use_wscale", False),
        ("stylegan2", "conv_clamp", torch.ones(2)),
    ],
)
def test_other_settings_are_named(name: str, setting: str, value: Any) -> None:
    network = with_settings(official(name)[2], **{setting: value})
    with pytest.raises(ArtifactError, match=setting):
        tensorflow.read(network, Path("file.pkl"))


@pytest.mark.parametrize(("name", "part"), [("progan", None), ("stylegan", None)])
def test_network_that_is_still_growing(name: str, part: str | None) -> None:
    network = changed(official(name)[2], lambda v: v.update(lod=1.5), part)
    with pytest.raises(ArtifactError, match=r"level of detail 1\.5.*later snapshot"):
        tensorflow.read(network, Path("file.pkl"))


def test_truncation_settings() -> None:
    network = official("stylegan")[2]
    for cutoff, expected in ((None, 0), (4, 4)):
        parsed = tensorflow.read(with_settings(network, truncation_cutoff=cutoff), Path("file.pkl"))
        assert parsed.config["truncation_cutoff"] == expected
    assert tensorflow.read(network, Path("file.pkl")).notes["truncation"] == 0.7


def test_kernels_of_fused_layers_are_turned_around() -> None:
    network = official("stylegan")[2]
    read = {f: tensorflow.read(with_settings(network, fused_scale=f), Path("f.pkl")) for f in (True, False)}
    for r in (8, 128):
        first, second = (read[f].tensors[f"synthesis.b{r}.conv0.weight"] for f in (True, False))
        assert torch.equal(first, second.flip(2, 3))
        assert not torch.equal(first, second)


# -- broken ones -------------------------------------------------------------------------------------------


def _trees() -> Iterator[Any]:
    for name in ("progan", "stylegan", "stylegan2_resnet"):
        part = None if name == "progan" else "synthesis"
        yield pytest.param(tensorflow, name, part, id=f"tensorflow-{name}")
    for reader, name in (
        (genforce, "genforce/stylegan.pth"),
        (genforce, "genforce/progan.pth"),
        (rosinality_stylegan, "rosinality_stylegan/bare.model"),
        (lernapparat, "lernapparat/notebook.pt"),
        (lernapparat, "lernapparat/paper.pth"),
    ):
        yield pytest.param(reader, name, None, id=name)


TREES = list(_trees())


def broken(reader: Any, name: str, part: str | None, change: Callable[[dict[str, Any]], Any]) -> Any:
    if reader is tensorflow:
        return changed(official(name)[2], change, part)
    tree = read_tree(FIXTURES / name)
    state = dict(tree.get("generator_smooth", tree))
    change(state)
    return {"generator_smooth": state} if reader is genforce else state


def made(reader: Any, tree: Any) -> Generator:
    parsed = reader.read(tree, Path("file.x"))
    return build(parsed, parsed.tensors, Path("file.x"))


def victim(state: Mapping[str, Any]) -> str:
    """A convolution's weight in the middle of the network."""
    names = [
        k
        for k, v in state.items()
        if isinstance(v, Tensor) and v.ndim == 4 and 3 in (v.shape[0], v.shape[-1])
    ]
    return [
        n for n in names if n.endswith(("weight", "weight_orig")) and not re.search(r"conv1\.\d\.weight", n)
    ][3]


@pytest.mark.parametrize(("reader", "name", "part"), TREES)
def test_missing_tensor_is_named(reader: Any, name: str, part: str | None) -> None:
    tree = broken(reader, name, part, lambda s: s.pop(victim(s)))
    with pytest.raises(ArtifactError, match=r"file\.x .*(lacks|found absent|more than|resolutions)"):
        made(reader, tree)


@pytest.mark.parametrize(("reader", "name", "part"), TREES)
def test_extra_tensor_is_named(reader: Any, name: str, part: str | None) -> None:
    tree = broken(reader, name, part, lambda s: s.update({"attention.weight": torch.ones(2)}))
    with pytest.raises(ArtifactError, match=r"file\.x .*attention\.weight"):
        reader.read(tree, Path("file.x"))


@pytest.mark.parametrize(
    "wrong", [torch.ones(3), torch.ones(2, 2, 2, 0), torch.ones(1, 1, 3, 3, dtype=torch.int32)]
)
@pytest.mark.parametrize(("reader", "name", "part"), TREES)
def test_tensor_of_another_kind_is_named(reader: Any, name: str, part: str | None, wrong: Tensor) -> None:
    with pytest.raises(ArtifactError, match=r"file\.x .*floating-point numbers on 4 axes"):
        reader.read(broken(reader, name, part, lambda s: s.update({victim(s): wrong})), Path("file.x"))


@pytest.mark.parametrize(("reader", "name", "part"), TREES)
def test_value_that_is_no_tensor_is_refused(reader: Any, name: str, part: str | None) -> None:
    with pytest.raises(ArtifactError, match=r"file\.x "):
        reader.read(broken(reader, name, part, lambda s: s.update({victim(s): "text"})), Path("file.x"))


def test_misshapen_and_infinite_tensors(tmp_path: Path) -> None:
    state = torch.load(FIXTURES / "genforce/stylegan.pth", weights_only=True)["generator_smooth"]
    for name, value, message in (
        ("synthesis.layer3.weight", torch.ones(8, 7, 3, 3), r"layer3|b8\.conv1\.weight"),
        ("synthesis.layer3.weight", torch.full((8, 8, 3, 3), torch.nan), r"NaN.*b8\.conv1\.weight"),
        ("synthesis.layer3.apply_noise.noise", torch.ones(1, 8, 1, 1), "one map is expected"),
    ):
        torch.save({"generator_smooth": {**state, name: value}}, tmp_path / "file.pth")
        with pytest.raises(ArtifactError, match=message):
            lefs.load(tmp_path / "file.pth")


@pytest.mark.parametrize("reader", [genforce, lernapparat, rosinality_stylegan, tensorflow])
@pytest.mark.parametrize("tree", [None, 3, "text", [], (), {}, {1: 2}, {"models": 3}, {"g_ema": {}}, [{}]])
def test_nobody_claims_what_is_not_theirs(reader: Any, tree: Any) -> None:
    assert not reader.matches(tree)


def test_every_generator_says_what_it_is() -> None:
    for name in [*STYLED, *STYLELESS]:
        generator: Generator = lefs.load(FIXTURES / name)
        assert not generator.training
        assert not any(p.requires_grad for p in generator.parameters())
        assert generator.name == Path(name).stem
