"""Edits in place: the reference's maps inside the mask of a part, the target's outside it.

The paper's edit moves style channels, and a channel acts wherever it is active. This one says where: at one
layer, what enters it is mixed by a mask. It is feature blending (Suzuki et al. 2018) with masks that nobody
labelled, those of the catalog's clusters, and not the method of Editing in Style.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.editing import transfer
from lefs.generator import Generator
from lefs.positions import grown, offsets, on_map, resized, shifted
from lefs.query import QuerySettings
from lefs.synthesis import Cache, Noise

__all__ = ["Side", "blend", "blending_layer", "in_place", "mix", "refined"]

_IN_PLACE = QuerySettings(where="part")
_TRANSPLANT = QuerySettings(epsilon=48)


def in_place(
    generator: Generator,
    catalog: Catalog,
    part: str,
    target_styles: Tensor,
    reference_styles: Tensor,
    *,
    settings: QuerySettings = _IN_PLACE,
    strength: float = 1.0,
    masks: tuple[Tensor, Tensor] | None = None,
    noise: Noise = "const",
    upto: int | None = None,
) -> Tensor:
    """Edit one part of images inside the part's mask alone.

    Before the layer ``blending_layer(catalog)``, x = x_S + m ∘ (x_G − x_S): x_S of the target, x_G of the run
    of ``transfer(target, reference, q)``, m the part in target or reference, grown by one position of
    that map and averaged to it. The image so far is mixed likewise; from there on the target's styles follow.
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
    options: dict[str, Any] = {"noise": noise, "upto": upto}
    both = generator, catalog
    if masks is not None and not settings.tone:  # (then the catalog need not be asked where the parts are)
        options["masks"] = {}
    target, reference = (Side.of(*both, styles, **options) for styles in (target_styles, reference_styles))
    if masks is not None:
        target, reference = target.marked(*both, part, masks[0]), reference.marked(*both, part, masks[1])
    made, where = blend(*both, part, settings, target, reference, strength=strength, upto=upto)
    made = refined(*both, target.state, made, where, settings.refine, upto=upto)
    return generator.walk(made.styles, noise=noise, upto=upto, cache=made)


def blending_layer(catalog: Catalog) -> str:
    """The layer before which maps are mixed: the coarsest that the catalog clusters.

    Coarser ones arrive as well and are seen further outside the part; finer ones change colours more than
    shapes. The first layer of a generator, which gets the same in all images, gives way to the second.
    """
    coarsest = catalog.columns.names[0]
    return catalog.layers[1].name if coarsest == catalog.layers[0].name else coarsest


def _refining_layer(catalog: Catalog) -> str | None:
    """The finest clustered layer; where one is clustered, the first convolution of larger maps."""
    if len(catalog.columns.names) > 1:
        return catalog.columns.names[-1]
    begin = next(layer for layer in catalog.layers if layer.name == blending_layer(catalog))
    finer = (la.name for la in catalog.layers if la.kind == "conv" and la.side > begin.side)
    return next(finer, None)


