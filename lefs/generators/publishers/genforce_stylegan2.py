"""StyleGAN2 as genforce names its tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.generators.publishers import Parsed
from lefs.generators.publishers.contents import Contents
from lefs.generators.publishers.stylegan2_shapes import stylegan2_config

__all__ = ["is_stylegan2", "read_stylegan2"]


def is_stylegan2(state: Mapping[str, Any]) -> bool:
    """Whether `state` is a StyleGAN2's."""
    return "synthesis.early_layer.const" in state and "synthesis.layer0.style.weight" in state


def read_stylegan2(state: Mapping[str, Any], path: Path) -> Parsed:
    """A StyleGAN2's state → ours. Truncation there pulls all w unless told otherwise."""
    source = Contents(state, path, "a StyleGAN2 of genforce")
    source.drop(r".*\.kernel")  # (always [1, 3, 3, 1])
    tensors = _mapping(source)
    tensors["synthesis.b4.const"] = source.take("synthesis.early_layer.const", 4)[0]
    for k in source.numbers(r"synthesis\.layer(\d+)\."):
        name = "conv1" if k == 0 else f"conv{(k - 1) % 2}"
        tensors |= _layer(source, f"synthesis.layer{k}", f"synthesis.b{4 * 2 ** ((k + 1) // 2)}.{name}")
    for k in source.numbers(r"synthesis\.output(\d+)\."):
        tensors |= _layer(source, f"synthesis.output{k}", f"synthesis.b{4 * 2**k}.torgb")
    source.finish()
    config = stylegan2_config(tensors, source, normalize="joint")
    return Parsed("stylegan2", config, tensors, {"publisher": "genforce"})


def _mapping(source: Contents) -> dict[str, Tensor]:
    tensors = {"mapping.w_avg": source.take("truncation.w_avg", 1)}
    for i in source.numbers(r"mapping\.dense(\d+)\."):
        tensors[f"mapping.fc{i}.weight"] = source.take(f"mapping.dense{i}.weight", 2)
        tensors[f"mapping.fc{i}.bias"] = source.take(f"mapping.dense{i}.bias", 1)
    if "mapping.label_weight" in source:
        embed = source.take("mapping.label_weight", 2)
        tensors["mapping.embed.weight"] = embed.t() * math.sqrt(len(embed))
        tensors["mapping.embed.bias"] = torch.zeros(embed.shape[1])
    return tensors


def _layer(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    weight = source.take(f"{there}.weight", 4)
    tensors = {
        # (the kernel of an enlarging convolution is turned around when it is used there, not when stored)
        f"{here}.weight": weight.flip(2, 3) if here.endswith("conv0") else weight,
        f"{here}.bias": source.take(f"{there}.bias", 1),
        f"{here}.affine.weight": source.take(f"{there}.style.weight", 2),
        f"{here}.affine.bias": source.take(f"{there}.style.bias", 1) + 1,
    }
    if f"{there}.noise" not in source:
        return tensors
    noise = source.take(f"{there}.noise", 4)
    if noise.shape[:2] != (1, 1):
        raise source.error(f"the noise of {there!r} has shape {tuple(noise.shape)}; one map is expected")
    strength = source.take(f"{there}.noise_strength", 0)
    return tensors | {f"{here}.noise_const": noise[0, 0], f"{here}.noise_strength": strength}
