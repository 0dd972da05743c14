"""What the few names that lefs knows stand for. Every other name makes an inert record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lefs.files.reading.dill import DILL
from lefs.files.reading.tensors import STORAGES, array, as_bytes, scalar, strided
from lefs.files.reading.values import Global, Instance, Session, Unfinished, check_key, damaged, refused

__all__ = ["call"]

_UNSIGNED = {"uint16": torch.uint16, "uint32": torch.uint32, "uint64": torch.uint64}
_DTYPES = {str(d).removeprefix("torch."): d for d in STORAGES.values()} | _UNSIGNED

Arguments = tuple[Any, ...]
Maker = Callable[[Session, Arguments], Any]


def call(session: Session, what: Global, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """The value that calling the name `what` stands for; nothing is called."""
    maker = _MAKERS.get((what.module, what.name)) or _BY_NAME.get(what.name)
    if maker is None:
        return Instance(what.module, what.name, args, kwargs)
    if kwargs:
        raise damaged(f"{what} is called with keywords")
    value = maker(session, args)
    if value is NotImplemented:
        raise damaged(f"{what} is called with {len(args)} arguments of unexpected kinds")
    return value


# -- Python's own --------------------------------------------------------------------------------------------


def _entries(session: Session, args: Arguments) -> Any:
    """A dict, also for the classes derived from it: (), (dict,) or (list of pairs,)."""
    match args:
        case ():
            return {}
        case (dict(entries),):
            session.object(len(entries))
            return dict(entries)
        case (list(pairs) | tuple(pairs),) if all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
            session.object(len(pairs))
            return {check_key(k, session): v for k, v in pairs}
    return NotImplemented


def _default_entries(session: Session, args: Arguments) -> Any:
    return _entries(session, args[1:])


def _collection(kind: type) -> Maker:
    def make(session: Session, args: Arguments) -> Any:
        match args:
            case ():
                return kind()
            case (list(values) | tuple(values) | set(values) | frozenset(values),):
                session.object(len(values))
                if kind in (set, frozenset):
                    return kind(check_key(v, session) for v in values)
                return kind(values)
        return NotImplemented

    return make


def _bytes(session: Session, args: Arguments) -> Any:
    match args:
        case ():
            return b""
        case (bytes() | memoryview() as content,):
            return content
        case (str(text), str(codec)):
            return _encoded(session, (text, codec))
        case (list(values),) if all(isinstance(v, int) and 0 <= v < 256 for v in values):
            session.copy(len(values))
            return bytes(values)
    return NotImplemented


def _encoded(session: Session, args: Arguments) -> Any:
    """Python 3 writes bytes for Python 2 as text of one character a byte."""
    match args:
        case (str(text), "latin1" | "latin-1" | "iso-8859-1"):
            return as_bytes(text, session)
        case (memoryview() as content, "latin1" | "latin-1" | "iso-8859-1"):
            return content
    return NotImplemented


def _number(kind: type) -> Maker:
    def make(session: Session, args: Arguments) -> Any:
        match args:
            case ():
                return kind()
            case (bool() | int() | float() as value,):
                return kind(value)
            case (int() | float() as real, int() | float() as imaginary) if kind is complex:
                return complex(real, imaginary)
        return NotImplemented

    return make


def _text(session: Session, args: Arguments) -> Any:
    match args:
        case ():
            return ""
        case (str(text),):
            return text
    return NotImplemented


def _reconstructor(session: Session, args: Arguments) -> Any:
    """How protocols 0 and 1 write an object: its class, the built-in type beneath, that type's value."""
    match args:
        case (Global() as what, Global(module="builtins", name="object"), None):
            return call(session, what, (), {})
        case (Global() as what, Global(module="builtins"), dict() | list() | tuple() | set() as value):
            return _filled(call(session, what, (), {}), value, session)
        case (Global(module, name), Global(module="builtins"), value):
            return Instance(module, name, (value,))
    return NotImplemented


def _filled(target: Any, value: Any, session: Session) -> Any:
    session.object(len(value))
    if isinstance(target, dict) and isinstance(value, dict):
        target.update(value)
    elif isinstance(target, Instance) and isinstance(value, dict):
        target.entries.update(value)
    elif isinstance(target, Instance):
        target.items.extend(value)
    else:
        return NotImplemented
    return target


def _new_object(session: Session, args: Arguments) -> Any:
    match args:
        case (Global() as what, *values) if what.name != "__newobj__":
            return call(session, what, tuple(values), {})
    return NotImplemented


def _new_object_with_keywords(session: Session, args: Arguments) -> Any:
    match args:
        case (Global() as what, tuple(values), dict(keywords)) if what.name != "__newobj_ex__":
            return call(session, what, values, keywords)
    return NotImplemented


# -- persistence of stylegan2-ada-pytorch and stylegan3 ------------------------------------------------------


def _persistent(session: Session, args: Arguments) -> Any:
    match args:
        case (dict(meta),) if meta.get("type") == "class" and "state" in meta:
            name = meta.get("class_name")
            if isinstance(name, str):
                return Instance("torch_utils.persistence", name, (), {}, meta["state"])
    return NotImplemented


