"""One batch of pairs with everything that an edit of it is held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lefs.evaluation.masks import read_masks, shows, union
from lefs.evaluation.methods import Method
from lefs.evaluation.outcomes import split_change
from lefs.evaluation.pairs import PairBatch
from lefs.evaluation.realism import Features, in_mask, pooled
from lefs.images import to_lab

__all__ = ["NUMBERS", "PartEdit", "Scene"]

#: The numbers of an `Outcome`, one for each pair.
NUMBERS = ("effect", "leak", "localisation", "remaining", "most_effect", "most_leak", "farther", "farthest")


@dataclass(frozen=True, eq=False)
class PartEdit:
    """One method's edit of one part on a batch: where it is looked for, on which pairs, and what came out."""

    part: str
    mask: Tensor
    here: Tensor
    lab: Tensor
    features: Any


class Scene:
    """One batch of pairs, with what all methods are held against."""

    def __init__(
        self, batch: PairBatch, follow: bool, features: Features | None, other_styles: Tensor | None
    ):
        self.batch, self.follow, self.features = batch, follow, features
        self.before, self.wanted = batch.labs
        self.most = (self.wanted - self.before).square().sum(dim=1)
        if features is not None and other_styles is not None:
            self.of_targets, self.of_references = features(batch.targets), features(batch.references)
            self.others = pooled(features(batch.generator.synthesize(other_styles)))

    def edits(self, method: Method, value: float, parts: Sequence[str]) -> Iterator[PartEdit]:
        """The method's edit of each part that some pair shows; one for all parts where it is the same."""
        masks = self.batch.target_masks if self.follow else self.batch.masks
        there = [p for p in parts if bool(masks[p].any())]
        for group in ([there] if method.whole else [[p] for p in there]) if there else []:
            images, styles = method.render(self.batch, group[0], value)
            found = self.features(images) if self.features is not None and value == method.usual else None
            lab = to_lab(images)
            for part, (mask, here) in self._looked_for(group, images, styles).items():
                yield PartEdit(part, mask, here, lab, found)

    def _looked_for(
        self, parts: list[str], images: Tensor, styles: Tensor | None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Where each part is looked for, and which pairs show it and something else."""
        batch = self.batch
        if not self.follow:
            return {p: (batch.masks[p], batch.shown(p)) for p in parts}
        own = {p: batch.target_masks[p] for p in parts}
        now = read_masks(
            batch.generator, batch.catalog, styles, images=images, segmenter=batch.segmenter, parts=parts
        )
        return {p: (m, own[p].flatten(1).any(dim=1) & shows(m)) for p, m in union(own, now).items()}

    def numbers(self, edit: PartEdit, here: Tensor) -> dict[str, np.ndarray]:
        """One number for each quantity and each of the pairs `here`."""
        mask = edit.mask[here]
        effect, leak, share = split_change((edit.lab - self.before).square().sum(dim=1)[here], mask)
        most_effect, most_leak, _ = split_change(self.most[here], mask)
        remaining, _, _ = split_change((edit.lab - self.wanted).square().sum(dim=1)[here], mask)
        distances = self._feature_distances(edit, here.cpu())
        columns = (effect, leak, share, remaining, most_effect, most_leak, *distances)
        index = self.batch.index[here.cpu()].numpy()
        return {"index": index, **dict(zip(NUMBERS, columns, strict=True))}

    def _feature_distances(self, edit: PartEdit, at: Tensor) -> list[np.ndarray]:
        """Squared distances to the reference's features of the edit's and of the target's, in the mask."""
        sides = (edit.features, self.of_targets, self.of_references) if edit.features is not None else ()
        means = [in_mask(f, edit.mask) for f in sides]
        *own, wanted = [m for m in means if m is not None] or [None]
        if wanted is None:
            return [np.full(int(at.sum()), np.nan)] * 2
        return [(side - wanted)[at].double().square().sum(dim=1).numpy() for side in own]
