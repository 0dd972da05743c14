"""Which channels to move: contributions of a part → query q in [0, 1] (Editing in Style, §3.2).

Three exact rules work on plain vectors. `QuerySettings` are all that can be chosen about them, and apply
them to every layer of a catalog: ``settings.query(catalog, part)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_counts, check_number
from lefs.stylespace import check_styles_shape, ranges

__all__ = [
    "METHODS",
    "Method",
    "PartEffects",
    "QuerySettings",
    "budget_spent",
    "pair_query",
    "predicted_change",
    "sequential_query",
    "simultaneous_query",
]

Vector = TypeVar("Vector", Tensor, np.ndarray)
Method = Literal["sequential", "simultaneous", "global", "pair"]
METHODS: tuple[Method, ...] = ("sequential", "simultaneous", "global", "pair")

_LEVELS = 127.5  # 8-bit levels in one unit of an image in [-1, 1]


@dataclass(frozen=True)
class QuerySettings:
    """How the channels of an edit are chosen; the one home of every setting.

    Attributes
    ----------
    method : {"sequential", "simultaneous", "global", "pair"}
        Most relevant channels first, up to a budget in each layer (`sequential_query`); all in proportion to
        their contribution (`simultaneous_query`); every channel wholly, whatever the part; or, for given
        pairs of images, by effect and difference, over all layers together (`pair_query`).
    rho : float, at least 0
        Price of change outside the part; of ``"sequential"`` and ``"pair"``.
    epsilon : float, at least 0, may be infinite
        Budget of each layer, in channels; of ``"sequential"``.
    slope : float, at least 0
        Of ``"simultaneous"``.
    coarse, rgb : float in [0, 1]
        Gates of the coarse layers, which carry pose and layout (`lefs.stylespace.ranges`), and of the toRGB
        layers; a coarse toRGB layer has both. They multiply a layer's budget or slope, or what its channels
        are worth (``"pair"``).
    shifts : bool
        Whether the shift of a channel moves as its scale does, in an architecture that has shifts
        (StyleGAN), for ``"pair"`` as a channel of its own; else only ``"global"`` moves shifts.
    leak : float, at least 0, may be infinite
        How much the image may change outside the part: the mean squared change of a pixel there, in squared
        8-bit levels, as `PartEffects` predicts it; of ``"pair"``.
    contributions : {"energy", "effect", None}
        Choose by where a channel is active or by where it acts; None: by what the catalog holds.

    Examples
    --------
    >>> import lefs
    >>> catalog = lefs.Catalog.load("portraits-64")
    >>> q = lefs.QuerySettings(rho=0.1, epsilon=8).query(catalog, "hair")
    >>> q.shape == catalog.contribution("hair").shape
    True
    """

    method: Method = "sequential"
    rho: float = 0.1
    epsilon: float = 16.0
    slope: float = 2.0
    coarse: float = 0.5
    rgb: float = 0.5
    shifts: bool = False
    leak: float = 50.0
    contributions: Literal["energy", "effect"] | None = None

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        check_choice("contributions", self.contributions, (None, "energy", "effect"))
        for name in ("rho", "slope"):
            check_number(name, getattr(self, name), minimum=0)
        for name in ("epsilon", "leak"):
            check_number(name, getattr(self, name), minimum=0, finite=False)
        for name in ("coarse", "rgb"):
            check_number(name, getattr(self, name), minimum=0, maximum=1)

    def contribution(self, catalog: Catalog, part: str) -> Tensor:
        """Contribution of every channel to a part, of the kind that is chosen by: (S,), float64 in [0, 1]."""
        return catalog.measured_by(self.contributions).contribution(part)

    def query(
        self,
        catalog: Catalog,
        part: str,
        target_styles: Tensor | None = None,
        reference_styles: Tensor | None = None,
    ) -> Tensor:
        """Which channels to move, and how far, to edit one part.

        Parameters
        ----------
        catalog : Catalog
        part : str
            Name of a part.
        target_styles, reference_styles : Tensor of shape (N, S), or (1, S) for one against many
            Needed by the method ``"pair"`` alone.

        Returns
        -------
        Tensor of shape (S,), or (N, S) for the method ``"pair"``, float32 in [0, 1]

        Raises
        ------
        ValueError
            For a part that does not exist; for ``"pair"`` without styles or without effects in the catalog.
        """
        contribution = self.contribution(catalog, part)
        if self.method == "global":
            return torch.ones(len(contribution))
        gates = self.gates(catalog)
        if self.method == "pair":
            if target_styles is None or reference_styles is None:
                raise ValueError('method="pair" needs the styles of targets and references as well')
            acts = PartEffects.of(catalog, part)
            rule = partial(pair_query, epsilon=acts.budget(self.leak), rho=self.rho)
            gate = self._by_channel(catalog, gates)
            return rule(
                acts.difference(target_styles, reference_styles), acts.inside, acts.outside, gate=gate
            )
        # What belongs to no layer (where an input lies) stays the target's.
        q = torch.zeros_like(contribution)
        for layer, gate in zip(catalog.layers, gates, strict=True):
            if gate:
                q[layer.slice] = self._of_layer(contribution[layer.slice], gate)
            if self.shifts and layer.shift is not None:
                q[layer.shift] = q[layer.slice]
        return q.float()

    def _of_layer(self, m: Tensor, gate: float) -> Tensor:
        if self.method == "sequential":
            return sequential_query(m, rho=self.rho, epsilon=self.epsilon * gate)
        return simultaneous_query(m, slope=self.slope * gate)

    def _by_channel(self, catalog: Catalog, gates: list[float]) -> Tensor:
        """A layer's gate at each of its channels: (S,) float64, 0 for what belongs to no layer."""
        found = torch.zeros(catalog.contributions.shape[1], dtype=torch.float64)
        for layer, gate in zip(catalog.layers, gates, strict=True):
            found[layer.slice] = gate
            if self.shifts and layer.shift is not None:
                found[layer.shift] = gate
        return found

    def gates(self, catalog: Catalog) -> list[float]:
        """What multiplies the budget, slope or worth of each layer: L numbers in [0, 1]."""
        coarse = ranges(catalog.layers)["coarse"]
        return [
            (self.rgb if layer.kind == "rgb" else 1.0) * (self.coarse if layer.name in coarse else 1.0)
            for layer in catalog.layers
        ]

    def budgets(self, catalog: Catalog) -> list[float]:
        """The budget ε of each layer after its gate: L numbers, in channels."""
        return [self.epsilon * gate for gate in self.gates(catalog)]


