"""What an edit studio shows, as plain values: they can be saved, taken back, and written as code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lefs.catalog import Catalog
from lefs.editing import Change, Recipe
from lefs.generator import Generator
from lefs.query import QuerySettings
from lefs.records import ArtifactError, embedded_names, whole

__all__ = ["History", "StudioState", "as_code", "as_parameters"]

_TOGETHER = 1.0  # seconds in which moves of one control are taken back together


@dataclass(frozen=True)
class StudioState:
    """All rows of a studio.

    Attributes
    ----------
    recipe : Recipe
        With every row, also those that are off; signed.
    off : frozenset of int
        Rows that are left out of the picture.
    row : int
        The one that the controls show.
    """

    recipe: Recipe
    off: frozenset[int] = frozenset()
    row: int = 0

    @property
    def change(self) -> Change:
        """The row that the controls show."""
        return self.recipe.changes[self.row]

    @property
    def shown(self) -> Recipe:
        """The recipe of the picture: without the rows that are off."""
        on = (change for i, change in enumerate(self.recipe.changes) if i not in self.off)
        return replace(self.recipe, changes=tuple(on))

    def with_change(self, change: Change) -> StudioState:
        """With another one in the present row."""
        return self.ordered(range(len(self.recipe.changes)), {self.row: change})

    def added(self, change: Change) -> StudioState:
        """With one more row, which the controls then show."""
        changes = (*self.recipe.changes, change)
        return replace(self, recipe=replace(self.recipe, changes=changes), row=len(changes) - 1)

    def ordered(self, order: Any, others: Mapping[int, Change] | None = None) -> StudioState:
        """With these of its rows, in this order."""
        order, changes = list(order), dict(enumerate(self.recipe.changes)) | dict(others or {})
        row = order.index(self.row) if self.row in order else min(self.row, len(order) - 1)
        off = frozenset(i for i, old in enumerate(order) if old in self.off)
        return StudioState(replace(self.recipe, changes=tuple(changes[i] for i in order)), off, row)

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads."""
        content = {"recipe": self.recipe.to_json(), "off": sorted(self.off), "row": self.row}
        return dict(json.loads(json.dumps(content)))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> StudioState:
        """The state that `to_json` described; an `ArtifactError` says what is wrong."""
        recipe = Recipe.from_json(content["recipe"], "this state")
        rows = range(len(recipe.changes))
        with whole(Path("this state"), "state"):
            state = cls(recipe, frozenset(content.get("off", ())), content.get("row", 0))
            if state.row not in rows or not state.off <= {*rows}:
                raise ArtifactError(f"this state has {len(rows)} rows; row and off must be of these")
        return state


class History:
    """States one after the other, without a limit.

    Moves of one control that follow each other quickly are one step.
    """

    def __init__(self, first: StudioState, clock: Callable[[], float] = time.monotonic) -> None:
        self.past: list[StudioState] = []
        self.now = self.first = first
        self.future: list[StudioState] = []
        self._clock, self._last = clock, ("", -float("inf"))

    def push(self, state: StudioState, what: str) -> None:
        """A new state, made by the control `what`."""
        if state == self.now:
            return
        name, when = self._last
        self._last = (what, self._clock())
        if not what or what != name or self._last[1] - when > _TOGETHER:
            self.past.append(self.now)
        self.now, self.future = state, []

    def go(self, back: bool) -> StudioState:
        """One step back, or forward again; where there is none it stays."""
        here, there = (self.past, self.future) if back else (self.future, self.past)
        self._last = ("", 0.0)
        if here:
            there.append(self.now)
            self.now = here.pop()
        return self.now


def as_code(recipe: Recipe, generator: Generator) -> str:
    """Python that gives the same picture."""
    where = generator.source
    name = str(where or generator.name)
    if where is not None and where.parent.name in embedded_names() and where.stem == "generator":
        name = where.parent.name
    catalog = name if where is None or name != str(where) else str(where.parent)
    changes = "".join(f"        {_written(change)},\n" for change in recipe.changes)
    label = "" if recipe.label is None else f"    label={recipe.label},\n"
    return (
        f"import lefs\n\ngenerator, catalog = lefs.load({name!r}), lefs.Catalog.load({catalog!r})\n"
        f"recipe = lefs.Recipe(\n    {_source(recipe.target)},\n    (\n{changes}    ),\n"
        f"    truncation={recipe.truncation!r},\n{label})\n"
        "edit = lefs.Editor(generator, catalog).render(recipe)\n"
    )


def _written(change: Change) -> str:
    usual = QuerySettings(where=change.settings.where)
    names = [f.name for f in fields(usual)]
    chosen = {n: getattr(change.settings, n) for n in names if n != "where"}
    others = {n: v for n, v in chosen.items() if v != getattr(usual, n)}
    told = ", ".join(f"{n}={v!r}" for n, v in {"where": usual.where, **others}.items())
    mask = "" if change.mask is None else f", lefs.sources.{change.mask!r}"
    reference = _source(change.reference)
    return f"lefs.Change({change.part!r}, {reference}, {change.strength!r}, lefs.QuerySettings({told}){mask})"


def _source(source: Any) -> str:
    return repr(source) if isinstance(source, int) else f"lefs.{source!r}"


def as_parameters(state: StudioState, catalog: Catalog) -> str:
    """The present row as parameters of the editing notebook, for ``papermill -f`` (YAML)."""
    recipe, change = state.recipe, state.change
    settings = change.settings
    values = {
        "target": recipe.target,
        "reference": change.reference,
        "part": change.part,
        "contributions": settings.contributions or catalog.measure,
        "method": settings.method,
        "rho": settings.rho,
        "epsilon": settings.epsilon,
        "truncation": recipe.truncation,
    }
    lines = [
        f"{name}: {json.dumps(value)}"
        if not hasattr(value, "sha256")
        else f"# {name}: of a picture of one's own, {value}: give the file of its inversion"
        for name, value in values.items()
    ]
    if settings.method not in ("sequential", "simultaneous"):
        lines[4] = f"# method: {settings.method}, in place; the notebook shows that beside its own method"
    return "\n".join(lines) + "\n"
