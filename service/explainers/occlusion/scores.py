"""The scores under every window: each window run whole, or only what it changes in the clean image's pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from service.arrays import Floats
from service.errors import MethodNotValid
from service.explainers.occlusion.windows import Axes, Window, windows_of
from service.explainers.passes import chunks, scores_plan

if TYPE_CHECKING:
    from service.explainers.subject import Subject
    from service.models.backends.interface import Occluded

Strategy = Literal["auto", "full", "incremental"]


@dataclass(frozen=True)
class WindowScores:
    """`clean` (1, n) and `under` (windows, n), row by row; how they were computed, and the share of the windows'
    arithmetic that was saved."""

    clean: Floats
    under: Floats
    strategy: Literal["full", "incremental"]
    saved: float


def window_scores(subject: Subject, cover: Floats, axes: Axes, strategy: Strategy) -> WindowScores:
    """`axes` are the (start, end) of the windows along the height and the width, `cover` (1, h, w, c) what covers.

    Both strategies give the same scores but for rounding.
    """
    image, progress = subject.image, subject.progress
    if strategy != "full":
        found = _incremental(subject, axes)
        if strategy == "incremental" or found.faster:
            clean, under = found.on(image.batch, cover)
            places = np.indices([len(axis) for axis in axes], np.int32).reshape(2, -1).T
            rows = [under(places[part]) for part in chunks(len(places), found.chunk, progress)]
            return WindowScores(clean, np.concatenate(rows), "incremental", round(found.saved, 3))
    plan = scores_plan(subject)
    (clean,) = plan(image.batch)
    windows, _ = windows_of(axes)
    parts = chunks(len(windows), subject.backend.chunk(subject.graph, image.size), progress)
    rows = [plan(batch)[0] for batch in _covered(image.batch, cover, windows, parts)]
    return WindowScores(clean, np.concatenate(rows), "full", 0.0)


def require_incremental(subject: Subject, axes: Axes) -> None:
    """Raises MethodNotValid where computing only what a window changes saves nothing."""
    found = _incremental(subject, axes)
    if found.obstacle:
        raise MethodNotValid(f"strategy=incremental would save nothing: {found.obstacle}; use strategy=full")


def expected_share(subject: Subject, axes: Axes, strategy: Strategy) -> float:
    """About how much of the time of a whole pass a window takes."""
    if strategy == "full":
        return 1.0
    found = _incremental(subject, axes)
    return found.share if strategy == "incremental" or found.faster else 1.0


def _incremental(subject: Subject, axes: Axes) -> Occluded:
    targets = subject.targets
    return subject.backend.incremental(
        subject.graph, targets.tensor, targets.matrix, targets.key, subject.image.size, axes
    )


def _covered(image: Floats, cover: Floats, windows: list[Window], parts: Iterator[slice]) -> Iterator[Floats]:
    """The image once for each window of a part, covered there."""
    for part in parts:
        batch = np.repeat(image, part.stop - part.start, axis=0)
        for place, (top, left, bottom, right) in enumerate(windows[part]):
            batch[place, top:bottom, left:right] = cover[0, top:bottom, left:right]
        yield batch
