"""Styles σ → image: one walk through the layers of a generator.

`Synthesis.walk` is the one way through the layers: hooks read what a layer scales, change it, or stop the
walk by raising. Where a generator has no styles (ProGAN), latents take their place wherever styles are asked
for.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from lefs.checks import check_choice, check_device, check_name, check_seed
from lefs.showing import Shown
from lefs.stylespace import StyleLayer, check_styles_shape

__all__ = ["COPIES", "Cache", "Hook", "Noise", "Placed", "State", "Stop", "Synthesis"]

Noise = Literal["const", "none"] | int
# What goes from layer to layer: the features first, then what the architecture needs besides; batch first.
State = tuple[Tensor | None, ...]
# Sees the maps (N, C, H, W) that a layer is about to scale; gives others of that shape (new ones) or None.
Hook = Callable[[Tensor], Tensor | None]


_BUDGET = 2**29  # bytes that the maps of images made at once may take on a processor
COPIES = 5  # of the largest maps that a synthesis holds at once: scaled, convolved, filtered, sums


class Stop(Exception):
    """A hook may raise it to end a walk that has seen enough; it reaches whoever walks."""


@dataclass(frozen=True, repr=False)
class Cache(Shown):
    """The states of one synthesis, kept so that a walk can start in its middle.

    Attributes
    ----------
    styles : Tensor of shape (N, S)
        What was synthesized.
    noise : {"const", "none"} or int
        The noise it was synthesized with.
    states : tuple of State
        The state before each layer, and the last one.
    image : Tensor of shape (N, 3, H, W) or None
        The result; None where a walk ended before it.
    until : int or None
        Index of the first layer whose result does not hold, its own input does; None: all hold.
    """

    styles: Tensor
    noise: Noise
    states: tuple[State, ...]
    image: Tensor | None
    until: int | None = None

    @classmethod
    def only(cls, index: int, state: State, styles: Tensor, noise: Noise) -> Cache:
        """Of a single state, that before the layer of this index: where a walk with `styles` goes on."""
        return cls(styles, noise, ((),) * index + (state,), None, until=index)


class Placed(nn.Module):
    """A network whose `to` lists the devices that are there, if the one asked for is not."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As of `torch.nn.Module`; a ValueError lists the devices that are there where one is not."""
        for given in (*args, *kwargs.values()):
            if isinstance(given, str | torch.device) or type(given) is int:
                check_device(given)
        return super().to(*args, **kwargs)

    def cuda(self, device: int | torch.device | None = None) -> Self:
        """As ``.to("cuda")``."""
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")


