"""What came before, on the same generators: random channels, the paper's code, mixing, masks, blending."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, instance_norm

from lefs.blending import mix
from lefs.catalog import Catalog
from lefs.checks import check_choice, check_number
from lefs.generator import Generator
from lefs.images import resample_partition
from lefs.stylespace import StyleLayer, ranges

__all__ = [
    "blend_features", "composite", "image_contributions", "image_masks", "image_query",
    "mixing_query", "random_query", "softened",
]  # fmt: skip

_TEMPERATURE = 0.1  # of the softmax over parts (Retrieve in Style)


def random_query(query: Tensor, contribution: Tensor, catalog: Catalog, *, random_state: int) -> Tensor:
    """A query of equal budget that knows nothing of the part.

    In each layer, channels in random order until Σ q (1 − m) is what `query` spends there.

    Parameters
    ----------
    query, contribution : Tensor of shape (S,), in [0, 1]
    catalog : Catalog
        Whose layers they are.
    random_state : int
        Seed of the order.

    Returns
    -------
    Tensor of shape (S,), in [0, 1]

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import random_query
    >>> catalog = lefs.Catalog.load("portraits-64")
    >>> q, m = lefs.QuerySettings(rho=0.02).query(catalog, "hair"), catalog.contribution("hair")
    >>> other = random_query(q, m, catalog, random_state=0)
    >>> round(float((other * (1 - m)).sum() / (q * (1 - m)).sum()), 3)
    1.0
    """
    random, found = np.random.default_rng(random_state), torch.zeros_like(query)
    for layer in catalog.layers:
        weight = 1 - contribution[layer.span].double()
        budget = float((query[layer.span].double() * weight).sum())
        order = torch.from_numpy(random.permutation(layer.channels))
        before = weight[order].cumsum(0) - weight[order]
        q = torch.empty_like(weight)
        q[order] = ((budget - before) / weight[order].clamp_min(1e-12)).clamp(0, 1)
        found[layer.span] = q.to(query)
        if layer.shift is not None and query[layer.shift].any():  # they move with their scales
            found[layer.shift] = found[layer.span]
    return found


def mixing_query(layers: Sequence[StyleLayer], level: str, *, count: int) -> Tensor:
    """Style mixing (StyleGAN, Karras et al. 2019, §3.1): every channel of the layers of one range.

    Parameters
    ----------
    layers : sequence of StyleLayer
        All of a generator.
    level : {"coarse", "middle", "fine"}
        As `lefs.stylespace.ranges` defines them.
    count : int
        S.

    Returns
    -------
    Tensor of shape (S,), zeros and ones
        All zeros where the generator has no such layers.
    """
    names, q = ranges(layers), torch.zeros(count)
    check_choice("level", level, tuple(names))
    for layer in layers:
        if layer.name in names[level]:
            for place in layer.spans:
                q[place] = 1
    return q


# -- Retrieve in Style ---------------------------------------------------------------------------------------


def image_contributions(generator: Generator, catalog: Catalog, styles: Tensor) -> Tensor:
    """Contribution of every channel to every part in one image (Retrieve in Style, Chong et al. 2021, §3).

    Activations are normalised in each image, squared, and averaged over the part, which needs no statistics
    but the clusters' centres.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
    styles : Tensor of shape (N, S)

    Returns
    -------
    Tensor of shape (N, P, S), float32
        −∞ for a part that the image does not show, 0 for what scales no channel.
    """
    parts = catalog.by_part(catalog.membership(generator, styles))
    found = styles.new_zeros(len(styles), parts.shape[1], styles.shape[1], dtype=torch.float32)

    def look(maps: Tensor, *, layer: StyleLayer) -> None:
        inside = layer.inside(maps).to(torch.promote_types(maps.dtype, torch.float32))
        energy = instance_norm(inside, eps=1e-8).square().flatten(2)
        regions = resample_partition(parts, inside.shape[-2]).flatten(2).to(energy)
        mean = torch.einsum("ncx,npx->npc", energy, regions) / regions.sum(dim=2)[:, :, None]
        for place in layer.spans:
            found[:, :, place] = mean.nan_to_num(nan=-torch.inf).to(found)

    with torch.inference_mode():
        generator.walk(styles, {layer.name: partial(look, layer=layer) for layer in generator.layers})
    return found


def image_masks(contributions: Tensor, *, threshold: float = 0.8) -> Tensor:
    """Which part each channel of an image is given to: softmax over the parts, kept above a threshold.

    Parameters
    ----------
    contributions : Tensor of shape (N, P, S)
        Of `image_contributions`.
    threshold : float in [0, 1]
        From 0.5 on a channel has at most one part.

    Returns
    -------
    Tensor of shape (N, P, S), zeros and ones
    """
    check_number("threshold", threshold, minimum=0, maximum=1)
    return ((contributions / _TEMPERATURE).softmax(dim=1) > threshold).float()


def image_query(
    target_masks: Tensor, reference_masks: Tensor, layers: Sequence[StyleLayer], *, coarse: bool = False
) -> Tensor:
    """The channels that are the part's in the target or in the reference.

    Parameters
    ----------
    target_masks, reference_masks : Tensor of shape (N, S)
        One part's row of `image_masks`.
    layers : sequence of StyleLayer
        All of a generator.
    coarse : bool
        Whether the coarse layers may move, which Retrieve in Style reserves for hair and pose; toRGB layers
        never do.

    Returns
    -------
    Tensor of shape (N, S), zeros and ones
    """
    q, fixed = torch.zeros_like(target_masks), () if coarse else ranges(layers)["coarse"]
    for layer in layers:
        if layer.kind != "rgb" and layer.name not in fixed:
            for place in layer.spans:
                q[:, place] = torch.maximum(target_masks[:, place], reference_masks[:, place])
    return q


# -- in the picture, and in the features ---------------------------------------------------------------------


def composite(target: Tensor, reference: Tensor, mask: Tensor, *, strength: float = 1.0) -> Tensor:
    """Pixels of the reference inside the mask, of the target outside it.

    Parameters
    ----------
    target, reference : Tensor of shape (N, 3, H, W)
    mask : Tensor of shape (N, H, W), bool, or weights in [0, 1]
    strength : float in [0, 1]
        Opacity of what is pasted.

    Returns
    -------
    Tensor of shape (N, 3, H, W)
        The target bit for bit where the mask is 0.
    """
    check_number("strength", strength, minimum=0, maximum=1)
    return torch.lerp(target, reference, strength * mask[:, None].to(target))


def softened(mask: Tensor) -> Tensor:
    """A mask (N, H, W) as weights that fall from 1 to 0 over its border, a fortieth of the picture wide."""
    side = 2 * max(1, mask.shape[-1] // 80) + 1
    weights = mask[:, None].float()
    for _ in range(2):
        weights = avg_pool2d(weights, side, stride=1, padding=side // 2, count_include_pad=False)
    return weights[:, 0]


def blend_features(
    generator: Generator,
    target_styles: Tensor,
    reference_styles: Tensor,
    mask: Tensor,
    *,
    layer: str,
    strength: float = 1.0,
) -> Tensor:
    """Feature blending (Suzuki et al. 2018).

    What enters one layer is the reference's inside the mask and the target's outside it, with the target's
    styles from there on.

    Parameters
    ----------
    generator : Generator
    target_styles, reference_styles : Tensor of shape (N, S)
    mask : Tensor of shape (N, H, W), bool
        In the image.
    layer : str
        Name of the layer; not the first, whose input is a constant.
    strength : float in [0, 1]
        How far the maps inside the mask move.

    Returns
    -------
    Tensor of shape (N, 3, H, W)
    """
    check_number("strength", strength, minimum=0, maximum=1)
    names = [la.name for la in generator.layers]
    if generator.layer(layer).name == names[0]:
        raise ValueError(f"layer must not be the first, {layer!r}: take one of {', '.join(names[1:])}")
    outer, inner = (generator.state(styles, layer) for styles in (target_styles, reference_styles))
    return generator.walk(target_styles, cache=mix(generator, outer, inner, strength * mask[:, None].float()))
