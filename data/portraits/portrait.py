"""A portrait: all that is drawn, and the order in which it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from beard import Beard, draw_beard, sample_beard
from expression import Expression, sample_expression
from eyes import draw_brows, draw_eyes
from face import draw_ears, draw_nose, draw_skin
from garments import draw_clothes, draw_hood
from glasses import SHARE_WITH_GLASSES, Glasses, draw_glasses, sample_glasses
from hair import draw_back_hair, draw_front_hair, draw_shoulder_hair
from hairstyle import Hair, sample_hair
from hat import Hat, draw_hat, sample_hat
from head import (
    Brows,
    Eyes,
    Head,
    Mouth,
    Nose,
    sample_brows,
    sample_eyes,
    sample_head,
    sample_mouth,
    sample_nose,
)
from jewellery import Earrings, draw_earrings, sample_earrings
from mouth import draw_mouth
from pen import Pen
from scene import Clothes, Scene, sample_clothes, sample_scene
from surroundings import draw_background, draw_neck


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
    glasses = sample_glasses(extras, head) if extras.random() < SHARE_WITH_GLASSES else None
    earrings = sample_earrings(extras, hair)
    beard, hat = sample_beard(next(streams), head, hair), sample_hat(next(streams), head, hair)
    if hat is not None:
        hair = hair.under_hat(hat.line)
    return Portrait(
        scene, head, hair, clothes, expression, eyes, brows, nose, mouth, glasses, earrings, beard, hat
    )


def draw_portrait(pen: Pen, portrait: Portrait) -> None:
    """Draw everything, from back to front."""
    head = portrait.head
    pose = (128 + head.x, 123 + head.y)
    draw_background(pen, portrait.scene)
    with pen.placed(*pose, degrees=head.tilt, scale=(head.scale, head.scale)):
        draw_back_hair(pen, portrait)
    draw_hood(pen, portrait)
    draw_neck(pen, portrait)
    draw_clothes(pen, portrait)
    with pen.placed(*pose, degrees=head.tilt, scale=(head.scale, head.scale)):
        draw_head(pen, portrait)


def draw_head(pen: Pen, portrait: Portrait) -> None:
    """Draw what is in front of the neck, in the coordinates of the head."""
    behind = (draw_shoulder_hair, draw_ears, draw_earrings, draw_skin, draw_nose, draw_beard)
    for draw in (*behind, draw_mouth, draw_eyes, draw_brows, draw_front_hair, draw_hat):
        draw(pen, portrait)
    if portrait.glasses is not None:
        draw_glasses(pen, portrait, portrait.glasses)
