"""The progress of a job of several methods: what is saved of one is not taken for another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from service.explainers import BY_NAME
from service.explainers.base import Explanation, Snapshot
from service.explainers.perturbation.params import PerturbationParams
from service.usecases.request import ExplainRequest, MethodCall
from service.usecases.run_job import JobProgress


class Saving:
    """Keeps the state that a job saves, as the queue does, and how far it says it is."""

    def __init__(self) -> None:
        self.state: bytes | None = None
        self.steps: list[tuple[int, int]] = []

    def tick(self, step: int, steps: int, *, state: Callable[[], bytes] | None = None, **_: Any) -> None:
        self.steps.append((step, steps))
        self.state = state() if state else self.state

    def load(self) -> bytes | None:
        return self.state


def test_a_state_belongs_to_the_method_that_saved_it() -> None:
    call = MethodCall("rise", BY_NAME["perturbation"], PerturbationParams(method="rise"))
    request = ExplainRequest("shapes", (call, call), None, many=True)
    saving = Saving()
    scores = {"scores": np.arange(6.0).reshape(3, 2)}
    shown = Explanation({"heatmap": np.eye(4, dtype=np.float32)}, "heatmap", maps=("heatmap",))

    first: Any = JobProgress(saving, request)  # type: ignore[arg-type]
    assert first.resume() is None
    first.begin(1, 2)
    first(3, 10, None, lambda: Snapshot(scores, shown))
    assert saving.steps == [(13, 20)]

    again: Any = JobProgress(saving, request)  # type: ignore[arg-type]
    again.begin(0, 2)
    assert again.resume() is None
    again.begin(1, 2)
    np.testing.assert_array_equal(again.resume()["scores"], scores["scores"])