@dataclass(frozen=True, eq=False)
class PartEffects:
    """What every style channel does to a part and to the rest of the image.

    Image change is told in squared 8-bit levels: the mean over pixels and colours of the squared change of
    an image in 0 to 255, as in the PSNR. It is a prediction to first order in each channel, as if channels
    acted independently.

    Attributes
    ----------
    inside, outside : Tensor of shape (S,), float64
        E of `lefs.effects`, summed over the part's clusters and over the others.
    values_outside : float
        How many numbers (pixels × colours) of an image lie outside the part, on average.
    """

    inside: Tensor
    outside: Tensor
    values_outside: float

    @classmethod
    def of(cls, catalog: Catalog, part: str) -> PartEffects:
        """Those of one part; a ValueError if the catalog has no effects."""
        effects, clusters = catalog.measured_effects, catalog.clusters(part)
        rest = [k for k in range(catalog.num_clusters) if k not in clusters]
        share = float(catalog.sizes[rest].sum()) / max(1.0, float(catalog.sizes.sum()))
        values = share * 3 * max(layer.side for layer in catalog.layers) ** 2
        return cls(effects[list(clusters)].sum(dim=0), effects[rest].sum(dim=0), values)

    def budget(self, leak: float) -> float:
        """The change outside that `leak` stands for, in the units of δ² E."""
        # (without anything outside, nothing can leak)
        return leak * self.values_outside / _LEVELS**2 if self.values_outside else 0.0

    def predicted_leak(self, q: Tensor, target_styles: Tensor, reference_styles: Tensor) -> Tensor:
        """The mean squared change outside the part that an edit is predicted to make: (N,), float64."""
        change = predicted_change(q, self.difference(target_styles, reference_styles), self.outside)
        return change * _LEVELS**2 / max(1.0, self.values_outside)

    def difference(self, target_styles: Tensor, reference_styles: Tensor) -> Tensor:
        """δ = σ_R − σ_S of each pair: (N, S), float32."""
        for name, styles in (("target_styles", target_styles), ("reference_styles", reference_styles)):
            check_styles_shape(name, styles, len(self.inside))
        check_counts(target_styles=target_styles, reference_styles=reference_styles)
        return (reference_styles - target_styles).float()


