"""A stack machine that follows a pickle without running it: calls become records, names stay names."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import repeat
from operator import length_hint
from typing import Any

from lefs.generators.unpickle.calls import call
from lefs.generators.unpickle.handlers import MAKERS, PLAIN, READERS
from lefs.generators.unpickle.opcodes import argument_of, ends
from lefs.generators.unpickle.values import ORDERED, Global, Session, Unfinished, damaged, refused
from lefs.records import ArtifactError

__all__ = ["Machine"]

_GET, _MEMOIZE, _EMPTY_TUPLE, _REDUCE, _STOP = b"h\x94)R."
_ABSENT = Unfinished()


class Machine:
    """Follows the pickles of one file.

    Parameters
    ----------
    data : the file, or the payload inside it, that holds the pickle
    session : what may still be spent on this file
    payload : reads the bytes of a PyTorch file inside this one
    external : resolves persistent ids; None if the pickle may have none
    """

    def __init__(
        self,
        data: memoryview,
        session: Session,
        *,
        payload: Callable[[memoryview, Session], Any],
        external: Callable[[Any], Any] | None = None,
    ):
        self.data, self.session, self.payload, self.external = data, session, payload, external
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.unfinished = 0

    def run(self, start: int = 0) -> tuple[Any, int]:
        """Follow the pickle at `start`; return its value and the position behind it."""
        self.position = start
        try:
            self._follow(self.data, self.session, self.memo, start)
        except (IndexError, struct.error):
            raise self._cut(self.position - 1) from None
        return self._result(), self.position

    def _follow(self, data: memoryview, session: Session, memo: dict[int, Any], position: int) -> None:
        stack, before = self.stack, session.steps
        left = repeat(None, before)
        try:
            for _ in left:
                code = data[position]
                position += 1
                # What most of a snapshot consists of is spelled out here, which takes less time than a call.
                if code == _GET:
                    value = memo.get(data[position], _ABSENT)
                    stack.append(value if value.__class__ is not Unfinished else self.recall(data[position]))
                    position += 1
                    continue
                if code == _EMPTY_TUPLE and data[position] == _REDUCE and stack[-1] is ORDERED:
                    stack.pop()
                    value = {}
                    position += 1
                elif (make := MAKERS[code]) is not None:
                    value = make(self)
                    stack = self.stack
                else:
                    if (act := PLAIN[code]) is not None:
                        act(self)
                    elif code == _STOP:
                        return
                    else:
                        position = READERS[code](self, data, position)
                    stack = self.stack
                    continue
                session.objects -= 1
                if session.objects < 0:
                    raise session.crowded()
                stack.append(value)
                # New containers are nearly always remembered at once.
                if data[position] == _MEMOIZE and value.__class__ is not Unfinished:
                    memo[len(memo)] = value
                    position += 1
        finally:
            self.position = position
            session.steps -= before - length_hint(left)
        raise session.endless()

    def _cut(self, position: int) -> ArtifactError:
        """The error for the instruction at `position`, which needs what is not there."""
        if position >= len(self.data) - 1:
            return ends(self.data)
        _, following = argument_of(self.data, self.data[position], position)
        if following == len(self.data):
            return ends(self.data)
        return damaged(f"the instruction at byte {position:,} takes a value that is not there")

    def _result(self) -> Any:
        if len(self.stack) != 1 or self.outer:
            raise damaged(f"{len(self.stack)} values are left at its end, expected one")
        if self.unfinished:
            raise damaged("an array never gets its content")
        self.memo.clear()
        return self.stack.pop()

    def push_new(self, value: Any) -> None:
        """Push a container or record, which counts."""
        self.session.object()
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """The values since the last MARK, taken off the stack."""
        values = self.stack
        self.stack = self.outer.pop()
        return values

    def remember(self, name: int) -> None:
        """Store the top value in the memo."""
        if name >= 2**32:
            raise damaged("a value is remembered by a number that no pickle reaches")
        value = self.stack[-1]
        if isinstance(value, Unfinished):
            value.names.append(name)
        self.memo[name] = value

    def recall(self, name: int) -> Any:
        """A value of the memo."""
        try:
            value = self.memo[name]
        except KeyError:
            raise damaged(f"it refers to value {name}, which it never made") from None
        if isinstance(value, Unfinished):
            raise damaged("it uses an array before its content")
        return value

    def made(self, what: Any, args: Any, kwargs: Any) -> Any:
        """What a call of the name `what` stands for."""
        if what.__class__ is not Global:
            raise refused(f"it calls a value of type {type(what).__name__}, which is no class")
        if args.__class__ is not tuple or kwargs.__class__ is not dict:
            raise damaged(f"{what} is called with {type(args).__name__}, expected a tuple")
        value = call(self, what, args, kwargs)
        if value.__class__ is Unfinished:
            self.unfinished += 1
        return value

    def finish(self, array: Any) -> None:
        """Put a numpy array's tensor in the place of the empty array on top of the stack."""
        waiting = self.stack[-1]
        for name in waiting.names:
            # The name may mean something else by now.
            if self.memo.get(name) is waiting:
                self.memo[name] = array
        self.stack[-1] = array
        self.unfinished -= 1

    def resolve(self, name: Any) -> None:
        """Push what a persistent id stands for."""
        if self.external is None:
            raise refused("it refers to data outside itself (a persistent id)")
        self.stack.append(self.external(name))
