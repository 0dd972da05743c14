"""The numbers and texts of a pickle, in all the spellings of its protocols."""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from typing import Any

from lefs.generators.unpickle.values import damaged, refused

__all__ = ["LONG", "PARSERS", "decimal", "line_text", "text", "unsigned"]

# Bytes longer than this are handed out as views of the file.
LONG = 2**16
_MOST_DIGITS, _MOST_INTEGER_BYTES = 1000, 400
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(\n)|(.))", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def unsigned(argument: memoryview) -> int:
    """A little-endian integer."""
    return int.from_bytes(argument, "little")


def _signed(argument: memoryview) -> int:
    if len(argument) > _MOST_INTEGER_BYTES:
        raise refused(f"it holds an integer of {len(argument):,} bytes")
    return int.from_bytes(argument, "little", signed=True)


def _float(argument: memoryview) -> float:
    return float(struct.unpack(">d", argument)[0])


def _line_of_number(argument: memoryview) -> bytes:
    if len(argument) > _MOST_DIGITS:
        raise refused(f"it holds a number of {len(argument):,} digits")
    return bytes(argument)


def decimal(argument: memoryview) -> int:
    """An integer in decimal digits, with the L of Python 2 or without."""
    line = _line_of_number(argument).strip()
    try:
        return int(line[:-1] if line.endswith(b"L") else line)
    except ValueError:
        raise damaged(f"{line[:40]!r} stands where an integer is expected") from None


def _decimal_or_bool(argument: memoryview) -> int | bool:
    # Protocol 0 writes the two truth values as integers with a leading zero.
    booleans = {b"00": False, b"01": True}
    line = bytes(argument[:3])
    return booleans[line] if line in booleans else decimal(argument)


def _decimal_fraction(argument: memoryview) -> float:
    line = _line_of_number(argument)
    try:
        return float(line)
    except ValueError:
        raise damaged(f"{line[:40]!r} stands where a number is expected") from None


def text(argument: memoryview) -> str:
    """UTF-8, with the lone surrogates that Python writes."""
    try:
        return str(argument, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise damaged("a text is not UTF-8") from None


def _escaped_text(argument: memoryview) -> str:
    try:
        # By name it would be looked up in a module that is imported on demand.
        return codecs.raw_unicode_escape_decode(argument)[0]
    except UnicodeDecodeError:
        raise damaged("a text has a broken escape sequence") from None


def line_text(argument: memoryview) -> str:
    """A line as it is, without white space around it."""
    return str(argument, "latin-1").strip()


def _raw(argument: memoryview) -> bytes | memoryview:
    return argument if len(argument) > LONG else bytes(argument)


def _old_text(argument: memoryview) -> str | memoryview:
    # Python 2 has one type for text and bytes; long ones are the contents of arrays.
    return argument if len(argument) > LONG else str(argument, "latin-1")


def _quoted_text(argument: memoryview) -> str | memoryview:
    line = bytes(argument).strip()
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
        raise damaged("a quoted text lacks its quotes")
    content = _ESCAPE.sub(_unescaped, line[1:-1])
    return memoryview(bytearray(content)) if len(content) > LONG else content.decode("latin-1")


def _unescaped(found: re.Match[bytes]) -> bytes:
    hexadecimal, octal, newline, letter = found.groups()
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if octal:
        return bytes([int(octal, 8) & 255])
    if newline:
        return b""
    return _LETTERS.get(letter, letter if letter in (b"\\", b"'", b'"') else found.group())


PARSERS: dict[bytes, Callable[[memoryview], Any]] = {
    b"J\x8a\x8b": _signed,
    b"I": _decimal_or_bool,
    b"L": decimal,
    b"F": _decimal_fraction,
    b"G": _float,
    b"X\x8c\x8d": text,
    b"V": _escaped_text,
    b"BC\x8e\x96": _raw,
    b"TU": _old_text,
    b"S": _quoted_text,
}
