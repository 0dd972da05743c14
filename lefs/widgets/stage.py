"""What stands behind the edit studio: its states, what can be done with them, and the pictures of them."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_name, check_number
from lefs.editing import Change, Recipe
from lefs.editor import Edit, Editor, Superseded
from lefs.generator import Generator
from lefs.images import color_difference
from lefs.plotting import comparison_strip, edit_strip
from lefs.progress import track
from lefs.query import QuerySettings
from lefs.retrieval import PartBank, retrieve
from lefs.saving import exclusive
from lefs.sources import Source
from lefs.widgets.panel import History, Panel
from lefs.widgets.strips import name_of
from lefs.widgets.studio_state import StudioState, as_code, as_parameters
from lefs.widgets.studio_view import View

__all__ = ["Stage", "Tables", "preview_of", "tuned_settings"]

Tables = Mapping[str, QuerySettings] | Iterable[Mapping[str, QuerySettings]]

_FEW, _SMALL = 8, 32  # pictures that a studio begins with one of; side in pixels at which they are compared
_REST = 0.25  # seconds after which a control that has not moved is taken to rest
_TO_CHOOSE = 128  # side in pixels of a picture to choose from
_BANK, _OFFERS = 96, 8  # seeds that suggestions are looked for among, and how many are shown
_PRESETS = 200  # that a folder is looked through for
_LEAST = 64  # side in pixels of a preview: smaller pictures show nothing


class Stage(Panel):
    """Holds the states of a studio and renders the present one; what is shown of it is left to others."""

    edit: Edit

    def __init__(
        self,
        generator: Generator,
        catalog: Catalog,
        recipe: Recipe | None,
        folder: str | os.PathLike[str] | None,
        frame: float,
    ) -> None:
        super().__init__(generator, catalog)
        self._catalog, self._editor = catalog, Editor(generator, catalog)
        self._view = View(self._editor)
        self._frame = check_number("frame", frame, minimum=0, finite=False)
        recipe = _plain_to_see(self._editor) if recipe is None else recipe
        self._check(recipe)
        self._history = History(StudioState(self._editor.sign(recipe)))
        self._hasty: tuple[Editor, int] | None = None  # for previews; chosen when a control moves
        self._moves = 0
        whole = generator.size[0]
        small = max((s for s in generator.preview_sizes if s <= _TO_CHOOSE), default=whole)
        self._upto = None if small == whole else small  # (of pictures to choose from)
        self._bank: PartBank | None = None
        self._folder = None if folder is None else Path(folder)
        found = [] if self._folder is None else sorted((self._folder / "presets").glob("*.json"))
        self._presets: dict[str, Recipe | Path] = {path.stem: path for path in found[:_PRESETS]}

    # -- the state and its views ------------------------------------------------------------------
    @property
    def state(self) -> dict[str, Any]:
        """What is shown, as plain values for JSON: ``"recipe"`` with every row, the rows that are ``"off"``,
        and the ``"row"`` of the controls. Setting it shows that.
        """
        return self._history.now.to_json()

    @state.setter
    def state(self, content: dict[str, Any]) -> None:
        state = StudioState.from_json(content)
        self._check(state.recipe)
        self._begin(partial(self._turn_to, state))

    @property
    def recipe(self) -> Recipe:
        """What the picture shows: the rows that are on."""
        return self._history.now.shown

    @property
    def code(self) -> str:
        """Python that makes this picture."""
        return as_code(self.recipe, self._generator)

    @property
    def parameters(self) -> str:
        """The row that the controls show, as parameters of the editing notebook (YAML, ``papermill -f``)."""
        return as_parameters(self._history.now, self._catalog)

    def figure(self) -> Figure:
        """Target | edit | reference | where it changed, as a figure; of several edits all references."""
        whole = self.edit.image.shape[-2] == self._generator.size[0]
        exact = self._hasty is None or self._hasty[0] is self._editor  # (and not in half precision)
        edit = self.edit if whole and exact else self._editor.render(self.recipe)
        changes = edit.recipe.changes
        taken = [f"{change.part} of {name_of(change.reference)}" for change in changes]
        told = f"{', '.join(taken) or 'no edit'} onto {name_of(edit.recipe.target)}"
        if len(changes) != 1:
            return comparison_strip(edit.pictures, changes={"edit": edit.change}, title=told)
        place = ", in place" if changes[0].settings.where == "part" else ""
        title = f"{told}{place}, λ = {changes[0].strength:g}"
        return edit_strip(edit.target, edit.image, edit.references[0], edit.change, title=title)

    def close(self) -> None:
        """Take the panel out of the page and out of memory; `edit`, `state` and `recipe` stay."""
        self._moves += 1
        super().close()
        # (somebody may hold on to the panel, such as a notebook that counts its outputs)
        self._editor, self._hasty, self._bank = Editor(self._generator, self._catalog), None, None
        self._view = View(self._editor)

    def _check(self, recipe: Recipe) -> None:
        """Whether there are controls for it: sliders would silently pull a wrong value into their range."""
        if not isinstance(recipe, Recipe):
            raise TypeError(
                f"recipe must be a Recipe, which Recipe.load reads from a file; got {recipe!r:.80}"
            )
        self._editor.check_owner(recipe)
        if not recipe.changes:
            raise ValueError("recipe must have at least one change, which the controls show; it has none")
        check_number("truncation", recipe.truncation, minimum=0, maximum=1)
        for change in recipe.changes:
            settings = change.settings
            if settings.where == "everywhere":
                self._generator.check_styles()
            if change.mask is None:
                anything = torch.zeros(1, self._generator.num_styles)
                settings.query(self._catalog, change.part, anything, anything)
            check_number("strength", change.strength, minimum=0, maximum=1)
            _check_ends(settings)

    # -- rows -------------------------------------------------------------------------------------
    def _switch(self, on: bool) -> None:
        state = self._history.now
        self._turn_to(replace(state, off=state.off - {state.row} if on else state.off | {state.row}))

    def _move(self, by: int) -> None:
        """The present row earlier or later."""
        state = self._history.now
        order = list(range(len(state.recipe.changes)))
        if 0 <= state.row + by < len(order):
            order.insert(state.row + by, order.pop(state.row))
            self._turn_to(state.ordered(order))

    def _remove(self) -> None:
        state = self._history.now
        order = [i for i in range(len(state.recipe.changes)) if i != state.row]
        if order:
            self._turn_to(state.ordered(order))

    def _go(self, back: bool) -> None:
        self._turn_to(self._history.go(back))

    def _reset(self) -> None:
        self._turn_to(self._history.first)

    # -- what is kept, and what is suggested ------------------------------------------------------
    def _kept_as(self, name: str) -> str:
        """Keep the edits, for any target, under a name, and return what that became."""
        if not (slug := _slug(name)):
            raise ValueError("preset name: type a name first, of letters and digits")
        recipe, folder = self._history.now.recipe, self._folder
        kept = recipe if folder is None else recipe.save(folder / "presets" / f"{slug}.json")
        self._presets[slug] = kept
        return slug

    def _take_kept(self, name: str) -> None:
        """Show kept edits on the present target."""
        kept = self._presets[name]
        recipe = Recipe.load(kept) if isinstance(kept, Path) else kept
        self._check(recipe)
        self._turn_to(StudioState(replace(self._history.now.recipe, changes=recipe.changes)))

    def _saved(self) -> Path:
        """Write the picture at full size under the next free number."""
        if self._folder is None:
            raise ValueError("there is no folder to save to; make EditStudio(..., folder=...)")
        edit = self._editor.render(self.recipe)
        taken = "-".join(f"{change.part}-{change.reference}" for change in edit.recipe.changes)
        stem = _slug(f"{taken[:100]}-onto-{edit.recipe.target}")
        with exclusive(self._folder):  # (so that nobody takes the number meanwhile)
            numbered = (self._folder / f"{stem}-{number:03}.png" for number in count(1))
            return edit.save(next(path for path in numbered if not path.exists()))

    def _small(self, sources: Iterable[Source]) -> Tensor:
        """Pictures to choose from, (N, 3, H, W)."""
        recipe = self._history.now.recipe
        options: dict[str, Any] = {"truncation": recipe.truncation, "label": recipe.label}
        return self._editor.pictures(sources, upto=self._upto, **options)

    def _results(self, state: StudioState, by: Any) -> list[tuple[int, Tensor]]:
        """Edits with the references that come first: their seeds and pictures."""
        change, truncation, both = state.change, state.recipe.truncation, (self._generator, self._catalog)
        if self._bank is None or self._bank.truncation != truncation:
            self._bank = PartBank.of(*both, range(_BANK), truncation=truncation)
        bank, target = self._bank, state.recipe.target
        options: dict[str, Any] = {"bank": bank, "by": by, "truncation": truncation}
        found = retrieve(*both, target, change.part, settings=change.settings, **options)
        if change.settings.where == "part":
            areas = bank.areas[:, list(bank.parts).index(change.part)]
            found = [match for match in found if areas[bank.seeds.index(match.seed)] > 0]
        results = []
        best = found[:_OFFERS]
        for match in track(best, total=len(best), description="trying them", show=True):
            tried = state.with_change(replace(change, reference=match.seed)).shown
            results.append((match.seed, self._editor.render(tried, upto=self._upto).image))
        return results

    # -- drawing ----------------------------------------------------------------------------------
    def _draw(self, edit: Edit) -> None:
        raise NotImplementedError

    def _write(self) -> None:
        """Let the controls show the present state."""
        raise NotImplementedError

    def _turn_to(self, state: StudioState, what: str = "") -> None:
        """Show a state that the controls did not make."""
        self._show(state, what)

    def _show(self, state: StudioState, what: str) -> None:
        """Draw what a frame has time for, and the whole picture once the controls have come to rest."""
        if self._hasty is None:
            generator, side = preview_of(self._generator, self._frame)
            own = generator is self._generator
            self._hasty = self._editor if own else Editor(generator, self._catalog), side
        self._moves += 1
        editor, side = self._hasty
        whole = side == self._generator.size[0]
        edit = editor.render(state.shown, upto=None if whole else side)
        self._history.push(replace(state, recipe=self._editor.sign(state.recipe)), what)
        self._write()
        self._draw(edit)
        if not whole:
            self._wait_for_rest()

    def _wait_for_rest(self) -> None:
        rest = threading.Timer(_REST, self._come_to_rest, [self._moves])
        rest.daemon = True
        rest.start()

    def _come_to_rest(self, move: int) -> None:
        """The whole picture, unless a control has moved again (or does so before it is finished)."""
        if move != self._moves:  # (asked outside too: to end quietly would clear the panel's error)
            return
        with self._guarded() as turn:
            try:
                if move == self._moves:
                    # (in half precision where previews are, since that is sooner; files are float32)
                    editor = self._editor if self._hasty is None else self._hasty[0]
                    self._draw(editor.render(self.recipe, stop=lambda: self._latest is not turn))
            except Superseded:
                self._wait_for_rest()  # (what came may have been no move, but a click)


def _check_ends(settings: QuerySettings) -> None:
    """A slider has an end, and is for all layers."""
    for name in ("rho", "epsilon", "leak"):
        check_number(name, getattr(settings, name), minimum=0)


def tuned_settings(catalog: Catalog, tables: Tables | None) -> dict[tuple[str, str], QuerySettings]:
    """The settings of each kind of contributions and each part."""
    found = {}
    for table in [] if tables is None else [tables] if isinstance(tables, Mapping) else tables:
        for part, settings in table.items():
            check_name("settings", part, list(catalog.parts), what="part")
            _check_ends(settings)
            found[settings.contributions or catalog.measure, part] = settings
    return found


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.strip())[:120]


def _plain_to_see(editor: Editor) -> Recipe:
    """One edit in place that changes much: of hair, or of the second largest part, from another colour."""
    sizes, whole = editor.generator.preview_sizes, editor.generator.size[0]
    small = next((s for s in sizes if s >= _SMALL), whole)
    target, *others = editor.pictures(range(_FEW), upto=None if small == whole else small)
    apart = torch.stack([color_difference(target, other).mean() for other in others])
    reference = 1 + int(apart.argmax())
    seen = View(editor).seen_parts(Recipe(0), reference)
    part = "hair" if "hair" in seen else seen[min(1, len(seen) - 1)]
    return Recipe(0, (Change(part, reference, settings=QuerySettings(where="part")),))


def preview_of(generator: Generator, seconds: float) -> tuple[Generator, int]:
    """What to preview with: a generator and the largest side of which it makes an image in that time.

    The generator is the given one, or a copy of it in bfloat16 where that shows more, or as much sooner (its
    images differ by a quarter of a grey level on average). Sizes are tried in ascending order until one is
    too slow; where none is fast enough, it is the smallest that shows something (64 pixels); where there are
    no smaller images than the whole, that.
    """
    useful = {s for s in generator.preview_sizes if _LEAST <= s <= generator.preview_size}
    sizes = sorted({*useful, generator.size[0]})
    if len(sizes) == 1:
        return generator, sizes[0]
    side, spent = _largest(generator, sizes, seconds)
    if side == sizes[-1] or generator.dtype != torch.float32:
        return generator, side
    half = copy.deepcopy(generator).to(torch.bfloat16)
    other, sooner = _largest(half, sizes[:-1], seconds)
    better = other > side or (other == side and sooner < spent)
    return (half, other) if better else (generator, side)


def _largest(generator: Generator, sizes: list[int], seconds: float) -> tuple[int, float]:
    """The largest of the sizes that is made in time (else the first), and what it takes."""
    found = sizes[0], _seconds(generator, sizes[0])
    for size in sizes[1:]:
        if found[1] > seconds:
            break
        spent = _seconds(generator, size)
        if spent > seconds:
            break
        found = size, spent
    return found


def _seconds(generator: Generator, size: int) -> float:
    """Time of one image; the better of two, since the first makes ready what the next one uses."""
    times = []
    with torch.inference_mode():
        labels = [generator.default_label or 0] if generator.label_dim else None
        styles = generator.sample_styles([0], labels=labels)
        for _ in range(2):
            start = time.perf_counter()
            generator.synthesize(styles, upto=size).cpu()  # (waits for a GPU)
            times.append(time.perf_counter() - start)
    return min(times)
