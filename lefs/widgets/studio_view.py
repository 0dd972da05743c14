"""What an edit studio shows, as plain values, as code, as pictures, and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from lefs.catalog import Catalog
from lefs.checks import check_integer
from lefs.editing import Change, Recipe
from lefs.editor import Edit, Editor
from lefs.generator import Generator
from lefs.images import opaque, to_lab, to_uint8
from lefs.query import PartEffects, QuerySettings
from lefs.records import ArtifactError, embedded_names, whole
from lefs.sources import KeptMask, KeptStyles, Source, source_styles
from lefs.widgets.elements import Picture, change_picture
from lefs.widgets.panel import inside_and_outside, joined
from lefs.widgets.studio_controls import name_of

__all__ = ["OWN_CONTROLS", "SIGNS", "TUNED", "StudioState", "View", "as_code", "as_parameters", "stated",
           "why_nothing_moves"]  # fmt: skip


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
            row = check_integer("row", content.get("row", 0))
            state = cls(recipe, frozenset(content.get("off", ())), row)
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


_BUDGET = ("contributions", "rho", "epsilon")
OWN_CONTROLS: dict[str, tuple[str, ...]] = {"sequential": _BUDGET, "released": _BUDGET, "global": ()}
OWN_CONTROLS |= {"simultaneous": ("contributions", "slope"), "pair": ("rho", "leak")}
SIGNS = {"rho": "ρ", "epsilon": "ε", "slope": "slope", "leak": "leak"}
TUNED = (*SIGNS, "coarse", "rgb")  # what a part brings with it
_OUTLINE = 64  # positions along a side
_PRICES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.0)


class View:
    """Looks at edits that an editor renders; keeps where the parts of the latest pictures are."""

    def __init__(self, editor: Editor) -> None:
        self._editor, self._catalog = editor, editor.catalog
        self._outlines = lru_cache(maxsize=32)(self._found)

    def styles(self, source: Source, recipe: Recipe) -> torch.Tensor:
        """Styles of a target or reference of a recipe."""
        return source_styles(self._editor.generator, source, truncation=recipe.truncation, label=recipe.label)

    def place(self, recipe: Recipe, change: Change, size: torch.Size) -> torch.Tensor:
        """Where a change is meant to act: the part in target or reference, or the mask that somebody drew."""
        if isinstance(change.mask, KeptMask):
            found = change.mask.mask()
        else:  # (a hat that comes was in the one picture, a hat that goes in the other)
            pair: list[Any] = [recipe.target, change.reference]
            masks = [self._editor.part_masks(s, recipe.truncation, recipe.label) for s in pair]
            found = masks[0][change.part] | masks[1][change.part]
        return interpolate(found.cpu()[None, None].float(), tuple(size), mode="nearest")[0, 0] > 0

    def _found(self, source: Any, truncation: float, label: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Which part is where, no finer than an outline needs; and the size of each."""
        masks = torch.stack([*self._editor.part_masks(source, truncation, label).values()])
        owner = masks.int().argmax(dim=0)
        step = max(1, len(owner) // _OUTLINE)
        return owner[::step, ::step].cpu().numpy(), masks.sum(dim=(1, 2)).cpu().numpy()

    def seen_parts(self, recipe: Recipe, reference: Source) -> list[str]:
        """The parts that target or reference show, the largest first."""
        pair: list[Any] = [recipe.target, reference]
        own, other = (self._outlines(s, recipe.truncation, recipe.label)[1] for s in pair)
        areas, names = own + other, list(self._catalog.parts)
        return [names[i] for i in np.argsort(-areas, kind="stable") if areas[i]]

    def pictures(self, edit: Edit, change: Change) -> list[Picture]:
        """The edit, large; beside it the target, where it changed, and the references."""
        recipe, names = edit.recipe, tuple(self._catalog.parts)
        images = torch.stack([edit.target, edit.image, *edit.references])
        target, image, *references = to_uint8(opaque(images))

        def parts(source: Any) -> dict[str, Any]:
            found = self._outlines(source, recipe.truncation, recipe.label)[0]
            return {"regions": found, "names": names, "pick": True}

        own, several = parts(recipe.target), len(references) > 1
        shown = [Picture(image, "edit", stated(change), before=target, **own)]
        shown += [Picture(target, "target", name_of(recipe.target), **own), change_picture(edit.change)]
        for given, each in zip(references, recipe.changes, strict=True):
            title = f"reference: {each.part}" if several else "reference"
            marks = {**parts(each.reference), "chosen": several and each == change}
            shown.append(Picture(given, title, name_of(each.reference), **marks))
        return shown

    # -- in words ---------------------------------------------------------------------------------
    def measures(self, edit: Edit, change: Change) -> str:
        """One line: what moves, at what price, and how much changed inside and outside the part."""
        recipe = edit.recipe
        if change not in recipe.changes:
            return "this edit is off"
        at = recipe.changes.index(change)
        places = [self.place(recipe, each, edit.change.shape) for each in recipe.changes]
        changed = inside_and_outside(edit.change, torch.stack(places).any(dim=0))
        arrived = _arrival(edit, edit.references[at], places[at])
        arrival = f"arrival of {escape(change.part)} <b>{arrived:.0%}</b>"
        price, contested = self._price(edit, change, edit.queries[at].cpu()), self._contested(edit)
        return joined([*price, changed, arrival, *contested])

    def _price(self, edit: Edit, change: Change, q: torch.Tensor) -> list[str]:
        settings, part = change.settings, change.part
        count = f"<b>{int(q.count_nonzero()):,}</b> of {len(q):,} channels"
        if settings.where == "part":  # (which has no price: outside, all styles stay the target's)
            mixed = "the whole reference" if bool((q == 1).all()) else f"{count} of the reference"
            return [f"inside the mask alone: {mixed}"]
        told = [f"{count} move"]
        if settings.method == "pair":
            acts, target = PartEffects.of(self._catalog, part), self.styles(edit.recipe.target, edit.recipe)
            leak = float(acts.predicted_leak(torch.ones(1), target, edit.styles))
            told.append(f"predicted outside <b>{leak:.1f}</b> squared levels")
        elif settings.method != "global":
            spent = float((q * (1 - settings.contribution(self._catalog, part))).sum())
            told.append(f"budget spent <b>{spent:.1f}</b>")
        return told

    def _contested(self, edit: Edit) -> list[str]:
        """How many channels several edits want, and which part got how many of them."""
        recipe, wanted = edit.recipe, []
        claims = [(i, c) for i, c in enumerate(recipe.changes) if c.settings.where == "everywhere"]
        if len(claims) < 2:
            return []
        for _, change in claims:
            pair = [self.styles(source, recipe) for source in (recipe.target, change.reference)]
            wanted.append(change.settings.query(self._catalog, change.part, *pair).reshape(-1).cpu() > 0)
        several = torch.stack(wanted).sum(dim=0) > 1
        got = [f"{escape(c.part)} {int((edit.queries[i].cpu() > 0)[several].sum())}" for i, c in claims]
        return [f"<b>{int(several.sum()):,}</b> channels contested, won by {', '.join(got)}"]


def _arrival(edit: Edit, reference: torch.Tensor, mask: torch.Tensor) -> float:
    """How much of the way to the reference lies behind, in colour, inside the mask; 0 is the target."""
    target, image, wanted = to_lab(torch.stack([edit.target, edit.image, reference]))
    here = mask.to(image.device)
    left, all_of_it = ((wanted - x).square().sum(dim=0)[here].sum() for x in (image, target))
    return float(1 - left / all_of_it.clamp_min(1e-6))


def stated(change: Change) -> str:
    """Part, strength and settings as they are (a slider shows the nearest of its steps)."""
    own = [n for n in OWN_CONTROLS.get(change.settings.method, ()) if n in SIGNS]
    numbers = [f"{SIGNS[n]} = {getattr(change.settings, n):.3g}" for n in own]
    place = ["in place"] if change.settings.where == "part" else []
    return ", ".join([change.part, *place, f"λ = {change.strength:.3g}", *numbers])


def why_nothing_moves(
    settings: QuerySettings, catalog: Catalog, part: str, target: torch.Tensor, reference: torch.Tensor
) -> tuple[str, float | None]:
    """Why no channel moves, in words, and the highest round price below ρ at which one does.

    Parameters
    ----------
    settings : QuerySettings
        At which nothing moves.
    catalog : Catalog
    part : str
    target, reference : Tensor of shape (1, S)
        Styles of the pair.

    Returns
    -------
    str, float or None
        No price where ρ is not to blame.
    """
    own, rho = OWN_CONTROLS[settings.method], f"ρ = {settings.rho:.3g}"
    for price in (p for p in _PRICES if "rho" in own and p < settings.rho):
        if not bool(replace(settings, rho=price).query(catalog, part, target, reference).any()):
            continue
        if settings.method != "sequential":
            return f"no channel changes {part} enough for what it changes elsewhere at {rho}", price
        least = settings.rho / (1 + settings.rho)
        most = float(settings.contribution(catalog, part).max())
        if most > least:
            why = f"no channel of the layers that are open has enough of its contribution in {part}"
        else:
            why = f"only channels with more than {least:.1%} of their contribution in {part} move"
            why += f", and the largest share there is {most:.1%}"
        return f"at {rho} {why}", price
    if own and getattr(settings, own[-1]) == 0:  # (what the method cannot do without)
        return f"the {'budget ε' if own[-1] == 'epsilon' else own[-1]} is 0", None
    return f"no channel of the layers that are open has a share in {part}; open the others under More", None
