"""What lefs asks of a generator: the contract that every architecture keeps.

An architecture with styles derives from `lefs.generators.styled.StyledGenerator`, which walks through the
layers for it; one without styles (ProGAN) from `lefs.generators.styleless.StylelessGenerator`. What
`synthesize`, `record`, `activations` and `intervene` take is what `sample` returns: styles, or the latents
themselves where there are no styles.
"""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lefs.checks import check_integer, check_name, check_seeds
from lefs.records import ArtifactError
from lefs.stylespace import StyleLayer

__all__ = [
    "Generator",
    "GeneratorId",
    "MapEdit",
    "Noise",
    "State",
    "Trunk",
    "edited",
    "fingerprint_of",
]

Noise = Literal["const", "none"] | int
# What a synthesis carries from layer to layer: the features first, then what the architecture needs besides.
State = tuple[Tensor | None, ...]
# Replaces the maps (N, C, H, W) that enter a layer by others of that shape; it must not change them in place.
MapEdit = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Trunk:
    """The states of one synthesis, kept so that another can start in its middle.

    Attributes
    ----------
    styles : Tensor of shape (N, S), what was synthesized
    noise : the noise it was synthesized with
    states : the state before each layer, and the last one
    image : Tensor of shape (N, 3, H, W), the result
    """

    styles: Tensor
    noise: Noise
    states: tuple[State, ...]
    image: Tensor


