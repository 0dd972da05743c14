"""Sizes, rates and stages of a training of the generator."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lefs.models import StyleGAN2, StyleGAN2Config


@dataclass(frozen=True)
class Plan:
    """
    Everything that decides what a training does.

    Attributes
    ----------
    resolution : side of the final images
    latent : size of z and of w
    capacity, max_channels : a map of side r has min(max_channels, capacity // r) channels
    coarse_channels : as many have the maps of 4 × 4 and 8 × 8, where what a part looks like is decided
    mapping_layers : fully connected layers from z to w
    critic_capacity : the same of the discriminator on pixels
    batch : images in a step, over all processes
    rate : learning rate of both sides
    decay : over how many images at the end the rate falls to an eighth
    penalty : weight γ of the R1 penalty at 64 × 64
    path_length : weight of the path length penalty of the generator, in which 2 is usual; 0 leaves it out
    mixing : share of steps with two styles
    average : half-life of the average of weights that is kept, in images
    growth : "SIDE:IMAGES …", until how many images have been shown each resolution is trained; the final one
        comes after them. A side below the one before goes back to what is coarse, which a small map learns in
        a fraction of the time
    growth_fade : over how many images a higher resolution is faded in
    seed : of first weights and random streams
    """

    resolution: int = 64
    latent: int = 128
    capacity: int = 1536
    max_channels: int = 128
    coarse_channels: int = 128
    mapping_layers: int = 4
    critic_capacity: int = 1024
    batch: int = 16
    rate: float = 0.002
    decay: int = 60_000
    penalty: float = 0.3
    path_length: float = 0.0
    mixing: float = 0.4
    average: float = 8_000
    growth: str = "16:40000 32:110000 64:440000"
    growth_fade: int = 8_000
    seed: int = 0

    def __post_init__(self) -> None:
        _ = self.stages  # a slip of the pen should not come to light hours later

    @property
    def identity(self) -> dict[str, int]:
        """What must not change between the beginning and a continuation."""
        names = ("resolution", "latent", "capacity", "max_channels", "coarse_channels", "mapping_layers")
        return {name: getattr(self, name) for name in (*names, "critic_capacity")}

    @property
    def feature_resolution(self) -> int:
        """Side of what the segmenter is shown: at 128 it would cost more than all the rest."""
        return min(64, self.resolution)

    @property
    def views(self) -> tuple[str, ...]:
        """How the segmenter is shown images, in turn: whole, and pieces of large ones at full size."""
        return ("whole",) if self.resolution == self.feature_resolution else ("whole", "piece")

    @property
    def stages(self) -> list[tuple[int, float]]:
        """Resolutions in the order of training, and until how many images each is trained.

        Raises
        ------
        ValueError
            If `growth` does not say so.
        """
        stages: list[tuple[int, float]] = []
        for word in self.growth.split():
            found = re.fullmatch(r"(\d+):(\d+)", word)
            side, until = (int(number) for number in found.groups()) if found else (0, 0)
            if side < 4 or side & (side - 1) or until <= (stages[-1][1] if stages else 0):
                raise ValueError(
                    f"growth is {self.growth!r}; expected sides that are powers of 2 from 4 on, each with "
                    f"a colon and more images than before, as in '16:40000 32:110000'; {word!r} is not"
                )
            stages.append((min(side, self.resolution), until))
        return [*stages, (self.resolution, math.inf)]

    def stage(self, images: int) -> tuple[int, float]:
        """Resolution after so many images, and how far it is faded in, in [0, 1]."""
        before, start = self.resolution, 0.0
        for side, until in self.stages:
            if images < until:
                break
            before, start = side, until
        return side, min(1.0, (images - start) / self.growth_fade) if side > before else 1.0

    def rate_at(self, images: int, total: int) -> float:
        """Learning rate after so many of all images."""
        return self.rate * min(1.0, max(0.125, (total - images) / self.decay))

    def make_generator(self) -> StyleGAN2:
        """Build a generator with random weights."""
        sides = [2**power for power in range(2, self.resolution.bit_length())]
        channels = {
            side: self.coarse_channels if side <= 8 else min(self.max_channels, self.capacity // side)
            for side in sides
        }
        return StyleGAN2(
            StyleGAN2Config(
                self.resolution,
                self.latent,
                self.latent,
                channels,
                mapping_layers=self.mapping_layers,
                mapping_lr=0.01,
                noise=False,
            )
        )
