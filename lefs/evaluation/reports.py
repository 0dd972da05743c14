"""The numbers of a comparison with their intervals: tables, curves, and a small file that keeps them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from lefs.checks import check_name, check_number
from lefs.evaluation.comparisons import Comparison
from lefs.evaluation.intervals import DRAWS, Estimate, bootstrap, estimate, interval, ratio
from lefs.evaluation.methods import Method
from lefs.evaluation.outcomes import Outcome, spelled
from lefs.evaluation.realism import Realism
from lefs.records import read_json, whole, write_json
from lefs.tables import Table

__all__ = ["Report", "Row", "effect_within", "report"]

_FORMAT = "lefs-comparison"
_OLD_NAMES = {"knob": "setting"}  # of fields, in files that were written before they were renamed


@dataclass(frozen=True)
class Row:
    """One method at one value of its setting: means over the pairs, each with its 95 % bootstrap interval.

    Attributes
    ----------
    part : str
        What was edited, or "" for the mean over all parts.
    method, setting : str
        How, and what is turned to make the edit stronger.
    value : float
        Of the setting.
    effect_share, leak_share : Estimate
        Mean squared ΔE inside and outside the mask, as a share of what global transfer changes there.
    localisation : Estimate
        Σ squared ΔE inside / Σ squared ΔE.
    efficacy : Estimate
        How much nearer the edit is to the reference than the target was, inside the mask, in squared ΔE of
        aligned pixels: 1 − Σ d(edit, reference) / Σ d(target, reference); 0: no nearer, 1: there.
    feature_efficacy : Estimate or None
        The same in the features of the extractor.
    frechet, kernel : float or None, Estimate or None
        Fréchet and kernel distance to unedited images; None where they were not measured.
    usual : bool
        Whether that is the method's usual value.
    pairs : int
        How many; 0 in a summary.
    effect, leak : Estimate or None
        Mean squared ΔE inside and outside the mask; None in a summary.
    within : Estimate or None
        In a summary: the effect's share that the method reaches where the leak's share is at most
        `Report.leak`, read off its curve.

    Examples
    --------
    >>> from lefs.evaluation import Estimate, Row
    >>> half = Estimate(0.5, 0.4, 0.6)
    >>> Row("hair", "mine", "λ", 1.0, half, half, half, half).effect_share.low
    0.4
    """

    part: str
    method: str
    setting: str
    value: float
    effect_share: Estimate
    leak_share: Estimate
    localisation: Estimate
    efficacy: Estimate
    feature_efficacy: Estimate | None = None
    frechet: float | None = None
    kernel: Estimate | None = None
    usual: bool = True
    pairs: int = 0
    effect: Estimate | None = None
    leak: Estimate | None = None
    within: Estimate | None = None


@dataclass(frozen=True)
class Report:
    """A comparison in numbers.

    Attributes
    ----------
    pairs, curve_pairs : int
        How many pairs the usual values and the other ones were measured on.
    leak : float
        The share of leak that `Row.within` is about.
    rows : tuple of Row
        Every part, method and value of its setting.
    summaries : tuple of Row
        Every method, of each part and (first) of all.
    unedited : (float, Estimate) or None
        Fréchet and kernel distance between two samples of unedited images, what a perfect method would score;
        None where realism was not measured.
    note : str
        What the numbers are about, in words.

    Examples
    --------
    >>> from lefs.evaluation import Estimate, Report, Row
    >>> half = Estimate(0.5, 0.4, 0.6)
    >>> row = Row("hair", "mine", "λ", 1.0, half, half, half, half)
    >>> found = Report(24, 6, 0.05, (row,), ())
    >>> found.parts, found.methods, len(found.curve("hair", "mine"))
    (['hair'], ['mine'], 1)
    """

    pairs: int
    curve_pairs: int
    leak: float
    rows: tuple[Row, ...]
    summaries: tuple[Row, ...]
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

    def summary(self, method: str, part: str = "") -> Row:
        """One method's; of all parts by default."""
        found = {s.method: s for s in self.summaries if s.part == part}
        return found[check_name("method", method, list(found), what=f"method measured on {part or 'all'!r}")]

    def table(self, part: str = "") -> Table:
        """Each method at its usual value, means with 95 % intervals; of one part, or the mean of all."""
        rows = [_cells(s) for s in self.summaries if s.part == part]
        columns = ("method", "setting", "effect", "leak", "localisation", "efficacy", "in features")
        last = ("Fréchet", "kernel × 1000", f"effect at {self.leak:.0%} leak")
        return _without_empty(Table((*columns, *last), rows))

    def within_table(self) -> Table:
        """Effect within the given leak, method by method (rows) and part by part (columns)."""
        parts = self.parts
        rows = [(m, *(_cell(self.summary(m, p).within, ".0%") for p in ("", *parts))) for m in self.methods]
        return Table(("method", "all parts", *parts), rows)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON, atomically; numbers with five significant digits, the table a line of text a row."""
        floor = self.unedited and [self.unedited[0], _word(self.unedited[1])]
        lines = {"rows": [_line(r) for r in self.rows], "summaries": [_line(r) for r in self.summaries]}
        content = {name: getattr(self, name) for name in ("pairs", "curve_pairs", "leak", "note")}
        content |= {"unedited": floor, "row": _HEADER, "summary": _HEADER, **lines}
        return write_json(path, {"format": _FORMAT, "version": 1, **content})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        meta = read_json(path, expect=_FORMAT)
        with whole(Path(path), "comparison"):
            rows = tuple(_read_line(meta["row"], r) for r in meta["rows"])
            summaries = tuple(_read_line(meta["summary"], s) for s in meta["summaries"])
            floor = meta["unedited"] and (meta["unedited"][0], _read_word("Estimate", meta["unedited"][1]))
            counts = meta["pairs"], meta["curve_pairs"], meta["leak"]
            return cls(*counts, rows, summaries, floor, meta["note"])


# -- numbers -------------------------------------------------------------------------------------------------


def report(comparison: Comparison, *, leak: float = 0.05, note: str = "") -> Report:
    """Means, shares and intervals of a comparison.

    Parameters
    ----------
    comparison : Comparison
        Of `compare`.
    leak : float, at least 0
        A share of what global transfer changes outside the part on the same pairs: each method's effect is
        read off its curve where its leak reaches that.
    note : str
        Kept with the numbers.

    Returns
    -------
    Report

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import compare, global_transfer, report, seed_pairs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> methods = [global_transfer()]
    >>> found = compare(
    ...     generator, catalog, seed_pairs(2), parts=["hair"], methods=methods, progress=False
    ... )
    >>> print(report(found).within_table())
    | method | all parts | hair |
    | --- | --- | --- |
    | global | 5% [5%, 5%] | 5% [5%, 5%] |
    """
    check_number("leak", leak, minimum=0)
    methods = {m.name: m for m in comparison.methods}
    real = {(r.part, r.method): r for r in comparison.realism}
    rows = [_row(o, methods[o.method], real.get((o.part, o.method))) for o in comparison.outcomes]
    parts = list(dict.fromkeys(o.part for o in comparison.outcomes))
    summaries = [
        _summary(comparison, method, own, group, leak)
        for group in ["", *parts]
        for name, method in methods.items()
        if (own := [o for o in comparison.outcomes if o.method == name and group in ("", o.part)])
        and any(o.value == method.usual for o in own)
    ]
    floor = real.get(("", "unedited"))
    unedited = None if floor is None else (floor.frechet, floor.kernel_distance)
    counts = comparison.pairs, comparison.curve_pairs, leak
    return Report(*counts, tuple(rows), tuple(summaries), unedited, note)


def _shares(o: Outcome) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What each number of a table is the mean of, over what."""
    return {
        "effect_share": (o.effect, o.most_effect),
        "leak_share": (o.leak, o.most_leak),
        "localisation": (o.localisation, np.ones_like(o.localisation)),
        "efficacy": (o.most_effect - o.remaining, o.most_effect),
        "feature_efficacy": (o.farthest - o.farther, o.farthest),
    }


