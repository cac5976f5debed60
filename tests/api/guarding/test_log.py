"""H10: whatever callers write, wherever they write it, each event stays one line, of bounded length, without keys."""

from __future__ import annotations

import io
import itertools
import json
import re
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from service.keys.key import new_key
from service.keys.scope import Scope
from service.keys.store import KeyStore
from tests.checks import CAM, PNG, saved, triangle
from tests.conftest import Service, start_service

# Takes long.
pytestmark = pytest.mark.soak

TEXTS = (
    '\n{"event": "forged"}', "\r\n2026-01-01T00:00:00Z [info     ] forged", "\x1b[31mred\x1b[2J", "\u2028forged\u2029",
    "\x00", "\x85\x9b31m\x7f", "x" * 10_000, "\x1b" * 3000,
)  # fmt: skip
LONGEST_LINE = 8000
EVENT = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+Z \[(info|warning|error) *\] ")
PICTURE = saved(triangle(28, 28))


@pytest.fixture(scope="module", params=["json", pytest.param("console", marks=pytest.mark.soak)])
def logged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    folder = tmp_path_factory.mktemp(f"log-{request.param}")
    key, kept = new_key("a name", frozenset({Scope.ADMIN}))
    KeyStore(folder / "data").add(kept)
    running = start_service(folder, ready=False, log_format=request.param, preload="", uploads="true")
    yield running, key
    running.stop()


def hostile_archive(text: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"a{text[:2000]}.py", b"")
    return stream.getvalue()


def calls(text: str) -> dict[str, dict[str, Any]]:
    """One request for each place that a caller may write `text` to."""
    inside = quote(text, safe="")
    form = {"content": PICTURE, "headers": PNG}
    return {
        "path": {"method": "GET", "url": f"/{inside}"},
        "asset": {"method": "GET", "url": f"/docs/assets/{inside}"},
        "model": {"method": "POST", "url": f"/v1/models/{inside}/cam", **form},
        "version": {"method": "GET", "url": f"/v1/models/shapes@{inside}"},
        "layer": {"method": "GET", "url": f"/v1/models/none/layers/{inside}"},
        "job": {"method": "GET", "url": f"/v1/jobs/{inside}"},
        "query value": {"method": "POST", "url": CAM, "params": {"layer": text[:200], "colormap": text}, **form},
        "query name": {"method": "GET", "url": "/v1/models", "params": {text: "1"}},
        "file name": {"method": "POST", "url": CAM, "files": {"image": (text, b"no image", "image/png")}},
        "field name": {"method": "POST", "url": CAM, "files": {text: ("a.png", PICTURE, "image/png")}},
        "upload": {"method": "POST", "url": "/v1/models", "data": {"id": text}, "files": {"model": (text, b"PK\3\4")}},
        "JSON": {"method": "POST", "url": CAM, "json": {"image": text, text: text}},
        "member of an archive": {
            "method": "POST", "url": "/v1/models", "data": {"id": "mine"}, "files": {"model": hostile_archive(text)},
        },
    }  # fmt: skip


def raw(service: Service, key: str, text: str) -> None:
    """Headers that a client library would refuse to send; what comes back is not looked at."""
    url = httpx.URL(service.url)
    value = text.replace("\r\n", "\r\n ").replace("\x00", "").encode()[:8000]
    for name in (b"X-Request-Id", b"User-Agent", b"Host", b"Idempotency-Key", b"Accept", b"Prefer", b"X-Forwarded-For"):
        host = b"" if name == b"Host" else b"Host: 127.0.0.1\r\n"
        head = b"POST /v1/models/shapes/maximization?layer=conv2d&channels=0&steps=1 HTTP/1.1\r\n" + host
        head += f"Authorization: Bearer {key}\r\nContent-Length: 0\r\nConnection: close\r\n".encode()
        with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
            connection.sendall(head + name + b": " + value + b"\r\n\r\n")
            connection.settimeout(10)
            while connection.recv(65536):
                pass


def sent(service: Service, key: str) -> list[str]:
    """Every text in every place; the IDs of the requests."""
    numbers, ids = itertools.count(), []
    for text in TEXTS:
        for place, call in calls(text).items():
            if place == "member of an archive" and text not in TEXTS[:3]:
                continue
            ids.append(f"sent-{next(numbers)}-end")
            headers = call.pop("headers", {}) | {"Authorization": f"Bearer {key}", "X-Request-Id": ids[-1]}
            assert service.client.request(**call, headers=headers).status_code < 500
        raw(service, key, text)
    return ids


def lines_with(service: Service, wanted: str, within_s: float = 5) -> list[str]:
    """All lines so far, once the one about `wanted` is there."""
    deadline = time.monotonic() + within_s
    while wanted not in (text := service.log.read_bytes().decode("utf-8")):
        assert time.monotonic() < deadline, f"{wanted} is not logged"
        time.sleep(0.05)
    return text.removesuffix("\n").split("\n")


def test_h10_each_event_is_one_line(logged: tuple[Service, str], request: pytest.FixtureRequest) -> None:
    service, key = logged
    ids = sent(service, key)
    lines = lines_with(service, ids[-1])
    form: str = request.node.callspec.params["logged"]
    check: Callable[[str], bool] = {"json": is_json_event, "console": is_console_event}[form]
    for line in lines:
        assert check(line), line[:500]
        assert len(line) <= LONGEST_LINE, line[:500]
        assert key not in line
        assert key[12:] not in line
    for request_id in ids:
        about = [line for line in lines if request_id in line]
        assert [line for line in about if '"event": "request"' in line or "] request " in line], request_id
    refused = [line for line in lines if "model refused" in line]
    assert len(refused) >= 3


def is_json_event(line: str) -> bool:
    event = json.loads(line)
    plain = line.isascii() and line.isprintable()
    return plain and {"event", "level", "timestamp", "process"} <= set(event) and "forged" not in event["event"]


def is_console_event(line: str) -> bool:
    """Or a line of a traceback, which is indented."""
    return line.isprintable() and (bool(EVENT.match(line)) or line.startswith("    "))
