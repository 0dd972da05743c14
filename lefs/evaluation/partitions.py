"""What different layers, numbers of clusters and methods make of the same images."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lefs.activations import Hypercolumns, Sample
from lefs.checks import check_choice, check_seeds
from lefs.clustering import SphericalKMeans, assign
from lefs.factorization import non_negative_weights
from lefs.generator import Generator

__all__ = ["compare_partitions", "explained_share", "layers_to_compare", "sample_vectors"]


def sample_vectors(
    generator: Generator,
    seeds: Iterable[int],
    *,
    layer: str,
    truncation: float = 1.0,
    random_state: int = 0,
    batch_size: int | None = None,
    max_vectors: int = 65_536,
) -> Tensor:
    """Activation vectors as `lefs.dissect` clusters them: (n, C); `max_vectors` or one per image.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> lefs.evaluation.sample_vectors(generator, range(4), layer="b16.conv1", max_vectors=100).shape[0]
    100
    """
    sample = Sample(generator, seeds, truncation=truncation, batch_size=batch_size, progress=False)
    return sample.vectors(layer, max_vectors=max_vectors, random_state=random_state)


def layers_to_compare(generator: Generator) -> list[str]:
    """Every other convolution whose maps are from 8 to 64 positions wide; the default layer if there is none.

    Returns
    -------
    names of layers, from coarse to fine

    Examples
    --------
    >>> import lefs
    >>> lefs.evaluation.layers_to_compare(lefs.load("portraits-64"))[0]
    'b8.conv1'
    """
    wide = [la.name for la in generator.layers if la.kind == "conv" and 8 <= la.fineness <= 64]
    return wide[::2] or [generator.default_layer]


def compare_partitions(
    generator: Generator,
    seeds: Iterable[int],
    *,
    layers: Iterable[str],
    clusters: Iterable[int],
    show: int = 8,
    truncation: float = 1.0,
    random_state: int = 0,
    max_vectors: int = 16_384,
) -> dict[tuple[str, int], Tensor]:
    """What spherical k-means finds at several layers and for several K, on the same images.

    Returns
    -------
    {(layer, K): membership of the first `show` images, (show, K, h, w)}

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> found = lefs.evaluation.compare_partitions(
    ...     generator, range(4), layers=["b16.conv1"], clusters=[3], show=2, max_vectors=200
    ... )
    >>> found["b16.conv1", 3].shape
    torch.Size([2, 3, 16, 16])
    """
    sample, counts = check_seeds(seeds), list(clusters)
    styles = generator.sample(sample[:show], truncation=truncation)
    images, found = Sample(generator, sample, truncation=truncation, progress=False), {}
    for layer in layers:
        vectors = images.vectors(layer, max_vectors=max_vectors, random_state=random_state)
        with torch.inference_mode():
            maps = Hypercolumns.of(layer, generator.layers).read(generator, styles)
        for count in counts:
            kmeans = SphericalKMeans(count, n_init=2, random_state=random_state).fit(vectors)
            found[layer, count] = assign(maps, kmeans.cluster_centers_)
    return found


def explained_share(vectors: Tensor, centers: Tensor, *, method: str) -> float:
    """How much of the vectors' energy Σ ‖x‖² the parts account for, in [0, 1].

    ``"kmeans"`` replaces each vector by its projection on its centre: Σ ‖x‖² cos². ``"nmf"``, which sees the
    positive parts only, replaces those by their best sum of factors: 1 − Σ ‖x − w H‖² / Σ ‖x‖².

    Parameters
    ----------
    vectors : Tensor of shape (n, C)
    centers : Tensor of shape (K, C), unit norm

    Examples
    --------
    >>> import torch
    >>> from lefs.evaluation import explained_share
    >>> vectors = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    >>> explained_share(vectors, torch.tensor([[0.0, 1.0]]), method="kmeans")
    0.64
    """
    check_choice("method", method, ("kmeans", "nmf"))
    x = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    centers = centers.to(x)
    if method == "nmf":
        x = x.clamp_min(0)
        left = float((x - non_negative_weights(x, centers) @ centers).square().sum())
    else:
        left = float((x.square().sum(dim=1) - (x @ centers.t()).amax(dim=1).square()).sum())
    total = float(x.square().sum())
    return 1 - left / total if total > 0 else 0.0
