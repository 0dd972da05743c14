"""The edit studio: one target, one reference, one part, and the sliders of the method."""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_number
from lefs.editing import Change, Recipe
from lefs.editor import Edit, Editor, Superseded
from lefs.generator import Generator
from lefs.images import to_uint8
from lefs.plotting import edit_strip
from lefs.plotting.style import CHANGE_MAP
from lefs.query import PartEffects, QuerySettings
from lefs.widgets.canvas import Canvas, Picture, heat_picture
from lefs.widgets.pacing import preview_of
from lefs.widgets.panel import Panel, row

__all__ = ["EditStudio"]

_MAX_SEED = 2**32 - 1
_METHODS = ("sequential", "simultaneous", "global")
_OWN_SLIDERS = {
    "sequential": ("rho", "epsilon"),
    "simultaneous": ("slope",),
    "global": (),
    "pair": ("rho", "leak"),
}
# Fixed, so that the map grows and fades with the strength instead of being rescaled at every step.
_CHANGE_LIMIT = 60.0
_REST = 0.25  # seconds after which a control that has not moved is taken to rest


class EditStudio(Panel):
    """Edit one part of a target from a reference, live.

    Shown as a cell's last value: target, edit, reference and where the edit changed the target, with a line
    of measures below. Every control acts at once, from the mouse or the keyboard.

    Parameters
    ----------
    generator : `Generator`
    catalog : its `Catalog`
    recipe : `Recipe` to start with, of a single change; its truncation ψ, in [0, 1], stays
    folder : where "Save recipe" writes; the button needs one
    frame : seconds that a picture may take while a control moves. A generator that needs longer is shown at a
        lower resolution, if it has one, until the control comes to rest

    Attributes
    ----------
    edit : the `Edit` that is shown
    controls : {"part", "method", "target", "reference", "strength", "rho", "epsilon", "slope", "leak",
        "coarse", "rgb", "save"}, the widgets by name; setting a value draws before the assignment returns.
        The method "pair" is offered where the catalog has effects

    Raises
    ------
    KeyError
        If there is no such part; the message lists the parts.
    ValueError
        If the recipe has not one change, or a seed, the strength, the truncation or a setting is out of
        range.
    ArtifactError
        If the catalog is of another generator.
    """

    edit: Edit

    def __init__(
        self,
        generator: Generator,
        catalog: Catalog,
        recipe: Recipe,
        *,
        folder: str | os.PathLike[str] | None = None,
        frame: float = 0.1,
    ) -> None:
        super().__init__()
        catalog.check_generator(generator)
        if len(recipe.changes) != 1:
            raise ValueError(
                f"recipe must have one change, which the controls show; got {len(recipe.changes)}"
            )
        parts, (change,) = list(catalog.parts), recipe.changes
        # Sliders would silently pull a wrong value into their range.
        anything = torch.zeros(1, generator.num_styles)
        change.settings.query(catalog, change.part, anything, anything)
        check_number("strength", change.strength, minimum=0, maximum=1)
        target = check_integer("target", recipe.target, maximum=_MAX_SEED)
        reference = check_integer("reference", change.reference, maximum=_MAX_SEED)
        for name in ("epsilon", "leak"):  # (a slider has an end)
            check_number(name, getattr(change.settings, name), minimum=0)
        self._generator, self._catalog, self._settings = generator, catalog, change.settings
        self._truncation = check_number("truncation", recipe.truncation, minimum=0, maximum=1)
        self._editor = Editor(generator, catalog)
        self._label = self._editor.sign(recipe).label
        self._folder = None if folder is None else Path(folder)
        self._frame = check_number("frame", frame, minimum=0, finite=False)
        self._hasty: tuple[Editor, int] | None = None  # for previews; chosen when a control moves
        self._moves = 0
        self._masks: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
        methods = _METHODS if catalog.effects is None else (*_METHODS, "pair")
        widest = float(max(layer.channels for layer in catalog.layers))
        self.controls = {
            **_choices(parts, change.part, methods, change.settings.method),
            "target": _seed("target", target, "Seed of the image that is edited"),
            "reference": _seed("reference", reference, "Seed of the image that the part is taken from"),
            **_sliders(change.strength, change.settings, widest),
            "save": _save_button(disabled=folder is None),
        }
        self._build()

    def __repr__(self) -> str:
        change = self.edit.recipe.changes[0]
        return (
            f"EditStudio: {change.part!r} of seed {change.reference} onto seed {self.edit.recipe.target}, "
            f"strength {change.strength:g}, {change.settings}"
        )

    @property
    def recipe(self) -> Recipe:
        """What the controls say."""
        value = {name: widget.value for name, widget in self.controls.items() if name != "save"}
        names = ("method", "rho", "epsilon", "slope", "leak", "coarse", "rgb")
        settings = replace(self._settings, **{name: value[name] for name in names})
        change = Change(
            part=value["part"], reference=value["reference"], strength=value["strength"], settings=settings
        )
        made = Recipe(value["target"], (change,), truncation=self._truncation, label=self._label)
        return self._editor.sign(made)

    def figure(self) -> Figure:
        """Target | edit | reference | where it changed, as a figure."""
        preview = self.edit.image.shape[-1] < self._generator.resolution
        edit = self._editor.render(self.recipe) if preview else self.edit
        change = edit.recipe.changes[0]
        pair = f"{change.part} of seed {change.reference} onto seed {edit.recipe.target}"
        title = f"{pair}, λ = {change.strength:g}"
        return edit_strip(edit.target, edit.image, edit.references[0], edit.change, title=title)

    # -- drawing ----------------------------------------------------------------------------------
    def _build(self) -> None:
        self.canvas = Canvas()
        self._summary, self._status = ipywidgets.HTML(), ipywidgets.HTML()
        for line in (self._summary, self._status):
            line.add_class("lefs-summary")
        self._lay_out()
        for name, widget in self.controls.items():
            if name != "save":
                self._on_change(widget, self._preview)
        self._on_click(self.controls["save"], self._save)
        # The first drawing is not a callback: an error here belongs to the caller.
        with self._lock, torch.inference_mode():
            self._draw(self._editor.render(self.recipe))

    def _lay_out(self) -> None:
        c = self.controls
        advanced = ipywidgets.Accordion([row(c["coarse"], c["rgb"], kind="two")], titles=["Advanced"])
        self._arrange(
            row(c["part"], c["method"], c["target"], c["reference"], kind="four"),
            row(c["strength"], c["rho"], c["epsilon"], c["slope"], c["leak"], kind="three"),
            self.canvas,
            row(self._summary, c["save"], kind="ends"),
            self._status,
            advanced,
        )

    def _preview(self, _: object = None) -> None:
        """Draw what a frame has time for, and the whole picture once the controls have come to rest."""
        if self._hasty is None:
            generator, side = preview_of(self._generator, self._frame)
            own = generator is self._generator
            self._hasty = self._editor if own else Editor(generator, self._catalog), side
        self._moves += 1
        editor, side = self._hasty
        whole = side == self._generator.resolution
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
        method = self.controls["method"].value
        for name in ("rho", "epsilon", "slope", "leak"):
            shown = name in _OWN_SLIDERS[method]
            (self.controls[name].remove_class if shown else self.controls[name].add_class)("lefs-hidden")
        self.edit = edit
        self.canvas.show(self._pictures())
        self._summary.value = self._measures()
        self._status.value = ""

    def _pictures(self) -> list[Picture]:
        edit, change = self.edit, self.edit.recipe.changes[0]
        given = torch.stack([edit.target, edit.image, edit.references[0]])
        target, image, reference = to_uint8(given)
        return [
            Picture(target, "target", f"seed {edit.recipe.target}"),
            Picture(image, "edit", f"{change.part}, λ = {change.strength:.2f}"),
            Picture(reference, "reference", f"seed {change.reference}"),
            heat_picture(_array(edit.change), CHANGE_MAP, _CHANGE_LIMIT, title="where it changed", unit="ΔE"),
        ]

    def _measures(self) -> str:
        """One line: how many channels, at what price, and how much changed inside and outside the part."""
        change = self.edit.recipe.changes[0]
        q = _array(self.edit.queries[0])
        texts = [f"<b>{np.count_nonzero(q):,}</b> of {len(q):,} channels move"]
        if change.settings.method == "pair":
            texts.append(f"predicted outside <b>{self._predicted():.1f}</b> squared levels")
        elif change.settings.method != "global":
            spent = float((q * (1 - _array(change.settings.contribution(self._catalog, change.part)))).sum())
            texts.append(f"budget spent <b>{spent:.1f}</b>")
        difference = _array(self.edit.change)
        mask = self._mask(self.edit.recipe.target, change.part, len(difference))
        inside, outside = (_mean(difference[pixels]) for pixels in (mask, ~mask))
        texts.append(f"mean ΔE inside the part <b>{inside}</b>, outside <b>{outside}</b>")
        return " &ensp;·&ensp; ".join(texts)

    def _predicted(self) -> float:
        """The leak that the effects predict for the whole edit."""
        edit, change = self.edit, self.edit.recipe.changes[0]
        effects = PartEffects.of(self._catalog, change.part)
        return float(
            effects.predicted_leak(torch.ones(1), self._target_styles(edit.recipe.target), edit.styles)
        )

    def _target_styles(self, target: int) -> torch.Tensor:
        labels = None if self._label is None else [self._label]
        return self._generator.sample_styles(target, truncation=self._truncation, labels=labels)

    def _mask(self, target: int, part: str, size: int) -> np.ndarray:
        """Where the part is in the target: (size, size) bool; those of the last targets are kept."""
        key = (target, size)
        if key not in self._masks:
            styles = self._target_styles(target)
            while len(self._masks) >= 8:
                del self._masks[next(iter(self._masks))]
            self._masks[key] = self._catalog.part_masks(self._generator, styles, size=size)
        return self._masks[key][part][0].cpu().numpy()

    def _save(self) -> None:
        if self._folder is None:
            raise ValueError(
                "there is no folder to save to; make the studio with EditStudio(..., folder=...)"
            )
        recipe = self.recipe
        change = recipe.changes[0]
        part = "".join(c if c.isalnum() else "-" for c in change.part)
        path = self._folder / f"{part}-{change.reference}-onto-{recipe.target}.json"
        self._editor.sign(recipe).save(path)
        self._status.value = f"saved {html.escape(str(path))}"


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.2f}" if values.size else "–"


