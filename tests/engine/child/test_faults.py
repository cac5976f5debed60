"""The engine without memory, the engine that hangs while others wait, and a clock that jumps."""

from __future__ import annotations

import glob
import os
import re
import resource
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from tests.checks import CAM, PNG, problem, saved, triangle
from tests.conftest import Service, start_service, wait_ready
from tests.engine.test_crash import RECOVERY_S, engine_pid, post

PICTURE = saved(triangle())
LIBRARIES = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob("/usr/lib*/faketime/libfaketime.so.1")


def address_space(pid: int) -> int:
    found = re.search(r"VmSize:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.mark.soak
def test_an_engine_without_memory(tmp_path: Path) -> None:
    """No more address space from one moment to the next: what cannot be loaded is answered 503, or by the engine's
    successor where it could not go on; with memory again all is answered, and no model is blamed."""
    running = start_service(tmp_path, preload="shapes", cache_bytes="0", run_jobs="false")
    other = "/v1/models/efficientnet-lite0/predict"
    try:
        assert post(running).status_code == 200
        engine = engine_pid(running)
        resource.prlimit(engine, resource.RLIMIT_AS, (address_space(engine) + 2**20, resource.RLIM_INFINITY))
        with ThreadPoolExecutor(4) as threads:
            calls = [threads.submit(post, running, other) for _ in range(4)]
            answers = [call.result() for call in calls]
        for answer in answers:
            if answer.status_code != 200:
                kind = answer.json()["type"].rpartition(":")[2]
                assert kind in ("out-of-memory", "engine-unavailable"), answer.text
                problem(answer, 503, kind)
                assert int(answer.headers["retry-after"]) >= 1
        assert wait_ready(running, time.monotonic() + RECOVERY_S)
        resource.prlimit(engine_pid(running), resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert [post(running, path).status_code for path in (CAM, other)] == [200, 200]
    finally:
        running.stop()


@pytest.mark.soak
def test_who_has_time_outlives_a_hung_engine(tmp_path: Path) -> None:
    """The call whose time is over gets 504 and ends the engine; the next computes those that still have time."""
    running = start_service(tmp_path, preload="shapes", cache_bytes="0", run_jobs="false")
    try:
        assert post(running).status_code == 200
        engine = engine_pid(running)
        os.kill(engine, signal.SIGSTOP)

        def call(seconds: float) -> httpx.Response:
            headers = PNG | {"X-Timeout": str(seconds)}
            return httpx.post(running.url + CAM, content=PICTURE, headers=headers, timeout=60)

        with ThreadPoolExecutor(4) as threads:
            patient = [threads.submit(call, 50) for _ in range(3)]
            problem(threads.submit(call, 1).result(), 504, "deadline-exceeded", "1 s")
            assert [each.result().status_code for each in patient] == [200, 200, 200]
        assert engine_pid(running) != engine
    finally:
        running.stop()


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[tuple[Service, Path, dict[str, str]]]:
    """A service whose wall clock a file sets, and a key that expires in an hour."""
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    shift = tmp_path / "shift"
    shift.write_text("+0\n")
    key, record = new_key("hour", frozenset({Scope.EXPLAIN, Scope.JOBS}), timedelta(hours=1))
    KeyStore(tmp_path / "data").add(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", LIBRARIES[0])
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(shift))
        patch.setenv("FAKETIME_NO_CACHE", "1")
        patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        running = start_service(tmp_path, preload="shapes", cache_bytes="0", run_jobs="false", call_deadline_s="120")
    yield running, shift, {"Authorization": f"Bearer {key}"}
    running.stop()


@pytest.mark.soak
def test_a_clock_that_jumps(clock: tuple[Service, Path, dict[str, str]]) -> None:
    """Keys expire by the time of day; what waits for an answer does not notice that it has changed."""
    service, shift, key = clock

    def status(path: str = "/v1/methods") -> int:
        return service.client.get(path, headers=key).status_code

    def years() -> set[str]:
        return {str(event["timestamp"])[:4] for event in service.events()}

    now = time.gmtime().tm_year
    assert (status(), years()) == (200, {str(now)})
    slow = f"{service.url}/v1/models/efficientnet-lite0/cam"
    # Both ways by more than the deadline of a call.
    for jump in ("-400d", "+59m"):
        with ThreadPoolExecutor(3) as threads:
            calls = [
                threads.submit(httpx.post, slow, content=PICTURE, headers=key | PNG, timeout=150) for _ in range(3)
            ]
            time.sleep(0.3)
            shift.write_text(f"{jump}\n")
            assert [call.result().status_code for call in calls] == [200, 200, 200]
        assert (status("/readyz"), status()) == (200, 200)
    assert str(now - 1) in years() or str(now - 2) in years(), "the service saw the other time"
    shift.write_text("+61m\n")
    assert status() == 401, "the key has expired"
    shift.write_text("+0\n")
    assert status() == 200
