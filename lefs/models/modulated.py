"""Modulated convolutions of StyleGAN2, a few rows of large maps at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from lefs.models import layers
from lefs.models.configs import StyleGAN2Config
from lefs.models.tiles import recut, row_ranges
from lefs.synthesis import Noise

__all__ = ["ModulatedConvolution", "Modulation", "ToRGB"]


class Modulation(NamedTuple):
    """A modulated convolution for given styles: scale_out · conv(scale_in · x, weight) + bias + noise.

    The scales are (N, C, 1, 1), or None where they are in the weight already, as for one image whose maps
    outweigh the weight. A gain is in all of them.
    """

    weight: Tensor
    bias: Tensor
    noise: Tensor | None
    scale_in: Tensor | None
    scale_out: Tensor | None
    gain: float


class _Derived(NamedTuple):
    """What is kept of a layer's weight."""

    key: object  # what tells one weight from another: where it is, above all
    source: Tensor  # that weight: as long as it is held, no other one can be in its place
    weight: Tensor
    energy: Tensor


class ModulatedConvolution(nn.Module):
    """Modulated convolution (of StyleGAN2; Karras et al., CVPR 2020, §2.2), noise, bias, activation.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of channels.
    config : StyleGAN2Config
        What the layers of a network share.
    resolution : int
        Resolution of the result, by which its block is called; `StyleGAN2Config.size_at` gives the sides.
    up : bool
        Whether the result is twice as large as the input.
    """

    def __init__(self, inputs: int, outputs: int, config: StyleGAN2Config, *, resolution: int, up: bool):
        super().__init__()
        self.config, self.resolution, self.up = config, resolution, up
        self.size = config.size_at(resolution)
        self.affine = layers.FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(layers.normal(outputs, inputs, config.kernel_size, config.kernel_size))
        self.bias = nn.Parameter(layers.constant(0, outputs))
        if config.noise:
            self.noise_strength = nn.Parameter(layers.constant(0))
            self.noise_const = nn.Buffer(layers.normal(*self.size))
        self._derived: _Derived | None = None

    def modulation(self, styles: Tensor, noise: Noise, gain: float = 1.0) -> Modulation:
        """Everything that the styles (N, inputs) decide, ready for `forward`; `gain` is on the result."""
        dtype = layers.working_type(self.weight)
        with torch.autocast(styles.device.type, enabled=False):
            weight, energy = self._weight(dtype, styles.dtype)
            # A gain that the activation passes on unchanged costs nothing here.
            own = layers.HOMOGENEOUS.get(self.config.activation)
            folded = 1.0 if own is None else own * gain
            scale_in, scale_out = styles, (styles.square() @ energy.t() + 1e-8).rsqrt() * folded
            maps, bias = self._maps(noise, folded), (self.bias * folded).to(dtype)
            if len(styles) == 1 and self._maps_outweigh():
                pair = (
                    (scale_in[0, :, None], scale_out[0]) if self.up else (scale_out[0, :, None], scale_in[0])
                )
                weight = weight * (pair[0] * pair[1])[:, :, None, None]
                return Modulation(weight.to(dtype), bias, maps, None, None, gain)
            if dtype.itemsize < 4:
                # Half precision holds only so much; what is divided out comes back behind the convolution.
                longest = styles.detach().abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
                scale_in, scale_out = scale_in / longest, scale_out * longest
            scale_in, scale_out = (s.to(dtype)[:, :, None, None] for s in (scale_in, scale_out))
            return Modulation(weight.to(dtype), bias, maps, scale_in, scale_out, gain)

    def forward(self, x: Tensor, modulation: Modulation, rows: slice | None = None) -> Tensor:
        """Maps (N, inputs, h, w) → (N, outputs, H, W).

        With `rows`, only those of the result, from the rows of the input that they need: some above and below
        are part of `x` then, zeros outside the map too.
        """
        weight, bias, noise, scale_in, scale_out, gain = modulation
        x, cut = x.to(weight.dtype), rows is not None
        if scale_in is not None:
            x = (x * scale_in).contiguous(memory_format=layers.memory_format(x))
        early = bias if scale_out is None else None
        if self.up:
            x = layers.enlarging_convolution(x, weight, self.config.filter, early, cut=cut)
        else:
            reach = self.config.kernel_size // 2
            x = conv2d(x, weight, early, padding=(0 if cut else reach, reach))
        if scale_out is not None:
            x = torch.addcmul(bias[:, None, None], x, scale_out)
        if noise is not None:
            x = x.add_(noise if rows is None else noise[:, :, rows])
        return layers.activate_(x, self.config.activation, gain=gain, clamp=self.config.conv_clamp)

    def tiled(self, source: Iterable[Tensor], modulation: Modulation) -> Iterator[Tensor]:
        """As `forward`, from the row tiles of one map to those of the result."""
        height, width = self.size
        cuts = row_ranges(height, width * self.pixel_size)
        if len(cuts) == 1:
            yield from (self(x, modulation) for x in recut(source, [(0, height // (1 + self.up))]))
            return
        reach = 1 if self.up else self.config.kernel_size // 2
        seen = [(a // (1 + self.up) - reach, b // (1 + self.up) + reach) for a, b in cuts]
        for rows, x in zip(cuts, recut(source, seen), strict=True):
            yield self(x, modulation, slice(*rows))

    @property
    def pixel_size(self) -> int:
        """Bytes of all channels of one pixel of the result."""
        return len(self.bias) * layers.working_type(self.weight).itemsize

    def _maps_outweigh(self) -> bool:
        """Whether it takes longer to scale one image's maps, before and after, than the weight."""
        outputs, inputs = self.weight.shape[:2]
        pixels = math.prod(self.size)
        return inputs * pixels // (4 if self.up else 1) + outputs * pixels > self.weight.numel()

    def _weight(self, dtype: torch.dtype, precise: torch.dtype) -> tuple[Tensor, Tensor]:
        """The weight laid out for the convolution, and Σ w² over each kernel, (outputs, inputs)."""
        if self.weight.requires_grad and torch.is_grad_enabled():
            return self._derive(dtype, precise)
        version = 0 if self.weight.is_inference() else self.weight._version
        key = (self.weight.data_ptr(), version, self.weight.dtype, self.weight.device, dtype, precise)
        kept = self._derived  # (looked at once: another thread may replace it at any time)
        if kept is None or kept.key != key:
            # (made outside of inference mode, it serves calls with and without gradients)
            with torch.inference_mode(False), torch.no_grad():
                kept = self._derived = _Derived(key, self.weight.detach(), *self._derive(dtype, precise))
        return kept.weight, kept.energy

    def _derive(self, dtype: torch.dtype, precise: torch.dtype) -> tuple[Tensor, Tensor]:
        energy = self.weight.to(precise).square().sum(dim=(2, 3))
        weight = self.weight.transpose(0, 1) if self.up else self.weight
        layout = torch.empty(0, dtype=dtype, device=weight.device)
        return weight.contiguous(memory_format=layers.memory_format(layout)), energy

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ModulatedConvolution:
        self._derived = None
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> ModulatedConvolution:
        """As in torch. What is kept of the weight is forgotten: `freeze` says that it may be new."""
        self._derived = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and other processes get: not what can be made again."""
        return {**self.__dict__, "_derived": None}

    def _maps(self, noise: Noise, gain: float) -> Tensor | None:
        """What is added to every channel: (1, 1, H, W) or None."""
        if not self.config.noise or noise == "none":
            return None
        maps: Tensor = self.noise_const
        if noise != "const":
            maps = layers.seeded_map(int(noise), self.resolution, int(self.up), self.size).to(maps)
        return maps[None, None] * (self.noise_strength * gain)


class ToRGB(nn.Module):
    """Modulated 1 × 1 convolution to colors, without demodulation."""

    def __init__(self, inputs: int, config: StyleGAN2Config):
        super().__init__()
        self.affine = layers.FullyConnected(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(layers.normal(config.image_channels, inputs, 1, 1))
        self.bias = nn.Parameter(layers.constant(0, config.image_channels))
        self.gain, self.clamp = 1 / math.sqrt(inputs), config.conv_clamp

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) → colors, in the type of the styles (N, inputs)."""
        weight = (self.weight[:, :, 0, 0] * (styles * self.gain)[:, None]).to(x.dtype)
        colors = x.permute(0, 2, 3, 1).flatten(1, 2) @ weight.mT  # (N, H · W, 3)
        colors = colors.mT.to(styles.dtype).contiguous().unflatten(2, x.shape[2:])
        colors = colors.add_(self.bias.to(styles.dtype)[:, None, None])
        return colors if self.clamp is None else colors.clamp(-self.clamp, self.clamp)

    @property
    def pixel_size(self) -> int:
        """Bytes of all channels of one pixel of the maps."""
        return self.weight.shape[1] * layers.working_type(self.weight).itemsize

    def tiled(
        self, source: Iterable[Tensor], styles: Tensor, size: tuple[int, int], found: list[Tensor]
    ) -> Iterator[Tensor]:
        """Pass the row tiles of a map on, and append the colors of each to `found`."""
        for x in recut(source, row_ranges(size[0], size[1] * self.pixel_size)):
            found.append(self(x, styles))
            yield x
