"""Networks of the published sizes, with random weights: speed does not depend on what was learned."""

from __future__ import annotations

import functools

import torch

from lefs import StyleGAN2, StyleGAN2Config

__all__ = ["random_generator"]


@functools.cache
def random_generator(resolution: int) -> StyleGAN2:
    """StyleGAN2 in configuration F (Karras et al. 2020): 32,768 / side channels, 512 at most."""
    sides = [2**i for i in range(2, resolution.bit_length())]
    channels = {side: min(512, 32_768 // side) for side in sides}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2(StyleGAN2Config(resolution, 512, 512, channels))
    network.label = f"configuration F, {resolution}"
    network.freeze()
    return network
