"""H6: every route, every kind of error it can be brought to, and that none tells of the inside."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from service.models.files.library import CATALOGUE
from tests import nets
from tests.api.guarding.test_keys import ROUTES
from tests.checks import JSON, NPY, PNG, as_npy, png_header, saved, triangle
from tests.conftest import Service, start_service
from tests.leaks import MEDIA_TYPE, environment_of, leaks

PICTURE = saved(triangle(28, 28))
SHAPES = (CATALOGUE / "shapes" / "shapes.keras").read_bytes()
SECRET = "a value of the environment"
SETTINGS = {
    "preload": "shapes", "uploads": "true", "upload_quota_bytes": "1024", "max_body_bytes": str(64 * 1024),
    "max_pixels": "10000", "max_passes": "500", "result_ttl_s": "1", "max_jobs_per_key": "2", "max_queued_jobs": "3",
    "body_timeout_s": "1", "header_timeout_s": "1", "max_response_bytes": "2048",
}  # fmt: skip


def fill(models: Path) -> list[str]:
    """Models that cannot be loaded or computed, each for another reason; their IDs."""
    models.mkdir()
    (models / "cut.keras").write_bytes(SHAPES[: len(SHAPES) // 2])
    middle = len(SHAPES) // 2
    (models / "flipped.keras").write_bytes(SHAPES[:middle] + bytes(64) + SHAPES[middle + 64 :])
    (models / "text.h5").write_bytes(b"no model")
    (models / "magic.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    (models / "eio.keras").symlink_to("/proc/self/mem")
    (models / "dangling.keras").symlink_to("/nonexistent/model.keras")
    (models / "pair.json").write_text('{"class_name": "Functional", "config": {}}')
    (models / "pair.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    (models / "spec").mkdir()
    (models / "spec" / "model.toml").write_text("colour = 1\n")
    (models / "gone").mkdir()
    (models / "gone" / "model.toml").write_text('weights = "nothing.keras"\n')
    overflowing = nets.pencil()
    for weight in overflowing.weights:
        weight.assign(np.full(weight.shape, 3e38, np.float32))
    overflowing.save(models / "nan.keras")
    return ["cut", "flipped", "text", "magic", "eio", "dangling", "pair", "spec", "gone", "nan"]


@pytest.fixture(scope="module")
def brittle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, str], list[str]]]:
    folder = tmp_path_factory.mktemp("leaks")
    store, keys = KeyStore(folder / "data"), {}
    for name, scope in {"admin": Scope.ADMIN, "jobs": Scope.JOBS, "reader": Scope.MODELS_READ}.items():
        keys[name], kept = new_key(name, frozenset({scope}))
        store.add(kept)
    models = fill(folder / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOMETHING_SECRET", SECRET)
        running = start_service(folder, models_dir=folder / "models", **SETTINGS)
    yield running, keys, models
    running.stop()


def variants(method: str, path: str, keys: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What may be wrong with a call of this route."""
    key = {"Authorization": f"Bearer {keys['admin']}"}
    picture: dict[str, Any] = {"content": PICTURE}
    yield {"method": method, "url": path}
    yield {"method": method, "url": path, "headers": {"Authorization": f"Bearer ks_00000000_{'a' * 43}"}}
    for name in ("jobs", "reader"):
        yield {"method": method, "url": path, "headers": {"Authorization": f"Bearer {keys[name]}"}}
    for other in ("PUT", "DELETE", "TRACE"):
        if other != method:
            yield {"method": other, "url": path + "/none" if other == "DELETE" else path, "headers": key}
    yield {"method": method, "url": path, "headers": key, "params": {"nonsense": "1"}}
    yield {"method": method, "url": path.replace("shapes", "nosuch").replace("conv2d", "nosuch"), "headers": key}
    yield {"method": method, "url": path.replace("conv2d", "nosuch"), "headers": key}
    yield {"method": method, "url": path.replace("/none", "/" + "x" * 200), "headers": key}
    if method not in ("POST", "PATCH"):
        yield {"method": method, "url": path, "headers": key | {"Accept": "video/mp4", "X-Timeout": "0.001"}}
        return
    bodies: list[tuple[dict[str, str], bytes]] = [
        (JSON, b"{"), (JSON, b'{"image": "!"}'), (JSON, b"[" * 60_000), (JSON, b"\xff\xfe"), (PNG, b"no picture"),
        ({"Content-Type": "text/plain"}, b"a"), (PNG, bytes(70_000)), (PNG, png_header(20_000, 20_000)),
        (NPY, b"\x93NUMPY\x01\x00"), (NPY, as_npy(np.zeros((3, 3), "complex64"))), (PNG, PICTURE[:60]),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\nno part"),
        ({"Content-Type": "multipart/form-data"}, b""),
    ]  # fmt: skip
    for kind, content in bodies:
        yield {"method": method, "url": path, "headers": key | kind, "content": content}
    for more in (
        {"layer": "nosuch"}, {"target": "10000"}, {"target": "nosuch"}, {"format": "nosuch"}, {"methods": "nosuch"},
        {"stride": "0.0001"}, {"stride": "1", "patch": "2", "strategy": "full"}, {"samples": "100000"},
        {"arrays": "list", "format": "npz"}, {"steps": "nan"}, {"image_url": "file:///etc/passwd"},
    ):  # fmt: skip
        yield {"method": method, "url": path, "headers": key | PNG, "params": more, **picture}
    for name, value in (("Accept", "video/mp4"), ("X-Timeout", "0.0001"), ("X-Timeout", "soon"), ("Prefer", "wait=x")):
        yield {"method": method, "url": path, "headers": key | PNG | {name: value}, **picture}


