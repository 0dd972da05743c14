"""What holds for the package as a whole: who imports whom, what no module does, how large things get."""

from __future__ import annotations

import ast
import importlib
import inspect
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import lefs

PACKAGE = Path(lefs.__file__).parent
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "data" not in p.relative_to(PACKAGE).parts)

# A module imports only from its own row and those above; the first part of its name says which row it is in.
ROWS = (
    ("checks", "showing", "saving", "records", "naming", "images", "tables", "stylespace"),
    ("positions", "clustering", "factorization", "synthesis", "rules"),
    ("generator",),
    ("workers",),
    ("activations", "sources"),
    ("catalog",),
    ("energies", "effects", "fitting", "inversion", "query"),
    ("dissection", "directions", "editing"),
    ("blending", "retrieval"),
    ("editor",),
    ("video",),
    ("models",),
    ("files", "segmenters"),
    ("evaluation",),
    ("units",),
    ("plotting",),
    ("widgets",),
    ("runner",),
    ("__main__",),
)
# What may ask the package's face: the workers, whose processes load the generator's file once more; the
# sources, which have other people's files read.
FACE = ("workers", "sources", "runner", "__main__")
ROW = {name: number for number, names in enumerate(ROWS) for name in names}

MAX_FILE, MAX_FUNCTION, MEDIAN_FUNCTION = 400, 40, 8


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, full name) of everything that a module imports, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full, from lefs"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain; what it hangs on is left out where it is not a name."""
    match node:
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case ast.Name(id=name):
            return name
    return ""


each_file = pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(PACKAGE)) for p in FILES])


@each_file
def test_every_module_has_a_row_and_imports_only_upward(path: Path) -> None:
    name = module_name(path)
    if name == "lefs":
        return
    area = name.split(".")[1]
    assert area in ROW, f"{name} has no row in the order of modules: put it into ROWS"
    for line, target in imported(parse(path)):
        if target.split(".")[0] != "lefs":
            continue
        below = target.split(".")[1] if "." in target else ""
        allowed = ROW[below] <= ROW[area] if below in ROW else area in FACE
        assert allowed, f"{path}:{line}: {name} imports {target}, which is below it"


def test_no_two_areas_import_each_other() -> None:
    uses: dict[str, set[str]] = {area: set() for area in ROW}
    for path in FILES:
        area = module_name(path).partition(".")[2].partition(".")[0]
        targets = {target.split(".")[1] for _, target in imported(parse(path)) if target.startswith("lefs.")}
        if area in uses:
            uses[area] |= targets & set(ROW) - {area}
    circles = {(a, b) for a in uses for b in uses[a] if a in uses[b]}
    assert not circles


FORBIDDEN_IMPORTS = {
    "matplotlib.pyplot": "make a matplotlib.figure.Figure",
    "matplotlib.pylab": "make a matplotlib.figure.Figure",
    "pylab": "make a matplotlib.figure.Figure",
    "pickle": "a pickle runs code: use lefs.records",
    "cloudpickle": "a pickle runs code: use lefs.records",
    "dill": "a pickle runs code: use lefs.records",
    "joblib": "a pickle runs code: use lefs.records",
    "marshal": "use lefs.records",
    "shelve": "a pickle runs code: use lefs.records",
    "random": "take a random_state",
}
# Python's unpickler without what could run code (tests/test_pickles.py looks at what is left of it); and what
# this process sends to its own workers, as any pool does.
ALLOWED_IMPORTS = {("files/reading/pickles.py", "pickle"), ("workers/pools.py", "pickle")}
FORBIDDEN_CALLS = {
    "print": "return text, or show a progress bar",
    "torch.load": "a pickle runs code: use lefs.records",
    "torch.save": "use lefs.records",
    "torch.manual_seed": "use a local torch.Generator",
    "torch.seed": "use a local torch.Generator",
    "torch.cuda.manual_seed": "use a local torch.Generator",
    "torch.cuda.manual_seed_all": "use a local torch.Generator",
    "torch.set_default_device": "follow the tensors",
    "torch.set_default_dtype": "follow the tensors",
    "torch.set_grad_enabled": "use a context or a decorator",
    "np.random.seed": "use numpy.random.RandomState or default_rng",
    "numpy.random.seed": "use numpy.random.RandomState or default_rng",
}
# What `lefs convert --to` writes for other people's code, which reads nothing else.
ALLOWED_CALLS = {("files/formats.py", "torch.save")}
LOCAL_RANDOMNESS = {"RandomState", "default_rng", "Generator", "SeedSequence"}


