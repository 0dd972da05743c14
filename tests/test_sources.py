"""Whatever an image is given as becomes the same styles, or a clear error."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import lefs
from lefs.generator import GeneratorId
from lefs.sources import INVERSION, KeptStyles, keep_source, source_styles


def test_one_image_in_every_form_has_the_same_styles(lively: Any, tmp_path: Path) -> None:
    z = lively.latents([5])
    w = lively.map(z)
    expected = lively.sample([5])
    stacked = w.numpy()
    np.save(tmp_path / "encoded.npy", stacked.astype(">f8"))
    np.savez(tmp_path / "projected_w.npz", w=stacked)
    np.savez_compressed(tmp_path / "packed.npz", w=np.asfortranarray(stacked[0]))
    torch.save(w[0], tmp_path / "pivot.pt")
    # (as rosinality's projector writes it)
    torch.save({"me.jpg": {"latent": w[0], "noise": [torch.zeros(2)]}}, tmp_path / "rosinality.pt")
    torch.save(torch.nn.Parameter(w), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    owner = GeneratorId.of(lively)
    lefs.records.save_record(
        tmp_path / "me.safetensors", INVERSION, {"generator": owner.to_json()}, {"styles": lively.styles(w)}
    )
    sources: list[Any] = [
        5, np.int64(5), torch.tensor(5), w, w[0], w[:, 0], w[0, 0], w.double(), stacked, stacked[0, 0],
        np.ascontiguousarray(stacked[..., ::-1])[..., ::-1], expected, expected[0], expected[0].numpy(),
        w[:, :1], stacked.astype(np.longdouble),
        KeptStyles.of(expected), SimpleNamespace(styles=expected, generator=owner, name="me"),
        *sorted(tmp_path.iterdir()), str(tmp_path / "me.json"),
    ]  # fmt: skip
    for source in sources:
        found = source_styles(lively, source)
        assert found.shape == expected.shape
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected)
    half = source_styles(lively, w.half())
    assert (half - expected).abs().max() < 0.1
    assert half.dtype == torch.float32


def test_truncation_and_class_are_a_seed_s(lively: Any) -> None:
    from helpers import random_network

    assert source_styles(lively, 3, truncation=0.5).equal(lively.sample([3], truncation=0.5))
    w = lively.map(lively.latents([3]))
    assert source_styles(lively, w, truncation=0.5).equal(source_styles(lively, w))
    several = random_network(seed=2, label_dim=3)
    assert source_styles(several, 3, label=2).equal(several.sample([3], labels=[2]))


def test_what_a_recipe_keeps_comes_back_to_the_bit_from_json(lively: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "me.npy", lively.map(lively.latents([5])).numpy())
    kept = keep_source(lively, tmp_path / "me.npy")
    assert isinstance(kept, KeptStyles)
    again = KeptStyles(**json.loads(json.dumps(vars(kept))))
    assert again == kept
    assert hash(again) == hash(kept)
    assert str(again) == "me"
    assert source_styles(lively, again).equal(source_styles(lively, tmp_path / "me.npy"))
    assert keep_source(lively, 2017) == 2017
    assert keep_source(lively, again) is again


@pytest.mark.parametrize(
    "change", [{"sha256": "0" * 64}, {"text": "AAAA"}, {"text": "%"}, {"text": 3}, {"text": ""}]
)
def test_styles_that_were_tampered_with_are_refused(lively: Any, change: dict[str, Any]) -> None:
    kept = vars(KeptStyles.of(lively.sample([1]), "me")) | change
    with pytest.raises(lefs.ArtifactError, match="styles of 'me' are not those that were saved"):
        source_styles(lively, KeptStyles(**kept))


def test_tensors_that_do_not_fit_are_told(lively: Any) -> None:
    w = lively.map(lively.latents([1, 2]))
    with pytest.raises(
        ValueError, match=r"W\+ of shape \(6, 14\).*got \(18, 512\); it is of another network"
    ):
        source_styles(lively, torch.zeros(18, 512))
    with pytest.raises(ValueError, match="give a single row"):
        source_styles(lively, w)
    with pytest.raises(ValueError, match="NaN"):
        source_styles(lively, w[0] * np.nan)
    with pytest.raises(ValueError, match="NaN or infinite"):  # (no styles are kept with so many digits)
        source_styles(lively, np.full(14, 1e300))
    with pytest.raises(TypeError, match="floating-point numbers, got object"):
        source_styles(lively, np.array([None]))
    with pytest.raises(TypeError, match="floating-point numbers, got torch"):
        source_styles(lively, torch.zeros(14, dtype=torch.int64))
    with pytest.raises(TypeError, match="source must be an integer"):
        source_styles(lively, 1.5)  # type: ignore[arg-type]
    other = SimpleNamespace(styles=lively.sample([1]), generator=GeneratorId("0" * 64, "other"), name="me")
    with pytest.raises(lefs.ArtifactError, match="belongs to generator 'other'"):
        source_styles(lively, other)


def claims(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", content)
    return stream.getvalue()


def spoilt(content: bytes) -> bytes:
    return content[:35] + bytes(5) + content[40:]


FILES = {
    "claims terabytes": (claims((2**20, 2**20)), "not a whole file of numpy"),
    "claims objects": (claims((1,), "|O") + b"\x80\x04N.", "not a whole file of numpy"),
    "claims more than a number": (claims((2**70,)), "not a whole file of numpy"),
    "broken header": (claims((14,)).replace(b"(14,)", b"(((((") + bytes(56), "not a whole file of numpy"),
    "is cut": (claims((6, 14)) + bytes(80), "not a whole file of numpy"),
    "unknown version": (b"\x93NUMPY\x09\x00rest", "not a whole file of numpy"),
    "in a zip": (zipped(claims((2**20, 2**20))), "not a whole file of numpy"),
    "bomb": (zipped(bytes(2**26 + 1)), "more than the latents of one image"),
    "torn zip": (zipped(claims((14,)) + bytes(56))[:-30], "PyTorch|zip"),
    "spoilt zip": (spoilt(zipped(claims((14,)) + bytes(56))), "not a whole file of numpy"),
    "of another network": (claims((18, 512)) + bytes(4 * 18 * 512), "it is of another network"),
    "diverged": (claims((14,)) + np.full(14, np.nan, "<f4").tobytes(), "NaN"),
    "picture": (b"\x89PNG\r\n\x1a\n", r"is a picture; lefs\.invert"),
    "text": (b"hello", "text file"),
    "nothing": (b"", "empty"),
}


@pytest.mark.parametrize("name", FILES)
def test_hostile_and_wrong_files_are_told(lively: Any, tmp_path: Path, name: str) -> None:
    content, message = FILES[name]
    (tmp_path / "source.pt").write_bytes(content)
    with pytest.raises(lefs.ArtifactError, match=message):
        source_styles(lively, tmp_path / "source.pt")


def test_checkpoints_without_a_single_tensor_are_told(lively: Any, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(14), "b": torch.zeros(14)}, tmp_path / "two.pt")
    endless: list[Any] = []
    endless.append(endless)
    torch.save(endless, tmp_path / "endless.pt")
    for name in ("two.pt", "endless.pt"):
        with pytest.raises(lefs.ArtifactError, match="does not hold one tensor"):
            source_styles(lively, tmp_path / name)
    with pytest.raises(lefs.ArtifactError, match="is not a file"):
        source_styles(lively, tmp_path / "absent.npz")


def test_latents_stand_where_there_are_no_styles() -> None:
    progan = lefs.models.ProGAN(lefs.models.ProGANConfig(8, z_dim=6, channels={4: 6, 8: 4})).freeze()
    assert source_styles(progan, progan.latents([3])).equal(source_styles(progan, 3))
    with pytest.raises(ValueError, match=r"latent of shape \(6,\)"):
        source_styles(progan, torch.zeros(7))
