"""What defines a StyleGAN2, a StyleGAN3 and its layers besides their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lefs.checks import check_integer
from lefs.models.alias_free import crops, lowpass_filter
from lefs.models.layers import DEFAULT_FILTER, Filter
from lefs.models.settings import LARGEST, check_pyramid, check_settings, resolutions_of

__all__ = ["FourierPlan", "LayerPlan", "StyleGAN2Config", "StyleGAN3Config"]


@dataclass(frozen=True)
class FourierPlan:
    """The input's sine waves.

    Attributes
    ----------
    channels : int
        Number of waves.
    size : int
        Side of the maps, in pixels, margins included.
    sampling_rate : float
        Pixels per image side.
    bandwidth : float
        Highest frequency, in cycles per image side.
    """

    channels: int
    size: int
    sampling_rate: float
    bandwidth: float

    def __post_init__(self) -> None:
        check_settings(self, "input.")
        check_integer("input.channels", self.channels, minimum=1, maximum=LARGEST)
        if self.sampling_rate <= 2 * self.bandwidth:
            raise ValueError(
                f"input.sampling_rate must be more than twice the bandwidth {self.bandwidth:g}, "
                f"got {self.sampling_rate:g}"
            )


@dataclass(frozen=True)
class LayerPlan:
    """One layer: a convolution at the input's sampling rate, then the filtered nonlinearity.

    Attributes
    ----------
    name : str
        As published, for example ``"L0_36_512"``.
    rgb : bool
        Whether it is the last, which makes colors.
    inputs, outputs : int
        Numbers of channels.
    in_size, out_size : int
        Sides of the maps, in pixels, margins included.
    in_rate, out_rate : float
        Sampling rates s, in pixels per image side.
    in_cutoff, out_cutoff : float
        Cutoff frequencies f_c, in cycles per image side.
    in_half_width, out_half_width : float
        Half-widths f_h of the filters' transition bands, in cycles per image side.
    kernel : int
        Side of the convolution's kernel.
    up, down : int
        Factors between the rates and that of the nonlinearity.
    up_taps, down_taps : int
        Lengths of the filters, 1 for none.
    radial : bool
        Whether the second filter is round.
    padding : tuple of two int
        Zeros before and after each axis, at the rate of the nonlinearity; negative numbers crop.
    clamp : float, optional
        Bound of the nonlinearity, None for none.
    """

    name: str
    rgb: bool
    inputs: int
    outputs: int
    in_size: int
    out_size: int
    in_rate: float
    out_rate: float
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    kernel: int
    up: int
    down: int
    up_taps: int
    down_taps: int
    radial: bool
    padding: tuple[int, int]
    clamp: float | None

    def __post_init__(self) -> None:
        check_settings(self, f"{self.name}.")
        fine = (self.in_size + self.kernel - 1) * self.up + sum(self.padding) - self.up_taps + 1
        if (fine - self.down_taps) // self.down + 1 != self.out_size:
            raise ValueError(
                f"{self.name}: a map of {self.in_size} with padding {self.padding} does not become the "
                f"{self.out_size} that out_size says"
            )
        if (self.up_taps == 1 < self.up) or (self.down_taps == 1 < self.down):
            raise ValueError(f"{self.name}: changes the sampling rate without a filter")
        if self.up_taps > 1 and min(crops(self.up_taps, self.up, self.padding)) < 0:
            raise ValueError(f"{self.name}: its padding {self.padding} is more than its filter reaches")

    @property
    def margin(self) -> int:
        """Pixels of the input on each side that lie outside the picture."""
        return max(0, round(self.in_size - self.in_rate) // 2)

    def filters(self) -> tuple[Tensor | None, Tensor | None]:
        """What fills in between the samples, (up_taps,), and what removes too high frequencies, (down_taps,),
        or (down_taps, down_taps) if radial; None for none.
        """
        rate, width = self.in_rate * self.up, 2 * self.out_half_width
        up = lowpass_filter(self.up_taps, cutoff=self.in_cutoff, width=2 * self.in_half_width, rate=rate)
        band = {"cutoff": self.out_cutoff, "width": width, "rate": rate}
        down = lowpass_filter(self.down_taps, **band, radial=self.radial)
        return up if self.up_taps > 1 else None, down if self.down_taps > 1 else None


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
    image_filter : tuple of float, or tuple of rows, optional
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
        check_settings(self)
        if not isinstance(self.average, bool):
            layers = 2 * len(self.resolutions)
            check_integer("average", self.average, minimum=layers, maximum=layers)
        for i, side in enumerate(self.start):
            check_integer(f"start[{i}]", side, minimum=1, maximum=16)
        if self.image_filter == self.filter:
            object.__setattr__(self, "image_filter", None)
        if self.kernel_size % 2 == 0:
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
        check_settings(self)
        check_integer("resolution", self.resolution, minimum=1, maximum=LARGEST)
        check_integer("label_dim", self.label_dim, minimum=int(self.class_means))
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
