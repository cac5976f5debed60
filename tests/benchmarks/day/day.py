"""The day itself: a service, its callers, and the samples of its memory meanwhile."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.bench import SETTINGS
from tests.benchmarks.day.callers import Callers
from tests.benchmarks.day.mix import Mix
from tests.benchmarks.day.offer import offer_of
from tests.benchmarks.day.samples import Sample, Samples
from tests.benchmarks.day.scale import DayScale
from tests.conftest import start_service

TELL_EVERY_S = 30.0


@dataclass(frozen=True)
class Day:
    """What came of a day of `seconds`."""

    scale: DayScale
    callers: Callers
    samples: list[Sample]
    missed: int
    seconds: float


def lived(scale: DayScale, tell: Callable[[str], object]) -> Day:
    """Builds the networks, starts the service and makes all calls; `tell` hears how far it is."""
    with tempfile.TemporaryDirectory(prefix="kerascope-day-") as name:
        folder = Path(name)
        for network in scale.networks:
            network.save(folder / "models")
        settings = SETTINGS | {"registry_bytes": str(scale.budget_bytes), "max_jobs_per_key": str(scale.jobs + 1)}
        service = start_service(folder / "service", models_dir=folder / "models", **settings)
        service.client.timeout = 900
        try:
            calls = Mix(scale, [offer_of(service.client, network) for network in scale.networks]).calls()
            callers = Callers(service.client, calls, scale.callers)
            samples = Samples(service, lambda: callers.done, scale.sample_s)
            began = time.perf_counter()
            with ThreadPoolExecutor(2) as pool:
                sampling, working = pool.submit(samples.run), pool.submit(callers.run)
                try:
                    _telling(callers, samples, working.done, tell)
                    working.result()
                finally:
                    samples.stop()
                sampling.result()
            return Day(scale, callers, samples.taken, samples.missed, time.perf_counter() - began)
        finally:
            service.stop()


def _telling(callers: Callers, samples: Samples, ended: Callable[[], bool], tell: Callable[[str], object]) -> None:
    told = time.perf_counter()
    while not ended():
        time.sleep(0.1)
        if time.perf_counter() - told > TELL_EVERY_S and samples.taken:
            told, last = time.perf_counter(), samples.taken[-1]
            tell(
                f"{last.seconds:6.0f} s  {last.calls} calls  engine {last.engine / 1e6:.0f} MB  "
                f"told {last.told / 1e6:.0f}  warm {last.warm / 1e6:.0f}  library {last.library / 1e6:.0f}  "
                f"api {last.api / 1e6:.0f}  refused {len(callers.refused)}\n"
            )
