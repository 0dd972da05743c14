"""Characterise units: thresholds, intersections with concepts and levels, in two passes over a sample."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, pad

from lefs.catalog import Catalog, Sampling
from lefs.checks import check_integer, check_number, check_seeds
from lefs.evaluation import Segmenter
from lefs.generator import Generator, GeneratorId
from lefs.progress import track
from lefs.stylespace import StyleLayer
from lefs.synthesis import Hook, Stop
from lefs.units.concepts import Concepts
from lefs.units.dissection import UnitDissection
from lefs.units.interventions import batch_of, chosen_layers, unit_layers
from lefs.units.quantiles import QuantileSketch

__all__ = ["characterize", "strongest_images", "usable"]

# Up-sampled values held at once: bounds memory, large enough for full speed
_CHUNK = 2**24
# Sides, in pixels: that concepts are counted at, at most, and that where they usually are is kept at
_SIDE, _MAP = 256, 64


def characterize(
    generator: Generator,
    seeds: Iterable[int],
    *,
    segmenter: Segmenter | Catalog,
    layers: str | Iterable[str] | None = None,
    quantile: float = 0.01,
    truncation: float = 1.0,
    size: int | None = None,
    peaks: int = 8,
    relative_error: float = 0.005,
    batch_size: int | None = None,
    progress: bool = True,
) -> UnitDissection:
    """Hold every unit against every concept (GAN Dissection, §3.1).

    A unit is active where its map, enlarged bilinearly to the picture, exceeds its threshold: the value that
    the top `quantile` of its own values over the sample exceed. Its IoU with a concept is
    |active ∩ concept| / |active ∪ concept|, each summed over the sample. Memory does not grow with the
    sample.

    Parameters
    ----------
    generator : any, with styles or without
    seeds : the sample
    segmenter : images → labels, a `Segmenter`; or a `Catalog`, whose parts are then the concepts
    layers : names of the layers to look at; None: all, each map once (`unit_layers`)
    quantile : share of a unit's values that counts as active
    size : side of the grid on which maps and labels are compared; None: the images', at most 256
    peaks : how many of the images that a unit is strongest in are remembered
    relative_error : of the thresholds; see `QuantileSketch`
    batch_size : images at a time; None: 16, fewer if they are large

    Returns
    -------
    UnitDissection

    Raises
    ------
    ValueError
        If an argument is out of range, or the segmenter returns what are no labels of the images.
    """
    sample, concepts = check_seeds(seeds), Concepts(generator, segmenter)
    check_number("quantile", quantile, minimum=1e-6, maximum=0.5)
    count = batch_of(generator, batch_size, 16)
    side = min(generator.resolution, _SIDE) if size is None else check_integer("size", size, minimum=1)
    psi = check_number("truncation", truncation)
    chosen = chosen_layers(generator, layers, unit_layers(generator))
    batches = [sample[i : i + count] for i in range(0, len(sample), count)]
    summits = _Peaks(min(check_integer("peaks", peaks, minimum=1), len(sample)))
    sketches = {la.name: QuantileSketch(la.channels, relative_error=relative_error) for la in chosen}
    for batch in track(batches, total=len(batches), description="thresholds", show=progress):
        with torch.inference_mode():
            _first_look(generator, batch, psi, chosen, sketches, summits)
    thresholds = {name: sketch.quantile(1 - quantile).float() for name, sketch in sketches.items()}
    sums = _Sums(len(concepts.names), sum(la.channels for la in chosen))
    for batch in track(batches, total=len(batches), description="units × concepts", show=progress):
        styles = generator.sample(batch, truncation=psi)
        _second_look(concepts, styles, chosen, thresholds, sums, side)
    return UnitDissection(
        layers=chosen,
        concepts=tuple(concepts.name(p) for p in range(len(sums.pixels))),
        quantile=quantile,
        thresholds=torch.cat(list(thresholds.values())),
        activated=sums.activated,
        intersections=sums.intersections,
        concept_pixels=sums.pixels,
        levels=torch.where(sums.pixels > 0, sums.values / sums.pixels, torch.nan),
        frequency=(sums.shown / len(sample)).float(),
        peaks=summits.values,
        peak_seeds=summits.seeds,
        generator=GeneratorId.of(generator),
        sampling=Sampling.of(generator, sample, truncation=psi),
    )


def _first_look(
    generator: Generator,
    batch: list[int],
    truncation: float,
    layers: tuple[StyleLayer, ...],
    sketches: dict[str, QuantileSketch],
    summits: _Peaks,
) -> None:
    by_name: dict[str, Tensor] = {}

    def look(maps: Tensor, *, layer: StyleLayer) -> None:
        values_cnp = layer.inside(maps).flatten(2).transpose(0, 1)
        sketches[layer.name].add(values_cnp.flatten(1))
        by_name[layer.name] = values_cnp.amax(dim=2).float().cpu()
        if len(by_name) == len(layers):
            raise Stop

    with suppress(Stop):
        styles = generator.sample(batch, truncation=truncation)
        generator.walk(styles, {la.name: partial(look, layer=la) for la in layers})
    summits.add(torch.cat([by_name[la.name] for la in layers]), batch)


def _second_look(
    concepts: Concepts,
    styles: Tensor,
    layers: tuple[StyleLayer, ...],
    thresholds: dict[str, Tensor],
    sums: _Sums,
    size: int,
) -> None:
    maps: dict[str, Tensor] = {}
    watch = {la.name: _recorder(la, maps) for la in layers}
    _, labels = concepts.look(styles, watch)
    with torch.inference_mode():
        # One image at a time: the masks of hundreds of concepts in a large batch would fill any memory.
        for i, shown in enumerate(_resampled(labels, size)):
            masks_pq, start = sums.see(shown), 0
            for layer in layers:
                sums.add(start, maps[layer.name][i], thresholds[layer.name], masks_pq, size)
                start += layer.channels


def _recorder(layer: StyleLayer, found: dict[str, Tensor]) -> Hook:
    """A hook that keeps what it sees inside the picture."""

    def look(maps: Tensor) -> None:
        found[layer.name] = layer.inside(maps)

    return look


def _resampled(labels: Tensor, size: int) -> Tensor:
    """Nearest neighbour: (N, H, W) → (N, size, size)."""
    if labels.shape[-1] == size:
        return labels
    return interpolate(labels[:, None].float(), size=(size, size), mode="nearest")[:, 0].long()


def _enlarged(maps: Tensor, size: int) -> Tensor:
    """Bilinear, at least float32: (N, C, h, w) → (N, C, size, size)."""
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    if maps.shape[-1] == size:
        return maps
    return interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)


@dataclass
class _Sums:
    """Running sums over pixels; a segmenter without names may show new labels at any time."""

    concepts: int
    units: int
    activated: Tensor = field(init=False)
    intersections: Tensor = field(init=False)
    values: Tensor = field(init=False)
    pixels: Tensor = field(init=False)
    shown: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.activated = torch.zeros(self.units, dtype=torch.int64)
        self.intersections = torch.zeros(self.units, self.concepts, dtype=torch.int64)
        self.values = torch.zeros(self.units, self.concepts, dtype=torch.float64)
        self.pixels = torch.zeros(self.concepts, dtype=torch.int64)
        self.shown = torch.zeros(self.concepts, 1, 1, dtype=torch.float64)

    def see(self, labels: Tensor) -> Tensor:
        """Count the concepts of one image (H, W); returns their masks (P, H · W), float32."""
        new = max(0, int(labels.max()) + 1 - len(self.pixels))
        self.intersections, self.values = pad(self.intersections, (0, new)), pad(self.values, (0, new))
        self.pixels, self.shown = pad(self.pixels, (0, new)), pad(self.shown, (0, 0, 0, 0, 0, new))
        names = torch.arange(len(self.pixels), device=labels.device)
        masks = (labels == names[:, None, None]).float()
        self.pixels += masks.sum(dim=(1, 2)).cpu().long()
        self.shown = self.shown + adaptive_avg_pool2d(masks, min(_MAP, labels.shape[-1])).cpu().double()
        return masks.flatten(1)

    def add(self, first: int, maps: Tensor, thresholds: Tensor, masks: Tensor, size: int) -> None:
        """Take in the maps (C, h, w) of one layer in one image, whose units are those from `first` on."""
        step = max(1, _CHUNK // masks.shape[1])
        for c in range(0, len(maps), step):
            large = _enlarged(maps[None, c : c + step], size)[0].flatten(1)
            active = (large > thresholds[c : c + step].to(large)[:, None]).float()
            own = slice(first + c, first + c + len(large))
            # (whole numbers below 2^24, exact in float32; Apple's devices have no float64)
            self.activated[own] += active.sum(dim=1).cpu().long()
            self.intersections[own] += (active @ masks.t()).cpu().long()
            self.values[own] += (large @ masks.t().to(large)).cpu().double()


class _Peaks:
    """The images in which each unit is strongest; of equal ones the first."""

    def __init__(self, count: int):
        self.count = count
        self.values, self.seeds = torch.empty(0, 0), torch.empty(0, 0, dtype=torch.int64)

    def add(self, values_un: Tensor, seeds: list[int]) -> None:
        own = torch.tensor(seeds).expand(len(values_un), -1)
        if self.values.numel():
            values_un, own = torch.cat([self.values, values_un], 1), torch.cat([self.seeds, own], 1)
        order = torch.sort(values_un, dim=1, descending=True, stable=True).indices[:, : self.count]
        self.values, self.seeds = values_un.gather(1, order), own.gather(1, order)


def strongest_images(
    generator: Generator, dissection: UnitDissection, layer: str, units: Iterable[int], count: int = 8
) -> tuple[Tensor, Tensor]:
    """The images that some units are strongest in, and where they are active there.

    Parameters
    ----------
    layer, units : numbers of units of one layer
    count : images for each, at most as many as the dissection remembers

    Returns
    -------
    images of shape (units · count, 3, H, W), those of one unit after those of another; and masks of shape
    (units · count, H, W), bool: the unit's enlarged map is above its threshold. Both on the CPU.
    """
    dissection.check_generator(generator)
    la, span, shown = generator.layer(layer), dissection.span(layer), []
    check_integer("count", count, minimum=1)
    for i, u in enumerate(units):
        unit = check_integer(f"units[{i}]", u, maximum=la.channels - 1)
        seeds = dissection.peak_seeds[span.start + unit, :count].tolist()
        styles = dissection.sample(generator, seeds)
        maps: dict[str, Tensor] = {}
        with torch.inference_mode():
            images = generator.walk(styles, {layer: _recorder(la, maps)})
            large = _enlarged(maps[layer][:, unit : unit + 1], images.shape[-1])[:, 0]
            active = large > float(dissection.thresholds[span.start + unit])
        shown.append((images.float().cpu(), active.cpu()))
    if not shown:
        raise ValueError("units is empty; give at least one")
    pictures, masks = zip(*shown, strict=True)
    return torch.cat(pictures), torch.cat(masks)


def usable(
    dissection: UnitDissection, segmenter: Segmenter | Catalog, concept: str, layer: str
) -> tuple[str, str]:
    """`concept` and `layer` if there are such, else others that interventions can be tried on.

    Parameters
    ----------
    concept : a wish; else that of the unit with the largest IoU
    layer : a wish; else the layer of the concept's best unit, no later than a catalog's own

    Returns
    -------
    names of a concept and of a layer
    """
    names = [la.name for la in dissection.layers]
    if isinstance(segmenter, Catalog):
        order = [la.name for la in segmenter.layers]
        names = [n for n in names if order.index(n) <= order.index(segmenter.columns.names[-1])]
    if not names:
        raise ValueError(
            "no dissected layer comes before that which the catalog's parts are read from; "
            "dissect earlier ones"
        )
    rows = {n: dissection.iou[dissection.span(n)].amax(dim=0) for n in names}
    best = torch.stack(list(rows.values()))
    if concept not in dissection.concepts:
        concept = dissection.concepts[int(best.amax(dim=0).argmax())]
    return concept, layer if layer in names else names[int(best[:, dissection.concept(concept)].argmax())]