def simultaneous_query(m: Vector, *, slope: float) -> Vector:
    """All channels at once, in proportion to their contribution: q = min(1, slope · m).

    Parameters
    ----------
    m : array or Tensor of shape (C,)
        Contributions of one layer's channels to the part, in [0, 1].
    slope : at least 0. The paper writes λ for it.

    Returns
    -------
    of the kind, shape and (floating) type of `m`, in [0, 1]

    Raises
    ------
    ValueError
        If `m` is not 1-D, leaves [0, 1] or holds NaN; if `slope` is negative or NaN.
    """
    slope = check_number("slope", slope, minimum=0)
    contributions = _check_contributions(m)
    return _like(m, (slope * contributions).clamp(max=1))


def sequential_query(m: Vector, *, rho: float, epsilon: float) -> Vector:
    """Channels one after another, most relevant first, until the budget is spent.

    The exact maximiser of Σ q_c [m_c − ρ (1 − m_c)] subject to Σ q_c (1 − m_c) ≤ ε and 0 ≤ q_c ≤ 1
    (paper, Eq. 4, which is a maximisation). It is a fractional knapsack whose value per weight grows with m:
    sort by m, stop at m ≤ ρ / (1 + ρ), take whole channels while the budget lasts and a fraction of the last.

    Parameters
    ----------
    m : array or Tensor of shape (C,)
        Contributions of one layer's channels to the part, in [0, 1].
    rho : at least 0
        Price of a channel's share outside the part.
    epsilon : at least 0, may be infinite
        Budget of the layer, in channels' worth of contribution outside the part.

    Returns
    -------
    of the kind, shape and (floating) type of `m`, in [0, 1]; continuous in `epsilon`

    Raises
    ------
    ValueError
        If `m` is not 1-D, leaves [0, 1] or holds NaN; if `rho` or `epsilon` is negative or NaN.
    """
    rho = check_number("rho", rho, minimum=0)
    epsilon = check_number("epsilon", epsilon, minimum=0, finite=False)
    contributions = _check_contributions(m)
    order = contributions.argsort(descending=True, stable=True)
    sorted_m = contributions[order]
    weight = 1 - sorted_m
    spent_before = weight.cumsum(0) - weight
    # A channel without weight (m = 1) costs nothing and is taken whole, whatever the budget.
    share = torch.where(weight > 0, ((epsilon - spent_before) / weight).clamp(0, 1), 1.0)
    # (ρ / (1 + ρ) rounds to 1 for a very large ρ; a channel without weight is worth taking at any price)
    share[(sorted_m <= rho / (1 + rho)) & (weight > 0)] = 0
    q = torch.empty_like(share)
    q[order] = share
    return _like(m, q)


