"""Many workers: who computes the chunks of a long work.

How work is cut into chunks depends on its parameters alone, and results are taken in order, so that they are
the same bit for bit whatever the number of workers and whoever comes first. A generator travels as the path
of its file, which each process reads once.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from lefs.checkpoints import Checkpoint, Unfinished
from lefs.checks import Label, check_device, check_integer
from lefs.generator import Generator
from lefs.progress import track
from lefs.records import ArtifactError

__all__ = ["Chunks", "Source", "check_executor", "loaded", "map_chunks", "processes", "travelling"]

_AHEAD, _WORKERS = 2, 1000  # chunks on their way for each worker, and how many workers, if unknown
_TRIES, _ALONE = 2, 3  # pools that may break before chunks go one at a time, and then with one of them
_PROCESS = os.getpid()  # that this module was imported in; another one is its fork
# Forked before this module was imported, perhaps from threads (what is spawned says so on its command line).
_FORKED = multiprocessing.parent_process() is not None and "--multiprocessing-fork" not in sys.orig_argv
_log = logging.getLogger(__name__)
_device: str | None = None  # of this process, where each has its own

# a generator, or how another process gets the same one: file, device, type, fingerprint, default class
Source = Generator | tuple[Path, str, torch.dtype, str, Label | None]


# -- who computes ------------------------------------------------------------------------------------------


def processes(workers: int | None = None, *, devices: Sequence[str] = ()) -> ProcessPoolExecutor:
    """New processes of this machine, for ``executor=``; close them as any pool, best with ``with``.

    Each takes its share of the processors' cores, or a device of its own, leaves Ctrl-C to this process, and
    ends when this process does. In a script, what uses them stands under ``if __name__ == "__main__":``.

    Parameters
    ----------
    workers : int, optional
        How many; None: one for each core, or each device.
    devices : sequence of str
        Of the processes, in turn: ``["cuda:0", "cuda:1"]``; none: that of the generator.

    Returns
    -------
    concurrent.futures.ProcessPoolExecutor

    Raises
    ------
    ValueError, TypeError
        For a number that is not positive, and a device that is not there.

    Examples
    --------
    >>> from lefs.workers import processes
    >>> with processes(2) as executor:  # nothing starts before there is work
    ...     executor.__class__.__name__
    'ProcessPoolExecutor'
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    names = tuple(str(check_device(device)) for device in devices)
    count = check_integer("workers", len(names) or cores if workers is None else workers, minimum=1)
    context = multiprocessing.get_context("spawn")
    begin = max(1, cores // count), names, context.Value("i")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=begin)


def _begin(threads: int, devices: Sequence[str], started: Any) -> None:
    global _device
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    with started.get_lock():
        _device, started.value = devices[started.value % len(devices)] if devices else None, started.value + 1
    # (an idle process of a pool does not notice by itself that nobody is left to give it work)
    threading.Thread(target=_end_with, args=[multiprocessing.parent_process()], daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def check_executor(executor: Any) -> Executor | None:
    """Return an executor, that of a Dask client where that was given, or None.

    Raises
    ------
    TypeError
        For anything else, such as a number or a `multiprocessing.Pool`.
    """
    executor = executor.get_executor() if hasattr(executor, "get_executor") else executor
    if executor is None or isinstance(executor, Executor):
        return executor
    raise TypeError(
        f"executor must be a concurrent.futures.Executor or a Dask client, got {executor!r:.80}; "
        "lefs.workers.processes(4) makes one of four processes"
    )


def travelling(generator: Generator, executor: Executor | None) -> Source:
    """What stands for a generator in work for an executor: threads share it, processes read its file."""
    if executor is None or isinstance(executor, ThreadPoolExecutor) or generator.source is None:
        return generator
    it = generator
    return generator.source, str(it.device), it.dtype, it.fingerprint, it.default_label


def loaded(source: Source) -> Generator:
    """The generator; an `ArtifactError` if its file holds another one by now."""
    return source if isinstance(source, Generator) else _loaded(*source)


@lru_cache(maxsize=2)
def _loaded(path: Path, device: str, dtype: torch.dtype, fingerprint: str, label: Label | None) -> Generator:
    import lefs  # (whose files it reads is not for the core to know)

    generator: Generator = lefs.load(path, device=_device or device, label=label)
    if generator.fingerprint != fingerprint:
        raise ArtifactError(f"{path} has changed since its generator was loaded; load it again, then dissect")
    return generator.to(dtype)


# -- the work ----------------------------------------------------------------------------------------------


def map_chunks(
    function: Callable[[Any], Any],
    chunks: Sequence[Any],
    *,
    executor: Executor | None = None,
    description: str = "",
    show: bool = False,
    name: Callable[[Any], str] = repr,
    checkpoint: Checkpoint | None = None,
    work: str = "",
    finish: bool = True,
) -> Iterator[Any]:
    """`function` of each chunk, in order, here or on an executor.

    No more than two chunks for each worker are on their way or waited for. What was lost with a process that
    died is computed again, in a fresh pool; a chunk that takes three of them with it, alone, is an error.

    Parameters
    ----------
    function : callable
        Of one chunk; for processes both must be such as can be pickled.
    chunks : sequence
    executor : concurrent.futures.Executor, optional
    description, show : str, bool
        Of the progress bar.
    name : callable
        What a chunk is called in an error.
    checkpoint : Checkpoint, optional
        Keeps results, tuples of tensors, and gives those that it has.
    work : str
        The digest of function and chunks, that results are kept under.
    finish : bool
        Of a shard: whether to compute what is missing of the other shards, too.

    Yields
    ------
    object

    Raises
    ------
    RuntimeError
        That names the chunk whose workers died.
    Unfinished
        If chunks of other shards are missing, and not to be computed here.
    """
    compute, every = partial(_computed, function, chunks, executor, name), range(len(chunks))
    results = compute(every) if checkpoint is None else _kept(checkpoint, work, compute, every, finish)
    yield from track(results, total=len(chunks), description=description, show=show)


def _computed(
    function: Callable[[Any], Any],
    chunks: Sequence[Any],
    executor: Executor | None,
    name: Callable[[Any], str],
    numbers: Sequence[int],
) -> Iterator[Any]:
    """`function` of the chunks of these numbers, in order.

    When a second pool breaks, chunks go one at a time, until all are through that were on their way then.
    """
    work = _work(function, executor)
    if executor is None:
        yield from (work(chunks[number]) for number in numbers)
        return
    pool, ahead = executor, _AHEAD * getattr(executor, "_max_workers", _WORKERS)
    done, suspects, deaths = 0, 0, 0
    with ExitStack() as stack:
        while done < len(numbers):
            alone = deaths >= _TRIES and done < suspects
            some = numbers[done:suspects] if alone else numbers[done:]
            try:
                for found in _in_order(pool, work, map(chunks.__getitem__, some), 1 if alone else ahead):
                    yield found
                    done, deaths = done + 1, min(deaths, _TRIES)
            except Exception as error:
                number = numbers[done]
                called = f"chunk {number} of {len(chunks)} ({name(chunks[number]):.100})"
                if done >= suspects:
                    suspects, deaths = done + ahead, 0
                deaths += 1
                pool = _renewed(pool, error, called, last=deaths == _TRIES + _ALONE)
                stack.callback(pool.shutdown, wait=False, cancel_futures=True)


def _in_order(pool: Executor, work: Callable[[Any], Any], chunks: Iterable[Any], ahead: int) -> Iterator[Any]:
    """What a pool makes of chunks; so many are on their way or waited for."""
    left, flying = iter(chunks), deque[Future[Any]]()
    try:
        while True:
            flying.extend(pool.submit(work, chunk) for chunk in islice(left, ahead - len(flying)))
            if not flying:
                return
            yield flying.popleft().result()
    finally:
        for future in flying:
            future.cancel()


def _renewed(pool: Executor, error: Exception, called: str, *, last: bool) -> Executor:
    """A fresh pool like one that broke; any other error says in which chunk it came."""
    # (Dask's, after it has tried some workers; it need not be installed)
    if not isinstance(error, BrokenExecutor) and type(error).__name__ != "KilledWorker":
        error.add_note(f"in {called}")
        raise error
    if last or not isinstance(pool, ProcessPoolExecutor):
        raise RuntimeError(
            f"the worker died each time that it was given {called}, most often because memory ran out: give "
            "a smaller batch_size, or fewer workers (in a script, start them under "
            'if __name__ == "__main__":); with checkpoint=folder what is done is kept'
        ) from error
    _log.warning("a worker died on its way through %s or one near it; going on in a fresh pool", called)
    own = vars(pool)  # (there is no other way to ask a pool how it was made)
    how = {name: own[f"_{name}"] for name in ("mp_context", "initializer", "initargs", "max_tasks_per_child")}
    return ProcessPoolExecutor(own["_max_workers"], **how)


def _work(function: Callable[[Any], Any], executor: Executor | None) -> Callable[[Any], Any]:
    """What an executor is given: for other processes written once for all chunks, and read once by each.

    Written by the pool itself, chunk after chunk, a tensor would be a handle on memory that ends with whoever
    made it. Nothing here is from a file or from anybody else.
    """
    if executor is not None and not isinstance(executor, ThreadPoolExecutor):
        with suppress(AttributeError, TypeError, pickle.PicklingError):  # (Dask sends what these cannot)
            return partial(_at_work, pickle.dumps(function))
    return partial(_at_work, function)


_read = lru_cache(maxsize=2)(pickle.loads)


def _at_work(function: Callable[[Any], Any] | bytes, chunk: Any) -> Any:
    """`function` of a chunk; in a forked process on one thread; where it was written, tensors as arrays.

    A fork keeps OpenMP's memory of its parent's threads and not the threads: it would wait for them for ever.
    """
    if (_FORKED or os.getpid() != _PROCESS) and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
    if not isinstance(function, bytes):
        return function(chunk)
    found = _read(function)(chunk)
    tensors = isinstance(found, list | tuple) and all(isinstance(each, torch.Tensor) for each in found)
    return [each.cpu().numpy() for each in found] if tensors else found


def _kept(
    checkpoint: Checkpoint,
    work: str,
    compute: Callable[[Sequence[int]], Iterator[Any]],
    every: Sequence[int],
    finish: bool,
) -> Iterator[Any]:
    """Results in order, those that the checkpoint has from there, and the others into it."""

    def missing() -> list[int]:
        return [number for number in every if not checkpoint.has(work, number)]

    def written(numbers: Sequence[int]) -> Iterator[Any]:
        for number, found in zip(numbers, compute(numbers), strict=True):
            checkpoint.write(work, number, found)
            yield found

    if checkpoint.shards > 1:
        own = [number for number in missing() if number % checkpoint.shards == checkpoint.shard]
        deque(written(own), maxlen=0)
        if not finish and (others := missing()):
            raise Unfinished(len(others))
    left = missing()
    _log.info("%s has %d of %d chunks", checkpoint.folder, len(every) - len(left), len(every))
    computed, new = written(left), set(left)
    for number in every:
        found = next(computed) if number in new else checkpoint.read(work, number)
        yield next(written([number])) if found is None else found


@dataclass(frozen=True)
class Chunks(Sequence[Any]):
    """Some items of a sequence at a time, each with its place, taken out when they are asked for.

    Attributes
    ----------
    items : sequence
    places : sequence of int
        Of which items.
    size : int
        How many in a chunk.

    Examples
    --------
    >>> from lefs.workers import Chunks
    >>> list(Chunks("abcde", range(1, 4), 2))
    [[(1, 'b'), (2, 'c')], [(3, 'd')]]
    """

    items: Sequence[Any]
    places: Sequence[int]
    size: int

    def __len__(self) -> int:
        return -(-len(self.places) // self.size)

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        places = self.places[number * self.size : (number + 1) * self.size]
        return [(place, self.items[place]) for place in places]
