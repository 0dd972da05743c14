"""What an edit changes, pair by pair: how far the part arrives, what is seen outside it; and curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lefs.checks import check_name, check_number
from lefs.evaluation.intervals import Estimate, bootstrap, estimate, interval
from lefs.evaluation.masks import grow
from lefs.images import to_lab
from lefs.showing import Shown
from lefs.tables import Table

__all__ = [
    "Curve", "Locality", "Outcome", "contrast_table", "equal_effect", "locality_table", "measure",
    "measure_lab", "read_off", "spelled",
]  # fmt: skip

NO_CHANGE = "no change"  # what a table says of 0 / 0
VISIBLE = 5.0  # ΔE from which a change of a pixel is seen
RING = 3  # pixels around a part in which a halo is looked for


@dataclass(frozen=True, eq=False, repr=False)
class Locality(Shown):
    """How much an edit changes inside a part's mask and outside it, for each pair.

    Attributes
    ----------
    part, method : str
        What was edited, and how.
    effect, leak : ndarray of shape (n,)
        Mean squared ΔE inside the mask and outside it.
    localisation : ndarray of shape (n,)
        Σ squared ΔE inside / Σ squared ΔE, in [0, 1]; NaN where nothing changed.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Locality
    >>> Locality("hair", "mine", np.array([8.0, 4.0]), np.array([2.0, 1.0]), np.array([0.5, 0.4])).ratio
    4.0
    """

    part: str
    method: str
    effect: np.ndarray
    leak: np.ndarray
    localisation: np.ndarray

    @property
    def ratio(self) -> float:
        """Mean effect / mean leak: 1 for a change as large outside as inside, infinite for one without leak,
        NaN where nothing changed.
        """
        return _over(float(self.effect.mean()), float(self.leak.mean()))

    def estimate(self, quantity: str, *, confidence: float = 0.95) -> Estimate:
        """The mean of ``"effect"``, ``"leak"`` or ``"localisation"`` over the pairs, with its interval."""
        check_name("quantity", quantity, ("effect", "leak", "localisation"), what="quantity")
        return estimate(getattr(self, quantity), confidence=confidence)


@dataclass(frozen=True, eq=False, repr=False)
class Outcome(Locality):
    """What one method does to one part at one value of its setting; numbers for each pair.

    Attributes
    ----------
    value : float
        Of the method's setting.
    index : ndarray of shape (n,), int64
        Which of all pairs.
    most_effect, most_leak : ndarray of shape (n,)
        What global transfer, which gives the reference, changes inside and outside.
    missing, distance : ndarray of shape (n,)
        Σ squared ΔE inside the mask, from the edit to the reference and from the target to the reference.
    visible : ndarray of shape (n,)
        Share of the pixels outside the mask that change by more than 5 ΔE.
    halo, most_halo : ndarray of shape (n,)
        Σ squared ΔE in a ring of 3 pixels around the mask, of the edit and of global transfer.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import compare, estimate, seed_pairs, standard_methods
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> methods = [m.only(1.0) for m in standard_methods(generator, catalog) if m.name == "global"]
    >>> outcome, = compare(
    ...     generator, catalog, seed_pairs(2), parts=["hair"], methods=methods, progress=False
    ... ).outcomes
    >>> outcome.method, outcome.value, float(estimate(*outcome.shares["arrival"]).value)
    ('global', 1.0, 1.0)
    """

    value: float
    index: np.ndarray
    most_effect: np.ndarray
    most_leak: np.ndarray
    missing: np.ndarray
    distance: np.ndarray
    visible: np.ndarray
    halo: np.ndarray
    most_halo: np.ndarray

    @property
    def shares(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """What each number of a table is the ratio of, summed over the pairs: above, and below.

        ``"arrival"`` is 1 − Σ |edit − reference|² / Σ |target − reference|² inside the part: 0 where the
        edit is as far from the reference as the target was, 1 where it is the reference.
        """
        return {
            "arrival": (self.distance - self.missing, self.distance),
            "visible": (self.visible, np.ones_like(self.visible)),
            "halo": (self.halo, self.most_halo),
            "effect_share": (self.effect, self.most_effect),
            "leak_share": (self.leak, self.most_leak),
        }


def measure(target: Tensor, edited: Tensor, reference: Tensor, mask: Tensor) -> dict[str, np.ndarray]:
    """Hold edits against their targets and references, inside a part's mask, around it and outside it.

    Parameters
    ----------
    target, edited, reference : Tensor of shape (n, 3, H, W), in [-1, 1]
    mask : Tensor of shape (n, H, W), bool
        Each must hold some pixels and leave some.

    Returns
    -------
    dict of str to ndarray of shape (n,), float64
        Those of `Outcome`: effect, leak, localisation, most_effect, most_leak, missing, distance, visible,
        halo, most_halo.

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import measure
    >>> target, mask = torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 8).bool()
    >>> mask[:, :4] = True
    >>> found = measure(target, torch.where(mask, 0.5, target), target + 0.5, mask)
    >>> found["effect"].round(), found["missing"], found["visible"]
    (array([578.]), array([0.]), array([0.]))
    """
    return measure_lab(to_lab(target), to_lab(edited), to_lab(reference), mask)


def measure_lab(target: Tensor, edited: Tensor, reference: Tensor, mask: Tensor) -> dict[str, np.ndarray]:
    """The same for images that are in CIELAB already."""
    # (Apple's devices have no float64.)
    mask = mask.bool().cpu()
    ring = grow(mask, RING) & ~mask

    def squared(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().sum(dim=1).cpu()

    def total(values: Tensor, where: Tensor) -> np.ndarray:
        return (values * where).sum(dim=(1, 2), dtype=torch.float64).numpy()

    area, rest = total(mask, mask), total(~mask, ~mask)
    if not (area.all() and rest.all()):
        remedy = "leave out the pairs where the part is absent"
        raise ValueError(f"mask: each must hold some pixels and leave some; {remedy}")
    change, most = squared(edited, target), squared(reference, target)
    inside, outside, distance = total(change, mask), total(change, ~mask), total(most, mask)
    both = inside + outside
    return {
        "effect": inside / area,
        "leak": outside / rest,
        "localisation": np.divide(inside, both, out=np.full_like(both, np.nan), where=both > 0),
        "most_effect": distance / area,
        "most_leak": total(most, ~mask) / rest,
        "missing": total(squared(edited, reference), mask),
        "distance": distance,
        "visible": total(change > VISIBLE**2, ~mask) / rest,
        "halo": total(change, ring),
        "most_halo": total(most, ring),
    }


def locality_table(measured: Iterable[Locality]) -> Table:
    """Means over the pairs with 95 % bootstrap intervals; effect and leak in mean squared ΔE.

    Parameters
    ----------
    measured : iterable of Locality

    Returns
    -------
    Table
        A row for each; where there is nothing to divide by it says ``no change`` or ``no leak``.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Locality, locality_table
    >>> still = np.zeros(2)
    >>> locality_table([Locality("nose", "sequential", still, still, still / 1 + np.nan)]).rows[0][-2:]
    ('no change', 'no change')
    """
    rows: list[tuple[str | float, ...]] = []
    for m in measured:
        cells = [spelled(m.estimate(quantity)) for quantity in ("effect", "leak")]
        share = m.estimate("localisation").value
        local = NO_CHANGE if math.isnan(share) else share
        rows.append((m.part, m.method, f"{len(m.effect)}", *cells, _ratio(m.ratio), local))
    return Table(("part", "method", "pairs", "effect inside", "leak outside", "ratio", "localisation"), rows)


def spelled(number: Estimate, form: str = ".1f") -> str:
    """A number with its interval as text."""
    value, low, high = (f"{v:{form}}" for v in number)
    return NO_CHANGE if math.isnan(number.value) else f"{value} [{low}, {high}]"


def _over(effect: float, leak: float) -> float:
    return effect / leak if leak > 0 else math.inf if effect > 0 else math.nan


def _ratio(value: float) -> str | float:
    return NO_CHANGE if math.isnan(value) else "no leak" if math.isinf(value) else value


# -- curves --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Curve(Shown):
    """Effect and leak of one method on one part as its setting is turned, on the same pairs throughout.

    Attributes
    ----------
    part, method : str
        What was edited, and how.
    values : tuple of float
        The V values of the setting, from the weakest edit to the strongest.
    effect, leak : ndarray of shape (n, V)
        Mean squared ΔE inside the part and outside, for each pair.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Curve
    >>> curve = Curve("hair", "path", (1.0, 2.0), np.array([[2.0, 4.0]]), np.array([[1.0, 3.0]]))
    >>> curve.leak_at(3.0).value, curve.value_at(3.0)
    (2.0, 1.5)
    """

    part: str
    method: str
    values: tuple[float, ...]
    effect: np.ndarray
    leak: np.ndarray

    @classmethod
    def of(cls, points: Sequence[Outcome], kept: np.ndarray) -> Curve:
        """The outcomes of one part and method, one for each value, on the pairs of these numbers."""
        columns = (
            np.stack([getattr(o, quantity)[np.isin(o.index, kept)] for o in points], axis=1)
            for quantity in ("effect", "leak")
        )
        return cls(points[0].part, points[0].method, tuple(o.value for o in points), *columns)

    def estimates(self, quantity: str) -> list[Estimate]:
        """The mean of ``"effect"`` or ``"leak"`` at each value, with its interval."""
        check_name("quantity", quantity, ("effect", "leak"), what="quantity")
        return [estimate(column) for column in getattr(self, quantity).T]

    def leak_at(self, level: float) -> Estimate:
        """Mean leak where the mean effect is `level`, with its 95 % bootstrap interval.

        Between the values of the setting, and from 0 on, leak is taken as linear in effect.
        """
        check_number("level", level, minimum=0)

        def resampled(counts: np.ndarray, effect: np.ndarray, leak: np.ndarray) -> np.ndarray:
            effects, leaks = (counts @ v / counts.sum(axis=1, keepdims=True) for v in (effect, leak))
            return read_off(effects, leaks, level)

        return interval(bootstrap(resampled, self.effect, self.leak))

    def value_at(self, level: float) -> float:
        """Where the setting stands when the mean effect is `level`."""
        return float(read_off(self.effect.mean(axis=0), np.array(self.values), level))


def read_off(effect: np.ndarray, other: np.ndarray, level: np.ndarray | float) -> np.ndarray:
    """The other quantity where curves first reach an effect; beyond their last value in proportion.

    Parameters
    ----------
    effect, other : ndarray of shape (..., V)
        Along each curve, which begins at no edit (0, 0).
    level : float, or ndarray of shape (...)
        The effect.

    Returns
    -------
    ndarray of shape (...)
        NaN where nothing changes however far the setting is turned.
    """
    x, y = (np.concatenate([np.zeros_like(v[..., :1]), v], axis=-1) for v in (effect, other))
    at = np.broadcast_to(level, x.shape[:-1])[..., None]
    reached = x >= at
    i = reached.argmax(axis=-1, keepdims=True).clip(min=1)
    (x0, x1), (y0, y1) = ([np.take_along_axis(v, k, axis=-1) for k in (i - 1, i)] for v in (x, y))
    share = np.divide(at - x0, x1 - x0, out=np.ones_like(x0), where=x1 > x0)
    last = np.divide(y[..., -1:] * at, x[..., -1:], out=np.full_like(x0, np.nan), where=x[..., -1:] > 0)
    found = np.where(reached.any(axis=-1, keepdims=True), y0 + share * (y1 - y0), last)
    return np.where(at == 0, 0.0, found)[..., 0]


def equal_effect(curves: Iterable[Curve]) -> float:
    """An effect that all curves reach, to compare their leaks at: 0.8 of the least of their largest.

    Parameters
    ----------
    curves : iterable of Curve

    Returns
    -------
    float
        In mean squared ΔE.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Curve, equal_effect
    >>> effects = np.array([[1.0, 10.0]]), np.array([[2.0, 5.0]])
    >>> equal_effect([Curve("hair", "mine", (1.0, 2.0), e, e) for e in effects])
    4.0
    """
    largest = [float(curve.effect.mean(axis=0).max()) for curve in curves]
    if not largest:
        raise ValueError("curves is empty; give some of one part")
    return 0.8 * min(largest)


def contrast_table(curves: Iterable[Curve]) -> Table:
    """Leak of each method at equal effect, part by part, with 95 % bootstrap intervals over the pairs.

    Parameters
    ----------
    curves : iterable of Curve
        Of `contrast`, or of any `Comparison`.

    Returns
    -------
    Table
        The value of each method's setting there (standard deviations of w along a path, λ of a transfer),
        effect and leak in mean squared ΔE.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Curve, contrast_table
    >>> curve = Curve("hair", "path", (1.0, 2.0), np.array([[2.0, 5.0]]), np.array([[1.0, 3.0]]))
    >>> contrast_table([curve]).rows[0][3:]
    (1.6666666666666665, 4.0, '2.3 [2.3, 2.3]', 1.7142857142857144)
    """
    every, rows = list(curves), []
    for part in dict.fromkeys(curve.part for curve in every):
        own = [curve for curve in every if curve.part == part]
        level = equal_effect(own)
        for curve in own:
            leak = curve.leak_at(level)
            place = f"{len(curve.effect)}", curve.value_at(level), level
            rows.append((part, curve.method, *place, spelled(leak), _ratio(_over(level, leak.value))))
    columns = ("part", "method", "targets", "amount", "effect inside", "leak outside", "effect / leak")
    return Table(columns, rows)
