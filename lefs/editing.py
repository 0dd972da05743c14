"""The edit: transfer chosen style channels, say what to edit in a recipe, render it with an editor.

Styles move toward a reference's (Editing in Style, §3.2). A recipe is plain values that can be saved and
replayed. An editor does no work again that a change does not touch.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_counts, check_integer, check_number
from lefs.generator import Generator, GeneratorId
from lefs.images import colour_difference
from lefs.query import QuerySettings
from lefs.records import VERSION, ArtifactError, read_json, whole, write_json
from lefs.synthesis import Cache

__all__ = [
    "Change",
    "Edit",
    "Editor",
    "Recipe",
    "Superseded",
    "compose",
    "resolve_claims",
    "transfer",
]

_FORMAT = "lefs-recipe"
_USUAL = QuerySettings()
_COSTLY = 64  # side of the maps from which on it is worth asking whether a layer is still wanted


def transfer(target_styles: Tensor, reference_styles: Tensor, q: Tensor, *, strength: float = 1.0) -> Tensor:
    """Move the target's styles toward the reference's: σ_G = σ_S + strength · q ⊙ (σ_R − σ_S).

    Parameters
    ----------
    target_styles, reference_styles : Tensor of shape (N, S), or (1, S) for one against many
    q : Tensor of shape (S,) or (N, S), in [0, 1]
    strength : in [0, 1]. The paper writes λ for it.

    Returns
    -------
    Tensor of shape (N, S). ``q = 0`` gives the target's styles bit for bit, ``q = 1`` at strength 1 the
    reference's.
    """
    strength = check_number("strength", strength, minimum=0, maximum=1)
    if target_styles.shape[-1] != reference_styles.shape[-1] or q.shape[-1] != target_styles.shape[-1]:
        raise ValueError(
            "target_styles, reference_styles and q must have the same number of channels S; got "
            f"{target_styles.shape[-1]}, {reference_styles.shape[-1]} and {q.shape[-1]}"
        )
    check_counts(target_styles=target_styles, reference_styles=reference_styles)
    if bool(((q < 0) | (q > 1) | q.isnan()).any()):
        raise ValueError(f"q must lie in [0, 1]; it ranges from {float(q.min()):g} to {float(q.max()):g}")
    # lerp, unlike the formula as written, is exact at both ends
    return torch.lerp(target_styles, reference_styles, (strength * q).to(target_styles))


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
    # (compared as precisely as they come: float32 would make ties)
    claimed = torch.where(queries > 0, contributions.to(queries.device), -1.0)
    owner = claimed.argmax(dim=0)
    return torch.where(owner == torch.arange(len(queries), device=queries.device)[:, None], queries, 0.0)


def compose(target_styles: Tensor, references: Tensor, queries: Tensor, strengths: Sequence[float]) -> Tensor:
    """Several parts from several references: σ_S + Σ_i strength_i · q_i ⊙ (σ_Ri − σ_S).

    Parameters
    ----------
    target_styles : Tensor of shape (1, S)
    references, queries : Tensor of shape (R, S); the queries of `resolve_claims`, at most one at a channel
    strengths : R numbers in [0, 1]
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
    parts : (name, digest) of each part that is changed, by which a catalog is known whose part of that name
        is another; filled in likewise
    """

    target: int
    changes: tuple[Change, ...] = ()
    truncation: float = 0.7
    generator: GeneratorId | None = None
    label: int | None = None
    parts: tuple[tuple[str, str], ...] = ()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON, atomically."""
        return write_json(path, {"format": _FORMAT, "version": VERSION, **asdict(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        meta = read_json(path, expect=_FORMAT)
        with whole(Path(path), "recipe"):
            changes = [Change(**{**c, "settings": QuerySettings(**c["settings"])}) for c in meta["changes"]]
            owner = meta["generator"] and GeneratorId(**meta["generator"])
            parts = tuple((str(name), str(digest)) for name, digest in meta.get("parts", ()))
            return cls(meta["target"], tuple(changes), meta["truncation"], owner, meta.get("label"), parts)


def _turned(recipe: Recipe, name: str, value: float) -> Recipe:
    """The recipe with one knob of every change set to `value`."""
    knob: dict[str, Any] = {name: value}
    if name == "strength":
        changes = [replace(c, **knob) for c in recipe.changes]
    else:
        changes = [replace(c, settings=replace(c.settings, **knob)) for c in recipe.changes]
    return replace(recipe, changes=tuple(changes))


@dataclass(frozen=True, eq=False)
class Edit:
    """A rendered recipe.

    Attributes
    ----------
    recipe : what was rendered
    target, image : Tensor of shape (3, H, W), before and after
    references : Tensor of shape (R, 3, H, W), one for each change
    queries : Tensor of shape (R, S), after claims were resolved
    styles : Tensor of shape (1, S), of the edited image
    """

    recipe: Recipe
    target: Tensor
    image: Tensor
    references: Tensor
    queries: Tensor
    styles: Tensor

    @cached_property
    def change(self) -> Tensor:
        """Where the picture changed: ΔE (CIE76) at each pixel, (H, W)."""
        return colour_difference(self.target, self.image)

    @property
    def pictures(self) -> dict[str, Tensor]:
        """Target, references and edit by what they show, such as ``"hair of 2017"``; each (3, H, W)."""
        names = [f"{change.part} of {change.reference}" for change in self.recipe.changes]
        return {"target": self.target, **dict(zip(names, self.references, strict=True)), "edit": self.image}

    @property
    def query(self) -> Tensor:
        """Σ_i q_i, what moves altogether: (S,), in [0, 1]."""
        return self.queries.sum(dim=0)


class Superseded(Exception):
    """`Editor.render` was told to stop: its result is no longer wanted."""


class Editor:
    """Renders recipes with one generator and one catalog; keeps each target's cache, so that a change of a
    setting restarts at the first layer that it touches. Safe to call from several threads.

    Parameters
    ----------
    generator, catalog : must belong together
    noise : of every image, fixed between target and edit

    Raises
    ------
    TypeError
        If the generator has no styles to edit, as ProGAN.
    """

    def __init__(self, generator: Generator, catalog: Catalog, *, noise: int | str = "const"):
        catalog.check_generator(generator)
        generator.check_styles()
        self.generator, self.catalog, self.noise = generator, catalog, noise
        self._lock = threading.RLock()
        self._digests: dict[str, str] = {}
        self._cache: tuple[tuple[int, float, int | None], Cache] | None = None
        self._pictures: dict[tuple[int, float, int | None, int | None], Tensor] = {}

    def cache(self, target: int, truncation: float, *, label: int | None = None) -> Cache:
        """The kept states of a target; the last one asked for stays in memory."""
        key = (check_integer("target", target, maximum=2**32 - 1), truncation, label)
        with self._lock, torch.inference_mode():
            if self._cache is None or self._cache[0] != key:
                styles = self._styles([target], truncation, label)
                self._cache = (key, self.generator.cache(styles, self.noise))  # type: ignore[arg-type]
            return self._cache[1]

    def render(
        self, recipe: Recipe, *, upto: int | None = None, stop: Callable[[], bool] | None = None
    ) -> Edit:
        """Render a recipe.

        Parameters
        ----------
        recipe : what to do; one made with another generator, or another catalog's part of the same name, is
            an `ArtifactError` that names both
        upto : a lower resolution, for a preview
        stop : asked before each of the costly layers of a full rendering; once it says True, that ends

        Raises
        ------
        Superseded
            If `stop` said True; what is kept for the next rendering stays.
        """
        self._check_owner(recipe)
        with self._lock, torch.inference_mode():
            kept, target = self._target(recipe, preview=upto is not None)
            seeds = [c.reference for c in recipe.changes]
            styles, queries = target, torch.zeros(0, self.generator.num_styles)
            if seeds:
                references = self._styles(seeds, recipe.truncation, recipe.label)
                queries = self._queries(recipe.changes, styles, references)
                styles = compose(styles, references, queries, [c.strength for c in recipe.changes])
            options: dict[str, Any] = {"truncation": recipe.truncation, "upto": upto, "label": recipe.label}
            return Edit(
                recipe=self.sign(recipe),
                # (from a cache it costs nothing; without one it is kept, and costs nothing the next time)
                target=(
                    self._synthesize(target, kept, upto)
                    if kept
                    else self.pictures([recipe.target], **options)
                )[0],
                image=self._synthesize(styles, kept, upto, stop)[0],
                references=self.pictures(seeds, **options),
                queries=queries,
                styles=styles,
            )

    def pictures(
        self,
        seeds: Iterable[int],
        *,
        truncation: float = 0.7,
        upto: int | None = None,
        label: int | None = None,
    ) -> Tensor:
        """Unedited images of seeds, (N, 3, H, W); the latest are kept."""
        wanted = list(seeds)
        with self._lock, torch.inference_mode():
            for seed in wanted:
                key = (seed, truncation, upto, label)
                if key not in self._pictures:
                    styles = self._styles([seed], truncation, label)
                    self._pictures[key] = self._synthesize(styles, None, upto)[0]
            side = upto or self.generator.resolution
            found = [self._pictures[(seed, truncation, upto, label)] for seed in wanted]
            for key in list(self._pictures)[:-64]:
                del self._pictures[key]
            return torch.stack(found) if found else torch.empty(0, 3, side, side)

    def grid(
        self,
        target: int,
        references: Sequence[int],
        parts: Iterable[str],
        *,
        truncation: float = 0.7,
        settings: QuerySettings | Mapping[str, QuerySettings] = _USUAL,
        strength: float = 1.0,
    ) -> dict[str, Tensor]:
        """The paper's main figure: each part (key) taken from each reference: {part: (R, 3, H, W)}.

        `settings` are the same for all parts or a table by part.
        """
        rows = {}
        with self._lock, torch.inference_mode():
            cache = self.cache(target, truncation)
            styles = self.generator.sample_styles(references, truncation=truncation)
            for part in parts:
                chosen = settings if isinstance(settings, QuerySettings) else settings[part]
                q = chosen.query(self.catalog, part, cache.styles, styles)
                edited = transfer(cache.styles, styles, q, strength=strength)
                rows[part] = self._synthesize(edited, cache, None)
        return rows

    def filmstrip(self, recipe: Recipe, name: str, values: Sequence[float]) -> Tensor:
        """One image for each value of one knob of the recipe's changes: (V, 3, H, W).

        Parameters
        ----------
        name : ``"strength"`` or a field of `QuerySettings` that is a number, such as ``"rho"``
        values : what it takes in turn
        """
        check_choice("name", name, ("strength", "rho", "epsilon", "slope", "coarse", "rgb", "leak"))
        return torch.stack([self.render(_turned(recipe, name, v)).image for v in values])

    def sign(self, recipe: Recipe) -> Recipe:
        """The recipe with what it takes to replay it: whose it is, the class of its images, which parts are
        meant, and by which contributions their channels are chosen.
        """
        label = self.generator.usual_label if recipe.label is None else recipe.label
        changes = tuple(self._stated(change) for change in recipe.changes)
        known = sorted({c.part for c in changes} & self.catalog.parts.keys())
        parts = tuple((name, self._digest(name)) for name in known)
        owner = self.catalog.generator
        return replace(recipe, generator=owner, label=label, changes=changes, parts=parts)

    def _digest(self, part: str) -> str:
        """The first 12 digits of the SHA-256 over the contributions of a part's clusters."""
        if part not in self._digests:
            rows = self.catalog.contributions[list(self.catalog.parts[part])]
            self._digests[part] = hashlib.sha256(rows.cpu().numpy().tobytes()).hexdigest()[:12]
        return self._digests[part]

    def _stated(self, change: Change) -> Change:
        kind = change.settings.contributions or self.catalog.measure
        return replace(change, settings=replace(change.settings, contributions=kind))

    def _styles(self, seeds: Sequence[int], truncation: float, label: int | None) -> Tensor:
        labels = None if label is None else [label] * len(seeds)
        return self.generator.sample_styles(seeds, truncation=truncation, labels=labels)

    def _queries(self, changes: Sequence[Change], target: Tensor, references: Tensor) -> Tensor:
        """The query of each change, after claims were resolved: (R, S)."""
        pairs = zip(changes, references, strict=True)
        found = [c.settings.query(self.catalog, c.part, target, r[None]).reshape(-1) for c, r in pairs]
        contributions = torch.stack([c.settings.contribution(self.catalog, c.part) for c in changes])
        # (one for a pair is where its styles are, the others on the CPU)
        return resolve_claims(torch.stack([q.cpu() for q in found]), contributions).to(self.generator.device)

    def _target(self, recipe: Recipe, *, preview: bool) -> tuple[Cache | None, Tensor]:
        """The target's cache, if it is kept or worth making, and its styles."""
        key = (recipe.target, recipe.truncation, recipe.label)
        if preview and (self._cache is None or self._cache[0] != key):
            # A cache costs a full rendering, many times what the preview costs.
            check_integer("target", recipe.target, maximum=2**32 - 1)
            return None, self._styles([recipe.target], recipe.truncation, recipe.label)
        cache = self.cache(recipe.target, recipe.truncation, label=recipe.label)
        return cache, cache.styles

    def _synthesize(
        self,
        styles: Tensor,
        cache: Cache | None,
        upto: int | None,
        stop: Callable[[], bool] | None = None,
    ) -> Tensor:
        noise: Any = self.noise
        if stop is None or upto is not None:
            return self.generator.synthesize(styles, noise, upto, cache)

        def look(_: Tensor) -> None:
            if stop():
                raise Superseded

        # (what is looked at is computed even if the cache has it: small maps are not worth that)
        costly = {la.name: look for la in self.generator.layers if la.resolution >= _COSTLY}
        return self.generator.walk(styles, costly, noise=noise, cache=cache)

    def _check_owner(self, recipe: Recipe) -> None:
        owner = recipe.generator
        if owner is not None and owner.fingerprint != self.generator.fingerprint:
            raise ArtifactError(
                f"this recipe was made with generator {owner}, not with {self.catalog.generator}; "
                "load that generator to replay it"
            )
        for part, digest in recipe.parts:
            if part in self.catalog.parts and self._digest(part) != digest:
                raise ArtifactError(
                    f"this recipe was made with another catalog of {self.catalog.generator}: there {part!r} "
                    f"is other clusters ({digest}, not {self._digest(part)}); load that catalog to replay it"
                )
