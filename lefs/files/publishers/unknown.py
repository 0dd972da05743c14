"""What a file is that no reader takes, in words that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lefs.files.publishers.persistence import NETWORKS, find_network, is_module
from lefs.files.publishers.state_dict import find_state

__all__ = ["DISCRIMINATOR", "explain"]

# beginnings of tensor names → what such a file is
_STATES = (
    (("model.diffusion_model.", "first_stage_model.", "cond_stage_model."), "a Stable Diffusion checkpoint"),
    (("down_blocks.", "mid_block.", "up_blocks."), "a diffusion model's U-Net"),
    (("encoder.input_layer.", "encoder.body.", "encoder.styles."), "an encoder (images → w)"),
    (("encoder.", "decoder."), "an encoder or autoencoder"),
    (("final_conv.", "final_linear.", "from_rgb.", "input0."), "a discriminator alone"),
)
_EXPECTED = "expected a generator of one of the kinds that lefs loads"
_GET = "it makes no images from latents; load the file of a generator"
DISCRIMINATOR = f"a discriminator alone; {_GET}, which often keeps both"


def explain(tree: Any) -> str:
    """One sentence to follow "... holds no generator that lefs knows: ". Looks at names only."""
    found = find_network(tree, *NETWORKS)
    if found is not None and found[1].name == "Discriminator":
        return DISCRIMINATOR
    if found is not None:
        inside = sorted({str(m.name) for m in found[1].state["_modules"].values() if is_module(m)})
        parts = f", made of {', '.join(inside[:6])}" if inside else ""
        return f"its {found[0]} is of the class {found[1].module}.{found[1].name}{parts}; expected a StyleGAN"
    if find_network(tree, "D") is not None:
        return DISCRIMINATOR
    if isinstance(tree, Tensor):
        return (
            f"a tensor of shape {tuple(tree.shape)}; if it is the w of a picture, hand the file to "
            "lefs.source_styles(generator, file)"
        )
    if hasattr(tree, "module") and hasattr(tree, "name"):
        return f"an object of {tree.module}.{tree.name}; {_EXPECTED}"
    return _mapping(tree) if isinstance(tree, Mapping) else f"a {type(tree).__name__}; {_EXPECTED}"


def _mapping(tree: Mapping[Any, Any]) -> str:
    if find_state(tree, "synthesis.input.freqs"):
        return (
            "a state dict of StyleGAN3, which does not say its layers' sampling rates and filters; load the "
            ".pkl that it comes from"
        )
    levels = [tree, *(inside for inside in tree.values() if isinstance(inside, Mapping))]
    names = [name for level in levels for name in level if isinstance(name, str)]
    for beginnings, what in _STATES:
        if any(name.startswith(beginnings) for name in names):
            return f"{what}; {_GET}"
    if names and set(names) <= {"d", "D", "discriminator", "d_optim"}:
        return DISCRIMINATOR
    listed = ", ".join(repr(name[:60]) for name in names[:6])
    return f"a dictionary of {len(tree)} entries{f', such as {listed}' if listed else ''}; {_EXPECTED}"
