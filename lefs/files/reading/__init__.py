"""Reads tensors and plain values out of pickles and PyTorch checkpoints without running them.

No class or function that a file names is looked up or called. Objects come out as inert records (`Instance`),
names as `Global`, arrays and tensors as tensors that are views of the memory-mapped file where possible.
"""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from lefs.files.reading.checkpoints import read_checkpoint
from lefs.files.reading.mapped import MappedFile
from lefs.files.reading.pickles import Pickle
from lefs.files.reading.policy import is_inert
from lefs.files.reading.sniffing import explain, sniff_bytes
from lefs.files.reading.tensors import aligned
from lefs.files.reading.values import Global, Instance, Session, check_depth, damaged, walk
from lefs.records import ArtifactError

__all__ = [
    "Global",
    "Instance",
    "MappedFile",
    "aligned",
    "is_inert",
    "opened",
    "read_pickle",
    "read_torch",
    "sniff",
    "walk",
]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | MappedFile
_Value = TypeVar("_Value")


def read_pickle(source: Source, *, align: bool = True) -> Any:
    """Read a pickle of any protocol as a tree of plain values. Nothing that it contains is executed.

    Parameters
    ----------
    source : path of the file, or the file `opened`, or its content
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
        If it is not a pickle, is damaged, asks for what could run code, or would need more memory than its
        size justifies. The message says what the file is, what was expected, and what to do.
    """
    return _read(source, _pickle, ("pickle",), "a pickle", align)


def read_torch(source: Source, *, align: bool = True) -> Any:
    """Read a PyTorch checkpoint (.pt, .pth, .model; zip or legacy format) as a tree of plain values.

    Parameters, returned values and errors are those of `read_pickle`.
    """
    return _read(source, read_checkpoint, ("torch-zip", "torch-legacy"), "a PyTorch checkpoint", align)


def opened(path: str | os.PathLike[str]) -> MappedFile:
    """Open and map the file at `path` once for all that reads it; close it in the end, or use ``with``.

    Raises
    ------
    ArtifactError
        If it does not exist, may not be read, or is not a regular file.
    """
    return _guarded(lambda: MappedFile(path), str(path))


def sniff(path: str | os.PathLike[str] | MappedFile) -> str:
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
    if not isinstance(path, MappedFile) and Path(path).is_dir():
        return "folder"

    def look() -> str:
        with _file(path) as file:
            return sniff_bytes(file.data)

    return _guarded(look, _name(path))


def _file(source: str | os.PathLike[str] | MappedFile) -> AbstractContextManager[MappedFile]:
    # Whoever opened a file closes it.
    return nullcontext(source) if isinstance(source, MappedFile) else MappedFile(source)


def _name(source: Source) -> str:
    if isinstance(source, bytes | bytearray | memoryview):
        return "the content"
    return str(source.path if isinstance(source, MappedFile) else source)


def _pickle(data: memoryview, session: Session) -> Any:
    pickle = Pickle(data, session)
    value = pickle.load()
    if bytes(data[pickle.end : pickle.end + 2**16]).strip(b"\0\r\n "):
        raise damaged(f"{len(data) - pickle.end:,} bytes follow after its end")
    return value


def _read(
    source: Source,
    reader: Callable[[memoryview, Session], Any],
    kinds: tuple[str, ...],
    expected: str,
    align: bool,
) -> Any:
    def read() -> Any:
        if isinstance(source, bytes | bytearray | memoryview):
            # Tensors may be written to; a copy keeps the caller's bytes as they are.
            return follow(memoryview(bytearray(source)))
        with _file(source) as file:
            return follow(file.data)

    def follow(data: memoryview) -> Any:
        kind = sniff_bytes(data)
        if kind not in kinds:
            raise ArtifactError(f"{explain(data, kind)} (expected {expected})")
        tree = reader(data, Session.of(len(data), read_checkpoint, align=align))
        check_depth(tree)
        return tree

    with _collector_paused():
        return _guarded(read, _name(source))


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


def _guarded(act: Callable[[], _Value], name: str) -> _Value:
    """What `act` returns.

    What it raises comes as a new error, without the frames it came from: they would keep the file mapped.
    """
    outcome = _outcome(act, name)
    if isinstance(outcome, ArtifactError):
        raise outcome
    return outcome


def _outcome(act: Callable[[], _Value], name: str) -> _Value | ArtifactError:
    try:
        return act()
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
        AttributeError,
        LookupError,
        RecursionError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        # Every known case has its own message above; this is for what nobody thought of.
        return ArtifactError(f"{name} is damaged: {type(error).__name__}: {error}; download or copy it again")
