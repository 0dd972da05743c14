"""How files are written: to a temporary name, which then takes the old file's place."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import safetensors

__all__ = [
    "ArtifactError", "PathLike", "check_writable", "exclusive", "printable", "write_atomically", "write_json",
    "write_text",
]  # fmt: skip

PathLike = str | os.PathLike[str]

_STALE, _MOST = 3600, 10_000  # seconds that a temporary file is left alone; entries looked through for them
# (the second kind is that of safetensors, which writes to a temporary name, too)
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp|\.tmp[0-9A-Za-z]{6}")


class ArtifactError(Exception):
    """A file is missing, damaged, of another kind, or belongs to another generator.

    Examples
    --------
    >>> import lefs
    >>> try:
    ...     lefs.load("no such file")
    ... except lefs.ArtifactError as error:
    ...     print(str(error)[:38])
    'no such file' is not a file or folder
    """

    def __init__(self, message: object = ""):
        super().__init__(printable(str(message)))


def printable(text: str, longest: int = 2000) -> str:
    """Make `text`, which may come from anybody's file, safe to show: its middle cut out, controls escaped."""
    if len(text) > longest:
        text = f"{text[: longest // 2]} ... {text[-longest // 2 :]}"
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def write_atomically(path: PathLike, write: Callable[[Path], object]) -> Path:
    """Call ``write(temporary_path)`` in the folder of `path`, then replace `path` by what it wrote.

    A reader sees the old file or the new one, never half of one, also after a crash or a loss of power.
    What writers that were killed more than an hour ago left in the folder is swept up.

    Raises
    ------
    ArtifactError
        If the folder cannot be made or written to; `path` is then as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # some writers keep theirs private; what lefs saves is shared like any file
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ArtifactError(f"cannot write {path}: {error}; choose a folder you may write to") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    with suppress(OSError):  # (not every system can do that with a folder)
        _sync(path.parent, os.O_RDONLY)
    return path


def check_writable(path: PathLike) -> Path:
    """Return the path; an `ArtifactError`, before the work, if `write_atomically` could not write there."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        with TemporaryFile(dir=next(folder for folder in path.parents if folder.exists())):
            return path
    except OSError as error:
        problem = error.strerror or error
        raise ArtifactError(f"cannot write {path}: {problem}; choose a folder you may write to") from error


def _sync(path: Path, flags: int) -> None:
    """Wait until what was written is on the disk."""
    number = os.open(path, flags)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sweep(folder: Path) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _MOST):
            ours = _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            if ours and time.time() - entry.stat().st_mtime > _STALE:
                Path(entry).unlink(missing_ok=True)


@contextmanager
def exclusive(folder: PathLike, *, wait: bool = True) -> Iterator[bool]:
    """Wait for others that hold this folder, and hold it, made if need be, against those that come later.

    Yields whether nobody else holds it, which without `wait` somebody may. The lock ends with its process.
    Where the system (Windows) or the file system has none, go on without.
    """
    with ExitStack() as stack:
        free = True
        try:
            import fcntl

            Path(folder).mkdir(parents=True, exist_ok=True)
            stack.callback(os.close, number := os.open(folder, os.O_RDONLY))
            fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            free = False
        except (ImportError, OSError):  # (whoever writes there says what is wrong with it)
            pass
        yield free


def write_text(path: PathLike, text: str) -> Path:
    """Write `text` as UTF-8, atomically."""
    return write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: PathLike, content: Mapping[str, Any]) -> Path:
    """Write `content` as indented UTF-8 JSON, atomically."""
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
