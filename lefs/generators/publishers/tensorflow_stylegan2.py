"""StyleGAN2 and StyleGAN2-ADA as the official TensorFlow code names their variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lefs.generators.publishers import Parsed
from lefs.generators.publishers.contents import Contents, check_grown, embedding
from lefs.generators.publishers.stylegan2_shapes import stylegan2_config
from lefs.generators.publishers.tensorflow_classic import option, require, resolutions

__all__ = ["read_stylegan2"]


def read_stylegan2(source: Contents, settings: Mapping[str, Any]) -> Parsed:
    """A StyleGAN2's variables → ours; also those of the revised StyleGAN of its configurations B to D."""
    require(source, settings, use_wscale=True)
    check_grown(source, "lod")
    sizes = resolutions(source)
    ada = "LabelEmbed/weight" in source
    tensors = _mapping(source)
    for r in sizes:
        tensors |= _block(source, r)
    if "ToRGB_lod0/weight" in source:
        tensors |= _modulated(source, "ToRGB_lod0", f"synthesis.b{sizes[-1]}.torgb")
        # (images of the resolutions that it grew through)
        source.drop(r"ToRGB_lod\d+/.*")
    taps = option(source, settings, "resample_kernel", [1, 3, 3, 1], tuple)
    act = option(source, settings, "mapping_nonlinearity", "lrelu")
    config = stylegan2_config(
        tensors,
        source,
        mapping_lr=option(source, settings, "mapping_lrmul", 0.01, int),
        mapping_activation=act,
        activation=option(source, settings, "nonlinearity", "lrelu"),
        normalize=_normalization(source, settings, ada),
        truncation_cutoff=option(source, settings, "truncation_cutoff", None, int),
        filter=list(taps or (1, 1)),
        conv_clamp=option(source, settings, "conv_clamp", None, int, float),
    )
    psi = option(source, settings, "truncation_psi", 0.5, int)
    return Parsed("stylegan2", config, tensors, {"publisher": "NVIDIA, stylegan2", "truncation": psi})


def _normalization(source: Contents, settings: Mapping[str, Any], ada: bool) -> str:
    if option(source, settings, "normalize_latents", True):
        return "each" if ada else "joint"
    if ada:
        raise source.error("it normalises its classes but not its latents, which lefs does not do")
    return "no"


def _mapping(source: Contents) -> dict[str, Tensor]:
    tensors = {"mapping.w_avg": source.take("dlatent_avg", 1)}
    for i in source.numbers(r"Dense(\d+)/"):
        tensors |= _dense(source, f"Dense{i}", f"mapping.fc{i}")
    if "LabelConcat/weight" in source:
        tensors |= embedding(source.take("LabelConcat/weight", 2))
    if "LabelEmbed/weight" in source:
        tensors |= _dense(source, "LabelEmbed", "mapping.embed")
    return tensors


def _dense(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    weight = source.take(f"{there}/weight", 2).t()
    return {f"{here}.weight": weight, f"{here}.bias": source.take(f"{there}/bias", 1)}


def _block(source: Contents, resolution: int) -> dict[str, Tensor]:
    scope, here = f"{resolution}x{resolution}", f"synthesis.b{resolution}"
    index = 2 * resolution.bit_length() - 6  # of the noise of the layer that doubles; there is none at 4 × 4
    if resolution == 4:
        tensors = {f"{here}.const": source.take(f"{scope}/Const/const", 4)[0]}
        tensors |= _convolution(source, f"{scope}/Conv", f"{here}.conv1", "noise0")
    else:
        tensors = _convolution(source, f"{scope}/Conv0_up", f"{here}.conv0", f"noise{index - 1}")
        tensors |= _convolution(source, f"{scope}/Conv1", f"{here}.conv1", f"noise{index}")
    if f"{scope}/Skip/weight" in source:
        tensors[f"{here}.skip.weight"] = source.take(f"{scope}/Skip/weight", 4).permute(3, 2, 0, 1)
    if f"{scope}/ToRGB/weight" in source:
        tensors |= _modulated(source, f"{scope}/ToRGB", f"{here}.torgb")
    return tensors


def _convolution(source: Contents, there: str, here: str, noise: str) -> dict[str, Tensor]:
    tensors = _modulated(source, there, here)
    if here.endswith("conv0"):
        # (the kernel of an enlarging convolution is turned around when it is used there, not when stored)
        tensors[f"{here}.weight"] = tensors[f"{here}.weight"].flip(2, 3)
    if noise in source:
        tensors[f"{here}.noise_const"] = source.take(noise, 4)[0, 0]
        tensors[f"{here}.noise_strength"] = source.take(f"{there}/noise_strength", 0)
    return tensors


def _modulated(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    return {
        f"{here}.weight": source.take(f"{there}/weight", 4).permute(3, 2, 0, 1),
        f"{here}.bias": source.take(f"{there}/bias", 1),
        f"{here}.affine.weight": source.take(f"{there}/mod_weight", 2).t(),
        f"{here}.affine.bias": source.take(f"{there}/mod_bias", 1) + 1,
    }
