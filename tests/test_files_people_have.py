"""Files as people have them: under other names, of older writers, half exported, or not files at all."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import made_up_catalog, random_network, stored, tamper
from torch import Tensor

import lefs
from lefs.files import formats
from lefs.files.formats import fill
from lefs.files.publishers.state_dict import find_state
from lefs.files.reading import Global, Instance, is_inert, read_tree
from lefs.models import StyleGAN2, StyleGAN2Config
from lefs.records import ArtifactError, locate, printable

FIXTURES = Path(__file__).parent / "fixtures"
ROSINALITY = torch.load(FIXTURES / "rosinality_stylegan2/full.pt", weights_only=False)
GENFORCE = torch.load(FIXTURES / "genforce/stylegan2.pth", weights_only=False)


def same_pictures(one: Any, two: Any) -> bool:
    styles = one.sample([1, 2], truncation=0.7)
    return torch.equal(styles, two.sample([1, 2], truncation=0.7)) and torch.equal(
        one.synthesize(styles), two.synthesize(styles)
    )


# -- a generator called something else -----------------------------------------------------------------------


def wrapped(*keys: str, prefix: str = "", mean_at: int = 0) -> dict[str, Any]:
    """Rosinality's generator under `keys`, its names after `prefix`; the mean w beside the key `mean_at`."""
    tree: dict[str, Any] = {f"{prefix}{name}": value for name, value in ROSINALITY["g_ema"].items()}
    for depth, key in reversed(list(enumerate(keys))):
        tree = {key: tree, "step": 3} | ({"latent_avg": ROSINALITY["latent_avg"]} if depth == mean_at else {})
    return tree


