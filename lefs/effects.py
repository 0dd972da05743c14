"""Contributions by effect: where a channel acts, instead of where it is active.

The effect of style channel c on region k is what a small change of its style does to the pixels there,

    E[k, c] = mean over images of Σ_{pixels in k, colours} (∂I/∂σ_c)²,

with images I in [-1, 1]. All channels of all layers come out of one backward pass at once: for random signs v
on the pixels of the region, the mean over v of (∂⟨v, I⟩/∂σ_c)² is that sum (Hutchinson's estimator: the
cross terms of independent signs have mean zero).

Effect and activity part ways in both directions: what is active may be overpainted later, and StyleGAN2's
demodulation lets the style of a channel that is never active act through the norm that it shares in.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import Seeds, check_integer, check_seed
from lefs.generator import Generator, Sampling
from lefs.images import resample_partition
from lefs.workers import Sample
from lefs.workers.samples import Batch

__all__ = ["by_effect", "measure_effects", "squared_gradients", "with_effects"]

_PIXELS = 2**18  # of the images whose graphs are kept at once: four at 256 × 256, one from 512 × 512 on


def by_effect(catalog: Catalog, generator: Generator, seeds: Seeds | None = None, **options: Any) -> Catalog:
    """The same clusters and names, with contributions by effect: M[k, c] = E[k, c] / Σ_k E[k, c].

    A channel that changes nothing gets 0. The shift of a channel (StyleGAN) has an effect of its own and so
    contributions of its own; styles that belong to no layer (StyleGAN3's input) have 0.

    Parameters
    ----------
    catalog, generator, seeds, **options
        As of `measure_effects`.

    Returns
    -------
    Catalog
        With ``measure="effect"`` and the `effects` themselves.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> catalog = lefs.dissect(generator, range(4), clusters=4, progress=False)
    >>> lefs.by_effect(catalog, generator, range(2), progress=False).measure
    'effect'
    """
    return measure_effects(catalog, generator, seeds, **options).by_effect()


def with_effects(
    catalog: Catalog, generator: Generator, seeds: Seeds | None = None, *, progress: bool = True
) -> Catalog:
    """The catalog with effects: itself where it has them, else as `measure_effects` gives it."""
    measured = catalog.effects is not None
    return catalog if measured else measure_effects(catalog, generator, seeds, progress=progress)


def measure_effects(
    catalog: Catalog, generator: Generator, seeds: Seeds | None = None, *, truncation: float | None = None,
    probes: int = 1, random_state: int = 0, **options: Any,
) -> Catalog:  # fmt: skip
    """The catalog with its effects beside its contributions, and what they were measured on.

    E[k, c] is the squared change of an image in [-1, 1] for one unit of style c, summed over the pixels of
    cluster k and the three colours: (K, S), float64, at least 0. An image costs one forward pass and, for
    each probe, a backward pass for each cluster that it shows. Nothing grows with the number of images, and
    the signs of an image depend on its seed alone: the E of many images is the mean of the E of each.

    Parameters
    ----------
    catalog, generator : Catalog, Generator
        They must belong together.
    seeds, truncation : iterable of int, float, optional
        The images to measure on; the catalog's own where None.
    probes : int
        Random signs for each image; the mean over images evens out most of what a single one leaves.
    random_state : int
        Seeds the signs, together with each image's seed.
    **options
        `batch_size`, `progress`, `executor` and `checkpoint` of `lefs.dissect`; any batch size gives the same
        contributions to 1e-5.

    Raises
    ------
    TypeError
        If the generator has no styles.
    ArtifactError
        If the catalog is of another generator.
    """
    catalog.check_generator(generator)
    generator.check_styles()
    check_integer("probes", probes, minimum=1)
    random_state = check_seed("random_state", random_state)
    own = catalog.sampling
    if own.label is not None and own.label != generator.default_label:
        generator = generator.with_label(own.label)
    seeds, psi = own.seeds if seeds is None else seeds, own.truncation if truncation is None else truncation
    sample = Sample(generator, seeds, truncation=psi, **options)
    job = partial(_batch_effects, catalog=catalog, probes=probes, random_state=random_state)
    (total,) = sample.sums(job, "effects", (catalog.num_clusters, generator.num_styles))
    # What belongs to no layer has an effect too, on the whole picture, but is no part's.
    total[:, generator.num_styles - generator.extra_styles :] = 0
    label = generator.default_label
    measured = Sampling(tuple(sample.seeds), sample.truncation, random_state, label, probes=probes)
    return replace(catalog, effects=total / (len(sample.seeds) * probes), effects_sampling=measured)


def squared_gradients(generator: Generator, styles: Tensor, regions: Tensor, signs: Tensor) -> Tensor:
    """Σ over images and probes of (∂⟨v_k, I⟩/∂σ)², v_k the signs times the square root of region k.

    Regions are weights of pixels, for a partition 0 or 1, and the mean over signs of each term is
    Σ_pixels region · (∂I/∂σ)².

    Parameters
    ----------
    styles : Tensor of shape (N, S)
    regions : Tensor of shape (N, K, H, W), at least 0
    signs : Tensor of shape (probes, N, C, H, W), -1 or 1

    Returns
    -------
    Tensor of shape (K, S), float64, on the CPU
    """
    weights = regions.to(signs).sqrt()
    # Images of a batch are independent, so each may be at a region of its own: all go through the regions
    # that they show, and nothing is spent on those that they do not.
    shown = weights.flatten(2).any(dim=2)
    order, rows = shown.int().argsort(dim=1, descending=True, stable=True), torch.arange(len(styles))
    with torch.inference_mode(False), torch.enable_grad():
        total = torch.zeros(regions.shape[1], styles.shape[1], dtype=torch.float64)
        # (a clone made here is an ordinary tensor, which gradients can reach)
        leaf = styles.clone().requires_grad_()
        images = generator.synthesize(leaf)
        for region in order[:, : int(shown.sum(dim=1).max())].t():
            weight = weights[rows.to(region.device), region][:, None].clone()
            for v in signs:
                (gradient,) = torch.autograd.grad(images, leaf, (v * weight).to(images), retain_graph=True)
                # (Apple's devices have no float64.)
                total.index_add_(0, region.cpu(), gradient.cpu().double().square())
    return total


def _batch_effects(
    generator: Generator, styles: Tensor, chunk: Batch, *, catalog: Catalog, probes: int, random_state: int
) -> tuple[Tensor]:
    """Σ over the images of one batch and their probes: (K, S) float64."""
    shape = (generator.channels, *generator.size)
    total = torch.zeros(catalog.num_clusters, styles.shape[1], dtype=torch.float64)
    step = max(1, _PIXELS // math.prod(generator.size))
    for i in range(0, len(styles), step):
        some, seeds = styles[i : i + step], [seed for _, seed in chunk[i : i + step]]
        regions = resample_partition(catalog.membership(generator, some), generator.size[0]).float()
        signs = np.stack([[_signs(shape, random_state, s, probe) for s in seeds] for probe in range(probes)])
        total += squared_gradients(generator, some, regions, torch.from_numpy(signs).to(regions))
    return (total,)


def _signs(shape: tuple[int, ...], random_state: int, seed: int, probe: int) -> np.ndarray:
    """Random signs for the pixels of one image (C, H, W), whatever batch it is in, int8."""
    random = np.random.default_rng([random_state, seed, probe])
    return random.integers(0, 2, size=shape, dtype=np.int8) * 2 - 1
