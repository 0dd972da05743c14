"""What Python's unpickler is left to do, and the trees that known files have."""

from __future__ import annotations

import gc
import hashlib
import json
import pickle
import pickletools
import resource
import struct
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch

from lefs.files.reading import Global, Instance, read_tree
from lefs.files.reading.pickles import Pickle
from lefs.records import ArtifactError

FIXTURES = Path(__file__).parent / "fixtures"
TREES: dict[str, str] = json.loads((FIXTURES / "trees.json").read_text())


def outline(value: Any, seen: dict[int, int]) -> Any:
    """Everything that `value` holds as JSON: numbers by their digest, shared objects by their place."""
    match value:
        case None | str() | int() | float() | complex():
            return [type(value).__name__, repr(value)]
        case bytes() | memoryview():
            return ["B", hashlib.sha256(bytes(value)).hexdigest()]
        case Global():
            return ["G", value.module, value.name]
        case torch.Tensor():
            content = value.contiguous().reshape(-1).view(torch.uint8).numpy() if value.numel() else b""
            digest = hashlib.sha256(content).hexdigest()
            return ["T", str(value.dtype), list(value.shape), digest]
    if id(value) in seen:
        return ["again", seen[id(value)]]
    if value != ():
        seen[id(value)] = len(seen)
    match value:
        case dict():
            return ["D", [[outline(k, seen), outline(v, seen)] for k, v in value.items()]]
        case set() | frozenset():
            return [type(value).__name__, sorted(json.dumps(outline(v, seen)) for v in value)]
        case Instance():
            parts = (value.args, value.kwargs, value.state, value.items, value.entries)
            return ["I", value.module, value.name, *(outline(p, seen) for p in parts)]
    return [type(value).__name__, [outline(v, seen) for v in value]]


@pytest.mark.parametrize("name", TREES)
def test_known_files_have_their_trees(name: str) -> None:
    """As an earlier reader found them, which was an interpreter of its own."""
    path = FIXTURES / name
    tree = read_tree(path)
    assert hashlib.sha256(json.dumps(outline(tree, {})).encode()).hexdigest() == TREES[name]


def test_every_file_is_known() -> None:
    kinds = {".pkl", ".pt", ".pth", ".model"}
    assert set(TREES) == {str(p.relative_to(FIXTURES)) for p in FIXTURES.rglob("*") if p.suffix in kinds}


# -- what is left to Python ----------------------------------------------------------------------------------

# Nothing that imports, calls, registers, hashes, or takes memory for what the file does not hold.
PYTHONS = {
    "PROTO", "STOP", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2",
    "BINFLOAT", "LONG1", "EMPTY_TUPLE", "GLOBAL", "STACK_GLOBAL", "PERSID", "BINPERSID", "BINGET",
    "LONG_BINGET", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES",
    "BINBYTES8", "SHORT_BINBYTES", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "BYTEARRAY8",
}  # fmt: skip


def test_every_instruction_is_known() -> None:
    """A new Python may bring new ones: they are refused until somebody has looked at them."""
    known = {ord(o.code): o.name for o in pickletools.opcodes}
    theirs = set(pickle._Unpickler.dispatch.values())  # type: ignore[attr-defined]
    assert {known[code] for code, act in Pickle.dispatch.items() if act in theirs} == PYTHONS
    assert set(Pickle.dispatch) == set(known)


def test_its_own_table_stays_as_it_was() -> None:
    assert pickle._loads(b"cbuiltins\nlen\n(S'abc'\ntR.") == 3  # type: ignore[attr-defined]
    with pytest.raises(ArtifactError, match=r"asks for builtins\.len"):
        read_tree(b"cbuiltins\nlen\n(S'abc'\ntR.")


# -- what an instruction may not do --------------------------------------------------------------------------

