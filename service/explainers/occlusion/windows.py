"""Occluding windows: how they lie, and how their values become a map and a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats

Window = tuple[int, int, int, int]
Axes = list[list[tuple[int, int]]]


def window_axes(size: tuple[int, int], patch: tuple[int, int], stride: tuple[int, int], *, centred: bool) -> Axes:
    """(start, end) of the windows along the height and along the width, cropped at the border so that the rim is
    covered. `centred` windows surround the cells of the stride."""
    axes = []
    for length, side, step in zip(size, patch, stride, strict=True):
        before = (side - step) // 2 if centred else 0
        starts = range(0, length, step) if centred else range(0, max(1, length - side + step), step)
        axes.append([(max(0, start - before), min(length, start - before + side)) for start in starts])
    return axes


def windows_of(axes: Axes) -> tuple[list[Window], tuple[int, int]]:
    """(top, left, bottom, right) of every window, row by row; and how many rows and columns there are."""
    windows = [(top, left, bottom, right) for top, bottom in axes[0] for left, right in axes[1]]
    return windows, (len(axes[0]), len(axes[1]))


def painted(
    values: NDArray[np.float64],
    windows: list[Window],
    size: tuple[int, int],
    paint: str,
    shape: tuple[int, int],
    stride: tuple[int, int],
) -> Floats:
    """Values of windows → (h, w) float32: the mean over the windows that cover a pixel, or each cell its own value."""
    if paint == "cell":
        grid = values.reshape(shape).repeat(stride[0], axis=0).repeat(stride[1], axis=1)
        return np.asarray(grid[: size[0], : size[1]], np.float32)
    total, count = np.zeros(size), np.zeros(size)
    for value, (top, left, bottom, right) in zip(values, windows, strict=True):
        total[top:bottom, left:right] += value
        count[top:bottom, left:right] += 1
    return np.asarray(total / count, np.float32)


def mask_of(heatmap: Floats, measure: str, threshold: float) -> NDArray[np.bool_]:
    """(h, w) bool: where the target needs the image. See `Occlusion.explain`."""
    if measure == "probability":
        return np.asarray(heatmap < threshold * heatmap.max(), np.bool_)
    return np.asarray(heatmap > (1 - threshold) * max(float(heatmap.max()), 0.0), np.bool_)
