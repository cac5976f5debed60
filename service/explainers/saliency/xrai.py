"""XRAI: integrated gradients gathered over regions of like colours, those that speak most for the target first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.errors import MethodNotValid
from service.explainers.saliency.paths import integrated, passes_along
from service.explainers.segments import Places, by_colour, grown, why_no_segments
from service.explainers.variants import Maps, variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.arrays import Array, Floats
    from service.explainers.saliency.baselines import Baseline
    from service.explainers.saliency.params import SaliencyParams
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head

BASELINES: tuple[Baseline, ...] = ("black", "white")
SCALES = (50, 100, 150, 250, 500, 1200)
DEVIATION_PX = 0.8
GROWN_PX = 5
# Of an image of this many pixels a segment has at least so many, and a region as many that no other had before.
USUAL_PX = 224 * 224
SEGMENT_PX, REGION_PX = 150, 50


def _passes(subject: Subject, params: SaliencyParams) -> float:
    return passes_along(subject, params, BASELINES)


def _check(subject: Subject, params: SaliencyParams) -> None:
    if missing := why_no_segments():
        raise MethodNotValid(f"{params.method}: {missing}")


def _problem(graph: Graph, head: Head) -> str | None:
    return why_no_segments()


@variant(
    "xrai",
    "Integrated gradients, their mean over each region of like colours, the region of the highest mean first.",
    "https://arxiv.org/abs/1906.02825",
    "steps forward, steps backward, for each baseline",
    "Its regions are those of the colours, not the network's: it looks sharp even where gradients are noise, and an "
    "object of many colours falls apart. Regions overlap, and what one has taken is lost to the next. It sums the "
    "colours, where the authors' code takes the largest. See convergence_delta.",
    estimate=_passes,
    check=_check,
    problem=_problem,
    takes=("steps", "baseline"),
    signed=True,
    colourless=True,
)
def xrai(subject: Subject, params: SaliencyParams) -> Maps:
    """Gives every pixel the mean attribution of its region when that was taken, a signed map (h, w) a target, and
    `regions` (h, w) int32, the order in which they were taken, 1 first.

    Kapishnikov et al. 2019, arXiv 1906.02825, algorithm 1. The attributions are integrated gradients, their mean over
    the baselines, summed over the colours. The segments are those of Felzenszwalb at six scales of the input, brought
    to [-1, 1], each grown by 5 px; segments of under 150 px are joined to others, and regions with under 50 px that are
    not taken yet are left out, these two numbers in proportion to the input's area in 224×224 px. What no region covers
    is the last one, so that the map sums to what the attributions do.
    """
    image, done = subject.image, params.steps * len(params.baseline or BASELINES)
    found = integrated(subject, params.baseline or BASELINES, params.steps)

    def stoppable() -> None:
        subject.progress(done, done)

    segments = segments_of(image.batch[0], stoppable)
    least = _in_proportion(REGION_PX, image.size)
    maps, regions = [], []
    for values in found.values:
        attribution = values.reshape(*image.size, -1).sum(axis=-1, dtype=np.float64)
        means, order = by_region(attribution.ravel(), segments, least, stoppable)
        maps.append(means.reshape(image.size).astype(np.float32))
        regions.append(order.reshape(image.size))
    extras: dict[str, list[Array]] = {"regions": regions}
    said = {**found.parameters, "segments": len(segments)}
    return Maps(maps, found.scores, said, found.warnings, extras)


def segments_of(image: Floats, stoppable: Callable[[], None]) -> list[Places]:
    """The grown segments of an input (h, w, c) or (h, w) at every scale, the smallest scale first; they overlap."""
    values = image.reshape(*image.shape[:2], -1).astype(np.float64)
    low, span = values.min(), float(np.ptp(values))
    unit = (2 * (values - low) / span - 1 if span else 0 * values).astype(np.float32)
    least = _in_proportion(SEGMENT_PX, image.shape[:2])
    found: list[Places] = []
    for scale in SCALES:
        stoppable()
        found += grown(by_colour(unit, scale, DEVIATION_PX, least), GROWN_PX)
    return found


def by_region(
    attribution: NDArray[np.float64], segments: list[Places], least: int, stoppable: Callable[[], None]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Gives, of an attribution (n,), each pixel's mean over its region, and the number of that region, from 1.

    The next region is what is left of the segment with the highest mean over what is left of it, among those with at
    least `least` pixels left; the first of equals.
    """
    places = np.concatenate(segments)
    owners = np.repeat(np.arange(len(segments)), [len(each) for each in segments])
    means, order = np.zeros(attribution.shape), np.zeros(attribution.shape, np.int32)
    number = 0
    while True:
        stoppable()
        left = order[places] == 0
        places, owners = places[left], owners[left]
        counts = np.bincount(owners, minlength=len(segments))
        sums = np.bincount(owners, attribution[places], minlength=len(segments))
        gains = np.where(counts >= least, sums / np.maximum(counts, 1), -np.inf)
        best = int(gains.argmax())
        if counts[best] < least:
            break
        number += 1
        region = places[owners == best]
        means[region], order[region] = gains[best], number
    rest = order == 0
    if rest.any():
        means[rest], order[rest] = attribution[rest].mean(), number + 1
    return means, order


def _in_proportion(pixels: int, size: tuple[int, ...]) -> int:
    return max(1, round(pixels * size[0] * size[1] / USUAL_PX))
