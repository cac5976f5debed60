"""H1 and H2: slow and silent callers are cut off, too many are turned away, and the one beside them notices nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import orjson
import pytest

from tests.conftest import Service, start_service

LIMIT_S = 1.0
RATE = 2000
MAX_BODY = 64 * 1024
CONNECTIONS = 40
HEAD = b"POST /v1/models/shapes/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that waits a second for everything; its engine is not needed."""
    running = start_service(
        tmp_path_factory.mktemp("hurried"),
        ready=False,
        preload="",
        header_timeout_s=str(LIMIT_S),
        body_timeout_s=str(LIMIT_S),
        write_timeout_s=str(LIMIT_S),
        min_body_rate=str(RATE),
        max_body_bytes=str(MAX_BODY),
        max_connections=str(CONNECTIONS),
    )
    yield running
    running.stop()


def connect(service: Service) -> socket.socket:
    url = service.client.base_url
    return socket.create_connection((url.host, url.port or 80), timeout=10)


def rest(connection: socket.socket) -> bytes:
    """All that still comes, to the end of the connection."""
    received = b""
    while block := connection.recv(65536):
        received += block
    return received


def one_answer(connection: socket.socket) -> bytes:
    """Reads an answer to the end of its JSON body."""
    received = b""
    while b"}" not in received:
        received += connection.recv(65536)
    return received


def pushed(connection: socket.socket, most: int) -> int:
    """How much of a body of so many bytes could be sent before the other side had enough."""
    sent = 0
    with suppress(ConnectionError):
        while sent < most:
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
    return sent


def refused(received: bytes, status: int, kind: str, words: str) -> None:
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), received
    assert b"connection: close" in head.lower()
    assert b"content-type: application/problem+json" in head.lower()
    told = orjson.loads(body)
    assert told["type"] == f"urn:kerascope:problem:{kind}"
    assert words in told["detail"]


class TestSlow:
    @pytest.mark.parametrize(
        "start", [b"", b"GET /livez HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "]
    )
    def test_a_head_that_does_not_end(self, hurried: Service, start: bytes) -> None:
        with closing(connect(hurried)) as connection:
            began = time.monotonic()
            connection.sendall(start)
            refused(rest(connection), 408, "too-slow", "did not arrive within 1 s")
            assert LIMIT_S * 0.9 < time.monotonic() - began < LIMIT_S + 3

    def test_a_head_a_byte_at_a_time(self, hurried: Service) -> None:
        """Each byte comes in time, the whole does not."""
        with closing(connect(hurried)) as connection:
            began = time.monotonic()
            connection.settimeout(0.1)
            received = b""
            for byte in b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100:
                try:
                    connection.sendall(bytes([byte]))
                    received = connection.recv(65536)
                    break
                except TimeoutError:
                    continue
            refused(received, 408, "too-slow", "head of the request")
            assert time.monotonic() - began < LIMIT_S + 3

    def test_the_second_request_of_a_connection(self, hurried: Service) -> None:
        with closing(connect(hurried)) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one_answer(connection).startswith(b"HTTP/1.1 200")
            connection.sendall(b"GET /livez HT")
            refused(rest(connection), 408, "too-slow", "did not arrive within 1 s")

    @pytest.mark.parametrize(
        "framing", [b"Content-Length: 5000\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
    )
    def test_a_body_that_does_not_end(self, hurried: Service, framing: bytes) -> None:
        with closing(connect(hurried)) as connection:
            began = time.monotonic()
            connection.sendall(HEAD + framing)
            refused(rest(connection), 408, "too-slow", "3 bytes of the body arrived in 1 s; send at least 2000")
            assert LIMIT_S * 0.9 < time.monotonic() - began < LIMIT_S + 3

    def test_a_long_body_has_more_time(self, hurried: Service) -> None:
        """1000 bytes at a time, 5000 a second: faster than it must be, though slower than a second in all."""
        with closing(connect(hurried)) as connection:
            connection.sendall(HEAD + b"Content-Length: 10000\r\n\r\n")
            for _ in range(10):
                connection.sendall(b"x" * 1000)
                time.sleep(0.2)
            assert connection.recv(65536).startswith(b"HTTP/1.1 422"), "it arrived, and is no PNG"

    def test_an_answer_that_is_not_read(self, hurried: Service) -> None:
        """200 large answers, of which nothing is taken until the buffers on the way are full, and a while longer."""
        with closing(connect(hurried)) as connection:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
            time.sleep(2 * LIMIT_S + 1)
            received = 0
            with suppress(ConnectionError):
                while block := connection.recv(65536):
                    received += block.count(b"HTTP/1.1 200")
        assert 0 < received < 150

    def test_a_caller_who_is_quick_is_not_cut_off(self, hurried: Service) -> None:
        with closing(connect(hurried)) as connection:
            for _ in range(3):
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert one_answer(connection).startswith(b"HTTP/1.1 200")
                time.sleep(LIMIT_S * 0.7)


class TestTooMany:
    def test_one_more_connection_than_allowed(self, hurried: Service) -> None:
        time.sleep(LIMIT_S)
        hurried.client.get("/livez")
        held = [connect(hurried) for _ in range(CONNECTIONS + 10)]
        try:
            time.sleep(0.2)
            refused(rest(held[-1]), 503, "queue-full", "the most allowed")
            assert hurried.client.get("/livez").status_code == 200, "who is there already is served"
        finally:
            for connection in held:
                connection.close()
        time.sleep(0.2)
        with closing(connect(hurried)) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


class TestBodyLimit:
    @pytest.mark.parametrize("path", ["/v1/models/shapes/predict", "/livez", "/nope", "/v1/jobs", "/openapi.json"])
    @pytest.mark.parametrize("method", [b"POST", b"GET", b"PUT"])
    def test_announced(self, hurried: Service, method: bytes, path: str) -> None:
        """On every route, before a byte of it is read."""
        with closing(connect(hurried)) as connection:
            connection.sendall(
                method + f" {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000000\r\n\r\n".encode()
            )
            refused(rest(connection), 413, "body-too-large", "larger than 65536 bytes")

    def test_chunked(self, hurried: Service) -> None:
        with closing(connect(hurried)) as connection:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(80):
                connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 413")

    @pytest.mark.parametrize("path", ["/livez", "/nope"])
    def test_what_no_route_reads_is_not_taken_for_ever(self, hurried: Service, path: str) -> None:
        with closing(connect(hurried)) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            sent = pushed(connection, 2**26)
        assert sent < 2**24

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"Content-Length: 3\r\n\r\nabcGET /livez", 422),
            (b"Content-Length: -1\r\n\r\n", 400),
            (b"Content-Length: 1e3\r\n\r\n", 400),
            (b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
            (b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
            (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400),
            (b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n", 400),
            (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ],
    )
    def test_lengths_that_lie(self, hurried: Service, head: bytes, status: int) -> None:
        with closing(connect(hurried)) as connection:
            connection.sendall(HEAD + head)
            assert connection.recv(65536).startswith(b"HTTP/1.1 %d " % status)


def test_the_service_is_as_small_as_before(hurried: Service) -> None:
    """50 callers who would send 32 MB each to a route that takes 64 kB."""

    def resident() -> int:
        text = Path(f"/proc/{hurried.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    hurried.client.get("/livez")
    before = resident()
    for _ in range(50):
        with closing(connect(hurried)) as connection:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            assert pushed(connection, 2**25) < 2**24
    assert resident() - before < 10 * 1024
