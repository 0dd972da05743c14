"""Where people wait: a dissection and the pictures of large networks, an edit in place; and what it costs."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from unittest import mock

import torch
from harness import Row, interleaved
from networks import random_generator
from torch.nn.functional import normalize

import lefs
from lefs import Catalog, energies
from lefs.workers import Sample

CLUSTERS, IMAGES = 24, 256


def bench_images_spared() -> Iterator[Row]:
    """256 images of 1024 × 1024: the contributions of all, and to the stated error."""
    network = random_generator(1024)
    sample, layer = Sample(network, [0], batch_size=1, progress=False), network.default_layer
    centers = normalize(torch.randn(CLUSTERS, 512, generator=torch.Generator().manual_seed(0)))
    layers = network.layers
    depths = [len(layers), energies._depths(layers, layer)[1]]
    job = functools.partial(energies._energy, layer=layer, centers=centers, method="kmeans", means=None)
    shapes = (4, CLUSTERS, network.num_styles), (CLUSTERS,)
    passes = [functools.partial(sample.sums, functools.partial(job, depth=d), "", *shapes) for d in depths]
    whole, coarse = interleaved(*passes, repeats=2)
    note = f"{whole:.2f} s an image through all layers, {coarse:.2f} s as far as all go; 32 go through all"
    ours, name = (
        32 * whole + (IMAGES - 32) * coarse,
        f"contributions of {IMAGES} images, configuration F, 1024²",
    )
    yield Row(name, ours, IMAGES * whole, "all through all layers", target=3.0, note=note)


def bench_errors() -> Iterator[Row]:
    """How far estimates lie from the full measurement, beside what they say: portraits, finest layers."""
    network = lefs.load("portraits")
    centers = lefs.dissect(
        network, range(IMAGES), clusters=CLUSTERS, contributions="none", progress=False
    ).centers
    sample = Sample(network, range(IMAGES), progress=False)
    blank = Catalog.of(sample, network.default_layer, centers)
    full = energies.measured(sample, blank)
    for precision in (0.025, 0.015, 0.01):
        with mock.patch.object(energies, "_CHEAP", 0):
            found = energies.measured(sample, blank, precision=precision)
        for name in ("b128.conv0", "b128.conv1"):
            span = network.layer(name).span
            off = (found.contributions - full.contributions)[:, span]
            note = (
                f"largest {float(off.abs().max()):.3f}; stated for all 256: {_rms(full.errors[:, span]):.4f}"
            )
            title = f"M of {name}, precision {precision:g}: off"
            yield Row(title, _rms(off), _rms(found.errors[:, span]), "as stated", "rms", note=note)


def _rms(values: torch.Tensor) -> float:
    return math.sqrt(float(values.double().square().mean()))


def bench_locality() -> Iterator[Row]:
    """Effect over leak as measured on previews of half the side, beside those of whole pictures."""
    network, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits")
    pairs, options = lefs.evaluation.seed_pairs(24), {"parts": ["hair", "clothes", "skin"], "progress": False}
    half, whole = (lefs.evaluation.locality(g, catalog, pairs, **options) for g in (network.at(64), network))
    for a, b in zip(half, whole, strict=True):
        if a.method == "sequential":
            yield Row(f"effect / leak of {a.part}, on previews of 64²", a.ratio, b.ratio, "on 128²", "")


def bench_shown_sizes() -> Iterator[Row]:
    """A picture as large as a notebook shows it, and whole."""
    network = random_generator(1024)
    styles = network.sample_styles([0])
    ways = (functools.partial(g.synthesize, styles) for g in (network.at(256), network))
    ours, theirs = interleaved(*ways, repeats=3)
    yield Row(
        "a picture of a notebook, configuration F, 1024²", ours, theirs, "the whole picture", note="256²"
    )


def bench_in_place() -> Iterator[Row]:
    """A move of λ of an edit in place of the portraits, beside one whole synthesis."""
    network, catalog = lefs.load("portraits"), lefs.Catalog.load("portraits")
    editor, values = lefs.Editor(network, catalog), itertools.cycle([0.2, 0.4, 0.6, 0.8])
    settings, styles = lefs.QuerySettings(where="part", tone=True), network.sample_styles([1003])

    def move() -> None:
        change = lefs.Change("hair", 2000, next(values), settings)
        editor.render(lefs.Recipe(1003, (change,)))

    with torch.inference_mode():
        ours, theirs = interleaved(move, functools.partial(network.synthesize, styles), repeats=20)
    yield Row("edit in place, portraits, a move of λ", ours, theirs, "one whole synthesis")
