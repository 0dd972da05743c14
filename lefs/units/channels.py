"""Does a contribution predict a cause? Style channels moved one at a time, held against M."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_integer, check_name, check_number, check_seeds
from lefs.evaluation import Estimate, Segmenter, bootstrap, interval, read_masks
from lefs.generator import Generator, GeneratorId
from lefs.showing import Shown
from lefs.stylespace import StyleLayer
from lefs.synthesis import Cache
from lefs.tables import Table
from lefs.units.interventions import batch_of, chosen_layers
from lefs.workers.progress import track

__all__ = ["Agreement", "ChannelEffects", "agreement", "channel_effects", "misleading_channels"]

_DEVIATIONS_FROM = 256  # images whose styles tell how far each channel usually goes


@dataclass(frozen=True, eq=False, repr=False)
class ChannelEffects(Shown):
    """What changes in each part when one style channel is moved.

    Attributes
    ----------
    parts : tuple of str
        P names.
    layers : tuple of StyleLayer
        Those whose channels were moved.
    effect : Tensor of shape (P, S), float64
        Σ squared pixel change inside the part, over its channels in [-1, 1], a mean over the images; 0
        for style channels that were not moved.
    total : Tensor of shape (S,), float64
        The same over the whole picture.
    areas : Tensor of shape (P,), float64
        The share of the picture that each part takes, a mean.
    values : int
        How many a picture has: channels · height · width.
    step : float
        How far channels were moved, in standard deviations over images.
    images : int
        How many.
    generator : GeneratorId
        Whose channels they are.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> found = units.channel_effects(generator, catalog, [1], layers="b64.conv1")
    >>> found.share.shape == (len(catalog.parts), generator.num_styles)
    True
    """

    parts: tuple[str, ...]
    layers: tuple[StyleLayer, ...]
    effect: Tensor
    total: Tensor
    areas: Tensor
    values: int
    step: float
    images: int
    generator: GeneratorId

    @property
    def share(self) -> Tensor:
        """The share of a channel's squared change that lies in each part: (P, S); 0 where nothing changed."""
        return torch.where(self.total > 0, self.effect / self.total.clamp_min(1e-300), 0.0)

    def largest(self, parts: Iterable[str], count: int) -> list[str]:
        """Those of `parts` that take most of the picture, the largest first: at most `count`."""
        return sorted(parts, key=lambda part: -float(self.areas[self.parts.index(part)]))[:count]

    @property
    def rms(self) -> Tensor:
        """Root mean squared change of the picture's values when a channel is moved: (S,)."""
        return (self.total / self.values).sqrt()


def channel_effects(
    generator: Generator, catalog: Catalog, seeds: Iterable[int], *,
    layers: str | Iterable[str] | None = None, step: float = 1.0, segmenter: Segmenter | None = None,
    truncation: float = 1.0, batch_size: int | None = None, progress: bool = True,
) -> ChannelEffects:  # fmt: skip
    """Move style channels one at a time, by `step` of their standard deviations, and see where pixels change.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
        Whose parts they are.
    seeds : iterable of int
        The images.
    layers : str or iterable of str, optional
        Names of the layers whose channels are moved; by default all convolutions.
    step : float
        In standard deviations of each channel over images; not 0.
    segmenter : Segmenter, optional
        Tells where a part is, if it has a part of that name (``.names``); else the catalog's own membership.
    truncation : float
        ψ of the images.
    batch_size : int, optional
        Images at a time, one for each channel that is moved; by default 64, fewer if they are large.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    ChannelEffects

    Raises
    ------
    TypeError
        If the generator has no styles.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> units.channel_effects(generator, catalog, [1], layers="b64.conv1").images
    1
    """
    generator.check_styles()
    catalog.check_generator(generator)
    sample, psi = check_seeds(seeds), check_number("truncation", truncation)
    size = batch_of(generator, batch_size, 64)
    if check_number("step", step) == 0:
        raise ValueError("step must not be 0: nothing would be moved")
    chosen = chosen_layers(generator, layers, [la for la in generator.layers if la.kind == "conv"])
    moved = torch.cat([torch.arange(la.span.start, la.span.stop) for la in chosen])
    delta = step * generator.sample_styles(range(_DEVIATIONS_FROM), truncation=psi).std(dim=0)
    effect = torch.zeros(len(catalog.parts) + 1, generator.num_styles, dtype=torch.float64)
    areas = torch.zeros(len(catalog.parts), dtype=torch.float64)
    for seed in track(sample, total=len(sample), description="channels", show=progress):
        with torch.inference_mode():
            styles = generator.sample_styles(seed, truncation=psi)
            masks = _masks(generator, catalog, styles, segmenter)
            areas += masks[:-1].mean(dim=1).cpu().double()
            # (one image at a time: its cache serves all channels)
            cache = generator.cache(styles)
            for own in moved.split(size):
                effect[:, own] += _changes(generator, cache, masks, own, delta).cpu().double().t()
    count, who = len(sample), GeneratorId.of(generator)
    values = generator.channels * math.prod(generator.size)
    parts, total = effect[:-1] / count, effect[-1] / count
    return ChannelEffects(tuple(catalog.parts), chosen, parts, total, areas / count, values, step, count, who)


def _masks(generator: Generator, catalog: Catalog, styles: Tensor, segmenter: Segmenter | None) -> Tensor:
    """Where each part of one image is, and a last row of ones: (P + 1, pixels), float32."""
    masks = read_masks(generator, catalog, styles, segmenter=segmenter)
    rows = torch.stack([m[0].flatten() for m in masks.values()]).float()
    return torch.cat([rows, torch.ones_like(rows[:1])])


