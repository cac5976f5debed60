"""Runs a schedule for a batch of windows, inside a compiled function."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from service.arrays import Layer, Value
from service.models.backends.incremental.grid import Batch, Grid
from service.models.backends.incremental.locality import Shifted, Sliding
from service.models.backends.incremental.schedule import Schedule, Step
from service.models.graph.graph import Node, Tensor


def needed(schedule: Schedule) -> list[Tensor]:
    """The values of the clean image that a batch of windows reads."""
    found: dict[Tensor, None] = {schedule.image: None}
    for step in schedule.steps:
        crops = step.crops()
        for tensor in step.node.inputs:
            if step.spans is None:
                cut = schedule.pasted(tensor) if tensor in schedule.spans else None
            else:
                cut = schedule.cut(tensor, crops) if crops else None
            if cut and not cut.only_windows:
                found[tensor] = None
    if schedule.target in schedule.spans:
        found[schedule.target] = None
    return list(found)


class WindowRun:
    """One batch. `clean` holds the clean image's values of `needed`, `at` the tables of the windows' places."""

    def __init__(self, schedule: Schedule, grid: Grid, clean: Mapping[Tensor, Value], at: Batch) -> None:
        self._schedule = schedule
        self._grid = grid
        self._clean = clean
        self._at = at
        self._windows: dict[Tensor, Value] = {}
        self._whole: dict[Tensor, Value] = {}

    def target(self, covered: Value) -> Value:
        """The image's windows (b, h, w, c), covered → the target's value (b, …)."""
        self._windows[self._schedule.image] = covered
        for step in self._schedule.steps:
            if step.spans is None:
                values = {tensor: self._whole_map(tensor) for tensor in step.node.inputs}
                self._whole.update(zip(step.node.outputs, called(step.node, step.node.op, values), strict=True))
            else:
                self._windows[step.node.outputs[0]] = self._windowed(step)
        return self._whole_map(self._schedule.target)

    def covered(self, image: Value, cover: Value) -> Value:
        """The image's windows: `cover` where they may differ from the image (1, h, w, c), else the image."""
        rows, columns = self._at.rows(self._grid.changed[0]), self._at.columns(self._grid.changed[1])
        inside = ((rows > 0)[:, :, None] & (columns > 0)[:, None, :])[..., None]
        cut = self._grid.image
        return tf.where(inside, cut(cover, None, self._at), cut(image, None, self._at))

    def _windowed(self, step: Step) -> Value:
        local, node = step.locality, step.node
        values = {tensor: self._window(node, tensor) for tensor in node.inputs}
        if isinstance(local, Shifted):
            return values[node.inputs[0]]
        if not isinstance(local, Sliding):
            return called(node, node.op, values)[0]
        (result,) = called(node, local.op, values)
        if local.mean:
            result = result * tf.cast(self._at.shares(self._grid.shares[node]), result.dtype)
        return result

    def _window(self, node: Node, tensor: Tensor) -> Value:
        cut, window = self._grid.inputs[node, tensor], self._windows[tensor]
        return window if cut is None else cut(self._clean.get(tensor), window, self._at)

    def _whole_map(self, tensor: Tensor) -> Value:
        """(b, …): computed whole, or pasted from windows."""
        if tensor not in self._whole:
            cut, window = self._grid.pasted[tensor], self._windows[tensor]
            self._whole[tensor] = window if cut is None else cut(self._clean.get(tensor), window, self._at)
        return self._whole[tensor]


def called(node: Node, op: Layer, values: Mapping[Tensor, Value]) -> list[Value]:
    """What `op` gives for the node's arguments with values in the places of tensors."""
    args, kwargs = keras.tree.map_structure(
        lambda item: values[item] if isinstance(item, Tensor) else item, (node.args, dict(node.kwargs))
    )
    return list(keras.tree.flatten(op(*args, **kwargs)))
