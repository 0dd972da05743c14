"""StyleGAN3 (Karras et al., NeurIPS 2021), -T and -R, for inference: no custom operators, any device."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

from lefs.checks import check_number
from lefs.generator import Labels
from lefs.models.alias_free import FilteredLeakyReLU, spare_border
from lefs.models.configs import FourierPlan, LayerPlan, StyleGAN3Config
from lefs.models.layers import FullyConnected, Precise, constant, normal
from lefs.models.networks import Network, in_a_row
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State

__all__ = ["StyleGAN3", "StyleGAN3Config"]


class _FourierInput(Precise):
    """Sine waves of fixed random frequencies, turned and shifted as the styles say, then mixed."""

    placement: Tensor | None

    def __init__(self, plan: FourierPlan, w_dim: int):
        super().__init__()
        self.plan = plan
        self.affine = FullyConnected(w_dim, 4)
        self.affine.bias.data[:1] = 1  # (no rotation, no shift)
        self.weight = nn.Parameter(normal(plan.channels, plan.channels))
        self.transform = nn.Buffer(torch.from_numpy(np.eye(3, dtype=np.float32)))
        # (not among the weights: where images are placed does not belong to who the network is)
        self.register_buffer("placement", None, persistent=False)
        self.freqs = nn.Buffer(_frequencies(plan))
        self.phases = nn.Buffer(normal(plan.channels))

    def forward(self, pose: Tensor) -> Tensor:
        """Pose (N, 4): a direction (cos, sin) of any length r and a shift (x, y) · r → (N, C, H, W)."""
        plan, placing = self.plan, self._placing(pose)
        freqs = self.freqs @ placing[:, :, :2]  # (N, C, 2)
        phases = self.phases + (self.freqs @ placing[:, :, 2:]).squeeze(2)  # (N, C)
        # What the user's transform moves beyond the band fades out instead of aliasing.
        fade = 1 - (freqs.norm(dim=2) - plan.bandwidth) / (plan.sampling_rate / 2 - plan.bandwidth)
        centres = (torch.arange(plan.size).to(freqs) + 0.5 - plan.size / 2) / plan.sampling_rate
        rows, columns = (freqs[:, None, :, i] * centres[:, None] for i in (1, 0))  # (N, size, C) each
        turns = rows[:, :, None] + columns[:, None] + phases[:, None, None]  # (N, H, W, C)
        waves = torch.sin(2 * math.pi * turns) * fade.clamp(0, 1)[:, None, None]
        return linear(waves, self.weight / math.sqrt(plan.channels)).movedim(3, 1)

    def _placing(self, pose: Tensor) -> Tensor:
        """Position in the image → position in the waves, (N, 2, 3): rotation of a shift of the user's."""
        pose = pose.to(self.weight.dtype)
        cos, sin, x, y = (pose / pose[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        turn = torch.stack([cos, -sin, sin, cos], dim=1).unflatten(1, (2, 2))
        shift = turn @ torch.stack([-x, -y], dim=1)[:, :, None]
        placed = self.transform if self.placement is None else self.placement
        return torch.cat([turn, shift], dim=2) @ placed


def _frequencies(plan: FourierPlan) -> Tensor:
    """Random frequencies, uniform in a disc: (C, 2), in cycles per image."""
    drawn = normal(plan.channels, 2)
    if drawn.is_meta:
        return drawn
    radii = drawn.norm(dim=1, keepdim=True)
    return plan.bandwidth * drawn / radii * (-radii.square() / 4).exp()


class _Layer(Precise):
    """Modulated convolution, bias, filtered nonlinearity; toRGB has neither filters nor demodulation."""

    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, plan: LayerPlan, w_dim: int):
        super().__init__()
        self.plan = plan
        self.affine = FullyConnected(w_dim, plan.inputs, bias=1.0)
        self.weight = nn.Parameter(normal(plan.outputs, plan.inputs, plan.kernel, plan.kernel))
        self.bias = nn.Parameter(constant(0, plan.outputs))
        self.magnitude_ema = nn.Buffer(constant(1))
        for name, taps in zip(("up_filter", "down_filter"), plan.filters(), strict=True):
            self.register_buffer(name, taps)
        self.gain = 1 / math.sqrt(plan.inputs * plan.kernel**2)

    def keeps(self, tensor: Tensor) -> bool:
        """Filters and the magnitude stay in float32 at least, or constants would drift."""
        return any(tensor is own for own in self._buffers.values())

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        plan = self.plan
        with torch.autocast(x.device.type, enabled=False):
            scale_in, scale_out = self._scales(styles)
        x = x.to(self.weight.dtype) * scale_in.to(self.weight.dtype)[:, :, None, None]
        x, padding = self._convolve(x)
        scale_out, bias = scale_out.to(x.dtype)[:, :, None, None], self.bias[:, None, None]
        filters = (self.up_filter, self.down_filter, plan.up, plan.down, padding)
        gain, slope = (1.0, 1.0) if plan.rgb else (math.sqrt(2), 0.2)
        return FilteredLeakyReLU(*filters, gain, slope, plan.clamp)(torch.addcmul(bias, x, scale_out))

    def _scales(self, styles: Tensor) -> tuple[Tensor, Tensor]:
        """What multiplies the channels before (N, I) and after (N, O) a convolution that all images share."""
        expected = self.magnitude_ema.rsqrt()
        if self.plan.rgb:
            return styles * self.gain, expected.expand(len(styles), self.plan.outputs)
        # Demodulation makes the length of a style vector irrelevant: bring it to what half precision holds.
        styles = styles * (styles.square().mean(dim=1, keepdim=True) + 1e-20).rsqrt()
        energy = self.weight.to(styles.dtype).square().sum(dim=(2, 3))
        return styles, (styles.square() @ energy.t() + 1e-20).rsqrt() * expected

    def _convolve(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Convolve, with the rim of zeros as far as the filters will look; returns what padding they need."""
        before, after = self.plan.padding
        spare = spare_border(self.plan.up_taps, self.plan.up, self.plan.padding)
        rim = self.plan.kernel - 1 - spare
        x = pad(x, (rim, rim, rim, rim)) if rim < 0 else x
        moved = spare * self.plan.up
        return conv2d(x, self.weight, padding=max(rim, 0)), (before + moved, after + moved)


def _inside_margins(layer: StyleLayer, plan: LayerPlan) -> StyleLayer:
    kind: Any = "rgb" if plan.rgb else "conv"
    detail = round(min(2 * plan.in_cutoff, plan.in_rate), 6)
    return replace(layer, kind=kind, margin=plan.margin, detail=detail)


class StyleGAN3(Network):
    """StyleGAN3, config T (translation) or R (translation and rotation).

    Tensors and layers carry the names of the official code: ``synthesis.L0_36_512.affine.bias``.

    - The input follows w too: four numbers place its waves, a direction (cos, sin; its length only sets the
      unit of what follows) and a shift (x, y). They are the last four of the style vector, extra styles that
      belong to no layer, so that editing a part keeps the target's pose and a global edit takes the
      reference's.
    - Maps are wider than the picture: `StyleLayer.margin` says by how much.
    - There are no noise maps; `noise` changes nothing.
    - There are no images before the last layer, so `upto` takes the full resolution only.

    Parameters
    ----------
    config : StyleGAN3Config
        A fresh network has random weights; `lefs.load` fills them.

    Examples
    --------
    A file of NVIDIA's gives the configuration and the weights::

        generator = lefs.load("stylegan3-r-ffhqu-256x256.pkl")
        generator.place(rotation=30)

    >>> StyleGAN3.extra_styles  # where the input's waves lie: a direction and a shift
    4
    """

    architecture = "stylegan3"
    config: StyleGAN3Config
    extra_styles = 4
    _always = ("label_dim", "mapping_layers", "mapping_lr", "output_scale", "embed_dim", "class_means")

    def __init__(self, config: StyleGAN3Config):
        super().__init__(config)
        self.num_ws = len(config.layers) + 1
        if config.class_means:
            self.mapping.register_buffer("w_avg", constant(0, config.label_dim, config.w_dim))
        self.synthesis.add_module("input", _FourierInput(config.input, config.w_dim))
        for plan in config.layers:
            self.synthesis.add_module(plan.name, _Layer(plan, config.w_dim))
        layers = in_a_row((plan.name, (plan.in_size,) * 2, plan.inputs) for plan in config.layers)
        self.layers = tuple(map(_inside_margins, layers, config.layers))

    def place(self, *, rotation: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> None:
        """Turn and shift every image from now on; caches made before no longer fit.

        Parameters
        ----------
        rotation : float
            In degrees, counter-clockwise.
        shift : tuple of two float
            (x, y), to the right and down, in image sides.
        """
        angle = math.radians(check_number("rotation", rotation))
        x, y = (check_number(f"shift[{i}]", s) for i, s in enumerate(shift))
        cos, sin = math.cos(angle), math.sin(angle)
        forward = torch.tensor([[cos, sin, x], [-sin, cos, y], [0, 0, 1]], dtype=torch.float64)
        self._input.placement = torch.linalg.inv(forward).to(self._input.transform)

    @property
    def _input(self) -> Any:
        return self.synthesis.get_submodule("input")

    def map(self, z: Tensor, truncation: float = 1.0, labels: Labels = None) -> Tensor:
        """As `Generator.map`; the mean may be that of each image's class, or of those that are mixed."""
        if not self.config.class_means:
            return super().map(z, truncation, labels)
        psi, w = check_number("truncation", truncation), super().map(z, labels=labels)
        return w if psi == 1 else self._means(labels, len(z))[:, None].lerp(w, psi)

    def mean_w(self) -> Tensor:
        """As `Generator.mean_w`; where each class has its own mean, that of the class of `with_label`."""
        return self._means(None, 1)[0] if self.config.class_means else super().mean_w()

    def _means(self, labels: Labels, count: int) -> Tensor:
        """The mean w of the classes of each image, (count, D)."""
        shares, means = self._label_rows(labels, count), self.get_buffer("mapping.w_avg")
        assert shares is not None  # (means of classes are of a conditional network)
        if not torch.allclose(shares.sum(dim=1), shares.new_ones(1), atol=1e-3):
            raise ValueError("labels must sum to 1 for each image: truncation mixes the means of its classes")
        return shares.to(means) @ means

    def _styles(self, w: Tensor) -> Tensor:
        modules = [*map(self._module, self.layers), self._input]
        # The first w is the input's, whose styles come last.
        order = [*range(1, self.num_ws), 0]
        return torch.cat([m.affine(w[:, i]) for m, i in zip(modules, order, strict=True)], dim=1)

    def _begin(self, styles: Tensor) -> State:
        return (self._input(styles[:, -self.extra_styles :]),)

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        return (self._module(layer)(state[0], styles[:, layer.span]),)

    def _finish(self, state: State, size: int) -> Tensor:
        assert state[0] is not None
        image = state[0].to(self._input.weight.dtype) * self.config.output_scale
        return image.contiguous().expand(-1, 3, -1, -1)  # (grey images have one channel)
