"""The direction walker: one target, one direction, how far to go, and in which part."""

from __future__ import annotations

import html
from dataclasses import replace
from typing import Any

import ipywidgets
import torch
from matplotlib.figure import Figure

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_integer, check_name, check_number, check_seed
from lefs.directions import RANGES, Direction, Directions, move
from lefs.generator import Generator
from lefs.images import color_difference, opaque, to_uint8
from lefs.plotting import comparison_strip
from lefs.query import QuerySettings
from lefs.saving import exclusive
from lefs.stylespace import ranges
from lefs.widgets import elements as ui
from lefs.widgets.panel import Folder, Panel, inside_and_outside, joined

__all__ = ["DirectionWalker"]

_EVERYWHERE = ""  # (a part has a name)
_USUAL = QuerySettings()
_MOST = 6  # pictures at once
_TENSORS = ("latents", "styles", "deviations", "explained")


class DirectionWalker(Panel):
    """Walk along directions of the whole latent space, everywhere or in one part only, live.

    Shown as a cell's last value: the target, where the walk has led, and where that changed the target.

    Parameters
    ----------
    generator : Generator
    directions : Directions
        Of that generator.
    catalog : Catalog
        Of that generator; a walk can be confined to its parts.
    target : int
        Seed of the image that is walked from.
    part : str, optional
        A part to begin with; None for everywhere.
    settings : QuerySettings
        How the channels of a part are chosen.
    truncation : float
        ψ of the target, at least 0.
    limit : float
        How far the slider goes to either side, in standard deviations.
    pictures : int
        How many, from the target's seed on, walk together.
    folder : path, optional
        Where a walk is saved under its name, as a direction that `lefs.directions.Directions.load` reads
        together with those that were saved there before; None: it cannot be.

    Attributes
    ----------
    image, target_image : Tensor of shape (3, H, W)
        After and before, in [-1, 1].
    controls : dict of str to Widget
        "direction", "layers", "part", "target", "pictures", "truncation", "amount", "add", "drop", "name",
        "save"; setting a value draws before the assignment returns.

    Raises
    ------
    ArtifactError
        If directions or catalog are of another generator.
    ValueError
        If there is no such part; the message lists them.

    Examples
    --------
    >>> import lefs
    >>> from lefs.directions import principal_directions
    >>> from lefs.widgets import DirectionWalker
    >>> model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> walker = DirectionWalker(model, principal_directions(model, range(100)), found, part="hair")
    >>> walker.controls["amount"].value = 0.0
    >>> bool((walker.image == walker.target_image).all())
    True
    """

    image: torch.Tensor
    target_image: torch.Tensor

    def __init__(
        self,
        generator: Generator,
        directions: Directions,
        catalog: Catalog,
        *,
        target: int = 0,
        part: str | None = None,
        settings: QuerySettings = _USUAL,
        truncation: float = 0.7,
        limit: float = 6.0,
        pictures: int = 1,
        folder: Folder = None,
    ) -> None:
        super().__init__(generator, directions, catalog, folder=folder)
        if part is not None:
            check_name("part", part, list(catalog.parts), what="part")
        check_choice("settings.where", settings.where, ("everywhere",))  # (a walk is along channels)
        check_number("limit", limit, minimum=0)
        check_number("truncation", truncation, minimum=0)  # (where its slider begins)
        check_integer("pictures", pictures, minimum=1, maximum=_MOST)
        self._directions, self._catalog, self._settings = directions, catalog, settings
        self._added: list[tuple[Direction, float]] = []
        offered = [(d.name, i) for i, d in enumerate(directions)]
        known, own = {"all": directions.layers, **ranges(generator.layers)}, {*directions.layers}
        among = [name for name in RANGES if own & {*known[name]}]  # (a small generator may have none in one)
        places = [("everywhere", _EVERYWHERE), *((name, name) for name in catalog.parts)]
        far = "How far, in standard deviations of w along the direction; 0 is the target"
        together = {"description": "pictures", "tooltip": "How many walk together, from that seed on"}
        seed = {"description": "target", "tooltip": "Seed of the image to start from"}
        where, psi = part or _EVERYWHERE, "ψ of the pictures: 0 is the mean of all"
        self.controls = {
            "direction": ui.choice("direction", offered, 0, "Where to walk along, the most important first"),
            "layers": ui.choice("layers", among, among[0], "Coarse carry shape and pose, fine ones colour"),
            "part": ui.choice("part", places, where, "Walk in the channels of one part, or in all"),
            "target": ui.SeedField(check_seed("target", target), **seed),
            "amount": ui.slider("amount", min(2.0, limit), limit, 0.1, far, low=-limit, sign="+"),
            "truncation": ui.slider("truncation", truncation, max(1.0, truncation), 0.05, psi),
            "pictures": ipywidgets.BoundedIntText(pictures, min=1, max=_MOST, **together),
            "add": ui.button("Add another", "plus", "Keep this step, and go on along another direction"),
            "drop": ui.button("Drop", "trash", "Drop all that were added"),
            "name": ui.field("a name for this walk", "What the saved direction is called"),
            "save": ui.button("Save", "save", "Save this walk as a direction", disabled=folder is None),
        }
        self._build()

    def _build(self) -> None:
        self.canvas, c = ui.Canvas(columns=3), self.controls
        tools = ui.row(c["add"], c["drop"], kind="tools")
        self._arrange(
            ui.row(c["direction"], c["layers"], c["part"], c["amount"], kind="four"),
            ui.row(c["target"], c["pictures"], c["truncation"], tools, kind="four"),
            self.canvas,
            self._summary,
            ui.row(c["name"], c["save"], kind="tools"),
        )
        self._connect({"add": self._add, "drop": self._drop, "save": self._save})
        drawn = ("direction", "layers", "part", "target", "amount", "pictures", "truncation")
        self._connect(dict.fromkeys(drawn, self._redraw))
        self._begin(self._redraw)

    def __repr__(self) -> str:
        value = {name: getattr(widget, "value", None) for name, widget in self.controls.items()}
        along = f"{self.direction.name} ({value['layers']} layers), {value['amount']:+g} standard deviations"
        told = f"DirectionWalker: seed {value['target']}, {along}, {value['part'] or 'everywhere'}"
        return told + "".join(f"; {direction.name} {amount:+g}" for direction, amount in self._added)

    @property
    def direction(self) -> Direction:
        """The direction that is walked along, in the layers that are chosen."""
        chosen: Direction = self._directions[self.controls["direction"].value]
        return chosen.within(self._generator, self.controls["layers"].value)

    def figure(self) -> Figure:
        """Target | walked | where it changed, as a figure."""
        images = {"target": self.target_image, "walked": self.image}
        title = repr(self).partition(": ")[2]
        return comparison_strip(images, changes={"walked": self._change}, title=title)

    # -- drawing ----------------------------------------------------------------------------------
    def _given(self) -> torch.Tensor:
        """Styles of the pictures that are walked from."""
        first, count, truncation = (self.controls[n].value for n in ("target", "pictures", "truncation"))
        seeds = range(check_seed("target", first), first + count)
        return self._generator.sample_styles(seeds, truncation=truncation)

    @property
    def _walks(self) -> list[tuple[Direction, float]]:
        """All directions, and how far along each; what is 0 is none."""
        return [(d, t) for d, t in [*self._added, (self.direction, self.controls["amount"].value)] if t]

    def _query(self) -> torch.Tensor | None:
        part = self.controls["part"].value
        return None if part == _EVERYWHERE else self._settings.query(self._catalog, part)

    def _redraw(self, _: object = None) -> None:
        styles, q = self._given(), self._query()
        moved = styles
        for direction, amount in self._walks:
            moved = move(moved, direction, amount, q=q)
        images = self._generator.synthesize(torch.cat([styles, moved]))
        before, after = images.split(len(styles))
        changes = color_difference(before, after)
        self.target_image, self.image, self._change = before[0], after[0], changes[0]
        told = ", ".join(f"{d.name} {t:+.1f}" for d, t in self._walks) or "no step"
        shown, pixels = list[ui.Picture](), to_uint8(opaque(images))
        for i, (own, other, change) in enumerate(zip(pixels, pixels[len(styles) :], changes, strict=False)):
            shown.append(ui.Picture(own, "target", f"seed {self.controls['target'].value + i}"))
            shown += [ui.Picture(other, "walked", told), ui.change_picture(change)]
        self.canvas.widest = 384 if len(styles) == 1 else 256
        self.canvas.show(*shown)
        self._summary.value = self._measures(self.controls["part"].value, int((moved[0] != styles[0]).sum()))

    # -- several directions, kept -----------------------------------------------------------------
    def _add(self) -> None:
        self._added.append((self.direction, self.controls["amount"].value))
        self.controls["amount"].value = 0.0
        self._redraw()

    def _drop(self) -> None:
        self._added.clear()
        self._redraw()

    def _save(self) -> None:
        folder, name = self._saved_in(), self.controls["name"].value.strip()
        if not name:
            raise ValueError("a name for this walk: type one first")
        found = _combined(name, self._walks, q=self._query())
        with exclusive(folder):  # (so that nobody's walk is lost to another's)
            if (folder / "directions.safetensors").exists():
                found = _joined(Directions.load(folder), found)
            path = found.save(folder)
        self._status.value = f"{html.escape(name)} is in {html.escape(str(path))}, of {len(found)}"

    def _measures(self, part: str, count: int) -> str:
        direction = self.direction
        texts = [f"<b>{count:,}</b> of {self._generator.num_styles:,} channels move"]
        texts.append(f"{html.escape(direction.name)} explains <b>{direction.explained:.1%}</b>")
        if part != _EVERYWHERE:
            mask = self._catalog.part_masks(self._generator, self._given()[:1])
            which = f"seed {self.controls['target'].value}: " if self.controls["pictures"].value > 1 else ""
            texts.append(which + inside_and_outside(self._change, mask[part][0]))
        return joined(texts)


