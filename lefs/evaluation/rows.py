"""The lines of a report: what they hold, and how a file keeps them."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from typing import Any

from lefs.evaluation.intervals import Estimate

__all__ = ["HEADER", "Row", "line", "read_line", "read_word", "word"]

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


HEADER = " | ".join(f.name for f in fields(Row))


def line(row: Row) -> str:
    """A row as one line of text, which keeps the file small: five digits, nothing for None."""
    return " | ".join(word(getattr(row, f.name)) for f in fields(Row))


def word(value: Any) -> str:
    """A field as text."""
    if isinstance(value, tuple):
        return " ".join(f"{v:.5g}" for v in value)
    if isinstance(value, float):
        return f"{value:.5g}"
    text = "" if value is None else str(value)
    # (as in a CSV: a name may hold what divides the words)
    return '"' + text.replace('"', '""') + '"' if set(text) & set('|"\r\n') else text


def read_line(header: str, text: str) -> Row:
    """The row that `line` wrote under a header; fields that there are no more are left out."""
    (words,) = csv.reader([text], delimiter="|", skipinitialspace=True)
    kinds, found = {f.name: str(f.type) for f in fields(Row)}, {}
    for name, entry in zip(header.split(" | "), words, strict=True):
        name = _OLD_NAMES.get(name, name)
        if name in kinds:
            found[name] = read_word(kinds[name], entry.strip())
    return Row(**found)


def read_word(kind: str, text: str) -> Any:
    """A field from its text, by the annotation of its type."""
    if "None" in kind and not text:
        return None
    if kind == "bool":
        return text == "True"
    if "Estimate" in kind:
        return Estimate(*map(float, text.split()))
    return {"str": str, "int": int}.get(kind, float)(text)
