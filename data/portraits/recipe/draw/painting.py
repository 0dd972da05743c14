"""The order in which a portrait is drawn: from back to front."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .beard import draw_beard
from .choices.head import Head
from .choices.portrait import Portrait
from .eyes import draw_brows, draw_eyes
from .face import draw_ears, draw_nose, draw_skin
from .garments import draw_clothes, draw_hood
from .glasses import draw_glasses
from .hair import draw_back_hair, draw_front_hair, draw_shoulder_hair
from .hat import draw_hat
from .jewellery import draw_earrings
from .mouth import draw_mouth
from .pen import Pen
from .surroundings import draw_background, draw_neck

HEAD = (
    draw_shoulder_hair, draw_ears, draw_earrings, draw_skin, draw_nose, draw_beard, draw_mouth, draw_eyes,
    draw_brows, draw_front_hair, draw_hat, draw_glasses,
)  # fmt: skip
"""What is in front of the neck, from back to front."""


def draw_portrait(pen: Pen, portrait: Portrait) -> None:
    """Draw everything but the light."""
    head = portrait.head
    draw_background(pen, portrait.scene)
    with _posed(pen, head):
        draw_back_hair(pen, portrait)
    for draw in (draw_hood, draw_neck, draw_clothes):
        draw(pen, portrait)
    with _posed(pen, head):
        for draw in HEAD:
            draw(pen, portrait)


def _posed(pen: Pen, head: Head) -> AbstractContextManager[None]:
    """In the coordinates of the head."""
    return pen.placed(128 + head.x, 123 + head.y, degrees=head.tilt, scale=(head.scale, head.scale))
