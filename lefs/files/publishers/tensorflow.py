"""The official TensorFlow pickles of ProGAN, StyleGAN, StyleGAN2 and StyleGAN2-ADA: (G, D, Gs).

A network is stored as its variables, the arguments of the function that built it, and that function's source,
which is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.files.publishers import Parsed
from lefs.files.publishers.persistence import check_plain
from lefs.files.publishers.state_dict import StateDict
from lefs.files.publishers.tensorflow_layouts import READERS
from lefs.files.publishers.unknown import DISCRIMINATOR
from lefs.files.reading import Instance
from lefs.records import ArtifactError

__all__ = ["matches", "read"]

_MODULES = ("dnnlib.tflib.network", "tfutil", "network")


def matches(tree: Any) -> bool:
    """Whether `tree` is, or directly holds, a network of that code."""
    return any(True for _ in _networks(tree))


def _networks(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    for value in tree if isinstance(tree, tuple | list) else (tree,):
        named = isinstance(value, Instance) and value.name == "Network" and value.module in _MODULES
        if named and isinstance(value.state, Mapping):
            yield value.state


def read(tree: Any, path: Path) -> Parsed:
    """The last generator of the file, which is Gs, the average over the training."""
    found = list(_networks(tree))
    if any("version" not in network for network in found):
        raise ArtifactError(
            f"{path} was written by the Theano version of ProGAN; load and save it with the TensorFlow "
            "version, or take the file published for that"
        )
    names = [str(network.get("build_func_name")) for network in found]
    known = [i for i, name in enumerate(names) if name in READERS]
    if names and all(name.startswith("D_") for name in names):
        raise ArtifactError(f"{path} holds {DISCRIMINATOR}")
    if not known:
        raise ArtifactError(
            f"{path} holds networks built by {', '.join(names)}; lefs takes a generator built by "
            f"{', '.join(READERS)}"
        )
    network, name = found[known[-1]], names[known[-1]]
    check_plain(network, path, "generator")
    source = StateDict(_variables(network, path), path, f"a TensorFlow network built by {name}")
    return READERS[name](source, _settings(network))


def _settings(network: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the function that built the network; those left at their defaults are not among them."""
    stored = network.get("static_kwargs")
    return {str(k): v for k, v in stored.items()} if isinstance(stored, Mapping) else {}


def _variables(network: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The network's variables and those of its parts, whose names do not clash but for ``lod``."""
    found: dict[str, Tensor] = {}
    parts = network.get("components")
    inside = list(_networks(parts)) if isinstance(parts, Mapping) else []
    for content in (*inside, network):
        pairs = content.get("variables")
        if not isinstance(pairs, list | tuple) or not all(_is_pair(pair) for pair in pairs):
            raise ArtifactError(f"{path} holds a network whose variables are not pairs of names and arrays")
        # (a variable without axes comes as a number)
        found |= {n: v if isinstance(v, Tensor) else torch.tensor(float(v)) for n, v in pairs}
    return found


def _is_pair(pair: Any) -> bool:
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
        return False
    return isinstance(pair[1], Tensor | int | float)
