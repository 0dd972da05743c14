"""Units in the order of what they do for a concept, and whether they do anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lefs.catalog import Catalog
from lefs.checks import check_integer
from lefs.generator import Generator
from lefs.units import UnitDissection, causal_effects, optimize_units, rankings
from lefs.units.concepts import Concepts

__all__ = ["TESTED", "UnitSearch", "countable", "largest_iou"]

TESTED, _SEARCHED, _STEPS = 16, 32, 10  # pictures that effects are measured on; of a search, and its steps


class UnitSearch:
    """Orders of the units of a layer for a concept: by IoU, or by what was found to act.

    Parameters
    ----------
    generator : Generator
        The one whose units are ordered.
    dissection : UnitDissection
        Of that generator.
    judge : callable, Catalog or None
        What says where a concept is; a search is `possible` with a catalog, or one that has ``logits``.

    Attributes
    ----------
    orders : dict of (concept, layer) to list of int
        Those that are not by IoU.
    """

    def __init__(self, generator: Generator, dissection: UnitDissection, judge: Any) -> None:
        self._dissection, self._judge = dissection, judge
        own = dissection.sampling.label
        self._generator = generator if own is None else generator.with_label(own)
        self.possible = isinstance(judge, Catalog) or hasattr(judge, "logits")
        self.orders: dict[tuple[str, str], list[int]] = {}

    def order(self, concept: str, layer: str) -> list[int]:
        """All units of a layer, the first to be taken first."""
        return self.orders.get((concept, layer)) or self._dissection.best_units(concept, layer)

    def put_first(self, order: Sequence[int], concept: str, layer: str) -> None:
        """Take these units first, and after them the others of the layer by IoU."""
        by_iou = self._dissection.best_units(concept, layer)
        units = [check_integer(f"order[{i}]", u, maximum=len(by_iou) - 1) for i, u in enumerate(order)]
        if not units or len(set(units)) < len(units):
            raise ValueError(f"order must list units of {layer}, each once; got {units}")
        self.orders[concept, layer] = units + [u for u in by_iou if u not in units]

    def acts(self, concept: str, layer: str, count: int) -> bool:
        """Whether the first units of their order act on a concept, or those that a search finds."""
        try:
            first, rules = self.order(concept, layer)[:count], self._rules(concept, layer, False)
            return self._effect(concept, layer, first, rules) or self.find(concept, layer, count, False)
        except ValueError:  # (none of the pictures shows it)
            return False

    def find(self, concept: str, layer: str, count: int, progress: bool = True) -> bool:
        """Order the units by what so many do for a concept; whether the first of them act at all."""
        rules, seeds = self._rules(concept, layer, progress), self._unseen(0, _SEARCHED)
        weights = optimize_units(self._generator, seeds, layer, concept, budget=count, steps=_STEPS, **rules)
        self.orders[concept, layer] = order = rankings(self._dissection, layer, concept, weights)["optimised"]
        return self._effect(concept, layer, order[:count], rules)

    def _effect(self, concept: str, layer: str, units: Sequence[int], rules: dict[str, Any]) -> bool:
        """Whether these units surely add to a concept."""
        seeds = self._unseen(1000, TESTED)
        found = causal_effects(self._generator, seeds, layer, {"": units}, concept, **rules)
        return bool(found[""].estimate().low > 0)

    def _unseen(self, after: int, count: int) -> range:
        first = max(self._dissection.sampling.seeds) + 1 + after  # (the IoU has not seen these pictures)
        return range(first, first + count)

    def _rules(self, concept: str, layer: str, progress: bool) -> dict[str, Any]:
        found = self._dissection
        judged = {"segmenter": self._judge, "truncation": found.sampling.truncation, "progress": progress}
        return {**judged, "where": found.usual_place(concept), "levels": found.levels_of(layer, concept)}


def countable(dissection: UnitDissection, concepts: Concepts | None) -> tuple[list[str], list[str]]:
    """The concepts that some image shows and the layers: of both, those that can be counted."""
    shown = [c for c, n in zip(dissection.concepts, dissection.concept_pixels, strict=True) if n > 0]
    names = [la.name for la in dissection.layers]
    if concepts is None:
        return shown, names
    known = [c for c in shown if c in concepts.names or not concepts.names]
    seen = [n for n in names if concepts.sees(n)]
    if not known or not seen:
        lacking = f"concepts {shown}; it has {list(concepts.names)}" if not known else f"layers {names}"
        told = f"segmenter knows none of the dissected {lacking}; give the one"
        raise ValueError(f"{told} that the units were held against")
    return known, seen


def largest_iou(dissection: UnitDissection, concept: str, layer: str | None = None) -> float:
    """The largest IoU with a concept that a unit has, of all layers or of one."""
    scores = dissection.iou[:, dissection.concept(concept)]
    return float(scores[slice(None) if layer is None else dissection.span(layer)].max())
