"""The edit: transfer chosen style channels toward a reference; say in a recipe what to edit.

Styles move toward a reference's (Editing in Style, §3.2). A recipe is plain values that can be saved and
replayed; `lefs.editor` renders it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lefs.checks import Label, check_counts, check_label, check_number, check_seed
from lefs.generator import GeneratorId
from lefs.images import Picture, png_text
from lefs.naming import as_written
from lefs.query import QuerySettings
from lefs.records import PathLike, printable, read_json, whole, write_json
from lefs.showing import Shown
from lefs.sources import KeptMask, KeptStyles, Source, check_source

__all__ = ["Change", "Recipe", "check_query", "compose", "resolve_claims", "transfer"]

_FORMAT = "lefs-recipe"
_MOST = 256  # changes of a recipe in a file


def transfer(target_styles: Tensor, reference_styles: Tensor, q: Tensor, *, strength: float = 1.0) -> Tensor:
    """Move the target's styles toward the reference's: σ_G = σ_S + strength · q ⊙ (σ_R − σ_S).

    Parameters
    ----------
    target_styles, reference_styles : Tensor or array of shape (N, S), or (1, S) for one against many
    q : Tensor or array of shape (S,) or (N, S), in [0, 1]
    strength : float in [0, 1]
        The paper writes λ for it.

    Returns
    -------
    Tensor of shape (N, S)
        ``q = 0`` gives the target's styles bit for bit, ``q = 1`` at strength 1 the reference's.

    Examples
    --------
    >>> import lefs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> target, reference = generator.sample([1]), generator.sample([2])
    >>> q = lefs.QuerySettings().query(catalog, "hair")
    >>> generator.synthesize(lefs.transfer(target, reference, q)).shape
    torch.Size([1, 3, 64, 64])
    """
    strength = check_number("strength", strength, minimum=0, maximum=1)
    target_styles, reference_styles, q = map(torch.as_tensor, (target_styles, reference_styles, q))
    check_query(q, target_styles=target_styles, reference_styles=reference_styles)
    # lerp, unlike the formula as written, is exact at both ends
    return torch.lerp(target_styles, reference_styles.to(target_styles), (strength * q).to(target_styles))


def check_query(q: Tensor, **styles: Tensor) -> None:
    """Raise a ValueError unless q, (S,) or (N, S), lies in [0, 1] and fits all of these styles (N, S)."""
    given = {**styles, "q": q}
    if q.ndim not in (1, 2) or len({x.shape[-1:] for x in given.values()}) > 1:
        shapes = ", ".join(str(tuple(x.shape)) for x in given.values())
        raise ValueError(f"{', '.join(given)} must have the same number of channels S; got {shapes}")
    check_counts(**{name: x for name, x in given.items() if x.ndim > 1})
    if bool(((q < 0) | (q > 1) | q.isnan()).any()):
        raise ValueError(f"q must lie in [0, 1]; it ranges from {float(q.min()):g} to {float(q.max()):g}")


def resolve_claims(queries: Tensor, contributions: Tensor) -> Tensor:
    """Give each channel that several parts want to the part of larger contribution, so that Σ_i q_i ≤ 1.

    Parameters
    ----------
    queries : Tensor of shape (R, S), one query for each change
    contributions : Tensor of shape (R, S), the contributions of each change's part

    Returns
    -------
    Tensor of shape (R, S); of equal contributions the first keeps the channel
    """
    # (compared as precisely as they come, where they are: float32, all that some devices have, makes ties)
    claimed = torch.where(queries.to(contributions.device) > 0, contributions, -1.0)
    owner = claimed.argmax(dim=0).to(queries.device)
    return torch.where(owner == torch.arange(len(queries), device=queries.device)[:, None], queries, 0.0)


def compose(target_styles: Tensor, references: Tensor, queries: Tensor, strengths: Sequence[float]) -> Tensor:
    """Several parts from several references: σ_S + Σ_i strength_i · q_i ⊙ (σ_Ri − σ_S).

    Parameters
    ----------
    target_styles : Tensor of shape (1, S)
    references : Tensor of shape (R, S)
    queries : Tensor of shape (R, S), in [0, 1]
        Of `resolve_claims`, at most one at a channel.
    strengths : sequence of R float in [0, 1]

    Returns
    -------
    Tensor of shape (1, S)
    """
    styles = target_styles
    for reference, q, strength in zip(references, queries, strengths, strict=True):
        # At most one query is positive at a channel, so transferring in turn is the sum.
        styles = transfer(styles, reference[None], q, strength=strength)
    return styles


@dataclass(frozen=True)
class Change:
    """One part, taken from one reference.

    Attributes
    ----------
    part : str
        Name of the part.
    reference : int, or any other source
        The reference image: a seed, a w, W+, styles, the file of one, an inversion (`lefs.source_styles`).
    strength : float in [0, 1]
        Scales the whole change (λ).
    settings : QuerySettings
        How its channels are chosen.
    mask : path, PIL image, array or Tensor (H, W), KeptMask or None
        Where to edit (`lefs.images.read_mask`), in the proportions of the images and of any size; instead of
        where the catalog finds the part in target and reference. Of edits in place, which then take any name
        as `part`.

    Examples
    --------
    >>> import lefs
    >>> lefs.Change("hair", 2017, strength=0.5).settings.method
    'sequential'
    """

    part: str
    reference: Source
    strength: float = 1.0
    settings: QuerySettings = field(default_factory=QuerySettings)
    mask: Picture | KeptMask | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.part, str) or not isinstance(self.settings, QuerySettings):
            raise TypeError(
                f"part must be a name and settings QuerySettings, got {self.part!r:.80} and "
                f"{self.settings!r:.80}; give the latter by name: Change(part, reference, settings=...)"
            )
        if self.mask is not None and self.settings.where != "part":
            told = "channels act wherever they are active; a mask needs"
            raise ValueError(f'mask: {told} QuerySettings(where="part")')
        found = vars(self)
        found["part"] = as_written(self.part)
        found["reference"] = check_source("reference", self.reference)
        found["strength"] = check_number("strength", self.strength, minimum=0, maximum=1)
        found["mask"] = None if self.mask is None else KeptMask.of(self.mask)

    def __str__(self) -> str:
        kind = self.settings.method if self.settings.where == "everywhere" else "in place"
        strength = "" if self.strength == 1 else f", λ = {self.strength:g}"
        return f"{self.part} of {_named(self.reference)} ({kind}{strength})"


@dataclass(frozen=True)
class Recipe(Shown):
    """What to replay: the target's seed, the changes, the truncation, and whose generator it was.

    Attributes
    ----------
    target : int, or any other source
        The target image, as a change's reference.
    changes : tuple of Change
        Any number.
    truncation : float
        ψ of target and references.
    generator : GeneratorId, optional
        Filled in when an `Editor` renders it, as are the next two.
    label : int or list of float, optional
        Class of target and references, or a number for each class, for a conditional generator.
    parts : tuple of (str, str)
        Name and digest of each part that is changed, by which a catalog is known whose part of that name is
        another.

    Examples
    --------
    >>> import lefs, tempfile
    >>> recipe = lefs.Recipe(1003, (lefs.Change("hair", 2017),))
    >>> lefs.Recipe.load(recipe.save(f"{tempfile.mkdtemp()}/recipe.json")) == recipe
    True
    """

    target: Source
    changes: tuple[Change, ...] = ()
    truncation: float = 0.7
    generator: GeneratorId | None = None
    label: Label | None = None
    parts: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        given, found = self.changes, vars(self)
        found["target"] = check_source("target", self.target)
        found["label"] = check_label("label", self.label)
        found["truncation"] = check_number("truncation", self.truncation)
        found["changes"] = tuple(given) if isinstance(given, Iterable) else (None,)
        if not all(isinstance(one, Change) for one in self.changes):
            raise TypeError(f"changes must be a tuple of lefs.Change, such as (change,); got {given!r:.80}")

    def __str__(self) -> str:
        """What it does, in a sentence."""
        return "; ".join([f"{_named(self.target)} (ψ = {self.truncation:g})", *map(str, self.changes)])

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads; what is not a seed as its styles, if an `Editor` signed it."""
        sources = self.target, *(change.reference for change in self.changes)
        if others := [type(one).__name__ for one in sources if not isinstance(one, int | KeptStyles)]:
            raise TypeError(
                f"recipes are saved with seeds or kept styles, and this one has a {others[0]}: "
                "save editor.sign(recipe), or the recipe of a rendered edit"
            )
        owner = self.generator and self.generator.to_json()
        return {"format": _FORMAT, "version": 1, **asdict(self), "generator": owner}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], origin: PathLike = "this recipe") -> Recipe:
        """The recipe that `to_json` described; an `ArtifactError` says what is wrong, and with which file."""
        with whole(Path(origin), "recipe"):
            if len(content["changes"]) > _MOST:
                raise ValueError(f"{len(content['changes'])} changes; {_MOST} are the most")
            owner = content["generator"] and GeneratorId.from_json(content["generator"])
            parts = tuple((str(name), str(digest)) for name, digest in content.get("parts", ()))
            target, label = _read("target", content["target"]), content.get("label")
            truncation = check_number("truncation", content["truncation"], minimum=-100, maximum=100)
            changes = tuple(_read_change(change) for change in content["changes"])
            return cls(target, changes, truncation, owner, label, parts)

    def save(self, path: PathLike) -> Path:
        """Write as JSON, atomically; what is not a seed as its styles, once an `Editor` has signed it."""
        return write_json(path, self.to_json())

    @classmethod
    def load(cls, path: PathLike) -> Recipe:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        return cls.from_json(read_json(path, expect=_FORMAT), path)

    @classmethod
    def from_png(cls, path: PathLike) -> Recipe:
        """Read the recipe inside a picture that `lefs.Edit.save` wrote; nothing in it is run.

        Parameters
        ----------
        path : str or path
            Of a PNG, also of somebody else's.

        Returns
        -------
        Recipe

        Raises
        ------
        ArtifactError
            If it is not a PNG, holds no recipe, or one that is damaged.

        Examples
        --------
        >>> import lefs, tempfile
        >>> editor = lefs.Editor(lefs.load("portraits-64"), lefs.Catalog.load("portraits-64"))
        >>> edit = editor.render(lefs.Recipe(1, (lefs.Change("hair", 2),)))
        >>> path = edit.save(f"{tempfile.mkdtemp()}/edit.png")
        >>> lefs.Recipe.from_png(path) == edit.recipe
        True
        """
        return cls.from_json(read_json(path, expect=_FORMAT, text=png_text(path, _FORMAT)), path)

    @property
    def png_text(self) -> dict[str, str]:
        """What `from_png` finds in the metadata of a picture."""
        return {_FORMAT: json.dumps(self.to_json(), allow_nan=False)}


def _named(source: Source) -> str:
    return "styles" if isinstance(source, Tensor | np.ndarray) else str(getattr(source, "name", source))


def _read(name: str, source: Any) -> int | KeptStyles:
    """A source as a recipe's file has it; an `ArtifactError` if its styles were changed."""
    if not isinstance(source, dict):
        return check_seed(name, source)
    kept = KeptStyles(**{key: str(text) for key, text in source.items()})
    kept.styles()
    return replace(kept, name=printable(kept.name, 300))  # (longer than any file's)


def _read_change(entry: Any) -> Change:
    """A change as a recipe's file has it; an `ArtifactError` if its styles or mask were changed."""
    settings, reference = QuerySettings(**entry["settings"]), _read("reference", entry["reference"])
    if (mask := entry.get("mask")) is not None:
        mask = KeptMask(**mask)
        mask.mask()
    return Change(**{**entry, "settings": settings, "reference": reference, "mask": mask})
