"""Reads tensors and plain values out of pickles and PyTorch checkpoints without running them.

No class or function that a file names is looked up or called. Objects come out as inert records (`Instance`),
names as `Global`, arrays and tensors as tensors that are views of the memory-mapped file where possible.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lefs.files.reading.mapped import MappedFile
from lefs.files.reading.pickles import Pickle
from lefs.files.reading.policy import is_inert
from lefs.files.reading.sniffing import explain, sniff
from lefs.files.reading.tensors import aligned
from lefs.files.reading.torch_files import read_checkpoint
from lefs.files.reading.values import Global, Instance, Session, damaged, walk
from lefs.records import ArtifactError, lacks_memory, not_enough_memory

__all__ = ["Global", "Instance", "MappedFile", "aligned", "is_inert", "opened", "read_tree", "walk"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | MappedFile


def read_tree(source: Source) -> Any:
    """Read a pickle, or a PyTorch checkpoint (.pt, .pth, .model; zip or legacy format), as plain values.

    Nothing that it contains is executed.

    Parameters
    ----------
    source : path, bytes or MappedFile
        The file, its content, or the file `opened`.

    Returns
    -------
    None, bool, int, float, str, bytes (a memoryview of more than 64 KiB), tuple, list, dict, set of these,
    tensors on the CPU (numpy arrays as well), and `Instance` and `Global` in place of all other objects and
    of names. Tensors of more than 64 KiB are views of the file wherever they lie: pass those that are used
    through `aligned`.

    Raises
    ------
    ArtifactError
        If it is neither, is damaged, asks for what could run code, or would need more memory than its size
        justifies. The message says what the file is, what was expected, and what to do.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        # Tensors may be written to; a copy keeps the caller's bytes as they are.
        return _guarded(lambda: _read(memoryview(bytearray(source))), "the content")
    if isinstance(source, MappedFile):
        return _guarded(lambda: _read(source.data), str(source.path))
    with opened(source) as file:
        return read_tree(file)


def opened(path: str | os.PathLike[str]) -> MappedFile:
    """Open and map the file at `path` once for all that reads it; close it in the end, or use ``with``.

    Raises
    ------
    ArtifactError
        If it does not exist, may not be read, or is not a regular file.
    """
    found: MappedFile = _guarded(lambda: MappedFile(path), str(path))
    return found


def _read(data: memoryview) -> Any:
    kind, session = sniff(data), Session(len(data), read_checkpoint)
    if kind == "pickle":
        pickle = Pickle(data, session)
        tree = pickle.load()
        if bytes(data[pickle.end : pickle.end + 2**16]).strip(b"\0\r\n "):
            raise damaged(f"{len(data) - pickle.end:,} bytes follow after its end")
    elif kind in ("torch-zip", "torch-legacy"):
        tree = read_checkpoint(data, session)
    else:
        raise ArtifactError(f"{explain(data, kind)} (expected a pickle or a PyTorch checkpoint)")
    deque(walk(tree), maxlen=0)  # (which counts its levels)
    return tree


def _guarded(act: Callable[[], Any], name: str) -> Any:
    """What `act` returns.

    What it raises comes as a new error, without the frames it came from: they would keep the file mapped.
    """
    # Thousands of new objects and none to collect: looking for garbage among all of PyTorch's own takes half
    # as long again as reading the file.
    running = gc.isenabled()
    gc.disable()
    try:
        return act()
    except Exception as error:
        told = _told(error, name)
    finally:
        if running:
            gc.enable()
    raise told


def _told(error: Exception, name: str) -> ArtifactError:
    match error:
        case ArtifactError():
            return ArtifactError(f"{name} {error}")
        case PermissionError():
            return ArtifactError(f"{name} may not be read by you: ask its owner, or change its permissions")
        case FileNotFoundError():
            return ArtifactError(f"{name} does not exist")
        case IsADirectoryError():
            return ArtifactError(f"{name} is a folder; give a file inside it")
        case _ if lacks_memory(error):
            path = Path(name)
            return not_enough_memory(name, path.stat().st_size if path.is_file() else 0)
        case OSError():
            return ArtifactError(f"{name} cannot be read: {error.strerror or error}")
    # Every known case has its own message above; this is for what nobody thought of.
    return ArtifactError(f"{name} is damaged: {type(error).__name__}: {error}; download or copy it again")
