"""Ranges of layers, coarse to fine, and style mixing over them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from lefs.checks import check_counts, check_name
from lefs.generators import Generator

__all__ = ["RANGES", "Layers", "check_styles_shape", "layer_range", "mix", "style_mask"]

#: Names that stand for several layers, wherever `layers` is asked for.
RANGES = ("all", "coarse", "middle", "fine")
Layers = str | Iterable[str]


def layer_range(generator: Generator, layers: Layers = "all") -> tuple[str, ...]:
    """Names of the style layers in a range.

    Parameters
    ----------
    layers : one of `RANGES`, a layer's name, or several. ``"coarse"`` are the layers that see maps of up to
        8 × 8, ``"middle"`` up to 32 × 32, ``"fine"`` the rest (StyleGAN, §3.1); below 128 × 128 pixels the
        limits are an eighth and a quarter of the image's side, at least 4 and 8.
    """
    side = generator.resolution
    low, high = min(8, max(4, side // 8)), min(32, max(8, side // 4))
    limits = {"all": (0, math.inf), "coarse": (0, low), "middle": (low, high), "fine": (high, math.inf)}
    if isinstance(layers, str) and layers in RANGES:
        below, upto = limits[layers]
        names = [la.name for la in generator.layers if below < la.fineness <= upto]
    else:
        known = [la.name for la in generator.layers]
        wanted = [layers] if isinstance(layers, str) else layers
        names = [check_name("layers", n, [*RANGES, *known], what="range or style layer") for n in wanted]
        if ranges := [n for n in names if n in RANGES]:
            raise ValueError(f"layers: {ranges[0]!r} is a range; give it alone, or layers by name")
    if not names:
        raise ValueError(f"layers: there are none in {layers!r}; choose one of {RANGES} or layers by name")
    return tuple(dict.fromkeys(names))


def style_mask(generator: Generator, layers: Layers = "all") -> Tensor:
    """Which style channels belong to a range of layers: (S,), bool.

    Scales and shifts belong to their layer; what belongs to no layer (where StyleGAN3's input lies) to
    ``"coarse"`` and ``"all"``.
    """
    generator.check_styles()
    mask = torch.zeros(generator.num_styles, dtype=torch.bool, device=generator.device)
    for name in layer_range(generator, layers):
        layer = generator.layer(name)
        for channels in (layer.slice, layer.shift):
            if channels is not None:
                mask[channels] = True
    if generator.extra_styles and isinstance(layers, str) and layers in ("all", "coarse"):
        mask[-generator.extra_styles :] = True
    return mask


def mix(generator: Generator, target_styles: Tensor, reference_styles: Tensor, *, layers: Layers) -> Tensor:
    """Style mixing (StyleGAN, §3.1): the target with a range of layers taken from the reference.

    Parameters
    ----------
    target_styles, reference_styles : Tensor of shape (N, S), or (1, S) for one against many
    layers : see `layer_range`; ``"all"`` gives the reference's styles bit for bit

    Returns
    -------
    Tensor of shape (N, S)
    """
    mask = style_mask(generator, layers)
    for name, styles in {"target_styles": target_styles, "reference_styles": reference_styles}.items():
        check_styles_shape(name, styles, len(mask))
    check_counts(target_styles=target_styles, reference_styles=reference_styles)
    return torch.where(mask.to(target_styles.device), reference_styles.to(target_styles), target_styles)


def check_styles_shape(name: str, styles: Tensor, count: int) -> None:
    """Raise a ValueError unless `styles` has shape (N, count)."""
    if styles.ndim != 2 or styles.shape[1] != count:
        raise ValueError(f"{name} must have shape (N, {count}), got {tuple(styles.shape)}")
