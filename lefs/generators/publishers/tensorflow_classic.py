"""ProGAN and StyleGAN as the official TensorFlow code names their variables, generators only."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
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

__all__ = ["option", "read_progan", "read_stylegan", "require", "resolutions"]

# From this size on StyleGAN doubles and convolves at once, unless told otherwise.
_FUSED_FROM = 128


def option(source: Contents, settings: Mapping[str, Any], name: str, default: Any, *kinds: type) -> Any:
    """The argument `name`, or the official default; an ArtifactError if it is of another kind."""
    value = settings.get(name, default)
    if value is not None and not isinstance(value, (type(default), *kinds)):
        raise source.error(f"its argument {name} is a {type(value).__name__}")
    return value


def require(source: Contents, settings: Mapping[str, Any], **official: Any) -> None:
    """Raise an ArtifactError if an argument is not as in the official networks, the only ones known here."""
    for name, expected in official.items():
        value = option(source, settings, name, expected)
        if value != expected:
            raise source.error(f"it was built with {name}={value!r}; lefs takes {name}={expected!r}")


def resolutions(source: Contents) -> list[int]:
    """4, 8, ... of the scopes that the variables lie in."""
    scopes = (re.match(r"(\d{1,5})x\1/", name) for name in source.names())
    found = sorted({int(m[1]) for m in scopes if m})
    if found != [4 * 2**i for i in range(len(found))] or not found:
        raise source.error(f"its layers have the resolutions {found}; expected 4, 8, 16, ...")
    return found


# -- ProGAN ------------------------------------------------------------------------------------------------


def read_progan(source: Contents, settings: Mapping[str, Any]) -> Parsed:
    """A ProGAN's variables → ours."""
    require(source, settings, use_wscale=True, use_pixelnorm=True, use_leakyrelu=True, normalize_latents=True)
    require(source, settings, pixelnorm_epsilon=1e-8)
    check_grown(source, "lod")
    sizes = resolutions(source)
    tensors = {
        "synthesis.b4.conv0.weight": source.take("4x4/Dense/weight", 2).t(),
        "synthesis.b4.conv0.bias": source.take("4x4/Dense/bias", 1),
        **_convolution(source, "4x4/Conv", "synthesis.b4.conv1"),
    }
    for r in sizes[1:]:
        there, here = f"{r}x{r}", f"synthesis.b{r}"
        if f"{there}/Conv0_up/weight" in source:  # doubles and convolves at once: outputs before inputs
            weight = source.take(f"{there}/Conv0_up/weight", 4).permute(2, 3, 0, 1).flip(2, 3)
            bias = source.take(f"{there}/Conv0_up/bias", 1)
            tensors |= {f"{here}.conv0.weight": weight, f"{here}.conv0.bias": bias}
        else:
            tensors |= _convolution(source, f"{there}/Conv0", f"{here}.conv0")
        tensors |= _convolution(source, f"{there}/Conv1", f"{here}.conv1")
    tensors |= _images(source, sizes)
    config = progan_config(tensors, source, label_dim=option(source, settings, "label_size", 0))
    return Parsed("progan", config, tensors, {"publisher": "NVIDIA, progressive_growing_of_gans"})


def _convolution(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    weight = source.take(f"{there}/weight", 4).permute(3, 2, 0, 1)
    return {f"{here}.weight": weight, f"{here}.bias": source.take(f"{there}/bias", 1)}


def _images(source: Contents, sizes: Sequence[int]) -> dict[str, Tensor]:
    tensors = dict[str, Tensor]()
    for i, r in enumerate(reversed(sizes)):
        if f"ToRGB_lod{i}/weight" in source:
            layer = _convolution(source, f"ToRGB_lod{i}", f"synthesis.b{r}.torgb")
            tensors |= {name: in_colour(tensor) for name, tensor in layer.items()}
    return tensors


# -- StyleGAN ----------------------------------------------------------------------------------------------


def read_stylegan(source: Contents, settings: Mapping[str, Any]) -> Parsed:
    """A StyleGAN's variables → ours."""
    require(source, settings, use_wscale=True, use_styles=True, const_input_layer=True)
    require(source, settings, use_pixel_norm=False, use_instance_norm=True, normalize_latents=True)
    require(source, settings, nonlinearity="lrelu", mapping_nonlinearity="lrelu")
    check_grown(source, "lod")
    sizes = resolutions(source)
    fused = option(source, settings, "fused_scale", "auto", bool)
    tensors = _mapping(source)
    for r in sizes:
        tensors |= _block(source, r, fused is True or (fused == "auto" and r >= _FUSED_FROM))
    tensors |= _images(source, sizes)
    blur = option(source, settings, "blur_filter", [1, 2, 1], tuple)
    config = stylegan_config(
        tensors,
        source,
        mapping_lr=option(source, settings, "mapping_lrmul", 0.01, int),
        noise="stored" if "synthesis.b4.conv0.noise_const" in tensors else "none",
        # (a cutoff of None turns truncation off there)
        truncation_cutoff=option(source, settings, "truncation_cutoff", 8) or 0,
        blur=list(blur or ()),
    )
    notes = {
        "publisher": "NVIDIA, stylegan",
        "truncation": option(source, settings, "truncation_psi", 0.7, int),
    }
    return Parsed("stylegan", config, tensors, notes)


def _mapping(source: Contents) -> dict[str, Tensor]:
    tensors = {"mapping.w_avg": source.take("dlatent_avg", 1)}
    for i in source.numbers(r"Dense(\d+)/"):
        tensors[f"mapping.fc{i}.weight"] = source.take(f"Dense{i}/weight", 2).t()
        # (√2 comes after the activation in lefs, before it there)
        tensors[f"mapping.fc{i}.bias"] = source.take(f"Dense{i}/bias", 1) / math.sqrt(2)
    if "LabelConcat/weight" in source:
        tensors |= embedding(source.take("LabelConcat/weight", 2))
    return tensors


def _block(source: Contents, resolution: int, fused: bool) -> dict[str, Tensor]:
    scope, here = f"{resolution}x{resolution}", f"synthesis.b{resolution}"
    first, second = ("Const", "Conv") if resolution == 4 else ("Conv0_up", "Conv1")
    tensors = _convolution(source, f"{scope}/{second}", f"{here}.conv1")
    if resolution == 4:
        tensors[f"{here}.conv0.const"] = source.take(f"{scope}/Const/const", 4)[0]
        tensors[f"{here}.conv0.bias"] = source.take(f"{scope}/Const/bias", 1)
    else:
        tensors |= _convolution(source, f"{scope}/{first}", f"{here}.conv0")
        if fused:
            tensors[f"{here}.conv0.weight"] = tensors[f"{here}.conv0.weight"].flip(2, 3)
    index = 2 * (resolution.bit_length() - 3)
    for k, layer in enumerate((first, second)):
        tensors |= _epilogue(source, f"{scope}/{layer}", f"{here}.conv{k}", f"noise{index + k}")
    return tensors


def _epilogue(source: Contents, there: str, here: str, noise: str) -> dict[str, Tensor]:
    tensors = {
        f"{here}.affine.weight": source.take(f"{there}/StyleMod/weight", 2).t(),
        f"{here}.affine.bias": scaled_from_one(source.take(f"{there}/StyleMod/bias", 1)),
    }
    if noise not in source:
        return tensors
    tensors[f"{here}.noise_const"] = source.take(noise, 4)[0, 0]
    tensors[f"{here}.noise_strength"] = source.take(f"{there}/Noise/weight", 1)
    return tensors
