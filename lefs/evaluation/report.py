"""The numbers of a comparison with their intervals: tables, curves, and a small file that keeps them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from lefs.checks import check_number
from lefs.evaluation.comparison import Comparison, Outcome
from lefs.evaluation.contestants import Contestant
from lefs.evaluation.intervals import DRAWS, Estimate, bootstrap, estimate, interval, ratio
from lefs.evaluation.realism import Realism
from lefs.records import ArtifactError, read_json, write_json
from lefs.tables import Table

__all__ = ["Report", "Row", "Summary", "effect_within", "report"]

_FORMAT = "lefs-comparison"


@dataclass(frozen=True)
class Row:
    """A line of the table: means over the pairs, each with its 95 % bootstrap interval.

    Attributes
    ----------
    part, method, knob, value : what was edited, how, and how far the knob was turned
    usual : whether that is the method's usual value
    pairs : how many
    effect, leak : mean squared ΔE inside and outside the mask
    effect_share, leak_share : the same as a share of what global transfer changes there
    localisation : Σ squared ΔE inside / Σ squared ΔE
    efficacy : how much nearer the edit is to the reference than the target was, inside the mask, in squared
        ΔE of aligned pixels: 1 − Σ d(edit, reference) / Σ d(target, reference); 0: no nearer, 1: there
    feature_efficacy : the same in the features of the extractor
    frechet : Fréchet distance to unedited images; None where it was not measured
    kernel : kernel distance to unedited images
    """

    part: str
    method: str
    knob: str
    value: float
    usual: bool
    pairs: int
    effect: Estimate
    leak: Estimate
    effect_share: Estimate
    leak_share: Estimate
    localisation: Estimate
    efficacy: Estimate
    feature_efficacy: Estimate | None = None
    frechet: float | None = None
    kernel: Estimate | None = None


@dataclass(frozen=True)
class Summary:
    """One method at its usual value, and the best its knob can do within a given leak: means over parts.

    Attributes
    ----------
    part : the part, or "" for the mean over all
    method, knob, value : the method, and the usual value of its knob
    effect_share, leak_share, localisation, efficacy, feature_efficacy, frechet, kernel : as in `Row`
    within : the effect's share that the method reaches where the leak's share is at most `Report.leak`, read
        off the curve of its knob
    """

    part: str
    method: str
    knob: str
    value: float
    effect_share: Estimate
    leak_share: Estimate
    localisation: Estimate
    efficacy: Estimate
    within: Estimate
    feature_efficacy: Estimate | None = None
    frechet: float | None = None
    kernel: Estimate | None = None


@dataclass(frozen=True)
class Report:
    """A comparison in numbers.

    Attributes
    ----------
    pairs, curve_pairs : how many pairs the usual values and the other ones were measured on
    leak : the share of leak that `Summary.within` is about
    rows : every part, method and value of its knob
    summaries : every method, of each part and (first) of all
    unedited : Fréchet and kernel distance between two samples of unedited images, what a perfect method would
        score; None where realism was not measured
    note : what the numbers are about, in words
    """

    pairs: int
    curve_pairs: int
    leak: float
    rows: tuple[Row, ...]
    summaries: tuple[Summary, ...]
    unedited: tuple[float, Estimate] | None = None
    note: str = ""

    @property
    def parts(self) -> list[str]:
        """In the order of the table."""
        return list(dict.fromkeys(r.part for r in self.rows))

    @property
    def methods(self) -> list[str]:
        """In the order of the table."""
        return list(dict.fromkeys(r.method for r in self.rows))

    def curve(self, part: str, method: str) -> list[Row]:
        """The rows of one method, from the weakest edit to the strongest."""
        return [r for r in self.rows if (r.part, r.method) == (part, method)]

    def summary(self, method: str, part: str = "") -> Summary:
        """One method's; of all parts by default."""
        return next(s for s in self.summaries if (s.part, s.method) == (part, method))

    def table(self, part: str = "") -> Table:
        """Each method at its usual value, means with 95 % intervals; of one part, or the mean of all."""
        rows = [_cells(s) for s in self.summaries if s.part == part]
        columns = ("method", "knob", "effect", "leak", "localisation", "efficacy", "in features")
        last = ("Fréchet", "kernel × 1000", f"effect at {self.leak:.0%} leak")
        return _without_empty(Table((*columns, *last), rows))

    def within_table(self) -> Table:
        """Effect within the given leak, method by method (rows) and part by part (columns)."""
        parts = self.parts
        rows = [(m, *(_percent(self.summary(m, p).within) for p in ("", *parts))) for m in self.methods]
        return Table(("method", "all parts", *parts), rows)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON, atomically; numbers with five significant digits, the table a line of text a row."""
        floor = self.unedited and [self.unedited[0], _word(self.unedited[1])]
        content = {
            "pairs": self.pairs,
            "curve_pairs": self.curve_pairs,
            "leak": self.leak,
            "note": self.note,
            "unedited": floor,
            "row": " | ".join(f.name for f in fields(Row)),
            "rows": [_line(r) for r in self.rows],
            "summary": " | ".join(f.name for f in fields(Summary)),
            "summaries": [_line(s) for s in self.summaries],
        }
        return write_json(path, {"format": _FORMAT, "version": 1, **content})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        meta = read_json(path, expect=_FORMAT)
        try:
            rows = tuple(_read_line(Row, r) for r in meta["rows"])
            summaries = tuple(_read_line(Summary, s) for s in meta["summaries"])
            floor = meta["unedited"] and (meta["unedited"][0], _value("Estimate", meta["unedited"][1]))
            counts = meta["pairs"], meta["curve_pairs"], meta["leak"]
            return cls(*counts, rows, summaries, floor, meta["note"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{path} is not a whole comparison: {error!r}") from error


def report(comparison: Comparison, *, leak: float = 0.05, note: str = "") -> Report:
    """Means, shares and intervals of a comparison.

    Parameters
    ----------
    leak : a share of what global transfer changes outside the part on the same pairs: each method's effect
        is read off its curve where its leak reaches that
    note : kept with the numbers
    """
    check_number("leak", leak, minimum=0)
    methods = {c.name: c for c in comparison.contestants}
    real = {(r.part, r.method): r for r in comparison.realism}
    rows = [_row(o, methods[o.method], real.get((o.part, o.method))) for o in comparison.outcomes]
    parts = list(dict.fromkeys(o.part for o in comparison.outcomes))
    summaries = [
        s
        for group in [parts, *([p] for p in parts)]
        for c in comparison.contestants
        if (s := _summary(comparison, c, group, leak, whole=group is parts)) is not None
    ]
    floor = real.get(("", "unedited"))
    return Report(
        comparison.pairs,
        comparison.curve_pairs,
        leak,
        tuple(rows),
        tuple(summaries),
        None if floor is None else (floor.frechet, floor.kernel_distance),
        note,
    )


def _row(o: Outcome, method: Contestant, real: Realism | None) -> Row:
    usual = o.value == method.usual
    row = Row(
        part=o.part,
        method=o.method,
        knob=method.knob,
        value=o.value,
        usual=usual,
        pairs=len(o.effect),
        effect=estimate(o.effect),
        leak=estimate(o.leak),
        effect_share=estimate(o.effect, o.most_effect),
        leak_share=estimate(o.leak, o.most_leak),
        localisation=estimate(o.localisation),
        efficacy=estimate(o.most_effect - o.remaining, o.most_effect),
    )
    if np.isfinite(o.farthest).any():
        row = replace(row, feature_efficacy=estimate(o.farthest - o.farther, o.farthest))
    if usual and real is not None:
        row = replace(row, frechet=real.frechet, kernel=real.kernel_distance)
    return row


def effect_within(outcomes: Sequence[Outcome], *, leak: float, pairs: int) -> np.ndarray:
    """The largest share of effect on the curve of a method's knob where the share of leak is at most `leak`.

    The curve joins no edit at all (0, 0) and the measured points in the order given by straight lines.

    Parameters
    ----------
    outcomes : of one part and method, from the weakest edit to the strongest
    pairs : how many pairs there are, of which each outcome measured some

    Returns
    -------
    ndarray of shape (1 + 2000,): of the sample, then of its bootstrap samples, in which all points share
    their pairs
    """
    points = [[np.zeros(1 + DRAWS), np.zeros(1 + DRAWS)]]
    for o in outcomes:
        points.append([_with_resamples(o, "leak", pairs), _with_resamples(o, "effect", pairs)])
    leaks, effects = np.moveaxis(np.nan_to_num(np.array(points)), 1, 0)  # (V, 1 + 2000) each
    best = np.where(leaks <= leak, effects, 0).max(axis=0)
    (l0, l1), (e0, e1) = (leaks[:-1], leaks[1:]), (effects[:-1], effects[1:])
    crossing = (l0 <= leak) != (l1 <= leak)
    at = np.divide(leak - l0, l1 - l0, out=np.zeros_like(l0), where=crossing)
    return np.maximum(best, np.where(crossing, e0 + at * (e1 - e0), 0).max(axis=0))


def _with_resamples(o: Outcome, quantity: str, pairs: int) -> np.ndarray:
    """A share of the sample and of its bootstrap samples: (1 + 2000,)."""
    above, below = getattr(o, quantity), getattr(o, f"most_{quantity}")
    return bootstrap(ratio, above, below, index=o.index, total=pairs)


_QUANTITIES = {
    "effect_share": ("effect", "most_effect"),
    "leak_share": ("leak", "most_leak"),
    "localisation": ("localisation", None),
    "efficacy": ("nearer", "most_effect"),
    "feature_efficacy": ("feature_nearer", "farthest"),
}


def _summary(
    comparison: Comparison, method: Contestant, parts: Sequence[str], leak: float, *, whole: bool
) -> Summary | None:
    """Means over the parts; the pairs are resampled for all parts together."""
    own = [o for o in comparison.outcomes if o.method == method.name and o.part in parts]
    usual = [o for o in own if o.value == method.usual]
    if not usual:
        return None
    found: dict[str, Any] = {
        name: _mean_of([_resampled(o, *q, comparison.pairs) for o in usual])
        for name, q in _QUANTITIES.items()
    }
    curves = [[o for o in own if o.part == part] for part in dict.fromkeys(o.part for o in own)]
    found["within"] = _mean_of([effect_within(c, leak=leak, pairs=comparison.pairs) for c in curves])
    real = [r for r in comparison.realism if r.method == method.name and r.part in parts]
    if real:
        found["frechet"] = float(np.mean([r.frechet for r in real]))
        found["kernel"] = estimate(np.concatenate([r.kernel for r in real]))
    if not np.isfinite(found["feature_efficacy"][0]):
        found["feature_efficacy"] = None
    name = "" if whole else parts[0]
    return Summary(name, method.name, method.knob, method.usual, **found)


def _resampled(o: Outcome, above: str, below: str | None, pairs: int) -> np.ndarray:
    """A mean, or a ratio, of the sample and of its bootstrap samples: (1 + 2000,)."""
    made = {"nearer": o.most_effect - o.remaining, "feature_nearer": o.farthest - o.farther}
    numerator = made[above] if above in made else getattr(o, above)
    denominator = np.ones_like(numerator) if below is None else getattr(o, below)
    kept = np.isfinite(numerator + denominator)
    return bootstrap(ratio, numerator[kept], denominator[kept], index=o.index[kept], total=pairs)


def _mean_of(columns: Iterable[np.ndarray]) -> Estimate:
    return interval(np.mean(list(columns), axis=0))


# -- as text -------------------------------------------------------------------------------------------------


def _percent(value: Estimate) -> str:
    return f"{value[0]:.0%} [{value[1]:.0%}, {value[2]:.0%}]"


def _number(value: Estimate | None, scale: float = 1) -> str:
    if value is None:
        return ""
    middle, low, high = (scale * v for v in value)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def _cells(s: Summary) -> tuple[str, ...]:
    return (
        s.method,
        f"{s.knob} = {s.value:g}",
        _percent(s.effect_share),
        f"{s.leak_share[0]:.1%} [{s.leak_share[1]:.1%}, {s.leak_share[2]:.1%}]",
        _number(s.localisation),
        _number(s.efficacy),
        _number(s.feature_efficacy),
        "" if s.frechet is None else f"{s.frechet:.3f}",
        _number(s.kernel, 1000),
        _percent(s.within),
    )


def _without_empty(table: Table) -> Table:
    """Leave out columns that no row fills."""
    kept = [i for i in range(len(table.columns)) if any(row[i] for row in table.rows)]
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table([table.columns[i] for i in kept], rows)


# -- as a file -----------------------------------------------------------------------------------------------


def _line(entry: Row | Summary) -> str:
    """All fields in one line of text, which keeps the file small: five digits, nothing for None."""
    return " | ".join(_word(getattr(entry, f.name)) for f in fields(entry))


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{v:.5g}" for v in value)
    if isinstance(value, float):
        return f"{value:.5g}"
    return "" if value is None else str(value)


def _read_line(kind: type[Any], text: str) -> Any:
    """The `Row` or `Summary` that `_line` wrote."""
    words, names = text.split(" | "), fields(kind)
    if len(words) == len(names) + 1:  # (until 2026 a discriminator's score came last)
        words.pop()
    if len(words) != len(names):
        raise ValueError(f"a line of a {kind.__name__} must hold {len(names)} values, got {text!r}")
    return kind(*(_value(str(f.type), word) for f, word in zip(names, words, strict=True)))


def _value(kind: str, word: str) -> Any:
    """A field from its text, by the annotation of its type."""
    if "None" in kind and not word:
        return None
    if kind == "bool":
        return word == "True"
    if "Estimate" in kind:
        return Estimate(*map(float, word.split()))
    return {"str": str, "int": int}.get(kind, float)(word)
