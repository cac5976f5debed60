"""`/metrics` of the real service: its numbers are those of the calls made, and it answers whatever hangs."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.engine.child.operations import USUAL_METHODS
from service.engine.child.server import IDLE_S
from tests.checks import PNG, saved, triangle
from tests.conftest import Service, start_service, wait_ready
from tests.metrics.scrape import scrape

SOON_S = 1.5
PICTURE = saved(triangle())
ROUTE = "/v1/models/{model_id}/cam"
SHAPES = "/v1/models/shapes/cam"


def cam(service: Service, query: str = "") -> httpx.Response:
    return service.client.post(SHAPES + query, content=PICTURE, headers=PNG)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("measured"), preload="shapes", queue_limit="3")
    until = time.monotonic() + 60
    while sum(event["event"] == "method ready" for event in running.events()) < len(USUAL_METHODS):
        assert time.monotonic() < until
        time.sleep(0.05)
    yield running
    running.stop()


def test_counts_go_up_by_the_calls_made(measured: Service) -> None:
    before = scrape(measured.client)
    for number in range(5):
        assert cam(measured, f"?alpha=0.{number + 1}").status_code == 200
    assert cam(measured, "?alpha=0.1").headers["server-timing"].startswith("cache")
    for name in ("nobody", "nothing"):
        assert measured.client.post(f"/v1/models/{name}/cam", content=PICTURE, headers=PNG).status_code == 404
    after = scrape(measured.client)

    def more(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert more("kerascope_request_seconds_count", route=ROUTE, method="POST", status="200") == 6
    assert more("kerascope_request_seconds_count", route=ROUTE, method="POST", status="404") == 2
    assert more("kerascope_request_seconds_count", route="/metrics", method="GET", status="200") == 1
    assert more("kerascope_request_seconds_bucket", route=ROUTE, status="200", le="+Inf") == 6
    assert more("kerascope_explain_seconds_count", method="cam") == 5
    assert more("kerascope_explain_phase_seconds_count", method="cam", phase="engine") == 5
    assert more("kerascope_answer_cache_hits_total") == 1
    assert more("kerascope_answer_cache_misses_total") == 7
    assert 0 < more("kerascope_explain_seconds_sum", method="cam") <= more("kerascope_request_seconds_sum", route=ROUTE)
    parts = more("kerascope_explain_phase_seconds_sum", method="cam")
    assert parts == pytest.approx(more("kerascope_explain_seconds_sum", method="cam"), rel=0.5)


def test_each_instance_of_a_batch_counts(measured: Service) -> None:
    before = scrape(measured.client)
    batch = {"instances": [{"b64": base64.b64encode(PICTURE).decode()}] * 2}
    assert measured.client.post("/v1/models/shapes:predict", json=batch).status_code == 200
    after = scrape(measured.client)
    counts = [found("kerascope_explain_seconds_count", method="predict") for found in (before, after)]
    assert counts[1] - counts[0] == 2


def test_state_of_the_engine_and_its_models(measured: Service) -> None:
    found = scrape(measured.client)
    assert found("kerascope_requests_in_flight") == 1
    assert found("kerascope_engine_up", engine="0") == 1
    assert found("kerascope_queue_calls", engine="0") == found("kerascope_queue_units", engine="0") == 0
    assert found("kerascope_queue_limit_units", engine="0") == 3
    row = next(row for row in measured.client.get("/v1/models").json()["models"] if row["id"] == "shapes")
    assert found("kerascope_warm_models", engine="0") == 1
    assert found("kerascope_traces", engine="0") == row["traces"] > 0
    parts = {part: row[f"{part}_bytes"] for part in ("weight", "folded", "layer", "plan")}
    for part, taken in parts.items():
        assert found("kerascope_model_bytes", engine="0", model="shapes", part=part) == taken
    assert parts.pop("folded") == 0, "this network has no normalisation"
    assert min(parts.values()) > 100_000
    assert found("kerascope_warm_bytes", engine="0") == sum(parts.values())
    assert found("kerascope_budget_bytes", engine="0") == 4 * 1024**3
    time.sleep(3 * IDLE_S)
    found = scrape(measured.client)
    resident, bare, library = (
        found(f"kerascope_engine_{name}_bytes", engine="0") for name in ("resident", "bare", "library")
    )
    assert bare > 200e6
    # What is told makes up what the process holds, at rest.
    assert resident == pytest.approx(bare + sum(parts.values()) + library, rel=0.05)
    assert 50e6 < found("process_resident_memory_bytes") < 400e6
    assert found.kinds["kerascope_request_seconds"] == "histogram"
    assert found.kinds["kerascope_engine_restarts"] == "counter"


def test_a_job_counts(measured: Service) -> None:
    assert scrape(measured.client)("kerascope_jobs", state="succeeded") == 0
    done = measured.client.post(SHAPES, content=PICTURE, headers={**PNG, "Prefer": "respond-async"}).json()
    measured.client.get(f"/v1/jobs/{done['id']}/events")
    found = scrape(measured.client)
    assert found("kerascope_jobs", state="succeeded") == 1
    assert found("kerascope_jobs") == 1
    assert found("kerascope_database_up") == 1


def test_unknown_paths_and_methods_add_no_series(measured: Service) -> None:
    measured.client.get("/nothing")
    measured.client.request("BREW", "/livez")
    before = scrape(measured.client)
    methods = ("GET", "BREW")
    answers = [measured.client.request(methods[n % 2], f"/nothing/{n}").status_code for n in range(1000)]
    after = scrape(measured.client)
    assert set(after.samples) == set(before.samples)
    counted = [found("kerascope_request_seconds_count", route="other") for found in (before, after)]
    assert counted[1] - counted[0] == answers.count(404) >= 500
    for number in range(50):
        assert measured.client.post(f"/v1/models/m{number}/cam", content=PICTURE, headers=PNG).status_code == 404
    assert set(scrape(measured.client).samples) == set(before.samples)


def test_a_killed_engine_raises_restarts_by_one(measured: Service) -> None:
    before = scrape(measured.client)("kerascope_engine_restarts_total", engine="0")
    os.kill(engine_pid(measured), signal.SIGKILL)
    until = time.monotonic() + 10
    while scrape(measured.client)("kerascope_engine_restarts_total") == before and time.monotonic() < until:
        time.sleep(0.05)
    down = scrape(measured.client)
    assert down("kerascope_engine_restarts_total", engine="0") == before + 1
    assert down("kerascope_engine_up", engine="0") == 0
    assert not down.has("kerascope_warm_models")
    assert wait_ready(measured, time.monotonic() + 60)
    found = scrape(measured.client)
    assert found("kerascope_engine_up", engine="0") == 1
    assert found("kerascope_engine_restarts_total", engine="0") == before + 1


@pytest.mark.soak
def test_it_answers_while_the_engine_hangs_and_what_is_refused_counts(measured: Service) -> None:
    pid = engine_pid(measured)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        found = scrape(measured.client)
        assert time.monotonic() - began < SOON_S
        assert found("kerascope_engine_up", engine="0") == 0
        assert not found.has("kerascope_traces")
        assert found("kerascope_engine_resident_bytes", engine="0") > 200e6
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(cam, measured, "?alpha=0.01")
            time.sleep(0.3)
            assert cam(measured, "?alpha=0.02").status_code == 503
            busy = scrape(measured.client)
            os.kill(pid, signal.SIGCONT)
            assert waiting.result().status_code == 200
        assert busy("kerascope_queue_units", engine="0") == 2
        assert busy("kerascope_requests_in_flight") == 2
        assert busy("kerascope_refused_calls_total") - found("kerascope_refused_calls_total") == 1
        assert busy("kerascope_request_seconds_count", route=ROUTE, status="503") == 1
        assert scrape(measured.client)("kerascope_queue_units", engine="0") == 0
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.soak
def test_it_answers_while_the_engine_starts_and_the_database_hangs(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        url = f"postgresql://kerascope@127.0.0.1:{silent.getsockname()[1]}/kerascope"
        running = start_service(tmp_path, ready=False, database_url=url, preload="shapes", shutdown_grace_s="0")
        try:
            for _ in range(3):
                began = time.monotonic()
                found = scrape(running.client)
                assert time.monotonic() - began < SOON_S
                assert found("kerascope_database_up") == 0
                assert not found.has("kerascope_jobs")
                assert found.has("kerascope_engine_up", engine="0")
        finally:
            running.process.kill()
            running.stop()


@pytest.mark.soak
def test_refused_calls_by_status(tmp_path: Path) -> None:
    from service.keys.key import new_key
    from service.keys.scope import Scope
    from service.keys.store import KeyStore

    store, keys = KeyStore(tmp_path / "data"), {}
    for scope in (Scope.EXPLAIN, Scope.ADMIN):
        keys[scope], key = new_key(scope.value, frozenset({scope}))
        store.add(key)
    running = start_service(tmp_path, ready=False, preload="", rate_limit="2/hour")
    try:
        assert running.client.get("/metrics").status_code == 401
        as_explainer = {"authorization": f"Bearer {keys[Scope.EXPLAIN]}"}
        assert running.client.get("/metrics", headers=as_explainer).status_code == 403
        codes = [running.client.get("/v1/methods", headers=as_explainer).status_code for _ in range(5)]
        assert codes == [200, 200, 429, 429, 429]
        found = scrape(running.client, authorization=f"Bearer {keys[Scope.ADMIN]}")
        refused = {
            code: found("kerascope_refused_calls_total", status=code) for code in ("401", "403", "408", "429", "503")
        }
        assert refused == {"401": 1, "403": 1, "408": 0, "429": 3, "503": 0}
        assert [event["status"] for event in running.told(2, path="/metrics")] == [401, 403]
    finally:
        running.stop()


@pytest.mark.soak
def test_connections_that_are_refused(tmp_path: Path) -> None:
    running = start_service(tmp_path, ready=False, preload="", max_connections="3", header_timeout_s="1.5")
    try:
        address = ("127.0.0.1", int(running.url.rpartition(":")[2]))
        before = scrape(running.client)
        assert before("kerascope_connections_open") == 1
        with socket.create_connection(address) as silent, socket.create_connection(address):
            with socket.create_connection(address) as refused:
                assert refused.recv(12) == b"HTTP/1.1 503"
            time.sleep(0.2)
            during = scrape(running.client)
            assert during("kerascope_connections_open") == 3
            assert silent.recv(12) == b"HTTP/1.1 408"
        after = scrape(running.client)
        assert after("kerascope_refused_calls_total", status="503") == 1
        assert after("kerascope_refused_calls_total", status="408") == 2
    finally:
        running.stop()


def test_openmetrics_where_it_is_asked_for(measured: Service) -> None:
    answer = measured.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    assert not re.search(r"_created\b", answer.text)


def engine_pid(service: Service) -> int:
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    return next(int(pid) for pid in children if b"service.worker" in Path(f"/proc/{pid}/cmdline").read_bytes())
