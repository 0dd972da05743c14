"""Units chosen for what they do: a set optimised for its causal effect (GAN Dissection, Eq. 8)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from lefs.checks import check_integer, check_number, check_seed, check_seeds
from lefs.generator import Generator
from lefs.units.causal import Site, Where
from lefs.units.concepts import Judge
from lefs.units.interventions import kept_cache
from lefs.units.unit_dissection import UnitDissection
from lefs.workers.progress import track

__all__ = ["optimize_units", "rankings"]


def optimize_units(
    generator: Generator, seeds: Iterable[int], layer: str, concept: str, *, segmenter: Judge,
    levels: Tensor, where: Where = "everywhere", truncation: float = 1.0, budget: float = 8, steps: int = 30,
    learning_rate: float = 0.1, batch_size: int = 8, random_state: int = 0, progress: bool = True,
) -> Tensor:  # fmt: skip
    """How much of each unit to take so that together, within a budget, they cause a concept: α in [0, 1].

    Maximises E[Σ p(s) after α-insertion − Σ p(s) after α-ablation] over the changed pixels, the ACE with the
    segmenter's probabilities in the place of its labels, subject to 0 ≤ α ≤ 1 and Σ α ≤ `budget`, by
    projected gradient ascent with momentum on random batches. (Bau et al. 2019, Eq. 8, have a penalty ‖α‖
    instead of the budget; with a budget, sets of equal size compare.) The set is the units of largest α.

    Parameters
    ----------
    generator, seeds, layer, concept, levels, where, truncation, progress
        As for `causal_effects`.
    segmenter : Segmenter or Catalog
        One that also has ``logits(images)`` → (N, P, H, W), or a catalog.
    budget : float
        The most that Σ α may be: the size of the set that is looked for.
    steps : int
        Of the ascent.
    learning_rate : float
        How far α goes in a step.
    batch_size : int
        Images in a step.
    random_state : int
        Seeds the order of the images.

    Returns
    -------
    Tensor of shape (C,), float32, on the CPU
        The mean of α over the later half of the steps, which ranks also those units that all end at 1.

    Raises
    ------
    TypeError
        If the segmenter gives no logits.
    ValueError
        If no image shows the concept and `where` asks for it, or an argument is out of range.

    Examples
    --------
    >>> import lefs, torch
    >>> from lefs import units
    >>> generator, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
    >>> levels = torch.ones(generator.layer("b8.torgb").channels)
    >>> rules = {"segmenter": judge, "levels": levels, "budget": 4, "steps": 2}
    >>> alpha = units.optimize_units(generator, range(4), "b8.torgb", "hair", **rules)
    >>> bool(alpha.sum() <= 4.001)
    True
    """
    site, sample = Site(generator, segmenter, layer, concept, levels, where), check_seeds(seeds)
    check_integer("steps", steps, minimum=1)
    check_number("budget", budget, minimum=0)
    size = min(check_integer("batch_size", batch_size, minimum=1), len(sample))
    random = np.random.default_rng(check_seed("random_state", random_state))
    rate = check_number("learning_rate", learning_rate, minimum=0)
    count = site.layer.channels
    alpha = torch.full((count,), min(1.0, budget / count), device=generator.device)
    speed, mean, counted = torch.zeros_like(alpha), torch.zeros_like(alpha), 0
    for i in track(range(steps), total=steps, description="optimising units", show=progress):
        batch = random.choice(sample, size, replace=False).tolist()
        slope, pixels = _slope(site, generator.sample(batch, truncation=truncation), alpha)
        counted += pixels
        # (only its direction: how large a slope is depends on how certain the segmenter is)
        speed = 0.8 * speed + slope / slope.abs().max().clamp_min(1e-12)
        alpha = _projected(alpha + rate * speed, budget)
        mean += alpha * (i >= steps // 2) / (steps - steps // 2)
    site.check_seen(counted)
    return mean.cpu()


def _projected(alpha: Tensor, budget: float) -> Tensor:
    """The nearest point with 0 ≤ α ≤ 1 and Σ α ≤ budget: all are lowered alike, found by bisection."""
    if float(alpha.clamp(0, 1).sum()) <= budget:
        return alpha.clamp(0, 1)
    low, high = 0.0, float(alpha.max())
    for _ in range(40):
        middle = (low + high) / 2
        over = float((alpha - middle).clamp(0, 1).sum()) > budget
        low, high = (middle, high) if over else (low, middle)
    return (alpha - high).clamp(0, 1)


def _slope(site: Site, styles: Tensor, alpha: Tensor) -> tuple[Tensor, int]:
    """Slope of the mean of p after insertion − p after ablation over the changed pixels; their number."""
    # (clones made outside inference mode are tensors that autograd can keep)
    with torch.inference_mode(False), torch.enable_grad():
        styles, free = styles.clone(), alpha.clone().requires_grad_()
        with torch.no_grad():
            cache = kept_cache(site.generator, styles)
        cells, pixels = (m.clone() for m in site.positions(styles, cache))
        levels, chances = site.levels.to(alpha).clone(), list[Tensor]()
        for values in (levels, torch.zeros_like(levels)):
            logits = site.concepts.logits(styles, site.edits(free, cells, values), cache=cache)
            chances.append((logits.softmax(dim=1)[:, site.label] * pixels).sum())
        gain = (chances[0] - chances[1]) / pixels.sum().clamp_min(1)
        (slope,) = torch.autograd.grad(gain, [free])
    return slope, int(pixels.sum())


def rankings(
    dissection: UnitDissection, layer: str, concept: str, weights: Tensor | None = None, *,
    random_state: int = 0,
) -> dict[str, list[int]]:  # fmt: skip
    """The units of a layer in several orders, the first to be tried first.

    Parameters
    ----------
    dissection : UnitDissection
    layer, concept : str
    weights : Tensor of shape (C,), optional
        α of `optimize_units`; without it that order is left out.
    random_state : int
        Of the random order.

    Returns
    -------
    dict of str to list of int
        ``"optimised"``: by α, equal ones by IoU; ``"IoU"``: by IoU with the concept; ``"random"``: drawn.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
    >>> found = units.characterize(generator, range(3), segmenter=judge, layers="b8.torgb")
    >>> list(units.rankings(found, "b8.torgb", "hair"))
    ['IoU', 'random']
    """
    by_iou = dissection.best_units(concept, layer)
    random = np.random.default_rng(check_seed("random_state", random_state))
    found = {"IoU": by_iou, "random": random.permutation(len(by_iou)).tolist()}
    if weights is None:
        return found
    shape = (len(by_iou),)
    if not isinstance(weights, Tensor):
        raise TypeError(
            f"weights must be a Tensor of shape {shape}, as of optimize_units; got {type(weights).__name__}"
        )
    if tuple(weights.shape) != shape:
        raise ValueError(f"weights must have shape {shape}, got {tuple(weights.shape)}")
    order = torch.argsort(weights[by_iou], descending=True, stable=True).tolist()
    return {"optimised": [by_iou[i] for i in order], **found}
