"""ProGAN, StyleGAN, StyleGAN2 and StyleGAN2-ADA as the official TensorFlow code names their variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from lefs.files.publishers import Parsed, changes
from lefs.files.publishers.shapes import progan_config, stylegan2_config, stylegan_config
from lefs.files.publishers.state_dict import Parts, Row, StateDict, Table, check_grown

__all__ = ["READERS"]

_Settings = Mapping[str, Any]
_SCOPE = r"(\d{1,5})x\1"
_CONVOLUTION: Parts = {"/weight": (".weight", 4, changes.transposed), "/bias": (".bias", 1)}
_DENSE: Parts = {"/weight": (".weight", 2, changes.transposed), "/bias": (".bias", 1)}
_COLORS: Parts = {
    "/weight": (".weight", 4, changes.transposed, changes.in_color),
    "/bias": (".bias", 1, changes.in_color),
}
_MEAN: Row = ("", "mapping", {"dlatent_avg": (".w_avg", 1)})
_CLASSES: Row = (r"LabelConcat", "mapping.embed", {"/weight": (".weight", 2, changes.class_table)})


def _option(source: StateDict, settings: _Settings, name: str, default: Any, *kinds: type) -> Any:
    """The argument `name`, or the official default; an ArtifactError if it is of another kind."""
    value = settings.get(name, default)
    if value is not None and not isinstance(value, (type(default), *kinds)):
        raise source.error(f"its argument {name} is a {type(value).__name__}")
    return value


def _require(source: StateDict, settings: _Settings, **official: Any) -> None:
    """Raise an ArtifactError if an argument is not as in the official networks, the only ones known here."""
    for name, expected in official.items():
        value = _option(source, settings, name, expected)
        if value != expected:
            raise source.error(f"it was built with {name}={value!r}; lefs takes {name}={expected!r}")


def _colors(source: StateDict) -> Row:
    """The row of the layers that make images, which are counted from the largest on."""
    largest = source.largest(rf"{_SCOPE}/.*")
    return r"ToRGB_lod(\d\d?)", lambda i: f"synthesis.b{largest >> int(i)}.torgb", _COLORS


# -- ProGAN --------------------------------------------------------------------------------------------------


def _outputs_first(weight: Tensor, name: str) -> Tensor:
    """The kernel of a layer that doubles and convolves at once."""
    return weight.permute(2, 3, 0, 1).flip(2, 3)


_UP: Parts = {"/weight": (".weight", 4, _outputs_first), "/bias": (".bias", 1)}
_PROGAN: Table = (
    (r"4x4/Dense", "synthesis.b4.conv0", _DENSE),
    (r"4x4/Conv", "synthesis.b4.conv1", _CONVOLUTION),
    (rf"{_SCOPE}/Conv0", "synthesis.b{}.conv0", _CONVOLUTION),
    (rf"{_SCOPE}/Conv0_up", "synthesis.b{}.conv0", _UP),
    (rf"{_SCOPE}/Conv1", "synthesis.b{}.conv1", _CONVOLUTION),
)


def _read_progan(source: StateDict, settings: _Settings) -> Parsed:
    """A ProGAN's variables → ours."""
    _require(source, settings, use_wscale=True, use_pixelnorm=True, use_leakyrelu=True)
    _require(source, settings, normalize_latents=True, pixelnorm_epsilon=1e-8)
    check_grown(source, "lod")
    tensors = source.translate((*_PROGAN, _colors(source)))
    source.finish()
    config = progan_config(tensors, source, label_dim=_option(source, settings, "label_size", 0))
    return Parsed("progan", config, tensors, {"publisher": "NVIDIA, progressive_growing_of_gans"})


# -- StyleGAN ------------------------------------------------------------------------------------------------

_STYLE: Parts = {
    "/bias": (".bias", 1),
    "/StyleMod/weight": (".affine.weight", 2, changes.transposed),
    "/StyleMod/bias": (".affine.bias", 1, changes.half_from_one),
    "/Noise/weight": (".noise_strength", 1),
}
_MAPPING: Parts = {
    "/weight": (".weight", 2, changes.transposed),
    "/bias": (".bias", 1, changes.over_root_two),
}
_STYLEGAN: Table = (
    (r"Dense(\d\d?)", "mapping.fc{}", _MAPPING),
    _MEAN,
    _CLASSES,
    (r"4x4/Const", "synthesis.b4.conv0", {"/const": (".const", 4, changes.single), **_STYLE}),
    (rf"{_SCOPE}/Conv1?", "synthesis.b{}.conv1", {"/weight": (".weight", 4, changes.transposed), **_STYLE}),
    (r"noise(\d\d?)", changes.pair, {"": (".noise_const", 4, changes.noise_map)}),
)