class Synthesis(Placed, ABC):
    """The layers of a generator, and the walk through them.

    An architecture sets the attributes below and describes its layers by `_begin`, `_enter`, `_step` and
    `_finish`; by `_stage`, where images can be made at lower resolutions; by `_run`, where layers that nobody
    looks at are better done together.

    Attributes
    ----------
    size : tuple of int
        Height and width of the images, in pixels.
    z_dim, label_dim : int
        Size of the latents, number of classes (0: none).
    layers : tuple of StyleLayer
        In the order of the flat style vector.
    extra_styles : int
        How many numbers at the end of the style vector belong to no layer (StyleGAN3: where its input lies);
        no part owns them, edits leave them alone.
    has_styles : bool
        False for an architecture that can be dissected but not edited.
    channels : int
        Of the images.
    name : str
        For people.
    """

    size: tuple[int, int]
    z_dim: int
    label_dim: int
    layers: tuple[StyleLayer, ...]
    extra_styles: int = 0
    has_styles: bool = True
    channels: int = 3
    name: str = "unnamed"

    # -- what an architecture describes -----------------------------------------------------------
    @abstractmethod
    def _begin(self, styles: Tensor) -> State:
        """The state before the first layer."""

    def _enter(self, layer: StyleLayer, state: State, noise: Noise) -> State:
        """The state whose features are what `layer` is about to scale."""
        return state

    @abstractmethod
    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        """The state after `layer`, from the one that entered it; `styles` are all S of each image."""

    @abstractmethod
    def _finish(self, state: State, size: int) -> Tensor:
        """The image (N, 3, size, size) of the state after the last layer whose `_stage` is at most `size`."""

    def _stage(self, layer: StyleLayer) -> int:
        """Side of the smallest image that needs this layer."""
        return self.size[0]

    def _run(self, layers: Sequence[StyleLayer], state: State, styles: Tensor, noise: Noise) -> State:
        """The state after `layers`, which nobody looks at, as far as `_finish` needs it."""
        for layer in layers:
            state = self._step(layer, self._enter(layer, state, noise), styles, noise)
        return state

    # -- layers -----------------------------------------------------------------------------------
    @property
    def num_styles(self) -> int:
        """S, the length of the flat style vector: all scales, then all shifts if any, then the extras."""
        return max(span.stop for layer in self.layers for span in layer.spans) + self.extra_styles

    def layer(self, name: str) -> StyleLayer:
        """The layer called `name`; an error lists the names."""
        by_name = {layer.name: layer for layer in self.layers}
        return by_name[check_name("layer", name, list(by_name), what="style layer")]

    @property
    def default_layer(self) -> str:
        """The layer to cluster unless told otherwise: the first convolution that sees maps of 32 × 32, or of
        half the image's side if that is less (16 to 32 pixels work best).
        """
        return self._convolution(min(32, max(4, self.size[0] // 2))).name

    @property
    def joined_layers(self) -> str:
        """Two layers joined, ``"a+b"``, to cluster what is edited in place: more parts, and finer outlines.

        The last convolutions that see maps of a quarter and of half of `preview_size`: the coarser says what
        is seen, the finer where it ends.
        """
        sides = (self.preview_size / 4, self.preview_size / 2)
        return "+".join(dict.fromkeys(self._convolution(side, last=True).name for side in sides))

    def _convolution(self, side: float, *, last: bool = False) -> StyleLayer:
        """The first convolution, or the last, whose maps are nearest to that side."""
        convolutions = [layer for layer in self.layers if layer.kind == "conv"]
        ordered = convolutions[::-1] if last else convolutions
        return min(ordered, key=lambda layer: abs(math.log2(layer.fineness / side)))

    @property
    def preview_sizes(self) -> tuple[int, ...]:
        """Image sides that `synthesize` takes as `upto`, in ascending order; the last is that of `size`."""
        return tuple(sorted({min(self._stage(layer), self.size[0]) for layer in self.layers}))

    @property
    def preview_size(self) -> int:
        """The largest side up to 256 that images can be made at, for interactive work."""
        return max((s for s in self.preview_sizes if s <= 256), default=self.preview_sizes[0])

    def at(self, side: int) -> Self:
        """The same generator, of smaller pictures, to show and to measure at; it shares the weights.

        Layers that only larger pictures need are never walked: their channels change nothing, and are dead
        to `lefs.dissect` and `lefs.by_effect`.

        Parameters
        ----------
        side : int
            One of `preview_sizes`, such as `preview_size`.

        Examples
        --------
        >>> import lefs
        >>> generator = lefs.load("portraits-64").at(32)
        >>> generator.synthesize(generator.sample([1])).shape
        torch.Size([1, 3, 32, 32])
        """
        return self._of_side(check_choice("side", side, self.preview_sizes))

    def _of_side(self, side: int) -> Self:
        if side == self.size[0]:
            return self
        found = copy.copy(self)
        found.size = side, side * self.size[1] // self.size[0]
        return found

    def check_styles(self) -> None:
        """Raise a TypeError that says why if this generator cannot be edited."""
        if not self.has_styles:
            raise TypeError(
                f"{self.name} is a {type(self).__name__}, which has no styles: dissection and edits in "
                'place (where="part") work, moving channels does not. Give generator.sample(seeds) to '
                "synthesize, record, walk; for the paper's edit load a StyleGAN"
            )

    # -- styles → images --------------------------------------------------------------------------
    def walk(
        self, styles: Tensor, hooks: Mapping[str, Hook] | None = None, *, noise: Noise = "const",
        upto: int | None = None, cache: Cache | None = None,
    ) -> Tensor:  # fmt: skip
        """Go through the layers; hooks read the maps on the way, change them, or end it by raising.

        A map that enters two layers, first a toRGB and then a convolution, is replaced for both by a hook of
        the first. Gradients reach the styles and what hooks are made of.

        Parameters
        ----------
        styles : Tensor of shape (N, S)
            As `sample` gives them.
        hooks : mapping of str to callable
            {layer: function of the maps (N, C, H, W) that it scales, with all hooks before it done}. What the
            function returns, new maps of that shape, goes on; None leaves them as they are.
        noise : {"const", "none"} or int
            The network's own fixed maps, none, or the seed of fixed maps.
        upto : int, optional
            Stop at this lower resolution and return the image there; one of `preview_sizes`.
        cache : Cache, optional
            Of the same noise; work starts at the first layer that has a hook or whose styles differ from it,
            or at the beginning if gradients to the styles are asked for.

        Returns
        -------
        Tensor of shape (N, 3, H, W)
            Nominally in [-1, 1] and not clamped.
        """
        self._check_walk(styles, noise, upto, cache)
        wanted = {self.layer(name).name: hook for name, hook in (hooks or {}).items()}
        size, end = self._end(upto)
        hooked = [i for i, la in enumerate(self.layers[:end]) if la.name in wanted]
        start, state = self._start(styles, cache, min(hooked, default=end))
        behind = max(hooked, default=start - 1) + 1
        for layer in self.layers[start:behind]:
            state = self._enter(layer, state, noise)
            if layer.name in wanted:
                state = (_seen(layer, state[0], wanted[layer.name]), *state[1:])
            state = self._step(layer, state, styles, noise)
        image = self._finish(self._run(self.layers[behind:end], state, styles, noise), size)
        # (where nothing has changed it is the cache's own)
        return image if start < end else image.clone()

    def synthesize(
        self, styles: Tensor, noise: Noise = "const", upto: int | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Styles (N, S) → images (N, 3, H, W); `walk` explains the options.

        On a CPU only as many at a time as 0.5 GiB holds, at least one: their maps do not grow with N.
        """
        self._check_walk(styles, noise, upto, cache)
        one = styles.element_size() * COPIES * self.largest_map(upto)
        few = max(1, _BUDGET // one) if styles.device.type == "cpu" else len(styles)
        if len(styles) <= few or (cache is not None and len(cache.styles) > 1):
            return self.walk(styles, noise=noise, upto=upto, cache=cache)
        return torch.cat([self.synthesize(some, noise, upto, cache) for some in styles.split(few)])

    def largest_map(self, upto: int | None = None) -> int:
        """How many numbers the largest map has on the way to one image."""
        return max(la.channels * math.prod(la.size) for la in self.layers[: self._end(upto)[1]])

    def record(self, styles: Tensor, layers: str | Iterable[str]) -> dict[str, Tensor]:
        """The maps that `layers` scale, before they are scaled: {name: Tensor of shape (N, C, H, W)}.

        No others are kept, and the walk ends with the last of them.
        """
        wanted = {self.layer(n).name for n in ([layers] if isinstance(layers, str) else layers)}
        found: dict[str, Tensor] = {}

        def keep(maps: Tensor, *, name: str) -> None:
            found[name] = maps
            if len(found) == len(wanted):
                raise Stop

        if wanted:
            with suppress(Stop):  # (smaller pictures may need fewer layers than are asked for)
                whole = self._of_side(max(self.size[0], *(self._stage(self.layer(n)) for n in wanted)))
                whole.walk(styles, {name: partial(keep, name=name) for name in wanted})
        return found

    def state(
        self, styles: Tensor, layer: str, *, noise: Noise = "const", upto: int | None = None,
        cache: Cache | None = None,
    ) -> Cache:  # fmt: skip
        """Go as far as a layer and keep the state before it alone, for ``walk(..., cache=)``.

        An image of the side `upto` that does not need the layer has no state before it; then the state is
        the last one that it needs.
        """
        self._check_walk(styles, noise, upto, cache)
        stop = min([la.name for la in self.layers].index(self.layer(layer).name), self._end(upto)[1])
        start, state = self._start(styles, cache, stop)
        for between in self.layers[start:stop]:
            state = self._step(between, self._enter(between, state, noise), styles, noise)
        return Cache.only(stop, state, styles, noise)

    def cache(self, styles: Tensor, noise: Noise = "const") -> Cache:
        """Synthesize and keep every layer's input, for ``walk(..., cache=)``; of a large network only
        those of the first layers, as many as 0.5 GiB holds.
        """
        self._check_walk(styles, noise, None, None)
        (size, end), state, left = self._end(None), self._begin(styles), _BUDGET
        states = [state]
        for layer in self.layers[:end]:
            before, state = state, self._step(layer, self._enter(layer, state, noise), styles, noise)
            new = (t for t in state if t is not None and all(t is not old for old in before))
            left -= sum(t.nbytes for t in new)
            states += [state] if left >= 0 else []
        until = None if len(states) == end + 1 else len(states) - 1
        return Cache(styles, noise, tuple(states), self._finish(state, size), until)

    def _end(self, upto: int | None) -> tuple[int, int]:
        """Side of the image, and the index behind the last layer that it needs."""
        size = self.size[0] if upto is None else int(upto)
        return size, next((i for i, la in enumerate(self.layers) if self._stage(la) > size), len(self.layers))

    def _start(self, styles: Tensor, cache: Cache | None, limit: int) -> tuple[int, State]:
        """Index of the first layer to compute, `limit` at most, and the state before it."""
        # Gradients must reach the styles of every layer, also of those that have not changed.
        if cache is None or (styles.requires_grad and torch.is_grad_enabled()):
            return 0, self._begin(styles)
        start = min(self._first_change(styles, cache), limit)
        # (what the first layer gets may follow extra styles, so it is not taken from the cache; a cache may
        # lack what comes before its only state)
        if start == 0 or not cache.states[start]:
            return 0, self._begin(styles)
        kept = cache.states[start]
        return start, tuple(t if t is None else t.expand(len(styles), *t.shape[1:]) for t in kept)

    def _first_change(self, styles: Tensor, cache: Cache) -> int:
        """Index of the first layer whose styles differ from the cache's; extras are the first's."""
        until = len(self.layers) if cache.until is None else cache.until
        changed = (styles != cache.styles).any(dim=0).cpu()
        user = torch.zeros(len(changed), dtype=torch.int64)
        for i, layer in enumerate(self.layers if self.has_styles else ()):
            for span in layer.spans:
                user[span] = i
        return min(until, int(user[changed].min())) if changed.any() else until

    def _check_walk(self, styles: Tensor, noise: Any, upto: int | None, cache: Cache | None) -> None:
        if self.has_styles:
            check_styles_shape(self.num_styles, styles=styles)
        else:
            what = f"latents ({self.z_dim} of the latent and {self.label_dim} of the class)"
            check_styles_shape(self.z_dim + self.label_dim, **{what: styles})
        if isinstance(noise, str):
            check_choice("noise", noise, ("const", "none"))
        else:
            check_seed("noise", noise)
        if upto is not None:
            check_choice("upto", upto, self.preview_sizes)
        if cache is not None and cache.noise != noise:
            raise ValueError(f"cache was made with noise={cache.noise!r}, this call asks for {noise!r}")
        if cache is not None and len(cache.styles) not in (1, len(styles)):
            found = f"cache holds {len(cache.styles)} images, styles {len(styles)}"
            raise ValueError(f"{found}; they must agree, or cache hold one")


def _seen(layer: StyleLayer, maps: Tensor | None, hook: Hook) -> Tensor:
    """What goes on after `hook` has seen the maps that enter `layer`."""
    assert maps is not None
    found = hook(maps)
    if found is not None and found.shape != maps.shape:
        raise ValueError(
            f"hooks[{layer.name!r}] must return maps of shape {tuple(maps.shape)}, got {tuple(found.shape)}"
        )
    return maps if found is None else found
