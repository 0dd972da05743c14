"""The edit studio: one target, one reference, one part, and the sliders of the method."""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import ipywidgets
import torch
from matplotlib.figure import Figure

from lefs.catalog import Catalog
from lefs.checks import check_name, check_number
from lefs.editing import Change, Recipe
from lefs.editor import Edit, Editor, Superseded
from lefs.generator import Generator
from lefs.images import opaque, to_uint8
from lefs.plotting import edit_strip
from lefs.query import PartEffects, QuerySettings
from lefs.sources import Source, source_styles
from lefs.widgets.advice import lower_price, why_nothing_moves
from lefs.widgets.canvas import Canvas, Picture, change_picture
from lefs.widgets.controls import line, move_to, row, show_if
from lefs.widgets.pacing import preview_of
from lefs.widgets.panel import Panel, inside_and_outside, joined
from lefs.widgets.studio_controls import buttons, choices, sliders

__all__ = ["EditStudio"]

_OWN_CONTROLS = {
    "sequential": ("contributions", "rho", "epsilon"),
    "released": ("contributions", "rho", "epsilon"),
    "simultaneous": ("contributions", "slope"),
    "global": (),
    "pair": ("rho", "leak"),
}
_SIGNS = {"rho": "ρ", "epsilon": "ε", "slope": "slope", "leak": "leak"}
_TUNED = (*_SIGNS, "coarse", "rgb")  # what a part brings with it
_REST = 0.25  # seconds after which a control that has not moved is taken to rest

Tables = Mapping[str, QuerySettings] | Iterable[Mapping[str, QuerySettings]]


