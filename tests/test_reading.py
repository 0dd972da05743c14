"""Reading pickles and PyTorch checkpoints: what comes out equals what went in, and nothing is kept open."""

from __future__ import annotations

import argparse
import collections
import copyreg
import gc
import io
import os
import pickle
import re
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lefs.files.reading import Global, Instance, aligned, read_tree, walk
from lefs.files.reading.sniffing import sniff
from lefs.records import ArtifactError

each_protocol = pytest.mark.parametrize("protocol", range(6))
each_format = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def agree(made: Any, found: Any) -> bool:
    """Whether `found` is what reading `made` should give, types included."""
    if isinstance(made, np.ndarray):
        same_shape = isinstance(found, torch.Tensor) and tuple(found.shape) == made.shape
        return same_shape and np.array_equal(found.numpy(), made, equal_nan=made.dtype.kind in "fc")
    if isinstance(made, np.generic):
        return agree(made.item(), found)
    if isinstance(made, torch.Tensor):
        same_kind = type(found) is torch.Tensor and found.dtype is made.dtype
        return same_kind and found.stride() == made.stride() and torch.equal(made.detach(), found)
    if isinstance(made, dict):
        return (
            type(found) is dict and list(made) == list(found) and agree([*made.values()], [*found.values()])
        )
    if isinstance(made, list | tuple):
        return type(made) is type(found) and len(made) == len(found) and all(map(agree, made, found))
    if isinstance(made, bytearray):
        return isinstance(found, bytes) and found == bytes(made)
    return type(made) is type(found) and (made == found or (made != made and found != found))


def saved(value: Any, *, zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


# -- everything that is made of plain values and arrays ------------------------------------------------------

text = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
integers = st.integers() | st.integers(-(2**40), 2**40) | st.integers(-(10**300), 10**300)
scalars = st.none() | st.booleans() | integers | st.floats() | text | st.binary(max_size=8)
keys = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | text
    | st.binary(max_size=4)
    | st.tuples(text, st.integers(0, 9))
)
dtypes = st.sampled_from(
    ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1", "c8", ">f4", ">i2", ">f8", "<i4"]
)
arrays = st.builds(
    lambda array, fortran: np.asfortranarray(array) if fortran else array,
    dtypes.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))),
    st.booleans(),
)
numbers = st.builds(
    lambda v, d: np.dtype(d).type(v), st.integers(0, 100), st.sampled_from(["f4", "f8", "i4", "u1"])
)
values = st.recursive(
    scalars | arrays | numbers,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=250, deadline=None)
@given(values, st.integers(0, 5))
def test_values_of_every_protocol_come_back(value: Any, protocol: int) -> None:
    assert agree(value, read_tree(pickle.dumps(value, protocol)))


@settings(max_examples=60, deadline=None)
@given(values, st.booleans())
def test_values_come_back_from_checkpoints(value: Any, zipped: bool) -> None:
    assert agree(value, read_tree(saved(value, zipped=zipped)))


@each_protocol
def test_large_contents_come_back(protocol: int) -> None:
    rng = np.random.default_rng(protocol)
    value = {
        "array": rng.normal(size=(200, 150)),
        "big-endian": rng.normal(size=(150, 200)).astype(">f4"),
        "fortran": np.asfortranarray(rng.normal(size=(120, 200)).astype("f4")),
        "transposed": rng.normal(size=(20, 30, 40)).transpose(2, 0, 1),
        "every other": rng.normal(size=(300, 300))[::2, ::3],
    }
    assert agree(value, read_tree(pickle.dumps(value, protocol)))
    long = rng.bytes(100_000)
    assert bytes(read_tree(pickle.dumps([long], protocol))[0]) == long


@each_protocol
def test_containers_with_names_of_their_own(protocol: int) -> None:
    value = [
        collections.OrderedDict(b=1, a=2),
        collections.defaultdict(list, x=[1]),
        collections.Counter("aab"),
        {1, 2},
        frozenset("ab"),
        1j,
    ]
    plain = [{"b": 1, "a": 2}, {"x": [1]}, {"a": 2, "b": 1}, {1, 2}, frozenset("ab"), 1j]
    found = read_tree(pickle.dumps(value, protocol))
    assert found == plain
    assert [type(v) for v in found] == [type(v) for v in plain]


