"""What the panels share: one lock, errors where the reader looks, and a picture where nothing is live."""

from __future__ import annotations

import base64
import html
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets
import torch
from matplotlib.figure import Figure

__all__ = ["Panel", "headless", "row"]


def headless() -> bool:
    """Whether no front end will ever show a widget: ``LEFS_HEADLESS=1``, set by ``lefs run``."""
    return os.environ.get("LEFS_HEADLESS", "") not in ("", "0")


def row(*children: ipywidgets.Widget, kind: str) -> ipywidgets.Box:
    """Widgets side by side; `kind` is the class in canvas.css that lays them out."""
    box = ipywidgets.Box(children)
    box.add_class("lefs-row" if kind in ("two", "three", "four") else f"lefs-{kind}")
    box.add_class(f"lefs-{kind}")
    return box


class Panel:
    """Base of the panels: not a widget itself, it shows one.

    Callbacks of widgets run in threads of their own, beside the notebook's cells; what they raise or print is
    lost. So every callback goes through `_guarded`: one at a time, without gradients, errors into the panel.

    Attributes
    ----------
    controls : {name: widget}; setting ``controls["strength"].value`` acts before the assignment returns
    """

    controls: dict[str, ipywidgets.Widget]

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._latest = object()
        self._message = ""
        self._error = ipywidgets.HTML()
        self._error.add_class("lefs-hidden")
        self._root = ipywidgets.VBox()
        self._root.add_class("lefs-panel")

    @property
    def error(self) -> str:
        """The error that the panel shows, or an empty string."""
        return self._message

    def figure(self) -> Figure:
        """The panel's present state as a figure."""
        raise NotImplementedError

    def _arrange(self, *children: ipywidgets.Widget) -> None:
        self._root.children = [*children, self._error]

    def _fail(self, message: str) -> None:
        self._message = message
        self._error.value = (
            f'<div class="lefs-error" role="alert">{html.escape(message)}</div>' if message else ""
        )
        (self._error.remove_class if message else self._error.add_class)("lefs-hidden")

    @contextmanager
    def _guarded(self) -> Iterator[object]:
        """Yields what `_latest` is until another callback comes and waits."""
        self._latest = turn = object()
        # Gradient mode belongs to a thread: what a cell switched off is on again in a callback's thread.
        with self._lock, torch.inference_mode():
            try:
                yield turn
            except Exception as error:
                self._fail(error_text(error))
            else:
                self._fail("")

    def _on_change(self, widget: ipywidgets.Widget, act: Callable[[Any], None]) -> None:
        """Call ``act(new value)`` whenever the widget's value changes."""

        def changed(event: dict[str, Any]) -> None:
            with self._guarded():
                act(event["new"])

        widget.observe(changed, names="value")

    def _on_click(self, button: ipywidgets.Button, act: Callable[[], None]) -> None:
        def clicked(_: ipywidgets.Button) -> None:
            with self._guarded():
                act()

        button.on_click(clicked)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live widget, and beside it a picture for files, pages and viewers where nothing is live."""
        with self._lock:
            buffer = io.BytesIO()
            self.figure().savefig(buffer, format="png")
            bundle: dict[str, Any] = {
                "image/png": base64.b64encode(buffer.getvalue()).decode(),
                "text/plain": repr(self),
            }
        if not headless():
            bundle = {**self._root._repr_mimebundle_(), **bundle}
        return bundle


def error_text(error: Exception) -> str:
    """What to show of an error: its message, without the quotes that KeyError puts around it."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error) or type(error).__name__
