"""What the edit studio shows of an edit: its pictures, one line of measures, and why nothing moves."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lefs.catalog import Catalog
from lefs.editing import Change, Recipe
from lefs.editor import Edit, Editor
from lefs.images import opaque, to_lab, to_uint8
from lefs.query import PartEffects, QuerySettings
from lefs.sources import KeptMask, Source, source_styles
from lefs.widgets.canvas import Picture, change_picture
from lefs.widgets.panel import inside_and_outside, joined
from lefs.widgets.strips import name_of

__all__ = ["OWN_CONTROLS", "SIGNS", "TUNED", "View", "stated", "why_nothing_moves"]

OWN_CONTROLS = {
    "sequential": ("contributions", "rho", "epsilon"),
    "released": ("contributions", "rho", "epsilon"),
    "simultaneous": ("contributions", "slope"),
    "global": (),
    "pair": ("rho", "leak"),
}
SIGNS = {"rho": "ρ", "epsilon": "ε", "slope": "slope", "leak": "leak"}
TUNED = (*SIGNS, "coarse", "rgb")  # what a part brings with it
_OUTLINE = 64  # positions along a side
_PRICES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.0)


class View:
    """Looks at edits that an editor renders; keeps where the parts of the latest pictures are."""

    def __init__(self, editor: Editor) -> None:
        self._editor, self._catalog = editor, editor.catalog
        self._outlines = lru_cache(maxsize=32)(self._found)

    def styles(self, source: Source, recipe: Recipe) -> Tensor:
        """Styles of a target or reference of a recipe."""
        return source_styles(self._editor.generator, source, truncation=recipe.truncation, label=recipe.label)

    def place(self, recipe: Recipe, change: Change, size: torch.Size) -> Tensor:
        """Where a change is meant to act: the part in target or reference, or the mask that somebody drew."""
        if isinstance(change.mask, KeptMask):
            found = change.mask.mask()
        else:  # (a hat that comes was in the one picture, a hat that goes in the other)
            pair: list[Any] = [recipe.target, change.reference]
            masks = [self._editor.part_masks(s, recipe.truncation, recipe.label) for s in pair]
            found = masks[0][change.part] | masks[1][change.part]
        return interpolate(found[None, None].float(), tuple(size), mode="nearest")[0, 0] > 0

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
        target, image, *references = to_uint8(
            opaque(torch.stack([edit.target, edit.image, *edit.references]))
        )

        def parts(source: Any) -> dict[str, Any]:
            found = self._outlines(source, recipe.truncation, recipe.label)[0]
            return {"regions": found, "names": names, "pick": True}

        own, several = parts(recipe.target), len(references) > 1
        shown = [
            Picture(image, "edit", stated(change), before=target, **own),
            Picture(target, "target", name_of(recipe.target), **own),
            change_picture(edit.change),
        ]
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
        arrived = _arrival(edit, edit.references[at], places[at])
        return joined(
            [
                *self._price(edit, change, edit.queries[at].cpu()),
                inside_and_outside(edit.change, torch.stack(places).any(dim=0)),
                f"arrival of {escape(change.part)} <b>{arrived:.0%}</b>",
                *self._contested(edit),
            ]
        )

    def _price(self, edit: Edit, change: Change, q: Tensor) -> list[str]:
        settings, part = change.settings, change.part
        count = f"<b>{int(q.count_nonzero()):,}</b> of {len(q):,} channels"
        if settings.where == "part":  # (which has no price: outside, all styles stay the target's)
            mixed = "the whole reference" if bool((q == 1).all()) else f"{count} of the reference"
            return [f"inside the mask alone: {mixed}"]
        if settings.method == "global":
            return [f"{count} move"]
        if settings.method == "pair":
            effects = PartEffects.of(self._catalog, part)
            target = self.styles(edit.recipe.target, edit.recipe)
            leak = float(effects.predicted_leak(torch.ones(1), target, edit.styles))
            return [f"{count} move", f"predicted outside <b>{leak:.1f}</b> squared levels"]
        spent = float((q * (1 - settings.contribution(self._catalog, part))).sum())
        return [f"{count} move", f"budget spent <b>{spent:.1f}</b>"]

    def _contested(self, edit: Edit) -> list[str]:
        """How many channels several edits want, and which part got how many of them."""
        recipe = edit.recipe
        at = [i for i, c in enumerate(recipe.changes) if c.settings.where == "everywhere"]
        if len(at) < 2:
            return []
        target, wanted = self.styles(recipe.target, recipe), []
        for change in (recipe.changes[i] for i in at):
            pair = (target, self.styles(change.reference, recipe)) if change.settings.method == "pair" else ()
            wanted.append(change.settings.query(self._catalog, change.part, *pair).reshape(-1).cpu() > 0)
        several = torch.stack(wanted).sum(dim=0) > 1
        counts = [int((edit.queries[i].cpu() > 0)[several].sum()) for i in at]
        got = [f"{escape(recipe.changes[i].part)} {n}" for i, n in zip(at, counts, strict=True)]
        return [f"<b>{int(several.sum()):,}</b> channels contested, won by {', '.join(got)}"]


def _arrival(edit: Edit, reference: Tensor, mask: Tensor) -> float:
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
    settings: QuerySettings, catalog: Catalog, part: str, target: Tensor, reference: Tensor
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
