"""One progress bar for a long loop, in the form that its reader can show."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

import tqdm
import tqdm.auto

__all__ = ["headless", "track"]

Item = TypeVar("Item")


def headless() -> bool:
    """Whether a notebook is being executed without anybody in front of it (``lefs run`` says so)."""
    return os.environ.get("LEFS_HEADLESS", "") not in ("", "0")


def track(items: Iterable[Item], *, total: int, description: str, show: bool) -> Iterable[Item]:
    """Iterate with a bar: a widget in a live notebook, text elsewhere (a saved widget stays at 0 %)."""
    bar = tqdm.tqdm if headless() else tqdm.auto.tqdm
    return bar(items, total=total, desc=description, disable=not show, leave=False)
