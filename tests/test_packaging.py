"""What is shipped: the wheel's contents, the environment, and that every import is a declared dependency."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lefs

# Not imported, but needed at run time: the application, and the kernel that notebooks run in.
PROGRAMS = {"ipykernel", "jupyterlab", "voila"}


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """Wheel of the tree as it stands, built without a network."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (built,) = out.glob("lefs-*.whl")
    return zipfile.Path(built)


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", r)[0].lower() for r in requirements}


def test_the_wheel_holds_code_weights_and_notebooks(root: Path, wheel: zipfile.Path) -> None:
    held = {str(p) for p in wheel.root.namelist()}
    code = {str(p.relative_to(root)) for p in (root / "lefs").rglob("*.py") if "__pycache__" not in p.parts}
    assert code <= held
    assert {"lefs/__init__.pyi", "lefs/runner/__init__.pyi", "lefs/py.typed"} <= held
    assert {"lefs/runner/gallery.html.j2", "lefs/runner/page.css"} <= held
    assert {f"lefs/notebooks/{p.name}" for p in (root / "notebooks").glob("*.ipynb")} <= held
    data = root / "data"
    for model in ("portraits", "portraits-64"):
        files = [p for p in (data / model).rglob("*") if p.suffix in (".safetensors", ".json")]
        shipped = [p for p in files if tracked(root, p)]
        assert shipped
        assert {f"lefs/data/{p.relative_to(data)}" for p in [*shipped, data / model / "README.md"]} <= held


