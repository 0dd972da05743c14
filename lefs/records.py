"""Files: safetensors and JSON, written to a temporary name and then replaced, never a pickle.

A record (a generator, a catalog, ...) is one ``.safetensors`` file with its JSON in the metadata, so that one
replacement commits it. Version 1, which had a ``.json`` beside that file, is read; only a sweep writes it, in
whose folder runs share their numbers.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import safetensors

from lefs.saving import ArtifactError, PathLike, exclusive, printable, write_atomically, write_json

if TYPE_CHECKING:  # (whoever only asks where a file is, such as a server, does not wait for PyTorch)
    from torch import Tensor

__all__ = [
    "VERSION", "ArtifactError", "PathLike", "Record", "describe", "describe_record", "embedded_names",
    "exclusive", "file_sha256", "folder_of", "lacks_memory", "load_record", "load_tensors", "locate",
    "looked_up", "not_enough_memory", "printable", "read_json", "record_file", "save_record", "save_tensors",
    "whole", "whole_record", "write_atomically", "write_json",
]  # fmt: skip

VERSION = 2  # of records; texts, such as recipes, and records of two files are of version 1

_KEY = "lefs"  # of the JSON in the metadata
_LONGEST = 2**26  # characters of it; the format itself ends at 100 MB

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")
# An installed wheel carries the data inside the package, a checkout beside it.
_DATA_FOLDERS = (Path(__file__).parent / "data", Path(__file__).parent.parent / "data")


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory, or that of a device, is full."""
    if isinstance(error, RuntimeError | safetensors.SafetensorError):
        return re.search(r"allocat|out of memory", str(error)) is not None
    return isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM


def not_enough_memory(what: object, needed: float = 0) -> ArtifactError:
    """The error that says so, with the bytes that `what` needs if they are known."""
    about = f", it needs about {max(needed / 2**30, 0.1):.1f} GiB" if needed else ""
    return ArtifactError(f"{what}: not enough memory{about}; close other programs, or take a larger machine")


def embedded_names() -> list[str]:
    """Names of the models that come with lefs, such as ``"portraits"``."""
    return sorted({f.parent.name for d in _DATA_FOLDERS for f in d.glob("*/generator.safetensors")})


