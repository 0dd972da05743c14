"""What the architectures have in common: a configuration, a mapping network, modules called as layers are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from lefs.generator import Generator
from lefs.models.layers import Mapping
from lefs.models.settings import settings_of
from lefs.stylespace import StyleLayer

__all__ = ["Network", "in_a_row"]


class Network(Generator):
    """A generator that is made from a configuration.

    Parameters
    ----------
    config : StyleGAN2Config, StyleGAN3Config, StyleGANConfig or ProGANConfig
        What, besides the tensors, defines the network.
    **mapping : Any
        Settings of the mapping network that the configuration does not have.
    """

    config: Any
    synthesis: nn.Module
    # settings that have always been written, and so are in fingerprints, also at their defaults
    _always: tuple[str, ...] = ()

    def __init__(self, config: Any, **mapping: Any):
        super().__init__()
        self.config, self.size = config, (config.resolution,) * 2
        self.z_dim, self.label_dim = config.z_dim, config.label_dim
        if self.has_styles:
            self.w_dim, self.truncation_cutoff = config.w_dim, getattr(config, "truncation_cutoff", None)
            self.mapping = Mapping(config, **mapping)
        self.synthesis = nn.Module()

    @property
    def architecture_config(self) -> dict[str, Any]:
        """The configuration as plain JSON values; what is at its default is mostly left out."""
        return settings_of(self.config, self._always)

    def _module(self, layer: StyleLayer) -> Any:
        return self.synthesis.get_submodule(layer.name)

    def _resolution(self, layer: StyleLayer) -> int:
        """8 of ``"b8.conv1"``."""
        return int(layer.name.partition(".")[0][1:])


def in_a_row(layers: Iterable[tuple[str, tuple[int, int], int]]) -> tuple[StyleLayer, ...]:
    """Style layers (name, size, channels) whose styles follow one another; "torgb" makes colors."""
    made, start = list[StyleLayer](), 0
    for name, size, channels in layers:
        kind: Any = "rgb" if name.endswith("torgb") else "conv"
        made.append(StyleLayer(name, kind, size, channels, slice(start, start + channels)))
        start += channels
    return tuple(made)