NAME = b"\x8c\x01a\x8c\x01B\x93"
RECORD = NAME + b")R"
# (), ((), ()), ... each its predecessor twice: the last one takes 2^40 steps to hash
DOUBLED = b")\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(40))
HARMFUL: dict[str, bytes] = {
    "key that takes for ever": b"(" + DOUBLED + b"}h\x28K\x01sl",
    "key that takes for ever, of many": b"(" + DOUBLED + b"}(h\x28K\x01ul",
    "key that takes for ever, of old": b"(" + DOUBLED + b"(h\x28K\x01dl",
    "set that takes for ever": b"(" + DOUBLED + b"\x8c\x08builtins\x8c\x03set\x93](h\x28e\x85Rl",
    "frozen set that takes for ever": b"(" + DOUBLED + b"(h\x28\x91l",
    "key of a hundred thousand levels": b"})" + b"\x85" * 100_000 + b"K\x01s",
    "long key": b"}X" + (20_000).to_bytes(4, "little") + b"a" * 20_000 + b"K\x01s",
    "key of a list": b"}]K\x01s",
    "memo entry in digits": b"K\x01p4294967296\n",
    "attributes of a name": NAME + b"}\x8c\x05_make\x8c\x01xsb",
    "state of a name": NAME + b"](\x8c\x02os\x8c\x06systemeb",
    "attributes of a tensor": pickle.dumps(torch.ones(1), 4)[2:-1] + b"}\x8c\x04data)sb",
    "call of a number": b"K\x01)R",
    "call of a record": RECORD + b")R",
    "call without a tuple": NAME + b"]R",
    "several values": b"K\x01K\x02",
    "no value": b"",
    "mark left open": b"(K\x01",
    "mark closed twice": b"K\x01t",
    "more taken than there is": b"\x86",
    "odd number of items": b"}(K\x01u",
    "items of a list": b"](K\x01K\x02u",
    "nothing appended to a text": b"\x8c\x01a(e",
    "what was never remembered": b"h\x05",
    "text that is none": b"\x8c\x02\xff\xff",
    "no such instruction": b"\xff",
    "escape that nobody writes": b"S'\\q'\n",
    "escape that breaks off": b"S'\\x4'\n",
    "a million lists": b"(" + b"]" * 1_000_000 + b"t",
}


@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HARMFUL)
def test_harm_is_refused_at_once(name: str) -> None:
    with pytest.raises(ArtifactError):
        read_tree(b"\x80\x04" + HARMFUL[name] + b".")


@pytest.mark.parametrize("end", [b".", b"l."])
def test_nothing_of_it_stays(end: bytes) -> None:
    """Whether it was read or refused, the file is let go of at once, without Python looking for cycles."""
    content = torch.frombuffer(bytearray(b"\x80\x04" + NAME + b"\x94" + end), dtype=torch.uint8)
    gone = ref(content)
    gc.collect()
    gc.disable()
    try:
        try:
            read_tree(content.numpy().data)
        except ArtifactError:
            assert end == b"l."
        del content
        assert gone() is None
    finally:
        gc.enable()


def test_a_hundred_megabytes_of_instructions_take_no_memory() -> None:
    written = memoryview(bytearray(b"\x80\x04(" + b"}" * 100_000_000 + b"t."))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtifactError, match=r"more than 250,000 objects"):
        read_tree(written)
    # (content that is given instead of a path is copied once)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000  # KiB


def test_many_arrays_are_finished_in_little_time() -> None:
    """Each is put in its place in the memo without going through all of the memo."""
    begun = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR\x94"
    whole = begun + b"(K\x01K\x01\x85cnumpy\ndtype\n\x8c\x02u1\x85R\x89C\x01atb"
    found = read_tree(b"\x80\x04(" + b"N\x940" * 100_000 + whole * 5_000 + b"l.")
    assert len(found) == 5_000
    assert int(found[-1][0]) == 97


def test_large_contents_are_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    path.write_bytes(b"\x80\x04B" + struct.pack("<I", 2**20) + bytes(2**20) + b".")
    before = path.read_bytes()
    found = read_tree(path)
    assert isinstance(found, memoryview)
    found[:] = b"\1" * len(found)  # which is in this process alone
    assert path.read_bytes() == before
