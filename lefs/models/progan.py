"""ProGAN (Karras et al., ICLR 2018, "progressive growing") for inference, and what StyleGAN has of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate, leaky_relu, pad

from lefs.models.layers import constant, normal
from lefs.models.networks import Network, in_a_row
from lefs.models.settings import check_pyramid, check_settings, resolutions_of
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State

__all__ = ["Colors", "ProGAN", "ProGANConfig", "Progressive", "blur", "pixel_norm", "up_convolution"]

# From this size on the official code convolves and doubles the size in one operation.
_FUSED_FROM = 128


def pixel_norm(x: Tensor) -> Tensor:
    """Divide each vector of channels by its root mean square: (N, C) or (N, C, H, W), Karras et al. 2018."""
    # Squares and their sum do not fit half precision.
    precise = x.to(torch.promote_types(x.dtype, torch.float32))
    return (precise * (precise.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()).to(x.dtype)


def up_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Double the size by repeating pixels, then convolve with zeros outside.

    Large maps are done in one transposed convolution whose 4 × 4 kernel is the flipped 3 × 3 kernel, spread
    over the 2 × 2 pixels that repetition makes: the same function with fewer multiplications.

    Parameters
    ----------
    x : Tensor of shape (N, I, h, w)
    weight : Tensor of shape (O, I, 3, 3)

    Returns
    -------
    Tensor of shape (N, O, 2h, 2w)
    """
    if 2 * x.shape[-1] < _FUSED_FROM:
        return conv2d(interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)
    rim = pad(weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
    spread = rim[..., 1:, 1:] + rim[..., :-1, 1:] + rim[..., 1:, :-1] + rim[..., :-1, :-1]
    return conv_transpose2d(x, spread, stride=2, padding=1)


def blur(x: Tensor, taps: Sequence[float]) -> Tensor:
    """Filter each map with `taps`, of odd length and brought to sum 1; zeros outside, the size stays."""
    row = x.new_tensor(taps) / sum(taps)
    channels, half = x.shape[1], len(taps) // 2
    kernel = torch.outer(row, row).expand(channels, 1, -1, -1)
    return conv2d(x, kernel, padding=half, groups=channels)


class Colors(nn.Module):
    """1 × 1 convolution from C channels to three colors, without styles."""

    def __init__(self, inputs: int):
        super().__init__()
        self.weight = nn.Parameter(normal(3, inputs, 1, 1))
        self.bias = nn.Parameter(constant(0, 3))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) → image (N, 3, H, W), float32 at least."""
        precise = torch.promote_types(x.dtype, torch.float32)
        image = conv2d(x, self.weight * self.gain).to(precise)
        return image + self.bias.to(precise)[:, None, None]


class Progressive(Network):
    """What grew resolution by resolution: each may still have a layer of its own that makes an image."""

    def _grow(self, layer: Callable[[int, int, int, int], nn.Module]) -> None:
        """Make the blocks, of two layers each, which `layer` gives: (inputs, outputs, resolution, index)."""
        for r in resolutions_of(self.config.resolution):
            inputs, outputs = self.config.channels[r // 2] if r > 4 else 0, self.config.channels[r]
            parts = {"conv0": layer(inputs, outputs, r, 0), "conv1": layer(outputs, outputs, r, 1)}
            if r in self.config.images:
                parts["torgb"] = Colors(outputs)
            self.synthesis.add_module(f"b{r}", nn.ModuleDict(parts))

    @property
    def preview_size(self) -> int:
        """The full resolution: smaller images have stale colors."""
        return self.size[0]

    def _finish(self, state: State, size: int) -> Tensor:
        image: Tensor = self.synthesis.get_submodule(f"b{size}.torgb")(state[0])
        return image

    def _stage(self, layer: StyleLayer) -> int:
        return next(r for r in self.config.images if r >= self._resolution(layer))


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
        check_settings(self)


class _Layer(nn.Module):
    """A 3 × 3 convolution, after doubling the size at index 0; leaky ReLU and pixel norm.

    The first layer of all makes maps of 4 × 4 from the latent.
    """

    def __init__(self, inputs: int, outputs: int, resolution: int, index: int):
        super().__init__()
        self.first, self.up = resolution == 4 and index == 0, index == 0
        shape = (16 * outputs, inputs) if self.first else (outputs, inputs, 3, 3)
        self.weight = nn.Parameter(normal(*shape))
        self.bias = nn.Parameter(constant(0, outputs))
        self.gain = math.sqrt(2 / inputs) / 4 if self.first else math.sqrt(2 / (9 * inputs))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if self.first:
            x = (x @ weight.t()).unflatten(1, (-1, 4, 4))
        else:
            x = up_convolution(x, weight) if self.up else conv2d(x, weight, padding=1)
        return pixel_norm(leaky_relu(x + self.bias[:, None, None], 0.2))


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
        super().__init__(config)
        codes, channels, last = config.z_dim + config.label_dim, config.channels, config.resolution
        self._grow(lambda inputs, *rest: _Layer(inputs or codes, *rest))
        names = [(r, part) for r in resolutions_of(last) for part in ("conv0", "conv1")][1:]
        sides = [(r, part, r // 2 if part == "conv0" else r) for r, part in [*names, (last, "torgb")]]
        self.layers = in_a_row((f"b{r}.{part}", (side, side), channels[side]) for r, part, side in sides)

    def _begin(self, styles: Tensor) -> State:
        return (self.synthesis.get_submodule("b4.conv0")(self._normalized(styles)),)

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        # (what makes an image comes last, in `_finish`)
        return state if layer.kind == "rgb" else (self._module(layer)(state[0]),)

    def _normalized(self, codes: Tensor) -> Tensor:
        if self.config.normalize_z:
            codes = torch.cat([pixel_norm(codes[:, : self.z_dim]), codes[:, self.z_dim :]], dim=1)
        return pixel_norm(codes.to(self.dtype))