def edited(layer: StyleLayer, maps: Tensor, edit: MapEdit) -> Tensor:
    """What `edit` makes of the maps that enter `layer`; a ValueError if it gives them another shape."""
    found = edit(maps)
    if found.shape != maps.shape:
        raise ValueError(
            f"edits[{layer.name!r}] must return maps of shape {tuple(maps.shape)}, got {tuple(found.shape)}"
        )
    return found


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
    extra_styles : how many numbers at the end of the style vector belong to no layer (StyleGAN3: where its
        input lies); no part owns them, edits leave them alone
    has_styles : False for an architecture that can be dissected but not edited
    label : a name for people
    """

    architecture: str
    resolution: int
    z_dim: int
    w_dim: int
    num_ws: int
    label_dim: int
    layers: tuple[StyleLayer, ...]
    extra_styles: int = 0
    has_styles: bool = True
    label: str = "unnamed"
    usual_label: int | None = None  # the class where none is given
    source: Path | None = None  # the file it was loaded from, so that another process can load it too
    origin: dict[str, Any] | None = None  # what that file says about where it is from
    _fingerprint: str | None = None
    _frozen: bool = False

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
        """Put into eval mode without gradients to the weights; the fingerprint is theirs. Returns itself."""
        self.eval().requires_grad_(False)
        self._fingerprint = self.source = None
        self._frozen = True
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Generator:
        # The hash is of the tensors as loaded, and made when it is asked for or before they are cast.
        if self._frozen:
            _ = self.fingerprint
        return super()._apply(fn, recurse)

    def check_styles(self) -> None:
        """Raise a TypeError that says why if this generator cannot be edited."""

    # -- layers -----------------------------------------------------------------------------------
    @property
    def num_styles(self) -> int:
        """S, the length of the flat style vector: all scales, then all shifts if any, then the extras."""
        used = (s.stop for layer in self.layers for s in (layer.slice, layer.shift) if s is not None)
        return max(used) + self.extra_styles

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
        convolutions = [layer for layer in self.layers if layer.kind == "conv"]
        return min(convolutions, key=lambda layer: abs(layer.resolution - widest)).name

    @property
    def preview_sizes(self) -> tuple[int, ...]:
        """Image sides that `synthesize` takes as `upto`, in ascending order; the last is `resolution`."""
        return (self.resolution,)

    @property
    def preview_size(self) -> int:
        """The largest side up to 256 that images can be made at, for interactive work."""
        return max((s for s in self.preview_sizes if s <= 256), default=self.preview_sizes[0])

    # -- latents → images -------------------------------------------------------------------------
    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What images are computed in: the narrowest type among the weights."""
        return min((p.dtype for p in self.parameters()), key=lambda t: t.itemsize)

    def with_label(self, label: int) -> Generator:
        """The same conditional generator, taking `label` wherever no class is given; it shares the weights.

        Dissection and editing know seeds only: this says whose images they are about.
        """
        if not self.label_dim:
            raise ValueError("label given, but this generator is not conditional: leave it out")
        found = copy.copy(self)
        found.usual_label = check_integer("label", label, maximum=self.label_dim - 1)
        return found

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

    def _one_hot(self, labels: Sequence[int] | None, count: int) -> Tensor | None:
        if not self.label_dim:
            if labels is not None:
                raise ValueError("labels given, but this generator is not conditional: leave them out")
            return None
        if labels is None and self.usual_label is not None:
            labels = [self.usual_label] * count
        valid = f"an integer from 0 to {self.label_dim - 1} for each of the {count} latents"
        if labels is None or len(labels) != count:
            raise ValueError(
                f"labels: this generator is conditional and needs {valid}, got {labels!r}; "
                "generator.with_label(3) takes 3 wherever none are given"
            )
        index = [check_integer(f"labels[{i}]", c, maximum=self.label_dim - 1) for i, c in enumerate(labels)]
        return torch.eye(self.label_dim, device=self.device)[index]

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

    @abstractmethod
    def intervene(
        self,
        styles: Tensor,
        edits: Mapping[str, MapEdit],
        *,
        noise: Noise = "const",
        resume: Trunk | None = None,
    ) -> Tensor:
        """Synthesize with the maps of some layers replaced on the way: images (N, 3, H, W).

        An edit gets the tensor that its layer scales, what `activations` yields, with all edits before it
        done, and returns what the network goes on with. (An edit that returns what it got only looks.) A map
        that enters two layers, first a toRGB and then a convolution, is replaced for both by an edit of the
        first. Gradients reach what the edits are made of.

        Parameters
        ----------
        styles : as for `synthesize`
        edits : {layer name: function of maps (N, C, H, W) that returns maps of that shape, new ones}
        noise : as for `synthesize`
        resume : a `trunk` of the same noise; work starts at the first layer that is edited or whose styles
            differ from it, or at the beginning if gradients to the styles are asked for
        """

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

    def sample(
        self, seeds: int | Iterable[int], *, truncation: float = 1.0, labels: Sequence[int] | None = None
    ) -> Tensor:
        """Seeds → what `synthesize`, `record` and `activations` take, without gradients: styles (N, S), or
        latents (N, z_dim) where there are no styles.
        """
        return self.sample_styles(seeds, truncation=truncation, labels=labels)

    def sample_styles(
        self, seeds: int | Iterable[int], *, truncation: float = 1.0, labels: Sequence[int] | None = None
    ) -> Tensor:
        """Seeds → styles (N, S) without gradients: ``styles(map(latents(seeds), truncation))``."""
        with torch.inference_mode():
            return self.styles(self.map(self.latents(seeds), truncation, labels))


@dataclass(frozen=True)
class GeneratorId:
    """Whose catalog it is: the generator's fingerprint and its name for people."""

    fingerprint: str
    label: str

    def __str__(self) -> str:
        return f"{self.label!r} ({self.fingerprint[:12]})"

    @classmethod
    def of(cls, generator: Generator) -> GeneratorId:
        """The identity of a generator."""
        return cls(generator.fingerprint, generator.label)

    def check(self, generator: Generator, *, what: str, remedy: str) -> None:
        """Raise an `ArtifactError` that names both unless `generator` is this one."""
        if generator.fingerprint != self.fingerprint:
            raise ArtifactError(
                f"this {what} belongs to generator {self} and not to {GeneratorId.of(generator)}; {remedy}"
            )