def _array(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()


def _choices(
    parts: list[str], part: str, methods: Sequence[str], method: str
) -> dict[str, ipywidgets.Widget]:
    return {
        "part": ipywidgets.Dropdown(
            options=parts, value=part, description="part", tooltip="The part that is taken from the reference"
        ),
        "method": ipywidgets.Dropdown(
            options=methods,
            value=method,
            description="method",
            tooltip="sequential: the most relevant channels first, up to a budget; simultaneous: all, in "
            "proportion to their contribution; global: every channel, whatever the part; pair: those of most "
            "effect inside for the least outside, for these two images",
        ),
    }


def _sliders(strength: float, settings: QuerySettings, widest: float) -> dict[str, ipywidgets.Widget]:
    table = {
        "strength": ("strength λ", strength, 1, 0.01, "How far the channels move: 0 target, 1 reference"),
        "rho": (
            "price ρ",
            settings.rho,
            1,
            0.005,
            "Price of what lies outside; higher: fewer channels",
        ),
        "epsilon": (
            "budget ε",
            settings.epsilon,
            widest,
            0.5,
            "How much may move outside, channels a layer",
        ),
        "slope": (
            "slope",
            settings.slope,
            10,
            0.05,
            "How soon a channel moves: q = min(1, slope · M)",
        ),
        "leak": (
            "leak",
            settings.leak,
            400,
            1,
            "Mean squared change of a pixel outside, in 8-bit levels",
        ),
        "coarse": (
            "coarse layers",
            settings.coarse,
            1,
            0.05,
            "Budget of coarse layers: pose and layout",
        ),
        "rgb": ("toRGB layers", settings.rgb, 1, 0.05, "Budget of layers that paint colours"),
    }
    return {name: _slider(*row) for name, row in table.items()}


def _slider(label: str, value: float, top: float, step: float, tooltip: str) -> ipywidgets.FloatSlider:
    top = max(top, value)
    digits = max(0, len(f"{step:g}".partition(".")[2]))
    return ipywidgets.FloatSlider(
        value, min=0, max=top, step=step, description=label, tooltip=tooltip, readout_format=f".{digits}f"
    )


def _seed(label: str, value: int, tooltip: str) -> ipywidgets.BoundedIntText:
    return ipywidgets.BoundedIntText(value, min=0, max=_MAX_SEED, description=label, tooltip=tooltip)


def _save_button(*, disabled: bool) -> ipywidgets.Button:
    tooltip = "Write this edit as a small JSON file that replays it"
    return ipywidgets.Button(description="Save recipe", icon="save", tooltip=tooltip, disabled=disabled)
