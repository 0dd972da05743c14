"""What stands behind the edit studio: its states, and how each becomes a picture in the time there is."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import torch
from matplotlib.figure import Figure

from lefs.catalog import Catalog
from lefs.checks import check_number
from lefs.editing import Change, Recipe
from lefs.editor import Edit, Editor, Superseded
from lefs.generator import Generator
from lefs.images import color_difference
from lefs.plotting import comparison_strip, edit_strip
from lefs.query import QuerySettings
from lefs.widgets.history import History
from lefs.widgets.pacing import preview_of
from lefs.widgets.panel import Panel
from lefs.widgets.strips import name_of
from lefs.widgets.studio_state import StudioState, as_code, as_parameters
from lefs.widgets.studio_view import View

__all__ = ["Stage"]

_FEW, _SMALL = 8, 32  # pictures that a studio begins with one of; side in pixels at which they are compared
_REST = 0.25  # seconds after which a control that has not moved is taken to rest


class Stage(Panel):
    """Holds the states of a studio and renders the present one; what is shown of it is left to others."""

    edit: Edit

    def __init__(self, generator: Generator, catalog: Catalog, recipe: Recipe | None, frame: float) -> None:
        super().__init__(generator, catalog)
        self._catalog, self._editor = catalog, Editor(generator, catalog)
        self._view = View(self._editor)
        self._frame = check_number("frame", frame, minimum=0, finite=False)
        recipe = _plain_to_see(self._editor) if recipe is None else recipe
        self._editor.check_owner(recipe)
        self._check(recipe)
        self._history = History(StudioState(self._editor.sign(recipe)))
        self._hasty: tuple[Editor, int] | None = None  # for previews; chosen when a control moves
        self._moves = 0

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
        self._editor.check_owner(state.recipe)
        self._check(state.recipe)
        state = replace(state, recipe=self._editor.sign(state.recipe))
        self._begin(lambda: self._turn_to(state, "state"))

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
        preview = self.edit.image.shape[-2] < self._generator.size[0]
        edit = self._editor.render(self.recipe) if preview else self.edit
        if len(edit.recipe.changes) != 1:
            changes = {"edit": edit.change}
            return comparison_strip(edit.pictures, changes=changes, title=_told(edit.recipe))
        (change,) = edit.recipe.changes
        place = ", in place" if change.settings.where == "part" else ""
        title = f"{_told(edit.recipe)}{place}, λ = {change.strength:g}"
        return edit_strip(edit.target, edit.image, edit.references[0], edit.change, title=title)

    def close(self) -> None:
        """Take the panel out of the page and out of memory; `edit`, `state` and `recipe` stay."""
        self._moves += 1
        super().close()
        # (somebody may hold on to the panel, such as a notebook that counts its outputs)
        self._editor, self._hasty = Editor(self._generator, self._catalog), None
        self._view = View(self._editor)

    def _check(self, recipe: Recipe) -> None:
        """Whether there are controls for it: sliders would silently pull a wrong value into their range."""
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
            check_ends(settings)

    # -- drawing ----------------------------------------------------------------------------------
    def _draw(self, edit: Edit) -> None:
        raise NotImplementedError

    def _write(self) -> None:
        """Let the controls show the present state."""
        raise NotImplementedError

    def _turn_to(self, state: StudioState, what: str) -> None:
        """Show a state that the controls did not make."""
        self._show(state, what)
        self._write()

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
        self._history.push(state, what)
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


def check_ends(settings: QuerySettings) -> None:
    """A slider has an end, and is for all layers."""
    for name in ("rho", "epsilon", "leak"):
        check_number(name, getattr(settings, name), minimum=0)


def _plain_to_see(editor: Editor) -> Recipe:
    """One edit in place that changes much: of hair, or of the second largest part, from another colour."""
    view = View(editor)
    sizes, whole = editor.generator.preview_sizes, editor.generator.size[0]
    small = next((s for s in sizes if s >= _SMALL), whole)
    target, *others = editor.pictures(range(_FEW), upto=None if small == whole else small)
    apart = torch.stack([color_difference(target, other).mean() for other in others])
    reference = 1 + int(apart.argmax())
    seen = view.seen_parts(Recipe(0), reference)
    part = "hair" if "hair" in seen else seen[min(1, len(seen) - 1)]
    return Recipe(0, (Change(part, reference, settings=QuerySettings(where="part")),))


def _told(recipe: Recipe) -> str:
    """What is taken from where, in words."""
    taken = [f"{change.part} of {name_of(change.reference)}" for change in recipe.changes]
    return f"{', '.join(taken) or 'no edit'} onto {name_of(recipe.target)}"
