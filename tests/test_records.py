"""Files are whole or absent, and every damage is told."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from lefs.records import (
    ArtifactError,
    describe,
    embedded_names,
    file_sha256,
    load_tensors,
    locate,
    read_json,
    save_tensors,
    write_atomically,
    write_json,
)


def leftovers(folder: Path) -> list[str]:
    return [f.name for f in folder.iterdir() if f.name.startswith(".")]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_atomically(path, lambda p: p.write_text("old"))

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # a rename within one file system is atomic

    with path.open() as reader:  # opened before, it reads the old file to its end
        assert write_atomically(path, write) == path
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert leftovers(path.parent) == []


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "ours", lambda p: p.write_text(""))
    save_tensors(tmp_path / "tensors", {"a": torch.ones(1)})
    modes = {stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("plain", "ours", "tensors")}
    assert len(modes) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ArtifactError, match=r"cannot write .*file/b/x\.json: .*choose a folder you may write to"
    ):
        write_json(tmp_path / "file" / "b" / "x.json", {})


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="cannot write"):
        write_json(tmp_path / "x.json", {})


def test_json_round_trip(tmp_path: Path) -> None:
    content = {"format": "f", "name": "Zoë σ", "values": [1, 2.5, None]}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json", expect="f") == content


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is not the JSON"),
        (b'{"format": "f"', "is not the JSON"),
        (b"\xff\xfe\x00", "is not the JSON"),
        (b"[" * 100_000, "is not the JSON"),
        (b'{"format": ' + b"1" * 5000 + b"}", "is not the JSON"),
        (b"[]", "holds 'list', expected format 'f'"),
        (b'{"format": "g"}', "holds 'g', expected format 'f'"),
        (b"{}", "holds None, expected format 'f'"),
    ],
)
def test_damaged_json(tmp_path: Path, text: bytes, told: str) -> None:
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(ArtifactError, match=told):
        read_json(tmp_path / "x.json", expect="f")


def test_missing_files_name_themselves(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"x\.json does not exist"):
        read_json(tmp_path / "x.json", expect="f")
    with pytest.raises(ArtifactError, match=r"x\.safetensors does not exist"):
        load_tensors(tmp_path / "x.safetensors")
    for nothing in (tmp_path, "no\0name"):
        with pytest.raises(ArtifactError, match="cannot read"):
            read_json(nothing, expect="f")


def test_tensors_round_trip(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(3, 4).t(),  # not contiguous
        "b": torch.arange(3),
        "c": torch.randn(2, dtype=torch.float64),
        "d": torch.randn(2).bfloat16(),
        "e": torch.tensor(1.5),
    }
    save_tensors(tmp_path / "x.safetensors", tensors)
    found = load_tensors(tmp_path / "x.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    whole = save_tensors(tmp_path / "w.safetensors", {"a": torch.ones(5), "b": torch.ones(2, 3)}).read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match=rf"\({length} bytes\) is not a whole safetensors file"):
            load_tensors(cut)


def test_sizes_that_promise_too_much_take_no_memory(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ArtifactError):
        load_tensors(tmp_path / "x")


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert file_sha256(tmp_path / "a") == digest
    assert describe(tmp_path) == f"{tmp_path / 'a'}  3 bytes  sha256 {digest[:12]}"


def test_locate(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "portraits" in embedded_names()
    assert locate("portraits").samefile(root / "data" / "portraits")
    assert locate(tmp_path) == tmp_path
    with pytest.raises(
        ArtifactError, match=r"'portrait' is not a file or folder .* embedded ones are: .*portraits"
    ):
        locate("portrait")
    for other in (None, 3, b"portraits", ["portraits"]):
        with pytest.raises(TypeError, match=rf"a name or path must be .*, got {type(other).__name__}"):
            locate(other)
    with pytest.raises(ArtifactError, match="not an embedded model"):
        locate("../data/portraits")  # only names are looked up, not paths from where lefs is


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="of systems where files have owners")
def test_a_folder_that_may_not_be_entered_is_told() -> None:
    code = (
        "import os, sys, lefs.records\n"
        "if os.geteuid() == 0:\n    os.seteuid(65534)\n"  # (nobody: all folders are open to root)
        "try:\n    lefs.records.locate(sys.argv[1])\n"
        "except lefs.records.ArtifactError as error:\n    sys.exit(str(error))"
    )
    with tempfile.TemporaryDirectory() as locked:  # (not below a folder of pytest's, which is locked as well)
        Path(locked).chmod(0)
        command = [sys.executable, "-c", code, locked]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stderr.strip().endswith(f"{locked!r} cannot be looked up: Permission denied")
