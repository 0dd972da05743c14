"""StyleGAN3, configs T and R, of NVIDIA's PyTorch repository, and StyleGAN-XL: persistence pickles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.publishers import Parsed
from lefs.files.publishers.nvlabs_stylegan2 import read_mapping
from lefs.files.publishers.persistence import NETWORKS, Module, check_plain, find_network, is_module
from lefs.files.publishers.stylegan_xl import is_class_mapping, read_class_mapping

__all__ = ["matches", "read"]


def matches(tree: Any) -> bool:
    """Whether the file's generator begins with StyleGAN3's Fourier features."""
    found = find_network(tree, *NETWORKS)
    return found is not None and is_module(_inside(_inside(found[1], "synthesis"), "input"))


def _inside(record: Any, name: str) -> Any:
    modules = record.state["_modules"] if is_module(record) else None
    return modules.get(name) if isinstance(modules, Mapping) else None


def read(tree: Any, path: Path) -> Parsed:
    """Read the generator, the averaged one if there is one.

    Everything comes from the layers' own attributes; the repository's defaults play no part.
    """
    found = find_network(tree, *NETWORKS)
    assert found is not None
    where, record = found
    check_plain(record, path, where)
    network = Module(record, path, where).check_class("Generator", "SuperresGenerator")
    mapping, tensors = _mapping(network.child("mapping"))
    synthesis = network.child("synthesis").check_class("SynthesisNetwork")
    config = {
        **mapping,
        "resolution": synthesis.get("img_resolution", int),
        "input": _input(synthesis.child("input")),
        "layers": [_layer(synthesis, name) for name in synthesis.get("layer_names", list)],
        "output_scale": synthesis.get("output_scale", float),
    }
    tensors |= {f"synthesis.{k}": v for k, v in synthesis.state_dict().items()}
    xl = is_class_mapping(network.child("mapping"))
    notes = {"publisher": "StyleGAN-XL" if xl else "NVIDIA, stylegan3", "network": where}
    return Parsed("stylegan3", config, tensors, notes)


def _mapping(mapping: Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if is_class_mapping(mapping):
        config, tensors = read_class_mapping(mapping)
    else:
        config, tensors = read_mapping(mapping)
        config["label_dim"] = mapping.get("c_dim", int)
        # (as wide as w, always)
        config["embed_dim"] = None
    usual = {
        "mapping_activation": ("lrelu",),
        "mapping_width": (None, config["w_dim"]),
        "average": (True,),
    }
    for name, known in usual.items():
        if (value := config.pop(name)) not in known:
            raise mapping.error(f"has {name} = {value!r}; a StyleGAN3 has {known[-1]!r}")
    return config, tensors


def _input(module: Module) -> dict[str, Any]:
    module.check_class("SynthesisInput")
    _check_affine(module)
    return {
        "channels": module.get("channels", int),
        "size": _side(module, "size"),
        "sampling_rate": module.get("sampling_rate", float),
        "bandwidth": module.get("bandwidth", float),
    }


def _layer(synthesis: Module, name: Any) -> dict[str, Any]:
    if not isinstance(name, str):
        raise synthesis.error(f"has {name!r} among its layer_names; expected text")
    layer = synthesis.child(name).check_class("SynthesisLayer")
    _check_affine(layer)
    numbers = ("sampling_rate", "cutoff", "half_width")
    edges = {
        f"{side}_{key.replace('sampling_', '')}": layer.get(f"{side}_{key}", float)
        for side in ("in", "out")
        for key in numbers
    }
    return {
        "name": name,
        "rgb": layer.get("is_torgb", bool),
        "inputs": layer.get("in_channels", int),
        "outputs": layer.get("out_channels", int),
        "in_size": _side(layer, "in_size"),
        "out_size": _side(layer, "out_size"),
        "kernel": layer.get("conv_kernel", int),
        "up": layer.get("up_factor", int),
        "down": layer.get("down_factor", int),
        "up_taps": layer.get("up_taps", int),
        "down_taps": layer.get("down_taps", int),
        "radial": layer.get("down_radial", bool),
        "padding": _padding(layer),
        "clamp": layer.get("conv_clamp", (float, type(None))),
        **edges,
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
        raise layer.error(f"has padding = {sides!r}; expected the same two integers for each axis")
    return sides[0], sides[1]


def _check_affine(owner: Module) -> None:
    """Raise an `ArtifactError` unless the styles come from a plain linear layer."""
    affine = owner.child("affine").check_class("FullyConnectedLayer")
    gain = affine.get("weight_gain", float) * math.sqrt(max(affine.get("in_features", int), 1))
    plain = affine.get("activation", str) == "linear" and affine.get("bias_gain", float) == 1
    if not plain or not math.isclose(gain, 1, rel_tol=1e-4):
        raise affine.error("should be linear with a learning-rate multiplier of 1")
