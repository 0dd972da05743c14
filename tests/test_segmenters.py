"""Models of torchvision and transformers as segmenters, by small networks that keep their contracts."""

from __future__ import annotations

import math
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lefs
from lefs.segmenters import huggingface_segmenter, torchvision_segmenter

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = ("red", "green", "blue")


def undone(x: Tensor, mean: tuple[float, ...] = MEAN, deviation: tuple[float, ...] = DEVIATION) -> Tensor:
    """RGB in [0, 1] from what a model is given."""
    return x * torch.tensor(deviation)[:, None, None] + torch.tensor(mean)[:, None, None]


class TorchvisionModel(nn.Module):
    """Scores are the colours themselves, in a dictionary, with an auxiliary output beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        self.seen.append(tuple(x.shape))
        return OrderedDict(out=undone(x) * self.scale, aux=torch.zeros_like(x))


class TransformersModel(nn.Module):
    """Takes images by keyword, answers with an object, at a quarter of their size."""

    def __init__(self, masks: bool = False) -> None:
        super().__init__()
        self.masks, self.scale = masks, nn.Parameter(torch.ones(()))
        self.config = SimpleNamespace(id2label={0: "red", 1: "green", 2: "blue"})
        self.seen: list[tuple[int, ...]] = []

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        self.seen.append(tuple(pixel_values.shape))
        scores = nn.functional.avg_pool2d(undone(pixel_values, (0.5,) * 3, (0.5,) * 3), 4) * self.scale
        if not self.masks:
            return SimpleNamespace(loss=None, logits=scores)
        # three queries, each sure of one class ("no object" comes last), whose masks are the colours
        classes = torch.cat([torch.eye(3), torch.zeros(3, 1)], dim=1) * 20
        return SimpleNamespace(
            class_queries_logits=classes.expand(len(scores), -1, -1), masks_queries_logits=10 * (scores - 0.5)
        )


class Processor:
    """The attributes that image processors have."""

    def __init__(self, **size: int) -> None:
        self.size, self.image_mean, self.image_std = size, [0.5] * 3, [0.5] * 3
        self.do_resize, self.do_normalize = True, True


def quarters() -> tuple[Tensor, Tensor]:
    """An image of four squares, red, green, blue, red, and its labels."""
    labels = torch.tensor([[0, 1], [2, 0]]).repeat_interleave(16, 0).repeat_interleave(16, 1)
    image = nn.functional.one_hot(labels, 3).movedim(-1, 0) * 2.0 - 1
    return image[None].repeat(2, 1, 1, 1), labels


@pytest.mark.parametrize(
    ("size", "seen"), [(None, (32, 32)), (64, (64, 64)), (16, (16, 16)), ((24, 48), (24, 48))]
)
def test_torchvision(size: int | tuple[int, int] | None, seen: tuple[int, int]) -> None:
    model = TorchvisionModel().eval()
    segmenter = torchvision_segmenter(model, NAMES, size=size)
    images, labels = quarters()
    found = segmenter(images)
    assert found.dtype == torch.int64
    assert found.shape == (2, 32, 32)
    assert model.seen == [(2, 3, *seen)]
    inside = torch.ones(32, 32, dtype=torch.bool)
    inside[14:18] = inside[:, 14:18] = False  # where resizing blurs the border
    assert found[0][inside].equal(labels[inside])
    assert segmenter.names == NAMES


def test_the_shorter_side_is_what_an_integer_means() -> None:
    model = TorchvisionModel().eval()
    torchvision_segmenter(model, NAMES, size=20)(torch.zeros(1, 3, 40, 60))
    assert model.seen == [(1, 3, 20, 30)]


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize(
    ("size", "seen"), [({"height": 64, "width": 64}, (64, 64)), ({"shortest_edge": 32}, (32, 32))]
)
def test_transformers(masks: bool, size: dict[str, int], seen: tuple[int, int]) -> None:
    model = TransformersModel(masks).eval()
    segmenter = huggingface_segmenter(model, Processor(**size))
    images, labels = quarters()
    found = segmenter(images)
    assert model.seen == [(2, 3, *seen)]
    inside = torch.ones(32, 32, dtype=torch.bool)
    inside[12:20] = inside[:, 12:20] = False
    assert found[1][inside].equal(labels[inside])
    assert segmenter.names == NAMES


def test_a_processor_may_leave_images_as_they_are() -> None:
    model, processor = TransformersModel().eval(), Processor(height=8, width=8)
    processor.do_resize = processor.do_normalize = False
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    huggingface_segmenter(model, processor)(torch.full((1, 3, 32, 32), -1.0))
    assert seen[0].shape == (1, 3, 32, 32)
    assert seen[0].eq(0).all()


def test_images_are_normalised_as_the_model_wants() -> None:
    segmenter = torchvision_segmenter(TorchvisionModel().eval(), NAMES, size=None)
    images = torch.rand(2, 3, 8, 8) * 3 - 1.5
    torch.testing.assert_close(segmenter.logits(images), (images.clamp(-1, 1) + 1) / 2)


def test_gradients_reach_the_images() -> None:
    images = torch.zeros(1, 3, 16, 16, requires_grad=True)
    for segmenter in (
        torchvision_segmenter(TorchvisionModel().eval(), NAMES, size=24),
        huggingface_segmenter(TransformersModel(masks=True).eval(), Processor(shortest_edge=32)),
    ):
        (slope,) = torch.autograd.grad(segmenter.logits(images)[:, 1].sum(), [images])
        assert slope.abs().sum() > 0


def test_half_precision_models_get_what_they_are_in() -> None:
    segmenter = torchvision_segmenter(TorchvisionModel().eval().bfloat16(), NAMES, size=None)
    assert segmenter.logits(torch.zeros(1, 3, 8, 8)).dtype == torch.float32


def test_the_own_network_takes_images_of_any_precision() -> None:
    segmenter, images = lefs.PartSegmenter(["skin", "hair"], width=4).eval(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(segmenter(images.double()), segmenter(images))


def test_bad_models_and_names_are_named() -> None:
    images = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match="model is in training mode"):
        torchvision_segmenter(TorchvisionModel(), NAMES)
    with pytest.raises(ValueError, match="model is in training mode"):
        huggingface_segmenter(TransformersModel(), names=NAMES)
    with pytest.raises(
        ValueError, match=r"names must have one name for each channel .*2 names, scores of shape"
    ):
        torchvision_segmenter(TorchvisionModel().eval(), NAMES[:2])(images)
    with pytest.raises(TypeError, match="must return a mapping with 'out'"):
        torchvision_segmenter(Listing().eval(), NAMES)(images)
    nameless = TransformersModel().eval()
    nameless.config = SimpleNamespace(id2label={})
    with pytest.raises(ValueError, match=r"no config\.id2label"):
        huggingface_segmenter(nameless)
    with pytest.raises(ValueError, match=r"processor\.size must hold"):
        huggingface_segmenter(TransformersModel().eval(), Processor(longest_edge=3))
    with pytest.raises(ValueError, match=r"images must have shape \(N, 3, H, W\)"):
        torchvision_segmenter(TorchvisionModel().eval(), NAMES)(images[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mean": (math.nan, 0, 0)}, "mean must be a finite number"),
        ({"deviation": (1, math.nan, 1)}, "deviation must be a finite number"),
        ({"deviation": (1, 0, 1)}, "mean and deviation must be 3 numbers, the latter > 0"),
        ({"size": (8, 8, 8)}, r"size must be the shorter side, or height and width; got \(8, 8, 8\)"),
        ({"size": 8.5}, "size must be an integer, got 8.5"),
    ],
)
def test_what_no_model_gets_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        torchvision_segmenter(TorchvisionModel().eval(), NAMES, **given)


def test_a_processor_may_hold_arrays() -> None:
    own, images = Processor(height=8, width=8), torch.rand(1, 3, 8, 8)
    model = TransformersModel().eval()
    expected = huggingface_segmenter(model, own).logits(images)
    vars(own).update(image_mean=np.array(own.image_mean), image_std=np.array(own.image_std))
    torch.testing.assert_close(huggingface_segmenter(model, own).logits(images), expected)


class Listing(nn.Module):
    """Returns what no segmentation model does."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]
