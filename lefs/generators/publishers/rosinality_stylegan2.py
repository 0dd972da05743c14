"""StyleGAN2 of rosinality's stylegan2-pytorch: ``.pt``, a checkpoint or a bare state dict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lefs.generators.publishers import Parsed
from lefs.generators.publishers.contents import Contents
from lefs.generators.publishers.stylegan2_shapes import stylegan2_config

__all__ = ["matches", "read"]

_SEEN = ("input.input", "conv1.conv.weight")
_WHAT = "a StyleGAN2 of stylegan2-pytorch"


def matches(tree: Any) -> bool:
    """Whether `tree` holds a generator whose tensors are called as there."""
    return _state(tree) is not None


def _state(tree: Any) -> dict[str, Any] | None:
    if not isinstance(tree, Mapping):
        return None
    for content in (tree.get("g_ema"), tree.get("g"), tree):
        plain = _plain(content)
        if all(name in plain for name in _SEEN):
            return plain
    return None


def _plain(content: Any) -> dict[str, Any]:
    # DataParallel puts "module." before every name.
    inside = content if isinstance(content, Mapping) else {}
    return {str(k).removeprefix("module."): v for k, v in inside.items()}


def read(tree: Any, path: Path) -> Parsed:
    """The averaged generator, else the trained one. Size, widths and filter are what the tensors say.

    Files of the repository's first weeks have no noise maps: fixed ones are made, the same every time.
    """
    state = _state(tree)
    assert state is not None
    source = Contents({k: v for k, v in state.items() if k != "latent_avg"}, path, _WHAT)
    mean = tree.get("latent_avg", state.get("latent_avg"))
    tensors = _mapping(source, mean)
    sizes = [4, *(8 * 2**i for i in source.numbers(r"to_rgbs\.(\d+)\.bias"))]
    notes: dict[str, Any] = {"publisher": "rosinality stylegan2-pytorch"}
    tensors["synthesis.b4.const"] = source.take("input.input", 4)[0]
    for i, r in enumerate(sizes):
        if r > 4:
            tensors |= _convolution(source, f"convs.{2 * i - 2}", f"synthesis.b{r}.conv0", notes)
        own = f"convs.{2 * i - 1}" if r > 4 else "conv1"
        tensors |= _convolution(source, own, f"synthesis.b{r}.conv1", notes)
        tensors |= _colours(source, f"to_rgbs.{i - 1}" if r > 4 else "to_rgb1", f"synthesis.b{r}.torgb")
    filters = {"filter": _filter(source, "blur.kernel"), "image_filter": _filter(source, "upsample.kernel")}
    config = stylegan2_config(tensors, source, **filters)
    source.finish()
    return Parsed("stylegan2", config, tensors, notes)


def _mapping(source: Contents, mean: Any) -> dict[str, Tensor]:
    tensors = dict[str, Tensor]()
    for k, i in enumerate(source.numbers(r"style\.(\d+)\.weight")):  # (the first entry is the normalisation)
        tensors[f"mapping.fc{k}.weight"] = source.take(f"style.{i}.weight", 2)
        tensors[f"mapping.fc{k}.bias"] = source.take(f"style.{i}.bias", 1)
    if mean is not None:
        if not isinstance(mean, Tensor) or mean.ndim not in (1, 2) or (mean.ndim == 2 and len(mean) != 1):
            shape = tuple(mean.shape) if isinstance(mean, Tensor) else type(mean).__name__
            raise source.error(f"its latent_avg should have shape (D,) or (1, D); found {shape}")
        tensors["mapping.w_avg"] = mean.flatten()
    return tensors


def _convolution(source: Contents, there: str, here: str, notes: dict[str, Any]) -> dict[str, Tensor]:
    up, resolution = here.endswith("conv0"), int(here.split(".")[1][1:])
    bias = f"{there}.activate.bias"
    tensors = {
        f"{here}.weight": _single(source, f"{there}.conv.weight", 5),
        f"{here}.bias": source.take(bias, 1) if bias in source else source.take(f"{there}.bias", 4).flatten(),
        f"{here}.affine.weight": source.take(f"{there}.conv.modulation.weight", 2),
        f"{here}.affine.bias": source.take(f"{there}.conv.modulation.bias", 1),
        f"{here}.noise_strength": _single(source, f"{there}.noise.weight", 1),
    }
    maps = f"noises.noise_{0 if there == 'conv1' else int(there.split('.')[1]) + 1}"
    if maps in source:
        return tensors | {f"{here}.noise_const": _single(source, maps, 4)[0]}
    notes["noise"] = "the file has no noise maps; these are of seed 0"
    stream = np.random.RandomState([0, resolution, int(up)])
    made = stream.randn(resolution, resolution).astype(np.float32)
    return tensors | {f"{here}.noise_const": torch.from_numpy(made)}


def _colours(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    return {
        f"{here}.weight": _single(source, f"{there}.conv.weight", 5),
        f"{here}.bias": source.take(f"{there}.bias", 4).flatten(),
        f"{here}.affine.weight": source.take(f"{there}.conv.modulation.weight", 2),
        f"{here}.affine.bias": source.take(f"{there}.conv.modulation.bias", 1),
    }


def _single(source: Contents, name: str, axes: int) -> Tensor:
    """A tensor whose first axis has length one, without that axis."""
    tensor = source.take(name, axes)
    if len(tensor) != 1:
        raise source.error(f"{name!r} has shape {tuple(tensor.shape)}; its first axis should have length 1")
    return tensor[0]


def _filter(source: Contents, ending: str) -> Any:
    """The taps of a filter, which are the same in all layers; older files do not say them."""
    names = [n for n in source.names() if n.endswith(ending)]
    kernels = [source.take(name, 2).double() for name in names]
    if any(k.shape != kernels[0].shape or not torch.allclose(k, kernels[0], rtol=1e-5) for k in kernels):
        raise source.error("its layers have different blur kernels")
    if kernels and kernels[0].numel() > 4096:
        raise source.error(f"its blur kernel has shape {tuple(kernels[0].shape)}")
    return kernels[0].tolist() if kernels else (1, 3, 3, 1)
