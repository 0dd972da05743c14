"""Where channels are active: the energy of every layer's maps inside each cluster, and how well it is known.

M of a sample is an estimate, a ratio of two sums over images, and its standard error follows from how the
images differ. Large maps are nearly all of the cost, and need the fewest images, since they have the most
positions. So layers of large maps are left out once their error is small enough.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from timeit import timeit
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lefs.activations import Hypercolumns
from lefs.catalog import Catalog, shares
from lefs.checks import check_number
from lefs.factorization import Side, memberships
from lefs.generator import Generator
from lefs.images import resample_partition
from lefs.stylespace import StyleLayer
from lefs.synthesis import Stop
from lefs.workers import Sample
from lefs.workers.samples import Batch

__all__ = ["measured", "predicted_seconds"]

_STRIP = 2**20  # squares that are formed at once: enough for a matrix product, few enough for the cache
_CHEAP = 2**22  # numbers in a layer's maps of one image from which on images are spared
_FIRST = 32  # images after which errors are looked at first; then whenever their number has doubled


def measured(
    sample: Sample, catalog: Catalog, *, kind: Literal["energy", "standardized", "none"] = "energy",
    precision: float = 0.0,
) -> Catalog:  # fmt: skip
    """The catalog with M (Editing in Style, Eq. 1) of every style channel to its clusters, as a sample shows.

    Parameters
    ----------
    sample : Sample
    catalog : Catalog
        Its clusters: centres, method, and rules of position.
    kind : {"energy", "standardized", "none"}
        ``"standardized"`` is of maps less their channel's mean over the sample, which another pass finds:
        then energy is variance, as Eq. 1 has it (where its size cancels). ``"none"`` finds the sizes alone.
    precision : float
        Layers of large maps see further images until this is their error, in the root mean square over
        clusters and live channels: 32, 64, 128, ... of them; 0: all.
    """
    layers, count, clusters = sample.generator.layers, len(sample.seeds), catalog.num_clusters
    clustered, cheap = _depths(layers, catalog.layer)
    spared = check_number("precision", precision, minimum=0, maximum=1) > 0 and cheap < len(layers)
    means: Tensor | None = None
    if kind == "standardized":
        first = range(min(count, _FIRST) if spared else count)
        (total,) = sample.sums(partial(_means), "means", (sample.generator.num_styles,), positions=first)
        means = total / len(first)
    what: Any = {name: getattr(catalog, name) for name in ("layer", "centers", "method", "sides")}
    sums = torch.zeros(4, clusters, sample.generator.num_styles, dtype=torch.float64)
    sizes, images = sums.new_zeros(clusters), sums.new_zeros(sums.shape[2])
    depth, done = clustered if kind == "none" else len(layers), 0
    while done < count:
        some = range(done, min(count, max(_FIRST, 2 * done)) if spared else count)
        job = partial(_energy, **what, means=means, depth=depth)
        found = sample.sums(job, "contributions", tuple(sums.shape), (clusters,), positions=some)
        sums, sizes = sums + found[0], sizes + found[1]
        for span in (span for la in layers[:depth] for span in la.spans):
            images[span] += len(some)
        done = some.stop
        errors = _errors(sums, images)
        live = sums[0].sum(dim=0) > 0
        rough = [i < cheap or _rms(errors, live, la.span) > precision for i, la in enumerate(layers)]
        depth = min(depth, _depth(rough))
    sampling = replace(catalog.sampling, seeds=tuple(sample.seeds), precision=precision)
    m, errors = _in_steps(shares(sums[0] * (kind != "none"))), errors.half().float()
    sizes = sizes.round().long()
    return replace(catalog, contributions=m, errors=errors, sizes=sizes, measure=kind, sampling=sampling)


def _in_steps(found: Tensor) -> Tensor:
    """Shares in steps of 2⁻²⁴ that sum to what they did, by largest remainders.

    Single precision holds them, so that files are half as large; a sample tells them to 1e-6 at best.
    """
    steps = found * 2**24
    whole = steps.floor()
    missing = (steps - whole).sum(dim=0).round()
    rank = (whole - steps).argsort(dim=0, stable=True).argsort(dim=0, stable=True)
    return (whole + (rank < missing)) / 2**24


def predicted_seconds(sample: Sample, layer: str, centers: Tensor, count: int) -> float:
    """What `measured` of so many images will take, from the time that those of a small sample do; of large
    maps, if 32 images are enough.
    """
    layers, found = sample.generator.layers, list[float]()
    job = partial(_energy, layer=layer, centers=centers.cpu(), method="kmeans", means=None)
    shapes = (4, len(centers), sample.generator.num_styles), (len(centers),)
    for depth in (len(layers), len(layers), cheap := _depths(layers, layer)[1]):  # (the first call is slow)
        found.append(timeit(partial(sample.sums, partial(job, depth=depth), "", *shapes), number=1))
    whole = count if cheap == len(layers) else min(count, _FIRST)
    return (found[1] * whole + found[2] * (count - whole)) / len(sample.seeds)


def _depths(layers: Sequence[StyleLayer], clustered: str) -> tuple[int, int]:
    """How many layers lead to the clustered ones, and how many to those that see all images."""
    least = _depth(la.name in clustered.split("+") for la in layers)
    return least, max(least, _depth(la.channels * math.prod(la.size) < _CHEAP for la in layers))


def _depth(wanted: Iterable[bool]) -> int:
    """How many layers have to be walked for those that are wanted."""
    return max((number for number, each in enumerate(wanted, start=1) if each), default=0)


def _errors(sums: Tensor, images: Tensor) -> Tensor:
    """The standard error of a ratio of sums over n images, linearised: (K, S); 1 where there is one image.

    √(n / (n − 1) Σ (E − M T)²) / Σ T, of the energies E in a cluster and T in all.
    """
    m, total = shares(sums[0]), sums[0].sum(dim=0)
    spread = (sums[1] - 2 * m * sums[2] + m.square() * sums[3]).clamp_min(0)
    spread = spread * images / (images - 1).clamp_min(1)
    errors = torch.where(total > 0, spread.sqrt() / total, 0.0)
    return torch.where((images > 1) | (total == 0), errors.clamp(max=1), 1.0)


def _rms(errors: Tensor, live: Tensor, span: slice) -> float:
    """Of a layer's live channels, over all clusters."""
    found = errors[:, span][:, live[span]]
    return float(found.square().mean().sqrt()) if found.numel() else 0.0


