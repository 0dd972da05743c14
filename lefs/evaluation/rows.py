"""The lines of a report: what they hold, and how a file keeps them."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from lefs.evaluation.intervals import Estimate

__all__ = ["Row", "Summary", "header", "line", "read_line", "read_word", "word"]

_OLD_NAMES = {"knob": "setting"}  # of fields, in files that were written before they were renamed
Line = TypeVar("Line", "Row", "Summary")


@dataclass(frozen=True)
class Row:
    """A line of the table: means over the pairs, each with its 95 % bootstrap interval.

    Attributes
    ----------
    part, method, setting : str
        What was edited, how, and what is turned to make the edit stronger.
    value : float
        Of the setting.
    usual : bool
        Whether that is the method's usual value.
    pairs : int
    effect, leak : Estimate
        Mean squared ΔE inside and outside the mask.
    effect_share, leak_share : Estimate
        The same as a share of what global transfer changes there.
    localisation : Estimate
        Σ squared ΔE inside / Σ squared ΔE.
    efficacy : Estimate
        How much nearer the edit is to the reference than the target was, inside the mask, in squared ΔE of
        aligned pixels: 1 − Σ d(edit, reference) / Σ d(target, reference); 0: no nearer, 1: there.
    feature_efficacy : Estimate or None
        The same in the features of the extractor.
    frechet, kernel : float or None, Estimate or None
        Fréchet and kernel distance to unedited images; None where they were not measured.

    Examples
    --------
    >>> from lefs.evaluation import Estimate, Row
    >>> half = Estimate(0.5, 0.4, 0.6)
    >>> Row("hair", "mine", "λ", 1.0, True, 24, half, half, half, half, half, half).effect_share.low
    0.4
    """

    part: str
    method: str
    setting: str
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
    """One method at its usual value, and the best its setting can do within a given leak: means over parts.

    Attributes
    ----------
    part : str
        The part, or "" for the mean over all.
    method, setting, value
        The method, and the usual value of its setting.
    effect_share, leak_share, localisation, efficacy, feature_efficacy, frechet, kernel
        As in `Row`.
    within : Estimate
        The effect's share that the method reaches where the leak's share is at most `Report.leak`, read off
        its curve.

    Examples
    --------
    >>> from lefs.evaluation import Estimate, Summary
    >>> half = Estimate(0.5, 0.4, 0.6)
    >>> Summary("", "mine", "λ", 1.0, half, half, half, half, half).within.value
    0.5
    """

    part: str
    method: str
    setting: str
    value: float
    effect_share: Estimate
    leak_share: Estimate
    localisation: Estimate
    efficacy: Estimate
    within: Estimate
    feature_efficacy: Estimate | None = None
    frechet: float | None = None
    kernel: Estimate | None = None


def header(kind: type[Row] | type[Summary]) -> str:
    """The names of the fields of a line."""
    return " | ".join(f.name for f in fields(kind))


def line(entry: Row | Summary) -> str:
    """All fields in one line of text, which keeps the file small: five digits, nothing for None."""
    return " | ".join(word(getattr(entry, f.name)) for f in fields(entry))


def word(value: Any) -> str:
    """A field as text."""
    if isinstance(value, tuple):
        return " ".join(f"{v:.5g}" for v in value)
    if isinstance(value, float):
        return f"{value:.5g}"
    text = "" if value is None else str(value)
    # (as in a CSV: a name may hold what divides the words)
    return '"' + text.replace('"', '""') + '"' if set(text) & set('|"\r\n') else text


def read_line(kind: type[Line], names: str, text: str) -> Line:
    """The entry that `line` wrote under a `header`; fields that there are no more are left out."""
    (words,) = csv.reader([text], delimiter="|", skipinitialspace=True)
    known = {f.name: str(f.type) for f in fields(kind)}
    found = {}
    for name, entry in zip(names.split(" | "), words, strict=True):
        name = _OLD_NAMES.get(name, name)
        if name in known:
            found[name] = read_word(known[name], entry.strip())
    return kind(**found)


def read_word(kind: str, text: str) -> Any:
    """A field from its text, by the annotation of its type."""
    if "None" in kind and not text:
        return None
    if kind == "bool":
        return text == "True"
    if "Estimate" in kind:
        return Estimate(*map(float, text.split()))
    return {"str": str, "int": int}.get(kind, float)(text)
