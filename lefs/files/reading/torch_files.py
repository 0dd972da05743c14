"""PyTorch's two file formats: the zip archive, and the row of pickles with storages behind it."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from lefs.files.reading.pickles import Pickle
from lefs.files.reading.tensors import STORAGES, storage
from lefs.files.reading.values import Global, Session, damaged, refused

__all__ = ["LEGACY_START", "ZIP_START", "checkpoints_in", "members", "read_checkpoint"]

ZIP_START = b"PK\3\4"
_PROTOCOL = 1001
_LARGEST_TABLE = 2**23  # bytes; enough for 100,000 members
_LOCAL = struct.Struct("<4s5H3L2H")
# The number that opens the older format, as a pickle of its own.
LEGACY_START = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)

# (key, type, number of items) → storage
Find = Callable[[str, torch.dtype, int], Tensor]


def read_checkpoint(data: memoryview, session: Session) -> Any:
    """The value tree of a PyTorch file, of either format, also of one that lies inside another file.

    Raises
    ------
    ArtifactError
        If it is neither, or damaged, or files are nested in files without end.
    """
    session.depth -= 1
    if session.depth < 0:
        raise refused("it holds files inside files inside files")
    try:
        if bytes(data[: len(ZIP_START)]) == ZIP_START:
            return _read_zip(data, session)
        return _read_legacy(data, session)
    finally:
        session.depth += 1


def _external(find: Find) -> Callable[[Any], Any]:
    """What resolves persistent ids of PyTorch: a storage (type, key, device, items), or a module's class."""
    found: dict[str, Tensor] = {}

    def resolve(name: Any) -> Any:
        match name:
            case ("storage", Global() as kind, str(key), _, int(items), *view):
                known = kind.module in ("torch", "torch.cuda", "torch.storage")
                dtype = STORAGES.get(kind.name) if known else None
                if dtype is None or items < 0:
                    raise refused(f"it stores {items} numbers of the kind {kind}, which lefs does not know")
                if key not in found:
                    found[key] = find(key, dtype, items)
                if found[key].dtype is not dtype or len(found[key]) != items:
                    raise damaged(f"its storage {key!r:.80} is described in two ways")
                return _part(found[key], view[0]) if view and view[0] is not None else found[key]
            case ("module", Global() as what, *_):
                return what
        raise damaged("it refers to data outside its pickle in a way that PyTorch does not")

    return resolve


def _part(whole: Tensor, view: Any) -> Tensor:
    match view:
        case (str(), int(offset), int(size)) if 0 <= offset <= offset + size <= len(whole):
            return whole[offset : offset + size]
    raise damaged("a part of a storage reaches beyond it")


# -- zip -----------------------------------------------------------------------------------------------------


def members(data: memoryview) -> dict[str, zipfile.ZipInfo]:
    """The members of a zip archive by name; of two with the same name the first.

    Raises
    ------
    ArtifactError
        If there is no table of contents, it is huge, or members lie over each other.
    """
    before = max(0, len(data) - _LARGEST_TABLE)
    try:
        # (names as they are: other codecs are imported on demand)
        listed = zipfile.ZipFile(io.BytesIO(data[before:]), metadata_encoding="latin-1").infolist()
    except (zipfile.BadZipFile, struct.error, OSError, ValueError) as error:
        raise damaged(
            "it begins as a zip archive, but the table of contents at its end is missing, broken or larger "
            f"than any checkpoint's ({error})"
        ) from None
    for member in listed:
        member.header_offset += before
    places = sorted((m.header_offset, m.header_offset + _LOCAL.size + m.compress_size) for m in listed)
    if any(end > start for (_, end), (start, _) in pairwise(places)):
        raise refused("members of its zip archive lie over each other")
    return {m.filename: m for m in reversed(listed)}


def checkpoints_in(names: Iterable[str]) -> list[str]:
    """The members of a zip archive that are pickles of checkpoints, packed by PyTorch or by hand."""
    return [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]


