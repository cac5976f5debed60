"""A comparison: the maps that are judged, and what the one score is measured to be on altered images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.errors import MethodNotValid
from service.explainers.base import Progress
from service.explainers.covers import covering
from service.explainers.passes import chunks, scores_plan
from service.explainers.perturbation.masks import Masks, SegmentMasks, masked_plan
from service.explainers.perturbation.scoring import NO_PROBABILITY, masks_a_step
from service.explainers.perturbation.segments import grid_labels

if TYPE_CHECKING:
    from service.explainers.base import Snapshot
    from service.explainers.evaluation.compared import Maker
    from service.explainers.evaluation.params import EvaluationParams
    from service.explainers.subject import Subject

Doubles = NDArray[np.float64]
USUAL_CELLS = 9
THOUSANDTHS = 1000


@dataclass(frozen=True)
class Row:
    """One map: `values` (h, w) float64 at the input's size, `raw` (rows, columns) float32 as it was made;
    `maker` is None for a map that no method made."""

    name: str
    values: Doubles
    raw: Floats
    maker: Maker | None = None

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """(h, w): the place of each pixel when they are sorted by the map, 0 for the highest. Pixels of one value are
        in an order that is drawn, lest the first rows of the image go before the others."""
        shuffled = np.random.default_rng(0).permutation(self.values.size)
        by_value = shuffled[np.argsort(-self.values.ravel()[shuffled], kind="stable")]
        places = np.empty(self.values.size, np.int32)
        places[by_value] = np.arange(self.values.size)
        return places.reshape(self.values.shape)


@dataclass(frozen=True)
class Sets:
    """Random sets of cells: `labels` (h, w) say which cell a pixel is in, `covered` (samples, cells) bool which cells
    are covered, `drops` (samples,) what the score loses by it."""

    labels: NDArray[np.int32]
    covered: NDArray[np.bool_]
    drops: Doubles

    def sums(self, values: Doubles) -> Doubles:
        """(samples,): the sum of a map (h, w) over the cells that are covered."""
        cells = np.bincount(self.labels.ravel(), weights=values.ravel(), minlength=self.covered.shape[1])
        return np.asarray(self.covered @ cells, np.float64)


class _Share(Progress):
    """The progress of one of `count` parts, told to the whole's in thousandths, so that steps of parts that have parts
    themselves are still of one size."""

    def __init__(self, whole: Progress, place: int, count: int) -> None:
        self._whole, self._place, self._count = whole, place, count

    def __call__(
        self, done: int, total: int, loss: float | None = None, snapshot: Callable[[], Snapshot] | None = None
    ) -> None:
        """Tells the whole."""
        self._whole(int(THOUSANDTHS * (self._place + done / max(total, 1)) / self._count), THOUSANDTHS)


class Comparison:
    """Maps of one score of one image. `subject` has its target resolved; `clean` is what the image itself measures."""

    def __init__(self, subject: Subject, params: EvaluationParams, steps: int) -> None:
        """`steps` is how many parts, about, the whole call has for its progress."""
        (rows,) = scores_plan(subject)(subject.image.batch)
        self.scores: Floats = rows[0]
        self.targets = subject.targets.resolved(self.scores)
        self.measure = params.measure or ("probability" if self.targets.has_probability else "score")
        self.params = params
        self.rows: list[Row] = []
        self._whole = subject.progress
        self._steps, self._step = steps, 0
        self.subject = replace(subject, targets=self.targets, scores=self.scores)
        self.clean = float(self._measured(rows)[0])

    def next_part(self) -> Progress:
        """The progress of the next part of the call."""
        self._step = min(self._step + 1, self._steps)
        return _Share(self._whole, self._step - 1, self._steps)

    def under(self, masks: Masks, cover: str, progress: Progress) -> Doubles:
        """(masks,): what is measured under each, `cover` in the place of what it does not keep."""
        image, backend = self.subject.image, self.subject.backend
        plan, covers = masked_plan(self.subject, masks), covering(image, cover)
        size = masks_a_step(backend, self.subject.graph, image.size)
        found = [
            self._measured(plan(image.batch, covers, *masks.arrays(part))[0])
            for part in chunks(len(masks.values), size, progress)
        ]
        return np.concatenate(found)

    def on(self, images: Iterator[Floats]) -> Doubles:
        """(n,): what is measured on each of the images (1, h, w, …)."""
        plan = scores_plan(self.subject)
        return np.concatenate([self._measured(plan(image)[0]) for image in images])

    @cached_property
    def sets(self) -> Sets:
        """Random sets of cells, drawn and measured once for all metrics that ask."""
        params, size = self.params, self.subject.image.size
        grid = cells_of(params, size)
        cells = grid[0] * grid[1]
        count = min(max(1, round(params.share * cells)), cells - 1)
        drawn = np.random.default_rng(params.seed).random((params.samples, cells))
        covered = drawn.argsort(axis=1).argsort(axis=1) < count
        labels = grid_labels(size, grid)
        masks = SegmentMasks(labels, (~covered).astype(np.float32))
        drops = self.clean - self.under(masks, params.value, self.next_part())
        return Sets(labels, covered, drops)

    def _measured(self, scores: Floats) -> Doubles:
        """(n, classes) → (n,)."""
        found = self.targets.values(scores) if self.measure == "score" else self.targets.probabilities(scores)
        if found is None:
            raise MethodNotValid(NO_PROBABILITY)
        return found[:, 0].astype(np.float64)


def laid(values: Doubles, size: tuple[int, int]) -> Doubles:
    """A map (rows, columns) at the size (h, w) of the input: bilinear between half-pixel centres where it grows, and
    averaged by a triangle as wide as two of its pixels on both sides where it shrinks. Nothing is compiled for it, as
    maps that are sent have any size."""
    down, across = (_shares(old, new) for old, new in zip(values.shape, size, strict=True))
    return np.asarray(down @ values @ across.T)


def _shares(old: int, new: int) -> Doubles:
    """(new, old): the share of each old pixel of an axis in each new one."""
    width = max(1.0, old / new)
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    shares = np.maximum(0.0, 1 - np.abs(centres[:, None] - np.arange(old)) / width)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def cells_of(params: EvaluationParams, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the cells that sets are made of, for an input of that size."""
    return params.cells or (min(USUAL_CELLS, size[0]), min(USUAL_CELLS, size[1]))


def each_row(comparison: Comparison) -> Sequence[tuple[Row, Progress]]:
    """The rows, each with the progress of a part of its own."""
    return [(row, comparison.next_part()) for row in comparison.rows]
