"""Chunks on many workers: the same bits, whoever computes them, is first, dies or has been there before."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lefs
from lefs import ArtifactError, StyleGAN2
from lefs.directions import principal_directions
from lefs.dissection import dissect_shard
from lefs.evaluation import compare, seed_pairs, standard_methods
from lefs.evaluation.methods import path_methods
from lefs.workers import Checkpoint, Chunks, Sample, check_executor, map_chunks, processes, samples
from lefs.workers.checkpoints import Unfinished, digest_of

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
QUICK: dict[str, Any] = {"clusters": 3, "n_init": 1, "batch_size": 2, "progress": False}


def forked(workers: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))


@pytest.fixture
def saved(lively: StyleGAN2, tmp_path: Path) -> Any:
    return lefs.load(lefs.save_generator(lively, tmp_path / "lively", name="lively"))


def same_catalogs(one: lefs.Catalog, two: lefs.Catalog) -> bool:
    pairs = ((getattr(one, n), getattr(two, n)) for n in ("centers", "contributions", "sizes"))
    return all(torch.equal(a, b) for a, b in pairs) and one.sampling == two.sampling


# -- order, bounds, errors ---------------------------------------------------------------------------------


def late(chunk: int) -> int:
    time.sleep(0.002 * (chunk % 7 == 0) + 0.001 * (chunk % 3))
    return chunk * chunk


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_results_come_in_order_whoever_is_first(workers: int) -> None:
    with ThreadPoolExecutor(workers) as executor:
        assert list(map_chunks(late, range(60), executor=executor)) == [i * i for i in range(60)]
    assert list(map_chunks(late, range(0), executor=executor)) == []


def test_no_more_is_on_its_way_than_two_chunks_for_each_worker() -> None:
    with ThreadPoolExecutor(3) as executor:
        begun: list[int] = []
        results = map_chunks(lambda i: begun.append(i) or i, range(100), executor=executor)
        assert next(results) == 0
        time.sleep(0.05)
        assert len(begun) <= 6, "what nobody has taken yet waits"
        assert list(results) == list(range(1, 100))


def test_an_error_says_which_chunk_and_leaves_nothing_running() -> None:
    def fails(chunk: list[tuple[int, int]]) -> int:
        return 1 // (chunk[0][0] - 4)

    chunks = Chunks(range(100, 110), range(10), 2)
    with ThreadPoolExecutor(2) as executor, pytest.raises(ZeroDivisionError) as caught:
        list(map_chunks(fails, chunks, executor=executor, name=lambda c: f"seeds {c[0][1]} to {c[-1][1]}"))
    assert caught.value.__notes__ == ["in chunk 2 of 5 (seeds 104 to 105)"]


def test_work_that_the_executor_gives_up_is_an_error_with_the_remedy() -> None:
    class Lost(ThreadPoolExecutor):  # as Dask's is, whose connection breaks
        def submit(self, *args: Any, **options: Any) -> Future[Any]:
            future = Future[Any]()
            future.cancel()
            return future

    with Lost(1) as executor, pytest.raises(RuntimeError, match=r"gave up chunk 0 of 3 \(0\).*checkpoint="):
        list(map_chunks(late, range(3), executor=executor))


@pytest.mark.parametrize("given", [4, "dask", multiprocessing])
def test_what_is_not_an_executor_is_refused_with_the_remedy(given: Any, lively: StyleGAN2) -> None:
    with pytest.raises(TypeError, match=r"executor must be .* lefs\.workers\.processes\(4\)"):
        lefs.dissect(lively, range(2), executor=given, **QUICK)


def test_a_client_stands_for_its_executor() -> None:
    class Client:
        def get_executor(self) -> Executor:
            return pool

    with ThreadPoolExecutor(1) as pool:
        assert check_executor(Client()) is pool
    assert check_executor(None) is None


@pytest.mark.parametrize(
    ("options", "error"), [({"workers": 0}, "workers"), ({"devices": ["cuda:77"]}, "device")]
)
def test_processes_that_cannot_be_are_refused(options: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        processes(**options)


# -- workers that die --------------------------------------------------------------------------------------


def dies_once(chunk: int, *, folder: Path) -> int:
    if chunk in (3, 11):
        try:
            (folder / str(chunk)).touch(exist_ok=False)
        except FileExistsError:
            return chunk
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk


def dies(chunk: int) -> tuple[torch.Tensor]:
    if chunk == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return (torch.tensor([chunk]),)


@FORKS
def test_what_a_dead_worker_had_is_computed_again(tmp_path: Path, caplog) -> None:
    with forked() as executor, caplog.at_level("WARNING", "lefs"):
        work = partial(dies_once, folder=tmp_path)
        assert list(map_chunks(work, range(20), executor=executor)) == list(range(20))
        # the pool that was given is broken from then on: so is the next work's, which gets a fresh one, too
        assert list(map_chunks(late, range(4), executor=executor)) == [0, 1, 4, 9]
    assert {p.name for p in tmp_path.iterdir()} == {"3", "11"}
    assert "a worker died" in caplog.text


@pytest.mark.slow  # real pools of new processes, and a real cluster
@pytest.mark.parametrize("pool", ["processes", "dask"])
def test_what_a_dead_worker_had_is_computed_again_in_other_pools(tmp_path: Path, pool: str) -> None:
    script = f"""
