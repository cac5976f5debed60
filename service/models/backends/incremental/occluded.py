"""The scores under every window of a grid, computed incrementally; what the backend hands to the explainer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.arrays import Ops, Value
from service.models.backends.incremental.grid import Batch, Grid
from service.models.backends.incremental.run import WindowRun, needed
from service.models.backends.incremental.schedule import Schedule
from service.models.backends.interface import InTurn
from service.models.graph.graph import Graph

if TYPE_CHECKING:
    from service.models.backends.tensorflow import TensorFlowBackend

Floats = NDArray[np.float32]


class WindowScores:
    """Two plans of one schedule: the clean image's values, once an image; and scores, once a batch of windows.

    `saved` is the share of a window's arithmetic that is not done, in [0, 1]; `share` about how much of the time of a
    whole pass a window takes; `faster` whether it is expected to save
    time; `obstacle` says, as half a sentence, why nothing is saved, None where something is; `chunk` is how many
    windows one step may take.
    """

    def __init__(
        self,
        backend: TensorFlowBackend,
        graph: Graph,
        schedule: Schedule,
        matrix: Callable[[Ops, Value], Value],
        key: tuple[Hashable, ...],
        chunk: int,
        faster: bool,
    ) -> None:
        self._backend, self._graph, self._schedule = backend, graph, schedule
        self._matrix, self._key = matrix, key
        self._in_turn: InTurn = _at_once
        self.share = schedule.seconds / max(schedule.full_seconds, 1e-12)
        self.saved, self.faster, self.obstacle, self.chunk = schedule.saved, faster, schedule.obstacle, chunk

    def through(self, in_turn: InTurn) -> WindowScores:
        """The same, with every run of a plan handed to `in_turn`, within what it was handed to before; what is traced
        is not."""
        other, within = copy(self), self._in_turn
        other._in_turn = lambda compute: within(lambda: in_turn(compute))
        return other

    def on(self, batch: Floats, cover: Floats) -> tuple[Floats, Callable[[NDArray[np.int32]], Floats]]:
        """An image and what covers it, (1, h, w, c) each → its scores (1, n); and a function from the places (b, 2)
        of windows, along the height and the width of the grid, to the scores (b, n) under these."""
        read, grid, ops = needed(self._schedule), Grid.of(self._schedule), self._backend.ops

        def clean(batch: Value) -> Value:
            *values, value = self._graph.run({self._schedule.image: batch}, [*read, self._schedule.target])
            return *values, self._matrix(ops, value)

        tables = [tf.constant(table) for table in grid.tables]

        def scores(places: Value, cover: Value, *given: Value) -> Value:
            known, values = given[: len(tables)], given[len(tables) :]
            run = WindowRun(self._schedule, grid, dict(zip(read, values, strict=True)), Batch(known, places))
            return self._matrix(ops, run.target(run.covered(values[0], cover)))

        image = (batch.shape, "float32")
        read_paths = tuple(tensor.path for tensor in read)
        first = self._backend.plan((*self._key, "clean", read_paths), clean, [image])
        pixels, covering = tf.constant(batch, tf.float32), tf.constant(cover, tf.float32)
        *values, found = tf.nest.flatten(self._in_turn(lambda: first(pixels)))
        of_tables = [((None, table.shape[1]), table.dtype.name) for table in grid.tables]
        signature = [((None, 2), "int32"), image, *of_tables, *((value.shape, value.dtype) for value in values)]
        second = self._backend.plan((*self._key, grid.structure), scores, signature)

        def under(places: NDArray[np.int32]) -> Floats:
            where = tf.constant(places, tf.int32)
            return np.asarray(self._in_turn(lambda: second(where, covering, *tables, *values)).numpy(), np.float32)

        return found.numpy(), under


def _at_once(compute: Callable[[], Value], /) -> Value:
    return compute()
