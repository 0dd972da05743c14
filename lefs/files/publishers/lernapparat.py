"""StyleGAN as lernapparat ported it to PyTorch, and as Editing in Style published its networks from there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lefs.files.publishers import Parsed, changes
from lefs.files.publishers.shapes import stylegan_config
from lefs.files.publishers.state_dict import Parts, StateDict, Table, find_state, same
from lefs.files.publishers.tensorflow import COLORS, stylegan_rows

__all__ = ["matches", "read"]

_CONST = "g_synthesis.blocks.4x4.const"


def matches(tree: Any) -> bool:
    """Whether `tree` is a state dict with the names of that port, or what its conversion starts from."""
    return _is_dump(tree) or find_state(tree, _CONST) is not None


def _is_dump(tree: Any) -> bool:
    """Whether it is TensorFlow's trained variables of G, D and Gs, as the port's first step writes them."""
    three = isinstance(tree, list | tuple) and len(tree) == 3 and all(isinstance(t, Mapping) for t in tree)
    return three and "G_synthesis/4x4/Const/const" in tree[-1]


_DENSE: Parts = {".weight": (".weight", 2), ".bias": (".bias", 1, changes.over_root_two)}
_UP: Parts = {".weight": (".weight", 4, changes.turned_if_fused), ".bias": (".bias", 1)}
_PLAIN = same(weight=4, bias=1)
_LINEAR: Parts = {".weight": (".affine.weight", 2), ".bias": (".affine.bias", 1, changes.half_from_one)}
_SCOPE = r"(\d{1,5})x\d+"
_SIZE = rf"g_synthesis\.blocks\.{_SCOPE}"
_PORT: Table = (
    (r"g_mapping\.dense(\d\d?)", "mapping.fc{}", _DENSE),
    (r"truncation", "mapping", {".avg_latent": (".w_avg", 1)}),
    (_SIZE, "synthesis.b{}.conv0", {".const": (".const", 4, changes.single), ".bias": (".bias", 1)}),
    (rf"{_SIZE}\.conv0_up", "synthesis.b{}.conv0", _UP),
    (rf"{_SIZE}\.conv1?", "synthesis.b{}.conv1", _PLAIN),
    (rf"{_SIZE}\.epi1", "synthesis.b{}.conv0", {".top_epi.noise.weight": (".noise_strength", 1)}),
    (rf"{_SIZE}\.epi2", "synthesis.b{}.conv1", {".top_epi.noise.weight": (".noise_strength", 1)}),
    (rf"{_SIZE}\.epi1\.style_mod\.lin", "synthesis.b{}.conv0", _LINEAR),
    (rf"{_SIZE}\.epi2\.style_mod\.lin", "synthesis.b{}.conv1", _LINEAR),
    (r"g_style\.style_layers\.(\d{1,5})x\d+_([01])\.lin", "synthesis.b{}.conv{}", _LINEAR),
)


def read(tree: Any, path: Path) -> Parsed:
    """Names of the port → ours.

    It keeps neither noise maps nor, in lernapparat's file, the mean w, and adds 1e-5 to variances where
    TensorFlow adds 1e-8. In Editing in Style's the affine maps lie apart and truncation reaches every layer.
    """
    if dump := _is_dump(tree):
        state = {re.sub("^G_(mapping|synthesis)/", "", str(name)): value for name, value in tree[-1].items()}
    else:
        _, state = find_state(tree, _CONST) or ("", {})
    source = StateDict(state, path, "a StyleGAN of lernapparat or of Editing in Style")
    apart = any(name.startswith("g_style.") for name in state)
    last = f"synthesis.b{source.largest(rf'(?:{_SIZE}|{_SCOPE})[./].*')}.torgb"
    colors = (r"g_synthesis\.torgb", last, _PLAIN), (r"ToRGB_lod0", last, COLORS)
    table = (*(stylegan_rows() if dump else _PORT), *colors)
    tensors = source.translate(table, r".*\.intermediate\.kernel", r"ToRGB_lod[1-9]\d*/\w+")
    settings = {"noise": "drawn", "epsilon": 1e-5, "truncation_cutoff": None if apart else 8}
    config = stylegan_config(tensors, source, **settings)
    return Parsed("stylegan", config, tensors, {"publisher": "Editing in Style" if apart else "lernapparat"})
