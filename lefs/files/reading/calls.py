"""What the few names that lefs knows stand for. Every other name makes an inert record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lefs.files.reading.policy import is_plain_type, name_global
from lefs.files.reading.tensors import DTYPES, array, as_bytes, as_memory, scalar, strided
from lefs.files.reading.values import Global, Instance, Session, Unfinished, check_key, damaged, refused

__all__ = ["call"]

Arguments = tuple[Any, ...]
Maker = Callable[[Session, Arguments], Any]


def call(session: Session, what: Global, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """The value that calling the name `what` stands for; nothing is called."""
    maker = _MAKERS.get(str(what)) or _BY_NAME.get(what.name)
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
            session.spend("objects", len(entries))
            return dict(entries)
        case (list(pairs) | tuple(pairs),) if all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
            session.spend("objects", len(pairs))
            return {check_key(k, session): v for k, v in pairs}
    return NotImplemented


def _default_entries(session: Session, args: Arguments) -> Any:
    return _entries(session, args[1:])


def _value(kind: Any, *accepted: type) -> Maker:
    """A built-in type that is called with nothing, or with one value of these types."""

    def make(session: Session, args: Arguments) -> Any:
        match args:
            case ():
                return kind()
            case (value,) if isinstance(value, accepted):
                return kind(value)
            case (int() | float(), int() | float()) if kind is complex:
                return complex(*args)
        return NotImplemented

    return make


def _collection(kind: type) -> Maker:
    def make(session: Session, args: Arguments) -> Any:
        match args:
            case ():
                return kind()
            case (list(values) | tuple(values) | set(values) | frozenset(values),):
                session.spend("objects", len(values))
                hashed = kind in (set, frozenset)
                return kind(check_key(v, session) for v in values) if hashed else kind(values)
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
            session.spend("bytes", len(values))
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
    session.spend("objects", len(value))
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
    session.spend("tensors")
    return strided(*args[:4])


def _typed_tensor(session: Session, args: Arguments) -> Any:
    """A tensor whose storage has no type; the type comes with the tensor."""
    match args:
        case (Tensor() as base, int(), tuple(), tuple(), _, _, Global(module="torch", name=name), *_):
            dtype = DTYPES.get(name)
            if dtype is None:
                raise refused(f"it stores numbers of the kind torch.{name}, which lefs does not know")
            if base.dtype is not torch.uint8 or base.ndim != 1 or not base.is_contiguous():
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
    return session.payload(as_memory(args[0], session), session) if len(args) == 1 else NotImplemented


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


# -- dill, which StyleGAN-XL saves with ----------------------------------------------------------------------
# It writes what Python's own pickle cannot: functions, code and bound methods, which come out as records of
# ``dill._dill``. Only arrays and the names of compiled functions, which older versions of dill spell as a
# module and an attribute, are taken for what they are.


def _dill_array(session: Session, args: Arguments) -> Any:
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


def _dill_type(session: Session, args: Arguments) -> Any:
    """How dill names a type of the interpreter, such as that of bound methods; the name stays one.

    Before Python 3.10 it named those of sets and numbers in this way, too.
    """
    match args:
        case (str(name),) if name.isidentifier():
            return Global("builtins" if is_plain_type(name) else "dill._dill", name)
    return NotImplemented


def _dill_module(session: Session, args: Arguments) -> Any:
    """How dill names a module, which has to be one whose functions may be named."""
    match args:
        case (str(name), *_):
            name_global(name, "__name__")
            return Instance("dill._dill", "_import_module", (name,))
    return NotImplemented


def _dill_function(session: Session, args: Arguments) -> Any:
    """How older versions of dill name a compiled function: by its module and its name. No other lookups."""
    match args:
        case (Instance(module="dill._dill", name="_import_module", args=(str(module),)), str(name)):
            return name_global(module, name)
    return Instance("dill._dill", "_get_attr", args)


def _attribute(session: Session, args: Arguments) -> Any:
    """A record, but for dill's way to name its own `setattr`, whose calls are records in turn."""
    match args:
        case (
            Global(module="dill", name="_dill"),
            "_setattr",
            Global(module="builtins", name="setattr"),
        ):
            return Global("dill._dill", "_setattr")
    return Instance("builtins", "getattr", args)


_NAMES: tuple[tuple[Maker, str], ...] = (
    (_entries, "collections.OrderedDict collections.Counter builtins.dict"),
    (_default_entries, "collections.defaultdict"),
    (_collection(list), "builtins.list"),
    (_collection(tuple), "builtins.tuple torch.Size"),
    (_collection(set), "builtins.set"),
    (_collection(frozenset), "builtins.frozenset"),
    (_bytes, "builtins.bytes builtins.bytearray"),
    (_value(int, int, float), "builtins.int builtins.long"),
    (_value(float, int, float), "builtins.float"),
    (_value(bool, int, float), "builtins.bool"),
    (_value(complex, int, float), "builtins.complex"),
    (_value(str, str), "builtins.str builtins.unicode"),
    (_encoded, "_codecs.encode"),
    (_reconstructor, "copyreg._reconstructor"),
    (_new_object, "copyreg.__newobj__"),
    (_tensor, "torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2"),
    (_typed_tensor, "torch._utils._rebuild_tensor_v3"),
    (_parameter, "torch._utils._rebuild_parameter torch._utils._rebuild_parameter_with_state"),
    (_tensor_of_type, "torch._tensor._rebuild_from_type_v2"),
    (_payload, "torch.storage._load_from_bytes"),
    (_begun_array, "numpy.core.multiarray._reconstruct numpy.core._multiarray_umath._reconstruct"),
    (_begun_array, "numpy._core.multiarray._reconstruct numpy._core._multiarray_umath._reconstruct"),
    (_scalar, "numpy.core.multiarray.scalar numpy.core._multiarray_umath.scalar"),
    (_scalar, "numpy._core.multiarray.scalar numpy._core._multiarray_umath.scalar"),
    (_array_of_buffer, "numpy.core.numeric._frombuffer numpy._core.numeric._frombuffer"),
    (_dill_array, "dill._dill._create_array"),
    (_dill_type, "dill._dill._load_type"),
    (_dill_module, "dill._dill._import_module"),
    (_dill_function, "dill._dill._get_attr"),
    (_attribute, "builtins.getattr"),
)
_MAKERS = {name: maker for maker, names in _NAMES for name in names.split()}
# Classes that each repository carries in a place of its own.
_BY_NAME: dict[str, Maker] = {"EasyDict": _entries, "_reconstruct_persistent_obj": _persistent}
