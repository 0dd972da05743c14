"""A file as memory: mapped for looking at it, read for keeping parts of it."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.files.reading.tensors import aligned
from lefs.records import ArtifactError

__all__ = ["MappedFile"]


class MappedFile:
    """A file's content, mapped copy-on-write: whoever writes to a tensor over it never writes to the file.

    The mapping lives as long as a tensor over it, the open file until `close` or the end of ``with``.

    Attributes
    ----------
    path : Path
        Of the file.
    data : memoryview
        Its content; empty once it is closed.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path, self.data = Path(path), memoryview(b"")
        status = self.path.stat()
        # (before opening: a pipe would wait for somebody to write to it)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ArtifactError("is not a regular file; save it to disk first")
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115, `close` is what ends it
        if status.st_size:
            self.data = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY))
        self._state = _state(self._file)
        self._start = torch.frombuffer(self.data, dtype=torch.uint8).data_ptr() if self.data else 0

    def __enter__(self) -> MappedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; tensors over it stay."""
        self.data = memoryview(b"")
        self._file.close()

    def check_unchanged(self) -> None:
        """Raise an `ArtifactError` if somebody has written to the file since it was opened."""
        if _state(self._file) != self._state:
            raise ArtifactError(f"{self.path} was changed while it was read; load it again")

    def copy(self, tensor: Tensor) -> Tensor:
        """A tensor's numbers as contiguous float32, in memory of their own.

        What lies in this file is read from it: if it becomes shorter meanwhile, that is an error, while
        looking at its mapping would end the process.

        Raises
        ------
        ArtifactError
            If the file has become shorter, or its disk fails.
        """
        target, offset = torch.empty(tensor.shape), tensor.data_ptr() - self._start
        inside = 0 <= offset <= offset + tensor.nbytes <= len(self.data)
        if not inside or tensor.dtype != target.dtype or not tensor.is_contiguous():
            return target.copy_(aligned(tensor))
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
        return target


def _state(file: Any) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns
