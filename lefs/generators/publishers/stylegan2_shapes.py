"""What the shapes of tensors in the names of lefs say: a StyleGAN2's configuration, any discriminator."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.generators.discriminator import Discriminator, DiscriminatorConfig
from lefs.generators.filling import build
from lefs.generators.publishers.contents import Contents

__all__ = ["build_classic_discriminator", "build_discriminator", "stylegan2_config"]


def stylegan2_config(tensors: Mapping[str, Tensor], source: Contents, **known: Any) -> dict[str, Any]:
    """The part of a `StyleGAN2Config` that `tensors` tell; `known` is added.

    Raises
    ------
    ArtifactError
        If the tensors are not those of a StyleGAN2.
    """
    depth = len(_matching(tensors, r"mapping\.fc\d+\.weight"))
    channels = _channels(tensors, "conv1", r"synthesis\.")
    last = f"synthesis.b{max(channels, default=4)}.torgb.weight"
    if not depth or f"mapping.fc{depth - 1}.weight" not in tensors or not channels or last not in tensors:
        raise source.error("it lacks the mapping network, the convolutions or the colours of one")
    embed = tensors.get("mapping.embed.weight")
    first = tensors["mapping.fc0.weight"]
    config = {
        "resolution": max(channels),
        "channels": {str(r): channels[r] for r in sorted(channels)},
        "z_dim": first.shape[1] - (0 if embed is None else len(embed)),
        "w_dim": len(tensors[f"mapping.fc{depth - 1}.weight"]),
        "label_dim": 0 if embed is None else embed.shape[1],
        "embed_dim": None if embed is None else len(embed),
        "mapping_layers": depth,
        "mapping_width": len(first) if depth > 1 else None,
        "average": "mapping.w_avg" in tensors,
        "architecture": _architecture(tensors, len(channels)),
        "noise": bool(_matching(tensors, r"synthesis\..*\.noise_strength")),
        "kernel_size": tensors[f"synthesis.b{max(channels)}.conv1.weight"].shape[-1],
        "image_channels": len(tensors[last]),
    }
    return config | known


def _architecture(tensors: Iterable[str], sizes: int) -> str:
    names = list(tensors)
    if len(_matching(names, r"synthesis\.b\d+\.torgb\.weight")) == sizes:
        return "skip"
    return "resnet" if _matching(names, r"synthesis\.b\d+\.skip\.weight") else "orig"


def _channels(tensors: Mapping[str, Tensor], layer: str, prefix: str) -> dict[int, int]:
    names = _matching(tensors, rf"{prefix}b\d{{1,6}}\.{layer}\.weight")
    return {int(re.sub(r".*?b(\d+)\..*", r"\1", name)): len(tensors[name]) for name in names}


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return [n for n in names if re.fullmatch(pattern, n)]


def build_discriminator(tensors: dict[str, Tensor], path: Path, **known: Any) -> Discriminator:
    """The discriminator that `tensors`, in the names of lefs, are of; `known` is added.

    Where its last layer has several outputs and nothing else is known, they are the classes' scores.
    """
    channels = _channels(tensors, "conv0", "")
    colours, shortcuts = (len(_matching(tensors, rf"b\d+\.{n}\.weight")) for n in ("fromrgb", "skip"))
    last, scores = tensors.get("b4.conv.weight"), len(tensors.get("b4.out.weight", ()))
    width = 0 if last is None else len(last)
    first = tensors.get(f"b{max(channels, default=4)}.fromrgb.weight")
    config = {
        "resolution": max(channels, default=0),
        "channels": channels | {4: width},
        "label_dim": scores if scores > 1 else 0,
        "architecture": "resnet" if shortcuts else ("skip" if colours > 1 else "orig"),
        "image_channels": 3 if first is None else first.shape[1],
        "group_channels": 0 if last is None else last.shape[1] - width,
        **known,
    }
    made = build(lambda: Discriminator(DiscriminatorConfig(**config)), tensors, path, what="discriminator")
    return made.eval().requires_grad_(False)


def build_classic_discriminator(tensors: dict[str, Tensor], path: Path, **known: Any) -> Discriminator:
    """The discriminator of a ProGAN or StyleGAN that `tensors` are of; `known` is added."""
    # (√2 comes after the activation in lefs, before it there)
    biased = [n for n in tensors if n.endswith(".bias") and n != "b4.out.bias"]
    tensors = tensors | {name: tensors[name] / math.sqrt(2) for name in biased}
    return build_discriminator(tensors, path, filter=(1, 1), **known)
