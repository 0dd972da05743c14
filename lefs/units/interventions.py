"""Ablate and insert units at chosen positions (GAN Dissection, §3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate, pad

from lefs.checks import check_integer
from lefs.generator import Generator
from lefs.images import of_height
from lefs.stylespace import StyleLayer
from lefs.synthesis import Cache
from lefs.workers.progress import track

__all__ = ["Units", "ablate", "cells_of", "insert", "pixels_of", "replacement", "unit_layers"]

#: Numbers of units; or how far each unit goes, (C,), bool or in [0, 1] (α of GAN Dissection, §3.2)
Units = Iterable[int] | Tensor

# Pixels of a batch at most: 64 images of 256 × 256, 4 of 1024 × 1024
_PIXELS = 2**22
# Up to this side it pays to keep what all layers got; of larger images the fine layers are nearly all the
# work, and keeping those would fill the memory
_KEPT = 256


def unit_layers(generator: Generator) -> tuple[StyleLayer, ...]:
    """The layers whose maps are units, each map once: at the first layer that it enters.

    In a StyleGAN2 the maps that a toRGB layer sees go on, unchanged, into the next convolution; they are
    listed, and should be changed, at the toRGB layer, so that both get what an intervention leaves.

    Parameters
    ----------
    generator : Generator

    Returns
    -------
    tuple of StyleLayer

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> [layer.name for layer in units.unit_layers(lefs.load("portraits-64"))][:3]
    ['b4.conv1', 'b4.torgb', 'b8.conv1']
    """
    kinds = ["", *(la.kind for la in generator.layers[:-1])]
    return tuple(la for la, last in zip(generator.layers, kinds, strict=True) if last != "rgb")


def batch_of(generator: Generator, given: int | None, usual: int) -> int:
    """The number of images in a batch: as given, or the usual one, fewer if they are large."""
    if given is not None:
        return check_integer("batch_size", given, minimum=1)
    return max(1, min(usual, _PIXELS // math.prod(generator.size)))


def batches(
    generator: Generator, seeds: list[int], truncation: float, size: int, description: str, show: bool
) -> Iterator[tuple[list[int], Tensor]]:
    """The seeds and the styles (or latents) of a sample, a batch at a time, with a bar."""
    starts = range(0, len(seeds), size)
    for start in track(starts, total=len(starts), description=description, show=show):
        batch = seeds[start : start + size]
        yield batch, generator.sample(batch, truncation=truncation)


def kept_cache(generator: Generator, styles: Tensor) -> Cache | None:
    """What interventions on these styles can start from, if there is that and it is worth its memory."""
    return generator.cache(styles) if generator.size[0] <= _KEPT else None


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
    layer : StyleLayer
    mask : Tensor of shape (H, W) or (N, H, W), bool
        Of any size, over the whole picture.

    Returns
    -------
    Tensor of shape (N, h, w), bool
        N is 1 for one mask; h, w are those of the layer's maps inside the picture.

    Raises
    ------
    ValueError
        If the mask has another number of dimensions, or no pixels.

    Examples
    --------
    >>> import lefs, torch
    >>> from lefs import units
    >>> layer = lefs.load("portraits-64").layer("b8.torgb")
    >>> mask = torch.zeros(64, 64, dtype=torch.bool)
    >>> mask[20:28, 0:5] = True
    >>> units.cells_of(layer, mask).nonzero().tolist()
    [[0, 2, 0], [0, 3, 0]]
    """
    if mask.ndim not in (2, 3) or 0 in mask.shape:
        raise ValueError(f"where must be a mask of shape (H, W) or (N, H, W), got {tuple(mask.shape)}")
    size = layer.side, layer.width
    values = (mask if mask.ndim == 3 else mask[None])[:, None].bool().float()
    # Down: a cell that any painted pixel touches, of whatever sizes; up: every cell under a painted one.
    shrunk = adaptive_max_pool2d(values, [min(pair) for pair in zip(size, mask.shape[-2:], strict=True)])
    return interpolate(shrunk, size=size, mode="nearest")[:, 0] > 0