# -- PyTorch -------------------------------------------------------------------------------------------------


def _tensor(session: Session, args: Arguments) -> Any:
    # (hundreds of these in a snapshot: no pattern matching, which takes as long as all the rest)
    if len(args) < 4 or args[2].__class__ is not tuple or args[3].__class__ is not tuple:
        return NotImplemented
    session.tensor()
    return strided(*args[:4])


def _typed_tensor(session: Session, args: Arguments) -> Any:
    """A tensor whose storage has no type; the type comes with the tensor."""
    match args:
        case (Tensor() as base, int(), tuple(), tuple(), _, _, Global(module="torch", name=name), *_):
            dtype = _DTYPES.get(name)
            if dtype is None or base.dtype is not torch.uint8 or base.ndim != 1 or not base.is_contiguous():
                return NotImplemented
            if base.numel() % dtype.itemsize or base.storage_offset() % dtype.itemsize:
                raise damaged(f"{base.numel():,} bytes are not a whole number of {dtype}")
            return _tensor(session, (base.view(dtype), *args[1:]))
    return NotImplemented


def _parameter(session: Session, args: Arguments) -> Any:
    return args[0] if args and isinstance(args[0], Tensor) else NotImplemented


def _tensor_of_type(session: Session, args: Arguments) -> Any:
    """A tensor with attributes of its own: the function that makes it, its class, arguments, attributes."""
    match args:
        case (Global() as what, Global(), tuple(values), *_) if what.name != "_rebuild_from_type_v2":
            return call(session, what, values, {})
    return NotImplemented


def _payload(session: Session, args: Arguments) -> Any:
    """A storage, written by PyTorch as a whole file inside this one. Read like any other file, not loaded."""
    if len(args) != 1:
        return NotImplemented
    content = as_bytes(args[0], session)
    if isinstance(content, bytes):
        session.copy(len(content))
        content = memoryview(bytearray(content))
    return session.payload(content, session)


def _size(session: Session, args: Arguments) -> Any:
    match args:
        case (tuple(size) | list(size),):
            session.object(len(size))
            return tuple(size)
    return NotImplemented


# -- numpy ---------------------------------------------------------------------------------------------------


def _begun_array(session: Session, args: Arguments) -> Any:
    match args:
        case (Global(module="numpy", name="ndarray"), tuple(), _):
            return Unfinished()
    return NotImplemented


def _scalar(session: Session, args: Arguments) -> Any:
    match args:
        case (Instance() as dtype, bytes() | str() | memoryview() as raw):
            return scalar(dtype, raw, session)
        case (Instance(), _):
            raise refused("it holds a numpy scalar that is a Python object, which could be anything")
    return NotImplemented


def _array_of_buffer(session: Session, args: Arguments) -> Any:
    """How protocol 5 writes an array: bytes, type, shape, order of the axes."""
    match args:
        case (raw, dtype, tuple(shape), "C" | "F" as order):
            return array(shape, dtype, raw, session, fortran=order == "F")
        case (raw, dtype, tuple(shape), "K", tuple(axes)) if sorted(axes) == list(range(len(shape))):
            found = array(shape, dtype, raw, session)
            return found.permute(axes) if isinstance(found, Tensor) else found
    return NotImplemented


_MAKERS: dict[tuple[str, str], Maker] = {
    ("collections", "OrderedDict"): _entries,
    ("collections", "Counter"): _entries,
    ("collections", "defaultdict"): _default_entries,
    ("builtins", "dict"): _entries,
    ("builtins", "list"): _collection(list),
    ("builtins", "tuple"): _collection(tuple),
    ("builtins", "set"): _collection(set),
    ("builtins", "frozenset"): _collection(frozenset),
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytes,
    ("builtins", "int"): _number(int),
    ("builtins", "long"): _number(int),
    ("builtins", "float"): _number(float),
    ("builtins", "bool"): _number(bool),
    ("builtins", "complex"): _number(complex),
    ("builtins", "str"): _text,
    ("builtins", "unicode"): _text,
    ("_codecs", "encode"): _encoded,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copyreg", "__newobj__"): _new_object,
    ("copyreg", "__newobj_ex__"): _new_object_with_keywords,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _tensor_of_type,
    ("torch.storage", "_load_from_bytes"): _payload,
    ("torch", "Size"): _size,
    **DILL,
}
for _package in ("numpy.core", "numpy._core"):
    for _inner in ("multiarray", "_multiarray_umath"):
        _MAKERS[f"{_package}.{_inner}", "_reconstruct"] = _begun_array
        _MAKERS[f"{_package}.{_inner}", "scalar"] = _scalar
    _MAKERS[f"{_package}.numeric", "_frombuffer"] = _array_of_buffer

# Classes that each repository carries in a place of its own.
_BY_NAME: dict[str, Maker] = {"EasyDict": _entries, "_reconstruct_persistent_obj": _persistent}
