"""A metric: one definition of what makes a map good, with its computation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from service.arrays import Array
from service.explainers.variants import Measure

if TYPE_CHECKING:
    from service.explainers.evaluation.comparison import Comparison
    from service.explainers.evaluation.params import EvaluationParams
    from service.explainers.subject import Subject

Better = Literal["lower", "higher", "none"]


@dataclass(frozen=True)
class Found:
    """A number a row of the comparison, None where the metric says nothing of that row; `arrays` are what lies behind
    the numbers, rows first. Numbers that are no further apart than `within` may differ by chance alone."""

    values: Sequence[float | None]
    arrays: Mapping[str, Array] = field(default_factory=dict)
    within: float = 0.0


@dataclass(frozen=True)
class Work:
    """What is to be done, in forward passes: of how many `rows`, and what the maps of all methods cost together."""

    rows: int
    maps: int


def _nothing(*_: object) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Metric(Measure):
    """A measure with its computation. The ranking is made of those that are `ranked`: they say whether the network
    needs what the map shows.

    `estimate` gives the forward passes beside the `shared` ones, those under random sets of cells, which are the same
    for all metrics that are. `check` raises every KerascopeError that `compute` would.
    """

    compute: Callable[[Comparison], Found]
    estimate: Callable[[EvaluationParams, Work], int] = lambda params, work: 0
    check: Callable[[Subject, EvaluationParams], None] = _nothing
    ranked: bool = False
    shared: bool = False


def metric(
    name: str,
    summary: str,
    paper: str,
    passes: str,
    caution: str,
    *,
    better: Better,
    unit: str,
    takes: tuple[str, ...] = (),
    estimate: Callable[[EvaluationParams, Work], int] = lambda params, work: 0,
    check: Callable[[Subject, EvaluationParams], None] = _nothing,
    ranked: bool = False,
    shared: bool = False,
) -> Callable[[Callable[[Comparison], Found]], Metric]:
    """A decorator that makes a metric of the function that computes it; see `Metric`."""

    def made(compute: Callable[[Comparison], Found]) -> Metric:
        return Metric(
            name, summary, paper, passes, caution, takes,
            better=better, unit=unit, compute=compute, estimate=estimate, check=check, ranked=ranked, shared=shared,
        )  # fmt: skip

    return made
