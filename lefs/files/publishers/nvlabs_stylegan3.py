"""StyleGAN3, configs T and R, of NVIDIA's PyTorch repository, and StyleGAN-XL: persistence pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.publishers import Parsed
from lefs.files.publishers.nvlabs_stylegan2 import check_affine, read_mapping
from lefs.files.publishers.persistence import Module, generator_of, inside
from lefs.files.publishers.stylegan_xl import is_class_mapping, read_class_mapping

__all__ = ["matches", "read"]

# our names of a layer's settings → its attributes
_WHOLE = {"inputs": "in_channels", "outputs": "out_channels", "kernel": "conv_kernel", "up": "up_factor"} | {
    "down": "down_factor", "up_taps": "up_taps", "down_taps": "down_taps",
}  # fmt: skip
_REAL = {
    f"{side}_{key.removeprefix('sampling_')}": f"{side}_{key}"
    for side in ("in", "out")
    for key in ("sampling_rate", "cutoff", "half_width")
}


def matches(tree: Any) -> bool:
    """Whether the file's generator begins with StyleGAN3's Fourier features."""
    return inside(tree, "synthesis", "input") is not None


def read(tree: Any, path: Path) -> Parsed:
    """Read the generator, the averaged one if there is one.

    Everything comes from the layers' own attributes; the repository's defaults play no part.
    """
    network = generator_of(tree, path, "Generator", "SuperresGenerator")
    xl = is_class_mapping(network.child("mapping"))
    mapping, tensors = (read_class_mapping if xl else _read_mapping)(network.child("mapping"))
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


def _read_mapping(mapping: Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    # (embedded classes are as wide as w, always)
    config = read_mapping(mapping) | {"embed_dim": None}
    return config, {f"mapping.{k}": v for k, v in mapping.state_dict().items()}


def _input(module: Module) -> dict[str, Any]:
    check_affine(module.check_class("SynthesisInput"))
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
    check_affine(layer)
    return {
        "name": name,
        "rgb": layer.get("is_torgb", bool),
        "in_size": _side(layer, "in_size"),
        "out_size": _side(layer, "out_size"),
        "radial": layer.get("down_radial", bool),
        "padding": _padding(layer),
        "clamp": layer.get("conv_clamp", (float, type(None))),
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
        raise layer.error(f"has padding = {sides!r}; expected the same two integers for each axis")
    return sides[0], sides[1]
