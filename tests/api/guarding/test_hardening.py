"""H6, H8, H9, H10, H12: hostile IDs in process; other keys' jobs, log lines and raw requests at the real service."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.app import create_app
from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from service.settings import Settings
from tests.api.guarding.test_scopes import ask
from tests.checks import PNG, saved, triangle
from tests.conftest import Service, start_service

HOSTILE = ("..", "../..", "%2e%2e%2f", "%00", "\x00", "\uff0e\uff0e/", "\u2028", "x" * 129, "..\\..", "-", ".")
KEYS = ("first", "second", "admin")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("ids")))


def is_refused(app: Any, text: str) -> None:
    for path in (f"/v1/models/{quote(text, safe='')}", f"/v1/models/{quote(text, safe='')}/layers/x"):
        answer = ask(app, "GET", path)
        assert answer.status_code in (200, 307, 404, 422), answer.text
        # An ID that a path's own dots take out leaves another route, which is not a model.
        if answer.status_code == 200:
            assert not set(text) - set("./\\")
        elif answer.status_code != 307:
            assert answer.headers["content-type"] == "application/problem+json"
            assert "Traceback" not in answer.text


@pytest.mark.parametrize("text", HOSTILE)
def test_h8_known_tricks(app: Any, text: str) -> None:
    is_refused(app, text)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=140))
def test_h8_any_text(app: Any, text: str) -> None:
    if text not in ("shapes", "vgg16"):
        is_refused(app, text)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, dict[str, str]]]]:
    folder = tmp_path_factory.mktemp("keyed")
    store, sent = KeyStore(folder / "data"), {}
    for name in KEYS:
        scopes = {Scope.ADMIN} if name == "admin" else {Scope.EXPLAIN, Scope.JOBS}
        text, key = new_key(name, frozenset(scopes))
        store.add(key)
        sent[name] = {"Authorization": f"Bearer {text}"}
    running = start_service(folder, run_jobs="false", preload="")
    yield running, sent
    running.stop()


def test_h9_a_job_exists_for_its_key_and_for_admin(keyed: tuple[Service, dict[str, dict[str, str]]]) -> None:
    service, keys = keyed
    headers = keys["first"] | PNG | {"Prefer": "respond-async"}
    made = service.client.post("/v1/models/shapes/saliency", headers=headers, content=saved(triangle(28, 28)))
    assert made.status_code == 202, made.text
    path = f"/v1/jobs/{made.json()['id']}"
    for method, end in (("GET", ""), ("GET", "/events"), ("GET", "/preview"), ("GET", "/result"), ("DELETE", "")):
        assert service.client.request(method, path + end, headers=keys["second"]).status_code == 404
    assert service.client.get("/v1/jobs", headers=keys["second"]).json() == {"jobs": []}
    assert service.client.get(path, headers=keys["first"]).status_code == 200
    assert len(service.client.get("/v1/jobs", headers=keys["admin"]).json()["jobs"]) == 1
    assert service.client.delete(path, headers=keys["admin"]).json()["state"] == "cancelled"


def test_h10_each_log_line_is_one_event_and_holds_no_key(keyed: tuple[Service, dict[str, dict[str, str]]]) -> None:
    service, keys = keyed
    for text in ("a\r\n{}", "\x1b[31mred", "\u2028\u2029", "\x00", "\x85"):
        for path in (f"/v1/models/{quote(text)}", f"/{quote(text)}"):
            service.client.get(path, headers=keys["admin"] | {"X-Request-Id": "a\x1b[0m"})
    written = service.log.read_text(encoding="utf-8")
    for line in written.splitlines():
        assert isinstance(json.loads(line), dict), line
    assert all(sent["Authorization"][19:] not in written for sent in keys.values())


HOST = b"Host: 127.0.0.1\r\n"
RAW = {
    "absolute form of another host": b"GET http://evil.example/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\n" + HOST + b"Host: evil\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "host with a blank": b"GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n",
    "CL and TE": b"POST /livez HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two CL": b"POST /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "CL not a number": b"POST /livez HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na",
    "negative CL": b"POST /livez HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "unknown TE": b"POST /livez HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST /livez HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "obs-fold": b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n",
    "bare LF": b"GET /livez HTTP/1.1\nHost: 127.0.0.1\n\n",
    "blank before colon": b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n\r\n",
    "null in a header": b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: b\x00c\r\n\r\n",
    "null in the path": b"GET /liv\x00ez HTTP/1.1\r\n" + HOST + b"\r\n",
    "70 KB header": b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "unknown version": b"GET /livez HTTP/9.9\r\n" + HOST + b"\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n",
    "forwarded": b"GET /v1/models HTTP/1.1\r\n"
    + HOST
    + b"X-Forwarded-Host: evil\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
def test_h12_one_answer_at_most_and_never_5xx(keyed: tuple[Service, dict[str, dict[str, str]]], name: str) -> None:
    url = httpx.URL(keyed[0].url)
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        connection.sendall(RAW[name])
        connection.settimeout(0.5)
        got = b""
        try:
            while part := connection.recv(65536):
                got += part
        except (TimeoutError, ConnectionResetError):
            pass
    assert got.count(b"HTTP/1.1 ") <= 1, got
    assert not got.startswith(b"HTTP/1.1 5"), got
    assert b"\r\nserver:" not in got.lower()
    if name in ("two hosts", "no host", "host with a blank", "CL and TE"):
        assert got.startswith(b"HTTP/1.1 400"), got


def test_h6_every_refusal_is_a_problem(app: Any) -> None:
    for method, path in (
        ("GET", "/nope"),
        ("PUT", "/v1/models"),
        ("GET", "/v1/models?x=1"),
        ("GET", "/v1/jobs?limit=x"),
    ):
        answer = ask(app, method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert not {"Traceback", "service.", "Error(", str(Path.cwd())} & set(answer.text.split())
