"""The unit painter: paint on a picture where units are to be switched off or on, and see it at once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lefs.checks import check_choice, check_integer, check_number, check_seed
from lefs.generator import Generator
from lefs.images import color_difference, opaque, to_uint8
from lefs.plotting import comparison_strip
from lefs.plotting.arrays import overlay
from lefs.plotting.style import LINES
from lefs.units import UnitDissection, cells_of, pixels_of, replacement
from lefs.units.concepts import Concepts, Judge
from lefs.widgets import elements as ui
from lefs.widgets.panel import History, Panel, joined
from lefs.widgets.unit_search import TESTED, UnitSearch, countable, largest_iou
from lefs.workers.progress import track

__all__ = ["UnitPainter"]

_ABLATED, _INSERTED = 1, 2
_ACTIONS = {"insert": _INSERTED, "ablate": _ABLATED, "erase": 0}
_COLORS = np.array([to_rgb(color) for color in ("white", LINES[1], LINES[0])])  # by the kinds
_FORCES, _SIZES = {"low": 1 / 3, "medium": 2 / 3, "high": 1.0}, {"small": 0.04, "medium": 0.1, "large": 0.25}


class UnitPainter(Panel):
    """Paint on a picture where units of one layer are ablated or inserted.

    Shown as a cell's last value: the picture to paint on, what comes of it, and where it changed. Painting
    works with the pointer, or with arrow keys and space bar. Whole positions of the layer's maps are changed:
    the tint shows which, and the concept's pixels are counted under exactly those. With a segmenter that has
    ``logits``, or a catalog, only concepts that units of the layer act on are offered: once the panel is seen
    that is looked for beside what the user does. Choosing one looks for the units that cause it.

    Parameters
    ----------
    generator : Generator
        With styles or without.
    dissection : UnitDissection
        Of that generator: which units stand for a concept, and at what level.
    seed : int
        Of the picture.
    concept, layer : str, optional
        To start with; None: the concept of the unit with the largest IoU, and the layer of its best unit.
    units : int
        How many of them, to start with.
    order : sequence of int, optional
        The units of that layer in the order in which they are taken for that concept, for example those that
        `lefs.units.optimize_units` ranks first, those that it leaves out by IoU; None, and for any other
        layer or concept: by IoU.
    segmenter : callable or Catalog, optional
        Counts the concept's pixels; only what it can count is offered: concepts that it knows and, for a
        catalog, layers up to its own. None: they are not counted.

    Attributes
    ----------
    image, result : Tensor of shape (3, H, W)
        Before and after, in [-1, 1].
    painted : ndarray of shape (H, W), int8
        0 as it is, 1 ablated, 2 inserted.
    controls : dict of str to Widget
        "concept", "layer", "units", "action", "force", "size", "brush", "seed", "undo", "redo", "clear";
        setting a value draws before the assignment returns.

    Raises
    ------
    ValueError
        If there is no such concept or layer; the message lists them.
        If the segmenter knows none of the concepts or does not see the layer, or an argument is out of range.
    ArtifactError
        If the units are of another generator.

    Examples
    --------
    >>> import lefs
    >>> from lefs.widgets import UnitPainter
    >>> model, found = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> units = lefs.units.characterize(
    ...     model, range(4), segmenter=found, layers=["b8.conv1"], progress=False
    ... )
    >>> painter = UnitPainter(model, units, 3, concept="hair", layer="b8.conv1")
    >>> painter.paint([(0.4, 0.2), (0.6, 0.2)], action="ablate")
    >>> bool((painter.result != painter.image).any())
    True
    """

    image: torch.Tensor
    result: torch.Tensor

    def __init__(
        self,
        generator: Generator,
        dissection: UnitDissection,
        seed: int,
        *,
        concept: str | None = None,
        layer: str | None = None,
        units: int = 8,
        order: Sequence[int] | None = None,
        segmenter: Judge | None = None,
    ) -> None:
        super().__init__(generator, dissection)
        self._dissection = dissection
        self._concepts = None if segmenter is None else Concepts(generator, segmenter)
        shown, names = countable(dissection, self._concepts)
        concept = max(shown, key=partial(largest_iou, dissection)) if concept is None else concept
        layer = max(names, key=partial(largest_iou, dissection, concept)) if layer is None else layer
        dissection.levels_of(layer, concept)
        if self._concepts is not None:
            self._concepts.index(concept)
            self._concepts.check_layer(layer)
        self._search = UnitSearch(generator, dissection, segmenter)
        if order is not None:
            self._search.put_first(order, concept, layer)
        # (a step is a stroke, also one that paints what is painted; what is painted is kept small)
        self._history = History[tuple[object, bytes]]((None, _packed(np.zeros(generator.size))))
        self._stroke: tuple[Any, int] = (None, 0)  # the number of the last, and how many points of it came
        self._shown, self._was = shown, concept
        self._acts: dict[tuple[str, str], bool] = {}  # on a concept, of a layer: as far as is known
        self._surveyed: set[str] = set()  # layers, on all concepts
        widest, brushes = generator.layer(layer).channels, [*_SIZES.items(), ("own", 0.0)]
        count = min(check_integer("units", units, minimum=1), widest)
        how_many = "How many units are switched, those of largest IoU first"
        self.controls = {
            "concept": ui.choice("concept", shown, concept, "What the units stand for"),
            "layer": ui.choice("layer", names, layer, "Whose units are switched"),
            "units": ipywidgets.IntSlider(count, min=1, max=widest, description="units", tooltip=how_many),
            "action": ui.choice("paint to", list(_ACTIONS), "insert", "What painting does"),
            "force": ui.choice("strength", list(_FORCES), "high", "How far units go to 0, or to their level"),
            "size": ui.choice("size", brushes, 0.1, "Of the brush"),
            "brush": ui.slider("brush", 0.1, 0.5, 0.01, "Diameter, a share of the picture's side", low=0.01),
            "seed": ui.SeedField(check_seed("seed", seed), description="seed", tooltip="Seed of the picture"),
            "clear": ui.button("Clear", "eraser", "Take all paint away"),
        }
        self._build()

    def __repr__(self) -> str:
        ablated, inserted = (int((self.painted == kind).sum()) for kind in (_ABLATED, _INSERTED))
        seed = self.controls["seed"].value
        return f"UnitPainter: {self._stated()}, seed {seed}; {ablated} pixels ablated, {inserted} inserted"

    @property
    def painted(self) -> np.ndarray:
        """What is painted on each pixel: 0 as it is, 1 ablated, 2 inserted; (H, W), int8."""
        packed = zlib.decompress(self._history.now[1])
        return np.frombuffer(packed, np.int8).reshape(self._generator.size)

    @property
    def units(self) -> list[int]:
        """The units that are switched: the first of their order, as many as the slider says."""
        concept, layer, count = (self.controls[name].value for name in ("concept", "layer", "units"))
        return self._search.order(concept, layer)[:count]

    def figure(self) -> Figure:
        """What was painted, what came of it, and where it changed, as a figure."""
        tinted = torch.from_numpy(self._tinted()).movedim(-1, 0).float() / 127.5 - 1
        images = {"picture": self.image, "painted": tinted, "result": self.result}
        changes = {"result": color_difference(self.image, self.result)}
        return comparison_strip(images, changes=changes, title=self._stated())

    def paint(self, points: Sequence[Sequence[float]], *, action: str | None = None) -> None:
        """Paint along points (x, y) in [0, 1] from the upper left, with the brush of the controls.

        Parameters
        ----------
        points : sequence of (float, float)
        action : {"insert", "ablate", "erase"}, optional
            None: what the control says.
        """
        kind = check_choice("action", self.controls["action"].value if action is None else action, _ACTIONS)
        places = [tuple(check_number("points", v, minimum=0, maximum=1) for v in p) for p in points]
        with self._alone():  # (nobody's stroke is lost to another's)
            painted = self.painted.copy()
            _brush(painted, _ACTIONS[kind], self.controls["brush"].value, places)
            self._history.push((object(), _packed(painted)))
            self._draw()

    def _stated(self) -> str:
        units, layer, concept = (self.controls[name].value for name in ("units", "layer", "concept"))
        return f"{units} units of {layer} for {concept}"

    # -- controls ---------------------------------------------------------------------------------
    def _build(self) -> None:
        self.canvas, self._notice, c = ui.Canvas(columns=3), ui.line(), self.controls
        self._undo_by(self._draw)
        self._arrange(
            ui.row(c["concept"], c["layer"], c["units"], c["seed"], kind="four"),
            ui.row(c["action"], c["force"], c["size"], c["brush"], kind="four"),
            self._notice,
            self.canvas,
            ui.row(self._summary, ui.row(c["undo"], c["redo"], c["clear"], kind="tools"), kind="ends"),
        )
        self._connect({"concept": self._choose_concept, "layer": self._turn_to_layer})
        self._connect({"units": self._draw, "force": self._draw, "seed": self._turn_to_seed})
        brush, sizes = c["brush"], _SIZES.values()
        self._connect({"size": lambda size: brush.set_trait("value", size or brush.value)})
        ipywidgets.dlink((brush, "value"), (c["size"], "value"), lambda own: own if own in sizes else 0.0)
        self._connect({"clear": lambda: self._draw(self._history.push(self._history.first))})
        self._on(self.canvas, self._stroked, "stroke")
        self._begin(self._turn_to_seed)

    def _stroked(self, stroke: dict[str, Any]) -> None:
        if stroke and stroke["panel"] == 0:
            number, done = self._stroke
            grown = number == stroke["number"]
            self._stroke = (stroke["number"], len(stroke["points"]))
            self.paint(stroke["points"][max(0, done - 1) if grown else 0 :])
            if grown:  # (one step with what it has grown from)
                del self._history.past[-1]

    def _turn_to_layer(self, name: str) -> None:
        self.controls["units"].max = self._generator.layer(name).channels
        if self._surveyed:
            self._survey()
        self._draw()

    def _turn_to_seed(self, _: object = None) -> None:
        self._styles = self._dissection.sample(self._generator, self.controls["seed"].value)
        self._cache = self._generator.cache(self._styles)
        self._draw()

    # -- which concepts units act on --------------------------------------------------------------
    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        self._begin(self._survey)  # (where somebody sees it)

    def _survey(self) -> None:
        """Look beside what the user does which concepts units of the layer act on; offer those alone."""
        layer, count, every = self.controls["layer"].value, self.controls["units"].value, self._shown

        def work() -> None:
            for concept in track(every, total=len(every), description="what units act on", show=True):
                self._acts[concept, layer] = self._search.acts(concept, layer, count)
                self._begin(self._offer)

        if self._search.possible and layer not in self._surveyed:
            self._surveyed.add(layer)
            self._in_background(work, self._draw)
        self._offer()

    def _offer(self) -> None:
        """The concepts that units of the layer act on, as far as is known, and the one that is chosen."""
        picker, layer = self.controls["concept"], self.controls["layer"].value
        chosen, unknown = picker.value, layer not in self._surveyed
        known = (c for c in self._shown if c == chosen or self._acts.get((c, layer), unknown))
        ui.offer(picker, known, chosen)
        idle = escape(", ".join(c for c in self._shown if not self._acts.get((c, layer), True)))
        told = f"No units of {escape(layer)} act on <b>{idle}</b>, as far as {TESTED} pictures show."
        self._notice.value = told if idle else ""

    def _choose_concept(self, concept: str) -> None:
        """Look for the units that cause it; where none do, say so and go back to the one before."""
        picker, layer, count = (self.controls[name] for name in ("concept", "layer", "units"))
        what, before, self._was = (concept, layer.value), self._was, concept

        def then(acts: bool) -> None:
            if not self._acts.setdefault(what, acts) and picker.value == concept:
                self._was = picker.value = before
            self._offer()
            self._draw()

        if self._search.possible and what not in self._search.orders:
            self._in_background(partial(self._search.find, *what, count.value), then)
        self._draw()

    # -- drawing ----------------------------------------------------------------------------------
    def _draw(self, _: object = None) -> None:
        self.image, labels = self._look({})
        self.result, relabelled = self._look(self._edits())
        self._summary.value = self._measures(labels, relabelled)
        self._can_go()
        painted = ui.Picture(self._tinted(), "paint here", "orange: ablated, blue: inserted", paint=True)
        seed, change = self.controls["seed"].value, color_difference(self.image, self.result)
        result = ui.Picture(to_uint8(opaque(self.result)), "result", f"seed {seed}")
        self.canvas.show(painted, result, ui.change_picture(change))

    def _look(self, edits: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self._concepts is None:
            return self._generator.walk(self._styles, edits, cache=self._cache)[0].float().cpu(), None
        images, labels = self._concepts.look(self._styles, edits, cache=self._cache)
        return images[0].float().cpu(), labels[0].cpu()

    def _edits(self) -> dict[str, Any]:
        painted = self.painted
        if not painted.any():
            return {}
        layer = self._generator.layer(self.controls["layer"].value)
        levels = self._dissection.levels_of(layer.name, self.controls["concept"].value)
        away, put = (torch.from_numpy(painted == kind) for kind in (_ABLATED, _INSERTED))
        units: Any = self.units
        if (force := _FORCES[self.controls["force"].value]) < 1:
            units = torch.zeros(layer.channels).index_fill(0, torch.tensor(units), force)
        ablate = replacement(layer, units, where=away)
        insert = replacement(layer, units, levels=levels, where=put)
        return {layer.name: lambda maps: insert(ablate(maps))}

    def _touched(self) -> np.ndarray:
        """The kind of paint that touches the positions over each pixel, (H, W); -1: none."""
        found, layer = np.full(self._generator.size, -1), self._generator.layer(self.controls["layer"].value)
        for kind in (_ABLATED, _INSERTED):
            cells = cells_of(layer, torch.from_numpy(self.painted == kind))
            found[pixels_of(cells, len(found))[0].numpy()] = kind
        return found

    def _tinted(self) -> np.ndarray:
        picture = to_uint8(opaque(self.image))[None]
        return overlay(picture, self._touched()[None], _COLORS, 0.45, side=1)[0]

    def _measures(self, before: Any, after: Any) -> str:
        units, concept = self.units, self.controls["concept"].value
        listed = ", ".join(map(str, units[:6])) + (", …" if len(units) > 6 else "")
        how = "by effect" if (concept, self.controls["layer"].value) in self._search.orders else "by IoU"
        texts = [f"units {listed}, {how}"]
        where = torch.from_numpy(self._touched() >= 0)
        if self._concepts is not None and bool(where.any()):
            label = self._concepts.index(concept)
            first, last = (int(((labels == label) & where).sum()) for labels in (before, after))
            what = f"{escape(concept)} on the painted positions"
            texts.append(f"{what}: <b>{first}</b> → <b>{last}</b> of {int(where.sum())} pixels")
        return joined(texts)


def _packed(painted: np.ndarray) -> bytes:
    return zlib.compress(painted.astype(np.int8).tobytes(), 1)


def _brush(painted: np.ndarray, kind: int, diameter: float, points: Sequence[Any]) -> None:
    """Paint along points; they, and the diameter, are shares of the picture's sides."""
    height, width = painted.shape
    where = [complex(x * width, y * height) for x, y in points]  # (a place is a complex number, x + iy)
    pixels = np.arange(width) + 0.5 + 1j * (np.arange(height)[:, None] + 0.5)
    radius = max(diameter * height / 2, 0.71)
    for start, end in zip(where[:1] + where[:-1], where, strict=True):
        step = end - start
        along = ((pixels - start) * np.conj(step)).real / (abs(step) ** 2 or 1)
        painted[abs(pixels - start - along.clip(0, 1) * step) <= radius] = kind
