"""Raw images become what is drawn, as their preset does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats

# The parameters as they took effect, as the answer has them.
Effective = Mapping[str, Any]
MAX_FRAME_BYTES = 16 * 1024**2
_STD_FLOOR = 1e-5


def displayed(images: Floats, effective: Effective) -> NDArray[np.uint8]:
    """RGB levels (n, h, w, c), unclipped → (n, h', w', c) uint8, by the effective `postprocess`, `strength`, `crop`.

    `standardize`: each image gets mean 0.5 and deviation `strength` on a scale of 0 to 1; then all are clipped.
    """
    unit = images.astype(np.float64) / 255
    if effective["postprocess"] == "standardize":
        centred = unit - unit.mean(axis=(1, 2, 3), keepdims=True)
        deviation = centred.std(axis=(1, 2, 3), keepdims=True) + _STD_FLOOR
        unit = centred / deviation * effective["strength"] + 0.5
    crop = int(effective["crop"])
    height, width = images.shape[1:3]
    inner = unit[:, crop : height - crop, crop : width - crop]
    return np.asarray(np.rint(np.clip(inner, 0, 1) * 255), np.uint8)


def frame_shape(
    frames: int, images: tuple[int, ...], effective: Effective
) -> tuple[tuple[int, int, int, int, int], int]:
    """The shape (f, n, h', w', c) of all frames of images (n, h, w, c), and the whole factor by which they shrink.

    It is the smallest for which they stay within 16 MB.
    """
    count, height, width, colours = images
    sides = [side - 2 * int(effective["crop"]) for side in (height, width)]
    factor = 1
    while frames * count * (sides[0] // factor) * (sides[1] // factor) * colours > MAX_FRAME_BYTES:
        factor += 1
    return (frames, count, sides[0] // factor, sides[1] // factor, colours), factor


def shrunk(images: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """(n, h, w, c) → (n, h // factor, w // factor, c): means of blocks."""
    count, height, width, colours = images.shape
    rows, columns = height // factor, width // factor
    whole = images[:, : rows * factor, : columns * factor].reshape(count, rows, factor, columns, factor, colours)
    return np.asarray(np.rint(whole.mean(axis=(2, 4))), np.uint8)
