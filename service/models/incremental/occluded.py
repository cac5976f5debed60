"""The scores under every window of a grid, computed incrementally; what the backend hands to the explainer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.models.graph import Graph
from service.models.incremental.cells import Cut
from service.models.incremental.run import WindowRun, needed
from service.models.incremental.schedule import Schedule
from service.models.incremental.spans import Crop, Span
from service.models.interface import InTurn

if TYPE_CHECKING:
    from service.models.backend import TensorFlowBackend

Floats = NDArray[np.float32]


class Occluded:
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
        matrix: Callable[[Any, Any], Any],
        key: tuple[Hashable, ...],
        chunk: int,
        faster: bool,
    ) -> None:
        self._backend, self._graph, self._schedule = backend, graph, schedule
        self._matrix, self._key = matrix, key
        self._in_turn: InTurn = _at_once
        self.share = schedule.seconds / max(schedule.full_seconds, 1e-12)
        self.saved, self.faster, self.obstacle, self.chunk = schedule.saved, faster, schedule.obstacle, chunk

    def through(self, in_turn: InTurn) -> Occluded:
        """The same, with every run of a plan handed to `in_turn`; what is traced is not."""
        other = copy(self)
        other._in_turn = in_turn
        return other

    def on(self, batch: Floats, cover: Floats) -> tuple[Floats, Callable[[NDArray[np.int32]], Floats]]:
        """An image and what covers it, (1, h, w, c) each → its scores (1, n); and a function from the places (b, 2)
        of windows, along the height and the width of the grid, to the scores (b, n) under these."""
        read = needed(self._schedule)
        ops = self._backend.ops

        def clean(batch: Any) -> Any:
            *values, value = self._graph.run({self._schedule.image: batch}, [*read, self._schedule.target])
            return *values, self._matrix(ops, value)

        def scores(places: Any, cover: Any, *values: Any) -> Any:
            run = WindowRun(self._schedule, dict(zip(read, values, strict=True)), places)
            return self._matrix(ops, run.target(covered(self._schedule, values[0], cover, places)))

        image = (batch.shape, "float32")
        first = self._backend.plan((*self._key, "clean"), clean, [image])
        pixels, covering = tf.constant(batch, tf.float32), tf.constant(cover, tf.float32)
        *values, found = tf.nest.flatten(self._in_turn(lambda: first(pixels)))
        signature = [((None, 2), "int32"), image, *((value.shape, value.dtype) for value in values)]
        second = self._backend.plan(self._key, scores, signature)

        def under(places: NDArray[np.int32]) -> Floats:
            where = tf.constant(places, tf.int32)
            return np.asarray(self._in_turn(lambda: second(where, covering, *values)).numpy(), np.float32)

        return found.numpy(), under


def _at_once(compute: Callable[[], Any], /) -> Any:
    return compute()


def covered(schedule: Schedule, image: Any, cover: Any, places: Any) -> Any:
    """The image's windows at `places` of the grid: `cover` where they may differ from the image, else the image."""
    spans = schedule.spans[schedule.image]
    cut = Cut.of((Crop.of(spans[0]), Crop.of(spans[1])), schedule.shapes[schedule.image], None)
    row, column = (tf.gather(_changed(span), places[:, axis]) for axis, span in enumerate(spans))
    inside = (row[:, :, None] & column[:, None, :])[..., None]
    return tf.where(inside, cut(cover, None, places), cut(image, None, places))


def _changed(span: Span) -> NDArray[np.bool_]:
    """(steps, size): which of the kept cells may differ."""
    place = span.start[:, None] + np.arange(span.size)
    return (place >= span.low[:, None]) & (place <= span.high[:, None])
