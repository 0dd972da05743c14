"""StyleGAN2 (Karras et al., CVPR 2020) for inference: skip architecture, no custom operators, any device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, linear, pad

from lefs.checks import check_integer, check_number
from lefs.generators.base import Noise, State, StyleLayer
from lefs.generators.styled import StyledGenerator

__all__ = ["StyleGAN2", "StyleGAN2Config"]


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
    """

    resolution: int
    z_dim: int
    w_dim: int
    channels: dict[int, int]
    label_dim: int = 0
    mapping_layers: int = 8
    mapping_lr: float = 0.01
    noise: bool = True

    def __post_init__(self) -> None:
        if check_integer("resolution", self.resolution, minimum=4, maximum=2**14) & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two from 4 on, got {self.resolution}")
        check_integer("z_dim", self.z_dim, minimum=1)
        check_integer("w_dim", self.w_dim, minimum=1)
        check_integer("label_dim", self.label_dim)
        check_integer("mapping_layers", self.mapping_layers, minimum=1, maximum=64)
        check_number("mapping_lr", self.mapping_lr)
        # JSON turns integer keys into strings
        object.__setattr__(self, "channels", {int(r): c for r, c in self.channels.items()})
        for r in self.resolutions:
            if r not in self.channels:
                raise ValueError(f"channels lacks the resolution {r}; got {self.channels}")
            check_integer(f"channels[{r}]", self.channels[r], minimum=1)

    @property
    def resolutions(self) -> list[int]:
        """4, 8, ... resolution."""
        return [2**k for k in range(2, int(math.log2(self.resolution)) + 1)]


class _Precise(nn.Module):
    """Keeps its tensors in float32 at least: latents in bfloat16 would move every pixel."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _Precise:
        def precise(t: Tensor) -> Tensor:
            moved = fn(t)
            narrowed = moved.is_floating_point() and moved.element_size() < 4
            return t.to(moved.device, torch.float32) if narrowed else moved

        return super()._apply(precise, recurse)


class _FullyConnected(_Precise):
    """Linear layer with equalised learning rate; weights are stored divided by `lr`."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, lr: float = 1.0, act: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))
        self.gain, self.lr, self.act = lr / math.sqrt(inputs), lr, act

    def forward(self, x: Tensor) -> Tensor:
        x = linear(x.to(self.weight.dtype), self.weight * self.gain, self.bias * self.lr)
        return leaky_relu(x, 0.2) * math.sqrt(2) if self.act else x


class _Mapping(_Precise):
    """z, and a class if there are any, → w."""

    w_avg: Tensor

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        width = config.z_dim
        if config.label_dim:
            self.embed = _FullyConnected(config.label_dim, config.w_dim)
            width += config.w_dim
        self.depth = config.mapping_layers
        for i in range(self.depth):
            layer = _FullyConnected(width, config.w_dim, lr=config.mapping_lr, act=True)
            setattr(self, f"fc{i}", layer)
            width = config.w_dim
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, one_hot: Tensor | None = None) -> Tensor:
        x = _unit_variance(z)
        if one_hot is not None:
            x = torch.cat([x, _unit_variance(self.embed(one_hot))], dim=1)
        for i in range(self.depth):
            x = getattr(self, f"fc{i}")(x)
        return x


def _unit_variance(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def upsample(x: Tensor) -> Tensor:
    """Double the size with the filter [1, 3, 3, 1] and zeros outside: (N, C, h, w) → (N, C, 2h, 2w)."""
    return _upsample_with_rim(x)[:, :, 1:-1, 1:-1]


def _upsample_with_rim(x: Tensor) -> Tensor:
    # Bilinear interpolation is that filter; one ring of zeros around x gives it StyleGAN2's borders.
    return interpolate(pad(x, (1, 1, 1, 1)), scale_factor=2.0, mode="bilinear")[:, :, 1:-1, 1:-1]


def up_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """StyleGAN2's stride-2 transposed convolution followed by its [1, 3, 3, 1] filter.

    Both are linear and shift-invariant on a map that is zero outside, so their order may be changed: filter
    first, with a rim of one pixel, then convolve without padding. Equal to the usual order, borders included.

    Parameters
    ----------
    x : Tensor of shape (N, I, h, w)
    weight : Tensor of shape (O, I, 3, 3)

    Returns
    -------
    Tensor of shape (N, O, 2h, 2w)
    """
    return conv2d(_upsample_with_rim(x), weight.flip(2, 3))


class _Convolution(nn.Module):
    """Modulated 3 × 3 convolution: scale in, shared convolution, scale out, noise, bias, leaky ReLU."""

    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, config: StyleGAN2Config, *, resolution: int, up: bool):
        super().__init__()
        self.affine = _FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.resolution, self.up, self.has_noise = resolution, up, config.noise
        if config.noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, styles: Tensor, noise: Tensor | None) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            scale_out = self._demodulation(styles)
        x = x * styles.to(x.dtype)[:, :, None, None]
        x = up_convolution(x, self.weight) if self.up else conv2d(x, self.weight, padding=1)
        x = x * scale_out.to(x.dtype)[:, :, None, None]
        if noise is not None:
            x = x + noise.to(x.dtype)
        return leaky_relu(x + self.bias.to(x.dtype)[:, None, None], 0.2) * math.sqrt(2)

    def _demodulation(self, styles: Tensor) -> Tensor:
        """1 / norm of each modulated filter, (N, outputs), without forming those filters."""
        energy = self.weight.to(styles.dtype).square().sum(dim=(2, 3))
        return (styles.square() @ energy.t() + 1e-8).rsqrt()

    def noise_maps(self, noise: Noise) -> Tensor | None:
        """What is added to every channel: (1, 1, H, W) or None."""
        if not self.has_noise or noise == "none":
            return None
        maps = self.noise_const if noise == "const" else self._seeded(int(noise))
        return maps[None, None] * self.noise_strength

    def _seeded(self, seed: int) -> Tensor:
        # Each layer draws from its own stream, so that a trunk can be resumed anywhere.
        stream = np.random.RandomState([seed, self.resolution, int(self.up)])
        maps = stream.randn(self.resolution, self.resolution).astype(np.float32)
        return torch.from_numpy(maps).to(self.noise_const)


