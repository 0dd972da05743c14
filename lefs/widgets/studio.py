"""The edit studio: several edits of one picture, live."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from lefs.catalog import Catalog
from lefs.editing import Change, Recipe
from lefs.editor import Edit
from lefs.generator import Generator
from lefs.images import opaque, to_uint8
from lefs.query import QuerySettings
from lefs.sources import Source
from lefs.widgets.canvas import Canvas, Picture
from lefs.widgets.controls import line, move_to, row, show_if
from lefs.widgets.stage import Stage, Tables, tuned_settings
from lefs.widgets.strips import Strip, name_of, source_of
from lefs.widgets.studio_controls import lay_out, studio_controls
from lefs.widgets.studio_state import StudioState
from lefs.widgets.studio_view import OWN_CONTROLS, SIGNS, lower_price, stated, why_nothing_moves

__all__ = ["EditStudio"]

_TUNED = (*SIGNS, "coarse", "rgb")  # what a part brings with it
_SHOWN = ("target", "reference", "method", "tone", "strength")  # what is drawn as it is set
_ANSWERS = ("keep", "take", "lower", "instead")


class EditStudio(Stage):
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
        super().__init__(generator, catalog, recipe, folder, frame)
        self._tuned = tuned_settings(catalog, settings)
        self._moved = self._asking = False  # whose settings hold: see `_choose`
        self._methods = {where: QuerySettings(where=where).method for where in ("everywhere", "part")}
        self._price: float | None = None  # at which something would move, where nothing does for its sake
        state = self._history.now
        begins = {"target": state.recipe.target, "reference": state.change.reference}
        self._strips = {name: Strip(name, self._small, source) for name, source in begins.items()}
        channels = generator.has_styles and catalog.measure != "none"
        self.controls = studio_controls(catalog, channels=channels)
        self.controls["save"].disabled = folder is None
        self._write()
        if state.change.settings.method == "global":  # (which asks no slider: they stand ready for another)
            self._bring(self._own)
        self.canvas = Canvas(arrangement="hero", widest=420)
        self._offers, self._offered, self._asked = Canvas(arrangement="strip"), list[int](), state.asked
        self._summary, self._status, self._notice = line(), line(), line()
        self._question = row(self._notice, *(self.controls[n] for n in _ANSWERS), kind="notice")
        self._build()
        self._begin(lambda: self._draw(self._editor.render(self.recipe)))

    def __repr__(self) -> str:
        *others, change = self.edit.recipe.changes or (self._history.now.change,)
        many = f"{len(others) + 1} edits, the last one " if others else ""
        pair = f"{change.part} of {name_of(change.reference)} onto {name_of(self.edit.recipe.target)}"
        return f"EditStudio: {many}{pair}, strength {change.strength:g}, {change.settings}"

    # -- layout -----------------------------------------------------------------------------------
    def _build(self) -> None:
        acts: dict[str, Callable[..., object]] = {
            **{name: partial(self._preview, name) for name in _SHOWN},
            **{name: partial(self._choose, name) for name in ("part", "contributions")},
            **{name: partial(self._set, name) for name in _TUNED},
            **{name: partial(self._copy, name) for name in ("code", "parameters")},
            "where": self._place, "row": self._turn, "on": self._switch, "add": self._add,
            "up": partial(self._move, -1), "down": partial(self._move, 1), "remove": self._remove,
            "undo": partial(self._go, True), "redo": partial(self._go, False), "reset": self._reset,
            "preset": self._take_preset, "keep preset": self._keep_preset, "save": self._save,
            "find": self._suggest, "keep": self._keep, "take": self._take,
            "lower": lambda: self.controls["rho"].set_trait("value", self._price),
            "instead": lambda: self.controls["part"].set_trait("value", self._other),
        }  # fmt: skip
        self._connect(acts)
        for which, strip in self._strips.items():
            self.controls |= strip.controls
            strip.connect(self._on, partial(self._source, which), partial(self._file, which))
        self._on(self.canvas, self._picked, "picked")
        self._on(self._offers, lambda new: self._source("reference", self._offered[new["panel"]]), "picked")
        strips, main = [s.box for s in self._strips.values()], [self._question, self.canvas, self._summary]
        self._arrange(*lay_out(self.controls, strips, main, self._offers, self._status))
        self._offer_presets()

    # -- from controls to a state, and back -------------------------------------------------------
    def _read(self, **chosen: Source) -> StudioState:
        """The state that the controls say, with what was chosen by looking instead of a seed of theirs."""
        state, old = self._history.now, self._history.now.change
        value = {name: control.value for name, control in self.controls.items() if hasattr(control, "value")}
        value |= chosen
        names = ("where", "method", "contributions", "tone", *_TUNED)
        settings = replace(old.settings, **{name: value[name] for name in names})
        part, reference, target = value["part"], value["reference"], value["target"]
        mask = old.mask if part == old.part and settings.where == "part" else None
        reference = old.reference if reference == "" else reference  # (of one's own)
        state = state.with_change(Change(part, reference, value["strength"], settings, mask))
        return state if target == "" else replace(state, recipe=replace(state.recipe, target=target))

    def _write(self) -> None:
        state, c = self._history.now, self.controls
        change = state.change
        with self._silently():
            for name, source in (("target", state.recipe.target), ("reference", change.reference)):
                c[name].value = source if isinstance(source, int) else ""
            if change.part not in c["part"].options:
                c["part"].options = (*c["part"].options, change.part)
            c["part"].value, c["on"].value = change.part, state.row not in state.off
            for name in ("where", "method", "tone", "contributions"):
                c[name].value = getattr(change.settings, name)
            move_to(c["strength"], change.strength)
        self._bring(change.settings)

    def _preview(self, what: str, _: object = None) -> None:
        state = self._read()
        if self._possible(state):
            self._show(state, what)

    def _turn_to(self, state: StudioState, what: str = "") -> None:
        """Show a state that the controls did not make."""
        self._moved = self._asking = False
        self._show(state, what)

    # -- whose settings hold ----------------------------------------------------------------------
    @property
    def _own(self) -> QuerySettings | None:
        """The settings that were tuned for the part, for the contributions that are chosen."""
        return self._tuned.get((self.controls["contributions"].value, self.controls["part"].value))

    def _differ(self) -> bool:
        own = self._own
        return own is not None and any(self.controls[n].value != getattr(own, n) for n in _TUNED)

    def _choose(self, what: str, _: object) -> None:
        """A part brings its settings with it; whoever has moved a slider is asked first."""
        sliders = self.controls["method"].value != "global"  # (which has none to ask about)
        self._asking = self._moved and self._differ() and sliders
        if not self._moved:
            self._bring(self._own)
        self._preview(what)

    def _place(self, where: str) -> None:
        """In place and everywhere have a method each: the one that was chosen last, or the usual one."""
        self._methods["everywhere" if where == "part" else "part"] = self.controls["method"].value
        with self._silently():
            self.controls["method"].value = self._methods[where]
        self._preview("where")

    def _set(self, what: str, _: object) -> None:
        self._moved, self._asking = True, False
        self._preview(what)

    def _bring(self, settings: QuerySettings | None) -> None:
        with self._silently():
            for name in _TUNED if settings is not None else ():
                move_to(self.controls[name], getattr(settings, name))

    def _keep(self) -> None:
        self._asking = False
        self._advise()

    def _take(self) -> None:
        self._moved = self._asking = False
        self._bring(self._own)
        self._preview("take")

    def _possible(self, state: StudioState) -> bool:
        """Whether there is a place for the present edit; if not, say so and offer another part."""
        change = state.change
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
        self.controls["instead"].description = f"Edit {self._other} instead"
        self._ask("instead")
        return False

    def _ask(self, *ways: str) -> None:
        """Show what the notice says, and the buttons that answer it."""
        for name in _ANSWERS:
            show_if(name in ways, self.controls[name])
        show_if(bool(self._notice.value), self._question)

    def _advise(self) -> None:
        """Say why nothing moves and offer the ways out, or ask whose settings are to hold."""
        state, c = self._history.now, self.controls
        change, shown = state.change, self.edit.recipe.changes
        still = change in shown and not bool(self.edit.queries[shown.index(change)].any())
        self._price, texts, ways = None, [], []
        if still:
            about = (change.settings, self._catalog, change.part)
            pair = (self._view.styles(s, state.recipe) for s in (state.recipe.target, change.reference))
            self._price = lower_price(*about, *pair)
            texts.append(f"Nothing moves: {why_nothing_moves(*about, self._price)}.")
        elif change.strength == 0:
            texts.append("Nothing moves: the strength λ is 0.")
        if self._price is not None:
            c["lower"].description = f"Take ρ = {self._price:g}"
            ways.append("lower")
        if self._asking:
            texts.append(f"The sliders are as you set them. {change.part} has settings of its own.")
            ways.append("keep")
        if (self._asking or still) and self._differ():
            c["take"].description = f"Take those tuned for {change.part}"
            ways.append("take")
        self._notice.value = html.escape(" ".join(texts))
        self._ask(*ways)

    # -- several edits ----------------------------------------------------------------------------
    def _list(self) -> None:
        """The rows, as the list shows them."""
        state, c = self._history.now, self.controls
        told = [f"{i + 1}  {stated(e)}, {name_of(e.reference)}" for i, e in enumerate(state.recipe.changes)]
        options = tuple((t + " (off)" * (i in state.off), i) for i, t in enumerate(told))
        with self._silently():
            if c["row"].options != options:
                c["row"].options = options
            c["row"].rows, c["row"].value = min(5, max(2, len(options))), state.row
        c["up"].disabled, c["down"].disabled = state.row == 0, state.row == len(options) - 1
        c["remove"].disabled = len(options) == 1
        self._can_go(self._history)

    def _turn(self, number: int) -> None:
        self._history.now = replace(self._history.now, row=number)
        self._moved = self._asking = False
        self._write()
        self._draw(self.edit)

    def _add(self, part: str | None = None) -> None:
        state = self._history.now
        change, taken = state.change, {each.part for each in state.recipe.changes}
        seen = self._view.seen_parts(state.recipe, change.reference)
        part = next((p for p in seen[1:] if p not in taken), seen[0]) if part is None else part
        tuned = self._tuned.get((str(change.settings.contributions), part))
        brought = {} if tuned is None else {name: getattr(tuned, name) for name in _TUNED}
        settings = replace(change.settings, **brought)
        self._turn_to(state.added(Change(part, change.reference, settings=settings)))

    # -- by looking -------------------------------------------------------------------------------
    def _picked(self, new: Mapping[str, Any]) -> None:
        """A part of a picture was clicked; with shift it is one more edit."""
        names = list(self._catalog.parts)
        if not 0 <= new["region"] < len(names):
            return
        if new["shift"]:
            self._add(names[new["region"]])
        else:
            self.controls["part"].value = names[new["region"]]

    def _source(self, which: str, source: Source) -> None:
        state = self._read(**{which: source})
        if self._possible(state):
            self._turn_to(state, which)

    def _file(self, which: str, name: str, content: Any) -> None:
        """A picture (which is inverted while the panel goes on) or a w of somebody's own."""
        read = partial(source_of, self._generator, name, content)
        self._in_background(read, partial(self._source, which))

    def _suggest(self) -> None:
        state = self._read()
        find = partial(self._results, state, self.controls["suggest"].value)
        self._in_background(find, partial(self._offer, state.asked))

    def _offer(self, asked: tuple[str, int, Source], results: Sequence[tuple[int, Tensor]]) -> None:
        if asked != self._read().asked:
            raise ValueError(f"the suggestions were for {asked[0]}, which is not edited now: suggest again")
        self._asked, self._offered = asked, [seed for seed, _ in results]
        pictures = [Picture(to_uint8(opaque(image)), str(seed), pick=True) for seed, image in results]
        self._offers.show(*pictures)
        part = html.escape(asked[0])
        self._status.value = f"{len(results)} references for {part}, tried: click one to take it"

    # -- taking home ------------------------------------------------------------------------------
    def _offer_presets(self) -> None:
        with self._silently():
            self.controls["preset"].options = [("–", ""), *((name, name) for name in self._presets)]
            self.controls["preset"].value = ""

    def _keep_preset(self) -> None:
        name = self._kept_as(self.controls["preset name"].value)
        self._offer_presets()
        self._status.value = f"kept as {html.escape(name)}"

    def _take_preset(self, name: str) -> None:
        if name:
            self._offer_presets()
            self._take_kept(name)

    def _save(self) -> None:
        self._status.value = f"saved {html.escape(str(self._saved()))}, with its recipe inside"

    def _copy(self, what: str) -> None:
        text = getattr(self, what)
        self.canvas.copy(text)
        seen = f"<pre>{html.escape(text[:4000])}</pre>"
        self._status.value = (
            f"<details><summary>copied to the clipboard; to look at it</summary>{seen}</details>"
        )

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
        if self._offered and self._asked != state.asked:  # (they were for another part, row or target)
            self._offered, self._status.value = [], ""
            self._offers.show()
        self._advise()
