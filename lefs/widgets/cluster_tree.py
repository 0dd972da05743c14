"""Clusters in the order of their likeness, and the tree that says how alike they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from torch.nn.functional import normalize

__all__ = ["likeness_tree"]


def likeness_tree(centers: torch.Tensor) -> dict[str, Any]:
    """The average-linkage tree of the cosine distances of centres (K, C), as `Picture.tree` draws it.

    Returns
    -------
    dict
        ``"order"``: the clusters from left to right; ``"joins"``: of each branch its first and last leaf, its
        height as a share of the whole tree's, and the places and heights of the two that it joins.
    """
    unit = normalize(centers.detach().cpu().double(), dim=1).numpy()
    distances = np.clip(1 - unit @ unit.T, 0, None)
    np.fill_diagonal(distances, 0)
    links = linkage(squareform(distances, checks=False), "average") if len(unit) > 1 else np.zeros((0, 4))
    order = leaves_list(links).tolist() if len(unit) > 1 else [0]
    nodes: list[tuple[int, int, float, float]] = [(p, p, float(p), 0.0) for p in np.argsort(order).tolist()]
    top, joins = max(links[:, 2].max(initial=0), 1e-12), []
    for first, second, distance, _ in links:
        left, right = sorted((nodes[int(first)], nodes[int(second)]))
        height = float(distance / top)
        joins.append((left[0], right[1], height, left[2], right[2], left[3], right[3]))
        nodes.append((left[0], right[1], (left[2] + right[2]) / 2, height))
    return {"order": order, "joins": joins}
