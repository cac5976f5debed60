"""One way from masks to a map: masks are drawn from a seed, scored in steps, and enough when the map is sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from service.arrays import Array, Floats
from service.errors import InvalidParameter, MethodNotValid
from service.explainers.base import Explanation, Scale
from service.explainers.covers import colour_of
from service.explainers.perturbation.explained import explained
from service.explainers.perturbation.masks import Doubles, Masks, Rows
from service.explainers.perturbation.scoring import NO_PROBABILITY, MaskScores
from service.explainers.variants import Maps, MapVariant

if TYPE_CHECKING:
    from service.explainers.perturbation.params import PerturbationParams
    from service.explainers.subject import Subject

# The samples are left out in so many parts in turn, to see how the map varies.
GROUPS = 10
# How often the map is looked at where a tolerance is asked for.
LOOKS = 20
# Numbers of all masks together.
MAX_NUMBERS = 50_000_000


@dataclass(frozen=True, eq=False)
class Design:
    """The masks of a call, and what their scores come to.

    The first `always` masks are in every estimate. Those behind them come in draws of `unit` masks each, independent of
    each other, unless they are no sample but all there are (`exact`). `estimate(rows, scores)` gives (targets, …) of
    the masks at `rows` and of their scores (rows, targets), and `painted` one map (h, w) a target of that. `said` and
    `extras` are for the answer.
    """

    masks: Masks
    estimate: Callable[[Rows, Doubles], Doubles]
    painted: Callable[[Doubles], list[Floats]]
    always: int = 0
    unit: int = 1
    exact: bool = False
    said: Callable[[Doubles, Doubles], Mapping[str, object]] = lambda scores, found: {}
    extras: Mapping[str, list[Array]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PerturbationVariant(MapVariant["PerturbationParams"]):
    """A variant that draws at most so many `samples` by default, and whose maps are drawn by `scale`."""

    samples: int
    scale: Scale


Designing = Callable[["Subject", "PerturbationParams", int], Design]
Checking = Callable[["Subject", "PerturbationParams", int], None]


def sampled(
    name: str,
    summary: str,
    paper: str,
    caution: str,
    *,
    samples: int,
    scale: Scale,
    takes: tuple[str, ...],
    check: Checking,
) -> Callable[[Designing], PerturbationVariant]:
    """A decorator that makes a variant of the function that designs the masks, of so many samples at most.

    `check` raises what the design itself would.
    """

    def made(design: Designing) -> PerturbationVariant:
        def compute(subject: Subject, params: PerturbationParams) -> Maps:
            return _sampled(subject, params, design(subject, params, params.samples or samples), scale)

        return perturbation_variant(
            name, summary, paper, caution, samples=samples, scale=scale, takes=takes, compute=compute, check=check
        )

    return made


def perturbation_variant(
    name: str,
    summary: str,
    paper: str,
    caution: str,
    *,
    samples: int,
    scale: Scale,
    takes: tuple[str, ...],
    compute: Callable[[Subject, PerturbationParams], Maps],
    check: Checking,
) -> PerturbationVariant:
    """Makes a variant whose calls all have the checks of the family, and `check` behind them."""

    def checked(subject: Subject, params: PerturbationParams) -> None:
        if params.value != "blur":
            colour_of(subject.image, params.value)
        if params.measure == "probability" and not subject.targets.has_probability:
            raise MethodNotValid(NO_PROBABILITY)
        check(subject, params, params.samples or samples)

    def passes(subject: Subject, params: PerturbationParams) -> float:
        return 1 + (params.samples or samples)

    return PerturbationVariant(
        name, summary, paper, f"1 forward a mask, {samples} unless said", caution, takes,
        compute=compute, estimate=passes, check=checked, samples=samples, scale=scale,
        signed=scale is not Scale.MAX,
    )  # fmt: skip


def require_room(rows: int, features: int) -> None:
    """Raises InvalidParameter for masks of too many numbers in all."""
    if rows * features > MAX_NUMBERS:
        raise InvalidParameter(
            f"{rows} masks of {features} segments are more than the {MAX_NUMBERS} numbers one call may hold; ask for "
            "fewer samples or segments"
        )


def _sampled(subject: Subject, params: PerturbationParams, design: Design, scale: Scale) -> Maps:
    total = len(design.masks.values)
    scores = MaskScores(subject, params, total)

    def maps(found: Doubles) -> Maps:
        return _maps(design, scores, found)

    def preview(found: Doubles) -> Explanation:
        return explained(subject, params, maps(found[: _whole(design, len(found))]), scale)

    first = 0
    for stop in _stops(design, total, params.tolerance):
        scores.under(design.masks, slice(first, stop), preview)
        first = stop
        if params.tolerance and stop < total and _error_share(design, scores.found) <= params.tolerance:
            break
    return maps(scores.found)


def _stops(design: Design, total: int, tolerance: float) -> list[int]:
    """After how many masks the map is looked at; it does not depend on how the work is cut."""
    if not tolerance or design.exact:
        return [total]
    draws = (total - design.always) // design.unit
    looks = np.unique(np.ceil(np.linspace(0, draws, LOOKS + 1)).astype(int))
    return [design.always + design.unit * int(look) for look in looks if look >= GROUPS or look == draws]


def _whole(design: Design, rows: int) -> int:
    """How many of so many rows are whole draws."""
    return max(design.always, rows - (rows - design.always) % design.unit) if rows > design.always else rows


def standard_error(design: Design, scores: Doubles) -> Doubles:
    """(targets, …): the standard error of the estimate of (rows, targets) scores, 0 where it is exact.

    Each of 10 parts of the draws is left out in turn: the error is √((g-1)/g · Σ (θ_i - mean θ)²), the jackknife of
    Quenouille and Tukey (Efron and Stein 1981, eq. 1.3), which holds for means, ratios and regressions alike.
    """
    whole = design.estimate(np.arange(len(scores)), scores)
    draws = (len(scores) - design.always) // design.unit
    groups = min(GROUPS, draws)
    if design.exact or groups < 2:
        return np.zeros_like(whole)
    group = np.concatenate([np.full(design.always, -1), np.repeat(np.arange(draws) % groups, design.unit)])
    parts = [np.flatnonzero(group != left_out) for left_out in range(groups)]
    found = np.stack([design.estimate(rows, scores[rows]) for rows in parts])
    spread = np.square(found - found.mean(axis=0)).sum(axis=0)
    return np.asarray(np.sqrt((groups - 1) / groups * spread))


def _error_share(design: Design, scores: Doubles) -> float:
    """The largest standard error as a share of the range of its target's map."""
    found, errors = design.estimate(np.arange(len(scores)), scores), standard_error(design, scores)
    return max(
        float(error.max()) / max(float(values.max() - values.min()), 1e-12)
        for values, error in zip(found, errors, strict=True)
    )


def _maps(design: Design, scores: MaskScores, found: Doubles) -> Maps:
    values = design.estimate(np.arange(len(found)), found)
    errors = standard_error(design, found)
    largest = [float(error.max()) for error in errors]
    said = {
        "samples_used": len(found),
        "standard_error": largest[0] if len(largest) == 1 else largest,
        **design.said(found, values),
    }
    extras = {"standard_error": design.painted(errors), **design.extras}
    return Maps(design.painted(values), scores.clean, said, extras=extras)
