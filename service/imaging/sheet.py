"""A white sheet on which pictures, texts, bars and dots are laid at places in px."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from service.imaging import colormaps
from service.imaging.painting import resize_map
from service.imaging.text import printable, shortened

Pixels = NDArray[np.uint8]
Place = tuple[float, float]
# Dots are drawn so many times larger and averaged down: Pillow's have no smooth edges of their own.
_OVERSAMPLING = 4
# The most of a picture that the brightest cell of a map hides.
GLOW = 0.72


class Sheet:
    """A white picture (`height`, `width`) px; places are (left, top)."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), "white")
        self._draw = ImageDraw.Draw(self._image)

    def pixels(self) -> Pixels:
        """What was drawn, (H, W, 3) uint8 RGB."""
        return np.asarray(self._image)

    def text(self, at: Place, text: str, size_px: int, colour: str, most_px: float | None = None) -> float:
        """A line of text whose vertical middle is at the place; where it is wider than `most_px` it ends in …. Gives
        its width in px."""
        font = ImageFont.load_default(size_px)
        text = printable(text)
        text = text if most_px is None else shortened(text, most_px, font.getlength)
        self._draw.text(at, text, colour, font, anchor="lm")
        return float(font.getlength(text))

    def box(self, corners: tuple[float, float, float, float], colour: str) -> None:
        """A filled box from (left, top) to (right, bottom), the latter left out."""
        left, top, right, bottom = (round(corner) for corner in corners)
        self._draw.rectangle((left, top, right - 1, bottom - 1), colour)

    def dot(self, centre: Place, radius: float, colour: str) -> None:
        """A filled circle that lets half of what is below shine through."""
        side = 2 * round(radius + 1)
        mask = Image.new("L", (side * _OVERSAMPLING, side * _OVERSAMPLING))
        ImageDraw.Draw(mask).circle((side * _OVERSAMPLING / 2,) * 2, radius * _OVERSAMPLING, 128)
        corner = (round(centre[0] - side / 2), round(centre[1] - side / 2))
        self._image.paste(colour, corner, mask.reduce(_OVERSAMPLING))

    def picture(self, at: Place, picture: Pixels) -> None:
        """A picture (h, w, 3) uint8 RGB whose left top corner is at the place."""
        self._image.paste(Image.fromarray(picture), (round(at[0]), round(at[1])))


def sized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """A picture (h, w, 3) uint8 RGB at a size (H, W): averaged where it shrinks, bicubic where it grows."""
    if picture.shape[:2] == size:
        return picture
    shrinks = picture.shape[0] * picture.shape[1] > size[0] * size[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size[::-1], interpolation=method), np.uint8)


def glowing(picture: Pixels, values: NDArray[np.float32], largest: float) -> Pixels:
    """A picture (h, w, 3) over which a map (h', w') >= 0 glows: it hides the more of it the nearer it is to `largest`,
    and nothing where it is 0."""
    share = np.clip(resize_map(values, (picture.shape[0], picture.shape[1])) / max(largest, 1e-12), 0, 1)
    colours = colormaps.apply_levels(np.rint(255 * (0.35 + 0.65 * share)).astype(np.uint8), "inferno")
    hidden = (GLOW * share)[..., None]
    return np.asarray(np.rint(picture * (1 - hidden) + colours * hidden), np.uint8)
