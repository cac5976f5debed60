"""Views: the image altered a little, whose maps have a smoother mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from service.explainers.base import Part
from service.explainers.variants import Maps

if TYPE_CHECKING:
    from service.explainers.subject import Subject

# Whether a view is mirrored left to right, and by what the preprocessed values are multiplied. The first is the image.
VIEWS = tuple((mirrored, factor) for mirrored in (False, True) for factor in (1.0, 1.1, 0.9))


def mean_over_views(subject: Subject, compute: Callable[[Subject], Maps]) -> Maps:
    """The mean of the maps of each view, those of mirrored ones turned back.

    Ranks among the targets are resolved by the image itself, and scores, parameters and warnings are those of it.
    """
    first = compute(replace(subject, progress=Part(subject.progress, 0, len(VIEWS))))
    totals = [values.astype(np.float64) for values in first.values]
    resolved = replace(subject, targets=subject.targets.resolved(first.scores), scores=first.scores)
    for place, (mirrored, factor) in enumerate(VIEWS[1:], start=1):
        subject.progress(place, len(VIEWS))
        turn = slice(None, None, -1 if mirrored else 1)
        batch = np.ascontiguousarray(subject.image.batch[:, :, turn] * np.float32(factor))
        part = Part(subject.progress, place, len(VIEWS))
        found = compute(replace(resolved, image=replace(subject.image, batch=batch), progress=part))
        for total, values in zip(totals, found.values, strict=True):
            total += values[:, turn]
    means = [np.asarray(total / len(VIEWS), np.float32) for total in totals]
    return replace(first, values=means)
