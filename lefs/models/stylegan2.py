"""StyleGAN2 (Karras et al., CVPR 2020) for inference: all its architectures, no custom operators."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lefs.models.configs import StyleGAN2Config
from lefs.models.layers import DEFAULT_FILTER, Precise, memory_format, normal, up_convolution, upsample
from lefs.models.modulated import ModulatedConvolution, ToRGB
from lefs.models.networks import Network, in_a_row
from lefs.models.tiles import needs_tiles
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State

__all__ = ["StyleGAN2", "StyleGAN2Config"]


class _Shortcut(nn.Module):
    """The other way through a residual block: doubles the size, 1 × 1 convolution, no styles."""

    def __init__(self, inputs: int, outputs: int, config: StyleGAN2Config):
        super().__init__()
        self.weight = nn.Parameter(normal(outputs, inputs, 1, 1))
        self.gain, self.taps = math.sqrt(0.5 / inputs), config.filter

    def forward(self, x: Tensor) -> Tensor:
        return up_convolution(x, self.weight * self.gain, self.taps)


class _Block(Precise):
    """All layers of one resolution.

    Blocks before the six largest stay in float32: they cost next to nothing, and all others build on them.
    """

    def __init__(self, resolution: int, config: StyleGAN2Config):
        super().__init__()
        self.coarse = resolution < config.resolution // 32
        outputs = config.channels[resolution]
        if resolution == 4:
            self.const = nn.Parameter(normal(outputs, *config.start))
        else:
            inputs = config.channels[resolution // 2]
            self.conv0 = ModulatedConvolution(inputs, outputs, config, resolution=resolution, up=True)
            if config.architecture == "resnet":
                self.skip = _Shortcut(inputs, outputs, config)
        self.conv1 = ModulatedConvolution(outputs, outputs, config, resolution=resolution, up=False)
        if "torgb" in config.parts(resolution):
            self.torgb = ToRGB(outputs, config)

    def keeps(self, tensor: Tensor) -> bool:
        return self.coarse


class StyleGAN2(Network):
    """StyleGAN2 in all its architectures.

    Tensors carry the names of the official PyTorch code: ``mapping.fc0.weight``,
    ``synthesis.b8.conv0.affine.bias``.

    Parameters
    ----------
    config : StyleGAN2Config
        A fresh network has random weights; `lefs.load` fills them.

    Examples
    --------
    >>> from lefs import StyleGAN2, StyleGAN2Config
    >>> network = StyleGAN2(StyleGAN2Config(8, z_dim=4, w_dim=4, channels={4: 6, 8: 6})).freeze()
    >>> [layer.name for layer in network.layers]
    ['b4.conv1', 'b4.torgb', 'b8.conv0', 'b8.conv1', 'b8.torgb']
    """

    architecture = "stylegan2"
    config: StyleGAN2Config
    _always = (
        "resolution", "z_dim", "w_dim", "channels", "label_dim", "mapping_layers", "mapping_lr", "noise",
    )  # fmt: skip

    def __init__(self, config: StyleGAN2Config):
        super().__init__(config)
        self.size, self.channels = config.size_at(config.resolution), max(3, config.image_channels)
        for r in config.resolutions:
            self.synthesis.add_module(f"b{r}", _Block(r, config))
        parts = [(r, part) for r in config.resolutions for part in config.parts(r)]
        before = [(r, part, r // 2 if part == "conv0" else r) for r, part in parts]
        sizes = ((f"b{r}.{part}", config.size_at(b), config.channels[b]) for r, part, b in before)
        self.layers, self.num_ws = in_a_row(sizes), 2 * len(config.resolutions)

    def _styles(self, w: Tensor) -> Tensor:
        parts, index = [], 0
        for layer in self.layers:
            # The last convolution's w is shared with toRGB's successor: w index i feeds conv i and, for
            # toRGB, the convolution that would come next (as the official code pairs them).
            parts.append(self._module(layer).affine(w[:, index]))
            index += layer.kind == "conv"
        return torch.cat(parts, dim=1)

    # -- styles → images --------------------------------------------------------------------------
    # A state is (features, image so far, what a residual block will add to its result).
    def _begin(self, styles: Tensor) -> State:
        const: Tensor = self.synthesis.get_submodule("b4").const  # type: ignore[assignment]
        const = const[None].expand(len(styles), -1, -1, -1)
        # (a copy even of a single one: what is done to an image's maps is not done to the network)
        return const.clone(memory_format=memory_format(const)), None, None

    def _run(self, layers: Sequence[StyleLayer], state: State, styles: Tensor, noise: Noise) -> State:
        large = next((i for i, la in enumerate(layers) if self._is_large(la, len(styles))), len(layers))
        state = super()._run(layers[:large], state, styles, noise)
        return self._tiled(layers[large:], state, styles, noise, keep=False) if layers[large:] else state

    def _is_large(self, layer: StyleLayer, count: int) -> bool:
        """Whether the maps around `layer` are better made image by image, in row tiles."""
        config, resolution = self.config, self._resolution(layer)
        pixels = math.prod(config.size_at(resolution)) * count
        if not needs_tiles(pixels * config.channels[resolution] * 8) or self.device.type != "cpu":
            return False  # (as most layers of small networks)
        plain = config.architecture != "resnet" and config.kernel_size == 3
        usual = plain and config.filter == DEFAULT_FILTER
        return usual and needs_tiles(pixels * self._module(layer).pixel_size)

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        if self._is_large(layer, len(styles)):
            x, image, _ = self._tiled([layer], state, styles, noise, keep=layer.kind == "conv")
            return state[0] if x is None else x, image, None
        (x, image, residual), module, scales = state, self._module(layer), styles[:, layer.span]
        assert x is not None
        if layer.kind == "rgb":
            return x, self._over(image, module(x, scales)), None
        if module.up and self.config.architecture == "resnet":
            residual = self.synthesis.get_submodule(layer.name.replace("conv0", "skip"))(x)
        # Both summands of a residual block weigh √½; clamps shrink with them.
        last = residual is not None and not module.up
        x = module(x, module.modulation(scales, noise, math.sqrt(0.5) if last else 1.0))
        return (x + residual, image, None) if last else (x, image, residual)

    def _over(self, image: Tensor | None, colors: Tensor) -> Tensor:
        """What a resolution adds, over the image so far."""
        if image is None:
            return colors
        return upsample(image, self.config.image_filter or self.config.filter).add_(colors)

    def _tiled(
        self, layers: Sequence[StyleLayer], state: State, styles: Tensor, noise: Noise, *, keep: bool
    ) -> State:
        """Through several layers in row tiles; without `keep`, the maps behind the last one are dropped."""
        if len(styles) > 1:
            each = [tuple(t if t is None else t[i : i + 1] for t in state) for i in range(len(styles))]
            rows = zip(each, styles.split(1), strict=True)
            alone = [self._tiled(layers, one, row, noise, keep=keep) for one, row in rows]
            return tuple(map(_joined, zip(*alone, strict=True)))
        (x, image, _), colors = state, list[list[Tensor]]()
        assert x is not None
        tiles = iter([x])
        for layer in layers:
            module, scales = self._module(layer), styles[:, layer.span]
            if layer.kind == "rgb":
                colors.append([])
                tiles = module.tiled(tiles, scales, layer.size, colors[-1])
            else:
                tiles = module.tiled(tiles, module.modulation(scales, noise))
        kept = [tile for tile in tiles if keep]
        for found in colors:
            image = self._over(image, torch.cat(found, dim=2))
        return torch.cat(kept, dim=2) if keep else None, image, None

    def _finish(self, state: State, size: int) -> Tensor:
        image = state[1]
        assert image is not None
        return image.expand(-1, self.channels, -1, -1)  # (grey images have one channel)

    def _stage(self, layer: StyleLayer) -> int:
        made = self._resolution(layer)
        return self.config.size_at(made)[0] if self.config.architecture == "skip" else self.size[0]


def _joined(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    """One tensor of those of single images."""
    found = [t for t in parts if t is not None]
    return torch.cat(found) if found else None
