"""Pickles, read by Python's own unpickler, whose dangerous instructions are replaced by others.

`Pickle` leaves to Python's unpickler only the instructions of `_HARMLESS`, which move values about, and those
of `_MAKE` and `_LINES` after a check. It has its own for all that import, call, hash or take memory. An
instruction that is in none of these is an error.
"""

from __future__ import annotations

import codecs
import pickle
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from lefs.files.reading.calls import call
from lefs.files.reading.policy import name_global
from lefs.files.reading.tensors import array_of
from lefs.files.reading.values import Global, Instance, Session, Unfinished, check_key, damaged, refused
from lefs.records import ArtifactError

__all__ = ["Pickle"]

_VIEW = 2**16  # bytes; longer contents are handed out as views of the file
_LINE_END = re.compile(rb"\n")
# Python's own, in Python; the one in C would hash and build before one can look.
_Python: Any = pickle._Unpickler
# persistent id → value
External = Callable[[Any], Any]


class _Memo(dict[int, Any]):
    """Values by number. An array that has been begun is not to be had before it is finished."""

    def __getitem__(self, name: int) -> Any:
        return _finished(super().__getitem__(name))


def _finished(value: Any) -> Any:
    if value.__class__ is not Unfinished:
        return value
    if value.content is None:
        raise damaged("it uses an array before its content")
    return value.content


