"""Covers: what is put in place of the image, or of a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Array, Floats

if TYPE_CHECKING:
    from service.models.graph.preprocess import NetworkInput


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
    """A Gaussian blur of (1, h, w, …) with the rim repeated; the kernel ends at 3 deviations."""
    radius = max(1, round(3 * deviation_px))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / deviation_px) ** 2)
    kernel /= kernel.sum()
    result = batch.astype(np.float64)
    for axis in (1, 2):
        padding = [(radius, radius) if place == axis else (0, 0) for place in range(result.ndim)]
        padded = np.pad(result, padding, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        result = windows @ kernel
    return result.astype(np.float32)
