"""What a pixel can show: the numbers in a mask, fine as the drawing goes, and how they are grouped."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

CANVAS = 256
"""Side of the canvas that all lengths refer to."""

SIDES = (-1, 1)
"""Of the picture: left, right."""


class Part(IntEnum):
    """What a pixel shows: the numbers in a mask. Left and right are the depicted person's own."""

    BACKGROUND = 0
    HAIR = 1
    FACE = 2
    NECK = 3
    LEFT_EYE = 4
    RIGHT_EYE = 5
    LEFT_IRIS = 6
    RIGHT_IRIS = 7
    LEFT_BROW = 8
    RIGHT_BROW = 9
    NOSE = 10
    UPPER_LIP = 11
    LOWER_LIP = 12
    TEETH = 13
    CLOTHES = 14
    GLASSES = 15
    LEFT_EAR = 16
    RIGHT_EAR = 17
    BEARD = 18
    HAT = 19
    EARRINGS = 20


PARTS: tuple[str, ...] = tuple(part.name.lower() for part in Part)
"""Names of the fine parts; their positions are the numbers in the masks."""

GROUPS: dict[str, tuple[Part, ...]] = {
    "background": (Part.BACKGROUND,),
    "hair": (Part.HAIR,),
    "skin": (Part.FACE, Part.NECK),
    "eyes": (Part.LEFT_EYE, Part.RIGHT_EYE, Part.LEFT_IRIS, Part.RIGHT_IRIS),
    "brows": (Part.LEFT_BROW, Part.RIGHT_BROW),
    "nose": (Part.NOSE,),
    "mouth": (Part.UPPER_LIP, Part.LOWER_LIP, Part.TEETH),
    "clothes": (Part.CLOTHES,),
    "glasses": (Part.GLASSES,),
    "ears": (Part.LEFT_EAR, Part.RIGHT_EAR),
    "beard": (Part.BEARD,),
    "hat": (Part.HAT,),
    "earrings": (Part.EARRINGS,),
}
"""The coarse parts, and which fine ones each of them holds."""

MIRRORED = np.array(
    [Part[part.name.replace("LEFT", "?").replace("RIGHT", "LEFT").replace("?", "RIGHT")] for part in Part],
    dtype=np.uint8,
)
"""The number of each part in a mirrored picture."""

COARSE = np.zeros(len(Part), np.uint8)
"""The number of each part's group."""
for _number, _members in enumerate(GROUPS.values()):
    COARSE[list(_members)] = _number
