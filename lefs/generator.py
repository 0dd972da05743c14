"""The contract of a generator: seeds → latents z → w → styles σ, on top of the walk from styles to the image.

An architecture tabulates its layers and describes one step from layer to layer. `Synthesis` and `Generator`
do all else.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lefs.checks import Label, Seeds, check_label, check_number, check_seed, check_seeds
from lefs.records import ArtifactError, printable
from lefs.showing import Shown
from lefs.stylespace import StyleLayer, check_rows
from lefs.synthesis import Noise, Synthesis

__all__ = ["Generator", "GeneratorId", "Sampling", "check_generator", "fingerprint_of"]

# Of a conditional generator, for each image: a class, or label_dim numbers, of mixed classes or of attributes
Labels = Sequence[int | Sequence[float]] | np.ndarray | Tensor | None
_MANY = 4096  # latents that a mean is estimated from


class Generator(Shown, Synthesis):
    """A trained image generator.

    Holds no global state, is always in eval mode after loading, and follows the device and dtype that
    ``.to(...)`` gives it. Gradients reach the styles whenever they ask for them.

    An architecture sets the attributes below and those of `Synthesis`, gives `architecture_config`, and tells
    how styles follow from w (`_styles`).

    Attributes
    ----------
    w_dim, num_ws : int
        Size D of w, and the number L of w vectors.
    mapping : nn.Module
        Called with z (N, z_dim) and labels (N, label_dim), one-hot for classes, or None, it gives w (N, D).
        Its buffer ``w_avg``, (D,) or (L, D), is what truncation pulls toward.
    truncation_cutoff : int or None
        Truncation pulls only that many of the w vectors, the first; None: all.
    default_label : int, tuple of float, or None
        The class where none is given, or a number for each class.
    source, origin : Path, dict, or None
        The file it was loaded from, so that another process can load it too, and what that says of itself.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> generator(generator.latents([1, 2]), truncation=0.7).shape
    torch.Size([2, 3, 64, 64])
    """

    architecture: str
    w_dim: int = 0
    num_ws: int = 0
    mapping: nn.Module
    truncation_cutoff: int | None = None
    default_label: Label | None = None
    source: Path | None = None
    origin: dict[str, Any] | None = None
    _identity: dict[str, str] | None = None  # shared by copies that share the weights; None: not frozen

    def __repr__(self) -> str:
        height, width = self.size
        return f"{type(self).__name__} {self.name!r}, {height} × {width}, on {self.device}"

    def __getitem__(self, name: str) -> StyleLayer:
        """The layer of that name: ``generator["b8.conv1"]``, which notebooks complete."""
        return self.layer(name)

    __iter__ = None

    def _ipython_key_completions_(self) -> list[str]:
        return [layer.name for layer in self.layers]

    # -- what an architecture describes -----------------------------------------------------------
    @property
    @abstractmethod
    def architecture_config(self) -> dict[str, Any]:
        """What, besides the tensors, rebuilds this generator: plain JSON values."""

    def _styles(self, w: Tensor) -> Tensor:
        """W (N, L, D) → styles (N, S)."""
        raise NotImplementedError

    # -- identity ---------------------------------------------------------------------------------
    @property
    def fingerprint(self) -> str:
        """SHA-256 over architecture and tensors as loaded; moving or casting does not change it.

        Call `freeze` after changing weights in place, so that catalogs of the old ones are refused.
        """
        known = self._identity = {} if self._identity is None else self._identity
        if "fingerprint" not in known:
            tensors = dict(self.state_dict())
            known["fingerprint"] = fingerprint_of(self.architecture, self.architecture_config, tensors)
        return known["fingerprint"]

    def freeze(self) -> Generator:
        """Put into eval mode without gradients to the weights; the fingerprint is theirs. Returns itself."""
        self.eval().requires_grad_(False)
        self._identity, self.source = {}, None
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Generator:
        # The hash is of the tensors as loaded, and made when it is asked for or before they are cast.
        if self._identity is not None:
            _ = self.fingerprint
        return super()._apply(fn, recurse)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What images are computed in: the narrowest type among the weights."""
        return min((p.dtype for p in self.parameters()), key=lambda t: t.itemsize)

    # -- seeds → styles ---------------------------------------------------------------------------
    def with_label(self, label: int | Sequence[float]) -> Generator:
        """The same conditional generator, taking `label`, a class or a number for each, wherever none is
        given; it shares the weights. Dissection and editing know seeds only: this says whose images they are
        about.
        """
        if not self.label_dim:
            raise ValueError("label given, but this generator is not conditional: leave it out")
        found = copy.copy(self)
        found.default_label = check_label("label", label, self.label_dim)
        return found

    def latents(self, seeds: Seeds) -> Tensor:
        """Latents of given seeds, each independent of the others: (N, z_dim), float32.

        Seed s is ``numpy.random.RandomState(s).randn(z_dim)``, the convention of the official StyleGAN
        scripts, so that a published seed gives the published image.
        """
        rows = [np.random.RandomState(s).randn(self.z_dim) for s in check_seeds(seeds)]
        return torch.from_numpy(np.stack(rows)).float().to(self.device)

    def _label_rows(self, labels: Labels, count: int) -> Tensor | None:
        """What the network is told of each image's class: (N, label_dim), None if it knows no classes."""
        if not self.label_dim:
            if labels is not None:
                raise ValueError("labels given, but this generator is not conditional: leave them out")
            return None
        if labels is None and self.default_label is not None:
            labels = [self.default_label] * count
        if labels is None or not getattr(labels, "ndim", isinstance(labels, Sized)) or len(labels) != count:
            valid = f"an integer from 0 to {self.label_dim - 1}, or {self.label_dim} numbers"
            raise ValueError(
                f"labels: this generator is conditional and needs {valid}, for each of the {count} latents, "
                f"got {labels!r:.200}; generator.with_label(0) takes 0 wherever none are given"
            )
        rows = torch.zeros(count, self.label_dim)
        for i, given in enumerate(labels):
            label = torch.tensor(check_label(f"labels[{i}]", given, self.label_dim))
            rows[i] = label if label.ndim else one_hot(label, self.label_dim)
        return rows.to(self.device)

    def map(self, z: Tensor, truncation: float = 1.0, labels: Labels = None) -> Tensor:
        """Latents (N, z_dim) → w of shape (N, L, D), pulled toward the mean w by `truncation` ψ
        (1: as drawn; 0: the mean face). A conditional network needs `labels`, for each latent one: a class,
        or `label_dim` numbers, of classes that are mixed or of attributes.
        """
        self.check_styles()
        psi = check_number("truncation", truncation)
        check_rows(self.z_dim, z=z)
        w = self.mapping(z, self._label_rows(labels, len(z)))[:, None].expand(-1, self.num_ws, -1)
        if psi == 1:
            return w
        pulled = self.mean_w().lerp(w, psi)
        cutoff = self.num_ws if self.truncation_cutoff is None else self.truncation_cutoff
        return torch.cat([pulled[:, :cutoff], w[:, cutoff:]], dim=1)

    def mean_w(self) -> Tensor:
        """What truncation pulls toward: of shape (D,), or (L, D) if each layer has its own."""
        center: Tensor | None = getattr(self.mapping, "w_avg", None)
        return self._estimated_mean.to(self.device) if center is None else center

    @cached_property
    @torch.no_grad()
    def _estimated_mean(self) -> Tensor:
        """The mean w over fixed latents and all classes, for files that hold none."""
        z = torch.from_numpy(np.random.RandomState(0).randn(_MANY, self.z_dim)).float().to(self.device)
        labels = [i % self.label_dim for i in range(_MANY)] if self.label_dim else None
        w: Tensor = self.mapping(z, self._label_rows(labels, _MANY))
        return w.double().mean(dim=0).to(w.dtype).cpu()

    def styles(self, w: Tensor) -> Tensor:
        """W (N, L, D) → the scales σ of every channel of every layer: (N, S), float32."""
        self.check_styles()
        check_rows(self.num_ws, self.w_dim, w=w)
        return self._styles(w)

    def _codes(self, z: Tensor, truncation: float, labels: Labels) -> Tensor:
        """What a walk starts from: styles; where there are none, latents followed by their labels."""
        if self.has_styles:
            return self.styles(self.map(z, truncation, labels))
        rows = self._label_rows(labels, len(z))
        return z if rows is None else torch.cat([z, rows], dim=1)

    @torch.no_grad()
    def sample(self, seeds: Seeds, *, truncation: float = 1.0, labels: Labels = None) -> Tensor:
        """Seeds → what `synthesize`, `record` and `walk` take, without gradients: styles (N, S); where there
        are none, latents (N, z_dim + label_dim), on which truncation has no effect.
        """
        return self._codes(self.latents(seeds), truncation, labels)

    def sample_styles(self, seeds: Seeds, *, truncation: float = 1.0, labels: Labels = None) -> Tensor:
        """As `sample`, and a TypeError where there are no styles."""
        self.check_styles()
        return self.sample(seeds, truncation=truncation, labels=labels)

    def forward(
        self, z: Tensor, truncation: float = 1.0, labels: Labels = None, noise: Noise = "const"
    ) -> Tensor:
        """Latents (N, z_dim) → images (N, 3, H, W)."""
        return self.synthesize(self._codes(z, truncation, labels), noise)


