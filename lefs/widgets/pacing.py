"""How large a picture may be while a control moves: what this machine makes in the time of a frame."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from lefs.generators import Generator

__all__ = ["frame_size"]

_LEAST = 64  # pixels: smaller pictures show nothing


def frame_size(generator: Generator, seconds: float) -> int:
    """The side to preview at: the largest of which one image takes at most `seconds`, as measured now.

    Sizes are tried in ascending order until one is too slow. Where none is fast enough it is the smallest
    that shows something (64 pixels); where there are no previews, the resolution.
    """
    useful = {s for s in generator.preview_sizes if _LEAST <= s <= generator.preview_size}
    sizes = sorted({*useful, generator.resolution})
    if len(sizes) == 1:
        return sizes[0]
    chosen = sizes[0]
    with torch.inference_mode():
        labels = [generator.usual_label or 0] if generator.label_dim else None
        styles = generator.sample_styles([0], labels=labels)
        for size in sizes:
            if _seconds(generator, styles, size) > seconds:
                break
            chosen = size
    return chosen


def _seconds(generator: Generator, styles: Tensor, size: int) -> float:
    """Time of one image; the better of two, since the first makes ready what the next one uses."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        generator.synthesize(styles, upto=size).cpu()  # (waits for a GPU)
        times.append(time.perf_counter() - start)
    return min(times)
