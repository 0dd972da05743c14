"""Reads tensors and plain values out of pickles and PyTorch checkpoints without running them.

No class or function that a file names is looked up or called. Objects come out as inert records (`Instance`),
names as `Global`, arrays and tensors as tensors that are views of the memory-mapped file where possible.
"""

from __future__ import annotations

import gc
import mmap
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lefs.artifacts import ArtifactError
from lefs.generators.unpickle.checkpoints import read_checkpoint
from lefs.generators.unpickle.machine import Machine
from lefs.generators.unpickle.policy import is_inert
from lefs.generators.unpickle.sniffing import explain, sniff_bytes
from lefs.generators.unpickle.tensors import aligned
from lefs.generators.unpickle.values import Global, Instance, Session, damaged, walk

__all__ = ["Global", "Instance", "aligned", "is_inert", "read_pickle", "read_torch", "sniff", "walk"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview


def read_pickle(source: Source, *, align: bool = True) -> Any:
    """Read a pickle of any protocol as a tree of plain values. Nothing that it contains is executed.

    Parameters
    ----------
    source : path of the file, or its content
    align : whether every tensor lies in memory as arithmetic needs it, which copies those that do not in the
        file. With False, tensors of more than 64 KiB are views of the file wherever they lie; pass those that
        are used through `aligned`.

    Returns
    -------
    None, bool, int, float, str, bytes (a memoryview of more than 64 KiB), tuple, list, dict, set of these,
    tensors on the CPU (numpy arrays as well), and `Instance` and `Global` in place of all other objects and
    of names

    Raises
    ------
    ArtifactError
        If it is no pickle, damaged, asks for what could run code, or would need more memory than its size
        justifies. The message says what the file is, what was expected, and what to do.
    """
    return _read(source, _pickle, ("pickle",), "a pickle", align)


def read_torch(source: Source, *, align: bool = True) -> Any:
    """Read a PyTorch checkpoint (.pt, .pth, .model; zip or legacy format) as a tree of plain values.

    Parameters, returned values and errors are those of `read_pickle`.
    """
    return _read(source, read_checkpoint, ("torch-zip", "torch-legacy"), "a PyTorch checkpoint", align)


def sniff(path: str | os.PathLike[str]) -> str:
    """Say what kind of file `path` is, from its content.

    Returns
    -------
    One of ``"pickle"``, ``"torch-zip"``, ``"torch-legacy"``, ``"safetensors"``, ``"html"``, ``"text"``,
    ``"lfs-pointer"``, ``"empty"``, ``"zip"``, ``"folder"``, ``"unknown"``

    Raises
    ------
    ArtifactError
        If it does not exist or may not be read.
    """
    if Path(path).is_dir():
        return "folder"
    outcome = _guarded(lambda: sniff_bytes(_mapped(Path(path))), str(path))
    if isinstance(outcome, ArtifactError):
        raise outcome
    return str(outcome)


def _pickle(data: memoryview, session: Session) -> Any:
    value, end = Machine(data, session, payload=read_checkpoint).run()
    if bytes(data[end : end + 2**16]).strip(b"\0\r\n "):
        raise damaged(f"{len(data) - end:,} bytes follow after its end")
    return value


def _read(
    source: Source,
    reader: Callable[[memoryview, Session], Any],
    kinds: tuple[str, ...],
    expected: str,
    align: bool,
) -> Any:
    name = "the content" if isinstance(source, bytes | bytearray | memoryview) else str(source)

    def read() -> Any:
        data = _opened(source)
        kind = sniff_bytes(data)
        if kind not in kinds:
            raise ArtifactError(f"{explain(data, kind)} (expected {expected})")
        tree = reader(data, Session.of(len(data), align=align))
        for _ in walk(tree):
            pass
        return tree

    with _collector_paused():
        outcome = _guarded(read, name)
    if isinstance(outcome, ArtifactError):
        raise outcome
    return outcome


@contextmanager
def _collector_paused() -> Iterator[None]:
    # Thousands of new objects and none to collect: the collector would only go through all of PyTorch's own,
    # which takes longer than reading the file.
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _guarded(read: Callable[[], Any], name: str) -> Any:
    """What `read` returns, or the error to raise.

    The error is a new one without the frames that it came from, so that they cannot keep the file mapped.
    """
    try:
        return read()
    except ArtifactError as error:
        return ArtifactError(f"{name} {error}")
    except MemoryError:
        return ArtifactError(f"{name} needs more memory than this computer has free")
    except PermissionError:
        return ArtifactError(f"{name} may not be read by you: ask its owner, or change its permissions")
    except FileNotFoundError:
        return ArtifactError(f"{name} does not exist")
    except IsADirectoryError:
        return ArtifactError(f"{name} is a folder; give a file inside it")
    except OSError as error:
        return ArtifactError(f"{name} cannot be read: {error.strerror or error}")
    except (
        ArithmeticError,
        LookupError,
        RecursionError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        # Every known case has its own message above; this is for what nobody thought of.
        return ArtifactError(f"{name} is damaged: {type(error).__name__}: {error}; download or copy it again")


def _opened(source: Source) -> memoryview:
    if isinstance(source, bytes | bytearray | memoryview):
        # Tensors may be written to; a copy keeps the caller's bytes as they are.
        return memoryview(bytearray(source))
    return _mapped(Path(source))


def _mapped(path: Path) -> memoryview:
    """The content of a file, mapped copy-on-write: whoever writes to a tensor never writes to the file.

    PyTorch's mapping keeps no file handle open, Python's does. It lives as long as a tensor over it.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError("is no regular file; save it to disk first")
        size = status.st_size
    if size == 0:
        return memoryview(b"")
    try:
        return _whole(str(path), size)
    except UnicodeEncodeError:
        # A name that is no text on this computer; Python's mapping takes the open file instead of a name.
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY))


def _whole(path: str, size: int) -> memoryview:
    whole: Any = torch.UntypedStorage.from_file(path, shared=False, nbytes=size)
    return torch.empty(0, dtype=torch.uint8).set_(whole).numpy().data
