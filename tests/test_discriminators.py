"""Discriminators of every publisher: their own code's scores, reached on demand, through the format of lefs.

What the publisher's code says of the images that `squares` makes lies beside each file.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import lefs
from lefs.artifacts import ArtifactError
from lefs.generators.discriminator import Discriminator, DiscriminatorConfig
from lefs.generators.formats import convert
from lefs.generators.publishers import genforce_classic
from lefs.generators.publishers.contents import Contents
from lefs.generators.publishers.stylegan2_shapes import build_classic_discriminator
from lefs.generators.publishers.tensorflow_discriminators import DISCRIMINATORS
from lefs.generators.unpickle import read_pickle

FIXTURES = Path(__file__).parent / "fixtures"
FILES = [
    "tensorflow/progan.pkl",
    "tensorflow/progan_grey.pkl",
    "tensorflow/stylegan.pkl",
    "tensorflow/stylegan_conditional.pkl",
    "tensorflow/stylegan2_revised.pkl",
    "tensorflow/stylegan2_conditional.pkl",
    "tensorflow/stylegan2_ada_conditional.pkl",
    "genforce/progan.pth",
    "genforce/progan_fused.pth",
    "genforce/progan_conditional.pth",
    "genforce/stylegan.pth",
    "genforce/stylegan_conditional.pth",
    "genforce/stylegan2_origin_conditional.pth",
    "stylegan3/t.pkl",
    "stylegan3/r_conditional.pkl",
]
STYLEGAN = FIXTURES / "tensorflow/stylegan.pkl"


def squares(side: int, count: int = 8) -> Tensor:
    """Images of 4 × 4 random squares: their scores differ, as those of finer noise hardly do."""
    coarse = np.random.RandomState(0).randn(count, 3, 4, 4)
    return torch.from_numpy(np.kron(coarse, np.ones((side // 4, side // 4))).astype(np.float32))


def classes(judge: nn.Module, count: int = 8) -> list[int] | None:
    labels = judge.config.label_dim
    return [i % labels for i in range(count)] if labels else None


def assert_scores(judge: nn.Module, numbers: dict[str, Tensor], images: Tensor, prefix: str = "") -> None:
    """Within 1e-4 of the range of the scores, for a batch of 8 and by itself."""
    eight = numbers[f"{prefix}realness 8"]
    span = float(eight.max() - eight.min())
    assert span > 1e-3
    for count in (8, 1):
        found = judge(images[:count], classes(judge, count))
        assert found.shape == (count,)
        assert float((found - numbers[f"{prefix}realness {count}"]).abs().max()) <= 1e-4 * span


@pytest.mark.parametrize("name", FILES)
def test_the_publishers_scores(name: str) -> None:
    generator = lefs.load(FIXTURES / name)
    judge, numbers = generator.discriminator, load_file((FIXTURES / name).with_suffix(".safetensors"))
    assert judge is not None
    images = squares(generator.resolution)
    if name.endswith("grey.pkl"):
        images = images[:, :1].expand(-1, 3, -1, -1)
    assert_scores(judge, numbers, images)
    assert generator.discriminator is judge
    assert not judge.training
    assert not any(p.requires_grad for p in judge.parameters())


@pytest.mark.parametrize("name", FILES)
def test_classes_matter_where_there_are_some(name: str) -> None:
    generator = lefs.load(FIXTURES / name)
    judge, images = generator.discriminator, squares(generator.resolution, 2)
    assert judge is not None
    # (a ProGAN's discriminator guesses the class, and does not ask for it)
    assert judge.config.label_dim == (0 if generator.architecture == "progan" else generator.label_dim)
    if judge.config.label_dim:
        assert not torch.equal(judge(images, [0, 0]), judge(images, [1, 1]))
        for labels in (None, [0], [0, judge.config.label_dim], [-1, 0]):
            with pytest.raises(ValueError, match="labels"):
                judge(images, labels)
    else:
        with pytest.raises(ValueError, match="needs no classes"):
            judge(images, [0, 0])


@pytest.mark.parametrize("name", FILES)
def test_the_format_of_lefs_keeps_them(name: str, tmp_path: Path) -> None:
    _, lost = convert(FIXTURES / name, tmp_path)
    assert lost == ""
    first, again = (lefs.load(p).discriminator for p in (FIXTURES / name, tmp_path))
    assert first is not None
    assert again is not None
    images = squares(first.config.resolution)
    assert torch.equal(again(images, classes(again)), first(images, classes(first)))


def test_loading_leaves_them_alone(tmp_path: Path) -> None:
    """One that lefs cannot use is no obstacle: its generator loads, and `convert` says what is lost."""
    name = FIXTURES / "stylegan3/xl_conditional.pkl"
    generator = lefs.load(name)
    with pytest.raises(ArtifactError, match=r"ProjectedDiscriminator.* features of pretrained networks"):
        _ = generator.discriminator
    _, lost = convert(name, tmp_path)
    assert "the discriminator was left out" in lost
    again = lefs.load(tmp_path)
    assert again.fingerprint == generator.fingerprint
    assert again.discriminator is None


# -- rosinality's StyleGAN ---------------------------------------------------------------------------------


@pytest.fixture
def checkpoint() -> dict[str, Any]:
    """What its training writes: a generator trained to 128 pixels, and its discriminator."""
    bare = torch.load(FIXTURES / "rosinality_stylegan/bare.model", weights_only=True)
    judge = torch.load(FIXTURES / "rosinality_stylegan/discriminator.pt", weights_only=True)
    return {
        "generator": bare,
        "discriminator": judge,
        "g_optimizer": {},
        "d_optimizer": {},
        "g_running": bare,
    }


@pytest.mark.parametrize("activated", [False, True])
def test_rosinality(checkpoint: dict[str, Any], activated: bool, tmp_path: Path) -> None:
    """With and without an activation after the colours, which names tell apart."""
    if activated:
        state = checkpoint["discriminator"]
        checkpoint["discriminator"] = {k.replace(".conv.", ".0.conv.") if "from_rgb" in k else k: v
                                       for k, v in state.items()}  # fmt: skip
    torch.save(checkpoint, tmp_path / "train_step-6.model")
    judge = lefs.load(tmp_path / "train_step-6.model").discriminator
    assert judge is not None
    numbers = load_file(FIXTURES / "rosinality_stylegan/bare.safetensors")
    assert_scores(judge, numbers, squares(128), "activated." if activated else "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("progression.6.conv1.0.conv.bias"), r"lacks the tensor 'progression\.6"),
        (lambda d: d.update({"attention": torch.ones(2)}), "'attention'"),
        (lambda d: d.update({"progression.5.extra": torch.ones(2)}), r"'progression\.5\.extra'"),
        (lambda d: d.update({"linear.linear.weight_orig": torch.ones(2, 4, 1)}), "on 2 axes"),
        (lambda d: d.update({"progression.8.conv1.0.conv.bias": torch.full((4,), torch.nan)}), "NaN"),
        (lambda d: [d.pop(k) for k in list(d) if "progression.8" in k], "levels take images|lacks"),
    ],
)
def test_damaged_rosinality(
    checkpoint: dict[str, Any], change: Callable[[Any], object], message: str, tmp_path: Path
) -> None:
    change(checkpoint["discriminator"])
    torch.save(checkpoint, tmp_path / "file.model")
    with pytest.raises(ArtifactError, match=rf"file\.model .*({message})"):
        _ = lefs.load(tmp_path / "file.model").discriminator


# -- lernapparat's first step ------------------------------------------------------------------------------


def trained(network: Any) -> OrderedDict[str, Tensor]:
    """The trained variables of a network of TensorFlow, with those of its parts."""
    parts = network.state.get("components", {})
    found = {f"G_{n}/{k}": v for n, part in parts.items() for k, v in trained(part).items()}
    fixed = ("lod", "noise", "dlatent_avg")
    return OrderedDict(found | {k: v for k, v in network.state["variables"] if not k.startswith(fixed)})


def test_variables_as_lernapparat_dumps_them(tmp_path: Path) -> None:
    networks = read_pickle(STYLEGAN)
    torch.save([trained(n) for n in networks], tmp_path / "dumped.pt")
    found, official = lefs.load(tmp_path / "dumped.pt"), lefs.load(STYLEGAN)
    state, expected = found.state_dict(), official.state_dict()
    missing = {"mapping.w_avg", *(n for n in expected if n.endswith("noise_const"))}
    missing |= {n for n in expected if ".torgb." in n and ".b128." not in n}
    assert expected.keys() - state.keys() == missing
    assert all(torch.equal(state[n], expected[n]) for n in state)
    # (as `notebook.pt`, which that code's second step makes of such a file)
    port = lefs.load(FIXTURES / "lernapparat/notebook.pt").architecture_config
    assert {k: found.architecture_config[k] for k in ("noise", "epsilon", "mean")} == {
        k: port[k] for k in ("noise", "epsilon", "mean")
    }
    assert_scores(found.discriminator, load_file(STYLEGAN.with_suffix(".safetensors")), squares(128))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.pop("G_synthesis/8x8/Conv1/weight"), "lacks the tensor"),
        (lambda g: g.update({"G_synthesis/8x8/Attention/weight": torch.ones(2)}), "more than that needs"),
        (lambda g: g.update({"G_mapping/Dense0/bias": "text"}), "is a str"),
        (lambda g: g.update({3: torch.ones(2)}), "more than that needs"),
    ],
)
def test_damaged_dumps(change: Callable[[Any], object], message: str, tmp_path: Path) -> None:
    states = [trained(n) for n in read_pickle(STYLEGAN)]
    change(states[2])
    torch.save(states, tmp_path / "dumped.pt")
    with pytest.raises(ArtifactError, match=rf"dumped\.pt .*{message}"):
        lefs.load(tmp_path / "dumped.pt")


# -- TensorFlow and genforce -------------------------------------------------------------------------------


def variables(name: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A fixture's discriminator: its variables, settings, and the function that built it."""
    state = read_pickle(FIXTURES / f"tensorflow/{name}.pkl")[1].state
    return dict(state["variables"]), dict(state["static_kwargs"]), state["build_func_name"]