WRAPPED = {
    "params_ema": wrapped("params_ema"),
    "generator": wrapped("generator"),
    "two keys": wrapped("state_dict", "g_ema", mean_at=1),
    "two keys, the mean above": wrapped("state_dict", "g_ema"),
    "compiled": wrapped("g_ema", prefix="_orig_mod."),
    "parallel and compiled": wrapped("g_ema", prefix="module._orig_mod."),
    "a decoder": wrapped("state_dict", prefix="decoder."),
    "any name": wrapped("weights", prefix="net.stylegan."),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_generator_is_found_under_any_key_and_prefix(kind: str, tmp_path: Path) -> None:
    torch.save(WRAPPED[kind], tmp_path / "file.pt")
    found = lefs.load(tmp_path / "file.pt")
    assert same_pictures(found, lefs.load(FIXTURES / "rosinality_stylegan2/full.pt"))


def test_the_decoder_is_taken_and_the_encoder_left(tmp_path: Path) -> None:
    state = {"encoder.input_layer.0.weight": torch.ones(2, 3), "encoder.body.0.weight": torch.ones(2)}
    tree = wrapped("state_dict", prefix="decoder.")
    tree["state_dict"] |= state
    torch.save(tree | {"opts": {"output_size": 16}}, tmp_path / "encoder4editing.pt")
    found = lefs.load(tmp_path / "encoder4editing.pt")
    assert found.origin["network"] == "state_dict.decoder"
    assert same_pictures(found, lefs.load(FIXTURES / "rosinality_stylegan2/full.pt"))
    torch.save({"state_dict": state}, tmp_path / "encoder.pt")
    with pytest.raises(ArtifactError, match=r"an encoder .*it makes no images from latents"):
        lefs.load(tmp_path / "encoder.pt")


def test_other_publishers_are_found_as_well(tmp_path: Path) -> None:
    smooth = GENFORCE.get("generator_smooth", GENFORCE)
    torch.save({"state": {"ema": {f"module.{k}": v for k, v in smooth.items()}}}, tmp_path / "file.pth")
    assert same_pictures(lefs.load(tmp_path / "file.pth"), lefs.load(FIXTURES / "genforce/stylegan2.pth"))


def test_averaged_generators_come_first_whatever_their_place() -> None:
    tree = {"g": {"input.input": 1, "x": 1}, "deep": {"G_EMA": {"input.input": 2, "x": 2}}}
    assert find_state(tree, "input.input", "x") == ("deep.G_EMA", {"input.input": 2, "x": 2})
    assert find_state({"a.input.input": 1}, "input.input", "x") is None
    assert find_state({"myinput.input": 1}, "input.input") is None
    assert find_state({"a": {"b": {"c": {"input.input": 1}}}}, "input.input") is None
    assert find_state([1], "input.input") is None


def test_a_tree_of_shared_dictionaries_is_gone_through_in_bounded_time() -> None:
    inner: dict[str, Any] = {f"k{i}": 0 for i in range(900)}
    middle = dict.fromkeys(inner, inner)
    assert find_state(dict.fromkeys(inner, middle), "input.input") is None


def test_means_of_every_layer(tmp_path: Path) -> None:
    """Encoders repeat the mean w for each layer; where these differ, each layer keeps its own."""
    mean, whole = ROSINALITY["latent_avg"], lefs.load(FIXTURES / "rosinality_stylegan2/full.pt")
    repeated = mean.flatten().repeat(whole.num_ws, 1)
    torch.save({"g_ema": ROSINALITY["g_ema"], "latent_avg": repeated}, tmp_path / "repeated.pt")
    assert lefs.load(tmp_path / "repeated.pt").fingerprint == whole.fingerprint
    own = repeated + torch.arange(whole.num_ws)[:, None]
    torch.save({"g_ema": ROSINALITY["g_ema"], "latent_avg": own.numpy()}, tmp_path / "own.pt")
    found = lefs.load(tmp_path / "own.pt")
    z = found.latents([1])
    torch.testing.assert_close(found.map(z, 0.0)[0], own.float())
    lefs.save_generator(found, tmp_path / "saved", name="own")
    assert lefs.load(tmp_path / "saved").fingerprint == found.fingerprint
    torch.save({"g_ema": ROSINALITY["g_ema"], "latent_avg": own[:-1]}, tmp_path / "fewer.pt")
    with pytest.raises(ArtifactError, match="average must be between"):
        lefs.load(tmp_path / "fewer.pt")


@pytest.mark.parametrize("label_dim", [0, 3])
@pytest.mark.parametrize("prefix", ["", "G_ema.", "module."])
def test_state_dicts_with_nvidias_names(label_dim: int, prefix: str, tmp_path: Path) -> None:
    network = random_network(seed=4, label_dim=label_dim)
    kernel = torch.outer(*[torch.tensor([1.0, 3, 3, 1]) / 8] * 2)
    state = {f"{prefix}{k}": v for k, v in network.state_dict().items()}
    state |= {f"{prefix}synthesis.b{r}.resample_filter": kernel for r in (4, 8, 16)}
    torch.save(state, tmp_path / "state.pt")
    found = lefs.load(tmp_path / "state.pt")
    labels = [1, 2] if label_dim else None
    z = network.latents([1, 2])
    assert torch.equal(found.map(z, 0.7, labels), network.map(z, 0.7, labels))
    styles = network.styles(network.map(z, 0.7, labels))
    assert torch.equal(found.synthesize(styles), network.synthesize(styles))


def test_state_dicts_of_other_mapping_rates_and_resnets(tmp_path: Path) -> None:
    config = StyleGAN2Config(8, 4, 4, {4: 6, 8: 6}, mapping_layers=2, mapping_lr=1.0, architecture="resnet")
    torch.save(StyleGAN2(config).state_dict(), tmp_path / "state.pt")
    found = lefs.load(tmp_path / "state.pt").architecture_config
    assert (found["mapping_lr"], found["architecture"]) == (1.0, "resnet")


def test_a_state_dict_of_stylegan3_is_told_apart(tmp_path: Path) -> None:
    torch.save({"g_ema": {"synthesis.input.freqs": torch.ones(2, 2)}}, tmp_path / "state.pt")
    with pytest.raises(
        ArtifactError, match=r"a state dict of StyleGAN3, which does not say .* load the \.pkl"
    ):
        lefs.load(tmp_path / "state.pt")


def test_only_what_is_known_to_make_no_images_is_said_to(tmp_path: Path) -> None:
    torch.save({"something.weight": torch.ones(2)}, tmp_path / "file.pt")
    with pytest.raises(ArtifactError, match=r"such as 'something\.weight'; expected a generator") as caught:
        lefs.load(tmp_path / "file.pt")
    assert "makes no images" not in str(caught.value)


# -- exported without its classes ----------------------------------------------------------------------------


def widened(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """As a conditional network's, whose first layer takes an embedded class besides the latent."""
    return state | {name: torch.cat([state[name], torch.randn_like(state[name])], dim=1)}


def test_conditional_networks_without_their_classes(tmp_path: Path) -> None:
    ours = random_network(seed=1)
    square = StyleGAN2(StyleGAN2Config(8, 4, 4, {4: 6, 8: 6}))
    assert ours.z_dim != ours.w_dim
    files = {
        "rosinality": {"g_ema": widened(ROSINALITY["g_ema"], "style.1.weight")},
        "nvidia": widened(square.state_dict(), "mapping.fc0.weight"),
    }
    for name, tree in files.items():
        torch.save(tree, tmp_path / f"{name}.pt")
        with pytest.raises(
            ArtifactError, match=r"conditional network .* without the embedding of its classes"
        ):
            lefs.load(tmp_path / f"{name}.pt")
    # latents may have another length than w where the layout allows that
    torch.save(ours.state_dict(), tmp_path / "ours.pt")
    assert lefs.load(tmp_path / "ours.pt").z_dim == ours.z_dim


def test_every_layer_of_rosinalitys_mapping_is_square(tmp_path: Path) -> None:
    state = dict(ROSINALITY["g_ema"])
    last = max((k for k in state if k.startswith("style.") and k.endswith("weight")), key=str)
    state[last] = state[last][:-1]
    torch.save({"g_ema": state}, tmp_path / "file.pt")
    with pytest.raises(ArtifactError, match=r"takes \d+ numbers where it should take"):
        lefs.load(tmp_path / "file.pt")


# -- dill ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set", "dict", "NoneType", "int", "object", "NotImplementedType"])
def test_types_as_dill_named_them_before_python_3_10(name: str) -> None:
    told = read_tree(b"cdill._dill\n_load_type\n(S'%s'\ntR." % name.encode())
    assert told == Global("builtins", name)
    assert not is_inert(told)


def test_sets_by_dills_name_are_sets() -> None:
    assert read_tree(b"\x80\x02cdill._dill\n_load_type\nU\x03set\x85R]K\x01a\x85R.") == {1}
    found = read_tree(b"\x80\x02c__builtin__\nNoneType\n)R.")
    assert (found.module, found.name) == ("builtins", "NoneType")
    assert isinstance(found, Instance)
    assert not is_inert(found)


@pytest.mark.parametrize("name", ["FunctionType", "MethodType", "CodeType", "ModuleType", "type"])
def test_types_that_run_code_stay_inert(name: str) -> None:
    assert is_inert(read_tree(b"cdill._dill\n_load_type\n(S'%s'\ntR." % name.encode()))


@pytest.mark.parametrize(
    "name", ["eval", "exec", "compile", "open", "__import__", "type", "getattr.__call__"]
)
def test_names_that_run_code_are_still_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match="could run code"):
        read_tree(b"\x80\x02c__builtin__\n%s\n." % name.encode())


# -- what to do ----------------------------------------------------------------------------------------------


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """The folder that unpacking a .pt gives."""
    with zipfile.ZipFile(FIXTURES / "rosinality_stylegan2/full.pt") as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def test_unpacked_checkpoints_are_told_what_to_do_and_load_when_that_is_done(unpacked: Path) -> None:
    inner = next(unpacked.glob("*/data.pkl"))
    for folder in (unpacked, inner.parent):
        with pytest.raises(ArtifactError, match=r"unpacked PyTorch file: zip the whole folder, and load the"):
            lefs.load(folder)
    with pytest.raises(
        ArtifactError, match=r"data\.pkl of an unpacked PyTorch checkpoint.*zip the whole folder"
    ):
        lefs.load(inner)
    whole = lefs.load(FIXTURES / "rosinality_stylegan2/full.pt")
    for root in (unpacked.parent, unpacked, inner.parent):
        made = unpacked.parent / f"{root.name}.zip"
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(unpacked.rglob("*")):
                if file.is_file() and file.is_relative_to(root):
                    archive.write(file, file.relative_to(root))
        assert lefs.load(made).fingerprint == whole.fingerprint


@pytest.mark.parametrize("address", ["https://example.org/ffhq.pkl", "hf://some/model", "gs://bucket/x"])
def test_nothing_is_downloaded(address: str) -> None:
    for name in (address, Path(address)):
        with pytest.raises(
            ArtifactError, match="is an address; lefs never downloads: fetch the file, and give"
        ):
            lefs.load(name)


def test_latents_are_not_generators(tmp_path: Path) -> None:
    np.savez(tmp_path / "projected_w.npz", w=np.zeros((1, 6, 4)))
    np.save(tmp_path / "w.npy", np.zeros((6, 4)))
    torch.save(torch.zeros(1, 6, 4), tmp_path / "pivot.pt")
    for name in ("projected_w.npz", "w.npy", "pivot.pt"):
        with pytest.raises(
            ArtifactError, match=r"hand (it|the file) to lefs\.source_styles\(generator, file\)"
        ):
            lefs.load(tmp_path / name)


def test_an_embedded_name_is_the_embedded_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert lefs.load(Path("portraits-64")).size == (64, 64)
    lefs.save_generator(random_network(seed=3), tmp_path / "portraits-64", name="mine")
    with pytest.warns(
        UserWarning, match=r"portraits-64 is the embedded model; the one in this folder is \./"
    ):
        assert lefs.load("portraits-64").size == (64, 64)
    for path in (
        "./portraits-64",
        Path("portraits-64"),
        tmp_path / "portraits-64",
        "portraits-64/generator.json",
    ):
        assert lefs.load(path).name == "mine"


# -- not files -----------------------------------------------------------------------------------------------


def pipe(folder: Path, name: str) -> Path:
    os.mkfifo(folder / name)
    return folder / name


def link(folder: Path, name: str) -> Path:
    (folder / name).symlink_to("/dev/zero")
    return folder / name


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", [pipe, link])
@pytest.mark.parametrize("name", ["g.pkl", "generator.json", "generator.safetensors"])
def test_pipes_and_devices_are_not_read(make: Callable[..., Path], name: str, tmp_path: Path) -> None:
    path = make(tmp_path, name)
    with pytest.raises(ArtifactError, match=r"is not a regular file|: it is not a regular|does not exist"):
        lefs.load(path)


@pytest.mark.parametrize("name", ["n" * 250, "n" * 300, "~nobody-of-this-name/x.pkl", "a\0b", "x/" * 3000])
def test_names_that_cannot_be_looked_up_are_one_line(name: str) -> None:
    generator = random_network(seed=3)
    looks: list[Callable[[str], Any]] = [
        locate, lefs.load, lefs.Catalog.load, partial(lefs.source_styles, generator),
        lambda picture: lefs.invert(generator, picture, steps=1),
    ]  # fmt: skip
    for look in looks:
        with pytest.raises(ArtifactError) as caught:
            look(name)
        assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable()


def test_errors_are_bounded_and_show_no_control_characters() -> None:
    told = str(ArtifactError("x" * 10**6))
    assert len(told) < 3000
    assert str(ArtifactError("\x1b[31mred\x1b[0m\u202e")).isprintable()
    assert printable("Ä 漢字 ψ = 0.7, a\nb") == "Ä 漢字 ψ = 0.7, a\nb"


def test_names_of_generators_show_no_control_characters(tmp_path: Path) -> None:
    lefs.save_generator(random_network(seed=3), tmp_path, name="\x1b[31mred" + "x" * 10**5)
    done = subprocess.run(
        [sys.executable, "-m", "lefs", "info", str(tmp_path)], capture_output=True, check=True
    )
    assert b"\x1b" not in done.stdout
    assert len(done.stdout) < 5000


# -- memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_lack_of_memory_is_not_damage(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise error

    network = torch.nn.Linear(2**10, 2**18, bias=False, device="meta")
    weights = {"weight": torch.zeros(()).expand(2**18, 2**10)}
    monkeypatch.setattr("lefs.files.formats.aligned", full)
    with pytest.raises(ArtifactError, match=r"file: not enough memory, it needs about 1\.0 GiB"):
        fill(network, weights, tmp_path / "file")
    made_up_catalog(torch.ones(1, random_network(seed=3).num_styles), random_network(seed=3)).save(tmp_path)
    path = FIXTURES / "rosinality_stylegan2/full.pt"
    monkeypatch.setattr("safetensors.safe_open", full)
    with pytest.raises(ArtifactError, match=r"catalog\.safetensors: not enough memory, it needs about 0\.1"):
        lefs.Catalog.load(tmp_path)
    monkeypatch.setattr("lefs.files.reading.read_checkpoint", full)
    with pytest.raises(ArtifactError, match=r"full\.pt: not enough memory, it needs about 0\.1 GiB"):
        lefs.load(path)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.pt"
    content = (FIXTURES / "rosinality_stylegan2/full.pt").read_bytes()
    path.write_bytes(content)
    real = formats.build

    def build(*args: Any) -> Any:
        path.write_bytes(content)
        os.utime(path, ns=(0, 0))
        return real(*args)

    monkeypatch.setattr(formats, "build", build)
    with pytest.raises(ArtifactError, match=r"file\.pt was changed while it was read; load it again"):
        lefs.load(path)


def test_loaded_weights_do_not_follow_their_file(tmp_path: Path) -> None:
    lefs.save_generator(random_network(seed=3), tmp_path, name="mine")
    found = lefs.load(tmp_path)
    before = {k: v.clone() for k, v in found.state_dict().items()}
    file = tmp_path / "generator.safetensors"
    with file.open("r+b") as f:
        f.write(bytes(file.stat().st_size))
    assert all(torch.equal(v, before[k]) for k, v in found.state_dict().items())


def test_records_do_not_follow_their_file(tmp_path: Path) -> None:
    generator = random_network(seed=3)
    made_up_catalog(torch.full((3, generator.num_styles), 1 / 3), generator).save(tmp_path)
    found, file = lefs.Catalog.load(tmp_path), tmp_path / "catalog.safetensors"
    before = found.contributions.clone()
    with file.open("r+b") as f:
        f.write(bytes(file.stat().st_size))
    assert torch.equal(found.contributions, before)
    os.truncate(file, 8)
    assert torch.equal(found.contributions, before)


# -- JSON ----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"width": 1500}, "width must be between 1 and 256"),
        ({"width": 256}, r"head\.weight must have shape \(2, 256, 1, 1\)"),
        ({"names": [f"part {i}" for i in range(60_000)]}, "must have shape"),
        ({"names": [" ", "b"]}, "a part's name must be printable text"),
        ({"names": ["\x1b[2J", "b"]}, "a part's name must be printable text"),
        ({"names": [1, 2]}, "a part's name must be printable text"),
        ({"names": "ab"}, "names must be a list of names, got the text 'ab'"),
    ],
)
def test_segmenters_are_bounded_before_they_are_built(
    change: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    lefs.PartSegmenter(["a", "b"], width=2).save(tmp_path)
    tamper(tmp_path / "segmenter.safetensors", **change)
    with pytest.raises(ArtifactError, match=expected):
        lefs.load_segmenter(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mapping_lr": 1e308}, "mapping_lr must be"),
        ({"w_dim": 10**9}, "w_dim must be"),
        ({"filter": list(range(10**5))}, "filter must be a list"),
    ],
)
def test_configurations_are_bounded(change: dict[str, Any], expected: str, tmp_path: Path) -> None:
    lefs.save_generator(random_network(seed=3), tmp_path, name="mine")
    file = tmp_path / "generator.safetensors"
    tamper(file, config=stored(file)["config"] | change)
    with pytest.raises(ArtifactError, match=expected) as caught:
        lefs.load(tmp_path)
    assert len(str(caught.value)) < 3000


