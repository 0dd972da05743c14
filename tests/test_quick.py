"""The quick way through pickles: the values that the machine makes, and nothing that it would refuse."""

from __future__ import annotations

import gc
import pickle
import pickletools
import resource
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from helpers import mutated

from lefs.generators.unpickle import Global, Instance, Stored, quick, read_pickle
from lefs.generators.unpickle.checkpoints import read_checkpoint
from lefs.generators.unpickle.machine import Machine
from lefs.generators.unpickle.quick import run_quickly
from lefs.generators.unpickle.values import Session
from lefs.records import ArtifactError

FIXTURES = Path(__file__).parent / "fixtures"
SNAPSHOTS = sorted([*FIXTURES.glob("nvlabs_stylegan2/*.pkl"), *FIXTURES.glob("stylegan3/*.pkl")])


def machine_of(written: bytes, *, lazy: bool = False) -> Machine:
    session = Session.of(len(written), align=True, lazy=lazy)
    return Machine(memoryview(bytearray(written)), session, payload=read_checkpoint)


def stepwise(written: bytes) -> tuple[Any, int] | ArtifactError:
    try:
        return machine_of(written).run()
    except ArtifactError as error:
        return error


def same(one: Any, other: Any, seen: dict[int, int]) -> bool:
    """Whether two trees hold the same values, and the same objects wherever one of them has one object."""
    if isinstance(one, Global) or isinstance(other, Global):
        return isinstance(one, Global) and isinstance(other, Global) and one == other
    if type(one) is not type(other):
        return False
    inside: tuple[list[Any], list[Any]]
    match one:
        case torch.Tensor():
            return one.dtype == other.dtype and torch.allclose(one, other, 0, 0, equal_nan=True)
        case memoryview() | set() | frozenset():
            return one == other
        case Stored():
            return same(one.tensor(), other.tensor(), seen)
        case dict():
            inside = [*one, *one.values()], [*other, *other.values()]
        case list() | tuple():
            inside = list(one), list(other)
        case Instance():
            parts = ("module", "name", "args", "kwargs", "state", "items", "entries")
            inside = [getattr(one, p) for p in parts], [getattr(other, p) for p in parts]
        case _:
            return repr(one) == repr(other)
    if id(one) in seen:
        return seen[id(one)] == id(other)
    if one != ():
        seen[id(one)] = id(other)
    return len(inside[0]) == len(inside[1]) and all(same(a, b, seen) for a, b in zip(*inside, strict=True))


def agrees(written: bytes) -> bool:
    """Whether the quick way takes `written`; fails if it then says anything but what the machine says."""
    found = run_quickly(machine_of(written))
    if found is None:
        return False
    expected = stepwise(written)
    assert isinstance(expected, tuple), f"the machine refuses it: {expected}"
    assert found[1] == expected[1]
    assert same(found[0], expected[0], {})
    return True


# -- what snapshots are made of ------------------------------------------------------------------------------


