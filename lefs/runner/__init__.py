"""Run the notebooks, headless or in a folder of one's own, and check what they are told.

Each name is imported when it is first asked for: what executes notebooks takes seconds, and `prepare`, which
every notebook calls first, does not wait for it.
"""

import importlib
import re
from pathlib import Path
from typing import Any

from lefs.checks import needs

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {n: home for home, n in re.findall(r"^from (lefs\.runner\.\w+) import \w+ as (\w+)$", _STUB, re.M)}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lefs.runner' has no attribute {name!r}")
    with needs("notebooks", f"lefs.runner.{name}"):
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
