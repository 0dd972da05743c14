"""One look for every figure: type, colours, colour maps, and how a figure is made without pyplot."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lefs.checks import check_integer

__all__ = ["CHANGE_LIMIT", "CHANGE_MAP", "LINES", "SHARE_MAP", "WIDTH", "cluster_colors", "styled"]

P = ParamSpec("P")
F = TypeVar("F")

#: Width of a figure in inches and its resolution: 860 pixels, the text column of a notebook page.
WIDTH, DPI = 8.6, 100
#: Text; secondary text; hairlines and what did not take part.
INK, MUTED, FAINT = "#1f2328", "#656d76", "#d0d7de"
#: Every other row or resolution.
BAND = "#f3f5f7"
#: Lines and bars on white: Okabe & Ito (2008) without its yellow, which white paper swallows.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5A1E87", "#7F7F7F")
#: Where a legend stands beside its axes.
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
# Both maps grow darker evenly and start at the white of the paper: white is "nothing changed", "none of it".
_HEAT = mpl.colormaps["magma_r"](np.linspace(0.06, 1, 12))
#: Colour differences (ΔE), and shares in [0, 1].
CHANGE_MAP = LinearSegmentedColormap.from_list("changes", ["#ffffff", *_HEAT])
#: The end of every scale of colour differences, so that maps compare.
CHANGE_LIMIT = 60.0
SHARE_MAP = LinearSegmentedColormap.from_list(
    "shares", ["#ffffff", "#cfe1f2", "#6aaed6", "#1f6eb3", "#08306b"]
)

# The first seven are Okabe & Ito's; each next one is the colour farthest from all before it, taking the
# worst of normal, protan, deutan and tritan vision (Machado et al. 2009) in OKLab; saturation is capped.
# fmt: off
_CLUSTERS = (
    "#E69F00", "#009E73", "#56B4E9", "#F0E442", "#D55E00", "#CC79A7", "#0072B2", "#781E3C",
    "#78FFFF", "#4B1E96", "#B41E1E", "#A5D2A5", "#9678F0", "#875A69", "#B4FFA5", "#87B478",
    "#693C78", "#3C4BB4", "#F0C35A", "#78D2FF", "#690F78", "#F0783C", "#B43C96", "#A5E1E1",
)
# fmt: on


def cluster_colors(count: int) -> np.ndarray:
    """Colours for `count` clusters, the same for cluster k whatever the count.

    Chosen so that any two of the first 16, and neighbours throughout, stay apart under the common forms of
    colour blindness. From the 25th on they repeat, lighter and then darker.

    Returns
    -------
    ndarray of shape (K, 3), float64
        sRGB in [0, 1].

    Examples
    --------
    >>> from lefs.plotting import cluster_colors
    >>> cluster_colors(12).shape
    (12, 3)
    """
    check_integer("count", count, minimum=1)
    base = np.array([to_rgb(c) for c in _CLUSTERS])
    rounds = np.concatenate([base, 0.55 * base + 0.45, 0.55 * base])
    return rounds[np.arange(count) % len(rounds)]


@functools.cache
def font_families() -> list[str]:
    """The first sans-serif of a known list that is installed, then what matplotlib brings along."""
    wanted = ("Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "Nimbus Sans")
    installed = set(fontManager.get_font_names())
    return [*[name for name in wanted if name in installed][:1], "DejaVu Sans"]


_TICKS = {"color": MUTED, "labelcolor": INK, "labelsize": 8.5, "major.size": 3, "major.width": 0.7}
_LOOK: dict[str, Any] = {
    "font.size": 9.5,
    "text.parse_math": False,  # names are anybody's text: a$b$ shows itself
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    **{f"{axis}tick.{name}": value for axis in "xy" for name, value in _TICKS.items()},
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 10.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.titlesize": 10.5,
    "figure.titleweight": "bold",
    "figure.labelsize": 9.5,
    "figure.facecolor": "white",
}

_TEXT_SIZES = ("titlesize", "labelsize", "fontsize")

# rcParams are global to the process; widgets draw from other threads than the notebook's cells.
_STYLE_LOCK = threading.RLock()


def styled(draw: Callable[P, F]) -> Callable[P, F]:
    """Make `draw` build its figure in the style of this package, on a page where all of its text fits.

    matplotlib's settings are left alone, and whoever has changed one gets it, but for colours, which mean
    something here. A function of one panel gives back the axes that it was given, not their figure.
    """

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> F:
        with _STYLE_LOCK, mpl.rc_context(_look()):
            made: Any = draw(*args, **kwargs)
            ax: Any = kwargs.get("ax")
            for each in made.axes if ax is None else [ax]:
                # tick labels are made when the figure is drawn, out of this style
                each.tick_params(which="both", labelfontfamily=mpl.rcParams["font.family"])
            if ax is None:
                _fit(made)
            return cast(F, made if ax is None else ax)

    return wrapper


def _look() -> Any:
    """The settings of every figure, but for those that somebody has changed."""
    own: dict[Any, Any] = {"font.family": font_families(), **_LOOK}
    kept = {k: v for k, v in own.items() if "color" in k or mpl.rcParams[k] == mpl.rcParamsDefault[k]}
    if "font.size" in kept:
        return kept
    # (as matplotlib's own sizes do, all of them follow it)
    scale = mpl.rcParams["font.size"] / _LOOK["font.size"]
    return {k: v * scale if k.endswith(_TEXT_SIZES) else v for k, v in kept.items()}


def text_scale() -> float:
    """Text's size by ours, within what is `styled`: 1 unless somebody has changed ``font.size``."""
    return float(mpl.rcParams["font.size"] / _LOOK["font.size"])


