"""genforce: ``.pth`` of a ProGAN, a StyleGAN or a StyleGAN2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lefs.artifacts import ArtifactError
from lefs.generators.discriminator import Discriminator
from lefs.generators.publishers import Parsed
from lefs.generators.publishers.genforce_classic import (
    is_progan,
    is_stylegan,
    read_progan,
    read_stylegan,
)
from lefs.generators.publishers.genforce_stylegan2 import (
    is_stylegan2,
    read_stylegan2,
    read_stylegan2_discriminator,
)
from lefs.generators.unpickle import read_torch

__all__ = ["matches", "read", "read_discriminator"]

_State = Mapping[str, Any]
# which network a state dict is of, and what reads it
_KINDS: tuple[tuple[Callable[[_State], bool], Callable[[_State, Path], Parsed]], ...] = (
    (is_stylegan2, read_stylegan2),
    (is_stylegan, read_stylegan),
    (is_progan, read_progan),
)


def matches(tree: Any) -> bool:
    """Whether `tree` is genforce's: a file of its model zoo, a checkpoint of its training, or one network."""
    if not isinstance(tree, Mapping):
        return False
    named = isinstance(tree.get("models"), Mapping) or isinstance(tree.get("generator_smooth"), Mapping)
    return named or any(known(tree) for known, _ in _KINDS)


def read(tree: Any, path: Path) -> Parsed:
    """The smoothed generator, or the only one."""
    models = tree["models"] if isinstance(tree.get("models"), Mapping) else tree
    for state in (models.get("generator_smooth"), models.get("generator"), models):
        if not isinstance(state, Mapping):
            continue
        plain = _plain(state)
        for known, reader in _KINDS:
            if known(plain):
                found = reader(plain, path)
                keeps_one = reader is read_stylegan2 and isinstance(models.get("discriminator"), Mapping)
                return replace(found, discriminator=partial(read_discriminator, path)) if keeps_one else found
    names = ", ".join(repr(name) for name in list(models)[:4])
    raise ArtifactError(
        f"{path} looks like a file of genforce, but holds no generator of a ProGAN, StyleGAN or StyleGAN2; "
        f"found {names}"
    )


def _plain(state: _State) -> dict[str, Any]:
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def read_discriminator(path: Path) -> Discriminator:
    """Read the discriminator of the StyleGAN2 at `path`.

    Raises
    ------
    ArtifactError
        If it is not that of a StyleGAN2 without classes, or the file has changed.
    """
    tree = read_torch(path)
    models = tree.get("models", tree) if isinstance(tree, Mapping) else {}
    state = models.get("discriminator") if isinstance(models, Mapping) else None
    if not isinstance(state, Mapping):
        raise ArtifactError(f"{path} no longer holds a discriminator; it has changed since it was loaded")
    return read_stylegan2_discriminator(_plain(state), path)
