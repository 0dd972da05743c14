"""The editor: renders recipes, and does no work again that a change does not touch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lefs.blending import Blending, Side
from lefs.catalog import Catalog
from lefs.checks import Label, check_choice, check_filled, check_label, check_name
from lefs.editing import Change, Recipe, compose, resolve_claims
from lefs.generator import Generator
from lefs.images import color_difference, save_png
from lefs.query import QuerySettings
from lefs.records import ArtifactError, PathLike
from lefs.showing import Shown
from lefs.sources import KeptMask, Source, keep_source, source_styles
from lefs.synthesis import Cache, Noise, Stop

__all__ = ["Edit", "Editor", "Superseded"]

_USUAL = QuerySettings()
_SETTINGS = ("strength", "rho", "epsilon", "slope", "coarse", "rgb", "leak")
_COSTLY = 64  # side of the maps from which on it is worth asking whether a layer is still wanted
_KEPT = 2**26  # bytes of unedited pictures that are kept


class _Image(NamedTuple):
    """Which unedited image is meant."""

    source: Source
    truncation: float
    label: Label | None


class _Latest(dict[Any, Any]):
    """What was made last: at most so many things, and `_KEPT` bytes of tensors."""

    def __init__(self, most: int = 64):
        super().__init__()
        self.most = most

    def made(self, key: object, make: Callable[[], Any]) -> Any:
        """What there is by a key, made if there is nothing."""
        if key in self:
            return self[key]
        found = self[key] = make()
        while len(self) > self.most or sum(getattr(one, "nbytes", 0) for one in self.values()) > _KEPT:
            del self[next(iter(self))]
        return found


def _turned(change: Change, setting: str, value: float) -> Change:
    chosen: dict[str, Any] = {setting: value}
    if setting != "strength":
        chosen = {"settings": replace(change.settings, **chosen)}
    return replace(change, **chosen)


def _everywhere(changes: Sequence[Change]) -> list[int]:
    return [i for i, change in enumerate(changes) if change.settings.where == "everywhere"]


@dataclass(frozen=True, eq=False, repr=False)
class Edit(Shown):
    """A rendered recipe.

    Attributes
    ----------
    recipe : Recipe
        What was rendered.
    target, image : Tensor of shape (3, H, W), in [-1, 1]
        Before and after.
    references : Tensor of shape (R, 3, H, W), in [-1, 1]
        One for each change.
    queries : Tensor of shape (R, S), in [0, 1]
        After claims were resolved; of a change in place, of what is mixed in.
    styles : Tensor of shape (1, S)
        Of the edited image; what changes in place mix in has its own.

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

    def save(self, path: PathLike) -> Path:
        """Write the edited picture as PNG, atomically, with the recipe inside: `Recipe.from_png` reads it."""
        return save_png(path, self.image, self.recipe.png_text)

    @property
    def query(self) -> Tensor:
        """Σ_i q_i over the changes that act everywhere, what moves altogether: (S,), in [0, 1]."""
        return self.queries[_everywhere(self.recipe.changes)].sum(dim=0)


class Superseded(Stop):
    """`Editor.render` was told to stop: its result is no longer wanted."""


