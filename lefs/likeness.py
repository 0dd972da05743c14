"""How far images are from a picture: in its pixels, and in what a network sees of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lefs.checks import check_number
from lefs.images import opaque
from lefs.showing import Shown

__all__ = ["Features", "Likeness", "seen_by"]

# images (N, 3, H, W) in [-1, 1] → maps or vectors, several of them, also by name
Features = Callable[[Tensor], Tensor | Sequence[Tensor] | Mapping[str, Tensor]]

# what torchvision's models were trained with
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, repr=False)
class Likeness(Shown):
    """What images are to become."""

    picture: Tensor  # (3, H, W)
    kept: Tensor  # (H, W), bool, where it counts
    see: Callable[[Tensor], Sequence[Tensor]] | None
    seen: tuple[Tensor, ...]
    weight: float

    @classmethod
    def of(
        cls, picture: Tensor, kept: Tensor, loss: Features | None, weight: float, *, device: torch.device
    ) -> Likeness:
        """To a picture, where `kept` is set; `loss` and `weight` as `lefs.invert` takes them."""
        picture, kept = picture.to(device), kept.to(device)
        see = None if loss is None else seen_by(loss)
        with torch.no_grad():
            seen = () if see is None else tuple(see(picture[None]))
        if not all(isinstance(one, Tensor) and one.ndim > 1 and len(one) == 1 for one in seen):
            raise ValueError(
                "loss must give maps or vectors, tensors (N, ...) of what it sees in N images; a distance is "
                f"taken between them. Got {[getattr(one, 'shape', type(one)) for one in seen]} for one image"
            )
        return cls(picture, kept, see, seen, check_number("weight", weight, minimum=0))

    def loss(self, images: Tensor) -> Tensor:
        """How far images (N, 3, H, W) are from it: (N,)."""
        # (what does not count is the picture's own, for the features' sake too)
        images = torch.where(self.kept, opaque(images.float()), self.picture)
        total = (images - self.picture).square().sum(dim=(1, 2, 3)) / (3 * self.kept.sum())
        for made, wanted in zip(self.see(images) if self.see else (), self.seen, strict=True):
            share = (made - wanted).flatten(1).square().mean(dim=1) / wanted.square().mean().clamp_min(1e-12)
            total = total + self.weight * share / len(self.seen)
        return total


def seen_by(loss: Features) -> Callable[[Tensor], Sequence[Tensor]]:
    """What a segmenter, a model of torchvision, or any function sees in images: several maps."""
    if getattr(loss, "training", False):
        raise ValueError("loss is in training mode, where it answers differently each time; call .eval()")
    inner = next((f for n in ("features", "logits") if callable(f := getattr(loss, n, None))), loss)
    if not callable(inner):
        raise TypeError(f"loss must be a segmenter, a model or a function of images, got {loss!r}")
    foreign = type(loss).__module__.startswith("torchvision.")

    def see(images: Tensor) -> Sequence[Tensor]:
        if foreign:
            mean, deviation = (images.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
            images = ((images + 1) / 2 - mean) / deviation
        found = inner(images)
        found = list(found.values()) if isinstance(found, Mapping) else found
        return list(found) if isinstance(found, Sequence) else [found]

    return see
