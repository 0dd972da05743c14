"""Sizes, rates and stages of a training of the generator."""

from __future__ import annotations

from dataclasses import dataclass

from lefs.generators import StyleGAN2, StyleGAN2Config

GROWTH = {16: 40_000, 32: 110_000, 64: 440_000}
"""Until how many images a resolution is trained, if the final one is higher."""


@dataclass(frozen=True)
class Recipe:
    """
    Everything that decides what a training does.

    Attributes
    ----------
    resolution : side of the final images
    latent : size of z and of w
    capacity, max_channels : a map of side r has min(max_channels, capacity // r) channels
    critic_capacity : the same of the discriminator on pixels
    batch : images in a step, over all processes
    rate : learning rate of both sides
    decay : over how many images at the end the rate falls to an eighth
    penalty : weight γ of the R1 penalty at 64 × 64
    mixing : share of steps with two styles
    average : half-life of the average of weights that is kept, in images
    growth_fade : over how many images a new resolution is faded in
    seed : of first weights and random streams
    """

    resolution: int = 64
    latent: int = 128
    capacity: int = 1536
    max_channels: int = 128
    critic_capacity: int = 1024
    batch: int = 16
    rate: float = 0.002
    decay: int = 60_000
    penalty: float = 0.3
    mixing: float = 0.4
    average: float = 8_000
    growth_fade: int = 8_000
    seed: int = 0

    @property
    def identity(self) -> dict[str, int]:
        """What must not change between the beginning and a continuation."""
        names = ("resolution", "latent", "capacity", "max_channels", "critic_capacity")
        return {name: getattr(self, name) for name in names}

    @property
    def feature_resolution(self) -> int:
        """Side of what the segmenter is shown: at 128 it would cost more than all the rest."""
        return min(64, self.resolution)

    @property
    def views(self) -> tuple[str, ...]:
        """How the segmenter is shown images, in turn: whole, and pieces of large ones at full size."""
        return ("whole",) if self.resolution == self.feature_resolution else ("whole", "piece")

    def stage(self, images: int) -> tuple[int, float]:
        """Resolution after so many images, and how far it is faded in, in [0, 1]."""
        start = 0
        for side, until in GROWTH.items():
            if side >= self.resolution or images < until:
                side = min(side, self.resolution)
                return side, 1.0 if start == 0 else min(1.0, (images - start) / self.growth_fade)
            start = until
        return self.resolution, min(1.0, (images - start) / self.growth_fade)

    def rate_at(self, images: int, total: int) -> float:
        """Learning rate after so many of all images."""
        return self.rate * min(1.0, max(0.125, (total - images) / self.decay))

    def make_generator(self) -> StyleGAN2:
        """Build a generator with random weights."""
        sides = [2**power for power in range(2, self.resolution.bit_length())]
        channels = {side: min(self.max_channels, self.capacity // side) for side in sides}
        return StyleGAN2(
            StyleGAN2Config(
                self.resolution,
                self.latent,
                self.latent,
                channels,
                mapping_layers=4,
                mapping_lr=0.01,
                noise=False,
            )
        )
