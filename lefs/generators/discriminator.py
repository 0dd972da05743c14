"""Discriminators of ProGAN, StyleGAN, StyleGAN2: how real an image looks to what trained the generator.

The older two are the newest's "orig" architecture with another way to halve maps. Their activations are
followed by no gain, which does not matter for leaky ReLU: a reader divides biases by √2 instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from lefs.checks import check_choice, check_integer
from lefs.generators.classic import blur, check_blur, check_channels
from lefs.generators.mapping import FullyConnected, Mapping
from lefs.generators.operations import (
    ACTIVATIONS,
    DEFAULT_FILTER,
    Filter,
    activate,
    check_filter,
    constant,
    down_convolution,
    downsample,
    normal,
)

__all__ = ["Discriminator", "DiscriminatorConfig"]


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What, besides the tensors, defines a discriminator.

    Attributes
    ----------
    resolution : side of the images, a power of two from 8 on
    channels : {resolution: number of feature maps there}, for 4, 8, ... resolution
    label_dim : number of classes, 0 for none
    architecture : ``"resnet"``, ``"skip"`` or ``"orig"``
    activation, filter, conv_clamp, image_channels : as in `lefs.generators.StyleGAN2Config`
    group, group_channels : images are compared in groups of this size (None: all), in that many feature maps
    class_dim : width of a mapped class; 0: classes are not mapped, each has a score of its own
    mapping_layers, mapping_lr, mapping_width, embed_dim, mapping_activation : of the mapping of classes
    blur : StyleGAN's filter before each layer that halves, of odd length, cut off at the maps' edges; empty
        for none
    pool_last : whether maps are halved by averaging after the activation, and not by `filter` before it
    colour_activation : that of the layers that take colours, where it is another; None: `activation`
    """

    resolution: int
    channels: dict[int, int]
    label_dim: int = 0
    architecture: str = "resnet"
    activation: str = "lrelu"
    filter: Filter = DEFAULT_FILTER
    conv_clamp: float | None = None
    image_channels: int = 3
    group: int | None = 4
    group_channels: int = 1
    class_dim: int = 0
    mapping_layers: int = 8
    mapping_lr: float = 0.01
    mapping_width: int | None = None
    embed_dim: int | None = None
    mapping_activation: str = "lrelu"
    blur: tuple[float, ...] = ()
    pool_last: bool = False
    colour_activation: str | None = None

    def __post_init__(self) -> None:
        check_integer("resolution", self.resolution, minimum=8)
        object.__setattr__(self, "channels", check_channels(self.resolution, self.channels))
        check_choice("architecture", self.architecture, ("resnet", "skip", "orig"))
        for name in ("activation", "mapping_activation", "colour_activation"):
            if getattr(self, name) is not None or name == "activation":
                check_choice(name, getattr(self, name), ACTIVATIONS)
        check_choice("image_channels", self.image_channels, (3, 1))
        check_integer("mapping_layers", self.mapping_layers, maximum=64)
        object.__setattr__(self, "filter", check_filter("filter", self.filter))
        object.__setattr__(self, "blur", check_blur(self.blur))
        if self.group is not None:
            check_integer("group", self.group, minimum=1)
        for name in ("label_dim", "class_dim", "group_channels"):
            check_integer(name, getattr(self, name))

    @property
    def resolutions(self) -> list[int]:
        """Resolution, ... 16, 8."""
        return [2**k for k in range(int(math.log2(self.resolution)), 2, -1)]

    def as_json(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return asdict(self) | {"channels": {str(r): c for r, c in self.channels.items()}}


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, side: int, config: DiscriminatorConfig, *,
                 down: bool = False, plain: bool = False, clamp: bool = True, act: str = ""):  # fmt: skip
        super().__init__()
        self.weight = nn.Parameter(normal(outputs, inputs, side, side))
        self.bias = None if plain else nn.Parameter(constant(0, outputs))
        self.config = config
        self.gain, self.down = 1 / math.sqrt(inputs * side**2), down
        self.act = "linear" if plain else act or config.activation
        self.clamp = config.conv_clamp if clamp and not plain else None

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        weight, pool_last = self.weight * self.gain, self.config.pool_last
        if self.down and self.config.blur:
            x = blur(x, self.config.blur)
        if self.down and not pool_last:
            x = down_convolution(x, weight, self.config.filter)
        else:
            x = conv2d(x, weight, padding=weight.shape[-1] // 2)
        x = x if self.bias is None else x + self.bias[:, None, None]
        x = activate(x, self.act, gain=gain, clamp=self.clamp)
        return avg_pool2d(x, 2) if self.down and pool_last else x


class _Block(nn.Module):
    """Two convolutions, the second of which halves the size."""

    def __init__(self, resolution: int, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        inputs, outputs = config.channels[resolution], config.channels[resolution // 2]
        if resolution == config.resolution or config.architecture == "skip":
            act = config.colour_activation or ""
            self.fromrgb = _Convolution(config.image_channels, inputs, 1, config, act=act)
        self.conv0 = _Convolution(inputs, inputs, 3, config)
        self.conv1 = _Convolution(inputs, outputs, 3, config, down=True)
        if config.architecture == "resnet":
            self.skip = _Convolution(inputs, outputs, 1, config, down=True, plain=True)

    def forward(self, x: Tensor | None, images: Tensor) -> tuple[Tensor, Tensor]:
        if hasattr(self, "fromrgb"):
            seen = self.fromrgb(images)
            x = seen if x is None else x + seen
        assert x is not None
        if self.config.architecture == "skip":
            images = downsample(images, self.config.filter)
        if self.config.architecture != "resnet":
            return self.conv1(self.conv0(x)), images
        half = math.sqrt(0.5)
        return self.skip(x, half) + self.conv1(self.conv0(x), half), images


class _End(nn.Module):
    """From 4 × 4 maps to one number, to one for each class, or to as many as a mapped class has."""

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        width = config.channels[4]
        if config.architecture == "skip":
            self.fromrgb = _Convolution(config.image_channels, width, 1, config, clamp=False)
        self.conv = _Convolution(width + config.group_channels, width, 3, config)
        self.fc = FullyConnected(width * 16, width, act=config.activation)
        self.out = FullyConnected(width, (config.class_dim or config.label_dim) if config.label_dim else 1)

    def forward(self, x: Tensor, images: Tensor) -> Tensor:
        if self.config.architecture == "skip":
            x = x + self.fromrgb(images)
        if self.config.group_channels:
            x = torch.cat([x, self._spread(x)], dim=1)
        return self.out(self.fc(self.conv(x).flatten(1)))

    def _spread(self, x: Tensor) -> Tensor:
        """How much the images of a group differ, as constant maps; it finds out collapsed generators."""
        count, channels, height, width = x.shape
        size = min(self.config.group or count, count)
        if count % size:
            raise ValueError(
                f"images: give one at a time or a multiple of {size}, they are compared in groups"
            )
        features = self.config.group_channels
        grouped = x.reshape(size, -1, features, channels // features, height, width)
        spread = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))
        return spread[:, :, None, None].repeat(size, 1, height, width)


class Discriminator(nn.Module):
    """A discriminator, with the tensor names of StyleGAN2's in the official PyTorch code.

    Parameters
    ----------
    config : DiscriminatorConfig
    """

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        for r in config.resolutions:
            self.add_module(f"b{r}", _Block(r, config))
        self.b4 = _End(config)
        if config.label_dim and config.class_dim:
            self.mapping = Mapping(
                0,
                config.class_dim,
                config.label_dim,
                depth=config.mapping_layers,
                lr=config.mapping_lr,
                act=config.mapping_activation,
                width=config.mapping_width,
                embed_dim=config.embed_dim,
                average=False,
            )

    def forward(self, images: Tensor, labels: Sequence[int] | None = None) -> Tensor:
        """Images (N, 3, H, W), nominally in [-1, 1] → how real each looks: (N,), unbounded.

        Parameters
        ----------
        labels : the class of each image, for a conditional network
        """
        side, config = self.config.resolution, self.config
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise ValueError(f"images must have shape (N, 3, {side}, {side}), got {tuple(images.shape)}")
        if (labels is not None) != bool(config.label_dim) or (
            labels is not None and len(labels) != len(images)
        ):
            wanted = (
                f"one class below {config.label_dim} for each image" if config.label_dim else "no classes"
            )
            raise ValueError(f"labels: this discriminator needs {wanted}, got {labels!r}")
        seen = images if config.image_channels == 3 else images.mean(dim=1, keepdim=True)
        x = None
        for r in config.resolutions:
            x, seen = self.get_submodule(f"b{r}")(x, seen)
        scores: Tensor = self.b4(x, seen)
        if labels is None:
            return scores[:, 0]
        index = [check_integer(f"labels[{i}]", c, maximum=config.label_dim - 1) for i, c in enumerate(labels)]
        if not config.class_dim:
            return scores[range(len(index)), index]
        one_hot = torch.eye(config.label_dim, device=images.device)[index]
        mapped = self.mapping(images.new_empty(len(images), 0), one_hot)
        return (scores * mapped).sum(dim=1) / math.sqrt(config.class_dim)