def _means(generator: Generator, styles: Tensor, chunk: Batch) -> tuple[Tensor]:
    """The mean of every channel's map inside the picture, added up over the images of a batch: (S,)."""
    found = torch.zeros(generator.num_styles, dtype=torch.float64)

    def look(maps: Tensor, *, layer: StyleLayer) -> None:
        found[layer.span] = layer.inside(maps).float().mean(dim=(2, 3)).sum(dim=0).double().cpu()

    with torch.inference_mode():
        generator.walk(styles, {la.name: partial(look, layer=la) for la in generator.layers})
    return (found,)


def _energy(
    generator: Generator, styles: Tensor, chunk: Batch, *, layer: str, centers: Tensor, method: str,
    means: Tensor | None, depth: int, sides: Sequence[Side] = (),
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Over one batch, for each of the first `depth` layers, Σ E, Σ E², Σ E T and Σ T² of the images' energies
    E = Σ A² ⊙ U and T = Σ_k E: (4, K, S) float64; and positions per cluster, (K,).
    """
    walked = generator.layers[:depth]
    columns = Hypercolumns.of(layer, generator.layers)
    partition: _Partition | None = None
    waiting: dict[str, Tensor] = {}  # maps of the layers before the clustered one, which are smaller
    found: dict[str, Tensor] = {}

    def look(maps: Tensor, *, name: str) -> None:
        nonlocal partition
        waiting[name] = maps
        if partition is None and waiting.keys() >= set(columns.names):
            partition = _Partition(memberships(columns.join(waiting), centers, method, sides))
        if partition is not None:
            for n, a in waiting.items():
                la = generator.layer(n)
                less = a if means is None else a - means[la.span].to(a)[:, None, None]
                found[n] = partition.energy(la, less)
            waiting.clear()
        if len(found) == depth:
            raise Stop

    with torch.inference_mode(), suppress(Stop):
        generator.walk(styles, {la.name: partial(look, name=la.name) for la in walked})
    assert partition is not None
    # Brought over once, so that a device is never waited for between its layers.
    sums = torch.zeros(4, len(centers), generator.num_styles, dtype=torch.float64)
    for la in (la for la in walked if la.name in found):  # (those beyond a smaller picture are never walked)
        for span in la.spans:  # a channel's shift acts where the channel does
            sums[:, :, span] = found[la.name].cpu()
    return sums, partition.membership.cpu().sum(dim=(0, 2, 3), dtype=torch.float64)


class _Partition:
    """Memberships (N, K, h, w) of one batch, and the energy of layers' maps inside each cluster."""

    def __init__(self, membership: Tensor):
        self.membership = membership
        self._resampled = membership.flatten(2)  # to the size last asked for: (N, K, H W)
        self._last: tuple[weakref.ref[Tensor], Tensor] | None = None

    def energy(self, layer: StyleLayer, maps: Tensor) -> Tensor:
        """Those of `_energy` inside the picture: (4, K, C), float64."""
        # The layers of one size that see the same maps (to colours, and on to the next size) are one sum.
        if self._last is None or self._last[0]() is not maps:
            # (margins differ from layer to layer, what lies inside the picture fits)
            inside = layer.inside(maps)
            height, width = self.membership.shape[2:]
            times = inside.shape[-2] // height
            if inside.shape[-2:] == (times * height, times * width):
                found = _energy_by_cluster(inside, self.membership.flatten(2), times)
            else:
                if self._resampled.shape[2] != inside[0, 0].numel():
                    self._resampled = resample_partition(self.membership, inside.shape[-2]).flatten(2)
                found = _energy_by_cluster(inside, self._resampled, 1)
            self._last = weakref.ref(maps), found
        return self._last[1]


def _energy_by_cluster(maps: Tensor, memberships: Tensor, times: int) -> Tensor:
    """Those of `_energy` for maps (N, C, H, W) and memberships (N, K, H W / times²), each of which holds for
    a square of positions, its nearest neighbours: (4, K, C), added up in float64.

    Squares of one member are added up before the product, which then is `times`² smaller. On a processor a
    strip of positions at a time, whose squares stay in its cache; else one matrix product.
    """
    on_cpu, wide = maps.device.type == "cpu", maps.dtype.itemsize >= 4
    if times > 1:
        maps = avg_pool2d((maps if wide else maps.float()).square(), times) * times**2
    values = maps.flatten(2)
    step = max(256, _STRIP // values[..., 0].numel()) if on_cpu else values.shape[2]
    energy = each = torch.zeros((), dtype=torch.float64)
    for strip, members in zip(values.split(step, dim=2), memberships.split(step, dim=2), strict=True):
        squares = strip if times > 1 else (strip if wide else strip.float()).square()
        squares = squares.movedim(1, 2)
        part = torch.bmm(members.to(squares.dtype), squares)
        part = part.cpu() if part.device.type == "mps" else part  # (Apple's devices have no float64)
        energy = energy.to(part.device) + part.sum(dim=0, dtype=torch.float64)
        each = each.to(part.device) + part
    total = each.sum(dim=1, keepdim=True)
    products = each * each, each * total, total * total
    return torch.stack([energy, *(product.sum(dim=0).expand_as(energy) for product in products)])
