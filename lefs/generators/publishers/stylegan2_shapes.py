"""What the shapes of tensors in the names of lefs say: a StyleGAN2's configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from lefs.generators.publishers.contents import Contents

__all__ = ["stylegan2_config"]


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
