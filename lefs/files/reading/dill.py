"""How dill, which StyleGAN-XL saves with, writes what Python's own pickle cannot. Nothing of it is called.

Functions, code and bound methods come out as records of ``dill._dill``; only arrays and the names of compiled
functions, which older versions of dill spell as a module and an attribute, are taken for what they are.
"""

from __future__ import annotations

from typing import Any

from lefs.files.reading.policy import is_plain_type, name_global
from lefs.files.reading.tensors import array
from lefs.files.reading.values import Global, Instance, Session

__all__ = ["DILL"]


def _array(session: Session, args: tuple[Any, ...]) -> Any:
    """How dill writes an array: what begins one, for which class, the content, and further attributes."""
    match args:
        case (
            Global(),
            (Global(module="numpy", name="ndarray"), *_),
            (int(), shape, dtype, fortran, raw),
            None,
        ):
            return array(shape, dtype, raw, session, fortran=bool(fortran))
    return NotImplemented


def _type(session: Session, args: tuple[Any, ...]) -> Any:
    """How dill names a type of the interpreter, such as that of bound methods; the name stays one.

    Before Python 3.10 it named those of sets and numbers in this way, too.
    """
    match args:
        case (str(name),) if name.isidentifier():
            return Global("builtins" if is_plain_type(name) else "dill._dill", name)
    return NotImplemented


def _module(session: Session, args: tuple[Any, ...]) -> Any:
    """How dill names a module, which has to be one whose functions may be named."""
    match args:
        case (str(name), *_):
            name_global(name, "__name__")
            return Instance("dill._dill", "_import_module", (name,))
    return NotImplemented


def _function(session: Session, args: tuple[Any, ...]) -> Any:
    """How older versions of dill name a compiled function: by its module and its name. No other lookups."""
    match args:
        case (Instance(module="dill._dill", name="_import_module", args=(str(module),)), str(name)):
            return name_global(module, name)
    return Instance("dill._dill", "_get_attr", args)


def _attribute(session: Session, args: tuple[Any, ...]) -> Any:
    """A record, but for dill's way to name its own `setattr`, whose calls are records in turn."""
    match args:
        case (
            Global(module="dill", name="_dill"),
            "_setattr",
            Global(module="builtins", name="setattr"),
        ):
            return Global("dill._dill", "_setattr")
    return Instance("builtins", "getattr", args)


# what `lefs.files.reading.calls` makes of these names
DILL = {
    ("dill._dill", "_create_array"): _array,
    ("dill._dill", "_load_type"): _type,
    ("dill._dill", "_import_module"): _module,
    ("dill._dill", "_get_attr"): _function,
    ("builtins", "getattr"): _attribute,
}
