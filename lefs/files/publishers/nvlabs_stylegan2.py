"""StyleGAN2 of stylegan2-ada-pytorch, and of stylegan3's repository: persistence pickles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.publishers import Parsed
from lefs.files.publishers.persistence import NETWORKS, Module, check_plain, find_network, is_module
from lefs.models.layers import ACTIVATIONS

__all__ = ["label_dim", "matches", "read", "read_mapping"]


def matches(tree: Any) -> bool:
    """Whether the file's generator has StyleGAN2's synthesis network."""
    found = find_network(tree, *NETWORKS)
    inside = _modules(found[1]).get("synthesis") if found else None
    return is_module(inside) and "b4" in _modules(inside)


def _modules(record: Any) -> Mapping[str, Any]:
    inside = record.state["_modules"] if is_module(record) else {}
    return inside if isinstance(inside, Mapping) else {}


def read(tree: Any, path: Path) -> Parsed:
    """The generator, the averaged one if there is one."""
    found = find_network(tree, *NETWORKS)
    assert found is not None
    where, record = found
    check_plain(record, path, where)
    network = Module(record, path, where).check_class("Generator")
    mapping, tensors = read_mapping(network.child("mapping"))
    synthesis, more = _synthesis(network.child("synthesis"))
    _only(network, {"mapping", "synthesis"}, set())
    notes = {"publisher": "NVIDIA, stylegan2-ada-pytorch or stylegan3", "network": where}
    config = {**mapping, **synthesis, "label_dim": label_dim(network)}
    return Parsed("stylegan2", config, {**tensors, **more}, notes)


def label_dim(network: Module) -> int:
    """The number of classes; 0 for none."""
    return int(network.get("c_dim", int))


# -- mapping -----------------------------------------------------------------------------------------------


def read_mapping(mapping: Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """StyleGAN2's and StyleGAN3's mapping network, as (configuration, tensors named ``mapping...``)."""
    mapping.check_class("MappingNetwork")
    depth = mapping.get("num_layers", int)
    if not 1 <= depth <= 64:
        raise mapping.error(f"has num_layers = {depth}; expected 1 to 64")
    layers = [mapping.child(f"fc{i}") for i in range(depth)]
    tensors = dict[str, Tensor]()
    lr = _common(mapping, "learning-rate multipliers", (_dense(la, "mapping", tensors) for la in layers))
    act = _common(mapping, "activations", (la.get("activation", str) for la in layers))
    labels = mapping.get("c_dim", int)
    if labels:
        _dense(mapping.child("embed"), "mapping", tensors, plain=True)
    average = "w_avg" in mapping.tensors()
    if average:
        tensors["mapping.w_avg"] = mapping.tensor("w_avg")
    _only(mapping, {f"fc{i}" for i in range(depth)} | ({"embed"} if labels else set()), {"w_avg"})
    config = {
        "z_dim": mapping.get("z_dim", int),
        "w_dim": mapping.get("w_dim", int),
        "mapping_layers": depth,
        "mapping_lr": lr,
        "mapping_activation": act,
        "mapping_width": len(layers[0].tensor("weight")) if depth > 1 else None,
        "embed_dim": len(tensors["mapping.embed.weight"]) if labels else None,
        "average": average,
    }
    return config, tensors


def _dense(layer: Module, prefix: str, tensors: dict[str, Tensor], *, plain: bool = False) -> float:
    """Put a fully connected layer's tensors among `tensors`; its learning-rate multiplier."""
    layer.check_class("FullyConnectedLayer")
    weight, bias = layer.tensor("weight"), layer.tensor("bias")
    if weight.ndim != 2 or bias.ndim != 1:
        raise layer.error(f"has a weight of {weight.ndim} axes and a bias of {bias.ndim}; expected 2 and 1")
    _only(layer, set(), {"weight", "bias"})
    lr = float(layer.get("bias_gain", float))
    gain = layer.get("weight_gain", float)
    if not math.isclose(gain * math.sqrt(max(weight.shape[1], 1)), lr, rel_tol=1e-4):
        raise layer.error(f"scales its weight by {gain:g}; expected {lr:g} / √{weight.shape[1]}")
    if plain and (lr != 1 or layer.get("activation", str) != "linear"):
        raise layer.error("should be linear with a learning-rate multiplier of 1")
    name = f"{prefix}.{layer.where.rpartition('.')[2]}"
    tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return lr


# -- synthesis ---------------------------------------------------------------------------------------------


