"""ProGAN (Karras et al., ICLR 2018, "progressive growing") for inference: no custom operators, any device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu

from lefs.checks import check_integer
from lefs.models.configs import check_pyramid, resolutions_of
from lefs.models.layers import constant, normal
from lefs.models.progressive import Colors, Progressive, check_images, pixel_norm, up_convolution
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State

__all__ = ["ProGAN", "ProGANConfig"]


@dataclass(frozen=True)
class ProGANConfig:
    """What, besides the tensors, defines a ProGAN.

    Attributes
    ----------
    resolution : int
        Side of the images, a power of two from 4 on.
    z_dim : int
        Size of the latents.
    channels : dict of int to int
        Number of feature maps at the resolutions 4, 8, ... `resolution`.
    images : list of int, optional
        Resolutions that have a layer of their own that makes an image; None: only the last.
    label_dim : int
        Number of classes of a conditional network, 0 for none.
    normalize_z : bool
        Whether the latent is normalised before its label is joined to it, besides afterwards.

    Examples
    --------
    >>> ProGANConfig(8, z_dim=16, channels={"4": 6, "8": 4}).channels  # (as JSON gives them)
    {4: 6, 8: 4}
    """

    resolution: int
    z_dim: int
    channels: dict[int, int]
    images: list[int] | None = None
    label_dim: int = 0
    normalize_z: bool = False

    def __post_init__(self) -> None:
        check_pyramid(self)
        check_images(self)
        check_integer("z_dim", self.z_dim, minimum=1, maximum=2**16)
        check_integer("label_dim", self.label_dim, maximum=2**20)


class _Dense(nn.Module):
    """From the latent to maps of 4 × 4."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(normal(16 * outputs, inputs))
        self.bias = nn.Parameter(constant(0, outputs))
        self.gain = math.sqrt(2 / inputs) / 4

    def forward(self, x: Tensor) -> Tensor:
        maps = (x @ (self.weight * self.gain).t()).unflatten(1, (-1, 4, 4))
        return pixel_norm(leaky_relu(maps + self.bias[:, None, None], 0.2))


class _Convolution(nn.Module):
    """3 × 3 convolution, doubling the size first if `up`, leaky ReLU, pixel norm."""

    def __init__(self, inputs: int, outputs: int, *, up: bool):
        super().__init__()
        self.weight = nn.Parameter(normal(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(constant(0, outputs))
        self.gain, self.up = math.sqrt(2 / (9 * inputs)), up

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        x = up_convolution(x, weight) if self.up else conv2d(x, weight, padding=1)
        return pixel_norm(leaky_relu(x + self.bias[:, None, None], 0.2))


class _Block(nn.Module):
    """All layers of one resolution."""

    def __init__(self, resolution: int, config: ProGANConfig):
        super().__init__()
        outputs = config.channels[resolution]
        if resolution == 4:
            self.conv0: nn.Module = _Dense(config.z_dim + config.label_dim, outputs)
        else:
            self.conv0 = _Convolution(config.channels[resolution // 2], outputs, up=True)
        self.conv1 = _Convolution(outputs, outputs, up=False)
        if resolution in (config.images or ()):
            self.torgb = Colors(outputs)


class ProGAN(Progressive):
    """ProGAN: the latent becomes maps of 4 × 4, which grow. It has no styles: dissect it, do not edit it.

    What `synthesize` and `walk` take are latents of shape (N, z_dim), each followed by its one-hot
    label in a conditional network; `sample` makes them from seeds. A layer's maps are what enters it:
    ``b8.conv0`` sees the output of ``b4.conv1``.

    `upto` takes the resolutions whose own image layer the file still has. Training left these behind as the
    network grew, so that their colors may be off; `preview_size` is therefore the full resolution.

    Parameters
    ----------
    config : ProGANConfig
        A fresh network has random weights; `lefs.load` fills them.

    Examples
    --------
    >>> generator = ProGAN(ProGANConfig(8, z_dim=16, channels={4: 6, 8: 4})).freeze()
    >>> generator.record(generator.sample([1]), "b8.conv1")["b8.conv1"].shape
    torch.Size([1, 4, 8, 8])
    """

    architecture = "progan"
    has_styles = False

    def __init__(self, config: ProGANConfig):
        super().__init__()
        self.config = config
        self.size, self.z_dim, self.label_dim = (config.resolution,) * 2, config.z_dim, config.label_dim
        self.synthesis = nn.Module()
        for r in resolutions_of(config.resolution):
            self.synthesis.add_module(f"b{r}", _Block(r, config))
        self.layers = self._tabulate()

    def _tabulate(self) -> tuple[StyleLayer, ...]:
        channels, last, sizes = (
            self.config.channels,
            f"b{self.config.resolution}",
            resolutions_of(self.config.resolution),
        )
        steps = [(f"b{r}.{part}", r) for r in sizes for part in ("conv0", "conv1")][1:]
        layers: list[StyleLayer] = []
        start = 0
        for name, r in [*steps, (f"{last}.torgb", self.config.resolution)]:
            side = r // 2 if name.endswith("conv0") else r
            stop = start + channels[side]
            kind: Any = "rgb" if name.endswith("torgb") else "conv"
            layers.append(StyleLayer(name, kind, (side, side), channels[side], slice(start, stop)))
            start = stop
        return tuple(layers)

    def _begin(self, styles: Tensor) -> State:
        return (self.synthesis.get_submodule("b4.conv0")(self._normalized(styles)),)

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        # (what makes an image comes last, in `_finish`)
        return state if layer.kind == "rgb" else (self.synthesis.get_submodule(layer.name)(state[0]),)

    def _normalized(self, codes: Tensor) -> Tensor:
        if self.config.normalize_z:
            codes = torch.cat([pixel_norm(codes[:, : self.z_dim]), codes[:, self.z_dim :]], dim=1)
        return pixel_norm(codes.to(self.dtype))
