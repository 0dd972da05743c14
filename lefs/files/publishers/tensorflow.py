"""The official TensorFlow pickles of ProGAN, StyleGAN, StyleGAN2 and StyleGAN2-ADA: (G, D, Gs).

A network is stored as its variables, the arguments of the function that built it, and that function's source,
which is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lefs.files.publishers import Parsed, changes
from lefs.files.publishers.persistence import check_plain
from lefs.files.publishers.shapes import progan_config, stylegan2_config, stylegan_config
from lefs.files.publishers.state_dict import Parts, Row, StateDict, Table, check_grown
from lefs.files.publishers.unknown import DISCRIMINATOR
from lefs.files.reading import Instance
from lefs.records import ArtifactError

__all__ = ["COLORS", "matches", "read", "stylegan_rows"]

_MODULES = ("dnnlib.tflib.network", "tfutil", "network")


def matches(tree: Any) -> bool:
    """Whether `tree` is, or directly holds, a network of that code."""
    return any(True for _ in _networks(tree))


def _networks(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    for value in tree if isinstance(tree, tuple | list) else (tree,):
        named = isinstance(value, Instance) and value.name == "Network" and value.module in _MODULES
        if named and isinstance(value.state, Mapping):
            yield value.state


def read(tree: Any, path: Path) -> Parsed:
    """The last generator of the file, which is Gs, the average over the training."""
    found = list(_networks(tree))
    if any("version" not in network for network in found):
        raise ArtifactError(
            f"{path} was written by the Theano version of ProGAN; load and save it with the TensorFlow "
            "version, or take the file published for that"
        )
    names = [n if isinstance(n := network.get("build_func_name"), str) else "nobody" for network in found]
    usable = [pair for pair in zip(found, names, strict=True) if pair[1] in _READERS]
    if names and all(name.startswith("D_") for name in names):
        raise ArtifactError(f"{path} holds {DISCRIMINATOR}")
    if not usable:
        known = ", ".join(_READERS)
        raise ArtifactError(f"{path} holds networks built by {', '.join(names)}; lefs takes those of {known}")
    network, name = usable[-1]
    check_plain(network, path, "generator")
    return _READERS[name](_Network(_variables(network, path), path, name, network.get("static_kwargs")))


def _variables(network: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The network's variables and those of its parts, whose names do not clash but for ``lod``."""
    found: dict[str, Tensor] = {}
    parts = network.get("components")
    inside = list(_networks(parts)) if isinstance(parts, Mapping) else []
    for content in (*inside, network):
        pairs = content.get("variables")
        if not isinstance(pairs, list | tuple) or not all(_is_pair(pair) for pair in pairs):
            raise ArtifactError(f"{path} holds a network whose variables are not pairs of names and arrays")
        # (a variable without axes comes as a number)
        found |= {n: v if isinstance(v, Tensor) else torch.tensor(float(v)) for n, v in pairs}
    return found


def _is_pair(pair: Any) -> bool:
    sound = isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)
    return sound and isinstance(pair[1], Tensor | int | float)


class _Network(StateDict):
    """Its variables, and the arguments of the function that built it which are not at their defaults."""

    def __init__(self, variables: Mapping[str, Tensor], path: Path, function: str, arguments: Any):
        super().__init__(variables, path, f"a TensorFlow network built by {function}")
        self.arguments = arguments if isinstance(arguments, Mapping) else {}

    def option(self, name: str, default: Any, *kinds: type) -> Any:
        """The argument `name`, or the official default; an ArtifactError if it is of another kind."""
        value = self.arguments.get(name, default)
        if value is not None and not isinstance(value, (type(default), *kinds)):
            raise self.error(f"its argument {name} is a {type(value).__name__}")
        return value

    def require(self, **official: Any) -> None:
        """Raise an ArtifactError if an argument is not as in the official networks, which alone are known."""
        for name, expected in official.items():
            value = self.option(name, expected)
            if value != expected:
                raise self.error(f"it was built with {name}={value!r}; lefs takes {name}={expected!r}")


# -- layouts ----

_SCOPE = r"(\d{1,5})x\1"
_CONVOLUTION: Parts = {"/weight": (".weight", 4, changes.transposed), "/bias": (".bias", 1)}
_DENSE: Parts = {"/weight": (".weight", 2, changes.transposed), "/bias": (".bias", 1)}
COLORS: Parts = {
    "/weight": (".weight", 4, changes.transposed, changes.in_color),
    "/bias": (".bias", 1, changes.in_color),
}
_MEAN: Row = ("", "mapping", {"dlatent_avg": (".w_avg", 1)})
_CLASSES: Row = (r"LabelConcat", "mapping.embed", {"/weight": (".weight", 2, changes.class_table)})


def _colors(source: _Network) -> Row:
    """The row of the layers that make images, which are counted from the largest on."""
    largest = source.largest(rf"{_SCOPE}/.*")
    return r"ToRGB_lod(\d\d?)", lambda i: f"synthesis.b{largest >> int(i)}.torgb", COLORS


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


