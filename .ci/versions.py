"""Try the lowest and the newest releases that pyproject.toml allows, and report.

usage: python3 .ci/versions.py [lowest] [newest] [--but PACKAGE ...] [--tests "pytest arguments"]

Each makes an environment of its own, .venv-lowest or .venv-newest, and runs a quick part of the suite in it.
The exit status is 0 whatever comes out: somebody else's release is no reason to hold up a change here. --but
leaves the lowest bound of a package alone, where that is too large to download (--but torch).
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
QUICK = "-q -m 'not slow and not browser' -p no:cacheprovider --deselect tests/test_readme.py"


def lower_bounds(project: dict[str, Any], *, but: Sequence[str] = ()) -> list[str]:
    """``name==version`` for each ``name>=version`` of the project and of its tests."""
    wanted = [*project["dependencies"], *requirements(project, "test")]
    found = [re.match(r"([\w.-]+)>=([\w.]+)", line) for line in wanted]
    return [f"{m[1]}=={m[2]}" for m in found if m and m[1] not in but]


def requirements(project: dict[str, Any], extra: str) -> list[str]:
    """What an extra installs, with what the extras that it names install, each once."""
    found: dict[str, None] = {}
    for line in project["optional-dependencies"][extra]:
        if named := re.fullmatch(r"lefs\[([\w,]+)\]", line):
            found |= dict.fromkeys(r for other in named[1].split(",") for r in requirements(project, other))
        else:
            found[line] = None
    return list(found)


def run(command: Sequence[str | Path], log: Path) -> int:
    with log.open("a", encoding="utf-8") as out:
        return subprocess.run(
            list(map(str, command)), cwd=ROOT, stdout=out, stderr=subprocess.STDOUT
        ).returncode


def closing_lines(log: Path, count: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-count:])


def attempt(which: str, tests: str, but: Sequence[str]) -> str:
    """Install and test one of the two, in an environment made anew; what came out, as text."""
    venv, start = ROOT / f".venv-{which}", time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    log = venv / "log.txt"
    install = [venv / "bin" / "pip", "install", "-e", ".[test]"]
    if which == "lowest":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        bounds = venv / "lowest.txt"
        bounds.write_text("\n".join(lower_bounds(project, but=but)) + "\n", encoding="utf-8")
        install += ["-c", bounds]
    if run(install, log):
        return f"{which}: does not install\n{closing_lines(log, 15)}"
    failed = run([venv / "bin" / "python", "-m", "pytest", *shlex.split(tests)], log)
    verdict = "the tests fail" if failed else "the tests pass"
    return f"{which}: {verdict} ({time.monotonic() - start:.0f} s)\n{closing_lines(log, 30 if failed else 1)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="*", metavar="lowest|newest")
    parser.add_argument("--but", nargs="*", default=[], metavar="PACKAGE")
    parser.add_argument("--tests", default=QUICK)
    given = parser.parse_args()
    which = given.which or ["lowest", "newest"]
    if unknown := set(which) - {"lowest", "newest"}:
        parser.error(f"choose from lowest, newest; got {', '.join(sorted(unknown))}")
    for each in which:
        print(attempt(each, given.tests, given.but), flush=True)


if __name__ == "__main__":
    main()
