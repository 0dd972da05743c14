"""A small network that says which part of a portrait each pixel shows: the judge of dissections and edits."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from lefs.checks import check_device, check_integer, check_tensor
from lefs.generator import Generator
from lefs.images import opaque
from lefs.naming import as_written, part_name
from lefs.records import ArtifactError, PathLike, load_record, record_file, save_record
from lefs.synthesis import Placed

__all__ = ["PartSegmenter", "load_segmenter", "segmenter_of"]

_FORMAT = "lefs-segmenter"


class PartSegmenter(Placed):
    """U-Net of four scales (Ronneberger et al., MICCAI 2015), small enough to run beside a generator.

    Parameters
    ----------
    names : sequence of str
        The parts that the network tells apart, fine ones if they are grouped.
    width : int
        Number of feature maps at full resolution.
    groups : mapping of str to sequence of str, optional
        Coarse parts and the fine ones that each of them holds, every one of `names` once.

    Attributes
    ----------
    width : int
        As given.
    fine : tuple of str
        `names` as given.
    groups : dict of str to tuple of str
        As given; each part by itself if none were.
    names : tuple of str
        The parts whose positions are the labels: the groups if there are any, or else the fine ones.

    Examples
    --------
    >>> import torch
    >>> from lefs import PartSegmenter
    >>> PartSegmenter(["skin", "hair"], width=4)(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 64, 64])
    """

    def __init__(
        self, names: Sequence[str], *, width: int = 16, groups: Mapping[str, Sequence[str]] | None = None
    ):
        super().__init__()
        if isinstance(names, str):
            raise TypeError(f"names must be a list of names, got the text {names!r:.200}")
        check_integer("the number of names", len(names), maximum=1000)
        self.fine = tuple(part_name("names", name) for name in names)
        self.width = check_integer("width", width, minimum=1, maximum=256)
        if len(self.fine) < 2 or len(set(self.fine)) < len(self.fine):
            raise ValueError(f"names must be at least two different parts, got {list(names)}")
        self._group({name: (name,) for name in self.fine} if groups is None else groups)
        widths = pairwise((3, width, 2 * width, 4 * width, 4 * width))
        blocks = [nn.Sequential(_convolution(a, b), _convolution(b, b)) for a, b in widths]
        self.down, upward = nn.ModuleList(blocks), ((8, 2), (4, 1), (2, 1))
        self.up = nn.ModuleList(_convolution(a * width, b * width) for a, b in upward)
        self.head = nn.Conv2d(width, len(self.fine), 1)
        # (the order in memory that convolutions are quick with)
        self.to(memory_format=torch.channels_last)

    def _group(self, groups: Mapping[str, Sequence[str]]) -> None:
        self.groups = {part_name("groups", n): tuple(map(as_written, ps)) for n, ps in groups.items()}
        members = [part for parts in self.groups.values() for part in parts]
        if sorted(members) != sorted(self.fine) or len(self.groups) < 2 or not all(self.groups.values()):
            told = f"{list(self.fine)} once, in two or more groups; got {self.groups}"
            raise ValueError(f"groups must hold each of {told}")
        self.names = tuple(self.groups)
        self._members = [[self.fine.index(part) for part in parts] for parts in self.groups.values()]
        self._sums = torch.stack([torch.eye(len(self.fine))[m].sum(dim=0) for m in self._members])

    @property
    def _is_grouped(self) -> bool:
        # (in order: that of the names is that of the labels)
        return list(self.groups.items()) != [(name, (name,)) for name in self.fine]

    def in_detail(self) -> PartSegmenter:
        """Give the same network, sharing its weights, with the fine parts as its labels."""
        detailed = copy.copy(self)
        detailed._group({name: (name,) for name in self.fine})
        return detailed

    def features(self, images: Tensor) -> list[Tensor]:
        """Compute the maps of the contracting half.

        Parameters
        ----------
        images : Tensor of shape (N, 3, H, W)
            In [-1, 1], sides divisible by 8; those with alpha, of 4 channels, are laid over a chequerboard.

        Returns
        -------
        list of Tensor
            Shapes (N, width, H, W), (N, 2 width, H/2, W/2), (N, 4 width, H/4, W/4), (N, 4 width, H/8, W/8).
        """
        images = opaque(images)
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 8 or images.shape[3] % 8:
            found = tuple(images.shape)
            raise ValueError(f"images must be (N, 3, H, W) with sides divisible by 8, got {found}")
        maps = [self.down[0](images.to(self.head.weight))]
        for block in self.down[1:]:
            maps.append(block(max_pool2d(maps[-1], 2)))
        return maps

    def logits(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] → log-odds (N, parts, H, W) of `names` before the softmax."""
        fine = self.fine_logits(images)
        if not self._is_grouped:
            return fine
        # a group is as probable as its parts together
        return torch.stack([fine[:, members].logsumexp(dim=1) for members in self._members], dim=1)

    def fine_logits(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] → log-odds (N, fine parts, H, W) of `fine` before the softmax."""
        *skips, x = self.features(images)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(torch.cat([interpolate(x, scale_factor=2.0), skip], dim=1))
        return self.head(x)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] → the likeliest part of each pixel, (N, H, W), int64."""
        odds = self.fine_logits(images)
        if self._is_grouped:
            odds = torch.einsum("nfhw,gf->nghw", odds.softmax(dim=1), self._sums.to(odds))
        return odds.max(dim=1).indices  # (as argmax, in a tenth of its time)

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self.names)} parts: {', '.join(self.names)}"

    def save(self, path: PathLike, *, training: Mapping[str, Any] = {}) -> Path:
        """Write ``segmenter.safetensors`` into a folder, or a file of one's own name, atomically.

        Parameters
        ----------
        path : str or path
            A folder, or a name that ends in ``.safetensors``.
        training : mapping, optional
            How it was made and how good it is, plain JSON values.

        Returns
        -------
        Path of the folder, or of the file where one was named.
        """
        content = {"names": list(self.fine), "width": self.width, "training": dict(training)}
        if self._is_grouped:
            content["groups"] = {name: list(parts) for name, parts in self.groups.items()}
        return save_record(path, _FORMAT, content, self.state_dict())


