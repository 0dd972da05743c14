"""Paths through the whole latent space: principal (GANSpace) and closed-form (SeFa) directions, style mixing.

The maps from w to the styles σ are affine, so that a straight path in w is a straight path in σ, exactly:
σ(w + t v) = σ(w) + t A v. A direction is therefore kept as what it does to the S style channels. There it can
also be confined to a part, channel by channel, by the query that the part's edits use: σ + t · q ⊙ (A v).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize as unit

from lefs.checks import check_choice, check_integer, check_name, check_number, check_seeds, check_tensor
from lefs.editing import check_query
from lefs.generator import Generator, GeneratorId
from lefs.naming import part_name
from lefs.records import PathLike, save_record, whole_record
from lefs.showing import Shown
from lefs.stylespace import check_styles_shape, ranges

__all__ = [
    "RANGES", "Direction", "Directions", "closed_form_directions", "layer_range", "mix", "move",
    "principal_directions", "style_mask", "style_matrix", "walk",
]  # fmt: skip

#: Names that stand for several layers, wherever `layers` is asked for.
RANGES = ("all", "coarse", "middle", "fine")
Layers = str | Iterable[str]

_FORMAT = "lefs-directions"
_TENSORS = ("latents", "styles", "deviations", "explained")
_REMEDY = "compute that one's own"
_BATCH = 1024
_FAR = 256.0  # a power of two, so that dividing by it is exact


def layer_range(generator: Generator, layers: Layers = "all") -> tuple[str, ...]:
    """Names of the style layers in a range.

    Parameters
    ----------
    layers : str or iterable of str
        One of `RANGES` (`lefs.stylespace.ranges` says what they are), a layer's name, or several.
    """
    known = tuple(la.name for la in generator.layers)
    table = {"all": known, **ranges(generator.layers)}
    layers = _kept(layers)
    wanted = layers if isinstance(layers, tuple) else (layers,)
    names = [check_name("layers", n, [*table, *known], what="range or style layer") for n in wanted]
    if len(names) > 1 and (several := [n for n in names if n in table]):
        raise ValueError(f"layers: {several[0]!r} is a range; give it alone, or layers by name")
    if found := [layer for name in names for layer in table.get(name, (name,))]:
        return tuple(dict.fromkeys(found))
    raise ValueError(f"layers: there are none in {layers!r}; choose one of {RANGES} or layers by name")


def _kept(layers: Layers) -> str | tuple[str, ...]:
    """A name, or several as a tuple: an iterator could be read only once."""
    return tuple(layers) if isinstance(layers, Iterable) and not isinstance(layers, str) else layers


def style_mask(generator: Generator, layers: Layers = "all") -> Tensor:
    """Which style channels belong to a range of layers: (S,), bool.

    Scales and shifts belong to their layer; what belongs to no layer (where StyleGAN3's input lies) to
    ``"coarse"`` and ``"all"``.
    """
    generator.check_styles()
    mask = torch.zeros(generator.num_styles, dtype=torch.bool, device=generator.device)
    layers = _kept(layers)
    for name in layer_range(generator, layers):
        for span in generator.layer(name).spans:
            mask[span] = True
    if generator.extra_styles and layers in ("all", "coarse", ("all",), ("coarse",)):
        mask[-generator.extra_styles :] = True
    return mask


def mix(generator: Generator, target_styles: Tensor, reference_styles: Tensor, *, layers: Layers) -> Tensor:
    """Style mixing (StyleGAN, §3.1): the target with a range of layers taken from the reference.

    Parameters
    ----------
    target_styles, reference_styles : Tensor of shape (N, S), or (1, S) for one against many
    layers : str or iterable of str
        As `layer_range` takes them; ``"all"`` gives the reference's styles bit for bit.

    Returns
    -------
    Tensor of shape (N, S)
    """
    mask = style_mask(generator, layers)
    check_styles_shape(len(mask), target_styles=target_styles, reference_styles=reference_styles)
    return torch.where(mask.to(target_styles.device), reference_styles.to(target_styles), target_styles)


@dataclass(frozen=True, eq=False, repr=False)
class Direction(Shown):
    """One direction, as what it does to the styles.

    Attributes
    ----------
    name : str
        For people, such as ``"principal 0"``.
    styles : Tensor of shape (S,), float32
        σ(w + v) − σ(w) in its layers, 0 elsewhere; v has unit length.
    deviation : float
        Standard deviation of w along v, the unit that amounts are given in.
    explained : float
        The direction's share of all variance (principal) or of all eigenvalues (closed-form).
    layers : tuple of str
        Names of the style layers that it moves.
    generator : GeneratorId
    """

    name: str
    styles: Tensor
    deviation: float
    explained: float
    layers: tuple[str, ...]
    generator: GeneratorId

    def check_generator(self, generator: Generator) -> None:
        """Raise an `ArtifactError` that names both if this direction is of another generator."""
        self.generator.check(generator, what="direction", remedy=_REMEDY)

    def within(self, generator: Generator, layers: Layers) -> Direction:
        """The direction in those of its layers that lie in a range (see `layer_range`) too."""
        self.check_generator(generator)
        layers = _kept(layers)
        there = layer_range(generator, layers)
        kept = tuple(name for name in self.layers if name in there)
        if not kept:
            raise ValueError(f"layers: {self.name} moves none of {layers!r}, only {', '.join(self.layers)}")
        styles = torch.where(style_mask(generator, layers).cpu(), self.styles, 0.0)
        return replace(self, styles=styles, layers=kept)


@dataclass(frozen=True, eq=False)
class Directions(Sequence[Direction]):
    """Directions of one generator, the most important first; ``directions[0]`` is a `Direction`.

    Attributes
    ----------
    method : {"principal", "closed-form", "named"}
        ``"named"``: walks that somebody has put together and named.
    latents : Tensor of shape (n, D), float64, orthonormal
        Directions v of w. The entry of largest size is positive, which settles the sign.
    styles : Tensor of shape (n, S), float32
        What each does to the styles; see `Direction`.
    deviations, explained : Tensor of shape (n,), float64
        See `Direction`.
    layers : tuple of str
        Names of the style layers that they move.
    generator : GeneratorId
    names : tuple of str
        One for each; none: the method and a number.
    """

    method: Literal["principal", "closed-form", "named"]
    latents: Tensor
    styles: Tensor
    deviations: Tensor
    explained: Tensor
    layers: tuple[str, ...]
    generator: GeneratorId
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("principal", "closed-form", "named"))
        names = vars(self)["names"] = tuple(part_name("names", name) for name in self.names)
        if len(names) not in (0, len(self)) or len(set(names)) < len(names):
            raise ValueError(f"names must be {len(self)} different ones, or none; got {names}")
        widths = self.latents.shape[-1:], self.styles.shape[-1:], (), ()
        for name, width in zip(_TENSORS, widths, strict=True):
            check_tensor(name, getattr(self, name), (len(self), *width))

    def __len__(self) -> int:
        return len(self.deviations)

    def __getitem__(self, index: Any) -> Any:
        """The `Direction` of an index, or a tuple of those of a slice."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} directions, 0 to {len(self) - 1}; got {index}")
        numbers = float(self.deviations[index]), float(self.explained[index])
        name = self.names[index] if self.names else f"{self.method} {index % len(self)}"
        return Direction(name, self.styles[index], *numbers, self.layers, self.generator)

    def __repr__(self) -> str:
        what = f"{len(self)} {self.method} in {len(self.layers)} layers"
        shares = [f"{share:.1%}" for share in self.explained[:4].tolist()] + ["..."] * (len(self) > 4)
        return f"Directions of {self.generator.name!r}: {what}, explaining {', '.join(shares)}"

    def check_generator(self, generator: Generator) -> None:
        """Raise an `ArtifactError` that names both if these are directions of another generator."""
        self.generator.check(generator, what="set of directions", remedy=_REMEDY)

    def save(self, path: PathLike) -> Path:
        """Write ``directions.safetensors`` into a folder, or a file of one's own name, and return that."""
        content = {"method": self.method, "layers": self.layers, "generator": self.generator.to_json()}
        content |= {"names": self.names} if self.names else {}
        return save_record(path, _FORMAT, content, {name: getattr(self, name) for name in _TENSORS})

    @classmethod
    def load(cls, path: PathLike) -> Directions:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        with whole_record(path, expect=_FORMAT) as (meta, tensors, _):
            given = {name: tensors[name] for name in _TENSORS}
            owner = GeneratorId.from_json(meta["generator"])
            names = tuple(meta.get("names", ()))
            return cls(meta["method"], **given, layers=tuple(meta["layers"]), generator=owner, names=names)


