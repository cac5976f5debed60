"""Deletion and insertion: how fast the score falls when what a map calls important goes, and rises when it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats
from service.explainers.covers import colour_of
from service.explainers.evaluation.comparison import Comparison, Doubles, each_row
from service.explainers.evaluation.metric import Found, Work, metric

if TYPE_CHECKING:
    from service.arrays import Ops, Value
    from service.explainers.evaluation.params import EvaluationParams
    from service.explainers.subject import Subject
    from service.models.backends.interface import Signature

PETSIUK = "https://arxiv.org/abs/1806.07421"


@dataclass(frozen=True, eq=False)
class OrderMasks:
    """Masks that keep the pixels whose place in `order` (h, w) int32 is `values` (rows, 1) or more."""

    order: NDArray[np.int32]
    values: Floats
    kind: str = "order"

    @property
    def signature(self) -> Signature:
        return [(self.order.shape, "int32"), ((None,), "int32")]

    def arrays(self, rows: slice) -> Sequence[Array]:
        return self.order, self.values[rows, 0].astype(np.int32)

    def paint(self, ops: Ops, *given: Value) -> Value:
        order, first = given
        return ops.cast(order[None] >= first[:, None, None], "float32")


def removed_counts(pixels: int, steps: int) -> NDArray[np.int64]:
    """(steps + 1,): how many of so many pixels are altered at each step, 0 first and all of them last."""
    return np.rint(np.linspace(0, pixels, steps + 1)).astype(np.int64)


def area(curve: Doubles) -> float:
    """The area under values at equal distances over 0 to 1, by the trapezoidal rule."""
    return float((curve[1:] + curve[:-1]).sum() / 2 / (len(curve) - 1))


def _estimate(params: EvaluationParams, work: Work) -> int:
    return work.rows * (params.steps + 1)


def _check_value(subject: Subject, params: EvaluationParams) -> None:
    if params.value != "blur":
        colour_of(subject.image, params.value)


def _check_canvas(subject: Subject, params: EvaluationParams) -> None:
    if params.canvas != "blur":
        colour_of(subject.image, params.canvas)


@metric(
    "deletion",
    "Area under what is measured while the pixels go, those first that the map is highest at; `value` takes their "
    "place.",
    PETSIUK,
    "`steps` + 1 forward a map",
    "An image with holes is like none that the network learnt from: part of every fall is that it looks odd. Compare "
    "with the rows `random_pixels` and `random_cells`, and with another `value`. Holes strewn over the image do more "
    "than one of the same size: maps of single pixels do well.",
    better="lower",
    unit="that of what is measured",
    takes=("steps",),
    estimate=_estimate,
    check=_check_value,
    ranked=True,
)
def deletion(comparison: Comparison) -> Found:
    """Petsiuk 2018, algorithm 1 of the supplement: the pixels go in order of the map, `steps` times equally many."""
    params = comparison.params
    curves = []
    for row, progress in each_row(comparison):
        first = removed_counts(row.values.size, params.steps).astype(np.float32)
        curves.append(comparison.under(OrderMasks(row.order, first[:, None]), params.value, progress))
    return Found([area(curve) for curve in curves], {"deletion": np.stack(curves).astype(np.float32)})


@metric(
    "insertion",
    "Area under what is measured while the pixels come back into an image that is all `canvas`, those first that the "
    "map is highest at.",
    PETSIUK,
    "`steps` + 1 forward a map",
    "It rewards maps that show one compact object whole. A blurred canvas still shows much: where the score does not "
    "start low, say canvas=mean.",
    better="higher",
    unit="that of what is measured",
    takes=("steps", "canvas"),
    estimate=_estimate,
    check=_check_canvas,
    ranked=True,
)
def insertion(comparison: Comparison) -> Found:
    """Petsiuk 2018, algorithm 1 of the supplement, which starts from a blurred image."""
    params = comparison.params
    curves = []
    for row, progress in each_row(comparison):
        first = row.values.size - removed_counts(row.values.size, params.steps).astype(np.float32)
        backwards = row.values.size - 1 - row.order
        curves.append(comparison.under(OrderMasks(backwards, first[:, None]), params.canvas, progress))
    return Found([area(curve) for curve in curves], {"insertion": np.stack(curves).astype(np.float32)})
