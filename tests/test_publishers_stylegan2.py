"""StyleGAN2 files of NVIDIA, rosinality and genforce: their publishers' numbers, and what is not one of them.

What the publisher's code computed from each file lies beside it; ``tests/fixtures/*/README.md`` says how.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import lefs
from lefs.__main__ import main
from lefs.files.formats import build, convert
from lefs.files.publishers import nvlabs_stylegan2, rosinality_stylegan2
from lefs.files.reading import read_tree
from lefs.generator import Generator
from lefs.records import ArtifactError

FIXTURES = Path(__file__).parent / "fixtures"
FILES = [
    "nvlabs_stylegan2/ada_skip_conditional.pkl",
    "nvlabs_stylegan2/ada_resnet.pkl",
    "nvlabs_stylegan2/ada_orig_grey.pkl",
    "nvlabs_stylegan2/by_stylegan3.pkl",
    "rosinality_stylegan2/full.pt",
    "rosinality_stylegan2/early.pt",
    "genforce/stylegan2.pth",
    "genforce/stylegan2_origin_conditional.pth",
    "genforce/stylegan2_ada_conditional.pth",
]
SNAPSHOT = FIXTURES / "nvlabs_stylegan2/ada_skip_conditional.pkl"
FULL = FIXTURES / "rosinality_stylegan2/full.pt"


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def generator(name: str) -> Generator:
    return lefs.load(FIXTURES / name)


@pytest.fixture
def numbers(name: str) -> dict[str, Tensor]:
    return load_file((FIXTURES / name).with_suffix(".safetensors"))


def labels_of(numbers: dict[str, Tensor], count: int = 3) -> list[int] | None:
    return [int(c) for c in numbers["labels"][:count]] if "labels" in numbers else None


def largest(difference: Tensor) -> float:
    return float(difference.abs().max())


# -- the publishers' numbers -------------------------------------------------------------------------------


def test_latents_and_styles(generator: Generator, numbers: dict[str, Tensor]) -> None:
    z, labels = generator.latents(range(3)), labels_of(numbers)
    assert torch.equal(z, numbers["z"])
    w = generator.map(z, labels=labels)
    assert largest(w - numbers["w"]) <= 1e-5 * largest(numbers["w"])
    truncated = generator.map(z, 0.7, labels)
    assert largest(truncated - numbers["w_truncated"]) <= 1e-5 * largest(numbers["w_truncated"])
    assert largest(generator.styles(w) - numbers["styles"]) <= 1e-5 * largest(numbers["styles"])


@pytest.mark.parametrize("count", [3, 1])
@pytest.mark.parametrize("noise", ["const", "none"])
@pytest.mark.parametrize("psi", [1.0, 0.7])
def test_images(generator: Generator, numbers: dict[str, Tensor], psi: float, noise: Any, count: int) -> None:
    styles = generator.sample_styles(range(count), truncation=psi, labels=labels_of(numbers, count))
    expected = numbers[f"image {psi:g} {noise} {count}"]
    span = float(expected.max() - expected.min())
    assert largest(generator.synthesize(styles, noise) - expected) <= 1e-4 * span


def test_seeded_noise(generator: Generator, numbers: dict[str, Tensor]) -> None:
    styles, expected = generator.sample_styles(range(3), labels=labels_of(numbers)), numbers["image 1 7 3"]
    assert largest(generator.synthesize(styles, 7) - expected) <= 1e-4 * float(
        expected.max() - expected.min()
    )


# -- the laws of every architecture ------------------------------------------------------------------------


def test_what_follows_from_the_architecture(generator: Generator, name: str) -> None:
    skip = not name.endswith(("ada_resnet.pkl", "ada_orig_grey.pkl", "origin_conditional.pth"))
    assert generator.preview_sizes == ((4, 8, 16) if skip else (16,))
    assert generator.preview_size == 16
    assert generator.default_layer == "b8.conv1"
    assert [la.kind for la in generator.layers].count("rgb") == (3 if skip else 1)
    assert generator.num_styles == sum(la.channels for la in generator.layers)


def test_resumed_images_equal_whole_ones(generator: Generator, numbers: dict[str, Tensor]) -> None:
    styles = generator.sample_styles([4, 5], labels=[0, 0] if "labels" in numbers else None)
    cache = generator.cache(styles[:1], 3)
    for layer in generator.layers:
        edited = styles[:1].repeat(2, 1)
        edited[1, layer.span] += 1
        for size in generator.preview_sizes:
            expected = generator.synthesize(edited, 3, upto=size)
            found = generator.synthesize(edited, 3, upto=size, cache=cache)
            assert expected.shape == (2, 3, size, size)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_records_are_what_layers_scale(generator: Generator, numbers: dict[str, Tensor]) -> None:
    styles = generator.sample_styles([4, 5], labels=[0, 0] if "labels" in numbers else None)
    found = generator.record(styles, [la.name for la in generator.layers])
    for layer in generator.layers:
        assert found[layer.name].shape == (2, layer.channels, *layer.size)


@pytest.mark.parametrize("labels", [None, [0], [0, 3], [-1, 0]])
def test_missing_labels_are_listed(labels: list[int] | None) -> None:
    generator = lefs.load(SNAPSHOT)
    with pytest.raises(ValueError, match=r"labels.*(0 (to|and) 2)"):
        generator.sample_styles([1, 2], labels=labels)


def test_a_usual_label_stands_in() -> None:
    generator, two = lefs.load(SNAPSHOT), lefs.load(SNAPSHOT, label=2)
    assert torch.equal(two.sample_styles([1, 2]), generator.sample_styles([1, 2], labels=[2, 2]))
    assert torch.equal(two.sample_styles([1], labels=[0]), generator.sample_styles([1], labels=[0]))
    assert two.fingerprint == generator.fingerprint
    with pytest.raises(ValueError, match="label must be between 0 and 2"):
        generator.with_label(3)
    with pytest.raises(ValueError, match="not conditional"):
        lefs.load(FULL, label=0)


def test_a_conditional_generator_is_dissected_and_edited() -> None:
    generator = lefs.load(SNAPSHOT, label=1)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        apart = lefs.dissect(generator, range(4), clusters=2, progress=False, executor=executor)
    catalog = lefs.dissect(generator, range(4), clusters=2, progress=False)
    torch.testing.assert_close(apart.contributions, catalog.contributions)
    recipe = lefs.Recipe(1, (lefs.Change("cluster 0", 2),))
    edit = lefs.Editor(generator, catalog).render(recipe)
    assert edit.image.shape == (3, 16, 16)


# -- the format of lefs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["folder", "folder/faces.safetensors"])
def test_converted_generators_are_the_same(
    generator: Generator, name: str, numbers: dict[str, Tensor], target: str, tmp_path: Path
) -> None:
    convert(FIXTURES / name, tmp_path / target)
    again = lefs.load(tmp_path / target)
    assert again.fingerprint == generator.fingerprint
    assert again.name == generator.name
    assert again.origin == generator.origin
    styles = generator.sample_styles([5], truncation=0.7, labels=[0] if "labels" in numbers else None)
    assert torch.equal(again.synthesize(styles), generator.synthesize(styles))


def test_convert_and_info_on_the_command_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(FIXTURES / name), str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["info", str(FIXTURES / name)]) == 0
    of_file = capsys.readouterr().out
    assert main(["info", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == of_file
    for word in ("stylegan2", "16 x 16", "parameters", "classes", "b8.conv1", "fingerprint"):
        assert word in of_file


def test_convert_wants_a_safetensors_name(tmp_path: Path) -> None:
    for name in ("out.pkl", "OUT.PKL", "out.bin"):
        with pytest.raises(ArtifactError, match=rf"{name}: the format of lefs is \.safetensors"):
            convert(SNAPSHOT, tmp_path / name)


def test_a_file_of_others_has_nothing_to_say_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", str(SNAPSHOT)]) == 2
    assert "is not a file of lefs; leave out --json" in capsys.readouterr().err


def test_a_folder_of_downloads_says_which_files_to_give(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"generator\.safetensors does not exist; give .* file$"):
        lefs.load(tmp_path)
    (tmp_path / "network.pkl").touch()
    with pytest.raises(ArtifactError, match=r"give the path of a generator's file, such as 'network\.pkl'"):
        lefs.load(tmp_path)


def test_loading_and_info_wait_for_little() -> None:
    """Neither what runs notebooks nor PyTorch's compiler is imported: that takes longer than the work."""
    lines = (
        "import sys, lefs.__main__",
        f"lefs.__main__.main(['info', {str(SNAPSHOT)!r}])",
        "slow = {'torch._dynamo', 'sympy', 'sklearn', 'papermill', 'matplotlib', 'torchmetrics'}",
        "sys.exit(', '.join(slow & set(sys.modules)) or 0)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


# -- variants of files -------------------------------------------------------------------------------------


def test_rosinality_as_bare_and_parallel_state(tmp_path: Path) -> None:
    """Without the mean w of the file, that over fixed latents takes its place."""
    state = torch.load(FULL, weights_only=False)["g_ema"]
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "bare.pt")
    bare, full = lefs.load(tmp_path / "bare.pt"), lefs.load(FULL)
    styles = full.sample_styles([1, 2])
    assert torch.equal(bare.sample_styles([1, 2]), styles)
    assert torch.equal(bare.synthesize(styles), full.synthesize(styles))
    center = bare.map(bare.latents(range(4096))).mean(dim=0)[0]
    assert largest(bare.map(bare.latents([1]), 0.0)[0, 0] - center) < 0.2 * float(center.norm())
    assert torch.equal(
        lefs.load(tmp_path / "bare.pt").map(bare.latents([1]), 0.5), bare.map(bare.latents([1]), 0.5)
    )


