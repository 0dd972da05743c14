"""Weights files: the round trip, and every way in which one can be broken."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.networks import stylegan3_config
from helpers import stored, tamper

import lefs
from lefs import ArtifactError, StyleGAN2, save_generator
from lefs.__main__ import main
from lefs.files import convert
from lefs.files.formats import fill
from lefs.files.publishers import nvlabs_state_dict
from lefs.files.publishers.persistence import NETWORKS, Module, find_network
from lefs.files.reading import opened, read_tree
from lefs.models.layers import shapes_only
from lefs.models.progan import ProGAN, ProGANConfig
from lefs.models.stylegan import StyleGAN, StyleGANConfig
from lefs.models.stylegan3 import StyleGAN3
from lefs.records import load_record, save_record

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def folder(lively: StyleGAN2, tmp_path: Path) -> Path:
    return save_generator(lively, tmp_path / "saved", name="Lively", training={"steps": 3})


def test_round_trip(lively: StyleGAN2, folder: Path) -> None:
    found = lefs.load(folder)
    assert isinstance(found, StyleGAN2)
    assert found.config == lively.config
    assert found.fingerprint == lively.fingerprint
    assert found.name == "Lively"
    assert not found.training
    assert not any(p.requires_grad for p in found.parameters())
    assert all(torch.equal(t, lively.state_dict()[n]) for n, t in found.state_dict().items())
    styles = lively.sample_styles(range(2), truncation=0.7)
    assert torch.equal(found.sample_styles(range(2), truncation=0.7), styles)
    assert torch.equal(found.synthesize(styles), lively.synthesize(styles))
    assert stored(folder / "generator.safetensors")["training"] == {"steps": 3}


def test_saving_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = save_generator(lefs.load(folder), tmp_path / "again", name="Lively", training={"steps": 3})
    name = "generator.safetensors"
    assert (again / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", ["", "generator.safetensors", "generator.json", "generator"])
def test_the_folder_or_its_file(folder: Path, lively: StyleGAN2, name: str) -> None:
    assert lefs.load(folder / name).fingerprint == lively.fingerprint
    assert lefs.load(str(folder / name)).source == (folder / "generator.safetensors").resolve()


def test_weights_in_half_precision_are_read_as_float32(folder: Path, lively: StyleGAN2) -> None:
    content, tensors, path = load_record(folder, expect="lefs-generator")
    save_record(path, "lefs-generator", content, {n: t.half() for n, t in tensors.items()})
    found = lefs.load(folder)
    assert {p.dtype for p in found.parameters()} == {torch.float32}
    torch.testing.assert_close(found.state_dict(), dict(lively.state_dict()), rtol=1e-3, atol=1e-2)


def test_the_embedded_generator(portraits: lefs.Generator) -> None:
    assert portraits.size == (64, 64)
    again = lefs.load("portraits-64")
    assert again is not portraits
    assert again.fingerprint == portraits.fingerprint


def test_changed_weights_are_no_longer_those_of_the_file(folder: Path) -> None:
    found = lefs.load(folder)
    before = found.fingerprint
    found.state_dict()["synthesis.b8.conv1.bias"].zero_()
    found.freeze()
    assert found.fingerprint != before
    assert found.source is None


def test_every_truncation_is_refused(folder: Path, tmp_path: Path) -> None:
    weights = folder / "generator.safetensors"
    whole = weights.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    lengths = {0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(whole) // 2, len(whole) - 1}
    for length in sorted(lengths | set(range(0, len(whole), 997))):
        weights.write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match=rf"generator\.safetensors \({length} bytes\) is not a whole"):
            lefs.load(folder)


def test_a_byte_too_many_is_refused(folder: Path) -> None:
    weights = folder / "generator.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match="is not a whole safetensors file"):
        lefs.load(folder)


def test_missing_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"'nobody' is not a file or folder here .* portraits"):
        lefs.load("nobody")
    (folder / "generator.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"generator\.safetensors does not exist"):
        lefs.load(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(ArtifactError, match=r"generator\.safetensors does not exist"):
        lefs.load(folder)
    (folder / "network.pkl").touch()
    with pytest.raises(ArtifactError, match=r"network\.pkl is empty"):
        lefs.load(folder / "network.pkl")


Tensors = dict[str, torch.Tensor]
NAME = "synthesis.b8.conv0.affine.weight"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda t: t[NAME].view(-1)[3:4].fill_(torch.nan), f"NaN or infinite values in '{NAME}'"),
        (lambda t: t[NAME].view(-1)[3:4].fill_(-torch.inf), f"NaN or infinite values in '{NAME}'"),
        (lambda t: t.pop(NAME), f"in 1 tensors, first '{NAME}': expected shape .*, found absent"),
        (
            lambda t: t.update({NAME: t[NAME].t().contiguous()}),
            f"in 1 tensors, first '{NAME}': expected shape",
        ),
        (lambda t: t.update({"extra": torch.ones(2)}), r"first 'extra': expected shape absent, found \(2,\)"),
        (lambda t: t.clear(), "does not fit its architecture"),
    ],
)
def test_wrong_tensors_are_named(folder: Path, damage: Callable[[Tensors], object], told: str) -> None:
    content, tensors, path = load_record(folder, expect="lefs-generator")
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    damage(tensors)
    save_record(path, "lefs-generator", content, tensors)
    with pytest.raises(ArtifactError, match=told):
        lefs.load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "lefs-catalog"}, "holds 'lefs-catalog', expected format 'lefs-generator'"),
        ({"architecture": "stylegan9"}, "unknown architecture 'stylegan9'"),
        ({"config": None}, "does not describe a StyleGAN2"),
        ({"config": {}}, "does not describe a StyleGAN2"),
        (
            {"config": {"resolution": "16", "z_dim": 12, "w_dim": 14, "channels": {}}},
            "resolution must be an int",
        ),
        ({"config": {"resolution": 2**40, "z_dim": 12, "w_dim": 14, "channels": {}}}, "resolution must be"),
        ({"config": {"resolution": 16, "z_dim": 12, "w_dim": 14, "channels": []}}, "does not describe"),
        (
            {"config": {"resolution": 4, "z_dim": 2**62, "w_dim": 2**62, "channels": {"4": 1}}},
            "does not describe",
        ),
        (
            {"config": {"resolution": 16, "z_dim": 9, "w_dim": 9, "channels": {"4": 1, "8": 1, "16": 1}}},
            "not fit",
        ),
    ],
)
def test_wrong_configurations(folder: Path, change: dict, told: str) -> None:
    tamper(folder / "generator.safetensors", **change)
    with pytest.raises(ArtifactError, match=told):
        lefs.load(folder)


def test_saving_where_one_may_not(lively: StyleGAN2, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="choose a folder you may write to"):
        save_generator(lively, tmp_path / "file", name="x")


def test_a_failed_save_leaves_the_old_generator(
    lively: StyleGAN2, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(ArtifactError, match="no space left"):
        save_generator(lively, folder, name="other")
    assert lefs.load(folder).name == "Lively"
    assert sorted(f.name for f in folder.iterdir()) == ["generator.safetensors"]


def test_filling_copies_tensors_that_lie_anywhere(tmp_path: Path) -> None:
    file = torch.zeros(1 + 4 * 12, dtype=torch.uint8)
    loose = torch.frombuffer(file.numpy().data[1:], dtype=torch.uint8).view(torch.float32).view(3, 4)
    loose.copy_(torch.arange(12.0).view(3, 4))
    network = torch.nn.Linear(4, 3, device="meta")
    (path := tmp_path / "any.pkl").write_bytes(b"x")
    with opened(path) as source:
        fill(network, {"weight": loose, "bias": torch.arange(6).half()[::2]}, path, source)
    file.zero_()
    assert network.weight.tolist() == torch.arange(12.0).view(3, 4).tolist()
    assert network.bias.tolist() == [0, 2, 4]
    assert network.weight.data_ptr() % 4 == 0
    assert network.bias.dtype == torch.float32


def test_filling_reads_what_the_file_holds(tmp_path: Path) -> None:
    numbers = torch.arange(17.0)
    content = b"x" + numbers.numpy().tobytes()
    (tmp_path / "numbers").write_bytes(content)
    with opened(tmp_path / "numbers") as file:
        loose = torch.frombuffer(file.data[1:], dtype=torch.uint8).view(torch.float32)
        given = {
            "weight": loose[1:13].view(3, 4),
            "turned": loose[1:13].view(4, 3).T,
            "elsewhere": numbers[2:5].clone(),
            "whole": loose[:8].view(torch.float64).clone(),
            "one": loose[3],
            "empty": loose[:0],
        }
        network = torch.nn.Module()
        for name, tensor in given.items():
            network.register_buffer(name, torch.empty(tensor.shape, device="meta"))
        expected = {k: v.clone().float().tolist() for k, v in given.items()}
        fill(network, given, Path("any.pkl"), file)
    (tmp_path / "numbers").write_bytes(bytes(len(content)))
    found = network.state_dict()
    assert {k: v.tolist() for k, v in found.items()} == expected
    assert all(v.is_contiguous() and v.dtype == torch.float32 for v in found.values())
    # Each has a storage of its own: saving one does not save all, writing to one changes no other.
    assert [len(v.untyped_storage()) for v in found.values()] == [v.nbytes for v in found.values()]
    found["weight"].fill_(-1)
    assert found["turned"].tolist() == expected["turned"]


def test_filling_large_tensors(tmp_path: Path) -> None:
    numbers = torch.randn(2**20 + 5)
    (tmp_path / "numbers").write_bytes(b"x" + numbers.numpy().tobytes())

    def filled(weight: torch.Tensor) -> torch.Tensor:
        network = torch.nn.Module()
        network.register_buffer("weight", torch.empty(weight.shape, device="meta"))
        with opened(tmp_path / "numbers") as file:
            loose = torch.frombuffer(file.data[1:], dtype=torch.uint8).view(torch.float32)
            fill(network, {"weight": loose.as_strided(weight.shape, weight.stride())}, file.path, file)
        return network.get_buffer("weight")

    assert torch.equal(filled(numbers), numbers)
    square = numbers[: 2**20].view(2**10, 2**10)
    assert torch.equal(filled(square), square)
    assert torch.equal(filled(square.T), square.T)
    numbers[-1] = torch.nan
    (tmp_path / "numbers").write_bytes(b"x" + numbers.numpy().tobytes())
    assert torch.equal(filled(square), square)
    with pytest.raises(ArtifactError, match="NaN or infinite values in 'weight'"):
        filled(numbers)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes(2**16))
    with opened(path) as file:
        numbers = torch.frombuffer(file.data, dtype=torch.float32)
        path.write_bytes(bytes(2**12))
        with pytest.raises(ArtifactError, match="numbers became shorter"):
            file.copy(numbers)


def test_finite_numbers_may_have_an_infinite_sum() -> None:
    network = torch.nn.Linear(2, 1, bias=False, device="meta")
    fill(network, {"weight": torch.full((1, 2), 3e38)}, Path("any.pkl"))
    for bad in ([[torch.inf, -torch.inf]], [[0.0, torch.nan]]):
        with pytest.raises(ArtifactError, match="NaN or infinite"):
            fill(network, {"weight": torch.tensor(bad)}, Path("any.pkl"))


WIDE = {4: 2**16, 8: 2**16}
ARCHITECTURES: dict[str, Callable[[], torch.nn.Module]] = {
    "StyleGAN2": lambda: StyleGAN2(
        lefs.StyleGAN2Config(8, 2**16, 2**16, WIDE, label_dim=2**16, architecture="resnet")
    ),
    "StyleGAN3": lambda: StyleGAN3(
        stylegan3_config(32, z_dim=2**14, w_dim=2**14, channel_base=2**19, channel_max=2**13, rotation=True)
    ),
    "StyleGAN": lambda: StyleGAN(StyleGANConfig(8, 2**16, 2**16, WIDE, label_dim=2**16)),
    "ProGAN": lambda: ProGAN(ProGANConfig(8, 2**16, WIDE)),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_are_first_made_without_memory(name: str) -> None:
    """Of many gigabytes, of which only small constants may be real numbers."""
    with shapes_only():
        network = ARCHITECTURES[name]()
    tensors = [*network.parameters(), *network.buffers()]
    assert sum(t.nbytes for t in tensors) > 2**33
    assert sum(t.nbytes for t in tensors if not t.is_meta) < 2**14
    assert not torch.empty(1).is_meta


# -- out of lefs again ---------------------------------------------------------------------------------------


def shapes_of(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def test_rosinalitys_file_comes_out_as_it_went_in(tmp_path: Path) -> None:
    path = FIXTURES / "rosinality_stylegan2/full.pt"
    convert(path, tmp_path / "again.pt", to="rosinality")
    before = torch.load(path, weights_only=False)
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert again.keys() == {"g_ema", "latent_avg"}
    assert shapes_of(again["g_ema"]) == shapes_of(before["g_ema"])
    for name, tensor in before["g_ema"].items():
        torch.testing.assert_close(again["g_ema"][name], tensor, rtol=1e-6, atol=0)
    torch.testing.assert_close(again["latent_avg"], before["latent_avg"].flatten())


@pytest.mark.parametrize("name", ["ada_skip_conditional", "by_stylegan3"])
def test_a_state_dict_has_what_nvidias_network_has(name: str) -> None:
    path = FIXTURES / f"nvlabs_stylegan2/{name}.pkl"
    network = Module(find_network(read_tree(path), *NETWORKS)[1], path, "G_ema")
    found = nvlabs_state_dict.write(lefs.load(path))
    expected = {name: tensor.float() for name, tensor in network.state_dict().items()}
    assert shapes_of(found) == shapes_of(expected)
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=1e-6, atol=1e-7)


KINDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "without noise": {"noise": False},
    "without a mean": {"average": False},
    "another rate": {"mapping_lr": 1.0, "mapping_layers": 2},
    "a clamp that acts on nothing": {"conv_clamp": 1e5},
    "four taps": {"filter": (1, 2, 3, 4)},
    "eight taps": {"filter": (1, 7, 21, 35, 35, 21, 7, 1)},
}


def odd_network(**settings: Any) -> StyleGAN2:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = StyleGAN2(
            lefs.StyleGAN2Config(8, **({"z_dim": 6, "w_dim": 6, "channels": {4: 6, 8: 5}} | settings))
        )
    return made.freeze()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("to", ["rosinality", "nvidia-state-dict"])
def test_what_is_written_for_others_makes_the_same_pictures(kind: str, to: str, tmp_path: Path) -> None:
    made = odd_network(**KINDS[kind])
    save_generator(made, tmp_path / "g", name="odd")
    assert main(["convert", str(tmp_path / "g"), str(tmp_path / "out.pt"), "--to", to]) == 0
    found = lefs.load(tmp_path / "out.pt")
    z = made.latents([1, 2])
    for noise in ("const", "none"):
        torch.testing.assert_close(
            found(z, 0.7, noise=noise), made(z, 0.7, noise=noise), rtol=1e-4, atol=1e-5
        )
    assert sorted(f.name for f in tmp_path.iterdir()) == ["g", "out.pt"]
    with zipfile.ZipFile(tmp_path / "out.pt") as archive:
        names = {n.removeprefix("archive/").partition("/")[0] for n in archive.namelist()}
    assert names <= {
        "data.pkl",
        "data",
        "version",
        "byteorder",
        ".format_version",
        ".storage_alignment",
        ".data",
    }


@pytest.mark.parametrize(
    ("settings", "to", "told"),
    [
        (
            {"architecture": "resnet"},
            "rosinality",
            "architecture = 'skip', and odd has 'resnet'; use --to lefs",
        ),
        ({"label_dim": 2}, "rosinality", "label_dim = 0, and odd has 2"),
        ({"z_dim": 7}, "rosinality", "z_dim = 6, and odd has 7"),
        ({"mapping_width": 7}, "rosinality", "mapping_width = None or 6, and odd has 7"),
        ({"image_channels": 4}, "rosinality", "image_channels = 3, and odd has 4"),
        ({"start": (4, 2)}, "rosinality", r"start = \(4, 4\), and odd has \(4, 2\)"),
        ({"activation": "relu"}, "nvidia-state-dict", "activation = 'lrelu', and odd has 'relu'"),
        ({"average": 4}, "nvidia-state-dict", "average = True or False, and odd has 4"),
        (
            {"normalize": "joint", "label_dim": 2},
            "nvidia-state-dict",
            "normalize = 'each', and odd has 'joint'",
        ),
        ({"image_filter": (1, 1)}, "nvidia-state-dict", "image_filter = None"),
        ({"conv_clamp": 0.1}, "nvidia-state-dict", "would make other pictures in this format"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    settings: dict[str, Any], to: str, told: str, tmp_path: Path
) -> None:
    save_generator(odd_network(**settings), tmp_path / "g", name="odd")
    (tmp_path / "out.pt").write_text("mine")
    with pytest.raises(ArtifactError, match=told):
        convert(tmp_path / "g", tmp_path / "out.pt", to=to)
    assert (tmp_path / "out.pt").read_text() == "mine"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["g", "out.pt"]


def test_other_architectures_and_names_are_refused(tmp_path: Path) -> None:
    for to in ("rosinality", "nvidia-state-dict"):
        with pytest.raises(ArtifactError, match="holds a StyleGAN2, and t is a StyleGAN3; use --to lefs"):
            convert(FIXTURES / "stylegan3/t.pkl", tmp_path / "out.pt", to=to)
        with pytest.raises(ArtifactError, match=r"a file name that ends in \.pt or \.pth"):
            convert("portraits-64", tmp_path / "out", to=to)
    with pytest.raises(ValueError, match="to must be one of 'lefs', 'rosinality', 'nvidia-state-dict'"):
        convert("portraits-64", tmp_path / "out", to="onnx")
