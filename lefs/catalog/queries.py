"""The query of a whole generator: one layer's query after the other, each with its gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lefs.checks import check_choice, check_number
from lefs.generators.base import StyleLayer
from lefs.query import sequential_query, simultaneous_query

__all__ = ["Method", "layer_gates", "layerwise_query"]

Method = Literal["sequential", "simultaneous", "global", "pair"]


def layerwise_query(
    contribution: Tensor,
    layers: Sequence[StyleLayer],
    gates: Sequence[float],
    *,
    method: Method,
    rho: float,
    epsilon: float,
    slope: float,
    shifts: bool,
) -> Tensor:
    """Which channels to move, layer by layer; `Catalog.query` explains the options.

    Parameters
    ----------
    contribution : Tensor of shape (S,), of the part
    gates : what multiplies the budget (or the slope) of each layer

    Returns
    -------
    Tensor of shape (S,), float32 in [0, 1]
    """
    if method == "pair":
        raise ValueError(
            'method="pair" needs the styles of a target and a reference: Catalog.pair_query(part, '
            "target_styles, reference_styles), or QuerySettings.query with both"
        )
    check_choice("method", method, ("sequential", "simultaneous", "global"))
    check_number("rho", rho, minimum=0)
    check_number("epsilon", epsilon, minimum=0, finite=False)
    check_number("slope", slope, minimum=0)
    if method == "global":
        return torch.ones(len(contribution))
    # What belongs to no layer (where an input lies) stays the target's.
    q = torch.zeros_like(contribution)
    for layer, gate in zip(layers, gates, strict=True):
        m = contribution[layer.slice]
        if gate == 0:
            continue
        if method == "sequential":
            q[layer.slice] = sequential_query(m, rho=rho, epsilon=epsilon * gate)
        else:
            q[layer.slice] = simultaneous_query(m, slope=slope * gate)
        if shifts and layer.shift is not None:
            q[layer.shift] = q[layer.slice]
    return q.float()


def layer_gates(
    layers: Sequence[StyleLayer], *, coarse: float, rgb: float, coarse_resolution: int = 8
) -> list[float]:
    """What multiplies the budget of each layer: L numbers in [0, 1].

    Parameters
    ----------
    coarse : of layers up to `coarse_resolution` pixels (of detail), which carry pose and layout
    rgb : of toRGB layers; a coarse toRGB layer has both
    """
    coarse = check_number("coarse", coarse, minimum=0, maximum=1)
    rgb = check_number("rgb", rgb, minimum=0, maximum=1)
    return [
        (rgb if layer.kind == "rgb" else 1.0) * (coarse if layer.fineness <= coarse_resolution else 1.0)
        for layer in layers
    ]
