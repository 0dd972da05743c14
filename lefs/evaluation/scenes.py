"""One batch of pairs, and what every method makes of it: the work of `compare` that workers share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lefs.evaluation.masks import grow, read_masks, shows, union
from lefs.evaluation.methods import Method
from lefs.evaluation.outcomes import measure_lab
from lefs.evaluation.pairs import PairBatch
from lefs.evaluation.realism import Features, pooled
from lefs.images import to_lab

__all__ = ["UNEDITED", "Key", "Row", "measured", "shown"]

WINDOW = 5  # pixels around a part's mask that are looked at with it, for how real it looks
Row = dict[str, np.ndarray]  # columns of numbers, one for each pair
Key = tuple[str, str, float]  # part, method and value
UNEDITED: Key = ("", "unedited", 0.0)


def shown(batch: PairBatch, *, parts: Sequence[str], follow: bool) -> Row:
    """Which of the pairs show each part: {part: bool (n,)}."""
    scene = _Scene(batch, follow, None, 0)
    return {part: scene.shown(part).numpy() for part in parts}


def measured(
    batch: PairBatch,
    *,
    ways: Mapping[tuple[Method, float], Mapping[str, int]],
    follow: bool,
    features: Features | None,
    after: int,
) -> list[tuple[Key, Row]]:
    """What is measured of unedited images, and of each part, method and value.

    Parameters
    ----------
    batch : PairBatch
    ways : mapping
        {(method, value): {part: the pair from which on it is not edited}}.
    follow, features, after
        Of `_Scene`.
    """
    scene = _Scene(batch, follow, features, after)
    edits = (edit for (method, value), until in ways.items() for edit in scene.edits(method, value, until))
    return [(UNEDITED, scene.unedited()), *edits]


class _Scene:
    """One batch of pairs, with what all methods are held against.

    Parameters
    ----------
    batch : PairBatch
    follow : bool
        Whether a part is looked for in the target and in its edit, and not in target and reference.
    features : callable or None
        Images → maps or vectors.
    after : int
        The seed from which on there is an unedited image for each pair.
    """

    def __init__(self, batch: PairBatch, follow: bool, features: Features | None, after: int):
        self.batch, self.follow, self.features = batch, follow, features
        if features is not None:
            self.before = features(batch.targets)
            seeds = (after + batch.index).tolist()
            styles = batch.generator.sample_styles(seeds, truncation=batch.truncation)
            self.others = pooled(features(batch.generator.synthesize(styles)))

    def unedited(self) -> Row:
        """Features of the targets beside those of the other images."""
        found = {"index": self.batch.index.numpy()}
        if self.features is not None:
            own = pooled(self.before).numpy()
            found |= {"edited": own, "others": self.others.numpy(), "around": own, "before": own}
        return found

    def edits(self, method: Method, value: float, until: Mapping[str, int]) -> Iterator[tuple[Key, Row]]:
        """One method's edit of each part that some pair shows; one for all parts where it is the same.

        Yields the key, and the numbers of those of the pairs before `until` that show it and something else,
        with features if the value is the usual one.
        """
        shown = {part: self.shown(part) & (self.batch.index < n) for part, n in until.items()}
        there = {part: at for part, at in shown.items() if bool(at.any())}
        for group in ([list(there)] if method.whole else [[p] for p in there]) if there else []:
            at = torch.stack([there[p] for p in group]).any(dim=0)
            images, styles = method.render(self.batch, group[0], value, at)
            found = self.features(images) if self.features is not None and value == method.usual else None
            lab = to_lab(images)
            for part, mask in self._looked_for(group, at, images, styles).items():
                here = there[part][at] & shows(mask).cpu()
                if bool(here.any()):
                    rows = at.nonzero()[:, 0][here]
                    vectors = {} if found is None else self._vectors(found, mask, here, rows)
                    target, reference = (side[rows] for side in self.batch.labs)
                    index = {"index": self.batch.index[rows].numpy()}
                    numbers = measure_lab(target, lab[here], reference, mask[here])
                    yield (part, method.name, value), numbers | index | vectors

    def shown(self, part: str) -> Tensor:
        """Which of the pairs show a part: bool, (n,), on the CPU."""
        batch = self.batch
        return (batch.target_masks[part].flatten(1).any(dim=1) if self.follow else batch.shown(part)).cpu()

    def _looked_for(
        self, parts: list[str], at: Tensor, images: Tensor, styles: Tensor | None
    ) -> dict[str, Tensor]:
        """Where each part is looked for in some of the pairs."""
        batch = self.batch
        if not self.follow:
            return {p: batch.masks[p][at] for p in parts}
        looking: dict[str, Any] = {"images": images, "segmenter": batch.segmenter, "parts": parts}
        now = read_masks(batch.generator, batch.catalog, styles, **looking)
        return union({p: batch.target_masks[p][at] for p in parts}, now)

    def _vectors(self, found: Any, mask: Tensor, here: Tensor, rows: Tensor) -> dict[str, np.ndarray]:
        """Features of the edits `here`, of their targets, and of other images."""
        window = grow(mask, WINDOW)[here]
        edited, before = _rows(found, here), _rows(self.before, rows)
        vectors = pooled(edited), self.others[rows], pooled(edited, window), pooled(before, window)
        return {n: v.numpy() for n, v in zip(("edited", "others", "around", "before"), vectors, strict=True)}


def _rows(features: Any, at: Tensor) -> Any:
    """Features of some of the images."""
    return features[at] if isinstance(features, Tensor) else [maps[at] for maps in features]
