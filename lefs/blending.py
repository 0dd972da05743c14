"""Edits in place: the reference's maps inside the mask of a part, the target's outside it.

The paper's edit moves style channels, and a channel acts wherever it is active. This one says where: at one
layer, what enters it is mixed by a mask. It is feature blending (Suzuki et al. 2018) with masks that nobody
labelled, those of the catalog's clusters, and not the method of Editing in Style.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.editing import Change, transfer
from lefs.generator import Generator
from lefs.images import resized
from lefs.positions import grown, main_pieces, offsets, on_map, shifted
from lefs.query import QuerySettings
from lefs.showing import Shown
from lefs.synthesis import Cache, Noise

__all__ = ["Blending", "Side", "blending_layer", "in_place", "mix"]

_IN_PLACE = QuerySettings(where="part")
_TRANSPLANT = QuerySettings(epsilon=48)
_APART = 0.2  # intersection over union below which masks are taken to lie apart


def in_place(
    generator: Generator, catalog: Catalog, part: str, target_styles: Tensor, reference_styles: Tensor, *,
    settings: QuerySettings = _IN_PLACE, strength: float = 1.0, masks: tuple[Tensor, Tensor] | None = None,
    noise: Noise = "const", upto: int | None = None,
) -> Tensor:  # fmt: skip
    """Edit one part of images inside the part's mask alone.

    Before the layer ``blending_layer(catalog)``, x = x_S + m ∘ (x_G − x_S): x_S of the target, x_G of the run
    of ``transfer(target, reference, q)``, m the part in target or reference without its specks
    (pieces below a twentieth of the largest), grown by one position of that map and averaged to it. The image
    so far is mixed likewise; from there on the target's styles follow.
    Before a finer layer (the finest clustered one, or the next of larger maps) the maps outside m, now grown
    by `refine` pixels, are the target's once more.

    Parameters
    ----------
    generator : Generator
        One without styles, as ProGAN, mixes the runs of two latents.
    catalog : Catalog
        Of this generator; its clusters say where the part is.
    part : str
    target_styles, reference_styles : Tensor of shape (N, S), or (1, S) for one against many
        As `Generator.sample` gives them.
    settings : QuerySettings
        q and the options `tone`, `align`, `transplant` and `refine`.
    strength : float in [0, 1]
        λ of the transfer; at 0 the image is the target's bit for bit.
    masks : pair of bool Tensor of shape (N, H, W) or (1, H, W), optional
        Where the part is in target and reference, instead of what the catalog finds.
    noise : {"const", "none"} or int
    upto : int, optional
        A lower resolution, for a preview.

    Returns
    -------
    Tensor of shape (N, 3, H, W)

    Raises
    ------
    ValueError
        If the part is in neither image, of any pair.

    Examples
    --------
    >>> import lefs
    >>> from lefs.blending import in_place
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> in_place(generator, catalog, "mouth", generator.sample([1]), generator.sample([2, 3])).shape
    torch.Size([2, 3, 64, 64])
    """
    target_styles, reference_styles = map(torch.as_tensor, (target_styles, reference_styles))
    change = Change(part, reference_styles, strength, settings)
    work = Blending(generator, catalog, noise=noise, upto=upto)
    # (with masks the catalog need not be asked where the parts are, unless their tones are)
    known: dict[str, Tensor] | None = None if masks is None or settings.tone else {}
    sides = [work.side(styles, known) for styles in (target_styles, reference_styles)]
    if masks is not None:
        if len(masks) != 2:
            raise ValueError(f"masks must be a pair, of target and of reference; got {len(masks)}")
        sides = [work.marked(side, part, mask) for side, mask in zip(sides, masks, strict=True)]
    made = work.edited(sides[0].state, [(change, work.query(part, settings, *sides), sides)])
    return generator.walk(made.styles, noise=noise, upto=upto, cache=made)


def blending_layer(catalog: Catalog) -> str:
    """The layer before which maps are mixed: the coarsest that the catalog clusters.

    Coarser ones arrive as well and are seen further outside the part; finer ones change colours more than
    shapes. The first layer of a generator, which gets the same in all images, gives way to the second.
    """
    coarsest = catalog.columns.names[0]
    return catalog.layers[1].name if coarsest == catalog.layers[0].name else coarsest


@dataclass(frozen=True, eq=False, repr=False)
class Side(Shown):
    """What edits in place need of targets, or of references.

    Attributes
    ----------
    styles : Tensor of shape (N, S)
    state : Cache
        The state before the blending layer.
    masks : mapping of str to bool Tensor of shape (N, side, side)
        Where each part is.
    drawn : tuple of str
        The parts whose masks are somebody's own, which are taken as they are.
    tones : mapping of Side to {part: Cache}
        Of references: what was found out about their tones and those of a target, while there is one.
    """

    styles: Tensor
    state: Cache
    masks: Mapping[str, Tensor]
    drawn: tuple[str, ...] = ()
    tones: WeakKeyDictionary[Side, dict[str, Cache]] = field(default_factory=WeakKeyDictionary, repr=False)

    @property
    def nbytes(self) -> int:
        """Bytes of its maps and masks, by which an editor knows how many sides it may keep."""
        caches = [self.state, *(tone for known in [*self.tones.values()] for tone in [*known.values()])]
        maps = (t for one in caches for state in one.states for t in state if t is not None)
        return sum(t.nbytes for t in (*maps, *self.masks.values()))


@dataclass
class Blending:
    """The steps of edits in place, of one generator by one catalog's masks; `in_place` takes them in turn.

    Parameters
    ----------
    generator, catalog : Generator, Catalog
    noise : {"const", "none"} or int
    upto : int, optional
        A lower resolution, for a preview.
    cache : Cache, optional
        All states of the target, where they are kept.

    Attributes
    ----------
    layer : str
        `blending_layer` of the catalog.
    finest : str or None
        That of the second blend: the finest clustered layer; where one is clustered, the first convolution
        of larger maps.
    mask_side : int
        Height of the masks, in pixels: two for each position of the finest clustered map.
    """

    generator: Generator
    catalog: Catalog
    noise: Noise = "const"
    upto: int | None = None
    cache: Cache | None = None

    def __post_init__(self) -> None:
        catalog = self.catalog
        self.layer, columns = blending_layer(catalog), catalog.columns
        begin = next(layer for layer in catalog.layers if layer.name == self.layer)
        finer = (la.name for la in catalog.layers if la.kind == "conv" and la.side > begin.side)
        self.finest = columns.names[-1] if len(columns.names) > 1 else next(finer, None)
        self.mask_side = 2 * columns.side
        self._position = self.mask_side // min(la.side for la in columns.layers)  # of the map that is mixed

    def state(self, styles: Tensor, layer: str | None = None, cache: Cache | None = None) -> Cache:
        """The state before a layer, that of the blend unless told otherwise, from what is kept on."""
        begin, layer = cache or self.cache, layer or self.layer
        return self.generator.state(styles, layer, noise=self.noise, upto=self.upto, cache=begin)

    def side(self, styles: Tensor, masks: Mapping[str, Tensor] | None = None) -> Side:
        """What is needed of some styles; masks are the catalog's, unless given."""
        if masks is None:
            masks = self.catalog.part_masks(self.generator, styles, size=self.mask_side)
        return Side(styles, self.state(styles), masks)

    def marked(self, side: Side, part: str, mask: Tensor) -> Side:
        """The same with a mask (N, H, W) of one's own for a part, which then is no other's."""
        mask, (height, width) = torch.as_tensor(mask), self.generator.size
        if mask.ndim != 3 or mask.shape[2] * height != mask.shape[1] * width:
            wanted = f"shape (N, H, W) in the proportions of the images, {height}:{width}"
            raise ValueError(f"mask must have {wanted}; got {tuple(mask.shape)}")
        # (any pixel counts: a thin part must not vanish on the way down)
        size = self.mask_side, self.mask_side * width // height
        own = resized(mask[:, None].to(side.styles), size)[:, 0] > 0
        others = {name: found & ~own for name, found in side.masks.items()}
        return replace(side, masks={**others, part: own}, drawn=(*side.drawn, part))

    def query(self, part: str, settings: QuerySettings, target: Side, reference: Side) -> Tensor:
        """Which channels of the reference are mixed in: (S,) or (N, S)."""
        pair = target.styles, reference.styles
        return settings.query(self.catalog, part, *pair, generator=self.generator, noise=self.noise)

    def edited(self, outer: Cache, edits: Iterable[tuple[Change, Tensor, Sequence[Side]]]) -> Cache:
        """Where a walk goes on once changes in place are mixed into a state, one over the other.

        Parameters
        ----------
        outer : Cache
            The state before the blending layer without them.
        edits : iterable of (Change, q, (target, reference))
            As `blend` takes them.
        """
        found, places, growth = outer, list[Tensor](), list[int]()
        for change, q, (target, reference) in edits:
            found, place = self.blend(change, q, target, reference, found)
            if change.strength:
                places.append(place)
                growth.append(-1 if change.settings.refine is None else change.settings.refine)
        if self.finest is None or min(growth, default=-1) < 0:
            return found  # (what one change mixes in without a second blend is not cut by another's)
        # A second blend, one size finer: beside the parts the maps are the outer's again.
        known = self.cache is not None and torch.equal(self.cache.styles, outer.styles)
        finer = self.state(outer.styles, self.finest, None if known else outer)
        weights = grown(torch.stack(places).any(dim=0), max(growth))
        return mix(self.generator, finer, self.state(found.styles, self.finest, found), weights)

    def blend(
        self, change: Change, q: Tensor, target: Side, reference: Side, over: Cache
    ) -> tuple[Cache, Tensor]:
        """Mix one part of a reference into the state before the blending layer; `in_place` says how.

        Parameters
        ----------
        change : Change
            Its part, strength and settings.
        q : Tensor of shape (S,) or (N, S)
            Which channels of the reference are mixed in, as `query` finds them.
        target, reference : Side
            Of N images, or of one against N.
        over : Cache
            The state to mix into: the target's, or that of an edit that was made before.

        Returns
        -------
        Cache
            The state from which a walk with its styles goes on.
        Tensor of shape (N, side, side), bool
            Where the part is, in either.
        """
        part, settings, strength = change.part, change.settings, change.strength
        if part not in target.masks:
            self.catalog.clusters(part)  # (an error that lists those there are)
        own, other = (
            s.masks[part] if part in s.drawn else main_pieces(s.masks[part]) for s in (target, reference)
        )
        if not bool((own.flatten(1).any(1) | other.flatten(1).any(1)).all()):
            told = "so there is no place to edit; take another reference, or where="
            raise ValueError(f'part: {part!r} is in neither target nor reference, {told}"everywhere"')
        inner = self._moved(q, target, reference, strength)
        if settings.tone and len(target.masks) > 1:
            inner = self._toned(part, target, reference, inner, strength)
        if settings.align and strength:
            inner, other = self._aligned(inner, own, other, only_apart=settings.align == "apart")
        inner = self._beside(inner, over, target, strength)
        union = place = own | other
        if settings.transplant:
            # (where only the target shows the part, the reference shows what lies behind it there: its own)
            chosen = replace(_TRANSPLANT, contributions=settings.contributions)
            behind = self._moved(self.query(part, chosen, target, reference), target, reference, strength)
            behind = self._beside(behind, over, target, strength)
            over, place = mix(self.generator, over, behind, grown(union, self._position)), other
        return mix(self.generator, over, inner, grown(place, self._position)), union

    def _moved(self, q: Tensor, target: Side, reference: Side, strength: float) -> Cache:
        """The state of the target's styles once the channels have moved."""
        if strength == 1 and bool((q == 1).all()):
            return reference.state
        return self.state(transfer(target.styles, reference.styles, q, strength=strength))

    def _beside(self, made: Cache, over: Cache, target: Side, strength: float) -> Cache:
        """What a part is to become where earlier changes were made: at full strength `made`, at none of it
        what they left.
        """
        if strength == 1 or over is target.state:
            return made
        states = made, over, target.state
        return _each(self.generator, lambda _, new, old, own: new + (1 - strength) * (old - own), *states)

    def _aligned(self, inner: Cache, own: Tensor, other: Tensor, *, only_apart: bool) -> tuple[Cache, Tensor]:
        """The reference's state and mask moved over the target's part; or only where they lie apart before it
        and not after it.
        """
        moves = offsets(own, other)
        moved = shifted(other[:, None].float(), moves)[:, 0] > 0.5
        at = moves.any(dim=1)
        if only_apart:
            at &= (_overlap(own, other) < _APART) & (_overlap(own, moved) >= _APART)

        def move(margin: int, maps: Tensor) -> Tensor:
            found = shifted(maps, moves, 1 - 2 * margin / maps.shape[-1])
            return torch.where(at[:, None, None, None], found, maps)

        return _each(self.generator, move, inner), torch.where(at[:, None, None], moved, other)

    def _toned(self, part: str, target: Side, reference: Side, inner: Cache, strength: float) -> Cache:
        """What a reference shows beside the part, moved by the difference of the means of both sides' maps
        over the same other part near by; where one side lacks that, nothing moves.
        """
        known = reference.tones.setdefault(target, {})
        if part not in known:  # (strength and settings have no say in it)
            known[part] = self._tones(part, target, reference)
        return _each(self.generator, lambda _, made, move: made + strength * move, inner, known[part])

    def _tones(self, part: str, target: Side, reference: Side) -> Cache:
        """How far `_toned` moves each tensor of the state before the blending layer, at full strength."""
        near = grown(target.masks[part] | reference.masks[part], 2 * self._position)
        others = [name for name in target.masks if name != part]
        masks = [torch.stack([s.masks[n] for n in others], dim=1).float() for s in (target, reference)]

        def tones(margin: int, *both: Tensor) -> Tensor:
            weights = [on_map(mask * near, maps, margin) for mask, maps in zip(masks, both, strict=True)]
            areas = [w.sum((2, 3))[:, :, None] for w in weights]
            sums = [torch.einsum("nphw,nchw->npc", w, x) for w, x in zip(weights, both, strict=True)]
            means = [total / area for total, area in zip(sums, areas, strict=True)]
            shift = torch.where(torch.minimum(*areas) > 0.5, means[0] - means[1], 0.0)
            return torch.einsum("nphw,npc->nchw", on_map(masks[1], both[0], margin), shift)

        return _each(self.generator, tones, target.state, reference.state)


