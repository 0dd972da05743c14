"""Paths through the whole latent space: principal (GANSpace) and closed-form (SeFa) directions, style mixing.

The maps from w to the styles σ are affine, so that a straight path in w is a straight path in σ, exactly:
σ(w + t v) = σ(w) + t A v. A direction is therefore kept as what it does to the S style channels. There it can
also be confined to a part, channel by channel, by the query that the part's edits use: σ + t · q ⊙ (A v).
"""

from lefs.directions.direction import Direction, Directions, move, walk
from lefs.directions.finding import closed_form_directions, principal_directions, style_matrix
from lefs.directions.ranges import RANGES, layer_range, mix, style_mask

__all__ = [
    "RANGES",
    "Direction",
    "Directions",
    "closed_form_directions",
    "layer_range",
    "mix",
    "move",
    "principal_directions",
    "style_mask",
    "style_matrix",
    "walk",
]
