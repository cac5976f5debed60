"""D3: a job that runs when the service is told to stop is saved first, also while callers keep the device busy."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.checks import PNG, saved, triangle
from tests.conftest import Service
from tests.engine.test_crash import engine_pid
from tests.jobs.test_service import wait_for

PICTURE = saved(triangle())
CALL = "/v1/models/shapes/occlusion?patch=4&stride=2&strategy=full"
ASCENT = {"layer": "conv2d_5", "channels": "0-15", "steps": 3000, "preset": "chollet"}


@pytest.mark.parametrize(
    "to_all",
    [pytest.param(False, id="SIGTERM to the api", marks=pytest.mark.soak), pytest.param(True, id="SIGTERM to all")],
)
def test_no_step_that_was_told_is_lost(
    tmp_path: Path,
    starting: Callable[..., Service],
    to_all: bool,
) -> None:
    settings: dict[str, Any] = {"preload": "shapes", "job_checkpoint_s": "600", "shutdown_grace_s": "2"}
    settings["cache_bytes"] = "0"
    running = starting(tmp_path, **settings)
    job = running.client.post("/v1/models/shapes/maximization", json=ASCENT)
    assert job.status_code == 202, job.text
    path = f"/v1/jobs/{job.json()['id']}"
    over = threading.Event()

    def busy() -> None:
        while not over.is_set():
            try:
                httpx.post(running.url + CALL, content=PICTURE, headers=PNG, timeout=20)
            except httpx.HTTPError:
                return

    with ThreadPoolExecutor(6) as threads:
        for _ in range(6):
            threads.submit(busy)
        wait_for(lambda: (running.client.get(path).json()["step"] or 0) >= 10, 60)
        told = running.client.get(path).json()
        assert told["state"] == "running"
        engine = engine_pid(running)
        running.process.send_signal(signal.SIGTERM)
        if to_all:
            # As systemd does, which tells every process of a service.
            os.kill(engine, signal.SIGTERM)
        assert running.process.wait(40) == 0
        over.set()
    again = starting(tmp_path, **settings)
    wait_for(lambda: again.client.get(path).json()["attempts"] >= 2, 60)
    started = [event for event in again.events() if event["event"] == "job started"]
    assert int(str(started[-1]["after_step"])) >= told["step"], "no checkpoint was due for ten minutes"
    again.client.delete(path)
