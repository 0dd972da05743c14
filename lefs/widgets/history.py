"""Undo and redo without limit."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["History"]

State = TypeVar("State")


class History(Generic[State]):
    """States one after the other; what is undone can be redone until something else is done."""

    def __init__(self, first: State) -> None:
        self._states, self._at = [first], 0

    @property
    def now(self) -> State:
        """The present state."""
        return self._states[self._at]

    @property
    def can_undo(self) -> bool:
        """Whether there is a state before."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a state that was undone."""
        return self._at < len(self._states) - 1

    def add(self, state: State) -> State:
        """Go on to a new state, and return it; what was undone is gone."""
        self._states[self._at + 1 :] = [state]
        self._at += 1
        return state

    def step(self, by: int) -> State:
        """Go back (−1) or forward (1), no further than there are states; returns the present one."""
        self._at = min(max(self._at + by, 0), len(self._states) - 1)
        return self.now