def _read_progan(source: _Network) -> Parsed:
    """A ProGAN's variables → ours."""
    source.require(use_wscale=True, use_pixelnorm=True, use_leakyrelu=True)
    source.require(normalize_latents=True, pixelnorm_epsilon=1e-8)
    check_grown(source, "lod")
    tensors = source.translate((*_PROGAN, _colors(source)))
    config = progan_config(tensors, source, label_dim=source.option("label_size", 0))
    return Parsed("progan", config, tensors, {"publisher": "NVIDIA, progressive_growing_of_gans"})


# -- StyleGAN ------------------------------------------------------------------------------------------------

_STYLE: Parts = {
    "/bias": (".bias", 1),
    "/StyleMod/weight": (".affine.weight", 2, changes.transposed),
    "/StyleMod/bias": (".affine.bias", 1, changes.half_from_one),
    "/Noise/weight": (".noise_strength", 1),
}
_MAPPING: Parts = {**_DENSE, "/bias": (".bias", 1, changes.over_root_two)}
_STYLEGAN: Table = (
    (r"Dense(\d\d?)", "mapping.fc{}", _MAPPING),
    _MEAN,
    _CLASSES,
    (r"4x4/Const", "synthesis.b4.conv0", {"/const": (".const", 4, changes.single), **_STYLE}),
    (rf"{_SCOPE}/Conv1?", "synthesis.b{}.conv1", {**_CONVOLUTION, **_STYLE}),
    (r"noise(\d\d?)", changes.pair, {"": (".noise_const", 4, changes.noise_map)}),
)


def stylegan_rows(fused: Any = "auto") -> Table:
    """A StyleGAN's layers but those that make images; `fused`: where doubling and convolving is one step."""
    turned = {True: (changes.turned_up,), "auto": (changes.turned_if_fused,)}.get(fused, ())
    up: Parts = {"/weight": (".weight", 4, changes.transposed, *turned), **_STYLE}
    return (*_STYLEGAN, (rf"{_SCOPE}/Conv0_up", "synthesis.b{}.conv0", up))


def _read_stylegan(source: _Network) -> Parsed:
    """A StyleGAN's variables → ours."""
    source.require(use_wscale=True, use_styles=True, const_input_layer=True)
    source.require(use_pixel_norm=False, use_instance_norm=True, normalize_latents=True)
    source.require(nonlinearity="lrelu", mapping_nonlinearity="lrelu")
    check_grown(source, "lod")
    rows = stylegan_rows(source.option("fused_scale", "auto", bool))
    tensors = source.translate((*rows, _colors(source)))
    config = stylegan_config(
        tensors,
        source,
        mapping_lr=source.option("mapping_lrmul", 0.01, int),
        noise="stored" if "synthesis.b4.conv0.noise_const" in tensors else "none",
        # (a cutoff of None turns truncation off there)
        truncation_cutoff=source.option("truncation_cutoff", 8) or 0,
        blur=list(source.option("blur_filter", [1, 2, 1], tuple) or ()),
    )
    psi = source.option("truncation_psi", 0.7, int)
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


def _read_stylegan2(source: _Network) -> Parsed:
    """A StyleGAN2's variables → ours; also those of the revised StyleGAN of its configurations B to D."""
    source.require(use_wscale=True)
    check_grown(source, "lod")
    # Images that are not square begin with maps of another size than 4x4; scopes are then called as if.
    height = source.largest(r"(\d{1,5})x\d{1,5}/Const/const") or 4
    source.rename(r"^(\d{1,5})x\d{1,5}/", lambda scope: "{0}x{0}/".format(4 * int(scope[1]) // height))
    normalize, last = _normalization(source), f"synthesis.b{source.largest(rf'{_SCOPE}/.*')}.torgb"
    # (others are of the resolutions that it grew through)
    tensors = source.translate((*_STYLEGAN2, (r"ToRGB_lod0", last, _MODULATED)), r"ToRGB_lod[1-9]\d*/.*")
    config = stylegan2_config(
        tensors,
        source,
        mapping_lr=source.option("mapping_lrmul", 0.01, int),
        mapping_activation=source.option("mapping_nonlinearity", "lrelu"),
        activation=source.option("nonlinearity", "lrelu"),
        normalize=normalize,
        truncation_cutoff=source.option("truncation_cutoff", None, int),
        filter=list(source.option("resample_kernel", [1, 3, 3, 1], tuple) or (1, 1)),
        conv_clamp=source.option("conv_clamp", None, int, float),
    )
    psi = source.option("truncation_psi", 0.5, int)
    return Parsed("stylegan2", config, tensors, {"publisher": "NVIDIA, stylegan2", "truncation": psi})


def _normalization(source: _Network) -> str:
    ada = "LabelEmbed/weight" in source
    if source.option("normalize_latents", True):
        return "each" if ada else "joint"
    if ada:
        raise source.error("it normalises its classes but not its latents, which lefs does not do")
    return "no"


# function that built the network → what reads its variables
_READERS = {"G_paper": _read_progan, "G_style": _read_stylegan, "G_main": _read_stylegan2}
