"""Does a set of units cause a concept? Average causal effects and dose curves (GAN Dissection, §3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_integer, check_name, check_number, check_seeds
from lefs.evaluation import Estimate, Segmenter, estimate
from lefs.generator import Generator
from lefs.progress import track
from lefs.stylespace import StyleLayer
from lefs.synthesis import Cache
from lefs.tables import Table
from lefs.units.concepts import Concepts
from lefs.units.interventions import batch_of, cells_of, check_levels, kept_cache, pixels_of, replacement

__all__ = [
    "CausalEffect",
    "Positions",
    "Where",
    "causal_effect",
    "causal_effects",
    "causal_table",
    "dose_curve",
]

#: ``"everywhere"``; ``"concept"``, where the unaltered image shows it; or a mask painted over the picture
Where = Literal["everywhere", "concept"] | Tensor
_Sets = Mapping[str, Iterable[int] | Tensor]


@dataclass(frozen=True, eq=False)
class CausalEffect:
    """How many pixels of a concept come and go with a set of units, image by image.

    Pixels are counted at the positions that were changed, and nowhere else.

    Attributes
    ----------
    concept, layer, method : what was counted, where the units are, how they were chosen
    units : how many there are
    before, ablated, inserted : ndarray (n,), pixels of the concept with the units as they were, at 0, and at
        their levels
    counted : ndarray (n,), pixels that were looked at, all that were changed
    """

    concept: str
    layer: str
    method: str
    units: int
    before: np.ndarray
    ablated: np.ndarray
    inserted: np.ndarray
    counted: np.ndarray

    @property
    def effect(self) -> np.ndarray:
        """Pixels after insertion − pixels after ablation of each image: (n,)."""
        return self.inserted - self.ablated

    @property
    def ace(self) -> float:
        """The average causal effect, in pixels an image (GAN Dissection, Eq. 6)."""
        return float(self.effect.mean())

    @property
    def removed(self) -> float:
        """The share of the concept's pixels that ablation takes away; NaN where there were none."""
        total = float(self.before.sum())
        return 1 - float(self.ablated.sum()) / total if total else float("nan")

    def estimate(self, quantity: str = "effect", *, confidence: float = 0.95) -> Estimate:
        """The mean of ``"effect"``, ``"before"``, ``"ablated"`` or ``"inserted"`` over the images, with its
        bootstrap interval.
        """
        check_name("quantity", quantity, ("effect", "before", "ablated", "inserted"), what="quantity")
        return estimate(getattr(self, quantity), confidence=confidence)


