"""What the variants share that keep and cover segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Array, Floats
from service.explainers.perturbation.masks import Doubles, SegmentMasks
from service.explainers.perturbation.sampling import require_room
from service.explainers.perturbation.segments import Labels, check_segments, most_segments, segments_of

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.subject import Subject

SEGMENTED = ("segments", "segment_map", "cells", "segment_count", "compactness")


@dataclass(frozen=True, eq=False)
class Segmented:
    """The segments of an image: `labels` (h, w) int32, and how many there are."""

    labels: Labels
    count: int

    @classmethod
    def of(cls, subject: Subject, params: PerturbationParams) -> Segmented:
        """Cuts the image as the parameters say. Raises InvalidParameter."""
        labels = segments_of(subject.image, params)
        return cls(labels, int(labels.max()) + 1)

    @property
    def extras(self) -> dict[str, list[Array]]:
        """The segments, for the answer."""
        return {"segments": [self.labels]}

    def masks(self, values: Floats) -> SegmentMasks:
        """Makes masks of (rows, segments) shares."""
        return SegmentMasks(self.labels, values)

    def painted(self, numbers: Doubles) -> list[Floats]:
        """(n, segments) a number a segment → n maps (h, w) float32, each pixel with the number of its segment."""
        return [np.asarray(row[self.labels], np.float32) for row in numbers]


def check_segmented(subject: Subject, params: PerturbationParams, samples: int) -> None:
    """Raises InvalidParameter for segments that do not fit or are too many, MethodNotValid without scikit-image."""
    check_segments(subject.image, params)
    require_room(samples, most_segments(subject.image, params))