def judged(name: str, changed: dict[str, Any], **settings: Any) -> Discriminator:
    tensors, known, function = variables(name)
    tensors = {k: torch.tensor(float(v)) if isinstance(v, float | int) else v for k, v in tensors.items()}
    source = Contents({**tensors, **changed}, Path("file.pkl"), "a discriminator")
    return DISCRIMINATORS[function](source, known | settings)


@pytest.mark.parametrize("name", ["progan", "stylegan_conditional", "stylegan2_revised"])
def test_a_discriminator_that_is_still_growing(name: str) -> None:
    with pytest.raises(ArtifactError, match=r"level of detail 1\.5"):
        judged(name, {"lod": torch.tensor(1.5)})


@pytest.mark.parametrize("name", ["progan", "stylegan", "stylegan2_conditional", "stylegan2_ada_conditional"])
def test_more_than_a_discriminator_needs(name: str) -> None:
    with pytest.raises(ArtifactError, match=r"8x8/Attention/weight"):
        judged(name, {"8x8/Attention/weight": torch.ones(2)})


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("progan", "use_wscale", False),
        ("stylegan", "nonlinearity", "relu"),
        ("stylegan2_conditional", "use_wscale", False),
        ("stylegan2_ada_conditional", "use_spectral_norm", True),
        ("stylegan2_ada_conditional", "use_pagan", True),
        ("stylegan2_ada_conditional", "mapping_lrmul", "fast"),
        ("stylegan", "blur_filter", 3),
        ("stylegan", "label_size", 5),
    ],
)
def test_other_settings_of_a_discriminator(name: str, setting: str, value: Any) -> None:
    with pytest.raises(ArtifactError, match=f"{setting}|does not fit its architecture"):
        judged(name, {}, **{setting: value})


