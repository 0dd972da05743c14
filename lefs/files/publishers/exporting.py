"""What networks of lefs become in a publisher's layout, and what such a layout cannot hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lefs.generator import Generator
from lefs.records import ArtifactError

__all__ = ["filter_of", "stylegan2_tensors"]

_LR = 0.01  # of the mapping network, where nobody says otherwise
# what layouts take for granted of a `StyleGAN2Config`, having no place for it
_USUAL: dict[str, tuple[Any, ...]] = {"activation": ("lrelu",), "mapping_activation": ("lrelu",)}
_USUAL |= {"truncation_cutoff": (None,), "average": (True, False)}


def stylegan2_tensors(
    generator: Generator, layout: str, *, square: bool = False, **held: tuple[Any, ...]
) -> dict[str, Tensor]:
    """The tensors of a StyleGAN2 by our names, those of the mapping network for the usual learning rate.

    Parameters
    ----------
    generator : Generator
    layout : str
        For the message.
    square : bool
        Whether z, the mapping network and w have to be of one width.
    held : tuple
        What the layout can hold of further settings of a `StyleGAN2Config`.

    Raises
    ------
    ArtifactError
        If it is of another architecture, or one of its settings cannot be held.
    """
    if generator.architecture != "stylegan2":
        kind = type(generator).__name__
        raise ArtifactError(f"{layout} holds a StyleGAN2, and {generator.name} is a {kind}; use --to lefs")
    config: Any = generator.config
    known = {**_USUAL, "normalize": ("each",) if config.label_dim else ("each", "joint"), **held}
    if square:
        known |= {"z_dim": (config.w_dim,), "mapping_width": (None, config.w_dim)}
    for name, values in known.items():
        if (found := getattr(config, name)) not in values:
            listed = " or ".join(map(repr, values))
            raise ArtifactError(
                f"{layout} can hold {name} = {listed}, and {generator.name} has {found!r:.100}; use --to lefs"
            )
    ratio = config.mapping_lr / _LR
    return {
        name: tensor * ratio if name.startswith("mapping.fc") else tensor.clone()
        for name, tensor in generator.state_dict().items()
    }


def filter_of(generator: Generator, *, image: bool = False, separable: int = 4096) -> Tensor:
    """The resampling filter of a StyleGAN2, or that of its images; its sum is 1.

    Rows; of a filter of at least `separable` taps, all of whose rows are alike, one of them.
    """
    config: Any = generator.config
    taps = torch.tensor((config.image_filter if image else None) or config.filter, dtype=torch.float64)
    taps = torch.outer(taps, taps) if taps.ndim == 1 and len(taps) < separable else taps
    return (taps / taps.sum()).float()
