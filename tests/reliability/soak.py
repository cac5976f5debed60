"""A long run of mixed calls with models that come and go: memory, descriptors and threads stay as they were."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.callers import PNG
from tests.benchmarks.measures.processes import child_of, resident_bytes
from tests.benchmarks.pictures import Pictures
from tests.benchmarks.rows import Row, at_most
from tests.conftest import Service

MODELS = ("shapes", "efficientnet-lite0")
METHODS = (
    ("predict", {}),
    ("cam", {}),
    ("saliency", {}),
    ("cam", {"method": "layercam"}),
    ("explain", {"methods": "predict,cam,saliency"}),
    ("occlusion", {"patch": 32, "stride": 32}),
)
SAMPLE_S = 5.0
SETTLE_SHARE = 0.25
UNLOAD_EVERY = 97
BAD_EVERY = 13


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def soaked(service: Service, seconds: float, callers: int = 2) -> list[Row]:
    """Callers who ask without a pause; every so often a model is unloaded, and a call is one that is refused."""
    api = service.process.pid
    engine = child_of(api)
    end = time.monotonic() + seconds
    counted: dict[int, int] = {}
    lock = threading.Lock()

    def caller(number: int) -> None:
        pictures = Pictures(number * 1_000_000)
        random = np.random.default_rng(number)
        calls = 0
        while time.monotonic() < end:
            calls += 1
            model = MODELS[calls % 4 == 0]
            method, query = METHODS[int(random.integers(len(METHODS)))]
            shape = (int(random.integers(24, 300)), int(random.integers(24, 300)))
            content = b"no picture" if calls % BAD_EVERY == 0 else pictures.png(shape)
            answer = service.client.post(f"/v1/models/{model}/{method}", content=content, headers=PNG, params=query)
            if calls % UNLOAD_EVERY == 0:
                service.client.post(f"/v1/models/{model}/unload")
            with lock:
                counted[answer.status_code] = counted.get(answer.status_code, 0) + 1

    working = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for thread in working:
        thread.start()
    began = time.monotonic()
    samples: list[tuple[float, int, int, int, int]] = []
    while time.monotonic() < end:
        time.sleep(min(SAMPLE_S, seconds / 20))
        sizes = resident_bytes(api), resident_bytes(engine)
        samples.append((time.monotonic() - began, *sizes, descriptors(api) + descriptors(engine), threads(engine)))
    for thread in working:
        thread.join()
    return _rows(np.array(samples), counted, seconds, Path(f"/proc/{engine}").is_dir())


def _rows(samples: np.ndarray, counted: dict[int, int], seconds: float, same_engine: bool) -> list[Row]:
    settled = samples[samples[:, 0] > SETTLE_SHARE * samples[-1, 0]]
    total = sum(counted.values())
    per_call = total / seconds
    rows = []
    for place, name, most in ((1, "api", 2.0), (2, "engine", 4.0)):
        slope = float(np.polyfit(settled[:, 0], settled[:, place], 1)[0]) / 1024 / per_call
        note = f"from {settled[0, place] / 1e6:.0f} to {settled[-1, place] / 1e6:.0f} MB"
        note += f", most {samples[:, place].max() / 1e6:.0f}"
        rows.append(Row(f"soak/{name}", f"growth of the {name} process a call", slope, at_most(most), "KiB", note=note))
    statuses = ", ".join(f"{number} × {status}" for status, number in sorted(counted.items()))
    failed = sum(number for status, number in counted.items() if status >= 500)
    what = f"mixed calls for {seconds / 60:.0f} min"
    rows.append(Row("soak/failed", f"{what}: answered 5xx", failed, at_most(0), "calls", note=f"{total}: {statuses}"))
    for place, name in ((3, "file descriptors"), (4, "threads of the engine")):
        grown = float(settled[-1, place] - settled[0, place])
        note = f"from {settled[0, place]:.0f} to {settled[-1, place]:.0f}"
        rows.append(Row(f"soak/{name}", f"{what}: more {name}", grown, at_most(10), "", note=note))
    rows.append(Row("soak/deaths", f"{what}: engines that ended", float(not same_engine), at_most(0), "engines"))
    return rows
