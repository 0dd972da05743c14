"""Figures from images, arrays and catalogs; none of these functions runs a model.

Every function returns a `matplotlib.figure.Figure` that pyplot does not know: as the last value of a cell it
is shown once, and nothing keeps it in memory. Figures stand on white paper in dark themes too: the colour
maps begin at white. Functions of one panel also draw into given axes (``ax=``), which they then return, as
seaborn's do. Settings of matplotlib that you have changed are yours, but for colours.
"""

from lefs.plotting.arrays import similarity_colors
from lefs.plotting.heatmaps import (
    concept_counts,
    confusion,
    contribution_heatmap,
    part_leak_matrix,
    strongest_channels,
)
from lefs.plotting.overlays import factor_maps, membership_overlays, overlay_grid, soft_overlays
from lefs.plotting.pictures import (
    comparison_strip,
    edit_strip,
    filmstrip,
    image_grid,
    path_strips,
    transfer_grid,
    unit_gallery,
)
from lefs.plotting.plots import agreement_dots, agreement_profile, dose_curves, stability_curve
from lefs.plotting.profiles import layer_profile, query_profile, sum_to_one
from lefs.plotting.style import cluster_colors
from lefs.plotting.tradeoffs import contrast_curves, locality_bars, tradeoff_curves, tuning_curve

__all__ = [
    "agreement_dots", "agreement_profile", "cluster_colors", "comparison_strip", "concept_counts",
    "confusion", "contrast_curves", "contribution_heatmap", "dose_curves", "edit_strip", "factor_maps",
    "filmstrip", "image_grid", "layer_profile", "locality_bars", "membership_overlays", "overlay_grid",
    "part_leak_matrix", "path_strips", "query_profile", "similarity_colors", "soft_overlays",
    "stability_curve", "strongest_channels", "sum_to_one", "tradeoff_curves", "transfer_grid", "tuning_curve",
    "unit_gallery",
]  # fmt: skip
