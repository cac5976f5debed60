"""The choice of operations that run on windows and of those that run on whole maps: a window is to cost least."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from service.models.backends.incremental.cells import Cut
from service.models.backends.incremental.locality import Locality, Repeated, Shapes, Shifted, Sliding, locality
from service.models.backends.incremental.spans import Crop, WindowSpan
from service.models.graph.cost import FLOAT_BYTES, OperationCost, Shape, shapes_at
from service.models.graph.graph import Graph, Node, Tensor

LEAST_SAVED = 0.005
# How much faster windows must be expected to be, and how many calls for one grid must make up for tracing it.
MARGIN = 1.15
CALLS = 5
TRACE_S = 0.02
Spans = tuple[WindowSpan, WindowSpan]
Windows = Sequence[Sequence[tuple[int, int]]]


@dataclass(frozen=True, eq=False)
class Step:
    """One node. `spans` says where its output's windows lie; None where it runs whole."""

    node: Node
    locality: Locality | None = None
    spans: Spans | None = None

    def crops(self) -> tuple[Crop, Crop] | None:
        """What a windowed step needs of each input; None where it takes the windows as they are."""
        if self.spans is None or isinstance(self.locality, (Shifted, Repeated)):
            return None
        if isinstance(self.locality, Sliding):
            return self.locality.rows.inputs(self.spans[0]), self.locality.columns.inputs(self.spans[1])
        return Crop.of(self.spans[0]), Crop.of(self.spans[1])


@dataclass(frozen=True, eq=False)
class Schedule:
    """What runs for a batch of windows: `steps` in order, each on windows or whole, up to `target`.

    `spans` holds where the windows of every value lie that is kept as windows; the image's is among them. `flops`
    and `seconds` are what one window takes so, `full_flops` and `full_seconds` what it takes when every node runs
    whole, `largest_bytes` what the largest step of one window reads and writes.
    """

    image: Tensor
    target: Tensor
    shapes: Shapes
    spans: Mapping[Tensor, Spans]
    steps: tuple[Step, ...]
    flops: int
    seconds: float
    largest_bytes: int
    full_flops: int
    full_seconds: float

    @property
    def saved(self) -> float:
        """The share of a window's arithmetic that is not done, in [0, 1]."""
        return max(0.0, 1 - self.flops / max(1, self.full_flops))

    @property
    def clean_bytes(self) -> int:
        """Counts the most bytes of the clean image's pass that are kept."""
        return FLOAT_BYTES * sum(math.prod(self.shapes[tensor]) for tensor in self.spans)

    @property
    def obstacle(self) -> str | None:
        """Why nothing is saved, as half a sentence; None where something is."""
        if not any(isinstance(step.locality, Sliding) for step in self.steps):
            whole = next((step.node.path for step in self.steps if step.spans is None), self.target.path)
            return f"no convolution comes before {whole!r}, which looks at the whole image"
        if self.saved < LEAST_SAVED:
            return "windows of this size change nearly all of every map"
        return None

    def pays(self, windows: int) -> bool:
        """Whether so many windows are expected to take less time so, tracing included, when asked about some times."""
        if self.obstacle or self.seconds * MARGIN > self.full_seconds:
            return False
        return windows * CALLS * (self.full_seconds - self.seconds) > TRACE_S * len(self.steps)

    def cut(self, tensor: Tensor, crops: tuple[Crop, Crop], fill: float = 0.0) -> Cut | None:
        """How to cut `crops` out of a map; None where they are its windows as they are."""
        spans = self.spans[tensor]
        if all(crop.same_as(span) for crop, span in zip(crops, spans, strict=True)):
            return None
        return Cut.of(crops, self.shapes[tensor], spans, fill)

    def pasted(self, tensor: Tensor) -> Cut | None:
        """How to make whole maps of a value that is kept as windows."""
        rows, columns = self.spans[tensor]
        return self.cut(tensor, (Crop.whole(rows), Crop.whole(columns)))


def schedule(graph: Graph, target: Tensor, size: tuple[int, int], windows: Windows) -> Schedule:
    """The cheapest, of those whose first operation runs on windows where it can.

    `windows` are the (start, end) along the height and along the width of an image of `size`.
    """
    part = graph.until(target)
    shapes = shapes_at(graph, size)
    (image,) = graph.inputs
    rows, columns = (WindowSpan.of_windows(length, bounds) for length, bounds in zip(size, windows, strict=True))
    spans: dict[Tensor, Spans] = {image: (rows, columns)} if len(shapes[image]) == 3 else {}
    steps = []
    for node in graph.folds.applied(part.nodes, {target}):
        step = _as_windows(node, shapes, spans)
        if step.spans is not None:
            spans[node.outputs[0]] = step.spans
        steps.append(step)
    return _cheapest(image, target, shapes, spans, steps)