import os, signal
from pathlib import Path
def dies_once(chunk):
    if chunk in (3, 11):
        try:
            (Path({str(tmp_path)!r}) / str(chunk)).touch(exist_ok=False)
        except FileExistsError:
            return chunk
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk
if __name__ == "__main__":
    import dask
    from distributed import Client
    from lefs.workers import check_executor, map_chunks, processes
    # (it gives up those that are not back after 15 seconds, which on a busy machine may be all)
    dask.config.set({{"distributed.deploy.lost-worker-timeout": "5 minutes"}})
    options = {{"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}}
    with Client(**options) if {pool!r} == "dask" else processes(2) as given:
        assert list(map_chunks(dies_once, range(20), executor=check_executor(given))) == list(range(20))
"""
    run_script(script, tmp_path)
    assert {p.name for p in tmp_path.glob("*[0-9]")} == {"3", "11"}, "both were killed"


@FORKS
def test_a_chunk_that_kills_its_workers_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    kept: dict[str, Any] = {"checkpoint": Checkpoint(tmp_path), "work": digest_of("test")}
    with forked() as executor:
        results = map_chunks(dies, range(8), executor=executor, name="number {}".format, **kept)
        with pytest.raises(RuntimeError, match=r"chunk 5 of 8 \(number 5\).*smaller batch_size"):
            list(results)
    assert [Checkpoint(tmp_path).has(digest_of("test"), i) for i in range(5)] == [True] * 5


# -- dissections -------------------------------------------------------------------------------------------


@FORKS
@pytest.mark.parametrize(("contributions", "pool"), [("energy", ThreadPoolExecutor), ("effect", forked)])
def test_a_dissection_is_the_same_bit_for_bit(
    saved: StyleGAN2, contributions: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "_SPREAD", 2)  # chunks of several batches
    options: dict[str, Any] = {**QUICK, "contributions": contributions}
    with pool(2) as executor:
        found = lefs.dissect(saved, range(11), executor=executor, **options)
    threads = torch.get_num_threads()
    if pool is forked:  # (where each process has one: some processors round by how many share a convolution)
        torch.set_num_threads(1)
    try:
        assert same_catalogs(found, lefs.dissect(saved, range(11), **options))
    finally:
        torch.set_num_threads(threads)


@FORKS
def test_smaller_pictures_are_as_small_in_other_processes_and_kept_apart(tmp_path: Path) -> None:
    small = lefs.load("portraits-64").at(32)
    with forked(1) as executor:
        found = lefs.dissect(small, range(4), executor=executor, checkpoint=tmp_path, **QUICK)
    assert same_catalogs(found, lefs.dissect(small, range(4), **QUICK))
    large = lefs.load("portraits-64")
    found = lefs.dissect(large, range(4), checkpoint=tmp_path, **QUICK)
    assert same_catalogs(found, lefs.dissect(large, range(4), **QUICK))


def test_chunks_are_fixed_by_the_sample_and_grow_with_its_root(lively: StyleGAN2, monkeypatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(samples, "map_chunks", lambda work, chunks, **_: seen.append(chunks.size) or ())
    for images in (16, 1024, 1025, 10_000):
        Sample(lively, range(images), batch_size=16).sums(partial(len), "")
    assert seen == [16, 16, 32, 64]


@FORKS
@pytest.mark.slow  # every method there is
def test_a_comparison_is_the_same_bit_for_bit(saved: StyleGAN2) -> None:
    """Every method travels to other processes; which pairs are edited does not depend on who comes first."""
    catalog = lefs.dissect(saved, range(8), **QUICK)
    effect = lefs.by_effect(catalog, saved, range(2), progress=False)
    methods = [m.only(m.usual) for m in standard_methods(saved, catalog, effect=effect)]
    methods += path_methods(principal_directions(saved, range(99), count=2), catalog, lefs.QuerySettings())
    options: dict[str, Any] = {"methods": methods, "parts": ["cluster 0", "cluster 1"], "batch_size": 2}
    options |= {"part_pairs": 3, "curve_pairs": 2, "progress": False}
    one = compare(saved, catalog, seed_pairs(5), **options)
    with forked(2) as executor:
        two = compare(saved, catalog, seed_pairs(5), executor=executor, **options)
    assert len(one.outcomes) == len(two.outcomes) == 2 * sum(len(m.values) for m in methods)
    for a, b in zip(one.outcomes, two.outcomes, strict=True):
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True):
            np.testing.assert_array_equal(x, y, a.method)
    usual = {m.name: m.usual for m in methods}
    assert all(len(o.index) <= (3 if o.value == usual[o.method] else 2) for o in one.outcomes)


# -- checkpoints -------------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first seed of every chunk that is computed."""
    computed: list[int] = []
    original = samples._of_chunk

    def counting(*given: Any) -> Any:
        computed.append(given[-1][0][1])
        return original(*given)

    monkeypatch.setattr(samples, "_of_chunk", counting)
    return computed


def test_finished_chunks_are_not_computed_again(
    lively: StyleGAN2, tmp_path: Path, counted: list[int]
) -> None:
    expected = lefs.dissect(lively, range(12), **QUICK)
    counted.clear()
    original = samples.map_chunks

    def ends(*given: Any, **options: Any) -> Any:
        for number, found in enumerate(original(*given, **options)):
            if options["description"] == "contributions" and number == 4:
                raise KeyboardInterrupt
            yield found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(samples, "map_chunks", ends)
        with pytest.raises(KeyboardInterrupt):
            lefs.dissect(lively, range(12), checkpoint=tmp_path, **QUICK)
    counted.clear()
    assert same_catalogs(expected, lefs.dissect(lively, range(12), checkpoint=tmp_path, **QUICK))
    assert counted == [10]
    assert same_catalogs(expected, lefs.dissect(lively, range(12), checkpoint=tmp_path, **QUICK))
    assert counted == [10]


def test_what_is_kept_belongs_to_one_generator_and_its_parameters(
    lively: StyleGAN2, tiny: StyleGAN2, tmp_path: Path, counted: list[int]
) -> None:
    lefs.dissect(lively, range(4), checkpoint=tmp_path, **QUICK)
    for generator, seeds, options in (
        (tiny, range(4), {}), (lively, range(1, 5), {}), (lively, range(4), {"truncation": 0.5}),
        (lively, range(4), {"clusters": 4}), (lively, range(4), {"random_state": 1, "max_vectors": 60}),
        (lively, range(4), {"batch_size": 3}), (lively, range(4), {"contributions": "standardized"}),
    ):  # fmt: skip
        counted.clear()
        own: dict[str, Any] = QUICK | options
        found = lefs.dissect(generator, seeds, checkpoint=tmp_path, **own)
        assert counted, options
        assert same_catalogs(found, lefs.dissect(generator, seeds, **own)), options


def damaged(path: Path, how: str, others: list[Path]) -> None:
    content = path.read_bytes()
    match how:
        case "torn":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case "a bit":
            path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        case "a pickle":
            path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.")
        case "another chunk's":
            path.write_bytes(others[0].read_bytes())


@pytest.mark.parametrize("how", ["torn", "empty", "a bit", "a pickle", "another chunk's"])
def test_files_that_are_not_whole_are_made_again(
    lively: StyleGAN2, tmp_path: Path, counted: list[int], how: str
) -> None:
    expected = lefs.dissect(lively, range(8), checkpoint=tmp_path, **QUICK)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) == 8
    for number, path in enumerate(files):
        damaged(path, how, files[number - 1 :: -1] or files[1:])
    counted.clear()
    assert same_catalogs(expected, lefs.dissect(lively, range(8), checkpoint=tmp_path, **QUICK))
    assert len(counted) >= 7
    counted.clear()
    assert same_catalogs(expected, lefs.dissect(lively, range(8), checkpoint=tmp_path, **QUICK))
    assert not counted


def test_tensors_of_other_shapes_are_refused(lively: StyleGAN2, tmp_path: Path, monkeypatch) -> None:
    lefs.dissect(lively, range(4), checkpoint=tmp_path, **QUICK)
    original = Checkpoint.read

    def one_row(self: Checkpoint, work: str, number: int) -> Any:
        found = original(self, work, number)
        return found if found is None or len(found) == 1 else tuple(t[:1] for t in found)

    monkeypatch.setattr(Checkpoint, "read", one_row)
    with pytest.raises(ArtifactError, match=r"a chunk of shapes .* delete it"):
        lefs.dissect(lively, range(4), checkpoint=tmp_path, **QUICK)


def test_effects_and_banks_are_kept_as_well(lively: StyleGAN2, tmp_path: Path, counted: list[int]) -> None:
    catalog = lefs.dissect(lively, range(4), **QUICK)
    kept: dict[str, Any] = {"batch_size": 2, "progress": False, "checkpoint": tmp_path}
    first = lefs.by_effect(catalog, lively, **kept), lefs.PartBank.of(lively, catalog, range(4), **kept)
    counted.clear()
    again = lefs.by_effect(catalog, lively, **kept), lefs.PartBank.of(lively, catalog, range(4), **kept)
    assert not counted
    assert torch.equal(first[0].contributions, again[0].contributions)
    assert torch.equal(first[1].vectors, again[1].vectors)


def test_what_is_kept_is_found_in_any_process(lively: StyleGAN2, tmp_path: Path, monkeypatch) -> None:
    """What names it holds no address of a process."""
    catalog, named = lefs.dissect(lively, range(4), **QUICK), list[str]()
    monkeypatch.setattr(samples, "digest_of", lambda *v: named.append(repr(v)) or digest_of(*v))
    lefs.dissection.remeasure(catalog, lively, batch_size=2, progress=False, checkpoint=tmp_path)
    assert named
    assert not any(" at 0x" in text for text in named)


# -- shards ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("contributions", "passes"), [("energy", 2), ("standardized", 3)])
def test_shards_in_any_order_make_the_whole(
    lively: StyleGAN2, tmp_path: Path, counted: list[int], contributions: Any, passes: int, monkeypatch
) -> None:
    options: dict[str, Any] = {**QUICK, "contributions": contributions}
    monkeypatch.setattr(samples, "_IMAGES", 6)  # that vectors come from, and that a shard finishes
    expected = lefs.dissect(lively, range(14), **options)
    counted.clear()
    left, rounds = [1], 0
    while any(left):
        rounds += 1
        left = [dissect_shard(lively, range(14), (i, 3), checkpoint=tmp_path, **options) for i in (2, 0, 1)]
    assert len(counted) == 3 + 7 * (passes - 1), "no chunk twice"
    assert rounds == passes
    assert same_catalogs(expected, lefs.dissect(lively, range(14), checkpoint=tmp_path, **options))
    assert len(counted) == 3 + 7 * (passes - 1)


def test_a_shard_that_does_not_exist_is_refused(lively: StyleGAN2, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shard must be between 0 and 2"):
        dissect_shard(lively, range(4), (3, 3), checkpoint=tmp_path, **QUICK)
    assert "2 chunks" in str(Unfinished(2))


def test_digests_tell_what_differs() -> None:
    catalog = lefs.Catalog.load("portraits-64")
    values = [1, 1.5, "1", torch.ones(2), torch.ones(2, 1), torch.ones(2).double(), np.float64(2), catalog]
    assert len({digest_of(value) for value in values}) == len(values)
    assert digest_of(catalog) == digest_of(lefs.Catalog.load("portraits-64"))


# -- as a user ---------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[1] / "docs" / "many-workers.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
SCRIPTS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def run_script(script: str, folder: Path) -> None:
    (folder / "script.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
    command = [sys.executable, folder / "script.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow  # real pools of new processes, and a real cluster
@pytest.mark.parametrize("script", SCRIPTS, ids=["processes", "devices", "dask", "shards"][: len(SCRIPTS)])
def test_each_way_of_the_page_gives_the_serial_result(script: str, tmp_path: Path) -> None:
    run_script(f"{script}\n    catalog.save('found')\n", tmp_path)
    found = lefs.Catalog.load(tmp_path / "found")
    options = {"precision": 0.0} if "shard" in script else {}
    expected = lefs.dissect(lefs.load("portraits-64"), range(64), clusters=8, progress=False, **options)
    assert same_catalogs(found, expected)