def pixels_of(cells: Tensor, size: int) -> Tensor:
    """The pixels under positions of a layer's maps.

    Parameters
    ----------
    cells : Tensor of shape (N, h, w), bool
    size : int
        Height of the picture, H.

    Returns
    -------
    Tensor of shape (N, H, W), bool

    Examples
    --------
    >>> import torch
    >>> from lefs import units
    >>> cells = torch.eye(4, dtype=torch.bool)[None]
    >>> int(units.pixels_of(cells, 64).sum())
    1024
    """
    return interpolate(cells[:, None].float(), size=of_height(size, cells), mode="nearest")[:, 0] > 0


def replacement(
    layer: StyleLayer, units: Units, *, levels: Tensor | None = None, where: Tensor | None = None
) -> Callable[[Tensor], Tensor]:
    """A hook for `Generator.walk`: units take a level at some positions and stay the same elsewhere.

    Parameters
    ----------
    layer : StyleLayer
        Whose maps they are.
    units : iterable of int, or Tensor of shape (C,)
        Numbers of units, or how far each goes, in [0, 1] (α of GAN Dissection, §3.2).
    levels : Tensor of shape (C,), optional
        What each unit takes; 0 by default.
    where : Tensor of shape (H, W) or (N, H, W), bool, optional
        A mask over the picture, as for `cells_of`; by default every position, also in a margin.

    Returns
    -------
    callable
        Maps (N, C, h, w) → maps of that shape.

    Raises
    ------
    TypeError, ValueError
        If units, levels or masks do not fit the layer; the latter when the edit sees the maps.

    Examples
    --------
    >>> import lefs, torch
    >>> from lefs import units
    >>> layer = lefs.load("portraits-64").layer("b8.torgb")
    >>> maps = torch.ones(1, layer.channels, 8, 8)
    >>> int(units.replacement(layer, [3, 5])(maps).eq(0).sum())
    128
    """
    weight = weights_of(layer, units)
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


def weights_of(layer: StyleLayer, units: Units) -> Tensor:
    """How far each unit of a layer goes, (C,): given so, or 1 for those whose numbers are given."""
    if isinstance(units, Tensor) and (units.dtype == torch.bool or units.is_floating_point()):
        units = units.float() if units.dtype == torch.bool else units
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
    generator: Generator, styles: Tensor, layer: str, units: Units, *, where: Tensor | None = None
) -> Tensor:
    """Images with some units switched off: set to 0.

    In a StyleGAN these are maps that have just been normalised, so that 0 is each map's mean.

    Parameters
    ----------
    generator : Generator
    styles : Tensor of shape (N, S)
        What ``generator.sample(seeds)`` returns.
    layer : str
        See `unit_layers`.
    units : iterable of int, or Tensor of shape (C,)
        Numbers of units, or how far each goes, in [0, 1].
    where : Tensor of shape (H, W) or (N, H, W), bool, optional
        Over the picture; everywhere by default.

    Returns
    -------
    Tensor of shape (N, 3, H, W)
        In [-1, 1], nominally.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator = lefs.load("portraits-64")
    >>> units.ablate(generator, generator.sample([1, 2]), "b8.torgb", [3, 5]).shape
    torch.Size([2, 3, 64, 64])
    """
    off = torch.zeros(generator.layer(layer).channels)
    return insert(generator, styles, layer, units, off, where=where)


def insert(
    generator: Generator, styles: Tensor, layer: str, units: Units, levels: Tensor, *,
    where: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Images with some units switched on: set to `levels`.

    Parameters
    ----------
    generator, styles, layer, units, where
        As for `ablate`.
    levels : Tensor of shape (C,)
        For every unit of the layer, as `UnitDissection.levels_of` gives them.

    Returns
    -------
    Tensor of shape (N, 3, H, W)
        In [-1, 1], nominally.

    Examples
    --------
    >>> import lefs, torch
    >>> from lefs import units
    >>> generator = lefs.load("portraits-64")
    >>> levels = torch.ones(generator.layer("b8.torgb").channels)
    >>> units.insert(generator, generator.sample([1, 2]), "b8.torgb", [3, 5], levels).shape
    torch.Size([2, 3, 64, 64])
    """
    edit = replacement(generator.layer(layer), units, levels=levels, where=where)
    return generator.walk(styles, {layer: edit})
