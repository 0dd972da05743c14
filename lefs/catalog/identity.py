"""Whose a catalog is, and what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lefs.generators.base import Generator

__all__ = ["GeneratorId", "Sampling"]


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


@dataclass(frozen=True)
class Sampling:
    """What a catalog was made from: the seeds, their truncation ψ, the random state of the clustering, and
    the class of a conditional generator (None: not conditional).
    """

    seeds: tuple[int, ...]
    truncation: float
    random_state: int
    label: int | None = None

    @classmethod
    def of(
        cls, generator: Generator, seeds: Iterable[int], *, truncation: float, random_state: int = 0
    ) -> Sampling:
        """The sampling of these seeds from a generator, with the class that it takes where none is given."""
        return cls(tuple(seeds), float(truncation), int(random_state), generator.usual_label)
