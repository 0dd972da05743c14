"""Figures from images, arrays and catalogs; none of these functions runs a model.

Every function returns a `matplotlib.figure.Figure` that pyplot does not know: as the last value of a cell it
is shown once, and nothing keeps it in memory. Functions of one panel also draw into given axes (``ax=``).
"""

from lefs.plotting.comparison import part_leak_matrix, tradeoff_curves, tuning_curve
from lefs.plotting.contributions import contribution_heatmap, layer_profile, strongest_channels, sum_to_one
from lefs.plotting.edits import comparison_strip, edit_strip, filmstrip, transfer_grid
from lefs.plotting.factors import agreement_dots, factor_maps, soft_overlays
from lefs.plotting.grids import image_grid, membership_overlays, overlay_grid, similarity_colors
from lefs.plotting.measures import confusion, locality_bars, stability_curve, tradeoff
from lefs.plotting.paths import contrast_curves, path_strips
from lefs.plotting.queries import query_profile
from lefs.plotting.style import cluster_colors
from lefs.plotting.units import agreement_profile, concept_counts, dose_curves, unit_gallery

__all__ = [
    "agreement_dots",
    "agreement_profile",
    "cluster_colors",
    "comparison_strip",
    "concept_counts",
    "confusion",
    "contrast_curves",
    "contribution_heatmap",
    "dose_curves",
    "edit_strip",
    "factor_maps",
    "filmstrip",
    "image_grid",
    "layer_profile",
    "locality_bars",
    "membership_overlays",
    "overlay_grid",
    "part_leak_matrix",
    "path_strips",
    "query_profile",
    "similarity_colors",
    "soft_overlays",
    "stability_curve",
    "strongest_channels",
    "sum_to_one",
    "tradeoff",
    "tradeoff_curves",
    "transfer_grid",
    "tuning_curve",
    "unit_gallery",
]
