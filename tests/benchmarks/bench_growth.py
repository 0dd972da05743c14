"""How the time and memory of a dissection grow with images, K, resolution and S.

Random StyleGAN2 of 64 × 64 with 48 channels everywhere, of which one thing at a time is changed; each point
is a process of its own. A slope is that of the line through the points in logarithms: 1 is linear, 2 is
quadratic.

    pytest tests/benchmarks/bench_growth.py --threads 1 --json FILE
    python tests/benchmarks/bench_growth.py FILE data/figures/growth.png
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, clock, in_process
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from lefs import SphericalKMeans, StyleGAN2, StyleGAN2Config, dissect, energies
from lefs.plotting.style import INK, LINES, MUTED, WIDTH, new_figure, styled

BASE = {"images": 64, "clusters": 16, "resolution": 64, "channels": 48}
# what is changed, the values it takes (quick: the first three), and what it is called
SERIES = {
    "images": (64, 128, 256, 512),
    "clusters": (4, 16, 64, 128),
    "resolution": (32, 64, 128, 256),
    "channels": (16, 32, 64, 128),
}
AXES = {"images": "images", "clusters": "clusters K", "resolution": "pixels", "channels": "style channels S"}
PARTS = ("synthesis", "contributions", "k-means")
QUADRATIC = {("synthesis", "channels")}  # a convolution is as large as the product of its two widths


def measure(images: int, clusters: int, resolution: int, channels: int) -> dict[str, float]:
    """Seconds of each part of one dissection, and S; run in a process of its own."""
    sizes = [2**k for k in range(2, resolution.bit_length())]
    torch.manual_seed(0)
    network = StyleGAN2(StyleGAN2Config(resolution, 64, 64, dict.fromkeys(sizes, channels))).eval()
    network.freeze()
    seconds = dict.fromkeys(PARTS, 0.0)
    energies._Partition.energy = timed(energies._Partition.energy, seconds, "contributions")
    SphericalKMeans.fit = timed(SphericalKMeans.fit, seconds, "k-means")
    start = clock()
    options = {"batch_size": 8, "n_init": 1, "max_vectors": 32_768, "progress": False}
    dissect(network, range(images), clusters=clusters, layer=f"b{min(resolution, 32)}.conv1", **options)
    total = clock() - start
    return {**seconds, "synthesis": total - sum(seconds.values()), "S": network.num_styles}


def timed(act: Callable[..., Any], seconds: dict[str, float], part: str) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = clock()
        try:
            return act(*args, **kwargs)
        finally:
            seconds[part] += clock() - start

    return wrapper


def bench_growth(quick: bool) -> Iterator[Row]:
    for what, values in SERIES.items():
        points: dict[str, list[tuple[float, float]]] = {part: [] for part in (*PARTS, "memory")}
        for value in values[:3] if quick else values:
            found = in_process("bench_growth", "measure", **{**BASE, what: value})
            x = found["S"] if what == "channels" else value**2 if what == "resolution" else value
            for part in PARTS:
                points[part].append((x, found[part]))
            points["memory"].append((x, (found["peak"] - found["start"]) / 2**20))
        for part, series in points.items():
            yield growth(part, what, series)


def growth(part: str, what: str, series: list[tuple[float, float]]) -> Row:
    """A row that says how steeply the series rises, beside a straight line."""
    slope = float(np.polyfit(*np.log(series).T, 1)[0])
    unit = "MiB" if part == "memory" else "s"
    (x, y), (last_x, last_y) = series[0], series[-1]
    note = f"from {y:.3g} to {last_y:.3g} {unit}, {AXES[what]} {x:g} to {last_x:g}"
    target = None if (part, what) in QUADRATIC else 1 / 1.15
    name = f"growth of {part} with {AXES[what]}"
    return Row(name, max(slope, 0.01), 1.0, "linear", "", target, note, tuple(series))


# -- the figure --------------------------------------------------------------------------------------------


@styled
def draw(rows: list[dict[str, Any]], machine: str) -> Figure:
    """Time by part (above) and memory (below) against each of the four."""
    series = {row["name"]: row for row in rows if row.get("points") and row["name"].startswith("growth of")}
    figure = new_figure(WIDTH, 4.9)
    panels = figure.subplots(2, len(SERIES), sharex="col", sharey="row", height_ratios=[1.5, 1])
    for column, what in enumerate(SERIES):
        for i, part in enumerate(PARTS):
            line(panels[0, column], series[f"growth of {part} with {AXES[what]}"], LINES[i], "os^"[i])
        line(panels[1, column], series[f"growth of memory with {AXES[what]}"], INK, "D")
        panels[1, column].set_xlabel(AXES[what])
    panels[1, 0].set_yticks([50, 100, 200, 400, 800], [50, 100, 200, 400, 800])
    panels[0, 0].set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    panels[0, 0].set_ylabel("time, s")
    panels[1, 0].set_ylabel("memory, MiB")
    handles = [panels[0, 0].get_lines()[i] for i in range(len(PARTS))]
    figure.legend(handles, PARTS, loc="outside upper left", ncols=len(PARTS))
    figure.text(
        0.995, 0.985, "numbers: slopes (1 is linear)", ha="right", va="top", fontsize=8.5, color=MUTED
    )
    figure.supxlabel(machine, fontsize=7, color=MUTED)
    return figure


def line(ax: Axes, row: dict[str, Any], color: str, marker: str) -> None:
    x, y = np.array(row["points"]).T
    ax.loglog(x, y, f"{marker}-", color=color)
    ax.annotate(
        f"{row['ours']:.1f}",
        (x[-1], y[-1]),
        (4, 0),
        textcoords="offset points",
        color=color,
        fontsize=8.5,
        va="center",
    )
    ax.set_xlim(x[0] / 1.3, x[-1] * (x[-1] / x[0]) ** 0.28)
    ax.set_xticks(x)
    pixels = row["name"].endswith("pixels")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v**0.5:.0f}²" if pixels else f"{v:.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.minorticks_off()


def main() -> None:
    source, target = (Path(name) for name in sys.argv[1:])
    content = json.loads(source.read_text())
    draw(content["rows"], content["machine"]).savefig(target, dpi=180)


if __name__ == "__main__":
    main()