def looked_up(name: PathLike) -> Path:
    """Its path, with ``~`` for whom it stands; an `ArtifactError` if no file or folder can be called so."""
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"a name or path must be a text or a Path, got {type(name).__name__}")
    try:
        path = Path(name).expanduser()
        with suppress(FileNotFoundError):
            path.lstat()
            if path.is_dir():
                os.stat(f"{path}/.")  # noqa: PTH116  (only of a folder that one may enter; a Path drops the dot)
        return path
    except (OSError, RuntimeError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{os.fspath(name)!r:.200} cannot be looked up: {problem}") from None


def locate(name_or_path: PathLike) -> Path:
    """Path of an embedded model's folder, or the given path if it exists.

    A text that is an embedded model's name means that model; ``"./portraits"`` or a `Path` means a path.
    Where both are there, a warning says which was taken. A ``.safetensors`` file may be named without its
    suffix, or with that of the ``.json`` that once lay beside it.

    Raises
    ------
    ArtifactError
        If it is neither; the message lists the embedded names.
    """
    path = looked_up(name_or_path)
    name, found = os.fspath(name_or_path), path.exists()
    whole = path.with_name(f"{path.name.removesuffix('.json')}.safetensors") if path.name else path
    path, found = (whole, True) if not found and looked_up(whole).is_file() else (path, found)
    if name in embedded_names() and (isinstance(name_or_path, str) or not found):
        embedded = next(folder / name for folder in _DATA_FOLDERS if (folder / name).is_dir())
        if found and not path.samefile(embedded):
            warnings.warn(f"{name} is the embedded model; the one in this folder is ./{name}", stacklevel=3)
        return embedded
    if found:
        return path
    told = "is an address; lefs never downloads: fetch the file, and give its path"
    if not _ADDRESS.match(name):
        known = f"an embedded model; the embedded ones are: {', '.join(embedded_names()) or 'none'}"
        told = f"is not a file or folder here (looked in {Path.cwd()}) and not {known}"
    raise ArtifactError(f"{name!r:.200} {told}")


def folder_of(name_or_path: PathLike) -> Path:
    """The folder of a model, named by itself or by a file in it: its catalog lies there."""
    path = locate(name_or_path)
    return path if path.is_dir() else path.parent


def read_json(path: PathLike, *, expect: str | None, text: str | None = None) -> dict[str, Any]:
    """Read a JSON object of version 1 and of this format; `text` is what a picture holds of it."""
    path, what = Path(path), expect or "record"
    try:
        if path.exists() and not path.is_file():  # (a pipe would wait for somebody to write to it)
            raise OSError(f"it is not a regular file; expected a {what}")
        return _parse(path.read_bytes() if text is None else text, path, expect)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist; expected the JSON of a {what}") from None
    except (OSError, ValueError) as error:  # (of a path with a null byte)
        raise ArtifactError(f"cannot read {path}: {error}") from error


def _parse(text: str | bytes, path: Path, expect: str | None, version: int = 1) -> dict[str, Any]:
    """The JSON object in a file, if it is of this format (None: any) and version."""
    what = expect or "record"
    if len(text) > _LONGEST:
        raise ArtifactError(f"{path} has {len(text):,} characters of JSON, more than lefs reads")
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not the JSON of a {what}: {error}") from error
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    if found != (expect or found) or not isinstance(content, dict):
        raise ArtifactError(f"{path} holds {found!r}, expected format {what!r}")
    if content.get("version", 1) != version:
        told = f"has version {content.get('version')!r}, this lefs reads 1{' and 2' * (version == VERSION)}"
        raise ArtifactError(f"{path} {told}; make it again, or use the lefs that wrote it")
    return content


class Record(NamedTuple):
    """What a record's file holds: the JSON, the tensors, and which file that is."""

    content: dict[str, Any]
    tensors: dict[str, Tensor]
    file: Path


def record_file(path: PathLike, expect: str) -> Path:
    """The file of a record: `path` if that ends in ``.safetensors``, also if ``.json`` stands there instead.

    Else `path` is a folder, and a ``"lefs-catalog"`` is ``catalog.safetensors`` there.
    """
    path = Path(path)
    if path.suffix in (".safetensors", ".json") and not path.is_dir():
        return path.with_suffix(".safetensors")
    return path / f"{expect.removeprefix('lefs-')}.safetensors"


def save_record(
    path: PathLike, expect: str, content: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Path:
    """Write a record as one file, atomically; the ``.json`` of an older one in its place is removed.

    Parameters
    ----------
    path : str or path
        A name that ends in ``.safetensors``, or a folder, as `record_file` has it.
    expect : str
        The format, such as ``"lefs-catalog"``.
    content, tensors : mappings of str to plain JSON values, and to Tensor

    Returns
    -------
    Path
        What `load_record` takes: the folder, or the file where one was named.
    """
    file, ready = record_file(path, expect), _on_cpu(tensors)
    header = {"format": expect, "version": VERSION, "tensors_crc32": _crc32(ready)}
    text = json.dumps({**content, **header}, ensure_ascii=False, allow_nan=False)
    if len(text) > _LONGEST:
        raise ArtifactError(f"{file}: {len(text):,} characters of JSON are more than lefs reads")
    save_tensors(file, ready, {_KEY: text})
    with suppress(ArtifactError, OSError):
        read_json(file.with_suffix(".json"), expect=expect)
        file.with_suffix(".json").unlink()
    return file if file.parent != Path(path) else Path(path)


def load_record(name_or_path: PathLike, *, expect: str | None, tensors: bool = True) -> Record:
    """Read what `save_record` wrote, or the two files of version 1.

    Parameters
    ----------
    name_or_path : str or path
        What `locate` takes; in a folder, the file of `record_file`.
    expect : str or None
        The format; None: any, of a file.
    tensors : bool
        Whether to read them, and to hold them against their checksum.

    Raises
    ------
    ArtifactError
        If it is missing, truncated, damaged, of another kind or version, or of two savings.
    """
    file = record_file(locate(name_or_path), expect or "")
    metadata, found = _read(file, tensors)
    if _KEY not in metadata:
        try:
            return Record(_content_beside(file, expect, check=tensors), found, file)
        except ArtifactError:
            metadata, found = _read(file, tensors)
            if _KEY not in metadata:  # (else one file has taken the place of two meanwhile)
                raise
    content = _parse(metadata[_KEY], file, expect, VERSION)
    if tensors and content.get("tensors_crc32") != _crc32(found):
        raise ArtifactError(f"{file} was damaged after it was saved: its numbers have another checksum")
    return Record(content, found, file)


def _content_beside(file: Path, expect: str | None, *, check: bool) -> dict[str, Any]:
    beside = file.with_suffix(".json")
    if not beside.exists():
        raise ArtifactError(f"{file} does not say what it is: lefs did not write it, and reads no other's")
    content = read_json(beside, expect=expect)
    if check and (digest := content.get("tensors_sha256")) and digest != file_sha256(file):
        raise ArtifactError(f"{file} and {beside.name} are not of one saving; save them again")
    return content


def describe_record(path: Path, *, whole: bool = False) -> str:
    """What a file of lefs says of itself, a line an entry, or as JSON; a generator's only as that."""
    alone = path.suffix == ".json" and not path.with_suffix(".safetensors").exists()
    expect = "lefs-generator" if path.is_dir() else None
    found = Record(read_json(path, expect=None), {}, path) if alone else load_record(path, expect=expect)
    if whole:
        return json.dumps(found.content, indent=2)
    if found.content.get("format") == "lefs-generator":
        return ""
    said = {key: json.dumps(value, ensure_ascii=False) for key, value in found.content.items()}
    shapes = {n: f"{tuple(t.shape)}, {str(t.dtype).partition('.')[2]}" for n, t in found.tensors.items()}
    return "\n".join(printable(f"{key:<18} {value}", 200) for key, value in (said | shapes).items())


@contextmanager
def whole_record(name_or_path: PathLike, *, expect: str) -> Iterator[Record]:
    """`load_record`; of any error that comes from what is missing in it, say that it is not whole."""
    record = load_record(name_or_path, expect=expect)
    with whole(record.file, expect.removeprefix("lefs-")):
        yield record


@contextmanager
def whole(path: Path, what: str) -> Iterator[None]:
    """Say of any error that comes from what is missing in a file that the file is not a whole `what`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} is not a whole {what}: {error!r}") from error


def save_tensors(
    path: PathLike, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> Path:
    """Write named tensors as safetensors, atomically; they are copied to the CPU as they are."""
    from safetensors.torch import save_file

    return write_atomically(path, lambda p: save_file(_on_cpu(tensors), p, metadata))


def load_tensors(path: PathLike) -> dict[str, Tensor]:
    """Read a safetensors file; sizes are checked against the file before memory is taken."""
    return _read(Path(path))[1]


def _read(path: Path, all_of_it: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a file, of one saving, whoever replaces it meanwhile."""
    if not path.is_file():
        problem = "is not a regular file" if path.exists() else "does not exist"
        raise ArtifactError(f"{path} {problem}; expected a safetensors file")
    try:
        # (safetensors opens a file by its name twice, for its header and for torch to map it: by that of what
        # is open already, where the system has one, it is the same file both times)
        with path.open("rb") as held:
            name = Path(f"/dev/fd/{held.fileno()}")
            with safetensors.safe_open(name if name.exists() else path, framework="pt") as file:
                found = {key: file.get_tensor(key) for key in (file.keys() if all_of_it else ())}
                # Mapped, they would change with the file, or end the process; kernels of one server, which
                # share the pages of a file, ask for that, and nobody may write into it meanwhile.
                if os.environ.get("LEFS_MAP_WEIGHTS") != "1":
                    found = {key: tensor.clone() for key, tensor in found.items()}
                return file.metadata() or {}, found
    except (safetensors.SafetensorError, MemoryError, OSError, RuntimeError, ValueError) as error:
        if lacks_memory(error):
            raise not_enough_memory(path, path.stat().st_size) from None
        raise ArtifactError(
            f"{path} ({path.stat().st_size} bytes) is not a whole safetensors file: {error}; "
            "it may be truncated: copy or make it again"
        ) from error


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    """A checksum over names, types, shapes and bytes: it finds damage in a tenth of the time of a digest."""
    from torch import uint8

    found = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        found = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), found)
        found = zlib.crc32(tensor.reshape(-1).view(uint8).numpy().data, found)
    return found


def file_sha256(path: PathLike) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def describe(*paths: PathLike) -> str:
    """One line for each file (of each folder): path, size, and the first 12 digits of its SHA-256."""
    files = [f for p in map(Path, paths) for f in (sorted(p.iterdir()) if p.is_dir() else [p]) if f.is_file()]
    return "\n".join(f"{f}  {f.stat().st_size:,} bytes  sha256 {file_sha256(f)[:12]}" for f in files)
