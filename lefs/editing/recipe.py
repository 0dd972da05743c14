"""Recipes: what to edit, and how channels are chosen, as plain values that can be saved and replayed."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from lefs.artifacts import ArtifactError, read_json, write_json
from lefs.catalog import Catalog, GeneratorId, Method
from lefs.checks import check_number

__all__ = ["Change", "QuerySettings", "Recipe", "turned"]

_FORMAT = "lefs-recipe"


@dataclass(frozen=True)
class QuerySettings:
    """How channels are chosen: the options of `Catalog.query` and, for the method ``"pair"``, of
    `Catalog.pair_query`, which explain them; and by which contributions, ``"energy"`` (where a channel is
    active) or ``"effect"`` (where it acts), None for those that the catalog holds.
    """

    method: Method = "sequential"
    rho: float = 0.1
    epsilon: float = 16.0
    slope: float = 2.0
    coarse: float = 0.5
    rgb: float = 0.5
    shifts: bool = False
    leak: float = 50.0
    contributions: Literal["energy", "effect"] | None = None

    def contribution(self, catalog: Catalog, part: str) -> Tensor:
        """Contribution of every channel to a part, of the kind that is chosen by: (S,), float64 in [0, 1]."""
        return catalog.measured_by(self.contributions).contribution(part)

    def query(
        self,
        catalog: Catalog,
        part: str,
        target_styles: Tensor | None = None,
        reference_styles: Tensor | None = None,
    ) -> Tensor:
        """The query of one part: (S,), or (N, S) for the method ``"pair"``, which needs the styles of the
        targets and references, each of shape (N, S) or (1, S).
        """
        for name in ("epsilon", "leak", "slope"):  # also where the method has no use for it
            check_number(name, getattr(self, name), minimum=0, finite=name == "slope")
        options = asdict(self)
        catalog = catalog.measured_by(options.pop("contributions"))
        if self.method != "pair" or target_styles is None or reference_styles is None:
            del options["leak"]
            return catalog.query(part, **options)
        for name in ("method", "epsilon", "slope"):
            del options[name]
        return catalog.pair_query(part, target_styles, reference_styles, **options)

    def budgets(self, catalog: Catalog) -> list[float]:
        """The budget ε of each layer after its gate: L numbers, in channels."""
        return [self.epsilon * gate for gate in catalog.gates(coarse=self.coarse, rgb=self.rgb)]


@dataclass(frozen=True)
class Change:
    """One part, taken from one reference.

    Attributes
    ----------
    part : name of the part
    reference : seed of the reference image
    strength : λ in [0, 1], scales the whole change
    settings : how its channels are chosen
    """

    part: str
    reference: int
    strength: float = 1.0
    settings: QuerySettings = field(default_factory=QuerySettings)


@dataclass(frozen=True)
class Recipe:
    """What to replay: the target's seed, the changes, the truncation, and whose generator it was.

    Attributes
    ----------
    target : seed of the target image
    changes : the changes, any number
    truncation : ψ of target and references
    generator : `GeneratorId`, filled in when an `Editor` renders it
    label : class of target and references, for a conditional generator; filled in likewise
    """

    target: int
    changes: tuple[Change, ...] = ()
    truncation: float = 0.7
    generator: GeneratorId | None = None
    label: int | None = None

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON, atomically."""
        return write_json(path, {"format": _FORMAT, "version": 1, **asdict(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        meta = read_json(path, expect=_FORMAT)
        try:
            changes = [Change(**{**c, "settings": QuerySettings(**c["settings"])}) for c in meta["changes"]]
            owner = meta["generator"] and GeneratorId(**meta["generator"])
            return cls(meta["target"], tuple(changes), meta["truncation"], owner, meta.get("label"))
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is not a whole recipe: {error!r}") from error


def turned(recipe: Recipe, name: str, value: float) -> Recipe:
    """The recipe with one knob of every change set to `value`."""
    knob: dict[str, Any] = {name: value}
    if name == "strength":
        changes = [replace(c, **knob) for c in recipe.changes]
    else:
        changes = [replace(c, settings=replace(c.settings, **knob)) for c in recipe.changes]
    return replace(recipe, changes=tuple(changes))
