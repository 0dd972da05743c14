"""Pixels, colour, and memberships resampled as partitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from PIL import Image
from torch.nn.functional import one_hot

from lefs.images import color_difference, resample_partition, save_png, to_uint8


def test_every_byte_comes_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    images = (levels.double() / 255 * 2 - 1).float().expand(2, 3, 4, 256)
    assert np.array_equal(to_uint8(images), np.broadcast_to(levels[:, None].numpy(), (2, 4, 256, 3)))


def test_axes_and_clipping() -> None:
    image = torch.stack([torch.full((2, 5), v) for v in (-3.0, 0.0, 7.0)])
    pixels = to_uint8(image)
    assert pixels.shape == (2, 5, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == [0, 128, 255]).all()
    assert np.array_equal(to_uint8(image.bfloat16()), pixels)


def test_bytes_are_those_of_the_official_scripts() -> None:
    images = torch.linspace(-1.2, 1.2, 3 * 64 * 64).reshape(1, 3, 64, 64)
    official = (images.permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).to(torch.uint8).numpy()
    assert (to_uint8(images) != official).mean() < 1e-3  # ties of rounding only
    assert np.abs(to_uint8(images).astype(int) - official).max() <= 1


def test_png_holds_the_pixels(tmp_path: Path) -> None:
    image = torch.rand(3, 6, 5) * 2 - 1
    with Image.open(save_png(tmp_path / "a.png", image)) as found:
        assert np.array_equal(np.asarray(found), to_uint8(image))


def test_color_difference_is_the_distance_in_lab() -> None:
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 3, 8, 8, generator=random)
    found = color_difference(a, b)
    assert found.shape == (3, 8, 8)
    assert found.dtype == torch.float32
    # (the constants of the conversion are published to five or six digits)
    np.testing.assert_allclose(found.numpy(), reference.color_difference(a, b), atol=0.02, rtol=1e-3)


def test_known_colours() -> None:
    white, black = torch.ones(1, 3, 1, 1), -torch.ones(1, 3, 1, 1)
    assert color_difference(white, black).item() == pytest.approx(100, abs=0.01)  # L* runs from 0 to 100
    assert color_difference(white * 3, white).item() == 0  # what is beyond the range is clamped


def test_color_difference_broadcasts_and_is_symmetric() -> None:
    a, b = torch.rand(3, 4, 4), torch.rand(5, 3, 4, 4)
    assert torch.equal(color_difference(a, b), color_difference(b, a[None].expand_as(b)))
    assert torch.equal(color_difference(b, b), torch.zeros(5, 4, 4))


@pytest.fixture
def partition() -> torch.Tensor:
    labels = torch.randint(5, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    return one_hot(labels, 5).movedim(-1, 1).float()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 11, 16, 17, 32, 64])
def test_resampled_memberships_stay_a_partition(partition: torch.Tensor, size: int) -> None:
    found = resample_partition(partition, size)
    assert found.shape == (2, 5, size, size)
    assert float(found.min()) >= 0
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2, size, size), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32, 64])
def test_resampling_equals_block_means_and_copies(partition: torch.Tensor, size: int) -> None:
    found = resample_partition(partition, size)
    for n in range(2):
        expected = reference.resampled(partition[n].double().numpy(), size)
        np.testing.assert_allclose(found[n].numpy(), expected, atol=1e-7)


def test_areas_are_kept(partition: torch.Tensor) -> None:
    share = partition.mean(dim=(0, 2, 3))
    for size in (2, 4, 8, 32):
        torch.testing.assert_close(resample_partition(partition, size).mean(dim=(0, 2, 3)), share)
