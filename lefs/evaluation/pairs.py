"""Target–reference pairs, a batch at a time: what every measurement and every contestant looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_seeds
from lefs.editing import transfer
from lefs.evaluation.masks import Segmenter, read_masks, shows, union
from lefs.generator import Generator, Trunk
from lefs.images import to_lab
from lefs.progress import track

__all__ = ["PairBatch", "check_pairs", "pair_batches", "seed_pairs"]


def check_pairs(pairs: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Raise a ValueError unless `pairs` is a non-empty list of two seeds each."""
    if not len(pairs) or any(len(p) != 2 for p in pairs):
        raise ValueError("pairs must be a non-empty list of (target seed, reference seed)")
    for pair in pairs:
        check_seeds(pair, name="pairs")
    return pairs


def seed_pairs(count: int, *, targets: int = 10_000, references: int = 20_000) -> list[tuple[int, int]]:
    """`count` pairs of seeds (target, reference), counted up from the two given ones."""
    check_integer("count", count, minimum=1)
    return [(targets + i, references + i) for i in range(count)]


@dataclass(eq=False)
class PairBatch:
    """Some pairs, rendered once for all that is measured on them.

    Attributes
    ----------
    generator, catalog : whose pairs they are
    index : where they stand in the list of all pairs, (n,), int64
    target_styles, reference_styles : Tensor of shape (n, S)
    targets, references : their images, Tensor of shape (n, 3, H, W), in [-1, 1]
    masks : {part: bool Tensor (n, H, W)}, where the part is in the target or in the reference, widened by
        one pixel (an edit may move its outline)
    notes : what contestants keep for the rest of the batch
    """

    generator: Generator
    catalog: Catalog
    index: Tensor
    target_styles: Tensor
    reference_styles: Tensor
    targets: Tensor
    references: Tensor
    masks: dict[str, Tensor]
    notes: dict[object, Tensor] = field(default_factory=dict)

    @property
    def span(self) -> slice:
        """The same places, as a slice of the list of all pairs."""
        return slice(int(self.index[0]), int(self.index[-1]) + 1)

    def shown(self, part: str) -> Tensor:
        """Which pairs show the part and something else: bool, (n,)."""
        return shows(self.masks[part])

    def transferred(self, q: Tensor, *, strength: float = 1.0) -> Tensor:
        """Images of the targets with their styles moved through a query (S,) or (n, S)."""
        styles = transfer(self.target_styles, self.reference_styles, q, strength=strength)
        return self.generator.synthesize(styles)

    def kept(self, key: object, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives, made once for each key."""
        if key not in self.notes:
            self.notes[key] = make()
        return self.notes[key]

    @cached_property
    def trunks(self) -> tuple[Trunk, Trunk]:
        """The states of every layer, of targets and of references."""
        return self.generator.trunk(self.target_styles), self.generator.trunk(self.reference_styles)

    @cached_property
    def labs(self) -> tuple[Tensor, Tensor]:
        """CIELAB of targets and references, (n, 3, H, W) each."""
        return to_lab(self.targets), to_lab(self.references)


def pair_batches(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    truncation: float,
    segmenter: Segmenter | None,
    batch_size: int = 16,
    description: str = "pairs",
    progress: bool = True,
) -> Iterator[PairBatch]:
    """Render pairs a batch at a time.

    Parameters
    ----------
    pairs : seeds (target, reference)
    segmenter : tells where a part is, if it has a part of that name (``.names``); the catalog's own
        membership otherwise
    """
    catalog.check_generator(generator)
    generator.check_styles()
    check_integer("batch_size", batch_size, minimum=1)
    starts = range(0, len(check_pairs(pairs)), batch_size)
    for start in track(starts, total=len(starts), description=description, show=progress):
        seeds = [list(side) for side in zip(*pairs[start : start + batch_size], strict=True)]
        # (not yielded from inside the context, which would hold for whoever asked)
        yield _rendered(generator, catalog, start, seeds, truncation, segmenter)


@torch.inference_mode()
def _rendered(
    generator: Generator,
    catalog: Catalog,
    start: int,
    seeds: list[list[int]],
    truncation: float,
    segmenter: Segmenter | None,
) -> PairBatch:
    one, two = (generator.sample_styles(s, truncation=truncation) for s in seeds)
    before, wanted = generator.synthesize(one), generator.synthesize(two)
    masks = union(
        read_masks(generator, catalog, one, images=before, segmenter=segmenter),
        read_masks(generator, catalog, two, images=wanted, segmenter=segmenter),
    )
    index = torch.arange(start, start + len(one))
    return PairBatch(generator, catalog, index, one, two, before, wanted, masks)