def _combined(name: str, walks: list[tuple[Direction, float]], *, q: torch.Tensor | None) -> Directions:
    """Several directions as one: an amount of 1 goes all of the ways. What it explains is not known: 0."""
    if not walks:
        raise ValueError("there is no walk to save; go some way along a direction first")
    step = torch.stack([d.styles.double() * (d.deviation * t) for d, t in walks]).sum(dim=0)
    styles = (step if q is None else step * q.detach().cpu().double()).float()[None]
    one, layers = torch.ones(1).double(), tuple(dict.fromkeys(la for d, _ in walks for la in d.layers))
    return Directions("named", one[:, None] * 0, styles, one, one * 0, layers, walks[0][0].generator, (name,))


def _joined(saved: Directions, new: Directions) -> Directions:
    """Both sets; where both have a name, the new one holds."""
    if not saved.names or saved.generator != new.generator:
        raise ValueError("the folder holds directions of another kind or generator; choose another folder")
    kept = [i for i, name in enumerate(saved.names) if name not in new.names]
    tensors: dict[str, Any] = {n: torch.cat([getattr(saved, n)[kept], getattr(new, n)]) for n in _TENSORS}
    layers = tuple(dict.fromkeys(saved.layers + new.layers))
    return replace(new, **tensors, layers=layers, names=(*(saved.names[i] for i in kept), *new.names))
