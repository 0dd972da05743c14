"""Target–reference pairs, a batch at a time: what every method edits and every number is measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_number, check_seeds
from lefs.editing import transfer
from lefs.evaluation.baselines import image_contributions
from lefs.evaluation.masks import Segmenter, grow, read_masks, shows, union
from lefs.generator import Generator
from lefs.images import to_lab
from lefs.positions import main_pieces
from lefs.showing import Shown
from lefs.workers import Chunks, check_executor, map_chunks

__all__ = ["PairBatch", "PairOptions", "check_pairs", "map_pairs", "pair_batches", "seed_pairs"]

SPECK = 1 / 1400  # of the picture: fewer pixels, 12 of 128 × 128, are taken for an error of the segmenter


class PairOptions(TypedDict, total=False):
    """What every measurement on pairs hands on to `map_pairs`.

    Attributes
    ----------
    truncation : float
        ψ of targets and references; 0.7 by default.
    segmenter : callable
        Judges where a part is, if it has a part of that name (``.names``); the catalog's own membership does
        otherwise.
    batch_size : int
        Pairs at a time; 16 by default.
    description : str
        Of the progress bar.
    progress : bool
        Show one.
    executor : concurrent.futures.Executor
        Any, as of `lefs.dissect`; for processes the segmenter, too, must be one that can be pickled.
    """

    truncation: float
    segmenter: Segmenter | None
    batch_size: int
    description: str
    progress: bool
    executor: Executor | None


def check_pairs(pairs: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """Return `pairs` as a non-empty list of two seeds each; an error says what is wrong."""
    found = [check_seeds(pair, name="pairs") for pair in pairs]
    if not found or any(len(pair) != 2 for pair in found):
        raise ValueError("pairs must be a non-empty list of (target seed, reference seed)")
    return [(target, reference) for target, reference in found]


def seed_pairs(count: int, *, targets: int = 10_000, references: int = 20_000) -> list[tuple[int, int]]:
    """Pairs of seeds (target, reference), counted up from two given ones.

    Parameters
    ----------
    count : int
        How many, at least 1.
    targets, references : int
        The first seeds.

    Returns
    -------
    list of (int, int)

    Examples
    --------
    >>> from lefs.evaluation import seed_pairs
    >>> seed_pairs(2)
    [(10000, 20000), (10001, 20001)]
    """
    check_integer("count", count, minimum=1)
    return [(targets + i, references + i) for i in range(count)]


@dataclass(eq=False, repr=False)
class PairBatch(Shown):
    """Some pairs, rendered once for all that is measured on them; `pair_batches` makes them.

    Attributes
    ----------
    generator : Generator
    catalog : Catalog
    segmenter : callable or None
        Judges where a part is, if it has a part of that name.
    truncation : float
        ψ of targets and references.
    index : Tensor of shape (n,), int64
        Where they stand in the list of all pairs.
    target_styles, reference_styles : Tensor of shape (n, S)
    targets, references : Tensor of shape (n, 3, H, W), in [-1, 1]
        Their images.
    target_masks, reference_masks : dict of str to Tensor
        {part: bool (n, H, W)}, where the part is, as the segmenter judges it.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import pair_batches, seed_pairs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> batch = next(pair_batches(generator, catalog, seed_pairs(2), progress=False))
    >>> batch.moved(lefs.QuerySettings().query(catalog, "hair")).shape == batch.target_styles.shape
    True
    """

    generator: Generator
    catalog: Catalog
    segmenter: Segmenter | None
    truncation: float
    index: Tensor
    target_styles: Tensor
    reference_styles: Tensor
    targets: Tensor
    references: Tensor
    target_masks: dict[str, Tensor]
    reference_masks: dict[str, Tensor]

    @property
    def sides(self) -> tuple[Tensor, Tensor]:
        """Styles of targets and of references, (n, S) each."""
        return self.target_styles, self.reference_styles

    def shown(self, part: str) -> Tensor:
        """Which pairs show the part, in target or reference, and something else: bool, (n,)."""
        sides = torch.stack([self.target_masks[part], self.reference_masks[part]])
        return shows(self.masks[part]) & (sides.float().mean((2, 3)).amax(0) >= SPECK)

    def moved(self, q: Tensor, *, strength: float = 1.0) -> Tensor:
        """Styles (n, S) of the targets, moved through a query (S,) or (n, S)."""
        return transfer(*self.sides, q, strength=strength)

    @cached_property
    def masks(self) -> dict[str, Tensor]:
        """{part: bool (n, H, W)}, what edits are judged by: where the part is in target or reference, widened
        by one pixel.
        """
        return union(self.target_masks, self.reference_masks)

    @cached_property
    def own_masks(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Where the catalog finds each part, in targets and in references: what edits may be made with.

        Without specks where a segmenter judges; where the catalog judges itself, its masks as they are.
        """
        if self.segmenter is None:
            return self.target_masks, self.reference_masks
        found = (self.catalog.part_masks(self.generator, styles) for styles in self.sides)
        one, two = ({part: main_pieces(mask) for part, mask in masks.items()} for masks in found)
        return one, two

    def place(self, part: str) -> Tensor:
        """Where the catalog finds a part in target or reference, widened by one pixel: bool, (n, H, W)."""
        return grow(self.own_masks[0][part] | self.own_masks[1][part])

    @cached_property
    def image_shares(self) -> tuple[Tensor, Tensor]:
        """Contributions in each image alone, of targets and of references (`image_contributions`)."""
        one, two = (image_contributions(self.generator, self.catalog, styles) for styles in self.sides)
        return one, two

    @cached_property
    def labs(self) -> tuple[Tensor, Tensor]:
        """CIELAB of targets and references, (n, 3, H, W) each."""
        return to_lab(self.targets), to_lab(self.references)