def mix(generator: Generator, outer: Cache, inner: Cache, weights: Tensor) -> Cache:
    """Two states before one layer, mixed: every tensor is the inner's where the weights are 1.

    Parameters
    ----------
    generator : Generator
    outer, inner : Cache
        Of `Generator.state`, of N images or of one; the outer's styles follow.
    weights : Tensor of shape (N, 1, side, side) in [0, 1]
        Over the picture.
    """
    return _each(generator, lambda m, a, b: torch.lerp(a, b, on_map(weights, a, m)), outer, inner)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of masks (N, H, W): (N,); 0 of two empty ones."""
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2)).clamp_min(1)


def _each(generator: Generator, make: Callable[..., Tensor], *caches: Cache) -> Cache:
    """What `make` gives of the margin and the tensors of states before one layer; the first's styles follow.

    The margin is how much of a map lies outside the picture, on each side; what comes after the features has
    none. Where a state lacks a tensor, so does this.
    """
    index = len(caches[0].states) - 1
    margin = next((la.margin for la in generator.layers[index:]), 0)
    found = tuple(
        None if any(tensor is None for tensor in tensors) else make(0 if i else margin, *tensors)
        for i, tensors in enumerate(zip(*(cache.states[index] for cache in caches), strict=True))
    )
    count = max(len(tensor) for tensor in found if tensor is not None)
    return Cache.only(index, found, caches[0].styles.expand(count, -1), caches[0].noise)