def tracked(root: Path, path: Path) -> bool:
    """Whether git would keep the file; without git, every file counts."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return True
    return subprocess.run([git, "check-ignore", "-q", str(path)], cwd=root).returncode == 1


def test_the_wheel_holds_nothing_else(wheel: zipfile.Path) -> None:
    suffixes = {".py", ".pyi", ".js", ".css", ".j2", ".typed", ".ipynb", ".safetensors", ".json", ".md"}
    held = [n for n in wheel.root.namelist() if not n.endswith("/") and ".dist-info/" not in n]
    assert {Path(n).suffix for n in held} <= suffixes
    assert all(n.startswith("lefs/") for n in held)
    assert not [n for n in held if "recipe" in n.split("/")], "the recipe of the data stays in the checkout"


def test_the_wheel_is_small_and_the_same_each_time(root: Path, tmp_path: Path, wheel: zipfile.Path) -> None:
    (first,) = Path(str(wheel.root.filename)).parent.glob("lefs-*.whl")
    assert first.stat().st_size <= 25 * 2**20
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    assert (tmp_path / first.name).read_bytes() == first.read_bytes()


def test_the_wheel_describes_itself_without_what_lies_elsewhere(root: Path, wheel: zipfile.Path) -> None:
    """Links to files of the checkout lead to the repository, or are text where there is none yet."""
    (metadata,) = (n for n in wheel.root.namelist() if n.endswith(".dist-info/METADATA"))
    text = wheel.root.read(metadata).decode()
    assert "# lefs: local editing from style" in text
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", text) == []
    portable = runpy.run_path(str(root / "hatch_build.py"))["portable"]
    shown = portable("![a](data/b.png)\n\n[c](d.md) [e](https://f)", "https://host/me/lefs")
    assert shown == (
        "![a](https://host/me/lefs/raw/HEAD/data/b.png)\n\n"
        "[c](https://host/me/lefs/blob/HEAD/d.md) [e](https://f)"
    )
    assert portable("![a](data/b.png)\n\n[c](d.md)") == "c"


@pytest.mark.slow  # (pip makes an environment: fifteen seconds)
def test_an_installed_wheel_runs(wheel: zipfile.Path, tmp_path: Path) -> None:
    """Installed by pip into an environment of its own, which borrows what lefs depends on from this one."""
    (built,) = Path(str(wheel.root.filename)).parent.glob("lefs-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", packages, built], check=True, cwd=tmp_path)
    ours = Path(pytest.__file__).parents[1]
    (packages / "borrowed.pth").write_text(f"{ours}\n", encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str, start: tuple[str, ...] = ("-m", "lefs")) -> str:
        command = [str(python), *start, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run(start=("-c", "import lefs; print(lefs.__file__)"))
    assert where.strip() == str(packages / "lefs" / "__init__.py")
    assert "64 x 64" in run("info", "portraits-64")
    assert "1_dissection" in run("run", "--list")
    run("notebooks", "mine", "--copy-only")
    assert len(list((tmp_path / "mine").glob("*.ipynb"))) == 6
    run("edit", "--generator", "portraits-64", "--target", "1", "--reference", "2", "--part", "hair")


def test_the_version_is_in_one_place() -> None:
    assert importlib.metadata.version("lefs") == lefs.__version__


def test_the_environment_takes_its_packages_from_the_project(root: Path) -> None:
    """Conda brings Python and pip, of the same version as the project asks for, and no package of its own."""
    text = (root / "environment.yml").read_text(encoding="utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries = [line.strip().removeprefix("- ") for line in text.splitlines() if line.strip().startswith("- ")]
    python = f"python{project['requires-python']}"
    assert entries == ["conda-forge", python, "pip", "pip:", "-c constraints.txt", "-e .[test]"]
    assert "test" in project["optional-dependencies"]


ROOMS = {"runner": "notebooks", "widgets": "notebooks"}  # rooms of the package that need an extra
LATE = {
    "ipython": "notebooks",
    "pandas": "notebooks",
    "imageio": "video",
    "imageio-ffmpeg": "video",
}


def test_every_import_is_a_declared_dependency(root: Path, project: dict[str, Any]) -> None:
    """Of the project where it is at home, or of the extra of its room; a few are imported when asked for."""
    core, used = (
        names(project["project"]["dependencies"]),
        {"": set[str](), "notebooks": set(), "studio": set(), "video": set()},
    )
    for path in (root / "lefs").rglob("*.py"):
        room = ROOMS.get(path.relative_to(root / "lefs").parts[0], "")
        for name in distributions(path) - core:
            used[LATE.get(name, room)].add(name)
        if not room:
            used[""] |= distributions(path) & core
    assert used.pop("") == core, "imported in the core and not declared, or the other way round"
    for extra, needed in used.items():
        declared = names(extras(root)(project["project"], extra))
        assert needed - declared == set(), "imported, not declared"
        # (an extra of an extra has what that one imports)
        others = used["notebooks"] if extra == "studio" else set()
        assert declared - needed - others - PROGRAMS == set(), "declared, not imported"


@pytest.mark.parametrize("extra", ["cluster", "docs", "studio", "video", "notebooks"])
def test_tests_have_every_extra(root: Path, project: dict[str, Any], extra: str) -> None:
    get = extras(root)
    assert set(get(project["project"], extra)) <= set(get(project["project"], "test"))


def test_what_tests_and_recipes_import_is_in_the_test_extra(root: Path, project: dict[str, Any]) -> None:
    extra = names(extras(root)(project["project"], "test"))
    declared = names(project["project"]["dependencies"]) | extra
    files = [*(root / "tests").rglob("*.py"), *(root / "data").rglob("*.py"), *(root / "docs").glob("*.py")]
    neighbours = {"data", "benchmarks", *(path.stem.lower().replace("_", "-") for path in files)}
    used = {name for path in files for name in distributions(path)} - neighbours
    assert used - declared - {"docutils"} == set()  # (docutils comes with Sphinx, which knows the release)


BARE = """
import sys
class Nothing:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Nothing())
"""


def bare(root: Path, project: dict[str, Any], code: str) -> subprocess.CompletedProcess[str]:
    """Python in which nothing but the project's own dependencies can be imported, and what those need."""
    extra = names(extras(root)(project["project"], "test")) - {"jinja2", "markupsafe"}  # (torch needs these)
    blocked = {module for module, homes in providers().items() for h in homes if normal(h) in extra}
    script = BARE.format(blocked=blocked | {"jupyterlab", "notebook", "lefs_nothing"}) + code
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)


