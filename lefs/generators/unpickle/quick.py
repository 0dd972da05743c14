"""A quick way through the pickles of today's snapshots: Python's own unpickler, given only what it may do.

A snapshot takes tens of thousands of instructions, and nearly all of them only move values about. One regular
expression finds these, and the standard library's unpickler follows them, several times as fast as
`lefs.generators.unpickle.machine`. Whatever means something (names, calls, keys, attributes, large contents)
comes back from there to the functions that the machine has, so that the same values come out, and nothing is
imported, called or used as a key before they have looked at it. A pickle with any other instruction is left
to the machine, and so is every one with an error, as the machine is what says which.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from lefs.generators.unpickle.calls import Maker, maker_of
from lefs.generators.unpickle.handlers import array_of, extend, set_attributes, set_items
from lefs.generators.unpickle.literals import LONG
from lefs.generators.unpickle.machine import Machine
from lefs.generators.unpickle.policy import name_global
from lefs.generators.unpickle.values import ORDERED, Global, Instance, Unfinished, damaged
from lefs.records import ArtifactError

__all__ = ["run_quickly"]


def _text(lengths: range) -> bytes:
    return rb"\x8c(?:" + b"|".join(re.escape(bytes([n])) + b".{%d}" % n for n in lengths) + b")"


# Instructions that may go to Python's unpickler as they are: constants, short texts, tuples, lists, new
# dictionaries and sets, marks, memo entries in their order, and calls, as all that can be called is what
# `_Quick.find_class` gives. What they can do is bounded by the number of their bytes.
_HARMLESS = re.compile(
    rb"(?:[\x94\x85\x86\x87R)(}\]\x88\x89tNl\x8f\x93]+|[hK].|[jJ].{4}|M..|G.{8}|"
    + _text(range(32))
    + rb")*+",
    re.DOTALL,
)
_START = re.compile(rb"\x80[\x04\x05]", re.DOTALL)
_NAME = re.compile(rb"c[^\n]{1,500}\n[^\n]{1,500}\n")
_number = struct.Struct("<bi").pack
# The most bytes of such instructions, and the most others between them; snapshots have a fifth of that.
_MOST_BYTES, _MOST_OTHERS = 2**19, 20_000
# What the unpickler raises, and what is raised on its way.
_UNSUITED = (
    ArtifactError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)

# How these are spelled as questions to `_Quick.persistent_load`: keys and contents as (target, (key, content,
# ...)), attributes as (target, state, 0), more items as (target, items, 1). Making an object is a call.
_SPELLED = {
    ord("u"): b"t\x86Q",
    ord("s"): b"\x86\x86Q",
    ord("b"): b"K\0\x87Q",
    ord("e"): b"tK\1\x87Q",
    ord("a"): b"\x85K\1\x87Q",
    0x81: b"R",
}


def run_quickly(machine: Machine) -> tuple[Any, int] | None:
    """What ``machine.run()`` returns, or None if this pickle has to be followed by it.

    Parameters
    ----------
    machine : as made for this pickle; what it has to spend is used up if the answer is None
    """
    try:
        sifted = _sift(machine.data)
        if sifted is None:
            return None
        thin, contents, end = sifted
        return _Quick(thin, contents, machine).value(), end
    except _UNSUITED:
        return None


def _sift(data: memoryview) -> tuple[bytes, list[memoryview], int] | None:
    """The pickle without large contents, in the instructions that `_Quick` takes; the contents; its end."""
    if not _START.match(data):
        return None
    # A value nothing in the file can equal, and a mark: in the end, both must be there and nothing between.
    parts: list[Any] = [b"\x80\x04", _number(ord("J"), -1), b"Q("]
    contents: list[memoryview] = []
    add, harmless, position = parts.append, _HARMLESS.match, 2
    for _ in range(_MOST_OTHERS):
        found = harmless(data, position)
        assert found is not None  # it matches nothing as well
        other = found.end()
        add(data[position:other])
        code = data[other]
        if spelled := _SPELLED.get(code):
            add(spelled)
            position = other + 1
        elif code == 0x95:  # a frame
            position = other + 9
        elif code in b"B\x8e\x96":
            first = other + (5 if code == ord("B") else 9)
            position = first + int.from_bytes(data[other + 1 : first], "little")
            add(_number(ord("J"), len(contents)) + b"Q")
            contents.append(data[first:position])
        elif code in b"C\x8cX":
            first = other + (5 if code == ord("X") else 2)
            position = first + int.from_bytes(data[other + 1 : first], "little")
            add(data[other:position])
        elif code == ord("c") and (name := _NAME.match(data, other)):
            position = name.end()
            add(data[other:position])
        elif code == ord("."):
            add(b"t\x86.")
            whole = sum(map(len, parts)) <= _MOST_BYTES
            return (b"".join(parts), contents, other + 1) if whole else None
        else:
            return None
        if position >= len(data):
            return None
    return None


@dataclass(slots=True)
class _Pickle:
    """What the names of one pickle share: the machine that could follow it, and the arrays it has begun.

    (The unpickler itself would keep them, and the file, if they knew it.)
    """

    machine: Machine
    begun: list[ref[Unfinished]] = field(default_factory=list)

    def named(self, name: Global) -> _Name:
        """What stands for `name`, and may be called."""
        found = (_Ordered if name is ORDERED else _Name)(name.module, name.name)
        # (frozen for everybody else)
        object.__setattr__(found, "_make", maker_of(name))
        object.__setattr__(found, "_pickle", self)
        return found


class _Name(Global):
    """A name that the unpickler can call, which makes what the machine would."""

    __slots__ = ("_make", "_pickle")
    _make: Maker | None
    _pickle: _Pickle

    def __call__(self, *args: Any) -> Any:
        own = self._pickle
        own.machine.session.object(len(args))  # which Python has copied
        if self._make is None:
            return Instance(self.module, self.name, args)
        value = self._make(own.machine, args)
        if value is NotImplemented:
            raise damaged("the machine says why")
        if value.__class__ is Unfinished:
            own.begun.append(ref(value))
        return own.named(value) if value.__class__ is Global else value


class _Ordered(_Name):
    """Most of what a snapshot calls: a module's dozen of empty hooks."""

    __slots__ = ()

    def __call__(self, *args: Any) -> Any:
        return super().__call__(*args) if args else {}


