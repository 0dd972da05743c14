"""A second trained generator with known parts: a small StyleGAN2 of scenes, three coloured shapes on grey.

    python -m data.figures.scenes --minutes 15 --out scenes

Not adversarial: 21 normal latents say where the shapes are, how large and of what colour, and the generator
(residual architecture, 32 × 32) learns to draw them by squared error. Parts are told by their hue.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import torch
from torch import Tensor

from lefs.files import save_generator
from lefs.models import StyleGAN2, StyleGAN2Config

from ..portraits.recipe.train.trainer import follow

FACTORS, SIDE, BATCH, RATE = 21, 32, 32, 0.004


class HueSegmenter:
    """Labels by colour: what is nearly grey is background, the rest the shape of the nearest hue."""

    names = ("background", "disc", "square", "bar")
    hues = (0.0, 120.0, 235.0)

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) → labels (N, H, W)."""
        x = images.float().clamp(-1, 1).add(1).div(2)
        (r, g, b), top, low = x.unbind(1), x.amax(1), x.amin(1)
        span = (top - low).clamp_min(1e-6)
        red, green, blue = (g - b) / span, (b - r) / span + 2, (r - g) / span + 4
        hue = 60 * torch.where(top == r, red % 6, torch.where(top == g, green, blue))
        away = (hue[:, None] - torch.tensor(self.hues)[:, None, None] + 180) % 360 - 180
        coloured = (top - low) / top.clamp_min(1e-3) > 0.3
        return torch.where(coloured, away.abs().argmin(1) + 1, 0)


def draw(z: Tensor) -> Tensor:
    """The scenes that latents (N, 21), standard normal, describe: (N, 3, 32, 32) in [-1, 1]."""
    uniform = iter(0.5 * (1 + torch.erf(z.t() / 2**0.5)))

    def take(low: float, high: float) -> Tensor:
        return (next(uniform) * (high - low) + low)[:, None, None]

    def color(hue: float, width: float, darkest: float = 0.45) -> Tensor:
        h, s, v = (hue + take(-width, width)) % 360, take(0.55, 1), take(darkest, 1)
        k = (torch.tensor([5.0, 3.0, 1.0])[:, None, None] + h[:, None] / 60) % 6
        return v[:, None] * (1 - s[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))

    def painted(image: Tensor, distance: Tensor, ink: Tensor) -> Tensor:
        return image.lerp(ink, (0.5 - distance * SIDE).clamp(0, 1)[:, None])

    axis = (torch.arange(SIDE) + 0.5) / SIDE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    above, below = take(0.2, 0.95), take(0.2, 0.95)
    image = (above * (1 - y) + below * y)[:, None].expand(-1, 3, -1, -1)
    radius, left, top = take(0.1, 0.2), take(0.22, 0.36), take(0.24, 0.4)
    image = painted(image, ((x - left) ** 2 + (y - top) ** 2).sqrt() - radius, color(0, 28))
    width, height, left, top = take(0.08, 0.17), take(0.08, 0.17), take(0.64, 0.78), take(0.24, 0.44)
    image = painted(
        image, torch.maximum((x - left).abs() - width, (y - top).abs() - height), color(120, 40, 0.4)
    )
    top, left, right = take(0.66, 0.84), take(0, 0.3), take(0.7, 1)
    across = torch.maximum(left - x, x - right)
    image = painted(image, torch.maximum(torch.maximum(top - y, y - top - 0.14), across), color(235, 30))
    return image * 2 - 1


def train(minutes: float) -> StyleGAN2:
    """Regress the scenes from their latents; returns the average of the weights over time."""
    sizes = {4: 64, 8: 48, 16: 32, 32: 16}
    config = StyleGAN2Config(
        SIDE,
        FACTORS,
        48,
        sizes,
        mapping_layers=3,
        mapping_lr=0.1,
        architecture="resnet",
        noise=False,
        normalize="no",
    )
    torch.manual_seed(0)
    network = StyleGAN2(config)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    adam = torch.optim.Adam(network.parameters(), RATE, betas=(0.9, 0.99), foreach=True)
    start, steps = time.monotonic(), 0
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        adam.param_groups[0]["lr"] = RATE * min(1.0, 2 * (1 - done))
        z = torch.randn(BATCH, FACTORS)
        w = network.map(z)
        with torch.no_grad():
            network.get_buffer("mapping.w_avg").lerp_(w[:, 0].mean(0), 0.01)
        (network.synthesize(network.styles(w)) - draw(z)).square().mean().backward()
        adam.step()
        adam.zero_grad()
        steps += 1
        fresh = 1 - 0.5 ** (BATCH / min(4000, 1 + steps * BATCH * 0.06))
        follow(average, network, fresh)
    return average


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--out", type=Path, default=Path("scenes"))
    options = parser.parse_args()
    save_generator(train(options.minutes), options.out, name="scenes")


if __name__ == "__main__":
    main()
