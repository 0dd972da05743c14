"""Why an edit changes nothing, and at which price it would."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from lefs.catalog import Catalog
from lefs.query import QuerySettings

__all__ = ["lower_price", "why_nothing_moves"]

_PRICES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.0)
# What a method cannot do without, and what to say where it is 0.
_BUDGET = ("epsilon", "budget ε")
_NEEDS = {
    "sequential": _BUDGET,
    "released": _BUDGET,
    "simultaneous": ("slope", "slope"),
    "pair": ("leak", "leak"),
}


def lower_price(
    settings: QuerySettings, catalog: Catalog, part: str, target: Tensor, reference: Tensor
) -> float | None:
    """The highest round price below ρ at which a channel moves; None where it is not to blame.

    Parameters
    ----------
    settings : QuerySettings
        At which nothing moves.
    catalog : Catalog
    part : str
    target, reference : Tensor of shape (1, S)
        Styles of the pair.
    """
    if settings.method not in ("sequential", "released", "pair") or isinstance(settings.rho, tuple):
        return None
    for price in _PRICES:
        if price < settings.rho:
            cheaper = replace(settings, rho=price)
            if bool(cheaper.query(catalog, part, target, reference).any()):
                return price
    return None


def why_nothing_moves(settings: QuerySettings, catalog: Catalog, part: str, price: float | None) -> str:
    """A sentence for the reader, given what `lower_price` has found."""
    if price is not None and settings.method == "sequential":
        least = settings.rho / (1 + settings.rho)
        most = float(settings.contribution(catalog, part).max())
        return (
            f"at ρ = {settings.rho:.3g} only channels with more than {least:.1%} of their contribution in "
            f"{part} move, and the largest share there is {most:.1%}"
            if most <= least
            else f"at ρ = {settings.rho:.3g} no channel of the layers that are open has enough of its "
            f"contribution in {part}"
        )
    if price is not None:
        return f"no channel changes {part} enough for what it changes elsewhere at ρ = {settings.rho:.3g}"
    name, words = _NEEDS.get(settings.method, ("", ""))
    if name and getattr(settings, name) == 0:
        return f"the {words} is 0"
    return f"no channel of the layers that are open has a share in {part}; open the others under Advanced"
