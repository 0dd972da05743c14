"""What the edit studio shows of an edit: its pictures, and one line of measures."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lefs.editing import Change, Recipe
from lefs.editor import Edit, Editor
from lefs.images import opaque, to_lab, to_uint8
from lefs.query import PartEffects
from lefs.sources import KeptMask, Source, source_styles
from lefs.widgets.canvas import Picture, change_picture
from lefs.widgets.panel import inside_and_outside, joined
from lefs.widgets.strips import name_of

__all__ = ["OWN_CONTROLS", "SIGNS", "View"]

OWN_CONTROLS = {
    "sequential": ("contributions", "rho", "epsilon"),
    "released": ("contributions", "rho", "epsilon"),
    "simultaneous": ("contributions", "slope"),
    "global": (),
    "pair": ("rho", "leak"),
}
_OUTLINE = 64  # positions along a side
SIGNS = {"rho": "ρ", "epsilon": "ε", "slope": "slope", "leak": "leak"}


class View:
    """Looks at edits that an editor renders; keeps where the parts of the latest pictures are."""

    def __init__(self, editor: Editor) -> None:
        self._editor, self._catalog = editor, editor.catalog
        self._outlines = lru_cache(maxsize=32)(self._found)

    def styles(self, source: Source, recipe: Recipe) -> Tensor:
        """Styles of a target or reference of a recipe."""
        options: dict[str, Any] = {"truncation": recipe.truncation, "label": recipe.label}
        return source_styles(self._editor.generator, source, **options)

    def place(self, recipe: Recipe, change: Change, size: int) -> Tensor:
        """Where a change is meant to act: the part in target or reference, or the mask that somebody drew."""
        if isinstance(change.mask, KeptMask):
            found = change.mask.mask()
        else:  # (a hat that comes was in the one picture, a hat that goes in the other)
            pair: list[Any] = [recipe.target, change.reference]
            own, other = (
                self._editor.part_masks(s, recipe.truncation, recipe.label)[change.part] for s in pair
            )
            found = own | other
        height, width = self._editor.generator.size
        shape = size, size * width // height
        return interpolate(found[None, None].float(), shape, mode="nearest")[0, 0] > 0

    def _found(self, source: Any, truncation: float, label: int | None) -> tuple[np.ndarray, tuple[int, ...]]:
        """Which part is where, no finer than an outline needs; and the size of each."""
        masks = torch.stack([*self._editor.part_masks(source, truncation, label).values()])
        owner = masks.int().argmax(dim=0)
        step = max(1, len(owner) // _OUTLINE)
        return owner[::step, ::step].cpu().numpy(), tuple(masks.sum(dim=(1, 2)).tolist())

    def seen_parts(self, recipe: Recipe, reference: Source) -> list[str]:
        """The parts that target or reference show, the largest first."""
        pair: list[Any] = [recipe.target, reference]
        own, other = (np.array(self._outlines(s, recipe.truncation, recipe.label)[1]) for s in pair)
        areas = own + other
        names = list(self._catalog.parts)
        return [names[i] for i in np.argsort(-areas, kind="stable") if areas[i]]

    def pictures(self, edit: Edit, change: Change) -> list[Picture]:
        """The edit, large; beside it the target, where it changed, and the references."""
        recipe = edit.recipe
        target, image = to_uint8(opaque(torch.stack([edit.target, edit.image])))
        references = to_uint8(opaque(edit.references)) if len(edit.references) else ()
        names = tuple(self._catalog.parts)

        def parts(source: Any) -> dict[str, Any]:
            found = self._outlines(source, recipe.truncation, recipe.label)[0]
            return {"regions": found, "names": names, "pick": True}

        of = recipe.target
        shown = [Picture(image, "edit", stated(change), before=target, **parts(of))]
        shown.append(Picture(target, "target", name_of(of), **parts(of)))
        shown.append(change_picture(edit.change))
        for given, each in zip(references, recipe.changes, strict=True):
            several = len(references) > 1
            title = f"reference: {each.part}" if several else "reference"
            marks = {**parts(each.reference), "chosen": several and each == change}
            shown.append(Picture(given, title, name_of(each.reference), **marks))
        return shown

    def measures(self, edit: Edit, change: Change) -> str:
        """One line: what moves, at what price, and how much changed inside and outside the part."""
        recipe = edit.recipe
        if change not in recipe.changes:
            return "this edit is off"
        at = recipe.changes.index(change)
        texts = self._price(edit, change, edit.queries[at].cpu())
        size = edit.change.shape[-2]
        places = [self.place(recipe, each, size) for each in recipe.changes]
        texts.append(inside_and_outside(edit.change, torch.stack(places).any(dim=0)))
        arrived = _arrival(edit, edit.references[at], places[at])
        texts.append(f"arrival of {escape(change.part)} <b>{arrived:.0%}</b>")
        if contested := self._contested(edit):
            texts.append(contested)
        return joined(texts)

    def _price(self, edit: Edit, change: Change, q: Tensor) -> list[str]:
        settings, part = change.settings, change.part
        count = f"<b>{int(q.count_nonzero()):,}</b> of {len(q):,} channels"
        if settings.where == "part":  # (which has no price: outside, all styles stay the target's)
            mixed = "the whole reference" if bool((q == 1).all()) else f"{count} of the reference"
            return [f"inside the mask alone: {mixed}"]
        texts = [f"{count} move"]
        if settings.method == "pair":
            effects, target = (
                PartEffects.of(self._catalog, part),
                self.styles(edit.recipe.target, edit.recipe),
            )
            leak = float(effects.predicted_leak(torch.ones(1), target, edit.styles))
            texts.append(f"predicted outside <b>{leak:.1f}</b> squared levels")
        elif settings.method != "global":
            spent = float((q * (1 - settings.contribution(self._catalog, part))).sum())
            texts.append(f"budget spent <b>{spent:.1f}</b>")
        return texts

    def _contested(self, edit: Edit) -> str:
        """How many channels several edits want, and which part got how many of them."""
        recipe = edit.recipe
        at = [i for i, c in enumerate(recipe.changes) if c.settings.where == "everywhere"]
        if len(at) < 2:
            return ""
        target, wanted = self.styles(recipe.target, recipe), []
        for change in (recipe.changes[i] for i in at):
            pair = (target, self.styles(change.reference, recipe)) if change.settings.method == "pair" else ()
            wanted.append(change.settings.query(self._catalog, change.part, *pair).reshape(-1).cpu() > 0)
        several = torch.stack(wanted).sum(dim=0) > 1
        counts = {i: int((edit.queries[i].cpu() > 0)[several].sum()) for i in at}
        got = [f"{escape(recipe.changes[i].part)} {count}" for i, count in counts.items()]
        return f"<b>{int(several.sum()):,}</b> channels contested, won by {', '.join(got)}"


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
