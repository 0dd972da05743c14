"""One batch of pairs with everything that an edit of it is held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lefs.evaluation.masks import read_masks, shows, union
from lefs.evaluation.methods import Method
from lefs.evaluation.outcomes import split_change
from lefs.evaluation.pairs import PairBatch
from lefs.evaluation.realism import Features, in_mask, pooled
from lefs.images import to_lab

__all__ = ["NUMBERS", "Scene"]

#: The numbers of an `Outcome`, one for each pair.
NUMBERS = ("effect", "leak", "localisation", "remaining", "most_effect", "most_leak", "farther", "farthest")


class Scene:
    """One batch of pairs, with what all methods are held against.

    Parameters
    ----------
    batch : PairBatch
    follow : bool
        Whether a part is looked for in the target and in its edit, and not in target and reference.
    features : callable or None
        Images → maps or vectors.
    others : list of int
        Seeds of as many unedited images.
    """

    def __init__(self, batch: PairBatch, follow: bool, features: Features | None, others: list[int]):
        self.batch, self.follow, self.features = batch, follow, features
        self.before, self.wanted = batch.labs
        self.most = (self.wanted - self.before).square().sum(dim=1)
        if features is not None:
            self.of_targets, self.of_references = features(batch.targets), features(batch.references)
            styles = batch.generator.sample_styles(others, truncation=batch.truncation)
            self.others = pooled(features(batch.generator.synthesize(styles)))

    def measured(
        self, method: Method, value: float, parts: Sequence[str], many: int
    ) -> Iterator[tuple[str, dict[str, np.ndarray], tuple[Tensor, Tensor] | None]]:
        """One method's edit of each part that some pair shows; one for all parts where it is the same.

        Yields the part, the numbers of those of the first `many` pairs that show it and something else, and
        the feature vectors of as many edited and unedited images.
        """
        masks = self.batch.target_masks if self.follow else self.batch.masks
        there = [p for p in parts if bool(masks[p].any())]
        for group in ([there] if method.whole else [[p] for p in there]) if there else []:
            images, styles = method.render(self.batch, group[0], value)
            found = self.features(images) if self.features is not None and value == method.usual else None
            lab = to_lab(images)
            for part, (mask, here) in self._looked_for(group, images, styles).items():
                here = here & (torch.arange(len(here), device=here.device) < many)
                if bool(here.any()):
                    at = here.cpu()
                    vectors = None if found is None else (pooled(found)[at], self.others[at])
                    yield part, self._numbers(lab, found, mask, here), vectors

    def _looked_for(
        self, parts: list[str], images: Tensor, styles: Tensor | None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Where each part is looked for, and which pairs show it and something else."""
        batch = self.batch
        if not self.follow:
            return {p: (batch.masks[p], batch.shown(p)) for p in parts}
        own = {p: batch.target_masks[p] for p in parts}
        looking: dict[str, Any] = {"images": images, "segmenter": batch.segmenter, "parts": parts}
        now = read_masks(batch.generator, batch.catalog, styles, **looking)
        return {p: (m, own[p].flatten(1).any(dim=1) & shows(m)) for p, m in union(own, now).items()}

    def _numbers(self, lab: Tensor, found: Any, mask: Tensor, here: Tensor) -> dict[str, np.ndarray]:
        """One number for each quantity and each of the pairs `here`."""
        at = here.cpu()
        effect, leak, share = split_change((lab - self.before).square().sum(dim=1)[here], mask[here])
        most_effect, most_leak, _ = split_change(self.most[here], mask[here])
        remaining, _, _ = split_change((lab - self.wanted).square().sum(dim=1)[here], mask[here])
        distances = [np.full(len(effect), np.nan)] * 2
        sides = [] if found is None else [found, self.of_targets, self.of_references]
        own, target, reference = [in_mask(f, mask) for f in sides] or [None] * 3
        if own is not None and target is not None and reference is not None:
            distances = [(v - reference)[at].double().square().sum(dim=1).numpy() for v in (own, target)]
        columns = (effect, leak, share, remaining, most_effect, most_leak, *distances)
        return {"index": self.batch.index[at].numpy(), **dict(zip(NUMBERS, columns, strict=True))}
