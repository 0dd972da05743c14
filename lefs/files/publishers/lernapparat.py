"""StyleGAN as lernapparat ported it to PyTorch, and as Editing in Style published its networks from there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.publishers import Parsed
from lefs.files.publishers.shapes import stylegan_config
from lefs.files.publishers.state_dict import (
    Parts,
    StateDict,
    Table,
    half_from_one,
    over_root_two,
    single,
    transposed,
    turned,
)

__all__ = ["matches", "read"]

_FUSED_FROM = 128


def matches(tree: Any) -> bool:
    """Whether `tree` is a state dict with the names of that port, or what its conversion starts from."""
    return (isinstance(tree, Mapping) and "g_synthesis.blocks.4x4.const" in tree) or _is_dump(tree)


def _is_dump(tree: Any) -> bool:
    """Whether it is TensorFlow's trained variables of G, D and Gs, as the port's first step writes them."""
    three = isinstance(tree, list | tuple) and len(tree) == 3 and all(isinstance(t, Mapping) for t in tree)
    return three and "G_synthesis/4x4/Const/const" in tree[-1]


def _turned_if_fused(weight: Tensor, name: str) -> Tensor:
    fused = ".conv0." in name and int(name.split(".")[1][1:]) >= _FUSED_FROM
    return turned(weight, name) if fused else weight


def _fused_transposed(weight: Tensor, name: str) -> Tensor:
    return _turned_if_fused(transposed(weight, name), name)


_LINEAR: Parts = {".lin.weight": (".affine.weight", 2), ".lin.bias": (".affine.bias", 1, half_from_one)}
_SIZE = r"g_synthesis\.blocks\.(\d{1,5})x\d+"
_PORT: Table = (
    (
        r"g_mapping\.dense(\d\d?)",
        "mapping.fc{}",
        {".weight": (".weight", 2), ".bias": (".bias", 1, over_root_two)},
    ),
    (r"truncation", "mapping", {".avg_latent": (".w_avg", 1)}),
    (_SIZE, "synthesis.b{}.conv0", {".const": (".const", 4, single), ".bias": (".bias", 1)}),
    (
        rf"{_SIZE}\.conv0_up",
        "synthesis.b{}.conv0",
        {".weight": (".weight", 4, _turned_if_fused), ".bias": (".bias", 1)},
    ),
    (rf"{_SIZE}\.conv1?", "synthesis.b{}.conv1", {".weight": (".weight", 4), ".bias": (".bias", 1)}),
    (
        rf"{_SIZE}\.epi([12])",
        lambda r, k: f"synthesis.b{r}.conv{int(k) - 1}",
        {
            ".top_epi.noise.weight": (".noise_strength", 1),
            ".style_mod.lin.weight": (".affine.weight", 2),
            ".style_mod.lin.bias": (".affine.bias", 1, half_from_one),
        },
    ),
    (r"g_style\.style_layers\.(\d{1,5})x\d+_([01])", "synthesis.b{}.conv{}", _LINEAR),
)
_SCOPE = r"G_synthesis/(\d{1,5})x\d+"
_OWN: Parts = {"/weight": (".weight", 4, _fused_transposed), "/bias": (".bias", 1)}
_STYLE: Parts = {
    "/StyleMod/weight": (".affine.weight", 2, transposed),
    "/StyleMod/bias": (".affine.bias", 1, half_from_one),
    "/Noise/weight": (".noise_strength", 1),
}
_DUMP: Table = (
    (
        r"G_mapping/Dense(\d\d?)",
        "mapping.fc{}",
        {"/weight": (".weight", 2, transposed), "/bias": (".bias", 1, over_root_two)},
    ),
    (
        rf"{_SCOPE}/(?:Const|Conv0_up)",
        "synthesis.b{}.conv0",
        {"/const": (".const", 4, single), **_OWN, **_STYLE},
    ),
    (rf"{_SCOPE}/Conv1?", "synthesis.b{}.conv1", {**_OWN, **_STYLE}),
)


def read(tree: Any, path: Path) -> Parsed:
    """Names of the port → ours.

    It keeps neither noise maps nor, in lernapparat's file, the mean w, and adds 1e-5 to variances where
    TensorFlow adds 1e-8. In Editing in Style's the affine maps lie apart and truncation reaches every layer.
    """
    dump = _is_dump(tree)
    state = tree[-1] if dump else tree
    source = StateDict(state, path, "a StyleGAN of lernapparat or of Editing in Style")
    apart = any(name.startswith("g_style.") for name in state)
    source.drop(r".*\.intermediate\.kernel", r"G_synthesis/ToRGB_lod[1-9]\d*/\w+")
    last = f"synthesis.b{source.largest(rf'(?:{_SIZE}|{_SCOPE})[./].*')}.torgb"
    tensors = source.translate(
        (
            *(_DUMP if dump else _PORT),
            (r"g_synthesis\.torgb", last, {".weight": (".weight", 4), ".bias": (".bias", 1)}),
            (r"G_synthesis/ToRGB_lod0", last, {"/weight": (".weight", 4, transposed), "/bias": (".bias", 1)}),
        )
    )
    source.finish()
    settings = {"noise": "drawn", "epsilon": 1e-5, "truncation_cutoff": None if apart else 8}
    config = stylegan_config(tensors, source, **settings)
    return Parsed("stylegan", config, tensors, {"publisher": "Editing in Style" if apart else "lernapparat"})
