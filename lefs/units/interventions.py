"""Ablate and insert units at chosen positions (GAN Dissection, §3.2)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate, pad

from lefs.checks import check_integer
from lefs.generator import Generator
from lefs.stylespace import StyleLayer
from lefs.synthesis import Cache, Hook

__all__ = [
    "ablate",
    "batch_of",
    "cells_of",
    "check_levels",
    "chosen_layers",
    "insert",
    "kept_cache",
    "pixels_of",
    "replacement",
    "unit_layers",
]

# Pixels of a batch at most: 64 images of 256 × 256, 4 of 1024 × 1024
_PIXELS = 2**22
# Up to this side it pays to keep what all layers got; of larger images the fine layers are nearly all the
# work, and keeping those would fill the memory
_KEPT = 256


def unit_layers(generator: Generator) -> tuple[StyleLayer, ...]:
    """The layers whose maps are units, each map once: at the first layer that it enters.

    In a StyleGAN2 the maps that a toRGB layer sees go on, unchanged, into the next convolution; they are
    listed, and should be changed, at the toRGB layer, so that both get what an intervention leaves.
    """
    before = (None, *generator.layers[:-1])
    return tuple(
        la for la, last in zip(generator.layers, before, strict=True) if last is None or last.kind != "rgb"
    )


def batch_of(generator: Generator, given: int | None, usual: int) -> int:
    """The size of a batch: as given, or the usual one, less for large images."""
    if given is not None:
        return check_integer("batch_size", given, minimum=1)
    return max(1, min(usual, _PIXELS // generator.resolution**2))


def kept_cache(generator: Generator, styles: Tensor) -> Cache | None:
    """What interventions on these styles can start from, if there is that and it is worth its memory."""
    return generator.cache(styles) if generator.resolution <= _KEPT else None


def chosen_layers(
    generator: Generator, layers: str | Iterable[str] | None, usual: Iterable[StyleLayer]
) -> tuple[StyleLayer, ...]:
    """The layers of some names, each once, or the usual ones if None; a ValueError if there are none."""
    if layers is None:
        return tuple(usual)
    names = dict.fromkeys([layers] if isinstance(layers, str) else layers)
    if not names:
        raise ValueError("layers is empty; name at least one layer, or leave it out")
    return tuple(generator.layer(name) for name in names)


def cells_of(layer: StyleLayer, mask: Tensor) -> Tensor:
    """The positions of a layer's maps that a painted mask touches.

    Parameters
    ----------
    mask : bool Tensor of shape (H, W) or (N, H, W), of any size, over the whole picture

    Returns
    -------
    bool Tensor of shape (N, h, w), N = 1 for one mask; h, w of the layer's maps inside the picture
    """
    if mask.ndim not in (2, 3) or 0 in mask.shape:
        raise ValueError(f"where must be a mask of shape (H, W) or (N, H, W), got {tuple(mask.shape)}")
    side = layer.side
    values = (mask if mask.ndim == 3 else mask[None])[:, None].bool().float()
    # Down: a cell that any painted pixel touches, of whatever sizes; up: every cell under a painted one.
    shrunk = adaptive_max_pool2d(values, [min(side, s) for s in mask.shape[-2:]])
    return interpolate(shrunk, size=(side, side), mode="nearest")[:, 0] > 0


def pixels_of(cells: Tensor, size: int) -> Tensor:
    """The pixels under positions of a layer's maps: bool (N, h, w) → bool (N, size, size)."""
    return interpolate(cells[:, None].float(), size=(size, size), mode="nearest")[:, 0] > 0


