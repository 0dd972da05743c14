"""Discriminators as the official TensorFlow code of ProGAN, StyleGAN and StyleGAN2 names their variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from lefs.generators.discriminator import Discriminator
from lefs.generators.publishers.contents import Contents, check_grown
from lefs.generators.publishers.stylegan2_shapes import build_classic_discriminator, build_discriminator
from lefs.generators.publishers.tensorflow_classic import option, require, resolutions

__all__ = ["DISCRIMINATORS"]

_Settings = Mapping[str, Any]


def _convolution(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    """A convolution's tensors, if it has any there; some have no bias."""
    if f"{there}/weight" not in source:
        return {}
    tensors = {f"{here}.weight": source.take(f"{there}/weight", 4).permute(3, 2, 0, 1)}
    return tensors | ({f"{here}.bias": source.take(f"{there}/bias", 1)} if f"{there}/bias" in source else {})


def _dense(source: Contents, there: str, here: str) -> dict[str, Tensor]:
    weight = source.take(f"{there}/weight", 2).t()
    return {f"{here}.weight": weight, f"{here}.bias": source.take(f"{there}/bias", 1)}


def _blocks(source: Contents) -> dict[str, Tensor]:
    """All convolutions, and the colours of the full resolution."""
    tensors = dict[str, Tensor]()
    parts = {"FromRGB": "fromrgb", "Conv0": "conv0", "Conv1_down": "conv1", "Conv1": "conv1", "Skip": "skip"}
    sizes = resolutions(source)
    for r in sizes:
        for there, here in parts.items():
            tensors |= _convolution(source, f"{r}x{r}/{there}", f"b{r}.{here}")
    if "FromRGB_lod0/weight" in source:
        tensors |= _convolution(source, "FromRGB_lod0", f"b{sizes[-1]}.fromrgb")
        # (images of the resolutions that it grew through)
        source.drop(r"FromRGB_lod\d+/.*")
    return tensors | _convolution(source, "4x4/Conv", "b4.conv") | _dense(source, "4x4/Dense0", "b4.fc")


# -- ProGAN, StyleGAN --------------------------------------------------------------------------------------


def _progan(source: Contents, settings: _Settings) -> Discriminator:
    # Its scores do not depend on the class; the further outputs guess it.
    require(source, settings, use_wscale=True)
    apart = f"{resolutions(source)[-1]}x{resolutions(source)[-1]}/Conv1/weight" in source
    tensors = _classic(source)
    tensors |= {name: tensors[name][:1] for name in ("b4.out.weight", "b4.out.bias")}
    return build_classic_discriminator(
        tensors, source.path, pool_last=apart, group=option(source, settings, "mbstd_group_size", 4)
    )


def _stylegan(source: Contents, settings: _Settings) -> Discriminator:
    require(source, settings, use_wscale=True, nonlinearity="lrelu")
    return build_classic_discriminator(
        _classic(source),
        source.path,
        label_dim=option(source, settings, "label_size", 0) or 0,
        group=option(source, settings, "mbstd_group_size", 4),
        blur=tuple(option(source, settings, "blur_filter", [1, 2, 1], tuple) or ()),
    )


def _classic(source: Contents) -> dict[str, Tensor]:
    check_grown(source, "lod")
    tensors = _blocks(source) | _dense(source, "4x4/Dense1", "b4.out")
    source.finish()
    return tensors


# -- StyleGAN2 ---------------------------------------------------------------------------------------------


def _stylegan2(source: Contents, settings: _Settings) -> Discriminator:
    """That of its configurations E and F, and of B to D, which grew."""
    require(source, settings, use_wscale=True)
    check_grown(source, "lod")
    labels = option(source, settings, "label_size", 0) or 0
    return _modern(source, settings, group=4, label_dim=labels)


def _ada(source: Contents, settings: _Settings) -> Discriminator:
    """That of StyleGAN2-ADA, which maps classes."""
    require(source, settings, use_pagan=False, use_spectral_norm=False)
    labels = option(source, settings, "label_size", 0) or 0
    if not labels:
        return _modern(source, settings, group=None)
    tensors = _dense(source, "LabelEmbed", "mapping.embed")
    depth = source.numbers(r"Mapping(\d+)/")
    for i in depth:
        tensors |= _dense(source, f"Mapping{i}", f"mapping.fc{i}")
    width = len(tensors["mapping.embed.bias"])
    return _modern(
        source,
        settings,
        tensors,
        group=None,
        label_dim=labels,
        class_dim=width,
        embed_dim=width,
        mapping_width=width,
        mapping_layers=len(depth),
        mapping_lr=option(source, settings, "mapping_lrmul", 0.1, int),
        mapping_activation=option(source, settings, "nonlinearity", "lrelu"),
    )


def _modern(
    source: Contents,
    settings: _Settings,
    mapping: Mapping[str, Tensor] | None = None,
    *,
    group: int | None,
    **known: Any,
) -> Discriminator:
    tensors = {**(mapping or {}), **_blocks(source), **_dense(source, "Output", "b4.out")}
    source.finish()
    taps = option(source, settings, "resample_kernel", [1, 3, 3, 1], tuple)
    return build_discriminator(
        tensors,
        source.path,
        activation=option(source, settings, "nonlinearity", "lrelu"),
        filter=list(taps or (1, 1)),
        conv_clamp=option(source, settings, "conv_clamp", None, int, float),
        group=option(source, settings, "mbstd_group_size", group, int),
        **known,
    )


# function that built the network → what makes ours of its variables and settings, or raises ArtifactError
DISCRIMINATORS: dict[str, Callable[[Contents, _Settings], Discriminator]] = {
    "D_paper": _progan,
    "D_basic": _stylegan,
    "D_stylegan": _stylegan2,
    "D_stylegan2": _stylegan2,
    "D_main": _ada,
}
