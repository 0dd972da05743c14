"""A line of small pictures to choose one from: seeds by the page, pinned ones, or a file of one's own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from torch import Tensor

from lefs.files import is_picture
from lefs.generator import Generator
from lefs.images import opaque, to_uint8
from lefs.inversion import invert
from lefs.records import printable
from lefs.sources import KeptStyles, Source, keep_source
from lefs.widgets.canvas import Canvas, Picture
from lefs.widgets.controls import button, row

__all__ = ["Strip", "name_of", "source_of"]

_COUNT = 10  # pictures of a page
_SEEDS = 100_000  # a shuffle begins with one of these
_MOST = 2**26  # bytes of a file
_KINDS = ".png,.jpg,.jpeg,.webp,.bmp,.tif,.tiff,.npy,.npz,.pt"


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
        self.canvas = Canvas(arrangement="strip", columns=_COUNT, files=True)
        file = ipywidgets.FileUpload(accept=_KINDS, multiple=False, description="")
        file.tooltip = f"A picture or a w of your own as {name}; or drop it onto the small pictures"
        made = {
            "shuffle": button("", "random", f"Other seeds to choose a {name} from"),
            "previous": button("", "chevron-left", f"The page of {name}s before"),
            "next": button("", "chevron-right", f"The next page of {name}s"),
            "pin": button("", "thumb-tack", f"Keep the present {name} in front of all pages, or let it go"),
            "file": file,
        }
        self.controls = {f"{name} {what}": widget for what, widget in made.items()}
        label = ipywidgets.HTML(f"<b>{name}s</b>", _dom_classes=("lefs-summary",))
        self.box = ipywidgets.VBox([row(label, *made.values(), kind="tools"), self.canvas])

    def connect(
        self,
        on: Callable[[Any, Callable[..., object], str], None],
        choose: Callable[[Source], object],
        take: Callable[[str, Any], object],
    ) -> None:
        """Let pictures and buttons act; `take` gets the name and the bytes of a file that comes here."""
        *buttons, file = self.controls.values()
        for control, what in zip(buttons, ("shuffle", "previous", "next", "pin"), strict=True):
            on(control, partial(self.turn, what), "value")

        def dropped(_: Canvas, content: Any, buffers: list[Any]) -> None:
            if isinstance(content, dict) and "file" in content:
                take(str(content["file"]), buffers[0] if buffers else None)

        on(self.canvas, lambda new: choose(self.sources[new["panel"]]), "picked")
        on(file, lambda files: [take(each["name"], each["content"]) for each in files[:1]], "value")
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
        self.canvas.show(*(Picture(p, name_of(s), pick=True, chosen=s == chosen) for p, s in shown))


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
