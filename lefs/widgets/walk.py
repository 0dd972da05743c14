"""The direction walker: one target, one direction, how far to go, and in which part."""

from __future__ import annotations

from functools import lru_cache, partial
from html import escape

import ipywidgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_name, check_number, check_seed
from lefs.directions import RANGES, Direction, Directions, layer_range, move
from lefs.generator import Generator
from lefs.images import color_difference, opaque, to_uint8
from lefs.plotting import comparison_strip
from lefs.query import QuerySettings
from lefs.widgets.canvas import Canvas, Picture, change_picture
from lefs.widgets.controls import choice, line, row, slider, source_field
from lefs.widgets.panel import Panel, inside_and_outside, joined

__all__ = ["DirectionWalker"]

_EVERYWHERE = ""  # (a part has a name)
_USUAL = QuerySettings()


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
        ψ of the target.
    limit : float
        How far the slider goes to either side, in standard deviations.

    Attributes
    ----------
    image, target_image : Tensor of shape (3, H, W)
        After and before, in [-1, 1].
    controls : dict of str to Widget
        "direction", "layers", "part", "target", "amount"; setting a value draws before the assignment
        returns.

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

    image: Tensor
    target_image: Tensor

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
    ) -> None:
        super().__init__(generator, directions, catalog)
        if part is not None:
            check_name("part", part, list(catalog.parts), what="part")
        check_choice("settings.where", settings.where, ("everywhere",))  # (a walk is along channels)
        check_number("limit", limit, minimum=0)
        self._directions, self._catalog, self._settings = directions, catalog, settings
        check_number("truncation", truncation)
        self._styles = lru_cache(maxsize=1)(partial(generator.sample_styles, truncation=truncation))
        seed = check_seed("target", target)
        ranges = [name for name in RANGES if _moves(generator, directions, name)]
        self.controls = _controls(directions, ranges, list(catalog.parts), part, seed, limit)
        self.canvas, self._summary = Canvas(columns=3), line()
        c = self.controls
        self._arrange(
            row(c["direction"], c["layers"], c["part"], c["target"], kind="four"),
            row(c["amount"], kind="two"),
            self.canvas,
            self._summary,
        )
        for widget in self.controls.values():
            self._on_change(widget, self._redraw)
        self._begin(self._redraw)

    def __repr__(self) -> str:
        value = {name: widget.value for name, widget in self.controls.items()}
        return (
            f"DirectionWalker: seed {value['target']}, {self.direction.name} ({value['layers']} layers), "
            f"{value['amount']:+g} standard deviations, {value['part'] or 'everywhere'}"
        )

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
    def _redraw(self, _: object = None) -> None:
        part, amount = self.controls["part"].value, self.controls["amount"].value
        styles = self._styles(self.controls["target"].value)
        q = None if part == _EVERYWHERE else self._settings.query(self._catalog, part)
        moved = move(styles, self.direction, amount, q=q)
        self.target_image, self.image = self._generator.synthesize(torch.cat([styles, moved]))
        self._change = color_difference(self.target_image, self.image)
        target, image = to_uint8(opaque(torch.stack([self.target_image, self.image])))
        self.canvas.show(
            Picture(target, "target", f"seed {self.controls['target'].value}"),
            Picture(image, "walked", f"{amount:+.1f} standard deviations"),
            change_picture(self._change),
        )
        self._summary.value = self._measures(part, int((moved != styles).sum()))

    def _measures(self, part: str, count: int) -> str:
        direction = self.direction
        texts = [
            f"<b>{count:,}</b> of {self._generator.num_styles:,} channels move",
            f"{escape(direction.name)} explains <b>{direction.explained:.1%}</b>",
        ]
        if part != _EVERYWHERE:
            mask = self._catalog.part_masks(self._generator, self._styles(self.controls["target"].value))
            texts.append(inside_and_outside(self._change, mask[part][0]))
        return joined(texts)


def _moves(generator: Generator, directions: Directions, layers: str) -> bool:
    """Whether the directions move any layer of a range (a small generator may have none in it)."""
    try:
        return bool(set(layer_range(generator, layers)) & set(directions.layers))
    except ValueError:
        return False


def _controls(
    directions: Directions, ranges: list[str], parts: list[str], part: str | None, target: int, limit: float
) -> dict[str, ipywidgets.Widget]:
    offered = [(d.name, i) for i, d in enumerate(directions)]
    places = [("everywhere", _EVERYWHERE), *((name, name) for name in parts)]
    far = "How far, in standard deviations of w along the direction; 0 is the target"
    return {
        "direction": choice("direction", offered, 0, "Where to walk along, the most important first"),
        "layers": choice("layers", ranges, ranges[0], "Coarse ones carry shape and pose, fine ones colour"),
        "part": choice("part", places, part or _EVERYWHERE, "Walk in the channels of one part, or in all"),
        "target": source_field("target", target, "Seed of the image to start from"),
        "amount": slider("amount", min(2.0, limit), limit, 0.1, far, low=-limit, sign="+"),
    }
