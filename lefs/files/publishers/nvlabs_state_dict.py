"""StyleGAN2 of NVIDIA's PyTorch repositories as named tensors: ``torch.save(G_ema.state_dict())``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.publishers import Parsed
from lefs.files.publishers.exporting import filter_of, stylegan2_tensors
from lefs.files.publishers.shapes import check_classes, common_filter, stylegan2_config
from lefs.files.publishers.state_dict import StateDict, Table, find_state, same
from lefs.generator import Generator

__all__ = ["matches", "read", "write"]

_SEEN = ("synthesis.b4.const", "synthesis.b4.conv1.affine.weight")
_LAYER = r"synthesis\.b(\d{1,5})\.(conv0|conv1|torgb)"
_DENSE = same(weight=2, bias=1)
_TABLE: Table = (
    (r"mapping\.(fc\d\d?|embed)", "mapping.{}", _DENSE),
    (r"mapping", "mapping", same(w_avg=1)),
    (r"synthesis\.b4", "synthesis.b4", same(const=3)),
    (_LAYER, "synthesis.b{}.{}", same(weight=4, bias=1, noise_const=2, noise_strength=0)),
    (rf"{_LAYER}\.affine", "synthesis.b{}.{}.affine", _DENSE),
    (r"synthesis\.b(\d{1,5})\.skip", "synthesis.b{}.skip", same(weight=4)),
)


def matches(tree: Any) -> bool:
    """Whether `tree` holds tensors with the names of that network."""
    return find_state(tree, *_SEEN) is not None


def read(tree: Any, path: Path) -> Parsed:
    """Names are ours; sizes and filter are what the tensors say.

    They do not say at which values features are clamped, ±256 in snapshots with half precision: these are
    beyond what a trained network has, so that they are not clamped here.
    """
    where, state = find_state(tree, *_SEEN) or ("", {})
    state.pop("latent_avg", None)
    source = StateDict(state, path, "a state dict of NVIDIA's StyleGAN2")
    taps = common_filter(source, r".*\.resample_filter")
    tensors = source.translate(_TABLE)
    check_classes(tensors, source)
    config = stylegan2_config(tensors, source, filter=taps, mapping_lr=_lr(tensors["mapping.fc0.weight"]))
    notes = {"publisher": "NVIDIA, a state dict", "network": where or "the file"}
    return Parsed("stylegan2", config, tensors, notes)


def _lr(weight: Any) -> float:
    """The learning-rate multiplier: weights begin with its inverse as their deviation, and change little."""
    return 0.01 if float(weight.std()) > 10 else 1.0


def write(generator: Generator) -> dict[str, Tensor]:
    """The ``state_dict`` of such a network in NVIDIA's code, made there with its sizes and without clamps."""
    tensors = stylegan2_tensors(generator, "a state dict of NVIDIA's StyleGAN2", image_filter=(None,))
    layers = {name.rpartition(".")[0] for name in tensors if re.search(r"\.(conv[01]|skip)\.weight$", name)}
    filtered = sorted(layers | {name.rpartition(".")[0] for name in layers})
    return tensors | {f"{name}.resample_filter": filter_of(generator, separable=8) for name in filtered}
