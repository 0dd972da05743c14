"""Publishers: what each one's files look like inside, as value trees that `lefs.files.reading` reads.

A reader is a module here with two functions::

    matches(tree) -> bool          is this publisher's? looks at keys and class names only, never raises
    read(tree, path) -> Parsed     raises ArtifactError that names the class or tensor it cannot take

and a place in `lefs.files.formats.READERS`, asked in that order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

__all__ = ["Parsed"]


@dataclass(frozen=True)
class Parsed:
    """A publisher's file in the names of lefs.

    Attributes
    ----------
    architecture : str
        A key of `lefs.files.formats.ARCHITECTURES`.
    config : dict
        What the architecture's configuration is made from, plain JSON values.
    tensors : dict of str to Tensor
        By our names, exactly the generator's ``state_dict``.
    notes : dict
        What else is known, plain JSON values: ``publisher``, the file's own default ``truncation``, ...
    """

    architecture: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    notes: dict[str, Any] = field(default_factory=dict)
