"""The editor: renders recipes, and does no work again that a change does not touch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.blending import Side, blend, blending_layer, refined
from lefs.catalog import Catalog
from lefs.checks import Label, check_choice, check_label
from lefs.editing import Change, Recipe, compose, resolve_claims, transfer
from lefs.fitting import fit_query
from lefs.generator import Generator
from lefs.images import color_difference, save_png
from lefs.query import QuerySettings
from lefs.records import ArtifactError
from lefs.showing import Shown
from lefs.sources import KeptMask, KeptStyles, Source, keep_source, source_styles
from lefs.synthesis import Cache, Stop

__all__ = ["Edit", "Editor", "Superseded"]

_USUAL = QuerySettings()
_Kept = int | KeptStyles
_Key = tuple[_Kept, float, Label | None, int | None]  # source, truncation, label, side of a preview
_COSTLY = 64  # side of the maps from which on it is worth asking whether a layer is still wanted
_KEPT = 2**26  # bytes of unedited pictures that are kept
_SIDES = 64  # images of which masks and coarse maps are kept, and pairs of which fitted queries are


def _turned(recipe: Recipe, name: str, value: float) -> Recipe:
    """The recipe with one knob of every change set to `value`."""
    knob: dict[str, Any] = {name: value}
    if name == "strength":
        changes = [replace(c, **knob) for c in recipe.changes]
    else:
        changes = [replace(c, settings=replace(c.settings, **knob)) for c in recipe.changes]
    return replace(recipe, changes=tuple(changes))


def _everywhere(recipe: Recipe) -> list[int]:
    """Which of the changes act everywhere, as the paper's do."""
    return [i for i, change in enumerate(recipe.changes) if change.settings.where == "everywhere"]


@dataclass(frozen=True, eq=False, repr=False)
class Edit(Shown):
    """A rendered recipe.

    Attributes
    ----------
    recipe : what was rendered
    target, image : Tensor of shape (3, H, W), before and after
    references : Tensor of shape (R, 3, H, W), one for each change
    queries : Tensor of shape (R, S), after claims were resolved; of a change in place, of what is mixed in
    styles : Tensor of shape (1, S), of the edited image; what changes in place mix in has its own

    Examples
    --------
    >>> import lefs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> edit = lefs.Editor(generator, catalog).render(lefs.Recipe(1, (lefs.Change("hair", 2),)))
    >>> edit.change.shape, list(edit.pictures)
    (torch.Size([64, 64]), ['target', 'hair of 2', 'edit'])
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
        return color_difference(self.target, self.image)

    @property
    def pictures(self) -> dict[str, Tensor]:
        """Target, references and edit by what they show, such as ``"hair of 2017"``; each (3, H, W)."""
        names = [f"{change.part} of {change.reference}" for change in self.recipe.changes]
        return {"target": self.target, **dict(zip(names, self.references, strict=True)), "edit": self.image}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the edited picture as PNG, atomically, with the recipe inside: `Recipe.from_png` reads it."""
        return save_png(path, self.image, self.recipe.png_text)

    @property
    def query(self) -> Tensor:
        """Σ_i q_i over the changes that act everywhere, what moves altogether: (S,), in [0, 1]."""
        return self.queries[_everywhere(self.recipe)].sum(dim=0)


class Superseded(Stop):
    """`Editor.render` was told to stop: its result is no longer wanted."""


