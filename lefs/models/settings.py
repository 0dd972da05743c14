"""Settings of networks: what is allowed of each, in whatever configuration, and what files hold of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from lefs.checks import check_choice, check_integer, check_number
from lefs.models.layers import ACTIVATIONS, check_filter

__all__ = ["LARGEST", "check_pyramid", "check_settings", "resolutions_of", "settings_of"]

LARGEST = 2**14  # side of an image or a map


def _check_pair(name: str, value: Iterable[int]) -> tuple[int, ...]:
    pair = tuple(value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be two integers, got {pair}")
    return pair


def _check_blur(name: str, taps: Iterable[float]) -> tuple[float, ...]:
    """Return `taps` if there are none, or an odd number of them with a sum to divide by."""
    found = tuple(check_number(name, tap) for tap in taps)
    if found and (len(found) % 2 == 0 or sum(found) == 0):
        raise ValueError(f"{name} must have an odd number of taps and a sum, got {found}")
    return found


_SIDES = "size inputs outputs in_size out_size kernel up down up_taps down_taps"
_RATES = "sampling_rate bandwidth in_rate out_rate in_cutoff out_cutoff in_half_width out_half_width"
# names of settings → the check of each
_ALLOWED: dict[str, Callable[[str, Any], object]] = {
    "z_dim w_dim mapping_width embed_dim": partial(check_integer, minimum=1, maximum=2**16),
    "label_dim": partial(check_integer, maximum=2**20),
    "mapping_layers": partial(check_integer, minimum=1, maximum=64),
    "mapping_lr": partial(check_number, minimum=1e-6, maximum=1e3),
    "activation mapping_activation": partial(check_choice, choices=ACTIVATIONS),
    "normalize": partial(check_choice, choices=("each", "joint", "no")),
    "architecture": partial(check_choice, choices=("skip", "resnet", "orig")),
    "image_channels": partial(check_choice, choices=(3, 1, 4)),
    "truncation_cutoff": check_integer,
    "kernel_size": partial(check_integer, minimum=1, maximum=15),
    "filter image_filter": check_filter,
    "blur": _check_blur,
    "start padding": _check_pair,
    "clamp": partial(check_number, minimum=0),
    "conv_clamp": partial(check_number, minimum=0, maximum=1e6),
    "epsilon": partial(check_number, minimum=0, maximum=1),
    "output_scale": partial(check_number, minimum=-1e3, maximum=1e3),
    _SIDES: partial(check_integer, minimum=1, maximum=LARGEST),
    _RATES: partial(check_number, minimum=1e-9),
}
_CHECKS = {name: check for names, check in _ALLOWED.items() for name in names.split()}


def check_settings(config: Any, owner: str = "") -> None:
    """Check the settings of a configuration, which errors name after `owner`; lists become tuples."""
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in _CHECKS or (value is None and "None" in str(field.type)):
            continue
        checked = _CHECKS[field.name](f"{owner}{field.name}", value)
        if isinstance(checked, tuple):  # (JSON has lists)
            object.__setattr__(config, field.name, checked)


def settings_of(config: Any, always: Sequence[str] = ()) -> dict[str, Any]:
    """Plain JSON values of a configuration: those that differ from their defaults, and `always`.

    Fingerprints are made from them, and stay as they are when a new setting comes with a default.
    """
    found = ((field, getattr(config, field.name)) for field in fields(config))
    return {f.name: _plain(value) for f, value in found if f.name in always or value != f.default}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return settings_of(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def resolutions_of(resolution: int) -> list[int]:
    """4, 8, ... resolution."""
    return [2**k for k in range(2, int(math.log2(resolution)) + 1)]


def check_pyramid(config: Any) -> None:
    """Check the resolution and the channels of a configuration, whose keys become integers.

    Of one that has `images`, check that these are resolutions, the last among them; None stands for that.
    """
    if check_integer("resolution", config.resolution, minimum=4, maximum=LARGEST) & (config.resolution - 1):
        raise ValueError(f"resolution must be a power of two from 4 on, got {config.resolution}")
    # (JSON turns integer keys into strings)
    channels = {int(r): c for r, c in config.channels.items()}
    for r in resolutions_of(config.resolution):
        if r not in channels:
            raise ValueError(f"channels lacks the resolution {r}; got {channels}")
        check_integer(f"channels[{r}]", channels[r], minimum=1, maximum=2**16)
    object.__setattr__(config, "channels", channels)
    if hasattr(config, "images"):
        chosen = [config.resolution] if config.images is None else sorted(config.images)
        for r in chosen:
            check_choice("images", r, resolutions_of(config.resolution))
        if config.resolution not in chosen:
            raise ValueError(f"images must contain the resolution {config.resolution}, got {chosen}")
        object.__setattr__(config, "images", chosen)
