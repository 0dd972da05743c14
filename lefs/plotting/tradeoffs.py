"""What edits do to a part against what they disturb outside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lefs.checks import check_integer, check_name
from lefs.evaluation import Curve, Locality, Report, Tuning, equal_effect
from lefs.plotting import plots, style

__all__ = ["contrast_curves", "locality_bars", "tradeoff_curves", "tuning_curve"]

_FLOOR = 1e-12  # where a logarithmic scale, which cannot show a zero, shows it
_BELOW = 4  # columns of a legend below the panels
_EMPHASISED = 6  # curves of one panel in colour: no more can be told apart at a glance


@style.styled
def tradeoff_curves(
    report: Report,
    *,
    parts: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    emphasise: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Arrival against what is seen outside, a curve for each method as its setting is turned, a panel a part.

    Up, the part comes nearer to the reference's; left, less is seen to change outside it. The dashed line is
    the visibility at which tables compare; filled marks are usual values.

    Parameters
    ----------
    report : Report
        Of `lefs.evaluation.report`.
    parts, methods : sequence of str, optional
        Which to show; all by default.
    emphasise : sequence of str, optional
        Methods in colour, with 95 % bootstrap intervals over the pairs; the others are grey. None: the six
        that arrive furthest within the visibility at which tables compare.
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        For a part or a method that the report does not hold.

    Examples
    --------
    >>> from lefs.evaluation import Estimate, Report, Row
    >>> from lefs.plotting import tradeoff_curves
    >>> half = Estimate(0.5, 0.4, 0.6)
    >>> row = Row("hair", "mine", "λ", 1.0, half, half, half, half)
    >>> tradeoff_curves(Report(24, 6, 0.05, (row,), ())).axes[0].get_title(loc="left")
    'hair'
    """
    shown, names = list(parts or report.parts), list(methods or report.methods)
    for given, known, what in ((shown, report.parts, "part"), (names, report.methods, "method")):
        for name in given:
            check_name(f"{what}s", name, known, what=what)
    if any(r.arrival is None for r in report.rows):
        raise ValueError("report: holds no arrivals, it was measured before there were any; measure it anew")
    for method in emphasise or ():
        check_name("emphasise", method, names, what="method")
    strong = _strongest(report, names) if emphasise is None else list(emphasise)
    looks = {m: _look(report.methods.index(m), strong.index(m) if m in strong else None) for m in names}
    columns = min(3, len(shown))
    rows, below = -(-len(shown) // columns), len(shown) % columns == 0 and len(shown) > 1
    height = 2.55 * rows + 0.3 + below * 0.22 * -(-len(names) // _BELOW)
    figure = style.new_figure(style.WIDTH, height if len(shown) > 1 else 4.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for i, (ax, part) in enumerate(zip(grid.flat, shown, strict=False)):
        for method in names:
            _curve(ax, report.curve(part, method), looks[method])
        ax.axvline(report.visible, color=style.MUTED, linewidth=0.8, dashes=(4, 3), zorder=0)
        _share_axes(ax, left=i % columns == 0, bottom=i + columns >= len(shown))
        ax.set_title(part)
    drawn = (r.arrival[0] for r in report.rows if r.arrival and r.part in shown and r.method in names)
    # (an edit of few pairs may lead away from the reference)
    grid[0, 0].set_ylim(min(-0.05, min(drawn, default=0.0) - 0.03), 1.05)
    spare = list(grid.flat)[len(shown) :]
    for ax in spare:
        ax.set_axis_off()
    handles = [Line2D([], [], label=m, markersize=5, **looks[m]) for m in names]
    place: dict[str, Any] = {"loc": "outside right upper"}
    if spare or below:
        place = {"loc": "upper left", "ncols": 2} if spare else {"loc": "outside lower left", "ncols": _BELOW}
    legend = (spare[0] if spare else figure).legend(handles=handles, handlelength=2.4, **place)
    legend.set_in_layout(not spare)  # (else its panel's column would grow)
    figure.suptitle(title or "", x=0.01, ha="left")
    return figure


def _strongest(report: Report, methods: Sequence[str]) -> list[str]:
    """Those that arrive furthest within the report's visibility, in the report's order."""

    def reach(method: str) -> float:
        """The mean over the parts."""
        curves = [[(r.visible, r.arrival) for r in report.curve(p, method)] for p in report.parts]
        near = [[y[0] for x, y in c if x and y and x[0] <= report.visible] for c in curves]
        return float(np.mean([max(found, default=0) for found in near]))

    ranked = sorted(methods, key=reach, reverse=True)[:_EMPHASISED]
    return [m for m in methods if m in ranked]


def _look(number: int, rank: int | None) -> dict[str, Any]:
    """The marker of a method, and its colour if it is emphasised."""
    color = style.MUTED if rank is None else style.line_color(rank)
    return {"color": color, "marker": style.marker_of(number), "linewidth": 0.6 if rank is None else 1.4}


def _curve(ax: Axes, rows: Sequence[Any], look: Mapping[str, Any]) -> None:
    """One method on one part: a line through its values, whiskers if emphasised, the usual one filled."""
    x, y = (np.array([getattr(r, q) for r in rows]).reshape(-1, 3) for q in ("visible", "arrival"))
    points, color, grey = (x[:, 0], y[:, 0]), look["color"], look["color"] == style.MUTED
    line = {"marker": "", "linewidth": look["linewidth"], "zorder": 3 - grey}
    plots.intervals(ax, *(points if grey else (x, y)), 0, color=color, **line)
    size, edge = (9, 0.5) if grey else (20, 0.9)
    looks = {"s": size, "linewidths": edge, "edgecolors": color, "zorder": 3 - grey, "marker": look["marker"]}
    ax.scatter(*points, facecolors=[color if r.usual else "white" for r in rows], clip_on=False, **looks)


def _share_axes(ax: Axes, *, left: bool, bottom: bool) -> None:
    # Where the methods differ, little is seen outside: a square root spreads that out.
    ax.set_xscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    ax.set_xticks([0, 0.01, 0.05, 0.2, 0.5, 1], ["0", "1", "5", "20", "50", "100"])
    ax.set(xlim=(0, 1), yticks=[0, 0.25, 0.5, 0.75, 1])
    ax.grid(color=style.FAINT, linewidth=0.5)
    if left:
        ax.set_ylabel("arrival")
    if bottom:
        ax.set_xlabel("visible outside (% of pixels)")
        ax.tick_params(labelbottom=True)


@style.styled
def contrast_curves(
    curves: Sequence[Curve], *, unit: str = "mean squared ΔE", columns: int = 3, title: str | None = None
) -> Figure:
    """Effect inside a part against leak outside it, as each method goes further: up and left is better.

    Parameters
    ----------
    curves : sequence of Curve
        What `lefs.evaluation.contrast` returns.
    unit : str
        Of effect and leak.
    columns : int
        Panels in a row.
    title : str, optional

    Returns
    -------
    Figure
        A panel a part, a line a method, a marker an amount with 95 % bootstrap intervals of both means; the
        dotted line is the effect that all curves reach, where their leaks are compared.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Curve
    >>> from lefs.plotting import contrast_curves
    >>> effect = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    >>> contrast_curves([Curve("hair", "path", (0.5, 1.0), effect, effect / 9)]).axes[0].get_title(loc="left")
    'hair, 3 targets'
    """
    every = plots.all_of("curves", curves, Curve, "lefs.evaluation.contrast")
    parts, methods = plots.names_of(every, "part"), plots.names_of(every, "method")
    columns = min(check_integer("columns", columns, minimum=1), len(parts))
    rows = -(-len(parts) // columns)
    figure = style.new_figure(style.WIDTH if columns > 1 else 0.6 * style.WIDTH, 0.5 + 2.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax, part in zip(axes.flat, parts, strict=False):
        own = [curve for curve in every if curve.part == part]
        for curve in own:
            x, y = (np.maximum(curve.estimates(quantity), _FLOOR) for quantity in ("leak", "effect"))
            plots.intervals(ax, x, y, methods.index(curve.method), label=curve.method)
        plots.in_powers(ax, "x", "y")
        if (level := equal_effect(own)) > 0:
            ax.axhline(level, color=style.MUTED, linewidth=0.9, linestyle=":", zorder=1)
        ax.set_title(f"{part}, {len(own[0].effect)} targets", weight="normal")
        ax.grid()
    for ax in list(axes.flat)[len(parts) :]:
        ax.set_axis_off()
    figure.supxlabel(f"leak outside the part ({unit})")
    figure.supylabel(f"effect inside it ({unit})")
    plots.legend_above(figure, axes[0, 0], title)
    return figure


@style.styled
def locality_bars(
    table: Sequence[Locality], *, unit: str = "mean squared ΔE", title: str | None = None
) -> Figure:
    """Effect inside and leak outside the edited part, part by part, for each method.

    Parameters
    ----------
    table : sequence of Locality
        What `lefs.evaluation.locality` returns: one for each part and method.
    unit : str
        Of effect and leak.
    title : str, optional

    Returns
    -------
    Figure
        Means over the pairs with their 95 % bootstrap intervals, on one logarithmic scale.

    Examples
    --------
    >>> import numpy as np
    >>> from lefs.evaluation import Locality
    >>> from lefs.plotting import locality_bars
    >>> values = np.array([1.0, 2.0, 4.0])
    >>> cell = Locality("hair", "sequential", 9 * values, values, np.full(3, 0.9))
    >>> [ax.get_title(loc="left") for ax in locality_bars([cell]).axes]
    ['effect inside the part', 'leak outside it']
    """
    cells = plots.all_of("table", table, Locality, "lefs.evaluation.locality")
    parts, methods = plots.names_of(cells, "part"), plots.names_of(cells, "method")
    figure = style.new_figure(style.WIDTH, 0.95 + len(parts) * (0.12 + 0.15 * len(methods)))
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    headings = {"effect": "effect inside the part", "leak": "leak outside it"}
    for ax, (quantity, heading) in zip(axes, headings.items(), strict=True):
        for j, shift in enumerate(plots.side_by_side(len(methods), 0.7)):
            own = [cell for cell in cells if cell.method == methods[j]]
            x = np.maximum([cell.estimate(quantity) for cell in own], _FLOOR)
            y = np.array([parts.index(cell.part) for cell in own]) + shift
            plots.intervals(ax, x, y, j, joined=False, label=methods[j])
        ax.set_xlabel(unit)
        plots.in_powers(ax, "x")
        ax.set_title(heading, weight="normal")
        ax.spines["left"].set_visible(False)
        plots.in_rows(ax, parts)
    plots.legend_above(figure, axes[0], title)
    return figure


@style.styled
def tuning_curve(tuning: Tuning, *, ax: Axes | None = None) -> Any:
    """What every setting of a sweep does, its Pareto curve, and the one that was chosen.

    Parameters
    ----------
    tuning : Tuning
        Of `lefs.evaluation.tune`.
    ax : Axes, optional
        Where to draw; a new figure if None.

    Returns
    -------
    Figure
        Arrival against the share of pixels outside that change visibly; colour tells ρ, whiskers are the
        chosen setting's 95 % bootstrap intervals, the dashed line is what was allowed.

    Examples
    --------
    >>> from lefs import QuerySettings
    >>> from lefs.evaluation import Estimate, Trial, Tuning
    >>> from lefs.plotting import tuning_curve
    >>> trial = Trial(QuerySettings(), arrival=Estimate(0.5, 0.4, 0.6), visible=Estimate(0.02, 0.01, 0.03))
    >>> tuning_curve(Tuning("hair", 0.05, trial, (trial,))).axes[0].get_title(loc="left")
    'hair'
    """
    figure, ax = style.panel(ax, width=6.2, height=3.6)
    for i, rho in enumerate(sorted({t.settings.rho for t in tuning.trials})):
        own = [(t.visible[0], t.arrival[0]) for t in tuning.trials if t.settings.rho == rho]
        x, y = np.transpose(own)
        plots.intervals(ax, x, y, i, linewidth=0.8, markersize=3.5, label=f"ρ = {rho:g}")
    edge = np.array([(t.visible[0], t.arrival[0]) for t in tuning.frontier])
    ax.step(*edge.T, where="post", color=style.INK, linewidth=1.4, zorder=0, label="Pareto curve")
    (at, *xs), (up, *ys) = tuning.best.visible, tuning.best.arrival
    ax.plot(xs, [up, up], [at, at], ys, color=style.INK, linewidth=1.0, zorder=4)
    ax.scatter(at, up, s=90, facecolors="none", edgecolors=style.INK, linewidths=1.4, zorder=5)
    chosen = f"ρ = {tuning.settings.rho:g}, ε = {tuning.settings.epsilon:g}"
    ax.annotate(chosen, (at, up), xytext=(9, 24), textcoords="offset points", weight="bold")
    ax.axvline(tuning.limit, color=style.MUTED, linewidth=0.8, dashes=(4, 3), zorder=0)
    ax.set(xlabel="visible outside (share of pixels)", ylabel="arrival", xlim=(0, None), title=tuning.part)
    ax.grid()
    ax.legend(**style.BESIDE)
    return figure
