"""Crops of pictures: where they are, and what a layer makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Floats
from service.explainers.base import Part
from service.explainers.passes import chunks

if TYPE_CHECKING:
    from service.arrays import Value
    from service.explainers.base import Progress
    from service.explainers.picture_sets import PictureSet
    from service.explainers.subject import Subject
    from service.models.backends.interface import Plan
    from service.models.graph.graph import Tensor

# Of the shorter side: 64 px of 224.
USUAL_SHARE = 2 / 7
# Neighbouring crops share a fifth of their side.
STRIDE_SHARE = 0.8


@dataclass(frozen=True)
class Crops:
    """Square crops of `side` px, `stride` px apart, at `corners` (top, left) of every picture; those that would reach
    beyond it are left out, as the authors do."""

    side: int
    stride: int
    corners: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, size: tuple[int, int], side: int | None) -> Crops:
        """The crops of pictures of a size (h, w); no crop is larger than the shorter side."""
        side = min(side or max(1, round(USUAL_SHARE * min(size))), *size)
        stride = max(1, int(STRIDE_SHARE * side))
        rows, columns = (range(0, whole - side + 1, stride) for whole in size)
        return cls(side, stride, tuple((row, column) for row in rows for column in columns))

    def cut(self, pictures: Array, place: int) -> Array:
        """The crop at a place of all crops, picture by picture, of pictures (n, h, w, …): (side, side, …)."""
        picture, corner = divmod(place, len(self.corners))
        top, left = self.corners[corner]
        crop: Array = pictures[picture, top : top + self.side, left : left + self.side]
        return crop

    def pooled(
        self, subject: Subject, layer: Tensor, pictures: PictureSet, progress: Progress
    ) -> tuple[NDArray[np.float64], float]:
        """(n, k): for each crop the mean over the cells of a layer's map, of its values above 0, as the crop is
        enlarged to the network's input; and what share of all magnitudes was below 0."""
        plan = _plan(subject, layer, self.side)
        size = subject.backend.chunk(subject.graph.until(layer), subject.image.size)
        found: list[Floats] = []
        below = whole = 0.0
        for place in range(len(pictures)):
            batch = pictures.batch([place])
            crops = np.stack([self.cut(batch, corner) for corner in range(len(self.corners))])
            for part in chunks(len(crops), size, Part(progress, place, len(pictures))):
                means, lows, highs = plan(crops[part])
                found.append(means)
                below += float(lows.sum(dtype=np.float64))
                whole += float(lows.sum(dtype=np.float64) + highs.sum(dtype=np.float64))
        return np.concatenate(found).astype(np.float64), below / whole if whole else 0.0


def _plan(subject: Subject, layer: Tensor, side: int) -> Plan:
    """A plan: crops (b, side, side, …) → means over the cells of the values above 0 (b, k), sums of the magnitudes of
    those below 0 (b,) and of those above (b,)."""
    graph, image, ops = subject.graph, subject.image, subject.backend.ops
    channels = image.shape[2:]

    def forward(crops: Value) -> tuple[Value, Value, Value]:
        pixels = crops if channels else crops[..., None]
        enlarged = ops.image.resize(pixels, image.size, interpolation="bilinear")
        (values,) = graph.run({graph.inputs[0]: enlarged if channels else enlarged[..., 0]}, [layer])
        values = ops.cast(values, "float32")
        above, below = ops.maximum(values, 0.0), ops.maximum(-values, 0.0)
        return ops.mean(above, axis=(1, 2)), ops.sum(below, axis=(1, 2, 3)), ops.sum(above, axis=(1, 2, 3))

    signature = [((None, side, side, *channels), "float32")]
    return subject.backend.compiled(("crops", layer.path), forward, signature, shared=False)
