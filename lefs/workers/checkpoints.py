"""What is kept of a long work, so that it goes on where it ended: finished chunks, a file each."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.checks import check_integer
from lefs.records import ArtifactError, load_record, save_record

__all__ = ["Checkpoint", "Unfinished", "digest_of"]

_FORMAT = "lefs-chunk"
Compute = Callable[[Sequence[int]], Iterator[Any]]  # the results of chunks of these numbers
_log = logging.getLogger("lefs.workers")


class Unfinished(RuntimeError):
    """Chunks that other shards compute are not there yet.

    Attributes
    ----------
    missing : int
        How many.
    """

    def __init__(self, missing: int):
        super().__init__(f"{missing} chunks of other shards are missing; run those, then this again")
        self.missing = missing


@dataclass(frozen=True)
class Checkpoint:
    """A folder that keeps finished chunks, each in a file that belongs to one generator and its parameters.

    Attributes
    ----------
    folder : Path
        Of any number of works; to be deleted when they are done.
    shard, shards : int
        Of each work compute the chunks whose number is `shard` modulo `shards` alone.

    Examples
    --------
    >>> import lefs, tempfile, torch
    >>> checkpoint = lefs.workers.Checkpoint(tempfile.mkdtemp())
    >>> kept = {"checkpoint": checkpoint, "work": "the squares of some numbers"}
    >>> found = lefs.workers.map_chunks(lambda chunk: (torch.tensor(chunk**2),), range(3), **kept)
    >>> [int(square) for (square,) in found], checkpoint.has(kept["work"], 2)
    ([0, 1, 4], True)
    """

    folder: Path
    shard: int = 0
    shards: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        check_integer("shards", self.shards, minimum=1)
        check_integer("shard", self.shard, maximum=self.shards - 1)

    @classmethod
    def of(cls, given: str | os.PathLike[str] | Checkpoint | None) -> Checkpoint | None:
        """The checkpoint in a folder; itself where it is one, or None."""
        return given if given is None or isinstance(given, Checkpoint) else cls(Path(given))

    def has(self, work: str, number: int) -> bool:
        """Whether there is a file for a chunk."""
        return self._file(work, number).is_file()

    def read(self, work: str, number: int) -> tuple[Tensor, ...] | None:
        """A chunk's tensors; None if they are not there, damaged, or another work's: to be made anew."""
        try:
            content, tensors, _ = load_record(self._file(work, number), expect=_FORMAT)
        except ArtifactError:
            return None
        if [content.get(key) for key in ("work", "chunk")] != [work, number]:
            return None
        return tuple(tensors[key] for key in sorted(tensors))

    def write(self, work: str, number: int, found: Sequence[Any]) -> None:
        """Keep a chunk's tensors, nine at most."""
        tensors = {str(i): torch.as_tensor(each) for i, each in enumerate(found)}
        save_record(self._file(work, number), _FORMAT, {"work": work, "chunk": number}, tensors)

    def joined(self, work: str, compute: Compute, every: Sequence[int], *, finish: bool) -> Iterator[Any]:
        """Results in order: those that are there as they were kept, the others computed and kept."""

        def missing() -> list[int]:
            return [number for number in every if not self.has(work, number)]

        def written(numbers: Sequence[int]) -> Iterator[Any]:
            for number, found in zip(numbers, compute(numbers), strict=True):
                self.write(work, number, found)
                yield found

        if self.shards > 1:
            deque(written([number for number in missing() if number % self.shards == self.shard]), maxlen=0)
            if not finish and (others := missing()):
                raise Unfinished(len(others))
        left = missing()
        _log.info("%s has %d of %d chunks", self.folder, len(every) - len(left), len(every))
        computed, new = written(left), set(left)
        for number in every:
            found = next(computed) if number in new else self.read(work, number)
            yield next(written([number])) if found is None else found

    def _file(self, work: str, number: int) -> Path:
        return self.folder / f"{work[:16]}-{number:06}.safetensors"


def digest_of(*values: Any) -> str:
    """SHA-256 over plain values, tensors and dataclasses: what tells one work from another."""
    return hashlib.sha256(json.dumps(values, default=_plain, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        return [str(value.dtype), list(value.shape), hashlib.sha256(data).hexdigest()]
    if is_dataclass(value):
        return {type(value).__name__: {name: v for name, v in vars(value).items() if name[0] != "_"}}
    return dict(value) if isinstance(value, Mapping) else str(value)
