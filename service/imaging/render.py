"""Maps to the size of pictures and to [0, 1], and what of a picture a network saw."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Scale = Literal["minmax", "max", "symmetric"]
Region = tuple[float, float, float, float]


def scale_unit(values: npt.NDArray[np.floating], mode: Scale) -> Floats:
    """Values brought to [0, 1], float32 of the same shape.

    `max`: v / max, negatives at 0, so that zero stays at the bottom. `minmax`: (v - min) / (max - min), constants at
    0.5. `symmetric`: 0.5 + v / (2 max|v|), so that zero is in the middle. Raises `ValueError` for NaN or infinity.
    """
    zero, span = range_of(float(values.min()), float(values.max()), mode)
    if span == 0:
        return np.full(values.shape, 0 if mode == "max" else 0.5, np.float32)
    unit = np.subtract(values, zero, dtype=np.float64)
    unit /= span
    return np.asarray(np.clip(unit, 0, 1), np.float32)


def range_of(low: float, high: float, mode: Scale) -> tuple[float, float]:
    """What becomes 0 and how far from it 1 lies, of values from `low` to `high`. Raises `ValueError` for NaN or
    infinity."""
    if not np.isfinite((low, high)).all():
        raise ValueError("the map holds NaN or infinity")
    match mode:
        case "max":
            return 0.0, max(high, 0.0)
        case "minmax":
            return low, high - low
        case "symmetric":
            return -max(-low, high), 2 * max(-low, high)


def resize_map(values: Floats, size: tuple[int, int], region: Region | None = None) -> Floats:
    """A map (h, w) laid over a picture of `size` (H, W): (H, W) float32, bilinear between half-pixel centres, and
    averaged where it shrinks.

    `region` (top, left, height, width) is what the map covers, in pixels of the picture, all of it when absent: it may
    reach beyond the picture (the model's input was padded) or leave some of it out (it was cropped), where the result
    is 0.
    """
    laid = np.zeros(size, np.float32)
    down, across = shares((values.shape[0], values.shape[1]), size, region)
    laid[inside(size, region or (0, 0, *size))] = down @ values.astype(np.float32, copy=False) @ across.T
    return laid


def shares(cells: tuple[int, int], size: tuple[int, int], region: Region | None = None) -> tuple[Floats, Floats]:
    """The share of each row of cells in each row of pixels that `inside` gives, (rows, h) float32, and the same of
    columns, (columns, w): `down @ values @ across.T` is a map of (h, w) `cells` laid over the region, see `resize_map`.
    """
    top, left, height, width = region or (0, 0, *size)
    rows, columns = inside(size, (top, left, height, width))
    down = _bilinear(np.arange(size[0])[rows] + 0.5 - top, height, cells[0])
    return down, _bilinear(np.arange(size[1])[columns] + 0.5 - left, width, cells[1])


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
