"""What comes out of a file: plain values, tensors, and inert records of everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from lefs.records import ArtifactError

__all__ = ["Global", "Instance", "Session", "Unfinished", "check_key", "damaged", "refused", "walk"]

_MAX_DEPTH, _LONGEST_KEY = 400, 10_000


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function that a file mentions. It is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Instance:
    """What a file says about an object of some class: how it was made, and its attributes.

    An object of stylegan2-ada-pytorch or stylegan3 has its class's name as `name` and the module's attributes
    as `state`; the source code embedded in those files is dropped.

    Parameters
    ----------
    module, name : str
        Of the class, as the file spells them.
    args : tuple
        What its constructor would be given.
    kwargs : dict of str to Any
        What its constructor would be given by name.
    state : Any
        Its attributes, mostly a dict; None if the file gives none.
    items : list
        What the file appends or adds to it.
    entries : dict
        What the file puts into it by key.
    """

    module: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    state: Any = None
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        # What lies inside may be shared so often that writing it out would not end.
        return f"<{self.module}.{self.name}, never made>"


@dataclass(slots=True, eq=False)
class Unfinished:
    """A numpy array, which is begun before it gets its content."""

    content: Any = None


# how many of each a file may make
_ODD = "keys that are neither text nor integers"  # (which can be chosen to hash alike)
_MOST = {"objects": 250_000, "tensors": 20_000, _ODD: 5_000}


class Session:
    """What one file may still cost. Shared by everything that is read from it, nested payloads included.

    Parameters
    ----------
    size : int
        Of the file; it may be copied or inflated to four times that and 16 MiB.
    payload : callable
        Reads a PyTorch file that lies inside another file.

    Attributes
    ----------
    steps : int
        Instructions that may still be followed.
    depth : int
        Payloads inside payloads that may still be opened.
    """

    def __init__(self, size: int, payload: Callable[[memoryview, Session], Any]):
        self.steps, self.depth, self.payload = 1_000_000, 3, payload
        self._left = {**_MOST, "bytes": 4 * size + 2**24}

    def spend(self, what: str, count: int = 1) -> None:
        """Account for `count` containers or their entries, tensors, odd keys, or bytes yet to be copied."""
        self._left[what] -= count
        if self._left[what] < 0:
            if what == "bytes":
                raise refused("unpacked, it would be many times larger than the file")
            raise refused(f"it makes more than {_MOST[what]:,} {what}, which no network needs")


def damaged(what: str) -> ArtifactError:
    """The error for a file that breaks off or contradicts itself; the caller puts the path before it."""
    return ArtifactError(f"is damaged or cut short: {what}; download or copy it again")


def refused(what: str) -> ArtifactError:
    """The error for a file that asks for what lefs never does; the caller puts the path before it."""
    return ArtifactError(f"is refused: {what}; nothing of it was run. Get it from its publisher again")


def check_key(key: Any, session: Session, depth: int = 0) -> Any:
    """`key`, if hashing and comparing it is quick: short text, a number, a record, a short tuple of such."""
    match key:
        case None | float() | Global() | Instance() | frozenset():
            session.spend(_ODD)
        case tuple() if len(key) <= 16 and depth < 2:
            session.spend(_ODD)
            for part in key:
                check_key(part, session, depth + 1)
        case int() if abs(key) < 2**61 - 1:
            # Larger ones can be chosen to hash alike, which makes a dictionary of them very slow.
            pass
        case str() | bytes() if len(key) <= _LONGEST_KEY:
            pass
        case _:
            raise damaged(f"a value of type {type(key).__name__} is used as a key, expected short text")
    return key


def walk(tree: Any) -> Iterator[Any]:
    """Yield what is in `tree`, outermost first; of what is shared, what lies inside comes once.

    Raises
    ------
    ArtifactError
        If values lie more than 400 levels deep.
    """
    inside, seen = [tree], dict[int, Any]()
    for _ in range(_MAX_DEPTH + 1):
        yield from (v for v in inside if v.__class__ not in _CONTAINERS)
        level = {id(v): v for v in inside if v.__class__ in _CONTAINERS and id(v) not in seen}
        yield from level.values()
        if not level:
            return
        seen.update(level)
        inside = [*chain.from_iterable(map(_inside, level.values()))]
    raise refused(f"its values lie more than {_MAX_DEPTH} levels deep")


_CONTAINERS = frozenset((dict, list, tuple, set, frozenset, Instance))


def _inside(value: Any) -> Iterable[Any]:
    if value.__class__ is dict:
        return (*value, *value.values())
    if value.__class__ is Instance:
        return (value.args, value.kwargs, value.state, value.items, value.entries)
    contents: Iterable[Any] = value
    return contents
