"""The controls of the edit studio, by name, and the lines of small pictures to choose from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from torch import Tensor

from lefs.catalog import Catalog
from lefs.files import is_picture
from lefs.generator import Generator
from lefs.images import opaque, to_uint8
from lefs.inversion import invert
from lefs.query import METHODS
from lefs.records import printable
from lefs.sources import KeptStyles, Source, keep_source
from lefs.widgets import elements as ui

__all__ = ["Strip", "name_of", "source_of", "studio_controls"]

_TIPS = {
    "method": "sequential: the most relevant channels first, up to a budget; simultaneous: all, in "
    "proportion to their contribution; released: as the paper's code; global: every channel, whatever the "
    "part; pair: those of most effect inside for the least outside, for these two images",
    "where": "in place: the reference's maps, inside the part's own mask (feature blending); everywhere: the "
    "paper's edit, which moves channels wherever they act",
    "row": "Which edit the controls below show; a later one lies over an earlier one. A channel that two "
    "edits want goes to the part that it contributes to more",
}
_KIND = "Relevant is a channel where it is active (energy, the paper's M), or where it acts (effect)"
_TONE = "In place: bring what the reference shows beside the part to the target's tones"
_HOW = "References for this part, tried: alike, unlike, or with the least change outside of it"
_BUTTONS = {
    "add": ("Add", "plus", "One more edit, of another part, in the same picture"),
    "up": ("", "arrow-up", "This edit earlier"),
    "down": ("", "arrow-down", "This edit later: over the others"),
    "remove": ("", "trash", "Take this edit out of the list"),
    "reset": ("Reset", "", "As the studio was opened; can be taken back"),
    "keep preset": ("Keep", "bookmark", "Keep these edits under the name, for any target"),
    "find": ("Suggest", "magic", _HOW),
    "save": ("Save", "download", "A PNG at full size with the recipe inside, never over another"),
    "code": ("Copy as code", "code", "Python that makes this picture"),
    "parameters": ("Copy as parameters", "", "The present edit, for papermill -f"),
    "keep": ("Keep mine", "", "Leave the sliders where you have set them"),
    "take": ("", "", "Set the sliders as they were tuned for this part"),
    "lower": ("", "", "The highest of some round prices at which a channel moves"),
    "instead": ("", "", "A part that both pictures show"),
}


def studio_controls(catalog: Catalog, *, channels: bool) -> dict[str, Any]:
    """All of them, at no state yet; without `channels` to choose from, edits are in place, of all of them."""
    own, measured = None if catalog.measure == "none" else catalog.measure, catalog.effects is not None
    kinds = [own, "effect"] if measured and own != "effect" else [own]
    methods = [m for m in METHODS if m != "fit" and (m != "pair" or measured)] if channels else ["global"]
    places = [("in place", "part"), ("everywhere", "everywhere")][: 2 if channels else 1]
    by = [(f"suggest {name}", name) for name in ("similar", "different", "cleanest")]
    price = {"min": -3.35, "max": 0, "step": 0.01, "readout_format": ".3f"}  # (the left end reads 0.000)
    outside = "Of what lies outside; higher: fewer channels. Left end: 0"
    widest = float(max(layer.channels for layer in catalog.layers))
    return {
        "row": ipywidgets.Select(description="edits", options=[0], value=0, rows=1, tooltip=_TIPS["row"]),
        "on": ui.checkbox("on", True, "Whether this edit is made"),
        "part": ui.choice("part", list(catalog.parts), next(iter(catalog.parts)), "Taken from the reference"),
        "target": ui.SeedField(description="target", tooltip="Seed of the image that is edited"),
        "reference": ui.SeedField(description="reference", tooltip="Seed of the image that the part is from"),
        "where": ui.choice("where", places, "part", _TIPS["where"]),
        "method": ui.choice("method", methods, methods[0], _TIPS["method"]),
        "contributions": ui.choice("contributions", kinds, own, _KIND),
        "tone": ui.checkbox("tone", False, _TONE),
        "strength": ui.slider("strength λ", 1, 1, 0.01, "How far channels move: 0 target, 1 reference"),
        "rho": ui.PriceSlider(description="price ρ", tooltip=outside, **price),
        "epsilon": ui.slider("budget ε", 0, widest, 0.5, "How much may move outside, channels a layer"),
        "slope": ui.slider("slope", 0, 10, 0.05, "How soon a channel moves: q = min(1, slope · M)"),
        "leak": ui.slider("leak", 0, 400, 1, "Mean squared change of a pixel outside, in 8-bit levels"),
        "coarse": ui.slider("coarse layers", 0, 1, 0.05, "Budget of coarse layers: pose and layout"),
        "rgb": ui.slider("toRGB layers", 0, 1, 0.05, "Budget of layers that paint colours"),
        "preset": ui.choice("preset", [("–", "")], "", "Edits that were kept"),
        "preset name": ui.field("name these edits", "Keep these edits, by a name"),
        "suggest": ui.choice("", by, "similar", _HOW),
        **{name: ui.button(*words) for name, words in _BUTTONS.items()},
    }


_COUNT = 10  # pictures of a page
_SEEDS = 100_000  # a shuffle begins with one of these
_MOST = 2**26  # bytes of a file
_KINDS = ".png,.jpg,.jpeg,.webp,.bmp,.tif,.tiff,.npy,.npz,.pt"


Act = Callable[..., object]


class Strip:
    """Small pictures in a line, and what else there is to choose from.

    Parameters
    ----------
    name : str
        What is chosen: ``"target"`` or ``"reference"``.
    draw : callable
        Sources → small pictures, (N, 3, H, W).
    chosen : Source
        The first page begins with it, if it is a seed.

    Attributes
    ----------
    controls : dict of str to Widget
        "target shuffle", "target previous", "target next", "target pin", "target file"
    sources : list
        What is shown, pinned ones first.
    """

    def __init__(self, name: str, draw: Callable[[Sequence[Source]], Tensor], chosen: Source) -> None:
        self._draw, self._chosen = draw, chosen
        self._first = chosen if isinstance(chosen, int) else 0
        self._pinned: list[Source] = []
        self.sources: list[Source] = []
        self.canvas = ui.Canvas(arrangement="strip", columns=_COUNT, files=True)
        told = f"A picture or a w of your own as {name}; or drop it onto the small pictures"
        file = ipywidgets.FileUpload(accept=_KINDS, multiple=False, description="", tooltip=told)
        made = {
            "shuffle": ui.button("", "random", f"Other seeds to choose a {name} from"),
            "previous": ui.button("", "chevron-left", f"The page of {name}s before"),
            "next": ui.button("", "chevron-right", f"The next page of {name}s"),
            "pin": ui.button("", "thumb-tack", f"Keep this {name} in front of all pages, or let it go"),
            "file": file,
        }
        self.controls = {f"{name} {what}": widget for what, widget in made.items()}
        label = ipywidgets.HTML(f"<b>{name}s</b>", _dom_classes=("lefs-summary",))
        self.box = ipywidgets.VBox([ui.row(label, *made.values(), kind="tools"), self.canvas])

    def connect(self, on: Callable[..., None], choose: Act, take: Act) -> None:
        """Let pictures and buttons act; `take` gets the name and the bytes of a file that comes here."""
        *buttons, (_, file) = self.controls.items()
        for name, control in buttons:
            on(control, partial(self.turn, name.split()[1]))

        def dropped(_: ui.Canvas, content: Any, buffers: list[Any]) -> None:
            if isinstance(content, dict) and "file" in content:
                take(str(content["file"]), buffers[0] if buffers else None)

        on(self.canvas, lambda new: choose(self.sources[new["panel"]]), "picked")
        on(file, lambda files: [take(each["name"], each["content"]) for each in files[:1]])
        self.canvas.on_msg(dropped)

    def turn(self, what: str) -> None:
        """Do what one of the buttons says."""
        if what == "shuffle":
            self._first = int(np.random.default_rng().integers(_SEEDS))
        elif what != "pin":
            self._first = max(0, self._first + (_COUNT if what == "next" else -_COUNT))
        elif self._chosen in self._pinned:
            self._pinned.remove(self._chosen)
        else:
            self._pinned.append(self._chosen)
        self.sources = []
        self.show(self._chosen)

    def show(self, chosen: Source) -> None:
        """Mark the one that is chosen; one of one's own stays in front."""
        if not isinstance(chosen, int) and chosen not in self._pinned:
            self._pinned.append(chosen)
        elif self.sources and chosen == self._chosen:
            return
        self._chosen = chosen
        page = [s for s in range(self._first, self._first + _COUNT) if s not in self._pinned]
        self.sources = [*self._pinned, *page][:_COUNT]
        pictures = to_uint8(opaque(self._draw(self.sources)))
        shown = zip(pictures, self.sources, strict=True)
        self.canvas.show(*(ui.Picture(p, name_of(s), pick=True, chosen=s == chosen) for p, s in shown))


def name_of(source: Source) -> str:
    """A source, for people."""
    return f"seed {source}" if isinstance(source, int) else str(source)


def source_of(generator: Generator, name: str, content: Any) -> int | KeptStyles:
    """What a file of somebody's stands for: a w, W+ or styles, or the picture that is inverted."""
    shown = printable("".join(c for c in Path(name).name if c not in "/\\\0"), 60)
    if content is None or len(content) > _MOST:
        raise ValueError(f"{shown!r} is larger than {_MOST // 2**20} MiB; give a smaller picture")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (shown or "picture")
        path.write_bytes(bytes(content))
        found = invert(generator, path) if is_picture(path) else path
        return keep_source(generator, found)
