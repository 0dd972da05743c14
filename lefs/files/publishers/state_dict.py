"""Named tensors: where they lie in a publisher's file, and the table that says which of ours each is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.reading import Instance, aligned
from lefs.records import ArtifactError

__all__ = ["Change", "Parts", "Row", "StateDict", "Table", "check_grown", "find_state", "same"]

# what is done to a tensor, which will have that name of ours
Change = Callable[[Tensor, str], Tensor]
# {end of their name: (end of our name, number of axes, and changes in order)}
Parts = Mapping[str, tuple[str, int, *tuple[Change, ...]]]
# A publisher's layout. Each row: a pattern for the beginning of their names; the beginning of our names, with
# the pattern's groups in place of {}, or a function of them; the parts.
Row = tuple[str, str | Callable[..., str], Parts]
Table = Sequence[Row]

_DEEPEST, _MOST_NAMES = 4, 200_000
# what averages over a training are called; they are better than what was trained last
_AVERAGED = ("ema", "smooth", "running", "average")


def same(**axes: int) -> Parts:
    """Parts that are called as ours: the number of axes of each."""
    return {f".{name}": (f".{name}", count) for name, count in axes.items()}


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


class StateDict:
    """Named tensors, each of which is taken once, until nothing is left over.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    path : Path
        Of the file, for error messages.
    expected : str
        What the file should be, for error messages, such as ``"a StyleGAN of genforce"``.
    """

    def __init__(self, tensors: Mapping[Any, Any], path: Path, expected: str):
        self.path, self.expected = path, expected
        self._left: dict[str, Tensor] = {}
        for name, value in tensors.items():
            if not isinstance(name, str) or not isinstance(value, Tensor):
                kind = f"record of {value}" if isinstance(value, Instance) else type(value).__name__
                raise self.error(f"its entry {name!r} is a {kind} where a named tensor should be")
            self._left[name] = value

    def error(self, problem: str) -> ArtifactError:
        """An `ArtifactError` that says what the file should be and what is wrong."""
        return ArtifactError(f"{self.path} should be {self.expected}, but {problem}")

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def names(self, pattern: str = ".*") -> list[str]:
        """What has not been taken yet and whose whole name matches `pattern`."""
        return [name for name in self._left if re.fullmatch(pattern, name)]

    def largest(self, pattern: str) -> int:
        """The largest number in a group of `pattern`, of the names that it matches; 4 if there are none."""
        found = (re.fullmatch(pattern, name) for name in self._left)
        return max((int(g) for m in found if m for g in m.groups() if g), default=4)

    def take(self, name: str, axes: int | None = None) -> Tensor:
        """The tensor called `name`, of so many axes, as float32; it is then no longer there."""
        if name not in self._left:
            raise self.error(f"it lacks the tensor {name!r}")
        tensor = self._left.pop(name)
        if axes not in (None, tensor.ndim) or not tensor.is_floating_point() or not tensor.numel():
            found = f"{tuple(tensor.shape)}, {tensor.dtype}"
            raise self.error(
                f"{name!r} should hold floating-point numbers on {axes or 'some'} axes; found {found}"
            )
        # (large tensors come as views of the file, wherever they lie in it)
        return aligned(tensor).float()

    def rename(self, pattern: str, new: Callable[[re.Match[str]], str]) -> None:
        """Give what matches `pattern` in the names the text that `new` makes of it."""
        self._left = {re.sub(pattern, new, name): tensor for name, tensor in self._left.items()}

    def translate(self, table: Table, *constants: str) -> dict[str, Tensor]:
        """Take all tensors: those that `table` names are given as {our name: tensor}.

        Parameters
        ----------
        table : sequence of Row
        constants : str
            Patterns of the whole names of tensors that the code knows.

        Raises
        ------
        ArtifactError
            If one is of another kind than the table says, or is none of these: the network is another one.
        """
        for name in [name for pattern in constants for name in self.names(pattern)]:
            self._left.pop(name, None)
        ours: dict[str, Tensor] = {}
        for beginning, here, parts in table:
            pattern = re.compile(rf"{beginning}({'|'.join(map(re.escape, parts))})")
            for name, match in [(n, m) for n in self._left if (m := pattern.fullmatch(n))]:
                *groups, end = match.groups()
                own, axes, *changes = parts[end]
                new = (here.format(*groups) if isinstance(here, str) else here(*groups)) + own
                ours[new] = self.take(name, axes)
                try:
                    for change in changes:
                        ours[new] = change(ours[new], new)
                except ValueError as error:
                    raise self.error(f"{name!r} has shape {tuple(ours[new].shape)}; {error}") from None
        if self._left:
            names = ", ".join(repr(n) for n in list(self._left)[:4])
            raise self.error(f"it has {len(self._left)} tensors more than that needs, such as {names}")
        return ours


def check_grown(source: StateDict, name: str) -> None:
    """Take the level of detail `name`; an ArtifactError if the network was still growing."""
    detail = float(source.take(name, 0)) if name in source else 0.0
    if not math.isclose(detail, 0.0, abs_tol=1e-6):
        raise source.error(
            f"it was saved at level of detail {detail:.3g}, while it was still growing toward its "
            "resolution; take a later snapshot"
        )
