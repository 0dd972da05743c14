"""What the few names that lefs knows stand for. Every other name makes an inert record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, uint8

from lefs.files.reading.policy import is_plain_type, name_global
from lefs.files.reading.tensors import DTYPES, array, array_of, as_bytes, as_memory, scalar, strided
from lefs.files.reading.values import Global, Instance, Session, Unfinished, check_key, damaged, refused

__all__ = ["call"]

Arguments = tuple[Any, ...]
# name → what makes its values, and the key by which
Makers = dict[str, tuple[Callable[..., Any], Any]]


def call(session: Session, what: Global, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """The value that calling the name `what` stands for; nothing is called."""
    known = _KNOWN.get(str(what)) or _BY_NAME.get(what.name)
    if known is None:
        return Instance(what.module, what.name, args, kwargs)
    if kwargs:
        raise damaged(f"{what} is called with keywords")
    maker, key = known
    value = maker(session, key, args)
    if value is NotImplemented:
        raise damaged(f"{what} is called with {len(args)} arguments of unexpected kinds")
    return value


# What follows makes the values, by the keys of the tables below; NotImplemented of unexpected arguments.


def _plain(session: Session, kind: Any, args: Arguments) -> Any:
    """A built-in type, or one derived from it, that is called with nothing or with what it is made of."""
    if not args:
        return kind()
    match str(kind.__name__), args:
        case "dict", (dict(entries),):
            session.spend("objects", len(entries))
            return dict(entries)
        case "dict", (list(pairs) | tuple(pairs),) if all(map(_is_pair, pairs)):
            session.spend("objects", len(pairs))
            return {check_key(k, session): v for k, v in pairs}
        case "list" | "tuple", (list(values) | tuple(values) | set(values) | frozenset(values),):
            session.spend("objects", len(values))
            return kind(values)
        case "set" | "frozenset", (list(values) | tuple(values) | set(values) | frozenset(values),):
            session.spend("objects", len(values))
            return kind(check_key(v, session) for v in values)
        case "bytes", (bytes() | memoryview() as content,):
            return content
        case "bytes", (str(), str()):
            return _python(session, "encode", args)
        case "bytes", (list(values),) if all(isinstance(v, int) and 0 <= v < 256 for v in values):
            session.spend("bytes", len(values))
            return bytes(values)
        case ("int" | "float" | "bool" | "complex", (int() | float(),)) | ("str", (str(),)):
            return kind(*args)
        case "complex", (int() | float(), int() | float()):
            return complex(*args)
    return NotImplemented


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _python(session: Session, key: str, args: Arguments) -> Any:
    match key, args:
        case "defaultdict", _:
            return _plain(session, dict, args[1:])
        # Python 3 writes bytes for Python 2 as text of one character a byte.
        case "encode", (str(text), "latin1" | "latin-1" | "iso-8859-1"):
            return as_bytes(text, session)
        case "encode", (memoryview() as content, "latin1" | "latin-1" | "iso-8859-1"):
            return content
        # How protocols 0 and 1 write an object: its class, the built-in type beneath, that type's value.
        case "_reconstructor", (Global() as what, Global("builtins", "object"), None):
            return call(session, what, (), {})
        case "_reconstructor", (Global() as what, Global("builtins"), dict() | list() | tuple() | set()):
            return _filled(call(session, what, (), {}), args[2], session)
        case "_reconstructor", (Global(module, name), Global("builtins"), _):
            return Instance(module, name, args[2:])
        case "__newobj__", (Global() as what, *values) if what.name != "__newobj__":
            return call(session, what, tuple(values), {})
        # Of stylegan2-ada-pytorch and stylegan3.
        case "persistent", ({"type": "class", "class_name": str(name), "state": state},):
            return Instance("torch_utils.persistence", name, state=state)
    return NotImplemented


def _filled(target: Any, value: Any, session: Session) -> Any:
    session.spend("objects", len(value))
    if isinstance(target, dict) and isinstance(value, dict):
        target.update(value)
    elif isinstance(target, Instance):
        (target.entries.update if isinstance(value, dict) else target.items.extend)(value)
    else:
        return NotImplemented
    return target


def _tensor(session: Session, key: str, args: Arguments) -> Any:
    # (hundreds of these in a snapshot: no pattern matching, which takes as long as all the rest)
    if len(args) < 4 or args[2].__class__ is not tuple or args[3].__class__ is not tuple:
        return NotImplemented
    session.spend("tensors")
    return strided(*args[:4])


def _torch(session: Session, key: str, args: Arguments) -> Any:
    match key, args:
        # Its storage has no type; the type comes with the tensor.
        case "_rebuild_tensor_v3", (Tensor() as base, _, _, _, _, _, Global("torch", name), *_):
            if (dtype := DTYPES.get(name)) is None:
                raise refused(f"it stores numbers of the kind torch.{name}, which lefs does not know")
            if base.dtype is not uint8 or base.ndim != 1 or not base.is_contiguous():
                return NotImplemented
            if base.numel() % dtype.itemsize or base.storage_offset() % dtype.itemsize:
                raise damaged(f"{base.numel():,} bytes are not a whole number of {dtype}")
            return _tensor(session, key, (base.view(dtype), *args[1:]))
        case "_rebuild_parameter" | "_rebuild_parameter_with_state", (Tensor() as tensor, *_):
            return tensor
        # A tensor with attributes of its own: the function that makes it, its class, arguments, attributes.
        case "_rebuild_from_type_v2", (Global(name=name) as what, Global(), tuple(values), *_) if name != key:
            return call(session, what, values, {})
        # A storage, written as a whole file inside this one. Read like any other file, not loaded.
        case "_load_from_bytes", (raw,):
            return session.payload(as_memory(raw, session), session)
    return NotImplemented


def _numpy(session: Session, key: str, args: Arguments) -> Any:
    match key, args:
        case "_reconstruct", (Global("numpy", "ndarray"), tuple(), _):
            return Unfinished()
        case "scalar", (Instance() as dtype, bytes() | str() | memoryview() as raw):
            return scalar(dtype, raw, session)
        case "scalar", (Instance(), _):
            raise refused("it holds a numpy scalar that is a Python object, which could be anything")
        # How protocol 5 writes an array: bytes, type, shape, order of the axes.
        case "_frombuffer", (raw, dtype, tuple(shape), "C" | "F" as order):
            return array(shape, dtype, raw, session, fortran=order == "F")
        case "_frombuffer", (raw, kind, tuple(size), "K", tuple(axes)) if sorted(axes) == [*range(len(size))]:
            found = array(size, kind, raw, session)
            return found.permute(axes) if isinstance(found, Tensor) else found
    return NotImplemented


def _dill(session: Session, key: str, args: Arguments) -> Any:
    """Of dill, which StyleGAN-XL saves with. It writes what Python's own pickle cannot: functions, code and
    bound methods, which come out as records of ``dill._dill``. Only arrays and the names of compiled
    functions, which older versions spell as a module and an attribute, are taken for what they are.
    """
    match key, args:
        # What begins an array, for which class, the content, and further attributes.
        case "_create_array", (Global(), (Global("numpy", "ndarray"), *_), tuple() as content, None):
            return array_of(content, session)
        # A type of the interpreter, such as that of bound methods; before Python 3.10 also those of numbers.
        case "_load_type", (str(name),) if name.isidentifier():
            return Global("builtins" if is_plain_type(name) else "dill._dill", name)
        # A module, which has to be one whose functions may be named; a function by its module and its name.
        case "_import_module", (str(module), *_):
            name_global(module, "__name__")
            return Instance("dill._dill", key, (module,))
        case "_get_attr", (Instance("dill._dill", "_import_module", (str(module),)), str(name)):
            return name_global(module, name)
        case "_get_attr", _:
            return Instance("dill._dill", key, args)
        # Its way to name its own `setattr`, whose calls are records in turn. No other lookups.
        case "getattr", (Global("dill", "_dill"), "_setattr", Global("builtins", "setattr")):
            return Global("dill._dill", "_setattr")
        case "getattr", _:
            return Instance("builtins", key, args)
    return NotImplemented


_BUILT_IN = (dict, list, tuple, set, frozenset, bytes, int, float, bool, complex, str)
_DERIVED = {
    "builtins.bytearray": bytes, "builtins.long": int, "builtins.unicode": str, "torch.Size": tuple,
    "collections.OrderedDict": dict, "collections.Counter": dict,
}  # fmt: skip
# Each name's key is what follows its last dot.
_NAMES = {
    _python: "collections.defaultdict _codecs.encode copyreg._reconstructor copyreg.__newobj__",
    _tensor: "torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2",
    _torch: """
        torch._utils._rebuild_tensor_v3 torch._utils._rebuild_parameter torch.storage._load_from_bytes
        torch._utils._rebuild_parameter_with_state torch._tensor._rebuild_from_type_v2
    """,
    _numpy: """
        numpy.core.multiarray._reconstruct numpy.core._multiarray_umath._reconstruct
        numpy.core.multiarray.scalar numpy.core._multiarray_umath.scalar numpy.core.numeric._frombuffer
    """,
    _dill: """
        dill._dill._create_array dill._dill._load_type dill._dill._import_module dill._dill._get_attr
        builtins.getattr
    """,
}
_KNOWN: Makers = {
    **{f"builtins.{kind.__name__}": (_plain, kind) for kind in _BUILT_IN},
    **{name: (_plain, kind) for name, kind in _DERIVED.items()},
    **{n: (maker, n.rpartition(".")[2]) for maker, names in _NAMES.items() for n in names.split()},
}
_KNOWN |= {name.replace("numpy.core", "numpy._core"): known for name, known in _KNOWN.items()}
# Classes that each repository carries in a place of its own.
_BY_NAME: Makers = {"EasyDict": (_plain, dict), "_reconstruct_persistent_obj": (_python, "persistent")}
