"""A portrait as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .expression import Expression, sample_expression
from .extras import (
    Beard,
    Earrings,
    Glasses,
    Hat,
    sample_beard,
    sample_earrings,
    sample_glasses,
    sample_hat,
)
from .features import Brows, Eyes, Mouth, Nose, sample_brows, sample_eyes, sample_mouth, sample_nose
from .hairstyle import Hair, sample_hair
from .head import Head, sample_head
from .scene import Clothes, Scene, sample_clothes, sample_scene


@dataclass(frozen=True)
class Portrait:
    """Everything that is drawn."""

    scene: Scene
    head: Head
    hair: Hair
    clothes: Clothes
    expression: Expression
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    glasses: Glasses | None
    earrings: Earrings | None
    beard: Beard | None
    hat: Hat | None


def sample_portrait(seed: int) -> Portrait:
    """
    Draw all attributes of one portrait.

    Parameters
    ----------
    seed : int
        Not negative; the same seed always gives the same portrait.

    Returns
    -------
    Portrait
    """
    # a stream for each, so that a change of one does not change all others
    streams = iter(np.random.default_rng(seed).spawn(8))
    scene, head = sample_scene(next(streams)), sample_head(next(streams))
    hair, face = sample_hair(next(streams), head), next(streams)
    expression = sample_expression(face)
    eyes = sample_eyes(face, head, expression)
    brows, nose = sample_brows(face, head, hair, eyes, expression), sample_nose(face, head, eyes)
    mouth = sample_mouth(face, head, nose, expression)
    clothes, extras = sample_clothes(next(streams), head), next(streams)
    glasses, earrings = sample_glasses(extras, head), sample_earrings(extras, hair)
    beard, hat = sample_beard(next(streams), head, hair), sample_hat(next(streams), head, hair)
    if hat is not None:
        hair = hair.under_hat(hat.line)
    return Portrait(
        scene, head, hair, clothes, expression, eyes, brows, nose, mouth, glasses, earrings, beard, hat
    )