def _row(o: Outcome, method: Method, real: Realism | None) -> Row:
    found: dict[str, Any] = {name: estimate(*columns) for name, columns in _shares(o).items()}
    found |= {"usual": o.value == method.usual, "pairs": len(o.effect)}
    found |= {"effect": estimate(o.effect), "leak": estimate(o.leak)}
    if real is not None and found["usual"]:
        found |= {"frechet": real.frechet, "kernel": real.kernel_distance}
    return Row(o.part, o.method, method.setting, o.value, **_known(found))


def _known(found: dict[str, Any]) -> dict[str, Any]:
    """Without an efficacy in features where there were none."""
    missing = math.isnan(found["feature_efficacy"].value)
    return {name: v for name, v in found.items() if not (missing and name == "feature_efficacy")}


def _summary(
    comparison: Comparison, method: Method, outcomes: Sequence[Outcome], part: str, leak: float
) -> Row:
    """Means over the parts; the pairs are resampled for all parts together."""
    usual = [o for o in outcomes if o.value == method.usual]
    pairs, drawn = comparison.pairs, [_resampled(o, comparison.pairs) for o in usual]
    found: dict[str, Any] = {name: _mean(d[name] for d in drawn) for name in drawn[0]}
    curves = [[o for o in outcomes if o.part == p] for p in dict.fromkeys(o.part for o in outcomes)]
    found["within"] = _mean(effect_within(c, leak=leak, pairs=pairs) for c in curves)
    real = [r for r in comparison.realism if r.method == method.name and part in ("", r.part)]
    if real:
        found["frechet"] = float(np.mean([r.frechet for r in real]))
        found["kernel"] = estimate(np.concatenate([r.kernel for r in real]))
    return Row(part, method.name, method.setting, method.usual, **_known(found))