@each_protocol
def test_what_is_shared_stays_shared(protocol: int) -> None:
    array, inner = np.arange(4.0), [1]
    found = read_tree(pickle.dumps([array, inner, inner, {"again": array}], protocol))
    assert found[1] is found[2]
    assert found[0] is found[3]["again"]


def test_a_value_that_contains_itself() -> None:
    value: list[Any] = [1]
    value.append(value)
    found = read_tree(pickle.dumps(value))
    assert found[1] is found
    assert len(list(walk(found))) == 2


# -- Python 2 ------------------------------------------------------------------------------------------------


def test_text_of_python_2() -> None:
    """Written by hand as Python 2.7 writes protocols 0, 1 and 2."""
    assert read_tree(b"(dp0\nS'a\\x41\\n\\'\\\\'\np1\nL5L\nsS\"b'\"\np2\nI01\nsV\\u00e9\np3\nF0.5\ns.") == {
        "aA\n'\\": 5,
        "b'": True,
        "é": 0.5,
    }
    assert read_tree(b"}q\x00U\x01aq\x01T\x02\x00\x00\x00\xffbq\x02s.") == {"a": "\xffb"}


@pytest.mark.parametrize("long", [False, True])
def test_arrays_of_python_2(long: bool) -> None:
    array = np.arange(20_000 if long else 6, dtype="<f4")
    raw = array.tobytes()
    binary = b"T" + struct.pack("<i", len(raw)) + raw
    quoted = b"S'" + "".join(f"\\x{b:02x}" for b in raw).encode() + b"'\n"
    for content in (binary, quoted):
        written = (
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I%d\ntcnumpy\ndtype\n"
            b"(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n%stb." % (len(array), content)
        )
        assert agree(array, read_tree(written))


class Old:
    """As classes of Python 2 come: a name and attributes."""


def test_objects_of_python_2() -> None:
    for written in (b"(i__main__\nOld\n(dS'x'\nI1\nsb.", b"(c__main__\nOld\no}S'x'\nI1\nsb."):
        found = read_tree(written)
        assert (found.module, found.name, found.state) == ("__main__", "Old", {"x": 1})
    # (what was on the stack before its mark is there again, whatever instruction comes next)
    kept, found, again = read_tree(b"]q\0(i__main__\nOld\nh\0\x87.")
    assert kept == []
    assert again is kept
    assert found.name == "Old"


# -- objects -------------------------------------------------------------------------------------------------


class Slots:
    __slots__ = ("x", "y")


class Keywords:
    def __new__(cls, *args: Any, **kwargs: Any) -> Keywords:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> Any:
        return (1,), {"k": 2}


class EasyDict(dict):  # type: ignore[type-arg]
    pass


class Listing(list):  # type: ignore[type-arg]
    pass


@each_protocol
def test_objects_come_out_as_records(protocol: int) -> None:
    found = read_tree(pickle.dumps(argparse.Namespace(size=8), protocol))
    assert (found.module, found.name, found.state) == ("argparse", "Namespace", {"size": 8})
    assert read_tree(pickle.dumps(EasyDict(a=1), protocol)) == {"a": 1}
    listing = read_tree(pickle.dumps(Listing([1, 2]), protocol))
    assert (listing.name, listing.items) == ("Listing", [1, 2])
    names = read_tree(pickle.dumps([argparse.Namespace, torch.float32], protocol))
    assert Global("argparse", "Namespace") in names


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_slots_and_keywords(protocol: int) -> None:
    slots = Slots()
    slots.x = 1
    assert read_tree(pickle.dumps(slots, protocol)).state == {"x": 1}
    if protocol >= 4:
        found = read_tree(pickle.dumps(Keywords(), protocol))
        assert (found.args, found.kwargs) == ((1,), {"k": 2})


def test_records_are_inert() -> None:
    found = read_tree(pickle.dumps(argparse.Namespace(size=8)))
    with pytest.raises(AttributeError):
        found.state = {}
    with pytest.raises(AttributeError):
        Global("a", "b").name = "c"  # type: ignore[misc]
    assert not callable(found)
    assert not hasattr(found, "__dict__")
    assert repr(found) == "<argparse.Namespace, never made>"


