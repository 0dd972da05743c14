"""Networks that NVIDIA's PyTorch repositories save: a tree of modules with all their attributes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.reading import is_inert, walk
from lefs.records import ArtifactError

__all__ = [
    "NETWORKS", "Kinds", "Module", "check_plain", "find_network", "generator_of", "inside", "is_module",
]  # fmt: skip

# class → (names of the modules inside, as patterns, and their classes; names of its tensors)
Kinds = Mapping[str, tuple[Mapping[str, str], Collection[str]]]

# where snapshots keep the generator; the averaged one first
NETWORKS = ("G_ema", "G", "g_ema", "generator")


class Module:
    """One module of a saved network: its class's name, attributes, tensors and modules inside.

    Parameters
    ----------
    record : Instance
        What the file says about the module, as `lefs.files.reading` gives it.
    path : Path
        The file, for error messages.
    where : str
        The module's place in the file, such as ``"G_ema.synthesis"``.

    Attributes
    ----------
    name : str
        Name of its class.
    """

    def __init__(self, record: Any, path: Path, where: str):
        self.record, self.path, self.where = record, path, where
        if not is_module(record):
            raise ArtifactError(f"{path}: {where} should be a network module, found {_kind(record)}")
        self.name = str(record.name)

    def error(self, problem: str) -> ArtifactError:
        """An `ArtifactError` that names file, place and class."""
        return ArtifactError(f"{self.path}: {self.where} ({self.record.module}.{self.name}) {problem}")

    def check_class(self, *names: str) -> Module:
        """Return itself if its class has one of these names; raise an `ArtifactError` otherwise."""
        if self.name not in names:
            raise self.error(f"is of a class that lefs does not know; expected {' or '.join(names)}")
        return self

    def check_parts(self, kinds: Kinds) -> None:
        """Raise an `ArtifactError` if a module inside is of another class, or has more than `kinds` says."""
        for _, module in self.walk():
            classes, known = kinds[module.name]
            more = sorted(module.tensors.keys() - set(known))
            for name, child in module.children.items():
                expected = [kind for pattern, kind in classes.items() if re.fullmatch(pattern, name)]
                if expected:
                    child.check_class(*expected)
                else:
                    more.append(f"{name} ({child.name})")
            if more:
                raise module.error(f"has parts that no StyleGAN2 has: {', '.join(more[:4])}")

    def get(self, attribute: str, *kinds: type) -> Any:
        """An attribute that must be there and of one of these kinds."""
        if attribute not in self.record.state:
            raise self.error(f"lacks the attribute {attribute!r}")
        value = self.record.state[attribute]
        # 1 is a fine float; True is not a number
        if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
            return float(value)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            raise self.error(f"has {attribute} = {_kind(value)} where a {wanted} should be")
        return value

    @cached_property
    def children(self) -> dict[str, Module]:
        """The modules inside, by name; those that are None are left out."""
        found = self._inside("_modules")
        return {k: Module(v, self.path, f"{self.where}.{k}") for k, v in found.items()}

    def child(self, name: str) -> Module:
        """The module called `name`, which must be there."""
        if name not in self.children:
            raise self.error(f"lacks the module {name!r}")
        return self.children[name]

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Its own parameters and buffers, without those of the modules inside."""
        found = self._inside("_parameters") | self._inside("_buffers")
        for name, value in found.items():
            if not isinstance(value, Tensor):
                raise self.error(f"has {_kind(value)} where the tensor {name!r} should be")
        return found

    def tensor(self, name: str, axes: int | None = None) -> Tensor:
        """The parameter or buffer called `name`, which must be there and have so many axes."""
        if name not in self.tensors:
            raise self.error(f"lacks the tensor {name!r}")
        found = self.tensors[name]
        if axes not in (None, found.ndim):
            raise self.error(f"has a {name} of shape {tuple(found.shape)}; expected {axes} axes")
        return found

    def walk(self) -> Iterator[tuple[str, Module]]:
        """Yield itself and every module inside as (dotted name with a dot at the end, module)."""
        found = [("", self)]
        for prefix, module in found:  # (which grows meanwhile)
            yield prefix, module
            found += [(f"{prefix}{name}.", child) for name, child in module.children.items()]
            # A file may say that a module lies inside itself.
            if len(found) > 10_000:
                raise self.error("has more than 10,000 modules inside")

    def state_dict(self) -> dict[str, Tensor]:
        """All tensors by their dotted names, as ``torch.nn.Module.state_dict`` would give them."""
        return {f"{prefix}{k}": v for prefix, module in self.walk() for k, v in module.tensors.items()}

    def _inside(self, kind: str) -> dict[str, Any]:
        found = self.record.state.get(kind, {})
        if not isinstance(found, Mapping) or not all(isinstance(k, str) for k in found):
            raise self.error(f"has {_kind(found)} where its {kind} should be")
        return {k: v for k, v in found.items() if v is not None}


def check_plain(record: Any, path: Path, where: str) -> None:
    """Raise an `ArtifactError` if a network that is to be used holds what could run code elsewhere.

    Other parts of a file may: lefs neither calls nor uses them.
    """
    try:
        found = next((value for value in walk(record) if is_inert(value)), None)
    except ArtifactError as error:
        raise ArtifactError(f"{path} {error}") from None
    if found is not None:
        raise ArtifactError(
            f"{path} is refused: its {where} holds {found.module}.{found.name}, which could run code and "
            "which no network of a known kind needs; nothing of it was run. Get it from its publisher again"
        )


def is_module(value: Any) -> bool:
    """Whether a value of the tree is a saved network module."""
    state = getattr(value, "state", None)
    return isinstance(state, Mapping) and "_modules" in state and "_parameters" in state


def find_network(tree: Any, *keys: str) -> tuple[str, Any] | None:
    """Where a file keeps a network, and its record: under the first of `keys` found, or the file itself."""
    if is_module(tree):
        return "the network", tree
    if isinstance(tree, Mapping):
        return next(((k, tree[k]) for k in keys if is_module(tree.get(k))), None)
    return None


def inside(tree: Any, *names: str) -> Any:
    """The record of the module that the generator of a file has by these names inside each other, or None."""
    found = find_network(tree, *NETWORKS)
    record: Any = found[1] if found else None
    for name in names:
        modules = record.state["_modules"] if is_module(record) else None
        record = modules.get(name) if isinstance(modules, Mapping) else None
    return record if is_module(record) else None


def generator_of(tree: Any, path: Path, *classes: str) -> Module:
    """The file's generator, the averaged one if there is one; it has to be of one of these classes."""
    found = find_network(tree, *NETWORKS)
    assert found is not None
    where, record = found
    check_plain(record, path, where)
    return Module(record, path, where).check_class(*classes)


def _kind(value: Any) -> str:
    if hasattr(value, "module") and hasattr(value, "name"):
        return f"an object of {value.module}.{value.name}"
    short = isinstance(value, str | int | float | bool | None) and len(repr(value)) < 40
    return repr(value) if short else f"a {type(value).__name__}"
