"""The edit studio: several edits of one picture, live."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lefs.catalog import Catalog
from lefs.checks import check_name
from lefs.editing import Change, Recipe
from lefs.editor import Edit
from lefs.generator import Generator
from lefs.query import QuerySettings
from lefs.widgets.advice import lower_price, why_nothing_moves
from lefs.widgets.canvas import Canvas
from lefs.widgets.controls import line, move_to, row, show_if
from lefs.widgets.stage import check_ends
from lefs.widgets.strips import name_of
from lefs.widgets.studio_actions import TUNED, StudioActions
from lefs.widgets.studio_controls import buttons, choices, rows, sliders
from lefs.widgets.studio_layout import lay_out
from lefs.widgets.studio_state import StudioState
from lefs.widgets.studio_view import OWN_CONTROLS, SIGNS

__all__ = ["EditStudio"]

_CHOSEN = ("where", "method", "contributions", "tone", *TUNED)

Tables = Mapping[str, QuerySettings] | Iterable[Mapping[str, QuerySettings]]


class EditStudio(StudioActions):
    """Edit parts of a target from references, live.

    Shown as a cell's last value: small pictures to choose target and reference from; the edit, large, with
    target, references and where it changed beside it; and the controls of one of its edits. Every control
    acts at once, from the mouse or the keyboard; a click on a part of a picture chooses it.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
        Of that generator.
    recipe : Recipe, optional
        To start with, of one change or more; its truncation ψ, in [0, 1], stays, and so does a target or a
        reference that is not a seed. None: one edit in place on a pair where it is plain to see.
    settings : mapping of str to QuerySettings, or several such mappings, optional
        The settings tuned for each part, as `lefs.evaluation.load_settings` gives them; several where there
        are some for contributions by energy and by effect. A part brings its own with it when it is chosen;
        whoever has moved a slider is asked first.
    folder : path, optional
        Where "Save" writes numbered pictures, their recipe inside, and presets are kept; both need one.
    frame : float
        Seconds that a picture may take while a control moves. A generator that needs longer is shown at a
        lower resolution, if it has one, until the control comes to rest.

    Attributes
    ----------
    edit : Edit
        What is shown.
    state : dict
        The same as plain values for JSON; setting it shows that.
    code, parameters : str
        The same as Python, and as parameters of the editing notebook.
    controls : dict of str to Widget
        Of the edit in the row: "part", "where", "contributions", "method", "target", "reference", "strength",
        "rho", "epsilon", "slope", "leak", "coarse", "rgb", "tone". Of all of them: "row", "on", "add", "up",
        "down", "remove", "undo", "redo", "reset", "preset", "suggest", "find", "save", "code", "parameters".
        "keep" and "take" answer the question whose settings are to hold, "lower" takes a price at which
        something moves, "instead" another part. Setting a value draws before the assignment returns.
        "where" is "part", in place, or "everywhere", each with the method that was chosen for it last.
        The method "pair" is offered where the catalog has effects.

    Raises
    ------
    ValueError
        If there is no such part; the message lists the parts.
        If the recipe has no change, or a seed, the strength, the truncation or a setting is out of range.
    ArtifactError
        If catalog or recipe are of another generator, or the recipe of another catalog.

    Examples
    --------
    >>> import lefs
    >>> from lefs.widgets import EditStudio
    >>> model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> studio = EditStudio(model, found, lefs.Recipe(1, (lefs.Change("hair", 2),)))
    >>> studio.controls["strength"].value = 0.5
    >>> studio.edit.recipe.changes[0].strength
    0.5
    >>> studio.controls["undo"].click()
    >>> studio.state["recipe"]["changes"][0]["strength"]
    1.0
    >>> studio.close()
    """

    def __init__(
        self,
        generator: Generator,
        catalog: Catalog,
        recipe: Recipe | None = None,
        *,
        settings: Tables | None = None,
        folder: str | os.PathLike[str] | None = None,
        frame: float = 0.1,
    ) -> None:
        super().__init__(generator, catalog, recipe, frame)
        self._tuned = _by_kind(catalog, settings)
        self._moved = self._asking = False  # whose settings hold: see `_choose`
        self._methods = {where: QuerySettings(where=where).method for where in ("everywhere", "part")}
        self._price: float | None = None  # at which something would move, where nothing does for its sake
        self._folder = None if folder is None else Path(folder)
        self._begin_actions()
        change, first = self._history.now.change, self._history.now.recipe.target
        self.controls = {
            **choices(catalog, first, change, channels=generator.has_styles),
            **sliders(catalog, change.strength, change.settings),
            **rows(),
            **buttons(disabled=folder is None),
        }
        self.canvas = Canvas(arrangement="hero", widest=420)
        if change.settings.method == "global":  # (which asks no slider: they stand ready for another)
            self._bring(self._own)
        self._summary, self._status, self._notice = line(), line(), line()
        answers = (self.controls[name] for name in ("keep", "take", "lower", "instead"))
        self._question = row(self._notice, *answers, kind="notice")
        self._build()
        self._begin(lambda: self._draw(self._editor.render(self.recipe)))

    def __repr__(self) -> str:
        *others, change = self.edit.recipe.changes or (self._history.now.change,)
        many = f"{len(others) + 1} edits, the last one " if others else ""
        pair = f"{change.part} of {name_of(change.reference)} onto {name_of(self.edit.recipe.target)}"
        return f"EditStudio: {many}{pair}, strength {change.strength:g}, {change.settings}"

    # -- layout -----------------------------------------------------------------------------------
    def _build(self) -> None:
        c, shown = self.controls, ("summary", "status", "question", "offers")
        lines = {name: getattr(self, f"_{name}") for name in shown}
        acts: dict[str, Callable[[Any], None]] = {"where": self._place, **dict.fromkeys(TUNED, self._set)}
        acts |= {"part": self._choose, "contributions": self._choose, "row": self._turn, "on": self._switch}
        acts |= {"preset": self._take_preset}
        clicks = {"save": self._save, "keep": self._keep, "take": self._take, "lower": self._lower}
        clicks |= {"instead": self._take_other, "add": self._add, "find": self._suggest}
        clicks |= {"undo": partial(self._go, True), "redo": partial(self._go, False), "reset": self._reset}
        clicks |= {"up": partial(self._move, -1), "down": partial(self._move, 1), "remove": self._remove}
        clicks |= {"code": partial(self._copy, "code"), "parameters": partial(self._copy, "parameters")}
        clicks |= {"keep preset": self._keep_preset}
        silent = ("preset name", "suggest")  # (which are read when a button is pressed)
        for name, control in c.items():
            if name in clicks:
                self._on_click(control, clicks[name])
            elif name not in silent:
                self._on_change(control, partial(self._act, name, acts.get(name, self._preview)))
        for which, strip in self._strips.items():
            self.controls |= strip.controls
            self._connect(which, strip)
        self._on_change(self.canvas, self._picked, "picked")
        self._on_change(
            self._offers, lambda new: self._source("reference", self._offered[new["panel"]]), "picked"
        )
        self._arrange(*lay_out(c, self._strips, self.canvas, lines))
        self._offer_presets()

    # -- from controls to a state, and back -------------------------------------------------------
    def _act(self, name: str, act: Callable[[Any], None], value: Any) -> None:
        self._what = name
        act(value)

    def _read(self) -> StudioState:
        """The state that the controls say."""
        c, state = self.controls, self._history.now
        old, target = state.change, c["target"].value
        settings = replace(old.settings, **{name: c[name].value for name in _CHOSEN})
        part, reference = c["part"].value, c["reference"].value
        mask = old.mask if part == old.part and settings.where == "part" else None
        change = Change(
            part, old.reference if reference == "" else reference, c["strength"].value, settings, mask
        )
        state = state.with_change(change)
        recipe = replace(state.recipe, target=state.recipe.target if target == "" else target)
        return replace(state, recipe=self._editor.sign(recipe))

    def _write(self) -> None:
        state, c = self._history.now, self.controls
        change = state.change
        with self._silently():
            for name, source in (("target", state.recipe.target), ("reference", change.reference)):
                c[name].value = source if isinstance(source, int) else ""
            if change.part not in c["part"].options:
                c["part"].options = (*c["part"].options, change.part)
            c["part"].value, c["on"].value = change.part, state.row not in state.off
            for name in ("where", "method", "tone"):
                c[name].value = getattr(change.settings, name)
            c["contributions"].value = change.settings.contributions
            move_to(c["strength"], change.strength)
        self._bring(change.settings)
        self._moved = self._asking = False
        self._list()

    def _preview(self, _: object = None) -> None:
        state = self._read()
        if self._possible(state):
            self._show(state, self._what)

    # -- whose settings hold ----------------------------------------------------------------------
    @property
    def _own(self) -> QuerySettings | None:
        """The settings that were tuned for the part, for the contributions that are chosen."""
        return self._tuned.get((self.controls["contributions"].value, self.controls["part"].value))

    def _differ(self) -> bool:
        own = self._own
        return own is not None and any(self.controls[n].value != getattr(own, n) for n in TUNED)

    def _choose(self, _: object) -> None:
        """A part brings its settings with it; whoever has moved a slider is asked first."""
        sliders = self.controls["method"].value != "global"  # (which has none to ask about)
        self._asking = self._moved and self._differ() and sliders
        if not self._moved:
            self._bring(self._own)
        self._preview()

    def _place(self, where: str) -> None:
        """In place and everywhere have a method each: the one that was chosen last, or the usual one."""
        self._methods["everywhere" if where == "part" else "part"] = self.controls["method"].value
        with self._silently():
            self.controls["method"].value = self._methods[where]
        self._preview()

    def _set(self, _: object) -> None:
        self._moved, self._asking = True, False
        self._preview()

    def _bring(self, settings: QuerySettings | None) -> None:
        with self._silently():
            for name in TUNED if settings is not None else ():
                move_to(self.controls[name], getattr(settings, name))

    def _keep(self) -> None:
        self._asking = False
        self._advise()

    def _take(self) -> None:
        self._moved = self._asking = False
        self._bring(self._own)
        self._preview()

    def _lower(self) -> None:
        self.controls["rho"].value = self._price

    def _take_other(self) -> None:
        self.controls["part"].value = self._other

    def _possible(self, state: StudioState) -> bool:
        """Whether there is a place for the present edit; if not, say so and offer another part."""
        change, c = state.change, self.controls
        if change.settings.where == "everywhere" or change.mask is not None:
            return True
        seen = self._view.seen_parts(state.recipe, change.reference)
        if not seen or change.part in seen:
            return True
        self._other = seen[min(1, len(seen) - 1)]
        self._notice.value = html.escape(
            f"{change.part} is in neither picture, so there is no place to edit; these are: "
            f"{', '.join(seen)}. Suggest finds references that have it."
        )
        c["instead"].description = f"Edit {self._other} instead"
        for name in ("keep", "take", "lower", "instead"):
            show_if(name == "instead", c[name])
        show_if(True, self._question)
        return False

    def _advise(self) -> None:
        """Say why nothing moves and offer the ways out, or ask whose settings are to hold."""
        state, c = self._history.now, self.controls
        change, shown = state.change, self.edit.recipe.changes
        still = change in shown and not bool(self.edit.queries[shown.index(change)].any())
        self._price, texts = None, []
        if still:
            about = (change.settings, self._catalog, change.part)
            pair = (self._view.styles(s, state.recipe) for s in (state.recipe.target, change.reference))
            self._price = lower_price(*about, *pair)
            texts.append(f"Nothing moves: {why_nothing_moves(*about, self._price)}.")
        elif change.strength == 0:
            texts.append("Nothing moves: the strength λ is 0.")
        if self._asking:
            texts.append(f"The sliders are as you set them. {change.part} has settings of its own.")
        self._notice.value = html.escape(" ".join(texts))
        c["take"].description = f"Take those tuned for {change.part}"
        c["lower"].description = "" if self._price is None else f"Take ρ = {self._price:g}"
        show_if(self._asking, c["keep"])
        show_if((self._asking or still) and self._differ(), c["take"])
        show_if(self._price is not None, c["lower"])
        show_if(False, c["instead"])
        show_if(bool(texts), self._question)

    # -- drawing ----------------------------------------------------------------------------------
    def _draw(self, edit: Edit) -> None:
        self.edit, state, c = edit, self._history.now, self.controls
        shown = OWN_CONTROLS[c["method"].value]
        for name in SIGNS:
            show_if(name in shown, c[name])
        show_if("contributions" in shown and len(c["contributions"].options) > 1, c["contributions"])
        show_if(c["where"].value == "part", c["tone"])
        self.canvas.show(*self._view.pictures(edit, state.change))
        self._summary.value = self._view.measures(edit, state.change)
        self._list()
        self._strips["target"].show(state.recipe.target)
        self._strips["reference"].show(state.change.reference)
        self._advise()


def _by_kind(catalog: Catalog, tables: Tables | None) -> dict[tuple[str, str], QuerySettings]:
    """The settings of each kind of contributions and each part."""
    found = {}
    for table in [] if tables is None else [tables] if isinstance(tables, Mapping) else tables:
        for part, settings in table.items():
            check_name("settings", part, list(catalog.parts), what="part")
            check_ends(settings)
            found[settings.contributions or catalog.measure, part] = settings
    return found
