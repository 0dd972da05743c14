"""StyleGAN3, configs T and R, of NVIDIA's PyTorch repository, and StyleGAN-XL: persistence pickles."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any

from torch import Tensor
from torch.nn.functional import leaky_relu

from lefs.files.publishers import Parsed
from lefs.files.publishers.nvlabs_stylegan2 import check_linear, read_mapping
from lefs.files.publishers.persistence import Module, generator_of, inside
from lefs.files.reading import aligned

__all__ = ["matches", "read"]

# our names of a layer's settings → its attributes
_WHOLE = {"inputs": "in_channels", "outputs": "out_channels", "kernel": "conv_kernel", "up": "up_factor"}
_WHOLE |= {"down": "down_factor", "up_taps": "up_taps", "down_taps": "down_taps"}
_REAL = {name: name for name in ("in_cutoff", "out_cutoff", "in_half_width", "out_half_width")}
_REAL |= {"in_rate": "in_sampling_rate", "out_rate": "out_sampling_rate"}


def matches(tree: Any) -> bool:
    """Whether the file's generator begins with StyleGAN3's Fourier features."""
    return inside(tree, "synthesis", "input") is not None


def read(tree: Any, path: Path) -> Parsed:
    """Read the generator, the averaged one if there is one.

    Everything comes from the layers' own attributes; the repository's defaults play no part.
    """
    network = generator_of(tree, path, "Generator", "SuperresGenerator")
    xl = _is_class_mapping(network.child("mapping"))
    mapping, tensors = _read_mapping(network.child("mapping"), xl)
    usual = {"mapping_activation": ("lrelu",), "mapping_width": (None, mapping["w_dim"]), "average": (True,)}
    for name, known in usual.items():
        if (value := mapping.pop(name)) not in known:
            raise network.child("mapping").error(f"has {name} = {value!r}; a StyleGAN3 has {known[-1]!r}")
    synthesis = network.child("synthesis").check_class("SynthesisNetwork")
    config = {
        **mapping,
        "resolution": synthesis.get("img_resolution", int),
        "input": _input(synthesis.child("input")),
        "layers": [_layer(synthesis, name) for name in synthesis.get("layer_names", list)],
        "output_scale": synthesis.get("output_scale", float),
    }
    tensors |= {f"synthesis.{k}": v for k, v in synthesis.state_dict().items()}
    notes = {"publisher": "StyleGAN-XL" if xl else "NVIDIA, stylegan3", "network": network.where}
    return Parsed("stylegan3", config, tensors, notes)


def _input(module: Module) -> dict[str, Any]:
    check_linear(module.check_class("SynthesisInput").child("affine"))
    return {
        "channels": module.get("channels", int),
        "size": _side(module, "size"),
        "sampling_rate": module.get("sampling_rate", float),
        "bandwidth": module.get("bandwidth", float),
    }


def _layer(synthesis: Module, name: Any) -> dict[str, Any]:
    if not isinstance(name, str):
        raise synthesis.error(f"has a {type(name).__name__} among its layer_names; expected text")
    layer = synthesis.child(name).check_class("SynthesisLayer")
    check_linear(layer.child("affine"))
    return {
        "name": name,
        "rgb": layer.get("is_torgb", bool),
        "in_size": _side(layer, "in_size"),
        "out_size": _side(layer, "out_size"),
        "radial": layer.get("down_radial", bool),
        "padding": _padding(layer),
        "clamp": layer.get("conv_clamp", float, NoneType),
        **{ours: layer.get(theirs, int) for ours, theirs in _WHOLE.items()},
        **{ours: layer.get(theirs, float) for ours, theirs in _REAL.items()},
    }


def _side(module: Module, name: str) -> int:
    """The one side of a square map, which files keep as (width, height)."""
    sides = module.get(name, Tensor).tolist()
    if not isinstance(sides, list) or len(sides) != 2 or sides[0] != sides[1]:
        raise module.error(f"has {name} = {sides}; expected a width and an equal height")
    return int(sides[0])


def _padding(layer: Module) -> tuple[int, int]:
    sides = layer.get("padding", list)
    if len(sides) != 4 or sides[:2] != sides[2:] or not all(isinstance(s, int) for s in sides):
        raise layer.error("has a padding that is not the same two integers for each axis")
    return sides[0], sides[1]


# -- StyleGAN-XL: classes by a table of pretrained features, and a mean w for each of them ----


def _is_class_mapping(mapping: Module) -> bool:
    """Whether the mapping network keeps such a table, used or not."""
    inside = mapping.children
    return "embed_proj" in inside or ("embed" in inside and inside["embed"].name == "Embedding")


def _read_mapping(mapping: Module, xl: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What it says of the configuration, and its tensors. Table and next layer become one matrix."""
    rest, labels = mapping, mapping.get("c_dim", int)
    if xl:
        modules = mapping.record.state["_modules"]
        plain = {name: value for name, value in modules.items() if name not in ("embed", "embed_proj")}
        record = replace(mapping.record, state={**mapping.record.state, "_modules": plain, "c_dim": 0})
        rest = Module(record, mapping.path, mapping.where)
    # (where classes are embedded without such a table they are as wide as w, always)
    config = read_mapping(rest) | {"label_dim": labels, "embed_dim": None}
    tensors = {f"mapping.{k}": v for k, v in rest.state_dict().items()}
    if xl and labels:
        table = _classes(mapping, labels)
        # One-hot labels pick a column, which `FullyConnected` then divides by √labels.
        tensors["mapping.embed.weight"] = table.t() * math.sqrt(labels)
        tensors["mapping.embed.bias"] = table.new_zeros(table.shape[1])
        config |= {"embed_dim": table.shape[1], "class_means": mapping.tensor("w_avg").ndim == 2}
    return config, tensors


def _classes(mapping: Module, labels: int) -> Tensor:
    """What every class is before its normalisation: (labels, width)."""
    embed = mapping.child("embed").check_class("Embedding")
    project = mapping.child("embed_proj").check_class("FullyConnectedLayer")
    table, weight, bias = embed.tensor("weight"), project.tensor("weight"), project.tensor("bias")
    fits = table.ndim == 2 and weight.ndim == 2 and table.shape[1] == weight.shape[1]
    if not fits or not 0 < labels <= len(table) or embed.get("max_norm", float, NoneType) is not None:
        shapes = f"{tuple(table.shape)} and {tuple(weight.shape)}"
        raise mapping.error(f"has {labels} classes in tables of shapes {shapes}, which do not fit each other")
    if project.get("activation", str) != "lrelu":
        raise project.error("should have the activation 'lrelu'")
    table, weight, bias = (aligned(t).float() for t in (table[:labels], weight, bias))
    weight, bias = weight * project.get("weight_gain", float), bias * project.get("bias_gain", float)
    # Term by term: a product of matrices is rounded by each processor in its own way, and the fingerprint
    # would be another one on each.
    found = bias.double().expand(len(table), -1)
    for x, w in zip(table.double().t(), weight.double().t(), strict=True):
        found = found + x[:, None] * w
    return leaky_relu(found.float(), 0.2) * math.sqrt(2)
