"""The examples of the docstrings run and print what they say; every name of a finished face has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import lefs

MODULES = sorted(
    m.name for m in pkgutil.walk_packages(lefs.__path__, "lefs.") if not m.name.endswith("__main__")
)
ROOMS = ["", *(f".{m.name}" for m in pkgutil.iter_modules(lefs.__path__) if m.ispkg and m.name != "data")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    wrong: list[str] = []
    for example in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(example, out=wrong.append)
    assert not wrong, "".join(wrong)


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_face_has_an_example(room: str) -> None:
    face = importlib.import_module(f"lefs{room}")
    things = {name: getattr(face, name) for name in face.__all__}
    public = {n: x for n, x in things.items() if inspect.isclass(x) or inspect.isfunction(x)}
    lacking = [n for n, x in public.items() if ">>>" not in (inspect.getdoc(x) or "")]
    assert not lacking
