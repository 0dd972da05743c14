"""genforce: ``.pth`` of a ProGAN, a StyleGAN or a StyleGAN2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lefs.generators.publishers import Parsed
from lefs.generators.publishers.genforce_classic import is_progan, is_stylegan, read_progan, read_stylegan
from lefs.generators.publishers.genforce_stylegan2 import is_stylegan2, read_stylegan2
from lefs.generators.publishers.unknown import DISCRIMINATOR
from lefs.records import ArtifactError

__all__ = ["matches", "read"]

# each with what tells whether a state is its generator's
_State = Mapping[str, Any]
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
    inside = tree.get("models")
    models = inside if isinstance(inside, Mapping) else tree
    for state in (models.get("generator_smooth"), models.get("generator"), models):
        plain = _plain(state) if isinstance(state, Mapping) else {}
        for known, read_kind in _KINDS:
            if known(plain):
                return read_kind(plain, path)
    if models.keys() <= {"discriminator"}:
        raise ArtifactError(f"{path} holds {DISCRIMINATOR}")
    names = ", ".join(repr(name) for name in list(models)[:4])
    raise ArtifactError(
        f"{path} looks like a file of genforce, but holds no generator of a ProGAN, StyleGAN or StyleGAN2; "
        f"found {names}"
    )


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name).removeprefix("module."): value for name, value in state.items()}