def move(
    styles: Tensor, direction: Direction, amount: float | Sequence[float], *, q: Tensor | None = None
) -> Tensor:
    """Go along a direction: σ + amount · q ⊙ d, everywhere or only in the channels of a part.

    Parameters
    ----------
    styles : Tensor of shape (N, S)
    direction : Direction
    amount : float or sequence of float
        In standard deviations of w along the direction; one number, or one for each of N styles (or for
        copies of a single one).
    q : Tensor of shape (S,) or (N, S), in [0, 1], optional
        Which channels move, such as those of ``settings.query(catalog, part)``; None moves all. 0 leaves the
        target bit for bit, 1 is the global move.

    Returns
    -------
    Tensor of shape (N, S)
    """
    check_styles_shape(len(direction.styles), styles=styles)
    numbers = [check_number("amount", a) for a in np.atleast_1d(amount).tolist()]
    if len(styles) != 1 and len(numbers) not in (1, len(styles)):
        raise ValueError(f"amount must be one number or {len(styles)}, one an image; got {len(numbers)}")
    step = direction.styles.to(styles) * (styles.new_tensor(numbers) * direction.deviation)[:, None]
    if q is not None:
        check_query(q := torch.as_tensor(q), styles=styles + step)
        step = step * q.to(step)
    return torch.where(step == 0, styles, styles + step)  # (adding zero would turn −0 into 0)


