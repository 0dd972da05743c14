"""What an edit studio shows, as plain values: they can be saved, taken back, and written as code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lefs.catalog import Catalog
from lefs.editing import Change, Recipe
from lefs.generator import Generator
from lefs.query import QuerySettings
from lefs.records import ArtifactError, embedded_names, whole
from lefs.sources import KeptStyles, Source

__all__ = ["StudioState", "as_code", "as_parameters"]


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
    def asked(self) -> tuple[str, int, Source]:
        """What suggestions are for: the part, its row, and the target."""
        return self.change.part, self.row, self.recipe.target

    @property
    def shown(self) -> Recipe:
        """The recipe of the picture: without the rows that are off."""
        on = (change for i, change in enumerate(self.recipe.changes) if i not in self.off)
        return replace(self.recipe, changes=tuple(on))

    def having(self, **values: Any) -> StudioState:
        """With other values of the present change, of its settings, or another target, by their names."""
        recipe, old, changes = self.recipe, self.change, list(self.recipe.changes)
        settings = replace(old.settings, **{n: v for n, v in values.items() if n in vars(old.settings)})
        own = {n: v for n, v in values.items() if n in vars(old)}
        if settings.where != "part" or own.get("part", old.part) != old.part:
            own["mask"] = None  # (which somebody drew for that part, in place)
        changes[self.row] = replace(old, settings=settings, **own)
        target = values.get("target", recipe.target)
        return replace(self, recipe=replace(recipe, target=target, changes=tuple(changes)))

    def added(self, change: Change) -> StudioState:
        """With one more row, which the controls then show."""
        changes = (*self.recipe.changes, change)
        return replace(self, recipe=replace(self.recipe, changes=changes), row=len(changes) - 1)

    def ordered(self, order: Sequence[int]) -> StudioState:
        """With these of its rows, in this order."""
        row = order.index(self.row) if self.row in order else min(self.row, len(order) - 1)
        off = frozenset(i for i, old in enumerate(order) if old in self.off)
        changes = tuple(self.recipe.changes[i] for i in order)
        return StudioState(replace(self.recipe, changes=changes), off, row)

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads."""
        content = {"recipe": self.recipe.to_json(), "off": sorted(self.off), "row": self.row}
        return dict(json.loads(json.dumps(content)))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> StudioState:
        """The state that `to_json` described; an `ArtifactError` says what is wrong."""
        with whole(Path("this state"), "state"):
            recipe = Recipe.from_json(content["recipe"], "this state")
            rows = range(len(recipe.changes))
            state = cls(recipe, frozenset(content.get("off", ())), content.get("row", 0))
            if state.row not in rows or not state.off <= {*rows}:
                raise ArtifactError(f"this state has {len(rows)} rows; row and off must be of these")
        return state


def as_code(recipe: Recipe, generator: Generator) -> str:
    """Python that gives the same picture."""
    where = generator.source
    name, catalog = (str(where), str(where.parent)) if where else (generator.name, generator.name)
    if where and where.stem == "generator" and where.parent.name in embedded_names():
        name = catalog = where.parent.name
    changes = "".join(f"        {_written(change)},\n" for change in recipe.changes)
    label = "" if recipe.label is None else f"    label={recipe.label},\n"
    return (
        f"import lefs\n\ngenerator, catalog = lefs.load({name!r}), lefs.Catalog.load({catalog!r})\n"
        f"recipe = lefs.Recipe(\n    {_source(recipe.target)},\n    (\n{changes}    ),\n"
        f"    truncation={recipe.truncation!r},\n{label})\n"
        "edit = lefs.Editor(generator, catalog).render(recipe)\n"
    )


def _written(change: Change) -> str:
    usual, told = QuerySettings(where=change.settings.where), {"where": change.settings.where}
    told |= {name: v for name, v in vars(change.settings).items() if v != getattr(usual, name)}
    settings, reference = _call("QuerySettings", told), _source(change.reference)
    mask = "" if change.mask is None else f", {_source(change.mask)}"
    return f"lefs.Change({change.part!r}, {reference}, {change.strength!r}, {settings}{mask})"


def _source(source: Any) -> str:
    """A seed, or kept styles or a mask in full (their repr is cut short)."""
    return f"{source}" if isinstance(source, int) else _call(f"sources.{type(source).__name__}", vars(source))


def _call(name: str, values: Mapping[str, Any]) -> str:
    return f"lefs.{name}({', '.join(f'{key}={value!r}' for key, value in values.items())})"


def as_parameters(state: StudioState, catalog: Catalog) -> str:
    """The present row as parameters of the editing notebook, for ``papermill -f`` (YAML)."""
    recipe, change, settings = state.recipe, state.change, state.change.settings
    values = {"target": recipe.target, "reference": change.reference, "part": change.part}
    values |= {"contributions": settings.contributions or catalog.measure}
    values |= {name: getattr(settings, name) for name in ("method", "rho", "epsilon")}
    lines = []
    for name, value in {**values, "truncation": recipe.truncation}.items():
        if isinstance(value, KeptStyles):
            lines.append(f"# {name}: of a picture of one's own, {value}: give the file of its inversion")
        elif name == "method" and value not in ("sequential", "simultaneous"):
            lines.append(f"# method: {value}, in place; the notebook shows that beside its own method")
        else:
            lines.append(f"{name}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"
