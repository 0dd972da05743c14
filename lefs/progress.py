"""One progress bar for a long loop, in the form that its reader can show."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

import tqdm.auto

__all__ = ["headless", "track"]

Item = TypeVar("Item")


def headless() -> bool:
    """Whether a notebook is being executed without anybody in front of it (``lefs run`` says so)."""
    return os.environ.get("LEFS_HEADLESS", "") not in ("", "0")


def track(items: Iterable[Item], *, total: int, description: str, show: bool) -> Iterable[Item]:
    """Iterate with a bar: a widget in a live notebook, text in a terminal, none where nobody watches."""
    return tqdm.auto.tqdm(items, total=total, desc=description, disable=not show or headless(), leave=False)
