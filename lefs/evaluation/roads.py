"""One part changed by three roads: a path through latent space, the path confined to the part, a transfer.

Each road has one knob: how far to go. Turned up, it makes more effect inside the part and more leak outside;
so roads are compared where their effects are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_number, check_seeds
from lefs.directions import Direction
from lefs.editing import transfer
from lefs.evaluation.intervals import Estimate, bootstrap, estimate, interval
from lefs.evaluation.masks import Segmenter, read_masks, shows, union
from lefs.evaluation.measures import measure
from lefs.generator import Generator
from lefs.progress import track
from lefs.query import QuerySettings
from lefs.tables import Table

__all__ = ["AMOUNTS", "Road", "contrast", "contrast_table", "equal_effect"]

#: How far each road goes: standard deviations of w, twice; the strength λ of a transfer.
AMOUNTS = {
    "path": (0.5, 1.0, 2.0, 3.0),
    "path through q": (1.0, 2.0, 4.0, 8.0),
    "transfer": (0.25, 0.5, 0.75, 1.0),
}
_USUAL = QuerySettings()
_BATCH = 16


@dataclass(frozen=True, eq=False)
class Road:
    """What one way of editing a part does, as its knob is turned.

    Attributes
    ----------
    part, method : what was edited, and how: a key of `AMOUNTS`
    amounts : the V values of the knob, ascending
    effect, leak : ndarray of shape (n, V), mean squared ΔE inside the part and outside, for each target
    """

    part: str
    method: str
    amounts: tuple[float, ...]
    effect: np.ndarray
    leak: np.ndarray

    def estimates(self, quantity: str) -> list[Estimate]:
        """The mean of ``"effect"`` or ``"leak"`` over the targets at each amount, with its interval."""
        return [estimate(column) for column in getattr(self, quantity).T]

    def leak_at(self, level: float) -> Estimate:
        """Mean leak where the mean effect is `level`, with its 95 % bootstrap interval.

        Between the knob's values, and from 0 on, leak is taken as linear in effect.
        """
        check_number("level", level, minimum=0)

        def leaks(counts: np.ndarray, effect: np.ndarray, leak: np.ndarray) -> np.ndarray:
            means = (counts @ v / counts.sum(axis=1, keepdims=True) for v in (effect, leak))
            return np.array([_leak_at(e, k, level) for e, k in zip(*means, strict=True)])

        return interval(bootstrap(leaks, self.effect, self.leak))

    def amount_at(self, level: float) -> float:
        """Where the knob stands when the mean effect is `level`."""
        return _leak_at(self.effect.mean(axis=0), np.array(self.amounts), level)


def _leak_at(effect: np.ndarray, leak: np.ndarray, level: float) -> float:
    """Leak where the effect first reaches `level`; beyond the last value in proportion."""
    if level == 0:
        return 0.0
    x, y = np.concatenate([[0.0], effect]), np.concatenate([[0.0], leak])
    reached = np.flatnonzero(x >= level)
    if not len(reached):
        return float(y[-1] * level / x[-1]) if x[-1] > 0 else float("nan")
    i = max(1, int(reached[0]))
    share = (level - x[i - 1]) / (x[i] - x[i - 1]) if x[i] > x[i - 1] else 1.0
    return float(y[i - 1] + share * (y[i] - y[i - 1]))


def contrast(
    generator: Generator,
    catalog: Catalog,
    directions: Sequence[Direction],
    targets: Iterable[int],
    *,
    parts: Iterable[str],
    settings: QuerySettings = _USUAL,
    truncation: float = 0.7,
    segmenter: Segmenter | None = None,
    first_reference: int = 20_000,
    progress: bool = True,
) -> list[Road]:
    """Measure, on the same targets, a path, the path through a part's query, and a transfer of the part.

    Target i goes along direction i mod n, forward and backward in turn, and takes its part from the seed
    `first_reference` + i. A part is looked for in the target and in its edit, widened by one pixel, so that a
    part may change its outline. A target that does not show a part, or nothing else, is left out for it.

    Parameters
    ----------
    directions : the n directions
    targets : seeds
    settings : how the channels of a part are chosen, for path and transfer alike
    segmenter : tells where a part is, if it has a part of that name (``.names``); the catalog's own
        membership otherwise

    Returns
    -------
    three `Road` for each part that some target shows
    """
    generator.check_styles()
    catalog.check_generator(generator)
    if not len(directions):
        raise ValueError("directions is empty; give at least one")
    for direction in directions:
        direction.check_generator(generator)
    queries = {part: settings.query(catalog, part) for part in parts}
    seeds = check_seeds(targets, name="targets")
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    starts = range(0, len(seeds), _BATCH)

    def look(styles: Tensor, parts: Iterable[str]) -> tuple[Tensor, dict[str, Tensor]]:
        images = generator.synthesize(styles)
        return images, read_masks(generator, catalog, styles, images=images, segmenter=segmenter, parts=parts)

    for start in track(starts, total=len(starts), description="three roads", show=progress):
        index = range(start, min(start + _BATCH, len(seeds)))
        before = generator.sample_styles([seeds[i] for i in index], truncation=truncation)
        wanted = generator.sample_styles([first_reference + i for i in index], truncation=truncation)
        paths = _paths(directions, index)
        for key, piece in _measured(look, before, wanted, paths, queries).items():
            found.setdefault(key, []).append(piece)
    return _roads(found)


def _paths(directions: Sequence[Direction], index: Iterable[int]) -> Tensor:
    """One standard deviation along the direction of each target, forward or backward: (n, S)."""
    count = len(directions)
    chosen = [(directions[i % count], 1 - 2 * (i // count % 2)) for i in index]
    return torch.stack([d.styles * d.deviation * sign for d, sign in chosen])


def _edits(
    before: Tensor, wanted: Tensor, paths: Tensor, queries: dict[str, Tensor]
) -> Iterator[tuple[str, int, list[str], Tensor]]:
    """Yield (method, index of the amount, parts it is about, edited styles)."""
    for v, amount in enumerate(AMOUNTS["path"]):
        yield "path", v, list(queries), before + amount * paths
    for part, q in queries.items():
        for v, amount in enumerate(AMOUNTS["path through q"]):
            yield "path through q", v, [part], before + amount * q.to(paths) * paths
        for v, strength in enumerate(AMOUNTS["transfer"]):
            yield "transfer", v, [part], transfer(before, wanted, q, strength=strength)


@torch.inference_mode()
def _measured(
    look: Callable[..., tuple[Tensor, dict[str, Tensor]]],
    before: Tensor,
    wanted: Tensor,
    paths: Tensor,
    queries: dict[str, Tensor],
) -> dict[tuple[str, str], np.ndarray]:
    """{(part, method): effect and leak, (n, V, 2)} of one batch; NaN where there is no part or only it."""
    images, shown = look(before, queries)
    table = {
        (part, method): np.full((len(before), len(amounts), 2), np.nan)
        for part in queries
        for method, amounts in AMOUNTS.items()
    }
    for method, v, parts, styles in _edits(before, wanted, paths.to(before), queries):
        edited, now = look(styles, parts)
        for part in parts:
            mask = union({part: shown[part]}, now)[part]
            there = (shown[part].flatten(1).any(dim=1) & shows(mask)).cpu()
            if bool(there.any()):
                found = measure(images[there], edited[there], mask[there])
                table[part, method][there.numpy(), v] = np.stack([found.effect, found.leak], axis=1)
    return table


def _roads(found: dict[tuple[str, str], list[np.ndarray]]) -> list[Road]:
    """Join the batches; a target counts for a part if every edit of it could be measured."""
    tables = {key: np.concatenate(pieces) for key, pieces in found.items()}
    roads = []
    for (part, method), table in tables.items():
        others = [t for (p, _), t in tables.items() if p == part]
        kept = np.all([np.isfinite(t).all(axis=(1, 2)) for t in others], axis=0)
        if kept.any():
            roads.append(Road(part, method, AMOUNTS[method], table[kept, :, 0], table[kept, :, 1]))
    return roads


def equal_effect(roads: Iterable[Road]) -> float:
    """An effect that all these roads reach, to compare their leaks at: 0.8 of the least of their largest."""
    largest = [float(road.effect.mean(axis=0).max()) for road in roads]
    if not largest:
        raise ValueError("roads is empty; give some of one part")
    return 0.8 * min(largest)


def contrast_table(roads: Iterable[Road]) -> Table:
    """Leak of each road at equal effect, part by part, with 95 % bootstrap intervals over the targets; mean
    squared ΔE. The amount is in standard deviations of w for paths, λ for a transfer.
    """
    every, rows = list(roads), []
    for part in dict.fromkeys(road.part for road in every):
        own = [road for road in every if road.part == part]
        level = equal_effect(own)
        for road in own:
            leak, low, high = road.leak_at(level)
            ratio = level / leak if leak > 0 else float("nan")
            count, amount = f"{len(road.effect)}", road.amount_at(level)
            rows.append(
                (part, road.method, count, amount, level, f"{leak:.1f} [{low:.1f}, {high:.1f}]", ratio)
            )
    columns = ("part", "method", "targets", "amount", "effect inside", "leak outside", "effect / leak")
    return Table(columns, rows)
