"""Characterise units: thresholds, intersections with concepts and levels, in two passes over a sample."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, pad

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_number, check_seeds
from lefs.generator import Generator, GeneratorId, Sampling
from lefs.images import of_height
from lefs.units.concepts import Concepts, Judge, keeping
from lefs.units.interventions import batch_of, batches, chosen_layers, unit_layers
from lefs.units.quantiles import QuantileSketch
from lefs.units.unit_dissection import UnitDissection

__all__ = ["characterize", "strongest_images", "usable"]

# Up-sampled values held at once: bounds memory, large enough for full speed
_CHUNK = 2**24
# Sides, in pixels: that concepts are counted at, at most, and that where they usually are is kept at
_SIDE, _MAP = 256, 64
# A unit's largest values, descending, and the seeds of the images that they are in: (U, k) each
_Peaks = tuple[Tensor, Tensor]


def characterize(
    generator: Generator, seeds: Iterable[int], *, segmenter: Judge,
    layers: str | Iterable[str] | None = None, quantile: float = 0.01, truncation: float = 1.0,
    size: int | None = None, peaks: int = 8, relative_error: float = 0.005, batch_size: int | None = None,
    progress: bool = True,
) -> UnitDissection:  # fmt: skip
    """Hold every unit against every concept (GAN Dissection, §3.1).

    A unit is active where its map, enlarged bilinearly to the picture, exceeds its threshold: the value that
    the top `quantile` of its own values over the sample exceed. Its IoU with a concept is
    |active ∩ concept| / |active ∪ concept|, each summed over the sample. Memory does not grow with the
    sample.

    Parameters
    ----------
    generator : Generator
        Any, with styles or without.
    seeds : iterable of int
        The sample.
    segmenter : Segmenter or Catalog
        Images → labels, or the catalog whose parts are the concepts.
    layers : str or iterable of str, optional
        Names of the layers to look at; by default all, each map once (`unit_layers`).
    quantile : float in [1e-6, 0.5]
        Share of a unit's values that counts as active.
    truncation : float
        ψ of the sample.
    size : int, optional
        Side of the grid on which maps and labels are compared; by default the images', at most 256.
    peaks : int
        How many of the images that a unit is strongest in are remembered.
    relative_error : float
        Of the thresholds; see `QuantileSketch`.
    batch_size : int, optional
        Images at a time; by default 16, fewer if they are large.
    progress : bool
        Whether to show bars.

    Returns
    -------
    UnitDissection

    Raises
    ------
    ValueError
        If an argument is out of range, or what the segmenter returns are not labels of the images.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
    >>> found = units.characterize(generator, range(3), segmenter=judge, layers="b8.torgb")
    >>> found.table().columns
    ('concept', 'share of pixels', 'units', 'best units (IoU)')
    """
    sample, concepts = check_seeds(seeds), Concepts(generator, segmenter)
    check_number("quantile", quantile, minimum=1e-6, maximum=0.5)
    count = batch_of(generator, batch_size, 16)
    side = min(generator.size[0], _SIDE) if size is None else check_integer("size", size, minimum=1)
    psi = check_number("truncation", truncation)
    chosen = chosen_layers(generator, layers, unit_layers(generator))
    kept, num_units = check_integer("peaks", peaks, minimum=1), sum(la.channels for la in chosen)
    summits = torch.empty(num_units, 0), torch.empty(num_units, 0, dtype=torch.int64)
    sketches = {la.name: QuantileSketch(la.channels, relative_error=relative_error) for la in chosen}
    for batch, styles in batches(generator, sample, psi, count, "thresholds", progress):
        summits = _strongest(summits, _highest(generator, styles, sketches), batch, kept)
    thresholds = {name: sketch.quantile(1 - quantile).float() for name, sketch in sketches.items()}
    sums = _Sums(len(concepts.names), num_units)
    for _, styles in batches(generator, sample, psi, count, "units × concepts", progress):
        _hold(concepts, styles, thresholds, sums, side)
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
        peaks=summits[0],
        peak_seeds=summits[1],
        generator=GeneratorId.of(generator),
        sampling=Sampling(tuple(sample), psi, 0, generator.default_label),
    )


@torch.inference_mode()
def _highest(generator: Generator, styles: Tensor, sketches: dict[str, QuantileSketch]) -> Tensor:
    """Show the sketches of some layers a batch; the largest value of each unit in each image: (U, N)."""
    maps, highest = generator.record(styles, list(sketches)), []
    for name, sketch in sketches.items():
        values_cnp = generator.layer(name).inside(maps[name]).flatten(2).transpose(0, 1)
        sketch.add(values_cnp.flatten(1))
        highest.append(values_cnp.amax(dim=2).float().cpu())
    return torch.cat(highest)


def _hold(concepts: Concepts, styles: Tensor, thresholds: dict[str, Tensor], sums: _Sums, size: int) -> None:
    """Hold the units of some layers against the concepts in a batch."""
    maps: dict[str, Tensor] = {}
    _, labels = concepts.look(styles, keeping(maps, thresholds))
    with torch.inference_mode():
        # One image at a time: the masks of hundreds of concepts in a large batch would fill any memory.
        for i, shown in enumerate(_resized(labels[:, None], size, "nearest")[:, 0].long()):
            masks_pq, start = sums.see(shown), 0
            for name, limits in thresholds.items():
                inside = concepts.generator.layer(name).inside(maps[name][i])
                sums.add(start, inside, limits, masks_pq, size)
                start += len(limits)


def _resized(values: Tensor, size: int, mode: str) -> Tensor:
    """To (N, C, size, W), at least float32."""
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    wanted = of_height(size, values)
    return values if values.shape[-2] == size else interpolate(values, size=wanted, mode=mode)


class _Sums:
    """Running sums over pixels; a segmenter without names may show new labels at any time."""

    def __init__(self, concepts: int, units: int):
        self.activated = torch.zeros(units, dtype=torch.int64)
        self.intersections = torch.zeros(units, concepts, dtype=torch.int64)
        self.values = torch.zeros(units, concepts, dtype=torch.float64)
        self.pixels = torch.zeros(concepts, dtype=torch.int64)
        self.shown = torch.zeros(concepts, 1, 1, dtype=torch.float64)

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
            large = _resized(maps[None, c : c + step], size, "bilinear")[0].flatten(1)
            active = (large > thresholds[c : c + step].to(large)[:, None]).float()
            own = slice(first + c, first + c + len(large))
            # (whole numbers below 2^24, exact in float32; Apple's devices have no float64)
            self.activated[own] += active.sum(dim=1).cpu().long()
            self.intersections[own] += (active @ masks.t()).cpu().long()
            self.values[own] += (large @ masks.t().to(large)).cpu().double()


def _strongest(found: _Peaks, values: Tensor, seeds: list[int], count: int) -> _Peaks:
    """Add a batch of values (U, N) to the `count` largest of each unit; of equal ones the first stays."""
    own = torch.tensor(seeds).expand(len(values), -1)
    values, own = torch.cat([found[0], values], dim=1), torch.cat([found[1], own], dim=1)
    order = torch.sort(values, dim=1, descending=True, stable=True).indices[:, :count]
    return values.gather(1, order), own.gather(1, order)


def strongest_images(
    generator: Generator, dissection: UnitDissection, layer: str, units: Iterable[int], count: int = 8
) -> tuple[Tensor, Tensor]:
    """The images that some units are strongest in, and where they are active there.

    Parameters
    ----------
    generator : Generator
    dissection : UnitDissection
    layer : str
    units : iterable of int
        Numbers of units of the layer.
    count : int
        Images for each, at most as many as the dissection remembers.

    Returns
    -------
    images : Tensor of shape (units · count, 3, H, W), on the CPU
        Those of one unit after those of another.
    masks : Tensor of shape (units · count, H, W), bool, on the CPU
        Where the unit's enlarged map is above its threshold.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
    >>> found = units.characterize(generator, range(3), segmenter=judge, layers="b8.torgb")
    >>> images, masks = units.strongest_images(generator, found, "b8.torgb", [3, 5], count=2)
    >>> masks.shape
    torch.Size([4, 64, 64])
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
            images = generator.walk(styles, keeping(maps, [layer]))
            large = _resized(la.inside(maps[layer])[:, unit : unit + 1], images.shape[-2], "bilinear")[:, 0]
            active = large > float(dissection.thresholds[span.start + unit])
        shown.append((images.float().cpu(), active.cpu()))
    if not shown:
        raise ValueError("units is empty; give at least one")
    pictures, masks = zip(*shown, strict=True)
    return torch.cat(pictures), torch.cat(masks)


def usable(dissection: UnitDissection, segmenter: Judge, concept: str, layer: str) -> tuple[str, str]:
    """`concept` and `layer` if there are such, else others that interventions can be tried on.

    Parameters
    ----------
    dissection : UnitDissection
    segmenter : Segmenter or Catalog
        What will look: a catalog sees nothing of layers after its own.
    concept : str
        A wish; else that of the unit with the largest IoU.
    layer : str
        A wish; else the layer of the concept's best unit.

    Returns
    -------
    concept, layer : str

    Raises
    ------
    ValueError
        If all dissected layers come after the catalog's.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, judge = lefs.load("portraits-64"), lefs.load_segmenter("portraits-64")
    >>> found = units.characterize(generator, range(3), segmenter=judge, layers="b8.torgb")
    >>> units.usable(found, judge, "hair", "b64.conv0")
    ('hair', 'b8.torgb')
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
    best = torch.stack([dissection.iou[dissection.span(n)].amax(dim=0) for n in names])
    if concept not in dissection.concepts:
        concept = dissection.concepts[int(best.amax(dim=0).argmax())]
    return concept, layer if layer in names else names[int(best[:, dissection.concept(concept)].argmax())]
