"""Moving pictures of edits: the way of a slider, or a walk from one edit to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lefs.checks import check_choice, check_filled, check_integer, check_number, needs
from lefs.editing import Recipe
from lefs.editor import Editor
from lefs.images import opaque, save_png, to_uint8
from lefs.saving import PathLike, check_writable, write_atomically
from lefs.sources import KeptStyles, Source, source_styles
from lefs.workers.progress import track

__all__ = ["animate", "check_ending"]

_ENDINGS = (".png", ".gif", ".mp4")


def animate(
    editor: Editor, recipe: Recipe | Sequence[Recipe], path: PathLike, *, setting: str = "strength",
    values: Sequence[float] | None = None, frames: int = 24, rate: int = 12, progress: bool = True,
) -> Path:  # fmt: skip
    """Write what a slider does, or a walk from edit to edit, as a filmstrip or a moving picture.

    Parameters
    ----------
    editor : Editor
    recipe : Recipe or sequence of Recipe
        One: the way of its `setting`. Several: from each to the next. Targets, and the references of a part,
        are mixed in between, style by style; a part that only one of two edits changes comes or goes.
    path : str or path
        Its ending chooses: ``.png``, all frames side by side; ``.gif``; or ``.mp4``, for which imageio and
        imageio-ffmpeg have to be there (``pip install 'lefs[video]'``).
    setting : str
        ``"strength"`` or a number of `QuerySettings`, as of `Editor.filmstrip`; of one recipe.
    values : sequence of float, optional
        What the setting takes in turn; `frames` values from 0 to 1 unless told otherwise.
    frames : int
        How many pictures: of the whole way, or from each recipe to the next.
    rate : int
        Pictures a second.
    progress : bool
        Show a bar.

    Returns
    -------
    Path
        Of the file; it is replaced if it was there.

    Raises
    ------
    ValueError
        For another ending, or a setting that there is not.
    ModuleNotFoundError
        If what writes ``.mp4`` is missing; the message says how to install it.
    ArtifactError
        If it cannot be written; if a recipe is of another generator or catalog.

    Examples
    --------
    >>> import lefs, tempfile
    >>> editor = lefs.Editor(lefs.load("portraits-64"), lefs.Catalog.load("portraits-64"))
    >>> recipe = lefs.Recipe(1, (lefs.Change("hair", 2),))
    >>> lefs.animate(editor, recipe, f"{tempfile.mkdtemp()}/way.gif", frames=3, progress=False).name
    'way.gif'
    """
    path = Path(path)
    ending = check_ending(path)
    steps = np.linspace(0, 1, check_integer("frames", frames, minimum=2)).tolist()
    check_number("rate", rate, minimum=0.1, maximum=1000)
    given = check_filled("recipe", [recipe] if isinstance(recipe, Recipe) else recipe, "at least one")
    turns = check_filled("values", steps if values is None else values, "what the setting takes in turn")
    recipes = [editor.sign(one) for one in given]
    ways = [partial(_between, editor, a, b, t) for a, b in pairwise(recipes) for t in steps]
    ways = ways or [partial(editor.filmstrip, recipes[0], setting, [float(v)]) for v in turns]
    bar = track(ways, total=len(ways), description="animating", show=progress)
    made = opaque(torch.cat([draw().cpu() for draw in bar]))
    if ending == ".png":
        return save_png(path, torch.cat(list(made), dim=2))
    write = _mp4 if ending == ".mp4" else _gif
    return write_atomically(path, lambda p: write(p, to_uint8(made), rate))


def check_ending(path: PathLike) -> str:
    """The ending of a film's file, which says of what kind it is; an error if it cannot be written."""
    ending = str(check_choice("path's ending", Path(path).suffix.lower(), _ENDINGS))
    check_writable(path)
    if ending == ".mp4":
        with needs("video", "an .mp4"):
            import imageio.v3  # noqa: F401
            import imageio_ffmpeg  # type: ignore[import-untyped]  # noqa: F401
    return ending


def _between(editor: Editor, a: Recipe, b: Recipe, t: float) -> Tensor:
    """The picture of the edit that lies the share t of the way from one to another: (1, 3, H, W)."""
    if t in (0.0, 1.0):
        return editor.render(b if t else a).image[None]

    def at(source: Source, recipe: Recipe) -> Tensor:
        return source_styles(editor.generator, source, truncation=recipe.truncation, label=recipe.label)

    def mixed(one: Source, other: Source) -> KeptStyles:
        return KeptStyles.of(torch.lerp(at(one, a), at(other, b), t))

    later, changes = {change.part: change for change in b.changes}, []
    for one in a.changes:  # (what goes is mixed with itself, since the two may be of unlike truncation)
        other = later.pop(one.part, replace(one, strength=0.0))
        between, strength = mixed(one.reference, other.reference), (1 - t) * one.strength + t * other.strength
        changes.append(replace(one if t < 0.5 else other, reference=between, strength=strength))
    changes += [replace(c, strength=t * c.strength) for c in later.values()]
    made = replace(b, target=mixed(a.target, b.target), changes=tuple(changes), parts=())
    return editor.render(made).image[None]


def _gif(path: Path, pixels: np.ndarray, rate: int) -> None:
    first, *rest = (Image.fromarray(p) for p in pixels)
    first.save(path, "GIF", save_all=True, append_images=rest, duration=round(1000 / rate), loop=0)


def _mp4(path: Path, pixels: np.ndarray, rate: int) -> None:
    import imageio.v3

    options: dict[str, Any] = {"fps": rate, "codec": "libx264", "macro_block_size": 2, "quality": 9}
    written = imageio.v3.imwrite("<bytes>", list(pixels), plugin="FFMPEG", extension=".mp4", **options)
    path.write_bytes(written)
