"""What differs from grid to grid: which cells each window reads, as tables, so that one trace serves all of a kind.

All tables of an axis lie side by side in one tensor with a row for each step of the window along it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.arrays import Array, Value
from service.models.backends.incremental.cells import Axis, Cut, Place, Placed, PlacedAxis
from service.models.backends.incremental.locality import Sliding
from service.models.backends.incremental.schedule import Schedule
from service.models.backends.incremental.spans import Crop, WindowSpan
from service.models.graph.graph import Node, Tensor

Number = TypeVar("Number", np.int32, np.float32)


class _Tables:
    """Tables (steps, n) of one axis, each once, side by side."""

    def __init__(self, steps: int, dtype: type[np.int32] | type[np.float32]) -> None:
        self._parts: list[Array] = [np.empty((steps, 0), dtype)]
        self._places: dict[bytes, Place] = {}
        self._dtype = dtype
        self._width = 0

    def place(self, table: Array) -> Place:
        table = table.astype(self._dtype)
        key = b"%d " % table.shape[1] + table.tobytes()
        if key not in self._places:
            self._places[key] = (self._width, self._width + table.shape[1])
            self._parts.append(table)
            self._width += table.shape[1]
        return self._places[key]

    def together(self) -> Array:
        return np.concatenate(self._parts, axis=1)


@dataclass(frozen=True, eq=False)
class Grid:
    """The cuts of a schedule, and the tables they read: of rows and columns int32, then the shares of both float32.

    `inputs` holds how each input of a windowed node is cut, None where it is taken as it is; `pasted` how whole maps
    are made of windows; `image` how the image's own windows are cut, and `changed` which of their cells a window
    covers; `shares` what an average within the map's border is multiplied with. Two grids of one `structure` need the
    same trace.
    """

    inputs: Mapping[tuple[Node, Tensor], Placed | None]
    pasted: Mapping[Tensor, Placed | None]
    image: Placed
    changed: tuple[Place, Place]
    shares: Mapping[Node, tuple[Place, Place]]
    tables: tuple[Array, ...]
    structure: Hashable

    @classmethod
    def of(cls, schedule: Schedule) -> Grid:
        spans = schedule.spans[schedule.image]
        steps = [len(span.start) for span in spans]
        rows, columns = (_Tables(count, np.int32) for count in steps)
        row_shares, column_shares = (_Tables(count, np.float32) for count in steps)

        def placed(cut: Cut | None) -> Placed | None:
            if cut is None:
                return None
            down, across = (_placed(axis, tables) for axis, tables in ((cut.rows, rows), (cut.columns, columns)))
            return Placed(down, across, cut.fill, cut.only_windows)

        own = Cut.of((Crop.of(spans[0]), Crop.of(spans[1])), schedule.shapes[schedule.image], None)
        image = placed(own)
        changed = rows.place(_changed(spans[0])), columns.place(_changed(spans[1]))
        inputs: dict[tuple[Node, Tensor], Placed | None] = {}
        pasted: dict[Tensor, Placed | None] = {}
        shares: dict[Node, tuple[Place, Place]] = {}
        for step in schedule.steps:
            crops, local = step.crops(), step.locality
            for tensor in step.node.inputs:
                if step.spans is None:
                    if tensor in schedule.spans and tensor not in pasted:
                        pasted[tensor] = placed(schedule.pasted(tensor))
                else:
                    fill = local.fill if isinstance(local, Sliding) else 0.0
                    inputs[step.node, tensor] = placed(schedule.cut(tensor, crops, fill)) if crops else None
            if step.spans is not None and isinstance(local, Sliding) and local.mean:
                height, width, _ = schedule.shapes[step.node.inputs[0]]
                shares[step.node] = (
                    row_shares.place(local.rows.shares(step.spans[0], height)),
                    column_shares.place(local.columns.shares(step.spans[1], width)),
                )
        if schedule.target in schedule.spans and schedule.target not in pasted:
            pasted[schedule.target] = placed(schedule.pasted(schedule.target))
        if image is None:
            raise AssertionError("the image's own windows are always cut")
        structure = (
            tuple((step.node.path, step.spans is not None) for step in schedule.steps),
            tuple(inputs.values()), tuple((tensor.path, cut) for tensor, cut in pasted.items()),
            image, changed, tuple(shares.values()),
        )  # fmt: skip
        tables = tuple(each.together() for each in (rows, columns, row_shares, column_shares))
        return cls(inputs, pasted, image, changed, shares, tables, structure)


class Batch:
    """The tables' rows of a batch of windows; `places` (b, 2) int32 says where in the grid each stands."""

    def __init__(self, tables: Sequence[Value], places: Value) -> None:
        rows, columns, row_shares, column_shares = tables
        self.size = tf.shape(places)[0]
        self._rows, self._columns = tf.gather(rows, places[:, 0]), tf.gather(columns, places[:, 1])
        self._made: dict[Hashable, Value] = {}
        self._shares = (row_shares, places[:, 0]), (column_shares, places[:, 1])

    def rows(self, place: Place) -> Value:
        """(b, n) of the tables of rows."""
        return self._rows[:, place[0] : place[1]]

    def columns(self, place: Place) -> Value:
        """(b, n) of the tables of columns."""
        return self._columns[:, place[0] : place[1]]

    def once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What `make` gave for that key first: cuts alike need their places computed once."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def shares(self, places: tuple[Place, Place]) -> Value:
        """(b, h, w, 1) float32: the products of the shares of rows and of columns."""
        row, column = (
            tf.gather(table, at)[:, first:last] for (table, at), (first, last) in zip(self._shares, places, strict=True)
        )
        return (row[:, :, None] * column[:, None, :])[..., None]


def _placed(axis: Axis, tables: _Tables) -> PlacedAxis:
    inside = bool((axis.window >= 0).any())
    return PlacedAxis(
        axis.length,
        axis.clean.shape[1],
        tables.place(axis.clean),
        tables.place(axis.window) if inside else None,
        bool((axis.clean < 0).any()),
    )


def _changed(span: WindowSpan) -> NDArray[np.bool_]:
    """(steps, size): which of the kept cells may differ."""
    place = span.start[:, None] + np.arange(span.size)
    return (place >= span.low[:, None]) & (place <= span.high[:, None])
