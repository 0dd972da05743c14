"""What stands behind the edit studio: its states, what can be done with them, and the pictures of them."""

from __future__ import annotations

import copy
import html
import threading
import timeit
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import torch
from matplotlib.figure import Figure

from lefs.catalog import Catalog
from lefs.checks import check_name, check_number
from lefs.editing import Change, Recipe
from lefs.editor import Edit, Editor, Superseded
from lefs.generator import Generator
from lefs.images import color_difference
from lefs.plotting import comparison_strip, edit_strip
from lefs.query import QuerySettings
from lefs.retrieval import PartBank, retrieve
from lefs.saving import exclusive
from lefs.sources import Source
from lefs.widgets.elements import offer
from lefs.widgets.panel import Folder, History, Panel
from lefs.widgets.studio_view import TUNED, StudioState, View, as_code, as_parameters
from lefs.workers.progress import track

__all__ = ["Stage", "Tables", "preview_of", "tuned_settings"]

Tables = Mapping[str, QuerySettings] | Iterable[Mapping[str, QuerySettings]]

_FEW = 8  # pictures that a studio begins with one of
_REST = 0.25  # seconds after which a control that has not moved is taken to rest
_TO_CHOOSE = 128  # side in pixels of a picture to choose from
_BANK, _OFFERS = 96, 8  # seeds that suggestions are looked for among, and how many are shown
_PRESETS = 200  # that a folder is looked through for
_LEAST = 64  # side in pixels of a preview: smaller pictures show nothing


class Stage(Panel):
    """Holds the states of a studio and renders the present one; what is shown of it is left to others."""

    edit: Edit
    _draw: Callable[[Edit], None]
    _write: Callable[[StudioState], None]  # (lets the controls say what is wanted)

    def __init__(
        self, generator: Generator, catalog: Catalog, recipe: Recipe | None, folder: Folder, frame: float
    ) -> None:
        super().__init__(generator, catalog, folder=folder)
        self._frame = check_number("frame", frame, minimum=0, finite=False)
        whole = generator.size[0]
        small = max((s for s in generator.preview_sizes if s <= _TO_CHOOSE), default=whole)
        self._upto = None if small == whole else small  # (of pictures to choose from)
        self._catalog = catalog
        self._begin_anew()
        recipe = self._plain_to_see() if recipe is None else recipe
        self._check(recipe)
        self._history = History(StudioState(self._editor.sign(recipe)))
        self._moves = 0
        self._moved = self._asking = False  # whose settings hold: see `EditStudio._change`

    def _begin_anew(self) -> None:
        """Nothing is kept of what was rendered."""
        self._editor = Editor(self._generator, self._catalog)
        self._view = View(self._editor)
        self._hasty: tuple[Editor, int] | None = None  # for previews; chosen when a control moves
        self._bank: PartBank | None = None

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
        self._say(None)

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
        title = str(edit.recipe)
        if len(edit.references) != 1:
            return comparison_strip(edit.pictures, changes={"edit": edit.change}, title=title)
        return edit_strip(edit.target, edit.image, edit.references[0], edit.change, title=title)

    def close(self) -> None:
        """Take the panel out of the page and out of memory; `edit`, `state` and `recipe` stay."""
        self._moves += 1
        super().close()
        self._begin_anew()  # (somebody may hold on to the panel, such as a notebook that counts its outputs)

    def _check(self, recipe: Recipe) -> None:
        """Whether there are controls for it: sliders would silently pull a wrong value into their range."""
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
            _check_ends(settings)

    # -- rows -------------------------------------------------------------------------------------
    def _switch(self, on: bool) -> None:
        state = self._history.now
        self._turn_to(replace(state, off=state.off - {state.row} if on else state.off | {state.row}))

    def _order(self, by: int | None) -> None:
        """The present row earlier or later; None: out of the list."""
        state = self._history.now
        order = [i for i in range(len(state.recipe.changes)) if i != state.row]
        if by is not None:
            order.insert(max(0, state.row + by), state.row)
        if order:
            self._turn_to(state.ordered(order))

    # -- what is kept, and what is suggested ------------------------------------------------------
    def _offer_presets(self) -> None:
        """The presets of the folder; none is chosen, so that each can be taken again."""
        found = [] if self._folder is None else sorted(self._folder.glob("presets/*.json"))[:_PRESETS]
        offer(self.controls["preset"], [("–", ""), *((path.stem, path.stem) for path in found)], "")

    def _keep_preset(self) -> None:
        """Keep the edits, for any target, under a name."""
        if not (name := _slug(self.controls["preset name"].value)):
            raise ValueError("preset name: type a name first, of letters and digits")
        self._history.now.recipe.save(self._saved_in() / "presets" / f"{name}.json")
        self._offer_presets()
        self._status.value = f"kept as {html.escape(name)}"

    def _take_preset(self, name: str) -> None:
        """Show kept edits on the present target."""
        if name:
            self._offer_presets()
            recipe = Recipe.load(self._saved_in() / "presets" / f"{name}.json")
            self._check(recipe)
            self._turn_to(StudioState(replace(self._history.now.recipe, changes=recipe.changes)))

    def _save(self) -> None:
        """Write the picture at full size under the next free number."""
        folder, edit = self._saved_in(), self._editor.render(self.recipe)
        taken = "-".join(f"{change.part}-{change.reference}" for change in edit.recipe.changes)
        stem = _slug(f"{taken[:100]}-onto-{edit.recipe.target}")
        with exclusive(folder):  # (so that nobody takes the number meanwhile)
            numbered = (folder / f"{stem}-{number:03}.png" for number in count(1))
            saved = edit.save(next(path for path in numbered if not path.exists()))
        self._status.value = f"saved {html.escape(str(saved))}, with its recipe inside"

    def _small(self, sources: Iterable[Source]) -> torch.Tensor:
        """Pictures to choose from, (N, 3, H, W)."""
        recipe, draw = self._history.now.recipe, partial(self._editor.pictures, upto=self._upto)
        return draw(sources, truncation=recipe.truncation, label=recipe.label)

    def _results(self, state: StudioState, by: Any) -> list[tuple[int, torch.Tensor]]:
        """Edits with the references that come first: their seeds and pictures."""
        change, psi, both = state.change, state.recipe.truncation, (self._generator, self._catalog)
        if self._bank is None or self._bank.truncation != psi:
            self._bank = PartBank.of(*both, range(_BANK), truncation=psi)
        options: Any = {"bank": self._bank, "by": by, "truncation": psi, "settings": change.settings}
        found = [match.seed for match in retrieve(*both, state.recipe.target, change.part, **options)]
        if change.settings.where == "part":
            areas = self._bank.areas[:, list(self._bank.parts).index(change.part)]
            found = [seed for seed in found if areas[seed] > 0]
        best = track(found[:_OFFERS], total=len(found[:_OFFERS]), description="trying them", show=True)
        recipes = ((seed, state.having(reference=seed).shown) for seed in best)
        return [(seed, self._editor.render(tried, upto=self._upto).image) for seed, tried in recipes]

    def _plain_to_see(self) -> Recipe:
        """One edit in place that changes much: of hair, or of the second largest part, in another colour."""
        target, *others = self._editor.pictures(range(_FEW), upto=self._upto)
        apart = torch.stack([color_difference(target, other).mean() for other in others])
        reference = 1 + int(apart.argmax())
        seen = self._view.seen_parts(Recipe(0), reference)
        part = "hair" if "hair" in seen else seen[min(1, len(seen) - 1)]
        return Recipe(0, (Change(part, reference, settings=QuerySettings(where="part")),))

    # -- drawing ----------------------------------------------------------------------------------
    def _turn_to(self, state: StudioState, what: str = "") -> None:
        """Show a state that the controls did not make."""
        self._moved = self._asking = False
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
        self._write(self._history.now)
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


