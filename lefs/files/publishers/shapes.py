"""What the shapes of tensors in the names of lefs say about their network: its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from lefs.files.publishers.changes import side_of
from lefs.files.publishers.state_dict import StateDict

__all__ = ["check_classes", "common_filter", "progan_config", "stylegan2_config", "stylegan_config"]


def stylegan2_config(tensors: dict[str, Tensor], source: StateDict, **known: Any) -> dict[str, Any]:
    """The part of a `StyleGAN2Config` that `tensors` tell; `known` is added.

    Raises
    ------
    ArtifactError
        If the tensors are not those of a StyleGAN2.
    """
    sizes = _pyramid(tensors, source)
    last, images, start = sizes["resolution"], sizes.pop("images"), tensors.get("synthesis.b4.const")
    if last not in images:
        raise source.error(f"it lacks the colors of its resolution {last}")
    residual = _matching(tensors, r"synthesis\.b\d+\.skip\.weight")
    mapping, inputs = _mapping(tensors, source)
    embed, mean = tensors.get("mapping.embed.weight"), tensors.get("mapping.w_avg")
    config = {
        **mapping,
        **sizes,
        "z_dim": inputs - (0 if embed is None else len(embed)),
        "embed_dim": None if embed is None else len(embed),
        "average": len(mean) if mean is not None and mean.ndim == 2 else mean is not None,
        "architecture": "skip" if len(images) == len(sizes["channels"]) else "resnet" if residual else "orig",
        "noise": bool(_matching(tensors, r"synthesis\..*\.noise_strength")),
        "kernel_size": tensors[f"synthesis.b{last}.conv1.weight"].shape[-1],
        "image_channels": len(tensors[f"synthesis.b{last}.torgb.weight"]),
        "start": [4, 4] if start is None else list(start.shape[1:]),
    }
    return config | known


def check_classes(tensors: Mapping[str, Tensor], source: StateDict, *, square: bool = False) -> None:
    """Raise an `ArtifactError` for a conditional network that was exported without its classes.

    Its first layer takes an embedded class besides a latent: without the embedding, and without a word of how
    long latents are, it looks like that of longer latents. With `square` latents are always as wide as w.
    """
    layers = _matching(tensors, r"mapping\.fc\d+\.weight") if "mapping.embed.weight" not in tensors else []
    for name in layers:
        outputs, inputs = tensors[name].shape
        if inputs != outputs if square else name == "mapping.fc0.weight" and inputs == 2 * outputs:
            raise source.error(
                f"its {name} takes {inputs} numbers where it should take {outputs}; it may be a conditional "
                "network that was exported without the embedding of its classes: take the file it came from"
            )


def common_filter(source: StateDict, pattern: str) -> Any:
    """The taps of the filters that `pattern` names, the same in all layers; older files have none."""
    kernels = [source.take(name).double() for name in source.names(pattern)]
    if any(k.shape != kernels[0].shape or not torch.allclose(k, kernels[0], rtol=1e-5) for k in kernels):
        raise source.error("its layers have different blur kernels")
    if kernels and kernels[0].numel() > 4096:
        raise source.error(f"its blur kernel has shape {tuple(kernels[0].shape)}")
    return kernels[0].tolist() if kernels else (1, 3, 3, 1)


def stylegan_config(tensors: dict[str, Tensor], source: StateDict, **known: Any) -> dict[str, Any]:
    """The same of a `StyleGANConfig`."""
    mapping, inputs = _mapping(tensors, source)
    config = {**_pyramid(tensors, source), **mapping, "mean": "mapping.w_avg" in tensors}
    return config | {"z_dim": inputs // 2 if mapping["label_dim"] else inputs} | known


def progan_config(
    tensors: dict[str, Tensor], source: StateDict, *, label_dim: int, **known: Any
) -> dict[str, Any]:
    """The same of a `ProGANConfig`, of which the number of classes is known."""
    if "synthesis.b4.conv0.weight" not in tensors:
        raise source.error("it lacks its first layer")
    inputs = tensors["synthesis.b4.conv0.weight"].shape[1]
    return {**_pyramid(tensors, source), "z_dim": inputs - label_dim, "label_dim": label_dim, **known}


def _mapping(tensors: dict[str, Tensor], source: StateDict) -> tuple[dict[str, Any], int]:
    """What the mapping network says, and the number of its inputs; a bias is added to bare class tables."""
    depth = len(_matching(tensors, r"mapping\.fc\d+\.weight"))
    if not depth or not {"mapping.fc0.weight", f"mapping.fc{depth - 1}.weight"} <= tensors.keys():
        raise source.error("it lacks the mapping network, or a layer of it")
    first, embed = tensors["mapping.fc0.weight"], tensors.get("mapping.embed.weight")
    if embed is not None:
        tensors.setdefault("mapping.embed.bias", torch.zeros(len(embed)))
    config = {
        "w_dim": len(tensors[f"mapping.fc{depth - 1}.weight"]),
        "label_dim": 0 if embed is None else embed.shape[1],
        "mapping_layers": depth,
        "mapping_width": len(first) if depth > 1 else None,
    }
    return config, first.shape[1]


def _pyramid(tensors: Mapping[str, Tensor], source: StateDict) -> dict[str, Any]:
    """The resolution, the number of maps at each, and those that have images."""
    found = {side_of(n): len(tensors[n]) for n in _matching(tensors, r"synthesis\.b\d+\.conv1\.weight")}
    if not found or sorted(found) != [4 << i for i in range(len(found))]:
        raise source.error(f"its layers have the resolutions {sorted(found)}; expected 4, 8, 16, ...")
    images = sorted(side_of(n) for n in _matching(tensors, r"synthesis\.b\d+\.torgb\.weight"))
    channels = {str(r): found[r] for r in sorted(found)}
    return {"resolution": max(found), "channels": channels, "images": images}


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    return [n for n in names if re.fullmatch(pattern, n)]