def test_the_core_works_without_jupyter(root: Path, project: dict[str, Any], tmp_path: Path) -> None:
    """Everything but panels and `lefs run`, which name the extra that they need."""
    code = (
        "import importlib, pkgutil, lefs\n"
        "for m in pkgutil.walk_packages(lefs.__path__, 'lefs.', onerror=lambda name: None):\n"
        "    if m.name.split('.')[1] not in ('widgets', 'runner', '__main__'):\n"
        "        importlib.import_module(m.name)\n"
        "model = lefs.load('portraits-64')\n"
        "catalog = lefs.dissect(model, range(4), clusters=4, progress=False)\n"
        f"catalog.save({str(tmp_path / 'catalog')!r})\n"
        "lefs.plotting.image_grid(model.synthesize(model.sample([1])))\n"
        "from lefs.__main__ import main\n"
        "asked = ['info', 'portraits-64'], ['run', '--list'], ['notebooks', '--copy-only']\n"
        "print([main(command) for command in asked])\n"
        "import lefs.widgets"
    )
    done = bare(root, project, code)
    assert done.stdout.endswith("[0, 2, 2]\n"), done.stderr
    remedy = "which is not installed: pip install 'lefs[notebooks]'"
    assert len(re.findall(rf"^lefs: .* needs \w+, {re.escape(remedy)}$", done.stderr, re.MULTILINE)) == 2
    assert re.search(rf"lefs\.widgets needs \w+, {re.escape(remedy)}$", done.stderr)


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


@functools.cache
def providers() -> dict[str, list[str]]:
    """Distributions by what they let import; reading them all takes a second."""
    return dict(importlib.metadata.packages_distributions())


def distributions(path: Path) -> set[str]:
    """Distributions that a file imports from, without the standard library and lefs."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add((node.module or "").split(".")[0])
    modules -= {*sys.stdlib_module_names, "lefs"}
    return {normal(providers().get(module, [module])[0]) for module in modules}


def test_the_first_command_installs_what_was_tested(root: Path) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    (first,) = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
    assert "pip install -e '.[test]' -c constraints.txt &&" in first


def test_every_requirement_is_pinned_within_its_range(root: Path, project: dict[str, Any]) -> None:
    """And for all platforms alike: no build's suffix, no library of one kind of machine."""
    pins = dict(line.split("==") for line in pinned(root))
    bounds = lower_bounds(root)(project["project"])
    extra = extras(root)(project["project"], "test")
    assert len(bounds) == len(project["project"]["dependencies"]) + len(extra)
    for name, lowest in (bound.split("==") for bound in bounds):
        assert release(lowest) <= release(pins[name]), name
    assert release(pins["torch"]) < (2, 14)
    assert [name for name in pins if name.startswith(("nvidia", "triton", "setuptools"))] == []


def test_a_package_can_be_left_out_of_the_lowest(root: Path) -> None:
    project = {"dependencies": ["numpy>=1.26", "torch>=2.6,<2.14"], "optional-dependencies": {"test": []}}
    assert lower_bounds(root)(project) == ["numpy==1.26", "torch==2.6"]
    assert lower_bounds(root)(project, but=["torch"]) == ["numpy==1.26"]


def pinned(root: Path) -> list[str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"#.*|[a-z0-9-]+==[0-9.]+(post\d+)?", line) for line in lines)
    return [line for line in lines if not line.startswith("#")]


def lower_bounds(root: Path) -> Callable[..., list[str]]:
    found: Callable[..., list[str]] = runpy.run_path(str(root / ".ci" / "versions.py"))["lower_bounds"]
    return found


def extras(root: Path) -> Callable[..., list[str]]:
    """What an extra installs, with what the extras it names install."""
    found: Callable[..., list[str]] = runpy.run_path(str(root / ".ci" / "versions.py"))["requirements"]
    return found


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_torch_and_nbconvert_are_bounded(project: dict[str, Any]) -> None:
    assert "nbconvert>=7.16.5" in project["project"]["optional-dependencies"]["notebooks"]
    assert "torch>=2.6,<2.14" in project["project"]["dependencies"]
    assert {"test", "dev"} <= set(project["project"]["optional-dependencies"])
