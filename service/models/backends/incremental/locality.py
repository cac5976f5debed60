"""What an operation does around a cell of a map: nothing but the cell itself, a neighbourhood, or everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.arrays import Function
from service.models.backends.incremental.spans import Reach
from service.models.dialects.traits import Cropping, Pointwise, Repetition, Window, ZeroPadding
from service.models.graph.cost import Shape
from service.models.graph.graph import Node, Tensor

Shapes = Mapping[Tensor, Shape]


@dataclass(frozen=True, eq=False)
class Sliding:
    """Each cell of the output follows from a neighbourhood of the one input; `fill` stands beyond the map.

    `op` computes it from a crop that holds the whole neighbourhoods. Where `mean` is true, only the cells within the
    map count in the average.
    """

    rows: Reach
    columns: Reach
    fill: float
    op: Function
    mean: bool = False


@dataclass(frozen=True, eq=False)
class Shifted:
    """The input with so many cells more in front of it; the cells beyond the map are 0."""

    rows: int
    columns: int


@dataclass(frozen=True, eq=False)
class Repeated:
    """Each cell of the input so many times."""

    rows: int
    columns: int


Locality = Pointwise | Sliding | Shifted | Repeated


def locality(node: Node, shapes: Shapes) -> Locality | None:
    """What the node does around a cell; None for one that looks at the whole map, or that is not known."""
    values = [shapes[tensor] for tensor in (*node.inputs, *node.outputs)]
    if len(node.outputs) != 1 or any(len(shape) != 3 for shape in values):
        return None
    spatial = node.traits.spatial
    if isinstance(spatial, Window):
        return _sliding(spatial, values[0])
    if isinstance(spatial, ZeroPadding):
        return Shifted(spatial.top, spatial.left)
    if isinstance(spatial, Cropping):
        return Sliding(Reach(1, before=-spatial.top), Reach(1, before=-spatial.left), 0.0, lambda value: value)
    if isinstance(spatial, Repetition):
        return Repeated(spatial.rows, spatial.columns)
    same_map = len({shape[:2] for shape in values}) == 1
    return Pointwise() if same_map and spatial is not None else None


def _sliding(window: Window, shape: Shape) -> Sliding:
    rows, columns = (
        Reach.of_kernel(window.kernel[axis], window.strides[axis], window.dilation[axis], window.padding, shape[axis])
        for axis in (0, 1)
    )
    return Sliding(
        rows,
        columns,
        fill=-np.inf if window.rolls == "max" else 0.0,
        op=window.unpadded,
        mean=window.rolls == "mean" and window.padding == "same",
    )
