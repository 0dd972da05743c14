"""StyleGAN of style-based-gan-pytorch (rosinality): ``.model``, bare or a training checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.artifacts import ArtifactError
from lefs.generators.discriminator import Discriminator
from lefs.generators.publishers import Parsed
from lefs.generators.publishers.contents import Contents, stylegan_config
from lefs.generators.publishers.stylegan2_shapes import build_classic_discriminator
from lefs.generators.unpickle import read_torch

__all__ = ["matches", "read", "read_discriminator"]

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
    judge = partial(read_discriminator, path, last) if _plain(tree.get("discriminator")) else None
    notes = {"publisher": "rosinality style-based-gan-pytorch"}
    return Parsed("stylegan", config, tensors, notes, judge)


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


# -- discriminator -----------------------------------------------------------------------------------------


def read_discriminator(path: Path, resolution: int) -> Discriminator:
    """Read the discriminator of a training checkpoint, from the level on that takes images of `resolution`.

    Raises
    ------
    ArtifactError
        If it is not as this repository makes it, or the file has changed.
    """
    tree = read_torch(path)
    state = _plain(tree.get("discriminator") if isinstance(tree, Mapping) else None)
    if not state:
        raise ArtifactError(f"{path} no longer holds a discriminator; it has changed since it was loaded")
    source = Contents(state, path, "with its discriminator a StyleGAN of style-based-gan-pytorch")
    source.drop(r".*\.weight_flip", r".*conv2\.0\.weight")  # (the blur)
    levels = source.numbers(r"progression\.(\d+)\.")
    sizes = {i: 4 * 2 ** (len(levels) - 1 - i) for i in levels}
    first = next((i for i, size in sizes.items() if size == resolution), None)
    if first is None:
        raise source.error(f"its levels take images of {sorted(sizes.values())} pixels, not of {resolution}")
    tensors, activated = _colours(source, first, f"b{resolution}.fromrgb")
    for i in levels[first:-1]:
        tensors |= _halving(source, f"progression.{i}", f"b{sizes[i]}")
    tensors |= _end(source, f"progression.{levels[-1]}")
    # (of larger images, and the colours of smaller ones)
    source.drop(r"from_rgb\..*", *(rf"progression\.{i}\..*" for i in levels[:first]))
    source.finish()
    act = None if activated else "linear"
    return build_classic_discriminator(tensors, path, blur=(1, 2, 1), group=None, colour_activation=act)


def _colours(source: Contents, level: int, here: str) -> tuple[dict[str, Tensor], bool]:
    """The layer that takes colours, and whether an activation follows it."""
    activated = f"from_rgb.{level}.0.conv.bias" in source
    there = f"from_rgb.{level}.0.conv" if activated else f"from_rgb.{level}.conv"
    # Every gain there is √2, and so is ours after an activation; a linear layer has none.
    weight = source.take(f"{there}.weight_orig", 4) * (1 if activated else math.sqrt(2))
    bias = source.take(f"{there}.bias", 1) * (1 if activated else math.sqrt(2))
    return {f"{here}.weight": weight, f"{here}.bias": bias}, activated


def _halving(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    fused = f"{there}.conv2.1.weight"  # (in one step: the same function)
    plain = f"{there}.conv2.1" if fused in source else f"{there}.conv2.1.conv"
    return {
        f"{here}.conv0.weight": source.take(f"{there}.conv1.0.conv.weight_orig", 4),
        f"{here}.conv0.bias": source.take(f"{there}.conv1.0.conv.bias", 1),
        f"{here}.conv1.weight": source.take(fused if fused in source else f"{plain}.weight_orig", 4),
        f"{here}.conv1.bias": source.take(f"{plain}.bias", 1),
    }


def _end(source: Contents, there: str) -> dict[str, Tensor]:
    return {
        "b4.conv.weight": source.take(f"{there}.conv1.0.conv.weight_orig", 4),
        "b4.conv.bias": source.take(f"{there}.conv1.0.conv.bias", 1),
        # A kernel as large as the map.
        "b4.fc.weight": source.take(f"{there}.conv2.0.conv.weight_orig", 4).flatten(1),
        "b4.fc.bias": source.take(f"{there}.conv2.0.conv.bias", 1),
        "b4.out.weight": source.take("linear.linear.weight_orig", 2) * math.sqrt(2),
        "b4.out.bias": source.take("linear.linear.bias", 1),
    }