def _as_windows(node: Node, shapes: Shapes, spans: Mapping[Tensor, Spans]) -> Step:
    """On windows where the node is local and every input is kept as windows."""
    found = locality(node, shapes) if all(tensor in spans for tensor in node.inputs) else None
    if found is None:
        return Step(node)
    height, width, _ = shapes[node.outputs[0]]
    rows, columns = (reduce(WindowSpan.united, (spans[tensor][axis] for tensor in node.inputs)) for axis in (0, 1))
    if isinstance(found, Sliding):
        rows, columns = found.rows.outputs(rows, height), found.columns.outputs(columns, width)
    elif isinstance(found, Shifted):
        rows, columns = rows.moved(found.rows, height), columns.moved(found.columns, width)
    elif isinstance(found, Repeated):
        rows, columns = rows.repeated(found.rows), columns.repeated(found.columns)
    return Step(node, found, (rows, columns))


def _cheapest(
    image: Tensor,
    target: Tensor,
    shapes: Shapes,
    spans: Mapping[Tensor, Spans],
    steps: Sequence[Step],
) -> Schedule:
    """Everything from some step on runs whole: the step where that takes the least time."""
    whole = [OperationCost.of_node(step.node, shapes) for step in steps]
    windowed = [_windowed(step, shapes, spans) if step.spans else work for step, work in zip(steps, whole, strict=True)]
    seconds = np.concatenate([[0.0], np.cumsum([work.seconds for work in windowed])])
    seconds += np.concatenate([np.cumsum([work.seconds for work in whole][::-1])[::-1], [0.0]])
    seconds += _pasting_seconds(image, target, shapes, spans, steps)
    first = next((place + 1 for place, step in enumerate(steps) if isinstance(step.locality, Sliding)), len(steps))
    end = first + int(np.argmin(seconds[first:]))
    kept = {image, *(step.node.outputs[0] for step in steps[:end])}
    works = [*windowed[:end], *whole[end:]]
    return Schedule(
        image=image,
        target=target,
        shapes=shapes,
        spans={tensor: found for tensor, found in spans.items() if tensor in kept},
        steps=(*steps[:end], *(Step(step.node) for step in steps[end:])),
        flops=sum(work.flops for work in works),
        seconds=float(seconds[end]),
        largest_bytes=max((work.bytes for work in works), default=0),
        full_flops=sum(work.flops for work in whole),
        full_seconds=float(seconds[0]),
    )


def _windowed(step: Step, shapes: Shapes, spans: Mapping[Tensor, Spans]) -> OperationCost:
    """Estimates the step on one window, with the cutting."""
    (output,) = step.node.outputs
    crops, parts = step.crops(), {output: _part(shapes[output], *spans[output])}
    cutting = OperationCost(0, 0, 0.0)
    for tensor in dict.fromkeys(step.node.inputs):
        own = spans[tensor]
        parts[tensor] = _part(shapes[tensor], *(crops or own))
        if crops and not all(crop.same_as(span) for crop, span in zip(crops, own, strict=True)):
            cutting += OperationCost.of_cut(parts[tensor])
    return OperationCost.of_node(step.node, parts) + cutting


def _part(shape: Shape, rows: WindowSpan | Crop, columns: WindowSpan | Crop) -> Shape:
    return rows.size, columns.size, shape[2]


def _pasting_seconds(
    image: Tensor, target: Tensor, shapes: Shapes, spans: Mapping[Tensor, Spans], steps: Sequence[Step]
) -> NDArray[np.float64]:
    """Estimates, for every number of steps that come before all runs whole, how long pasting into whole maps takes."""
    seconds = np.zeros(len(steps) + 1)
    born = {image: 0} | {tensor: place + 1 for place, step in enumerate(steps) for tensor in step.node.outputs}
    users: dict[Tensor, list[int]] = {}
    for place, step in enumerate(steps):
        for tensor in step.node.inputs:
            users.setdefault(tensor, []).append(place)
    for tensor in spans:
        always = tensor is target or any(steps[place].spans is None for place in users.get(tensor, ()))
        last = len(steps) if always else max(users.get(tensor, ()), default=-1)
        seconds[born[tensor] : last + 1] += OperationCost.of_cut(shapes[tensor]).seconds
    return seconds
