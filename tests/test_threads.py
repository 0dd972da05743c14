"""How OpenMP's threads wait, how many a server's kernels have, and what becomes of them in a fork."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from lefs.runner import workspace


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a new process, where nobody has chosen yet."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def torch_of(tmp_path, monkeypatch) -> Callable[[int], None]:
    """Make new processes import a PyTorch that is quick to import, and has that many threads."""

    def make(threads: int) -> None:
        (tmp_path / "torch.py").write_text(f"def get_num_threads(): return {threads}", encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    return make


SHOW = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"


def test_importing_lefs_lets_waiting_threads_sleep_before_torch_comes() -> None:
    code = f"import sys, lefs; assert 'torch' not in sys.modules; {SHOW}; import torch"
    done = run(code, OMP_DISPLAY_ENV="TRUE")  # the runtime says on standard error what it has read
    assert done.stdout.split() == ["PASSIVE"]
    assert re.search(r"OMP_WAIT_POLICY\s*=\s*'PASSIVE'", done.stderr)


def test_what_the_user_has_set_is_kept(torch_of) -> None:
    torch_of(2)
    done = run(f"import torch, lefs; {SHOW}", OMP_WAIT_POLICY="ACTIVE")
    assert done.stdout.split() == ["ACTIVE"]
    assert done.stderr == ""


def test_where_torch_came_first_the_remedy_is_said_once(torch_of) -> None:
    torch_of(2)
    done = run(f"import torch, lefs; from lefs import checks; {SHOW}")
    assert done.stdout.split() == ["None"]
    assert done.stderr.count("Import lefs first, or set OMP_WAIT_POLICY=PASSIVE") == 1


def test_one_thread_has_nobody_to_wait_for(torch_of) -> None:
    torch_of(1)
    assert run("import torch, lefs").stderr == ""


FORKED = """
import copy, multiprocessing, torch
from concurrent.futures import ProcessPoolExecutor
torch.set_num_threads(2)
torch.randn(600, 600) @ torch.randn(600, 600)  # threads have run
used = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
used.submit(abs, 1).result()  # (its processes are there before lefs is)
import lefs
generator = lefs.load("portraits-64")
unsaved = copy.deepcopy(generator)
unsaved.source = None  # travels by itself
options = {"clusters": 4, "n_init": 1, "batch_size": 2, "max_vectors": 2000, "progress": False}
serial = lefs.dissect(generator, range(4), contributions="effect", **options)
for each, pool in ((generator, used), (generator, None), (unsaved, None)):
    with pool or ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        found = lefs.dissect(each, range(4), contributions="effect", executor=executor, **options)
    assert torch.equal(found.contributions, serial.contributions)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_pool_gives_the_same_bits_though_threads_have_run_before() -> None:
    """A plain ProcessPoolExecutor is one on Linux; it waited for ever for threads that it had not."""
    run(FORKED)


@pytest.mark.parametrize(("cores", "bounded"), [(2, {}), (8, {}), (64, {"OMP_NUM_THREADS": "8"})])
def test_a_kernel_of_a_large_server_does_not_take_it_all(cores, bounded, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert workspace._bounded_threads() == bounded


def test_the_users_own_number_of_threads_reaches_the_server(monkeypatch, tmp_path) -> None:
    given = []

    class Server:
        def __init__(self, command, env):
            given.append(env["OMP_NUM_THREADS"])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def wait(self):
            return 0

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(subprocess, "Popen", Server)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    workspace.open_jupyterlab(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    workspace.open_jupyterlab(tmp_path)
    assert given == ["8", "3"]
