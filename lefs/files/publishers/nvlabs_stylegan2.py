"""StyleGAN2 of stylegan2-ada-pytorch, and of stylegan3's repository: persistence pickles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any

from lefs.files.publishers import Parsed
from lefs.files.publishers.persistence import Kinds, Module, generator_of, inside
from lefs.files.publishers.shapes import common_filter
from lefs.files.publishers.state_dict import StateDict
from lefs.models.layers import ACTIVATIONS

__all__ = ["check_linear", "matches", "read", "read_mapping"]

_DENSE = {"affine": "FullyConnectedLayer"}
_LAYERS = {"conv[01]": "SynthesisLayer", "torgb": "ToRGBLayer", "skip": "Conv2dLayer"}
_NOISE = ("noise_const", "noise_strength")
_KINDS: Kinds = {
    "Generator": ({"mapping": "MappingNetwork", "synthesis": "SynthesisNetwork"}, ()),
    "MappingNetwork": ({r"fc\d+|embed": "FullyConnectedLayer"}, ("w_avg",)),
    "FullyConnectedLayer": ({}, ("weight", "bias")),
    "SynthesisNetwork": ({r"b\d+": "SynthesisBlock"}, ()),
    "SynthesisBlock": (_LAYERS, ("const", "resample_filter")),
    "SynthesisLayer": (_DENSE, ("weight", "bias", "resample_filter", *_NOISE)),
    "ToRGBLayer": (_DENSE, ("weight", "bias")),
    "Conv2dLayer": ({}, ("weight", "resample_filter")),
}


def matches(tree: Any) -> bool:
    """Whether the file's generator has StyleGAN2's synthesis network."""
    return inside(tree, "synthesis", "b4") is not None


def read(tree: Any, path: Path) -> Parsed:
    """The generator, the averaged one if there is one. Its tensors have our names."""
    network = generator_of(tree, path, "Generator")
    network.check_parts(_KINDS)
    state = network.state_dict()
    filters = {name: state.pop(name) for name in [*state] if name.endswith("resample_filter")}
    # (those of conv1 and skip are not used, or are the block's)
    taps = common_filter(StateDict(filters, path, "a StyleGAN2"), r"synthesis\.b\d+\.(conv0\.)?\w+")
    mapping, synthesis = network.child("mapping"), network.child("synthesis")
    config = read_mapping(mapping) | _synthesis(synthesis) | {"filter": taps}
    notes = {"publisher": "NVIDIA, stylegan2-ada-pytorch or stylegan3", "network": network.where}
    return Parsed("stylegan2", config, state, notes)


def read_mapping(mapping: Module) -> dict[str, Any]:
    """What StyleGAN2's or StyleGAN3's mapping network says of the configuration."""
    mapping.check_class("MappingNetwork")
    depth, labels = mapping.get("num_layers", int), mapping.get("c_dim", int)
    if not 1 <= depth <= 64:
        raise mapping.error(f"has num_layers = {depth}; expected 1 to 64")
    layers = [mapping.child(f"fc{i}") for i in range(depth)]
    if labels:
        check_linear(mapping.child("embed"))
    return {
        "z_dim": mapping.get("z_dim", int),
        "w_dim": mapping.get("w_dim", int),
        "label_dim": labels,
        "mapping_layers": depth,
        "mapping_lr": _common(mapping, "learning-rate multipliers", map(_rate, layers)),
        "mapping_activation": _common(mapping, "activations", (la.get("activation", str) for la in layers)),
        "mapping_width": len(layers[0].tensor("weight")) if depth > 1 else None,
        "embed_dim": len(mapping.child("embed").tensor("weight")) if labels else None,
        "average": "w_avg" in mapping.tensors,
    }


def _rate(layer: Module) -> float:
    """The learning-rate multiplier of a fully connected layer."""
    weight = layer.check_class("FullyConnectedLayer").tensor("weight", axes=2)
    rate, gain = layer.get("bias_gain", float), layer.get("weight_gain", float)
    if not math.isclose(gain * math.sqrt(max(weight.shape[1], 1)), rate, rel_tol=1e-4):
        raise layer.error(f"scales its weight by {gain:g}; expected {rate:g} / √{weight.shape[1]}")
    return float(rate)


def check_linear(layer: Module) -> None:
    """Raise an `ArtifactError` unless a fully connected layer is plainly linear, as those of styles are."""
    if layer.get("activation", str) != "linear" or layer.get("bias_gain", float) != 1:
        raise layer.error("should be linear with a learning-rate multiplier of 1")
    _rate(layer)


def _synthesis(synthesis: Module) -> dict[str, Any]:
    resolution = synthesis.get("img_resolution", int)
    if not 4 <= resolution <= 2**14 or resolution & (resolution - 1):
        raise synthesis.error(f"makes images of {resolution} pixels; expected a power of two from 4 on")
    blocks = {2**k: synthesis.child(f"b{2**k}") for k in range(2, resolution.bit_length())}
    layers = [layer for block in blocks.values() for layer in block.children.values()]
    styled = [layer for layer in layers if layer.name != "Conv2dLayer"]
    convolutions = [layer for layer in styled if layer.name == "SynthesisLayer"]
    weights = (layer.tensor("weight", axes=4) for layer in convolutions)
    for layer in layers:
        _check_layer(layer)

    def common(what: str, of: Iterable[Module], attribute: str, *kinds: type) -> Any:
        return _common(synthesis, what, (module.get(attribute, *kinds) for module in of))

    return {
        "resolution": resolution,
        "channels": {
            str(r): len(block.child("conv1").tensor("weight", axes=4)) for r, block in blocks.items()
        },
        "architecture": common("architectures", blocks.values(), "architecture", str),
        "image_channels": synthesis.get("img_channels", int),
        "start": list(blocks[4].tensor("const").shape[1:]),
        "activation": common("activations", convolutions, "activation", str),
        "noise": common("uses of noise", convolutions, "use_noise", bool),
        "conv_clamp": common("clamps", styled, "conv_clamp", float, NoneType),
        "kernel_size": _common(synthesis, "kernel sizes", (weight.shape[-1] for weight in weights)),
    }


def _check_layer(layer: Module) -> None:
    """Raise an `ArtifactError` if it computes something else than its place in the network says."""
    if layer.name == "Conv2dLayer":
        if (layer.get("activation", str), layer.get("conv_clamp", float, NoneType)) != ("linear", None):
            raise layer.error("should be linear, without a clamp")
        return
    check_linear(layer.child("affine"))
    if layer.name == "SynthesisLayer":
        act, gain, up = layer.get("activation", str), layer.get("act_gain", float), layer.get("up", int)
        if act in ACTIVATIONS and not math.isclose(gain, ACTIVATIONS[act][1], rel_tol=1e-5):
            raise layer.error(f"has the activation {act!r} with gain {gain:g}")
        if up != (expected := 2 if layer.where.endswith("conv0") else 1):
            raise layer.error(f"enlarges by {up}; expected {expected}")


def _common(owner: Module, what: str, values: Iterable[Any]) -> Any:
    """The one value that all layers share."""
    found = [*dict.fromkeys(values)]
    if len(found) != 1:
        listed = ", ".join(map(repr, found[:4])) or "none"
        raise owner.error(f"has layers with different {what} ({listed}), which lefs does not know")
    return found[0]
