"""Where parts are: the catalog's own masks, overridden by a segmenter for the parts that it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_name
from lefs.generator import Generator
from lefs.positions import grown

__all__ = ["NamedSegmenter", "Segmenter", "chosen_parts", "grow", "read_masks", "shows", "union"]

#: Images (N, 3, H, W) in [-1, 1] → labels (N, H, W), int64; may say what they mean: ``.names``.
Segmenter = Callable[[Tensor], Tensor]


class NamedSegmenter(Protocol):
    """A segmenter that says what its labels mean, such as `lefs.PartSegmenter`.

    Examples
    --------
    >>> import lefs
    >>> lefs.load_segmenter("portraits-64").names[:3]
    ('background', 'hair', 'skin')
    """

    @property
    def names(self) -> Sequence[str]:
        """The parts; their positions are the labels."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] → labels (N, H, W), int64."""


def chosen_parts(catalog: Catalog, parts: Iterable[str] | None) -> list[str]:
    """The catalog's parts, all or those named; a name that is not one of them is an error."""
    known = list(catalog.parts)
    return known if parts is None else [check_name("parts", p, known, what="part") for p in parts]


@torch.inference_mode()
def read_masks(
    generator: Generator,
    catalog: Catalog,
    styles: Tensor | None,
    *,
    images: Tensor | None = None,
    segmenter: Segmenter | None = None,
    parts: Iterable[str] | None = None,
) -> dict[str, Tensor]:
    """Where each part is in some images.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
        Its clusters tell where a part is that the segmenter does not know.
    styles : Tensor of shape (N, S)
        Of the images; None if the segmenter knows all these parts.
    images : Tensor of shape (N, 3, H, W), optional
        What the styles make, if it is there already.
    segmenter : callable, optional
        Tells where the parts are whose names are among its ``.names``.
    parts : iterable of str, optional
        Names of parts of the catalog; all by default.

    Returns
    -------
    dict of str to Tensor
        {part: bool (N, H, W)}

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import read_masks
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> masks = read_masks(generator, catalog, generator.sample_styles([1, 2]), parts=["hair"])
    >>> masks["hair"].shape
    torch.Size([2, 64, 64])
    """
    wanted, names = chosen_parts(catalog, parts), list(getattr(segmenter, "names", ()))
    unknown = [part for part in wanted if part not in names]
    if unknown and styles is None:
        raise ValueError(f"segmenter must know {unknown}, which nothing else can find in these images")
    found = catalog.part_masks(generator, styles) if unknown and styles is not None else {}
    if segmenter is not None and len(unknown) < len(wanted):
        labels = segmenter(generator.synthesize(styles) if images is None else images)  # type: ignore[arg-type]
        found |= {part: labels == names.index(part) for part in wanted if part in names}
    return {part: found[part] for part in wanted}


def grow(mask: Tensor, pixels: int = 1) -> Tensor:
    """A mask (N, H, W), bool, widened by some pixels to all sides and corners.

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation.masks import grow
    >>> dot = torch.zeros(1, 5, 5).bool()
    >>> dot[0, 2, 2] = True
    >>> int(grow(dot).sum()), int(grow(dot, 2).sum())
    (9, 25)
    """
    return grown(mask, pixels)[:, 0] > 0


def union(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Where each part is in either of two images, widened by one pixel: an edit may move its outline.

    Parameters
    ----------
    first, second : mapping of str to Tensor
        {part: bool (N, H, W)}

    Returns
    -------
    dict of str to Tensor
        {part: bool (N, H, W)}
    """
    return {part: grow(mask | second[part]) for part, mask in first.items()}


def shows(mask: Tensor) -> Tensor:
    """Which images show something inside the mask and something outside it: (N, H, W) → (N,), bool.

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation.masks import shows
    >>> shows(torch.tensor([[[0, 0]], [[0, 1]], [[1, 1]]]).bool())
    tensor([False,  True, False])
    """
    flat = mask.flatten(1)
    return flat.any(dim=1) & ~flat.all(dim=1)
