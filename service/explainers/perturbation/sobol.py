"""Total Sobol indices: how much of the score's variance is gone when a segment no longer varies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import InvalidParameter
from service.explainers.base import Scale
from service.explainers.perturbation.masks import Doubles, Rows
from service.explainers.perturbation.sampling import Design, require_room, sampled
from service.explainers.perturbation.segmented import SEGMENTED, Segmented, check_segmented
from service.explainers.perturbation.segments import most_segments
from service.explainers.sensitivity import design, total_indices

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.subject import Subject

LEAST_DRAWS = 4


def _check(subject: Subject, params: PerturbationParams, samples: int) -> None:
    check_segmented(subject, params, samples)
    if params.segments in (None, "grid") and params.segment_map is None:
        _draws(samples, most_segments(subject.image, params))


def _draws(samples: int, count: int) -> int:
    """How many draws the samples make, of a mask a segment and two more. Raises InvalidParameter for fewer than 4."""
    draws = samples // (count + 2)
    if draws < LEAST_DRAWS:
        raise InvalidParameter(
            f"{samples} samples are too few for {count} segments: sobol takes {count + 2} a draw, and at least "
            f"{LEAST_DRAWS} draws, which are {LEAST_DRAWS * (count + 2)} samples"
        )
    return draws


@sampled(
    "sobol",
    "Total Sobol indices: the share of the score's variance in which a segment has a part, alone or with others.",
    "https://arxiv.org/abs/2111.04138",
    "It has no sign: a segment that speaks against the target is as important as one that speaks for it.",
    samples=2112,
    scale=Scale.MAX,
    takes=SEGMENTED,
    check=_check,
)
def sobol(subject: Subject, params: PerturbationParams, samples: int) -> Design:
    """Designs draws of a, b and, for every segment j, a with the j-th number of b: shares in 0..1 of what is kept.

    Fel et al. 2021, arXiv 2111.04138, with the estimator of Jansen 1999 that they take (eq. 6), as
    `total_indices` has it.
    """
    segmented = Segmented.of(subject, params)
    count = segmented.count
    draws = _draws(samples, count)
    unit = count + 2
    require_room(draws * unit, count)
    values = design(draws, count, params.seed)
    masks = segmented.masks(values.reshape(-1, count))

    def estimate(rows: Rows, scores: Doubles) -> Doubles:
        return total_indices(scores.reshape(-1, unit, scores.shape[1]))

    return Design(
        masks, estimate, segmented.painted, 0, unit,
        said=lambda *_: {"segment_count": count, "draws": draws}, extras=segmented.extras,
    )  # fmt: skip
