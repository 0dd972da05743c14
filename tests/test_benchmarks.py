"""The table of the benchmarks says what was measured, and plain test runs do not start them."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest


@contextmanager
def imported(path: Path) -> Iterator[ModuleType]:
    """A module of the benchmarks, whose folder is not on the path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # a dataclass looks its module up by name
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def harness(root: Path) -> Iterator[ModuleType]:
    with imported(root / "tests/benchmarks/harness.py") as module:
        yield module


@pytest.fixture
def unpickling(harness: ModuleType, root: Path) -> Iterator[ModuleType]:
    with imported(root / "tests/benchmarks/bench_unpickle.py") as module:
        yield module


@pytest.mark.parametrize(
    ("ours", "baseline", "target", "ratio", "met"),
    [
        (2.0, 5.0, 2.5, 2.5, True),
        (2.1, 5.0, 2.5, 5 / 2.1, False),
        (2.0, 5.0, None, 2.5, None),
        (2.0, math.nan, 2.5, math.nan, None),
        (0.0, 5.0, 2.5, math.nan, None),
    ],
)
def test_ratios_and_targets(
    harness: ModuleType, ours: float, baseline: float, target: float | None, ratio: float, met: bool | None
) -> None:
    row = harness.Row("a", ours, baseline, "b", target=target)
    assert row.ratio == pytest.approx(ratio, nan_ok=True)
    assert row.met is met


def test_the_table_has_a_line_for_each_row(harness: ModuleType) -> None:
    rows = [
        harness.Row("k-means", 0.02, 5.0, "faiss", target=2.5, note="a note"),
        harness.Row("memory", 400.0, 300.0, "of 100", "MiB", target=1.0),
        harness.skip("end to end", "no --official"),
    ]
    head, rule, *lines = harness.table(rows).splitlines()
    assert [c.strip() for c in head.strip("|").split("|")][:4] == ["what", "lefs", "baseline", "baseline is"]
    assert set(rule) <= set("|- ")
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["k-means", "20 ms", "5 s", "faiss", "250 ×", "2.5 ×", "yes", "a note"]
    assert cells[1] == ["memory", "400 MiB", "300 MiB", "of 100", "0.75 ×", "1 ×", "NO", ""]
    assert cells[2] == ["end to end", "–", "–", "", "–", "–", "–", "skipped: no --official"]


def test_each_way_takes_its_turn(harness: ModuleType) -> None:
    turns: list[str] = []
    least = harness.interleaved(lambda: turns.append("a"), lambda: turns.append("b"), repeats=3)
    assert turns == ["a", "b"] * 3
    assert all(0 <= seconds < 1 for seconds in least)


def test_a_function_gets_the_options_that_it_names(harness: ModuleType) -> None:
    def bench(quick, options):  # type: ignore[no-untyped-def]
        yield quick, options

    options = harness.Options(quick=True)
    assert list(harness.call(bench, options)) == [(True, options)]


def test_rows_are_saved_as_plain_json(harness: ModuleType, tmp_path: Path) -> None:
    rows = [harness.Row("a", 1.0, math.nan, "b", points=((1.0, 2.0),))]
    harness.save(tmp_path / "deep" / "rows.json", rows, harness.Options())
    found = json.loads((tmp_path / "deep" / "rows.json").read_text())
    assert found["rows"][0] == {
        "name": "a",
        "ours": 1.0,
        "baseline": None,
        "baseline_name": "b",
        "unit": "s",
        "target": None,
        "note": "",
        "points": [[1.0, 2.0]],
    }
    assert "torch" in found["machine"]


def test_memory_and_result_of_another_process(harness: ModuleType) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc to tell the highest memory")
    found = harness.in_process("builtins", "dict", value=1)
    assert found["value"] == 1
    assert found["peak"] >= found["start"] > 0
    with pytest.raises(RuntimeError, match="failed in its process"):
        harness.in_process("builtins", "float", nonsense=1)


@pytest.mark.parametrize("already", [True, False])
def test_a_benchmark_leaves_modules_to_the_others(
    unpickling: ModuleType, monkeypatch: pytest.MonkeyPatch, already: bool
) -> None:
    """The official generator, a baseline elsewhere, has the name that a stand-in takes here."""
    official = ModuleType("torch_utils")
    if already:
        monkeypatch.setitem(sys.modules, "torch_utils", official)
    before = sys.modules.copy()
    result = {"lefs": {"seconds": 1.0}, "usual": {"seconds": 2.0}}
    monkeypatch.setattr(unpickling, "take_turns", lambda *_: result)
    small = unpickling.make
    monkeypatch.setattr(unpickling, "make", lambda folder, _: small(folder, 1))
    rows = list(unpickling.bench_unpickle(quick=True))
    assert [row.ratio for row in rows] == [2.0] * 3
    for name in ("torch_utils", "torch_utils.persistence"):
        assert sys.modules.get(name) is before.get(name)


def test_a_plain_run_collects_no_benchmark(request: pytest.FixtureRequest) -> None:
    assert not [i for i in request.session.items if "bench_" in i.nodeid.partition("::")[0]]
