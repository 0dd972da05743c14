"""Where a generator's named tensors lie in a file: below any keys and prefixes, two of each at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

__all__ = ["find_state"]

_DEEPEST, _MOST_NAMES = 4, 200_000
# what averages over a training are called; they are better than what was trained last
_AVERAGED = ("ema", "smooth", "running", "average")


def find_state(tree: Any, *known: str) -> tuple[str, dict[str, Any]] | None:
    """Look for the dictionary whose entries have the names `known`, wherever it is and whatever it is called.

    ``torch.save({"state_dict": {"decoder.input.input": ...}, "latent_avg": ...})`` holds ``"input.input"`` at
    ``"state_dict.decoder"``; so do files with ``g_ema``, ``params_ema``, ``generator``, ``module.``,
    ``_orig_mod.`` and the like.

    Parameters
    ----------
    tree : object
        What was read from the file.
    known : str
        Names that tell this kind of network from others.

    Returns
    -------
    (str, dict) or None
        Where it lies, ``""`` for the file itself, and what is there by name, with the ``latent_avg`` beside
        or above it. Of several an averaged one, else the first. None if there is none.
    """
    names = dict(islice(_named(tree, depth=2), _MOST_NAMES)) if isinstance(tree, Mapping) else {}
    ends = (name.removesuffix(known[0]) for name in names if name.endswith(known[0]))
    places = [p for p in ends if p.count(".") <= _DEEPEST and p[-1:] in ("", ".")]
    places = [p for p in places if all(p + name in names for name in known)]
    if not places:
        return None
    place = min(places, key=lambda p: not any(word in p.lower() for word in _AVERAGED))
    state = {name.removeprefix(place): value for name, value in names.items() if name.startswith(place)}
    above = place.split(".")
    for depth in range(len(above)):
        mean = ".".join([*above[:depth], "latent_avg"])
        if mean in names:
            state["latent_avg"] = names[mean]
    return place.removesuffix("."), state


def _named(tree: Mapping[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if not isinstance(key, str):
            continue
        if isinstance(value, Mapping) and depth:
            yield from ((f"{key}.{name}", inner) for name, inner in _named(value, depth - 1))
        else:
            yield key, value
