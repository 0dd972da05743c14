"""What every generator with styles shares: checks, truncation, the walk through the layers, resuming."""

from __future__ import annotations

from abc import abstractmethod
from collections import abc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lefs.checks import check_choice, check_integer, check_number
from lefs.generator import Generator, MapEdit, Noise, State, Trunk, edited
from lefs.generators.mapping import Mapping
from lefs.stylespace import StyleLayer

__all__ = ["StyledGenerator"]


class StyledGenerator(Generator):
    """Walks through the layers of an architecture that describes one step.

    A derived class sets, besides the attributes of `Generator`:

    - ``mapping``: a module; called with z (N, z_dim) and one-hot labels (N, label_dim) or None, it returns w
      of shape (N, D). Its buffer ``w_avg`` is (D,) or (L, D);
    - `_styles`: w (N, L, D) → styles (N, S), arguments already checked;
    - `_begin`: the state before the first layer; `_step`: the state after a layer; `_finish`: state → image;
    - `_stage`, where images can be made at lower resolutions.

    A state is a tuple whose first entry is the tensor that the next layer scales (N, C, H, W); the others are
    up to the architecture (the image so far, a residual). Every tensor in it has the batch first.

    Attributes
    ----------
    truncation_cutoff : truncation pulls only that many of the w vectors, the first; None: all
    """

    mapping: nn.Module
    synthesis: nn.Module
    truncation_cutoff: int | None = None

    def _set_up(self, config: Any, **mapping: Any) -> None:
        """Take over what every configuration has; make the mapping network, and room for the synthesis.

        `mapping` are further arguments of `lefs.generators.mapping.Mapping`.
        """
        self.resolution, self.z_dim, self.w_dim = config.resolution, config.z_dim, config.w_dim
        self.label_dim = config.label_dim
        depth, lr = config.mapping_layers, config.mapping_lr
        self.mapping = Mapping(self.z_dim, self.w_dim, self.label_dim, depth=depth, lr=lr, **mapping)
        self.synthesis = nn.Module()

    @abstractmethod
    def _styles(self, w: Tensor) -> Tensor:
        """W (N, L, D) → styles (N, S)."""

    @abstractmethod
    def _begin(self, styles: Tensor) -> State:
        """The state before the first layer."""

    @abstractmethod
    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        """The state after `layer`; `styles` are all S of each image."""

    @abstractmethod
    def _finish(self, state: State, size: int) -> Tensor:
        """The image (N, 3, size, size) of the state after the last layer whose `_stage` is at most `size`."""

    def _stage(self, layer: StyleLayer) -> int:
        """Side of the smallest image that needs this layer."""
        return self.resolution

    @property
    def preview_sizes(self) -> tuple[int, ...]:
        """As `Generator.preview_sizes`."""
        return tuple(sorted({self._stage(layer) for layer in self.layers}))

    # -- latents → styles -------------------------------------------------------------------------
    def map(self, z: Tensor, truncation: float = 1.0, labels: Sequence[int] | None = None) -> Tensor:
        """As `Generator.map`; a conditional network needs one class for each latent."""
        psi = check_number("truncation", truncation)
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must have shape (N, {self.z_dim}), got {tuple(z.shape)}")
        w = self.mapping(z, self._one_hot(labels, len(z)))[:, None].expand(-1, self.num_ws, -1)
        return w if psi == 1 else self._truncated(w, psi)

    def _truncated(self, w: Tensor, psi: float) -> Tensor:
        pulled = self.mean_w().lerp(w, psi)
        cutoff = self.num_ws if self.truncation_cutoff is None else self.truncation_cutoff
        return torch.cat([pulled[:, :cutoff], w[:, cutoff:]], dim=1)

    def mean_w(self) -> Tensor:
        """What truncation pulls toward: of shape (D,), or (L, D) if each layer has its own."""
        center = getattr(self.mapping, "w_avg", None)
        if center is None:
            # The file has none: it is the mean over fixed latents (and classes), made once.
            if "_estimate" not in self.__dict__:
                self.__dict__["_estimate"] = self._estimate_mean()
            center = self.__dict__["_estimate"].to(self.device)
        assert isinstance(center, Tensor)
        return center

    @torch.no_grad()
    def _estimate_mean(self, count: int = 4096) -> Tensor:
        z = torch.from_numpy(np.random.RandomState(0).randn(count, self.z_dim)).float().to(self.device)
        labels = [i % self.label_dim for i in range(count)] if self.label_dim else None
        w: Tensor = self.mapping(z, self._one_hot(labels, count))
        return w.double().mean(dim=0).to(w.dtype).cpu()

    def styles(self, w: Tensor) -> Tensor:
        """As `Generator.styles`."""
        if w.ndim != 3 or w.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"w must have shape (N, {self.num_ws}, {self.w_dim}), got {tuple(w.shape)}")
        return self._styles(w)

    # -- styles → images --------------------------------------------------------------------------
    def synthesize(
        self, styles: Tensor, noise: Noise = "const", upto: int | None = None, resume: Trunk | None = None
    ) -> Tensor:
        """As `Generator.synthesize`."""
        self._check_synthesis(styles, noise, upto, resume)
        size = self.resolution if upto is None else upto
        end = next((i for i, la in enumerate(self.layers) if self._stage(la) > size), len(self.layers))
        start, state = self._start(styles, resume, end)
        image = self._finish(self._walk(self.layers[start:end], state, styles, noise), size)
        # (where nothing has changed it is the trunk's own)
        return image if start < end else image.clone()

    def _walk(self, layers: Sequence[StyleLayer], state: State, styles: Tensor, noise: Noise) -> State:
        """The state after `layers`, as far as `_finish` needs it."""
        for layer in layers:
            state = self._step(layer, state, styles, noise)
        return state

    def trunk(self, styles: Tensor, noise: Noise = "const") -> Trunk:
        """As `Generator.trunk`."""
        self._check_synthesis(styles, noise, None, None)
        states = tuple(state for _, state in self._states(styles, noise))
        return Trunk(styles, noise, states, self._finish(states[-1], self.resolution))

    def intervene(
        self,
        styles: Tensor,
        edits: abc.Mapping[str, MapEdit],
        *,
        noise: Noise = "const",
        resume: Trunk | None = None,
    ) -> Tensor:
        """As `Generator.intervene`."""
        self._check_synthesis(styles, noise, None, resume)
        wanted = {self.layer(name).name for name in edits}
        first = next((i for i, la in enumerate(self.layers) if la.name in wanted), len(self.layers))
        start, state = self._start(styles, resume, first)
        for layer in self.layers[start:]:
            if layer.name in wanted:
                state = self._edited_step(layer, state, styles, noise, edits[layer.name])
            else:
                state = self._step(layer, state, styles, noise)
        return self._finish(state, self.resolution)

    def _start(self, styles: Tensor, resume: Trunk | None, limit: int) -> tuple[int, State]:
        """Index of the first layer to compute, `limit` at most, and the state before it."""
        # Gradients must reach the styles of every layer, also of those that have not changed.
        if resume is None or (styles.requires_grad and torch.is_grad_enabled()):
            return 0, self._begin(styles)
        start = min(self._first_change(styles, resume), limit)
        # (what the first layer gets may follow extra styles, so it is not taken from the trunk)
        if start == 0:
            return 0, self._begin(styles)
        kept = resume.states[start]
        return start, tuple(t if t is None else t.expand(len(styles), *t.shape[1:]) for t in kept)

    def _edited_step(
        self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise, edit: MapEdit
    ) -> State:
        """As `_step`, after `edit` has replaced the tensor that the layer scales."""
        assert state[0] is not None
        return self._step(layer, (edited(layer, state[0], edit), *state[1:]), styles, noise)

    def activations(self, styles: Tensor) -> Iterator[tuple[StyleLayer, Tensor]]:
        """As `Generator.activations`, with the constant noise."""
        self._check_synthesis(styles, "const", None, None)
        for layer, state in self._states(styles, "const"):
            if layer is not None:
                yield layer, self._scaled(layer, state)

    def _scaled(self, layer: StyleLayer, state: State) -> Tensor:
        """The tensor that `layer` is about to scale."""
        assert state[0] is not None
        return state[0]

    def _states(self, styles: Tensor, noise: Noise) -> Iterator[tuple[StyleLayer | None, State]]:
        """Yield (layer, state before it) for each layer, then (None, last state)."""
        state = self._begin(styles)
        for layer in self.layers:
            yield layer, state
            state = self._step(layer, state, styles, noise)
        yield None, state

    def _first_change(self, styles: Tensor, trunk: Trunk) -> int:
        """Index of the first layer whose styles differ from the trunk's; extras are the first's."""
        changed = (styles != trunk.styles).any(dim=0).cpu()
        user = torch.zeros(self.num_styles, dtype=torch.int64)
        for i, layer in enumerate(self.layers):
            for part in (layer.slice, layer.shift):
                if part is not None:
                    user[part] = i
        return int(user[changed].min()) if changed.any() else len(self.layers)

    def _check_synthesis(self, styles: Tensor, noise: Any, upto: int | None, resume: Trunk | None) -> None:
        if styles.ndim != 2 or styles.shape[1] != self.num_styles:
            raise ValueError(f"styles must have shape (N, {self.num_styles}), got {tuple(styles.shape)}")
        if isinstance(noise, str):
            check_choice("noise", noise, ("const", "none"))
        else:
            check_integer("noise", noise, maximum=2**32 - 1)
        if upto is not None:
            check_choice("upto", upto, self.preview_sizes)
        if resume is not None and resume.noise != noise:
            raise ValueError(f"resume was made with noise={resume.noise!r}, this call asks for {noise!r}")
        if resume is not None and len(resume.styles) not in (1, len(styles)):
            raise ValueError(
                f"resume holds {len(resume.styles)} images, styles {len(styles)}; "
                "they must agree, or resume hold one"
            )
