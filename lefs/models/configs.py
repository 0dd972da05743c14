"""What defines a StyleGAN2 or a StyleGAN3 besides its tensors."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from lefs.checks import check_choice, check_integer, check_number
from lefs.models.layers import ACTIVATIONS, DEFAULT_FILTER, Filter, check_filter
from lefs.models.plans import LARGEST, FourierPlan, LayerPlan

__all__ = [
    "StyleGAN2Config", "StyleGAN3Config", "check_pyramid", "check_widths", "resolutions_of", "settings_of",
]  # fmt: skip


def settings_of(config: Any, always: Collection[str] = ()) -> dict[str, Any]:
    """Plain JSON values of a configuration: those that differ from their defaults, and `always`.

    Fingerprints are made from them, and stay as they are when a new setting comes with a default.
    """
    content: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name in always or value != field.default:
            content[field.name] = _plain(value)
    return content


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return settings_of(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def resolutions_of(resolution: int) -> list[int]:
    """4, 8, ... resolution."""
    return [2**k for k in range(2, int(math.log2(resolution)) + 1)]


def check_pyramid(config: Any) -> None:
    """Check the resolution and the channels of a configuration, whose keys become integers."""
    if check_integer("resolution", config.resolution, minimum=4, maximum=LARGEST) & (config.resolution - 1):
        raise ValueError(f"resolution must be a power of two from 4 on, got {config.resolution}")
    # (JSON turns integer keys into strings)
    channels = {int(r): c for r, c in config.channels.items()}
    for r in resolutions_of(config.resolution):
        if r not in channels:
            raise ValueError(f"channels lacks the resolution {r}; got {channels}")
        check_integer(f"channels[{r}]", channels[r], minimum=1, maximum=2**16)
    object.__setattr__(config, "channels", channels)


def check_widths(config: Any, *optional: str) -> None:
    """Check the latents, the classes and the mapping network of a configuration; `optional` may be None."""
    for name in ("z_dim", "w_dim", *(n for n in optional if getattr(config, n) is not None)):
        check_integer(name, getattr(config, name), minimum=1, maximum=2**16)
    check_integer("label_dim", config.label_dim, maximum=2**20)
    check_integer("mapping_layers", config.mapping_layers, minimum=1, maximum=64)
    check_number("mapping_lr", config.mapping_lr, minimum=1e-6, maximum=1e3)


@dataclass(frozen=True)
class StyleGAN2Config:
    """What, besides the tensors, defines a StyleGAN2.

    Attributes
    ----------
    resolution : int
        Side of the images, a power of two from 4 on; of images that are not square see `start`.
    z_dim, w_dim : int
        Sizes of the latents.
    channels : dict of int to int
        Number of feature maps at the resolutions 4, 8, ... `resolution`.
    label_dim : int
        Number of classes of a conditional network, 0 for none.
    mapping_layers : int
        Depth of the mapping network.
    mapping_lr : float
        Its learning-rate multiplier.
    noise : bool
        Whether the layers add noise maps.
    architecture : {"skip", "resnet", "orig"}
        Each resolution adds its own image to the upsampled one so far; or residual blocks; or neither. The
        last two make an image at the end only.
    mapping_width, embed_dim : int, optional
        Widths inside the mapping network and of the embedded class; None: `w_dim`.
    mapping_activation, activation : str
        Names from `lefs.models.layers.ACTIVATIONS`.
    normalize : {"each", "joint", "no"}
        Whether latents and embedded class are brought to unit variance each by itself, jointly, or not.
    average : bool or int
        Whether the file has a mean w; else it is estimated when truncation asks for it. An int: how many, one
        for each layer.
    truncation_cutoff : int, optional
        Truncation pulls only that many of the w vectors; None: all.
    filter : tuple of float, or tuple of rows
        Taps of the resampling filter, or its rows if it is not separable.
    image_filter : as `filter`, optional
        The one that enlarges images, where it is another; None: `filter`.
    conv_clamp : float, optional
        Features and colors are clamped to ± this; None: they are not.
    kernel_size : int
        Side of the convolutions' kernels, odd.
    image_channels : {3, 1, 4}
        1 for grey images, which come out as three equal channels; 4 for colors and alpha.
    start : tuple of two int
        Height and width of the maps of resolution 4; all others grow from them.

    Examples
    --------
    >>> from lefs import StyleGAN2Config
    >>> StyleGAN2Config(8, z_dim=4, w_dim=4, channels={4: 6, 8: 6}).resolutions
    [4, 8]
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
    average: bool | int = True
    truncation_cutoff: int | None = None
    filter: Filter = DEFAULT_FILTER
    image_filter: Filter | None = None
    conv_clamp: float | None = None
    kernel_size: int = 3
    image_channels: int = 3
    start: tuple[int, int] = (4, 4)

    def __post_init__(self) -> None:
        check_pyramid(self)
        check_widths(self, "mapping_width", "embed_dim")
        if self.truncation_cutoff is not None:
            check_integer("truncation_cutoff", self.truncation_cutoff)
        if not isinstance(self.average, bool):
            check_integer(
                "average", self.average, minimum=2 * len(self.resolutions), maximum=2 * len(self.resolutions)
            )
        self._check_synthesis()

    def _check_synthesis(self) -> None:
        check_choice("architecture", self.architecture, ("skip", "resnet", "orig"))
        check_choice("normalize", self.normalize, ("each", "joint", "no"))
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("mapping_activation", self.mapping_activation, ACTIVATIONS)
        check_choice("image_channels", self.image_channels, (3, 1, 4))
        object.__setattr__(self, "start", tuple(self.start))
        for i, side in enumerate(self.start):
            check_integer(f"start[{i}]", side, minimum=1, maximum=16)
        if len(self.start) != 2:
            raise ValueError(f"start must be a height and a width, got {self.start}")
        object.__setattr__(self, "filter", check_filter("filter", self.filter))
        if self.image_filter is not None:
            taps = check_filter("image_filter", self.image_filter)
            object.__setattr__(self, "image_filter", None if taps == self.filter else taps)
        if self.conv_clamp is not None:
            check_number("conv_clamp", self.conv_clamp, minimum=0, maximum=1e6)
        if check_integer("kernel_size", self.kernel_size, minimum=1, maximum=15) % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")

    @property
    def resolutions(self) -> list[int]:
        """4, 8, ... resolution."""
        return resolutions_of(self.resolution)

    def size_at(self, resolution: int) -> tuple[int, int]:
        """Height and width of the maps of a resolution."""
        return self.start[0] * resolution // 4, self.start[1] * resolution // 4

    def parts(self, resolution: int) -> tuple[str, ...]:
        """The layers of one resolution in order, of "conv0" (which doubles the size), "conv1" and "torgb"."""
        colors = self.architecture == "skip" or resolution == self.resolution
        return ("conv0",) * (resolution > 4) + ("conv1",) + ("torgb",) * colors


