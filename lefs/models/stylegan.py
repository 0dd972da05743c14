"""StyleGAN (Karras et al., CVPR 2019) for inference: no custom operators, any device."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, instance_norm, leaky_relu

from lefs.checks import check_choice
from lefs.models.layers import FullyConnected, constant, normal, seeded_map
from lefs.models.networks import in_a_row
from lefs.models.progan import Progressive, blur, up_convolution
from lefs.models.settings import check_pyramid, check_settings, resolutions_of
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State

__all__ = ["StyleGAN", "StyleGANConfig"]


@dataclass(frozen=True)
class StyleGANConfig:
    """What, besides the tensors, defines a StyleGAN.

    Attributes
    ----------
    resolution : int
        Side of the images, a power of two from 4 on.
    z_dim, w_dim : int
        Sizes of the latents.
    channels : dict of int to int
        Number of feature maps at the resolutions 4, 8, ... `resolution`.
    images : list of int, optional
        Resolutions that have a layer of their own that makes an image; None: only the last.
    label_dim : int
        Number of classes of a conditional network, 0 for none.
    mapping_layers : int
        Depth of the mapping network.
    mapping_width : int, optional
        Width of its hidden layers; None: `w_dim`.
    mapping_lr : float
        Its learning-rate multiplier.
    mean : bool
        Whether the file knows its mean w; if not, it is estimated when truncation asks for it.
    truncation_cutoff : int, optional
        Truncation pulls only that many of the w vectors, the first; None: all.
    noise : {"stored", "drawn", "shared", "none"}
        Each layer has its own constant map in the file; or maps are not in the file and the constant ones are
        those of seed 0, one for each layer or one for both layers of a resolution; or there is no noise.
    epsilon : float
        What instance normalisation adds to the variance.
    blur : tuple of float
        The filter after each doubling of the size, of odd length; empty for none.
    blurred_bias : bool
        Whether that filter comes after the bias, whose edges it then fades, or before.

    Examples
    --------
    >>> StyleGANConfig(8, z_dim=16, w_dim=16, channels={4: 6, 8: 4}).images
    [8]
    """

    resolution: int
    z_dim: int
    w_dim: int
    channels: dict[int, int]
    images: list[int] | None = None
    label_dim: int = 0
    mapping_layers: int = 8
    mapping_width: int | None = None
    mapping_lr: float = 0.01
    mean: bool = True
    truncation_cutoff: int | None = 8
    noise: Literal["stored", "drawn", "shared", "none"] = "stored"
    epsilon: float = 1e-8
    blur: tuple[float, ...] = (1.0, 2.0, 1.0)
    blurred_bias: bool = False

    def __post_init__(self) -> None:
        check_pyramid(self)
        check_settings(self)
        check_choice("noise", self.noise, ("stored", "drawn", "shared", "none"))


class _Layer(nn.Module):
    """Convolution (or the learned constant), noise, bias, leaky ReLU, instance norm: what AdaIN scales."""

    def __init__(self, config: StyleGANConfig, inputs: int, outputs: int, resolution: int, index: int):
        super().__init__()
        self.resolution, self.index, self.config = resolution, index, config
        if inputs:
            self.weight = nn.Parameter(normal(outputs, inputs, 3, 3))
            self.gain = math.sqrt(2 / (9 * inputs))
        else:
            self.const = nn.Parameter(constant(1, outputs, resolution, resolution))
        self.bias = nn.Parameter(constant(0, outputs))
        self.biased_early = config.blurred_bias and bool(inputs) and index == 0
        self.affine = FullyConnected(config.w_dim, 2 * outputs)
        with torch.no_grad():
            self.affine.bias[:outputs] = 1
        if config.noise != "none":
            self.noise_strength = nn.Parameter(constant(0, outputs))
        if config.noise == "stored":
            self.noise_const = nn.Buffer(normal(resolution, resolution))

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        x = self._convolved(x)
        if noise != "none" and self.config.noise != "none":
            x = x + self._noise_maps(noise).to(x.dtype) * self.noise_strength[:, None, None]
        if not self.biased_early:
            x = x + self.bias[:, None, None]
        x = leaky_relu(x, 0.2)
        # An ε of 1e-8 is zero in half precision.
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        return instance_norm(precise, eps=self.config.epsilon).to(x.dtype)

    def _convolved(self, x: Tensor) -> Tensor:
        if self.index == 0 and self.resolution == 4:  # (the constant)
            return x
        weight = self.weight * self.gain
        if self.index == 1:
            return conv2d(x, weight, padding=1)
        x = up_convolution(x, weight)
        x = x + self.bias[:, None, None] if self.biased_early else x
        return blur(x, self.config.blur) if self.config.blur else x

    def _noise_maps(self, noise: Noise) -> Tensor:
        if noise == "const" and self.config.noise == "stored":
            return self.noise_const
        seed = 0 if noise == "const" else int(noise)
        index = 0 if self.config.noise == "shared" else self.index
        return seeded_map(seed, self.resolution, index).to(self.bias.device)


class StyleGAN(Progressive):
    """StyleGAN: a learned constant grows through layers that end in adaptive instance normalisation.

    A style layer's slice holds the scales σ of its instance-normalised maps, its shift what is added to them
    afterwards. Layers are called ``b4.conv0`` (the constant), ``b4.conv1``, ``b8.conv0``, ...; ``conv0``
    doubles the size. Images are made by layers without styles.

    `upto` takes the resolutions whose own image layer the file still has. Training left these behind as the
    network grew, so that their colors may be off; `preview_size` is therefore the full resolution.

    Parameters
    ----------
    config : StyleGANConfig
        A fresh network has random weights; `lefs.load` fills them.

    Examples
    --------
    >>> generator = StyleGAN(StyleGANConfig(8, z_dim=16, w_dim=16, channels={4: 6, 8: 4})).freeze()
    >>> generator.layer("b8.conv1").shift  # what is added to its maps after they are scaled
    slice(36, 40, None)
    """

    architecture = "stylegan"

    def __init__(self, config: StyleGANConfig):
        super().__init__(config, embed_dim=config.z_dim, normalize="joint", average=config.mean)
        self._grow(partial(_Layer, config))
        names = [(r, part) for r in resolutions_of(config.resolution) for part in ("conv0", "conv1")]
        layers = in_a_row((f"b{r}.{part}", (r, r), config.channels[r]) for r, part in names)
        scales = layers[-1].span.stop
        shifts = (slice(scales + la.span.start, scales + la.span.stop) for la in layers)
        self.layers = tuple(replace(layer, shift=own) for layer, own in zip(layers, shifts, strict=True))
        self.num_ws = len(layers)

    # -- latents → styles -------------------------------------------------------------------------
    def _styles(self, w: Tensor) -> Tensor:
        affine = [self._module(layer).affine(w[:, i]) for i, layer in enumerate(self.layers)]
        scales, shifts = zip(*(a.chunk(2, dim=1) for a in affine), strict=True)
        return torch.cat([*scales, *shifts], dim=1)

    # -- styles → images --------------------------------------------------------------------------
    # A state is what the last layer left: the maps are normalised only when their layer's turn comes, because
    # the noise is added before that.
    def _begin(self, styles: Tensor) -> State:
        const = self.synthesis.get_parameter("b4.conv0.const")
        return (const[None].expand(len(styles), -1, -1, -1),)

    def _enter(self, layer: StyleLayer, state: State, noise: Noise) -> State:
        return (self._module(layer)(state[0], noise),)

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        (maps,) = state
        assert maps is not None
        scale, shift = (styles[:, s].to(maps.dtype)[:, :, None, None] for s in (layer.span, layer.shift))
        return (torch.addcmul(shift, maps, scale),)
