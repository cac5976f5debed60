"""What is maximized: a number an image, linear in some features of one value of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from service.arrays import Floats
from service.errors import InvalidParameter, MethodNotValid
from service.explainers.maximization.params import MAX_IMAGES, MaximizationParams
from service.explainers.params import written_beyond
from service.explainers.targets import NOTHING, Targets

if TYPE_CHECKING:
    from service.arrays import Ops, Value
    from service.models.graph.graph import Graph, LayerEntry, Tensor

LINEAR = ":linear"


@dataclass(frozen=True, eq=False)
class Objective:
    """`weights` (n, m) float32 of the m `features` of `tensor`, for each of n images.

    `seeds` are the channel, unit or class of each image, `names` what it is called, `title` says what all of them are.
    `cell` is the (row, column) of a neuron.
    """

    kind: Literal["channels", "neuron", "layer", "target"]
    tensor: Tensor
    weights: Floats
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    title: str
    cell: tuple[int, int] = (0, 0)
    targets: Targets | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """Tells plans of different features apart."""
        return self.kind, self.targets.key if self.targets else self.tensor.path

    def features(self, ops: Ops, value: Value, cell: Value, border: int) -> Value:
        """The value (b, …) → (b, m) float32; `border` cells of a map are left out on each side, but for one.

        A `cell` outside the map is that on its rim: the shape is not known before the first look.

        Raises ValueError where class scores have another shape than at the model's own size.
        """
        if self.targets:
            if tuple(value.shape[1:]) != self.tensor.shape[1:]:
                raise ValueError(f"class scores of the shape {value.shape[1:]}, not {self.tensor.shape[1:]}")
            return self.targets.matrix(ops, value)
        value = ops.cast(value, "float32")
        axes = tuple(range(1, len(value.shape) - 1))
        if self.kind == "neuron" and axes:
            row, column = (ops.minimum(cell[place], value.shape[1 + place] - 1) for place in (0, 1))
            return ops.take(ops.take(value, row, axis=1), column, axis=1)
        if len(axes) == 2:
            rows, columns = (min(border, (value.shape[axis] - 1) // 2) for axis in axes)
            value = value[:, rows : value.shape[1] - rows, columns : value.shape[2] - columns]
        if self.kind == "layer":
            return ops.sum(ops.square(value), axis=tuple(range(1, len(value.shape))))[:, None]
        return ops.mean(value, axis=axes) if axes else value


def no_objective(entry: LayerEntry) -> str | None:
    """Why a layer cannot be maximized, as half a sentence; None when it can."""
    shape, dtype = entry.output.shape, entry.output.dtype
    if entry.kind == "InputLayer":
        return "it is the image itself"
    if "float" not in dtype:
        return f"its values are {dtype} and have no gradient"
    return None if len(shape) > 1 and shape[-1] else f"its output has the shape {shape[1:]}"


def objective_for(params: MaximizationParams, graph: Graph, targets: Targets) -> Objective:
    """What `params` ask for. `targets` are those of `params.target`.

    Raises InvalidParameter for what the layer does not have; MethodNotValid for a layer without a gradient;
    UnknownLayer.
    """
    if params.target is not None:
        return _of_targets(targets)
    name = params.layer or ""
    entry, tensor = graph.entry(name.removesuffix(LINEAR)), graph.value(name)
    if problem := no_objective(entry):
        raise MethodNotValid(f"layer {entry.path!r} cannot be maximized: {problem}")
    if params.neuron is not None:
        return _neuron(tensor, params.neuron)
    if params.direction is not None:
        return _direction(tensor, params.direction)
    if params.channels is not None:
        return _channels(tensor, params.channels)
    short = tensor.path.rsplit("/", 1)[-1]
    return Objective("layer", tensor, np.ones((1, 1), np.float32), (short,), (0,), f"{tensor.path} · as a whole")


def _channels(tensor: Tensor, channels: Sequence[int]) -> Objective:
    count = tensor.shape[-1] or 0
    if beyond := written_beyond(channels, count):
        raise InvalidParameter(f"layer {tensor.path!r} has the channels 0 to {count - 1}, not {beyond}")
    if len(channels) > MAX_IMAGES:
        raise InvalidParameter(f"{len(channels)} channels are more than the {MAX_IMAGES} images one call may make")
    names = tuple(str(channel) for channel in channels)
    unit = "channels" if len(tensor.shape) > 2 else "units"
    shown = f"{unit[:-1]} {names[0]}" if len(names) == 1 else f"{len(names)} of {count} {unit}"
    return Objective("channels", tensor, _one_hot(channels, count), names, tuple(channels), f"{tensor.path} · {shown}")


def _neuron(tensor: Tensor, place: tuple[int, ...]) -> Objective:
    sizes = tensor.shape[1:]
    if len(place) != len(sizes):
        wanted = "row,column,channel" if len(sizes) == 3 else "the index of a unit"
        raise InvalidParameter(f"layer {tensor.path!r} has the shape {sizes}: write neuron as {wanted}")
    if any(index >= size for index, size in zip(place, sizes, strict=True) if size is not None):
        raise InvalidParameter(f"neuron {_text(place)} lies outside layer {tensor.path!r} of the shape {sizes}")
    weights = _one_hot([place[-1]], sizes[-1] or 0)
    cell = (place[0], place[1]) if len(place) == 3 else (0, 0)
    title = f"{tensor.path} · neuron {_text(place)}"
    return Objective("neuron", tensor, weights, (_text(place),), (place[-1],), title, cell)


def _direction(tensor: Tensor, numbers: Sequence[float]) -> Objective:
    count = tensor.shape[-1]
    if len(numbers) != count:
        raise InvalidParameter(f"layer {tensor.path!r} has {count} channels, and direction {len(numbers)} numbers")
    weights = np.array([numbers], np.float32)
    return Objective("channels", tensor, weights, ("direction",), (0,), f"{tensor.path} · a direction")


def _of_targets(targets: Targets) -> Objective:
    if targets.head is None:
        index, path, sizes = targets.pairs[0][0], targets.tensor.path, [size or 1 for size in targets.tensor.shape[1:]]
        if targets.key != path:
            return _channels(targets.tensor, [index])
        return _neuron(targets.tensor, tuple(int(place) for place in np.unravel_index(index, sizes)))
    firsts = [first for first, _ in targets.pairs]
    classes = targets.head.classes or 0
    weights = _one_hot(firsts, classes)
    for row, (_, second) in zip(weights, targets.pairs, strict=True):
        if second != NOTHING:
            row[second] -= 1
    title = f"{targets.head.output.path} · {', '.join(targets.names)}"
    return Objective("target", targets.tensor, weights, targets.names, tuple(firsts), title, targets=targets)


def _one_hot(places: Sequence[int], count: int) -> Floats:
    found = np.zeros((len(places), count), np.float32)
    found[np.arange(len(places)), list(places)] = 1
    return found


def _text(place: Sequence[int]) -> str:
    return ",".join(str(index) for index in place)
