"""All methods on the same pairs: one table, and one curve for each method as its knob moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_name, check_number, check_seeds
from lefs.evaluation.contestants import Contestant, standard_contestants
from lefs.evaluation.masks import Segmenter
from lefs.evaluation.measures import Locality, split_change
from lefs.evaluation.pairs import PairBatch, pair_batches
from lefs.evaluation.realism import Features, Realism, RealismMeter, in_mask, pooled
from lefs.generator import Generator
from lefs.images import to_lab

__all__ = ["Comparison", "Outcome", "compare"]

_NUMBERS = ("effect", "leak", "localisation", "remaining", "most_effect", "most_leak", "farther", "farthest")


@dataclass(frozen=True, eq=False)
class Outcome(Locality):
    """What one method does to one part at one value of its knob: one number for each pair and quantity.

    Attributes
    ----------
    value : of the knob
    index : which of all pairs, (n,), int64
    remaining : mean squared ΔE inside the mask that is left between edit and reference
    most_effect, most_leak : what global transfer, which gives the reference, changes inside and outside
    farther, farthest : squared distance to the reference of the edit's and of the target's features inside
        the mask; NaN where features were not asked for
    """

    value: float
    index: np.ndarray
    remaining: np.ndarray
    most_effect: np.ndarray
    most_leak: np.ndarray
    farther: np.ndarray
    farthest: np.ndarray


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` measured.

    Attributes
    ----------
    contestants : the methods
    outcomes : one for each part, method and value of its knob
    realism : of each part and method at its usual value; the first is of unedited images (no part)
    pairs : how many pairs there were, of which each part shows some
    curve_pairs : on how many of them methods were measured away from their usual value
    """

    contestants: tuple[Contestant, ...]
    outcomes: tuple[Outcome, ...]
    realism: tuple[Realism, ...]
    pairs: int
    curve_pairs: int


