"""Nothing is lost on the way to a file: killed writers, two writers, readers beside them, older files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import safetensors.torch
import torch
from helpers import made_up_catalog, random_network, stored, tamper

import lefs
from lefs import ArtifactError, Catalog, records, saving
from lefs.__main__ import main
from lefs.naming import NameClash
from lefs.records import load_record, record_file, save_record, write_atomically

OLD = Path(__file__).parent / "fixtures" / "records"

# Forks a child for each line that it reads: one that saves two things in turn for ever, or one that names.
WRITER = """
import json, os, sys
import lefs

lefs.Catalog, lefs.load  # (imported once, before it forks)

def act(kind, folder, paths, names):
    while kind == "catalog":
        [lefs.Catalog.load(path).save(folder) for path in paths]
    if kind == "generator":
        things = [lefs.load(path) for path in paths]
        while things:
            [lefs.save_generator(thing, folder, name=thing.name) for thing in things]
    catalog = lefs.Catalog.load(folder)
    for k in names:
        catalog = catalog.rename(f"cluster {k}", f"name of {k}")
        catalog.save(folder)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        act(**json.loads(line))
        os._exit(0)
    print(child, flush=True)
"""


class Writers:
    """A process that has imported lefs; its children save."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", WRITER]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, kind: str, folder: Path, paths: Sequence[Path] = (), names: Sequence[int] = ()) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        job = {"kind": kind, "folder": str(folder), "paths": [*map(str, paths)], "names": list(names)}
        self.process.stdin.write(f"{json.dumps(job)}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    if not hasattr(os, "fork"):
        pytest.skip("cannot fork")
    found = Writers()
    yield found
    found.process.kill()
    found.process.communicate()


def is_running(child: int) -> bool:
    """Whether a child of another process has not ended."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(child)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip()[:1] not in ("", "Z")


def wait_for(child: int) -> None:
    while is_running(child):
        time.sleep(0.01)


def two_of(kind: str, folder: Path) -> list[Path]:
    """Two records that differ in all that they hold."""
    one, two = (random_network(seed=s, resolution=r) for s, r in ((1, 64), (2, 32)))
    if kind == "generator":
        return [lefs.save_generator(g, folder / g.fingerprint[:8], name=g.fingerprint) for g in (one, two)]
    catalogs = [made_up_catalog(torch.rand(64, g.num_styles), g) for g in (one, two)]
    return [
        c.rename("cluster 0", "hair").save(folder / c.generator.name / str(i)) for i, c in enumerate(catalogs)
    ]


def is_whole(kind: str, path: Path) -> bool:
    """Whether it loads, its tensors those that its description was saved with."""
    if kind == "catalog":
        return "hair" in Catalog.load(path).parts
    found = lefs.load(path)
    return found.fingerprint == found.name


few = pytest.param(5, id="few")


@pytest.mark.parametrize("kind", ["catalog", "generator"])
@pytest.mark.parametrize("kills", [few, pytest.param(60, id="many", marks=pytest.mark.soak)])
def test_a_kill_while_saving_loses_nothing(kind: str, kills: int, tmp_path: Path, writers: Writers) -> None:
    paths, folder, draw = two_of(kind, tmp_path / "known"), tmp_path / "here", Random(kills)
    known = [record_file(p, f"lefs-{kind}").read_bytes() for p in paths]
    shutil.copytree(paths[0], folder)
    file, seen, inside = record_file(folder, f"lefs-{kind}"), set(), 0
    for _ in range(kills):
        child, before = writers.start(kind, folder, paths), file.stat().st_ino
        while file.stat().st_ino == before:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        assert is_running(child)
        os.kill(child, signal.SIGKILL)
        wait_for(child)
        inside += any(f.unlink() or True for f in folder.glob(".*"))
        assert is_whole(kind, folder)
        seen.add(file.read_bytes())
    assert seen <= {*known}
    sys.stdout.write(f"\n{kind}: {kills} kills, {inside} of them within a file, none lost or mixed\n")
    assert inside or kills < 10


@pytest.mark.parametrize("kind", ["catalog", "generator"])
@pytest.mark.parametrize("reads", [few, pytest.param(1000, id="many", marks=pytest.mark.soak)])
def test_a_reader_beside_two_writers_is_never_refused(
    kind: str, reads: int, tmp_path: Path, writers: Writers
) -> None:
    paths, folder, seen, count = two_of(kind, tmp_path / "known"), tmp_path / "here", set(), 0
    shutil.copytree(paths[0], folder)
    children = [writers.start(kind, folder, paths) for _ in range(2)]
    try:
        while len(seen) < 2 or count < reads:
            assert is_whole(kind, folder)
            seen.add(record_file(folder, f"lefs-{kind}").read_bytes())
            count += 1
        assert all(map(is_running, children))
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
    sys.stdout.write(f"\n{kind}: {count} reads beside two writers, none refused or mixed\n")


@pytest.mark.parametrize("count", [few, pytest.param(48, id="many", marks=pytest.mark.soak)])
def test_two_processes_that_name_one_catalog_lose_no_name(
    count: int, tmp_path: Path, writers: Writers
) -> None:
    generator = random_network(seed=1)
    made_up_catalog(torch.rand(2 * count, generator.num_styles), generator).save(tmp_path)
    halves = range(count), range(count, 2 * count)
    for child in [writers.start("names", tmp_path, names=half) for half in halves]:
        wait_for(child)
    assert Catalog.load(tmp_path).cluster_names == [f"name of {k}" for k in range(2 * count)]


# -- two writers --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved catalog of four clusters without names."""
    generator = random_network(seed=1)
    return made_up_catalog(torch.rand(4, generator.num_styles), generator).save(tmp_path / "catalog")


def test_names_of_two_are_joined(folder: Path) -> None:
    mine, theirs = Catalog.load(folder), Catalog.load(folder)
    theirs = theirs.rename("cluster 1", "hat").merge(["hat", "cluster 2"], "hat")
    theirs.save(folder)
    mine = mine.rename("cluster 0", "hair")
    mine.save(folder)
    mine = mine.rename("hair", "fur")  # (what one has said oneself can be said again)
    mine.save(folder)
    assert Catalog.load(folder).cluster_names == ["fur", "hat", "hat", "cluster 3"]
    assert mine.cluster_names == ["fur", "cluster 1", "cluster 2", "cluster 3"]


def test_one_name_for_one_cluster_by_two_is_no_clash(folder: Path) -> None:
    for catalog in [Catalog.load(folder), Catalog.load(folder)]:
        catalog.rename("cluster 0", "hair").save(folder)
    assert "hair" in Catalog.load(folder).parts


@pytest.mark.parametrize(("prefer", "kept"), [("own", "hair"), ("theirs", "hat")])
def test_two_names_for_one_cluster_are_a_question(folder: Path, prefer: Any, kept: str) -> None:
    mine, theirs = Catalog.load(folder), Catalog.load(folder)
    theirs.rename("cluster 0", "hat").rename("cluster 1", "skin").save(folder)
    before = (folder / "catalog.safetensors").read_bytes()
    mine = mine.rename("cluster 0", "hair").rename("cluster 2", "eyes")
    with pytest.raises(NameClash, match=r"named cluster 0 'hat', here it is 'hair'.*prefer=") as caught:
        mine.save(folder)
    assert caught.value.clashes == {0: ("hair", "hat")}
    assert (folder / "catalog.safetensors").read_bytes() == before
    mine.save(folder, prefer=prefer)
    assert Catalog.load(folder).cluster_names == [kept, "skin", "eyes", "cluster 3"]


def test_a_new_catalog_beside_others(folder: Path, tmp_path: Path) -> None:
    """Panels on a catalog that came from elsewhere, both before the first saving."""
    one, two = (Catalog.load(folder).beside_others(tmp_path / "new") for _ in range(2))
    one.rename("cluster 0", "hair").save(tmp_path / "new")
    two.rename("cluster 1", "hat").save(tmp_path / "new")
    assert Catalog.load(tmp_path / "new").cluster_names[:2] == ["hair", "hat"]
    two.save(folder)  # (and elsewhere they are what they are)
    assert Catalog.load(folder).cluster_names[0] == "cluster 0"


def test_a_catalog_that_was_made_anew_is_not_written_over(folder: Path) -> None:
    mine, generator = Catalog.load(folder), random_network(seed=1)
    new = made_up_catalog(torch.rand(3, generator.num_styles), generator)
    new.save(folder)
    with pytest.raises(ArtifactError, match="is another catalog by now"):
        mine.rename("cluster 0", "hair").save(folder)
    assert Catalog.load(folder).num_clusters == 3


# -- older files --------------------------------------------------------------------------------------------


def test_a_newer_record_takes_the_place_of_two_files(tmp_path: Path) -> None:
    for file in OLD.glob("catalog.*"):
        shutil.copy(file, tmp_path)
    catalog = Catalog.load(tmp_path)
    first = next(iter(catalog.parts))
    assert catalog.rename(first, "mine").save(tmp_path) == tmp_path
    assert [f.name for f in tmp_path.iterdir()] == ["catalog.safetensors"]
    assert "mine" in Catalog.load(tmp_path).parts

    shutil.copy(OLD / "catalog.json", tmp_path)  # (killed before it could take that away)
    assert "mine" in Catalog.load(tmp_path).parts
    shutil.copy(OLD / "catalog.safetensors", tmp_path)  # (an older lefs has saved there since)
    assert Catalog.load(tmp_path).parts == catalog.parts


def test_other_json_beside_a_record_stays(folder: Path) -> None:
    (folder / "catalog.json").write_text('{"format": "somebody else\'s"}')
    Catalog.load(folder).save(folder)
    assert (folder / "catalog.json").exists()


def test_a_reader_of_two_files_that_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in OLD.glob("catalog.*"):
        shutil.copy(file, tmp_path)
    new, plain, calls = Catalog.load(OLD).rename("hair", "mine"), records.read_json, list[Path]()

    def late(path: Path, **options: Any) -> Any:
        calls.append(path)
        if len(calls) == 1:
            new.save(tmp_path)
        return plain(path, **options)

    monkeypatch.setattr(records, "read_json", late)
    assert "mine" in Catalog.load(tmp_path).parts


# -- files --------------------------------------------------------------------------------------------------


def test_what_killed_writers_left_is_swept_up_when_it_is_old(tmp_path: Path) -> None:
    names = [".x.json.0123abcd.tmp", ".tmpAb1x9Z", ".new.0123abcd.tmp", ".tmp-notes", "x.tmp", ".x.tmp"]
    for name in names:
        (tmp_path / name).touch()
        if "new" not in name:
            os.utime(tmp_path / name, (1, time.time() - 3700))
    write_atomically(tmp_path / "a", lambda path: path.write_text("a"))
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted([*names[2:], "a"])


def test_what_is_written_is_on_the_disk_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = list[Any]()
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(saving.os, "fsync", lambda f: done.append(os.fstat(f).st_ino) or sync(f))
    monkeypatch.setattr(saving.os, "replace", lambda a, b: done.append("replace") or replace(a, b))
    path = write_atomically(tmp_path / "a", lambda path: path.write_text("a"))
    assert done == [path.stat().st_ino, "replace", tmp_path.stat().st_ino]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not the JSON"),
        ("[]", "holds 'list', expected format"),
        ("[" * 100_000, "is not the JSON"),
        ("{}", "holds None"),
        ('{"format": "lefs-catalog"}', "version None, this lefs reads 1 and 2"),
        ('{"format": "lefs-catalog", "version": 99}', "version 99, this lefs reads 1 and 2"),
        ('{"format": "lefs-catalog", "version": 2}', "another checksum"),
        ('{"format": "lefs-catalog", "version": 2, "tensors_crc32": "0"}', "another checksum"),
        ('{"format": "lefs-catalog", "version": 2}' + " " * 3000, "characters of JSON, more than lefs reads"),
    ],
)
def test_hostile_metadata(text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_LONGEST", 200_000 if text.startswith("[") else 2000)
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "catalog.safetensors", {"lefs": text})
    with pytest.raises(ArtifactError, match=told) as caught:
        Catalog.load(tmp_path)
    assert len(str(caught.value)) < 2500


def test_json_that_could_not_be_read_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_LONGEST", 200)
    with pytest.raises(ArtifactError, match="characters of JSON are more than lefs reads"):
        save_record(tmp_path, "lefs-units", {"a": "b" * 200}, {})
    assert list(tmp_path.iterdir()) == []


def test_kinds_of_tensors_that_a_record_can_hold(tmp_path: Path) -> None:
    tensors = {
        "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3), "half": torch.ones(3).bfloat16(),
        "bool": torch.tensor([True]), "turned": torch.rand(2, 3).t(), "long": torch.arange(3),
    }  # fmt: skip
    content, found, file = load_record(
        save_record(tmp_path, "lefs-x", {"σ": [1, None]}, tensors), expect="lefs-x"
    )
    assert content["σ"] == [1, None]
    assert file == tmp_path / "x.safetensors"
    assert stored(file) == content
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].equal(tensor)


