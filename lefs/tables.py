"""Small tables of results: HTML in a notebook, Markdown as text, numbers for pandas and for files of CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lefs.checks import needs
from lefs.saving import PathLike, write_text

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Table", "Tabular"]

Cell = str | float | None

_ENDINGS = ("", " low", " high")  # of the columns of an interval
_NUMBER = r"([−+-]?\d[\d,]*\.?\d*(?:e[+-]?\d+)?)\s?(%?)"
_INTERVAL = re.compile(rf"{_NUMBER}(?: \[{_NUMBER}, {_NUMBER}\])?")


class Tabular:
    """What can be had as numbers: `to_pandas` and `to_csv` of what `numbers` gives."""

    def numbers(self) -> Table:
        """One table of plain numbers and words; an interval is three columns."""
        raise NotImplementedError

    def to_pandas(self) -> DataFrame:
        """The numbers as a data frame (``pip install 'lefs[notebooks]'`` brings pandas)."""
        with needs("notebooks", "to_pandas"):
            import pandas
        table = self.numbers()
        return pandas.DataFrame([list(row) for row in table.rows], columns=list(table.columns))

    def to_csv(self, path: PathLike) -> Path:
        """Write the numbers as CSV, in UTF-8, with a line of names; returns the path."""
        table, text = self.numbers(), io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([table.columns, *table.rows])
        return write_text(path, text.getvalue())


@dataclass(frozen=True)
class Table(Tabular):
    """Named columns and rows of text or numbers; numbers are shown with three significant digits.

    Attributes
    ----------
    columns : sequence of str
        Their names.
    rows : sequence of sequence of str, float or None
        One for each row, as long as `columns`; None: nothing there.

    Examples
    --------
    >>> from lefs.tables import Table
    >>> table = Table(("part", "leak"), [("hair", "4.2% [3.7%, 4.7%]"), ("hat", 0.5)])
    >>> print(table)
    | part | leak |
    | --- | --- |
    | hair | 4.2% [3.7%, 4.7%] |
    | hat | 0.5 |
    >>> table.numbers().columns, table.to_pandas().loc[0, "leak high"].item()
    (('part', 'leak', 'leak low', 'leak high'), 0.047)
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @classmethod
    def of(cls, records: Iterable[Any], kind: type | None = None) -> Table:
        """Measurements as numbers: dataclasses with all their fields, and those of others within them.

        An interval is three columns; one-dimensional arrays go down the rows, beside what holds for all.

        Parameters
        ----------
        records : iterable of dataclass
            Such as `lefs.units.agreement`, `lefs.units.dose_curve` or `lefs.evaluation.locality` return.
        kind : type, optional
            Whose fields the columns are named after where there are no records.

        Returns
        -------
        Table

        Examples
        --------
        >>> from lefs.evaluation import Estimate
        >>> from lefs.tables import Table
        >>> from lefs.units import Agreement
        >>> print(Table.of([Agreement("b4.conv1", "hair", Estimate(0.5, 0.3, 0.7), 128)]))
        | layer | part | rho | rho low | rho high | channels |
        | --- | --- | --- | --- | --- | --- |
        | b4.conv1 | hair | 0.5 | 0.3 | 0.7 | 128 |
        """
        columns: dict[str, list[Cell]] = {}
        for cells in map(_cells, records):
            count = next((len(cell) for cell in cells.values() if isinstance(cell, np.ndarray)), 1)
            for name, cell in cells.items():
                values = cell.tolist() if isinstance(cell, np.ndarray) else [cell] * count
                columns.setdefault(name, []).extend(values)
        named = [name for field in (fields(kind) if kind else ()) for name in _names(field)]
        return cls(tuple(columns or named), list(zip(*columns.values(), strict=True)))

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"rows must each hold {len(self.columns)} cells, for {list(self.columns)}")

    def numbers(self) -> Table:
        """The same with numbers read: ``"4.2%"`` is 0.042, and ``"value [low, high]"`` is three columns."""
        columns: dict[str, Sequence[Cell]] = {}
        for name, cells in zip(self.columns, zip(*self.rows, strict=True), strict=False):
            read = zip_longest(*map(_values, cells))  # (where another cell is an interval, None)
            columns |= {name + ending: values for ending, values in zip(_ENDINGS, read, strict=False)}
        return Table(tuple(columns or self.columns), list(zip(*columns.values(), strict=True)))

    def __str__(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *([_text(c) for c in row] for row in self.rows)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(c)}</th>" for c in self.columns)
        rows = ("".join(f"<td>{escape(_text(c))}</td>" for c in row) for row in self.rows)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _names(field: Field[Any]) -> list[str]:
    """The columns of a field: three of an interval."""
    return [field.name + ending for ending in (_ENDINGS if "Estimate" in str(field.type) else ("",))]


def _cells(record: Any) -> dict[str, Any]:
    """What a dataclass holds, by column."""
    found: dict[str, Any] = {}
    for field in fields(record):
        value, names = getattr(record, field.name), _names(field)
        if is_dataclass(value):
            found |= _cells(value)
        else:
            found |= zip(names, [value] if len(names) == 1 else value or [None] * 3, strict=True)
    return found


def _text(cell: Cell) -> str:
    if cell is None or isinstance(cell, str):
        return cell or ""
    return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"


def _values(cell: Cell) -> list[Cell]:
    """A cell's number, with the ends of its interval if it has one; words as they are, nothing as None."""
    found = _INTERVAL.fullmatch(cell.strip()) if isinstance(cell, str) else None
    if found is None:
        return [None if cell == "" else cell]
    texts = [text and text.replace("−", "-").replace(",", "") for text in found.groups()]
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return [round(float(n) / 100, 12) if percent else float(n) for n, percent in pairs if n]
