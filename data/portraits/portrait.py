"""A portrait: all that is drawn, and the order in which it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from face import draw_brows, draw_ears, draw_eyes, draw_glasses, draw_mouth, draw_nose, draw_skin
from garments import draw_clothes, draw_hood
from hair import draw_back_hair, draw_front_hair
from hairstyle import Hair, sample_hair
from head import (
    SHARE_WITH_GLASSES,
    Brows,
    Eyes,
    Glasses,
    Head,
    Mouth,
    Nose,
    sample_brows,
    sample_eyes,
    sample_glasses,
    sample_head,
    sample_mouth,
    sample_nose,
)
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
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    glasses: Glasses | None


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
    eyes = sample_eyes(face, head)
    brows, nose = sample_brows(face, head, hair, eyes), sample_nose(face, eyes)
    mouth = sample_mouth(face, head, nose)
    clothes, extras = sample_clothes(next(streams), head), next(streams)
    glasses = sample_glasses(extras) if extras.random() < SHARE_WITH_GLASSES else None
    return Portrait(scene, head, hair, clothes, eyes, brows, nose, mouth, glasses)


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
    for draw in (draw_ears, draw_skin, draw_nose, draw_mouth, draw_eyes, draw_brows, draw_front_hair):
        draw(pen, portrait)
    if portrait.glasses is not None:
        draw_glasses(pen, portrait.head, portrait.eyes, portrait.glasses)