def ask(service: Service, **call: Any) -> httpx.Response:
    answer = service.client.request(**call)
    answer.read()
    return answer


def is_clean(answer: httpx.Response, secrets: set[str]) -> None:
    where = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:600]}"
    assert leaks(answer, secrets) == [], where
    path = answer.request.url.path
    if answer.request.method == "HEAD" or path.endswith("/ready"):
        return
    if path.startswith("/v2"):
        assert answer.headers["content-type"] == "application/json", where
        assert set(answer.json()) == {"error"}, where
        return
    assert answer.headers["content-type"] == MEDIA_TYPE, where
    assert set(answer.json()) == {"type", "title", "status", "detail", "instance", "errors"}, where
    assert answer.json()["status"] == answer.status_code, where


def secrets_of(service: Service, keys: dict[str, str]) -> set[str]:
    found = environment_of(service.process.pid) | {key[12:] for key in keys.values()}
    return found | {str(service.log.parent), socket.gethostname()}


@pytest.mark.soak
def test_h6_every_route_and_what_may_be_wrong_with_a_call(
    brittle: tuple[Service, dict[str, str], list[str]],
) -> None:
    service, keys, models = brittle
    secrets = secrets_of(service, keys)
    assert SECRET in secrets
    seen: dict[int, int] = {}

    def look(answer: httpx.Response) -> None:
        if answer.status_code >= 400:
            is_clean(answer, secrets)
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1

    for method, path in ROUTES:
        if path.endswith("/unload"):
            continue
        for call in variants(method, path, keys):
            look(ask(service, **call))
    key = {"Authorization": f"Bearer {keys['admin']}"}
    for model in models:
        for method, path, content in (
            ("GET", "", None), ("POST", "/load", None), ("POST", "/cam", PICTURE), ("POST", "/predict", PICTURE),
            ("GET", "/layers", None), ("GET", "/summary", None),
        ):  # fmt: skip
            headers = key | (PNG if content else {})
            look(ask(service, method=method, url=f"/v1/models/{model}{path}", headers=headers, content=content))
    files = {"model": SHAPES}
    look(ask(service, method="POST", url="/v1/models", headers=key, data={"id": "mine"}, files=files))
    look(ask(service, method="POST", url="/v1/models", headers=key, data={"id": "shapes"}, files=files))
    assert set(seen) >= {400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 507}, seen
    assert sum(seen.values()) > 500, seen
    assert json.dumps(service.client.get("/v1/models", headers=key).json()).count("last_error") >= len(models)


ASCENT = "/v1/models/shapes/maximization"
LONG = {"layer": "conv2d_3", "channels": "0-15", "steps": "10000"}
SHORT = {"layer": "conv2d", "channels": "0", "steps": "1"}


