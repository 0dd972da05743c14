"""StyleGAN of style-based-gan-pytorch (rosinality): ``.model``, bare or a training checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.files.publishers import Parsed, changes
from lefs.files.publishers.shapes import stylegan_config
from lefs.files.publishers.state_dict import Parts, StateDict, Table, find_state

__all__ = ["matches", "read"]

_CONST = "generator.progression.0.conv1.input"


def matches(tree: Any) -> bool:
    """Whether `tree` holds a generator whose constant is called as there."""
    return find_state(tree, _CONST) is not None


def _louder(weight: Tensor, name: str) -> Tensor:
    """Every gain there is √2; ours is 1 where no activation follows."""
    return weight * math.sqrt(2)


def _spread(weight: Tensor, name: str) -> Tensor:
    """A transposed convolution; its kernel is spread by averaging, not adding."""
    return weight.transpose(0, 1).flip(2, 3) / 4


def _strength(noise: Tensor, name: str) -> Tensor:
    return noise.flatten() * math.sqrt(2 / noise.shape[1])


def _layer(number: str, part: str) -> str:
    return changes.at(f"conv{int(part) - 1}")(number)


_LEVEL = r"generator\.progression\.(\d\d?)"
_LINEAR: Parts = {".weight_orig": (".affine.weight", 2, _louder), ".bias": (".affine.bias", 1)}
_PLAIN: Parts = {".weight_orig": (".weight", 4), ".bias": (".bias", 1)}
_UP: Parts = {".weight": (".weight", 4, _spread), ".bias": (".bias", 1)}
_COLORS: Parts = {".weight_orig": (".weight", 4, _louder), ".bias": (".bias", 1)}
_DENSE: Parts = {".weight_orig": (".weight", 2), ".bias": (".bias", 1, changes.over_root_two)}
_TABLE: Table = (
    # a pixel norm, then linear layers and activations in turn
    (r"style\.(\d\d?)\.linear", lambda i: f"mapping.fc{(int(i) - 1) // 2}", _DENSE),
    (rf"{_LEVEL}\.conv1", changes.at("conv0"), {".input": (".const", 4, changes.single)}),
    (rf"{_LEVEL}\.conv1\.0", changes.at("conv0"), _UP),
    (rf"{_LEVEL}\.conv1\.1\.conv", changes.at("conv0"), _PLAIN),
    (rf"{_LEVEL}\.conv2\.conv", changes.at("conv1"), _PLAIN),
    (rf"{_LEVEL}\.noise([12])", _layer, {".weight_orig": (".noise_strength", 4, _strength)}),
    (rf"{_LEVEL}\.adain([12])\.style\.linear", _layer, _LINEAR),
    (r"generator\.to_rgb\.(\d\d?)\.conv", changes.at("torgb"), _COLORS),
)


def read(tree: Any, path: Path) -> Parsed:
    """The running average of a checkpoint, up to the resolution that it was trained to.

    The file always holds the layers of 1024 × 1024. Those never trained have a color bias of exactly zero,
    which tells the resolution; a network without any training counts as 1024.
    """
    _, state = find_state(tree, _CONST) or ("", {})
    source = StateDict(state, path, "a StyleGAN of style-based-gan-pytorch")
    tensors = source.translate(_TABLE, r".*\.weight_flip", r".*conv1\.[12]\.weight")  # (the blur)
    tensors["synthesis.b4.conv0.bias"] = torch.zeros(len(tensors["synthesis.b4.conv0.const"]))
    trained = [_size(k) for k, v in tensors.items() if k.endswith("torgb.bias") and bool(v.any())]
    last = max(trained, default=max(map(_size, tensors)))
    tensors = {k: v for k, v in tensors.items() if _size(k) <= last}
    settings = {"mapping_lr": 1.0, "noise": "shared", "epsilon": 1e-5, "blurred_bias": True}
    config = stylegan_config(tensors, source, truncation_cutoff=None, **settings)
    return Parsed("stylegan", config, tensors, {"publisher": "rosinality style-based-gan-pytorch"})


def _size(name: str) -> int:
    return changes.side_of(name) if name.startswith("synthesis.") else 0
