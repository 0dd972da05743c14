"""Where directions come from: the variance of w (GANSpace), or the weights alone (SeFa)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize as unit

from lefs.catalog import GeneratorId
from lefs.checks import check_integer, check_seeds
from lefs.directions.direction import Directions
from lefs.directions.ranges import Layers, layer_range, style_mask
from lefs.generators import Generator

__all__ = ["closed_form_directions", "principal_directions", "style_matrix"]

_BATCH = 1024
_FAR = 256.0  # a power of two, so that dividing by it is exact


def principal_directions(
    generator: Generator, seeds: Iterable[int] = range(10_000), *, count: int = 16, layers: Layers = "all"
) -> Directions:
    """Directions in which w varies most (GANSpace, Härkönen et al., NeurIPS 2020): PCA of w.

    The covariance is added up over batches in float64, so that memory does not grow with the sample.

    Parameters
    ----------
    seeds : the latents to look at, without truncation; many more than `w_dim`
    count : how many directions; fewer come where `w_dim` is less
    layers : the style layers that the directions move; see `layer_range`

    Raises
    ------
    TypeError
        If the generator has no w, as ProGAN.
    """
    mask = style_mask(generator, layers)
    variances, vectors = _principal_axes(_covariance(generator, seeds))
    explained = variances / variances.sum().clamp_min(1e-300)
    return _directions(generator, "principal", vectors, variances, explained, count, mask, layers)


def closed_form_directions(
    generator: Generator,
    *,
    count: int = 16,
    layers: Layers = "all",
    normalize: bool = False,
    seeds: Iterable[int] = range(2_000),
) -> Directions:
    """Directions that change the styles of a range of layers most (SeFa, Shen & Zhou, CVPR 2021).

    The eigenvectors of AᵀA of largest eigenvalues, where A (S, D) are the weights from w to those styles
    (paper, Eq. 6): unit steps of w that make ‖A v‖ largest. No image and no sample is needed for them.

    Parameters
    ----------
    count : how many directions; fewer come where `w_dim` is less
    layers : whose styles count, and which the directions move; see `layer_range`
    normalize : give every style channel the same weight, as the released code does and the paper does not
    seeds : latents that only tell how far w varies along each direction, the unit of its amounts
    """
    mask = style_mask(generator, layers)
    weights = _double(style_matrix(generator))[mask.cpu()]
    if normalize:
        weights = unit(weights, dim=1)
    values, vectors = _principal_axes(weights.t() @ weights)
    variances = ((vectors @ _covariance(generator, seeds)) * vectors).sum(dim=1).clamp_min(0)
    explained = values / values.sum().clamp_min(1e-300)
    return _directions(generator, "closed-form", vectors, variances, explained, count, mask, layers)


@torch.no_grad()
def style_matrix(generator: Generator) -> Tensor:
    """A in σ(w) = A w + b, one w for all layers: (S, D), to rounding, whatever the architecture.

    The maps are affine, so that a difference quotient over any distance is the derivative; a long one leaves
    nothing of b.
    """
    generator.check_styles()
    axes_dld = _FAR * torch.eye(generator.w_dim, device=generator.device)[:, None]
    axes_dld = axes_dld.expand(-1, generator.num_ws, -1)
    difference_ds = generator.styles(axes_dld) - generator.styles(-axes_dld)
    return difference_ds.t().contiguous() / (2 * _FAR)


def _double(values: Tensor) -> Tensor:
    """In float64, on the CPU: small, and Apple's devices have no float64."""
    return values.detach().cpu().double()


@torch.no_grad()
def _covariance(generator: Generator, seeds: Iterable[int]) -> Tensor:
    """Covariance of w over a sample, (D, D) float64, a batch at a time."""
    sample = check_seeds(seeds)
    if len(sample) < 2:
        raise ValueError(f"seeds must be at least 2 for w to vary, got {len(sample)}")
    origin, total, products = None, torch.tensor(0.0), torch.tensor(0.0)
    for start in range(0, len(sample), _BATCH):
        w = _double(generator.map(generator.latents(sample[start : start + _BATCH]))[:, 0])
        origin = w.mean(dim=0) if origin is None else origin  # near the mean: no digits are lost
        total, products = total + (w - origin).sum(dim=0), products + (w - origin).t() @ (w - origin)
    return (products - torch.outer(total, total) / len(sample)) / (len(sample) - 1)


def _principal_axes(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, descending, and eigenvectors as rows with their signs settled, of a symmetric matrix."""
    values, columns = torch.linalg.eigh(matrix)
    vectors = columns.t().flip(0)
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return values.flip(0).clamp_min(0), torch.where(largest < 0, -vectors, vectors)


def _directions(
    generator: Generator,
    method: Literal["principal", "closed-form"],
    vectors: Tensor,
    variances: Tensor,
    explained: Tensor,
    count: int,
    mask: Tensor,
    layers: Layers,
) -> Directions:
    kept = slice(check_integer("count", count, minimum=1))
    effects = vectors[kept] @ _double(style_matrix(generator)).t()
    return Directions(
        method,
        latents=vectors[kept].clone(),
        styles=torch.where(mask.cpu(), effects, 0.0).float(),
        deviations=variances[kept].sqrt(),
        explained=explained[kept].clone(),
        layers=layer_range(generator, layers),
        generator=GeneratorId.of(generator),
    )
