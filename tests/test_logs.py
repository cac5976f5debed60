"""One request can be followed by its ID through the api, the engine and the worker, whatever runs beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.checks import PNG, saved, triangle
from tests.conftest import ROOT, Service, start_service

PICTURE = saved(triangle())
LIMIT_S = 60
REQUEST, ANSWERED = ("api", "request"), ("engine", "call answered")


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("chatty"), preload="", log_level="debug", cache_bytes="0")
    yield running
    running.stop()


def post(service: Service, model: str, request_id: str, **headers: str) -> httpx.Response:
    given = {**PNG, "X-Request-Id": request_id, **headers}
    return service.client.post(f"/v1/models/{model}/cam", content=PICTURE, headers=given)


def lines(
    service: Service, request_id: str, *wanted: tuple[str, str], limit_s: float = 10
) -> dict[tuple[str, str], dict[str, Any]]:
    """The log lines of a request by process and event, once `wanted` are there: a line may come after the answer."""
    until = time.monotonic() + limit_s
    while True:
        found = [event for event in service.events() if event.get("request_id") == request_id]
        by_name = {(str(event["process"]), str(event["event"])): event for event in found}
        if set(wanted) <= set(by_name) or time.monotonic() > until:
            assert len(by_name) == len(found)
            return by_name
        time.sleep(0.05)


def test_a_call_in_api_and_engine(chatty: Service) -> None:
    assert post(chatty, "shapes", "call-1").status_code == 200
    found = lines(chatty, "call-1", REQUEST, ANSWERED)
    assert set(found) == {("engine", "model warm"), ("engine", "call answered"), ("api", "request")}
    assert {event["model"] for event in found.values()} == {"shapes"}
    assert found["engine", "call answered"]["engine_ms"] > 0
    assert found["api", "request"]["status"] == 200


def test_what_is_refused_by_the_engine(chatty: Service) -> None:
    headers = {**PNG, "X-Request-Id": "call-2"}
    answer = chatty.client.post("/v1/models/shapes/cam?layer=nothing", content=PICTURE, headers=headers)
    assert (answer.status_code, answer.json()["instance"]) == (404, "call-2")
    found = lines(chatty, "call-2", REQUEST, ANSWERED)
    assert (found["api", "request"]["status"], found["api", "request"]["model"]) == (404, "shapes")
    assert found["engine", "call answered"]["model"] == "shapes"


def test_calls_side_by_side_keep_their_own(chatty: Service) -> None:
    wanted = {f"beside-{number}": ("shapes", "efficientnet-lite0")[number % 2] for number in range(12)}
    with ThreadPoolExecutor(12) as threads:
        done = [threads.submit(post, chatty, model, name) for name, model in wanted.items()]
        assert {call.result().status_code for call in done} == {200}
    for name, model in wanted.items():
        found = lines(chatty, name, REQUEST, ANSWERED)
        assert {event["model"] for event in found.values()} == {model}
        assert {("engine", "call answered"), ("api", "request")} <= set(found)


def finished(service: Service, request_id: str) -> str:
    answer = post(service, "shapes", request_id, Prefer="respond-async")
    job = str(answer.json()["id"])
    service.client.get(f"/v1/jobs/{job}/events", headers={"X-Request-Id": "listening"})
    return job


def test_a_job_in_the_engine(chatty: Service) -> None:
    job = finished(chatty, "job-1")
    found = lines(chatty, "job-1", REQUEST, ("engine", "job succeeded"))
    assert set(found) == {
        ("api", "job submitted"), ("api", "request"), ("engine", "job started"), ("engine", "job succeeded"),
    } | ({("engine", "call answered")} & set(found))  # fmt: skip
    for name in ("job started", "job succeeded"):
        assert (found["engine", name]["job"], found["engine", name]["model"]) == (job, "shapes")
    assert (found["api", "job submitted"]["job"], found["api", "job submitted"]["model"]) == (job, "shapes")
    assert lines(chatty, "listening", REQUEST)[REQUEST]["job"] == job


@pytest.mark.soak
def test_a_job_in_a_worker(tmp_path: Path) -> None:
    running = start_service(tmp_path, preload="", run_jobs="false")
    environment = {**os.environ, "HOME": str(tmp_path), "KERASCOPE_DEVICE": "cpu"}
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "service", "worker", "--data-dir", str(tmp_path / "data")]
        worker = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=ROOT)
    try:
        job = finished(running, "job-2")
        beside = Service(worker, running.client, log)
        found = lines(beside, "job-2", ("worker", "job succeeded"), limit_s=LIMIT_S)
        assert set(found) == {("worker", "job started"), ("worker", "model warm"), ("worker", "job succeeded")}
        assert {(event["job"], event["model"]) for event in found.values()} == {(job, "shapes")}
    finally:
        worker.terminate()
        worker.wait(30)
        running.stop()
