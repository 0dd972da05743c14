"""The instructions of a pickle: where each begins and ends, every length checked against the file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lefs.generators.unpickle.values import Session, damaged, refused
from lefs.records import ArtifactError

__all__ = ["argument_of", "ends", "instructions"]

_LINE = re.compile(rb"\n")


def _shapes() -> dict[int, tuple[str, int]]:
    """For each instruction: no argument, a fixed one, one or two lines, or a length and that many bytes."""
    plain = b"(.012NQRabde}l]ostu)\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"
    shapes = dict.fromkeys(plain, ("fixed", 0))
    fixed = {1: b"Khq\x80\x82", 2: b"M\x83", 4: b"Jjr\x84", 8: b"G\x95"}
    shapes |= {code: ("fixed", size) for size, codes in fixed.items() for code in codes}
    shapes |= dict.fromkeys(b"FILPSVgp", ("lines", 1)) | dict.fromkeys(b"ci", ("lines", 2))
    counted = {1: b"UC\x8a\x8c", 4: b"TXB\x8b", 8: b"\x8d\x8e\x96"}
    return shapes | {code: ("counted", size) for size, codes in counted.items() for code in codes}


_SHAPES = _shapes()
# Bytes of each instruction of fixed length, its own included; 0 of the others.
_LENGTHS = [
    size + 1 if kind == "fixed" else 0 for kind, size in (_SHAPES.get(c, ("", 0)) for c in range(256))
]
_NOTHING = memoryview(b"")
_OUTSIDE = dict.fromkeys(b"\x97\x98", "it keeps data outside the file (out-of-band buffers)")


def instructions(data: memoryview, start: int, session: Session) -> Iterator[tuple[int, memoryview, int]]:
    """Yield (instruction, its argument, position behind both) from `start` up to and including STOP.

    Parameters
    ----------
    data : the file, or the payload inside it, that holds the pickle
    start : position of its first byte
    session : pays for every instruction

    Raises
    ------
    ArtifactError
        If an instruction is unknown, or reaches beyond the end of `data`.
    """
    position, end = start, len(data)
    while position < end:
        code = data[position]
        argument, following = argument_of(data, code, position)
        session.steps -= 1
        if session.steps < 0:
            raise session.endless()
        yield code, argument, following
        if code == 0x2E:
            return
        position = following
    raise ends(data)


def ends(data: memoryview) -> ArtifactError:
    """The error for a pickle without an end."""
    return damaged(f"it ends after {len(data):,} bytes in the middle of its content")


def argument_of(data: memoryview, code: int, position: int) -> tuple[memoryview, int]:
    """The argument of the instruction `code` at `position`, and the position behind both.

    Raises
    ------
    ArtifactError
        If the instruction is unknown, or reaches beyond the end of `data`.
    """
    following = position + _LENGTHS[code]
    if following == position + 1:
        return _NOTHING, following
    if position < following <= len(data):
        return data[position + 1 : following], following
    first, last, following = _argument(data, code, position)
    return data[first:last], following


def _argument(data: memoryview, code: int, position: int) -> tuple[int, int, int]:
    """First byte, end, and the position behind the argument of the instruction at `position`."""
    kind, size = _SHAPES.get(code, ("unknown", 0))
    first = position + 1
    if kind == "fixed":
        last = following = first + size
    elif kind == "counted":
        count = int.from_bytes(data[first : first + size], "little")
        first += size
        last = following = first + count
    elif kind == "lines":
        last = _line_end(data, first, position)
        following = last + 1
        if size == 2:
            last = _line_end(data, following, position)
            following = last + 1
    elif code in _OUTSIDE:
        raise refused(_OUTSIDE[code])
    else:
        raise damaged(f"byte {position:,} ({code:#04x}) is no instruction of a pickle")
    if following > len(data):
        raise damaged(
            f"what begins at byte {position:,} needs {last - first:,} bytes, "
            f"but {max(len(data) - first, 0):,} are left"
        )
    return first, last, following


def _line_end(data: memoryview, first: int, position: int) -> int:
    found = _LINE.search(data, first)
    if found is None:
        raise damaged(f"the line that begins at byte {position:,} does not end")
    return found.start()
