"""Photographs of which no two are the same, so that no cache of results can answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from service.imaging.encoding import encode_png

PHOTOGRAPH = Path(__file__).parents[2] / "openapi_examples" / "cat.png"


class Pictures:
    """The photograph with its first pixels changed each time: they count the pictures, from `first` on."""

    def __init__(self, first: int = 0) -> None:
        self._pixels = cv2.cvtColor(cv2.imread(str(PHOTOGRAPH)), cv2.COLOR_BGR2RGB)
        self._number: Iterator[int] = itertools.count(first)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in px."""
        return self._pixels.shape[0], self._pixels.shape[1]

    def pixels(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """The next one, (h, w, 3) uint8, in the given (height, width)."""
        pixels = self._pixels.copy() if size is None else cv2.resize(self._pixels, size[::-1])
        pixels[0, 0] = np.frombuffer(next(self._number).to_bytes(3, "little"), np.uint8)
        return np.asarray(pixels, np.uint8)

    def png(self, size: tuple[int, int] | None = None) -> bytes:
        """The next one as a PNG file."""
        return encode_png(self.pixels(size))
