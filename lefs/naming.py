"""Names of parts: what can be one, and how the names that two writers give at once become one set."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from lefs.records import ArtifactError

__all__ = ["LONGEST_NAME", "NameClash", "as_written", "merged_names", "part_name"]

LONGEST_NAME = 100  # characters


class NameClash(ArtifactError):
    """Two have named the same clusters otherwise, and neither has seen what the other did.

    Attributes
    ----------
    clashes : dict of int to (str, str)
        Cluster to its own name, and the name in the file.

    Examples
    --------
    >>> NameClash({3: ("hair", "hat")})
    NameClash("others have named cluster 3 'hat', here it is 'hair'")
    """

    def __init__(self, clashes: dict[int, tuple[str, str]], remedy: str = ""):
        self.clashes = clashes
        said = [f"cluster {k} {there!r}, here it is {own!r}" for k, (own, there) in [*clashes.items()][:3]]
        more = f", and {len(clashes) - 3} more" if len(clashes) > 3 else ""
        super().__init__(f"others have named {'; '.join(said)}{more}{remedy}")


def as_written(name: Any) -> Any:
    """A name in the form that names are kept in: composed characters (NFC), without outer blanks."""
    return unicodedata.normalize("NFC", name).strip() if isinstance(name, str) else name


def part_name(argument: str, name: Any) -> str:
    """Return `name` as it is kept; a ValueError unless it is 1 to 100 printable characters."""
    found = as_written(name)
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_NAME or not found.isprintable():
        raise ValueError(
            f"{argument}: a part's name must be printable text that is not blank, of at most {LONGEST_NAME} "
            f"characters, got {name!r:.200}"
        )
    return found


def merged_names(
    own: Sequence[str], there: Sequence[str], start: Sequence[str], *, prefer: str = "refuse"
) -> list[str]:
    """Names, by cluster, of two who started from the same ones.

    Parameters
    ----------
    own, there, start : sequences of K str
        One's own, those in the file, and those that both started from.
    prefer : {"refuse", "own", "theirs"}
        Whose name is taken where both have changed it.

    Raises
    ------
    NameClash
        Where both have changed a name, and `prefer` is ``"refuse"``.

    Examples
    --------
    >>> merged_names(["hair", "b"], ["a", "skin"], ["a", "b"])
    ['hair', 'skin']
    """
    triples = [*zip(own, there, start, strict=True)]
    clashes = {k: names[:2] for k, names in enumerate(triples) if len(set(names)) == 3}
    if clashes and prefer == "refuse":
        raise NameClash(clashes, '; save with prefer="own" or prefer="theirs"')
    given_up = clashes if prefer == "theirs" else ()
    return [theirs if mine == old or k in given_up else mine for k, (mine, theirs, old) in enumerate(triples)]
