"""What is fitted by gradients: how far images are from a picture, and a query for one pair.

`Likeness` looks at pixels, and at what a network sees of them. `fit_query` chooses channels by what the edit
looks like: the rules of `lefs.rules` know what channels do on average, a few steps through the generator know
what they do to this pair. It is not the paper's method, and blends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_number
from lefs.generator import Generator
from lefs.images import opaque, to_lab
from lefs.positions import grown
from lefs.showing import Shown
from lefs.stylespace import check_styles_shape
from lefs.synthesis import Noise
from lefs.workers.progress import track

__all__ = ["Features", "Likeness", "fit_query"]

# images (N, 3, H, W) in [-1, 1] → maps or vectors, several of them, also by name
Features = Callable[[Tensor], Tensor | Sequence[Tensor] | Mapping[str, Tensor]]

# what torchvision's models were trained with
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RATE, _BEGIN = 0.1, 0.3  # of q


def fit_query(
    generator: Generator, catalog: Catalog, part: str, target_styles: Tensor, reference_styles: Tensor, *,
    steps: int = 30, outside: float = 4.0, noise: Noise = "const", progress: bool = True,
) -> Tensor:  # fmt: skip
    """Fit q to pairs: the part like the reference's, all else like the target.

    Minimises ‖edit − reference‖² inside the part over what it is without an edit, and `outside` times
    ‖edit − target‖² outside over what exchanging all channels makes it, in CIELAB; by Adam on q in [0, 1].

    Parameters
    ----------
    generator, catalog : Generator, Catalog
        Must belong together.
    part : str
        Inside is its mask in target or reference, by the catalog, and a pixel around it.
    target_styles, reference_styles : Tensor of shape (N, S)
    steps : int
        Of Adam; each takes about three times as long as making the images.
    outside : float, at least 0
        How much more change outside counts.
    noise : {"const", "none"} or int
    progress : bool
        Show a bar.

    Returns
    -------
    Tensor of shape (N, S), float32 in [0, 1]

    Examples
    --------
    >>> import lefs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> target, reference = generator.sample([1]), generator.sample([2])
    >>> q = lefs.fitting.fit_query(generator, catalog, "hair", target, reference, steps=2, progress=False)
    >>> lefs.transfer(target, reference, q).shape == target.shape
    True
    """
    generator.check_styles()
    check_integer("steps", steps, minimum=1)
    check_number("outside", outside, minimum=0)
    catalog.clusters(part)  # (an unknown part is told before anything is made)
    given = {"target_styles": target_styles, "reference_styles": reference_styles}
    check_styles_shape(generator.num_styles, **given)
    with torch.inference_mode(False), torch.enable_grad():
        both = [s.detach().clone() for s in torch.broadcast_tensors(target_styles, reference_styles)]
        before, wanted = (to_lab(generator.synthesize(styles, noise)).detach() for styles in both)
        masks = [catalog.part_masks(generator, styles)[part] for styles in both]
        inside, change = grown(masks[0] | masks[1], 1), (wanted - before).square()
        weights = [w / (change * w).sum((1, 2, 3), keepdim=True).clamp_min(1) for w in (inside, 1 - inside)]
        q = torch.full_like(both[0], _BEGIN, requires_grad=True)
        adam = torch.optim.Adam([q], lr=_RATE)
        for _ in track(range(steps), total=steps, description="fitting", show=progress):
            edit = to_lab(generator.synthesize(torch.lerp(both[0], both[1], q), noise))
            error = weights[0] * (edit - wanted).square() + outside * weights[1] * (edit - before).square()
            (q.grad,) = torch.autograd.grad(error.sum(), q)
            adam.step()
            q.data.clamp_(0, 1)
        return q.detach()


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
