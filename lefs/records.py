"""Files: safetensors and JSON, written to a temporary name and then replaced, never a pickle."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

__all__ = [
    "VERSION",
    "ArtifactError",
    "describe",
    "embedded_names",
    "file_sha256",
    "load_record",
    "load_tensors",
    "locate",
    "printable",
    "read_json",
    "save_record",
    "save_tensors",
    "whole",
    "write_atomically",
    "write_json",
]

VERSION = 1  # of every format

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")
# An installed wheel carries the data inside the package, a checkout beside it.
_DATA_FOLDERS = (Path(__file__).parent / "data", Path(__file__).parent.parent / "data")


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


def embedded_names() -> list[str]:
    """Names of the models that come with lefs, such as ``"portraits"``."""
    return sorted({f.parent.name for d in _DATA_FOLDERS for f in d.glob("*/generator.json")})


def locate(name_or_path: str | os.PathLike[str]) -> Path:
    """Path of an embedded model's folder, or the given path if it exists.

    A text that is an embedded model's name means that model; ``"./portraits"`` or a `Path` means a path.
    Where both are there, a warning says which was taken.

    Raises
    ------
    ArtifactError
        If it is neither; the message lists the embedded names.
    """
    name = os.fspath(name_or_path)
    try:
        path = Path(name).expanduser()
        found = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{name!r:.200} cannot be looked up: {problem}") from None
    if name in embedded_names() and (isinstance(name_or_path, str) or not found):
        embedded = next(folder / name for folder in _DATA_FOLDERS if (folder / name).is_dir())
        if found and not path.samefile(embedded):
            warnings.warn(f"{name} is the embedded model; the one in this folder is ./{name}", stacklevel=3)
        return embedded
    if found:
        return path
    if _ADDRESS.match(name):
        raise ArtifactError(
            f"{name!r:.200} is an address; lefs never downloads: fetch the file, and give its path"
        )
    raise ArtifactError(
        f"{name!r:.200} is not a file or folder here (looked in {Path.cwd()}) and not an embedded "
        f"model; the embedded ones are: {', '.join(embedded_names()) or 'none'}"
    )


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Call ``write(temporary_path)`` in the folder of `path`, then replace `path` by what it wrote.

    A reader sees the old file or the new one, never half of one, also after a crash.

    Raises
    ------
    ArtifactError
        If the folder cannot be made or written to; `path` is then as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # some writers keep theirs private; what lefs saves is shared like any file
        os.replace(temporary, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ArtifactError(f"cannot write {path}: {error}; choose a folder you may write to") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> Path:
    """Write `content` as indented UTF-8 JSON, atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def read_json(path: str | os.PathLike[str], *, expect: str, text: str | None = None) -> dict[str, Any]:
    """Read a JSON object whose ``"format"`` is `expect`, for example ``"lefs-catalog"``, of `VERSION`.

    `text` is what a file that is no JSON itself holds of it.
    """
    path = Path(path)
    try:
        # (a pipe would wait for somebody to write to it)
        if path.exists() and not path.is_file():
            raise ArtifactError(f"cannot read {path}: it is not a regular file; expected a {expect}")
        content = json.loads(path.read_text(encoding="utf-8") if text is None else text)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist; expected the JSON of a {expect}") from None
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not the JSON of a {expect}: {error}") from error
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != expect:
        raise ArtifactError(f"{path} holds {found!r}, expected format {expect!r}")
    if content.get("version", VERSION) != VERSION:
        raise ArtifactError(
            f"{path} has version {content['version']!r}, this lefs reads {VERSION}; "
            "make it again, or use the lefs that wrote it"
        )
    return content


def save_record(stem: Path, expect: str, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write ``<stem>.safetensors``, then ``<stem>.json``, which says that the two belong together.

    Parameters
    ----------
    stem : Path
        The path of both files without their suffixes.
    expect : str
        The format, such as ``"lefs-catalog"``.
    content : mapping of plain JSON values
    tensors : mapping of str to Tensor
    """
    file = save_tensors(stem.with_suffix(".safetensors"), tensors)
    header = {"format": expect, "version": VERSION}
    write_json(stem.with_suffix(".json"), {**header, **content, "tensors_sha256": file_sha256(file)})


def load_record(stem: Path, *, expect: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `save_record` wrote: the JSON and the tensors.

    Raises
    ------
    ArtifactError
        If a file is missing, truncated, of another kind or version, or the two do not belong together.
    """
    file = stem.with_suffix(".safetensors")
    content, tensors = read_json(stem.with_suffix(".json"), expect=expect), load_tensors(file)
    if content.get("tensors_sha256") != file_sha256(file):
        raise ArtifactError(
            f"{stem.parent}: {file.name} and {stem.name}.json are not of one saving; save them again"
        )
    return content, tensors


@contextmanager
def whole(path: Path, what: str) -> Iterator[None]:
    """Say of any error that comes from what is missing in a file that the file is not a whole `what`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} is not a whole {what}: {error!r}") from error


def save_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor]) -> Path:
    """Write named tensors as safetensors, atomically; they are copied to the CPU as they are."""
    ready = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    return write_atomically(path, lambda p: safetensors.torch.save_file(ready, p))


def load_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a safetensors file; sizes are checked against the file before memory is taken."""
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; expected a safetensors file")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} ({path.stat().st_size} bytes) is not a whole safetensors file: {error}; "
            "it may be truncated: copy or make it again"
        ) from error


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def describe(*paths: str | os.PathLike[str]) -> str:
    """One line for each file (of each folder): path, size, and the first 12 digits of its SHA-256."""
    files = [f for p in map(Path, paths) for f in (sorted(p.iterdir()) if p.is_dir() else [p]) if f.is_file()]
    return "\n".join(f"{f}  {f.stat().st_size:,} bytes  sha256 {file_sha256(f)[:12]}" for f in files)