def pair_query(
    difference: Vector,
    inside: Vector,
    outside: Vector,
    *,
    epsilon: float,
    rho: float = 0.0,
    gate: Vector | None = None,
) -> Vector:
    """Channels for given pairs, by what moving each would change inside the part and outside it.

    To first order, and taking channels as independent, moving channel c by q_c of the way δ_c changes the
    image by q_c² δ_c² E_c. In x = q² that is linear, and x is the exact maximiser of
    Σ x_c [g_c δ_c² E_in,c − ρ δ_c² E_out,c] subject to Σ x_c δ_c² E_out,c ≤ ε and 0 ≤ x_c ≤ 1: a fractional
    knapsack in the order of g_c E_in,c / E_out,c, which stops where that falls to ρ. The last channel gets
    √ of its share, so that what the model predicts outside is ε, and q is continuous in ε.

    Parameters
    ----------
    difference : array or Tensor of shape (S,) or (N, S)
        δ = σ_R − σ_S of each pair.
    inside, outside : of shape (S,), at least 0
        E_in and E_out, the effect of each channel inside the part and outside it.
    epsilon : at least 0, may be infinite
        Budget of image change outside the part, in the units of δ² E.
    rho : at least 0
        Price of change outside, in change inside.
    gate : of shape (S,), at least 0; None: 1 for all
        Multiplies what a channel's change inside is worth; a channel of gate 0 is not moved.

    Returns
    -------
    of the kind, shape and (floating) type of `difference`, in [0, 1]; 0 where a pair does not differ

    Raises
    ------
    ValueError
        If shapes do not agree, an effect or gate is negative or not finite, a difference is not finite, or
        `epsilon` or `rho` is negative or NaN.
    """
    rho = check_number("rho", rho, minimum=0)
    epsilon = check_number("epsilon", epsilon, minimum=0, finite=False)
    delta, within, beyond = _double(difference), _double(inside), _double(outside)
    gates = torch.ones_like(within) if gate is None else _double(gate)
    _check_pairs(delta, within, beyond, gates)
    worth = within * gates
    # (0 / 0, a channel without effect, is not worth moving)
    ratio = torch.where(worth > 0, worth / beyond, 0.0)
    order = ratio.argsort(descending=True, stable=True)
    weight = (delta.square() * beyond)[..., order]
    left = epsilon - (weight.cumsum(-1) - weight)
    # (a channel without weight costs nothing and is taken whole, whatever the budget)
    share = torch.where(weight > 0, (left / weight).clamp(0, 1), (delta[..., order] != 0).to(weight))
    share[..., ratio[order] <= rho] = 0
    q = torch.empty_like(share)
    q[..., order] = share.sqrt()
    return _like(difference, q)


def predicted_change(q: Vector, difference: Vector, effects: Vector) -> Tensor:
    """Σ_c q_c² δ_c² E_c, the image change that `pair_query` reckons with: a float64 Tensor, one number for
    each pair.

    Parameters
    ----------
    q, difference : of shape (S,) or (N, S)
    effects : of shape (S,)
    """
    return ((_double(q) * _double(difference)).square() * _double(effects)).sum(dim=-1)


def budget_spent(q: Vector, m: Vector) -> float:
    """Σ q_c (1 − m_c): how much of ε a query of one layer uses, in channels."""
    return float((_double(q) * (1 - _double(m))).sum())


def _check_contributions(m: Tensor | np.ndarray) -> Tensor:
    contributions = _double(m)
    if contributions.ndim != 1:
        shape = tuple(contributions.shape)
        raise ValueError(f"m must be 1-D, the contributions of one layer; got shape {shape}")
    # Sums of shares may pass 1 by rounding.
    valid = (contributions >= 0) & (contributions <= 1 + 1e-6)
    if not bool(valid.all()):
        worst = float(contributions[~valid][0])
        raise ValueError(f"m must lie in [0, 1] (contributions are shares of energy); got {worst!r}")
    return contributions.clamp(max=1)


def _check_pairs(difference: Tensor, inside: Tensor, outside: Tensor, gate: Tensor) -> None:
    shapes = [tuple(t.shape) for t in (inside, outside, gate)]
    if difference.ndim not in (1, 2) or set(shapes) != {tuple(difference.shape[-1:])}:
        raise ValueError(
            "difference must have shape (S,) or (N, S), inside, outside and gate (S,); got "
            f"{tuple(difference.shape)} and {', '.join(map(str, shapes))}"
        )
    for name, values in (("inside", inside), ("outside", outside), ("gate", gate)):
        if not bool(((values >= 0) & values.isfinite()).all()):
            raise ValueError(f"{name} must be finite and at least 0")
    if not bool(difference.isfinite().all()):
        raise ValueError("difference must be finite")


def _double(values: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(values).detach().to(dtype=torch.float64, device="cpu")


def _like(m: Vector, q: Tensor) -> Vector:
    if isinstance(m, Tensor):
        return q.to(m.device, m.dtype if m.is_floating_point() else torch.float32)
    kind = np.asarray(m).dtype
    # whole numbers could not hold a fraction of a channel
    return q.numpy().astype(kind if kind.kind == "f" else np.float64, copy=False)
