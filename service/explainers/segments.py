"""Segments of an image: which of its pixels belong together by their colours."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from importlib.util import find_spec
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats

Labels = NDArray[np.int64]
Places = NDArray[np.int64]
PACKAGE = "skimage"
NEEDED = "it needs scikit-image, which is not installed: pip install 'kerascope[segments]'"


def why_no_segments() -> str | None:
    """Says what segments take that is not installed, as a sentence; None where all is there."""
    return None if find_spec(PACKAGE) else NEEDED


def by_colour(image: Floats, scale: float, deviation_px: float, least: int) -> Labels:
    """(h, w) labels from 0 of regions of like colours in an image (h, w, c): a larger `scale` makes larger ones, none
    has fewer than `least` pixels unless the image has; before, the image is blurred by a Gaussian.

    Felzenszwalb and Huttenlocher 2004, https://doi.org/10.1023/B:VISI.0000022288.19776.77, by scikit-image, which must
    be there (`why_no_segments`).
    """
    from skimage.segmentation import felzenszwalb

    # Of an image of more than three channels it doubts that it is one.
    quiet = warnings.catch_warnings(action="ignore") if image.shape[2] > 3 else nullcontext()
    with quiet:
        labels = felzenszwalb(image.astype(np.float64), scale=scale, sigma=deviation_px, min_size=least)
    return np.asarray(labels, np.int64)


def grown(labels: Labels, radius: int) -> list[Places]:
    """Each segment of (h, w) labels with all pixels no further than `radius` from it, in the order of their labels, as
    rising places in the flat image."""
    order = np.argsort(labels, axis=None, kind="stable")
    pieces = np.split(order, np.flatnonzero(np.diff(labels.ravel()[order])) + 1)
    return [_with_neighbours(piece, radius, *labels.shape) for piece in pieces]


def _with_neighbours(piece: Places, radius: int, height: int, width: int) -> Places:
    row, column = np.divmod(piece, width)
    top, left = row.min(), column.min()
    inner = np.zeros((np.ptp(row) + 1, np.ptp(column) + 1), bool)
    inner[row - top, column - left] = True
    tall, wide = inner.shape
    outer = np.zeros((tall + 2 * radius, wide + 2 * radius), bool)
    for below in range(2 * radius + 1):
        reach = isqrt(radius**2 - (below - radius) ** 2)
        for beside in range(radius - reach, radius + reach + 1):
            outer[below : below + tall, beside : beside + wide] |= inner
    row, column = np.nonzero(outer)
    row, column = row + top - radius, column + left - radius
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.asarray((row * width + column)[inside], np.int64)
