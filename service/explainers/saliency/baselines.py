"""Baselines: the images without information that a path to the image starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from service.arrays import Array, Floats
from service.explainers.covers import blur_deviation, blurred
from service.explainers.params import as_list
from service.explainers.variants import Warned

if TYPE_CHECKING:
    from service.explainers.targets import Targets
    from service.models.graph.preprocess import NetworkInput

Baseline = Literal["zero", "black", "white", "mean", "blur"]
# A sum may miss what it should be by this share before the answer warns.
DELTA_LIMIT = 0.05


def _each_once(names: tuple[Baseline, ...] | None) -> tuple[Baseline, ...] | None:
    if names is not None and not names:
        raise ValueError(f"write at least one of {', '.join(get_args(Baseline))}, or leave the parameter out")
    twice = next((name for name in names or () if (names or ()).count(name) > 1), None)
    if twice:
        raise ValueError(f"{twice!r} is named twice")
    return names


# In a query and in the answer it is a text, `black,white`.
Baselines = Annotated[
    tuple[Baseline, ...] | None,
    BeforeValidator(as_list),
    AfterValidator(_each_once),
    PlainSerializer(",".join, return_type=str, when_used="json-unless-none"),
]


def baseline_of(image: NetworkInput, kind: Baseline) -> Floats:
    """(1, h, w, c): zeros of the preprocessed space, black, white, the image's mean colour, or the image blurred."""
    if kind in ("black", "white"):
        level = 0.0 if kind == "black" else 255.0
        colour = image.colour((level, level, level))
        return np.broadcast_to(colour if len(image.shape) == 3 else colour[0], image.batch.shape).astype(np.float32)
    if kind == "mean":
        mean = image.batch.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        return np.broadcast_to(mean, image.batch.shape).astype(np.float32)
    if kind == "blur":
        return blurred(image.batch, blur_deviation(image.size))
    return np.zeros_like(image.batch)


def starts_of(image: NetworkInput, kinds: Sequence[Baseline]) -> Floats:
    """The baselines (n, h, w, c), in their order."""
    return np.concatenate([baseline_of(image, kind) for kind in kinds])


def said_of(image: NetworkInput, kinds: Sequence[Baseline]) -> dict[str, object]:
    """What the answer says of the baselines: which, and by how much the image was blurred for one."""
    blur = {"blur_deviation": blur_deviation(image.size)} if "blur" in kinds else {}
    return {"baseline": ",".join(kinds), **blur}


def rises_of(
    targets: Targets, rows: Floats, starts: Sequence[Floats], shares: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """How much each target's score rises from the mean of the starts to the image, (targets,).

    `rows` (1, n) are the scores of the image, `starts` those of each start, which counts by its share in the mean.
    """
    values = np.stack([targets.values(each)[0].astype(np.float64) for each in starts])
    rises: NDArray[np.float64] = targets.values(rows)[0].astype(np.float64) - np.average(values, axis=0, weights=shares)
    return rises


def completeness(
    maps: Sequence[Array], rises: NDArray[np.float64], more: str
) -> tuple[dict[str, object], tuple[Warned, ...]]:
    """`convergence_delta` for the answer, by how much each map's sum misses the rise of its score, and warnings where
    that is more than DELTA_LIMIT of the rise; `more` says what would bring it down."""
    deltas = [float(each.sum(dtype=np.float64) - rise) for each, rise in zip(maps, rises, strict=True)]
    warnings = tuple(
        Warned("convergence_delta", f"the map sums to {delta:+.3g} more than the score rises ({rise:.3g}): {more}")
        for delta, rise in zip(deltas, rises, strict=True)
        if abs(delta) > DELTA_LIMIT * abs(rise)
    )
    return {"convergence_delta": one_or_all(deltas)}, warnings


def one_or_all(numbers: Sequence[float]) -> object:
    """Gives the number of one target as it is, those of several as a list."""
    return numbers[0] if len(numbers) == 1 else list(numbers)


def scores_of(scores: Callable[..., list[Array]], starts: Floats) -> list[Floats]:
    """The scores (1, n) of each start; one at a time, as memory may hold one alone."""
    return [scores(start[None])[0] for start in starts]
