"""What comes out of a file: plain values, tensors, and inert records of everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from lefs.records import ArtifactError

__all__ = [
    "LONGEST_KEY", "Global", "Instance", "Session", "Unfinished", "check_depth", "check_key", "damaged",
    "refused", "walk",
]  # fmt: skip

_MAX_DEPTH, LONGEST_KEY = 400, 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """The name of a class or function that a file mentions. It is never imported."""

    module: str
    name: str

    def __eq__(self, other: object) -> bool:
        # (a subclass's instance is the same name)
        return isinstance(other, Global) and (self.module, self.name) == (other.module, other.name)

    def __hash__(self) -> int:
        return hash((self.module, self.name))

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Instance:
    """What a file says about an object of some class: how it was made, and its attributes.

    An object of stylegan2-ada-pytorch or stylegan3 has its class's name as `name` and the module's attributes
    as `state`; the source code embedded in those files is dropped.

    Parameters
    ----------
    module, name : of the class, as the file spells them
    args, kwargs : what its constructor would be given
    state : its attributes, mostly a dict; None if the file gives none
    items : what the file appends or adds to it
    entries : what the file puts into it by key
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


class Unfinished:
    """A numpy array between its creation and its content, and the memo entries that mean it."""

    __slots__ = ("__weakref__", "names")

    def __init__(self) -> None:
        self.names: list[int] = []


@dataclass(slots=True)
class Session:
    """What one file may still cost. Shared by everything that is read from it, nested payloads included.

    Parameters
    ----------
    steps : instructions that may still be followed
    objects : containers and records that may still be made
    tensors : tensors that may still be made
    copied : bytes that may still be copied or inflated
    odd_keys : keys other than text and integers, which can be chosen to hash alike, that may still be used
    payload : reads a PyTorch file that lies inside another file
    depth : payloads inside payloads that may still be opened
    """

    steps: int
    objects: int
    tensors: int
    copied: int
    odd_keys: int
    payload: Callable[[memoryview, Session], Any]
    depth: int = 3

    @classmethod
    def of(cls, size: int, payload: Callable[[memoryview, Session], Any]) -> Session:
        """For a file of `size` bytes."""
        return cls(1_000_000, 250_000, 20_000, 4 * size + 2**24, 5_000, payload)

    def object(self, count: int = 1) -> None:
        """Account for `count` containers, or entries copied between containers."""
        self.objects -= count
        if self.objects < 0:
            raise refused("it makes more than 250,000 objects, which no network needs")

    def odd_key(self) -> None:
        """Account for a key that is neither text nor an integer."""
        self.odd_keys -= 1
        if self.odd_keys < 0:
            raise refused("it uses more than 5,000 keys that are neither text nor integers")

    def tensor(self) -> None:
        """Account for a tensor."""
        self.tensors -= 1
        if self.tensors < 0:
            raise refused("it makes more than 20,000 tensors, which no network needs")

    def copy(self, size: int) -> None:
        """Account for `size` bytes before they are copied."""
        self.copied -= size
        if self.copied < 0:
            raise refused("unpacked, it would be many times larger than the file")


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
            session.odd_key()
        case tuple() if len(key) <= 16 and depth < 2:
            session.odd_key()
            for part in key:
                check_key(part, session, depth + 1)
        case int() if abs(key) < 2**61 - 1:
            # Larger ones can be chosen to hash alike, which makes a dictionary of them very slow.
            pass
        case str() | bytes() if len(key) <= LONGEST_KEY:
            pass
        case _:
            raise damaged(f"a value of type {type(key).__name__} is used as a key, expected short text")
    return key


def walk(tree: Any) -> Iterator[Any]:
    """Yield every value in `tree` once, however often it is shared, outermost first.

    Raises
    ------
    ArtifactError
        If values lie more than 400 levels deep.
    """
    level, depth, seen = [tree], 0, {id(tree)}
    while level:
        yield from level
        containers = [value for value in level if value.__class__ in _CONTAINERS]
        inside = chain.from_iterable(map(_inside, containers))
        found = {own: inner for inner in inside if (own := id(inner)) not in seen}
        seen.update(found)
        level, depth = [*found.values()], depth + 1
        _check_depth(depth)


def check_depth(tree: Any) -> None:
    """Raise an `ArtifactError` if values in `tree` lie more than 400 levels deep."""
    level, depth, seen = [tree], 0, {id(tree)}
    while level:
        found = {
            id(inner): inner
            for inner in chain.from_iterable(map(_inside, level))
            if inner.__class__ in _CONTAINERS and id(inner) not in seen
        }
        seen.update(found)
        level, depth = [*found.values()], depth + 1
        _check_depth(depth)


def _check_depth(depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise refused(f"its values lie more than {_MAX_DEPTH} levels deep")


_CONTAINERS = frozenset((dict, list, tuple, set, frozenset, Instance))


def _inside(value: Any) -> Iterable[Any]:
    kind = value.__class__
    if kind is dict:
        return (*value, *value.values())
    if kind is Instance:
        return (value.args, value.kwargs, value.state, value.items, value.entries)
    return value if kind in _CONTAINERS else ()
