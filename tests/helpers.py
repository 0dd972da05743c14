"""Small networks and catalogs to test with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lefs import Catalog, StyleGAN2, StyleGAN2Config
from lefs.catalog import GeneratorId, Sampling
from lefs.generators import Generator, StyleLayer


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
    network.label = "lively"
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
        generator=GeneratorId(generator.fingerprint, generator.label),
        sampling=Sampling((0, 1), 1.0, 0),
    ).named(names or [f"cluster {k}" for k in range(count)])


def by_layer(layers: Sequence[StyleLayer], styles: Tensor) -> dict[str, Tensor]:
    return {layer.name: styles[:, layer.slice] for layer in layers}
