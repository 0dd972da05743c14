"""Numbers of an evaluation that nobody measured, to draw."""

from __future__ import annotations

import numpy as np

from lefs import QuerySettings
from lefs.evaluation import PartLeak, Report, Row, Trial, Tuning

METHODS = tuple(f"method {i}" for i in range(13))
PARTS = ("hair", "skin", "eyes", "mouth", "a part with a long name")


def around(value: float) -> tuple[float, float, float]:
    return value, 0.9 * value, 1.1 * value


def made_up_report() -> Report:
    """Thirteen methods, five parts, four values of each knob."""
    rows = [
        Row(
            part, method, "knob", float(k), k == 2, 50, around(9.0), around(2.0),
            effect_share=around(0.2 * (k + 1) / (1 + i / 5)), leak_share=around(0.03 * k * (i + 1) / 4),
            localisation=around(0.5), efficacy=around(0.3),
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
