"""Pickles, read by Python's own unpickler, whose dangerous instructions are replaced by others.

`Pickle` gives Python's unpickler only the instructions of `_HARMLESS`, which move values about, and has its
own for all that import, call, hash or take memory. An instruction that is in neither is an error.
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
from lefs.files.reading.source import VIEW, Source
from lefs.files.reading.tensors import array
from lefs.files.reading.values import (
    LONGEST_KEY,
    Global,
    Instance,
    Session,
    Unfinished,
    check_key,
    damaged,
    refused,
)
from lefs.records import ArtifactError

__all__ = ["Pickle"]

_NUMBER = re.compile(rb"[^\n]{0,1000}\n")
_ESCAPES = re.compile(rb"(?:[^\\]|\\[\\'\"abfnrtv]|\\x[0-9a-fA-F]{2}|\\[0-3][0-7]{0,2})*+", re.DOTALL)
# Python's own, in Python; the one in C would hash and build before one can look.
_Python: Any = pickle._Unpickler
# persistent id → value
External = Callable[[Any], Any]


class _Memo(dict[int, Any]):
    """Values by number. An array that has been begun is not to be had before it is finished."""

    def __setitem__(self, name: int, value: Any) -> None:
        if name >= 2**32:
            raise damaged("a value is remembered by a number that no pickle reaches")
        if value.__class__ is Unfinished:
            value.names.append(name)
        super().__setitem__(name, value)

    def __getitem__(self, name: int) -> Any:
        value = self.get(name, _ABSENT)
        if value.__class__ is Unfinished:
            raise damaged(f"it uses value {name:,}, which it never made or has not finished")
        return value


_ABSENT = Unfinished()


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
        self.source = Source(data, start)
        super().__init__(self.source)
        self.session, self.external, self.unfinished = session, external, 0

    @property
    def end(self) -> int:
        """The position behind what has been followed so far."""
        return self.source.at

    def load(self) -> Any:
        """Follow the pickle to its end; return its value."""
        self.read, self.readline = self.source.read, self.source.readline
        self.metastack, self.stack, self.proto, self.memo = list[list[Any]](), list[Any](), 0, _Memo()
        self.append = self.stack.append
        try:
            return self._follow()
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            return self._result(stop.value)
        except (IndexError, struct.error):
            raise damaged(f"what stands before byte {self.end:,} takes a value that is not there") from None
        except pickle.UnpicklingError as error:
            raise damaged(f"before byte {self.end:,}, {error}") from None

    def _follow(self) -> None:
        source, dispatch, session = self.source, self.dispatch, self.session
        data, size = source.data, len(source.data)
        while session.steps > 0:
            session.steps -= 1
            if source.at >= size:
                raise damaged(f"it ends after {size:,} bytes, before it says so")
            code = data[source.at]
            source.at += 1
            follow = dispatch.get(code)
            if follow is None:
                raise damaged(f"there is no instruction {code:#04x}, as at byte {source.at - 1:,}")
            follow(self)
        raise refused("it takes more than a million steps to read, which no network needs")

    def _result(self, value: Any) -> Any:
        if self.stack or self.metastack:
            raise damaged("more than one value is left at its end")
        if self.unfinished:
            raise damaged("an array never gets its content")
        return value

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
        return value if isinstance(value, memoryview) else str(value, "latin-1")

    def push_call(self, what: Any, args: Any, kwargs: Any) -> None:
        """Push what a call of the name `what` stands for."""
        if what.__class__ is not Global:
            raise refused(f"it calls a value of type {type(what).__name__}, which is not a class")
        if args.__class__ is not tuple or kwargs.__class__ is not dict:
            raise damaged(f"{what} is called with {type(args).__name__}, expected a tuple")
        self.session.object()
        value = call(self.session, what, args, kwargs)
        self.unfinished += value.__class__ is Unfinished
        self.append(value)


# -- instructions --------------------------------------------------------------------------------------------

Instruction = Callable[[Pickle], None]
_PYTHONS: dict[int, Instruction] = _Python.dispatch
# Python's own may follow these: constants, texts, memo, names through `find_class`; bounded by their length.
_HARMLESS = """
    PROTO STOP POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 BINFLOAT LONG1 EMPTY_TUPLE GLOBAL
    STACK_GLOBAL PERSID BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE BINSTRING SHORT_BINSTRING
    BINBYTES BINBYTES8 SHORT_BINBYTES BINUNICODE BINUNICODE8 SHORT_BINUNICODE
