"""Small networks and catalogs, and broken files, to test with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from lefs import Catalog, StyleGAN2, StyleGAN2Config
from lefs.generator import Generator, GeneratorId, Sampling
from lefs.records import load_record
from lefs.stylespace import StyleLayer
from lefs.synthesis import Noise, State


def random_network(
    *, seed: int, dead: int | None = None, resolution: int = 16, label_dim: int = 0
) -> StyleGAN2:
    """A frozen StyleGAN2 in which nothing is where a fresh one has it, so that forgetting it would be seen.

    `dead` is a channel of the constant input that is set to zero.
    """
    channels = {4: 10, 8: 8, 16: 6, 32: 4, 64: 3, 128: 2}
    config = StyleGAN2Config(resolution, z_dim=12, w_dim=14, channels=channels, label_dim=label_dim)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = StyleGAN2(config)
        for name, parameter in network.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                parameter.add_(torch.randn_like(parameter) * (20 if name.startswith("mapping.fc") else 0.3))
        network.mapping.w_avg.normal_()
        if dead is not None:
            network.synthesis.get_parameter("b4.const")[dead] = 0
    network.name = "lively"
    network.freeze()
    return network


def made_up_catalog(
    contributions: Tensor, generator: Generator, names: Sequence[str] | None = None
) -> Catalog:
    """A catalog with given contributions (K, S) for a generator; its centres are arbitrary directions."""
    count, layer = len(contributions), generator.layers[0]
    centers = torch.nn.functional.normalize(torch.eye(count, layer.channels) + 0.1, dim=1)
    return Catalog(
        centers=centers,
        layer=layer.name,
        contributions=contributions.double(),
        sizes=torch.arange(1, count + 1),
        layers=generator.layers,
        parts={f"cluster {k}": (k,) for k in range(count)},
        generator=GeneratorId(generator.fingerprint, generator.name),
        sampling=Sampling((0, 1), 1.0, 0),
    ).named(names or [f"cluster {k}" for k in range(count)])


def by_layer(layers: Sequence[StyleLayer], styles: Tensor) -> dict[str, Tensor]:
    return {layer.name: styles[:, layer.span] for layer in layers}


class LinearGenerator(Generator):
    """Images that are sums of pictures, each weighed by one style: I = Σ_c σ_c painted_c.

    Its one layer has the same `active` maps (C, h, w) in every image; `painted` is (C, 3, H, W). Styles are
    the latents themselves.
    """

    architecture = "linear"
    num_ws, label_dim = 1, 0

    def __init__(self, *, active: Tensor, painted: Tensor):
        super().__init__()
        count = len(active)
        self.size, self.z_dim, self.w_dim = tuple(painted.shape[-2:]), count, count
        self.mapping = Unmapped(count)
        self.layers = (StyleLayer("only", "conv", tuple(active.shape[-2:]), count, slice(0, count)),)
        self.active = torch.nn.Parameter(active.float())
        self.painted = torch.nn.Parameter(painted.float().clone())
        self.name = "linear"
        self.freeze()

    @property
    def architecture_config(self) -> dict[str, Any]:
        return {}

    def _styles(self, w: Tensor) -> Tensor:
        return w[:, 0]

    # A state is (the maps, the styles).
    def _begin(self, styles: Tensor) -> State:
        return self.active.expand(len(styles), -1, -1, -1), styles

    def _step(self, layer: StyleLayer, state: State, styles: Tensor, noise: Noise) -> State:
        return state

    def _finish(self, state: State, size: int) -> Tensor:
        return torch.einsum("ns,spij->npij", state[1], self.painted)


class Unmapped(torch.nn.Module):
    """W is z, the mean is 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("w_avg", torch.zeros(size))

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return z


def mutated(written: bytes, rng: np.random.Generator) -> bytes:
    """One bit or byte changed, one byte more or fewer, or one stretch copied elsewhere."""
    content, at = bytearray(written), int(rng.integers(len(written)))
    match int(rng.integers(6)):
        case 0 | 1:
            content[at] ^= 1 << int(rng.integers(8))
        case 2 | 3:
            content[at] = int(rng.integers(256))
        case 4:
            content[at:at] = rng.bytes(1) if rng.integers(2) else b""
            del content[int(rng.integers(len(content)))]
        case _:
            source, length = int(rng.integers(len(written))), int(rng.integers(1, 20))
            content[at : at + length] = written[source : source + length]
    return bytes(content)


def stored(path: Path) -> dict[str, Any]:
    """The JSON of a record's file."""
    return load_record(path, expect=None, tensors=False).content


def tamper(path: Path, **changes: Any) -> None:
    """Change what the JSON in a record's file says; an ellipsis takes an entry out."""
    content, tensors, _ = load_record(path, expect=None)
    content = {k: v for k, v in {**content, **changes}.items() if v is not ...}
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    safetensors.torch.save_file(tensors, path, {"lefs": json.dumps(content)})
