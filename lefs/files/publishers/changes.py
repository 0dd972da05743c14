"""What a publisher's layout has otherwise: how layers are counted, and what is done to tensors.

A change takes a tensor, and the name that it will have in lefs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

__all__ = [
    "at", "class_table", "flat", "from_one", "half_from_one", "in_color", "noise_map", "one_more",
    "over_root_two", "pair", "side_of", "single", "transposed", "turned_if_fused", "turned_up",
]  # fmt: skip

# From this size on StyleGAN's doubling is a transposed convolution, unless told otherwise.
_FUSED_FROM = 128


def side_of(name: str) -> int:
    """The resolution of one of our names: ``synthesis.b8.conv0.weight`` → 8."""
    return int(name.split(".")[1][1:])


def at(part: str) -> Callable[[str], str]:
    """That part of resolutions which are counted from 4 on: 1 → ``b8.torgb``."""
    return lambda number: f"synthesis.b{4 << int(number)}.{part}"


def pair(number: str) -> str:
    """Layers of which each resolution from 4 on has two: 0 → ``b4.conv0``, 3 → ``b8.conv1``."""
    k = int(number)
    return f"synthesis.b{4 << k // 2}.conv{k % 2}"


def one_more(number: str) -> str:
    """The same where 4 × 4 has one layer: 0 → ``b4.conv1``, 1 → ``b8.conv0``."""
    return pair(str(int(number) + 1))


# -- changes -------------------------------------------------------------------------------------------------


def transposed(tensor: Tensor, name: str) -> Tensor:
    """TensorFlow's order of axes → PyTorch's, of matrices and kernels."""
    return tensor.t() if tensor.ndim == 2 else tensor.permute(3, 2, 0, 1)


def turned_up(tensor: Tensor, name: str) -> Tensor:
    """The kernel of an enlarging convolution turned around, which others do when they use it."""
    return tensor.flip(2, 3) if ".conv0." in name else tensor


def turned_if_fused(tensor: Tensor, name: str) -> Tensor:
    """The same where StyleGAN doubles and convolves at once."""
    return turned_up(tensor, name) if side_of(name) >= _FUSED_FROM else tensor


def single(tensor: Tensor, name: str) -> Tensor:
    """(1, ...) → (...)."""
    if len(tensor) != 1:
        raise ValueError("its first axis should have length 1")
    return tensor[0]


def noise_map(tensor: Tensor, name: str) -> Tensor:
    """(1, 1, H, W) → (H, W)."""
    if tensor.shape[:2] != (1, 1):
        raise ValueError("one map is expected")
    return tensor[0, 0]


def flat(tensor: Tensor, name: str) -> Tensor:
    """All axes → one."""
    return tensor.flatten()


def from_one(bias: Tensor, name: str) -> Tensor:
    """The bias of an affine map, scales that are stored without their 1, with it."""
    return bias + 1


def half_from_one(bias: Tensor, name: str) -> Tensor:
    """The same of a bias (2C,) in which StyleGAN's shifts come after the scales; they stay."""
    bias = bias.clone()
    bias[: len(bias) // 2] += 1
    return bias


def over_root_two(tensor: Tensor, name: str) -> Tensor:
    """A bias where √2 comes before the activation; in lefs it comes after it."""
    return tensor / math.sqrt(2)


def in_color(tensor: Tensor, name: str) -> Tensor:
    """Three equal channels of a grey network's one; others as they are: (1, ...) → (3, ...)."""
    return tensor.expand(3, *tensor.shape[1:]).contiguous() if len(tensor) == 1 else tensor


def class_table(weight: Tensor, name: str) -> Tensor:
    """Classes as a StyleGAN embeds them, (classes, width), with the gain of lefs; without a bias."""
    return weight.t() * math.sqrt(len(weight))
