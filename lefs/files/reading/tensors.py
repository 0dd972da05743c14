"""Tensors over the bytes of a file: no copy where the machine allows it, every size checked first."""

from __future__ import annotations

import codecs
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lefs.files.reading.values import Instance, Session, damaged, refused

__all__ = [
    "DTYPES", "STORAGES", "aligned", "array", "array_of", "as_bytes", "as_memory", "scalar", "storage",
    "strided",
]  # fmt: skip

# what PyTorch calls storages of a type, what numpy and PyTorch call the type; "-" where there is no such name
_ROWS = """
    HalfStorage f2 float16, BFloat16Storage - bfloat16, FloatStorage f4 float32, DoubleStorage f8 float64,
    CharStorage i1 int8, ShortStorage i2 int16, IntStorage i4 int32, LongStorage i8 int64, - u2 uint16,
    ByteStorage u1 uint8, BoolStorage b1 bool, - u4 uint32, - u8 uint64, ComplexFloatStorage c8 complex64,
    ComplexDoubleStorage c16 complex128, UntypedStorage - uint8, _UntypedStorage - uint8
"""
_TYPES = [(*row.split()[:2], getattr(torch, row.split()[2])) for row in _ROWS.split(",")]
STORAGES: dict[str, torch.dtype] = {name: dtype for name, _, dtype in _TYPES if name != "-"}
_NUMPY: dict[str, torch.dtype] = {code: dtype for _, code, dtype in _TYPES if code != "-"}
DTYPES: dict[str, torch.dtype] = {str(dtype).removeprefix("torch."): dtype for *_, dtype in _TYPES}
_LONGEST_SIDE, _MOST_DIMENSIONS, _SMALL_OVERLAP = 2**40, 32, 4096
_ALWAYS_ALIGNED = 2**16


def storage(raw: memoryview, dtype: torch.dtype, session: Session, *, swap: bool = False) -> Tensor:
    """One-dimensional tensor of `dtype` over `raw`, a view of it where its position allows that.

    Parameters
    ----------
    raw : memoryview
        Whole items of `dtype`.
    dtype : torch.dtype
        Type of the items.
    session : Session
        What the file may still cost.
    swap : bool
        Whether the items are big-endian.
    """
    session.spend("tensors")
    size = dtype.itemsize
    if len(raw) % size:
        raise damaged(f"{len(raw):,} bytes are not a whole number of {dtype}")
    if not len(raw):
        return torch.empty(0, dtype=dtype)
    flat = torch.frombuffer(raw, dtype=torch.uint8)
    if dtype is torch.bool:
        session.spend("bytes", len(raw))
        return flat.ne(0)
    if swap and size > 1:
        session.spend("bytes", len(raw))
        part = size // 2 if dtype.is_complex else size
        return flat.view(-1, part).flip(1).view(-1).view(dtype)
    if flat.data_ptr() % size and len(raw) <= _ALWAYS_ALIGNED:
        session.spend("bytes", len(raw))
        flat = flat.clone()
    return flat.view(dtype)


def aligned(tensor: Tensor) -> Tensor:
    """`tensor`, or a contiguous copy of it if its items do not lie at multiples of their size in memory.

    Arithmetic is defined on aligned tensors only.
    """
    size = tensor.dtype.itemsize
    if tensor.device.type != "cpu" or not tensor.numel() or tensor.data_ptr() % size == 0:
        return tensor
    # The bytes of each item as one more axis: bytes may lie anywhere.
    shape, stride = (*tensor.shape, size), (*(step * size for step in tensor.stride()), 1)
    loose = torch.empty(0, dtype=torch.uint8)
    loose.set_(tensor.untyped_storage(), tensor.storage_offset() * size, shape, stride)
    return loose.clone(memory_format=torch.contiguous_format).view(tensor.dtype).squeeze(-1)


def strided(base: Any, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...]) -> Tensor:
    """The view of the storage `base` with this geometry, after checking that it lies inside.

    Raises
    ------
    ArtifactError
        If it reaches beyond the storage, or repeats its items to claim more than there are.
    """
    if not isinstance(base, Tensor) or base.ndim != 1 or not base.is_contiguous():
        raise damaged(f"a tensor is to be made over {type(base).__name__}, which is not a storage")
    items, count = len(base), _check_shape(size)
    # (what they are is not shown: it may be shared so often that writing it out would not end)
    sensible = all(isinstance(n, int) and 0 <= n <= _LONGEST_SIDE for n in (offset, *stride))
    if not sensible or len(stride) != len(size):
        raise damaged(f"a tensor of shape {size} has an offset or strides that no tensor has")
    reach = sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else -1
    if offset + reach >= items:
        raise damaged(f"a tensor of shape {size} and strides {stride} reaches beyond its {items:,} items")
    if count > max(items, _SMALL_OVERLAP):
        raise refused(f"a tensor of shape {size} claims {count:,} items, but {items:,} are stored")
    return base.as_strided(size, stride, base.storage_offset() + offset)