class Pickle(_Python):
    """One pickle, to be followed by `load`: nothing is imported or called.

    Parameters
    ----------
    data : memoryview
        The file, or the payload inside it, that holds the pickle.
    session : Session
        What may still be spent on this file.
    external : callable, optional
        Resolves persistent ids; without it the pickle may have none.
    start : int
        Where the pickle begins; after `load`, `end` is the position behind it.
    """

    def __init__(
        self, data: memoryview, session: Session, external: External | None = None, start: int = 0
    ) -> None:
        # (Python's own would make a file of it, and keep what it read until its garbage collector comes by)
        self.data, self.session, self.external, self.end = data, session, external, start
        self.metastack, self.stack, self.proto, self.memo = list[list[Any]](), list[Any](), 0, _Memo()
        self.append, self.unfinished = self.stack.append, 0

    def read(self, size: int) -> bytes | memoryview:
        """The next `size` bytes, as a view if they are many."""
        start, self.end = self.end, self.end + size
        if self.end > len(self.data):
            raise damaged(f"it ends after {len(self.data):,} bytes, in the midst of a value")
        part = self.data[start : self.end]
        return part if size > _VIEW else part.tobytes()

    def readline(self) -> bytes:
        """The next line, with its end."""
        found = _LINE_END.search(self.data, self.end)
        if found is None:
            raise damaged(f"it ends after {len(self.data):,} bytes, in the midst of a line")
        start, self.end = self.end, found.end()
        return self.data[start : self.end].tobytes()

    def load(self) -> Any:
        """Follow the pickle to its end; return its value."""
        try:
            self._follow()
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            if self.stack or self.metastack:
                raise damaged("more than one value is left at its end") from None
            if self.unfinished:
                raise damaged("an array never gets its content") from None
            return stop.value
        except (IndexError, struct.error):
            raise damaged(f"what stands before byte {self.end:,} takes a value that is not there") from None
        except pickle.UnpicklingError as error:
            raise damaged(f"before byte {self.end:,}, {error}") from None

    def _follow(self) -> None:
        data, dispatch, session, size = self.data, self.dispatch, self.session, len(self.data)
        while session.steps > 0:
            session.steps -= 1
            if self.end >= size:
                raise damaged(f"it ends after {size:,} bytes, before it says so")
            code = data[self.end]
            self.end += 1
            follow = dispatch.get(code)
            if follow is None:
                raise damaged(f"there is no instruction {code:#04x}, as at byte {self.end - 1:,}")
            follow(self)
        raise refused("it takes more than a million steps to read, which no network needs")

    def find_class(self, module: str, name: str) -> Global:
        """The name as it is: nothing is looked up."""
        return name_global(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """What a persistent id stands for."""
        if self.external is None:
            raise ArtifactError(
                "refers to data outside itself (a persistent id), as the data.pkl of an unpacked PyTorch "
                "checkpoint does: zip the whole folder that it lies in, and load the .zip"
            )
        return self.external(pid)

    def _decode_string(self, value: bytes | memoryview) -> str | memoryview:
        # Python 2 has one type for text and bytes; long ones are the contents of arrays.
        if isinstance(value, bytes) and len(value) <= _VIEW:
            return str(value, "latin-1")
        return memoryview(bytearray(value)) if isinstance(value, bytes) else value

    # -- instructions of its own, by their names in the module pickle ----------------------------------------

    def _do_frame(self) -> None:
        """Every instruction's length is checked anyway."""
        self.read(8)

    def _do_dup(self) -> None:
        self.append(_finished(self.stack[-1]))

    def _do_long4(self) -> None:
        size = int.from_bytes(self.read(4), "little")
        if size > 400:
            raise refused(f"it holds an integer of {size:,} bytes")
        self.append(int.from_bytes(self.read(size), "little", signed=True))

    def _do_unicode(self) -> None:
        # (by name, the codec would be looked up in a module that is imported on demand)
        self.append(codecs.raw_unicode_escape_decode(self.readline()[:-1])[0])

    def _do_ext1(self) -> None:
        raise refused("it names a class by its number in a private registry")

    _do_ext2 = _do_ext4 = _do_ext1

    def _do_next_buffer(self) -> None:
        raise refused("it keeps data outside the file")

    _do_readonly_buffer = _do_next_buffer

    def _do_frozenset(self) -> None:
        values = self.pop_mark()
        self.session.spend("objects")
        self.append(frozenset(check_key(v, self.session) for v in values))

    def _do_dict(self) -> None:
        items = self.pop_mark()
        self.session.spend("objects")
        self.append({})
        self._put(items)

    def _do_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put((key, value))

    def _do_setitems(self) -> None:
        self._put(self.pop_mark())

    def _put(self, items: Sequence[Any]) -> None:
        """Put `items`, keys and contents in turn, into the dictionary or record on top of the stack."""
        target = self.stack[-1]
        target = target.entries if target.__class__ is Instance else target
        if target.__class__ is not dict or len(items) % 2:
            raise damaged(f"it puts {len(items)} values as keys and contents into {type(target).__name__}")
        keys = items[::2]
        for key in keys:
            # Nearly all are short text, which needs no closer look.
            if key.__class__ is not str or len(key) > 100:
                check_key(key, self.session)
        target.update(zip(keys, items[1::2], strict=True))

    def _do_append(self) -> None:
        self._extend([self.stack.pop()])

    def _do_appends(self) -> None:
        self._extend(self.pop_mark())

    _do_additems = _do_appends

    def _extend(self, values: list[Any]) -> None:
        """Append `values` to the list or record on top of the stack, or add them to the set."""
        target = self.stack[-1]
        if target.__class__ is Instance:
            target.items.extend(values)
        elif target.__class__ is list:
            target.extend(values)
        elif target.__class__ is set:
            target.update(check_key(v, self.session) for v in values)
        else:
            raise damaged(f"it appends to {type(target).__name__}")

    def _do_reduce(self) -> None:
        args, what = self.stack.pop(), self.stack.pop()
        self._call(what, args)

    _do_newobj = _do_reduce

    def _do_newobj_ex(self) -> None:
        kwargs, args, what = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._call(what, args, kwargs)

    def _do_inst(self) -> None:
        module, name = (str(self.readline()[:-1], "ascii") for _ in range(2))
        self._call(name_global(module, name), tuple(self.pop_mark()))

    def _do_obj(self) -> None:
        what, *args = self.pop_mark() or [None]
        self._call(what, tuple(args))

    def _call(self, what: Any, args: Any, kwargs: Any = None) -> None:
        """Push what a call of the name `what` stands for."""
        kwargs = {} if kwargs is None else kwargs
        if what.__class__ is not Global:
            raise refused(f"it calls a value of type {type(what).__name__}, which is not a class")
        if args.__class__ is not tuple or kwargs.__class__ is not dict:
            raise damaged(f"{what} is called with {type(args).__name__}, expected a tuple")
        self.session.spend("objects")
        value = call(self.session, what, args, kwargs)
        self.unfinished += value.__class__ is Unfinished
        self.append(value)

    def _do_build(self) -> None:
        """Give the record below `state` its attributes, or the array its content."""
        state, target = self.stack.pop(), self.stack[-1]
        if target.__class__ is Unfinished:
            # (what the memo has of it stands for its content from now on)
            target.content = self.stack[-1] = array_of(state, self.session)
            self.unfinished -= 1
        elif target.__class__ is Instance:
            match state:
                case (None | dict() as attributes, dict(slots)):  # (of an object with slots)
                    self.session.spend("objects", len(slots) + len(attributes or ()))
                    state = (attributes or {}) | slots
            # Frozen for everybody else; nothing that exists outside this file can be reached from here.
            object.__setattr__(target, "state", state)
        elif target.__class__ is not dict:
            # A dictionary's own attributes (as PyTorch's `_metadata`) are of no use here.
            what = target if isinstance(target, Global) else type(target).__name__
            raise refused(f"it sets attributes of {what}")


# -- instructions that are left to Python --------------------------------------------------------------------

Instruction = Callable[[Pickle], None]
# These move constants, texts, the memo, and names through `find_class`; bounded by their length.
_HARMLESS = """
    PROTO STOP POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 BINFLOAT LONG1 EMPTY_TUPLE GLOBAL
    STACK_GLOBAL PERSID BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE BINSTRING SHORT_BINSTRING
    BINBYTES BINBYTES8 SHORT_BINBYTES BINUNICODE BINUNICODE8 SHORT_BINUNICODE
"""
# These make containers, which are counted.
_MAKE = "MARK EMPTY_LIST EMPTY_DICT EMPTY_SET TUPLE TUPLE1 TUPLE2 TUPLE3 LIST"
# These read a line, and what it may be: digits take time, unknown escapes make Python warn.
_ESCAPE = rb"\\(?:[\\'\"abfnrtv]|x[0-9a-fA-F]{2}|[0-3][0-7]{0,2})"
_LINES = {
    "INT LONG FLOAT": (rb"[^\n]{0,1000}\n", "a number of more than a thousand digits"),
    "GET PUT": (rb"\d{1,9}\n", "the name of a value that no pickle reaches"),
    "STRING": (rb"(?:[^\\\n]|%b)*+\n" % _ESCAPE, "a text with an escape that Python 2 never writes"),
}


def _code(name: str) -> int:
    found: int = getattr(pickle, name)[0]
    return found


def _counted(plain: Instruction) -> Instruction:
    def follow(machine: Pickle) -> None:
        machine.session.spend("objects")
        plain(machine)

    return follow


def _checked(plain: Instruction, line: re.Pattern[bytes], told: str) -> Instruction:
    def follow(machine: Pickle) -> None:
        if not line.match(machine.data, machine.end):
            raise refused(f"it holds {told}")
        plain(machine)

    return follow


def _instructions() -> dict[int, Instruction]:
    theirs: dict[int, Instruction] = _Python.dispatch
    table = {code: theirs[code] for code in map(_code, _HARMLESS.split())}
    # (a bytearray would be made before its length is known to be there)
    table[_code("BYTEARRAY8")] = theirs[_code("BINBYTES8")]
    table |= {code: _counted(theirs[code]) for code in map(_code, _MAKE.split())}
    for names, (line, told) in _LINES.items():
        pattern = re.compile(line)
        table |= {code: _checked(theirs[code], pattern, told) for code in map(_code, names.split())}
    own = {name[4:].upper(): act for name, act in vars(Pickle).items() if name.startswith("_do_")}
    return table | {_code(name): act for name, act in own.items()}


Pickle.dispatch = _instructions()