def raw(service: Service, head: bytes) -> httpx.Response:
    """The answer to what is no whole request."""
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(head)
        got = b""
        while part := connection.recv(65536):
            got += part
    told, _, body = got.partition(b"\r\n\r\n")
    status, *lines = told.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    request = httpx.Request("POST", service.url)
    return httpx.Response(int(status.split()[1]), headers=headers, content=body, request=request)


def test_h6_what_takes_a_fault_or_a_moment(brittle: tuple[Service, dict[str, str], list[str]]) -> None:
    service, keys, _ = brittle
    secrets, folder = secrets_of(service, keys), service.log.parent / "data"
    key = {"Authorization": f"Bearer {keys['admin']}"}

    def refused(status: int, kind: str, answer: httpx.Response) -> None:
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind), answer.text
        is_clean(answer, secrets)

    def call(method: str, path: str, **more: Any) -> httpx.Response:
        return ask(service, method=method, url=path, headers=key | more.pop("headers", {}), **more)

    head = b"POST /v1/models/shapes/cam HTTP/1.1\r\nHost: a\r\n"
    refused(408, "too-slow", raw(service, head))
    known = f"Authorization: {key['Authorization']}\r\nContent-Length: 9\r\n\r\n".encode()
    refused(408, "too-slow", raw(service, head + known))
    refused(400, "malformed-body", raw(service, b"GET /\x00 HTTP/1.1\r\n\r\n"))
    # Its model must be loaded first.
    late = call("POST", "/v1/models/efficientnet-lite0/cam", headers=PNG | {"X-Timeout": "0.2"}, content=PICTURE)
    refused(504, "deadline-exceeded", late)
    made = [call("POST", ASCENT, params=LONG) for _ in range(2)]
    assert [answer.status_code for answer in made] == [202, 202]
    refused(429, "too-many-jobs", call("POST", ASCENT, params=LONG))
    jobs = [answer.json()["links"]["self"] for answer in made]
    refused(409, "job-without-result", call("GET", f"{jobs[1]}/result"))
    refused(409, "job-without-result", call("GET", f"{jobs[1]}/preview"))
    for job in jobs:
        call("DELETE", job)
    done = call("POST", ASCENT, params=SHORT, headers={"Prefer": "wait=30", "Idempotency-Key": "one"})
    assert done.status_code == 200, done.text
    refused(409, "idempotency-key-reused", call("POST", ASCENT, params=LONG, headers={"Idempotency-Key": "one"}))
    time.sleep(1.2)
    newest = call("GET", "/v1/jobs", params={"limit": 1}).json()["jobs"][0]["links"]["self"]
    refused(410, "result-expired", call("GET", f"{newest}/result"))
    keys_file = folder / "keys.json"
    kept = keys_file.read_bytes()
    keys_file.write_bytes(b"{")
    refused(401, "not-authenticated", call("GET", "/v1/models"))
    keys_file.write_bytes(kept)
    # Its first byte is an input/output error.
    record = folder / "uploads" / hashlib.sha256(b"lost").hexdigest()[:32] / "record.json"
    record.parent.mkdir(parents=True)
    record.symlink_to("/proc/self/mem")
    refused(503, "unavailable", call("GET", "/v1/models/lost"))
    refused(503, "unavailable", call("DELETE", "/v1/models/lost"))
    assert call("GET", "/v1/models").status_code == 200


def test_h6_a_jobs_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jobs.db").write_bytes(b"no database " * 1000)
    service = start_service(tmp_path, ready=False, preload="", run_jobs="false")
    try:
        secrets = secrets_of(service, {})
        for path in ("/v1/jobs", "/v1/jobs/none", "/v1/jobs/none/result"):
            answer = service.client.get(path)
            assert answer.status_code == 503, answer.text
            assert "the jobs database is damaged" in answer.json()["detail"]
            is_clean(answer, secrets)
        assert "file is not a database" in service.log.read_text(), "where the operator finds it"
        assert service.client.get("/v1/models", headers={"Host": "evil.example"}).status_code == 400
        is_clean(service.client.get("/v1/models", headers={"Host": "evil.example"}), secrets)
    finally:
        service.stop()
