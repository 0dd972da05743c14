"""genforce: ``.pth`` of a ProGAN, a StyleGAN or a StyleGAN2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lefs.artifacts import ArtifactError
from lefs.generators.discriminator import Discriminator
from lefs.generators.publishers import Parsed
from lefs.generators.publishers.genforce_classic import (
    is_progan,
    is_stylegan,
    read_progan,
    read_progan_discriminator,
    read_stylegan,
    read_stylegan_discriminator,
)
from lefs.generators.publishers.genforce_stylegan2 import (
    is_stylegan2,
    read_stylegan2,
    read_stylegan2_discriminator,
)
from lefs.generators.unpickle import read_torch

__all__ = ["matches", "read", "read_discriminator"]

_State = Mapping[str, Any]


class _Kind(NamedTuple):
    """An architecture: whether a state is a generator's, what reads it, what reads its discriminator's."""

    known: Callable[[_State], bool]
    generator: Callable[[_State, Path], Parsed]
    discriminator: Callable[[_State, Path, _State], Discriminator]


_KINDS = (
    _Kind(is_stylegan2, read_stylegan2, lambda state, path, _: read_stylegan2_discriminator(state, path)),
    _Kind(is_stylegan, read_stylegan, lambda state, path, _: read_stylegan_discriminator(state, path)),
    _Kind(is_progan, read_progan, read_progan_discriminator),
)


def matches(tree: Any) -> bool:
    """Whether `tree` is genforce's: a file of its model zoo, a checkpoint of its training, or one network."""
    if not isinstance(tree, Mapping):
        return False
    named = isinstance(tree.get("models"), Mapping) or isinstance(tree.get("generator_smooth"), Mapping)
    return named or any(kind.known(tree) for kind in _KINDS)


def read(tree: Any, path: Path) -> Parsed:
    """The smoothed generator, or the only one."""
    models = _models(tree)
    kind, state = _generator(models)
    if kind is not None:
        found = kind.generator(state, path)
        keeps_one = isinstance(models.get("discriminator"), Mapping)
        return replace(found, discriminator=partial(read_discriminator, path)) if keeps_one else found
    names = ", ".join(repr(name) for name in list(models)[:4])
    raise ArtifactError(
        f"{path} looks like a file of genforce, but holds no generator of a ProGAN, StyleGAN or StyleGAN2; "
        f"found {names}"
    )


def _models(tree: Mapping[str, Any]) -> _State:
    inside = tree.get("models")
    return inside if isinstance(inside, Mapping) else tree


def _generator(models: _State) -> tuple[_Kind | None, dict[str, Any]]:
    """The generator's architecture and state; (None, {}) if there is none that is known."""
    for state in (models.get("generator_smooth"), models.get("generator"), models):
        plain = _plain(state) if isinstance(state, Mapping) else {}
        for kind in _KINDS:
            if kind.known(plain):
                return kind, plain
    return None, {}


def _plain(state: _State) -> dict[str, Any]:
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def read_discriminator(path: Path) -> Discriminator:
    """Read the discriminator of the file at `path`.

    Raises
    ------
    ArtifactError
        If it is not of the generator's architecture, or the file has changed.
    """
    tree = read_torch(path)
    models = _models(tree) if isinstance(tree, Mapping) else {}
    kind, generator = _generator(models)
    state = models.get("discriminator")
    if kind is None or not isinstance(state, Mapping):
        raise ArtifactError(f"{path} no longer holds a discriminator; it has changed since it was loaded")
    return kind.discriminator(_plain(state), path, generator)