@each_file
def test_no_module_does_what_the_house_forbids(path: Path) -> None:
    tree = parse(path)
    for line, target in imported(tree):
        for name, remedy in FORBIDDEN_IMPORTS.items():
            found = target == name or target.startswith(f"{name}.")
            allowed = (path.relative_to(PACKAGE).as_posix(), target) in ALLOWED_IMPORTS
            assert allowed or not found, f"{path}:{line}: imports {target}; {remedy}"
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        name = dotted(call.func)
        exempt = (path.relative_to(PACKAGE).as_posix(), name) in ALLOWED_CALLS
        assert exempt or name not in FORBIDDEN_CALLS, (
            f"{path}:{call.lineno}: calls {name}; {FORBIDDEN_CALLS[name]}"
        )
        module, _, attribute = name.rpartition(".")
        local = module not in ("np.random", "numpy.random") or attribute in LOCAL_RANDOMNESS
        assert local, f"{path}:{call.lineno}: {name} draws from the global state"
        assert attribute != "cuda", f"{path}:{call.lineno}: .cuda() ties the code to one device"


@each_file
def test_devices_are_followed_and_not_chosen(path: Path) -> None:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            given = [*node.args, *(k.value for k in node.keywords if k.arg == "device")]
            devices = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            wired = [d for d in devices if d.split(":")[0] in ("cuda", "mps")]
            assert not wired, f"{path}:{node.lineno}: hard-wired device {wired}"


# -- size --------------------------------------------------------------------------------------------------


@each_file
def test_files_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_FILE, f"{path} has {lines} lines: divide it along a seam that has a name"


def functions() -> list[tuple[str, int]]:
    """Every function as (place, lines of its body without the docstring)."""
    found = []
    for path in FILES:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                found.append((f"{path}:{node.lineno}: {node.name}", lines))
    return found


def test_functions_stay_small() -> None:
    sizes = functions()
    long = [f"{place} has {lines} lines" for place, lines in sizes if lines > MAX_FUNCTION]
    assert not long, "\n".join(long)
    assert statistics.median(lines for _, lines in sizes) <= MEDIAN_FUNCTION


# -- documentation -----------------------------------------------------------------------------------------


@each_file
def test_public_names_are_documented(path: Path) -> None:
    if path.name == "__main__.py":
        return
    module = importlib.import_module(module_name(path))
    assert inspect.getdoc(module), f"{path} has no docstring"
    assert hasattr(module, "__all__"), f"{path} does not list its public names in __all__"
    for name in module.__all__:
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert has_own_words(thing), f"{path}: {name} has no docstring"
        members = vars(thing).items() if inspect.isclass(thing) else ()
        for member, value in members:
            documentable = inspect.isfunction(value) or isinstance(
                value, property | classmethod | staticmethod
            )
            if documentable and not member.startswith("_"):
                assert inspect.getdoc(getattr(thing, member)), f"{path}: {name}.{member} has no docstring"


def has_own_words(thing: type | object) -> bool:
    """Whether there is a docstring that somebody wrote (a dataclass makes one of its signature)."""
    text = inspect.getdoc(thing) or ""
    return bool(text) and not text.startswith(f"{getattr(thing, '__name__', '')}(")


def test_public_names_of_the_package_exist_once() -> None:
    assert len(lefs.__all__) == len(set(lefs.__all__))
    assert all(hasattr(lefs, name) for name in lefs.__all__)
    assert "Dimension key" in (lefs.__doc__ or "")


@pytest.mark.parametrize("path", sorted(p for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()))
def test_every_module_is_an_attribute_of_the_package(path: Path) -> None:
    if path.stem.startswith("_") or path.name == "data":
        return
    assert getattr(lefs, path.stem).__name__ == f"lefs.{path.stem}"


def test_other_attributes_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lefs.nothing
