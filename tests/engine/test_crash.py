"""Engines and api processes that are killed, stopped, hung or broken: every caller gets an answer, no orphan stays."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.engine.host.client import ANSWER_GRACE_S
from service.engine.host.supervisor import SILENT_S
from tests.checks import CAM, NPY, PNG, as_npy, problem, saved, triangle
from tests.conftest import Service, start_service, wait_ready

Start = Callable[..., Service]

PICTURE = saved(triangle())
# A machine that does much else may take so long to recover; `make kills` measures an idle one.
RECOVERY_S = 60


def engine_pid(service: Service) -> int:
    """The engine child, which comes a moment after the api listens."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
        found = [int(pid) for pid in children if b"service.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if found:
            assert len(found) == 1
            return found[0]
        time.sleep(0.02)
    raise AssertionError("the api has no engine child")


def answered(service: Service) -> None:
    """Waits for an answer: on a busy machine the first call may take longer than its deadline."""
    deadline = time.monotonic() + RECOVERY_S
    while (answer := post(service)).status_code != 200:
        assert time.monotonic() < deadline, answer.text


def gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def post(service: Service, path: str = CAM, timeout_s: float = 60) -> httpx.Response:
    return httpx.post(service.url + path, content=PICTURE, headers=PNG, timeout=timeout_s)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("victim"), preload="shapes")
    yield running
    running.stop()


def test_ten_callers_survive_a_killed_engine(victim: Service) -> None:
    """They wait for a model that is being loaded when the engine dies."""
    first = engine_pid(victim)
    with ThreadPoolExecutor(10) as threads:
        calls = [threads.submit(post, victim, "/v1/models/efficientnet-lite0/cam") for _ in range(10)]
        time.sleep(0.3)
        assert not any(call.done() for call in calls), "the calls are still waiting"
        os.kill(first, signal.SIGKILL)
        killed = time.monotonic()
        answers = [call.result(timeout=RECOVERY_S) for call in calls]
    for answer in answers:
        if answer.status_code != 200:
            problem(answer, 503, "engine-unavailable")
            assert int(answer.headers["retry-after"]) >= 1
    assert wait_ready(victim, killed + RECOVERY_S)
    assert post(victim).status_code == 200
    assert engine_pid(victim) != first
    assert sum(answer.status_code == 200 for answer in answers) == 10, "one retry was enough"


def test_an_idle_engine_that_dies_is_replaced(victim: Service) -> None:
    first = engine_pid(victim)
    os.kill(first, signal.SIGKILL)
    killed = time.monotonic()
    assert gone(first, 5)
    assert victim.client.get("/livez").status_code == 200
    assert post(victim).status_code == 200, "a caller only waits longer"
    assert time.monotonic() - killed < RECOVERY_S


def test_sigterm_answers_calls_in_flight_and_leaves_no_orphan(tmp_path: Path, starting: Start) -> None:
    running = starting(tmp_path, preload="shapes", shutdown_grace_s="60")
    engine = engine_pid(running)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(post, running, "/v1/models/efficientnet-lite0/cam")
        time.sleep(0.3)
        assert not call.done()
        running.process.send_signal(signal.SIGTERM)
        assert call.result(timeout=60).status_code == 200
    assert running.process.wait(60) == 0
    assert gone(engine, 5)
    assert b"Traceback" not in running.log.read_bytes()


def test_a_killed_api_takes_its_engine_along(tmp_path: Path, starting: Start) -> None:
    running = starting(tmp_path, preload="shapes")
    engine = engine_pid(running)
    running.process.kill()
    assert gone(engine, 5)


def test_a_killed_api_takes_even_a_hung_engine_along(tmp_path: Path, starting: Start) -> None:
    running = starting(tmp_path, ready=False)
    engine = engine_pid(running)
    # It loads TensorFlow after it has asked the kernel to end with its parent.
    deadline = time.monotonic() + 30
    while b"tensorflow" not in Path(f"/proc/{engine}/maps").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(engine, signal.SIGSTOP)
    running.process.kill()
    assert gone(engine, 5)


def test_an_api_killed_while_its_engine_starts(tmp_path: Path, starting: Start) -> None:
    running = starting(tmp_path, ready=False)
    engine = engine_pid(running)
    running.process.kill()
    assert gone(engine, 5)


