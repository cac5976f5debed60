"""A definition of the family, with its computation and the sets of pictures that it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidParameter
from service.explainers.base import Explanation
from service.explainers.picture_sets import SetAsked
from service.explainers.variants import Variant

if TYPE_CHECKING:
    from service.explainers.concepts.params import ConceptsParams
    from service.explainers.subject import Subject
    from service.models.graph.graph import Graph
    from service.models.graph.head import Head

# Pixels of all pictures of a call, at the network's size: a byte a colour.
MOST_PIXELS = 2**27
ONE_TARGET = "concepts are looked for with one target a call; ask for each target in a call of its own"


@dataclass(frozen=True, kw_only=True)
class ConceptVariant(Variant):
    """A variant that looks at `sets`; `compute`, `estimate`, `check` and `problem` are as those of a `MapVariant`."""

    sets: tuple[SetAsked, ...]
    compute: Callable[[Subject, ConceptsParams], Explanation]
    estimate: Callable[[Subject, ConceptsParams], float]
    check: Callable[[Subject, ConceptsParams], None]
    problem: Callable[[Graph, Head], str | None]


def concept_variant(
    name: str,
    summary: str,
    paper: str,
    passes: str,
    caution: str,
    *,
    sets: tuple[SetAsked, ...],
    estimate: Callable[[Subject, ConceptsParams], float],
    check: Callable[[Subject, ConceptsParams], None],
    problem: Callable[[Graph, Head], str | None],
    takes: tuple[str, ...],
) -> Callable[[Callable[[Subject, ConceptsParams], Explanation]], ConceptVariant]:
    """A decorator that makes a variant of the function that computes it; its calls have the checks of the family, and
    `check` behind them."""

    def checked(subject: Subject, params: ConceptsParams) -> None:
        _check_sets(subject, sets)
        if len(subject.targets.pairs) != 1:
            raise InvalidParameter(f"{len(subject.targets.pairs)} targets are asked for; {ONE_TARGET}")
        check(subject, params)

    def made(compute: Callable[[Subject, ConceptsParams], Explanation]) -> ConceptVariant:
        return ConceptVariant(
            name, summary, paper, passes, caution, takes,
            sets=sets, compute=compute, estimate=estimate, check=checked, problem=problem,
        )  # fmt: skip

    return made


def _check_sets(subject: Subject, sets: tuple[SetAsked, ...]) -> None:
    """Raises InvalidParameter for a set with too few pictures or too many, and for too many pixels in all."""
    for asked in sets:
        count = len(subject.sets[asked.name]) if asked.name in subject.sets else 0
        if not asked.least <= count <= asked.most:
            raise InvalidParameter(
                f"{asked.name!r} has {count} pictures, and takes {asked.least} to {asked.most} of them: {asked.what}"
            )
    count = sum(len(subject.sets[asked.name]) for asked in sets)
    height, width = subject.image.size
    if count * height * width > MOST_PIXELS:
        most = MOST_PIXELS // (height * width)
        raise InvalidParameter(
            f"{count} pictures at the network's size of {height}×{width} px are too many for one call; send at most "
            f"{most} in all"
        )


def shown_places(values: NDArray[np.float64], most: int) -> list[int]:
    """The places of the `most` largest of (n,) values, the largest first, equal ones in their order."""
    return [int(place) for place in np.argsort(-values, kind="stable")[:most]]
