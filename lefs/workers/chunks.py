"""Chunks of a long work: computed in order, here or by workers, and once more where a worker died."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from lefs.workers.checkpoints import Checkpoint
from lefs.workers.pools import as_sent, fresh
from lefs.workers.progress import track

__all__ = ["Chunks", "as_they_end", "map_chunks", "retried"]

_AHEAD, _WORKERS = 2, 1000  # chunks on their way for each worker, and how many workers, if unknown
_TRIES, _ALONE = 2, 3  # pools that may break before chunks go one at a time, and then with one of them
_log = logging.getLogger("lefs.workers")


def map_chunks(
    function: Callable[[Any], Any], chunks: Sequence[Any], *, executor: Executor | None = None,
    description: str = "", show: bool = False, name: Callable[[Any], str] = repr,
    checkpoint: Checkpoint | None = None, work: str = "", finish: bool = True,
) -> Iterator[Any]:  # fmt: skip
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
        That names the chunk whose workers died, or that the executor gave up.
    Unfinished
        If chunks of other shards are missing, and not to be computed here.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from lefs.workers import map_chunks
    >>> with ThreadPoolExecutor(2) as executor:
    ...     list(map_chunks(sum, [[1, 2], [3, 4], [5]], executor=executor))
    [3, 7, 5]
    """
    compute, every = partial(_computed, function, chunks, executor, name), range(len(chunks))
    results = compute(every) if checkpoint is None else checkpoint.joined(work, compute, every, finish=finish)
    yield from track(results, total=len(chunks), description=description, show=show)


def _computed(
    function: Callable[[Any], Any], chunks: Sequence[Any], executor: Executor | None,
    name: Callable[[Any], str], numbers: Sequence[int],
) -> Iterator[Any]:  # fmt: skip
    """`function` of the chunks of these numbers, in order.

    When a second pool breaks, chunks go one at a time, until all are through that were on their way then.
    """
    work = as_sent(function, executor)
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
    if isinstance(error, CancelledError):
        raise RuntimeError(
            f"the executor gave up {called}: it was shut down, or Dask lost its connection (where it does "
            "after half a minute, DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP=3600s may keep it); with "
            "checkpoint=folder what is done is kept"
        ) from error
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
    return fresh(pool)


def retried(
    pool: Executor, function: Callable[[Any], Any], items: Sequence[Any]
) -> Generator[tuple[Any, Future[Any]], None, None]:
    """Items with what a function comes to, in the order in which they end; an error stays in its future.

    Those that were lost with a process that died are given to a fresh pool, at most twice.
    """
    with ExitStack() as stack:
        for again in (True, True, False):
            futures, lost = dict[Future[Any], Any](), []
            for item in items:
                try:
                    future = pool.submit(function, item)
                except BrokenExecutor as error:
                    future = Future()
                    future.set_exception(error)
                stack.callback(future.cancel)
                futures[future] = item
            again = again and isinstance(pool, ProcessPoolExecutor)
            for future in as_they_end(futures):
                if again and isinstance(future.exception(), BrokenExecutor):
                    lost.append(futures[future])
                else:
                    yield futures[future], future
            if not lost:
                return
            items, pool = lost, stack.enter_context(fresh(pool))


def as_they_end(futures: Iterable[Future[Any]]) -> Iterator[Future[Any]]:
    """Futures in the order in which they end, looking up each second.

    A signal that the system hands to another thread wakes nobody who waits without a limit.
    """
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
        yield from done


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