class Editor(Shown):
    """Renders recipes with one generator and one catalog; keeps each target's cache, so that a change of a
    setting restarts at the first layer that it touches. Safe to call from several threads.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog, str or path
        Of that generator; also as `Catalog.load` takes it, such as by its name.
    noise : {"const", "none"} or int
        Of every image, fixed between target and edit.

    Examples
    --------
    >>> import lefs
    >>> editor = lefs.Editor(lefs.load("portraits-64"), lefs.Catalog.load("portraits-64"))
    >>> editor.grid(1, [2, 3], ["hair"])["hair"].shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, generator: Generator, catalog: Catalog | PathLike, *, noise: Noise = "const"):
        self.catalog = catalog if isinstance(catalog, Catalog) else Catalog.load(catalog)
        self.catalog.check_generator(generator)
        self.generator, self.noise = generator, noise
        self._lock = threading.RLock()
        # (many small pictures weigh more than their pixels)
        self._caches, self._pictures = _Latest(1), _Latest(512)
        self._styled, self._sides, self._fitted = _Latest(), _Latest(), _Latest()

    def cache(self, target: Source, truncation: float, *, label: Label | None = None) -> Cache:
        """The kept states of a target; the last one asked for stays in memory."""
        image = self._image(target, truncation, label)
        with self._lock, torch.no_grad():
            return self._caches.made(image, lambda: self.generator.cache(self._styles([image]), self.noise))

    def render(
        self, recipe: Recipe, *, upto: int | None = None, stop: Callable[[], bool] | None = None
    ) -> Edit:
        """Render a recipe.

        Parameters
        ----------
        recipe : Recipe
            What to do.
        upto : int, optional
            A lower resolution, for a preview.
        stop : callable, optional
            Asked before each of the costly layers of a full rendering; once it says True, that ends.

        Returns
        -------
        Edit

        Raises
        ------
        TypeError
            If `recipe` is no Recipe.
        ArtifactError
            If it was made with another generator, or another catalog's part of the same name; names both.
        Superseded
            If `stop` said True; what is kept for the next rendering stays.
        """
        recipe = self.sign(recipe)
        sources = recipe.target, *(change.reference for change in recipe.changes)
        images = [_Image(source, recipe.truncation, recipe.label) for source in sources]
        with self._lock, torch.no_grad():
            image, queries, styles = self._edited(recipe.changes, images, upto, stop)
            drawn = self._drawn(images, upto)
            return Edit(recipe, drawn[0], image, drawn[1:], queries, styles)

    def _edited(
        self, changes: Sequence[Change], images: Sequence[_Image], upto: int | None = None, stop: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The edited image of a target and the references of its changes, their queries, and its styles."""
        # (a cache costs a full rendering, many times what a preview costs)
        kept = self._caches.get(images[0]) if upto else self.cache(*images[0][:2], label=images[0].label)
        styles, queries, chosen = self._styles(images), self._queries(changes, images), _everywhere(changes)
        strengths = [changes[i].strength for i in chosen]
        moved = compose(styles[:1], styles[1:][chosen], queries[chosen], strengths)
        work = Blending(self.generator, self.catalog, self.noise, upto, kept)
        placed = [
            (change, q, [self._side(work, one, change) for one in (images[0], image)])
            for change, q, image in zip(changes, queries, images[1:], strict=True)
            if change.settings.where == "part"
        ]
        begin = work.edited(work.state(moved), placed) if placed else kept
        return self._synthesize(moved, begin, upto, stop)[0], queries, moved

    def _side(self, work: Blending, image: _Image, change: Change | None = None) -> Side:
        """What changes in place need of an image, with the mask of one; of the latest images it is kept."""
        side: Side = self._sides.made((image, work.upto), lambda: work.side(self._styles([image])))
        if change is None or not isinstance(change.mask, KeptMask):
            return side
        return work.marked(side, change.part, change.mask.mask()[None])

    def part_masks(self, source: Source, truncation: float, label: Label | None) -> dict[str, Tensor]:
        """Where each part is in an unedited image: bool (side, W), of the side that edits in place take."""
        work = Blending(self.generator, self.catalog, self.noise)
        with self._lock, torch.no_grad():
            side = self._side(work, self._image(source, truncation, label))
        return {name: mask[0] for name, mask in side.masks.items()}

    def pictures(
        self, sources: Iterable[Source], *, truncation: float = 0.7, upto: int | None = None,
        label: Label | None = None,
    ) -> Tensor:  # fmt: skip
        """Unedited images of seeds or other sources, (N, 3, H, W); the latest are kept, up to 64 MiB."""
        with self._lock, torch.no_grad():
            images = [self._image(source, truncation, label) for source in sources]
            if images:
                return self._drawn(images, upto)
            side = upto or self.generator.size[0]
            return torch.empty(0, self.generator.channels, *self.generator.at(side).size)

    def _drawn(self, images: Sequence[_Image], upto: int | None) -> Tensor:
        def draw(image: _Image) -> Tensor:
            return self._synthesize(self._styles([image]), self._caches.get(image), upto)[0]

        return torch.stack([self._pictures.made((one, upto), partial(draw, one)) for one in images])

    def grid(
        self, target: Source, references: Sequence[Source], parts: Iterable[str], *, truncation: float = 0.7,
        settings: QuerySettings | Mapping[str, QuerySettings] = _USUAL, strength: float = 1.0,
        label: Label | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """The paper's main figure: each part taken from each reference.

        Where neither picture shows a part, an edit in place leaves the target as it is.

        Parameters
        ----------
        target : int or other source
        references : sequence of int or other sources
        parts : iterable of str
        truncation : float
        settings : QuerySettings, or mapping of part to QuerySettings
            The same for all parts, or a table.
        strength : float
        label : int or list of float, optional
            Of all images.

        Returns
        -------
        dict of str to Tensor of shape (R, 3, H, W), in [-1, 1]
            By part.

        Raises
        ------
        ValueError
            If there are no references or parts, or a part that the catalog or the table does not have.
        """
        references = check_filled("references", references, "at least one seed")
        work, rows = Blending(self.generator, self.catalog, self.noise), {}
        with self._lock, torch.no_grad():
            own, *others = [self._image(one, truncation, label) for one in (target, *references)]
            for part in check_filled("parts", parts, "the names of some"):
                self.catalog.clusters(part)  # (an unknown name is an error that lists the others)
                table = settings if isinstance(settings, Mapping) else {part: settings}
                chosen, row = table[check_name("settings", part, list(table), what="part")], []
                for image in others:
                    change = Change(part, image.source, strength, chosen)
                    sides = (own, image) if chosen.where == "part" else ()
                    masks = [self._side(work, one).masks[part] for one in sides]
                    shown = not masks or bool((masks[0] | masks[1]).any())
                    row.append(self._edited([change] * shown, [own, image][: 1 + shown])[0])
                rows[part] = torch.stack(row)
        return rows

    def filmstrip(self, recipe: Recipe, name: str, values: Sequence[float]) -> Tensor:
        """One image for each value of one setting of the recipe's changes.

        Parameters
        ----------
        recipe : Recipe
        name : str
            ``"strength"``, or a field of `QuerySettings` that is a number, such as ``"rho"``.
        values : sequence of float
            What it takes in turn, at least one.

        Returns
        -------
        Tensor of shape (V, 3, H, W), in [-1, 1]
        """
        check_choice("name", name, _SETTINGS)
        values = check_filled("values", values, "what the setting takes in turn, for example [0, 0.5, 1]")
        recipe = self.sign(recipe)
        turned = [tuple(_turned(change, name, value) for change in recipe.changes) for value in values]
        return torch.stack([self.render(replace(recipe, changes=changes)).image for changes in turned])

    def sign(self, recipe: Recipe) -> Recipe:
        """The recipe with what it takes to replay it: whose it is, the class of its images, which parts are
        meant, and by which contributions their channels are chosen; errors as of `check_owner`.
        """
        self.check_owner(recipe)
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

    def _image(self, source: Source, truncation: float, label: Label | None) -> _Image:
        label = self.generator.default_label if label is None else check_label("label", label)
        return _Image(keep_source(self.generator, source), truncation, label)

    def _styles(self, images: Sequence[_Image]) -> Tensor:
        """Those of several images: (N, S)."""
        make = partial(source_styles, self.generator)
        return torch.cat([self._styled.made(one, partial(make, **one._asdict())) for one in images])

    def _queries(self, changes: Sequence[Change], images: Sequence[_Image]) -> Tensor:
        """The query of each change, after claims of those that act everywhere were resolved: (R, S)."""
        target, *references = self._styles(images).split(1)
        found, claims = torch.ones(len(changes), target.shape[1]).to(target), _everywhere(changes)
        for i, (change, reference) in enumerate(zip(changes, references, strict=True)):
            make = partial(change.settings.query, self.catalog, change.part, target, reference)
            make = partial(make, generator=self.generator, noise=self.noise)
            fitted, key = change.settings.method == "fit", (change.part, images[0], images[i + 1])
            found[i] = self._fitted.made(key, make) if fitted else make()
        if claims:
            of = [changes[i].settings.contribution(self.catalog, changes[i].part) for i in claims]
            found[claims] = resolve_claims(found[claims], torch.stack(of))
        return found

    def _synthesize(
        self, styles: Tensor, cache: Cache | None, upto: int | None, stop: Callable[[], bool] | None = None
    ) -> Tensor:
        if stop is None or upto is not None:
            return self.generator.synthesize(styles, self.noise, upto, cache)

        def look(_: Tensor) -> None:
            if stop():
                raise Superseded

        # (what is looked at is computed: not before edits in place were mixed in, and not small maps)
        begin = 0 if cache is None or cache.states[0] else cache.until
        costly = {la.name: look for la in self.generator.layers[begin:] if la.size[0] >= _COSTLY}
        return self.generator.walk(styles, costly, noise=self.noise, cache=cache)

    def check_owner(self, recipe: Recipe) -> None:
        """Raise an `ArtifactError` if a recipe is of another generator, or of other parts of that name."""
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipe must be a Recipe, as Recipe.load reads one; got {recipe!r:.80}")
        owner = recipe.generator
        if owner is not None and owner.fingerprint != self.generator.fingerprint:
            told = f"{owner}, not with {self.catalog.generator}; load that generator to replay it"
            raise ArtifactError(f"this recipe was made with generator {told}")
        for part, digest in recipe.parts:
            if part in self.catalog.parts and (own := self.catalog.part_digest(part)) != digest:
                raise ArtifactError(
                    f"this recipe was made with another catalog of {self.catalog.generator}: there {part!r} "
                    f"is other clusters ({digest}, not {own}); load that catalog to replay it"
                )
