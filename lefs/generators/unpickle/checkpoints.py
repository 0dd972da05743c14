"""PyTorch's two file formats: the zip archive, and the row of pickles with storages behind it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lefs.generators.unpickle.archive import Member, content, members
from lefs.generators.unpickle.machine import Machine
from lefs.generators.unpickle.tensors import STORAGES, Stored, storage
from lefs.generators.unpickle.values import Global, Session, damaged, refused

__all__ = ["LEGACY_START", "ZIP_START", "read_checkpoint"]

ZIP_START = b"PK\3\4"
_PROTOCOL = 1001
_BARE_TYPES = {name.encode(): dtype for name, dtype in STORAGES.items()}
# The number that opens the older format, as a pickle of its own.
LEGACY_START = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)

# A storage and nothing else, as PyTorch spells it on little-endian computers: the header, the storage's
# persistent id, the list of its only key, the number of its items.
_BARE = re.compile(
    re.escape(
        b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\2M\xe9\3."
        b"\x80\2}q\0(X\x10\0\0\0protocol_versionq\1M\xe9\3X\r\0\0\0little_endianq\2\x88X\n\0\0\0type_sizesq\3}q\4(X\5\0\0\0shortq\5K\2X\3\0\0\0intq\6K\4"
        b"X\4\0\0\0longq\7K\4uu.\x80\2(X\7\0\0\0storageq\0"
    )
    + rb"ctorch(?:\.cuda)?\n(\w+)\nq\x01X(.)\0\0\0(\d+)q\x02X(.)\0\0\0([a-z:0-9]+)q\x03"
    rb"(?:K(.)|M(..)|J(....))Ntq\x04Q\.\x80\x02\]q\0X\2\0\0\0\3q\x01a\.(.{8})",
    re.DOTALL,
)

# (key, type, number of items) → storage
Find = Callable[[str, torch.dtype, int], Tensor]


def read_checkpoint(data: memoryview, session: Session) -> Any:
    """The value tree of a PyTorch file, of either format, also of one that lies inside another file.

    Raises
    ------
    ArtifactError
        If it is neither, or damaged, or files are nested in files without end.
    """
    bare = _bare_storage(data, session)
    if bare is not None:
        return bare
    session.depth -= 1
    if session.depth < 0:
        raise refused("it holds files inside files inside files")
    try:
        if bytes(data[: len(ZIP_START)]) == ZIP_START:
            return _read_zip(data, session)
        return _read_legacy(data, session)
    finally:
        session.depth += 1


def _machine(data: memoryview, session: Session, find: Find | None = None) -> Machine:
    external = _Resolver(find) if find else None
    return Machine(data, session, payload=read_checkpoint, external=external)


class _Resolver:
    """Persistent ids of PyTorch: a storage (type, key, device, items), or the class of a module."""

    def __init__(self, find: Find):
        self.find = find
        self.found: dict[str, Tensor] = {}

    def __call__(self, name: Any) -> Any:
        match name:
            case ("storage", Global() as kind, str(key), _, int(items), *view):
                whole = self._storage(kind, key, items)
                return _part(whole, view[0]) if view and view[0] is not None else whole
            case ("module", Global() as what, *_):
                return what
        raise damaged("it refers to data outside its pickle in a way that PyTorch does not")

    def _storage(self, kind: Global, key: str, items: int) -> Tensor:
        dtype = STORAGES.get(kind.name) if kind.module in ("torch", "torch.cuda", "torch.storage") else None
        if dtype is None or items < 0:
            raise refused(f"it stores {items} numbers of the kind {kind}, which lefs does not know")
        if key not in self.found:
            self.found[key] = self.find(key, dtype, items)
        known = self.found[key]
        if known.dtype is not dtype or len(known) != items:
            raise damaged(f"its storage {key!r:.80} is described in two ways")
        return known


def _part(whole: Tensor, view: Any) -> Tensor:
    match view:
        case (str(), int(offset), int(size)) if 0 <= offset <= offset + size <= len(whole):
            return whole[offset : offset + size]
    raise damaged("a part of a storage reaches beyond it")


# -- zip -----------------------------------------------------------------------------------------------------


def _read_zip(data: memoryview, session: Session) -> Any:
    found = members(data)
    pickles = [n for n in found if n.endswith("/data.pkl") and n.count("/") == 1]
    if not pickles:
        raise damaged_archive(found)
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in found:
        raise refused("it is a TorchScript archive, a program with weights, expected a checkpoint of weights")
    order = found.get(f"{prefix}byteorder")
    swap = order is not None and bytes(content(data, order, session)[:16]) == b"big"

    def find(key: str, dtype: torch.dtype, items: int) -> Tensor:
        member = found.get(f"{prefix}data/{key}")
        return _stored(data, member, key, dtype, items, session, swap)

    pickle = content(data, found[pickles[0]], session)
    return _machine(pickle, session, find).run()[0]


def damaged_archive(found: dict[str, Member]) -> Exception:
    """The error for a zip archive without a checkpoint in it."""
    names = ", ".join(f"{name!r:.80}" for name in list(found)[:5]) or "nothing"
    return refused(f"it is a zip archive that holds {names}, but no data.pkl as PyTorch's checkpoints do")


def _stored(
    data: memoryview,
    member: Member | None,
    key: str,
    dtype: torch.dtype,
    items: int,
    session: Session,
    swap: bool,
) -> Tensor:
    if member is None or member.size != items * dtype.itemsize:
        size = "absent" if member is None else f"{member.size:,} bytes"
        raise damaged(f"its storage {key!r:.80} should have {items:,} items of {dtype} and is {size}")
    return storage(content(data, member, session), dtype, session, swap=swap)


# -- legacy --------------------------------------------------------------------------------------------------


def _read_legacy(data: memoryview, session: Session) -> Any:
    position, swap = _header(data, session)
    # The storages lie behind the values that need them, and only the values tell their types: go over the
    # values twice, first to learn the types.
    known: dict[str, Tensor] = {}

    def measure(key: str, dtype: torch.dtype, items: int) -> Tensor:
        if items * dtype.itemsize > len(data):
            raise damaged(
                f"its storage {key!r:.80} claims {items:,} items of {dtype}, more than the file holds"
            )
        known[key] = torch.empty(items, dtype=dtype, device="meta")
        return known[key]

    _, behind = _machine(data, session, measure).run(position)
    places = _places(data, behind, known, session)

    def find(key: str, dtype: torch.dtype, items: int) -> Tensor:
        first = places[key]
        return storage(data[first : first + items * dtype.itemsize], dtype, session, swap=swap)

    return _machine(data, session, find).run(position)[0]


def _bare_storage(data: memoryview, session: Session) -> Tensor | Stored | None:
    """The storage, if nothing but one lies in the file, spelled as PyTorch spells it; else None.

    A snapshot holds hundreds of such files; this takes a small part of the time that following each takes.
    """
    found = _BARE.match(data)
    if found is None:
        return None
    kind, key_length, key, place_length, place, one, two, four, stored = found.groups()
    items, dtype = int.from_bytes(stored, "little"), _BARE_TYPES.get(kind)
    if dtype is None:
        return None
    raw = data[found.end() : found.end() + items * dtype.itemsize]
    sound = (
        key_length[0] == len(key)
        and place_length[0] == len(place)
        and items == int.from_bytes(one or two or four, "little") < 2**31
        and len(raw) == items * dtype.itemsize
    )
    # What is not sound is followed step by step, which finds out what is wrong with it.
    if not sound:
        return None
    return Stored(raw, dtype, session) if session.lazy else storage(raw, dtype, session)


def _header(data: memoryview, session: Session) -> tuple[int, bool]:
    """The position behind the header, and whether the storages are big-endian."""
    start = LEGACY_START.match(data)
    if start is None:
        raise damaged("it does not begin as a PyTorch file does")
    protocol, position = _machine(data, session).run(start.end())
    system, position = _machine(data, session).run(position)
    if protocol != _PROTOCOL or not isinstance(system, dict):
        raise damaged(f"its header does not say version {_PROTOCOL}")
    return position, system.get("little_endian") is False


def _places(data: memoryview, position: int, known: dict[str, Tensor], session: Session) -> dict[str, int]:
    """Where each storage's items begin: a list of keys, then a count and the items for each key."""
    keys, position = _machine(data, session).run(position)
    if not isinstance(keys, list) or len(keys) != len(known):
        raise damaged(f"its list of storages does not name the {len(known)} that its tensors need")
    places: dict[str, int] = {}
    for key in keys:
        if not isinstance(key, str) or key not in known or key in places:
            raise damaged("its list of storages has one that no tensor needs, or one twice")
        items, size = len(known[key]), known[key].nbytes
        places[key] = position + 8
        if position + 8 + size > len(data):
            raise damaged(f"it ends after {len(data):,} bytes, within its storage {key!r:.80}")
        if int.from_bytes(data[position : position + 8], "little") != items:
            raise damaged(f"its storage {key!r:.80} does not have the {items:,} items that its tensors need")
        position += 8 + size
    return places
