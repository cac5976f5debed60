"""Runs a schedule for a batch of windows, inside a compiled function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from service.models.graph import Node, Tensor
from service.models.incremental.cells import per_cell
from service.models.incremental.locality import Shifted, Sliding
from service.models.incremental.schedule import Schedule, Step
from service.models.incremental.spans import Crop


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
    """One batch. `clean` holds the clean image's values of `needed`, `places` (b, 2) int32 where in the grid
    the windows stand."""

    def __init__(self, schedule: Schedule, clean: Mapping[Tensor, Any], places: Any) -> None:
        self._schedule = schedule
        self._clean = clean
        self._places = places
        self._windows: dict[Tensor, Any] = {}
        self._whole: dict[Tensor, Any] = {}

    def target(self, covered: Any) -> Any:
        """The image's windows (b, h, w, c), covered → the target's value (b, …)."""
        self._windows[self._schedule.image] = covered
        for step in self._schedule.steps:
            if step.spans is None:
                values = {tensor: self._whole_map(tensor) for tensor in step.node.inputs}
                self._whole.update(zip(step.node.outputs, called(step.node, step.node.op, values), strict=True))
            else:
                self._windows[step.node.outputs[0]] = self._windowed(step, step.spans)
        return self._whole_map(self._schedule.target)

    def _windowed(self, step: Step, spans: tuple[Any, Any]) -> Any:
        crops, local = step.crops(), step.locality
        fill = local.fill if isinstance(local, Sliding) else 0.0
        values = {tensor: self._window(tensor, crops, fill) for tensor in step.node.inputs}
        if isinstance(local, Shifted):
            return values[step.node.inputs[0]]
        if not isinstance(local, Sliding):
            return called(step.node, step.node.op, values)[0]
        (result,) = called(step.node, local.op, values)
        if local.mean:
            height, width, _ = self._schedule.shapes[step.node.inputs[0]]
            shares = local.rows.shares(spans[0], height), local.columns.shares(spans[1], width)
            result = result * tf.cast(per_cell(*shares, self._places), result.dtype)
        return result

    def _window(self, tensor: Tensor, crops: tuple[Crop, Crop] | None, fill: float) -> Any:
        cut = self._schedule.cut(tensor, crops, fill) if crops else None
        window = self._windows[tensor]
        return window if cut is None else cut(self._clean.get(tensor), window, self._places)

    def _whole_map(self, tensor: Tensor) -> Any:
        """(b, …): computed whole, or pasted from windows."""
        if tensor not in self._whole:
            cut, window = self._schedule.pasted(tensor), self._windows[tensor]
            self._whole[tensor] = window if cut is None else cut(self._clean.get(tensor), window, self._places)
        return self._whole[tensor]


def called(node: Node, op: Any, values: Mapping[Tensor, Any]) -> list[Any]:
    """What `op` gives for the node's arguments with values in the places of tensors."""
    args, kwargs = keras.tree.map_structure(
        lambda item: values[item] if isinstance(item, Tensor) else item, (node.args, dict(node.kwargs))
    )
    return list(keras.tree.flatten(op(*args, **kwargs)))
