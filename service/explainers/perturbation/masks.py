"""Masks: how numbers a feature become a share of the image a pixel, in the compiled pass that scores it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats

if TYPE_CHECKING:
    from service.arrays import Ops, Value
    from service.explainers.perturbation.segments import Labels
    from service.explainers.subject import Subject
    from service.models.backends.interface import Plan, Signature

Doubles = NDArray[np.float64]
Rows = NDArray[np.intp]


class Masks(Protocol):
    """`values` (rows, d) float32 say how much of each feature a mask keeps, from 0 to 1."""

    @property
    def kind(self) -> str:
        """What tells its compiled passes from those of other masks."""

    @property
    def values(self) -> Floats:
        """The numbers of all masks."""

    @property
    def signature(self) -> Signature:
        """The shapes and types of what `arrays` gives."""

    def arrays(self, rows: slice) -> Sequence[Array]:
        """What `paint` is given for these masks."""

    def paint(self, ops: Ops, *given: Value) -> Value:
        """(b, h, w) float32: the share of the image that is kept in each pixel. Runs in the compiled pass."""


@dataclass(frozen=True, eq=False)
class SegmentMasks:
    """Masks that keep whole segments; `labels` (h, w) say which segment a pixel is in."""

    labels: Labels
    values: Floats
    kind: str = "segments"

    @property
    def signature(self) -> Signature:
        return [(self.labels.shape, "int32"), ((None, None), "float32")]

    def arrays(self, rows: slice) -> Sequence[Array]:
        return self.labels, self.values[rows]

    def paint(self, ops: Ops, *given: Value) -> Value:
        labels, kept = given
        return ops.take(kept, labels, axis=1)


@dataclass(frozen=True, eq=False)
class ShiftedMasks:
    """Small grids of cells, enlarged bilinearly beyond the image and cut out at a shift of its own each.

    `values` (rows, cells) hold the grids row by row; `shifts` (rows, 2) int say by how many pixels each is moved.
    Petsiuk et al. 2018, section 3.2.
    """

    size: tuple[int, int]
    cells: tuple[int, int]
    values: Floats
    shifts: NDArray[np.intp]
    kind: str = "shifted grid"
    _down: Floats = field(init=False, repr=False)
    _across: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        down, across = (_enlarging(side, count) for side, count in zip(self.size, self.cells, strict=True))
        object.__setattr__(self, "_down", down)
        object.__setattr__(self, "_across", across)

    @property
    def signature(self) -> Signature:
        (height, width), (rows, columns) = self.size, self.cells
        shapes = [(None, height, rows), (None, rows, columns), (None, columns, width)]
        return [(shape, "float32") for shape in shapes]

    def arrays(self, rows: slice) -> Sequence[Array]:
        down = [self._down[shift : shift + self.size[0]] for shift in self.shifts[rows, 0]]
        across = [self._across[shift : shift + self.size[1]].T for shift in self.shifts[rows, 1]]
        return np.stack(down), self.values[rows].reshape(-1, *self.cells), np.stack(across)

    def paint(self, ops: Ops, *given: Value) -> Value:
        down, grids, across = given
        return ops.matmul(ops.matmul(down, grids), across)

    def summed(self, rows: Rows, weights: Doubles) -> Doubles:
        """Σ_i weights_i · mask_i over some masks, (n, h, w) for (n, rows) weights, without painting a mask.

        Masks of one shift add up as grids do, so each shift is enlarged once.
        """
        (height, width), shifts = self.size, self.shifts[rows]
        total = np.zeros((len(weights), height, width))
        order = np.lexsort((shifts[:, 1], shifts[:, 0]))
        ordered = shifts[order]
        for down in np.unique(ordered[:, 0]):
            lines = np.zeros((len(weights), self.cells[0], width))
            of_down = order[ordered[:, 0] == down]
            for across in np.unique(shifts[of_down, 1]):
                here = of_down[shifts[of_down, 1] == across]
                grids = (weights[:, here] @ self.values[rows[here]].astype(np.float64)).reshape(-1, *self.cells)
                lines += grids @ self._across[across : across + width].T.astype(np.float64)
            total += self._down[down : down + height].astype(np.float64) @ lines
        return total


def cell_side(side: int, count: int) -> int:
    """How many pixels a cell is long, of `count` that reach over `side` pixels."""
    return -(-side // count)


def _enlarging(side: int, count: int) -> Floats:
    """(pixels, count): the share of each cell in each pixel when `count` cells are enlarged to one more, bilinearly
    between half-pixel centres with the rim repeated."""
    pixels = (count + 1) * cell_side(side, count)
    position = np.clip((np.arange(pixels) + 0.5) * count / pixels - 0.5, 0, count - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(position[:, None] - np.arange(count))), np.float32)


def masked_plan(subject: Subject, masks: Masks) -> Plan:
    """A plan: the image and the cover (1, h, w, c), and what `masks.arrays` gives → scores (b, n) float32.

    A pixel is m·x + (1 - m)·cover where the mask keeps m of it.
    """
    backend, graph, image, targets = subject.backend, subject.graph, subject.image, subject.targets
    ops = backend.ops

    def scores(batch: Value, cover: Value, *given: Value) -> Value:
        kept = masks.paint(ops, *given)
        kept = kept[..., None] if len(image.shape) == 3 else kept
        (value,) = graph.run({graph.inputs[0]: cover + kept * (batch - cover)}, [targets.tensor])
        return targets.matrix(ops, value)

    one = ((1, *image.shape), "float32")
    key = ("masked", masks.kind, targets.key)
    return backend.compiled(key, scores, [one, one, *masks.signature], shared=False)
