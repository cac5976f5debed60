"""Maps to pictures: resize, bring to [0, 1], colour, blend, encode."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from service.imaging import colormaps

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Scale = Literal["minmax", "max", "symmetric"]
Region = tuple[float, float, float, float]


def encode_png(image: Pixels, compression: int = 3) -> bytes:
    """A PNG file without metadata of (H, W) grey or (H, W, 3) RGB uint8; `compression` is 0 to 9.

    The same pixels always give the same bytes. Raises `ValueError` for another shape or dtype.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or image.size == 0:
        raise ValueError(f"cannot encode shape {image.shape}, dtype {image.dtype}")
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    # Run lengths only: on photographs a third faster and a tenth smaller than zlib's default strategy.
    options = [cv2.IMWRITE_PNG_COMPRESSION, compression, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    encoded, data = cv2.imencode(".png", bgr, options)
    if not encoded:
        raise ValueError(f"cannot encode shape {image.shape}")
    return data.tobytes()


def scale_unit(values: npt.NDArray[np.floating], mode: Scale) -> Floats:
    """Values brought to [0, 1], float32 of the same shape.

    `max`: v / max, negatives at 0, so that zero stays at the bottom. `minmax`: (v - min) / (max - min), constants at
    0.5. `symmetric`: 0.5 + v / (2 max|v|), so that zero is in the middle. Raises `ValueError` for NaN or infinity.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite((low, high)).all():
        raise ValueError("the map holds NaN or infinity")
    match mode:
        case "max":
            zero, span = 0.0, max(high, 0.0)
        case "minmax":
            zero, span = low, high - low
        case "symmetric":
            zero, span = -max(-low, high), 2 * max(-low, high)
    if span == 0:
        return np.full(values.shape, 0 if mode == "max" else 0.5, np.float32)
    unit = np.subtract(values, zero, dtype=np.float64)
    unit /= span
    return np.asarray(np.clip(unit, 0, 1), np.float32)


def resize_map(values: Floats, size: tuple[int, int], region: Region | None = None) -> Floats:
    """A map (h, w) laid over a picture of `size` (H, W): (H, W) float32, bilinear between half-pixel centres, and
    averaged where it shrinks.

    `region` (top, left, height, width) is what the map covers, in pixels of the picture, all of it when absent: it may
    reach beyond the picture (the model's input was padded) or leave some of it out (it was cropped), where the result
    is 0.
    """
    top, left, height, width = region or (0, 0, *size)
    laid = np.zeros(size, np.float32)
    rows, columns = inside(size, (top, left, height, width))
    down = _bilinear(np.arange(size[0])[rows] + 0.5 - top, height, values.shape[0])
    across = _bilinear(np.arange(size[1])[columns] + 0.5 - left, width, values.shape[1])
    laid[rows, columns] = down @ values.astype(np.float32, copy=False) @ across.T
    return laid


def inside(size: tuple[int, int], region: Region) -> tuple[slice, slice]:
    """The rows and columns of a picture of `size` (H, W) whose centres lie in the region."""
    rows, columns = (
        slice(*np.clip(np.ceil([start - 0.5, start + length - 0.5]), 0, pixels).astype(int).tolist())
        for pixels, start, length in zip(size, region[:2], region[2:], strict=True)
    )
    return rows, columns


def shown(picture: Pixels, region: Region, size: tuple[int, int]) -> Pixels:
    """What a region of a picture (H, W, 3) uint8 shows, at `size` (h, w): (h, w, 3) uint8, bilinear between half-pixel
    centres, averaged where it shrinks, and black beyond the picture.
    """
    top, left, height, width = region
    first, before = max(0, math.floor(top)), max(0, math.floor(left))
    picture = picture[first : math.ceil(top + height), before : math.ceil(left + width)]
    top, left = top - first, left - before
    down, across = size[0] / height, size[1] / width
    # Bilinear alone would skip pixels: what is averaged first is about as large as it is in the result.
    rows, columns = (
        max(1, round(length * min(1.0, scale))) for length, scale in zip(picture.shape[:2], (down, across), strict=True)
    )
    averaged = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    pitch = down * picture.shape[0] / rows, across * picture.shape[1] / columns
    matrix = np.array(
        [[pitch[1], 0, pitch[1] / 2 - left * across - 0.5], [0, pitch[0], pitch[0] / 2 - top * down - 0.5]], np.float64
    )
    moved = cv2.warpAffine(averaged, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    there = inside(size, (-top * down, -left * across, picture.shape[0] * down, picture.shape[1] * across))
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[there] = moved[there]
    return canvas


def _bilinear(centres: npt.NDArray[np.floating], length: float, cells: int) -> Floats:
    """The share of each cell in each pixel along one axis, (pixels, cells) float32; rows sum to 1.

    `centres` (pixels,) are counted from the start of the `length` that the cells cover.
    """
    position = centres * cells / length - 0.5
    reach = max(1.0, cells / length)
    shares = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)) / reach)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def heatmap(values: Floats, colormap: str, mode: Scale) -> Pixels:
    """A map (H, W) in colour, (H, W, 3) uint8 RGB. Raises `ValueError` for NaN, infinity, an unknown colormap."""
    return colormaps.apply(scale_unit(values, mode), colormap)


def overlay(image: Pixels, unit: Floats, colormap: str, alpha: float) -> Pixels:
    """`(1 - alpha) * image + alpha * colour`, rounded: (H, W, 3) uint8 RGB.

    `image` is (H, W, 3) uint8 RGB, `unit` (H, W) in [0, 1], `alpha` in [0, 1].
    Raises `ValueError` where the sizes differ or the colormap is unknown.
    """
    if image.shape[:2] != unit.shape:
        raise ValueError(f"the image is {image.shape[:2]}, the map {unit.shape}")
    colours = colormaps.apply(unit, colormap)
    return np.asarray(cv2.addWeighted(image, 1 - alpha, colours, alpha, 0), np.uint8)
