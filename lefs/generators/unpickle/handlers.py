"""What each instruction of a pickle does to the machine's stack."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lefs.generators.unpickle.literals import PARSERS, decimal, line_text, text, unsigned
from lefs.generators.unpickle.opcodes import argument_of
from lefs.generators.unpickle.policy import name_global
from lefs.generators.unpickle.tensors import array
from lefs.generators.unpickle.values import (
    LONGEST_KEY,
    Global,
    Instance,
    Unfinished,
    check_key,
    damaged,
    refused,
)

if TYPE_CHECKING:
    from lefs.generators.unpickle.machine import Machine

__all__ = ["MAKERS", "PLAIN", "READERS", "array_of", "extend", "set_attributes", "set_items"]

# What instructions do: those with an argument; the same, given and returning the position; those without one;
# and, of these, those that make a container or record, which they return.
Handler = Callable[["Machine", memoryview], None]
Reader = Callable[["Machine", memoryview, int], int]
Plain = Callable[["Machine"], None]
Maker = Callable[["Machine"], Any]
_long = struct.Struct("<I").unpack_from

HANDLERS: dict[int, Handler] = {}
PLAIN: list[Plain | None] = [None] * 256
MAKERS: list[Maker | None] = [None] * 256


def _on(codes: bytes) -> Callable[[Handler], Handler]:
    def register(function: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(codes, function))
        return function

    return register


def _plain(codes: bytes) -> Callable[[Plain], Plain]:
    def register(function: Plain) -> Plain:
        for code in codes:
            PLAIN[code] = function
        return function

    return register


def _makes(codes: bytes) -> Callable[[Maker], Maker]:
    def register(function: Maker) -> Maker:
        for code in codes:
            MAKERS[code] = function
        return function

    return register


def _parsed(parse: Callable[[memoryview], Any]) -> Handler:
    return lambda machine, argument: machine.stack.append(parse(argument))


def _constant(value: bool | None) -> Plain:
    return lambda machine: machine.stack.append(value)


PLAIN[ord("N")], PLAIN[0x88], PLAIN[0x89] = _constant(None), _constant(True), _constant(False)
HANDLERS.update({code: _parsed(parse) for codes, parse in PARSERS.items() for code in codes})


# -- stack and memo ------------------------------------------------------------------------------------------


@_on(b"\x80\x95")
def _nothing(machine: Machine, argument: memoryview) -> None:
    """The protocol's number, and frames: every instruction's length is checked anyway."""


@_plain(b"(")
def _mark(machine: Machine) -> None:
    machine.session.object()
    machine.outer.append(machine.stack)
    machine.stack = []


@_plain(b"0")
def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.since_mark()


@_plain(b"1")
def _pop_mark(machine: Machine) -> None:
    machine.since_mark()


@_plain(b"2")
def _duplicate(machine: Machine) -> None:
    value = machine.stack[-1]
    if isinstance(value, Unfinished):
        raise damaged("it uses an array before its content")
    machine.stack.append(value)


@_on(b"p")
def _put_line(machine: Machine, argument: memoryview) -> None:
    machine.remember(decimal(argument))


@_on(b"qr")
def _put(machine: Machine, argument: memoryview) -> None:
    machine.remember(unsigned(argument))


@_plain(b"\x94")
def _memoize(machine: Machine) -> None:
    machine.remember(len(machine.memo))


@_on(b"g")
def _get_line(machine: Machine, argument: memoryview) -> None:
    machine.stack.append(machine.recall(decimal(argument)))


# -- arguments -----------------------------------------------------------------------------------------------


def _followed(machine: Machine, data: memoryview, position: int) -> int:
    code = data[position - 1]
    argument, following = argument_of(data, code, position - 1)
    HANDLERS[code](machine, argument)
    return following


def _get_long(machine: Machine, data: memoryview, position: int) -> int:
    machine.stack.append(machine.recall(_long(data, position)[0]))
    return position + 4


def _byte(machine: Machine, data: memoryview, position: int) -> int:
    machine.stack.append(data[position])
    return position + 1


def _short(machine: Machine, data: memoryview, position: int) -> int:
    machine.stack.append(data[position] | data[position + 1] << 8)
    return position + 2


READERS: list[Reader] = [_followed] * 256
READERS[ord("j")], READERS[ord("K")], READERS[ord("M")] = _get_long, _byte, _short


# -- containers ----------------------------------------------------------------------------------------------


@_plain(b")")
def _empty_tuple(machine: Machine) -> None:
    machine.stack.append(())


@_makes(b"]")
def _empty_list(machine: Machine) -> list[Any]:
    return []


@_makes(b"}")
def _empty_dict(machine: Machine) -> dict[Any, Any]:
    return {}


@_makes(b"\x8f")
def _empty_set(machine: Machine) -> set[Any]:
    return set()


@_makes(b"\x85")
def _single(machine: Machine) -> tuple[Any, ...]:
    return (machine.stack.pop(),)


@_makes(b"\x86")
def _pair(machine: Machine) -> tuple[Any, ...]:
    second, first = machine.stack.pop(), machine.stack.pop()
    return first, second


@_makes(b"\x87")
def _triple(machine: Machine) -> tuple[Any, ...]:
    third, second, first = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    return first, second, third


@_makes(b"t")
def _tuple(machine: Machine) -> tuple[Any, ...]:
    return tuple(machine.since_mark())


@_makes(b"l")
def _list(machine: Machine) -> list[Any]:
    return machine.since_mark()


@_makes(b"d")
def _dict(machine: Machine) -> dict[Any, Any]:
    content: dict[Any, Any] = {}
    set_items(content, machine.since_mark(), machine)
    return content


@_makes(b"\x91")
def _frozenset(machine: Machine) -> frozenset[Any]:
    return frozenset(check_key(v, machine.session) for v in machine.since_mark())


@_plain(b"a")
def _append(machine: Machine) -> None:
    value = machine.stack.pop()
    extend(machine.stack[-1], [value], machine)


@_plain(b"e")
def _appends(machine: Machine) -> None:
    values = machine.since_mark()
    extend(machine.stack[-1], values, machine)


@_plain(b"\x90")
def _add_items(machine: Machine) -> None:
    values = machine.since_mark()
    extend(machine.stack[-1], values, machine)


@_plain(b"s")
def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    set_items(machine.stack[-1], [key, value], machine)


@_plain(b"u")
def _set_many(machine: Machine) -> None:
    values = machine.since_mark()
    set_items(machine.stack[-1], values, machine)


def extend(target: Any, values: Iterable[Any], machine: Machine) -> None:
    """Append `values` to the list or record `target`, or add them to the set."""
    if isinstance(target, Instance):
        target.items.extend(values)
    elif isinstance(target, list):
        target.extend(values)
    elif isinstance(target, set):
        target.update(check_key(v, machine.session) for v in values)
    else:
        raise damaged(f"it appends to {type(target).__name__}")


def set_items(target: Any, values: Sequence[Any], machine: Machine) -> None:
    """Put `values`, keys and contents in turn, into the dictionary or record `target`."""
    if target.__class__ is Instance:
        target = target.entries
    if target.__class__ is not dict or len(values) % 2:
        raise damaged(f"it puts {len(values)} values as keys and contents into {type(target).__name__}")
    keys = values[::2]
    for key in keys:
        # Nearly all are short text, which needs no closer look.
        if key.__class__ is not str or len(key) > LONGEST_KEY:
            check_key(key, machine.session)
    target.update(zip(keys, values[1::2]))  # noqa: B905, as many of both


# -- names, calls, attributes --------------------------------------------------------------------------------


@_on(b"c")
def _global(machine: Machine, argument: memoryview) -> None:
    machine.stack.append(_named(argument))


@_plain(b"\x93")
def _global_of_stack(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise damaged("a class's name is no text")
    machine.stack.append(name_global(module, name))


def _named(argument: memoryview) -> Global:
    module, _, name = text(argument).partition("\n")
    return name_global(module, name)


@_makes(b"R\x81")
def _reduce(machine: Machine) -> Any:
    args, what = machine.stack.pop(), machine.stack.pop()
    return machine.made(what, args, {})


@_makes(b"\x92")
def _new_with_keywords(machine: Machine) -> Any:
    kwargs, args, what = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    return machine.made(what, args, kwargs)


@_on(b"i")
def _old_instance(machine: Machine, argument: memoryview) -> None:
    machine.push_new(machine.made(_named(argument), tuple(machine.since_mark()), {}))


@_makes(b"o")
def _old_object(machine: Machine) -> Any:
    what, *args = machine.since_mark() or [None]
    return machine.made(what, tuple(args), {})


@_on(b"\x82\x83\x84")
def _extension(machine: Machine, argument: memoryview) -> None:
    raise refused(f"it names a class by the number {unsigned(argument)} of a private registry")


@_on(b"P")
def _external_line(machine: Machine, argument: memoryview) -> None:
    machine.resolve(line_text(argument))


@_plain(b"Q")
def _external(machine: Machine) -> None:
    machine.resolve(machine.stack.pop())


@_plain(b"b")
def _build(machine: Machine) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if isinstance(target, Unfinished):
        machine.finish(array_of(state, machine))
    else:
        set_attributes(target, state, machine)


def set_attributes(target: Any, state: Any, machine: Machine) -> None:
    """Give the record `target` the attributes that a file says it has."""
    if isinstance(target, Instance):
        # Frozen for everybody else; nothing that exists outside this file can be reached from here.
        object.__setattr__(target, "state", _merged(state, machine))
    elif not isinstance(target, dict):
        # A dictionary's own attributes (as PyTorch's `_metadata`) are of no use here.
        raise refused(
            f"it sets attributes of {target if isinstance(target, Global) else type(target).__name__}"
        )


def _merged(state: Any, machine: Machine) -> Any:
    """Attributes of an object with slots come as two dictionaries."""
    match state:
        case (None, dict(slots)):
            return slots
        case (dict(attributes), dict(slots)):
            machine.session.object(len(attributes) + len(slots))
            return attributes | slots
    return state


def array_of(state: Any, machine: Machine) -> Any:
    """The tensor, or record, of a numpy array that a file has begun and now gives the content of."""
    match state:
        case (int(), shape, dtype, fortran, raw) | (shape, dtype, fortran, raw):
            return array(shape, dtype, raw, machine.session, fortran=bool(fortran))
    raise damaged("an array's content is not what numpy writes")