def _content(data: memoryview, member: zipfile.ZipInfo, session: Session) -> memoryview:
    """The bytes of a member: a view where it is stored as it is, else inflated, never beyond its size."""
    start, name = member.header_offset, f"its member {member.filename!r:.80}"
    if not 0 <= start <= len(data) - _LOCAL.size or bytes(data[start : start + 4]) != ZIP_START:
        raise damaged(f"{name} is not where its table of contents says")
    *_, name_size, extra_size = _LOCAL.unpack_from(data, start)
    first = start + _LOCAL.size + name_size + extra_size
    if member.flag_bits & 1:
        raise refused(f"{name} is encrypted")
    if first + member.compress_size > len(data):
        raise damaged(f"{name} reaches beyond the end of the file")
    stored = data[first : first + member.compress_size]
    if member.compress_type == zipfile.ZIP_STORED and member.compress_size == member.file_size:
        return stored
    if member.compress_type != zipfile.ZIP_DEFLATED:
        raise damaged(f"{name} is packed in a way that PyTorch never uses")
    session.spend("bytes", member.file_size)
    try:
        found = zlib.decompressobj(-15).decompress(stored, member.file_size + 1)
    except zlib.error as error:
        raise damaged(f"{name} cannot be unpacked ({error})") from None
    if len(found) != member.file_size:
        raise damaged(f"{name} does not have the {member.file_size:,} bytes that it claims")
    return memoryview(bytearray(found))


def _read_zip(data: memoryview, session: Session) -> Any:
    found = members(data)
    pickles = checkpoints_in(found)
    if not pickles:
        names = ", ".join(f"{name!r:.80}" for name in list(found)[:5]) or "nothing"
        raise refused(f"it is a zip archive that holds {names}, but no data.pkl as PyTorch's checkpoints do")
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in found:
        raise refused("it is a TorchScript archive, a program with weights, expected a checkpoint of weights")
    order = found.get(f"{prefix}byteorder")
    swap = order is not None and bytes(_content(data, order, session)[:16]) == b"big"

    def find(key: str, dtype: torch.dtype, items: int) -> Tensor:
        member = found.get(f"{prefix}data/{key}")
        if member is None or member.file_size != items * dtype.itemsize:
            size = "absent" if member is None else f"{member.file_size:,} bytes"
            raise damaged(f"its storage {key!r:.80} should have {items:,} items of {dtype} and is {size}")
        return storage(_content(data, member, session), dtype, session, swap=swap)

    return Pickle(_content(data, found[pickles[0]], session), session, _external(find)).load()


# -- legacy --------------------------------------------------------------------------------------------------


def _read_legacy(data: memoryview, session: Session) -> Any:
    position, swap = _header(data, session)
    # The storages lie behind the values that need them, and only the values tell their types: go over the
    # values twice, first to learn the types.
    known: dict[str, Tensor] = {}

    def measure(key: str, dtype: torch.dtype, items: int) -> Tensor:
        if items * dtype.itemsize > len(data):
            raise damaged(f"its storage {key!r:.80} claims {items:,} of {dtype}, more than the file holds")
        known[key] = torch.empty(items, dtype=dtype, device="meta")
        return known[key]

    _, behind = _follow(data, session, position, measure)
    contents = _contents(data, behind, known, session)

    def find(key: str, dtype: torch.dtype, items: int) -> Tensor:
        return storage(contents[key], dtype, session, swap=swap)

    return _follow(data, session, position, find)[0]


def _follow(data: memoryview, session: Session, position: int, find: Find | None = None) -> tuple[Any, int]:
    """The value of the pickle at `position`, and the position behind it."""
    pickle = Pickle(data, session, _external(find) if find else None, position)
    return pickle.load(), pickle.end


def _header(data: memoryview, session: Session) -> tuple[int, bool]:
    """The position behind the header, and whether the storages are big-endian."""
    start = LEGACY_START.match(data)
    if start is None:
        raise damaged("it does not begin as a PyTorch file does")
    protocol, position = _follow(data, session, start.end())
    system, position = _follow(data, session, position)
    if protocol != _PROTOCOL or not isinstance(system, dict):
        raise damaged(f"its header does not say version {_PROTOCOL}")
    return position, system.get("little_endian") is False


def _contents(
    data: memoryview, position: int, known: dict[str, Tensor], session: Session
) -> dict[str, memoryview]:
    """Each storage's items: a list of keys, then a count and the items for each key."""
    keys, position = _follow(data, session, position)
    if not isinstance(keys, list) or len(keys) != len(known):
        raise damaged(f"its list of storages does not name the {len(known)} that its tensors need")
    found: dict[str, memoryview] = {}
    for key in keys:
        if not isinstance(key, str) or key not in known or key in found:
            raise damaged("its list of storages has one that no tensor needs, or one twice")
        items, start, end = len(known[key]), position + 8, position + 8 + known[key].nbytes
        if end > len(data):
            raise damaged(f"it ends after {len(data):,} bytes, within its storage {key!r:.80}")
        if int.from_bytes(data[position:start], "little") != items:
            raise damaged(f"its storage {key!r:.80} does not have the {items:,} items that its tensors need")
        found[key], position = data[start:end], end
    return found