"""
# These make containers, which are counted, and these read a number in digits, which is to be short.
_MAKE = "MARK EMPTY_LIST EMPTY_DICT EMPTY_SET TUPLE TUPLE1 TUPLE2 TUPLE3 LIST"
_DIGITS = "INT LONG FLOAT GET PUT"


def _code(name: str) -> int:
    found: int = getattr(pickle, name)[0]
    return found


def _on(names: str) -> Callable[[Instruction], Instruction]:
    def register(function: Instruction) -> Instruction:
        Pickle.dispatch.update(dict.fromkeys(map(_code, names.split()), function))
        return function

    return register


def _counted(plain: Instruction) -> Instruction:
    def follow(machine: Pickle) -> None:
        machine.session.object()
        plain(machine)

    return follow


def _short(plain: Instruction) -> Instruction:
    def follow(machine: Pickle) -> None:
        if not _NUMBER.match(machine.source.data, machine.end):
            raise refused("it holds a number of more than a thousand digits")
        plain(machine)

    return follow


Pickle.dispatch = {code: _PYTHONS[code] for code in map(_code, _HARMLESS.split())}
Pickle.dispatch |= {code: _counted(_PYTHONS[code]) for code in map(_code, _MAKE.split())}
Pickle.dispatch |= {code: _short(_PYTHONS[code]) for code in map(_code, _DIGITS.split())}
# (a bytearray would be made before its length is known to be there)
Pickle.dispatch[_code("BYTEARRAY8")] = _PYTHONS[_code("BINBYTES8")]


@_on("FRAME")
def _frame(machine: Pickle) -> None:
    """Every instruction's length is checked anyway."""
    machine.read(8)


@_on("DUP")
def _duplicate(machine: Pickle) -> None:
    value = machine.stack[-1]
    if value.__class__ is Unfinished:
        raise damaged("it uses an array before its content")
    machine.append(value)


@_on("LONG4")
def _long_integer(machine: Pickle) -> None:
    size = int.from_bytes(machine.read(4), "little")
    if size > 400:
        raise refused(f"it holds an integer of {size:,} bytes")
    machine.append(int.from_bytes(machine.read(size), "little", signed=True))


@_on("STRING")
def _quoted(machine: Pickle) -> None:
    line = machine.readline().strip()
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
        raise damaged("a quoted text lacks its quotes")
    # (other escapes would make Python warn)
    if not _ESCAPES.fullmatch(line, 1, len(line) - 1):
        raise damaged("a quoted text has an escape sequence that Python 2 never writes")
    content = codecs.escape_decode(line[1:-1])[0]
    long = len(content) > VIEW
    machine.append(memoryview(bytearray(content)) if long else content.decode("latin-1"))


@_on("UNICODE")
def _escaped(machine: Pickle) -> None:
    # (by name, the codec would be looked up in a module that is imported on demand)
    machine.append(codecs.raw_unicode_escape_decode(machine.readline()[:-1])[0])


@_on("EXT1 EXT2 EXT4")
def _extension(machine: Pickle) -> None:
    raise refused("it names a class by its number in a private registry")


@_on("NEXT_BUFFER READONLY_BUFFER")
def _buffer(machine: Pickle) -> None:
    raise refused("it keeps data outside the file")


# -- containers ----------------------------------------------------------------------------------------------


@_on("FROZENSET")
def _frozenset(machine: Pickle) -> None:
    values = machine.pop_mark()
    machine.session.object()
    machine.append(frozenset(check_key(v, machine.session) for v in values))


@_on("DICT")
def _dict(machine: Pickle) -> None:
    items = machine.pop_mark()
    machine.session.object()
    machine.append({})
    _put(machine, items)