def tuned_settings(catalog: Catalog, tables: Tables | None) -> dict[tuple[str, str], dict[str, Any]]:
    """What was tuned for each kind of contributions and each part, by the names of the settings."""
    found = {}
    for table in [] if tables is None else [tables] if isinstance(tables, Mapping) else tables:
        for part, settings in table.items():
            check_name("settings", part, list(catalog.parts), what="part")
            _check_ends(settings)
            own = {name: getattr(settings, name) for name in TUNED}
            found[settings.contributions or catalog.measure, part] = own
    return found


def _slug(text: str) -> str:
    slug = "".join(c if c.isalnum() else "-" for c in text.strip())
    return slug.encode()[:120].decode(errors="ignore")  # (file systems count them, up to 255)


def preview_of(generator: Generator, seconds: float) -> tuple[Generator, int]:
    """What to preview with: a generator and the largest side of which it makes an image in that time.

    The generator is the given one, or a copy of it in bfloat16 where that shows more, or as much sooner (its
    images differ by a quarter of a grey level on average). Sizes are tried in ascending order until one is
    too slow; where none is fast enough, it is the smallest that shows something (64 pixels); where there are
    no smaller images than the whole, that.
    """
    useful = {s for s in generator.preview_sizes if _LEAST <= s <= generator.preview_size}
    *sizes, whole = sorted({*useful, generator.size[0]})
    own = _largest(generator, [*sizes, whole], seconds) if sizes else (whole, 0.0)
    if own[0] == whole or generator.dtype != torch.float32:
        return generator, own[0]
    half = copy.deepcopy(generator).to(torch.bfloat16)
    other = _largest(half, sizes, seconds)
    return (half, other[0]) if other > own else (generator, own[0])


def _largest(generator: Generator, sizes: list[int], seconds: float) -> tuple[int, float]:
    """The largest of the sizes that is made in time (else the first), and how much time it leaves."""
    best = sizes[0], seconds - _seconds(generator, sizes[0])
    for size in sizes[1:]:
        if best[1] < 0 or (left := seconds - _seconds(generator, size)) < 0:
            break
        best = size, left
    return best


def _seconds(generator: Generator, size: int) -> float:
    """Time of one image; the better of two, since the first makes ready what the next one uses."""
    labels = [generator.default_label or 0] if generator.label_dim else None
    with torch.inference_mode():
        styles = generator.sample_styles([0], labels=labels)
        draw = partial(generator.synthesize, styles, upto=size)
        return min(timeit.repeat(lambda: draw().cpu(), number=1, repeat=2))  # (which waits for a GPU)
