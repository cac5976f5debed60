"""Cuts cells out of changed maps. Which cells is known when the plan is traced; where in the grid each window
of the batch stands is a tensor, so one trace serves all batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.models.incremental.spans import Crop, Span

OUTSIDE = -1


@dataclass(frozen=True, eq=False)
class Axis:
    """Of each cell of a crop, (steps, size) int32: its place in the clean map and in the window, or OUTSIDE."""

    length: int
    clean: NDArray[np.int32]
    window: NDArray[np.int32]

    @classmethod
    def of(cls, crop: Crop, length: int, span: Span | None) -> Axis:
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
        cls, crops: tuple[Crop, Crop], sizes: tuple[int, ...], spans: tuple[Span, Span] | None, fill: float = 0.0
    ) -> Cut:
        """Of maps of `sizes` (height, width) whose windows lie at `spans`."""
        rows, columns = (
            Axis.of(crop, length, spans[place] if spans else None)
            for place, (crop, length) in enumerate(zip(crops, sizes[:2], strict=True))
        )
        return cls(rows, columns, fill)

    @property
    def only_windows(self) -> bool:
        """Whether every cell comes from the window."""
        return bool((self.rows.window >= 0).all() and (self.columns.window >= 0).all())

    def __call__(self, clean: Any, window: Any, places: Any) -> Any:
        """(1, H, W, c) clean map, (b, h, w, c) windows, (b, 2) int32 places in the grid → (b, rows, columns, c).

        One gather from a table of the clean map's rows that are needed, of the fill, and of all windows. `clean` may
        be None where `only_windows`, `window` where the map is clean.
        """
        row, column = tf.gather(self.rows.clean, places[:, 0]), tf.gather(self.columns.clean, places[:, 1])
        tables, count = [], tf.constant(0)
        index: Any = None
        channels = (window if clean is None else clean).shape[-1]
        if not self.only_windows:
            # A band of rows, for a batch holds neighbours: most of a large map need not be copied.
            top = tf.reduce_min(tf.where(row < 0, self.rows.length, row))
            bottom = tf.reduce_max(row) + 1
            bottom, top = tf.maximum(bottom, top), tf.minimum(bottom, top)
            index = (row[:, :, None] - top) * self.columns.length + column[:, None, :]
            lines = tf.reshape(clean, (self.rows.length, self.columns.length * channels))
            tables.append(tf.reshape(lines[top:bottom], (-1, channels)))
            count = (bottom - top) * self.columns.length
            if min(self.rows.clean.min(), self.columns.clean.min()) < 0:
                index = tf.where((row >= 0)[:, :, None] & (column >= 0)[:, None, :], index, count)
                tables.append(tf.fill((1, channels), tf.cast(self.fill, clean.dtype)))
                count += 1
        if window is not None:
            height, width = window.shape[1:3]
            row, column = tf.gather(self.rows.window, places[:, 0]), tf.gather(self.columns.window, places[:, 1])
            first = count + tf.range(tf.shape(places)[0])[:, None, None] * (height * width)
            inner = first + row[:, :, None] * width + column[:, None, :]
            is_inner = (row >= 0)[:, :, None] & (column >= 0)[:, None, :]
            index = inner if index is None else tf.where(is_inner, inner, index)
            tables.append(tf.reshape(window, (-1, channels)))
        return tf.gather(tables[0] if len(tables) == 1 else tf.concat(tables, 0), index)


def per_cell(rows: NDArray[np.float64], columns: NDArray[np.float64], places: Any) -> Any:
    """(steps, h) and (steps, w) factors → (b, h, w, 1) float32, their products at the places of a batch."""
    row = tf.gather(rows.astype(np.float32), places[:, 0])
    return (row[:, :, None] * tf.gather(columns.astype(np.float32), places[:, 1])[:, None, :])[..., None]
