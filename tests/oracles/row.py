"""A row: one of our maps beside one of a peer's, and how they are brought to one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from service.explainers import BY_NAME
from tests import nets
from tests.oracles.network import FIXTURES, keras_net

TOLERANCE = 1e-4
# Of estimates: the root mean square of the differences in standard errors, and the share of them beyond three.
MOST_ERRORS, BEYOND_THREE = 1.25, 0.02
# Of eight numbers in place of a map's pixels: chance exceeds 1.9 once in a thousand draws, and 1.25 once in seven.
MOST_ERRORS_OF_EIGHT = 1.9
Form = Callable[[np.ndarray], np.ndarray]


@cache
def fixture(name: str) -> dict[str, np.ndarray]:
    """The arrays of `fixtures/<name>.npz`: `given`, or what a peers' environment gave."""
    with np.load(FIXTURES / f"{name}.npz") as file:
        return dict(file)


def as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def clipped(values: np.ndarray) -> np.ndarray:
    """A peer's raw map, as ours are clipped at 0."""
    return np.maximum(values, 0)


def along_gradcam(values: np.ndarray) -> np.ndarray:
    """A peer's component, whose sign is open, with the sign that correlates with its Grad-CAM, and clipped."""
    return clipped(values * np.sign(np.corrcoef(values.ravel(), fixture("torch")["cam_gradcam"].ravel())[0, 1]))


def by_maximum(values: np.ndarray) -> np.ndarray:
    """The map as it is drawn, up to 1."""
    return np.maximum(values, 0) / values.max()


def by_segment(values: np.ndarray) -> np.ndarray:
    """(h, w), constant over each of the 2×4 segments → (8,)."""
    labels = fixture("given")["labels"]
    return np.array([values[labels == each][0] for each in range(labels.max() + 1)])


def by_cell(values: np.ndarray) -> np.ndarray:
    """(24, 24), constant over each of 4×4 cells → (16,)."""
    return values[::6, ::6].ravel()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison.

    `ours` is our family and its parameters, `part` the array of its answer, `form` what is done to it; `theirs` is the
    array of `fixtures/<of>.npz`, `their_form` what is done to that. A sign that both leave open is that of the peer
    where `signless`. Of an estimate `theirs` has `_mean`, `_std` and `_repeats`, and ours the share `own` of a
    repetition's variance, 0 where it is exact. `target` is a key of the given arrays or a target itself, and `hidden`
    the network's hidden activation.

    `why` says why the definitions differ, where they do: then more than the tolerance is expected. `note` is another
    line for the report.
    """

    name: str
    peer: str
    of: str
    theirs: str
    ours: tuple[str, Mapping[str, Any]]
    part: str = "heatmap"
    form: Form = as_it_is
    their_form: Form = as_it_is
    signless: bool = False
    estimate: bool = False
    own: float = 1.0
    most_errors: float = MOST_ERRORS
    target: str = "target"
    hidden: str = "relu"
    tolerance: float = TOLERANCE
    why: str = ""
    note: str = ""

    @property
    def available(self) -> bool:
        """Whether we have the variant."""
        family, params = self.ours
        return params.get("method") is None or params["method"] in {each.name for each in BY_NAME[family].variants}

    def our_map(self) -> np.ndarray:
        """Our map in the form that is compared."""
        family, params = self.ours
        given = fixture("given")
        target = str(int(given[self.target])) if self.target in given else self.target
        found = nets.explain(_network(self.hidden), family, given["image"], target=target, **params)
        return self.form(found.arrays[self.part].astype(np.float64))

    def their_map(self) -> np.ndarray:
        """The peer's map in that form; of an estimate the mean."""
        values = fixture(self.of)[f"{self.theirs}_mean" if self.estimate else self.theirs]
        return self.their_form(values.astype(np.float64))

    def difference(self) -> float:
        """The largest difference relative to the peer's largest value."""
        ours, theirs = self.our_map(), self.their_map()
        assert ours.shape == theirs.shape, f"{ours.shape} and {theirs.shape}"
        signs = (1, -1) if self.signless else (1,)
        return float(min(np.abs(sign * ours - theirs).max() for sign in signs) / np.abs(theirs).max())

    def in_standard_errors(self) -> tuple[float, float]:
        """The root mean square of the differences in standard errors, and the share of them beyond three.

        Both maps are estimates: the variance of the difference is that of the peer's mean of its repetitions and of
        ours.
        """
        std = fixture(self.of)[f"{self.theirs}_std"].astype(np.float64)
        error = std * np.sqrt(self.own + 1 / float(fixture(self.of)[f"{self.theirs}_repeats"]))
        differences = self.our_map() - self.their_map()
        usable = error > 1e-9 * np.abs(std).max()
        ratios = differences[usable] / error[usable]
        return float(np.sqrt(np.square(ratios).mean())), float((np.abs(ratios) > 3).mean())


@cache
def _network(hidden: str) -> Any:
    return nets.loaded(keras_net(fixture("given"), hidden=hidden))