class _ToRGB(nn.Module):
    """Modulated 1 × 1 convolution to three colours, without demodulation."""

    def __init__(self, inputs: int, config: StyleGAN2Config):
        super().__init__()
        self.affine = _FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        x = x * (styles * self.gain).to(x.dtype)[:, :, None, None]
        return conv2d(x, self.weight).to(styles.dtype) + self.bias.to(styles.dtype)[:, None, None]


class _Block(nn.Module):
    """All layers of one resolution."""

    def __init__(self, resolution: int, config: StyleGAN2Config):
        super().__init__()
        outputs = config.channels[resolution]
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(outputs, 4, 4))
        else:
            inputs = config.channels[resolution // 2]
            self.conv0 = _Convolution(inputs, outputs, config, resolution=resolution, up=True)
        self.conv1 = _Convolution(outputs, outputs, config, resolution=resolution, up=False)
        self.torgb = _ToRGB(outputs, config)


class StyleGAN2(StyledGenerator):
    """StyleGAN2 with skip connections (each resolution adds its own image to the upsampled one so far).

    Tensors carry the names of the official PyTorch code: ``mapping.fc0.weight``,
    ``synthesis.b8.conv0.affine.bias``.

    Parameters
    ----------
    config : StyleGAN2Config
        A fresh network has random weights; `lefs.load` fills them.
    """

    architecture = "stylegan2"

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.config = config
        self.resolution, self.z_dim, self.w_dim = config.resolution, config.z_dim, config.w_dim
        self.label_dim = config.label_dim
        self.mapping = _Mapping(config)
        self.synthesis = nn.Module()
        for r in config.resolutions:
            self.synthesis.add_module(f"b{r}", _Block(r, config))
        self.layers = self._tabulate()
        self.num_ws = 2 * len(config.resolutions)

    def _tabulate(self) -> tuple[StyleLayer, ...]:
        layers: list[StyleLayer] = []
        start = 0
        for r in self.config.resolutions:
            for part in ("conv0", "conv1", "torgb") if r > 4 else ("conv1", "torgb"):
                size = r // 2 if part == "conv0" else r
                inputs = self.config.channels[size]
                kind: Any = "rgb" if part == "torgb" else "conv"
                layers.append(StyleLayer(f"b{r}.{part}", kind, size, inputs, slice(start, start + inputs)))
                start += inputs
        return tuple(layers)

    @property
    def architecture_config(self) -> dict[str, Any]:
        """The `StyleGAN2Config` as plain JSON values."""
        content = asdict(self.config)
        content["channels"] = {str(r): c for r, c in self.config.channels.items()}
        return content

    def _module(self, layer: StyleLayer) -> Any:
        return self.synthesis.get_submodule(layer.name)

    def _styles(self, w: Tensor) -> Tensor:
        parts, index = [], 0
        for layer in self.layers:
            # The last convolution's w is shared with toRGB's successor: w index i feeds conv i and, for
            # toRGB, the convolution that would come next (as the official code pairs them).
            parts.append(self._module(layer).affine(w[:, index]))
            index += layer.kind == "conv"
        return torch.cat(parts, dim=1)

    # -- styles → images --------------------------------------------------------------------------
    def _begin(self, styles: Tensor) -> State:
        const = self.synthesis.get_parameter("b4.const")
        return const[None].expand(len(styles), -1, -1, -1), None

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        (x, image), module, scales = state, self._module(layer), styles[:, layer.slice]
        if layer.kind == "conv":
            return module(x, scales, module.noise_maps(noise)), image
        rgb = module(x, scales)
        return x, rgb if image is None else upsample(image) + rgb

    def _finish(self, state: State, size: int) -> Tensor:
        assert state[1] is not None
        return state[1]

    def _stage(self, layer: StyleLayer) -> int:
        return int(layer.name.partition(".")[0][1:])
