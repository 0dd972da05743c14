"""StyleGAN-XL's mapping network: classes by a table of pretrained features, and a mean w for each of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, linear

from lefs.files.publishers.nvlabs_stylegan2 import read_mapping
from lefs.files.publishers.persistence import Module
from lefs.files.reading import aligned

__all__ = ["is_class_mapping", "read_class_mapping"]


def is_class_mapping(mapping: Module) -> bool:
    """Whether the mapping network keeps such a table, used or not."""
    inside = mapping.children
    return "embed_proj" in inside or ("embed" in inside and inside["embed"].name == "Embedding")


def read_class_mapping(mapping: Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What it says of the configuration, and its tensors. Table and next layer become one matrix."""
    labels = mapping.get("c_dim", int)
    modules = mapping.record.state["_modules"]
    plain = {name: value for name, value in modules.items() if name not in ("embed", "embed_proj")}
    record = replace(mapping.record, state={**mapping.record.state, "_modules": plain, "c_dim": 0})
    rest = Module(record, mapping.path, mapping.where)
    config = read_mapping(rest) | {"label_dim": labels}
    tensors = {f"mapping.{k}": v for k, v in rest.state_dict().items()}
    if labels:
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
    if not fits or not 0 < labels <= len(table) or embed.get("max_norm", (float, type(None))) is not None:
        shapes = f"{tuple(table.shape)} and {tuple(weight.shape)}"
        raise mapping.error(f"has {labels} classes in tables of shapes {shapes}, which do not fit each other")
    if project.get("activation", str) != "lrelu":
        raise project.error("should have the activation 'lrelu'")
    table, weight, bias = (aligned(t).float() for t in (table[:labels], weight, bias))
    gain, bias_gain = project.get("weight_gain", float), project.get("bias_gain", float)
    with torch.no_grad():
        return leaky_relu(linear(table, weight * gain, bias * bias_gain), 0.2) * math.sqrt(2)
