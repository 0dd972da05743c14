"""What defines a StyleGAN2 besides its tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lefs.checks import check_choice, check_integer, check_number
from lefs.generators.operations import ACTIVATIONS, DEFAULT_FILTER, Filter, check_filter

__all__ = ["StyleGAN2Config"]


@dataclass(frozen=True)
class StyleGAN2Config:
    """What, besides the tensors, defines a StyleGAN2.

    Attributes
    ----------
    resolution : side of the images, a power of two from 4 on
    z_dim, w_dim : sizes of the latents
    channels : {resolution: number of feature maps there}, for 4, 8, ... resolution
    label_dim : number of classes of a conditional network, 0 for none
    mapping_layers, mapping_lr : depth of the mapping network and its learning-rate multiplier
    noise : whether the layers add noise maps
    architecture : ``"skip"`` (each resolution adds its own image to the upsampled one so far), ``"resnet"``
        (residual blocks) or ``"orig"``; the last two make an image at the end only
    mapping_width, embed_dim : widths inside the mapping network and of the embedded class; None: `w_dim`
    mapping_activation, activation : names from `lefs.generators.operations.ACTIVATIONS`
    normalize : whether latents and embedded class are normalised ``"each"``, ``"joint"``-ly or not (``"no"``)
    average : whether the file has a mean w; else it is estimated when truncation asks for it
    truncation_cutoff : truncation pulls only that many of the w vectors; None: all
    filter : taps of the resampling filter, or its rows if it is not separable
    image_filter : the one that enlarges images, where it is another; None: `filter`
    conv_clamp : features and colours are clamped to ± this; None: they are not
    kernel_size : side of the convolutions' kernels, odd
    image_channels : 3, or 1 for grey images, which come out as three equal channels
    """

    resolution: int
    z_dim: int
    w_dim: int
    channels: dict[int, int]
    label_dim: int = 0
    mapping_layers: int = 8
    mapping_lr: float = 0.01
    noise: bool = True
    architecture: str = "skip"
    mapping_width: int | None = None
    embed_dim: int | None = None
    mapping_activation: str = "lrelu"
    activation: str = "lrelu"
    normalize: str = "each"
    average: bool = True
    truncation_cutoff: int | None = None
    filter: Filter = DEFAULT_FILTER
    image_filter: Filter | None = None
    conv_clamp: float | None = None
    kernel_size: int = 3
    image_channels: int = 3

    def __post_init__(self) -> None:
        if check_integer("resolution", self.resolution, minimum=4, maximum=2**14) & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two from 4 on, got {self.resolution}")
        for name in ("z_dim", "w_dim"):
            check_integer(name, getattr(self, name), minimum=1)
        for name in ("mapping_width", "embed_dim", "truncation_cutoff"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), minimum=int(name != "truncation_cutoff"))
        check_integer("label_dim", self.label_dim)
        check_integer("mapping_layers", self.mapping_layers, minimum=1, maximum=64)
        check_number("mapping_lr", self.mapping_lr)
        self._check_synthesis()
        # JSON turns integer keys into strings
        object.__setattr__(self, "channels", {int(r): c for r, c in self.channels.items()})
        for r in self.resolutions:
            if r not in self.channels:
                raise ValueError(f"channels lacks the resolution {r}; got {self.channels}")
            check_integer(f"channels[{r}]", self.channels[r], minimum=1)

    def _check_synthesis(self) -> None:
        check_choice("architecture", self.architecture, ("skip", "resnet", "orig"))
        check_choice("normalize", self.normalize, ("each", "joint", "no"))
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("mapping_activation", self.mapping_activation, ACTIVATIONS)
        check_choice("image_channels", self.image_channels, (3, 1))
        object.__setattr__(self, "filter", check_filter("filter", self.filter))
        if self.image_filter is not None:
            taps = check_filter("image_filter", self.image_filter)
            object.__setattr__(self, "image_filter", None if taps == self.filter else taps)
        if self.conv_clamp is not None:
            check_number("conv_clamp", self.conv_clamp, minimum=0)
        if check_integer("kernel_size", self.kernel_size, minimum=1, maximum=15) % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")

    @property
    def resolutions(self) -> list[int]:
        """4, 8, ... resolution."""
        return [2**k for k in range(2, int(math.log2(self.resolution)) + 1)]

    def parts(self, resolution: int) -> tuple[str, ...]:
        """The layers of one resolution in order, of "conv0" (which doubles the size), "conv1" and "torgb"."""
        colours = self.architecture == "skip" or resolution == self.resolution
        return ("conv0",) * (resolution > 4) + ("conv1",) + ("torgb",) * colours
