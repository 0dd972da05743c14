"""The numbers of a comparison with their intervals: tables, curves, and a small file that keeps them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from lefs.checks import check_integer, check_name, check_number
from lefs.evaluation.comparisons import Comparison
from lefs.evaluation.intervals import DRAWS, Estimate, bootstrap, interval, ratio
from lefs.evaluation.methods import Method
from lefs.evaluation.outcomes import Outcome, spelled
from lefs.evaluation.realism import Realism
from lefs.records import PathLike, read_json, whole, write_json
from lefs.showing import Shown
from lefs.tables import Table, Tabular

__all__ = ["Report", "Row", "reached", "report"]

_FORMAT = "lefs-comparison"
_OLD_NAMES = {"knob": "setting"}  # of fields, in files that were written before they were renamed
_LIMIT = 0.02  # of the pixels outside a part


@dataclass(frozen=True)
class Row:
    """One method at one value of its setting: each number over the pairs, with its 95 % bootstrap interval.

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
    arrival : Estimate or None
        How much of the way to the reference the part has gone, in squared ΔE: 0 no nearer, 1 there.
    visible : Estimate or None
        Share of the pixels outside the mask that change by more than 5 ΔE.
    halo : Estimate or None
        Σ squared ΔE in a ring of 3 pixels around the mask, as a share of global transfer's.
    local : Estimate or None
        Local realism: kernel distance to the unedited targets around the part; None where no features were
        given, as for the next two.
    frechet, kernel : float or None, Estimate or None
        Fréchet and kernel distance to unedited images.
    usual : bool
        Whether that is the method's usual value.
    pairs : int
        How many; 0 in a summary.
    reach : Estimate or None
        In a summary: the arrival where no more than `Report.visible` is visible outside, read off the
        method's curve.

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
    arrival: Estimate | None = None
    visible: Estimate | None = None
    halo: Estimate | None = None
    local: Estimate | None = None
    frechet: float | None = None
    kernel: Estimate | None = None
    usual: bool = True
    pairs: int = 0
    reach: Estimate | None = None


@dataclass(frozen=True, repr=False)
class Report(Shown, Tabular):
    """A comparison in numbers.

    Attributes
    ----------
    pairs, curve_pairs : int
        How many pairs there were, and on how many that show a part the unusual values were measured.
    visible : float
        The share of visible pixels outside that `Row.reach` is about.
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
    >>> found = Report(24, 6, 0.02, (row,), ())
    >>> found.parts, found.methods, len(found.curve("hair", "mine"))
    (['hair'], ['mine'], 1)
    """

    pairs: int
    curve_pairs: int
    visible: float
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
        """Each method at its usual value, with 95 % intervals; of one part, or the mean of all."""
        shown, reach = [s for s in self.summaries if s.part == part], f"arrival at {self.visible:.0%} visible"
        settings = [f"{s.setting} = {s.value:g}" for s in shown]
        columns = {"method": [s.method for s in shown], "setting": settings}
        for heading, name, *how in (*_COLUMNS, (reach, "reach", ".2f")):
            columns[heading] = [_cell(getattr(s, name), *how) for s in shown]
        kept = {heading: cells for heading, cells in columns.items() if any(cells)}
        return Table(list(kept), list(zip(*kept.values(), strict=True)))

    def reach_table(self) -> Table:
        """Arrival within the given visibility, method by method (rows) and part by part (columns)."""
        parts = self.parts
        rows = [(m, *(_cell(self.summary(m, p).reach, ".2f") for p in ("", *parts))) for m in self.methods]
        return Table(("method", "all parts", *parts), rows)

    def numbers(self) -> Table:
        """The summaries (``part`` is empty for the mean of all), then every row, with all their fields."""
        return Table.of((*self.summaries, *self.rows), Row)

    def save(self, path: PathLike) -> Path:
        """Write as JSON, atomically; numbers with five significant digits, the table a line of text a row."""
        floor = self.unedited and [self.unedited[0], _word(self.unedited[1])]
        lines = {"rows": [_line(r) for r in self.rows], "summaries": [_line(r) for r in self.summaries]}
        content = {name: getattr(self, name) for name in ("pairs", "curve_pairs", "visible", "note")}
        content |= {"unedited": floor, "row": _HEADER, "summary": _HEADER, **lines}
        return write_json(path, {"format": _FORMAT, "version": 1, **content})

    @classmethod
    def load(cls, path: PathLike) -> Report:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        meta = read_json(path, expect=_FORMAT)
        with whole(Path(path), "comparison"):
            rows = tuple(_read_line(meta["row"], r) for r in meta["rows"])
            summaries = tuple(_read_line(meta["summary"], s) for s in meta["summaries"])
            pairs, fewer = (check_integer(name, meta[name]) for name in ("pairs", "curve_pairs"))
            # (files of before arrivals were measured tell a share of leak instead)
            visible, floor = check_number("visible", meta.get("visible", _LIMIT)), None
            if meta["unedited"] is not None:
                frechet, kernel = meta["unedited"]
                floor = check_number("unedited", frechet), _read_word("Estimate", kernel)
            return cls(pairs, fewer, visible, rows, summaries, floor, str(meta["note"]))


# -- numbers -------------------------------------------------------------------------------------------------