def walk(
    styles: Tensor, direction: Direction, amounts: Sequence[float], *, q: Tensor | None = None
) -> Tensor:
    """Styles along a path from one image: (len(amounts), S); see `move`.

    Parameters
    ----------
    styles : Tensor of shape (1, S)
    amounts : sequence of float
        Steps in standard deviations; 0 is the image itself.
    """
    if len(styles) != 1:
        raise ValueError(f"styles must be those of one image, (1, S); got {tuple(styles.shape)}")
    if not len(amounts):
        raise ValueError("amounts is empty; give steps in standard deviations, for example [-2, 0, 2]")
    return move(styles, direction, list(amounts), q=q)


def principal_directions(
    generator: Generator, seeds: Iterable[int] = range(10_000), *, count: int = 16, layers: Layers = "all"
) -> Directions:
    """Directions in which w varies most (GANSpace, Härkönen et al., NeurIPS 2020): PCA of w.

    The covariance is added up over batches in float64, so that memory does not grow with the sample.

    Parameters
    ----------
    seeds : iterable of int
        The latents to look at, without truncation; many more than `w_dim`.
    count : int
        How many directions; fewer come where `w_dim` is less.
    layers : str or iterable of str
        The style layers that the directions move; see `layer_range`.

    Raises
    ------
    TypeError
        If the generator has no w, as ProGAN.
    """
    layers = _kept(layers)
    style_mask(generator, layers)  # (refused before the work)
    covariance = _covariance(generator, seeds)
    return _directions(generator, "principal", layers, count, covariance, covariance)


def closed_form_directions(
    generator: Generator, *, count: int = 16, layers: Layers = "all", normalize: bool = False,
    seeds: Iterable[int] = range(2_000),
) -> Directions:  # fmt: skip
    """Directions that change the styles of a range of layers most (SeFa, Shen & Zhou, CVPR 2021).

    The eigenvectors of AᵀA of largest eigenvalues, where A (S, D) are the weights from w to those styles
    (paper, Eq. 6): unit steps of w that make ‖A v‖ largest. No image and no sample is needed for them.

    Parameters
    ----------
    count : int
        How many directions; fewer come where `w_dim` is less.
    layers : str or iterable of str
        Whose styles count, and which the directions move; see `layer_range`.
    normalize : bool
        Give every style channel the same weight, as the released code does and the paper does not.
    seeds : iterable of int
        Latents that only tell how far w varies along each direction, the unit of its amounts.
    """
    layers = _kept(layers)
    mask = style_mask(generator, layers)
    # (in float64 on the CPU: it is small, and Apple's devices have no float64)
    weights = style_matrix(generator).cpu().double()[mask.cpu()]
    if normalize:
        weights = unit(weights, dim=1)
    covariance = _covariance(generator, seeds)
    return _directions(generator, "closed-form", layers, count, weights.t() @ weights, covariance)


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


@torch.no_grad()
def _covariance(generator: Generator, seeds: Iterable[int]) -> Tensor:
    """Covariance of w over a sample, (D, D) float64, a batch at a time."""
    sample = check_seeds(seeds)
    if len(sample) < 2:
        raise ValueError(f"seeds must be at least 2 for w to vary, got {len(sample)}")
    origin, total, products = None, torch.tensor(0.0), torch.tensor(0.0)
    for start in range(0, len(sample), _BATCH):
        w = generator.map(generator.latents(sample[start : start + _BATCH]))[:, 0].cpu().double()
        origin = w.mean(dim=0) if origin is None else origin  # near the mean: no digits are lost
        total, products = total + (w - origin).sum(dim=0), products + (w - origin).t() @ (w - origin)
    return (products - torch.outer(total, total) / len(sample)) / (len(sample) - 1)


def _directions(
    generator: Generator, method: Any, layers: Layers, count: int, matrix: Tensor, covariance: Tensor
) -> Directions:
    """The eigenvectors of a symmetric matrix, that of the largest eigenvalue first, their signs settled."""
    kept = slice(check_integer("count", count, minimum=1))
    ascending, columns = torch.linalg.eigh(matrix)
    values, vectors = ascending.flip(0).clamp_min(0), columns.t().flip(0)[kept]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    vectors = torch.where(largest < 0, -vectors, vectors)
    effects = vectors @ style_matrix(generator).cpu().double().t()
    styles = torch.where(style_mask(generator, layers).cpu(), effects, 0.0).float()
    deviations = ((vectors @ covariance) * vectors).sum(dim=1).clamp_min(0).sqrt()
    found = vectors, styles, deviations, values[kept] / values.sum().clamp_min(1e-300)
    return Directions(method, *found, layer_range(generator, layers), GeneratorId.of(generator))