def test_the_averaged_generator_is_preferred(tmp_path: Path) -> None:
    tree = torch.load(FULL, weights_only=False)
    raw = {k: v + 1 if k == "input.input" else v for k, v in tree["g_ema"].items()}
    torch.save({"g": raw, "g_ema": tree["g_ema"], "latent_avg": tree["latent_avg"]}, tmp_path / "both.pt")
    assert lefs.load(tmp_path / "both.pt").fingerprint == lefs.load(FULL).fingerprint


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    tree = torch.load(FULL, weights_only=False)
    half = {k: v.half() for k, v in tree["g_ema"].items()}
    torch.save({"g_ema": half, "latent_avg": tree["latent_avg"]}, tmp_path / "half.pt")
    generator = lefs.load(tmp_path / "half.pt")
    assert {t.dtype for t in generator.state_dict().values()} == {torch.float32}


# -- what is not a generator -------------------------------------------------------------------------------

STATES: dict[str, tuple[dict[str, Any], str]] = {
    "discriminator": ({"final_conv.0.weight": torch.ones(2)}, "a discriminator alone"),
    "only d": ({"d": {"final_conv.0.weight": torch.ones(2)}}, "a discriminator alone"),
    "encoder": (
        {"state_dict": {"encoder.body.0.weight": torch.ones(2), "decoder.x": torch.ones(2)}},
        "an encoder",
    ),
    "stable diffusion": (
        {"state_dict": {"model.diffusion_model.input_blocks.0.weight": torch.ones(2)}},
        "a Stable Diffusion checkpoint",
    ),
    "classifier": (
        {"fc.weight": torch.ones(2), "fc.bias": torch.ones(2)},
        "a dictionary of 2 entries.*'fc.weight'",
    ),
    "nothing": ({}, "a dictionary of 0 entries"),
}


