"""Old names: the error for one says the new one, as the changelog's table of names has it.

Modules of lefs are imported by a loader that looks at what they define. Nothing that exists is slower for it,
but for a few functions that had other keywords; nothing old works.
"""

from __future__ import annotations

import dis
import functools
import inspect
import re
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

__all__ = ["OldNames", "renamed"]

_HERE = Path(__file__).parent


@functools.cache
def _table() -> dict[str, list[str]]:
    """``{old name or function(keyword=): rows of the changelog's table}``."""
    found: dict[str, list[str]] = {}
    # (in a wheel it lies in the package)
    files = [p for p in (_HERE / "CHANGELOG.md", _HERE.parent / "CHANGELOG.md") if p.is_file()]
    text = files[0].read_text(encoding="utf-8") if files else ""
    for row in re.findall(r"^\| (`.*`.*?) \| (.+) \|$", text, re.MULTILINE):
        olds, news = (cell.split("; ") for cell in row)
        for old, new in zip(olds, news, strict=True) if len(olds) == len(news) else [row]:
            for code in re.findall(r"`([^` ]*(?: ?\(.*?\))?)`", old):
                called, _, arguments = code.partition("(")
                name = called.rpartition(".")[2]
                keywords = [f"{name}({keyword}=)" for keyword in re.findall(r"(\w+)=", arguments)]
                for key in [*keywords, f"{name}("] if keywords else [name]:
                    found.setdefault(key, []).append(f"{old} → {new}".replace("`", ""))
    return found


def renamed(name: str) -> str:
    """What to append to an error about `name`: nothing, unless it is an old one.

    Examples
    --------
    >>> from lefs.renames import renamed
    >>> renamed("artifacts"), renamed("nothing")
    ('; the changelog says: lefs.artifacts → lefs.records now', '')
    """
    rows = _table().get(name)
    return f"; the changelog says: {'; '.join(dict.fromkeys(rows))} now" if rows else ""


class OldNames:
    """Finds the modules of lefs, for `sys.meta_path`; of an old one it says where it went."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Python's entry."""
        if not name.startswith("lefs."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None and (now := renamed(name.rpartition(".")[2])):
            # (with a name, "from lefs import old" would hide it)
            raise ModuleNotFoundError(f"No module named {name!r}{now}")
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(name, str(spec.origin))
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module).setdefault("__getattr__", functools.partial(_missing, module))
        own = [
            thing for thing in vars(module).values() if getattr(thing, "__module__", "") == module.__name__
        ]
        for thing in own:
            if isinstance(thing, FunctionType):
                setattr(module, thing.__name__, _called(thing, thing.__name__))
            elif isinstance(thing, type) and not getattr(thing, "_is_protocol", False):
                _teach(thing)


def _missing(module: ModuleType, name: str) -> Any:
    now = "" if name.startswith("_") else renamed(name)
    frame = sys._getframe(1)
    if now and frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]:
        # Python drops the words of an AttributeError here
        raise ImportError(f"cannot import name {name!r} from {module.__name__!r}{now}")
    raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}{now}")


def _teach(kind: type) -> None:
    """Let the instances' errors for old attributes, and the methods' for old keywords, say the new ones."""
    for name, method in list(vars(kind).items()):
        if isinstance(method, FunctionType):
            setattr(kind, name, _called(method, kind.__name__ if name == "__init__" else name))
    # (networks look their parameters up through torch's own; of those, generators are what people hold)
    if kind.__name__ == "Generator" or not any("__getattr__" in vars(each) for each in kind.__mro__):
        kind.__getattr__ = _Missing()  # type: ignore[attr-defined]


class _Missing:
    """A ``__getattr__`` that only instances have: IPython completes no further where a class has one."""

    def __get__(self, thing: Any, kind: type) -> Callable[[str], Any]:
        if thing is None:
            raise AttributeError("__getattr__")
        return functools.partial(_attribute, thing)


def _attribute(self: Any, name: str) -> Any:
    kind: Any = type(self)
    try:
        return _inherited(kind)(self, name)
    except AttributeError as error:
        now = "" if name.startswith("_") else renamed(name)
        if not now:
            raise
        raise AttributeError(f"{error}{now}", name=name, obj=self) from None


@functools.cache
def _inherited(kind: type) -> Callable[[Any, str], Any]:
    """What answers for attributes that are not there, but for us: torch's modules have a way of their own."""
    answers = (vars(each).get("__getattr__") for each in kind.__mro__)
    others = (answer for answer in answers if answer is not None and not isinstance(answer, _Missing))
    return next(others, object.__getattribute__)


def _called(function: FunctionType, name: str) -> Callable[..., Any]:
    """The function itself, unless it had keywords of other names."""
    if f"{name}(" not in _table():
        return function

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for keyword in kwargs:
            now = renamed(f"{name}({keyword}=)")
            if now and keyword not in inspect.signature(function).parameters:
                raise TypeError(f"{name}() got an unexpected keyword argument {keyword!r}{now}")
        return function(*args, **kwargs)

    return wrapper
