"""Where parts are: the catalog's masks, the segmenter's in their place, and the union of two images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lefs import Catalog, StyleGAN2, dissect
from lefs.evaluation import read_masks
from lefs.evaluation.masks import grow, shows, union


class Upper:
    """Knows one of the catalog's parts: it is the upper half."""

    names = ("nothing", "left")

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.asked += 1
        labels = torch.zeros(images.shape[0], *images.shape[-2:], dtype=torch.int64)
        labels[:, : images.shape[-2] // 2] = 1
        return labels


@pytest.fixture(scope="module")
def catalog(lively: StyleGAN2) -> Catalog:
    return dissect(lively, range(20), clusters=4, progress=False).named(["left", "right", "left", "middle"])


def test_a_segmenter_overrides_the_parts_that_it_knows(lively: StyleGAN2, catalog: Catalog) -> None:
    styles, segmenter = lively.sample_styles([1, 2]), Upper()
    own = catalog.part_masks(lively, styles)
    found = read_masks(lively, catalog, styles, segmenter=segmenter)
    assert list(found) == list(catalog.parts)
    assert found["left"][:, :8].all()
    assert not found["left"][:, 8:].any()
    for part in ("right", "middle"):
        assert torch.equal(found[part], own[part])
    assert segmenter.asked == 1
    for part, mask in read_masks(lively, catalog, styles).items():
        assert torch.equal(mask, own[part])


def test_nothing_is_looked_at_that_nobody_asked_for(lively: StyleGAN2, catalog: Catalog) -> None:
    images, segmenter = lively.synthesize(lively.sample_styles([1, 2])), Upper()
    found = read_masks(lively, catalog, None, images=images, segmenter=segmenter, parts=["left"])
    assert list(found) == ["left"]
    read_masks(lively, catalog, lively.sample_styles([1]), segmenter=segmenter, parts=["middle"])
    assert segmenter.asked == 1
    with pytest.raises(ValueError, match=r"segmenter must know \['right'\]"):
        read_masks(lively, catalog, None, images=images, segmenter=segmenter, parts=["left", "right"])


def test_a_union_is_wider_by_a_pixel_all_round() -> None:
    random = np.random.default_rng(0)
    one, two = (torch.from_numpy(random.random((3, 7, 9)) < 0.05) for _ in range(2))
    expected = np.zeros((3, 7, 9), bool)
    for n, y, x in np.argwhere((one | two).numpy()):
        expected[n, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = True
    assert np.array_equal(union({"hair": one}, {"hair": two})["hair"].numpy(), expected)
    assert torch.equal(grow(one, 3), grow(grow(one), 2))


def test_a_picture_shows_a_part_and_something_else_or_not() -> None:
    assert shows(torch.tensor([[[0, 0]], [[0, 1]], [[1, 1]]]).bool()).tolist() == [False, True, False]