def _resampled(o: Outcome, pairs: int) -> dict[str, np.ndarray]:
    """The numbers of a table, of the sample and of its bootstrap samples: (1 + 2000,) each."""
    found = {}
    for name, (above, below) in _shares(o).items():
        kept = np.isfinite(above + below)
        found[name] = bootstrap(ratio, above[kept], below[kept], index=o.index[kept], total=pairs)
    return found


def _mean(columns: Iterable[np.ndarray]) -> Estimate:
    return interval(np.mean(list(columns), axis=0))


def effect_within(outcomes: Sequence[Outcome], *, leak: float, pairs: int) -> np.ndarray:
    """The largest share of effect on a method's curve where the share of leak is at most `leak`.

    The curve joins no edit at all (0, 0) and the measured points in the order given by straight lines.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of one part and method, from the weakest edit to the strongest.
    leak : float
        A share of what global transfer changes outside the part.
    pairs : int
        How many pairs there are, of which each outcome measured some.

    Returns
    -------
    ndarray of shape (1 + 2000,)
        Of the sample, then of its bootstrap samples, in which all points share their pairs.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import compare, global_transfer, seed_pairs
    >>> from lefs.evaluation.reports import effect_within
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> methods = [global_transfer()]
    >>> outcomes = compare(
    ...     generator, catalog, seed_pairs(2), parts=["hair"], methods=methods, progress=False
    ... ).outcomes
    >>> float(effect_within(outcomes, leak=0.25, pairs=2)[0])
    0.25
    """
    points = [np.zeros((2, 1 + DRAWS))]
    for o in outcomes:
        sides = (o.leak, o.most_leak), (o.effect, o.most_effect)
        points.append(np.stack([bootstrap(ratio, *s, index=o.index, total=pairs) for s in sides]))
    leaks, effects = np.moveaxis(np.nan_to_num(np.array(points)), 1, 0)  # (V, 1 + 2000) each
    best = np.where(leaks <= leak, effects, 0).max(axis=0)
    (l0, l1), (e0, e1) = (leaks[:-1], leaks[1:]), (effects[:-1], effects[1:])
    crossing = (l0 <= leak) != (l1 <= leak)
    at = np.divide(leak - l0, l1 - l0, out=np.zeros_like(l0), where=crossing)
    return np.maximum(best, np.where(crossing, e0 + at * (e1 - e0), 0).max(axis=0))


# -- as text -------------------------------------------------------------------------------------------------


def _cell(number: Estimate | None, form: str) -> str:
    return "" if number is None else spelled(number, form)


def _cells(s: Row) -> tuple[str, ...]:
    kernel = s.kernel and Estimate(*(1000 * v for v in s.kernel))
    return (
        s.method,
        f"{s.setting} = {s.value:g}",
        spelled(s.effect_share, ".0%"),
        spelled(s.leak_share, ".1%"),
        *(_cell(v, ".2f") for v in (s.localisation, s.efficacy, s.feature_efficacy)),
        "" if s.frechet is None else f"{s.frechet:.3f}",
        _cell(kernel, ".2f"),
        _cell(s.within, ".0%"),
    )


def _without_empty(table: Table) -> Table:
    """Leave out columns that no row fills."""
    kept = [i for i in range(len(table.columns)) if any(row[i] for row in table.rows)]
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table([table.columns[i] for i in kept], rows)


# -- as a file -----------------------------------------------------------------------------------------------

_HEADER = " | ".join(f.name for f in fields(Row))


def _line(row: Row) -> str:
    """A row as one line of text, which keeps the file small: five digits, nothing for None."""
    return " | ".join(_word(getattr(row, f.name)) for f in fields(Row))


def _word(value: Any) -> str:
    """A field as text."""
    if isinstance(value, tuple):
        return " ".join(f"{v:.5g}" for v in value)
    if isinstance(value, float):
        return f"{value:.5g}"
    text = "" if value is None else str(value)
    # (as in a CSV: a name may hold what divides the words)
    return '"' + text.replace('"', '""') + '"' if set(text) & set('|"\r\n') else text


def _read_line(header: str, text: str) -> Row:
    """The row that `line` wrote under a header; fields that there are no more are left out."""
    (words,) = csv.reader([text], delimiter="|", skipinitialspace=True)
    kinds, found = {f.name: str(f.type) for f in fields(Row)}, {}
    for name, entry in zip(header.split(" | "), words, strict=True):
        name = _OLD_NAMES.get(name, name)
        if name in kinds:
            found[name] = _read_word(kinds[name], entry.strip())
    return Row(**found)


def _read_word(kind: str, text: str) -> Any:
    """A field from its text, by the annotation of its type."""
    if "None" in kind and not text:
        return None
    if kind == "bool":
        return text == "True"
    if "Estimate" in kind:
        return Estimate(*map(float, text.split()))
    return {"str": str, "int": int}.get(kind, float)(text)
