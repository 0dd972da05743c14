"""Named tensors of a publisher's file, and the table that says which of ours each of them is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.reading import aligned
from lefs.records import ArtifactError

__all__ = ["Change", "Parts", "Row", "StateDict", "Table", "check_grown"]

# what is done to a tensor, which will have that name of ours
Change = Callable[[Tensor, str], Tensor]
# {end of their name: (end of our name, number of axes, and changes in order)}
Parts = Mapping[str, tuple[str, int, *tuple[Change, ...]]]
# A publisher's layout. Each row: a pattern for the beginning of their names; the beginning of our names, with
# the pattern's groups in place of {}, or a function of them; the parts.
Row = tuple[str, str | Callable[..., str], Parts]
Table = Sequence[Row]


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
                kind = type(value).__name__
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

    def drop(self, *patterns: str) -> None:
        """Forget tensors whose whole names match one of the patterns: constants that the code knows."""
        for pattern in patterns:
            for name in self.names(pattern):
                del self._left[name]

    def translate(self, table: Table) -> dict[str, Tensor]:
        """Take all tensors that `table` names: {our name: tensor}.

        Raises
        ------
        ArtifactError
            If one is of another kind than the table says.
        """
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
        return ours

    def finish(self) -> None:
        """Raise an `ArtifactError` if a tensor has not been taken: the network is another one."""
        if self._left:
            names = ", ".join(repr(n) for n in list(self._left)[:4])
            raise self.error(f"it has {len(self._left)} tensors more than that needs, such as {names}")


def check_grown(source: StateDict, name: str) -> None:
    """Take the level of detail `name`; an ArtifactError if the network was still growing."""
    detail = float(source.take(name, 0)) if name in source else 0.0
    if not math.isclose(detail, 0.0, abs_tol=1e-6):
        raise source.error(
            f"it was saved at level of detail {detail:.3g}, while it was still growing toward its "
            "resolution; take a later snapshot"
        )
