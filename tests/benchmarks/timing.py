"""Medians of things that are done in turns, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

WARM_UP_ROUNDS = 1
Timed = Callable[[], float]
"""Does the thing once and gives the seconds it took."""


def timed(function: Callable[[], Any]) -> Timed:
    """`function` with a clock around it."""

    def run() -> float:
        started = time.perf_counter()
        function()
        return time.perf_counter() - started

    return run


def medians(things: Mapping[str, Timed], rounds: int, warm_up: int = WARM_UP_ROUNDS) -> dict[str, float]:
    """Median seconds of each, after `warm_up` rounds that do not count.

    In its turn each is done twice, and the second time counts: the first finds the caches full of what another process
    has left there.
    """
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for place in range(warm_up + rounds):
        for name, thing in things.items():
            thing()
            taken = thing()
            if place >= warm_up:
                seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}
