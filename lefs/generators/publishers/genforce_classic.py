"""StyleGAN and ProGAN as genforce names their tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.generators.publishers import Parsed
from lefs.generators.publishers.contents import (
    Contents,
    check_grown,
    embedding,
    in_colour,
    progan_config,
    scaled_from_one,
    stylegan_config,
)

__all__ = [
    "is_progan",
    "is_stylegan",
    "read_progan",
    "read_stylegan",
]

# From this size on StyleGAN's doubling is a transposed convolution, whose kernel is stored unflipped.
_FUSED_FROM = 128
_LATENT = 512
_PUBLISHER = {"publisher": "genforce"}


def is_stylegan(state: Mapping[str, Any]) -> bool:
    """Whether `state` is a StyleGAN's."""
    return "synthesis.layer0.const" in state and "synthesis.layer0.apply_noise.weight" in state


def is_progan(state: Mapping[str, Any]) -> bool:
    """Whether `state` is the generator of a ProGAN."""
    return "layer0.weight" in state and "output0.weight" in state and "layer1.weight" in state


def read_stylegan(state: Mapping[str, Any], path: Path) -> Parsed:
    """A StyleGAN's state → ours."""
    source = Contents(state, path, "a StyleGAN of genforce")
    check_grown(source, "synthesis.lod")
    source.drop(r".*\.blur\.kernel")
    tensors = {}
    for i in source.numbers(r"mapping\.dense(\d+)\."):
        tensors[f"mapping.fc{i}.weight"] = source.take(f"mapping.dense{i}.weight", 2)
        # (√2 comes after the activation in lefs, before it there)
        tensors[f"mapping.fc{i}.bias"] = source.take(f"mapping.dense{i}.bias", 1) / math.sqrt(2)
    if "mapping.label_weight" in source:
        tensors |= embedding(source.take("mapping.label_weight", 2))
    tensors["mapping.w_avg"] = source.take("truncation.w_avg", 1)
    for k in source.numbers(r"synthesis\.layer(\d+)\."):
        tensors |= _layer(source, k)
    tensors |= _images(source, "synthesis.")
    source.finish()
    return Parsed("stylegan", stylegan_config(tensors, source), tensors, {**_PUBLISHER, "truncation": 0.7})


def _layer(source: Contents, k: int) -> dict[str, Tensor]:
    there, resolution = f"synthesis.layer{k}", 4 * 2 ** (k // 2)
    here = f"synthesis.b{resolution}.conv{k % 2}"
    tensors = {f"{here}.bias": source.take(f"{there}.bias", 1)}
    if k == 0:
        tensors[f"{here}.const"] = source.take(f"{there}.const", 4)[0]
    else:
        weight = source.take(f"{there}.weight", 4)
        fused = k % 2 == 0 and resolution >= _FUSED_FROM
        tensors[f"{here}.weight"] = weight.flip(2, 3) if fused else weight
    noise = source.take(f"{there}.apply_noise.noise", 4)
    if noise.shape[:2] != (1, 1):
        raise source.error(f"the noise of {there!r} has shape {tuple(noise.shape)}; one map is expected")
    tensors[f"{here}.noise_const"] = noise[0, 0]
    tensors[f"{here}.noise_strength"] = source.take(f"{there}.apply_noise.weight", 1)
    tensors[f"{here}.affine.weight"] = source.take(f"{there}.style.weight", 2)
    tensors[f"{here}.affine.bias"] = scaled_from_one(source.take(f"{there}.style.bias", 1))
    return tensors


def read_progan(state: Mapping[str, Any], path: Path) -> Parsed:
    """A ProGAN's state → ours. What it takes beyond 512 numbers, genforce's latent, are classes."""
    source = Contents(state, path, "a ProGAN of genforce")
    check_grown(source, "lod")
    tensors = {}
    fused = _is_fused(state)
    for k in source.numbers(r"layer(\d+)\."):
        here = f"synthesis.b{4 * 2 ** (k // 2)}.conv{k % 2}"
        weight = source.take(f"layer{k}.weight", 4)
        tensors[f"{here}.bias"] = source.take(f"layer{k}.bias", 1)
        if k == 0:  # a convolution over one pixel with a rim of three
            weight = weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)
        elif k % 2 == 0 and fused:
            weight = weight.transpose(0, 1).flip(2, 3)  # a transposed convolution
        tensors[f"{here}.weight"] = weight
    tensors |= _images(source, "")
    source.finish()
    if "synthesis.b4.conv0.weight" not in tensors:
        raise source.error("its first layer is missing")
    classes = max(0, tensors["synthesis.b4.conv0.weight"].shape[1] - _LATENT)
    config = progan_config(tensors, source, label_dim=classes, normalize_z=True)
    return Parsed("progan", config, tensors, _PUBLISHER)


def _is_fused(state: Mapping[str, Any]) -> bool:
    """Whether a ProGAN's layers double and convolve at once: their kernels then have inputs before outputs.

    Layers with as many outputs as inputs do not tell, but all are of a kind.
    """
    pairs = ((state.get(f"layer{k}.weight"), state.get(f"layer{k}.bias")) for k in range(2, 20, 2))
    return any(isinstance(w, Tensor) and isinstance(b, Tensor) and len(w) != len(b) for w, b in pairs)


def _images(source: Contents, there: str) -> dict[str, Tensor]:
    tensors = {}
    for b in source.numbers(rf"{there}output(\d+)\."):
        here = f"synthesis.b{4 * 2**b}.torgb"
        tensors[f"{here}.weight"] = in_colour(source.take(f"{there}output{b}.weight", 4))
        tensors[f"{here}.bias"] = in_colour(source.take(f"{there}output{b}.bias", 1))
    return tensors