def pair_batches(
    generator: Generator, catalog: Catalog, pairs: Sequence[tuple[int, int]], **options: Unpack[PairOptions]
) -> Iterator[PairBatch]:
    """Render pairs a batch at a time.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
    pairs : sequence of (int, int)
        Seeds (target, reference).
    **options
        ``truncation`` (0.7), ``segmenter``, which judges where a part is if it has a part of that name
        (``.names``; the catalog's own membership does otherwise), ``batch_size`` (16 pairs), ``description``
        and ``progress`` of a bar, ``executor``.

    Yields
    ------
    PairBatch

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import pair_batches, seed_pairs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> batches = pair_batches(generator, catalog, seed_pairs(3), batch_size=2, progress=False)
    >>> [batch.index.tolist() for batch in batches]
    [[0, 1], [2]]
    """
    return map_pairs(_itself, generator, catalog, pairs, **options)


def _itself(batch: PairBatch) -> PairBatch:
    return batch


def map_pairs(
    function: Callable[[PairBatch], Any],
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    truncation: float = 0.7,
    segmenter: Segmenter | None = None,
    batch_size: int = 16,
    description: str = "pairs",
    progress: bool = True,
    executor: Executor | None = None,
) -> Iterator[Any]:
    """`function` of each batch of pairs, in order, in inference mode.

    Parameters
    ----------
    function : callable
        `PairBatch` → what is wanted of it; for processes one that can be pickled, as must be the segmenter.
    generator, catalog, pairs
        As of `pair_batches`.
    truncation, segmenter, batch_size, description, progress, executor
        See `PairOptions`.

    Yields
    ------
    object
    """
    catalog.check_generator(generator)
    generator.check_styles()
    check_number("truncation", truncation)
    found = check_pairs(pairs)
    chunks = Chunks(found, range(len(found)), check_integer("batch_size", batch_size, minimum=1))
    work = partial(_of_pairs, function, generator, catalog, truncation, segmenter)
    options: Any = {"executor": check_executor(executor), "description": description, "show": progress}
    yield from map_chunks(work, chunks, **options)


def _of_pairs(
    function: Callable[[PairBatch], Any],
    generator: Generator,
    catalog: Catalog,
    truncation: float,
    segmenter: Segmenter | None,
    chunk: Sequence[tuple[int, tuple[int, int]]],
) -> Any:
    made: list[Any] = []
    # (nothing is yielded from inside the context, which would hold for whoever asked)
    with torch.inference_mode():
        for seeds in zip(*(pair for _, pair in chunk), strict=True):
            styles = generator.sample_styles(seeds, truncation=truncation)
            images = generator.synthesize(styles)
            masks = read_masks(generator, catalog, styles, images=images, segmenter=segmenter)
            made.append((styles, images, masks))
        index = torch.tensor([i for i, _ in chunk])
        both: Any = [side for what in zip(*made, strict=True) for side in what]
        return function(PairBatch(generator, catalog, segmenter, truncation, index, *both))
