"""The style layers of a generator: where their channels lie in the flat style vector σ, how fine they see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from lefs.checks import check_choice, check_counts, check_integer, check_text
from lefs.showing import Shown

__all__ = ["StyleLayer", "check_layers", "check_rows", "check_styles_shape", "ranges"]

_LARGEST = 2**16  # channels of a layer, or side of its maps


@dataclass(frozen=True, repr=False)
class StyleLayer(Shown):
    """One layer whose input channels are scaled by styles.

    Attributes
    ----------
    name : str
        In the publisher's own scheme, for example ``"b32.conv1"``.
    kind : {"conv", "rgb"}
        A convolution, or what makes colours of the maps.
    size : tuple of int
        Height and width of the map that the layer scales (its input), in pixels.
    channels : int
        Number of channels of that map, C.
    span : slice
        Where the layer's scales, one for each channel, lie in the flat vector of all S styles.
    shift : slice or None
        Where its shifts lie, in an architecture that has them (StyleGAN); of the same channels.
    margin : int
        How many pixels of that map, on each side, lie outside the picture (StyleGAN3).
    detail : float or None
        How many pixels across the picture would carry all that the map can show, where the map has more
        than it needs (StyleGAN3); None: its height.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> layer = generator.layer("b32.conv1")
    >>> styles = generator.sample([1, 2])
    >>> styles[:, layer.span].shape == (2, layer.channels)
    True
    """

    name: str
    kind: Literal["conv", "rgb"]
    size: tuple[int, int]
    channels: int
    span: slice = field(hash=False)
    shift: slice | None = field(default=None, hash=False)
    margin: int = 0
    detail: float | None = None

    @property
    def spans(self) -> tuple[slice, ...]:
        """Where its styles lie: `span`, and `shift` where it has one."""
        return (self.span,) if self.shift is None else (self.span, self.shift)

    @property
    def side(self) -> int:
        """Height of the part of the map that lies inside the picture, in pixels."""
        return self.size[0] - 2 * self.margin

    @property
    def width(self) -> int:
        """Width of that part."""
        return self.size[1] - 2 * self.margin

    @property
    def fineness(self) -> float:
        """What tells coarse layers, of pose and layout, from fine ones: pixels across the picture."""
        return self.size[0] if self.detail is None else self.detail

    def inside(self, maps: Tensor) -> Tensor:
        """The part of this layer's maps (..., H, W) that lies inside the picture."""
        rows, columns = (slice(self.margin, n - self.margin) for n in self.size)
        return maps[..., rows, columns]

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads."""
        height, width = self.size
        spans = {name: s and [s.start, s.stop] for name, s in (("slice", self.span), ("shift", self.shift))}
        kept = {name: getattr(self, name) for name in ("name", "kind", "channels", "margin", "detail")}
        return {**kept, **spans, "resolution": height if height == width else [height, width]}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> StyleLayer:
        """The layer that `to_json` described."""
        given = dict(entry)
        side, span, shift = given.pop("resolution"), given.pop("slice"), given.pop("shift", None)
        size = tuple(side) if isinstance(side, list) else (side, side)
        return cls(**given, size=size, span=slice(*span), shift=slice(*shift) if shift else None)


def ranges(layers: Sequence[StyleLayer]) -> dict[str, tuple[str, ...]]:
    """Names of the coarse, middle and fine layers (StyleGAN, Karras et al. 2019, §3.1).

    Coarse layers see maps of up to 8 × 8 and carry pose and layout, middle ones up to 32 × 32, fine ones the
    rest. Of pictures below 128 × 128 the limits are an eighth and a quarter of the side, at least 4 and 8.

    Parameters
    ----------
    layers : sequence of StyleLayer
        All of a generator.

    Returns
    -------
    dict of str to tuple of str
        ``"coarse"``, ``"middle"`` and ``"fine"``; each layer in one of them, in the generator's order.
    """
    side = max(layer.side for layer in layers)
    low, high = min(8, max(4, side // 8)), min(32, max(8, side // 4))
    limits = {"coarse": (0, low), "middle": (low, high), "fine": (high, math.inf)}
    return {
        name: tuple(layer.name for layer in layers if below < layer.fineness <= upto)
        for name, (below, upto) in limits.items()
    }


def check_layers(layers: Sequence[StyleLayer]) -> tuple[StyleLayer, ...]:
    """Return `layers`, which may come from any file; a ValueError or TypeError if no generator has such."""
    for layer in layers:
        check_text("a layer's name", layer.name)
        check_choice("a layer's kind", layer.kind, ("conv", "rgb"))
        check_integer("a layer's margin", layer.margin, maximum=_LARGEST)
        numbers = (*layer.size, *(s.stop - s.start for s in layer.spans), layer.side, layer.width)
        for number in (*numbers, layer.channels):
            check_integer("a layer's size or number of channels", number, minimum=1, maximum=_LARGEST)
        if len(layer.size) != 2 or any(s.stop - s.start != layer.channels for s in layer.spans):
            raise ValueError(f"{layer.name} must have styles of its own for {layer.channels} channels")
    spans = sorted((s.start, s.stop) for layer in layers for s in layer.spans)
    ends = [0, *(stop for _, stop in spans)]
    if any(not before <= start < stop for before, (start, stop) in zip(ends, spans, strict=False)):
        raise ValueError(f"layers must have styles of their own, got {spans}")
    return tuple(layers)


def check_rows(*shape: int, **given: Any) -> None:
    """Raise a TypeError or a ValueError unless all are Tensors of real numbers, N rows of that shape."""
    expected = f"(N, {', '.join(map(str, shape))})"
    for name, found in given.items():
        if not isinstance(found, Tensor):
            kind, remedy = type(found).__name__, "torch.as_tensor(...).float() makes one"
            raise TypeError(f"{name} must be a Tensor of shape {expected}, got {kind}; {remedy}")
        if not found.ndim or found.shape[1:] != shape:
            raise ValueError(f"{name} must have shape {expected}, got {tuple(found.shape)}")
        if not found.is_floating_point():
            raise TypeError(f"{name} must hold floating-point numbers, got {found.dtype}")


def check_styles_shape(count: int, **styles: Tensor) -> None:
    """As `check_rows`, all of one N, or a single row."""
    check_rows(count, **styles)
    check_counts(**styles)
