"""Where the changed part of a map lies along one axis, as an occluding window goes through the layers.

All of it is known when a plan is traced: plain integers, one for each step of the window along the axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WindowSpan:
    """An axis of `length` cells. At step i the cells `low[i]` to `high[i]` may differ from the clean map's.

    The `size` cells from `start[i]` on hold these and lie within the map: they are what is computed.
    """

    length: int
    low: Ints
    high: Ints
    start: Ints
    size: int

    @classmethod
    def around(cls, length: int, low: Ints, high: Ints) -> WindowSpan:
        """The fewest cells, the same number at every step, that hold the changed ones."""
        size = min(length, max(1, int((high - low).max()) + 1))
        return cls(length, low, high, np.clip(low, 0, length - size), size)

    @classmethod
    def of_windows(cls, length: int, windows: Sequence[tuple[int, int]]) -> WindowSpan:
        """From the (start, end) of each window along the axis."""
        bounds = np.array(windows, np.int64).reshape(-1, 2)
        return cls.around(length, bounds[:, 0], bounds[:, 1] - 1)

    def united(self, other: WindowSpan) -> WindowSpan:
        """What differs in either of two maps of one size."""
        if np.array_equal(self.start, other.start) and self.size == other.size:
            low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
            return WindowSpan(self.length, low, high, self.start, self.size)
        return WindowSpan.around(self.length, np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def moved(self, before: int, length: int) -> WindowSpan:
        """The same cells in a map that has `before` more of them in front."""
        return WindowSpan(length, self.low + before, self.high + before, self.start + before, self.size)

    def repeated(self, times: int) -> WindowSpan:
        """Every cell `times` times."""
        low, high = self.low * times, self.high * times + times - 1
        return WindowSpan(self.length * times, low, high, self.start * times, self.size * times)


@dataclass(frozen=True)
class Reach:
    """What one output cell of a sliding operation sees along one axis.

    `extent` input cells, dilation included; the next output cell sees them `stride` further; the first output cell's
    begin `before` cells in front of the map (less than 0 where cells are cut off).
    """

    extent: int
    stride: int = 1
    before: int = 0

    @classmethod
    def of_kernel(cls, kernel: int, stride: int, dilation: int, padding: str, length: int) -> Reach:
        """TensorFlow's: with `same` padding, of an odd number of cells the larger part lies behind the map."""
        extent = (kernel - 1) * dilation + 1
        if padding == "valid":
            return cls(extent, stride)
        missing = (-(-length // stride) - 1) * stride + extent - length
        return cls(extent, stride, max(missing, 0) // 2)

    def outputs(self, span: WindowSpan, length: int) -> WindowSpan:
        """What differs in the output of `length` cells."""
        low = -((self.extent - 1 - self.before - span.low) // self.stride)
        high = (span.high + self.before) // self.stride
        return WindowSpan.around(length, np.maximum(low, 0), np.minimum(high, length - 1))

    def inputs(self, output: WindowSpan) -> Crop:
        """What the kept cells of the output are computed from."""
        return Crop(output.start * self.stride - self.before, (output.size - 1) * self.stride + self.extent)

    def shares(self, output: WindowSpan, length: int) -> NDArray[np.float64]:
        """(steps, size): `extent` over how many of the cells that a kept output cell sees lie within the map."""
        first = self.inputs(output).start[:, None] + self.stride * np.arange(output.size)
        valid = np.minimum(first + self.extent, length) - np.maximum(first, 0)
        return np.asarray(self.extent / valid, np.float64)


@dataclass(frozen=True, eq=False)
class Crop:
    """`size` cells of an axis from `start[i]` on; it may reach beyond the map."""

    start: Ints
    size: int

    @classmethod
    def of(cls, span: WindowSpan) -> Crop:
        return cls(span.start, span.size)

    @classmethod
    def whole(cls, span: WindowSpan) -> Crop:
        """The whole axis, at every step."""
        return cls(np.zeros_like(span.start), span.length)

    def same_as(self, span: WindowSpan) -> bool:
        """Whether these are the kept cells and no others."""
        return self.size == span.size and np.array_equal(self.start, span.start)
