"""What a budget of minutes affords: sizes of samples by the arithmetic that a generator needs.

No clock is looked at, so that a slow machine and a fast one find the same; on two usual cores it comes true.
"""

from __future__ import annotations

import math
import sys
from itertools import pairwise

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_number
from lefs.effects import with_effects
from lefs.generator import Generator

__all__ = ["affordable", "affordable_images", "effects_within", "picture_seconds"]

# Of two usual cores: multiplications a second; seconds for each number in a map (filters of StyleGAN3 take
# longer) and for each layer.
_RATE, _NUMBER, _FILTERED, _LAYER = 80e9, 1.2e-9, 20e-9, 0.7e-3
_LOOKED, _FULL, _COARSE = (
    1.3,
    32,
    64,
)  # what energies add; images that see all layers; side that all see
_FEWEST = 4  # images that effects are worth measuring on


def picture_seconds(generator: Generator, side: int | None = None) -> float:
    """What one picture takes by the table, in seconds; with `side` as far as maps of that side.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> picture_seconds(generator) > picture_seconds(generator.at(32))
    True
    """
    stage = generator.preview_sizes[-1]
    layers = [la for la in generator.layers if la.kind == "conv" and generator._stage(la) <= stage]
    layers = [la for la in layers if side is None or la.side <= side]
    found = _LAYER * len(layers)
    for layer, after in pairwise([*layers, None]):
        assert layer is not None
        numbers = math.prod(layer.size) * layer.channels
        outputs = layer.channels if after is None else after.channels
        found += numbers * (9 * outputs / _RATE + (_NUMBER if layer.detail is None else _FILTERED))
    return found


def affordable(
    what: str, generator: Generator, minutes: float, *, most: int, pictures: float = 1, least: int = 2
) -> int:
    """How many of something can be had in that many minutes; says so where it is less than `most`.

    Parameters
    ----------
    what : str
        What is counted, in words, such as ``"pairs"``.
    generator : Generator
    minutes : float
    most, least : int
        Limits of the answer.
    pictures : float
        How many pictures of the generator each takes.

    Examples
    --------
    >>> import lefs
    >>> affordable("pairs", lefs.load("portraits-64"), 1, most=10, pictures=13)
    10
    """
    seconds = 60 * check_number("minutes", minutes, minimum=0)
    check_integer("most", most, minimum=1)
    one = pictures * picture_seconds(generator)
    return _said(what, int(min(most, max(seconds / one, min(least, most)))), most, minutes)


def affordable_images(generator: Generator, minutes: float, *, most: int) -> int:
    """How many images `lefs.dissect` can look at in that many minutes; says so where it is less than `most`.

    All go as far as maps of 64 × 64, and 32 through all layers.

    Examples
    --------
    >>> import lefs
    >>> affordable_images(lefs.load("portraits-64"), 1, most=256)
    256
    """
    seconds = 60 * check_number("minutes", minutes, minimum=0)
    check_integer("most", most, minimum=1)
    whole, coarse = (_LOOKED * picture_seconds(generator, side) for side in (None, _COARSE))
    few = seconds / (whole + coarse)
    count = few if few < _FULL else (seconds - _FULL * (whole - coarse)) / (2 * coarse)
    return _said("images", int(min(most, max(count, min(8, most)))), most, minutes)


def effects_within(minutes: float, catalog: Catalog, generator: Generator) -> tuple[Catalog, str]:
    """The catalog with its effects, measured where they can be had in time, and what to choose channels by.

    Where they cannot, the catalog is as it was, and channels are chosen by its own contributions.

    Examples
    --------
    >>> import lefs
    >>> effects_within(1, lefs.Catalog.load("portraits-64"), lefs.load("portraits-64"))[1]
    'effect'
    """
    if catalog.effects is not None:
        return catalog, "effect"
    pictures = 1 + 2 * catalog.num_clusters
    count = affordable("images for effects", generator, minutes, most=16, pictures=pictures, least=0)
    if count < _FEWEST:
        sys.stdout.write(f"by {catalog.measure}: effects want {_FEWEST} images at least, more minutes\n")
        return catalog, catalog.measure
    return with_effects(catalog, generator, range(count)), "effect"


def _said(what: str, count: int, most: int, minutes: float) -> int:
    if count < most:
        sys.stdout.write(f"{what}: {count} of {most}, for {minutes:.2g} minutes on two cores\n")
    return count
