"""Jobs of the real service, with the real engine and model, while everything around them is killed."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from tests.conftest import ROOT, Service, start_service
from tests.jobs.helpers import Postgres

# Takes long.
pytestmark = pytest.mark.soak

ASCENT = "/v1/models/shapes/maximization"
KILLS = 8
JOBS = 18
SEEDS = 3
SETTINGS = {"job_lease_s": "3", "job_checkpoint_s": "0.3", "preload": "shapes", "cpu_threads": "1"}


def work(seed: int, steps: int = 250) -> dict[str, Any]:
    """A job of about two seconds."""
    return {"layer": "conv2d_3", "channels": "0-15", "steps": steps, "seed": seed, "format": "npy"}


class Cluster:
    """A service and a `kerascope worker` beside it on one database; whoever is killed is started again."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._settings = SETTINGS | settings
        self.service = self._serve()
        self.worker = self._work()

    def kill(self, whom: str) -> None:
        if whom == "api":
            self.service.client.close()
            self.service.process.kill()
            self.service.process.wait()
            self.service = self._serve()
        elif whom == "worker":
            self.worker.kill()
            self.worker.wait()
            self.worker = self._work()
        else:
            for engine in self.engines():
                os.kill(engine, signal.SIGKILL)

    def engines(self) -> list[int]:
        children = Path(f"/proc/{self.service.process.pid}/task/{self.service.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def log(self) -> list[dict[str, Any]]:
        """The lines of everybody, restarts included, as they were written."""
        lines = [line for path in self.folder.glob("**/*.log") for line in path.read_bytes().splitlines()]
        return sorted(
            (orjson.loads(line) for line in lines if line.startswith(b"{")), key=lambda line: line["timestamp"]
        )

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.service.client.get("/v1/jobs", params={"limit": 500}).json()["jobs"])

    def state(self, job: str) -> str:
        return str(self.service.client.get(f"/v1/jobs/{job}").json()["state"])

    def submit(self, **query: Any) -> str:
        answer = self.service.client.post(ASCENT, params=query, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def result(self, job: str) -> np.ndarray[Any, Any]:
        answer = self.service.client.get(f"/v1/jobs/{job}/result")
        assert answer.status_code == 200, answer.text
        return np.asarray(np.load(io.BytesIO(answer.content)))

    def stop(self) -> tuple[int, int]:
        """Exit codes of worker and service."""
        self.worker.terminate()
        return self.worker.wait(30), self.service.stop()

    def _serve(self) -> Service:
        # The log of each start is kept; the data folder is that of the first.
        place = self.folder / f"serve-{time.monotonic_ns()}"
        return start_service(place, ready=False, data_dir=self.folder / "data", **self._settings)

    def _work(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("KERAS", "TF_"))}
        environment |= {"HOME": str(self.folder), "KERASCOPE_DEVICE": "cpu"}
        environment |= {f"KERASCOPE_{name.upper()}": value for name, value in self._settings.items()}
        command = [sys.executable, "-m", "service", "worker", "--data-dir", str(self.folder / "data")]
        with (self.folder / f"worker-{time.monotonic_ns()}.log").open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=ROOT)


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    started: list[Cluster] = []

    def start(**settings: str) -> Cluster:
        started.append(Cluster(tmp_path, **settings))
        return started[-1]

    yield start
    for cluster in started:
        cluster.stop()


def wait_for(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)