class _Quick(pickle.Unpickler):
    """Follows what `_sift` leaves of a pickle."""

    def __init__(self, thin: bytes, contents: list[memoryview], machine: Machine):
        super().__init__(io.BytesIO(thin))
        self._contents, self._machine, self._pickle = contents, machine, _Pickle(machine)
        self._outermost, self._finished = object(), 0

    def value(self) -> Any:
        """The value of the pickle."""
        whole = self.load()
        self.memo.clear()
        if len(self._pickle.begun) != self._finished or any(begun() for begun in self._pickle.begun):
            # The machine puts the array in its place wherever it was remembered.
            raise damaged("an array is referred to from several places, or never gets its content")
        match whole:
            case (first, (value,)) if first is self._outermost:
                return value
        raise damaged("several values are left at its end")

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for the name; nothing is imported."""
        return self._pickle.named(name_global(module, name))

    def persistent_load(self, what: Any) -> Any:
        """What `_sift` has spelled as a question: see `_SPELLED`."""
        if what.__class__ is tuple:
            target = what[0]
            if len(what) == 2:
                set_items(target, what[1], self._machine)
            elif what[2]:
                extend(target, what[1], self._machine)
            elif target.__class__ is Unfinished:
                self._finished += 1
                return array_of(what[1], self._machine)
            else:
                set_attributes(target, what[1], self._machine)
            return target
        if what < 0:
            return self._outermost
        content = self._contents[what]
        return content if len(content) > LONG else bytes(content)
