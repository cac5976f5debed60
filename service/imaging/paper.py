"""Paper: a white picture that is drawn on in smooth lines and text."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

INK = "#333333"
TEXT_PX, LINE_PX = 11, 18
# Drawn larger and averaged down: Pillow's lines have no smooth edges of their own.
OVERSAMPLING = 4


class Paper:
    """A white picture addressed in final pixels, drawn `OVERSAMPLING` times larger."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._image = Image.new("RGB", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), "white")
        self._draw = ImageDraw.Draw(self._image)

    def pixels(self) -> npt.NDArray[np.uint8]:
        return np.asarray(self._image.reduce(OVERSAMPLING))

    def width(self, text: str, size_px: int = TEXT_PX) -> float:
        return _font(size_px).getlength(text) / OVERSAMPLING

    def line(self, points: list[tuple[float, float]], colour: str, thickness: float) -> None:
        """A polyline; a single point becomes a dot."""
        large = [(px * OVERSAMPLING, py * OVERSAMPLING) for px, py in points]
        if len(large) == 1:
            self._draw.circle(large[0], thickness * OVERSAMPLING, colour)
        else:
            self._draw.line(large, colour, round(thickness * OVERSAMPLING), joint="curve")

    def bar(self, box: tuple[float, float, float, float], colour: str) -> None:
        """A filled rectangle of (left, top, right, bottom)."""
        left, top, right, bottom = (px * OVERSAMPLING for px in box)
        self._draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), colour)

    def picture(self, at: tuple[int, int], pixels: npt.NDArray[np.uint8]) -> None:
        """A small picture (h, w, 3) with its corner at (left, top)."""
        large = Image.fromarray(pixels)
        size = (large.width * OVERSAMPLING, large.height * OVERSAMPLING)
        self._image.paste(large.resize(size, Image.Resampling.NEAREST), (at[0] * OVERSAMPLING, at[1] * OVERSAMPLING))

    def text(self, at: tuple[float, float], text: str, anchor: str, size_px: int = TEXT_PX, colour: str = INK) -> None:
        self._draw.text((at[0] * OVERSAMPLING, at[1] * OVERSAMPLING), text, colour, _font(size_px), anchor=anchor)

    def text_upwards(self, centre: tuple[float, float], text: str) -> None:
        mask = Image.new("L", (ceil(self.width(text)) * OVERSAMPLING + 4, LINE_PX * OVERSAMPLING))
        ImageDraw.Draw(mask).text((mask.width // 2, mask.height // 2), text, 255, _font(TEXT_PX), anchor="mm")
        mask = mask.transpose(Image.Transpose.ROTATE_90)
        corner = (
            round(centre[0] * OVERSAMPLING - mask.width / 2),
            round(centre[1] * OVERSAMPLING - mask.height / 2),
        )
        self._image.paste(INK, corner, mask)


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px * OVERSAMPLING)
