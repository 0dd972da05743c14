"""A query q: which channels an edit moves, and what of its budget it spends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lefs.checks import check_number
from lefs.plotting.arrays import as_array
from lefs.plotting.style import FAINT, MUTED, WIDTH, line_color, new_figure, styled
from lefs.stylespace import StyleLayer

__all__ = ["query_profile"]


@styled
def query_profile(
    q: Any,
    contributions: Any,
    layers: Sequence[StyleLayer],
    *,
    epsilon: float | Sequence[float] | None = None,
    title: str | None = None,
) -> Figure:
    """Which channels a query moves, layer by layer, and the budget that they spend.

    Parameters
    ----------
    q : array of shape (S,) in [0, 1]
    contributions : array of shape (S,), M of the part that is edited
    layers : the generator's L style layers
    epsilon : budget of each layer in channels, or one for each of the L layers; None where there is none

    Returns
    -------
    Figure: left, every channel at its contribution, those that move in colour; right, Σ q (1 − M) a layer,
    with the allowed ε as a mark
    """
    moved, m = _per_channel("q", q, layers), _per_channel("contributions", contributions, layers)
    budgets = _budgets(epsilon, len(layers))
    figure = new_figure(WIDTH, 0.85 + 0.245 * len(layers))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2.1, 1])
    for row, layer in enumerate(layers):
        _channels(left, row, moved[layer.slice], m[layer.slice])
        _spent(right, row, moved[layer.slice], m[layer.slice], None if budgets is None else budgets[row])
    left.set_yticks(range(len(layers)), [layer.name for layer in layers])
    left.set_ylim(len(layers) - 0.5, -0.5)
    left.set(xlim=(0, min(1.0, 1.06 * m.max()) or 1.0), xlabel="contribution M to the part")
    left.set_title(title or "which channels move", weight="bold" if title else "normal")
    _label_budget(right, with_limit=budgets is not None)
    for ax in (left, right):
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    return figure


def _label_budget(ax: Axes, *, with_limit: bool) -> None:
    ax.set_xlabel(r"$\sum\,q\,(1 - M)$, in channels")
    ax.set_title("budget spent", weight="normal")
    ax.set_xlim(left=0)
    if with_limit:
        ax.set_title("❘ allowed ε", weight="normal", loc="right", color=line_color(1), size=9)


def _per_channel(name: str, values: Any, layers: Sequence[StyleLayer]) -> np.ndarray:
    array, size = as_array(name, values, ndim=1), max(layer.slice.stop for layer in layers)
    if len(array) < size:
        raise ValueError(f"{name} must hold {size} values or more, one a style channel; got {len(array)}")
    return array


def _budgets(epsilon: float | Sequence[float] | None, count: int) -> np.ndarray | None:
    if epsilon is None:
        return None
    if np.ndim(epsilon) == 0:
        return np.full(count, check_number("epsilon", epsilon, minimum=0, finite=False))
    values = np.asarray(epsilon, dtype=float)
    if values.shape != (count,) or np.isnan(values).any() or values.min() < 0:
        raise ValueError(f"epsilon must be one budget or {count}, one a layer, at least 0; got {epsilon!r}")
    return values


def _channels(ax: Axes, row: int, q: np.ndarray, m: np.ndarray) -> None:
    """A row of dots, spread over the row's height so that equal contributions do not hide each other."""
    spread = row + 0.3 * np.cos(np.arange(len(q)) * 2.399963)  # the golden angle: no two alike
    still = q == 0
    ax.scatter(m[still], spread[still], s=5, color=FAINT, linewidths=0, zorder=1, clip_on=False)
    shades = [(*to_rgb(line_color(0)), 0.25 + 0.75 * share) for share in q[~still]]
    ax.scatter(m[~still], spread[~still], s=15, color=shades or "none", linewidths=0, zorder=2, clip_on=False)
    ax.annotate(f"{int((~still).sum())} of {len(q)}", (1.0, row), xytext=(4, 0), textcoords="offset points",
                xycoords=("axes fraction", "data"), va="center", size=8, color=MUTED)  # fmt: skip


def _spent(ax: Axes, row: int, q: np.ndarray, m: np.ndarray, budget: float | None) -> None:
    ax.barh(row, float((q * (1 - m)).sum()), 0.62, color=line_color(0), linewidth=0)
    if budget is not None and np.isfinite(budget):
        ax.plot([budget, budget], [row - 0.4, row + 0.4], color=line_color(1), linewidth=1.6)