def _read_stylegan(source: StateDict, settings: _Settings) -> Parsed:
    """A StyleGAN's variables → ours."""
    _require(source, settings, use_wscale=True, use_styles=True, const_input_layer=True)
    _require(source, settings, use_pixel_norm=False, use_instance_norm=True, normalize_latents=True)
    _require(source, settings, nonlinearity="lrelu", mapping_nonlinearity="lrelu")
    check_grown(source, "lod")
    fused = _option(source, settings, "fused_scale", "auto", bool)

    turned = {True: (changes.turned_up,), "auto": (changes.turned_if_fused,)}.get(fused, ())
    up: Parts = {"/weight": (".weight", 4, changes.transposed, *turned), **_STYLE}
    rows: Table = (*_STYLEGAN, (rf"{_SCOPE}/Conv0_up", "synthesis.b{}.conv0", up), _colors(source))
    tensors = source.translate(rows)
    source.finish()
    config = stylegan_config(
        tensors,
        source,
        mapping_lr=_option(source, settings, "mapping_lrmul", 0.01, int),
        noise="stored" if "synthesis.b4.conv0.noise_const" in tensors else "none",
        # (a cutoff of None turns truncation off there)
        truncation_cutoff=_option(source, settings, "truncation_cutoff", 8) or 0,
        blur=list(_option(source, settings, "blur_filter", [1, 2, 1], tuple) or ()),
    )
    psi = _option(source, settings, "truncation_psi", 0.7, int)
    return Parsed("stylegan", config, tensors, {"publisher": "NVIDIA, stylegan", "truncation": psi})


# -- StyleGAN2 -----------------------------------------------------------------------------------------------


_MODULATED: Parts = {
    "/weight": (".weight", 4, changes.transposed, changes.turned_up),
    "/bias": (".bias", 1),
    "/mod_weight": (".affine.weight", 2, changes.transposed),
    "/mod_bias": (".affine.bias", 1, changes.from_one),
    "/noise_strength": (".noise_strength", 0),
}
_STYLEGAN2: Table = (
    (r"Dense(\d\d?)", "mapping.fc{}", _DENSE),
    _MEAN,
    _CLASSES,
    (r"LabelEmbed", "mapping.embed", _DENSE),
    (r"4x4/Const", "synthesis.b4", {"/const": (".const", 4, changes.single)}),
    (rf"{_SCOPE}/Conv1?", "synthesis.b{}.conv1", _MODULATED),
    (rf"{_SCOPE}/Conv0_up", "synthesis.b{}.conv0", _MODULATED),
    (rf"{_SCOPE}/Skip", "synthesis.b{}.skip", {"/weight": (".weight", 4, changes.transposed)}),
    (rf"{_SCOPE}/ToRGB", "synthesis.b{}.torgb", _MODULATED),
    (r"noise(\d\d?)", changes.one_more, {"": (".noise_const", 4, changes.noise_map)}),
)


def _read_stylegan2(source: StateDict, settings: _Settings) -> Parsed:
    """A StyleGAN2's variables → ours; also those of the revised StyleGAN of its configurations B to D."""
    _require(source, settings, use_wscale=True)
    check_grown(source, "lod")
    _call_by_resolution(source)
    normalize = _normalization(source, settings)
    last = f"synthesis.b{source.largest(rf'{_SCOPE}/.*')}.torgb"
    tensors = source.translate((*_STYLEGAN2, (r"ToRGB_lod0", last, _MODULATED)))
    source.drop(r"ToRGB_lod\d+/.*")  # (images of the resolutions that it grew through)
    source.finish()
    config = stylegan2_config(
        tensors,
        source,
        mapping_lr=_option(source, settings, "mapping_lrmul", 0.01, int),
        mapping_activation=_option(source, settings, "mapping_nonlinearity", "lrelu"),
        activation=_option(source, settings, "nonlinearity", "lrelu"),
        normalize=normalize,
        truncation_cutoff=_option(source, settings, "truncation_cutoff", None, int),
        filter=list(_option(source, settings, "resample_kernel", [1, 3, 3, 1], tuple) or (1, 1)),
        conv_clamp=_option(source, settings, "conv_clamp", None, int, float),
    )
    psi = _option(source, settings, "truncation_psi", 0.5, int)
    return Parsed("stylegan2", config, tensors, {"publisher": "NVIDIA, stylegan2", "truncation": psi})


def _call_by_resolution(source: StateDict) -> None:
    """Images that are not square begin with maps of another size than 4x4; scopes are then called as if."""
    first = [re.match(r"\d{1,5}", name) for name in source.names(r"\d{1,5}x\d{1,5}/Const/const")]
    if first and first[0] and (height := int(first[0][0])):

        def square(scope: re.Match[str]) -> str:
            side = 4 * int(scope[1]) // height
            return f"{side}x{side}/"

        source.rename(r"^(\d{1,5})x\d{1,5}/", square)


def _normalization(source: StateDict, settings: _Settings) -> str:
    ada = "LabelEmbed/weight" in source
    if _option(source, settings, "normalize_latents", True):
        return "each" if ada else "joint"
    if ada:
        raise source.error("it normalises its classes but not its latents, which lefs does not do")
    return "no"


# function that built the network → what reads its variables
READERS: dict[str, Callable[[StateDict, _Settings], Parsed]] = {
    "G_paper": _read_progan,
    "G_style": _read_stylegan,
    "G_main": _read_stylegan2,
}