class Positions:
    """Which positions are changed, and the pixels under exactly those.

    Parameters
    ----------
    where : see `Where`; a mask is of shape (H, W), of any size, over the whole picture
    """

    def __init__(self, generator: Generator, layer: StyleLayer, where: Where, label: int):
        self.layer, self.where, self.label, self.size = layer, where, label, generator.resolution
        if isinstance(where, Tensor):
            if where.ndim != 2 or not bool(where.any()):
                raise ValueError(
                    "where must be a mask of shape (H, W) that picks some position, got shape "
                    f"{tuple(where.shape)} with {int(where.sum())} picked"
                )
        elif isinstance(where, str):
            check_choice("where", where, ("everywhere", "concept"))
        else:
            raise TypeError(
                f"where must be 'everywhere', 'concept' or a Tensor (H, W); got {type(where).__name__}"
            )

    def in_images(self, concepts: Concepts, styles: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor]:
        """As `of`; the images are made only if it is they that tell where the concept is."""
        if not isinstance(self.where, Tensor) and self.where == "concept":
            return self.of(concepts.look(styles, cache=cache)[1])
        nothing = torch.zeros(len(styles), self.size, self.size, dtype=torch.int64, device=styles.device)
        return self.of(nothing)

    def of(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (N, h, w) that are changed, and pixels (N, H, W) that are counted, for labels (N, H, W)."""
        if isinstance(self.where, Tensor):
            cells = cells_of(self.layer, self.where.to(labels.device))
        elif self.where == "concept":
            cells = cells_of(self.layer, labels == self.label)
        else:
            cells = cells_of(self.layer, torch.ones_like(labels[:1], dtype=torch.bool))
        cells = cells.expand(len(labels), -1, -1)
        return cells, pixels_of(cells, self.size)


def causal_effects(
    generator: Generator,
    seeds: Iterable[int],
    layer: str,
    sets: _Sets,
    concept: str,
    *,
    segmenter: Segmenter | Catalog,
    levels: Tensor,
    where: Where = "everywhere",
    truncation: float = 1.0,
    batch_size: int | None = None,
    progress: bool = True,
) -> dict[str, CausalEffect]:
    """Average causal effect of several sets of units of one layer, on the same images.

    ACE = E[pixels of the concept after insertion] − E[pixels of it after ablation]; the positions that are
    changed are those that are counted.

    Parameters
    ----------
    seeds : the images
    sets : {name: numbers of units, or weights (C,) in [0, 1]}
    segmenter : images → labels, or a `Catalog`
    levels : Tensor of shape (C,), what insertion sets each unit of the layer to
        (`UnitDissection.levels_of`)
    where : ``"everywhere"``; ``"concept"``: where the unaltered image shows the concept, images without it
        left out; or a mask (H, W) over the picture
    batch_size : images at a time; None: 16, fewer if they are large

    Returns
    -------
    {name: `CausalEffect`}

    Raises
    ------
    ValueError
        If no image shows the concept and `where` asks for it, or an argument is out of range.
    """
    sample, concepts = check_seeds(seeds), Concepts(generator, segmenter)
    concepts.check_layer(layer)
    la, label = generator.layer(layer), concepts.index(concept)
    positions = Positions(generator, la, where, label)
    size = batch_of(generator, batch_size, 16)
    check_number("truncation", truncation)
    if not isinstance(sets, Mapping):
        raise TypeError(
            f"sets must be a mapping of names to units, such as {{'mine': [3, 5]}}; got {type(sets).__name__}"
        )
    if not sets:
        raise ValueError("sets is empty; give at least one set of units")
    # (each is read once a batch)
    sets = {n: list(own) if isinstance(own, Iterator) else own for n, own in sets.items()}
    check_levels(la, levels)
    for own in sets.values():  # (what is wrong with them is better said before the work than after)
        replacement(la, own)
    counts: dict[str, list[np.ndarray]] = {name: [] for name in sets}
    batches = [sample[i : i + size] for i in range(0, len(sample), size)]
    for batch in track(batches, total=len(batches), description="interventions", show=progress):
        styles = generator.sample(batch, truncation=truncation)
        for name, rows in _count(concepts, styles, la, sets, levels, positions):
            counts[name].append(rows)
    found = {name: np.concatenate(rows, axis=1) for name, rows in counts.items()}
    if next(iter(found.values())).shape[1] == 0:
        raise ValueError(
            f"no image of the sample shows {concept!r}; give more seeds, or choose where otherwise"
        )
    return {n: CausalEffect(concept, layer, n, _size(sets[n]), *rows) for n, rows in found.items()}


def _size(units: Iterable[int] | Tensor) -> int:
    if isinstance(units, Tensor):
        whole = not units.is_floating_point() and units.dtype != torch.bool
        return len(units.unique()) if whole else int((units > 0).sum())
    return len(set(units))


def _count(
    concepts: Concepts, styles: Tensor, layer: StyleLayer, sets: _Sets, levels: Tensor, positions: Positions
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (set, pixels before, ablated, inserted, looked at: (4, n)) of one batch."""
    generator = concepts.generator
    with torch.inference_mode():
        cache = kept_cache(generator, styles)
        _, labels = concepts.look(styles, cache=cache)
        cells, pixels = positions.of(labels)
        kept = pixels.flatten(1).any(dim=1)
        before = _pixels(labels, positions.label, pixels)[kept]
        area = pixels.sum(dim=(1, 2))[kept]
        for name, units in sets.items():
            after = []
            for values in (torch.zeros_like(levels), levels):
                edit = replacement(layer, units, levels=values, where=cells)
                _, seen = concepts.look(styles, {layer.name: edit}, cache=cache)
                after.append(_pixels(seen, positions.label, pixels)[kept])
            yield name, torch.stack([before, *after, area]).cpu().numpy()


def _pixels(labels: Tensor, label: int, where: Tensor) -> Tensor:
    return ((labels == label) & where).sum(dim=(1, 2))


def causal_effect(
    generator: Generator,
    seeds: Iterable[int],
    layer: str,
    units: Iterable[int] | Tensor,
    concept: str,
    *,
    segmenter: Segmenter | Catalog,
    levels: Tensor,
    where: Where = "everywhere",
    truncation: float = 1.0,
    batch_size: int | None = None,
    progress: bool = True,
) -> CausalEffect:
    """Average causal effect of one set of units; see `causal_effects`."""
    (found,) = causal_effects(
        generator,
        seeds,
        layer,
        {"given": units},
        concept,
        segmenter=segmenter,
        levels=levels,
        where=where,
        truncation=truncation,
        batch_size=batch_size,
        progress=progress,
    ).values()
    return found


def dose_curve(
    generator: Generator,
    seeds: Iterable[int],
    layer: str,
    orders: Mapping[str, Sequence[int]],
    counts: Iterable[int],
    concept: str,
    *,
    segmenter: Segmenter | Catalog,
    levels: Tensor,
    where: Where = "everywhere",
    truncation: float = 1.0,
    batch_size: int | None = None,
    progress: bool = True,
) -> list[CausalEffect]:
    """How many units it takes until the object goes: the first k units of several orders, for each k.

    Parameters
    ----------
    orders : {method: units, the first to be changed first}, for example by IoU, by α, at random
    counts : the k; 0 changes nothing
    seeds, layer, concept, segmenter, levels, where, truncation : as for `causal_effects`

    Returns
    -------
    one `CausalEffect` for each method and k
    """
    doses = [check_integer("counts", k) for k in counts]
    for method, order in orders.items():
        if len(order) < max(doses, default=0):
            raise ValueError(
                f"orders[{method!r}] has {len(order)} units, counts asks for {max(doses)}; give more units"
            )
    keys = {f"{m} {k}": (m, k) for m in orders for k in doses}
    found = causal_effects(
        generator,
        seeds,
        layer,
        {key: list(orders[m][:k]) for key, (m, k) in keys.items()},
        concept,
        segmenter=segmenter,
        levels=levels,
        where=where,
        truncation=truncation,
        batch_size=batch_size,
        progress=progress,
    )
    columns = ("before", "ablated", "inserted", "counted")
    return [
        CausalEffect(concept, layer, m, k, *(getattr(found[key], c) for c in columns))
        for key, (m, k) in keys.items()
    ]


def causal_table(effects: Iterable[CausalEffect]) -> Table:
    """Pixels of the concept as it was, ablated and inserted, and the ACE with its 95 % bootstrap interval."""
    rows: list[tuple[str | float, ...]] = []
    for e in effects:
        ace, low, high = e.estimate()
        means = [f"{getattr(e, c).mean():.1f}" for c in ("before", "ablated", "inserted")]
        rows.append(
            (
                e.concept,
                e.method,
                f"{e.units}",
                f"{len(e.before)}",
                *means,
                f"{ace:.1f} [{low:.1f}, {high:.1f}]",
            )
        )
    heads = ("before", "ablated", "inserted", "ACE (pixels)")
    return Table(("concept", "units chosen by", "units", "images", *heads), rows)
