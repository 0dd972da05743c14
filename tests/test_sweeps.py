"""Sweeps of tiny notebooks: what they check, run, find again, share and show."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

import lefs
from lefs.__main__ import main
from lefs.runner import (
    ParameterError,
    RunError,
    Sweep,
    read_grid,
    read_rows,
    record,
    results,
    save_results,
    sweep_notebooks,
    sweeps,
)
from lefs.runner.findings import numbers, read_findings
from lefs.runner.runs import share

PARAMETERS = [
    'output: str = "results"  # where to',
    "clusters: int = 8  # how many",
    'part: str = "hair"  # which',
    'catalog: str = "none"  # of what',
    "wait: float = 0.0  # seconds",
]
# One picture that is the same everywhere, and one that depends on a parameter
FIGURE = "import matplotlib.pyplot as plt\n_, ax = plt.subplots()\nax.imshow([[{0}, 1], [2, 3]])\nplt.show()"
CELLS = [
    "# 1 · Which?",
    "import time\ntime.sleep(wait)",
    "## The same",
    FIGURE.format(0),
    "## Another",
    FIGURE.format("clusters"),
    "mime = 'application/scrapbook.scrap.json+json'\n"
    "found = {'name': 'double', 'data': 2 * clusters, 'encoder': 'json', 'version': 1}\n"
    "display({mime: found, 'text/plain': str(found['data'])}, raw=True)",
    "assert (clusters, part) != (13, 'eyes'), 'unlucky'",
]


def write_book(folder: Path) -> Path:
    """A folder with one notebook, which imports nothing that is slow."""
    folder.mkdir(exist_ok=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=kernel)
    told = nbformat.v4.new_code_cell("\n".join(PARAMETERS), metadata={"tags": ["parameters"]})
    notebook.cells = [told, nbformat.v4.new_code_cell("%matplotlib inline")]
    for source in CELLS:
        new = nbformat.v4.new_markdown_cell if source[0] == "#" else nbformat.v4.new_code_cell
        notebook.cells.append(new(source))
    nbformat.write(notebook, folder / "1_which.ipynb")
    return folder


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return write_book(tmp_path / "book")


GRID = {"clusters": [8, 13], "part": ["hair", "eyes"]}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Four points, of which one fails."""
    top = tmp_path_factory.mktemp("sweep")
    common = {"folder": write_book(top / "book"), "out": top / "runs", "progress": False}
    return sweep_notebooks(grid=GRID, workers=2, **common)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which points a sweep would run: nothing is executed."""
    labels: list[str] = []
    monkeypatch.setattr(sweeps, "_attempt", lambda place, point, kernels: labels.append(point.label) or "")
    return labels


def again(done: Sweep, **changed: Any) -> Sweep:
    top = done.folder.parents[1]
    given = {"grid": GRID, "folder": top / "book", "out": top / "runs", "progress": False}
    return sweep_notebooks(**{**given, **changed})


# -- what a sweep leaves -------------------------------------------------------------------------------------


def test_the_table_says_what_was_told_and_found(done: Sweep) -> None:
    frame = done.table
    assert list(frame.columns) == ["notebook", "clusters", "part", "double", "seconds", "error", "run"]
    points = list(zip(frame["clusters"], frame["part"], strict=True))
    assert points == [(8, "hair"), (8, "eyes"), (13, "hair"), (13, "eyes")]
    assert frame["double"].tolist() == [16, 16, 26, 26]
    assert frame["error"].notna().tolist() == [False, False, False, True]
    assert frame["seconds"].min() > 0
    assert list(done.failed) == ["clusters=13, part=eyes"]
    failed = done.failed["clusters=13, part=eyes"]
    assert failed.startswith("1_which, cell 10: assert (clusters, part)")
    assert "AssertionError: unlucky" in failed
    assert Path(failed.splitlines()[-1]) == Path(frame["run"].iloc[-1])
    kept = pd.read_csv(done.folder / "results.csv")
    assert kept["double"].tolist() == frame["double"].tolist()
    assert all((done.folder / run / "index.html").is_file() for run in kept["run"])


def test_the_page_shows_each_figure_over_the_grid(done: Sweep) -> None:
    page = (done.folder / "index.html").read_text()
    sources = [part.split('"')[0] for part in page.split('<img loading="lazy" src="')[1:]]
    assert len(sources) == 8
    assert all((done.folder / source).is_file() for source in sources)
    assert page.index("<h3>The same</h3>") < page.index("<h3>Another</h3>")
    assert page.count("<figcaption>clusters 13, part hair</figcaption>") == 2
    assert "AssertionError: unlucky" in page


def test_runs_share_what_is_the_same(done: Sweep) -> None:
    runs = [Path(run) for run in done.table["run"]]
    inodes = [{file.stat().st_ino for file in (run / "assets").iterdir()} for run in runs]
    assert all(len(own) == 3 for own in inodes)  # the style sheet and two pictures
    assert len(inodes[0] & inodes[1]) == 3
    assert len(inodes[0] & inodes[2]) == 2  # the second picture is of another number of clusters
    assert all((run / "1_which.ipynb").stat().st_size < 10_000 for run in runs[:3])
    assert not list(done.folder.rglob("*.tmp"))


def test_a_shared_notebook_still_shows_its_pictures(done: Sweep) -> None:
    run = Path(done.table["run"].iloc[0])
    shown = [o for c in nbformat.read(run / "1_which.ipynb", 4).cells for o in c.get("outputs", [])]
    linked = [o.data["text/html"].split('src="')[1].split('"')[0] for o in shown if "text/html" in o.data]
    assert len(linked) == 2
    assert all((run / source).read_bytes().startswith(b"\x89PNG") for source in linked)


def test_catalogs_of_the_same_clusters_are_one_file_under_any_names(tmp_path: Path) -> None:
    catalog = lefs.Catalog.load("portraits-64")
    named = [catalog, *(catalog.named([name] * catalog.num_clusters) for name in ("one", "other"))]
    folders = [tmp_path / f"run{n}" / "artifacts" / "catalog" for n in range(3)]
    for one, folder in zip(named, folders, strict=True):
        one.save(folder)
        share(folder.parents[1], tmp_path / ".shared")
    assert len({(folder / "catalog.safetensors").stat().st_ino for folder in folders}) == 1
    assert all((folder / "catalog.json").stat().st_size < 20_000 for folder in folders)
    for one, folder in zip(named, folders, strict=True):
        again = lefs.Catalog.load(folder)
        assert (again.parts, again.sampling, again.layers) == (one.parts, one.sampling, one.layers)
        assert again.centers.equal(one.centers)
        assert again.contributions.equal(one.contributions)
    # (one that is saved over it is whole again, and leaves the others as they were)
    lefs.Catalog.load(folders[1]).named(["mine"] * catalog.num_clusters).save(folders[1])
    assert [path.name for path in folders[1].iterdir()] == ["catalog.safetensors"]
    assert [[*lefs.Catalog.load(folder).parts] for folder in folders[1:]] == [["mine"], ["other"]]


def test_results_reads_any_runs(done: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = Path(done.table["run"].iloc[2])
    assert results(one)[["clusters", "double"]].to_numpy().tolist() == [[13, 26]]
    assert len(results([done.folder, one])) == 5
    assert main(["results", str(done.folder), "--out", str(tmp_path / "here")]) == 0
    assert len(pd.read_csv(tmp_path / "here" / "results.csv")) == 4
    assert capsys.readouterr().out.endswith("here/index.html\n")
    assert main(["results", str(tmp_path / "here")]) == 2
    assert "holds no run" in capsys.readouterr().err


# -- what is run again ---------------------------------------------------------------------------------------


def test_only_what_failed_is_run_again(done: Sweep, asked: list[str]) -> None:
    again(done)
    assert asked == ["clusters=13, part=eyes"]


def test_what_is_there_is_found_by_content_not_by_name(done: Sweep, asked: list[str]) -> None:
    run = Path(done.table["run"].iloc[0])
    moved = run.rename(run.with_name("renamed"))
    try:
        rows = (
            again(done, grid={"part": ["hair"]}).table["run"].tolist()
        )  # (8 clusters are the notebook's own)
        assert (asked, rows) == ([], [str(moved)])
        again(done, grid={}, rows=[{"part": "hair", "clusters": "8"}])
        assert asked == []
    finally:
        moved.rename(run)


def test_another_content_is_run(
    done: Sweep, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = write_book(tmp_path / "book")
    notebook = nbformat.read(changed / "1_which.ipynb", 4)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="was run")]
    nbformat.write(notebook, changed / "1_which.ipynb")
    again(done, folder=changed, grid={"part": ["hair"]})
    assert asked == []
    notebook.cells[-1].source = "'another'"
    nbformat.write(notebook, changed / "1_which.ipynb")
    again(done, folder=changed, grid={"part": ["hair"]})
    assert len(asked) == 1
    monkeypatch.setattr(lefs, "__version__", "0.0.1")
    again(done, grid={"part": ["hair"]})
    assert len(asked) == 2


def test_the_files_that_parameters_name_count_by_what_they_hold(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = tmp_path / "mine"
    catalog.mkdir()
    (catalog / "catalog.json").write_text("1")
    given: dict[str, Any] = {"folder": book, "out": "runs", "progress": False, "rows": [{"catalog": "mine"}]}
    first = sweep_notebooks(**given)
    assert sweep_notebooks(**given).table["run"].tolist() == first.table["run"].tolist()
    (catalog / "catalog.json").write_text("2")
    assert sweep_notebooks(**given).table["run"].tolist() != first.table["run"].tolist()


def test_nothing_but_failed_ones_and_shares_of_machines(done: Sweep, asked: list[str]) -> None:
    wider = {**GRID, "clusters": [8, 13, 21]}
    assert again(done, grid=wider, only_failed=True).missing == 2
    assert asked == ["clusters=13, part=eyes"]
    asked.clear()
    shares = [again(done, grid=wider, shard=f"{i}/3") and [*asked] for i in (1, 2, 3)]
    assert sorted(shares[-1]) == [
        "clusters=13, part=eyes",
        "clusters=21, part=eyes",
        "clusters=21, part=hair",
    ]


def test_a_failed_run_is_replaced_when_it_succeeds(book: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"folder": book, "out": tmp_path / "runs", "progress": False}
    rows = [{"part": "eyes", "clusters": 13}]
    assert sweep_notebooks(rows=rows, **given).failed
    first = list((tmp_path / "runs").glob("*/*/run.json"))
    broken = json.loads(first[0].read_text())
    broken["notebooks"][0]["error"] = "not finished"  # as a run that was killed leaves it
    first[0].write_text(json.dumps(broken))
    assert sweep_notebooks(rows=rows, **given).failed
    assert len(list((tmp_path / "runs").glob("*/*/run.json"))) == 1
    assert not first[0].exists()


def test_what_could_not_be_run_is_said(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise lefs.ArtifactError("the disk is full")

    monkeypatch.setattr(sweeps, "make_run", full)
    common = ["run", "--notebooks", str(book), "--sweep", "part=a,\x1b[31m" + "b" * 999]
    assert main([*common, "--out", str(tmp_path / "runs")]) == 1
    said = capsys.readouterr().out
    assert said.startswith("failed: part=a\n  the disk is full\nfailed: part=\\x1b[31mbbb")
    assert "table" not in said
    assert "not run yet" not in said
    assert len(said) < 400
    (tmp_path / "file").touch()
    assert main([*common, "--out", str(tmp_path / "file")]) == 2
    assert "it is a file; choose another with --out" in capsys.readouterr().err


def test_two_sweeps_in_one_folder_run_no_point_twice(book: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"folder": book, "out": tmp_path / "runs", "progress": False}
    grid = {"clusters": [8, 9, 10], "wait": [1.0]}
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(sweep_notebooks, grid=grid, **given) for _ in range(2)]
        sweeps_done = [future.result() for future in futures]
    assert len(list((tmp_path / "runs").glob("*/*/run.json"))) == 3
    assert not any(sweep.failed for sweep in sweeps_done)
    assert 0 in [sweep.missing for sweep in sweeps_done]
    whole = sweep_notebooks(grid=grid, **given)
    assert (whole.table["double"].tolist(), whole.missing) == ([16, 18, 20], 0)
    assert not list((tmp_path / "runs").glob("*/.shared/running/*"))


def test_empty_folders_of_killed_runs_are_swept_up(book: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "1_which-sweep"
    old, new, mine = (out / f"20260102-03040{n}-point" for n in range(3))
    for folder in (old, new, mine):
        (folder / "artifacts").mkdir(parents=True)
    (mine / "kept.txt").write_text("mine")
    for folder in (old, mine):
        os.utime(folder, (1, 1))
    sweep_notebooks(rows=[{"clusters": 8}], folder=book, out=tmp_path / "runs", progress=False)
    assert (old.exists(), new.exists(), mine.exists()) == (False, True, True)


# -- what is checked before ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sweep", "clusters=8,many"], ["clusters takes int", "'many'", "(at clusters=many)"]),
        (["--sweep", "cluster=8"], ["'cluster'", "did you mean 'clusters'"]),
        (["--sweep", "clusters=8,8"], ["two points are the same"]),
        (["--sweep", "clusters"], ["clusters=8,16"]),
        (["--sweep", "clusters=8", "--sweep", "clusters=9"], ["a name, once"]),
        (["--sweep", "clusters=8", "-p", "clusters", "9"], ["clusters is given twice"]),
        (["--sweep", "clusters=8", "--shard", "5/4"], ["shard must be such as 1/4"]),
        (["--sweep", "clusters=8", "--workers", "0"], ["workers must be at least 1"]),
        (["--sweep-file", "no.csv"], ["cannot read the points of no.csv"]),
        (["--sweep-file", ""], ["cannot read the points of"]),
        (["--sweep", "=8"], ["--sweep takes a name"]),
        (["--sweep", "clusters=8", "--name", "../elsewhere"], ["a run's name may have", "--name"]),
        (["--sweep", "clusters=8", "--name", ".."], ["a run's name may have"]),
        (["--only-failed"], ["--only-failed and --shard are for sweeps"]),
        (["--shard", "1/2"], ["--only-failed and --shard are for sweeps"]),
    ],
)
def test_every_point_is_checked_before_anything_runs(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: list[str]
) -> None:
    out = tmp_path / "runs"
    assert main(["run", "--notebooks", str(book), "--out", str(out), *options]) == 2
    message = capsys.readouterr().err
    assert all(part in message for part in expected), message
    assert message.startswith("lefs: ")
    assert not out.exists()


def test_values_of_a_real_notebook_are_checked_at_every_point(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--notebooks", str(root / "notebooks"), "--out", str(tmp_path / "runs")]
    assert main(["run", "3", *common, "--sweep", "part=hair,hairs", "--sweep", "minutes=1,2"]) == 2
    assert "did you mean 'hair'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_sweep_that_does_not_fit_the_disk_does_not_start(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    small = type("Usage", (), {"free": 3_000_000})
    monkeypatch.setattr(sweeps.shutil, "disk_usage", lambda path: small)
    given: dict[str, Any] = {"folder": root / "notebooks", "out": tmp_path / "runs"}
    with pytest.raises(RunError, match=r"needs 6 MB, and 3 MB are free"):
        sweep_notebooks(["1"], grid={"clusters": [8, 16, 24]}, **given)
    assert asked == []


def test_it_says_what_it_will_take(
    root: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"folder": root / "notebooks", "out": tmp_path / "runs", "workers": 2}
    sweep_notebooks(["1"], grid={"clusters": [8, 16, 24]}, **given)
    said = capsys.readouterr().err
    assert "3 runs to do, 0 there, 2 at a time: about " in said
    assert " and 6 MB, as estimated; " in said
    assert len(asked) == 3


def test_a_catalog_counts_once(
    root: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"folder": root / "notebooks", "out": tmp_path / "runs"}
    sweep_notebooks(
        ["2"], grid={"first_seed": [1, 2, 3, 4]}, parameters=[("generator", "portraits-64")], **given
    )
    assert " and 7 MB, as estimated; " in capsys.readouterr().err  # (four runs of 1.7, one catalog of 0.6)


def test_points_are_read_from_files(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text('clusters,parts\n8,"hair,eyes"\n16,\n')
    assert read_rows(table) == [{"clusters": "8", "parts": "hair,eyes"}, {"clusters": "16"}]
    listed = tmp_path / "points.json"
    listed.write_text('[{"clusters": 8}, {"part": "eyes"}]')
    assert read_rows(listed) == [{"clusters": 8}, {"part": "eyes"}]
    table.write_bytes(b'\xef\xbb\xbfclusters , part\r\n8, "two\nlines"\r\n\r\n , \r\n')
    assert read_rows(table) == [{"clusters": "8", "part": "two\nlines"}]
    for name, text in [
        ("a.csv", "a,a\n1,2\n"),
        ("b.csv", 'a\n"1\n'),
        ("c.json", '[{"a": 1, "a": 2}]'),
        ("d.json", "[" * 9**5),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(ParameterError, match=f"cannot read the points of .*{name}"):
            read_rows(tmp_path / name)
    for name, text in [("a.csv", "a,b\n1\n"), ("b.csv", "a\n1,2\n"), ("c.json", "{}"), ("d.csv", "a\n")]:
        (tmp_path / name).write_text(text)
        with pytest.raises(ParameterError, match=f"{name} has no points"):
            read_rows(tmp_path / name)


def test_values_of_a_grid_may_be_lists_and_json() -> None:
    assert read_grid(["steps=[1,2],[3]", "part=a"]) == {"steps": ["[1,2]", "[3]"], "part": ["a"]}
    told = ["[[1,2],[3]]", "[]", '{"a":1,"b":[2,3]}', "(4,5)", "a)", "b"]
    assert read_grid([f"x={','.join(told)}"]) == {"x": told}
    assert read_grid(["x=[1,2"]) == {"x": ["[1,2"]}


def test_a_sweep_of_lists(root: Path, tmp_path: Path, asked: list[str]) -> None:
    common = ["--notebooks", str(root / "notebooks"), "--out", str(tmp_path / "runs")]
    sweep = ["--sweep", "tried_clusters=[4,8],[16]", "--sweep", "clusters=8,16"]
    assert main(["run", "1", *common, "-p", "generator", "portraits-64", *sweep]) == 0
    lists = [f"tried_clusters={tried}, clusters={k}" for tried in ("[4,8]", "[16]") for k in (8, 16)]
    assert asked == lists
    asked.clear()
    assert main(["run", "5", *common, "--sweep", "parts=[hair,eyes],[mouth]"]) == 0
    assert asked == ["parts=[hair,eyes]", "parts=[mouth]"]
    assert main(["run", "5", *common, "--sweep", "parts=[hair,ears],[mouht]"]) == 2


# -- findings ------------------------------------------------------------------------------------------------


def test_findings_are_numbers_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    record(n=3, word="a", of={"hair": 0.25, "eyes": None})
    assert capsys.readouterr().out.splitlines() == ["n = 3", "word = a", "of.hair = 0.25", "of.eyes = nan"]
    with pytest.raises(TypeError, match=r"of\.a must be a number or text"):
        record(of={"a": [1]})


def test_findings_are_read_as_scrapbook_writes_them() -> None:
    payloads = [("a", 1), ("b", "Infinity"), ("c", {"d": 0.5}), ("a", 2)]
    outputs = [
        nbformat.v4.new_output(
            "display_data", {"application/scrapbook.scrap.json+json": {"name": n, "data": d, "version": 1}}
        )
        for n, d in payloads
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])
    assert numbers(read_findings(notebook)) == {"a": 2, "b": float("inf"), "c.d": 0.5}


# -- processes, interruptions, kills -------------------------------------------------------------------------


@pytest.mark.slow
def test_any_executor_will_do(book: Path, tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        given: dict[str, Any] = {"folder": book, "out": tmp_path / "runs", "progress": False}
        sweep = sweep_notebooks(grid={"clusters": [8, 9]}, executor=pool, **given)
        assert sweep.table["double"].tolist() == [16, 18]
        assert pool.submit(int, 3).result() == 3  # (it is not ours to close)


@pytest.mark.slow
def test_points_lost_with_a_process_are_run_again(book: Path, tmp_path: Path) -> None:
    """Killed once while two points run: a fresh pool runs them, and those that waited."""
    out, pool = tmp_path / "runs", ProcessPoolExecutor(2, mp_context=get_context("spawn"))

    def kill() -> None:
        wait_for(lambda: len(list(out.glob("*/*/run.json"))) == 2)
        os.kill(next(iter(pool._processes)), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    given: dict[str, Any] = {"folder": book, "out": out, "progress": False, "parameters": [("wait", 2.0)]}
    sweep = sweep_notebooks(grid={"clusters": [8, 9, 10]}, executor=pool, **given)
    killer.join()
    assert not sweep.failed
    assert sorted(sweep.table["double"]) == [16, 18, 20]
    with pytest.raises(BrokenExecutor):
        pool.submit(int, 3)
    assert len(list(out.glob("*/*/run.json"))) == 3, "attempts that were lost are gone"
    pool.shutdown()


def start(book: Path, out: Path, points: int, wait: float) -> subprocess.Popen[bytes]:
    values = ",".join(map(str, range(100, 100 + points)))
    options = ["--sweep", f"clusters={values}", "-p", "wait", str(wait), "--workers", "2"]
    command = [sys.executable, "-m", "lefs", "run", "--notebooks", str(book), "--out", str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def finished(out: Path) -> dict[Path, bytes]:
    """Each run that is done, and its record."""
    texts = {path: path.read_bytes() for path in out.glob("*/*/run.json")}
    return {p: t for p, t in texts.items() if json.loads(t)["notebooks"][0]["error"] is None}


def test_an_interrupted_sweep_stops_its_kernels_at_once(book: Path, tmp_path: Path) -> None:
    sweep = start(book, tmp_path / "runs", 3, 600)
    wait_for(lambda: len(list((tmp_path / "runs").glob("*/*/1_which.ipynb"))) == 2)
    sweep.send_signal(signal.SIGTERM)
    assert sweep.wait(60) == 130
    records = [json.loads(p.read_text()) for p in (tmp_path / "runs").glob("*/*/run.json")]
    assert [r["notebooks"][0]["error"] for r in records] == ["interrupted"] * 2
    assert {r["notebooks"][0]["parameters"]["clusters"] for r in records} == {100, 101}


def killed_and_gone_on_with(book: Path, out: Path, *, points: int, kills: int, seed: int) -> None:
    """Kill a sweep at random moments; what was done stays as it was, and in the end all is done."""
    dice, before = random.Random(seed), dict[Path, bytes]()
    for _ in range(kills):
        sweep = start(book, out, points, 0.2)
        time.sleep(dice.uniform(3, 12))  # (it takes some seconds to begin)
        sweep.kill()
        sweep.wait()
        after = finished(out)
        assert {path: after.get(path) for path in before} == before
        before = after
    assert start(book, out, points, 0.2).wait(1800) == 0
    after = finished(out)
    assert {path: after.get(path) for path in before} == before
    assert len(after) == points
    table = pd.read_csv(out / "1_which-sweep" / "results.csv")
    assert table["double"].tolist() == [2 * (100 + n) for n in range(points)]


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(book: Path, tmp_path: Path) -> None:
    killed_and_gone_on_with(book, tmp_path / "runs", points=3, kills=2, seed=0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_sweep_killed_fifty_times_loses_nothing(book: Path, tmp_path: Path) -> None:
    killed_and_gone_on_with(book, tmp_path / "runs", points=60, kills=50, seed=1)


def test_no_page_without_runs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        save_results([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.iterdir())
