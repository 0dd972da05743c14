"""What every generator without styles shares: it refuses, with reasons, what only styles can do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from torch import Tensor

from lefs.generator import Generator, Noise, Trunk

__all__ = ["StylelessGenerator"]


class StylelessGenerator(Generator):
    """A generator whose layers are not scaled by styles, such as ProGAN: it can be dissected, not edited.

    Derived classes give `architecture_config`, `layers` (each slice counts the channels of the tensor that
    enters a convolution), ``synthesize(latents, noise, upto, resume)``, ``activations(latents)`` and
    ``intervene(latents, edits)``.
    """

    has_styles = False
    w_dim = num_ws = 0

    def sample(
        self, seeds: int | Iterable[int], *, truncation: float = 1.0, labels: Sequence[int] | None = None
    ) -> Tensor:
        """Latents (N, z_dim) of the seeds; with no mean to go toward, `truncation` has no effect."""
        return self.latents(seeds)

    def map(self, z: Tensor, truncation: float = 1.0, labels: Sequence[int] | None = None) -> Tensor:
        """Raise a TypeError: there is no w."""
        self._refuse()

    def styles(self, w: Tensor) -> Tensor:
        """Raise a TypeError: there are no styles."""
        self._refuse()

    def trunk(self, styles: Tensor, noise: Noise = "const") -> Trunk:
        """Raise a TypeError: there are no styles."""
        self._refuse()

    def check_styles(self) -> NoReturn:
        """As `Generator.check_styles`: raise a TypeError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TypeError(
            f"{self.label} is a {type(self).__name__}, which has no styles: dissection works, editing does "
            "not. Give generator.sample(seeds) to synthesize, record, activations; to edit, load a StyleGAN"
        )