class _Persistent:
    def __init__(self, name: str, state: dict[str, Any]):
        self.meta = {"type": "class", "version": 6, "module_src": "boom", "class_name": name, "state": state}

    def __reduce__(self) -> Any:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (EasyDict(self.meta),)


@each_protocol
def test_persistent_modules(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout of stylegan2-ada-pytorch and stylegan3: a function's name and a dictionary."""
    module: Any = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("it was called")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = _reconstruct_persistent_obj.__name__
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    weight = torch.nn.Parameter(torch.randn(3, 2))
    inner = _Persistent(
        "Layer", {"_parameters": {"weight": weight}, "_buffers": {"f": torch.ones(4, 4).half()}}
    )
    outer = {"G_ema": _Persistent("Generator", {"_modules": {"l": inner}, "_init_kwargs": EasyDict(z_dim=4)})}
    found = read_tree(pickle.dumps(outer, protocol))["G_ema"]
    assert (found.name, found.state["_init_kwargs"]) == ("Generator", {"z_dim": 4})
    layer = found.state["_modules"]["l"]
    assert layer.name == "Layer"
    assert agree(weight, layer.state["_parameters"]["weight"])
    assert agree(torch.ones(4, 4).half(), layer.state["_buffers"]["f"])
    assert not any(v == "boom" for v in walk(found) if isinstance(v, str))


@each_protocol
def test_classes_that_copyreg_makes(protocol: int) -> None:
    class Reduced:
        def __init__(self, how: Any):
            self.how = how

        def __reduce__(self) -> Any:
            return self.how

    new: Any = copyreg.__newobj__  # type: ignore[attr-defined]
    again: Any = copyreg._reconstructor  # type: ignore[attr-defined]
    if protocol < 2:
        assert read_tree(pickle.dumps(Reduced((new, (Old, 1, 2))), protocol)).args == (1, 2)
    assert read_tree(pickle.dumps(Reduced((again, (EasyDict, dict, {"a": 1}))), protocol)) == {"a": 1}
    assert read_tree(pickle.dumps(Reduced((again, (Listing, list, [1]))), protocol)).items == [1]


# -- tensors -------------------------------------------------------------------------------------------------

TENSORS = {
    "plain": torch.randn(3, 4),
    "transposed": torch.randn(3, 4).t(),
    "part": torch.randn(10, 10)[2:7, ::2],
    "none": torch.empty(0, 3),
    "single": torch.tensor(2.5),
    "half": torch.randn(5).half(),
    "bfloat16": torch.randn(5).bfloat16(),
    "double": torch.randn(5).double(),
    "integers": torch.arange(5),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "truth": torch.tensor([True, False, True]),
    "complex": torch.randn(3, dtype=torch.complex64),
    "channels last": torch.randn(1, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "parameter": torch.nn.Parameter(torch.randn(4)),
    "requires grad": torch.randn(4, requires_grad=True),
}


@each_format
def test_tensors_of_checkpoints(zipped: bool) -> None:
    found = read_tree(saved(TENSORS, zipped=zipped))
    assert agree(TENSORS, found)
    assert not any(t.requires_grad for t in found.values())


@each_protocol
def test_tensors_of_pickles(protocol: int) -> None:
    """Each storage is a PyTorch file inside the pickle."""
    assert agree(TENSORS, read_tree(pickle.dumps(TENSORS, protocol)))


@each_format
def test_state_dicts_and_whole_modules(zipped: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    assert agree(dict(module.state_dict()), read_tree(saved(module.state_dict(), zipped=zipped)))
    found = read_tree(saved(module, zipped=zipped))
    assert found.name == "Sequential"
    weight = found.state["_modules"]["0"].state["_parameters"]["weight"]
    assert agree(module[0].weight, weight)


@each_format
def test_tensors_over_one_storage_share_memory(zipped: bool) -> None:
    whole = torch.arange(10.0)
    first, second = read_tree(saved([whole, whole[3:]], zipped=zipped))
    second[0] = -1
    assert first[3] == -1


@each_format
def test_tensors_with_attributes(zipped: bool) -> None:
    tensor = torch.randn(3)
    tensor.note = "kept beside it"  # type: ignore[attr-defined]
    assert agree(torch.Tensor(tensor), read_tree(saved(tensor, zipped=zipped)))


def test_tensors_of_the_graphics_card_come_to_the_processor() -> None:
    written = saved(torch.ones(3), zipped=False)
    where = written.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0").replace(
        b"ctorch\n", b"ctorch.cuda\n"
    )
    assert where != written
    assert agree(torch.ones(3), read_tree(where))


def test_storages_and_other_values_of_torch() -> None:
    value = {
        "size": torch.Size([1, 2]),
        "type": torch.float16,
        "storage": torch.arange(3.0).untyped_storage(),
    }
    found = read_tree(saved(value, zipped=True))
    assert found["size"] == (1, 2)
    assert found["type"] == Global("torch", "float16")
    assert found["storage"].view(torch.float32).tolist() == [0, 1, 2]


@pytest.mark.parametrize("zipped", [True, False])
def test_storages_of_big_endian_computers(zipped: bool) -> None:
    tensors = {
        k: torch.tensor([1, 2, -3], dtype=d) for k, d in {"f": torch.float32, "b": torch.bfloat16}.items()
    }
    written = saved(tensors, zipped=zipped)
    if zipped:
        source, target = zipfile.ZipFile(io.BytesIO(written)), io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name in source.namelist():
                content = source.read(name)
                swapped = {"0": 4, "1": 2}.get(name.rpartition("data/")[2])
                content = b"big" if name.endswith("byteorder") else _swapped(content, swapped or 1)
                archive.writestr(name, content)
        written = target.getvalue()
    else:
        written = re.sub(rb"(little_endianq.)\x88", rb"\g<1>" + b"\x89", written)
        for tensor in tensors.values():
            raw = tensor.view(torch.uint8).numpy().tobytes()
            assert raw in written
            written = written.replace(raw, _swapped(raw, tensor.dtype.itemsize))
    assert agree(tensors, read_tree(written))


def _swapped(raw: bytes, size: int) -> bytes:
    return b"".join(raw[i : i + size][::-1] for i in range(0, len(raw), size))


def test_compressed_members_are_unpacked() -> None:
    source, target = zipfile.ZipFile(io.BytesIO(saved(TENSORS, zipped=True))), io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    assert agree(TENSORS, read_tree(target.getvalue()))


# -- memory and handles --------------------------------------------------------------------------------------


def mappings(path: Path) -> int:
    return Path("/proc/self/maps").read_text().count(str(path))


def handles() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
@each_format
def test_tensors_are_views_that_let_go_of_the_file(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(saved({"a": torch.ones(100_000), "b": torch.zeros(100_000)}, zipped=zipped))
    before, content = handles(), path.read_bytes()
    gc.disable()
    try:
        found = read_tree(path)
        kept = found.pop("a")
        del found
        assert mappings(path)
        kept[:] = 7
        assert path.read_bytes() == content
        assert kept.sum() == 700_000
        del kept
        # At once, not when the garbage collector comes by.
        assert not mappings(path)
        assert handles() == before
    finally:
        gc.enable()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
@pytest.mark.parametrize("reader", [read_tree])
def test_errors_let_go_of_the_file(tmp_path: Path, reader: Any) -> None:
    path = tmp_path / "broken"
    zipped = reader is read_tree
    path.write_bytes(saved(TENSORS, zipped=zipped)[:-400] if zipped else pickle.dumps(TENSORS)[:-5])
    before = handles()
    gc.disable()
    try:
        with pytest.raises(ArtifactError, match="broken is damaged or cut short") as caught:
            reader(path)
        assert handles() == before
        assert not mappings(path), "the error must not hold on to the file"
        assert caught.value.__context__ is None
    finally:
        gc.enable()


def test_alignment_in_memory() -> None:
    for shift in range(8):
        value = {"x" * shift: 0, "t": torch.arange(40_000.0)}
        written = pickle.dumps(value)
        loose = read_tree(written)["t"]
        straight = aligned(loose)
        assert straight.data_ptr() % 4 == 0
        assert agree(value["t"], straight)
        assert (straight is loose) == (loose.data_ptr() % 4 == 0)


def test_aligned_keeps_the_geometry() -> None:
    whole = torch.frombuffer(bytearray(4 * 12 + 1), dtype=torch.uint8)[1:]
    loose = torch.frombuffer(memoryview(whole.numpy()), dtype=torch.float32).view(3, 4)[1:].t()
    assert loose.data_ptr() % 4
    straight = aligned(loose)
    assert straight.data_ptr() % 4 == 0
    assert straight.shape == loose.shape
    assert len(straight.untyped_storage()) == loose.nbytes, "no more than the tensor's own items"
    assert torch.equal(straight, loose)


# -- what kind of file ---------------------------------------------------------------------------------------

QUOTA = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def plain_zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("notes.txt", "hello")
    return target.getvalue()


def safetensors() -> bytes:
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    return struct.pack("<Q", len(header)) + header + b"\0" * 4


SAMPLES = {
    "pickle": [pickle.dumps(TENSORS, p) for p in range(6)]
    + [pickle.dumps(v, 0) for v in ([], {}, (1,), 1.5, "a")],
    "torch-zip": [saved(TENSORS, zipped=True), saved(TENSORS, zipped=True)[:2000]],
    "torch-legacy": [saved(TENSORS, zipped=False)],
    "safetensors": [safetensors()],
    "html": [QUOTA, b"\n <html>", b"<!-- x -->\n<!doctype HTML>"],
    "text": [b"Not Found", "Größe: zu groß.\n".encode() * 999, b"(see below)"],
    "lfs-pointer": [LFS],
    "empty": [b""],
    "zip": [plain_zip(), b"PK\3\4" + b"\0" * 40],
    "unknown": [b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08\0", bytes(range(128, 256)), b"\0" * 99],
}


@pytest.mark.parametrize(("kind", "content"), [(k, c) for k, contents in SAMPLES.items() for c in contents])
def test_kinds_of_files(kind: str, content: bytes) -> None:
    assert sniff(memoryview(content)) == kind


MESSAGES = [
    (b"", "is empty"),
    (QUOTA, "Google Drive answered that its download quota is exceeded; try again in a day"),
    (b"<html>", "is an HTML page, not weights: the download failed"),
    (LFS, "is a git-LFS pointer.*git lfs pull"),
    (b"hello", "is a text file, not weights; it begins with 'hello'"),
    (plain_zip(), "is a zip archive, but no PyTorch checkpoint"),
    (safetensors(), "is a safetensors file; lefs loads those that it wrote"),
    (b"\x1f\x8b\x08\0", "is a gzip archive; unpack it first"),
    (b"\0" * 300, "of a kind that lefs does not know; it begins with the bytes 00 00"),
    (b"\0" * 257 + b"ustar", "is a tar archive"),
    (pickle.dumps([1])[:-1], "damaged or cut short: it ends after .* download or copy it again"),
    (b"%PDF-1.7", r"is a PDF document \(expected a pickle or a PyTorch checkpoint\)"),
    (pickle.dumps([1]) + b"more", "4 bytes follow after its end"),
]


@pytest.mark.parametrize(("content", "message"), MESSAGES)
def test_messages_say_what_the_file_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ffhq.pkl"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"ffhq\.pkl {message}|ffhq\.pkl .*{message}"):
        read_tree(path)


def test_messages_about_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="table of contents at its end is missing"):
        read_tree(saved(TENSORS, zipped=True)[:-100])
    with zipfile.ZipFile(script := io.BytesIO(saved([1], zipped=True)), "a") as archive:
        archive.writestr("archive/constants.pkl", "")
    with pytest.raises(ArtifactError, match="TorchScript"):
        read_tree(script.getvalue())
    with pytest.raises(ArtifactError, match="does not exist"):
        read_tree(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="is a folder"):
        read_tree(tmp_path)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked"
    path.write_bytes(b"x")

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # As root every file can be read, so the system's answer is put in its place.
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ArtifactError, match="locked may not be read by you"):
        read_tree(path)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ArtifactError, match="is not a regular file"):
        read_tree(pipe)


def test_records_have_documented_fields() -> None:
    record = Instance("a", "b")
    assert (record.args, record.kwargs, record.state, record.items, record.entries) == ((), {}, None, [], {})