@_on("SETITEM")
def _set_item(machine: Pickle) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _put(machine, (key, value))


@_on("SETITEMS")
def _set_items(machine: Pickle) -> None:
    _put(machine, machine.pop_mark())


def _put(machine: Pickle, items: Sequence[Any]) -> None:
    """Put `items`, keys and contents in turn, into the dictionary or record on top of the stack."""
    target = machine.stack[-1]
    target = target.entries if target.__class__ is Instance else target
    if target.__class__ is not dict or len(items) % 2:
        raise damaged(f"it puts {len(items)} values as keys and contents into {type(target).__name__}")
    keys = items[::2]
    for key in keys:
        # Nearly all are short text, which needs no closer look.
        if key.__class__ is not str or len(key) > LONGEST_KEY:
            check_key(key, machine.session)
    target.update(zip(keys, items[1::2], strict=True))


@_on("APPEND")
def _append(machine: Pickle) -> None:
    _extend(machine, [machine.stack.pop()])


@_on("APPENDS ADDITEMS")
def _appends(machine: Pickle) -> None:
    _extend(machine, machine.pop_mark())


def _extend(machine: Pickle, values: list[Any]) -> None:
    """Append `values` to the list or record on top of the stack, or add them to the set."""
    target = machine.stack[-1]
    if target.__class__ is Instance:
        target.items.extend(values)
    elif target.__class__ is list:
        target.extend(values)
    elif target.__class__ is set:
        target.update(check_key(v, machine.session) for v in values)
    else:
        raise damaged(f"it appends to {type(target).__name__}")


# -- calls and attributes ------------------------------------------------------------------------------------


@_on("REDUCE NEWOBJ")
def _reduce(machine: Pickle) -> None:
    args, what = machine.stack.pop(), machine.stack.pop()
    machine.push_call(what, args, {})


@_on("NEWOBJ_EX")
def _new_with_keywords(machine: Pickle) -> None:
    kwargs, args, what = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    machine.push_call(what, args, kwargs)


@_on("INST")
def _old_instance(machine: Pickle) -> None:
    module, name = (str(machine.readline()[:-1], "ascii") for _ in range(2))
    machine.push_call(name_global(module, name), tuple(machine.pop_mark()), {})


@_on("OBJ")
def _old_object(machine: Pickle) -> None:
    what, *args = machine.pop_mark() or [None]
    machine.push_call(what, tuple(args), {})


@_on("BUILD")
def _build(machine: Pickle) -> None:
    """Give the record below `state` its attributes, or the array its content."""
    state, target = machine.stack.pop(), machine.stack[-1]
    if target.__class__ is Unfinished:
        _finish(machine, target, state)
    elif target.__class__ is Instance:
        # Frozen for everybody else; nothing that exists outside this file can be reached from here.
        object.__setattr__(target, "state", _merged(machine, state))
    elif target.__class__ is not dict:
        # A dictionary's own attributes (as PyTorch's `_metadata`) are of no use here.
        what = target if isinstance(target, Global) else type(target).__name__
        raise refused(f"it sets attributes of {what}")


def _merged(machine: Pickle, state: Any) -> Any:
    """Attributes of an object with slots come as two dictionaries."""
    match state:
        case (None, dict(slots)):
            return slots
        case (dict(attributes), dict(slots)):
            machine.session.object(len(attributes) + len(slots))
            return attributes | slots
    return state


def _finish(machine: Pickle, waiting: Unfinished, state: Any) -> None:
    """Put a numpy array's tensor in the place of the array that was begun, in the memo as well."""
    match state:
        case (int(), shape, dtype, fortran, raw) | (shape, dtype, fortran, raw):
            made = array(shape, dtype, raw, machine.session, fortran=bool(fortran))
        case _:
            raise damaged("an array's content is not what numpy writes")
    for name in waiting.names:
        # The name may mean something else by now.
        if machine.memo.get(name) is waiting:
            machine.memo[name] = made
    machine.stack[-1] = made
    machine.unfinished -= 1
