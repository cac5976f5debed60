"""Many small pictures in one: the channels of a layer as tiles, layers below each other."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from service.imaging import colormaps
from service.imaging.text import printable, shortened

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Normalisation = Literal["standard", "minmax", "shared"]

_BLACK = (0, 0, 0)
_TITLE_SIZE_PX = 13
_TITLE_HEIGHT_PX = 24
_TITLE_INDENT_PX = 6
_CAPTION_SIZE_PX = 11
_CAPTION_HEIGHT_PX = 16
# A narrow grid is widened this far for the sake of its title.
_TITLE_WIDTH_PX = 400


def normalise(maps: npt.NDArray[np.floating], how: Normalisation) -> Pixels:
    """Feature maps (H, W, C) as grey levels, uint8 of the same shape; a constant is 128, never NaN.

    `standard`: (x - mean) / std * 64 + 128 of each channel, clipped. `minmax`: each channel from 0 to 255.
    `shared`: one range for all channels. Raises `ValueError` for NaN or infinity.
    """
    values = maps.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("the feature maps hold NaN or infinity")
    axes = (0, 1, 2) if how == "shared" else (0, 1)
    low, high = values.min(axes, keepdims=True), values.max(axes, keepdims=True)
    constant = low == high
    if how == "standard":
        spread = np.where(constant, 1, values.std(axes, keepdims=True))
        levels = (values - values.mean(axes, keepdims=True)) / spread * 64 + 128
    else:
        levels = (values - low) / np.where(constant, 1, high - low) * 255
    grey: Pixels = np.rint(np.clip(np.where(constant, 128, levels), 0, 255)).astype(np.uint8)
    return grey


def grid(
    tiles: Pixels | Sequence[Pixels],
    *,
    colormap: str = "viridis",
    per_row: int = 16,
    margin: int = 1,
    background: Colour = _BLACK,
    title: str | None = None,
    captions: Sequence[str] | None = None,
    min_tile_px: int = 32,
    max_px: int = 24_000_000,
) -> Pixels:
    """Tiles row by row, `margin` pixels apart and from the edge: (H', W', 3) uint8 RGB.

    `tiles` is (H, W, C) uint8 grey, coloured by `colormap`, or a list of (H, W, 3) uint8 RGB of one size. Small tiles
    are enlarged by a whole factor to about `min_tile_px`; all are shrunk where the picture would pass `max_px` pixels.
    `captions` are lines of text, one below each tile.
    Raises `ValueError` for no tile, tiles of several sizes, an unknown colormap.
    """
    pictures = _coloured(tiles, colormap)
    count, height, width = pictures.shape[:3]
    columns = min(per_row, count)
    rows = ceil(count / columns)
    if rows * columns > max_px:
        raise ValueError(f"{count} tiles do not fit into {max_px} pixels")
    height, width, margin = _tile_size(height, width, margin, rows, columns, min_tile_px, max_px)
    line = _CAPTION_HEIGHT_PX if captions else 0
    pitch = height + margin + line
    canvas = np.full((rows * pitch + margin, columns * (width + margin) + margin, 3), background, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (margin + (index // columns) * pitch, margin + (index % columns) * (width + margin))
        canvas[top : top + height, left : left + width] = _resized(picture, height, width)
        if captions:
            strip = _text(captions[index], width, line, _CAPTION_SIZE_PX, background, centred=True)
            canvas[top + height : top + height + line, left : left + width] = strip
    return canvas if title is None else stack([_title(title, canvas.shape[1], background), canvas], 0, background)


def stack(pictures: Sequence[Pixels], gap: int = 8, background: Colour = _BLACK) -> Pixels:
    """Pictures (H, W, 3) uint8 RGB below each other, `gap` pixels apart, left-aligned: one (H', W', 3) uint8 RGB."""
    width = max(picture.shape[1] for picture in pictures)
    height = sum(picture.shape[0] for picture in pictures) + gap * (len(pictures) - 1)
    canvas = np.full((height, width, 3), background, np.uint8)
    top = 0
    for picture in pictures:
        canvas[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0] + gap
    return canvas


def _coloured(tiles: Pixels | Sequence[Pixels], colormap: str) -> Pixels:
    """All tiles as one (C, H, W, 3) uint8 RGB array."""
    if isinstance(tiles, np.ndarray):
        if tiles.size == 0:
            raise ValueError("there is no tile")
        return colormaps.apply_levels(np.moveaxis(tiles, 2, 0), colormap)
    if len({tile.shape for tile in tiles}) != 1:
        raise ValueError("the tiles are of several sizes" if tiles else "there is no tile")
    return np.stack(tiles)


def _tile_size(
    height: int, width: int, margin: int, rows: int, columns: int, min_tile_px: int, max_px: int
) -> tuple[int, int, int]:
    """Height and width of a tile and the margin, such that the picture has at most `max_px` pixels."""

    def total(height: int, width: int, margin: int) -> int:
        return (rows * (height + margin) + margin) * (columns * (width + margin) + margin)

    factor = max(1, round(min_tile_px / max(height, width)))
    while factor > 1 and total(height * factor, width * factor, margin) > max_px:
        factor -= 1
    height, width = height * factor, width * factor
    if total(height, width, margin) > max_px and total(1, 1, margin) > max_px:
        margin = 0
    while total(height, width, margin) > max_px:
        shrink = min(0.99, sqrt(max_px / total(height, width, margin)))
        height, width = max(1, int(height * shrink)), max(1, int(width * shrink))
    return height, width, margin


def _resized(picture: Pixels, height: int, width: int) -> Pixels:
    if picture.shape[:2] == (height, width):
        return picture
    method = cv2.INTER_NEAREST if height > picture.shape[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def _title(text: str, width: int, background: Colour) -> Pixels:
    """A strip with one line of text, (24, at least `width`, 3) uint8 RGB, shortened with … where it is too long."""
    wanted = ceil(ImageFont.load_default(_TITLE_SIZE_PX).getlength(printable(text))) + 2 * _TITLE_INDENT_PX
    width = max(width, min(wanted, _TITLE_WIDTH_PX))
    return _text(text, width, _TITLE_HEIGHT_PX, _TITLE_SIZE_PX, background)


def _text(text: str, width: int, height: int, size_px: int, background: Colour, *, centred: bool = False) -> Pixels:
    """A strip (`height`, `width`, 3) uint8 RGB with one line of text, shortened with … where it is too long."""
    font = ImageFont.load_default(size_px)
    indent = 0 if centred else _TITLE_INDENT_PX
    text = shortened(printable(text), width - 2 * indent, font.getlength)
    strip = Image.new("RGB", (width, height), background)
    ink = "#f2f2f2" if sum(background) < 384 else "#1a1a1a"
    at = (width // 2 if centred else indent, height // 2)
    ImageDraw.Draw(strip).text(at, text, ink, font, anchor="mm" if centred else "lm")
    return np.asarray(strip)