def compare(
    generator: Generator,
    catalog: Catalog,
    pairs: Sequence[tuple[int, int]],
    *,
    parts: Iterable[str] | None = None,
    contestants: Sequence[Contestant] | None = None,
    truncation: float = 0.7,
    segmenter: Segmenter | None = None,
    features: Features | None = None,
    unedited: Iterable[int] | None = None,
    curve_pairs: int | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> Comparison:
    """Measure every method on every part of the same pairs.

    Targets, references and masks are rendered once for all. Memory holds one number for each pair and
    quantity, and one batch of images.

    Parameters
    ----------
    pairs : seeds (target, reference)
    parts : names of the catalog's parts; all if None
    contestants : the methods; `standard_contestants` if None
    segmenter : tells where a part is (``.names``); the catalog's own membership otherwise. Its masks are
        also those that compositing and blending paste through
    features : images → maps or vectors, for realism and for efficacy in features; without it neither is
        measured. ``load_segmenter("portraits").features`` is one; `AsBytes` wraps an Inception network
    unedited : seeds of as many images to hold edited ones against; by default others than the pairs'
    curve_pairs : on how many pairs, the first, methods are measured away from their usual value; None: all

    Returns
    -------
    Comparison
    """
    names = list(catalog.parts if parts is None else parts)
    for name in names:
        check_name("parts", name, list(catalog.parts), what="part")
    check_number("truncation", truncation)
    chosen = tuple(standard_contestants(generator, catalog) if contestants is None else contestants)
    few = len(pairs) if curve_pairs is None else check_integer("curve_pairs", curve_pairs, minimum=1)
    others = _other_seeds(pairs, unedited)
    recorder = _Recorder(names, chosen, few, features)
    batches = pair_batches(
        generator,
        catalog,
        pairs,
        truncation=truncation,
        segmenter=segmenter,
        batch_size=batch_size,
        description="comparison",
        progress=progress,
    )
    for batch in batches:
        with torch.inference_mode():
            recorder.add(batch, generator.sample_styles(others[batch.span], truncation=truncation))
    return recorder.result(len(pairs))


def _other_seeds(pairs: Sequence[tuple[int, int]], unedited: Iterable[int] | None) -> list[int]:
    first = max((s for pair in pairs for s in pair), default=0) + 1
    seeds = check_seeds(range(first, first + len(pairs)) if unedited is None and pairs else unedited or [0])
    if len(seeds) < len(pairs):
        raise ValueError(
            f"unedited must hold as many seeds as there are pairs, {len(pairs)}; got {len(seeds)}"
        )
    return seeds


_Key = tuple[str, str, float]


class _Recorder:
    """Adds up what each batch of pairs shows."""

    def __init__(
        self, parts: list[str], contestants: tuple[Contestant, ...], few: int, features: Features | None
    ):
        self.parts, self.contestants, self.few, self.features = parts, contestants, few, features
        keys = [(p, c.name, v) for p in parts for c in contestants for v in c.values]
        self.numbers: dict[_Key, list[dict[str, np.ndarray]]] = {key: [] for key in keys}
        self.meters: dict[tuple[str, str], RealismMeter] = {}

    def add(self, batch: PairBatch, other_styles: Tensor) -> None:
        """Measure all methods on one batch; `other_styles` (n, S) are of unedited images."""
        scene = _Scene(batch, other_styles, self.features)
        if self.features is not None:
            self._judge("", "unedited", scene, scene.of_targets, slice(None))
        shown = {p: here for p in self.parts if bool((here := batch.shown(p)).any())}
        for method in self.contestants:
            for value in method.values:
                many = len(batch.index) if value == method.usual else self.few - int(batch.index[0])
                if many > 0:
                    self._add_method(scene, method, value, shown, many)

    def _add_method(
        self, scene: _Scene, method: Contestant, value: float, shown: dict[str, Tensor], many: int
    ) -> None:
        batch, usual = scene.batch, value == method.usual
        done: tuple[Tensor, Any] | None = None
        for part, here in shown.items():
            if done is None or not method.whole:
                images = method.edit(batch, part, value)
                found = self.features(images) if usual and self.features is not None else None
                done = to_lab(images), found
            lab, found = done
            here = here & (torch.arange(len(here), device=here.device) < many)
            if bool(here.any()):
                self.numbers[part, method.name, value].append(scene.numbers(part, here, lab, found))
                if found is not None:
                    self._judge(part, method.name, scene, found, here)

    def _judge(self, part: str, method: str, scene: _Scene, found: Any, here: Tensor | slice) -> None:
        meter = self.meters.setdefault((part, method), RealismMeter())
        at = here.cpu() if isinstance(here, Tensor) else here
        meter.update(pooled(found)[at], scene.other_vectors[at])

    def result(self, pairs: int) -> Comparison:
        """Everything, joined."""
        outcomes = []
        for (part, method, value), pieces in self.numbers.items():
            if pieces:
                columns = {n: np.concatenate([p[n] for p in pieces]) for n in ("index", *_NUMBERS)}
                outcomes.append(Outcome(part=part, method=method, value=value, **columns))
        realism = tuple(m.result(*key) for key, m in self.meters.items() if m.images > 1)
        return Comparison(self.contestants, tuple(outcomes), realism, pairs, min(self.few, pairs))


class _Scene:
    """One batch of pairs, with what all methods are held against."""

    def __init__(self, batch: PairBatch, other_styles: Tensor, features: Features | None):
        self.batch, self.features = batch, features
        self.before, self.wanted = batch.labs
        self.most = (self.wanted - self.before).square().sum(dim=1)
        if features is not None:
            self.of_targets, self.of_references = features(batch.targets), features(batch.references)
            self.other_vectors = pooled(features(batch.generator.synthesize(other_styles)))

    def numbers(self, part: str, here: Tensor, lab: Tensor, found: Any) -> dict[str, np.ndarray]:
        """One number for each pair that shows the part, and quantity."""
        mask = self.batch.masks[part][here]
        effect, leak, localisation = split_change((lab - self.before).square().sum(dim=1)[here], mask)
        most_effect, most_leak, _ = split_change(self.most[here], mask)
        remaining, _, _ = split_change((lab - self.wanted).square().sum(dim=1)[here], mask)
        distances = self._feature_distances(part, here, found)
        index = self.batch.index[here.cpu()].numpy()
        columns = (effect, leak, localisation, remaining, most_effect, most_leak, *distances)
        return {"index": index, **dict(zip(_NUMBERS, columns, strict=True))}

    def _feature_distances(self, part: str, here: Tensor, found: Any) -> tuple[np.ndarray, np.ndarray]:
        nothing = np.full(int(here.sum()), np.nan)
        if found is None:
            return nothing, nothing
        mask = self.batch.masks[part]
        edited, target, reference = (in_mask(f, mask) for f in (found, self.of_targets, self.of_references))
        if edited is None or target is None or reference is None:
            return nothing, nothing
        at = here.cpu()
        away = [(side - reference)[at].double().square().sum(dim=1).numpy() for side in (edited, target)]
        return away[0], away[1]