class EditStudio(Panel):
    """Edit one part of a target from a reference, live.

    Shown as a cell's last value: target, edit, reference and where the edit changed the target, with a line
    of measures below. Every control acts at once, from the mouse or the keyboard.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
        Of that generator.
    recipe : Recipe
        To start with, of a single change; its truncation ψ, in [0, 1], stays, and so does a target or a
        reference that is not a seed.
    settings : mapping of str to QuerySettings, or several such mappings, optional
        The settings tuned for each part, as `lefs.evaluation.load_settings` gives them; several where there
        are some for contributions by energy and by effect. A part brings its own with it when it is chosen;
        whoever has moved a slider is asked first.
    folder : path, optional
        Where "Save recipe" writes; the button needs one.
    frame : float
        Seconds that a picture may take while a control moves. A generator that needs longer is shown at a
        lower resolution, if it has one, until the control comes to rest.

    Attributes
    ----------
    edit : Edit
        What is shown.
    controls : dict of str to Widget
        "part", "where", "contributions", "method", "target", "reference", "strength", "rho", "epsilon",
        "slope", "leak", "coarse", "rgb", "save"; "keep" and "take" answer the question whose settings are to
        hold, "lower" takes a price at which something moves. Setting a value draws before the assignment
        returns.
        "where" is "part", in place, or "everywhere", each with the method that was chosen for it last.
        The method "pair" is offered where the catalog has effects.

    Raises
    ------
    ValueError
        If there is no such part; the message lists the parts.
        If the recipe has not one change, or a seed, the strength, the truncation or a setting is out of
        range.
    ArtifactError
        If the catalog is of another generator.

    Examples
    --------
    >>> import lefs
    >>> from lefs.widgets import EditStudio
    >>> model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> studio = EditStudio(model, found, lefs.Recipe(1, (lefs.Change("hair", 2),)))
    >>> studio.controls["strength"].value = 0.5
    >>> studio.edit.recipe.changes[0].strength
    0.5
    """

    edit: Edit

    def __init__(
        self,
        generator: Generator,
        catalog: Catalog,
        recipe: Recipe,
        *,
        settings: Tables | None = None,
        folder: str | os.PathLike[str] | None = None,
        frame: float = 0.1,
    ) -> None:
        super().__init__(generator, catalog)
        _check(generator, catalog, recipe)
        self._truncation = check_number("truncation", recipe.truncation, minimum=0, maximum=1)
        self._editor = Editor(generator, catalog)
        recipe = self._editor.sign(recipe)
        (change,), self._label = recipe.changes, recipe.label
        self._catalog, self._settings = catalog, change.settings
        self._tuned = _by_kind(catalog, settings)
        self._moved = self._asking = False  # whose settings hold: see `_choose`
        self._methods = {where: QuerySettings(where=where).method for where in ("everywhere", "part")}
        self._price: float | None = None  # at which something would move, where nothing does for its sake
        self._folder = None if folder is None else Path(folder)
        self._frame = check_number("frame", frame, minimum=0, finite=False)
        self._hasty: tuple[Editor, int] | None = None  # for previews; chosen when a control moves
        self._moves = 0
        self._masks = lru_cache(maxsize=8)(self._find_masks)
        self.controls = {
            **choices(catalog, recipe.target, change, channels=generator.has_styles),
            **sliders(catalog, change.strength, change.settings),
            **buttons(disabled=folder is None),
        }
        self.canvas = Canvas()
        if change.settings.method == "global":  # (which asks no slider: they stand ready for another)
            self._bring(self._own)
        self._summary, self._status, self._notice = line(), line(), line()
        self._lay_out()
        self._connect()
        self._begin(lambda: self._draw(self._editor.render(self.recipe)))

    def __repr__(self) -> str:
        change = self.edit.recipe.changes[0]
        return f"EditStudio: {_pair(self.edit.recipe)}, strength {change.strength:g}, {change.settings}"

    @property
    def recipe(self) -> Recipe:
        """What the controls say."""
        chosen = {n: self.controls[n].value for n in ("where", "method", "contributions", *_TUNED)}
        names = ("target", "part", "reference", "strength")
        target, part, reference, strength = (self.controls[n].value for n in names)
        change = Change(part, reference, strength, replace(self._settings, **chosen))
        made = Recipe(target, (change,), truncation=self._truncation, label=self._label)
        return self._editor.sign(made)

    def figure(self) -> Figure:
        """Target | edit | reference | where it changed, as a figure."""
        preview = self.edit.image.shape[-1] < self._generator.size[0]
        edit = self._editor.render(self.recipe) if preview else self.edit
        change = edit.recipe.changes[0]
        place = ", in place" if change.settings.where == "part" else ""
        title = f"{_pair(edit.recipe)}{place}, λ = {change.strength:g}"
        return edit_strip(edit.target, edit.image, edit.references[0], edit.change, title=title)

    # -- layout -----------------------------------------------------------------------------------
    def _lay_out(self) -> None:
        c = self.controls
        names = ("part", "target", "reference", "where", "method", "contributions", "strength", *_SIGNS)
        advanced = ipywidgets.Accordion([row(c["coarse"], c["rgb"], kind="two")], titles=["Advanced"])
        self._question = row(self._notice, c["keep"], c["take"], c["lower"], kind="notice")
        self._arrange(
            row(*(c[name] for name in names), kind="three"),
            self._question,
            self.canvas,
            row(self._summary, c["save"], kind="ends"),
            self._status,
            advanced,
        )

    def _connect(self) -> None:
        c = self.controls
        acts: dict[str, Callable[[Any], None]] = {"where": self._place, **dict.fromkeys(_TUNED, self._set)}
        acts |= {"part": self._choose, "contributions": self._choose}
        clicks = {"save": self._save, "keep": self._keep, "take": self._take, "lower": self._lower}
        for name, control in c.items():
            if name in clicks:
                self._on_click(control, clicks[name])
            else:
                self._on_change(control, acts.get(name, self._preview))

    # -- whose settings hold ----------------------------------------------------------------------
    @property
    def _own(self) -> QuerySettings | None:
        """The settings that were tuned for the part, for the contributions that are chosen."""
        return self._tuned.get((self.controls["contributions"].value, self.controls["part"].value))

    def _differ(self) -> bool:
        own = self._own
        return own is not None and any(self.controls[n].value != getattr(own, n) for n in _TUNED)

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
            for name in _TUNED if settings is not None else ():
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

    def _advise(self) -> None:
        """Say why nothing moves and offer the ways out, or ask whose settings are to hold."""
        change, c = self.edit.recipe.changes[0], self.controls
        still = not bool(self.edit.queries.any())
        self._price, texts = None, []
        if still:
            about = (change.settings, self._catalog, change.part)
            pair = (self._styles(seed) for seed in (self.edit.recipe.target, change.reference))
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
        show_if(bool(texts), self._question)

    # -- drawing ----------------------------------------------------------------------------------
    def _preview(self, _: object = None) -> None:
        """Draw what a frame has time for, and the whole picture once the controls have come to rest."""
        if self._hasty is None:
            generator, side = preview_of(self._generator, self._frame)
            own = generator is self._generator
            self._hasty = self._editor if own else Editor(generator, self._catalog), side
        self._moves += 1
        editor, side = self._hasty
        whole = side == self._generator.size[0]
        self._draw(editor.render(self.recipe, upto=None if whole else side))
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
                    self._draw(self._editor.render(self.recipe, stop=lambda: self._latest is not turn))
            except Superseded:
                self._wait_for_rest()  # (what came may have been no move, but a click)

    def _draw(self, edit: Edit) -> None:
        shown = _OWN_CONTROLS[self.controls["method"].value]
        for name in _SIGNS:
            show_if(name in shown, self.controls[name])
        kinds = len(self.controls["contributions"].options) > 1
        show_if("contributions" in shown and kinds, self.controls["contributions"])
        self.edit = edit
        self.canvas.show(*self._pictures())
        self._summary.value = self._measures()
        self._status.value = ""
        self._advise()

    def _pictures(self) -> list[Picture]:
        edit, change = self.edit, self.edit.recipe.changes[0]
        given = torch.stack([edit.target, edit.image, edit.references[0]])
        target, image, reference = to_uint8(opaque(given))
        return [
            Picture(target, "target", _name(edit.recipe.target)),
            Picture(image, "edit", self._stated(change)),
            Picture(reference, "reference", _name(change.reference)),
            change_picture(edit.change),
        ]

    def _stated(self, change: Change) -> str:
        """Part, strength and settings as they are (a slider shows the nearest of its steps)."""
        own = [n for n in _OWN_CONTROLS[change.settings.method] if n in _SIGNS]
        numbers = [f"{_SIGNS[n]} = {getattr(change.settings, n):.3g}" for n in own]
        place = ["in place"] if change.settings.where == "part" else []
        return ", ".join([change.part, *place, f"λ = {change.strength:.3g}", *numbers])

    def _measures(self) -> str:
        """One line: what moves, at what price, and how much changed inside and outside the part."""
        recipe, q = self.edit.recipe, self.edit.queries[0].cpu()
        (change,) = recipe.changes
        part, settings = change.part, change.settings
        count = f"<b>{int(q.count_nonzero()):,}</b> of {len(q):,} channels"
        texts = [f"{count} move"]
        if settings.where == "part":  # (which has no price: outside, all styles stay the target's)
            mixed = "the whole reference" if bool((q == 1).all()) else f"{count} of the reference"
            texts = [f"inside the mask alone: {mixed}"]
        elif settings.method == "pair":
            effects, target = PartEffects.of(self._catalog, part), self._styles(recipe.target)
            leak = float(effects.predicted_leak(torch.ones(1), target, self.edit.styles))
            texts.append(f"predicted outside <b>{leak:.1f}</b> squared levels")
        elif settings.method != "global":
            spent = float((q * (1 - settings.contribution(self._catalog, part))).sum())
            texts.append(f"budget spent <b>{spent:.1f}</b>")
        # (a hat that comes was in the one picture, a hat that goes in the other)
        size = self.edit.change.shape[-1]
        both: list[Any] = [recipe.target, change.reference]
        masks = [self._masks(source, size)[part][0] for source in both]
        return joined([*texts, inside_and_outside(self.edit.change, masks[0] | masks[1])])

    def _styles(self, source: Source) -> torch.Tensor:
        return source_styles(self._generator, source, truncation=self._truncation, label=self._label)

    def _find_masks(self, source: Source, size: int) -> dict[str, torch.Tensor]:
        """Where each part is in a picture: (1, size, size) bool."""
        return self._catalog.part_masks(self._generator, self._styles(source), size=size)

    def _save(self) -> None:
        if self._folder is None:
            raise ValueError("there is no folder to save to; make EditStudio(..., folder=...)")
        recipe = self.recipe
        (change,) = recipe.changes
        name = f"{change.part}-{change.reference}-onto-{recipe.target}"
        slug = "".join(c if c.isalnum() else "-" for c in name)
        path = recipe.save(self._folder / f"{slug}.json")
        self._status.value = f"saved {html.escape(str(path))}"


