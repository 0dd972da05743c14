"""The edit studio: several edits of one picture, live."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ipywidgets
from torch import Tensor

from lefs.catalog import Catalog
from lefs.editing import Change, Recipe
from lefs.editor import Edit
from lefs.generator import Generator
from lefs.images import opaque, to_uint8
from lefs.query import QuerySettings
from lefs.sources import Source
from lefs.widgets import elements as ui
from lefs.widgets.panel import Folder, History
from lefs.widgets.stage import Stage, Tables, tuned_settings
from lefs.widgets.studio_controls import Strip, name_of, source_of, studio_controls
from lefs.widgets.studio_view import OWN_CONTROLS, SIGNS, TUNED, StudioState, stated, why_nothing_moves

__all__ = ["EditStudio"]

_START = """<details open class="lefs-start"><summary>Quick start</summary>
Click a part of a picture: it comes from the reference. Click small pictures to choose others.<br>
Move λ; press the large picture to see it as it was, or wipe with the slider below it.<br>
Add takes a second part, Undo takes anything back, Save keeps the picture and how it was made.</details>"""
_CHANGED = ("target", "reference", "part", "where", "contributions", "method", "tone", "strength", *TUNED)


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
        folder: Folder = None,
        frame: float = 0.1,
    ) -> None:
        super().__init__(generator, catalog, recipe, folder, frame)
        self._tuned = tuned_settings(catalog, settings)
        self._methods = {where: QuerySettings(where=where).method for where in ("everywhere", "part")}
        state = self._history.now
        if state.change.settings.method == "global":  # (which asks no slider: they stand ready for another)
            state = state.having(**self._own(state.change))
            self._history = History(state)
        channels = generator.has_styles and catalog.measure != "none"
        self.controls = studio_controls(catalog, channels=channels)
        self.controls["save"].disabled = self.controls["keep preset"].disabled = folder is None
        begins = {"target": state.recipe.target, "reference": state.change.reference}
        self._strips = {name: Strip(name, self._small, source) for name, source in begins.items()}
        self.canvas = ui.Canvas(arrangement="hero", widest=420)
        self._offers, self._offered, self._asked = ui.Canvas(arrangement="strip"), list[int](), state.asked
        self._build()
        with self._alone():
            self._offer_presets()
            self._write(state)
            self._draw(self._editor.render(self.recipe))

    def __repr__(self) -> str:
        return f"EditStudio: {self.edit.recipe}"

    # -- layout -----------------------------------------------------------------------------------
    def _build(self) -> None:
        acts: dict[str, Callable[..., object]] = {
            **{name: partial(self._change, name) for name in _CHANGED},
            **{name: partial(self._copy, name) for name in ("code", "parameters")},
            "row": self._turn, "on": self._switch, "add": self._add, "remove": partial(self._order, None),
            "up": partial(self._order, -1), "down": partial(self._order, 1),
            "reset": lambda: self._turn_to(self._history.first), "find": self._suggest,
            "preset": self._take_preset, "keep preset": self._keep_preset, "save": self._save,
        }  # fmt: skip
        self._connect(acts)
        self._undo_by(self._turn_to)
        for which, strip in self._strips.items():
            self.controls |= strip.controls
            strip.connect(self._on, partial(self._change, which), partial(self._file, which))
        self._on(self.canvas, self._picked, "picked")
        self._on(self._offers, lambda new: self._change("reference", self._offered[new["panel"]]), "picked")
        self._lay_out()

    def _lay_out(self) -> None:
        """From top to bottom; a wide panel has the controls beside the pictures."""

        def some(*names: str, kind: str = "tools") -> ipywidgets.Box:
            return ui.row(*(self.controls[name] for name in names), kind=kind)

        question = self._answered_by("keep", "take", "lower", "instead")
        side = [
            self.controls["row"],
            some("on", "add", "up", "down", "remove"),
            some("part", "target", "reference", "where", "method", "contributions", "strength", kind="one"),
            ipywidgets.Accordion([some(*TUNED, "tone", kind="one")], titles=["More"]),
            some("suggest", "find"),
            some("preset", "preset name", "keep preset"),
        ]
        both = {"lefs-main": [question, self.canvas, self._summary], "lefs-side": side}
        self._arrange(
            ipywidgets.HTML(_START),
            ui.row(*(strip.box for strip in self._strips.values()), kind="two"),
            ui.row(*(ipywidgets.VBox(own, _dom_classes=(name,)) for name, own in both.items()), kind="body"),
            self._offers,
            ui.row(some("undo", "redo", "reset"), some("save", "code", "parameters"), kind="ends"),
        )

    # -- from controls to a state, and back -------------------------------------------------------
    def _own(self, change: Change) -> dict[str, Any]:
        """What was tuned for the part, for the contributions that are chosen."""
        return self._tuned.get((str(change.settings.contributions), change.part), {})

    def _change(self, name: str, value: Any) -> None:
        """A control has moved, or a picture was chosen."""
        was = self._wanted.change.settings
        state = self._wanted.having(**{name: value})
        if name in TUNED:
            self._moved, self._asking = True, False
        elif name in ("part", "contributions"):
            # They bring their settings with them; whoever has moved a slider is asked first.
            own = self._own(state.change)
            self._asking = self._moved and was.method != "global" and not own.items() <= vars(was).items()
            state = state if self._moved else state.having(**own)
        elif name == "where":
            # In place and everywhere have a method each: the one that was chosen last, or the usual one.
            self._methods[was.where] = was.method
            state = state.having(method=self._methods[value])
        self._write(state)
        if self._possible(state):
            self._show(state, name)

    def _write(self, state: StudioState) -> None:
        """Let the controls say what is wanted, also where it cannot be shown."""
        self._wanted, change, c = state, state.change, self.controls
        told = [f"{i + 1}  {stated(e)}, {name_of(e.reference)}" for i, e in enumerate(state.recipe.changes)]
        rows = [(t + " (off)" * (i in state.off), i) for i, t in enumerate(told)]
        values: dict[str, Any] = {**vars(change.settings), **vars(change), "target": state.recipe.target}
        for name in ("target", "reference"):
            values[name] = values[name] if isinstance(values[name], int) else ""
        ui.offer(c["row"], rows, state.row)
        # (with a mask of one's own it has any name)
        ui.offer(c["part"], dict.fromkeys([*self._catalog.parts, change.part]), change.part)
        c["on"].value, c["row"].rows = state.row not in state.off, min(5, max(2, len(rows)))
        for name in _CHANGED:
            ui.move_to(c[name], values[name])
        c["up"].disabled, c["down"].disabled = state.row == 0, state.row == len(rows) - 1
        c["remove"].disabled = len(rows) == 1
        own = OWN_CONTROLS[change.settings.method]
        for name in SIGNS:
            ui.show_if(name in own, c[name])
        ui.show_if("contributions" in own and len(c["contributions"].options) > 1, c["contributions"])
        ui.show_if(change.settings.where == "part", c["tone"])
        self._can_go()

    def _possible(self, state: StudioState) -> bool:
        """Whether there is a place for the present edit; if not, say so and offer another part."""
        change = state.change
        anywhere = change.settings.where == "everywhere" or change.mask is not None
        seen = [] if anywhere else self._view.seen_parts(state.recipe, change.reference)
        if not seen or change.part in seen:
            return True
        other = seen[min(1, len(seen) - 1)]
        told = f"{change.part} is in neither picture, so there is no place to edit; these are"
        instead = f"Edit {other} instead", partial(self._change, "part", other)
        self._ask(f"{told}: {', '.join(seen)}. Suggest finds references that have it.", instead=instead)
        return False

    def _advise(self) -> None:
        """Say why nothing moves and offer the ways out, or ask whose settings are to hold."""
        state, texts, ways = self._history.now, list[str](), dict[str, tuple[str, Callable[[], object]]]()
        change, shown, own = state.change, self.edit.recipe.changes, self._own(state.change)
        still = change in shown and not bool(self.edit.queries[shown.index(change)].any())
        if still:
            pair = (self._view.styles(s, state.recipe) for s in (state.recipe.target, change.reference))
            why, price = why_nothing_moves(change.settings, self._catalog, change.part, *pair)
            texts.append(f"Nothing moves: {why}.")
            if price is not None:
                ways["lower"] = f"Take ρ = {price:g}", partial(self._change, "rho", price)
        elif change.strength == 0:
            texts.append("Nothing moves: the strength λ is 0.")
        if self._asking:
            texts.append(f"The sliders are as you set them. {change.part} has settings of its own.")
            ways["keep"] = "Keep mine", self._keep
        if (self._asking or still) and not own.items() <= vars(change.settings).items():
            take = partial(self._turn_to, state.having(**own), "take")
            ways["take"] = f"Take those tuned for {change.part}", take
        self._ask(" ".join(texts), **ways)

    def _keep(self) -> None:
        self._asking = False
        self._advise()

    # -- several edits ----------------------------------------------------------------------------
    def _turn(self, number: int | None) -> None:
        if number is not None:  # (a list can be left without a choice; it gets the last one back)
            self._history.now = replace(self._history.now, row=number)
        self._moved = self._asking = False
        self._write(self._history.now)
        self._draw(self.edit)

    def _add(self, part: str | None = None) -> None:
        state = self._history.now
        change, taken = state.change, {each.part for each in state.recipe.changes}
        seen = self._view.seen_parts(state.recipe, change.reference)
        part = next((p for p in seen[1:] if p not in taken), seen[0]) if part is None else part
        changes = (*state.recipe.changes, Change(part, change.reference, settings=change.settings))
        state = replace(state, recipe=replace(state.recipe, changes=changes), row=len(changes) - 1)
        self._turn_to(state.having(**self._own(state.change)))

    # -- by looking -------------------------------------------------------------------------------
    def _picked(self, new: Mapping[str, Any]) -> None:
        """A part of a picture was clicked; with shift it is one more edit."""
        names = list(self._catalog.parts)
        act = self._add if new["shift"] else partial(self._change, "part")
        if 0 <= new["region"] < len(names):
            act(names[new["region"]])

    def _file(self, which: str, name: str, content: Any) -> None:
        """A picture (which is inverted while the panel goes on) or a w of somebody's own."""
        read = partial(source_of, self._generator, name, content)
        self._in_background(read, partial(self._change, which))

    def _suggest(self) -> None:
        find = partial(self._results, self._wanted, self.controls["suggest"].value)
        self._in_background(find, partial(self._offer, self._wanted.asked))

    def _offer(self, asked: tuple[str, int, Source], results: Sequence[tuple[int, Tensor]]) -> None:
        if asked != self._wanted.asked:
            raise ValueError(f"the suggestions were for {asked[0]}, which is not edited now: suggest again")
        self._asked, self._offered = asked, [seed for seed, _ in results]
        pictures = [ui.Picture(to_uint8(opaque(image)), str(seed), pick=True) for seed, image in results]
        self._offers.show(*pictures)
        part = html.escape(asked[0])
        self._status.value = f"{len(results)} references for {part}, tried: click one to take it"

    # -- taking home ------------------------------------------------------------------------------
    def _copy(self, what: str) -> None:
        text = getattr(self, what)
        self.canvas.copy(text)
        told = "<summary>copied to the clipboard; to look at it</summary>"
        self._status.value = f"<details>{told}<pre>{html.escape(text[:4000])}</pre></details>"

    # -- drawing ----------------------------------------------------------------------------------
    def _draw(self, edit: Edit) -> None:
        self.edit, state = edit, self._history.now
        self.canvas.show(*self._view.pictures(edit, state.change))
        self._summary.value = self._view.measures(edit, state.change)
        self._strips["target"].show(state.recipe.target)
        self._strips["reference"].show(state.change.reference)
        if self._offered and self._asked != state.asked:  # (they were for another part, row or target)
            self._offered, self._status.value = [], ""
            self._offers.show()
        self._advise()
