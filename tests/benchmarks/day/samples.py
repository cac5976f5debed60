"""The memory of the processes, and what the service tells of it, again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.benchmarks.measures.processes import child_of, resident_bytes
from tests.conftest import Service


@dataclass(frozen=True)
class Sample:
    """`seconds` since the day began, `calls` answered by then; all else in bytes but for the `restarts`.

    `engine` and `api` are what the kernel says, the others what the service does: its warm models with what is
    compiled for them, what libraries kept beside them, the engine before its first model, and the budget of the first
    two.
    """

    seconds: float
    calls: int
    engine: int
    api: int
    warm: int
    library: int
    bare: int
    budget: int
    restarts: int

    @property
    def told(self) -> int:
        """All that the service knows of in the engine."""
        return self.bare + self.warm + self.library

    @property
    def most(self) -> int:
        """What the engine may take."""
        return self.bare + self.budget


class Samples:
    """Takes a sample every `every_s` seconds, from its start until it is stopped.

    `missed` counts the looks at which the engine was too busy to tell of itself in time.
    """

    def __init__(self, service: Service, done: Callable[[], int], every_s: float) -> None:
        self.taken: list[Sample] = []
        self.missed = 0
        self._service = service
        self._done = done
        self._every_s = every_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """Takes them, the last one after the stop."""
        began = time.perf_counter()
        stopped = False
        while not stopped:
            stopped = self._stopped.wait(self._every_s)
            if (sample := self._look(time.perf_counter() - began)) is not None:
                self.taken.append(sample)
            else:
                self.missed += 1
                # The last one is needed.
                stopped = False

    def stop(self) -> None:
        self._stopped.set()

    def _look(self, seconds: float) -> Sample | None:
        api = self._service.process.pid
        text = self._service.client.get("/metrics").raise_for_status().text
        told = {
            sample.name: int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels == {"engine": "0"}
        }
        if "kerascope_warm_bytes" not in told:
            return None
        return Sample(
            seconds,
            self._done(),
            engine=resident_bytes(child_of(api)),
            api=resident_bytes(api),
            warm=told["kerascope_warm_bytes"],
            library=told["kerascope_engine_library_bytes"],
            bare=told["kerascope_engine_bare_bytes"],
            budget=told["kerascope_budget_bytes"],
            restarts=told["kerascope_engine_restarts_total"],
        )