def chaos(cluster: Cluster) -> None:
    """Eight kills at random while 18 jobs run: all end right, none twice, none is lost, some are gone on with."""
    dice = random.Random(4)
    expected = {}
    for seed in range(SEEDS):
        job = cluster.submit(**work(seed))
        wait_for(lambda job=job: cluster.state(job) == "succeeded", 60)
        expected[seed] = cluster.result(job)
    jobs = {
        cluster.submit(**work(number % SEEDS), priority=dice.randint(1, 9)): number % SEEDS for number in range(JOBS)
    }
    victims = ["api", "api", "engine", "engine", "engine", "worker", "worker", "worker"]
    dice.shuffle(victims)
    for victim in victims:
        time.sleep(dice.uniform(1.5, 4))
        cluster.kill(victim)

    def over() -> bool:
        try:
            return all(row["state"] not in ("queued", "running") for row in cluster.jobs())
        except httpx.TransportError:
            return False

    wait_for(over, 200)
    rows = {row["id"]: row for row in cluster.jobs()}
    assert len(rows) == SEEDS + JOBS
    assert {rows[job]["state"] for job in jobs} == {"succeeded"}
    for job, seed in jobs.items():
        np.testing.assert_array_equal(cluster.result(job), expected[seed])
    lines = cluster.log()
    ends = [line["job"] for line in lines if line["event"] == "job succeeded"]
    assert len(ends) == len(set(ends)), "no job is done twice"
    again = [line for line in lines if line["event"] == "job started" and line["attempt"] > 1]
    resumed = [line for line in again if line["after_step"]]
    assert resumed


def test_chaos(starting: Callable[..., Cluster]) -> None:
    chaos(starting())


@pytest.mark.soak
def test_chaos_on_postgresql(starting: Callable[..., Cluster], postgres: Postgres) -> None:
    chaos(starting(database_url=postgres.new_database()))


def test_a_job_outlives_a_restart_of_everything(starting: Callable[..., Cluster]) -> None:
    cluster = starting(job_lease_s="30")
    wait_for(lambda: cluster.service.client.get("/readyz").status_code == 200, 60)
    running, waiting = (cluster.submit(**work(seed, steps=900)) for seed in range(2))
    third = cluster.submit(**work(2, steps=1))
    wait_for(lambda: any(row["id"] == running and (row["step"] or 0) > 0 for row in cluster.jobs()), 60)
    assert cluster.stop() == (0, 0)
    again = Cluster(cluster.folder)
    try:
        wait_for(lambda: {row["state"] for row in again.jobs()} == {"succeeded"}, 120)
        assert [again.result(job).shape for job in (running, waiting, third)] == [(16, 28, 28, 3)] * 3
        first = next(row for row in again.jobs() if row["id"] == running)
        assert first["attempts"] >= 2
        starts = [line for line in again.log() if line["event"] == "job started" and line["job"] == running]
        assert starts[-1]["after_step"] > 0
    finally:
        again.stop()


def test_an_expired_result_is_gone(starting: Callable[..., Cluster]) -> None:
    cluster = starting(result_ttl_s="1")
    job = cluster.submit(**work(0, steps=1))
    wait_for(lambda: cluster.state(job) == "succeeded", 60)
    time.sleep(1.5)
    answer = cluster.service.client.get(f"/v1/jobs/{job}/result")
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:kerascope:problem:result-expired")
    assert cluster.service.client.get(f"/v1/jobs/{job}").json()["expired"] is True


def test_a_call_goes_before_the_next_chunk_of_a_job(starting: Callable[..., Cluster]) -> None:
    cluster = starting()
    cluster.worker.terminate()
    cluster.worker.wait(30)
    client = cluster.service.client
    wait_for(lambda: client.get("/readyz").status_code == 200, 60)
    picture = (ROOT / "openapi_examples" / "triangle.png").read_bytes()

    def call() -> float:
        begun = time.monotonic()
        answer = client.post("/v1/models/shapes/cam", content=picture, headers={"Content-Type": "image/png"})
        assert answer.status_code == 200
        return time.monotonic() - begun

    for _ in range(3):
        call()
    job = cluster.submit(**work(0, steps=10_000))
    wait_for(lambda: (client.get(f"/v1/jobs/{job}").json()["step"] or 0) > 0, 60)
    waits = [call() for _ in range(20)]
    before, after = (client.get(f"/v1/jobs/{job}").json()["step"] for _ in range(2) if time.sleep(0.6) is None)
    client.delete(f"/v1/jobs/{job}")
    assert max(waits) < 3, "far from the length of the job, which no call waits for"
    assert after > before