@pytest.mark.parametrize("file", SNAPSHOTS, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_snapshots(file: Path) -> None:
    """Those that the publishers' code has written, all of them."""
    assert agrees(file.read_bytes())


class Settings(dict[str, Any]):
    """As the repositories' own EasyDict, which their snapshots hold."""


VALUES: dict[str, Any] = {
    "plain": [None, True, False, 0, -1, 255, 65_536, 1.5, "x", "é" * 40, "y" * 300, b"z", b"z" * 300, ()],
    "nested": {"a": [1, (2, [3, {"b": (4, 5, 6, 7)}])], 5: {}, None: []},
    "empty": [[], {}, (), OrderedDict(), "", b""],
    "ordered": OrderedDict(a=1, b=OrderedDict(c=2)),
    "settings": Settings(a=1, b=[2]),
    "numbers of numpy": [np.float32(1.5), np.float64(-2), np.int64(7)],
    "arrays": [np.arange(6.0).reshape(2, 3), np.ones((2, 2), order="F"), np.array(["a"]), np.zeros(0)],
    "large bytes": [b"a" * 70_000, b"b" * 66_000, b"c" * 60_000],
    "names": [OrderedDict, Path, dict],
}
SHARED_ARRAY = np.ones(3)
SHARED: list[Any] = [[1], {}]
SHARED += [SHARED[0], {"own": SHARED, "first": SHARED[0]}]


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("name", [*VALUES, "shared"])
def test_values(name: str, protocol: int) -> None:
    assert agrees(pickle.dumps(SHARED if name == "shared" else VALUES[name], protocol))


@pytest.mark.parametrize(
    "written",
    [
        pickle.dumps([1], 2),
        pickle.dumps([SHARED_ARRAY, SHARED_ARRAY], 4),
        pickle.dumps({1, 2}, 4),
        pickle.dumps(2**70, 4),
        pickle.dumps(torch.ones(2), 4) + b"more",
        b"not a pickle",
        b"",
    ],
)
def test_others_are_the_machines(written: bytes) -> None:
    taken = agrees(written)
    assert taken == written.endswith(b"more")
    if taken:
        with pytest.raises(ArtifactError, match="bytes follow after its end"):
            read_pickle(written)


def test_both_ways_leave_tensors_until_they_are_asked_for() -> None:
    written = pickle.dumps({"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}, 4)
    found = run_quickly(machine_of(written, lazy=True))
    assert found is not None
    assert all(isinstance(v, Stored) for v in found[0].values())
    assert same(found[0], machine_of(written, lazy=True).run()[0], {})


# -- what they are not made of -------------------------------------------------------------------------------

NAME, RECORD = b"\x8c\x01a\x8c\x01B\x93", b"\x8c\x01a\x8c\x01B\x93)R"
ORDERED = b"\x8c\x0bcollections\x8c\x0bOrderedDict\x93"
# (), ((), ()), ... each its predecessor twice: the last one takes 2^40 steps to hash
DOUBLED = b")\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(40))
HARMFUL: dict[str, bytes] = {
    "key that takes for ever": b"(" + DOUBLED + b"}h\x28K\x01sl",
    "key that takes for ever, of many": b"(" + DOUBLED + b"}(h\x28K\x01ul",
    "set that takes for ever": b"(" + DOUBLED + b"\x8c\x08builtins\x8c\x03set\x93](h\x28e\x85Rl",
    "key of a hundred thousand levels": b"})" + b"\x85" * 100_000 + b"K\x01s",
    "long key": b"}X" + (20_000).to_bytes(4, "little") + b"a" * 20_000 + b"K\x01s",
    "key of a list": b"}]K\x01s",
    "arguments copied over and over": b"(("
    + b"N" * 100_000
    + b"t\x94"
    + NAME
    + b"\x94"
    + b"h\x01h\x00R" * 50_000
    + b"l",
    "sixteen gigabytes of memo": b"K\x01r\xff\xff\xff\x7f",
    "memo entry in digits": b"K\x01p2147483647\n",
    "class by number": b"\x82\x01",
    "instance as Python 1 wrote it": b"(ios\nsystem\n",
    "object as Python 1 wrote it": b"(" + NAME + b"o",
    "os.system": b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R",
    "builtins.eval": b"\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R",
    "name in lines": b"cos\nsystem\n",
    "name that does not end": b"ca\nB",
    "attributes of a name": NAME + b"}\x8c\x05_make\x8c\x01xsb",
    "state of a name": NAME + b"](\x8c\x02os\x8c\x06systemeb",
    "attributes of a tensor": pickle.dumps(torch.ones(1), 4)[2:-1] + b"}\x8c\x04data)sb",
    "call of a number": b"K\x01)R",
    "call of a record": RECORD + b")R",
    "call of a tensor": pickle.dumps(torch.ones(1), 4)[2:-1] + b")R",
    "call without a tuple": NAME + b"]R",
    "numpy array without content": b"\x8c\x16numpy._core.multiarray\x8c\x0c_reconstruct\x93"
    b"\x8c\x05numpy\x8c\x07ndarray\x93K\x00\x85C\x01b\x87R",
    "persistent id": b"K\x00Q",
    "persistent id in a line": b"P0\n",
    "the end that only lefs asks for": b"J\xff\xff\xff\xffQ",
    "several values": b"K\x01K\x02",
    "no value": b"",
    "mark left open": b"(K\x01",
    "marks left open": b"K\x01(K\x01(K\x01",
    "mark closed twice": b"K\x01t",
    "more taken than there is": b"\x86",
    "odd number of items": b"}(K\x01u",
    "items of a list": b"](K\x01K\x02u",
    "nothing appended to a text": b"\x8c\x01a(e",
    "mark that only lefs has set": b"e(K\x01",
    "append to a number": b"K\x01K\x02a",
    "what was never remembered": b"h\x05",
    "bytes beyond the end": b"B\xff\xff\xff\x7f",
    "text beyond the end": b"X\xff\xff\xff\x7f",
    "text that is none": b"\x8c\x02\xff\xff",
    "a million lists": b"(" + b"]" * 1_000_000 + b"t",
    "a hundred thousand contents": b"(" + b"B\0\0\0\0" * 100_000 + b"t",
    "a hundred thousand texts": b"(" + (b"\x8c\x60" + b"a" * 96) * 100_000 + b"t",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HARMFUL)
def test_harm_is_left_to_the_machine(name: str) -> None:
    """None of it is taken, and finding that out takes no time; what the machine does is tested elsewhere."""
    assert run_quickly(machine_of(b"\x80\x04" + HARMFUL[name] + b".")) is None


@pytest.mark.parametrize("end", [b".", b"l."])
def test_nothing_of_it_stays(end: bytes) -> None:
    """Whether it was taken or given up, the file is let go of at once, without Python looking for cycles."""
    machine = machine_of(b"\x80\x04" + NAME + b"\x94" + end)
    gc.collect()
    gc.disable()
    try:
        assert (run_quickly(machine) is None) == (end == b"l.")
        gone = ref(machine)
        del machine
        assert gone() is None
    finally:
        gc.enable()


def test_a_hundred_megabytes_of_instructions_take_no_memory(
    record_property: Callable[[str, object], None],
) -> None:
    written = b"\x80\x04(" + b"}" * 100_000_000 + b"t."
    machine = machine_of(written)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert run_quickly(machine) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


# What Python's unpickler may be given: nothing that imports, registers, hashes, or names a memo entry.
GIVEN = {
    "PROTO", "MEMOIZE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE", "EMPTY_LIST",
    "EMPTY_DICT", "EMPTY_SET", "LIST", "MARK", "REDUCE", "STACK_GLOBAL", "GLOBAL",
    "NONE", "NEWTRUE", "NEWFALSE", "BINGET", "LONG_BINGET", "BININT", "BININT1", "BININT2", "BINFLOAT",
    "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINPERSID", "STOP",
}  # fmt: skip
PARTS = [
    *(b"(", b")", b"]", b"}", b"N", b"\x88", b"\x89", b"t", b"l", b"a", b"e", b"s", b"u", b"b", b"R"),
    *(b"\x81", b"\x85", b"\x86", b"\x87", b"\x94", b"\x94", b"h\x00", b"h\x01", b"j\x01\0\0\0", b"\x8f"),
    *(b"K\x01", b"M\x01\x02", b"J\xff\xff\xff\xff", b"G?\xf0" + bytes(6), b"\x8c\x01a", b"X\x01\0\0\0y"),
    *(b"C\x02ab", b"B\x02\0\0\0cd", b"\x95" + bytes(8), b"\x93", NAME, RECORD, ORDERED, ORDERED + b")R"),
    *(RECORD + b"}\x8c\x01sK\x01sb", b"}(\x8c\x01kK\x01u", b"](K\x01K\x02e", NAME + b"K\x01\x85R"),
    *(b"\x8e\x02" + bytes(7) + b"ef", b"\x96\x01" + bytes(7) + b"g", b"ca\nB\n"),
]  # fmt: skip


def program(rng: np.random.Generator) -> bytes:
    """A random row of instructions, of which each by itself could be taken."""
    chosen = [PARTS[i] for i in rng.integers(len(PARTS), size=rng.integers(1, 16))]
    return b"\x80\x04" + b"".join(chosen) + (b"." if rng.integers(2) else b"l.")


def inputs(count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    written = [
        pickle.dumps(v, p) for v in (*VALUES.values(), SHARED) for p in (4, 5) if len(repr(v)) < 10_000
    ]
    written += [f.read_bytes() for f in SNAPSHOTS if f.stat().st_size < 10_000]
    for i in range(count):
        yield mutated(written[i % len(written)], rng) if i % 2 else program(rng)


def test_whatever_is_taken_is_what_the_machine_makes(record_property: Callable[[str, object], None]) -> None:
    count, taken = 60_000, 0
    record_property("inputs", count)
    for written in inputs(count):
        taken += agrees(written)
    assert taken > 6_000, "hardly any of the inputs goes the quick way"


def test_what_pythons_unpickler_is_given() -> None:
    seen = set[str]()
    for written in inputs(4_000):
        with suppress(LookupError, struct.error, UnicodeDecodeError):
            sifted = quick._sift(memoryview(bytearray(written)))
            for instruction, _, _ in pickletools.genops(sifted[0]) if sifted else ():
                seen.add(instruction.name)
    assert seen == GIVEN