def test_ctrl_c_while_the_engine_starts(tmp_path: Path, starting: Start) -> None:
    running = starting(tmp_path, ready=False)
    engine = engine_pid(running)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(15) == 0
    assert gone(engine, 5)
    assert b"Traceback" not in running.log.read_bytes()


def test_a_hung_engine_is_ended(tmp_path: Path, starting: Start) -> None:
    deadline_s = 2.5
    running = starting(tmp_path, preload="shapes", call_deadline_s=str(deadline_s), queue_limit="4")
    answered(running)
    engine = engine_pid(running)
    os.kill(engine, signal.SIGSTOP)
    stopped = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(post, running) for _ in range(2)]
        time.sleep(0.5)
        started = time.monotonic()
        refused = post(running)
        assert time.monotonic() - started < deadline_s
        problem(refused, 503, "queue-full", "4 cost units", "no more than 4")
        assert int(refused.headers["retry-after"]) >= 1
        ready = running.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "engine not up")
        answers = [call.result(timeout=30) for call in calls]
    waited = time.monotonic() - stopped
    for answer in answers:
        # By then the supervisor has noticed, or is about to.
        status, kind = (503, "engine-unavailable") if answer.status_code == 503 else (504, "deadline-exceeded")
        problem(answer, status, kind, "2.5 s")
    assert deadline_s <= waited < deadline_s + ANSWER_GRACE_S + 2
    assert gone(engine, SILENT_S + 3)
    assert wait_ready(running, time.monotonic() + RECOVERY_S)
    answered(running)
    assert engine_pid(running) != engine


def test_an_engine_that_cannot_start(tmp_path: Path, starting: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise ImportError('no such library')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    running = starting(tmp_path / "run", ready=False, call_deadline_s="2")
    answer = post(running)
    problem(answer, 503, "engine-unavailable", "did not come up", "2 s", "log")
    assert int(answer.headers["retry-after"]) >= 1
    live = running.client.get("/livez")
    assert (live.status_code, live.json()["status"]) == (200, "ok")
    assert running.client.get("/readyz").status_code == 503
    rows = running.client.get("/v1/models").json()["models"]
    assert {row["state"] for row in rows} == {"cold"}
    waits: list[float] = []
    deadline = time.monotonic() + 20
    while len(waits) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        ended = [event for event in running.events() if event["event"] == "engine ended"]
        waits = [float(str(event["restart_in_s"])) for event in ended]
    assert waits[1] == 2 * waits[0]
    assert running.stop() == 0


def test_many_callers_at_once_get_the_same_answer(victim: Service) -> None:
    """Some of them in one batch, whose arithmetic rounds another way."""
    content = as_npy(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))

    def call(number: int) -> np.ndarray[Any, Any]:
        target = f"{victim.url}{CAM}?format=npy&target={number % 3}"
        answer = httpx.post(target, content=content, headers=NPY, timeout=60)
        assert answer.status_code == 200
        return np.asarray(np.load(io.BytesIO(answer.content)))

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(call, range(48)))
    for number, heatmap in enumerate(answers):
        np.testing.assert_allclose(heatmap, answers[number % 3], atol=1e-5 * answers[number % 3].max())
    assert not np.allclose(answers[0], answers[1])


@pytest.mark.soak
def test_a_model_that_ends_the_engine_twice_is_quarantined(tmp_path: Path, starting: Start) -> None:
    """The model is as one that makes a library crash: the engine dies whenever it computes it. Others are computed as
    before."""
    running = starting(tmp_path, preload="shapes,efficientnet-lite0", cache_bytes="0")
    slow = "/v1/models/efficientnet-lite0/occlusion?patch=16&stride=6&strategy=full"
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(post, running, slow)
        for _ in range(2):
            assert wait_ready(running, time.monotonic() + RECOVERY_S)
            time.sleep(1.0)
            assert not call.done(), "it takes seconds, and is tried again when the engine is back"
            os.kill(engine_pid(running), signal.SIGSEGV)
            time.sleep(0.3)
        problem(call.result(), 503, "engine-unavailable", "ended twice")
    refused = post(running, "/v1/models/efficientnet-lite0/predict")
    problem(refused, 409, "model-quarantined", "2 times in a row", "'efficientnet-lite0'", "POST …/load")
    assert wait_ready(running, time.monotonic() + RECOVERY_S)
    assert post(running).status_code == 200, "another model"
    assert running.client.post("/v1/models/efficientnet-lite0/load").status_code == 204
    assert post(running, "/v1/models/efficientnet-lite0/predict").status_code == 200