@dataclass(frozen=True)
class StyleGAN3Config:
    """What, besides the tensors, defines a StyleGAN3.

    Attributes
    ----------
    resolution : int
        Side of the images.
    z_dim, w_dim : int
        Sizes of the latents.
    input : FourierPlan
        The waves that the layers begin with.
    layers : tuple of LayerPlan
        The last one, and only it, makes colors.
    label_dim : int
        Number of classes of a conditional network, 0 for none.
    mapping_layers : int
        Depth of the mapping network.
    mapping_lr : float
        Its learning-rate multiplier.
    output_scale : float
        Multiplies the image.
    embed_dim : int, optional
        Width of the embedded class; None: `w_dim`.
    class_means : bool
        Whether truncation pulls toward the mean w of the image's own class (StyleGAN-XL).

    Examples
    --------
    >>> edges = {f"{side}_{key}": value for side in ("in", "out")
    ...          for key, value in {"size": 16, "rate": 16, "cutoff": 4, "half_width": 2}.items()}
    >>> colors = LayerPlan("L0_16_3", rgb=True, inputs=4, outputs=3, kernel=1, up=1, down=1, up_taps=1,
    ...                    down_taps=1, radial=False, padding=(0, 0), clamp=None, **edges)
    >>> waves = FourierPlan(channels=4, size=16, sampling_rate=16, bandwidth=2)
    >>> StyleGAN3Config(16, z_dim=8, w_dim=8, input=waves, layers=(colors,)).output_scale
    0.25
    """

    resolution: int
    z_dim: int
    w_dim: int
    input: FourierPlan
    layers: tuple[LayerPlan, ...]
    label_dim: int = 0
    mapping_layers: int = 2
    mapping_lr: float = 0.01
    output_scale: float = 0.25
    embed_dim: int | None = None
    class_means: bool = False

    def __post_init__(self) -> None:
        # (JSON holds dictionaries and lists)
        if isinstance(self.input, Mapping):
            object.__setattr__(self, "input", FourierPlan(**self.input))
        plans = tuple(LayerPlan(**p) if isinstance(p, Mapping) else p for p in self.layers)
        object.__setattr__(self, "layers", plans)
        check_integer("resolution", self.resolution, minimum=1, maximum=LARGEST)
        check_widths(self, "embed_dim")
        check_integer("label_dim", self.label_dim, minimum=int(self.class_means))
        check_number("output_scale", self.output_scale, minimum=-1e3, maximum=1e3)
        self._check_layers()

    def _check_layers(self) -> None:
        if [plan.rgb for plan in self.layers] != [False] * (len(self.layers) - 1) + [True]:
            raise ValueError(f"layers must end with one toRGB layer, got {[p.name for p in self.layers]}")
        before = (self.input.channels, self.input.size)
        for plan in self.layers:
            if (plan.inputs, plan.in_size) != before:
                raise ValueError(
                    f"{plan.name} takes {plan.inputs} channels of side {plan.in_size}, "
                    f"but gets {before[0]} of side {before[1]}"
                )
            before = (plan.outputs, plan.out_size)
        if before not in ((3, self.resolution), (1, self.resolution)):
            raise ValueError(
                f"the last layer makes {before[0]} channels of side {before[1]}; images of side "
                f"{self.resolution} need 3, or 1 if they are grey"
            )