def load_segmenter(name_or_path: PathLike, *, device: str | torch.device | None = None) -> PartSegmenter:
    """Load a trained segmenter.

    Parameters
    ----------
    name_or_path : str or path
        ``"portraits"`` (or another embedded one), a folder that holds ``segmenter.safetensors``, or the path
        of such a file.
    device : str or torch.device, optional
        Where to put it; None keeps it on the CPU.

    Returns
    -------
    PartSegmenter
        In eval mode, without gradients to its weights.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged or of another kind.

    Examples
    --------
    >>> import lefs
    >>> "hair" in lefs.load_segmenter("portraits-64").names
    True
    """
    place = check_device(device or "cpu")
    meta, tensors, file = load_record(name_or_path, expect=_FORMAT)
    try:
        names, width = meta["names"], check_integer("width", meta["width"], minimum=1, maximum=256)
        check_tensor("head.weight", tensors["head.weight"], (len(names), width, 1, 1))  # (before it is built)
        for name, tensor in tensors.items():
            check_tensor(name, tensor, tuple(tensor.shape), whole=name.endswith("num_batches_tracked"))
        segmenter = PartSegmenter(names, width=width, groups=meta.get("groups"))
        segmenter.load_state_dict(tensors)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{file}: its weights and what it says of them do not fit: {error}") from error
    return segmenter.eval().requires_grad_(False).to(place)


def segmenter_of(generator: Generator) -> PartSegmenter | None:
    """The segmenter that lies beside a generator's files, on its device; None if there is none.

    With one, parts can be judged by the truth; without, by the catalog's own membership.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits")
    >>> segmenter_of(generator)(generator.synthesize(generator.sample([1]))).shape
    torch.Size([1, 128, 128])
    """
    if generator.source is None or not record_file(generator.source.parent, _FORMAT).is_file():
        return None
    return load_segmenter(generator.source.parent, device=generator.device)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
