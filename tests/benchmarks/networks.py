"""Networks of the published sizes, with random weights: speed does not depend on what was learned."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from lefs import StyleGAN2, StyleGAN2Config
from lefs.models.configs import FourierPlan, LayerPlan, StyleGAN3Config

__all__ = ["random_generator", "stylegan3_config"]


@functools.cache
def random_generator(resolution: int) -> StyleGAN2:
    """StyleGAN2 in configuration F (Karras et al. 2020): 32,768 / side channels, 512 at most."""
    sides = [2**i for i in range(2, resolution.bit_length())]
    channels = {side: min(512, 32_768 // side) for side in sides}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2(StyleGAN2Config(resolution, 512, 512, channels))
    network.name = f"configuration F, {resolution}"
    network.freeze()
    return network


def stylegan3_config(
    resolution: int,
    *,
    rotation: bool = False,
    z_dim: int = 512,
    w_dim: int = 512,
    label_dim: int = 0,
    channel_base: int = 32768,
    channel_max: int = 512,
    num_layers: int = 14,
    num_critical: int = 2,
    margin: int = 10,
) -> StyleGAN3Config:
    """Config T of the paper, or R with `rotation` (1 × 1 kernels, round filters, twice the channels).

    Cutoffs and stopbands rise geometrically from 2 and 2^2.1 cycles per image to the last layers', which
    are critically sampled (paper, Appendix C.2 and Table 1).

    Parameters
    ----------
    channel_base, channel_max : channels are `channel_base` / 2 / cutoff and at most `channel_max`
    num_layers : without toRGB
    num_critical : how many of the last are critically sampled
    margin : pixels around the picture
    """
    factor = 2 if rotation else 1
    table = _progression(resolution, num_layers, num_critical, margin)
    for row in table[:-1]:
        row["channels"] = round(min(factor * channel_base / 2 / row["cutoff"], factor * channel_max))
    first = table[0]
    waves = FourierPlan(first["channels"], first["size"], first["rate"], first["cutoff"])
    plans = [
        _plan(i, table[max(i - 1, 0)], table[i], i == num_layers, rotation, i >= num_layers - num_critical)
        for i in range(num_layers + 1)
    ]
    return StyleGAN3Config(resolution, z_dim, w_dim, waves, tuple(plans), label_dim)


def _progression(resolution: int, num_layers: int, num_critical: int, margin: int) -> list[dict[str, Any]]:
    """Sampling rate, cutoff, half-width and size of every layer's output, toRGB included."""
    progress = np.minimum(np.arange(num_layers + 1) / (num_layers - num_critical), 1)
    cutoffs = 2 * (resolution / 4) ** progress
    stopbands = 2**2.1 * (resolution / 2 * 2**0.3 / 2**2.1) ** progress
    rates = np.exp2(np.ceil(np.log2(np.minimum(2 * stopbands, resolution))))
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + 2 * margin
    sizes[-2:] = resolution
    rows = zip(rates.tolist(), cutoffs.tolist(), half_widths.tolist(), sizes.tolist(), strict=True)
    return [{"rate": s, "cutoff": f, "half_width": h, "size": int(n), "channels": 3} for s, f, h, n in rows]


def _plan(
    index: int, before: dict[str, Any], after: dict[str, Any], rgb: bool, rotation: bool, critical: bool
) -> LayerPlan:
    """The layer between two rows of the progression, its filters six samples long at the lower rate."""
    fine = max(before["rate"], after["rate"]) * (1 if rgb else 2)
    up, down = round(fine / before["rate"]), round(fine / after["rate"])
    kernel = 1 if rgb or rotation else 3
    up_taps, down_taps = (1 if rgb or factor == 1 else 6 * factor for factor in (up, down))
    total = (after["size"] - 1) * down + 1 - (before["size"] + kernel - 1) * up + up_taps + down_taps - 2
    # Pixels are squares around their samples: half of what the finer ones shift goes to each side.
    ahead = (total + up) // 2
    edges = {f"{side}_{k}": row[k] for side, row in (("in", before), ("out", after)) for k in _EDGE}
    return LayerPlan(
        name=f"L{index}_{after['size']}_{after['channels']}",
        rgb=rgb,
        inputs=before["channels"],
        outputs=after["channels"],
        kernel=kernel,
        up=up,
        down=down,
        up_taps=up_taps,
        down_taps=down_taps,
        radial=rotation and not critical,
        padding=(ahead, total - ahead),
        clamp=256.0,
        **edges,
    )


_EDGE = ("size", "rate", "cutoff", "half_width")
