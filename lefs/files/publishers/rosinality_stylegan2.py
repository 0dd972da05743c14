"""StyleGAN2 of rosinality's stylegan2-pytorch: ``.pt``, a checkpoint or a bare state dict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.files.publishers import Parsed, changes
from lefs.files.publishers.exporting import filter_of, stylegan2_tensors
from lefs.files.publishers.shapes import check_classes, common_filter, stylegan2_config
from lefs.files.publishers.state_dict import Parts, StateDict, Table, find_state, same
from lefs.files.reading import aligned
from lefs.generator import Generator
from lefs.models.layers import seeded_map

__all__ = ["matches", "read", "write"]

_SEEN = ("input.input", "conv1.conv.weight")


def matches(tree: Any) -> bool:
    """Whether `tree` holds a generator whose tensors are called as there."""
    return find_state(tree, *_SEEN) is not None


def _next(number: str) -> str:
    return changes.one_more(str(int(number) + 1))


_COLORS: Parts = {
    ".conv.modulation.weight": (".affine.weight", 2),
    ".conv.modulation.bias": (".affine.bias", 1),
    ".conv.weight": (".weight", 5, changes.single),
    ".bias": (".bias", 4, changes.flat),  # (of convolutions only in the repository's first weeks)
}
_CONVOLUTION: Parts = {
    **_COLORS,
    ".activate.bias": (".bias", 1),
    ".noise.weight": (".noise_strength", 1, changes.single),
}
_TABLE: Table = (
    # (the first entry is the normalisation)
    (r"style\.(\d\d?)", lambda i: f"mapping.fc{int(i) - 1}", same(weight=2, bias=1)),
    (r"input", "synthesis.b4", {".input": (".const", 4, changes.single)}),
    (r"conv1", "synthesis.b4.conv1", _CONVOLUTION),
    (r"convs\.(\d\d?)", _next, _CONVOLUTION),
    (r"noises\.noise_(\d\d?)", changes.one_more, {"": (".noise_const", 4, changes.noise_map)}),
    (r"to_rgb1", "synthesis.b4.torgb", _COLORS),
    (r"to_rgbs\.(\d\d?)", lambda i: f"synthesis.b{8 << int(i)}.torgb", _COLORS),
)


def read(tree: Any, path: Path) -> Parsed:
    """The averaged generator, else the trained one. Size, widths and filter are what the tensors say.

    Files of the repository's first weeks have no noise maps: fixed ones are made, the same every time.
    """
    where, state = find_state(tree, *_SEEN) or ("", {})
    mean = state.pop("latent_avg", None)
    source = StateDict(state, path, "a StyleGAN2 of stylegan2-pytorch")
    blur, enlarge = (common_filter(source, rf".*{name}\.kernel") for name in ("blur", "upsample"))
    tensors = source.translate(_TABLE)
    check_classes(tensors, source, square=True)
    notes: dict[str, Any] = {"publisher": "rosinality stylegan2-pytorch", "network": where or "the file"}
    if mean is not None:
        tensors["mapping.w_avg"] = _mean(source, mean)
    if not any(name.endswith(".noise_const") for name in tensors):
        notes["noise"] = "the file has no noise maps; these are of seed 0"
        for name in [n.removesuffix("_strength") for n in tensors if n.endswith(".noise_strength")]:
            tensors[f"{name}_const"] = seeded_map(0, changes.side_of(name), int(".conv0." in name))
    config = stylegan2_config(tensors, source, filter=blur, image_filter=enlarge)
    return Parsed("stylegan2", config, tensors, notes)


def _mean(source: StateDict, mean: Any) -> Tensor:
    """The mean w, (D,), or one for each layer, (L, D), where these differ."""
    if not isinstance(mean, Tensor) or mean.ndim not in (1, 2) or not mean.numel():
        shape = tuple(mean.shape) if isinstance(mean, Tensor) else type(mean).__name__
        raise source.error(f"its latent_avg should have shape (D,) or (L, D); found {shape}")
    mean = aligned(mean).float()
    return mean[0] if mean.ndim == 2 and torch.equal(mean, mean[:1].expand_as(mean)) else mean


def write(generator: Generator) -> dict[str, Any]:
    """``{"g_ema": ..., "latent_avg": ...}``, as ``Generator(size, style_dim, n_mlp)`` there loads it.

    That class has a table of widths, which has to be the network's.
    """
    held = {"label_dim": (0,), "architecture": ("skip",), "image_channels": (3,), "start": ((4, 4),)}
    ours = stylegan2_tensors(generator, "rosinality's layout", square=True, kernel_size=(3,), **held)
    state = _named_as_there(ours)
    blur, enlarge = (4 * filter_of(generator, image=image) for image in (False, True))
    for k in range(generator.num_ws // 2 - 1):
        state[f"convs.{2 * k}.conv.blur.kernel"] = blur.clone()
        state[f"to_rgbs.{k}.upsample.kernel"] = enlarge.clone()
    if not generator.architecture_config["noise"]:  # (that code always adds some: none then)
        for k in range(generator.num_ws - 1):
            side = changes.side_of(changes.one_more(str(k)))
            state[f"convs.{k - 1}.noise.weight" if k else "conv1.noise.weight"] = torch.zeros(1)
            state[f"noises.noise_{k}"] = torch.zeros(1, 1, side, side)
    mean = ours.get("mapping.w_avg")
    return {"g_ema": state} if mean is None else {"g_ema": state, "latent_avg": mean}


def _named_as_there(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """The table the other way: what it takes of an axis of length 1 is put back."""
    state = {}
    for beginning, here, parts in _TABLE:
        for k in range(len(ours)):
            theirs = beginning.replace(r"(\d\d?)", str(k)).replace("\\", "")
            for end, (own, axes, *steps) in parts.items():
                tensor = ours.get((here if isinstance(here, str) else here(str(k))) + own)
                if tensor is not None and (end != ".bias" or parts is not _CONVOLUTION):
                    ones = (1,) * (axes - tensor.ndim)
                    shape = (1, -1, 1, 1) if changes.flat in steps else (*ones, *tensor.shape)
                    state[theirs + end] = tensor.reshape(shape)
    return state
