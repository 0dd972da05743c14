"""Does a set of units cause a concept? Average causal effects and dose curves (GAN Dissection, §3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lefs.checks import check_choice, check_integer, check_name, check_number, check_seeds
from lefs.evaluation import Estimate, estimate
from lefs.generator import Generator
from lefs.showing import Shown
from lefs.synthesis import Cache, Hook
from lefs.tables import Table
from lefs.units import interventions
from lefs.units.concepts import Concepts, Judge

__all__ = ["CausalEffect", "Site", "Where", "causal_effects", "causal_table", "dose_curve"]

#: ``"everywhere"``; ``"concept"``, where the unaltered image shows it; or a mask painted over the picture
Where = Literal["everywhere", "concept"] | Tensor


class Site:
    """Where units of one layer are changed, and a concept is counted: at the same positions.

    Parameters
    ----------
    generator : Generator
    segmenter : Segmenter or Catalog
    layer, concept : str
    levels : Tensor of shape (C,)
        What insertion sets each unit of the layer to.
    where : {"everywhere", "concept"} or Tensor of shape (H, W), bool
        A mask is of any size, over the whole picture.
    """

    def __init__(
        self, generator: Generator, segmenter: Judge, layer: str, concept: str, levels: Tensor, where: Where
    ):
        self.generator, self.concepts = generator, Concepts(generator, segmenter)
        self.concepts.check_layer(layer)
        self.layer, self.label = generator.layer(layer), self.concepts.index(concept)
        self.concept, self.where, self.levels = concept, where, interventions.check_levels(self.layer, levels)
        if isinstance(where, str):
            check_choice("where", where, ("everywhere", "concept"))
        elif not isinstance(where, Tensor):
            raise TypeError(
                f"where must be 'everywhere', 'concept' or a Tensor (H, W); got {type(where).__name__}"
            )
        elif where.ndim != 2 or not bool(where.any()):
            found = f"{tuple(where.shape)} with {int(where.sum())} picked"
            raise ValueError(
                f"where must be a mask of shape (H, W) that picks some position, got shape {found}"
            )

    def labels(self, styles: Tensor, cache: Cache | None, edits: dict[str, Hook] | None = None) -> Tensor:
        """What the pixels show, unaltered or after `edits`: (N, H, W)."""
        return self.concepts.look(styles, edits, cache=cache)[1]

    def positions(
        self, styles: Tensor, cache: Cache | None, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Cells (N, h, w) that are changed, and pixels (N, H, W) that are counted.

        The labels of the images, if they are not given, are found only where it is they that tell.
        """
        mask = torch.ones(1, 1, dtype=torch.bool)
        if isinstance(self.where, Tensor):
            mask = self.where
        elif self.where == "concept":
            mask = (self.labels(styles, cache) if labels is None else labels) == self.label
        cells = interventions.cells_of(self.layer, mask.to(styles.device)).expand(len(styles), -1, -1)
        return cells, interventions.pixels_of(cells, self.generator.size[0])

    def edits(self, weight: Tensor, cells: Tensor, levels: Tensor) -> dict[str, Hook]:
        """Units of weight (C,) go to `levels` at some cells."""
        return {self.layer.name: interventions.replacement(self.layer, weight, levels=levels, where=cells)}

    @torch.inference_mode()
    def count(self, styles: Tensor, sets: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Pixels before, ablated, inserted, looked at, (4, n), of each set, in the images that count."""
        cache = interventions.kept_cache(self.generator, styles)
        labels = self.labels(styles, cache)
        cells, pixels = self.positions(styles, cache, labels)
        area, found = pixels.sum(dim=(1, 2)), {}
        for name, weight in sets.items():
            edits = (self.edits(weight, cells, to) for to in (torch.zeros_like(self.levels), self.levels))
            seen = [labels, *(self.labels(styles, cache, edit) for edit in edits)]
            rows = [((shown == self.label) & pixels).sum(dim=(1, 2)) for shown in seen]
            found[name] = torch.stack([*rows, area])[:, area > 0].cpu().numpy()
        return found

    def check_seen(self, count: int) -> None:
        """Raise a ValueError if nothing was counted."""
        if not count:
            told = "give more seeds or another place"
            raise ValueError(f"no image of the sample shows {self.concept!r}; {told}")


@dataclass(frozen=True, eq=False, repr=False)
class CausalEffect(Shown):
    """How many pixels of a concept come and go with a set of units, image by image.

    Pixels are counted at the positions that were changed, and nowhere else.

    Attributes
    ----------
    concept, layer, method : str
        What was counted, where the units are, and how they were chosen.
    units : int
        How many there are.
    before, ablated, inserted : ndarray of shape (N,)
        Pixels of the concept with the units as they were, at 0, and at their levels.
    counted : ndarray of shape (N,)
        Pixels that were looked at: all that were changed.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs import units
    >>> rows = np.array([[4, 0, 9, 64], [2, 1, 8, 64]]).T
    >>> units.CausalEffect("hat", "b8.torgb", "IoU", 8, *rows).ace
    8.0
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
        """Pixels after insertion − pixels after ablation of each image: (N,)."""
        return self.inserted - self.ablated

    @property
    def ace(self) -> float:
        """The average causal effect, in pixels an image (GAN Dissection, Eq. 6)."""
        return float(self.effect.mean())

    def estimate(self, quantity: str = "effect", *, confidence: float = 0.95) -> Estimate:
        """The mean over the images, with its bootstrap interval.

        Parameters
        ----------
        quantity : {"effect", "before", "ablated", "inserted"}
        confidence : float in [0, 1]
            How many of the resamples the interval holds.

        Returns
        -------
        Estimate
        """
        check_name("quantity", quantity, ("effect", "before", "ablated", "inserted"), what="quantity")
        return estimate(getattr(self, quantity), confidence=confidence)


def causal_effects(
    generator: Generator, seeds: Iterable[int], layer: str, sets: Mapping[str, interventions.Units],
    concept: str, *, segmenter: Judge, levels: Tensor, where: Where = "everywhere", truncation: float = 1.0,
    batch_size: int | None = None, progress: bool = True,
) -> dict[str, CausalEffect]:  # fmt: skip
    """Average causal effect of several sets of units of one layer, on the same images.

    ACE = E[pixels of the concept after insertion] − E[pixels of it after ablation] (Bau et al. 2019, Eq. 6);
    the positions that are changed are those that are counted.

    Parameters
    ----------
    generator : Generator
    seeds : iterable of int
        The images.
    layer : str
    sets : mapping of str to units
        Of each set numbers of units, or how far each goes: (C,) in [0, 1].
    concept : str
    segmenter : Segmenter or Catalog
        Images → labels, or the catalog whose parts are the concepts.
    levels : Tensor of shape (C,)
        What insertion sets each unit of the layer to (`UnitDissection.levels_of`).
    where : {"everywhere", "concept"} or Tensor of shape (H, W), bool
        ``"concept"``: where the unaltered image shows it, images without it left out; or a mask over the
        picture.
    truncation : float
        ψ of the images.
    batch_size : int, optional
        Images at a time; by default 16, fewer if they are large.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    dict of str to CausalEffect

    Raises
    ------
    ValueError
        If no image shows the concept and `where` asks for it, or an argument is out of range.

    Examples
    --------
    >>> import lefs, torch
    >>> from lefs import units
    >>> generator, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
    >>> rules = {"segmenter": judge, "levels": torch.ones(generator.layer("b8.torgb").channels)}
    >>> found = units.causal_effects(generator, range(2), "b8.torgb", {"first": [0, 1]}, "hair", **rules)
    >>> found["first"].counted.tolist()
    [4096, 4096]
    """
    site, sample = Site(generator, segmenter, layer, concept, levels, where), check_seeds(seeds)
    size, psi = interventions.batch_of(generator, batch_size, 16), check_number("truncation", truncation)
    if not isinstance(sets, Mapping):
        raise TypeError(
            f"sets must be a mapping of names to units, such as {{'mine': [3, 5]}}; got {type(sets).__name__}"
        )
    if not sets:
        raise ValueError("sets is empty; give at least one set of units")
    weights = {name: interventions.weights_of(site.layer, own) for name, own in sets.items()}
    each = interventions.batches(generator, sample, psi, size, "interventions", progress)
    counted = [site.count(styles, weights) for _, styles in each]
    found = {name: np.concatenate([c[name] for c in counted], axis=1) for name in sets}
    site.check_seen(next(iter(found.values())).shape[1])
    return {
        name: CausalEffect(concept, layer, name, int((weights[name] > 0).sum()), *rows)
        for name, rows in found.items()
    }


def dose_curve(
    generator: Generator, seeds: Iterable[int], layer: str, orders: Mapping[str, Sequence[int]],
    counts: Iterable[int], concept: str, **rules: Any,
) -> list[CausalEffect]:  # fmt: skip
    """How many units it takes until the object goes: the first k units of several orders, for each k.

    Parameters
    ----------
    generator, seeds, layer, concept, **rules
        As for `causal_effects`.
    orders : mapping of str to sequence of int
        Of each method, the units, the first to be changed first: by IoU, by α, at random.
    counts : iterable of int
        The k; 0 changes nothing.

    Returns
    -------
    list of CausalEffect
        One for each method and k.

    Raises
    ------
    ValueError
        If an order has fewer units than a k asks for.

    Examples
    --------
    >>> import lefs, torch
    >>> from lefs import units
    >>> generator, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
    >>> rules = {"segmenter": judge, "levels": torch.ones(generator.layer("b8.torgb").channels)}
    >>> curve = units.dose_curve(generator, [1], "b8.torgb", {"mine": [3, 5]}, [1, 2], "hair", **rules)
    >>> [(found.method, found.units) for found in curve]
    [('mine', 1), ('mine', 2)]
    """
    doses = [check_integer("counts", k) for k in counts]
    for method, order in orders.items():
        if len(order) < max(doses, default=0):
            raise ValueError(
                f"orders[{method!r}] has {len(order)} units, counts asks for {max(doses)}; give more units"
            )
    keys = {f"{m} {k}": (m, k) for m in orders for k in doses}
    sets = {key: list(orders[m][:k]) for key, (m, k) in keys.items()}
    found = causal_effects(generator, seeds, layer, sets, concept, **rules)
    return [replace(found[key], method=m, units=k) for key, (m, k) in keys.items()]


def causal_table(effects: Iterable[CausalEffect]) -> Table:
    """Pixels of the concept as it was, ablated and inserted, and the ACE with its 95 % bootstrap interval.

    Parameters
    ----------
    effects : iterable of CausalEffect

    Returns
    -------
    Table
        A row for each; means over the images.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs import units
    >>> rows = np.array([[4, 0, 9, 64], [4, 0, 9, 64]]).T
    >>> units.causal_table([units.CausalEffect("hat", "b8.torgb", "IoU", 8, *rows)]).rows[0][-1]
    '9.0 [9.0, 9.0]'
    """
    columns = ("before", "ablated", "inserted")
    rows = []
    for e in effects:
        means = [f"{getattr(e, c).mean():.1f}" for c in columns]
        ace = "{:.1f} [{:.1f}, {:.1f}]".format(*e.estimate())
        rows.append((e.concept, e.method, f"{e.units}", f"{len(e.before)}", *means, ace))
    return Table(("concept", "units chosen by", "units", "images", *columns, "ACE (pixels)"), rows)
