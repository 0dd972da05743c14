"""What the panels share: one lock, undo, errors where one looks, and a picture where nothing is live."""

from __future__ import annotations

import base64
import html
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import ipywidgets
import torch
from matplotlib.figure import Figure
from PIL import Image

from lefs.generator import Generator
from lefs.widgets.elements import Canvas, button, line, row, show_if
from lefs.workers.progress import headless, told_by

__all__ = ["Folder", "History", "Panel", "check_owned", "inside_and_outside", "joined"]

State = TypeVar("State")
Folder = str | os.PathLike[str] | None

_TOGETHER = 1.0  # seconds in which moves of one control are taken back together
# The picture is seen where the panel is not alive, and there instead of JupyterLab's "model not found".
_STILL = """<style>
.jp-OutputArea-child:has(.lefs-panel) + .jp-OutputArea-child:has(.lefs-still),
.jp-OutputArea-child:has(> .jupyter-widgets):not(:has(.lefs-panel)):has(+ .jp-OutputArea-child .lefs-still),
:root:has(.lefs-live-{id}) .lefs-still-{id} {{ display: none; }}
</style>
<img class="lefs-still lefs-still-{id}" alt="{alt}" src="data:image/jpeg;base64,{jpeg}">"""


class History(Generic[State]):
    """States one after the other, without a limit.

    Moves of one control that follow each other quickly are one step.
    """

    def __init__(self, first: State, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = self.first = first
        self.past: list[State] = []
        self.future: list[State] = []
        self._clock, self._last = clock, ("", 0.0)

    def push(self, state: State, what: str = "") -> State:
        """A new state, made by the control `what`, and the present one from now on."""
        if state != self.now:
            (name, when), self._last = self._last, (what, self._clock())
            if not what or what != name or self._last[1] - when > _TOGETHER:
                self.past.append(self.now)
            self.now, self.future = state, []
        return state

    def go(self, back: bool) -> State:
        """One step back, or forward again; where there is none it stays."""
        here, there = (self.past, self.future) if back else (self.future, self.past)
        self._last = ("", 0.0)
        if here:
            there.append(self.now)
            self.now = here.pop()
        return self.now


def check_owned(generator: Generator, *owned: Any) -> None:
    """Raise an error unless each of these, a catalog or the like, belongs to the generator."""
    for each in owned:
        if not hasattr(each, "check_generator"):
            raise TypeError(f"expected what lefs.Catalog.load or its like has read, got {each!r:.80}")
        each.check_generator(generator)


class Panel:
    """Base of the panels: not a widget itself, it shows one.

    Callbacks of widgets run in threads of their own, beside the notebook's cells; what they raise or print is
    lost. So every callback goes through `_guarded`: one at a time, without gradients, errors into the panel.

    A panel ends when the cell that made it is run again, and by `close`.

    Attributes
    ----------
    controls : dict of str to Widget
        Setting ``controls["strength"].value`` acts before the assignment returns.
    canvas : Canvas
        The pictures.
    error : str
        The error that the panel shows, or an empty string.
    """

    controls: dict[str, ipywidgets.Widget]
    canvas: Canvas
    _history: History[Any]

    def __init__(self, generator: Generator, *owned: Any, folder: Folder = None) -> None:
        check_owned(generator, *owned)
        self._generator, self._folder = generator, None if folder is None else Path(folder)
        self._lock, self._latest, self._worker = threading.RLock(), object(), threading.Thread()
        self._closed, self._actor = False, 0  # (the thread that acts now)
        self.error = ""
        self._summary, self._status, self._bar = line(), line(), line()
        self._error, self._help = ipywidgets.HTML(), ipywidgets.HTML(_dom_classes=("lefs-help",))
        show_if(False, self._error, self._bar)
        self._root = ipywidgets.VBox()
        self._root._dom_classes = ("lefs-panel", f"lefs-live-{self._root.model_id}")
        _end_with_cell(self)

    def figure(self) -> Figure:
        """The panel's present state as a figure."""
        raise NotImplementedError

    def close(self) -> None:
        """Take the panel out of the page and out of memory. What it has made (an edit, a catalog) stays."""
        self._closed = True
        for panels in _OF_CELLS.values():
            panels[:] = [panel for panel in panels if panel is not self]
        self._dispose(self._root, *self.controls.values())

    def _dispose(self, *widgets: ipywidgets.Widget) -> None:
        for widget in {part for each in widgets for part in _within(each)}:
            widget.unobserve_all()
            widget.close()

    def _arrange(self, *children: ipywidgets.Widget) -> None:
        self._root.children = [*children, self._status, self._bar, self._help, self._error]
        # (a tooltip is not read out, and of some controls never shown)
        known = [w for w in self.controls.values() if getattr(w, "tooltip", None)]
        self.canvas.help = {w.description or w.tooltip: w.tooltip for w in known}
        for widget in (self.canvas, *self.controls.values()):
            _answer_while_cells_run(widget)

    # -- callbacks --------------------------------------------------------------------------------
    def _say(self, error: Exception | None) -> None:
        # (KeyError puts quotes around its message)
        said = error.args[0] if isinstance(error, KeyError) and error.args else error
        self.error = "" if error is None else str(said) or type(error).__name__
        alert = f'<div class="lefs-error" role="alert">{html.escape(self.error)}</div>'
        self._error.value = alert if self.error else ""
        show_if(bool(self.error), self._error)

    @contextmanager
    def _guarded(self) -> Iterator[object]:
        """Yields what `_latest` is until another callback comes and waits."""
        self._latest = turn = object()
        with self._alone():
            try:
                yield turn
            except Exception as error:
                self._say(error)
            else:
                self._say(None)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time. What the panel sets in here is not a move of the user's: nothing acts on it."""
        # Gradient mode belongs to a thread: what a cell switched off is on again in a callback's thread.
        with self._lock, torch.inference_mode():
            before, self._actor = self._actor, threading.get_ident()
            try:
                yield
            finally:
                self._actor = before

    def _begin(self, draw: Callable[[], None]) -> None:
        """Draw where this is not a callback, so that an error belongs to the caller."""
        with self._alone():
            draw()

    def _in_background(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Work in a thread, with its bars in the panel, which stays usable; then show what was found."""

        def tell(bar: str) -> None:
            if self._closed:
                raise RuntimeError("the panel is closed")
            self._bar.value = bar
            show_if(bool(bar), self._bar)

        def run() -> None:
            found = Future[Any]()
            try:
                with told_by(tell):
                    found.set_result(work())
            except Exception as error:
                found.set_exception(error)
            if not self._closed:
                with self._guarded():
                    then(found.result())

        self._worker = threading.Thread(target=run, daemon=True)
        self._worker.start()

    def _on(self, widget: ipywidgets.Widget, act: Callable[..., object], trait: str = "value") -> None:
        """Call ``act()`` whenever a button is pressed, ``act(new value)`` whenever another widget changes."""

        def run(*values: Any) -> None:
            if self._actor != threading.get_ident():  # (else the panel has set it)
                with self._guarded():
                    act(*values)

        if isinstance(widget, ipywidgets.Button):
            widget.on_click(lambda _: run())
        else:
            # (the event has what a page has sent, before it was looked at)
            widget.observe(lambda _: run(getattr(widget, trait)), names=trait)
        _answer_while_cells_run(widget)

    def _connect(self, acts: Mapping[str, Callable[..., object]]) -> None:
        """Let controls act, by their names."""
        for name, act in acts.items():
            self._on(self.controls[name], act)

    def _undo_by(self, show: Callable[[Any], object]) -> None:
        """Make the buttons that go back and forward through the states; `show` gets the one they reach."""
        self.controls |= {"undo": button("", "undo", "Take the last move back")}
        self.controls |= {"redo": button("", "repeat", "Make it again")}
        self._connect({"undo": lambda: show(self._history.go(True))})
        self._connect({"redo": lambda: show(self._history.go(False))})

    def _can_go(self) -> None:
        """Whether there is something to undo, and to redo."""
        self.controls["undo"].disabled = not self._history.past
        self.controls["redo"].disabled = not self._history.future

    # -- questions --------------------------------------------------------------------------------
    def _answered_by(self, *names: str) -> ipywidgets.Box:
        """The row in which `_ask` speaks, with the buttons of these names."""
        self._notice, self._answers = line(), {name: self.controls[name] for name in names}
        self._question = row(self._notice, *self._answers.values(), kind="notice")
        self._connect({name: partial(self._answer, name) for name in names})
        self._ask("")
        return self._question

    def _ask(self, text: str, **ways: tuple[str, Callable[[], object]]) -> None:
        """Say this and offer ways to answer: a button's words, and what it does. Without a text, nothing."""
        self._notice.value, self._ways = html.escape(text), ways
        show_if(bool(text), self._question)
        for name, control in self._answers.items():
            show_if(name in ways, control)
            control.description = ways[name][0] if name in ways else ""

    def _answer(self, name: str) -> None:
        if way := self._ways.get(name):  # (a second click comes after the answer)
            self._ask("")
            way[1]()

    def _saved_in(self) -> Path:
        """The folder; a ValueError if there is none."""
        if self._folder is None:
            raise ValueError(f"there is no folder to save to; make {type(self).__name__}(..., folder=...)")
        return self._folder

    # -- where it is shown ------------------------------------------------------------------------
    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live widget, and beside it a picture for files, pages and viewers where nothing is live."""
        bundle = {"image/png": _encoded(self._picture(), "PNG"), "text/plain": repr(self)}
        return bundle if headless() else {**self._root._repr_mimebundle_(), **bundle}

    def _ipython_display_(self) -> None:
        """Two outputs, the live panel and its picture, of which a notebook shows the one or the other.

        In one output JupyterLab would prefer the widget for ever, also in a file that is opened again.
        """
        if headless():
            raise NotImplementedError  # (IPython then takes the bundle above)
        from IPython.display import display

        words = repr(self)
        display({**self._root._repr_mimebundle_(), "text/plain": words}, raw=True)
        if "VOILA_SERVER_URL" in os.environ:  # (a page of Voila's is always live: its reader need not wait)
            return
        picture = self._picture()
        jpeg = _encoded(picture, "JPEG", quality=92, subsampling=0)
        still = _STILL.format(id=self._root.model_id, alt=html.escape(words), jpeg=jpeg)
        display({"text/html": still, "image/png": _encoded(picture, "PNG"), "text/plain": words}, raw=True)

    def _picture(self) -> Image.Image:
        with self._lock:
            buffer = io.BytesIO()
            self.figure().savefig(buffer, format="png")
        return Image.open(buffer).convert("RGB")


_OF_CELLS: dict[str, list[Panel]] = {}  # panels by the cell that made them


def _end_with_cell(panel: Panel) -> None:
    """Close the panel when the cell that is running now runs again; nothing outside of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    parent: Any = getattr(shell, "get_parent", dict)()
    if shell is not None and (cell := parent.get("metadata", {}).get("cellId")) is not None:
        shell.events.register("pre_run_cell", _close_panels_of)  # (which IPython does once)
        _OF_CELLS.setdefault(cell, []).append(panel)


def _close_panels_of(cell: Any) -> None:
    for panel in [*_OF_CELLS.pop(cell.cell_id, ())]:
        panel.close()


def _within(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """A widget and all that belong to it alone: children, layouts, styles."""
    yield widget
    own = (getattr(widget, name, None) for name in ("layout", "style"))
    for part in (*getattr(widget, "children", ()), *own):
        if isinstance(part, ipywidgets.Widget):
            yield from _within(part)


def _answer_while_cells_run(widget: ipywidgets.Widget) -> None:
    """Take messages from the browser in the thread that it asks for, beside the one that runs cells.

    A kernel sends them to whoever wrote to a widget last: the cells' thread, until a control has moved.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = None


def _encoded(picture: Image.Image, form: str, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def joined(texts: Iterable[str]) -> str:
    """What a line of measures says, one after the other."""
    return " &ensp;·&ensp; ".join(texts)


def inside_and_outside(change: torch.Tensor, mask: torch.Tensor) -> str:
    """The mean of a map (H, W) of ΔE in a mask and outside it, in words."""
    here = mask.to(change.device)
    means = [f"{float(v.mean()):.2f}" if v.numel() else "–" for v in (change[here], change[~here])]
    return f"mean ΔE inside the part <b>{means[0]}</b>, outside <b>{means[1]}</b>"
