"""The mouth."""

from __future__ import annotations

import math

import skia

from .choices.features import Mouth
from .choices.head import Head
from .choices.portrait import Portrait
from .parts import Part
from .pen import Pen, curve, oval

INSIDE, ENAMEL, TONGUE = (92, 26, 34), (252, 249, 243), (214, 98, 104)


def draw_mouth(pen: Pen, portrait: Portrait) -> None:
    """Lips, and between them teeth when the mouth is open."""
    mouth, head = portrait.mouth, portrait.head
    shape = _Shape(mouth, head)
    with pen.placed(head.across(0, 1.2), mouth.y, degrees=mouth.tilt):
        pen.fill(oval(0, shape.bottom + 3, mouth.width * 0.55, 3.5), head.shadow, alpha=70)
        pen.fill(shape.lips(), mouth.color * 1.06 + 5, Part.LOWER_LIP)
        pen.fill(shape.upper_lip(), mouth.color * 0.84, Part.UPPER_LIP)
        if mouth.opening > 0:
            _draw_inside(pen, shape, mouth)
        else:
            pen.stroke(shape.slit(), mouth.color * 0.45, 1.9)
        gloss = oval(3 * portrait.scene.light, shape.bottom - mouth.lip * 0.6, mouth.width * 0.3, 1.9)
        pen.fill(gloss, (255, 232, 230), alpha=95)


def _draw_inside(pen: Pen, shape: _Shape, mouth: Mouth) -> None:
    pen.fill(shape.inside(), INSIDE, Part.TEETH)
    with pen.clipped(shape.inside()):
        if mouth.opening > 8:
            pen.fill(oval(0, shape.lower + 1, mouth.width * 0.55, mouth.opening * 0.42), TONGUE)
        # a round, astonished mouth hides most of the teeth
        pen.fill(shape.teeth(0.3 if shape.round else 0.62), ENAMEL)


class _Shape:
    """Curves of a mouth about its own middle; parabolas, or half ovals; the side turned away is narrower."""

    def __init__(self, mouth: Mouth, head: Head) -> None:
        self.round = mouth.opening > 0 and mouth.smile < 1  # astonished
        self.lip, self.corner = mouth.lip, -mouth.smile
        self.left, self.right = (mouth.width * head.squeeze(side * mouth.width * 0.6) for side in (-1, 1))
        self.upper = (-0.5 if self.round else -0.2) * mouth.opening  # middle of the edge of the upper lip
        self.lower = (0.8 if self.round else 0.9) * mouth.opening
        self.bottom = self.lower + 1.2 * mouth.lip

    def lips(self) -> skia.Path:
        right, left, end = self.right, self.left, self.corner
        bottom, cheek = self.bottom, self._at(self.lower, 0.6) + self.lip * 0.9
        near, far = (0.62, 1.12) if self.round else (0.45, 0.82)
        below = (right * far, cheek, right * near, bottom, 0, bottom)
        back = (-left * near, bottom, -left * far, cheek, -left - 2, end)
        return curve((-left - 2, end), *self._bow(), below, back)

    def upper_lip(self) -> skia.Path:
        return curve((-self.left - 2, self.corner), *self._bow(), self._edge(self.upper))

    def inside(self) -> skia.Path:
        return curve((-self.left, self.corner), self._edge(self.upper, back=False), self._edge(self.lower))

    def teeth(self, share: float) -> skia.Path:
        end = self.upper + share * (self.lower - self.upper)
        return curve((-self.left, self.corner), self._edge(self.upper - 2, back=False), self._edge(end))

    def slit(self) -> skia.Path:
        return curve((-self.left, self.corner), self._edge(self.upper, back=False), closed=False)

    def _at(self, middle: float, share: float) -> float:
        """Height of the curve through both corners, `share` of the way from the middle to one."""
        if self.round:
            return middle + (self.corner - middle) * (1 - math.sqrt(1 - share**2))
        return middle + (self.corner - middle) * share**2

    def _edge(self, middle: float, *, back: bool = True) -> tuple[float, ...]:
        if self.round:
            beyond = middle * 4 / 3
            ends = (self.right, -self.left) if back else (-self.left, self.right)
            return (ends[0], beyond, ends[1], beyond, ends[1], self.corner)
        # the control point of a parabola lies as far beyond its middle as that is beyond the corners
        between = (self.right - self.left) / 2
        return (between, 2 * middle - self.corner, -self.left if back else self.right, self.corner)

    def _bow(self) -> list[tuple[float, ...]]:
        """Upper edge of the upper lip, from the left corner to the right one."""
        left, right, lip = self.left, self.right, self.lip
        peak, notch = self._at(self.upper, 0.2) - lip * 1.14, self.upper - lip * 0.8
        slope = self._at(self.upper, 0.55) - lip * 1.2
        return [
            (-left * 0.55, slope, -left * 0.2, peak),
            (0, notch, right * 0.2, peak),
            (right * 0.55, slope, right + 2, self.corner),
        ]
