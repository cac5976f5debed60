"""The processes themselves: how soon the service answers, how much memory it takes, whether it stays responsive."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from tests.benchmarks.bench import Bench
from tests.benchmarks.callers import Caller, traces_row
from tests.benchmarks.rows import Row, at_most
from tests.conftest import Service, start_service

SMALL_MODEL = "shapes"
POLL_S = 0.005
SAMPLE_EVERY = 20
# What a mix of requests is made of; one in ten goes to the last network of the bench.
MIX = (
    ("predict", {}),
    ("cam", {}),
    ("saliency", {}),
    ("activations", {"layers": "conv2d,conv2d_1"}),
    ("occlusion", {"patch": 14, "stride": 14}),
    ("cam", {"method": "layercam", "format": "npy"}),
)


def resident_bytes(pid: int) -> int:
    """The resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kibibytes,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(kibibytes) * 1024


def child_of(pid: int) -> int:
    """The one child of a process: the engine of an api process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])


def starts(bench: Bench) -> Row:
    """Measures the time from the start of `kerascope serve` to its first answer."""
    taken = []
    for number in range(bench.scale.starts):
        started = time.perf_counter()
        service = start_service(bench.folder / f"start{number}", ready=False, preload="")
        try:
            service.client.get("/livez").raise_for_status()
            taken.append(time.perf_counter() - started)
        finally:
            service.stop()
    note = f"median of {len(taken)}, api and engine starting at once"
    return Row("start", "/livez answers after the start", statistics.median(taken), at_most(2.5), "s", note=note)


def memory(bench: Bench) -> list[Row]:
    """Resident memory of the api process, growth of the engine's a request, and traces, over a mix of requests."""
    scale = bench.scale
    service = start_service(bench.folder / "mix", models_dir=bench.models, preload=SMALL_MODEL)
    try:
        caller = Caller(service.client, bench.pictures)
        api, engine = service.process.pid, child_of(service.process.pid)
        at_start = resident_bytes(api)
        send = _mix(bench, caller)
        for number in range(scale.shapes):
            send(number)
        traces = settled(caller, scale.rest_s)
        sizes = []
        for number in range(scale.requests):
            send(number)
            if number % SAMPLE_EVERY == 0:
                sizes.append((number, resident_bytes(engine)))
        slope = float(np.polyfit(*np.array(sizes, np.float64).T, 1)[0]) / 1024
        mix = f"{scale.requests} requests of {len(MIX)} kinds, {scale.shapes} image shapes"
        first, last = (sizes[place][1] / 1e6 for place in (0, -1))
        ends = f"{mix}, from {first:.0f} to {last:.0f} MB; the {scale.shapes} requests before to warm up do not count"
        at_end = resident_bytes(api)
        return [
            Row("memory/start", "resident memory of the api when ready", at_start / 1e6, at_most(130, 150), "MB"),
            Row("memory/api", "the same after a mix of requests", at_end / 1e6, at_most(160, 150), "MB", note=mix),
            Row("memory/slope", "growth of the engine a request", slope, at_most(2), "KiB", note=ends),
            traces_row("memory/traces", "traces that the mix adds after the warm-up", traces, caller.traces()),
        ]
    finally:
        service.stop()


def settled(caller: Caller, rest_s: float) -> int | None:
    """Gives the traces once there are no new ones for a while: the usual methods are compiled while nobody computes."""
    known = caller.traces()
    while True:
        time.sleep(rest_s)
        if (traces := caller.traces()) == known:
            return traces
        known = traces


def _mix(bench: Bench, caller: Caller) -> Callable[[int], object]:
    random = np.random.default_rng(0)
    shapes = [tuple(int(side) for side in random.integers(24, 320, 2)) for _ in range(bench.scale.shapes)]
    last = bench.scale.networks[-1]

    def send(number: int) -> object:
        content = bench.pictures.png(shapes[number % len(shapes)])
        if number % 10 == 9:
            return caller.post(last.id, "cam", content)
        method, query = MIX[number % len(MIX)]
        return caller.post(SMALL_MODEL, method, content, **query)

    return send


def responsive(bench: Bench) -> Row:
    """The 99th percentile of `/livez` while another caller has functions traced and computed without a pause."""
    taken: list[float] = []
    done = threading.Event()
    poller = threading.Thread(target=_poll, args=(bench.service, done, taken))
    started = time.perf_counter()
    calls = 0
    poller.start()
    try:
        for work in _work(bench):
            work()
            calls += 1
            if time.perf_counter() - started > bench.scale.livez_s:
                break
    finally:
        done.set()
        poller.join()
    figure = float(np.percentile(taken, 99)) * 1e3
    note = f"{len(taken)} samples during {calls} calls that trace and compute; longest {max(taken) * 1e3:.0f} ms"
    return Row("livez", "p99 of /livez while the engine traces and computes", figure, at_most(50), "ms", note=note)


def _work(bench: Bench) -> list[Callable[[], object]]:
    """Calls at layers that were not asked for before, and in turns with them one that computes for long."""
    network = bench.scale.networks[1]
    rows = bench.service.client.get(f"/v1/models/{network.id}/layers").raise_for_status().json()["layers"]
    layers = [row["path"] for row in rows if "cam" in row["methods"]]
    size = {"patch": network.size // 4, "stride": network.size // 4}

    def traced(layer: str) -> Callable[[], object]:
        return lambda: bench.caller.post(network.id, "cam", layer=layer)

    def computed() -> object:
        return bench.caller.post(network.id, "occlusion", **size)

    return list(itertools.chain.from_iterable((traced(layer), computed) for layer in reversed(layers)))


def _poll(service: Service, done: threading.Event, taken: list[float]) -> None:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        client.get("/livez")
        while not done.is_set():
            started = time.perf_counter()
            client.get("/livez").raise_for_status()
            taken.append(time.perf_counter() - started)
            time.sleep(POLL_S)
