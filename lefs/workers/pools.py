"""Who computes: processes, any other executor, and what is sent to them.

A generator from a file travels as the path of that file, which each process reads once.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from lefs.checks import Label, check_device, check_integer
from lefs.generator import Generator
from lefs.records import ArtifactError

__all__ = ["as_sent", "check_executor", "fresh", "processes"]

_PROCESS = os.getpid()  # that this module was imported in; another one is its fork
# Forked before this module was imported, perhaps from threads (what is spawned says so on its command line).
_FORKED = multiprocessing.parent_process() is not None and "--multiprocessing-fork" not in sys.orig_argv
_device: str | None = None  # of this process, where each has its own


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


def fresh(broken: Executor) -> ProcessPoolExecutor:
    """A pool made as the one was that broke when a process of it died."""
    own = vars(broken)  # (there is no other way to ask a pool how it was made)
    how = {name: own[f"_{name}"] for name in ("mp_context", "initializer", "initargs", "max_tasks_per_child")}
    return ProcessPoolExecutor(own["_max_workers"], **how)


def check_executor(executor: Any) -> Executor | None:
    """Return an executor, that of a Dask client where that was given, or None.

    Raises
    ------
    TypeError
        For anything else, such as a number or a `multiprocessing.Pool`.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from lefs.workers import check_executor
    >>> check_executor(ThreadPoolExecutor(2)).__class__.__name__, check_executor(None)
    ('ThreadPoolExecutor', None)
    """
    executor = executor.get_executor() if hasattr(executor, "get_executor") else executor
    if executor is None or isinstance(executor, Executor):
        return executor
    raise TypeError(
        f"executor must be a concurrent.futures.Executor or a Dask client, got {executor!r:.80}; "
        "lefs.workers.processes(4) makes one of four processes"
    )


def as_sent(function: Callable[[Any], Any], executor: Executor | None) -> Callable[[Any], Any]:
    """What an executor is given: for other processes written once for all chunks, and read once by each.

    Written by the pool itself, chunk after chunk, a tensor would be a handle on memory that ends with whoever
    made it. Nothing here is from a file or from anybody else.
    """
    if executor is not None and not isinstance(executor, ThreadPoolExecutor):
        with suppress(AttributeError, TypeError, pickle.PicklingError):  # (Dask sends what these cannot)
            written = io.BytesIO()
            _Pickler(written).dump(function)
            return partial(_at_work, written.getvalue())
    return partial(_at_work, function)


class _Pickler(pickle.Pickler):
    def reducer_override(self, it: Any) -> Any:
        if not isinstance(it, Generator) or it.source is None:
            return NotImplemented
        label, side = it.default_label, it.size[0]
        return _loaded, (it.source, str(it.device), it.dtype, it.fingerprint, label, side)


@lru_cache(maxsize=2)
def _loaded(
    path: Path, device: str, dtype: torch.dtype, fingerprint: str, label: Label | None, side: int
) -> Generator:
    """The generator of a file; an `ArtifactError` if that holds another one by now."""
    import lefs  # (whose files it reads is not for the core to know)

    generator: Generator = lefs.load(path, device=_device or device, label=label)
    if generator.fingerprint != fingerprint:
        raise ArtifactError(f"{path} has changed since its generator was loaded; load it again, then dissect")
    return generator.to(dtype).at(side)


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