@pytest.mark.parametrize(
    ("function", "message"),
    [("D_patch", r"built by D_patch; lefs takes one built by D_paper"), ("G_x", "None")],
)
def test_unknown_discriminators_are_named_when_asked_for(
    function: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(path: Any, **options: Any) -> Any:
        first, judge, average = read_pickle(path, **options)
        return first, replace(judge, state=judge.state | {"build_func_name": function}), average

    monkeypatch.setattr("lefs.generators.formats.read_pickle", renamed)
    monkeypatch.setattr("lefs.generators.publishers.tensorflow.read_pickle", renamed)
    generator = lefs.load(STYLEGAN)
    if message == "None":
        assert generator.discriminator is None
        return
    with pytest.raises(ArtifactError, match=message):
        _ = generator.discriminator


@pytest.mark.parametrize("name", ["progan", "stylegan_conditional"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("layer2.weight"), r"lacks the tensor 'layer2\.weight'"),
        (lambda d: d.update({"lod": torch.tensor(2.0)}), "still growing"),
        (lambda d: d.update({"layer3.noise": torch.ones(2)}), r"'layer3\.noise'"),
        (lambda d: d.update({"layer1.bias": torch.ones(7)}), "does not fit its architecture"),
        (lambda d: d.clear(), "lacks the tensor"),
    ],
)
def test_damaged_genforce(name: str, change: Callable[[Any], object], message: str, tmp_path: Path) -> None:
    tree = torch.load(FIXTURES / f"genforce/{name}.pth", weights_only=True)
    change(tree.get("models", tree)["discriminator"])
    torch.save(tree, tmp_path / "file.pth")
    with pytest.raises(ArtifactError, match=rf"file\.pth .*{message}"):
        _ = lefs.load(tmp_path / "file.pth").discriminator


