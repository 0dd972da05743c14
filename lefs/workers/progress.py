"""One progress bar for a long loop, in the form that its reader can show; it leaves nothing behind."""

from __future__ import annotations

import html
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["headless", "told_by", "track"]

Item = TypeVar("Item")

_EVERY = 0.1  # seconds between two pictures of a bar
_TELLER: ContextVar[Callable[[str], None] | None] = ContextVar("teller", default=None)


def headless() -> bool:
    """Whether a notebook is being executed without anybody in front of it (``lefs run`` says so)."""
    return os.environ.get("LEFS_HEADLESS", "") not in ("", "0")


def track(items: Iterable[Item], *, total: int, description: str, show: bool) -> Iterable[Item]:
    """Iterate with a bar: in a live notebook, as text in a terminal, none where nobody watches."""
    tell = _TELLER.get()
    if not show or (tell is None and headless()):
        return items
    if tell is not None or _in_notebook():
        return _html_bar(items, total, description, tell or _cell())
    return tqdm(items, total=total, desc=description, disable=total < 2, leave=False)


@contextmanager
def told_by(tell: Callable[[str], None]) -> Iterator[None]:
    """Hand the bars of this thread to `tell` as HTML, at the end an empty text (panels show them)."""
    token = _TELLER.set(tell)
    try:
        yield
    finally:
        _TELLER.reset(token)


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook (IPython is imported there, by whoever started it)."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def _cell() -> Callable[[str], None]:
    """Show HTML below a cell, without a widget: of one that is gone a saved notebook says "not found"."""
    from IPython.display import HTML, display

    shown: Any = None

    def tell(text: str) -> None:
        nonlocal shown
        if shown is None:
            shown = display(HTML(text), display_id=True)
        else:
            shown.update(HTML(text) if text else {}, raw=not text)

    return tell


def _html_bar(
    items: Iterable[Item], total: int, description: str, tell: Callable[[str], None]
) -> Iterator[Item]:
    start = drawn = time.monotonic()
    tell(_bar(0, total, 0.0, description))
    try:
        for done, item in enumerate(items, start=1):
            yield item
            if (now := time.monotonic()) - drawn >= _EVERY:
                tell(_bar(done, total, now - start, description))
                drawn = now
    finally:
        tell("")


def _bar(done: int, total: int, seconds: float, description: str) -> str:
    # A single step has no stages to tell: a bar that only says that there is work.
    place = f'value="{done}" max="{total}"' if total > 1 else ""
    rest = tqdm.format_interval(seconds * (total - done) / done) if done else "?"
    told = f"{done} of {total}, {rest} left" if total > 1 else "…"
    style = "font: 13px var(--jp-ui-font-family, sans-serif); color: var(--jp-ui-font-color2, #656d76)"
    return (
        f'<div style="{style}"><progress {place} style="width: 260px; vertical-align: middle"></progress> '
        f"&ensp;{html.escape(description)}: {told}</div>"
    )
