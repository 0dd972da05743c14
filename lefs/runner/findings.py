"""What a notebook found out, put into its outputs as scrapbook does, and read back from there."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["numbers", "read_findings", "record"]

_MIME = "application/scrapbook.scrap"  # what nteract's scrapbook looks for, followed by the encoder
_WORDS = ("NaN", "Infinity", "-Infinity")  # JSON has no numbers for these


def record(**values: Any) -> None:
    """Record what a notebook found, to be read by `results`; in a notebook nothing shows of it.

    The outputs are those of nteract's scrapbook: ``scrapbook.read_notebook`` finds them, too, and `results`
    finds what was glued with that.

    Parameters
    ----------
    **values : number, str, bool, None or mapping of str to these
        Findings by name; None stands for not measured, a mapping for a finding each.

    Raises
    ------
    TypeError
        If a value is of another kind.

    Examples
    --------
    >>> import lefs
    >>> lefs.runner.record(clusters_found=12, recall={"hair": 0.93, "eyes": None})
    clusters_found = 12
    recall.hair = 0.93
    recall.eyes = nan
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    for name, value in _flat(values).items():
        number = value.item() if hasattr(value, "item") else math.nan if value is None else value
        if not isinstance(number, int | float | str):
            raise TypeError(f"{name} must be a number or text, or a mapping of them, got {value!r:.80}")
        data = json.loads(json.dumps(number), parse_constant=str)
        payload = {"name": name, "data": data, "encoder": "json", "version": 1}
        if InteractiveShell.initialized():
            kept = {"scrapbook": {"name": name, "data": True, "display": False}}
            display({f"{_MIME}.json+json": payload}, metadata=kept, raw=True)
        else:
            text = f"{number:.4g}" if isinstance(number, float) else number
            sys.stdout.write(f"{name} = {text}\n")


def _flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def read_findings(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was recorded in an executed notebook, by name; of a name that came twice, the last.

    Parameters
    ----------
    notebook : NotebookNode
        Executed, as nbformat reads it.
    """
    found: dict[str, Any] = {}
    for output in (o for cell in notebook["cells"] for o in cell.get("outputs", [])):
        for mime, payload in output.get("data", {}).items():
            if mime.startswith(_MIME) and isinstance(payload, Mapping) and "data" in payload:
                found |= _flat({payload.get("name", "?"): payload["data"]})
    return found


def numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Put numbers in place of the words that stand for those that JSON lacks."""
    return {n: float(x) if x in _WORDS else x for n, x in found.items()}
