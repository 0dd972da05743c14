"""Numbers of an evaluation that nobody measured, to draw; and what a figure shows."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lefs import QuerySettings
from lefs.evaluation import Curve, Estimate, PartLeak, Report, Row, Trial, Tuning, agreement_table
from lefs.tables import Table
from lefs.units import Agreement, CausalEffect

METHODS = tuple(f"method {i}" for i in range(13))
PARTS = ("hair", "skin", "eyes", "mouth", "a part with a long name")


def images_in(figure: Figure) -> list[AxesImage]:
    """The pictures and maps of a grid, row by row."""
    return list(figure.axes[0].images)


def pictures_in(figure: Figure) -> list[np.ndarray]:
    """What they hold, before it is brought to the size of the page."""
    return [np.asarray(image.get_array()) for image in images_in(figure)]


def around(value: float) -> tuple[float, float, float]:
    return value, 0.9 * value, 1.1 * value


def made_up_report() -> Report:
    """Thirteen methods, five parts, four values of each setting."""
    rows = [
        Row(
            part, method, "setting", float(k), usual=k == 2, pairs=50, effect_share=around(0.3),
            leak_share=around(0.1), arrival=around(0.2 * (k + 1) / (1 + i / 5)), halo=around(0.3),
            visible=around(0.03 * k * (i + 1) / 4),
        )
        for part in PARTS
        for i, method in enumerate(METHODS)
        for k in range(4)
    ]  # fmt: skip
    return Report(50, 20, 0.05, tuple(rows), ())


def made_up_matrix() -> PartLeak:
    random = np.random.default_rng(0)
    change = random.gamma(1, 1, (20, 5, 5)) + 20 * np.eye(5)
    change[:5, 3] = np.nan
    return PartLeak(PARTS, change)


def made_up_tuning() -> Tuning:
    trials = tuple(
        Trial(QuerySettings(rho=rho, epsilon=e), around(0.1 * e**0.5 / (1 + rho)), around(0.01 * e))
        for rho in (0.1, 0.5)
        for e in (1.0, 4.0, 16.0)
    )
    return Tuning("hair", 0.05, trials[1], trials)


def made_up_curves() -> list[Curve]:
    """Three methods on each of two parts, of 20 targets."""
    random = np.random.default_rng(0)
    amounts = {"path": (0.5, 1.0, 2.0, 3.0), "path through q": (1.0, 2.0, 4.0), "transfer": (0.5, 1.0)}
    return [
        Curve(part, method, steps, *(random.gamma(3, k, (20, 1)) * np.array(steps) for k in (30, 3)))
        for part in PARTS[:2]
        for method, steps in amounts.items()
    ]


def made_up_agreements() -> list[Agreement]:
    """Rank correlations of three parts in four layers."""
    return [
        Agreement(layer, part, Estimate(0.2 * i, 0.2 * i - 0.2, min(0.2 * i + 0.2, 1)), 9)
        for i, layer in enumerate(("b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0"))
        for part in PARTS[:3]
    ]


def made_up_doses() -> list[CausalEffect]:
    """Five numbers of units in two orders, of 12 images."""
    random = np.random.default_rng(0)
    before = random.gamma(3, 9, 12)
    return [
        CausalEffect("hair", "b8.conv1", order, 2**k, before, before / (k + 1), before * (1 + s * k), before)
        for order, s in (("IoU", 0.4), ("random", 0.0))
        for k in range(5)
    ]


def made_up_agreement_table(seed: int) -> Table:
    """How five clusters agree with four true parts."""
    counts = np.random.default_rng(seed).integers(1, 99, (5, 4))
    return agreement_table(counts.astype(float), ["hair", "hair", "skin", "eyes", "mouth"], PARTS[:4])