def _changes(generator: Generator, cache: Cache, masks: Tensor, channels: Tensor, delta: Tensor) -> Tensor:
    """Σ squared change under each mask for each channel: (channels, masks)."""
    moved = cache.styles.repeat(len(channels), 1)
    rows, own = torch.arange(len(channels), device=moved.device), channels.to(moved.device)
    moved[rows, own] += delta[own]
    assert cache.image is not None
    difference = generator.synthesize(moved, cache=cache).float() - cache.image.float()
    return difference.square().sum(dim=1).flatten(1) @ masks.t()


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of contribution M with effect, over the channels of one layer.

    Attributes
    ----------
    layer, part : str
        Of which channels, for which part.
    rho : Estimate
        Spearman's ρ of M with the share of the effect that lies in the part, with its 95 % bootstrap interval
        over the channels; NaN if either is constant.
    channels : int
        How many change anything.

    Examples
    --------
    >>> from lefs import units
    >>> from lefs.evaluation import Estimate
    >>> units.Agreement("b4.conv1", "hair", Estimate(0.5, 0.3, 0.7), 128).rho.value
    0.5
    """

    layer: str
    part: str
    rho: Estimate
    channels: int


def agreement(
    effects: ChannelEffects, catalog: Catalog, *, parts: Iterable[str] | None = None
) -> list[Agreement]:
    """Does a contribution predict a cause? Spearman's ρ for each layer and part.

    Parameters
    ----------
    effects : ChannelEffects
        Measured with this catalog's parts.
    catalog : Catalog
    parts : iterable of str, optional
        Names; all by default.

    Returns
    -------
    list of Agreement

    Raises
    ------
    ValueError
        If the effects are of other parts or of another generator.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> effects = units.channel_effects(generator, catalog, [1], layers="b64.conv1")
    >>> [found.part for found in units.agreement(effects, catalog, parts=["hair", "skin"])]
    ['hair', 'skin']
    """
    found = []
    for part in effects.parts if parts is None else parts:
        share = effects.share[_place(effects, catalog, part)].numpy()
        predicted = catalog.contribution(part).numpy()
        for layer in effects.layers:
            # A channel that changes nothing has no share to be predicted.
            live = (effects.total[layer.span] > 0).numpy()
            rho = _spearman(predicted[layer.span][live], share[layer.span][live])
            found.append(Agreement(layer.name, part, rho, int(live.sum())))
    return found


def _place(effects: ChannelEffects, catalog: Catalog, part: str) -> int:
    """The number of a part; a ValueError if the effects are not of the catalog's parts."""
    same = effects.generator.fingerprint == catalog.generator.fingerprint
    if not same or effects.parts != tuple(catalog.parts):
        raise ValueError(
            f"effects were measured on parts {list(effects.parts)} of {effects.generator}, the catalog has "
            f"{list(catalog.parts)} of {catalog.generator}; measure them with this catalog"
        )
    return effects.parts.index(check_name("part", part, effects.parts, what="part"))


def _spearman(x: np.ndarray, y: np.ndarray) -> Estimate:
    """ρ with its 95 % interval over the channels."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate(*[float("nan")] * 3)
    return interval(bootstrap(_rank_correlation, x, y))


def _rank_correlation(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's ρ of each resample: (R,); NaN where all ranks are equal."""
    a, b = (_ranks(counts, v) for v in (x, y))
    total = counts.sum(axis=1, keepdims=True)
    a, b = (v - (counts * v).sum(axis=1, keepdims=True) / total for v in (a, b))
    scale = np.sqrt((counts * a**2).sum(axis=1) * (counts * b**2).sum(axis=1))
    return np.divide((counts * a * b).sum(axis=1), scale, out=np.full(len(scale), np.nan), where=scale > 0)


def _ranks(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Ranks (R, n) of n values in resamples that hold each so often, less ½; ties share their mean rank."""
    order = values.argsort()
    _, first, place = np.unique(values[order], return_index=True, return_inverse=True)
    held = np.add.reduceat(counts[:, order], first, axis=1)  # how often each different value is drawn
    ranks = np.empty_like(counts)
    ranks[:, order] = (held.cumsum(axis=1) - held / 2)[:, place]
    return ranks


def misleading_channels(effects: ChannelEffects, catalog: Catalog, part: str, *, count: int = 8) -> Table:
    """The channels in which M and effect differ most for a part, weighed by how much each changes at all.

    Parameters
    ----------
    effects : ChannelEffects
        Measured with this catalog's parts.
    catalog : Catalog
    part : str
    count : int
        How many channels.

    Returns
    -------
    Table
        Layer, channel, M, the share of the effect that lies in the part, the part that has most of it, and
        the root mean squared change of the picture; largest |M − share| · change first.

    Examples
    --------
    >>> import lefs
    >>> from lefs import units
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> effects = units.channel_effects(generator, catalog, [1], layers="b64.conv1")
    >>> len(units.misleading_channels(effects, catalog, "hair", count=3).rows)
    3
    """
    p, share, strength = _place(effects, catalog, part), effects.share, effects.rms
    predicted = catalog.contribution(part)
    gap = (predicted - share[p]).abs() * strength
    rows: list[tuple[str | float, ...]] = []
    for s in torch.argsort(gap, descending=True, stable=True).tolist()[: check_integer("count", count)]:
        layer = next((la for la in effects.layers if la.span.start <= s < la.span.stop), None)
        if layer is None or gap[s] == 0:
            continue
        most = effects.parts[int(share[:, s].argmax())]
        numbers = (float(predicted[s]), float(share[p, s]))
        rows.append((layer.name, f"{s - layer.span.start}", *numbers, most, float(strength[s])))
    heads = (f"M for {part}", f"effect in {part}", "most of it in", "RMS change")
    return Table(("layer", "channel", *heads), rows)
