"""All methods on the same pairs: curves of effect against leak, and what else changes with each part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lefs.checks import check_name
from lefs.evaluation import PartLeak, Report, Row, Tuning
from lefs.plotting.style import (
    FAINT,
    INK,
    LINES,
    MUTED,
    SHARE_MAP,
    WIDTH,
    frame,
    line_color,
    new_figure,
    panel,
    share_bar,
    styled,
    text_color_on,
)

__all__ = ["part_leak_matrix", "tradeoff_curves", "tuning_curve"]

_MARKERS = "osD^vP*<>Xphd"


def _look(number: int) -> dict[str, str]:
    """Colour, dash and marker of the method of this number: no two methods share all three."""
    again = number // len(LINES)
    return {
        "color": line_color(number),
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": ("-", "--", ":")[again % 3],
    }


@styled
def tradeoff_curves(
    report: Report,
    *,
    parts: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Effect against leak, one curve for each method as its setting is turned, one panel for each part.

    Parameters
    ----------
    report : of `lefs.evaluation.report`
    parts, methods : which to show; all by default

    Returns
    -------
    Figure: shares of what global transfer changes inside and outside the part; up is a stronger edit, left a
    more local one; whiskers are 95 % bootstrap intervals over the pairs, the dashed line is the leak at which
    tables compare, filled marks are usual values
    """
    shown, names = list(parts or report.parts), list(methods or report.methods)
    for part in shown:
        check_name("parts", part, report.parts, what="part")
    for method in names:
        check_name("methods", method, report.methods, what="method")
    columns = min(3, len(shown))
    rows = -(-(len(shown) + 1) // columns) if len(shown) > 1 else 1
    figure = new_figure(WIDTH, 2.55 * rows + 0.3 if len(shown) > 1 else 4.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax, part in zip(grid.flat, shown, strict=False):
        for number, method in enumerate(report.methods):
            if method in names:
                _curve(ax, report.curve(part, method), _look(number))
        ax.axvline(report.leak, color=MUTED, linewidth=0.8, dashes=(4, 3), zorder=0)
        _share_axes(ax)
        ax.set_title(part)
    spare = list(grid.flat)[len(shown) :]
    for ax in spare:
        ax.set_axis_off()
    _outer_labels(grid, len(shown))
    handles = [
        Line2D([], [], label=m, markersize=5, linewidth=1.2, **_look(report.methods.index(m)))  # type: ignore[arg-type]
        for m in names
    ]
    place = {"loc": "upper left", "ncols": 2} if spare else {"loc": "outside right upper"}
    legend = (spare[0] if spare else figure).legend(handles=handles, handlelength=2.4, **place)
    legend.set_in_layout(not spare)  # (else its panel's column would grow)
    figure.suptitle(title or "", x=0.01, ha="left", fontweight="bold", fontsize=10.5)
    return figure


def _curve(ax: Axes, rows: Sequence[Row], look: dict[str, str]) -> None:
    """One method on one part: a line through its values, whiskers, the usual value filled."""
    x, y = (np.array([getattr(r, q) for r in rows]).reshape(-1, 3) for q in ("leak_share", "effect_share"))
    color = look["color"]
    ax.plot(x[:, 0], y[:, 0], color=color, linestyle=look["linestyle"], linewidth=1.1, zorder=2)
    ax.hlines(y[:, 0], x[:, 1], x[:, 2], color=color, linewidth=0.7, alpha=0.6, zorder=1)
    ax.vlines(x[:, 0], y[:, 1], y[:, 2], color=color, linewidth=0.7, alpha=0.6, zorder=1)
    faces = [color if r.usual else "white" for r in rows]
    ax.scatter(
        x[:, 0], y[:, 0], s=18, marker=look["marker"], facecolors=faces, edgecolors=color, linewidths=0.9,
        zorder=3, clip_on=False,
    )  # fmt: skip


def _share_axes(ax: Axes) -> None:
    # Where most leaks lie, and the methods differ, is near nothing: a square root there spreads it out.
    ax.set_xscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    ax.set(xlim=(0, 1), ylim=(0, 1.05))
    ax.set_xticks([0, 0.01, 0.05, 0.2, 0.5, 1], ["0", "1", "5", "20", "50", "100"])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    ax.grid(color=FAINT, linewidth=0.5)


def _outer_labels(grid: np.ndarray, count: int) -> None:
    """Axis labels at the left and below the last panel of each column only."""
    columns = grid.shape[1]
    for i, ax in enumerate(list(grid.flat)[:count]):
        if i % columns == 0:
            ax.set_ylabel("effect (% of global transfer)")
        if i + columns >= count:
            ax.set_xlabel("leak (% of global transfer)")
            ax.tick_params(labelbottom=True)


@styled
def part_leak_matrix(found: PartLeak, *, title: str | None = None, ax: Axes | None = None) -> Figure:
    """Where the change of each edit lies, part by part.

    Parameters
    ----------
    found : of `lefs.evaluation.part_leak`

    Returns
    -------
    Figure: a row for each edited part, its mean squared ΔE in every part as shares of the row
    """
    shares = found.shares
    figure, ax = panel(ax, width=min(WIDTH, 2.4 + 0.62 * len(shares)), height=1.3 + 0.42 * len(shares))
    image = ax.imshow(shares, cmap=SHARE_MAP, vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            color = text_color_on(np.asarray(SHARE_MAP(share)))
            ax.text(column, row, f"{share:.2f}", ha="center", va="center", size=8, color=color)
    ax.set_yticks(range(len(shares)), list(found.parts))
    ax.set_xticks(range(len(shares)), list(found.parts), rotation=35, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.set(xlabel="part whose change is measured", ylabel="part that is edited")
    middle, low, high = found.estimate()
    ax.set_title(title or f"off the diagonal: {middle:.0%} [{low:.0%}, {high:.0%}]")
    frame(ax)
    share_bar(figure, ax, image, "share of the row's mean squared ΔE")
    return figure


@styled
def tuning_curve(tuning: Tuning, *, ax: Axes | None = None) -> Figure:
    """What every setting of a sweep does, its Pareto curve, and the one that was chosen.

    Parameters
    ----------
    tuning : of `lefs.evaluation.tune`

    Returns
    -------
    Figure: effect against leak as shares of global transfer; colour tells ρ, whiskers are the chosen
    setting's 95 % bootstrap intervals
    """
    figure, ax = panel(ax, width=6.2, height=3.6)
    rhos = sorted({t.settings.rho for t in tuning.trials})
    for i, rho in enumerate(rhos):
        own = [t for t in tuning.trials if t.settings.rho == rho]
        x, y = [t.leak[0] for t in own], [t.effect[0] for t in own]
        ax.plot(x, y, color=line_color(i), marker=_MARKERS[i % len(_MARKERS)], linewidth=0.8, markersize=3.5,
                label=f"ρ = {rho:g}")  # fmt: skip
    edge = tuning.frontier
    ax.step([t.leak[0] for t in edge], [t.effect[0] for t in edge], where="post", color=INK, linewidth=1.4,
            zorder=0, label="Pareto curve")  # fmt: skip
    (at, *xs), (up, *ys) = tuning.best.leak, tuning.best.effect
    ax.plot(xs, [up, up], [at, at], ys, color=INK, linewidth=1.0, zorder=4)
    ax.scatter(at, up, s=90, facecolors="none", edgecolors=INK, linewidths=1.4, zorder=5)
    chosen = tuning.settings
    ax.annotate(f"ρ = {chosen.rho:g}, ε = {chosen.epsilon:g}", (at, up), xytext=(9, -12),
                textcoords="offset points", weight="bold")  # fmt: skip
    ax.axvline(tuning.limit, color=MUTED, linewidth=0.8, dashes=(4, 3), zorder=0)
    ax.set(xlabel="leak (share of global transfer's)", ylabel="effect (share of global transfer's)")
    ax.set(xlim=(0, None), ylim=(0, None))
    ax.set_title(tuning.part)
    ax.grid()
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure
