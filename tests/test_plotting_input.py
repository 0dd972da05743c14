"""Figures name what is wrong with what they are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lefs import plotting
from lefs.stylespace import StyleLayer

S = 36
LAYERS = tuple(StyleLayer(f"b{4 * i}.conv1", "conv", (4, 4), 9, slice(9 * i, 9 * i + 9)) for i in range(4))
GOOD = torch.zeros(2, 3, 8, 8)
BAD = {
    "images of a wrong shape": (
        lambda: plotting.image_grid(torch.zeros(2, 8, 8, 3)),
        r"images.*\(N, 3, H, W\)",
    ),
    "no images": (lambda: plotting.image_grid(torch.zeros(0, 3, 8, 8)), "images"),
    "bytes": (
        lambda: plotting.image_grid(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)),
        "images must be float",
    ),
    "NaN": (lambda: plotting.image_grid(GOOD * torch.nan), "NaN"),
    "titles": (lambda: plotting.image_grid(GOOD, titles=["one"]), "titles must be 2 strings"),
    "columns": (lambda: plotting.image_grid(GOOD, columns=0), "columns"),
    "opacity": (
        lambda: plotting.membership_overlays(GOOD, torch.ones(2, 1, 4, 4), opacity=2),
        "opacity",
    ),
    "membership of others": (
        lambda: plotting.membership_overlays(GOOD, torch.ones(3, 1, 4, 4)),
        "membership must describe the 2 images",
    ),
    "names": (
        lambda: plotting.membership_overlays(GOOD, torch.ones(2, 2, 4, 4), names=["one"]),
        "names must be 2",
    ),
    "parts": (
        lambda: plotting.membership_overlays(GOOD, torch.ones(2, 2, 4, 4), names={"a": (0,)}),
        "names must cover",
    ),
    "no memberships": (lambda: plotting.overlay_grid(GOOD, {}), "memberships is empty"),
    "mixed keys": (lambda: plotting.overlay_grid(GOOD, {"a": 1, ("b", 2): 1}), "pairs"),
    "no scores": (lambda: plotting.stability_curve({}), "scores is empty"),
    "chosen": (lambda: plotting.stability_curve({4: [1.0]}, chosen=5), "chosen must be one of"),
    "contributions": (lambda: plotting.contribution_heatmap(np.ones(3)), "contributions must be"),
    "confusion": (
        lambda: plotting.confusion(-np.eye(2), ["a", "b"], ["c", "d"]),
        "matrix must not be negative",
    ),
    "most": (lambda: plotting.confusion(np.eye(2), ["a", "b"], ["c", "d"], most=0), "most must be"),
    "labels": (lambda: plotting.confusion(np.eye(2), ["a"], ["c", "d"]), "clusters must be 2 strings"),
    "negative change": (
        lambda: plotting.edit_strip(*GOOD, GOOD[0], -np.ones((8, 8))),
        "change must not be negative",
    ),
    "no edits": (lambda: plotting.transfer_grid(GOOD[0], GOOD, {}), "edits is empty"),
    "too few edits": (lambda: plotting.transfer_grid(GOOD[0], GOOD, {"a": GOOD[:1]}), "edits.*2 images"),
    "change of nothing": (
        lambda: plotting.comparison_strip({"a": GOOD[0]}, changes={"b": np.ones((8, 8))}),
        "choose from: a",
    ),
    "words": (lambda: plotting.filmstrip(GOOD, [1.0, "2"], label="x"), "values must be a number, got '2'"),
    "steps": (lambda: plotting.path_strips({"a": GOOD}, [1.0, "2"]), "amounts must be a number, got '2'"),
    "values": (lambda: plotting.filmstrip(GOOD, [1.0], label="x"), "values must hold 2"),
    "q": (lambda: plotting.query_profile(np.ones(3), np.ones(S), LAYERS), "q must hold 36 values"),
    "epsilon": (
        lambda: plotting.query_profile(np.ones(S), np.ones(S), LAYERS, epsilon=[1.0, 2.0]),
        "epsilon must be one budget or 4",
    ),
    "no table": (lambda: plotting.locality_bars([]), "Locality"),
    "count": (lambda: plotting.cluster_colors(0), "count"),
    "axes": (lambda: plotting.sum_to_one(np.ones((2, 3)) / 2, ax="here"), "ax must be a matplotlib Axes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    call, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()