def replacement(
    layer: StyleLayer,
    units: Iterable[int] | Tensor,
    *,
    levels: Tensor | None = None,
    where: Tensor | None = None,
) -> Hook:
    """A hook for `Generator.walk`: units take a level at some positions and stay the same elsewhere.

    Parameters
    ----------
    layer : whose maps they are
    units : numbers of units; or a Tensor of shape (C,), bool, or float in [0, 1], how far each unit goes (the
        α of GAN Dissection, §3.2)
    levels : Tensor of shape (C,), what each unit takes; None: 0
    where : mask over the picture, as for `cells_of`; None: every position, also in a margin
    """
    weight = _weights(layer, units)
    values = torch.zeros(layer.channels) if levels is None else check_levels(layer, levels)
    cells = None if where is None else pad(cells_of(layer, where).float(), (layer.margin,) * 4)

    def edit(maps: Tensor) -> Tensor:
        amount = weight.to(maps)[:, None, None]
        if cells is not None:
            if len(cells) not in (1, len(maps)):
                raise ValueError(f"where holds {len(cells)} masks, expected 1 or {len(maps)}, one an image")
            amount = amount * cells.to(maps)[:, None]
        # (lerp is exact at both ends: what is not chosen stays bit for bit)
        return torch.lerp(maps, values.to(maps)[:, None, None].expand_as(maps), amount.expand_as(maps))

    return edit


def check_levels(layer: StyleLayer, levels: Tensor) -> Tensor:
    """Return `levels` if they are a finite number for each unit of a layer; else an error that says so."""
    wanted = f"levels must be {layer.channels} finite numbers, one for each unit of {layer.name}"
    if not isinstance(levels, Tensor):
        raise TypeError(f"{wanted}, as a Tensor; got {type(levels).__name__}")
    if tuple(levels.shape) != (layer.channels,) or not bool(torch.isfinite(levels.detach()).all()):
        raise ValueError(f"{wanted}; got shape {tuple(levels.shape)}")
    return levels


def _weights(layer: StyleLayer, units: Iterable[int] | Tensor) -> Tensor:
    if isinstance(units, Tensor) and units.dtype == torch.bool:
        units = units.float()
    if isinstance(units, Tensor) and units.is_floating_point():
        low, high = (float(v) for v in units.detach().aminmax())
        if tuple(units.shape) != (layer.channels,) or not 0 <= low <= high <= 1:
            raise ValueError(
                f"units, as weights, must be {layer.channels} numbers in [0, 1], one for each unit of "
                f"{layer.name}; got shape {tuple(units.shape)} from {low:g} to {high:g}"
            )
        return units
    if not isinstance(units, Iterable):
        raise TypeError(f"units must be numbers of units, such as [3, 5]; got {units!r}")
    chosen = [check_integer(f"units[{i}]", u, maximum=layer.channels - 1) for i, u in enumerate(units)]
    weight = torch.zeros(layer.channels)
    weight[chosen] = 1
    return weight


def ablate(
    generator: Generator,
    styles: Tensor,
    layer: str,
    units: Iterable[int] | Tensor,
    *,
    where: Tensor | None = None,
    cache: Cache | None = None,
) -> Tensor:
    """Images with some units switched off: set to 0.

    (In a StyleGAN these are maps that have just been normalised, so that 0 is each map's mean.)

    Parameters
    ----------
    styles : what ``generator.sample(seeds)`` returns
    layer : name of a layer; see `unit_layers`
    units : numbers of units, or weights (C,) in [0, 1]
    where : bool Tensor of shape (H, W) or (N, H, W) over the picture; None: everywhere
    cache : a cache of these styles, which saves the layers before

    Returns
    -------
    Tensor of shape (N, 3, H, W)
    """
    edit = replacement(generator.layer(layer), units, where=where)
    return generator.walk(styles, {layer: edit}, cache=cache)


def insert(
    generator: Generator,
    styles: Tensor,
    layer: str,
    units: Iterable[int] | Tensor,
    levels: Tensor,
    *,
    where: Tensor | None = None,
    cache: Cache | None = None,
) -> Tensor:
    """Images with some units switched on: set to `levels`, as `UnitDissection.levels_of` gives them.

    Parameters
    ----------
    levels : Tensor of shape (C,), for every unit of the layer
    styles, layer, units, where, cache : as for `ablate`

    Returns
    -------
    Tensor of shape (N, 3, H, W)
    """
    edit = replacement(generator.layer(layer), units, levels=levels, where=where)
    return generator.walk(styles, {layer: edit}, cache=cache)