def _name(source: Source) -> str:
    return f"seed {source}" if isinstance(source, int) else str(source)


def _pair(recipe: Recipe) -> str:
    (change,) = recipe.changes
    return f"{change.part} of {_name(change.reference)} onto {_name(recipe.target)}"


def _check(generator: Generator, catalog: Catalog, recipe: Recipe) -> None:
    """A recipe has one change; sliders would silently pull a wrong value into their range."""
    if len(recipe.changes) != 1:
        raise ValueError(f"recipe must have one change, which the controls show; got {len(recipe.changes)}")
    (change,) = recipe.changes
    if change.settings.where == "everywhere":
        generator.check_styles()
    anything = torch.zeros(1, generator.num_styles)
    change.settings.query(catalog, change.part, anything, anything)
    check_number("strength", change.strength, minimum=0, maximum=1)
    _check_ends(change.settings)


def _check_ends(settings: QuerySettings) -> None:
    for name in ("rho", "epsilon", "leak"):  # (a slider has an end, and is for all layers)
        check_number(name, getattr(settings, name), minimum=0)


def _by_kind(catalog: Catalog, tables: Tables | None) -> dict[tuple[str, str], QuerySettings]:
    """The settings of each kind of contributions and each part."""
    found = {}
    for table in [] if tables is None else [tables] if isinstance(tables, Mapping) else tables:
        for part, settings in table.items():
            check_name("settings", part, list(catalog.parts), what="part")
            _check_ends(settings)
            found[settings.contributions or catalog.measure, part] = settings
    return found
