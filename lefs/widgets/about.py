"""What a part is: how much it covers, how stable it is, and what its strongest channels do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lefs.activations import Sample
from lefs.catalog import Catalog
from lefs.evaluation.agreement import part_stability
from lefs.generator import Generator
from lefs.images import color_difference, opaque, to_uint8
from lefs.widgets.canvas import Picture
from lefs.widgets.cluster_pictures import share
from lefs.widgets.panel import joined

__all__ = ["channel_pictures", "facts"]

# How many, how far each is moved, in its standard deviations, and how much its change is enlarged to be seen
_CHANNELS, _FAR, _TIMES = 6, 3.0, 4
_IMAGES, _VECTORS = 128, 16_384  # that clusters are found again from


def facts(
    generator: Generator,
    catalog: Catalog,
    clusters: Sequence[int],
    looks: Sequence[np.ndarray],
    truth: np.ndarray | None,
    names: Sequence[str],
) -> str:
    """Coverage, stability and overlap with true parts of some clusters together, as a line of HTML.

    Parameters
    ----------
    generator, catalog : Generator, Catalog
    clusters : sequence of int
    looks : sequence of ndarray of shape (h, w), int
        The clusters in some images.
    truth : ndarray of shape (K, P), optional
        Pixels of each cluster in each true part, named `names`.
    """
    own, chosen, sizes = catalog.sampling, list(clusters), share(catalog)
    images = sum(bool(np.isin(look, chosen).any()) for look in looks)
    sample = Sample(generator, own.seeds[:_IMAGES], truncation=own.truncation)
    vectors = sample.vectors(catalog.layer, max_vectors=_VECTORS, random_state=0)
    stable = part_stability(vectors, catalog.centers, chosen)
    texts = [
        f"covers <b>{sum(sizes[k] for k in chosen):.1%}</b>, in <b>{images}</b> of {len(looks)} images",
        f"found again by another start: <b>{stable:.0%}</b>",
    ]
    if truth is not None:
        here = truth[chosen].sum(axis=0)
        iou = here / np.maximum(truth.sum(axis=0) + here.sum() - here, 1)
        best = int(iou.argmax())
        pure = here[best] / max(1, here.sum())
        texts.append(f"overlap with true {names[best]}: <b>{iou[best]:.2f}</b> IoU, {pure:.0%} of it is that")
    return joined(texts)


@torch.inference_mode()
def channel_pictures(
    generator: Generator, catalog: Catalog, clusters: Sequence[int], seeds: Sequence[int]
) -> list[Picture]:
    """The first image as it is, and what those channels do to it that contribute most to these clusters."""
    if not generator.has_styles:
        return []
    styles = generator.sample(seeds, truncation=catalog.sampling.truncation)
    spread = generator.sample(range(64)).std(dim=0)
    m = catalog.contributions[list(clusters)].sum(dim=0)
    strongest = m.topk(min(_CHANNELS, len(m))).indices.tolist()
    moved = styles[:1].repeat(len(strongest) + 1, 1)
    for i, c in enumerate(strongest, start=1):
        moved[i, c] += _FAR * spread[c]
    images = generator.synthesize(moved).float().cpu()
    titles = [
        next((f"{la.name} · {c - la.span.start}" for la in generator.layers if c < la.span.stop), str(c))
        for c in strongest
    ]
    change = [float(color_difference(images[0], image).mean()) for image in images[1:]]
    notes = [f"{m[c]:.0%} · ΔE {d:.1f}" for c, d in zip(strongest, change, strict=True)]
    images[1:] = images[:1] + _TIMES * (images[1:] - images[:1])
    pixels = to_uint8(opaque(images.clamp(-1, 1)))
    return [
        Picture(p, t, n)
        for p, t, n in zip(pixels, ["as it is", *titles], [f"seed {seeds[0]}", *notes], strict=True)
    ]
