"""A file as memory: mapped for looking at it, read for keeping parts of it."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.records import ArtifactError

__all__ = ["MappedFile"]


class MappedFile:
    """A file's content, mapped copy-on-write: whoever writes to a tensor over it never writes to the file.

    The mapping lives as long as a tensor over it, the open file until `close` or the end of ``with``.

    Attributes
    ----------
    path : of the file
    data : its content; empty once it is closed
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path, self.data = Path(path), memoryview(b"")
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115, `close` is what ends it
        try:
            self.data = _mapped(self.path, self._file)
        except BaseException:
            self._file.close()
            raise
        self._start = torch.frombuffer(self.data, dtype=torch.uint8).data_ptr() if self.data else 0

    def __enter__(self) -> MappedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; tensors over it stay."""
        self.data = memoryview(b"")
        self._file.close()

    def read(self, tensor: Tensor, target: Tensor) -> bool:
        """Read what a tensor over this file holds into `target`; False if it lies elsewhere, or in pieces.

        Reading takes half as long as copying from the mapping, where the system first has to find each page,
        and leaves none of the file's pages in this process.

        Parameters
        ----------
        target : contiguous, of the same shape and dtype, in memory of its own

        Raises
        ------
        ArtifactError
            If the file has become shorter, or its disk fails.
        """
        offset = tensor.data_ptr() - self._start
        inside = 0 <= offset <= offset + tensor.nbytes <= len(self.data)
        if not inside or tensor.dtype != target.dtype or not tensor.is_contiguous():
            return False
        memory = target.view(-1).view(torch.uint8).numpy().data
        try:
            self._file.seek(offset)
            while memory:
                count = self._file.readinto(memory)
                if not count:
                    raise ArtifactError(f"{self.path} became shorter while it was read; load it again")
                memory = memory[count:]
        except OSError as error:
            raise ArtifactError(f"{self.path} cannot be read: {error.strerror or error}") from None
        return True


def _mapped(path: Path, file: Any) -> memoryview:
    status = os.fstat(file.fileno())
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError
    if not stat.S_ISREG(status.st_mode):
        raise ArtifactError("is not a regular file; save it to disk first")
    if status.st_size == 0:
        return memoryview(b"")
    try:
        content = _whole(str(path), status.st_size)
    except UnicodeEncodeError:
        # A name that is not text on this computer; Python's mapping takes the open file instead of a name.
        return memoryview(mmap.mmap(file.fileno(), status.st_size, access=mmap.ACCESS_COPY))
    if not os.path.samestat(status, path.stat()):
        raise ArtifactError("was replaced by another file while it was opened; try again")
    return content


def _whole(path: str, size: int) -> memoryview:
    # PyTorch's mapping keeps no file handle open, Python's does.
    whole: Any = torch.UntypedStorage.from_file(path, shared=False, nbytes=size)
    return torch.empty(0, dtype=torch.uint8).set_(whole).numpy().data
