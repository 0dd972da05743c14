"""StyleGAN as lernapparat ported it to PyTorch, and as Editing in Style published its networks from there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.generators.publishers import Parsed
from lefs.generators.publishers.contents import Contents, scaled_from_one, stylegan_config

__all__ = ["matches", "read"]

_CONST = "g_synthesis.blocks.4x4.const"
_FUSED_FROM = 128


def matches(tree: Any) -> bool:
    """Whether `tree` is a state dict with the names of that port, or what its conversion starts from."""
    return (isinstance(tree, Mapping) and _CONST in tree) or _is_intermediate(tree)


def _is_intermediate(tree: Any) -> bool:
    """Whether it is TensorFlow's trained variables of G, D and Gs, as the port's first step writes them."""
    three = isinstance(tree, list | tuple) and len(tree) == 3 and all(isinstance(t, Mapping) for t in tree)
    return three and "G_synthesis/4x4/Const/const" in tree[-1]


def read(tree: Any, path: Path) -> Parsed:
    """Names of the port → ours.

    It keeps neither noise maps nor, in lernapparat's file, the mean w, and adds 1e-5 to variances where
    TensorFlow adds 1e-8. In Editing in Style's the affine maps lie apart and truncation reaches every layer.
    """
    if _is_intermediate(tree):
        return read(_converted(tree[-1]), path)
    source = Contents(tree, path, "a StyleGAN of lernapparat or of Editing in Style")
    source.drop(r".*\.intermediate\.kernel")
    apart = any(name.startswith("g_style.") for name in tree)
    tensors = {}
    for i in source.numbers(r"g_mapping\.dense(\d+)\."):
        tensors[f"mapping.fc{i}.weight"] = source.take(f"g_mapping.dense{i}.weight", 2)
        # (√2 comes after the activation in lefs, before it there)
        tensors[f"mapping.fc{i}.bias"] = source.take(f"g_mapping.dense{i}.bias", 1) / math.sqrt(2)
    if "truncation.avg_latent" in source:
        tensors["mapping.w_avg"] = source.take("truncation.avg_latent", 1)
    sizes = [
        int(m[1]) for m in (re.fullmatch(r"g_synthesis\.blocks\.(\d{1,5})x\1\..*", n) for n in tree) if m
    ]
    for r in sorted(set(sizes)):
        tensors |= _block(source, r, apart)
    last = f"synthesis.b{max(sizes)}.torgb"
    tensors[f"{last}.weight"] = source.take("g_synthesis.torgb.weight", 4)
    tensors[f"{last}.bias"] = source.take("g_synthesis.torgb.bias", 1)
    source.finish()
    settings = {"noise": "drawn", "epsilon": 1e-5, "truncation_cutoff": None if apart else 8}
    config = stylegan_config(tensors, source, **settings)
    return Parsed("stylegan", config, tensors, {"publisher": "Editing in Style" if apart else "lernapparat"})


def _block(source: Contents, resolution: int, apart: bool) -> dict[str, Tensor]:
    there, here = f"g_synthesis.blocks.{resolution}x{resolution}", f"synthesis.b{resolution}"
    if resolution == 4:
        tensors = {f"{here}.conv0.const": source.take(_CONST, 4)[0]}
        tensors[f"{here}.conv0.bias"] = source.take(f"{there}.bias", 1)
    else:
        weight = source.take(f"{there}.conv0_up.weight", 4)
        fused = resolution >= _FUSED_FROM
        tensors = {f"{here}.conv0.weight": weight.flip(2, 3) if fused else weight}
        tensors[f"{here}.conv0.bias"] = source.take(f"{there}.conv0_up.bias", 1)
    second = f"{there}.conv" if resolution == 4 else f"{there}.conv1"
    tensors[f"{here}.conv1.weight"] = source.take(f"{second}.weight", 4)
    tensors[f"{here}.conv1.bias"] = source.take(f"{second}.bias", 1)
    for k in (0, 1):
        epilogue, ours = f"{there}.epi{k + 1}", f"{here}.conv{k}"
        style = f"g_style.style_layers.{resolution}x{resolution}_{k}" if apart else f"{epilogue}.style_mod"
        tensors[f"{ours}.noise_strength"] = source.take(f"{epilogue}.top_epi.noise.weight", 1)
        tensors[f"{ours}.affine.weight"] = source.take(f"{style}.lin.weight", 2)
        tensors[f"{ours}.affine.bias"] = scaled_from_one(source.take(f"{style}.lin.bias", 1))
    return tensors


# -- what the conversion starts from -----------------------------------------------------------------------

_BLOCK = r"G_synthesis/(\d+x\d+)"
_NAMES = (
    (r"G_mapping/Dense(\d+)", r"g_mapping.dense\1"),
    (r"G_synthesis/ToRGB_lod0", r"g_synthesis.torgb"),
    (rf"{_BLOCK}/(?:Const|Conv0_up)/StyleMod", r"g_synthesis.blocks.\1.epi1.style_mod.lin"),
    (rf"{_BLOCK}/(?:Const|Conv0_up)/Noise", r"g_synthesis.blocks.\1.epi1.top_epi.noise"),
    (rf"{_BLOCK}/Conv1?/StyleMod", r"g_synthesis.blocks.\1.epi2.style_mod.lin"),
    (rf"{_BLOCK}/Conv1?/Noise", r"g_synthesis.blocks.\1.epi2.top_epi.noise"),
    (rf"{_BLOCK}/Const", r"g_synthesis.blocks.\1"),
    (rf"{_BLOCK}/Conv0_up", r"g_synthesis.blocks.\1.conv0_up"),
    (rf"{_BLOCK}/Conv(1?)", r"g_synthesis.blocks.\1.conv\2"),
)
_AXES: dict[int, Callable[[Tensor], Tensor]] = {2: lambda w: w.t(), 4: lambda w: w.permute(3, 2, 0, 1)}


def _converted(variables: Mapping[Any, Any]) -> dict[str, Any]:
    """TensorFlow's variables in the names and the order of axes of the port, which has one colour layer."""
    state = dict[str, Any]()
    for name, value in variables.items():
        if re.fullmatch(r"G_synthesis/ToRGB_lod[1-9]\d*/\w+", str(name)):
            continue
        scope, _, own = str(name).rpartition("/")
        new = next((re.sub(old, to, scope) for old, to in _NAMES if re.fullmatch(old, scope)), scope)
        turn = _AXES.get(value.ndim) if isinstance(value, Tensor) and own == "weight" else None
        state[f"{new}.{own}"] = turn(value) if turn else value
    return state