def test_info_tells_what_any_record_says(
    folder: Path, capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    tamper(folder / "catalog.safetensors", **{"a\x9b2J": "b\x9b2J"})
    assert main(["info", str(folder)]) == 0
    said = capsys.readouterr().out
    assert 'format             "lefs-catalog"' in said
    assert "centers            (4, 10), float32" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert main(["info", "--json", str(folder / "catalog.safetensors")]) == 0
    assert json.loads(capsys.readouterr().out) == stored(folder / "catalog.safetensors")
    for file, told in (
        ("comparison.json", "lefs-comparison"),
        ("../portraits-64/segmenter.json", "(16, 3, 3, 3)"),
    ):
        assert main(["info", str(root / "data" / "figures" / file)]) == 0
        assert told in capsys.readouterr().out
    safetensors.torch.save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    assert main(["info", str(folder / "model.safetensors")]) == 2
    assert "does not say what it is: lefs did not write it" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_full_disk_leaves_the_old_record(folder: Path) -> None:
    import resource

    before, catalog = (folder / "catalog.safetensors").read_bytes(), Catalog.load(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(ArtifactError, match=r"cannot write .*too large"):
            catalog.rename("cluster 0", "hair").save(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [f.name for f in folder.iterdir()] == ["catalog.safetensors"]
    assert (folder / "catalog.safetensors").read_bytes() == before
