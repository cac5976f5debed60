"""H14: told to stop, the service finishes what it took, says that it stops, and ends with 0."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.checks import PNG, problem, saved, triangle
from tests.conftest import Service, start_service

PICTURE = saved(triangle(224, 224))
# Some seconds of computing on two cores.
SLOW = "/v1/models/efficientnet-lite0/occlusion?patch=16&stride=12&strategy=full"
Start = Callable[..., Service]


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Start]:
    started: list[Service] = []

    def start(**settings: str) -> Service:
        started.append(start_service(tmp_path, cache_bytes="0", preload="efficientnet-lite0", **settings))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()
        running.client.close()


def slow(service: Service, path: str = SLOW) -> httpx.Response:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        return client.post(path, content=PICTURE, headers=PNG)


def test_what_was_taken_is_finished(starting: Start) -> None:
    running = starting(drain_delay_s="1.5")
    with ThreadPoolExecutor(2) as threads:
        # Half as long, so that they end within the grace where others compute beside this test, too.
        calls = [threads.submit(slow, running, SLOW.replace("stride=12", "stride=16")) for _ in range(2)]
        time.sleep(0.5)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        ready = running.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
        assert running.client.get("/livez").status_code == 200
        late = running.client.post("/v1/models/efficientnet-lite0/predict", content=PICTURE, headers=PNG)
        assert late.status_code == 200, "balancers have not noticed yet, so calls are still taken"
        assert [call.result().status_code for call in calls] == [200, 200]
    assert running.process.wait(20) == 0
    assert time.monotonic() - began > 1.4
    with pytest.raises(httpx.TransportError):
        running.client.get("/livez")


def test_a_call_longer_than_the_grace_is_told(starting: Start) -> None:
    running = starting(shutdown_grace_s="1")
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(slow, running) for _ in range(3)]
        time.sleep(0.5)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        for call in calls:
            answer = call.result()
            if answer.status_code != 200:
                problem(answer, 503, "engine-unavailable", "is being stopped")
                assert int(answer.headers["retry-after"]) >= 1
        assert calls[-1].result().status_code == 503, "three of them take longer than a second"
    assert running.process.wait(15) == 0
    assert time.monotonic() - began < 10


@pytest.mark.soak
def test_the_second_signal_ends_it(starting: Start) -> None:
    running = starting(drain_delay_s="60", shutdown_grace_s="60")
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(slow, running)
        time.sleep(0.5)
        began = time.monotonic()
        for _ in range(3):
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert running.process.wait(15) == 0
        assert time.monotonic() - began < 10
        problem(call.result(), 503, "engine-unavailable", "is being stopped")
