"""What can be done in the edit studio beside turning controls: rows, choosing by looking, taking home."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from torch import Tensor

from lefs.editing import Change, Recipe
from lefs.images import opaque, to_uint8
from lefs.query import QuerySettings
from lefs.records import ArtifactError
from lefs.retrieval import PartBank, retrieve
from lefs.sources import Source
from lefs.widgets.canvas import Canvas, Picture
from lefs.widgets.stage import Stage
from lefs.widgets.strips import Strip, name_of, source_of
from lefs.widgets.studio_state import StudioState
from lefs.widgets.studio_view import SIGNS, stated

__all__ = ["TUNED", "StudioActions"]

TUNED = (*SIGNS, "coarse", "rgb")  # what a part brings with it
_BANK, _OFFERS = 96, 8  # seeds that suggestions are looked for among, and how many are shown
_SMALL = 128  # pixels of a picture to choose from
_PRESETS = 200  # that a folder is looked through for


class StudioActions(Stage):
    """The actions of an edit studio, on its states; each is a click or the choice of a picture."""

    _folder: Path | None
    _tuned: Mapping[tuple[str, str], QuerySettings]
    _moved: bool
    _asking: bool
    _status: ipywidgets.HTML

    def _possible(self, state: StudioState) -> bool:
        raise NotImplementedError

    def _begin_actions(self) -> None:
        state = self._history.now
        begins = {"target": state.recipe.target, "reference": state.change.reference}
        self._strips = {
            name: Strip(name, self._small, source if isinstance(source, int) else 0)
            for name, source in begins.items()
        }
        self._offers, self._offered = Canvas(arrangement="strip"), list[int]()
        self._bank: tuple[object, PartBank] | None = None
        self._presets: dict[str, Recipe | Path] = {}
        if self._folder is not None:
            self._presets |= {p.stem: p for p in sorted((self._folder / "presets").glob("*.json"))[:_PRESETS]}

    def close(self) -> None:
        """Take the panel out of the page and out of memory; `edit`, `state` and `recipe` stay."""
        super().close()
        self._bank, self._strips = None, {}

    # -- several edits ----------------------------------------------------------------------------
    def _list(self) -> None:
        """The rows, as the list shows them."""
        state, select = self._history.now, self.controls["row"]
        told = [f"{i + 1}  {stated(c)}, {name_of(c.reference)}" for i, c in enumerate(state.recipe.changes)]
        options = tuple((t + " (off)" * (i in state.off), i) for i, t in enumerate(told))
        with self._silently():
            if select.options != options:
                select.options = options
            select.rows, select.value = min(5, max(2, len(options))), state.row
        for name, no in (
            ("up", state.row == 0),
            ("down", state.row == len(options) - 1),
            ("remove", len(options) == 1),
        ):
            self.controls[name].disabled = no
        self.controls["undo"].disabled = not self._history.past
        self.controls["redo"].disabled = not self._history.future

    def _turn(self, number: int) -> None:
        self._history.now = replace(self._history.now, row=number)
        self._write()
        self._draw(self.edit)

    def _switch(self, on: bool) -> None:
        state = self._history.now
        off = state.off - {state.row} if on else state.off | {state.row}
        self._turn_to(replace(state, off=off), "")

    def _add(self, part: str | None = None) -> None:
        state = self._history.now
        change = state.change
        taken = {each.part for each in state.recipe.changes}
        seen = self._view.seen_parts(state.recipe, change.reference)
        part = next((p for p in seen[1:] if p not in taken), seen[0]) if part is None else part
        tuned = self._tuned.get((str(change.settings.contributions), part))
        brought = {} if tuned is None else {name: getattr(tuned, name) for name in TUNED}
        change = Change(part, change.reference, 1.0, replace(change.settings, **brought))
        added = state.added(change)
        self._turn_to(replace(added, recipe=self._editor.sign(added.recipe)), "")

    def _move(self, by: int) -> None:
        state = self._history.now
        order, to = list(range(len(state.recipe.changes))), state.row + by
        if 0 <= to < len(order):
            order[state.row], order[to] = order[to], order[state.row]
            self._turn_to(state.ordered(order), "")

    def _remove(self) -> None:
        state = self._history.now
        order = [i for i in range(len(state.recipe.changes)) if i != state.row]
        if order:
            self._turn_to(state.ordered(order), "")

    def _go(self, back: bool) -> None:
        self._turn_to(self._history.go(back), "")

    def _reset(self) -> None:
        self._turn_to(self._history.first, "")

    # -- by looking -------------------------------------------------------------------------------
    def _connect(self, which: str, strip: Strip) -> None:
        for what in ("shuffle", "previous", "next", "pin"):
            self._on_click(strip.controls[f"{which} {what}"], partial(strip.turn, what))
        self._on_change(strip.canvas, lambda new: self._source(which, strip.sources[new["panel"]]), "picked")

        def chosen(files: Sequence[Any]) -> None:
            for one in files[:1]:
                self._file(which, one["name"], one["content"])

        self._on_change(strip.controls[f"{which} file"], chosen)

        def dropped(_: Canvas, content: Any, buffers: list[Any]) -> None:
            if isinstance(content, dict) and "file" in content:
                self._file(which, str(content["file"]), buffers[0] if buffers else None)

        strip.canvas.on_msg(dropped)

    def _small(self, sources: Sequence[Source]) -> np.ndarray:
        """Pictures to choose from, (N, H, W, 3)."""
        recipe, whole = self._history.now.recipe, self._generator.size[0]
        options: dict[str, Any] = {"truncation": recipe.truncation, "label": recipe.label}
        upto = None if self._side == whole else self._side
        return to_uint8(opaque(self._editor.pictures(sources, upto=upto, **options)))

    @property
    def _side(self) -> int:
        """Of the pictures to choose from, in pixels."""
        small = [s for s in self._generator.preview_sizes if s <= _SMALL]
        return max(small, default=self._generator.size[0])

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
        state = self._history.now
        if which == "target":
            state = replace(state, recipe=replace(state.recipe, target=source))
        else:
            state = state.with_change(replace(state.change, reference=source))
        state = replace(state, recipe=self._editor.sign(state.recipe))
        if self._possible(state):
            self._turn_to(state, which)

    def _file(self, which: str, name: str, content: Any) -> None:
        """A picture (which is inverted while the panel goes on) or a w of somebody's own."""
        read = partial(source_of, self._generator, name, content)
        self._in_background(read, partial(self._source, which))

    # -- suggestions ------------------------------------------------------------------------------
    def _suggest(self) -> None:
        state, by = self._history.now, self.controls["suggest"].value
        self._in_background(partial(self._results, state, by), self._offer)

    def _results(self, state: StudioState, by: Any) -> list[tuple[int, Tensor]]:
        """Edits with the references that come first: their seeds and pictures."""
        recipe, change, both = state.recipe, state.change, (self._generator, self._catalog)
        if self._bank is None or self._bank[0] != recipe.truncation:
            made = PartBank.of(*both, range(_BANK), truncation=recipe.truncation)
            self._bank = recipe.truncation, made
        target: Any = recipe.target
        options: dict[str, Any] = {"bank": self._bank[1], "by": by, "truncation": recipe.truncation}
        found = retrieve(*both, target, change.part, settings=change.settings, **options)
        if change.settings.where == "part":
            areas = dict(
                zip(
                    self._bank[1].seeds,
                    self._bank[1].areas[:, list(self._catalog.parts).index(change.part)],
                    strict=True,
                )
            )
            found = [match for match in found if areas[match.seed] > 0]
        results, upto = [], None if self._side == self._generator.size[0] else self._side
        for match in found[:_OFFERS]:
            tried = state.with_change(replace(change, reference=match.seed)).shown
            results.append((match.seed, self._editor.render(tried, upto=upto).image))
        return results

    def _offer(self, results: Sequence[tuple[int, Tensor]]) -> None:
        self._offered = [seed for seed, _ in results]
        pictures = [Picture(to_uint8(opaque(image)), str(seed), pick=True) for seed, image in results]
        self._offers.show(*pictures)
        part = self._history.now.change.part
        self._status.value = f"{len(results)} references for {html.escape(part)}, tried: click one to take it"

    # -- presets ----------------------------------------------------------------------------------
    def _offer_presets(self) -> None:
        with self._silently():
            self.controls["preset"].options = [("–", ""), *((name, name) for name in self._presets)]
            self.controls["preset"].value = ""

    def _keep_preset(self) -> None:
        """Keep the edits, for any target, under the name that was typed."""
        name = _slug(self.controls["preset name"].value)
        if not name:
            raise ValueError("preset name: type a name first, of letters and digits")
        recipe = self._history.now.recipe
        self._presets[name] = recipe
        if self._folder is not None:
            self._presets[name] = recipe.save(self._folder / "presets" / f"{name}.json")
        self._offer_presets()
        self._status.value = f"kept as {html.escape(name)}"

    def _take_preset(self, name: str) -> None:
        if not name:
            return
        kept = self._presets[name]
        recipe = Recipe.load(kept) if isinstance(kept, Path) else kept
        self._editor.check_owner(recipe)
        self._check(recipe)
        changed = replace(self._history.now.recipe, changes=recipe.changes)
        self._offer_presets()
        self._turn_to(StudioState(self._editor.sign(changed)), "")

    # -- taking home ------------------------------------------------------------------------------
    def _save(self) -> None:
        """Write the picture at full size under the next free number."""
        if self._folder is None:
            raise ValueError("there is no folder to save to; make EditStudio(..., folder=...)")
        edit = self._editor.render(self.recipe)
        taken = [f"{change.part}-{change.reference}" for change in edit.recipe.changes]
        path = _next_free(self._folder, _slug(f"{'-'.join(taken)[:100]}-onto-{edit.recipe.target}"))
        try:
            edit.save(path)
        except Exception:
            path.unlink()
            raise
        self._status.value = f"saved {html.escape(str(path))}, with its recipe inside"

    def _copy(self, what: str) -> None:
        text = getattr(self, what)
        self.canvas.copy(text)
        seen = f"<pre>{html.escape(text[:4000])}</pre>"
        self._status.value = (
            f"<details><summary>copied to the clipboard; to look at it</summary>{seen}</details>"
        )


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.strip())[:120]


def _next_free(folder: Path, stem: str) -> Path:
    """An empty file of the first number that nobody has taken."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = folder / f"{stem}-{number:03}.png"
            try:
                path.touch(exist_ok=False)
                return path
            except FileExistsError:
                number += 1
    except OSError as error:
        raise ArtifactError(
            f"cannot write into {folder}: {error}; choose a folder you may write to"
        ) from error