@dataclass(frozen=True, eq=False)
class Side:
    """What edits in place need of targets, or of references.

    Attributes
    ----------
    styles : Tensor of shape (N, S)
    state : Cache
        The state before the blending layer.
    masks : mapping of str to bool Tensor of shape (N, side, side)
        Where each part is.
    cache : Cache, optional
        All of their states, where they are kept.
    notes : dict
        What the latest edit with this reference found out, for the next one with the same target.
    """

    styles: Tensor
    state: Cache
    masks: Mapping[str, Tensor]
    cache: Cache | None = None
    notes: dict[object, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        generator: Generator,
        catalog: Catalog,
        styles: Tensor,
        *,
        noise: Noise = "const",
        upto: int | None = None,
        cache: Cache | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Side:
        """Those of some styles; the masks are the catalog's, unless given."""
        state = generator.state(styles, blending_layer(catalog), noise=noise, upto=upto, cache=cache)
        if masks is None:
            masks = catalog.part_masks(generator, styles, size=mask_side(catalog))
        return cls(styles, state, masks, cache)

    def marked(self, generator: Generator, catalog: Catalog, part: str, mask: Tensor) -> Side:
        """The same with a mask (N, H, W) of one's own for a part, which then is no other's."""
        size = generator.size
        if mask.shape[-1] * size[0] != mask.shape[-2] * size[1]:
            raise ValueError(
                f"mask must have the proportions of the images, {size[0]}:{size[1]}; got {mask.shape[-2]} x "
                f"{mask.shape[-1]} pixels"
            )
        # (any pixel counts: a thin part must not vanish on the way down)
        side = mask_side(catalog)
        own = resized(mask[:, None].to(self.styles), (side, side * size[1] // size[0]))[:, 0] > 0
        others = {name: found & ~own for name, found in self.masks.items()}
        return replace(self, masks={**others, part: own})


def mask_side(catalog: Catalog) -> int:
    """Side of the masks, in pixels: two for each position of the finest clustered map."""
    return 2 * catalog.columns.side


def _position(catalog: Catalog) -> int:
    """One position of the map that is mixed, in pixels of the masks."""
    return mask_side(catalog) // min(layer.side for layer in catalog.columns.layers)


def blend(
    generator: Generator,
    catalog: Catalog,
    part: str,
    settings: QuerySettings,
    target: Side,
    reference: Side,
    *,
    strength: float = 1.0,
    over: Cache | None = None,
    upto: int | None = None,
) -> tuple[Cache, Tensor]:
    """Mix one part of a reference into the state before the blending layer; `in_place` says how.

    Parameters
    ----------
    generator, catalog, part, settings, strength, upto
        As of `in_place`.
    target, reference : Side
        Of N images, or of one against N.
    over : Cache, optional
        The state to mix into, of an edit that was made before; the target's unless told otherwise.

    Returns
    -------
    Cache
        The state from which a walk with its styles goes on.
    Tensor of shape (N, side, side), bool
        Where the part is, in either.
    """
    if part not in target.masks:
        catalog.clusters(part)  # (an error that lists those there are)
    own, other = target.masks[part], reference.masks[part]
    if not bool((own.flatten(1).any(1) | other.flatten(1).any(1)).all()):
        raise ValueError(
            f"part: {part!r} is in neither target nor reference, so there is no place to edit; "
            'take another reference, or where="everywhere"'
        )
    begin = target.state if over is None else over
    layer = blending_layer(catalog)

    def run(chosen: QuerySettings) -> Cache:
        q = _query(generator, catalog, part, chosen, target.styles, reference.styles)
        if strength == 1 and bool((q == 1).all()):
            return reference.state
        styles = transfer(target.styles, reference.styles, q, strength=strength)
        return generator.state(styles, layer, noise=begin.noise, upto=upto, cache=target.cache)

    inner = run(settings)
    if settings.tone and len(target.masks) > 1:
        inner = _toned(generator, part, target, reference, inner, 2 * _position(catalog), strength)
    if settings.align:
        shift = offsets(own, other)
        inner, other = _moved(generator, inner, shift), shifted(other[:, None].float(), shift)[:, 0] > 0.5
    union, growth = own | other, _position(catalog)
    if settings.transplant:
        # (where only the target shows the part, the reference shows what lies behind it there: its own)
        behind = run(replace(_TRANSPLANT, contributions=settings.contributions))
        begin = mix(generator, begin, behind, grown(union, growth))
    return mix(generator, begin, inner, grown(other if settings.transplant else union, growth)), union


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
    assert outer.until is not None
    index, margin = outer.until, _margin(generator, outer.until)
    pairs = zip(outer.states[index], inner.states[index], strict=True)
    state = tuple(
        # (what comes after the features has no margin)
        None if a is None or b is None else torch.lerp(a, b, on_map(weights, a, 0 if i else margin))
        for i, (a, b) in enumerate(pairs)
    )
    count = max(len(outer.styles), len(inner.styles), len(weights))
    return Cache.only(index, state, outer.styles.expand(count, -1), outer.noise)


def refined(
    generator: Generator,
    catalog: Catalog,
    outer: Cache,
    inner: Cache,
    mask: Tensor,
    growth: int | None,
    *,
    upto: int | None = None,
    cache: Cache | None = None,
) -> Cache:
    """A second blend, one size finer: beside the part the maps are `outer`'s again.

    Parameters
    ----------
    generator, catalog, upto
        As of `in_place`.
    outer, inner : Cache
        The states before the blending layer without the edit and with it.
    mask : bool Tensor of shape (N, side, side)
        Where the part is.
    growth : int or None
        So many pixels around it are still the edit's; None leaves the second blend out.
    cache : Cache, optional
        All states without the edit, where they are kept.

    Returns
    -------
    Cache
        `inner`, where there is no finer layer.
    """
    finest = _refining_layer(catalog)
    if growth is None or finest is None:
        return inner
    a, b = (
        generator.state(c.styles, finest, noise=c.noise, upto=upto, cache=kept)
        for c, kept in ((outer, cache or outer), (inner, inner))
    )
    return mix(generator, a, b, grown(mask, growth))


def _query(
    generator: Generator,
    catalog: Catalog,
    part: str,
    settings: QuerySettings,
    target_styles: Tensor,
    reference_styles: Tensor,
) -> Tensor:
    if not generator.has_styles and settings.method == "global":
        return torch.ones(target_styles.shape[1])
    generator.check_styles()
    return settings.query(catalog, part, target_styles, reference_styles)


def _toned(
    generator: Generator,
    part: str,
    target: Side,
    reference: Side,
    inner: Cache,
    reach: int,
    strength: float,
) -> Cache:
    """What a reference shows beside the part, moved by the difference of the means of both sides' maps over
    the same other part near by; where one side lacks that, nothing moves.
    """
    assert inner.until is not None
    key = (part, id(target), reach)
    if key not in reference.notes:  # (which strength and settings have no say in)
        near = grown(target.masks[part] | reference.masks[part], reach)
        reference.notes.clear()
        reference.notes[key] = target, _tones(generator, part, target, reference, near)
    moves = reference.notes[key][1]
    pairs = zip(inner.states[inner.until], moves, strict=True)
    state = tuple(made if made is None or move is None else made + strength * move for made, move in pairs)
    return Cache.only(inner.until, state, inner.styles, inner.noise)


def _tones(
    generator: Generator, part: str, target: Side, reference: Side, near: Tensor
) -> tuple[Tensor | None, ...]:
    """How far `_toned` moves each tensor of the state before the blending layer, at full strength."""
    index = target.state.until
    assert index is not None
    others, sides = [name for name in target.masks if name != part], (target, reference)
    masks = [torch.stack([side.masks[name] for name in others], dim=1).float() for side in sides]
    found = list[Tensor | None]()
    for i, both in enumerate(zip(*(side.state.states[index] for side in sides), strict=True)):
        if both[0] is None:
            found.append(None)
            continue
        margin, means, weights = 0 if i else _margin(generator, index), [], []
        for mask, maps in zip(masks, both, strict=True):
            w = on_map(mask * near, maps, margin)
            weights.append(w.sum((2, 3))[:, :, None])
            means.append(torch.einsum("nphw,nchw->npc", w, maps.expand(len(w), -1, -1, -1)) / weights[-1])
        shift = torch.where(torch.minimum(*weights) > 0.5, means[0] - means[1], 0.0)
        found.append(torch.einsum("nphw,npc->nchw", on_map(masks[1], both[0], margin), shift))
    return tuple(found)


def _margin(generator: Generator, index: int) -> int:
    """How much of the maps before a layer lies outside the picture, on each side."""
    return generator.layers[index].margin if index < len(generator.layers) else 0


def _moved(generator: Generator, cache: Cache, moves: Tensor) -> Cache:
    """The state of a cache, moved likewise."""
    assert cache.until is not None
    margin = _margin(generator, cache.until)
    state = tuple(
        None if t is None else shifted(t, moves, 1 if i else 1 - 2 * margin / t.shape[-1])
        for i, t in enumerate(cache.states[cache.until])
    )
    return Cache.only(cache.until, state, cache.styles.expand(len(moves), -1), cache.noise)
