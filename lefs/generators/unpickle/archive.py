"""The zip archives of PyTorch: members found in the memory map, sizes checked, no zip bombs."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from lefs.generators.unpickle.values import Session, damaged, refused

__all__ = ["Member", "content", "members"]

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MOST_MEMBERS = 200_000


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member of an archive lies, as its table of contents says."""

    name: str
    method: int
    flags: int
    stored: int
    size: int
    offset: int


def members(data: memoryview) -> dict[str, Member]:
    """All members by name; of two with the same name the first.

    Raises
    ------
    ArtifactError
        If there is no table of contents, or it reaches beyond the file.
    """
    count, size, offset = _table(data)
    if count > _MOST_MEMBERS or offset + size > len(data):
        raise damaged(f"its table of contents claims {count:,} members in {size:,} bytes at byte {offset:,}")
    found: dict[str, Member] = {}
    for _ in range(count):
        member, offset = _member(data, offset)
        found.setdefault(member.name, member)
    return found


def _unpack(form: struct.Struct, data: memoryview, offset: int, signature: bytes) -> tuple[int, ...]:
    if offset < 0 or offset + form.size > len(data) or bytes(data[offset : offset + 4]) != signature:
        raise damaged("its table of contents is broken")
    return form.unpack_from(data, offset)[1:]


def _table(data: memoryview) -> tuple[int, int, int]:
    """Number of entries, bytes, and position of the table of contents."""
    tail = bytes(data[-(2**16 + _END.size) :])
    place = tail.rfind(b"PK\5\6")
    if place < 0:
        raise damaged("it begins as a zip archive, but the table of contents at its end is missing")
    end = len(data) - len(tail) + place
    *_, count, size, offset, _ = _unpack(_END, data, end, b"PK\5\6")
    locator = end - _LOCATOR.size
    if locator >= 0 and bytes(data[locator : locator + 4]) == b"PK\6\7":
        _, place, _ = _unpack(_LOCATOR, data, locator, b"PK\6\7")
        *_, count, size, offset = _unpack(_END_64, data, place, b"PK\6\6")
    return count, size, offset


def _member(data: memoryview, offset: int) -> tuple[Member, int]:
    fields = _unpack(_ENTRY, data, offset, b"PK\1\2")
    flags, method, stored, size = fields[2], fields[3], fields[7], fields[8]
    name_size, extra_size, comment_size, start = fields[9], fields[10], fields[11], fields[15]
    first = offset + _ENTRY.size
    following = first + name_size + extra_size + comment_size
    if following > len(data):
        raise damaged("its table of contents breaks off")
    name = str(data[first : first + name_size], "utf-8", "replace")
    extra = bytes(data[first + name_size : first + name_size + extra_size])
    size, stored, start = _sizes_64(extra, (size, stored, start))
    return Member(name, method, flags, stored, size, start), following


def _sizes_64(extra: bytes, sizes: tuple[int, int, int]) -> tuple[int, int, int]:
    """Sizes over 4 GB stand in an extra field, in place of those that are all ones."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        at += 4
        if kind == 1:
            given = iter([int.from_bytes(extra[i : i + 8], "little") for i in range(at, at + length, 8)])
            whole, stored, start = (next(given, s) if s == 2**32 - 1 else s for s in sizes)
            return whole, stored, start
        at += length
    return sizes


def content(data: memoryview, member: Member, session: Session) -> memoryview:
    """The bytes of a member: a view where it is stored as it is, else inflated, never beyond its size."""
    *_, name_size, extra_size = _unpack(_LOCAL, data, member.offset, b"PK\3\4")
    first = member.offset + _LOCAL.size + name_size + extra_size
    if member.flags & 1:
        raise refused(f"its member {member.name!r:.80} is encrypted")
    if first + member.stored > len(data):
        raise damaged(f"its member {member.name!r:.80} reaches beyond the end of the file")
    stored = data[first : first + member.stored]
    if member.method == 0 and member.stored == member.size:
        return stored
    if member.method != 8:
        raise damaged(f"its member {member.name!r:.80} is packed in a way that PyTorch never uses")
    return _inflated(stored, member, session)


def _inflated(stored: memoryview, member: Member, session: Session) -> memoryview:
    session.copy(member.size)
    try:
        result = zlib.decompressobj(-15).decompress(stored, member.size + 1)
    except zlib.error as error:
        raise damaged(f"its member {member.name!r:.80} cannot be unpacked ({error})") from None
    if len(result) != member.size:
        raise damaged(
            f"its member {member.name!r:.80} does not have the {member.size:,} bytes that it claims"
        )
    return memoryview(bytearray(result))