def test_square_layers_of_a_fused_progan_are_of_the_same_kind() -> None:
    """A layer with as many outputs as inputs does not show in which order its kernel lies; the others do."""
    state = torch.load(FIXTURES / "genforce/progan_fused.pth", weights_only=True)["generator_smooth"]
    kernel, bias = state["layer2.weight"], state["layer2.bias"]
    more = len(kernel) - len(bias)
    assert more > 0
    wide = state | {
        "layer2.weight": torch.cat([kernel, kernel.new_zeros(len(kernel), more, 3, 3)], 1),
        "layer2.bias": torch.cat([bias, bias.new_zeros(more)]),
    }
    name = "synthesis.b8.conv0.weight"
    square, plain = (genforce_classic.read_progan(t, Path("x.pth")).tensors[name] for t in (wide, state))
    assert torch.equal(square[: len(bias)], plain)
    assert not square[len(bias) :].any()


def test_what_nobody_foresaw_is_an_artifact_error(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = lefs.load(STYLEGAN)

    def fails(path: Path) -> Any:
        raise IndexError("list index out of range")

    monkeypatch.setattr("lefs.generators.publishers.tensorflow.read_pickle", fails)
    with pytest.raises(ArtifactError, match=r"stylegan\.pkl: its discriminator is damaged.*IndexError"):
        _ = generator.discriminator


# -- the architecture --------------------------------------------------------------------------------------

TINY: dict[str, Any] = {"resolution": 8, "channels": {4: 2, 8: 2}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blur": (1.0, 1.0)}, "blur must have an odd number"),
        ({"blur": (1.0, -2.0, 1.0)}, "and a sum"),
        ({"blur": ("a",)}, "blur"),
        ({"colour_activation": "sine"}, "colour_activation"),
        ({"label_dim": -1}, "label_dim"),
        ({"class_dim": 1.5}, "class_dim"),
        ({"resolution": 4, "channels": {4: 2}}, "resolution"),
        ({"channels": {8: 2}}, "channels"),
        ({"mapping_layers": -1}, "mapping_layers"),
    ],
)
def test_bad_configurations(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        DiscriminatorConfig(**{**TINY, **settings})


def test_one_score_a_class() -> None:
    judge = Discriminator(DiscriminatorConfig(**TINY, label_dim=3, architecture="orig"))
    assert not hasattr(judge, "mapping")
    images = squares(8, 3)
    every = torch.stack([judge(images, [c] * 3) for c in range(3)], 1)
    assert torch.equal(judge(images, [2, 0, 1]), every[range(3), [2, 0, 1]])


def test_classes_may_be_embedded_without_further_layers() -> None:
    judge = Discriminator(DiscriminatorConfig(**TINY, label_dim=3, class_dim=4, mapping_layers=0))
    images, mapped = squares(8, 3), judge.mapping(torch.empty(3, 0), torch.eye(3))
    torch.testing.assert_close(mapped.square().mean(1), torch.ones(3), rtol=1e-5, atol=1e-5)
    assert not torch.equal(judge(images, [0, 1, 2]), judge(images, [1, 2, 0]))


def test_leaky_relu_without_gain_equals_ours() -> None:
    """A ProGAN written out: √2 before the activation, or after it with biases divided, are the same."""
    torch.manual_seed(0)
    shapes = {"b8.fromrgb": (2, 3, 1, 1), "b8.conv0": (2, 2, 3, 3), "b8.conv1": (2, 2, 3, 3)}
    shapes |= {"b4.conv": (2, 3, 3, 3), "b4.fc": (2, 32), "b4.out": (1, 2)}  # type: ignore[dict-item]
    state = {f"{k}.weight": torch.randn(s) for k, s in shapes.items()}
    state |= {f"{k}.bias": torch.randn(s[0]) for k, s in shapes.items()}
    judge = build_classic_discriminator(dict(state), Path("x"), pool_last=True)
    x = squares(8, 1).double()

    def layer(name: str, x: Tensor, apply: Any, gain: float = 2.0, **options: Any) -> Tensor:
        weight = state[f"{name}.weight"].double()
        return apply(x, weight * (gain / weight[0].numel()) ** 0.5, state[f"{name}.bias"].double(), **options)

    convolve, relu = nn.functional.conv2d, lambda t: nn.functional.leaky_relu(t, 0.2)
    x = relu(layer("b8.fromrgb", x, convolve))
    x = relu(layer("b8.conv0", x, convolve, padding=1))
    x = nn.functional.avg_pool2d(relu(layer("b8.conv1", x, convolve, padding=1)), 2)
    x = torch.cat([x, torch.full_like(x[:, :1], 1e-4)], 1)  # (one image does not differ from itself)
    x = relu(layer("b4.conv", x, convolve, padding=1)).flatten(1)
    x = layer("b4.out", relu(layer("b4.fc", x, nn.functional.linear)), nn.functional.linear, gain=1.0)
    torch.testing.assert_close(judge.double()(squares(8, 1).double()), x[:, 0], rtol=1e-6, atol=1e-7)
