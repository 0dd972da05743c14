"""What came before, on the same generators: per-image masks, the released rule, layer mixing, blending."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, pad

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_number
from lefs.generator import Generator, Trunk
from lefs.images import resample_partition
from lefs.stylespace import StyleLayer, ranges

__all__ = [
    "blend_features",
    "composite",
    "image_contributions",
    "image_masks",
    "image_query",
    "mixing_query",
    "released_query",
]


def released_query(m: Tensor, *, rho: float, epsilon: float) -> Tensor:
    """The rule of the paper's released code: whole channels with m > ρ, most relevant first, while the budget
    lasts. (`lefs.sequential_query` solves the paper's problem exactly: it stops at m ≤ ρ / (1 + ρ), and the
    last channel is fractional.)

    Parameters
    ----------
    m : Tensor of shape (C,), contributions of one layer's channels to the part, in [0, 1]
    rho : at least 0
    epsilon : at least 0, budget of the layer in channels

    Returns
    -------
    Tensor of shape (C,), zeros and ones
    """
    check_number("rho", rho, minimum=0)
    check_number("epsilon", epsilon, minimum=0, finite=False)
    order = m.argsort(descending=True, stable=True)
    wanted = (m[order] > rho) & ((1 - m[order]).cumsum(0) <= epsilon)
    q = torch.zeros_like(m)
    q[order] = wanted.to(m)
    return q


def mixing_query(layers: Sequence[StyleLayer], level: str, *, count: int) -> Tensor:
    """Style mixing (StyleGAN, §3.1): every channel of the coarse, middle or fine layers
    (`lefs.stylespace.ranges`), none of the others.

    Parameters
    ----------
    level : ``"coarse"``, ``"middle"`` or ``"fine"``
    count : S

    Returns
    -------
    Tensor of shape (S,), zeros and ones; all zeros where the generator has no such layers
    """
    check_choice("level", level, tuple(ranges(layers)))
    q = torch.zeros(count)
    for layer in layers:
        if layer.name in ranges(layers)[level]:
            _fill(q, layer, torch.ones(layer.channels))
    return q


# -- Retrieve in Style ---------------------------------------------------------------------------------------


def image_contributions(generator: Generator, catalog: Catalog, styles: Tensor) -> Tensor:
    """Contribution of every channel to every part in single images: instance-normalised, squared, the mean
    over the part (Retrieve in Style, §3; needs no statistics but the clusters' centres).

    Parameters
    ----------
    styles : Tensor of shape (N, S)

    Returns
    -------
    Tensor of shape (N, P, S), float32; −∞ for a part that the image does not show, 0 for what scales no
    channel
    """
    membership = catalog.membership(generator, styles)
    parts = torch.stack([membership[:, list(ks)].sum(dim=1) for ks in catalog.parts.values()], dim=1)
    found = styles.new_zeros(len(styles), parts.shape[1], styles.shape[1], dtype=torch.float32)
    with torch.inference_mode():
        for layer, maps in generator.activations(styles):
            energy = _instance_normalised(layer.inside(maps)).square().flatten(2)
            regions = resample_partition(parts, layer.inside(maps).shape[-1]).flatten(2).to(energy)
            mean = torch.einsum("ncx,npx->npc", energy, regions) / regions.sum(dim=2)[:, :, None]
            for place in (layer.slice, layer.shift):
                if place is not None:
                    found[:, :, place] = mean.nan_to_num(nan=-torch.inf).to(found)
    return found


def _instance_normalised(maps: Tensor) -> Tensor:
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    variance, mean = torch.var_mean(maps, dim=(2, 3), keepdim=True, correction=0)
    return (maps - mean) / (variance + 1e-8).sqrt()


def image_masks(contributions: Tensor, *, temperature: float = 0.1, threshold: float = 0.8) -> Tensor:
    """Which part each channel of an image is given to: softmax over the parts, kept above a threshold.

    Parameters
    ----------
    contributions : Tensor of shape (N, P, S), of `image_contributions`
    temperature : greater than 0
    threshold : from 0.5 on a channel has at most one part

    Returns
    -------
    Tensor of shape (N, P, S), zeros and ones
    """
    if check_number("temperature", temperature, minimum=0) == 0:
        raise ValueError("temperature must be greater than 0")
    check_number("threshold", threshold, minimum=0, maximum=1)
    return ((contributions / temperature).softmax(dim=1) > threshold).float()


def image_query(
    target_masks: Tensor,
    reference_masks: Tensor,
    layers: Sequence[StyleLayer],
    *,
    coarse: bool = False,
) -> Tensor:
    """The channels that are the part's in the target or in the reference.

    Parameters
    ----------
    target_masks, reference_masks : Tensor of shape (N, S), one part's row of `image_masks`
    coarse : whether the coarse layers may move, which Retrieve in Style reserves for hair and pose; toRGB
        layers never do

    Returns
    -------
    Tensor of shape (N, S), zeros and ones
    """
    q = torch.zeros_like(target_masks)
    for layer in layers:
        if layer.kind != "rgb" and (coarse or layer.name not in ranges(layers)["coarse"]):
            for place in (layer.slice, layer.shift):
                if place is not None:
                    q[:, place] = torch.maximum(target_masks[:, place], reference_masks[:, place])
    return q


# -- in the picture, and in the features ---------------------------------------------------------------------


def composite(target: Tensor, reference: Tensor, mask: Tensor, *, strength: float = 1.0) -> Tensor:
    """Pixels of the reference inside the mask, of the target outside it.

    Parameters
    ----------
    target, reference : Tensor of shape (N, 3, H, W)
    mask : bool Tensor of shape (N, H, W)
    strength : opacity of what is pasted, in [0, 1]
    """
    check_number("strength", strength, minimum=0, maximum=1)
    return torch.where(mask[:, None], torch.lerp(target, reference, strength), target)


def blend_features(
    generator: Generator,
    target: Trunk,
    reference: Trunk,
    mask: Tensor,
    *,
    layer: str,
    strength: float = 1.0,
) -> Tensor:
    """Feature blending (Suzuki et al. 2018): what enters one layer is the reference's inside the mask and the
    target's outside it, with the target's styles from there on.

    Parameters
    ----------
    target, reference : of `Generator.trunk`
    mask : bool Tensor of shape (N, H, W), in the image
    layer : name of the layer; not the first, whose input is a constant
    strength : how far the maps inside the mask move, in [0, 1]

    Returns
    -------
    Tensor of shape (N, 3, H, W)
    """
    check_number("strength", strength, minimum=0, maximum=1)
    names = [la.name for la in generator.layers]
    index, there = names.index(generator.layer(layer).name), generator.layer(layer)
    if index == 0:
        raise ValueError(f"layer must not be the first, {layer!r}: take one of {', '.join(names[1:])}")
    margins = [there.margin, *[0] * len(target.states[index])]
    states = list(target.states)
    states[index] = tuple(
        None if a is None or b is None else torch.lerp(a, b, strength * _on_map(mask, a, margin))
        for a, b, margin in zip(target.states[index], reference.states[index], margins, strict=False)
    )
    # Synthesis resumes where styles differ from the trunk's, and nothing equals what is not a number.
    marked = target.styles.clone()
    marked[:, there.slice] = torch.nan
    resumed = Trunk(marked, target.noise, tuple(states), target.image)
    return generator.synthesize(target.styles, target.noise, resume=resumed)


def _on_map(mask: Tensor, maps: Tensor, margin: int) -> Tensor:
    """A mask of the picture as weights on the positions of a map, 0 on its margin: (N, 1, h, w)."""
    side = maps.shape[-1] - 2 * margin
    weights = mask[:, None].to(maps)
    if side < mask.shape[-1]:
        weights = adaptive_avg_pool2d(weights, side)
    elif side > mask.shape[-1]:
        weights = interpolate(weights, size=(side, side), mode="nearest")
    return pad(weights, (margin,) * 4)


def _fill(q: Tensor, layer: StyleLayer, values: Tensor) -> None:
    """Set the scales of a layer, and its shifts where there are any."""
    for place in (layer.slice, layer.shift):
        if place is not None:
            q[place] = values


def hair_like(parts: Collection[str]) -> set[str]:
    """The parts that Retrieve in Style gives the coarse layers to."""
    return {name for name in parts if "hair" in name.lower()}
