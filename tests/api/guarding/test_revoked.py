"""A3, A5: uploads of one key leave room for another, and what a key waits for ends with the key."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.keys.key import id_of, new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from tests import nets
from tests.checks import MODEL, PNG, problem, saved, triangle
from tests.conftest import Service, start_service

PICTURE = saved(triangle())
SOON_S = 4
JOB = f"{MODEL}/maximization"
ASKED = {"layer": "conv2d", "channels": "0", "steps": 5}


@dataclass
class Keyed:
    """A service whose jobs wait for a worker that never comes, and its keys."""

    service: Service
    store: KeyStore

    def key(self, valid_s: float | None = None) -> dict[str, str]:
        text, key = new_key("one", frozenset({Scope.EXPLAIN, Scope.JOBS, Scope.MODELS_WRITE}))
        if valid_s is not None:
            key = key.model_copy(update={"expires": datetime.now(UTC) + timedelta(seconds=valid_s)})
        self.store.add(key)
        return {"Authorization": f"Bearer {text}"}

    def revoke(self, key: dict[str, str]) -> None:
        self.store.revoke(id_of(key["Authorization"].removeprefix("Bearer ")) or "")

    def upload(self, key: dict[str, str], name: str, network: bytes) -> httpx.Response:
        return self.service.client.post("/v1/models", headers=key, data={"id": name}, files={"model": network})


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("revoked")
    found = Keyed(None, KeyStore(folder / "data"))  # type: ignore[arg-type]
    found.key()
    found.service = start_service(
        folder, preload="", run_jobs="false", uploads="true", allow_unsandboxed_ingest="true", upload_timeout_s="40"
    )
    yield found
    found.service.stop()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("network") / "net.keras"
    nets.random_net().save(path)
    return path.read_bytes()


def slow_upload(service: Service, key: dict[str, str]) -> socket.socket:
    """An upload of which the first of ten megabytes has been sent."""
    url = httpx.URL(service.url)
    connection = socket.create_connection((url.host, url.port or 80), timeout=10)
    head = (
        f"POST /v1/models HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: {key['Authorization']}\r\n"
        "Content-Type: multipart/form-data; boundary=xx\r\nContent-Length: 10000000\r\n\r\n"
        '--xx\r\nContent-Disposition: form-data; name="model"; filename="a"\r\n\r\n'
    )
    connection.sendall(head.encode() + bytes(1_000_000))
    return connection


def answer_of(connection: socket.socket, within_s: float) -> tuple[int, dict[str, str]]:
    """Status and problem of the answer, which must come in time."""
    connection.settimeout(within_s)
    got = b""
    while b"}" not in got and (part := connection.recv(65536)):
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)


def test_a3_slow_uploads_of_one_key_leave_places_to_another(keyed: Keyed, network: bytes) -> None:
    ann, bob = keyed.key(), keyed.key()
    slow = [slow_upload(keyed.service, ann) for _ in range(2)]
    try:
        time.sleep(0.5)
        problem(keyed.upload(ann, "third", network), 429, "too-many-calls", "2 uploads of yours")
        made = keyed.upload(bob, "bobs", network)
        assert made.status_code == 201, made.text
    finally:
        for connection in slow:
            connection.close()


def test_a3_the_uploads_of_a_key_that_is_revoked_end(keyed: Keyed, network: bytes) -> None:
    ann, bob, carl = keyed.key(), keyed.key(), keyed.key()
    slow = [slow_upload(keyed.service, key) for key in (ann, ann, bob, bob)]
    try:
        time.sleep(0.5)
        problem(keyed.upload(carl, "carls", network), 503, "queue-full", "4 uploads")
        keyed.revoke(ann)
        for connection in slow[:2]:
            status, body = answer_of(connection, SOON_S)
            assert (status, body["type"]) == (401, "urn:kerascope:problem:not-authenticated")
            assert "revoked" in body["detail"]
        made = keyed.upload(carl, "carls", network)
        assert made.status_code == 201, made.text
        # Only bob's are still on their way.
        assert len(list((keyed.service.log.parent / "data/uploads/incoming").iterdir())) == 2
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a5_the_events_of_a_job_end_with_the_key(keyed: Keyed, how: str) -> None:
    key = keyed.key(3 if how == "expired" else None)
    made = keyed.service.client.post(JOB, params=ASKED, headers=key)
    assert made.status_code == 202, made.text
    with keyed.service.client.stream("GET", f"/v1/jobs/{made.json()['id']}/events", headers=key) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("id: ")
        if how == "revoked":
            keyed.revoke(key)
        began = time.monotonic()
        events = [line for line in lines if line]
        assert time.monotonic() - began < SOON_S
    assert events[-2] == "event: error"
    told = json.loads(events[-1].removeprefix("data: "))
    assert (told["status"], told["type"]) == (401, "urn:kerascope:problem:not-authenticated")
    assert told["instance"] == stream.headers["x-request-id"]


def test_a5_a_call_that_waits_for_its_job_ends_with_the_key(keyed: Keyed) -> None:
    key = keyed.key(2.5)
    began = time.monotonic()
    answer = keyed.service.client.post(JOB, params=ASKED, headers=key | {"Prefer": "wait=30"})
    assert 1 < time.monotonic() - began < 2.5 + SOON_S
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    problem(answer, 401, "not-authenticated", "expired")


def test_a_key_that_stays_valid_waits_as_long_as_it_wants(keyed: Keyed) -> None:
    other, key = keyed.key(), keyed.key()
    keyed.revoke(other)
    answer = keyed.service.client.post(JOB, params=ASKED, headers=key | {"Prefer": "wait=4"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    answer = keyed.service.client.post(f"{MODEL}/cam", headers=key | PNG, content=PICTURE)
    assert answer.status_code == 200


def test_a3_an_upload_has_a_time_of_its_own(tmp_path: Path) -> None:
    service = start_service(
        tmp_path, preload="", run_jobs="false", uploads="true", allow_unsandboxed_ingest="true", upload_timeout_s="2"
    )
    connection = slow_upload(service, {"Authorization": ""})
    try:
        began = time.monotonic()
        connection.settimeout(SOON_S)
        got = connection.recv(65536)
        while b"}" not in got and (part := connection.recv(65536)):
            got += part
        assert 1 < time.monotonic() - began < SOON_S
        assert got.startswith(b"HTTP/1.1 408 ")
        assert b"the longest an upload may take" in got
    finally:
        connection.close()
        service.stop()
