"""`pytest tests/benchmarks` runs the files bench_*.py and prints one table; no other pytest run sees them."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Read when torch is imported: threads that wait sleep, instead of spinning on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402

ROWS = pytest.StashKey[list[harness.Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("benchmarks")
    group.addoption(
        "--official", type=Path, metavar="CHECKOUT", help="of stylegan2-ada-pytorch, as the baseline"
    )
    group.addoption("--threads", type=int, help="threads of torch and of the baselines; all if not given")
    group.addoption("--quick", action="store_true", help="smaller samples: minutes, for a look")
    group.addoption("--full", action="store_true", help="the largest samples too")
    group.addoption("--json", type=Path, metavar="FILE", help="save the rows, for figures")


def asked_for(config: pytest.Config) -> bool:
    """Whether this folder, or something in it, was named on the command line."""
    paths = [(config.invocation_params.dir / a.partition("::")[0]).resolve() for a in config.args]
    return any(path.is_relative_to(HERE) for path in paths)


def options(config: pytest.Config) -> harness.Options:
    official = config.getoption("--official")
    return harness.Options(
        official=official and official.resolve(),
        threads=torch.get_num_threads(),
        quick=config.getoption("--quick"),
        full=config.getoption("--full"),
    )


class Benchmark(pytest.Item):
    """One function that yields rows."""

    def __init__(self, *, act: Callable[..., Iterator[harness.Row]], **kwargs: Any):
        super().__init__(**kwargs)
        self.act = act
        self.add_marker(pytest.mark.timeout(0))  # the limit of a test is none of a benchmark

    def runtest(self) -> None:
        for row in harness.call(self.act, options(self.config)):
            self.config.stash.setdefault(ROWS, []).append(row)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The benchmark's own lines and those below it, without those of pytest."""
        return "".join(traceback.format_exception(excinfo.value)[-8:])

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class BenchmarkFile(pytest.File):
    """A file bench_*.py."""

    def collect(self) -> Iterator[Benchmark]:
        module = importlib.import_module(self.path.stem)
        for name, act in vars(module).items():
            if name.startswith("bench_") and callable(act) and act.__module__ == module.__name__:
                yield Benchmark.from_parent(self, name=name, act=act)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.match("bench_*.py") and asked_for(parent.config):
        return BenchmarkFile.from_parent(parent, path=file_path)
    return None


def pytest_sessionstart(session: pytest.Session) -> None:
    if asked_for(session.config) and session.config.getoption("--threads"):
        torch.set_num_threads(session.config.getoption("--threads"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("benchmarks")
        terminalreporter.write_line(harness.table(rows))
        terminalreporter.write_line(f"\n{harness.machine()}")
        if config.getoption("--json"):
            harness.save(config.getoption("--json"), rows, options(config))
