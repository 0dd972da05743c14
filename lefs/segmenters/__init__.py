"""Segmenters: images → which part each pixel shows. Our own small one, torchvision's, Hugging Face's."""

from lefs.segmenters.adapters import ImageSegmenter, huggingface_segmenter, torchvision_segmenter
from lefs.segmenters.own import PartSegmenter, load_segmenter, segmenter_of

__all__ = [
    "ImageSegmenter", "PartSegmenter", "huggingface_segmenter", "load_segmenter", "segmenter_of",
    "torchvision_segmenter",
]  # fmt: skip
