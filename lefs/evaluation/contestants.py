"""The methods that are compared: each turns pairs into edited images, a part and a knob given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.evaluation.measures import random_query
from lefs.evaluation.pairs import PairBatch
from lefs.evaluation.rivals import (
    blend_features,
    composite,
    hair_like,
    image_contributions,
    image_masks,
    image_query,
    mixing_query,
    released_query,
)
from lefs.generator import Generator
from lefs.query import QuerySettings

__all__ = ["Contestant", "standard_contestants"]

Edit = Callable[[PairBatch, str, float], Tensor]
Query = Callable[[str, float], Tensor]

BUDGETS = (1.0, 4.0, 16.0, 32.0, 64.0, 128.0)  # ε, channels in each layer
SLOPES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
STRENGTHS = (0.1, 0.2, 0.4, 1.0)
THRESHOLDS = (0.99, 0.95, 0.8, 0.5, 0.3)
LEAKS = (2.0, 10.0, 50.0, 200.0, 800.0)  # squared 8-bit levels outside the part


@dataclass(frozen=True, eq=False)
class Contestant:
    """A method of editing one part.

    Attributes
    ----------
    name : of the method
    knob : what is turned to make the edit stronger, a symbol or a word
    values : the knob's values, from the weakest edit to the strongest
    usual : the one of `values` that tables show
    edit : (batch, part, value of the knob) → images of shape (n, 3, H, W)
    whole : whether the edit is the same whatever the part
    """

    name: str
    knob: str
    values: tuple[float, ...]
    usual: float
    edit: Edit
    whole: bool = False

    def __post_init__(self) -> None:
        if self.usual not in self.values:
            raise ValueError(f"usual must be one of values {self.values}, got {self.usual!r}")

    def only(self, *values: float) -> Contestant:
        """The same with fewer values of the knob."""
        return replace(self, values=values, usual=values[-1] if self.usual not in values else self.usual)


def by_query(
    name: str, knob: str, values: Sequence[float], usual: float, query: Query, *, whole: bool = False
) -> Contestant:
    """A contestant that moves styles through a query which is the same for all pairs.

    Parameters
    ----------
    query : (part, value of the knob) → Tensor of shape (S,); asked once for each
    """
    kept = cache(query)

    def edit(batch: PairBatch, part: str, value: float) -> Tensor:
        return batch.transferred(kept(part, value))

    return Contestant(name, knob, tuple(values), usual, edit, whole)


def standard_contestants(
    generator: Generator,
    catalog: Catalog,
    *,
    effect: Catalog | None = None,
    settings: QuerySettings | None = None,
    random_state: int = 0,
) -> tuple[Contestant, ...]:
    """All methods that lefs knows, for one generator and catalog.

    Parameters
    ----------
    effect : the same parts with contributions by effect (`lefs.effects.by_effect`); without it, the
        effect-based and the pair-aware method are left out
    settings : ρ and the gates of the methods that have them; None: ρ = 0.02, so that the budget decides

    Returns
    -------
    tuple of `Contestant`: sequential, simultaneous, (effect-based, pair-aware,) released rule, per-image
    masks, random, coarse, middle and fine mixing (where there are such layers), feature blending, pixel
    compositing, global
    """
    base = settings or QuerySettings(rho=0.02)
    found = [_sequential("sequential", catalog, base), _simultaneous(catalog, base)]
    if effect is not None:
        found += [_sequential("effect-based", effect, base), _pair_aware(effect, base)]
    found += [_released(catalog, base), _per_image(generator, catalog)]
    found += [_random(catalog, base, random_state), *_mixing(generator)]
    return (*found, *_blending(generator), _compositing(), _global())


def _sequential(name: str, catalog: Catalog, base: QuerySettings) -> Contestant:
    def query(part: str, value: float) -> Tensor:
        return replace(base, method="sequential", epsilon=value).query(catalog, part)

    return by_query(name, "ε", BUDGETS, 16.0, query)


def _simultaneous(catalog: Catalog, base: QuerySettings) -> Contestant:
    def query(part: str, value: float) -> Tensor:
        return replace(base, method="simultaneous", slope=value).query(catalog, part)

    return by_query("simultaneous", "slope", SLOPES, 2.0, query)


def _released(catalog: Catalog, base: QuerySettings) -> Contestant:
    gates = base.gates(catalog)

    def query(part: str, value: float) -> Tensor:
        m, q = catalog.contribution(part), torch.zeros(catalog.contributions.shape[1])
        for layer, gate in zip(catalog.layers, gates, strict=True):
            q[layer.slice] = released_query(m[layer.slice], rho=base.rho, epsilon=gate * value).float()
        return q

    return by_query("released rule", "ε", BUDGETS, 16.0, query)


def _random(catalog: Catalog, base: QuerySettings, random_state: int) -> Contestant:
    def query(part: str, value: float) -> Tensor:
        q = replace(base, method="sequential", epsilon=value).query(catalog, part)
        return random_query(q, catalog.contribution(part), catalog, random_state=random_state)

    return by_query("random channels", "ε", BUDGETS, 16.0, query)


def _pair_aware(effect: Catalog, base: QuerySettings) -> Contestant:
    def edit(batch: PairBatch, part: str, value: float) -> Tensor:
        settings = replace(base, method="pair", leak=value)
        return batch.transferred(settings.query(effect, part, batch.target_styles, batch.reference_styles))

    return Contestant("pair-aware", "leak", LEAKS, 50.0, edit)


def _per_image(generator: Generator, catalog: Catalog) -> Contestant:
    rows = {name: i for i, name in enumerate(catalog.parts)}
    coarse = hair_like(catalog.parts)

    def masks(batch: PairBatch, side: str, part: str, value: float) -> Tensor:
        styles: Tensor = getattr(batch, side)
        shares = batch.kept(side, lambda: image_contributions(generator, catalog, styles))
        return image_masks(shares, threshold=value)[:, rows[part]]

    def edit(batch: PairBatch, part: str, value: float) -> Tensor:
        own, wanted = (masks(batch, s, part, value) for s in ("target_styles", "reference_styles"))
        return batch.transferred(image_query(own, wanted, catalog.layers, coarse=part in coarse))

    return Contestant("per-image masks", "threshold", THRESHOLDS, 0.8, edit)


def _mixing(generator: Generator) -> list[Contestant]:
    found = []
    for level in ("coarse", "middle", "fine"):
        q = mixing_query(generator.layers, level, count=generator.num_styles)
        if q.any():
            found.append(_of_strength(f"{level} mixing", q))
    return found


def _of_strength(name: str, q: Tensor) -> Contestant:
    def edit(batch: PairBatch, part: str, value: float) -> Tensor:
        return batch.transferred(q, strength=value)

    return Contestant(name, "λ", STRENGTHS, 1.0, edit, whole=True)


def _blending(generator: Generator) -> list[Contestant]:
    """At the layer that is clustered by default; the first layer's input is the same in all images."""
    names = [la.name for la in generator.layers[1:] if la.kind == "conv"]
    if not names:
        return []
    layer = generator.default_layer if generator.default_layer in names else names[0]

    def edit(batch: PairBatch, part: str, value: float) -> Tensor:
        target, reference = batch.trunks
        return blend_features(generator, target, reference, batch.masks[part], layer=layer, strength=value)

    return [Contestant("feature blending", "λ", STRENGTHS, 1.0, edit)]


def _compositing() -> Contestant:
    def edit(batch: PairBatch, part: str, value: float) -> Tensor:
        return composite(batch.targets, batch.references, batch.masks[part], strength=value)

    return Contestant("pixel compositing", "λ", STRENGTHS, 1.0, edit)


def _global() -> Contestant:
    def edit(batch: PairBatch, part: str, value: float) -> Tensor:
        # (at full strength it is the reference, which is rendered already)
        everything = batch.target_styles.new_ones(batch.target_styles.shape[1])
        return batch.references if value == 1 else batch.transferred(everything, strength=value)

    return Contestant("global", "λ", STRENGTHS, 1.0, edit, whole=True)
