"""What must never happen, over and over: chunks lost to kills, records to full disks, anything that grows.

pytest -m soak -s tests/test_soak.py

Its figures stand in docs/reliability.md.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lefs
from lefs import ArtifactError, StyleGAN2
from lefs.workers import map_chunks, samples

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.timeout(3600),
]
OPTIONS: dict[str, Any] = {"clusters": 4, "n_init": 1, "batch_size": 2, "progress": False, "max_vectors": 800}
few_or_many = partial(pytest.mark.parametrize, "count")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Forks have no other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def say(text: str) -> None:
    sys.stdout.write(f"\n  {text}\n")


def forked(act: Callable[[], object]) -> int:
    """The pid of a child that does it, and ends with 0 unless it fails."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        act()
        code = 0
    finally:
        os._exit(code)


def same(one: lefs.Catalog, two: lefs.Catalog) -> bool:
    return torch.equal(one.contributions, two.contributions) and torch.equal(one.centers, two.centers)


# -- kills -------------------------------------------------------------------------------------------------


@few_or_many([3, pytest.param(100, marks=pytest.mark.soak)])
def test_a_dissection_killed_at_any_moment_loses_no_finished_chunk(
    lively: StyleGAN2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each kill costs what was being computed: one chunk at most."""
    seeds, random = range(400 if count > 3 else 20), np.random.default_rng(0)
    expected = lefs.dissect(lively, seeds, **OPTIONS)
    original, log = samples._of_chunk, tmp_path / "log"

    def noted(*given: Any) -> Any:
        with log.open("a") as file:
            file.write("1\n")
        time.sleep(0.02)  # (as if it were more to do)
        return original(*given)

    monkeypatch.setattr(samples, "_of_chunk", noted)
    dissect = partial(lefs.dissect, lively, seeds, checkpoint=tmp_path / "kept", **OPTIONS)
    dissect_all = partial(lefs.dissect, lively, seeds, checkpoint=tmp_path / "all", **OPTIONS)
    dissect_all()
    needed, killed = len(log.read_text()) // 2, 0
    log.write_text("")
    while killed < count:
        pid = forked(dissect)
        time.sleep(random.uniform(0, 0.3))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += 1
        if not os.WIFSIGNALED(status):  # it was through before: the next begins anew
            for path in (tmp_path / "kept").glob("*"):
                path.unlink()
            log.write_text("")
    assert same(expected, dissect())
    computed = len(log.read_text()) // 2
    assert needed <= computed <= needed + count
    say(f"{killed} kills of a dissection of {needed} chunks: {computed - needed} computed twice")


@few_or_many([1, pytest.param(60, marks=pytest.mark.soak)])
def test_workers_killed_under_a_running_dissection(lively: StyleGAN2, tmp_path: Path, count: int) -> None:
    loaded = lefs.load(lefs.save_generator(lively, tmp_path, name="lively"))
    seeds = range(100 if count == 1 else 1000)
    expected, random, kills, through = (
        lefs.dissect(loaded, seeds, **OPTIONS),
        np.random.default_rng(1),
        0,
        False,
    )

    def kill() -> None:
        nonlocal kills
        while not through:
            time.sleep(random.uniform(2, 6) if count > 1 else 1)  # (long enough to begin, on a busy machine)
            if workers := multiprocessing.active_children():
                os.kill(workers[int(random.integers(len(workers)))].pid or 0, signal.SIGKILL)
                kills += 1

    killer, runs = threading.Thread(target=kill), 0
    killer.start()
    try:
        while kills < count:
            with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
                assert same(expected, lefs.dissect(loaded, seeds, executor=executor, **OPTIONS))
            runs += 1
    finally:
        through = True
        killer.join()
    say(f"{kills} workers killed under {runs} dissections: all complete, and the serial one bit for bit")


@few_or_many([1, pytest.param(20, marks=pytest.mark.soak)])
def test_two_at_once_may_share_a_checkpoint(lively: StyleGAN2, tmp_path: Path, count: int) -> None:
    expected = lefs.dissect(lively, range(30), **OPTIONS)

    def both(folder: Path) -> None:
        assert same(expected, lefs.dissect(lively, range(30), checkpoint=folder, **OPTIONS))

    for i in range(count):
        children = [forked(partial(both, tmp_path / str(i))) for _ in range(2)]
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
        assert not list((tmp_path / str(i)).glob(".*")), "temporary files"
    say(f"{count} times two dissections at once in one folder: both whole, nothing left behind")


# -- full disks --------------------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_costs_nothing_that_was_there(lively: StyleGAN2, tmp_path: Path) -> None:
    """By a limit on the size of files, which takes no rights."""
    catalog = lefs.dissect(lively, range(6), **OPTIONS)
    bank = lefs.PartBank.of(lively, catalog, range(4), progress=False)
    folder = catalog.save(tmp_path / "catalog")
    bank.save(folder)
    generator = lefs.save_generator(lively, tmp_path / "generator", name="lively")
    done = lefs.dissect(lively, range(6), checkpoint=tmp_path / "kept", **OPTIONS)
    writers = {
        "catalog": partial(catalog.merge(list(catalog.parts)[:2], "both").save, folder),
        "bank": partial(bank.save, folder),
        "generator": partial(lefs.save_generator, lively, tmp_path / "generator", name="other"),
        "checkpoint": partial(lefs.dissect, lively, range(7), checkpoint=tmp_path / "kept", **OPTIONS),
    }

    def refused(write: Callable[[], object]) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
        with pytest.raises(ArtifactError, match=r"cannot write .*; choose a folder"):
            write()

    for name, write in writers.items():
        assert os.waitpid(forked(partial(refused, write)), 0)[1] == 0, name
    assert list(lefs.Catalog.load(folder).parts) == list(catalog.parts)
    assert lefs.PartBank.load(folder).seeds == bank.seeds
    assert lefs.load(generator).name == "lively"
    assert same(done, lefs.dissect(lively, range(6), checkpoint=tmp_path / "kept", **OPTIONS))
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")], "temporary files"


@pytest.mark.soak
def test_a_disk_that_fills_up_on_the_way(lively: StyleGAN2, tmp_path: Path) -> None:
    """A file system of 128 KiB, where one may be mounted: a dissection ends, and goes on with more room."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=128k tmpfs {folder} 2>/dev/null"):
        pytest.skip("no rights to mount a file system")
    try:
        with pytest.raises(ArtifactError, match="cannot write"):
            lefs.dissect(lively, range(300), checkpoint=folder, **OPTIONS)
        kept = len(list(folder.glob("*.safetensors")))
        assert kept > 2
        assert os.system(f"mount -o remount,size=64m {folder}") == 0
        found = lefs.dissect(lively, range(300), checkpoint=folder, **OPTIONS)
        assert same(found, lefs.dissect(lively, range(300), **OPTIONS))
        assert not list(folder.glob(".*"))
    finally:
        os.system(f"umount {folder}")
    say(f"a disk of 128 KiB filled up after {kept} chunks; with more room the dissection went on from there")


