"""A query fitted to one pair of images: channels only, chosen by what the edit looks like.

The rules of `lefs.rules` know what channels do on average. A few steps through the generator know what they
do to this pair. It is not the paper's method, and blends nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_counts, check_integer, check_number
from lefs.generator import Generator
from lefs.images import to_lab
from lefs.positions import grown
from lefs.synthesis import Noise
from lefs.workers.progress import track

__all__ = ["fit_query"]

_RATE, _BEGIN = 0.1, 0.3


def fit_query(
    generator: Generator,
    catalog: Catalog,
    part: str,
    target_styles: Tensor,
    reference_styles: Tensor,
    *,
    steps: int = 30,
    outside: float = 4.0,
    noise: Noise = "const",
    progress: bool = True,
) -> Tensor:
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
    check_counts(target_styles=target_styles, reference_styles=reference_styles)
    with torch.inference_mode(False):
        target, reference = (s.clone() for s in torch.broadcast_tensors(target_styles, reference_styles))
        with torch.no_grad():
            before, wanted = (to_lab(generator.synthesize(s, noise)) for s in (target, reference))
            own, other = (catalog.part_masks(generator, s)[part] for s in (target, reference))
            inside = grown(own | other, 1)
            most = [(wanted - before).square().mul(m).sum((1, 2, 3)) for m in (inside, 1 - inside)]
        q = torch.full_like(target, _BEGIN, requires_grad=True)
        adam = torch.optim.Adam([q], lr=_RATE)
        for _ in track(range(steps), total=steps, description="fitting", show=progress):
            with torch.enable_grad():
                edit = to_lab(generator.synthesize(torch.lerp(target, reference, q), noise))
                short = (edit - wanted).square().mul(inside).sum((1, 2, 3)) / most[0].clamp_min(1)
                leak = (edit - before).square().mul(1 - inside).sum((1, 2, 3)) / most[1].clamp_min(1)
                (q.grad,) = torch.autograd.grad((short + outside * leak).sum(), q)
            adam.step()
            with torch.no_grad():
                q.clamp_(0, 1)
        return q.detach()
