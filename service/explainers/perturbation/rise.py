"""RISE: the mean score of the masks that keep a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Floats
from service.explainers.base import Scale
from service.explainers.perturbation.masks import Doubles, Rows, ShiftedMasks, cell_side
from service.explainers.perturbation.sampling import Design, require_room, sampled
from service.explainers.perturbation.segments import require_cells

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.subject import Subject

USUAL_CELLS = (7, 7)


def _cells(subject: Subject, params: PerturbationParams) -> tuple[int, int]:
    height, width = subject.image.size
    return params.cells or (min(USUAL_CELLS[0], height), min(USUAL_CELLS[1], width))


def _check(subject: Subject, params: PerturbationParams, samples: int) -> None:
    cells = _cells(subject, params)
    require_cells(subject.image.size, cells)
    require_room(samples, cells[0] * cells[1])


@sampled(
    "rise",
    "The mean score of the random masks that keep a pixel: Σ_i y(x·M_i)·M_i / Σ_i M_i.",
    "https://arxiv.org/abs/1806.07421",
    "Every pixel gets about the score of half an image: what counts is how far it lies above mean_score or below. Few "
    "masks leave blotches, which the standard error shows.",
    samples=2000,
    scale=Scale.MINMAX,
    takes=("cells", "keep"),
    check=_check,
)
def rise(subject: Subject, params: PerturbationParams, samples: int) -> Design:
    """Designs grids of cells that are kept with the probability `keep`, enlarged bilinearly and shifted at random.

    Petsiuk et al. 2018, arXiv 1806.07421, eq. 6, whose N·E[M] is here the sum of the masks that were drawn: it has the
    same limit, and a score that is the same for every mask gives a map that is the same for every pixel.
    """
    size, cells = subject.image.size, _cells(subject, params)
    generator = np.random.default_rng(params.seed)
    grids = np.empty((samples, cells[0] * cells[1]), np.float32)
    shifts = np.empty((samples, 2), np.intp)
    sides = [cell_side(side, count) for side, count in zip(size, cells, strict=True)]
    for place in range(samples):
        grids[place] = generator.random(grids.shape[1]) < params.keep
        shifts[place] = generator.integers(0, sides)
    masks = ShiftedMasks(size, cells, grids, shifts)

    def estimate(rows: Rows, scores: Doubles) -> Doubles:
        weights = np.concatenate([scores.T, np.ones((1, len(rows)))])
        sums = masks.summed(rows, weights)
        kept = np.where(sums[-1] > 0, sums[-1], 1)
        return np.where(sums[-1] > 0, sums[:-1] / kept, scores.mean(axis=0)[:, None, None] if len(rows) else 0.0)

    def said(scores: Doubles, _: Doubles) -> dict[str, object]:
        means = scores.mean(axis=0).tolist()
        return {"cells": list(cells), "mean_score": means[0] if len(means) == 1 else means}

    return Design(masks, estimate, _as_maps, said=said)


def _as_maps(values: Doubles) -> list[Floats]:
    return list(values.astype(np.float32))