def _check_shape(size: tuple[Any, ...]) -> int:
    """Number of items in a tensor of shape `size`, which must be one that a network can have."""
    sides = len(size) <= _MOST_DIMENSIONS and all(
        isinstance(n, int) and 0 <= n <= _LONGEST_SIDE for n in size
    )
    if not sides or math.prod(n or 1 for n in size) > 2**50:
        raise damaged(f"a tensor's shape is not one of up to {_MOST_DIMENSIONS} sensible integers")
    return math.prod(size)


def as_bytes(raw: Any, session: Session) -> bytes | memoryview:
    """The bytes of `raw`; text of Python 2 holds one byte in each character."""
    if isinstance(raw, str):
        session.spend("bytes", len(raw))
        try:
            return raw.encode("latin-1")
        except UnicodeEncodeError:
            raise damaged("text stands where bytes are expected") from None
    if not isinstance(raw, bytes | memoryview):
        raise damaged(f"{type(raw).__name__} stands where bytes are expected")
    return raw


def as_memory(raw: Any, session: Session) -> memoryview:
    """The same as memory that tensors may lie over: small contents are copied, large ones are views."""
    content = as_bytes(raw, session)
    if isinstance(content, memoryview):
        return content
    session.spend("bytes", len(content))
    return memoryview(bytearray(content))


# -- numpy ---------------------------------------------------------------------------------------------------


def _number_type(dtype: Any) -> tuple[str, bool]:
    """Kind and item size of a numpy dtype's record (``"f4"``), and whether it is big-endian.

    Raises
    ------
    ArtifactError
        If it is not a dtype, or one of Python objects.
    """
    match dtype:
        case Instance(module="numpy", name="dtype", args=(str(code), *_)):
            order = code[0] if code[:1] in ("<", ">", "|", "=") else "<"
        case _:
            raise damaged(f"an array's type is {type(dtype).__name__}, expected a numpy.dtype")
    code = code.lstrip("<>|=")
    match dtype.state:
        case (_, "<" | ">" | "|" | "=" as given, _, names, fields, *_):
            order = given
            code = "V" if names or fields else code
    if code.startswith("O") or code == "object":
        raise refused("it holds a numpy array of Python objects, which could be anything")
    return code, order == ">"


def array(shape: Any, dtype: Any, raw: Any, session: Session, *, fortran: bool = False) -> Tensor | Instance:
    """The tensor with the values of a numpy array; an array that is not of numbers stays a mere record.

    Parameters
    ----------
    shape : tuple of int
        Sides of the array.
    dtype : Instance
        The record of its numpy.dtype.
    raw : bytes, memoryview or str
        Its content; text holds one byte in each character.
    session : Session
        What the file may still cost.
    fortran : bool
        Whether the first index runs fastest.
    """
    code, swap = _number_type(dtype)
    if isinstance(raw, list):
        raise refused("it holds a numpy array of Python objects, which could be anything")
    content = as_bytes(raw, session)
    if not isinstance(shape, tuple):
        raise damaged("an array's shape is not a tuple")
    count = _check_shape(shape)
    if code not in _NUMPY:
        return Instance("numpy", "ndarray", (shape, code))
    found = _NUMPY[code]
    if count * found.itemsize != len(content):
        raise damaged(f"an array of shape {shape} and type {code} has {len(content):,} bytes")
    flat = storage(as_memory(content, session), found, session, swap=swap)
    if fortran:
        return flat.view(shape[::-1]).permute(*reversed(range(len(shape))))
    return flat.view(shape)


def array_of(content: Any, session: Session) -> Tensor | Instance:
    """The same, from what numpy writes of an array besides its class."""
    match content:
        case (int(), shape, dtype, fortran, raw) | (shape, dtype, fortran, raw):
            return array(shape, dtype, raw, session, fortran=bool(fortran))
    raise damaged("an array's content is not what numpy writes")


def scalar(dtype: Any, raw: Any, session: Session) -> Any:
    """The Python number, str or bytes of a numpy scalar."""
    code, swap = _number_type(dtype)
    content = as_bytes(raw, session)
    session.spend("bytes", len(content))
    content = bytes(content)
    if code.startswith("S"):
        return content
    if code.startswith("U"):
        decode = codecs.utf_32_be_decode if swap else codecs.utf_32_le_decode
        return decode(content, "replace")[0].rstrip("\0")
    if code in _NUMPY and len(content) == _NUMPY[code].itemsize:
        return np.frombuffer(content, f"{'>' if swap else '<'}{code}")[0].item()
    return array((), dtype, content, session)
