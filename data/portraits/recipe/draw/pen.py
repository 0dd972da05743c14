"""A pen that draws colours on one canvas and part numbers on another, with the same transformation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import skia
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Point = tuple[float, float]
Ink: TypeAlias = ArrayLike | skia.Shader

SUPERSAMPLING = 4
"""Pixels that are drawn for one of the finished picture, along each side."""


class Pen:
    """
    Draw vector paths as colours (smooth edges) and as part numbers (hard edges).

    Parameters
    ----------
    side : int
        Side of both canvases in pixels.
    units : float
        Side of both canvases in drawing units.
    """

    def __init__(self, side: int, units: float) -> None:
        self._rgba = np.zeros((side, side, 4), np.uint8)
        self._parts = np.zeros((side, side, 4), np.uint8)
        self._units = units
        self._colors, self._labels = self._canvas(self._rgba), self._canvas(self._parts)
        for canvas in (self._colors, self._labels):
            canvas.scale(side / units, side / units)

    @staticmethod
    def _canvas(pixels: NDArray[np.uint8]) -> skia.Canvas:
        return skia.Canvas(pixels, colorType=skia.kRGBA_8888_ColorType)

    @property
    def image(self) -> NDArray[np.uint8]:
        """Colours of shape (side, side, 3), sRGB in [0, 255]."""
        return self._rgba[..., :3]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Part numbers of shape (side, side)."""
        return self._parts[..., 0]

    @property
    def side(self) -> int:
        """Pixels on a side."""
        return len(self._rgba)

    def shrunk(self, factor: int) -> Pen:
        """Average squares of `factor` by `factor` pixels; take the part in the middle of each."""
        small = Pen(self.side // factor, self._units)
        small._rgba[:] = box_downsample(self._rgba, factor)
        small._parts[:] = self._parts[factor // 2 :: factor, factor // 2 :: factor]
        return small

    def cover(self, other: Pen, part: int, *, blur: float) -> None:
        """
        Cover everything with what another pen has drawn, out of focus by `blur` units.

        The side of this one has to be a multiple of `SUPERSAMPLING`; neither place nor clip play a part.
        """
        side = self.side // SUPERSAMPLING
        small = _as_picture(other._blurred(blur)).resize((side, side), Image.Resampling.BICUBIC)
        # squares of the same pixel, since each becomes one pixel in the end: far quicker than a shader
        lines = np.repeat(np.asarray(small).view(np.uint32)[..., 0], SUPERSAMPLING, axis=1)
        self._rgba.view(np.uint32).reshape(side, SUPERSAMPLING, self.side)[:] = lines[:, None]
        self._parts.view(np.uint32)[:] = np.array([part, part, part, 255], np.uint8).view(np.uint32)

    def _blurred(self, sigma: float) -> NDArray[np.uint8]:
        if not sigma:
            return self._rgba
        sigma *= self.side / self._units
        pixels = np.zeros_like(self._rgba)
        sharp = skia.Image.fromarray(self._rgba, skia.kRGBA_8888_ColorType, copy=False)
        lens = skia.ImageFilters.Blur(sigma, sigma, skia.TileMode.kClamp)
        self._canvas(pixels).drawImage(sharp, 0, 0, skia.SamplingOptions(), skia.Paint(ImageFilter=lens))
        return pixels

    @contextmanager
    def placed(
        self, x: float = 0, y: float = 0, *, degrees: float = 0, scale: Point = (1, 1)
    ) -> Iterator[None]:
        """Move, turn and scale what is drawn inside the block."""
        for canvas in (self._colors, self._labels):
            canvas.save()
            canvas.translate(x, y)
            canvas.rotate(degrees)
            canvas.scale(*scale)
        yield
        for canvas in (self._colors, self._labels):
            canvas.restore()

    @contextmanager
    def clipped(self, path: skia.Path) -> Iterator[None]:
        """Keep what is drawn inside the block within a path."""
        for canvas, smooth in ((self._colors, True), (self._labels, False)):
            canvas.save()
            canvas.clipPath(path, smooth)
        yield
        for canvas in (self._colors, self._labels):
            canvas.restore()

    def fill(
        self, path: skia.Path, ink: Ink, part: int | None = None, *, alpha: int = 255, blur: float = 0
    ) -> None:
        """
        Fill a path with a colour or a shader; with `part`, the pixels belong to that part from now on.

        `blur` softens the edge of the colour, in units; the edge of the part stays hard.
        """
        self._draw(path, ink, part, alpha, None, blur)

    def stroke(
        self,
        path: skia.Path,
        ink: Ink,
        width: float,
        part: int | None = None,
        *,
        alpha: int = 255,
        blur: float = 0,
    ) -> None:
        """Follow a path with a round brush of the given width; `blur` as in `fill`."""
        self._draw(path, ink, part, alpha, width, blur)

    def _draw(
        self, path: skia.Path, ink: Ink, part: int | None, alpha: int, width: float | None, blur: float
    ) -> None:
        paint = _colored(_brush(width, smooth=True), ink, alpha)
        if blur:
            paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
        self._colors.drawPath(path, paint)
        if part is not None:
            brush = _brush(width, smooth=False)
            brush.setColor(skia.Color(part, part, part))
            self._labels.drawPath(path, brush)


def box_downsample(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Average squares of `factor` by `factor` pixels of an image (H, W, 3 or 4), rounded half up."""
    picture = Image.fromarray(image) if image.shape[2] == 3 else _as_picture(image)
    return np.asarray(picture.reduce(factor))


def _as_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    # not RGBA: there the colours would be weighted with an opacity that is full everywhere
    height, width, _ = pixels.shape
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)


def _brush(width: float | None, *, smooth: bool) -> skia.Paint:
    paint = skia.Paint(AntiAlias=smooth)
    if width is not None:
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeWidth(width)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
        paint.setStrokeJoin(skia.Paint.kRound_Join)
    return paint


def _colored(paint: skia.Paint, ink: Ink, alpha: int) -> skia.Paint:
    if isinstance(ink, skia.Shader):
        paint.setShader(ink)
        paint.setAlpha(alpha)
    else:
        paint.setColor(_argb(ink, alpha))
    return paint


def _argb(color: ArrayLike, alpha: float = 255) -> int:
    values = np.asarray(color, np.float64)
    red, green, blue = np.clip(values[:3], 0, 255).astype(int).tolist()
    return int(skia.Color(red, green, blue, int(values[3] if values.size == 4 else alpha)))


def curve(start: Point, *steps: tuple[float, ...], closed: bool = True) -> skia.Path:
    """
    Path through points; the length of a step says what it is.

    Parameters
    ----------
    start : (x, y)
    *steps
        (x, y): straight line; (cx, cy, x, y): quadratic; (ax, ay, bx, by, x, y): cubic Bézier curve.
    closed : bool
        Whether the path returns to its start.
    """
    path = skia.Path()
    path.moveTo(*start)
    for step in steps:
        {2: path.lineTo, 4: path.quadTo, 6: path.cubicTo}[len(step)](*step)
    if closed:
        path.close()
    return path


def oval(x: float, y: float, width: float, height: float) -> skia.Path:
    """Ellipse about (x, y) with the given half axes."""
    return skia.Path().addOval(skia.Rect.MakeLTRB(x - width, y - height, x + width, y + height))


def linear(
    start: Point, end: Point, colors: Sequence[ArrayLike], stops: Sequence[float] | None = None
) -> skia.Shader:
    """Colours that change along a line; a fourth component is the opacity in [0, 255]."""
    return skia.GradientShader.MakeLinear([start, end], [_argb(color) for color in colors], stops)


def radial(
    middle: Point, radius: float, colors: Sequence[ArrayLike], stops: Sequence[float] | None = None
) -> skia.Shader:
    """Colours that change with the distance from a point; a fourth component is the opacity in [0, 255]."""
    return skia.GradientShader.MakeRadial(middle, radius, [_argb(color) for color in colors], stops)