# -- nothing grows -----------------------------------------------------------------------------------------


def held() -> tuple[int, int, int]:
    """Bytes of memory, open handles and threads of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    memory = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024
    return memory, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def stays_flat(what: str, act: Callable[[int], object], count: int, allowed: int) -> None:
    for i in range(count // 4):  # caches fill, allocators settle
        act(i)
    before = held()
    for i in range(count // 4, count):
        act(i)
    memory, handles, threads = (b - a for a, b in zip(before, held(), strict=True))
    assert memory < allowed, memory
    assert handles <= 0
    assert threads <= 0
    say(f"{count} {what}: {memory / 2**20:+.1f} MiB, {handles:+d} handles, {threads:+d} threads")


on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


@on_linux
@few_or_many([40, pytest.param(2000, marks=pytest.mark.soak)])
def test_edits_leave_nothing_behind(lively: StyleGAN2, count: int) -> None:
    catalog = lefs.dissect(lively, range(6), **OPTIONS)
    editor, parts = lefs.Editor(lively, catalog), list(catalog.parts)

    def edit(i: int) -> None:
        change = lefs.Change(parts[i % len(parts)], 1000 + i)
        editor.render(lefs.Recipe(i, [change], truncation=0.7))

    stays_flat("edits", edit, count, allowed=2**25)


@on_linux
@few_or_many([4, pytest.param(200, marks=pytest.mark.soak)])
def test_loads_leave_nothing_behind(count: int) -> None:
    def load(i: int) -> None:
        generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
        assert catalog.membership(generator, generator.sample([i])).sum() > 0

    stays_flat("loads of a generator and its catalog", load, count, allowed=2**25)


def nothing(chunk: int) -> int:
    return chunk


@on_linux
@pytest.mark.soak
def test_many_tasks_and_pools_leave_nothing_behind() -> None:
    def work(i: int) -> None:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
            assert list(map_chunks(nothing, range(1000), executor=executor)) == list(range(1000))

    stays_flat("pools of two, of 1,000 tasks each", work, 40, allowed=2**24)
