"""The values of an image become the network's input: by its preprocessing, found out by asking for single colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats

if TYPE_CHECKING:
    from service.models.graph.preprocess import NetworkInput


@dataclass(frozen=True, eq=False)
class ColourMap:
    """Network values = values @ `matrix` (c, network channels) + `offset` (network channels,)."""

    matrix: Floats
    offset: Floats

    def values(self, batch: Floats) -> Floats:
        """The network's input (1, h, w, channels) or (1, h, w) → the values (1, h, w, c) it comes from."""
        pixels = batch if batch.ndim == 4 else batch[..., None]
        return np.asarray((pixels - self.offset) @ np.linalg.pinv(self.matrix.astype(np.float64)), np.float32)


def colours_of(image: NetworkInput) -> int:
    """Colours of the image that is made: one for a grey network, three for colour, with or without alpha."""
    channels = image.shape[2] if len(image.shape) == 3 else 1
    return 3 if channels == 4 else channels


def colour_map(image: NetworkInput, low: float, high: float) -> ColourMap:
    """The map for images in which the values `low` and `high` stand for the levels 0 and 255.

    The identity for networks of neither grey nor colour images, which have no levels.
    """
    colours = colours_of(image)
    if colours not in (1, 3):
        return ColourMap(np.eye(colours, dtype=np.float32), np.zeros(colours, np.float32))
    black = image.colour((0.0, 0.0, 0.0)).astype(np.float64)
    if colours == 1:
        full = [image.colour((255.0, 255.0, 255.0))]
    else:
        full = [image.colour((255.0, 0.0, 0.0)), image.colour((0.0, 255.0, 0.0)), image.colour((0.0, 0.0, 255.0))]
    matrix = (np.stack(full).astype(np.float64) - black) / (high - low)
    return ColourMap(matrix.astype(np.float32), (black - low * matrix.sum(axis=0)).astype(np.float32))
