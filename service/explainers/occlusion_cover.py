"""What is put in place of covered pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array
from service.explainers.saliency_paths import blur_deviation, blurred

if TYPE_CHECKING:
    from service.models.graph.preprocess import NetworkInput

Floats = NDArray[np.float32]


def covering(image: NetworkInput, value: str) -> Floats:
    """(1, h, w, c): what is put in place of covered pixels, everywhere."""
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
