"""M4 and C2: every byte that arrives beside a body is counted before it is kept, and trailers are no headers."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.api.conftest import KEY
from tests.conftest import Service

MB = 2**20
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/models/shapes/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
# What is sent first, what is repeated, and the answer.
FLOODS = {
    "many lines": (GET, b"x: " + b"y" * 1000 + b"\r\n", 431),
    "many short lines": (GET, b"a:b\r\n" * 2000, 431),
    "one long line": (GET + b"X: ", b"y" * 65536, 431),
    "one long name": (GET, b"y" * 65536, 431),
    "trailers": (CHUNKED + b"0\r\n", b"x: " + b"y" * 1000 + b"\r\n", 431),
    "one long trailer": (CHUNKED + b"0\r\nX: ", b"y" * 65536, 431),
    "a long address": (b"GET /livez?", b"y" * 65536, 414),
    "a long extension of a chunk": (CHUNKED + b"3;", b"y" * 65536, 431),
    "empty lines": (b"", b"\r\n" * 32768, 431),
}


def resident(process: int) -> int:
    """MB that the process has in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def connect(service: Service) -> socket.socket:
    url = service.client.base_url
    return socket.create_connection((url.host, url.port or 80), timeout=10)


def flooded(service: Service, start: bytes, unit: bytes, most: int) -> bytes:
    """The first line of the answer to `start` and then `unit` over and over; empty where the connection is cut."""
    with closing(connect(service)) as connection:
        with suppress(ConnectionError):
            connection.sendall(start)
            for _ in range(most // len(unit)):
                connection.sendall(unit)
        with suppress(ConnectionError):
            return connection.recv(4096).partition(b"\r\n")[0]
    return b""


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_beside_the_body_is_refused(guarded: Service, name: str) -> None:
    start, unit, status = FLOODS[name]
    answers = {flooded(guarded, start, unit, 4 * MB) for _ in range(3)}
    # Who asks without a key may have been told so before the flood was noticed.
    told = {int(answer.split()[1]) for answer in answers if answer}
    assert told in ({status}, {status, 401}, {401}), answers


@pytest.mark.parametrize("name", ["many lines", "one long line", "one long trailer"])
def test_floods_from_20_connections_take_no_memory_and_no_time(guarded: Service, name: str) -> None:
    start, unit, _ = FLOODS[name]
    before, waits, over = resident(guarded.process.pid), [], threading.Event()

    def look() -> None:
        while not over.is_set():
            began = time.monotonic()
            assert guarded.client.get("/livez").status_code == 200
            waits.append(time.monotonic() - began)

    with ThreadPoolExecutor(21) as pool:
        looking = pool.submit(look)
        list(pool.map(lambda _: flooded(guarded, start, unit, 80 * MB), range(50)))
        over.set()
        looking.result()
    assert resident(guarded.process.pid) - before < 30
    assert sorted(waits)[len(waits) // 2] < 0.1


def test_a_head_within_the_bounds_is_read(guarded: Service) -> None:
    lines = b"".join(b"x-%d: " % number + b"y" * 600 + b"\r\n" for number in range(98))
    for more, status in ((b"", 200), (b"z: 1\r\n", 431)):
        with closing(connect(guarded)) as connection:
            connection.sendall(
                b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + lines + more + b"\r\n"
            )
            assert connection.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_a_key_in_a_trailer_is_no_key(guarded: Service) -> None:
    with closing(connect(guarded)) as connection:
        key = f"Authorization: Bearer {KEY}\r\n\r\n".encode()
        connection.sendall(CHUNKED + b"0\r\n" + key)
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_body_of_tiny_chunks_arrives(guarded: Service) -> None:
    """What frames the pieces of a body is counted from piece to piece, and not over the whole of it."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "image/png"}
    answer = guarded.client.post(
        "/v1/models/shapes/predict", headers=headers, content=(b"x" for _ in range(30_000)), timeout=60
    )
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:kerascope:problem:undecodable-image"
