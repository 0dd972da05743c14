"""genforce: ``.pth`` of a ProGAN, a StyleGAN or a StyleGAN2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lefs.files.publishers import Parsed, changes
from lefs.files.publishers.shapes import check_classes, progan_config, stylegan2_config, stylegan_config
from lefs.files.publishers.state_dict import Parts, StateDict, Table, check_grown, find_state, same
from lefs.files.publishers.unknown import DISCRIMINATOR
from lefs.records import ArtifactError

__all__ = ["matches", "read"]

_State = Mapping[str, Any]
_LATENT = 512


def matches(tree: Any) -> bool:
    """Whether `tree` is genforce's: a file of its model zoo, a checkpoint of its training, or one network."""
    named = isinstance(tree, Mapping) and any(
        isinstance(tree.get(key), Mapping) for key in ("models", "generator_smooth")
    )
    return named or any(find_state(tree, *known) for known, _ in _KNOWN)


def read(tree: Any, path: Path) -> Parsed:
    """The smoothed generator, or the only one."""
    for known, reader in _KNOWN:
        if found := find_state(tree, *known):
            return reader(found[1], path)
    inside = tree.get("models")
    models = inside if isinstance(inside, Mapping) else tree
    if models.keys() <= {"discriminator"}:
        raise ArtifactError(f"{path} holds {DISCRIMINATOR}")
    names = ", ".join(repr(name) for name in list(models)[:4])
    raise ArtifactError(
        f"{path} looks like a file of genforce, but holds no generator of a ProGAN, StyleGAN or StyleGAN2; "
        f"found {names}"
    )


# -- StyleGAN2 -----------------------------------------------------------------------------------------------

_MODULATED: Parts = {
    ".weight": (".weight", 4, changes.turned_up),
    ".bias": (".bias", 1),
    ".style.weight": (".affine.weight", 2),
    ".style.bias": (".affine.bias", 1, changes.from_one),
    ".noise": (".noise_const", 4, changes.noise_map),
    ".noise_strength": (".noise_strength", 0),
}
_STYLEGAN2: Table = (
    (r"mapping\.dense(\d\d?)", "mapping.fc{}", same(weight=2, bias=1)),
    (r"mapping\.label", "mapping.embed", {"_weight": (".weight", 2, changes.class_table)}),
    (r"mapping\.LabelEmbed", "mapping.embed", same(weight=2, bias=1)),
    (r"truncation", "mapping", same(w_avg=1)),
    (r"synthesis\.early_layer", "synthesis.b4", {".const": (".const", 4, changes.single)}),
    (r"synthesis\.layer(\d\d?)", changes.one_more, _MODULATED),
    (r"synthesis\.output(\d\d?)", changes.at("torgb"), _MODULATED),
)


def _read_stylegan2(state: _State, path: Path) -> Parsed:
    """Truncation there pulls all w unless told otherwise. ADA normalizes latents and classes apart."""
    apart = "mapping.LabelEmbed.weight" in state
    source = StateDict(state, path, "a StyleGAN2 of genforce")
    tensors = source.translate(_STYLEGAN2, r".*\.kernel")  # (always [1, 3, 3, 1])
    check_classes(tensors, source)
    config = stylegan2_config(tensors, source, normalize="each" if apart else "joint")
    return Parsed("stylegan2", config, tensors, {"publisher": "genforce"})


# -- StyleGAN ------------------------------------------------------------------------------------------------


_COLORS: Parts = {".weight": (".weight", 4, changes.in_color), ".bias": (".bias", 1, changes.in_color)}
_DENSE: Parts = {".weight": (".weight", 2), ".bias": (".bias", 1, changes.over_root_two)}
_NORMALIZED: Parts = {
    ".const": (".const", 4, changes.single),
    ".weight": (".weight", 4, changes.turned_if_fused),
    ".bias": (".bias", 1),
    ".apply_noise.noise": (".noise_const", 4, changes.noise_map),
    ".apply_noise.weight": (".noise_strength", 1),
    ".style.weight": (".affine.weight", 2),
    ".style.bias": (".affine.bias", 1, changes.half_from_one),
}
_STYLEGAN: Table = (
    (r"mapping\.dense(\d\d?)", "mapping.fc{}", _DENSE),
    *_STYLEGAN2[1:4],
    (r"synthesis\.layer(\d\d?)", changes.pair, _NORMALIZED),
    (r"synthesis\.output(\d\d?)", changes.at("torgb"), _COLORS),
)


def _read_stylegan(state: _State, path: Path) -> Parsed:
    source = StateDict(state, path, "a StyleGAN of genforce")
    check_grown(source, "synthesis.lod")
    tensors = source.translate(_STYLEGAN, r".*\.blur\.kernel")
    check_classes(tensors, source)
    notes = {"publisher": "genforce", "truncation": 0.7}
    return Parsed("stylegan", stylegan_config(tensors, source), tensors, notes)


# -- ProGAN --------------------------------------------------------------------------------------------------


def _read_progan(state: _State, path: Path) -> Parsed:
    """What it takes beyond 512 numbers, genforce's latent, are classes."""

    def weight(tensor: Tensor, name: str) -> Tensor:
        if name.startswith("synthesis.b4.conv0"):  # a convolution over one pixel with a rim of three
            return tensor.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)
        return tensor.transpose(0, 1).flip(2, 3) if ".conv0." in name and fused else tensor

    source, fused = StateDict(state, path, "a ProGAN of genforce"), _is_fused(state)
    check_grown(source, "lod")
    layer: Parts = {".weight": (".weight", 4, weight), ".bias": (".bias", 1)}
    colors = (r"output(\d\d?)", changes.at("torgb"), _COLORS)
    tensors = source.translate(((r"layer(\d\d?)", changes.pair, layer), colors))
    first = tensors.get("synthesis.b4.conv0.weight")
    classes = 0 if first is None else max(0, first.shape[1] - _LATENT)
    config = progan_config(tensors, source, label_dim=classes, normalize_z=True)
    return Parsed("progan", config, tensors, {"publisher": "genforce"})


def _is_fused(state: _State) -> bool:
    """Whether a ProGAN's layers double and convolve at once: their kernels then have inputs before outputs.

    Layers with as many outputs as inputs do not tell, but all are of a kind.
    """
    pairs = ((state.get(f"layer{k}.weight"), state.get(f"layer{k}.bias")) for k in range(2, 20, 2))
    return any(
        isinstance(w, Tensor) and isinstance(b, Tensor) and w.ndim == 4 and len(w) != len(b) for w, b in pairs
    )


# what the tensors of each network are called, and what reads them
_KNOWN = (
    (("synthesis.early_layer.const", "synthesis.layer0.style.weight"), _read_stylegan2),
    (("synthesis.layer0.const", "synthesis.layer0.apply_noise.weight"), _read_stylegan),
    (("layer0.weight", "output0.weight", "layer1.weight"), _read_progan),
)