@pytest.mark.parametrize("kind", STATES)
def test_other_networks_are_named(kind: str, tmp_path: Path) -> None:
    state, expected = STATES[kind]
    torch.save(state, tmp_path / "file.pt")
    with pytest.raises(ArtifactError, match=rf"file\.pt holds no generator that lefs knows: {expected}"):
        lefs.load(tmp_path / "file.pt")


State = dict[str, Any]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.pop("convs.1.conv.weight"), r"resolutions \[4, 16\]"),
        (lambda s: s.pop("style.2.weight"), r"lacks|does not fit|more than"),
        (lambda s: s.update({"extra.weight": torch.ones(2)}), r"1 tensors more .* 'extra\.weight'"),
        (
            lambda s: s.update({"input.input": torch.ones(1, 3, 4, 4)}),
            r"does not fit.*'synthesis\.b4\.const'",
        ),
        (lambda s: s.update({"input.input": torch.ones(3)}), "'input.input' should hold .* 4 axes"),
        (lambda s: s.update({"input.input": "hello"}), "'input.input' is a str"),
        (lambda s: s["input.input"].fill_(torch.nan), r"NaN or infinite values in 'synthesis\.b4\.const'"),
        (lambda s: s["conv1.conv.weight"].view(-1)[3].fill_(torch.inf), "NaN or infinite values"),
        (lambda s: s["convs.0.conv.blur.kernel"].zero_(), "different blur kernels"),
        (
            lambda s: [s[k].zero_() for k in s if k.endswith("blur.kernel")],
            "describe a StyleGAN2: filter must",
        ),
        (lambda s: s.update({"noises.noise_0": torch.ones(2, 1, 4, 4)}), "'noises.noise_0' has shape"),
        (lambda s: s.pop("noises.noise_0"), r"expected shape \(4, 4\), found absent"),
        (lambda s: s.update(x=s["input.input"].to("meta")), r"'x' is a record of .*_rebuild_meta_tensor"),
        (lambda s: s.update(x=torch.ones(2).to(torch.float8_e5m2)), "of the kind torch.float8_e5m2, which"),
    ],
)
def test_damaged_rosinality_files(change: Callable[[State], object], expected: str, tmp_path: Path) -> None:
    tree = torch.load(FULL, weights_only=False)
    change(tree["g_ema"])
    torch.save(tree, tmp_path / "file.pt")
    with pytest.raises(ArtifactError, match=expected):
        lefs.load(tmp_path / "file.pt")


