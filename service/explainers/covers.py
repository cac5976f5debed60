"""Covers: what is put in place of the image, or of a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats

if TYPE_CHECKING:
    from service.models.graph.preprocess import NetworkInput

Doubles = NDArray[np.float64]


def covering(image: NetworkInput, value: str) -> Floats:
    """(1, h, w, c) float32, preprocessed: what is put in place of covered pixels, everywhere.

    `value` is `mean`, `zero`, `gray`, `blur`, one preprocessed number, or `r,g,b` levels. Raises InvalidParameter for a
    colour that the network cannot be shown.
    """
    if value == "blur":
        return blurred(image.batch, blur_deviation(image.size))
    colour = colour_of(image, value)
    return np.broadcast_to(colour if len(image.shape) == 3 else np.ravel(colour)[0], image.batch.shape).astype(
        np.float32
    )


def colour_of(image: NetworkInput, value: str) -> Array:
    """(c,): the one colour that covers. Raises InvalidParameter for a colour that the network cannot be shown."""
    if value == "mean":
        return np.asarray(image.batch.mean(axis=(1, 2), dtype=np.float64)[0])
    if value == "gray":
        return image.colour((128.0, 128.0, 128.0))
    if "," in value:
        red, green, blue = (float(part) for part in value.split(","))
        return image.colour((red, green, blue))
    return np.array([0.0 if value == "zero" else float(value)])


def blur_deviation(size: tuple[int, int]) -> float:
    """Gives the deviation, in px, of the blur that stands for no image."""
    return max(size) / 16


def blurred(batch: Floats, deviation_px: float) -> Floats:
    """A Gaussian blur of (1, h, w, …) with the rim repeated; the kernel ends at 3 deviations. The same for 0."""
    if deviation_px == 0:
        return batch
    result = batch.astype(np.float64)
    for axis in (1, 2):
        shares = _blur_shares(result.shape[axis], deviation_px)
        result = np.moveaxis(np.tensordot(shares, result, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(result, np.float32)


def _blur_shares(size: int, deviation_px: float) -> Doubles:
    """The share (size, size) of each pixel along an axis in each blurred one; rows sum to 1. What the kernel finds
    beyond the rim is counted to the pixel at the rim, which is how a repeated rim is blurred."""
    radius = max(1, round(3 * deviation_px))
    kernel = np.exp(-0.5 * (np.arange(max(radius, size) + 1) / deviation_px) ** 2)
    kernel[radius + 1 :] = 0
    kernel /= kernel[0] + 2 * kernel[1:].sum()
    places = np.arange(size)
    shares: Doubles = kernel[np.abs(places[:, None] - places)]
    beyond = kernel[::-1].cumsum()[::-1][1 : size + 1]
    shares[:, 0] += beyond
    shares[:, -1] += beyond[::-1]
    return shares
