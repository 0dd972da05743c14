"""Units chosen for what they do: a set optimised for its causal effect (GAN Dissection, Eq. 8)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_number, check_seeds
from lefs.evaluation import Segmenter
from lefs.generator import Generator
from lefs.progress import track
from lefs.stylespace import StyleLayer
from lefs.units.causal import Positions, Where
from lefs.units.concepts import Concepts
from lefs.units.dissection import UnitDissection
from lefs.units.interventions import check_levels, kept_cache, replacement

__all__ = ["optimize_units", "rankings"]


def optimize_units(
    generator: Generator,
    seeds: Iterable[int],
    layer: str,
    concept: str,
    *,
    segmenter: Segmenter | Catalog,
    levels: Tensor,
    where: Where = "everywhere",
    truncation: float = 1.0,
    budget: float = 8,
    steps: int = 30,
    learning_rate: float = 0.1,
    batch_size: int = 8,
    random_state: int = 0,
    progress: bool = True,
) -> Tensor:
    """How much of each unit to take so that together, within a budget, they cause a concept: α in [0, 1].

    Maximises E[Σ p(s) after α-insertion − Σ p(s) after α-ablation] over the changed pixels, the ACE with the
    segmenter's probabilities in the place of its labels, subject to 0 ≤ α ≤ 1 and Σ α ≤ `budget`, by
    projected gradient ascent with momentum on random batches. (The paper adds a penalty ‖α‖ instead of the
    budget; with a budget, sets of equal size compare.) The set is the units of largest α.

    Parameters
    ----------
    segmenter : one that also has ``logits(images)`` → (N, P, H, W), or a `Catalog`
    budget : the most that Σ α may be, the size of the set that is looked for
    steps, learning_rate, batch_size : of the optimisation
    random_state : seeds the order of the images
    seeds, layer, concept, levels, where, truncation : as for `causal_effects`

    Returns
    -------
    Tensor of shape (C,), float32, on the CPU: the mean of α over the later half of the steps, which ranks
    also those units that all end at 1

    Raises
    ------
    TypeError
        If the segmenter gives no logits.
    ValueError
        If no image shows the concept and `where` asks for it, or an argument is out of range.
    """
    sample, concepts = check_seeds(seeds), Concepts(generator, segmenter)
    concepts.check_layer(layer)
    la, label = generator.layer(layer), concepts.index(concept)
    positions = Positions(generator, la, where, label)
    check_integer("steps", steps, minimum=1)
    check_number("budget", budget, minimum=0)
    check_levels(la, levels)
    size = check_integer("batch_size", batch_size, minimum=1)
    random = np.random.default_rng(random_state)
    rate = check_number("learning_rate", learning_rate, minimum=0)
    alpha = torch.full((la.channels,), min(1.0, budget / la.channels), device=generator.device)
    speed, mean, counted = torch.zeros_like(alpha), torch.zeros_like(alpha), 0
    for i in track(range(steps), total=steps, description="optimising units", show=progress):
        batch = random.choice(sample, min(size, len(sample)), replace=False).tolist()
        styles = generator.sample(batch, truncation=truncation)
        with torch.enable_grad():
            free = alpha.clone().requires_grad_()
            gain, count = _gain(concepts, styles, la, free, levels.to(alpha), positions)
            (slope,) = torch.autograd.grad(gain, [free])
        counted += count
        # (only its direction: how large a slope is depends on how certain the segmenter is)
        speed = 0.8 * speed + slope / slope.abs().max().clamp_min(1e-12)
        alpha = _projected(alpha + rate * speed, budget)
        mean += alpha * (i >= steps // 2) / (steps - steps // 2)
    if not counted:
        raise ValueError(
            f"no image of the sample shows {concept!r}; give more seeds, or choose where otherwise"
        )
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


def _gain(
    concepts: Concepts, styles: Tensor, layer: StyleLayer, alpha: Tensor, levels: Tensor, positions: Positions
) -> tuple[Tensor, int]:
    """Mean over the changed pixels of p after insertion − p after ablation, and how many pixels there are."""
    generator = concepts.generator
    # (clones made outside inference mode are tensors that autograd can keep)
    styles = styles.clone()
    with torch.no_grad():
        cache = kept_cache(generator, styles)
    cells, pixels = (m.clone() for m in positions.in_images(concepts, styles, cache))
    chances = []
    for values in (levels, torch.zeros_like(levels)):
        edit = replacement(layer, alpha, levels=values, where=cells)
        logits = concepts.logits(styles, {layer.name: edit}, cache=cache)
        chances.append((logits.softmax(dim=1)[:, positions.label] * pixels).sum())
    return (chances[0] - chances[1]) / pixels.sum().clamp_min(1), int(pixels.sum())


def rankings(
    dissection: UnitDissection,
    layer: str,
    concept: str,
    weights: Tensor | None = None,
    *,
    random_state: int = 0,
) -> dict[str, list[int]]:
    """The units of a layer in several orders, the first to be tried first.

    Parameters
    ----------
    weights : α of `optimize_units`, shape (C,); None: that order is left out
    random_state : of the random order

    Returns
    -------
    {"optimised": by α, "IoU": by IoU with the concept, "random": drawn}; equal α are ordered by IoU
    """
    by_iou = dissection.best_units(concept, layer)
    drawn = np.random.default_rng(random_state).permutation(len(by_iou)).tolist()
    found = {"IoU": by_iou, "random": drawn}
    if weights is None:
        return found
    if not isinstance(weights, Tensor):
        raise TypeError(
            f"weights must be a Tensor of shape ({len(by_iou)},), as of optimize_units; "
            f"got {type(weights).__name__}"
        )
    if tuple(weights.shape) != (len(by_iou),):
        raise ValueError(f"weights must have shape ({len(by_iou)},), got {tuple(weights.shape)}")
    order = torch.argsort(weights[by_iou], descending=True, stable=True).tolist()
    return {"optimised": [by_iou[i] for i in order], **found}
