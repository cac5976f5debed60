"""Cuts cells out of changed maps. How many is known when a plan is traced; which they are, for each step of a window
along an axis, is read from tables, so that one trace serves all batches and all grids of a kind."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.arrays import Value
from service.models.backends.incremental.spans import Crop, WindowSpan

OUTSIDE = -1


@dataclass(frozen=True, eq=False)
class Axis:
    """Holds for each cell of a crop, (steps, size) int32, its place in the clean map and in the window, or OUTSIDE."""

    length: int
    clean: NDArray[np.int32]
    window: NDArray[np.int32]

    @classmethod
    def of(cls, crop: Crop, length: int, span: WindowSpan | None) -> Axis:
        """`span` is None for a map that is clean everywhere."""
        place = crop.start[:, None] + np.arange(crop.size)
        clean = np.where((place >= 0) & (place < length), place, OUTSIDE)
        if span is None:
            return cls(length, clean.astype(np.int32), np.full(clean.shape, OUTSIDE, np.int32))
        within = place - span.start[:, None]
        window = np.where((within >= 0) & (within < span.size), within, OUTSIDE)
        return cls(length, clean.astype(np.int32), window.astype(np.int32))


@dataclass(frozen=True, eq=False)
class Cut:
    """Crops of the maps that have windows pasted into a clean map, and `fill` beyond the map."""

    rows: Axis
    columns: Axis
    fill: float

    @classmethod
    def of(
        cls,
        crops: tuple[Crop, Crop],
        sizes: tuple[int, ...],
        spans: tuple[WindowSpan, WindowSpan] | None,
        fill: float = 0.0,
    ) -> Cut:
        """Makes it for maps of `sizes` (height, width) whose windows lie at `spans`."""
        rows, columns = (
            Axis.of(crop, length, spans[place] if spans else None)
            for place, (crop, length) in enumerate(zip(crops, sizes[:2], strict=True))
        )
        return cls(rows, columns, fill)

    @property
    def only_windows(self) -> bool:
        """Whether every cell comes from the window."""
        return bool((self.rows.window >= 0).all() and (self.columns.window >= 0).all())


Place = tuple[int, int]


@dataclass(frozen=True)
class PlacedAxis:
    """An axis of a cut whose tables stand at these places of all that a batch reads; `window` is None where no cell
    comes from a window, and `beyond` says that some lie outside of the map.
    """

    length: int
    size: int
    clean: Place
    window: Place | None
    beyond: bool


class Tables(Protocol):
    """The rows of tables that belong to a batch of windows; see `Batch`."""

    size: Value

    def rows(self, place: Place) -> Value:
        """(b, n) of the tables of rows."""

    def columns(self, place: Place) -> Value:
        """(b, n) of the tables of columns."""

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What `make` gave for that key first."""


@dataclass(frozen=True)
class Placed:
    """A cut whose tables are tensors: what is known when a plan is traced is the number of cells and where the tables
    stand."""

    rows: PlacedAxis
    columns: PlacedAxis
    fill: float
    only_windows: bool

    def __call__(self, clean: Value, window: Value, at: Tables) -> Value:
        """(1, H, W, c) clean map, (b, h, w, c) windows, the tables of a batch → (b, rows, columns, c).

        One gather from a table of the clean map's rows that are needed, of the fill, and of all windows. `clean` may
        be None where `only_windows`, `window` where the map is clean.
        """
        tables = []
        channels = (window if clean is None else clean).shape[-1]
        inner = window if self.rows.window and self.columns.window else None
        index, top, bottom = at.once(
            (self, None if inner is None else tuple(inner.shape[1:3])), lambda: self._index(inner, at)
        )
        if not self.only_windows:
            lines = tf.reshape(clean, (self.rows.length, self.columns.length * channels))
            tables.append(tf.reshape(lines[top:bottom], (-1, channels)))
            if self.rows.beyond or self.columns.beyond:
                tables.append(tf.fill((1, channels), tf.cast(self.fill, clean.dtype)))
        if inner is not None:
            tables.append(tf.reshape(inner, (-1, channels)))
        return tf.gather(tables[0] if len(tables) == 1 else tf.concat(tables, 0), index)

    def _index(self, window: Value, at: Tables) -> tuple[Value, Value, Value]:
        """(b, rows, columns) int32 places in the table, and the first and last row of the clean map that it begins
        with."""
        index, count = None, tf.constant(0)
        top = bottom = None
        if not self.only_windows:
            row, column = at.rows(self.rows.clean), at.columns(self.columns.clean)
            # A band of rows, for a batch holds neighbours: most of a large map need not be copied.
            top = tf.reduce_min(tf.where(row < 0, self.rows.length, row))
            bottom = tf.reduce_max(row) + 1
            bottom, top = tf.maximum(bottom, top), tf.minimum(bottom, top)
            index = (row[:, :, None] - top) * self.columns.length + column[:, None, :]
            count = (bottom - top) * self.columns.length
            if self.rows.beyond or self.columns.beyond:
                index = tf.where((row >= 0)[:, :, None] & (column >= 0)[:, None, :], index, count)
                count += 1
        if window is not None and self.rows.window and self.columns.window:
            height, width = window.shape[1:3]
            row, column = at.rows(self.rows.window), at.columns(self.columns.window)
            first = count + tf.range(at.size)[:, None, None] * (height * width)
            inner = first + row[:, :, None] * width + column[:, None, :]
            is_inner = (row >= 0)[:, :, None] & (column >= 0)[:, None, :]
            index = inner if index is None else tf.where(is_inner, inner, index)
        return index, top, bottom
