"""GAN Dissection (Bau et al., ICLR 2019): what single units stand for, and what they cause.

Works on any generator, with styles or without, and any segmenter: a function of images (N, 3, H, W) that
returns labels (N, H, W), or a `lefs.Catalog`, whose parts are then the concepts.

- `characterize`: thresholds, IoU of every unit with every concept, mean levels → `UnitDissection`
- `ablate`, `insert`: images with units switched off or on, at painted positions
- `causal_effects`, `dose_curve`: pixels that come and go, with bootstrap intervals; `optimize_units`: a set
  of units chosen for its effect
- `channel_effects`: what each style channel changes when it alone is moved, to be held against contributions
"""

from lefs.units.causal import CausalEffect, causal_effects, causal_table, dose_curve
from lefs.units.channels import Agreement, ChannelEffects, agreement, channel_effects, misleading_channels
from lefs.units.characterization import characterize, strongest_images, usable
from lefs.units.interventions import ablate, cells_of, insert, pixels_of, replacement, unit_layers
from lefs.units.optimize import optimize_units, rankings
from lefs.units.unit_dissection import UnitDissection

__all__ = [
    "Agreement", "CausalEffect", "ChannelEffects", "UnitDissection", "ablate", "agreement",
    "causal_effects", "causal_table", "cells_of", "channel_effects", "characterize", "dose_curve",
    "insert", "misleading_channels", "optimize_units", "pixels_of", "rankings", "replacement",
    "strongest_images", "unit_layers", "usable",
]  # fmt: skip
