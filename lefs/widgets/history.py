"""Undo and redo without a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["History"]

State = TypeVar("State")

_TOGETHER = 1.0  # seconds in which moves of one control are taken back together


class History(Generic[State]):
    """States one after the other, without a limit.

    Moves of one control that follow each other quickly are one step.
    """

    def __init__(self, first: State, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = self.first = first
        self.past: list[State] = []
        self.future: list[State] = []
        self._clock, self._last = clock, ("", 0.0)

    def push(self, state: State, what: str = "") -> State:
        """A new state, made by the control `what`, and the present one from now on."""
        if state != self.now:
            (name, when), self._last = self._last, (what, self._clock())
            if not what or what != name or self._last[1] - when > _TOGETHER:
                self.past.append(self.now)
            self.now, self.future = state, []
        return state

    def go(self, back: bool) -> State:
        """One step back, or forward again; where there is none it stays."""
        here, there = (self.past, self.future) if back else (self.future, self.past)
        self._last = ("", 0.0)
        if here:
            there.append(self.now)
            self.now = here.pop()
        return self.now