class Editor(Shown):
    """Renders recipes with one generator and one catalog; keeps each target's cache, so that a change of a
    setting restarts at the first layer that it touches. Safe to call from several threads.

    Parameters
    ----------
    generator, catalog : must belong together
    noise : of every image, fixed between target and edit

    Examples
    --------
    >>> import lefs
    >>> editor = lefs.Editor(lefs.load("portraits-64"), lefs.Catalog.load("portraits-64"))
    >>> editor.grid(1, [2, 3], ["hair"])["hair"].shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, generator: Generator, catalog: Catalog, *, noise: int | str = "const"):
        catalog.check_generator(generator)
        self.generator, self.catalog, self.noise = generator, catalog, noise
        self._lock = threading.RLock()
        self._cache: tuple[tuple[_Kept, float, Label | None], Cache] | None = None
        self._pictures: dict[_Key, Tensor] = {}
        self._sides: dict[_Key, Side] = {}
        self._fitted: dict[tuple[str, str, str], Tensor] = {}
        self._latest: tuple[object, Tensor] | None = None  # styles, of seeds

    def cache(self, target: Source, truncation: float, *, label: Label | None = None) -> Cache:
        """The kept states of a target; the last one asked for stays in memory."""
        label = check_label("label", label)
        key = (keep_source(self.generator, target), truncation, label)
        with self._lock, torch.no_grad():
            if self._cache is None or self._cache[0] != key:
                styles = self._styles([key[0]], truncation, label)
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
        self.check_owner(recipe)
        recipe = self.sign(recipe)
        with self._lock, torch.no_grad():
            kept, target = self._target(recipe, preview=upto is not None)
            seeds = [c.reference for c in recipe.changes]
            references = self._styles(seeds, recipe.truncation, recipe.label) if seeds else target[:0]
            queries = self._queries(recipe.changes, target, references)
            chosen = _everywhere(recipe)
            strengths = [recipe.changes[i].strength for i in chosen]
            styles = compose(target, references[chosen], queries[chosen], strengths)
            begin = kept if len(chosen) == len(seeds) else self._blended(recipe, styles, kept, upto)
            options: dict[str, Any] = {"truncation": recipe.truncation, "upto": upto, "label": recipe.label}
            return Edit(
                recipe=recipe,
                # (from a cache it costs nothing; without one it is kept, and costs nothing the next time)
                target=(
                    self._synthesize(target, kept, upto)
                    if kept
                    else self.pictures([recipe.target], **options)
                )[0],
                image=self._synthesize(styles, begin, upto, stop)[0],
                references=self.pictures(seeds, **options),
                queries=queries,
                styles=styles,
            )

    def _blended(self, recipe: Recipe, styles: Tensor, kept: Cache | None, upto: int | None) -> Cache:
        """Where the walk of `styles` goes on once all changes in place are mixed in, one over the other."""
        side = partial(self._side, truncation=recipe.truncation, label=recipe.label, upto=upto)
        target, both = side(recipe.target, cache=kept), (self.generator, self.catalog)
        layer = blending_layer(self.catalog)
        outer = self.generator.state(styles, layer, noise=self.noise, upto=upto, cache=kept)  # type: ignore[arg-type]
        found, places, growth = outer, list[Tensor](), list[int | None]()
        for change in (c for c in recipe.changes if c.settings.where == "part"):
            options: dict[str, Any] = {"strength": change.strength, "over": found, "upto": upto}
            sides = [target, side(change.reference)]
            if isinstance(change.mask, KeptMask):
                drawn = change.mask.mask()[None]
                sides = [one.marked(*both, change.part, drawn) for one in sides]
            found, place = blend(*both, change.part, change.settings, *sides, **options)
            places.append(place)
            growth.append(change.settings.refine)
        # (what one change mixes in without a second blend is not cut by another's)
        widest = None if None in growth else max(g for g in growth if g is not None)
        place, own = torch.stack(places).any(dim=0), None if _everywhere(recipe) else kept
        return refined(*both, outer, found, place, widest, upto=upto, cache=own)

    def _side(
        self,
        source: Source,
        *,
        truncation: float,
        label: Label | None,
        upto: int | None,
        cache: Cache | None = None,
    ) -> Side:
        """What changes in place need of an image; of the latest it is kept."""
        key = (keep_source(self.generator, source), truncation, label, upto)
        if key not in self._sides:
            while len(self._sides) >= _SIDES:
                del self._sides[next(iter(self._sides))]
            styles, options = self._styles([source], truncation, label), {"upto": upto, "cache": cache}
            self._sides[key] = Side.of(self.generator, self.catalog, styles, noise=self.noise, **options)  # type: ignore[arg-type]
        return self._sides[key]

    def part_masks(self, source: Source, truncation: float, label: Label | None) -> dict[str, Tensor]:
        """Where each part is in an unedited image: bool (side, W), of the side that edits in place take."""
        with self._lock, torch.no_grad():
            side = self._side(source, truncation=truncation, label=label, upto=None)
        return {name: mask[0] for name, mask in side.masks.items()}

    def pictures(
        self,
        sources: Iterable[Source],
        *,
        truncation: float = 0.7,
        upto: int | None = None,
        label: Label | None = None,
    ) -> Tensor:
        """Unedited images of seeds or other sources, (N, 3, H, W); the latest are kept, up to 64 MiB."""
        wanted, label = [keep_source(self.generator, one) for one in sources], check_label("label", label)
        with self._lock, torch.no_grad():
            for seed in wanted:
                key = (seed, truncation, label, upto)
                if key not in self._pictures:
                    styles = self._styles([seed], truncation, label)
                    self._pictures[key] = self._synthesize(styles, None, upto)[0]
            found = [self._pictures[(seed, truncation, label, upto)] for seed in wanted]
            while sum(image.nbytes for image in self._pictures.values()) > _KEPT:
                del self._pictures[next(iter(self._pictures))]
            height, width = self.generator.size
            size = (height, width) if upto is None else (upto, upto * width // height)
            return torch.stack(found) if found else torch.empty(0, self.generator.channels, *size)

    def grid(
        self,
        target: Source,
        references: Sequence[Source],
        parts: Iterable[str],
        *,
        truncation: float = 0.7,
        settings: QuerySettings | Mapping[str, QuerySettings] = _USUAL,
        strength: float = 1.0,
        label: Label | None = None,
    ) -> dict[str, Tensor]:
        """The paper's main figure: each part (key) taken from each reference: {part: (R, 3, H, W)}.

        `settings` are the same for all parts or a table by part; `label` is that of all images. Where
        neither picture shows a part, an edit in place leaves the target as it is.
        """
        rows, label = {}, check_label("label", label)
        with self._lock, torch.no_grad():
            cache = self.cache(target, truncation, label=label)
            styles = self._styles(references, truncation, label)
            for part in parts:
                chosen = settings if isinstance(settings, QuerySettings) else settings[part]
                if chosen.where == "part":
                    self.catalog.clusters(part)  # (an unknown name is an error that lists the others)
                    side = partial(self._side, truncation=truncation, label=label, upto=None)
                    seen = [bool((side(target).masks[part] | side(r).masks[part]).any()) for r in references]
                    changes = [
                        (Change(part, r, strength, chosen),) * s
                        for r, s in zip(references, seen, strict=True)
                    ]
                    recipes = [Recipe(target, c, truncation, label=label) for c in changes]
                    rows[part] = torch.stack([self.render(recipe).image for recipe in recipes])
                    continue
                if chosen.method == "fit":
                    pair = Change(part, 0, settings=chosen), cache.styles
                    q = torch.stack([self._query(*pair, s[None]) for s in styles])
                else:
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
        label = self.generator.default_label if recipe.label is None else recipe.label
        changes = tuple(self._stated(change) for change in recipe.changes)
        known = sorted({c.part for c in changes} & self.catalog.parts.keys())
        parts = tuple((name, self.catalog.part_digest(name)) for name in known)
        owner = self.catalog.generator
        target = keep_source(self.generator, recipe.target)
        return replace(recipe, target=target, generator=owner, label=label, changes=changes, parts=parts)

    def _stated(self, change: Change) -> Change:
        measure = None if self.catalog.measure == "none" else self.catalog.measure
        settings = replace(change.settings, contributions=change.settings.contributions or measure)
        return replace(change, reference=keep_source(self.generator, change.reference), settings=settings)

    def _styles(self, sources: Sequence[Source], truncation: float, label: Label | None) -> Tensor:
        if all(isinstance(one, int) for one in sources):  # (together, so that they round as they always have)
            key, labels = (
                (tuple(sources), truncation, label),
                None if label is None else [label] * len(sources),
            )
            if self._latest is None or self._latest[0] != key:
                options: dict[str, Any] = {"truncation": truncation, "labels": labels}
                self._latest = key, self.generator.sample(sources, **options)  # type: ignore[arg-type]
            return self._latest[1]
        chosen = {"truncation": truncation, "label": label}
        return torch.cat([source_styles(self.generator, one, **chosen) for one in sources])  # type: ignore[arg-type]

    def _queries(self, changes: Sequence[Change], target: Tensor, references: Tensor) -> Tensor:
        """The query of each change, after claims of those that act everywhere were resolved: (R, S)."""
        found = torch.ones_like(references)
        if self.generator.has_styles or any(c.settings.where == "everywhere" for c in changes):
            self.generator.check_styles()
            for i, c in enumerate(changes):
                found[i] = self._query(c, target, references[i : i + 1])
        claims = [i for i, c in enumerate(changes) if c.settings.where == "everywhere"]
        if claims:
            of = [changes[i].settings.contribution(self.catalog, changes[i].part) for i in claims]
            found[claims] = resolve_claims(found[claims], torch.stack(of))
        return found

    def _query(self, change: Change, target: Tensor, reference: Tensor) -> Tensor:
        if change.settings.method != "fit":
            return change.settings.query(self.catalog, change.part, target, reference).reshape(-1)
        key = (change.part, KeptStyles.of(target).sha256, KeptStyles.of(reference).sha256)
        if key not in self._fitted:
            while len(self._fitted) >= _SIDES:
                del self._fitted[next(iter(self._fitted))]
            pair, options = (target, reference), {"noise": self.noise}
            self._fitted[key] = fit_query(self.generator, self.catalog, change.part, *pair, **options)[0]  # type: ignore[arg-type]
        return self._fitted[key]

    def _target(self, recipe: Recipe, *, preview: bool) -> tuple[Cache | None, Tensor]:
        """The target's cache, if it is kept or worth making, and its styles."""
        key = (recipe.target, recipe.truncation, recipe.label)
        if preview and (self._cache is None or self._cache[0] != key):
            # A cache costs a full rendering, many times what the preview costs.
            return None, self._styles([recipe.target], recipe.truncation, recipe.label)
        cache = self.cache(recipe.target, recipe.truncation, label=recipe.label)
        return cache, cache.styles

    def _synthesize(
        self, styles: Tensor, cache: Cache | None, upto: int | None, stop: Callable[[], bool] | None = None
    ) -> Tensor:
        noise: Any = self.noise
        if stop is None or upto is not None:
            return self.generator.synthesize(styles, noise, upto, cache)

        def look(_: Tensor) -> None:
            if stop():
                raise Superseded

        # (what is looked at is computed: not before edits in place were mixed in, and not small maps)
        begin = 0 if cache is None or cache.until is None else cache.until
        costly = {la.name: look for la in self.generator.layers[begin:] if la.size[0] >= _COSTLY}
        return self.generator.walk(styles, costly, noise=noise, cache=cache)

    def check_owner(self, recipe: Recipe) -> None:
        """Raise an `ArtifactError` if a recipe is of another generator, or of other parts of that name."""
        owner = recipe.generator
        if owner is not None and owner.fingerprint != self.generator.fingerprint:
            raise ArtifactError(
                f"this recipe was made with generator {owner}, not with {self.catalog.generator}; "
                "load that generator to replay it"
            )
        for part, digest in recipe.parts:
            if part in self.catalog.parts and (own := self.catalog.part_digest(part)) != digest:
                raise ArtifactError(
                    f"this recipe was made with another catalog of {self.catalog.generator}: there {part!r} "
                    f"is other clusters ({digest}, not {own}); load that catalog to replay it"
                )