def test_pickles_inside_messages_are_bounded() -> None:
    with pytest.raises(ArtifactError) as caught:
        read_tree(io.BytesIO(pickle.dumps({"a" * 9000: 1}) + b"more").getvalue())
    assert len(str(caught.value)) < 3000


CATALOGS: dict[str, tuple[Callable[[dict[str, Any], dict[str, Tensor]], object], str]] = {
    "centres of NaN": (
        lambda j, t: t["centers"].fill_(torch.nan),
        "centers must have .* finite real numbers",
    ),
    "infinite contributions": (lambda j, t: t["contributions"].fill_(torch.inf), "contributions must have"),
    "a cluster 0.5": (
        lambda j, t: j["parts"].update({"cluster 0": [0.5]}),
        "parts must be an integer, got 0.5",
    ),
    "a blank name": (lambda j, t: j["parts"].update({" ": j["parts"].pop("cluster 0")}), "not blank"),
    "a terminal's": (lambda j, t: j["parts"].update({"\x1b[2J": j["parts"].pop("cluster 0")}), "printable"),
    "a far ψ": (lambda j, t: j["sampling"].update(truncation=1e30), "truncation must be"),
    "layers over each other": (
        lambda j, t: j["layers"][1].update(slice=j["layers"][0]["slice"]),
        "layers must have styles of their own",
    ),
    "a layer of nothing": (lambda j, t: j["layers"][0].update(slice=[0, 0]), "channels must be between 1"),
    "a vast layer": (lambda j, t: j["layers"][0].update(resolution=10**9), "channels must be between 1 and"),
    "a vast margin": (lambda j, t: j["layers"][0].update(margin=10**9), "margin must be between"),
    "a layer of a kind": (lambda j, t: j["layers"][0].update(kind="x"), "kind must be one of"),
    "a layer of a terminal": (lambda j, t: j["layers"][0].update(name="\x1b[2J"), "name must be printable"),
    "a centre of nothing": (lambda j, t: t["centers"].zero_(), "centers must be directions"),
    "negative contributions": (lambda j, t: t["contributions"].neg_(), "numbers from 0 on"),
    "complex contributions": (
        lambda j, t: t.update(contributions=t["contributions"].to(torch.complex64)),
        "of complex64",
    ),
    "contributions of 8 bits": (
        lambda j, t: t.update(contributions=t["contributions"].to(torch.float8_e4m3fn)),
        "of float8_e4m3fn",
    ),
    "sizes of NaN": (lambda j, t: t.update(sizes=torch.full((3,), torch.nan)), "sizes must have .* whole"),
    "seeds below": (lambda j, t: j["sampling"].update(seeds=[-1]), r"seeds\[0\] must be"),
    "a class of NaN": (lambda j, t: j["sampling"].update(label=[1e30]), r"label\[0\] must be"),
    "a fingerprint of its own": (
        lambda j, t: j["generator"].update(fingerprint="x" * 10**6),
        "fingerprint must be 64 hexadecimal digits",
    ),
}


@pytest.mark.parametrize("kind", CATALOGS)
def test_tampered_catalogs_are_refused(kind: str, tmp_path: Path) -> None:
    change, expected = CATALOGS[kind]
    generator = random_network(seed=3)
    shares = torch.full((3, generator.num_styles), 1 / 3)
    made_up_catalog(shares, generator).save(tmp_path)
    content, tensors, path = lefs.records.load_record(tmp_path, expect="lefs-catalog")
    content, tensors = dict(content), {k: v.clone() for k, v in tensors.items()}
    change(content, tensors)
    lefs.records.save_record(path, "lefs-catalog", content, tensors)
    with pytest.raises(ArtifactError, match=expected) as caught:
        lefs.Catalog.load(tmp_path)
    assert len(str(caught.value)) < 3000
