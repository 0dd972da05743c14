"""Previews: how large a picture may be while a control moves, in the time a frame has on this machine."""

from __future__ import annotations

import copy
import time

import torch

from lefs.generator import Generator

__all__ = ["preview_of"]

_LEAST = 64  # pixels: smaller pictures show nothing


def preview_of(generator: Generator, seconds: float) -> tuple[Generator, int]:
    """What to preview with: a generator and the largest side of which it makes an image in that time.

    The generator is the given one, or a copy of it in bfloat16 where that shows more, or as much sooner (its
    images differ by a quarter of a grey level on average). Sizes are tried in ascending order until one is
    too slow; where none is fast enough, it is the smallest that shows something (64 pixels); where there are
    no smaller images than the whole, that.
    """
    useful = {s for s in generator.preview_sizes if _LEAST <= s <= generator.preview_size}
    sizes = sorted({*useful, generator.size[0]})
    if len(sizes) == 1:
        return generator, sizes[0]
    side, spent = _largest(generator, sizes, seconds)
    if side == sizes[-1] or generator.dtype != torch.float32:
        return generator, side
    half = copy.deepcopy(generator).to(torch.bfloat16)
    other, sooner = _largest(half, sizes[:-1], seconds)
    better = other > side or (other == side and sooner < spent)
    return (half, other) if better else (generator, side)


def _largest(generator: Generator, sizes: list[int], seconds: float) -> tuple[int, float]:
    """The largest of the sizes that is made in time (else the first), and what it takes."""
    found = sizes[0], _seconds(generator, sizes[0])
    for size in sizes[1:]:
        if found[1] > seconds:
            break
        spent = _seconds(generator, size)
        if spent > seconds:
            break
        found = size, spent
    return found


def _seconds(generator: Generator, size: int) -> float:
    """Time of one image; the better of two, since the first makes ready what the next one uses."""
    times = []
    with torch.inference_mode():
        labels = [generator.default_label or 0] if generator.label_dim else None
        styles = generator.sample_styles([0], labels=labels)
        for _ in range(2):
            start = time.perf_counter()
            generator.synthesize(styles, upto=size).cpu()  # (waits for a GPU)
            times.append(time.perf_counter() - start)
    return min(times)