def points(setting: Any) -> float:
    """A type size of matplotlib's settings, where it may stand as a word such as "large"."""
    return float(FontProperties(size=mpl.rcParams[setting]).get_size_in_points())


def _fit(figure: Figure) -> None:
    """Enlarge the page until all of its text lies on it.

    Constrained layout makes room for what stands beside axes; a label longer than its axes sticks out still.
    """
    if figure.get_layout_engine() is None:
        return
    for _ in range(6):
        figure.draw_without_rendering()
        box, size = figure.get_tightbbox(), figure.get_size_inches()
        # (a label in the middle of its axes needs as much on the other side)
        missing = 2 * np.maximum(np.negative(box.min), box.max - size).clip(0)
        larger = np.maximum(size, np.minimum(size + missing, [WIDTH * max(1, text_scale()), np.inf]))
        if np.allclose(larger, size, atol=0.01):
            return
        figure.set_size_inches(larger)


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """A figure that pyplot does not know: nothing keeps it alive or shows it twice."""
    engine = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05) if constrained else None
    chosen = mpl.rcParams["figure.dpi"]
    dpi = DPI if chosen == mpl.rcParamsDefault["figure.dpi"] else chosen
    return _Shown(figsize=(width, height), dpi=dpi, layout=engine)


class _Shown(Figure):
    """Shown as a cell's last value by itself: without pyplot, there is nobody to tell IPython how."""

    def _repr_png_(self) -> bytes:
        return figure_png(self)


def figure_png(figure: Figure) -> bytes:
    """As a cell shows it: a PNG, cut to what is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def panel(ax: Axes | None, *, width: float = 6.2, height: float = 3.4) -> tuple[Figure, Axes]:
    """The given axes with their figure, or one new panel."""
    if ax is None:
        ax = new_figure(width, height).subplots()
    elif not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {type(ax).__name__}")
    # Axes may lie in a part of a figure; the figure of that is the whole.
    return ax.figure.figure, ax


def line_color(index: int) -> str:
    """Colour of the `index`-th line or group of markers."""
    return LINES[index % len(LINES)]


def marker_of(index: int) -> Any:
    """Its marker: fifteen differ, so that as many lines (of all methods, say) do without colour."""
    shapes = [*"osD^vP*<>Xphd", (4, 1, 0), (3, 1, 0)]  # (the last two are stars of four and of three arms)
    return shapes[index % len(shapes)]


def for_lines(color: np.ndarray) -> np.ndarray:
    """A cluster's colour, darkened as far as a thin line on white paper needs."""
    luminance = float(np.dot(color, (0.299, 0.587, 0.114)))
    return color * min(1.0, 0.62 / luminance)


def text_color_on(rgb: np.ndarray) -> str:
    """Black or white, whichever is read better on `rgb` (the first three values, in [0, 1])."""
    return INK if float(np.dot(rgb[:3], (0.299, 0.587, 0.114))) > 0.55 else "white"