def check_generator(generator: Any) -> None:
    """Raise a TypeError unless it is a generator, such as for the name of one."""
    if not isinstance(generator, Generator):
        raise TypeError(
            f"generator must be a lefs.Generator, got {generator!r:.80}; lefs.load(name_or_path) gives one"
        )


def fingerprint_of(architecture: str, config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 over the architecture, its configuration and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps([architecture, config], sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class GeneratorId:
    """Whose a record is.

    Attributes
    ----------
    fingerprint : str
        `Generator.fingerprint`, 64 hexadecimal digits.
    name : str
        The generator's, for people.
    """

    fingerprint: str
    name: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.fingerprint[:12]})"

    def to_json(self) -> dict[str, str]:
        """Plain values that `from_json` reads."""
        return {"fingerprint": self.fingerprint, "label": self.name}

    @classmethod
    def from_json(cls, entry: Mapping[str, str]) -> GeneratorId:
        """The identity that `to_json` described."""
        if not re.fullmatch("[0-9a-f]{64}", entry["fingerprint"]):
            raise ValueError(f"fingerprint must be 64 hexadecimal digits, got {entry['fingerprint']!r:.100}")
        return cls(entry["fingerprint"], printable(str(entry["label"]), 200))

    @classmethod
    def of(cls, generator: Generator) -> GeneratorId:
        """The identity of a generator."""
        return cls(generator.fingerprint, generator.name)

    def check(self, generator: Generator, *, what: str, remedy: str) -> None:
        """Raise an `ArtifactError` that names both unless `generator` is this one."""
        check_generator(generator)
        if generator.fingerprint != self.fingerprint:
            raise ArtifactError(
                f"this {what} belongs to generator {self} and not to {GeneratorId.of(generator)}; {remedy}"
            )


@dataclass(frozen=True, repr=False)
class Sampling(Shown):
    """What something was measured on, and how: enough to measure it again.

    Attributes
    ----------
    seeds : tuple of int
    truncation : float
        ψ of the images.
    random_state : int
        Of the clustering, or of the signs of effects.
    label : int, tuple of float, or None
        The class, of a conditional generator, or a number for each class.
    n_init, max_vectors, sample_size, probes, precision : int, float or None
        As `lefs.dissect` was given them, and ``"auto"`` or ``"all"`` for `sample_size`; None: not recorded,
        as in files of before, or without a meaning for what was measured.
    """

    seeds: tuple[int, ...]
    truncation: float
    random_state: int
    label: Label | None = None
    n_init: int | None = None
    max_vectors: int | None = None
    sample_size: int | str | None = None
    probes: int | None = None
    precision: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads; what is None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Sampling:
        """The sampling that `to_json` described."""
        check_number("truncation", entry["truncation"], minimum=-100, maximum=100)
        check_seed("random_state", entry["random_state"])
        seeds, label = tuple(check_seeds(entry["seeds"])), check_label("label", entry.get("label"))
        return cls(**{**entry, "seeds": seeds, "label": label})
