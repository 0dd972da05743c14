"""Other people's semantic-segmentation models as segmenters: torchvision's and those of Hugging Face.

Neither library is needed by lefs: a model that you have made with one of them is wrapped::

    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights as Weights, deeplabv3_resnet50
    weights = Weights.DEFAULT
    segmenter = torchvision_segmenter(deeplabv3_resnet50(weights=weights).eval(), weights.meta["categories"])

    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation
    name = "nvidia/segformer-b0-finetuned-ade-512-512"
    model = AutoModelForSemanticSegmentation.from_pretrained(name).eval()
    segmenter = huggingface_segmenter(model, AutoImageProcessor.from_pretrained(name))

What comes out is what `lefs.units` and `lefs.evaluation` take: images (N, 3, H, W) in [-1, 1] → labels
(N, H, W), int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lefs.checks import check_integer, check_number
from lefs.images import opaque
from lefs.showing import Shown

__all__ = ["ImageSegmenter", "huggingface_segmenter", "torchvision_segmenter"]

# (height, width) that a model gets; an int: the shorter side; None: as images come
Size = int | tuple[int, int] | None
# What most models were trained with: the means and deviations of ImageNet, of RGB in [0, 1]
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageSegmenter(Shown):
    """Images of a generator → labels, through a model that wants them in another size and range.

    The size and range are changed on the images' device, by differentiable steps, so that gradients reach the
    images; the answer is brought back to the images' size before the likeliest class is taken.

    Parameters
    ----------
    model : nn.Module
        Network of images, normalised and resized; in eval mode. They go to the device it is on, the answer
        comes back to theirs.
    read : callable
        What the model returns → log-odds or scores, a Tensor of shape (N, P, h, w).
    names : sequence of str
        The P classes; their positions are the labels.
    size : int or tuple of two int, optional
        Height and width that the model gets; an int: the shorter side; None: as images come.
    mean, deviation : sequence of float
        Three numbers each, for red, green and blue in [0, 1]: what is subtracted, and what is then divided
        by, above 0.

    Attributes
    ----------
    names : tuple of str
        As given.

    Examples
    --------
    >>> import torch
    >>> halves = torch.nn.Conv2d(3, 2, 1).eval()
    >>> segmenter = ImageSegmenter(halves, read=lambda scores: scores, names=["face", "rest"], size=32)
    >>> segmenter(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 64, 64])
    """

    def __init__(
        self, model: nn.Module, read: Callable[[Any], Tensor], names: Sequence[str], *,
        size: Size = None, mean: Sequence[float] = _MEAN, deviation: Sequence[float] = _DEVIATION,
    ):  # fmt: skip
        if not callable(model):
            raise TypeError(f"model must be a network that can be called, got {type(model).__name__}")
        if getattr(model, "training", False):
            raise ValueError("model is in training mode, which answers differently each time; call .eval()")
        self._mean = tuple(check_number("mean", v) for v in mean)
        self._deviation = tuple(check_number("deviation", v) for v in deviation)
        if len(self._mean) != 3 or len(self._deviation) != 3 or min(self._deviation) <= 0:
            raise ValueError(f"mean and deviation must be 3 numbers, the latter > 0; got {mean}, {deviation}")
        sides = size if isinstance(size, Sequence) else () if size is None else (size, size)
        if size is not None and len(sides) != 2:
            raise ValueError(f"size must be the shorter side, or height and width; got {size}")
        for side in sides:
            check_integer("size", side, minimum=1)
        self.names = tuple(str(n) for n in names)
        self._model, self._read, self._size = model, read, size

    def logits(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), or with alpha, in [-1, 1] → log-odds (N, P, H, W), float32."""
        images = opaque(images)
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must have shape (N, 3, H, W), got {tuple(images.shape)}")
        scores = self._read(self._model(self._prepared(images)))
        if scores.ndim != 4 or scores.shape[1] != len(self.names):
            found = f"{len(self.names)} names, scores of shape {tuple(scores.shape)}"
            raise ValueError(f"names must have one name for each channel of the model's scores; got {found}")
        scores = scores.to(images.device, torch.float32)
        return interpolate(scores, size=images.shape[-2:], mode="bilinear", align_corners=False)

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] → the likeliest class of each pixel, (N, H, W), int64."""
        with torch.no_grad():
            return self.logits(images).argmax(dim=1)

    def _prepared(self, images: Tensor) -> Tensor:
        weight = next(iter(self._model.parameters()), images)
        x = (images.float().clamp(-1, 1) + 1) / 2
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (self._mean, self._deviation))
        x, target, (height, width) = (x - mean) / deviation, self._size, x.shape[-2:]
        if isinstance(target, int):
            scale = target / min(height, width)
            target = (round(height * scale), round(width * scale))
        if target is not None and target != (height, width):
            x = interpolate(x, size=target, mode="bilinear", align_corners=False, antialias=True)
        return x.to(weight)


def torchvision_segmenter(
    model: nn.Module, names: Sequence[str], *,
    size: Size = 520, mean: Sequence[float] = _MEAN, deviation: Sequence[float] = _DEVIATION,
) -> ImageSegmenter:  # fmt: skip
    """Wrap a model of ``torchvision.models.segmentation``.

    Parameters
    ----------
    model : nn.Module
        In eval mode; returns ``{"out": (N, P, h, w)}``, as FCN, DeepLabV3 and LR-ASPP do, or that tensor.
    names : sequence of str
        The P classes, ``weights.meta["categories"]``.
    size : int or tuple of two int, optional
        As in `ImageSegmenter`: mostly the shorter side that the model gets, that of ``weights.transforms()``.
    mean, deviation : sequence of float
        As in `ImageSegmenter`: those of ``weights.transforms()``.

    Returns
    -------
    ImageSegmenter

    Examples
    --------
    >>> import torch
    >>> class Model(torch.nn.Module):
    ...     def forward(self, images):
    ...         return {"out": images[:, :2]}
    >>> torchvision_segmenter(Model().eval(), ["red", "green"])(torch.zeros(1, 3, 8, 8)).unique().tolist()
    [1]
    """

    def read(output: Any) -> Tensor:
        scores = output.get("out") if isinstance(output, Mapping) else output
        if not isinstance(scores, Tensor):
            raise TypeError(
                f"model must return a mapping with 'out', or a tensor; got {type(output).__name__}"
            )
        return scores

    return ImageSegmenter(model, read, names, size=size, mean=mean, deviation=deviation)


def huggingface_segmenter(
    model: nn.Module, processor: Any = None, *, names: Sequence[str] | None = None
) -> ImageSegmenter:
    """Wrap a semantic-segmentation model of Hugging Face's transformers.

    Parameters
    ----------
    model : nn.Module
        In eval mode; called with images, it returns an object with ``logits`` (N, P, h, w), as SegFormer,
        UPerNet, DPT and BEiT do, or with ``class_queries_logits`` and ``masks_queries_logits``, as MaskFormer
        and Mask2Former do.
    processor : object, optional
        Its image processor, whose ``size``, ``image_mean``, ``image_std``, ``do_resize`` and ``do_normalize``
        are read. None: images go in at their own size, normalised as ImageNet's.
    names : sequence of str, optional
        The P classes; None: those of ``model.config.id2label``.

    Returns
    -------
    ImageSegmenter

    Examples
    --------
    >>> import torch, types
    >>> class Model(torch.nn.Module):
    ...     config = types.SimpleNamespace(id2label={0: "dark", 1: "bright"})
    ...     def forward(self, pixel_values):
    ...         light = pixel_values.mean(dim=1, keepdim=True)
    ...         return types.SimpleNamespace(logits=torch.cat([-light, light], dim=1))
    >>> segmenter = huggingface_segmenter(Model().eval())
    >>> segmenter.names[segmenter(torch.ones(1, 3, 8, 8))[0, 0, 0]]
    'bright'
    """
    if names is None:
        table = getattr(getattr(model, "config", None), "id2label", None)
        if not table:
            raise ValueError("model has no config.id2label that names its classes: give names=[...]")
        by_label = {int(i): str(n) for i, n in table.items()}
        names = [by_label.get(i, f"label {i}") for i in range(max(by_label) + 1)]
    resized, normalized = (getattr(processor, f"do_{what}", True) for what in ("resize", "normalize"))
    mean, deviation, size = (getattr(processor, name, None) for name in ("image_mean", "image_std", "size"))
    if not normalized:
        mean, deviation = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    scaling = {
        "mean": _MEAN if mean is None else mean,
        "deviation": _DEVIATION if deviation is None else deviation,
    }
    wanted = _processor_size(size) if resized else None
    return ImageSegmenter(model, _read_transformers, names, size=wanted, **scaling)


def _processor_size(size: Any) -> Size:
    """What processors call a size: an int, {"shortest_edge": n}, or {"height": h, "width": w}."""
    if size is None or isinstance(size, int):
        return size
    match dict(size):
        case {"shortest_edge": side}:
            return int(side)
        case {"height": height, "width": width}:
            return int(height), int(width)
    raise ValueError(f"processor.size must hold shortest_edge, or height and width; got {dict(size)}")


def _read_transformers(output: Any) -> Tensor:
    """Scores (N, P, h, w) of a per-pixel classifier, or of a mask classifier (Cheng et al., NeurIPS 2021)."""
    if isinstance(getattr(output, "logits", None), Tensor):
        scores: Tensor = output.logits
        return scores
    classes, masks = (getattr(output, f"{n}_queries_logits", None) for n in ("class", "masks"))
    if not isinstance(classes, Tensor) or not isinstance(masks, Tensor):
        raise TypeError(
            "model must return logits, or class_queries_logits and masks_queries_logits; got "
            f"{type(output).__name__}"
        )
    # The last class of a query is "no object".
    chances = classes.softmax(dim=-1)[..., :-1]
    return torch.einsum("nqp,nqhw->nphw", chances, masks.sigmoid()).clamp_min(1e-12).log()
