"""What lefs asks of a generator: the contract that every architecture keeps."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lefs.checks import check_name, check_seeds

__all__ = ["Generator", "Noise", "StyleLayer", "Trunk", "fingerprint_of"]

Noise = Literal["const", "none"] | int


@dataclass(frozen=True)
class StyleLayer:
    """One layer whose input channels are scaled by styles.

    Attributes
    ----------
    name : the layer's name in the publisher's own scheme, for example ``"b32.conv1"``
    kind : ``"conv"`` or ``"rgb"``
    resolution : side of the map that the layer scales (its input), in pixels
    channels : number of channels of that map, C
    slice : where the layer's styles lie in the flat vector of all S styles
    """

    name: str
    kind: Literal["conv", "rgb"]
    resolution: int
    channels: int
    slice: slice = field(hash=False)


@dataclass(frozen=True)
class Trunk:
    """The states of one synthesis, kept so that another can start in its middle.

    Attributes
    ----------
    styles : Tensor of shape (N, S), what was synthesized
    noise : the noise it was synthesized with
    states : for each layer, (features, image so far) before that layer
    image : Tensor of shape (N, 3, H, W), the result
    """

    styles: Tensor
    noise: Noise
    states: tuple[tuple[Tensor, Tensor | None], ...]
    image: Tensor


def fingerprint_of(architecture: str, config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 over the architecture, its configuration and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps([architecture, config], sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Generator(nn.Module, ABC):
    """A trained image generator, seen as latents → w → styles → image.

    Holds no global state, is always in eval mode after loading, and follows the device and dtype that
    ``.to(...)`` gives it. Gradients reach the styles whenever they ask for them.

    Attributes
    ----------
    resolution : side of the square images, in pixels
    z_dim, w_dim, num_ws, label_dim : sizes of the latents (D), number of w vectors (L), labels (0: none)
    layers : tuple of `StyleLayer`, in the order of the flat style vector
    label : a name for people
    """

    architecture: str
    resolution: int
    z_dim: int
    w_dim: int
    num_ws: int
    label_dim: int
    layers: tuple[StyleLayer, ...]
    label: str = "unnamed"
    source: Path | None = None  # the file it was loaded from, so that another process can load it too
    _fingerprint: str | None = None

    # -- identity ---------------------------------------------------------------------------------
    @property
    @abstractmethod
    def architecture_config(self) -> dict[str, Any]:
        """What, besides the tensors, rebuilds this generator: plain JSON values."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over architecture and tensors as loaded; moving or casting does not change it.

        Call `freeze` after changing weights in place, so that catalogs of the old ones are refused.
        """
        if self._fingerprint is None:
            self._fingerprint = fingerprint_of(
                self.architecture, self.architecture_config, dict(self.state_dict())
            )
        return self._fingerprint

    def freeze(self) -> Generator:
        """Put into eval mode, stop gradients to the weights and fix the fingerprint; returns itself."""
        self.eval().requires_grad_(False)
        self._fingerprint = self.source = None
        _ = self.fingerprint
        return self

    # -- layers -----------------------------------------------------------------------------------
    @property
    def num_styles(self) -> int:
        """S, the length of the flat style vector."""
        return self.layers[-1].slice.stop

    def layer(self, name: str) -> StyleLayer:
        """The layer called `name`; a KeyError lists the names."""
        by_name = {layer.name: layer for layer in self.layers}
        return by_name[check_name("layer", name, list(by_name), what="style layer")]

    @property
    def default_layer(self) -> str:
        """The layer to cluster unless told otherwise: the first convolution that sees maps of 32 × 32, or of
        half the image's side if that is less (16 to 32 pixels work best).
        """
        widest = min(32, max(4, self.resolution // 2))
        return next(la.name for la in self.layers if la.kind == "conv" and la.resolution == widest)

    # -- latents → images -------------------------------------------------------------------------
    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What images are computed in: the narrowest type among the weights."""
        return min((p.dtype for p in self.parameters()), key=lambda t: t.itemsize)

    def latents(self, seeds: int | Iterable[int]) -> Tensor:
        """Latents of given seeds, each independent of the others in the call.

        Seed s is ``numpy.random.RandomState(s).randn(z_dim)``, the convention of the official StyleGAN
        scripts, so that a published seed gives the published image.

        Returns
        -------
        Tensor of shape (N, z_dim), float32
        """
        rows = [np.random.RandomState(s).randn(self.z_dim) for s in check_seeds(seeds)]
        return torch.from_numpy(np.stack(rows)).float().to(self.device)

    @abstractmethod
    def map(self, z: Tensor, truncation: float = 1.0, labels: Sequence[int] | None = None) -> Tensor:
        """Latents (N, z_dim) → w of shape (N, L, D), pulled toward the mean w by `truncation` ψ
        (1: as drawn; 0: the mean face).
        """

    @abstractmethod
    def styles(self, w: Tensor) -> Tensor:
        """W (N, L, D) → the scales σ of every channel of every layer, of shape (N, S), float32."""

    @abstractmethod
    def synthesize(
        self, styles: Tensor, noise: Noise = "const", upto: int | None = None, resume: Trunk | None = None
    ) -> Tensor:
        """Styles (N, S) → images (N, 3, H, W), nominally in [-1, 1] and not clamped.

        Parameters
        ----------
        noise : ``"const"`` (the network's own fixed maps), ``"none"``, or an int that seeds fixed maps
        upto : stop at this lower resolution and return the image there
        resume : a `trunk` of the same noise; work starts at the first layer whose styles differ from it, or
            at the beginning if gradients are asked for
        """

    @abstractmethod
    def trunk(self, styles: Tensor, noise: Noise = "const") -> Trunk:
        """Synthesize and keep every layer's input, for `synthesize(..., resume=)`."""

    @abstractmethod
    def activations(self, styles: Tensor) -> Iterator[tuple[StyleLayer, Tensor]]:
        """Yield each layer with the tensor that it scales, (N, C, H, W), one at a time and in order."""

    def record(self, styles: Tensor, layers: str | Iterable[str]) -> dict[str, Tensor]:
        """The tensors that `layers` scale, before they are scaled; no others are kept.

        Parameters
        ----------
        styles : Tensor of shape (N, S)
        layers : names of style layers

        Returns
        -------
        dict of name → Tensor of shape (N, C, H, W)
        """
        wanted = {self.layer(n).name for n in ([layers] if isinstance(layers, str) else layers)}
        found: dict[str, Tensor] = {}
        if not wanted:
            return found
        for layer, maps_nchw in self.activations(styles):
            if layer.name in wanted:
                found[layer.name] = maps_nchw
            if len(found) == len(wanted):
                break
        return found

    def sample_styles(self, seeds: int | Iterable[int], *, truncation: float = 1.0) -> Tensor:
        """Seeds → styles (N, S) without gradients: ``styles(map(latents(seeds), truncation))``."""
        with torch.inference_mode():
            return self.styles(self.map(self.latents(seeds), truncation))
