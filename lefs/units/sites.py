"""Where units are changed and concepts counted: the same positions, in an experiment on one layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lefs.checks import check_choice
from lefs.generator import Generator
from lefs.synthesis import Cache, Hook
from lefs.units.concepts import Concepts, Judge
from lefs.units.interventions import cells_of, check_levels, kept_cache, pixels_of, replacement

__all__ = ["Site", "Where"]

#: ``"everywhere"``; ``"concept"``, where the unaltered image shows it; or a mask painted over the picture
Where = Literal["everywhere", "concept"] | Tensor


@dataclass(eq=False)
class Site:
    """Where units of one layer are changed, and a concept is counted: at the same positions.

    Parameters
    ----------
    generator : Generator
    segmenter : Segmenter or Catalog
    layer_name, concept : str
    levels : Tensor of shape (C,)
        What insertion sets each unit of the layer to.
    where : {"everywhere", "concept"} or Tensor of shape (H, W), bool
        A mask is of any size, over the whole picture.
    """

    generator: Generator
    segmenter: Judge
    layer_name: str
    concept: str
    levels: Tensor
    where: Where

    def __post_init__(self) -> None:
        self.concepts = Concepts(self.generator, self.segmenter)
        self.concepts.check_layer(self.layer_name)
        self.layer, self.label = self.generator.layer(self.layer_name), self.concepts.index(self.concept)
        check_levels(self.layer, self.levels)
        where, self.size = self.where, self.generator.size[0]
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

    def positions(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (N, h, w) that are changed, and pixels (N, H, W) that are counted, for labels (N, H, W)."""
        if isinstance(self.where, Tensor):
            mask = self.where.to(labels.device)
        elif self.where == "concept":
            mask = labels == self.label
        else:
            mask = torch.ones_like(labels[:1], dtype=torch.bool)
        cells = cells_of(self.layer, mask).expand(len(labels), -1, -1)
        return cells, pixels_of(cells, self.size)

    def positions_in(self, styles: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor]:
        """As `positions`; the images are made only if it is they that tell where the concept is."""
        if not isinstance(self.where, Tensor) and self.where == "concept":
            return self.positions(self.concepts.look(styles, cache=cache)[1])
        shape = (len(styles), self.size, self.size)
        return self.positions(torch.zeros(shape, dtype=torch.int64, device=styles.device))

    def edits(self, weight: Tensor, cells: Tensor, levels: Tensor) -> dict[str, Hook]:
        """Units of weight (C,) go to `levels` at some cells."""
        return {self.layer.name: replacement(self.layer, weight, levels=levels, where=cells)}

    @torch.inference_mode()
    def count(self, styles: Tensor, sets: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Pixels before, ablated, inserted, looked at, (4, n), of each set, in the images that count."""
        cache = kept_cache(self.generator, styles)
        labels = self.concepts.look(styles, cache=cache)[1]
        cells, pixels = self.positions(labels)

        def shown(seen: Tensor) -> Tensor:
            return ((seen == self.label) & pixels).sum(dim=(1, 2))

        found = {}
        for name, weight in sets.items():
            rows = [shown(labels)]
            for levels in (torch.zeros_like(self.levels), self.levels):
                edits = self.edits(weight, cells, levels)
                rows.append(shown(self.concepts.look(styles, edits, cache=cache)[1]))
            area = pixels.sum(dim=(1, 2))
            found[name] = torch.stack([*rows, area])[:, area > 0].cpu().numpy()
        return found

    def check_seen(self, count: int) -> None:
        """Raise a ValueError if nothing was counted."""
        if not count:
            raise ValueError(
                f"no image of the sample shows {self.concept!r}; give more seeds or another place"
            )
