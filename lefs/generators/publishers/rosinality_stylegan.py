"""StyleGAN of style-based-gan-pytorch (rosinality): ``.model``, bare or a training checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.generators.publishers import Parsed
from lefs.generators.publishers.contents import Contents, stylegan_config

__all__ = ["matches", "read"]

_CONST = "generator.progression.0.conv1.input"


def matches(tree: Any) -> bool:
    """Whether `tree` holds a generator whose constant is called as there."""
    return _state(tree) is not None


def _state(tree: Any) -> Mapping[str, Any] | None:
    if not isinstance(tree, Mapping):
        return None
    for content in (tree.get("g_running"), tree.get("generator"), tree):
        plain = _plain(content)
        if _CONST in plain:
            return plain
    return None


def _plain(content: Any) -> dict[str, Any]:
    # DataParallel puts "module." before every name.
    inside = content if isinstance(content, Mapping) else {}
    return {str(k).removeprefix("module."): v for k, v in inside.items()}


def read(tree: Any, path: Path) -> Parsed:
    """The running average of a checkpoint, up to the resolution that it was trained to.

    The file always holds the layers of 1024 × 1024. Those never trained have a colour bias of exactly zero,
    which tells the resolution; a network without any training counts as 1024.
    """
    source = Contents(_state(tree) or {}, path, "a StyleGAN of style-based-gan-pytorch")
    source.drop(r".*\.weight_flip", r".*conv1\.[12]\.weight")  # (the blur)
    tensors = _mapping(source)
    blocks = source.numbers(r"generator\.progression\.(\d+)\.")
    for i in blocks:
        tensors |= _block(source, i)
    source.finish()
    last = _trained(tensors, [4 * 2**i for i in blocks])
    tensors = {k: v for k, v in tensors.items() if _resolution(k) <= last}
    settings = {"mapping_lr": 1.0, "noise": "shared", "epsilon": 1e-5, "blurred_bias": True}
    config = stylegan_config(tensors, source, truncation_cutoff=None, **settings)
    notes = {"publisher": "rosinality style-based-gan-pytorch"}
    return Parsed("stylegan", config, tensors, notes)


def _mapping(source: Contents) -> dict[str, Tensor]:
    # A pixel norm, then linear layers and activations in turn.
    tensors = {}
    for k, i in enumerate(source.numbers(r"style\.(\d+)\.linear")):
        for part, axes in (("weight_orig", 2), ("bias", 1)):
            name = f"mapping.fc{k}.{part.removesuffix('_orig')}"
            tensors[name] = source.take(f"style.{i}.linear.{part}", axes)
        # (√2 comes after the activation in lefs, before it there)
        tensors[f"mapping.fc{k}.bias"] = tensors[f"mapping.fc{k}.bias"] / math.sqrt(2)
    return tensors


def _block(source: Contents, i: int) -> dict[str, Tensor]:
    there, here = f"generator.progression.{i}", f"synthesis.b{4 * 2**i}"
    tensors = {}
    if i == 0:
        tensors[f"{here}.conv0.const"] = source.take(_CONST, 4)[0]
        channels = tensors[f"{here}.conv0.const"].shape[0]
        tensors[f"{here}.conv0.bias"] = torch.zeros(channels)
    else:
        tensors |= _doubling(source, f"{there}.conv1", f"{here}.conv0")
    tensors[f"{here}.conv1.weight"] = source.take(f"{there}.conv2.conv.weight_orig", 4)
    tensors[f"{here}.conv1.bias"] = source.take(f"{there}.conv2.conv.bias", 1)
    for k in (1, 2):
        tensors |= _epilogue(source, f"{there}.{{}}{k}", f"{here}.conv{k - 1}")
    # Every gain there is √2; ours is 1 where no activation follows.
    to_rgb = source.take(f"generator.to_rgb.{i}.conv.weight_orig", 4)
    tensors[f"{here}.torgb.weight"] = to_rgb * math.sqrt(2)
    tensors[f"{here}.torgb.bias"] = source.take(f"generator.to_rgb.{i}.conv.bias", 1)
    return tensors


def _doubling(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    if f"{there}.0.weight" in source:  # transposed convolution; its kernel spread by averaging, not adding
        weight = source.take(f"{there}.0.weight", 4).transpose(0, 1).flip(2, 3) / 4
        return {f"{here}.weight": weight, f"{here}.bias": source.take(f"{there}.0.bias", 1)}
    return {
        f"{here}.weight": source.take(f"{there}.1.conv.weight_orig", 4),
        f"{here}.bias": source.take(f"{there}.1.conv.bias", 1),
    }


def _epilogue(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    noise = source.take(f"{there.format('noise')}.weight_orig", 4)
    style = f"{there.format('adain')}.style.linear"
    return {
        f"{here}.noise_strength": noise.flatten() * math.sqrt(2 / noise.shape[1]),
        f"{here}.affine.weight": source.take(f"{style}.weight_orig", 2) * math.sqrt(2),
        f"{here}.affine.bias": source.take(f"{style}.bias", 1),
    }


def _trained(tensors: Mapping[str, Tensor], resolutions: list[int]) -> int:
    trained = [r for r in resolutions if bool(tensors[f"synthesis.b{r}.torgb.bias"].any())]
    return max(trained, default=max(resolutions))


def _resolution(name: str) -> int:
    return int(name.split(".")[1][1:]) if name.startswith("synthesis.") else 0
