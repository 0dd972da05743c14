"""What things take: how many samples a budget of minutes affords, and how long a notebook will take.

Budgets look at no clock, only at the arithmetic that a generator needs, so that a slow machine and a fast one
find the same; on two usual cores it comes true. Estimates time one image, and a run says what each cell took.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_number
from lefs.effects import with_effects
from lefs.generator import Generator
from lefs.records import folder_of, record_file
from lefs.segmenters import segmenter_of

__all__ = [
    "OURS", "affordable", "affordable_images", "choose_clustering", "duration", "effects_within",
    "estimate_notebook", "picture_seconds", "seconds_per_image", "work_of",
]  # fmt: skip

# Of two usual cores: multiplications a second; seconds for each number in a map (filters of StyleGAN3 take
# longer) and for each layer.
_RATE, _NUMBER, _FILTERED, _LAYER = 80e9, 1.2e-9, 20e-9, 0.7e-3
# What energies add; images that see all layers; side that all see.
_LOOKED, _FULL, _COARSE = 1.3, 32, 64
_PAIRS = 24  # of notebook 3, at most
_FEWEST = 4  # images that effects are worth measuring on


# The work of each notebook in images, so that the seconds come out as they did on two cores; seconds of what
# does not depend on the generator (its kernel, figures); megabytes that a run of a sweep leaves. The first
# images are made whatever `minutes` says, the second as far as it lets them.
_COSTS: Mapping[str, tuple[Callable[[Any], tuple[int, int]], int, float]] = {
    "1_dissection": (lambda v: (80, 4 * v["images"] + 8 * (v["clusters"] or 96) + 820), 20, 1.9),
    "2_catalog": (lambda v: (2 * v["images"] * _judged(v) + 60, 1500), 15, 1.7),
    "3_editing": (lambda v: (80, (2 * (len(v["parts"]) or 5) + 1) * _PAIRS + 700), 20, 2.6),
    "4_units": (lambda v: (8 * v["images"] + 100 * v["tested"] + 150 * v["search_steps"], 0), 20, 1.8),
    "5_evaluation": (lambda v: (230 * v["pairs"], 0), 20, 1.0),
    "6_directions": (lambda v: (25 * v["targets"] + 300, 0), 20, 2.1),
}
OURS = frozenset(_COSTS)  # names of the notebooks that come with lefs


def _judged(values: Mapping[str, Any]) -> bool:
    """Whether a segmenter lies beside the generator, against which notebook 2 holds the clusters."""
    name = values.get("generator")
    return name is None or record_file(folder_of(name), "lefs-segmenter").is_file()


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
    for layer, after in pairwise([*layers, *layers[-1:]]):
        numbers = math.prod(layer.size) * layer.channels
        found += numbers * (9 * after.channels / _RATE + (_NUMBER if layer.detail is None else _FILTERED))
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
    one = pictures * picture_seconds(generator)
    return _fitting(what, minutes, most, least, lambda seconds: seconds / one)


def affordable_images(generator: Generator, minutes: float, *, most: int) -> int:
    """How many images `lefs.dissect` can look at in that many minutes; says so where it is less than `most`.

    All go as far as maps of 64 × 64, and 32 through all layers.

    Examples
    --------
    >>> import lefs
    >>> affordable_images(lefs.load("portraits-64"), 1, most=256)
    256
    """
    whole, coarse = (_LOOKED * picture_seconds(generator, side) for side in (None, _COARSE))

    def count(seconds: float) -> float:
        few = seconds / (whole + coarse)
        return few if few < _FULL else (seconds - _FULL * (whole - coarse)) / (2 * coarse)

    return _fitting("images", minutes, most, 8, count)


def _fitting(what: str, minutes: float, most: int, least: int, count: Callable[[float], float]) -> int:
    """How many seconds are enough for, within bounds; says so where it is less than `most`."""
    check_integer("most", most, minimum=1)
    possible = count(60 * check_number("minutes", minutes, minimum=0))
    found = int(min(most, max(possible, min(least, most))))
    if found < most:
        sys.stdout.write(f"{what}: {found} of {most}, for {minutes:.2g} minutes on two cores\n")
    return found


def choose_clustering(generator: Generator, clusters: int = 0, layer: str = "") -> tuple[int, str]:
    """How many clusters of which layer notebook 1 makes, where it is not told.

    With a segmenter to name them, 96 of `joined_layers`: enough for small parts to be edited in place. Else
    24 of the `default_layer`, as many as a person may look through.

    Parameters
    ----------
    generator : Generator
    clusters : int
        K; 0: chosen.
    layer : str
        The layer, or several joined by ``+``; empty: chosen.

    Returns
    -------
    (int, str)
        What was given, and the choice for what was not.

    Examples
    --------
    >>> import lefs
    >>> choose_clustering(lefs.load("portraits")), choose_clustering(lefs.load("portraits"), 12, "b32.conv1")
    ((96, 'b64.conv0+b128.conv0'), (12, 'b32.conv1'))
    """
    if clusters and layer:
        return clusters, layer
    named = segmenter_of(generator) is not None
    layers = generator.joined_layers if named else generator.default_layer
    return clusters or (96 if named else 24), layer or layers


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
    pictures = 1 + catalog.num_clusters  # (a backward pass takes about as long as a forward one)
    count = affordable("images for effects", generator, minutes, most=16, pictures=pictures, least=0)
    if count < _FEWEST:
        sys.stdout.write(f"by {catalog.measure}: effects want {_FEWEST} images at least, more minutes\n")
        return catalog, catalog.measure
    return with_effects(catalog, generator, range(count)), "effect"


def duration(seconds: float) -> str:
    """Seconds or minutes, for people."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


@torch.inference_mode()
def seconds_per_image(generator: Generator, threads: int | None = None) -> float:
    """Time one image as large as it is shown: the best of five, or of as many as a second is enough for."""
    chosen = (generator.with_label(0) if generator.label_dim else generator).at(generator.preview_size)
    styles, taken, before = chosen.sample([0]), list[float](), torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        while not taken or (len(taken) < 5 and sum(taken) < 1):
            start = time.perf_counter()
            chosen.synthesize(styles).cpu()
            taken.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return min(taken)


def estimate_notebook(name: str, values: Mapping[str, Any], one: float) -> str:
    """Say how long a notebook of ours will take, and what that is based on.

    Parameters
    ----------
    name : str
        Such as ``"3_editing"``; of any other notebook nothing is known.
    values : mapping of str to Any
        Its parameters.
    one : float
        Seconds that one image takes.

    Examples
    --------
    >>> estimate_notebook("2_catalog", {"images": 128, "minutes": 1}, 0.5)
    'about 4 min: 436 images at 0.5 s each, as timed on one, and 15 s for the rest'
    """
    count, rest, _ = work_of(name, values, one)
    if not math.isfinite(count):
        return "not known: this notebook did not come with lefs"
    how = f"{count:,} images at {one:.2g} s each, as timed on one, and {rest} s for the rest"
    return f"about {duration(count * one + rest)}: {how}"


def work_of(name: str, values: Mapping[str, Any], one: float) -> tuple[float, int, float]:
    """Images, where samples are as large as the minutes allow, seconds of all else, and megabytes."""
    try:
        images, rest, space = _COSTS[name]
        whole, some = images(values)
    except KeyError:  # (not one of ours; one of that name may lack parameters that ours has)
        return math.inf, 0, math.inf
    kept = 0.0105 * (values["clusters"] or 96) if name == "1_dissection" else 0
    return whole + min(some, int(60 * values.get("minutes", 0) / one)), rest, space + kept