def parts(tree: Any, *names: str) -> Any:
    """The record of a module inside ``G_ema``, by the names of the modules on the way."""
    record = tree["G_ema"]
    for name in names:
        record = record.state["_modules"][name]
    return record


def put(tree: Any, *names: str, **changes: Any) -> None:
    parts(tree, *names[:-1]).state["_modules"][names[-1]] = replace(parts(tree, *names), **changes)


CONV = ("synthesis", "b8", "conv0")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda t: put(t, *CONV, name="FancyLayer"),
            r"G_ema\.synthesis\.b8\.conv0 .*FancyLayer.* does not know",
        ),
        (lambda t: put(t, "synthesis", "b8", name="Block"), "expected SynthesisBlock"),
        (lambda t: put(t, "mapping", name="MLP"), "expected MappingNetwork"),
        (lambda t: t.update(G_ema=replace(t["G_ema"], name="StyleGANXL")), "StyleGANXL"),
        (lambda t: parts(t, "synthesis", "b8").state["_modules"].pop("conv1"), "lacks the module 'conv1'"),
        (lambda t: parts(t, *CONV).state["_parameters"].pop("weight"), "lacks the tensor 'weight'"),
        (lambda t: parts(t, *CONV).state.pop("conv_clamp"), "lacks the attribute 'conv_clamp'"),
        (lambda t: parts(t, *CONV).state.update(conv_clamp=3.0), "different clamps"),
        (lambda t: parts(t, *CONV).state.update(activation="gelu"), "different activations"),
        (lambda t: parts(t, *CONV).state.update(activation=7), "activation = 7 where a str should be"),
        (lambda t: parts(t, *CONV).state.update(act_gain=1.0), "activation 'lrelu' with gain 1"),
        (lambda t: parts(t, *CONV).state.update(up=4), "enlarges by 4"),
        (lambda t: parts(t, *CONV).state["_parameters"].update(more=torch.ones(1)), "no StyleGAN2 has: more"),
        (
            lambda t: parts(t, *CONV).state["_modules"].update(skip=parts(t, *CONV)),
            r"skip \(SynthesisLayer\)",
        ),
        (lambda t: parts(t, *CONV, "affine").state.update(weight_gain=3.0), "scales its weight by 3"),
        (lambda t: parts(t, "synthesis").state.update(img_resolution=15), "images of 15 pixels"),
        (
            lambda t: parts(t, "synthesis").state.update(img_channels=5),
            "image_channels must be one of 3, 1, 4",
        ),
        (lambda t: parts(t, "mapping").state.update(num_layers=10**9), "num_layers = 1000000000"),
        (lambda t: parts(t, "mapping").state.update(_modules=3), "_modules should be"),
    ],
)
def test_snapshots_of_another_kind(change: Callable[[Any], object], expected: str) -> None:
    tree = read_tree(SNAPSHOT)
    change(tree)
    with pytest.raises(ArtifactError, match=expected):
        made(tree)


def made(tree: Any) -> Generator:
    parsed = nvlabs_stylegan2.read(tree, SNAPSHOT)
    return build(parsed, parsed.tensors, SNAPSHOT)


def test_a_network_inside_itself_ends() -> None:
    tree = read_tree(SNAPSHOT)
    tree["D"].state["_modules"]["b8"].state["_modules"]["more"] = tree["D"]
    with pytest.raises(ArtifactError, match="more than 10,000 modules"):
        nvlabs_stylegan2.Module(tree["D"], SNAPSHOT, "D").state_dict()


@pytest.mark.parametrize("tree", [None, 3, [], {}, {"g_ema": 3}, {"G_ema": {}}, {1: 2}, torch.ones(2)])
def test_readers_leave_other_values_alone(tree: Any) -> None:
    assert not nvlabs_stylegan2.matches(tree)
    assert not rosinality_stylegan2.matches(tree)
