"""How objects show themselves: in words, and in a notebook as a picture that plotting draws."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

__all__ = ["Names", "Shown"]

_LONGEST, _MOST = 80, 12  # characters of one value, items of a list


class Shown:
    """In words by its fields, arrays by their shapes, without those that are as they usually are; in a
    notebook as `lefs.plotting.reprs` draws it.
    """

    def __repr__(self) -> str:
        usual: dict[str, Any] = {f.name: f.default for f in fields(self)} if is_dataclass(self) else {}
        named = {n: _short(getattr(self, n)) for n in usual or vars(self) if n[0] != "_"}
        told = ", ".join(f"{n}={text}" for n, text in named.items() if text != _short(usual.get(n, MISSING)))
        return f"{type(self).__name__}({told})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        # (the core knows no plotting: it is asked for when somebody looks)
        drawn = importlib.import_module("lefs.plotting.reprs").drawn(self)
        return {"text/plain": str(self), **drawn}


class Names(Mapping[str, Any]):
    """A mapping that nobody changes; notebooks complete its names after ``["``.

    Parameters
    ----------
    values : mapping of str to any

    Examples
    --------
    >>> Names({"hair": (0, 3)})["hair"]
    (0, 3)
    """

    def __init__(self, values: Mapping[str, Any]):
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._values)


def _short(value: Any) -> str:
    if getattr(value, "ndim", 0):
        return f"{type(value).__name__}{tuple(value.shape)}"
    if isinstance(value, tuple | list) and len(value) > _MOST:
        return f"{type(value).__name__} of {len(value)}"
    several = type(value) is tuple
    text = f"({', '.join(map(_short, value))}{',' * (len(value) == 1)})" if several else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