def _synthesis(synthesis: Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    synthesis.check_class("SynthesisNetwork")
    resolution = synthesis.get("img_resolution", int)
    if not 4 <= resolution <= 2**14 or resolution & (resolution - 1):
        raise synthesis.error(f"makes images of {resolution} pixels; expected a power of two from 4 on")
    blocks = {
        2**k: synthesis.child(f"b{2**k}").check_class("SynthesisBlock")
        for k in range(2, resolution.bit_length())
    }
    _only(synthesis, {f"b{r}" for r in blocks}, set())
    tensors = dict[str, Tensor]()
    convolutions, colors = [], []
    for r, block in blocks.items():
        parts = block.children()
        convolutions += [
            _styled(v, f"synthesis.b{r}", tensors) for k, v in parts.items() if k in _CONVOLUTIONS
        ]
        colors += [_styled(v, f"synthesis.b{r}", tensors) for k, v in parts.items() if k == "torgb"]
        if "skip" in parts:
            tensors[f"synthesis.b{r}.skip.weight"] = _plain(parts["skip"])
        if r == 4:
            tensors["synthesis.b4.const"] = block.tensor("const")
        _only(block, {*_CONVOLUTIONS, "torgb", "skip"}, {"const", "resample_filter"})
    config = {
        "resolution": resolution,
        "channels": {str(r): len(_weight(block.child("conv1"))) for r, block in blocks.items()},
        "architecture": _common(
            synthesis, "architectures", (b.get("architecture", str) for b in blocks.values())
        ),
        "image_channels": synthesis.get("img_channels", int),
        "start": list(tensors["synthesis.b4.const"].shape[1:]),
        **_shared(synthesis, blocks, convolutions, colors),
    }
    return config, tensors


_CONVOLUTIONS = ("conv0", "conv1")


def _shared(
    synthesis: Module, blocks: Mapping[int, Module], convolutions: list[Module], colors: list[Module]
) -> dict[str, Any]:
    """What all layers have in common."""
    act = _common(synthesis, "activations", (la.get("activation", str) for la in convolutions))
    for layer in convolutions:
        expected = ACTIVATIONS[act][1] if act in ACTIVATIONS else math.nan
        if not math.isclose(layer.get("act_gain", float), expected, rel_tol=1e-5):
            raise layer.error(f"has the activation {act!r} with gain {layer.get('act_gain', float):g}")
    filters = [*blocks.values(), *(la for la in convolutions if la.where.endswith("conv0"))]
    return {
        "activation": act,
        "noise": _common(synthesis, "uses of noise", (la.get("use_noise", bool) for la in convolutions)),
        "conv_clamp": _common(synthesis, "clamps", (_clamp(la) for la in convolutions + colors)),
        "filter": _common(synthesis, "filters", (resample_filter(b) for b in filters)),
        "kernel_size": _common(synthesis, "kernel sizes", (_weight(la).shape[-1] for la in convolutions)),
    }


def _styled(layer: Module, prefix: str, tensors: dict[str, Tensor]) -> Module:
    """Put a modulated layer's tensors among `tensors`; the layer itself."""
    own = layer.where.rpartition(".")[2]
    layer.check_class("ToRGBLayer" if own == "torgb" else "SynthesisLayer")
    _only(layer, {"affine"}, {"weight", "bias", "noise_const", "noise_strength", "resample_filter"})
    _dense(layer.child("affine"), f"{prefix}.{own}", tensors, plain=True)
    _weight(layer)
    if own != "torgb" and layer.get("up", int) != (2 if own == "conv0" else 1):
        raise layer.error(f"enlarges by {layer.get('up', int)}; expected {2 if own == 'conv0' else 1}")
    found = {k: v for k, v in layer.tensors().items() if k != "resample_filter"}
    tensors |= {f"{prefix}.{own}.{k}": v for k, v in found.items()}
    return layer


def _weight(layer: Module) -> Tensor:
    weight = layer.tensor("weight")
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3]:
        raise layer.error(f"has a weight of shape {tuple(weight.shape)}; expected (O, I, k, k)")
    return weight


def _plain(layer: Module) -> Tensor:
    layer.check_class("Conv2dLayer")
    _only(layer, set(), {"weight", "resample_filter"})
    if layer.get("activation", str) != "linear" or _clamp(layer) is not None:
        raise layer.error("should be linear, without a clamp")
    return _weight(layer)


def _clamp(layer: Module) -> float | None:
    found: float | None = layer.get("conv_clamp", (float, type(None)))
    return found


def resample_filter(block: Module) -> Any:
    """The taps of a block's filter: a list, or a list of rows."""
    taps = block.tensor("resample_filter")
    if taps.ndim not in (1, 2) or taps.numel() > 4096:
        raise block.error(f"has a resampling filter of shape {tuple(taps.shape)}")
    return taps.double().tolist()


def _common(owner: Module, what: str, values: Iterable[Any]) -> Any:
    """The one value that all layers share."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    if len(found) != 1:
        listed = ", ".join(map(repr, found[:4])) or "none"
        raise owner.error(
            f"has layers with different {what} ({listed}); lefs knows networks where they agree"
        )
    return found[0]


def _only(module: Module, children: set[str], tensors: set[str]) -> None:
    """Raise an `ArtifactError` if there is more in `module` than is understood."""
    more = sorted((module.children().keys() - children) | (module.tensors().keys() - tensors))
    if more:
        classes = {name: child.name for name, child in module.children().items()}
        listed = ", ".join(f"{n} ({classes[n]})" if n in classes else n for n in more[:4])
        raise module.error(f"has parts that no StyleGAN2 has: {listed}")
