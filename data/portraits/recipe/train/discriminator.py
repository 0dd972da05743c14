"""What the generator is trained against: a network on pixels, and heads on a part segmenter's features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, leaky_relu, linear, relu, softplus
from torch.nn.utils.parametrizations import spectral_norm

from lefs.segmenters import PartSegmenter


class PixelDiscriminator(nn.Module):
    """
    Residual discriminator of StyleGAN2 with the fading of a progressively growing one.

    Parameters
    ----------
    resolution : int
        Largest image side, a power of two from 8 on.
    capacity, max_channels : int
        A map of side r has min(max_channels, capacity // r) channels, at least 8.
    """

    def __init__(self, resolution: int, *, capacity: int = 1024, max_channels: int = 128) -> None:
        super().__init__()
        sides = [2**power for power in range(2, resolution.bit_length())]
        channels = {side: max(8, min(max_channels, capacity // side)) for side in sides}
        self.from_rgb = nn.ModuleDict({f"r{side}": _Convolution(3, channels[side], 1) for side in sides[1:]})
        self.blocks = nn.ModuleDict(
            {f"r{large}": _Block(channels[large], channels[small]) for small, large in pairwise(sides)}
        )
        self.final = _Convolution(channels[4] + 1, channels[4], 3)
        self.hidden = _FullyConnected(channels[4] * 16, channels[4])
        self.output = _FullyConnected(channels[4], 1)

    def forward(self, images: Tensor, share: float = 1.0) -> Tensor:
        """
        Judge images.

        Parameters
        ----------
        images : Tensor of shape (N, 3, r, r)
            r any resolution from 8 up to the largest.
        share : float
            In [0, 1]: how far the blocks of the images' own resolution are faded in.

        Returns
        -------
        Tensor of shape (N, 1), float32
            High for real images.
        """
        side = images.shape[-1]
        x = self.blocks[f"r{side}"](_activate(self.from_rgb[f"r{side}"](images)))
        if share < 1:
            coarse = _activate(self.from_rgb[f"r{side // 2}"](avg_pool2d(images, 2)))
            x = coarse.lerp(x.to(coarse.dtype), share)
        while (side := side // 2) > 4:
            x = self.blocks[f"r{side}"](x)
        x = _activate(self.final(_with_batch_deviation(x)))
        return self.output(_activate(self.hidden(x.flatten(1)))).float()


class _Convolution(nn.Module):
    """Convolution with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain, self.padding = 1 / math.sqrt(inputs * kernel * kernel), kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight * self.gain, self.bias, padding=self.padding)


class _FullyConnected(nn.Module):
    """Linear layer with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.gain, self.bias)


class _Block(nn.Module):
    """Two convolutions beside a straight path; halves the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = _Convolution(inputs, inputs, 3)
        self.conv1 = _Convolution(inputs, outputs, 3)
        self.skip = _Convolution(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = _activate(self.conv1(avg_pool2d(_activate(self.conv0(x)), 2)))
        return (y + self.skip(avg_pool2d(x, 2))) * math.sqrt(0.5)


def _activate(x: Tensor) -> Tensor:
    return leaky_relu(x, 0.2) * math.sqrt(2)


def _with_batch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Append one map: how much the images of a group differ (a generator that repeats itself shows there)."""
    count, channels, height, width = x.shape
    group = math.gcd(group, count)
    groups = x.float().reshape(group, count // group, channels, height, width)
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    plane = deviation.repeat(group).reshape(count, 1, 1, 1).expand(count, 1, height, width)
    return torch.cat([x, plane.to(x.dtype)], dim=1)


class FeatureDiscriminator(nn.Module):
    """
    Small heads on the frozen features of a segmenter (Sauer et al., Projected GANs, NeurIPS 2021).

    A network that tells eyes from glasses sees what a small discriminator on pixels takes for the same blob.

    Parameters
    ----------
    segmenter : PartSegmenter
        Its weights are not trained and not saved with the heads.
    views : sequence of str
        Ways of showing it images (whole and small, or a piece at full size); each has heads of its own.
    hidden : int
        Width of the heads.
    """

    def __init__(
        self, segmenter: PartSegmenter, *, views: Sequence[str] = ("whole",), hidden: int = 48
    ) -> None:
        super().__init__()
        # in a tuple: neither its weights nor its mode belong to this module
        self._segmenter = (segmenter.eval().requires_grad_(False),)
        width = segmenter.width
        depths = list(zip((width, 2 * width, 4 * width, 4 * width), (3, 2, 1, 0), strict=True))
        self.heads = nn.ModuleDict(
            {
                view: nn.ModuleList(_head(inputs, hidden, halvings) for inputs, halvings in depths)
                for view in views
            }
        )

    def forward(self, images: Tensor, view: str = "whole") -> list[Tensor]:
        """Images (N, 3, H, W) in [-1, 1] → one map of judgements per scale, high for real ones, float32."""
        maps = self._segmenter[0].features(images)
        heads = self.heads[view]
        assert isinstance(heads, nn.ModuleList)
        return [head(x).float() for head, x in zip(heads, maps, strict=True)]


def _head(inputs: int, hidden: int, halvings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(halvings):
        layers += [spectral_norm(nn.Conv2d(inputs, hidden, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        inputs = hidden
    wide = hidden * 4 // 3
    layers += [spectral_norm(nn.Conv2d(inputs, wide, 3, padding=1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(wide, 1, 3, padding=1)))


def logistic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Non-saturating loss of a discriminator (Goodfellow et al., NeurIPS 2014)."""
    return softplus(-real).mean() + softplus(fake).mean()


def hinge_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss, averaged over scales."""
    losses = [relu(1 - r).mean() + relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def mean_judgement(judgements: Sequence[Tensor]) -> Tensor:
    """Mean over scales of the mean judgement."""
    return torch.stack([judgement.mean() for judgement in judgements]).mean()
