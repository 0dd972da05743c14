"""Named tensors of a publisher's file, taken out one by one until nothing is left over."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.files.reading import aligned
from lefs.records import ArtifactError

__all__ = [
    "Contents",
    "check_grown",
    "embedding",
    "in_colour",
    "progan_config",
    "scaled_from_one",
    "stylegan_config",
]


class Contents:
    """Named tensors, each of which is asked for once, with the number of axes it must have.

    Parameters
    ----------
    tensors : {name: Tensor}
    path : of the file, for error messages
    expected : what the file should be, for error messages, such as ``"a StyleGAN of genforce"``
    """

    def __init__(self, tensors: Mapping[Any, Any], path: Path, expected: str):
        self.path, self.expected = path, expected
        self._left: dict[str, Tensor] = {}
        for name, value in tensors.items():
            if not isinstance(name, str) or not isinstance(value, Tensor):
                kind = type(value).__name__
                raise self.error(f"its entry {name!r} is a {kind} where a named tensor should be")
            self._left[name] = value

    def error(self, problem: str) -> ArtifactError:
        """An `ArtifactError` that says what the file should be and what is wrong."""
        return ArtifactError(f"{self.path} should be {self.expected}, but {problem}")

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def names(self) -> list[str]:
        """What has not been asked for yet."""
        return list(self._left)

    def numbers(self, pattern: str) -> list[int]:
        """The numbers in the first group of `pattern` in names that it matches, ascending, each once."""
        found = (re.match(pattern, name) for name in self._left)
        return sorted({int(m[1]) for m in found if m and len(m[1]) <= 2})

    def take(self, name: str, axes: int) -> Tensor:
        """The tensor called `name`, as float32; it is then no longer there."""
        if name not in self._left:
            raise self.error(f"it lacks the tensor {name!r}")
        tensor = self._left.pop(name)
        if tensor.ndim != axes or not tensor.is_floating_point() or not tensor.numel():
            found = f"{tuple(tensor.shape)}, {tensor.dtype}"
            raise self.error(f"{name!r} should hold floating-point numbers on {axes} axes; found {found}")
        # (large tensors come as views of the file, wherever they lie in it)
        return aligned(tensor).float()

    def drop(self, *patterns: str) -> None:
        """Forget tensors whose whole names match one of the patterns: constants that the code knows."""
        for name in [n for n in self._left if any(re.fullmatch(p, n) for p in patterns)]:
            del self._left[name]

    def finish(self) -> None:
        """Raise an `ArtifactError` if a tensor has not been asked for: the network is another one."""
        if self._left:
            names = ", ".join(repr(n) for n in list(self._left)[:4])
            raise self.error(f"it has {len(self._left)} tensors more than that needs, such as {names}")


def check_grown(source: Contents, name: str) -> None:
    """Take the level of detail `name`; an ArtifactError if the network was still growing."""
    detail = float(source.take(name, 0)) if name in source else 0.0
    if not math.isclose(detail, 0.0, abs_tol=1e-6):
        raise source.error(
            f"it was saved at level of detail {detail:.3g}, while it was still growing toward its "
            "resolution; take a later snapshot"
        )


def embedding(weight: Tensor) -> dict[str, Tensor]:
    """Classes as a StyleGAN embeds them, (classes, z_dim), in the names and with the gain of lefs."""
    return {
        "mapping.embed.weight": weight.t() * math.sqrt(len(weight)),
        "mapping.embed.bias": torch.zeros(weight.shape[1]),
    }


def scaled_from_one(bias: Tensor) -> Tensor:
    """The bias of an affine map (2C,) whose scales are stored without their 1, with it; shifts stay."""
    bias = bias.clone()
    bias[: len(bias) // 2] += 1
    return bias


def in_colour(tensor: Tensor) -> Tensor:
    """Three equal channels of a grey network's one; others as they are: (1, ...) → (3, ...)."""
    return tensor.expand(3, *tensor.shape[1:]).contiguous() if len(tensor) == 1 else tensor


def stylegan_config(tensors: Mapping[str, Tensor], source: Contents, **known: Any) -> dict[str, Any]:
    """What the shapes of tensors in our names say about a StyleGAN; `known` is added.

    Raises
    ------
    ArtifactError
        If the tensors are not those of one.
    """
    depth = len(_matching(tensors, r"mapping\.fc\d+\.weight"))
    if not depth:
        raise source.error("it has no mapping network")
    labels = tensors["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in tensors else 0
    inputs = tensors["mapping.fc0.weight"].shape[1]
    config = {
        **_pyramid(tensors, source),
        "z_dim": inputs // 2 if labels else inputs,
        "w_dim": tensors[f"mapping.fc{depth - 1}.weight"].shape[0],
        "label_dim": labels,
        "mapping_layers": depth,
        "mean": "mapping.w_avg" in tensors,
    }
    return config | {"mapping_width": tensors["mapping.fc0.weight"].shape[0] if depth > 1 else None} | known


def progan_config(tensors: Mapping[str, Tensor], source: Contents, **known: Any) -> dict[str, Any]:
    """What the shapes of tensors in our names say about a ProGAN; `known`, with its label_dim, is added."""
    inputs = tensors["synthesis.b4.conv0.weight"].shape[1]
    return {**_pyramid(tensors, source), "z_dim": inputs - known["label_dim"], **known}


def _pyramid(tensors: Mapping[str, Tensor], source: Contents) -> dict[str, Any]:
    channels = {
        int(name.split(".")[1][1:]): tensors[name].shape[0]
        for name in _matching(tensors, r"synthesis\.b\d+\.conv1\.weight")
    }
    if not channels:
        raise source.error("it has no convolutions")
    images = [int(n.split(".")[1][1:]) for n in _matching(tensors, r"synthesis\.b\d+\.torgb\.weight")]
    return {
        "resolution": max(channels),
        "channels": {str(r): channels[r] for r in sorted(channels)},
        "images": sorted(images),
    }


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return [n for n in names if re.fullmatch(pattern, n)]