def report(comparison: Comparison, *, visible: float = _LIMIT, note: str = "") -> Report:
    """The numbers of a comparison, with their intervals.

    Parameters
    ----------
    comparison : Comparison
        Of `compare`.
    visible : float in [0, 1]
        A share of the pixels outside the part: each method's arrival is read off its curve where so many
        change visibly.
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
    >>> print(report(found, visible=1).reach_table())
    | method | all parts | hair |
    | --- | --- | --- |
    | global | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] |
    """
    check_number("visible", visible, minimum=0, maximum=1)
    real = {(r.part, r.method): r for r in comparison.realism}
    methods = {m.name: m for m in comparison.methods}
    rows = [_row(comparison.pairs, methods[o.method], [o], real) for o in comparison.outcomes]
    parts, summaries = list(dict.fromkeys(r.part for r in rows)), []
    for group, method in product(["", *parts], comparison.methods):
        own = [o for o in comparison.outcomes if o.method == method.name and group in ("", o.part)]
        if at := [o for o in own if o.value == method.usual]:
            curves = filter(None, ([o for o in own if o.part == part] for part in parts))
            reach = _mean(reached(c, visible=visible, pairs=comparison.pairs) for c in curves)
            row = _row(comparison.pairs, method, at, real)
            summaries.append(replace(row, part=group, pairs=0, reach=reach))
    floor = real.get(("", "unedited"))
    unedited = None if floor is None else (floor.frechet, interval(floor.kernel(comparison.pairs)))
    counts = comparison.pairs, comparison.curve_pairs, visible
    return Report(*counts, tuple(rows), tuple(summaries), unedited, note)


def _row(
    total: int, method: Method, outcomes: Sequence[Outcome], real: Mapping[tuple[str, str], Realism]
) -> Row:
    """The mean over the parts of some outcomes at one value; pairs are resampled for all parts together."""
    first = outcomes[0]
    found: dict[str, Any] = {
        name: _mean(bootstrap(ratio, *o.shares[name], index=o.index, total=total) for o in outcomes)
        for name in first.shares
    }
    usual = first.value == method.usual
    if own := [real[o.part, o.method] for o in outcomes if usual and (o.part, o.method) in real]:
        found["frechet"] = float(np.mean([r.frechet for r in own]))
        found |= {"kernel": _mean(r.kernel(total) for r in own), "local": _mean(r.local(total) for r in own)}
    pairs = sum(len(o.index) for o in outcomes)
    return Row(first.part, method.name, method.setting, first.value, usual=usual, pairs=pairs, **found)


def _mean(columns: Iterable[np.ndarray]) -> Estimate:
    return interval(np.mean(list(columns), axis=0))


def reached(outcomes: Sequence[Outcome], *, visible: float, pairs: int) -> np.ndarray:
    """The largest arrival on a method's curve where at most so much changes visibly outside the part.

    The curve joins no edit at all (0, 0) and the measured points in the order given by straight lines.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of one part and method, from the weakest edit to the strongest.
    visible : float
        A share of the pixels outside the part.
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
    >>> from lefs.evaluation.reports import reached
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> methods = [global_transfer()]
    >>> outcomes = compare(
    ...     generator, catalog, seed_pairs(2), parts=["hair"], methods=methods, progress=False
    ... ).outcomes
    >>> float(reached(outcomes, visible=1, pairs=2)[0])
    1.0
    """
    points = [np.zeros((2, 1 + DRAWS))]
    for o in outcomes:
        sides = o.shares["visible"], o.shares["arrival"]
        points.append(np.stack([bootstrap(ratio, *s, index=o.index, total=pairs) for s in sides]))
    seen, arrived = np.moveaxis(np.nan_to_num(np.array(points)), 1, 0)  # (V, 1 + 2000) each
    best = np.where(seen <= visible, arrived, 0).max(axis=0)
    (x0, x1), (y0, y1) = (seen[:-1], seen[1:]), (arrived[:-1], arrived[1:])
    crossing = (x0 <= visible) != (x1 <= visible)
    at = np.divide(visible - x0, x1 - x0, out=np.zeros_like(x0), where=crossing)
    return np.maximum(best, np.where(crossing, y0 + at * (y1 - y0), 0).max(axis=0))


# -- as text -------------------------------------------------------------------------------------------------

_COLUMNS = (  # heading, field of a row, form, factor
    ("arrival", "arrival", ".2f", 1),
    ("visible outside", "visible", ".1%", 1),
    ("halo", "halo", ".0%", 1),
    ("local × 1000", "local", ".1f", 1000),
    ("effect", "effect_share", ".0%", 1),
    ("leak", "leak_share", ".1%", 1),
    ("Fréchet", "frechet", ".3f", 1),
    ("kernel × 1000", "kernel", ".2f", 1000),
)


def _cell(number: Estimate | float | None, form: str, times: float = 1) -> str:
    if isinstance(number, tuple):
        return spelled(Estimate(*(times * v for v in number)), form)
    return "" if number is None else f"{number:{form}}"


# -- as a file -----------------------------------------------------------------------------------------------

_HEADER = " | ".join(f.name for f in fields(Row))


def _line(row: Row) -> str:
    """A row as one line of text, which keeps the file small: five digits, nothing for None."""
    return " | ".join(_word(getattr(row, f.name)) for f in fields(Row))


def _word(value: Any) -> str:
    """A field as text."""
    if isinstance(value, tuple | float):
        return " ".join(f"{v:.5g}" for v in np.atleast_1d(value))
    text = "" if value is None else str(value)
    # (as in a CSV: a name may hold what divides the words)
    return '"' + text.replace('"', '""') + '"' if set(text) & set('|"\r\n') else text


def _read_line(header: str, text: str) -> Row:
    """The row that `_line` wrote under a header; fields that there are no more are left out."""
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
    if "Estimate" in kind:
        return Estimate(*map(float, text.split()))
    kinds: Any = {"str": str, "int": int, "bool": "True".__eq__}
    return kinds.get(kind, float)(text)
