"""How far images are from a picture: in its pixels, and in what a network sees of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lefs.checks import check_number
from lefs.images import opaque
from lefs.showing import Shown

__all__ = ["Features", "Likeness"]

# images (N, 3, H, W) in [-1, 1] → maps or vectors, several of them, also by name
Features = Callable[[Tensor], Tensor | Sequence[Tensor] | Mapping[str, Tensor]]

# what torchvision's models were trained with
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Likeness(Shown):
    """What images are to become: like a picture, where it counts.

    Parameters
    ----------
    picture : Tensor of shape (3, H, W)
    kept : bool Tensor of shape (H, W)
        Where it counts.
    loss, weight
        As `lefs.invert` takes them.
    device : torch.device
    """

    def __init__(
        self, picture: Tensor, kept: Tensor, loss: Features | None, weight: float, *, device: torch.device
    ):
        if getattr(loss, "training", False):
            raise ValueError("loss is in training mode, where it answers differently each time; call .eval()")
        self._look = next((f for n in ("features", "logits") if callable(f := getattr(loss, n, None))), loss)
        if loss is not None and not callable(self._look):
            raise TypeError(f"loss must be a segmenter, a model or a function of images, got {loss!r}")
        self._foreign = type(loss).__module__.startswith("torchvision.")
        self.picture, self.kept = picture.to(device), kept.to(device)
        self.weight = check_number("weight", weight, minimum=0)
        with torch.no_grad():
            self.seen = self.see(self.picture[None])
        if not all(isinstance(one, Tensor) and one.ndim > 1 and len(one) == 1 for one in self.seen):
            given = [getattr(one, "shape", type(one)) for one in self.seen]
            raise ValueError(
                "loss must give maps or vectors, tensors (N, ...) of what it sees in N images; a distance is "
                f"taken between them. Got {given} for one image"
            )

    def see(self, images: Tensor) -> list[Tensor]:
        """What the segmenter, the model of torchvision, or the function sees in images: several maps."""
        if self._look is None:
            return []
        if self._foreign:
            mean, deviation = (images.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
            images = ((images + 1) / 2 - mean) / deviation
        found = self._look(images)
        found = list(found.values()) if isinstance(found, Mapping) else found
        return list(found) if isinstance(found, Sequence) else [found]

    def loss(self, images: Tensor) -> Tensor:
        """How far images (N, 3, H, W) are from it: (N,)."""
        # (what does not count is the picture's own, for the features' sake too)
        images = torch.where(self.kept, opaque(images.float()), self.picture)
        total = (images - self.picture).square().sum(dim=(1, 2, 3)) / (3 * self.kept.sum())
        for made, wanted in zip(self.see(images), self.seen, strict=True):
            share = (made - wanted).flatten(1).square().mean(dim=1) / wanted.square().mean().clamp_min(1e-12)
            total = total + self.weight * share / len(self.seen)
        return total
