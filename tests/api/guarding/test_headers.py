"""H11: all headers of every kind of answer, so that none is lost or added unnoticed."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.guarding.requests import NOTHING
from service.app import create_app
from service.settings import Settings
from tests.api.guarding.test_scopes import ask
from tests.api.routes.test_jobs import ASCENT, FILTERS, ended, submitted
from tests.checks import CAM, MODEL, PNG, saved, triangle
from tests.conftest import Service

PICTURE = saved(triangle())
ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": NOTHING,
}
FRESH = ALWAYS | {"cache-control": "no-store"}
TAGGED = ALWAYS | {"cache-control": "private, no-cache"}
# What says something of this answer alone.
OWN = {"x-request-id", "date", "content-length", "content-type", "server-timing", "etag", "last-modified"}


def snapshot(answer: httpx.Response) -> tuple[dict[str, str], set[str]]:
    """Headers with a value that is always the same, and the names of the others."""
    found = {name: value for name, value in answer.headers.items() if name not in OWN}
    return found, OWN & set(answer.headers)


def post(service: Service, path: str = CAM, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
    return service.client.post(path, params=query, content=PICTURE, headers=PNG | (headers or {}))


ANSWER = {"x-request-id", "date", "content-length", "content-type"}


@pytest.mark.parametrize("form", ["json", "png", "npy", "npz"])
def test_h11_an_answer_and_the_304_in_its_place(service: Service, form: str) -> None:
    for _ in range(2):
        answer = post(service, format=form)
        assert answer.status_code == 200
        assert snapshot(answer) == (TAGGED, ANSWER | {"etag", "server-timing"})
    path = f"{MODEL}/layers/conv2d/kernels"
    first = service.client.get(path, params={"format": form})
    assert snapshot(first) == (TAGGED, ANSWER | {"etag", "server-timing"})
    tag = {"If-None-Match": first.headers["etag"]}
    again = service.client.get(path, params={"format": form}, headers=tag)
    assert again.status_code == 304
    assert snapshot(again) == (TAGGED, {"x-request-id", "date", "etag"})


def test_h11_a_job_and_its_events(service: Service) -> None:
    made = submitted(service, ASCENT, params=FILTERS)
    headers, _ = snapshot(made)
    job = made.json()["id"]
    assert headers == FRESH | {"location": f"/v1/jobs/{job}", "preference-applied": "respond-async"}
    ended(service, job)
    with service.client.stream("GET", f"/v1/jobs/{job}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        headers, own = snapshot(events)
    assert (headers, own) == (
        FRESH | {"connection": "keep-alive", "x-accel-buffering": "no", "transfer-encoding": "chunked"},
        {"x-request-id", "date", "content-type"},
    )
    for end in ("preview", "result"):
        answer = service.client.get(f"/v1/jobs/{job}/{end}")
        assert answer.status_code == 200
        assert snapshot(answer)[0] == FRESH


@pytest.mark.parametrize(
    ("method", "path", "status", "more"),
    [
        ("GET", "/livez", 200, {}),
        ("GET", "/openapi.json", 200, {}),
        ("GET", "/v1/models", 200, {}),
        ("GET", f"{MODEL}/summary", 200, {}),
        ("POST", f"{MODEL}/load", 204, {}),
        ("GET", "/nope", 404, {}),
        ("PUT", "/v1/models", 405, {"allow": "GET, HEAD, POST"}),
        ("GET", "/v1/models?x=1", 422, {}),
        ("HEAD", "/livez", 200, {}),
    ],
)
def test_h11_everything_else(service: Service, method: str, path: str, status: int, more: dict[str, str]) -> None:
    answer = service.client.request(method, path)
    assert answer.status_code == status
    assert snapshot(answer)[0] == FRESH | more


@pytest.mark.parametrize("name", ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"])
def test_h11_static_assets(service: Service, name: str) -> None:
    answer = service.client.get(f"/docs/assets/{name}")
    assert answer.status_code == 200
    assert snapshot(answer)[0] == TAGGED | {"accept-ranges": "bytes"}
    again = service.client.get(f"/docs/assets/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, snapshot(again)[0]) == (304, TAGGED)


def test_h11_the_docs_page(service: Service) -> None:
    headers, _ = snapshot(service.client.get("/docs"))
    policy = headers.pop("content-security-policy")
    assert headers == {name: value for name, value in FRESH.items() if name != "content-security-policy"}
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert {name: parts[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {
        "default-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip


def test_h11_what_is_refused_before_it_is_a_request(service: Service) -> None:
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost : a\r\n\r\n")
        head = connection.recv(65536).partition(b"\r\n\r\n")[0].decode()
    status, *lines = head.split("\r\n")
    assert status.startswith("HTTP/1.1 400 ")
    headers: dict[str, Any] = dict(line.lower().split(": ", 1) for line in lines)
    own = {"content-length", "content-type"}
    assert {name: headers[name] for name in headers if name not in own} == FRESH | {"connection": "close"}


@pytest.mark.parametrize("path", ["/v1/methods", "/nope", "/docs/assets/swagger-ui.css"])
def test_h11_another_origin(tmp_path: Path, path: str) -> None:
    """The page of an origin that is shared with may use what it reads; that of another may not."""
    app = create_app(Settings(data_dir=tmp_path, cors_origins="https://page.example"))
    found = {}
    for origin in ("https://page.example", "https://other.example", "https://page.example.evil", "null", ""):
        answer = ask(app, "GET", path, **({"Origin": origin} if origin else {}))
        policy = answer.headers["cross-origin-resource-policy"]
        found[origin] = (policy, answer.headers.get("access-control-allow-origin"))
        assert answer.headers.get("vary", "").lower() == "origin"
    assert found.pop("https://page.example") == ("cross-origin", "https://page.example")
    assert set(found.values()) == {("same-origin", None)}
